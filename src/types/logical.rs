//! Flink's SQL types, and the Arrow types that carry them.

use arrow::datatypes::{DataType, Field, Fields, IntervalUnit, TimeUnit};
use std::fmt;
use std::sync::Arc;

/// A type and whether NULL is among its values.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LogicalType {
    /// The type.
    pub kind: TypeKind,
    /// False for `NOT NULL`.
    pub nullable: bool,
}

/// Flink's types (`docs/sql/reference/data-types`), each with the Arrow type that carries it in [`LogicalType::to_arrow`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TypeKind {
    /// BOOLEAN
    Boolean,
    /// TINYINT
    TinyInt,
    /// SMALLINT
    SmallInt,
    /// INT
    Int,
    /// BIGINT
    BigInt,
    /// FLOAT
    Float,
    /// DOUBLE
    Double,
    /// DECIMAL(precision, scale); 1 ≤ precision ≤ 38, 0 ≤ scale ≤ precision.
    Decimal(u8, u8),
    /// CHAR(length)
    Char(u32),
    /// VARCHAR(length)
    VarChar(u32),
    /// STRING, that is VARCHAR(2147483647)
    String,
    /// BYTES; BINARY(n) and VARBINARY(n) are read as this.
    Bytes,
    /// DATE
    Date,
    /// TIME, to the millisecond
    Time,
    /// TIMESTAMP(precision), 0 ≤ precision ≤ 9
    Timestamp(u8),
    /// TIMESTAMP_LTZ(precision)
    TimestampLtz(u8),
    /// `ARRAY<element>`
    Array(Box<LogicalType>),
    /// MAP<key, value>
    Map(Box<LogicalType>, Box<LogicalType>),
    /// ROW<name type, …>
    Row(Vec<(String, LogicalType)>),
    /// The type of a bare NULL
    Null,
    /// INTERVAL, as it comes up inside expressions
    Interval,
}

impl LogicalType {
    /// The nullable type of this kind.
    pub const fn nullable(kind: TypeKind) -> Self {
        Self { kind, nullable: true }
    }

    /// The NOT NULL type of this kind.
    pub const fn not_null(kind: TypeKind) -> Self {
        Self { kind, nullable: false }
    }

    /// The Arrow type that carries values of this type. Timestamps: precision 0 in seconds, 1–3 in milliseconds, 4–6 in
    /// microseconds, 7–9 in nanoseconds; `TIMESTAMP_LTZ` with zone `UTC`.
    pub fn to_arrow(&self) -> DataType {
        match &self.kind {
            TypeKind::Boolean => DataType::Boolean,
            TypeKind::TinyInt => DataType::Int8,
            TypeKind::SmallInt => DataType::Int16,
            TypeKind::Int => DataType::Int32,
            TypeKind::BigInt => DataType::Int64,
            TypeKind::Float => DataType::Float32,
            TypeKind::Double => DataType::Float64,
            TypeKind::Decimal(precision, scale) => DataType::Decimal128(*precision, *scale as i8),
            TypeKind::Char(_) | TypeKind::VarChar(_) | TypeKind::String => DataType::Utf8,
            TypeKind::Bytes => DataType::Binary,
            TypeKind::Date => DataType::Date32,
            TypeKind::Time => DataType::Time32(TimeUnit::Millisecond),
            TypeKind::Timestamp(precision) => DataType::Timestamp(unit_of(*precision), None),
            TypeKind::TimestampLtz(precision) => DataType::Timestamp(unit_of(*precision), Some("UTC".into())),
            TypeKind::Array(element) => DataType::List(Arc::new(Field::new("item", element.to_arrow(), element.nullable))),
            TypeKind::Map(key, value) => {
                let key = Field::new("key", key.to_arrow(), false);
                let value = Field::new("value", value.to_arrow(), value.nullable);
                let entry = DataType::Struct(Fields::from(vec![key, value]));
                DataType::Map(Arc::new(Field::new("entries", entry, false)), false)
            }
            TypeKind::Row(fields) => {
                let field = |(name, t): &(String, Self)| Field::new(name, t.to_arrow(), t.nullable);
                DataType::Struct(fields.iter().map(field).collect())
            }
            TypeKind::Null => DataType::Null,
            TypeKind::Interval => DataType::Interval(IntervalUnit::MonthDayNano),
        }
    }

