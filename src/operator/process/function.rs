//! The traits that a person's functions implement, and how their operator drives them.

use super::context::{Collector, Context, RuntimeContext};
use super::driver::{ProcessBody, ProcessContext, ProcessSpec, Timer};
use super::error::{FunctionError, FunctionResult};
use super::values::{ColumnMap, FieldMap, RowReader};
use crate::operator::{InputIndex, OperatorError, SubtaskPlace};
use crate::state::KeyRef;
use crate::types::{Batch, ColumnValues, DatumColumn, TypeKind};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::marker::PhantomData;
use std::sync::Arc;

/// A function over the rows of a stream with a key, with state and timers for each key (Flink: `KeyedProcessFunction`).
///
/// One is made for each subtask. Rows come in and go out as any type that serde knows: the fields of a struct are columns by
/// name, those of a tuple in their order. `TIMESTAMP(3)` is an `i64` in milliseconds, `DECIMAL(p, s)` an `i128` of its digits.
pub trait KeyedProcessFunction: Send + 'static {
    /// A row that comes in.
    type In: DeserializeOwned;
    /// A row that goes out.
    type Out: Serialize;

    /// Called once before anything else, and once more, on a function that is then dropped, when a restore is planned: makes the
    /// states.
    fn open(&mut self, _context: &mut RuntimeContext<'_>) -> FunctionResult {
        Ok(())
    }

    /// Takes a row.
    fn process_element(&mut self, value: Self::In, context: &mut Context<'_>, out: &mut Collector<'_, Self::Out>) -> FunctionResult;

    /// A timer fires, with the state of the key that set it.
    fn on_timer(&mut self, _timestamp: i64, _context: &mut Context<'_>, _out: &mut Collector<'_, Self::Out>) -> FunctionResult {
        Ok(())
    }
}

/// A function over the rows of a stream without key, and so without state and timers (Flink: `ProcessFunction`).
pub trait ProcessFunction: Send + 'static {
    /// A row that comes in.
    type In: DeserializeOwned;
    /// A row that goes out.
    type Out: Serialize;

    /// Called once before anything else, and once more, on a function that is then dropped, when a restore is planned.
    fn open(&mut self, _context: &mut RuntimeContext<'_>) -> FunctionResult {
        Ok(())
    }

    /// Takes a row.
    fn process_element(&mut self, value: Self::In, context: &mut Context<'_>, out: &mut Collector<'_, Self::Out>) -> FunctionResult;
}

/// What both kinds of function are to their operator.
pub trait RowFunction: Send + 'static {
    #[doc(hidden)]
    type In: DeserializeOwned;
    #[doc(hidden)]
    type Out: Serialize;
    #[doc(hidden)]
    const KEYED: bool;
    #[doc(hidden)]
    fn open(&mut self, context: &mut RuntimeContext<'_>) -> FunctionResult;
    #[doc(hidden)]
    fn process(&mut self, value: Self::In, context: &mut Context<'_>, out: &mut Collector<'_, Self::Out>) -> FunctionResult;
    #[doc(hidden)]
    fn on_timer(&mut self, timestamp: i64, context: &mut Context<'_>, out: &mut Collector<'_, Self::Out>) -> FunctionResult;
}

/// A [`KeyedProcessFunction`].
#[derive(Debug)]
pub struct Keyed<F>(F);

/// A [`ProcessFunction`].
#[derive(Debug)]
pub struct Plain<F>(F);

/// What can be registered under a name. `Kind` is found by the compiler.
pub trait IntoRowFunction<Kind> {
    #[doc(hidden)]
    type Function: RowFunction;
    #[doc(hidden)]
    fn into_row_function(self) -> Self::Function;
}

impl<F: KeyedProcessFunction> IntoRowFunction<Keyed<()>> for F {
    type Function = Keyed<F>;

    fn into_row_function(self) -> Keyed<F> {
        Keyed(self)
    }
}

impl<F: ProcessFunction> IntoRowFunction<Plain<()>> for F {
    type Function = Plain<F>;

    fn into_row_function(self) -> Plain<F> {
        Plain(self)
    }
}

impl<F: KeyedProcessFunction> RowFunction for Keyed<F> {
    type In = F::In;
    type Out = F::Out;
    const KEYED: bool = true;

    fn open(&mut self, context: &mut RuntimeContext<'_>) -> FunctionResult {
        self.0.open(context)
    }

    #[inline]
    fn process(&mut self, value: F::In, context: &mut Context<'_>, out: &mut Collector<'_, F::Out>) -> FunctionResult {
        self.0.process_element(value, context, out)
    }

    fn on_timer(&mut self, timestamp: i64, context: &mut Context<'_>, out: &mut Collector<'_, F::Out>) -> FunctionResult {
        self.0.on_timer(timestamp, context, out)
    }
}

impl<F: ProcessFunction> RowFunction for Plain<F> {
    type In = F::In;
    type Out = F::Out;
    const KEYED: bool = false;

    fn open(&mut self, context: &mut RuntimeContext<'_>) -> FunctionResult {
        self.0.open(context)
    }

    #[inline]
    fn process(&mut self, value: F::In, context: &mut Context<'_>, out: &mut Collector<'_, F::Out>) -> FunctionResult {
        self.0.process_element(value, context, out)
    }

