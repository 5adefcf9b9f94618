//! Values between columns, state and Lua. Integers stay integers of 64 bits; DATE is days, TIME and TIMESTAMP(p ≤ 3) are
//! milliseconds, TIMESTAMP(4–6) microseconds, TIMESTAMP(7–9) nanoseconds; DECIMAL is text; NULL is nil, inside ARRAY and MAP `null`.

use crate::types::{ColumnValues, Datum, DatumColumn, LogicalType, TypeKind};
use mlua::{Error, Lua, Table, Value};

/// What one unit of the Arrow type is in the unit that scripts see: seconds become milliseconds.
pub(super) const fn scale_of(data_type: &LogicalType) -> i64 {
    match data_type.kind {
        TypeKind::Timestamp(0) | TypeKind::TimestampLtz(0) => 1_000,
        _ => 1,
    }
}

/// A column as a Lua table with NULL as nil.
pub(super) fn table_of_column(lua: &Lua, column: &DatumColumn, rows: usize, data_type: &LogicalType) -> Result<Table, Error> {
    use ColumnValues as V;
    macro_rules! sequence {
        ($value:expr) => {
            lua.create_sequence_from((0..rows).map(|row| if column.is_null(row) { None } else { Some($value(row)) }))
        };
    }
    let scale = scale_of(data_type);
    match column.values() {
        V::Boolean(values) => sequence!(|row| values.value(row)),
        V::Int8(values) => sequence!(|row: usize| i64::from(values[row])),
        V::Int16(values) => sequence!(|row: usize| i64::from(values[row])),
        V::Int32(values) => sequence!(|row: usize| i64::from(values[row])),
        V::Int64(values) if scale == 1 => sequence!(|row: usize| values[row]),
        V::Int64(values) => sequence!(|row: usize| values[row].saturating_mul(scale)),
        V::Float32(values) => sequence!(|row: usize| f64::from(values[row])),
        V::Float64(values) => sequence!(|row: usize| values[row]),
        V::Text(values) => sequence!(|row| values.value(row)),
        V::Bytes(values) => {
            let table = lua.create_table_with_capacity(rows, 0)?;
            for row in (0..rows).filter(|row| !column.is_null(*row)) {
                table.raw_set(row + 1, lua.create_string(values.value(row))?)?;
            }
            Ok(table)
        }
        V::Null | V::Decimal(..) | V::List(..) | V::Map(..) | V::Row(_) => {
            let table = lua.create_table_with_capacity(rows, 0)?;
            for row in (0..rows).filter(|row| !column.is_null(*row)) {
                table.raw_set(row + 1, to_lua(lua, &column.get(row), data_type)?)?;
            }
            Ok(table)
        }
    }
}

/// A value for Lua; NULL is nil.
pub(super) fn to_lua(lua: &Lua, value: &Datum, data_type: &LogicalType) -> Result<Value, Error> {
    Ok(match (value, &data_type.kind) {
        (Datum::Null, _) => Value::Nil,
        (Datum::Boolean(value), _) => Value::Boolean(*value),
        (Datum::Long(value), _) => Value::Integer(value.saturating_mul(scale_of(data_type))),
        (Datum::Double(value), _) => Value::Number(value.get()),
        (Datum::Decimal(value), TypeKind::Decimal(_, scale)) => Value::String(lua.create_string(decimal_text(value.get(), *scale))?),
        (Datum::Text(value), _) => Value::String(lua.create_string(value.as_bytes())?),
        (Datum::Bytes(value), _) => Value::String(lua.create_string(value)?),
        (Datum::List(items), TypeKind::Array(element)) => {
            let table = lua.create_table_with_capacity(items.len(), 0)?;
            for (at, item) in items.iter().enumerate() {
                table.raw_set(at + 1, inner(lua, item, element)?)?;
            }
            Value::Table(table)
        }
        (Datum::Map(entries), TypeKind::Map(key_type, value_type)) => {
            let table = lua.create_table_with_capacity(0, entries.len())?;
            for (key, value) in entries {
                table.raw_set(to_lua(lua, key, key_type)?, inner(lua, value, value_type)?)?;
            }
            Value::Table(table)
        }
        (Datum::Row(values), TypeKind::Row(fields)) => {
            let table = lua.create_table_with_capacity(0, fields.len())?;
            for (value, (name, field)) in values.iter().zip(fields) {
                table.raw_set(name.as_str(), to_lua(lua, value, field)?)?;
            }
            Value::Table(table)
        }
        (value, _) => return Err(Error::RuntimeError(format!("{} where {data_type} was expected", value.kind()))),
    })
}

