//! Saved rows back into states: at any parallelism, and whatever wrote them.

use super::KeyRef;
use super::keys::KeyTable;
use crate::state::backend::RegisteredState;
use crate::state::ttl::{Stamp, UNSTAMPED, restored_stamp};
use crate::state::{StateError, StateTtl, adapt};
use crate::types::{Datum, DatumColumn, KeyGroupRange, MaxParallelism, hash_keys, key_group_of, limits};
use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;

/// A state that takes saved rows.
pub(in crate::state) trait Load {
    /// Takes one row: the values of [`crate::state::StateDescriptor::value`]. Errors on what no snapshot writes.
    fn load(&mut self, keys: &mut KeyTable, key: KeyRef, row: &mut [Datum], stamp: Stamp) -> Result<(), String>;
}

impl Load for RegisteredState {
    fn load(&mut self, keys: &mut KeyTable, key: KeyRef, row: &mut [Datum], stamp: Stamp) -> Result<(), String> {
        match self {
            Self::Cells((table, _)) => table.load(keys, key, row, stamp),
            Self::Lists(table) => table.load(keys, key, row, stamp),
            Self::Maps(table) => table.load(keys, key, row, stamp),
            Self::Timers(timers) => timers.load(keys, key, row, stamp),
            Self::Groups(_) => Err("it is no state of keys".to_owned()),
        }
    }
}

/// Fills the last one of `states`.
pub(in crate::state) struct Restoring<'a> {
    pub(in crate::state) states: &'a mut [RegisteredState],
    pub(in crate::state) keys: &'a mut KeyTable,
    pub(in crate::state) own: (KeyGroupRange, MaxParallelism),
}

impl Restoring<'_> {
    /// Adds those of the rows that belong to these key groups. The saved `key_group` is not trusted: the savepoint may have been
    /// edited. `saved`: how long entries lived when they were saved.
    pub(in crate::state) fn rows(&mut self, batch: &RecordBatch, saved: Option<&StateTtl>) -> Result<(), StateError> {
        let Some(state) = self.states.last() else { return Ok(()) };
        let batch = adapt::to_descriptor(batch, state.descriptor())?;
        // Saved batches may be large: few rows at once, so that memory is given away in between.
        for start in (0..batch.num_rows()).step_by(limits::BATCH_ROWS) {
            self.keys.make_room(self.states)?;
            self.few(&batch.slice(start, limits::BATCH_ROWS.min(batch.num_rows() - start)), saved)?;
        }
        Ok(())
    }

    fn few(&mut self, batch: &RecordBatch, saved: Option<&StateTtl>) -> Result<(), StateError> {
        let Some(descriptor) = self.states.last().map(|state| state.descriptor().clone()) else { return Ok(()) };
        let broken = |message: String| StateError::Incompatible { state: descriptor.name.clone(), message };
        let (key_columns, value_columns) = (descriptor.key.columns.len(), descriptor.value.columns.len());
        let (mut hashes, mut found) = (Vec::new(), Vec::new());
        hash_keys(&batch.columns()[..key_columns], batch.num_rows(), &mut hashes)?;
        let kept: Vec<bool> = hashes.iter().map(|hash| self.own.0.contains(key_group_of(*hash, self.own.1))).collect();
        let mut keep = kept.iter();
        hashes.retain(|_| keep.next().copied().unwrap_or(false));
        let batch = filter_record_batch(batch, &BooleanArray::from(kept))?;
        let columns: Vec<ArrayRef> = batch.columns().to_vec();
        self.keys.locate(&columns[..key_columns], &hashes, &mut found, self.states, true)?;
        let Some(state) = self.states.last_mut() else { return Ok(()) };
        let readers = columns[key_columns..].iter().map(DatumColumn::new).collect::<Result<Vec<_>, _>>()?;
        let mut row = vec![Datum::Null; value_columns];
        for (at, key) in found.iter().enumerate() {
            for (value, reader) in row.iter_mut().zip(&readers) {
                *value = reader.get(at);
            }
            let stamp = match (&descriptor.ttl, readers.get(value_columns)) {
                (Some(ttl), Some(expires_at)) => restored_stamp(expires_at.get(at).as_long(), saved, ttl),
                _ => UNSTAMPED,
            };
            state.load(self.keys, *key, &mut row, stamp).map_err(broken)?;
        }
        Ok(())
    }
}
