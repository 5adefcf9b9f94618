//! Operators: synchronous state machines with no channel, thread, clock or socket in sight. Whatever must survive lies in the
//! keyed state and the operator state, which the task snapshots; an operator has no snapshot method.

pub mod calc;
mod exchange;
pub mod process;
pub mod union;

pub use exchange::Exchange;
pub mod aggregate;

use crate::error::RetryHint;
use crate::metrics::OperatorMetrics;
use crate::state::{KeyedState, OperatorState, OperatorStateDescriptor, StateError};
use crate::types::{Batch, EventTime, KeyGroupRange, MaxParallelism, Parallelism, WallTime};
use arrow::datatypes::SchemaRef;
use std::fmt;
use std::sync::Arc;

/// An operator failed: the task fails with it.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// An expression failed on a row: a division by zero, a CAST that does not fit.
    #[error("{expression}: {message}")]
    Expression {
        /// The expression as the user wrote it, or as the plan shows it.
        expression: String,
        /// What went wrong.
        message: String,
    },
    /// A function of the user's failed.
    #[error("{function}: {message}")]
    Function {
        /// How the plan calls it.
        function: String,
        /// What it said.
        message: String,
    },
    /// The state backend failed.
    #[error("{0}")]
    State(#[from] StateError),
    /// A rule of the stream was broken: a bug rather than bad input.
    #[error("{0}")]
    Invariant(String),
}

impl From<arrow::error::ArrowError> for OperatorError {
    fn from(error: arrow::error::ArrowError) -> Self {
        Self::Invariant(error.to_string())
    }
}

impl OperatorError {
    /// Whether a restart can help.
    pub fn retry_hint(&self) -> RetryHint {
        match self {
            Self::State(e) => e.retry_hint(),
            // As in Flink: what a function ran into may pass.
            Self::Function { .. } => RetryHint::Backoff,
            Self::Expression { .. } | Self::Invariant(_) => RetryHint::Never,
        }
    }
}

/// Which of an operator's inputs a batch came from: 0 for the first.
pub type InputIndex = usize;

/// Which of an operator's outputs a batch goes to: 0 for the main one.
pub type OutputPort = usize;

/// What an operator emits during one call, in order.
#[derive(Debug, Default)]
pub struct Output {
    batches: Vec<(OutputPort, Batch)>,
    again: bool,
}

impl Output {
    /// Emits rows to the main output. Empty batches are dropped.
    pub fn emit(&mut self, batch: Batch) {
        self.emit_to(0, batch);
    }

    /// Emits rows to output `port`. Empty batches are dropped.
    pub fn emit_to(&mut self, port: OutputPort, batch: Batch) {
        if batch.num_rows() > 0 {
            self.batches.push((port, batch));
        }
    }

    /// The operator has more to do and is to be called again once this was sent on, before anything else: nothing piles up, and the job can be
    /// cancelled in between. For [`Operator::on_watermark`] and [`Operator::on_processing_time`].
    pub fn call_again(&mut self) {
        self.again = true;
    }

    /// True if [`Self::call_again`] was called.
    pub fn is_called_again(&self) -> bool {
        self.again
    }

    /// Takes what was emitted since the last call.
    pub fn drain(&mut self) -> std::vec::Drain<'_, (OutputPort, Batch)> {
        self.batches.drain(..)
    }

    /// True if nothing was emitted since the last drain.
    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }
}

/// What an operator may use during a call.
#[derive(Debug)]
pub struct OperatorContext<'a> {
    /// The operator's keyed state in this subtask's key groups.
    pub state: &'a mut KeyedState,
    /// What the operator keeps in this subtask that belongs to no key.
    pub operator_state: &'a mut OperatorState,
    /// Wall-clock time at the start of this call.
    pub now: WallTime,
    /// The operator's watermark: the minimum over its inputs.
    pub watermark: EventTime,
    /// Counters.
    pub metrics: &'a OperatorMetrics,
}

/// One subtask of an operator. Every call comes from its task, one at a time; an error fails the task.
pub trait Operator: Send {
    /// Called once, before anything else: registers states. `context.state` and `context.operator_state` already hold what was restored.
    fn open(&mut self, context: &mut OperatorContext<'_>) -> Result<(), OperatorError>;

    /// Takes rows from `input`.
    fn process(
        &mut self,
        input: InputIndex,
        batch: Batch,
        context: &mut OperatorContext<'_>,
        out: &mut Output,
    ) -> Result<(), OperatorError>;

    /// The operator's watermark rose to `context.watermark`. It is forwarded behind what is emitted here.
    fn on_watermark(&mut self, _context: &mut OperatorContext<'_>, _out: &mut Output) -> Result<(), OperatorError> {
        Ok(())
    }

    /// The moment has come, or has passed, that [`KeyedState::next_processing_time`] named.
    fn on_processing_time(&mut self, _context: &mut OperatorContext<'_>, _out: &mut Output) -> Result<(), OperatorError> {
        Ok(())
    }

    /// Called before each barrier and when the input pauses: rows held back for the sake of batching are emitted.
    fn flush(&mut self, _context: &mut OperatorContext<'_>, _out: &mut Output) -> Result<(), OperatorError> {
        Ok(())
    }

    /// All inputs have ended (not called by `stop` without `--drain`).
    fn end_of_input(&mut self, _context: &mut OperatorContext<'_>, _out: &mut Output) -> Result<(), OperatorError> {
        Ok(())
    }
}

/// The place of a subtask among its siblings.
#[derive(Debug, Clone, Copy)]
pub struct SubtaskPlace {
    /// 0 ≤ index < parallelism.
    pub index: usize,
    /// How many siblings there are, itself included.
    pub parallelism: Parallelism,
    /// The key groups that it owns.
    pub key_groups: KeyGroupRange,
    /// The number of all key groups.
    pub max_parallelism: MaxParallelism,
}

/// An operator as the plan describes it. Makes the operators of its subtasks.
pub trait OperatorFactory: Send + Sync + fmt::Debug {
    /// What `info` calls it: `GroupAggregate(groupBy=[carrier], select=[carrier, COUNT(*) AS flights])`, as Flink's plans do.
    fn describe(&self) -> String;

    /// The columns that it emits on its main output.
    fn schema(&self) -> SchemaRef;

    /// The columns that it emits on output `port`.
    fn schema_of(&self, _port: OutputPort) -> SchemaRef {
        self.schema()
    }

    /// The operator of one subtask.
    fn create(&self, place: SubtaskPlace) -> Result<Box<dyn Operator>, OperatorError>;

    /// The keyed states that it will register, for the check before a restore. Stateless operators have none.
    fn states(&self) -> Vec<Arc<crate::state::StateDescriptor>> {
        Vec::new()
    }

    /// The operator states that it will register.
    fn operator_states(&self) -> Vec<OperatorStateDescriptor> {
        Vec::new()
    }

    /// Whether rows of its input may be taken back: then no aggregate can be added to its state by a restore.
    fn retracts(&self) -> bool {
        false
    }
}
