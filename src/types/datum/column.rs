//! Values out of Arrow columns: the type of a column is looked at once, not once a row.

use super::{Datum, DatumError};
use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, StringArray};
use arrow::buffer::{BooleanBuffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Time32MillisecondType,
    TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};

/// A column that is ready to be read row by row. Shares the column's buffers.
#[derive(Debug, Clone)]
pub struct DatumColumn {
    values: ColumnValues,
    /// None: no value is NULL.
    nulls: Option<NullBuffer>,
}

/// The values of a column by what carries them; what stands at a NULL is arbitrary.
#[derive(Debug, Clone)]
pub enum ColumnValues {
    /// A column of NULLs.
    Null,
    /// BOOLEAN
    Boolean(BooleanBuffer),
    /// TINYINT
    Int8(ScalarBuffer<i8>),
    /// SMALLINT
    Int16(ScalarBuffer<i16>),
    /// INT, DATE, TIME
    Int32(ScalarBuffer<i32>),
    /// BIGINT, TIMESTAMP, TIMESTAMP_LTZ
    Int64(ScalarBuffer<i64>),
    /// FLOAT
    Float32(ScalarBuffer<f32>),
    /// DOUBLE
    Float64(ScalarBuffer<f64>),
    /// DECIMAL with this scale
    Decimal(ScalarBuffer<i128>, u8),
    /// CHAR, VARCHAR, STRING
    Text(StringArray),
    /// BYTES
    Bytes(BinaryArray),
    /// ARRAY: the elements of all rows, and where each row's end.
    List(OffsetBuffer<i32>, Box<DatumColumn>),
    /// MAP: keys and values of all rows, and where each row's end.
    Map(OffsetBuffer<i32>, Box<(DatumColumn, DatumColumn)>),
    /// ROW: its fields with their names.
    Row(Vec<(String, DatumColumn)>),
}

impl DatumColumn {
    /// Prepares `array`. Errors on a type that Flink has no word for.
    pub fn new(array: &ArrayRef) -> Result<Self, DatumError> {
        use ColumnValues as V;
        macro_rules! of {
            ($type:ty) => {
                array.as_primitive::<$type>().values().clone()
            };
        }
        let values = match array.data_type() {
            DataType::Null => V::Null,
            DataType::Boolean => V::Boolean(array.as_boolean().values().clone()),
            DataType::Int8 => V::Int8(of!(Int8Type)),
            DataType::Int16 => V::Int16(of!(Int16Type)),
            DataType::Int32 => V::Int32(of!(Int32Type)),
            DataType::Date32 => V::Int32(of!(Date32Type)),
            DataType::Time32(TimeUnit::Millisecond) => V::Int32(of!(Time32MillisecondType)),
            DataType::Int64 => V::Int64(of!(Int64Type)),
            DataType::Timestamp(TimeUnit::Second, _) => V::Int64(of!(TimestampSecondType)),
            DataType::Timestamp(TimeUnit::Millisecond, _) => V::Int64(of!(TimestampMillisecondType)),
            DataType::Timestamp(TimeUnit::Microsecond, _) => V::Int64(of!(TimestampMicrosecondType)),
            DataType::Timestamp(TimeUnit::Nanosecond, _) => V::Int64(of!(TimestampNanosecondType)),
            DataType::Float32 => V::Float32(of!(Float32Type)),
            DataType::Float64 => V::Float64(of!(Float64Type)),
            DataType::Decimal128(_, scale) => V::Decimal(of!(Decimal128Type), scale.unsigned_abs()),
            DataType::Utf8 => V::Text(array.as_string::<i32>().clone()),
            DataType::Binary => V::Bytes(array.as_binary::<i32>().clone()),
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                V::List(list.offsets().clone(), Box::new(Self::new(list.values())?))
            }
            DataType::Map(_, _) => {
                let map = array.as_map();
                V::Map(map.offsets().clone(), Box::new((Self::new(map.keys())?, Self::new(map.values())?)))
            }
            DataType::Struct(fields) => {
                let columns = array.as_struct().columns();
                let field = |(f, c): (&std::sync::Arc<arrow::datatypes::Field>, _)| Ok((f.name().clone(), Self::new(c)?));
                V::Row(fields.iter().zip(columns).map(field).collect::<Result<_, DatumError>>()?)
            }
            other => return Err(DatumError::Arrow(format!("functions do not read columns of type {other}"))),
        };
        Ok(Self { values, nulls: array.nulls().filter(|nulls| nulls.null_count() > 0).cloned() })
    }

    /// The values.
    #[inline]
    pub const fn values(&self) -> &ColumnValues {
        &self.values
    }

    /// True if row `row` is NULL.
    #[inline]
    pub fn is_null(&self, row: usize) -> bool {
        match &self.nulls {
            None => matches!(self.values, ColumnValues::Null),
            Some(nulls) => nulls.is_null(row),
        }
    }

    /// The value of row `row`. Panics, as slices do, if there is no such row.
    #[inline]
    pub fn get(&self, row: usize) -> Datum {
        use ColumnValues as V;
        if self.is_null(row) {
            return Datum::Null;
        }
        match &self.values {
            V::Null => Datum::Null,
            V::Boolean(values) => Datum::Boolean(values.value(row)),
            V::Int8(values) => Datum::Long(i64::from(values[row])),
            V::Int16(values) => Datum::Long(i64::from(values[row])),
            V::Int32(values) => Datum::Long(i64::from(values[row])),
            V::Int64(values) => Datum::Long(values[row]),
            V::Float32(values) => Datum::double(f64::from(values[row])),
            V::Float64(values) => Datum::double(values[row]),
            V::Decimal(values, _) => Datum::decimal(values[row]),
            V::Text(values) => Datum::Text(values.value(row).into()),
            V::Bytes(values) => Datum::Bytes(values.value(row).into()),
            V::List(offsets, items) => Datum::List(range(offsets, row).map(|at| items.get(at)).collect()),
            V::Map(offsets, entries) => Datum::Map(range(offsets, row).map(|at| (entries.0.get(at), entries.1.get(at))).collect()),
            V::Row(fields) => Datum::Row(fields.iter().map(|(_, field)| field.get(row)).collect()),
        }
    }
}

/// Where the elements of row `row` lie.
fn range(offsets: &OffsetBuffer<i32>, row: usize) -> std::ops::Range<usize> {
    offsets[row] as usize..offsets[row + 1] as usize
}
