//! The files of a sink: their names, who owns them, and how they become visible.
//!
//! | name | what it is |
//! | --- | --- |
//! | `.part-<uid>-<subtask>-<n>.inprogress` | being written, or closed since the last barrier: no snapshot knows it |
//! | `.part-<uid>-<subtask>-<n>.pending` | a snapshot may know it: only a commit touches it |
//! | `part-<uid>-<subtask>-<n>.<extension>` | committed |
//! | `.part-<uid>.lock` | held while the execution `<uid>` runs; its text is the sink's lineage |
//!
//! `<uid>` names one execution of one sink (job id, attempt, sink, directory), so nothing is ever overwritten and any number of
//! jobs and sinks can share a directory. The *lineage* is the uid of the first execution of a sink; every execution restored from
//! its snapshots, directly or not, inherits it. After a restore an execution removes the `.inprogress` files of executions of its
//! own lineage whose lock is free: those are dead, and no snapshot knows these files. An execution that still runs (the job that a
//! savepoint was taken of) holds its lock and is left alone, and so are `.pending` files: a savepoint may need them, of which this
//! execution knows nothing.

use crate::connector::{ConnectorContext, ConnectorError};
use crate::storage::{Storage, StorageLock};
use arrow::array::{Array, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use xxhash_rust::xxh3::xxh3_64;

/// The most that a lock file can hold: one lineage.
const LOCK_TEXT_BYTES: u64 = 64;

/// A file that waits to become visible: the first `length` bytes of `temporary` as `target`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Committable {
    pub(super) temporary: PathBuf,
    pub(super) target: PathBuf,
    pub(super) length: u64,
}

/// What a writer saves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WriterState {
    pub(super) lineage: String,
    /// The execution that the writer belonged to.
    pub(super) uid: String,
    /// The file that stayed open over the barrier, and how much of it was written before.
    pub(super) open: Option<Committable>,
}

/// One execution of a sink, shared by its writers: its names and its lock.
#[derive(Debug)]
pub(super) struct Execution {
    storage: Arc<dyn Storage>,
    directory: PathBuf,
    uid: String,
    lineage: String,
    /// Writers that may leave `.inprogress` files: while there are any, the lock file stays, so that they are found.
    unclean: AtomicUsize,
    /// `None` where the storage has no locks: others then take this execution for a running one, for ever.
    _lock: Option<Box<dyn StorageLock>>,
}

/// Errors of files name the path themselves.
fn io(what: &'static str) -> impl Fn(std::io::Error) -> ConnectorError {
    move |e| ConnectorError::io(what, e)
}

impl Execution {
    /// Creates the sink's directory and takes the lock of this execution. Errors if the directory cannot be written.
    pub(super) fn start(context: &ConnectorContext, directory: &Path, sink: &str, lineage: Option<String>) -> Result<Self, ConnectorError> {
        let storage = Arc::clone(&context.storage);
        storage.create_dir_all(directory).map_err(io("creating the sink's directory"))?;
        let uid = unused_uid(context, directory, sink)?;
        let lineage = lineage.unwrap_or_else(|| uid.clone());
        let path = lock_path(directory, &uid);
        let failed = io("writing to the sink's directory");
        let lock = storage.lock(&path).map_err(&failed)?;
        let mut file = storage.create(&path).map_err(&failed)?;
        file.write_all(lineage.as_bytes()).and_then(|()| file.sync()).map_err(&failed)?;
        storage.sync_dir(directory).map_err(&failed)?;
        let (directory, unclean) = (directory.to_owned(), AtomicUsize::new(0));
        Ok(Self { storage, directory, uid, lineage, unclean, _lock: lock })
    }

    pub(super) fn storage(&self) -> &dyn Storage {
        self.storage.as_ref()
    }

    /// The state of a writer of this execution with this open file.
    pub(super) fn state(&self, open: Option<Committable>) -> WriterState {
        WriterState { lineage: self.lineage.clone(), uid: self.uid.clone(), open }
    }

