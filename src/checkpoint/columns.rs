//! The columns that a file has → the columns that its state should have: other tools write other Arrow types for the same values.

use crate::types::{LogicalType, Schema};
use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Schema as ArrowSchema, SchemaRef};
use std::sync::Arc;

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
    let target = expected.to_arrow();
    if *array.data_type() == target || is_kept(array.data_type(), expected) {
        return Ok(Arc::clone(array));
    }
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(array, &target, &options).map_err(|e| e.to_string())
}

/// Unsigned numbers, which Flink's types have no word for: they come back as they were handed over.
fn is_kept(found: &DataType, expected: &LogicalType) -> bool {
    let unsigned = matches!(found, DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64);
    unsigned && LogicalType::from_arrow(found, true).is_some_and(|t| t.kind == expected.kind)
}
