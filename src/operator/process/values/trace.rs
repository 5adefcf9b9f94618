//! The column type of a Rust type: it is asked to read a value, and what it asks for is noted.

use super::ValueError;
use crate::types::{LogicalType, TypeKind};
use serde::de::value::StrDeserializer;
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor};

/// The type of the column that holds values of `T`: of a struct a ROW of its fields, of a sequence an ARRAY; `Option` is what
/// makes it nullable. Errors on types that read whatever there is, that contain themselves, or that refuse a trial value.
pub(in super::super) fn logical_type_of<T: DeserializeOwned>() -> Result<LogicalType, ValueError> {
    let mut found = LogicalType::not_null(TypeKind::Null);
    let tracer = Tracer { found: &mut found, depth: 0 };
    let named = |e: ValueError| ValueError::new(format!("the column type of {}: {e}; give it by `with_type`", std::any::type_name::<T>()));
    T::deserialize(tracer).map_err(named)?;
    Ok(found)
}

/// Types nested deeper than this are taken for ones that contain themselves.
const DEEPEST: usize = 32;

struct Tracer<'a> {
    found: &'a mut LogicalType,
    depth: usize,
}

macro_rules! plain {
    ($($method:ident: $kind:expr, $visit:ident($value:expr);)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
            *self.found = LogicalType::not_null($kind);
            visitor.$visit($value)
        })*
    };
}

impl<'de> Deserializer<'de> for Tracer<'_> {
    type Error = ValueError;

    plain! {
        deserialize_bool: TypeKind::Boolean, visit_bool(false);
        deserialize_i8: TypeKind::TinyInt, visit_i8(0);
        deserialize_i16: TypeKind::SmallInt, visit_i16(0);
        deserialize_i32: TypeKind::Int, visit_i32(0);
        deserialize_i64: TypeKind::BigInt, visit_i64(0);
        deserialize_i128: TypeKind::Decimal(38, 0), visit_i128(0);
        deserialize_u8: TypeKind::SmallInt, visit_u8(0);
        deserialize_u16: TypeKind::Int, visit_u16(0);
        deserialize_u32: TypeKind::BigInt, visit_u32(0);
        deserialize_u64: TypeKind::BigInt, visit_u64(0);
        deserialize_f32: TypeKind::Float, visit_f32(0.0);
        deserialize_f64: TypeKind::Double, visit_f64(0.0);
        deserialize_char: TypeKind::String, visit_char('a');
        deserialize_str: TypeKind::String, visit_borrowed_str("");
        deserialize_string: TypeKind::String, visit_borrowed_str("");
        deserialize_bytes: TypeKind::Bytes, visit_borrowed_bytes(&[]);
        deserialize_byte_buf: TypeKind::Bytes, visit_borrowed_bytes(&[]);
    }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, ValueError> {
        Err(ValueError::new("it reads values of any type"))
    }

    fn deserialize_u128<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, ValueError> {
        Err(ValueError::new("no type holds every u128"))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        if self.depth > DEEPEST {
            return Err(ValueError::new("it contains itself"));
        }
        let value = visitor.visit_some(Tracer { found: self.found, depth: self.depth + 1 })?;
        self.found.nullable = true;
        Ok(value)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, ValueError> {
        Err(ValueError::new("() holds nothing; use BOOLEAN"))
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value, ValueError> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        let mut item = LogicalType::nullable(TypeKind::Null);
        let value = visitor.visit_seq(Once { found: &mut item, depth: self.depth + 1, done: false })?;
        *self.found = LogicalType::not_null(TypeKind::Array(Box::new(item)));
        Ok(value)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, ValueError> {
        let names = (0..len).map(|at| format!("f{at}")).collect();
        self.fields(names, visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(self, _name: &'static str, len: usize, visitor: V) -> Result<V::Value, ValueError> {
        self.deserialize_tuple(len, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        let mut entry = [LogicalType::nullable(TypeKind::Null), LogicalType::nullable(TypeKind::Null)];
        let value = visitor.visit_map(Entry { found: &mut entry, depth: self.depth + 1, done: false })?;
        let [key, item] = entry;
        *self.found = LogicalType::not_null(TypeKind::Map(Box::new(LogicalType::not_null(key.kind)), Box::new(item)));
        Ok(value)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        self.fields(fields.iter().map(|field| (*field).to_owned()).collect(), visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        *self.found = LogicalType::not_null(TypeKind::String);
        let first: StrDeserializer<'_, ValueError> = variants.first().copied().unwrap_or_default().into_deserializer();
        visitor.visit_enum(first)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        self.deserialize_any(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        self.deserialize_any(visitor)
    }
}

impl Tracer<'_> {
    fn fields<'de, V: Visitor<'de>>(self, names: Vec<String>, visitor: V) -> Result<V::Value, ValueError> {
        if self.depth > DEEPEST {
            return Err(ValueError::new("it contains itself"));
        }
        let mut fields = Vec::with_capacity(names.len());
        let value = visitor.visit_seq(Fields { names: names.into_iter(), found: &mut fields, depth: self.depth + 1 })?;
        *self.found = LogicalType::not_null(TypeKind::Row(fields));
        Ok(value)
    }
}

/// One element of an ARRAY.
struct Once<'a> {
    found: &'a mut LogicalType,
    depth: usize,
    done: bool,
}

impl<'de> SeqAccess<'de> for Once<'_> {
    type Error = ValueError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, ValueError> {
        if std::mem::replace(&mut self.done, true) {
            return Ok(None);
        }
        if self.depth > DEEPEST {
            return Err(ValueError::new("it contains itself"));
        }
        seed.deserialize(Tracer { found: self.found, depth: self.depth }).map(Some)
    }
}

/// One entry of a MAP.
struct Entry<'a> {
    found: &'a mut [LogicalType; 2],
    depth: usize,
    done: bool,
}

impl<'de> MapAccess<'de> for Entry<'_> {
    type Error = ValueError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ValueError> {
        if std::mem::replace(&mut self.done, true) {
            return Ok(None);
        }
        if self.depth > DEEPEST {
            return Err(ValueError::new("it contains itself"));
        }
        seed.deserialize(Tracer { found: &mut self.found[0], depth: self.depth }).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ValueError> {
        seed.deserialize(Tracer { found: &mut self.found[1], depth: self.depth })
    }
}

/// The fields of a ROW.
struct Fields<'a> {
    names: std::vec::IntoIter<String>,
    found: &'a mut Vec<(String, LogicalType)>,
    depth: usize,
}

impl<'de> SeqAccess<'de> for Fields<'_> {
    type Error = ValueError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, ValueError> {
        let Some(name) = self.names.next() else { return Ok(None) };
        let mut found = LogicalType::not_null(TypeKind::Null);
        let value = seed.deserialize(Tracer { found: &mut found, depth: self.depth })?;
        self.found.push((name, found));
        Ok(Some(value))
    }
}
