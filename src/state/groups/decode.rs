//! Saved groups back into a table: at any parallelism, and whatever wrote them.

use super::encode::wide;
use super::keys::canonical_key;
use super::layout::{AccumulatorField, FieldSlot, Storage, ValidBit};
use super::sides::MultisetKey;
use super::{GroupRef, GroupTable};
use crate::state::ttl::restored_stamp;
use crate::state::words::{Words, ordered_of_double};
use crate::state::{RestoredState, StateDescriptor, StateError, StateTtl, adapt};
use crate::types::{hash_keys, key_group_of, limits};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{DataType, Int64Type};

impl GroupTable {
    /// Adds the rows of `saved` that belong to this subtask's key groups. The saved `key_group` is not trusted: the savepoint
    /// may have been edited. Errors on what no snapshot writes: a group twice, a record counter below one, NULL counts.
    pub(in crate::state) fn restore(&mut self, saved: &RestoredState) -> Result<(), StateError> {
        saved.batches.iter().try_for_each(|batch| self.restore_rows(batch, &saved.descriptor))
    }

    /// Adds the rows of one batch that was saved under `saved`.
    pub(in crate::state) fn restore_rows(&mut self, batch: &RecordBatch, saved: &StateDescriptor) -> Result<(), StateError> {
        let batch = adapt::to_descriptor(batch, &self.descriptor)?;
        // Saved batches may be large: few rows at once, so that memory is given away in between.
        for start in (0..batch.num_rows()).step_by(limits::BATCH_ROWS) {
            self.make_room()?;
            self.restore_batch(&batch.slice(start, limits::BATCH_ROWS.min(batch.num_rows() - start)), saved.ttl.as_ref())?;
        }
        Ok(())
    }

    fn broken(&self, message: String) -> StateError {
        StateError::Incompatible { state: self.descriptor.name.clone(), message }
    }

    /// `batch`: the columns of the descriptor without `key_group`. `saved`: the TTL under which they were saved.
    fn restore_batch(&mut self, batch: &RecordBatch, saved: Option<&StateTtl>) -> Result<(), StateError> {
        let key_columns = self.layout.key_types.len();
        let keys: Vec<ArrayRef> = batch.columns()[..key_columns].iter().map(canonical_key).collect();
        let mut hashes = Vec::new();
        hash_keys(&keys, batch.num_rows(), &mut hashes)?;
        let own: Vec<bool> = hashes.iter().map(|hash| self.key_groups.contains(key_group_of(*hash, self.max_parallelism))).collect();
        let mut kept = own.iter();
        hashes.retain(|_| kept.next().copied().unwrap_or(false));
        let batch = filter_record_batch(batch, &BooleanArray::from(own))?;
        let keys: Vec<ArrayRef> = batch.columns()[..key_columns].iter().map(canonical_key).collect();
        let mut groups = Vec::new();
        self.locate(&keys, &hashes, &mut groups)?;
        self.set_records(&groups, batch.column(key_columns))?;
        for accumulator in 0..self.layout.accumulators.len() {
            self.set_accumulator(accumulator, &groups, batch.column(key_columns + 1 + accumulator))?;
        }
        if let (Some(word), Some(ttl)) = (self.layout.expiry, self.descriptor.ttl) {
            // `expires_at` is the last column.
            let stamps = cast(batch.column(batch.num_columns() - 1), &DataType::Int64)?;
            for (group, expires_at) in groups.iter().zip(stamps.as_primitive::<Int64Type>()) {
                self.row_mut(*group)[word] = restored_stamp(expires_at, saved, &ttl) as u64;
            }
        }
        Ok(())
    }

    fn set_records(&mut self, groups: &[GroupRef], column: &ArrayRef) -> Result<(), StateError> {
        let word = self.layout.records;
        for (group, records) in groups.iter().zip(column.as_primitive::<Int64Type>().values()) {
            if *records < 1 {
                return Err(self.broken(format!("a group of {records} records was saved; a group has at least one")));
            }
            let row = self.row_mut(*group);
            if row[word] != 0 {
                return Err(self.broken("a group was saved twice: its key occurs in more than one row".to_owned()));
            }
            row[word] = *records as u64;
        }
        Ok(())
    }

