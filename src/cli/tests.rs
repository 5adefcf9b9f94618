//! Every command against a job's process that answers, word for word as Flink prints.

use super::run;
use super::surroundings::Surroundings;
use crate::error::ExitStatus;
use crate::rest::registry::{JobRecord, ProcessId, Registry, RestorePoint};
use crate::runtime::JobStatus;
use crate::storage::LocalStorage;
use crate::testing::process::{FakeProcess, places, record};
use crate::types::{CheckpointId, JobId, WallTime};
use serde_json::Value;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

struct Ran {
    status: ExitStatus,
    out: String,
    err: String,
}

fn flink(dir: &Path, line: &str) -> Ran {
    let variable = |name: &str, sub: &str| (name.to_owned(), dir.join(sub).display().to_string());
    let surroundings = Surroundings {
        variables: [variable("FLINK_STATE_DIR", "state"), variable("FLINK_RUNTIME_DIR", "run")].into(),
        working_dir: dir.to_owned(),
        words: line.split_whitespace().map(Into::into).collect(),
        ..Surroundings::default()
    };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let status = run(&surroundings, &mut out, &mut err);
    Ran { status, out: String::from_utf8(out).unwrap(), err: String::from_utf8(err).unwrap() }
}

const JOB: &str = "e8e633c43478f81a4966bcf1e781fd89";

fn started(dir: &Path, name: &str) -> FakeProcess {
    FakeProcess::start(dir, JOB.parse().unwrap(), name).unwrap()
}

#[test]
fn a_savepoint_is_taken_with_flinks_words() {
    let dir = tempfile::tempdir().unwrap();
    let _job = started(dir.path(), "tiny");
    let ran = flink(dir.path(), &format!("savepoint {JOB}"));
    let path = format!("file:{}/state/savepoints/savepoint-e8e633-000000000001", dir.path().display());
    let expected = format!(
        "Triggering savepoint for job {JOB}.\nWaiting for response...\nSavepoint completed. Path: {path}\n\
         You can resume your program from this savepoint with the run command.\n"
    );
    assert_eq!((ran.status, ran.out.as_str(), ran.err.as_str()), (ExitStatus::Done, expected.as_str(), ""));
    let ran = flink(dir.path(), &format!("savepoint -d {path}"));
    assert_eq!(ran.out, format!("Disposing savepoint '{path}'.\nWaiting for response...\nSavepoint '{path}' disposed.\n"));
    let ran = flink(dir.path(), &format!("savepoint -dispose {path}"));
    assert_eq!(ran.status, ExitStatus::SavepointFailed);
    assert!(ran.err.contains("Cannot find checkpoint or savepoint file/directory"), "{}", ran.err);
}

#[test]
fn a_relative_directory_starts_where_the_command_was_given() {
    let dir = tempfile::tempdir().unwrap();
    let _job = started(dir.path(), "tiny");
    let ran = flink(dir.path(), "savepoint tiny mine -q");
    assert_eq!(ran.out, format!("file:{}/mine/savepoint-e8e633-000000000001\n", dir.path().display()));
    let ran = flink(dir.path(), "savepoint tiny gs://bucket/x");
    assert_eq!(ran.status, ExitStatus::Usage, "{}", ran.err);
}

#[test]
fn a_savepoint_that_fails_says_why_and_the_job_runs_on() {
    let dir = tempfile::tempdir().unwrap();
    let _job = started(dir.path(), "tiny");
    let ran = flink(dir.path(), "savepoint e8e /proc/nope");
    assert_eq!(ran.status, ExitStatus::SavepointFailed);
    assert!(ran.err.starts_with("flink: could not take a savepoint of job e8e: Failed to create savepoint directory"), "{}", ran.err);
    assert!(ran.err.lines().count() <= 3);
    assert!(flink(dir.path(), "list").out.contains(": tiny (RUNNING)"));
}

#[test]
fn stop_ends_the_job_with_a_savepoint() {
    let dir = tempfile::tempdir().unwrap();
    let job = started(dir.path(), "tiny");
    let ran = flink(dir.path(), &format!("stop --drain -p {}/s tiny", dir.path().display()));
    let expected = format!(
        "Draining job \"{JOB}\" with a CANONICAL savepoint.\nTriggering stop-with-savepoint for job {JOB}.\nWaiting for response...\n\
         Savepoint completed. Path: file:{}/s/savepoint-e8e633-000000000001\n",
        dir.path().display()
    );
    assert_eq!((ran.status, ran.out.as_str(), ran.err.as_str()), (ExitStatus::Done, expected.as_str(), ""));
    job.join().unwrap();
    let ran = flink(dir.path(), "stop tiny");
    assert_eq!(ran.status, ExitStatus::NoSuchJob);
    assert!(ran.err.contains("has ended: FINISHED"), "{}", ran.err);
    assert!(flink(dir.path(), "list -a").out.contains(": tiny (FINISHED)"));
}

