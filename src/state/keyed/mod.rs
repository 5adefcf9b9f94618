//! The state of functions: values, lists, maps, folded values and timers, a key at a time.
//!
//! All states of an operator share one table of keys ([`keys::KeyTable`]); each state is a column over it by key group and slot.
//! A batch's keys are looked up together; after that, a value is an array index away. A snapshot freezes key groups; what
//! is written to a frozen one while it is read is copied slot by slot.

mod access;
mod cells;
mod entries;
mod fold;
mod held;
mod keys;
mod layered;
mod lists;
mod maps;
mod merge;
mod restore;
mod snapshot;
mod spill;
mod stored;
mod table;
#[cfg(test)]
mod tests;
mod timer_set;
mod timers;
mod unread;

pub use fold::{Aggregate, Fold, FoldFunction, Reduce};
pub use keys::KeyWalk;
pub use maps::MapEntries;
pub use timers::TimeDomain;

pub(super) use cells::Cells;
pub(super) use keys::KeyTable;
pub(super) use lists::Lists;
pub(super) use maps::{LastEntries, Maps};
pub(super) use stored::stored_batches;
pub(super) use table::Table;
pub(super) use timers::Timers;

use super::GroupRef;

/// A key of an operator's state: where its states lie. Valid until the next [`super::KeyedState::keys`], and beyond that while
/// one of its states or timers holds something.
pub type KeyRef = GroupRef;

/// A value, list, map, reducing or aggregating state of a [`super::KeyedState`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StateHandle(pub(super) usize);

impl Default for StateHandle {
    /// The handle of no state: using it is an error.
    fn default() -> Self {
        Self(usize::MAX)
    }
}

/// The timers of a [`super::KeyedState`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimersHandle(pub(super) usize);
