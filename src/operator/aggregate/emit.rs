//! From the values of the aggregates, row by row, to a changelog: which rows come out, and as what.

use super::kernel::{Results, Wanted, sign};
use crate::operator::OperatorError;
use crate::state::{GroupRef, GroupTable};
use crate::types::{Batch, RowKind, RowKinds};
use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{filter, take};
use arrow::datatypes::SchemaRef;
use std::sync::Arc;

/// What a row does to its group as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// It takes something back from a group that does not exist: Flink ignores it.
    Ignore,
    /// It is the first of its group.
    First,
    /// It changes a group.
    Update,
    /// It takes back the last row of its group.
    Delete,
}

/// What the rows of a batch do to their groups.
#[derive(Debug)]
pub(super) struct Actions {
    pub(super) of_rows: Vec<Action>,
    /// What the rows do to aggregates ([`sign`]); `None` if all are added.
    pub(super) signs: Option<Vec<i8>>,
    /// The record counters, as far as they are wanted.
    pub(super) records: Results<i64>,
}

/// Counts the rows into their groups. `kinds` is `None` if every row is an insert.
pub(super) fn count_rows(table: &mut GroupTable, groups: &[GroupRef], kinds: Option<&RowKinds>, wanted: Wanted) -> Actions {
    let word = table.layout().records();
    let Some(kinds) = kinds else {
        let count = |group: &GroupRef| {
            let count = &mut table.row_mut(*group)[word];
            *count += 1;
            *count as i64
        };
        let counts: Vec<i64> = groups.iter().map(count).collect();
        let actions = counts.iter().map(|count| if *count == 1 { Action::First } else { Action::Update }).collect();
        let records = match wanted {
            Wanted::Nothing => Vec::new(),
            Wanted::New => counts,
            Wanted::OldAndNew => counts.iter().flat_map(|count| [count - 1, *count]).collect(),
        };
        return Actions { of_rows: actions, signs: None, records: Results::of(records) };
    };
    let (mut actions, mut signs) = (Vec::with_capacity(groups.len()), Vec::with_capacity(groups.len()));
    let mut records = Vec::new();
    for (group, kind) in groups.iter().zip(kinds.iter()) {
        let count = &mut table.row_mut(*group)[word];
        let old = *count as i64;
        let (action, sign, new) = match (kind.is_accumulate(), old) {
            (true, 0) => (Action::First, sign::ADD, 1),
            (true, old) => (Action::Update, sign::ADD, old + 1),
            (false, 0) => (Action::Ignore, sign::NONE, 0),
            (false, 1) => (Action::Delete, sign::CLEAR, 0),
            (false, old) => (Action::Update, sign::SUBTRACT, old - 1),
        };
        *count = new as u64;
        actions.push(action);
        signs.push(sign);
        match wanted {
            Wanted::Nothing => {}
            Wanted::New => records.push(if action == Action::Delete { old } else { new }),
            Wanted::OldAndNew => records.extend([old, new]),
        }
    }
    Actions { of_rows: actions, signs: Some(signs), records: Results::of(records) }
}

/// The changelog of a batch: one result a row, or two with `-U`.
///
/// `keys`: the group columns, one value an input row. `aggregates`: one value (`doubled`: two, old and new) an input row.
/// `changed`: whether an updating row changed any aggregate; `None` if every one does.
pub(super) struct Changelog<'a> {
    pub(super) schema: &'a SchemaRef,
    pub(super) keys: &'a [ArrayRef],
    pub(super) aggregates: Vec<ArrayRef>,
    pub(super) actions: &'a [Action],
    pub(super) changed: Option<&'a [bool]>,
    pub(super) doubled: bool,
}

impl Changelog<'_> {
    pub(super) fn into_batch(self) -> Result<Batch, OperatorError> {
        let plain = |action: &Action| matches!(action, Action::First | Action::Update);
        if !self.doubled && self.changed.is_none() && self.actions.iter().all(plain) {
            return self.one_row_each();
        }
        let changes = |at: usize| self.changed.is_none_or(|changed| changed[at]);
        let slots = if self.doubled { 2 * self.actions.len() } else { self.actions.len() };
        let mut kinds = Vec::with_capacity(slots);
        let mut sources: Vec<u32> = Vec::with_capacity(slots);
        let mut kept = Vec::with_capacity(slots);
        for (at, action) in self.actions.iter().enumerate() {
            let (old, new) = match action {
                Action::Ignore => (None, None),
                Action::First => (None, Some(RowKind::Insert)),
                Action::Update if !changes(at) => (None, None),
                Action::Update => (Some(RowKind::UpdateBefore), Some(RowKind::UpdateAfter)),
                Action::Delete => (Some(RowKind::Delete), None),
            };
            // One slot a row holds the new values, or the old ones of a group that goes.
            let shown: &[Option<RowKind>] = if self.doubled { &[old, new] } else { &[new.or(old)] };
            for kind in shown {
                kept.push(kind.is_some());
                if let Some(kind) = kind {
                    kinds.push(*kind as u8);
                    sources.push(at as u32);
                }
            }
        }
        let rows = kinds.len();
        let kinds = RowKinds::from_bytes(kinds).ok_or_else(|| OperatorError::Invariant("a row kind that is none".to_owned()))?;
        let columns = self.columns(&kept, sources)?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let columns = RecordBatch::try_new_with_options(Arc::clone(self.schema), columns, &options)?;
        Ok(Batch::changelog(columns, kinds)?)
    }

    /// Every input row comes out once: nothing is left out or copied.
    fn one_row_each(self) -> Result<Batch, OperatorError> {
        let kind = |action: &Action| if *action == Action::First { RowKind::Insert } else { RowKind::UpdateAfter };
        let kinds: RowKinds = self.actions.iter().map(kind).collect();
        let columns = self.keys.iter().chain(&self.aggregates).cloned().collect();
        let options = RecordBatchOptions::new().with_row_count(Some(kinds.len()));
        Ok(Batch::changelog(RecordBatch::try_new_with_options(Arc::clone(self.schema), columns, &options)?, kinds)?)
    }

    fn columns(&self, kept: &[bool], sources: Vec<u32>) -> Result<Vec<ArrayRef>, OperatorError> {
        let all = sources.len() == kept.len();
        let mut columns = Vec::with_capacity(self.keys.len() + self.aggregates.len());
        if all && !self.doubled {
            columns.extend(self.keys.iter().cloned());
        } else {
            let sources = UInt32Array::from(sources);
            for key in self.keys {
                columns.push(take(key, &sources, None)?);
            }
        }
        if all {
            columns.extend(self.aggregates.iter().cloned());
        } else {
            let kept = BooleanArray::new(BooleanBuffer::from(kept), None);
            for aggregate in &self.aggregates {
                columns.push(filter(aggregate, &kept)?);
            }
        }
        Ok(columns)
    }
}

/// The column of record counters.
pub(super) fn records_column(records: Results<i64>) -> ArrayRef {
    Arc::new(Int64Array::from(records.into_parts().0))
}

/// Rows that are inserts.
pub(super) fn append_batch(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<Batch, OperatorError> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(Batch::append(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?))
}
