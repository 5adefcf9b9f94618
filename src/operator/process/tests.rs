//! Functions in their operator, without a runtime.

use super::*;
use crate::operator::OperatorFactory;
use crate::state::TimeDomain;
use crate::testing::operator::{OperatorHarness, rows_of};
use crate::types::{Batch, Column, EventTime, LogicalType, RowBuilder, Schema, TypeKind, WallTime};
use std::sync::Arc;

fn schema(columns: &[(&str, TypeKind)]) -> Schema {
    let column = |(name, kind): &(&str, TypeKind)| Column { name: (*name).to_owned(), data_type: LogicalType::nullable(kind.clone()) };
    Schema::new(columns.iter().map(column).collect())
}

fn bids() -> Schema {
    schema(&[("bidder", TypeKind::BigInt), ("price", TypeKind::Int), ("ts", TypeKind::Timestamp(3))])
}

fn factory(functions: &Functions, name: &str) -> ProcessOperatorFactory {
    let input = ProcessInput { schema: bids(), key_by: vec![0], rowtime: Some(2), broadcast: false };
    let main = schema(&[("bidder", TypeKind::BigInt), ("bids", TypeKind::BigInt), ("note", TypeKind::String)]);
    let outputs = vec![
        ProcessOutput { name: String::new(), schema: main },
        ProcessOutput { name: "large".to_owned(), schema: schema(&[("price", TypeKind::Int)]) },
    ];
    ProcessOperatorFactory::new(ProcessSpec { inputs: vec![input], outputs }, functions.get(name).unwrap())
}

fn rows(rows: &[(i64, i32, i64)]) -> Batch {
    let mut builder = RowBuilder::new(&bids());
    for (bidder, price, ts) in rows {
        builder.append(&[(*bidder).into(), i64::from(*price).into(), (*ts).into()]).unwrap();
    }
    Batch::append(builder.finish().unwrap())
}

#[derive(::serde::Deserialize)]
struct Bid {
    price: i32,
    bidder: i64,
}

#[derive(::serde::Serialize)]
struct Burst {
    bids: i64,
    note: Option<String>,
    bidder: i64,
}

/// Counts; after a minute of event time, and after a second of the clock, says so.
struct Bursts {
    count: ValueState<i64>,
    large: OutputTag<(i32,)>,
}

impl Default for Bursts {
    fn default() -> Self {
        Self { count: ValueState::default(), large: OutputTag::new("large") }
    }
}

impl KeyedProcessFunction for Bursts {
    type In = Bid;
    type Out = Burst;

    fn open(&mut self, context: &mut RuntimeContext<'_>) -> FunctionResult {
        self.count = context.value_state(&ValueStateDescriptor::new("count"))?;
        Ok(())
    }

    fn process_element(&mut self, bid: Bid, context: &mut Context<'_>, out: &mut Collector<'_, Burst>) -> FunctionResult {
        let count = self.count.value(context)?.unwrap_or(0) + 1;
        self.count.update(context, &count)?;
        if bid.price > 100 {
            context.output(&mut self.large, &(bid.price,))?;
        }
        context.register_event_time_timer(context.timestamp().unwrap_or(0) + 60_000)?;
        if count == 2 {
            context.register_processing_time_timer(context.current_processing_time() + 1_000)?;
            out.collect(&Burst { bidder: bid.bidder, bids: count, note: None })?;
        }
        Ok(())
    }

    fn on_timer(&mut self, timestamp: i64, context: &mut Context<'_>, out: &mut Collector<'_, Burst>) -> FunctionResult {
        let bids = self.count.value(context)?.unwrap_or(0);
        let domain = if context.time_domain() == Some(TimeDomain::EventTime) { "event" } else { "clock" };
        out.collect(&Burst { bidder: context.current_key()?, bids, note: Some(format!("{domain} {timestamp}")) })?;
        self.count.clear(context)
    }
}

fn functions() -> Functions {
    Functions::new().register("bursts", Bursts::default)
}

