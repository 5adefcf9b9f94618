//! One state over all key groups of a subtask: what values, lists, maps and timers have in common.

use super::KeyRef;
use super::fold::Fold;
use super::keys::KeyTable;
use super::layered::Layered;
use super::snapshot::Encoder;
use crate::state::bytes::Input;
use crate::state::ttl::{Expiry, Times};
use crate::state::{StateDescriptor, StateError};
use crate::types::{DatumError, KeyGroup, KeyGroupRange};
use std::sync::Arc;

/// The content of a state in one key group, by slot.
pub(in crate::state) trait Column: Clone + Default + Send + Sync + 'static {
    /// To clone it costs next to nothing, and its slots cannot be copied one by one.
    const SHARES: bool = false;

    /// Appends a copy of a slot of `other`; of nothing where that has no such slot.
    fn push_copy(&mut self, other: &Self, slot: usize);

    /// Takes the slot `from` of `other` as `slot`.
    fn put_back(&mut self, slot: usize, other: &mut Self, from: usize);

    /// Slots that may hold something are below this.
    fn slots(&self) -> usize;

    /// True if [`Self::sweep`] would change something.
    fn is_due(&self, slot: usize, expiry: &Expiry) -> bool;

    /// Removes what has expired, stamps what has no stamp. How many entries the slot had, and has.
    fn sweep(&mut self, slot: usize, expiry: &Expiry) -> Entries;

    /// Writes all that has not expired.
    fn encode(&self, expiry: Option<&Expiry>, into: &mut Encoder) -> Result<(), DatumError>;

    /// Adds to a slot what the store has of it, but for what has expired. `fold`: how values of the store are put together.
    fn take(&mut self, slot: usize, from: Input<'_>, expiry: Option<&Expiry>, fold: &Fold) -> Result<Taken, StateError>;
}

/// What came from the store into a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::state) struct Taken {
    /// Entries in the store and the slot together, and in the slot afterwards.
    pub(super) entries: Entries,
    /// How many more things the slot holds than before: states count once, timers each.
    pub(super) held: usize,
}

impl Taken {
    /// `stored` entries of the store came to `before` in the slot, which has `after` now.
    pub(super) fn of(stored: usize, before: usize, after: usize) -> Self {
        let held = usize::from(after > 0) - usize::from(before > 0 && after > 0);
        Self { entries: Entries { before: stored + before, after }, held }
    }
}

/// How many entries there were, and are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::state) struct Entries {
    pub(super) before: usize,
    pub(super) after: usize,
}

/// See the module.
#[derive(Debug)]
pub(in crate::state) struct Table<C> {
    pub(in crate::state) descriptor: Arc<StateDescriptor>,
    first: u16,
    groups: Vec<Layered<C>>,
    /// Some key group may lie over what a snapshot was reading.
    over: bool,
    /// Set where there is a TTL.
    pub(super) expiry: Option<Expiry>,
    /// Entries of all keys, those in the store included.
    pub(super) entries: usize,
    /// Accesses since the last sweep.
    pub(super) accesses: usize,
    /// Key group and slot where the next sweep begins.
    cursor: (usize, usize),
}

/// Entries that are looked at for each access of a state with TTL (Flink's `cleanupIncrementally(5, false)`).
const SWEPT_PER_ACCESS: usize = 5;
/// Entries that are looked at for each batch.
const SWEPT_PER_BATCH: usize = 16;
/// At most so many at once.
const SWEPT_AT_ONCE: usize = 65_536;
/// About so many slots are taken back at once from what snapshots are done with.
const ABSORBED_AT_ONCE: usize = 4_096;

impl<C: Column> Table<C> {
    pub(in crate::state) fn new(descriptor: Arc<StateDescriptor>, key_groups: KeyGroupRange, times: Times) -> Self {
        let groups = key_groups.as_range().map(|_| Layered::default()).collect();
        let expiry = descriptor.ttl.as_ref().map(|ttl| Expiry::new(ttl, times));
        Self { descriptor, first: key_groups.as_range().start, groups, over: false, expiry, entries: 0, accesses: 0, cursor: (0, 0) }
    }

    /// Entries of all keys, those in the store included; some of them may have expired.
    pub(in crate::state) fn entry_count(&self) -> usize {
        self.entries
    }

    /// What has expired now, where there is a TTL.
    pub(in crate::state) fn expiry(&self) -> Option<Expiry> {
        self.expiry
    }

