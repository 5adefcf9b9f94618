//! Groups beyond the memory budget: cold ones go down to the store in batches, and come back with the batch that names them.
//!
//! A group is in memory, or in the store, or in both. `DIRTY` says that memory is newer. What was deleted in memory is noted until it is
//! deleted in the store, and until then nobody looks there for it.

use super::flush::RowPlace;
use super::keys::BatchKeys;
use super::layout::{FLAGS, GroupLayout, LIVE, MARK, USED};
use super::payload::{Extent, NoPayload, Payload};
use super::reminders::{self, Earliest};
use super::rows::Rows;
use super::{GroupRef, GroupTable, Table, add, codec, find, remove};
use crate::state::bytes::damaged;
use crate::state::rocksdb::{Changes, Charge, Flush, Store, split_expiry};
use crate::state::{StateError, canonical_key};
use crate::types::{KeyGroup, hash_keys};
use arrow::array::ArrayRef;
use std::collections::BTreeSet;
use std::sync::{Arc, Weak};

/// A key as the store has it, and several.
pub(in crate::state) type StoreKey = Box<[u8]>;
pub(super) type StoreKeys = BTreeSet<StoreKey>;

/// What a table knows of its groups in the store.
#[derive(Debug)]
pub(super) struct Spill {
    pub(super) store: Arc<Store>,
    /// The column family of its rows.
    pub(super) family: String,
    /// Rows have more in them than groups.
    pub(super) has_payload: bool,
    charge: Charge,
    /// Bytes of the table when they were last looked at.
    before: usize,
    /// Groups that are in the store and not in memory; more are counted where groups were added to without being read.
    pub(super) absent: usize,
    /// Keys (as the store has them) that were deleted in memory and may still be in the store.
    pub(super) deleted: StoreKeys,
    /// The last barrier's rows, and the keys that are deleted with them.
    pub(super) flush: Option<(Arc<Flush>, Arc<StoreKeys>)>,
    /// Where the look for cold groups goes on.
    hand: (usize, u32),
    /// Groups whose side columns may have changed in size.
    touched: Vec<GroupRef>,
    pub(super) reminders: Earliest,
}

/// About so many bytes leave in one batch.
const EVICTED_AT_ONCE: usize = 8 << 20;

/// What is known of the groups of one key group in the store.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "four facts that hold or not, each by itself")]
pub(super) struct Spilled {
    /// Some group changed since the last barrier.
    pub(super) dirty: bool,
    /// The store may hold a row of some group.
    pub(super) stored: bool,
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

    /// A snapshot reads `rows`, of which `bytes` and what lies beside them are in memory a second time.
    pub(super) fn note_copy(&mut self, rows: &Arc<Rows>, bytes: usize) {
        self.copies.push((Arc::downgrade(rows), bytes + self.weight));
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

    /// True until the rows of the last barrier are in the store.
    pub(super) fn is_flushing(&self) -> bool {
        self.flush.as_ref().is_some_and(|(flush, _)| !flush.is_done())
    }

    /// Waits until the rows of the last barrier are in the store.
    fn settle(&mut self) -> Result<(), StateError> {
        match self.flush.take() {
            Some((flush, _)) => flush.finish(),
            None => Ok(()),
        }
    }

    /// Deletes in the store what was deleted in memory, if that is much: where timers fire it may be all that there was.
    fn write_deleted(&mut self) -> Result<(), StateError> {
        if self.deleted.len() < DELETED_AT_ONCE || self.is_flushing() {
            return Ok(());
        }
        let mut changes = Changes::default();
        for key in std::mem::take(&mut self.deleted) {
            changes.delete(&key);
        }
        self.store.write(&self.family, &changes)
    }

    /// True if [`Self::is_deleted`] may be.
    pub(super) fn has_deleted(&self) -> bool {
        !self.deleted.is_empty() || self.flush.as_ref().is_some_and(|(_, deleted)| !deleted.is_empty())
    }

    /// True if the store has, or will have, no row under this key although it may hold one now.
    pub(super) fn is_deleted(&self, key: &[u8]) -> bool {
        let by_flush = |(flush, deleted): &(Arc<Flush>, Arc<StoreKeys>)| deleted.contains(key) && !flush.is_done();
        self.deleted.contains(key) || self.flush.as_ref().is_some_and(by_flush)
    }
}

/// So many deleted keys are not kept in memory.
const DELETED_AT_ONCE: usize = 16_384;

/// Looks at so many rows of a key group before the next one gets its turn.
const SWEEP_ROWS: u32 = 4_096;

impl GroupTable {
    /// Puts a store behind the table, which is empty. `family`: where in the store; `has_payload`: each group comes with a payload.
    pub(in crate::state) fn spill_to(&mut self, store: Arc<Store>, charge: Charge, family: String, has_payload: bool) {
        if has_payload || self.expiring.is_some() {
            store.expire(&family);
        }
        self.spill = Some(Box::new(Spill {
            store,
            family,
            has_payload,
            charge,
            before: 0,
            absent: 0,
            deleted: BTreeSet::new(),
            flush: None,
            hand: (0, 0),
            touched: Vec::new(),
            reminders: Earliest::default(),
        }));
    }

