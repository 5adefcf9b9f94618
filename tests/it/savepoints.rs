//! Savepoints that take long, fail, or are followed by a failure: whoever waits is told how far they are, the job runs on, nothing half-written
//! stays, and the way back is there until the sinks have committed.

use crate::job_dir::until;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// Its rows go to standard output, which nobody reads at first: the job stands still, barriers and all.
const STUCK: &str = r#"[pipeline]
name = "stuck"
[execution.checkpointing]
interval = "1 h"
dir = "checkpoints"
[sources.gen]
connector = "datagen"
schema = "n BIGINT, s STRING"
fields.s.length = 1000
[transforms.t]
sql = "SELECT n, COUNT(*) AS c, MAX(s) AS s FROM gen GROUP BY n"
[sinks.out]
input = "t"
connector = "stdout"
format = "debezium-json"
"#;

/// Writes files that become visible with checkpoints.
const FILES: &str = r#"[pipeline]
name = "files"
[parallelism]
default = 1
[restart-strategy]
type = "none"
[execution.checkpointing]
interval = "1 h"
dir = "checkpoints"
[sources.nums]
connector = "filesystem"
path = "in"
format = "json"
#WATCH
schema = "a BIGINT"
[sinks.out]
input = "nums"
connector = "filesystem"
path = "out"
format = "json"
"#;

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("fl").tempdir().unwrap();
        fs::write(dir.path().join("stuck.toml"), STUCK).unwrap();
        fs::write(dir.path().join("files.toml"), FILES).unwrap();
        fs::write(dir.path().join("watch.toml"), FILES.replace("#WATCH", "source.monitor-interval = \"5 ms\"")).unwrap();
        fs::create_dir(dir.path().join("in")).unwrap();
        Self(dir)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn environment(&self, command: &mut Command) {
        command.current_dir(self.path()).stdin(Stdio::null());
        command.env("FLINK_STATE_DIR", self.path().join("state")).env("FLINK_RUNTIME_DIR", self.path().join("run"));
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flink"));
        self.environment(command.args(args));
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    fn text(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{args:?}: {out}{err}");
        out.trim_end().to_owned()
    }

    fn refused(&self, args: &[&str], code: i32) -> String {
        let output = self.run(args);
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}{err}", String::from_utf8_lossy(&output.stdout));
        err
    }

    /// Starts the job that stands still once its pipe is full.
    fn stuck(&self) -> Child {
        let child = self.command(&["run", "stuck.toml"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut before = None;
        until("the job to stand still", || {
            let now = self.records();
            let stands = now > 0 && before.replace(now) == Some(now);
            // Two looks a moment apart: a job that runs has read on meanwhile.
            std::thread::sleep(std::time::Duration::from_millis(100));
            stands.then_some(())
        });
        child
    }

    /// How many rows have left the source.
    fn records(&self) -> u64 {
        let output = self.run(&["list", "-q"]);
        let id = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if id.is_empty() {
            return 0;
        }
        let ask = |path: &str| -> Option<Value> {
            let endpoint = flink::rest::client::Endpoint::Socket(self.path().join("run").join(format!("{id}.sock")));
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(flink::rest::client::Client::new(endpoint).get(path)).ok()
        };
        let Some(details) = ask(&format!("/jobs/{id}")) else { return 0 };
        let written = details["vertices"].as_array().unwrap().iter().map(|v| v["metrics"]["write-records"].as_u64().unwrap_or(0));
        written.sum()
    }

    fn entries(&self, name: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.path().join(name)).into_iter().flatten();
        let mut entries: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        entries
    }

    /// Rows that can be seen in the sink's files, with how often they are there.
    fn visible(&self) -> BTreeMap<String, usize> {
        let mut rows = BTreeMap::new();
        let hidden = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with('.');
        for file in self.entries("out").iter().filter(|path| path.is_file() && !hidden(path)) {
            for line in fs::read_to_string(file).unwrap().lines() {
                *rows.entry(line.to_owned()).or_default() += 1;
            }
        }
        rows
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // A test that failed half-way must not leave a job behind.
        for id in String::from_utf8_lossy(&self.run(&["list", "-q"]).stdout).lines() {
            let _ = self.run(&["cancel", id]);
        }
    }
}

fn rows(range: std::ops::Range<usize>) -> String {
    range.fold(String::new(), |rows, n| rows + &format!("{{\"a\":{n}}}\n"))
}

/// Reads what the job writes, from now on.
fn let_go(child: &mut Child) -> std::thread::JoinHandle<()> {
    let mut out = child.stdout.take().unwrap();
    std::thread::spawn(move || {
        let mut buffer = vec![0; 1 << 20];
        while out.read(&mut buffer).is_ok_and(|length| length > 0) {}
    })
}

#[test]
fn a_savepoint_that_takes_too_long_by_its_own_timeout_fails_alone_and_leaves_nothing() {
    let place = Place::new();
    let mut job = place.stuck();
    for command in [
        &["savepoint", "--timeout", "200 ms", "stuck", "saved"][..],
        &["savepoint", "-type", "native", "--timeout", "200 ms", "stuck", "saved"],
        &["stop", "--timeout", "200 ms", "-p", "saved", "stuck"],
    ] {
        let err = place.refused(command, 5);
        assert!(err.contains("expired"), "{err}");
        assert_eq!(place.text(&["list", "-r", "-q"]).lines().count(), 1, "the job runs on");
    }
    // A checkpoint's own timeout is another one: a savepoint without a timeout waits as long as it takes.
    let reader = let_go(&mut job);
    // Nobody deletes under the hands of a task that may still write: it must have come by.
    until("what was written to be removed", || place.entries("saved").is_empty().then_some(()));
    let saved = place.text(&["stop", "-q", "-p", "saved", "stuck"]);
    assert!(Path::new(saved.trim_start_matches("file:")).join("_metadata").exists());
    assert!(job.wait().unwrap().success());
    reader.join().unwrap();
    assert!(place.text(&["state", "ls", "latest"]).contains("Savepoint of a stop"));
}

