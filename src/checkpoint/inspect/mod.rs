//! Looking into checkpoints and savepoints, and making ones by hand: what is in them, their rows, what two of them differ in, whether
//! one is sound; sealing one that another tool has edited, building one from files, finding what no checkpoint needs.
//!
//! Everything here goes by [`StateDescriptor::columns`] and knows nothing of a state's kind but which of its columns tell rows apart.
//! Rows are streamed, from Parquet files and from stores alike: at most one key group of a state is held at a time.

mod address;
mod bootstrap;
mod compare;
mod defects;
mod diff;
mod encode;
mod groups;
mod keys;
mod live;
#[cfg(test)]
mod operator_tests;
mod orphans;
mod pieces;
mod rows;
mod seal;
mod selection;
#[cfg(test)]
mod tests;
mod verify;

pub use bootstrap::{Bootstrap, Bootstrapped, Import, ImportFormat, ImportedStates, bootstrap};
pub use defects::{Defect, Defects};
pub use diff::{RowChange, SnapshotDiff, StateChange, StateDiff, diff};
pub use encode::{RowEncoder, RowFormat};
pub use live::RowsWanted;
pub use orphans::{Orphan, OrphanKind, Orphans, orphans};
pub use rows::Rows;
pub use seal::{Sealed, seal};
pub use selection::{Condition, Selection};
pub use verify::{Verified, verify};

use super::error::{CheckpointError, RestoreError};
use super::manifest::{FileEntry, KeyedStateEntry, Manifest, OperatorEntry, OperatorStateEntry};
use super::open::{OpenCheckpoint, open_unchecked};
use super::{FoundCheckpoint, discovery};
use crate::state::{Backend, OperatorStateKind, StateDescriptor, StateKind};
use crate::storage::Storage;
use crate::types::{ByteSize, Schema};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The column that says to which key group a row belongs.
const KEY_GROUP: &str = "key_group";

/// Looking into a snapshot, or making one, failed.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// The snapshot cannot be read.
    #[error("{0}")]
    Snapshot(#[from] RestoreError),
    /// Rows of a snapshot contradict what its metadata says, or are not what such rows must be.
    #[error("{0}")]
    Unsound(Defects),
    /// What was asked for is not there, or cannot be asked for in this way.
    #[error("{message}")]
    Asked {
        /// What is wrong.
        message: String,
        /// What would be right.
        next: Option<String>,
    },
    /// A file that rows were to be taken from cannot be used.
    #[error("{}: {message}", path.display())]
    Input {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the row where it is known.
        message: String,
    },
    /// The snapshot could not be written.
    #[error("{0}")]
    Write(#[from] CheckpointError),
    /// A job that runs could not answer.
    #[error("{0}")]
    Unanswered(String),
    /// The disk failed.
    #[error("{context}: {source}")]
    Io {
        /// What was being done.
        context: String,
        /// Why it failed.
        source: io::Error,
    },
}

impl InspectError {
    fn asked(message: impl Into<String>, next: impl Into<String>) -> Self {
        Self::Asked { message: message.into(), next: Some(next.into()) }
    }

    fn io(context: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let context = context.into();
        move |source| Self::Io { context, source }
    }
}

/// The form in which a state's rows lie in a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Parquet files with the columns of the state: savepoints, and checkpoints of the backend `hashmap`.
    Columns,
    /// Files of an embedded store: its backend reads them.
    Native,
}

/// A checkpoint or savepoint that is being looked into. Its files were not checked: [`verify`] does that.
#[derive(Debug, Clone)]
pub struct Snapshot {
    checkpoint: OpenCheckpoint,
    /// Where stores are opened.
    scratch: Option<Backend>,
}

/// One state of a snapshot.
#[derive(Debug, Clone, Copy)]
pub struct StateRef<'a> {
    /// The operator that it belongs to.
    pub operator: &'a OperatorEntry,
    state: StateEntry<'a>,
}

#[derive(Debug, Clone, Copy)]
enum StateEntry<'a> {
    Keyed(&'a KeyedStateEntry),
    Operator(&'a OperatorStateEntry),
}

impl Snapshot {
    /// Opens what a person named: a directory or its `_metadata`, with or without `file:`. Reads `_metadata` alone.
    pub fn open(storage: Arc<dyn Storage>, text: &str) -> Result<Self, RestoreError> {
        Ok(Self { checkpoint: open_unchecked(storage, text)?, scratch: None })
    }

    /// One that was opened already.
    pub fn of(checkpoint: OpenCheckpoint) -> Self {
        Self { checkpoint, scratch: None }
    }

    /// What it consists of.
    pub fn manifest(&self) -> &Manifest {
        self.checkpoint.manifest()
    }

    /// Its directory; `None` in memory.
    pub fn directory(&self) -> Option<&Path> {
        self.checkpoint.directory()
    }

    /// Every state, in the order of `_metadata`: of each operator its keyed states, then its operator states.
    pub fn states(&self) -> Vec<StateRef<'_>> {
        let mut states = Vec::new();
        for operator in &self.manifest().operators {
            states.extend(operator.keyed_states.iter().map(|s| StateRef { operator, state: StateEntry::Keyed(s) }));
            states.extend(operator.operator_states.iter().map(|s| StateRef { operator, state: StateEntry::Operator(s) }));
        }
        states
    }

    /// How it is called in messages.
    fn name(&self) -> String {
        self.directory().map_or_else(|| "the snapshot".to_owned(), |dir| dir.display().to_string())
    }

    fn path_of(&self, file: &FileEntry) -> PathBuf {
        self.checkpoint.path_of(file)
    }
}

