//! Operator state: lists that belong to a subtask and to no key.

use flink::functions::{
    Collector, Context, FunctionResult, ListStateDescriptor, OperatorListState, OutputTag, ProcessFunction, RuntimeContext,
};
use serde::{Deserialize, Serialize};

/// Rows that go out together.
const BATCH: usize = 7;

/// A row, on its way in, in the list, and on its way out.
#[derive(Serialize, Deserialize)]
pub struct Order {
    id: i64,
    category: Option<String>,
}

/// Holds orders back until there are some of them, and counts them.
pub struct Batches {
    /// Divided evenly among the subtasks when their number changes.
    waiting: OperatorListState<Order>,
    /// One number a subtask. After a restore every subtask sees those of all: the first one takes over their sum.
    count: OperatorListState<i64>,
    counts: OutputTag<(i64,)>,
}

impl Default for Batches {
    fn default() -> Self {
        Self { waiting: OperatorListState::default(), count: OperatorListState::default(), counts: OutputTag::new("counts") }
    }
}

impl Batches {
    fn emit(&self, context: &mut Context<'_>, out: &mut Collector<'_, Order>) -> FunctionResult {
        self.waiting.get(context)?.iter().try_for_each(|order| out.collect(order))?;
        self.waiting.clear(context)
    }
}

impl ProcessFunction for Batches {
    type In = Order;
    type Out = Order;

    fn open(&mut self, context: &mut RuntimeContext<'_>) -> FunctionResult {
        self.waiting = context.operator_list_state(&ListStateDescriptor::new("waiting"))?;
        self.count = context.union_list_state(&ListStateDescriptor::new("count"))?;
        let sum = self.count.get(context)?.into_iter().sum();
        let own = if context.index_of_this_subtask() == 0 { sum } else { 0 };
        self.count.update(context, &[own])
    }

    fn process_element(&mut self, order: Order, context: &mut Context<'_>, out: &mut Collector<'_, Order>) -> FunctionResult {
        let count: i64 = self.count.get(context)?.into_iter().sum();
        self.count.update(context, &[count + 1])?;
        self.waiting.add(context, &order)?;
        if self.waiting.len(context)? >= BATCH { self.emit(context, out) } else { Ok(()) }
    }

    fn end_of_input(&mut self, context: &mut Context<'_>, out: &mut Collector<'_, Order>) -> FunctionResult {
        self.emit(context, out)?;
        let count = self.count.get(context)?.into_iter().sum();
        self.count.update(context, &[0])?;
        context.output(&mut self.counts, &(count,))
    }
}
