//! A checkpoint or savepoint that was opened for reading: every file of it is there, whole and unaltered.

use super::columns::conform;
use super::error::RestoreError;
use super::layout::{METADATA, located, path_of_text};
use super::manifest::{FileEntry, Manifest, StoreEntry, StoreFileEntry, StoreStateEntry};
use super::native::SavedFile;
use super::parquet_file::{self, Content};
use super::restore::RestorePlan;
use super::write::{CompletedCheckpoint, Place};
use crate::state::{RestoredOperatorState, RestoredState, SavedState, StateDescriptor, StoreFile, StoreFiles, rekey};
use crate::storage::Storage;
use crate::types::{KeyGroupRange, MaxParallelism, OperatorUid, Schema, limits};
use arrow::array::RecordBatch;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A checkpoint or savepoint whose files were all checked.
#[derive(Debug, Clone)]
pub struct OpenCheckpoint {
    manifest: Arc<Manifest>,
    place: Place,
    /// The number of key groups that it is read with.
    max_parallelism: MaxParallelism,
    /// Keyed states whose rows may have been saved under other key groups than those they belong to now.
    moved: Arc<BTreeMap<(OperatorUid, String), Arc<StateDescriptor>>>,
}

/// Opens what a person named: a directory or its `_metadata`, with or without `file:`. A relative path starts at the working
/// directory, which the caller puts in front. Reads every file once and compares lengths and checksums.
pub fn open(storage: Arc<dyn Storage>, text: &str) -> Result<OpenCheckpoint, RestoreError> {
    let directory = find_directory(&*storage, text)?;
    open_directory(storage, &directory)
}

/// Opens the checkpoint in `directory`. Reads every file once and compares lengths and checksums.
pub fn open_directory(storage: Arc<dyn Storage>, directory: &Path) -> Result<OpenCheckpoint, RestoreError> {
    let manifest = read_manifest(&*storage, directory)?;
    let place = Place::Directory { storage, dir: directory.to_owned() };
    let checkpoint = OpenCheckpoint::new(Arc::new(manifest), place);
    for file in checkpoint.manifest.files() {
        checkpoint.verify(file)?;
    }
    Ok(checkpoint)
}

/// Opens what a person named without looking at its files: for those who read a part of it, or who want to know what is wrong with it.
pub(super) fn open_unchecked(storage: Arc<dyn Storage>, text: &str) -> Result<OpenCheckpoint, RestoreError> {
    let dir = find_directory(&*storage, text)?;
    let manifest = read_manifest(&*storage, &dir)?;
    Ok(OpenCheckpoint::new(Arc::new(manifest), Place::Directory { storage, dir }))
}

/// The directory of the checkpoint that `text` names.
pub(super) fn find_directory(storage: &dyn Storage, text: &str) -> Result<PathBuf, RestoreError> {
    let path = path_of_text(text)?;
    let reading = |source| RestoreError::Io { context: format!("opening {text}"), source };
    let entry = storage.entry(&path).map_err(reading)?.ok_or_else(|| RestoreError::NotFound(text.to_owned()))?;
    if entry.is_dir {
        let metadata = storage.entry(&path.join(METADATA)).map_err(reading)?;
        return if metadata.is_some() { Ok(path) } else { Err(RestoreError::NoMetadata(text.to_owned())) };
    }
    match path.parent() {
        Some(directory) if path.file_name().is_some_and(|name| name == METADATA) => Ok(directory.to_owned()),
        _ => Err(RestoreError::NoMetadata(text.to_owned())),
    }
}

/// `_metadata` of the checkpoint in `directory`, its files unseen.
pub(super) fn read_manifest(storage: &dyn Storage, directory: &Path) -> Result<Manifest, RestoreError> {
    let path = directory.join(METADATA);
    let bytes = storage.read(&path, limits::METADATA_FILE.0).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => RestoreError::NoMetadata(directory.display().to_string()),
        _ => RestoreError::Io { context: "reading the metadata".to_owned(), source: e },
    })?;
    Manifest::parse(&bytes).map_err(|message| RestoreError::Manifest { path, message })
}

impl CompletedCheckpoint {
    /// Opens it for reading; files on disk are checked again.
    pub fn open(&self) -> Result<OpenCheckpoint, RestoreError> {
        match &self.place {
            Place::Directory { storage, dir } => open_directory(Arc::clone(storage), dir),
            Place::Memory(_) => Ok(OpenCheckpoint::new(Arc::clone(self.manifest()), self.place.clone())),
        }
    }
}

