//! Decides, purely, what an unaligned checkpoint does at a task's inputs.
//!
//! The task takes its snapshot as soon as it hears of the checkpoint, and sends the barrier behind what it has sent before. What each
//! channel still delivers in front of the barrier was sent before the sender's snapshot and is not in the receiver's: it is read ahead
//! and recorded (Chandy and Lamport, 1985; Flink: channel state). No channel waits for another one, and reading ahead lets senders go on
//! that wait for room, so that the barrier comes through however slow the task is.

use crate::operator::InputIndex;
use crate::types::{Barrier, Batch, CheckpointId, StreamElement};

/// One unaligned checkpoint at one task.
#[derive(Debug)]
pub(super) struct Recording {
    pub(super) id: CheckpointId,
    /// Per channel: its barrier has not come yet.
    waits: Vec<bool>,
    rows: Vec<(InputIndex, Batch)>,
}

impl Recording {
    /// Of the channels that are live and have not delivered the barrier.
    pub(super) fn new(barrier: Barrier, waits: Vec<bool>) -> Self {
        Self { id: barrier.id, waits, rows: Vec::new() }
    }

    /// True if what `channel` delivers must be read ahead.
    pub(super) fn waits_for(&self, channel: usize) -> bool {
        self.waits.get(channel).copied().unwrap_or(false)
    }

    /// Takes note of what `channel` delivered.
    pub(super) fn see(&mut self, channel: usize, input: InputIndex, element: &StreamElement) {
        if !self.waits_for(channel) {
            return;
        }
        match element {
            StreamElement::Batch(batch) => self.rows.push((input, batch.clone())),
            StreamElement::Barrier(barrier) if barrier.id == self.id => self.waits[channel] = false,
            StreamElement::EndOfInput => self.waits[channel] = false,
            // Watermarks are not saved: sources emit them anew.
            StreamElement::Barrier(_) | StreamElement::Watermark(_) | StreamElement::WatermarkStatus(_) => {}
        }
    }

    /// The sender is gone.
    pub(super) fn lose(&mut self, channel: usize) {
        if let Some(waits) = self.waits.get_mut(channel) {
            *waits = false;
        }
    }

    /// True if every channel has delivered the barrier.
    pub(super) fn is_complete(&self) -> bool {
        !self.waits.contains(&true)
    }

    /// What was on its way.
    pub(super) fn into_rows(self) -> Vec<(InputIndex, Batch)> {
        self.rows
    }
}