    pub(super) fn key_group_of_table(&self, table: usize) -> KeyGroup {
        KeyGroup(self.key_groups.as_range().start + table as u16)
    }

    /// Gives cold groups to the store if there are too many in memory. To be called between batches: no [`GroupRef`] from before is valid
    /// afterwards. Without a store it does nothing.
    pub fn make_room(&mut self) -> Result<(), StateError> {
        self.make_room_beside(&mut NoPayload)
    }

    /// The same for groups with a payload.
    pub(in crate::state) fn make_room_beside(&mut self, payload: &mut dyn Payload) -> Result<(), StateError> {
        let Some(spill) = &mut self.spill else { return Ok(()) };
        spill.write_deleted()?;
        let stride = self.layout.stride;
        for group in spill.touched.drain(..) {
            let table = &mut self.tables[group.table as usize];
            let rows = table.readable();
            if rows.row(group.row, stride)[FLAGS] & LIVE != 0 {
                let weight = rows.weigh(group.row) + payload.weigh(group);
                table.spilled.set_weight(group.row, weight);
            }
        }
        let of_table = |table: &mut Table| {
            let rows = table.readable();
            rows.bytes(stride) + rows.copied_bytes() + table.index.bytes() + table.spilled.bytes()
        };
        let bytes = self.tables.iter_mut().map(of_table).sum::<usize>() + payload.bytes();
        let grown = bytes.saturating_sub(std::mem::replace(&mut spill.before, bytes));
        match spill.charge.set(bytes) {
            0 => Ok(()),
            // To write now is to wait for the rows of the last barrier. The copies that were made for it go when they are written.
            excess if spill.is_flushing() && spill.charge.can_wait(excess) => Ok(()),
            // Part of it may be copies that are about to go: no batch pays for all, but for more than what came with it.
            excess => self.evict(excess.min(EVICTED_AT_ONCE.max(2 * grown)), payload),
        }
    }

