//! What one row costs in a function: a count for each BIGINT key, in value state, emitted with each row; batches of 8,192 rows.
//!
//! `cargo run --release --example function [rows] [keys]` prints nanoseconds a row, with everything that the operator does: hashing
//! and finding the keys, reading the row into a struct, the state, writing the result. Each batch is timed by itself; the tenth
//! percentile and the median are shown, so that other work on the machine disturbs less.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement: it prints, and may stop at any error")]

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use flink::functions::{
    Collector, Context, FunctionResult, Functions, KeyedProcessFunction, RuntimeContext, StateTtlConfig, ValueState, ValueStateDescriptor,
};
use flink::operator::process::{ProcessInput, ProcessOperatorFactory, ProcessOutput, ProcessSpec};
use flink::testing::operator::OperatorHarness;
use flink::types::{Batch, Column, LogicalType, Schema, TypeKind, limits};
use serde::{Deserialize, Serialize};
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[derive(Deserialize)]
struct Bid {
    bidder: i64,
    price: i64,
}

#[derive(Serialize)]
struct Counted {
    bidder: i64,
    bids: i64,
    price: i64,
}

#[derive(Default)]
struct Count {
    count: ValueState<i64>,
    ttl: bool,
}

impl KeyedProcessFunction for Count {
    type In = Bid;
    type Out = Counted;

    fn open(&mut self, context: &mut RuntimeContext<'_>) -> FunctionResult {
        let mut descriptor = ValueStateDescriptor::new("count");
        if self.ttl {
            descriptor = descriptor.enable_time_to_live(StateTtlConfig::new_builder(Duration::from_hours(1)).build());
        }
        self.count = context.value_state(&descriptor)?;
        Ok(())
    }

    fn process_element(&mut self, bid: Bid, context: &mut Context<'_>, out: &mut Collector<'_, Counted>) -> FunctionResult {
        let bids = self.count.value(context)?.unwrap_or(0) + 1;
        self.count.update(context, &bids)?;
        out.collect(&Counted { bidder: bid.bidder, bids, price: bid.price })
    }
}

/// A generator of pseudo-random numbers that costs next to nothing (xorshift).
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

fn schema(names: &[&str]) -> Schema {
    let column = |name: &&str| Column { name: (*name).to_owned(), data_type: LogicalType::not_null(TypeKind::BigInt) };
    Schema::new(names.iter().map(column).collect())
}

fn measure(rows: usize, keys: u64, ttl: bool) {
    let functions = Functions::new().register("count", move || Count { ttl, ..Count::default() });
    let input = ProcessInput { schema: schema(&["bidder", "price"]), key_by: vec![0], rowtime: None, broadcast: false };
    let output = ProcessOutput { name: String::new(), schema: schema(&["bidder", "bids", "price"]) };
    let spec = ProcessSpec { inputs: vec![input], outputs: vec![output] };
    let factory = ProcessOperatorFactory::new(spec, functions.get("count").unwrap());
    let mut harness = OperatorHarness::new(&factory).unwrap();
    let mut state = 7;
    let arrow = schema(&["bidder", "price"]).to_arrow();
    let batches: Vec<Batch> = (0..rows / limits::BATCH_ROWS)
        .map(|_| {
            let bidders: Int64Array = (0..limits::BATCH_ROWS).map(|_| Some((next(&mut state) % keys) as i64)).collect();
            let prices: Int64Array = (0..limits::BATCH_ROWS).map(|_| Some((next(&mut state) % 1_000) as i64)).collect();
            let columns: Vec<ArrayRef> = vec![Arc::new(bidders), Arc::new(prices)];
            Batch::append(RecordBatch::try_new(Arc::clone(&arrow), columns).unwrap())
        })
        .collect();
    let mut times = Vec::new();
    // The first round makes the keys.
    for round in 0..3 {
        for batch in &batches {
            let start = Instant::now();
            black_box(harness.process(batch.clone()).unwrap());
            if round > 0 {
                times.push(start.elapsed().as_nanos() as f64 / batch.num_rows() as f64);
            }
        }
    }
    times.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| times[(times.len() as f64 * share) as usize];
    let with = if ttl { ", TTL" } else { "" };
    println!("{keys:>9} keys{with}: {:.1} ns a row (tenth percentile), {:.1} (median)", at(0.1), at(0.5));
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let rows = arguments.next().map_or(2_000_000, |text| text.parse().unwrap());
    let keys = arguments.next().map(|text| text.parse::<u64>().unwrap());
    for keys in keys.map_or_else(|| vec![100, 10_000, 1_000_000], |keys| vec![keys]) {
        measure(rows, keys, false);
        measure(rows, keys, true);
    }
}
