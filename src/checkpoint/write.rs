//! From rows to a checkpoint: subtasks write their files side by side, then `_metadata` is written, last.

use super::columns::{stored_schema, to_stored};
use super::error::CheckpointError;
use super::inspect::RowsWanted;
use super::layout::{METADATA, keyed_file, located, operator_file};
use super::manifest::{
    FORMAT_VERSION, FileEntry, KeyedStateEntry, Manifest, ManifestHeader, OperatorEntry, OperatorStateEntry, STORE_VERSION, StoreEntry,
};
use super::native::{Destination, Sharing, write_store};
use super::parquet_file::{FileSink, FileSum, FileWriter, WriteError};
use crate::state::{KeyedSnapshot, OperatorStateKind, OperatorStateSnapshot, StateDescriptor, StateError, StateSnapshot};
use crate::storage::Storage;
use crate::types::{ByteSize, CheckpointId, OperatorUid, Schema, limits};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where the files of one checkpoint go.
#[derive(Debug, Clone)]
pub enum SnapshotTarget {
    /// Files below a directory of its own, which exists: `chk-<n>` or `savepoint-…`.
    Directory {
        /// Files.
        storage: Arc<dyn Storage>,
        /// The directory.
        dir: PathBuf,
        /// With which other checkpoints files of stores may be shared; without it this one has all its files to itself.
        sharing: Option<Sharing>,
    },
    /// The same files as bytes in memory (checkpoint storage `jobmanager`); a state larger than
    /// [`limits::JOBMANAGER_STATE`] is an error.
    Memory,
    /// Rows of one state that a person asked for, in memory; more than [`limits::STATE_ANSWER`] are an error.
    Rows(Arc<RowsWanted>),
}

/// The state of one operator in one subtask at one barrier. A chain hands over one for each of its operators.
#[derive(Debug)]
pub struct SubtaskSnapshot {
    /// Whose state it is.
    pub operator: OperatorUid,
    /// Which subtask of it.
    pub subtask: usize,
    /// Keyed states.
    pub keyed: KeyedSnapshot,
    /// Operator states that functions registered.
    pub registered: Vec<OperatorStateSnapshot>,
    /// Splits, writers, committables.
    pub operator_state: Vec<OperatorStatePart>,
}

impl SubtaskSnapshot {
    /// Of an operator that has keyed states alone.
    pub const fn keyed(operator: OperatorUid, subtask: usize, keyed: KeyedSnapshot) -> Self {
        Self { operator, subtask, keyed, registered: Vec::new(), operator_state: Vec::new() }
    }
}

/// What one subtask adds to an operator state.
#[derive(Debug, Clone)]
pub struct OperatorStatePart {
    /// `splits`, `writer`, `committables`, …: unique within the operator.
    pub name: String,
    /// Its rows. None of them: no file is written.
    pub rows: RecordBatch,
}

/// What was written for one operator in one subtask.
#[derive(Debug, Clone)]
pub struct WrittenSubtask {
    /// Whose state it is.
    pub operator: OperatorUid,
    /// Which subtask of it.
    pub subtask: usize,
    keyed: Vec<(Arc<StateDescriptor>, Option<WrittenFile>)>,
    parts: Vec<WrittenPart>,
    /// The store, and the bytes that were written for it.
    store: Option<(StoreEntry, u64)>,
}

/// What one subtask wrote of an operator state.
#[derive(Debug, Clone)]
struct WrittenPart {
    name: String,
    kind: Option<OperatorStateKind>,
    columns: Schema,
    file: Option<WrittenFile>,
}

/// A file that was written and synced (or kept in memory).
#[derive(Clone)]
pub struct WrittenFile {
    /// Path, rows, length and checksum.
    pub entry: FileEntry,
    content: Option<Bytes>,
}

impl fmt::Debug for WrittenFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WrittenFile").field("entry", &self.entry).finish_non_exhaustive()
    }
}

impl WrittenSubtask {
    /// Bytes written: of a store's files those that no earlier checkpoint had.
    pub fn bytes(&self) -> ByteSize {
        let files: u64 = self.files().filter_map(|f| f.entry.bytes).map(|b| b.0).sum();
        ByteSize(files + self.store.as_ref().map_or(0, |(_, bytes)| *bytes))
    }

    /// Rows written.
    pub fn rows(&self) -> u64 {
        self.files().filter_map(|f| f.entry.rows).sum()
    }

    /// The files.
    pub fn files(&self) -> impl Iterator<Item = &WrittenFile> {
        let keyed = self.keyed.iter().filter_map(|(_, file)| file.as_ref());
        keyed.chain(self.parts.iter().filter_map(|part| part.file.as_ref()))
    }
}

