//! Groups beyond the memory budget: cold ones go down to the store in batches, and come back with the batch that names them.
//!
//! A group is in memory, or in the store, or in both. `DIRTY` says that memory is newer. What was deleted in memory is noted until it is
//! deleted in the store, and until then nobody looks there for it.

use super::keys::BatchKeys;
use super::layout::{DIRTY, FLAGS, GroupLayout, LIVE, MARK, USED};
use super::rows::Rows;
use super::{GroupRef, GroupTable, Table, add, codec, find};
use crate::state::rocksdb::{Changes, Charge, Flush, FlushPart, Store, family_of};
use crate::state::{StateError, canonical_key};
use crate::types::{KeyGroup, hash_keys};
use arrow::array::ArrayRef;
use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Weak};

/// Keys as the store has them.
type StoreKeys = BTreeSet<Box<[u8]>>;

/// What a table knows of its groups in the store.
#[derive(Debug)]
pub(super) struct Spill {
    store: Arc<Store>,
    /// The column family of its rows.
    family: String,
    charge: Charge,
    /// Groups that are in the store and not in memory.
    absent: usize,
    /// Keys (as the store has them) that were deleted in memory and may still be in the store.
    deleted: StoreKeys,
    /// The last barrier's rows, and the keys that are deleted with them.
    flush: Option<(Arc<Flush>, Arc<StoreKeys>)>,
    /// Where the look for cold groups goes on.
    hand: (usize, u32),
    /// Groups whose side columns may have changed in size.
    touched: Vec<GroupRef>,
}

/// What is known of the groups of one key group in the store.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "four facts that hold or not, each by itself")]
pub(super) struct Spilled {
    /// Some group changed since the last barrier.
    dirty: bool,
    /// The store may hold a row of some group.
    stored: bool,
    /// The store may hold groups that are not in memory.
    holds_more: bool,
    /// What a barrier wrote is not to be written again.
    pub(super) clean_on_thaw: bool,
    /// Rows that were copied while a snapshot reads them.
    copies: Vec<(Weak<Rows>, usize)>,
    /// Bytes in side columns, row by row and together.
    weights: Vec<u32>,
    weight: usize,
}

impl Spilled {
    pub(super) fn may_hold_more(&self) -> bool {
        self.holds_more
    }

    pub(super) fn note_copy(&mut self, rows: &Arc<Rows>, stride: usize) {
        self.copies.push((Arc::downgrade(rows), rows.bytes(stride) + self.weight));
    }

    pub(super) fn forget_weight(&mut self, row: u32) {
        if let Some(weight) = self.weights.get_mut(row as usize) {
            self.weight -= *weight as usize;
            *weight = 0;
        }
    }

    fn set_weight(&mut self, row: u32, weight: usize) {
        let row = row as usize;
        if self.weights.len() <= row {
            self.weights.resize(row + 1, 0);
        }
        let weight = u32::try_from(weight).unwrap_or(u32::MAX);
        self.weight = self.weight - self.weights[row] as usize + weight as usize;
        self.weights[row] = weight;
    }

    fn bytes(&mut self) -> usize {
        self.copies.retain(|(rows, _)| rows.strong_count() > 0);
        self.weight + self.copies.iter().map(|(_, bytes)| bytes).sum::<usize>()
    }
}

impl Spill {
    pub(super) fn absent(&self) -> usize {
        self.absent
    }

    /// The group in row `row` is about to be deleted.
    pub(super) fn released(&mut self, key_group: KeyGroup, table: &mut Table, layout: &GroupLayout, row: u32) {
        if table.spilled.stored {
            let mut key = Vec::new();
            codec::put_key_group(&mut key, key_group);
            codec::put_key(&mut key, layout, &table.rows, row);
            self.deleted.insert(key.into());
            // Whoever makes this group again must see that it is gone.
            table.spilled.holds_more = true;
        }
    }

    /// Waits until the rows of the last barrier are in the store.
    fn settle(&mut self) -> Result<(), StateError> {
        match self.flush.take() {
            Some((flush, _)) => flush.finish(),
            None => Ok(()),
        }
    }

