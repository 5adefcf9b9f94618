//! In what two snapshots differ: states that came, went or have other types, and of each state the rows that came, went or changed.

use super::compare::{Comparison, Counts};
use super::groups::{GroupCursor, GroupRows, Part};
use super::{InspectError, Snapshot, StateRef};
use crate::types::Schema;
use serde_json::{Map, Value};

/// What two snapshots differ in: the second one against the first.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct SnapshotDiff {
    /// Operators that the first lacks.
    pub operators_added: Vec<String>,
    /// Operators that the second lacks.
    pub operators_removed: Vec<String>,
    /// Every state of either, in the second's order, then those that it lacks.
    pub states: Vec<StateDiff>,
}

/// What became of a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StateChange {
    /// The first snapshot lacks it.
    Added,
    /// The second snapshot lacks it.
    Removed,
    /// Both have it, and something is other.
    Changed,
    /// Both have it, with the same rows.
    Same,
}

/// One state.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct StateDiff {
    /// `OPERATOR/STATE`
    pub state: String,
    /// `groups`, `map`, …
    pub kind: &'static str,
    /// What became of it.
    pub change: StateChange,
    /// What is other about its kind, its columns and their types, its time to live.
    pub types: Vec<String>,
    /// Rows that came.
    pub added: u64,
    /// Rows that went.
    pub removed: u64,
    /// Rows whose values are other.
    pub changed: u64,
    /// Rows that are the same.
    pub same: u64,
    /// The first of the rows that came, went or changed.
    pub rows: Vec<RowChange>,
    /// Why its rows were not compared.
    pub not_compared: Option<String>,
}

/// One row. Values are as in JSON.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase", tag = "change")]
pub enum RowChange {
    /// It came.
    Added {
        /// The row.
        row: Map<String, Value>,
    },
    /// It went.
    Removed {
        /// The row.
        row: Map<String, Value>,
    },
    /// Its values are other.
    Changed {
        /// What tells it apart.
        key: Map<String, Value>,
        /// The values that are other, as they were.
        before: Map<String, Value>,
        /// The same as they are.
        after: Map<String, Value>,
    },
}

impl SnapshotDiff {
    /// True if they do not differ.
    pub fn is_empty(&self) -> bool {
        let same = self.states.iter().all(|s| s.change == StateChange::Same);
        same && self.operators_added.is_empty() && self.operators_removed.is_empty()
    }
}

/// Compares two snapshots; of each state at most `limit` rows are kept. `only`: `OPERATOR` or `OPERATOR/STATE`, in either.
pub fn diff(before: &Snapshot, after: &Snapshot, only: Option<&str>, limit: usize) -> Result<SnapshotDiff, InspectError> {
    let wanted = |snapshot: &'_ Snapshot, other: &Snapshot| -> Result<Option<Vec<String>>, InspectError> {
        let Some(only) = only else { return Ok(None) };
        match snapshot.find(only) {
            Ok(states) => Ok(Some(states.iter().map(StateRef::address).collect())),
            Err(_) if other.find(only).is_ok() => Ok(Some(Vec::new())),
            Err(error) => Err(error),
        }
    };
    let (wanted_before, wanted_after) = (wanted(before, after)?, wanted(after, before)?);
    let picked = |state: &StateRef<'_>, wanted: &Option<Vec<String>>| wanted.as_ref().is_none_or(|w| w.contains(&state.address()));
    let same = |a: &StateRef<'_>, b: &StateRef<'_>| {
        a.operator.uid == b.operator.uid && a.name() == b.name() && a.descriptor().is_some() == b.descriptor().is_some()
    };
    let (old, new) = (before.states(), after.states());
    let mut states = Vec::new();
    for state in new.iter().filter(|s| picked(s, &wanted_after)) {
        states.push(match old.iter().find(|o| same(o, state)) {
            Some(older) => compare(before, older, after, state, limit)?,
            None => one_sided(state, StateChange::Added),
        });
    }
    for state in old.iter().filter(|s| picked(s, &wanted_before) && !new.iter().any(|n| same(n, s))) {
        states.push(one_sided(state, StateChange::Removed));
    }
    let lacking = |of: &Snapshot, other: &Snapshot| {
        let lacks = of.manifest().operators.iter().filter(|o| other.manifest().operator(&o.uid).is_none());
        lacks.map(|o| o.uid.to_string()).filter(|_| only.is_none()).collect()
    };
    Ok(SnapshotDiff { operators_added: lacking(after, before), operators_removed: lacking(before, after), states })
}

fn one_sided(state: &StateRef<'_>, change: StateChange) -> StateDiff {
    let (added, removed) = if change == StateChange::Added { (state.rows(), 0) } else { (0, state.rows()) };
    StateDiff { added, removed, ..bare(state, change) }
}

