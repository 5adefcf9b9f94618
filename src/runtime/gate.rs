//! The input side of a task: many channels in, one sequence of events out.

use super::align::{Aligner, Alignment, Progress, WatermarkMinimum};
use crate::operator::InputIndex;
use crate::types::{Barrier, Batch, CheckpointId, StreamElement};
use std::collections::VecDeque;
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// What a task's inputs say, merged.
#[derive(Debug, PartialEq)]
pub(crate) enum GateEvent {
    /// Rows for this input of the head.
    Batch(InputIndex, Batch),
    /// Event time moved on, or stands still on purpose.
    Progress(Progress),
    /// Take the snapshot and forward the barrier.
    Snapshot(Barrier),
    /// Every channel has ended. Comes once; only [`GateEvent::Snapshot`] (by announcement) can follow.
    End,
}

/// All channels into one subtask.
#[derive(Debug)]
pub(crate) struct InputGate {
    /// `None`: ended, or its sender died (then the job loop is about to end this task too).
    channels: Vec<Option<mpsc::Receiver<StreamElement>>>,
    /// Per channel: the input of the head that it belongs to.
    inputs: Vec<InputIndex>,
    aligner: Aligner,
    minimum: WatermarkMinimum,
    events: VecDeque<GateEvent>,
    next: usize,
}

impl InputGate {
    /// A gate over these channels.
    pub(crate) fn new(channels: Vec<(InputIndex, mpsc::Receiver<StreamElement>)>, exactly_once: bool) -> Self {
        let (inputs, channels): (Vec<_>, Vec<_>) = channels.into_iter().map(|(input, c)| (input, Some(c))).unzip();
        Self {
            aligner: Aligner::new(channels.len(), exactly_once),
            minimum: WatermarkMinimum::new(channels.len()),
            events: VecDeque::new(),
            next: 0,
            channels,
            inputs,
        }
    }

    /// The coordinator announced a barrier.
    pub(crate) fn announce(&mut self, barrier: Barrier) {
        let alignment = self.aligner.announce(barrier);
        self.align(alignment);
    }

    /// The coordinator gave a checkpoint up.
    pub(crate) fn abort(&mut self, id: CheckpointId) {
        self.aligner.abort(id);
    }

    /// The next event. Channels take turns; those that are blocked by an alignment are not read.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<GateEvent> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Poll::Ready(event);
            }
            let Some((channel, element)) = self.poll_channels(cx) else { return Poll::Pending };
            self.take(channel, element);
        }
    }

    fn poll_channels(&mut self, cx: &mut Context<'_>) -> Option<(usize, StreamElement)> {
        let count = self.channels.len();
        for turn in 0..count {
            let at = (self.next + turn) % count;
            if self.aligner.is_blocked(at) {
                continue;
            }
            let Some(channel) = &mut self.channels[at] else { continue };
            match channel.poll_recv(cx) {
                Poll::Ready(Some(element)) => {
                    self.next = (at + 1) % count;
                    return Some((at, element));
                }
                // The sender died without an end: it failed, and the job loop will end this task.
                Poll::Ready(None) => self.channels[at] = None,
                Poll::Pending => {}
            }
        }
        None
    }

    fn take(&mut self, channel: usize, element: StreamElement) {
        match element {
            StreamElement::Batch(batch) => self.events.push_back(GateEvent::Batch(self.inputs[channel], batch)),
            StreamElement::Watermark(watermark) => {
                let progress = self.minimum.watermark(channel, watermark);
                self.events.extend(progress.map(GateEvent::Progress));
            }
            StreamElement::WatermarkStatus(status) => {
                let progress = self.minimum.status(channel, status);
                self.events.extend(progress.map(GateEvent::Progress));
            }
            StreamElement::Barrier(barrier) => {
                let alignment = self.aligner.barrier(channel, barrier);
                self.align(alignment);
            }
            StreamElement::EndOfInput => {
                self.channels[channel] = None;
                let progress = self.minimum.end(channel);
                self.events.extend(progress.map(GateEvent::Progress));
                let alignment = self.aligner.end(channel);
                if self.aligner.all_ended() {
                    self.events.push_back(GateEvent::End);
                }
                self.align(alignment);
            }
        }
    }

    fn align(&mut self, mut alignment: Alignment) {
        while let Alignment::Snapshot(barrier) = alignment {
            self.events.push_back(GateEvent::Snapshot(barrier));
            alignment = self.aligner.ready();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{CheckpointKind, EventTime};
    use std::future::poll_fn;

    fn barrier(id: u64) -> StreamElement {
        StreamElement::Barrier(Barrier { id: CheckpointId::new(id), kind: CheckpointKind::Checkpoint })
    }

    fn drain(gate: &mut InputGate) -> Vec<String> {
        let mut seen = Vec::new();
        let mut cx = Context::from_waker(std::task::Waker::noop());
        while let Poll::Ready(event) = gate.poll_next(&mut cx) {
            seen.push(match event {
                GateEvent::Batch(input, _) => format!("batch {input}"),
                GateEvent::Progress(Progress::Watermark(w)) => format!("watermark {}", w.0),
                GateEvent::Progress(Progress::Status(s)) => format!("{s:?}"),
                GateEvent::Snapshot(b) => format!("snapshot {}", b.id),
                GateEvent::End => "end".to_owned(),
            });
        }
        seen
    }

    #[tokio::test]
    async fn rows_behind_a_barrier_wait_for_the_other_channel() {
        let (a, ra) = mpsc::channel(10);
        let (b, rb) = mpsc::channel(10);
        let mut gate = InputGate::new(vec![(0, ra), (0, rb)], true);
        a.send(barrier(1)).await.unwrap();
        a.send(StreamElement::Watermark(EventTime(7))).await.unwrap();
        b.send(StreamElement::Watermark(EventTime(5))).await.unwrap();
        assert!(drain(&mut gate).is_empty());
        b.send(barrier(1)).await.unwrap();
        assert_eq!(drain(&mut gate), ["snapshot 1", "watermark 5"]);
        a.send(StreamElement::EndOfInput).await.unwrap();
        b.send(StreamElement::EndOfInput).await.unwrap();
        // The end of the slower channel leaves the faster one to decide.
        assert_eq!(drain(&mut gate), ["watermark 7", "end"]);
        gate.announce(Barrier { id: CheckpointId::new(2), kind: CheckpointKind::Checkpoint });
        let event = poll_fn(|cx| gate.poll_next(cx)).await;
        assert!(matches!(event, GateEvent::Snapshot(b) if b.id == CheckpointId::new(2)));
    }

    #[tokio::test]
    async fn a_dead_sender_is_no_end() {
        let (a, ra) = mpsc::channel::<StreamElement>(10);
        let mut gate = InputGate::new(vec![(0, ra)], true);
        drop(a);
        assert!(drain(&mut gate).is_empty());
    }
}
