//! Why a checkpoint failed, in Flink's words (`CheckpointFailureReason`), and which reasons count against
//! `tolerable-failed-checkpoints`.

use crate::types::CheckpointId;
use std::collections::BTreeSet;

/// Why a checkpoint or savepoint failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureReason {
    /// Its directory could not be made, or the like.
    Io,
    /// A task could not write its state.
    Async,
    /// A task could not take part.
    Declined,
    /// A task was not running yet.
    DeclinedTaskNotReady,
    /// A task ended before it took part.
    DeclinedTaskClosing,
    /// It took longer than `timeout`.
    Expired,
    /// A later one was complete before it.
    Subsumed,
    /// `_metadata` could not be written.
    Finalize,
    /// Periodic checkpoints were suspended by a stop or a cancel with savepoint.
    SchedulerShutdown,
    /// More than [`crate::types::limits::QUEUED_CHECKPOINT_REQUESTS`] wait.
    TooManyRequests,
    /// A task has ended already, or the job is being restarted.
    NotAllTasksRunning,
    /// The job fails and is restarted.
    Suspended,
    /// The job ends.
    Shutdown,
}

impl FailureReason {
    /// Flink's message.
    pub const fn message(self) -> &'static str {
        match self {
            Self::Io => "An Exception occurred while triggering the checkpoint. IO-problem detected.",
            Self::Async => "Asynchronous task checkpoint failed.",
            Self::Declined => "Checkpoint was declined.",
            Self::DeclinedTaskNotReady => "Checkpoint was declined (tasks not ready)",
            Self::DeclinedTaskClosing => "Checkpoint was declined (task is closing)",
            Self::Expired => "Checkpoint expired before completing.",
            Self::Subsumed => "Checkpoint has been subsumed.",
            Self::Finalize => "Failure to finalize checkpoint.",
            Self::SchedulerShutdown => "Periodic checkpoint scheduler is shut down.",
            Self::TooManyRequests => "The maximum number of queued checkpoint requests exceeded",
            Self::NotAllTasksRunning => "Not all required tasks are currently running.",
            Self::Suspended => "Checkpoint Coordinator is suspending.",
            Self::Shutdown => "CheckpointCoordinator shutdown.",
        }
    }

    /// True if it counts against `tolerable-failed-checkpoints`.
    pub const fn counts(self) -> bool {
        matches!(self, Self::Io | Self::Async | Self::Declined | Self::Expired | Self::Finalize)
    }

    /// The message with what exactly went wrong behind it.
    pub fn with_detail(self, detail: &str) -> String {
        if detail.is_empty() { self.message().to_owned() } else { format!("{} {detail}", self.message()) }
    }
}

/// The consecutive failures since the last success (Flink: `CheckpointFailureManager`).
#[derive(Debug)]
pub(super) struct FailureCounter {
    tolerable: usize,
    counted: BTreeSet<CheckpointId>,
    last_success: Option<CheckpointId>,
}

impl FailureCounter {
    pub(super) fn new(tolerable: usize) -> Self {
        Self { tolerable, counted: BTreeSet::new(), last_success: None }
    }

    /// A checkpoint or savepoint is complete: counting starts anew, unless a later one was complete before.
    pub(super) fn succeeded(&mut self, checkpoint: CheckpointId) {
        if self.last_success.is_none_or(|last| checkpoint > last) {
            self.last_success = Some(checkpoint);
            self.counted.clear();
        }
    }

    /// A checkpoint failed; the message with which the job fails, if that is one failure too many. Each checkpoint counts once.
    pub(super) fn failed(&mut self, checkpoint: CheckpointId, reason: FailureReason) -> Option<String> {
        if reason.counts() && self.last_success.is_none_or(|last| checkpoint >= last) {
            self.counted.insert(checkpoint);
        }
        if self.counted.len() <= self.tolerable {
            return None;
        }
        self.counted.clear();
        Some(format!(
            "Exceeded checkpoint tolerable failure threshold. The latest checkpoint failed due to {}, view the Checkpoint History tab or \
             the Job Manager log to find out why continuous checkpoints failed.",
            reason.message()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u64) -> CheckpointId {
        CheckpointId::new(n)
    }

    #[test]
    fn the_job_fails_at_the_first_failure_beyond_the_tolerable_ones() {
        let mut counter = FailureCounter::new(1);
        assert_eq!(counter.failed(id(1), FailureReason::Expired), None);
        assert_eq!(counter.failed(id(1), FailureReason::Declined), None, "a checkpoint counts once");
        assert_eq!(counter.failed(id(2), FailureReason::Subsumed), None, "subsumed ones do not count");
        let message = counter.failed(id(3), FailureReason::Async).unwrap();
        assert!(message.starts_with("Exceeded checkpoint tolerable failure threshold. The latest checkpoint failed due to Asynchronous"));
        assert_eq!(counter.failed(id(4), FailureReason::Io), None, "counting starts anew");
    }

    #[test]
    fn only_a_later_success_resets_the_count() {
        let mut counter = FailureCounter::new(1);
        counter.succeeded(id(5));
        assert_eq!(counter.failed(id(6), FailureReason::Io), None);
        counter.succeeded(id(4));
        assert!(counter.failed(id(7), FailureReason::Io).is_some());
        assert_eq!(counter.failed(id(8), FailureReason::Io), None);
        counter.succeeded(id(9));
        assert_eq!(counter.failed(id(3), FailureReason::Io), None, "failures before the last success do not count");
        assert_eq!(counter.failed(id(10), FailureReason::Io), None);
    }
}
