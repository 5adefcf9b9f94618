//! Jobs on disk: where things are kept, and one record a job, so that a job whose process is gone is still known, with the path
//! to restore it from.

use super::socket::socket_path;
use crate::checkpoint::{METADATA, checkpoints_of};
use crate::runtime::JobStatus;
use crate::storage::{Storage, is_remote};
use crate::types::limits::{ENDED_JOBS, JOB_RECORD};
use crate::types::{CheckpointId, JobId, WallTime};
use rustix::process::Pid;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where things are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// Records, logs, checkpoints and savepoints.
    pub state_dir: PathBuf,
    /// Sockets.
    pub runtime_dir: PathBuf,
}

impl Places {
    /// The places that the environment names, read through `variable`: `$FLINK_STATE_DIR`, else `$XDG_STATE_HOME/flink`, else
    /// `~/.local/state/flink`; `$FLINK_RUNTIME_DIR`, else `$XDG_RUNTIME_DIR/flink`, else `run/` below the state directory. `None`
    /// if not even a home directory is known. Relative paths start at `working_dir`.
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>, working_dir: &Path) -> Option<Self> {
        let named = |name: &str| variable(name).filter(|v| !v.is_empty()).map(|v| working_dir.join(v));
        let state_dir = named("FLINK_STATE_DIR")
            .or_else(|| named("XDG_STATE_HOME").map(|d| d.join("flink")))
            .or_else(|| named("HOME").map(|d| d.join(".local/state/flink")))?;
        let runtime_dir = named("FLINK_RUNTIME_DIR")
            .or_else(|| named("XDG_RUNTIME_DIR").map(|d| d.join("flink")))
            .unwrap_or_else(|| state_dir.join("run"));
        Some(Self { state_dir, runtime_dir })
    }

    /// The directory of the records.
    pub fn jobs(&self) -> PathBuf {
        self.state_dir.join("jobs")
    }

    /// The log of a detached job.
    pub fn log(&self, job: JobId) -> PathBuf {
        self.state_dir.join("log").join(format!("{job}.log"))
    }

    /// Where checkpoints go if the job does not say.
    pub fn checkpoints(&self) -> PathBuf {
        self.state_dir.join("checkpoints")
    }

    /// Where savepoints go if the job does not say.
    pub fn savepoints(&self) -> PathBuf {
        self.state_dir.join("savepoints")
    }

    /// A job's socket.
    pub fn socket(&self, job: JobId) -> PathBuf {
        socket_path(&self.runtime_dir, job)
    }
}

/// A process, told apart from a later one with the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// Its number.
    pub pid: i32,
    /// When it started, in the kernel's ticks since boot; `None` where the kernel does not say.
    pub start_ticks: Option<u64>,
}

impl ProcessId {
    /// This process.
    pub fn current() -> Self {
        let pid = rustix::process::getpid().as_raw_nonzero().get();
        Self { pid, start_ticks: start_ticks(pid) }
    }

    /// True while it lives.
    pub fn is_alive(self) -> bool {
        if let (Some(recorded), Some(found)) = (self.start_ticks, start_ticks(self.pid)) {
            return recorded == found;
        }
        Pid::from_raw(self.pid).is_some_and(|pid| {
            // EPERM: it lives, and is somebody else's.
            !matches!(rustix::process::test_kill_process(pid), Err(rustix::io::Errno::SRCH))
        })
    }
}

/// Field 22 of `/proc/<pid>/stat`. The second field is the program's name, which may contain anything, so fields are counted from
/// its closing parenthesis. A zombie has ended.
fn start_ticks(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    let state = fields.next()?;
    if state == "Z" {
        return Some(0);
    }
    fields.nth(18)?.parse().ok()
}

/// A complete checkpoint or savepoint that a job can be restored from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RestorePoint {
    /// Its number.
    pub id: CheckpointId,
    /// Its directory.
    pub path: PathBuf,
    /// When it was triggered.
    pub at: WallTime,
    /// True for a savepoint.
    pub is_savepoint: bool,
}

