//! The writer of a `jdbc` sink: what it gathers, how it reduces that to the last row per key, and how it applies it.

use super::table::{CREATE_COMMITS, SELECT_COMMIT, Table, UPSERT_COMMIT};
use super::value::Values;
use super::{FlushPolicy, database_error};
use crate::connector::{ConnectorContext, ConnectorError, SinkRestore, SinkSnapshot, SinkWriter};
use crate::types::{Batch, CheckpointId, Clock, Column, RowKind, RowKinds, WallTime};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray, UInt32Array};
use arrow::datatypes::{DataType, Field, Schema as ArrowSchema, SchemaRef};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};
use hashbrown::HashMap;
use rusqlite::{Connection, ErrorCode, OptionalExtension, Statement, Transaction, TransactionBehavior};
use std::path::Path;
use std::sync::Arc;

/// Name of the committables' column that holds the row kinds; no column of a table is called so.
const KIND_COLUMN: &str = "__op";

/// Rows gathered beyond twice what the last reduction left before rows are reduced again: bounds memory by the number of keys.
const REDUCE_ROWS: usize = 65_536;

pub(super) struct JdbcWriter {
    connection: Connection,
    table: Arc<Table>,
    sink: String,
    /// The id under which this execution counts its commits.
    lineage: String,
    policy: FlushPolicy,
    clock: Arc<dyn Clock>,
    exactly_once: bool,
    /// The table's columns, all nullable: a deleted row may have its key alone.
    columns: SchemaRef,
    gathered: Vec<Batch>,
    gathered_rows: usize,
    /// What the last reduction left.
    reduced_rows: usize,
    /// When the oldest gathered row came.
    gathered_since: WallTime,
}

/// Runs `attempt` again while the database is locked, at most `max_retries` times. SQLite itself waits within each attempt.
pub(super) fn retried<T>(max_retries: u32, mut attempt: impl FnMut() -> rusqlite::Result<T>) -> rusqlite::Result<T> {
    let is_locked = |e: &rusqlite::Error| matches!(e.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked));
    let mut retries = 0;
    loop {
        match attempt() {
            Err(e) if is_locked(&e) && retries < max_retries => retries += 1,
            other => return other,
        }
    }
}

fn broken(error: ArrowError) -> ConnectorError {
    ConnectorError::Format(error.into())
}

impl JdbcWriter {
    pub(super) fn new(
        connection: Connection,
        table: Arc<Table>,
        sink: String,
        lineage: String,
        policy: FlushPolicy,
        context: &ConnectorContext,
    ) -> Self {
        let field = |column: &Column| Field::new(&column.name, column.data_type.to_arrow(), true);
        let columns = Arc::new(ArrowSchema::new(table.schema().columns.iter().map(field).collect::<Vec<_>>()));
        Self {
            connection,
            table,
            sink,
            lineage,
            policy,
            clock: Arc::clone(&context.clock),
            exactly_once: context.exactly_once,
            columns,
            gathered: Vec::new(),
            gathered_rows: 0,
            reduced_rows: 0,
            gathered_since: WallTime(0),
        }
    }

    /// Creates what is missing and checks the rest.
    pub(super) fn open(&mut self, file: &Path) -> Result<(), ConnectorError> {
        let failed = |e: rusqlite::Error| database_error(format!("opening {}", file.display()), &e);
        let create = || self.connection.execute_batch(CREATE_COMMITS);
        if self.exactly_once {
            retried(self.policy.max_retries, create).map_err(failed)?;
        }
        self.table.prepare(&self.connection)
    }

    /// Applies what the restored snapshot holds and was not applied before, under the id of the execution that prepared it.
    pub(super) fn restore(&mut self, restored: &SinkRestore) -> Result<(), ConnectorError> {
        if restored.committables.is_empty() {
            return Ok(());
        }
        let lineage = restored.state.first().and_then(|state| state.column_by_name("lineage")?.as_string_opt::<i32>());
        let lineage = lineage.filter(|lineage| lineage.len() == 1 && lineage.is_valid(0)).map(|lineage| lineage.value(0).to_owned());
        let lineage =
            lineage.ok_or_else(|| ConnectorError::State("the snapshot is not one of a jdbc sink: it has no lineage".to_owned()))?;
        if !self.exactly_once {
            let failed = |e: rusqlite::Error| database_error("creating __flink_commits", &e);
            self.connection.execute_batch(CREATE_COMMITS).map_err(failed)?;
        }
        restored.committables.iter().try_for_each(|(checkpoint, batch)| self.commit_once(&lineage, *checkpoint, batch))
    }

