//! The map of one key, sorted by its keys. A small one lies in a vector: most maps are, and a tree's node would be many times larger. A
//! large one is a tree that shares with its copies what they have in common, so that a snapshot of it copies nothing.

use crate::state::ttl::{Expiry, Stamp, UNSTAMPED};
use crate::types::Datum;
use imbl::{OrdMap, ordmap};
use std::slice;

/// The value of an entry.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) value: Datum,
    pub(super) stamp: Stamp,
}

impl Entry {
    fn is_due(&self, expiry: &Expiry) -> bool {
        expiry.is_expired(self.stamp) || self.stamp == UNSTAMPED && expiry.stamp != UNSTAMPED
    }
}

/// See the module.
#[derive(Debug, Clone)]
pub(super) enum EntryMap {
    Small(Vec<(Datum, Entry)>),
    Large(Box<Large>),
}

/// A map with many entries.
#[derive(Debug, Clone)]
pub(super) struct Large {
    entries: OrdMap<Datum, Entry>,
    /// No entry has a stamp before this.
    earliest: Stamp,
    /// Where looking for what has expired goes on, and the earliest stamp that was met on the way there.
    sweep: (Option<Datum>, Stamp),
}

/// More entries make a map large; of a large one this many times fewer make it small again.
const SMALL: usize = 32;
const HYSTERESIS: usize = 4;
/// So many entries of a large map are looked at in one sweep.
const SWEPT_AT_ONCE: usize = 1_024;

impl Default for EntryMap {
    fn default() -> Self {
        Self::Small(Vec::new())
    }
}

/// Where an entry is, or belongs.
fn place(entries: &[(Datum, Entry)], key: &Datum) -> Result<usize, usize> {
    entries.binary_search_by(|(other, _)| other.cmp(key))
}

impl EntryMap {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Small(entries) => entries.len(),
            Self::Large(large) => large.entries.len(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn get(&self, key: &Datum) -> Option<&Entry> {
        match self {
            Self::Small(entries) => place(entries, key).ok().map(|at| &entries[at].1),
            Self::Large(large) => large.entries.get(key),
        }
    }

    /// Sets an entry; what it was.
    pub(super) fn insert(&mut self, key: Datum, entry: Entry) -> Option<Entry> {
        match self {
            Self::Small(entries) => match place(entries, &key) {
                Ok(at) => Some(std::mem::replace(&mut entries[at].1, entry)),
                Err(at) => {
                    if entries.len() < SMALL {
                        // One at a time as long as there are few: most maps have one.
                        entries.reserve_exact(if entries.len() < entries.capacity() { 0 } else { entries.len().max(1) });
                        entries.insert(at, (key, entry));
                    } else {
                        *self = Self::large(std::mem::take(entries));
                        self.insert(key, entry);
                    }
                    None
                }
            },
            Self::Large(large) => {
                large.note(entry.stamp);
                large.entries.insert(key, entry)
            }
        }
    }

    fn large(entries: Vec<(Datum, Entry)>) -> Self {
        let entries: OrdMap<Datum, Entry> = entries.into_iter().collect();
        Self::Large(Box::new(Large { entries, earliest: Stamp::MIN, sweep: (None, Stamp::MAX) }))
    }

    pub(super) fn remove(&mut self, key: &Datum) -> Option<Entry> {
        match self {
            Self::Small(entries) => place(entries, key).ok().map(|at| entries.remove(at).1),
            Self::Large(large) => {
                let removed = large.entries.remove(key);
                self.shrink();
                removed
            }
        }
    }

    fn shrink(&mut self) {
        if let Self::Large(large) = self
            && large.entries.len() <= SMALL / HYSTERESIS
        {
            *self = Self::Small(std::mem::take(&mut large.entries).into_iter().collect());
        }
    }

    /// Gives an entry another stamp.
    pub(super) fn restamp(&mut self, key: &Datum, stamp: Stamp) {
        match self {
            Self::Small(entries) => {
                if let Ok(at) = place(entries, key) {
                    entries[at].1.stamp = stamp;
                }
            }
            Self::Large(large) => large.restamp(key, stamp),
        }
    }

    /// All entries, sorted by key.
    pub(super) fn iter(&self) -> EntryIter<'_> {
        match self {
            Self::Small(entries) => EntryIter::Small(entries.iter()),
            Self::Large(large) => EntryIter::Large(large.entries.iter()),
        }
    }

