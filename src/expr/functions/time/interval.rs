//! Moments and intervals: what is added and subtracted, and moments rounded to units.

use super::super::build;
use super::{Unit, is_moment, moment_kind};
use crate::expr::civil::{self, DAY_SECONDS, Day, Moments};
use crate::expr::coerce::{Arithmetic, is_integer};
use crate::expr::kernel::{Arg, Kernel, KernelError};
use crate::expr::typed::{Call, ExprError, Style, TypedExpr};
use crate::types::{LogicalType, TypeKind};
use arrow::datatypes::{DataType, Int32Type, Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType};
use datafusion_common::ScalarValue;
use std::sync::Arc;

/// `count` units later: `None` beyond the range of the type.
fn shift(count: i64, per_second: i64, months: i64, nanos: i64) -> Option<i64> {
    let moved = if months == 0 {
        count
    } else {
        let (days, second, rest) = civil::split(count, per_second);
        civil::join(Day::from_epoch(days).plus_months(months).to_epoch(), second, rest, per_second)?
    };
    moved.checked_add(nanos.div_euclid(1_000_000_000 / per_second))
}

/// A kernel that moves moments of `kind` by intervals.
fn shift_kernel(kind: TypeKind, negate: bool) -> Kernel {
    let target = LogicalType::nullable(kind).to_arrow();
    Arc::new(move |args: &[Arg], rows| {
        let moments = Moments::new(&args[0])?;
        let intervals = args[1].values::<IntervalMonthDayNanoType>()?;
        let mut values = Vec::with_capacity(rows);
        for row in 0..rows {
            let (Some(count), Some(interval)) = (moments.get(row), intervals.get(row)) else {
                values.push(None);
                continue;
            };
            let nanos = i128::from(interval.days) * i128::from(DAY_SECONDS) * 1_000_000_000 + i128::from(interval.nanoseconds);
            let months = i64::from(interval.months);
            let (months, nanos) = if negate { (-months, -nanos) } else { (months, nanos) };
            let moved = i64::try_from(nanos).ok().and_then(|nanos| shift(count, moments.per_second, months, nanos));
            let moved = moved.ok_or_else(|| KernelError("the timestamp is out of range".to_owned()))?;
            values.push(Some(match target {
                DataType::Date32 => moved.div_euclid(DAY_SECONDS),
                DataType::Time32(_) => moved.rem_euclid(DAY_SECONDS * 1_000),
                _ => moved,
            }));
        }
        civil::array_of(&target, values)
    })
}

/// `moment ± interval`, `interval ± interval`, `interval * number`; `None` if there is no interval.
pub fn interval_arithmetic(op: Arithmetic, left: &TypedExpr, right: &TypedExpr) -> Result<Option<TypedExpr>, ExprError> {
    let (l, r) = (&left.data_type.kind, &right.data_type.kind);
    if *l != TypeKind::Interval && *r != TypeKind::Interval {
        return Ok(None);
    }
    let refuse = || {
        let (a, b) = (LogicalType::nullable(l.clone()), LogicalType::nullable(r.clone()));
        Err(ExprError::new(format!("{} cannot be applied to {a} and {b}", op.symbol())))
    };
    let (moment, interval, negate) = match op {
        Arithmetic::Add if *l == TypeKind::Interval && is_moment(r) => (right, left, false),
        Arithmetic::Add if is_moment(l) => (left, right, false),
        Arithmetic::Subtract if is_moment(l) => (left, right, true),
        Arithmetic::Add | Arithmetic::Subtract if l == r => return Ok(Some(combine(op, left, right))),
        Arithmetic::Multiply if *l == TypeKind::Interval && is_integer(r) => return scale(left, right).map(Some),
        Arithmetic::Multiply if is_integer(l) => return scale(right, left).map(Some),
        _ => return refuse(),
    };
    if moment.data_type.kind == TypeKind::Null {
        return refuse();
    }
    let kind = moment.data_type.kind.clone();
    if kind == TypeKind::Date && !interval.as_literal().is_some_and(is_whole_days) {
        return Err(ExprError::new("a DATE can only be moved by whole days, months or years").hint("CAST it to TIMESTAMP(3)"));
    }
    let nullable = moment.data_type.nullable || interval.data_type.nullable;
    let kernel = shift_kernel(kind.clone(), negate);
    let name = op.symbol();
    let call = Call { name, style: Style::Infix, kernel, args: vec![moment.clone(), interval.clone()], fallible: true };
    Ok(Some(TypedExpr::call(call, LogicalType { kind, nullable })))
}

fn is_whole_days(value: &ScalarValue) -> bool {
    match value {
        ScalarValue::IntervalMonthDayNano(Some(interval)) => interval.nanoseconds % (DAY_SECONDS * 1_000_000_000) == 0,
        _ => true,
    }
}