    pub(super) fn in_progress(&self, subtask: usize, number: u64) -> PathBuf {
        self.directory.join(format!(".part-{}-{subtask}-{number}.inprogress", self.uid))
    }

    pub(super) fn pending(&self, subtask: usize, number: u64) -> PathBuf {
        self.directory.join(format!(".part-{}-{subtask}-{number}.pending", self.uid))
    }

    pub(super) fn target(&self, subtask: usize, number: u64, extension: &str) -> PathBuf {
        self.directory.join(format!("part-{}-{subtask}-{number}.{extension}", self.uid))
    }

    /// A writer may leave `.inprogress` files from now on.
    pub(super) fn writer_opened(&self) {
        self.unclean.fetch_add(1, Ordering::SeqCst);
    }

    /// A writer left none.
    pub(super) fn writer_left_nothing(&self) {
        self.unclean.fetch_sub(1, Ordering::SeqCst);
    }

    /// Removes what dead executions of this lineage left and no snapshot knows.
    pub(super) fn remove_orphans(&self) -> Result<(), ConnectorError> {
        let failed = io("clearing up the sink's directory");
        let entries = self.storage.list(&self.directory).map_err(&failed)?;
        for entry in &entries {
            let name = entry.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let uid = name.strip_prefix(".part-").and_then(|rest| rest.strip_suffix(".lock"));
            let Some(uid) = uid.filter(|uid| *uid != self.uid) else { continue };
            let lineage = self.storage.read(&entry.path, LOCK_TEXT_BYTES).unwrap_or_default();
            if lineage != self.lineage.as_bytes() {
                continue;
            }
            // Held until its files are gone.
            let Some(_lock) = self.storage.lock(&entry.path).map_err(&failed)? else { continue };
            let prefix = format!(".part-{uid}-");
            for file in &entries {
                let name = file.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                if name.starts_with(&prefix) && name.ends_with(".inprogress") {
                    self.storage.remove(&file.path).map_err(&failed)?;
                }
            }
            self.storage.remove(&entry.path).map_err(&failed)?;
        }
        Ok(())
    }

    /// True unless the execution `uid` is known to have ended.
    fn is_running(&self, uid: &str) -> Result<bool, ConnectorError> {
        let path = lock_path(&self.directory, uid);
        let failed = io("looking at the lock");
        if self.storage.entry(&path).map_err(&failed)?.is_none() {
            return Ok(false);
        }
        Ok(self.storage.lock(&path).map_err(&failed)?.is_none())
    }
}

impl Drop for Execution {
    fn drop(&mut self) {
        if self.unclean.load(Ordering::SeqCst) == 0 {
            // A leftover lock file is harmless: the next restore of this lineage removes it.
            let _ = self.storage.remove(&lock_path(&self.directory, &self.uid));
        }
    }
}

/// A uid for this execution of a sink that no living sink has: two of one name in one job get two.
fn unused_uid(context: &ConnectorContext, directory: &Path, sink: &str) -> Result<String, ConnectorError> {
    let mut salt = 0;
    loop {
        let identity = format!("{}\0{sink}\0{}\0{salt}", context.execution, directory.display());
        let uid = format!("{:016x}", xxh3_64(identity.as_bytes()));
        let path = lock_path(directory, &uid);
        if context.storage.entry(&path).map_err(io("looking at the lock"))?.is_none() {
            return Ok(uid);
        }
        salt += 1;
    }
}

fn lock_path(directory: &Path, uid: &str) -> PathBuf {
    directory.join(format!(".part-{uid}.lock"))
}

/// Cuts `path` to `length` bytes, durably.
fn cut(storage: &dyn Storage, path: &Path, length: u64) -> Result<(), ConnectorError> {
    storage.append(path, length).and_then(|mut file| file.sync()).map_err(io("cutting a file"))
}

