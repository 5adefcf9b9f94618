//! Values into Arrow columns.

use super::{Datum, DatumError};
use crate::types::{LogicalType, Schema, TypeKind};
use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, BinaryArray, BooleanArray, BooleanBufferBuilder, ListArray, MapArray, NullArray,
    NullBufferBuilder, PrimitiveArray, RecordBatch, RecordBatchOptions, StringArray, StructArray, make_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, SchemaRef};
use std::sync::Arc;

/// Builds one column of a type, value by value.
#[derive(Debug)]
pub struct DatumBuilder {
    logical: LogicalType,
    arrow: DataType,
    values: Values,
    nulls: NullBufferBuilder,
}

#[derive(Debug)]
enum Values {
    Null,
    Boolean(BooleanBufferBuilder),
    Int8(Vec<i8>),
    Int16(Vec<i16>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Float32(Vec<f32>),
    Float64(Vec<f64>),
    Decimal(Vec<i128>, u8),
    Text(Vec<i32>, Vec<u8>),
    Bytes(Vec<i32>, Vec<u8>),
    List(Vec<i32>, Box<DatumBuilder>),
    Map(Vec<i32>, Box<(DatumBuilder, DatumBuilder)>),
    Row(Vec<(String, DatumBuilder)>),
}

impl DatumBuilder {
    /// An empty column of this type. INTERVAL, which no column has, becomes a column of NULLs.
    pub fn new(data_type: &LogicalType) -> Self {
        let values = match &data_type.kind {
            TypeKind::Boolean => Values::Boolean(BooleanBufferBuilder::new(0)),
            TypeKind::TinyInt => Values::Int8(Vec::new()),
            TypeKind::SmallInt => Values::Int16(Vec::new()),
            TypeKind::Int | TypeKind::Date | TypeKind::Time => Values::Int32(Vec::new()),
            TypeKind::BigInt | TypeKind::Timestamp(_) | TypeKind::TimestampLtz(_) => Values::Int64(Vec::new()),
            TypeKind::Float => Values::Float32(Vec::new()),
            TypeKind::Double => Values::Float64(Vec::new()),
            TypeKind::Decimal(precision, _) => Values::Decimal(Vec::new(), *precision),
            TypeKind::Char(_) | TypeKind::VarChar(_) | TypeKind::String => Values::Text(vec![0], Vec::new()),
            TypeKind::Bytes => Values::Bytes(vec![0], Vec::new()),
            TypeKind::Array(item) => Values::List(vec![0], Box::new(Self::new(item))),
            TypeKind::Map(key, value) => {
                let key = LogicalType::not_null(key.kind.clone());
                Values::Map(vec![0], Box::new((Self::new(&key), Self::new(value))))
            }
            TypeKind::Row(fields) => Values::Row(fields.iter().map(|(name, t)| (name.clone(), Self::new(t))).collect()),
            TypeKind::Null | TypeKind::Interval => Values::Null,
        };
        Self { logical: data_type.clone(), arrow: data_type.to_arrow(), values, nulls: NullBufferBuilder::new(0) }
    }

    /// The type of the column.
    pub const fn data_type(&self) -> &LogicalType {
        &self.logical
    }

    /// Number of values so far.
    pub fn len(&self) -> usize {
        self.nulls.len()
    }

    /// True if there is no value yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Room for `rows` more values.
    pub fn reserve(&mut self, rows: usize) {
        match &mut self.values {
            Values::Int8(values) => values.reserve(rows),
            Values::Int16(values) => values.reserve(rows),
            Values::Int32(values) => values.reserve(rows),
            Values::Int64(values) => values.reserve(rows),
            Values::Float32(values) => values.reserve(rows),
            Values::Float64(values) => values.reserve(rows),
            Values::Decimal(values, _) => values.reserve(rows),
            Values::Text(offsets, _) | Values::Bytes(offsets, _) => offsets.reserve(rows),
            Values::Null | Values::Boolean(_) | Values::List(..) | Values::Map(..) | Values::Row(_) => {}
        }
    }

    /// Adds a value. Integers go into FLOAT and DOUBLE, too. Errors on NULL in a NOT NULL column, on another type, on a number
    /// out of range; the column is then as it was, but for nested columns, which must not be used any more.
    pub fn append(&mut self, value: &Datum) -> Result<(), DatumError> {
        match value {
            Datum::Null => self.append_null(),
            Datum::Boolean(value) => self.append_bool(*value),
            Datum::Long(value) => self.append_long(*value),
            Datum::Double(value) => self.append_double(value.get()),
            Datum::Decimal(value) => self.append_decimal(value.get()),
            Datum::Text(value) => self.append_text(value),
            Datum::Bytes(value) => self.append_bytes(value),
            Datum::List(items) => {
                let item = self.list_items()?;
                items.iter().try_for_each(|value| item.append(value))?;
                self.end_list()
            }
            Datum::Map(entries) => {
                let (keys, values) = self.map_entries()?;
                for (key, value) in entries {
                    keys.append(key)?;
                    values.append(value)?;
                }
                self.end_map()
            }
            Datum::Row(values) => {
                let fields = self.row_fields()?;
                if fields.len() != values.len() {
                    return Err(self.mismatch("a ROW of other fields"));
                }
                fields.iter_mut().zip(values).try_for_each(|((_, field), value)| field.append(value))?;
                self.end_row()
            }
        }
    }

