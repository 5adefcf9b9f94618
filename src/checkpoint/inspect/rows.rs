//! The rows of one state, batch by batch, as they are asked for.

use super::selection::Compiled;
use super::{InspectError, KEY_GROUP, Selection, Snapshot, StateRef};
use crate::checkpoint::columns::conform;
use crate::checkpoint::error::RestoreError;
use crate::checkpoint::manifest::FileEntry;
use crate::checkpoint::parquet_file::{self, Batches};
use crate::types::Schema;
use arrow::array::RecordBatch;
use std::path::PathBuf;

/// The selected rows of a state. After an error there are no more.
pub struct Rows<'a> {
    snapshot: &'a Snapshot,
    files: std::slice::Iter<'a, FileEntry>,
    columns: Schema,
    selected: Compiled,
    current: Option<(PathBuf, Batches)>,
    key_groups: bool,
}

impl Snapshot {
    /// The rows of `state` that `selection` asks for, with or without the column `key_group`. Errors on a selection that does not fit
    /// the state, and on a state whose form cannot be read.
    pub fn rows<'a>(&'a self, state: StateRef<'a>, selection: &Selection, key_groups: bool) -> Result<Rows<'a>, InspectError> {
        state.readable()?;
        let (files, columns) = (state.files().iter(), state.columns());
        let keys = state.descriptor().map_or(&[][..], |d| &d.key.columns);
        let selected = selection.compile(&state.address(), &columns.columns, keys, self.manifest().max_parallelism)?;
        Ok(Rows { snapshot: self, files, columns, selected, current: None, key_groups })
    }

    /// Opens a file of a state that lies in columns.
    pub(super) fn stream(&self, file: &FileEntry, range: Option<crate::types::KeyGroupRange>) -> Result<Batches, RestoreError> {
        let content = self.checkpoint.content(file)?;
        parquet_file::stream(content, range).map_err(|message| RestoreError::AlteredFile { path: self.path_of(file), message })
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
            let Some((path, batches)) = &mut self.current else {
                let Some(file) = self.files.next() else { return Ok(None) };
                self.current = Some((self.snapshot.path_of(file), self.snapshot.stream(file, self.selected.range)?));
                continue;
            };
            let Some(batch) = batches.next() else {
                self.current = None;
                continue;
            };
            let altered = |message| RestoreError::AlteredFile { path: path.clone(), message };
            let batch = conform(&batch.map_err(altered)?, &self.columns).map_err(altered)?;
            let mut batch = self.selected.filter(batch)?;
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
