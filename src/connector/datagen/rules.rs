//! `fields.*` options and column types → how each column is filled. Defaults and bounds are Flink's.

use super::values::{ColumnRule, Key, Length, Values};
use crate::types::{LogicalType, OptionError, Options, Schema, TypeKind};
use arrow::compute::kernels::cast_utils::parse_decimal;
use arrow::datatypes::Decimal128Type;
use std::collections::BTreeSet;
use std::time::Duration;

/// Length of random texts and bytes without a length.
const TEXT_LENGTH: i64 = 100;
/// Length of random arrays and maps without a length.
const COLLECTION_LENGTH: i64 = 3;
/// Most that `length` may be.
const MOST_LENGTH: i64 = 1 << 20;

/// How the columns are filled.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    /// One a column of the schema.
    pub(super) columns: Vec<ColumnRule>,
    /// Rows of the shortest sequence; `None` without a sequence.
    pub(super) rows: Option<u64>,
}

/// Reads the options of all fields. Errors on a value that does not fit its column, and on every `fields.*` option that no
/// column makes use of.
pub(super) fn read(schema: &Schema, options: &Options, seed: i64) -> Result<Rules, OptionError> {
    let mut reader = Reader { options, seed, used: BTreeSet::new(), rows: None };
    let column = |column: &crate::types::Column| reader.rule(&column.name, &column.data_type);
    let columns = schema.columns.iter().map(column).collect::<Result<_, _>>()?;
    let unused = options.iter().map(|(key, _)| key).find(|key| key.starts_with("fields.") && !reader.used.contains(*key));
    match unused {
        None => Ok(Rules { columns, rows: reader.rows }),
        Some(key) => Err(no_use(key, schema)),
    }
}

fn no_use(key: &str, schema: &Schema) -> OptionError {
    let name = key.trim_start_matches("fields.");
    let column = schema.columns.iter().find(|column| name.strip_prefix(&column.name).is_some_and(|rest| rest.starts_with('.')));
    if let Some(column) = column {
        let message = format!("column {} ({}) has no use for this option with the kind that it has", column.name, column.data_type);
        return OptionError::new(key, message);
    }
    let names: Vec<&str> = schema.columns.iter().map(|column| column.name.as_str()).collect();
    OptionError::new(key, format!("there is no such column; the columns are {}", names.join(", ")))
}

struct Reader<'a> {
    options: &'a Options,
    seed: i64,
    used: BTreeSet<String>,
    rows: Option<u64>,
}

/// The least and the greatest whole number of a type; `None` if its numbers are none.
fn bounds(kind: &TypeKind) -> Option<(i64, i64)> {
    match kind {
        TypeKind::TinyInt => Some((i8::MIN.into(), i8::MAX.into())),
        TypeKind::SmallInt => Some((i16::MIN.into(), i16::MAX.into())),
        TypeKind::Int => Some((i32::MIN.into(), i32::MAX.into())),
        TypeKind::BigInt => Some((i64::MIN, i64::MAX)),
        _ => None,
    }
}