/// What is known of a job without asking its process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct JobRecord {
    /// 32 hex digits.
    pub id: String,
    /// `pipeline.name`
    pub name: String,
    /// Where it is in its life.
    pub status: JobStatus,
    /// When it reached that status.
    pub status_since: WallTime,
    /// When it was submitted.
    pub started: WallTime,
    /// Its process.
    pub process: ProcessId,
    /// The job.toml, absolute.
    pub job_file: PathBuf,
    /// `parallelism.default`
    pub parallelism: usize,
    /// Where its checkpoints lie; `None` in memory.
    pub checkpoint_dir: Option<PathBuf>,
    /// The newest complete checkpoint or savepoint.
    pub latest: Option<RestorePoint>,
    /// The newest complete savepoint.
    pub latest_savepoint: Option<RestorePoint>,
    /// What the process prints, if it is detached.
    pub log_file: Option<PathBuf>,
    /// The failure that ended the job, or the last one that it survived.
    pub failure: Option<String>,
}

impl JobRecord {
    /// Its id; `None` if the record says something else there.
    pub fn job_id(&self) -> Option<JobId> {
        self.id.parse().ok()
    }

    /// True if the job has not ended, but its process is gone.
    pub fn is_lost(&self) -> bool {
        !self.status.is_terminal() && !self.process.is_alive()
    }

    /// True if its process runs it.
    pub fn is_live(&self) -> bool {
        !self.status.is_terminal() && self.process.is_alive()
    }

    /// Flink's status; `FAILED` for a job whose process is gone.
    pub fn shown_status(&self) -> JobStatus {
        if self.is_lost() { JobStatus::Failed } else { self.status }
    }
}

/// The records of all jobs of one user.
#[derive(Debug, Clone)]
pub struct Registry {
    places: Places,
    storage: Arc<dyn Storage>,
}

/// What a job reference on the command line stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// One job.
    One(Box<JobRecord>),
    /// None.
    None,
    /// More than one: the reference must be longer, or the id.
    Several(Vec<JobRecord>),
}

impl Registry {
    /// The records at `places`.
    pub fn new(places: Places, storage: Arc<dyn Storage>) -> Self {
        Self { places, storage }
    }

    /// Where things are kept.
    pub fn places(&self) -> &Places {
        &self.places
    }

    fn path(&self, id: &str) -> PathBuf {
        self.places.jobs().join(format!("{id}.json"))
    }

    /// Writes a record, whole or not at all.
    pub fn write(&self, record: &JobRecord) -> io::Result<()> {
        let mut bytes = serde_json::to_vec_pretty(record)?;
        bytes.push(b'\n');
        self.storage.create_dir_all(&self.places.jobs())?;
        self.storage.write_atomic(&self.path(&record.id), &bytes)
    }

    /// The record of a job; `None` if there is none, or none that can be read.
    pub fn read(&self, id: JobId) -> Option<JobRecord> {
        self.read_file(&self.path(&id.to_string()))
    }

    fn read_file(&self, path: &Path) -> Option<JobRecord> {
        let bytes = self.storage.read(path, JOB_RECORD.0).ok()?;
        let record: JobRecord = serde_json::from_slice(&bytes).ok()?;
        // A record under another job's name was not written here.
        (path.file_stem().and_then(|s| s.to_str()) == Some(record.id.as_str()) && record.job_id().is_some()).then_some(record)
    }

    /// The ids in a directory's file names `<id>.<extension>`.
    fn ids(dir: &Path, extension: &str) -> Vec<JobId> {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        let id = |name: std::ffi::OsString| name.to_str()?.strip_suffix(extension)?.strip_suffix('.')?.parse().ok();
        let mut ids: Vec<JobId> = entries.filter_map(|entry| id(entry.file_name())).collect();
        ids.sort_unstable();
        ids
    }

