//! Rust values into the columns of an output.

use super::ValueError;
use super::into_datum::{beyond, content};
use crate::types::{DatumBuilder, RowBuilder};
use serde::ser::{Impossible, SerializeMap, SerializeSeq, SerializeStruct, SerializeTuple, SerializeTupleStruct};
use serde::{Serialize, Serializer};

/// Which column each field of the struct that is written goes to, in the order in which its fields come.
#[derive(Debug, Default)]
pub(in super::super) struct ColumnMap {
    /// The address of the field's name, which says that it is the same field, and its column.
    fields: Vec<(usize, usize)>,
}

impl ColumnMap {
    #[inline]
    fn column(&mut self, rows: &RowBuilder, at: usize, field: &'static str) -> Result<usize, ValueError> {
        match self.fields.get(at) {
            Some((name, column)) if *name == field.as_ptr() as usize => Ok(*column),
            _ => self.find(rows, at, field),
        }
    }

    #[cold]
    fn find(&mut self, rows: &RowBuilder, at: usize, field: &'static str) -> Result<usize, ValueError> {
        let schema = rows.schema();
        let Ok(column) = schema.index_of(field) else {
            let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
            return Err(ValueError::new(format!("the output has no column {field}; it has {}", names.join(", "))));
        };
        self.fields.truncate(at);
        if self.fields.len() == at {
            self.fields.push((field.as_ptr() as usize, column));
        }
        Ok(column)
    }
}

/// Adds a row. Fields of a struct are columns by name; a tuple fills the columns in order; anything else is the only column.
/// Errors, naming the column, on what does not fit; the rows are then unusable.
#[inline]
pub(in super::super) fn write_row<T: Serialize>(value: &T, rows: &mut RowBuilder, map: &mut ColumnMap) -> Result<(), ValueError> {
    value.serialize(RowWriter { rows, map, at: 0 })
}

struct RowWriter<'a> {
    rows: &'a mut RowBuilder,
    map: &'a mut ColumnMap,
    at: usize,
}

impl RowWriter<'_> {
    #[inline]
    fn write<T: Serialize + ?Sized>(&mut self, column: usize, value: &T) -> Result<(), ValueError> {
        self.at += 1;
        let written = match self.rows.columns().get_mut(column) {
            Some(builder) => value.serialize(CellWriter(builder)),
            None => return Err(ValueError::new(format!("a row of more than the {column} columns of the output"))),
        };
        written.map_err(|e| self.in_column(column, &e))
    }

    #[cold]
    fn in_column(&self, column: usize, error: &ValueError) -> ValueError {
        ValueError::new(format!("column {}: {error}", self.rows.schema().field(column).name()))
    }

    /// The value is the only column.
    fn single<T: Serialize + ?Sized>(mut self, value: &T) -> Result<(), ValueError> {
        self.write(0, value)?;
        Ok(self.rows.end_row()?)
    }
}

macro_rules! single {
    ($($method:ident: $type:ty),*) => {
        $(fn $method(self, value: $type) -> Result<(), ValueError> {
            self.single(&value)
        })*
    };
}

