//! Typed expressions → DataFusion's physical expressions.

use super::CompiledExpr;
use super::kernel::KernelExpr;
use super::typed::{ExprKind, TypedExpr};
use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::compute;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion_common::{Result as DataFusionResult, ScalarValue};
use datafusion_expr::ColumnarValue;
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::{CaseExpr, Column, InListExpr, Literal};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// The column that carries the time of evaluation: behind the columns of the input.
pub(super) fn clock_field() -> Field {
    Field::new("$now", DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())), false)
}

impl TypedExpr {
    /// Makes it ready to evaluate over batches of `input`.
    pub fn compile(&self, input: &SchemaRef) -> Result<CompiledExpr, arrow::error::ArrowError> {
        let reads_clock = self.reads_clock();
        let mut fields: Vec<_> = input.fields().iter().cloned().collect();
        if reads_clock {
            fields.push(Arc::new(clock_field()));
        }
        let schema = Schema::new(fields);
        let expr = self.physical(&schema, input.fields().len())?;
        let (data_type, nullable) = (self.data_type.to_arrow(), self.data_type.nullable);
        Ok(CompiledExpr { expr, data_type, nullable, reads_clock, offset_of: self.offset_of() })
    }

    /// The column that this is, up to a constant added or taken away.
    fn offset_of(&self) -> Option<usize> {
        match &self.kind {
            ExprKind::Call(call) if matches!(call.name, "+" | "-") => match call.args.as_slice() {
                [column, constant] if constant.as_literal().is_some() => column.as_column(),
                _ => None,
            },
            _ => self.as_column(),
        }
    }

    fn physical(&self, schema: &Schema, clock: usize) -> DataFusionResult<Arc<dyn PhysicalExpr>> {
        let compile = |expr: &Self| expr.physical(schema, clock);
        Ok(match &self.kind {
            ExprKind::Column { index, name } => Arc::new(Column::new(name, *index)),
            ExprKind::Literal(ScalarValue::Null) => Arc::new(Literal::new(ScalarValue::try_from(&self.data_type.to_arrow())?)),
            ExprKind::Literal(value) => Arc::new(Literal::new(value.clone())),
            ExprKind::Now => Arc::new(Column::new("$now", clock)),
            ExprKind::Call(call) => {
                let args = call.args.iter().map(compile).collect::<DataFusionResult<Vec<_>>>()?;
                let (data_type, nullable) = (self.data_type.to_arrow(), self.data_type.nullable);
                Arc::new(KernelExpr::new(self.to_string(), call.kernel.clone(), args, data_type, nullable))
            }
            ExprKind::And(a, b) => Arc::new(Junction::new(true, compile(a)?, compile(b)?, b.is_fallible())),
            ExprKind::Or(a, b) => Arc::new(Junction::new(false, compile(a)?, compile(b)?, b.is_fallible())),
            ExprKind::Case { branches, otherwise } => {
                let when_then = branches.iter().map(|(c, r)| Ok((compile(c)?, compile(r)?))).collect::<DataFusionResult<Vec<_>>>()?;
                let otherwise = otherwise.as_deref().map(compile).transpose()?;
                Arc::new(CaseExpr::try_new(None, when_then, otherwise)?)
            }
            ExprKind::In { value, list, negated } => {
                let list = list.iter().map(compile).collect::<DataFusionResult<Vec<_>>>()?;
                Arc::new(InListExpr::try_new(compile(value)?, list, *negated, schema)?)
            }
        })
    }
}

/// AND or OR in three-valued logic. A second operand that can fail is evaluated only on the rows that the first leaves open, as
/// Flink's generated code does: `b <> 0 AND a / b > 1` never divides by zero.
#[derive(Debug, Eq)]
struct Junction {
    is_and: bool,
    left: Arc<dyn PhysicalExpr>,
    right: Arc<dyn PhysicalExpr>,
    guard: bool,
}

impl Junction {
    fn new(is_and: bool, left: Arc<dyn PhysicalExpr>, right: Arc<dyn PhysicalExpr>, guard: bool) -> Self {
        Self { is_and, left, right, guard }
    }
}

impl PartialEq for Junction {
    fn eq(&self, other: &Self) -> bool {
        self.is_and == other.is_and && self.left.eq(&other.left) && self.right.eq(&other.right)
    }
}

impl Hash for Junction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.is_and.hash(state);
        self.left.hash(state);
        self.right.hash(state);
    }
}

impl fmt::Display for Junction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({} {} {})", self.left, if self.is_and { "AND" } else { "OR" }, self.right)
    }
}

fn booleans(value: ColumnarValue, rows: usize) -> DataFusionResult<BooleanArray> {
    let array = value.into_array(rows)?;
    let found = array.as_boolean_opt().cloned();
    found.ok_or_else(|| datafusion_common::DataFusionError::Execution(format!("expected BOOLEAN, found {}", array.data_type())))
}

impl PhysicalExpr for Junction {
    fn data_type(&self, _input: &Schema) -> DataFusionResult<DataType> {
        Ok(DataType::Boolean)
    }

    fn nullable(&self, input: &Schema) -> DataFusionResult<bool> {
        Ok(self.left.nullable(input)? || self.right.nullable(input)?)
    }

    fn evaluate(&self, batch: &RecordBatch) -> DataFusionResult<ColumnarValue> {
        let rows = batch.num_rows();
        let left = booleans(self.left.evaluate(batch)?, rows)?;
        // The value of the left side that decides the result: false for AND, true for OR.
        let decided = |i: usize| left.is_valid(i) && left.value(i) != self.is_and;
        let all_decided = left.null_count() == 0 && if self.is_and { !left.has_true() } else { !left.has_false() };
        if all_decided && rows > 0 {
            return Ok(ColumnarValue::Array(Arc::new(left)));
        }
        let right = if self.guard {
            let open = (0..rows).map(|i| Some(!decided(i))).collect::<BooleanArray>();
            booleans(self.right.evaluate_selection(batch, &open)?, rows)?
        } else {
            booleans(self.right.evaluate(batch)?, rows)?
        };
        let result = if self.is_and { compute::and_kleene(&left, &right)? } else { compute::or_kleene(&left, &right)? };
        Ok(ColumnarValue::Array(Arc::new(result)))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.left, &self.right]
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> DataFusionResult<Arc<dyn PhysicalExpr>> {
        let [left, right] = <[_; 2]>::try_from(children)
            .map_err(|found| datafusion_common::DataFusionError::Internal(format!("AND takes two operands, not {}", found.len())))?;
        Ok(Arc::new(Self::new(self.is_and, left, right, self.guard)))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