#[test]
fn a_function_has_the_state_of_each_row_s_key_and_its_timers_fire_in_order() {
    let factory = factory(&functions(), "bursts");
    let mut harness = OperatorHarness::new(&factory).unwrap();
    let out = harness.process_on(0, rows(&[(1, 5, 1_000), (2, 500, 2_000), (1, 5, 3_000)])).unwrap();
    assert_eq!(rows_of(&out, 0).unwrap(), ["+I[1, 2, null]"]);
    assert_eq!(rows_of(&out, 1).unwrap(), ["+I[500]"]);
    assert!(harness.watermark(EventTime(60_999)).unwrap().is_empty());
    let out = harness.watermark(EventTime(62_000)).unwrap();
    assert_eq!(rows_of(&out, 0).unwrap(), ["+I[1, 2, event 61000]", "+I[2, 1, event 62000]"]);
    let out = harness.watermark(EventTime::MAX).unwrap();
    assert_eq!(rows_of(&out, 0).unwrap(), ["+I[1, 0, event 63000]"]);
}

#[test]
fn a_processing_time_timer_fires_when_its_millisecond_is_over_and_after_a_restore_at_once() {
    let factory = factory(&functions(), "bursts");
    let mut harness = OperatorHarness::new(&factory).unwrap();
    harness.processing_time(WallTime(5_000)).unwrap();
    harness.process_on(0, rows(&[(1, 5, 0), (1, 5, 0)])).unwrap();
    assert!(harness.processing_time(WallTime(6_000)).unwrap().is_empty());
    let saved = OperatorHarness::read(harness.snapshot().unwrap()).unwrap();
    let out = harness.processing_time(WallTime(6_001)).unwrap();
    assert_eq!(rows_of(&out, 0).unwrap(), ["+I[1, 2, clock 6000]"]);
    let mut restored = OperatorHarness::restored(&factory, crate::types::Parallelism::ONE, 0, saved).unwrap();
    let out = restored.processing_time(WallTime(1_000_000)).unwrap();
    assert_eq!(rows_of(&out, 0).unwrap(), ["+I[1, 2, clock 6000]"]);
}

#[test]
fn the_states_of_a_function_are_known_without_running_it() {
    let factory = factory(&functions(), "bursts");
    let states: Vec<String> = factory.states().iter().map(|state| format!("{} {:?}", state.name, state.kind)).collect();
    assert_eq!(states, ["count Value", "timers Timers"]);
    assert_eq!(factory.describe(), "KeyedProcess(keyBy=[bidder], function=[bursts])");
    let mut harness = OperatorHarness::new(&factory).unwrap();
    let saved: Vec<_> = harness.snapshot().unwrap().states.iter().map(|state| Arc::clone(&state.descriptor)).collect();
    let mut planned = factory.states();
    planned.sort_by(|a, b| b.name.cmp(&a.name));
    assert_eq!(saved, planned, "and they are those that it saves");
}

struct Failing;

impl ProcessFunction for Failing {
    type In = Bid;
    type Out = Burst;

    fn process_element(&mut self, bid: Bid, context: &mut Context<'_>, _out: &mut Collector<'_, Burst>) -> FunctionResult {
        if bid.price == 1 {
            context.register_event_time_timer(1)?;
        }
        let _: i8 = "many".parse()?;
        Ok(())
    }
}

#[test]
fn what_goes_wrong_in_a_function_is_told_with_its_name() {
    let functions = Functions::new().register("failing", || Failing);
    let mut harness = OperatorHarness::new(&factory(&functions, "failing")).unwrap();
    let error = harness.process_on(0, rows(&[(1, 5, 0)])).unwrap_err().to_string();
    assert_eq!(error, "function \"failing\": invalid digit found in string");
    let mut nulls = RowBuilder::new(&bids());
    nulls.append(&[1_i64.into()]).unwrap();
    let error = harness.process_on(0, Batch::append(nulls.finish().unwrap())).unwrap_err();
    assert!(error.to_string().starts_with("function \"failing\": column price: invalid type"), "{error}");
    assert_eq!(error.retry_hint(), crate::error::RetryHint::Never, "the same row would fail again");
    let spec = ProcessSpec { inputs: vec![ProcessInput { schema: bids(), ..ProcessInput::default() }], ..ProcessSpec::default() };
    let keyless = ProcessOperatorFactory::new(spec, self::functions().get("bursts").unwrap());
    let error = OperatorHarness::new(&keyless).unwrap_err().to_string();
    assert!(error.contains("its input has no key: give the transform a `key-by`"), "{error}");
}