impl Reader<'_> {
    fn rule(&mut self, name: &str, data_type: &LogicalType) -> Result<ColumnRule, OptionError> {
        let kind = self.take(name, "kind");
        let (values, null_share) = match self.options.word(&kind, 0, super::KINDS)? {
            0 => (self.random(name, data_type)?, self.null_share(name, data_type)?),
            _ => (Values::Sequence(self.sequence(name, data_type)?), 0),
        };
        Ok(ColumnRule { data_type: data_type.to_arrow(), key: Key::of(self.seed, name), null_share, values })
    }

    /// The key of an option that the column makes use of.
    fn take(&mut self, name: &str, option: &str) -> String {
        let key = format!("fields.{name}.{option}");
        self.used.insert(key.clone());
        key
    }

    fn random(&mut self, name: &str, data_type: &LogicalType) -> Result<Values, OptionError> {
        match &data_type.kind {
            TypeKind::Boolean => Ok(Values::Boolean),
            kind @ (TypeKind::TinyInt | TypeKind::SmallInt | TypeKind::Int | TypeKind::BigInt) => {
                let (low, high) = bounds(kind).unwrap_or((i64::MIN, i64::MAX));
                let (min_key, max_key) = (self.take(name, "min"), self.take(name, "max"));
                let min = self.options.int(&min_key, low, low, high)?;
                let max = self.options.int(&max_key, high, low, high)?;
                ordered(&max_key, min, max).map(|()| Values::Integer(min, max))
            }
            // Flink's least float is Java's MIN_VALUE, the smallest number above 0.
            TypeKind::Float => self.float(name, f64::from(f32::from_bits(1)), f64::from(f32::MAX)),
            TypeKind::Double => self.float(name, f64::from_bits(1), f64::MAX),
            TypeKind::Decimal(precision, scale) => self.decimal(name, *precision, *scale),
            TypeKind::Char(length) => self.length(name, i64::from(*length), Some(*length), true).map(Values::Text),
            TypeKind::VarChar(length) => {
                let default = i64::from(*length).min(TEXT_LENGTH);
                self.length(name, default, Some(*length), false).map(Values::Text)
            }
            TypeKind::String => self.length(name, TEXT_LENGTH, None, false).map(Values::Text),
            TypeKind::Bytes => self.length(name, TEXT_LENGTH, None, false).map(Values::Bytes),
            TypeKind::Date => Ok(Values::Date),
            TypeKind::Time => Ok(Values::Time),
            TypeKind::Timestamp(_) | TypeKind::TimestampLtz(_) => {
                let key = self.take(name, "max-past");
                let past = self.options.duration(&key, Duration::ZERO)?;
                Ok(Values::Timestamp(u64::try_from(past.as_millis()).unwrap_or(u64::MAX)))
            }
            TypeKind::Array(element) => {
                let length = self.collection_length(name)?;
                Ok(Values::Array(length, Box::new(self.rule(&format!("{name}.element"), element)?)))
            }
            TypeKind::Map(key, value) => {
                let length = self.collection_length(name)?;
                let key = LogicalType::not_null(key.kind.clone());
                let entry = (self.rule(&format!("{name}.key"), &key)?, self.rule(&format!("{name}.value"), value)?);
                Ok(Values::Map(length, Box::new(entry)))
            }
            TypeKind::Row(fields) => {
                let fields = fields.iter().map(|(field, field_type)| self.rule(&format!("{name}.{field}"), field_type));
                fields.collect::<Result<_, _>>().map(Values::Row)
            }
            TypeKind::Null | TypeKind::Interval => {
                let message = format!("datagen makes no values of type {data_type}");
                Err(OptionError::new(format!("fields.{name}.kind"), message))
            }
        }
    }

    fn float(&mut self, name: &str, low: f64, high: f64) -> Result<Values, OptionError> {
        let (min_key, max_key) = (self.take(name, "min"), self.take(name, "max"));
        let number = |key: &str, default: f64| match self.options.get(key) {
            None => Ok(default),
            Some(text) => match text.trim().parse::<f64>() {
                Ok(value) if value.abs() <= high => Ok(value),
                _ => Err(OptionError::new(key, format!("expected a number between {:e} and {high:e}, found \"{text}\"", -high))),
            },
        };
        let (min, max) = (number(&min_key, low)?, number(&max_key, high)?);
        ordered(&max_key, min, max).map(|()| Values::Float(min, max))
    }

    fn decimal(&mut self, name: &str, precision: u8, scale: u8) -> Result<Values, OptionError> {
        let (min_key, max_key) = (self.take(name, "min"), self.take(name, "max"));
        let number = |key: &str, default: i128| match self.options.get(key) {
            None => Ok(default),
            Some(text) => parse_decimal::<Decimal128Type>(text.trim(), precision, scale as i8)
                .map_err(|_| OptionError::new(key, format!("expected a DECIMAL({precision}, {scale}), found \"{text}\""))),
        };
        let greatest = 10_i128.checked_pow(u32::from(precision)).map_or(i128::MAX, |n| n - 1);
        let (min, max) = (number(&min_key, 0)?, number(&max_key, greatest)?);
        ordered(&max_key, min, max).map(|()| Values::Decimal(min, max))
    }

    /// The length of texts and bytes. `most`: that of the declared type; `fixed`: nothing else is allowed.
    fn length(&mut self, name: &str, default: i64, most: Option<u32>, fixed: bool) -> Result<Length, OptionError> {
        let key = self.take(name, "length");
        let most = most.map_or(MOST_LENGTH, i64::from).min(MOST_LENGTH);
        let least = if fixed { default } else { 0 };
        let length = self.options.int(&key, default.min(most), least, most)?;
        let varies = !fixed && {
            let key = self.take(name, "var-len");
            self.options.bool(&key, false)?
        };
        Ok(Length { most: length as usize, varies: varies && length > 0 })
    }

    fn collection_length(&mut self, name: &str) -> Result<u64, OptionError> {
        let key = self.take(name, "length");
        self.options.int(&key, COLLECTION_LENGTH, 0, MOST_LENGTH).map(|length| length as u64)
    }

    fn null_share(&mut self, name: &str, data_type: &LogicalType) -> Result<u64, OptionError> {
        let key = self.take(name, "null-rate");
        let Some(text) = self.options.get(&key) else { return Ok(0) };
        match text.trim().parse::<f64>() {
            Ok(rate) if rate > 0.0 && rate <= 1.0 && !data_type.nullable => {
                Err(OptionError::new(key, format!("the column is {data_type}: it cannot hold NULLs")))
            }
            // 1.0 becomes the greatest number: casts saturate.
            Ok(rate) if (0.0..=1.0).contains(&rate) => Ok((rate * 18_446_744_073_709_551_616.0) as u64),
            _ => Err(OptionError::new(key, format!("expected a number from 0 to 1, found \"{text}\""))),
        }
    }

    /// The first value of a sequence; its length goes into `rows`.
    fn sequence(&mut self, name: &str, data_type: &LogicalType) -> Result<i64, OptionError> {
        let (low, high) = match &data_type.kind {
            TypeKind::Float => (-(1 << 24), 1 << 24),
            TypeKind::Double => (-(1 << 53), 1 << 53),
            TypeKind::Decimal(precision, scale) => {
                let digits = u32::from(precision.saturating_sub(*scale));
                let most = 10_i64.checked_pow(digits).map_or(i64::MAX, |n| n - 1);
                (-most, most)
            }
            TypeKind::Char(length) | TypeKind::VarChar(length) => {
                let most = 10_i64.checked_pow(*length).map_or(i64::MAX, |n| n - 1);
                let least = 10_i64.checked_pow(length.saturating_sub(1)).map_or(i64::MIN, |n| 1 - n);
                (least, most)
            }
            TypeKind::String | TypeKind::Bytes => (i64::MIN, i64::MAX),
            kind => bounds(kind).ok_or_else(|| {
                let message = format!("there are no sequences of type {data_type}; random is the only kind");
                OptionError::new(format!("fields.{name}.kind"), message)
            })?,
        };
        let (start_key, end_key) = (self.take(name, "start"), self.take(name, "end"));
        self.options.required(&start_key)?;
        self.options.required(&end_key)?;
        let start = self.options.int(&start_key, 0, low, high)?;
        let end = self.options.int(&end_key, 0, low, high)?;
        ordered(&end_key, start, end)?;
        let rows = (end.wrapping_sub(start) as u64).saturating_add(1);
        self.rows = Some(self.rows.map_or(rows, |others| others.min(rows)));
        Ok(start)
    }
}

