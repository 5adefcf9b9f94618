//! Text → values, by the rules of the Java methods that Flink's formats call. Every function takes bytes from outside and
//! answers `None` for what is no such value.

/// `text` without the characters that Java's `String.trim` takes off: everything up to the space.
pub(super) fn trim(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|byte| *byte > b' ').unwrap_or(text.len());
    let end = text.iter().rposition(|byte| *byte > b' ').map_or(start, |last| last + 1);
    &text[start..end]
}

/// The eight bytes at `at`, the first one lowest; `None` near the end.
pub(super) fn word_at(bytes: &[u8], at: usize) -> Option<u64> {
    let (word, _) = bytes.get(at..)?.split_first_chunk::<8>()?;
    Some(u64::from_le_bytes(*word))
}

const ONES: u64 = 0x0101_0101_0101_0101;
const TOPS: u64 = 0x8080_8080_8080_8080;

/// How many of the eight bytes of `word`, from the lowest on, are decimal digits.
pub(super) const fn leading_digits(word: u64) -> usize {
    let zeroed = word ^ (0x30 * ONES);
    // A byte above 9 carries into its top bit; a byte with the top bit set is no digit either. Carries out of a byte reach
    // only bytes behind the first one that is no digit.
    let others = (zeroed.wrapping_add(0x76 * ONES) | zeroed) & TOPS;
    (others.trailing_zeros() / 8) as usize
}

/// The number that the lowest `digits` ≤ 8 bytes of `word`, all decimal digits, write.
pub(super) const fn digits_value(word: u64, digits: usize) -> u64 {
    if digits == 0 {
        return 0;
    }
    // Shifted up so that zeros stand before the digits; then pairs, fours and eights are added in place.
    let zeroed = (word ^ (0x30 * ONES)) << (64 - 8 * digits);
    let pairs = (zeroed.wrapping_mul(10).wrapping_add(zeroed >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs.wrapping_mul(100).wrapping_add(pairs >> 16)) & 0x0000_ffff_0000_ffff;
    fours.wrapping_mul(10_000).wrapping_add(fours >> 32) & 0xffff_ffff
}

/// A run of digits at `at`: its value, and where it ends. `None` if it does not fit a `u64`; a run may be empty.
pub(super) fn digits(bytes: &[u8], mut at: usize) -> Option<(u64, usize)> {
    let mut value = 0_u64;
    if let Some(word) = word_at(bytes, at) {
        let count = leading_digits(word);
        value = digits_value(word, count);
        at += count;
        if count < 8 {
            return Some((value, at));
        }
    }
    while let Some(digit) = bytes.get(at).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit <= 9) {
        value = value.checked_mul(10)?.checked_add(u64::from(digit))?;
        at += 1;
    }
    Some((value, at))
}

/// Where the run of digits at `at` ends, which may be empty.
#[inline]
pub(super) fn digits_end(bytes: &[u8], mut at: usize) -> usize {
    while let Some(word) = word_at(bytes, at) {
        let count = leading_digits(word);
        at += count;
        if count < 8 {
            return at;
        }
    }
    while bytes.get(at).is_some_and(u8::is_ascii_digit) {
        at += 1;
    }
    at
}

/// The value with its sign; `None` if it does not fit.
pub(super) fn signed(magnitude: u64, negative: bool) -> Option<i64> {
    if negative { 0_i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() }
}

/// A whole number as `Long.parseLong` reads it, blanks around it taken off.
pub(super) fn integer(text: &[u8]) -> Option<i64> {
    let text = trim(text);
    let (negative, start) = match text.first()? {
        b'-' => (true, 1),
        b'+' => (false, 1),
        _ => (false, 0),
    };
    let (magnitude, end) = digits(text, start)?;
    if end == start || end != text.len() { None } else { signed(magnitude, negative) }
}

/// A boolean as `Boolean.parseBoolean` reads it: everything but `true` is false.
pub(super) fn boolean(text: &[u8]) -> bool {
    trim(text).eq_ignore_ascii_case(b"true")
}

/// A decimal number taken apart: `mantissa · 10^exponent`.
struct Scientific {
    negative: bool,
    mantissa: u128,
    exponent: i32,
}

const POWERS: [f64; 23] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22];

/// A floating-point number as `Double.parseDouble` reads it, hexadecimal and type suffixes apart.
pub(super) fn double(text: &[u8]) -> Option<f64> {
    let text = trim(text);
    if let Some(Scientific { negative, mantissa, exponent }) = scientific(text) {
        // Both factors are exact, so that the one rounding of the product is right.
        if mantissa <= 1 << 53 && exponent.unsigned_abs() <= 22 {
            let (mantissa, power) = (mantissa as f64, POWERS[exponent.unsigned_abs() as usize]);
            let value = if exponent < 0 { mantissa / power } else { mantissa * power };
            return Some(if negative { -value } else { value });
        }
    }
    // Rust reads words (inf, infinity, nan) that Java does not, and Java's are spelt one way alone.
    match text.strip_prefix(b"-").or_else(|| text.strip_prefix(b"+")).unwrap_or(text) {
        b"NaN" => Some(f64::NAN),
        b"Infinity" => Some(if text.first() == Some(&b'-') { f64::NEG_INFINITY } else { f64::INFINITY }),
        [b'0'..=b'9' | b'.', ..] => std::str::from_utf8(text).ok()?.parse().ok(),
        _ => None,
    }
}

