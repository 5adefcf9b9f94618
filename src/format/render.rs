//! Values → text, as the `toString` methods and formatters of Java write them that Flink's formats call.

use super::calendar::{TicksPerSecond, date_of};

/// `00` to `99`.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut n = 0;
    while n < 100 {
        pairs[n] = [b'0' + (n / 10) as u8, b'0' + (n % 10) as u8];
        n += 1;
    }
    pairs
};

fn pair(n: u64) -> [u8; 2] {
    PAIRS[(n % 100) as usize]
}

/// Appends a whole number.
#[inline]
pub(super) fn integer<I: itoa::Integer>(value: I, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Appends a double as `Double.toString` does since Java 19: the shortest digits that read back as the same value, plain from
/// 10^-3 up to 10^7, else with an exponent.
pub(super) fn double(value: f64, out: &mut Vec<u8>) {
    match special(value) {
        Some(word) => out.extend_from_slice(word),
        None if value.is_subnormal() => java_subnormal(value, zmij::Buffer::new().format_finite(value), out),
        None => java_number(zmij::Buffer::new().format_finite(value), value.abs() >= 1e-3 && value.abs() < 1e7, out),
    }
}

/// As [`double`], for `Float.toString`.
pub(super) fn float(value: f32, out: &mut Vec<u8>) {
    match special(f64::from(value)) {
        Some(word) => out.extend_from_slice(word),
        None if value.is_subnormal() => java_subnormal(value, zmij::Buffer::new().format_finite(value), out),
        None => java_number(zmij::Buffer::new().format_finite(value), value.abs() >= 1e-3 && value.abs() < 1e7, out),
    }
}

/// Where one digit is enough, Java takes the closest of two digits; the smallest numbers alone tell the difference (4.9E-324).
fn java_subnormal<F: std::fmt::LowerExp>(value: F, shortest: &str, out: &mut Vec<u8>) {
    if shortest.trim_start_matches('-').find('e') == Some(1) {
        java_number(&format!("{value:.1e}"), false, out);
    } else {
        java_number(shortest, false, out);
    }
}

fn special(value: f64) -> Option<&'static [u8]> {
    if value.is_nan() {
        Some(b"NaN")
    } else if value.is_infinite() {
        Some(if value < 0.0 { b"-Infinity" } else { b"Infinity" })
    } else if value == 0.0 {
        Some(if value.is_sign_negative() { b"-0.0" } else { b"0.0" })
    } else {
        None
    }
}

/// Writes a number's shortest digits, in whatever notation they come, in Java's.
fn java_number(shortest: &str, plain: bool, out: &mut Vec<u8>) {
    if plain && !shortest.contains('e') {
        out.extend_from_slice(shortest.as_bytes());
        if !shortest.contains('.') {
            out.extend_from_slice(b".0");
        }
        return;
    }
    let (mantissa, exponent) = shortest.split_once(['e', 'E']).unwrap_or((shortest, "0"));
    let unsigned = mantissa.strip_prefix('-').unwrap_or(mantissa);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let all: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
    let zeros = all.iter().take_while(|digit| **digit == b'0').count();
    let significant = all.iter().rposition(|digit| *digit != b'0').map_or(zeros, |last| last + 1);
    let digits = all.get(zeros..significant).unwrap_or_default();
    // The exponent of the first digit that is not 0.
    let exponent = exponent.parse::<i32>().unwrap_or(0) + whole.len() as i32 - 1 - zeros as i32;
    if mantissa.starts_with('-') {
        out.push(b'-');
    }
    let (first, rest) = if plain && exponent >= 0 {
        digits.split_at(digits.len().min(exponent as usize + 1))
    } else {
        digits.split_at(digits.len().min(1))
    };
    if plain && exponent < 0 {
        out.extend_from_slice(b"0.");
        out.resize(out.len() + exponent.unsigned_abs() as usize - 1, b'0');
        out.extend_from_slice(digits);
        return;
    }
    out.extend_from_slice(first);
    if plain {
        out.resize(out.len() + (exponent as usize + 1).saturating_sub(first.len()), b'0');
    }
    out.push(b'.');
    out.extend_from_slice(if rest.is_empty() { b"0" } else { rest });
    if !plain {
        out.push(b'E');
        integer(exponent, out);
    }
}

