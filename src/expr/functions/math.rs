//! Functions on numbers.

use super::Definition::{Expression, Kernel as Bind};
use super::{Bound, Entry, build, signature};
use crate::expr::coerce::{Arithmetic, decimal_round_result, is_integer, is_numeric};
use crate::expr::decimal::{self, divide_half_up, power_of_ten};
use crate::expr::kernel::{Arg, Kernel, KernelError};
use crate::expr::number::{JavaNumber, Number, with_number_type};
use crate::expr::typed::{ExprError, TypedExpr};
use crate::types::{LogicalType, TypeKind};
use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::datatypes::{Decimal128Type, Float64Type, Int64Type};
use datafusion_common::ScalarValue;
use std::sync::Arc;

pub(super) const FUNCTIONS: &[Entry] = &[
    ("ABS", Bind(|args| same_type(args, absolute))),
    ("SIGN", Bind(|args| same_type(args, sign))),
    ("CEIL", Bind(|args| whole(args, true))),
    ("CEILING", Bind(|args| whole(args, true))),
    ("FLOOR", Bind(|args| whole(args, false))),
    ("ROUND", Bind(|args| round(args, true))),
    ("TRUNCATE", Bind(|args| round(args, false))),
    ("MOD", Expression(modulo)),
    ("POWER", Bind(|args| double2(args, f64::powf))),
    ("SQRT", Bind(|args| double1(args, f64::sqrt))),
    ("LN", Bind(|args| double1(args, f64::ln))),
    ("LOG10", Bind(|args| double1(args, f64::log10))),
    ("LOG2", Bind(|args| double1(args, f64::log2))),
    ("LOG", Bind(log)),
    ("EXP", Bind(|args| double1(args, f64::exp))),
    ("SIN", Bind(|args| double1(args, f64::sin))),
    ("COS", Bind(|args| double1(args, f64::cos))),
    ("TAN", Bind(|args| double1(args, f64::tan))),
    ("COT", Bind(|args| double1(args, |x| 1.0 / x.tan()))),
    ("ASIN", Bind(|args| double1(args, f64::asin))),
    ("ACOS", Bind(|args| double1(args, f64::acos))),
    ("ATAN", Bind(|args| double1(args, f64::atan))),
    ("ATAN2", Bind(|args| double2(args, f64::atan2))),
    ("SINH", Bind(|args| double1(args, f64::sinh))),
    ("COSH", Bind(|args| double1(args, f64::cosh))),
    ("TANH", Bind(|args| double1(args, f64::tanh))),
    ("DEGREES", Bind(|args| double1(args, f64::to_degrees))),
    ("RADIANS", Bind(|args| double1(args, f64::to_radians))),
    ("PI", Expression(|args| constant(&args, std::f64::consts::PI))),
    ("E", Expression(|args| constant(&args, std::f64::consts::E))),
];

fn constant(args: &[TypedExpr], value: f64) -> Result<TypedExpr, ExprError> {
    signature(args, "")?;
    Ok(TypedExpr::literal(ScalarValue::Float64(Some(value)), TypeKind::Double))
}

fn modulo(args: Vec<TypedExpr>) -> Result<TypedExpr, ExprError> {
    let found = args.len();
    let [a, b] = args.try_into().map_err(|_| ExprError::new(format!("takes 2 arguments, not {found}")))?;
    TypedExpr::arithmetic(Arithmetic::Modulo, a, b)
}

fn double1(args: &[TypedExpr], f: fn(f64) -> f64) -> Result<Bound, ExprError> {
    let casts = signature(args, "n")?;
    let kernel: Kernel = Arc::new(move |args: &[Arg], rows| {
        let array = args[0].expanded(rows)?;
        Ok(Arc::new(array.as_primitive::<Float64Type>().unary::<_, Float64Type>(f)) as ArrayRef)
    });
    Ok(Bound::new(casts, TypeKind::Double, kernel))
}

fn double2(args: &[TypedExpr], f: fn(f64, f64) -> f64) -> Result<Bound, ExprError> {
    let casts = signature(args, "nn")?;
    let kernel: Kernel = Arc::new(move |args: &[Arg], rows| {
        let (a, b) = (args[0].values::<Float64Type>()?, args[1].values::<Float64Type>()?);
        build::<Float64Type>(rows, |row| Some(f(a.get(row)?, b.get(row)?)))
    });
    Ok(Bound::new(casts, TypeKind::Double, kernel))
}

