//! The files of one checkpoint that is being taken: who still writes there, and when they can be deleted.
//!
//! Every writer holds the [`AttemptFiles`] of its checkpoint. A checkpoint that is given up is only marked: writers look at the mark
//! between two files, and what they have written is deleted when the last of them has let go, not under their hands.

use super::checkpointing::Finalized;
use crate::checkpoint::{SnapshotTarget, SubtaskSnapshot, WrittenSubtask, write_subtask};
use crate::types::CheckpointId;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::mpsc;

/// Where one checkpoint is written to. Shared by all its writers; the job loop is told when the last one has let go.
#[derive(Debug)]
pub(crate) struct AttemptFiles {
    id: CheckpointId,
    pub(crate) target: SnapshotTarget,
    given_up: AtomicBool,
    released: mpsc::UnboundedSender<Finalized>,
}

impl AttemptFiles {
    pub(crate) fn new(id: CheckpointId, target: SnapshotTarget, released: mpsc::UnboundedSender<Finalized>) -> Self {
        Self { id, target, given_up: AtomicBool::new(false), released }
    }

    /// Nobody wants the checkpoint any more.
    pub(crate) fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
    }

    /// Writes a task's part, as long as the checkpoint is wanted.
    pub(crate) fn write(&self, snapshots: Vec<SubtaskSnapshot>) -> Result<Vec<WrittenSubtask>, String> {
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
        let files = Arc::new(AttemptFiles::new(CheckpointId::new(3), SnapshotTarget::Memory, sender));
        let writer = Arc::clone(&files);
        let snapshot =
            || SubtaskSnapshot { operator: OperatorUid::new("o"), subtask: 0, keyed: KeyedSnapshot::default(), operator_state: Vec::new() };
        assert_eq!(writer.write(vec![snapshot()]).unwrap().len(), 1);
        files.give_up();
        drop(files);
        assert!(receiver.try_recv().is_err(), "somebody may still write");
        assert_eq!(writer.write(vec![snapshot()]).unwrap_err(), "the checkpoint was given up");
        drop(writer);
        assert!(matches!(receiver.try_recv(), Ok(Finalized::Released(id)) if id == CheckpointId::new(3)));
    }
}
