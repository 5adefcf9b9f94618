//! The program as a process: attached and detached jobs, signals, a process that is killed.

use assert_cmd::cargo::CommandCargoExt;
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A directory with jobs, a state directory and a runtime directory of its own.
struct House {
    dir: tempfile::TempDir,
}

/// Ends with its input.
const BOUNDED: &str = r#"
[sources.nums]
connector = "filesystem"
path = "in.json"
format = "json"
schema = "a BIGINT"

[sinks.out]
input = "nums"
connector = "stdout"
format = "json"
"#;

/// Watches a directory, for ever.
const UNBOUNDED: &str = r#"
[execution.checkpointing]
interval = "50 ms"
externalized-checkpoint-retention = "RETAIN_ON_CANCELLATION"

[sources.nums]
connector = "filesystem"
path = "watched"
source.monitor-interval = "50 ms"
format = "json"
schema = "a BIGINT"

[sinks.out]
input = "nums"
connector = "filesystem"
path = "out"
format = "json"
"#;

impl House {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("in.json"), "{\"a\":1}\n{\"a\":2}\n").unwrap();
        fs::create_dir(dir.path().join("watched")).unwrap();
        fs::write(dir.path().join("watched/1.json"), "{\"a\":1}\n").unwrap();
        fs::write(dir.path().join("bounded.toml"), BOUNDED).unwrap();
        fs::write(dir.path().join("unbounded.toml"), UNBOUNDED).unwrap();
        Self { dir }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::cargo_bin("flink").unwrap();
        command.args(line.split_whitespace()).current_dir(self.path()).stdin(Stdio::null());
        command.env("FLINK_STATE_DIR", self.path().join("state")).env("FLINK_RUNTIME_DIR", self.path().join("run"));
        command
    }

    fn run(&self, line: &str) -> Output {
        self.command(line).output().unwrap()
    }

    fn ok(&self, line: &str) -> String {
        let output = self.run(line);
        let (out, err) = (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned());
        assert!(output.status.success(), "flink {line}: {} {out} {err}", output.status);
        out
    }

    /// The one job of this house, as `list -a` knows it.
    fn job(&self) -> Value {
        let list: Value = serde_json::from_str(&self.ok("list -a -o json")).unwrap();
        list["jobs"][0].clone()
    }

    fn job_until(&self, what: impl Fn(&Value) -> bool) -> Value {
        let start = Instant::now();
        loop {
            let job = self.job();
            if what(&job) {
                return job;
            }
            assert!(start.elapsed() < Duration::from_secs(30), "still {job}");
            std::thread::yield_now();
        }
    }

    /// An attached job, up to its first line on standard output.
    fn attached(&self, line: &str) -> (Child, BufReader<std::process::ChildStdout>, String) {
        let mut child = self.command(line).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut first = String::new();
        out.read_line(&mut first).unwrap();
        (child, out, first)
    }
}

impl Drop for House {
    fn drop(&mut self) {
        // A test that failed half-way must not leave a job behind.
        for id in String::from_utf8_lossy(&self.run("list -q").stdout).lines() {
            let _ = self.run(&format!("cancel {id}"));
        }
    }
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

#[test]
fn rows_alone_go_to_standard_output_if_a_sink_writes_there() {
    let house = House::new();
    let output = house.run("run bounded.toml");
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{err}");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "{\"a\":1}\n{\"a\":2}\n");
    let lines: Vec<&str> = err.lines().collect();
    assert!(lines[0].starts_with("Job has been submitted with JobID "), "{err}");
    assert_eq!(lines[1], "Program execution finished");
    assert!(lines[2].starts_with("Job with JobID ") && lines[2].ends_with(" has finished."), "{err}");
    assert!(lines[3].starts_with("Job Runtime: ") && lines[3].ends_with(" ms"), "{err}");
    assert_eq!(house.job()["status"], "FINISHED");
}

#[test]
fn a_reader_that_goes_away_ends_the_job_without_an_error() {
    let house = House::new();
    let rows = (0..200_000).fold(String::new(), |rows, n| rows + &format!("{{\"a\":{n}}}\n"));
    fs::write(house.path().join("in.json"), rows).unwrap();
    let (mut child, out, first) = house.attached("run -p 1 bounded.toml");
    assert_eq!(first, "{\"a\":0}\n");
    drop(out);
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert!(child.wait().unwrap().success(), "{err}");
    assert!(!err.contains("error"), "{err}");
}

#[test]
fn a_detached_job_outlives_its_starter_and_stops_with_a_savepoint_that_restores() {
    let house = House::new();
    let out = house.ok("run -d unbounded.toml");
    let id = out.trim().strip_prefix("Job has been submitted with JobID ").unwrap();
    assert_eq!(house.ok("list -q").trim(), id);
    let stopped = house.ok("stop -p savepoints unbounded");
    let path = stopped.lines().last().unwrap().strip_prefix("Savepoint completed. Path: file:").unwrap();
    assert!(Path::new(path).join("_metadata").exists());
    let job = house.job_until(|job| job["status"] == "FINISHED");
    assert!(Path::new(job["log-file"].as_str().unwrap()).exists());
    assert!(house.ok(&format!("check -s {path} unbounded.toml")).contains("restored"));
    let again = house.ok(&format!("run -d -q -s {path} unbounded.toml"));
    assert_ne!(again.trim(), id, "every run has an id of its own");
    assert_eq!(house.ok("cancel -q unbounded"), again);
}

#[test]
fn a_killed_job_is_listed_with_the_way_back_and_latest_takes_it() {
    let house = House::new();
    house.ok("run -d unbounded.toml");
    let job = house.job_until(|job| job["latest"]["path"].is_string());
    let killed = Command::new("kill").args(["-9", &job["pid"].to_string()]).status().unwrap();
    assert!(killed.success());
    let job = house.job_until(|job| job["lost"] == true);
    let path = job["latest"]["path"].as_str().unwrap();
    let list = house.ok("list -a");
    assert!(list.contains(&format!("flink run -s {path} ")), "{list}");
    assert_eq!(house.run("savepoint unbounded").status.code(), Some(4));
    let output = house.run("run -d -s latest unbounded.toml");
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && err.contains("Restoring from /") && !err.contains("still running"), "{err}");
}

