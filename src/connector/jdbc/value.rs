//! Values of Flink's types as SQLite stores them.
//!
//! | Flink | SQLite |
//! | --- | --- |
//! | BOOLEAN | INTEGER 0, 1 |
//! | TINYINT, SMALLINT, INT, BIGINT | INTEGER |
//! | FLOAT, DOUBLE | REAL; SQLite has no NaN and stores NULL |
//! | DECIMAL | TEXT, all digits: SQLite's numbers keep 15 |
//! | CHAR, VARCHAR, STRING | TEXT |
//! | BYTES | BLOB |
//! | DATE, TIME | TEXT: `2024-01-01`, `10:00:00`, `10:00:00.123` |
//! | TIMESTAMP(p) | TEXT: `2024-01-01 00:00:10.123`, p digits |
//! | TIMESTAMP_LTZ(p) | the same in UTC with a `Z` |

use crate::connector::ConnectorError;
use crate::format::date_of;
use crate::types::{Column, TypeKind};
use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, BooleanArray, StringArray};
use arrow::compute;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Time32MillisecondType,
    TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};
use rusqlite::Statement;
use rusqlite::types::Null;
use std::fmt::Write;

/// What SQLite calls the type of a column, or `None` if it cannot hold such values.
pub(super) fn declared_type(kind: &TypeKind) -> Option<&'static str> {
    Some(match kind {
        TypeKind::Boolean => "BOOLEAN",
        TypeKind::TinyInt | TypeKind::SmallInt | TypeKind::Int | TypeKind::BigInt => "INTEGER",
        TypeKind::Float | TypeKind::Double => "REAL",
        TypeKind::Decimal(_, _)
        | TypeKind::Char(_)
        | TypeKind::VarChar(_)
        | TypeKind::String
        | TypeKind::Date
        | TypeKind::Time
        | TypeKind::Timestamp(_)
        | TypeKind::TimestampLtz(_) => "TEXT",
        TypeKind::Bytes => "BLOB",
        TypeKind::Array(_) | TypeKind::Map(_, _) | TypeKind::Row(_) | TypeKind::Null | TypeKind::Interval => return None,
    })
}

/// What SQLite does to values on their way into a column (its "type affinity", by the rules of `datatype3.html`, section 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Affinity {
    Integer,
    Text,
    Blob,
    Real,
    Numeric,
}

impl Affinity {
    /// The affinity of a column that was declared with this type.
    pub(super) fn of_declared(declared: &str) -> Self {
        let declared = declared.to_ascii_uppercase();
        let has = |words: &[&str]| words.iter().any(|word| declared.contains(word));
        if has(&["INT"]) {
            Self::Integer
        } else if has(&["CHAR", "CLOB", "TEXT"]) {
            Self::Text
        } else if declared.is_empty() || has(&["BLOB"]) {
            Self::Blob
        } else if has(&["REAL", "FLOA", "DOUB"]) {
            Self::Real
        } else {
            Self::Numeric
        }
    }

    /// True if a column of this affinity gives back values of type `kind` as they were written.
    pub(super) fn keeps(self, kind: &TypeKind) -> bool {
        let numbers = matches!(self, Self::Integer | Self::Numeric | Self::Blob);
        match kind {
            TypeKind::Boolean | TypeKind::TinyInt | TypeKind::SmallInt | TypeKind::Int | TypeKind::BigInt => numbers,
            TypeKind::Float | TypeKind::Double => numbers || self == Self::Real,
            // Someone who declares DECIMAL(10, 2) or NUMERIC wants SQLite's numbers.
            TypeKind::Decimal(_, _) => matches!(self, Self::Text | Self::Blob | Self::Numeric),
            TypeKind::Char(_) | TypeKind::VarChar(_) | TypeKind::String => matches!(self, Self::Text | Self::Blob),
            // No number, so every affinity leaves it alone; INTEGER and REAL are a mistake all the same.
            TypeKind::Date | TypeKind::Time | TypeKind::Timestamp(_) | TypeKind::TimestampLtz(_) => {
                matches!(self, Self::Text | Self::Blob | Self::Numeric)
            }
            // A blob is never converted.
            TypeKind::Bytes => true,
            TypeKind::Array(_) | TypeKind::Map(_, _) | TypeKind::Row(_) | TypeKind::Null | TypeKind::Interval => false,
        }
    }
}