    fn on_timer(&mut self, _timestamp: i64, _context: &mut Context<'_>, _out: &mut Collector<'_, F::Out>) -> FunctionResult {
        Ok(())
    }
}

/// One subtask of a function.
pub(super) struct FunctionBody<F> {
    name: Arc<str>,
    function: F,
    place: SubtaskPlace,
    /// The rowtime column, and its units a millisecond (or milliseconds a unit, negative).
    rowtime: Option<(usize, i64)>,
    side: Vec<String>,
    fields: FieldMap,
    columns: ColumnMap,
}

impl<F: RowFunction> FunctionBody<F> {
    pub(super) fn new(name: &Arc<str>, function: F, place: SubtaskPlace) -> Self {
        let (fields, columns) = (FieldMap::default(), ColumnMap::default());
        Self { name: Arc::clone(name), function, place, rowtime: None, side: Vec::new(), fields, columns }
    }

    #[cold]
    fn failed(name: &str, error: &FunctionError) -> OperatorError {
        let (function, message) = (format!("function \"{name}\""), error.to_string());
        if error.is_value_error() {
            return OperatorError::Expression { expression: function, message };
        }
        OperatorError::Function { function, message }
    }

    fn check(spec: &ProcessSpec) -> FunctionResult {
        if spec.inputs.len() != 1 {
            return Err(FunctionError::new(format!("it takes one input and is given {}", spec.inputs.len())));
        }
        if F::KEYED && spec.key().is_none() {
            return Err(FunctionError::new("it is a KeyedProcessFunction, and its input has no key: give the transform a `key-by`"));
        }
        Ok(())
    }
}

impl<F: RowFunction> ProcessBody for FunctionBody<F> {
    fn open(&mut self, spec: &ProcessSpec, context: &mut ProcessContext<'_>) -> Result<(), OperatorError> {
        Self::check(spec).map_err(|e| Self::failed(&self.name, &e))?;
        let input = spec.inputs.first();
        self.rowtime = input.and_then(|input| {
            let column = input.rowtime?;
            let kind = &input.schema.columns.get(column)?.data_type.kind;
            let (TypeKind::Timestamp(precision) | TypeKind::TimestampLtz(precision)) = kind else { return None };
            let unit = match precision {
                0 => -1_000,
                1..=3 => 1,
                4..=6 => 1_000,
                _ => 1_000_000,
            };
            Some((column, unit))
        });
        self.side = spec.outputs.iter().skip(1).map(|output| output.name.clone()).collect();
        let mut runtime = RuntimeContext { state: context.state, key: spec.key(), place: self.place };
        self.function.open(&mut runtime).map_err(|e| Self::failed(&self.name, &e))
    }

    fn process(
        &mut self,
        _input: InputIndex,
        batch: &Batch,
        keys: &[KeyRef],
        context: &mut ProcessContext<'_>,
    ) -> Result<(), OperatorError> {
        let Self { name, function, rowtime, side: names, fields, columns, .. } = self;
        let failed = |e: FunctionError| Self::failed(name, &e);
        if batch.kinds().is_some_and(|kinds| kinds.iter().any(|kind| !kind.is_accumulate())) {
            return Err(failed(FunctionError::new("its input takes rows back, which a function is not told of")));
        }
        let rows = RowReader::new(batch).map_err(|e| failed(e.into()))?;
        let Some((main, side)) = context.outputs.split_first_mut() else { return Err(failed(FunctionError::new("it has no output"))) };
        let mut out = Collector { rows: main, columns, marker: PhantomData };
        let times = rowtime.and_then(|(column, unit)| rows.column(column).map(|column| (column, unit)));
        let mut context = Context {
            state: context.state,
            timers: context.timers,
            key: None,
            timestamp: None,
            domain: None,
            now: context.now,
            watermark: context.watermark,
            side,
            names,
        };
        for row in 0..batch.num_rows() {
            let value = rows.read(row, fields).map_err(|e| failed(e.into()))?;
            context.key = keys.get(row).copied();
            context.timestamp = times.and_then(|(column, unit)| millis(column, unit, row));
            function.process(value, &mut context, &mut out).map_err(failed)?;
        }
        Ok(())
    }

    fn on_timer(&mut self, timer: Timer, context: &mut ProcessContext<'_>) -> Result<(), OperatorError> {
        let Self { name, function, side: names, columns, .. } = self;
        let failed = |e: FunctionError| Self::failed(name, &e);
        let Some((main, side)) = context.outputs.split_first_mut() else { return Err(failed(FunctionError::new("it has no output"))) };
        let mut out = Collector { rows: main, columns, marker: PhantomData };
        let mut context = Context {
            state: context.state,
            timers: context.timers,
            key: Some(timer.key),
            timestamp: Some(timer.timestamp),
            domain: Some(timer.domain),
            now: context.now,
            watermark: context.watermark,
            side,
            names,
        };
        function.on_timer(timer.timestamp, &mut context, &mut out).map_err(failed)
    }
}

/// The timestamp of a row in milliseconds.
fn millis(column: &DatumColumn, unit: i64, row: usize) -> Option<i64> {
    if column.is_null(row) {
        return None;
    }
    let ColumnValues::Int64(values) = column.values() else { return None };
    let value = values[row];
    Some(match unit {
        1 => value,
        unit if unit < 0 => value.saturating_mul(-unit),
        unit => value.div_euclid(unit),
    })
}
