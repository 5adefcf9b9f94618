//! Functions on dates and timestamps. `TIMESTAMP_LTZ` is read and shown in UTC.

mod interval;

pub use interval::{interval, interval_arithmetic, interval_text, round_to, timestamp_add, timestamp_diff};

use super::Definition::{Expression, Kernel as Bind};
use super::{Bound, Entry, build, build_text, signature};
use crate::expr::civil::{self, DAY_SECONDS, Day, Moments};
use crate::expr::coerce::{is_integer, is_numeric, is_text, is_timestamp};
use crate::expr::kernel::{Arg, Kernel, KernelError, KernelResult};
use crate::expr::pattern::TimePattern;
use crate::expr::typed::{Call, ExprError, Style, TypedExpr};
use crate::types::{LogicalType, TypeKind};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion_common::ScalarValue;
use std::sync::Arc;

pub(super) const FUNCTIONS: &[Entry] = &[
    ("YEAR", Bind(|args| field(args, Unit::Year))),
    ("QUARTER", Bind(|args| field(args, Unit::Quarter))),
    ("MONTH", Bind(|args| field(args, Unit::Month))),
    ("WEEK", Bind(|args| field(args, Unit::Week))),
    ("DAYOFYEAR", Bind(|args| field(args, Unit::DayOfYear))),
    ("DAYOFMONTH", Bind(|args| field(args, Unit::Day))),
    ("DAYOFWEEK", Bind(|args| field(args, Unit::DayOfWeek))),
    ("HOUR", Bind(|args| field(args, Unit::Hour))),
    ("MINUTE", Bind(|args| field(args, Unit::Minute))),
    ("SECOND", Bind(|args| field(args, Unit::Second))),
    ("DATE_FORMAT", Bind(date_format)),
    ("TO_TIMESTAMP", Bind(to_timestamp)),
    ("TO_TIMESTAMP_LTZ", Bind(to_timestamp_ltz)),
    ("TO_DATE", Bind(to_date)),
    ("UNIX_TIMESTAMP", Bind(unix_timestamp)),
    ("FROM_UNIXTIME", Bind(from_unixtime)),
    ("CURRENT_TIMESTAMP", Expression(|args| now(&args))),
    ("CURRENT_ROW_TIMESTAMP", Expression(|args| now(&args))),
    ("NOW", Expression(|args| now(&args))),
    ("PROCTIME", Expression(|args| now(&args))),
    ("LOCALTIMESTAMP", Expression(|args| now(&args)?.cast(&TypeKind::Timestamp(3), false))),
    ("CURRENT_DATE", Expression(|args| now(&args)?.cast(&TypeKind::Date, false))),
];

/// The units of EXTRACT, FLOOR, TIMESTAMPADD and TIMESTAMPDIFF.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are SQL's")]
pub enum Unit {
    Millennium,
    Century,
    Decade,
    Year,
    Quarter,
    Month,
    Week,
    Day,
    DayOfWeek,
    IsoDayOfWeek,
    DayOfYear,
    IsoYear,
    Hour,
    Minute,
    Second,
    Millisecond,
    Microsecond,
    Nanosecond,
    Epoch,
}

