//! The settings of a job that the runtime needs, typed.

use crate::checkpoint::RestoreRules;
use crate::checkpoint::settings::{CheckpointSettings, ClaimMode};
use crate::script::Limits;
use crate::state::BackendSettings;
use crate::storage::S3Settings;
use crate::types::{MaxParallelism, Parallelism};
use std::path::PathBuf;
use std::time::Duration;

/// `execution.runtime-mode`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RuntimeMode {
    /// Results are emitted and corrected as rows arrive.
    Streaming,
    /// Bounded input only: final results alone, at the end; no checkpoints.
    Batch,
}

/// `restart-strategy.*`, with Flink's defaults.
#[derive(Debug, Clone, PartialEq)]
pub enum RestartSettings {
    /// `none`, `off`, `disable`: the first failure fails the job.
    None,
    /// `fixed-delay`
    FixedDelay {
        /// `attempts`
        attempts: u32,
        /// `delay`
        delay: Duration,
    },
    /// `failure-rate`
    FailureRate {
        /// `max-failures-per-interval`
        max_failures: u32,
        /// `failure-rate-interval`
        interval: Duration,
        /// `delay`
        delay: Duration,
    },
    /// `exponential-delay`
    ExponentialDelay {
        /// `initial-backoff`
        initial: Duration,
        /// `max-backoff`
        max: Duration,
        /// `backoff-multiplier`
        multiplier: f64,
        /// `reset-backoff-threshold`
        reset_threshold: Duration,
        /// `jitter-factor`
        jitter: f64,
        /// `attempts-before-reset-backoff`; `None` for no bound.
        attempts: Option<u32>,
    },
}

/// `execution.state-recovery.*`: what a job starts from if the command line does not say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RecoverySettings {
    /// `path`: absolute, or `latest`.
    pub path: Option<String>,
    /// `claim-mode`
    pub claim: ClaimMode,
    /// `ignore-unclaimed-state`
    pub ignore_unclaimed: bool,
}

/// What the runtime must know of a job beside its graph.
#[derive(Debug, Clone, PartialEq)]
pub struct JobSettings {
    /// `pipeline.name`
    pub name: String,
    /// `parallelism.default`
    pub parallelism: Parallelism,
    /// `pipeline.max-parallelism`, if it was set.
    pub max_parallelism: Option<MaxParallelism>,
    /// `execution.runtime-mode`
    pub mode: RuntimeMode,
    /// `execution.buffer-timeout`: the longest that a row waits for its batch to fill.
    pub buffer_timeout: Duration,
    /// `pipeline.auto-watermark-interval`
    pub auto_watermark_interval: Duration,
    /// `table.exec.source.idle-timeout`: a source with a watermark that has had no rows for so long does not hold it up.
    pub idle_timeout: Option<Duration>,
    /// `execution.checkpointing.*`
    pub checkpointing: CheckpointSettings,
    /// `state.backend.*`
    pub backend: BackendSettings,
    /// Below it each job has its working directory: `state.backend.rocksdb.localdir`, else one beside the default checkpoint directory.
    pub local_dir: PathBuf,
    /// `s3.*`
    pub s3: S3Settings,
    /// `restart-strategy.*`
    pub restart: RestartSettings,
    /// `execution.state-recovery.*`
    pub recovery: RecoverySettings,
    /// `[restore]`
    pub restore: RestoreRules,
    /// `script.*`: what a script may use.
    pub script: Limits,
    /// The directory of the job.toml, absolute: relative paths start there.
    pub directory: PathBuf,
    /// Every effective option as text, for `GET /jobs/:id/config`; values from the environment are masked.
    pub options: Vec<(String, String)>,
}
