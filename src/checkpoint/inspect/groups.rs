//! The rows of a keyed state in the order of their key groups, whatever files and stores they lie in: what a comparison and a check for keys that
//! occur twice go through. One key group is held at a time.

use super::defects::Defect;
use super::pieces::{Piece, PieceRows};
use super::{InspectError, KEY_GROUP, Snapshot, StateRef};
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int32Type;
use std::path::PathBuf;

/// Reads the pieces of one state side by side.
pub(super) struct GroupCursor {
    pieces: Vec<PieceCursor>,
}

/// Where in a file or store the reading is.
struct PieceCursor {
    path: PathBuf,
    batches: PieceRows,
    /// Rows that are read and not handed out.
    waiting: Option<RecordBatch>,
    /// The number of the first of them in its file or store, from 0.
    row: u64,
}

/// The rows of one key group.
pub(super) struct GroupRows {
    /// Which one.
    pub(super) group: i32,
    /// In pieces.
    pub(super) parts: Vec<Part>,
}

/// Rows that stand behind each other in one file or store.
pub(super) struct Part {
    pub(super) path: PathBuf,
    /// The number of the first of them, from 0.
    pub(super) first_row: u64,
    pub(super) rows: RecordBatch,
}

impl GroupCursor {
    /// Begins with some pieces of a state.
    pub(super) fn new<'a>(
        snapshot: &Snapshot,
        state: &StateRef<'_>,
        pieces: impl IntoIterator<Item = Piece<'a>>,
    ) -> Result<Self, InspectError> {
        let mut cursors = Vec::new();
        for piece in pieces {
            let batches = snapshot.stream(state, piece, None)?;
            cursors.push(PieceCursor { path: snapshot.path_of_piece(state, piece), batches, waiting: None, row: 0 });
        }
        Ok(Self { pieces: cursors })
    }

    /// The rows of the next key group. Errors on files that are not sorted.
    pub(super) fn next(&mut self) -> Result<Option<GroupRows>, InspectError> {
        let mut next: Option<i32> = None;
        for piece in &mut self.pieces {
            if let Some(group) = piece.peek()? {
                next = Some(next.map_or(group, |lowest| lowest.min(group)));
            }
        }
        let Some(group) = next else { return Ok(None) };
        let mut parts = Vec::new();
        for piece in &mut self.pieces {
            piece.take(group, &mut parts)?;
        }
        Ok(Some(GroupRows { group, parts }))
    }
}

/// The key groups of a batch's rows; 0 for the rows of operator state.
pub(super) fn groups_of(batch: &RecordBatch) -> Vec<i32> {
    let column = batch.column_by_name(KEY_GROUP).and_then(|c| c.as_primitive_opt::<Int32Type>());
    column.map_or_else(|| vec![0; batch.num_rows()], |groups| groups.values().to_vec())
}

impl PieceCursor {
    /// The key group of the next row.
    fn peek(&mut self) -> Result<Option<i32>, InspectError> {
        while self.waiting.as_ref().is_none_or(|rows| rows.num_rows() == 0) {
            let Some(found) = self.batches.next() else { return Ok(None) };
            self.waiting = Some(found?.rows);
        }
        Ok(self.waiting.as_ref().and_then(|rows| groups_of(rows).first().copied()))
    }

    /// Hands out all rows of `group` that are next.
    fn take(&mut self, group: i32, parts: &mut Vec<Part>) -> Result<(), InspectError> {
        while let Some(found) = self.peek()? {
            if found < group {
                let what = format!("key group {found} stands behind key group {group}: rows must be sorted by key_group");
                return Err(InspectError::Unsound(Defect { path: self.path.clone(), row: Some(self.row + 1), what, more: 0 }.into()));
            }
            if found > group {
                break;
            }
            let Some(rows) = self.waiting.take() else { break };
            let count = groups_of(&rows).iter().take_while(|g| **g == group).count();
            parts.push(Part { path: self.path.clone(), first_row: self.row, rows: rows.slice(0, count) });
            self.row += count as u64;
            self.waiting = Some(rows.slice(count, rows.num_rows() - count));
        }
        Ok(())
    }
}
