//! How often each value of a group occurs: for DISTINCT, and for MIN and MAX over streams that take rows back.
//!
//! As in Flink, a count may be negative: a value that is taken back before it came. Only values with a positive count are
//! *in* the multiset.

use hashbrown::HashMap;
use hashbrown::hash_map::Entry as HashedEntry;
use imbl::OrdMap;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry as SortedEntry;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

/// Whether the least and the greatest value are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MultisetOrder {
    /// They are.
    Sorted,
    /// They are not: less memory, faster.
    Hashed,
}

/// A multiset of `K`: `i64` (floats in Java's order, see [`crate::state::ordered_of_double`]), `i128` or bytes. The copy of a large one that
/// a snapshot reads costs next to nothing.
#[derive(Clone)]
pub struct Multiset<K> {
    counts: Counts<K>,
    present: i64,
}

impl<K> fmt::Debug for Multiset<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Multiset").field("present", &self.present).finish_non_exhaustive()
    }
}

/// Every value that has a count, which is never zero.
#[derive(Clone)]
enum Counts<K> {
    Sorted(BTreeMap<K, i64>),
    Hashed(HashMap<K, i64>),
    LargeSorted(OrdMap<K, i64>),
    LargeHashed(Shared<K>),
}

/// More values make a multiset large.
const SMALL: usize = 32;

/// A large map, which copies share as long as there are several; what changes meanwhile lies over it.
#[derive(Clone)]
struct Shared<K> {
    below: Arc<HashMap<K, i64>>,
    /// Counts that differ, zeroes included.
    over: Option<Box<HashMap<K, i64>>>,
    /// Values that have a count.
    len: usize,
}

impl<K: Hash + Eq + Clone> Shared<K> {
    fn new(counts: HashMap<K, i64>) -> Self {
        Self { len: counts.len(), below: Arc::new(counts), over: None }
    }

    /// Gives a value the count that `count` makes of the one that it has. Returns both.
    fn update(&mut self, value: K, count: impl FnOnce(i64) -> i64) -> (i64, i64) {
        let (before, after) = if let Some(below) = Arc::get_mut(&mut self.below) {
            for (value, count) in self.over.take().into_iter().flat_map(|over| *over) {
                update(below.entry(value), |_| count);
            }
            update(below.entry(value), count)
        } else {
            let below = self.below.get(&value).copied().unwrap_or(0);
            let slot = self.over.get_or_insert_default().entry(value).or_insert(below);
            let before = *slot;
            *slot = count(before);
            (before, *slot)
        };
        self.len = self.len + usize::from(after != 0) - usize::from(before != 0);
        (before, after)
    }

    fn iter(&self) -> impl Iterator<Item = (&K, i64)> {
        let over = self.over.as_deref();
        let below = self.below.iter().filter(move |(value, _)| over.is_none_or(|over| !over.contains_key(*value)));
        let counts = below.chain(over.into_iter().flatten()).map(|(value, count)| (value, *count));
        counts.filter(|(_, count)| *count != 0)
    }
}

/// Gives a value the count that `count` makes of the one that it has. Returns both.
fn update<K: Hash>(entry: HashedEntry<'_, K, i64, hashbrown::DefaultHashBuilder>, count: impl FnOnce(i64) -> i64) -> (i64, i64) {
    match entry {
        HashedEntry::Occupied(mut entry) => {
            let before = *entry.get();
            let after = count(before);
            if after == 0 {
                entry.remove();
            } else {
                *entry.get_mut() = after;
            }
            (before, after)
        }
        HashedEntry::Vacant(entry) => {
            let after = count(0);
            if after != 0 {
                entry.insert(after);
            }
            (0, after)
        }
    }
}

impl<K: Ord + Hash + Clone> Multiset<K> {
    /// An empty one. Allocates nothing.
    pub fn new(order: MultisetOrder) -> Self {
        let counts = match order {
            MultisetOrder::Sorted => Counts::Sorted(BTreeMap::new()),
            MultisetOrder::Hashed => Counts::Hashed(HashMap::new()),
        };
        Self { counts, present: 0 }
    }

