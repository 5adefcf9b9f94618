//! Rust values into state.

use super::ValueError;
use crate::types::Datum;
use serde::ser::{Impossible, SerializeMap, SerializeSeq, SerializeStruct, SerializeTuple, SerializeTupleStruct};
use serde::{Serialize, Serializer};

/// The datum of a Rust value: structs and tuples become ROWs, sequences ARRAYs, maps MAPs (sorted), variants without content
/// STRINGs. Errors on enums with content, and on integers beyond BIGINT.
#[inline]
pub(in super::super) fn to_datum<T: Serialize + ?Sized>(value: &T) -> Result<Datum, ValueError> {
    value.serialize(IntoDatum)
}

#[derive(Clone, Copy)]
struct IntoDatum;

pub(super) fn content() -> ValueError {
    ValueError::new("an enum whose variants have content has no column type; use a struct of options")
}

pub(super) fn beyond(value: impl std::fmt::Display) -> ValueError {
    ValueError::new(format!("{value} is beyond BIGINT"))
}

macro_rules! longs {
    ($($method:ident: $type:ty),*) => {
        $(#[inline]
        fn $method(self, value: $type) -> Result<Datum, ValueError> {
            Ok(Datum::Long(i64::from(value)))
        })*
    };
}

impl Serializer for IntoDatum {
    type Ok = Datum;
    type Error = ValueError;
    type SerializeSeq = Several;
    type SerializeTuple = Several;
    type SerializeTupleStruct = Several;
    type SerializeTupleVariant = Impossible<Datum, ValueError>;
    type SerializeMap = Entries;
    type SerializeStruct = Several;
    type SerializeStructVariant = Impossible<Datum, ValueError>;

    longs!(serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64, serialize_u8: u8, serialize_u16: u16, serialize_u32: u32);

    #[inline]
    fn serialize_u64(self, value: u64) -> Result<Datum, ValueError> {
        i64::try_from(value).map(Datum::Long).map_err(|_| beyond(value))
    }

    fn serialize_i128(self, value: i128) -> Result<Datum, ValueError> {
        Ok(Datum::decimal(value))
    }

    fn serialize_bool(self, value: bool) -> Result<Datum, ValueError> {
        Ok(Datum::Boolean(value))
    }

    fn serialize_f32(self, value: f32) -> Result<Datum, ValueError> {
        Ok(Datum::double(f64::from(value)))
    }

    #[inline]
    fn serialize_f64(self, value: f64) -> Result<Datum, ValueError> {
        Ok(Datum::double(value))
    }

    fn serialize_char(self, value: char) -> Result<Datum, ValueError> {
        Ok(Datum::from(value.to_string()))
    }

    fn serialize_str(self, value: &str) -> Result<Datum, ValueError> {
        Ok(Datum::from(value))
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<Datum, ValueError> {
        Ok(Datum::Bytes(value.into()))
    }

    fn serialize_none(self) -> Result<Datum, ValueError> {
        Ok(Datum::Null)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Datum, ValueError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<Datum, ValueError> {
        Ok(Datum::Null)
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<Datum, ValueError> {
        Ok(Datum::Null)
    }

    fn serialize_unit_variant(self, _name: &'static str, _index: u32, variant: &'static str) -> Result<Datum, ValueError> {
        Ok(Datum::from(variant))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _name: &'static str, value: &T) -> Result<Datum, ValueError> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _value: &T,
    ) -> Result<Datum, ValueError> {
        Err(content())
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Several, ValueError> {
        Ok(Several { items: Vec::with_capacity(len.unwrap_or(0)), row: false })
    }

    fn serialize_tuple(self, len: usize) -> Result<Several, ValueError> {
        Ok(Several { items: Vec::with_capacity(len), row: true })
    }

    fn serialize_tuple_struct(self, _name: &'static str, len: usize) -> Result<Several, ValueError> {
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

    fn serialize_map(self, len: Option<usize>) -> Result<Entries, ValueError> {
        Ok(Entries { entries: Vec::with_capacity(len.unwrap_or(0)), key: Datum::Null })
    }

    fn serialize_struct(self, _name: &'static str, len: usize) -> Result<Several, ValueError> {
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

/// The elements of an ARRAY, or the fields of a ROW.
struct Several {
    items: Vec<Datum>,
    row: bool,
}

impl Several {
    fn push<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), ValueError> {
        self.items.push(to_datum(value)?);
        Ok(())
    }

    fn finish(self) -> Datum {
        if self.row { Datum::Row(self.items.into()) } else { Datum::List(self.items.into()) }
    }
}

impl SerializeSeq for Several {
    type Ok = Datum;
    type Error = ValueError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), ValueError> {
        self.push(value)
    }

    fn end(self) -> Result<Datum, ValueError> {
        Ok(self.finish())
    }
}

impl SerializeTuple for Several {
    type Ok = Datum;
    type Error = ValueError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), ValueError> {
        self.push(value)
    }

    fn end(self) -> Result<Datum, ValueError> {
        Ok(self.finish())
    }
}

impl SerializeTupleStruct for Several {
    type Ok = Datum;
    type Error = ValueError;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), ValueError> {
        self.push(value)
    }

    fn end(self) -> Result<Datum, ValueError> {
        Ok(self.finish())
    }
}

impl SerializeStruct for Several {
    type Ok = Datum;
    type Error = ValueError;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, _key: &'static str, value: &T) -> Result<(), ValueError> {
        self.push(value)
    }

    fn skip_field(&mut self, _key: &'static str) -> Result<(), ValueError> {
        self.items.push(Datum::Null);
        Ok(())
    }

    fn end(self) -> Result<Datum, ValueError> {
        Ok(self.finish())
    }
}

/// The entries of a MAP.
struct Entries {
    entries: Vec<(Datum, Datum)>,
    key: Datum,
}

impl SerializeMap for Entries {
    type Ok = Datum;
    type Error = ValueError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), ValueError> {
        self.key = to_datum(key)?;
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), ValueError> {
        self.entries.push((std::mem::take(&mut self.key), to_datum(value)?));
        Ok(())
    }

    fn end(mut self) -> Result<Datum, ValueError> {
        // A hash map's order is another one in every run; what is saved is not.
        self.entries.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        Ok(Datum::Map(self.entries.into()))
    }
}
