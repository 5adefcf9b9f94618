//! The input side of a task: many channels in, one sequence of events out.

use super::align::{Aligner, Alignment, Progress, WatermarkMinimum};
use super::recording::Recording;
use crate::operator::InputIndex;
use crate::types::{Barrier, Batch, CheckpointId, CheckpointKind, StreamElement};
use std::collections::VecDeque;
use std::task::{Context, Poll};
use std::time::Duration;
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
    /// Take the snapshot and forward the barrier, but keep the snapshot until [`GateEvent::Recorded`] brings the rest of it.
    SnapshotAhead(Barrier),
    /// The rows that were on their way when the snapshot of this checkpoint was taken ahead, in their order.
    Recorded(CheckpointId, Vec<(InputIndex, Batch)>),
    /// Every channel has ended. Comes once; only snapshots (by announcement) can follow.
    End,
}

/// How barriers of checkpoints are dealt with. Savepoints are always aligned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BarrierHandling {
    /// `AT_LEAST_ONCE`: no channel waits.
    Tracked,
    /// A channel waits for the others.
    Aligned,
    /// No channel waits, what is on its way is recorded; alignment may be tried so long.
    Unaligned(Duration),
}

/// All channels into one subtask.
#[derive(Debug)]
pub(crate) struct InputGate {
    /// `None`: ended, or its sender died (then the job loop is about to end this task too).
    channels: Vec<Option<mpsc::Receiver<StreamElement>>>,
    /// Per channel: what was read ahead of its turn.
    ahead: Vec<VecDeque<StreamElement>>,
    /// Per channel: the input of the head that it belongs to.
    inputs: Vec<InputIndex>,
    /// Per channel: whether it is aligned even with unaligned checkpoints, because what it brings goes to all subtasks.
    broadcast: Vec<bool>,
    aligner: Aligner,
    minimum: WatermarkMinimum,
    events: VecDeque<GateEvent>,
    next: usize,
    handling: BarrierHandling,
    recording: Option<Recording>,
    /// An unaligned checkpoint that waits for a savepoint that was triggered before it.
    deferred: Option<Barrier>,
    /// An unaligned checkpoint that waits for its barrier on broadcast channels.
    waiting: Option<Barrier>,
    /// A checkpoint that may turn into an unaligned one, and when it was announced.
    patient: Option<(Barrier, Duration)>,
}

impl InputGate {
    /// A gate over these channels.
    pub(crate) fn new(channels: Vec<(InputIndex, mpsc::Receiver<StreamElement>)>, handling: BarrierHandling) -> Self {
        let (inputs, channels): (Vec<_>, Vec<_>) = channels.into_iter().map(|(input, c)| (input, Some(c))).unzip();
        Self {
            aligner: Aligner::new(channels.len(), handling != BarrierHandling::Tracked),
            minimum: WatermarkMinimum::new(channels.len()),
            events: VecDeque::new(),
            next: 0,
            ahead: channels.iter().map(|_| VecDeque::new()).collect(),
            broadcast: vec![false; channels.len()],
            channels,
            inputs,
            handling,
            recording: None,
            deferred: None,
            waiting: None,
            patient: None,
        }
    }

    /// The same gate, to these inputs of which each row goes to every subtask. As in Flink, their channels are aligned in any case: rows
    /// on their way there could not be divided among another number of subtasks, and the subtasks' copies of what such rows say are the
    /// same in every checkpoint.
    pub(crate) fn with_broadcast(mut self, inputs: &[InputIndex]) -> Self {
        self.broadcast = self.inputs.iter().map(|input| inputs.contains(input)).collect();
        self
    }

    /// The coordinator announced a barrier.
    pub(crate) fn announce(&mut self, barrier: Barrier, now: Duration) {
        match self.handling {
            BarrierHandling::Unaligned(patience) if barrier.kind == CheckpointKind::Checkpoint => {
                if patience.is_zero() {
                    self.go_ahead(barrier);
                    return;
                }
                if !self.aligner.is_over(barrier.id) {
                    self.patient = Some((barrier, now));
                }
            }
            _ => {}
        }
        let alignment = self.aligner.announce(barrier);
        self.align(alignment);
    }

