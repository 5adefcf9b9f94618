//! The accumulators that lie in the words of a group: COUNT, SUM, AVG, and MIN and MAX of fixed width over rows that stay.

use super::kernel::Accumulator;
use crate::state::{ValidBit, ordered_of_double};
use arrow::datatypes::i256;

/// `COUNT(x)`, `COUNT(*) FILTER …`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Count {
    pub(super) count: usize,
}

impl Accumulator for Count {
    type Input = ();
    type Value = i64;

    #[inline]
    fn value(&self, row: &[u64]) -> Option<i64> {
        Some(row[self.count] as i64)
    }

    #[inline]
    fn add(&self, row: &mut [u64], (): ()) {
        row[self.count] = row[self.count].wrapping_add(1);
    }

    #[inline]
    fn subtract(&self, row: &mut [u64], (): ()) {
        row[self.count] = row[self.count].wrapping_sub(1);
    }

    #[inline]
    fn clear(&self, row: &mut [u64]) {
        row[self.count] = 0;
    }
}

/// Sum and count of the values that are not NULL, for SUM and AVG. `AVERAGE`: the value is their quotient.
#[derive(Debug, Clone, Copy)]
pub(super) struct SumLong<const AVERAGE: bool> {
    pub(super) sum: usize,
    pub(super) count: usize,
}

impl<const AVERAGE: bool> Accumulator for SumLong<AVERAGE> {
    type Input = i64;
    type Value = i64;

    #[inline]
    fn value(&self, row: &[u64]) -> Option<i64> {
        let (sum, count) = (row[self.sum] as i64, row[self.count] as i64);
        if count == 0 {
            None
        } else if AVERAGE {
            Some(sum.wrapping_div(count))
        } else {
            Some(sum)
        }
    }

    #[inline]
    fn add(&self, row: &mut [u64], input: i64) {
        row[self.sum] = row[self.sum].wrapping_add(input as u64);
        row[self.count] = row[self.count].wrapping_add(1);
    }

    #[inline]
    fn subtract(&self, row: &mut [u64], input: i64) {
        row[self.sum] = row[self.sum].wrapping_sub(input as u64);
        row[self.count] = row[self.count].wrapping_sub(1);
    }

    #[inline]
    fn clear(&self, row: &mut [u64]) {
        (row[self.sum], row[self.count]) = (0, 0);
    }
}

/// As [`SumLong`] over floats. `SINGLE`: each sum is rounded to FLOAT, as adding two FLOATs does.
#[derive(Debug, Clone, Copy)]
pub(super) struct SumDouble<const AVERAGE: bool, const SINGLE: bool> {
    pub(super) sum: usize,
    pub(super) count: usize,
}

impl<const AVERAGE: bool, const SINGLE: bool> SumDouble<AVERAGE, SINGLE> {
    #[inline]
    fn change(&self, row: &mut [u64], input: f64, count: u64) {
        let sum = f64::from_bits(row[self.sum]) + input;
        // A sum of two FLOATs is exact enough in DOUBLE that rounding twice is rounding once.
        row[self.sum] = if SINGLE { f64::from(sum as f32).to_bits() } else { sum.to_bits() };
        row[self.count] = row[self.count].wrapping_add(count);
    }
}

impl<const AVERAGE: bool, const SINGLE: bool> Accumulator for SumDouble<AVERAGE, SINGLE> {
    type Input = f64;
    type Value = f64;

    #[inline]
    fn value(&self, row: &[u64]) -> Option<f64> {
        let (sum, count) = (f64::from_bits(row[self.sum]), row[self.count] as i64);
        if count == 0 {
            None
        } else if AVERAGE {
            Some(sum / count as f64)
        } else {
            Some(sum)
        }
    }

    #[inline]
    fn add(&self, row: &mut [u64], input: f64) {
        self.change(row, input, 1);
    }

    #[inline]
    fn subtract(&self, row: &mut [u64], input: f64) {
        self.change(row, -input, u64::MAX);
    }

    #[inline]
    fn clear(&self, row: &mut [u64]) {
        (row[self.sum], row[self.count]) = (0, 0);
    }
}

#[inline]
fn wide(row: &[u64], word: usize) -> i128 {
    ((u128::from(row[word + 1]) << 64) | u128::from(row[word])) as i128
}

#[inline]
fn set_wide(row: &mut [u64], word: usize, value: i128) {
    (row[word], row[word + 1]) = (value as u64, (value >> 64) as u64);
}

