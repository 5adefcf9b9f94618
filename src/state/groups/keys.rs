//! The keys of a batch in the form in which groups keep theirs, and back to columns.

use super::codec;
use super::layout::{FLAGS, GroupLayout, KEY, KeyForm};
use super::rows::Rows;
use crate::state::StateError;
use crate::state::words::{WordKind, Words, nulls_at};
use arrow::array::{Array, ArrayRef, AsArray, BinaryBuilder, Float32Array, Float64Array, StringBuilder};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::unary;
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};
use std::sync::Arc;

/// The keys of a batch: compared with, and stored as, the key of a group. `at` is a row of the batch.
pub(super) trait BatchKeys {
    fn matches(&self, at: usize, rows: &Rows, row: u32, stride: usize) -> bool;
    fn store(&self, at: usize, rows: &mut Rows, row: u32, stride: usize) -> Result<(), StateError>;
    /// Appends the key as the store has it.
    fn encode(&self, at: usize, out: &mut Vec<u8>);
}

/// No key columns.
pub(super) struct NoKeys;

impl BatchKeys for NoKeys {
    fn matches(&self, _at: usize, _rows: &Rows, _row: u32, _stride: usize) -> bool {
        true
    }

    fn store(&self, _at: usize, _rows: &mut Rows, _row: u32, _stride: usize) -> Result<(), StateError> {
        Ok(())
    }

    fn encode(&self, _at: usize, _out: &mut Vec<u8>) {}
}

/// `K` fixed-width columns. A NULL is the word 0 and a bit in `nulls`.
pub(super) struct WordKeys<const K: usize> {
    columns: [ScalarBuffer<i64>; K],
    nulls: Option<Vec<u64>>,
}

/// The bits of the flags word that say which key columns are NULL.
pub(super) const NULL_BITS: u64 = 0b1111;

impl<const K: usize> BatchKeys for WordKeys<K> {
    #[inline]
    fn matches(&self, at: usize, rows: &Rows, row: u32, stride: usize) -> bool {
        let words = &rows.row(row, stride)[..=K];
        let nulls = self.nulls.as_ref().map_or(0, |nulls| nulls[at]);
        words[FLAGS] & NULL_BITS == nulls && (0..K).all(|k| words[KEY + k] == self.columns[k][at] as u64)
    }

    fn store(&self, at: usize, rows: &mut Rows, row: u32, stride: usize) -> Result<(), StateError> {
        let words = rows.row_mut(row, stride);
        words[FLAGS] |= self.nulls.as_ref().map_or(0, |nulls| nulls[at]);
        for (k, column) in self.columns.iter().enumerate() {
            words[KEY + k] = column[at] as u64;
        }
        Ok(())
    }

    fn encode(&self, at: usize, out: &mut Vec<u8>) {
        let nulls = self.nulls.as_ref().map_or(0, |nulls| nulls[at]);
        for (k, column) in self.columns.iter().enumerate() {
            codec::put_word(out, column[at] as u64, nulls >> k & 1 != 0);
        }
    }
}

impl<const K: usize> WordKeys<K> {
    /// Errors if `columns` are not `K` columns of one word each.
    pub(super) fn new(columns: &[ArrayRef]) -> Result<Self, StateError> {
        let mut nulls = None;
        let mut words = Vec::with_capacity(K);
        for (k, column) in columns.iter().enumerate() {
            let mut values = match Words::of(column)? {
                Words::Long(values) => values,
                Words::Double(values) => values.iter().map(|v| canonical(*v).to_bits() as i64).collect(),
                Words::Wide(_) => return Err(StateError::Invariant("a DECIMAL is no key of one word".to_owned())),
            };
            if let Some(valid) = column.nulls().filter(|valid| valid.null_count() > 0) {
                let masks = nulls.get_or_insert_with(|| vec![0; column.len()]);
                values = values.iter().zip(valid).map(|(value, valid)| if valid { *value } else { 0 }).collect();
                for (mask, valid) in masks.iter_mut().zip(valid) {
                    *mask |= u64::from(!valid) << k;
                }
            }
            words.push(values);
        }
        let columns = words.try_into().map_err(|_| StateError::Invariant(format!("{} key columns instead of {K}", columns.len())))?;
        Ok(Self { columns, nulls })
    }
}

/// One STRING or BYTES column.
pub(super) struct ByteKeys {
    offsets: OffsetBuffer<i32>,
    values: Buffer,
    nulls: Option<NullBuffer>,
}

impl ByteKeys {
    pub(super) fn new(column: &ArrayRef) -> Result<Self, StateError> {
        let (offsets, values) = match column.data_type() {
            DataType::Utf8 => {
                let array = column.as_string::<i32>();
                (array.offsets().clone(), array.values().clone())
            }
            DataType::Binary => {
                let array = column.as_binary::<i32>();
                (array.offsets().clone(), array.values().clone())
            }
            other => return Err(StateError::Invariant(format!("a key of type {other} where a STRING or BYTES was registered"))),
        };
        Ok(Self { offsets, values, nulls: column.nulls().filter(|nulls| nulls.null_count() > 0).cloned() })
    }

    #[inline]
    fn get(&self, at: usize) -> (&[u8], u64) {
        if self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(at)) {
            return (&[], 1);
        }
        (&self.values[self.offsets[at] as usize..self.offsets[at + 1] as usize], 0)
    }
}

