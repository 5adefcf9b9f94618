//! Constants of the syntax tree → typed expressions, with Flink's types: `1` is INT, `0.908` DECIMAL(3, 3), `1e3` DOUBLE.

use super::SqlError;
use crate::expr::functions::time;
use crate::expr::typed::TypedExpr;
use crate::expr::{civil, decimal};
use crate::types::TypeKind;
use datafusion_common::ScalarValue;
use sqlparser::ast::{DataType, DateTimeField, Expr, Interval, TimezoneInfo, TypedString, UnaryOperator, Value};

/// A constant.
pub(super) fn literal(value: &Value) -> Result<TypedExpr, SqlError> {
    match value {
        Value::Number(text, _) => number(text),
        Value::SingleQuotedString(text) => Ok(text_literal(text)),
        Value::Boolean(flag) => Ok(TypedExpr::boolean(*flag)),
        Value::Null => Ok(TypedExpr::null()),
        Value::HexStringLiteral(text) => hex(text),
        other => Err(SqlError::unsupported(&format!("the constant {other}"))),
    }
}

/// CHAR(n) for a text of n characters.
pub(super) fn text_literal(text: &str) -> TypedExpr {
    let length = u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
    let kind = if length == 0 { TypeKind::VarChar(1) } else { TypeKind::Char(length) };
    TypedExpr::literal(ScalarValue::Utf8(Some(text.to_owned())), kind)
}

fn number(text: &str) -> Result<TypedExpr, SqlError> {
    let out_of_range = || SqlError::new(format!("the number {text} is out of range"));
    if text.contains(['e', 'E']) {
        let value = text.parse::<f64>().map_err(|_| SqlError::new(format!("\"{text}\" is no number")))?;
        if value.is_infinite() {
            return Err(out_of_range());
        }
        return Ok(TypedExpr::literal(ScalarValue::Float64(Some(value)), TypeKind::Double));
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.is_empty() {
        if let Ok(value) = whole.parse::<i32>() {
            return Ok(TypedExpr::literal(ScalarValue::Int32(Some(value)), TypeKind::Int));
        }
        let value = whole.parse::<i64>().map_err(|_| out_of_range().hint(format!("CAST('{whole}' AS DECIMAL(38, 0))")))?;
        return Ok(TypedExpr::literal(ScalarValue::Int64(Some(value)), TypeKind::BigInt));
    }
    // Flink counts the digits that are written: 0.908 is a DECIMAL(4, 3).
    let scale = fraction.len();
    let precision = whole.len() + scale;
    let too_long = || SqlError::new(format!("the number {text} has more than 38 digits"));
    if precision > 38 {
        return Err(too_long());
    }
    let (precision, scale) = (precision as u8, scale as u8);
    let value = decimal::parse(text, precision, scale).map_err(|()| SqlError::new(format!("\"{text}\" is no number")))?;
    let value = value.ok_or_else(too_long)?;
    Ok(TypedExpr::literal(ScalarValue::Decimal128(Some(value), precision, scale as i8), TypeKind::Decimal(precision, scale)))
}

/// `-9223372036854775808` is one constant: without its sign it would not fit.
pub(super) fn negative_number(text: &str) -> Option<TypedExpr> {
    let signed = format!("-{text}");
    if let Ok(value) = signed.parse::<i32>() {
        return Some(TypedExpr::literal(ScalarValue::Int32(Some(value)), TypeKind::Int));
    }
    let value = signed.parse::<i64>().ok()?;
    Some(TypedExpr::literal(ScalarValue::Int64(Some(value)), TypeKind::BigInt))
}

fn hex(text: &str) -> Result<TypedExpr, SqlError> {
    let digits: Option<Vec<u8>> = text.chars().map(|c| c.to_digit(16).map(|d| d as u8)).collect();
    let bytes = digits.filter(|d| d.len().is_multiple_of(2)).map(|d| d.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect());
    let bytes = bytes.ok_or_else(|| SqlError::new(format!("X'{text}' is no even number of hexadecimal digits")))?;
    Ok(TypedExpr::literal(ScalarValue::Binary(Some(bytes)), TypeKind::Bytes))
}

/// `DATE '…'`, `TIME '…'`, `TIMESTAMP '…'`
pub(super) fn typed_string(literal: &TypedString) -> Result<TypedExpr, SqlError> {
    let Value::SingleQuotedString(text) = &literal.value.value else {
        return Err(SqlError::new("expected a text in single quotes"));
    };
    let wrong = |form: &str| SqlError::new(format!("'{text}' is no {}: expected '{form}'", literal.data_type));
    match &literal.data_type {
        DataType::Date => {
            let days = civil::parse_date(text).filter(|_| text.matches('-').count() == 2);
            let days = days.and_then(|d| i32::try_from(d).ok()).ok_or_else(|| wrong("2020-12-31"))?;
            Ok(TypedExpr::literal(ScalarValue::Date32(Some(days)), TypeKind::Date))
        }
        DataType::Time(None, TimezoneInfo::None) => {
            let time = civil::parse_time(text).filter(|_| text.matches(':').count() == 2);
            let (second, nanos) = time.ok_or_else(|| wrong("23:59:59"))?;
            let millis = (second * 1_000 + nanos / 1_000_000) as i32;
            Ok(TypedExpr::literal(ScalarValue::Time32Millisecond(Some(millis)), TypeKind::Time))
        }
        DataType::Timestamp(None, TimezoneInfo::None) => {
            let (days, second, nanos) = civil::parse_timestamp(text).ok_or_else(|| wrong("2020-12-31 23:59:59.999"))?;
            // The precision is the number of digits that are written.
            let precision = text.rsplit_once('.').map_or(0, |(_, fraction)| fraction.trim_end().len()).min(9) as u8;
            let kind = TypeKind::Timestamp(precision);
            let data_type = crate::types::LogicalType::not_null(kind.clone()).to_arrow();
            let count = civil::join(days, second, nanos, civil::unit_of(&data_type)).ok_or_else(|| wrong("2020-12-31 23:59:59"))?;
            let array = civil::array_of(&data_type, vec![Some(count)]).map_err(|e| SqlError::new(e.to_string()))?;
            let value = ScalarValue::try_from_array(&array, 0).map_err(|e| SqlError::new(e.to_string()))?;
            Ok(TypedExpr::literal(value, kind))
        }
        other => Err(SqlError::unsupported(&format!("a constant of type {other}"))),
    }
}

fn field_name(field: &DateTimeField) -> String {
    field.to_string()
}

/// `INTERVAL '4' SECOND`, `INTERVAL '1:30' HOUR TO MINUTE`
pub(super) fn interval(literal: &Interval) -> Result<TypedExpr, SqlError> {
    let (negative, value) = match &*literal.value {
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => (true, &**expr),
        value => (false, value),
    };
    let text = match value {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) | Value::Number(text, _) => text.as_str(),
            _ => return Err(SqlError::new("an interval's value stands in quotes")),
        },
        _ => return Err(SqlError::new("an interval's value is a constant in quotes").hint("multiply: n * INTERVAL '1' SECOND")),
    };
    let Some(leading) = &literal.leading_field else {
        return Err(SqlError::new("an interval needs a unit").hint(format!("INTERVAL '{text}' SECOND")));
    };
    let leading = field_name(leading);
    let last = literal.last_field.as_ref().map(field_name);
    let wrong = || {
        let to = last.as_ref().map(|last| format!(" TO {last}")).unwrap_or_default();
        SqlError::new(format!("'{text}' is no interval of {leading}{to}"))
    };
    let (months, nanos) = interval_value(text, &leading, last.as_deref()).ok_or_else(wrong)?;
    let precision = literal.leading_precision.unwrap_or(DEFAULT_PRECISION);
    let digits = text.trim_start_matches(['-', '+', ' ', '0']).bytes().take_while(u8::is_ascii_digit).count();
    if digits as u64 > precision {
        let message = format!("'{text}' has more digits than {leading} takes ({precision})");
        return Err(SqlError::new(message).hint(format!("INTERVAL '{text}' {leading}({digits})")));
    }
    let negative = if negative { -1 } else { 1 };
    Ok(time::interval(months * negative, nanos * i64::from(negative)))
}