/// Appends a decimal as `BigDecimal.toPlainString` does.
pub(super) fn plain_decimal(unscaled: i128, scale: u8, out: &mut Vec<u8>) {
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(unscaled.unsigned_abs()).as_bytes();
    if unscaled < 0 {
        out.push(b'-');
    }
    let scale = usize::from(scale);
    if scale == 0 {
        out.extend_from_slice(digits);
    } else if digits.len() > scale {
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        out.extend_from_slice(whole);
        out.push(b'.');
        out.extend_from_slice(fraction);
    } else {
        out.extend_from_slice(b"0.");
        out.resize(out.len() + scale - digits.len(), b'0');
        out.extend_from_slice(digits);
    }
}

/// Appends a decimal as `BigDecimal.toString` does: below 10^-6 with an exponent.
pub(super) fn decimal(unscaled: i128, scale: u8, out: &mut Vec<u8>) {
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(unscaled.unsigned_abs()).as_bytes();
    let exponent = digits.len() as i32 - 1 - i32::from(scale);
    if exponent >= -6 {
        return plain_decimal(unscaled, scale, out);
    }
    if unscaled < 0 {
        out.push(b'-');
    }
    let (first, rest) = digits.split_at(1);
    out.extend_from_slice(first);
    if !rest.is_empty() {
        out.push(b'.');
        out.extend_from_slice(rest);
    }
    out.push(b'E');
    integer(exponent, out);
}

/// Appends a decimal as `BigDecimal.stripTrailingZeros().toString()` does, which is what Jackson makes of it: `1.5`, `1E+2`, `0`.
pub(super) fn stripped_decimal(unscaled: i128, scale: u8, out: &mut Vec<u8>) {
    if unscaled == 0 {
        out.push(b'0');
        return;
    }
    let (mut unscaled, mut zeros) = (unscaled, 0);
    if let Ok(mut small) = i64::try_from(unscaled) {
        while small % 10 == 0 {
            (small, zeros) = (small / 10, zeros + 1);
        }
        unscaled = i128::from(small);
    } else {
        while unscaled % 10 == 0 {
            (unscaled, zeros) = (unscaled / 10, zeros + 1);
        }
    }
    if let Some(scale) = scale.checked_sub(zeros) {
        return decimal(unscaled, scale, out);
    }
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(unscaled.unsigned_abs()).as_bytes();
    if unscaled < 0 {
        out.push(b'-');
    }
    let (first, rest) = digits.split_at(1);
    out.extend_from_slice(first);
    if !rest.is_empty() {
        out.push(b'.');
        out.extend_from_slice(rest);
    }
    out.extend_from_slice(b"E+");
    integer(digits.len() as i32 - 1 + i32::from(zeros) - i32::from(scale), out);
}

/// Appends a date as `LocalDate.toString` does: `2024-01-31`.
pub(super) fn date(days: i64, out: &mut Vec<u8>) {
    let (year, month, day) = date_of(days);
    if (0..=9_999).contains(&year) {
        out.extend_from_slice(&pair(year as u64 / 100));
        out.extend_from_slice(&pair(year as u64));
    } else {
        out.push(if year < 0 { b'-' } else { b'+' });
        let mut buffer = itoa::Buffer::new();
        let digits = buffer.format(year.unsigned_abs()).as_bytes();
        out.resize(out.len() + 4_usize.saturating_sub(digits.len()), b'0');
        out.extend_from_slice(digits);
    }
    let ([m0, m1], [d0, d1]) = (pair(u64::from(month)), pair(u64::from(day)));
    out.extend_from_slice(&[b'-', m0, m1, b'-', d0, d1]);
}

/// How the digits behind the second are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fraction {
    /// As many as there are, none if it is zero: Flink's SQL and ISO-8601 formats.
    Shortest,
    /// 3, 6 or 9 digits, none if it is zero: `toString`. Seconds are left out too if both are zero, `Instant` apart.
    Groups,
}

/// Appends `.123`, or nothing.
fn fraction(nanos: u32, style: Fraction, out: &mut Vec<u8>) {
    if nanos == 0 {
        return;
    }
    let mut digits = [b'.'; 10];
    let mut rest = nanos;
    for digit in digits[1..].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    let shortest = digits.iter().rposition(|digit| *digit != b'0').map_or(1, |last| last + 1);
    let length = match style {
        Fraction::Shortest => shortest,
        Fraction::Groups => (shortest - 1).div_ceil(3) * 3 + 1,
    };
    out.extend_from_slice(&digits[..length]);
}