    /// Time has passed: an alignment that takes too long is given up, the checkpoint is not.
    pub(crate) fn tick(&mut self, now: Duration) {
        let BarrierHandling::Unaligned(patience) = self.handling else { return };
        let due = |(_, since): &mut (Barrier, Duration)| now.saturating_sub(*since) >= patience;
        if let Some((barrier, _)) = self.patient.take_if(due)
            && self.aligner.is_pending(barrier.id)
        {
            self.go_ahead(barrier);
        }
    }

    /// The coordinator gave a checkpoint up.
    pub(crate) fn abort(&mut self, id: CheckpointId) {
        self.aligner.abort(id);
        self.recording.take_if(|recording| recording.id == id);
        self.deferred.take_if(|barrier| barrier.id == id);
        self.waiting.take_if(|barrier| barrier.id == id);
        self.patient.take_if(|(barrier, _)| barrier.id == id);
        self.take_up_deferred();
    }

    /// Begins an unaligned checkpoint, unless it was begun or given up before. A savepoint that was triggered before it comes first.
    fn go_ahead(&mut self, barrier: Barrier) {
        if self.aligner.is_over(barrier.id) {
            return;
        }
        if self.aligner.aligns_before(barrier.id) {
            self.deferred = Some(barrier);
            return;
        }
        if self.awaits_broadcast(barrier.id) {
            // Until then the other channels are read on, those that have delivered the barrier excepted.
            self.waiting = Some(barrier);
            let alignment = self.aligner.announce(barrier);
            self.align(alignment);
            return;
        }
        let arrived = self.aligner.overtake(barrier.id);
        let waits = (0..self.channels.len()).map(|c| !arrived[c] && !self.aligner.has_ended(c) && self.may_deliver(c)).collect();
        let mut recording = Recording::new(barrier, waits);
        for (channel, ahead) in self.ahead.iter().enumerate() {
            for element in ahead {
                recording.see(channel, self.inputs[channel], element);
            }
        }
        self.events.push_back(GateEvent::SnapshotAhead(barrier));
        self.recording = Some(recording);
        self.finish_recording();
    }

    /// True if the barrier of `id` is still to come on a broadcast channel.
    fn awaits_broadcast(&self, id: CheckpointId) -> bool {
        let awaits = |c: usize| self.may_deliver(c) && !self.aligner.has_ended(c) && !self.aligner.has_arrived(c, id);
        (0..self.channels.len()).any(|channel| self.broadcast[channel] && awaits(channel))
    }

    fn take_up_waiting(&mut self) {
        if let Some(barrier) = self.waiting
            && !self.awaits_broadcast(barrier.id)
        {
            self.waiting = None;
            // Does nothing where the checkpoint is over.
            self.go_ahead(barrier);
        }
    }

    fn may_deliver(&self, channel: usize) -> bool {
        self.channels[channel].is_some() || !self.ahead[channel].is_empty()
    }

    fn take_up_deferred(&mut self) {
        if self.deferred.is_some_and(|barrier| !self.aligner.aligns_before(barrier.id))
            && let Some(barrier) = self.deferred.take()
        {
            self.go_ahead(barrier);
        }
    }

    fn finish_recording(&mut self) {
        if let Some(complete) = self.recording.take_if(|recording| recording.is_complete()) {
            self.events.push_back(GateEvent::Recorded(complete.id, complete.into_rows()));
        }
    }

