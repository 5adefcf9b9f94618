//! CAST and TRY_CAST between Flink's types (`docs/dev/table/types`, "Casting", not the legacy behaviour).

use super::civil::{self, Moments};
use super::coerce::{as_decimal, is_numeric, is_text, is_timestamp};
use super::decimal;
use super::kernel::{Arg, Kernel, KernelError, KernelResult};
use super::number::{JavaNumber, Number, parse_double, with_number_type, write_double, write_single};
use crate::types::{LogicalType, TypeKind};
use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryBuilder, BooleanBuilder, Decimal128Builder, PrimitiveArray, StringBuilder,
    new_null_array,
};
use arrow::datatypes::{Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type};
use std::fmt::Write;
use std::sync::Arc;

/// A conversion and whether it can fail on a row.
pub struct Conversion {
    /// One argument in, one column out.
    pub kernel: Kernel,
    /// True if some values cannot be converted.
    pub fallible: bool,
    /// True if values that are not NULL may become NULL: TRY_CAST, and DECIMALs that are too large.
    pub makes_null: bool,
}

/// The conversion from one type to another; `None` if Flink has none. With `lenient` what cannot be converted is NULL.
pub fn conversion(from: &TypeKind, to: &LogicalType, lenient: bool) -> Option<Conversion> {
    use TypeKind::{Boolean, Date, Decimal, Null, Time, Timestamp, TimestampLtz};
    let target = to.to_arrow();
    let to = &to.kind;
    let plain = |kernel: Kernel| Some(Conversion { kernel, fallible: false, makes_null: false });
    if from == to {
        return plain(Arc::new(|args: &[Arg], rows| args[0].expanded(rows)));
    }
    match (from, to) {
        (Null, _) => plain(Arc::new(move |_: &[Arg], rows| Ok(new_null_array(&target, rows)))),
        (_, text) if is_text(text) => {
            let limit = TextLimit::new(text);
            let from = from.clone();
            Writer::check(&from)?;
            plain(Arc::new(move |args: &[Arg], rows| to_text(&from, &args[0], rows, limit)))
        }
        (text, _) if is_text(text) => from_text(to, lenient),
        (Boolean, number) if is_numeric(number) => {
            let to = number.clone();
            plain(Arc::new(move |args: &[Arg], rows| {
                let flags = args[0].expanded(rows)?;
                let numbers: PrimitiveArray<Int32Type> = flags.as_boolean().iter().map(|b| b.map(i32::from)).collect();
                numbers_to(&TypeKind::Int, &to, &(Arc::new(numbers) as ArrayRef))
            }))
        }
        (number, Boolean) if is_numeric(number) => {
            let from = number.clone();
            plain(Arc::new(move |args: &[Arg], rows| {
                let doubles = numbers_to(&from, &TypeKind::Double, &args[0].expanded(rows)?)?;
                let flags = doubles.as_primitive::<Float64Type>().iter();
                Ok(Arc::new(flags.map(|x| x.map(|x| x != 0.0)).collect::<arrow::array::BooleanArray>()) as ArrayRef)
            }))
        }
        (a, b) if is_numeric(a) && is_numeric(b) => {
            let (a, b) = (a.clone(), b.clone());
            let narrow = matches!(&b, Decimal(..)) && !decimal_holds(&b, &a);
            let kernel: Kernel = Arc::new(move |args: &[Arg], rows| numbers_to(&a, &b, &args[0].expanded(rows)?));
            Some(Conversion { kernel, fallible: false, makes_null: narrow })
        }
        (Date | Timestamp(_) | TimestampLtz(_) | Time, Date | Timestamp(_) | TimestampLtz(_) | Time) => {
            // A time has no day, and a day is not a time.
            if matches!((from, to), (Time, Date) | (Date, Time)) {
                return None;
            }
            let to = to.clone();
            plain(Arc::new(move |args: &[Arg], rows| moments_to(&to, &target, &args[0], rows)))
        }
        _ => None,
    }
}

