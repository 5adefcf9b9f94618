//! The group table: keys, a hash index and one accumulator row a group, looked up and updated a batch at a time.
//!
//! Each key group has a table of its own, which a snapshot freezes as a whole; what is written while that is still being read is copied page
//! by page. A batch goes through in two steps: [`GroupTable::locate`] finds or makes the group of each row; then each aggregate
//! walks over the groups once. What is kept of an aggregate is described by [`AccumulatorLayout`]; what is done with it is
//! the operator's business.

mod codec;
mod decode;
mod encode;
mod expiry;
mod flush;
mod index;
mod keys;
mod layout;
mod multiset;
mod over;
mod pages;
mod payload;
mod reminders;
mod rows;
mod sides;
mod spill;
mod stored;
mod unread;
mod walk;
mod words;

pub use keys::canonical_key;
pub(in crate::state) use keys::key_columns;
pub use layout::{AccumulatorField, AccumulatorLayout, FieldSlot, GroupLayout, Storage, ValidBit, group_descriptor};
pub use multiset::{Multiset, MultisetOrder};
pub(in crate::state) use payload::{Extent, FrozenPayload, NoPayload, Payload};
pub(in crate::state) use rows::Rows;
pub use sides::MultisetKey;
pub(in crate::state) use spill::StoreKey;
pub(in crate::state) use stored::{StoredGroups, StoredSource, key_group_of_row, read_row};

use crate::state::{StateDescriptor, StateError, StateSnapshot};
use crate::types::{KeyGroup, KeyGroupRange, MaxParallelism};
use arrow::array::ArrayRef;
use arrow::row::RowConverter;
use expiry::Expiring;
use index::Index;
use keys::{BatchKeys, ByteKeys, EncodedKeys, NoKeys, WordKeys};
use layout::{FLAGS, KeyForm, LIVE, MARK};
use spill::{Spill, Spilled};
use std::sync::Arc;

/// A group of a [`GroupTable`]. Valid until the group is released.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct GroupRef {
    pub(in crate::state) table: u32,
    pub(in crate::state) row: u32,
}

/// The place of a row that [`Index::guess`] did not find.
const UNKNOWN: u32 = u32::MAX;

/// See the module.
pub struct GroupTable {
    descriptor: Arc<StateDescriptor>,
    layout: Arc<GroupLayout>,
    key_groups: KeyGroupRange,
    max_parallelism: MaxParallelism,
    /// One for each own key group.
    tables: Vec<Table>,
    converter: Option<RowConverter>,
    modulo: Modulo,
    /// What lies beyond memory, with the `rocksdb` backend.
    spill: Option<Box<Spill>>,
    /// Which groups have expired, where there is a TTL.
    expiring: Option<Expiring>,
    /// Some key groups lie over pages that a snapshot reads, or has read.
    over: bool,
}

/// About so many bytes of pages go back to their key groups in one batch.
const ABSORBED_AT_ONCE: usize = 2 << 20;

impl std::fmt::Debug for GroupTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GroupTable").field("descriptor", &self.descriptor).field("groups", &self.len()).finish_non_exhaustive()
    }
}

/// The groups of one key group. After a snapshot they lie in `frozen`, and `rows` is empty, until one of them is written to.
#[derive(Debug)]
struct Table {
    index: Index,
    rows: Rows,
    frozen: Option<Arc<Rows>>,
    spilled: Spilled,
}

impl Table {
    /// Makes the rows writable again: takes them back if the snapshot is done with them, else lays new ones over them. True if those
    /// are to be taken back later.
    fn thaw(&mut self) -> bool {
        let Some(frozen) = self.frozen.take() else { return false };
        let clean = std::mem::take(&mut self.spilled.clean_on_thaw);
        self.rows = match Arc::try_unwrap(frozen) {
            Ok(mut rows) => {
                if clean {
                    rows.pages_mut().clean();
                }
                rows
            }
            Err(shared) => Rows::over(shared, clean),
        };
        self.rows.pages().is_over()
    }

