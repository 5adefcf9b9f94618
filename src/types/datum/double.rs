//! Floats with a total order: Java's `Double.compare`, where -0.0 < 0.0 and NaN is the largest value.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

/// See the module. Two of them are equal if their order says so: all NaNs are one.
#[derive(Debug, Clone, Copy, Default)]
pub struct OrderedDouble(f64);

impl OrderedDouble {
    /// With this value.
    #[inline]
    pub const fn new(value: f64) -> Self {
        Self(value)
    }

    /// The value.
    #[inline]
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl PartialEq for OrderedDouble {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for OrderedDouble {}

impl PartialOrd for OrderedDouble {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for OrderedDouble {
    fn cmp(&self, other: &Self) -> Ordering {
        ordered_of_double(self.0).cmp(&ordered_of_double(other.0))
    }
}

impl Hash for OrderedDouble {
    fn hash<H: Hasher>(&self, state: &mut H) {
        ordered_of_double(self.0).hash(state);
    }
}

/// The float at the same place in an order over `i64`: Java's `Double.compare`, where -0.0 < 0.0 and NaN is the largest value.
#[inline]
pub const fn ordered_of_double(value: f64) -> i64 {
    let bits = if value.is_nan() { f64::NAN.to_bits() as i64 } else { value.to_bits() as i64 };
    bits ^ (((bits >> 63) as u64) >> 1) as i64
}

/// The float that [`ordered_of_double`] turned into `ordered`.
#[inline]
pub const fn double_of_ordered(ordered: i64) -> f64 {
    f64::from_bits((ordered ^ (((ordered >> 63) as u64) >> 1) as i64) as u64)
}
