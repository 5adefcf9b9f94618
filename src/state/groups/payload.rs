//! What lies beside the groups of a table, goes down to the store with them and comes up with them: for the keys of functions, their states.

use super::GroupRef;
use crate::state::StateError;
use crate::state::rocksdb::NEVER;

/// What memory has of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::state) enum Extent {
    /// All of it.
    Whole,
    /// What was added to it since the last barrier. The store may have more, which nobody has read.
    Added,
    /// What was added to it before the last barrier: the store has that, too, or will have it once the rows of the barrier are there.
    Spent,
}

/// See the module. In the store it stands behind the group's own words; in front of them stands when all of it has expired.
pub(in crate::state) trait Payload {
    /// These groups are about to go down: [`Self::put`] and [`Self::reminders`] will be called for them, then [`Self::left`].
    fn leaving(&mut self, _groups: &[GroupRef]) {}

    /// Appends what belongs to a group that is leaving. Returns when all of it has expired.
    fn put(&mut self, _group: GroupRef, _out: &mut Vec<u8>) -> i64 {
        NEVER
    }

    /// Calls `note` with each domain and moment at which a group that is leaving must come up again.
    fn reminders(&self, _group: GroupRef, _note: &mut dyn FnMut(u8, i64)) {}

    /// The groups that were leaving are in the store: what belongs to them goes from memory.
    fn left(&mut self, _groups: &[GroupRef]) {}

    /// What memory has of the group with these words.
    fn extent(&self, _words: &[u64]) -> Extent {
        Extent::Whole
    }

    /// The record counter of a group that may be in the store and is made without being looked for there; `None`: look for it.
    fn unread(&self) -> Option<u64> {
        None
    }

    /// The store has this of a group of which memory has what was added to it: puts both together. `None`: it has nothing. Returns the
    /// record counter.
    fn complete(&mut self, _group: GroupRef, _words: &[u64], _stored: Option<&[u8]>) -> Result<u64, StateError> {
        Ok(0)
    }

    /// Takes what [`Self::put`] appended for a group that comes up, but for what has expired. Returns how many things that is.
    fn take(&mut self, _group: GroupRef, _from: &[u8]) -> Result<u64, StateError> {
        Ok(0)
    }

    /// About the bytes that belong to a group.
    fn weigh(&self, _group: GroupRef) -> usize {
        0
    }

    /// About the bytes that are in no group's weight.
    fn bytes(&self) -> usize {
        0
    }

    /// Freezes what belongs to the groups of one key group, by its position.
    fn freeze(&mut self, _table: u32) -> Box<dyn FrozenPayload> {
        Box::new(NoPayload)
    }
}

/// What belongs to the groups of one key group at a barrier.
pub(in crate::state) trait FrozenPayload: Send {
    /// Appends what belongs to the group in a row. Returns when all of it has expired.
    fn put(&mut self, row: u32, out: &mut Vec<u8>) -> i64;

    /// What memory had of the group with these words.
    fn extent(&self, _words: &[u64]) -> Extent {
        Extent::Whole
    }
}

/// Groups whose rows are all there is.
pub(in crate::state) struct NoPayload;

impl Payload for NoPayload {}

impl FrozenPayload for NoPayload {
    fn put(&mut self, _row: u32, _out: &mut Vec<u8>) -> i64 {
        NEVER
    }
}
