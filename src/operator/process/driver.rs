//! The operator around a function: looks up the keys of a batch, sets the time, fires timers, emits what the function wrote. One for
//! functions in Rust and for scripts.

use crate::metrics::OperatorMetrics;
use crate::operator::{InputIndex, Operator, OperatorContext, OperatorError, OperatorFactory, Output, OutputPort, SubtaskPlace};
use crate::state::{KeyRef, KeyedState, OperatorState, OperatorStateDescriptor, StateDescriptor, TimeDomain, TimersHandle, canonical_key};
use crate::types::{Batch, EventTime, RowBuilder, Schema, WallTime, hash_keys, limits};
use arrow::array::ArrayRef;
use arrow::datatypes::SchemaRef;
use std::fmt;
use std::sync::Arc;

/// A function as a plan has it. Makes the functions of the subtasks.
pub trait ProcessFactory: Send + Sync + fmt::Debug {
    /// How plans show it: `function=[bursts]`, `script=[bursts.lua]`.
    fn describe(&self) -> String;

    /// Which inputs it takes; `None`: any.
    fn shape(&self) -> Option<FunctionShape> {
        None
    }

    /// The names of the columns that it reads of its input, or of its broadcast input; `None`: it may read all. Key columns and rowtime
    /// come to it anyway.
    fn reads(&self, _broadcast: bool) -> Option<&'static [&'static str]> {
        None
    }

    /// The states that its functions register in `open`, timers aside; for the check before a restore.
    fn states(&self, spec: &ProcessSpec) -> FunctionStates;

    /// The function of one subtask.
    fn create(&self, place: SubtaskPlace) -> Result<Box<dyn ProcessBody>, OperatorError>;
}

/// Which inputs a function takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FunctionShape {
    /// The trait that it implements.
    pub name: &'static str,
    /// Whether its input has a key.
    pub keyed: bool,
    /// Whether it has a broadcast input.
    pub broadcast: bool,
}

/// The states of a function.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FunctionStates {
    /// Those of keys.
    pub keyed: Vec<StateDescriptor>,
    /// Those of subtasks.
    pub operator: Vec<OperatorStateDescriptor>,
}

/// One subtask of a function, as its operator drives it. An error fails the task.
pub trait ProcessBody: Send {
    /// Called once, before anything else: registers states, which then hold what was restored.
    fn open(&mut self, spec: &ProcessSpec, context: &mut ProcessContext<'_>) -> Result<(), OperatorError>;

    /// Takes the rows of `batch` one after the other. `keys`: one a row; empty for an input without key.
    fn process(&mut self, input: InputIndex, batch: &Batch, keys: &[KeyRef], context: &mut ProcessContext<'_>)
    -> Result<(), OperatorError>;

    /// A timer fires.
    fn on_timer(&mut self, timer: Timer, context: &mut ProcessContext<'_>) -> Result<(), OperatorError>;

    /// All inputs have ended (not called by `stop` without `--drain`).
    fn end_of_input(&mut self, _context: &mut ProcessContext<'_>) -> Result<(), OperatorError> {
        Ok(())
    }
}

/// What a function may use during a call.
pub struct ProcessContext<'a> {
    /// The operator's keyed state.
    pub state: &'a mut KeyedState,
    /// Its operator state.
    pub operator_state: &'a mut OperatorState,
    /// Its timers; none without key.
    pub timers: Option<TimersHandle>,
    /// Wall-clock time at the start of this call.
    pub now: WallTime,
    /// The operator's watermark.
    pub watermark: EventTime,
    /// Where rows go, one for each output port.
    pub outputs: &'a mut [RowBuilder],
    /// Counters.
    pub metrics: &'a OperatorMetrics,
}

impl fmt::Debug for ProcessContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessContext").field("now", &self.now).field("watermark", &self.watermark).finish_non_exhaustive()
    }
}

/// A timer that fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timer {
    /// Which clock it waited for.
    pub domain: TimeDomain,
    /// When it was due, in milliseconds since 1970.
    pub timestamp: i64,
    /// Whose it is.
    pub key: KeyRef,
}

/// The columns around a function.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProcessSpec {
    /// The inputs, in order.
    pub inputs: Vec<ProcessInput>,
    /// The outputs by port; the first one is the main output.
    pub outputs: Vec<ProcessOutput>,
}

