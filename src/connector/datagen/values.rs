//! Values made from row numbers, a column at a time. A value depends on the seed, the column's name and the row's number alone
//! (and on the clock, for dates and times): so it is the same in every subtask and after every restore.

use crate::types::WallTime;
use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, ListArray, MapArray, PrimitiveArray, StringArray,
    StructArray, Time32MillisecondArray, UInt32Array,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// The increment of SplitMix64: 2⁶⁴ divided by the golden ratio.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
const NULLS: u64 = 0x6E75_6C6C_735F_5F5F;
const LENGTHS: u64 = 0x6C65_6E67_7468_5F5F;
const DAY: i64 = 86_400_000;

/// How one column, or a part of one, is filled.
#[derive(Debug, Clone)]
pub(super) struct ColumnRule {
    /// The Arrow type of the column.
    pub(super) data_type: DataType,
    /// Distinguishes the column from others.
    pub(super) key: Key,
    /// Share of NULLs, of 2⁶⁴; 0: none.
    pub(super) null_share: u64,
    /// The values.
    pub(super) values: Values,
}

/// How values are made.
#[derive(Debug, Clone)]
pub(super) enum Values {
    /// `start`, `start + 1`, … as the type writes it.
    Sequence(i64),
    /// `true` or `false`
    Boolean,
    /// Whole numbers, both bounds included.
    Integer(i64, i64),
    /// Numbers from the first bound to the second one.
    Float(f64, f64),
    /// Unscaled decimals, both bounds included.
    Decimal(i128, i128),
    /// Hexadecimal digits.
    Text(Length),
    /// Any bytes.
    Bytes(Length),
    /// Today.
    Date,
    /// The time of day.
    Time,
    /// Now, or up to so many milliseconds before.
    Timestamp(u64),
    /// So many elements.
    Array(u64, Box<ColumnRule>),
    /// So many entries, less those whose keys are there already.
    Map(u64, Box<(ColumnRule, ColumnRule)>),
    /// A value each.
    Row(Vec<ColumnRule>),
}

/// How long a text is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Length {
    /// At most.
    pub(super) most: usize,
    /// From 1 on, instead of always `most`.
    pub(super) varies: bool,
}

/// The source of a column's randomness: a counter-based generator, SplitMix64's finalizer over key and row number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key(u64);

impl Key {
    /// The key of the column with this dotted name under a seed.
    pub(super) fn of(seed: i64, name: &str) -> Self {
        Self(mix(mix(seed as u64) ^ xxh3_64(name.as_bytes())))
    }

    /// A key for something else about the same column.
    const fn other(self, purpose: u64) -> Self {
        Self(mix(self.0 ^ purpose))
    }

    /// The bits of row `row`.
    #[inline]
    const fn bits(self, row: u64) -> u64 {
        mix(self.0.wrapping_add(row.wrapping_mul(GOLDEN)))
    }
}

#[inline]
const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Spreads 64 random bits over `min..=max`.
#[inline]
const fn between(bits: u64, min: i64, max: i64) -> i64 {
    match (max.wrapping_sub(min) as u64).checked_add(1) {
        Some(span) => min.wrapping_add(((bits as u128 * span as u128) >> 64) as i64),
        None => bits as i64,
    }
}

/// A number in [0, 1).
#[inline]
fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
}

/// Eight hexadecimal digits, as bytes, of 32 bits.
#[inline]
const fn hex(bits: u32) -> [u8; 8] {
    let mut x = bits as u64;
    x = (x | (x << 16)) & 0x0000_FFFF_0000_FFFF;
    x = (x | (x << 8)) & 0x00FF_00FF_00FF_00FF;
    x = (x | (x << 4)) & 0x0F0F_0F0F_0F0F_0F0F;
    // 1 in each byte that holds ten or more: those become letters.
    let letters = ((x + 0x0606_0606_0606_0606) >> 4) & 0x0101_0101_0101_0101;
    (x + 0x3030_3030_3030_3030 + letters * 0x27).to_le_bytes()
}

