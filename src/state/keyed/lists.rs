//! A list a key: list state. Each element has its own TTL.

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

/// The list of one key.
#[derive(Debug, Clone, Default)]
struct List {
    values: Vec<Datum>,
    /// One an element; none without TTL.
    stamps: Vec<Stamp>,
}

impl List {
    fn stamp(&self, at: usize) -> Stamp {
        self.stamps.get(at).copied().unwrap_or(UNSTAMPED)
    }

    fn any(&self, is: impl Fn(Stamp) -> bool) -> bool {
        (0..self.values.len()).any(|at| is(self.stamp(at)))
    }

    fn push(&mut self, value: Datum, stamp: Option<Stamp>) {
        self.values.push(value);
        if let Some(stamp) = stamp {
            self.stamps.resize(self.values.len() - 1, UNSTAMPED);
            self.stamps.push(stamp);
        }
    }

    /// Keeps the elements for which `keep` makes a stamp.
    fn retain(&mut self, keep: impl Fn(Stamp) -> Option<Stamp>) {
        let old = std::mem::take(self);
        for (at, value) in old.values.iter().enumerate() {
            if let Some(stamp) = keep(old.stamp(at)) {
                self.push(value.clone(), Some(stamp));
            }
        }
    }

    /// Without what has expired; what has no stamp, or all if `all`, gets the present one.
    fn refresh(&mut self, expiry: &Expiry, all: bool) {
        self.retain(|stamp| match stamp {
            stamp if expiry.is_expired(stamp) => None,
            stamp if all || stamp == UNSTAMPED => Some(expiry.stamp),
            stamp => Some(stamp),
        });
    }
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub(in crate::state) struct Lists {
    lists: Vec<List>,
}

impl Lists {
    fn get(&self, slot: usize) -> Option<&List> {
        self.lists.get(slot).filter(|list| !list.values.is_empty())
    }

    fn place(&mut self, slot: usize) -> &mut List {
        if slot >= self.lists.len() {
            self.lists.resize(slot + 1, List::default());
        }
        &mut self.lists[slot]
    }
}

impl Column for Lists {
    fn push_copy(&mut self, other: &Self, slot: usize) {
        self.lists.push(other.lists.get(slot).cloned().unwrap_or_default());
    }

    fn put_back(&mut self, slot: usize, other: &mut Self, from: usize) {
        *self.place(slot) = std::mem::take(&mut other.lists[from]);
    }

    fn slots(&self) -> usize {
        self.lists.len()
    }

    fn is_due(&self, slot: usize, expiry: &Expiry) -> bool {
        let is_due = |stamp| expiry.is_expired(stamp) || stamp == UNSTAMPED && expiry.stamp != UNSTAMPED;
        self.get(slot).is_some_and(|list| list.any(is_due))
    }

    fn sweep(&mut self, slot: usize, expiry: &Expiry) -> Entries {
        let list = self.place(slot);
        let before = list.values.len();
        list.refresh(expiry, false);
        Entries { before, after: list.values.len() }
    }

