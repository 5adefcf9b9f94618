//! Drives one subtask of a function of one's own without a job (Flink: `ProcessFunctionTestHarnesses`): rows in, rows out as text,
//! timers fired by hand, state saved and restored.
//!
//! ```
//! use flink::functions::{Collector, Context, FunctionResult, ProcessFunction};
//! use flink::testing::function::FunctionHarness;
//!
//! struct Shout;
//!
//! impl ProcessFunction for Shout {
//!     type In = (String,);
//!     type Out = (String,);
//!
//!     fn process_element(&mut self, row: (String,), _context: &mut Context<'_>, out: &mut Collector<'_, (String,)>) -> FunctionResult {
//!         out.collect(&(row.0.to_uppercase(),))
//!     }
//! }
//!
//! let mut harness = FunctionHarness::new(|| Shout).input("word STRING").output("word STRING").open()?;
//! assert_eq!(harness.process(&("hey",))?, ["+I[HEY]"]);
//! # FunctionResult::Ok(())
//! ```

use super::operator::{OperatorHarness, rows_of};
use crate::functions::{FunctionError, FunctionResult, Functions};
use crate::operator::OperatorError;
use crate::operator::process::{IntoRowFunction, ProcessInput, ProcessOperatorFactory, ProcessOutput, ProcessSpec, row_of};
use crate::operator::{InputIndex, OutputPort};
use crate::state::{KeyedState, OperatorState};
use crate::types::{Batch, Column, EventTime, KeyGroupRange, LogicalType, MaxParallelism, Parallelism, Schema, TypeKind, WallTime};
use serde::Serialize;
use std::sync::Arc;

/// What the function is called in messages.
const NAME: &str = "function";

/// The columns around a function that is to be driven.
#[derive(Debug)]
pub struct HarnessBuilder {
    functions: Functions,
    spec: ProcessSpec,
    /// The main input's, until the harness is opened.
    key_by: Vec<String>,
    rowtime: Option<String>,
    wrong: Option<FunctionError>,
}

/// One subtask of a function.
#[derive(Debug)]
pub struct FunctionHarness {
    spec: ProcessSpec,
    factory: Arc<ProcessOperatorFactory>,
    operator: OperatorHarness,
    emitted: Vec<(OutputPort, Batch)>,
}

impl HarnessBuilder {
    fn columns(&mut self, text: &str) -> Schema {
        match format!("ROW<{text}>").parse::<LogicalType>() {
            Ok(LogicalType { kind: TypeKind::Row(fields), .. }) => {
                Schema::new(fields.into_iter().map(|(name, data_type)| Column { name, data_type }).collect())
            }
            Ok(_) => Schema::default(),
            Err(error) => {
                self.wrong.get_or_insert_with(|| FunctionError::new(format!("\"{text}\": {error}")));
                Schema::default()
            }
        }
    }

    fn position(&self, name: &str) -> FunctionResult<usize> {
        let columns = self.spec.inputs.first().map(|input| &input.schema);
        let at = columns.and_then(|columns| columns.index_of(name));
        at.ok_or_else(|| FunctionError::new(format!("the input has no column \"{name}\"")))
    }

    /// The columns of the input: `"bidder BIGINT, price INT"`.
    #[must_use]
    pub fn input(mut self, columns: &str) -> Self {
        let schema = self.columns(columns);
        self.spec.inputs.insert(0, ProcessInput { schema, ..ProcessInput::default() });
        self
    }

    /// The key columns of the input.
    #[must_use]
    pub fn key_by(mut self, names: &[&str]) -> Self {
        self.key_by = names.iter().map(|name| (*name).to_owned()).collect();
        self
    }

    /// The input's column that holds the event time of its rows.
    #[must_use]
    pub fn rowtime(mut self, name: &str) -> Self {
        self.rowtime = Some(name.to_owned());
        self
    }

    /// The columns of the broadcast input.
    #[must_use]
    pub fn broadcast(mut self, columns: &str) -> Self {
        let schema = self.columns(columns);
        self.spec.inputs.push(ProcessInput { schema, broadcast: true, ..ProcessInput::default() });
        self
    }

    /// The columns of the output, without which nothing can be emitted.
    #[must_use]
    pub fn output(mut self, columns: &str) -> Self {
        let schema = self.columns(columns);
        self.spec.outputs.insert(0, ProcessOutput { name: String::new(), schema });
        self
    }

    /// The columns of a further output.
    #[must_use]
    pub fn side_output(mut self, name: &str, columns: &str) -> Self {
        let schema = self.columns(columns);
        self.spec.outputs.push(ProcessOutput { name: name.to_owned(), schema });
        self
    }