    /// The column in which a key lies, and its slot there.
    #[inline]
    pub(super) fn read(&self, key: KeyRef) -> (&C, usize) {
        self.groups[key.table as usize].read(key.row as usize)
    }

    /// The same, to be changed.
    #[inline]
    pub(super) fn write(&mut self, key: KeyRef) -> (&mut C, usize) {
        self.groups[key.table as usize].write(key.row as usize)
    }

    /// Slots of all key groups.
    pub(super) fn slots(&self) -> usize {
        self.groups.iter().map(Layered::slots).sum()
    }

    /// Slots that lie in memory twice because a snapshot reads them.
    pub(super) fn copied(&self) -> usize {
        if self.over { self.groups.iter().map(Layered::copied).sum() } else { 0 }
    }

    /// Takes back what snapshots are done with, some of it at a time.
    fn absorb(&mut self) {
        if !self.over {
            return;
        }
        let mut left = ABSORBED_AT_ONCE;
        self.over = false;
        for group in self.groups.iter_mut().filter(|group| group.is_layered()) {
            let copied = group.copied();
            if left > 0 && group.absorb() {
                left = left.saturating_sub(copied);
            } else {
                self.over = true;
            }
        }
    }

    /// Notes that a key had, and has, so many entries.
    #[inline]
    pub(super) fn note(&mut self, keys: &mut KeyTable, key: KeyRef, entries: Entries) {
        let Entries { before, after } = entries;
        self.entries = (self.entries + after).saturating_sub(before);
        match (before, after) {
            (0, 0) => {}
            (0, _) => keys.gained(key),
            (_, 0) => keys.lost(key),
            _ => {}
        }
    }

    /// Time moved on: entries that have expired are looked for, and what snapshots are done with is taken back.
    pub(in crate::state) fn set_time(&mut self, times: Times, keys: &mut KeyTable) {
        self.absorb();
        let Some(ttl) = &self.descriptor.ttl else { return };
        let expiry = Expiry::new(ttl, times);
        self.expiry = Some(expiry);
        let swept = self.accesses.saturating_mul(SWEPT_PER_ACCESS).saturating_add(SWEPT_PER_BATCH).min(SWEPT_AT_ONCE);
        self.accesses = 0;
        self.sweep(swept, &expiry, keys);
    }

    fn sweep(&mut self, slots: usize, expiry: &Expiry, keys: &mut KeyTable) {
        let (mut left, mut empty) = (slots, 0);
        while left > 0 && empty <= self.groups.len() {
            let (group, slot) = self.cursor;
            let Some(column) = self.groups.get_mut(group) else {
                self.cursor = (0, 0);
                empty += 1;
                continue;
            };
            if slot >= column.slots() {
                self.cursor = (group + 1, 0);
                empty += 1;
                continue;
            }
            self.cursor = (group, slot + 1);
            left -= 1;
            let (read, place) = column.read(slot);
            if read.is_due(place, expiry) {
                let (written, place) = column.write(slot);
                let entries = written.sweep(place, expiry);
                let key = KeyRef { table: group as u32, row: slot as u32 };
                keys.changed(key);
                self.note(keys, key, entries);
            }
        }
    }

    /// Takes what the store has of a key. Returns how many more things it holds then.
    pub(super) fn come_up(&mut self, key: KeyRef, from: Input<'_>, fold: &Fold) -> Result<usize, StateError> {
        let expiry = self.expiry;
        let (column, slot) = self.write(key);
        let taken = column.take(slot, from, expiry.as_ref(), fold);
        let Taken { entries: Entries { before, after }, held } = taken.map_err(|e| e.of_state(&self.descriptor.name))?;
        self.entries = (self.entries + after).saturating_sub(before);
        Ok(held)
    }

    /// Freezes one key group.
    pub(super) fn freeze_group(&mut self, table: u32) -> Arc<C> {
        self.over = true;
        self.groups[table as usize].freeze()
    }

    /// Freezes all key groups that may hold something.
    pub(super) fn freeze(&mut self) -> Vec<(KeyGroup, Arc<C>)> {
        self.over = true;
        let first = self.first;
        let groups = self.groups.iter_mut().zip(first..).filter(|(group, _)| group.slots() > 0);
        groups.map(|(group, number)| (KeyGroup(number), group.freeze())).collect()
    }
}
