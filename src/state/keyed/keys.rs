//! The keys of an operator in one subtask: a group table without accumulators, and how many states and timers each key has.

use super::held::{Counters, Held};
use super::spill::Beside;
use super::unread::Unread;
use super::{KeyRef, TimeDomain};
use crate::state::backend::RegisteredState;
use crate::state::groups::{Extent, Rows, StoreKey, key_columns};
use crate::state::rocksdb::{Charge, Flush, FlushPart, KEYS, Store};
use crate::state::{
    AccumulatorField, AccumulatorLayout, FieldSlot, GroupLayout, GroupTable, StateDescriptor, StateError, Storage, canonical_key,
    group_descriptor,
};
use crate::types::{Datum, DatumColumn, KeyGroup, KeyGroupRange, LogicalType, MaxParallelism, RowBuilder, Schema, TypeKind, hash_keys};
use arrow::array::ArrayRef;
use std::sync::Arc;

/// See the module.
#[derive(Debug)]
pub(in crate::state) struct KeyTable {
    pub(super) groups: GroupTable,
    schema: Schema,
    /// The word of a key's hash, by which it is found again to be released.
    hash: usize,
    /// The word that counts the states and timers that hold something for a key.
    held: usize,
    /// Keys that may hold nothing, to be released before the next look-up.
    pub(super) idle: Vec<KeyRef>,
    /// What is added to keys that nobody has read.
    pub(super) unread: Unread,
}

/// Where a walk over all keys is. Keys that are made on the way may be met or not.
#[derive(Debug, Default)]
pub struct KeyWalk {
    /// The position of the next key group.
    next: usize,
    /// Keys of the present one.
    waiting: Vec<StoreKey>,
}

/// Keys that a walk brings up at once.
const WALKED_AT_ONCE: usize = 1_024;

/// How the keys with these columns lie in memory and in the store.
pub(super) fn key_layout(key: &Schema) -> Result<(StateDescriptor, GroupLayout), StateError> {
    let hash = AccumulatorField { name: "hash", data_type: LogicalType::not_null(TypeKind::BigInt), storage: Storage::Fixed };
    let accumulators = vec![AccumulatorLayout { name: "hash".to_owned(), fields: vec![hash] }];
    let descriptor = group_descriptor(KEYS, key, &accumulators);
    Ok((descriptor, GroupLayout::new(key, accumulators)?))
}

impl KeyTable {
    /// No keys. `key`: the key columns.
    pub(in crate::state) fn new(key: &Schema, key_groups: KeyGroupRange, max: MaxParallelism) -> Result<Self, StateError> {
        let (descriptor, layout) = key_layout(key)?;
        let (descriptor, layout) = (Arc::new(descriptor), Arc::new(layout));
        let Some(FieldSlot::Word { word: hash, .. }) = layout.slot(0, 0) else {
            return Err(StateError::Invariant("a key has no word for its hash".to_owned()));
        };
        let held = layout.records();
        let groups = GroupTable::new(descriptor, layout, key_groups, max)?;
        Ok(Self { groups, schema: key.clone(), hash, held, idle: Vec::new(), unread: Unread::default() })
    }

    pub(in crate::state) fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Puts a store behind the keys, of which there is none yet.
    pub(in crate::state) fn spill_to(&mut self, store: Arc<Store>, charge: Charge) {
        store.merge(KEYS, self.unread.rows());
        self.groups.spill_to(store, charge, KEYS.to_owned(), true);
    }

    /// Another state was registered.
    pub(in crate::state) fn registered(&mut self, states: &[RegisteredState]) {
        self.unread.registered(states);
    }

    /// How counters are to be read. `unread`: keys that are not in memory need not be looked for.
    pub(super) fn counters(&self, unread: bool) -> Counters {
        Counters { word: self.held, epoch: self.unread.epoch(), unread }
    }

    pub(super) fn held(&self, key: KeyRef) -> Held {
        Held(self.groups.row(key)[self.held])
    }

