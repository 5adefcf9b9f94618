//! Calendar arithmetic on days and timestamps: the proleptic Gregorian calendar, without time zones (UTC for `TIMESTAMP_LTZ`).

use super::kernel::{Arg, KernelError};
use arrow::array::{Array, AsArray, Date32Array, TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray};
use arrow::array::{ArrayRef, TimestampSecondArray};
use arrow::buffer::{NullBuffer, ScalarBuffer};
use arrow::datatypes::{
    DataType, Date32Type, Time32MillisecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType,
};
use std::sync::Arc;

/// Seconds of a day.
pub const DAY_SECONDS: i64 = 86_400;

/// A calendar day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Day {
    /// Astronomical year: 0 is 1 BC.
    pub year: i64,
    /// 1–12
    pub month: u32,
    /// 1–31
    pub day: u32,
}

impl Day {
    /// The day that is `days` days after 1970-01-01.
    pub fn from_epoch(days: i64) -> Self {
        let shifted = days.saturating_add(719_468);
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let day = (day_of_year - (153 * shifted_month + 2) / 5 + 1) as u32;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 } as u32;
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        Self { year, month, day }
    }

    /// Days since 1970-01-01.
    pub fn to_epoch(self) -> i64 {
        let year = self.year - i64::from(self.month <= 2);
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let month = i64::from(self.month);
        let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + i64::from(self.day) - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        era.saturating_mul(146_097).saturating_add(day_of_era).saturating_sub(719_468)
    }

    /// The day, if there is one: `None` for February 30th. Years from -999,999 to 999,999.
    pub fn new(year: i64, month: i64, day: i64) -> Option<Self> {
        if !(1..=12).contains(&month) || day < 1 || year.abs() > 999_999 {
            return None;
        }
        let this = Self { year, month: month as u32, day: 1 };
        (day <= i64::from(this.days_of_month())).then_some(Self { day: day as u32, ..this })
    }

    fn is_leap(self) -> bool {
        self.year % 4 == 0 && (self.year % 100 != 0 || self.year % 400 == 0)
    }

    /// 28–31
    pub fn days_of_month(self) -> u32 {
        match self.month {
            2 if self.is_leap() => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        }
    }

    /// The day `months` months later; the last day of the month where that has fewer days.
    #[must_use]
    pub fn plus_months(self, months: i64) -> Self {
        let total = self.year.saturating_mul(12).saturating_add(i64::from(self.month) - 1).saturating_add(months);
        let total = total.clamp(-12_000_000, 12_000_000);
        let first = Self { year: total.div_euclid(12), month: total.rem_euclid(12) as u32 + 1, day: 1 };
        Self { day: self.day.min(first.days_of_month()), ..first }
    }

    /// 1–366
    pub fn of_year(self) -> i64 {
        self.to_epoch() - Self { month: 1, day: 1, ..self }.to_epoch() + 1
    }

    /// Monday 1 to Sunday 7.
    pub fn iso_weekday(self) -> i64 {
        (self.to_epoch() + 3).rem_euclid(7) + 1
    }

    /// ISO week number and the year that it belongs to.
    pub fn iso_week(self) -> (i64, i64) {
        // The week belongs to the year that its Thursday lies in.
        let thursday = Self::from_epoch(self.to_epoch() - self.iso_weekday() + 4);
        ((thursday.of_year() - 1) / 7 + 1, thursday.year)
    }
}

/// Units of a timestamp type in one second.
pub const fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

/// Timestamps, dates or times as counts of a unit since the epoch (or midnight).
#[derive(Debug)]
pub struct Moments {
    values: ScalarBuffer<i64>,
    nulls: Option<NullBuffer>,
    scalar: bool,
    /// Counts of the unit in a second.
    pub per_second: i64,
}

impl Moments {
    /// The values of a DATE, TIME or TIMESTAMP argument.
    pub fn new(arg: &Arg) -> Result<Self, KernelError> {
        let array = &arg.array;
        let (values, per_second) = match array.data_type() {
            DataType::Timestamp(TimeUnit::Second, _) => (array.as_primitive::<TimestampSecondType>().values().clone(), 1),
            DataType::Timestamp(TimeUnit::Millisecond, _) => (array.as_primitive::<TimestampMillisecondType>().values().clone(), 1_000),
            DataType::Timestamp(TimeUnit::Microsecond, _) => (array.as_primitive::<TimestampMicrosecondType>().values().clone(), 1_000_000),
            DataType::Timestamp(TimeUnit::Nanosecond, _) => {
                (array.as_primitive::<TimestampNanosecondType>().values().clone(), 1_000_000_000)
            }
            DataType::Date32 => {
                let days = array.as_primitive::<Date32Type>().values().iter();
                (days.map(|d| i64::from(*d) * DAY_SECONDS).collect(), 1)
            }
            DataType::Time32(TimeUnit::Millisecond) => {
                let times = array.as_primitive::<Time32MillisecondType>().values().iter();
                (times.map(|t| i64::from(*t)).collect(), 1_000)
            }
            other => return Err(KernelError(format!("expected a point in time, found {other}"))),
        };
        Ok(Self { values, nulls: array.nulls().cloned(), scalar: arg.scalar, per_second })
    }