impl Serializer for RowWriter<'_> {
    type Ok = ();
    type Error = ValueError;
    type SerializeSeq = Impossible<(), ValueError>;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Impossible<(), ValueError>;
    type SerializeMap = Impossible<(), ValueError>;
    type SerializeStruct = Self;
    type SerializeStructVariant = Impossible<(), ValueError>;

    single!(
        serialize_bool: bool, serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64, serialize_i128: i128,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64, serialize_f32: f32, serialize_f64: f64,
        serialize_char: char, serialize_str: &str
    );

    fn serialize_bytes(mut self, value: &[u8]) -> Result<(), ValueError> {
        match self.rows.columns().first_mut() {
            Some(builder) => builder.append_bytes(value)?,
            None => return Err(self.in_column(0, &ValueError::new("there is none"))),
        }
        self.at += 1;
        Ok(self.rows.end_row()?)
    }

    fn serialize_none(self) -> Result<(), ValueError> {
        Ok(self.rows.end_row()?)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), ValueError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), ValueError> {
        Ok(self.rows.end_row()?)
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), ValueError> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _name: &'static str, _index: u32, variant: &'static str) -> Result<(), ValueError> {
        self.single(variant)
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _name: &'static str, value: &T) -> Result<(), ValueError> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _value: &T,
    ) -> Result<(), ValueError> {
        Err(content())
    }

    fn serialize_seq(self, _len: Option<usize>) -> Result<Self::SerializeSeq, ValueError> {
        Err(ValueError::new("a sequence is no row: write a struct"))
    }

    fn serialize_tuple(self, _len: usize) -> Result<Self, ValueError> {
        Ok(self)
    }

    fn serialize_tuple_struct(self, _name: &'static str, _len: usize) -> Result<Self, ValueError> {
        Ok(self)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, ValueError> {
        Err(content())
    }

    fn serialize_map(self, _len: Option<usize>) -> Result<Self::SerializeMap, ValueError> {
        Err(ValueError::new("a map is no row: write a struct"))
    }

    #[inline]
    fn serialize_struct(self, _name: &'static str, _len: usize) -> Result<Self, ValueError> {
        Ok(self)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, ValueError> {
        Err(content())
    }
}

impl SerializeStruct for RowWriter<'_> {
    type Ok = ();
    type Error = ValueError;

    #[inline]
    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), ValueError> {
        let column = self.map.column(self.rows, self.at, key)?;
        self.write(column, value)
    }

    #[inline]
    fn end(self) -> Result<(), ValueError> {
        Ok(self.rows.end_row()?)
    }
}

impl SerializeTuple for RowWriter<'_> {
    type Ok = ();
    type Error = ValueError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), ValueError> {
        self.write(self.at, value)
    }

    fn end(self) -> Result<(), ValueError> {
        Ok(self.rows.end_row()?)
    }
}

impl SerializeTupleStruct for RowWriter<'_> {
    type Ok = ();
    type Error = ValueError;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), ValueError> {
        self.write(self.at, value)
    }

    fn end(self) -> Result<(), ValueError> {
        Ok(self.rows.end_row()?)
    }
}

/// Writes one value into a column.
struct CellWriter<'a>(&'a mut DatumBuilder);

macro_rules! longs {
    ($($method:ident: $type:ty),*) => {
        $(#[inline]
        fn $method(self, value: $type) -> Result<(), ValueError> {
            Ok(self.0.append_long(i64::from(value))?)
        })*
    };
}

impl<'a> Serializer for CellWriter<'a> {
    type Ok = ();
    type Error = ValueError;
    type SerializeSeq = ItemsWriter<'a>;
    type SerializeTuple = FieldsWriter<'a>;
    type SerializeTupleStruct = FieldsWriter<'a>;
    type SerializeTupleVariant = Impossible<(), ValueError>;
    type SerializeMap = EntriesWriter<'a>;
    type SerializeStruct = FieldsWriter<'a>;
    type SerializeStructVariant = Impossible<(), ValueError>;

    longs!(serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64, serialize_u8: u8, serialize_u16: u16, serialize_u32: u32);

    fn serialize_u64(self, value: u64) -> Result<(), ValueError> {
        Ok(self.0.append_long(i64::try_from(value).map_err(|_| beyond(value))?)?)
    }

    fn serialize_i128(self, value: i128) -> Result<(), ValueError> {
        Ok(self.0.append_decimal(value)?)
    }

    fn serialize_bool(self, value: bool) -> Result<(), ValueError> {
        Ok(self.0.append_bool(value)?)
    }

    fn serialize_f32(self, value: f32) -> Result<(), ValueError> {
        Ok(self.0.append_double(f64::from(value))?)
    }

    #[inline]
    fn serialize_f64(self, value: f64) -> Result<(), ValueError> {
        Ok(self.0.append_double(value)?)
    }

    fn serialize_char(self, value: char) -> Result<(), ValueError> {
        Ok(self.0.append_text(value.encode_utf8(&mut [0; 4]))?)
    }

