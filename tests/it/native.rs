//! Native savepoints and checkpoints of the `rocksdb` backend on the real program: what they hold, who can read them, what they cost.

use crate::job_dir::{ask, until};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Counts and sums by key; `WATCH` makes it wait for more files.
const JOB: &str = r#"[pipeline]
name = "sums"
[parallelism]
default = 2
[execution.checkpointing]
interval = "1 h"
num-retained = 3
externalized-checkpoint-retention = "RETAIN_ON_CANCELLATION"
dir = "checkpoints"
incremental = true
[state.backend]
type = "rocksdb"
[sources.nums]
connector = "filesystem"
path = "in"
format = "csv"
schema = "k BIGINT, v BIGINT, t STRING"
#WATCH
[transforms.t]
sql = "SELECT k, COUNT(*) AS n, SUM(v) AS v, MAX(t) AS t FROM nums GROUP BY k"
[sinks.out]
input = "t"
connector = "blackhole"
"#;

const STATE: &str = "t/group-aggregate-1/groups";
const KEYS: usize = 20_000;
const HASHMAP: &str = "state.backend.type=hashmap";

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("fl").tempdir().unwrap();
        fs::write(dir.path().join("job.toml"), JOB).unwrap();
        fs::write(dir.path().join("watch.toml"), JOB.replace("#WATCH", "source.monitor-interval = \"5 ms\"")).unwrap();
        fs::create_dir(dir.path().join("in")).unwrap();
        Self(dir)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// A whole file of rows, one for each of `keys`.
    fn feed(&self, name: &str, keys: impl Iterator<Item = usize>) {
        let rows: String = keys.fold(String::new(), |rows, k| rows + &format!("{k},{},text {k}\n", k % 7));
        fs::write(self.path().join(format!("{name}.tmp")), rows).unwrap();
        fs::rename(self.path().join(format!("{name}.tmp")), self.path().join("in").join(name)).unwrap();
    }

    fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flink"));
        command.args(args).current_dir(self.path()).stdin(Stdio::null());
        command.env("FLINK_STATE_DIR", self.path().join("state")).env("FLINK_RUNTIME_DIR", self.path().join("run"));
        command.output().unwrap()
    }

    fn text(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{args:?}: {out}{err}");
        out.trim_end().to_owned()
    }

    fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.text(&[args, &["-o", "json"]].concat())).unwrap()
    }

    /// Starts the job; returns when it has counted `rows` rows.
    fn started(&self, flags: &[&str], rows: u64) {
        self.text(&[&["run", "-d", "-q", "watch.toml"], flags].concat());
        self.until_counted(rows);
    }

    fn until_counted(&self, rows: u64) {
        until("the rows to be counted", || {
            let found = self.json(&["state", "scan", "sums", STATE, "--where", "k=7"]);
            (found["rows"][0]["records"].as_u64()? >= rows).then_some(())
        });
    }

    /// Bytes that were written for the newest checkpoint, and bytes of all its files, as the job's process tells them.
    fn sizes(&self) -> (u64, u64) {
        let job = self.json(&["list"])["jobs"][0]["id"].as_str().unwrap().to_owned();
        let said = ask(&self.path().join("run"), &job, "/checkpoints").unwrap();
        let size = |name: &str| said["latest"]["completed"][name].as_u64().unwrap();
        (size("checkpointed_size"), size("state_size"))
    }

    fn rows(&self, saved: &Path) -> BTreeSet<String> {
        let rows = self.text(&["state", "export", saved.to_str().unwrap(), STATE]);
        rows.lines().map(str::to_owned).collect()
    }
}

/// The path that a command has printed.
fn path_of(said: &str) -> PathBuf {
    PathBuf::from(said.trim().trim_start_matches("file:"))
}

/// Every file below a directory but `_metadata`, by its relative path.
fn files(dir: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut waiting = vec![dir.to_owned()];
    while let Some(next) = waiting.pop() {
        for path in fs::read_dir(next).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() { waiting.push(path) } else { assert!(found.insert(path.strip_prefix(dir).unwrap().to_owned())) }
        }
    }
    found
}

impl Drop for Place {
    fn drop(&mut self) {
        // A test that failed half-way must not leave a job behind.
        for id in String::from_utf8_lossy(&self.run(&["list", "-q"]).stdout).lines() {
            let _ = self.run(&["cancel", id]);
        }
    }
}

