//! Frozen groups to record batches: the part of a snapshot that runs while processing goes on.

use super::keys::{byte_array, key_columns};
use super::layout::{AccumulatorField, FieldSlot, GroupLayout, ValidBit};
use super::multiset::Multiset;
use super::rows::Rows;
use super::sides::SideColumn;
use crate::state::ttl::{Expiry, UNSTAMPED};
use crate::state::words::{WordKind, Words, double_of_ordered, nulls_at};
use crate::state::{StateDescriptor, StateError};
use crate::types::KeyGroup;
use arrow::array::{Array, ArrayRef, Int32Array, Int64Array, MapArray, RecordBatch, StructArray, TimestampMillisecondArray};
use arrow::buffer::OffsetBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;
use std::collections::VecDeque;
use std::sync::Arc;

/// Rows of one record batch of a snapshot.
pub(super) const SNAPSHOT_ROWS: usize = 65_536;

/// The record batches of a frozen group table. A key group is let go of as soon as its rows are copied out.
pub(super) struct SnapshotBatches {
    schema: SchemaRef,
    layout: Arc<GroupLayout>,
    /// What has expired by then is left out.
    expiry: Option<Expiry>,
    waiting: VecDeque<(KeyGroup, Arc<Rows>)>,
    /// The rows of the first waiting key group that are still to come; `None` if it was not begun.
    rest: Option<VecDeque<u32>>,
}

/// A run of rows of one key group.
pub(super) struct Run {
    pub(super) key_group: KeyGroup,
    pub(super) rows: Arc<Rows>,
    pub(super) numbers: Vec<u32>,
}

impl SnapshotBatches {
    pub(super) fn new(
        descriptor: &StateDescriptor,
        layout: Arc<GroupLayout>,
        expiry: Option<Expiry>,
        frozen: Vec<(KeyGroup, Arc<Rows>)>,
    ) -> Self {
        Self { schema: descriptor.columns().to_arrow(), layout, expiry, waiting: frozen.into(), rest: None }
    }

    fn next_runs(&mut self) -> Vec<Run> {
        let mut runs = Vec::new();
        let mut room = SNAPSHOT_ROWS;
        while room > 0 {
            let Some((key_group, rows)) = self.waiting.front() else { break };
            let (layout, expiry) = (&self.layout, self.expiry.as_ref());
            let kept = || rows.live_rows(layout).into_iter().filter(|row| !rows.is_expired(*row, layout, expiry));
            let rest = self.rest.get_or_insert_with(|| kept().collect());
            let numbers: Vec<u32> = rest.drain(..rest.len().min(room)).collect();
            room -= numbers.len();
            if !numbers.is_empty() {
                runs.push(Run { key_group: *key_group, rows: Arc::clone(rows), numbers });
            }
            if rest.is_empty() {
                self.rest = None;
                self.waiting.pop_front();
            }
        }
        runs
    }
}

/// The columns of `runs`. `schema`: those of the descriptor.
pub(super) fn encode(schema: &SchemaRef, layout: &GroupLayout, runs: &[Run]) -> Result<RecordBatch, StateError> {
    let key_groups = runs.iter().flat_map(|run| std::iter::repeat_n(i32::from(run.key_group.0), run.numbers.len()));
    let key_groups: Int32Array = key_groups.collect();
    let groups: Vec<(&Rows, u32)> = runs.iter().flat_map(|run| run.numbers.iter().map(|row| (run.rows.as_ref(), *row))).collect();
    let mut columns: Vec<ArrayRef> = vec![Arc::new(key_groups)];
    columns.extend(key_columns(layout, &groups)?);
    let reader = Reader { stride: layout.stride, groups: &groups };
    columns.push(reader.word(layout.records, None, &DataType::Int64)?);
    for (accumulator, slots) in layout.accumulators.iter().zip(&layout.slots) {
        let target = schema.field(columns.len()).data_type();
        columns.push(reader.accumulator(&accumulator.fields, slots, target)?);
    }
    if let Some(expiry) = layout.expiry {
        let stamps = reader.words(expiry).map(|word| Some(word as i64).filter(|stamp| *stamp != UNSTAMPED));
        let stamps: ArrayRef = Arc::new(stamps.collect::<TimestampMillisecondArray>());
        columns.push(cast(&stamps, schema.field(columns.len()).data_type())?);
    }
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}

impl Iterator for SnapshotBatches {
    type Item = Result<RecordBatch, StateError>;

    fn next(&mut self) -> Option<Self::Item> {
        let runs = self.next_runs();
        (!runs.is_empty()).then(|| encode(&self.schema, &self.layout, &runs))
    }
}

/// Reads columns out of groups.
struct Reader<'a> {
    stride: usize,
    groups: &'a [(&'a Rows, u32)],
}