/// Makes a closed file visible. Idempotent: a target of the right length is the file.
pub(super) fn publish(storage: &dyn Storage, file: &Committable) -> Result<(), ConnectorError> {
    let committing = io("committing a file");
    match storage.entry(&file.temporary).map_err(&committing)? {
        Some(found) if found.len >= file.length => {
            if found.len > file.length {
                cut(storage, &file.temporary, file.length)?;
            }
            storage.rename(&file.temporary, &file.target).map_err(&committing)
        }
        Some(found) => Err(too_short(file, found.len)),
        None => match storage.entry(&file.target).map_err(&committing)? {
            Some(found) if found.len == file.length => Ok(()),
            found => Err(gone(file, found.map(|found| found.len))),
        },
    }
}

/// Makes the part of an open file visible that a complete checkpoint covers. Idempotent: a target that is as long or longer
/// holds it. The file of an execution that still runs is copied, not taken: that execution replaces the target by the whole file
/// when it commits it.
pub(super) fn publish_open(files: &Execution, file: &Committable, uid: &str, number: usize) -> Result<(), ConnectorError> {
    let storage = files.storage();
    let committing = io("committing a file");
    let Some(found) = storage.entry(&file.temporary).map_err(&committing)? else {
        return match storage.entry(&file.target).map_err(&committing)? {
            Some(found) if found.len >= file.length => Ok(()),
            found => Err(gone(file, found.map(|found| found.len))),
        };
    };
    if found.len < file.length {
        return Err(too_short(file, found.len));
    }
    if !files.is_running(uid)? {
        cut(storage, &file.temporary, file.length)?;
        return storage.rename(&file.temporary, &file.target).map_err(&committing);
    }
    let copy = files.directory.join(format!(".part-{}-restored-{number}.inprogress", files.uid));
    copy_prefix(storage, &file.temporary, &copy, file.length).map_err(&committing)?;
    storage.rename(&copy, &file.target).map_err(&committing)
}

fn copy_prefix(storage: &dyn Storage, from: &Path, to: &Path, length: u64) -> std::io::Result<()> {
    let source = storage.open(from)?;
    let mut copy = storage.create(to)?;
    let mut chunk = vec![0; 1 << 20];
    let mut offset = 0;
    while offset < length {
        let wanted = chunk.len().min(usize::try_from(length - offset).unwrap_or(usize::MAX));
        let n = source.read_at(&mut chunk[..wanted], offset)?;
        if n == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        copy.write_all(&chunk[..n])?;
        offset += n as u64;
    }
    copy.sync()
}

fn too_short(file: &Committable, found: u64) -> ConnectorError {
    let (path, length) = (file.temporary.display(), file.length);
    ConnectorError::State(format!("{path} holds {found} bytes, {length} belong to the checkpoint: it was cut or replaced since"))
}

fn gone(file: &Committable, found: Option<u64>) -> ConnectorError {
    let (temporary, target, length) = (file.temporary.display(), file.target.display(), file.length);
    let found = match found {
        Some(found) => format!("{target} holds {found} bytes where {length} belong to the checkpoint"),
        None => format!("{target} does not exist"),
    };
    ConnectorError::State(format!(
        "{temporary}, which a checkpoint waits to make visible, is gone, and {found}. Bring the file back; or, if files are moved away \
         once they are visible, set sink.missing-files = \"ignore\""
    ))
}

fn text_field(name: &str, nullable: bool) -> Field {
    Field::new(name, DataType::Utf8, nullable)
}

fn committable_schema() -> SchemaRef {
    let length = Field::new("length", DataType::Int64, false);
    Arc::new(Schema::new(vec![text_field("temporary", false), text_field("final", false), length]))
}

fn state_schema() -> SchemaRef {
    let length = Field::new("length", DataType::Int64, true);
    let (lineage, execution) = (text_field("lineage", false), text_field("execution", false));
    Arc::new(Schema::new(vec![lineage, execution, text_field("temporary", true), text_field("final", true), length]))
}

fn written(result: Result<RecordBatch, arrow::error::ArrowError>) -> Result<RecordBatch, ConnectorError> {
    result.map_err(|e| ConnectorError::State(format!("the state of a file sink cannot be written: {e}")))
}

fn path_text(path: &Path) -> Result<String, ConnectorError> {
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| ConnectorError::State(format!("{}: a path that is no UTF-8 cannot stand in a snapshot", path.display())))
}

