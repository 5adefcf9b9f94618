//! One value of any of Flink's types, apart from a column: what functions read, write and keep as state.

mod builder;
mod bytes;
mod column;
mod double;
mod ordered;
#[cfg(test)]
mod tests;

pub use builder::{DatumBuilder, RowBuilder};
pub use bytes::{decode_datum, encode_datum};
pub use column::{ColumnValues, DatumColumn};
pub use double::{OrderedDouble, double_of_ordered, ordered_of_double};
pub use ordered::{decode_ordered, encode_ordered};

use super::LogicalType;

/// One value. Its type is known from where it stands; the variants are what carries the types.
///
/// The order of the variants and of their values is the order in which map state is walked. 24 bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Datum {
    /// NULL of any type.
    #[default]
    Null,
    /// BOOLEAN
    Boolean(bool),
    /// Every integer type; DATE in days, TIME in milliseconds, TIMESTAMP(p) and TIMESTAMP_LTZ(p) in the unit of their Arrow
    /// type ([`LogicalType::to_arrow`]).
    Long(i64),
    /// FLOAT and DOUBLE
    Double(OrderedDouble),
    /// DECIMAL, without its scale.
    Decimal(Unscaled),
    /// CHAR, VARCHAR, STRING
    Text(Box<str>),
    /// BYTES
    Bytes(Box<[u8]>),
    /// ARRAY
    List(Box<[Datum]>),
    /// MAP: keys and values.
    Map(Box<[(Datum, Datum)]>),
    /// ROW: its fields in order.
    Row(Box<[Datum]>),
}

/// The digits of a DECIMAL without the point, in two words, so that a [`Datum`] needs no wider alignment.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Unscaled {
    high: i64,
    low: u64,
}

impl Unscaled {
    /// The digits as a number.
    #[inline]
    pub const fn get(self) -> i128 {
        (self.high as i128) << 64 | self.low as i128
    }
}

impl From<i128> for Unscaled {
    #[inline]
    fn from(value: i128) -> Self {
        Self { high: (value >> 64) as i64, low: value as u64 }
    }
}

impl PartialOrd for Unscaled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Unscaled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.get().cmp(&other.get())
    }
}

impl std::fmt::Debug for Unscaled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.get().fmt(f)
    }
}

/// A value does not fit where it is to go.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DatumError {
    /// NULL where the type says NOT NULL.
    #[error("NULL does not fit into {0}")]
    Null(LogicalType),
    /// A value of another type.
    #[error("{found} does not fit into {expected}")]
    Type {
        /// What the value is.
        found: &'static str,
        /// What was asked for.
        expected: LogicalType,
    },
    /// A number out of the type's range.
    #[error("{value} does not fit into {expected}")]
    Range {
        /// The number.
        value: String,
        /// What was asked for.
        expected: LogicalType,
    },
    /// Bytes that encode no value.
    #[error("not an encoded value: {0}")]
    Encoding(&'static str),
    /// Arrow refused.
    #[error("{0}")]
    Arrow(String),
}

impl From<arrow::error::ArrowError> for DatumError {
    fn from(error: arrow::error::ArrowError) -> Self {
        Self::Arrow(error.to_string())
    }
}

impl Datum {
    /// A STRING.
    pub fn text(value: impl Into<Box<str>>) -> Self {
        Self::Text(value.into())
    }

    /// A DOUBLE.
    #[inline]
    pub const fn double(value: f64) -> Self {
        Self::Double(OrderedDouble::new(value))
    }

    /// A DECIMAL without its scale.
    #[inline]
    pub fn decimal(unscaled: i128) -> Self {
        Self::Decimal(unscaled.into())
    }

    /// True for NULL.
    #[inline]
    pub const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The value of a `Long`.
    #[inline]
    pub const fn as_long(&self) -> Option<i64> {
        if let Self::Long(value) = self { Some(*value) } else { None }
    }

    /// The value of a `Double`.
    #[inline]
    pub const fn as_double(&self) -> Option<f64> {
        if let Self::Double(value) = self { Some(value.get()) } else { None }
    }

    /// The value of a `Text`.
    #[inline]
    pub fn as_text(&self) -> Option<&str> {
        if let Self::Text(value) = self { Some(value) } else { None }
    }

    /// About the bytes that it needs beside itself.
    pub fn weight(&self) -> usize {
        let several = |items: &[Self]| items.iter().map(|item| size_of::<Self>() + item.weight()).sum::<usize>();
        // What an allocation costs on top.
        const ALLOCATION: usize = 16;
        match self {
            Self::Null | Self::Boolean(_) | Self::Long(_) | Self::Double(_) | Self::Decimal(_) => 0,
            Self::Text(text) => ALLOCATION + text.len(),
            Self::Bytes(bytes) => ALLOCATION + bytes.len(),
            Self::List(items) | Self::Row(items) => ALLOCATION + several(items),
            Self::Map(entries) => {
                let entry = |(key, value): &(Self, Self)| 2 * size_of::<Self>() + key.weight() + value.weight();
                ALLOCATION + entries.iter().map(entry).sum::<usize>()
            }
        }
    }

    /// What it is, for messages.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "NULL",
            Self::Boolean(_) => "a BOOLEAN",
            Self::Long(_) => "an integer",
            Self::Double(_) => "a DOUBLE",
            Self::Decimal(_) => "a DECIMAL",
            Self::Text(_) => "a STRING",
            Self::Bytes(_) => "BYTES",
            Self::List(_) => "an ARRAY",
            Self::Map(_) => "a MAP",
            Self::Row(_) => "a ROW",
        }
    }
}

impl From<i64> for Datum {
    fn from(value: i64) -> Self {
        Self::Long(value)
    }
}

impl From<bool> for Datum {
    fn from(value: bool) -> Self {
        Self::Boolean(value)
    }
}

impl From<f64> for Datum {
    fn from(value: f64) -> Self {
        Self::double(value)
    }
}

impl From<&str> for Datum {
    fn from(value: &str) -> Self {
        Self::Text(value.into())
    }
}

impl From<String> for Datum {
    fn from(value: String) -> Self {
        Self::Text(value.into())
    }
}

impl<T: Into<Datum>> From<Option<T>> for Datum {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}
