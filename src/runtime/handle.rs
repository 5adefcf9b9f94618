//! What the control plane may ask of a running job, and what it may look at.

use crate::checkpoint::inspect::{InspectError, Selection, Snapshot};
use crate::state::SnapshotForm;
use crate::types::{CheckpointId, JobId, TriggerId, WallTime};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// Flink's `JobStatus`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum JobStatus {
    /// State is being restored, subtasks are being made.
    Initializing,
    /// Made, not running yet.
    Created,
    /// Running.
    Running,
    /// A failure that no restart follows is being handled.
    Failing,
    /// Failed; the end.
    Failed,
    /// A cancel is being carried out.
    Cancelling,
    /// Cancelled; the end.
    Canceled,
    /// Ended by itself or by `stop`; the end.
    Finished,
    /// A failure that a restart follows.
    Restarting,
}

impl JobStatus {
    /// True if nothing follows (Flink: globally terminal).
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Failed | Self::Canceled | Self::Finished)
    }

    /// `RUNNING`
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Initializing => "INITIALIZING",
            Self::Created => "CREATED",
            Self::Running => "RUNNING",
            Self::Failing => "FAILING",
            Self::Failed => "FAILED",
            Self::Cancelling => "CANCELLING",
            Self::Canceled => "CANCELED",
            Self::Finished => "FINISHED",
            Self::Restarting => "RESTARTING",
        }
    }
}

/// `flink savepoint`, `flink cancel -s`.
#[derive(Debug, Clone)]
pub struct SavepointRequest {
    /// Where to; the job's `savepoint-dir` without.
    pub directory: Option<PathBuf>,
    /// In which form the backend's state is written.
    pub form: SnapshotForm,
    /// Cancel the job when the savepoint is complete (`cancel -s`).
    pub cancel: bool,
    /// How long it may take; `execution.checkpointing.timeout` without.
    pub timeout: Option<Duration>,
}

/// `flink stop`.
#[derive(Debug, Clone)]
pub struct StopRequest {
    /// Where to; the job's `savepoint-dir` without.
    pub directory: Option<PathBuf>,
    /// In which form the backend's state is written.
    pub form: SnapshotForm,
    /// Emit the maximum watermark before the savepoint.
    pub drain: bool,
    /// How long the savepoint may take; `execution.checkpointing.timeout` without.
    pub timeout: Option<Duration>,
}

/// `flink state get`, `flink state scan`.
#[derive(Debug, Clone)]
pub struct LookRequest {
    /// `OPERATOR/STATE`
    pub state: String,
    /// Which rows.
    pub selection: Selection,
}

/// A checkpoint or savepoint that a person asked for and that is complete.
#[derive(Debug, Clone)]
pub struct CheckpointReply {
    /// Its number.
    pub id: CheckpointId,
    /// Its directory; `None` in memory.
    pub path: Option<PathBuf>,
}

/// What a person may ask of a job. An `Err` in a reply is a message for that person; the job runs on.
#[derive(Debug)]
pub enum JobCommand {
    /// Cancels the job; the reply comes when that is accepted.
    Cancel {
        /// Acknowledgement.
        reply: oneshot::Sender<()>,
    },
    /// Takes a savepoint.
    Savepoint {
        /// What kind.
        request: SavepointRequest,
        /// Under this it can be polled for.
        trigger: TriggerId,
        /// The result, when it is complete or has failed.
        reply: oneshot::Sender<Result<CheckpointReply, String>>,
    },
    /// Stops the job with a savepoint.
    Stop {
        /// What kind.
        request: StopRequest,
        /// Under this it can be polled for.
        trigger: TriggerId,
        /// The result, when it is complete or has failed.
        reply: oneshot::Sender<Result<CheckpointReply, String>>,
    },
    /// Looks at rows of one state at a consistent point; the job goes on.
    Look {
        /// Which ones.
        request: LookRequest,
        /// Names the request.
        trigger: TriggerId,
        /// The rows, as a snapshot in memory of this state alone.
        reply: oneshot::Sender<Result<Snapshot, InspectError>>,
    },
    /// Takes a checkpoint now.
    Checkpoint {
        /// `--full`: nothing is shared with earlier checkpoints.
        full: bool,
        /// Under this it can be polled for.
        trigger: TriggerId,
        /// The result, when it is complete or has failed.
        reply: oneshot::Sender<Result<CheckpointReply, String>>,
    },
}

/// The way to a running job: commands in, a view out. Cheap to clone.
#[derive(Debug, Clone)]
pub struct JobHandle {
    /// The job's id.
    pub id: JobId,
    /// Commands to the job loop; closed when the job has ended.
    pub commands: mpsc::Sender<JobCommand>,
    view: Arc<Mutex<JobView>>,
    changes: watch::Sender<()>,
}