/// Inside a list or a map a nil would be nothing at all.
fn inner(lua: &Lua, value: &Datum, data_type: &LogicalType) -> Result<Value, Error> {
    if value.is_null() { Ok(Value::NULL) } else { to_lua(lua, value, data_type) }
}

/// A value from Lua. The error says what was expected and found, behind the path to it: `.items[2]: BIGINT expected, got string`.
pub(super) fn from_lua(value: &Value, data_type: &LogicalType) -> Result<Datum, String> {
    let wrong = || Err(format!(": {} expected, got {}", shown(data_type), found(value)));
    let is_null = matches!(value, Value::Nil) || *value == Value::NULL;
    if is_null {
        return if data_type.nullable { Ok(Datum::Null) } else { Err(format!(": {data_type} must not be nil")) };
    }
    match (&data_type.kind, value) {
        (TypeKind::Boolean, Value::Boolean(value)) => Ok(Datum::Boolean(*value)),
        (TypeKind::Float | TypeKind::Double, Value::Integer(value)) => Ok(Datum::double(*value as f64)),
        (TypeKind::Float | TypeKind::Double, Value::Number(value)) => Ok(Datum::double(*value)),
        (TypeKind::Decimal(precision, scale), Value::Integer(value)) => {
            parse_decimal(&value.to_string(), *precision, *scale).map_or_else(wrong, |value| Ok(Datum::decimal(value)))
        }
        (TypeKind::Decimal(precision, scale), Value::String(value)) => {
            let parsed = value.to_str().ok().and_then(|text| parse_decimal(&text, *precision, *scale));
            parsed.map_or_else(wrong, |value| Ok(Datum::decimal(value)))
        }
        (TypeKind::Char(_) | TypeKind::VarChar(_) | TypeKind::String, Value::String(value)) => match value.to_str() {
            Ok(text) => Ok(Datum::text(&*text)),
            Err(_) => Err(format!(": {} expected, got a string that is not UTF-8", shown(data_type))),
        },
        (TypeKind::Bytes, Value::String(value)) => Ok(Datum::Bytes((&*value.as_bytes()).into())),
        (TypeKind::Array(element), Value::Table(table)) => list(table, element),
        (TypeKind::Map(key, value), Value::Table(table)) => map(table, key, value),
        (TypeKind::Row(fields), Value::Table(table)) => row(table, fields),
        _ => match range_of(&data_type.kind) {
            Some((low, high)) => integer(value, data_type, low, high),
            None => wrong(),
        },
    }
}

/// The integers of a type, in the unit that scripts see; `None` if it has no integers.
pub(super) const fn range_of(kind: &TypeKind) -> Option<(i64, i64)> {
    Some(match kind {
        TypeKind::TinyInt => (i8::MIN as i64, i8::MAX as i64),
        TypeKind::SmallInt => (i16::MIN as i64, i16::MAX as i64),
        TypeKind::Int | TypeKind::Date => (i32::MIN as i64, i32::MAX as i64),
        TypeKind::Time => (0, 86_399_999),
        TypeKind::BigInt | TypeKind::Timestamp(_) | TypeKind::TimestampLtz(_) => (i64::MIN, i64::MAX),
        _ => return None,
    })
}

fn integer(value: &Value, data_type: &LogicalType, low: i64, high: i64) -> Result<Datum, String> {
    let number = match value {
        Value::Integer(value) => *value,
        // 2^53: above it a float does not say which integer it stands for.
        Value::Number(value) if value.fract() == 0.0 && value.abs() <= 9_007_199_254_740_992.0 => *value as i64,
        _ => return Err(format!(": {} expected, got {}", shown(data_type), found(value))),
    };
    if number < low || number > high {
        return Err(format!(": {number} does not fit into {}", shown(data_type)));
    }
    Ok(Datum::Long(number.div_euclid(scale_of(data_type))))
}

