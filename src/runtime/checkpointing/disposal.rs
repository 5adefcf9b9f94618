//! Checkpoints that go: those that were given up, those that retention does not keep, and what a job leaves when it has ended.

use super::{Checkpointing, Finalized, Pending};
use crate::checkpoint::coordinator::Event;
use crate::checkpoint::retention::{Ending, is_discarded};
use crate::checkpoint::{
    Manifest, SnapshotKind, SnapshotTarget, delete_checkpoint, delete_claimed, shared_names, sweep_beside_others, sweep_shared,
};
use crate::runtime::error::Leftovers;
use crate::runtime::handle::JobStatus;
use crate::types::{CheckpointId, CheckpointKind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How long the end of a job waits for threads that write or delete files of checkpoints.
const PATIENCE: Duration = Duration::from_secs(10);

impl Checkpointing {
    /// The job has ended: what is pending fails. The checkpoints that retention does not keep leave the view and are returned.
    pub(crate) async fn end(&mut self, status: JobStatus) -> Leftovers {
        let ending = match status {
            JobStatus::Finished => Ending::Finished,
            JobStatus::Canceled => Ending::Canceled,
            _ => Ending::Failed,
        };
        self.handle(Event::JobEnding { ending });
        self.settle();
        self.settled().await;
        let retention = self.blueprint.graph.settings.checkpointing.retention;
        // A stop that failed has not committed: no way back goes, whatever retention says.
        let failed_stop = ending == Ending::Failed && self.coordinator.ends_at_a_stop();
        let is_discarded = |kind: SnapshotKind| !failed_stop && is_discarded(retention, ending, kind);
        let checkpoints: Vec<PathBuf> =
            self.completed.values().filter(|c| is_discarded(c.manifest().kind)).filter_map(|c| c.directory().map(Into::into)).collect();
        // Deleting begins anew what was not done in time; what is gone is no error.
        let checkpoints: Vec<PathBuf> = checkpoints.into_iter().chain(std::mem::take(&mut self.leaving).into_values()).collect();
        // As in Flink a claimed savepoint is a checkpoint of the job now; other than there, a job that fails never deletes its way back.
        let goes = ending != Ending::Failed && is_discarded(SnapshotKind::Checkpoint);
        let claimed = self.claimed.take().filter(|_| goes).map(|(_, directory)| directory);
        let keeps_some = self.completed.values().any(|c| !is_discarded(c.manifest().kind) && !c.manifest().kind.is_savepoint());
        let settings = &self.blueprint.graph.settings.checkpointing;
        let directory = settings.job_directory(self.blueprint.job).filter(|_| !keeps_some);
        let (job_directory, beside_others) = match directory {
            Some(directory) if !settings.create_subdir => (None, Some((directory, self.newest))),
            directory => (directory, None),
        };
        self.handle.update(|view| {
            view.checkpoints.latest_completed.take_if(|c| c.path.as_ref().is_some_and(|path| checkpoints.contains(path)));
            view.checkpoints.discarded = checkpoints.iter().chain(&claimed).cloned().collect();
        });
        Leftovers { checkpoints, claimed, job_directory, beside_others }
    }

    /// Waits for writers that have not let go, and for files that are being deleted. A disk that does not answer is not waited for.
    async fn settled(&mut self) {
        let patience = tokio::time::sleep(PATIENCE);
        tokio::pin!(patience);
        while !self.leaving.is_empty() || self.leaving_claimed.is_some() {
            tokio::select! {
                biased;
                Some(done) = self.results.recv() => {
                    self.finalized(done);
                    self.settle();
                }
                () = &mut patience => return,
            }
        }
    }

    pub(super) fn abort(&mut self, id: CheckpointId, message: &str) {
        let pending = self.pending.remove(&id);
        if let Some(look) = pending.as_ref().filter(|p| p.kind == CheckpointKind::Look) {
            look.files.give_up();
            return;
        }
        tracing::warn!(checkpoint = %id, reason = message, "checkpoint failed");
        self.handle.update(|view| {
            view.checkpoints.in_progress = view.checkpoints.in_progress.saturating_sub(u64::from(pending.is_some()));
            view.checkpoints.failed += 1;
            if let Some(shown) = view.checkpoints.history.iter_mut().find(|c| c.id == id) {
                shown.status = "FAILED";
                shown.failure = Some(message.to_owned());
            }
        });
        if let Some(Pending { files, .. }) = pending {
            files.give_up();
            if let SnapshotTarget::Directory { dir, .. } = &files.target {
                self.leaving.insert(id, dir.clone());
            }
        }
    }

    /// Deletes what is left of a checkpoint that was given up, now that nobody writes to it.
    pub(super) fn delete_given_up(&mut self, id: CheckpointId) {
        let Some(directory) = self.leaving.get(&id).cloned() else { return };
        let (storage, done) = (self.files.storage.clone(), self.finalized.clone());
        let sweep = self.sweep();
        self.run(move || {
            // What cannot be removed now lies there without `_metadata`: it never counts as a checkpoint.
            if let Err(error) = delete_checkpoint(&*storage, &directory) {
                tracing::warn!(%error, "the files of a failed checkpoint could not be deleted");
            }
            sweep();
            let _ = done.send(Finalized::Deleted(id));
        });
    }

    /// What removes the shared files that no checkpoint needs any more.
    pub(super) fn sweep(&self) -> impl FnOnce() + Send + use<> {
        let settings = &self.blueprint.graph.settings.checkpointing;
        let directory = settings.job_directory(self.blueprint.job).filter(|_| settings.incremental);
        let sweep = if settings.create_subdir { sweep_shared } else { sweep_beside_others };
        // A checkpoint that is being taken may name the files of the one that it was begun with.
        let base_of = |pending: &Pending| match &pending.files.target {
            SnapshotTarget::Directory { sharing: Some(sharing), .. } => sharing.base.clone(),
            _ => None,
        };
        let bases: Vec<Arc<Manifest>> = self.pending.values().filter_map(base_of).collect();
        let needed = self.completed.values().map(|c| &**c.manifest()).chain(bases.iter().map(|manifest| &**manifest));
        let (keep, newest, pending) = (shared_names(needed), self.newest, self.pending.keys().copied().collect());
        let storage = self.files.storage.clone();
        move || {
            if let Some(Err(error)) = directory.map(|parent| sweep(&*storage, &parent, &keep, newest, &pending)) {
                tracing::warn!(%error, "files that checkpoints shared could not be deleted");
            }
        }
    }

    pub(super) fn discard(&mut self, id: CheckpointId) {
        let claimed = self.claimed.take_if(|(claimed, _)| *claimed == id).map(|(_, directory)| directory);
        let directory: Option<PathBuf> = self.completed.remove(&id).and_then(|c| c.directory().map(Into::into));
        self.leaving.extend(directory.clone().map(|directory| (id, directory)));
        self.leaving_claimed = self.leaving_claimed.or(claimed.as_ref().map(|_| id));
        let (storage, done) = (self.files.storage.clone(), self.finalized.clone());
        let sweep = self.sweep();
        self.run(move || {
            // Its `_metadata` goes first: a file that it named may be gone when it is gone itself.
            match directory.map(|dir| delete_checkpoint(&*storage, &dir)) {
                Some(Err(error)) => tracing::warn!(checkpoint = %id, %error, "an old checkpoint could not be deleted"),
                Some(Ok(())) => sweep(),
                None => {}
            }
            if let Some(Err(error)) = claimed.map(|dir| delete_claimed(&*storage, &dir)) {
                tracing::warn!(checkpoint = %id, %error, "the checkpoint that the job had claimed could not be deleted");
            }
            let _ = done.send(Finalized::Discarded(id));
        });
    }
}