/// The sum of decimals: NULL without values, and from the moment at which it has more digits than its type until the group
/// has no value any more.
#[derive(Debug, Clone, Copy)]
pub(super) struct SumWide<const AVERAGE: bool> {
    pub(super) sum: usize,
    /// Set while the sum is a number.
    pub(super) valid: ValidBit,
    pub(super) count: usize,
    /// 10 to the power of the sum's precision: what it must stay below.
    pub(super) bound: i128,
    /// For averages: how the quotient is scaled.
    pub(super) scaling: Scaling,
}

impl<const AVERAGE: bool> SumWide<AVERAGE> {
    #[inline]
    fn change(&self, row: &mut [u64], input: i128, count: u64) {
        let first = row[self.count] == 0;
        row[self.count] = row[self.count].wrapping_add(count);
        if first {
            row[self.valid.word] |= self.valid.mask;
            set_wide(row, self.sum, 0);
        } else if row[self.valid.word] & self.valid.mask == 0 {
            return;
        }
        match wide(row, self.sum).checked_add(input).filter(|sum| -self.bound < *sum && *sum < self.bound) {
            Some(sum) => set_wide(row, self.sum, sum),
            None => self.overflow(row),
        }
    }

    fn overflow(&self, row: &mut [u64]) {
        row[self.valid.word] &= !self.valid.mask;
        set_wide(row, self.sum, 0);
    }
}

impl<const AVERAGE: bool> Accumulator for SumWide<AVERAGE> {
    type Input = i128;
    type Value = i128;

    #[inline]
    fn value(&self, row: &[u64]) -> Option<i128> {
        let count = row[self.count] as i64;
        if count == 0 || row[self.valid.word] & self.valid.mask == 0 {
            None
        } else if AVERAGE {
            self.scaling.quotient(wide(row, self.sum), count)
        } else {
            Some(wide(row, self.sum))
        }
    }

    #[inline]
    fn add(&self, row: &mut [u64], input: i128) {
        self.change(row, input, 1);
    }

    #[inline]
    fn subtract(&self, row: &mut [u64], input: i128) {
        self.change(row, input.wrapping_neg(), u64::MAX);
    }

    #[inline]
    fn clear(&self, row: &mut [u64]) {
        row[self.count] = 0;
        self.overflow(row);
    }
}

/// The scale of a quotient of decimals.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scaling {
    /// 10 to the power of (scale of the result - scale of the sum), or of its opposite if that is negative.
    pub(super) factor: i128,
    /// True if the result has the larger scale.
    pub(super) up: bool,
    /// 10 to the power of the result's precision.
    pub(super) bound: i128,
}

impl Scaling {
    /// From a sum of scale `from` to a result `DECIMAL(precision, to)`; `None` if the scales are further apart than a DECIMAL has digits.
    pub(super) fn new(from: i8, to: i8, precision: u8) -> Option<Self> {
        let apart = u32::from(from.abs_diff(to));
        Some(Self { factor: 10_i128.checked_pow(apart)?, up: to >= from, bound: 10_i128.checked_pow(u32::from(precision))? })
    }

    /// `sum / count`, rounded half away from zero; `None` if it has too many digits.
    fn quotient(&self, sum: i128, count: i64) -> Option<i128> {
        let (number, divisor) = if self.up {
            match sum.checked_mul(self.factor) {
                Some(number) => (number, i128::from(count)),
                None => return self.wide_quotient(sum, count),
            }
        } else {
            match self.factor.checked_mul(i128::from(count)) {
                Some(divisor) => (sum, divisor),
                // More than any sum has digits.
                None => return Some(0),
            }
        };
        let (quotient, rest) = (number.checked_div(divisor)?, number.checked_rem(divisor)?);
        // rest >= divisor / 2, without the overflow of doubling.
        let round = rest.unsigned_abs() >= divisor.unsigned_abs() - rest.unsigned_abs();
        let away = if (number < 0) == (divisor < 0) { 1 } else { -1 };
        let rounded = if round { quotient.checked_add(away)? } else { quotient };
        (-self.bound < rounded && rounded < self.bound).then_some(rounded)
    }

    fn wide_quotient(&self, sum: i128, count: i64) -> Option<i128> {
        let number = i256::from_i128(sum).checked_mul(i256::from_i128(self.factor))?;
        let divisor = i256::from_i128(i128::from(count));
        let (quotient, rest) = (number.checked_div(divisor)?, number.checked_rem(divisor)?);
        let quotient = quotient.to_i128()?;
        let (rest, divisor) = (rest.to_i128()?.unsigned_abs(), u128::from(count.unsigned_abs()));
        let away = if (sum < 0) == (count < 0) { 1 } else { -1 };
        let rounded = if rest >= divisor - rest { quotient.checked_add(away)? } else { quotient };
        (-self.bound < rounded && rounded < self.bound).then_some(rounded)
    }
}

