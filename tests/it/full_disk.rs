//! A disk that is really full: a tmpfs of 256 kB as output, checkpoint, savepoint and state directory of the real program. What fails says
//! so once, nothing half-written is visible or stays, and with room made the job goes on to exactly the undisturbed output.
//!
//! Each test runs itself again in a mount namespace of its own (`unshare`, as root or in a user namespace), so that nothing stays mounted.
//! Where the system refuses that, the test says so and passes.

use super::job_dir::until;
use super::job_output::{JobOutput, outputs};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// Set in the process that has a namespace of its own.
const INSIDE: &str = "FLINK_TEST_MOUNT_NAMESPACE";

const SMALL: &str = "size=256k";

/// Runs this test in a mount namespace of its own; `true` where it already does.
#[expect(clippy::print_stderr, reason = "a test that is skipped says why")]
fn in_a_namespace(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let probe = tempfile::tempdir().unwrap();
    for flags in ["-rm", "-m"] {
        let mount = Command::new("unshare").args([flags, "mount", "-t", "tmpfs", "-o", SMALL, "none"]).arg(probe.path()).output();
        if !mount.is_ok_and(|mount| mount.status.success()) {
            continue;
        }
        let mut again = Command::new("unshare");
        again.arg(flags).arg(std::env::current_exe().unwrap()).args(["--exact", test, "--nocapture"]).env(INSIDE, "1");
        let again = again.output().unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&again.stdout), String::from_utf8_lossy(&again.stderr));
        assert!(again.status.success() && said.contains("1 passed"), "{said}");
        return false;
    }
    eprintln!("skipped: this system lets nobody mount a tmpfs (unshare -rm)");
    false
}

/// Rows of the first input file, which fit, and of the second, which do not.
const ROWS: [std::ops::Range<u64>; 2] = [0..50, 50..20_000];

const FILES: &str = r#"
[sinks.out]
input = "nums"
connector = "filesystem"
path = "${OUT}"
format = "json"
"#;

const TABLE: &str = r#"
[transforms.counts]
sql = "SELECT s, COUNT(*) AS n, MAX(id) AS last FROM nums GROUP BY s"
[sinks.out]
input = "counts"
connector = "jdbc"
url = "jdbc:sqlite:${OUT}/counts.db"
table-name = "counts"
"#;

/// A job's directory with a small disk in it, `small`.
struct Ground {
    dir: tempfile::TempDir,
    job: &'static str,
    out: PathBuf,
    checkpoints: PathBuf,
    state: PathBuf,
}

impl Drop for Ground {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.small()).output();
    }
}

