//! DECIMAL arithmetic with Flink's rounding (half up, away from zero) and overflow (NULL).

use super::coerce::{Arithmetic, decimal_result};
use super::kernel::{Arg, Kernel, KernelError, KernelResult, valid_rows};
use arrow::array::{Array, ArrayRef, Decimal128Array, Decimal128Builder};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::{Decimal128Type, i256};
use std::sync::Arc;

/// 10^n for 0 ≤ n ≤ 38.
pub const fn power_of_ten(n: u8) -> i128 {
    let mut power: i128 = 1;
    let mut i = 0;
    while i < n && i < 38 {
        power *= 10;
        i += 1;
    }
    power
}

fn wide_power_of_ten(n: u32) -> i256 {
    let mut power = i256::ONE;
    let ten = i256::from_i128(10);
    for _ in 0..n.min(76) {
        power = power.wrapping_mul(ten);
    }
    power
}

/// True if `value` has at most `precision` digits.
pub fn fits(value: i128, precision: u8) -> bool {
    value.unsigned_abs() < power_of_ten(precision).unsigned_abs()
}

/// `value / divisor`, rounded half up (away from zero). `divisor` is not 0.
pub fn divide_half_up(value: i128, divisor: i128) -> i128 {
    let quotient = value.wrapping_div(divisor);
    let remainder = value.wrapping_rem(divisor);
    let away = remainder.unsigned_abs() >= divisor.unsigned_abs().div_ceil(2);
    let negative = (value < 0) != (divisor < 0);
    match (away, negative) {
        (false, _) => quotient,
        (true, false) => quotient.wrapping_add(1),
        (true, true) => quotient.wrapping_sub(1),
    }
}

fn wide_divide_half_up(value: i256, divisor: i256) -> Option<i256> {
    let quotient = value.checked_div(divisor)?;
    let remainder = value.checked_rem(divisor)?.wrapping_abs();
    let rest = divisor.wrapping_abs().checked_sub(remainder)?;
    if remainder < rest {
        return Some(quotient);
    }
    let negative = (value < i256::ZERO) != (divisor < i256::ZERO);
    if negative { quotient.checked_sub(i256::ONE) } else { quotient.checked_add(i256::ONE) }
}

/// `value` of scale `from` at scale `to`, rounded half up; `None` if it needs more than `precision` digits.
pub fn rescale(value: i128, from: u8, to: u8, precision: u8) -> Option<i128> {
    let scaled = if to >= from { value.checked_mul(power_of_ten(to - from))? } else { divide_half_up(value, power_of_ten(from - to)) };
    fits(scaled, precision).then_some(scaled)
}

fn wide_to_scale(value: i256, from: u32, to: u32, precision: u8) -> Option<i128> {
    let scaled = if to >= from {
        value.checked_mul(wide_power_of_ten(to - from))?
    } else {
        wide_divide_half_up(value, wide_power_of_ten(from - to))?
    };
    scaled.to_i128().filter(|v| fits(*v, precision))
}

/// One operation on two DECIMALs of given scales, with a result of a given type.
#[derive(Debug, Clone, Copy)]
struct Operation {
    op: Arithmetic,
    s1: u8,
    s2: u8,
    precision: u8,
    scale: u8,
}

impl Operation {
    /// The exact path, through 256 bits. `Ok(None)` is an overflow.
    fn wide(self, a: i128, b: i128) -> Result<Option<i128>, KernelError> {
        let (x, y) = (i256::from_i128(a), i256::from_i128(b));
        let (s1, s2, scale) = (u32::from(self.s1), u32::from(self.s2), u32::from(self.scale));
        let common = s1.max(s2);
        let aligned = || Some((x.checked_mul(wide_power_of_ten(common - s1))?, y.checked_mul(wide_power_of_ten(common - s2))?));
        if b == 0 && matches!(self.op, Arithmetic::Divide | Arithmetic::Modulo) {
            return Err(KernelError("Division by zero".to_owned()));
        }
        let to = |value: Option<i256>, from: u32| value.and_then(|v| wide_to_scale(v, from, scale, self.precision));
        Ok(match self.op {
            Arithmetic::Add => to(aligned().and_then(|(x, y)| x.checked_add(y)), common),
            Arithmetic::Subtract => to(aligned().and_then(|(x, y)| x.checked_sub(y)), common),
            Arithmetic::Multiply => to(x.checked_mul(y), s1 + s2),
            Arithmetic::Modulo => to(aligned().and_then(|(x, y)| x.checked_rem(y)), common),
            Arithmetic::Divide => {
                // a·10^-s1 / b·10^-s2 at scale s is a·10^(s + s2 - s1) / b.
                let shift = i64::from(scale) + i64::from(s2) - i64::from(s1);
                let (x, y) = if shift >= 0 {
                    (x.checked_mul(wide_power_of_ten(shift as u32)), Some(y))
                } else {
                    (Some(x), y.checked_mul(wide_power_of_ten(shift.unsigned_abs() as u32)))
                };
                let quotient = x.zip(y).and_then(|(x, y)| wide_divide_half_up(x, y));
                quotient.and_then(i256::to_i128).filter(|v| fits(*v, self.precision))
            }
        })
    }