impl Unit {
    /// The unit of this name, as EXTRACT and TIMESTAMPADD write it.
    pub fn parse(name: &str) -> Option<Self> {
        let name = name.to_ascii_uppercase();
        Some(match name.strip_prefix("SQL_TSI_").unwrap_or(&name) {
            "MILLENNIUM" => Self::Millennium,
            "CENTURY" => Self::Century,
            "DECADE" => Self::Decade,
            "YEAR" | "YEARS" => Self::Year,
            "QUARTER" | "QUARTERS" => Self::Quarter,
            "MONTH" | "MONTHS" => Self::Month,
            "WEEK" | "WEEKS" => Self::Week,
            "DAY" | "DAYS" => Self::Day,
            "DOW" => Self::DayOfWeek,
            "ISODOW" => Self::IsoDayOfWeek,
            "DOY" => Self::DayOfYear,
            "ISOYEAR" => Self::IsoYear,
            "HOUR" | "HOURS" => Self::Hour,
            "MINUTE" | "MINUTES" => Self::Minute,
            "SECOND" | "SECONDS" => Self::Second,
            "MILLISECOND" | "MILLISECONDS" => Self::Millisecond,
            "MICROSECOND" | "MICROSECONDS" => Self::Microsecond,
            "NANOSECOND" | "NANOSECONDS" => Self::Nanosecond,
            "EPOCH" => Self::Epoch,
            _ => return None,
        })
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Millennium => "MILLENNIUM",
            Self::Century => "CENTURY",
            Self::Decade => "DECADE",
            Self::Year => "YEAR",
            Self::Quarter => "QUARTER",
            Self::Month => "MONTH",
            Self::Week => "WEEK",
            Self::Day => "DAY",
            Self::DayOfWeek => "DOW",
            Self::IsoDayOfWeek => "ISODOW",
            Self::DayOfYear => "DOY",
            Self::IsoYear => "ISOYEAR",
            Self::Hour => "HOUR",
            Self::Minute => "MINUTE",
            Self::Second => "SECOND",
            Self::Millisecond => "MILLISECOND",
            Self::Microsecond => "MICROSECOND",
            Self::Nanosecond => "NANOSECOND",
            Self::Epoch => "EPOCH",
        }
    }

    /// Months, for units of the calendar.
    const fn months(self) -> Option<i64> {
        match self {
            Self::Millennium => Some(12_000),
            Self::Century => Some(1_200),
            Self::Decade => Some(120),
            Self::Year => Some(12),
            Self::Quarter => Some(3),
            Self::Month => Some(1),
            _ => None,
        }
    }

    /// Nanoseconds, for units of fixed length.
    const fn nanos(self) -> Option<i64> {
        const SECOND: i64 = 1_000_000_000;
        match self {
            Self::Week => Some(7 * DAY_SECONDS * SECOND),
            Self::Day => Some(DAY_SECONDS * SECOND),
            Self::Hour => Some(3_600 * SECOND),
            Self::Minute => Some(60 * SECOND),
            Self::Second => Some(SECOND),
            Self::Millisecond => Some(1_000_000),
            Self::Microsecond => Some(1_000),
            Self::Nanosecond => Some(1),
            _ => None,
        }
    }

    /// The field of a moment, as EXTRACT gives it.
    fn of(self, (days, second, nanos): (i64, i64, i64)) -> i64 {
        let day = || Day::from_epoch(days);
        let centuries = |span: i64| {
            let year = day().year;
            if year > 0 { (year + span - 1) / span } else { (year - span + 1) / span }
        };
        match self {
            Self::Millennium => centuries(1_000),
            Self::Century => centuries(100),
            Self::Decade => day().year.div_euclid(10),
            Self::Year => day().year,
            Self::Quarter => (i64::from(day().month) + 2) / 3,
            Self::Month => i64::from(day().month),
            Self::Week => day().iso_week().0,
            Self::IsoYear => day().iso_week().1,
            Self::Day => i64::from(day().day),
            // Sunday is 1.
            Self::DayOfWeek => (days + 4).rem_euclid(7) + 1,
            Self::IsoDayOfWeek => day().iso_weekday(),
            Self::DayOfYear => day().of_year(),
            Self::Hour => second / 3_600,
            Self::Minute => second / 60 % 60,
            Self::Second => second % 60,
            // Of the second, not of the minute as in the standard.
            Self::Millisecond => nanos / 1_000_000,
            Self::Microsecond => nanos / 1_000,
            Self::Nanosecond => nanos,
            Self::Epoch => days.saturating_mul(DAY_SECONDS).saturating_add(second),
        }
    }
}

fn is_moment(kind: &TypeKind) -> bool {
    is_timestamp(kind) || matches!(kind, TypeKind::Date | TypeKind::Time | TypeKind::Null)
}

fn moment_kind(arg: &TypedExpr) -> Result<TypeKind, ExprError> {
    match &arg.data_type.kind {
        TypeKind::Null => Ok(TypeKind::Timestamp(3)),
        kind if is_moment(kind) => Ok(kind.clone()),
        kind => {
            let error = ExprError::new(format!("takes a date or timestamp, not {}", LogicalType::nullable(kind.clone())));
            Err(if is_text(kind) { error.hint("CAST it, or TO_TIMESTAMP") } else { error })
        }
    }
}

