//! `execution.checkpointing.*`, each with Flink's meaning and default (`docs/job-toml.md`).

use super::layout::job_directory;
use crate::types::JobId;
use std::path::PathBuf;
use std::time::Duration;

/// Whether barriers are aligned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum CheckpointingMode {
    /// `EXACTLY_ONCE`: a task waits for the barrier on every input.
    #[serde(rename = "EXACTLY_ONCE")]
    ExactlyOnce,
    /// `AT_LEAST_ONCE`: no input is blocked; rows may be seen twice after a failure.
    #[serde(rename = "AT_LEAST_ONCE")]
    AtLeastOnce,
}

/// What becomes of checkpoints when the job ends (`externalized-checkpoint-retention`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Retention {
    /// Deleted however the job ends.
    #[serde(rename = "NO_EXTERNALIZED_CHECKPOINTS")]
    NoExternalized,
    /// Kept when the job fails.
    #[serde(rename = "DELETE_ON_CANCELLATION")]
    DeleteOnCancellation,
    /// Kept when the job fails or is cancelled.
    #[serde(rename = "RETAIN_ON_CANCELLATION")]
    RetainOnCancellation,
}

/// Who owns the checkpoint or savepoint that a job starts from (`execution.state-recovery.claim-mode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ClaimMode {
    /// `NO_CLAIM`: whoever named it. The job never deletes it and shares no file with it.
    #[default]
    NoClaim,
    /// `CLAIM`: the job. It counts as one of its checkpoints, and is deleted as one of them.
    Claim,
}

impl ClaimMode {
    /// The words, in the order of the variants.
    pub const WORDS: &'static [&'static str] = &["NO_CLAIM", "CLAIM"];
}

/// Where checkpoints are kept (`storage`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CheckpointStorage {
    /// `jobmanager`: in the job's own memory; lost with the process.
    JobManager,
    /// `filesystem`: in `<dir>/<job id>/chk-<n>/`, or `<dir>/chk-<n>/` without `create-subdir`.
    FileSystem(PathBuf),
}

/// All options of `execution.checkpointing.*`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "options that are on or off, each by itself")]
pub struct CheckpointSettings {
    /// `interval`; `None` switches periodic checkpoints off.
    pub interval: Option<Duration>,
    /// `interval-during-backlog`: the interval while a source works through a backlog, `interval` if it was not set; zero: no periodic
    /// checkpoints meanwhile.
    pub backlog_interval: Option<Duration>,
    /// `mode`
    pub mode: CheckpointingMode,
    /// `unaligned.enabled`: what is on its way is part of a checkpoint, if alignment takes longer than this
    /// (`aligned-checkpoint-timeout`; zero: always).
    pub unaligned: Option<Duration>,
    /// `unaligned.interruptible-timers.enabled`: a checkpoint does not wait until all timers of a watermark have fired.
    pub interruptible_timers: bool,
    /// `timeout` of one attempt, savepoints included.
    pub timeout: Duration,
    /// `min-pause` between the end of one checkpoint and the next periodic one.
    pub min_pause: Duration,
    /// `max-concurrent-checkpoints`
    pub max_concurrent: usize,
    /// `tolerable-failed-checkpoints`
    pub tolerable_failed: usize,
    /// `num-retained`
    pub num_retained: usize,
    /// `externalized-checkpoint-retention`
    pub retention: Retention,
    /// `checkpoints-after-tasks-finish`
    pub after_tasks_finish: bool,
    /// `storage` and `dir`
    pub storage: CheckpointStorage,
    /// `create-subdir`: false for checkpoints directly in `dir`, which is then this job's alone.
    pub create_subdir: bool,
    /// `sync-phase-timeout`: a task whose part of a snapshot holds up its rows for longer fails.
    pub sync_phase_timeout: Option<Duration>,
    /// `pipeline.sources.pause-until-first-checkpoint`: sources read nothing before one is complete.
    pub pause_sources: bool,
    /// `incremental`: checkpoints of a store share the files that did not change.
    pub incremental: bool,
    /// `local-backup.enabled`: the newest checkpoint is kept on this machine, too, if `dir` is on another one.
    pub local_backup: bool,
    /// `local-backup.dirs`: where; without it beside the working files.
    pub local_backup_dir: Option<PathBuf>,
    /// `savepoint-dir`: where a savepoint without a directory goes.
    pub savepoint_dir: Option<PathBuf>,
}

impl CheckpointSettings {
    /// The directory that holds the `chk-<n>` of `job`; `None` if they are kept in memory.
    pub fn job_directory(&self, job: JobId) -> Option<PathBuf> {
        match &self.storage {
            CheckpointStorage::JobManager => None,
            CheckpointStorage::FileSystem(dir) if self.create_subdir => Some(job_directory(dir, job)),
            CheckpointStorage::FileSystem(dir) => Some(dir.clone()),
        }
    }
}