fn decimal_holds(decimal: &TypeKind, other: &TypeKind) -> bool {
    match (as_decimal(decimal), as_decimal(other)) {
        (Some((p, s)), Some((q, t))) => s >= t && p - s >= q - t,
        _ => false,
    }
}

/// Converts numbers; DECIMALs that do not fit become NULL.
fn numbers_to(from: &TypeKind, to: &TypeKind, array: &ArrayRef) -> KernelResult {
    let wrong = || KernelError(format!("no number: {}", array.data_type()));
    match (from, to) {
        (TypeKind::Decimal(_, from), TypeKind::Decimal(p, s)) => {
            decimal::map(array.as_ref(), (*p, *s), |v| Ok(decimal::rescale(v, *from, *s, *p)))
        }
        (TypeKind::Decimal(_, scale), _) => {
            let decimals = array.as_primitive_opt::<Decimal128Type>().ok_or_else(wrong)?;
            let power = decimal::power_of_ten(*scale);
            with_number_type!(to, T => {
                let floating = matches!(to, TypeKind::Float | TypeKind::Double);
                let convert = |v: i128| {
                    // Reading the decimal text gives the double nearest to the value; dividing would round twice.
                    let number = if floating { Number::Float(decimal_to_double(v, *scale)) } else { Number::Integer((v / power) as i64) };
                    <<T as ArrowPrimitiveType>::Native as JavaNumber>::narrow(number)
                };
                Arc::new(decimals.unary::<_, T>(convert)) as ArrayRef
            })
            .ok_or_else(wrong)
        }
        (_, TypeKind::Decimal(p, s)) => {
            let decimals = with_number_type!(from, F => {
                let mut builder = Decimal128Builder::with_capacity(array.len());
                for value in array.as_primitive_opt::<F>().ok_or_else(wrong)? {
                    builder.append_option(value.and_then(|v| match v.widen() {
                        Number::Integer(n) => decimal::rescale(i128::from(n), 0, *s, *p),
                        Number::Float(x) => decimal::parse(&format!("{x}"), *p, *s).ok().flatten(),
                    }));
                }
                builder.finish()
            });
            decimal::finish(decimals.ok_or_else(wrong)?, *p, *s)
        }
        _ => {
            let converted = with_number_type!(from, F => {
                let numbers = array.as_primitive_opt::<F>().ok_or_else(wrong)?;
                with_number_type!(to, T => {
                    let convert = |v: <F as ArrowPrimitiveType>::Native| <<T as ArrowPrimitiveType>::Native as JavaNumber>::narrow(v.widen());
                    Arc::new(numbers.unary::<_, T>(convert)) as ArrayRef
                })
            });
            converted.flatten().ok_or_else(wrong)
        }
    }
}

fn decimal_to_double(value: i128, scale: u8) -> f64 {
    if scale == 0 || value.unsigned_abs() < 1 << 53 && scale <= 22 {
        // Both are exact doubles, so the quotient is rounded once.
        return value as f64 / decimal::power_of_ten(scale) as f64;
    }
    let mut text = String::new();
    decimal::write_plain(&mut text, value, scale);
    text.parse().unwrap_or(f64::NAN)
}

fn moments_to(to: &TypeKind, target: &arrow::datatypes::DataType, arg: &Arg, rows: usize) -> KernelResult {
    let moments = Moments::new(arg)?;
    let unit = civil::unit_of(target);
    let digits = match to {
        TypeKind::Timestamp(p) | TypeKind::TimestampLtz(p) => u32::from(*p),
        _ => 3,
    };
    let step = 10_i64.pow(9 - digits.min(9));
    let values = (0..rows).map(|row| {
        let (days, second, nanos) = moments.split(moments.get(row)?);
        match to {
            TypeKind::Date => Some(days),
            // TIME is TIME(0).
            TypeKind::Time => Some(second * 1_000),
            _ => civil::join(days, second, nanos / step * step, unit),
        }
    });
    civil::array_of(target, values.collect())
}

