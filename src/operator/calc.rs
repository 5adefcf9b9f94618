//! Filter and projection in one: Flink's `Calc`. Row kinds stay as they are: each row of an update passes or not by itself.

use super::{InputIndex, Operator, OperatorContext, OperatorError, OperatorFactory, Output, SubtaskPlace};
use crate::expr::CompiledExpr;
use crate::expr::typed::TypedExpr;
use crate::types::{Batch, Schema, WallTime};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use std::sync::Arc;

/// What a Calc is to compute.
#[derive(Debug, Clone)]
pub struct CalcSpec {
    /// The columns that arrive.
    pub input: Schema,
    /// Rows for which this is not true are dropped, before anything else is computed.
    pub filter: Option<TypedExpr>,
    /// The columns to compute, over those that arrive.
    pub projection: Vec<TypedExpr>,
    /// Their names and types.
    pub output: Schema,
}

/// A compiled expression with the text that errors show.
#[derive(Debug)]
struct Step {
    expr: CompiledExpr,
    column: Option<usize>,
    text: String,
}

/// Makes the `Calc` operators of a plan's node.
#[derive(Debug)]
pub struct CalcFactory {
    program: Arc<Program>,
    description: String,
}

#[derive(Debug)]
struct Program {
    filter: Option<Step>,
    steps: Vec<Step>,
    schema: SchemaRef,
    /// Where there is a filter: the columns that the projection reads; nothing else is filtered.
    filtered: Vec<usize>,
}

impl CalcFactory {
    /// Compiles the expressions. Errors where a type has no kernel.
    pub fn new(spec: CalcSpec) -> Result<Self, ArrowError> {
        let input = spec.input.to_arrow();
        let step = |expr: &TypedExpr| {
            let compiled = expr.compile(&input)?;
            Ok(Step { column: compiled.as_column(), expr: compiled, text: expr.to_string() })
        };
        let steps = spec.projection.iter().map(step).collect::<Result<Vec<_>, ArrowError>>()?;
        let filter = spec.filter.as_ref().map(step).transpose()?;
        let mut filtered = Vec::new();
        for expr in &spec.projection {
            expr.for_each_column(&mut |column| {
                if !filtered.contains(&column) {
                    filtered.push(column);
                }
            });
        }
        let description = describe(&spec);
        Ok(Self { program: Arc::new(Program { filter, steps, schema: spec.output.to_arrow(), filtered }), description })
    }
}

fn describe(spec: &CalcSpec) -> String {
    let shown = spec.projection.iter().zip(&spec.output.columns).map(|(expr, column)| {
        let text = expr.to_string();
        if text == column.name { text } else { format!("{text} AS {}", column.name) }
    });
    let select = shown.collect::<Vec<_>>().join(", ");
    match &spec.filter {
        Some(filter) => format!("Calc(select=[{select}], where=[{filter}])"),
        None => format!("Calc(select=[{select}])"),
    }
}

impl OperatorFactory for CalcFactory {
    fn describe(&self) -> String {
        self.description.clone()
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.program.schema)
    }

    fn create(&self, _place: SubtaskPlace) -> Result<Box<dyn Operator>, OperatorError> {
        Ok(Box::new(Calc { program: Arc::clone(&self.program) }))
    }
}

#[derive(Debug)]
struct Calc {
    program: Arc<Program>,
}

fn failed(step: &Step, error: &ArrowError) -> OperatorError {
    let message = match error {
        ArrowError::ComputeError(message) => message.clone(),
        other => other.to_string(),
    };
    OperatorError::Expression { expression: step.text.clone(), message }
}

impl Program {
    /// The rows that pass the filter; `None` for all of them.
    fn selection(&self, batch: &RecordBatch, now: WallTime) -> Result<Option<BooleanArray>, OperatorError> {
        let Some(step) = &self.filter else { return Ok(None) };
        let flags = step.expr.evaluate_at(batch, now).map_err(|e| failed(step, &e))?;
        let flags = flags.as_boolean_opt().cloned();
        let flags = flags.ok_or_else(|| OperatorError::Invariant(format!("the filter {} is no BOOLEAN", step.text)))?;
        let all = flags.null_count() == 0 && !flags.has_false();
        Ok((!all).then_some(flags))
    }

    /// The batch with only the selected rows; columns that nothing reads become cheap placeholders.
    fn select(&self, batch: &RecordBatch, flags: &BooleanArray) -> Result<RecordBatch, ArrowError> {
        let flags = if flags.null_count() > 0 { compute::prep_null_mask_filter(flags) } else { flags.clone() };
        let rows = flags.true_count();
        let filter = compute::FilterBuilder::new(&flags);
        let filter = if self.filtered.len() > 1 { filter.optimize().build() } else { filter.build() };
        let column = |(index, column): (usize, &ArrayRef)| {
            if self.filtered.contains(&index) {
                filter.filter(column)
            } else {
                // Nobody looks at it, but a batch wants columns of one length.
                Ok(column.slice(0, rows))
            }
        };
        let columns = batch.columns().iter().enumerate().map(column).collect::<Result<Vec<_>, ArrowError>>()?;
        RecordBatch::try_new_with_options(batch.schema(), columns, &RecordBatchOptions::new().with_row_count(Some(rows)))
    }

