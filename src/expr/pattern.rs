//! Java's `DateTimeFormatter` patterns, as far as `DATE_FORMAT`, `TO_TIMESTAMP` and their kin use them.

use super::civil::{DAY_SECONDS, Day};
use std::fmt::Write;

/// A pattern that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the pattern \"{pattern}\" is not supported: {reason}")]
pub struct PatternError {
    pattern: String,
    reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Item {
    Literal(String),
    Year(usize),
    Month(usize),
    MonthName { short: bool },
    Day(usize),
    DayOfYear(usize),
    Hour(usize),
    HourOfHalf(usize),
    Half,
    Minute(usize),
    Second(usize),
    Fraction(usize),
    WeekdayName { short: bool },
    WeekdayNumber,
}

const MONTHS: [&str; 12] =
    ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];
const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// A compiled pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimePattern {
    items: Vec<Item>,
}

impl TimePattern {
    /// Compiles a pattern.
    pub fn new(pattern: &str) -> Result<Self, PatternError> {
        let error = |reason: String| PatternError { pattern: pattern.to_owned(), reason };
        let mut items: Vec<Item> = Vec::new();
        let mut rest = pattern;
        while let Some(first) = rest.chars().next() {
            if first == '\'' {
                let (text, after) = quoted(rest).ok_or_else(|| error("a quote is not closed".to_owned()))?;
                push_literal(&mut items, &text);
                rest = after;
                continue;
            }
            let run = rest.len() - rest.trim_start_matches(first).len();
            let width = run / first.len_utf8();
            if first.is_ascii_alphabetic() {
                items.push(field(first, width).ok_or_else(|| error(format!("it has no field \"{}\"", &rest[..run])))?);
            } else if matches!(first, '[' | ']' | '{' | '}' | '#') {
                return Err(error(format!("\"{first}\" has a meaning of its own there")));
            } else {
                push_literal(&mut items, &rest[..run]);
            }
            rest = &rest[run..];
        }
        Ok(Self { items })
    }

    /// True if equal days give equal texts.
    pub fn shows_days_only(&self) -> bool {
        let finer = |item: &Item| {
            matches!(item, Item::Hour(_) | Item::HourOfHalf(_) | Item::Half | Item::Minute(_) | Item::Second(_) | Item::Fraction(_))
        };
        !self.items.iter().any(finer)
    }

    /// Appends a moment: days since the epoch, second of the day, nanoseconds.
    pub fn write(&self, out: &mut String, (days, second, nanos): (i64, i64, i64)) {
        let day = Day::from_epoch(days);
        let hour = second / 3_600;
        for item in &self.items {
            match item {
                Item::Literal(text) => out.push_str(text),
                Item::Year(2) => number(out, day.year.rem_euclid(100), 2),
                Item::Year(width) => number(out, day.year, *width),
                Item::Month(width) => number(out, i64::from(day.month), *width),
                Item::MonthName { short } => out.push_str(name(&MONTHS, i64::from(day.month) - 1, *short)),
                Item::Day(width) => number(out, i64::from(day.day), *width),
                Item::DayOfYear(width) => number(out, day.of_year(), *width),
                Item::Hour(width) => number(out, hour, *width),
                Item::HourOfHalf(width) => number(out, (hour + 11) % 12 + 1, *width),
                Item::Half => out.push_str(if hour < 12 { "AM" } else { "PM" }),
                Item::Minute(width) => number(out, second / 60 % 60, *width),
                Item::Second(width) => number(out, second % 60, *width),
                Item::Fraction(width) => {
                    let width = (*width).min(9);
                    number(out, nanos / 10_i64.pow(9 - width as u32), width);
                }
                Item::WeekdayName { short } => out.push_str(name(&WEEKDAYS, day.iso_weekday() - 1, *short)),
                // Sunday is the first day, as in Java's English locale.
                Item::WeekdayNumber => number(out, day.iso_weekday() % 7 + 1, 1),
            }
        }
    }

