//! A job that is stopped and goes on as another version of itself: what the check says, what the restore does, what is left behind.

use assert_cmd::cargo::CommandCargoExt;
use rusqlite::Connection;
use serde_json::Value;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

struct Place {
    dir: tempfile::TempDir,
}

/// Rows `range` of the input: `k` has 37 values.
fn rows(range: std::ops::Range<i64>) -> String {
    range.fold(String::new(), |mut rows, n| {
        let _ = writeln!(rows, "{{\"k\":{},\"v\":{n}}}", n % 37);
        rows
    })
}

/// A job called `etl`. `before`: tables before its own; `select`: what is computed beside `n` and `s`, with its column.
fn job(before: &str, transform: &str, sink: &str, (select, column): (&str, &str), watch: bool) -> String {
    let watch = if watch { "source.monitor-interval = \"10 ms\"" } else { "" };
    format!(
        "{before}\n[pipeline]\nname = \"etl\"\n[execution.checkpointing]\ninterval = \"50 ms\"\n[sources.s]\nconnector = \"filesystem\"\npath = \"in\"\n\
         format = \"json\"\nschema = \"k INT, v BIGINT\"\n{watch}\n[transforms.{transform}]\n\
         sql = \"SELECT k, COUNT(*) AS n, SUM(v) AS s{select} FROM s GROUP BY k\"\n[sinks.{sink}]\ninput = \"{transform}\"\nconnector = \"jdbc\"\n\
         url = \"jdbc:sqlite:{sink}.db\"\ntable-name = \"t\"\nschema = \"k INT, n BIGINT, s BIGINT{column}, PRIMARY KEY (k) NOT ENFORCED\"\n"
    )
}

