//! The edge around the coordinator: makes directories, collects what tasks wrote, writes `_metadata`, deletes, answers, and keeps
//! the view of checkpoints up to date. All decisions are the coordinator's.

mod disposal;

use super::attempt_files::AttemptFiles;
use super::checkpoint_files::CheckpointFiles;
use super::error::TaskError;
use super::execution::{Attempt, Blueprint};
use super::handle::{CheckpointReply, CheckpointView, JobCommand, JobHandle, LookRequest, SavepointRequest, StopRequest};
use super::states::operator_states;
use super::task::{Blocking, TaskCommand};
use crate::checkpoint::coordinator::{Action, Coordinator, Event, FailureReason, Request};
use crate::checkpoint::inspect::{InspectError, RowsWanted, Snapshot};
use crate::checkpoint::settings::ClaimMode;
use crate::checkpoint::{
    CheckpointError, CompletedCheckpoint, JobEntry, ManifestHeader, OpenCheckpoint, OperatorHeader, SnapshotKind, SnapshotTarget,
    WrittenSubtask, complete, occupy,
};
use crate::job::graph::NodeKind;
use crate::state::SnapshotForm;
use crate::storage::StorageLock;
use crate::types::limits::CHECKPOINT_HISTORY;
use crate::types::{Barrier, ByteSize, CheckpointId, CheckpointKind, TriggerId, WallTime};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

type Reply = oneshot::Sender<Result<CheckpointReply, String>>;

type LookReply = oneshot::Sender<Result<Snapshot, InspectError>>;

/// What an attempt must do because of a decision.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Handle this like a task's failure.
    Fail(String),
    /// Cancel the job.
    Cancel,
}

/// A checkpoint that is being taken.
struct Pending {
    kind: CheckpointKind,
    files: Arc<AttemptFiles>,
    written: Vec<WrittenSubtask>,
    latest_ack: Option<WallTime>,
}

/// The coordinator and everything that it decides about.
pub(crate) struct Checkpointing {
    blueprint: Blueprint,
    files: CheckpointFiles,
    handle: JobHandle,
    coordinator: Coordinator,
    actions: VecDeque<Action>,
    pending: BTreeMap<CheckpointId, Pending>,
    completed: BTreeMap<CheckpointId, CompletedCheckpoint>,
    replies: BTreeMap<TriggerId, Reply>,
    /// Who waits for rows, and for which.
    looks: BTreeMap<TriggerId, (RowsWanted, LookReply)>,
    /// The newest checkpoint that was begun.
    newest: CheckpointId,
    /// What the job was started from.
    initial: Option<Arc<OpenCheckpoint>>,
    /// Its directory, as long as it is this job's and there.
    claimed: Option<(CheckpointId, PathBuf)>,
    /// Of the directory of checkpoints, if it is this job's alone: held while the job lives.
    _lock: Option<Box<dyn StorageLock>>,
    /// Directories of checkpoints that were given up or replaced, until they are deleted.
    leaving: BTreeMap<CheckpointId, PathBuf>,
    /// The checkpoint that was claimed and is being deleted. Once its `_metadata` is gone nobody else can say which files are its own.
    leaving_claimed: Option<CheckpointId>,
    finalized: mpsc::UnboundedSender<Finalized>,
    pub(crate) results: mpsc::UnboundedReceiver<Finalized>,
    random: StdRng,
}

/// What came of work on a blocking thread.
pub(crate) enum Finalized {
    Completed(CheckpointId, Result<CompletedCheckpoint, String>),
    Discarded(CheckpointId),
    /// Nobody writes to the checkpoint any more.
    Released(CheckpointId),
    /// The files of a checkpoint that was given up are gone.
    Deleted(CheckpointId),
}

