//! The loop over the rows of a batch that each aggregate runs, specialised by accumulator and by what is wanted of it.

use crate::state::{GroupRef, GroupTable, nulls_at};
use arrow::buffer::NullBuffer;

/// What a row does to an aggregate of its group.
pub(super) mod sign {
    /// Nothing: filtered out, NULL, a duplicate, or a retraction from a group that does not exist.
    pub(in crate::operator::aggregate) const NONE: i8 = 0;
    /// It is added.
    pub(in crate::operator::aggregate) const ADD: i8 = 1;
    /// It is taken back.
    pub(in crate::operator::aggregate) const SUBTRACT: i8 = -1;
    /// It was the last row of its group: the group goes.
    pub(in crate::operator::aggregate) const CLEAR: i8 = 2;
}

/// Which values of an aggregate are wanted, row by row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// None.
    Nothing,
    /// One a row: the value after the row, or before it if the row ends its group.
    New,
    /// Two a row: the value before it, the value after it.
    OldAndNew,
}

/// An accumulator in the words of a group.
pub(super) trait Accumulator {
    type Input: Copy;
    type Value: Copy + PartialEq + Default;
    fn value(&self, row: &[u64]) -> Option<Self::Value>;
    fn add(&self, row: &mut [u64], input: Self::Input);
    fn subtract(&self, row: &mut [u64], input: Self::Input);
    fn clear(&self, row: &mut [u64]);
}

/// Values of a column that is being built.
#[derive(Debug, Default)]
pub(super) struct Results<V> {
    values: Vec<V>,
    missing: Vec<u32>,
}

impl<V: Copy + Default> Results<V> {
    pub(super) fn with_capacity(values: usize) -> Self {
        Self { values: Vec::with_capacity(values), missing: Vec::new() }
    }

    /// These values, none of them NULL.
    pub(super) const fn of(values: Vec<V>) -> Self {
        Self { values, missing: Vec::new() }
    }

    #[inline]
    pub(super) fn push(&mut self, value: Option<V>) {
        if value.is_none() {
            self.missing.push(self.values.len() as u32);
        }
        self.values.push(value.unwrap_or_default());
    }

    pub(super) fn into_parts(self) -> (Vec<V>, Option<NullBuffer>) {
        let nulls = nulls_at(self.values.len(), &self.missing);
        (self.values, nulls)
    }
}

/// One pass: which groups, what each row does (`None`: all are added), and what is wanted.
pub(super) struct Pass<'a> {
    pub(super) groups: &'a [GroupRef],
    pub(super) signs: Option<&'a [i8]>,
    pub(super) wanted: Wanted,
    /// Set to true for rows that change the aggregate's value, if anyone asks.
    pub(super) changed: Option<&'a mut [bool]>,
}

/// Applies `inputs`, one a row, to the groups of the rows, in order.
pub(super) fn update<A: Accumulator>(accumulator: &A, table: &mut GroupTable, inputs: &[A::Input], pass: Pass<'_>) -> Results<A::Value> {
    let signs = pass.signs.unwrap_or(&[]);
    let slots = match pass.wanted {
        Wanted::Nothing => 0,
        Wanted::New => inputs.len(),
        Wanted::OldAndNew => 2 * inputs.len(),
    };
    let mut values = vec![A::Value::default(); slots];
    let mut run = Run { accumulator, table, groups: pass.groups, inputs, signs, missing: Vec::new() };
    let nobody: &mut [bool] = &mut [];
    match (pass.signs.is_some(), pass.wanted, pass.changed) {
        (false, Wanted::Nothing, _) => run.silent::<false>(),
        (true, Wanted::Nothing, _) => run.silent::<true>(),
        (false, Wanted::New, None) => run.new_values::<false, false>(&mut values, nobody),
        (true, Wanted::New, None) => run.new_values::<true, false>(&mut values, nobody),
        (false, Wanted::New, Some(changed)) => run.new_values::<false, true>(&mut values, changed),
        (true, Wanted::New, Some(changed)) => run.new_values::<true, true>(&mut values, changed),
        (false, Wanted::OldAndNew, None) => run.both_values::<false, false>(&mut values, nobody),
        (true, Wanted::OldAndNew, None) => run.both_values::<true, false>(&mut values, nobody),
        (false, Wanted::OldAndNew, Some(changed)) => run.both_values::<false, true>(&mut values, changed),
        (true, Wanted::OldAndNew, Some(changed)) => run.both_values::<true, true>(&mut values, changed),
    }
    Results { values, missing: run.missing }
}

/// The loops. `SIGNED`: rows do what `signs` says; without, all are added. `TRACK`: someone asks which rows change the value.
struct Run<'a, A: Accumulator> {
    accumulator: &'a A,
    table: &'a mut GroupTable,
    groups: &'a [GroupRef],
    inputs: &'a [A::Input],
    signs: &'a [i8],
    missing: Vec<u32>,
}

impl<A: Accumulator> Run<'_, A> {
    /// Applies a row; true if its group goes.
    #[inline]
    fn apply<const SIGNED: bool>(accumulator: &A, row: &mut [u64], input: A::Input, signs: &[i8], at: usize) -> bool {
        if !SIGNED {
            accumulator.add(row, input);
            return false;
        }
        match signs[at] {
            sign::ADD => accumulator.add(row, input),
            sign::SUBTRACT => accumulator.subtract(row, input),
            sign::CLEAR => {
                accumulator.clear(row);
                return true;
            }
            _ => {}
        }
        false
    }

    fn silent<const SIGNED: bool>(&mut self) {
        for (at, (group, input)) in self.groups.iter().zip(self.inputs).enumerate() {
            Self::apply::<SIGNED>(self.accumulator, self.table.row_mut(*group), *input, self.signs, at);
        }
    }

    fn new_values<const SIGNED: bool, const TRACK: bool>(&mut self, values: &mut [A::Value], changed: &mut [bool]) {
        let rows = self.groups.iter().zip(self.inputs).zip(values);
        for (at, ((group, input), slot)) in rows.enumerate() {
            let row = self.table.row_mut(*group);
            let old = if SIGNED || TRACK { self.accumulator.value(row) } else { None };
            let gone = Self::apply::<SIGNED>(self.accumulator, row, *input, self.signs, at);
            let new = if gone { old } else { self.accumulator.value(row) };
            if TRACK {
                changed[at] |= old != new;
            }
            match new {
                Some(value) => *slot = value,
                None => self.missing.push(at as u32),
            }
        }
    }

    fn both_values<const SIGNED: bool, const TRACK: bool>(&mut self, values: &mut [A::Value], changed: &mut [bool]) {
        let rows = self.groups.iter().zip(self.inputs).zip(values.chunks_exact_mut(2));
        for (at, ((group, input), slots)) in rows.enumerate() {
            let row = self.table.row_mut(*group);
            let old = self.accumulator.value(row);
            Self::apply::<SIGNED>(self.accumulator, row, *input, self.signs, at);
            let new = self.accumulator.value(row);
            if TRACK {
                changed[at] |= old != new;
            }
            for (slot, (value, place)) in slots.iter_mut().zip([(old, 2 * at), (new, 2 * at + 1)]) {
                match value {
                    Some(value) => *slot = value,
                    None => self.missing.push(place as u32),
                }
            }
        }
    }
}

/// The values of `groups` as they are.
pub(super) fn read<A: Accumulator>(accumulator: &A, table: &GroupTable, groups: &[GroupRef]) -> Results<A::Value> {
    let mut results = Results::with_capacity(groups.len());
    for group in groups {
        results.push(accumulator.value(table.row(*group)));
    }
    results
}