/// `LOG(x)` is the natural logarithm, `LOG(base, x)` that to a base.
fn log(args: &[TypedExpr]) -> Result<Bound, ExprError> {
    if args.len() == 1 {
        return double1(args, f64::ln);
    }
    double2(args, |base, x| x.ln() / base.ln())
}

fn one_number(args: &[TypedExpr]) -> Result<TypeKind, ExprError> {
    let [arg] = args else { return Err(ExprError::new(format!("takes 1 argument, not {}", args.len()))) };
    number_kind(arg)
}

fn number_kind(arg: &TypedExpr) -> Result<TypeKind, ExprError> {
    match &arg.data_type.kind {
        kind if is_numeric(kind) => Ok(kind.clone()),
        TypeKind::Null => Ok(TypeKind::Int),
        kind => Err(ExprError::new(format!("takes a number, not {}", LogicalType::nullable(kind.clone())))),
    }
}

fn absolute(number: Number) -> Number {
    match number {
        Number::Integer(n) => Number::Integer(n.wrapping_abs()),
        Number::Float(x) => Number::Float(x.abs()),
    }
}

fn sign(number: Number) -> Number {
    match number {
        Number::Integer(n) => Number::Integer(n.signum()),
        Number::Float(x) if x == 0.0 || x.is_nan() => Number::Float(x),
        Number::Float(x) => Number::Float(x.signum()),
    }
}

/// Applies `f` to each number and keeps the type. `None` for types other than the primitive numbers.
fn map_numbers(kind: &TypeKind, array: &ArrayRef, f: impl Fn(Number) -> Number) -> Option<ArrayRef> {
    with_number_type!(kind, T => {
        let apply = |v: <T as ArrowPrimitiveType>::Native| <<T as ArrowPrimitiveType>::Native as JavaNumber>::narrow(f(v.widen()));
        array.as_primitive_opt::<T>().map(|numbers| Arc::new(numbers.unary::<_, T>(apply)) as ArrayRef)
    })
    .flatten()
}

fn no_number() -> KernelError {
    KernelError("expected a number".to_owned())
}

fn same_type(args: &[TypedExpr], f: fn(Number) -> Number) -> Result<Bound, ExprError> {
    let kind = one_number(args)?;
    let result = kind.clone();
    let kernel: Kernel = Arc::new(move |args: &[Arg], rows| {
        let array = args[0].expanded(rows)?;
        match &kind {
            TypeKind::Decimal(p, s) => {
                let one = power_of_ten(*s);
                decimal::map(array.as_ref(), (*p, *s), |v| match f(Number::Integer(-1)) {
                    // ABS maps -1 to 1, SIGN to -1.
                    Number::Integer(1) => Ok(Some(v.wrapping_abs())),
                    _ => Ok(Some(v.signum().wrapping_mul(one)).filter(|v| decimal::fits(*v, *p))),
                })
            }
            kind => map_numbers(kind, &array, f).ok_or_else(no_number),
        }
    });
    Ok(Bound::new(vec![result.clone()], result, kernel))
}

fn whole(args: &[TypedExpr], up: bool) -> Result<Bound, ExprError> {
    let kind = one_number(args)?;
    let result = match kind {
        TypeKind::Decimal(precision, _) => TypeKind::Decimal(precision, 0),
        ref kind => kind.clone(),
    };
    let from = kind.clone();
    let kernel: Kernel = Arc::new(move |args: &[Arg], rows| {
        let array = args[0].expanded(rows)?;
        match &kind {
            TypeKind::Decimal(p, s) => {
                let one = power_of_ten(*s);
                let f = |v: i128| if up { -(-v).div_euclid(one) } else { v.div_euclid(one) };
                decimal::map(array.as_ref(), (*p, 0), |v| Ok(Some(f(v)).filter(|v| decimal::fits(*v, *p))))
            }
            kind => {
                let f = |number| match number {
                    Number::Float(x) => Number::Float(if up { x.ceil() } else { x.floor() }),
                    integer @ Number::Integer(_) => integer,
                };
                map_numbers(kind, &array, f).ok_or_else(no_number)
            }
        }
    });
    Ok(Bound::new(vec![from], result, kernel))
}

/// `value` rounded to `digits` behind the point (before it, if negative).
fn round_decimal(value: i128, scale: u8, digits: i64, half_up: bool) -> Option<i128> {
    let dropped = i64::from(scale) - digits;
    if dropped <= 0 {
        return Some(value);
    }
    if dropped > 38 {
        return Some(0);
    }
    let power = power_of_ten(dropped as u8);
    let rounded = if half_up { divide_half_up(value, power) } else { value / power };
    rounded.checked_mul(power)
}

