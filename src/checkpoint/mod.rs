//! Checkpoints and savepoints: when they are taken (the coordinator), what they are on disk, how long they are kept, and what can
//! be restored from them. Decisions are pure functions of values; files are touched through [`crate::storage`] alone.
//!
//! - one subtask's state at one barrier: [`SubtaskSnapshot`] → [`write_subtask`] → [`WrittenSubtask`]
//! - all of them: [`complete`] → [`CompletedCheckpoint`]; `_metadata` is written last
//! - back again: [`open`] checks every file → [`OpenCheckpoint`] → [`plan_restore`] → [`OpenCheckpoint::planned`] → rows
//! - looked into, compared, edited, built by a person: [`inspect`]

mod columns;
pub mod coordinator;
mod discovery;
mod disposal;
mod error;
mod exclusive;
pub mod inspect;
mod layout;
mod manifest;
mod native;
#[cfg(test)]
mod native_function_tests;
#[cfg(test)]
mod native_rows_tests;
#[cfg(test)]
mod native_tests;
mod open;
mod parquet_file;
mod parquet_footer;
mod restore;
pub mod retention;
pub mod settings;
#[cfg(test)]
mod tests;
mod write;

pub use discovery::{FoundCheckpoint, Latest, checkpoints_of, latest};
pub use disposal::{delete_checkpoint, delete_claimed, dispose_savepoint};
pub use error::{CheckpointError, RestoreError};
pub use exclusive::{clear_beside_others, occupy, sweep_beside_others};
pub use layout::{
    METADATA, checkpoint_directory, claim_savepoint_directory, create_checkpoint_directory, create_savepoint_directory, job_directory,
    note_stop, path_of_text, savepoint_directory,
};
pub use manifest::{
    FileEntry, JobEntry, KeyedStateEntry, Manifest, ManifestHeader, OperatorEntry, OperatorHeader, OperatorStateEntry, SnapshotKind,
    StoreEntry, StoreFileEntry, StoreStateEntry,
};
pub use native::{Sharing, shared_names, sweep_shared};
pub use open::{OpenCheckpoint, open, open_directory};
pub use parquet_file::catches_panics;
pub use restore::{
    DropReason, InFlight, OperatorStateSpec, OperatorStates, Outcome, RestorePlan, RestoreRequest, RestoreRules, StatePlan, plan_restore,
};
pub use write::{
    CompletedCheckpoint, OperatorStatePart, SnapshotTarget, SubtaskSnapshot, WrittenFile, WrittenSubtask, complete, write_subtask,
};
