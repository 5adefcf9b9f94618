//! A source with computed columns: what the connector reads, and behind it the columns that are expressions over it.

use crate::connector::{ConnectorContext, ConnectorError, Source, SourceEvent, SourceReader};
use crate::expr::CompiledExpr;
use crate::format::FormatError;
use crate::metrics::OperatorMetrics;
use crate::types::{Batch, ChangelogMode, Parallelism};
use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::SchemaRef;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Where a column of the result comes from.
#[derive(Debug, Clone)]
pub(crate) enum OutputColumn {
    /// The connector's column at this position.
    Read(usize),
    /// An expression over the connector's columns.
    Computed(CompiledExpr),
}

/// A source whose rows have other columns than its connector reads.
#[derive(Debug)]
pub(crate) struct ComputedSource {
    inner: Arc<dyn Source>,
    schema: SchemaRef,
    columns: Arc<[OutputColumn]>,
}

impl ComputedSource {
    /// The source `inner` with `columns`, which have the names and types of `schema`.
    pub(crate) fn new(inner: Arc<dyn Source>, schema: SchemaRef, columns: Vec<OutputColumn>) -> Self {
        Self { inner, schema, columns: columns.into() }
    }
}

impl Source for ComputedSource {
    fn describe(&self) -> String {
        self.inner.describe()
    }

    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn changelog_mode(&self) -> ChangelogMode {
        self.inner.changelog_mode()
    }

    fn is_bounded(&self) -> bool {
        self.inner.is_bounded()
    }

    fn max_subtasks(&self) -> Option<Parallelism> {
        self.inner.max_subtasks()
    }

    fn state_schema(&self) -> SchemaRef {
        self.inner.state_schema()
    }

    fn readers(
        &self,
        context: &ConnectorContext,
        restored: &[RecordBatch],
        metrics: &[OperatorMetrics],
    ) -> Result<Vec<Box<dyn SourceReader>>, ConnectorError> {
        let readers = self.inner.readers(context, restored, metrics)?;
        let computed = |inner| -> Box<dyn SourceReader> {
            Box::new(ComputedReader { inner, schema: self.schema.clone(), columns: self.columns.clone() })
        };
        Ok(readers.into_iter().map(computed).collect())
    }
}

struct ComputedReader {
    inner: Box<dyn SourceReader>,
    schema: SchemaRef,
    columns: Arc<[OutputColumn]>,
}

impl SourceReader for ComputedReader {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<SourceEvent, ConnectorError>> {
        self.inner.poll_next(cx).map(|event| match event? {
            SourceEvent::Batch(batch) => Ok(SourceEvent::Batch(self.compute(&batch)?)),
            event @ (SourceEvent::DeadLetters(_) | SourceEvent::Idle | SourceEvent::End) => Ok(event),
        })
    }

    fn snapshot(&mut self) -> Result<RecordBatch, ConnectorError> {
        self.inner.snapshot()
    }

    fn is_backlogged(&self) -> bool {
        self.inner.is_backlogged()
    }
}

impl ComputedReader {
    fn compute(&self, batch: &Batch) -> Result<Batch, ConnectorError> {
        let columns = self.columns.iter().zip(self.schema.fields()).map(|(column, field)| match column {
            OutputColumn::Read(index) => Ok(batch.column(*index).clone()),
            OutputColumn::Computed(expression) => {
                let value = expression.evaluate(batch.columns()).and_then(|value| conform(value, field.data_type()));
                value.map_err(|error| FormatError::Unwritable { column: field.name().clone(), message: error.to_string() })
            }
        });
        let columns = columns.collect::<Result<Vec<ArrayRef>, FormatError>>()?;
        let columns = RecordBatch::try_new(self.schema.clone(), columns).map_err(FormatError::from)?;
        Ok(batch.with_columns(columns).map_err(FormatError::from)?)
    }
}

/// The type that was declared: an expression may come in another width of the same kind.
fn conform(value: ArrayRef, data_type: &arrow::datatypes::DataType) -> Result<ArrayRef, arrow::error::ArrowError> {
    if value.data_type() == data_type { Ok(value) } else { cast(&value, data_type) }
}