impl Place {
    /// With a job that has counted rows 0 to 999 and was stopped; its savepoint.
    fn stopped() -> (Self, PathBuf) {
        let place = Self { dir: tempfile::Builder::new().prefix("fl").tempdir().unwrap() };
        fs::create_dir(place.path().join("in")).unwrap();
        fs::write(place.path().join("in/1.json"), rows(0..1000)).unwrap();
        fs::write(place.path().join("v1.toml"), job("", "totals", "o", ("", ""), true)).unwrap();
        place.ok("run -d v1.toml");
        let start = Instant::now();
        while place.number("o", "SUM(n)") != Some(1000) {
            assert!(start.elapsed() < Duration::from_mins(1), "the rows do not come out");
            std::thread::yield_now();
        }
        let stopped = place.ok("stop -q -p sav etl");
        let path = PathBuf::from(stopped.trim().strip_prefix("file:").unwrap());
        (place, path)
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn flink(&self, line: &str) -> Output {
        let mut command = Command::cargo_bin("flink").unwrap();
        command.args(line.split_whitespace()).current_dir(self.path()).stdin(Stdio::null());
        command.env("FLINK_STATE_DIR", self.path().join("state")).env("FLINK_RUNTIME_DIR", self.path().join("run"));
        command.output().unwrap()
    }

    fn ok(&self, line: &str) -> String {
        let output = self.flink(line);
        assert!(output.status.success(), "flink {line}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The check's exit code and document.
    fn check(&self, line: &str) -> (Option<i32>, Value) {
        let output = self.flink(&format!("check -o json {line}"));
        (output.status.code(), serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}")))
    }

    /// A value computed over a sink's table; `None` if there is none yet.
    fn number(&self, sink: &str, value: &str) -> Option<i64> {
        let path = self.path().join(format!("{sink}.db"));
        let database = path.exists().then(|| Connection::open(path).unwrap())?;
        database.query_row(&format!("SELECT {value} FROM t"), [], |row| row.get(0)).ok()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // A test that failed half-way must not leave a job behind.
        for id in String::from_utf8_lossy(&self.flink("list -q").stdout).lines() {
            let _ = self.flink(&format!("cancel {id}"));
        }
    }
}

/// `<operator>/<state>` → outcome.
fn outcome(document: &Value, name: &str) -> String {
    let states = document["states"].as_array().unwrap();
    let found = states.iter().find(|s| format!("{}/{}", s["operator"].as_str().unwrap(), s["state"].as_str().unwrap()) == name);
    found.unwrap_or_else(|| panic!("no {name} in {document}"))["outcome"].as_str().unwrap().to_owned()
}

#[test]
fn a_renamed_job_with_another_aggregate_and_more_key_groups_goes_on_and_owns_what_it_came_from() {
    let (place, savepoint) = Place::stopped();
    let path = savepoint.display();
    let maximum = (", MAX(v) AS m", ", m BIGINT");
    fs::write(place.path().join("v2.toml"), job("", "sums", "p", maximum, false)).unwrap();
    let (code, refused) = place.check(&format!("-s {path} v2.toml"));
    assert_eq!((code, &refused["restorable"]), (Some(6), &Value::Bool(false)));
    assert_eq!(outcome(&refused, "totals/group-aggregate-1/groups"), "unclaimed");
    let hints = refused["states"].to_string();
    assert!(
        hints.contains("operators = { \\\"totals\\\" = \\\"sums\\\" }") && hints.contains("operators = { \\\"o\\\" = \\\"p\\\" }"),
        "{hints}"
    );
    assert_eq!(place.flink(&format!("run -s {path} v2.toml")).status.code(), Some(6));

    let rules = "[restore]\noperators = { totals = \"sums\", o = \"p\" }";
    fs::write(place.path().join("v3.toml"), job(rules, "sums", "p", maximum, false)).unwrap();
    let (code, plan) = place.check(&format!("-s {path} v3.toml -D pipeline.max-parallelism=300"));
    assert_eq!((code, &plan["restorable"]), (Some(0), &Value::Bool(true)));
    assert_eq!(outcome(&plan, "s/splits"), "restored");
    assert_eq!(outcome(&plan, "p/writer"), "renamed");
    assert_eq!(outcome(&plan, "sums/group-aggregate-1/groups"), "converted");
    assert_eq!(plan["max-parallelism"], serde_json::json!({ "saved": 128, "job": 300 }));
    assert!(place.ok(&format!("run --dry-run -s {path} v3.toml")).contains("MAX(v) is new and counts the rows from now on"));
    assert!(savepoint.join("_metadata").exists(), "a check changes nothing");

    fs::write(place.path().join("in/2.json"), rows(1000..2000)).unwrap();
    place.ok(&format!("run -s {path} -cm claim -p 3 -D pipeline.max-parallelism=300 v3.toml"));
    assert_eq!(place.number("p", "COUNT(*)"), Some(37));
    assert_eq!((place.number("p", "SUM(n)"), place.number("p", "SUM(s)")), (Some(2000), Some((0..2000).sum())));
    assert_eq!((place.number("p", "MIN(m)"), place.number("p", "MAX(m)")), (Some(1963), Some(1999)));
    assert!(!savepoint.exists(), "it was the job's, and the job has finished");
    let again = place.flink("run -s latest v3.toml");
    assert_eq!(again.status.code(), Some(6));
}

#[test]
fn what_is_not_claimed_stays_and_what_the_file_says_is_restored() {
    let (place, savepoint) = Place::stopped();
    let recovery = format!("execution.state-recovery.path = \"{}\"", savepoint.display());
    fs::write(place.path().join("v1.toml"), job(&recovery, "totals", "o", ("", ""), false)).unwrap();
    fs::write(place.path().join("in/2.json"), rows(1000..1500)).unwrap();
    place.ok("run v1.toml");
    assert_eq!((place.number("o", "SUM(n)"), place.number("o", "SUM(s)")), (Some(1500), Some((0..1500).sum())));
    assert!(savepoint.join("_metadata").exists());
    let latest = place.flink("run -s latest v1.toml");
    let said = String::from_utf8_lossy(&latest.stderr).into_owned();
    assert_eq!(latest.status.code(), Some(6), "{said}");
    assert!(said.contains("has finished at") && said.contains("leave -s out to start anew"), "{said}");
}
