//! Drives one subtask of an operator without a runtime: rows in, rows out as text, state out and in again.

use crate::metrics::OperatorMetrics;
use crate::operator::{InputIndex, Operator, OperatorContext, OperatorError, OperatorFactory, Output, OutputPort, SubtaskPlace};
use crate::state::{KeyedSnapshot, KeyedState, OperatorState, OperatorStateSnapshot, RestoredOperatorState, RestoredState, SnapshotForm};
use crate::types::{Batch, EventTime, KeyGroupRange, MaxParallelism, Parallelism, WallTime};
use arrow::util::display::{ArrayFormatter, FormatOptions};

/// The number of key groups under every harness.
const KEY_GROUPS: usize = 128;

/// One subtask of an operator.
pub struct OperatorHarness {
    operator: Box<dyn Operator>,
    state: KeyedState,
    operator_state: OperatorState,
    metrics: OperatorMetrics,
    watermark: EventTime,
    now: WallTime,
}

impl std::fmt::Debug for OperatorHarness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OperatorHarness").field("state", &self.state).finish_non_exhaustive()
    }
}

impl OperatorHarness {
    /// The only subtask of an operator, opened, without restored state.
    pub fn new(factory: &dyn OperatorFactory) -> Result<Self, OperatorError> {
        Self::restored(factory, Parallelism::ONE, 0, Vec::new())
    }

    /// Subtask `index` of `parallelism`, opened, with the state that was restored for the operator.
    pub fn restored(
        factory: &dyn OperatorFactory,
        parallelism: Parallelism,
        index: usize,
        restored: Vec<RestoredState>,
    ) -> Result<Self, OperatorError> {
        let max_parallelism = MaxParallelism::new(KEY_GROUPS).unwrap_or_else(|| MaxParallelism::default_for(parallelism));
        let key_groups = KeyGroupRange::of_subtask(max_parallelism, parallelism, index);
        Self::with_state(factory, index, KeyedState::new(key_groups, max_parallelism, restored))
    }

    /// The same with this state: on any backend, restored from anything.
    pub fn with_state(factory: &dyn OperatorFactory, index: usize, state: KeyedState) -> Result<Self, OperatorError> {
        // The least number of subtasks of which this can be one.
        let parallelism = Parallelism::new(index + 1).unwrap_or(Parallelism::ONE);
        Self::with_states(factory, state, OperatorState::new(index, parallelism, Vec::new()))
    }

    /// The same with this operator state, too.
    pub fn with_states(factory: &dyn OperatorFactory, state: KeyedState, operator_state: OperatorState) -> Result<Self, OperatorError> {
        let (key_groups, max_parallelism) = (state.key_groups(), state.max_parallelism());
        let (index, parallelism) = operator_state.place();
        let operator = factory.create(SubtaskPlace { index, parallelism, key_groups, max_parallelism })?;
        let mut harness =
            Self { operator, state, operator_state, metrics: OperatorMetrics::default(), watermark: EventTime::MIN, now: WallTime(0) };
        harness.call(|operator, context, _| operator.open(context))?;
        Ok(harness)
    }

    /// The number of key groups.
    pub fn max_parallelism(&self) -> MaxParallelism {
        self.state.max_parallelism()
    }

    /// What it counted.
    pub fn metrics(&self) -> &OperatorMetrics {
        &self.metrics
    }

    /// The groups of its group tables that are in memory.
    pub fn groups_in_memory(&self) -> usize {
        self.state.groups_in_memory()
    }

    /// Moves the wall clock.
    pub fn set_time(&mut self, now: WallTime) {
        self.now = now;
    }

    /// Gives it a batch on its first input and returns what it emits on its main output.
    pub fn process(&mut self, batch: Batch) -> Result<Vec<Batch>, OperatorError> {
        let output = self.process_on(0, batch)?;
        Ok(output.into_iter().filter(|(port, _)| *port == 0).map(|(_, batch)| batch).collect())
    }

    /// Gives it a batch on `input` and returns all that it emits.
    pub fn process_on(&mut self, input: InputIndex, batch: Batch) -> Result<Vec<(OutputPort, Batch)>, OperatorError> {
        self.call(|operator, context, out| operator.process(input, batch.clone(), context, out))
    }

    /// Raises its watermark.
    pub fn watermark(&mut self, watermark: EventTime) -> Result<Vec<(OutputPort, Batch)>, OperatorError> {
        self.watermark = watermark;
        self.call(|operator, context, out| operator.on_watermark(context, out))
    }

