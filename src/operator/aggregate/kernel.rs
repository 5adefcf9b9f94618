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

impl<V: Default> Results<V> {
    pub(super) fn with_capacity(values: usize) -> Self {
        Self { values: Vec::with_capacity(values), missing: Vec::new() }
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

const NOTHING: u8 = 0;
const NEW: u8 = 1;
const OLD_AND_NEW: u8 = 2;

/// Applies `inputs`, one a row, to the groups of the rows, in order.
pub(super) fn update<A: Accumulator>(accumulator: &A, table: &mut GroupTable, inputs: &[A::Input], pass: Pass<'_>) -> Results<A::Value> {
    let signs = pass.signs.unwrap_or(&[]);
    let slots = match pass.wanted {
        Wanted::Nothing => 0,
        Wanted::New => inputs.len(),
        Wanted::OldAndNew => 2 * inputs.len(),
    };
    let mut run = Run { accumulator, table, groups: pass.groups, inputs, signs, results: Results::with_capacity(slots) };
    let nobody: &mut [bool] = &mut [];
    match (pass.signs.is_some(), pass.wanted, pass.changed) {
        (false, Wanted::Nothing, _) => run.go::<false, NOTHING, false>(nobody),
        (true, Wanted::Nothing, _) => run.go::<true, NOTHING, false>(nobody),
        (false, Wanted::New, None) => run.go::<false, NEW, false>(nobody),
        (true, Wanted::New, None) => run.go::<true, NEW, false>(nobody),
        (false, Wanted::OldAndNew, None) => run.go::<false, OLD_AND_NEW, false>(nobody),
        (true, Wanted::OldAndNew, None) => run.go::<true, OLD_AND_NEW, false>(nobody),
        (false, Wanted::New, Some(changed)) => run.go::<false, NEW, true>(changed),
        (true, Wanted::New, Some(changed)) => run.go::<true, NEW, true>(changed),
        (false, Wanted::OldAndNew, Some(changed)) => run.go::<false, OLD_AND_NEW, true>(changed),
        (true, Wanted::OldAndNew, Some(changed)) => run.go::<true, OLD_AND_NEW, true>(changed),
    }
    run.results
}

struct Run<'a, A: Accumulator> {
    accumulator: &'a A,
    table: &'a mut GroupTable,
    groups: &'a [GroupRef],
    inputs: &'a [A::Input],
    signs: &'a [i8],
    results: Results<A::Value>,
}

impl<A: Accumulator> Run<'_, A> {
    fn go<const SIGNED: bool, const WANTED: u8, const TRACK: bool>(&mut self, changed: &mut [bool]) {
        let accumulator = self.accumulator;
        for (at, (group, input)) in self.groups.iter().zip(self.inputs).enumerate() {
            let row = self.table.row_mut(*group);
            let old = if WANTED == OLD_AND_NEW || TRACK || (SIGNED && WANTED == NEW) { accumulator.value(row) } else { None };
            let mut cleared = false;
            if SIGNED {
                match self.signs[at] {
                    sign::ADD => accumulator.add(row, *input),
                    sign::SUBTRACT => accumulator.subtract(row, *input),
                    sign::CLEAR => {
                        accumulator.clear(row);
                        cleared = true;
                    }
                    _ => {}
                }
            } else {
                accumulator.add(row, *input);
            }
            if WANTED == NOTHING {
                continue;
            }
            if WANTED == OLD_AND_NEW {
                self.results.push(old);
            }
            if WANTED == NEW && cleared {
                self.results.push(old);
                continue;
            }
            let new = accumulator.value(row);
            if TRACK {
                changed[at] |= old != new;
            }
            self.results.push(new);
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
