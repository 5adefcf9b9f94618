//! `flink state` on the real program: a savepoint of a job that ran, looked into, edited, built anew and restored from; wrong questions and
//! damaged files with their exit codes.

use crate::job_dir::until;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The job; `WATCH` makes it wait for more files.
const JOB: &str = r#"[pipeline]
name = "counts"
[execution.checkpointing]
interval = "50 ms"
[sources.nums]
connector = "filesystem"
path = "in"
format = "json"
schema = "a BIGINT, b STRING"
#WATCH
[transforms.t]
sql = "SELECT a, COUNT(*) AS n FROM nums GROUP BY a"
[sinks.out]
input = "t"
connector = "filesystem"
path = "out"
format = "debezium-json"
"#;

const ROWS: &str = "{\"a\":1,\"b\":\"x\"}\n{\"a\":1,\"b\":\"y\"}\n{\"a\":2,\"b\":\"z\"}\n{\"a\":null,\"b\":\"z\"}\n";

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("fl").tempdir().unwrap();
        fs::write(dir.path().join("job.toml"), JOB).unwrap();
        fs::write(dir.path().join("watch.toml"), JOB.replace("#WATCH", "source.monitor-interval = \"5 ms\"")).unwrap();
        fs::create_dir(dir.path().join("in")).unwrap();
        fs::write(dir.path().join("in/1.json"), ROWS).unwrap();
        Self(dir)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flink"));
        command.args(args).current_dir(self.path()).stdin(Stdio::null());
        command.env("FLINK_STATE_DIR", self.path().join("state")).env("FLINK_RUNTIME_DIR", self.path().join("run"));
        command.output().unwrap()
    }

    /// What a command prints; it must end with `code`.
    fn text(&self, args: &[&str], code: i32) -> String {
        let output = self.run(args);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{args:?}: {out}{err}");
        assert!(!err.contains("panicked"), "{args:?}: {err}");
        if code == 0 { out.into_owned() } else { err.into_owned() }
    }

    fn json(&self, args: &[&str]) -> Value {
        let text = self.text(&[args, &["-o", "json"]].concat(), 0);
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{args:?}: {e}: {text}"))
    }

    /// The path of a savepoint with which the job was stopped once it had counted everything.
    fn stopped(&self) -> String {
        self.text(&["run", "-d", "-q", "watch.toml"], 0);
        until("the rows to be counted", || {
            let saved = self.text(&["savepoint", "-q", "counts", "tries"], 0);
            let shown = self.json(&["state", "show", saved.trim(), "t"]);
            (shown["states"][0]["rows"].as_array()?.len() == 3).then_some(())
        });
        self.text(&["stop", "-q", "-p", "saved", "counts"], 0).trim().trim_start_matches("file:").to_owned()
    }

    /// What the job says of key 1 at the end.
    fn last_count(&self) -> Option<i64> {
        let files = fs::read_dir(self.path().join("out")).ok()?.flatten().map(|e| e.path());
        let mut files: Vec<PathBuf> = files.filter(|p| !p.file_name().is_some_and(|n| n.to_string_lossy().starts_with('.'))).collect();
        files.sort();
        let texts: String = files.iter().map(|f| fs::read_to_string(f).unwrap()).collect();
        let counts = texts.lines().filter_map(|line| {
            let change: Value = serde_json::from_str(line).ok()?;
            (change["after"]["a"] == 1).then(|| change["after"]["n"].as_i64())?
        });
        counts.max()
    }
}