#[test]
fn whoever_restores_from_a_job_that_runs_is_told_so() {
    let house = House::new();
    let id = house.ok("run -d -q unbounded.toml");
    house.job_until(|job| job["latest"]["path"].is_string());
    let output = house.run("run -d -s latest unbounded.toml");
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{err}");
    assert!(err.contains(&format!("warning: job {}, which wrote this snapshot, is still running", id.trim())), "{err}");
}

#[test]
fn ctrl_c_cancels_an_attached_job_in_order() {
    for (name, code) in [("INT", 130), ("TERM", 130)] {
        let house = House::new();
        let (mut child, _out, first) = house.attached("run unbounded.toml");
        assert!(first.starts_with("Job has been submitted with JobID "), "{first}");
        signal(&child, name);
        assert_eq!(child.wait().unwrap().code(), Some(code), "{name}");
        assert_eq!(house.job()["status"], "CANCELED", "{name}");
        assert!(fs::read_dir(house.path().join("run")).unwrap().next().is_none(), "the socket is gone");
    }
}

#[test]
fn losing_the_terminal_does_not_harm_a_detached_job() {
    let house = House::new();
    house.ok("run -d unbounded.toml");
    let pid = house.job()["pid"].to_string();
    assert!(Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
    assert!(house.ok("checkpoint unbounded").contains("completed."));
}

#[test]
fn what_cannot_start_says_so_with_its_own_exit_code_attached_and_detached() {
    let house = House::new();
    fs::write(house.path().join("wrong.toml"), BOUNDED.replace("\"json\"", "\"jsn\"")).unwrap();
    for flags in ["", "-d "] {
        for (line, code, said) in [
            ("wrong.toml", 2, "did you mean \"json\"?"),
            ("missing.toml", 2, "missing.toml"),
            ("-s /nowhere bounded.toml", 6, "Cannot find checkpoint or savepoint file/directory"),
            ("-s latest bounded.toml", 6, "no complete checkpoint or savepoint of a job named \"bounded\""),
            ("-D execution.checkpointing.intervall=1s bounded.toml", 2, "did you mean"),
        ] {
            let output = house.run(&format!("run {flags}{line}"));
            let err = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(code), "{flags}{line}: {err}");
            assert!(err.contains(said) && output.stdout.is_empty(), "{flags}{line}: {err}");
        }
    }
    assert_eq!(house.ok("list -a -q"), "", "nothing was started");
    let output = house.run("run -o json wrong.toml");
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["error"]["exit-code"], 2);
}

#[test]
fn checkpoints_directly_in_a_directory_are_one_jobs_alone_and_the_way_back_after_a_kill() {
    let house = House::new();
    let flat = "-D execution.checkpointing.dir=flat -D execution.checkpointing.create-subdir=false";
    house.ok(&format!("run -d {flat} unbounded.toml"));
    let job = house.job_until(|job| job["latest"]["path"].is_string());
    let output = house.run(&format!("run {flat} -D pipeline.name=other unbounded.toml"));
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(err.contains("another job that runs keeps its checkpoints directly in it"), "{err}");
    assert!(Command::new("kill").args(["-9", &job["pid"].to_string()]).status().unwrap().success());
    let job = house.job_until(|job| job["lost"] == true);
    let path = job["latest"]["path"].as_str().unwrap();
    assert_eq!(Path::new(path).parent(), Some(house.path().canonicalize().unwrap().join("flat").as_path()));
    let output = house.run(&format!("run {flat} unbounded.toml"));
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(err.contains(&format!("is a checkpoint of job {}", job["id"].as_str().unwrap())), "{err}");
    assert!(house.ok("state gc flat").contains("complete checkpoint"));
    let output = house.run(&format!("run -d -s latest {flat} unbounded.toml"));
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && err.contains(&format!("Restoring from {path}")), "{err}");
    house.ok("stop -p savepoints unbounded");
}

#[test]
fn a_null_in_a_not_null_column_of_a_sink_fails_the_job_or_drops_its_row() {
    let house = House::new();
    fs::write(house.path().join("in.json"), "{\"a\":1}\n{}\n{\"a\":2}\n").unwrap();
    let job = BOUNDED.replace("connector = \"stdout\"", "connector = \"stdout\"\nschema = \"a BIGINT NOT NULL\"");
    fs::write(house.path().join("strict.toml"), job).unwrap();
    let output = house.run("run strict.toml");
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{err}");
    assert!(err.contains("Column 'a' is NOT NULL, however, a null value is being written into it."), "{err}");
    assert_eq!(house.ok("run -D table.exec.sink.not-null-enforcer=DROP strict.toml"), "{\"a\":1}\n{\"a\":2}\n");
}
