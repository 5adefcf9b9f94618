//! Rust values from the rows of a batch. Fields of a struct are columns by name; where each one is, is found out once.

use super::ValueError;
use crate::types::{Batch, ColumnValues, DatumColumn};
use serde::de::value::StrDeserializer;
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

/// The rows of a batch, ready to become Rust values.
#[derive(Debug)]
pub(in super::super) struct RowReader {
    columns: Vec<(String, DatumColumn)>,
}

/// Where the fields of the struct that was read last are.
#[derive(Debug, Default)]
pub(in super::super) struct FieldMap {
    fields: Option<&'static [&'static str]>,
    /// One a field; `None` if a field has no column: then columns are given with their names.
    columns: Option<Vec<usize>>,
}

impl RowReader {
    pub(in super::super) fn new(batch: &Batch) -> Result<Self, ValueError> {
        let schema = batch.schema();
        let column = |(field, array): (&std::sync::Arc<arrow::datatypes::Field>, _)| {
            DatumColumn::new(array).map(|column| (field.name().clone(), column)).map_err(ValueError::from)
        };
        Ok(Self { columns: schema.fields().iter().zip(batch.columns().columns()).map(column).collect::<Result<_, _>>()? })
    }

    /// Row `row`. A struct takes columns by name; a tuple, all columns in order; anything else, the only column.
    #[inline]
    pub(in super::super) fn read<T: DeserializeOwned>(&self, row: usize, map: &mut FieldMap) -> Result<T, ValueError> {
        T::deserialize(FromRow { columns: &self.columns, row, map: Some(map) })
    }

    /// The millisecond timestamp in column `column`, if that holds one.
    pub(in super::super) fn column(&self, column: usize) -> Option<&DatumColumn> {
        self.columns.get(column).map(|(_, column)| column)
    }
}

struct FromRow<'a, 'm> {
    columns: &'a [(String, DatumColumn)],
    row: usize,
    map: Option<&'m mut FieldMap>,
}

impl<'de> FromRow<'de, '_> {
    fn by_name<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_map(Named { columns: self.columns.iter(), row: self.row, value: None })
    }

    fn single(&self) -> Result<FromCell<'de>, ValueError> {
        match self.columns {
            [(_, column)] => Ok(FromCell { column, row: self.row }),
            columns => Err(ValueError::new(format!("a row of {} columns is read as a single value; read it as a struct", columns.len()))),
        }
    }
}

impl<'de> Deserializer<'de> for FromRow<'de, '_> {
    type Error = ValueError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        self.single()?.deserialize_any(visitor)
    }

    #[inline]
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        let Self { columns, row, map } = self;
        if let Some(map) = map {
            if !map.fields.is_some_and(|known| std::ptr::eq(known, fields)) {
                let find = |field: &&str| columns.iter().position(|(name, _)| name == field);
                map.columns = fields.iter().map(find).collect();
                map.fields = Some(fields);
            }
            if let Some(order) = &map.columns {
                return visitor.visit_seq(Ordered { columns, order: order.iter(), row });
            }
        }
        Self { columns, row, map: None }.by_name(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        self.by_name(visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_seq(Cells { columns: self.columns.iter(), row: self.row })
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(self, _name: &'static str, len: usize, visitor: V) -> Result<V::Value, ValueError> {
        self.deserialize_tuple(len, visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        self.single()?.deserialize_option(visitor)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_unit()
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        self.single()?.deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit_struct seq identifier ignored_any
    }
}

/// The columns of a struct's fields.
struct Ordered<'a, 'm> {
    columns: &'a [(String, DatumColumn)],
    order: std::slice::Iter<'m, usize>,
    row: usize,
}

impl<'de> SeqAccess<'de> for Ordered<'de, '_> {
    type Error = ValueError;

    #[inline]
    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, ValueError> {
        let Some(at) = self.order.next() else { return Ok(None) };
        let (name, column) = &self.columns[*at];
        let value = seed.deserialize(FromCell { column, row: self.row });
        value.map(Some).map_err(|e| in_column(name, &e))
    }
}

#[cold]
fn in_column(name: &str, error: &ValueError) -> ValueError {
    ValueError::new(format!("column {name}: {error}"))
}

/// All columns in order.
struct Cells<'a> {
    columns: std::slice::Iter<'a, (String, DatumColumn)>,
    row: usize,
}

impl<'de> SeqAccess<'de> for Cells<'de> {
    type Error = ValueError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, ValueError> {
        let Some((name, column)) = self.columns.next() else { return Ok(None) };
        seed.deserialize(FromCell { column, row: self.row }).map(Some).map_err(|e| in_column(name, &e))
    }
}

