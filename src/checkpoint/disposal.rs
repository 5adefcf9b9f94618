//! Deleting checkpoints and savepoints. `_metadata` goes first: what is left after a crash in between is no checkpoint.

use super::error::RestoreError;
use super::exclusive::shared_names_in;
use super::layout::{METADATA, located};
use super::open::{find_directory, read_manifest};
use crate::storage::Storage;
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

/// Deletes a checkpoint or savepoint of the job's own, complete or not: `chk-<n>` or `savepoint-…`. A missing one is no error.
pub fn delete_checkpoint(storage: &dyn Storage, directory: &Path) -> io::Result<()> {
    let name = directory.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    // The last line before a recursive removal: a wrong path must not cost anybody's files.
    if !(name.starts_with("chk-") || name.starts_with("savepoint-")) {
        let message = format!("{}: not the directory of a checkpoint or savepoint", directory.display());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    if storage.entry(directory)?.is_none() {
        return Ok(());
    }
    storage.remove(&directory.join(METADATA))?;
    storage.sync_dir(directory)?;
    storage.remove_dir_all(directory)
}

/// Deletes a checkpoint or savepoint that a job has claimed: what stands in its `_metadata`, nothing that lies beside it. A missing
/// one is no error.
pub fn delete_claimed(storage: &dyn Storage, directory: &Path) -> Result<(), RestoreError> {
    match dispose_savepoint(storage, &directory.display().to_string()) {
        Err(RestoreError::NotFound(_) | RestoreError::NoMetadata(_)) => Ok(()),
        result => result,
    }
}

/// Disposes of the savepoint (or retained checkpoint) that a person named. Its files go, and the directories that are empty then;
/// files that do not belong to it stay. Something that is no savepoint is refused.
pub fn dispose_savepoint(storage: &dyn Storage, text: &str) -> Result<(), RestoreError> {
    let directory = find_directory(storage, text)?;
    let manifest = read_manifest(storage, &directory).map_err(|e| match e {
        RestoreError::Manifest { message, .. } => {
            RestoreError::NotDisposable { path: text.to_owned(), message: format!("its _metadata cannot be read: {message}") }
        }
        other => other,
    })?;
    let mut files: BTreeSet<PathBuf> = manifest.files().filter_map(|f| located(&directory, &f.path)).collect();
    let shared: BTreeSet<PathBuf> = files.iter().filter(|f| !f.starts_with(&directory)).cloned().collect();
    files.retain(|f| !shared.contains(f));
    let disposing = |source| RestoreError::Io { context: format!("disposing of {text}"), source };
    storage.remove(&directory.join(METADATA)).map_err(disposing)?;
    storage.sync_dir(&directory).map_err(disposing)?;
    for file in &files {
        storage.remove(file).map_err(disposing)?;
    }
    remove_shared(storage, &directory, shared).map_err(disposing)?;
    remove_empty(storage, &directory, &files).map_err(disposing)
}

/// Removes those of the shared files that no other checkpoint beside `directory` names. If one of them cannot be read they all stay.
fn remove_shared(storage: &dyn Storage, directory: &Path, shared: BTreeSet<PathBuf>) -> io::Result<()> {
    let Some(job) = directory.parent().filter(|_| !shared.is_empty()) else { return Ok(()) };
    // Its own `_metadata` is gone already.
    let Some(needed) = shared_names_in(storage, job)? else { return Ok(()) };
    let is_needed = |path: &PathBuf| path.file_name().is_some_and(|name| needed.contains(&*name.to_string_lossy()));
    shared.iter().filter(|path| !is_needed(path)).try_for_each(|path| storage.remove(path))
}

/// Removes those of the directories above `files`, from `top` downwards, that hold no file any more.
fn remove_empty(storage: &dyn Storage, top: &Path, files: &BTreeSet<PathBuf>) -> io::Result<()> {
    let own = files.iter().flat_map(|f| f.ancestors().skip(1).take_while(|d| d.starts_with(top)));
    let mut directories: Vec<&Path> = own.chain([top]).collect();
    directories.sort_unstable();
    directories.dedup();
    // Deepest first: a directory is empty once those in it are gone.
    for directory in directories.into_iter().rev() {
        if storage.entry(directory)?.is_some() && storage.list(directory)?.is_empty() {
            storage.remove_dir_all(directory)?;
        }
    }
    Ok(())
}
