//! A group as a row of the store. The key is the key group (two bytes, big endian) and the key columns in an order-preserving encoding,
//! so that key groups are contiguous; the value is the group's words and its side columns, numbers as variable-length integers. Where there
//! is a TTL the value begins with the time of its expiry, by which the store forgets it.

use super::keys;
use super::layout::{FLAGS, GroupLayout, KEY, KeyForm, OWN_FLAGS};
use super::multiset::Multiset;
use super::rows::Rows;
use super::sides::{MultisetKey, SideColumn};
use crate::state::StateError;
use crate::state::bytes::{Input, damaged, put_number, unzigzag, zigzag};
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
        match rows.side(row, side) {
            Some((SideColumn::Bytes(values), at)) => match values.get(at).and_then(Option::as_deref) {
                None => put_number(out, 0),
                Some(bytes) => {
                    put_number(out, bytes.len() as u64 + 1);
                    out.extend_from_slice(bytes);
                }
            },
            Some((SideColumn::Longs(sets, _), at)) => put_set(out, sets.get(at), |out, key| put_number(out, zigzag(*key))),
            Some((SideColumn::Wides(sets, _), at)) => put_set(out, sets.get(at), |out, key| out.extend_from_slice(&key.to_le_bytes())),
            Some((SideColumn::Texts(sets, _), at)) => put_set(out, sets.get(at), |out, key| {
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

fn set<K: MultisetKey>(
    input: &mut Input<'_>,
    set: &mut Multiset<K>,
    key: impl Fn(&mut Input<'_>) -> Result<K, StateError>,
) -> Result<(), StateError> {
    for _ in 0..input.number()? {
        let value = key(input)?;
        set.set(value, unzigzag(input.number()?));
    }
    Ok(())
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

/// The bytes behind the words of a group without side columns.
pub(super) fn behind_words<'a>(value: &'a [u8], layout: &GroupLayout) -> Result<&'a [u8], StateError> {
    let mut input = Input(value);
    for _ in 0..=layout.words - layout.records {
        input.number()?;
    }
    if layout.sides.is_empty() { Ok(input.0) } else { Err(damaged()) }
}

/// Sets everything but the key of a row that has only its key; returns the bytes behind it.
pub(super) fn read_value<'a>(value: &'a [u8], layout: &GroupLayout, rows: &mut Rows, row: u32) -> Result<&'a [u8], StateError> {
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
        match rows.side(row, side) {
            Some((SideColumn::Bytes(_), _)) => {
                let bytes = match input.length()? {
                    0 => None,
                    length => Some(input.take(length - 1)?.into()),
                };
                *rows.bytes_mut(row, side).ok_or_else(damaged)? = bytes;
            }
            Some((SideColumn::Longs(..), _)) => {
                let values = rows.multiset_mut::<i64>(row, side).ok_or_else(damaged)?;
                set(&mut input, values, |input| Ok(unzigzag(input.number()?)))?;
            }
            Some((SideColumn::Wides(..), _)) => {
                let values = rows.multiset_mut::<i128>(row, side).ok_or_else(damaged)?;
                set(&mut input, values, |input| Ok(i128::from_le_bytes(input.array()?)))?;
            }
            Some((SideColumn::Texts(..), _)) => {
                let values = rows.multiset_mut::<Box<[u8]>>(row, side).ok_or_else(damaged)?;
                set(&mut input, values, |input| {
                    let length = input.length()?;
                    Ok(input.take(length)?.into())
                })?;
            }
            None => return Err(damaged()),
        }
    }
    Ok(input.0)
}