    /// The count of row `row`; `None` for NULL.
    pub fn get(&self, row: usize) -> Option<i64> {
        let row = if self.scalar { 0 } else { row };
        self.nulls.as_ref().is_none_or(|n| n.is_valid(row)).then(|| self.values[row])
    }

    /// Days since the epoch, second of the day, and nanoseconds within the second of a count.
    pub fn split(&self, count: i64) -> (i64, i64, i64) {
        split(count, self.per_second)
    }

    /// Milliseconds since the epoch of a count, rounded down.
    pub fn millis(&self, count: i64) -> i64 {
        rescale(count, self.per_second, 1_000).unwrap_or(i64::MAX)
    }
}

/// Days since the epoch, second of the day, and nanoseconds within the second of `count`.
pub fn split(count: i64, per_second: i64) -> (i64, i64, i64) {
    let seconds = count.div_euclid(per_second);
    let rest = count.rem_euclid(per_second);
    (seconds.div_euclid(DAY_SECONDS), seconds.rem_euclid(DAY_SECONDS), rest * (1_000_000_000 / per_second))
}

/// The opposite of [`split`]; `None` if it does not fit.
pub fn join(days: i64, second_of_day: i64, nanos: i64, per_second: i64) -> Option<i64> {
    let seconds = days.checked_mul(DAY_SECONDS)?.checked_add(second_of_day)?;
    seconds.checked_mul(per_second)?.checked_add(nanos / (1_000_000_000 / per_second))
}

/// A count in another unit, rounded down; `None` if it does not fit.
pub fn rescale(count: i64, from_per_second: i64, to_per_second: i64) -> Option<i64> {
    if to_per_second >= from_per_second {
        count.checked_mul(to_per_second / from_per_second)
    } else {
        Some(count.div_euclid(from_per_second / to_per_second))
    }
}

/// An array of timestamps, dates or times from counts of the type's own unit (dates: days).
pub fn array_of(data_type: &DataType, values: Vec<Option<i64>>) -> Result<ArrayRef, KernelError> {
    Ok(match data_type {
        DataType::Timestamp(TimeUnit::Second, zone) => Arc::new(TimestampSecondArray::from(values).with_timezone_opt(zone.clone())),
        DataType::Timestamp(TimeUnit::Millisecond, zone) => {
            Arc::new(TimestampMillisecondArray::from(values).with_timezone_opt(zone.clone()))
        }
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            Arc::new(TimestampMicrosecondArray::from(values).with_timezone_opt(zone.clone()))
        }
        DataType::Timestamp(TimeUnit::Nanosecond, zone) => Arc::new(TimestampNanosecondArray::from(values).with_timezone_opt(zone.clone())),
        DataType::Date32 => Arc::new(values.into_iter().map(|v| v.and_then(|v| i32::try_from(v).ok())).collect::<Date32Array>()),
        DataType::Time32(TimeUnit::Millisecond) => {
            let millis = values.into_iter().map(|v| v.and_then(|v| i32::try_from(v).ok()));
            Arc::new(millis.collect::<arrow::array::Time32MillisecondArray>())
        }
        other => return Err(KernelError(format!("{other} is no type of a point in time"))),
    })
}

/// Counts of a type's unit in a second; days for DATE are given as 0.
pub fn unit_of(data_type: &DataType) -> i64 {
    match data_type {
        DataType::Timestamp(unit, _) | DataType::Time32(unit) => per_second(*unit),
        _ => 0,
    }
}

/// Reads a date as Flink's CAST does: `2020-1-2`, `2020-01-02 03:04:05` (the time is ignored), `2020-01`, `2020`. Days since the epoch.
pub fn parse_date(text: &str) -> Option<i64> {
    let text = text.trim();
    let date = text.split(' ').next()?;
    let mut parts = date.split('-');
    let mut number = |default: Option<i64>| match parts.next() {
        Some(part) => digits(part, 4),
        None => default,
    };
    let (year, month, day) = (number(None)?, number(Some(1))?, number(Some(1))?);
    if parts.next().is_some() {
        return None;
    }
    Day::new(year, month, day).map(Day::to_epoch)
}