#[test]
fn cancel_is_said_on_acceptance_and_may_be_said_again() {
    let dir = tempfile::tempdir().unwrap();
    let job = started(dir.path(), "tiny");
    let expected = format!("Cancelling job {JOB}.\nCancelled job {JOB}.\n");
    assert_eq!(flink(dir.path(), "cancel tiny").out, expected);
    job.join().unwrap();
    let again = flink(dir.path(), &format!("cancel {JOB}"));
    assert_eq!((again.status, again.out), (ExitStatus::Done, expected));
}

#[test]
fn cancel_with_a_savepoint_warns_as_flink_does() {
    let dir = tempfile::tempdir().unwrap();
    let job = started(dir.path(), "tiny");
    let ran = flink(dir.path(), "cancel -s tiny");
    let expected = format!(
        "DEPRECATION WARNING: Cancelling a job with savepoint is deprecated. Use \"stop\" instead.\n\
         Cancelling job {JOB} with CANONICAL savepoint to default savepoint directory.\n\
         Cancelled job {JOB}. Savepoint stored in file:{}/state/savepoints/savepoint-e8e633-000000000001.\n",
        dir.path().display()
    );
    assert_eq!((ran.out.as_str(), ran.err.as_str()), (expected.as_str(), ""));
    job.join().unwrap();
}

#[test]
fn a_checkpoint_is_taken_with_flinks_words() {
    let dir = tempfile::tempdir().unwrap();
    let _job = started(dir.path(), "tiny");
    let text = |name: &str, id: u32| {
        format!(
            "Triggering checkpoint for job {JOB}.\nWaiting for response...\n{name} {id} for job {JOB} completed.\n\
             You can resume your program from this checkpoint with the run command.\n"
        )
    };
    assert_eq!(flink(dir.path(), "checkpoint tiny").out, text("Checkpoint", 1));
    assert_eq!(flink(dir.path(), "checkpoint -full tiny").out, text("Checkpoint(FULL)", 2));
    assert_eq!(flink(dir.path(), "checkpoint tiny -q").out, "3\n");
}

#[test]
fn json_is_one_document_and_q_one_thing() {
    let dir = tempfile::tempdir().unwrap();
    let _job = started(dir.path(), "tiny");
    let json = |line: &str| -> Value { serde_json::from_str(&flink(dir.path(), line).out).unwrap() };
    assert_eq!(json("checkpoint tiny -o json")["checkpoint-id"], 1);
    assert!(json("savepoint tiny -o json")["path"].as_str().unwrap().starts_with("file:/"));
    assert_eq!(json("list -o json")["jobs"][0]["name"], "tiny");
    assert_eq!(json("cancel nobody -o json")["error"]["exit-code"], 3);
    assert_eq!(json("list -o json --nope")["error"]["exit-code"], 2);
    assert_eq!(flink(dir.path(), "list -q").out, format!("{JOB}\n"));
    let detached = json("savepoint -detached tiny -o json");
    assert_eq!(detached["trigger-id"].as_str().unwrap().len(), 32);
}

#[test]
fn a_savepoint_that_nobody_waits_for_is_asked_after_by_its_trigger_id() {
    let dir = tempfile::tempdir().unwrap();
    let _job = started(dir.path(), "tiny");
    let trigger = flink(dir.path(), "savepoint -detached tiny -q").out;
    let trigger = trigger.trim();
    let path = format!("file:{}/state/savepoints/savepoint-e8e633-000000000001", dir.path().display());
    let ran = loop {
        let ran = flink(dir.path(), &format!("savepoint --status {trigger} tiny"));
        if ran.out != format!("Savepoint {trigger} of job {JOB} is in progress.\n") {
            break ran;
        }
    };
    assert_eq!((ran.status, ran.out), (ExitStatus::Done, format!("Savepoint completed. Path: {path}\n")));
    let document: Value = serde_json::from_str(&flink(dir.path(), &format!("savepoint --status {trigger} tiny -o json")).out).unwrap();
    assert_eq!((&document["status"], &document["path"]), (&Value::from("COMPLETED"), &Value::from(path)));
    let ran = flink(dir.path(), &format!("savepoint --status {JOB} tiny"));
    assert_eq!(ran.status, ExitStatus::SavepointFailed, "{}", ran.err);
    assert!(ran.err.contains("There is no operation with triggerId="), "{}", ran.err);
}

fn lost(dir: &Path, id: &str, latest: Option<&str>) -> JobRecord {
    let latest =
        latest.map(|path| RestorePoint { id: CheckpointId::new(3), path: PathBuf::from(path), at: WallTime(5), is_savepoint: false });
    let process = ProcessId { start_ticks: Some(u64::MAX), ..ProcessId::current() };
    let record = JobRecord { process, latest, ..record(id.parse().unwrap(), "gone") };
    Registry::new(places(dir), LocalStorage::shared()).write(&record).unwrap();
    fs::create_dir_all(dir.join("run")).unwrap();
    fs::write(dir.join("run").join(format!("{id}.sock")), "").unwrap();
    record
}