impl JobHandle {
    /// A handle and its view; the job loop keeps a clone and updates the view through it.
    pub fn new(id: JobId, commands: mpsc::Sender<JobCommand>, view: JobView) -> Self {
        Self { id, commands, view: Arc::new(Mutex::new(view)), changes: watch::Sender::new(()) }
    }

    /// A copy of what is known of the job now.
    pub fn view(&self) -> JobView {
        self.view.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes the view and wakes whoever waits for [`JobHandle::changes`]: for the job loop.
    pub fn update(&self, change: impl FnOnce(&mut JobView)) {
        change(&mut self.view.lock().unwrap_or_else(PoisonError::into_inner));
        self.changes.send_replace(());
    }

    /// Wakes at each [`JobHandle::update`]; several updates may be seen as one.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }
}

/// What is known of a job: the source of every REST answer, of the job's record on disk and of the progress bar.
#[derive(Debug, Clone)]
pub struct JobView {
    /// `pipeline.name`
    pub name: String,
    /// Where it is in its life.
    pub status: JobStatus,
    /// When it reached each status, oldest first.
    pub status_times: Vec<(JobStatus, WallTime)>,
    /// Its tasks (chains), in topological order.
    pub vertices: Vec<VertexView>,
    /// Checkpoints.
    pub checkpoints: CheckpointsView,
    /// How often it was restarted.
    pub restarts: u64,
    /// The failures so far, newest first: when, and the message.
    pub failures: Vec<(WallTime, String)>,
    /// Every effective option as text.
    pub options: Vec<(String, String)>,
    /// `parallelism.default`
    pub parallelism: usize,
    /// The number of key groups.
    pub max_parallelism: usize,
}

/// One task (chain) of a job, over all its subtasks.
#[derive(Debug, Clone)]
pub struct VertexView {
    /// 32 hex digits, derived from the uid of the chain's first operator.
    pub id: String,
    /// `Source: bids[1] -> Calc[2]`
    pub name: String,
    /// Its number of subtasks.
    pub parallelism: usize,
    /// Counters: for each subtask, one per operator of its chain, in the chain's order. Empty until the subtasks are made.
    pub metrics: Vec<Vec<crate::metrics::OperatorMetrics>>,
    /// Subtasks by status (Flink's `ExecutionState`): all subtasks of a vertex move together, except to FINISHED.
    pub finished_subtasks: usize,
    /// The vertices that it reads from: index and Flink's ship strategy (`FORWARD`, `HASH`, `REBALANCE`, `BROADCAST`).
    pub inputs: Vec<(usize, &'static str)>,
}

/// Counts and history of checkpoints.
#[derive(Debug, Clone, Default)]
pub struct CheckpointsView {
    /// Completed so far.
    pub completed: u64,
    /// Failed so far.
    pub failed: u64,
    /// Being taken now.
    pub in_progress: u64,
    /// Restored from so far.
    pub restored: u64,
    /// The last ones, newest first, at most [`crate::types::limits::CHECKPOINT_HISTORY`].
    pub history: Vec<CheckpointView>,
    /// The one that the job was restored from last.
    pub latest_restored: Option<(CheckpointId, WallTime, bool, Option<PathBuf>)>,
    /// The newest complete checkpoint or savepoint that a restart would begin from.
    pub latest_completed: Option<CheckpointView>,
    /// The newest complete savepoint.
    pub latest_savepoint: Option<CheckpointView>,
    /// Those that go because the job has ended; they may still be there.
    pub discarded: Vec<PathBuf>,
}

/// One checkpoint.
#[derive(Debug, Clone)]
pub struct CheckpointView {
    /// Its number.
    pub id: CheckpointId,
    /// `IN_PROGRESS`, `COMPLETED`, `FAILED`
    pub status: &'static str,
    /// True for savepoints.
    pub is_savepoint: bool,
    /// When it was triggered.
    pub triggered: WallTime,
    /// When the last subtask acknowledged it.
    pub latest_ack: Option<WallTime>,
    /// In which form keyed state is written.
    pub form: SnapshotForm,
    /// Bytes written for it: files that it shares with earlier ones are not among them.
    pub written: u64,
    /// Bytes of all of its files, once it is complete.
    pub bytes: u64,
    /// Subtasks that acknowledged it, and all subtasks.
    pub acknowledged: (usize, usize),
    /// Its directory; `None` in memory or not complete.
    pub path: Option<PathBuf>,
    /// Why it failed.
    pub failure: Option<String>,
}
