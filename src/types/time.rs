//! Event time, wall-clock time, and the one clock that everything reads.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

/// Milliseconds of event time since 1970-01-01 00:00 (without a zone, or in UTC for `TIMESTAMP_LTZ`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct EventTime(pub i64);

impl EventTime {
    /// Before every event: an operator's watermark before the first one arrives.
    pub const MIN: Self = Self(i64::MIN);
    /// After every event: sent at the end of a bounded input and by `stop --drain`.
    pub const MAX: Self = Self(i64::MAX);
}

/// Milliseconds of wall-clock time since 1970-01-01 00:00 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct WallTime(pub i64);

impl WallTime {
    /// The time from `earlier` to this one; zero if that is negative (wall clocks are set back now and then).
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// This time plus `duration`, saturating.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }
}

/// The clock of a job. Timers and pauses are tokio's (which can be paused in tests); what is *read* as time comes from here.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Now, by the wall clock.
    fn now(&self) -> WallTime;
    /// Nanoseconds since some fixed moment, never going back: for durations.
    fn monotonic(&self) -> Duration;
}

/// The machine's clock.
#[derive(Debug, Clone)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// The machine's clock, shared.
    pub fn shared() -> Arc<dyn Clock> {
        Arc::new(Self { start: Instant::now() })
    }
}

impl Clock for SystemClock {
    fn now(&self) -> WallTime {
        WallTime(chrono::Utc::now().timestamp_millis())
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}

/// A clock that stands still until it is told otherwise: for tests and simulation.
#[derive(Debug, Default)]
pub struct ManualClock {
    millis: AtomicI64,
}

impl ManualClock {
    /// A clock that shows `now`.
    pub fn at(now: WallTime) -> Arc<Self> {
        Arc::new(Self { millis: AtomicI64::new(now.0) })
    }

    /// Moves the clock on.
    pub fn advance(&self, duration: Duration) {
        self.millis.fetch_add(duration.as_millis() as i64, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> WallTime {
        WallTime(self.millis.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.millis.load(Ordering::SeqCst).max(0) as u64)
    }
}
