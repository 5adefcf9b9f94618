//! A map a key: map state, sorted by its keys. Each entry has its own TTL.

use super::entries::{Entry, EntryIter, EntryMap};
use super::fold::Fold;
use super::keys::KeyTable;
use super::snapshot::Encoder;
use super::spill::{Slots, put_stamp, read_stamp, weigh_several};
use super::table::{Column, Entries, Table, Taken};
use super::{KeyRef, restore};
use crate::state::StateError;
use crate::state::bytes::{Input, damaged, put_number};
use crate::state::ttl::{Expiry, Stamp, UNSTAMPED};
use crate::types::{Datum, DatumError, decode_datum, encode_datum};
use std::fmt;

/// See the module.
#[derive(Debug, Clone, Default)]
pub(in crate::state) struct Maps {
    maps: Vec<EntryMap>,
}

/// The entries of a map, sorted by key.
#[derive(Clone)]
pub struct MapEntries<'a>(Option<EntryIter<'a>>);

impl fmt::Debug for MapEntries<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.clone()).finish()
    }
}

impl<'a> Iterator for MapEntries<'a> {
    type Item = (&'a Datum, &'a Datum);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.as_mut()?.next().map(|(key, entry)| (key, &entry.value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.as_ref().map_or((0, Some(0)), Iterator::size_hint)
    }
}

impl ExactSizeIterator for MapEntries<'_> {}

/// What of a map has expired and may be seen once more.
#[derive(Debug, Default)]
pub(in crate::state) struct LastEntries(EntryMap);

impl Maps {
    fn get(&self, slot: usize) -> Option<&EntryMap> {
        self.maps.get(slot).filter(|map| !map.is_empty())
    }

    fn place(&mut self, slot: usize) -> &mut EntryMap {
        if slot >= self.maps.len() {
            self.maps.resize(slot + 1, EntryMap::default());
        }
        &mut self.maps[slot]
    }
}

impl Column for Maps {
    fn push_copy(&mut self, other: &Self, slot: usize) {
        self.maps.push(other.maps.get(slot).cloned().unwrap_or_default());
    }

    fn put_back(&mut self, slot: usize, other: &mut Self, from: usize) {
        *self.place(slot) = std::mem::take(&mut other.maps[from]);
    }

    fn slots(&self) -> usize {
        self.maps.len()
    }

    fn is_due(&self, slot: usize, expiry: &Expiry) -> bool {
        self.get(slot).is_some_and(|map| map.is_due(expiry))
    }

    fn sweep(&mut self, slot: usize, expiry: &Expiry) -> Entries {
        let map = self.place(slot);
        let before = map.len();
        map.sweep(expiry);
        Entries { before, after: map.len() }
    }