    /// The gathered rows without `-U`, and with a key only the last row of each key; `None` if nothing is left.
    fn take_reduced(&mut self) -> Result<Option<Batch>, ConnectorError> {
        let gathered = std::mem::take(&mut self.gathered);
        self.gathered_rows = 0;
        self.reduced_rows = 0;
        let whole = Batch::concat(&self.columns, &gathered).map_err(broken)?;
        let reduced = if self.table.key().is_empty() { whole } else { last_per_key(&whole, self.table.key()).map_err(broken)? };
        Ok(Some(reduced).filter(|batch| batch.num_rows() > 0))
    }

    /// Reduces what is gathered when much of it may be outdated.
    fn bound_memory(&mut self) -> Result<(), ConnectorError> {
        if !self.table.key().is_empty() && self.gathered_rows > 2 * self.reduced_rows + REDUCE_ROWS {
            if let Some(reduced) = self.take_reduced()? {
                self.gathered_rows = reduced.num_rows();
                self.gathered.push(reduced);
            }
            self.reduced_rows = self.gathered_rows;
        }
        Ok(())
    }

    /// Writes what is gathered in one transaction, without counting a commit.
    fn flush(&mut self) -> Result<(), ConnectorError> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let Some(batch) = self.take_reduced()? else { return Ok(()) };
        let values = self.values(&batch)?;
        self.in_transaction("writing to", |transaction| self.apply(transaction, &batch, &values))
    }

    /// Applies committables and counts their checkpoint, unless it was counted before.
    fn commit_once(&self, lineage: &str, checkpoint: CheckpointId, committables: &RecordBatch) -> Result<(), ConnectorError> {
        let batch = from_committables(committables, &self.columns)?;
        let values = self.values(&batch)?;
        // The number of the last commit of a job without checkpoints may be larger than SQLite's integers; none follows it.
        let number = i64::try_from(checkpoint.number()).unwrap_or(i64::MAX);
        self.in_transaction("committing to", |transaction| {
            let applied = transaction.prepare_cached(SELECT_COMMIT)?.query_row((&self.sink, lineage), |row| row.get::<_, i64>(0));
            if applied.optional()?.is_some_and(|applied| applied >= number) {
                return Ok(());
            }
            self.apply(transaction, &batch, &values)?;
            transaction.prepare_cached(UPSERT_COMMIT)?.execute((&self.sink, lineage, number)).map(drop)
        })
    }

    /// Runs `body` in a transaction, again from its start if the database is locked.
    fn in_transaction(&self, doing: &str, body: impl Fn(&Transaction<'_>) -> rusqlite::Result<()>) -> Result<(), ConnectorError> {
        let done = retried(self.policy.max_retries, || {
            // The lock is taken at the start: a reader that becomes a writer halfway could not wait for it.
            let transaction = Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate)?;
            body(&transaction)?;
            transaction.commit()
        });
        done.map_err(|e| database_error(format!("{doing} table {}", self.table.name()), &e))
    }

    fn values(&self, batch: &Batch) -> Result<Vec<Values>, ConnectorError> {
        let columns = batch.columns().columns().iter().zip(&self.table.schema().columns);
        columns.map(|(array, column)| Values::new(array, column)).collect()
    }

    fn apply(&self, transaction: &Transaction<'_>, batch: &Batch, values: &[Values]) -> rusqlite::Result<()> {
        let mut insert = transaction.prepare_cached(self.table.insert())?;
        let mut delete = self.table.delete().map(|delete| transaction.prepare_cached(delete)).transpose()?;
        let key = self.table.key();
        let mut text = String::new();
        for row in 0..batch.num_rows() {
            let kind = batch.kind(row);
            // A NULL conflicts with nothing, so a row with one in its key is replaced by hand.
            let replaced = kind.is_accumulate() && key.iter().any(|index| values[*index].is_null(row));
            if let (Some(delete), true) = (&mut delete, kind == RowKind::Delete || replaced) {
                bind(delete, key.iter().map(|index| &values[*index]), row, &mut text)?;
                delete.raw_execute()?;
            }
            if kind.is_accumulate() {
                bind(&mut insert, values, row, &mut text)?;
                insert.raw_execute()?;
            }
        }
        Ok(())
    }
}

fn bind<'a>(
    statement: &mut Statement<'_>,
    values: impl IntoIterator<Item = &'a Values>,
    row: usize,
    text: &mut String,
) -> rusqlite::Result<()> {
    values.into_iter().enumerate().try_for_each(|(index, values)| values.bind(row, statement, index + 1, text))
}

