//! Frozen columns to record batches: the part of a snapshot that runs while processing goes on.

use super::keys::FrozenKeys;
use super::table::{Column, Table};
use crate::state::groups::Rows;
use crate::state::ttl::{Expiry, Stamp, UNSTAMPED};
use crate::state::{StateDescriptor, StateError, StateSnapshot};
use crate::types::{Datum, DatumBuilder, DatumError, KeyGroup, LogicalType, TypeKind};
use arrow::array::{ArrayRef, Int32Array, RecordBatch};
use std::collections::VecDeque;
use std::sync::Arc;

/// Key groups are put together until a record batch has so many rows.
const SNAPSHOT_ROWS: usize = 65_536;

/// The value columns of a record batch, and whose they are.
#[derive(Debug)]
pub(in crate::state) struct Encoder {
    slots: Vec<u32>,
    values: Vec<DatumBuilder>,
    expires_at: Option<DatumBuilder>,
}

impl Encoder {
    fn new(descriptor: &StateDescriptor) -> Self {
        let values = descriptor.value.columns.iter().map(|column| DatumBuilder::new(&column.data_type)).collect();
        let expires_at = descriptor.ttl.map(|_| DatumBuilder::new(&LogicalType::nullable(TypeKind::TimestampLtz(3))));
        Self { slots: Vec::new(), values, expires_at }
    }

    /// Adds a row of the key in this slot.
    pub(super) fn row(&mut self, slot: u32, values: &[&Datum], stamp: Stamp) -> Result<(), DatumError> {
        self.slots.push(slot);
        for (builder, value) in self.values.iter_mut().zip(values) {
            builder.append(value)?;
        }
        match &mut self.expires_at {
            None => Ok(()),
            Some(builder) if stamp == UNSTAMPED => builder.append_null(),
            Some(builder) => builder.append_long(stamp),
        }
    }
}

/// The record batches of one frozen state. A key group is let go of as soon as its rows are copied out.
pub(super) struct SnapshotBatches<C> {
    descriptor: Arc<StateDescriptor>,
    keys: FrozenKeys,
    waiting: VecDeque<(KeyGroup, Arc<C>)>,
    expiry: Option<Expiry>,
}

impl<C: Column> SnapshotBatches<C> {
    /// `waiting`: what the state holds for `keys`, by key group.
    pub(super) fn new(
        descriptor: &Arc<StateDescriptor>,
        keys: FrozenKeys,
        waiting: VecDeque<(KeyGroup, Arc<C>)>,
        expiry: Option<Expiry>,
    ) -> Self {
        Self { descriptor: Arc::clone(descriptor), keys, waiting, expiry }
    }

    fn batch(&mut self) -> Result<Option<RecordBatch>, StateError> {
        let mut encoder = Encoder::new(&self.descriptor);
        let (mut key_groups, mut owners): (Vec<i32>, Vec<Arc<Rows>>) = (Vec::new(), Vec::new());
        // For each key group: how many rows there are up to its end.
        let mut ends = Vec::new();
        while encoder.slots.len() < SNAPSHOT_ROWS
            && let Some((key_group, column)) = self.waiting.pop_front()
        {
            let unfit = |e: DatumError| StateError::Function { state: self.descriptor.name.clone(), message: e.to_string() };
            column.encode(self.expiry.as_ref(), &mut encoder).map_err(unfit)?;
            if encoder.slots.len() > key_groups.len() {
                let rows = self.keys.of(key_group);
                owners.push(rows.ok_or_else(|| StateError::Invariant(format!("key group {} has state without keys", key_group.0)))?);
                key_groups.resize(encoder.slots.len(), i32::from(key_group.0));
                ends.push(encoder.slots.len());
            }
        }
        if key_groups.is_empty() {
            return Ok(None);
        }
        let mut owner = 0;
        let mut keys: Vec<(&Rows, u32)> = Vec::with_capacity(key_groups.len());
        for (at, slot) in encoder.slots.iter().enumerate() {
            owner += usize::from(at == ends[owner]);
            keys.push((owners[owner].as_ref(), *slot));
        }
        let mut columns: Vec<ArrayRef> = vec![Arc::new(Int32Array::from(key_groups))];
        columns.extend(self.keys.columns(&keys)?);
        for builder in encoder.values.iter_mut().chain(&mut encoder.expires_at) {
            columns.push(builder.finish()?);
        }
        Ok(Some(RecordBatch::try_new(self.descriptor.columns().to_arrow(), columns)?))
    }
}

impl<C: Column> Iterator for SnapshotBatches<C> {
    type Item = Result<RecordBatch, StateError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.batch().transpose()
    }
}

impl<C: Column> Table<C> {
    /// Freezes the state and returns what will read it. `keys`: frozen at the same time.
    pub(in crate::state) fn snapshot(&mut self, keys: FrozenKeys) -> StateSnapshot {
        let descriptor = Arc::clone(&self.descriptor);
        let waiting = self.freeze().into();
        let batches = SnapshotBatches::new(&descriptor, keys, waiting, self.expiry);
        StateSnapshot { descriptor, batches: Box::new(batches) }
    }
}
