//! Where the files of checkpoints and savepoints go, and where they are read from when the job restarts.

use super::execution::Blueprint;
use crate::checkpoint::settings::{CheckpointSettings, CheckpointStorage};
use crate::checkpoint::{
    CheckpointError, CompletedCheckpoint, Manifest, OpenCheckpoint, RestoreError, Sharing, SnapshotTarget, checkpoint_directory,
    claim_savepoint_directory, create_checkpoint_directory, create_savepoint_directory, note_stop, open_directory, savepoint_directory,
};
use crate::state::{Backend, BackendSettings};
use crate::storage::{MirroredStorage, Storage};
use crate::types::{CheckpointId, CheckpointKind, JobId};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What is to be done before the first file of a checkpoint is written, by the thread that writes it.
pub(crate) type Preparation = Box<dyn FnOnce() -> Result<(), CheckpointError> + Send>;

/// The places of one job's checkpoints.
#[derive(Debug, Clone)]
pub(crate) struct CheckpointFiles {
    job: JobId,
    settings: CheckpointSettings,
    /// Files. With a local backup, what is done to checkpoints is done to their copies.
    pub(crate) storage: Arc<dyn Storage>,
    backup: Option<Backup>,
}

/// Copies of the newest checkpoint on this machine.
#[derive(Debug, Clone)]
struct Backup {
    storage: Arc<MirroredStorage>,
    directory: PathBuf,
    /// Holds the directory, and removes it when the job ends.
    _owner: Backend,
}

impl CheckpointFiles {
    pub(crate) fn new(blueprint: &Blueprint) -> Self {
        let settings = blueprint.graph.settings.checkpointing.clone();
        let backup = Backup::begin(blueprint, &settings);
        let storage = match &backup {
            Some(backup) => Arc::clone(&backup.storage) as Arc<dyn Storage>,
            None => Arc::clone(&blueprint.storage),
        };
        Self { job: blueprint.job, settings, storage, backup }
    }

    /// Where one checkpoint or savepoint goes, which may be asked for with a `directory`. `base`: the checkpoint whose files it may share.
    /// Directories on this machine are made at once; for others nobody may wait here, and what is left to do is returned.
    pub(crate) fn target(
        &self,
        (id, kind): (CheckpointId, CheckpointKind),
        directory: Option<&Path>,
        base: Option<Arc<Manifest>>,
        random: u64,
    ) -> Result<(SnapshotTarget, Option<Preparation>), CheckpointError> {
        let (storage, job) = (Arc::clone(&self.storage), self.job);
        let checkpoints = self.settings.job_directory(job);
        let parent = match (kind.is_savepoint(), directory, checkpoints.as_deref()) {
            (true, Some(directory), _) => directory,
            (true, None, _) => return Err(CheckpointError::Invariant("no savepoint directory".to_owned())),
            (false, _, Some(base)) => base,
            (false, _, None) => return Ok((SnapshotTarget::Memory, None)),
        };
        // What a job is to be stopped with is noted beside its checkpoints.
        let noted = checkpoints.as_deref().filter(|_| matches!(kind, CheckpointKind::StopWithSavepoint { .. }));
        let (dir, preparation) = if storage.is_remote(parent) || noted.is_some_and(|base| storage.is_remote(base)) {
            let dir = if kind.is_savepoint() { savepoint_directory(parent, job, random) } else { checkpoint_directory(parent, id) };
            let (made, noted, storage) = (dir.clone(), noted.map(Path::to_owned), Arc::clone(&storage));
            let prepare = move || {
                if kind.is_savepoint() {
                    claim_savepoint_directory(&*storage, &made)?;
                }
                noted.map_or(Ok(()), |base| note_stop(&*storage, &base, &made))
            };
            (dir, Some(Box::new(prepare) as Preparation))
        } else {
            let dir = if kind.is_savepoint() {
                create_savepoint_directory(&*storage, parent, job, random)?
            } else {
                create_checkpoint_directory(&*storage, parent, id)?
            };
            if let Some(base) = noted {
                note_stop(&*storage, base, &dir)?;
            }
            (dir, None)
        };
        let sharing = (self.settings.incremental && !kind.is_savepoint()).then_some(Sharing { checkpoint: id, base });
        Ok((SnapshotTarget::Directory { storage, dir, sharing }, preparation))
    }

    /// A checkpoint is complete: the copies of those before it go. Blocks.
    pub(crate) fn completed(&self, completed: &CompletedCheckpoint) {
        if let Some(backup) = &self.backup
            && !completed.manifest().kind.is_savepoint()
        {
            backup.keep_from(completed.id());
        }
    }

    /// Opens a complete checkpoint of this job: the copy on this machine if it is there and sound, else the checkpoint itself. Blocks.
    pub(crate) fn open(&self, completed: &CompletedCheckpoint) -> Result<OpenCheckpoint, RestoreError> {
        if let Some(copy) = self.backup.as_ref().and_then(|backup| backup.open(completed)) {
            return Ok(copy);
        }
        completed.open()
    }
}

