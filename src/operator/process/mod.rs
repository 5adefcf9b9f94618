//! Functions over the rows of a stream, with state and timers for each key: the operator that drives them, and the API for those
//! written in Rust.

mod body;
mod broadcast;
mod context;
mod descriptor;
mod driver;
mod error;
mod folding;
#[cfg(test)]
mod folding_tests;
mod function;
mod handle;
mod operator_handle;
#[cfg(test)]
mod operator_tests;
mod registry;
#[cfg(test)]
mod tests;
mod values;

pub use broadcast::{BroadcastContext, KeyedBroadcastContext};
pub use context::{Collector, Context, OutputTag, RuntimeContext};
pub use descriptor::{
    AggregateFunction, AggregatingStateDescriptor, BuiltIn, ListStateDescriptor, MapStateDescriptor, ReducingStateDescriptor,
    StateTtlConfig, ValueStateDescriptor,
};
pub use driver::{
    FunctionShape, FunctionStates, ProcessBody, ProcessContext, ProcessFactory, ProcessInput, ProcessOperatorFactory, ProcessOutput,
    ProcessSpec, Timer,
};
pub use error::{FunctionError, FunctionResult};
pub use function::{
    BroadcastProcessFunction, IntoRowFunction, Keyed, KeyedBroadcast, KeyedBroadcastProcessFunction, KeyedProcessFunction, Plain,
    PlainBroadcast, ProcessFunction, RowFunction,
};
pub use handle::{AggregatingState, KeyedStateHandle, ListState, MapState, ReducingState, ValueState};
pub use operator_handle::{BroadcastState, FunctionContext, OperatorListState};
pub use registry::Functions;
pub use values::ValueError;

use crate::types::{RowBuilder, Schema};
use arrow::array::RecordBatch;

/// One row of these columns, as a function emits it.
pub(crate) fn row_of<T: serde::Serialize>(value: &T, columns: &Schema) -> FunctionResult<RecordBatch> {
    let mut row = RowBuilder::new(columns);
    values::write_row(value, &mut row, &mut values::ColumnMap::default())?;
    Ok(row.finish()?)
}
