//! The hash index of one key group: from 32 bits of a key's hash to the row of its group.
//!
//! Open addressing with linear probing over one `u64` a slot: the hash bits above, the row number plus one below, zero for an
//! empty slot. Eight slots share a cache line, so that a look-up costs one cache miss here and one in the rows. The key group
//! is taken from the hash's upper half, the place in the index from its lower half.

use std::hint::select_unpredictable;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// Length: zero or a power of two.
    slots: Vec<u64>,
    used: usize,
}

const SMALLEST: usize = 8;

#[inline]
const fn slot_of(hash: u64, row: u32) -> u64 {
    (hash << 32) | (row as u64 + 1)
}

#[inline]
const fn row_of(slot: u64) -> u32 {
    (slot as u32).wrapping_sub(1)
}

/// True if the slot is in use and has the bits of this hash.
#[inline]
const fn is_under(slot: u64, hash: u64) -> bool {
    (slot ^ (hash << 32)).wrapping_sub(1) < u32::MAX as u64
}

impl Index {
    /// Bytes that it needs.
    pub(super) fn bytes(&self) -> usize {
        self.used * 3 * size_of::<u64>()
    }

    #[inline]
    fn home(&self, hash: u64) -> usize {
        hash as u32 as usize & self.slots.len().wrapping_sub(1)
    }

    /// The row in one of the first four slots where this hash can be, if one of them has the same hash bits: the usual case of a
    /// hit, without a loop and without a branch on what was loaded. A branch that is guessed wrong waits for the cache miss and
    /// keeps the look-ups of the rows behind it from starting.
    #[inline]
    pub(super) fn guess(&self, hash: u64) -> Option<u32> {
        let home = self.home(hash);
        let [first, second, third, fourth] = *self.slots.get(home..home.wrapping_add(4))? else { return None };
        let later = select_unpredictable(is_under(third, hash), third, fourth);
        let later = select_unpredictable(is_under(second, hash), second, later);
        let chosen = select_unpredictable(is_under(first, hash), first, later);
        is_under(chosen, hash).then(|| row_of(chosen))
    }

    /// The first row under this hash for which `is_key` holds.
    #[inline]
    pub(super) fn find(&self, hash: u64, mut is_key: impl FnMut(u32) -> bool) -> Option<u32> {
        if self.slots.is_empty() {
            return None;
        }
        let mask = self.slots.len() - 1;
        let mut at = self.home(hash);
        loop {
            let slot = self.slots[at];
            if slot == 0 {
                return None;
            }
            if slot >> 32 == u64::from(hash as u32) && is_key(row_of(slot)) {
                return Some(row_of(slot));
            }
            at = (at + 1) & mask;
        }
    }

    /// Adds a row that [`Self::find`] did not find. `row` is below `u32::MAX`.
    pub(super) fn insert(&mut self, hash: u64, row: u32) {
        // Half full at most: then five of six look-ups end at the first slot.
        if (self.used + 1) * 2 > self.slots.len() {
            self.grow();
        }
        self.used += 1;
        place(&mut self.slots, slot_of(hash, row));
    }

    fn grow(&mut self) {
        let mut slots = vec![0; (self.slots.len() * 2).max(SMALLEST)];
        for slot in self.slots.iter().filter(|slot| **slot != 0) {
            place(&mut slots, *slot);
        }
        self.slots = slots;
    }

    /// Takes a row out; does nothing if it is not in.
    pub(super) fn remove(&mut self, hash: u64, row: u32) {
        if self.slots.is_empty() {
            return;
        }
        let mask = self.slots.len() - 1;
        let wanted = slot_of(hash, row);
        let mut hole = self.home(hash);
        while self.slots[hole] != wanted {
            if self.slots[hole] == 0 {
                return;
            }
            hole = (hole + 1) & mask;
        }
        self.used -= 1;
        // Slots behind the hole move up unless that would put one before its home.
        let mut next = (hole + 1) & mask;
        while self.slots[next] != 0 {
            let home = self.home(self.slots[next] >> 32);
            if next.wrapping_sub(home) & mask >= next.wrapping_sub(hole) & mask {
                self.slots[hole] = self.slots[next];
                hole = next;
            }
            next = (next + 1) & mask;
        }
        self.slots[hole] = 0;
    }
}

fn place(slots: &mut [u64], slot: u64) {
    let mask = slots.len() - 1;
    let mut at = (slot >> 32) as usize & mask;
    while slots[at] != 0 {
        at = (at + 1) & mask;
    }
    slots[at] = slot;
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        #[test]
        fn the_index_agrees_with_a_map_over_inserts_and_removes(steps in prop::collection::vec((any::<bool>(), 0_u64..40), 1..400)) {
            let mut index = Index::default();
            let mut model: HashMap<u64, u32> = HashMap::new();
            let mut keys: Vec<u64> = Vec::new();
            for (insert, key) in steps {
                // Few different hashes, so that slots collide and runs wrap around.
                let hash = (key % 5) * 7 + (key << 32);
                let found = index.find(hash, |row| keys[row as usize] == key);
                prop_assert_eq!(found, model.get(&key).copied());
                match (insert, found) {
                    (true, None) => {
                        let row = keys.len() as u32;
                        keys.push(key);
                        index.insert(hash, row);
                        model.insert(key, row);
                    }
                    (false, Some(row)) => {
                        index.remove(hash, row);
                        model.remove(&key);
                    }
                    _ => {}
                }
                prop_assert_eq!(index.used, model.len());
            }
        }
    }
}