/// What `CHAR(n)` and `VARCHAR(n)` do to a text.
#[derive(Debug, Clone, Copy)]
struct TextLimit {
    most: usize,
    pad: bool,
}

impl TextLimit {
    fn new(kind: &TypeKind) -> Self {
        match kind {
            TypeKind::Char(n) => Self { most: *n as usize, pad: true },
            TypeKind::VarChar(n) => Self { most: *n as usize, pad: false },
            _ => Self { most: usize::MAX, pad: false },
        }
    }

    fn apply(self, text: &mut String) {
        if self.most == usize::MAX {
            return;
        }
        if let Some((end, _)) = text.char_indices().nth(self.most) {
            text.truncate(end);
        } else if self.pad {
            let missing = self.most.saturating_sub(text.chars().count());
            text.extend(std::iter::repeat_n(' ', missing.min(1 << 20)));
        }
    }
}

/// Writes values of one type as text.
struct Writer<'a> {
    kind: &'a TypeKind,
    arg: &'a Arg,
    moments: Option<Moments>,
}

impl<'a> Writer<'a> {
    fn check(kind: &TypeKind) -> Option<()> {
        let known = is_text(kind) || is_numeric(kind) || is_timestamp(kind);
        (known || matches!(kind, TypeKind::Boolean | TypeKind::Bytes | TypeKind::Date | TypeKind::Time)).then_some(())
    }

    fn new(kind: &'a TypeKind, arg: &'a Arg) -> Result<Self, KernelError> {
        let is_moment = is_timestamp(kind) || matches!(kind, TypeKind::Date | TypeKind::Time);
        let moments = if is_moment { Some(Moments::new(arg)?) } else { None };
        Ok(Self { kind, arg, moments })
    }

    fn write(&self, out: &mut String, row: usize) {
        let row_in_array = self.arg.index(row);
        let array = &self.arg.array;
        match self.kind {
            TypeKind::Boolean => out.push_str(if array.as_boolean().value(row_in_array) { "TRUE" } else { "FALSE" }),
            TypeKind::TinyInt => write_integer(out, i64::from(array.as_primitive::<Int8Type>().value(row_in_array))),
            TypeKind::SmallInt => write_integer(out, i64::from(array.as_primitive::<Int16Type>().value(row_in_array))),
            TypeKind::Int => write_integer(out, i64::from(array.as_primitive::<Int32Type>().value(row_in_array))),
            TypeKind::BigInt => write_integer(out, array.as_primitive::<Int64Type>().value(row_in_array)),
            TypeKind::Float => write_single(out, array.as_primitive::<Float32Type>().value(row_in_array)),
            TypeKind::Double => write_double(out, array.as_primitive::<Float64Type>().value(row_in_array)),
            TypeKind::Decimal(_, scale) => {
                decimal::write_plain(out, array.as_primitive::<Decimal128Type>().value(row_in_array), *scale);
            }
            TypeKind::Bytes => out.push_str(&String::from_utf8_lossy(array.as_binary::<i32>().value(row_in_array))),
            kind if is_text(kind) => out.push_str(array.as_string::<i32>().value(row_in_array)),
            kind => self.write_moment(out, kind, row),
        }
    }

    fn write_moment(&self, out: &mut String, kind: &TypeKind, row: usize) {
        let Some((moments, count)) = self.moments.as_ref().and_then(|m| Some((m, m.get(row)?))) else { return };
        let (days, second, nanos) = moments.split(count);
        match kind {
            TypeKind::Date => civil::write_date(out, days),
            TypeKind::Time => civil::write_time(out, second, nanos, if nanos == 0 { 0 } else { 3 }),
            TypeKind::Timestamp(precision) | TypeKind::TimestampLtz(precision) => {
                civil::write_date(out, days);
                out.push(' ');
                civil::write_time(out, second, nanos, *precision);
            }
            _ => {}
        }
    }
}

