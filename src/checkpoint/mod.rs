//! Checkpoints and savepoints: when they are taken (the coordinator), what they are on disk, how long they are kept, and what can
//! be restored from them. Decisions are pure functions of values; files are touched through [`crate::storage`] alone.

pub mod settings;
