//! Decides, purely, what a task with several input channels does with barriers, watermarks and ends.
//!
//! Exactly once: a channel that delivered the barrier of the checkpoint being aligned is not read until every other live channel
//! has delivered it too. At least once: no channel waits. A channel that has ended counts as aligned: its sender either sent
//! the barrier before the end or took its part of the snapshot after it.

use crate::types::{Barrier, CheckpointId, EventTime, WatermarkStatus};

/// What the task does next, because of a barrier, an announcement or an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Alignment {
    /// Read on.
    Continue,
    /// All live channels have delivered this barrier: take the snapshot, forward the barrier.
    Snapshot(Barrier),
}

/// Barriers of one task's channels.
#[derive(Debug)]
pub(crate) struct Aligner {
    exactly_once: bool,
    /// Per channel: ended?
    ended: Vec<bool>,
    /// Checkpoints under way, by increasing id. With exactly once: at most one of them has arrived channels.
    pending: Vec<Pending>,
    /// Barriers up to this one are over: taken, aborted or overtaken.
    over: Option<CheckpointId>,
}

#[derive(Debug)]
struct Pending {
    barrier: Barrier,
    arrived: Vec<bool>,
}

impl Aligner {
    /// An aligner of `channels` live channels.
    pub(crate) fn new(channels: usize, exactly_once: bool) -> Self {
        Self { exactly_once, ended: vec![false; channels], pending: Vec::new(), over: None }
    }

    /// True if `channel` must not be read now.
    pub(crate) fn is_blocked(&self, channel: usize) -> bool {
        self.exactly_once && self.pending.iter().any(|p| p.arrived[channel])
    }

    /// True if every channel has ended.
    pub(crate) fn all_ended(&self) -> bool {
        self.ended.iter().all(|ended| *ended)
    }

    /// `channel` delivered `barrier`.
    pub(crate) fn barrier(&mut self, channel: usize, barrier: Barrier) -> Alignment {
        if self.over.is_some_and(|over| barrier.id <= over) {
            return Alignment::Continue;
        }
        if self.exactly_once {
            // A newer barrier overtakes an older alignment: the older checkpoint can no longer be completed by this task.
            self.drop_before(barrier.id);
        }
        let at = self.pending_of(barrier);
        self.pending[at].arrived[channel] = true;
        self.ready()
    }

    /// The coordinator said that `barrier` is on its way. It is what triggers a task all of whose inputs have ended.
    pub(crate) fn announce(&mut self, barrier: Barrier) -> Alignment {
        if self.over.is_some_and(|over| barrier.id <= over) {
            return Alignment::Continue;
        }
        self.pending_of(barrier);
        self.ready()
    }

    /// Checkpoint `id` is given up.
    pub(crate) fn abort(&mut self, id: CheckpointId) {
        self.pending.retain(|p| p.barrier.id != id);
        // A late barrier of it must not start it again; older ones that are still pending stay so.
        if self.pending.iter().all(|p| p.barrier.id > id) {
            self.over = self.over.max(Some(id));
        }
    }

    /// True if a barrier older than `id` is being aligned.
    pub(crate) fn aligns_before(&self, id: CheckpointId) -> bool {
        self.pending.iter().any(|p| p.barrier.id < id)
    }

    /// Takes note that `channel` delivered `barrier`, whose checkpoint is about to be taken without alignment. What is older and was not
    /// delivered there is over.
    pub(crate) fn arrive(&mut self, channel: usize, barrier: Barrier) {
        self.drop_before(barrier.id);
        let at = self.pending_of(barrier);
        self.pending[at].arrived[channel] = true;
    }

    /// Checkpoint `barrier` is taken without alignment: which channels have delivered it, if it is pending and may still be taken so.
    /// It and what is older are over.
    pub(crate) fn overtake(&mut self, id: CheckpointId) -> Vec<bool> {
        let arrived = self.pending.iter().find(|p| p.barrier.id == id).map(|p| p.arrived.clone());
        self.pending.retain(|p| p.barrier.id > id);
        self.over = self.over.max(Some(id));
        arrived.unwrap_or_else(|| vec![false; self.ended.len()])
    }

    /// True if `channel` has delivered the barrier of `id`, which is still waited for.
    pub(crate) fn has_arrived(&self, channel: usize, id: CheckpointId) -> bool {
        self.pending.iter().any(|p| p.barrier.id == id && p.arrived[channel])
    }

    /// True if `id` is announced or has arrived somewhere, and is waited for.
    pub(crate) fn is_pending(&self, id: CheckpointId) -> bool {
        self.pending.iter().any(|p| p.barrier.id == id)
    }

    /// True if `id` was taken, given up or overtaken.
    pub(crate) fn is_over(&self, id: CheckpointId) -> bool {
        self.over.is_some_and(|over| id <= over)
    }

    /// True if `channel` has ended.
    pub(crate) fn has_ended(&self, channel: usize) -> bool {
        self.ended[channel]
    }

    /// `channel` has ended.
    pub(crate) fn end(&mut self, channel: usize) -> Alignment {
        self.ended[channel] = true;
        self.ready()
    }