/// One input of a function.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProcessInput {
    /// Its columns.
    pub schema: Schema,
    /// The positions of its key columns; none for an input without key. All keyed inputs have keys of the same types.
    pub key_by: Vec<usize>,
    /// The position of its rowtime column, if it has one.
    pub rowtime: Option<usize>,
    /// Whether every subtask gets all of its rows.
    pub broadcast: bool,
}

/// One output of a function.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProcessOutput {
    /// The tag by which the function names it; empty for the main output.
    pub name: String,
    /// Its columns.
    pub schema: Schema,
}

impl ProcessSpec {
    /// The key columns, named as those of the first keyed input; `None` if no input has a key.
    pub fn key(&self) -> Option<Schema> {
        let keyed = self.inputs.iter().find(|input| !input.key_by.is_empty())?;
        Some(keyed.schema.project(&keyed.key_by))
    }
}

/// A function in a plan.
#[derive(Debug)]
pub struct ProcessOperatorFactory {
    spec: Arc<ProcessSpec>,
    function: Arc<dyn ProcessFactory>,
}

impl ProcessOperatorFactory {
    /// `function` between these columns.
    pub fn new(spec: ProcessSpec, function: Arc<dyn ProcessFactory>) -> Self {
        Self { spec: Arc::new(spec), function }
    }
}

impl OperatorFactory for ProcessOperatorFactory {
    fn describe(&self) -> String {
        let names = |schema: &Schema| schema.columns.iter().map(|column| column.name.clone()).collect::<Vec<_>>().join(", ");
        let function = self.function.describe();
        let broadcast = if self.spec.inputs.iter().any(|input| input.broadcast) { "Broadcast" } else { "" };
        match self.spec.key() {
            Some(key) => format!("Keyed{broadcast}Process(keyBy=[{}], {function})", names(&key)),
            None => format!("{broadcast}Process({function})"),
        }
    }

    fn schema(&self) -> SchemaRef {
        self.schema_of(0)
    }

    fn schema_of(&self, port: OutputPort) -> SchemaRef {
        self.spec.outputs.get(port).map(|output| output.schema.clone()).unwrap_or_default().to_arrow()
    }

    fn create(&self, place: SubtaskPlace) -> Result<Box<dyn Operator>, OperatorError> {
        let body = self.function.create(place)?;
        Ok(Box::new(ProcessOperator::new(Arc::clone(&self.spec), body)))
    }

    fn states(&self) -> Vec<Arc<StateDescriptor>> {
        let mut states = self.function.states(&self.spec).keyed;
        states.extend(self.spec.key().map(|key| StateDescriptor::timers(&key)));
        states.into_iter().map(Arc::new).collect()
    }

    fn operator_states(&self) -> Vec<OperatorStateDescriptor> {
        self.function.states(&self.spec).operator
    }
}

/// So many timers fire before memory is given away.
const TIMERS_AT_ONCE: usize = 1_024;

/// See the module.
struct ProcessOperator {
    spec: Arc<ProcessSpec>,
    body: Box<dyn ProcessBody>,
    outputs: Vec<RowBuilder>,
    timers: Option<TimersHandle>,
    /// How far event time came: the watermark, or on the way to a new one the timer that fires.
    event_time: EventTime,
    hashes: Vec<u64>,
    keys: Vec<KeyRef>,
}

impl ProcessOperator {
    fn new(spec: Arc<ProcessSpec>, body: Box<dyn ProcessBody>) -> Self {
        let outputs = spec.outputs.iter().map(|output| RowBuilder::new(&output.schema)).collect();
        Self { spec, body, outputs, timers: None, event_time: EventTime::MIN, hashes: Vec::new(), keys: Vec::new() }
    }

