//! Where rows come from and go to. A source is asked for rows and for its position, a sink takes rows and commits; neither
//! knows barriers, channels or tasks.

mod blackhole;
mod datagen;
mod declaration;
mod filesystem;
mod jdbc;
mod print;
mod read;
#[cfg(test)]
mod sink_testing;
mod sinks;
mod sources;
mod stdin;

pub use declaration::{BadRecordPolicy, MetadataColumn, SinkDeclaration, SourceDeclaration};
pub use sinks::{SINK_CONNECTORS, build_sink, sink_options};
pub use sources::{SOURCE_CONNECTORS, build_source, source_metadata, source_options};

use crate::error::RetryHint;
use crate::format::FormatError;
use crate::metrics::OperatorMetrics;
use crate::storage::Storage;
use crate::types::{Batch, ChangelogMode, CheckpointId, Clock, Parallelism};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

/// A source or a sink failed.
#[derive(Debug, thiserror::Error)]
pub enum ConnectorError {
    /// The outside world: files, databases, standard input and output.
    #[error("{context}: {source}")]
    Io {
        /// What was being done, and to what: `reading /data/a.json`.
        context: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A record that cannot be read, with where it stands.
    #[error("{location}: {source}\n  record: {record}")]
    BadRecord {
        /// `file /data/a.json, line 17`.
        location: String,
        /// The record, cut to a readable length.
        record: String,
        /// What is wrong with it.
        source: Box<FormatError>,
    },
    /// A record that cannot be written.
    #[error("{0}")]
    Format(#[from] FormatError),
    /// A database refused.
    #[error("{context}: {message}")]
    Database {
        /// What was being done.
        context: String,
        /// What the database said.
        message: String,
        /// Whether trying again can help.
        retry: RetryHint,
    },
    /// The saved position or committables do not fit this source or sink.
    #[error("{0}")]
    State(String),
}

impl ConnectorError {
    /// An I/O error with what was being done.
    pub fn io(context: impl Into<String>, source: std::io::Error) -> Self {
        Self::Io { context: context.into(), source }
    }

    /// True if whoever read the job's standard output has gone: the job ends as if cancelled, without a message (`| head`).
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == std::io::ErrorKind::BrokenPipe)
    }

    /// Whether a restart can help.
    pub fn retry_hint(&self) -> RetryHint {
        use std::io::ErrorKind;
        match self {
            Self::Io { .. } if self.is_broken_pipe() => RetryHint::Never,
            // Neither a missing file nor a damaged one mends itself.
            Self::Io { source, .. } => match source.kind() {
                ErrorKind::NotFound | ErrorKind::PermissionDenied | ErrorKind::InvalidData | ErrorKind::Unsupported => RetryHint::Never,
                _ => RetryHint::Backoff,
            },
            Self::Database { retry, .. } => *retry,
            Self::BadRecord { .. } | Self::Format(_) | Self::State(_) => RetryHint::Never,
        }
    }
}

/// What a source or sink is given when its subtasks are made.
#[derive(Debug, Clone)]
pub struct ConnectorContext {
    /// How many subtasks there are.
    pub parallelism: Parallelism,
    /// Files.
    pub storage: Arc<dyn Storage>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// A name that no other execution of any job has had: the job id and the attempt. For names of temporary files.
    pub execution: String,
    /// True if checkpoints are taken with EXACTLY_ONCE: sinks then make output visible in [`SinkWriter::commit`] alone.
    /// Without checkpoints a sink writes as it goes and `commit` is called once, at the end.
    pub exactly_once: bool,
    /// True if checkpoints are taken at all.
    pub checkpointing: bool,
}

/// What a source has for its task.
#[derive(Debug)]
pub enum SourceEvent {
    /// Rows.
    Batch(Batch),
    /// Bad records, for the source's dead-letter sink; columns of [`dead_letter_schema`].
    DeadLetters(Batch),
    /// This subtask has nothing for now and does not know when that changes: it must not hold up the watermark. The next
    /// batch ends the idleness.
    Idle,
    /// Nothing follows, ever.
    End,
}

/// The columns of a dead letter: `source STRING, position STRING, reason STRING, record STRING` (all NOT NULL; bytes that are
/// no UTF-8 are replaced in `record`), `raw BYTES` as it stood.
pub fn dead_letter_schema() -> SchemaRef {
    use arrow::datatypes::{DataType, Field, Schema};
    let text = |name: &str| Field::new(name, DataType::Utf8, false);
    let raw = Field::new("raw", DataType::Binary, false);
    Arc::new(Schema::new(vec![text("source"), text("position"), text("reason"), text("record"), raw]))
}

/// A source as the job describes it. Makes the readers of its subtasks.
pub trait Source: Send + Sync + fmt::Debug {
    /// What `list` and `info` call it: `filesystem(json)`.
    fn describe(&self) -> String;

    /// The columns of the batches that its readers return: those that the job uses, in schema order.
    fn schema(&self) -> SchemaRef;

    /// Whether its rows are inserts alone or a changelog.
    fn changelog_mode(&self) -> ChangelogMode;

    /// True if the input ends by itself.
    fn is_bounded(&self) -> bool;

    /// The most subtasks it can use; `None` if there is no bound.
    fn max_subtasks(&self) -> Option<Parallelism>;

    /// The columns of the positions that [`SourceReader::snapshot`] returns.
    fn state_schema(&self) -> SchemaRef;

