//! The process function of one subtask: hands a batch to the script, its state with it, and takes the rows and the written state back.

use super::convert::{decimal_text, from_lua, to_lua};
use super::error::{ScriptError, is_of_prelude};
use super::machine::{Machine, Written, is_null, take_pushed};
use super::prelude::{Checks, Handover, handover};
use super::session::lock;
use super::spec::{ScriptFold, ScriptSpec, ScriptState};
use crate::operator::process::{FunctionStates, ProcessBody, ProcessContext, ProcessFactory, ProcessSpec, Timer};
use crate::operator::{InputIndex, OperatorError, SubtaskPlace};
use crate::state::{Fold, FoldFunction, KeyRef, KeyedState, StateDescriptor, StateKind, TimeDomain};
use crate::types::{Batch, Datum, DatumBuilder, DatumColumn, LogicalType, RowBuilder, Schema, TypeKind};
use arrow::array::RecordBatch;
use hashbrown::HashMap;
use mlua::{Error, Value};
use std::sync::Arc;

/// Runs everything of a script that needs no event: reads it, runs what stands outside its functions, looks for `process`.
pub fn check(spec: &Arc<ScriptSpec>) -> Result<(), ScriptError> {
    Machine::load(spec, false, Checks::AtOnce).map(|_| ())
}

/// Makes the process functions of a script.
#[derive(Debug)]
pub struct ScriptFactory {
    spec: Arc<ScriptSpec>,
}

impl ScriptFactory {
    /// For a script that [`check`] accepts.
    pub const fn new(spec: Arc<ScriptSpec>) -> Self {
        Self { spec }
    }
}

impl ProcessFactory for ScriptFactory {
    fn describe(&self) -> String {
        format!("script=[{}]", self.spec.chunk)
    }

    fn states(&self, _spec: &ProcessSpec) -> FunctionStates {
        let keyed = self.spec.states.iter().filter_map(|state| descriptor(state, &self.spec.key).ok()).map(|(descriptor, _)| descriptor);
        FunctionStates { keyed: keyed.collect(), operator: Vec::new() }
    }

    fn create(&self, _place: SubtaskPlace) -> Result<Box<dyn ProcessBody>, OperatorError> {
        let machine =
            Machine::load(&self.spec, true, Checks::of(&self.spec.text)).map_err(|error| failed(&error.message, &self.spec.chunk))?;
        Ok(Box::new(ScriptFunction { machine, slots: Vec::new(), found: HashMap::new(), batches: 0 }))
    }
}

/// Folds in Lua read and write the accumulator itself: the backend never adds.
#[derive(Debug)]
struct InScript;

impl FoldFunction for InScript {
    fn add(&self, _accumulator: &mut Datum, _value: Datum) -> Result<(), String> {
        Err("only the script adds to it".to_owned())
    }
}

/// A state as the backend knows it. Errors on a fold that does not take values of its type.
fn descriptor(state: &ScriptState, key: &Schema) -> Result<(StateDescriptor, Fold), String> {
    let (name, data_type) = (state.name.as_str(), state.data_type.clone());
    let custom = || Fold::Custom(Arc::new(InScript));
    let (descriptor, fold) = match (state.kind, &state.fold) {
        (StateKind::List, _) => (StateDescriptor::list(name, key, data_type), Fold::None),
        (StateKind::Map, _) => {
            let map_key = state.map_key.clone().unwrap_or_else(|| LogicalType::not_null(TypeKind::String));
            (StateDescriptor::map(name, key, map_key, data_type), Fold::None)
        }
        (StateKind::Reducing, ScriptFold::BuiltIn(fold)) => {
            let fold = Fold::reducing(fold, &data_type)?;
            (StateDescriptor::reducing(name, key, data_type), fold)
        }
        (StateKind::Reducing, _) => (StateDescriptor::reducing(name, key, data_type), custom()),
        (StateKind::Aggregating, ScriptFold::BuiltIn(fold)) => {
            let (fold, accumulator, _) = Fold::aggregating(fold, &data_type)?;
            (StateDescriptor::aggregating(name, key, accumulator), fold)
        }
        (StateKind::Aggregating, _) => (StateDescriptor::aggregating(name, key, data_type), custom()),
        _ => (StateDescriptor::value(name, key, data_type), Fold::None),
    };
    Ok((descriptor.with_ttl(state.ttl), fold))
}

impl ScriptState {
    /// Whether its fold takes values of its type.
    pub fn check_fold(&self) -> Result<(), String> {
        descriptor(self, &Schema::default()).map(|_| ())
    }
}