fn combine(op: Arithmetic, left: &TypedExpr, right: &TypedExpr) -> TypedExpr {
    let subtract = op == Arithmetic::Subtract;
    let kernel: Kernel = Arc::new(move |args: &[Arg], rows| {
        let (a, b) = (args[0].values::<IntervalMonthDayNanoType>()?, args[1].values::<IntervalMonthDayNanoType>()?);
        build::<IntervalMonthDayNanoType>(rows, |row| {
            let (a, b) = (a.get(row)?, b.get(row)?);
            Some(if subtract {
                let nanos = a.nanoseconds.saturating_sub(b.nanoseconds);
                IntervalMonthDayNano::new(a.months.saturating_sub(b.months), a.days.saturating_sub(b.days), nanos)
            } else {
                let nanos = a.nanoseconds.saturating_add(b.nanoseconds);
                IntervalMonthDayNano::new(a.months.saturating_add(b.months), a.days.saturating_add(b.days), nanos)
            })
        })
    });
    TypedExpr::simple(op.symbol(), Style::Infix, kernel, vec![left.clone(), right.clone()], TypeKind::Interval)
}

fn scale(interval: &TypedExpr, factor: &TypedExpr) -> Result<TypedExpr, ExprError> {
    let factor = factor.clone().cast(&TypeKind::BigInt, false)?;
    let kernel: Kernel = Arc::new(|args: &[Arg], rows| {
        let (intervals, factors) = (args[0].values::<IntervalMonthDayNanoType>()?, args[1].values::<Int64Type>()?);
        build::<IntervalMonthDayNanoType>(rows, |row| {
            let (interval, factor) = (intervals.get(row)?, factors.get(row)?);
            let months = i64::from(interval.months).saturating_mul(factor).clamp(i64::from(i32::MIN), i64::from(i32::MAX));
            Some(IntervalMonthDayNano::new(months as i32, interval.days, interval.nanoseconds.saturating_mul(factor)))
        })
    });
    Ok(TypedExpr::simple("*", Style::Infix, kernel, vec![interval.clone(), factor], TypeKind::Interval))
}

/// `TIMESTAMPADD(unit, count, moment)`
pub fn timestamp_add(unit: Unit, count: TypedExpr, moment: TypedExpr) -> Result<TypedExpr, ExprError> {
    if !is_integer(&count.data_type.kind) {
        let found = LogicalType::nullable(count.data_type.kind);
        return Err(ExprError::new(format!("TIMESTAMPADD: argument 2 must be INT, not {found}")));
    }
    let kind = match moment_kind(&moment)? {
        // Hours move a DATE to a TIMESTAMP.
        TypeKind::Date if unit.nanos().is_some_and(|n| n % (DAY_SECONDS * 1_000_000_000) != 0) => TypeKind::Timestamp(6),
        kind => kind,
    };
    let (months, nanos) = (unit.months().unwrap_or(0), unit.nanos());
    if months == 0 && nanos.is_none() {
        return Err(ExprError::new(format!("TIMESTAMPADD does not take {}", unit.name())));
    }
    let moment = moment.implicit_cast(&kind)?;
    let target = LogicalType::nullable(kind.clone()).to_arrow();
    let kernel: Kernel = Arc::new(move |args: &[Arg], rows| {
        let counts = args[0].values::<Int64Type>()?;
        let moments = Moments::new(&args[1])?;
        let mut values = Vec::with_capacity(rows);
        for row in 0..rows {
            let (Some(count), Some(from)) = (counts.get(row), moments.get(row)) else {
                values.push(None);
                continue;
            };
            let moved = match nanos {
                Some(nanos) => move_nanos(from, moments.per_second, count, nanos),
                None => count.checked_mul(months).and_then(|months| shift(from, moments.per_second, months, 0)),
            };
            let moved = moved.ok_or_else(|| KernelError("TIMESTAMPADD: the timestamp is out of range".to_owned()))?;
            values.push(Some(if target == DataType::Date32 { moved.div_euclid(DAY_SECONDS) } else { moved }));
        }
        civil::array_of(&target, values)
    });
    let nullable = count.data_type.nullable || moment.data_type.nullable;
    let args = vec![count.cast(&TypeKind::BigInt, false)?, moment];
    Ok(TypedExpr::call(Call { name: "TIMESTAMPADD", style: Style::Function, kernel, args, fallible: true }, LogicalType { kind, nullable }))
}

fn move_nanos(from: i64, per_second: i64, count: i64, nanos: i64) -> Option<i64> {
    let moved = i128::from(count) * i128::from(nanos);
    let units = moved.div_euclid(i128::from(1_000_000_000 / per_second));
    from.checked_add(i64::try_from(units).ok()?)
}

