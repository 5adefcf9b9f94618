//! GROUP BY without a window: Flink's `GroupAggregate`.
//!
//! [`AggregateSpec`] is what a planner writes down; [`GroupAggregateFactory`] makes the operator of each subtask from it.

mod call;
mod emit;
mod fixed;
mod group_aggregate;
mod kernel;
mod plan;
mod sets;
mod spec;
#[cfg(test)]
mod tests;

pub use spec::{AggregateCall, AggregateFunction, AggregateSpec, GroupAggregateFactory};