/// The type of what `get` of a folded state gives.
pub(super) fn result_type(state: &ScriptState) -> LogicalType {
    match (state.kind, &state.fold) {
        (StateKind::Aggregating, ScriptFold::BuiltIn(fold)) => {
            Fold::aggregating(fold, &state.data_type).map_or_else(|_| state.data_type.clone(), |(_, _, result)| result)
        }
        _ => state.data_type.clone(),
    }
}

/// See the module.
struct ScriptFunction {
    machine: Machine,
    /// The slot of each row's key.
    slots: Vec<u32>,
    found: HashMap<KeyRef, u32>,
    batches: u32,
}

/// After so many batches it is found out anew which states `process` reads.
const BATCHES_ASKED: u32 = 1_024;

impl ProcessBody for ScriptFunction {
    fn open(&mut self, _spec: &ProcessSpec, context: &mut ProcessContext<'_>) -> Result<(), OperatorError> {
        let spec = Arc::clone(&self.machine.spec);
        let mut session = lock(&self.machine.session);
        for state in &spec.states {
            let (descriptor, fold) = descriptor(state, &spec.key).map_err(|message| failed(&message, &spec.chunk))?;
            session.handles.push(context.state.register(descriptor, fold)?);
        }
        session.timers = context.timers;
        Ok(())
    }

    fn process(
        &mut self,
        input: InputIndex,
        batch: &Batch,
        keys: &[KeyRef],
        context: &mut ProcessContext<'_>,
    ) -> Result<(), OperatorError> {
        let rows = batch.columns();
        self.number(keys);
        let spec = Arc::clone(&self.machine.spec);
        let times = match spec.time[input] {
            Some(at) => Some((DatumColumn::new(rows.column(at)).map_err(|e| OperatorError::Invariant(e.to_string()))?, at)),
            None => None,
        };
        let times = times.map(|(column, at)| (column, &spec.inputs[input].1.columns[at].data_type));
        lock(&self.machine.session).set_times(times);
        let call = |function: &mut Self| {
            function.start()?;
            let slots = std::mem::take(&mut function.slots);
            let result = function.machine.run(input, rows, &slots);
            function.slots = slots;
            result
        };
        self.call(context, call, |row| row.map(|row| event_text(rows, row)))
    }

    fn on_timer(&mut self, timer: Timer, context: &mut ProcessContext<'_>) -> Result<(), OperatorError> {
        let domain = match timer.domain {
            TimeDomain::EventTime => "event-time",
            TimeDomain::ProcessingTime => "processing-time",
        };
        let what = format!("{domain} timer of {}", timer.timestamp);
        if !self.machine.has_timer {
            let chunk = &self.machine.spec.chunk;
            return Err(failed(&format!("a timer is due, but the script defines no function on_timer ({what})"), chunk));
        }
        lock(&self.machine.session).keys = vec![timer.key];
        self.call(context, |function| function.machine.fire(timer.timestamp, domain), |_| Some(what.clone()))
    }
}

/// What went wrong in a call.
enum Wrong {
    Script(Error),
    /// A row that was emitted.
    Row(OperatorError),
    /// A value that was written to a state.
    State(Error),
}

impl Wrong {
    /// True if it came up behind the line at which it happened.
    fn may_have_a_line(&self) -> bool {
        match self {
            Self::Script(error) => is_of_prelude(error),
            Self::Row(_) => true,
            Self::State(_) => false,
        }
    }
}

impl ScriptFunction {
    /// Numbers the keys of a batch from 1.
    fn number(&mut self, keys: &[KeyRef]) {
        self.found.clear();
        self.slots.clear();
        let mut session = lock(&self.machine.session);
        session.keys.clear();
        for key in keys {
            let next = self.found.len() as u32 + 1;
            let slot = *self.found.entry(*key).or_insert(next);
            if slot == next {
                session.keys.push(*key);
            }
            self.slots.push(slot);
        }
    }

    /// Calls the script, and takes what it emitted and wrote. `during`: what was worked on, given the row of the batch.
    fn call(
        &mut self,
        context: &mut ProcessContext<'_>,
        call: impl Fn(&mut Self) -> Result<(), Error>,
        during: impl Fn(Option<usize>) -> Option<String>,
    ) -> Result<(), OperatorError> {
        let run = |function: &mut Self, outputs: &mut [RowBuilder]| {
            call(function).map_err(Wrong::Script)?;
            // Before the state that was written: should the call be repeated, it finds the state as it was.
            function.collect(outputs, &during).map_err(Wrong::Row)?;
            function.drain().map_err(Wrong::State)
        };
        let Err(wrong) = self.with_state(context, run) else { return Ok(()) };
        let late = self.machine.checks == Checks::Late && wrong.may_have_a_line();
        let error = late.then(|| self.once_more(context, &call)).flatten();
        Err(match (error, wrong) {
            (Some(error), _) | (None, Wrong::Script(error) | Wrong::State(error)) => self.failed(&error, &during),
            (None, Wrong::Row(error)) => error,
        })
    }

