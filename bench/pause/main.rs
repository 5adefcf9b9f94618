//! How long a checkpoint holds up rows, in one subtask of two.
//!
//! `cargo run --release --example pause [keys] [checkpoints] [memory MB] [workload]` takes checkpoints one after the other, written by another thread
//! while rows go on, and prints what they cost: the synchronous part, and the longest time that one batch of 8,192 rows took longer than a batch
//! takes otherwise (copying what the snapshot reads, waiting for what it writes). On the heap; with memory, on RocksDB with so much of it.
//! Workloads: `sums` (COUNT(*), SUM, MAX by a BIGINT, the default), `texts` (by a long text), `distinct`, `latest` (MAX of a text); of a function
//! `value`, `list`, `map`, `timers`.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement: it prints, and may stop at any error")]

mod workload;

use flink::state::{Backend, BackendSettings, KeyedSnapshot, KeyedState, RocksSettings};
use flink::testing::operator::OperatorHarness;
use flink::types::{ByteSize, KeyGroupRange, MaxParallelism, Parallelism};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use workload::{Rows, Workload};

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
    let workload = std::env::args().skip(1).find_map(|text| Workload::named(&text)).unwrap_or(Workload::Sums);
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
    let mut harness = OperatorHarness::with_state(&*workload.factory(), 0, state).unwrap();
    let mut rows = Rows::new(workload, keys as i64, range, max);
    for batch in rows.every_key() {
        harness.process(batch).unwrap();
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
    println!("{workload:?}, {keys} keys in two subtasks, memory {memory:?} MB, {checkpoints} checkpoints");
    println!("a batch without:  p50 {usual:.2?}, p99 {unusual:.2?}");
    println!("synchronous part: {}", quantiles(synchronous));
    println!("longest pause:    {}", quantiles(longest));
    println!("lost in all:      {}", quantiles(lost));
    println!("written within:   {}", quantiles(written));
}
