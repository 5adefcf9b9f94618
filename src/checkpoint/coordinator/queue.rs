//! Checkpoints that wait for their turn (Flink: `CheckpointRequestDecider`).

use super::Request;
use crate::state::SnapshotForm;
use crate::types::{TriggerId, limits};
use std::path::PathBuf;
use std::time::Duration;

/// Where a waiting checkpoint comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    /// The interval has passed.
    Periodic,
    /// All tasks have reached the end of their data.
    Final,
    /// A person asked for it.
    Requested { trigger: TriggerId, request: Request, directory: Option<PathBuf> },
}

impl Origin {
    /// Savepoints wait neither for other checkpoints nor for pauses (Flink: forced).
    pub(super) fn is_savepoint(&self) -> bool {
        matches!(self, Self::Requested { request: Request::Savepoint { .. } | Request::Stop { .. } | Request::Look, .. })
    }

    pub(super) fn is_periodic(&self) -> bool {
        matches!(self, Self::Periodic)
    }

    /// In which form keyed state is written: checkpoints in the backend's own.
    pub(super) fn form(&self) -> SnapshotForm {
        match self {
            Self::Requested { request: Request::Savepoint { form, .. } | Request::Stop { form, .. }, .. } => *form,
            Self::Requested { request: Request::Look, .. } => SnapshotForm::Canonical,
            Self::Requested { .. } | Self::Periodic | Self::Final => SnapshotForm::Native,
        }
    }

    /// How long it may take, if that is its own.
    pub(super) fn timeout(&self) -> Option<Duration> {
        match self {
            Self::Requested { request: Request::Savepoint { timeout, .. } | Request::Stop { timeout, .. }, .. } => *timeout,
            Self::Requested { .. } | Self::Periodic | Self::Final => None,
        }
    }

    fn rank(&self) -> u8 {
        match self {
            _ if self.is_savepoint() => 0,
            Self::Periodic => 2,
            Self::Final | Self::Requested { .. } => 1,
        }
    }
}

/// Waiting checkpoints: savepoints before checkpoints, what was asked for before what is periodic, then by time. At most one periodic
/// and one final checkpoint wait.
#[derive(Debug, Default)]
pub(super) struct RequestQueue {
    waiting: Vec<Origin>,
}

impl RequestQueue {
    /// Adds one; returns the one that finds no room, if any.
    pub(super) fn push(&mut self, origin: Origin) -> Option<Origin> {
        let alone = matches!(origin, Origin::Periodic | Origin::Final);
        if alone && self.waiting.contains(&origin) {
            return None;
        }
        if self.waiting.len() >= limits::QUEUED_CHECKPOINT_REQUESTS && !self.waiting.last().is_some_and(Origin::is_periodic) {
            return Some(origin);
        }
        let at = self.waiting.partition_point(|other| other.rank() <= origin.rank());
        self.waiting.insert(at, origin);
        if self.waiting.len() > limits::QUEUED_CHECKPOINT_REQUESTS { self.waiting.pop() } else { None }
    }

    pub(super) fn first(&self) -> Option<&Origin> {
        self.waiting.first()
    }

    pub(super) fn pop(&mut self) -> Option<Origin> {
        if self.waiting.is_empty() { None } else { Some(self.waiting.remove(0)) }
    }

    pub(super) fn drain(&mut self) -> Vec<Origin> {
        std::mem::take(&mut self.waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint(n: u128) -> Origin {
        Origin::Requested { trigger: TriggerId::from_u128(n), request: Request::Checkpoint { full: false }, directory: None }
    }

    fn savepoint(n: u128) -> Origin {
        let request = Request::Savepoint { directory: None, form: SnapshotForm::Canonical, cancel: false, timeout: None };
        Origin::Requested { trigger: TriggerId::from_u128(n), request, directory: None }
    }

    #[test]
    fn savepoints_go_before_checkpoints_and_requests_before_periodic_ones_then_by_time() {
        let mut queue = RequestQueue::default();
        for origin in [Origin::Periodic, checkpoint(1), savepoint(2), checkpoint(3), Origin::Periodic, savepoint(4)] {
            assert_eq!(queue.push(origin), None);
        }
        assert_eq!(queue.drain(), [savepoint(2), savepoint(4), checkpoint(1), checkpoint(3), Origin::Periodic]);
    }

    #[test]
    fn a_full_queue_drops_a_periodic_one_and_refuses_otherwise() {
        let mut queue = RequestQueue::default();
        queue.push(Origin::Periodic);
        for n in 1..limits::QUEUED_CHECKPOINT_REQUESTS {
            assert_eq!(queue.push(checkpoint(n as u128)), None);
        }
        assert_eq!(queue.push(savepoint(0)), Some(Origin::Periodic));
        assert_eq!(queue.push(savepoint(7)), Some(savepoint(7)));
    }
}
