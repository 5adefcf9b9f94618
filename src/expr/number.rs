//! Numbers as Java has them: wrapping integers, conversions, comparison of floats, and the text of a double.

use super::civil::Moments;
use super::coerce::{Arithmetic, is_integer};
use super::kernel::{Arg, Kernel, KernelError, KernelResult, Values, valid_rows};
use crate::types::TypeKind;
use arrow::array::{ArrayRef, ArrowPrimitiveType, BooleanArray, Datum, PrimitiveArray, Scalar};
use arrow::buffer::BooleanBuffer;
use arrow::compute::kernels::{cmp, numeric};
use arrow::datatypes::{Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type};
use std::fmt::Write;
use std::sync::Arc;

/// A number of any width.
#[derive(Debug, Clone, Copy)]
pub enum Number {
    /// Integers.
    Integer(i64),
    /// FLOAT and DOUBLE.
    Float(f64),
}

/// Java's conversions between primitive numbers: integers wrap, floats saturate, NaN is 0.
pub trait JavaNumber: Copy {
    /// As the widest number of its kind.
    fn widen(self) -> Number;
    /// From any number, as a cast in Java does it.
    fn narrow(number: Number) -> Self;
}

macro_rules! java_integer {
    ($($t:ty),*) => {$(
        impl JavaNumber for $t {
            fn widen(self) -> Number {
                Number::Integer(i64::from(self))
            }
            fn narrow(number: Number) -> Self {
                match number {
                    Number::Integer(n) => n as Self,
                    // Java converts a double to a byte or short by way of int.
                    Number::Float(x) => if size_of::<Self>() < 4 { Self::narrow(Number::Integer(i64::from(x as i32))) } else { x as Self },
                }
            }
        }
    )*};
}

macro_rules! java_float {
    ($($t:ty),*) => {$(
        impl JavaNumber for $t {
            fn widen(self) -> Number {
                Number::Float(f64::from(self))
            }
            fn narrow(number: Number) -> Self {
                match number {
                    Number::Integer(n) => n as Self,
                    Number::Float(x) => x as Self,
                }
            }
        }
    )*};
}

java_integer!(i8, i16, i32, i64);
java_float!(f32, f64);

/// Runs `$body` with `$T` as the Arrow type of a primitive number; `None` for other types.
macro_rules! with_number_type {
    ($kind:expr, $T:ident => $body:expr) => {
        match $kind {
            $crate::types::TypeKind::TinyInt => {
                type $T = arrow::datatypes::Int8Type;
                Some($body)
            }
            $crate::types::TypeKind::SmallInt => {
                type $T = arrow::datatypes::Int16Type;
                Some($body)
            }
            $crate::types::TypeKind::Int => {
                type $T = arrow::datatypes::Int32Type;
                Some($body)
            }
            $crate::types::TypeKind::BigInt => {
                type $T = arrow::datatypes::Int64Type;
                Some($body)
            }
            $crate::types::TypeKind::Float => {
                type $T = arrow::datatypes::Float32Type;
                Some($body)
            }
            $crate::types::TypeKind::Double => {
                type $T = arrow::datatypes::Float64Type;
                Some($body)
            }
            _ => None,
        }
    };
}
pub(super) use with_number_type;

/// Integer division and remainder as Java has them: `MIN / -1` is `MIN`.
trait WrappingDivision: ArrowPrimitiveType {
    fn divide(a: Self::Native, b: Self::Native) -> Self::Native;
    fn remainder(a: Self::Native, b: Self::Native) -> Self::Native;
}

macro_rules! wrapping_division {
    ($($t:ty),*) => {$(
        impl WrappingDivision for $t {
            fn divide(a: Self::Native, b: Self::Native) -> Self::Native {
                a.wrapping_div(b)
            }
            fn remainder(a: Self::Native, b: Self::Native) -> Self::Native {
                a.wrapping_rem(b)
            }
        }
    )*};
}

wrapping_division!(Int8Type, Int16Type, Int32Type, Int64Type);

fn divide_integers<T: WrappingDivision>(args: &[Arg], rows: usize, remainder: bool) -> KernelResult
where
    T::Native: Default + PartialEq,
{
    let (a, b): (Values<'_, T>, Values<'_, T>) = (args[0].values()?, args[1].values()?);
    let valid = valid_rows(args, rows);
    let zero = T::Native::default();
    let op = if remainder { T::remainder } else { T::divide };
    if let (true, Some(divisor)) = (args[1].scalar, b.get(0)).to_owned()
        && divisor != zero
    {
        let values = (0..rows).map(|i| op(a.raw(i), divisor)).collect();
        return Ok(Arc::new(PrimitiveArray::<T>::new(values, valid)));
    }
    let mut values = Vec::with_capacity(rows);
    for i in 0..rows {
        let divisor = b.raw(i);
        if divisor != zero {
            values.push(op(a.raw(i), divisor));
        } else if valid.as_ref().is_none_or(|v| v.is_valid(i)) {
            return Err(KernelError("/ by zero".to_owned()));
        } else {
            values.push(zero);
        }
    }
    Ok(Arc::new(PrimitiveArray::<T>::new(values.into(), valid)))
}

