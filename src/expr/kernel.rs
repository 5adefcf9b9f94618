//! Kernels: functions from argument columns to a result column, and the physical expression that calls one.

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, BinaryArray, BooleanArray, PrimitiveArray, RecordBatch, StringArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Schema};
use arrow::error::ArrowError;
use datafusion_common::{DataFusionError, Result as DataFusionResult, ScalarValue};
use datafusion_expr::ColumnarValue;
use datafusion_physical_expr::PhysicalExpr;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Why a row has no value. The message names the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct KernelError(pub String);

impl From<ArrowError> for KernelError {
    fn from(error: ArrowError) -> Self {
        match error {
            ArrowError::ComputeError(message) => Self(message),
            other => Self(other.to_string()),
        }
    }
}

/// Result of a kernel.
pub type KernelResult = Result<ArrayRef, KernelError>;

/// Computes one value a row from the argument columns. The second parameter is the number of rows.
pub type Kernel = Arc<dyn Fn(&[Arg], usize) -> KernelResult + Send + Sync>;

/// One argument: a value a row, or one value for all rows.
#[derive(Debug, Clone)]
pub struct Arg {
    /// The values; one if `scalar`.
    pub array: ArrayRef,
    /// True if the one value stands for every row.
    pub scalar: bool,
}

impl Arg {
    fn typed<A: 'static>(&self) -> Result<&A, KernelError> {
        let found = self.array.as_any().downcast_ref::<A>();
        found.ok_or_else(|| KernelError(format!("an argument has the unexpected type {}", self.array.data_type())))
    }

    /// As text.
    pub fn strings(&self) -> Result<Strings<'_>, KernelError> {
        Ok(Strings { array: self.typed::<StringArray>()?, scalar: self.scalar })
    }

    /// As bytes.
    pub fn bytes(&self) -> Result<&BinaryArray, KernelError> {
        self.typed()
    }

    /// As values of a fixed width.
    pub fn values<T: ArrowPrimitiveType>(&self) -> Result<Values<'_, T>, KernelError> {
        Ok(Values { array: self.typed::<PrimitiveArray<T>>()?, scalar: self.scalar })
    }

    /// As booleans.
    pub fn booleans(&self) -> Result<&BooleanArray, KernelError> {
        self.typed()
    }

    /// The row of the array that holds the value of row `row`.
    pub fn index(&self, row: usize) -> usize {
        if self.scalar { 0 } else { row }
    }

    /// True if the value of row `row` is NULL.
    pub fn is_null(&self, row: usize) -> bool {
        self.array.is_null(self.index(row))
    }

    /// One value for each of `rows` rows.
    pub fn expanded(&self, rows: usize) -> Result<ArrayRef, KernelError> {
        if !self.scalar || rows == 1 {
            return Ok(self.array.clone());
        }
        let value = ScalarValue::try_from_array(&self.array, 0).map_err(|e| KernelError(e.to_string()))?;
        value.to_array_of_size(rows).map_err(|e| KernelError(e.to_string()))
    }
}

/// Text arguments.
#[derive(Debug, Clone, Copy)]
pub struct Strings<'a> {
    array: &'a StringArray,
    scalar: bool,
}

impl<'a> Strings<'a> {
    /// The text of row `row`; `None` for NULL.
    pub fn get(&self, row: usize) -> Option<&'a str> {
        let row = if self.scalar { 0 } else { row };
        self.array.is_valid(row).then(|| self.array.value(row))
    }
}

/// Fixed-width arguments.
#[derive(Debug, Clone, Copy)]
pub struct Values<'a, T: ArrowPrimitiveType> {
    array: &'a PrimitiveArray<T>,
    scalar: bool,
}

impl<T: ArrowPrimitiveType> Values<'_, T> {
    /// The value of row `row`; `None` for NULL.
    pub fn get(&self, row: usize) -> Option<T::Native> {
        let row = if self.scalar { 0 } else { row };
        self.array.is_valid(row).then(|| self.array.value(row))
    }

    /// The value of row `row`, whatever it is where it is NULL.
    pub fn raw(&self, row: usize) -> T::Native {
        self.array.value(if self.scalar { 0 } else { row })
    }
}