    #[inline]
    fn serialize_str(self, value: &str) -> Result<(), ValueError> {
        Ok(self.0.append_text(value)?)
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), ValueError> {
        Ok(self.0.append_bytes(value)?)
    }

    fn serialize_none(self) -> Result<(), ValueError> {
        Ok(self.0.append_null()?)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), ValueError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), ValueError> {
        self.serialize_none()
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), ValueError> {
        self.serialize_none()
    }

    fn serialize_unit_variant(self, _name: &'static str, _index: u32, variant: &'static str) -> Result<(), ValueError> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _name: &'static str, value: &T) -> Result<(), ValueError> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _value: &T,
    ) -> Result<(), ValueError> {
        Err(content())
    }

    fn serialize_seq(self, _len: Option<usize>) -> Result<ItemsWriter<'a>, ValueError> {
        self.0.list_items()?;
        Ok(ItemsWriter(self.0))
    }

    fn serialize_tuple(self, _len: usize) -> Result<FieldsWriter<'a>, ValueError> {
        self.0.row_fields()?;
        Ok(FieldsWriter { row: self.0, at: 0 })
    }

    fn serialize_tuple_struct(self, _name: &'static str, len: usize) -> Result<FieldsWriter<'a>, ValueError> {
        self.serialize_tuple(len)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, ValueError> {
        Err(content())
    }

    fn serialize_map(self, _len: Option<usize>) -> Result<EntriesWriter<'a>, ValueError> {
        self.0.map_entries()?;
        Ok(EntriesWriter(self.0))
    }

    fn serialize_struct(self, _name: &'static str, len: usize) -> Result<FieldsWriter<'a>, ValueError> {
        self.serialize_tuple(len)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, ValueError> {
        Err(content())
    }
}

/// Writes the elements of an ARRAY.
struct ItemsWriter<'a>(&'a mut DatumBuilder);

impl SerializeSeq for ItemsWriter<'_> {
    type Ok = ();
    type Error = ValueError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), ValueError> {
        value.serialize(CellWriter(self.0.list_items()?))
    }

    fn end(self) -> Result<(), ValueError> {
        Ok(self.0.end_list()?)
    }
}

/// Writes the entries of a MAP.
struct EntriesWriter<'a>(&'a mut DatumBuilder);

impl SerializeMap for EntriesWriter<'_> {
    type Ok = ();
    type Error = ValueError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), ValueError> {
        key.serialize(CellWriter(self.0.map_entries()?.0))
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), ValueError> {
        value.serialize(CellWriter(self.0.map_entries()?.1))
    }

    fn end(self) -> Result<(), ValueError> {
        Ok(self.0.end_map()?)
    }
}

/// Writes the fields of a ROW: of a struct by name, of a tuple in order.
struct FieldsWriter<'a> {
    row: &'a mut DatumBuilder,
    at: usize,
}

impl FieldsWriter<'_> {
    fn write<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), ValueError> {
        let at = self.at;
        self.at += 1;
        match self.row.row_fields()?.get_mut(at) {
            Some((_, field)) => value.serialize(CellWriter(field)),
            None => Err(ValueError::new(format!("a ROW of more than {at} fields"))),
        }
    }
}

impl SerializeStruct for FieldsWriter<'_> {
    type Ok = ();
    type Error = ValueError;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), ValueError> {
        match self.row.row_fields()?.iter_mut().find(|(name, _)| name == key) {
            Some((_, field)) => value.serialize(CellWriter(field)),
            None => Err(ValueError::new(format!("the ROW has no field {key}"))),
        }
    }

    fn end(self) -> Result<(), ValueError> {
        Ok(self.row.end_row()?)
    }
}

impl SerializeTuple for FieldsWriter<'_> {
    type Ok = ();
    type Error = ValueError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), ValueError> {
        self.write(value)
    }

    fn end(self) -> Result<(), ValueError> {
        Ok(self.row.end_row()?)
    }
}

impl SerializeTupleStruct for FieldsWriter<'_> {
    type Ok = ();
    type Error = ValueError;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), ValueError> {
        self.write(value)
    }

    fn end(self) -> Result<(), ValueError> {
        Ok(self.row.end_row()?)
    }
}
