//! Functions over the rows of a stream, with state and timers for each key: the operator that drives them, and the API for those
//! written in Rust.

mod context;
mod descriptor;
mod driver;
mod error;
mod function;
mod handle;
mod registry;
#[cfg(test)]
mod tests;
mod values;

pub use context::{Collector, Context, OutputTag, RuntimeContext};
pub use descriptor::{
    AggregateFunction, AggregatingStateDescriptor, ListStateDescriptor, MapStateDescriptor, ReducingStateDescriptor, StateTtlConfig,
    ValueStateDescriptor,
};
pub use driver::{ProcessBody, ProcessContext, ProcessFactory, ProcessInput, ProcessOperatorFactory, ProcessOutput, ProcessSpec, Timer};
pub use error::{FunctionError, FunctionResult};
pub use function::{IntoRowFunction, Keyed, KeyedProcessFunction, Plain, ProcessFunction, RowFunction};
pub use handle::{AggregatingState, ListState, MapState, ReducingState, ValueState};
pub use registry::Functions;
pub use values::ValueError;