    fn encode(&self, expiry: Option<&Expiry>, into: &mut Encoder) -> Result<(), DatumError> {
        for (slot, list) in self.lists.iter().enumerate() {
            let mut index = 0;
            for (at, value) in list.values.iter().enumerate() {
                let stamp = list.stamp(at);
                if expiry.is_none_or(|expiry| !expiry.is_expired(stamp)) {
                    into.row(slot as u32, &[&Datum::Long(index), value], stamp)?;
                    index += 1;
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, slot: usize, mut from: Input<'_>, expiry: Option<&Expiry>, _fold: &Fold) -> Result<Taken, StateError> {
        let stored = from.length()?;
        let list = self.place(slot);
        let before = list.values.len();
        for _ in 0..stored {
            let stamp = read_stamp(&mut from)?;
            let value = decode_datum(&mut from.0)?;
            if expiry.is_none_or(|expiry| !expiry.is_expired(stamp)) {
                let stamps = stamp != UNSTAMPED || !list.stamps.is_empty();
                list.push(value, stamps.then_some(stamp));
            }
        }
        if from.0.is_empty() { Ok(Taken::of(stored, before, list.values.len())) } else { Err(damaged()) }
    }
}

impl Slots for Lists {
    fn put(&self, slot: usize, out: &mut Vec<u8>) -> Option<Stamp> {
        let list = self.get(slot)?;
        put_number(out, list.values.len() as u64);
        for (at, value) in list.values.iter().enumerate() {
            put_stamp(out, list.stamp(at));
            encode_datum(value, out);
        }
        (0..list.values.len()).map(|at| list.stamp(at)).max()
    }

    fn empty(&mut self, slot: usize) {
        if self.get(slot).is_some() {
            *self.place(slot) = List::default();
        }
    }

    fn weigh(&self, slot: usize) -> usize {
        size_of::<List>() + self.get(slot).map_or(0, |list| weigh_several(list.values.len(), size_of::<Stamp>(), &list.values))
    }
}

impl Table<Lists> {
    /// The elements. `last` takes expired ones that may be seen once more.
    pub(in crate::state) fn list<'a>(&'a mut self, keys: &mut KeyTable, key: KeyRef, last: &'a mut Vec<Datum>) -> &'a [Datum] {
        if let Some(expiry) = self.expiry
            && self.look(keys, key, &expiry, last)
        {
            return last;
        }
        self.there(key).map_or(&[], |list| &list.values)
    }

    fn there(&self, key: KeyRef) -> Option<&List> {
        let (column, slot) = self.read(key);
        column.get(slot)
    }

    fn place(&mut self, key: KeyRef) -> &mut List {
        let (column, slot) = self.write(key);
        column.place(slot)
    }

    /// What reading does to a list with TTL. True if `last` holds what is to be seen.
    fn look(&mut self, keys: &mut KeyTable, key: KeyRef, expiry: &Expiry, last: &mut Vec<Datum>) -> bool {
        self.accesses += 1;
        let Some(list) = self.there(key) else { return false };
        let expired = list.any(|stamp| expiry.is_expired(stamp));
        if !expired && !list.any(|stamp| expiry.restamps(stamp)) {
            return false;
        }
        let list = self.place(key);
        let shows = expired && expiry.return_expired;
        if shows {
            last.clone_from(&list.values);
        }
        let before = list.values.len();
        list.refresh(expiry, expiry.on_read);
        let after = list.values.len();
        self.note(keys, key, Entries { before, after });
        shows
    }

    /// Adds an element at the end. Errors on NULL.
    pub(in crate::state) fn push(&mut self, keys: &mut KeyTable, key: KeyRef, value: Datum) -> Result<(), StateError> {
        if value.is_null() {
            return Err(self.no_null());
        }
        let stamp = self.expiry.map(|expiry| expiry.stamp);
        self.accesses += 1;
        let list = self.place(key);
        list.push(value, stamp);
        let after = list.values.len();
        self.note(keys, key, Entries { before: after - 1, after });
        Ok(())
    }

    /// Replaces all elements. Errors on NULL among them.
    pub(in crate::state) fn set(&mut self, keys: &mut KeyTable, key: KeyRef, values: Vec<Datum>) -> Result<(), StateError> {
        if values.iter().any(Datum::is_null) {
            return Err(self.no_null());
        }
        let stamp = self.expiry.map(|expiry| expiry.stamp);
        self.accesses += 1;
        if values.is_empty() && self.there(key).is_none() {
            return Ok(());
        }
        let list = self.place(key);
        let entries = Entries { before: list.values.len(), after: values.len() };
        list.stamps = stamp.map(|stamp| vec![stamp; values.len()]).unwrap_or_default();
        list.values = values;
        self.note(keys, key, entries);
        Ok(())
    }

    fn no_null(&self) -> StateError {
        StateError::Function { state: self.descriptor.name.clone(), message: "a list takes no NULL".to_owned() }
    }
}

impl restore::Load for Table<Lists> {
    /// Elements come in their order, as snapshots write them.
    fn load(&mut self, keys: &mut KeyTable, key: KeyRef, row: &mut [Datum], stamp: Stamp) -> Result<(), String> {
        let [index, value] = row else { return Err("a list element needs an index and a value".to_owned()) };
        let stamp = self.expiry.map(|_| stamp);
        let list = self.place(key);
        if index.as_long() != Some(list.values.len() as i64) {
            return Err(format!(
                "the elements of a list must be saved in their order, 0, 1, …; element {} has index {index:?}",
                list.values.len()
            ));
        }
        list.push(std::mem::take(value), stamp);
        let after = list.values.len();
        self.note(keys, key, Entries { before: after - 1, after });
        Ok(())
    }
}
