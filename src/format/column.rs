//! Columns under construction. Values are written by row index into vectors that stand ready, so that a field that comes twice
//! overwrites itself and a record that turns out bad is simply overwritten by the next one.
//!
//! Invariant of all text, array and map columns: index `i` is written only after `i - 1`, or again; `offsets[i]` is then final.

use super::FormatError;
use super::calendar::{self, TicksPerSecond, TimestampReader, TimestampStandard};
use super::json::KeyOrder;
use super::parse::{self, Decimal};
use crate::types::{LogicalType, Schema, TypeKind};
use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Decimal128Array, ListArray, MapArray, NullArray, PrimitiveArray, StringArray, StructArray,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, FieldRef, Fields, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    Time32MillisecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};
use base64::Engine;
use std::sync::Arc;

/// A text that is no value of the column's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Misfit;

/// Which rows are NULL; takes no room until one is.
#[derive(Debug, Clone, Default)]
pub(super) struct Validity {
    bits: Option<Vec<u8>>,
}

impl Validity {
    /// Row `index` has a value.
    #[inline]
    pub(super) fn set(&mut self, index: usize) {
        if let Some(byte) = self.bits.as_mut().and_then(|bits| bits.get_mut(index / 8)) {
            *byte |= 1 << (index % 8);
        }
    }

    /// Row `index` is NULL.
    fn unset(&mut self, index: usize) {
        let bits = self.bits.get_or_insert_default();
        if bits.len() <= index / 8 {
            bits.resize(index / 8 + 1, u8::MAX);
        }
        bits[index / 8] &= !(1 << (index % 8));
    }

    fn take(&mut self, rows: usize) -> Option<NullBuffer> {
        let mut bits = self.bits.take()?;
        bits.resize(rows.div_ceil(8), u8::MAX);
        Some(NullBuffer::new(BooleanBuffer::new(Buffer::from_vec(bits), 0, rows))).filter(|nulls| nulls.null_count() > 0)
    }
}

/// Writes `value` at `index`. Rows that were passed over because they are NULL get the default.
#[inline]
pub(super) fn put<T: Copy + Default>(values: &mut Vec<T>, index: usize, value: T) {
    if index == values.len() {
        values.push(value);
    } else if let Some(slot) = values.get_mut(index) {
        *slot = value;
    } else {
        fill(values, index);
        values.push(value);
    }
}

#[cold]
fn fill<T: Copy + Default>(values: &mut Vec<T>, length: usize) {
    values.resize(length, T::default());
}

/// The first `rows` values; what is left has room for as many.
fn take<T: Copy + Default>(values: &mut Vec<T>, rows: usize) -> Vec<T> {
    let mut taken = std::mem::replace(values, Vec::with_capacity(rows));
    taken.resize(rows, T::default());
    taken
}

/// Variable-length bytes by offsets.
#[derive(Debug, Clone)]
pub(super) struct Bytes {
    offsets: Vec<i32>,
    bytes: Vec<u8>,
}

impl Bytes {
    fn new() -> Self {
        Self { offsets: vec![0], bytes: Vec::new() }
    }

    /// Writes row `index`.
    #[inline]
    pub(super) fn write(&mut self, index: usize, value: &[u8]) {
        let start = self.offsets.get(index).map_or(0, |offset| *offset as usize);
        // What a record before this one, or an earlier field of the same name, has left.
        self.bytes.truncate(start);
        self.bytes.extend_from_slice(value);
        // Batches are cut long before their text reaches 2 GiB.
        put(&mut self.offsets, index + 1, self.bytes.len() as i32);
    }

    fn take(&mut self, rows: usize) -> (OffsetBuffer<i32>, Buffer) {
        let offsets = take_offsets(&mut self.offsets, rows);
        let length = offsets[rows] as usize;
        (offsets, Buffer::from_vec(take(&mut self.bytes, length)))
    }
}

fn take_offsets(offsets: &mut Vec<i32>, rows: usize) -> OffsetBuffer<i32> {
    let taken = take(offsets, rows + 1);
    offsets.push(0);
    OffsetBuffer::new(taken.into())
}