impl Checkpointing {
    /// Errors if the directory of checkpoints is to be this job's alone and is not.
    pub(crate) fn new(
        blueprint: &Blueprint,
        handle: JobHandle,
        restore: Option<(OpenCheckpoint, ClaimMode)>,
        seed: u64,
    ) -> Result<Self, CheckpointError> {
        let (restore, claim) = restore.map_or((None, ClaimMode::NoClaim), |(open, claim)| (Some(open), claim));
        let first = restore.as_ref().map_or(CheckpointId::new(1), |open| open.manifest().checkpoint_id.next());
        let settings = blueprint.graph.settings.checkpointing.clone();
        let lock = occupy(&*blueprint.storage, &settings, blueprint.job, first)?;
        let now = blueprint.clock.monotonic();
        let (finalized, results) = mpsc::unbounded_channel();
        let mut coordinator = Coordinator::new(settings, blueprint.plan.tasks(), first, false, now, seed);
        let mut claimed = None;
        if let Some(open) = &restore {
            let id = open.manifest().checkpoint_id;
            coordinator.restored(id, claim);
            claimed = open.directory().filter(|_| claim == ClaimMode::Claim).map(|dir| (id, dir.to_owned()));
        }
        Ok(Self {
            coordinator,
            _lock: lock,
            files: CheckpointFiles::new(blueprint),
            blueprint: blueprint.clone(),
            handle,
            actions: VecDeque::new(),
            pending: BTreeMap::new(),
            completed: BTreeMap::new(),
            replies: BTreeMap::new(),
            looks: BTreeMap::new(),
            newest: CheckpointId::new(0),
            initial: restore.map(Arc::new),
            claimed,
            leaving: BTreeMap::new(),
            leaving_claimed: None,
            finalized,
            results,
            random: StdRng::seed_from_u64(seed),
        })
    }

    /// What attempt `number` begins from: the newest checkpoint that counts, else what the job was started from.
    pub(crate) async fn restore_point(&mut self, number: u64) -> Result<Option<Arc<OpenCheckpoint>>, TaskError> {
        let completed = self.coordinator.restart_point().and_then(|id| self.completed.get(&id)).cloned();
        let (point, directory) = match completed {
            None => (self.initial.clone(), self.initial.as_ref().and_then(|open| open.directory().map(PathBuf::from))),
            Some(completed) => {
                let (files, directory) = (self.files.clone(), completed.directory().map(PathBuf::from));
                let open = move || files.open(&completed).map_err(|e| TaskError::Checkpoint(e.to_string()));
                (Some(Arc::new(self.blueprint.blocking(open).await?)), directory)
            }
        };
        if let Some(open) = &point {
            let manifest = open.manifest();
            let restored = (manifest.checkpoint_id, self.blueprint.clock.now(), manifest.kind.is_savepoint(), directory);
            tracing::info!(checkpoint = %manifest.checkpoint_id, attempt = number, "restoring");
            self.handle.update(|view| {
                view.checkpoints.restored += 1;
                view.checkpoints.latest_restored = Some(restored);
            });
        }
        Ok(point)
    }

    /// All tasks of an attempt run.
    pub(crate) fn begin(&mut self, restarted: bool) {
        if restarted {
            self.handle(Event::JobRestarted);
        }
    }

    /// The tasks of an attempt are gone; another one may follow.
    pub(crate) fn attempt_ended(&mut self, again: bool) {
        if again {
            self.handle(Event::JobRestarting);
            self.settle();
            self.pending.clear();
        }
    }

    /// Time until the coordinator wants to be asked again.
    pub(crate) fn until_wakeup(&self) -> Option<Duration> {
        let now = self.blueprint.clock.monotonic();
        self.coordinator.next_wakeup().map(|at| at.saturating_sub(now))
    }

    /// A person's request.
    pub(crate) fn command(&mut self, command: JobCommand) {
        let (trigger, request, reply) = match command {
            JobCommand::Cancel { reply } => {
                let _ = reply.send(());
                return;
            }
            JobCommand::Savepoint { request, trigger, reply } => {
                let SavepointRequest { directory, form, cancel, timeout } = request;
                (trigger, Request::Savepoint { directory, form, cancel, timeout }, reply)
            }
            JobCommand::Stop { request, trigger, reply } => {
                let StopRequest { directory, form, drain, timeout } = request;
                (trigger, Request::Stop { directory, form, drain, timeout }, reply)
            }
            JobCommand::Checkpoint { full, trigger, reply } => (trigger, Request::Checkpoint { full }, reply),
            JobCommand::Look { request, trigger, reply } => return self.asked(request, trigger, reply),
        };
        self.replies.insert(trigger, reply);
        self.handle(Event::Requested { trigger, request });
    }

