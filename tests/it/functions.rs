//! A program with functions of its own (`examples/functions`): built with cargo as its reader would, run as a process.

use super::job_dir::{GoldenJob, JobDir, Start, until};
use super::program::{built, checkout};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

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
    let program = built("flink-functions");
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
    let program = built("flink-functions");
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

/// The states of a snapshot: address, kind, rows.
fn states(dir: &JobDir<'_>, path: &str) -> Vec<(String, String, u64)> {
    let list: Value = serde_json::from_str(&dir.answer(&["state", "ls", "-o", "json", path])).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let state = |state: &Value| (text(&state["state"]), text(&state["kind"]), state["rows"].as_u64().unwrap());
    list["states"].as_array().unwrap().iter().map(state).collect()
}

#[test]
fn state_of_subtasks_is_in_savepoints_is_planned_for_and_can_be_built_from_files() {
    let job = GoldenJob::read(&checkout().join("tests/jobs/rust-broadcast"));
    let mut dir = JobDir::without_input(&job);
    // Two files of rules, two rows each, and three of orders, thirty each.
    dir.feed(5);
    let mut running = dir.start(&Start { parallelism: 2, lasting: true, checkpoints: Some("0"), ..Start::default() });
    let id = running.job();
    until("all rows to be read", || (dir.rows_read(&id) == 94).then_some(()));
    let scan = |state: &str, more: &[&str]| -> Value {
        let words = [&["state", "scan", "-o", "json", &id, state, "--limit", "0"], more].concat();
        serde_json::from_str(&dir.answer(&words)).unwrap()
    };
    let live = until("all orders to be kept", || {
        let orders = scan("screen/process/orders", &[]);
        (orders["rows"].as_array().unwrap().len() == 90).then_some(orders)
    });
    assert_eq!(live["kind"], "operator-list", "{live}");
    let subtasks: BTreeSet<i64> = live["rows"].as_array().unwrap().iter().map(|row| row["subtask"].as_i64().unwrap()).collect();
    assert!(subtasks.is_subset(&BTreeSet::from([0, 1])), "whichever has read a file keeps its rows: {subtasks:?}");
    let copies = scan("screen/process/rules", &["--where", "map_key=odd"]);
    assert!(copies["kind"] == "broadcast" && copies["rows"].as_array().unwrap().len() == 2, "a copy for each subtask: {copies}");
    let refused = dir.flink(&["state", "get", &id, "screen/process/rules", "--key", "map_key=odd"]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    let path = dir.answer(&["stop", "-q", "-p", "savepoints", &id]);
    running.finish();
    let found = states(&dir, &path);
    let is_there = |state: &str, kind: &str, rows: u64| found.contains(&(state.to_owned(), kind.to_owned(), rows));
    assert!(is_there("alerts/process/rules", "broadcast", 8), "four rules in two copies: {found:?}");
    assert!(is_there("screen/process/rules", "broadcast", 8) && is_there("screen/process/orders", "operator-list", 90), "{found:?}");
    let shown = dir.answer(&["state", "show", &path, "alerts/process/rules", "-o", "json"]);
    assert!(shown.contains("odd"), "{shown}");
    dir.answer(&["state", "verify", &path]);
    let plan = dir.answer(&["check", "-p", "3", "-s", &path, "job.toml"]);
    for state in ["alerts/process/rules", "alerts/process/orders", "screen/process/orders", "screen/process/rules"] {
        assert!(plan.lines().any(|line| line.contains("restored") && line.contains(state)), "{state}: {plan}");
    }
    let refused = dir.flink(&[
        "check",
        "-s",
        &path,
        "-D",
        "transforms.screen.function=alerts",
        "-D",
        "transforms.screen.key-by=category",
        "job.toml",
    ]);
    assert_eq!(refused.status.code(), Some(6), "keyed orders are not the orders of a subtask: {refused:?}");

    fs::write(dir.path().join("rules.csv"), "map_key,value\nhuge,39\nall,0\n").unwrap();
    let words = ["state", "import", "job.toml", "-q", "--state", "screen/process/rules=rules.csv", "--to", "built"];
    let built = dir.answer(&words);
    assert_eq!(states(&dir, &built), [("screen/process/rules".to_owned(), "broadcast".to_owned(), 2)]);
    let plan = dir.answer(&["check", "-p", "3", "-s", &built, "job.toml"]);
    assert!(plan.lines().any(|line| line.contains("restored") && line.contains("screen/process/rules")), "{plan}");
}
