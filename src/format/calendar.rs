//! Days, times of day and timestamps: ISO text → numbers, with the minute that was read last at hand, because timestamps of a
//! stream crowd together. Dates are proleptic Gregorian, as java.time's are.

use super::parse::{digits, word_at};

/// Days since 1970-01-01 of a date; `None` if there is no such date.
pub(super) fn days_of(year: i64, month: u64, day: u64) -> Option<i64> {
    const LENGTHS: [u64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let leap = year.rem_euclid(4) == 0 && (year.rem_euclid(100) != 0 || year.rem_euclid(400) == 0);
    let length = LENGTHS.get(usize::try_from(month).ok()?.checked_sub(1)?)? + u64::from(leap && month == 2);
    if day == 0 || day > length {
        return None;
    }
    // Years start in March, so that the leap day is the last one; 400 years are 146,097 days.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = (month as i64 + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day as i64 - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

/// Year, month and day of a day since 1970-01-01.
pub(crate) const fn date_of(days: i64) -> (i64, u8, u8) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month as u8, day as u8)
}

/// Two digits at `at`.
fn pair(text: &[u8], at: usize) -> Option<u64> {
    match text.get(at..at + 2)? {
        [tens @ b'0'..=b'9', ones @ b'0'..=b'9'] => Some(u64::from(tens - b'0') * 10 + u64::from(ones - b'0')),
        _ => None,
    }
}

fn literal(text: &[u8], at: usize, byte: u8) -> Option<usize> {
    (text.get(at) == Some(&byte)).then_some(at + 1)
}

/// `[+-]YYYY[…]-MM-DD` at the start of `text`: days since 1970-01-01, and where it ends.
fn date_prefix(text: &[u8]) -> Option<(i64, usize)> {
    let sign = *text.first()?;
    let start = usize::from(matches!(sign, b'+' | b'-'));
    let (year, end) = digits(text, start)?;
    // Java writes four digits without a sign, and a plus before more.
    let fits = match (end - start, sign) {
        (4, sign) => sign != b'+',
        (5..=9, sign) => matches!(sign, b'+' | b'-'),
        _ => false,
    };
    if !fits {
        return None;
    }
    let year = i64::try_from(year).ok()?;
    let at = literal(text, end, b'-')?;
    let month = pair(text, at)?;
    let at = literal(text, at + 2, b'-')?;
    let day = pair(text, at)?;
    Some((days_of(if sign == b'-' { -year } else { year }, month, day)?, at + 2))
}

/// `.` and up to nine digits at `at`: nanoseconds, and where they end. Without a point: 0, `at`.
fn fraction(text: &[u8], at: usize) -> Option<(u32, usize)> {
    if text.get(at) != Some(&b'.') {
        return Some((0, at));
    }
    let (value, end) = digits(text, at + 1)?;
    let count = end - at - 1;
    if count > 9 {
        return None;
    }
    Some((u32::try_from(value * 10_u64.pow(9 - count as u32)).ok()?, end))
}

/// A date (`YYYY-MM-DD`): days since 1970-01-01.
pub(super) fn date(text: &[u8]) -> Option<i32> {
    let (days, end) = date_prefix(text)?;
    if end == text.len() { i32::try_from(days).ok() } else { None }
}

/// A time of day (`HH:MM:SS[.fraction]`): milliseconds since midnight.
pub(super) fn time(text: &[u8]) -> Option<i32> {
    let minutes = hour_and_minute(text, 0)?;
    let at = literal(text, 5, b':')?;
    let second = pair(text, at).filter(|s| *s < 60)?;
    let (nanos, end) = fraction(text, at + 2)?;
    let millis = (minutes * 60 + second as i64) * 1_000 + i64::from(nanos / 1_000_000);
    if end == text.len() { i32::try_from(millis).ok() } else { None }
}

/// `HH:MM` at `at`, in minutes since midnight.
fn hour_and_minute(text: &[u8], at: usize) -> Option<i64> {
    let hour = pair(text, at).filter(|h| *h < 24)?;
    literal(text, at + 2, b':')?;
    let minute = pair(text, at + 3).filter(|m| *m < 60)?;
    Some((hour * 60 + minute) as i64)
}

/// How timestamps are written: Flink's `timestamp-format.standard`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TimestampStandard {
    /// `2020-12-30 12:13:14.123`
    Sql,
    /// `2020-12-30T12:13:14.123`
    Iso,
}

impl TimestampStandard {
    /// What stands between date and time.
    pub(super) const fn separator(self) -> u8 {
        match self {
            Self::Sql => b' ',
            Self::Iso => b'T',
        }
    }
}