    /// True if the store has, or will have, no row under this key although it may hold one now.
    fn is_deleted(&self, key: &[u8]) -> bool {
        let by_flush = |(flush, deleted): &(Arc<Flush>, Arc<StoreKeys>)| deleted.contains(key) && !flush.is_done();
        self.deleted.contains(key) || self.flush.as_ref().is_some_and(by_flush)
    }
}

/// Looks at so many rows of a key group before the next one gets its turn.
const SWEEP_ROWS: u32 = 4_096;

impl GroupTable {
    /// Puts a store behind the table, which is empty.
    pub(in crate::state) fn spill_to(&mut self, store: Arc<Store>, charge: Charge) {
        let (deleted, touched, family) = (BTreeSet::new(), Vec::new(), family_of(&self.descriptor.name));
        if self.expiring.is_some() {
            store.expire(&family);
        }
        self.spill = Some(Box::new(Spill { store, family, charge, absent: 0, deleted, flush: None, hand: (0, 0), touched }));
    }

    fn key_group_of_table(&self, table: usize) -> KeyGroup {
        KeyGroup(self.key_groups.as_range().start + table as u16)
    }

    /// Gives cold groups to the store if there are too many in memory. To be called between batches: no [`GroupRef`] from before is valid
    /// afterwards. Without a store it does nothing.
    pub fn make_room(&mut self) -> Result<(), StateError> {
        let Some(spill) = &mut self.spill else { return Ok(()) };
        let stride = self.layout.stride;
        for group in spill.touched.drain(..) {
            let table = &mut self.tables[group.table as usize];
            let rows = table.readable();
            if rows.row(group.row, stride)[FLAGS] & LIVE != 0 {
                let weight = rows.weigh(group.row);
                table.spilled.set_weight(group.row, weight);
            }
        }
        let of_table = |table: &mut Table| table.readable().bytes(stride) + table.index.bytes() + table.spilled.bytes();
        let bytes: usize = self.tables.iter_mut().map(of_table).sum();
        match spill.charge.set(bytes) {
            0 => Ok(()),
            excess => self.evict(excess),
        }
    }

    /// Takes cold groups of about `bytes` out of memory.
    fn evict(&mut self, bytes: usize) -> Result<(), StateError> {
        let Some(spill) = &mut self.spill else { return Ok(()) };
        // What is clean since the last barrier is in the store only then, and nothing newer may get there before.
        spill.settle()?;
        let victims = self.cold_groups(bytes);
        let mut changes = Changes::default();
        let mut failure = None;
        for group in &victims {
            let table = &self.tables[group.table as usize];
            if table.rows.row(group.row, self.layout.stride)[FLAGS] & DIRTY == 0 {
                continue;
            }
            let key_group = self.key_group_of_table(group.table as usize);
            let key = |out: &mut Vec<u8>| {
                codec::put_key_group(out, key_group);
                codec::put_key(out, &self.layout, &table.rows, group.row);
            };
            changes.put(key, |out| {
                if let Err(e) = codec::put_value(out, &self.layout, &table.rows, group.row) {
                    failure = Some(e);
                }
            });
        }
        if let Some(e) = failure {
            return Err(e);
        }
        let Some(spill) = &mut self.spill else { return Ok(()) };
        for key in std::mem::take(&mut spill.deleted) {
            changes.delete(&key);
        }
        changes.sort();
        spill.store.write(&spill.family, &changes)?;
        spill.absent += victims.len();
        let keys: Vec<ArrayRef> = self.keys(&victims)?.iter().map(canonical_key).collect();
        let mut hashes = Vec::new();
        hash_keys(&keys, victims.len(), &mut hashes)?;
        for (group, hash) in victims.iter().zip(hashes) {
            let spilled = &mut self.tables[group.table as usize].spilled;
            (spilled.stored, spilled.holds_more) = (true, true);
            self.remove(*group, hash);
        }
        Ok(())
    }