/// The last row of each key, `-U` rows aside, in the order in which they came (Flink: `TableBufferReducedStatementExecutor`).
fn last_per_key(batch: &Batch, key: &[usize]) -> Result<Batch, ArrowError> {
    let columns: Vec<ArrayRef> = key.iter().map(|index| batch.column(*index).clone()).collect();
    let fields = columns.iter().map(|column| SortField::new(column.data_type().clone())).collect();
    let keys = RowConverter::new(fields)?.convert_columns(&columns)?;
    let mut last = HashMap::with_capacity(batch.num_rows());
    for row in 0..batch.num_rows() {
        if batch.kind(row) != RowKind::UpdateBefore {
            last.insert(keys.row(row), row as u32);
        }
    }
    let mut rows: Vec<u32> = last.into_values().collect();
    rows.sort_unstable();
    batch.take(&UInt32Array::from(rows))
}

/// Rows as a snapshot holds them: `__op STRING` (`+I`, `+U`, `-D`), then the table's columns.
fn to_committables(batch: &Batch) -> Result<RecordBatch, ArrowError> {
    let kinds = StringArray::from_iter_values((0..batch.num_rows()).map(|row| batch.kind(row).short()));
    let mut fields = vec![Arc::new(Field::new(KIND_COLUMN, DataType::Utf8, false))];
    fields.extend(batch.schema().fields().iter().cloned());
    let mut columns: Vec<ArrayRef> = vec![Arc::new(kinds)];
    columns.extend(batch.columns().columns().iter().cloned());
    RecordBatch::try_new(Arc::new(ArrowSchema::new(fields)), columns)
}

/// Reads what [`to_committables`] wrote. Columns are found by name: a column that the table got since is NULL, one that it lost is
/// left out.
fn from_committables(committables: &RecordBatch, columns: &SchemaRef) -> Result<Batch, ConnectorError> {
    let unreadable = || ConnectorError::State(format!("the snapshot is not one of a jdbc sink: it has no usable column {KIND_COLUMN}"));
    let kinds = committables.column_by_name(KIND_COLUMN).and_then(|kinds| kinds.as_string_opt::<i32>()).ok_or_else(unreadable)?;
    let kind = |text: Option<&str>| match text {
        Some("+I") => Some(RowKind::Insert),
        Some("+U") => Some(RowKind::UpdateAfter),
        Some("-D") => Some(RowKind::Delete),
        _ => None,
    };
    let kinds = kinds.iter().map(kind).collect::<Option<RowKinds>>().ok_or_else(unreadable)?;
    let rows = committables.num_rows();
    let column = |field: &Arc<Field>| match committables.column_by_name(field.name()) {
        Some(column) => arrow::compute::cast(column, field.data_type()),
        None => Ok(arrow::array::new_null_array(field.data_type(), rows)),
    };
    let arrays = columns.fields().iter().map(column).collect::<Result<Vec<_>, _>>().map_err(broken)?;
    let batch = RecordBatch::try_new(Arc::clone(columns), arrays).map_err(broken)?;
    Batch::changelog(batch, kinds).map_err(broken)
}

impl SinkWriter for JdbcWriter {
    fn write(&mut self, batch: &Batch) -> Result<(), ConnectorError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        if self.gathered.is_empty() {
            self.gathered_since = self.clock.now();
        }
        self.gathered_rows += batch.num_rows();
        self.gathered.push(batch.clone());
        if self.exactly_once {
            self.bound_memory()
        } else if self.policy.max_rows > 0 && self.gathered_rows >= self.policy.max_rows {
            self.flush()
        } else {
            self.bound_memory()
        }
    }

    fn on_idle(&mut self) -> Result<(), ConnectorError> {
        let waited = self.clock.now().since(self.gathered_since);
        if self.exactly_once || self.policy.interval.is_zero() || waited < self.policy.interval {
            return Ok(());
        }
        self.flush()
    }

    fn prepare_commit(&mut self, _checkpoint: CheckpointId) -> Result<SinkSnapshot, ConnectorError> {
        let mut committables = None;
        if !self.exactly_once {
            self.flush()?;
        } else if !self.gathered.is_empty() {
            committables = self.take_reduced()?.map(|batch| to_committables(&batch)).transpose().map_err(broken)?;
        }
        let schema = Arc::new(ArrowSchema::new(vec![Field::new("lineage", DataType::Utf8, false)]));
        let lineage: ArrayRef = Arc::new(StringArray::from(vec![self.lineage.as_str()]));
        let state = RecordBatch::try_new(schema, vec![lineage]).map_err(broken)?;
        Ok(SinkSnapshot { state: Some(state), committables })
    }

    fn commit(&mut self, checkpoint: CheckpointId, committables: &RecordBatch) -> Result<(), ConnectorError> {
        self.commit_once(&self.lineage, checkpoint, committables)
    }

    fn end_of_input(&mut self) -> Result<(), ConnectorError> {
        if self.exactly_once { Ok(()) } else { self.flush() }
    }

    fn close(&mut self) {
        self.gathered.clear();
        self.gathered_rows = 0;
    }
}