/// Appends a time of day in milliseconds: `10:15:30.5` as Flink's SQL format, or as `LocalTime.toString`.
pub(super) fn time(millis: i64, style: Fraction, out: &mut Vec<u8>) {
    time_of_day(millis.div_euclid(1_000), millis.rem_euclid(1_000) as u32 * 1_000_000, style == Fraction::Shortest, style, out);
}

fn time_of_day(second: i64, nanos: u32, always_seconds: bool, style: Fraction, out: &mut Vec<u8>) {
    let second = second.rem_euclid(86_400) as u64;
    let ([h0, h1], [m0, m1]) = (pair(second / 3_600), pair(second / 60 % 60));
    out.extend_from_slice(&[h0, h1, b':', m0, m1]);
    if always_seconds || !second.is_multiple_of(60) || nanos != 0 {
        let [s0, s1] = pair(second % 60);
        out.extend_from_slice(&[b':', s0, s1]);
        fraction(nanos, style, out);
    }
}

/// Writes timestamps with one separator and style, the minute that was written last at hand.
#[derive(Debug, Clone)]
pub(super) struct TimestampWriter {
    separator: u8,
    style: Fraction,
    zoned: bool,
    ticks: TicksPerSecond,
    minute: i64,
    /// The text of `minute`: `2024-01-31 10:15`.
    text: Vec<u8>,
}

impl TimestampWriter {
    /// A writer of timestamps with `separator` between date and time; `zoned` adds a `Z`.
    pub(super) fn new(separator: u8, style: Fraction, zoned: bool, ticks: TicksPerSecond) -> Self {
        Self { separator, style, zoned, ticks, minute: i64::MIN, text: Vec::new() }
    }

