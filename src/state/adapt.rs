//! Saved columns to the columns of the state as it is registered now: found by name, widened, new fields NULL, new aggregates zero; and
//! rows to the key groups that their keys have now.

use super::groups::canonical_key;
use super::{StateDescriptor, StateError, StateKind};
use crate::types::{KeyGroupRange, MaxParallelism, Schema, hash_keys, key_group_of};
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int32Array, ListArray, MapArray, RecordBatch, RecordBatchOptions, StructArray, make_array,
    new_null_array,
};
use arrow::compute::{CastOptions, cast_with_options, filter_record_batch};
use arrow::datatypes::{DataType, Field, Schema as ArrowSchema, SchemaRef};
use arrow::error::ArrowError;
use std::sync::Arc;

/// The columns of `descriptor` without `key_group`, from a saved batch. What `batch` lacks is NULL; what `descriptor` lacks is
/// left out. Errors on values that do not fit and on NULL in a NOT NULL column.
pub(super) fn to_descriptor(batch: &RecordBatch, descriptor: &StateDescriptor) -> Result<RecordBatch, StateError> {
    let schema = descriptor.columns().to_arrow();
    to_fields(batch, (&descriptor.name, &schema, 1), |field| {
        if descriptor.kind == StateKind::Groups && !field.is_nullable() {
            nothing(field.data_type(), batch.num_rows())
        } else {
            Ok(new_null_array(field.data_type(), batch.num_rows()))
        }
    })
}

/// These columns of `state`, from a saved batch, as [`to_descriptor`] does it.
pub(super) fn to_columns(batch: &RecordBatch, state: &str, columns: &Schema) -> Result<RecordBatch, StateError> {
    to_fields(batch, (state, &columns.to_arrow(), 0), |field| Ok(new_null_array(field.data_type(), batch.num_rows())))
}

/// The columns of `schema` from position `first` on. `lacking`: what stands in a column that was not saved.
fn to_fields(
    batch: &RecordBatch,
    (state, schema, first): (&str, &SchemaRef, usize),
    lacking: impl Fn(&Field) -> Result<ArrayRef, ArrowError>,
) -> Result<RecordBatch, StateError> {
    let mut columns = Vec::with_capacity(schema.fields().len());
    for (at, field) in schema.fields().iter().enumerate().skip(first) {
        let incompatible =
            |message: String| StateError::Incompatible { state: state.to_owned(), message: format!("column {}: {message}", field.name()) };
        let column = match column_of(batch, at, field.name()) {
            Some(column) => to_type(column, field.data_type()),
            None => lacking(field),
        };
        let column = column.map_err(|e| incompatible(e.to_string()))?;
        if !field.is_nullable() && column.null_count() > 0 {
            return Err(incompatible(format!("{} of {} saved values are NULL, but it is NOT NULL", column.null_count(), column.len())));
        }
        columns.push(column);
    }
    let fields: Vec<_> = schema.fields().iter().skip(first).cloned().collect();
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::new(ArrowSchema::new(fields)), columns, &options)?)
}

/// The rows of `batch`, which were saved under whatever key groups, as rows of `descriptor` in the key groups of `range` among
/// `max_parallelism`: with all columns of [`StateDescriptor::columns`]. Rows of other key groups are left out.
pub fn rekey(
    batch: &RecordBatch,
    descriptor: &StateDescriptor,
    max_parallelism: MaxParallelism,
    range: KeyGroupRange,
) -> Result<RecordBatch, StateError> {
    let rows = to_descriptor(batch, descriptor)?;
    let keys: Vec<ArrayRef> = rows.columns().iter().take(descriptor.key.columns.len()).map(canonical_key).collect();
    let mut hashes = Vec::new();
    hash_keys(&keys, rows.num_rows(), &mut hashes)?;
    let groups: Vec<_> = hashes.iter().map(|hash| key_group_of(*hash, max_parallelism)).collect();
    let own = BooleanArray::from(groups.iter().map(|group| range.contains(*group)).collect::<Vec<bool>>());
    let groups: ArrayRef = Arc::new(Int32Array::from_iter_values(groups.iter().map(|group| i32::from(group.0))));
    let columns = std::iter::once(groups).chain(rows.columns().iter().cloned()).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    let all = RecordBatch::try_new_with_options(descriptor.columns().to_arrow(), columns, &options)?;
    Ok(filter_record_batch(&all, &own)?)
}

