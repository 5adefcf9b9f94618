//! Restart strategies: after a failure, when to start again or why not (Flink: `RestartBackoffTimeStrategy`). Pure: time and a seed
//! are passed in.

use crate::job::settings::RestartSettings;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use std::collections::VecDeque;
use std::time::Duration;

/// What follows a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Start again after this time.
    RestartAfter(Duration),
    /// The job fails, for this reason (`Recovery is suppressed by …`).
    GiveUp(String),
}

/// The strategy of one job, with what it remembers of earlier failures.
#[derive(Debug)]
pub struct RestartStrategy {
    settings: RestartSettings,
    rng: StdRng,
    /// `fixed-delay`, `exponential-delay`: failures so far (since the last reset).
    attempts: u32,
    /// `failure-rate`: the latest failures, oldest first, at most one more than are allowed.
    failures: VecDeque<Duration>,
    /// `exponential-delay`: when the latest restart was or is due.
    restart_at: Option<Duration>,
}

impl RestartStrategy {
    /// The strategy that `settings` describe. `seed`: for the jitter.
    pub fn new(settings: &RestartSettings, seed: u64) -> Self {
        let rng = StdRng::seed_from_u64(seed);
        Self { settings: settings.clone(), rng, attempts: 0, failures: VecDeque::new(), restart_at: None }
    }

    /// The job has failed at `now` (monotonic). Failures while a restart is already waiting are one failure with
    /// `exponential-delay`, as in Flink.
    pub fn on_failure(&mut self, now: Duration) -> Decision {
        let delay = match self.settings {
            RestartSettings::None => None,
            RestartSettings::FixedDelay { attempts, delay } => {
                self.attempts = self.attempts.saturating_add(1);
                (self.attempts <= attempts).then_some(delay)
            }
            RestartSettings::FailureRate { max_failures, interval, delay } => {
                self.is_rate_kept(now, max_failures, interval).then_some(delay)
            }
            RestartSettings::ExponentialDelay { .. } => self.exponential_delay(now),
        };
        match delay {
            Some(delay) => Decision::RestartAfter(delay),
            None => Decision::GiveUp(format!("Recovery is suppressed by {}", self.describe())),
        }
    }

    fn is_rate_kept(&mut self, now: Duration, max_failures: u32, interval: Duration) -> bool {
        let full = |failures: &VecDeque<Duration>| failures.len() > max_failures as usize;
        if full(&self.failures) {
            self.failures.pop_front();
        }
        self.failures.push_back(now);
        match self.failures.front() {
            Some(earliest) if full(&self.failures) => now.saturating_sub(*earliest) > interval,
            _ => true,
        }
    }

    fn exponential_delay(&mut self, now: Duration) -> Option<Duration> {
        let RestartSettings::ExponentialDelay { initial, max, multiplier, reset_threshold, jitter, attempts } = self.settings else {
            return None;
        };
        if let Some(waiting_for) = self.restart_at.filter(|at| now <= *at) {
            return Some(waiting_for.saturating_sub(now));
        }
        if self.restart_at.is_some_and(|at| now.saturating_sub(at) >= reset_threshold) {
            self.attempts = 0;
        }
        // In milliseconds as Flink counts them; f64 holds any power, the maximum bounds it.
        let millis = |d: Duration| d.as_secs_f64() * 1e3;
        let (lowest, highest) = (millis(initial), millis(max));
        let backoff = (lowest * multiplier.powf(f64::from(self.attempts))).clamp(lowest.min(highest), highest);
        let offset = backoff * jitter.clamp(0.0, 1.0);
        let jittered = if offset > 0.0 { backoff + self.rng.random_range(-offset..=offset) } else { backoff };
        let delay = jittered.clamp(lowest.min(highest), highest).round();
        let delay = Duration::try_from_secs_f64(delay / 1e3).unwrap_or(max);
        self.restart_at = Some(now.saturating_add(delay));
        self.attempts = self.attempts.saturating_add(1);
        attempts.is_none_or(|bound| self.attempts <= bound).then_some(delay)
    }