    /// A person wants to look at rows.
    fn asked(&mut self, request: LookRequest, trigger: TriggerId, reply: LookReply) {
        let states = operator_states(&self.blueprint.graph);
        match RowsWanted::new(&request.state, request.selection, &states, self.blueprint.max_parallelism) {
            Ok(wanted) => {
                self.looks.insert(trigger, (wanted, reply));
                self.handle(Event::Requested { trigger, request: Request::Look });
            }
            // Whoever asked may have gone away, here and below.
            Err(error) => drop(reply.send(Err(error))),
        }
    }

    /// Answers a request that cannot be carried out now.
    pub(crate) fn refuse(command: JobCommand, why: &str) {
        if let JobCommand::Look { reply, .. } = command {
            drop(reply.send(Err(InspectError::Unanswered(why.to_owned()))));
            return;
        }
        let (JobCommand::Savepoint { reply, .. } | JobCommand::Stop { reply, .. } | JobCommand::Checkpoint { reply, .. }) = command else {
            return;
        };
        let _ = reply.send(Err(why.to_owned()));
    }

    /// A task wrote its part.
    pub(crate) fn acknowledged(&mut self, task: usize, id: CheckpointId, written: Vec<WrittenSubtask>) {
        let now = self.blueprint.clock.now();
        let bytes = ByteSize(written.iter().map(|w| w.bytes().0).sum());
        if let Some(pending) = self.pending.get_mut(&id) {
            pending.written.extend(written);
            pending.latest_ack = Some(now);
            self.handle.update(|view| {
                if let Some(shown) = view.checkpoints.history.iter_mut().find(|c| c.id == id) {
                    shown.acknowledged.0 += 1;
                    shown.written += bytes.0;
                    shown.bytes = shown.written;
                    shown.latest_ack = Some(now);
                }
            });
        }
        self.handle(Event::Acknowledged { checkpoint: id, task, bytes });
    }

    /// A task could not write its part.
    pub(crate) fn declined(&mut self, task: usize, id: CheckpointId, message: String) {
        self.handle(Event::Declined { checkpoint: id, task, reason: FailureReason::Async, message });
    }

    /// Work on a blocking thread is done.
    pub(crate) fn finalized(&mut self, done: Finalized) {
        match done {
            Finalized::Discarded(id) => {
                self.leaving.remove(&id);
                self.leaving_claimed.take_if(|claimed| *claimed == id);
                self.handle(Event::DiscardFinished { checkpoint: id });
            }
            Finalized::Released(id) => self.delete_given_up(id),
            Finalized::Deleted(id) => {
                self.leaving.remove(&id);
            }
            Finalized::Completed(id, result) => {
                let result = result.map(|completed| {
                    let path = completed.directory().map(Into::into);
                    self.completed.insert(id, completed);
                    path
                });
                self.handle(Event::Finalized { checkpoint: id, result });
            }
        }
    }

    /// Asks the coordinator; what it decides waits for [`Checkpointing::tell`].
    pub(crate) fn handle(&mut self, event: Event) {
        let now = self.blueprint.clock.monotonic();
        let actions = self.coordinator.handle(now, event);
        self.actions.extend(actions);
    }

    /// Carries out what was decided, telling the tasks of `attempt`.
    pub(crate) fn tell(&mut self, attempt: &Attempt) -> Option<Verdict> {
        while let Some(action) = self.actions.pop_front() {
            match action {
                Action::Trigger { checkpoint, kind, form, directory, full } => {
                    tracing::debug!(%checkpoint, full, "checkpoint triggered");
                    self.trigger((checkpoint, kind, form), directory, full, attempt);
                }
                Action::NotifyComplete { checkpoint, commit } => {
                    self.completed_view(checkpoint);
                    if commit {
                        attempt.tell_all(&TaskCommand::Commit(checkpoint));
                    }
                }
                Action::Abort { checkpoint, message, .. } => {
                    attempt.tell_all(&TaskCommand::Abort(checkpoint));
                    self.abort(checkpoint, &message);
                }
                Action::Look { checkpoint, trigger } => self.look(checkpoint, trigger, attempt),
                Action::FinishTasks { checkpoint } => attempt.tell_all(&TaskCommand::Finish { commit: checkpoint.is_none() }),
                Action::FailJob { message } => return Some(Verdict::Fail(message)),
                Action::CancelJob => return Some(Verdict::Cancel),
                Action::Finalize { checkpoint } => self.finalize(checkpoint),
                Action::Discard { checkpoint } => self.discard(checkpoint),
                Action::Reply { trigger, result } => self.reply(trigger, result),
            }
        }
        None
    }