fn write_integer(out: &mut String, value: i64) {
    out.push_str(itoa::Buffer::new().format(value));
}

fn to_text(from: &TypeKind, arg: &Arg, rows: usize, limit: TextLimit) -> KernelResult {
    if is_text(from) && limit.most == usize::MAX {
        return arg.expanded(rows);
    }
    let writer = Writer::new(from, arg)?;
    let mut builder = StringBuilder::with_capacity(rows, rows * 8);
    let mut text = String::new();
    for row in 0..rows {
        if arg.is_null(row) {
            builder.append_null();
            continue;
        }
        text.clear();
        writer.write(&mut text, row);
        limit.apply(&mut text);
        builder.append_value(&text);
    }
    Ok(Arc::new(builder.finish()))
}

/// One value as CAST to STRING writes it; `None` for NULL.
pub fn text_of(kind: &TypeKind, array: &ArrayRef, row: usize) -> Option<String> {
    let arg = Arg { array: array.clone(), scalar: false };
    Writer::check(kind)?;
    let writer = Writer::new(kind, &arg).ok()?;
    let mut text = String::new();
    if row >= array.len() || array.is_null(row) {
        return None;
    }
    writer.write(&mut text, row);
    Some(text)
}

/// Reads texts; `Err` becomes NULL with `lenient`.
fn read_rows<V>(
    arg: &Arg,
    rows: usize,
    lenient: bool,
    read: impl Fn(&str) -> Result<Option<V>, KernelError>,
    mut push: impl FnMut(Option<V>),
) -> Result<(), KernelError> {
    let texts = arg.strings()?;
    for row in 0..rows {
        match texts.get(row).map(&read) {
            None => push(None),
            Some(Ok(value)) => push(value),
            Some(Err(_)) if lenient => push(None),
            Some(Err(error)) => return Err(error),
        }
    }
    Ok(())
}

fn invalid(text: &str) -> KernelError {
    KernelError(format!("For input string: '{text}'. Invalid character found."))
}

/// Reads an integer as Flink does: digits behind a point are dropped.
fn read_integer(text: &str) -> Result<Option<i64>, KernelError> {
    let trimmed = text.trim();
    let (whole, fraction) = trimmed.split_once('.').unwrap_or((trimmed, ""));
    let unsigned = whole.strip_prefix(['-', '+']).unwrap_or(whole);
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if !digits(unsigned) || !digits(fraction) || unsigned.is_empty() && fraction.is_empty() {
        return Err(invalid(text));
    }
    if unsigned.is_empty() {
        return Ok(Some(0));
    }
    whole.parse().map(Some).map_err(|_| overflow(text))
}

fn overflow(text: &str) -> KernelError {
    KernelError(format!("For input string: '{text}'. Overflow."))
}

fn read_boolean(text: &str) -> Result<Option<bool>, KernelError> {
    let is = |words: &[&str]| words.iter().any(|w| w.eq_ignore_ascii_case(text));
    if is(&["t", "true", "y", "yes", "1"]) {
        Ok(Some(true))
    } else if is(&["f", "false", "n", "no", "0"]) {
        Ok(Some(false))
    } else {
        Err(KernelError(format!("Cannot parse '{text}' as BOOLEAN.")))
    }
}