    /// Adds NULL. Errors if the column is NOT NULL.
    pub fn append_null(&mut self) -> Result<(), DatumError> {
        if !self.logical.nullable {
            return Err(DatumError::Null(self.logical.clone()));
        }
        self.append_filler();
        Ok(())
    }

    /// NULL, whatever the type says: inside a ROW that is itself NULL.
    fn append_filler(&mut self) {
        self.nulls.append_null();
        match &mut self.values {
            Values::Null => {}
            Values::Boolean(values) => values.append(false),
            Values::Int8(values) => values.push(0),
            Values::Int16(values) => values.push(0),
            Values::Int32(values) => values.push(0),
            Values::Int64(values) => values.push(0),
            Values::Float32(values) => values.push(0.0),
            Values::Float64(values) => values.push(0.0),
            Values::Decimal(values, _) => values.push(0),
            Values::Text(offsets, bytes) | Values::Bytes(offsets, bytes) => offsets.push(bytes.len() as i32),
            Values::List(offsets, items) => offsets.push(items.len() as i32),
            Values::Map(offsets, entries) => offsets.push(entries.0.len() as i32),
            Values::Row(fields) => fields.iter_mut().for_each(|(_, field)| field.append_filler()),
        }
    }

    /// Adds a BOOLEAN.
    #[inline]
    pub fn append_bool(&mut self, value: bool) -> Result<(), DatumError> {
        let Values::Boolean(values) = &mut self.values else { return Err(self.mismatch("a BOOLEAN")) };
        values.append(value);
        self.nulls.append_non_null();
        Ok(())
    }

    /// Adds a value of any type that [`Datum::Long`] carries, or an integer to a column of floats.
    #[inline]
    pub fn append_long(&mut self, value: i64) -> Result<(), DatumError> {
        let fits = match &mut self.values {
            Values::Int64(values) => {
                values.push(value);
                true
            }
            Values::Int32(values) => i32::try_from(value).map(|value| values.push(value)).is_ok(),
            Values::Int16(values) => i16::try_from(value).map(|value| values.push(value)).is_ok(),
            Values::Int8(values) => i8::try_from(value).map(|value| values.push(value)).is_ok(),
            Values::Float64(values) => {
                values.push(value as f64);
                true
            }
            Values::Float32(values) => {
                values.push(value as f32);
                true
            }
            _ => return Err(self.mismatch("an integer")),
        };
        if !fits {
            return Err(DatumError::Range { value: value.to_string(), expected: self.logical.clone() });
        }
        self.nulls.append_non_null();
        Ok(())
    }

    /// Adds a FLOAT or DOUBLE.
    #[inline]
    pub fn append_double(&mut self, value: f64) -> Result<(), DatumError> {
        match &mut self.values {
            Values::Float64(values) => values.push(value),
            Values::Float32(values) => values.push(value as f32),
            _ => return Err(self.mismatch("a DOUBLE")),
        }
        self.nulls.append_non_null();
        Ok(())
    }

    /// Adds a DECIMAL, given without its scale.
    pub fn append_decimal(&mut self, unscaled: i128) -> Result<(), DatumError> {
        let Values::Decimal(values, precision) = &mut self.values else { return Err(self.mismatch("a DECIMAL")) };
        if unscaled.unsigned_abs() >= 10_u128.pow(u32::from(*precision)) {
            return Err(DatumError::Range { value: format!("the digits {unscaled}"), expected: self.logical.clone() });
        }
        values.push(unscaled);
        self.nulls.append_non_null();
        Ok(())
    }

    /// Adds a STRING.
    #[inline]
    pub fn append_text(&mut self, value: &str) -> Result<(), DatumError> {
        let Values::Text(offsets, bytes) = &mut self.values else { return Err(self.mismatch("a STRING")) };
        let end = offset(bytes.len() + value.len())?;
        bytes.extend_from_slice(value.as_bytes());
        offsets.push(end);
        self.nulls.append_non_null();
        Ok(())
    }

