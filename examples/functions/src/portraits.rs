//! State of every kind that belongs to keys: a value, a list, a map, a folded value, an aggregate, timers, and TTL by both clocks.

use flink::functions::{
    AggregateFunction, AggregatingState, AggregatingStateDescriptor, Collector, Context, FunctionResult, KeyedProcessFunction, ListState,
    ListStateDescriptor, MapState, MapStateDescriptor, OutputTag, ReducingState, ReducingStateDescriptor, RuntimeContext, StateTtlConfig,
    TtlTime, TtlUpdate, ValueState, ValueStateDescriptor,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// Orders are counted in windows of so many milliseconds.
const WINDOW: i64 = 5_000;

/// When portraits are drawn: behind all windows.
const END: i64 = 10_000_000;

/// A row that comes in.
#[derive(Deserialize)]
pub struct Order {
    id: i64,
    customer: String,
    category: Option<String>,
    quantity: Option<i32>,
    /// The digits of a DECIMAL(10, 2).
    price: i128,
    weight: Option<f64>,
}

/// The heaviest order.
#[derive(Serialize, Deserialize)]
pub struct Heaviest {
    id: i64,
    weight: f64,
}

/// A row that goes out.
#[derive(Serialize)]
pub struct Portrait {
    customer: String,
    orders: i64,
    ids: Vec<i64>,
    categories: BTreeMap<String, i64>,
    heaviest: Option<Heaviest>,
    quantity: Option<i64>,
    volume: Option<i128>,
    mean: Option<f64>,
}

/// A mean, kept as sum and count.
struct Mean;

impl AggregateFunction for Mean {
    type In = f64;
    type Acc = (f64, i64);
    type Out = f64;

    fn create_accumulator(&self) -> (f64, i64) {
        (0.0, 0)
    }

    fn add(&self, value: f64, (sum, count): (f64, i64)) -> (f64, i64) {
        (sum + value, count + 1)
    }

    fn get_result(&self, (sum, count): (f64, i64)) -> f64 {
        sum / count as f64
    }
}

/// Draws each customer's portrait when all orders are read, and tells when a customer came back after a while.
pub struct Portraits {
    orders: ValueState<i64>,
    heaviest: ValueState<Heaviest>,
    ids: ListState<i64>,
    categories: MapState<String, i64>,
    quantity: ReducingState<i64>,
    volume: ReducingState<i128>,
    mean: AggregatingState<f64, f64>,
    /// Forgotten when there was no order for a while.
    known: ValueState<bool>,
    returns: OutputTag<(String, i64)>,
    seen: OutputTag<(i64,)>,
}

impl Default for Portraits {
    fn default() -> Self {
        Self {
            orders: ValueState::default(),
            heaviest: ValueState::default(),
            ids: ListState::default(),
            categories: MapState::default(),
            quantity: ReducingState::default(),
            volume: ReducingState::default(),
            mean: AggregatingState::default(),
            known: ValueState::default(),
            returns: OutputTag::new("returns"),
            seen: OutputTag::new("seen"),
        }
    }
}

impl KeyedProcessFunction for Portraits {
    type In = Order;
    type Out = Portrait;

    fn open(&mut self, context: &mut RuntimeContext<'_>) -> FunctionResult {
        let year = StateTtlConfig::new_builder(Duration::from_hours(365 * 24)).update_type(TtlUpdate::OnReadAndWrite).build();
        let while_ago = StateTtlConfig::new_builder(Duration::from_millis(WINDOW as u64 * 3 / 2)).time(TtlTime::Event).build();
        self.orders = context.value_state(&ValueStateDescriptor::new("orders"))?;
        self.heaviest = context.value_state(&ValueStateDescriptor::new("heaviest"))?;
        self.ids = context.list_state(&ListStateDescriptor::new("ids").enable_time_to_live(year))?;
        self.categories = context.map_state(&MapStateDescriptor::new("categories").enable_time_to_live(year))?;
        self.quantity =
            context.reducing_state(&ReducingStateDescriptor::new("quantity", |a: i64, b: i64| a + b).enable_time_to_live(year))?;
        let volume = ReducingStateDescriptor::<i128>::sum("volume").with_type("DECIMAL(20, 2)");
        self.volume = context.reducing_state(&volume)?;
        self.mean = context.aggregating_state(&AggregatingStateDescriptor::new("mean", Mean))?;
        self.known = context.value_state(&ValueStateDescriptor::new("known").enable_time_to_live(while_ago))?;
        Ok(())
    }

    fn process_element(&mut self, order: Order, context: &mut Context<'_>, _out: &mut Collector<'_, Portrait>) -> FunctionResult {
        debug_assert_eq!(context.current_key::<String>()?, order.customer);
        let orders = self.orders.value(context)?.unwrap_or(0) + 1;
        self.orders.update(context, &orders)?;
        self.ids.add(context, &order.id)?;
        if let Some(category) = order.category {
            let seen = self.categories.get(context, &category)?.unwrap_or(0);
            self.categories.put(context, &category, &(seen + 1))?;
        }
        if let Some(quantity) = order.quantity {
            self.quantity.add(context, &quantity.into())?;
        }
        self.volume.add(context, &order.price)?;
        if let Some(weight) = order.weight {
            self.mean.add(context, &weight)?;
            let heaviest = self.heaviest.value(context)?;
            if heaviest.is_none_or(|heaviest| (heaviest.weight, order.id) < (weight, heaviest.id)) {
                self.heaviest.update(context, &Heaviest { id: order.id, weight })?;
            }
        }
        context.output(&mut self.seen, &(order.id,))?;
        let time = context.timestamp().unwrap_or(0);
        context.register_event_time_timer(time - time % WINDOW + WINDOW)?;
        context.register_event_time_timer(END)
    }

    fn on_timer(&mut self, timestamp: i64, context: &mut Context<'_>, out: &mut Collector<'_, Portrait>) -> FunctionResult {
        let customer: String = context.current_key()?;
        if timestamp < END {
            if self.known.value(context)?.is_none() {
                context.output(&mut self.returns, &(customer, timestamp))?;
            }
            return self.known.update(context, &true);
        }
        let mut ids = self.ids.get(context)?;
        ids.sort_unstable();
        out.collect(&Portrait {
            customer,
            orders: self.orders.value(context)?.unwrap_or(0),
            ids,
            categories: self.categories.entries(context)?.into_iter().collect(),
            heaviest: self.heaviest.value(context)?,
            quantity: self.quantity.get(context)?,
            volume: self.volume.get(context)?,
            mean: self.mean.get(context)?,
        })
    }
}