/// Digits of an interval's first field, unless it says otherwise (the standard's, and Flink's).
const DEFAULT_PRECISION: u64 = 2;

const UNITS: [(&str, i64); 4] = [("DAY", 86_400), ("HOUR", 3_600), ("MINUTE", 60), ("SECOND", 1)];

/// Months and nanoseconds.
fn interval_value(text: &str, leading: &str, last: Option<&str>) -> Option<(i32, i64)> {
    let text = text.trim();
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let whole = |part: &str| {
        let right = !part.is_empty() && part.len() <= 9 && part.bytes().all(|b| b.is_ascii_digit());
        right.then(|| part.parse::<i64>().ok()).flatten()
    };
    let singular = leading.strip_suffix('S').unwrap_or(leading);
    let months = match (singular, last) {
        ("YEAR", None) => Some(whole(text)?.checked_mul(12)?),
        ("QUARTER", None) => Some(whole(text)?.checked_mul(3)?),
        ("MONTH", None) => Some(whole(text)?),
        ("YEAR", Some("MONTH")) => {
            let (years, months) = text.split_once('-')?;
            Some(whole(years)?.checked_mul(12)?.checked_add(whole(months)?)?)
        }
        _ => None,
    };
    if let Some(months) = months {
        return Some((i32::try_from(months * negative).ok()?, 0));
    }
    if singular == "WEEK" && last.is_none() {
        return Some((0, whole(text)?.checked_mul(7 * 86_400)?.checked_mul(1_000_000_000 * negative)?));
    }
    let first = UNITS.iter().position(|(name, _)| *name == singular)?;
    let last = match last {
        Some(last) => UNITS.iter().position(|(name, _)| *name == last)?,
        None => first,
    };
    let mut seconds: i64 = 0;
    let mut nanos: i64 = 0;
    let mut parts = text.split([' ', ':']);
    for (name, length) in UNITS.get(first..=last)? {
        let part = parts.next()?;
        let part = match part.split_once('.') {
            Some((part, fraction)) if *name == "SECOND" && fraction.len() <= 9 => {
                nanos = whole(fraction)? * 10_i64.pow(9 - fraction.len() as u32);
                part
            }
            _ => part,
        };
        seconds = seconds.checked_add(whole(part)?.checked_mul(*length)?)?;
    }
    if parts.next().is_some() {
        return None;
    }
    let nanos = seconds.checked_mul(1_000_000_000)?.checked_add(nanos)?;
    Some((0, nanos * negative))
}