    /// One reader a subtask, `context.parallelism` of them. `restored`: what all readers' `snapshot`s returned, of any former
    /// parallelism; empty on a fresh start. Every row of the input must come out of exactly one reader, from exactly where
    /// the snapshots stood on.
    fn readers(
        &self,
        context: &ConnectorContext,
        restored: &[RecordBatch],
        metrics: &[OperatorMetrics],
    ) -> Result<Vec<Box<dyn SourceReader>>, ConnectorError>;
}

/// One subtask of a source. Owned by its task; all calls come from there.
pub trait SourceReader: Send {
    /// The next event. `Pending` after arranging a wake-up, as futures do; files are read in place, which blocks the worker
    /// for one chunk. Not called again after [`SourceEvent::End`].
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<SourceEvent, ConnectorError>>;

    /// The position right behind the last event that `poll_next` returned. Called between polls, also after the end.
    fn snapshot(&mut self) -> Result<RecordBatch, ConnectorError>;

    /// True while it works through rows that had piled up before it began, and how soon they come out does not matter (Flink:
    /// `isProcessingBacklog`). Asked after every event.
    fn is_backlogged(&self) -> bool {
        false
    }
}

/// What a sink can take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SinkInput {
    /// Inserts alone.
    AppendOnly,
    /// Updates and deletes by these columns (positions in the input, the sink's primary key); `-U` rows are not needed.
    Upsert(Vec<usize>),
    /// Everything; `-U` rows are not needed (`blackhole`).
    AnyWithoutUpdateBefore,
    /// Everything, with `-U` rows (`print`, `debezium-json`).
    Any,
}

/// The input of a sink whose format can say this much.
fn encodable_input(mode: ChangelogMode) -> SinkInput {
    match mode {
        ChangelogMode::AppendOnly => SinkInput::AppendOnly,
        ChangelogMode::Upsert => SinkInput::AnyWithoutUpdateBefore,
        ChangelogMode::Retract => SinkInput::Any,
    }
}

/// A sink as the job describes it. Makes the writers of its subtasks.
pub trait Sink: Send + Sync + fmt::Debug {
    /// What `list` and `info` call it: `jdbc(sqlite)`.
    fn describe(&self) -> String;

    /// What it can take.
    fn input(&self) -> SinkInput;

    /// The most subtasks it can use; `None` if there is no bound.
    fn max_subtasks(&self) -> Option<Parallelism>;

    /// True if its rows go to the process's standard output: then nothing else may.
    fn writes_to_stdout(&self) -> bool {
        false
    }

    /// One writer a subtask, `context.parallelism` of them. Called before anything runs; a missing table, a directory that
    /// cannot be written or a column that does not fit is an error here, not at the first row.
    ///
    /// `restored`: what the writers' snapshots held, of any former parallelism. The committables among it are committed here
    /// (again, if need be: committing is idempotent), and whatever is visible or lies about but belongs to no snapshot is
    /// removed. On a fresh start `restored` is `None` and nothing of an earlier job is touched.
    fn writers(
        &self,
        context: &ConnectorContext,
        restored: Option<&SinkRestore>,
        metrics: &[OperatorMetrics],
    ) -> Result<Vec<Box<dyn SinkWriter>>, ConnectorError>;
}

/// What the writers of a sink had saved, over all former subtasks.
#[derive(Debug, Clone, Default)]
pub struct SinkRestore {
    /// [`SinkSnapshot::state`] of each former subtask that had one.
    pub state: Vec<RecordBatch>,
    /// Committables of checkpoints that may not have been committed, oldest first.
    pub committables: Vec<(CheckpointId, RecordBatch)>,
}

/// What one writer saves at a barrier. The columns are the sink's own; they are stored typed and shown by tools.
#[derive(Debug, Clone, Default)]
pub struct SinkSnapshot {
    /// What the writer needs to go on: an open file and its valid length, counters.
    pub state: Option<RecordBatch>,
    /// What becomes visible when this checkpoint is complete.
    pub committables: Option<RecordBatch>,
}

/// One subtask of a sink, in Flink's two-phase vocabulary. Owned by its task; all calls come from there.
pub trait SinkWriter: Send {
    /// Takes rows. With `exactly_once`, nothing of them may become visible before `commit`.
    fn write(&mut self, batch: &Batch) -> Result<(), ConnectorError>;

    /// Called when the sink's task has nothing to do, and at least every second: flushes what should not wait, rolls files by
    /// time.
    fn on_idle(&mut self) -> Result<(), ConnectorError>;

    /// A barrier: everything written so far becomes durable (synced) but not visible.
    fn prepare_commit(&mut self, checkpoint: CheckpointId) -> Result<SinkSnapshot, ConnectorError>;

    /// Checkpoint `checkpoint` is complete: makes `committables`, which `prepare_commit` returned for it, visible. Idempotent.
    fn commit(&mut self, checkpoint: CheckpointId, committables: &RecordBatch) -> Result<(), ConnectorError>;

    /// The input has ended; flushes what can be flushed. A `prepare_commit` and `commit` for the last checkpoint follow
    /// (without checkpointing too, with a number that no checkpoint has).
    fn end_of_input(&mut self) -> Result<(), ConnectorError>;

    /// The job ends without a last checkpoint (cancelled, failed): closes what is open, leaves uncommitted work as it is.
    fn close(&mut self);
}
