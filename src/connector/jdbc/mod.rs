//! The sink `jdbc` for SQLite databases: rows into a table, by key where there is one.

use crate::connector::{Sink, SinkDeclaration, sinks};
use crate::types::{OptionError, OptionKind, OptionSpec};
use std::sync::Arc;

const fn required(key: &'static str, doc: &'static str) -> OptionSpec {
    OptionSpec { key, kind: OptionKind::Text, default: None, required: true, doc }
}

const fn optional(key: &'static str, kind: OptionKind, default: &'static str, doc: &'static str) -> OptionSpec {
    OptionSpec { key, kind, default: Some(default), required: false, doc }
}

pub(super) const OPTIONS: &[OptionSpec] = &[
    required("url", "`jdbc:sqlite:<file>`; a relative file starts at the job file's directory. It is created if it is missing."),
    required("table-name", "The table. It is created, with the sink's columns and key, if it is missing."),
    optional(
        "sink.buffer-flush.max-rows",
        OptionKind::Int(0, i64::MAX),
        "100",
        "Rows that are gathered before they are written; 0: no bound. With EXACTLY_ONCE rows are written when their checkpoint is complete.",
    ),
    optional(
        "sink.buffer-flush.interval",
        OptionKind::Duration,
        "1 s",
        "The longest that a row waits to be written; 0: no bound. With EXACTLY_ONCE rows are written when their checkpoint is complete.",
    ),
    optional("sink.max-retries", OptionKind::Int(0, 1_000_000), "3", "How often a write is tried again when the database is locked."),
    sinks::PARALLELISM,
];

pub(super) fn build_sink(_declaration: &SinkDeclaration) -> Result<Arc<dyn Sink>, OptionError> {
    Err(OptionError::new("connector", "this sink cannot be built yet"))
}