    fn encode(&self, expiry: Option<&Expiry>, into: &mut Encoder) -> Result<(), DatumError> {
        for (slot, map) in self.maps.iter().enumerate() {
            for (key, entry) in map.iter() {
                if expiry.is_none_or(|expiry| !expiry.is_expired(entry.stamp)) {
                    into.row(slot as u32, &[key, &entry.value], entry.stamp)?;
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, slot: usize, mut from: Input<'_>, expiry: Option<&Expiry>, _fold: &Fold) -> Result<Taken, StateError> {
        let stored = from.length()?;
        let map = self.place(slot);
        let before = map.len();
        for _ in 0..stored {
            let stamp = read_stamp(&mut from)?;
            let (key, value) = (decode_datum(&mut from.0)?, decode_datum(&mut from.0)?);
            if expiry.is_none_or(|expiry| !expiry.is_expired(stamp)) {
                map.insert(key, Entry { value, stamp });
            }
        }
        if from.0.is_empty() { Ok(Taken::of(stored, before, map.len())) } else { Err(damaged()) }
    }
}

impl Slots for Maps {
    fn put(&self, slot: usize, out: &mut Vec<u8>) -> Option<Stamp> {
        let map = self.get(slot)?;
        put_number(out, map.len() as u64);
        for (key, entry) in map.iter() {
            put_stamp(out, entry.stamp);
            encode_datum(key, out);
            encode_datum(&entry.value, out);
        }
        map.iter().map(|(_, entry)| entry.stamp).max()
    }

    fn empty(&mut self, slot: usize) {
        if self.get(slot).is_some() {
            *self.place(slot) = EntryMap::default();
        }
    }

    fn weigh(&self, slot: usize) -> usize {
        let entries = |map: &EntryMap| {
            let values = map.ends().flat_map(|(key, entry)| [key, &entry.value]);
            weigh_several(map.len(), size_of::<Entry>() + size_of::<Datum>(), values)
        };
        size_of::<EntryMap>() + self.get(slot).map_or(0, entries)
    }
}

impl Table<Maps> {
    /// The value of an entry, which may be NULL; of an expired one, at most a last look, which is put into `last`.
    pub(in crate::state) fn get<'a>(
        &'a mut self,
        keys: &mut KeyTable,
        key: KeyRef,
        entry: &Datum,
        last: &'a mut Datum,
    ) -> Option<&'a Datum> {
        if let Some(expiry) = self.expiry
            && self.look(keys, key, entry, &expiry, last)
        {
            return Some(last);
        }
        self.there(key)?.get(entry).map(|entry| &entry.value)
    }

    fn there(&self, key: KeyRef) -> Option<&EntryMap> {
        let (column, slot) = self.read(key);
        column.get(slot)
    }

    fn place(&mut self, key: KeyRef) -> &mut EntryMap {
        let (column, slot) = self.write(key);
        column.place(slot)
    }

    /// What reading does to an entry with TTL. True if it has expired and may still be seen.
    fn look(&mut self, keys: &mut KeyTable, key: KeyRef, entry: &Datum, expiry: &Expiry, last: &mut Datum) -> bool {
        self.accesses += 1;
        let Some(stamp) = self.there(key).and_then(|map| map.get(entry)).map(|entry| entry.stamp) else { return false };
        if expiry.is_expired(stamp) {
            if let Some(removed) = self.take(keys, key, entry) {
                *last = removed;
            }
            return expiry.return_expired;
        }
        if expiry.restamps(stamp) {
            self.place(key).restamp(entry, expiry.stamp);
        }
        false
    }

    /// All entries, sorted by key. `last` takes expired ones that may be seen once more.
    pub(in crate::state) fn entries<'a>(&'a mut self, keys: &mut KeyTable, key: KeyRef, last: &'a mut LastEntries) -> MapEntries<'a> {
        if let Some(expiry) = self.expiry
            && self.look_at_all(keys, key, &expiry, last)
        {
            return MapEntries(Some(last.0.iter()));
        }
        MapEntries(self.there(key).map(EntryMap::iter))
    }

    fn look_at_all(&mut self, keys: &mut KeyTable, key: KeyRef, expiry: &Expiry, last: &mut LastEntries) -> bool {
        self.accesses += 1;
        let Some(map) = self.there(key) else { return false };
        let expired = map.iter().any(|(_, entry)| expiry.is_expired(entry.stamp));
        if !expired && !map.iter().any(|(_, entry)| expiry.restamps(entry.stamp)) {
            return false;
        }
        let map = self.place(key);
        let shows = expired && expiry.return_expired;
        if shows {
            last.0.clone_from(map);
        }
        let before = map.len();
        map.refresh(expiry, expiry.on_read);
        let after = map.len();
        self.note(keys, key, Entries { before, after });
        shows
    }

    /// Sets the value of an entry. Errors on a NULL key.
    pub(in crate::state) fn put(&mut self, keys: &mut KeyTable, key: KeyRef, entry: Datum, value: Datum) -> Result<(), StateError> {
        if entry.is_null() {
            return Err(StateError::Function { state: self.descriptor.name.clone(), message: "a map takes no NULL as key".to_owned() });
        }
        let stamp = self.expiry.map_or(UNSTAMPED, |expiry| expiry.stamp);
        self.accesses += 1;
        let map = self.place(key);
        let before = map.len();
        map.insert(entry, Entry { value, stamp });
        let after = map.len();
        self.note(keys, key, Entries { before, after });
        Ok(())
    }

    /// Removes an entry, if there is one.
    pub(in crate::state) fn remove(&mut self, keys: &mut KeyTable, key: KeyRef, entry: &Datum) {
        self.accesses += 1;
        if self.there(key).is_some_and(|map| map.get(entry).is_some()) {
            self.take(keys, key, entry);
        }
    }

    fn take(&mut self, keys: &mut KeyTable, key: KeyRef, entry: &Datum) -> Option<Datum> {
        let map = self.place(key);
        let removed = map.remove(entry)?;
        let after = map.len();
        self.note(keys, key, Entries { before: after + 1, after });
        Some(removed.value)
    }

    /// Removes all entries.
    pub(in crate::state) fn clear(&mut self, keys: &mut KeyTable, key: KeyRef) {
        if let Some(before) = self.there(key).map(EntryMap::len) {
            *self.place(key) = EntryMap::default();
            self.note(keys, key, Entries { before, after: 0 });
        }
    }
}

impl restore::Load for Table<Maps> {
    fn load(&mut self, keys: &mut KeyTable, key: KeyRef, row: &mut [Datum], stamp: Stamp) -> Result<(), String> {
        let [entry, value] = row else { return Err("a map entry needs a key and a value".to_owned()) };
        let stamp = if self.expiry.is_some() { stamp } else { UNSTAMPED };
        let map = self.place(key);
        if map.insert(std::mem::take(entry), Entry { value: std::mem::take(value), stamp }).is_some() {
            return Err("a map entry was saved twice".to_owned());
        }
        let after = map.len();
        self.note(keys, key, Entries { before: after - 1, after });
        Ok(())
    }
}