fn datum(arg: &Arg) -> Box<dyn Datum> {
    if arg.scalar { Box::new(Scalar::new(arg.array.clone())) } else { Box::new(arg.array.clone()) }
}

/// Applies an Arrow kernel to two arguments.
fn binary(args: &[Arg], f: impl Fn(&dyn Datum, &dyn Datum) -> Result<ArrayRef, arrow::error::ArrowError>) -> KernelResult {
    let (a, b) = (datum(&args[0]), datum(&args[1]));
    let result = f(a.as_ref(), b.as_ref())?;
    Ok(result)
}

/// The kernel of `op` on two numbers of the same primitive type; `None` for other types.
pub fn arithmetic_kernel(op: Arithmetic, kind: &TypeKind) -> Option<Kernel> {
    let integer = is_integer(kind);
    Some(match op {
        Arithmetic::Add => Arc::new(|args: &[Arg], _| binary(args, numeric::add_wrapping)),
        Arithmetic::Subtract => Arc::new(|args: &[Arg], _| binary(args, numeric::sub_wrapping)),
        Arithmetic::Multiply => Arc::new(|args: &[Arg], _| binary(args, numeric::mul_wrapping)),
        Arithmetic::Divide | Arithmetic::Modulo if integer => {
            let modulo = op == Arithmetic::Modulo;
            match kind {
                TypeKind::TinyInt => Arc::new(move |args: &[Arg], rows| divide_integers::<Int8Type>(args, rows, modulo)),
                TypeKind::SmallInt => Arc::new(move |args: &[Arg], rows| divide_integers::<Int16Type>(args, rows, modulo)),
                TypeKind::Int => Arc::new(move |args: &[Arg], rows| divide_integers::<Int32Type>(args, rows, modulo)),
                _ => Arc::new(move |args: &[Arg], rows| divide_integers::<Int64Type>(args, rows, modulo)),
            }
        }
        Arithmetic::Divide => Arc::new(|args: &[Arg], _| binary(args, numeric::div)),
        Arithmetic::Modulo => Arc::new(|args: &[Arg], _| binary(args, numeric::rem)),
    })
}

/// `= <> < <= > >=`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `<>`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

impl Comparison {
    /// As SQL writes it.
    pub const fn symbol(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "<>",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }
}

fn compare_floats<T: ArrowPrimitiveType>(op: Comparison, args: &[Arg], rows: usize) -> KernelResult
where
    T::Native: PartialOrd,
{
    // Arrow orders floats totally; Java, as IEEE: NaN equals nothing, 0.0 equals -0.0.
    let (a, b): (Values<'_, T>, Values<'_, T>) = (args[0].values()?, args[1].values()?);
    let bits = match op {
        Comparison::Equal => BooleanBuffer::collect_bool(rows, |i| a.raw(i) == b.raw(i)),
        Comparison::NotEqual => BooleanBuffer::collect_bool(rows, |i| a.raw(i) != b.raw(i)),
        Comparison::Less => BooleanBuffer::collect_bool(rows, |i| a.raw(i) < b.raw(i)),
        Comparison::LessOrEqual => BooleanBuffer::collect_bool(rows, |i| a.raw(i) <= b.raw(i)),
        Comparison::Greater => BooleanBuffer::collect_bool(rows, |i| a.raw(i) > b.raw(i)),
        Comparison::GreaterOrEqual => BooleanBuffer::collect_bool(rows, |i| a.raw(i) >= b.raw(i)),
    };
    Ok(Arc::new(BooleanArray::new(bits, valid_rows(args, rows))))
}

/// The kernel of a comparison of two values of the same type.
pub fn comparison_kernel(op: Comparison, kind: &TypeKind) -> Kernel {
    match kind {
        TypeKind::Float => Arc::new(move |args: &[Arg], rows| compare_floats::<Float32Type>(op, args, rows)),
        TypeKind::Double => Arc::new(move |args: &[Arg], rows| compare_floats::<Float64Type>(op, args, rows)),
        _ => {
            let kernel = match op {
                Comparison::Equal => cmp::eq,
                Comparison::NotEqual => cmp::neq,
                Comparison::Less => cmp::lt,
                Comparison::LessOrEqual => cmp::lt_eq,
                Comparison::Greater => cmp::gt,
                Comparison::GreaterOrEqual => cmp::gt_eq,
            };
            Arc::new(move |args: &[Arg], _| binary(args, |a, b| Ok(Arc::new(kernel(a, b)?))))
        }
    }
}