    /// The first entry and the last one.
    pub(super) fn ends(&self) -> impl Iterator<Item = (&Datum, &Entry)> {
        let (first, last) = match self {
            Self::Small(entries) => (entries.first(), entries.last()),
            Self::Large(large) => (large.entries.get_min(), large.entries.get_max()),
        };
        first.into_iter().chain(last).map(|(key, entry)| (key, entry))
    }

    /// True if there may be an entry that has expired, or has no stamp yet.
    pub(super) fn is_due(&self, expiry: &Expiry) -> bool {
        match self {
            Self::Small(entries) => entries.iter().any(|(_, entry)| entry.is_due(expiry)),
            Self::Large(large) => expiry.is_expired(large.earliest) || large.earliest == Stamp::MIN,
        }
    }

    /// Removes what has expired, and stamps what has no stamp: of a large map some of it, and the rest the next times.
    pub(super) fn sweep(&mut self, expiry: &Expiry) {
        match self {
            Self::Small(_) => self.refresh(expiry, false),
            Self::Large(large) => {
                large.sweep(expiry);
                self.shrink();
            }
        }
    }

    /// Without what has expired; what has no stamp, or all if `all`, gets the present one.
    pub(super) fn refresh(&mut self, expiry: &Expiry, all: bool) {
        match self {
            Self::Small(entries) => {
                entries.retain(|(_, entry)| !expiry.is_expired(entry.stamp));
                for (_, entry) in entries.iter_mut().filter(|(_, entry)| all || entry.stamp == UNSTAMPED) {
                    entry.stamp = expiry.stamp;
                }
            }
            Self::Large(large) => {
                let changes = |(key, entry): (&Datum, &Entry)| (all || entry.is_due(expiry)).then(|| key.clone());
                let changing: Vec<Datum> = large.entries.iter().filter_map(changes).collect();
                large.renew(changing, expiry);
                self.shrink();
            }
        }
    }
}

impl Large {
    /// An entry with this stamp comes in.
    fn note(&mut self, stamp: Stamp) {
        // Unstamped ones are looked for as if they were due.
        let stamp = if stamp == UNSTAMPED { Stamp::MIN } else { stamp };
        (self.earliest, self.sweep.1) = (self.earliest.min(stamp), self.sweep.1.min(stamp));
    }

    fn restamp(&mut self, key: &Datum, stamp: Stamp) {
        self.note(stamp);
        if let Some(entry) = self.entries.get_mut(key) {
            entry.stamp = stamp;
        }
    }

    fn sweep(&mut self, expiry: &Expiry) {
        let (from, met) = std::mem::replace(&mut self.sweep, (None, Stamp::MAX));
        let (mut due, mut looked_at, mut earliest, mut next) = (Vec::new(), 0, met, None);
        let rest = match &from {
            Some(from) => self.entries.range::<_, Datum>(from..),
            None => self.entries.range::<_, Datum>(..),
        };
        for (key, entry) in rest {
            if looked_at == SWEPT_AT_ONCE {
                next = Some(key.clone());
                break;
            }
            looked_at += 1;
            if entry.is_due(expiry) {
                due.push(key.clone());
            } else {
                earliest = earliest.min(if entry.stamp == UNSTAMPED { Stamp::MIN } else { entry.stamp });
            }
        }
        if next.is_none() {
            self.earliest = earliest;
            earliest = Stamp::MAX;
        }
        self.sweep = (next, earliest);
        self.renew(due, expiry);
    }

    fn renew(&mut self, keys: Vec<Datum>, expiry: &Expiry) {
        for key in keys {
            if self.entries.get(&key).is_some_and(|entry| expiry.is_expired(entry.stamp)) {
                self.entries.remove(&key);
            } else {
                self.restamp(&key, expiry.stamp);
            }
        }
    }
}

