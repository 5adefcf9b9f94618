//! An [`AggregateSpec`] that was checked: how each of its calls is computed, and what is kept for it.

use super::call::{Call, CallPlan};
use super::spec::AggregateSpec;
use crate::operator::OperatorError;
use crate::state::{AccumulatorLayout, GroupLayout, StateDescriptor, StateTtl, group_descriptor};
use crate::types::Schema;
use arrow::datatypes::SchemaRef;
use std::sync::Arc;

/// The name of the state of a grouped aggregation.
pub(super) const STATE: &str = "groups";

/// See the module.
#[derive(Debug)]
pub(super) struct AggregatePlan {
    pub(super) spec: Arc<AggregateSpec>,
    pub(super) schema: SchemaRef,
    pub(super) keys: Schema,
    calls: Vec<CallPlan>,
}

impl AggregatePlan {
    /// Errors on positions that are not columns, and on types that an aggregate cannot take.
    pub(super) fn new(spec: Arc<AggregateSpec>, schema: SchemaRef) -> Result<Self, OperatorError> {
        if let Some(column) = spec.group_by.iter().find(|column| **column >= spec.input.columns.len()) {
            return Err(OperatorError::Invariant(format!("the input of a grouped aggregation has no column {column}")));
        }
        let calls = spec.aggregates.iter().map(|call| CallPlan::new(&spec, call)).collect::<Result<_, _>>()?;
        let keys = spec.group_columns();
        Ok(Self { spec, schema, keys, calls })
    }

    /// What is kept of the aggregates that keep something beside the record counter, in order.
    pub(super) fn accumulators(&self) -> Vec<AccumulatorLayout> {
        self.calls.iter().filter_map(|call| call.layout.clone()).collect()
    }

    /// The state that it registers.
    pub(super) fn descriptor(&self) -> StateDescriptor {
        group_descriptor(STATE, &self.keys, &self.accumulators()).with_ttl(self.ttl())
    }

    /// When groups expire. BATCH keeps them all to its end, as Flink's has no state.
    pub(super) fn ttl(&self) -> Option<StateTtl> {
        self.spec.state_ttl.filter(|_| !self.spec.batch_mode).map(StateTtl::new)
    }

    /// The calls, with their accumulators found in the layout of the group table.
    pub(super) fn bind(&self, layout: &GroupLayout) -> Vec<Call> {
        let mut next = 0;
        let bind = |call: &CallPlan| {
            let accumulator = next;
            next += usize::from(call.layout.is_some());
            call.clone().bind(layout, accumulator)
        };
        self.calls.iter().map(bind).collect()
    }
}
