//! The keyed state of one operator in one subtask: its registered states, snapshots of them, and what was restored.

use super::{StateDescriptor, StateError};
use crate::types::{KeyGroupRange, MaxParallelism};
use arrow::array::RecordBatch;
use std::fmt;
use std::sync::Arc;

/// The keyed state of one operator in one subtask. Owned by the task; no locks.
#[derive(Debug)]
pub struct KeyedState {
    key_groups: KeyGroupRange,
    max_parallelism: MaxParallelism,
    restored: Vec<RestoredState>,
}

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
        Self { key_groups, max_parallelism, restored }
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

    /// The synchronous part of a snapshot.
    pub fn snapshot(&mut self) -> Result<KeyedSnapshot, StateError> {
        Ok(KeyedSnapshot::default())
    }
}
