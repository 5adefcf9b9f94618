//! How long a checkpoint holds up the rows of a grouped aggregation: COUNT(*), SUM, MAX per BIGINT key in one subtask of two.
//!
//! `cargo run --release --example pause [keys] [checkpoints] [memory MB]` takes checkpoints one after the other, written by another thread
//! while rows go on, and prints what they cost: the synchronous part, and the longest time that one batch of 8,192 rows took longer than a batch
//! takes otherwise (copying what the snapshot reads, waiting for what it writes). On the heap; with memory, on RocksDB with so much of it.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement: it prints, and may stop at any error")]

use arrow::array::{Int64Array, RecordBatch};
use flink::operator::aggregate::{AggregateCall, AggregateFunction, AggregateSpec, GroupAggregateFactory};
use flink::state::{Backend, BackendSettings, KeyedSnapshot, KeyedState, RocksSettings};
use flink::testing::operator::OperatorHarness;
use flink::types::{
    Batch, ByteSize, ChangelogMode, Column, KeyGroupRange, LogicalType, MaxParallelism, Parallelism, Schema, TypeKind, hash_keys,
    key_group_of, limits,
};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

fn column(name: &str) -> Column {
    Column { name: name.to_owned(), data_type: LogicalType::nullable(TypeKind::BigInt) }
}

fn spec() -> AggregateSpec {
    let call = |function, argument, name| AggregateCall { function, distinct: false, argument, filter: None, output: column(name) };
    AggregateSpec {
        input: Schema::new(vec![column("auction"), column("price")]),
        group_by: vec![0],
        aggregates: vec![
            call(AggregateFunction::CountStar, None, "bids"),
            call(AggregateFunction::Sum, Some(1), "total"),
            call(AggregateFunction::Max, Some(1), "highest"),
        ],
        input_mode: ChangelogMode::AppendOnly,
        emit_update_before: false,
        mini_batch: false,
        state_ttl: None,
        batch_mode: false,
    }
}

/// Rows of this subtask's keys, which are half of `0..keys`.
struct Rows {
    own: Vec<i64>,
    state: u64,
    schema: Schema,
}

impl Rows {
    fn new(keys: i64, range: KeyGroupRange, max: MaxParallelism) -> Self {
        let column = Int64Array::from_iter_values(0..keys);
        let mut hashes = Vec::new();
        hash_keys(&[Arc::new(column)], keys as usize, &mut hashes).unwrap();
        let own = (0..keys).zip(hashes).filter(|(_, hash)| range.contains(key_group_of(*hash, max))).map(|(key, _)| key).collect();
        Self { own, state: 0x2545_F491_4F6C_DD1D, schema: spec().input }
    }

    fn batch(&self, keys: Vec<i64>) -> Batch {
        let prices = Int64Array::from_iter_values(keys.iter().map(|key| key % 10_000));
        let columns: Vec<arrow::array::ArrayRef> = vec![Arc::new(Int64Array::from(keys)), Arc::new(prices)];
        Batch::append(RecordBatch::try_new(self.schema.to_arrow(), columns).unwrap())
    }

    /// A batch of random keys (xorshift).
    fn random(&mut self) -> Batch {
        let mut keys = Vec::with_capacity(limits::BATCH_ROWS);
        for _ in 0..limits::BATCH_ROWS {
            self.state ^= self.state << 13;
            self.state ^= self.state >> 7;
            self.state ^= self.state << 17;
            keys.push(self.own[(self.state % self.own.len() as u64) as usize]);
        }
        self.batch(keys)
    }
}

/// Writes a snapshot as far as reading it goes: rows are made, files of the store are frozen.
fn write(snapshot: KeyedSnapshot) -> JoinHandle<Duration> {
    thread::spawn(move || {
        let start = Instant::now();
        if let Some(store) = &snapshot.store {
            store.image().unwrap();
        }
        for state in snapshot.states {
            state.batches.for_each(|batch| drop(batch.unwrap()));
        }
        start.elapsed()
    })
}

fn quantiles(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |part: usize| times[(times.len() * part / 100).min(times.len() - 1)];
    format!("p50 {:.2?}, p99 {:.2?}, most {:.2?}", at(50), at(99), at(100))
}

fn main() {
    let mut arguments = std::env::args().skip(1).filter_map(|text| text.parse::<u64>().ok());
    let keys = arguments.next().unwrap_or(1_000_000);
    let checkpoints = arguments.next().unwrap_or(100);
    let memory = arguments.next();
    let max = MaxParallelism::new(128).unwrap();
    let range = KeyGroupRange::of_subtask(max, Parallelism::new(2).unwrap(), 0);
    let directory = std::env::temp_dir().join(format!("{:032x}", std::process::id()));
    // One of two subtasks has half of the job's memory.
    let settings = memory.map(|mb| RocksSettings { memory: ByteSize(mb << 19), ..RocksSettings::default() });
    let settings = settings.map_or(BackendSettings::HashMap, |settings| BackendSettings::RocksDb(Box::new(settings)));
    let backend = Backend::new(&settings, directory);
    let state = KeyedState::new(range, max, Vec::new()).on(&backend, "0");
    let mut harness = OperatorHarness::with_state(&GroupAggregateFactory::new(spec()), 0, state).unwrap();
    let mut rows = Rows::new(keys as i64, range, max);
    for part in rows.own.clone().chunks(limits::BATCH_ROWS) {
        harness.process(rows.batch(part.to_vec())).unwrap();
    }
    let mut timed = |harness: &mut OperatorHarness| {
        let batch = rows.random();
        let start = Instant::now();
        harness.process(batch).unwrap();
        start.elapsed()
    };
    let mut usual: Vec<Duration> = (0..500).map(|_| timed(&mut harness)).collect();
    usual.sort_unstable();
    let (usual, unusual) = (usual[usual.len() / 2], usual[usual.len() * 99 / 100]);
    let (mut synchronous, mut longest, mut lost, mut written) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..checkpoints {
        let start = Instant::now();
        let snapshot = harness.native_snapshot().unwrap();
        synchronous.push(start.elapsed());
        let writer = write(snapshot);
        let (mut worst, mut sum, mut after) = (start.elapsed(), start.elapsed(), 0);
        while after < 20 {
            let over = timed(&mut harness).saturating_sub(usual);
            (worst, sum) = (worst.max(over), sum + over);
            after += u32::from(writer.is_finished());
        }
        longest.push(worst);
        lost.push(sum);
        written.push(writer.join().unwrap());
    }
    println!("{keys} keys in two subtasks, memory {memory:?} MB, {checkpoints} checkpoints");
    println!("a batch without:  p50 {usual:.2?}, p99 {unusual:.2?}");
    println!("synchronous part: {}", quantiles(synchronous));
    println!("longest pause:    {}", quantiles(longest));
    println!("lost in all:      {}", quantiles(lost));
    println!("written within:   {}", quantiles(written));
}