    /// Something was wrong with a value, and found so late that nobody knows at which line: repeats the call with checks at once. The attempt
    /// ends anyway. None if nothing is wrong this time, or something that is not to be told.
    fn once_more(&mut self, context: &mut ProcessContext<'_>, call: impl Fn(&mut Self) -> Result<(), Error>) -> Option<Error> {
        let machine = Machine::load(&self.machine.spec, false, Checks::AtOnce).ok()?;
        {
            let (mut before, mut session) = (lock(&self.machine.session), lock(&machine.session));
            session.handles = std::mem::take(&mut before.handles);
            session.keys = std::mem::take(&mut before.keys);
            (session.timers, session.times) = (before.timers, before.times.take());
        }
        self.machine = machine;
        match self.with_state(context, |function, _| call(function).map_err(Wrong::Script)) {
            Err(Wrong::Script(error)) => Some(error),
            _ => None,
        }
    }

    fn failed(&self, error: &Error, during: impl Fn(Option<usize>) -> Option<String>) -> OperatorError {
        let chunk = &self.machine.spec.chunk;
        let error = ScriptError::of(error, chunk);
        let error = match during(self.machine.failed_row()) {
            Some(what) => error.during(&what),
            None => error,
        };
        failed(&error.message, chunk)
    }

    /// Runs `call` while the operator's state lies where the script's functions find it.
    fn with_state(
        &mut self,
        context: &mut ProcessContext<'_>,
        call: impl FnOnce(&mut Self, &mut [RowBuilder]) -> Result<(), Wrong>,
    ) -> Result<(), Wrong> {
        self.machine.set_time(context.now.0, context.watermark.0).map_err(Wrong::State)?;
        let elsewhere = KeyedState::new(context.state.key_groups(), context.state.max_parallelism(), Vec::new());
        lock(&self.machine.session).state = Some(std::mem::replace(context.state, elsewhere));
        let result = call(self, context.outputs);
        if let Some(state) = lock(&self.machine.session).state.take() {
            *context.state = state;
        }
        result
    }

    /// Hands the values of a batch's keys to the prelude, of states that `process` reads.
    fn start(&mut self) -> Result<(), Error> {
        self.batches = self.batches.wrapping_add(1);
        if self.batches.is_multiple_of(BATCHES_ASKED) {
            self.machine.forget_asked()?;
        }
        let lua = self.machine.lua();
        for (at, state) in self.machine.spec.states.iter().enumerate() {
            if !self.machine.is_asked(at)? {
                continue;
            }
            let mut session = lock(&self.machine.session);
            let handle = session.handles[at];
            let keys = std::mem::take(&mut session.keys);
            let Some(keyed) = session.state.as_mut() else { continue };
            let mut values = Vec::with_capacity(keys.len());
            for key in &keys {
                let value = keyed.value(handle, *key).map_err(Error::external)?;
                values.push(match value {
                    Some(value) => to_lua(lua, value, &state.data_type),
                    None => Ok(Value::NULL),
                });
            }
            session.keys = keys;
            drop(session);
            self.machine.start(at, values.into_iter())?;
        }
        Ok(())
    }

    /// Takes the values that the script wrote.
    fn drain(&self) -> Result<(), Error> {
        for (at, state) in self.machine.spec.states.iter().enumerate() {
            let slots = lock(&self.machine.session).keys.len();
            self.machine.drain(at, slots, |slot, written| {
                let (Written::Value(value) | Written::Addition(value)) = &written;
                let value =
                    from_lua(value, &state.data_type).map_err(|wrong| Error::RuntimeError(format!("state.{}{wrong}", state.name)))?;
                let mut session = lock(&self.machine.session);
                let (handle, key) = (session.handles[at], session.keys[slot - 1]);
                let Some(keyed) = session.state.as_mut() else { return Ok(()) };
                match written {
                    Written::Value(_) => keyed.set_value(handle, key, value).map_err(Error::external),
                    Written::Addition(_) => keyed.add(handle, key, value).map_err(Error::external),
                }
            })?;
        }
        Ok(())
    }