    /// Adds BYTES.
    pub fn append_bytes(&mut self, value: &[u8]) -> Result<(), DatumError> {
        let Values::Bytes(offsets, bytes) = &mut self.values else { return Err(self.mismatch("BYTES")) };
        let end = offset(bytes.len() + value.len())?;
        bytes.extend_from_slice(value);
        offsets.push(end);
        self.nulls.append_non_null();
        Ok(())
    }

    /// Where the elements of the next ARRAY go; [`Self::end_list`] ends it.
    pub fn list_items(&mut self) -> Result<&mut Self, DatumError> {
        let Values::List(_, items) = &mut self.values else { return Err(mismatch(&self.logical, "an ARRAY")) };
        Ok(items)
    }

    /// The ARRAY has all its elements.
    pub fn end_list(&mut self) -> Result<(), DatumError> {
        let Values::List(offsets, items) = &mut self.values else { return Err(self.mismatch("an ARRAY")) };
        offsets.push(offset(items.len())?);
        self.nulls.append_non_null();
        Ok(())
    }

    /// Where the keys and values of the next MAP go; [`Self::end_map`] ends it.
    pub fn map_entries(&mut self) -> Result<(&mut Self, &mut Self), DatumError> {
        let Values::Map(_, entries) = &mut self.values else { return Err(mismatch(&self.logical, "a MAP")) };
        Ok((&mut entries.0, &mut entries.1))
    }

    /// The MAP has all its entries.
    pub fn end_map(&mut self) -> Result<(), DatumError> {
        let Values::Map(offsets, entries) = &mut self.values else { return Err(self.mismatch("a MAP")) };
        offsets.push(offset(entries.0.len())?);
        self.nulls.append_non_null();
        Ok(())
    }

    /// Where the fields of the next ROW go, with their names; [`Self::end_row`] ends it.
    pub fn row_fields(&mut self) -> Result<&mut [(String, Self)], DatumError> {
        let Values::Row(fields) = &mut self.values else { return Err(mismatch(&self.logical, "a ROW")) };
        Ok(fields)
    }

    /// Each field of the ROW has its value. Errors if one has none or several.
    pub fn end_row(&mut self) -> Result<(), DatumError> {
        let rows = self.len() + 1;
        let Values::Row(fields) = &mut self.values else { return Err(self.mismatch("a ROW")) };
        for (_, field) in fields {
            if field.len() + 1 == rows {
                field.append_null()?;
            }
            if field.len() != rows {
                return Err(DatumError::Arrow("a field of a ROW has more than one value".to_owned()));
            }
        }
        self.nulls.append_non_null();
        Ok(())
    }

    fn mismatch(&self, found: &'static str) -> DatumError {
        mismatch(&self.logical, found)
    }

