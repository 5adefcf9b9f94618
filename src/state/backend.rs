//! The keyed state of one operator in one subtask: its registered states, snapshots of them, and what was restored.

use super::groups::{AccumulatorLayout, GroupLayout, GroupTable, group_descriptor};
use super::{Compatibility, StateDescriptor, StateError, compatibility};
use crate::types::{KeyGroupRange, MaxParallelism, Schema};
use arrow::array::RecordBatch;
use std::fmt;
use std::sync::Arc;

/// The keyed state of one operator in one subtask. Owned by the task; no locks.
#[derive(Debug)]
pub struct KeyedState {
    key_groups: KeyGroupRange,
    max_parallelism: MaxParallelism,
    restored: Vec<RestoredState>,
    states: Vec<RegisteredState>,
}

/// A state that an operator registered, by kind.
#[derive(Debug)]
enum RegisteredState {
    Groups(GroupTable),
}

impl RegisteredState {
    fn descriptor(&self) -> &Arc<StateDescriptor> {
        match self {
            Self::Groups(table) => table.descriptor(),
        }
    }

    fn snapshot(&mut self) -> StateSnapshot {
        match self {
            Self::Groups(table) => table.snapshot(),
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
        Self { key_groups, max_parallelism, restored, states: Vec::new() }
    }

    /// The key groups of this subtask.
    pub fn key_groups(&self) -> KeyGroupRange {
        self.key_groups
    }

    /// The number of all key groups.
    pub fn max_parallelism(&self) -> MaxParallelism {
        self.max_parallelism
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
            None => Err(StateError::Invariant("this operator has registered no such group table".to_owned())),
        }
    }

    /// What was restored for a state that is about to be registered.
    fn admit(&mut self, descriptor: &StateDescriptor) -> Result<Option<RestoredState>, StateError> {
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
        Ok(KeyedSnapshot { states: self.states.iter_mut().map(RegisteredState::snapshot).collect() })
    }
}
