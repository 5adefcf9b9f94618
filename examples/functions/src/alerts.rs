//! Broadcast state: rules of which every subtask has a copy, with keys and without.

use flink::functions::{
    BroadcastContext, BroadcastProcessFunction, BroadcastState, Collector, Context, FunctionResult, KeyedBroadcastContext,
    KeyedBroadcastProcessFunction, ListState, ListStateDescriptor, MapStateDescriptor, OperatorListState, RuntimeContext,
};
use serde::{Deserialize, Serialize};

/// A row of the input.
#[derive(Deserialize)]
pub struct Order {
    id: i64,
    category: String,
    quantity: Option<i32>,
}

/// A row of the broadcast input.
#[derive(Deserialize)]
pub struct Rule {
    rule: String,
    least: i32,
}

/// A rule and an order that is as large as it says.
#[derive(Serialize)]
pub struct Alert {
    rule: String,
    category: String,
    id: i64,
    quantity: i32,
}

/// What is kept of an order.
#[derive(Serialize, Deserialize)]
pub struct Kept {
    id: i64,
    quantity: i32,
}

/// Finds all orders that are as large as a rule says, whichever of them comes first: orders are kept for each category, and looked at
/// again with each new rule.
#[derive(Default)]
pub struct Alerts {
    rules: BroadcastState<String, i32>,
    orders: ListState<Kept>,
}

impl KeyedBroadcastProcessFunction for Alerts {
    type In = Order;
    type Broadcast = Rule;
    type Out = Alert;

    fn open(&mut self, context: &mut RuntimeContext<'_>) -> FunctionResult {
        self.rules = context.broadcast_state(&MapStateDescriptor::new("rules"))?;
        self.orders = context.list_state(&ListStateDescriptor::new("orders"))?;
        Ok(())
    }

    fn process_element(&mut self, order: Order, context: &mut Context<'_>, out: &mut Collector<'_, Alert>) -> FunctionResult {
        let Some(quantity) = order.quantity else { return Ok(()) };
        self.orders.add(context, &Kept { id: order.id, quantity })?;
        for (rule, least) in self.rules.entries(context)? {
            if quantity >= least {
                out.collect(&Alert { rule, category: order.category.clone(), id: order.id, quantity })?;
            }
        }
        Ok(())
    }

    fn process_broadcast_element(
        &mut self,
        Rule { rule, least }: Rule,
        context: &mut KeyedBroadcastContext<'_>,
        out: &mut Collector<'_, Alert>,
    ) -> FunctionResult {
        self.rules.put(context, &rule, &least)?;
        context.apply_to_keyed_state(&self.orders, |category: String, orders, context| {
            for Kept { id, quantity } in orders.get(context)?.into_iter().filter(|order| order.quantity >= least) {
                out.collect(&Alert { rule: rule.clone(), category: category.clone(), id, quantity })?;
            }
            Ok(())
        })
    }
}

/// Counts for each order the rules that it is large enough for, when all rules are known: until then a subtask keeps its orders.
#[derive(Default)]
pub struct Screen {
    rules: BroadcastState<String, i32>,
    orders: OperatorListState<Kept>,
}

impl BroadcastProcessFunction for Screen {
    type In = Order;
    type Broadcast = Rule;
    type Out = (i64, i64);

    fn open(&mut self, context: &mut RuntimeContext<'_>) -> FunctionResult {
        self.rules = context.broadcast_state(&MapStateDescriptor::new("rules"))?;
        self.orders = context.operator_list_state(&ListStateDescriptor::new("orders"))?;
        Ok(())
    }

    fn process_element(&mut self, order: Order, context: &mut Context<'_>, _out: &mut Collector<'_, (i64, i64)>) -> FunctionResult {
        self.orders.add(context, &Kept { id: order.id, quantity: order.quantity.unwrap_or(0) })
    }

    fn process_broadcast_element(
        &mut self,
        rule: Rule,
        context: &mut BroadcastContext<'_>,
        _out: &mut Collector<'_, (i64, i64)>,
    ) -> FunctionResult {
        self.rules.put(context, &rule.rule, &rule.least)
    }

    fn end_of_input(&mut self, context: &mut Context<'_>, out: &mut Collector<'_, (i64, i64)>) -> FunctionResult {
        let rules = self.rules.entries(context)?;
        for order in self.orders.get(context)? {
            let fitting = rules.iter().filter(|(_, least)| order.quantity >= *least).count();
            out.collect(&(order.id, fitting as i64))?;
        }
        self.orders.clear(context)
    }
}