    /// The ids of the jobs with a socket: those that run, and those whose process was killed. Cheap however many jobs have ended.
    pub fn sockets(&self) -> Vec<JobId> {
        Self::ids(&self.places.runtime_dir, "sock")
    }

    /// All records, oldest job first.
    pub fn all(&self) -> Vec<JobRecord> {
        sorted(Self::ids(&self.places.jobs(), "json").into_iter().filter_map(|id| self.read(id)).collect())
    }

    /// The records of the jobs with a socket, oldest job first: those that run, and those whose process was killed.
    pub fn with_socket(&self) -> Vec<JobRecord> {
        sorted(self.sockets().into_iter().filter_map(|id| self.read(id)).collect())
    }

    /// Removes the sockets of processes that are gone.
    pub fn sweep_sockets(&self) {
        for record in self.with_socket() {
            if let (false, Some(id)) = (record.process.is_alive(), record.job_id()) {
                // It will be found stale again.
                let _ = self.storage.remove(&self.places.socket(id));
            }
        }
    }

    /// The job that a reference stands for: an id, else the live job with this name, else a unique prefix of an id, else a unique
    /// name of a job that has ended.
    pub fn find(&self, reference: &str) -> Found {
        if let Ok(id) = reference.parse::<JobId>() {
            return self.read(id).map_or(Found::None, |record| Found::One(Box::new(record)));
        }
        let live: Vec<JobRecord> = self.with_socket().into_iter().filter(|r| r.name == reference && r.is_live()).collect();
        if !live.is_empty() {
            return found(live);
        }
        let prefix = reference.to_ascii_lowercase();
        if !prefix.is_empty() && prefix.bytes().all(|b| b.is_ascii_hexdigit()) {
            let ids = Self::ids(&self.places.jobs(), "json").into_iter().filter(|id| id.to_string().starts_with(&prefix));
            let records: Vec<JobRecord> = ids.filter_map(|id| self.read(id)).collect();
            if !records.is_empty() {
                return found(records);
            }
        }
        found(self.all().into_iter().filter(|r| r.name == reference).collect())
    }

    /// True if the checkpoint or savepoint has not been deleted. One on another machine is believed to be there: how to reach it is the
    /// job's to say, and lists do not wait for networks.
    pub fn is_there(&self, point: &RestorePoint) -> bool {
        is_remote(&point.path) || self.storage.entry(&point.path.join(METADATA)).is_ok_and(|found| found.is_some())
    }

    /// The record of a job whose process is gone, with the newest way back that is there: its last checkpoint may have been completed, and
    /// its output committed, after the record was written for the last time. Other records are returned as they are.
    pub fn with_way_back(&self, record: JobRecord) -> JobRecord {
        let parent = record.checkpoint_dir.as_deref().filter(|parent| !is_remote(parent));
        let (true, Some(parent), Some(id)) = (record.is_lost(), parent, record.job_id()) else { return record };
        // A directory that cannot be read: the record is all that is known.
        let found = checkpoints_of(self.storage.as_ref(), parent, id).unwrap_or_default().pop();
        let found = found.map(|c| RestorePoint { id: c.id, path: c.path, at: c.time, is_savepoint: c.kind.is_savepoint() });
        let known = record.latest.clone().filter(|point| self.is_there(point));
        JobRecord { latest: known.into_iter().chain(found).max_by_key(|point| point.id), ..record }
    }

    /// When a job of this name finished last, but for `stopped`: all its output is visible, and nothing that was taken before may be
    /// gone back to without being asked for by its path. `stopped`: a job that goes on from the savepoint that it was stopped with.
    pub fn finished_at(&self, name: &str, stopped: Option<JobId>) -> Option<WallTime> {
        let finished = |r: &JobRecord| r.name == name && r.status == JobStatus::Finished && (stopped.is_none() || r.job_id() != stopped);
        self.all().into_iter().filter(finished).map(|r| r.status_since).max()
    }

