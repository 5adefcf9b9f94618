//! A job in a directory of its own, and the processes that run it there.

use super::job_output::{JobOutput, outputs};
use super::program::{built, checkout};
use flink::rest::client::{Client, Endpoint};
use serde_json::Value;
use std::collections::{BTreeSet, VecDeque};
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use toml_edit::DocumentMut;

/// The longest that anything is waited for. Far longer than anything takes: when it is over, something hangs.
const DEADLINE: Duration = Duration::from_mins(1);

/// The pause between two looks at something that is waited for.
const POLL: Duration = Duration::from_millis(2);

/// Golden jobs that run at the same time in one test.
const AT_ONCE: usize = 3;

/// A folder with a `job.toml`, `input/` and `expected/`.
#[derive(Debug)]
pub(crate) struct GoldenJob {
    /// The folder's name.
    pub(crate) name: String,
    path: PathBuf,
    document: DocumentMut,
    /// What runs it: the binary under test, or the program of the package that a file `program` names.
    program: PathBuf,
}

impl GoldenJob {
    /// The folder of this name in `tests/jobs`.
    pub(crate) fn named(name: &str) -> Self {
        Self::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/jobs").join(name))
    }

    /// All folders of `tests/jobs`.
    fn all() -> Vec<Self> {
        let root = checkout().join("tests/jobs");
        let mut paths: Vec<PathBuf> = fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path()).filter(|p| p.is_dir()).collect();
        paths.sort();
        assert!(paths.len() >= 10, "only {} golden jobs were found in {}", paths.len(), root.display());
        paths.into_iter().map(|path| Self::read(&path)).collect()
    }

    /// The folder `path`.
    pub(crate) fn read(path: &Path) -> Self {
        let file = path.join("job.toml");
        let text = fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        let document = text.parse().unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        let program = match fs::read_to_string(path.join("program")) {
            Ok(package) => built(package.trim()),
            Err(_) => PathBuf::from(env!("CARGO_BIN_EXE_flink")),
        };
        Self { name: path.file_name().unwrap().to_str().unwrap().to_owned(), path: path.to_owned(), document, program }
    }

    /// BATCH takes no checkpoints.
    pub(crate) fn is_batch(&self) -> bool {
        self.document.get("execution").and_then(|e| e.get("runtime-mode")).and_then(|m| m.as_str()) == Some("BATCH")
    }

    pub(crate) fn outputs(&self) -> Vec<JobOutput> {
        outputs(&self.document)
    }

    /// The flags that make the job last: files are waited for, rows that are made up come slowly.
    fn lasting(&self) -> Vec<String> {
        let mut flags = Vec::new();
        for (name, source) in self.document["sources"].as_table().unwrap() {
            flags.push(match source["connector"].as_str().unwrap() {
                "filesystem" => format!("-Dsources.{name}.source.monitor-interval=5 ms"),
                "datagen" => format!("-Dsources.{name}.rows-per-second=8000"),
                other => panic!("it is not known here how to make {other} last"),
            });
        }
        flags
    }

    fn expected(&self, output: &JobOutput) -> PathBuf {
        self.path.join("expected").join(&output.expected)
    }

    /// Writes what the job has written to `dir` as what is expected of it.
    fn update(&self, dir: &Path) {
        for output in self.outputs() {
            let file = self.expected(&output);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, output.rows(dir).iter().flat_map(|row| [row, "\n"]).collect::<String>()).unwrap();
        }
    }
}

/// Runs `test` on every golden job, some of them at once. A failure names its job.
pub(crate) fn with_every_job(test: impl Fn(&GoldenJob) + Sync) {
    let jobs = GoldenJob::all();
    let next = AtomicUsize::new(0);
    let worker = || {
        while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            test(job);
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(worker)).collect();
        for worker in workers {
            worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
    });
}