/// The files of the groups.
fn groups_files(saved: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![PathBuf::from(saved).join("t")];
    while let Some(dir) = waiting.pop() {
        for path in fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()) {
            if path.is_dir() { waiting.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

/// The address of the job's keyed state and the name of its count.
fn counted(place: &Place, saved: &str) -> (String, String) {
    let listed = place.json(&["state", "ls", saved]);
    let state = listed["states"].as_array().unwrap().iter().find(|s| s["kind"] == "groups").unwrap();
    let column = state["value"].as_array().unwrap().last().unwrap()["name"].as_str().unwrap().to_owned();
    (state["state"].as_str().unwrap().to_owned(), column)
}

#[test]
fn a_savepoint_is_listed_shown_exported_compared_and_verified() {
    let place = Place::new();
    let saved = place.stopped();
    let (state, column) = counted(&place, &saved);
    let listed = place.text(&["state", "ls", &saved], 0);
    for says in ["counts", state.rsplit_once('/').unwrap().0, "groups", "a BIGINT", "nums", "splits"] {
        assert!(listed.contains(says), "{says}: {listed}");
    }
    assert!(place.text(&["state", "ls", "-q", &saved], 0).lines().any(|line| line == state));
    assert!(place.text(&["state", "ls", "saved"], 0).contains("Savepoint of a stop"));
    assert!(place.text(&["state", "ls", "latest"], 0).contains(&saved));
    let metadata = format!("file:{saved}/_metadata");
    let shown = place.json(&["state", "show", &metadata, &state, "--key", "a=1"]);
    assert_eq!(shown["states"][0]["rows"].as_array().unwrap().len(), 1);
    assert_eq!(shown["states"][0]["rows"][0][&column], 2);
    assert!(place.text(&["state", "show", &saved, &state, "--key", "a"], 0).contains("null"));
    assert_eq!(place.text(&["state", "show", &saved, &state, "-o", "csv"], 0).lines().count(), 4);
    assert_eq!(place.text(&["state", "export", &saved, &state], 0).lines().count(), 3);
    place.text(&["state", "export", &saved, &state, "--to", "rows.parquet"], 0);
    assert!(fs::read(place.path().join("rows.parquet")).unwrap().starts_with(b"PAR1"));
    assert!(place.text(&["state", "verify", &saved], 0).contains("is sound"));
    let tries = place.json(&["state", "ls", "tries"]);
    let first = tries["snapshots"][0]["path"].as_str().unwrap();
    assert_eq!(place.json(&["state", "diff", &saved, &saved])["same"], true);
    assert!(place.json(&["state", "diff", first, &saved])["difference"]["states"].is_array());
}

#[test]
fn a_savepoint_that_was_built_from_files_starts_the_job() {
    let place = Place::new();
    let saved = place.stopped();
    let (state, _) = counted(&place, &saved);
    for end in ["parquet", "csv", "json"] {
        let file = format!("rows.{end}");
        place.text(&["state", "export", &saved, &state, "--to", &file, "--where", "a=1"], 0);
        let built = place.text(&["state", "import", "job.toml", "--state", &format!("{state}={file}"), "--to", "built", "-q"], 0);
        let built = built.trim();
        assert!(place.text(&["state", "verify", built], 0).contains("1 rows"));
        let rows = place.json(&["state", "show", built, &state]);
        assert_eq!(rows["states"][0]["rows"], place.json(&["state", "show", &saved, &state, "--key", "a=1"])["states"][0]["rows"]);
        let _ = fs::remove_dir_all(place.path().join("out"));
        place.text(&["run", "-s", built, "job.toml"], 0);
        // Two of old, and the file's two: the savepoint says nothing of files that were read.
        assert_eq!(place.last_count(), Some(4), "{end}");
    }
}

#[test]
fn wrong_questions_have_exit_code_2_and_snapshots_that_are_not_sound_6() {
    let place = Place::new();
    let saved = place.stopped();
    let (state, column) = counted(&place, &saved);
    let misspelled = state.replace("groups", "group");
    let whole = place.path().join("rows.json");
    fs::write(&whole, "{\"a\":\"x\",\"records\":1}\n").unwrap();
    let import = format!("{state}=rows.json");
    let nothing = format!("{state}=nothing.json");
    for (args, code, says) in [
        (vec!["state"], 2, "Usage"),
        (vec!["state", "ls", "nothing"], 6, "nothing"),
        (vec!["state", "ls", "in"], 6, "_metadata"),
        (vec!["state", "show", "saved", "t"], 6, &*saved),
        (vec!["state", "show", &saved, &misspelled], 2, &*format!("did you mean {state}?")),
        (vec!["state", "show", &saved, &state, "--key", "a=x"], 2, "\"x\" is no BIGINT"),
        (vec!["state", "show", &saved, &state, "--key", "b=x"], 2, "no key column \"b\""),
        (vec!["state", "show", &saved, &state, "--where", "=1"], 2, "names no column"),
        (vec!["state", "show", &saved, "-o", "csv"], 2, "OPERATOR/STATE"),
        (vec!["state", "ls", &saved, "-o", "csv"], 2, "state show"),
        (vec!["state", "export", &saved, &state, "--format", "xml"], 2, "json, csv and parquet"),
        (vec!["state", "export", &saved, &state, "--to", "no/such/rows.csv"], 1, "no/such"),
        (vec!["state", "diff", &saved, "nothing"], 6, "nothing"),
        (vec!["state", "import", "job.toml", "--state", &import, "--to", "built"], 1, "row 1: column a"),
        (vec!["state", "import", "job.toml", "--state", &nothing, "--to", "built"], 1, "nothing.json"),
        (vec!["state", "import", "job.toml", "--state", "t/x=rows.json", "--to", "built"], 2, "no state \"t/x\""),
        (vec!["state", "import", "job.toml", "--state", "rows.json", "--to", "built"], 2, "names no file"),
        (vec!["state", "import", "nothing.toml", "--state", &import, "--to", "built"], 2, "nothing.toml"),
        (vec!["state", "gc", "nothing"], 1, "nothing"),
        (vec!["state", "gc", "saved", "--older-than", "soon"], 2, "soon"),
        (vec!["state", "ls", &saved, "-m", "localhost:1"], 2, "on this machine"),
    ] {
        let err = place.text(&args, code);
        assert!(err.contains(says), "{args:?}: no {says:?} in: {err}");
    }
    assert!(fs::read_dir(place.path().join("built")).into_iter().flatten().next().is_none(), "something was left behind");
    assert_eq!(
        place.json(&["state", "show", &saved, &state, "--where", &format!("{column}=2")])["states"][0]["rows"].as_array().unwrap().len(),
        1
    );
    let file = groups_files(&saved).remove(0);
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    for command in ["verify", "seal"] {
        let err = place.text(&["state", command, &saved], 6);
        assert!(err.contains(file.to_str().unwrap()), "{err}");
    }
    fs::remove_file(&file).unwrap();
    assert!(place.text(&["state", "verify", &saved], 6).contains("the file is missing"));
}

#[test]
fn the_state_of_a_running_job_is_shown_at_one_point_and_the_job_goes_on() {
    let place = Place::new();
    place.text(&["run", "-d", "-q", "watch.toml", "-D", "execution.checkpointing.interval=1h"], 0);
    let state = until("the rows to be counted", || {
        let scanned = place.json(&["state", "scan", "counts", "t"]);
        (scanned["rows"].as_array()?.len() == 3).then(|| scanned["state"].as_str().unwrap().to_owned())
    });
    let found = place.json(&["state", "get", "counts", &state, "--key", "a=1"]);
    let row = &found["rows"][0];
    assert!(found["rows"].as_array().unwrap().len() == 1 && row["a"] == 1, "{found}");
    let column = found["columns"].as_array().unwrap().last().unwrap()["name"].as_str().unwrap().to_owned();
    assert_eq!(row[&column], 2);
    assert!(place.text(&["state", "get", "counts", &state, "--key", "a=77"], 0).contains("(no rows)"));
    assert!(place.text(&["state", "scan", "counts", &state, "--limit", "1"], 0).contains("these are the first 1"));
    fs::write(place.path().join("in/2.json"), "{\"a\":1,\"b\":\"new\"}\n").unwrap();
    until("the new row to be counted", || {
        (place.json(&["state", "get", "counts", &state, "--key", "a=1"])["rows"][0][&column] == 3).then_some(())
    });
    let misspelled = state.replace("groups", "group");
    for (args, code, says) in [
        (vec!["state", "get", "counts", &misspelled, "--key", "a=1"], 2, "did you mean"),
        (vec!["state", "get", "counts", &state, "--key", "a=x"], 2, "\"x\" is no BIGINT"),
        (vec!["state", "get", "counts", &state], 2, "--key"),
        (vec!["state", "scan", "nobody", &state], 3, "nobody"),
    ] {
        let err = place.text(&args, code);
        assert!(err.contains(says), "{args:?}: {err}");
    }
    // Looking is no checkpoint: nothing was committed because of it.
    assert_eq!(place.last_count(), None);
    place.text(&["stop", "-q", "-p", "saved", "counts"], 0);
    assert_eq!(place.last_count(), Some(3));
    assert!(place.text(&["state", "scan", "counts", &state], 3).contains("has ended"));
}

#[test]
fn what_a_killed_job_left_unfinished_is_cleaned_up_when_asked() {
    let place = Place::new();
    let job = place.path().join("checkpoints/0000000000000000000000000000002a");
    fs::create_dir_all(job.join("chk-3")).unwrap();
    fs::write(job.join("chk-3/part-0.parquet"), "half").unwrap();
    assert!(place.text(&["state", "gc", "checkpoints"], 0).contains("Nothing to delete"), "it is too young");
    assert!(place.text(&["state", "gc", "checkpoints", "--older-than", "0s"], 0).contains("nothing was deleted"));
    assert!(job.join("chk-3").exists());
    assert!(place.text(&["state", "gc", "checkpoints", "--older-than", "0s", "--yes"], 0).contains("Deleted 1"));
    assert!(!job.join("chk-3").exists());
}
