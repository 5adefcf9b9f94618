//! The rows of two snapshots of one state, a key group at a time: which ones came, went, and have other values.

use super::InspectError;
use super::diff::RowChange;
use super::encode::json_objects;
use super::groups::Part;
use super::keys::RowBytes;
use crate::checkpoint::columns::conform;
use crate::types::Schema;
use arrow::array::RecordBatch;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Compares rows of one state.
pub(super) struct Comparison {
    /// The columns that both have, with the newer types.
    columns: Schema,
    identity: Vec<String>,
    keys: RowBytes,
    values: RowBytes,
    limit: usize,
    pub(super) counts: Counts,
    pub(super) rows: Vec<RowChange>,
}

/// How many rows fared how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counts {
    pub(super) added: u64,
    pub(super) removed: u64,
    pub(super) changed: u64,
    pub(super) same: u64,
}

/// A row of the older snapshot: its values as bytes, and where it is. A key may occur more often in operator state.
type Older = BTreeMap<Vec<u8>, Vec<(Vec<u8>, usize, usize)>>;

impl Comparison {
    /// For rows with these common columns; at most `limit` rows are kept.
    pub(super) fn new(columns: Schema, identity: Vec<String>, limit: usize) -> Result<Self, String> {
        let schema = columns.to_arrow();
        let at = |wanted: bool| {
            let columns = columns.columns.iter().enumerate().filter(|(_, c)| c.name != super::KEY_GROUP);
            columns.filter(|(_, c)| identity.contains(&c.name) == wanted).map(|(at, _)| at).collect::<Vec<_>>()
        };
        let keys = RowBytes::new(&schema, at(true)).map_err(|e| e.to_string())?;
        let values = RowBytes::new(&schema, at(false)).map_err(|e| e.to_string())?;
        Ok(Self { columns, identity, keys, values, limit, counts: Counts::default(), rows: Vec::new() })
    }

    /// Takes the rows of the same key group in both.
    pub(super) fn take(&mut self, before: &[Part], after: &[Part]) -> Result<(), InspectError> {
        let before = self.conformed(before)?;
        let after = self.conformed(after)?;
        let mut older: Older = BTreeMap::new();
        for (part, batch) in before.iter().enumerate() {
            let (keys, values) = self.bytes(batch)?;
            for row in 0..batch.num_rows() {
                older.entry(keys.row(row)).or_default().push((values.row(row), part, row));
            }
        }
        for batch in &after {
            let (keys, values) = self.bytes(batch)?;
            for row in 0..batch.num_rows() {
                let key = keys.row(row);
                let found = older.get_mut(&key).and_then(Vec::pop);
                if older.get(&key).is_some_and(Vec::is_empty) {
                    older.remove(&key);
                }
                match found {
                    None => {
                        self.counts.added += 1;
                        self.keep(|this| Ok(RowChange::Added { row: this.object(batch, row)? }))?;
                    }
                    Some((value, ..)) if value == values.row(row) => self.counts.same += 1,
                    Some((_, part, old)) => {
                        self.counts.changed += 1;
                        self.keep(|this| Ok(this.change(&this.object(&before[part], old)?, &this.object(batch, row)?)))?;
                    }
                }
            }
        }
        for (_, part, row) in older.into_values().flatten() {
            self.counts.removed += 1;
            self.keep(|this| Ok(RowChange::Removed { row: this.object(&before[part], row)? }))?;
        }
        Ok(())
    }

    fn conformed(&self, parts: &[Part]) -> Result<Vec<RecordBatch>, InspectError> {
        let conformed =
            |part: &Part| conform(&part.rows, &self.columns).map_err(|message| InspectError::Input { path: part.path.clone(), message });
        parts.iter().map(conformed).collect()
    }

    fn bytes(&self, batch: &RecordBatch) -> Result<(super::keys::BatchBytes, super::keys::BatchBytes), InspectError> {
        let bytes = |of: &RowBytes| {
            of.rows(batch).map_err(|e| InspectError::Asked { message: format!("rows cannot be compared: {e}"), next: None })
        };
        Ok((bytes(&self.keys)?, bytes(&self.values)?))
    }

    fn keep(&mut self, change: impl FnOnce(&Self) -> Result<RowChange, InspectError>) -> Result<(), InspectError> {
        if self.rows.len() < self.limit {
            let change = change(self)?;
            self.rows.push(change);
        }
        Ok(())
    }

    fn object(&self, batch: &RecordBatch, row: usize) -> Result<Map<String, Value>, InspectError> {
        let mut object = json_objects(&self.columns, &batch.slice(row, 1))?.pop().unwrap_or_default();
        object.shift_remove(super::KEY_GROUP);
        Ok(object)
    }

    /// The key, and what is other than it was.
    fn change(&self, before: &Map<String, Value>, after: &Map<String, Value>) -> RowChange {
        let is_key = |name: &String| self.identity.contains(name);
        let key = after.iter().filter(|(name, _)| is_key(name)).map(|(n, v)| (n.clone(), v.clone())).collect();
        let differs = |name: &String| !is_key(name) && before.get(name) != after.get(name);
        let names: Vec<String> = after.keys().filter(|name| differs(name)).cloned().collect();
        let of = |row: &Map<String, Value>| names.iter().filter_map(|n| Some((n.clone(), row.get(n)?.clone()))).collect();
        RowChange::Changed { key, before: of(before), after: of(after) }
    }
}
