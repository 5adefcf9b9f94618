//! How a task, and how a job, ends.

use super::handle::JobStatus;
use crate::checkpoint::{clear_beside_others, delete_checkpoint, delete_claimed};
use crate::connector::ConnectorError;
use crate::error::RetryHint;
use crate::operator::OperatorError;
use crate::state::StateError;
use crate::storage::Storage;
use crate::types::CheckpointId;
use std::path::PathBuf;
use std::time::Duration;

/// A task failed.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// An operator failed.
    #[error("{operator}: {source}")]
    Operator {
        /// Its name in the plan.
        operator: String,
        /// Why.
        source: OperatorError,
    },
    /// A source or a sink failed.
    #[error("{operator}: {source}")]
    Connector {
        /// Its name in the plan.
        operator: String,
        /// Why.
        source: ConnectorError,
    },
    /// Saved state does not fit, or state could not be snapshotted.
    #[error("{operator}: {source}")]
    State {
        /// Its name in the plan.
        operator: String,
        /// Why.
        source: StateError,
    },
    /// The task panicked: a bug.
    #[error("{operator}: the task panicked: {message}")]
    Panic {
        /// The vertex.
        operator: String,
        /// What the panic said.
        message: String,
    },
    /// Checkpoints failed more often than is tolerated.
    #[error("{0}")]
    Checkpoint(String),
}

impl TaskError {
    /// Whether a restart can help.
    pub fn retry_hint(&self) -> RetryHint {
        match self {
            Self::Operator { source, .. } => source.retry_hint(),
            Self::Connector { source, .. } => source.retry_hint(),
            Self::State { source, .. } => source.retry_hint(),
            Self::Panic { .. } | Self::Checkpoint(_) => RetryHint::Backoff,
        }
    }

    /// True if the reader of the job's output went away: the job ends as if it were cancelled.
    pub fn is_broken_pipe(&self) -> bool {
        match self {
            Self::Connector { source: ConnectorError::Io { source, .. }, .. } => source.kind() == std::io::ErrorKind::BrokenPipe,
            _ => false,
        }
    }
}

/// How a job ended.
#[derive(Debug)]
pub struct JobOutcome {
    /// FINISHED, CANCELED or FAILED.
    pub status: JobStatus,
    /// From its start to its end.
    pub runtime: Duration,
    /// Why it failed.
    pub failure: Option<String>,
    /// What is to be deleted when the end has been recorded.
    pub leftovers: Leftovers,
}

/// The checkpoints that retention does not keep. Whoever runs the job deletes them, but not before the end is recorded: a process killed
/// in between would look like one that must be restored, and would be restored from something older, repeating output.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Leftovers {
    pub(crate) checkpoints: Vec<PathBuf>,
    /// What the job was started from and has claimed.
    pub(crate) claimed: Option<PathBuf>,
    /// The directory of all checkpoints of the job, if none is kept.
    pub(crate) job_directory: Option<PathBuf>,
    /// Instead of that, the directory that it may have shared with checkpoints of others, and the last checkpoint that it began.
    pub(crate) beside_others: Option<(PathBuf, CheckpointId)>,
}

impl Leftovers {
    /// Deletes them; what cannot be deleted is logged.
    pub fn delete(&self, storage: &dyn Storage) {
        for directory in &self.checkpoints {
            if let Err(error) = delete_checkpoint(storage, directory) {
                tracing::warn!(%error, "a checkpoint could not be deleted");
            }
        }
        if let Some(directory) = &self.claimed
            && let Err(error) = delete_claimed(storage, directory)
        {
            tracing::warn!(%error, "the checkpoint that the job had claimed could not be deleted");
        }
        if let Some(directory) = &self.job_directory
            && let Err(error) = storage.remove_dir_all(directory)
        {
            tracing::warn!(%error, "the job's checkpoint directory could not be deleted");
        }
        if let Some((directory, newest)) = &self.beside_others
            && let Err(error) = clear_beside_others(storage, directory, *newest)
        {
            tracing::warn!(%error, "files that the job's checkpoints shared could not be deleted");
        }
    }
}

/// A job could not be started; nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// What should be restored does not fit the job.
    #[error("{0}")]
    NotRestorable(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}
