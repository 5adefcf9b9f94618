//! Keys of the store that are added to without being read: what functions add lies in memory by itself, and is put together with what the
//! store has once they ask for it.
//!
//! The first question of a batch brings up all keys of that batch at once. A function that asked will ask again: for some batches from then
//! on keys are looked for before the function is called, as they are for one that always asks.

use super::KeyRef;
use super::keys::KeyTable;
use super::merge::KeyRows;
use super::spill::Beside;
use crate::state::StateError;
use crate::state::backend::RegisteredState;
use crate::state::groups::Extent;
use std::sync::Arc;

/// What the table of keys knows of them.
#[derive(Debug)]
pub(in crate::state) struct Unread {
    rows: Arc<KeyRows>,
    /// Ends with each barrier; from 1 on.
    epoch: u32,
    /// Memory may have keys of which it has not all.
    some: bool,
    /// Those of this batch.
    batch: Vec<KeyRef>,
    /// For so many batches more keys are read beforehand.
    read: u32,
    /// For so many when a function asks the next time.
    patience: u32,
    /// The function has asked in this batch.
    asked: bool,
}

impl Default for Unread {
    fn default() -> Self {
        Self { rows: Arc::default(), epoch: 1, some: false, batch: Vec::new(), read: 0, patience: LEAST, asked: false }
    }
}

/// After a question so many batches at least are read beforehand, and at most.
const LEAST: u32 = 16;
const MOST: u32 = 1_024;

impl Unread {
    pub(super) fn rows(&self) -> Arc<KeyRows> {
        Arc::clone(&self.rows)
    }

    pub(super) fn registered(&self, states: &[RegisteredState]) {
        self.rows.set(states);
    }

    pub(super) fn epoch(&self) -> u32 {
        self.epoch
    }

    /// What memory has now was handed to a barrier.
    pub(super) fn next_epoch(&mut self) {
        self.epoch += 1;
        self.batch.clear();
    }

    pub(super) fn forget_batch(&mut self) {
        self.batch.clear();
    }

    /// A batch begins. True if its keys need not be read.
    pub(super) fn next_batch(&mut self) -> bool {
        if self.read > 0 {
            self.read -= 1;
            return false;
        }
        if !std::mem::take(&mut self.asked) {
            self.patience = LEAST;
        }
        true
    }

    fn ask(&mut self) {
        (self.asked, self.read) = (true, self.patience);
        self.patience = (2 * self.patience).min(MOST);
    }
}

impl KeyTable {
    fn extent(&self, key: KeyRef) -> Extent {
        self.held(key).extent(self.unread.epoch)
    }

    /// These are the keys of a batch.
    pub(super) fn located(&mut self, found: &[KeyRef], unread: bool, states: &mut [RegisteredState]) -> Result<(), StateError> {
        self.unread.some |= unread;
        self.unread.batch.clear();
        if !self.unread.some {
            return Ok(());
        }
        let partial = found.iter().copied().filter(|key| self.extent(*key) != Extent::Whole).collect();
        if unread {
            self.unread.batch = partial;
            return Ok(());
        }
        self.complete(partial, states)
    }

    /// True if [`Self::whole`] and [`Self::adding`] may have something to do.
    #[inline]
    pub(in crate::state) fn has_unread(&self) -> bool {
        self.unread.some
    }

    /// True if the store may have more of a key than memory.
    pub(super) fn is_unread(&self, key: KeyRef) -> bool {
        self.extent(key) != Extent::Whole
    }

    /// Somebody wants to know what a state holds for a key, or changes it other than by adding to it.
    pub(super) fn whole(&mut self, key: KeyRef, states: &mut [RegisteredState]) -> Result<(), StateError> {
        if self.extent(key) == Extent::Whole {
            return Ok(());
        }
        self.unread.ask();
        let mut batch = std::mem::take(&mut self.unread.batch);
        batch.push(key);
        self.complete(batch, states)
    }

    /// Something is about to be added to a key.
    pub(super) fn adding(&mut self, key: KeyRef, states: &mut [RegisteredState]) {
        if self.extent(key) == Extent::Spent {
            let lifted = Beside::new(states, self.counters(false)).lift(key, &mut Vec::new());
            let count = self.held(key).count().saturating_sub(lifted as u64);
            let again = self.groups.is_flushing();
            let held = super::held::Held::added(self.unread.epoch, count, again);
            self.groups.begin_again(key, held.0);
        }
    }

    /// Puts what memory has of these keys together with what the store has.
    pub(super) fn complete(&mut self, mut keys: Vec<KeyRef>, states: &mut [RegisteredState]) -> Result<(), StateError> {
        if !self.unread.some {
            return Ok(());
        }
        keys.retain(|key| self.extent(*key) != Extent::Whole);
        keys.sort_unstable_by_key(|key| (key.table, key.row));
        keys.dedup();
        if keys.is_empty() {
            return Ok(());
        }
        if keys.iter().any(|key| self.extent(*key) == Extent::Spent || self.held(*key).is_again()) {
            // Part of it may be on its way to the store.
            self.groups.settle()?;
        }
        self.groups.complete(&keys, &mut Beside::new(states, self.counters(false)))?;
        let nothing = keys.into_iter().filter(|key| self.held(*key).count() == 0).collect::<Vec<_>>();
        self.idle.extend(nothing);
        Ok(())
    }
}
