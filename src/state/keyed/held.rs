//! The record counter of a key: how many states and timers hold something for it in memory, and whether memory has all there is.

use crate::state::groups::Extent;

/// The lower 31 bits count. The upper 32 bits are zero where memory has all of the key; else they say in which epoch what memory has was
/// added: epochs end with barriers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Held(pub(super) u64);

/// What was added before may still be on its way to the store.
const AGAIN: u64 = 1 << 31;
const COUNT: u64 = AGAIN - 1;
const EPOCH: u32 = 32;

impl Held {
    /// Of a key to which something is added in `epoch`, from 1 on, without knowing what it was.
    pub(super) fn added(epoch: u32, count: u64, again: bool) -> Self {
        Self(u64::from(epoch) << EPOCH | if again { AGAIN } else { 0 } | count.min(COUNT))
    }

    pub(super) fn count(self) -> u64 {
        self.0 & COUNT
    }

    pub(super) fn is_again(self) -> bool {
        self.0 & AGAIN != 0
    }

    pub(super) fn extent(self, epoch: u32) -> Extent {
        match self.0 >> EPOCH {
            0 => Extent::Whole,
            added if added == u64::from(epoch) => Extent::Added,
            _ => Extent::Spent,
        }
    }
}

/// How the counters of keys are to be read.
#[derive(Debug, Clone, Copy)]
pub(in crate::state) struct Counters {
    /// The word of a key.
    pub(super) word: usize,
    pub(super) epoch: u32,
    /// Keys that are not in memory are made without being looked for.
    pub(super) unread: bool,
}

impl Counters {
    pub(super) fn held(self, words: &[u64]) -> Held {
        Held(words[self.word])
    }

    pub(super) fn extent(self, words: &[u64]) -> Extent {
        self.held(words).extent(self.epoch)
    }
}