    /// The next snapshot that became possible by what happened last. To be asked again after each one taken.
    pub(crate) fn ready(&mut self) -> Alignment {
        let complete = |p: &Pending| p.arrived.iter().zip(&self.ended).all(|(arrived, ended)| *arrived || *ended);
        let Some(at) = self.pending.iter().position(complete) else { return Alignment::Continue };
        let barrier = self.pending[at].barrier;
        self.pending.remove(at);
        self.drop_before(barrier.id);
        self.over = self.over.max(Some(barrier.id));
        Alignment::Snapshot(barrier)
    }

    fn drop_before(&mut self, id: CheckpointId) {
        self.pending.retain(|p| p.barrier.id >= id);
    }

    fn pending_of(&mut self, barrier: Barrier) -> usize {
        match self.pending.binary_search_by_key(&barrier.id, |p| p.barrier.id) {
            Ok(at) => at,
            Err(at) => {
                self.pending.insert(at, Pending { barrier, arrived: vec![false; self.ended.len()] });
                at
            }
        }
    }
}

/// What the merged input says of event time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// The watermark rose to this.
    Watermark(EventTime),
    /// All live channels are idle, or one is active again.
    Status(WatermarkStatus),
}

/// The minimum over the watermarks of the live, active channels (Flink: `StatusWatermarkValve`).
#[derive(Debug)]
pub(crate) struct WatermarkMinimum {
    channels: Vec<(EventTime, Activity)>,
    last: EventTime,
    idle: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Activity {
    Active,
    Idle,
    Ended,
}

impl WatermarkMinimum {
    /// Of `channels` active channels that have said nothing yet.
    pub(crate) fn new(channels: usize) -> Self {
        Self { channels: vec![(EventTime::MIN, Activity::Active); channels], last: EventTime::MIN, idle: false }
    }

    /// `channel` says that its watermark is `watermark`.
    pub(crate) fn watermark(&mut self, channel: usize, watermark: EventTime) -> Option<Progress> {
        let slot = &mut self.channels[channel];
        slot.0 = slot.0.max(watermark);
        self.advance()
    }

    /// `channel` turned idle or active.
    pub(crate) fn status(&mut self, channel: usize, status: WatermarkStatus) -> Vec<Progress> {
        self.channels[channel].1 = match status {
            WatermarkStatus::Active => Activity::Active,
            WatermarkStatus::Idle => Activity::Idle,
        };
        self.settle()
    }

    /// `channel` has ended: it holds nothing up any more.
    pub(crate) fn end(&mut self, channel: usize) -> Vec<Progress> {
        self.channels[channel].1 = Activity::Ended;
        self.settle()
    }

    /// When the last channel turns idle nobody will raise the watermark for now: it rises to the highest of all, as in Flink.
    fn settle(&mut self) -> Vec<Progress> {
        let live = self.channels.iter().any(|(_, activity)| *activity != Activity::Ended);
        let idle = live && self.channels.iter().all(|(_, activity)| *activity != Activity::Active);
        if idle != self.idle {
            self.idle = idle;
            let status = if idle { WatermarkStatus::Idle } else { WatermarkStatus::Active };
            let of_idle = self.channels.iter().filter(|(_, activity)| idle && *activity == Activity::Idle);
            let highest = of_idle.map(|(watermark, _)| *watermark).max().filter(|highest| *highest > self.last);
            self.last = highest.unwrap_or(self.last);
            return highest.map(Progress::Watermark).into_iter().chain([Progress::Status(status)]).collect();
        }
        self.advance().into_iter().collect()
    }

