//! Saved columns to the columns of the state as it is registered now: found by name, widened, new fields NULL.

use super::{StateDescriptor, StateError};
use arrow::array::{Array, ArrayRef, AsArray, ListArray, MapArray, RecordBatch, RecordBatchOptions, StructArray, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Schema as ArrowSchema};
use arrow::error::ArrowError;
use std::sync::Arc;

/// The columns of `descriptor` without `key_group`, from a saved batch. What `batch` lacks is NULL; what `descriptor` lacks is
/// left out. Errors on values that do not fit and on NULL in a NOT NULL column.
pub(super) fn to_descriptor(batch: &RecordBatch, descriptor: &StateDescriptor) -> Result<RecordBatch, StateError> {
    let schema = descriptor.columns().to_arrow();
    let mut columns = Vec::with_capacity(schema.fields().len());
    for (at, field) in schema.fields().iter().enumerate().skip(1) {
        let incompatible = |message: String| StateError::Incompatible {
            state: descriptor.name.clone(),
            message: format!("column {}: {message}", field.name()),
        };
        let column = match column_of(batch, at, field.name()) {
            Some(column) => to_type(column, field.data_type()).map_err(|e| incompatible(e.to_string()))?,
            None => new_null_array(field.data_type(), batch.num_rows()),
        };
        if !field.is_nullable() && column.null_count() > 0 {
            return Err(incompatible(format!("{} of {} saved values are NULL, but it is NOT NULL", column.null_count(), column.len())));
        }
        columns.push(column);
    }
    let fields: Vec<_> = schema.fields().iter().skip(1).cloned().collect();
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::new(ArrowSchema::new(fields)), columns, &options)?)
}

/// The column at `at` if it has this name, else the first one that has.
fn column_of<'a>(batch: &'a RecordBatch, at: usize, name: &str) -> Option<&'a ArrayRef> {
    let schema = batch.schema_ref();
    let there = schema.fields().get(at).is_some_and(|field| field.name() == name);
    if there { batch.columns().get(at) } else { batch.column_by_name(name) }
}

/// `array` as `target`: casts values, and fields of a ROW by name.
fn to_type(array: &ArrayRef, target: &DataType) -> Result<ArrayRef, ArrowError> {
    if array.data_type() == target {
        return Ok(Arc::clone(array));
    }
    match (array.data_type(), target) {
        (DataType::Struct(_), DataType::Struct(fields)) => {
            let saved = array.as_struct();
            let column = |field: &Arc<arrow::datatypes::Field>| match saved.column_by_name(field.name()) {
                Some(column) => to_type(column, field.data_type()),
                None => Ok(new_null_array(field.data_type(), saved.len())),
            };
            let columns = fields.iter().map(column).collect::<Result<Vec<_>, _>>()?;
            if columns.is_empty() {
                return Ok(Arc::new(StructArray::new_empty_fields(saved.len(), saved.nulls().cloned())));
            }
            Ok(Arc::new(StructArray::try_new(fields.clone(), columns, saved.nulls().cloned())?))
        }
        (DataType::List(_), DataType::List(item)) => {
            let saved = array.as_list::<i32>();
            let values = to_type(saved.values(), item.data_type())?;
            Ok(Arc::new(ListArray::try_new(Arc::clone(item), saved.offsets().clone(), values, saved.nulls().cloned())?))
        }
        (DataType::Map(_, _), DataType::Map(entries, sorted)) => {
            let DataType::Struct(fields) = entries.data_type() else {
                return Err(ArrowError::CastError(format!("{target} is no map")));
            };
            let saved = array.as_map();
            let [key, value] = fields.as_ref() else { return Err(ArrowError::CastError(format!("{target} is no map"))) };
            let columns = vec![to_type(saved.keys(), key.data_type())?, to_type(saved.values(), value.data_type())?];
            let pairs = StructArray::try_new(fields.clone(), columns, None)?;
            let offsets = saved.offsets().clone();
            Ok(Arc::new(MapArray::try_new(Arc::clone(entries), offsets, pairs, saved.nulls().cloned(), *sorted)?))
        }
        // `safe: false`: a value that does not fit is an error and not a NULL.
        _ => cast_with_options(array, target, &CastOptions { safe: false, ..CastOptions::default() }),
    }
}
