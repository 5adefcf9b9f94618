//! What can go wrong while a snapshot is written, and while one is read.

use crate::error::RetryHint;
use crate::state::StateError;
use crate::storage::{is_remote, parse_location};
use crate::types::ByteSize;
use std::io;
use std::path::PathBuf;

/// A checkpoint or savepoint could not be written. The job runs on, as far as `tolerable-failed-checkpoints` allows.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// A file could not be written, synced or removed. The path stands in `source`.
    #[error("{context}: {source}")]
    Io {
        /// What was being done: `writing state totals/count`.
        context: String,
        /// Why it failed.
        source: io::Error,
    },
    /// No directory could be made for a savepoint (Flink's wording).
    #[error("Failed to create savepoint directory at {}: {source}", target.display())]
    SavepointDirectory {
        /// The directory that was asked for.
        target: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// Checkpoints cannot go directly into a directory, because it is not the job's alone.
    #[error(
        "{}: {message}. With execution.checkpointing.create-subdir = false the directory must be this job's alone: give it another \
         execution.checkpointing.dir, restore from what lies there, or leave create-subdir out", directory.display()
    )]
    Occupied {
        /// `execution.checkpointing.dir`
        directory: PathBuf,
        /// Who has it.
        message: String,
    },
    /// The backend could not hand over its rows.
    #[error("{0}")]
    State(#[from] StateError),
    /// A state does not fit into memory that is meant for small states only.
    #[error(
        "state {state}: Size of the state is larger than the maximum permitted memory-backed state. Size={}, maxSize={}. \
         Set 'execution.checkpointing.storage' to 'filesystem' and 'execution.checkpointing.dir' to a directory.",
        size.0, limit.0
    )]
    TooLargeForMemory {
        /// `<operator uid>/<state name>`
        state: String,
        /// Its size.
        size: ByteSize,
        /// [`crate::types::limits::JOBMANAGER_STATE`]
        limit: ByteSize,
    },
    /// A person asked for more rows of a running job's state than one answer holds.
    #[error(
        "state {state}: more than {limit} of rows were asked for; narrow it with --key, --where or --limit, or take a savepoint and look into that"
    )]
    TooManyRows {
        /// `<operator uid>/<state name>`
        state: String,
        /// [`crate::types::limits::STATE_ANSWER`]
        limit: ByteSize,
    },
    /// Rows that Parquet or Flink's types have no word for: a bug of the operator, the connector or the backend.
    #[error("state {state}: {message}")]
    Rows {
        /// `<operator uid>/<state name>`
        state: String,
        /// What is wrong with them.
        message: String,
    },
    /// The parts of a checkpoint contradict each other.
    #[error("checkpoint: {0}")]
    Invariant(String),
}

impl CheckpointError {
    pub(super) fn io(context: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let context = context.into();
        move |source| Self::Io { context, source }
    }

    /// Whether the next attempt can fare better.
    pub fn retry_hint(&self) -> RetryHint {
        match self {
            Self::Io { .. } | Self::SavepointDirectory { .. } => RetryHint::Backoff,
            Self::State(e) => e.retry_hint(),
            Self::Occupied { .. } | Self::TooLargeForMemory { .. } | Self::TooManyRows { .. } | Self::Rows { .. } | Self::Invariant(_) => {
                RetryHint::Never
            }
        }
    }
}

/// What Flink calls the file system of a location.
fn file_system(location: &str) -> &'static str {
    let remote = parse_location(location).is_ok_and(|path| is_remote(&path));
    if remote { "s3" } else { "file" }
}

/// A checkpoint or savepoint cannot be restored. Nothing was started, nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// Nothing is there (Flink's wording).
    #[error("Cannot find checkpoint or savepoint file/directory '{0}' on file system '{system}'.", system = file_system(.0))]
    NotFound(String),
    /// A directory without `_metadata`: a checkpoint that was never completed, or something else altogether.
    #[error(
        "Cannot find meta data file '_metadata' in directory '{0}'. Please try to load the checkpoint/savepoint directly from the \
         metadata file instead of the directory."
    )]
    NoMetadata(String),
    /// A text that is no location, or one on a file system that is not supported: the whole message.
    #[error("{0}")]
    Location(String),
    /// `_metadata` is not what this program writes.
    #[error("{}: {message}; the file was altered, cut off or written by something else: restore from another checkpoint", path.display())]
    Manifest {
        /// The `_metadata` file.
        path: PathBuf,
        /// What is wrong, with the line where it is known.
        message: String,
    },
    /// A file of the snapshot is missing.
    #[error("{}: the file is missing; copy the whole directory, or restore from another checkpoint", path.display())]
    MissingFile {
        /// The file.
        path: PathBuf,
    },
    /// A file of the snapshot is not the one that was written.
    #[error("{}: {message}; the file was altered or cut off: restore from another checkpoint", path.display())]
    AlteredFile {
        /// The file.
        path: PathBuf,
        /// What was expected and what was found.
        message: String,
    },
    /// The disk failed.
    #[error("{context}: {source}")]
    Io {
        /// What was being read.
        context: String,
        /// Why it failed.
        source: io::Error,
    },
    /// A value of the snapshot does not fit the type that the job has now.
    #[error("state {state} cannot be converted: {source}")]
    Conversion {
        /// `<operator uid>/<state name>`
        state: String,
        /// Which column, and why.
        source: Box<StateError>,
    },
    /// The state does not fit the job: the messages of [`super::RestorePlan::problems`].
    #[error("{}", .0.join("\n"))]
    Refused(Vec<String>),
    /// Something that is no savepoint was to be disposed of.
    #[error("Could not dispose savepoint {path}: {message}")]
    NotDisposable {
        /// As it was given.
        path: String,
        /// Why not.
        message: String,
    },
}