fn bare(state: &StateRef<'_>, change: StateChange) -> StateDiff {
    let (added, removed, changed, same) = (0, 0, 0, 0);
    let (state, kind) = (state.address(), state.kind());
    StateDiff { state, kind, change, types: Vec::new(), added, removed, changed, same, rows: Vec::new(), not_compared: None }
}

fn compare(before: &Snapshot, old: &StateRef<'_>, after: &Snapshot, new: &StateRef<'_>, limit: usize) -> Result<StateDiff, InspectError> {
    let mut found = StateDiff { types: type_changes(old, new), ..bare(new, StateChange::Same) };
    let lacking = new.identity().into_iter().find(|name| old.columns().index_of(name).is_none());
    found.not_compared = match lacking {
        _ if old.kind() != new.kind() => Some(format!("it was {} state and is {} state", old.kind(), new.kind())),
        Some(column) => Some(format!("the rows of the first have no column {column}, by which rows are told apart")),
        None => None,
    };
    if found.not_compared.is_none() {
        let common = new.columns().columns.into_iter().filter(|c| old.columns().index_of(&c.name).is_some()).collect();
        match Comparison::new(Schema::new(common), new.identity(), limit) {
            Err(message) => found.not_compared = Some(message),
            Ok(mut comparison) => match compare_rows((before, old), (after, new), &mut comparison) {
                Ok(()) => {
                    let Counts { added, removed, changed, same } = comparison.counts;
                    found = StateDiff { added, removed, changed, same, rows: comparison.rows, ..found };
                }
                Err(InspectError::Input { message, .. }) => found.not_compared = Some(message),
                Err(error) => return Err(error),
            },
        }
    }
    let differs = !found.types.is_empty() || found.not_compared.is_some() || found.added + found.removed + found.changed > 0;
    found.change = if differs { StateChange::Changed } else { StateChange::Same };
    Ok(found)
}

/// `n: INT → BIGINT`, `column m STRING came`
fn type_changes(old: &StateRef<'_>, new: &StateRef<'_>) -> Vec<String> {
    let mut changes = Vec::new();
    if old.kind() != new.kind() {
        changes.push(format!("kind: {} → {}", old.kind(), new.kind()));
    }
    let (before, after) = (old.columns().columns, new.columns().columns);
    for column in &after {
        match before.iter().find(|c| c.name == column.name) {
            None => changes.push(format!("column {} {} came", column.name, column.data_type)),
            Some(older) if older.data_type != column.data_type => {
                changes.push(format!("column {}: {} → {}", column.name, older.data_type, column.data_type));
            }
            Some(_) => {}
        }
    }
    changes.extend(
        before.iter().filter(|c| !after.iter().any(|n| n.name == c.name)).map(|c| format!("column {} {} went", c.name, c.data_type)),
    );
    let ttl =
        |state: &StateRef<'_>| state.descriptor().and_then(|d| d.ttl).map_or("none".to_owned(), |t| crate::types::format_duration(t.ttl));
    if ttl(old) != ttl(new) {
        changes.push(format!("time to live: {} → {}", ttl(old), ttl(new)));
    }
    changes
}

/// Goes through both, one key group at a time; as a whole where the key groups of the two are not the same.
fn compare_rows(
    (before, old): (&Snapshot, &StateRef<'_>),
    (after, new): (&Snapshot, &StateRef<'_>),
    comparison: &mut Comparison,
) -> Result<(), InspectError> {
    let mut left = GroupCursor::new(before, old, old.pieces())?;
    let mut right = GroupCursor::new(after, new, new.pieces())?;
    let grouped = new.descriptor().is_some() && before.manifest().max_parallelism == after.manifest().max_parallelism;
    if !grouped {
        return comparison.take(&all(&mut left)?, &all(&mut right)?);
    }
    let (mut a, mut b) = (left.next()?, right.next()?);
    loop {
        let group = |rows: &Option<GroupRows>| rows.as_ref().map_or(i32::MAX, |r| r.group);
        let next = group(&a).min(group(&b));
        if a.is_none() && b.is_none() {
            return Ok(());
        }
        let parts = |rows: &mut Option<GroupRows>| rows.take_if(|r| r.group == next).map_or_else(Vec::new, |r| r.parts);
        let (of_a, of_b) = (parts(&mut a), parts(&mut b));
        comparison.take(&of_a, &of_b)?;
        if a.is_none() && !of_a.is_empty() {
            a = left.next()?;
        }
        if b.is_none() && !of_b.is_empty() {
            b = right.next()?;
        }
    }
}

fn all(cursor: &mut GroupCursor) -> Result<Vec<Part>, InspectError> {
    let mut parts = Vec::new();
    while let Some(rows) = cursor.next()? {
        parts.extend(rows.parts);
    }
    Ok(parts)
}
