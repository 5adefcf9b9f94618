//! Checkpoints in the form of the store: its SST files, which later checkpoints share as long as they are part of the store, and the few
//! files beside them.
//!
//! A shared file is named by one upload alone: store, number in the store, checkpoint. It is written before the `_metadata` that
//! names it, never written again, and removed when no `_metadata` names it any more and no checkpoint that is being taken may.

use super::error::CheckpointError;
use super::layout::{SHARED, located, store_directory};
use super::manifest::{FileEntry, Manifest, StoreEntry, StoreFileEntry, StoreStateEntry, Xxh3};
use crate::state::{FileSource, ImageFile, StoreSnapshot};
use crate::storage::Storage;
use crate::types::{ByteSize, CheckpointId, OperatorUid};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use xxhash_rust::xxh3::{Xxh3 as Hasher, xxh3_64};

/// Bytes that are copied at once.
const COPY_CHUNK: usize = 1 << 20;

/// That SST files are shared between the checkpoints of a job (`execution.checkpointing.incremental`).
#[derive(Debug, Clone)]
pub struct Sharing {
    /// The checkpoint that is being taken.
    pub checkpoint: CheckpointId,
    /// The complete checkpoint of the same job whose files are used again; none for a full checkpoint.
    pub base: Option<Arc<Manifest>>,
}

/// Where a store's files go.
pub(super) struct Destination<'a> {
    pub(super) storage: &'a dyn Storage,
    pub(super) dir: &'a Path,
    pub(super) sharing: Option<&'a Sharing>,
}

/// Writes the store of one operator in one subtask. Every file is synced when this returns. The second value: the bytes that were written
/// for this checkpoint alone.
pub(super) fn write_store(
    to: &Destination<'_>,
    operator: &OperatorUid,
    subtask: usize,
    snapshot: &StoreSnapshot,
) -> Result<(StoreEntry, u64), CheckpointError> {
    let image = snapshot.image()?;
    // All files of this store, whichever checkpoint wrote them, begin so.
    let store = format!("{:016x}-{subtask}-{}", xxh3_64(operator.as_str().as_bytes()), snapshot.store);
    let known = to.sharing.and_then(|sharing| sharing.base.as_deref()).map(shared_files).unwrap_or_default();
    let (mut files, mut written) = (Vec::new(), 0);
    for file in image.files() {
        let identity = format!("{SHARED}{store}-{}", file.name);
        let entry = match (file.is_immutable(), to.sharing) {
            (true, Some(_)) if known.get(identity.as_str()).is_some_and(|known| known.bytes == Some(ByteSize(file.bytes))) => {
                known[identity.as_str()].clone()
            }
            (is_sst, sharing) => {
                let path = match sharing {
                    Some(sharing) if is_sst => format!("{identity}.{}", sharing.checkpoint),
                    _ => format!("{}/{}", store_directory(operator, subtask), file.name),
                };
                let entry = copy(to, path, file).map_err(CheckpointError::io(format!("writing the store of {operator}")))?;
                written += file.bytes;
                entry
            }
        };
        files.push(StoreFileEntry { name: file.name.clone(), state: file.state.clone(), file: entry });
    }
    let range = snapshot.key_groups.as_range();
    let states = snapshot
        .states
        .iter()
        .map(|state| StoreStateEntry {
            name: state.descriptor.name.clone(),
            family: state.family.clone(),
            part: state.part,
            fold: state.fold.clone(),
            rows: state.rows,
            at_most: state.at_most,
        })
        .collect();
    let entry = StoreEntry { form: "rocksdb".to_owned(), subtask, key_groups: (range.start, range.end), states, files };
    Ok((entry, written))
}

/// The shared files that a checkpoint names, by what their names begin with: store and number.
fn shared_files(manifest: &Manifest) -> BTreeMap<&str, &FileEntry> {
    let shared = manifest.files().filter(|file| file.path.starts_with(SHARED));
    shared.filter_map(|file| Some((file.path.rsplit_once('.')?.0, file))).collect()
}

fn copy(to: &Destination<'_>, path: String, file: &ImageFile) -> io::Result<FileEntry> {
    let target = located(to.dir, &path).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, path.clone()))?;
    if let Some(parent) = target.parent() {
        to.storage.create_dir_all(parent)?;
    }
    let mut source = File::open(&file.path).map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", file.path.display())))?;
    let mut out = to.storage.create(&target)?;
    let (mut hasher, mut bytes) = (Hasher::new(), 0);
    let mut buffer = vec![0; COPY_CHUNK];
    loop {
        let length = source.read(&mut buffer)?;
        if length == 0 {
            break;
        }
        hasher.update(&buffer[..length]);
        out.write_all(&buffer[..length])?;
        bytes += length as u64;
    }
    out.sync()?;
    Ok(FileEntry { path, rows: None, bytes: Some(ByteSize(bytes)), xxh3: Some(Xxh3(hasher.digest())) })
}

/// One file of a checkpoint on its way into a store.
#[derive(Debug)]
pub(super) struct SavedFile {
    pub(super) storage: Arc<dyn Storage>,
    pub(super) path: PathBuf,
    /// It is only read, by a process that says so if the file goes meanwhile: a link by name will do.
    pub(super) is_borrowed: bool,
}

impl FileSource for SavedFile {
    fn place(&self, target: &Path, is_immutable: bool) -> io::Result<()> {
        if is_immutable
            && let Some(local) = self.storage.local_path(&self.path)
            && (fs::hard_link(&local, target).is_ok() || (self.is_borrowed && symlink(&local, target).is_ok()))
        {
            return Ok(());
        }
        let source = self.storage.open(&self.path)?;
        let mut out = File::create_new(target)?;
        let (mut buffer, mut offset) = (vec![0; COPY_CHUNK], 0);
        loop {
            let length = source.read_at(&mut buffer, offset)?;
            if length == 0 {
                return Ok(());
            }
            out.write_all(&buffer[..length])?;
            offset += length as u64;
        }
    }
}

/// The names in `shared/` of the files that checkpoints name.
pub fn shared_names<'a>(manifests: impl IntoIterator<Item = &'a Manifest>) -> BTreeSet<String> {
    let names = manifests.into_iter().flat_map(Manifest::files).filter_map(|file| file.path.strip_prefix(SHARED));
    names.map(str::to_owned).collect()
}

/// Removes what nobody needs from `shared/` of the job directory `job`: files that are not in `keep`, were written for a checkpoint up to
/// `newest`, and for none of `pending`, which are still being taken. A file that cannot be removed is an orphan: it harms nobody.
pub fn sweep_shared(
    storage: &dyn Storage,
    job: &Path,
    keep: &BTreeSet<String>,
    newest: CheckpointId,
    pending: &BTreeSet<CheckpointId>,
) -> io::Result<()> {
    let directory = job.join("shared");
    if storage.entry(&directory)?.is_none() {
        return Ok(());
    }
    for entry in storage.list(&directory)?.into_iter().filter(|entry| !entry.is_dir) {
        let Some(name) = entry.path.file_name().and_then(|name| name.to_str()) else { continue };
        // What is not named like this was not put there by this program.
        let checkpoint = name.rsplit_once('.').and_then(|(_, number)| number.parse().ok()).map(CheckpointId::new);
        if checkpoint.is_some_and(|id| id <= newest && !pending.contains(&id)) && !keep.contains(name) {
            storage.remove(&entry.path)?;
        }
    }
    Ok(())
}
