//! Saved rows back into states: at any parallelism, and whatever wrote them.

use super::KeyRef;
use super::keys::KeyTable;
use crate::state::ttl::{Stamp, UNSTAMPED, restored_stamp};
use crate::state::{RestoredState, StateDescriptor, StateError, adapt};
use crate::types::{Datum, DatumColumn, KeyGroupRange, MaxParallelism, hash_keys, key_group_of};
use arrow::array::{ArrayRef, BooleanArray};
use arrow::compute::filter_record_batch;

/// A state that takes saved rows.
pub(in crate::state) trait Load {
    /// Takes one row: the values of [`StateDescriptor::value`]. Errors on what no snapshot writes.
    fn load(&mut self, keys: &mut KeyTable, key: KeyRef, row: &mut [Datum], stamp: Stamp) -> Result<(), String>;
}

/// Adds the rows of `saved` that belong to these key groups. The saved `key_group` is not trusted: the savepoint may have been
/// edited.
pub(in crate::state) fn restore(
    into: &mut impl Load,
    keys: &mut KeyTable,
    saved: &RestoredState,
    descriptor: &StateDescriptor,
    own: (KeyGroupRange, MaxParallelism),
) -> Result<(), StateError> {
    let broken = |message: String| StateError::Incompatible { state: descriptor.name.clone(), message };
    let key_columns = descriptor.key.columns.len();
    let value_columns = descriptor.value.columns.len();
    let (mut hashes, mut found) = (Vec::new(), Vec::new());
    for batch in &saved.batches {
        let batch = adapt::to_descriptor(batch, descriptor)?;
        hash_keys(&batch.columns()[..key_columns], batch.num_rows(), &mut hashes)?;
        let kept: Vec<bool> = hashes.iter().map(|hash| own.0.contains(key_group_of(*hash, own.1))).collect();
        let mut keep = kept.iter();
        hashes.retain(|_| keep.next().copied().unwrap_or(false));
        let batch = filter_record_batch(&batch, &BooleanArray::from(kept))?;
        let columns: Vec<ArrayRef> = batch.columns().to_vec();
        keys.locate(&columns[..key_columns], &hashes, &mut found)?;
        let readers = columns[key_columns..].iter().map(DatumColumn::new).collect::<Result<Vec<_>, _>>()?;
        let mut row = vec![Datum::Null; value_columns];
        for (at, key) in found.iter().enumerate() {
            for (value, reader) in row.iter_mut().zip(&readers) {
                *value = reader.get(at);
            }
            let stamp = match (&descriptor.ttl, readers.get(value_columns)) {
                (Some(ttl), Some(expires_at)) => restored_stamp(expires_at.get(at).as_long(), saved.descriptor.ttl.as_ref(), ttl),
                _ => UNSTAMPED,
            };
            into.load(keys, *key, &mut row, stamp).map_err(broken)?;
        }
    }
    Ok(())
}
