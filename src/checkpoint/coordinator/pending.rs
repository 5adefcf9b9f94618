//! A checkpoint that is being taken.

use super::queue::Origin;
use crate::types::{ByteSize, CheckpointId, CheckpointKind, TriggerId};
use std::collections::BTreeSet;
use std::time::Duration;

/// A checkpoint that is being taken. It ends in exactly one way: complete, or aborted.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) kind: CheckpointKind,
    pub(super) origin: Origin,
    pub(super) deadline: Duration,
    /// Every task had reached the end of its data when this was triggered: what it commits is the rest.
    pub(super) all_ended: bool,
    /// All tasks have acknowledged; `_metadata` is being written.
    pub(super) finalizing: bool,
    missing: BTreeSet<usize>,
    bytes: u64,
}

/// What can be said of a checkpoint that is being taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PendingView {
    /// Its number.
    pub checkpoint: CheckpointId,
    /// Its kind.
    pub kind: CheckpointKind,
    /// Tasks that acknowledged it, and all tasks.
    pub acknowledged: (usize, usize),
    /// Bytes written for it so far.
    pub bytes: ByteSize,
}

impl Pending {
    pub(super) fn new(kind: CheckpointKind, origin: Origin, tasks: usize, deadline: Duration, all_ended: bool) -> Self {
        Self { kind, origin, deadline, all_ended, finalizing: false, missing: (0..tasks).collect(), bytes: 0 }
    }

    /// Takes an acknowledgement; true if it was the last one. Unknown tasks and repetitions are ignored.
    pub(super) fn acknowledge(&mut self, task: usize, bytes: ByteSize) -> bool {
        if !self.missing.remove(&task) {
            return false;
        }
        self.bytes = self.bytes.saturating_add(bytes.0);
        self.finalizing = self.missing.is_empty();
        self.finalizing
    }

    pub(super) fn waits_for(&self, task: usize) -> bool {
        self.missing.contains(&task)
    }

    pub(super) fn is_requested_by(&self, by: TriggerId) -> bool {
        matches!(self.origin, Origin::Requested { trigger, .. } if trigger == by)
    }

    pub(super) fn view(&self, checkpoint: CheckpointId, tasks: usize) -> PendingView {
        let acknowledged = (tasks - self.missing.len(), tasks);
        PendingView { checkpoint, kind: self.kind, acknowledged, bytes: ByteSize(self.bytes) }
    }
}