    /// True if no value of the operand types can overflow 128 bits or the result type, nor need rounding.
    fn is_exact(self, p1: u8, p2: u8) -> bool {
        match self.op {
            Arithmetic::Multiply => u16::from(p1) + u16::from(p2) < 38 && self.scale == self.s1 + self.s2,
            Arithmetic::Add | Arithmetic::Subtract => {
                let scale = self.s1.max(self.s2);
                u16::from((p1 - self.s1).max(p2 - self.s2)) + u16::from(scale) < 38 && self.scale == scale
            }
            Arithmetic::Divide | Arithmetic::Modulo => false,
        }
    }
}

/// The kernel of `left op right`; its result has the type [`decimal_result`].
pub fn arithmetic_kernel(op: Arithmetic, left: (u8, u8), right: (u8, u8)) -> Kernel {
    let (precision, scale) = decimal_result(op, left, right);
    let operation = Operation { op, s1: left.1, s2: right.1, precision, scale };
    let exact = operation.is_exact(left.0, right.0);
    Arc::new(move |args: &[Arg], rows: usize| {
        let (a, b) = (args[0].values::<Decimal128Type>()?, args[1].values::<Decimal128Type>()?);
        let valid = valid_rows(args, rows);
        if exact {
            let factor1 = power_of_ten(scale.saturating_sub(left.1));
            let factor2 = power_of_ten(scale.saturating_sub(right.1));
            let values: ScalarBuffer<i128> = match op {
                Arithmetic::Add => (0..rows).map(|i| (a.raw(i) * factor1).wrapping_add(b.raw(i) * factor2)).collect(),
                Arithmetic::Subtract => (0..rows).map(|i| (a.raw(i) * factor1).wrapping_sub(b.raw(i) * factor2)).collect(),
                _ => (0..rows).map(|i| a.raw(i).wrapping_mul(b.raw(i))).collect(),
            };
            return finish(Decimal128Array::new(values, valid), precision, scale);
        }
        let mut builder = Decimal128Builder::with_capacity(rows);
        for i in 0..rows {
            let present = valid.as_ref().is_none_or(|v| v.is_valid(i));
            builder.append_option(if present { operation.wide(a.raw(i), b.raw(i))? } else { None });
        }
        finish(builder.finish(), precision, scale)
    })
}

/// The array with its type.
pub fn finish(array: Decimal128Array, precision: u8, scale: u8) -> KernelResult {
    Ok(Arc::new(array.with_precision_and_scale(precision, scale as i8)?) as ArrayRef)
}

/// Applies `f` to every value that is not NULL; `Ok(None)` makes NULL.
pub fn map(array: &dyn Array, (precision, scale): (u8, u8), f: impl Fn(i128) -> Result<Option<i128>, KernelError>) -> KernelResult {
    let Some(array) = array.as_any().downcast_ref::<Decimal128Array>() else {
        return Err(KernelError(format!("expected a DECIMAL, found {}", array.data_type())));
    };
    let mut builder = Decimal128Builder::with_capacity(array.len());
    for value in array {
        match value {
            Some(value) => builder.append_option(f(value)?),
            None => builder.append_null(),
        }
    }
    finish(builder.finish(), precision, scale)
}

