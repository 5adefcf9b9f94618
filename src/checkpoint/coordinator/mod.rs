//! Decides when checkpoints and savepoints are taken, when they are complete and when they have failed (Flink:
//! `CheckpointCoordinator`). A state machine: time and randomness come in as values, what is to be done goes out as [`Action`]s.
//!
//! One coordinator serves a job for its whole life, restarts included ([`Event::JobRestarting`], [`Event::JobRestarted`]).
//! After every call, [`Coordinator::next_wakeup`] says when [`Event::Tick`] is due at the latest.

mod failing;
mod messages;
mod pending;
mod queue;
mod reason;
mod schedule;
#[cfg(test)]
mod tests;

pub use messages::{Action, Completed, Event, Request, RequestError};
pub use pending::PendingView;
pub use reason::FailureReason;

use super::retention::Ending;
use super::settings::{CheckpointSettings, ClaimMode};
use crate::types::{ByteSize, CheckpointId, CheckpointKind, TriggerId};
use failing::Failure;
use pending::Pending;
use queue::{Origin, RequestQueue};
use reason::FailureCounter;
use schedule::Schedule;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

/// A stop or a cancel with savepoint that is under way. Periodic checkpoints are suspended meanwhile.
#[derive(Debug)]
struct Stop {
    trigger: TriggerId,
    /// Set when the savepoint of a stop is complete and its tasks are ending.
    complete: Option<Completed>,
}

/// Where the job is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Checkpoints can be taken.
    Running,
    /// The tasks were told to end, or the job to cancel.
    Ending,
    /// The job was failed; the tasks are still there.
    Failing,
    /// The tasks are gone, a restart follows.
    Restarting,
    /// Nothing happens any more.
    Ended,
}

/// See the module.
#[derive(Debug)]
pub struct Coordinator {
    settings: CheckpointSettings,
    tasks: usize,
    next_id: CheckpointId,
    phase: Phase,
    schedule: Schedule,
    queue: RequestQueue,
    pending: BTreeMap<CheckpointId, Pending>,
    /// Aborted while `_metadata` was being written: should that succeed, the files go.
    orphaned: BTreeSet<CheckpointId>,
    failures: FailureCounter,
    /// Complete checkpoints, oldest first: at most `num-retained`.
    retained: Vec<CheckpointId>,
    /// The savepoint of a stop whose side effects were committed.
    committed_savepoint: Option<CheckpointId>,
    discarding: BTreeSet<CheckpointId>,
    /// The tasks whose sources work through a backlog.
    backlogged: BTreeSet<usize>,
    ended: BTreeSet<usize>,
    finished: BTreeSet<usize>,
    stop: Option<Stop>,
    /// What the job was started from is somebody else's, and no checkpoint of its own is complete: each one is a full one.
    borrowed: bool,
}

impl Coordinator {
    /// A coordinator for a job of `tasks` running tasks. `first`: the next checkpoint's number. `restarted`: the job was taken up
    /// again after a failure: the first checkpoint then comes after `min-pause`, else at a random time within the interval. `now`:
    /// the monotonic time that all later calls count on from.
    pub fn new(settings: CheckpointSettings, tasks: usize, first: CheckpointId, restarted: bool, now: Duration, seed: u64) -> Self {
        Self {
            schedule: Schedule::new(&settings, restarted, now, seed),
            failures: FailureCounter::new(settings.tolerable_failed),
            settings,
            tasks,
            next_id: first,
            phase: Phase::Running,
            queue: RequestQueue::default(),
            pending: BTreeMap::new(),
            orphaned: BTreeSet::new(),
            retained: Vec::new(),
            committed_savepoint: None,
            discarding: BTreeSet::new(),
            backlogged: BTreeSet::new(),
            ended: BTreeSet::new(),
            finished: BTreeSet::new(),
            stop: None,
            borrowed: false,
        }
    }