    /// Flink's type for an Arrow type; `None` if it has none.
    pub fn from_arrow(data_type: &DataType, nullable: bool) -> Option<Self> {
        let kind = match data_type {
            DataType::Boolean => TypeKind::Boolean,
            DataType::Int8 => TypeKind::TinyInt,
            DataType::Int16 | DataType::UInt8 => TypeKind::SmallInt,
            DataType::Int32 | DataType::UInt16 => TypeKind::Int,
            DataType::Int64 | DataType::UInt32 | DataType::UInt64 => TypeKind::BigInt,
            DataType::Float32 => TypeKind::Float,
            DataType::Float64 => TypeKind::Double,
            DataType::Decimal128(precision, scale) => TypeKind::Decimal(*precision, u8::try_from(*scale).ok()?),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => TypeKind::String,
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView => TypeKind::Bytes,
            DataType::Date32 => TypeKind::Date,
            DataType::Time32(_) | DataType::Time64(_) => TypeKind::Time,
            DataType::Timestamp(unit, None) => TypeKind::Timestamp(precision_of(*unit)),
            DataType::Timestamp(unit, Some(_)) => TypeKind::TimestampLtz(precision_of(*unit)),
            DataType::List(item) => TypeKind::Array(Box::new(Self::from_field(item)?)),
            DataType::Map(entries, _) => {
                let DataType::Struct(fields) = entries.data_type() else { return None };
                TypeKind::Map(Box::new(Self::from_field(fields.first()?)?), Box::new(Self::from_field(fields.get(1)?)?))
            }
            DataType::Struct(fields) => {
                let field = |f: &Arc<Field>| Some((f.name().clone(), Self::from_field(f)?));
                TypeKind::Row(fields.iter().map(field).collect::<Option<_>>()?)
            }
            DataType::Null => TypeKind::Null,
            DataType::Interval(_) | DataType::Duration(_) => TypeKind::Interval,
            _ => return None,
        };
        Some(Self { kind, nullable })
    }

    fn from_field(field: &Field) -> Option<Self> {
        Self::from_arrow(field.data_type(), field.is_nullable())
    }
}

const fn unit_of(precision: u8) -> TimeUnit {
    match precision {
        0 => TimeUnit::Second,
        1..=3 => TimeUnit::Millisecond,
        4..=6 => TimeUnit::Microsecond,
        _ => TimeUnit::Nanosecond,
    }
}

const fn precision_of(unit: TimeUnit) -> u8 {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    }
}

impl fmt::Display for LogicalType {
    /// As Flink's DDL writes it: `DECIMAL(10, 2) NOT NULL`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            TypeKind::Boolean => f.write_str("BOOLEAN"),
            TypeKind::TinyInt => f.write_str("TINYINT"),
            TypeKind::SmallInt => f.write_str("SMALLINT"),
            TypeKind::Int => f.write_str("INT"),
            TypeKind::BigInt => f.write_str("BIGINT"),
            TypeKind::Float => f.write_str("FLOAT"),
            TypeKind::Double => f.write_str("DOUBLE"),
            TypeKind::Decimal(precision, scale) => write!(f, "DECIMAL({precision}, {scale})"),
            TypeKind::Char(length) => write!(f, "CHAR({length})"),
            TypeKind::VarChar(length) => write!(f, "VARCHAR({length})"),
            TypeKind::String => f.write_str("STRING"),
            TypeKind::Bytes => f.write_str("BYTES"),
            TypeKind::Date => f.write_str("DATE"),
            TypeKind::Time => f.write_str("TIME(0)"),
            TypeKind::Timestamp(precision) => write!(f, "TIMESTAMP({precision})"),
            TypeKind::TimestampLtz(precision) => write!(f, "TIMESTAMP_LTZ({precision})"),
            TypeKind::Array(element) => write!(f, "ARRAY<{element}>"),
            TypeKind::Map(key, value) => write!(f, "MAP<{key}, {value}>"),
            TypeKind::Row(fields) => {
                f.write_str("ROW<")?;
                for (i, (name, t)) in fields.iter().enumerate() {
                    let comma = if i == 0 { "" } else { ", " };
                    write!(f, "{comma}`{}` {t}", name.replace('`', "``"))?;
                }
                f.write_str(">")
            }
            TypeKind::Null => f.write_str("NULL"),
            TypeKind::Interval => f.write_str("INTERVAL"),
        }?;
        if self.nullable { Ok(()) } else { f.write_str(" NOT NULL") }
    }
}

impl serde::Serialize for LogicalType {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