    /// Reads a moment: days since the epoch, second of the day, nanoseconds. `None` if the text does not follow the pattern.
    pub fn read(&self, text: &str) -> Option<(i64, i64, i64)> {
        let mut rest = text.trim();
        let (mut year, mut month, mut day, mut hour, mut minute, mut second, mut nanos) = (1970, 1, 1, 0, 0, 0, 0);
        let (mut half_hour, mut afternoon) = (None, None);
        for (position, item) in self.items.iter().enumerate() {
            // Fields that follow each other without a separator have exactly the width of the pattern.
            let exact = !matches!(self.items.get(position + 1), None | Some(Item::Literal(_)));
            let mut take = |width: usize, most: usize| take_number(&mut rest, width, if exact { width } else { most.max(width) });
            match item {
                Item::Literal(literal) => rest = rest.strip_prefix(literal.as_str())?,
                Item::Year(2) => year = 2_000 + take(2, 2)?,
                Item::Year(width) => year = take(*width, 9)?,
                Item::Month(width) => month = take(*width, 2)?,
                Item::Day(width) => day = take(*width, 2)?,
                Item::DayOfYear(width) => {
                    let of_year = take(*width, 3)?;
                    let first = Day::new(year, 1, 1)?.to_epoch();
                    let found = Day::from_epoch(first + of_year - 1);
                    (month, day) = (i64::from(found.month), i64::from(found.day));
                }
                Item::Hour(width) => hour = take(*width, 2)?,
                Item::HourOfHalf(width) => half_hour = Some(take(*width, 2)?),
                Item::Minute(width) => minute = take(*width, 2)?,
                Item::Second(width) => second = take(*width, 2)?,
                Item::Fraction(width) => {
                    let digits = rest.bytes().take(*width).take_while(u8::is_ascii_digit).count();
                    let value = take_number(&mut rest, 1, *width)?;
                    nanos = value * 10_i64.pow(9_u32.saturating_sub(digits as u32));
                }
                Item::Half => {
                    let is_pm = rest.get(..2)?.eq_ignore_ascii_case("PM");
                    if !is_pm && !rest.get(..2)?.eq_ignore_ascii_case("AM") {
                        return None;
                    }
                    afternoon = Some(is_pm);
                    rest = &rest[2..];
                }
                Item::MonthName { short } => month = take_name(&mut rest, &MONTHS, *short)? + 1,
                Item::WeekdayName { short } => _ = take_name(&mut rest, &WEEKDAYS, *short)?,
                Item::WeekdayNumber => _ = take(1, 1)?,
            }
        }
        if let Some(half) = half_hour.filter(|h| (1..=12).contains(h)) {
            hour = half % 12 + if afternoon == Some(true) { 12 } else { 0 };
        }
        if !rest.is_empty() || hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        // A day that the month does not have is its last one, as java.time resolves it.
        let shorter = || (28..day.clamp(28, 31)).rev().find_map(|day| Day::new(year, month, day));
        let days = Day::new(year, month, day).or_else(|| if day <= 31 { shorter() } else { None })?.to_epoch();
        Some((days, (hour * 3_600 + minute * 60 + second).min(DAY_SECONDS - 1), nanos))
    }
}

fn quoted(text: &str) -> Option<(String, &str)> {
    let inner = &text[1..];
    if let Some(rest) = inner.strip_prefix('\'') {
        return Some(("'".to_owned(), rest));
    }
    let mut found = String::new();
    let mut rest = inner;
    loop {
        let end = rest.find('\'')?;
        found.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('\'') {
            Some(after) => {
                found.push('\'');
                rest = after;
            }
            None => return Some((found, rest)),
        }
    }
}

fn push_literal(items: &mut Vec<Item>, text: &str) {
    match items.last_mut() {
        Some(Item::Literal(before)) => before.push_str(text),
        _ => items.push(Item::Literal(text.to_owned())),
    }
}

fn field(letter: char, width: usize) -> Option<Item> {
    Some(match (letter, width) {
        ('y' | 'u', 1..=9) => Item::Year(width),
        ('M' | 'L', 1 | 2) => Item::Month(width),
        ('M' | 'L', 3 | 4) => Item::MonthName { short: width == 3 },
        ('d', 1 | 2) => Item::Day(width),
        ('D', 1..=3) => Item::DayOfYear(width),
        ('H', 1 | 2) => Item::Hour(width),
        ('h', 1 | 2) => Item::HourOfHalf(width),
        ('a', 1) => Item::Half,
        ('m', 1 | 2) => Item::Minute(width),
        ('s', 1 | 2) => Item::Second(width),
        ('S', 1..=9) => Item::Fraction(width),
        ('E', 1..=4) => Item::WeekdayName { short: width < 4 },
        ('e', 1) => Item::WeekdayNumber,
        _ => return None,
    })
}