    /// The column; the builder is empty again.
    pub fn finish(&mut self) -> Result<ArrayRef, DatumError> {
        let rows = self.len();
        let nulls = self.nulls.finish();
        Ok(match &mut self.values {
            Values::Null => Arc::new(NullArray::new(rows)),
            Values::Boolean(values) => Arc::new(BooleanArray::new(values.finish(), nulls)),
            Values::Int8(values) => primitive::<Int8Type>(values, nulls, &self.arrow)?,
            Values::Int16(values) => primitive::<Int16Type>(values, nulls, &self.arrow)?,
            Values::Int32(values) => primitive::<Int32Type>(values, nulls, &self.arrow)?,
            Values::Int64(values) => primitive::<Int64Type>(values, nulls, &self.arrow)?,
            Values::Float32(values) => primitive::<Float32Type>(values, nulls, &self.arrow)?,
            Values::Float64(values) => primitive::<Float64Type>(values, nulls, &self.arrow)?,
            Values::Decimal(values, _) => primitive::<Decimal128Type>(values, nulls, &self.arrow)?,
            Values::Text(offsets, bytes) => Arc::new(StringArray::try_new(offsets_of(offsets), std::mem::take(bytes).into(), nulls)?),
            Values::Bytes(offsets, bytes) => Arc::new(BinaryArray::try_new(offsets_of(offsets), std::mem::take(bytes).into(), nulls)?),
            Values::List(offsets, items) => {
                let DataType::List(field) = &self.arrow else { return Err(DatumError::Arrow(self.arrow.to_string())) };
                Arc::new(ListArray::try_new(Arc::clone(field), offsets_of(offsets), items.finish()?, nulls)?)
            }
            Values::Map(offsets, entries) => {
                let DataType::Map(field, sorted) = &self.arrow else { return Err(DatumError::Arrow(self.arrow.to_string())) };
                let DataType::Struct(fields) = field.data_type() else { return Err(DatumError::Arrow(self.arrow.to_string())) };
                let pairs = StructArray::try_new(fields.clone(), vec![entries.0.finish()?, entries.1.finish()?], None)?;
                Arc::new(MapArray::try_new(Arc::clone(field), offsets_of(offsets), pairs, nulls, *sorted)?)
            }
            Values::Row(fields) => {
                let DataType::Struct(arrow) = &self.arrow else { return Err(DatumError::Arrow(self.arrow.to_string())) };
                if fields.is_empty() {
                    return Ok(Arc::new(StructArray::new_empty_fields(rows, nulls)));
                }
                let columns = fields.iter_mut().map(|(_, field)| field.finish()).collect::<Result<Vec<_>, _>>()?;
                Arc::new(StructArray::try_new(arrow.clone(), columns, nulls)?)
            }
        })
    }
}

#[cold]
fn mismatch(expected: &LogicalType, found: &'static str) -> DatumError {
    DatumError::Type { found, expected: expected.clone() }
}

/// Arrow counts bytes and elements of a column in 31 bits.
fn offset(end: usize) -> Result<i32, DatumError> {
    i32::try_from(end).map_err(|_| DatumError::Arrow("more than 2,147,483,647 bytes or elements in one batch".to_owned()))
}

fn offsets_of(offsets: &mut Vec<i32>) -> OffsetBuffer<i32> {
    OffsetBuffer::new(std::mem::replace(offsets, vec![0]).into())
}

/// Takes the values out and leaves room for as many: the next batch will be much like this one.
fn emptied<T>(values: &mut Vec<T>) -> Vec<T> {
    let room = Vec::with_capacity(values.len());
    std::mem::replace(values, room)
}

fn primitive<T: ArrowPrimitiveType>(values: &mut Vec<T::Native>, nulls: Option<NullBuffer>, to: &DataType) -> Result<ArrayRef, DatumError> {
    let array = PrimitiveArray::<T>::try_new(ScalarBuffer::from(emptied(values)), nulls)?;
    if array.data_type() == to {
        return Ok(Arc::new(array));
    }
    // The same words under another name: a date, a time, a timestamp with its zone, a precision and scale.
    let data = array.into_data();
    Ok(make_array(data.into_builder().data_type(to.clone()).build()?))
}

/// Builds the columns of a schema, row by row.
#[derive(Debug)]
pub struct RowBuilder {
    schema: SchemaRef,
    columns: Vec<DatumBuilder>,
    rows: usize,
}

impl RowBuilder {
    /// No rows yet.
    pub fn new(schema: &Schema) -> Self {
        let columns = schema.columns.iter().map(|column| DatumBuilder::new(&column.data_type)).collect();
        Self { schema: schema.to_arrow(), columns, rows: 0 }
    }

    /// The columns as Arrow has them.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Number of rows so far.
    pub const fn len(&self) -> usize {
        self.rows
    }

    /// True if there is no row yet.
    pub const fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The columns: each takes its value of the next row; then comes [`Self::end_row`].
    pub fn columns(&mut self) -> &mut [DatumBuilder] {
        &mut self.columns
    }

    /// The row is complete: columns without a value get NULL. Errors, naming the column, where that is not allowed.
    #[inline]
    pub fn end_row(&mut self) -> Result<(), DatumError> {
        self.rows += 1;
        for (at, column) in self.columns.iter_mut().enumerate() {
            if column.len() == self.rows {
                continue;
            }
            let missing = column.len() + 1 == self.rows && column.append_null().is_ok();
            if !missing {
                let name = self.schema.field(at).name();
                return Err(DatumError::Arrow(format!("column {name} {} has no value, or two, in a row", column.data_type())));
            }
        }
        Ok(())
    }

    /// The next `rows` rows are complete: each column has their values. Errors, naming the column, if one has more or fewer.
    pub fn end_rows(&mut self, rows: usize) -> Result<(), DatumError> {
        self.rows += rows;
        match self.columns.iter().position(|column| column.len() != self.rows) {
            None => Ok(()),
            Some(at) => {
                let (name, values) = (self.schema.field(at).name(), self.columns[at].len());
                Err(DatumError::Arrow(format!("column {name} has {values} values in {} rows", self.rows)))
            }
        }
    }

    /// Adds a row. Errors, naming the column, on values that do not fit.
    pub fn append(&mut self, row: &[Datum]) -> Result<(), DatumError> {
        for (at, value) in row.iter().enumerate() {
            let Some(column) = self.columns.get_mut(at) else {
                return Err(DatumError::Arrow(format!("a row of {} values for {} columns", row.len(), self.columns.len())));
            };
            column.append(value).map_err(|e| DatumError::Arrow(format!("column {}: {e}", self.schema.field(at).name())))?;
        }
        self.end_row()
    }

    /// The rows so far; the builder is empty again.
    pub fn finish(&mut self) -> Result<RecordBatch, DatumError> {
        let rows = std::mem::take(&mut self.rows);
        let columns = self.columns.iter_mut().map(DatumBuilder::finish).collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }
}