    /// Takes cold groups of about `bytes` out of memory.
    fn evict(&mut self, bytes: usize, payload: &mut dyn Payload) -> Result<(), StateError> {
        let Some(spill) = &mut self.spill else { return Ok(()) };
        // What is clean since the last barrier is in the store only then, and nothing newer may get there before.
        spill.settle()?;
        let victims = self.cold_groups(bytes);
        payload.leaving(&victims);
        let (mut changes, mut reminders) = (Changes::default(), Changes::default());
        let Some(mut spill) = self.spill.take() else { return Ok(()) };
        for group in &victims {
            let (table, key_group) = (&self.tables[group.table as usize], self.key_group_of_table(group.table as usize));
            let place = RowPlace { key_group, layout: &self.layout, rows: &table.rows, row: group.row };
            let extent = payload.extent(table.rows.row(group.row, self.layout.stride));
            let mut put = |out: &mut Vec<u8>| payload.put(*group, out);
            match extent {
                Extent::Added => place.merge(&mut changes, &mut put),
                Extent::Whole if table.rows.pages().is_dirty(group.row, self.layout.stride) => {
                    place.put(&mut changes, if spill.has_payload { Some(&mut put) } else { None })?;
                }
                // It is there already.
                Extent::Whole | Extent::Spent => {}
            }
            payload.reminders(*group, &mut |domain, moment| {
                reminders::put(&mut reminders, &mut spill.reminders, domain, moment, |out| place.put_key(out));
            });
        }
        for key in std::mem::take(&mut spill.deleted) {
            changes.delete(&key);
        }
        changes.sort();
        spill.store.write(&spill.family, &changes)?;
        reminders.sort();
        spill.store.write(&spill.family, &reminders)?;
        spill.absent += victims.len();
        self.spill = Some(spill);
        let keys: Vec<ArrayRef> = self.keys(&victims)?.iter().map(canonical_key).collect();
        let mut hashes = Vec::new();
        hash_keys(&keys, victims.len(), &mut hashes)?;
        for (group, hash) in victims.iter().zip(hashes) {
            let table = &mut self.tables[group.table as usize];
            (table.spilled.stored, table.spilled.holds_more) = (true, true);
            remove(table, &self.layout, group.row, hash);
        }
        payload.left(&victims);
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
                let flags = table.rows.row(row, stride)[FLAGS];
                if flags & LIVE == 0 || flags & MARK != 0 {
                    continue;
                }
                if flags & USED != 0 {
                    table.rows.row_mut(row, stride)[FLAGS] &= !USED;
                } else {
                    table.rows.row_mut(row, stride)[FLAGS] |= MARK;
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
        payload: &mut dyn Payload,
    ) -> Result<(), StateError> {
        if missing.is_empty() {
            return Ok(());
        }
        if let Some(counter) = payload.unread().filter(|_| self.is_spilled()) {
            return self.make_unread(keys, hashes, missing, groups, counter);
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
            let (tables, layout, has_payload) = (&mut self.tables, &self.layout, spill.has_payload);
            let mut found = 0;
            let result = spill.store.get_many(&spill.family, &wanted, |number, value| {
                let at = places[number].2;
                let table = &mut tables[groups[at].table as usize];
                let row = add(table, keys, at, hashes[at], stride)?;
                found += 1;
                if !has_payload {
                    let rest = codec::read_value(value, layout, &mut table.rows, row)?;
                    return if rest.is_empty() { Ok(()) } else { Err(damaged()) };
                }
                let rest = codec::read_value(split_expiry(value)?.1, layout, &mut table.rows, row)?;
                match payload.take(GroupRef { table: groups[at].table, row }, rest)? {
                    // All of it has expired.
                    0 => remove(table, layout, row, hashes[at]),
                    held => table.rows.row_mut(row, stride)[layout.records] = held,
                }
                Ok(())
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
            table.rows.pages_mut().soiled_row_mut(group.row, stride)[FLAGS] |= USED;
        }
        if let Some(spill) = &mut self.spill
            && (spill.has_payload || !self.layout.sides.is_empty())
        {
            spill.touched.extend_from_slice(groups);
        }
    }

    /// The words of a group that is changed outside of a batch. It may lie in a key group that is frozen: that is copied first.
    #[inline]
    pub(in crate::state) fn writable_row(&mut self, group: GroupRef) -> &mut [u64] {
        let table = &mut self.tables[group.table as usize];
        if table.frozen.is_some() {
            self.over |= table.thaw();
        }
        table.spilled.dirty = true;
        if let Some(spill) = &mut self.spill {
            spill.touched.push(group);
        }
        let row = table.rows.pages_mut().soiled_row_mut(group.row, self.layout.stride);
        row[FLAGS] |= USED;
        row
    }

    /// True if some groups are not in memory.
    pub(in crate::state) fn is_spilled(&self) -> bool {
        self.spill.as_ref().is_some_and(|spill| spill.absent > 0)
    }

    /// Waits until the rows of the last barrier are in the store.
    pub(in crate::state) fn settle(&mut self) -> Result<(), StateError> {
        self.spill.as_mut().map_or(Ok(()), |spill| spill.settle())
    }
}
