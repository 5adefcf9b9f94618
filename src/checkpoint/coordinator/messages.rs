//! What the coordinator is told and asked, and what it wants done.

use super::FailureReason;
use crate::checkpoint::retention::Ending;
use crate::state::SnapshotForm;
use crate::types::{ByteSize, CheckpointId, CheckpointKind, JobId, TriggerId};
use std::path::PathBuf;
use std::time::Duration;

/// What a person may ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// `flink checkpoint`
    Checkpoint {
        /// `--full`
        full: bool,
    },
    /// `flink savepoint`, `flink cancel -s`
    Savepoint {
        /// Where to; `savepoint-dir` without.
        directory: Option<PathBuf>,
        /// In which form keyed state is written.
        form: SnapshotForm,
        /// Cancel the job when it is complete.
        cancel: bool,
        /// How long it may take; as long as a checkpoint without.
        timeout: Option<Duration>,
    },
    /// `flink state get`, `flink state scan`
    Look,
    /// `flink stop`
    Stop {
        /// Where to; `savepoint-dir` without.
        directory: Option<PathBuf>,
        /// In which form keyed state is written.
        form: SnapshotForm,
        /// Emit the maximum watermark first.
        drain: bool,
        /// How long its savepoint may take; as long as a checkpoint without.
        timeout: Option<Duration>,
    },
}

/// What has happened. Events about checkpoints that are over are ignored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Time has passed.
    Tick,
    /// A person asks for something; exactly one [`Action::Reply`] follows, at once or later.
    Requested {
        /// Names the request.
        trigger: TriggerId,
        /// What is asked for.
        request: Request,
    },
    /// The directory of a checkpoint could not be made: no task has heard of it.
    TriggerFailed {
        /// Which one.
        checkpoint: CheckpointId,
        /// Why.
        message: String,
    },
    /// A task has written its state.
    Acknowledged {
        /// For which checkpoint.
        checkpoint: CheckpointId,
        /// Which task (subtask of a chain), below the number of tasks.
        task: usize,
        /// Bytes written.
        bytes: ByteSize,
    },
    /// A task could not write its state.
    Declined {
        /// For which checkpoint.
        checkpoint: CheckpointId,
        /// Which task.
        task: usize,
        /// What kind of failure: [`FailureReason::Async`] for state that could not be written.
        reason: FailureReason,
        /// What exactly.
        message: String,
    },
    /// `_metadata` was written, or not.
    Finalized {
        /// Of which checkpoint.
        checkpoint: CheckpointId,
        /// Its directory (`None` in memory), or why it failed.
        result: Result<Option<PathBuf>, String>,
    },
    /// The source of a task works through a backlog now, or does not any more (Flink: `isProcessingBacklog`).
    Backlog {
        /// Which one.
        task: usize,
        /// Whether it does.
        backlog: bool,
    },
    /// A task has reached the end of its data and waits for [`Action::FinishTasks`]; until then it takes part in checkpoints.
    TaskEnded {
        /// Which one.
        task: usize,
    },
    /// A task has ended.
    TaskFinished {
        /// Which one.
        task: usize,
    },
    /// The files of a discarded checkpoint are gone, or cannot be removed.
    DiscardFinished {
        /// Which one.
        checkpoint: CheckpointId,
    },
    /// The tasks are gone; a restart follows.
    JobRestarting,
    /// All tasks run again.
    JobRestarted,
    /// The job ends: whatever is pending fails, nothing is triggered any more.
    JobEnding {
        /// How.
        ending: Ending,
    },
}

/// What is to be done, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Make the directory, then send barriers from all sources.
    Trigger {
        /// The new checkpoint.
        checkpoint: CheckpointId,
        /// Its kind, for the barrier.
        kind: CheckpointKind,
        /// In which form keyed state is written.
        form: SnapshotForm,
        /// For savepoints: in which directory theirs is to be made.
        directory: Option<PathBuf>,
        /// It must not refer to files of earlier ones.
        full: bool,
    },
    /// Send barriers from all sources for somebody who looks at rows; no directory is needed.
    Look {
        /// The number of its barrier.
        checkpoint: CheckpointId,
        /// Who looks.
        trigger: TriggerId,
    },
    /// All tasks have acknowledged: write `_metadata`; answer with [`Event::Finalized`].
    Finalize {
        /// Which one.
        checkpoint: CheckpointId,
    },
    /// Tell the tasks that a checkpoint is complete.
    NotifyComplete {
        /// Which one.
        checkpoint: CheckpointId,
        /// Sinks commit everything up to it. False for savepoints of a job that runs on (or is cancelled).
        commit: bool,
    },
    /// A checkpoint has failed: tasks drop it (and sources that stopped for it go on), its directory is removed.
    Abort {
        /// Which one.
        checkpoint: CheckpointId,
        /// Why.
        reason: FailureReason,
        /// Why exactly: what the history shows.
        message: String,
    },
    /// Remove a complete checkpoint (or the one that was claimed) that later ones have replaced; answer with [`Event::DiscardFinished`].
    Discard {
        /// Which one.
        checkpoint: CheckpointId,
    },
    /// Answer a request.
    Reply {
        /// Which one.
        trigger: TriggerId,
        /// The answer.
        result: Result<Completed, RequestError>,
    },
    /// Too many checkpoints have failed, or one that the job cannot go on without: handle it like a task's failure.
    FailJob {
        /// Why.
        message: String,
    },
    /// All tasks may end now; they have committed what there is to commit. Comes behind the [`Action::NotifyComplete`] of the stop's
    /// savepoint or of the final checkpoint.
    FinishTasks {
        /// The last checkpoint; `None` if the job takes none at its end.
        checkpoint: Option<CheckpointId>,
    },
    /// The savepoint of `cancel -s` is complete: cancel the job.
    CancelJob,
}

/// A checkpoint or savepoint that was asked for and is complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completed {
    /// Its number.
    pub checkpoint: CheckpointId,
    /// Its directory; `None` in memory.
    pub path: Option<PathBuf>,
}

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestError {
    /// It did not come to a checkpoint or savepoint.
    Failed(String),
    /// The savepoint of a stop is complete, but the job failed before it had stopped.
    FailedDuringStopping {
        /// The savepoint.
        savepoint: Option<PathBuf>,
    },
}

impl RequestError {
    /// What the person who asked is told, in Flink's words.
    pub fn message(&self, job: JobId) -> String {
        match self {
            Self::Failed(message) => message.clone(),
            Self::FailedDuringStopping { savepoint } => format!(
                "A savepoint has been created at: {}, but the corresponding job {job} failed during stopping. The savepoint is consistent, \
                 but might have uncommitted transactions. If you want to commit the transaction please restart a job from this savepoint.",
                savepoint.as_deref().unwrap_or("<memory>".as_ref()).display()
            ),
        }
    }
}
