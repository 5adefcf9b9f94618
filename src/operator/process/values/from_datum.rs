//! Rust values from state.

use super::ValueError;
use crate::types::Datum;
use serde::de::value::StrDeserializer;
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

/// The Rust value of a datum. Errors if it is of another type.
#[inline]
pub(in super::super) fn from_datum<T: DeserializeOwned>(datum: &Datum) -> Result<T, ValueError> {
    T::deserialize(FromDatum(datum))
}

#[derive(Clone, Copy)]
struct FromDatum<'a>(&'a Datum);

impl<'de> Deserializer<'de> for FromDatum<'de> {
    type Error = ValueError;

    #[inline]
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match self.0 {
            Datum::Long(value) => visitor.visit_i64(*value),
            Datum::Double(value) => visitor.visit_f64(value.get()),
            Datum::Boolean(value) => visitor.visit_bool(*value),
            Datum::Text(value) => visitor.visit_borrowed_str(value),
            other => nested(other, visitor),
        }
    }

    #[inline]
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
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
        let Datum::Text(variant) = self.0 else {
            return Err(ValueError::new(format!("{} is no variant of an enum", self.0.kind())));
        };
        let variant: StrDeserializer<'_, ValueError> = variant.as_ref().into_deserializer();
        visitor.visit_enum(variant)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct
        identifier ignored_any
    }
}

fn nested<'de, V: Visitor<'de>>(datum: &'de Datum, visitor: V) -> Result<V::Value, ValueError> {
    match datum {
        Datum::Decimal(value) => visitor.visit_i128(value.get()),
        Datum::Bytes(bytes) => visitor.visit_borrowed_bytes(bytes),
        Datum::List(items) | Datum::Row(items) => visitor.visit_seq(Items(items.iter())),
        Datum::Map(entries) => visitor.visit_map(Entries(entries.iter(), None)),
        _ => visitor.visit_unit(),
    }
}

struct Items<'a>(std::slice::Iter<'a, Datum>);

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = ValueError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, ValueError> {
        self.0.next().map(|item| seed.deserialize(FromDatum(item))).transpose()
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.0.len())
    }
}

struct Entries<'a>(std::slice::Iter<'a, (Datum, Datum)>, Option<&'a Datum>);

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = ValueError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ValueError> {
        let Some((key, value)) = self.0.next() else { return Ok(None) };
        self.1 = Some(value);
        seed.deserialize(FromDatum(key)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ValueError> {
        seed.deserialize(FromDatum(self.1.take().unwrap_or(&Datum::Null)))
    }
}