    /// Carries out what can be carried out without tasks.
    fn settle(&mut self) {
        while let Some(action) = self.actions.pop_front() {
            match action {
                Action::NotifyComplete { checkpoint, .. } => self.completed_view(checkpoint),
                Action::Abort { checkpoint, message, .. } => self.abort(checkpoint, &message),
                Action::Discard { checkpoint } => self.discard(checkpoint),
                Action::Reply { trigger, result } => self.reply(trigger, result),
                Action::Finalize { .. }
                | Action::Trigger { .. }
                | Action::Look { .. }
                | Action::FinishTasks { .. }
                | Action::FailJob { .. }
                | Action::CancelJob => {}
            }
        }
    }

    fn trigger(
        &mut self,
        (id, kind, form): (CheckpointId, CheckpointKind, SnapshotForm),
        directory: Option<PathBuf>,
        full: bool,
        attempt: &Attempt,
    ) {
        self.newest = self.newest.max(id);
        // Only checkpoints of this job and process: their files lie beside this one's, and nobody else deletes them.
        let base = self.completed.values().rev().find(|c| c.directory().is_some() && !c.manifest().kind.is_savepoint()).filter(|_| !full);
        let base = base.map(|completed| Arc::clone(completed.manifest()));
        let files = match self.files.target((id, kind), directory.as_deref(), base, self.random.random()) {
            Ok((target, preparation)) => {
                // Files of a store are files: in memory there are rows.
                let form = if matches!(target, SnapshotTarget::Directory { .. }) { form } else { SnapshotForm::Canonical };
                Arc::new(AttemptFiles::new(id, target, form, self.finalized.clone()).after(preparation))
            }
            Err(error) => return self.handle(Event::TriggerFailed { checkpoint: id, message: error.to_string() }),
        };
        let (triggered, form) = (self.blueprint.clock.now(), files.form);
        let tasks = attempt.commands.len();
        self.handle.update(|view| {
            view.checkpoints.in_progress += 1;
            view.checkpoints.history.insert(
                0,
                CheckpointView {
                    id,
                    status: "IN_PROGRESS",
                    is_savepoint: kind.is_savepoint(),
                    triggered,
                    latest_ack: None,
                    form,
                    written: 0,
                    bytes: 0,
                    acknowledged: (0, tasks),
                    path: None,
                    failure: None,
                },
            );
            view.checkpoints.history.truncate(CHECKPOINT_HISTORY);
        });
        let pending = Pending { kind, files: Arc::clone(&files), written: Vec::new(), latest_ack: None };
        self.pending.insert(id, pending);
        attempt.tell_all(&TaskCommand::Trigger(Barrier { id, kind }, files));
    }

    /// Sends the barrier of a look through the job. What comes of it is in no view: it is no checkpoint.
    fn look(&mut self, id: CheckpointId, trigger: TriggerId, attempt: &Attempt) {
        let Some((wanted, _)) = self.looks.get(&trigger) else { return };
        let target = SnapshotTarget::Rows(Arc::new(wanted.clone()));
        let files = AttemptFiles::new(id, target, SnapshotForm::Canonical, self.finalized.clone());
        let (kind, files) = (CheckpointKind::Look, Arc::new(files));
        self.pending.insert(id, Pending { kind, files: Arc::clone(&files), written: Vec::new(), latest_ack: None });
        attempt.tell_all(&TaskCommand::Trigger(Barrier { id, kind }, files));
    }

    /// Answers whoever looked.
    fn looked(&mut self, reply: LookReply, result: Result<CheckpointId, String>) {
        let rows = result.map_err(InspectError::Unanswered).and_then(|id| {
            self.pending.remove(&id);
            let rows = self.completed.remove(&id).ok_or_else(|| InspectError::Unanswered("the rows were not kept".to_owned()))?;
            Ok(Snapshot::of(rows.open()?))
        });
        drop(reply.send(rows));
    }