/// Writes one operator's state in one subtask: one Parquet file a state, each of them synced when this returns. Blocks; meant for a
/// thread that may. After an error the directory is removed with the whole attempt ([`super::delete_checkpoint`]).
pub fn write_subtask(target: &SnapshotTarget, snapshot: SubtaskSnapshot) -> Result<WrittenSubtask, CheckpointError> {
    if let SnapshotTarget::Rows(wanted) = target {
        return pick_rows(wanted, snapshot);
    }
    let SubtaskSnapshot { operator, subtask, keyed: KeyedSnapshot { states, store }, registered, operator_state } = snapshot;
    let mut keyed = Vec::with_capacity(states.len());
    for StateSnapshot { descriptor, batches, .. } in states {
        let name = format!("{operator}/{}", descriptor.name);
        let path = keyed_file(&operator, &descriptor.name, subtask);
        let file = write_file(target, path, &name, descriptor.columns().to_arrow(), batches)?;
        keyed.push((descriptor, file));
    }
    let store = match (store, target) {
        (None, _) => None,
        (Some(store), SnapshotTarget::Directory { storage, dir, sharing }) => {
            keyed.extend(store.states.iter().map(|state| (Arc::clone(&state.descriptor), None)));
            let to = Destination { storage: &**storage, dir, sharing: sharing.as_ref() };
            Some(write_store(&to, &operator, subtask, &store)?)
        }
        (Some(_), SnapshotTarget::Memory | SnapshotTarget::Rows(_)) => {
            return Err(CheckpointError::Invariant("a store is not kept in memory".to_owned()));
        }
    };
    let mut parts = write_registered(target, &operator, subtask, registered)?;
    for OperatorStatePart { name: state, rows } in operator_state {
        let name = format!("{operator}/{state}");
        let columns = Schema::from_arrow(&rows.schema());
        let columns = columns.map_err(|message| CheckpointError::Rows { state: name.clone(), message })?;
        let path = operator_file(&operator, &state, subtask);
        let schema = rows.schema();
        let file = write_file(target, path, &name, schema, std::iter::once(Ok(rows)))?;
        parts.push(WrittenPart { name: state, kind: None, columns, file });
    }
    Ok(WrittenSubtask { operator, subtask, keyed, parts, store })
}

/// Writes the operator states that a function registered.
fn write_registered(
    target: &SnapshotTarget,
    operator: &OperatorUid,
    subtask: usize,
    registered: Vec<OperatorStateSnapshot>,
) -> Result<Vec<WrittenPart>, CheckpointError> {
    let mut parts = Vec::with_capacity(registered.len());
    for OperatorStateSnapshot { descriptor, batches } in registered {
        let (name, path) = (format!("{operator}/{}", descriptor.name), operator_file(operator, &descriptor.name, subtask));
        let file = write_file(target, path, &name, descriptor.columns.to_arrow(), batches)?;
        let (name, columns) = (descriptor.name.clone(), descriptor.columns.clone());
        parts.push(WrittenPart { name, kind: Some(descriptor.kind), columns, file });
    }
    Ok(parts)
}

/// The rows that a person asked for, if any of them are here.
fn pick_rows(wanted: &RowsWanted, snapshot: SubtaskSnapshot) -> Result<WrittenSubtask, CheckpointError> {
    let SubtaskSnapshot { operator, subtask, keyed: KeyedSnapshot { states, .. }, registered, .. } = snapshot;
    let (mut keyed, mut parts) = (Vec::new(), Vec::new());
    for StateSnapshot { descriptor, batches, .. } in states.into_iter().filter(|state| wanted.is(&operator, &state.descriptor.name)) {
        let columns = descriptor.columns();
        let rows = wanted.pick(&columns, &descriptor.key.columns, batches)?;
        let file = picked(keyed_file(&operator, &descriptor.name, subtask), wanted, &columns, rows)?;
        keyed.push((descriptor, file));
    }
    for OperatorStateSnapshot { descriptor, batches } in registered.into_iter().filter(|state| wanted.is(&operator, &state.descriptor.name))
    {
        let rows = wanted.pick(&descriptor.columns, &[], batches)?;
        let file = picked(operator_file(&operator, &descriptor.name, subtask), wanted, &descriptor.columns, rows)?;
        let (name, columns) = (descriptor.name.clone(), descriptor.columns.clone());
        parts.push(WrittenPart { name, kind: Some(descriptor.kind), columns, file });
    }
    Ok(WrittenSubtask { operator, subtask, keyed, parts, store: None })
}

/// The file with the rows of a state that were picked; none if there are none.
fn picked(path: String, wanted: &RowsWanted, columns: &Schema, rows: Vec<RecordBatch>) -> Result<Option<WrittenFile>, CheckpointError> {
    if rows.is_empty() {
        return Ok(None);
    }
    let name = format!("{}/{}", wanted.operator, wanted.state);
    let (content, sum) = fill(Vec::new(), &name, columns.to_arrow(), rows.into_iter().map(Ok))?;
    Ok(Some(WrittenFile { entry: entry(path, sum), content: Some(content.into()) }))
}