    fn project(&self, batch: &RecordBatch, now: WallTime) -> Result<RecordBatch, OperatorError> {
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.steps.len());
        for step in &self.steps {
            columns.push(match step.column {
                Some(column) => Arc::clone(batch.column(column)),
                None => step.expr.evaluate_at(batch, now).map_err(|e| failed(step, &e))?,
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }
}

impl Operator for Calc {
    fn open(&mut self, _context: &mut OperatorContext<'_>) -> Result<(), OperatorError> {
        Ok(())
    }

    fn process(
        &mut self,
        _input: InputIndex,
        batch: Batch,
        context: &mut OperatorContext<'_>,
        out: &mut Output,
    ) -> Result<(), OperatorError> {
        let program = &self.program;
        let Some(flags) = program.selection(batch.columns(), context.now)? else {
            let columns = program.project(batch.columns(), context.now)?;
            out.emit(batch.with_columns(columns)?);
            return Ok(());
        };
        if !flags.has_true() {
            return Ok(());
        }
        let selected = program.select(batch.columns(), &flags)?;
        let columns = program.project(&selected, context.now)?;
        let kinds = batch.kinds().map(|_| {
            let kept = (0..batch.num_rows()).filter(|row| flags.is_valid(*row) && flags.value(*row));
            kept.map(|row| batch.kind(row)).collect()
        });
        out.emit(match kinds {
            Some(kinds) => Batch::changelog(columns, kinds)?,
            None => Batch::append(columns),
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expr::coerce::Arithmetic;
    use crate::expr::number::Comparison;
    use crate::testing::operator::{OperatorHarness, rows};
    use crate::types::{Column, LogicalType, RowKind, TypeKind};
    use arrow::array::{Int32Array, StringArray};
    use datafusion_common::ScalarValue;

    fn input() -> Schema {
        let column = |name: &str, kind| Column { name: name.to_owned(), data_type: LogicalType::nullable(kind) };
        Schema::new(vec![column("a", TypeKind::Int), column("b", TypeKind::Int), column("s", TypeKind::String)])
    }

    fn column(index: usize) -> TypedExpr {
        let column = &input().columns[index];
        TypedExpr::column(index, &column.name, column.data_type.clone())
    }

    fn number(value: i32) -> TypedExpr {
        TypedExpr::literal(ScalarValue::Int32(Some(value)), TypeKind::Int)
    }

    fn calc(filter: Option<TypedExpr>, projection: Vec<TypedExpr>) -> OperatorHarness {
        let named = |(i, expr): (usize, &TypedExpr)| Column { name: format!("c{i}"), data_type: expr.data_type.clone() };
        let output = Schema::new(projection.iter().enumerate().map(named).collect());
        let factory = CalcFactory::new(CalcSpec { input: input(), filter, projection, output }).unwrap();
        OperatorHarness::new(&factory).unwrap()
    }

    fn batch() -> RecordBatch {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int32Array::from(vec![Some(1), Some(2), None, Some(4)])),
            Arc::new(Int32Array::from(vec![1, 0, 3, 2])),
            Arc::new(StringArray::from(vec!["w", "x", "y", "z"])),
        ];
        RecordBatch::try_new(input().to_arrow(), columns).unwrap()
    }

    #[test]
    fn rows_are_filtered_before_anything_is_computed() {
        let filter = TypedExpr::compare(Comparison::NotEqual, column(1), number(0)).unwrap();
        let quotient = TypedExpr::arithmetic(Arithmetic::Divide, column(0), column(1)).unwrap();
        let mut calc = calc(Some(filter), vec![quotient, column(2)]);
        let out = calc.process(Batch::append(batch())).unwrap();
        assert_eq!(rows(&out).unwrap(), ["+I[1, w]", "+I[null, y]", "+I[2, z]"]);
    }

    #[test]
    fn each_row_of_an_update_passes_by_itself_and_keeps_its_kind() {
        let kinds = [RowKind::Insert, RowKind::UpdateBefore, RowKind::UpdateAfter, RowKind::Delete].into_iter().collect();
        let filter = TypedExpr::compare(Comparison::Greater, column(0), number(1)).unwrap();
        let mut calc = calc(Some(filter), vec![column(0)]);
        let out = calc.process(Batch::changelog(batch(), kinds).unwrap()).unwrap();
        assert_eq!(rows(&out).unwrap(), ["-U[2]", "-D[4]"]);
    }

    #[test]
    fn columns_alone_are_passed_on_without_a_copy() {
        let mut calc = calc(None, vec![column(2), column(0)]);
        let input = batch();
        let out = calc.process(Batch::append(input.clone())).unwrap();
        assert!(Arc::ptr_eq(out[0].column(0), input.column(2)));
        assert!(Arc::ptr_eq(out[0].column(1), input.column(0)));
        assert_eq!(out[0].schema().field(0).name(), "c0");
    }

    #[test]
    fn a_row_that_fails_names_the_expression() {
        let quotient = TypedExpr::arithmetic(Arithmetic::Divide, column(0), column(1)).unwrap();
        let error = calc(None, vec![quotient]).process(Batch::append(batch())).unwrap_err();
        assert_eq!(error.to_string(), "(a / b): / by zero");
    }

    #[test]
    fn the_time_is_that_of_the_call() {
        let mut calc = calc(None, vec![column(0), TypedExpr::now()]);
        calc.set_time(WallTime(1_600_000_000_000));
        let out = calc.process(Batch::append(batch().slice(0, 1))).unwrap();
        assert_eq!(rows(&out).unwrap(), ["+I[1, 2020-09-13T12:26:40Z]"]);
    }
}