fn from_text(to: &TypeKind, lenient: bool) -> Option<Conversion> {
    let kernel: Kernel = match to {
        TypeKind::Boolean => Arc::new(move |args: &[Arg], rows| {
            let mut builder = BooleanBuilder::with_capacity(rows);
            read_rows(&args[0], rows, lenient, read_boolean, |v| builder.append_option(v))?;
            Ok(Arc::new(builder.finish()) as ArrayRef)
        }),
        TypeKind::Bytes => Arc::new(move |args: &[Arg], rows| {
            let texts = args[0].strings()?;
            let mut builder = BinaryBuilder::with_capacity(rows, rows * 8);
            (0..rows).for_each(|row| builder.append_option(texts.get(row).map(str::as_bytes)));
            Ok(Arc::new(builder.finish()) as ArrayRef)
        }),
        TypeKind::Decimal(precision, scale) => {
            let (precision, scale) = (*precision, *scale);
            Arc::new(move |args: &[Arg], rows| {
                let read = |text: &str| match decimal::parse(text, precision, scale).map_err(|()| invalid(text))? {
                    None => Err(overflow(text)),
                    value => Ok(value),
                };
                let mut builder = Decimal128Builder::with_capacity(rows);
                read_rows(&args[0], rows, lenient, read, |v| builder.append_option(v))?;
                decimal::finish(builder.finish(), precision, scale)
            })
        }
        TypeKind::Float | TypeKind::Double => {
            let to = to.clone();
            Arc::new(move |args: &[Arg], rows| {
                let mut values = Vec::with_capacity(rows);
                let read = |text: &str| parse_double(text).map(Some).ok_or_else(|| invalid(text));
                read_rows(&args[0], rows, lenient, read, |v| values.push(v))?;
                let doubles: ArrayRef = Arc::new(PrimitiveArray::<Float64Type>::from(values));
                numbers_to(&TypeKind::Double, &to, &doubles)
            })
        }
        TypeKind::TinyInt | TypeKind::SmallInt | TypeKind::Int | TypeKind::BigInt => integer_from_text(to.clone(), lenient),
        TypeKind::Date | TypeKind::Time | TypeKind::Timestamp(_) | TypeKind::TimestampLtz(_) => moment_from_text(to.clone(), lenient),
        _ => return None,
    };
    let fallible = !lenient && !matches!(to, TypeKind::Bytes);
    Some(Conversion { kernel, fallible, makes_null: lenient })
}

fn integer_from_text(to: TypeKind, lenient: bool) -> Kernel {
    let bits = match to {
        TypeKind::TinyInt => 8,
        TypeKind::SmallInt => 16,
        TypeKind::Int => 32,
        _ => 64,
    };
    Arc::new(move |args: &[Arg], rows| {
        let limit = if bits == 64 { i64::MAX } else { (1_i64 << (bits - 1)) - 1 };
        let read = |text: &str| {
            let value = read_integer(text)?;
            match value {
                Some(v) if v > limit || v < -limit - 1 => Err(overflow(text)),
                value => Ok(value),
            }
        };
        let mut values = Vec::with_capacity(rows);
        read_rows(&args[0], rows, lenient, read, |v| values.push(v))?;
        let wide: ArrayRef = Arc::new(PrimitiveArray::<Int64Type>::from(values));
        numbers_to(&TypeKind::BigInt, &to, &wide)
    })
}

fn moment_from_text(to: TypeKind, lenient: bool) -> Kernel {
    let target = LogicalType::nullable(to.clone()).to_arrow();
    let unit = civil::unit_of(&target);
    Arc::new(move |args: &[Arg], rows| {
        let read = |text: &str| {
            let value = match &to {
                TypeKind::Date => civil::parse_date(text),
                // TIME is TIME(0).
                TypeKind::Time => civil::parse_time(text).map(|(second, _)| second * 1_000),
                TypeKind::Timestamp(p) | TypeKind::TimestampLtz(p) => civil::parse_timestamp(text).and_then(|(days, second, nanos)| {
                    let step = 10_i64.pow(9 - u32::from(*p).min(9));
                    civil::join(days, second, nanos / step * step, unit)
                }),
                _ => None,
            };
            let mut name = String::new();
            let _ = write!(name, "{}", LogicalType::nullable(to.clone()));
            value.map(Some).ok_or_else(|| KernelError(format!("Cannot parse '{text}' as {name}.")))
        };
        let mut values = Vec::with_capacity(rows);
        read_rows(&args[0], rows, lenient, read, |v| values.push(v))?;
        civil::array_of(&target, values)
    })
}
