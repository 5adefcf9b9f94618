//! One state of the keys in a store to record batches, a part at a time: for savepoints of states larger than memory, and for restoring.

use super::fold::Fold;
use super::keys::{FrozenKeys, key_layout};
use super::snapshot::SnapshotBatches;
use super::spill::Parts;
use super::table::Column;
use super::timers::TimerSets;
use super::{Cells, Lists, Maps};
use crate::state::bytes::Input;
use crate::state::groups::{GroupLayout, Rows, StoredSource, key_group_of_row, read_row};
use crate::state::rocksdb::{KEYS, StoreReader, split_expiry};
use crate::state::ttl::Expiry;
use crate::state::{StateDescriptor, StateError, StateKind};
use crate::types::{KeyGroup, KeyGroupRange};
use arrow::array::RecordBatch;
use std::collections::VecDeque;
use std::sync::Arc;

/// Keys of one part, and about the bytes of their rows.
const PART_KEYS: usize = 65_536;
const PART_BYTES: usize = 16 << 20;

/// The record batches of the state with the number `number` among those in a store, with the columns of `descriptor`, sorted by key group.
/// `fold`: how several values of one key are put together.
/// `expiry`: without what has expired then.
pub(in crate::state) fn stored_batches(
    source: StoredSource,
    descriptor: &Arc<StateDescriptor>,
    (number, fold): (usize, Fold),
    range: KeyGroupRange,
    expiry: Option<Expiry>,
) -> Result<Box<dyn Iterator<Item = Result<RecordBatch, StateError>> + Send>, StateError> {
    let kind = descriptor.kind;
    let scan = Scan {
        layout: Arc::new(key_layout(&descriptor.key)?.1),
        descriptor: Arc::clone(descriptor),
        source,
        number,
        fold,
        range,
        expiry,
        next: None,
        ended: false,
    };
    Ok(match kind {
        StateKind::Value | StateKind::Reducing | StateKind::Aggregating => Box::new(Stored::<Cells> { scan, batches: None }),
        StateKind::List => Box::new(Stored::<Lists> { scan, batches: None }),
        StateKind::Map => Box::new(Stored::<Maps> { scan, batches: None }),
        StateKind::Timers => Box::new(Stored::<TimerSets> { scan, batches: None }),
        StateKind::Groups => return Err(StateError::Invariant(format!("state {} is no state of keys", descriptor.name))),
    })
}

/// The way through the rows of a store.
struct Scan {
    source: StoredSource,
    descriptor: Arc<StateDescriptor>,
    layout: Arc<GroupLayout>,
    number: usize,
    fold: Fold,
    range: KeyGroupRange,
    expiry: Option<Expiry>,
    /// Where to go on; `None` at the beginning.
    next: Option<Vec<u8>>,
    ended: bool,
}

/// See [`stored_batches`].
struct Stored<C> {
    scan: Scan,
    /// The part that was read last.
    batches: Option<SnapshotBatches<C>>,
}

/// What is read of one key group.
struct Part<C> {
    key_group: KeyGroup,
    rows: Rows,
    column: C,
}

impl Scan {
    /// Reads the next part.
    fn read<C: Column>(&mut self) -> Result<SnapshotBatches<C>, StateError> {
        let reader: Arc<StoreReader> = self.source.reader()?;
        let mut parts: Vec<Part<C>> = Vec::new();
        let (mut count, mut bytes) = (0, 0);
        let layout = &self.layout;
        let next = reader.rows(KEYS, self.next.as_deref(), self.range, |key, value| {
            count += 1;
            bytes += key.len() + value.len();
            let wants_more = count < PART_KEYS && bytes < PART_BYTES;
            let key_group = key_group_of_row(key)?;
            if parts.last().is_none_or(|part| part.key_group != key_group) {
                parts.push(Part { key_group, rows: Rows::new(layout), column: C::default() });
            }
            let Some(part) = parts.last_mut() else { return Ok(wants_more) };
            let (row, rest) = read_row(key, split_expiry(value)?.1, layout, &mut part.rows)?;
            for found in Parts(Input(rest)) {
                let (number, content) = found?;
                if number == self.number {
                    let taken = part.column.take(row as usize, content, self.expiry.as_ref(), &self.fold);
                    taken.map_err(|e| e.of_state(&self.descriptor.name))?;
                }
            }
            Ok(wants_more)
        })?;
        self.ended = next.is_none();
        self.next = next;
        let (mut keys, mut waiting) = (Vec::new(), VecDeque::new());
        for Part { key_group, rows, column } in parts {
            keys.push((key_group, Arc::new(rows)));
            waiting.push_back((key_group, Arc::new(column)));
        }
        let keys = FrozenKeys::new(Arc::clone(layout), keys);
        Ok(SnapshotBatches::new(&self.descriptor, keys, waiting, self.expiry))
    }
}

impl<C: Column> Iterator for Stored<C> {
    type Item = Result<RecordBatch, StateError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(batch) = self.batches.as_mut().and_then(Iterator::next) {
                return Some(batch);
            }
            if self.scan.ended {
                return None;
            }
            match self.scan.read() {
                Ok(batches) => self.batches = Some(batches),
                Err(e) => {
                    self.scan.ended = true;
                    self.batches = None;
                    return Some(Err(e));
                }
            }
        }
    }
}
