//! One value a key: value, reducing and aggregating state.

use super::fold::Fold;
use super::keys::KeyTable;
use super::snapshot::Encoder;
use super::spill::{Slots, put_stamp, read_stamp};
use super::table::{Column, Entries, Table, Taken};
use super::{KeyRef, restore};
use crate::state::StateError;
use crate::state::bytes::{Input, damaged};
use crate::state::ttl::{Expiry, Stamp, UNSTAMPED};
use crate::types::{Datum, DatumError, decode_datum, encode_datum};

/// See the module.
#[derive(Debug, Clone, Default)]
pub(in crate::state) struct Cells {
    /// NULL: nothing.
    values: Vec<Datum>,
    /// One a value; none without TTL.
    stamps: Vec<Stamp>,
}

impl Cells {
    #[inline]
    pub(super) fn get(&self, slot: usize) -> Option<&Datum> {
        self.values.get(slot).filter(|value| !value.is_null())
    }

    /// The place of a slot's value. `stamp`: what is written there expires then.
    #[inline]
    pub(super) fn place(&mut self, slot: usize, stamp: Option<Stamp>) -> &mut Datum {
        if slot >= self.values.len() {
            self.values.resize(slot + 1, Datum::Null);
        }
        if let Some(stamp) = stamp {
            self.restamp(slot, stamp);
        }
        &mut self.values[slot]
    }

    fn restamp(&mut self, slot: usize, stamp: Stamp) {
        if self.stamps.len() < self.values.len() {
            self.stamps.resize(self.values.len(), UNSTAMPED);
        }
        self.stamps[slot] = stamp;
    }

    fn stamp(&self, slot: usize) -> Stamp {
        self.stamps.get(slot).copied().unwrap_or(UNSTAMPED)
    }
}

impl Column for Cells {
    fn push_copy(&mut self, other: &Self, slot: usize) {
        self.values.push(other.values.get(slot).cloned().unwrap_or_default());
        if !self.stamps.is_empty() || other.stamp(slot) != UNSTAMPED {
            self.restamp(self.values.len() - 1, other.stamp(slot));
        }
    }

    fn put_back(&mut self, slot: usize, other: &mut Self, from: usize) {
        let stamps = !self.stamps.is_empty() || !other.stamps.is_empty();
        *self.place(slot, stamps.then(|| other.stamp(from))) = std::mem::take(&mut other.values[from]);
    }

    fn slots(&self) -> usize {
        self.values.len()
    }

    fn is_due(&self, slot: usize, expiry: &Expiry) -> bool {
        let stamp = self.stamp(slot);
        self.get(slot).is_some() && (expiry.is_expired(stamp) || stamp == UNSTAMPED && expiry.stamp != UNSTAMPED)
    }

    fn sweep(&mut self, slot: usize, expiry: &Expiry) -> Entries {
        let before = usize::from(self.get(slot).is_some());
        if expiry.is_expired(self.stamp(slot)) {
            *self.place(slot, None) = Datum::Null;
            return Entries { before, after: 0 };
        }
        self.restamp(slot, expiry.stamp);
        Entries { before, after: before }
    }