    fn set_accumulator(&mut self, accumulator: usize, groups: &[GroupRef], column: &ArrayRef) -> Result<(), StateError> {
        let fields: Vec<AccumulatorField> = self.layout.accumulators[accumulator].fields.clone();
        for (at, field) in fields.iter().enumerate() {
            let slot = self.layout.slots[accumulator][at];
            let values = match column.data_type() {
                DataType::Struct(_) if fields.len() > 1 => column.as_struct().column(at),
                _ => column,
            };
            match slot {
                FieldSlot::Word { word, valid } => self.set_words(groups, values, word, valid)?,
                FieldSlot::Side(side) if field.storage == Storage::Bytes => self.set_bytes(groups, values, side)?,
                FieldSlot::Side(side) => self.set_multisets(groups, values, side)?,
            }
        }
        Ok(())
    }

    fn set_words(&mut self, groups: &[GroupRef], values: &ArrayRef, word: usize, valid: Option<ValidBit>) -> Result<(), StateError> {
        let words = Words::of(values)?;
        for (at, group) in groups.iter().enumerate() {
            if values.is_null(at) {
                continue;
            }
            let row = self.row_mut(*group);
            match &words {
                Words::Long(values) => row[word] = values[at] as u64,
                Words::Double(values) => row[word] = values[at].to_bits(),
                Words::Wide(values) => {
                    let value = values[at];
                    (row[word], row[word + 1]) = (value as u64, (value >> 64) as u64);
                    debug_assert_eq!(wide(row[word], row[word + 1]), value, "the two halves of a DECIMAL");
                }
            }
            if let Some(bit) = valid {
                row[bit.word] |= bit.mask;
            }
        }
        Ok(())
    }

    fn set_bytes(&mut self, groups: &[GroupRef], values: &ArrayRef, side: usize) -> Result<(), StateError> {
        for (group, value) in groups.iter().zip(byte_values(values)?) {
            let Some(slot) = self.bytes_mut(*group, side) else { return Err(no_side(side)) };
            *slot = value.map(Box::from);
        }
        Ok(())
    }

    fn set_multisets(&mut self, groups: &[GroupRef], column: &ArrayRef, side: usize) -> Result<(), StateError> {
        let map = column.as_map();
        let counts = map.values().as_primitive::<Int64Type>().values();
        let offsets = map.value_offsets();
        let mut place = Place { groups, offsets, counts, side };
        match map.keys().data_type() {
            DataType::Utf8 | DataType::Binary => {
                let values = byte_values(map.keys())?;
                place.fill(self, |at| Box::<[u8]>::from(values[at].unwrap_or_default()))
            }
            _ => match Words::of(map.keys())? {
                Words::Long(values) => place.fill(self, |at| values[at]),
                Words::Double(values) => place.fill(self, |at| ordered_of_double(values[at])),
                Words::Wide(values) => place.fill(self, |at| values[at]),
            },
        }
    }
}

/// Where the entries of a map column go.
struct Place<'a> {
    groups: &'a [GroupRef],
    offsets: &'a [i32],
    counts: &'a [i64],
    side: usize,
}

impl Place<'_> {
    fn fill<K: MultisetKey>(&mut self, table: &mut GroupTable, value: impl Fn(usize) -> K) -> Result<(), StateError> {
        for (group, ends) in self.groups.iter().zip(self.offsets.windows(2)) {
            let Some(set) = table.multiset_mut::<K>(*group, self.side) else { return Err(no_side(self.side)) };
            for at in ends[0] as usize..ends[1] as usize {
                if self.counts[at] != 0 {
                    set.set(value(at), self.counts[at]);
                }
            }
        }
        Ok(())
    }
}

fn no_side(side: usize) -> StateError {
    StateError::Invariant(format!("side column {side} holds something else than was saved"))
}

fn byte_values(array: &ArrayRef) -> Result<Vec<Option<&[u8]>>, StateError> {
    match array.data_type() {
        DataType::Utf8 => Ok(array.as_string::<i32>().iter().map(|value| value.map(str::as_bytes)).collect()),
        DataType::Binary => Ok(array.as_binary::<i32>().iter().collect()),
        other => Err(StateError::Invariant(format!("{other} where STRING or BYTES was saved"))),
    }
}