impl ColumnRule {
    /// The values of these rows.
    pub(super) fn make(&self, rows: &[u64], now: WallTime) -> Result<ArrayRef, ArrowError> {
        let nulls = self.nulls(rows);
        let key = self.key;
        match &self.values {
            Values::Sequence(start) => self.sequence(rows, *start, nulls),
            Values::Boolean => {
                let values = BooleanBuffer::collect_bool(rows.len(), |i| rows.get(i).is_some_and(|row| key.bits(*row) >> 63 == 1));
                Ok(Arc::new(BooleanArray::new(values, nulls)))
            }
            Values::Integer(min, max) => self.integers(rows, nulls, |row| between(key.bits(row), *min, *max)),
            Values::Float(min, max) => self.floats(rows, nulls, |row| {
                let share = unit(key.bits(row));
                // Not `min + (max - min) * share`: the difference may be more than the type holds.
                min * (1.0 - share) + max * share
            }),
            Values::Decimal(min, max) => Ok(self.decimals(rows, nulls, |row| decimal_between(key, row, *min, *max))),
            Values::Text(length) => self.text(rows, *length, nulls),
            Values::Bytes(length) => {
                let (offsets, bytes) = self.random_bytes(rows, *length, |bits, out| out.extend_from_slice(&bits.to_le_bytes()));
                Ok(Arc::new(BinaryArray::try_new(offsets?, bytes.into(), nulls)?))
            }
            Values::Date => Ok(Arc::new(Date32Array::new(vec![now.0.div_euclid(DAY) as i32; rows.len()].into(), nulls))),
            Values::Time => Ok(Arc::new(Time32MillisecondArray::new(vec![now.0.rem_euclid(DAY) as i32; rows.len()].into(), nulls))),
            Values::Timestamp(past) => self.timestamps(rows, *past, now, nulls),
            Values::Array(length, element) => {
                let DataType::List(field) = &self.data_type else { return Err(self.unfit()) };
                let elements = element.make(&below(rows, *length), now)?;
                let offsets = even_offsets(rows.len(), *length)?;
                Ok(Arc::new(ListArray::try_new(field.clone(), offsets, elements, nulls)?))
            }
            Values::Map(length, entry) => self.maps(rows, *length, entry, now, nulls),
            Values::Row(fields) => {
                let DataType::Struct(types) = &self.data_type else { return Err(self.unfit()) };
                let columns = fields.iter().map(|field| field.make(rows, now)).collect::<Result<_, _>>()?;
                Ok(Arc::new(StructArray::try_new(types.clone(), columns, nulls)?))
            }
        }
    }

    fn nulls(&self, rows: &[u64]) -> Option<NullBuffer> {
        if self.null_share == 0 {
            return None;
        }
        let key = self.key.other(NULLS);
        let valid = |i: usize| rows.get(i).is_some_and(|row| key.bits(*row) > self.null_share);
        Some(NullBuffer::new(BooleanBuffer::collect_bool(rows.len(), valid)))
    }

    fn unfit(&self) -> ArrowError {
        ArrowError::NotYetImplemented(format!("{:?} for {}", self.values, self.data_type))
    }

    fn sequence(&self, rows: &[u64], start: i64, nulls: Option<NullBuffer>) -> Result<ArrayRef, ArrowError> {
        let value = |row: u64| start.wrapping_add(row as i64);
        match &self.data_type {
            DataType::Float32 | DataType::Float64 => self.floats(rows, nulls, |row| value(row) as f64),
            DataType::Decimal128(_, scale) => {
                let one = 10_i128.pow(u32::from(scale.unsigned_abs()));
                Ok(self.decimals(rows, nulls, |row| i128::from(value(row)).wrapping_mul(one)))
            }
            DataType::Utf8 => {
                let mut digits = itoa::Buffer::new();
                let mut offsets = Vec::with_capacity(rows.len() + 1);
                let mut bytes = Vec::with_capacity(rows.len() * 8);
                offsets.push(0);
                for row in rows {
                    bytes.extend_from_slice(digits.format(value(*row)).as_bytes());
                    offsets.push(offset(bytes.len())?);
                }
                Ok(Arc::new(StringArray::try_new(OffsetBuffer::new(offsets.into()), bytes.into(), nulls)?))
            }
            DataType::Binary => Ok(Arc::new(BinaryArray::from_iter_values(rows.iter().map(|row| value(*row).to_be_bytes())))),
            _ => self.integers(rows, nulls, value),
        }
    }