    /// Finds or makes the key of each row. Keys that hold nothing any more are released first. `whole`: all that they hold comes into memory;
    /// else those that are not there need not be read before somebody wants to know what they hold: see [`Self::whole`].
    pub(in crate::state) fn locate(
        &mut self,
        keys: &[ArrayRef],
        hashes: &[u64],
        found: &mut Vec<KeyRef>,
        states: &mut [RegisteredState],
        whole: bool,
    ) -> Result<(), StateError> {
        let unread = !whole && self.unread.next_batch() && self.groups.is_spilled();
        self.release_idle();
        let before = self.groups.resident();
        let beside = &mut Beside::new(states, self.counters(unread));
        if keys.iter().any(|column| column.data_type().is_floating()) {
            let keys: Vec<ArrayRef> = keys.iter().map(canonical_key).collect();
            self.groups.locate_beside(&keys, hashes, found, beside)?;
        } else {
            self.groups.locate_beside(keys, hashes, found, beside)?;
        }
        if self.groups.resident() != before {
            self.note_new(found, hashes);
        }
        self.located(found, unread, states)
    }

    /// Gives keys that were not used for long to the store if there are too many in memory.
    pub(in crate::state) fn make_room(&mut self, states: &mut [RegisteredState]) -> Result<(), StateError> {
        self.release_idle();
        self.unread.forget_batch();
        self.groups.make_room_beside(&mut Beside::new(states, self.counters(false)))
    }

    /// Brings up the keys that have timers of `domain` up to `up_to`, some at a time. True if there may be more.
    pub(in crate::state) fn bring_up(
        &mut self,
        domain: TimeDomain,
        up_to: i64,
        states: &mut [RegisteredState],
    ) -> Result<bool, StateError> {
        if self.next_reminder(domain).is_none_or(|next| next > up_to) {
            return Ok(false);
        }
        let (mut found, mut hashes) = (Vec::new(), Vec::new());
        self.groups.bring_up((domain as u8, up_to), &mut found, &mut hashes, &mut Beside::new(states, self.counters(false)))?;
        self.note_new(&found, &hashes);
        self.complete(found, states)?;
        Ok(true)
    }

    /// No timer of a key that is not in memory is due before this.
    pub(in crate::state) fn next_reminder(&self, domain: TimeDomain) -> Option<i64> {
        self.groups.next_reminder(domain as u8)
    }

    /// True if some keys are not in memory.
    pub(in crate::state) fn is_spilled(&self) -> bool {
        self.groups.is_spilled()
    }

    /// Waits until what changed before the last barrier is in the store.
    pub(in crate::state) fn settle(&mut self) -> Result<(), StateError> {
        self.groups.settle()
    }

    /// Freezes the keys that changed since the last barrier, with their states; returns what writes them. [`Self::flushing`] must follow.
    pub(in crate::state) fn freeze_changes(&mut self, states: &mut [RegisteredState]) -> Option<FlushPart> {
        self.release_idle();
        let changes = self.groups.freeze_changes(&mut Beside::new(states, self.counters(false)))?;
        self.unread.next_epoch();
        Some(changes)
    }

    /// The changes of the last barrier are being written by `flush`.
    pub(in crate::state) fn flushing(&mut self, flush: &Arc<Flush>) {
        self.groups.flushing(flush);
    }

    /// A new key has no hash yet, and holds nothing yet.
    fn note_new(&mut self, found: &[KeyRef], hashes: &[u64]) {
        for (key, hash) in found.iter().zip(hashes) {
            let row = self.groups.row_mut(*key);
            if row[self.hash] != *hash {
                row[self.hash] = *hash;
                self.idle.push(*key);
            }
        }
    }

    /// Finds or makes one key; releases none.
    pub(in crate::state) fn locate_one(&mut self, key: &[Datum], states: &mut [RegisteredState]) -> Result<KeyRef, StateError> {
        let mut row = RowBuilder::new(&self.schema);
        row.append(key)?;
        let batch = row.finish()?;
        let keys: Vec<ArrayRef> = batch.columns().iter().map(canonical_key).collect();
        let (mut hashes, mut found) = (Vec::new(), Vec::new());
        hash_keys(&keys, 1, &mut hashes)?;
        self.groups.locate_beside(&keys, &hashes, &mut found, &mut Beside::new(states, self.counters(false)))?;
        self.note_new(&found, &hashes);
        self.complete(found.clone(), states)?;
        found.first().copied().ok_or_else(|| StateError::Invariant("a key was not found after it was made".to_owned()))
    }