impl BatchKeys for ByteKeys {
    #[inline]
    fn matches(&self, at: usize, rows: &Rows, row: u32, stride: usize) -> bool {
        let (key, null) = self.get(at);
        rows.row(row, stride)[FLAGS] & 1 == null && rows.arena_key(row, stride) == key
    }

    fn store(&self, at: usize, rows: &mut Rows, row: u32, stride: usize) -> Result<(), StateError> {
        let (key, null) = self.get(at);
        rows.row_mut(row, stride)[FLAGS] |= null;
        rows.set_arena_key(row, stride, key)
    }

    fn encode(&self, at: usize, out: &mut Vec<u8>) {
        let (key, null) = self.get(at);
        codec::put_bytes(out, key, null != 0);
    }
}

/// Several columns, in the encoding of `arrow::row`.
pub(super) struct EncodedKeys(pub(super) arrow::row::Rows);

impl BatchKeys for EncodedKeys {
    #[inline]
    fn matches(&self, at: usize, rows: &Rows, row: u32, stride: usize) -> bool {
        rows.arena_key(row, stride) == self.0.row(at).as_ref()
    }

    fn store(&self, at: usize, rows: &mut Rows, row: u32, stride: usize) -> Result<(), StateError> {
        rows.set_arena_key(row, stride, self.0.row(at).as_ref())
    }

    fn encode(&self, at: usize, out: &mut Vec<u8>) {
        codec::put_bytes(out, self.0.row(at).as_ref(), false);
    }
}

/// The converter for keys of form [`KeyForm::Encoded`].
pub(super) fn converter(layout: &GroupLayout) -> Result<RowConverter, ArrowError> {
    RowConverter::new(layout.key_types.iter().map(|data_type| SortField::new(data_type.clone())).collect())
}

/// One zero, one NaN.
fn canonical(value: f64) -> f64 {
    if value == 0.0 {
        0.0
    } else if value.is_nan() {
        f64::NAN
    } else {
        value
    }
}

/// A key column in which equal floats are the same floats: one zero, one NaN. Other columns as they are.
pub fn canonical_key(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Float64 => {
            let array: Float64Array = unary(column.as_primitive::<Float64Type>(), canonical);
            Arc::new(array)
        }
        DataType::Float32 => {
            let array: Float32Array = unary(column.as_primitive::<Float32Type>(), |v| canonical(f64::from(v)) as f32);
            Arc::new(array)
        }
        _ => Arc::clone(column),
    }
}

/// The key columns of `groups`, in that order.
pub(in crate::state) fn key_columns(layout: &GroupLayout, groups: &[(&Rows, u32)]) -> Result<Vec<ArrayRef>, StateError> {
    let stride = layout.stride;
    match layout.key_form {
        KeyForm::Single => Ok(Vec::new()),
        KeyForm::Words(_) => {
            let column = |(k, data_type): (usize, &DataType)| word_column(groups, stride, k, data_type);
            Ok(layout.key_types.iter().enumerate().map(column).collect::<Result<_, _>>()?)
        }
        KeyForm::Bytes => {
            let keys = groups.iter().map(|(rows, row)| {
                let is_null = rows.row(*row, stride)[FLAGS] & 1 != 0;
                (!is_null).then(|| rows.arena_key(*row, stride))
            });
            Ok(vec![byte_array(keys, layout.key_types.first())?])
        }
        KeyForm::Encoded => {
            let converter = converter(layout)?;
            let parser = converter.parser();
            // These bytes were made by a converter of the same fields.
            let keys = groups.iter().map(|(rows, row)| parser.parse(rows.arena_key(*row, stride)));
            Ok(converter.convert_rows(keys)?)
        }
    }
}

fn word_column(groups: &[(&Rows, u32)], stride: usize, k: usize, data_type: &DataType) -> Result<ArrayRef, ArrowError> {
    let words = groups.iter().map(|(rows, row)| rows.row(*row, stride)[KEY + k]);
    let missing = groups.iter().enumerate().filter(|(_, (rows, row))| rows.row(*row, stride)[FLAGS] >> k & 1 != 0);
    let missing: Vec<u32> = missing.map(|(at, _)| at as u32).collect();
    let words = match WordKind::of(data_type) {
        Some(WordKind::Double) => Words::Double(words.map(f64::from_bits).collect()),
        _ => Words::Long(words.map(|word| word as i64).collect()),
    };
    words.into_array(nulls_at(groups.len(), &missing), data_type)
}

/// A STRING or BYTES column of `values`. Errors if a STRING is not UTF-8.
pub(super) fn byte_array<'a>(values: impl Iterator<Item = Option<&'a [u8]>>, data_type: Option<&DataType>) -> Result<ArrayRef, StateError> {
    if data_type == Some(&DataType::Utf8) {
        let mut builder = StringBuilder::new();
        for value in values {
            match value {
                Some(value) => {
                    let text = std::str::from_utf8(value).map_err(|e| StateError::Invariant(format!("a STRING is not UTF-8: {e}")))?;
                    builder.append_value(text);
                }
                None => builder.append_null(),
            }
        }
        return Ok(Arc::new(builder.finish()));
    }
    let mut builder = BinaryBuilder::new();
    for value in values {
        builder.append_option(value);
    }
    Ok(Arc::new(builder.finish()))
}