    fn integers(&self, rows: &[u64], nulls: Option<NullBuffer>, value: impl Fn(u64) -> i64) -> Result<ArrayRef, ArrowError> {
        match self.data_type {
            DataType::Int8 => Ok(primitives::<Int8Type>(rows, nulls, |row| value(row) as i8)),
            DataType::Int16 => Ok(primitives::<Int16Type>(rows, nulls, |row| value(row) as i16)),
            DataType::Int32 => Ok(primitives::<Int32Type>(rows, nulls, |row| value(row) as i32)),
            DataType::Int64 => Ok(primitives::<Int64Type>(rows, nulls, value)),
            _ => Err(self.unfit()),
        }
    }

    fn floats(&self, rows: &[u64], nulls: Option<NullBuffer>, value: impl Fn(u64) -> f64) -> Result<ArrayRef, ArrowError> {
        match self.data_type {
            DataType::Float32 => Ok(primitives::<Float32Type>(rows, nulls, |row| value(row) as f32)),
            DataType::Float64 => Ok(primitives::<Float64Type>(rows, nulls, value)),
            _ => Err(self.unfit()),
        }
    }

    fn decimals(&self, rows: &[u64], nulls: Option<NullBuffer>, value: impl Fn(u64) -> i128) -> ArrayRef {
        let values: Vec<i128> = rows.iter().map(|row| value(*row)).collect();
        Arc::new(Decimal128Array::new(values.into(), nulls).with_data_type(self.data_type.clone()))
    }

    fn timestamps(&self, rows: &[u64], past: u64, now: WallTime, nulls: Option<NullBuffer>) -> Result<ArrayRef, ArrowError> {
        let DataType::Timestamp(unit, zone) = &self.data_type else { return Err(self.unfit()) };
        let past = i64::try_from(past).unwrap_or(i64::MAX);
        let zone = zone.as_ref();
        let millis = |row: u64| now.0.saturating_sub(between(self.key.bits(row), 0, past));
        Ok(match unit {
            TimeUnit::Second => instants::<TimestampSecondType>(rows, zone, nulls, |row| millis(row).div_euclid(1_000)),
            TimeUnit::Millisecond => instants::<TimestampMillisecondType>(rows, zone, nulls, millis),
            TimeUnit::Microsecond => instants::<TimestampMicrosecondType>(rows, zone, nulls, |row| millis(row).saturating_mul(1_000)),
            TimeUnit::Nanosecond => instants::<TimestampNanosecondType>(rows, zone, nulls, |row| millis(row).saturating_mul(1_000_000)),
        })
    }

    fn text(&self, rows: &[u64], length: Length, nulls: Option<NullBuffer>) -> Result<ArrayRef, ArrowError> {
        let (offsets, bytes) = self.random_bytes(rows, length, |bits, out| {
            out.extend_from_slice(&hex(bits as u32));
            out.extend_from_slice(&hex((bits >> 32) as u32));
        });
        Ok(Arc::new(StringArray::try_new(offsets?, Buffer::from(bytes), nulls)?))
    }

    /// Bytes of each row's length; `append` makes some of 64 random bits.
    fn random_bytes(
        &self,
        rows: &[u64],
        length: Length,
        append: impl Fn(u64, &mut Vec<u8>),
    ) -> (Result<OffsetBuffer<i32>, ArrowError>, Vec<u8>) {
        let lengths = self.key.other(LENGTHS);
        let mut bytes = Vec::with_capacity(rows.len().saturating_mul(length.most) + 16);
        let mut offsets = Vec::with_capacity(rows.len() + 1);
        offsets.push(Ok(0));
        for row in rows {
            let wanted = if length.varies { between(lengths.bits(*row), 1, length.most.max(1) as i64) as usize } else { length.most };
            let end = bytes.len() + wanted;
            let own = Key(self.key.bits(*row));
            let mut part = 0;
            while bytes.len() < end {
                append(own.bits(part), &mut bytes);
                part += 1;
            }
            bytes.truncate(end);
            offsets.push(offset(end));
        }
        let offsets: Result<Vec<i32>, ArrowError> = offsets.into_iter().collect();
        (offsets.map(|offsets| OffsetBuffer::new(offsets.into())), bytes)
    }

