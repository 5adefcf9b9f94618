//! A program with functions of its own (`examples/functions`): built with cargo as its reader would, run as a process.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn checkout() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Builds the example beside the binary under test, with which it shares all that is compiled but its own file.
fn program() -> PathBuf {
    // target/release/flink
    let profile = Path::new(env!("CARGO_BIN_EXE_flink")).parent().unwrap();
    let target = profile.parent().unwrap();
    let build = Command::new(env!("CARGO"))
        .args(["build", "--offline", "--package", "flink-functions", "--target-dir"])
        .arg(target)
        .args(if profile.ends_with("release") { &["--release"][..] } else { &[] })
        .current_dir(checkout())
        .output()
        .unwrap();
    assert!(build.status.success(), "{}", String::from_utf8_lossy(&build.stderr));
    profile.join("flink-functions")
}

fn run(program: &Path, dir: &Path, words: &[&str]) -> (Output, String, String) {
    let mut command = Command::new(program);
    command.args(words).current_dir(dir).stdin(Stdio::null());
    command.env("FLINK_STATE_DIR", dir.join("state")).env("FLINK_RUNTIME_DIR", dir.join("run"));
    let output = command.output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned());
    (output, out, err)
}

/// Bidder 1 has bid by two channels at its third bid, bidder 2 by one.
const ROWS: [&str; 2] = ["+I[1, 3, 2, 2024-05-01T10:00:04]", "+I[2, 3, 1, 2024-05-01T10:00:20]"];

#[test]
fn a_program_with_a_function_of_its_own_runs_a_job_that_calls_it() {
    let program = program();
    let dir = tempfile::Builder::new().prefix("fl").tempdir().unwrap();
    for file in ["job.toml", "bids.ndjson"] {
        fs::copy(checkout().join("examples/functions").join(file), dir.path().join(file)).unwrap();
    }
    for parallelism in ["1", "3"] {
        let (output, out, err) = run(&program, dir.path(), &["run", "-q", "-p", parallelism, "job.toml"]);
        assert!(output.status.success(), "{out}{err}");
        let mut rows: Vec<&str> = out.lines().filter_map(|line| line.find("+I").map(|at| &line[at..])).collect();
        rows.sort_unstable();
        assert_eq!(rows, ROWS, "{out}{err}");
    }
    let (_, out, err) = run(&program, dir.path(), &["info", "job.toml"]);
    assert!(out.contains("KeyedProcess(keyBy=[bidder], function=[bursts])"), "{out}{err}");
}

#[test]
fn a_function_that_the_program_does_not_have_is_named_with_the_nearest_that_it_has() {
    let program = program();
    let dir = tempfile::Builder::new().prefix("fl").tempdir().unwrap();
    fs::copy(checkout().join("examples/functions/job.toml"), dir.path().join("job.toml")).unwrap();
    let words = ["check", "-D", "transforms.bursts.function=burst", "job.toml"];
    let (output, out, err) = run(&program, dir.path(), &words);
    assert_eq!(output.status.code(), Some(2), "{out}{err}");
    assert!(err.contains("there is no function \"burst\"") && err.contains("did you mean \"bursts\"?"), "{err}");
    let (output, out, err) = run(Path::new(env!("CARGO_BIN_EXE_flink")), dir.path(), &["check", "job.toml"]);
    assert_eq!(output.status.code(), Some(2), "{out}{err}");
    assert!(err.contains("this program has no functions of its own"), "{err}");
}