/// `TIMESTAMPDIFF(unit, from, to)`: whole units, towards zero.
pub fn timestamp_diff(unit: Unit, from: TypedExpr, to: TypedExpr) -> Result<TypedExpr, ExprError> {
    let (a, b) = (moment_kind(&from)?, moment_kind(&to)?);
    let (months, nanos) = (unit.months(), unit.nanos());
    if months.is_none() && nanos.is_none() {
        return Err(ExprError::new(format!("TIMESTAMPDIFF does not take {}", unit.name())));
    }
    let kernel: Kernel = Arc::new(move |args: &[Arg], rows| {
        let (from, to) = (Moments::new(&args[0])?, Moments::new(&args[1])?);
        build::<Int32Type>(rows, |row| {
            let (a, b) = (from.split(from.get(row)?), to.split(to.get(row)?));
            let difference = match (months, nanos) {
                (Some(months), _) => whole_months(a, b) / months,
                (None, nanos) => {
                    let all = |(days, second, nanos): (i64, i64, i64)| {
                        (i128::from(days) * i128::from(DAY_SECONDS) + i128::from(second)) * 1_000_000_000 + i128::from(nanos)
                    };
                    ((all(b) - all(a)) / i128::from(nanos.unwrap_or(1))) as i64
                }
            };
            Some(difference as i32)
        })
    });
    let args = vec![from.implicit_cast(&a)?, to.implicit_cast(&b)?];
    Ok(TypedExpr::simple("TIMESTAMPDIFF", Style::Function, kernel, args, TypeKind::Int))
}

/// Whole months from `a` to `b`, towards zero.
fn whole_months(a: (i64, i64, i64), b: (i64, i64, i64)) -> i64 {
    if a > b {
        return -whole_months(b, a);
    }
    let (from, to) = (Day::from_epoch(a.0), Day::from_epoch(b.0));
    let months = (to.year - from.year) * 12 + i64::from(to.month) - i64::from(from.month);
    // The last day of a shorter month completes it: from 31 January to 29 February is one month.
    let complete = (b.0, b.1, b.2) >= (from.plus_months(months).to_epoch(), a.1, a.2);
    if complete { months } else { months - 1 }
}

/// `FLOOR(moment TO unit)` and `CEIL(moment TO unit)`
pub fn round_to(unit: Unit, moment: TypedExpr, up: bool) -> Result<TypedExpr, ExprError> {
    let kind = moment_kind(&moment)?;
    if unit.months().is_none() && unit.nanos().is_none() {
        return Err(ExprError::new(format!("FLOOR and CEIL do not take {}", unit.name())));
    }
    let moment = moment.implicit_cast(&kind)?;
    let target = LogicalType::nullable(kind.clone()).to_arrow();
    let kernel: Kernel = Arc::new(move |args: &[Arg], rows| {
        let moments = Moments::new(&args[0])?;
        let per_second = moments.per_second;
        let values = (0..rows).map(|row| {
            let count = moments.get(row)?;
            let down = floor_to(unit, count, per_second)?;
            let rounded = if up && down < count { next_after(unit, down, per_second)? } else { down };
            Some(if target == DataType::Date32 { rounded.div_euclid(DAY_SECONDS) } else { rounded })
        });
        civil::array_of(&target, values.collect())
    });
    let name = if up { "CEIL" } else { "FLOOR" };
    let mut made = TypedExpr::simple(name, Style::Function, kernel, vec![moment], kind);
    made.data_type.nullable |= unit.months().is_some();
    Ok(made)
}

fn floor_to(unit: Unit, count: i64, per_second: i64) -> Option<i64> {
    if let Some(months) = unit.months() {
        let (days, ..) = civil::split(count, per_second);
        let day = Day::from_epoch(days);
        let month = day.year * 12 + i64::from(day.month) - 1;
        // Centuries and millennia begin with year 1.
        let offset = if months >= 1_200 { 12 } else { 0 };
        let first = (month - offset).div_euclid(months) * months + offset;
        let first = Day { year: first.div_euclid(12), month: first.rem_euclid(12) as u32 + 1, day: 1 };
        return civil::join(first.to_epoch(), 0, 0, per_second);
    }
    let units = units_of(unit, per_second)?;
    // Weeks begin on Sunday; 1970-01-01 was a Thursday.
    let offset = if unit == Unit::Week { -4 * DAY_SECONDS * per_second } else { 0 };
    Some((count - offset).div_euclid(units) * units + offset)
}

fn units_of(unit: Unit, per_second: i64) -> Option<i64> {
    let nanos = unit.nanos()?;
    Some((i128::from(nanos) * i128::from(per_second) / 1_000_000_000).max(1) as i64)
}

fn next_after(unit: Unit, down: i64, per_second: i64) -> Option<i64> {
    match unit.months() {
        Some(months) => shift(down, per_second, months, 0),
        None => down.checked_add(units_of(unit, per_second)?),
    }
}

/// An interval literal of `count` units.
pub fn interval(months: i32, nanos: i64) -> TypedExpr {
    let value = IntervalMonthDayNano::new(months, 0, nanos);
    TypedExpr::literal(ScalarValue::IntervalMonthDayNano(Some(value)), TypeKind::Interval)
}

/// As Flink's plans show it: milliseconds or months, `4000:INTERVAL SECOND`.
pub fn interval_text(value: &ScalarValue) -> String {
    match value {
        ScalarValue::IntervalMonthDayNano(Some(i)) if i.months != 0 => format!("{}:INTERVAL MONTH", i.months),
        ScalarValue::IntervalMonthDayNano(Some(i)) => format!("{}:INTERVAL SECOND", i.nanoseconds / 1_000_000),
        other => other.to_string(),
    }
}
