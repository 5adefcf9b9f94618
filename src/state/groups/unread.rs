//! Groups that are made without looking for them in the store: whoever only adds to a group needs not know what it was. What is added goes
//! down as what it is, to be merged there, or is put together with what the store has once somebody wants to know.

use super::flush::RowPlace;
use super::keys::BatchKeys;
use super::payload::Payload;
use super::spill::Spill;
use super::{GroupRef, GroupTable, add, codec, find};
use crate::state::StateError;
use crate::state::rocksdb::split_expiry;

impl GroupTable {
    /// Makes the groups of the rows `missing`, which are not in memory, and sets their places in `groups`. `counter`: the record counter of
    /// those that may be in the store.
    pub(super) fn make_unread<B: BatchKeys>(
        &mut self,
        keys: &B,
        hashes: &[u64],
        missing: &[usize],
        groups: &mut [GroupRef],
        counter: u64,
    ) -> Result<(), StateError> {
        let Some(mut spill) = self.spill.take() else { return Ok(()) };
        let made = missing.iter().try_for_each(|at| {
            groups[*at].row = self.make_one(keys, (*at, hashes[*at]), groups[*at].table, counter, &mut spill)?;
            Ok(())
        });
        self.spill = Some(spill);
        made
    }

    fn make_one<B: BatchKeys>(
        &mut self,
        keys: &B,
        (at, hash): (usize, u64),
        table: u32,
        counter: u64,
        spill: &mut Spill,
    ) -> Result<u32, StateError> {
        let (stride, key_group) = (self.layout.stride, self.key_group_of_table(table as usize));
        let table = &mut self.tables[table as usize];
        if let Some(row) = find(table, keys, at, hash, stride) {
            return Ok(row);
        }
        let row = add(table, keys, at, hash, stride)?;
        if spill.has_deleted() {
            let mut key = Vec::new();
            codec::put_key_group(&mut key, key_group);
            keys.encode(at, &mut key);
            let is_gone = spill.is_deleted(&key);
            // Made again: from now on memory says what it is.
            spill.deleted.remove(key.as_slice());
            if is_gone {
                return Ok(row);
            }
        }
        table.rows.row_mut(row, stride)[self.layout.records] = counter;
        Ok(row)
    }

    /// Puts what memory has of these groups together with what the store has, all of which must be there: see [`Self::settle`]. None of
    /// them stands there twice.
    pub(in crate::state) fn complete(&mut self, groups: &[GroupRef], payload: &mut dyn Payload) -> Result<(), StateError> {
        let mut bytes = Vec::new();
        let mut places: Vec<(usize, usize, GroupRef)> = Vec::with_capacity(groups.len());
        for group in groups {
            let start = bytes.len();
            let table = &self.tables[group.table as usize];
            let key_group = self.key_group_of_table(group.table as usize);
            RowPlace { key_group, layout: &self.layout, rows: table.readable(), row: group.row }.put_key(&mut bytes);
            places.push((start, bytes.len(), *group));
        }
        places.sort_unstable_by(|a, b| bytes[a.0..a.1].cmp(&bytes[b.0..b.1]));
        let keys: Vec<&[u8]> = places.iter().map(|(start, end, _)| &bytes[*start..*end]).collect();
        let mut counters: Vec<Option<u64>> = vec![None; places.len()];
        let Some(mut spill) = self.spill.take() else { return Ok(()) };
        let mut found = 0;
        let read = spill.store.get_many(&spill.family, &keys, |number, value| {
            let group = places[number].2;
            found += 1;
            let stored = codec::behind_words(split_expiry(value)?.1, &self.layout)?;
            counters[number] = Some(payload.complete(group, self.row(group), Some(stored))?);
            Ok(())
        });
        spill.absent = spill.absent.saturating_sub(found);
        self.spill = Some(spill);
        read?;
        let records = self.layout.records;
        for ((_, _, group), counter) in places.iter().zip(counters) {
            let counter = match counter {
                Some(counter) => counter,
                None => payload.complete(*group, self.row(*group), None)?,
            };
            self.writable_row(*group)[records] = counter;
        }
        Ok(())
    }

    /// What memory had of a group is in the store, or on its way there: from now on memory has what is added to it.
    pub(in crate::state) fn begin_again(&mut self, group: GroupRef, counter: u64) {
        let records = self.layout.records;
        self.writable_row(group)[records] = counter;
        if let Some(spill) = &mut self.spill {
            spill.absent += 1;
        }
    }

    /// True until the rows of the last barrier are in the store.
    pub(in crate::state) fn is_flushing(&self) -> bool {
        self.spill.as_ref().is_some_and(|spill| spill.is_flushing())
    }

    /// Takes a group out of memory of which memory has nothing; in the store it stays what it is.
    pub(in crate::state) fn forget(&mut self, group: GroupRef, hash: u64) {
        if self.is_live(group) {
            let table = &mut self.tables[group.table as usize];
            self.over |= table.thaw();
            super::remove(table, &self.layout, group.row, hash);
        }
    }
}
