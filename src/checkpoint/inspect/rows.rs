//! The rows of one state, batch by batch, as they are asked for.

use super::pieces::{Piece, PieceRows};
use super::selection::Compiled;
use super::{InspectError, KEY_GROUP, Selection, Snapshot, StateRef};
use crate::types::Schema;
use arrow::array::RecordBatch;

/// The selected rows of a state. After an error there are no more.
pub struct Rows<'a> {
    snapshot: &'a Snapshot,
    state: StateRef<'a>,
    pieces: std::vec::IntoIter<Piece<'a>>,
    columns: Schema,
    selected: Compiled,
    current: Option<PieceRows>,
    key_groups: bool,
}

impl Snapshot {
    /// The rows of `state` that `selection` asks for, with or without the column `key_group`. Errors on a selection that does not fit
    /// the state.
    pub fn rows<'a>(&'a self, state: StateRef<'a>, selection: &Selection, key_groups: bool) -> Result<Rows<'a>, InspectError> {
        let columns = state.columns();
        let keys = state.descriptor().map_or(&[][..], |d| &d.key.columns);
        let selected = selection.compile(&state.address(), &columns.columns, keys, self.manifest().max_parallelism)?;
        let mut pieces = state.pieces();
        pieces.retain(|piece| piece.may_hold(selected.range));
        Ok(Rows { snapshot: self, state, pieces: pieces.into_iter(), columns, selected, current: None, key_groups })
    }
}

/// The columns of a state as they are shown: without `key_group`, unless that is asked for.
pub(super) fn shown_columns(columns: &Schema, key_groups: bool) -> Schema {
    Schema::new(columns.columns.iter().filter(|c| key_groups || c.name != KEY_GROUP).cloned().collect())
}

impl Rows<'_> {
    /// The columns of the batches.
    pub fn columns(&self) -> Schema {
        shown_columns(&self.columns, self.key_groups)
    }

    fn read(&mut self) -> Result<Option<RecordBatch>, InspectError> {
        while self.selected.left > 0 {
            let Some(rows) = &mut self.current else {
                let Some(piece) = self.pieces.next() else { return Ok(None) };
                self.current = Some(self.snapshot.stream(&self.state, piece, self.selected.range)?);
                continue;
            };
            let Some(found) = rows.next() else {
                self.current = None;
                continue;
            };
            let mut batch = self.selected.filter(found?.rows)?;
            if batch.num_rows() == 0 {
                continue;
            }
            if let (false, Ok(at)) = (self.key_groups, batch.schema().index_of(KEY_GROUP)) {
                batch.remove_column(at);
            }
            return Ok(Some(batch));
        }
        Ok(None)
    }
}

impl Iterator for Rows<'_> {
    type Item = Result<RecordBatch, InspectError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().inspect_err(|_| self.selected.left = 0).transpose()
    }
}