fn field(args: &[TypedExpr], unit: Unit) -> Result<Bound, ExprError> {
    let [arg] = args else { return Err(ExprError::new(format!("takes 1 argument, not {}", args.len()))) };
    let kind = moment_kind(arg)?;
    if kind == TypeKind::Time && unit.nanos().is_none_or(|nanos| nanos >= DAY_SECONDS * 1_000_000_000) {
        return Err(ExprError::new(format!("a TIME has no {}", unit.name())));
    }
    let kernel: Kernel = Arc::new(move |args: &[Arg], rows| {
        let moments = Moments::new(&args[0])?;
        build::<Int64Type>(rows, |row| Some(unit.of(moments.split(moments.get(row)?))))
    });
    Ok(Bound::new(vec![kind], TypeKind::BigInt, kernel))
}

/// `EXTRACT(unit FROM moment)`
pub fn extract(unit: Unit, moment: TypedExpr) -> Result<TypedExpr, ExprError> {
    let bound = field(std::slice::from_ref(&moment), unit)?;
    let cast = moment.implicit_cast(&bound.casts[0])?;
    let call = Call { name: extract_name(unit), style: Style::Function, kernel: bound.kernel, args: vec![cast], fallible: false };
    let nullable = call.args[0].data_type.nullable;
    Ok(TypedExpr::call(call, LogicalType { kind: TypeKind::BigInt, nullable }))
}

const fn extract_name(unit: Unit) -> &'static str {
    match unit {
        Unit::Day => "DAYOFMONTH",
        Unit::DayOfWeek => "DAYOFWEEK",
        Unit::DayOfYear => "DAYOFYEAR",
        other => other.name(),
    }
}

/// A pattern: the constant one compiled once, others as they come.
struct Patterns {
    fixed: Option<TimePattern>,
    default: bool,
}

const DEFAULT_PATTERN: &str = "yyyy-MM-dd HH:mm:ss";

impl Patterns {
    fn new(pattern: Option<&TypedExpr>) -> Result<Self, ExprError> {
        let text = match pattern {
            None => Some(DEFAULT_PATTERN),
            Some(expr) => expr.as_text(),
        };
        let fixed = text.map(TimePattern::new).transpose().map_err(|e| ExprError::new(e.to_string()))?;
        Ok(Self { fixed, default: pattern.is_none() })
    }

    fn get<'p>(
        &'p self,
        arg: Option<&Arg>,
        row: usize,
        last: &'p mut Option<(String, TimePattern)>,
    ) -> Result<Option<&'p TimePattern>, KernelError> {
        if let Some(arg) = arg.filter(|_| !self.default)
            && arg.is_null(row)
        {
            return Ok(None);
        }
        if let Some(fixed) = &self.fixed {
            return Ok(Some(fixed));
        }
        let Some(text) = arg.map(Arg::strings).transpose()?.and_then(|texts| texts.get(row)) else { return Ok(None) };
        if last.as_ref().is_none_or(|(known, _)| known != text) {
            *last = Some((text.to_owned(), TimePattern::new(text).map_err(|e| KernelError(e.to_string()))?));
        }
        Ok(last.as_ref().map(|(_, pattern)| pattern))
    }
}

/// Writes moments with a pattern; a text that was already written for the same moment is reused.
fn format_rows(moments: &Moments, patterns: &Patterns, pattern: Option<&Arg>, rows: usize) -> KernelResult {
    let mut last_pattern = None;
    let mut failed = None;
    let mut written: Option<((i64, i64, i64), String)> = None;
    let built = build_text(rows, |row, out| {
        let moment = moments.split(moments.get(row)?);
        let pattern = match patterns.get(pattern, row, &mut last_pattern) {
            Ok(pattern) => pattern?,
            Err(error) => {
                failed = Some(error);
                return None;
            }
        };
        if patterns.fixed.is_none() {
            pattern.write(out, moment);
            return Some(());
        }
        let shown = if pattern.shows_days_only() { (moment.0, 0, 0) } else { moment };
        match &written {
            Some((same, text)) if *same == shown => out.push_str(text),
            _ => {
                pattern.write(out, shown);
                written = Some((shown, out.clone()));
            }
        }
        Some(())
    });
    failed.map_or(built, Err)
}

