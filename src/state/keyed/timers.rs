//! Event-time and processing-time timers: at most one for a key, a timestamp and a time domain, fired in the order of their
//! timestamps (Flink: `InternalTimerService`).

use super::fold::Fold;
use super::keys::KeyTable;
use super::snapshot::Encoder;
use super::table::{Column, Entries, Table, Taken};
use super::timer_set::{Timer, TimerSet};
use super::{KeyRef, restore};
use crate::state::bytes::{Input, damaged, put_number, unzigzag, zigzag};
use crate::state::ttl::{Expiry, Stamp, Times, UNSTAMPED};
use crate::state::{StateDescriptor, StateError};
use crate::types::{Datum, DatumError, KeyGroupRange};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// Which clock a timer waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TimeDomain {
    /// The operator's watermark.
    EventTime,
    /// The wall clock.
    ProcessingTime,
}

impl TimeDomain {
    /// How it is saved.
    pub const fn name(self) -> &'static str {
        match self {
            Self::EventTime => "event-time",
            Self::ProcessingTime => "processing-time",
        }
    }

    pub(super) const ALL: [Self; 2] = [Self::EventTime, Self::ProcessingTime];
}

/// The timers of one key group: for each domain, timestamps and slots.
#[derive(Debug, Clone, Default)]
pub(in crate::state) struct TimerSets {
    sets: [TimerSet; 2],
}

impl Column for TimerSets {
    const SHARES: bool = true;

    fn push_copy(&mut self, _other: &Self, _slot: usize) {}

    fn put_back(&mut self, _slot: usize, _other: &mut Self, _from: usize) {}

    fn slots(&self) -> usize {
        self.sets.iter().map(TimerSet::len).sum()
    }

    fn is_due(&self, _slot: usize, _expiry: &Expiry) -> bool {
        false
    }

    fn sweep(&mut self, _slot: usize, _expiry: &Expiry) -> Entries {
        Entries { before: 0, after: 0 }
    }