    fn advance(&mut self) -> Option<Progress> {
        let active = self.channels.iter().filter(|(_, activity)| *activity == Activity::Active);
        let minimum = active.map(|(watermark, _)| *watermark).min()?;
        if minimum <= self.last {
            return None;
        }
        self.last = minimum;
        Some(Progress::Watermark(minimum))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::CheckpointKind;
    use proptest::prelude::*;

    fn barrier(id: u64) -> Barrier {
        Barrier { id: CheckpointId::new(id), kind: CheckpointKind::Checkpoint }
    }

    #[test]
    fn exactly_once_blocks_a_channel_until_all_have_delivered_the_barrier() {
        let mut aligner = Aligner::new(2, true);
        assert_eq!(aligner.barrier(0, barrier(1)), Alignment::Continue);
        assert!(aligner.is_blocked(0) && !aligner.is_blocked(1));
        assert_eq!(aligner.barrier(1, barrier(1)), Alignment::Snapshot(barrier(1)));
        assert!(!aligner.is_blocked(0) && !aligner.is_blocked(1));
    }

    #[test]
    fn at_least_once_blocks_nothing_and_counts_several_checkpoints_at_a_time() {
        let mut aligner = Aligner::new(2, false);
        assert_eq!(aligner.barrier(0, barrier(1)), Alignment::Continue);
        assert_eq!(aligner.barrier(0, barrier(2)), Alignment::Continue);
        assert!(!aligner.is_blocked(0));
        assert_eq!(aligner.barrier(1, barrier(1)), Alignment::Snapshot(barrier(1)));
        assert_eq!(aligner.barrier(1, barrier(2)), Alignment::Snapshot(barrier(2)));
    }

    #[test]
    fn an_ended_channel_counts_as_aligned_and_the_last_end_completes_an_announced_checkpoint() {
        let mut aligner = Aligner::new(2, true);
        assert_eq!(aligner.end(0), Alignment::Continue);
        assert_eq!(aligner.announce(barrier(4)), Alignment::Continue);
        assert!(!aligner.is_blocked(1));
        assert_eq!(aligner.end(1), Alignment::Snapshot(barrier(4)));
        assert!(aligner.all_ended());
        assert_eq!(aligner.announce(barrier(5)), Alignment::Snapshot(barrier(5)));
        assert_eq!(aligner.announce(barrier(5)), Alignment::Continue);
    }

    #[test]
    fn an_aborted_checkpoint_unblocks_and_its_late_barriers_are_ignored() {
        let mut aligner = Aligner::new(2, true);
        aligner.barrier(0, barrier(1));
        aligner.abort(CheckpointId::new(1));
        assert!(!aligner.is_blocked(0));
        assert_eq!(aligner.barrier(1, barrier(1)), Alignment::Continue);
        assert!(!aligner.is_blocked(1));
    }

    #[test]
    fn a_newer_barrier_overtakes_an_older_alignment() {
        let mut aligner = Aligner::new(2, true);
        aligner.barrier(0, barrier(1));
        assert_eq!(aligner.barrier(1, barrier(2)), Alignment::Continue);
        assert!(aligner.is_blocked(1) && !aligner.is_blocked(0));
        assert_eq!(aligner.barrier(0, barrier(2)), Alignment::Snapshot(barrier(2)));
    }

    #[test]
    fn the_watermark_is_the_minimum_of_the_active_channels() {
        let mut minimum = WatermarkMinimum::new(2);
        assert_eq!(minimum.watermark(0, EventTime(5)), None);
        assert_eq!(minimum.watermark(1, EventTime(3)), Some(Progress::Watermark(EventTime(3))));
        assert_eq!(minimum.watermark(1, EventTime(1)), None);
        assert_eq!(minimum.status(1, WatermarkStatus::Idle), [Progress::Watermark(EventTime(5))]);
        assert_eq!(minimum.status(0, WatermarkStatus::Idle), [Progress::Status(WatermarkStatus::Idle)]);
        assert_eq!(minimum.status(0, WatermarkStatus::Active), [Progress::Status(WatermarkStatus::Active)]);
        assert_eq!(minimum.watermark(0, EventTime(9)), Some(Progress::Watermark(EventTime(9))));
        assert_eq!(minimum.end(0), [Progress::Status(WatermarkStatus::Idle)]);
        assert_eq!(minimum.end(1), [Progress::Status(WatermarkStatus::Active)]);
    }

    #[test]
    fn when_all_channels_are_idle_the_watermark_rises_to_the_highest_in_whatever_order_they_turned_so() {
        for order in [[0, 1], [1, 0]] {
            let mut minimum = WatermarkMinimum::new(2);
            assert_eq!(minimum.watermark(0, EventTime(5)), None);
            let said: Vec<Progress> = order.iter().flat_map(|channel| minimum.status(*channel, WatermarkStatus::Idle)).collect();
            assert_eq!(said, [Progress::Watermark(EventTime(5)), Progress::Status(WatermarkStatus::Idle)], "{order:?}");
            assert_eq!(minimum.status(1, WatermarkStatus::Active), [Progress::Status(WatermarkStatus::Active)]);
            assert_eq!(minimum.watermark(1, EventTime(4)), None, "it never goes back");
        }
    }

    proptest! {
        /// Whatever the interleaving, with every channel delivering every barrier in order, each checkpoint is taken exactly
        /// once, in order, and no live channel stays blocked at the end.
        #[test]
        fn every_interleaving_takes_every_snapshot_once(order in proptest::collection::vec(0usize..3, 1..200), checkpoints in 1u64..6) {
            let mut aligner = Aligner::new(3, true);
            let mut next = [1u64; 3];
            let mut taken = Vec::new();
            let deliver = |aligner: &mut Aligner, next: &mut [u64; 3], channel: usize, taken: &mut Vec<u64>| {
                if aligner.is_blocked(channel) || next[channel] > checkpoints + 1 {
                    return;
                }
                let id = next[channel];
                next[channel] += 1;
                let result = if id == checkpoints + 1 { aligner.end(channel) } else { aligner.barrier(channel, barrier(id)) };
                if let Alignment::Snapshot(b) = result {
                    taken.push(b.id.number());
                }
            };
            for channel in order {
                deliver(&mut aligner, &mut next, channel, &mut taken);
            }
            for _ in 0..(3 * (checkpoints + 2)) {
                for channel in 0..3 {
                    deliver(&mut aligner, &mut next, channel, &mut taken);
                }
            }
            prop_assert_eq!(taken, (1..=checkpoints).collect::<Vec<_>>());
            prop_assert!(aligner.all_ended());
        }
    }
}