fn date_format(args: &[TypedExpr]) -> Result<Bound, ExprError> {
    let [moment, pattern] = args else { return Err(ExprError::new(format!("takes 2 arguments, not {}", args.len()))) };
    let is_text = is_text(&moment.data_type.kind);
    let kind = if is_text { TypeKind::String } else { moment_kind(moment)? };
    if matches!(kind, TypeKind::Date | TypeKind::Time) {
        let found = LogicalType::nullable(kind);
        return Err(ExprError::new(format!("takes a TIMESTAMP, not {found}")).hint("CAST it to TIMESTAMP(3)"));
    }
    signature(std::slice::from_ref(pattern), "s")?;
    let patterns = Patterns::new(Some(pattern))?;
    let fallible = patterns.fixed.is_none();
    let kernel: Kernel = Arc::new(move |args: &[Arg], rows| {
        let moments = if is_text { read_moments(&args[0], rows)? } else { Moments::new(&args[0])? };
        format_rows(&moments, &patterns, args.get(1), rows)
    });
    let bound = Bound::new(vec![kind, TypeKind::String], TypeKind::String, kernel);
    let bound = if is_text { bound.nullable() } else { bound };
    Ok(if fallible { bound.fallible() } else { bound })
}

/// Texts as timestamps; NULL for those that are none.
fn read_moments(texts: &Arg, rows: usize) -> Result<Moments, KernelError> {
    let texts = texts.strings()?;
    let target = LogicalType::nullable(TypeKind::Timestamp(3)).to_arrow();
    let read = |row| {
        let (days, second, nanos) = civil::parse_timestamp(texts.get(row)?)?;
        civil::join(days, second, nanos, civil::unit_of(&target))
    };
    let array = civil::array_of(&target, (0..rows).map(read).collect())?;
    Moments::new(&Arg { array, scalar: false })
}

/// As CAST reads it; but a day that the month does not have is its last one, as `java.time` resolves it.
fn read_timestamp(text: &str) -> Option<(i64, i64, i64)> {
    civil::parse_timestamp(text).or_else(|| {
        let text = text.trim();
        let (date, time) = text.split_at(text.find(' ').unwrap_or(text.len()));
        let (month, day) = date.rsplit_once('-')?;
        let day = day.parse::<u8>().ok().filter(|day| (29..=31).contains(day))?;
        (28..day).rev().find_map(|day| civil::parse_timestamp(&format!("{month}-{day}{time}")))
    })
}

/// Reads texts with a pattern into `kind`; what does not follow the pattern is NULL.
fn parse_rows(args: &[TypedExpr], kind: TypeKind, free: fn(&str) -> Option<(i64, i64, i64)>) -> Result<Bound, ExprError> {
    let casts = signature(args, "s[s")?;
    let patterns = Patterns::new(args.get(1))?;
    let target = LogicalType::nullable(kind.clone()).to_arrow();
    let kernel: Kernel = Arc::new(move |args: &[Arg], rows| {
        let texts = args[0].strings()?;
        let mut last = None;
        let mut values = Vec::with_capacity(rows);
        for row in 0..rows {
            let Some(text) = texts.get(row) else {
                values.push(None);
                continue;
            };
            let read = match args.get(1) {
                None => free(text),
                pattern => patterns.get(pattern, row, &mut last)?.and_then(|pattern| pattern.read(text)),
            };
            values.push(read.and_then(|(days, second, nanos)| match target {
                DataType::Date32 => Some(days),
                _ => civil::join(days, second, nanos, civil::unit_of(&target)),
            }));
        }
        civil::array_of(&target, values)
    });
    Ok(Bound::new(casts, kind, kernel).nullable())
}

fn to_timestamp(args: &[TypedExpr]) -> Result<Bound, ExprError> {
    parse_rows(args, TypeKind::Timestamp(3), read_timestamp)
}