/// Ticks a second of a timestamp column: 1, 1,000, 1,000,000 or 1,000,000,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TicksPerSecond(pub(super) u32);

impl TicksPerSecond {
    /// Seconds and nanoseconds in ticks, finer parts cut off; `None` if they do not fit.
    pub(super) fn ticks(self, seconds: i64, nanos: u32) -> Option<i64> {
        seconds.checked_mul(i64::from(self.0))?.checked_add(i64::from(nanos / (1_000_000_000 / self.0)))
    }

    /// Ticks as whole seconds and nanoseconds.
    pub(super) fn split(self, ticks: i64) -> (i64, u32) {
        let per_second = i64::from(self.0);
        (ticks.div_euclid(per_second), ticks.rem_euclid(per_second) as u32 * (1_000_000_000 / self.0))
    }
}

/// Reads timestamps of one column.
#[derive(Debug, Clone)]
pub(super) struct TimestampReader {
    standard: TimestampStandard,
    zoned: bool,
    ticks: TicksPerSecond,
    /// `YYYY-MM-DD HH:MM` as it was read last, and its ticks.
    minute: [u8; 16],
    minute_ticks: i64,
}

/// `:SS.mmm` with the digits' values taken away, and a byte that does not count.
const MILLIS_TAIL: u64 = u64::from_le_bytes(*b":00.000\0");
/// What to add to each byte of the tail so that its top bit comes up if it is no digit (or not the character).
const MILLIS_LIMITS: u64 = u64::from_le_bytes([0x7f, 0x76, 0x76, 0x7f, 0x76, 0x76, 0x76, 0]);

impl TimestampReader {
    /// A reader for TIMESTAMP (or, with `zoned`, TIMESTAMP_LTZ) columns.
    pub(super) fn new(standard: TimestampStandard, zoned: bool, ticks: TicksPerSecond) -> Self {
        Self { standard, zoned, ticks, minute: [0; 16], minute_ticks: 0 }
    }

    /// The most frequent form, the 23 bytes `YYYY-MM-DD HH:MM:SS.mmm`, at `at`: ticks. At least one more byte must follow.
    #[inline]
    pub(super) fn millis(&mut self, bytes: &[u8], at: usize) -> Option<i64> {
        if self.zoned || self.ticks.0 < 1_000 {
            return None;
        }
        let (minute, rest) = bytes.get(at..)?.split_first_chunk::<16>()?;
        let tail = (word_at(rest, 0)? ^ MILLIS_TAIL) & (u64::MAX >> 8);
        if (tail.wrapping_add(MILLIS_LIMITS) | tail) & 0x8080_8080_8080_8080 != 0 {
            return None;
        }
        let digit = |index: u32| (tail >> (8 * index)) & 0xff;
        let seconds = digit(1) * 10 + digit(2);
        let millis = digit(4) * 100 + digit(5) * 10 + digit(6);
        if seconds >= 60 || (*minute != self.minute && !self.read_minute(minute)) {
            return None;
        }
        let ticks = (seconds * 1_000 + millis) as i64 * i64::from(self.ticks.0 / 1_000);
        self.minute_ticks.checked_add(ticks)
    }

    /// Takes `YYYY-MM-DD HH:MM` as the minute at hand.
    #[cold]
    fn read_minute(&mut self, text: &[u8; 16]) -> bool {
        let read = || {
            let (days, end) = date_prefix(text)?;
            let at = literal(text, end, self.standard.separator())?;
            let minutes = if at == 11 { hour_and_minute(text, at)? } else { return None };
            self.ticks.ticks(days * 86_400 + minutes * 60, 0)
        };
        match read() {
            Some(ticks) => {
                (self.minute, self.minute_ticks) = (*text, ticks);
                true
            }
            None => false,
        }
    }

    /// Any timestamp of the standard, ticks: seconds may be missing in ISO-8601, TIMESTAMP_LTZ ends with `Z`.
    pub(super) fn read(&mut self, text: &[u8]) -> Option<i64> {
        let text = if self.zoned { text.strip_suffix(b"Z")? } else { text };
        let (days, end) = date_prefix(text)?;
        let at = literal(text, end, self.standard.separator())?;
        let minutes = hour_and_minute(text, at)?;
        let mut at = at + 5;
        let (mut second, mut nanos) = (0, 0);
        if self.standard == TimestampStandard::Sql || at < text.len() {
            at = literal(text, at, b':')?;
            second = pair(text, at).filter(|s| *s < 60)?;
            (nanos, at) = fraction(text, at + 2)?;
        }
        if at != text.len() {
            return None;
        }
        self.ticks.ticks(days * 86_400 + minutes * 60 + second as i64, nanos)
    }
}