    /// Forgets jobs that ended long ago: of all that have ended, the newest [`ENDED_JOBS`] stay, with their logs. Jobs whose process was
    /// killed have not ended. What cannot be removed is tried again at the next start.
    pub fn prune(&self) {
        let ids = Self::ids(&self.places.jobs(), "json");
        // Reading every record takes time: not at every start.
        if ids.len() <= ENDED_JOBS + ENDED_JOBS / 4 {
            return;
        }
        let mut ended: Vec<JobRecord> = ids.into_iter().filter_map(|id| self.read(id)).filter(|r| r.status.is_terminal()).collect();
        ended.sort_by(|a, b| (b.status_since, &b.id).cmp(&(a.status_since, &a.id)));
        for record in ended.iter().skip(ENDED_JOBS) {
            let log = record.job_id().map(|id| self.places.log(id)).filter(|log| record.log_file.as_ref() == Some(log));
            let _ = self.storage.remove(&self.path(&record.id));
            let _ = log.map(|log| self.storage.remove(&log));
        }
    }

    /// The directories below which jobs of this name have left checkpoints and savepoints.
    pub fn restore_directories(&self, name: &str) -> Vec<PathBuf> {
        let of_name = self.all().into_iter().filter(|r| r.name == name);
        let paths = of_name.flat_map(|r| [r.latest, r.latest_savepoint]).flatten();
        let mut parents: Vec<PathBuf> = paths.filter_map(|p| p.path.parent().map(Path::to_owned)).collect();
        parents.sort_unstable();
        parents.dedup();
        parents
    }
}

fn sorted(mut records: Vec<JobRecord>) -> Vec<JobRecord> {
    records.sort_by(|a, b| (a.started, &a.id).cmp(&(b.started, &b.id)));
    records
}

