//! Finished columns, taken apart once a batch so that writing a value is a match and a slice access.

use super::FormatError;
use super::calendar::TicksPerSecond;
use super::column::ticks_of;
use crate::types::{Batch, Column, Schema};
use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, BooleanArray, StringArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Time32MillisecondType,
    TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};
use std::sync::Arc;

/// The columns of `batch`, each cast to the Arrow type that carries its type in `schema`.
pub(super) fn columns_as(batch: &Batch, schema: &Schema) -> Result<Vec<ArrayRef>, FormatError> {
    let arrays = batch.columns().columns();
    if arrays.len() != schema.columns.len() {
        return Err(FormatError::Arrow(format!("a batch has {} columns, {} were declared", arrays.len(), schema.columns.len())));
    }
    let cast = |(array, column): (&ArrayRef, &Column)| {
        let wanted = column.data_type.to_arrow();
        if *array.data_type() == wanted {
            return Ok(Arc::clone(array));
        }
        arrow::compute::cast(array, &wanted)
            .map_err(|error| FormatError::Unwritable { column: column.name.clone(), message: error.to_string() })
    };
    arrays.iter().zip(&schema.columns).map(cast).collect()
}

/// The values of a column by type.
#[derive(Debug)]
pub(super) enum CellValues<'a> {
    Null,
    Boolean(&'a BooleanArray),
    Int8(&'a [i8]),
    Int16(&'a [i16]),
    Int32(&'a [i32]),
    Int64(&'a [i64]),
    Float32(&'a [f32]),
    Float64(&'a [f64]),
    Decimal(&'a [i128], u8),
    Text(&'a StringArray),
    Binary(&'a BinaryArray),
    Date(&'a [i32]),
    Time(&'a [i32]),
    Timestamp { ticks: &'a [i64], per_second: TicksPerSecond, zoned: bool },
    Array { offsets: &'a [i32], element: Box<Cells<'a>> },
    Map { offsets: &'a [i32], key: Box<Cells<'a>>, value: Box<Cells<'a>> },
    Row(Vec<(&'a str, Cells<'a>)>),
}

/// One column of a batch.
#[derive(Debug)]
pub(super) struct Cells<'a> {
    pub(super) values: CellValues<'a>,
    nulls: Option<&'a NullBuffer>,
}

impl<'a> Cells<'a> {
    /// Takes a column apart; an error names the type if there is no text for its values.
    pub(super) fn new(array: &'a dyn Array) -> Result<Self, String> {
        let values = match array.data_type() {
            DataType::Null => CellValues::Null,
            DataType::Boolean => CellValues::Boolean(array.as_boolean()),
            DataType::Int8 => CellValues::Int8(array.as_primitive::<Int8Type>().values()),
            DataType::Int16 => CellValues::Int16(array.as_primitive::<Int16Type>().values()),
            DataType::Int32 => CellValues::Int32(array.as_primitive::<Int32Type>().values()),
            DataType::Int64 => CellValues::Int64(array.as_primitive::<Int64Type>().values()),
            DataType::Float32 => CellValues::Float32(array.as_primitive::<Float32Type>().values()),
            DataType::Float64 => CellValues::Float64(array.as_primitive::<Float64Type>().values()),
            DataType::Decimal128(_, scale) => CellValues::Decimal(array.as_primitive::<Decimal128Type>().values(), (*scale).max(0) as u8),
            DataType::Utf8 => CellValues::Text(array.as_string()),
            DataType::Binary => CellValues::Binary(array.as_binary()),
            DataType::Date32 => CellValues::Date(array.as_primitive::<Date32Type>().values()),
            DataType::Time32(TimeUnit::Millisecond) => CellValues::Time(array.as_primitive::<Time32MillisecondType>().values()),
            DataType::Timestamp(unit, zone) => {
                let ticks: &[i64] = match unit {
                    TimeUnit::Second => array.as_primitive::<TimestampSecondType>().values(),
                    TimeUnit::Millisecond => array.as_primitive::<TimestampMillisecondType>().values(),
                    TimeUnit::Microsecond => array.as_primitive::<TimestampMicrosecondType>().values(),
                    TimeUnit::Nanosecond => array.as_primitive::<TimestampNanosecondType>().values(),
                };
                CellValues::Timestamp { ticks, per_second: ticks_of(*unit), zoned: zone.is_some() }
            }
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                CellValues::Array { offsets: list.value_offsets(), element: Box::new(Self::new(list.values().as_ref())?) }
            }
            DataType::Map(_, _) => {
                let map = array.as_map();
                let (key, value) = (Self::new(map.keys().as_ref())?, Self::new(map.values().as_ref())?);
                CellValues::Map { offsets: map.value_offsets(), key: Box::new(key), value: Box::new(value) }
            }
            DataType::Struct(fields) => {
                let field = |(field, array): (&'a Arc<arrow::datatypes::Field>, &'a ArrayRef)| {
                    Ok((field.name().as_str(), Self::new(array.as_ref())?))
                };
                CellValues::Row(fields.iter().zip(array.as_struct().columns()).map(field).collect::<Result<_, String>>()?)
            }
            other => return Err(format!("values of type {other} cannot be written as text")),
        };
        Ok(Self { values, nulls: array.nulls() })
    }

    /// All of `columns`, which have the names of `schema`.
    pub(super) fn of_columns(columns: &'a [ArrayRef], schema: &Schema) -> Result<Vec<Self>, FormatError> {
        let cells = |(array, column): (&'a ArrayRef, &Column)| {
            Self::new(array.as_ref()).map_err(|message| FormatError::Unwritable { column: column.name.clone(), message })
        };
        columns.iter().zip(&schema.columns).map(cells).collect()
    }

    /// True if row `row` is NULL.
    #[inline]
    pub(super) fn is_null(&self, row: usize) -> bool {
        matches!(self.values, CellValues::Null) || self.nulls.is_some_and(|nulls| nulls.is_null(row))
    }
}

/// The elements of row `row` of an array or map column.
pub(super) fn elements(offsets: &[i32], row: usize) -> std::ops::Range<usize> {
    offsets[row] as usize..offsets[row + 1] as usize
}