    /// The next event. Channels take turns; those that are blocked by an alignment are not read.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<GateEvent> {
        loop {
            self.read_ahead(cx);
            if let Some(event) = self.events.pop_front() {
                return Poll::Ready(event);
            }
            let Some((channel, element)) = self.poll_channels(cx) else { return Poll::Pending };
            self.take(channel, element);
        }
    }

    /// The next event of an unaligned checkpoint, if nothing else comes before it: no rows and no progress of event time.
    pub(crate) fn poll_overtaking(&mut self, cx: &mut Context<'_>) -> Poll<GateEvent> {
        self.read_ahead(cx);
        match self.events.front() {
            Some(GateEvent::SnapshotAhead(_) | GateEvent::Recorded(..)) => self.events.pop_front().map_or(Poll::Pending, Poll::Ready),
            _ => Poll::Pending,
        }
    }

    /// Takes whatever channels deliver in front of the barrier that a recording waits for: their senders must get on.
    fn read_ahead(&mut self, cx: &mut Context<'_>) {
        let Some(recording) = &mut self.recording else { return };
        for (at, slot) in self.channels.iter_mut().enumerate() {
            while recording.waits_for(at) {
                let Some(channel) = slot else {
                    recording.lose(at);
                    break;
                };
                match channel.poll_recv(cx) {
                    Poll::Ready(Some(element)) => {
                        recording.see(at, self.inputs[at], &element);
                        self.ahead[at].push_back(element);
                    }
                    Poll::Ready(None) => *slot = None,
                    Poll::Pending => break,
                }
            }
        }
        self.finish_recording();
    }

    fn poll_channels(&mut self, cx: &mut Context<'_>) -> Option<(usize, StreamElement)> {
        let count = self.channels.len();
        for turn in 0..count {
            let at = (self.next + turn) % count;
            if self.aligner.is_blocked(at) {
                continue;
            }
            if let Some(element) = self.ahead[at].pop_front() {
                self.next = (at + 1) % count;
                return Some((at, element));
            }
            // What a recording waits for was just read ahead, all of it.
            if self.recording.as_ref().is_some_and(|recording| recording.waits_for(at)) {
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
                self.events.extend(progress.into_iter().map(GateEvent::Progress));
            }
            StreamElement::WatermarkStatus(status) => {
                let progress = self.minimum.status(channel, status);
                self.events.extend(progress.into_iter().map(GateEvent::Progress));
            }
            StreamElement::Barrier(barrier) => self.barrier(channel, barrier),
            StreamElement::EndOfInput => {
                self.channels[channel] = None;
                let progress = self.minimum.end(channel);
                self.events.extend(progress.into_iter().map(GateEvent::Progress));
                let alignment = self.aligner.end(channel);
                if self.aligner.all_ended() {
                    self.events.push_back(GateEvent::End);
                }
                self.align(alignment);
            }
        }
    }

    fn barrier(&mut self, channel: usize, barrier: Barrier) {
        let at_once = self.handling == BarrierHandling::Unaligned(Duration::ZERO) && barrier.kind == CheckpointKind::Checkpoint;
        if at_once && !self.aligner.is_over(barrier.id) {
            // It came before its announcement was heard. What this channel delivers from here on is behind the barrier; an older
            // barrier that it has not delivered will not come any more.
            self.deferred = None;
            self.aligner.arrive(channel, barrier);
            self.go_ahead(barrier);
            return;
        }
        let alignment = self.aligner.barrier(channel, barrier);
        self.align(alignment);
    }

    fn align(&mut self, mut alignment: Alignment) {
        while let Alignment::Snapshot(barrier) = alignment {
            self.events.push_back(GateEvent::Snapshot(barrier));
            alignment = self.aligner.ready();
        }
        self.take_up_waiting();
        self.take_up_deferred();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::EventTime;
    use std::future::poll_fn;
    use std::sync::Arc;

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
                GateEvent::SnapshotAhead(b) => format!("ahead {}", b.id),
                GateEvent::Recorded(id, rows) => format!("recorded {id}: {}", rows.len()),
                GateEvent::End => "end".to_owned(),
            });
        }
        seen
    }

    #[tokio::test]
    async fn rows_behind_a_barrier_wait_for_the_other_channel() {
        let (a, ra) = mpsc::channel(10);
        let (b, rb) = mpsc::channel(10);
        let mut gate = InputGate::new(vec![(0, ra), (0, rb)], BarrierHandling::Aligned);
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
        gate.announce(Barrier { id: CheckpointId::new(2), kind: CheckpointKind::Checkpoint }, Duration::ZERO);
        let event = poll_fn(|cx| gate.poll_next(cx)).await;
        assert!(matches!(event, GateEvent::Snapshot(b) if b.id == CheckpointId::new(2)));
    }

    #[tokio::test]
    async fn a_dead_sender_is_no_end() {
        let (a, ra) = mpsc::channel::<StreamElement>(10);
        let mut gate = InputGate::new(vec![(0, ra)], BarrierHandling::Aligned);
        drop(a);
        assert!(drain(&mut gate).is_empty());
    }

    fn rows() -> StreamElement {
        let schema =
            Arc::new(arrow::datatypes::Schema::new(vec![arrow::datatypes::Field::new("k", arrow::datatypes::DataType::Int64, true)]));
        let column = Arc::new(arrow::array::Int64Array::from(vec![1]));
        StreamElement::Batch(Batch::append(arrow::array::RecordBatch::try_new(schema, vec![column]).unwrap()))
    }

    fn announced(id: u64) -> Barrier {
        Barrier { id: CheckpointId::new(id), kind: CheckpointKind::Checkpoint }
    }

    fn savepoint(id: u64) -> Barrier {
        Barrier { id: CheckpointId::new(id), kind: CheckpointKind::Savepoint }
    }

    fn two(handling: BarrierHandling) -> (mpsc::Sender<StreamElement>, mpsc::Sender<StreamElement>, InputGate) {
        let ((a, ra), (b, rb)) = (mpsc::channel(10), mpsc::channel(10));
        (a, b, InputGate::new(vec![(0, ra), (1, rb)], handling))
    }

    #[test]
    fn an_unaligned_snapshot_comes_first_and_what_is_on_its_way_is_recorded_and_processed() {
        let (a, b, mut gate) = two(BarrierHandling::Unaligned(Duration::ZERO));
        a.try_send(rows()).unwrap();
        a.try_send(barrier(1)).unwrap();
        a.try_send(rows()).unwrap();
        b.try_send(rows()).unwrap();
        gate.announce(announced(1), Duration::ZERO);
        assert_eq!(drain(&mut gate), ["ahead 1", "batch 0", "batch 1", "batch 0"], "no channel waits");
        b.try_send(rows()).unwrap();
        b.try_send(barrier(1)).unwrap();
        b.try_send(rows()).unwrap();
        assert_eq!(drain(&mut gate), ["recorded 1: 3", "batch 1", "batch 1"]);
        gate.announce(announced(1), Duration::ZERO);
        assert!(drain(&mut gate).is_empty());
    }

    #[test]
    fn a_barrier_that_comes_before_its_announcement_begins_the_checkpoint() {
        let (a, b, mut gate) = two(BarrierHandling::Unaligned(Duration::ZERO));
        a.try_send(rows()).unwrap();
        a.try_send(barrier(1)).unwrap();
        assert_eq!(drain(&mut gate), ["batch 0", "ahead 1"]);
        gate.announce(announced(1), Duration::ZERO);
        b.try_send(rows()).unwrap();
        b.try_send(StreamElement::EndOfInput).unwrap();
        assert_eq!(drain(&mut gate), ["recorded 1: 1", "batch 1"]);
        a.try_send(StreamElement::EndOfInput).unwrap();
        assert_eq!(drain(&mut gate), ["end"]);
        gate.announce(announced(2), Duration::ZERO);
        assert_eq!(drain(&mut gate), ["ahead 2", "recorded 2: 0"], "a task that has ended takes part by announcement");
    }

    #[test]
    fn a_broadcast_channel_is_aligned_even_if_checkpoints_are_not() {
        for patience in [Duration::ZERO, Duration::from_millis(100)] {
            let (a, b, gate) = two(BarrierHandling::Unaligned(patience));
            let mut gate = gate.with_broadcast(&[1]);
            gate.announce(announced(1), Duration::ZERO);
            gate.tick(patience);
            a.try_send(rows()).unwrap();
            b.try_send(rows()).unwrap();
            assert_eq!(drain(&mut gate), ["batch 0", "batch 1"], "rows in front of the broadcast barrier are in the snapshot");
            b.try_send(barrier(1)).unwrap();
            assert_eq!(drain(&mut gate), ["ahead 1"], "then nobody waits for the other channel");
            b.try_send(rows()).unwrap();
            a.try_send(rows()).unwrap();
            let mut both = drain(&mut gate);
            both.sort();
            assert_eq!(both, ["batch 0", "batch 1"]);
            a.try_send(barrier(1)).unwrap();
            assert_eq!(drain(&mut gate), ["recorded 1: 1"], "of which alone rows are recorded");
        }
    }

    #[test]
    fn a_channel_that_was_quicker_than_the_broadcast_one_waits_for_it() {
        let (a, b, gate) = two(BarrierHandling::Unaligned(Duration::ZERO));
        let mut gate = gate.with_broadcast(&[1]);
        a.try_send(barrier(1)).unwrap();
        a.try_send(rows()).unwrap();
        assert!(drain(&mut gate).is_empty());
        gate.announce(announced(1), Duration::ZERO);
        b.try_send(rows()).unwrap();
        assert_eq!(drain(&mut gate), ["batch 1"]);
        b.try_send(StreamElement::EndOfInput).unwrap();
        assert_eq!(drain(&mut gate)[..1], ["snapshot 1"], "the end is as good as a barrier");
        let (a, b, gate) = two(BarrierHandling::Unaligned(Duration::ZERO));
        let mut gate = gate.with_broadcast(&[1]);
        gate.announce(announced(1), Duration::ZERO);
        a.try_send(barrier(1)).unwrap();
        a.try_send(rows()).unwrap();
        assert!(drain(&mut gate).is_empty());
        gate.abort(CheckpointId::new(1));
        assert_eq!(drain(&mut gate), ["batch 0"], "a checkpoint that is given up blocks nothing");
        b.try_send(barrier(1)).unwrap();
        gate.announce(announced(2), Duration::ZERO);
        b.try_send(barrier(2)).unwrap();
        assert_eq!(drain(&mut gate), ["ahead 2"]);
    }

    #[test]
    fn a_savepoint_is_aligned_and_comes_before_a_later_checkpoint() {
        let (a, b, mut gate) = two(BarrierHandling::Unaligned(Duration::ZERO));
        gate.announce(savepoint(1), Duration::ZERO);
        a.try_send(StreamElement::Barrier(savepoint(1))).unwrap();
        a.try_send(rows()).unwrap();
        gate.announce(announced(2), Duration::ZERO);
        assert!(drain(&mut gate).is_empty(), "the first channel waits for the savepoint, the checkpoint too");
        b.try_send(StreamElement::Barrier(savepoint(1))).unwrap();
        assert_eq!(drain(&mut gate)[..2], ["snapshot 1", "ahead 2"]);
        a.try_send(barrier(2)).unwrap();
        b.try_send(barrier(2)).unwrap();
        assert_eq!(drain(&mut gate), ["recorded 2: 1"]);
    }

    #[test]
    fn a_checkpoint_that_is_given_up_is_not_recorded_on_and_its_rows_are_processed() {
        let (a, _b, mut gate) = two(BarrierHandling::Unaligned(Duration::ZERO));
        gate.announce(announced(1), Duration::ZERO);
        a.try_send(rows()).unwrap();
        assert_eq!(drain(&mut gate), ["ahead 1", "batch 0"]);
        gate.abort(CheckpointId::new(1));
        a.try_send(barrier(1)).unwrap();
        a.try_send(rows()).unwrap();
        assert_eq!(drain(&mut gate), ["batch 0"]);
        gate.announce(announced(2), Duration::ZERO);
        assert_eq!(drain(&mut gate), ["ahead 2"]);
    }

    #[test]
    fn an_alignment_that_takes_too_long_is_given_up_for_an_unaligned_checkpoint() {
        let patience = Duration::from_millis(100);
        let (a, b, mut gate) = two(BarrierHandling::Unaligned(patience));
        gate.announce(announced(1), Duration::ZERO);
        a.try_send(barrier(1)).unwrap();
        a.try_send(rows()).unwrap();
        b.try_send(rows()).unwrap();
        assert_eq!(drain(&mut gate), ["batch 1"], "the first channel waits");
        gate.tick(patience / 2);
        assert!(drain(&mut gate).is_empty());
        gate.tick(patience);
        b.try_send(rows()).unwrap();
        assert_eq!(drain(&mut gate), ["ahead 1", "batch 0", "batch 1"]);
        b.try_send(barrier(1)).unwrap();
        assert_eq!(drain(&mut gate), ["recorded 1: 1"]);
        gate.announce(announced(2), patience);
        a.try_send(barrier(2)).unwrap();
        b.try_send(barrier(2)).unwrap();
        assert_eq!(drain(&mut gate), ["snapshot 2"], "an alignment that is quick enough stays one");
        gate.tick(patience * 9);
        assert!(drain(&mut gate).is_empty());
    }
}
