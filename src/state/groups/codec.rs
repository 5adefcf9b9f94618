//! A group as a row of the store. The key is the key group (two bytes, big endian) and the key columns in an order-preserving encoding,
//! so that key groups are contiguous; the value is the group's words and its side columns, numbers as variable-length integers. Where there
//! is a TTL the value begins with the time of its expiry, by which the store forgets it.

use super::keys;
use super::layout::{FLAGS, GroupLayout, KEY, KeyForm, OWN_FLAGS};
use super::multiset::Multiset;
use super::rows::{MultisetKey, Rows, SideColumn};
use crate::state::StateError;
use crate::state::rocksdb::{put_expiry, split_expiry};
use crate::types::KeyGroup;

/// Sign bit first: the order of bytes is that of numbers.
const SIGN: u64 = 1 << 63;

/// Appends the beginning of every key.
pub(super) fn put_key_group(out: &mut Vec<u8>, key_group: KeyGroup) {
    out.extend_from_slice(&key_group.0.to_be_bytes());
}

/// Appends a key column of one word.
pub(super) fn put_word(out: &mut Vec<u8>, word: u64, is_null: bool) {
    out.push(u8::from(!is_null));
    out.extend_from_slice(&(word ^ SIGN).to_be_bytes());
}

/// Appends a key of bytes.
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8], is_null: bool) {
    out.push(u8::from(!is_null));
    out.extend_from_slice(bytes);
}

/// Appends the key columns of a group.
pub(super) fn put_key(out: &mut Vec<u8>, layout: &GroupLayout, rows: &Rows, row: u32) {
    let words = rows.row(row, layout.stride);
    match layout.key_form {
        KeyForm::Single => {}
        KeyForm::Words(count) => (0..count).for_each(|k| put_word(out, words[KEY + k], words[FLAGS] >> k & 1 != 0)),
        KeyForm::Bytes => put_bytes(out, rows.arena_key(row, layout.stride), words[FLAGS] & 1 != 0),
        KeyForm::Encoded => put_bytes(out, rows.arena_key(row, layout.stride), false),
    }
}

/// Appends everything of a group but its key.
pub(super) fn put_value(out: &mut Vec<u8>, layout: &GroupLayout, rows: &Rows, row: u32) -> Result<(), StateError> {
    let words = rows.row(row, layout.stride);
    if let Some(expiry) = layout.expiry {
        put_expiry(out, words[expiry] as i64);
    }
    put_number(out, words[FLAGS] & !OWN_FLAGS & !keys::NULL_BITS);
    for word in &words[layout.records..layout.words] {
        put_number(out, zigzag(*word as i64));
    }
    for side in 0..layout.sides.len() {
        let at = row as usize;
        match rows.side(side) {
            Some(SideColumn::Bytes(values)) => match values.get(at).and_then(Option::as_deref) {
                None => put_number(out, 0),
                Some(bytes) => {
                    put_number(out, bytes.len() as u64 + 1);
                    out.extend_from_slice(bytes);
                }
            },
            Some(SideColumn::Longs(sets, _)) => put_set(out, sets.get(at), |out, key| put_number(out, zigzag(*key))),
            Some(SideColumn::Wides(sets, _)) => put_set(out, sets.get(at), |out, key| out.extend_from_slice(&key.to_le_bytes())),
            Some(SideColumn::Texts(sets, _)) => put_set(out, sets.get(at), |out, key| {
                put_number(out, key.len() as u64);
                out.extend_from_slice(key);
            }),
            None => return Err(StateError::Invariant(format!("there is no side column {side}"))),
        }
    }
    Ok(())
}

fn put_set<K: Ord + std::hash::Hash + Clone>(out: &mut Vec<u8>, set: Option<&Multiset<K>>, put: impl Fn(&mut Vec<u8>, &K)) {
    let entries = set.map(Multiset::sorted).unwrap_or_default();
    put_number(out, entries.len() as u64);
    for (key, count) in entries {
        put(out, key);
        put_number(out, zigzag(count));
    }
}

const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

const fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

fn put_number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Bytes that are read from the front.
struct Input<'a>(&'a [u8]);