    /// Changes the count of `value` by `change`, which is 1 or -1. Returns the change of the number of distinct values.
    pub fn change(&mut self, value: K, change: i64) -> i64 {
        self.update(value, |count| count + change)
    }

    /// Sets the count of `value`; for restoring.
    pub(super) fn set(&mut self, value: K, count: i64) {
        self.update(value, |_| count);
    }

    fn update(&mut self, value: K, count: impl FnOnce(i64) -> i64) -> i64 {
        let (before, after) = match &mut self.counts {
            Counts::Hashed(map) => update(map.entry(value), count),
            Counts::LargeHashed(map) => map.update(value, count),
            Counts::Sorted(map) => match map.entry(value) {
                SortedEntry::Occupied(mut entry) => {
                    let before = *entry.get();
                    let after = count(before);
                    if after == 0 {
                        entry.remove();
                    } else {
                        *entry.get_mut() = after;
                    }
                    (before, after)
                }
                SortedEntry::Vacant(entry) => {
                    let after = count(0);
                    if after != 0 {
                        entry.insert(after);
                    }
                    (0, after)
                }
            },
            Counts::LargeSorted(map) => {
                let before = map.get(&value).copied().unwrap_or(0);
                let after = count(before);
                if after == 0 {
                    map.remove(&value);
                } else {
                    map.insert(value, after);
                }
                (before, after)
            }
        };
        if before == 0 {
            self.grow();
        }
        let distinct = i64::from(after > 0) - i64::from(before > 0);
        self.present += distinct;
        distinct
    }

    /// A value came.
    fn grow(&mut self) {
        match &mut self.counts {
            Counts::Hashed(map) if map.len() > SMALL => self.counts = Counts::LargeHashed(Shared::new(std::mem::take(map))),
            Counts::Sorted(map) if map.len() > SMALL => {
                self.counts = Counts::LargeSorted(std::mem::take(map).into_iter().collect());
            }
            _ => {}
        }
    }

    /// The number of distinct values in it.
    pub const fn distinct(&self) -> i64 {
        self.present
    }

    /// The least value in it; always none if it is not sorted.
    pub fn min(&self) -> Option<&K> {
        match &self.counts {
            Counts::Sorted(map) => map.iter().find(|(_, count)| **count > 0).map(|(value, _)| value),
            Counts::LargeSorted(map) => map.iter().find(|(_, count)| **count > 0).map(|(value, _)| value),
            Counts::Hashed(_) | Counts::LargeHashed(_) => None,
        }
    }

    /// The greatest value in it; always none if it is not sorted.
    pub fn max(&self) -> Option<&K> {
        match &self.counts {
            Counts::Sorted(map) => map.iter().rev().find(|(_, count)| **count > 0).map(|(value, _)| value),
            Counts::LargeSorted(map) => map.iter().rev().find(|(_, count)| **count > 0).map(|(value, _)| value),
            Counts::Hashed(_) | Counts::LargeHashed(_) => None,
        }
    }

    /// The number of values that have a count.
    pub(super) fn len(&self) -> usize {
        match &self.counts {
            Counts::Sorted(map) => map.len(),
            Counts::Hashed(map) => map.len(),
            Counts::LargeSorted(map) => map.len(),
            Counts::LargeHashed(map) => map.len,
        }
    }

    /// One of those values.
    pub(super) fn any(&self) -> Option<&K> {
        match &self.counts {
            Counts::Sorted(map) => map.keys().next(),
            Counts::Hashed(map) => map.keys().next(),
            Counts::LargeSorted(map) => map.keys().next(),
            Counts::LargeHashed(map) => map.iter().next().map(|(value, _)| value),
        }
    }

