//! Sealing a snapshot whose files another tool has changed: it is checked as a restore and [`super::verify`] check, then `_metadata` gets
//! the files' new lengths, row counts and checksums, whole or not at all.

use super::defects::{Defect, Defects};
use super::pieces::Piece;
use super::verify::{check_keys, check_rows};
use super::{Form, InspectError, Snapshot, StateRef};
use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::layout::{METADATA, below};
use crate::checkpoint::manifest::{FileEntry, Manifest};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What was sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The snapshot's directory.
    pub path: PathBuf,
    /// The files whose length, row count or checksum was another one: with the rows before and now.
    pub changed: Vec<(String, Option<u64>, u64)>,
    /// All files.
    pub files: usize,
}

/// Seals a snapshot. Errors with everything that is wrong with its files; `_metadata` is then left as it is.
pub fn seal(snapshot: &Snapshot) -> Result<Sealed, InspectError> {
    let (Some(storage), Some(dir)) = (snapshot.checkpoint.storage(), snapshot.directory()) else {
        return Err(InspectError::asked("a snapshot in memory cannot be sealed", "give the path of a savepoint"));
    };
    let mut entries: BTreeMap<String, FileEntry> = BTreeMap::new();
    let mut defects = Defects::default();
    for state in snapshot.states() {
        if state.form() == Form::Native {
            let message = format!("state {} is stored in its backend's native form, which no other tool edits", state.address());
            return Err(InspectError::asked(message, "take a savepoint, edit that, and seal it"));
        }
        measure_state(snapshot, &state, &mut entries, &mut defects)?;
    }
    if !defects.list.is_empty() {
        return Err(InspectError::Unsound(defects));
    }
    let mut manifest = snapshot.manifest().clone();
    let changed = replace(&mut manifest, &entries);
    let files = entries.len();
    if !changed.is_empty() {
        let json = manifest.to_json().map_err(|message| InspectError::Write(CheckpointError::Invariant(message)))?;
        for (path, ..) in &changed {
            // Whoever wrote the file may not have synced it; `_metadata` must not be there without what it describes.
            let sync = || {
                let Some(path) = below(dir, path) else { return Ok(()) };
                let length = storage.entry(&path)?.map_or(0, |entry| entry.len);
                storage.append(&path, length)?.sync()?;
                path.parent().map_or(Ok(()), |parent| storage.sync_dir(parent))
            };
            sync().map_err(InspectError::io("sealing the savepoint"))?;
        }
        storage.write_atomic(&dir.join(METADATA), &json).map_err(InspectError::io("sealing the savepoint"))?;
    }
    Ok(Sealed { path: dir.to_owned(), changed, files })
}

/// Checks the files of one state as they are now, and measures them.
fn measure_state(
    snapshot: &Snapshot,
    state: &StateRef<'_>,
    entries: &mut BTreeMap<String, FileEntry>,
    defects: &mut Defects,
) -> Result<(), InspectError> {
    let mut sound = Vec::new();
    for file in state.files() {
        // What is recorded of the file is what is to be replaced.
        let bare = FileEntry { path: file.path.clone(), rows: None, bytes: None, xxh3: None };
        let before = defects.list.len();
        let content = match snapshot.checkpoint.content(&bare) {
            Ok(content) => content,
            Err(crate::checkpoint::RestoreError::MissingFile { path }) => {
                let what = "the file is missing; a state without rows keeps its file, with no rows in it".to_owned();
                defects.list.push(Defect { path, row: None, what, more: 0 });
                continue;
            }
            Err(other) => return Err(other.into()),
        };
        let rows = check_rows(snapshot, state, Piece::File(&bare), defects)?;
        if defects.list.len() > before {
            continue;
        }
        let (bytes, xxh3) = content.sum().map_err(InspectError::io(format!("reading {}", snapshot.path_of(file).display())))?;
        entries.insert(file.path.clone(), FileEntry { rows: Some(rows), bytes: Some(bytes), xxh3: Some(xxh3), ..bare });
        sound.push(Piece::File(file));
    }
    if state.tells_rows_apart() {
        check_keys(snapshot, state, &sound, defects)?;
    }
    Ok(())
}

/// Puts the new entries in; returns what is other than it was.
fn replace(manifest: &mut Manifest, entries: &BTreeMap<String, FileEntry>) -> Vec<(String, Option<u64>, u64)> {
    let mut changed = Vec::new();
    for operator in &mut manifest.operators {
        let keyed = operator.keyed_states.iter_mut().flat_map(|s| &mut s.files);
        for file in keyed.chain(operator.operator_states.iter_mut().flat_map(|s| &mut s.files)) {
            if let Some(entry) = entries.get(&file.path).filter(|entry| *entry != file) {
                changed.push((file.path.clone(), file.rows, entry.rows.unwrap_or(0)));
                *file = entry.clone();
            }
        }
    }
    changed
}

impl Sealed {
    /// True if nothing had changed.
    pub fn is_unchanged(&self) -> bool {
        self.changed.is_empty()
    }
}
