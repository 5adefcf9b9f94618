//! Compiled expressions: the one place that evaluates DataFusion's physical expressions.

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::DataType;
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
        Self { expr, data_type, nullable }
    }

    /// The type of its values.
    pub fn data_type(&self) -> &DataType {
        &self.data_type
    }

    /// Whether NULL is among its values.
    pub fn nullable(&self) -> bool {
        self.nullable
    }

    /// One value a row of `batch`. Errors when a row has no value: a division by zero, a CAST that does not fit.
    pub fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef, ArrowError> {
        let value = self.expr.evaluate(batch).map_err(ArrowError::from)?;
        value.into_array(batch.num_rows()).map_err(ArrowError::from)
    }

    /// True if the expression is column `column`, or that plus or minus a constant: then it grows with the column.
    pub fn is_column_with_offset(&self, column: usize) -> bool {
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

    /// The position of the column if the expression is nothing but a column.
    pub fn as_column(&self) -> Option<usize> {
        let expr: &dyn std::any::Any = self.expr.as_ref();
        expr.downcast_ref::<datafusion_physical_expr::expressions::Column>().map(|column| column.index())
    }
}