#[test]
fn a_job_whose_process_is_gone_is_listed_with_the_way_back() {
    let dir = tempfile::tempdir().unwrap();
    lost(dir.path(), JOB, Some("/ckp/chk-3"));
    let ran = flink(dir.path(), "list");
    assert_eq!(ran.out, "Waiting for response...\nNo running jobs.\nNo scheduled jobs.\n");
    assert!(ran.err.contains("1 job(s) ended without a word"), "{}", ran.err);
    let all = flink(dir.path(), "list -a").out;
    let lines: Vec<&str> = all.lines().collect();
    assert_eq!(lines[3], "---------------------- Terminated Jobs -----------------------");
    assert!(lines[4].ends_with(&format!(" : {JOB} : gone (FAILED)")), "{all}");
    assert!(lines[5].starts_with("    ") && lines[5].ends_with("flink run -s /ckp/chk-3 /jobs/job.toml"), "{all}");
    let ran = flink(dir.path(), "stop gone");
    assert_eq!(ran.status, ExitStatus::Unreachable);
    assert!(ran.err.contains("flink run -s /ckp/chk-3 /jobs/job.toml") && ran.err.lines().count() <= 3, "{}", ran.err);
}

#[test]
fn a_socket_that_nobody_listens_on_is_unreachable() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::new(places(dir.path()), LocalStorage::shared());
    registry.write(&record(JOB.parse().unwrap(), "mute")).unwrap();
    for make in [false, true] {
        fs::create_dir_all(dir.path().join("run")).unwrap();
        if make {
            drop(std::os::unix::net::UnixListener::bind(dir.path().join("run").join(format!("{JOB}.sock"))).unwrap());
        }
        let ran = flink(dir.path(), "cancel mute");
        assert_eq!(ran.status, ExitStatus::Unreachable);
        assert!(ran.err.contains("cannot be reached") && ran.err.lines().count() <= 3, "{}", ran.err);
        assert!(flink(dir.path(), "cancel mute -v").err.contains("caused by: "));
    }
}

#[test]
fn an_unknown_or_ambiguous_job_is_said_so() {
    let dir = tempfile::tempdir().unwrap();
    lost(dir.path(), "aa000000000000000000000000000001", None);
    lost(dir.path(), "aa000000000000000000000000000002", None);
    for (line, status) in [
        ("savepoint nobody", ExitStatus::NoSuchJob),
        ("stop 00000000000000000000000000000000", ExitStatus::NoSuchJob),
        ("cancel ../../etc", ExitStatus::NoSuchJob),
        ("checkpoint aa", ExitStatus::Usage),
        ("checkpoint aa000000000000000000000000000001", ExitStatus::Unreachable),
        ("savepoint", ExitStatus::Usage),
        ("stop", ExitStatus::Usage),
        ("nope", ExitStatus::Usage),
        ("", ExitStatus::Usage),
    ] {
        let ran = flink(dir.path(), line);
        assert_eq!((ran.status, ran.out.as_str()), (status, ""), "{line}: {}", ran.err);
        assert!(!ran.err.is_empty(), "{line}");
    }
}

#[test]
fn a_command_without_a_home_says_what_to_set() {
    let surroundings = Surroundings { words: vec!["list".into()], ..Surroundings::default() };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    assert_eq!(run(&surroundings, &mut out, &mut err), ExitStatus::Failed);
    assert!(String::from_utf8(err).unwrap().contains("set FLINK_STATE_DIR"));
}

#[test]
fn help_and_version_go_to_standard_output() {
    let dir = tempfile::tempdir().unwrap();
    for line in ["--help", "run -h", "-v", "--version"] {
        let ran = flink(dir.path(), line);
        assert_eq!((ran.status, ran.err.as_str()), (ExitStatus::Done, ""), "{line}");
        assert!(ran.out.contains("flink"), "{line}");
    }
    assert!(!flink(dir.path(), "--help").out.contains("generate"));
}

#[test]
fn the_list_is_sorted_by_start_and_ended_jobs_are_not_read_without_a() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::new(places(dir.path()), LocalStorage::shared());
    let mut expected = String::new();
    for n in (1..=3_u8).rev() {
        let id = JobId::from_u128(u128::from(n));
        let started = WallTime(1_000_000 - i64::from(n));
        registry.write(&JobRecord { status: JobStatus::Finished, started, ..record(id, "etl") }).unwrap();
        writeln!(expected, "{id}").unwrap();
    }
    assert_eq!(flink(dir.path(), "list -aq").out, expected);
    assert_eq!(flink(dir.path(), "list -q").out, "");
}