/// So that keys go down to the store and come up again.
const LITTLE: [&str; 2] = ["-D", "state.backend.rocksdb.memory.fixed-per-tm=256 kb"];

fn is_native(dir: &Path) -> bool {
    fs::read_to_string(dir.join("_metadata")).unwrap().contains("\"stores\"")
}

#[test]
fn a_native_savepoint_is_read_compared_checked_moved_and_restored_on_either_backend() {
    let place = Place::new();
    place.feed("1.csv", 0..KEYS);
    place.started(&LITTLE, 1);
    let canonical = path_of(&place.text(&["savepoint", "-q", "sums", "saved"]));
    let said = place.text(&["savepoint", "-type", "native", "sums", "saved"]);
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[0].starts_with("Triggering savepoint for job ") && lines[1] == "Waiting for response...", "{said}");
    assert_eq!(lines[3], "You can resume your program from this savepoint with the run command.");
    let native = path_of(lines[2].strip_prefix("Savepoint completed. Path: ").unwrap());
    assert!(is_native(&native) && !is_native(&canonical));
    let stopped = place.text(&["stop", "--type", "NATIVE", "-p", "saved", "sums"]);
    assert!(stopped.starts_with("Suspending job \"") && stopped.contains("\" with a NATIVE savepoint.\n"), "{stopped}");
    // Nothing of the job is needed any more, nor is the place where it was taken.
    fs::remove_dir_all(place.path().join("checkpoints")).unwrap();
    fs::create_dir(place.path().join("elsewhere")).unwrap();
    let moved = place.path().join("elsewhere/savepoint-moved");
    fs::rename(&native, &moved).unwrap();
    let path = moved.to_str().unwrap();

    let listed = place.text(&["state", "ls", path]);
    assert!(listed.contains("native, version 2") && listed.contains("groups (native)"), "{listed}");
    let rows = place.rows(&canonical);
    assert_eq!((rows.len(), &place.rows(&moved)), (KEYS, &rows));
    assert!(place.text(&["state", "show", path, STATE, "--key", "k=4711"]).contains("4711"));
    assert_eq!(place.json(&["state", "diff", canonical.to_str().unwrap(), path])["same"], true);
    assert!(place.text(&["state", "verify", path]).contains(&format!("{} rows.", KEYS + 1)), "the splits count, too");
    assert_eq!(place.run(&["state", "seal", path]).status.code(), Some(2));
    assert!(fs::read_dir(place.path().join("state/local")).unwrap().next().is_none(), "something was left behind");

    let before = files(&moved);
    for (backend, parallelism) in [(HASHMAP, "1"), ("state.backend.type=rocksdb", "3")] {
        let flags = ["-D", backend, "-p", parallelism];
        assert!(place.text(&[&["check", "-s", path, "job.toml"], &flags[..]].concat()).contains("restores."));
        place.started(&[&["-s", path], &flags[..]].concat(), 1);
        // Of hashmap the canonical form is written whatever was asked for.
        let again = path_of(&place.text(&["stop", "-q", "-type", "native", "-p", "saved", "sums"]));
        assert_eq!(is_native(&again), backend != HASHMAP);
        assert_eq!(place.rows(&again), rows, "{backend}");
    }
    assert_eq!(files(&moved), before, "nothing was taken from it");
    place.text(&["savepoint", "-d", path]);
    assert!(!moved.exists());
}

#[test]
fn a_native_savepoint_may_be_claimed_and_ends_a_job_that_is_cancelled_with_it() {
    let place = Place::new();
    place.feed("1.csv", 0..2_000);
    place.started(&LITTLE, 1);
    let said = place.text(&["cancel", "-s", "saved", "-type", "native", "sums"]);
    assert!(said.contains("with NATIVE savepoint to saved."), "{said}");
    let saved = fs::read_dir(place.path().join("saved")).unwrap().next().unwrap().unwrap().path();
    assert!(is_native(&saved));
    let path = saved.to_str().unwrap();
    place.started(&["-s", path, "-cm", "claim", "-D", "execution.checkpointing.num-retained=1"], 1);
    place.feed("2.csv", 0..10);
    place.until_counted(2);
    place.text(&["checkpoint", "-q", "sums"]);
    until("what was claimed to be replaced", || (!saved.exists()).then_some(()));
    place.text(&["cancel", "-q", "sums"]);
    assert!(place.text(&["state", "verify", "latest"]).contains("is sound"));
    assert!(place.run(&["savepoint", "-type", "nativ", "sums"]).status.code() == Some(2));
}