    /// Makes the function and opens it, without state. Errors on columns that cannot be read, on inputs that the function does not
    /// take, and if it cannot be opened.
    pub fn open(mut self) -> FunctionResult<FunctionHarness> {
        if let Some(wrong) = self.wrong.take() {
            return Err(wrong);
        }
        let key_by = self.key_by.iter().map(|name| self.position(name)).collect::<FunctionResult<Vec<usize>>>()?;
        let rowtime = self.rowtime.as_deref().map(|name| self.position(name)).transpose()?;
        if let Some(input) = self.spec.inputs.first_mut() {
            (input.key_by, input.rowtime) = (key_by, rowtime);
        }
        let function = self.functions.get(NAME).ok_or_else(|| FunctionError::new("there is no function"))?;
        let factory = Arc::new(ProcessOperatorFactory::new(self.spec.clone(), function));
        let operator = OperatorHarness::new(factory.as_ref())?;
        Ok(FunctionHarness { spec: self.spec, factory, operator, emitted: Vec::new() })
    }
}

impl FunctionHarness {
    /// Drives a function of any of the traits. The columns around it are given next.
    #[expect(clippy::new_ret_no_self, reason = "columns are needed before there is a harness")]
    pub fn new<Kind, F, M>(make: M) -> HarnessBuilder
    where
        F: IntoRowFunction<Kind>,
        M: Fn() -> F + Send + Sync + 'static,
    {
        let functions = Functions::new().register(NAME, make);
        HarnessBuilder { functions, spec: ProcessSpec::default(), key_by: Vec::new(), rowtime: None, wrong: None }
    }

    /// Gives it a row, and returns what it emits: `+I[a, 1]`.
    pub fn process<T: Serialize>(&mut self, row: &T) -> FunctionResult<Vec<String>> {
        self.row(false, row)
    }

    /// Gives it a row of its broadcast input, and returns what it emits.
    pub fn process_broadcast<T: Serialize>(&mut self, row: &T) -> FunctionResult<Vec<String>> {
        self.row(true, row)
    }

    fn row<T: Serialize>(&mut self, broadcast: bool, row: &T) -> FunctionResult<Vec<String>> {
        let at: Option<InputIndex> = self.spec.inputs.iter().position(|input| input.broadcast == broadcast);
        let at = at.ok_or_else(|| FunctionError::new("the harness has no such input"))?;
        let batch = Batch::append(row_of(row, &self.spec.inputs[at].schema)?);
        self.call(|operator| operator.process_on(at, batch))
    }

    /// Raises the watermark (milliseconds since 1970): timers fire. Returns what it emits.
    pub fn watermark(&mut self, timestamp: i64) -> FunctionResult<Vec<String>> {
        self.call(|operator| operator.watermark(EventTime(timestamp)))
    }

    /// Moves the clock (milliseconds since 1970): timers fire. Returns what it emits.
    pub fn processing_time(&mut self, now: i64) -> FunctionResult<Vec<String>> {
        self.call(|operator| operator.processing_time(WallTime(now)))
    }

    /// Tells it that all input has been read. Returns what it emits.
    pub fn end_of_input(&mut self) -> FunctionResult<Vec<String>> {
        self.call(OperatorHarness::end_of_input)
    }

    /// What it has emitted to a further output since that was asked last.
    pub fn side_output(&mut self, name: &str) -> FunctionResult<Vec<String>> {
        let port = self.spec.outputs.iter().position(|output| output.name == name);
        let port = port.ok_or_else(|| FunctionError::new(format!("the harness has no output \"{name}\"")))?;
        let (asked, rest) = std::mem::take(&mut self.emitted).into_iter().partition(|(from, _)| *from == port);
        self.emitted = rest;
        Ok(rows_of(&asked, port)?)
    }

    /// Takes a snapshot, and opens another function that is restored from it.
    pub fn restore(mut self) -> FunctionResult<Self> {
        let keyed = OperatorHarness::read(self.operator.snapshot()?)?;
        let operator = OperatorHarness::read_operator(vec![self.operator.operator_snapshot()])?;
        let max_parallelism: MaxParallelism = self.operator.max_parallelism();
        let key_groups = KeyGroupRange::of_subtask(max_parallelism, Parallelism::ONE, 0);
        let state = KeyedState::new(key_groups, max_parallelism, keyed);
        let operator_state = OperatorState::new(0, Parallelism::ONE, operator);
        self.operator = OperatorHarness::with_states(self.factory.as_ref(), state, operator_state)?;
        Ok(self)
    }

    fn call(
        &mut self,
        run: impl FnOnce(&mut OperatorHarness) -> Result<Vec<(OutputPort, Batch)>, OperatorError>,
    ) -> FunctionResult<Vec<String>> {
        let emitted = run(&mut self.operator)?;
        let rows = rows_of(&emitted, 0)?;
        self.emitted.extend(emitted.into_iter().filter(|(port, _)| *port != 0));
        Ok(rows)
    }
}