    /// Moves the clock to `now` and fires the processing-time timers that are due.
    pub fn processing_time(&mut self, now: WallTime) -> Result<Vec<(OutputPort, Batch)>, OperatorError> {
        self.now = now;
        if self.state.next_processing_time().is_none_or(|next| next > now) {
            return Ok(Vec::new());
        }
        self.call(|operator, context, out| operator.on_processing_time(context, out))
    }

    /// Makes it emit what it holds back.
    pub fn flush(&mut self) -> Result<Vec<(OutputPort, Batch)>, OperatorError> {
        self.call(|operator, context, out| operator.flush(context, out))
    }

    /// Tells it that its input has ended.
    pub fn end_of_input(&mut self) -> Result<Vec<(OutputPort, Batch)>, OperatorError> {
        self.call(|operator, context, out| operator.end_of_input(context, out))
    }

    /// The synchronous part of a snapshot: its batches may be read later.
    pub fn snapshot(&mut self) -> Result<KeyedSnapshot, OperatorError> {
        Ok(self.state.snapshot()?)
    }

    /// The same in the form of the backend.
    pub fn native_snapshot(&mut self) -> Result<KeyedSnapshot, OperatorError> {
        Ok(self.state.snapshot_as(SnapshotForm::Native)?)
    }

    /// The snapshot of its operator states.
    pub fn operator_snapshot(&self) -> Vec<OperatorStateSnapshot> {
        self.operator_state.snapshot()
    }

    /// Reads snapshots of the operator states of all subtasks to their end, into what an [`OperatorState`] takes.
    pub fn read_operator(subtasks: Vec<Vec<OperatorStateSnapshot>>) -> Result<Vec<RestoredOperatorState>, OperatorError> {
        let parallelism = Parallelism::new(subtasks.len()).unwrap_or(Parallelism::ONE);
        let mut restored: Vec<RestoredOperatorState> = Vec::new();
        for state in subtasks.into_iter().flatten() {
            let batches = state.batches.collect::<Result<Vec<_>, _>>()?;
            match restored.iter_mut().find(|other| other.descriptor == state.descriptor) {
                Some(other) => other.batches.extend(batches),
                None => restored.push(RestoredOperatorState { descriptor: state.descriptor, parallelism, batches }),
            }
        }
        Ok(restored)
    }

    /// Reads a snapshot to its end, into what [`Self::restored`] takes.
    pub fn read(snapshot: KeyedSnapshot) -> Result<Vec<RestoredState>, OperatorError> {
        let read = |state: crate::state::StateSnapshot| {
            let batches = state.batches.collect::<Result<Vec<_>, _>>()?;
            Ok(RestoredState { descriptor: state.descriptor, batches })
        };
        snapshot.states.into_iter().map(read).collect()
    }

    fn call(
        &mut self,
        mut run: impl FnMut(&mut dyn Operator, &mut OperatorContext<'_>, &mut Output) -> Result<(), OperatorError>,
    ) -> Result<Vec<(OutputPort, Batch)>, OperatorError> {
        let mut context = OperatorContext {
            state: &mut self.state,
            operator_state: &mut self.operator_state,
            now: self.now,
            watermark: self.watermark,
            metrics: &self.metrics,
        };
        let mut emitted = Vec::new();
        loop {
            let mut out = Output::default();
            run(self.operator.as_mut(), &mut context, &mut out)?;
            emitted.extend(out.drain());
            if !out.is_called_again() {
                return Ok(emitted);
            }
        }
    }
}

/// The rows of `batches` as Flink prints them: `+U[AA, 3, null]`.
pub fn rows<'a>(batches: impl IntoIterator<Item = &'a Batch>) -> Result<Vec<String>, OperatorError> {
    let options = FormatOptions::default().with_null("null");
    let mut rows = Vec::new();
    for batch in batches {
        let columns = batch.columns().columns().iter().map(|column| ArrayFormatter::try_new(column.as_ref(), &options));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        for row in 0..batch.num_rows() {
            let values: Vec<String> = columns.iter().map(|column| column.value(row).to_string()).collect();
            rows.push(format!("{}[{}]", batch.kind(row).short(), values.join(", ")));
        }
    }
    Ok(rows)
}

/// The rows of one port as text.
pub fn rows_of(output: &[(OutputPort, Batch)], port: OutputPort) -> Result<Vec<String>, OperatorError> {
    rows(output.iter().filter(|(from, _)| *from == port).map(|(_, batch)| batch))
}
