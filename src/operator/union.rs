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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::operator::{OperatorHarness, rows_of};
    use crate::types::{Column, LogicalType, RowKind, TypeKind};
    use arrow::array::{ArrayRef, Int32Array};

    fn batch(name: &str, values: Vec<i32>) -> RecordBatch {
        let column = Column { name: name.to_owned(), data_type: LogicalType::nullable(TypeKind::Int) };
        let columns: Vec<ArrayRef> = vec![Arc::new(Int32Array::from(values))];
        RecordBatch::try_new(Schema::new(vec![column]).to_arrow(), columns).unwrap()
    }

    #[test]
    fn rows_of_all_inputs_pass_with_their_kinds_under_one_schema() {
        let schema = Schema::from_arrow(&batch("a", vec![]).schema()).unwrap();
        let mut union = OperatorHarness::new(&UnionFactory::new(&schema, 2)).unwrap();
        let mut out = union.process_on(0, Batch::append(batch("a", vec![1]))).unwrap();
        let kinds = [RowKind::Delete].into_iter().collect();
        out.extend(union.process_on(1, Batch::changelog(batch("b", vec![2]), kinds).unwrap()).unwrap());
        assert_eq!(rows_of(&out, 0).unwrap(), ["+I[1]", "-D[2]"]);
        assert!(out.iter().all(|(_, batch)| batch.schema().field(0).name() == "a"));
        assert!(union.process_on(2, Batch::append(batch("a", vec![3]))).is_err());
    }
}