    /// The key columns of `keys`, in that order.
    pub(in crate::state) fn columns(&self, keys: &[KeyRef]) -> Result<Vec<ArrayRef>, StateError> {
        self.groups.keys(keys)
    }

    /// The values of one key.
    pub(in crate::state) fn values(&self, key: KeyRef) -> Result<Vec<Datum>, StateError> {
        let columns = self.columns(&[key])?;
        columns.iter().map(|column| Ok(DatumColumn::new(column)?.get(0))).collect()
    }

    /// The number of keys in memory.
    #[cfg(test)]
    pub(in crate::state) fn resident(&self) -> usize {
        self.groups.resident()
    }

    /// The number of keys, those in the store and those that hold nothing any more included.
    pub(in crate::state) fn len(&self) -> usize {
        self.groups.len()
    }

    /// The next keys of a walk that hold something. False if there are no more.
    pub(in crate::state) fn next(
        &mut self,
        walk: &mut KeyWalk,
        found: &mut Vec<KeyRef>,
        states: &mut [RegisteredState],
    ) -> Result<bool, StateError> {
        found.clear();
        while found.is_empty() {
            while walk.waiting.is_empty() {
                let Some(keys) = self.groups.keys_of(walk.next)? else { return Ok(false) };
                walk.next += 1;
                walk.waiting = keys;
            }
            let keys = walk.waiting.split_off(walk.waiting.len().saturating_sub(WALKED_AT_ONCE));
            let mut hashes = Vec::new();
            self.groups.locate_stored(&keys, found, &mut hashes, &mut Beside::new(states, self.counters(false)))?;
            // Those that were released since the key group was begun were made anew.
            self.note_new(found, &hashes);
            self.complete(found.clone(), states)?;
            found.retain(|key| self.held(*key).count() != 0);
        }
        Ok(true)
    }

    /// A state or timer of `key` holds something now.
    pub(super) fn gained(&mut self, key: KeyRef) {
        self.groups.writable_row(key)[self.held] += 1;
    }

    /// A state or timer of `key` holds nothing any more.
    pub(super) fn lost(&mut self, key: KeyRef) {
        let held = &mut self.groups.writable_row(key)[self.held];
        *held = held.saturating_sub(1);
        if Held(*held).count() == 0 {
            self.idle.push(key);
        }
    }

    /// What states hold of `key` changed.
    pub(super) fn changed(&mut self, key: KeyRef) {
        self.groups.writable_row(key);
    }

    fn release_idle(&mut self) {
        for key in std::mem::take(&mut self.idle) {
            let (held, hash) = (self.held(key), self.groups.row(key)[self.hash]);
            match held.extent(self.unread.epoch()) {
                _ if held.count() != 0 => {}
                // Does nothing where the key was released already.
                Extent::Whole => self.groups.release(key, hash),
                Extent::Added | Extent::Spent => self.groups.forget(key, hash),
            }
        }
    }

    /// Freezes the keys of all key groups that have one.
    pub(in crate::state) fn freeze(&mut self) -> FrozenKeys {
        FrozenKeys::new(Arc::clone(self.groups.layout()), self.groups.freeze())
    }
}

/// The keys at a snapshot.
#[derive(Debug, Clone, Default)]
pub(in crate::state) struct FrozenKeys {
    layout: Option<Arc<GroupLayout>>,
    groups: Vec<(KeyGroup, Arc<Rows>)>,
}

impl FrozenKeys {
    /// `groups`: sorted.
    pub(super) fn new(layout: Arc<GroupLayout>, groups: Vec<(KeyGroup, Arc<Rows>)>) -> Self {
        Self { layout: Some(layout), groups }
    }

    pub(super) fn of(&self, key_group: KeyGroup) -> Option<Arc<Rows>> {
        let at = self.groups.binary_search_by_key(&key_group, |(group, _)| *group).ok()?;
        self.groups.get(at).map(|(_, rows)| Arc::clone(rows))
    }

    pub(super) fn columns(&self, keys: &[(&Rows, u32)]) -> Result<Vec<ArrayRef>, StateError> {
        self.layout.as_ref().map_or(Ok(Vec::new()), |layout| key_columns(layout, keys))
    }
}
