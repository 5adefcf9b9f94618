//! A sink whose NOT NULL columns hold no NULL: what arrives is looked at first (Flink: `ConstraintEnforcer`,
//! `table.exec.sink.not-null-enforcer`).

use crate::connector::{ConnectorContext, ConnectorError, Sink, SinkInput, SinkRestore, SinkSnapshot, SinkWriter};
use crate::format::FormatError;
use crate::metrics::{Counter, OperatorMetrics};
use crate::types::{Batch, CheckpointId, Parallelism, Schema};
use arrow::array::{Array, BooleanArray, RecordBatch};
use std::sync::Arc;

/// `table.exec.sink.not-null-enforcer`
pub(crate) const NOT_NULL_ENFORCERS: &[&str] = &["ERROR", "DROP"];

/// Columns that must not hold NULL: position and name.
type Columns = Arc<[(usize, String)]>;

/// A sink behind the check of its NOT NULL columns.
#[derive(Debug)]
pub(crate) struct NotNullSink {
    inner: Arc<dyn Sink>,
    columns: Columns,
    drops: bool,
}

impl NotNullSink {
    /// The sink `inner` of these columns. `drops`: rows with a NULL where none may be are left out and counted; else they fail the job.
    pub(crate) fn around(inner: Arc<dyn Sink>, schema: &Schema, drops: bool) -> Arc<dyn Sink> {
        let columns = schema.columns.iter().enumerate().filter(|(_, column)| !column.data_type.nullable);
        let columns: Columns = columns.map(|(at, column)| (at, column.name.clone())).collect();
        if columns.is_empty() { inner } else { Arc::new(Self { inner, columns, drops }) }
    }
}

impl Sink for NotNullSink {
    fn describe(&self) -> String {
        self.inner.describe()
    }

    fn input(&self) -> SinkInput {
        self.inner.input()
    }

    fn max_subtasks(&self) -> Option<Parallelism> {
        self.inner.max_subtasks()
    }

    fn writes_to_stdout(&self) -> bool {
        self.inner.writes_to_stdout()
    }

    fn writers(
        &self,
        context: &ConnectorContext,
        restored: Option<&SinkRestore>,
        metrics: &[OperatorMetrics],
    ) -> Result<Vec<Box<dyn SinkWriter>>, ConnectorError> {
        let writers = self.inner.writers(context, restored, metrics)?;
        let enforcing = |(subtask, inner): (usize, Box<dyn SinkWriter>)| -> Box<dyn SinkWriter> {
            let dropped = metrics.get(subtask).map(|metrics| metrics.bad_records.clone()).unwrap_or_default();
            Box::new(NotNullWriter { inner, columns: self.columns.clone(), drops: self.drops, dropped })
        };
        Ok(writers.into_iter().enumerate().map(enforcing).collect())
    }
}

struct NotNullWriter {
    inner: Box<dyn SinkWriter>,
    columns: Columns,
    drops: bool,
    dropped: Counter,
}

/// True for each row that may go on; `None`: all of them. The error names the column that may not be NULL. Rows that go may have their key
/// alone: they are not looked at.
fn complete_rows(batch: &Batch, columns: &[(usize, String)], drops: bool) -> Result<Option<BooleanArray>, String> {
    let mut keep: Option<Vec<bool>> = None;
    for (at, name) in columns.iter().filter(|(at, _)| batch.column(*at).null_count() > 0) {
        let column = batch.column(*at);
        for row in (0..batch.num_rows()).filter(|row| column.is_null(*row) && batch.kind(*row).is_accumulate()) {
            if !drops {
                return Err(name.clone());
            }
            keep.get_or_insert_with(|| vec![true; batch.num_rows()])[row] = false;
        }
    }
    Ok(keep.map(BooleanArray::from))
}

impl SinkWriter for NotNullWriter {
    fn write(&mut self, batch: &Batch) -> Result<(), ConnectorError> {
        // Flink's words.
        let failed = |column: String| FormatError::Unwritable {
            column: column.clone(),
            message: format!(
                "Column '{column}' is NOT NULL, however, a null value is being written into it. You can set job configuration \
                 'table.exec.sink.not-null-enforcer'='DROP' to suppress this exception and drop such records silently."
            ),
        };
        match complete_rows(batch, &self.columns, self.drops).map_err(failed)? {
            None => self.inner.write(batch),
            Some(keep) => {
                self.dropped.add(keep.false_count() as u64);
                self.inner.write(&batch.filter(&keep).map_err(FormatError::from)?)
            }
        }
    }

    fn on_idle(&mut self) -> Result<(), ConnectorError> {
        self.inner.on_idle()
    }

    fn prepare_commit(&mut self, checkpoint: CheckpointId) -> Result<SinkSnapshot, ConnectorError> {
        self.inner.prepare_commit(checkpoint)
    }

    fn commit(&mut self, checkpoint: CheckpointId, committables: &RecordBatch) -> Result<(), ConnectorError> {
        self.inner.commit(checkpoint, committables)
    }

    fn end_of_input(&mut self) -> Result<(), ConnectorError> {
        self.inner.end_of_input()
    }

    fn close(&mut self) {
        self.inner.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{RowKind, RowKinds};
    use arrow::array::{ArrayRef, Int64Array};

    fn rows(kinds: Option<&[RowKind]>) -> Batch {
        let a: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(3), None]));
        let b: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), Some(2), None, Some(4)]));
        let columns = RecordBatch::try_from_iter_with_nullable([("a", a, true), ("b", b, true)]).unwrap();
        match kinds {
            None => Batch::append(columns),
            Some(kinds) => Batch::changelog(columns, kinds.iter().copied().collect::<RowKinds>()).unwrap(),
        }
    }

    #[test]
    fn a_null_where_none_may_be_names_its_column_or_drops_its_row_unless_the_row_goes_anyway() {
        let (a, b) = ((0, "a".to_owned()), (1, "b".to_owned()));
        let keep = |columns: &[(usize, String)], kinds: Option<&[RowKind]>| {
            complete_rows(&rows(kinds), columns, true).unwrap().map(|keep| keep.values().iter().collect::<Vec<bool>>())
        };
        assert_eq!(keep(std::slice::from_ref(&a), None), Some(vec![true, false, true, false]));
        assert_eq!(keep(&[a.clone(), b.clone()], None), Some(vec![true, false, false, false]));
        let kinds = [RowKind::Insert, RowKind::Delete, RowKind::UpdateBefore, RowKind::UpdateAfter];
        assert_eq!(keep(&[a.clone(), b.clone()], Some(&kinds)), Some(vec![true, true, true, false]));
        assert_eq!(complete_rows(&rows(None), &[b], false), Err("b".to_owned()));
        assert_eq!(complete_rows(&rows(Some(&[RowKind::Delete; 4])), &[a], false), Ok(None));
    }
}
