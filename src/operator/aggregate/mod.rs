//! GROUP BY without a window: Flink's `GroupAggregate`.
//!
//! [`AggregateSpec`] is what a planner writes down; [`GroupAggregateFactory`] makes the operator of each subtask from it.

mod spec;

pub use spec::{AggregateCall, AggregateFunction, AggregateSpec, GroupAggregateFactory};