/// As [`double`], rounded once to single precision.
pub(super) fn float(text: &[u8]) -> Option<f32> {
    let text = trim(text);
    match text.strip_prefix(b"-").or_else(|| text.strip_prefix(b"+")).unwrap_or(text) {
        [b'0'..=b'9' | b'.', ..] => std::str::from_utf8(text).ok()?.parse().ok(),
        _ => double(text).map(|value| value as f32),
    }
}

/// Takes apart `[+-]digits[.digits][e[+-]digits]`. `None` also if the mantissa does not fit: not every such number is wrong.
fn scientific(text: &[u8]) -> Option<Scientific> {
    let negative = text.first()? == &b'-';
    let mut at = usize::from(matches!(text.first()?, b'-' | b'+'));
    let (mut mantissa, mut exponent, mut count) = (0_u128, 0_i32, 0_usize);
    let mut behind_point = false;
    while let Some(byte) = text.get(at) {
        match byte {
            b'0'..=b'9' => {
                mantissa = mantissa.checked_mul(10)?.checked_add(u128::from(byte - b'0'))?;
                count += 1;
                exponent -= i32::from(behind_point);
            }
            b'.' if !behind_point => behind_point = true,
            _ => break,
        }
        at += 1;
    }
    if count == 0 {
        return None;
    }
    if let Some(b'e' | b'E') = text.get(at) {
        let written = text.get(at + 1..)?;
        let down = written.first()? == &b'-';
        let start = usize::from(matches!(written.first()?, b'-' | b'+'));
        let (magnitude, end) = digits(written, start)?;
        if end == start || end != written.len() {
            return None;
        }
        let magnitude = i32::try_from(magnitude).ok().filter(|m| *m < 1 << 20)?;
        exponent = exponent.checked_add(if down { -magnitude } else { magnitude })?;
        at = text.len();
    }
    (at == text.len()).then_some(Scientific { negative, mantissa, exponent })
}

/// A decimal number that could be read, or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decimal {
    /// The unscaled value at the asked scale, rounded half up.
    Value(i128),
    /// A number of more digits than the precision holds: NULL, as in Flink's `DecimalData.fromBigDecimal`.
    TooLarge,
}

/// A decimal as Java's `BigDecimal` reads it, brought to DECIMAL(precision, scale).
pub(super) fn decimal(text: &[u8], precision: u8, scale: u8) -> Option<Decimal> {
    let text = trim(text);
    let Some(parsed) = scientific(text) else { return long_decimal(text, precision, scale) };
    Some(rescaled(&parsed, precision, scale).map_or(Decimal::TooLarge, Decimal::Value))
}

fn rescaled(parsed: &Scientific, precision: u8, scale: u8) -> Option<i128> {
    let shift = parsed.exponent.checked_add(i32::from(scale))?;
    let magnitude = if parsed.mantissa == 0 {
        0
    } else if shift >= 0 {
        parsed.mantissa.checked_mul(10_u128.checked_pow(shift.unsigned_abs())?)?
    } else {
        match 10_u128.checked_pow(shift.unsigned_abs()) {
            // Half up, away from zero: Java's RoundingMode.HALF_UP.
            Some(divisor) => parsed.mantissa / divisor + u128::from(parsed.mantissa % divisor >= divisor / 2),
            None => 0,
        }
    };
    if magnitude >= 10_u128.pow(u32::from(precision.min(38))) {
        return None;
    }
    let value = i128::try_from(magnitude).ok()?;
    Some(if parsed.negative { -value } else { value })
}

/// A decimal of more digits than a `u128` holds: digits behind the scale's next one cannot matter, so they are cut off.
fn long_decimal(text: &[u8], precision: u8, scale: u8) -> Option<Decimal> {
    let mantissa_end = text.iter().position(|byte| matches!(byte, b'e' | b'E')).unwrap_or(text.len());
    let (mantissa, exponent) = text.split_at(mantissa_end);
    let unsigned = mantissa.strip_prefix(b"-").or_else(|| mantissa.strip_prefix(b"+")).unwrap_or(mantissa);
    let well_formed = unsigned.iter().all(|b| b.is_ascii_digit() || *b == b'.')
        && unsigned.splitn(3, |b| *b == b'.').count() <= 2
        && unsigned.iter().any(u8::is_ascii_digit);
    if !well_formed || unsigned.len() < 38 {
        return None;
    }
    // Leading zeros do not count; 38 significant digits always fit a u128. What is cut off before the point is made good by
    // the exponent, what is cut off behind it is gone.
    let point = unsigned.iter().position(|b| *b == b'.').unwrap_or(unsigned.len());
    let all: Vec<u8> = unsigned.iter().copied().filter(|b| *b != b'.').collect();
    let zeros = all.iter().position(|b| *b != b'0').unwrap_or(all.len());
    let kept = &all[zeros..all.len().min(zeros + 38)];
    let written = match exponent.get(1..) {
        None => 0,
        Some(digits) => i32::try_from(integer(digits)?).ok()?,
    };
    let behind = i32::try_from(zeros + kept.len()).ok()?.checked_sub(i32::try_from(point).ok()?)?;
    let mut parsed = Scientific { negative: text.first() == Some(&b'-'), mantissa: 0, exponent: written.checked_sub(behind)? };
    for digit in kept {
        parsed.mantissa = parsed.mantissa * 10 + u128::from(digit - b'0');
    }
    Some(rescaled(&parsed, precision, scale).map_or(Decimal::TooLarge, Decimal::Value))
}