    fn maps(
        &self,
        rows: &[u64],
        length: u64,
        (key, value): &(Self, Self),
        now: WallTime,
        nulls: Option<NullBuffer>,
    ) -> Result<ArrayRef, ArrowError> {
        let DataType::Map(entries, sorted) = &self.data_type else { return Err(self.unfit()) };
        let DataType::Struct(fields) = entries.data_type() else { return Err(self.unfit()) };
        let entry_rows = below(rows, length);
        let keys = key.make(&entry_rows, now)?;
        let values = value.make(&entry_rows, now)?;
        // The first of equal keys stays.
        let converter = RowConverter::new(vec![SortField::new(keys.data_type().clone())])?;
        let compared = converter.convert_columns(std::slice::from_ref(&keys))?;
        let mut kept: Vec<u32> = Vec::with_capacity(entry_rows.len());
        let mut offsets: Vec<i32> = vec![0];
        for map in 0..rows.len() {
            let begin = kept.len();
            for entry in map * length as usize..(map + 1) * length as usize {
                let known = kept.iter().skip(begin).any(|other| compared.row(*other as usize) == compared.row(entry));
                if !known {
                    kept.push(entry as u32);
                }
            }
            offsets.push(offset(kept.len())?);
        }
        let kept = UInt32Array::from(kept);
        let columns = vec![compute::take(&keys, &kept, None)?, compute::take(&values, &kept, None)?];
        let content = StructArray::try_new(fields.clone(), columns, None)?;
        Ok(Arc::new(MapArray::try_new(entries.clone(), OffsetBuffer::new(offsets.into()), content, nulls, *sorted)?))
    }

    /// Bytes of a row of this column, at most or about.
    pub(super) fn width(&self) -> u64 {
        match &self.values {
            Values::Text(length) | Values::Bytes(length) => length.most as u64 + 4,
            Values::Array(length, element) => element.width().saturating_mul(*length).saturating_add(4),
            Values::Map(length, entry) => entry.0.width().saturating_add(entry.1.width()).saturating_mul(*length).saturating_add(4),
            Values::Row(fields) => fields.iter().fold(0, |sum: u64, field| sum.saturating_add(field.width())),
            Values::Sequence(_) if matches!(self.data_type, DataType::Utf8 | DataType::Binary) => 24,
            _ => 8,
        }
    }
}

fn primitives<T: ArrowPrimitiveType>(rows: &[u64], nulls: Option<NullBuffer>, value: impl Fn(u64) -> T::Native) -> ArrayRef {
    let values: Vec<T::Native> = rows.iter().map(|row| value(*row)).collect();
    Arc::new(PrimitiveArray::<T>::new(ScalarBuffer::from(values), nulls))
}

fn instants<T: arrow::datatypes::ArrowTimestampType>(
    rows: &[u64],
    zone: Option<&Arc<str>>,
    nulls: Option<NullBuffer>,
    value: impl Fn(u64) -> i64,
) -> ArrayRef {
    let values: Vec<i64> = rows.iter().map(|row| value(*row)).collect();
    Arc::new(PrimitiveArray::<T>::new(ScalarBuffer::from(values), nulls).with_timezone_opt(zone.cloned()))
}

fn decimal_between(key: Key, row: u64, min: i128, max: i128) -> i128 {
    let bits = key.bits(row);
    let span = max.wrapping_sub(min) as u128;
    if let Some(span) = u64::try_from(span).ok().and_then(|span| span.checked_add(1)) {
        return min.wrapping_add(((u128::from(bits) * u128::from(span)) >> 64) as i128);
    }
    let wide = (u128::from(bits) << 64) | u128::from(key.other(GOLDEN).bits(row));
    min.wrapping_add(span.checked_add(1).map_or(wide, |span| wide % span) as i128)
}

/// The numbers of the elements of these rows, `length` each.
fn below(rows: &[u64], length: u64) -> Vec<u64> {
    rows.iter().flat_map(|row| (0..length).map(move |i| row.wrapping_mul(length).wrapping_add(i))).collect()
}

