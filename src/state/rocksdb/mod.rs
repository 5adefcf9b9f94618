//! The embedded store of the `rocksdb` backend: what lies beyond the memory that tables may take, and the files of native checkpoints.
//!
//! RocksDB is the spill store, not the hot path: in front of it stands a table that takes and gives rows in sorted batches. There is one
//! store for each operator and subtask, with a column family for each state. Its directory is scratch space: the write-ahead log
//! is off, nothing in it outlives the process, and the checkpoint is what a job recovers from.

mod changes;
mod directory;
mod expiry;
mod files;
mod flush;
mod memory;
mod merge;
mod reader;
mod settings;
mod store;
#[cfg(test)]
mod tests;

pub use directory::Backend;
pub use files::{FileSource, ImageFile, SavedState, StoreFile, StoreFiles, StoreImage};
pub use flush::{StoreSnapshot, StoredState};
pub use settings::{BackendSettings, Compression, RocksSettings};

pub(super) use changes::Changes;
pub(super) use expiry::{NEVER, put_expiry, set_expiry, split_expiry};
pub(super) use flush::{Flush, FlushPart, Ticket};
pub(super) use memory::Charge;
#[cfg(test)]
pub(super) use merge::NO_ROW;
pub(super) use merge::Shorten;
pub(super) use reader::StoreReader;
pub(super) use store::Store;

use super::StateError;
use std::io;

/// The column family of a state. RocksDB has a family of its own called `default`.
pub(super) fn family_of(state: &str) -> String {
    format!("state/{state}")
}

/// The column family of the keys of functions with all their states.
pub(super) const KEYS: &str = "keys";

/// The state of a column family; `None` for [`KEYS`] and for RocksDB's own.
fn state_of(family: &str) -> Option<&str> {
    family.strip_prefix("state/")
}

/// An error of RocksDB about the state (or store) called `name`.
fn failed(name: &str) -> impl Fn(::rocksdb::Error) -> StateError + '_ {
    move |e| StateError::Io { state: name.to_owned(), source: io::Error::other(e.into_string()) }
}

/// An error of the file system about the store's directory.
fn io_failed(name: &str) -> impl Fn(io::Error) -> StateError + '_ {
    move |source| StateError::Io { state: name.to_owned(), source }
}
