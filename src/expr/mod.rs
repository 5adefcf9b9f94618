//! Expressions with Flink's meaning: typed expressions, the functions and kernels behind them, and [`CompiledExpr`], the one place
//! that evaluates DataFusion's physical expressions.

pub mod cast;
pub mod civil;
pub mod coerce;
mod compile;
pub mod decimal;
pub mod functions;
pub mod kernel;
pub mod number;
pub mod pattern;
pub mod typed;

use crate::types::WallTime;
use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Schema};
use arrow::error::ArrowError;
use datafusion_physical_expr::PhysicalExpr;
use std::fmt;
use std::sync::Arc;

/// An expression over the columns of a batch, ready to evaluate. Cheap to clone.
#[derive(Clone)]
pub struct CompiledExpr {
    expr: Arc<dyn PhysicalExpr>,
    data_type: DataType,
    nullable: bool,
    reads_clock: bool,
    /// The column that it is, up to a constant added or taken away.
    offset_of: Option<usize>,
}

impl fmt::Debug for CompiledExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.expr)
    }
}

impl fmt::Display for CompiledExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.expr)
    }
}

impl CompiledExpr {
    /// Wraps a physical expression whose type over its input is `data_type`.
    pub fn new(expr: Arc<dyn PhysicalExpr>, data_type: DataType, nullable: bool) -> Self {
        Self { expr, data_type, nullable, reads_clock: false, offset_of: None }
    }

    /// The type of its values.
    pub fn data_type(&self) -> &DataType {
        &self.data_type
    }

    /// Whether NULL is among its values.
    pub fn nullable(&self) -> bool {
        self.nullable
    }

    /// True if it needs the time of evaluation (`PROCTIME()`): such an expression is evaluated with [`CompiledExpr::evaluate_at`].
    pub fn reads_clock(&self) -> bool {
        self.reads_clock
    }

    /// One value a row of `batch`. Errors when a row has no value: a division by zero, a CAST that does not fit.
    pub fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef, ArrowError> {
        if self.reads_clock {
            return Err(ArrowError::InvalidArgumentError(format!("{self} needs the time of evaluation")));
        }
        let value = self.expr.evaluate(batch).map_err(ArrowError::from)?;
        value.into_array(batch.num_rows()).map_err(ArrowError::from)
    }

    /// True if the expression is column `column`, or that plus or minus a constant: then it grows with the column.
    pub fn is_column_with_offset(&self, column: usize) -> bool {
        if self.offset_of.is_some() {
            return self.offset_of == Some(column);
        }
        use datafusion_expr::Operator::{Minus, Plus};
        use datafusion_physical_expr::expressions::{BinaryExpr, Literal};
        let expr: &dyn std::any::Any = self.expr.as_ref();
        match expr.downcast_ref::<BinaryExpr>() {
            None => self.as_column() == Some(column),
            Some(binary) => {
                let (left, right): (&dyn std::any::Any, &dyn std::any::Any) = (binary.left().as_ref(), binary.right().as_ref());
                let left = left.downcast_ref::<datafusion_physical_expr::expressions::Column>();
                matches!(binary.op(), Plus | Minus) && left.is_some_and(|c| c.index() == column) && right.is::<Literal>()
            }
        }
    }

    /// One value a row of `batch`; the time is `now` for all of them.
    pub fn evaluate_at(&self, batch: &RecordBatch, now: WallTime) -> Result<ArrayRef, ArrowError> {
        if !self.reads_clock {
            return self.evaluate(batch);
        }
        let batch = with_clock(batch, now)?;
        let value = self.expr.evaluate(&batch).map_err(ArrowError::from)?;
        value.into_array(batch.num_rows()).map_err(ArrowError::from)
    }

    /// The position of the column if the expression is nothing but a column.
    pub fn as_column(&self) -> Option<usize> {
        let expr: &dyn std::any::Any = self.expr.as_ref();
        let column =
            expr.downcast_ref::<datafusion_physical_expr::expressions::Column>().map(datafusion_physical_expr::expressions::Column::index);
        column.filter(|_| !self.reads_clock)
    }
}

/// The batch with the time behind its columns, where compiled expressions look for it.
fn with_clock(batch: &RecordBatch, now: WallTime) -> Result<RecordBatch, ArrowError> {
    let rows = batch.num_rows();
    let mut fields: Vec<_> = batch.schema().fields().iter().cloned().collect();
    fields.push(Arc::new(compile::clock_field()));
    let mut columns = batch.columns().to_vec();
    columns.push(Arc::new(TimestampMillisecondArray::from_value(now.0, rows).with_timezone("UTC")));
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)
}