fn number(out: &mut String, value: i64, width: usize) {
    if width == 2 && (0..100).contains(&value) {
        out.push(char::from(b'0' + (value / 10) as u8));
        out.push(char::from(b'0' + (value % 10) as u8));
        return;
    }
    let _ = write!(out, "{value:0width$}");
}

fn name(names: &[&'static str], index: i64, short: bool) -> &'static str {
    let name = usize::try_from(index).ok().and_then(|i| names.get(i)).copied().unwrap_or("");
    if short { name.get(..3).unwrap_or(name) } else { name }
}

fn take_number(rest: &mut &str, least: usize, most: usize) -> Option<i64> {
    let found = rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
    // Single letters take what is there, as Java's lenient widths do; `dd` wants two digits.
    if found == 0 || (found < least && least > 1) {
        return None;
    }
    let value = rest[..found].bytes().fold(0, |n: i64, b| n * 10 + i64::from(b - b'0'));
    *rest = &rest[found..];
    Some(value)
}

fn take_name(rest: &mut &str, names: &[&'static str], short: bool) -> Option<i64> {
    let matches = |full: &str| {
        let wanted = if short { full.get(..3).unwrap_or(full) } else { full };
        rest.get(..wanted.len()).is_some_and(|found| found.eq_ignore_ascii_case(wanted)).then_some(wanted.len())
    };
    let (index, length) = names.iter().enumerate().find_map(|(i, full)| Some((i, matches(full)?)))?;
    *rest = &rest[length..];
    Some(index as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOMENT: (i64, i64, i64) = (18_263, 11_045, 678_000_000);

    #[test]
    fn patterns_write_what_java_writes() {
        for (pattern, expected) in [
            ("yyyy-MM-dd HH:mm:ss", "2020-01-02 03:04:05"),
            ("yyyy-MM-dd'T'HH:mm:ss.SSS'Z'", "2020-01-02T03:04:05.678Z"),
            ("yy/M/d h:mm a", "20/1/2 3:04 AM"),
            ("EEE, d MMM yyyy", "Thu, 2 Jan 2020"),
            ("EEEE MMMM D", "Thursday January 2"),
            ("HHmm", "0304"),
            ("''yyyy''", "'2020'"),
        ] {
            let mut out = String::new();
            TimePattern::new(pattern).unwrap().write(&mut out, MOMENT);
            assert_eq!(out, expected, "{pattern}");
        }
    }

    #[test]
    fn patterns_read_what_they_write_and_nothing_else() {
        let pattern = TimePattern::new("yyyy-MM-dd HH:mm:ss.SSS").unwrap();
        assert_eq!(pattern.read("2020-01-02 03:04:05.678"), Some(MOMENT));
        for text in ["2020-01-02", "2020-01-02 03:04:05.678x", "2020-02-32 03:04:05.678", "2020-1-02 03:04:05.678", ""] {
            assert_eq!(pattern.read(text), None, "{text}");
        }
        assert_eq!(pattern.read("2020-02-30 03:04:05.678"), pattern.read("2020-02-29 03:04:05.678"), "as Flink reads it");
        assert_eq!(TimePattern::new("yyyyMMddHHmmss").unwrap().read("20200102030405"), Some((18_263, 11_045, 0)));
        assert_eq!(TimePattern::new("d.M.yyyy").unwrap().read("2.1.2020"), Some((18_263, 0, 0)));
        assert_eq!(TimePattern::new("hh:mm a, MMM d yyyy").unwrap().read("03:04 pm, Jan 2 2020"), Some((18_263, 54_240, 0)));
    }

    #[test]
    fn patterns_that_are_not_understood_are_refused() {
        for pattern in ["yyyy-MM-dd VV", "'open", "[HH]", "MMMMM"] {
            assert!(TimePattern::new(pattern).is_err(), "{pattern}");
        }
    }
}