    /// Calls the function, and emits what it wrote.
    fn call(
        &mut self,
        context: &mut OperatorContext<'_>,
        out: &mut Output,
        run: impl FnOnce(&mut dyn ProcessBody, &ProcessSpec, &[KeyRef], &mut ProcessContext<'_>) -> Result<(), OperatorError>,
    ) -> Result<(), OperatorError> {
        let mut inner = ProcessContext {
            state: context.state,
            operator_state: context.operator_state,
            timers: self.timers,
            now: context.now,
            watermark: context.watermark,
            outputs: &mut self.outputs,
            metrics: context.metrics,
        };
        run(self.body.as_mut(), &self.spec, &self.keys, &mut inner)?;
        self.emit(1, out)
    }

    /// Emits the rows of outputs that have `least`.
    fn emit(&mut self, least: usize, out: &mut Output) -> Result<(), OperatorError> {
        for (port, rows) in self.outputs.iter_mut().enumerate() {
            if rows.len() >= least {
                out.emit_to(port, Batch::append(rows.finish().map_err(|e| OperatorError::Invariant(e.to_string()))?));
            }
        }
        Ok(())
    }

    /// Fires the timers of a domain up to `up_to`, in the order of their timestamps, those set meanwhile, too: some of them, and asks to be
    /// called again if there are more.
    fn fire(&mut self, domain: TimeDomain, up_to: i64, context: &mut OperatorContext<'_>, out: &mut Output) -> Result<(), OperatorError> {
        let Some(timers) = self.timers else { return Ok(()) };
        for fired in 0_usize.. {
            if fired == limits::BATCH_ROWS {
                out.call_again();
                break;
            }
            if fired.is_multiple_of(TIMERS_AT_ONCE) {
                context.state.make_room()?;
            }
            let Some((timestamp, key)) = context.state.next_due(timers, domain, up_to)? else { break };
            if domain == TimeDomain::EventTime && timestamp > self.event_time.0 {
                // What a timer sees has not expired by a later time than its own.
                self.event_time = EventTime(timestamp);
                context.state.set_time(context.now, self.event_time);
            }
            let mut inner = ProcessContext {
                state: context.state,
                operator_state: context.operator_state,
                timers: self.timers,
                now: context.now,
                watermark: context.watermark,
                outputs: &mut self.outputs,
                metrics: context.metrics,
            };
            self.body.on_timer(Timer { domain, timestamp, key }, &mut inner)?;
            self.emit(limits::BATCH_ROWS, out)?;
        }
        self.emit(1, out)
    }
}

impl Operator for ProcessOperator {
    fn open(&mut self, context: &mut OperatorContext<'_>) -> Result<(), OperatorError> {
        context.state.set_time(context.now, context.watermark);
        if let Some(key) = self.spec.key() {
            self.timers = Some(context.state.register_timers(&key)?);
        }
        self.call(context, &mut Output::default(), |body, spec, _, context| body.open(spec, context))
    }

    fn process(
        &mut self,
        input: InputIndex,
        batch: Batch,
        context: &mut OperatorContext<'_>,
        out: &mut Output,
    ) -> Result<(), OperatorError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        context.state.set_time(context.now, self.event_time);
        self.keys.clear();
        context.state.make_room()?;
        let key_by = self.spec.inputs.get(input).map(|input| input.key_by.as_slice()).unwrap_or_default();
        if !key_by.is_empty() {
            let columns: Vec<ArrayRef> = key_by.iter().map(|column| canonical_key(batch.column(*column))).collect();
            hash_keys(&columns, batch.num_rows(), &mut self.hashes)?;
            context.state.keys(&columns, &self.hashes, &mut self.keys)?;
        }
        self.call(context, out, |body, _, keys, context| body.process(input, &batch, keys, context))
    }

    fn on_watermark(&mut self, context: &mut OperatorContext<'_>, out: &mut Output) -> Result<(), OperatorError> {
        self.fire(TimeDomain::EventTime, context.watermark.0, context, out)?;
        if out.is_called_again() {
            return Ok(());
        }
        self.event_time = context.watermark;
        context.state.set_time(context.now, self.event_time);
        Ok(())
    }

    fn on_processing_time(&mut self, context: &mut OperatorContext<'_>, out: &mut Output) -> Result<(), OperatorError> {
        context.state.set_time(context.now, self.event_time);
        // As in Flink, a timer for a moment fires when that moment is over.
        self.fire(TimeDomain::ProcessingTime, context.now.0.saturating_sub(1), context, out)
    }

    fn end_of_input(&mut self, context: &mut OperatorContext<'_>, out: &mut Output) -> Result<(), OperatorError> {
        context.state.set_time(context.now, self.event_time);
        self.call(context, out, |body, _, _, context| body.end_of_input(context))
    }
}