    fn finalize(&mut self, id: CheckpointId) {
        let Some(pending) = self.pending.get_mut(&id) else { return };
        let written = std::mem::take(&mut pending.written);
        let (files, kind) = (Arc::clone(&pending.files), pending.kind);
        let header = self.header(id, kind);
        let (done, places) = (self.finalized.clone(), self.files.clone());
        self.run(move || {
            let completed = || complete(&files.target, header, written).map_err(|e| e.to_string());
            let result = files.prepare().and_then(|()| completed());
            drop(files);
            if let Ok(completed) = &result {
                places.completed(completed);
            }
            // The job loop is gone only if the process is ending; then `_metadata` says what counts.
            let _ = done.send(Finalized::Completed(id, result));
        });
    }

    fn header(&self, id: CheckpointId, kind: CheckpointKind) -> ManifestHeader {
        let graph = &self.blueprint.graph;
        let operator = |node: &crate::job::graph::Node| OperatorHeader {
            uid: node.uid.clone(),
            kind: match &node.kind {
                NodeKind::Source(source) => source.source.describe(),
                NodeKind::Operator(factory) => factory.describe(),
                NodeKind::Sink(sink) => sink.describe(),
            },
            parallelism: node.parallelism,
        };
        ManifestHeader {
            job: JobEntry { name: graph.settings.name.clone(), id: self.blueprint.job },
            checkpoint: id,
            kind: match kind {
                CheckpointKind::Checkpoint => SnapshotKind::Checkpoint,
                CheckpointKind::Savepoint | CheckpointKind::Look => SnapshotKind::Savepoint,
                CheckpointKind::StopWithSavepoint { drain: false } => SnapshotKind::Stop,
                CheckpointKind::StopWithSavepoint { drain: true } => SnapshotKind::Drain,
            },
            time: self.blueprint.clock.now(),
            max_parallelism: self.blueprint.max_parallelism,
            options: std::iter::once(("pipeline.max-parallelism".to_owned(), self.blueprint.max_parallelism.to_string()))
                .chain(graph.settings.restore.as_options())
                .collect(),
            operators: graph.nodes.iter().map(operator).collect(),
        }
    }

    fn completed_view(&mut self, id: CheckpointId) {
        let pending = self.pending.remove(&id);
        let Some(completed) = self.completed.get(&id) else { return };
        let path: Option<PathBuf> = completed.directory().map(Into::into);
        let now = self.blueprint.clock.now();
        let bytes = completed.bytes().0;
        tracing::info!(checkpoint = %id, bytes, path = ?path, "checkpoint complete");
        self.handle.update(|view| {
            let checkpoints = &mut view.checkpoints;
            checkpoints.in_progress = checkpoints.in_progress.saturating_sub(1);
            checkpoints.completed += 1;
            let Some(shown) = checkpoints.history.iter_mut().find(|c| c.id == id) else { return };
            shown.status = "COMPLETED";
            shown.latest_ack = pending.and_then(|p| p.latest_ack).or(Some(now));
            shown.bytes = bytes;
            shown.acknowledged.0 = shown.acknowledged.1;
            shown.path = path;
            if shown.is_savepoint {
                checkpoints.latest_savepoint = Some(shown.clone());
            } else {
                checkpoints.latest_completed = Some(shown.clone());
            }
        });
    }

    fn reply(
        &mut self,
        trigger: TriggerId,
        result: Result<crate::checkpoint::coordinator::Completed, crate::checkpoint::coordinator::RequestError>,
    ) {
        if let Some((_, reply)) = self.looks.remove(&trigger) {
            let result = result.map(|completed| completed.checkpoint).map_err(|error| error.message(self.blueprint.job));
            return self.looked(reply, result);
        }
        let Some(reply) = self.replies.remove(&trigger) else { return };
        let result = match result {
            Ok(completed) => Ok(CheckpointReply { id: completed.checkpoint, path: completed.path }),
            Err(error) => Err(error.message(self.blueprint.job)),
        };
        // Whoever asked may have gone away.
        let _ = reply.send(result);
    }

    fn run(&self, work: impl FnOnce() + Send + 'static) {
        match self.blueprint.blocking {
            Blocking::Pool => drop(self.blueprint.data.spawn_blocking(work)),
            Blocking::Inline => work(),
        }
    }
}