/// How a process is started.
#[derive(Debug, Clone, Default)]
pub(crate) struct Start {
    /// 0: what the job says.
    pub(crate) parallelism: usize,
    /// The job goes on until it is ended.
    pub(crate) lasting: bool,
    /// What `-s` is given.
    pub(crate) restore: Option<String>,
    /// `execution.checkpointing.interval`, if not the default.
    pub(crate) checkpoints: Option<&'static str>,
    /// On RocksDB with incremental checkpoints, and with so little memory that groups come and go all the time; else on the heap.
    pub(crate) rocksdb: bool,
    /// Checkpoints are unaligned.
    pub(crate) unaligned: bool,
    /// Further options: `key=value`.
    pub(crate) options: Vec<String>,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// By SIGKILL.
    Killed,
    /// By itself, with exit code 0: the job has finished, or was stopped.
    Finished,
}

/// A golden job's copy. Kept, and named, if the test fails.
#[derive(Debug)]
pub(crate) struct JobDir<'a> {
    job: &'a GoldenJob,
    temporary: TempDir,
    path: PathBuf,
    /// Input files that the job does not see yet: where they lie and where they belong.
    held: VecDeque<(PathBuf, PathBuf)>,
    processes: usize,
    /// What every process finds in its environment beside its places.
    pub(crate) environment: Vec<(String, String)>,
}

#[expect(clippy::print_stderr, reason = "whoever reads the failure must find the directory")]
impl Drop for JobDir<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.temporary.disable_cleanup(true);
            eprintln!("job {}: the directory is kept: {}", self.job.name, self.path.display());
        }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// Waits until there is an answer.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = look() {
            return answer;
        }
        assert!(start.elapsed() < DEADLINE, "waited {DEADLINE:?} for {what}");
        thread::sleep(POLL);
    }
}

impl<'a> JobDir<'a> {
    /// A copy with all its input.
    pub(crate) fn new(job: &'a GoldenJob) -> Self {
        // Short: a socket's path has a hundred bytes.
        let temporary = tempfile::Builder::new().prefix("fl").tempdir().unwrap();
        let path = temporary.path().canonicalize().unwrap();
        copy(&job.path, &path);
        Self { job, temporary, path, held: VecDeque::new(), processes: 0, environment: Vec::new() }
    }