/// Values of one column, ready to be bound row by row.
pub(super) struct Values {
    array: ArrayRef,
    /// Digits of a second's fraction, and whether the zone is written.
    digits: u8,
    is_utc: bool,
}

impl Values {
    /// The values of `array` as those of `column`. Errors if they have another type.
    pub(super) fn new(array: &ArrayRef, column: &Column) -> Result<Self, ConnectorError> {
        let wanted = column.data_type.to_arrow();
        let array = if *array.data_type() == wanted {
            array.clone()
        } else {
            let name = &column.name;
            compute::cast(array, &wanted).map_err(|e| ConnectorError::State(format!("column {name}: {e}")))?
        };
        let (digits, is_utc) = match column.data_type.kind {
            TypeKind::Timestamp(precision) => (precision, false),
            TypeKind::TimestampLtz(precision) => (precision, true),
            _ => (0, false),
        };
        Ok(Self { array, digits, is_utc })
    }

    pub(super) fn is_null(&self, row: usize) -> bool {
        self.array.is_null(row)
    }

    /// Binds the value of `row` to parameter `parameter` (from 1 on). `text` is room for values that are written as text.
    pub(super) fn bind(&self, row: usize, statement: &mut Statement<'_>, parameter: usize, text: &mut String) -> rusqlite::Result<()> {
        if self.array.is_null(row) {
            return statement.raw_bind_parameter(parameter, Null);
        }
        let array = &self.array;
        macro_rules! number {
            ($type:ty) => {
                array.as_primitive::<$type>().value(row)
            };
        }
        match array.data_type() {
            DataType::Boolean => {
                statement.raw_bind_parameter(parameter, array.as_any().downcast_ref::<BooleanArray>().map(|a| a.value(row)))
            }
            DataType::Int8 => statement.raw_bind_parameter(parameter, number!(Int8Type)),
            DataType::Int16 => statement.raw_bind_parameter(parameter, number!(Int16Type)),
            DataType::Int32 => statement.raw_bind_parameter(parameter, number!(Int32Type)),
            DataType::Int64 => statement.raw_bind_parameter(parameter, number!(Int64Type)),
            DataType::Float32 => statement.raw_bind_parameter(parameter, f64::from(number!(Float32Type))),
            DataType::Float64 => statement.raw_bind_parameter(parameter, number!(Float64Type)),
            DataType::Utf8 => statement.raw_bind_parameter(parameter, array.as_any().downcast_ref::<StringArray>().map(|a| a.value(row))),
            DataType::Binary => statement.raw_bind_parameter(parameter, array.as_any().downcast_ref::<BinaryArray>().map(|a| a.value(row))),
            other => {
                text.clear();
                match other {
                    DataType::Decimal128(_, scale) => write_decimal(number!(Decimal128Type), (*scale).max(0) as usize, text),
                    DataType::Date32 => write_date(i64::from(number!(Date32Type)), text),
                    DataType::Time32(TimeUnit::Millisecond) => write_time(i64::from(number!(Time32MillisecondType)), text),
                    DataType::Timestamp(TimeUnit::Second, _) => self.write_timestamp(number!(TimestampSecondType), 1, text),
                    DataType::Timestamp(TimeUnit::Millisecond, _) => self.write_timestamp(number!(TimestampMillisecondType), 1_000, text),
                    DataType::Timestamp(TimeUnit::Microsecond, _) => {
                        self.write_timestamp(number!(TimestampMicrosecondType), 1_000_000, text);
                    }
                    DataType::Timestamp(TimeUnit::Nanosecond, _) => {
                        self.write_timestamp(number!(TimestampNanosecondType), 1_000_000_000, text);
                    }
                    // `declared_type` lets no other type through.
                    _ => return statement.raw_bind_parameter(parameter, Null),
                }
                statement.raw_bind_parameter(parameter, text.as_str())
            }
        }
    }

