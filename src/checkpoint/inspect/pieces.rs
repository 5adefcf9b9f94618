//! Where the rows of a state lie: in Parquet files, or in stores. Both are streams of record batches, sorted by key group.

use super::{InspectError, Snapshot, StateEntry, StateRef};
use crate::checkpoint::columns::conform;
use crate::checkpoint::error::RestoreError;
use crate::checkpoint::manifest::{FileEntry, StoreEntry, StoreStateEntry};
use crate::checkpoint::parquet_file::{self, Batches};
use crate::state::{Backend, BackendSettings, SavedState, StateError, read_store};
use crate::types::{KeyGroupRange, MaxParallelism, Parallelism, Schema};
use arrow::array::RecordBatch;
use std::io;
use std::path::{Path, PathBuf};

/// Where some rows of a state lie.
#[derive(Debug, Clone, Copy)]
pub(super) enum Piece<'a> {
    /// A Parquet file.
    File(&'a FileEntry),
    /// The store of one subtask.
    Store(&'a StoreEntry, &'a StoreStateEntry),
}

impl Piece<'_> {
    /// How many rows were written, if that is recorded.
    pub(super) fn rows(self) -> Option<u64> {
        match self {
            Self::File(file) => file.rows,
            Self::Store(_, state) => Some(state.rows),
        }
    }

    /// True if it may have fewer rows than [`Self::rows`].
    pub(super) fn may_have_fewer(self) -> bool {
        matches!(self, Self::Store(_, state) if state.at_most)
    }

    /// The key groups that the rows are of, if that is recorded.
    pub(super) fn key_groups(self) -> Option<std::ops::Range<i32>> {
        match self {
            Self::File(_) => None,
            Self::Store(store, _) => Some(store.key_groups.0.into()..store.key_groups.1.into()),
        }
    }

    /// False if there are certainly no rows of `range`.
    pub(super) fn may_hold(self, range: Option<KeyGroupRange>) -> bool {
        let (Some(own), Some(range)) = (self.key_groups(), range) else { return true };
        let range = range.as_range();
        own.start < range.end.into() && own.end > range.start.into()
    }
}

impl<'a> StateRef<'a> {
    /// Where its rows lie.
    pub(super) fn pieces(&self) -> Vec<Piece<'a>> {
        let mut pieces: Vec<Piece<'a>> = self.files().iter().map(Piece::File).collect();
        if let StateEntry::Keyed(state) = self.state {
            for store in &self.operator.stores {
                let stored = store.states.iter().find(|stored| stored.name == state.descriptor.name);
                pieces.extend(stored.map(|stored| Piece::Store(store, stored)));
            }
        }
        pieces
    }
}

/// The rows of one [`Piece`] as they are asked for. After an error there are no more.
pub(super) struct PieceRows {
    path: PathBuf,
    columns: Schema,
    batches: Source,
    ended: bool,
}

enum Source {
    File(Batches),
    Store(Box<dyn Iterator<Item = Result<RecordBatch, StateError>> + Send>),
}

/// Rows as they were found, and as the state's columns.
pub(super) struct FoundRows {
    pub(super) found: RecordBatch,
    pub(super) rows: RecordBatch,
}

impl PieceRows {
    /// All rows of the file, as its footer says.
    pub(super) fn rows(&self) -> Option<u64> {
        match &self.batches {
            Source::File(batches) => Some(batches.rows),
            Source::Store(_) => None,
        }
    }

    fn read(&mut self) -> Result<Option<FoundRows>, RestoreError> {
        let altered = |message| RestoreError::AlteredFile { path: self.path.clone(), message };
        let found = match &mut self.batches {
            Source::File(batches) => batches.next().transpose().map_err(altered)?,
            Source::Store(rows) => match rows.next().transpose() {
                Ok(found) => found,
                Err(error) => return Err(self.unreadable(error)),
            },
        };
        let Some(found) = found else { return Ok(None) };
        let rows = conform(&found, &self.columns).map_err(altered)?;
        Ok(Some(FoundRows { found, rows }))
    }

    /// A disk that fails is no defect of the store.
    fn unreadable(&self, error: StateError) -> RestoreError {
        match error {
            StateError::Io { source, .. } if source.kind() != io::ErrorKind::Other => {
                RestoreError::Io { context: format!("reading the store {}", self.path.display()), source }
            }
            other => RestoreError::AlteredFile { path: self.path.clone(), message: other.to_string() },
        }
    }
}

impl Iterator for PieceRows {
    type Item = Result<FoundRows, RestoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let read = self.read();
        self.ended = !matches!(read, Ok(Some(_)));
        read.transpose()
    }
}

impl Snapshot {
    /// The same snapshot, whose stores are opened in `directory`: made when it is needed, and removed with the snapshot.
    #[must_use]
    pub fn with_working_directory(mut self, directory: PathBuf) -> Self {
        self.scratch = Some(Backend::new(&BackendSettings::HashMap, directory));
        self
    }

    /// What a piece is called in messages: its file, or the directory of its store.
    pub(super) fn path_of_piece(&self, state: &StateRef<'_>, piece: Piece<'_>) -> PathBuf {
        match piece {
            Piece::File(file) => self.path_of(file),
            Piece::Store(store, _) => {
                let relative = crate::checkpoint::layout::store_directory(&state.operator.uid, store.subtask);
                self.directory().map_or_else(|| PathBuf::from(&relative), |dir| dir.join(&relative))
            }
        }
    }

    /// Opens a piece of a state: the rows of `range`, and possibly others.
    pub(super) fn stream(&self, state: &StateRef<'_>, piece: Piece<'_>, range: Option<KeyGroupRange>) -> Result<PieceRows, InspectError> {
        let path = self.path_of_piece(state, piece);
        let batches = match (piece, state.state) {
            (Piece::File(file), _) => {
                let content = self.checkpoint.content(file)?;
                let batches = parquet_file::stream(content, range);
                Source::File(batches.map_err(|message| RestoreError::AlteredFile { path: path.clone(), message })?)
            }
            (Piece::Store(store, stored), StateEntry::Keyed(entry)) => {
                Source::Store(self.open_store(&path, store, stored.saved(&entry.descriptor, false), range)?)
            }
            (Piece::Store(..), StateEntry::Operator(_)) => {
                return Err(InspectError::Asked { message: format!("{} is no keyed state", state.address()), next: None });
            }
        };
        Ok(PieceRows { path, columns: state.columns(), batches, ended: false })
    }

    fn open_store(
        &self,
        path: &Path,
        store: &StoreEntry,
        state: SavedState,
        range: Option<KeyGroupRange>,
    ) -> Result<Box<dyn Iterator<Item = Result<RecordBatch, StateError>> + Send>, InspectError> {
        let Some(scratch) = &self.scratch else {
            let next = "take a savepoint of the job (`flink savepoint`): savepoints are open files".to_owned();
            return Err(InspectError::Asked { message: "there is no directory to open the store in".to_owned(), next: Some(next) });
        };
        // RocksDB checks every block that it reads; what it believes without looking is compared first.
        for file in &store.files {
            if file.state.is_some() { self.checkpoint.verify_length(&file.file)? } else { self.checkpoint.verify(&file.file)? }
        }
        let files = self.checkpoint.store_files(store, vec![state.clone()]);
        let all = KeyGroupRange::of_subtask(MaxParallelism::MAX, Parallelism::ONE, 0);
        let rows = read_store(&files, &state, range.unwrap_or(all), scratch);
        Ok(Box::new(rows.map_err(|e| RestoreError::AlteredFile { path: path.to_owned(), message: e.to_string() })?))
    }
}