fn ordered<T: PartialOrd + std::fmt::Display>(key: &str, low: T, high: T) -> Result<(), OptionError> {
    if low <= high {
        return Ok(());
    }
    Err(OptionError::new(key, format!("{high} is less than {low}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Column;

    fn read_one(data_type: &str, written: &[(&str, &str)]) -> Result<Rules, String> {
        let column = Column { name: "c".to_owned(), data_type: data_type.parse().unwrap() };
        let options = written.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        read(&Schema::new(vec![column]), &options, 0).map_err(|e| e.to_string())
    }

    #[test]
    fn what_does_not_fit_the_column_is_refused() {
        let refused = |data_type: &str, written: &[(&str, &str)]| read_one(data_type, written).unwrap_err();
        assert_eq!(refused("TINYINT", &[("fields.c.max", "128")]), "fields.c.max: 128 is not between -128 and 127");
        assert_eq!(refused("INT", &[("fields.c.min", "5"), ("fields.c.max", "4")]), "fields.c.max: 4 is less than 5");
        assert!(refused("DECIMAL(4, 2)", &[("fields.c.max", "100")]).contains("expected a DECIMAL(4, 2)"));
        assert!(refused("CHAR(4)", &[("fields.c.length", "5")]).contains("5 is not between 4 and 4"));
        assert!(refused("INT NOT NULL", &[("fields.c.null-rate", "0.5")]).contains("cannot hold NULLs"));
        assert!(refused("INT", &[("fields.c.null-rate", "2")]).contains("from 0 to 1"));
        assert!(refused("BOOLEAN", &[("fields.c.kind", "sequence")]).contains("no sequences of type BOOLEAN"));
        assert_eq!(refused("INT", &[("fields.c.kind", "sequence")]), "fields.c.start: this option is required");
        assert!(refused("FLOAT", &[("fields.c.max", "1e39")]).contains("expected a number"));
    }

    #[test]
    fn an_option_without_a_use_is_refused_by_name() {
        let error = read_one("STRING", &[("fields.c.min", "1")]).unwrap_err();
        assert_eq!(error, "fields.c.min: column c (STRING) has no use for this option with the kind that it has");
        let error = read_one("STRING", &[("fields.d.length", "1")]).unwrap_err();
        assert_eq!(error, "fields.d.length: there is no such column; the columns are c");
        assert!(read_one("INT", &[("fields.c.start", "1"), ("fields.c.end", "2")]).is_err());
    }

    #[test]
    fn the_shortest_sequence_is_the_length() {
        let kind = ("fields.c.kind", "sequence");
        let rules = read_one("INT", &[kind, ("fields.c.start", "-3"), ("fields.c.end", "6")]).unwrap();
        assert_eq!(rules.rows, Some(10));
        let all = [kind, ("fields.c.start", "-9223372036854775808"), ("fields.c.end", "9223372036854775807")];
        assert_eq!(read_one("BIGINT", &all).unwrap().rows, Some(u64::MAX));
    }
}