/// The entries of a map, sorted by key.
#[derive(Clone)]
pub(super) enum EntryIter<'a> {
    Small(slice::Iter<'a, (Datum, Entry)>),
    Large(ordmap::Iter<'a, Datum, Entry, imbl::shared_ptr::DefaultSharedPtr>),
}

impl<'a> Iterator for EntryIter<'a> {
    type Item = (&'a Datum, &'a Entry);

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Small(entries) => entries.next().map(|(key, entry)| (key, entry)),
            Self::Large(entries) => entries.next(),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match self {
            Self::Small(entries) => entries.size_hint(),
            Self::Large(entries) => entries.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::StateTtl;
    use crate::state::ttl::Times;
    use crate::types::{EventTime, WallTime};
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::time::Duration;

    const TTL: i64 = 1_000;

    fn at(now: i64) -> Expiry {
        let ttl = StateTtl::new(Duration::from_millis(TTL as u64));
        Expiry::new(&ttl, Times { now: WallTime(now), watermark: EventTime::MIN })
    }

    fn entry(value: i64, stamp: Stamp) -> Entry {
        Entry { value: Datum::Long(value), stamp }
    }

    #[test]
    fn a_large_map_is_swept_a_part_at_a_time_and_not_at_all_while_nothing_is_due() {
        let mut map = EntryMap::default();
        (0..10_000).for_each(|key| drop(map.insert(Datum::Long(key), entry(key, at(key / 10).stamp))));
        assert!(map.is_due(&at(0)), "nobody has looked yet");
        (0..10).for_each(|_| map.sweep(&at(0)));
        assert_eq!((map.len(), map.is_due(&at(TTL - 1)), map.is_due(&at(TTL))), (10_000, false, true));
        map.sweep(&at(TTL + 499));
        assert_eq!(map.len(), 10_000 - SWEPT_AT_ONCE);
        (0..9).for_each(|_| map.sweep(&at(TTL + 499)));
        assert_eq!((map.len(), map.is_due(&at(TTL + 499)), map.is_due(&at(TTL + 500))), (5_000, false, true));
        (0..10).for_each(|_| map.sweep(&at(TTL + 2_000)));
        assert!(map.is_empty() && matches!(map, EntryMap::Small(_)));
    }

    #[test]
    fn entries_without_a_stamp_get_one() {
        for entries in [3, 3_000] {
            let mut map = EntryMap::default();
            (0..entries).for_each(|key| drop(map.insert(Datum::Long(key), entry(key, UNSTAMPED))));
            assert!(map.is_due(&at(0)));
            (0..9).for_each(|_| map.sweep(&at(0)));
            assert!(map.iter().all(|(_, entry)| entry.stamp == TTL) && map.iter().count() == entries as usize);
        }
    }

    proptest! {
        /// Both forms of the map, and the way from one to the other, agree with a map.
        #[test]
        fn maps_agree_with_a_map(steps in prop::collection::vec((0_u8..12, 0_i64..90), 1..400)) {
            let mut map = EntryMap::default();
            let mut model: BTreeMap<i64, (i64, Stamp)> = BTreeMap::new();
            for (at_step, (step, key)) in (1_i64..).zip(steps) {
                let (now, datum) = (at(at_step * 10), Datum::Long(key));
                match step {
                    0..=6 => {
                        let before = map.insert(datum, entry(at_step, now.stamp)).map(|entry| entry.value);
                        prop_assert_eq!(before, model.insert(key, (at_step, now.stamp)).map(|(value, _)| Datum::Long(value)));
                    }
                    7..=9 => prop_assert_eq!(map.remove(&datum).is_some(), model.remove(&key).is_some()),
                    10 => {
                        map.refresh(&now, key % 2 == 0);
                        model.retain(|_, (_, stamp)| !now.is_expired(*stamp));
                        model.values_mut().filter(|_| key % 2 == 0).for_each(|(_, stamp)| *stamp = now.stamp);
                    }
                    _ => {
                        map.sweep(&now);
                        model.retain(|_, (_, stamp)| !now.is_expired(*stamp));
                    }
                }
                let entries: Vec<(Datum, Datum, Stamp)> = map.iter().map(|(key, e)| (key.clone(), e.value.clone(), e.stamp)).collect();
                let expected: Vec<(Datum, Datum, Stamp)> =
                    model.iter().map(|(key, (value, stamp))| (Datum::Long(*key), Datum::Long(*value), *stamp)).collect();
                prop_assert_eq!(entries, expected);
                prop_assert_eq!(map.len(), model.len());
                prop_assert_eq!(map.ends().map(|(key, _)| key.as_long()).next(), model.keys().next().map(|key| Some(*key)));
            }
        }
    }
}
