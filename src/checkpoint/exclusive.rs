//! Checkpoints directly in a directory that one job has for itself (`execution.checkpointing.create-subdir = false`). Whoever sets it
//! promises that; what can be told is checked: nobody else may hold the directory's lock, and no checkpoint of another job may lie there
//! whose place this job's would take.

use super::discovery::{checkpoints_in, read};
use super::error::CheckpointError;
use super::layout::{METADATA, STOPS};
use super::native::{shared_names, sweep_shared};
use super::open::read_manifest;
use super::settings::{CheckpointSettings, CheckpointStorage};
use crate::storage::{Storage, StorageLock};
use crate::types::{CheckpointId, JobId};
use std::collections::BTreeSet;
use std::io;
use std::path::Path;

/// The file that is locked while a job's checkpoints go directly into its directory.
pub(super) const LOCK: &str = "flink.lock";

/// Takes the directory for `job`, whose first checkpoint will be `first`, if its checkpoints are to lie directly in it; the lock is held
/// until it is dropped. `None`: they have a directory of the job's id, or lie in memory.
pub fn occupy(
    storage: &dyn Storage,
    settings: &CheckpointSettings,
    job: JobId,
    first: CheckpointId,
) -> Result<Option<Box<dyn StorageLock>>, CheckpointError> {
    let CheckpointStorage::FileSystem(directory) = &settings.storage else { return Ok(None) };
    if settings.create_subdir {
        return Ok(None);
    }
    let failed = |source| CheckpointError::Io { context: format!("taking the checkpoint directory {}", directory.display()), source };
    let refused = |message: String| CheckpointError::Occupied { directory: directory.clone(), message };
    storage.create_dir_all(directory).map_err(failed)?;
    let Some(lock) = storage.lock(&directory.join(LOCK)).map_err(failed)? else {
        return Err(refused("another job that runs keeps its checkpoints directly in it".to_owned()));
    };
    for path in checkpoints_in(storage, directory).map_err(failed)? {
        let number = path.file_name().and_then(|name| name.to_str()?.strip_prefix("chk-")?.parse().ok()).map(CheckpointId::new);
        if number.is_none_or(|number| number < first) {
            continue;
        }
        let whose = read(storage, path.clone()).map_or_else(|_| "somebody else".to_owned(), |found| format!("job {}", found.job));
        return Err(refused(format!("{} is a checkpoint of {whose}, and job {job} would take its place", path.display())));
    }
    Ok(Some(lock))
}

/// The names in `shared/` that complete checkpoints in `parent` name, whosever they are; `None` if one of them cannot be read.
pub(super) fn shared_names_in(storage: &dyn Storage, parent: &Path) -> io::Result<Option<BTreeSet<String>>> {
    let mut manifests = Vec::new();
    for entry in storage.list(parent)?.into_iter().filter(|e| e.is_dir) {
        if storage.entry(&entry.path.join(METADATA))?.is_some() {
            let Ok(manifest) = read_manifest(storage, &entry.path) else { return Ok(None) };
            manifests.push(manifest);
        }
    }
    Ok(Some(shared_names(&manifests)))
}

/// As [`sweep_shared`], and what checkpoints of other jobs in `parent` name stays, too. If one of them cannot be read nothing goes.
pub fn sweep_beside_others(
    storage: &dyn Storage,
    parent: &Path,
    keep: &BTreeSet<String>,
    newest: CheckpointId,
    pending: &BTreeSet<CheckpointId>,
) -> io::Result<()> {
    match shared_names_in(storage, parent)? {
        Some(others) => sweep_shared(storage, parent, &others.union(keep).cloned().collect(), newest, pending),
        None => Ok(()),
    }
}

/// A job has ended and keeps no checkpoint in `parent`: what is left of it goes, what belongs to checkpoints of others stays. `newest`:
/// the last one that it began.
pub fn clear_beside_others(storage: &dyn Storage, parent: &Path, newest: CheckpointId) -> io::Result<()> {
    storage.remove(&parent.join(STOPS))?;
    sweep_beside_others(storage, parent, &BTreeSet::new(), newest, &BTreeSet::new())
}