/// The accumulators of groups that no row was added to: NULL where that may be, else zero, no values.
fn nothing(data_type: &DataType, rows: usize) -> Result<ArrayRef, ArrowError> {
    if let DataType::Struct(fields) = data_type {
        let column = |field: &Arc<Field>| {
            if field.is_nullable() { Ok(new_null_array(field.data_type(), rows)) } else { nothing(field.data_type(), rows) }
        };
        let columns = fields.iter().map(column).collect::<Result<Vec<_>, _>>()?;
        return Ok(Arc::new(StructArray::try_new(fields.clone(), columns, None)?));
    }
    // The values below NULLs are zero bytes, and offsets without a length.
    Ok(make_array(new_null_array(data_type, rows).into_data().into_builder().nulls(None).build()?))
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
            let column = |field: &Arc<Field>| match saved.column_by_name(field.name()) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Column, LogicalType, Parallelism, TypeKind};
    use arrow::array::{Int64Array, new_empty_array};

    fn descriptor(kind: StateKind, key: LogicalType, value: &[(&str, LogicalType)]) -> StateDescriptor {
        let column = |(name, data_type): &(&str, LogicalType)| Column { name: (*name).to_owned(), data_type: data_type.clone() };
        StateDescriptor {
            name: "s".to_owned(),
            kind,
            key: Schema::new(vec![column(&("k", key))]),
            value: Schema::new(value.iter().map(column).collect()),
            ttl: None,
        }
    }

    fn nullable(kind: TypeKind) -> LogicalType {
        LogicalType::nullable(kind)
    }

    /// Keys 0 to 99 with the values 0 to 99, all under key group 0.
    fn saved() -> (StateDescriptor, RecordBatch) {
        let saved = descriptor(StateKind::Value, nullable(TypeKind::Int), &[("v", nullable(TypeKind::BigInt))]);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int32Array::from(vec![0; 100])),
            Arc::new(Int32Array::from_iter_values(0..100)),
            Arc::new(Int64Array::from_iter_values(0..100)),
        ];
        let batch = RecordBatch::try_new(saved.columns().to_arrow(), columns).unwrap();
        (saved, batch)
    }

    #[test]
    fn every_row_comes_to_the_one_subtask_that_owns_its_key_now_whatever_group_it_was_saved_under() {
        let (_, batch) = saved();
        let values = [("v", nullable(TypeKind::BigInt))];
        for key in [TypeKind::Int, TypeKind::BigInt, TypeKind::Decimal(12, 2)] {
            let now = descriptor(StateKind::Value, nullable(key.clone()), &values);
            let (max, parallelism) = (MaxParallelism::new(300).unwrap(), Parallelism::new(7).unwrap());
            let mut seen = Vec::new();
            for index in 0..7 {
                let range = KeyGroupRange::of_subtask(max, parallelism, index);
                let rows = rekey(&batch, &now, max, range).unwrap();
                let mut hashes = Vec::new();
                hash_keys(&[Arc::clone(rows.column(1))], rows.num_rows(), &mut hashes).unwrap();
                let groups = rows.column(0).as_primitive::<arrow::datatypes::Int32Type>().values();
                for (hash, group) in hashes.iter().zip(groups) {
                    assert_eq!(i32::from(key_group_of(*hash, max).0), *group, "{key:?}");
                    assert!(range.contains(key_group_of(*hash, max)));
                }
                seen.extend(rows.column(2).as_primitive::<arrow::datatypes::Int64Type>().values().iter().copied());
            }
            seen.sort_unstable();
            assert_eq!(seen, (0..100).collect::<Vec<_>>(), "{key:?}");
        }
    }

    #[test]
    fn aggregates_that_are_new_start_from_nothing_and_new_columns_from_null() {
        let (_, batch) = saved();
        let not_null = LogicalType::not_null;
        let sum = not_null(TypeKind::Row(vec![
            ("sum".to_owned(), nullable(TypeKind::Decimal(38, 2))),
            ("count".to_owned(), not_null(TypeKind::BigInt)),
        ]));
        let set = not_null(TypeKind::Map(Box::new(not_null(TypeKind::Int)), Box::new(not_null(TypeKind::BigInt))));
        let now = descriptor(StateKind::Groups, nullable(TypeKind::Int), &[("v", nullable(TypeKind::BigInt)), ("SUM", sum), ("SET", set)]);
        let rows = to_descriptor(&batch, &now).unwrap();
        let sums = rows.column(2).as_struct();
        assert_eq!((rows.num_rows(), sums.column(0).null_count(), sums.column(1).null_count()), (100, 100, 0));
        assert!(sums.column(1).as_primitive::<arrow::datatypes::Int64Type>().values().iter().all(|count| *count == 0));
        assert_eq!(rows.column(3).as_map().values().len(), 0);
        let now = descriptor(StateKind::Value, nullable(TypeKind::Int), &[("w", nullable(TypeKind::String))]);
        assert_eq!(to_descriptor(&batch, &now).unwrap().column(1).null_count(), 100);
        let now = descriptor(StateKind::Value, nullable(TypeKind::Int), &[("w", not_null(TypeKind::Int))]);
        assert!(to_descriptor(&batch, &now).is_err(), "nobody knows the value of a field that must not be NULL");
        let none = RecordBatch::try_new(batch.schema(), batch.schema().fields().iter().map(|f| new_empty_array(f.data_type())).collect());
        assert_eq!(to_descriptor(&none.unwrap(), &now).unwrap().num_rows(), 0);
    }
}
