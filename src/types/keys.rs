//! Keys, key groups and who owns them.
//!
//! `key group = (stable_hash(key) >> 32) % max_parallelism`, `subtask = key_group * parallelism / max_parallelism`, as in Flink
//! (with a hash of our own). The hash is fixed for ever: savepoints depend on it, and a test holds it by literal values.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Time32MillisecondType,
    TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};
use std::fmt;
use std::ops::Range;
use xxhash_rust::xxh3::xxh3_64;

/// The unit in which keyed state is moved between subtasks: 0 ≤ group < max parallelism.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct KeyGroup(pub u16);

/// How many subtasks an operator runs in: 1 ≤ parallelism ≤ max parallelism.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Parallelism(u16);

/// The number of key groups: 1 ≤ n ≤ 32,768. It cannot change while there is state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct MaxParallelism(u16);

impl Parallelism {
    /// One subtask.
    pub const ONE: Self = Self(1);

    /// `number` subtasks; `None` unless 1 ≤ number ≤ 32,768.
    pub fn new(number: usize) -> Option<Self> {
        (1..=32_768).contains(&number).then_some(Self(number as u16))
    }

    /// The number of subtasks.
    pub const fn get(self) -> usize {
        self.0 as usize
    }
}

impl MaxParallelism {
    /// The most key groups that there can be.
    pub const MAX: Self = Self(32_768);

    /// `number` key groups; `None` unless 1 ≤ number ≤ 32,768.
    pub fn new(number: usize) -> Option<Self> {
        (1..=32_768).contains(&number).then_some(Self(number as u16))
    }

    /// Flink's default: `clamp(next power of two of 1.5 × parallelism, 128, 32,768)`.
    pub fn default_for(parallelism: Parallelism) -> Self {
        let p = parallelism.get();
        Self((p + p / 2).next_power_of_two().clamp(128, 32_768) as u16)
    }

