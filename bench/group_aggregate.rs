//! What one row costs in a grouped aggregation: COUNT(*), SUM, MAX per BIGINT or STRING key, batches of 8,192 rows.
//!
//! `cargo run --release --example group_aggregate [rows] [keys]` prints nanoseconds a row, with
//! everything that the operator does: hashing the keys, finding the groups, updating them, building the changelog. Each batch
//! is timed by itself; the tenth percentile and the median are shown, so that other work on the machine disturbs less.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement: it prints, and may stop at any error")]

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use flink::operator::OperatorFactory;
use flink::operator::aggregate::{AggregateCall, AggregateFunction, AggregateSpec, GroupAggregateFactory};
use flink::testing::operator::OperatorHarness;
use flink::types::{Batch, ChangelogMode, Column, LogicalType, Schema, TypeKind, limits};
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The result of `work`, and how long it took.
fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let result = black_box(work());
    (result, start.elapsed())
}

const ROUNDS: usize = 5;

fn column(name: &str, kind: TypeKind) -> Column {
    Column { name: name.to_owned(), data_type: LogicalType::nullable(kind) }
}

fn spec(key: TypeKind, update_before: bool, mini_batch: bool) -> AggregateSpec {
    let call = |function, argument, name| AggregateCall {
        function,
        distinct: false,
        argument,
        filter: None,
        output: column(name, TypeKind::BigInt),
    };
    AggregateSpec {
        input: Schema::new(vec![column("auction", key), column("price", TypeKind::BigInt)]),
        group_by: vec![0],
        aggregates: vec![
            call(AggregateFunction::CountStar, None, "bids"),
            call(AggregateFunction::Sum, Some(1), "total"),
            call(AggregateFunction::Max, Some(1), "highest"),
        ],
        input_mode: ChangelogMode::AppendOnly,
        emit_update_before: update_before,
        mini_batch,
        state_ttl: None,
        batch_mode: false,
    }
}

/// A generator of pseudo-random numbers that costs next to nothing (xorshift).
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

fn batches(schema: &Schema, rows: usize, keys: u64) -> Vec<Batch> {
    let mut state = 0x2545_F491_4F6C_DD1D;
    let text = schema.columns[0].data_type.kind == TypeKind::String;
    let batch = |_| {
        let keys: Vec<i64> = (0..limits::BATCH_ROWS).map(|_| (next(&mut state) % keys) as i64).collect();
        let prices: Int64Array = (0..limits::BATCH_ROWS).map(|_| Some((next(&mut state) % 10_000) as i64)).collect();
        let keys: ArrayRef = if text {
            Arc::new(StringArray::from_iter_values(keys.iter().map(|key| format!("auction-{key}"))))
        } else {
            Arc::new(Int64Array::from(keys))
        };
        Batch::append(RecordBatch::try_new(schema.to_arrow(), vec![keys, Arc::new(prices)]).unwrap())
    };
    (0..rows / limits::BATCH_ROWS).map(batch).collect()
}

fn measure(name: &str, spec: AggregateSpec, rows: usize, keys: u64) {
    let batches = batches(&spec.input, rows, keys);
    let factory = GroupAggregateFactory::new(spec);
    let mut harness = OperatorHarness::new(&factory).unwrap();
    let mut times = Vec::new();
    for round in 0..=ROUNDS {
        for batch in &batches {
            let (_, time) = timed(|| harness.process(batch.clone()).unwrap());
            if round > 0 {
                times.push(time.as_secs_f64() * 1e9 / limits::BATCH_ROWS as f64);
            }
        }
    }
    times.sort_by(f64::total_cmp);
    let (low, median) = (times[times.len() / 10], times[times.len() / 2]);
    let (snapshot, synchronous) = timed(|| harness.snapshot().unwrap());
    let (_, copying) = timed(|| harness.process(batches[0].clone()).unwrap());
    let (saved, reading) = timed(|| OperatorHarness::read(snapshot).unwrap());
    let groups: usize = saved.iter().flat_map(|state| &state.batches).map(RecordBatch::num_rows).sum();
    let (_, restoring) = timed(|| OperatorHarness::restored(&factory, flink::types::Parallelism::ONE, 0, saved).unwrap());
    println!(
        "{name:<20} {keys:>9} keys: {low:>6.1} ns/row (median {median:.1}); snapshot {synchronous:.0?}, first batch behind it \
         {copying:.0?}, read {reading:.0?}, restored {restoring:.0?} ({groups} groups)"
    );
}

fn main() {
    let mut arguments = std::env::args().skip(1).filter_map(|text| text.parse().ok());
    let rows = arguments.next().unwrap_or(4_000_000);
    let only: Option<usize> = arguments.next();
    println!("{}", GroupAggregateFactory::new(spec(TypeKind::BigInt, false, false)).describe());
    for keys in [10_000, 1_000_000].into_iter().filter(|keys| only.is_none_or(|only| only as u64 == *keys)) {
        measure("BIGINT, +U", spec(TypeKind::BigInt, false, false), rows, keys);
        measure("BIGINT, -U +U", spec(TypeKind::BigInt, true, false), rows, keys);
        measure("BIGINT, mini-batch", spec(TypeKind::BigInt, false, true), rows, keys);
        measure("STRING, +U", spec(TypeKind::String, false, false), rows, keys);
    }
}