/// The values of a column, by type.
#[derive(Debug, Clone)]
pub(super) enum Values {
    Null,
    Boolean(Vec<bool>),
    Int8(Vec<i8>),
    Int16(Vec<i16>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Float32(Vec<f32>),
    Float64(Vec<f64>),
    Decimal { values: Vec<i128>, precision: u8, scale: u8 },
    Text(Bytes),
    Binary(Bytes),
    Date(Vec<i32>),
    Time(Vec<i32>),
    Timestamp { ticks: Vec<i64>, reader: TimestampReader, unit: TimeUnit, zoned: bool },
    Array { offsets: Vec<i32>, element: Box<Column>, field: FieldRef },
    Map { offsets: Vec<i32>, key: Box<Column>, value: Box<Column>, entries: FieldRef },
    Row(Box<Columns>),
}

/// One column under construction.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) values: Values,
    pub(super) validity: Validity,
    /// The type, for messages and for NOT NULL.
    pub(super) data_type: LogicalType,
    /// The record of [`Columns`] that wrote this column last.
    pub(super) written_by: u64,
}

/// The columns of a row or of a nested ROW.
#[expect(clippy::struct_field_names, reason = "the columns of columns are columns")]
#[derive(Debug, Clone)]
pub(super) struct Columns {
    pub(super) columns: Vec<Column>,
    pub(super) fields: Fields,
    /// In which order a JSON object's keys are expected.
    pub(super) order: KeyOrder,
    /// Counts the records begun; tells which columns the current one has written.
    pub(super) record: u64,
}

impl Columns {
    /// Columns of these types, or the name of the first one whose type cannot be read.
    pub(super) fn new(schema: &Schema, standard: TimestampStandard) -> Result<Self, String> {
        let fields: Vec<(String, LogicalType)> = schema.columns.iter().map(|c| (c.name.clone(), c.data_type.clone())).collect();
        Self::of_fields(&fields, standard)
    }

    fn of_fields(types: &[(String, LogicalType)], standard: TimestampStandard) -> Result<Self, String> {
        let column = |(name, data_type): &(String, LogicalType)| Column::new(data_type, standard).map_err(|_| name.clone());
        let columns = types.iter().map(column).collect::<Result<_, _>>()?;
        let fields = match LogicalType::not_null(TypeKind::Row(types.to_vec())).to_arrow() {
            DataType::Struct(fields) => fields,
            _ => Fields::empty(),
        };
        let order = KeyOrder::new(types.iter().map(|(name, _)| name.as_str()));
        Ok(Self { columns, fields, order, record: 0 })
    }

    /// The arrays of the first `rows` rows.
    pub(super) fn finish(&mut self, rows: usize) -> Result<Vec<ArrayRef>, FormatError> {
        self.columns.iter_mut().map(|column| column.finish(rows)).collect()
    }
}

impl Column {
    /// A column of this type; an error if its values cannot be read from text.
    fn new(data_type: &LogicalType, standard: TimestampStandard) -> Result<Self, Misfit> {
        let boxed = |t: &LogicalType| Self::new(t, standard).map(Box::new);
        let values = match (&data_type.kind, data_type.to_arrow()) {
            (TypeKind::Null, _) => Values::Null,
            (TypeKind::Boolean, _) => Values::Boolean(Vec::new()),
            (TypeKind::TinyInt, _) => Values::Int8(Vec::new()),
            (TypeKind::SmallInt, _) => Values::Int16(Vec::new()),
            (TypeKind::Int, _) => Values::Int32(Vec::new()),
            (TypeKind::BigInt, _) => Values::Int64(Vec::new()),
            (TypeKind::Float, _) => Values::Float32(Vec::new()),
            (TypeKind::Double, _) => Values::Float64(Vec::new()),
            (TypeKind::Decimal(precision, scale), _) => Values::Decimal { values: Vec::new(), precision: *precision, scale: *scale },
            (TypeKind::Char(_) | TypeKind::VarChar(_) | TypeKind::String, _) => Values::Text(Bytes::new()),
            (TypeKind::Bytes, _) => Values::Binary(Bytes::new()),
            (TypeKind::Date, _) => Values::Date(Vec::new()),
            (TypeKind::Time, _) => Values::Time(Vec::new()),
            (TypeKind::Timestamp(_) | TypeKind::TimestampLtz(_), DataType::Timestamp(unit, zone)) => {
                let reader = TimestampReader::new(standard, zone.is_some(), ticks_of(unit));
                Values::Timestamp { ticks: Vec::new(), reader, unit, zoned: zone.is_some() }
            }
            (TypeKind::Array(element), DataType::List(field)) => Values::Array { offsets: vec![0], element: boxed(element)?, field },
            (TypeKind::Map(key, value), DataType::Map(entries, _)) => {
                Values::Map { offsets: vec![0], key: boxed(key)?, value: boxed(value)?, entries }
            }
            (TypeKind::Row(fields), _) => Values::Row(Box::new(Columns::of_fields(fields, standard).map_err(|_| Misfit)?)),
            _ => return Err(Misfit),
        };
        Ok(Self { values, validity: Validity::default(), data_type: data_type.clone(), written_by: 0 })
    }