    /// Puts what was emitted into the operator's outputs. `during`: what the row of the batch was.
    fn collect(&self, outputs: &mut [RowBuilder], during: impl Fn(Option<usize>) -> Option<String>) -> Result<(), OperatorError> {
        let chunk = &self.machine.spec.chunk;
        let lua = |error: Error| failed(&ScriptError::of(&error, chunk).message, chunk);
        for (port, out) in self.machine.outs.iter().enumerate() {
            let rows = out.take().map_err(lua)?;
            if rows == 0 {
                continue;
            }
            let output = &self.machine.spec.outputs[port];
            for (at, column) in output.schema.columns.iter().enumerate() {
                let builder = &mut outputs[port].columns()[at];
                let appended = match handover(&column.data_type) {
                    Handover::Table => append_cells(builder, &out.columns[at], &column.data_type),
                    Handover::Datum => {
                        let cells = take_pushed(&mut lock(&self.machine.session), port, at, rows);
                        let mut cells = cells.iter().enumerate();
                        cells.try_for_each(|(row, cell)| builder.append(cell).map_err(|e| (row, format!(": {e}"))))
                    }
                };
                if let Err((row, wrong)) = appended {
                    let source: usize = out.rows.raw_get(row + 1).unwrap_or(0);
                    let error = ScriptError::new(format!("{chunk}: field \"{}\"{wrong}", column.name));
                    let error = match during(source.checked_sub(1)) {
                        Some(what) => error.during(&what),
                        None => error,
                    };
                    return Err(failed(&error.message, chunk));
                }
            }
            outputs[port].end_rows(rows).map_err(|e| OperatorError::Invariant(e.to_string()))?;
        }
        Ok(())
    }
}

/// Adds the cells of a scalar column. The error has the row.
fn append_cells(builder: &mut DatumBuilder, cells: &mlua::Table, data_type: &LogicalType) -> Result<(), (usize, String)> {
    let mut row = 0;
    let mut wrong = None;
    let scale = super::convert::scale_of(data_type);
    let result = cells.for_each_value::<Value>(|value| {
        // The types were looked at when the row was emitted; what is left is what only the builder knows.
        let appended = match (&value, &data_type.kind) {
            (Value::Integer(number), _) if scale == 1 => builder.append_long(*number).map_err(|e| format!(": {e}")),
            (Value::Number(number), TypeKind::Double | TypeKind::Float) => builder.append_double(*number).map_err(|e| format!(": {e}")),
            (Value::String(text), TypeKind::String | TypeKind::Char(_) | TypeKind::VarChar(_)) => match text.to_str() {
                Ok(text) => builder.append_text(&text).map_err(|e| format!(": {e}")),
                Err(_) => Err(format!(": {} expected, got a string that is not UTF-8", super::convert::shown(data_type))),
            },
            (value, _) if is_null(value) => builder.append_null().map_err(|e| format!(": {e}")),
            (value, _) => from_lua(value, data_type).and_then(|value| builder.append(&value).map_err(|e| format!(": {e}"))),
        };
        if let Err(message) = appended {
            wrong = Some((row, message));
            return Err(Error::RuntimeError(String::new()));
        }
        row += 1;
        Ok(())
    });
    match (wrong, result) {
        (Some(wrong), _) => Err(wrong),
        (None, Err(error)) => Err((row, format!(": {error}"))),
        (None, Ok(())) => Ok(()),
    }
}

/// What went wrong in a script, with the place in front, if there is one. A script does nothing but compute: on the same event it
/// would fail again.
fn failed(message: &str, chunk: &str) -> OperatorError {
    let inside = message.strip_prefix(chunk).and_then(|rest| rest.split_once(": "));
    let (place, message) = match inside {
        Some((line, message)) => (format!("{chunk}{line}"), message),
        None => (chunk.to_owned(), message),
    };
    OperatorError::Expression { expression: place, message: message.to_owned() }
}

/// A row for messages: `event auction=1, bidder=7`.
fn event_text(rows: &RecordBatch, row: usize) -> String {
    let cell = |(at, field): (usize, &Arc<arrow::datatypes::Field>)| {
        let value = DatumColumn::new(rows.column(at)).map(|column| column.get(row));
        let data_type = LogicalType::from_arrow(field.data_type(), true);
        let text = match (value, data_type.map(|t| t.kind)) {
            (Ok(Datum::Decimal(value)), Some(TypeKind::Decimal(_, scale))) => decimal_text(value.get(), scale),
            (Ok(Datum::Text(text)), _) => format!("\"{text}\""),
            (Ok(Datum::Long(value)), _) => value.to_string(),
            (Ok(Datum::Double(value)), _) => format!("{:?}", value.get()),
            (Ok(Datum::Boolean(value)), _) => value.to_string(),
            (Ok(Datum::Null), _) => "NULL".to_owned(),
            (Ok(other), _) => other.kind().to_owned(),
            (Err(_), _) => "?".to_owned(),
        };
        format!("{}={text}", field.name())
    };
    format!("event {}", rows.schema().fields().iter().enumerate().map(cell).collect::<Vec<_>>().join(", "))
}
