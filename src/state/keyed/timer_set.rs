//! Timers of one key group and one time domain, sorted: leaves of some hundred timers. Copies share a leaf until one of them changes it, so
//! that a snapshot of many timers copies next to nothing.

use std::sync::Arc;

/// A timestamp and the slot of a key.
pub(super) type Timer = (i64, u32);

/// See the module.
#[derive(Debug, Clone, Default)]
pub(super) struct TimerSet {
    /// None of them is empty.
    leaves: Vec<Leaf>,
    len: usize,
}

#[derive(Debug, Clone)]
struct Leaf {
    first: Timer,
    timers: Arc<Vec<Timer>>,
}

/// The most timers of a leaf.
const LEAF: usize = 256;

impl Leaf {
    fn new(timers: Vec<Timer>) -> Option<Self> {
        Some(Self { first: *timers.first()?, timers: Arc::new(timers) })
    }

    /// Its timers, to be changed; copied if somebody else reads them.
    fn own(&mut self) -> &mut Vec<Timer> {
        if Arc::get_mut(&mut self.timers).is_none() {
            let mut copy = Vec::with_capacity((self.timers.len() + 1).next_power_of_two());
            copy.extend_from_slice(&self.timers);
            self.timers = Arc::new(copy);
        }
        Arc::make_mut(&mut self.timers)
    }
}

impl TimerSet {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The earliest timer.
    pub(super) fn first(&self) -> Option<Timer> {
        self.leaves.first().map(|leaf| leaf.first)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Timer> + '_ {
        self.leaves.iter().flat_map(|leaf| leaf.timers.iter().copied())
    }

    /// The leaf in which a timer is, or belongs.
    fn leaf_of(&self, timer: Timer) -> usize {
        self.leaves.partition_point(|leaf| leaf.first <= timer).saturating_sub(1)
    }

    /// True if it was not there.
    pub(super) fn insert(&mut self, timer: Timer) -> bool {
        let mut at = self.leaf_of(timer);
        let Some(leaf) = self.leaves.get(at) else {
            self.leaves.extend(Leaf::new(vec![timer]));
            self.len = 1;
            return true;
        };
        let Err(mut place) = leaf.timers.binary_search(&timer) else { return false };
        self.len += 1;
        if leaf.timers.len() >= LEAF {
            if at + 1 == self.leaves.len() && place == LEAF {
                // Later than all others, as most timers are.
                self.leaves.extend(Leaf::new(vec![timer]));
                return true;
            }
            let upper = self.leaves[at].own().split_off(LEAF / 2);
            if let Some(upper) = Leaf::new(upper) {
                self.leaves.insert(at + 1, upper);
            }
            if place > LEAF / 2 {
                (at, place) = (at + 1, place - LEAF / 2);
            }
        }
        let leaf = &mut self.leaves[at];
        leaf.own().insert(place, timer);
        leaf.first = leaf.first.min(timer);
        true
    }

    /// True if it was there.
    pub(super) fn remove(&mut self, timer: Timer) -> bool {
        let at = self.leaf_of(timer);
        let Some(leaf) = self.leaves.get_mut(at) else { return false };
        let Ok(place) = leaf.timers.binary_search(&timer) else { return false };
        self.len -= 1;
        let timers = leaf.own();
        timers.remove(place);
        match timers.first() {
            None => drop(self.leaves.remove(at)),
            Some(first) => {
                leaf.first = *first;
                self.join(at);
            }
        }
        true
    }

    /// Puts a leaf that has become small and the one behind it together, if that leaves some room.
    fn join(&mut self, at: usize) {
        let small = self.leaves[at].timers.len();
        if small > LEAF / 4 || self.leaves.get(at + 1).is_none_or(|next| small + next.timers.len() > LEAF * 3 / 4) {
            return;
        }
        let next = self.leaves.remove(at + 1);
        self.leaves[at].own().extend_from_slice(&next.timers);
    }

    /// Keeps the timers for which `keep` is true.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(Timer) -> bool) {
        let mut len = 0;
        self.leaves.retain_mut(|leaf| {
            let kept: Vec<Timer> = leaf.timers.iter().copied().filter(|timer| keep(*timer)).collect();
            len += kept.len();
            // What did not change stays shared.
            let changed = kept.len() < leaf.timers.len();
            match kept.first() {
                None => return false,
                Some(first) => leaf.first = *first,
            }
            if changed {
                leaf.timers = Arc::new(kept);
            }
            true
        });
        self.len = len;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn timers_that_come_in_order_fill_leaves_and_a_copy_shares_those_that_do_not_change() {
        let mut set = TimerSet::default();
        assert!((0..10 * LEAF as i64).all(|at| set.insert((at, 1))));
        assert_eq!((set.leaves.len(), set.len(), set.first()), (10, 10 * LEAF, Some((0, 1))));
        let copy = set.clone();
        assert!(set.remove((0, 1)) && !set.remove((0, 1)) && !set.insert((5, 1)));
        let shared = set.leaves.iter().zip(&copy.leaves).filter(|(a, b)| Arc::ptr_eq(&a.timers, &b.timers)).count();
        assert_eq!((shared, copy.first(), set.first()), (9, Some((0, 1)), Some((1, 1))));
        assert!((1..10 * LEAF as i64).all(|at| set.remove((at, 1))) && set.is_empty() && set.leaves.is_empty());
        assert_eq!(copy.iter().count(), 10 * LEAF);
    }

    proptest! {
        /// Timers that are set, deleted, fired and kept in copies for a while, in any order, agree with a set.
        #[test]
        fn sets_agree_with_a_set(
            steps in prop::collection::vec((0_u8..10, prop::collection::vec((0_i64..300, 0_u32..8), 1..120)), 1..60),
        ) {
            let mut set = TimerSet::default();
            let mut model: BTreeSet<Timer> = BTreeSet::new();
            let mut copies: Vec<(TimerSet, BTreeSet<Timer>)> = Vec::new();
            for (step, timers) in steps {
                match step {
                    0..=5 => for timer in timers {
                        prop_assert_eq!(set.insert(timer), model.insert(timer));
                    },
                    6 => for timer in timers {
                        prop_assert_eq!(set.remove(timer), model.remove(&timer));
                    },
                    7 => for _ in timers {
                        prop_assert_eq!(set.first(), model.first().copied());
                        if let Some(first) = model.pop_first() {
                            prop_assert!(set.remove(first));
                        }
                    },
                    8 => {
                        let slot = timers[0].1;
                        set.retain(|timer| timer.1 != slot);
                        model.retain(|timer| timer.1 != slot);
                    }
                    _ if copies.len() < 3 => copies.push((set.clone(), model.clone())),
                    _ => copies.clear(),
                }
                for (set, model) in copies.iter().map(|(set, model)| (set, model)).chain([(&set, &model)]) {
                    prop_assert!(set.iter().eq(model.iter().copied()));
                    prop_assert_eq!((set.len(), set.first()), (model.len(), model.first().copied()));
                    prop_assert!(set.leaves.iter().all(|leaf| leaf.timers.first() == Some(&leaf.first) && leaf.timers.len() <= LEAF));
                }
            }
        }
    }
}
