//! Event-time and processing-time timers: at most one for a key, a timestamp and a time domain, fired in the order of their
//! timestamps (Flink: `InternalTimerService`).

use super::keys::KeyTable;
use super::snapshot::Encoder;
use super::table::{Column, Table};
use super::{KeyRef, restore};
use crate::state::StateDescriptor;
use crate::state::ttl::{Expiry, Stamp, Times, UNSTAMPED};
use crate::types::{Datum, DatumError, KeyGroupRange};
use std::collections::BTreeSet;
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

    const ALL: [Self; 2] = [Self::EventTime, Self::ProcessingTime];
}

/// The timers of one key group: for each domain, timestamps and slots.
#[derive(Debug, Clone, Default)]
struct TimerSets {
    sets: [BTreeSet<(i64, u32)>; 2],
}

impl Column for TimerSets {
    fn slots(&self) -> usize {
        self.sets.iter().map(BTreeSet::len).sum()
    }

    fn is_due(&self, _slot: usize, _expiry: &Expiry) -> bool {
        false
    }

    fn sweep(&mut self, _slot: usize, _expiry: &Expiry) -> bool {
        false
    }

    fn encode(&self, _expiry: Option<&Expiry>, into: &mut Encoder) -> Result<(), DatumError> {
        for domain in TimeDomain::ALL {
            let name = Datum::from(domain.name());
            for (timestamp, slot) in &self.sets[domain as usize] {
                into.row(*slot, &[&name, &Datum::Long(*timestamp)], UNSTAMPED)?;
            }
        }
        Ok(())
    }
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

    pub(in crate::state) fn descriptor(&self) -> &Arc<StateDescriptor> {
        &self.table.descriptor
    }

    pub(in crate::state) fn snapshot(&mut self, keys: super::keys::FrozenKeys) -> crate::state::StateSnapshot {
        self.table.snapshot(keys)
    }

    /// Sets a timer. Does nothing if it is set already.
    pub(in crate::state) fn register(&mut self, keys: &mut KeyTable, domain: TimeDomain, key: KeyRef, timestamp: i64) {
        let timer = (timestamp, key.row);
        if self.table.read(key).sets[domain as usize].contains(&timer) {
            return;
        }
        let set = &mut self.table.write(key).sets[domain as usize];
        let before = set.first().copied();
        set.insert(timer);
        self.head(domain, key.table, before, Some(earlier(before, timer)));
        keys.gained(key);
    }

    /// Takes a timer back. Does nothing if there is none.
    pub(in crate::state) fn delete(&mut self, keys: &mut KeyTable, domain: TimeDomain, key: KeyRef, timestamp: i64) {
        let timer = (timestamp, key.row);
        if self.table.read(key).sets[domain as usize].contains(&timer) {
            self.remove(keys, domain, key, timer);
        }
    }

    fn remove(&mut self, keys: &mut KeyTable, domain: TimeDomain, key: KeyRef, timer: (i64, u32)) {
        let set = &mut self.table.write(key).sets[domain as usize];
        let before = set.first().copied();
        set.remove(&timer);
        let after = set.first().copied();
        self.head(domain, key.table, before, after);
        keys.lost(key);
    }

    fn head(&mut self, domain: TimeDomain, table: u32, before: Option<(i64, u32)>, after: Option<(i64, u32)>) {
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
        let timer = *self.table.read(KeyRef { table, row: 0 }).sets[domain as usize].first()?;
        let key = KeyRef { table, row: timer.1 };
        self.remove(keys, domain, key, timer);
        Some((timestamp, key))
    }

    /// When the earliest timer is due.
    pub(in crate::state) fn next(&self, domain: TimeDomain) -> Option<i64> {
        self.heads[domain as usize].first().map(|(timestamp, _)| *timestamp)
    }
}

fn earlier(before: Option<(i64, u32)>, timer: (i64, u32)) -> (i64, u32) {
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