/// Committables as a snapshot holds them: `temporary STRING, final STRING, length BIGINT`. `None` if there are none.
pub(super) fn committables_batch(files: &[Committable]) -> Result<Option<RecordBatch>, ConnectorError> {
    if files.is_empty() {
        return Ok(None);
    }
    let temporary = files.iter().map(|file| path_text(&file.temporary)).collect::<Result<Vec<_>, _>>()?;
    let target = files.iter().map(|file| path_text(&file.target)).collect::<Result<Vec<_>, _>>()?;
    let length = Int64Array::from_iter_values(files.iter().map(|file| file.length as i64));
    let columns: Vec<Arc<dyn Array>> = vec![Arc::new(StringArray::from(temporary)), Arc::new(StringArray::from(target)), Arc::new(length)];
    written(RecordBatch::try_new(committable_schema(), columns)).map(Some)
}

/// A writer's state as a snapshot holds it: `lineage STRING, execution STRING, temporary STRING, final STRING, length BIGINT`, one
/// row.
pub(super) fn state_batch(state: &WriterState) -> Result<RecordBatch, ConnectorError> {
    let open = state.open.as_ref();
    let temporary = open.map(|open| path_text(&open.temporary)).transpose()?;
    let target = open.map(|open| path_text(&open.target)).transpose()?;
    let columns: Vec<Arc<dyn Array>> = vec![
        Arc::new(StringArray::from(vec![state.lineage.as_str()])),
        Arc::new(StringArray::from(vec![state.uid.as_str()])),
        Arc::new(StringArray::from(vec![temporary])),
        Arc::new(StringArray::from(vec![target])),
        Arc::new(Int64Array::from(vec![open.map(|open| open.length as i64)])),
    ];
    written(RecordBatch::try_new(state_schema(), columns))
}

fn unreadable(column: &str) -> ConnectorError {
    ConnectorError::State(format!("the snapshot is not one of a filesystem sink: it has no usable column {column}"))
}

fn texts<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a StringArray, ConnectorError> {
    batch.column_by_name(name).and_then(|column| column.as_string_opt::<i32>()).ok_or_else(|| unreadable(name))
}

fn open_files(batch: &RecordBatch) -> Result<Vec<Option<Committable>>, ConnectorError> {
    let (temporary, target) = (texts(batch, "temporary")?, texts(batch, "final")?);
    let length = batch.column_by_name("length").and_then(|column| column.as_primitive_opt::<Int64Type>());
    let length = length.ok_or_else(|| unreadable("length"))?;
    let rows = temporary.iter().zip(target).zip(length);
    let file = |((temporary, target), length): ((Option<&str>, Option<&str>), Option<i64>)| match (temporary, target, length) {
        (Some(temporary), Some(target), Some(length)) => {
            let length = u64::try_from(length).map_err(|_| unreadable("length"))?;
            Ok(Some(Committable { temporary: temporary.into(), target: target.into(), length }))
        }
        (None, None, None) => Ok(None),
        _ => Err(unreadable("final")),
    };
    rows.map(file).collect()
}

/// Reads what [`committables_batch`] wrote.
pub(super) fn committables_of(batch: &RecordBatch) -> Result<Vec<Committable>, ConnectorError> {
    open_files(batch)?.into_iter().map(|file| file.ok_or_else(|| unreadable("temporary"))).collect()
}

/// Reads what [`state_batch`] wrote.
pub(super) fn states_of(batches: &[RecordBatch]) -> Result<Vec<WriterState>, ConnectorError> {
    let mut states = Vec::new();
    for batch in batches {
        let (lineage, uid) = (texts(batch, "lineage")?, texts(batch, "execution")?);
        for (row, open) in open_files(batch)?.into_iter().enumerate() {
            if lineage.is_null(row) || uid.is_null(row) {
                return Err(unreadable("lineage"));
            }
            states.push(WriterState { lineage: lineage.value(row).to_owned(), uid: uid.value(row).to_owned(), open });
        }
    }
    Ok(states)
}