    /// Takes everything out.
    pub fn clear(&mut self) {
        self.present = 0;
        match &mut self.counts {
            Counts::Sorted(map) => map.clear(),
            Counts::LargeSorted(_) => self.counts = Counts::Sorted(BTreeMap::new()),
            // A large table that was emptied would stay large.
            Counts::Hashed(_) | Counts::LargeHashed(_) => self.counts = Counts::Hashed(HashMap::new()),
        }
    }

    /// All values and counts in the order of the values.
    pub(super) fn sorted(&self) -> Vec<(&K, i64)> {
        let mut entries: Vec<(&K, i64)> = match &self.counts {
            Counts::Sorted(map) => return map.iter().map(|(value, count)| (value, *count)).collect(),
            Counts::LargeSorted(map) => return map.iter().map(|(value, count)| (value, *count)).collect(),
            Counts::Hashed(map) => map.iter().map(|(value, count)| (value, *count)).collect(),
            Counts::LargeHashed(map) => map.iter().collect(),
        };
        entries.sort_unstable_by(|a, b| a.0.cmp(b.0));
        entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_value_taken_back_before_it_came_is_not_in_the_multiset_and_neither_is_its_successor() {
        for order in [MultisetOrder::Sorted, MultisetOrder::Hashed] {
            let mut set = Multiset::new(order);
            assert_eq!([set.change(5, -1), set.change(7, 1), set.change(7, 1), set.change(5, 1)], [0, 1, 0, 0]);
            assert_eq!(set.sorted(), [(&7, 2)]);
            assert_eq!((set.change(5, 1), set.change(7, -1), set.change(7, -1), set.distinct()), (1, 0, -1, 1));
        }
    }

    #[test]
    fn least_and_greatest_skip_what_is_owed() {
        let mut set = Multiset::new(MultisetOrder::Sorted);
        for (value, change) in [(1, -1), (2, 1), (3, 1), (4, -1)] {
            set.change(value, change);
        }
        assert_eq!((set.min(), set.max()), (Some(&2), Some(&3)));
        set.clear();
        assert_eq!((set.min(), set.distinct()), (None, 0));
    }

    proptest! {
        /// Changes and copies that are kept for a while, of small and of large ones: all agree with a map.
        #[test]
        fn multisets_and_their_copies_agree_with_a_map(
            sorted in any::<bool>(),
            steps in prop::collection::vec((0_u8..20, 0_i64..90), 1..600),
        ) {
            let mut set = Multiset::new(if sorted { MultisetOrder::Sorted } else { MultisetOrder::Hashed });
            let mut model: BTreeMap<i64, i64> = BTreeMap::new();
            let mut copies: Vec<(Multiset<i64>, BTreeMap<i64, i64>)> = Vec::new();
            for (step, value) in steps {
                match step {
                    0..=16 => {
                        let change = if step < 12 { 1 } else { -1 };
                        let count = model.entry(value).or_insert(0);
                        let before = *count;
                        *count += change;
                        let distinct = i64::from(*count > 0) - i64::from(before > 0);
                        prop_assert_eq!(set.change(value, change), distinct);
                    }
                    17 => copies.push((set.clone(), model.clone())),
                    _ => drop(copies.pop()),
                }
                model.retain(|_, count| *count != 0);
                for (set, model) in copies.iter().map(|(set, model)| (set, model)).chain([(&set, &model)]) {
                    let present = || model.iter().filter(|(_, count)| **count > 0).map(|(value, _)| value);
                    prop_assert_eq!(set.sorted(), model.iter().map(|(value, count)| (value, *count)).collect::<Vec<_>>());
                    prop_assert_eq!((set.len(), set.distinct()), (model.len(), present().count() as i64));
                    let ends = if sorted { (present().min(), present().max()) } else { (None, None) };
                    prop_assert_eq!((set.min(), set.max()), ends);
                    prop_assert_eq!(set.any().is_some(), !model.is_empty());
                }
            }
        }
    }
}
