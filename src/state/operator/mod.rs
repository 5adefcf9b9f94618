//! Operator state of functions: lists and broadcast maps that belong to a subtask and not to a key. They lie on the heap with every
//! backend, as in Flink.
//!
//! An operator registers its states in `open` and works on them through [`OperatorState`], which its task owns and snapshots, as it
//! does with [`super::KeyedState`]. A snapshot shares what there is; the first write after it copies that one state.

mod descriptor;
mod restore;
mod snapshot;
#[cfg(test)]
mod tests;

pub use descriptor::{IN_FLIGHT, OperatorStateDescriptor, OperatorStateKind};
pub use restore::RestoredOperatorState;
pub use snapshot::OperatorStateSnapshot;

use super::{Compatibility, StateError, operator_compatibility};
use crate::types::{Datum, Parallelism};
use std::collections::BTreeMap;
use std::collections::btree_map;
use std::sync::Arc;

/// The operator state of one operator in one subtask. Owned by the task; no locks.
#[derive(Debug)]
pub struct OperatorState {
    subtask: usize,
    parallelism: Parallelism,
    restored: Vec<RestoredOperatorState>,
    states: Vec<Registered>,
}

#[derive(Debug)]
struct Registered {
    descriptor: Arc<OperatorStateDescriptor>,
    content: Content,
}

/// What a state holds. Shared with the snapshots that are still being written.
#[derive(Debug, Clone)]
enum Content {
    List(Arc<Vec<Datum>>),
    Map(Arc<BTreeMap<Datum, Datum>>),
}

/// A list state of an [`OperatorState`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OperatorListHandle(usize);

/// A broadcast state of an [`OperatorState`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BroadcastHandle(usize);

impl Default for OperatorListHandle {
    /// The handle of no state: using it is an error.
    fn default() -> Self {
        Self(usize::MAX)
    }
}

impl Default for BroadcastHandle {
    /// The handle of no state: using it is an error.
    fn default() -> Self {
        Self(usize::MAX)
    }
}

/// The entries of a broadcast state, sorted by key.
pub type BroadcastEntries<'a> = btree_map::Iter<'a, Datum, Datum>;

#[cold]
fn unregistered(what: &str) -> StateError {
    StateError::Invariant(format!("this operator has registered no such {what}"))
}

impl OperatorState {
    /// The state of subtask `subtask` of `parallelism`, with what was restored for the operator (empty on a fresh start).
    pub const fn new(subtask: usize, parallelism: Parallelism, restored: Vec<RestoredOperatorState>) -> Self {
        Self { subtask, parallelism, restored, states: Vec::new() }
    }

    /// The number of this subtask, and how many there are.
    pub const fn place(&self) -> (usize, Parallelism) {
        (self.subtask, self.parallelism)
    }

    /// The states that were registered.
    pub fn descriptors(&self) -> Vec<OperatorStateDescriptor> {
        self.states.iter().map(|state| OperatorStateDescriptor::clone(&state.descriptor)).collect()
    }

    /// Registers a list state and fills it with this subtask's part of what was restored for it. Errors if the name is taken, or if
    /// what was restored does not fit (see [`operator_compatibility`]).
    pub fn register_list(&mut self, descriptor: OperatorStateDescriptor) -> Result<OperatorListHandle, StateError> {
        if descriptor.kind == OperatorStateKind::Broadcast {
            return Err(StateError::Invariant(format!("state {} is no list", descriptor.name)));
        }
        let mut list = Vec::new();
        if let Some(restored) = self.admit(&descriptor)? {
            restored.own_rows(&descriptor, self.subtask, self.parallelism, |_, value| {
                list.push(value);
                Ok(())
            })?;
        }
        self.states.push(Registered { descriptor: Arc::new(descriptor), content: Content::List(Arc::new(list)) });
        Ok(OperatorListHandle(self.states.len() - 1))
    }

    /// Registers a broadcast state and fills it with a copy of those that were saved. Errors as [`Self::register_list`].
    pub fn register_broadcast(&mut self, descriptor: OperatorStateDescriptor) -> Result<BroadcastHandle, StateError> {
        if descriptor.kind != OperatorStateKind::Broadcast {
            return Err(StateError::Invariant(format!("state {} is no broadcast state", descriptor.name)));
        }
        let mut map = BTreeMap::new();
        if let Some(restored) = self.admit(&descriptor)? {
            restored.own_rows(&descriptor, self.subtask, self.parallelism, |key, value| match map.insert(key, value) {
                None => Ok(()),
                Some(_) => Err("a key was saved twice in one copy".to_owned()),
            })?;
        }
        self.states.push(Registered { descriptor: Arc::new(descriptor), content: Content::Map(Arc::new(map)) });
        Ok(BroadcastHandle(self.states.len() - 1))
    }

