//! Finding complete checkpoints and savepoints: for `-s latest`, and for what a dead job left.

use super::error::RestoreError;
use super::layout::{METADATA, noted_stops};
use super::manifest::SnapshotKind;
use super::open::read_manifest;
use crate::storage::Storage;
use crate::types::{CheckpointId, JobId, WallTime};
use std::io;
use std::path::{Path, PathBuf};

/// A complete checkpoint or savepoint. Its files were not checked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundCheckpoint {
    /// Its directory.
    pub path: PathBuf,
    /// Its number.
    pub id: CheckpointId,
    /// What it is.
    pub kind: SnapshotKind,
    /// When it was completed.
    pub time: WallTime,
    /// The name of its job.
    pub job_name: String,
    /// Its job.
    pub job: JobId,
}

/// The outcome of a search.
#[derive(Debug, Default)]
pub struct Latest {
    /// The newest complete one.
    pub found: Option<FoundCheckpoint>,
    /// Those whose `_metadata` cannot be read: worth a warning, one of them may be newer.
    pub unreadable: Vec<RestoreError>,
}

/// The newest complete checkpoint or savepoint of jobs called `job_name`, by completion time, then by number. `directories`:
/// checkpoint and savepoint directories; missing ones are skipped, and so is whatever has no `_metadata`.
pub fn latest(storage: &dyn Storage, directories: &[PathBuf], job_name: &str) -> io::Result<Latest> {
    let mut latest = Latest::default();
    for candidate in candidates(storage, directories)? {
        match read(storage, candidate) {
            Ok(found) if found.job_name == job_name => {
                let age = |f: &FoundCheckpoint| (f.time, f.id, f.path.clone());
                if latest.found.as_ref().is_none_or(|best| age(best) < age(&found)) {
                    latest.found = Some(found);
                }
            }
            Ok(_) => {}
            Err(error) => latest.unreadable.push(error),
        }
    }
    Ok(latest)
}

/// The complete checkpoints of one job, which lie in `parent`, and the savepoints that it was stopped with, oldest first. Those of other
/// jobs and unreadable ones are left out.
pub fn checkpoints_of(storage: &dyn Storage, parent: &Path, job: JobId) -> io::Result<Vec<FoundCheckpoint>> {
    let mut found = Vec::new();
    for directory in complete_in(storage, parent, "chk-")?.into_iter().chain(stops_in(storage, parent)?) {
        found.extend(read(storage, directory).ok().filter(|found| found.job == job));
    }
    found.sort_by_key(|f| f.id);
    Ok(found)
}

pub(super) fn read(storage: &dyn Storage, path: PathBuf) -> Result<FoundCheckpoint, RestoreError> {
    let manifest = read_manifest(storage, &path)?;
    let (id, kind, time) = (manifest.checkpoint_id, manifest.kind, manifest.time);
    Ok(FoundCheckpoint { path, id, kind, time, job_name: manifest.job.name, job: manifest.job.id })
}

/// The complete checkpoints in `parent`, whosever they are.
pub(super) fn checkpoints_in(storage: &dyn Storage, parent: &Path) -> io::Result<Vec<PathBuf>> {
    complete_in(storage, parent, "chk-")
}

/// `savepoint-*`, `chk-*` and `<job id>/chk-*` with a `_metadata`, and what jobs were stopped with, each once.
pub(super) fn candidates(storage: &dyn Storage, directories: &[PathBuf]) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for directory in directories {
        found.extend(complete_in(storage, directory, "savepoint-")?);
        found.extend(complete_in(storage, directory, "chk-")?);
        found.extend(stops_in(storage, directory)?);
        for job in directories_in(storage, directory)? {
            if name_of(&job).parse::<JobId>().is_ok() {
                found.extend(complete_in(storage, &job, "chk-")?);
                found.extend(stops_in(storage, &job)?);
            }
        }
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// The complete savepoints that the job of this directory was stopped with, wherever they are.
fn stops_in(storage: &dyn Storage, job_directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in noted_stops(storage, job_directory) {
        if storage.entry(&path.join(METADATA))?.is_some() {
            found.push(path);
        }
    }
    Ok(found)
}

fn complete_in(storage: &dyn Storage, directory: &Path, prefix: &str) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in directories_in(storage, directory)? {
        if name_of(&path).starts_with(prefix) && storage.entry(&path.join(METADATA))?.is_some() {
            found.push(path);
        }
    }
    Ok(found)
}

fn directories_in(storage: &dyn Storage, directory: &Path) -> io::Result<Vec<PathBuf>> {
    if !storage.entry(directory)?.is_some_and(|e| e.is_dir) {
        return Ok(Vec::new());
    }
    Ok(storage.list(directory)?.into_iter().filter(|e| e.is_dir).map(|e| e.path).collect())
}

fn name_of(path: &Path) -> &str {
    path.file_name().and_then(|n| n.to_str()).unwrap_or_default()
}