/// A fixed-width value as it lies in a row, in the order of MIN and MAX.
pub(super) trait Extreme: Copy + PartialEq + Default {
    fn load(row: &[u64], word: usize) -> Self;
    fn store(self, row: &mut [u64], word: usize);
    fn less(self, other: Self) -> bool;
}

impl Extreme for i64 {
    #[inline]
    fn load(row: &[u64], word: usize) -> Self {
        row[word] as Self
    }

    #[inline]
    fn store(self, row: &mut [u64], word: usize) {
        row[word] = self as u64;
    }

    #[inline]
    fn less(self, other: Self) -> bool {
        self < other
    }
}

impl Extreme for f64 {
    #[inline]
    fn load(row: &[u64], word: usize) -> Self {
        Self::from_bits(row[word])
    }

    #[inline]
    fn store(self, row: &mut [u64], word: usize) {
        row[word] = self.to_bits();
    }

    #[inline]
    fn less(self, other: Self) -> bool {
        ordered_of_double(self) < ordered_of_double(other)
    }
}

impl Extreme for i128 {
    #[inline]
    fn load(row: &[u64], word: usize) -> Self {
        wide(row, word)
    }

    #[inline]
    fn store(self, row: &mut [u64], word: usize) {
        set_wide(row, word, self);
    }

    #[inline]
    fn less(self, other: Self) -> bool {
        self < other
    }
}

/// MIN (`MAX` false) or MAX over rows that are never taken back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extremum<V, const MAX: bool> {
    pub(super) word: usize,
    pub(super) valid: ValidBit,
    pub(super) of: std::marker::PhantomData<V>,
}

impl<V: Extreme, const MAX: bool> Accumulator for Extremum<V, MAX> {
    type Input = V;
    type Value = V;

    #[inline]
    fn value(&self, row: &[u64]) -> Option<V> {
        (row[self.valid.word] & self.valid.mask != 0).then(|| V::load(row, self.word))
    }

    #[inline]
    fn add(&self, row: &mut [u64], input: V) {
        let replaces = match self.value(row) {
            None => true,
            Some(best) if MAX => best.less(input),
            Some(best) => input.less(best),
        };
        if replaces {
            row[self.valid.word] |= self.valid.mask;
            input.store(row, self.word);
        }
    }

    /// Never called: streams with retractions keep all values.
    fn subtract(&self, _row: &mut [u64], _input: V) {}

    fn clear(&self, row: &mut [u64]) {
        row[self.valid.word] &= !self.valid.mask;
        V::default().store(row, self.word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_average_of_decimals_rounds_half_away_from_zero() {
        let scaling = Scaling::new(2, 6, 38).unwrap();
        assert_eq!(scaling.quotient(100, 3), Some(333_333));
        assert_eq!(scaling.quotient(200, 3), Some(666_667));
        assert_eq!(scaling.quotient(-200, 3), Some(-666_667));
        let same = Scaling::new(0, 0, 38).unwrap();
        assert_eq!([same.quotient(5, 2), same.quotient(-5, 2), same.quotient(4, 3)], [Some(3), Some(-3), Some(1)]);
        let down = Scaling::new(6, 2, 38).unwrap();
        assert_eq!(down.quotient(1_005_000, 1), Some(101));
    }

    #[test]
    fn a_quotient_beyond_128_bits_on_the_way_is_exact() {
        let scaling = Scaling::new(0, 6, 38).unwrap();
        let sum = 10_i128.pow(37);
        assert_eq!(scaling.quotient(sum, 1_000_000_000), Some(10_i128.pow(34)));
        assert_eq!(scaling.quotient(sum, 10), None);
    }

    #[test]
    fn a_decimal_sum_that_overflows_is_null_until_its_group_has_no_values() {
        let valid = ValidBit { word: 0, mask: 2 };
        let scaling = Scaling::new(0, 0, 3).unwrap();
        let sum = SumWide::<false> { sum: 1, valid, count: 3, bound: 1000, scaling };
        let mut row = [0; 4];
        sum.add(&mut row, 900);
        assert_eq!(sum.value(&row), Some(900));
        sum.add(&mut row, 100);
        assert_eq!(sum.value(&row), None);
        sum.subtract(&mut row, 100);
        assert_eq!(sum.value(&row), None);
        sum.subtract(&mut row, 900);
        sum.add(&mut row, -7);
        assert_eq!(sum.value(&row), Some(-7));
    }
}
