//! How often each value of a group occurs: for DISTINCT, and for MIN and MAX over streams that take rows back.
//!
//! As in Flink, a count may be negative: a value that is taken back before it came. Only values with a positive count are
//! *in* the multiset.

use hashbrown::HashMap;
use std::collections::BTreeMap;
use std::hash::Hash;

/// Whether the least and the greatest value are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MultisetOrder {
    /// They are.
    Sorted,
    /// They are not: less memory, faster.
    Hashed,
}

/// A multiset of `K`: `i64` (floats in Java's order, see [`crate::state::ordered_of_double`]), `i128` or bytes.
#[derive(Debug, Clone)]
pub struct Multiset<K> {
    counts: Counts<K>,
    present: i64,
}

#[derive(Debug, Clone)]
enum Counts<K> {
    Sorted(BTreeMap<K, i64>),
    Hashed(HashMap<K, i64>),
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
        use hashbrown::hash_map::Entry as Hashed;
        use std::collections::btree_map::Entry as Sorted;
        let count = match &mut self.counts {
            Counts::Sorted(map) => match map.entry(value) {
                Sorted::Occupied(mut entry) => {
                    *entry.get_mut() += change;
                    let count = *entry.get();
                    if count == 0 {
                        entry.remove();
                    }
                    count
                }
                Sorted::Vacant(entry) => *entry.insert(change),
            },
            Counts::Hashed(map) => match map.entry(value) {
                Hashed::Occupied(mut entry) => {
                    *entry.get_mut() += change;
                    let count = *entry.get();
                    if count == 0 {
                        entry.remove();
                    }
                    count
                }
                Hashed::Vacant(entry) => *entry.insert(change),
            },
        };
        let distinct = i64::from(count > 0) - i64::from(count - change > 0);
        self.present += distinct;
        distinct
    }

    /// Sets the count of `value`; for restoring.
    pub(super) fn set(&mut self, value: K, count: i64) {
        let before = match &mut self.counts {
            Counts::Sorted(map) => map.insert(value, count),
            Counts::Hashed(map) => map.insert(value, count),
        };
        self.present += i64::from(count > 0) - i64::from(before.is_some_and(|before| before > 0));
    }

    /// The number of distinct values in it.
    pub const fn distinct(&self) -> i64 {
        self.present
    }

    /// The least value in it; always none if it is not sorted.
    pub fn min(&self) -> Option<&K> {
        match &self.counts {
            Counts::Sorted(map) => map.iter().find(|(_, count)| **count > 0).map(|(value, _)| value),
            Counts::Hashed(_) => None,
        }
    }

    /// The greatest value in it; always none if it is not sorted.
    pub fn max(&self) -> Option<&K> {
        match &self.counts {
            Counts::Sorted(map) => map.iter().rev().find(|(_, count)| **count > 0).map(|(value, _)| value),
            Counts::Hashed(_) => None,
        }
    }

    /// The number of values that have a count.
    pub(super) fn len(&self) -> usize {
        match &self.counts {
            Counts::Sorted(map) => map.len(),
            Counts::Hashed(map) => map.len(),
        }
    }

    /// One of those values.
    pub(super) fn any(&self) -> Option<&K> {
        match &self.counts {
            Counts::Sorted(map) => map.keys().next(),
            Counts::Hashed(map) => map.keys().next(),
        }
    }

    /// Takes everything out.
    pub fn clear(&mut self) {
        self.present = 0;
        match &mut self.counts {
            Counts::Sorted(map) => map.clear(),
            // A large table that was emptied would stay large.
            Counts::Hashed(map) => *map = HashMap::new(),
        }
    }

    /// All values and counts in the order of the values.
    pub(super) fn sorted(&self) -> Vec<(&K, i64)> {
        match &self.counts {
            Counts::Sorted(map) => map.iter().map(|(value, count)| (value, *count)).collect(),
            Counts::Hashed(map) => {
                let mut entries: Vec<(&K, i64)> = map.iter().map(|(value, count)| (value, *count)).collect();
                entries.sort_unstable_by(|a, b| a.0.cmp(b.0));
                entries
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
