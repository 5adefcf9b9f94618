//! Groups in a store to record batches, a part at a time: for savepoints of states larger than memory, and for restoring.

use super::codec;
use super::encode::{Run, SNAPSHOT_ROWS, encode};
use super::layout::GroupLayout;
use super::rows::Rows;
use crate::state::bytes::damaged;
use crate::state::rocksdb::{Backend, StoreFiles, StoreReader, Ticket};
use crate::state::ttl::Expiry;
use crate::state::{StateDescriptor, StateError};
use crate::types::{KeyGroup, KeyGroupRange};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use std::sync::Arc;

/// Bytes of the rows of one record batch, about.
const BATCH_BYTES: usize = 16 << 20;

/// Where the rows come from.
pub(in crate::state) enum StoredSource {
    /// The store of this job as it was at a barrier.
    Image(Arc<Ticket>),
    /// The files of a checkpoint.
    Files(Arc<StoreFiles>, Backend),
    /// An open store.
    Reader(Arc<StoreReader>),
}

impl StoredSource {
    /// Opens it, the first time.
    pub(in crate::state) fn reader(&mut self) -> Result<Arc<StoreReader>, StateError> {
        let reader = match self {
            Self::Reader(reader) => return Ok(Arc::clone(reader)),
            Self::Image(ticket) => StoreReader::of_image(ticket.image()?)?,
            Self::Files(files, backend) => StoreReader::of_files(files, backend)?,
        };
        let reader = Arc::new(reader);
        *self = Self::Reader(Arc::clone(&reader));
        Ok(reader)
    }
}

/// The key group of a row, by its key.
pub(in crate::state) fn key_group_of_row(key: &[u8]) -> Result<KeyGroup, StateError> {
    codec::split_key(key).map(|(key_group, _)| key_group)
}

/// Adds the group of a row to `rows`. Returns where it is, and the bytes behind it.
pub(in crate::state) fn read_row<'a>(
    key: &[u8],
    value: &'a [u8],
    layout: &GroupLayout,
    rows: &mut Rows,
) -> Result<(u32, &'a [u8]), StateError> {
    let row = rows.allocate(layout.stride)?;
    codec::read_key(codec::split_key(key)?.1, layout, rows, row)?;
    Ok((row, codec::read_value(value, layout, rows, row)?))
}

/// The record batches of a state in a store, with the columns of its descriptor, sorted by key group.
pub(in crate::state) struct StoredGroups {
    source: StoredSource,
    family: String,
    schema: SchemaRef,
    layout: Arc<GroupLayout>,
    /// What has expired by then is left out.
    expiry: Option<Expiry>,
    range: KeyGroupRange,
    /// Where to go on; `None` at the beginning.
    next: Option<Vec<u8>>,
    ended: bool,
}

impl StoredGroups {
    /// The rows of `range` of the state that was saved as `descriptor` in the column family `family`.
    pub(in crate::state) fn new(
        source: StoredSource,
        descriptor: &StateDescriptor,
        family: String,
        range: KeyGroupRange,
    ) -> Result<Self, StateError> {
        let layout = Arc::new(GroupLayout::of_descriptor(descriptor)?);
        let schema = descriptor.columns().to_arrow();
        Ok(Self { source, family, schema, layout, expiry: None, range, next: None, ended: false })
    }

    /// The same without what has expired by then.
    #[must_use]
    pub(in crate::state) fn unexpired(self, expiry: Option<Expiry>) -> Self {
        Self { expiry, ..self }
    }

    fn next_runs(&mut self) -> Result<Vec<Run>, StateError> {
        let reader = self.source.reader()?;
        let mut parts: Vec<(KeyGroup, Rows, Vec<u32>)> = Vec::new();
        let (mut count, mut bytes) = (0, 0);
        let (layout, expiry) = (&self.layout, self.expiry.as_ref());
        let next = reader.rows(&self.family, self.next.as_deref(), self.range, |key, value| {
            let key_group = key_group_of_row(key)?;
            if parts.last().is_none_or(|(last, _, _)| *last != key_group) {
                parts.push((key_group, Rows::new(layout), Vec::new()));
            }
            if let Some((_, rows, numbers)) = parts.last_mut() {
                let (row, rest) = read_row(key, value, layout, rows)?;
                if !rest.is_empty() {
                    return Err(damaged());
                }
                if rows.is_expired(row, layout, expiry) {
                    rows.release(row, layout.stride, layout.has_arena());
                } else {
                    numbers.push(row);
                }
            }
            count += 1;
            bytes += key.len() + value.len();
            Ok(count < SNAPSHOT_ROWS && bytes < BATCH_BYTES)
        })?;
        self.ended = next.is_none();
        self.next = next;
        let run = |(key_group, rows, numbers)| Run { key_group, rows: Arc::new(rows), numbers };
        Ok(parts.into_iter().filter(|(_, _, numbers)| !numbers.is_empty()).map(run).collect())
    }
}

impl Iterator for StoredGroups {
    type Item = Result<RecordBatch, StateError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.ended {
            match self.next_runs() {
                // All of that part has expired.
                Ok(runs) if runs.is_empty() => {}
                Ok(runs) => return Some(encode(&self.schema, &self.layout, &runs)),
                Err(e) => {
                    self.ended = true;
                    return Some(Err(e));
                }
            }
        }
        None
    }
}