    /// The number of key groups.
    pub const fn get(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for Parallelism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for MaxParallelism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The key groups of one subtask: a contiguous range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyGroupRange {
    start: u16,
    end: u16,
}

impl KeyGroupRange {
    /// The groups that subtask `index` of `parallelism` owns: `[ceil(i·max/p), ceil((i+1)·max/p))`.
    pub fn of_subtask(max: MaxParallelism, parallelism: Parallelism, index: usize) -> Self {
        let (max, p) = (max.get(), parallelism.get());
        let start = (index * max).div_ceil(p);
        let end = ((index + 1) * max).div_ceil(p);
        Self { start: start as u16, end: end as u16 }
    }

    /// This group alone.
    pub const fn of_group(group: KeyGroup) -> Self {
        Self { start: group.0, end: group.0 + 1 }
    }

    /// True if `group` is in the range.
    pub const fn contains(self, group: KeyGroup) -> bool {
        self.start <= group.0 && group.0 < self.end
    }

    /// Number of groups.
    pub const fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    /// True if there is none.
    pub const fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// The group numbers.
    pub const fn as_range(self) -> Range<u16> {
        self.start..self.end
    }
}

/// The key group of a key with this hash.
pub const fn key_group_of(hash: u64, max: MaxParallelism) -> KeyGroup {
    KeyGroup(((hash >> 32) as u32 % max.0 as u32) as u16)
}

/// The subtask that owns `group`.
pub const fn subtask_of(group: KeyGroup, max: MaxParallelism, parallelism: Parallelism) -> usize {
    group.0 as usize * parallelism.get() / max.get()
}

const SEED: u64 = 0x9E37_79B9_7F4A_7C15;
const NULL: u64 = 0x6E75_6C6C_6B65_7973;

/// The finalizer of MurmurHash3 for 64 bits: a bijection that spreads every input bit over all output bits.
#[inline]
const fn mix(mut h: u64) -> u64 {
    h ^= h >> 33;
    h = h.wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    h ^= h >> 33;
    h = h.wrapping_mul(0xC4CE_B9FE_1A85_EC53);
    h ^ (h >> 33)
}

#[inline]
const fn combine(h: u64, value: u64) -> u64 {
    mix(h.rotate_left(23) ^ value)
}

/// Writes the stable hash of each row's key into `hashes` (cleared first; one value a row).
///
/// `columns`: the key columns in key order, all of the same length. The hash of an integer does not depend on its width, so
/// that a key may be widened. Without key columns every row has the same hash.
/// Errors on a key type that has no stable hash (none of those that `job.toml` knows).
pub fn hash_keys(columns: &[ArrayRef], rows: usize, hashes: &mut Vec<u64>) -> Result<(), ArrowError> {
    hashes.clear();
    hashes.resize(rows, SEED);
    for column in columns {
        hash_column(column, hashes)?;
    }
    Ok(())
}

macro_rules! hash_values {
    ($column:expr, $hashes:expr, $type:ty, |$value:ident| $bits:expr) => {{
        let array = $column.as_primitive::<$type>();
        if array.null_count() == 0 {
            for (h, $value) in $hashes.iter_mut().zip(array.values().iter().copied()) {
                *h = combine(*h, $bits);
            }
        } else {
            for (h, value) in $hashes.iter_mut().zip(array.iter()) {
                *h = combine(*h, value.map_or(NULL, |$value| $bits));
            }
        }
    }};
}

fn hash_column(column: &ArrayRef, hashes: &mut [u64]) -> Result<(), ArrowError> {
    match column.data_type() {
        DataType::Int8 => hash_values!(column, hashes, Int8Type, |v| i64::from(v) as u64),
        DataType::Int16 => hash_values!(column, hashes, Int16Type, |v| i64::from(v) as u64),
        DataType::Int32 => hash_values!(column, hashes, Int32Type, |v| i64::from(v) as u64),
        DataType::Int64 => hash_values!(column, hashes, Int64Type, |v| v as u64),
        DataType::Date32 => hash_values!(column, hashes, Date32Type, |v| i64::from(v) as u64),
        DataType::Time32(TimeUnit::Millisecond) => hash_values!(column, hashes, Time32MillisecondType, |v| i64::from(v) as u64),
        DataType::Timestamp(TimeUnit::Second, _) => hash_values!(column, hashes, TimestampSecondType, |v| v as u64),
        DataType::Timestamp(TimeUnit::Millisecond, _) => hash_values!(column, hashes, TimestampMillisecondType, |v| v as u64),
        DataType::Timestamp(TimeUnit::Microsecond, _) => hash_values!(column, hashes, TimestampMicrosecondType, |v| v as u64),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => hash_values!(column, hashes, TimestampNanosecondType, |v| v as u64),
        DataType::Float32 => hash_values!(column, hashes, Float32Type, |v| float_bits(f64::from(v))),
        DataType::Float64 => hash_values!(column, hashes, Float64Type, |v| float_bits(v)),
        DataType::Decimal128(_, _) => hash_values!(column, hashes, Decimal128Type, |v| mix(v as u64) ^ ((v >> 64) as u64)),
        DataType::Boolean => hash_options(hashes, column.as_boolean().iter().map(|v| v.map(u64::from))),
        DataType::Utf8 => hash_options(hashes, column.as_string::<i32>().iter().map(|v| v.map(|v| xxh3_64(v.as_bytes())))),
        DataType::Binary => hash_options(hashes, column.as_binary::<i32>().iter().map(|v| v.map(xxh3_64))),
        DataType::Null => hash_options(hashes, std::iter::repeat_n(None, column.len())),
        DataType::Struct(_) | DataType::List(_) => {
            let converter = RowConverter::new(vec![SortField::new(column.data_type().clone())])?;
            let rows = converter.convert_columns(std::slice::from_ref(column))?;
            hash_options(hashes, rows.iter().map(|row| Some(xxh3_64(row.as_ref()))));
        }
        other => return Err(ArrowError::NotYetImplemented(format!("{other} as a key"))),
    }
    Ok(())
}

fn hash_options(hashes: &mut [u64], values: impl Iterator<Item = Option<u64>>) {
    for (h, value) in hashes.iter_mut().zip(values) {
        *h = combine(*h, value.unwrap_or(NULL));
    }
}

/// Equal floats have equal bits: one zero, one NaN.
fn float_bits(value: f64) -> u64 {
    if value == 0.0 {
        0
    } else if value.is_nan() {
        f64::NAN.to_bits()
    } else {
        value.to_bits()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Float64Array, Int32Array, Int64Array, StringArray};
    use std::sync::Arc;

    fn hashes(columns: &[ArrayRef]) -> Vec<u64> {
        let mut hashes = Vec::new();
        hash_keys(columns, columns[0].len(), &mut hashes).unwrap();
        hashes
    }

    #[test]
    fn the_hash_of_a_key_never_changes() {
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(0), Some(1), Some(-1), None]));
        let words: ArrayRef = Arc::new(StringArray::from(vec!["", "a", "flink", "Zürich"]));
        assert_eq!(hashes(std::slice::from_ref(&numbers)), LITERALS[0]);
        assert_eq!(hashes(std::slice::from_ref(&words)), LITERALS[1]);
        assert_eq!(hashes(&[numbers, words]), LITERALS[2]);
    }
    const LITERALS: [[u64; 4]; 3] = [
        [0xD843_6DF0_0FD1_AE9A, 0x4CEC_58EF_F65D_8C3A, 0xDFD4_638C_34D8_C66B, 0xC678_6B35_CB5B_170A],
        [0xDB90_3B91_AA54_3F4F, 0x206A_5348_6372_3DA4, 0x0F22_9744_2CF6_5002, 0xD7D8_188A_B8F2_D1A4],
        [0x5E26_F913_618F_1457, 0x7344_42CE_9FE1_A382, 0x157C_5649_E4B1_CBE2, 0x4D2C_4057_EBCA_F990],
    ];

    #[test]
    fn an_integer_hashes_the_same_at_every_width_and_zeroes_are_one() {
        let narrow: ArrayRef = Arc::new(Int32Array::from(vec![7, -7]));
        let wide: ArrayRef = Arc::new(Int64Array::from(vec![7, -7]));
        assert_eq!(hashes(&[narrow]), hashes(&[wide]));
        let zeroes = hashes(&[Arc::new(Float64Array::from(vec![0.0, -0.0]))]);
        assert_eq!(zeroes[0], zeroes[1]);
    }

    #[test]
    fn the_ranges_of_all_subtasks_cover_every_group_once_and_agree_with_the_owner() {
        for max in [1, 2, 7, 128, 300, 32_768] {
            let max = MaxParallelism::new(max).unwrap();
            for p in [1, 2, 3, 5, 127, 128] {
                if p > max.get() {
                    continue;
                }
                let p = Parallelism::new(p).unwrap();
                let mut next = 0;
                for index in 0..p.get() {
                    let range = KeyGroupRange::of_subtask(max, p, index).as_range();
                    assert_eq!(range.start, next);
                    for group in range.clone() {
                        assert_eq!(subtask_of(KeyGroup(group), max, p), index);
                    }
                    next = range.end;
                }
                assert_eq!(usize::from(next), max.get());
            }
        }
    }

    #[test]
    fn the_default_max_parallelism_is_flinks() {
        for (p, max) in [(1, 128), (85, 128), (86, 256), (200, 512), (32_768, 32_768)] {
            assert_eq!(MaxParallelism::default_for(Parallelism::new(p).unwrap()).get(), max);
        }
    }
}