/// Reads a decimal number (`-1.50`, `.5`, `1e3`) at `scale`, rounded half up. `Err(())`: not a number; `Ok(None)`: too large.
#[expect(clippy::result_unit_err, reason = "the caller words the error, with the target type")]
pub fn parse(text: &str, precision: u8, scale: u8) -> Result<Option<i128>, ()> {
    let text = text.trim();
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], text[at + 1..].parse::<i32>().map_err(|_| ())?),
        None => (text, 0),
    };
    let (negative, digits) = match mantissa.as_bytes().first() {
        Some(b'-') => (true, &mantissa[1..]),
        Some(b'+') => (false, &mantissa[1..]),
        _ => (false, mantissa),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all = whole.bytes().chain(fraction.bytes());
    if digits.len() == digits.matches('.').count() || !all.clone().all(|b| b.is_ascii_digit()) {
        return Err(());
    }
    // The value is all·10^(exponent - fraction.len()); it is wanted at 10^-scale.
    let shift = i64::from(exponent) - fraction.len() as i64 + i64::from(scale);
    let keep = (whole.len() + fraction.len()) as i64 + shift.min(0);
    let mut value: i128 = 0;
    let mut round_up = false;
    for (position, digit) in all.enumerate() {
        let position = position as i64;
        if position < keep {
            let next = value.checked_mul(10).and_then(|v| v.checked_add(i128::from(digit - b'0')));
            match next {
                Some(next) => value = next,
                None => return Ok(None),
            }
        } else if position == keep {
            round_up = digit >= b'5';
        }
    }
    for _ in 0..shift.max(0) {
        if value == 0 {
            break;
        }
        match value.checked_mul(10) {
            Some(next) => value = next,
            None => return Ok(None),
        }
    }
    let value = value + i128::from(round_up);
    let value = if negative { -value } else { value };
    Ok(fits(value, precision).then_some(value))
}

/// Appends `value` at `scale` as Java's `BigDecimal.toPlainString` does.
pub fn write_plain(out: &mut String, value: i128, scale: u8) {
    use std::fmt::Write;
    if value < 0 {
        out.push('-');
    }
    let magnitude = value.unsigned_abs();
    let power = power_of_ten(scale).unsigned_abs();
    let _ = write!(out, "{}", magnitude / power);
    if scale > 0 {
        let _ = write!(out, ".{:0width$}", magnitude % power, width = usize::from(scale));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_rules_are_those_of_flink() {
        use Arithmetic::{Add, Divide, Modulo, Multiply};
        for (op, left, right, expected) in [
            (Multiply, (19, 0), (3, 3), (23, 3)),
            (Add, (10, 2), (5, 1), (11, 2)),
            (Add, (38, 10), (38, 10), (38, 9)),
            (Divide, (32, 8), (38, 8), (38, 6)),
            (Divide, (30, 20), (30, 20), (38, 8)),
            (Divide, (10, 2), (5, 1), (17, 8)),
            (Multiply, (30, 10), (30, 10), (38, 6)),
            (Multiply, (30, 20), (30, 20), (38, 17)),
            (Modulo, (10, 2), (5, 1), (6, 2)),
        ] {
            assert_eq!(decimal_result(op, left, right), expected, "{op:?} {left:?} {right:?}");
        }
    }

    #[test]
    fn texts_read_and_print_exactly_and_round_half_up() {
        for (text, scale, expected) in [
            ("1.5", 2, "1.50"),
            ("-0.005", 2, "-0.01"),
            ("1e3", 0, "1000"),
            ("12.345e-1", 3, "1.235"),
            (".5", 0, "1"),
            ("0.4999", 0, "0"),
            ("  7 ", 1, "7.0"),
            ("5e-5", 2, "0.00"),
        ] {
            let mut out = String::new();
            write_plain(&mut out, parse(text, 38, scale).unwrap().unwrap(), scale);
            assert_eq!(out, expected, "{text}");
        }
        for text in ["", ".", "-", "1.2.3", "abc", "1e", "0x1", "1 2"] {
            assert_eq!(parse(text, 38, 2), Err(()), "{text}");
        }
        assert_eq!(parse("1000", 3, 0), Ok(None));
        assert_eq!(parse("1e999999999", 38, 0), Ok(None));
        assert_eq!(parse("0e999999999", 38, 0), Ok(Some(0)));
    }

    #[test]
    fn division_rounds_half_away_from_zero() {
        for (value, divisor, expected) in [(5, 10, 1), (4, 10, 0), (-5, 10, -1), (15, 10, 2), (1, 3, 0), (2, 3, 1), (-2, 3, -1)] {
            assert_eq!(divide_half_up(value, divisor), expected, "{value}/{divisor}");
        }
    }
}