#[test]
fn a_detached_savepoint_is_asked_after_until_it_is_complete() {
    let place = Place::new();
    let mut job = place.stuck();
    let said = place.text(&["savepoint", "-detached", "stuck", "saved"]);
    assert!(said.starts_with("Triggering savepoint in detached mode for job "), "{said}");
    let trigger = said.lines().last().unwrap().strip_prefix("Successfully trigger manual savepoint, triggerId: ").unwrap().to_owned();
    let status = || -> Value { serde_json::from_str(&place.text(&["savepoint", "--status", &trigger, "stuck", "-o", "json"])).unwrap() };
    assert_eq!(status()["status"], "IN_PROGRESS");
    let short = place.text(&["savepoint", "-q", "-detached", "--timeout", "100 ms", "stuck", "saved"]);
    until("the short one to expire", || {
        let output = place.run(&["savepoint", "--status", &short, "stuck"]);
        (output.status.code() == Some(5)).then(|| assert!(String::from_utf8_lossy(&output.stderr).contains("expired")))
    });
    let unknown = "0123456789abcdef0123456789abcdef";
    assert!(place.refused(&["savepoint", "--status", unknown, "stuck"], 5).contains(unknown));
    let reader = let_go(&mut job);
    let path = until("the savepoint to be complete", || status()["path"].as_str().map(str::to_owned));
    assert!(Path::new(path.trim_start_matches("file:")).join("_metadata").exists());
    place.text(&["cancel", "-q", "stuck"]);
    job.wait().unwrap();
    reader.join().unwrap();
    assert_eq!(place.entries("saved").len(), 1, "the one that expired has left nothing");
}

#[test]
fn whoever_waits_sees_how_far_a_savepoint_is_on_a_terminal_and_elsewhere() {
    let place = Place::new();
    let mut job = place.stuck();
    // `script` gives the command a terminal.
    let mut terminal = Command::new("script");
    place.environment(&mut terminal);
    let line = format!("{} savepoint --timeout '1500 ms' stuck saved", env!("CARGO_BIN_EXE_flink"));
    terminal.args(["-qec", &line, "/dev/null"]).env_remove("CI").env("TERM", "xterm");
    let output = terminal.output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(shown.contains("subtasks") && shown.contains("savepoint 1"), "{shown}");
    assert!(shown.contains("expired"), "{shown}");
    let reader = let_go(&mut job);
    place.text(&["cancel", "-q", "stuck"]);
    job.wait().unwrap();
    reader.join().unwrap();
}

#[test]
fn a_stop_whose_sink_cannot_commit_says_so_and_deletes_no_way_back() {
    let place = Place::new();
    fs::write(place.path().join("in/1.json"), rows(0..100)).unwrap();
    place.text(&["run", "-d", "-q", "watch.toml"]);
    let hidden = until("a file that is being written", || {
        place.entries("out").into_iter().find(|path| path.extension().is_some_and(|e| e == "inprogress"))
    });
    let before = place.text(&["checkpoint", "-q", "files"]);
    // From now on files may be visible; the next ones get no name of their own.
    until("the first rows to be visible", || (!place.visible().is_empty()).then_some(()));
    fs::write(place.path().join("in/2.json"), rows(100..200)).unwrap();
    let next = until("the next file", || {
        let found = place.entries("out").into_iter().find(|path| path.extension().is_some_and(|e| e == "inprogress") && *path != hidden);
        found.filter(|path| fs::metadata(path).is_ok())
    });
    let name = next.file_stem().unwrap().to_string_lossy().trim_start_matches('.').to_owned();
    let blocked: Vec<PathBuf> = ["", ".json"].iter().map(|end| place.path().join("out").join(format!("{name}{end}"))).collect();
    for path in &blocked {
        fs::create_dir_all(path.join("in the way")).unwrap();
    }
    let err = place.refused(&["stop", "-p", "saved", "files"], 5);
    assert!(err.contains("A savepoint has been created at: ") && err.contains("might have uncommitted transactions"), "{err}");
    // The savepoint is there and sound, and so is the checkpoint before it.
    let saved = place.entries("saved").remove(0);
    assert!(place.text(&["state", "verify", saved.to_str().unwrap()]).contains("is sound"));
    let checkpoints = place.entries("checkpoints").into_iter().flat_map(|job| fs::read_dir(job).unwrap().map(|e| e.unwrap().path()));
    let kept: Vec<PathBuf> = checkpoints.filter(|path| path.join("_metadata").exists()).collect();
    assert!(kept.iter().any(|path| path.ends_with(format!("chk-{before}"))), "{kept:?}");
    for path in blocked {
        fs::remove_dir_all(path).unwrap();
    }
    // As the message says: the job that is started from it commits what was not committed.
    place.text(&["run", "-s", "latest", "-q", "files.toml"]);
    let seen = place.visible();
    assert_eq!((seen.len(), seen.values().all(|times| *times == 1)), (200, true), "{seen:?}");
}