    fn encode(&self, _expiry: Option<&Expiry>, into: &mut Encoder) -> Result<(), DatumError> {
        for domain in TimeDomain::ALL {
            let name = Datum::from(domain.name());
            for (timestamp, slot) in self.sets[domain as usize].iter() {
                into.row(slot, &[&name, &Datum::Long(timestamp)], UNSTAMPED)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, slot: usize, from: Input<'_>, _expiry: Option<&Expiry>, _fold: &Fold) -> Result<Taken, StateError> {
        let timers = read_timers(from)?;
        let slot = u32::try_from(slot).map_err(|_| damaged())?;
        let mut held = 0;
        for (domain, timestamp) in &timers {
            held += usize::from(self.sets[*domain as usize].insert((*timestamp, slot)));
        }
        Ok(Taken { entries: Entries { before: timers.len(), after: held }, held })
    }
}

impl TimerSets {
    /// All timers by slot.
    pub(super) fn by_slot(&self) -> HashMap<u32, KeyTimers> {
        let mut timers: HashMap<u32, KeyTimers> = HashMap::new();
        for domain in TimeDomain::ALL {
            for (timestamp, slot) in self.sets[domain as usize].iter() {
                timers.entry(slot).or_default().push((domain, timestamp));
            }
        }
        timers
    }
}

/// The timers of one key: by domain, in the order of their timestamps.
pub(super) type KeyTimers = Vec<(TimeDomain, i64)>;

/// Appends the timers of one key as the store has them.
pub(super) fn put_timers(timers: &[(TimeDomain, i64)], out: &mut Vec<u8>) {
    for domain in TimeDomain::ALL {
        let own = || timers.iter().filter(|timer| timer.0 == domain);
        put_number(out, own().count() as u64);
        own().for_each(|(_, timestamp)| put_number(out, zigzag(*timestamp)));
    }
}

fn read_timers(mut from: Input<'_>) -> Result<KeyTimers, StateError> {
    let mut timers = Vec::new();
    for domain in TimeDomain::ALL {
        for _ in 0..from.number()? {
            timers.push((domain, unzigzag(from.number()?)));
        }
    }
    if from.0.is_empty() { Ok(timers) } else { Err(damaged()) }
}

/// All timers of an operator in one subtask.
#[derive(Debug)]
pub(in crate::state) struct Timers {
    table: Table<TimerSets>,
    /// For each domain: the earliest timestamp of each key group that has a timer, and the key group's position.
    heads: [BTreeSet<(i64, u32)>; 2],
}

impl Timers {
    pub(in crate::state) fn new(descriptor: Arc<StateDescriptor>, key_groups: KeyGroupRange, times: Times) -> Self {
        Self { table: Table::new(descriptor, key_groups, times), heads: Default::default() }
    }

    /// The sets of one key group.
    fn sets(&self, table: u32) -> &[TimerSet; 2] {
        &self.table.read(KeyRef { table, row: 0 }).0.sets
    }

    fn sets_mut(&mut self, table: u32) -> &mut [TimerSet; 2] {
        &mut self.table.write(KeyRef { table, row: 0 }).0.sets
    }

    pub(in crate::state) fn descriptor(&self) -> &Arc<StateDescriptor> {
        &self.table.descriptor
    }

    pub(in crate::state) fn snapshot(&mut self, keys: super::keys::FrozenKeys) -> crate::state::StateSnapshot {
        self.table.snapshot(keys)
    }

    /// Sets a timer. Does nothing if it is set already.
    pub(in crate::state) fn register(&mut self, keys: &mut KeyTable, domain: TimeDomain, key: KeyRef, timestamp: i64) {
        let timer = (timestamp, key.row);
        let set = &mut self.sets_mut(key.table)[domain as usize];
        let before = set.first();
        if !set.insert(timer) {
            return;
        }
        self.head(domain, key.table, before, Some(earlier(before, timer)));
        self.table.entries += 1;
        keys.gained(key);
    }

    /// Takes a timer back. Does nothing if there is none.
    pub(in crate::state) fn delete(&mut self, keys: &mut KeyTable, domain: TimeDomain, key: KeyRef, timestamp: i64) {
        self.remove(keys, domain, key, (timestamp, key.row));
    }

    fn remove(&mut self, keys: &mut KeyTable, domain: TimeDomain, key: KeyRef, timer: Timer) {
        let set = &mut self.sets_mut(key.table)[domain as usize];
        let before = set.first();
        if !set.remove(timer) {
            return;
        }
        let after = set.first();
        self.head(domain, key.table, before, after);
        self.table.entries = self.table.entries.saturating_sub(1);
        keys.lost(key);
    }

    fn head(&mut self, domain: TimeDomain, table: u32, before: Option<Timer>, after: Option<Timer>) {
        let heads = &mut self.heads[domain as usize];
        let (before, after) = (before.map(|timer| timer.0), after.map(|timer| timer.0));
        if before != after {
            before.map(|timestamp| heads.remove(&(timestamp, table)));
            after.map(|timestamp| heads.insert((timestamp, table)));
        }
    }

    /// Takes the earliest timer, if that is at or before `up_to`.
    pub(in crate::state) fn next_due(&mut self, keys: &mut KeyTable, domain: TimeDomain, up_to: i64) -> Option<(i64, KeyRef)> {
        let (timestamp, table) = *self.heads[domain as usize].first().filter(|(timestamp, _)| *timestamp <= up_to)?;
        let timer = self.sets(table)[domain as usize].first()?;
        let key = KeyRef { table, row: timer.1 };
        self.remove(keys, domain, key, timer);
        Some((timestamp, key))
    }

    /// The number of timers, those in the store included.
    pub(in crate::state) fn entry_count(&self) -> usize {
        self.table.entries
    }

    /// About the bytes of the timers in memory.
    pub(super) fn bytes(&self) -> usize {
        self.table.slots() * TIMER_BYTES
    }

    /// Takes the timers of these keys out of memory.
    pub(super) fn leave(&mut self, leaving: &[KeyRef]) -> HashMap<KeyRef, KeyTimers> {
        let mut slots: HashMap<u32, HashSet<u32>> = HashMap::new();
        for key in leaving {
            slots.entry(key.table).or_default().insert(key.row);
        }
        let mut timers: HashMap<KeyRef, KeyTimers> = HashMap::new();
        for (table, slots) in slots {
            if self.sets(table).iter().all(TimerSet::is_empty) {
                continue;
            }
            for domain in TimeDomain::ALL {
                let set = &mut self.sets_mut(table)[domain as usize];
                let before = set.first();
                set.retain(|(timestamp, row)| {
                    let leaves = slots.contains(&row);
                    if leaves {
                        timers.entry(KeyRef { table, row }).or_default().push((domain, timestamp));
                    }
                    !leaves
                });
                let after = set.first();
                self.head(domain, table, before, after);
            }
        }
        timers
    }

    /// Takes what the store has of a key. Returns how many timers came with it; those that are set already do not count.
    pub(super) fn come_up(&mut self, key: KeyRef, from: Input<'_>) -> Result<usize, StateError> {
        let timers = read_timers(from)?;
        let mut held = 0;
        for (domain, timestamp) in &timers {
            let set = &mut self.sets_mut(key.table)[*domain as usize];
            let before = set.first();
            held += usize::from(set.insert((*timestamp, key.row)));
            self.head(*domain, key.table, before, Some(earlier(before, (*timestamp, key.row))));
        }
        self.table.entries = (self.table.entries + held).saturating_sub(timers.len());
        Ok(held)
    }

    /// Keys with timers up to `up_to`, each once, at most so many; `is_wanted` chooses among them.
    pub(super) fn due_keys(&self, domain: TimeDomain, up_to: i64, most: usize, is_wanted: impl Fn(KeyRef) -> bool) -> Vec<KeyRef> {
        let mut keys = BTreeSet::new();
        for (_, table) in self.heads[domain as usize].iter().take_while(|(timestamp, _)| *timestamp <= up_to) {
            let set = &self.sets(*table)[domain as usize];
            for (_, row) in set.iter().take_while(|(timestamp, _)| *timestamp <= up_to) {
                if keys.len() == most {
                    break;
                }
                if is_wanted(KeyRef { table: *table, row }) {
                    keys.insert((*table, row));
                }
            }
        }
        keys.into_iter().map(|(table, row)| KeyRef { table, row }).collect()
    }

    /// The key of the earliest timer in memory, if that is due by `up_to`.
    pub(super) fn first_key(&self, domain: TimeDomain, up_to: i64) -> Option<KeyRef> {
        let (_, table) = *self.heads[domain as usize].first().filter(|(timestamp, _)| *timestamp <= up_to)?;
        let (_, row) = self.sets(table)[domain as usize].first()?;
        Some(KeyRef { table, row })
    }

    /// Freezes the timers of one key group.
    pub(super) fn freeze_group(&mut self, table: u32) -> Arc<TimerSets> {
        self.table.freeze_group(table)
    }

    /// When the earliest timer in memory is due.
    pub(in crate::state) fn next(&self, domain: TimeDomain) -> Option<i64> {
        self.heads[domain as usize].first().map(|(timestamp, _)| *timestamp)
    }
}

/// About what a timer takes in its set.
const TIMER_BYTES: usize = 32;

fn earlier(before: Option<Timer>, timer: Timer) -> Timer {
    before.map_or(timer, |before| before.min(timer))
}

impl restore::Load for Timers {
    fn load(&mut self, keys: &mut KeyTable, key: KeyRef, row: &mut [Datum], _stamp: Stamp) -> Result<(), String> {
        let [Datum::Text(name), Datum::Long(timestamp)] = row else { return Err("a timer needs a domain and a timestamp".to_owned()) };
        let known = TimeDomain::ALL.into_iter().find(|domain| domain.name() == &**name);
        let domain = known.ok_or_else(|| format!("{name:?} is no time domain: event-time or processing-time"))?;
        self.register(keys, domain, key, *timestamp);
        Ok(())
    }
}
