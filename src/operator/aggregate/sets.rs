//! The accumulators beside the words of a group: MIN and MAX of strings, MIN and MAX over rows that may be taken back, and the
//! multisets behind DISTINCT.

use super::kernel::{Pass, Results, Wanted, sign};
use crate::operator::OperatorError;
use crate::state::{GroupRef, GroupTable, MultisetKey, nulls_at};
use arrow::array::{ArrayRef, BinaryArray, StringArray};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::DataType;
use std::sync::Arc;

/// Takes the values of a column that is being built.
pub(super) trait Outlet<K> {
    fn push(&mut self, value: Option<&K>);
}

impl<V: Copy + Default> Outlet<V> for Results<V> {
    #[inline]
    fn push(&mut self, value: Option<&V>) {
        Results::push(self, value.copied());
    }
}

/// A STRING or BYTES column that is being built.
#[derive(Debug, Default)]
pub(super) struct ByteResults {
    values: Vec<u8>,
    ends: Vec<usize>,
    missing: Vec<u32>,
}

impl ByteResults {
    #[inline]
    pub(super) fn push_bytes(&mut self, value: Option<&[u8]>) {
        match value {
            Some(value) => self.values.extend_from_slice(value),
            None => self.missing.push(self.ends.len() as u32),
        }
        self.ends.push(self.values.len());
    }

    /// Errors on a column of more than 2 GiB.
    pub(super) fn into_array(self, data_type: &DataType) -> Result<ArrayRef, OperatorError> {
        if i32::try_from(self.values.len()).is_err() {
            return Err(OperatorError::Invariant(format!("the results of one batch have {} bytes in a column", self.values.len())));
        }
        let nulls = nulls_at(self.ends.len(), &self.missing);
        let offsets: ScalarBuffer<i32> = std::iter::once(0).chain(self.ends.iter().map(|end| *end as i32)).collect();
        let (offsets, values) = (OffsetBuffer::new(offsets), Buffer::from_vec(self.values));
        Ok(match data_type {
            DataType::Utf8 => Arc::new(StringArray::try_new(offsets, values, nulls)?),
            _ => Arc::new(BinaryArray::try_new(offsets, values, nulls)?),
        })
    }
}

impl Outlet<Box<[u8]>> for ByteResults {
    fn push(&mut self, value: Option<&Box<[u8]>>) {
        self.push_bytes(value.map(AsRef::as_ref));
    }
}

fn broken() -> OperatorError {
    OperatorError::Invariant("an accumulator does not lie where its layout says".to_owned())
}

/// Applies what each row does (see [`sign`]) to the multisets of `side`, and returns what it does to an aggregate over the
/// distinct values: a value counts when its first copy comes and when its last copy goes.
pub(super) fn distinct<K: MultisetKey>(
    table: &mut GroupTable,
    side: usize,
    groups: &[GroupRef],
    signs: &[i8],
    value: impl Fn(usize) -> K,
) -> Result<Vec<i8>, OperatorError> {
    let mut effects = Vec::with_capacity(groups.len());
    for (at, (group, sign)) in groups.iter().zip(signs).enumerate() {
        let set = table.multiset_mut::<K>(*group, side).ok_or_else(broken)?;
        effects.push(match *sign {
            sign::ADD => set.change(value(at), 1) as i8,
            sign::SUBTRACT => set.change(value(at), -1) as i8,
            sign::CLEAR => {
                set.clear();
                sign::CLEAR
            }
            other => other,
        });
    }
    Ok(effects)
}

/// MIN or MAX (`max`) over multisets: applies one value a row and pushes what is wanted to `out`.
pub(super) fn extreme_of_sets<K: MultisetKey>(
    (table, side, max): (&mut GroupTable, usize, bool),
    pass: Pass<'_>,
    signs: &[i8],
    value: impl Fn(usize) -> K,
    out: &mut impl Outlet<K>,
) -> Result<(), OperatorError> {
    let mut changed = pass.changed;
    for (at, (group, sign)) in pass.groups.iter().zip(signs).enumerate() {
        let set = table.multiset_mut::<K>(*group, side).ok_or_else(broken)?;
        let extreme = |set: &crate::state::Multiset<K>| if max { set.max().cloned() } else { set.min().cloned() };
        let old = if pass.wanted == Wanted::Nothing { None } else { extreme(set) };
        match *sign {
            sign::ADD => _ = set.change(value(at), 1),
            sign::SUBTRACT => _ = set.change(value(at), -1),
            sign::CLEAR => set.clear(),
            _ => {}
        }
        match pass.wanted {
            Wanted::Nothing => continue,
            Wanted::New if *sign == sign::CLEAR => {
                out.push(old.as_ref());
                continue;
            }
            Wanted::New => {}
            Wanted::OldAndNew => out.push(old.as_ref()),
        }
        let new = if *sign == sign::NONE { old.clone() } else { extreme(set) };
        if let Some(changed) = changed.as_deref_mut() {
            changed[at] |= old != new;
        }
        out.push(new.as_ref());
    }
    Ok(())
}

/// MIN or MAX (`max`) of STRING or BYTES over rows that are never taken back.
pub(super) fn extreme_of_bytes<'a>(
    (table, side, max): (&mut GroupTable, usize, bool),
    pass: Pass<'_>,
    signs: &[i8],
    value: impl Fn(usize) -> &'a [u8],
    out: &mut ByteResults,
) -> Result<(), OperatorError> {
    let mut changed = pass.changed;
    for (at, (group, sign)) in pass.groups.iter().zip(signs).enumerate() {
        let best = table.bytes_mut(*group, side).ok_or_else(broken)?;
        if pass.wanted == Wanted::OldAndNew || (pass.wanted == Wanted::New && *sign == sign::CLEAR) {
            out.push_bytes(best.as_deref());
        }
        match *sign {
            sign::ADD => {
                let value = value(at);
                let replaces = best.as_deref().is_none_or(|best| if max { best < value } else { value < best });
                if replaces {
                    *best = Some(value.into());
                    if let Some(changed) = changed.as_deref_mut() {
                        changed[at] = true;
                    }
                }
            }
            sign::CLEAR => *best = None,
            _ => {}
        }
        match pass.wanted {
            Wanted::Nothing => {}
            Wanted::New if *sign == sign::CLEAR => {}
            Wanted::New | Wanted::OldAndNew => out.push_bytes(best.as_deref()),
        }
    }
    Ok(())
}
