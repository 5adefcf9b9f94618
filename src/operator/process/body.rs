//! How the operator drives a function in Rust: rows read from columns, contexts made, errors with the function's name.

use super::broadcast::{BroadcastContext, KeyedBroadcastContext};
use super::context::{Collector, Context, RuntimeContext};
use super::driver::{ProcessBody, ProcessContext, ProcessInput, ProcessSpec, Timer};
use super::error::{FunctionError, FunctionResult};
use super::function::RowFunction;
use super::values::{ColumnMap, FieldMap, RowReader};
use crate::operator::{InputIndex, OperatorError, SubtaskPlace};
use crate::state::KeyRef;
use crate::types::{Batch, ColumnValues, DatumColumn, TypeKind};
use std::marker::PhantomData;
use std::sync::Arc;

/// One subtask of a function.
pub(super) struct FunctionBody<F> {
    name: Arc<str>,
    function: F,
    place: SubtaskPlace,
    inputs: Vec<Input>,
    side: Vec<String>,
    columns: ColumnMap,
}

/// How the rows of one input are read.
struct Input {
    broadcast: bool,
    /// The rowtime column, and its units a millisecond (or milliseconds a unit, negative).
    rowtime: Option<(usize, i64)>,
    fields: FieldMap,
}

impl Input {
    fn new(input: &ProcessInput) -> Self {
        let rowtime = input.rowtime.and_then(|column| {
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
        Self { broadcast: input.broadcast, rowtime, fields: FieldMap::default() }
    }
}

impl<F: RowFunction> FunctionBody<F> {
    pub(super) fn new(name: &Arc<str>, function: F, place: SubtaskPlace) -> Self {
        let (inputs, side, columns) = (Vec::new(), Vec::new(), ColumnMap::default());
        Self { name: Arc::clone(name), function, place, inputs, side, columns }
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
        let broadcasts = spec.inputs.iter().filter(|input| input.broadcast).count();
        let (inputs, wanted) = (spec.inputs.len() - broadcasts, usize::from(F::SHAPE.broadcast));
        if inputs != 1 {
            return Err(FunctionError::new(format!("it takes one input and is given {inputs}")));
        }
        if broadcasts != wanted {
            let message = format!("it is a {}, which has {wanted} broadcast inputs, and is given {broadcasts}", F::SHAPE.name);
            return Err(FunctionError::new(message));
        }
        if F::SHAPE.keyed && spec.key().is_none() {
            let message = format!("it is a {}, and its input has no key: give the transform a `key-by`", F::SHAPE.name);
            return Err(FunctionError::new(message));
        }
        Ok(())
    }

    /// Calls `run` with the function, and with what it is called with when there is neither row nor key.
    fn call(
        &mut self,
        context: &mut ProcessContext<'_>,
        run: impl FnOnce(&mut F, &mut [Input], &mut Context<'_>, &mut Collector<'_, F::Out>) -> FunctionResult,
    ) -> Result<(), OperatorError> {
        let Self { name, function, inputs, side: names, columns, .. } = self;
        let failed = |e: FunctionError| Self::failed(name, &e);
        let Some((main, side)) = context.outputs.split_first_mut() else { return Err(failed(FunctionError::new("it has no output"))) };
        let mut out = Collector { rows: main, columns, marker: PhantomData };
        let mut context = Context {
            state: context.state,
            operator_state: context.operator_state,
            timers: context.timers,
            key: None,
            timestamp: None,
            domain: None,
            now: context.now,
            watermark: context.watermark,
            side,
            names,
        };
        run(function, inputs, &mut context, &mut out).map_err(failed)
    }
}

impl<F: RowFunction> ProcessBody for FunctionBody<F> {
    fn open(&mut self, spec: &ProcessSpec, context: &mut ProcessContext<'_>) -> Result<(), OperatorError> {
        Self::check(spec).map_err(|e| Self::failed(&self.name, &e))?;
        self.inputs = spec.inputs.iter().map(Input::new).collect();
        self.side = spec.outputs.iter().skip(1).map(|output| output.name.clone()).collect();
        let (key, place, broadcast) = (spec.key(), self.place, F::SHAPE.broadcast);
        let mut runtime = RuntimeContext { state: context.state, operator_state: context.operator_state, key, place, broadcast };
        self.function.open(&mut runtime).map_err(|e| Self::failed(&self.name, &e))
    }

    fn process(
        &mut self,
        input: InputIndex,
        batch: &Batch,
        keys: &[KeyRef],
        context: &mut ProcessContext<'_>,
    ) -> Result<(), OperatorError> {
        self.call(context, |function, inputs, context, out| {
            if batch.kinds().is_some_and(|kinds| kinds.iter().any(|kind| !kind.is_accumulate())) {
                return Err(FunctionError::new("its input takes rows back, which a function is not told of"));
            }
            let Some(input) = inputs.get_mut(input) else { return Err(FunctionError::new("rows came in where there is no input")) };
            let rows = RowReader::new(batch)?;
            let times = input.rowtime.and_then(|(column, unit)| rows.column(column).map(|column| (column, unit)));
            let time = |row: usize| times.and_then(|(column, unit)| millis(column, unit, row));
            if input.broadcast {
                return broadcast(function, (&rows, batch.num_rows(), time), &mut input.fields, (context, out));
            }
            for row in 0..batch.num_rows() {
                let value = rows.read(row, &mut input.fields)?;
                context.key = keys.get(row).copied();
                context.timestamp = time(row);
                function.process(value, context, out)?;
            }
            Ok(())
        })
    }

    fn on_timer(&mut self, timer: Timer, context: &mut ProcessContext<'_>) -> Result<(), OperatorError> {
        self.call(context, |function, _, context, out| {
            (context.key, context.timestamp, context.domain) = (Some(timer.key), Some(timer.timestamp), Some(timer.domain));
            function.on_timer(timer.timestamp, context, out)
        })
    }

    fn end_of_input(&mut self, context: &mut ProcessContext<'_>) -> Result<(), OperatorError> {
        self.call(context, |function, _, context, out| function.end_of_input(context, out))
    }
}

/// Calls a function with rows of its broadcast input.
fn broadcast<F: RowFunction>(
    function: &mut F,
    (rows, count, time): (&RowReader, usize, impl Fn(usize) -> Option<i64>),
    fields: &mut FieldMap,
    (context, out): (&mut Context<'_>, &mut Collector<'_, F::Out>),
) -> FunctionResult {
    for row in 0..count {
        let value = rows.read(row, fields)?;
        let inner = BroadcastContext { inner: Context { timestamp: time(row), ..context.again() } };
        function.process_broadcast(value, &mut KeyedBroadcastContext { inner }, out)?;
    }
    Ok(())
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
