//! What tells rows apart, as bytes that can be compared and looked up, whatever the columns' types; and the key groups of keys.

use crate::state::{StateDescriptor, canonical_key};
use crate::types::{KeyGroup, MaxParallelism, hash_keys, key_group_of};
use arrow::array::{Array, ArrayRef, AsArray, ListArray, RecordBatch, StructArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, Rows, SortField};
use std::sync::Arc;

/// Some columns of batches that share a schema, as rows of bytes: equal bytes are equal rows.
pub(super) struct RowBytes {
    columns: Vec<usize>,
    converter: Option<RowConverter>,
}

impl RowBytes {
    /// Those of the columns at `columns`.
    pub(super) fn new(schema: &Schema, columns: Vec<usize>) -> Result<Self, ArrowError> {
        let fields: Vec<SortField> = columns.iter().map(|at| SortField::new(without_maps_type(schema.field(*at).data_type()))).collect();
        // A converter of no columns has no rows.
        let converter = if fields.is_empty() { None } else { Some(RowConverter::new(fields)?) };
        Ok(Self { columns, converter })
    }

    /// The rows of a batch.
    pub(super) fn rows(&self, batch: &RecordBatch) -> Result<BatchBytes, ArrowError> {
        let Some(converter) = &self.converter else { return Ok(BatchBytes(None)) };
        let columns = self.columns.iter().map(|at| without_maps(batch.column(*at), &|_| true)).collect::<Result<Vec<_>, _>>()?;
        converter.convert_columns(&columns).map(Some).map(BatchBytes)
    }
}

/// The rows of one batch as bytes.
pub(super) struct BatchBytes(Option<Rows>);

impl BatchBytes {
    /// The bytes of row `row`.
    pub(super) fn row(&self, row: usize) -> Vec<u8> {
        self.0.as_ref().map(|rows| rows.row(row).as_ref().to_vec()).unwrap_or_default()
    }
}

/// The key groups of the rows of `batch`, whose columns include those of the descriptor's key, with their types.
pub(super) fn key_groups(batch: &RecordBatch, descriptor: &StateDescriptor, max: MaxParallelism) -> Result<Vec<KeyGroup>, ArrowError> {
    let mut keys = Vec::with_capacity(descriptor.key.columns.len());
    for column in &descriptor.key.columns {
        let found = batch.column_by_name(&column.name);
        keys.push(canonical_key(found.ok_or_else(|| ArrowError::SchemaError(format!("column {} is missing", column.name)))?));
    }
    let mut hashes = Vec::new();
    hash_keys(&keys, batch.num_rows(), &mut hashes)?;
    Ok(hashes.into_iter().map(|hash| key_group_of(hash, max)).collect())
}

/// The type of [`without_maps`] of all maps.
fn without_maps_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Map(entries, _) => {
            let entries = without_maps_type(entries.data_type());
            DataType::List(Arc::new(Field::new("item", entries, false)))
        }
        DataType::List(item) => DataType::List(Arc::new(item.as_ref().clone().with_data_type(without_maps_type(item.data_type())))),
        DataType::Struct(fields) => {
            DataType::Struct(fields.iter().map(|f| Arc::new(f.as_ref().clone().with_data_type(without_maps_type(f.data_type())))).collect())
        }
        other => other.clone(),
    }
}

/// The array with maps as lists of their entries: those maps whose keys are of a type for which `wanted` is true.
pub(super) fn without_maps(array: &ArrayRef, wanted: &dyn Fn(&DataType) -> bool) -> Result<ArrayRef, ArrowError> {
    match array.data_type() {
        DataType::Map(entries, sorted) => {
            let DataType::Struct(fields) = entries.data_type() else { return Ok(Arc::clone(array)) };
            let map = array.as_map();
            let columns = vec![without_maps(map.keys(), wanted)?, without_maps(map.values(), wanted)?];
            let typed =
                fields.iter().zip(&columns).map(|(f, c)| Arc::new(f.as_ref().clone().with_data_type(c.data_type().clone()))).collect();
            let pairs = StructArray::try_new(typed, columns, None)?;
            let field = |name: &str| Arc::new(Field::new(name, pairs.data_type().clone(), false));
            let (offsets, nulls) = (map.offsets().clone(), map.nulls().cloned());
            if wanted(map.key_type()) {
                return Ok(Arc::new(ListArray::try_new(field("item"), offsets, Arc::new(pairs), nulls)?));
            }
            let entries = field(entries.name());
            Ok(Arc::new(arrow::array::MapArray::try_new(entries, offsets, pairs, nulls, *sorted)?))
        }
        DataType::List(item) => {
            let list = array.as_list::<i32>();
            let values = without_maps(list.values(), wanted)?;
            let item = Arc::new(item.as_ref().clone().with_data_type(values.data_type().clone()));
            Ok(Arc::new(ListArray::try_new(item, list.offsets().clone(), values, list.nulls().cloned())?))
        }
        DataType::Struct(fields) if !fields.is_empty() => {
            let rows = array.as_struct();
            let columns = rows.columns().iter().map(|c| without_maps(c, wanted)).collect::<Result<Vec<_>, _>>()?;
            let typed =
                fields.iter().zip(&columns).map(|(f, c)| Arc::new(f.as_ref().clone().with_data_type(c.data_type().clone()))).collect();
            Ok(Arc::new(StructArray::try_new(typed, columns, rows.nulls().cloned())?))
        }
        _ => Ok(Arc::clone(array)),
    }
}
