//! How far a job is: a bar on a terminal, plain lines elsewhere. Only ever on standard error.

use crate::runtime::{JobStatus, JobView};
use crate::types::WallTime;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::Write;
use std::time::Duration;

/// How often a bar is drawn.
const REDRAW: Duration = Duration::from_millis(200);

/// How often a plain line is written.
const LINE: Duration = Duration::from_secs(10);

/// How progress is shown.
#[derive(Debug)]
pub(super) enum Progress {
    /// A bar on the terminal.
    Bar(ProgressBar),
    /// A line now and then.
    Lines,
    /// Not at all.
    Silent,
}

/// Counters at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Sample {
    /// Rows that the sources have read.
    rows: u64,
    /// Bytes that the sources have read.
    bytes: u64,
    /// When, by the monotonic clock.
    at: Duration,
}

impl Sample {
    /// The counters of `view`: those of the first operator of each vertex that reads from no other.
    pub(super) fn of(view: &JobView, at: Duration) -> Self {
        let sources = view.vertices.iter().filter(|v| v.inputs.is_empty()).flat_map(|v| &v.metrics).filter_map(|chain| chain.first());
        sources.fold(Self { at, ..Self::default() }, |sum, metrics| Self {
            rows: sum.rows + metrics.records_out.get(),
            bytes: sum.bytes + metrics.bytes_in.get(),
            at,
        })
    }

    /// Rows a second since `earlier`.
    fn rate(self, earlier: Self) -> u64 {
        let millis = self.at.saturating_sub(earlier.at).as_millis() as u64;
        self.rows.saturating_sub(earlier.rows).saturating_mul(1000).checked_div(millis).unwrap_or(0)
    }
}

impl Progress {
    /// The form that fits: `terminal`: standard error is one; `bars`: they are wanted.
    pub(super) fn new(terminal: bool, bars: bool, quiet: bool) -> Self {
        match (quiet, terminal && bars) {
            (true, _) => Self::Silent,
            (false, false) => Self::Lines,
            (false, true) => {
                let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
                if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
                    bar.set_style(style);
                }
                Self::Bar(bar)
            }
        }
    }

    /// How long to wait between two reports.
    pub(super) fn pause(&self) -> Duration {
        match self {
            Self::Bar(_) => REDRAW,
            Self::Lines | Self::Silent => LINE,
        }
    }

    /// Shows how far the job is.
    pub(super) fn show(&self, view: &JobView, (now, wall): (Sample, WallTime), earlier: Sample) {
        match self {
            Self::Silent => {}
            Self::Bar(bar) => {
                bar.set_message(text(view, (now, wall), earlier));
                bar.tick();
            }
            Self::Lines => {
                // If standard error is gone, there is nobody to tell.
                let _ = writeln!(std::io::stderr(), "{}", text(view, (now, wall), earlier));
            }
        }
    }

    /// Takes the bar away.
    pub(super) fn clear(&self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

/// `flights RUNNING · 1,234,567 rows · 98.1 MB · 456,789 rows/s · checkpoint 12, 3 s ago`
fn text(view: &JobView, (now, wall): (Sample, WallTime), earlier: Sample) -> String {
    let mut parts = vec![format!("{} {}", view.name, view.status.as_str()), format!("{} rows", grouped(now.rows))];
    if now.bytes > 0 {
        parts.push(indicatif::DecimalBytes(now.bytes).to_string());
    }
    if view.status == JobStatus::Running {
        parts.push(format!("{} rows/s", grouped(now.rate(earlier))));
    }
    if let Some(checkpoint) = &view.checkpoints.latest_completed {
        let age = wall.since(checkpoint.latest_ack.unwrap_or(checkpoint.triggered)).as_secs();
        let kind = if checkpoint.is_savepoint { "savepoint" } else { "checkpoint" };
        parts.push(format!("{kind} {}, {age} s ago", checkpoint.id));
    }
    if view.restarts > 0 {
        parts.push(format!("{} restart(s)", view.restarts));
    }
    parts.join(" · ")
}

/// `1,234,567`
fn grouped(number: u64) -> String {
    indicatif::HumanCount(number).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::job::view;

    #[test]
    fn a_line_tells_rows_bytes_rate_and_the_last_checkpoint() {
        let view = view("flights");
        view.vertices[0].metrics[0][0].records_out.add(1_234_237);
        let now = Sample::of(&view, Duration::from_secs(2));
        let earlier = Sample { rows: 234_567, bytes: 0, at: Duration::ZERO };
        assert_eq!(text(&view, (now, WallTime(0)), earlier), "flights RUNNING · 1,234,567 rows · 10.89 kB · 500,000 rows/s");
        assert_eq!(now.rate(now), 0);
    }

    #[test]
    fn bars_are_for_terminals_only() {
        assert!(matches!(Progress::new(false, true, false), Progress::Lines));
        assert!(matches!(Progress::new(true, false, false), Progress::Lines));
        assert!(matches!(Progress::new(true, true, true), Progress::Silent));
    }
}