    /// Makes row `index` NULL, whether or not the type allows it.
    pub(super) fn set_null(&mut self, index: usize) {
        self.validity.unset(index);
        match &mut self.values {
            Values::Text(bytes) | Values::Binary(bytes) => bytes.write(index, &[]),
            Values::Array { offsets, .. } | Values::Map { offsets, .. } => {
                let start = offsets.get(index).copied().unwrap_or(0);
                put(offsets, index + 1, start);
            }
            Values::Row(columns) => columns.columns.iter_mut().for_each(|column| column.set_null(index)),
            _ => {}
        }
    }

    /// Writes the value that `text` stands for into row `index`, as Flink's converters do with a text. A decimal of too many
    /// digits becomes NULL. Arrays, maps and rows are never texts.
    pub(super) fn write_text(&mut self, index: usize, text: &[u8]) -> Result<(), Misfit> {
        match &mut self.values {
            Values::Null | Values::Array { .. } | Values::Map { .. } | Values::Row(_) => return Err(Misfit),
            Values::Boolean(values) => put(values, index, parse::boolean(text)),
            Values::Int8(values) => put(values, index, integer(text)?),
            Values::Int16(values) => put(values, index, integer(text)?),
            Values::Int32(values) => put(values, index, integer(text)?),
            Values::Int64(values) => put(values, index, parse::integer(text).ok_or(Misfit)?),
            Values::Float32(values) => put(values, index, parse::float(text).ok_or(Misfit)?),
            Values::Float64(values) => put(values, index, parse::double(text).ok_or(Misfit)?),
            Values::Decimal { values, precision, scale } => match parse::decimal(text, *precision, *scale).ok_or(Misfit)? {
                Decimal::Value(value) => put(values, index, value),
                Decimal::TooLarge if self.data_type.nullable => {
                    self.validity.unset(index);
                    return Ok(());
                }
                Decimal::TooLarge => return Err(Misfit),
            },
            Values::Text(bytes) => {
                if !text.is_ascii() && std::str::from_utf8(text).is_err() {
                    return Err(Misfit);
                }
                bytes.write(index, text);
            }
            Values::Binary(bytes) => {
                let decoded = base64::engine::general_purpose::STANDARD.decode(text).map_err(|_| Misfit)?;
                bytes.write(index, &decoded);
            }
            Values::Date(values) => put(values, index, calendar::date(text).ok_or(Misfit)?),
            Values::Time(values) => put(values, index, calendar::time(text).ok_or(Misfit)?),
            Values::Timestamp { ticks, reader, .. } => put(ticks, index, reader.read(text).ok_or(Misfit)?),
        }
        self.validity.set(index);
        Ok(())
    }

