//! Several inputs become one stream: Flink's `Union`.

use super::{InputIndex, Operator, OperatorContext, OperatorError, OperatorFactory, Output, SubtaskPlace};
use crate::types::{Batch, Schema};
use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use std::sync::Arc;

/// Makes the `Union` operators of a plan's node.
#[derive(Debug)]
pub struct UnionFactory {
    schema: SchemaRef,
    names: String,
    inputs: usize,
}

impl UnionFactory {
    /// A union of so many inputs with equal column types.
    pub fn new(schema: &Schema, inputs: usize) -> Self {
        let names = schema.columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>().join(", ");
        Self { schema: schema.to_arrow(), names, inputs }
    }
}

impl OperatorFactory for UnionFactory {
    fn describe(&self) -> String {
        format!("Union(all=[true], union=[{}])", self.names)
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn create(&self, _place: SubtaskPlace) -> Result<Box<dyn Operator>, OperatorError> {
        Ok(Box::new(Union { schema: Arc::clone(&self.schema), inputs: self.inputs }))
    }
}

#[derive(Debug)]
struct Union {
    schema: SchemaRef,
    inputs: usize,
}

impl Operator for Union {
    fn open(&mut self, _context: &mut OperatorContext<'_>) -> Result<(), OperatorError> {
        Ok(())
    }

    fn process(
        &mut self,
        input: InputIndex,
        batch: Batch,
        _context: &mut OperatorContext<'_>,
        out: &mut Output,
    ) -> Result<(), OperatorError> {
        if input >= self.inputs {
            return Err(OperatorError::Invariant(format!("a union of {} inputs got rows from input {input}", self.inputs)));
        }
        if batch.schema() == self.schema {
            out.emit(batch);
            return Ok(());
        }
        // Inputs may differ in names and in NOT NULL.
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let columns = RecordBatch::try_new_with_options(Arc::clone(&self.schema), batch.columns().columns().to_vec(), &options)?;
        out.emit(batch.with_columns(columns)?);
        Ok(())
    }
}
