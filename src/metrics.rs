//! Counters with names, shared between a task that counts and whoever looks.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// A number that only grows. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// The sum so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that is set. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Gauge(Arc<AtomicI64>);

impl Gauge {
    /// A gauge that shows `value`.
    pub fn new(value: i64) -> Self {
        Self(Arc::new(AtomicI64::new(value)))
    }

    /// Sets the value.
    pub fn set(&self, value: i64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// The value set last.
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What one operator of one subtask counts, under Flink's metric names.
#[derive(Debug, Clone)]
pub struct OperatorMetrics {
    /// `numRecordsIn`
    pub records_in: Counter,
    /// `numRecordsOut`
    pub records_out: Counter,
    /// `numBytesIn`: bytes read by a source.
    pub bytes_in: Counter,
    /// `numBytesOut`: bytes written by a sink.
    pub bytes_out: Counter,
    /// `numLateRecordsDropped`
    pub late_records_dropped: Counter,
    /// `numRecordsInErrors`: bad records that a source skipped or sent to dead letters.
    pub bad_records: Counter,
    /// `currentOutputWatermark`, milliseconds; `i64::MIN` before the first.
    pub watermark: Gauge,
}

impl Default for OperatorMetrics {
    fn default() -> Self {
        Self {
            records_in: Counter::default(),
            records_out: Counter::default(),
            bytes_in: Counter::default(),
            bytes_out: Counter::default(),
            late_records_dropped: Counter::default(),
            bad_records: Counter::default(),
            watermark: Gauge::new(i64::MIN),
        }
    }
}