    /// The job starts from checkpoint `from`. Claimed, it counts as the oldest of those that are retained; else the first checkpoint
    /// must not refer to its files.
    pub fn restored(&mut self, from: CheckpointId, claim: ClaimMode) {
        match claim {
            ClaimMode::Claim => self.retained.insert(0, from),
            ClaimMode::NoClaim => self.borrowed = true,
        }
    }

    /// Takes in what has happened; returns what is to be done, in that order.
    pub fn handle(&mut self, now: Duration, event: Event) -> Vec<Action> {
        let mut out = Vec::new();
        if self.phase != Phase::Ended {
            self.take_in(now, event, &mut out);
            self.check_timers(now, &mut out);
            self.trigger_waiting(now, &mut out);
        } else if let Event::Requested { trigger, .. } = event {
            out.push(refused(trigger, FailureReason::Shutdown));
        }
        out
    }

    /// When the next [`Event::Tick`] is due; `None`: only when something else happens.
    pub fn next_wakeup(&self) -> Option<Duration> {
        let deadlines = self.pending.values().map(|p| p.deadline);
        self.schedule.next().into_iter().chain(deadlines).min()
    }

    /// The checkpoint that a restart begins from: the newest retained one, or the savepoint of a stop whose tasks did not end.
    /// Savepoints of a job that runs on are never used.
    pub fn restart_point(&self) -> Option<CheckpointId> {
        self.retained.last().copied().max(self.committed_savepoint)
    }

    /// True if the newest way back is the savepoint of a stop: its sinks may not have committed everything up to it.
    pub fn ends_at_a_stop(&self) -> bool {
        self.committed_savepoint.is_some() && self.restart_point() == self.committed_savepoint
    }

    /// The retained checkpoints, oldest first.
    pub fn retained(&self) -> &[CheckpointId] {
        &self.retained
    }

