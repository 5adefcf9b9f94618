//! The functions that a program brings along, by the names under which a job.toml calls them.

use super::body::FunctionBody;
use super::context::RuntimeContext;
use super::driver::{FunctionShape, FunctionStates, ProcessBody, ProcessFactory, ProcessSpec};
use super::function::{IntoRowFunction, RowFunction};
use super::values::fields_of;
use crate::operator::{OperatorError, SubtaskPlace};
use crate::state::{KeyedState, OperatorState};
use crate::types::{KeyGroupRange, MaxParallelism, Parallelism};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Functions by name. Cloning shares them.
///
/// ```no_run
/// use flink::functions::{Collector, Context, FunctionResult, Functions, ProcessFunction};
/// use std::process::ExitCode;
///
/// struct Shout;
///
/// impl ProcessFunction for Shout {
///     type In = (String,);
///     type Out = (String,);
///
///     fn process_element(&mut self, row: (String,), _context: &mut Context<'_>, out: &mut Collector<'_, (String,)>) -> FunctionResult {
///         out.collect(&(row.0.to_uppercase(),))
///     }
/// }
///
/// fn main() -> ExitCode {
///     flink::main(Functions::new().register("shout", || Shout))
/// }
/// ```
#[derive(Debug, Clone, Default)]
pub struct Functions {
    factories: BTreeMap<String, Arc<dyn ProcessFactory>>,
}

impl Functions {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a function of any of the four traits ([`super::KeyedProcessFunction`], [`super::ProcessFunction`],
    /// [`super::KeyedBroadcastProcessFunction`], [`super::BroadcastProcessFunction`]): `function = "<name>"` calls it. `make` makes the function
    /// of each subtask. A second one under a name takes the place of the first.
    #[must_use]
    pub fn register<Kind, F, M>(mut self, name: &str, make: M) -> Self
    where
        F: IntoRowFunction<Kind>,
        M: Fn() -> F + Send + Sync + 'static,
    {
        let make = move || make().into_row_function();
        self.factories.insert(name.to_owned(), Arc::new(FunctionFactory { name: name.into(), make }));
        self
    }

    /// The function called `name`.
    pub fn get(&self, name: &str) -> Option<Arc<dyn ProcessFactory>> {
        self.factories.get(name).map(Arc::clone)
    }

    /// The names of all functions, sorted.
    pub fn names(&self) -> Vec<String> {
        self.factories.keys().cloned().collect()
    }
}

/// A function that was registered.
struct FunctionFactory<M> {
    name: Arc<str>,
    make: M,
}

impl<M> fmt::Debug for FunctionFactory<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FunctionFactory").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<F: RowFunction, M: Fn() -> F + Send + Sync> ProcessFactory for FunctionFactory<M> {
    fn describe(&self) -> String {
        format!("function=[{}]", self.name)
    }

    fn shape(&self) -> Option<FunctionShape> {
        Some(F::SHAPE)
    }

    fn reads(&self, broadcast: bool) -> Option<&'static [&'static str]> {
        if broadcast { fields_of::<F::Broadcast>() } else { fields_of::<F::In>() }
    }

    /// A function names its states in `open`: one is opened over nothing to hear them. If it cannot be opened, the job's start will
    /// say why.
    fn states(&self, spec: &ProcessSpec) -> FunctionStates {
        let max_parallelism = MaxParallelism::default_for(Parallelism::ONE);
        let key_groups = KeyGroupRange::of_subtask(max_parallelism, Parallelism::ONE, 0);
        let mut state = KeyedState::new(key_groups, max_parallelism, Vec::new());
        let mut operator_state = OperatorState::new(0, Parallelism::ONE, Vec::new());
        let place = SubtaskPlace { index: 0, parallelism: Parallelism::ONE, key_groups, max_parallelism };
        let (key, broadcast) = (spec.key(), F::SHAPE.broadcast);
        let mut context = RuntimeContext { state: &mut state, operator_state: &mut operator_state, key, place, broadcast };
        let _ = (self.make)().open(&mut context);
        FunctionStates { keyed: state.descriptors(), operator: operator_state.descriptors() }
    }

    fn create(&self, place: SubtaskPlace) -> Result<Box<dyn ProcessBody>, OperatorError> {
        Ok(Box::new(FunctionBody::new(&self.name, (self.make)(), place)))
    }
}
