//! The keyed state of one operator in one subtask: its registered states, snapshots of them, and what was restored.

use super::groups::{AccumulatorLayout, GroupLayout, GroupTable, group_descriptor};
use super::keyed::{Cells, Fold, KeyTable, LastEntries, Lists, Maps, Table, Timers};
use super::ttl::Times;
use super::{Compatibility, StateDescriptor, StateError, compatibility};
use crate::types::{Datum, EventTime, KeyGroupRange, MaxParallelism, Schema, WallTime};
use arrow::array::RecordBatch;
use std::fmt;
use std::sync::Arc;

/// The keyed state of one operator in one subtask. Owned by the task; no locks.
#[derive(Debug)]
pub struct KeyedState {
    pub(super) key_groups: KeyGroupRange,
    pub(super) max_parallelism: MaxParallelism,
    restored: Vec<RestoredState>,
    pub(super) states: Vec<RegisteredState>,
    /// The keys of all states but group tables, once one is registered.
    pub(super) keys: Option<KeyTable>,
    pub(super) times: Times,
    /// What was read of a state at last after it had expired: it may be seen once more.
    pub(super) last_value: Datum,
    pub(super) last_elements: Vec<Datum>,
    pub(super) last_entries: LastEntries,
}

/// A state that an operator registered, by kind.
#[derive(Debug)]
pub(super) enum RegisteredState {
    Groups(GroupTable),
    /// Value, reducing and aggregating state.
    Cells((Table<Cells>, Fold)),
    Lists(Table<Lists>),
    Maps(Table<Maps>),
    Timers(Timers),
}

impl RegisteredState {
    fn descriptor(&self) -> &Arc<StateDescriptor> {
        match self {
            Self::Groups(table) => table.descriptor(),
            Self::Cells((table, _)) => &table.descriptor,
            Self::Lists(table) => &table.descriptor,
            Self::Maps(table) => &table.descriptor,
            Self::Timers(timers) => timers.descriptor(),
        }
    }
}

/// A registered group table of a [`KeyedState`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupsHandle(usize);

/// One state as it was saved: the rows of this subtask's key groups (and possibly others, which are skipped).
#[derive(Debug, Clone)]
pub struct RestoredState {
    /// What was saved.
    pub descriptor: Arc<StateDescriptor>,
    /// Its rows, with the columns of [`StateDescriptor::columns`].
    pub batches: Vec<RecordBatch>,
}

/// All states of one operator in one subtask at one barrier. Cheap to make; sent to where it is written.
#[derive(Debug, Default)]
pub struct KeyedSnapshot {
    /// One for each registered state.
    pub states: Vec<StateSnapshot>,
}

/// One state at one barrier.
pub struct StateSnapshot {
    /// What it is.
    pub descriptor: Arc<StateDescriptor>,
    /// Its rows with the columns of [`StateDescriptor::columns`], sorted by key group, made as they are asked for.
    pub batches: Box<dyn Iterator<Item = Result<RecordBatch, StateError>> + Send>,
}

impl fmt::Debug for StateSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StateSnapshot").field("descriptor", &self.descriptor).finish_non_exhaustive()
    }
}

impl KeyedState {
    /// The state of a subtask that owns `key_groups`, with what was restored for the operator (empty on a fresh start).
    pub fn new(key_groups: KeyGroupRange, max_parallelism: MaxParallelism, restored: Vec<RestoredState>) -> Self {
        Self {
            key_groups,
            max_parallelism,
            restored,
            states: Vec::new(),
            keys: None,
            times: Times { now: WallTime(0), watermark: EventTime::MIN },
            last_value: Datum::Null,
            last_elements: Vec::new(),
            last_entries: LastEntries::default(),
        }
    }

    /// The key groups of this subtask.
    pub fn key_groups(&self) -> KeyGroupRange {
        self.key_groups
    }

    /// The number of all key groups.
    pub fn max_parallelism(&self) -> MaxParallelism {
        self.max_parallelism
    }

    /// The states that were registered.
    pub fn descriptors(&self) -> Vec<StateDescriptor> {
        self.states.iter().map(|state| StateDescriptor::clone(state.descriptor())).collect()
    }

    /// Takes what was restored for the state called `name`.
    pub fn take_restored(&mut self, name: &str) -> Option<RestoredState> {
        let at = self.restored.iter().position(|r| r.descriptor.name == name)?;
        Some(self.restored.swap_remove(at))
    }

    /// Registers a group table called `name` with these key columns and accumulators, and fills it with what was restored for
    /// it. Errors if the name is taken, or if what was restored does not fit (see [`compatibility`]).
    pub fn register_groups(&mut self, name: &str, key: &Schema, accumulators: Vec<AccumulatorLayout>) -> Result<GroupsHandle, StateError> {
        let descriptor = Arc::new(group_descriptor(name, key, &accumulators));
        let layout = Arc::new(GroupLayout::new(key, accumulators)?);
        let restored = self.admit(&descriptor)?;
        let mut table = GroupTable::new(descriptor, layout, self.key_groups, self.max_parallelism)?;
        if let Some(restored) = restored {
            table.restore(&restored)?;
        }
        self.states.push(RegisteredState::Groups(table));
        Ok(GroupsHandle(self.states.len() - 1))
    }

    /// The group table that was registered under `handle`. Errors on a handle of another operator.
    pub fn groups(&mut self, handle: GroupsHandle) -> Result<&mut GroupTable, StateError> {
        match self.states.get_mut(handle.0) {
            Some(RegisteredState::Groups(table)) => Ok(table),
            _ => Err(StateError::Invariant("this operator has registered no such group table".to_owned())),
        }
    }

    /// What was restored for a state that is about to be registered.
    pub(super) fn admit(&mut self, descriptor: &StateDescriptor) -> Result<Option<RestoredState>, StateError> {
        let name = &descriptor.name;
        if self.states.iter().any(|state| state.descriptor().name == *name) {
            return Err(StateError::Invariant(format!("state {name} is registered twice")));
        }
        let Some(restored) = self.take_restored(name) else { return Ok(None) };
        match compatibility(&restored.descriptor, descriptor) {
            Compatibility::Same | Compatibility::Evolves(_) => Ok(Some(restored)),
            Compatibility::Incompatible(message) => Err(StateError::Incompatible { state: name.clone(), message }),
        }
    }

    /// The synchronous part of a snapshot: takes microseconds, copies no state. What is returned may be read by another thread
    /// while the operator goes on; what it overwrites meanwhile is copied first, one key group at a time.
    pub fn snapshot(&mut self) -> Result<KeyedSnapshot, StateError> {
        let frozen = self.keys.as_mut().map(KeyTable::freeze).unwrap_or_default();
        let snapshot = |state: &mut RegisteredState| match state {
            RegisteredState::Groups(table) => table.snapshot(),
            RegisteredState::Cells((table, _)) => table.snapshot(frozen.clone()),
            RegisteredState::Lists(table) => table.snapshot(frozen.clone()),
            RegisteredState::Maps(table) => table.snapshot(frozen.clone()),
            RegisteredState::Timers(timers) => timers.snapshot(frozen.clone()),
        };
        Ok(KeyedSnapshot { states: self.states.iter_mut().map(snapshot).collect() })
    }
}