    /// A copy without input; [`Self::feed`] brings it file by file.
    pub(crate) fn without_input(job: &'a GoldenJob) -> Self {
        let mut dir = Self::new(job);
        let input = dir.path.join("input");
        let held = dir.path.join("held");
        if input.exists() {
            fs::rename(&input, &held).unwrap();
        }
        let mut all = files(&held);
        // Files of several sources come by turns.
        all.sort_by_key(|file| file.file_name().unwrap().to_owned());
        for file in all {
            let target = input.join(file.strip_prefix(&held).unwrap());
            fs::create_dir_all(target.parent().unwrap()).unwrap();
            dir.held.push_back((file, target));
        }
        dir
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The number of files that the job does not see yet.
    pub(crate) fn held(&self) -> usize {
        self.held.len()
    }

    /// Lets the job see at most `count` more files, each at once and whole.
    pub(crate) fn feed(&mut self, count: usize) {
        for (from, to) in self.held.drain(..count.min(self.held.len())) {
            fs::rename(from, to).unwrap();
        }
    }

    /// The binary, in this directory and with places of its own.
    fn command(&self) -> Command {
        let mut command = Command::new(&self.job.program);
        command.current_dir(&self.path).stdin(Stdio::null());
        command.env("FLINK_STATE_DIR", self.path.join("state")).env("FLINK_RUNTIME_DIR", self.path.join("run"));
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts the job in a process of its own.
    pub(crate) fn start(&mut self, start: &Start) -> Running {
        self.processes += 1;
        let log = |end: &str| self.path.join(format!("process-{}.{end}", self.processes));
        let (out, err) = (log("out"), log("err"));
        let mut command = self.command();
        command.args(["run", "-q", "job.toml"]);
        if start.parallelism > 0 {
            command.args(["-p", &start.parallelism.to_string()]);
        }
        if let Some(path) = &start.restore {
            command.args(["-s", path]);
        }
        if let Some(interval) = start.checkpoints {
            command.arg(format!("-Dexecution.checkpointing.interval={interval}"));
        }
        if start.unaligned {
            command.arg("-Dexecution.checkpointing.unaligned.enabled=true");
        }
        command.args(start.options.iter().map(|option| format!("-D{option}")));
        if start.lasting {
            command.args(self.job.lasting());
        }
        if start.rocksdb {
            // Room for no row: between two batches all state goes down, of jobs with few keys, too.
            let memory = "-Dstate.backend.rocksdb.memory.fixed-per-tm=1 b";
            command.args(["-Dstate.backend.type=rocksdb", "-Dexecution.checkpointing.incremental=true", memory]);
        }
        command.stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap());
        let child = command.spawn().unwrap();
        Running { what: format!("job {}, process {}: {start:?}", self.job.name, self.processes), child, out, err }
    }

    /// Runs the job to its end.
    pub(crate) fn run(&mut self, start: &Start) {
        self.start(start).finish();
    }

    /// Runs another command of the binary to its end.
    pub(crate) fn flink(&self, words: &[&str]) -> Output {
        self.command().args(words).output().unwrap()
    }

    /// What a command prints, without the line's end. It must succeed.
    pub(crate) fn answer(&self, words: &[&str]) -> String {
        let output = self.flink(words);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{words:?}: {}\n{text}{}", output.status, String::from_utf8_lossy(&output.stderr));
        text.trim_end().to_owned()
    }

    /// Starts another command of the binary, whatever becomes of it.
    pub(crate) fn start_command(&self, words: &[&str]) -> Child {
        self.command().args(words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// Asks the job's process.
    pub(crate) fn ask(&self, job: &str, path: &str) -> Option<Value> {
        ask(&self.path.join("run"), job, path)
    }

    /// The rows that have gone into operators so far, however often; those of a chain count in each of its operators.
    pub(crate) fn rows_moved(&self, job: &str) -> u64 {
        self.sum_of_metrics(job, |name| name.ends_with(".numRecordsIn"))
    }

    /// The rows that the sources have given.
    pub(crate) fn rows_read(&self, job: &str) -> u64 {
        self.sum_of_metrics(job, |name| name.contains(".Source") && name.ends_with(".numRecordsOut"))
    }

    fn sum_of_metrics(&self, job: &str, wanted: impl Fn(&str) -> bool) -> u64 {
        let Some(details) = self.ask(job, "") else { return 0 };
        let vertices = details["vertices"].as_array().unwrap().iter().map(|vertex| vertex["id"].as_str().unwrap());
        let metrics = vertices.filter_map(|id| {
            let path = format!("/vertices/{id}/metrics");
            let names: Vec<String> = ids_of(&self.ask(job, &path)?).into_iter().filter(|name| wanted(name)).collect();
            let names = names.join(",").replace('[', "%5B").replace(']', "%5D");
            self.ask(job, &format!("{path}?get={names}"))
        });
        metrics.flat_map(|metrics| values_of(&metrics)).sum()
    }

    /// All complete checkpoints and savepoints.
    pub(crate) fn complete(&self) -> BTreeSet<PathBuf> {
        let below = |dir: &Path| -> Vec<PathBuf> {
            let entries = fs::read_dir(dir).into_iter().flatten().flatten();
            entries.map(|entry| entry.path()).collect()
        };
        let mut found = Vec::new();
        // Where they go by default, and where jobs here send them.
        for places in [self.path.join("state"), self.path.clone()] {
            found.extend(below(&places.join("checkpoints")).into_iter().flat_map(|job| below(&job)));
            found.extend(below(&places.join("savepoints")));
        }
        found.into_iter().filter(|path| path.join("_metadata").exists()).collect()
    }

    /// The outputs must have the expected rows.
    pub(crate) fn assert_expected(&self, what: &str) {
        if let Some(difference) = self.difference() {
            panic!("job {}, {what}: {difference}", self.job.name);
        }
    }

    /// In what the outputs differ from what is expected; `None`: in nothing.
    pub(crate) fn difference(&self) -> Option<String> {
        self.job.outputs().iter().find_map(|output| {
            let file = self.job.expected(output);
            let text = fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}; UPDATE=1 writes it", file.display()));
            let expected: Vec<String> = text.lines().map(str::to_owned).collect();
            assert!(!expected.is_empty(), "{} expects nothing", file.display());
            let rows = output.rows(&self.path);
            let only = |a: &[String], b: &[String]| difference(a, b).into_iter().take(8).collect::<Vec<_>>().join("\n  ");
            (rows != expected).then(|| {
                format!(
                    "{} has {} rows, {} are expected\nmissing:\n  {}\ntoo many:\n  {}",
                    output.expected,
                    rows.len(),
                    expected.len(),
                    only(&expected, &rows),
                    only(&rows, &expected)
                )
            })
        })
    }

    /// Writes the outputs as what is expected.
    pub(crate) fn update(&self) {
        self.job.update(&self.path);
    }
}

fn ids_of(metrics: &Value) -> Vec<String> {
    metrics.as_array().unwrap().iter().map(|metric| metric["id"].as_str().unwrap().to_owned()).collect()
}

fn values_of(metrics: &Value) -> Vec<u64> {
    metrics.as_array().unwrap().iter().filter_map(|metric| metric["value"].as_str()?.parse().ok()).collect()
}

/// The rows of sorted `a` that are not in sorted `b`, as often as they are more.
fn difference(a: &[String], b: &[String]) -> Vec<String> {
    let (mut left, mut rest) = (Vec::new(), b);
    for row in a {
        while rest.first().is_some_and(|other| other < row) {
            rest = &rest[1..];
        }
        if rest.first() == Some(row) { rest = &rest[1..] } else { left.push(row.clone()) }
    }
    left
}

/// A process that runs a job. Killed with the test.
#[derive(Debug)]
pub(crate) struct Running {
    what: String,
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail if it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    pub(crate) fn said(&self) -> String {
        let text = |path: &Path| fs::read_to_string(path).unwrap_or_default();
        format!("{}\n{}{}", self.what, text(&self.out), text(&self.err))
    }

    /// The job's id, as soon as it runs.
    pub(crate) fn job(&mut self) -> String {
        until(&self.what.clone(), || {
            let text = fs::read_to_string(&self.out).unwrap();
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none() || text.contains('\n'), "it ended early: {ended:?}: {}", self.said());
            text.split_once('\n').map(|(id, _)| id.to_owned())
        })
    }

    /// True if it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Sends SIGKILL. An end of its own before is right only with exit code 0.
    pub(crate) fn kill(mut self) -> Ended {
        // Fails if it has ended.
        let _ = self.child.kill();
        let status = self.child.wait().unwrap();
        match (status.signal(), status.code()) {
            (Some(9), _) => Ended::Killed,
            (_, Some(0)) => Ended::Finished,
            _ => panic!("it failed before it was killed: {status}: {}", self.said()),
        }
    }

    /// Waits for the end; the exit code must be `code`.
    pub(crate) fn end_with(mut self, code: i32) {
        let status = until(&self.what.clone(), || self.child.try_wait().unwrap());
        assert_eq!(status.code(), Some(code), "{}", self.said());
    }

    /// Waits until the job has finished.
    pub(crate) fn finish(self) {
        self.end_with(0);
    }
}

/// Asks a job's process, whose socket lies in `runtime`, for what is below `/jobs/<id>`.
pub(crate) fn ask(runtime: &Path, job: &str, path: &str) -> Option<Value> {
    let client = Client::new(Endpoint::Socket(runtime.join(format!("{job}.sock"))));
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio.block_on(client.get(&format!("/jobs/{job}{path}"))).ok()
}