    /// Groups of about `bytes` that were not used since the last look at them (second chance), marked. All tables are thawed.
    fn cold_groups(&mut self, bytes: usize) -> Vec<GroupRef> {
        let stride = self.layout.stride;
        self.thaw();
        let Some(spill) = &mut self.spill else { return Vec::new() };
        let (mut victims, mut freed) = (Vec::new(), 0);
        let each = stride * size_of::<u64>() + 24;
        // Each group is looked at twice at most: used the first time, cold the second.
        let mut left = 2 * self.tables.iter().map(|table| table.rows.len() as usize).sum::<usize>();
        while freed < bytes && left > 0 {
            let (at, first) = spill.hand;
            let Some(table) = self.tables.get_mut(at) else {
                spill.hand = (0, 0);
                continue;
            };
            let end = first.saturating_add(SWEEP_ROWS).min(table.rows.len());
            for row in first..end {
                left = left.saturating_sub(1);
                let flags = &mut table.rows.row_mut(row, stride)[FLAGS];
                if *flags & LIVE == 0 || *flags & MARK != 0 {
                    continue;
                }
                if *flags & USED != 0 {
                    *flags &= !USED;
                } else {
                    *flags |= MARK;
                    freed += each + table.spilled.weights.get(row as usize).map_or(0, |weight| *weight as usize);
                    victims.push(GroupRef { table: at as u32, row });
                }
            }
            spill.hand = if end == table.rows.len() { (at + 1, 0) } else { (at, end) };
        }
        victims
    }

    /// Brings the groups of the rows `missing`, which are not in memory, from the store, makes those that are not there either, and sets
    /// their places in `groups`.
    pub(super) fn fetch<B: BatchKeys>(
        &mut self,
        keys: &B,
        hashes: &[u64],
        missing: &[usize],
        groups: &mut [GroupRef],
    ) -> Result<(), StateError> {
        if missing.is_empty() {
            return Ok(());
        }
        let mut bytes = Vec::new();
        let mut places: Vec<(usize, usize, usize)> = Vec::with_capacity(missing.len());
        for at in missing {
            let start = bytes.len();
            codec::put_key_group(&mut bytes, self.key_group_of_table(groups[*at].table as usize));
            keys.encode(*at, &mut bytes);
            places.push((start, bytes.len(), *at));
        }
        places.sort_unstable_by(|a, b| bytes[a.0..a.1].cmp(&bytes[b.0..b.1]));
        places.dedup_by(|b, a| bytes[a.0..a.1] == bytes[b.0..b.1]);
        let Some(mut spill) = self.spill.take() else { return Ok(()) };
        places.retain(|(start, end, _)| !spill.is_deleted(&bytes[*start..*end]));
        let wanted: Vec<&[u8]> = places.iter().map(|(start, end, _)| &bytes[*start..*end]).collect();
        let stride = self.layout.stride;
        let result = if wanted.is_empty() || spill.absent == 0 {
            Ok(())
        } else {
            let (tables, layout) = (&mut self.tables, &self.layout);
            let mut found = 0;
            let result = spill.store.get_many(&spill.family, &wanted, |number, value| {
                let at = places[number].2;
                let table = &mut tables[groups[at].table as usize];
                let row = add(table, keys, at, hashes[at], stride)?;
                found += 1;
                codec::read_value(value, layout, &mut table.rows, row)
            });
            spill.absent = spill.absent.saturating_sub(found);
            result
        };
        for at in missing {
            // Made again: from now on memory says what it is.
            if !spill.deleted.is_empty() {
                let mut key = Vec::new();
                codec::put_key_group(&mut key, self.key_group_of_table(groups[*at].table as usize));
                keys.encode(*at, &mut key);
                spill.deleted.remove(key.as_slice());
            }
        }
        self.spill = Some(spill);
        result?;
        for at in missing {
            let table = &mut self.tables[groups[*at].table as usize];
            groups[*at].row = match find(table, keys, *at, hashes[*at], stride) {
                Some(row) => row,
                None => add(table, keys, *at, hashes[*at], stride)?,
            };
        }
        Ok(())
    }

    /// Notes that these groups are used and changed.
    pub(super) fn touch(&mut self, groups: &[GroupRef]) {
        let stride = self.layout.stride;
        for group in groups {
            let table = &mut self.tables[group.table as usize];
            table.spilled.dirty = true;
            table.rows.row_mut(group.row, stride)[FLAGS] |= DIRTY | USED;
        }
        if let Some(spill) = &mut self.spill
            && !self.layout.sides.is_empty()
        {
            spill.touched.extend_from_slice(groups);
        }
    }