fn digits(text: &str, most: usize) -> Option<i64> {
    let text = text.trim();
    let right = !text.is_empty() && text.len() <= most && text.bytes().all(|b| b.is_ascii_digit());
    right.then(|| text.bytes().fold(0, |n, b| n * 10 + i64::from(b - b'0')))
}

/// Reads `12:34:56.789`, `12:34` or `12`: second of the day and nanoseconds.
pub fn parse_time(text: &str) -> Option<(i64, i64)> {
    let (clock, fraction) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    let mut parts = clock.split(':');
    let mut number = |first: bool| match parts.next() {
        Some(part) => digits(part, 2),
        None if first => None,
        None => Some(0),
    };
    let (hour, minute, second) = (number(true)?, number(false)?, number(false)?);
    if parts.next().is_some() || hour > 23 || minute > 59 || second > 59 || fraction.len() > 9 {
        return None;
    }
    let nanos = match fraction {
        "" => 0,
        f => digits(f, 9)? * 10_i64.pow(9 - f.len() as u32),
    };
    Some((hour * 3_600 + minute * 60 + second, nanos))
}

/// Reads a timestamp as Flink's CAST does: `2020-01-02 03:04:05.678`, `2020-1-2 3:4:5`, also without a time.
pub fn parse_timestamp(text: &str) -> Option<(i64, i64, i64)> {
    let text = text.trim();
    match text.split_once(' ') {
        None => Some((parse_full_date(text)?, 0, 0)),
        Some((date, time)) => {
            let (seconds, nanos) = parse_time(time).filter(|_| time.matches(':').count() == 2)?;
            Some((parse_full_date(date)?, seconds, nanos))
        }
    }
}

fn parse_full_date(text: &str) -> Option<i64> {
    (text.matches('-').count() == 2).then(|| parse_date(text)).flatten()
}

fn two(out: &mut String, n: i64) {
    let n = n as u32;
    out.push(char::from_digit(n / 10 % 10, 10).unwrap_or('0'));
    out.push(char::from_digit(n % 10, 10).unwrap_or('0'));
}

/// Appends `2020-01-02`.
pub fn write_date(out: &mut String, days: i64) {
    use std::fmt::Write;
    let day = Day::from_epoch(days);
    if (0..=9_999).contains(&day.year) {
        two(out, day.year / 100);
        two(out, day.year % 100);
    } else {
        let _ = write!(out, "{:04}", day.year);
    }
    out.push('-');
    two(out, i64::from(day.month));
    out.push('-');
    two(out, i64::from(day.day));
}

/// Appends `03:04:05`, and `precision` digits of the fraction.
pub fn write_time(out: &mut String, second_of_day: i64, nanos: i64, precision: u8) {
    use std::fmt::Write;
    two(out, second_of_day / 3_600);
    out.push(':');
    two(out, second_of_day / 60 % 60);
    out.push(':');
    two(out, second_of_day % 60);
    if precision > 0 {
        let precision = precision.min(9);
        let shown = nanos / 10_i64.pow(9 - u32::from(precision));
        let _ = write!(out, ".{shown:0width$}", width = usize::from(precision));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_converts_there_and_back() {
        for days in (-800_000..800_000).step_by(13) {
            let day = Day::from_epoch(days);
            assert_eq!(day.to_epoch(), days);
            assert_eq!(Day::new(day.year, i64::from(day.month), i64::from(day.day)), Some(day));
        }
        assert_eq!(Day::from_epoch(0), Day { year: 1970, month: 1, day: 1 });
        assert_eq!(Day::new(2023, 2, 29), None);
        assert_eq!(Day::new(2024, 2, 29).map(Day::of_year), Some(60));
    }

    #[test]
    fn weeks_are_those_of_iso() {
        for ((y, m, d), week) in
            [((2021, 1, 3), (53, 2020)), ((2021, 1, 4), (1, 2021)), ((2024, 12, 30), (1, 2025)), ((2026, 11, 22), (47, 2026))]
        {
            assert_eq!(Day::new(y, m, d).unwrap().iso_week(), week);
        }
    }

    #[test]
    fn texts_that_are_no_time_are_none() {
        assert_eq!(parse_timestamp("2020-01-02 03:04:05.678"), Some((18_263, 11_045, 678_000_000)));
        assert_eq!(parse_timestamp("2020-1-2 3:4:5"), Some((18_263, 11_045, 0)));
        assert_eq!(parse_date("2020-01-02 99:99"), Some(18_263));
        for text in [
            "",
            "x",
            "2020-13-01 00:00:00",
            "2020-02-30",
            "2020-01-01 24:00:00",
            "2020-01-01 00:00:00.1234567890",
            "2020 01",
            "2020-01",
            "2020-01-02T03:04:05",
        ] {
            assert_eq!(parse_timestamp(text), None, "{text}");
        }
    }
}