impl Backup {
    /// The copies of a job whose checkpoints lie on another machine, if it wants any.
    fn begin(blueprint: &Blueprint, settings: &CheckpointSettings) -> Option<Self> {
        let CheckpointStorage::FileSystem(base) = &settings.storage else { return None };
        if !settings.local_backup || !blueprint.storage.is_remote(base) {
            return None;
        }
        // Copies are a working directory of the job: the next job clears away what this one cannot.
        let owner = match &settings.local_backup_dir {
            Some(dir) => Backend::new(&BackendSettings::HashMap, dir.join(blueprint.job.to_string())),
            None => blueprint.backend.clone(),
        };
        let directory = match owner.new_directory("checkpoints") {
            Ok(directory) => directory,
            Err(error) => {
                tracing::warn!(%error, "checkpoints have no copies on this machine");
                return None;
            }
        };
        let from = settings.job_directory(blueprint.job)?;
        let storage = Arc::new(MirroredStorage::new(Arc::clone(&blueprint.storage), from, directory.clone()));
        Some(Self { storage, directory, _owner: owner })
    }

    fn open(&self, completed: &CompletedCheckpoint) -> Option<OpenCheckpoint> {
        let copy = self.storage.copy_of(completed.directory()?)?;
        match open_directory(self.storage.copies(), &copy) {
            Ok(open) if open.manifest() == completed.manifest().as_ref() => {
                tracing::info!(checkpoint = %completed.id(), path = %copy.display(), "restoring from the local copy");
                Some(open)
            }
            Ok(_) => None,
            Err(error) => {
                tracing::warn!(checkpoint = %completed.id(), %error, "the local copy cannot be used; the checkpoint itself is read");
                None
            }
        }
    }

    /// Removes the copies of checkpoints before `id`. What cannot be removed goes with the job's working directory.
    fn keep_from(&self, id: CheckpointId) {
        let copies = self.storage.copies();
        let older = |path: &Path| {
            let number = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_prefix("chk-"));
            number.and_then(|number| number.parse().ok()).is_some_and(|number| CheckpointId::new(number) < id)
        };
        for entry in copies.list(&self.directory).unwrap_or_default().into_iter().filter(|entry| older(&entry.path)) {
            let _ = copies.remove_dir_all(&entry.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::{
        JobEntry, METADATA, ManifestHeader, OperatorHeader, OperatorStatePart, SnapshotKind, SubtaskSnapshot, complete, write_subtask,
    };
    use crate::state::KeyedSnapshot;
    use crate::storage::ObjectStorage;
    use crate::types::{MaxParallelism, OperatorUid, Parallelism, WallTime};
    use arrow::array::{ArrayRef, Int64Array, RecordBatch};
    use std::fs;

    /// A checkpoint with one file, in `storage` and its copy.
    fn take(storage: &Arc<MirroredStorage>, id: u64) -> CompletedCheckpoint {
        let storage = Arc::clone(storage) as Arc<dyn Storage>;
        let dir = PathBuf::from(format!("/job/chk-{id}"));
        let target = SnapshotTarget::Directory { storage, dir, sharing: None };
        let operator = OperatorUid::new("bids");
        let column: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
        let rows = RecordBatch::try_from_iter([("offset", column)]).unwrap();
        let part = OperatorStatePart { name: "splits".to_owned(), rows };
        let snapshot =
            SubtaskSnapshot { operator_state: vec![part], ..SubtaskSnapshot::keyed(operator.clone(), 0, KeyedSnapshot::default()) };
        let written = vec![write_subtask(&target, snapshot).unwrap()];
        let header = ManifestHeader {
            job: JobEntry { name: "a".to_owned(), id: JobId::from_u128(1) },
            checkpoint: CheckpointId::new(id),
            kind: SnapshotKind::Checkpoint,
            time: WallTime(1),
            max_parallelism: MaxParallelism::new(128).unwrap(),
            options: std::collections::BTreeMap::default(),
            operators: vec![OperatorHeader { uid: operator, kind: "datagen".to_owned(), parallelism: Parallelism::ONE }],
        };
        complete(&target, header, written).unwrap()
    }

    #[test]
    fn the_newest_copy_is_used_if_it_is_whole_and_the_checkpoint_itself_if_not() {
        let dir = tempfile::tempdir().unwrap();
        let owner = Backend::new(&BackendSettings::HashMap, dir.path().join("job"));
        let directory = owner.new_directory("checkpoints").unwrap();
        let storage =
            Arc::new(MirroredStorage::new(Arc::new(ObjectStorage::in_memory().unwrap()), PathBuf::from("/job"), directory.clone()));
        let backup = Backup { storage: Arc::clone(&storage), directory: directory.clone(), _owner: owner };
        let (older, newer) = (take(&storage, 9), take(&storage, 10));
        assert!(backup.open(&older).is_some());
        backup.keep_from(newer.id());
        assert!(backup.open(&older).is_none() && older.open().is_ok(), "the copy goes, the checkpoint stays");
        let copy = backup.open(&newer).unwrap();
        assert_eq!(copy.directory(), Some(&*directory.join("chk-10")));
        let files = fs::read_dir(directory.join("chk-10/bids/operator")).unwrap();
        let file = files.map(|entry| entry.unwrap().path()).next().unwrap();
        let mut bytes = fs::read(&file).unwrap();
        bytes[5] ^= 1;
        fs::write(&file, bytes).unwrap();
        assert!(backup.open(&newer).is_none(), "a damaged copy is passed over");
        fs::remove_file(directory.join("chk-10").join(METADATA)).unwrap();
        assert!(backup.open(&newer).is_none() && newer.open().is_ok());
        drop(backup);
        assert!(!directory.exists(), "the copies go with the job");
    }
}