impl Ground {
    fn new(job: &'static str) -> Self {
        let dir = tempfile::Builder::new().prefix("fl").tempdir().unwrap();
        let at = |name: &str| {
            let path = dir.path().join(name);
            fs::create_dir(&path).unwrap();
            path
        };
        let (out, checkpoints, state, small) = (at("out"), at("checkpoints"), at("state"), at("small"));
        at("input");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", SMALL, "none"]).arg(small).status().unwrap();
        assert!(mount.success());
        let ground = Self { dir, job, out, checkpoints, state };
        ground.feed(0);
        ground
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn small(&self) -> PathBuf {
        self.path().join("small")
    }

    fn make_room(&self) {
        let mount = Command::new("mount").args(["-o", "remount,size=64m"]).arg(self.small()).status().unwrap();
        assert!(mount.success());
    }

    /// Takes all that is left of the small disk.
    fn fill(&self) -> PathBuf {
        let path = self.small().join("filler");
        let mut file = File::create(&path).unwrap();
        while std::io::Write::write_all(&mut file, &[0; 4_096]).is_ok() {}
        path
    }

    /// Gives the job one of the two input files, at once and whole.
    fn feed(&self, number: usize) {
        let line = |id: u64| {
            // Texts that do not pack well.
            let noise = |salt: u64| (id + 1).wrapping_mul(salt).rotate_left(31).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            format!("{{\"id\":{id},\"s\":\"{:016x}{:016x}\"}}\n", noise(0xbf58_476d_1ce4_e5b9), noise(0x94d0_49bb_1331_11eb))
        };
        let hidden = self.path().join("fed");
        fs::write(&hidden, ROWS[number].clone().map(line).collect::<String>()).unwrap();
        fs::rename(hidden, self.path().join(format!("input/{number}.json"))).unwrap();
    }

    fn command(&self, args: &[&str]) -> Command {
        let source = "[execution.checkpointing]\ninterval = \"10 ms\"\ndir = \"${CHECKPOINTS}\"\n\
                      externalized-checkpoint-retention = \"RETAIN_ON_CANCELLATION\"\n\
                      [sources.nums]\nconnector = \"filesystem\"\npath = \"input\"\nformat = \"json\"\nschema = \"id BIGINT, s STRING\"\n";
        fs::write(self.path().join("job.toml"), format!("{source}{}", self.job)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_flink"));
        command.args(args).current_dir(self.path()).stdin(Stdio::null());
        command.env("OUT", &self.out).env("CHECKPOINTS", &self.checkpoints);
        command.env("FLINK_STATE_DIR", &self.state).env("FLINK_RUNTIME_DIR", self.path().join("run"));
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{args:?}: {}\n{text}{}", output.status, String::from_utf8_lossy(&output.stderr));
        text.trim_end().to_owned()
    }

    /// The job, waiting for files, once the first file's rows are visible: a complete checkpoint covers them.
    fn started(&self, flags: &[&str]) -> Attached {
        let err = self.path().join("err");
        let mut command = self.command(&["run", "-q", "-p", "2", "-Dsources.nums.source.monitor-interval=5 ms"]);
        command.args(flags).arg("job.toml").stdout(File::create(self.path().join("id")).unwrap()).stderr(File::create(&err).unwrap());
        let mut job = Attached { child: command.spawn().unwrap(), err };
        until("the first rows to be visible", || {
            let ended = job.child.try_wait().unwrap();
            assert!(ended.is_none(), "{}", fs::read_to_string(&job.err).unwrap());
            (self.rows().len() == 50).then_some(())
        });
        job
    }

    /// The id of the job that [`Self::started`] started.
    fn id(&self) -> String {
        fs::read_to_string(self.path().join("id")).unwrap().trim().to_owned()
    }

    /// The rows that others can see, sorted. Fails if a line or the database is not whole.
    fn rows(&self) -> Vec<String> {
        let text = self.job.replace("${OUT}", self.out.to_str().unwrap());
        let job = format!("[sources]\n{text}").parse().unwrap();
        outputs(&job).iter().flat_map(|output: &JobOutput| output.rows(self.path())).collect()
    }

    /// What an undisturbed run gives for both files.
    fn undisturbed(&self) -> Vec<String> {
        let plain = Self::new(self.job);
        plain.feed(1);
        plain.ok(&["run", "-q", "job.toml"]);
        plain.rows()
    }

    /// With room made, the job goes on from its newest checkpoint to the end of its input.
    fn assert_goes_on_to_the_undisturbed_output(&self) {
        self.make_room();
        self.ok(&["run", "-q", "-s", "latest", "job.toml"]);
        assert_eq!(self.rows(), self.undisturbed());
    }
}

/// A job's process. Killed with the test.
struct Attached {
    child: Child,
    err: PathBuf,
}

impl Drop for Attached {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Attached {
    /// What it said when it ended with exit code `code`.
    fn ended(mut self, code: i32) -> String {
        let status = until("the job to end", || self.child.try_wait().unwrap());
        let err = fs::read_to_string(&self.err).unwrap();
        assert_eq!(status.code(), Some(code), "{err}");
        err
    }
}

/// The message names the cause, and a path below `dir`, once.
fn assert_names_the_full_disk_once(err: &str, dir: &Path) {
    let line = err.lines().find(|line| line.contains("No space left on device")).unwrap_or_else(|| panic!("no reason: {err}"));
    assert_eq!(line.matches(dir.to_str().unwrap()).count(), 1, "{err}");
    assert_eq!(err.matches("No space left on device").count(), 1, "{err}");
    assert!(!err.contains("panicked"), "{err}");
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

const NO_RESTART: &str = "-Drestart-strategy.type=none";

#[test]
fn a_full_output_directory_fails_the_job_and_shows_nothing_half_written() {
    if !in_a_namespace("full_disk::a_full_output_directory_fails_the_job_and_shows_nothing_half_written") {
        return;
    }
    let mut ground = Ground::new(FILES);
    ground.out = ground.small().join("out");
    let job = ground.started(&[NO_RESTART]);
    ground.feed(1);
    let err = job.ended(1);
    assert_names_the_full_disk_once(&err, &ground.out);
    let (visible, undisturbed) = (ground.rows(), ground.undisturbed());
    assert!(visible.len() >= 50 && visible.iter().all(|row| undisturbed.binary_search(row).is_ok()), "a row is not whole");
    ground.assert_goes_on_to_the_undisturbed_output();
}

#[test]
fn a_job_that_may_restart_goes_on_by_itself_when_there_is_room_again() {
    if !in_a_namespace("full_disk::a_job_that_may_restart_goes_on_by_itself_when_there_is_room_again") {
        return;
    }
    let mut ground = Ground::new(FILES);
    ground.out = ground.small().join("out");
    let restarts = ["type=fixed-delay", "fixed-delay.attempts=1000", "fixed-delay.delay=20 ms"].map(|r| format!("-Drestart-strategy.{r}"));
    let job = ground.started(&restarts.each_ref().map(String::as_str));
    ground.feed(1);
    let id = ground.id();
    until("the job to have been restarted", || {
        let said = fs::read_to_string(&job.err).unwrap();
        (said.matches("the job restarts").count() > 2).then_some(())
    });
    ground.make_room();
    until("all rows to be visible", || (ground.rows().len() == 20_000).then_some(()));
    ground.ok(&["stop", "-q", &id]);
    job.ended(0);
    assert_eq!(ground.rows(), ground.undisturbed());
}

#[test]
fn a_full_checkpoint_directory_fails_the_job_and_the_newest_complete_checkpoint_is_the_way_back() {
    if !in_a_namespace("full_disk::a_full_checkpoint_directory_fails_the_job_and_the_newest_complete_checkpoint_is_the_way_back") {
        return;
    }
    let mut ground = Ground::new(TABLE);
    ground.checkpoints = ground.small().join("checkpoints");
    let job = ground.started(&[NO_RESTART]);
    let id = ground.id();
    ground.feed(1);
    let err = job.ended(1);
    assert_names_the_full_disk_once(&err, &ground.checkpoints);
    for name in names(&ground.checkpoints.join(id)) {
        let attempt = ground.checkpoints.join(ground.id()).join(&name);
        assert!(!name.starts_with("chk-") || attempt.join("_metadata").exists(), "{name} is half-written");
    }
    ground.assert_goes_on_to_the_undisturbed_output();
}

#[test]
fn a_full_state_directory_is_warned_of_and_does_not_end_a_job_that_runs() {
    if !in_a_namespace("full_disk::a_full_state_directory_is_warned_of_and_does_not_end_a_job_that_runs") {
        return;
    }
    let mut ground = Ground::new(FILES);
    ground.state = ground.small().join("state");
    let job = ground.started(&[NO_RESTART]);
    let id = ground.id();
    let filler = ground.fill();
    ground.feed(1);
    // Its record cannot be rewritten; what the job does for its users goes on.
    until("all rows to be visible", || (ground.rows().len() == 20_000).then_some(()));
    let other = format!("-Dsinks.out.path={}", ground.path().join("other").display());
    let warned = ground.run(&["run", "-q", "-Dpipeline.name=other", &other, "job.toml"]);
    let err = String::from_utf8_lossy(&warned.stderr);
    assert!(warned.status.success() && err.contains("the job's record could not be written"), "{err}");
    let line = err.lines().find(|line| line.contains("No space left on device")).unwrap();
    assert_eq!(line.matches(ground.state.to_str().unwrap()).count(), 1, "{err}");
    let detached = ground.run(&["run", "-d", "-Dpipeline.name=third", &other, "job.toml"]);
    let err = String::from_utf8_lossy(&detached.stderr);
    assert!(detached.status.code() == Some(1) && err.contains("No space left on device"), "{:?} {err}", detached.status);
    fs::remove_file(filler).unwrap();
    ground.ok(&["stop", "-q", "-p", ground.path().join("sp").to_str().unwrap(), &id]);
    job.ended(0);
    assert_eq!(ground.rows(), ground.undisturbed());
}

#[test]
fn a_savepoint_into_a_full_directory_fails_alone_and_leaves_nothing() {
    if !in_a_namespace("full_disk::a_savepoint_into_a_full_directory_fails_alone_and_leaves_nothing") {
        return;
    }
    let ground = Ground::new(TABLE);
    let job = ground.started(&[NO_RESTART]);
    let id = ground.id();
    ground.feed(1);
    until("all rows to be visible", || (ground.rows().len() == 20_000).then_some(()));
    let small = ground.small();
    let target = small.to_str().unwrap();
    for command in
        [["savepoint", &id, target].as_slice(), &["savepoint", "-type", "canonical", &id, target], &["cancel", "-s", target, &id]]
    {
        let failed = ground.run(command);
        let err = String::from_utf8_lossy(&failed.stderr).into_owned();
        assert_eq!(failed.status.code(), Some(5), "{command:?}: {err}");
        assert_names_the_full_disk_once(&err, &small);
        // Its files go when the last subtask has given up writing them.
        until(&format!("{command:?} to leave nothing"), || names(&small).is_empty().then_some(()));
        assert_eq!(ground.ok(&["list", "-q"]), id, "the job goes on after {command:?}");
    }
    ground.make_room();
    let path = ground.ok(&["stop", "-q", "-p", target, &id]);
    job.ended(0);
    ground.ok(&["run", "-q", "-s", &path, "job.toml"]);
    assert_eq!(ground.rows(), ground.undisturbed());
}

#[test]
fn a_full_disk_under_a_table_fails_the_job_and_the_table_stays_whole() {
    if !in_a_namespace("full_disk::a_full_disk_under_a_table_fails_the_job_and_the_table_stays_whole") {
        return;
    }
    let mut ground = Ground::new(TABLE);
    ground.out = ground.small();
    let job = ground.started(&[NO_RESTART]);
    ground.feed(1);
    let err = job.ended(1);
    assert!(err.contains("full") && err.contains("counts"), "{err}");
    assert_eq!(ground.rows().len(), 50);
    ground.assert_goes_on_to_the_undisturbed_output();
}