/// All columns with their names.
struct Named<'a> {
    columns: std::slice::Iter<'a, (String, DatumColumn)>,
    row: usize,
    value: Option<&'a DatumColumn>,
}

impl<'de> MapAccess<'de> for Named<'de> {
    type Error = ValueError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ValueError> {
        let Some((name, column)) = self.columns.next() else { return Ok(None) };
        self.value = Some(column);
        let name: StrDeserializer<'_, ValueError> = name.as_str().into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ValueError> {
        let column = self.value.take().ok_or_else(|| ValueError::new("a value was asked for before its name"))?;
        seed.deserialize(FromCell { column, row: self.row })
    }
}

/// One value.
#[derive(Clone, Copy)]
struct FromCell<'a> {
    column: &'a DatumColumn,
    row: usize,
}

impl<'de> FromCell<'de> {
    fn nested<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        let row = self.row;
        match self.column.values() {
            ColumnValues::Bytes(values) => visitor.visit_borrowed_bytes(values.value(row)),
            ColumnValues::List(offsets, items) => {
                visitor.visit_seq(Items { of: items.as_ref(), at: offsets[row] as usize, end: offsets[row + 1] as usize })
            }
            ColumnValues::Map(offsets, entries) => {
                visitor.visit_map(Items { of: entries.as_ref(), at: offsets[row] as usize, end: offsets[row + 1] as usize })
            }
            ColumnValues::Row(fields) => FromRow { columns: fields, row, map: None }.by_name(visitor),
            _ => visitor.visit_unit(),
        }
    }
}

impl<'de> Deserializer<'de> for FromCell<'de> {
    type Error = ValueError;

    #[inline]
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        let row = self.row;
        if self.column.is_null(row) {
            return visitor.visit_unit();
        }
        match self.column.values() {
            ColumnValues::Int64(values) => visitor.visit_i64(values[row]),
            ColumnValues::Int32(values) => visitor.visit_i32(values[row]),
            ColumnValues::Int16(values) => visitor.visit_i16(values[row]),
            ColumnValues::Int8(values) => visitor.visit_i8(values[row]),
            ColumnValues::Float64(values) => visitor.visit_f64(values[row]),
            ColumnValues::Float32(values) => visitor.visit_f32(values[row]),
            ColumnValues::Boolean(values) => visitor.visit_bool(values.value(row)),
            ColumnValues::Text(values) => visitor.visit_borrowed_str(values.value(row)),
            ColumnValues::Decimal(values, _) => visitor.visit_i128(values[row]),
            _ => self.nested(visitor),
        }
    }

    #[inline]
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        if self.column.is_null(self.row) { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, ValueError> {
        match self.column.values() {
            ColumnValues::Row(fields) if !self.column.is_null(self.row) => {
                FromRow { columns: fields, row: self.row, map: None }.deserialize_tuple(len, visitor)
            }
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(self, _name: &'static str, len: usize, visitor: V) -> Result<V::Value, ValueError> {
        self.deserialize_tuple(len, visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        match self.column.values() {
            ColumnValues::Text(values) if !self.column.is_null(self.row) => {
                let variant: StrDeserializer<'_, ValueError> = values.value(self.row).into_deserializer();
                visitor.visit_enum(variant)
            }
            _ => Err(ValueError::new("only a STRING is a variant of an enum")),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq map struct identifier
        ignored_any
    }
}

/// The elements of an ARRAY, or the entries of a MAP, of one row.
struct Items<'a, I: ?Sized> {
    of: &'a I,
    at: usize,
    end: usize,
}

impl<'de> SeqAccess<'de> for Items<'de, DatumColumn> {
    type Error = ValueError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, ValueError> {
        if self.at == self.end {
            return Ok(None);
        }
        self.at += 1;
        seed.deserialize(FromCell { column: self.of, row: self.at - 1 }).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.end - self.at)
    }
}

impl<'de> MapAccess<'de> for Items<'de, (DatumColumn, DatumColumn)> {
    type Error = ValueError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ValueError> {
        if self.at == self.end {
            return Ok(None);
        }
        seed.deserialize(FromCell { column: &self.of.0, row: self.at }).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ValueError> {
        self.at += 1;
        seed.deserialize(FromCell { column: &self.of.1, row: self.at - 1 })
    }
}