fn write_file(
    target: &SnapshotTarget,
    path: String,
    state: &str,
    schema: SchemaRef,
    batches: impl Iterator<Item = Result<RecordBatch, StateError>>,
) -> Result<Option<WrittenFile>, CheckpointError> {
    let mut batches = batches.filter(|batch| batch.as_ref().map_or(true, |rows| rows.num_rows() > 0)).peekable();
    if batches.peek().is_none() {
        return Ok(None);
    }
    match target {
        SnapshotTarget::Directory { storage, dir, .. } => {
            let absolute = dir.join(&path);
            let context = format!("writing state {state}");
            if let Some(parent) = absolute.parent() {
                storage.create_dir_all(parent).map_err(CheckpointError::io(&context))?;
            }
            let file = storage.create(&absolute).map_err(CheckpointError::io(&context))?;
            let (_, sum) = fill(file, state, schema, batches)?;
            Ok(Some(WrittenFile { entry: entry(path, sum), content: None }))
        }
        SnapshotTarget::Memory | SnapshotTarget::Rows(_) => {
            let (content, sum) = fill(Vec::new(), state, schema, batches)?;
            let (size, limit) = (sum.bytes, limits::JOBMANAGER_STATE);
            if size > limit {
                return Err(CheckpointError::TooLargeForMemory { state: state.to_owned(), size, limit });
            }
            Ok(Some(WrittenFile { entry: entry(path, sum), content: Some(content.into()) }))
        }
    }
}

fn entry(path: String, sum: FileSum) -> FileEntry {
    FileEntry { path, rows: Some(sum.rows), bytes: Some(sum.bytes), xxh3: Some(sum.xxh3) }
}

fn fill<F: FileSink>(
    file: F,
    state: &str,
    schema: SchemaRef,
    batches: impl Iterator<Item = Result<RecordBatch, StateError>>,
) -> Result<(F, FileSum), CheckpointError> {
    let failed = |error: WriteError| match error {
        WriteError::Io(source) => CheckpointError::Io { context: format!("writing state {state}"), source },
        WriteError::Rows(message) => CheckpointError::Rows { state: state.to_owned(), message },
    };
    let schema = stored_schema(&schema);
    let mut writer = FileWriter::new(file, Arc::clone(&schema)).map_err(failed)?;
    for batch in batches {
        let rows = to_stored(batch?, &schema).map_err(|message| failed(WriteError::Rows(message)))?;
        writer.write(&rows).map_err(failed)?;
    }
    writer.finish().map_err(failed)
}

/// A checkpoint or savepoint that is complete: it can be restored from.
#[derive(Debug, Clone)]
pub struct CompletedCheckpoint {
    manifest: Arc<Manifest>,
    /// Its directory and its files' storage, or its files.
    pub(super) place: Place,
}

/// Where the files of a complete checkpoint are.
#[derive(Clone)]
pub(super) enum Place {
    Directory { storage: Arc<dyn Storage>, dir: PathBuf },
    Memory(Arc<BTreeMap<String, Bytes>>),
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory { dir, .. } => f.debug_tuple("Directory").field(dir).finish(),
            Self::Memory(files) => f.debug_tuple("Memory").field(&files.keys()).finish(),
        }
    }
}

impl CompletedCheckpoint {
    /// What it consists of.
    pub fn manifest(&self) -> &Arc<Manifest> {
        &self.manifest
    }

    /// Its number.
    pub fn id(&self) -> CheckpointId {
        self.manifest.checkpoint_id
    }

    /// Its directory; `None` in memory.
    pub fn directory(&self) -> Option<&Path> {
        match &self.place {
            Place::Directory { dir, .. } => Some(dir),
            Place::Memory(_) => None,
        }
    }

    /// Bytes of its files.
    pub fn bytes(&self) -> ByteSize {
        self.manifest.bytes()
    }
}