fn to_date(args: &[TypedExpr]) -> Result<Bound, ExprError> {
    parse_rows(args, TypeKind::Date, |text| civil::parse_date(text).map(|days| (days, 0, 0)))
}

fn to_timestamp_ltz(args: &[TypedExpr]) -> Result<Bound, ExprError> {
    let Some(first) = args.first() else { return Err(ExprError::new("takes 1 to 2 arguments, not 0")) };
    if is_text(&first.data_type.kind) {
        return parse_rows(args, TypeKind::TimestampLtz(3), civil::parse_timestamp);
    }
    signature(&args[1..], "[i")?;
    let precision = match args.get(1).map(|p| p.clone().cast(&TypeKind::BigInt, false)).transpose()? {
        None => 3,
        Some(precision) => match precision.as_literal() {
            Some(ScalarValue::Int64(Some(n @ (0 | 3)))) => *n,
            _ => return Err(ExprError::new("the precision must be 0 (seconds) or 3 (milliseconds)")),
        },
    };
    if !is_numeric(&first.data_type.kind) && first.data_type.kind != TypeKind::Null {
        let found = LogicalType::nullable(first.data_type.kind.clone());
        return Err(ExprError::new(format!("takes a number or STRING, not {found}")));
    }
    let factor = if precision == 0 { 1_000.0 } else { 1.0 };
    let integers = is_integer(&first.data_type.kind);
    let target = LogicalType::nullable(TypeKind::TimestampLtz(3)).to_arrow();
    let kernel: Kernel = Arc::new(move |args: &[Arg], rows| {
        let values = if integers {
            let counts = args[0].values::<Int64Type>()?;
            (0..rows).map(|row| counts.get(row)?.checked_mul(factor as i64)).collect()
        } else {
            let counts = args[0].values::<Float64Type>()?;
            (0..rows).map(|row| counts.get(row).map(|x| (x * factor) as i64)).collect()
        };
        civil::array_of(&target, values)
    });
    let count = if integers { TypeKind::BigInt } else { TypeKind::Double };
    Ok(Bound::new(vec![count, TypeKind::BigInt], TypeKind::TimestampLtz(3), kernel).nullable())
}

fn unix_timestamp(args: &[TypedExpr]) -> Result<Bound, ExprError> {
    if args.is_empty() {
        return Err(ExprError::new("without arguments is not supported yet").hint("use NOW()"));
    }
    let casts = signature(args, "s[s")?;
    let patterns = Patterns::new(args.get(1))?;
    let kernel: Kernel = Arc::new(move |args: &[Arg], rows| {
        let texts = args[0].strings()?;
        let mut last = None;
        let mut failed = None;
        let built = build::<Int64Type>(rows, |row| {
            let text = texts.get(row)?;
            match patterns.get(args.get(1), row, &mut last) {
                // Flink gives the smallest BIGINT for what it cannot read.
                Ok(pattern) => Some(pattern?.read(text).map_or(i64::MIN, |(days, second, _)| days * DAY_SECONDS + second)),
                Err(error) => {
                    failed = Some(error);
                    None
                }
            }
        });
        failed.map_or(built, Err)
    });
    Ok(Bound::new(casts, TypeKind::BigInt, kernel).fallible())
}

fn from_unixtime(args: &[TypedExpr]) -> Result<Bound, ExprError> {
    let casts = signature(args, "i[s")?;
    let patterns = Patterns::new(args.get(1))?;
    let kernel: Kernel = Arc::new(move |args: &[Arg], rows| {
        let seconds = args[0].values::<Int64Type>()?;
        let values = (0..rows).map(|row| seconds.get(row)).collect();
        let stamps = civil::array_of(&DataType::Timestamp(arrow::datatypes::TimeUnit::Second, None), values)?;
        let moments = Moments::new(&Arg { array: stamps, scalar: false })?;
        format_rows(&moments, &patterns, args.get(1), rows)
    });
    Ok(Bound::new(casts, TypeKind::String, kernel).fallible())
}

fn now(args: &[TypedExpr]) -> Result<TypedExpr, ExprError> {
    match args {
        [] => Ok(TypedExpr::now()),
        _ => Err(ExprError::new(format!("takes no arguments, not {}", args.len()))),
    }
}
