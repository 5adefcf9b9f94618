//! The keys of an operator in one subtask: a group table without accumulators, and how many states and timers each key has.

use super::KeyRef;
use crate::state::groups::{Rows, key_columns};
use crate::state::{
    AccumulatorField, AccumulatorLayout, FieldSlot, GroupLayout, GroupTable, StateError, Storage, canonical_key, group_descriptor,
};
use crate::types::{Datum, DatumColumn, KeyGroup, KeyGroupRange, LogicalType, MaxParallelism, RowBuilder, Schema, TypeKind, hash_keys};
use arrow::array::ArrayRef;
use std::sync::Arc;

/// See the module.
#[derive(Debug)]
pub(in crate::state) struct KeyTable {
    groups: GroupTable,
    schema: Schema,
    /// The word of a key's hash, by which it is found again to be released.
    hash: usize,
    /// The word that counts the states and timers that hold something for a key.
    held: usize,
    /// Keys that may hold nothing, to be released before the next look-up.
    idle: Vec<KeyRef>,
}

impl KeyTable {
    /// No keys. `key`: the key columns.
    pub(in crate::state) fn new(key: &Schema, key_groups: KeyGroupRange, max: MaxParallelism) -> Result<Self, StateError> {
        let hash = AccumulatorField { name: "hash", data_type: LogicalType::not_null(TypeKind::BigInt), storage: Storage::Fixed };
        let accumulators = vec![AccumulatorLayout { name: "hash".to_owned(), fields: vec![hash] }];
        let descriptor = Arc::new(group_descriptor("keys", key, &accumulators));
        let layout = Arc::new(GroupLayout::new(key, accumulators)?);
        let Some(FieldSlot::Word { word: hash, .. }) = layout.slot(0, 0) else {
            return Err(StateError::Invariant("a key has no word for its hash".to_owned()));
        };
        let held = layout.records();
        let groups = GroupTable::new(descriptor, layout, key_groups, max)?;
        Ok(Self { groups, schema: key.clone(), hash, held, idle: Vec::new() })
    }

    pub(in crate::state) fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Finds or makes the key of each row. Keys that hold nothing any more are released first.
    pub(in crate::state) fn locate(&mut self, keys: &[ArrayRef], hashes: &[u64], found: &mut Vec<KeyRef>) -> Result<(), StateError> {
        self.release_idle();
        let before = self.groups.len();
        if keys.iter().any(|column| column.data_type().is_floating()) {
            let keys: Vec<ArrayRef> = keys.iter().map(canonical_key).collect();
            self.groups.locate(&keys, hashes, found)?;
        } else {
            self.groups.locate(keys, hashes, found)?;
        }
        if self.groups.len() != before {
            self.note_new(found, hashes);
        }
        Ok(())
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
    pub(in crate::state) fn locate_one(&mut self, key: &[Datum]) -> Result<KeyRef, StateError> {
        let mut row = RowBuilder::new(&self.schema);
        row.append(key)?;
        let batch = row.finish()?;
        let keys: Vec<ArrayRef> = batch.columns().iter().map(canonical_key).collect();
        let (mut hashes, mut found) = (Vec::new(), Vec::new());
        hash_keys(&keys, 1, &mut hashes)?;
        self.groups.locate(&keys, &hashes, &mut found)?;
        self.note_new(&found, &hashes);
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

    /// The number of keys, those that hold nothing any more included.
    pub(in crate::state) fn len(&self) -> usize {
        self.groups.len()
    }

    /// All keys that hold something.
    pub(in crate::state) fn all(&self) -> Vec<KeyRef> {
        let mut keys = self.groups.groups();
        keys.retain(|key| self.groups.row(*key)[self.held] != 0);
        keys
    }

    /// A state or timer of `key` holds something now.
    pub(super) fn gained(&mut self, key: KeyRef) {
        self.groups.writable_row(key)[self.held] += 1;
    }

    /// A state or timer of `key` holds nothing any more.
    pub(super) fn lost(&mut self, key: KeyRef) {
        let held = &mut self.groups.writable_row(key)[self.held];
        *held = held.saturating_sub(1);
        if *held == 0 {
            self.idle.push(key);
        }
    }

    fn release_idle(&mut self) {
        for key in std::mem::take(&mut self.idle) {
            let row = self.groups.row(key);
            if row[self.held] == 0 {
                let hash = row[self.hash];
                // Does nothing where the key was released already.
                self.groups.release(key, hash);
            }
        }
    }

    /// Freezes the keys of all key groups that have one.
    pub(in crate::state) fn freeze(&mut self) -> FrozenKeys {
        FrozenKeys { layout: Some(Arc::clone(self.groups.layout())), groups: self.groups.freeze() }
    }
}

/// The keys at a snapshot.
#[derive(Debug, Clone, Default)]
pub(in crate::state) struct FrozenKeys {
    layout: Option<Arc<GroupLayout>>,
    groups: Vec<(KeyGroup, Arc<Rows>)>,
}

impl FrozenKeys {
    pub(super) fn of(&self, key_group: KeyGroup) -> Option<Arc<Rows>> {
        let at = self.groups.binary_search_by_key(&key_group, |(group, _)| *group).ok()?;
        self.groups.get(at).map(|(_, rows)| Arc::clone(rows))
    }

    pub(super) fn columns(&self, keys: &[(&Rows, u32)]) -> Result<Vec<ArrayRef>, StateError> {
        self.layout.as_ref().map_or(Ok(Vec::new()), |layout| key_columns(layout, keys))
    }
}