fn round_double(x: f64, digits: i64, half_up: bool) -> f64 {
    if !x.is_finite() || digits > 308 {
        return x;
    }
    // Java rounds the shortest decimal text of the double, not its binary value: ROUND(2.675, 2) is 2.68.
    let text = format!("{:e}", x.abs());
    let Some((mantissa, exponent)) = text.split_once('e') else { return x };
    let Ok(exponent) = exponent.parse::<i64>() else { return x };
    let digits_of: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let Ok(value) = digits_of.parse::<i128>() else { return x };
    let scale = digits_of.len() as i64 - 1 - exponent;
    let dropped = scale - digits;
    if dropped <= 0 {
        return x;
    }
    if dropped > 38 {
        return 0.0;
    }
    let power = power_of_ten(dropped as u8);
    let kept = if half_up { divide_half_up(value, power) } else { value / power };
    let rounded = format!("{kept}e{}", -digits).parse().unwrap_or(x);
    // There is no -0.0 among decimals, through which Flink goes.
    if x < 0.0 && rounded != 0.0 { -rounded } else { rounded }
}

fn round(args: &[TypedExpr], half_up: bool) -> Result<Bound, ExprError> {
    if args.is_empty() || args.len() > 2 {
        return Err(ExprError::new(format!("takes 1 to 2 arguments, not {}", args.len())));
    }
    let kind = number_kind(&args[0])?;
    let fixed = match args.get(1) {
        None => Some(0),
        Some(digits) if is_integer(&digits.data_type.kind) || digits.data_type.kind == TypeKind::Null => {
            match digits.clone().cast(&TypeKind::BigInt, false)?.as_literal() {
                Some(ScalarValue::Int64(digits)) => Some(digits.unwrap_or(0)),
                _ => None,
            }
        }
        Some(digits) => {
            let found = LogicalType::nullable(digits.data_type.kind.clone());
            return Err(ExprError::new(format!("argument 2 must be INT, not {found}")));
        }
    };
    let result = match (&kind, fixed) {
        (TypeKind::Decimal(p, s), Some(digits)) => {
            let (p, s) = decimal_round_result((*p, *s), digits);
            TypeKind::Decimal(p, s)
        }
        _ => kind.clone(),
    };
    let (from, to) = (kind.clone(), result.clone());
    let kernel: Kernel = Arc::new(move |args: &[Arg], rows| {
        let array = args[0].expanded(rows)?;
        let digits = match args.get(1) {
            Some(digits) => digits.expanded(rows)?,
            None => Arc::new(PrimitiveArray::<Int64Type>::from_value(0, rows)),
        };
        let digits = digits.as_primitive::<Int64Type>();
        round_rows(&from, &to, &array, digits, half_up)
    });
    let bound = Bound::new(vec![kind, TypeKind::BigInt], result, kernel);
    Ok(if matches!(bound.returns, TypeKind::Decimal(..)) { bound.nullable() } else { bound })
}

fn round_rows(
    from: &TypeKind,
    to: &TypeKind,
    array: &ArrayRef,
    digits: &PrimitiveArray<Int64Type>,
    half_up: bool,
) -> Result<ArrayRef, KernelError> {
    let digits_of = |row: usize| digits.is_valid(row).then(|| digits.value(row));
    match (from, to) {
        (TypeKind::Decimal(_, s), TypeKind::Decimal(p, to_scale)) => {
            let decimals = array.as_primitive::<Decimal128Type>();
            let rows = 0..decimals.len();
            let rounded = rows.map(|row| {
                let value = round_decimal(decimals.is_valid(row).then(|| decimals.value(row))?, *s, digits_of(row)?, half_up)?;
                decimal::rescale(value, *s, *to_scale, *p)
            });
            decimal::finish(rounded.collect(), *p, *to_scale)
        }
        (kind, _) => with_number_type!(kind, T => {
            let numbers = array.as_primitive::<T>();
            build::<T>(numbers.len(), |row| {
                let value = numbers.is_valid(row).then(|| numbers.value(row))?;
                let digits = digits_of(row)?;
                Some(JavaNumber::narrow(match value.widen() {
                    Number::Integer(n) => Number::Integer(round_decimal(i128::from(n), 0, digits, half_up)? as i64),
                    Number::Float(x) => Number::Float(round_double(x, digits, half_up)),
                }))
            })
        })
        .unwrap_or_else(|| Err(no_number())),
    }
}
