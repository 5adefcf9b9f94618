//! A file of rows that becomes an operator state of a function: all of them as those of one subtask, from which a restore gives every
//! subtask its part, or its copy.

use super::input::Input;
use super::{Failure, Resolved};
use crate::checkpoint::inspect::InspectError;
use crate::checkpoint::inspect::keys::RowBytes;
use crate::state::{OperatorStateDescriptor, StateError};
use crate::storage::Storage;
use crate::types::Schema;
use arrow::array::{ArrayRef, Int32Array, RecordBatch};
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

/// The rows in the file's order.
pub(super) struct OperatorRows {
    columns: Schema,
    path: PathBuf,
    input: Input,
    /// What tells rows apart: `map_key`, `list_index`.
    identity: RowBytes,
    seen: HashSet<Vec<u8>>,
    /// Rows so far.
    row: u64,
    failure: Failure,
}

/// The columns that a file gives: all of the state's but `subtask`.
fn given(descriptor: &OperatorStateDescriptor) -> Schema {
    Schema::new(descriptor.columns.columns.iter().skip(1).cloned().collect())
}

impl OperatorRows {
    pub(super) fn new(
        storage: &dyn Storage,
        import: &Resolved<'_>,
        descriptor: &OperatorStateDescriptor,
        failure: Failure,
    ) -> Result<Self, InspectError> {
        let (given, path) = (given(descriptor), import.import.path.clone());
        let identity =
            RowBytes::new(&given.to_arrow(), vec![0]).map_err(|e| InspectError::Input { path: path.clone(), message: e.to_string() })?;
        let input = Input::open(storage, import.import, given)?;
        Ok(Self { columns: descriptor.columns.clone(), path, input, identity, seen: HashSet::new(), row: 0, failure })
    }

    fn read(&mut self) -> Option<Result<RecordBatch, InspectError>> {
        let batch = match self.input.next()? {
            Ok(batch) => batch,
            Err(error) => return Some(Err(error)),
        };
        Some(self.checked(&batch))
    }

    fn checked(&mut self, batch: &RecordBatch) -> Result<RecordBatch, InspectError> {
        let wrong = |message: String| InspectError::Input { path: self.path.clone(), message };
        let rows = self.identity.rows(batch).map_err(|e| wrong(e.to_string()))?;
        for row in 0..batch.num_rows() {
            self.row += 1;
            if !self.seen.insert(rows.row(row)) {
                let name = batch.schema().field(0).name().clone();
                let value = arrow::util::display::array_value_to_string(batch.column(0), row).unwrap_or_default();
                return Err(wrong(format!("row {}: {name}={value} occurs in an earlier row, too", self.row)));
            }
        }
        let subtasks: ArrayRef = Arc::new(Int32Array::from(vec![0; batch.num_rows()]));
        let columns = std::iter::once(subtasks).chain(batch.columns().iter().cloned()).collect();
        RecordBatch::try_new(self.columns.to_arrow(), columns).map_err(|e| wrong(e.to_string()))
    }
}

impl Iterator for OperatorRows {
    type Item = Result<RecordBatch, StateError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().map(|batch| batch.map_err(|error| self.failure.put(error)))
    }
}