    fn encode(&self, expiry: Option<&Expiry>, into: &mut Encoder) -> Result<(), DatumError> {
        for slot in 0..self.values.len() {
            let Some(value) = self.get(slot) else { continue };
            let stamp = self.stamp(slot);
            if expiry.is_none_or(|expiry| !expiry.is_expired(stamp)) {
                into.row(slot as u32, &[value], stamp)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, slot: usize, mut from: Input<'_>, expiry: Option<&Expiry>, fold: &Fold) -> Result<Taken, StateError> {
        let before = usize::from(self.get(slot).is_some());
        let stamp = read_stamp(&mut from)?;
        if expiry.is_some_and(|expiry| expiry.is_expired(stamp)) {
            return Ok(Taken::of(1, before, before));
        }
        let value = decode_datum(&mut from.0)?;
        if value.is_null() || !from.0.is_empty() {
            return Err(damaged());
        }
        let stamps = stamp != UNSTAMPED || !self.stamps.is_empty();
        let merged = fold.merge(self.place(slot, stamps.then_some(stamp)), value);
        merged.map_err(|message| StateError::Function { state: String::new(), message })?;
        Ok(Taken::of(1, before, 1))
    }
}

impl Slots for Cells {
    fn put(&self, slot: usize, out: &mut Vec<u8>) -> Option<Stamp> {
        let value = self.get(slot)?;
        let stamp = self.stamp(slot);
        put_stamp(out, stamp);
        encode_datum(value, out);
        Some(stamp)
    }

    fn empty(&mut self, slot: usize) {
        if self.get(slot).is_some() {
            *self.place(slot, None) = Datum::Null;
        }
    }

    fn weigh(&self, slot: usize) -> usize {
        size_of::<Datum>() + self.get(slot).map_or(0, |value| value.weight() + size_of::<Stamp>())
    }
}

impl Table<Cells> {
    /// The value; of an expired one, at most a last look, which is put into `last`.
    #[inline]
    pub(in crate::state) fn value<'a>(&'a mut self, keys: &mut KeyTable, key: KeyRef, last: &'a mut Datum) -> Option<&'a Datum> {
        if let Some(expiry) = self.expiry
            && self.look(keys, key, expiry, last)
        {
            return Some(last);
        }
        self.there(key)
    }

    #[inline]
    fn there(&self, key: KeyRef) -> Option<&Datum> {
        let (column, slot) = self.read(key);
        column.get(slot)
    }

    #[inline]
    fn place(&mut self, key: KeyRef, stamp: Option<Stamp>) -> &mut Datum {
        let (column, slot) = self.write(key);
        column.place(slot, stamp)
    }

    /// What reading does to a value with TTL. True if it has expired and may still be seen.
    fn look(&mut self, keys: &mut KeyTable, key: KeyRef, expiry: Expiry, last: &mut Datum) -> bool {
        self.accesses += 1;
        let (column, slot) = self.read(key);
        if column.get(slot).is_none() {
            return false;
        }
        let stamp = column.stamp(slot);
        if expiry.is_expired(stamp) {
            *last = std::mem::take(self.place(key, None));
            self.note(keys, key, Entries { before: 1, after: 0 });
            return expiry.return_expired;
        }
        if expiry.restamps(stamp) {
            let (column, slot) = self.write(key);
            column.restamp(slot, expiry.stamp);
        }
        false
    }

    /// Sets the value; NULL clears it.
    #[inline]
    pub(in crate::state) fn set(&mut self, keys: &mut KeyTable, key: KeyRef, value: Datum) {
        let stamp = self.expiry.map(|expiry| expiry.stamp);
        self.accesses += 1;
        let place = self.place(key, stamp);
        let (was, is) = (!place.is_null(), !value.is_null());
        *place = value;
        self.note(keys, key, Entries { before: usize::from(was), after: usize::from(is) });
    }

    /// Clears the value; copies nothing if there is none.
    pub(in crate::state) fn clear(&mut self, keys: &mut KeyTable, key: KeyRef) {
        if self.there(key).is_some() {
            self.set(keys, key, Datum::Null);
        }
    }

    /// Folds `value` into the accumulator.
    pub(in crate::state) fn add(&mut self, keys: &mut KeyTable, key: KeyRef, value: Datum, fold: &Fold) -> Result<(), StateError> {
        let expiry = self.expiry;
        self.accesses += 1;
        let (column, slot) = self.write(key);
        let expired = expiry.is_some_and(|expiry| expiry.is_expired(column.stamp(slot)));
        let place = column.place(slot, expiry.map(|expiry| expiry.stamp));
        let was = !place.is_null();
        if expired {
            *place = Datum::Null;
        }
        let added = fold.add(place, value);
        let is = !place.is_null();
        self.note(keys, key, Entries { before: usize::from(was), after: usize::from(is) });
        added.map_err(|message| StateError::Function { state: self.descriptor.name.clone(), message })
    }
}

impl restore::Load for Table<Cells> {
    fn load(&mut self, keys: &mut KeyTable, key: KeyRef, row: &mut [Datum], stamp: Stamp) -> Result<(), String> {
        let Some(value) = row.first_mut().map(std::mem::take).filter(|value| !value.is_null()) else { return Ok(()) };
        let stamp = self.expiry.map(|_| stamp);
        let place = self.place(key, stamp);
        if !place.is_null() {
            return Err("a key was saved twice".to_owned());
        }
        *place = value;
        self.note(keys, key, Entries { before: 0, after: 1 });
        Ok(())
    }
}