fn even_offsets(rows: usize, length: u64) -> Result<OffsetBuffer<i32>, ArrowError> {
    let offsets = (0..=rows).map(|i| offset(i * length as usize)).collect::<Result<Vec<i32>, _>>()?;
    Ok(OffsetBuffer::new(offsets.into()))
}

fn offset(position: usize) -> Result<i32, ArrowError> {
    i32::try_from(position).map_err(|_| ArrowError::OffsetOverflowError(position))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::AsArray;
    use arrow::datatypes::Field;

    fn rule(data_type: DataType, values: Values) -> ColumnRule {
        ColumnRule { data_type, key: Key::of(0, "c"), null_share: 0, values }
    }

    #[test]
    fn values_are_fixed_for_ever_by_seed_name_and_row() {
        // Whoever changes the generator changes what a restored job makes: literal values hold it.
        let numbers = rule(DataType::Int64, Values::Integer(i64::MIN, i64::MAX)).make(&[0, 1, 1_000_000], WallTime(0)).unwrap();
        assert_eq!(numbers.as_primitive::<Int64Type>().values(), &EXPECTED[..]);
        let other = ColumnRule { key: Key::of(1, "c"), ..rule(DataType::Int64, Values::Integer(i64::MIN, i64::MAX)) };
        assert_ne!(&other.make(&[0, 1, 1_000_000], WallTime(0)).unwrap(), &numbers);
    }

    const EXPECTED: [i64; 3] = [-8_780_707_307_307_057_803, -4_288_199_687_245_260_801, -703_843_699_598_014_828];

    #[test]
    fn hexadecimal_digits_are_those_of_the_bits() {
        assert_eq!(std::str::from_utf8(&hex(0xFEDC_BA98)).unwrap(), "89abcdef");
        assert_eq!(std::str::from_utf8(&hex(0x0123_4567)).unwrap(), "76543210");
    }

    #[test]
    fn bounds_are_reached_and_kept() {
        let rows: Vec<u64> = (0..10_000).collect();
        let values = rule(DataType::Int8, Values::Integer(-2, 3)).make(&rows, WallTime(0)).unwrap();
        let mut seen: Vec<i8> = values.as_primitive::<Int8Type>().values().to_vec();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen, [-2, -1, 0, 1, 2, 3]);
        assert_eq!(between(u64::MAX, i64::MIN, i64::MAX), -1);
        assert_eq!((between(u64::MAX, 5, 5), between(u64::MAX, i64::MIN, i64::MAX - 1)), (5, i64::MAX - 1));
        let key = Key::of(0, "d");
        let most = 10_i128.pow(38) - 1;
        assert!((0..1_000).all(|row| (-most..=most).contains(&decimal_between(key, row, -most, most))));
        let floats = rule(DataType::Float64, Values::Float(-f64::MAX, f64::MAX)).make(&rows, WallTime(0)).unwrap();
        assert!(floats.as_primitive::<Float64Type>().values().iter().all(|v| v.is_finite()));
    }

    #[test]
    fn maps_hold_each_key_once_and_arrays_their_length() {
        let boolean = || ColumnRule { data_type: DataType::Boolean, key: Key::of(0, "m.key"), null_share: 0, values: Values::Boolean };
        let item = Arc::new(Field::new("item", DataType::Boolean, true));
        let arrays = rule(DataType::List(item), Values::Array(4, Box::new(boolean()))).make(&[5, 6], WallTime(0)).unwrap();
        assert_eq!((arrays.as_list::<i32>().value_length(0), arrays.as_list::<i32>().value_length(1)), (4, 4));
        let map = crate::types::LogicalType::nullable("MAP<BOOLEAN, BOOLEAN>".parse::<crate::types::LogicalType>().unwrap().kind);
        let entry = Box::new((boolean(), boolean()));
        let maps = rule(map.to_arrow(), Values::Map(50, entry)).make(&[0, 1, 2], WallTime(0)).unwrap();
        assert_eq!((0..3).map(|i| maps.as_map().value_length(i)).collect::<Vec<_>>(), [2, 2, 2]);
    }
}
