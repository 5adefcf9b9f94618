//! How far a checkpoint or savepoint is that a command waits for: a bar on a terminal, a plain line now and then elsewhere.

use super::command::Style;
use super::surroundings::Surroundings;
use crate::rest::client::Client;
use crate::rest::types::CheckpointsAnswer;
use crate::types::JobId;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::future::Future;
use std::io::Write;
use std::time::Duration;

/// How often a bar is drawn.
const REDRAW: Duration = Duration::from_millis(250);

/// How often a plain line is written.
const LINE: Duration = Duration::from_secs(10);

/// How it is shown.
#[derive(Debug)]
pub(super) enum SnapshotProgress {
    /// Subtasks that have written their part, of all of them.
    Bar(ProgressBar),
    /// A line now and then.
    Lines,
    /// Not at all.
    Silent,
}

impl SnapshotProgress {
    /// The form that fits.
    pub(super) fn new(style: Style, surroundings: &Surroundings) -> Self {
        if style.quiet {
            return Self::Silent;
        }
        if !(style.progress && surroundings.err_is_terminal && surroundings.variable("CI").is_none()) {
            return Self::Lines;
        }
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} [{bar:30}] {pos}/{len} subtasks, {elapsed}") {
            bar.set_style(style);
        }
        Self::Bar(bar)
    }

    /// Waits for `result`, and shows meanwhile what `job` says of it.
    pub(super) async fn watch<T>(&self, client: &Client, job: JobId, result: impl Future<Output = T>) -> T {
        let pause = match self {
            Self::Bar(_) => REDRAW,
            Self::Lines => LINE,
            Self::Silent => return result.await,
        };
        let shown = async {
            loop {
                tokio::time::sleep(pause).await;
                // Who does not answer now is asked again; what became of the request is the result's business.
                let answer = client.get::<CheckpointsAnswer>(&format!("/jobs/{job}/checkpoints")).await;
                if let Some(stage) = answer.ok().and_then(|answer| Stage::of(&answer)) {
                    self.show(&stage);
                }
            }
        };
        let value = tokio::select! {
            biased;
            value = result => value,
            never = shown => never,
        };
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
        value
    }

    fn show(&self, stage: &Stage) {
        match self {
            Self::Bar(bar) => {
                bar.set_length(stage.subtasks);
                bar.set_position(stage.acknowledged);
                bar.set_message(format!("{}, {}", stage.name, indicatif::BinaryBytes(stage.bytes)));
            }
            Self::Lines => {
                // If standard error is gone, there is nobody to tell.
                let _ = writeln!(std::io::stderr(), "{}", stage.line());
            }
            Self::Silent => {}
        }
    }
}

/// How far the newest one is that is being taken.
#[derive(Debug, PartialEq, Eq)]
struct Stage {
    name: String,
    acknowledged: u64,
    subtasks: u64,
    bytes: u64,
}

impl Stage {
    /// `None`: none is being taken; it waits for its turn, or is complete.
    fn of(answer: &CheckpointsAnswer) -> Option<Self> {
        let taken = answer.history.iter().filter(|c| c.status == "IN_PROGRESS");
        // A person waits for a savepoint rather than for a checkpoint that happens to be under way.
        let newest = taken.max_by_key(|c| (c.is_savepoint, c.id))?;
        let kind = if newest.is_savepoint { "savepoint" } else { "checkpoint" };
        Some(Self {
            name: format!("{kind} {}", newest.id),
            acknowledged: newest.num_acknowledged_subtasks.into(),
            subtasks: newest.num_subtasks.into(),
            bytes: newest.checkpointed_size.0,
        })
    }

    /// `savepoint 7: 3 of 8 subtasks, 12.34 MiB`
    fn line(&self) -> String {
        format!("{}: {} of {} subtasks, {}", self.name, self.acknowledged, self.subtasks, indicatif::BinaryBytes(self.bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_savepoint_that_is_being_taken_is_shown_and_not_the_checkpoint_beside_it() {
        let stage = Stage { name: "savepoint 7".to_owned(), acknowledged: 3, subtasks: 8, bytes: 3 << 20 };
        assert_eq!(stage.line(), "savepoint 7: 3 of 8 subtasks, 3.00 MiB");
    }

    #[test]
    fn bars_are_for_terminals_only_and_quiet_is_quiet() {
        let style = |quiet, progress| Style { json: false, quiet, verbose: false, progress };
        let terminal = |err_is_terminal| Surroundings { err_is_terminal, ..Surroundings::default() };
        assert!(matches!(SnapshotProgress::new(style(false, true), &terminal(true)), SnapshotProgress::Bar(_)));
        assert!(matches!(SnapshotProgress::new(style(false, true), &terminal(false)), SnapshotProgress::Lines));
        assert!(matches!(SnapshotProgress::new(style(false, false), &terminal(true)), SnapshotProgress::Lines));
        assert!(matches!(SnapshotProgress::new(style(true, true), &terminal(true)), SnapshotProgress::Silent));
    }
}
