//! The columns of a state ↔ the columns of its file. Parquet has no timestamps in seconds: they are stored in milliseconds. Other tools
//! write other Arrow types for the same values.

use crate::types::{LogicalType, Schema};
use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema as ArrowSchema, SchemaRef, TimeUnit};
use std::sync::Arc;

/// The columns under which rows of `schema` are stored.
pub(super) fn stored_schema(schema: &SchemaRef) -> SchemaRef {
    let fields: Fields = schema.fields().iter().map(stored_field).collect();
    if fields == *schema.fields() { Arc::clone(schema) } else { Arc::new(ArrowSchema::new(fields)) }
}

fn stored_field(field: &FieldRef) -> FieldRef {
    let stored = match field.data_type() {
        DataType::Timestamp(TimeUnit::Second, zone) => DataType::Timestamp(TimeUnit::Millisecond, zone.clone()),
        DataType::List(item) => DataType::List(stored_field(item)),
        DataType::Map(entries, sorted) => DataType::Map(stored_field(entries), *sorted),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(stored_field).collect()),
        _ => return Arc::clone(field),
    };
    Arc::new(field.as_ref().clone().with_data_type(stored))
}

/// Rows as they are stored: with the columns of `stored`, which [`stored_schema`] returned.
pub(super) fn to_stored(batch: RecordBatch, stored: &SchemaRef) -> Result<RecordBatch, String> {
    if batch.schema_ref() == stored {
        return Ok(batch);
    }
    let cast = |(array, field): (&ArrayRef, &FieldRef)| cast_strictly(array, field.data_type());
    let columns = batch.columns().iter().zip(stored.fields()).map(cast).collect::<Result<_, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(stored), columns, &options).map_err(|e| e.to_string())
}

/// A value that does not fit is an error.
fn cast_strictly(array: &ArrayRef, target: &DataType) -> Result<ArrayRef, String> {
    if array.data_type() == target {
        return Ok(Arc::clone(array));
    }
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(array, target, &options).map_err(|e| e.to_string())
}

/// The columns of `schema` by name, cast where another tool wrote a wider or larger variant. A value that does not fit is an error.
pub(super) fn conform(batch: &RecordBatch, schema: &Schema) -> Result<RecordBatch, String> {
    let mut fields = Vec::with_capacity(schema.columns.len());
    let mut columns = Vec::with_capacity(schema.columns.len());
    for column in &schema.columns {
        let Some(found) = batch.column_by_name(&column.name) else {
            return Err(format!("column {} is missing", column.name));
        };
        let array = conform_array(found, &column.data_type).map_err(|e| format!("column {}: {e}", column.name))?;
        fields.push(Field::new(&column.name, array.data_type().clone(), column.data_type.nullable));
        columns.push(array);
    }
    let schema: SchemaRef = Arc::new(ArrowSchema::new(fields));
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema, columns, &options).map_err(|e| e.to_string())
}

fn conform_array(array: &ArrayRef, expected: &LogicalType) -> Result<ArrayRef, String> {
    if is_kept(array.data_type(), expected) { Ok(Arc::clone(array)) } else { cast_strictly(array, &expected.to_arrow()) }
}

/// Unsigned numbers, which Flink's types have no word for: they come back as they were handed over.
fn is_kept(found: &DataType, expected: &LogicalType) -> bool {
    let unsigned = matches!(found, DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64);
    unsigned && LogicalType::from_arrow(found, true).is_some_and(|t| t.kind == expected.kind)
}