    /// Appends a timestamp.
    pub(super) fn write(&mut self, ticks: i64, out: &mut Vec<u8>) {
        let (seconds, nanos) = self.ticks.split(ticks);
        let (minute, second) = (seconds.div_euclid(60), seconds.rem_euclid(60) as u64);
        if minute != self.minute {
            self.minute = minute;
            self.text.clear();
            date(minute.div_euclid(1_440), &mut self.text);
            self.text.push(self.separator);
            time_of_day(minute.rem_euclid(1_440) * 60, 0, false, self.style, &mut self.text);
        }
        out.extend_from_slice(&self.text);
        if self.zoned || self.style == Fraction::Shortest || second != 0 || nanos != 0 {
            let [s0, s1] = pair(second);
            out.extend_from_slice(&[b':', s0, s1]);
            fraction(nanos, self.style, out);
        }
        if self.zoned {
            out.push(b'Z');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::calendar;
    use proptest::prelude::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn doubles_print_as_java_prints_them() {
        for (value, expected) in [
            (1.0, "1.0"),
            (-0.1, "-0.1"),
            (100.0, "100.0"),
            (1e10, "1.0E10"),
            (1e7, "1.0E7"),
            (9_999_999.0, "9999999.0"),
            (1_234_567.5, "1234567.5"),
            (0.001, "0.001"),
            (0.000_999, "9.99E-4"),
            (1e-5, "1.0E-5"),
            (2e23, "2.0E23"),
            (f64::MIN_POSITIVE, "2.2250738585072014E-308"),
            (5e-324, "4.9E-324"),
            (f64::MAX, "1.7976931348623157E308"),
            (123_456_789_012.5, "1.234567890125E11"),
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(text(|out| double(value, out)), expected);
        }
        assert_eq!(text(|out| float(f32::from_bits(1), out)), "1.4E-45");
        assert_eq!(text(|out| float(0.1, out)), "0.1");
        assert_eq!(text(|out| float(1.0e10, out)), "1.0E10");
        assert_eq!(text(|out| float(16_777_216.0, out)), "1.6777216E7");
    }

    #[test]
    fn decimals_print_plain_or_as_java_prints_them() {
        for (unscaled, scale, java, plain) in [
            (150, 2, "1.50", "1.50"),
            (-5, 3, "-0.005", "-0.005"),
            (27, 9, "2.7E-8", "0.000000027"),
            (1, 6, "0.000001", "0.000001"),
            (-1, 7, "-1E-7", "-0.0000001"),
            (0, 8, "0E-8", "0.00000000"),
            (100, 0, "100", "100"),
        ] {
            assert_eq!(text(|out| decimal(unscaled, scale, out)), java);
            assert_eq!(text(|out| plain_decimal(unscaled, scale, out)), plain);
        }
    }

    /// The values that Flink 2.3.0 wrote to JSON and CSV.
    #[test]
    fn decimals_without_their_trailing_zeros_look_as_jackson_writes_them() {
        for (unscaled, scale, expected) in [
            (1_234, 2, "12.34"),
            (10_000, 2, "1E+2"),
            (0, 2, "0"),
            (-1, 2, "-0.01"),
            (1_000, 10, "1E-7"),
            (1_000, 0, "1E+3"),
            (-150, 2, "-1.5"),
            (12_000, 1, "1.2E+3"),
            (10_i128.pow(22), 10, "1E+12"),
            (12_345_678_900_123_456_789, 10, "1234567890.0123456789"),
        ] {
            assert_eq!(text(|out| stripped_decimal(unscaled, scale, out)), expected);
        }
    }

    #[test]
    fn timestamps_print_in_flinks_and_in_javas_style() {
        let mut sql = TimestampWriter::new(b' ', Fraction::Shortest, false, TicksPerSecond(1_000));
        let mut java = TimestampWriter::new(b'T', Fraction::Groups, false, TicksPerSecond(1_000));
        let mut instant = TimestampWriter::new(b'T', Fraction::Groups, true, TicksPerSecond(1_000));
        for (millis, in_sql, in_java) in [
            (1_704_067_210_123, "2024-01-01 00:00:10.123", "2024-01-01T00:00:10.123"),
            (1_704_067_210_120, "2024-01-01 00:00:10.12", "2024-01-01T00:00:10.120"),
            (1_704_067_210_000, "2024-01-01 00:00:10", "2024-01-01T00:00:10"),
            (1_704_067_200_000, "2024-01-01 00:00:00", "2024-01-01T00:00"),
            (-1, "1969-12-31 23:59:59.999", "1969-12-31T23:59:59.999"),
            (253_402_300_800_000, "+10000-01-01 00:00:00", "+10000-01-01T00:00"),
        ] {
            assert_eq!(text(|out| sql.write(millis, out)), in_sql);
            assert_eq!(text(|out| java.write(millis, out)), in_java);
        }
        assert_eq!(text(|out| instant.write(0, out)), "1970-01-01T00:00:00Z");
        assert_eq!(text(|out| time(36_900_500, Fraction::Groups, out)), "10:15:00.500");
        assert_eq!(text(|out| time(36_900_000, Fraction::Groups, out)), "10:15");
        assert_eq!(text(|out| time(36_900_500, Fraction::Shortest, out)), "10:15:00.5");
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_as_the_same_value(bits in any::<u64>(), days in -3_000_000_i32..3_000_000, unscaled in -(10_i128.pow(38) - 1)..10_i128.pow(38), scale in 0_u8..=38) {
            let value = f64::from_bits(bits);
            let read = crate::format::parse::double(text(|out| double(value, out)).as_bytes()).unwrap();
            prop_assert!(read.to_bits() == bits || value.is_nan());
            let value = f32::from_bits(bits as u32);
            let read = crate::format::parse::float(text(|out| float(value, out)).as_bytes()).unwrap();
            prop_assert!(read.to_bits() == value.to_bits() || value.is_nan());
            prop_assert_eq!(calendar::date(text(|out| date(i64::from(days), out)).as_bytes()), Some(days));
            let expected = Some(crate::format::parse::Decimal::Value(unscaled));
            prop_assert_eq!(crate::format::parse::decimal(text(|out| decimal(unscaled, scale, out)).as_bytes(), 38, scale), expected);
            prop_assert_eq!(crate::format::parse::decimal(text(|out| plain_decimal(unscaled, scale, out)).as_bytes(), 38, scale), expected);
            prop_assert_eq!(crate::format::parse::decimal(text(|out| stripped_decimal(unscaled, scale, out)).as_bytes(), 38, scale), expected);
        }

        #[test]
        fn dates_agree_with_another_calendar(days in -700_000_i32..2_900_000) {
            use chrono::Datelike;
            let other = chrono::NaiveDate::from_ymd_opt(1970, 1, 1).unwrap() + chrono::Days::new(0);
            let other = other.checked_add_signed(chrono::TimeDelta::days(i64::from(days))).unwrap();
            let (year, month, day) = date_of(i64::from(days));
            prop_assert_eq!((year, u32::from(month), u32::from(day)), (i64::from(other.year()), other.month(), other.day()));
            prop_assert_eq!(calendar::days_of(year, u64::from(month), u64::from(day)), Some(i64::from(days)));
        }
    }
}