    /// What a snapshot is to read.
    fn freeze(&mut self, stride: usize) -> Arc<Rows> {
        if let Some(frozen) = &self.frozen {
            return Arc::clone(frozen);
        }
        // The snapshot before is done, unless checkpoints overlap.
        if let Some(below) = self.rows.settle(stride) {
            self.spilled.note_copy(&below, self.rows.bytes(stride));
        }
        let frozen = Arc::new(std::mem::take(&mut self.rows));
        Arc::clone(self.frozen.insert(frozen))
    }

    fn readable(&self) -> &Rows {
        self.frozen.as_deref().unwrap_or(&self.rows)
    }
}

/// `hash % n` by multiplication (Lemire, Kaser, Kurz: Faster Remainder by Direct Computation, 2019).
#[derive(Debug, Clone, Copy)]
struct Modulo {
    n: u64,
    inverse: u64,
}

impl Modulo {
    const fn new(n: u64) -> Self {
        Self { n, inverse: (u64::MAX / n).wrapping_add(1) }
    }

    #[inline]
    const fn of(self, value: u32) -> u32 {
        let low = self.inverse.wrapping_mul(value as u64);
        ((low as u128 * self.n as u128) >> 64) as u32
    }
}

impl GroupTable {
    /// An empty table.
    pub(super) fn new(
        descriptor: Arc<StateDescriptor>,
        layout: Arc<GroupLayout>,
        key_groups: KeyGroupRange,
        max_parallelism: MaxParallelism,
    ) -> Result<Self, StateError> {
        let converter = match layout.key_form {
            KeyForm::Encoded => Some(keys::converter(&layout)?),
            _ => None,
        };
        let table = |_| Table { index: Index::default(), rows: Rows::new(&layout), frozen: None, spilled: Spilled::default() };
        let tables = key_groups.as_range().map(table).collect();
        let modulo = Modulo::new(max_parallelism.get() as u64);
        let expiring = descriptor.ttl.map(|ttl| Expiring::new(&ttl));
        Ok(Self { descriptor, layout, key_groups, max_parallelism, tables, converter, modulo, spill: None, expiring, over: false })
    }

    /// What it holds.
    pub fn descriptor(&self) -> &Arc<StateDescriptor> {
        &self.descriptor
    }

    /// How its groups lie in memory.
    pub fn layout(&self) -> &Arc<GroupLayout> {
        &self.layout
    }

    /// The number of groups.
    pub fn len(&self) -> usize {
        self.resident() + self.spill.as_ref().map_or(0, |spill| spill.absent())
    }

    /// The number of groups in memory.
    pub(in crate::state) fn resident(&self) -> usize {
        self.tables.iter().map(|table| table.readable().live()).sum()
    }

    /// True if there is no group.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Finds the group of each row and writes it into `groups` (cleared first); makes the groups that there are not yet.
    ///
    /// `keys`: the key columns, passed through [`canonical_key`]; `hashes`: their hashes by [`crate::types::hash_keys`].
    /// Errors if a row's key group is not among those of this subtask. All groups returned may be written to until the next
    /// snapshot.
    pub fn locate(&mut self, keys: &[ArrayRef], hashes: &[u64], groups: &mut Vec<GroupRef>) -> Result<(), StateError> {
        self.locate_beside(keys, hashes, groups, &mut NoPayload)
    }

    /// The same for groups with a payload.
    pub(in crate::state) fn locate_beside(
        &mut self,
        keys: &[ArrayRef],
        hashes: &[u64],
        groups: &mut Vec<GroupRef>,
        payload: &mut dyn Payload,
    ) -> Result<(), StateError> {
        if keys.len() != self.layout.key_types.len() || keys.iter().any(|column| column.len() != hashes.len()) {
            return Err(StateError::Invariant(format!("{} key columns do not fit the groups of {}", keys.len(), self.descriptor.name)));
        }
        match self.layout.key_form {
            KeyForm::Single => self.locate_single(hashes, groups, payload),
            KeyForm::Words(1) => self.locate_by(&WordKeys::<1>::new(keys)?, hashes, groups, payload),
            KeyForm::Words(2) => self.locate_by(&WordKeys::<2>::new(keys)?, hashes, groups, payload),
            KeyForm::Words(3) => self.locate_by(&WordKeys::<3>::new(keys)?, hashes, groups, payload),
            KeyForm::Words(_) => self.locate_by(&WordKeys::<4>::new(keys)?, hashes, groups, payload),
            KeyForm::Bytes => self.locate_by(&ByteKeys::new(&keys[0])?, hashes, groups, payload),
            KeyForm::Encoded => {
                let converter = self.converter.as_ref().ok_or_else(|| StateError::Invariant("no key converter".to_owned()))?;
                let encoded = EncodedKeys(converter.convert_columns(keys)?);
                self.locate_by(&encoded, hashes, groups, payload)
            }
        }
    }