    /// The array of the first `rows` rows, all of which are written; the column is empty then.
    fn finish(&mut self, rows: usize) -> Result<ArrayRef, FormatError> {
        let nulls = self.validity.take(rows);
        let array: ArrayRef = match &mut self.values {
            Values::Null => Arc::new(NullArray::new(rows)),
            Values::Boolean(values) => Arc::new(BooleanArray::new(BooleanBuffer::from(take(values, rows)), nulls)),
            Values::Int8(values) => primitive::<Int8Type>(values, rows, nulls)?,
            Values::Int16(values) => primitive::<Int16Type>(values, rows, nulls)?,
            Values::Int32(values) => primitive::<Int32Type>(values, rows, nulls)?,
            Values::Int64(values) => primitive::<Int64Type>(values, rows, nulls)?,
            Values::Float32(values) => primitive::<Float32Type>(values, rows, nulls)?,
            Values::Float64(values) => primitive::<Float64Type>(values, rows, nulls)?,
            Values::Decimal { values, precision, scale } => {
                let array = Decimal128Array::try_new(take(values, rows).into(), nulls)?;
                Arc::new(array.with_precision_and_scale(*precision, *scale as i8)?)
            }
            Values::Text(bytes) => {
                let (offsets, values) = bytes.take(rows);
                Arc::new(StringArray::try_new(offsets, values, nulls)?)
            }
            Values::Binary(bytes) => {
                let (offsets, values) = bytes.take(rows);
                Arc::new(BinaryArray::try_new(offsets, values, nulls)?)
            }
            Values::Date(values) => primitive::<Date32Type>(values, rows, nulls)?,
            Values::Time(values) => primitive::<Time32MillisecondType>(values, rows, nulls)?,
            Values::Timestamp { ticks, unit, zoned, .. } => match unit {
                TimeUnit::Second => timestamps::<TimestampSecondType>(ticks, rows, nulls, *zoned)?,
                TimeUnit::Millisecond => timestamps::<TimestampMillisecondType>(ticks, rows, nulls, *zoned)?,
                TimeUnit::Microsecond => timestamps::<TimestampMicrosecondType>(ticks, rows, nulls, *zoned)?,
                TimeUnit::Nanosecond => timestamps::<TimestampNanosecondType>(ticks, rows, nulls, *zoned)?,
            },
            Values::Array { offsets, element, field } => {
                let offsets = take_offsets(offsets, rows);
                let elements = element.finish(offsets[rows] as usize)?;
                Arc::new(ListArray::try_new(Arc::clone(field), offsets, elements, nulls)?)
            }
            Values::Map { offsets, key, value, entries } => {
                let offsets = take_offsets(offsets, rows);
                let count = offsets[rows] as usize;
                let DataType::Struct(fields) = entries.data_type() else {
                    return Err(FormatError::Arrow("a map's entries are no struct".to_owned()));
                };
                let pairs = vec![key.finish(count)?, value.finish(count)?];
                let pairs = StructArray::try_new_with_length(fields.clone(), pairs, None, count)?;
                Arc::new(MapArray::try_new(Arc::clone(entries), offsets, pairs, nulls, false)?)
            }
            Values::Row(columns) => {
                let arrays = columns.finish(rows)?;
                Arc::new(StructArray::try_new_with_length(columns.fields.clone(), arrays, nulls, rows)?)
            }
        };
        Ok(array)
    }
}

fn integer<T: TryFrom<i64>>(text: &[u8]) -> Result<T, Misfit> {
    parse::integer(text).and_then(|value| T::try_from(value).ok()).ok_or(Misfit)
}

/// How many ticks a second has in this unit.
pub(super) const fn ticks_of(unit: TimeUnit) -> TicksPerSecond {
    TicksPerSecond(match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    })
}

fn primitive<T: ArrowPrimitiveType>(values: &mut Vec<T::Native>, rows: usize, nulls: Option<NullBuffer>) -> Result<ArrayRef, FormatError> {
    Ok(Arc::new(PrimitiveArray::<T>::try_new(take(values, rows).into(), nulls)?))
}

fn timestamps<T>(ticks: &mut Vec<i64>, rows: usize, nulls: Option<NullBuffer>, zoned: bool) -> Result<ArrayRef, FormatError>
where
    T: arrow::datatypes::ArrowTimestampType,
{
    let array = PrimitiveArray::<T>::try_new(take(ticks, rows).into(), nulls)?;
    Ok(Arc::new(array.with_timezone_opt(zoned.then_some("UTC"))))
}