/// Makes a checkpoint of what all subtasks wrote: directories are synced, then `_metadata` is written, synced and renamed into
/// place, or put there whole on an object store. Before this returns, nothing counts; if it fails, the directory is to be removed.
pub fn complete(
    target: &SnapshotTarget,
    header: ManifestHeader,
    written: Vec<WrittenSubtask>,
) -> Result<CompletedCheckpoint, CheckpointError> {
    let mut contents = BTreeMap::new();
    for file in written.iter().flat_map(WrittenSubtask::files) {
        if let Some(content) = &file.content {
            contents.insert(file.entry.path.clone(), content.clone());
        }
    }
    let manifest = assemble(header, written)?;
    let json = manifest.to_json().map_err(CheckpointError::Invariant)?;
    let place = match target {
        SnapshotTarget::Memory | SnapshotTarget::Rows(_) => Place::Memory(Arc::new(contents)),
        SnapshotTarget::Directory { storage, dir, .. } => {
            seal(&**storage, dir, &manifest, &json).map_err(CheckpointError::io("completing the checkpoint"))?;
            Place::Directory { storage: Arc::clone(storage), dir: dir.clone() }
        }
    };
    Ok(CompletedCheckpoint { manifest: Arc::new(manifest), place })
}

fn seal(storage: &dyn Storage, dir: &Path, manifest: &Manifest, json: &[u8]) -> std::io::Result<()> {
    let mut directories = BTreeSet::from([dir.to_owned()]);
    for file in manifest.files() {
        let Some(path) = located(dir, &file.path).filter(|path| path.starts_with(dir)) else {
            directories.extend(dir.parent().map(|job| job.join("shared")));
            continue;
        };
        directories.extend(path.ancestors().skip(1).take_while(|d| d.starts_with(dir)).map(Path::to_owned));
    }
    for directory in &directories {
        storage.sync_dir(directory)?;
    }
    if let Some(parent) = dir.parent() {
        storage.sync_dir(parent)?;
    }
    storage.create_atomic(&dir.join(METADATA), json)
}

/// The manifest of what was written: operators in the header's order, states in the order of their names.
fn assemble(header: ManifestHeader, written: Vec<WrittenSubtask>) -> Result<Manifest, CheckpointError> {
    let mut operators = Vec::with_capacity(header.operators.len());
    let mut by_uid: BTreeMap<OperatorUid, Vec<WrittenSubtask>> = BTreeMap::new();
    for subtask in written {
        by_uid.entry(subtask.operator.clone()).or_default().push(subtask);
    }
    for operator in header.operators {
        let mut subtasks = by_uid.remove(&operator.uid).unwrap_or_default();
        subtasks.sort_by_key(|s| s.subtask);
        let stores: Vec<StoreEntry> = subtasks.iter_mut().filter_map(|s| s.store.take()).map(|(store, _)| store).collect();
        if subtasks.windows(2).any(|two| two[0].subtask == two[1].subtask) {
            return Err(CheckpointError::Invariant(format!("two snapshots of one subtask of operator {}", operator.uid)));
        }
        let (keyed_states, operator_states) = merge_states(&operator.uid, subtasks)?;
        let (uid, kind, parallelism) = (operator.uid, operator.kind, operator.parallelism);
        operators.push(OperatorEntry { uid, kind, parallelism, keyed_states, operator_states, stores });
    }
    if let Some(uid) = by_uid.keys().next() {
        return Err(CheckpointError::Invariant(format!("a snapshot of operator {uid}, which the job does not have")));
    }
    Ok(Manifest {
        format_version: if operators.iter().all(|o| o.stores.is_empty()) { FORMAT_VERSION } else { STORE_VERSION },
        kind: header.kind,
        job: header.job,
        checkpoint_id: header.checkpoint,
        time: header.time,
        max_parallelism: header.max_parallelism,
        options: header.options,
        operators,
    })
}

type States = (Vec<KeyedStateEntry>, Vec<OperatorStateEntry>);

fn merge_states(uid: &OperatorUid, subtasks: Vec<WrittenSubtask>) -> Result<States, CheckpointError> {
    let mut keyed: BTreeMap<String, KeyedStateEntry> = BTreeMap::new();
    let mut parts: BTreeMap<String, OperatorStateEntry> = BTreeMap::new();
    let differs = |name: &str| CheckpointError::Rows {
        state: format!("{uid}/{name}"),
        message: "two subtasks hold it with different columns".to_owned(),
    };
    for subtask in subtasks {
        for (descriptor, file) in subtask.keyed {
            let name = descriptor.name.clone();
            let state = keyed.entry(name).or_insert_with(|| KeyedStateEntry { descriptor: (*descriptor).clone(), files: Vec::new() });
            if state.descriptor != *descriptor {
                return Err(differs(&descriptor.name));
            }
            state.files.extend(file.map(|f| f.entry));
        }
        for WrittenPart { name, kind, columns, file } in subtask.parts {
            let state = parts.entry(name.clone());
            let new = || OperatorStateEntry { name: name.clone(), kind, columns: columns.clone(), files: Vec::new() };
            let state = state.or_insert_with(new);
            if state.columns != columns || state.kind != kind {
                return Err(differs(&name));
            }
            state.files.extend(file.map(|f| f.entry));
        }
    }
    Ok((keyed.into_values().collect(), parts.into_values().collect()))
}