/// The kernel of `left op right` for timestamps of different precision.
pub fn moments_kernel(op: Comparison) -> Kernel {
    Arc::new(move |args: &[Arg], rows| {
        let (left, right) = (Moments::new(&args[0])?, Moments::new(&args[1])?);
        let compared = (0..rows).map(|row| {
            let order = left.split(left.get(row)?).cmp(&right.split(right.get(row)?));
            Some(match op {
                Comparison::Equal => order.is_eq(),
                Comparison::NotEqual => order.is_ne(),
                Comparison::Less => order.is_lt(),
                Comparison::LessOrEqual => order.is_le(),
                Comparison::Greater => order.is_gt(),
                Comparison::GreaterOrEqual => order.is_ge(),
            })
        });
        Ok(Arc::new(compared.collect::<BooleanArray>()) as ArrayRef)
    })
}

/// The kernel of `IS [NOT] DISTINCT FROM` for two values of the same type.
pub fn distinct_kernel(negated: bool) -> Kernel {
    let kernel = if negated { cmp::not_distinct } else { cmp::distinct };
    Arc::new(move |args: &[Arg], _| binary(args, |a, b| Ok(Arc::new(kernel(a, b)?))))
}

/// Appends a double as Java's `Double.toString` does: `1.0`, `1.0E10`, `NaN`, `-Infinity`.
pub fn write_double(out: &mut String, value: f64) {
    write_float(out, value, format_args!("{value:e}"));
}

/// Appends a float as Java's `Float.toString` does.
pub fn write_single(out: &mut String, value: f32) {
    write_float(out, f64::from(value), format_args!("{value:e}"));
}

fn write_float(out: &mut String, value: f64, shortest: std::fmt::Arguments<'_>) {
    if value.is_nan() {
        out.push_str("NaN");
        return;
    }
    if value.is_sign_negative() {
        out.push('-');
    }
    if value.is_infinite() {
        out.push_str("Infinity");
        return;
    }
    if value == 0.0 {
        out.push_str("0.0");
        return;
    }
    let start = out.len();
    let _ = out.write_fmt(shortest);
    let text = out.split_off(start);
    let (mantissa, exponent) = text.trim_start_matches('-').split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits: String = mantissa.chars().filter(|c| *c != '.').collect();
    // Java writes 10^-3 up to 10^7 without an exponent.
    if !(-3..7).contains(&exponent) {
        let (first, rest) = digits.split_at(1);
        let _ = write!(out, "{first}.{}E{exponent}", if rest.is_empty() { "0" } else { rest });
    } else if exponent < 0 {
        out.push_str("0.");
        out.extend(std::iter::repeat_n('0', (-exponent - 1) as usize));
        out.push_str(&digits);
    } else {
        let point = exponent as usize + 1;
        if digits.len() > point {
            let (whole, fraction) = digits.split_at(point);
            let _ = write!(out, "{whole}.{fraction}");
        } else {
            out.push_str(&digits);
            out.extend(std::iter::repeat_n('0', point - digits.len()));
            out.push_str(".0");
        }
    }
}

/// Reads a double as Java's `Double.parseDouble` does, without its hexadecimal form.
pub fn parse_double(text: &str) -> Option<f64> {
    let text = text.trim();
    let body = text.strip_prefix(['+', '-']).unwrap_or(text);
    match body {
        "NaN" | "Infinity" => {}
        _ => {
            let first = body.bytes().next()?;
            if !(first.is_ascii_digit() || first == b'.') {
                return None;
            }
        }
    }
    let text = if body == "NaN" { body } else { text.trim_end_matches(['d', 'D', 'f', 'F']) };
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_print_as_java_prints_them() {
        for (value, text) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (-1.5, "-1.5"),
            (0.001, "0.001"),
            (0.0001, "1.0E-4"),
            (123_456.789, "123456.789"),
            (1e6, "1000000.0"),
            (1e7, "1.0E7"),
            (1.234_567_89e10, "1.23456789E10"),
            (f64::MAX, "1.7976931348623157E308"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            let mut out = String::new();
            write_double(&mut out, value);
            assert_eq!(out, text);
        }
        let mut out = String::new();
        write_single(&mut out, 0.1);
        assert_eq!(out, "0.1");
    }

    #[test]
    fn texts_read_as_java_reads_them() {
        assert_eq!(parse_double(" 1.5e3 "), Some(1500.0));
        assert_eq!(parse_double("1d"), Some(1.0));
        assert_eq!(parse_double("-Infinity"), Some(f64::NEG_INFINITY));
        for text in ["", "inf", "nan", "abc", "1,5", "-", "0x10"] {
            assert_eq!(parse_double(text), None, "{text}");
        }
    }
}