/// The rows that are not NULL in any argument; `None` if that is all of them.
pub fn valid_rows(args: &[Arg], rows: usize) -> Option<NullBuffer> {
    let mut valid: Option<NullBuffer> = None;
    for arg in args {
        let nulls = arg.array.logical_nulls();
        if nulls.as_ref().is_none_or(|n| n.null_count() == 0) {
            continue;
        }
        if arg.scalar {
            return Some(NullBuffer::new_null(rows));
        }
        valid = NullBuffer::union(valid.as_ref(), nulls.as_ref());
    }
    valid
}

/// A call of a kernel, as DataFusion's physical expressions see it.
pub struct KernelExpr {
    text: String,
    kernel: Kernel,
    args: Vec<Arc<dyn PhysicalExpr>>,
    data_type: DataType,
    nullable: bool,
}

impl KernelExpr {
    /// `text` is what the plan shows for it; two expressions with equal text and arguments are equal.
    pub fn new(text: String, kernel: Kernel, args: Vec<Arc<dyn PhysicalExpr>>, data_type: DataType, nullable: bool) -> Self {
        Self { text, kernel, args, data_type, nullable }
    }
}

impl fmt::Debug for KernelExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for KernelExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for KernelExpr {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.args == other.args && self.data_type == other.data_type
    }
}

impl Eq for KernelExpr {}

impl Hash for KernelExpr {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
        self.args.hash(state);
    }
}

/// Runs `kernel`; over constants alone, once.
pub fn call(kernel: &Kernel, values: Vec<ColumnarValue>, rows: usize) -> Result<ColumnarValue, KernelError> {
    let inner = |e: DataFusionError| KernelError(e.to_string());
    let all_scalar = !values.is_empty() && values.iter().all(|value| matches!(value, ColumnarValue::Scalar(_)));
    let mut args = Vec::with_capacity(values.len());
    for value in values {
        args.push(match value {
            ColumnarValue::Array(array) => Arg { array, scalar: false },
            ColumnarValue::Scalar(value) => Arg { array: value.to_array().map_err(inner)?, scalar: true },
        });
    }
    if all_scalar {
        if rows == 0 {
            // A failing constant must not fail a batch without rows.
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from(kernel_type(kernel, &args)?.as_ref()).map_err(inner)?));
        }
        let array = kernel(&args, 1)?;
        return ScalarValue::try_from_array(&array, 0).map(ColumnarValue::Scalar).map_err(inner);
    }
    kernel(&args, rows).map(ColumnarValue::Array)
}

fn kernel_type(kernel: &Kernel, args: &[Arg]) -> Result<Box<DataType>, KernelError> {
    let empty: Vec<Arg> = args.iter().map(|arg| Arg { array: arg.array.slice(0, 0), scalar: false }).collect();
    Ok(Box::new(kernel(&empty, 0)?.data_type().clone()))
}

impl PhysicalExpr for KernelExpr {
    fn data_type(&self, _input: &Schema) -> DataFusionResult<DataType> {
        Ok(self.data_type.clone())
    }

    fn nullable(&self, _input: &Schema) -> DataFusionResult<bool> {
        Ok(self.nullable)
    }

    fn evaluate(&self, batch: &RecordBatch) -> DataFusionResult<ColumnarValue> {
        let values = self.args.iter().map(|arg| arg.evaluate(batch)).collect::<DataFusionResult<Vec<_>>>()?;
        call(&self.kernel, values, batch.num_rows()).map_err(|e| DataFusionError::ArrowError(Box::new(ArrowError::ComputeError(e.0)), None))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        self.args.iter().collect()
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> DataFusionResult<Arc<dyn PhysicalExpr>> {
        let Self { text, kernel, data_type, nullable, .. } = &*self;
        Ok(Arc::new(Self::new(text.clone(), kernel.clone(), children, data_type.clone(), *nullable)))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