    /// As Flink names a strategy in its messages.
    fn describe(&self) -> String {
        match self.settings {
            RestartSettings::None => "NoRestartBackoffTimeStrategy".to_owned(),
            RestartSettings::FixedDelay { attempts, delay } => {
                format!("FixedDelayRestartBackoffTimeStrategy(maxNumberRestartAttempts={attempts}, backoffTimeMS={})", delay.as_millis())
            }
            RestartSettings::FailureRate { max_failures, interval, delay } => format!(
                "FailureRateRestartBackoffTimeStrategy(failuresIntervalMS={},backoffTimeMS={},\
                 maxFailuresPerInterval={max_failures})",
                interval.as_millis(),
                delay.as_millis()
            ),
            RestartSettings::ExponentialDelay { initial, max, multiplier, reset_threshold, jitter, attempts } => format!(
                "ExponentialDelayRestartBackoffTimeStrategy(initialBackoffMS={}, maxBackoffMS={}, backoffMultiplier={multiplier}, \
                 resetBackoffThresholdMS={}, jitterFactor={jitter}, attemptsBeforeResetBackoff={}, currentRestartAttempt={})",
                initial.as_millis(),
                max.as_millis(),
                reset_threshold.as_millis(),
                attempts.unwrap_or(i32::MAX as u32),
                self.attempts
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn exponential(jitter: f64, attempts: Option<u32>) -> RestartSettings {
        RestartSettings::ExponentialDelay { initial: s(1), max: s(60), multiplier: 1.5, reset_threshold: s(3600), jitter, attempts }
    }

    fn gives_up(decision: &Decision, reason: &str) -> bool {
        matches!(decision, Decision::GiveUp(text) if text.starts_with(reason))
    }

    #[test]
    fn without_a_strategy_the_first_failure_is_the_last() {
        let decision = RestartStrategy::new(&RestartSettings::None, 0).on_failure(s(1));
        assert_eq!(decision, Decision::GiveUp("Recovery is suppressed by NoRestartBackoffTimeStrategy".to_owned()));
    }

    #[test]
    fn fixed_delay_restarts_as_often_as_it_says_however_much_time_passes() {
        let mut strategy = RestartStrategy::new(&RestartSettings::FixedDelay { attempts: 2, delay: s(10) }, 0);
        assert_eq!(strategy.on_failure(s(1)), Decision::RestartAfter(s(10)));
        assert_eq!(strategy.on_failure(s(100_000)), Decision::RestartAfter(s(10)));
        let expected = "Recovery is suppressed by FixedDelayRestartBackoffTimeStrategy(maxNumberRestartAttempts=2, backoffTimeMS=10000)";
        assert_eq!(strategy.on_failure(s(200_000)), Decision::GiveUp(expected.to_owned()));
    }

    #[test]
    fn failure_rate_gives_up_when_more_failures_than_allowed_fall_into_the_interval() {
        let settings = RestartSettings::FailureRate { max_failures: 2, interval: s(60), delay: s(1) };
        let mut strategy = RestartStrategy::new(&settings, 0);
        for time in [0, 50, 61, 111, 122] {
            assert_eq!(strategy.on_failure(s(time)), Decision::RestartAfter(s(1)), "{time}");
        }
        assert!(gives_up(&strategy.on_failure(s(171)), "Recovery is suppressed by FailureRateRestartBackoffTimeStrategy("));
    }

    #[test]
    fn exponential_delay_grows_up_to_its_bound_and_starts_anew_after_a_quiet_time() {
        let mut strategy = RestartStrategy::new(&exponential(0.0, None), 0);
        let mut now = s(0);
        let mut delays = Vec::new();
        for _ in 0..13 {
            let Decision::RestartAfter(delay) = strategy.on_failure(now) else { panic!("gave up") };
            delays.push(delay.as_millis());
            now += delay + Duration::from_millis(1);
        }
        assert_eq!(delays[..4], [1000, 1500, 2250, 3375]);
        assert_eq!(delays[11..], [60_000, 60_000]);
        assert_eq!(strategy.on_failure(now + s(3600)), Decision::RestartAfter(s(1)));
    }

    #[test]
    fn a_failure_while_a_restart_waits_is_the_same_failure() {
        let mut strategy = RestartStrategy::new(&exponential(0.0, Some(1)), 0);
        assert_eq!(strategy.on_failure(s(10)), Decision::RestartAfter(s(1)));
        assert_eq!(strategy.on_failure(Duration::from_millis(10_400)), Decision::RestartAfter(Duration::from_millis(600)));
        assert!(gives_up(&strategy.on_failure(s(12)), "Recovery is suppressed by ExponentialDelayRestartBackoffTimeStrategy("));
    }

    proptest! {
        #[test]
        fn jitter_stays_within_its_factor_and_the_bounds(seed: u64, jitter in 0.0..=1.0f64, failures in 1usize..40) {
            let mut strategy = RestartStrategy::new(&exponential(jitter, None), seed);
            let mut now = s(0);
            let mut ideal = 1000.0f64;
            for _ in 0..failures {
                let Decision::RestartAfter(delay) = strategy.on_failure(now) else { panic!("gave up") };
                let millis = delay.as_millis() as f64;
                prop_assert!((1000.0..=60_000.0).contains(&millis));
                prop_assert!((millis - ideal).abs() <= ideal * jitter + 1.0, "{} {}", millis, ideal);
                now += delay + Duration::from_millis(1);
                ideal = (ideal * 1.5).min(60_000.0);
            }
        }
    }
}