fn found(mut records: Vec<JobRecord>) -> Found {
    match records.len() {
        0 => Found::None,
        1 => records.pop().map_or(Found::None, |record| Found::One(Box::new(record))),
        _ => Found::Several(records),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::LocalStorage;

    fn registry(dir: &Path) -> Registry {
        let places = Places { state_dir: dir.join("state"), runtime_dir: dir.join("run") };
        fs::create_dir_all(&places.runtime_dir).unwrap();
        Registry::new(places, LocalStorage::shared())
    }

    fn record(id: &str, name: &str, status: JobStatus) -> JobRecord {
        JobRecord {
            id: id.to_owned(),
            name: name.to_owned(),
            status,
            status_since: WallTime(2),
            started: WallTime(1),
            process: ProcessId::current(),
            job_file: PathBuf::from("/jobs/a.toml"),
            parallelism: 2,
            checkpoint_dir: None,
            latest: None,
            latest_savepoint: None,
            log_file: None,
            failure: None,
        }
    }

    /// A process number that was given to nobody in this boot: the start does not fit.
    fn dead() -> ProcessId {
        ProcessId { start_ticks: Some(u64::MAX), ..ProcessId::current() }
    }

    #[test]
    fn the_way_back_of_a_lost_job_is_one_that_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let registry = registry(dir.path());
        let point = |path: PathBuf| RestorePoint { id: CheckpointId::new(3), path, at: WallTime(1), is_savepoint: true };
        let there = dir.path().join("savepoint-1");
        fs::create_dir(&there).unwrap();
        fs::write(there.join(METADATA), "{}").unwrap();
        let base = Some(dir.path().join("chk").join(A));
        let lost = JobRecord { process: dead(), checkpoint_dir: base, ..record(A, "a", JobStatus::Running) };
        let gone = JobRecord { latest: Some(point(dir.path().join("savepoint-2"))), ..lost.clone() };
        assert_eq!(registry.with_way_back(gone.clone()).latest, None);
        let kept = JobRecord { latest: Some(point(there)), ..lost };
        assert_eq!(registry.with_way_back(kept.clone()), kept);
        let ended = JobRecord { status: JobStatus::Canceled, ..gone };
        assert_eq!(registry.with_way_back(ended.clone()), ended, "what has ended is as it was recorded");
    }

    const A: &str = "aa000000000000000000000000000001";
    const B: &str = "aa000000000000000000000000000002";

    #[test]
    fn a_record_is_found_by_id_by_unique_prefix_and_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let registry = registry(dir.path());
        registry.write(&record(A, "one", JobStatus::Finished)).unwrap();
        registry.write(&record(B, "two", JobStatus::Running)).unwrap();
        let id = |found: Found| match found {
            Found::One(record) => record.id,
            other => format!("{other:?}"),
        };
        assert_eq!(id(registry.find(A)), A);
        assert_eq!(id(registry.find(&A.to_uppercase())), A);
        assert_eq!(id(registry.find(&B[..32])), B);
        assert_eq!(id(registry.find("one")), A);
        assert!(matches!(registry.find("AA00"), Found::Several(records) if records.len() == 2));
        for nothing in ["", "three", "bb", "../../etc/passwd", "ab000000000000000000000000000001"] {
            assert_eq!(registry.find(nothing), Found::None, "{nothing}");
        }
    }

    #[test]
    fn a_live_job_goes_before_ended_ones_of_the_same_name() {
        let dir = tempfile::tempdir().unwrap();
        let registry = registry(dir.path());
        registry.write(&record(A, "etl", JobStatus::Finished)).unwrap();
        registry.write(&record(B, "etl", JobStatus::Running)).unwrap();
        assert!(matches!(registry.find("etl"), Found::Several(_)));
        fs::write(registry.places().socket(B.parse().unwrap()), "").unwrap();
        assert!(matches!(registry.find("etl"), Found::One(record) if record.id == B));
        assert_eq!(registry.with_socket().len(), 1);
    }

    #[test]
    fn a_job_whose_process_is_gone_is_lost_and_its_socket_is_swept() {
        let dir = tempfile::tempdir().unwrap();
        let registry = registry(dir.path());
        let lost = JobRecord { process: dead(), ..record(A, "one", JobStatus::Running) };
        assert!(lost.is_lost() && lost.shown_status() == JobStatus::Failed);
        assert!(!JobRecord { process: dead(), ..record(A, "one", JobStatus::Canceled) }.is_lost());
        assert!(record(B, "two", JobStatus::Running).is_live());
        registry.write(&lost).unwrap();
        registry.write(&record(B, "two", JobStatus::Running)).unwrap();
        for id in [A, B] {
            fs::write(registry.places().socket(id.parse().unwrap()), "").unwrap();
        }
        registry.sweep_sockets();
        assert_eq!(registry.sockets(), [B.parse().unwrap()]);
    }

    #[test]
    fn what_is_no_record_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let registry = registry(dir.path());
        registry.write(&record(A, "one", JobStatus::Running)).unwrap();
        let jobs = registry.places().jobs();
        fs::write(jobs.join(format!("{B}.json")), "{\"id\": \"half a rec").unwrap();
        fs::copy(jobs.join(format!("{A}.json")), jobs.join("aa000000000000000000000000000003.json")).unwrap();
        fs::write(jobs.join("notes.txt"), "x").unwrap();
        assert_eq!(registry.all().iter().map(|r| r.id.as_str()).collect::<Vec<_>>(), [A]);
    }

    #[test]
    fn the_directories_to_restore_from_are_those_of_the_same_name() {
        let dir = tempfile::tempdir().unwrap();
        let registry = registry(dir.path());
        let point =
            |path: &str| Some(RestorePoint { id: CheckpointId::new(1), path: PathBuf::from(path), at: WallTime(1), is_savepoint: false });
        let etl =
            JobRecord { latest: point("/c/chk-1"), latest_savepoint: point("/s/savepoint-1"), ..record(A, "etl", JobStatus::Finished) };
        registry.write(&etl).unwrap();
        registry.write(&JobRecord { latest: point("/d/chk-1"), ..record(B, "other", JobStatus::Finished) }).unwrap();
        assert_eq!(registry.restore_directories("etl"), [PathBuf::from("/c"), PathBuf::from("/s")]);
    }

    #[test]
    fn of_the_jobs_that_have_ended_the_newest_are_remembered_and_those_that_were_killed_always() {
        let dir = tempfile::tempdir().unwrap();
        let registry = registry(dir.path());
        let all = ENDED_JOBS + ENDED_JOBS / 4 + 10;
        fs::create_dir_all(registry.places().state_dir.join("log")).unwrap();
        for n in 0..all {
            let id = JobId::from_u128(n as u128);
            let process = if n % 50 == 0 { dead() } else { ProcessId::current() };
            let status = if n % 50 == 0 { JobStatus::Running } else { JobStatus::Finished };
            let log = registry.places().log(id);
            fs::write(&log, "").unwrap();
            let since = WallTime(n as i64);
            let record = JobRecord { process, status_since: since, log_file: Some(log), ..record(&id.to_string(), "etl", status) };
            registry.write(&record).unwrap();
        }
        registry.prune();
        let kept = registry.all();
        assert_eq!(kept.iter().filter(|r| r.status.is_terminal()).count(), ENDED_JOBS);
        assert_eq!(kept.iter().filter(|r| r.is_lost()).count(), all.div_ceil(50));
        assert!(kept.iter().any(|r| r.status_since == WallTime(all as i64 - 1)), "the newest one stays");
        assert_eq!(fs::read_dir(registry.places().state_dir.join("log")).unwrap().count(), kept.len());
        registry.prune();
        assert_eq!(registry.all(), kept);
    }

    #[test]
    fn a_job_that_has_finished_leaves_nothing_to_go_back_to() {
        let dir = tempfile::tempdir().unwrap();
        let registry = registry(dir.path());
        assert_eq!(registry.finished_at("etl", None), None);
        registry.write(&JobRecord { status_since: WallTime(7), ..record(A, "etl", JobStatus::Finished) }).unwrap();
        registry.write(&JobRecord { status_since: WallTime(9), ..record(B, "etl", JobStatus::Failed) }).unwrap();
        assert_eq!((registry.finished_at("etl", None), registry.finished_at("other", None)), (Some(WallTime(7)), None));
        let id = |text: &str| Some(text.parse().unwrap());
        assert_eq!(registry.finished_at("etl", id(A)), None, "it goes on from the savepoint that it was stopped with");
        assert_eq!(registry.finished_at("etl", id(B)), Some(WallTime(7)));
    }

    #[test]
    fn places_come_from_the_environment_in_order() {
        let places = |variables: &[(&str, &str)]| {
            let find = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
            Places::from_environment(find, Path::new("/work"))
                .map(|p| (p.state_dir.display().to_string(), p.runtime_dir.display().to_string()))
        };
        let pair = |a: &str, b: &str| Some((a.to_owned(), b.to_owned()));
        assert_eq!(places(&[("HOME", "/h")]), pair("/h/.local/state/flink", "/h/.local/state/flink/run"));
        assert_eq!(places(&[("HOME", "/h"), ("XDG_STATE_HOME", "/x"), ("XDG_RUNTIME_DIR", "/r")]), pair("/x/flink", "/r/flink"));
        assert_eq!(places(&[("FLINK_STATE_DIR", "s"), ("FLINK_RUNTIME_DIR", "/q"), ("XDG_RUNTIME_DIR", "/r")]), pair("/work/s", "/q"));
        assert_eq!(places(&[("HOME", "")]), None);
    }
}