#[test]
fn a_checkpoint_after_few_changes_writes_little_and_a_full_one_everything() {
    const MANY: usize = 100_000;
    let place = Place::new();
    place.feed("1.csv", 0..MANY);
    place.started(&[], 1);
    // As the file's last row is the last to come, all are there when it is.
    until("all rows", || {
        let last = place.json(&["state", "get", "sums", STATE, "--key", &format!("k={}", MANY - 1)]);
        (last["rows"].as_array()?.len() == 1).then_some(())
    });
    let shared = |place: &Place| -> u64 {
        let job = fs::read_dir(place.path().join("checkpoints")).unwrap().next().unwrap().unwrap().path();
        fs::read_dir(job.join("shared")).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum()
    };
    let said = place.text(&["checkpoint", "sums"]);
    assert!(said.contains("Checkpoint 1 for job ") || said.contains(" completed."), "{said}");
    let first = shared(&place);
    place.feed("2.csv", (0..MANY).step_by(100).map(|k| if k == 0 { 7 } else { k }));
    place.until_counted(2);
    place.text(&["checkpoint", "-q", "sums"]);
    let small = shared(&place) - first;
    assert!(small > 0 && small * 10 <= first, "{small} bytes after {first}");
    let (written, whole) = place.sizes();
    assert!(written >= small && written * 10 <= whole && whole >= first, "{written} bytes were written of {whole}");
    let said = place.text(&["checkpoint", "-full", "sums"]);
    assert!(said.contains("Checkpoint(FULL) "), "{said}");
    let (written, whole) = place.sizes();
    assert!(written <= whole && written * 10 > whole * 9, "{written} bytes were written of {whole}");
    let full = shared(&place) - first - small;
    assert!(full >= first, "{full} bytes; the first one had {first}");
    assert!(place.text(&["state", "verify", "latest"]).contains(&format!("{} rows.", MANY + 2)), "two files were read");
}

/// [`JOB`] with a function in Lua that only adds: nothing is read until somebody asks.
fn adding() -> String {
    let (before, rest) = JOB.split_once("[transforms.t]\n").unwrap();
    let (_, sinks) = rest.split_once("[sinks.out]").unwrap();
    let function = r#"[transforms.t]
input = "nums"
key-by = ["k"]
output = "k BIGINT"
lua = "function process(row) state.sum:add(row.v) end"
[transforms.t.state]
sum = { kind = "reducing", type = "BIGINT", reduce = "sum" }
"#;
    format!("{before}{function}[sinks.out]{sinks}").replace("#WATCH", "source.monitor-interval = \"5 ms\"")
}

#[test]
fn a_checkpoint_of_what_was_only_added_to_is_sound_and_its_rows_are_put_together() {
    const SUM: &str = "t/process/sum";
    const ROUNDS: u64 = 4;
    /// The last of them adds six each time.
    const COUNT: usize = KEYS - 1;
    let place = Place::new();
    fs::write(place.path().join("watch.toml"), adding()).unwrap();
    place.text(&[&["run", "-d", "-q", "watch.toml"][..], &LITTLE].concat());
    for round in 1..=ROUNDS {
        place.feed(&format!("{round}.csv"), 0..COUNT);
        until("the last row to be added", || {
            let found = place.json(&["state", "get", "sums", SUM, "--key", &format!("k={}", COUNT - 1)]);
            (found["rows"][0]["value"].as_u64()? == round * 6).then_some(())
        });
        place.text(&["checkpoint", "-q", "sums"]);
    }
    place.text(&["cancel", "-q", "sums"]);
    let job = fs::read_dir(place.path().join("checkpoints")).unwrap().next().unwrap().unwrap().path();
    let newest = fs::read_to_string(job.join(format!("chk-{ROUNDS}")).join("_metadata")).unwrap();
    let manifest: Value = serde_json::from_str(&newest).unwrap();
    assert!(manifest.to_string().contains("\"at_most\":true"), "nothing was added without being read: {manifest}");
    assert!(place.text(&["state", "verify", "latest"]).contains("is sound"));
    let rows = place.text(&["state", "export", "latest", SUM]);
    assert_eq!(rows.lines().count(), COUNT);
    for row in rows.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        let key = row["k"].as_u64().unwrap();
        assert_eq!(row["value"].as_u64(), Some(ROUNDS * (key % 7)), "{row}");
    }
}
