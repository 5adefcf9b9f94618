//! Operator state to record batches: the part of a snapshot that runs while processing goes on.

use super::{Content, OperatorStateDescriptor};
use crate::state::StateError;
use crate::types::{Datum, DatumBuilder, DatumError};
use arrow::array::{ArrayRef, Int32Array, RecordBatch};
use std::fmt;
use std::ops::Bound;
use std::sync::Arc;

/// Rows of a record batch.
const SNAPSHOT_ROWS: usize = 65_536;

/// One operator state at one barrier.
pub struct OperatorStateSnapshot {
    /// What it is.
    pub descriptor: Arc<OperatorStateDescriptor>,
    /// Its rows in this subtask with the columns of the descriptor, made as they are asked for.
    pub batches: Box<dyn Iterator<Item = Result<RecordBatch, StateError>> + Send>,
}

impl fmt::Debug for OperatorStateSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OperatorStateSnapshot").field("descriptor", &self.descriptor).finish_non_exhaustive()
    }
}

impl OperatorStateSnapshot {
    pub(super) fn new(descriptor: &Arc<OperatorStateDescriptor>, subtask: usize, content: Content) -> Self {
        let rows = SnapshotRows { descriptor: Arc::clone(descriptor), subtask, content, next: Next::Index(0) };
        Self { descriptor: Arc::clone(descriptor), batches: Box::new(rows) }
    }
}

/// Where the next batch begins.
enum Next {
    /// At the beginning, or at this element.
    Index(usize),
    /// Behind this key.
    Behind(Datum),
}

struct SnapshotRows {
    descriptor: Arc<OperatorStateDescriptor>,
    subtask: usize,
    content: Content,
    next: Next,
}

impl SnapshotRows {
    fn batch(&mut self) -> Result<Option<RecordBatch>, StateError> {
        let unfit = |e: DatumError| StateError::Function { state: self.descriptor.name.clone(), message: e.to_string() };
        let broken = || StateError::Invariant(format!("operator state {} has too few columns", self.descriptor.name));
        let mut builders = self.descriptor.columns.columns.iter().skip(1).map(|column| DatumBuilder::new(&column.data_type));
        let (Some(mut places), Some(mut values)) = (builders.next(), builders.next()) else { return Err(broken()) };
        match &self.content {
            Content::List(list) => {
                let start = if let Next::Index(start) = self.next { start } else { 0 };
                for (index, value) in list.iter().enumerate().skip(start).take(SNAPSHOT_ROWS) {
                    places.append_long(index as i64).and_then(|()| values.append(value)).map_err(unfit)?;
                }
                self.next = Next::Index(start + places.len());
            }
            Content::Map(map) => {
                let from = if let Next::Behind(key) = &self.next { Bound::Excluded(key) } else { Bound::Unbounded };
                let mut last = None;
                for (key, value) in map.range((from, Bound::Unbounded)).take(SNAPSHOT_ROWS) {
                    places.append(key).and_then(|()| values.append(value)).map_err(unfit)?;
                    last = Some(key.clone());
                }
                if let Some(last) = last {
                    self.next = Next::Behind(last);
                }
            }
        }
        if places.is_empty() {
            return Ok(None);
        }
        let subtask = i32::try_from(self.subtask).map_err(|e| StateError::Invariant(e.to_string()))?;
        let subtasks: ArrayRef = Arc::new(Int32Array::from(vec![subtask; places.len()]));
        let columns = vec![subtasks, places.finish()?, values.finish()?];
        Ok(Some(RecordBatch::try_new(self.descriptor.columns.to_arrow(), columns)?))
    }
}

impl Iterator for SnapshotRows {
    type Item = Result<RecordBatch, StateError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.batch().transpose()
    }
}
