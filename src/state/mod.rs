//! Keyed state: what operators keep between rows, scoped to operator × key group × key × namespace, and the backends that hold it.
//!
//! An operator registers its states in `open` and works on them through [`KeyedState`], which its task owns. At a barrier the
//! task calls [`KeyedState::snapshot`]: the short, synchronous part. What it returns is turned into typed record batches and
//! files while processing goes on. Every state, whatever its kind and backend, leaves and enters as record batches with the
//! columns of [`StateDescriptor::columns`].
//!
//! What belongs to a subtask and not to a key is [`OperatorState`]: lists and broadcast state of functions.

mod adapt;
mod backend;
mod bytes;
mod compatibility;
mod descriptor;
mod groups;
mod keyed;
mod operator;
mod rocksdb;
mod ttl;
mod words;

pub use self::rocksdb::{
    Backend, BackendSettings, Compression, FileSource, ImageFile, RocksSettings, SavedState, StoreFile, StoreFiles, StoreImage,
    StoreSnapshot, StoredState,
};
pub use adapt::rekey;
pub use backend::{GroupsHandle, KeyedSnapshot, KeyedState, RestoredState, SnapshotForm, StateSnapshot, read_store};
pub use compatibility::{Compatibility, added_accumulators, compatibility, keys_move, operator_compatibility};
pub use descriptor::{StateDescriptor, StateKind, TIMERS};
pub use groups::{
    AccumulatorField, AccumulatorLayout, FieldSlot, GroupLayout, GroupRef, GroupTable, Multiset, MultisetKey, MultisetOrder, Storage,
    ValidBit, canonical_key, group_descriptor,
};
pub use keyed::{Aggregate, Fold, FoldFunction, KeyRef, KeyWalk, MapEntries, Reduce, StateHandle, TimeDomain, TimersHandle};
pub use operator::{
    BroadcastEntries, BroadcastHandle, IN_FLIGHT, OperatorListHandle, OperatorState, OperatorStateDescriptor, OperatorStateKind,
    OperatorStateSnapshot, RestoredOperatorState,
};
pub use ttl::{StateTtl, TtlTime, TtlUpdate, TtlVisibility};
pub use words::{WordKind, Words, double_of_ordered, nulls_at, ordered_of_double};

use crate::error::RetryHint;

/// The state backend failed, or what was restored does not fit.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The saved state and the state that is registered differ in a way that cannot be bridged.
    #[error("state {state}: {message}")]
    Incompatible {
        /// `<operator uid>/<state name>`
        state: String,
        /// The two types and what can be done.
        message: String,
    },
    /// Files or the embedded store.
    #[error("state {state}: {source}")]
    Io {
        /// The state's name.
        state: String,
        /// Why.
        source: std::io::Error,
    },
    /// A value that does not fit the state, or a reduce or aggregate function that failed.
    #[error("state {state}: {message}")]
    Function {
        /// The state's name.
        state: String,
        /// What went wrong.
        message: String,
    },
    /// A value that does not fit.
    #[error("state: {0}")]
    Datum(#[from] crate::types::DatumError),
    /// Arrow refused: a bug, or saved state that was altered.
    #[error("state: {0}")]
    Arrow(#[from] arrow::error::ArrowError),
    /// A rule was broken: a state registered twice, a handle of another operator.
    #[error("state: {0}")]
    Invariant(String),
}

impl StateError {
    /// The same error of a function, said of this state.
    fn of_state(self, name: &str) -> Self {
        match self {
            Self::Function { message, .. } => Self::Function { state: name.to_owned(), message },
            other => other,
        }
    }

    /// Whether a restart can help.
    pub fn retry_hint(&self) -> RetryHint {
        match self {
            Self::Io { .. } => RetryHint::Backoff,
            Self::Incompatible { .. } | Self::Function { .. } | Self::Datum(_) | Self::Arrow(_) | Self::Invariant(_) => RetryHint::Never,
        }
    }
}
