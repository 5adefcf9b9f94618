//! When the next periodic checkpoint is due.

use crate::checkpoint::settings::CheckpointSettings;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use std::time::Duration;

/// Flink caps `min-pause` at a year.
const LONGEST_PAUSE: Duration = Duration::from_hours(365 * 24);

/// Flink's smallest interval.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);

/// The beat of periodic checkpoints.
#[derive(Debug)]
pub(super) struct Schedule {
    /// `None`: there are no periodic checkpoints.
    interval: Option<Duration>,
    /// While a source works through a backlog; `None`: none meanwhile.
    backlog_interval: Option<Duration>,
    backlog: bool,
    suspended: bool,
    min_pause: Duration,
    /// `None`: suspended, or there are none now.
    next: Option<Duration>,
    last_completion: Option<Duration>,
}

impl Schedule {
    /// The first one is due at a random time between `min-pause` and the interval; after a restart, and if sources wait for it, when
    /// `min-pause` is over.
    pub(super) fn new(settings: &CheckpointSettings, restarted: bool, now: Duration, seed: u64) -> Self {
        let min_pause = settings.min_pause.min(LONGEST_PAUSE);
        let interval = settings.interval.map(|interval| interval.max(min_pause).max(SHORTEST_INTERVAL));
        let backlog_interval = match settings.backlog_interval {
            None => interval,
            Some(during) => interval.filter(|_| !during.is_zero()).map(|interval| during.max(interval)),
        };
        let (backlog, suspended) = (false, false);
        let mut schedule = Self { interval, backlog_interval, backlog, suspended, min_pause, next: None, last_completion: None };
        schedule.resume(now);
        if let (Some(interval), false) = (interval, restarted || settings.pause_sources) {
            let delay = StdRng::seed_from_u64(seed).random_range(min_pause..=interval);
            schedule.next = Some(now.saturating_add(delay));
        }
        schedule
    }

    pub(super) fn is_periodic(&self) -> bool {
        self.interval.is_some()
    }

    /// When something is due.
    pub(super) fn next(&self) -> Option<Duration> {
        self.next
    }

    /// True if a periodic checkpoint is due; the next one is then an interval later, and never in the past.
    pub(super) fn take_due(&mut self, now: Duration) -> bool {
        let (Some(interval), Some(due)) = (self.current(), self.next) else { return false };
        if due > now {
            return false;
        }
        let next = due.saturating_add(interval);
        self.next = Some(if next > now { next } else { now.saturating_add(interval) });
        true
    }

    /// How long a periodic checkpoint has to wait for `min-pause`; zero if it need not.
    pub(super) fn pause_left(&self, now: Duration) -> Duration {
        self.last_completion.map_or(Duration::ZERO, |last| last.saturating_add(self.min_pause).saturating_sub(now))
    }

    /// Puts the beat to `delay` from now.
    pub(super) fn retry_in(&mut self, delay: Duration, now: Duration) {
        if self.next.is_some() {
            self.next = Some(now.saturating_add(delay));
        }
    }

    pub(super) fn completed(&mut self, now: Duration) {
        self.last_completion = Some(now);
    }

    /// Sources work through a backlog, or none does any more. The next beat is never later than an interval from now; where there are no
    /// checkpoints during a backlog it does not come.
    pub(super) fn set_backlog(&mut self, backlog: bool, now: Duration) {
        if self.backlog == backlog {
            return;
        }
        self.backlog = backlog;
        let soon = self.current().map(|interval| now.saturating_add(interval)).filter(|_| !self.suspended);
        self.next = soon.map(|soon| self.next.map_or(soon, |next| next.min(soon)));
    }

    fn current(&self) -> Option<Duration> {
        if self.backlog { self.backlog_interval } else { self.interval }
    }

    pub(super) fn suspend(&mut self) {
        self.suspended = true;
        self.next = None;
    }

    pub(super) fn resume(&mut self, now: Duration) {
        self.suspended = false;
        self.next = self.current().map(|_| now.saturating_add(self.min_pause));
    }
}
