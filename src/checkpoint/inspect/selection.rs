//! Which rows of a state are asked for: `carrier=UA` as it is written → a comparison with the column's own type.

use super::address::{listed, nearest};
use super::{InspectError, KEY_GROUP};
use crate::state::canonical_key;
use crate::types::{Column, KeyGroupRange, LogicalType, MaxParallelism, TypeKind, hash_keys, key_group_of};
use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, Scalar, StringArray, new_null_array};
use arrow::compute::kernels::cmp::not_distinct;
use arrow::compute::{CastOptions, and, cast_with_options, filter_record_batch};
use std::str::FromStr;
use std::sync::Arc;

/// A column and the value that it must have.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Condition {
    /// The column's name.
    pub column: String,
    /// The value as text; `None`: NULL.
    pub value: Option<String>,
}

impl FromStr for Condition {
    type Err = String;

    /// `NAME=VALUE`, or `NAME` alone for NULL.
    fn from_str(text: &str) -> Result<Self, String> {
        let (column, value) = text.split_once('=').map_or((text, None), |(column, value)| (column, Some(value.to_owned())));
        if column.trim().is_empty() {
            return Err(format!("\"{text}\" names no column: write NAME=VALUE"));
        }
        Ok(Self { column: column.trim().to_owned(), value })
    }
}

/// Which rows of a state are asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Selection {
    /// Conditions on key columns. Where all of them are given only one key group is read.
    pub keys: Vec<Condition>,
    /// Conditions on any columns.
    pub columns: Vec<Condition>,
    /// At most so many rows.
    pub limit: Option<u64>,
}

/// A selection that fits a state.
pub(super) struct Compiled {
    /// The position of a column, and what it must be.
    conditions: Vec<(usize, Scalar<ArrayRef>)>,
    /// The key group that the rows are in, if it is known.
    pub(super) range: Option<KeyGroupRange>,
    /// How many rows are still wanted.
    pub(super) left: u64,
}

impl Selection {
    /// The selection for the rows of `state`, whose columns and key columns these are. Errors on columns that there are not, and on
    /// values that are none of their types.
    pub(super) fn compile(&self, state: &str, columns: &[Column], keys: &[Column], max: MaxParallelism) -> Result<Compiled, InspectError> {
        let mut conditions = Vec::new();
        for condition in &self.keys {
            if !keys.iter().any(|key| key.name == condition.column) {
                return Err(no_column(state, &condition.column, "key column", keys.iter()));
            }
        }
        for condition in self.keys.iter().chain(&self.columns) {
            let Some(at) = columns.iter().position(|c| c.name == condition.column) else {
                return Err(no_column(state, &condition.column, "column", columns.iter()));
            };
            conditions.push((at, Scalar::new(value_of(condition, &columns[at].data_type)?)));
        }
        let range = self.key_group(keys, max)?;
        Ok(Compiled { conditions, range, left: self.limit.unwrap_or(u64::MAX) })
    }

    /// The key group of the key, if the whole of it is given.
    fn key_group(&self, keys: &[Column], max: MaxParallelism) -> Result<Option<KeyGroupRange>, InspectError> {
        let mut values = Vec::with_capacity(keys.len());
        for key in keys {
            let Some(condition) = self.keys.iter().find(|c| c.column == key.name) else { return Ok(None) };
            values.push(canonical_key(&value_of(condition, &key.data_type)?));
        }
        if values.is_empty() {
            return Ok(None);
        }
        let mut hashes = Vec::new();
        let hashed = hash_keys(&values, 1, &mut hashes);
        Ok(hashed.ok().and_then(|()| hashes.first().map(|hash| KeyGroupRange::of_group(key_group_of(*hash, max)))))
    }
}

impl Compiled {
    /// The rows of `batch` that are wanted; takes them off what is left.
    pub(super) fn filter(&mut self, batch: RecordBatch) -> Result<RecordBatch, InspectError> {
        let mut kept: Option<BooleanArray> = None;
        let failed = |e: arrow::error::ArrowError| InspectError::Asked { message: format!("this cannot be compared: {e}"), next: None };
        for (at, value) in &self.conditions {
            let equal = not_distinct(batch.column(*at), value).map_err(failed)?;
            kept = Some(match kept {
                Some(kept) => and(&kept, &equal).map_err(failed)?,
                None => equal,
            });
        }
        let rows = match kept {
            Some(kept) => filter_record_batch(&batch, &kept).map_err(failed)?,
            None => batch,
        };
        let rows = if rows.num_rows() as u64 > self.left { rows.slice(0, self.left as usize) } else { rows };
        self.left -= rows.num_rows() as u64;
        Ok(rows)
    }
}

fn no_column<'c>(state: &str, asked: &str, what: &str, columns: impl Iterator<Item = &'c Column> + Clone) -> InspectError {
    let named = || columns.clone().map(|c| c.name.as_str()).filter(|name| *name != KEY_GROUP);
    let next = nearest(asked, named()).map(|name| format!("did you mean {name}?"));
    let names: Vec<String> = columns.clone().filter(|c| c.name != KEY_GROUP).map(|c| format!("{} {}", c.name, c.data_type)).collect();
    let next =
        next.unwrap_or_else(|| if names.is_empty() { format!("it has no {what}s") } else { format!("there are {}", listed(&names)) });
    InspectError::asked(format!("state {state} has no {what} \"{asked}\""), next)
}

/// One value of this type.
fn value_of(condition: &Condition, data_type: &LogicalType) -> Result<ArrayRef, InspectError> {
    let target = data_type.to_arrow();
    if matches!(data_type.kind, TypeKind::Array(_) | TypeKind::Map(..) | TypeKind::Row(_)) {
        let message = format!("column {} {data_type}: only columns of simple types can be compared", condition.column);
        return Err(InspectError::asked(message, "leave the condition out, or export the state and look there"));
    }
    let Some(text) = &condition.value else { return Ok(new_null_array(&target, 1)) };
    let array: ArrayRef = Arc::new(StringArray::from(vec![text.as_str()]));
    let cast = cast_with_options(&array, &target, &CastOptions { safe: false, ..CastOptions::default() });
    cast.ok().filter(|array| array.null_count() == 0).ok_or_else(|| {
        let plain = LogicalType { nullable: true, ..data_type.clone() };
        InspectError::asked(
            format!("column {}: \"{text}\" is no {plain}", condition.column),
            format!("give a {plain}; `{}` alone stands for NULL", condition.column),
        )
    })
}
