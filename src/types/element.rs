//! What travels in channels. The rule of every stream, in one line:
//! `(Batch | Watermark | WatermarkStatus | Barrier)* EndOfInput`; watermarks never go back, barrier ids increase, nothing
//! follows the end.

use super::{Batch, CheckpointId, EventTime};

/// No row with an event time at or before this one is expected any more.
pub type Watermark = EventTime;

/// Whether an input takes part in the minimum over the inputs' watermarks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WatermarkStatus {
    /// It does.
    Active,
    /// It does not, until it becomes active again.
    Idle,
}

/// Why a snapshot is taken; carried by its barrier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckpointKind {
    /// Periodic or asked for with `flink checkpoint`.
    Checkpoint,
    /// `flink savepoint`: processing goes on, sinks do not commit because of it.
    Savepoint,
    /// `flink state get`, `flink state scan`: a person looks at the rows of one state. Nothing is kept and nothing changes: sources say no
    /// position, sinks prepare nothing.
    Look,
    /// `flink stop`: sources stop at the barrier. With `drain` they emit the maximum watermark before it.
    StopWithSavepoint {
        /// `--drain`
        drain: bool,
    },
}

impl CheckpointKind {
    /// True for both kinds of savepoint, and for what is like one: rows in columns, that no restart begins from.
    pub const fn is_savepoint(self) -> bool {
        matches!(self, Self::Savepoint | Self::StopWithSavepoint { .. } | Self::Look)
    }
}

/// Divides a stream into the rows before and after a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Barrier {
    /// The checkpoint that it belongs to.
    pub id: CheckpointId,
    /// Why it is taken.
    pub kind: CheckpointKind,
}

/// One element of a stream.
#[derive(Debug, Clone, PartialEq)]
pub enum StreamElement {
    /// Rows.
    Batch(Batch),
    /// Progress of event time.
    Watermark(Watermark),
    /// Idleness.
    WatermarkStatus(WatermarkStatus),
    /// A checkpoint's cut.
    Barrier(Barrier),
    /// Nothing follows.
    EndOfInput,
}