    /// What was restored for a state that is about to be registered.
    fn admit(&mut self, descriptor: &OperatorStateDescriptor) -> Result<Option<RestoredOperatorState>, StateError> {
        let name = &descriptor.name;
        if self.states.iter().any(|state| state.descriptor.name == *name) {
            return Err(StateError::Invariant(format!("operator state {name} is registered twice")));
        }
        if name.starts_with(IN_FLIGHT) {
            let message = "rows on their way are saved under names that begin so: choose another one".to_owned();
            return Err(StateError::Function { state: name.clone(), message });
        }
        let Some(at) = self.restored.iter().position(|restored| restored.descriptor.name == *name) else { return Ok(None) };
        let restored = self.restored.swap_remove(at);
        match operator_compatibility(&restored.descriptor, descriptor) {
            Compatibility::Same | Compatibility::Evolves(_) => Ok(Some(restored)),
            Compatibility::Incompatible(message) => Err(StateError::Incompatible { state: name.clone(), message }),
        }
    }

    fn elements_mut(&mut self, state: OperatorListHandle) -> Result<&mut Arc<Vec<Datum>>, StateError> {
        match self.states.get_mut(state.0) {
            Some(Registered { content: Content::List(list), .. }) => Ok(list),
            _ => Err(unregistered("operator list state")),
        }
    }

    fn map(&self, state: BroadcastHandle) -> Result<&BTreeMap<Datum, Datum>, StateError> {
        match self.states.get(state.0) {
            Some(Registered { content: Content::Map(map), .. }) => Ok(map),
            _ => Err(unregistered("broadcast state")),
        }
    }

    fn map_mut(&mut self, state: BroadcastHandle) -> Result<&mut BTreeMap<Datum, Datum>, StateError> {
        match self.states.get_mut(state.0) {
            Some(Registered { content: Content::Map(map), .. }) => Ok(Arc::make_mut(map)),
            _ => Err(unregistered("broadcast state")),
        }
    }

    fn not_null(&self, state: usize, value: &Datum, what: &str) -> Result<(), StateError> {
        let name = || self.states.get(state).map(|state| state.descriptor.name.clone()).unwrap_or_default();
        if value.is_null() {
            return Err(StateError::Function { state: name(), message: format!("{what} takes no NULL") });
        }
        Ok(())
    }

    /// The elements of a list state.
    pub fn list(&self, state: OperatorListHandle) -> Result<&[Datum], StateError> {
        match self.states.get(state.0) {
            Some(Registered { content: Content::List(list), .. }) => Ok(list),
            _ => Err(unregistered("operator list state")),
        }
    }

    /// Adds an element at the end of a list state. Errors on NULL.
    pub fn list_add(&mut self, state: OperatorListHandle, value: Datum) -> Result<(), StateError> {
        self.not_null(state.0, &value, "a list")?;
        Arc::make_mut(self.elements_mut(state)?).push(value);
        Ok(())
    }

    /// Replaces the elements of a list state. Errors on NULL among them.
    pub fn list_set(&mut self, state: OperatorListHandle, values: Vec<Datum>) -> Result<(), StateError> {
        values.iter().try_for_each(|value| self.not_null(state.0, value, "a list"))?;
        *self.elements_mut(state)? = Arc::new(values);
        Ok(())
    }

    /// The value of an entry of a broadcast state, which may be NULL.
    pub fn broadcast_get(&self, state: BroadcastHandle, key: &Datum) -> Result<Option<&Datum>, StateError> {
        Ok(self.map(state)?.get(key))
    }

    /// The entries of a broadcast state, sorted by key.
    pub fn broadcast_entries(&self, state: BroadcastHandle) -> Result<BroadcastEntries<'_>, StateError> {
        Ok(self.map(state)?.iter())
    }

    /// Sets the value of an entry of a broadcast state. Errors on a NULL key.
    pub fn broadcast_put(&mut self, state: BroadcastHandle, key: Datum, value: Datum) -> Result<(), StateError> {
        self.not_null(state.0, &key, "the key of a broadcast state")?;
        self.map_mut(state)?.insert(key, value);
        Ok(())
    }

    /// Removes an entry of a broadcast state, if there is one.
    pub fn broadcast_remove(&mut self, state: BroadcastHandle, key: &Datum) -> Result<(), StateError> {
        self.map_mut(state)?.remove(key);
        Ok(())
    }

    /// Removes all entries of a broadcast state.
    pub fn broadcast_clear(&mut self, state: BroadcastHandle) -> Result<(), StateError> {
        self.map_mut(state)?.clear();
        Ok(())
    }

    /// The synchronous part of a snapshot: copies nothing.
    pub fn snapshot(&self) -> Vec<OperatorStateSnapshot> {
        let snapshot = |state: &Registered| OperatorStateSnapshot::new(&state.descriptor, self.subtask, state.content.clone());
        self.states.iter().map(snapshot).collect()
    }
}
