//! The files of one checkpoint that is being taken: who still writes there, and when they can be deleted.
//!
//! Every writer holds the [`AttemptFiles`] of its checkpoint. A checkpoint that is given up is only marked: writers look at the mark
//! between two files, and what they have written is deleted when the last of them has let go, not under their hands.

use super::checkpoint_files::Preparation;
use super::checkpointing::Finalized;
use crate::checkpoint::{SnapshotTarget, SubtaskSnapshot, WrittenSubtask, write_subtask};
use crate::state::SnapshotForm;
use crate::types::CheckpointId;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use tokio::sync::mpsc;

/// Where one checkpoint is written to. Shared by all its writers; the job loop is told when the last one has let go.
pub(crate) struct AttemptFiles {
    id: CheckpointId,
    pub(crate) target: SnapshotTarget,
    /// In which form keyed state is written.
    pub(crate) form: SnapshotForm,
    /// What comes before the first file, until the first writer has done it; then what came of it.
    preparation: Mutex<Prepared>,
    given_up: AtomicBool,
    released: mpsc::UnboundedSender<Finalized>,
}

enum Prepared {
    Not(Preparation),
    Done(Result<(), String>),
}

impl fmt::Debug for AttemptFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AttemptFiles").field("id", &self.id).field("target", &self.target).finish_non_exhaustive()
    }
}

impl AttemptFiles {
    pub(crate) fn new(id: CheckpointId, target: SnapshotTarget, form: SnapshotForm, released: mpsc::UnboundedSender<Finalized>) -> Self {
        let preparation = Mutex::new(Prepared::Done(Ok(())));
        Self { id, target, form, preparation, given_up: AtomicBool::new(false), released }
    }

    /// The same, with something to be done before the first file is written.
    #[must_use]
    pub(crate) fn after(mut self, preparation: Option<Preparation>) -> Self {
        if let Some(preparation) = preparation {
            self.preparation = Mutex::new(Prepared::Not(preparation));
        }
        self
    }

    /// Does what comes before the first file. Whoever comes while it is being done waits.
    pub(crate) fn prepare(&self) -> Result<(), String> {
        let mut prepared = self.preparation.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *prepared, Prepared::Done(Err("the checkpoint was not prepared".to_owned())));
        let done = match before {
            Prepared::Done(result) => result,
            Prepared::Not(preparation) => preparation().map_err(|e| e.to_string()),
        };
        *prepared = Prepared::Done(done.clone());
        done
    }

    /// Nobody wants the checkpoint any more.
    pub(crate) fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
    }

    /// Writes a task's part, as long as the checkpoint is wanted.
    pub(crate) fn write(&self, snapshots: Vec<SubtaskSnapshot>) -> Result<Vec<WrittenSubtask>, String> {
        if !self.given_up.load(Ordering::Relaxed) {
            self.prepare()?;
        }
        let mut written = Vec::with_capacity(snapshots.len());
        for snapshot in snapshots {
            if self.given_up.load(Ordering::Relaxed) {
                return Err("the checkpoint was given up".to_owned());
            }
            written.push(write_subtask(&self.target, snapshot).map_err(|e| e.to_string())?);
        }
        Ok(written)
    }
}

impl Drop for AttemptFiles {
    fn drop(&mut self) {
        // The job loop is gone only when the job has ended.
        let _ = self.released.send(Finalized::Released(self.id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::KeyedSnapshot;
    use crate::types::OperatorUid;
    use std::sync::Arc;

    #[test]
    fn files_are_released_when_the_last_writer_lets_go_and_none_begins_once_they_are_given_up() {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let files = Arc::new(AttemptFiles::new(CheckpointId::new(3), SnapshotTarget::Memory, SnapshotForm::Canonical, sender));
        let writer = Arc::clone(&files);
        let snapshot = || SubtaskSnapshot::keyed(OperatorUid::new("o"), 0, KeyedSnapshot::default());
        assert_eq!(writer.write(vec![snapshot()]).unwrap().len(), 1);
        files.give_up();
        drop(files);
        assert!(receiver.try_recv().is_err(), "somebody may still write");
        assert_eq!(writer.write(vec![snapshot()]).unwrap_err(), "the checkpoint was given up");
        drop(writer);
        assert!(matches!(receiver.try_recv(), Ok(Finalized::Released(id)) if id == CheckpointId::new(3)));
    }

    #[test]
    fn what_comes_before_the_first_file_is_done_once_and_its_failure_is_everybodys() {
        let (sender, _receiver) = mpsc::unbounded_channel();
        let calls = Arc::new(std::sync::atomic::AtomicU32::new(0));
        let counted = Arc::clone(&calls);
        let preparation: Preparation = Box::new(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            Err(crate::checkpoint::CheckpointError::Invariant("no".to_owned()))
        });
        let files =
            AttemptFiles::new(CheckpointId::new(3), SnapshotTarget::Memory, SnapshotForm::Canonical, sender).after(Some(preparation));
        for _ in 0..2 {
            assert_eq!(files.write(Vec::new()).unwrap_err(), "checkpoint: no");
        }
        assert_eq!(calls.load(Ordering::Relaxed), 1);
    }
}