    fn locate_single(&mut self, hashes: &[u64], groups: &mut Vec<GroupRef>, payload: &mut dyn Payload) -> Result<(), StateError> {
        self.locate_by(&NoKeys, &hashes[..hashes.len().min(1)], groups, payload)?;
        if let Some(group) = groups.first().copied() {
            groups.resize(hashes.len(), group);
        }
        Ok(())
    }

    /// Two passes, so that the cache misses of many rows overlap: one over the indexes, one over the rows.
    fn locate_by<B: BatchKeys>(
        &mut self,
        keys: &B,
        hashes: &[u64],
        groups: &mut Vec<GroupRef>,
        payload: &mut dyn Payload,
    ) -> Result<(), StateError> {
        groups.clear();
        groups.reserve(hashes.len());
        self.absorb();
        let first = u32::from(self.key_groups.as_range().start);
        for hash in hashes {
            let key_group = self.modulo.of((hash >> 32) as u32);
            let table = key_group.wrapping_sub(first);
            let Some(found) = self.tables.get_mut(table as usize) else { return Err(self.foreign(key_group)) };
            if found.frozen.is_some() {
                self.over |= found.thaw();
            }
            groups.push(GroupRef { table, row: found.index.guess(*hash).unwrap_or(UNKNOWN) });
        }
        let stride = self.layout.stride;
        let mut missing = Vec::new();
        for (at, (group, hash)) in groups.iter_mut().zip(hashes).enumerate() {
            let table = &mut self.tables[group.table as usize];
            if group.row == UNKNOWN || !keys.matches(at, &table.rows, group.row, stride) {
                match find(table, keys, at, *hash, stride) {
                    Some(row) => group.row = row,
                    None if table.spilled.may_hold_more() => missing.push(at),
                    None => group.row = add(table, keys, at, *hash, stride)?,
                }
            }
        }
        if self.spill.is_some() {
            self.fetch(keys, hashes, &missing, groups, payload)?;
            self.touch(groups);
        }
        Ok(())
    }

    fn foreign(&self, key_group: u32) -> StateError {
        let own = self.key_groups.as_range();
        StateError::Invariant(format!(
            "a row of key group {key_group} came to the subtask of the key groups {}..{}: its input is not exchanged by the group columns",
            own.start, own.end
        ))
    }

    /// Deletes a group; its key has this hash. Does nothing if it was deleted already.
    pub fn release(&mut self, group: GroupRef, hash: u64) {
        let stride = self.layout.stride;
        let table = &mut self.tables[group.table as usize];
        self.over |= table.thaw();
        if table.rows.row(group.row, stride)[FLAGS] & LIVE != 0 {
            if let Some(spill) = &mut self.spill {
                let key_group = KeyGroup(self.key_groups.as_range().start + group.table as u16);
                spill.released(key_group, table, &self.layout, group.row);
            }
            remove(table, &self.layout, group.row, hash);
        }
    }

    /// The words of a group. Panics, as slices do, on a group of another table.
    #[inline]
    pub fn row(&self, group: GroupRef) -> &[u64] {
        self.tables[group.table as usize].readable().row(group.row, self.layout.stride)
    }

    /// The words of a group that [`Self::locate`] returned since the last snapshot.
    #[inline]
    pub fn row_mut(&mut self, group: GroupRef) -> &mut [u64] {
        self.tables[group.table as usize].rows.row_mut(group.row, self.layout.stride)
    }

    /// The bytes of a group in a side column of storage [`Storage::Bytes`].
    #[inline]
    pub fn bytes_mut(&mut self, group: GroupRef, side: usize) -> Option<&mut Option<Box<[u8]>>> {
        self.tables[group.table as usize].rows.bytes_mut(group.row, side)
    }