    /// True if some groups are not in memory.
    pub(in crate::state) fn is_spilled(&self) -> bool {
        self.spill.as_ref().is_some_and(|spill| spill.absent > 0)
    }

    /// Waits until the rows of the last barrier are in the store.
    pub(in crate::state) fn settle(&mut self) -> Result<(), StateError> {
        self.spill.as_mut().map_or(Ok(()), |spill| spill.settle())
    }

    /// Freezes the groups that changed since the last barrier; returns what writes them, if there is anything. [`Self::flushing`]
    /// must follow.
    pub(in crate::state) fn freeze_changes(&mut self) -> Option<FlushPart> {
        let spill = self.spill.as_mut()?;
        let mut frozen = VecDeque::new();
        for (key_group, table) in self.key_groups.as_range().zip(&mut self.tables) {
            if std::mem::take(&mut table.spilled.dirty) {
                let rows = table.frozen.get_or_insert_with(|| Arc::new(std::mem::take(&mut table.rows)));
                frozen.push_back((KeyGroup(key_group), Arc::clone(rows)));
                (table.spilled.stored, table.spilled.clean_on_thaw) = (true, true);
            }
        }
        if frozen.is_empty() && spill.deleted.is_empty() {
            return None;
        }
        let deleted = spill.deleted.clone();
        let (family, layout) = (spill.family.clone(), Arc::clone(&self.layout));
        Some(Box::new(move |store| write_changes(store, &family, &layout, frozen, deleted)))
    }

    /// The changes of the last barrier are being written by `flush`.
    pub(in crate::state) fn flushing(&mut self, flush: &Arc<Flush>) {
        if let Some(spill) = &mut self.spill {
            let deleted = std::mem::take(&mut spill.deleted);
            spill.flush = Some((Arc::clone(flush), Arc::new(deleted)));
        }
    }
}

/// Writes frozen rows that changed and deletes what was deleted, key group by key group.
fn write_changes(
    store: &Store,
    family: &str,
    layout: &GroupLayout,
    mut frozen: VecDeque<(KeyGroup, Arc<Rows>)>,
    deleted: StoreKeys,
) -> Result<(), StateError> {
    let rows: usize = frozen.iter().map(|(_, rows)| rows.live()).sum();
    let mut deleted = deleted.into_iter().peekable();
    let mut changes = Changes::default();
    let mut next = |changes: &mut Changes| -> Result<bool, StateError> {
        let group_of = |key: &[u8]| codec::split_key(key).map(|(key_group, _)| key_group);
        let of_frozen = frozen.front().map(|(key_group, _)| *key_group);
        let of_deleted = deleted.peek().map(|key| group_of(key)).transpose()?;
        let Some(key_group) = of_frozen.into_iter().chain(of_deleted).min() else { return Ok(false) };
        if of_frozen == Some(key_group)
            && let Some((_, rows)) = frozen.pop_front()
        {
            put_dirty_rows(changes, key_group, layout, &rows)?;
        }
        while let Some(key) = deleted.next_if(|key| group_of(key).is_ok_and(|of_key| of_key == key_group)) {
            changes.delete(&key);
        }
        Ok(true)
    };
    if rows < SMALL_FLUSH {
        while next(&mut changes)? {}
        changes.sort();
        return store.write(family, &changes);
    }
    store.ingest(family, |put| {
        while next(&mut changes)? {
            changes.sort();
            put(&changes)?;
            changes.clear();
        }
        Ok(())
    })
}

/// Fewer rows are written at once.
const SMALL_FLUSH: usize = 16_384;

fn put_dirty_rows(changes: &mut Changes, key_group: KeyGroup, layout: &GroupLayout, rows: &Rows) -> Result<(), StateError> {
    let mut failure = Ok(());
    for row in 0..rows.len() {
        let flags = rows.row(row, layout.stride)[FLAGS];
        if flags & (LIVE | DIRTY) != LIVE | DIRTY {
            continue;
        }
        let key = |out: &mut Vec<u8>| {
            codec::put_key_group(out, key_group);
            codec::put_key(out, layout, rows, row);
        };
        changes.put(key, |out| {
            if let Err(e) = codec::put_value(out, layout, rows, row) {
                failure = Err(e);
            }
        });
    }
    failure
}