impl Reader<'_> {
    fn accumulator(&self, fields: &[AccumulatorField], slots: &[FieldSlot], target: &DataType) -> Result<ArrayRef, StateError> {
        let column = |(field, slot): (&AccumulatorField, &FieldSlot)| self.field(field, *slot);
        let columns = fields.iter().zip(slots).map(column).collect::<Result<Vec<_>, _>>()?;
        match (target, columns.as_slice()) {
            (_, [column]) => Ok(Arc::clone(column)),
            (DataType::Struct(fields), _) => Ok(Arc::new(StructArray::try_new(fields.clone(), columns, None)?)),
            (other, _) => Err(StateError::Invariant(format!("an accumulator of several fields saved as {other}"))),
        }
    }

    fn field(&self, field: &AccumulatorField, slot: FieldSlot) -> Result<ArrayRef, StateError> {
        let data_type = field.data_type.to_arrow();
        match slot {
            FieldSlot::Word { word, valid } => Ok(self.word(word, valid, &data_type)?),
            FieldSlot::Side(side) => self.side(side, &data_type, &field.saved_type().to_arrow()),
        }
    }

    fn words(&self, word: usize) -> impl Iterator<Item = u64> + '_ {
        self.groups.iter().map(move |(rows, row)| rows.row(*row, self.stride)[word])
    }

    fn word(&self, word: usize, valid: Option<ValidBit>, data_type: &DataType) -> Result<ArrayRef, ArrowError> {
        let missing: Vec<u32> = match valid {
            None => Vec::new(),
            Some(bit) => self.words(bit.word).zip(0..).filter(|(word, _)| word & bit.mask == 0).map(|(_, at)| at).collect(),
        };
        let words = match WordKind::of(data_type) {
            Some(WordKind::Double) => Words::Double(self.words(word).map(f64::from_bits).collect()),
            Some(WordKind::Wide) => Words::Wide(self.words(word).zip(self.words(word + 1)).map(|(low, high)| wide(low, high)).collect()),
            _ => Words::Long(self.words(word).map(|word| word as i64).collect()),
        };
        words.into_array(nulls_at(self.groups.len(), &missing), data_type)
    }

    fn side(&self, side: usize, value_type: &DataType, saved_type: &DataType) -> Result<ArrayRef, StateError> {
        let broken = || StateError::Invariant(format!("there is no side column {side}"));
        let (first, row) = self.groups.first().ok_or_else(broken)?;
        match first.side(*row, side).ok_or_else(broken)?.0 {
            SideColumn::Bytes(_) => {
                let values = self.groups.iter().map(|(rows, row)| match rows.side(*row, side) {
                    Some((SideColumn::Bytes(values), at)) => values.get(at)?.as_deref(),
                    _ => None,
                });
                byte_array(values, Some(value_type))
            }
            SideColumn::Longs(..) => {
                let sets = self.groups.iter().map(|(rows, row)| match rows.side(*row, side) {
                    Some((SideColumn::Longs(sets, _), at)) => sets.get(at),
                    _ => None,
                });
                let double = WordKind::of(value_type) == Some(WordKind::Double);
                map_array(sets, saved_type, |values| {
                    let words = if double {
                        Words::Double(values.iter().map(|v| double_of_ordered(**v)).collect())
                    } else {
                        Words::Long(values.iter().map(|v| **v).collect())
                    };
                    Ok(words.into_array(None, value_type)?)
                })
            }
            SideColumn::Wides(..) => {
                let sets = self.groups.iter().map(|(rows, row)| match rows.side(*row, side) {
                    Some((SideColumn::Wides(sets, _), at)) => sets.get(at),
                    _ => None,
                });
                map_array(sets, saved_type, |values| Ok(Words::Wide(values.iter().map(|v| **v).collect()).into_array(None, value_type)?))
            }
            SideColumn::Texts(..) => {
                let sets = self.groups.iter().map(|(rows, row)| match rows.side(*row, side) {
                    Some((SideColumn::Texts(sets, _), at)) => sets.get(at),
                    _ => None,
                });
                map_array(sets, saved_type, |values| byte_array(values.iter().map(|v| Some(v.as_ref())), Some(value_type)))
            }
        }
    }
}

/// The DECIMAL in two words.
#[inline]
pub(super) const fn wide(low: u64, high: u64) -> i128 {
    ((high as u128) << 64 | low as u128) as i128
}

/// `MAP<value, BIGINT>`, sorted by value, from one multiset a row.
fn map_array<'a, K: Ord + std::hash::Hash + Clone + 'a>(
    sets: impl Iterator<Item = Option<&'a Multiset<K>>>,
    saved_type: &DataType,
    values: impl FnOnce(&[&K]) -> Result<ArrayRef, StateError>,
) -> Result<ArrayRef, StateError> {
    let DataType::Map(entries_field, sorted) = saved_type else {
        return Err(StateError::Invariant(format!("a multiset saved as {saved_type}")));
    };
    let DataType::Struct(fields) = entries_field.data_type() else {
        return Err(StateError::Invariant(format!("a multiset saved as {saved_type}")));
    };
    let (mut keys, mut counts, mut lengths) = (Vec::new(), Vec::new(), Vec::new());
    for set in sets {
        let entries = set.map(Multiset::sorted).unwrap_or_default();
        lengths.push(entries.len());
        for (key, count) in entries {
            keys.push(key);
            counts.push(count);
        }
    }
    if i32::try_from(keys.len()).is_err() {
        return Err(StateError::Invariant("more than 2,147,483,647 values in the multisets of one batch".to_owned()));
    }
    let counts: ArrayRef = Arc::new(Int64Array::from(counts));
    let entries = StructArray::try_new(fields.clone(), vec![values(&keys)?, counts], None)?;
    let offsets = OffsetBuffer::from_lengths(lengths);
    let map = MapArray::try_new(Arc::clone(entries_field), offsets, entries, None, *sorted)?;
    debug_assert_eq!(map.data_type(), saved_type, "the type of a saved multiset");
    Ok(Arc::new(map))
}