impl<'a> StateRef<'a> {
    /// What it is called within its operator.
    pub fn name(&self) -> &'a str {
        match self.state {
            StateEntry::Keyed(state) => &state.descriptor.name,
            StateEntry::Operator(state) => &state.name,
        }
    }

    /// What it is called on the command line: `OPERATOR/STATE`.
    pub fn address(&self) -> String {
        let (uid, name) = (&self.operator.uid, self.name());
        let hidden = self.descriptor().is_none() && self.operator.keyed_states.iter().any(|s| s.descriptor.name == name);
        if hidden { format!("{uid}/operator/{name}") } else { format!("{uid}/{name}") }
    }

    /// `value`, `map`, …; of operator state `operator-list`, `union-list`, `broadcast`, or `operator` for that of sources and sinks.
    pub fn kind(&self) -> &'static str {
        match self.descriptor().map(|d| d.kind) {
            Some(StateKind::Value) => "value",
            Some(StateKind::List) => "list",
            Some(StateKind::Map) => "map",
            Some(StateKind::Reducing) => "reducing",
            Some(StateKind::Aggregating) => "aggregating",
            Some(StateKind::Groups) => "groups",
            Some(StateKind::Timers) => "timers",
            None => self.registered().map_or("operator", OperatorStateKind::name),
        }
    }

    /// What becomes of it at another parallelism, if it is an operator state that a function registered.
    pub fn registered(&self) -> Option<OperatorStateKind> {
        match self.state {
            StateEntry::Keyed(_) => None,
            StateEntry::Operator(state) => state.kind,
        }
    }

    /// What it is, if it is keyed.
    pub fn descriptor(&self) -> Option<&'a StateDescriptor> {
        match self.state {
            StateEntry::Keyed(state) => Some(&state.descriptor),
            StateEntry::Operator(_) => None,
        }
    }

    /// All columns under which it is stored.
    pub fn columns(&self) -> Schema {
        match self.state {
            StateEntry::Keyed(state) => state.descriptor.columns(),
            StateEntry::Operator(state) => state.columns.clone(),
        }
    }

    /// Its files.
    pub fn files(&self) -> &'a [FileEntry] {
        match self.state {
            StateEntry::Keyed(state) => &state.files,
            StateEntry::Operator(state) => &state.files,
        }
    }

    /// Number of rows, as far as it is recorded.
    pub fn rows(&self) -> u64 {
        match self.state {
            StateEntry::Keyed(state) => self.operator.rows_of(state),
            StateEntry::Operator(state) => state.rows(),
        }
    }

    /// Bytes of its files, as far as their lengths are recorded.
    pub fn bytes(&self) -> ByteSize {
        match self.state {
            StateEntry::Keyed(state) => self.operator.bytes_of(state),
            StateEntry::Operator(state) => state.bytes(),
        }
    }

    /// The form of its files.
    pub fn form(&self) -> Form {
        let columns = |file: &FileEntry| Path::new(&file.path).extension().is_some_and(|e| e == "parquet");
        let stored = matches!(self.state, StateEntry::Keyed(state) if self.operator.is_stored(state));
        if !stored && self.files().iter().all(columns) { Form::Columns } else { Form::Native }
    }

    /// True if no two rows of it may be the same in these columns.
    fn tells_rows_apart(&self) -> bool {
        self.descriptor().is_some() || self.registered().is_some()
    }

    /// The names of the columns that tell its rows apart; all of them for operator state of sources and sinks, which may hold a row twice.
    fn identity(&self) -> Vec<String> {
        let names = |columns: &Schema| columns.columns.iter().map(|c| c.name.clone()).collect::<Vec<_>>();
        let Some(descriptor) = self.descriptor() else {
            // `subtask`, and `list_index` or `map_key`
            let told_apart = if self.registered().is_some() { 2 } else { usize::MAX };
            return names(&self.columns()).into_iter().take(told_apart).collect();
        };
        let mut identity = names(&descriptor.key);
        let value = names(&descriptor.value);
        match descriptor.kind {
            StateKind::Value | StateKind::Reducing | StateKind::Aggregating | StateKind::Groups => {}
            // `map_key`, `list_index`
            StateKind::Map | StateKind::List => identity.extend(value.into_iter().take(1)),
            StateKind::Timers => identity.extend(value),
        }
        identity
    }
}

/// The complete checkpoints and savepoints in these directories (`savepoint-*`, `chk-*`, `<job id>/chk-*`), oldest first, and what
/// cannot be read. Missing directories are skipped.
pub fn snapshots_in(storage: &dyn Storage, directories: &[PathBuf]) -> io::Result<(Vec<FoundCheckpoint>, Vec<RestoreError>)> {
    let (mut found, mut unreadable) = (Vec::new(), Vec::new());
    for path in discovery::candidates(storage, directories)? {
        match discovery::read(storage, path) {
            Ok(checkpoint) => found.push(checkpoint),
            Err(error) => unreadable.push(error),
        }
    }
    found.sort_by(|a, b| (a.time, a.id, &a.path).cmp(&(b.time, b.id, &b.path)));
    Ok((found, unreadable))
}
