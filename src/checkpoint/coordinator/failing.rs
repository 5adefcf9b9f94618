//! Checkpoints that fail: what that means for whoever asked for them, and for the job.

use super::messages::{Action, RequestError};
use super::pending::Pending;
use super::queue::Origin;
use super::{Coordinator, FailureReason, Phase, Stop};
use crate::types::{CheckpointId, CheckpointKind};
use std::time::Duration;

/// Why a pending checkpoint failed, and whether a task says so.
pub(super) struct Failure {
    pub(super) reason: FailureReason,
    pub(super) detail: String,
    pub(super) by_task: bool,
}

impl Failure {
    pub(super) fn of_job(reason: FailureReason, detail: String) -> Self {
        Self { reason, detail, by_task: false }
    }
}

impl Coordinator {
    /// The tasks are gone: whatever is pending, waiting or stopping fails.
    pub(super) fn give_up(&mut self, reason: FailureReason, phase: Phase, out: &mut Vec<Action>) {
        if let Some(Stop { trigger, complete: Some(completed) }) = self.stop.take() {
            let error = RequestError::FailedDuringStopping { savepoint: completed.path };
            out.push(Action::Reply { trigger, result: Err(error) });
        }
        for checkpoint in self.pending.keys().copied().collect::<Vec<_>>() {
            self.abort(checkpoint, reason, "", out);
        }
        self.empty_queue(reason, out);
        self.schedule.suspend();
        self.ended.clear();
        self.finished.clear();
        self.phase = phase;
    }

    /// Ends a pending checkpoint and answers whoever asked for it.
    pub(super) fn abort(
        &mut self,
        checkpoint: CheckpointId,
        reason: FailureReason,
        detail: &str,
        out: &mut Vec<Action>,
    ) -> Option<Pending> {
        let pending = self.pending.remove(&checkpoint)?;
        if pending.finalizing && reason != FailureReason::Finalize {
            self.orphaned.insert(checkpoint);
        }
        let message = reason.with_detail(detail);
        out.push(Action::Abort { checkpoint, reason, message: message.clone() });
        if let Origin::Requested { trigger, .. } = pending.origin {
            out.push(Action::Reply { trigger, result: Err(RequestError::Failed(message)) });
        }
        Some(pending)
    }

    /// A pending checkpoint has failed: as [`Self::abort`], with what that means for the job.
    pub(super) fn fail(&mut self, now: Duration, checkpoint: CheckpointId, failure: Failure, out: &mut Vec<Action>) {
        let Failure { reason, detail, by_task } = failure;
        let Some(pending) = self.abort(checkpoint, reason, &detail, out) else { return };
        if pending.kind == CheckpointKind::Look {
            return;
        }
        let is_stop = matches!(pending.kind, CheckpointKind::StopWithSavepoint { .. });
        if self.stop.as_ref().is_some_and(|stop| pending.is_requested_by(stop.trigger)) {
            self.stop = None;
            self.schedule.resume(now);
        }
        if self.phase != Phase::Running {
            return;
        }
        // A task that failed at the barrier of a stop cannot go on, and a maximum watermark cannot be taken back: the job starts
        // again from its last checkpoint.
        let drained = matches!(pending.kind, CheckpointKind::StopWithSavepoint { drain: true });
        if is_stop && (by_task || (drained && reason != FailureReason::Io)) {
            self.fail_job(reason.with_detail(&detail), out);
        } else if !pending.kind.is_savepoint()
            && let Some(message) = self.failures.failed(checkpoint, reason)
        {
            self.fail_job(message, out);
        }
        self.take_final_checkpoint_after_stop(is_stop, out);
    }

    /// The runtime answers with [`Event::JobRestarting`] or [`Event::JobEnding`]; nothing is triggered until then.
    pub(super) fn fail_job(&mut self, message: String, out: &mut Vec<Action>) {
        self.phase = Phase::Failing;
        self.schedule.suspend();
        out.push(Action::FailJob { message });
    }

    pub(super) fn take_final_checkpoint_after_stop(&mut self, was_stop: bool, out: &mut Vec<Action>) {
        // A final checkpoint that failed is tried again at the next beat; one that a stop has put off is taken now.
        if was_stop {
            self.take_final_checkpoint(out);
        }
    }
}
