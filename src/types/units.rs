//! Durations and sizes as Flink writes them: `10 s`, `500 ms`, `1 h`, `64 mb`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct ByteSize(pub u64);

/// A text that is no duration or size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// No number at the start.
    #[error("\"{0}\" does not start with a number")]
    NoNumber(String),
    /// The unit is unknown.
    #[error("\"{unit}\" is no unit of {what}; the units are {known}")]
    UnknownUnit {
        /// What stands behind the number.
        unit: String,
        /// `time` or `size`.
        what: &'static str,
        /// The units that there are.
        known: &'static str,
    },
    /// The value does not fit 64 bits.
    #[error("\"{0}\" is too large")]
    TooLarge(String),
}

const TIME_UNITS: &[(&[&str], u64)] = &[
    (&["d", "day", "days"], 86_400_000_000_000),
    (&["h", "hour", "hours"], 3_600_000_000_000),
    (&["m", "min", "minute", "minutes"], 60_000_000_000),
    (&["s", "sec", "secs", "second", "seconds"], 1_000_000_000),
    (&["ms", "milli", "millis", "millisecond", "milliseconds", ""], 1_000_000),
    (&["us", "µs", "micro", "micros", "microsecond", "microseconds"], 1_000),
    (&["ns", "nano", "nanos", "nanosecond", "nanoseconds"], 1),
];

const SIZE_UNITS: &[(&[&str], u64)] = &[
    (&["b", "byte", "bytes", ""], 1),
    (&["k", "kb", "kibibyte", "kibibytes"], 1 << 10),
    (&["m", "mb", "mebibyte", "mebibytes"], 1 << 20),
    (&["g", "gb", "gibibyte", "gibibytes"], 1 << 30),
    (&["t", "tb", "tebibyte", "tebibytes"], 1 << 40),
];

fn parse(text: &str, units: &[(&[&str], u64)], what: &'static str, known: &'static str) -> Result<u64, UnitError> {
    let text = text.trim();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    if digits == 0 {
        return Err(UnitError::NoNumber(text.to_owned()));
    }
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim().to_lowercase();
    let number: u64 = number.parse().map_err(|_| UnitError::TooLarge(text.to_owned()))?;
    let found = units.iter().find(|(names, _)| names.contains(&unit.as_str()));
    let Some((_, factor)) = found else {
        return Err(UnitError::UnknownUnit { unit, what, known });
    };
    number.checked_mul(*factor).ok_or_else(|| UnitError::TooLarge(text.to_owned()))
}

/// Reads a duration as Flink's `TimeUtils.parseDuration` does: a whole number and a unit; without a unit, milliseconds.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    parse(text, TIME_UNITS, "time", "ns, us, ms, s, min, h, d").map(Duration::from_nanos)
}

/// Writes a duration in the largest unit that leaves a whole number: `90 s`, `1 h`, `250 ms`.
pub fn format_duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    if nanos == 0 {
        return "0 ms".to_owned();
    }
    for (name, factor) in [("d", 0), ("h", 1), ("min", 2), ("s", 3), ("ms", 4), ("us", 5)] {
        let factor = u128::from(TIME_UNITS[factor].1);
        if nanos.is_multiple_of(factor) {
            return format!("{} {name}", nanos / factor);
        }
    }
    format!("{nanos} ns")
}

impl FromStr for ByteSize {
    type Err = UnitError;

    /// Reads a size as Flink's `MemorySize.parse` does: a whole number and a unit (powers of 1,024); without a unit, bytes.
    fn from_str(text: &str) -> Result<Self, UnitError> {
        parse(text, SIZE_UNITS, "size", "b, kb, mb, gb, tb").map(Self)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [("tb", 40), ("gb", 30), ("mb", 20), ("kb", 10)];
        for (name, shift) in units {
            if self.0 != 0 && self.0.is_multiple_of(1 << shift) {
                return write!(f, "{} {name}", self.0 >> shift);
            }
        }
        write!(f, "{} b", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_flink_reads_them() {
        for (text, millis) in [("10 s", 10_000), ("500ms", 500), ("1 h", 3_600_000), ("7", 7), (" 2 MIN ", 120_000), ("1 d", 86_400_000)] {
            assert_eq!(parse_duration(text).unwrap(), Duration::from_millis(millis), "{text}");
        }
        assert_eq!(parse_duration("x").unwrap_err().to_string(), "\"x\" does not start with a number");
        assert!(parse_duration("3 fortnights").unwrap_err().to_string().contains("\"fortnights\" is no unit of time"));
        assert!(parse_duration("99999999999999 d").is_err());
    }

    #[test]
    fn sizes_and_durations_print_in_their_largest_whole_unit() {
        for (text, size) in [("64 mb", 64 << 20), ("1kb", 1024), ("5", 5)] {
            assert_eq!(text.parse::<ByteSize>().unwrap(), ByteSize(size));
        }
        assert_eq!(ByteSize(64 << 20).to_string(), "64 mb");
        assert_eq!(ByteSize(1500).to_string(), "1500 b");
        assert_eq!(format_duration(Duration::from_secs(90)), "90 s");
        assert_eq!(format_duration(Duration::from_hours(1)), "1 h");
        assert_eq!(format_duration(Duration::ZERO), "0 ms");
    }
}