impl OpenCheckpoint {
    fn new(manifest: Arc<Manifest>, place: Place) -> Self {
        Self { max_parallelism: manifest.max_parallelism, manifest, place, moved: Arc::default() }
    }

    /// The same checkpoint as a job sees it for which `plan` was made: under the job's names, converted on the way.
    #[must_use]
    pub fn planned(self, plan: &RestorePlan) -> Self {
        let (manifest, moved) = (Arc::clone(&plan.manifest), Arc::new(plan.moved.clone()));
        Self { manifest, moved, max_parallelism: plan.max_parallelism, place: self.place }
    }

    /// The number of key groups that its keyed state is read with: what a job that starts from it has.
    pub fn max_parallelism(&self) -> MaxParallelism {
        self.max_parallelism
    }

    /// What it consists of.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Its directory; `None` in memory.
    pub fn directory(&self) -> Option<&Path> {
        match &self.place {
            Place::Directory { dir, .. } => Some(dir),
            Place::Memory(_) => None,
        }
    }

    /// Where its files are; `None` in memory.
    pub(super) fn storage(&self) -> Option<&Arc<dyn Storage>> {
        match &self.place {
            Place::Directory { storage, .. } => Some(storage),
            Place::Memory(_) => None,
        }
    }

    /// The keyed states of an operator: the rows of `range`, and possibly some of other key groups. Empty for an operator that the
    /// checkpoint does not have.
    pub fn keyed_state(&self, uid: &OperatorUid, range: KeyGroupRange) -> Result<Vec<RestoredState>, RestoreError> {
        let Some(operator) = self.manifest.operator(uid) else { return Ok(Vec::new()) };
        let mut states = Vec::with_capacity(operator.keyed_states.len());
        for state in &operator.keyed_states {
            let schema = state.descriptor.columns();
            let moved = self.moved.get(&(uid.clone(), state.descriptor.name.clone()));
            let batches = match moved {
                None => self.rows(&state.files, &schema, Some(range))?,
                // Any file may hold keys of any group: all of them are read, and what belongs to others is left out.
                Some(now) => {
                    let failed = |e| RestoreError::Conversion { state: format!("{uid}/{}", now.name), source: Box::new(e) };
                    let all = self.rows(&state.files, &schema, None)?;
                    all.iter().map(|batch| rekey(batch, now, self.max_parallelism, range).map_err(failed)).collect::<Result<_, _>>()?
                }
            };
            // How long entries lived is the saved state's to say.
            let moved = moved.map(|now| StateDescriptor { ttl: state.descriptor.ttl, ..now.as_ref().clone() });
            let descriptor = Arc::new(moved.unwrap_or_else(|| state.descriptor.clone()));
            states.push(RestoredState { descriptor, batches });
        }
        Ok(states)
    }

    /// The stores that hold keyed states of an operator for key groups of `range`.
    pub fn stores(&self, uid: &OperatorUid, range: KeyGroupRange) -> Vec<Arc<StoreFiles>> {
        let (Some(operator), Place::Directory { .. }) = (self.manifest.operator(uid), &self.place) else { return Vec::new() };
        let wanted = range.as_range();
        let moved = |state: &StateDescriptor| self.moved.contains_key(&(uid.clone(), state.name.clone()));
        // Any store may hold keys of any group of a state that moved.
        let all = operator.keyed_states.iter().any(|state| moved(&state.descriptor));
        let overlaps = |store: &&StoreEntry| all || store.key_groups.0 < wanted.end && wanted.start < store.key_groups.1;
        let files = |store: &StoreEntry| {
            let state = |saved: &StoreStateEntry| {
                let descriptor = &operator.keyed_states.iter().find(|state| state.descriptor.name == saved.name)?.descriptor;
                Some(saved.saved(descriptor, moved(descriptor)))
            };
            Arc::new(self.files_of(store, store.states.iter().filter_map(state).collect(), false))
        };
        operator.stores.iter().filter(overlaps).map(files).collect()
    }

    /// A store with these of its states, for somebody who only looks into it.
    pub(super) fn store_files(&self, store: &StoreEntry, states: Vec<SavedState>) -> Arc<StoreFiles> {
        Arc::new(self.files_of(store, states, true))
    }