fn list(table: &Table, element: &LogicalType) -> Result<Datum, String> {
    let mut items = Vec::with_capacity(table.raw_len());
    for at in 1..=table.raw_len() {
        let value: Value = table.raw_get(at).map_err(|e| format!("[{at}]: {e}"))?;
        items.push(from_lua(&value, element).map_err(|e| format!("[{at}]{e}"))?);
    }
    Ok(Datum::List(items.into()))
}

fn map(table: &Table, key_type: &LogicalType, value_type: &LogicalType) -> Result<Datum, String> {
    let mut entries = Vec::new();
    for pair in table.pairs::<Value, Value>() {
        let (key, value) = pair.map_err(|e| format!(": {e}"))?;
        let read = from_lua(&key, key_type).map_err(|e| format!(": key{e}"))?;
        let value = from_lua(&value, value_type).map_err(|e| format!("[{}]{e}", found(&key)))?;
        entries.push((read, value));
    }
    // Lua walks tables in no order; the same map must always be the same value.
    entries.sort();
    Ok(Datum::Map(entries.into()))
}

fn row(table: &Table, fields: &[(String, LogicalType)]) -> Result<Datum, String> {
    let field = |(name, data_type): &(String, LogicalType)| {
        let value: Value = table.raw_get(name.as_str()).map_err(|e| format!(".{name}: {e}"))?;
        from_lua(&value, data_type).map_err(|e| format!(".{name}{e}"))
    };
    let values = fields.iter().map(field).collect::<Result<Vec<_>, String>>()?;
    for pair in table.pairs::<Value, Value>() {
        let (key, _) = pair.map_err(|e| format!(": {e}"))?;
        let known = matches!(&key, Value::String(name) if fields.iter().any(|(field, _)| *name == field.as_str()));
        if !known {
            return Err(format!(": the ROW has no field {}", found(&key)));
        }
    }
    Ok(Datum::Row(values.into()))
}

/// The type without NOT NULL, which is beside the point in a message about types.
pub(super) fn shown(data_type: &LogicalType) -> String {
    LogicalType::nullable(data_type.kind.clone()).to_string()
}

/// A Lua value for messages: `string "abc"`, `number 2.5`.
pub(super) fn found(value: &Value) -> String {
    match value {
        Value::String(text) => format!("string \"{}\"", text.to_string_lossy().chars().take(40).collect::<String>()),
        Value::Integer(number) => format!("number {number}"),
        Value::Number(number) => format!("number {number:?}"),
        Value::Boolean(value) => format!("boolean {value}"),
        Value::LightUserData(_) => "null".to_owned(),
        other => other.type_name().to_owned(),
    }
}

/// `-12.50` of -1250 with scale 2.
pub(super) fn decimal_text(unscaled: i128, scale: u8) -> String {
    let sign = if unscaled < 0 { "-" } else { "" };
    let scale = usize::from(scale);
    let digits = format!("{:0>width$}", unscaled.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

/// The unscaled value of a decimal number in text; `None` if it is none, or does not fit exactly.
pub(super) fn parse_decimal(text: &str, precision: u8, scale: u8) -> Option<i128> {
    let text = text.trim();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let fraction = fraction.trim_end_matches('0');
    let only_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty() && !digits.contains('0')) || !only_digits(whole) || !only_digits(fraction) {
        return None;
    }
    let scale = usize::from(scale);
    if fraction.len() > scale {
        return None;
    }
    let written = format!("{}{fraction:0<scale$}", whole.trim_start_matches('0'));
    if written.trim_start_matches('0').len() > usize::from(precision) {
        return None;
    }
    let unscaled: i128 = if written.is_empty() { 0 } else { written.parse().ok()? };
    Some(if negative { -unscaled } else { unscaled })
}