fn damaged() -> StateError {
    StateError::Invariant("a row of the store is damaged".to_owned())
}

impl<'a> Input<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], StateError> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or_else(damaged)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], StateError> {
        self.take(N)?.try_into().map_err(|_| damaged())
    }

    #[inline]
    fn number(&mut self) -> Result<u64, StateError> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first().ok_or_else(damaged)?;
            self.0 = rest;
            value |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(damaged())
    }

    fn set<K: MultisetKey>(&mut self, set: &mut Multiset<K>, key: impl Fn(&mut Self) -> Result<K, StateError>) -> Result<(), StateError> {
        for _ in 0..self.number()? {
            let value = key(self)?;
            set.set(value, unzigzag(self.number()?));
        }
        Ok(())
    }
}

/// The key group of a key, and the rest of it.
pub(super) fn split_key(key: &[u8]) -> Result<(KeyGroup, &[u8]), StateError> {
    let (key_group, rest) = key.split_first_chunk::<2>().ok_or_else(damaged)?;
    Ok((KeyGroup(u16::from_be_bytes(*key_group)), rest))
}

/// Sets the key of a row that has none yet. `key`: without its key group.
pub(super) fn read_key(key: &[u8], layout: &GroupLayout, rows: &mut Rows, row: u32) -> Result<(), StateError> {
    let mut input = Input(key);
    match layout.key_form {
        KeyForm::Single => {}
        KeyForm::Words(count) => {
            for k in 0..count {
                let [valid] = input.array::<1>()?;
                let word = u64::from_be_bytes(input.array()?) ^ SIGN;
                let words = rows.row_mut(row, layout.stride);
                words[FLAGS] |= u64::from(valid == 0) << k;
                words[KEY + k] = word;
            }
        }
        KeyForm::Bytes | KeyForm::Encoded => {
            let [valid] = input.array::<1>()?;
            rows.row_mut(row, layout.stride)[FLAGS] |= u64::from(valid == 0);
            rows.set_arena_key(row, layout.stride, std::mem::take(&mut input.0))?;
        }
    }
    if input.0.is_empty() { Ok(()) } else { Err(damaged()) }
}

/// Sets everything but the key of a row that has only its key.
pub(super) fn read_value(value: &[u8], layout: &GroupLayout, rows: &mut Rows, row: u32) -> Result<(), StateError> {
    let mut input = Input(value);
    let words = rows.row_mut(row, layout.stride);
    if let Some(expiry) = layout.expiry {
        let (expires_at, rest) = split_expiry(value)?;
        (words[expiry], input.0) = (expires_at as u64, rest);
    }
    words[FLAGS] |= input.number()? & !OWN_FLAGS & !keys::NULL_BITS;
    for word in &mut words[layout.records..layout.words] {
        *word = unzigzag(input.number()?) as u64;
    }
    for side in 0..layout.sides.len() {
        match rows.side(side) {
            Some(SideColumn::Bytes(_)) => {
                let bytes = match input.number()? {
                    0 => None,
                    length => Some(input.take(usize::try_from(length - 1).map_err(|_| damaged())?)?.into()),
                };
                *rows.bytes_mut(row, side).ok_or_else(damaged)? = bytes;
            }
            Some(SideColumn::Longs(..)) => {
                let set = rows.multiset_mut::<i64>(row, side).ok_or_else(damaged)?;
                input.set(set, |input| Ok(unzigzag(input.number()?)))?;
            }
            Some(SideColumn::Wides(..)) => {
                let set = rows.multiset_mut::<i128>(row, side).ok_or_else(damaged)?;
                input.set(set, |input| Ok(i128::from_le_bytes(input.array()?)))?;
            }
            Some(SideColumn::Texts(..)) => {
                let set = rows.multiset_mut::<Box<[u8]>>(row, side).ok_or_else(damaged)?;
                input.set(set, |input| {
                    let length = usize::try_from(input.number()?).map_err(|_| damaged())?;
                    Ok(input.take(length)?.into())
                })?;
            }
            None => return Err(damaged()),
        }
    }
    if input.0.is_empty() { Ok(()) } else { Err(damaged()) }
}