    fn files_of(&self, store: &StoreEntry, states: Vec<SavedState>, is_borrowed: bool) -> StoreFiles {
        let file = |storage: &Arc<dyn Storage>, file: &StoreFileEntry| StoreFile {
            name: file.name.clone(),
            source: Arc::new(SavedFile { storage: Arc::clone(storage), path: self.path_of(&file.file), is_borrowed }),
        };
        let files = self.storage().map(|storage| store.files.iter().map(|entry| file(storage, entry)).collect());
        StoreFiles { states, files: files.unwrap_or_default() }
    }

    /// An operator state: the rows of all former subtasks, one batch or more for each, in the subtasks' order. Empty if there is
    /// none.
    pub fn operator_state(&self, uid: &OperatorUid, name: &str) -> Result<Vec<RecordBatch>, RestoreError> {
        let operator = self.manifest.operator(uid);
        match operator.and_then(|o| o.operator_states.iter().find(|s| s.name == name)) {
            Some(state) => self.rows(&state.files, &state.columns, None),
            None => Ok(Vec::new()),
        }
    }

    /// The operator states that functions registered, of all former subtasks. Empty for an operator that the checkpoint does not have.
    pub fn registered_states(&self, uid: &OperatorUid) -> Result<Vec<RestoredOperatorState>, RestoreError> {
        let Some(operator) = self.manifest.operator(uid) else { return Ok(Vec::new()) };
        let mut states = Vec::new();
        for state in &operator.operator_states {
            let Some(descriptor) = state.descriptor().map(Arc::new) else { continue };
            let batches = self.rows(&state.files, &state.columns, None)?;
            states.push(RestoredOperatorState { descriptor, parallelism: operator.parallelism, batches });
        }
        Ok(states)
    }

    /// The rows of some of the manifest's files, with exactly these columns.
    pub fn rows(&self, files: &[FileEntry], columns: &Schema, range: Option<KeyGroupRange>) -> Result<Vec<RecordBatch>, RestoreError> {
        let mut batches = Vec::new();
        for file in files {
            let altered = |message| RestoreError::AlteredFile { path: self.path_of(file), message };
            let read = parquet_file::read(self.content(file)?, range, file.rows).map_err(altered)?;
            for batch in read {
                batches.push(conform(&batch, columns).map_err(altered)?);
            }
        }
        Ok(batches)
    }

    pub(super) fn path_of(&self, file: &FileEntry) -> PathBuf {
        match &self.place {
            // The path was checked when the manifest was read; without a directory the name alone is shown.
            Place::Directory { dir, .. } => located(dir, &file.path).unwrap_or_else(|| PathBuf::from(&file.path)),
            Place::Memory(_) => PathBuf::from(&file.path),
        }
    }

    pub(super) fn content(&self, file: &FileEntry) -> Result<Content, RestoreError> {
        let missing = || RestoreError::MissingFile { path: self.path_of(file) };
        match &self.place {
            Place::Memory(files) => files.get(&file.path).cloned().map(Content::Memory).ok_or_else(missing),
            Place::Directory { storage, dir } => {
                let path = located(dir, &file.path).ok_or_else(missing)?;
                match storage.open(&path) {
                    Ok(opened) => Ok(Content::File(Arc::from(opened))),
                    Err(e) if e.kind() == io::ErrorKind::NotFound => Err(missing()),
                    Err(source) => Err(RestoreError::Io { context: "opening a file of the snapshot".to_owned(), source }),
                }
            }
        }
    }

    /// Compares the length of a file.
    pub(super) fn verify_length(&self, file: &FileEntry) -> Result<(), RestoreError> {
        let length = parquet::file::reader::Length::len(&self.content(file)?);
        match file.bytes {
            Some(expected) if length != expected.0 => {
                let message = format!("{length} bytes, {} were written", expected.0);
                Err(RestoreError::AlteredFile { path: self.path_of(file), message })
            }
            _ => Ok(()),
        }
    }

    /// Compares length and checksum of a file.
    pub(super) fn verify(&self, file: &FileEntry) -> Result<(), RestoreError> {
        self.verify_length(file)?;
        let content = self.content(file)?;
        let altered = |message| RestoreError::AlteredFile { path: self.path_of(file), message };
        if let Some(expected) = file.xxh3 {
            let sum = content.sum();
            let (_, found) =
                sum.map_err(|source| RestoreError::Io { context: format!("checking {}", self.path_of(file).display()), source })?;
            if found != expected {
                return Err(altered(format!("checksum {:016x}, {:016x} was written", found.0, expected.0)));
            }
        }
        Ok(())
    }
}