    fn write_timestamp(&self, value: i64, per_second: i64, out: &mut String) {
        let seconds = value.div_euclid(per_second);
        write_date(seconds.div_euclid(86_400), out);
        out.push(' ');
        write_clock(seconds.rem_euclid(86_400), out);
        if self.digits > 0 {
            let nanos = value.rem_euclid(per_second) * (1_000_000_000 / per_second);
            let digits = usize::from(self.digits.min(9));
            let fraction = nanos / 10_i64.pow(9 - digits as u32);
            let _ = write!(out, ".{fraction:0digits$}");
        }
        if self.is_utc {
            out.push('Z');
        }
    }
}

// Writing to a String cannot fail.

fn write_decimal(value: i128, scale: usize, out: &mut String) {
    let digits = value.unsigned_abs().to_string();
    if value < 0 {
        out.push('-');
    }
    let whole = digits.len().saturating_sub(scale);
    out.push_str(if whole == 0 { "0" } else { &digits[..whole] });
    if scale > 0 {
        let _ = write!(out, ".{:0>scale$}", &digits[whole..]);
    }
}

/// `2024-01-01` from days since 1970-01-01, in the proleptic Gregorian calendar.
fn write_date(days: i64, out: &mut String) {
    let (year, month, day) = date_of(days);
    let _ = write!(out, "{year:04}-{month:02}-{day:02}");
}

fn write_clock(second_of_day: i64, out: &mut String) {
    let (hour, minute, second) = (second_of_day / 3_600, second_of_day / 60 % 60, second_of_day % 60);
    let _ = write!(out, "{hour:02}:{minute:02}:{second:02}");
}

fn write_time(millis: i64, out: &mut String) {
    write_clock(millis.div_euclid(1_000).rem_euclid(86_400), out);
    let fraction = millis.rem_euclid(1_000);
    if fraction != 0 {
        let _ = write!(out, ".{fraction:03}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::NaiveDate;

    #[test]
    fn dates_are_those_of_the_gregorian_calendar() {
        let epoch = NaiveDate::from_ymd_opt(1970, 1, 1).unwrap();
        for days in (-719_162..2_932_896).step_by(97).chain([-719_162, -1, 0, 59, 11_016, 19_782]) {
            let mut text = String::new();
            write_date(days, &mut text);
            let expected = epoch + chrono::TimeDelta::try_days(days).unwrap();
            assert_eq!(text, expected.format("%Y-%m-%d").to_string());
        }
    }

    #[test]
    fn decimals_keep_every_digit_and_their_scale() {
        for (value, scale, text) in [
            (12_345, 2, "123.45"),
            (-5, 2, "-0.05"),
            (7, 0, "7"),
            (0, 3, "0.000"),
            (-120, 1, "-12.0"),
            (i128::MIN, 38, "-1.70141183460469231731687303715884105728"),
        ] {
            let mut out = String::new();
            write_decimal(value, scale, &mut out);
            assert_eq!(out, text);
        }
    }

    #[test]
    fn a_declared_type_has_the_affinity_that_sqlite_gives_it() {
        for (declared, affinity) in [
            ("INTEGER", Affinity::Integer),
            ("varchar(20)", Affinity::Text),
            ("", Affinity::Blob),
            ("double precision", Affinity::Real),
            ("DECIMAL(10, 2)", Affinity::Numeric),
            ("BOOLEAN", Affinity::Numeric),
            ("DATETIME", Affinity::Numeric),
        ] {
            assert_eq!(Affinity::of_declared(declared), affinity, "{declared}");
        }
    }
}