    /// The multiset of a group in a side column of storage [`Storage::Multiset`] over `K`.
    #[inline]
    pub fn multiset_mut<K: MultisetKey>(&mut self, group: GroupRef, side: usize) -> Option<&mut Multiset<K>> {
        self.tables[group.table as usize].rows.multiset_mut(group.row, side)
    }

    /// All groups in memory, which is all of them unless some were spilled: by key group, within one in the order in which they came.
    pub fn groups(&self) -> Vec<GroupRef> {
        let of_table = |(table, found): (usize, &Table)| {
            let rows = found.readable().live_rows(&self.layout);
            rows.into_iter().map(move |row| GroupRef { table: table as u32, row })
        };
        self.tables.iter().enumerate().flat_map(of_table).collect()
    }

    /// True unless the group was released.
    pub fn is_live(&self, group: GroupRef) -> bool {
        self.row(group)[FLAGS] & LIVE != 0
    }

    /// Marks a group. True if it was not marked before. Marks are removed by [`Self::unmark`] before the next snapshot.
    #[inline]
    pub fn mark(&mut self, group: GroupRef) -> bool {
        let flags = &mut self.row_mut(group)[FLAGS];
        let first = *flags & MARK == 0;
        *flags |= MARK;
        first
    }

    /// Removes the marks of `groups`.
    pub fn unmark(&mut self, groups: &[GroupRef]) {
        for group in groups {
            self.row_mut(*group)[FLAGS] &= !MARK;
        }
    }

    /// Makes groups writable without [`Self::locate`]: all of them, after a snapshot.
    pub fn thaw(&mut self) {
        for table in &mut self.tables {
            self.over |= table.thaw();
        }
    }

    /// Takes back pages of snapshots that are done, a few key groups at a time.
    fn absorb(&mut self) {
        if !self.over {
            return;
        }
        let (stride, mut left) = (self.layout.stride, ABSORBED_AT_ONCE);
        self.over = false;
        for table in self.tables.iter_mut().filter(|table| table.rows.pages().is_over()) {
            self.over |= left == 0 || !table.rows.absorb(stride, &mut left);
        }
    }

    /// The key columns of `groups`, in that order.
    pub fn keys(&self, groups: &[GroupRef]) -> Result<Vec<ArrayRef>, StateError> {
        let groups: Vec<(&Rows, u32)> = groups.iter().map(|g| (self.tables[g.table as usize].readable(), g.row)).collect();
        keys::key_columns(&self.layout, &groups)
    }

    /// Freezes all key groups and returns those that have a group. Copies nothing.
    pub(in crate::state) fn freeze(&mut self) -> Vec<(KeyGroup, Arc<Rows>)> {
        let mut frozen = Vec::new();
        for (key_group, table) in self.key_groups.as_range().zip(&mut self.tables) {
            if table.readable().live() == 0 {
                continue;
            }
            frozen.push((KeyGroup(key_group), table.freeze(self.layout.stride)));
        }
        frozen
    }

    /// Freezes all key groups and returns what will read them. Copies nothing.
    pub(super) fn snapshot(&mut self) -> StateSnapshot {
        let frozen = self.freeze();
        let batches = encode::SnapshotBatches::new(&self.descriptor, Arc::clone(&self.layout), self.expiry(), frozen);
        StateSnapshot { descriptor: Arc::clone(&self.descriptor), batches: Box::new(batches) }
    }
}

#[inline]
fn find<B: BatchKeys>(table: &Table, keys: &B, at: usize, hash: u64, stride: usize) -> Option<u32> {
    table.index.find(hash, |row| keys.matches(at, &table.rows, row, stride))
}

fn add<B: BatchKeys>(table: &mut Table, keys: &B, at: usize, hash: u64, stride: usize) -> Result<u32, StateError> {
    let row = table.rows.allocate(stride)?;
    keys.store(at, &mut table.rows, row, stride)?;
    table.index.insert(hash, row);
    Ok(row)
}

/// Takes a row out of memory.
fn remove(table: &mut Table, layout: &GroupLayout, row: u32, hash: u64) {
    let in_arena = layout.has_arena();
    table.index.remove(hash, row);
    table.rows.release(row, layout.stride, in_arena);
    table.spilled.forget_weight(row);
}