    /// Checkpoints that are being taken, oldest first.
    pub fn pending(&self) -> impl Iterator<Item = PendingView> + '_ {
        self.pending.iter().map(|(id, pending)| pending.view(*id, self.tasks))
    }

    fn take_in(&mut self, now: Duration, event: Event, out: &mut Vec<Action>) {
        match event {
            Event::Tick => {}
            Event::Requested { trigger, request } => self.requested(trigger, request, out),
            Event::TriggerFailed { checkpoint, message } => self.fail(now, checkpoint, Failure::of_job(FailureReason::Io, message), out),
            Event::Acknowledged { checkpoint, task, bytes } => self.acknowledged(checkpoint, task, bytes, out),
            Event::Declined { checkpoint, reason, message, .. } => {
                if self.pending.get(&checkpoint).is_some_and(|p| !p.finalizing) {
                    self.fail(now, checkpoint, Failure { reason, detail: message, by_task: true }, out);
                }
            }
            Event::Finalized { checkpoint, result: Ok(path) } => self.completed(now, checkpoint, path, out),
            Event::Finalized { checkpoint, result: Err(message) } => {
                self.orphaned.remove(&checkpoint);
                self.fail(now, checkpoint, Failure::of_job(FailureReason::Finalize, message), out);
            }
            Event::Backlog { task, backlog } => self.backlog(now, task, backlog),
            Event::TaskEnded { task } => {
                self.backlog(now, task, false);
                self.task_ended(task, out);
            }
            Event::TaskFinished { task } => self.task_finished(now, task, out),
            Event::DiscardFinished { checkpoint } => {
                self.discarding.remove(&checkpoint);
            }
            Event::JobRestarting => self.give_up(FailureReason::Suspended, Phase::Restarting, out),
            Event::JobRestarted => {
                if self.phase == Phase::Restarting {
                    self.phase = Phase::Running;
                    // The new tasks say it anew.
                    self.backlogged.clear();
                    self.schedule.set_backlog(false, now);
                    self.schedule.resume(now);
                }
            }
            Event::JobEnding { ending } => {
                if ending == Ending::Finished {
                    self.reply_stopped(out);
                }
                self.give_up(FailureReason::Shutdown, Phase::Ended, out);
            }
        }
    }

    fn requested(&mut self, trigger: TriggerId, request: Request, out: &mut Vec<Action>) {
        if self.phase != Phase::Running {
            out.push(refused(trigger, FailureReason::NotAllTasksRunning));
            return;
        }
        if self.stop.is_some() {
            let message = "The job is being stopped with a savepoint already; wait for that to end.";
            out.push(Action::Reply { trigger, result: Err(RequestError::Failed(message.to_owned())) });
            return;
        }
        let (directory, suspends) = match &request {
            Request::Checkpoint { .. } | Request::Look => (None, false),
            Request::Savepoint { directory, cancel, .. } => (Some(directory), *cancel),
            Request::Stop { directory, .. } => (Some(directory), true),
        };
        let directory = match directory.map(|d| d.clone().or_else(|| self.settings.savepoint_dir.clone())) {
            Some(None) => {
                out.push(Action::Reply { trigger, result: Err(RequestError::Failed(NO_DIRECTORY.to_owned())) });
                return;
            }
            Some(directory) => directory,
            None => None,
        };
        if suspends {
            self.suspend(trigger, out);
        }
        if let Some(Origin::Requested { trigger, .. }) = self.queue.push(Origin::Requested { trigger, request, directory }) {
            out.push(refused(trigger, FailureReason::TooManyRequests));
        }
    }

    /// A stop or cancel with savepoint begins: no periodic checkpoints meanwhile; whatever waits or is not acknowledged yet ends.
    fn suspend(&mut self, trigger: TriggerId, out: &mut Vec<Action>) {
        self.schedule.suspend();
        self.stop = Some(Stop { trigger, complete: None });
        let unacknowledged: Vec<_> = self.pending.iter().filter(|(_, p)| !p.finalizing).map(|(id, _)| *id).collect();
        for checkpoint in unacknowledged {
            self.abort(checkpoint, FailureReason::SchedulerShutdown, "", out);
        }
        self.empty_queue(FailureReason::SchedulerShutdown, out);
    }

    fn empty_queue(&mut self, reason: FailureReason, out: &mut Vec<Action>) {
        for origin in self.queue.drain() {
            if let Origin::Requested { trigger, .. } = origin {
                out.push(refused(trigger, reason));
            }
        }
    }

    fn acknowledged(&mut self, checkpoint: CheckpointId, task: usize, bytes: ByteSize, out: &mut Vec<Action>) {
        if let Some(pending) = self.pending.get_mut(&checkpoint)
            && pending.acknowledge(task, bytes)
        {
            out.push(Action::Finalize { checkpoint });
        }
    }

    fn completed(&mut self, now: Duration, checkpoint: CheckpointId, path: Option<PathBuf>, out: &mut Vec<Action>) {
        if self.orphaned.remove(&checkpoint) {
            self.discard(checkpoint, out);
            return;
        }
        if !self.pending.get(&checkpoint).is_some_and(|p| p.finalizing) {
            return;
        }
        let Some(pending) = self.pending.remove(&checkpoint) else { return };
        if let (CheckpointKind::Look, Origin::Requested { trigger, .. }) = (pending.kind, &pending.origin) {
            // It is no checkpoint: neither failures nor pauses count from it.
            out.push(Action::Reply { trigger: *trigger, result: Ok(Completed { checkpoint, path }) });
            return;
        }
        self.failures.succeeded(checkpoint);
        self.schedule.completed(now);
        self.borrowed &= pending.kind.is_savepoint();
        let commit = pending.kind != CheckpointKind::Savepoint;
        if commit {
            self.abort_subsumed(checkpoint, out);
        }
        out.push(Action::NotifyComplete { checkpoint, commit });
        let completed = Completed { checkpoint, path };
        match (pending.kind, pending.origin) {
            (CheckpointKind::Checkpoint, origin) => {
                self.retain(checkpoint, out);
                if let Origin::Requested { trigger, .. } = origin {
                    out.push(Action::Reply { trigger, result: Ok(completed) });
                }
                if pending.all_ended && self.stop.is_none() {
                    self.finish_tasks(Some(checkpoint), out);
                }
            }
            (CheckpointKind::Savepoint, Origin::Requested { trigger, request, .. }) => {
                out.push(Action::Reply { trigger, result: Ok(completed) });
                if matches!(request, Request::Savepoint { cancel: true, .. }) {
                    self.phase = Phase::Ending;
                    out.push(Action::CancelJob);
                }
            }
            (CheckpointKind::StopWithSavepoint { .. }, _) => {
                self.committed_savepoint = Some(checkpoint);
                if let Some(stop) = &mut self.stop {
                    stop.complete = Some(completed);
                }
                self.finish_tasks(Some(checkpoint), out);
            }
            (CheckpointKind::Savepoint, Origin::Periodic | Origin::Final) | (CheckpointKind::Look, _) => {}
        }
    }

    fn abort_subsumed(&mut self, completed: CheckpointId, out: &mut Vec<Action>) {
        let older = self.pending.range(..completed).filter(|(_, p)| !p.kind.is_savepoint());
        for checkpoint in older.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.abort(checkpoint, FailureReason::Subsumed, "", out);
        }
    }

    fn retain(&mut self, checkpoint: CheckpointId, out: &mut Vec<Action>) {
        let at = self.retained.partition_point(|other| *other < checkpoint);
        self.retained.insert(at, checkpoint);
        while self.retained.len() > self.settings.num_retained.max(1) {
            let oldest = self.retained.remove(0);
            self.discard(oldest, out);
        }
    }

    fn discard(&mut self, checkpoint: CheckpointId, out: &mut Vec<Action>) {
        self.discarding.insert(checkpoint);
        out.push(Action::Discard { checkpoint });
    }

    fn finish_tasks(&mut self, checkpoint: Option<CheckpointId>, out: &mut Vec<Action>) {
        self.phase = Phase::Ending;
        self.schedule.suspend();
        out.push(Action::FinishTasks { checkpoint });
        self.empty_queue(FailureReason::NotAllTasksRunning, out);
    }

    fn backlog(&mut self, now: Duration, task: usize, backlog: bool) {
        if !backlog {
            self.backlogged.remove(&task);
        } else if task < self.tasks && matches!(self.phase, Phase::Running | Phase::Ending) {
            self.backlogged.insert(task);
        }
        self.schedule.set_backlog(!self.backlogged.is_empty(), now);
    }

    fn task_ended(&mut self, task: usize, out: &mut Vec<Action>) {
        if task < self.tasks && self.phase == Phase::Running {
            self.ended.insert(task);
            self.take_final_checkpoint(out);
        }
    }

    fn all_ended(&self) -> bool {
        self.tasks > 0 && self.ended.union(&self.finished).count() == self.tasks
    }

    /// Once all tasks have ended, one more checkpoint commits what they still hold.
    fn take_final_checkpoint(&mut self, out: &mut Vec<Action>) {
        if !self.all_ended() || self.stop.is_some() || self.phase != Phase::Running {
            return;
        }
        if self.schedule.is_periodic() && self.settings.after_tasks_finish && self.finished.is_empty() {
            self.queue.push(Origin::Final);
        } else {
            self.finish_tasks(None, out);
        }
    }

    fn task_finished(&mut self, now: Duration, task: usize, out: &mut Vec<Action>) {
        if task >= self.tasks || !matches!(self.phase, Phase::Running | Phase::Ending) || !self.finished.insert(task) {
            return;
        }
        let waiting = self.pending.iter().filter(|(_, p)| p.waits_for(task)).map(|(id, _)| *id);
        for checkpoint in waiting.collect::<Vec<_>>() {
            self.fail(now, checkpoint, Failure::of_job(FailureReason::DeclinedTaskClosing, String::new()), out);
        }
        if self.finished.len() == self.tasks {
            self.reply_stopped(out);
        }
        self.take_final_checkpoint(out);
    }

    /// Answers a stop whose savepoint is complete and whose tasks have ended.
    fn reply_stopped(&mut self, out: &mut Vec<Action>) {
        if let Some(Stop { trigger, complete: Some(completed) }) = &mut self.stop {
            out.push(Action::Reply { trigger: *trigger, result: Ok(completed.clone()) });
            self.stop = None;
        }
    }

    fn check_timers(&mut self, now: Duration, out: &mut Vec<Action>) {
        let expired: Vec<_> = self.pending.iter().filter(|(_, p)| p.deadline <= now).map(|(id, _)| *id).collect();
        for checkpoint in expired {
            self.fail(now, checkpoint, Failure::of_job(FailureReason::Expired, String::new()), out);
        }
        if self.schedule.take_due(now) {
            self.queue.push(Origin::Periodic);
        }
    }

    fn trigger_waiting(&mut self, now: Duration, out: &mut Vec<Action>) {
        while self.phase == Phase::Running && self.discarding.len() <= self.settings.max_concurrent.max(1) {
            let Some(first) = self.queue.first() else { return };
            if self.pending.len() >= self.settings.max_concurrent.max(1) && !first.is_savepoint() {
                return;
            }
            let is_periodic = first.is_periodic();
            let Some(origin) = self.queue.pop() else { return };
            let pause = self.schedule.pause_left(now);
            if is_periodic && !pause.is_zero() {
                self.schedule.retry_in(pause, now);
            } else {
                self.trigger(now, origin, out);
            }
        }
    }

    fn trigger(&mut self, now: Duration, origin: Origin, out: &mut Vec<Action>) {
        if !self.finished.is_empty() {
            if let Origin::Requested { trigger, .. } = origin {
                if self.stop.as_ref().is_some_and(|stop| stop.trigger == trigger) {
                    self.stop = None;
                    self.schedule.resume(now);
                }
                out.push(refused(trigger, FailureReason::NotAllTasksRunning));
            }
            return;
        }
        let checkpoint = self.next_id;
        self.next_id = checkpoint.next();
        let (kind, directory) = match &origin {
            Origin::Requested { request: Request::Savepoint { .. }, directory, .. } => (CheckpointKind::Savepoint, directory.clone()),
            Origin::Requested { request: Request::Stop { drain, .. }, directory, .. } => {
                (CheckpointKind::StopWithSavepoint { drain: *drain }, directory.clone())
            }
            Origin::Requested { request: Request::Look, .. } => (CheckpointKind::Look, None),
            Origin::Requested { .. } | Origin::Periodic | Origin::Final => (CheckpointKind::Checkpoint, None),
        };
        let full = self.borrowed
            || kind.is_savepoint()
            || matches!(&origin, Origin::Requested { request: Request::Checkpoint { full: true }, .. });
        let form = origin.form();
        let deadline = now.saturating_add(origin.timeout().unwrap_or(self.settings.timeout));
        let looking = match &origin {
            Origin::Requested { trigger, request: Request::Look, .. } => Some(*trigger),
            _ => None,
        };
        self.pending.insert(checkpoint, Pending::new(kind, origin, self.tasks, deadline, self.all_ended()));
        if let Some(trigger) = looking {
            out.push(Action::Look { checkpoint, trigger });
            return;
        }
        out.push(Action::Trigger { checkpoint, kind, form, directory, full });
    }
}

const NO_DIRECTORY: &str = "No savepoint directory configured. You can either specify a directory via configure a cluster-wide default via \
    key 'execution.checkpointing.savepoint-dir' or specify a directory in the command line, like -s :targetDirectory for cancelling, -p \
    :targetDirectory for stopping or :targetDirectory for purely taking savepoint.";

fn refused(trigger: TriggerId, reason: FailureReason) -> Action {
    Action::Reply { trigger, result: Err(RequestError::Failed(reason.message().to_owned())) }
}
