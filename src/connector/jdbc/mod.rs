//! The sink `jdbc`, with Flink's option names, for SQLite databases: rows into a table, by key where there is one. The database is
//! opened by SQLite itself, not through [`crate::storage`].
//!
//! With EXACTLY_ONCE the rows between two barriers, reduced to the last one per key, are the committable. Committing applies them
//! in one transaction together with their checkpoint's number in the table `__flink_commits`, so a commit that is repeated finds
//! its number and does nothing. Checkpoint numbers alone would not do: a job restored from an old savepoint counts from there
//! again. Each execution therefore counts under an id of its own, its *lineage*, which its snapshots carry: what they hold is
//! committed under the id of the execution that prepared it, what comes after a restore under a new one. Commits of one execution
//! come in order, so one number per execution, the highest, is enough.

mod table;
mod value;
mod writer;

use crate::connector::{ConnectorContext, ConnectorError, Sink, SinkDeclaration, SinkInput, SinkRestore, SinkWriter, sinks};
use crate::error::RetryHint;
use crate::metrics::OperatorMetrics;
use crate::types::{OptionError, OptionKind, OptionSpec, Parallelism};
use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use table::Table;
use writer::JdbcWriter;
use xxhash_rust::xxh3::xxh3_64;

const fn required(key: &'static str, doc: &'static str) -> OptionSpec {
    OptionSpec { key, kind: OptionKind::Text, default: None, required: true, doc }
}

const fn optional(key: &'static str, kind: OptionKind, default: &'static str, doc: &'static str) -> OptionSpec {
    OptionSpec { key, kind, default: Some(default), required: false, doc }
}

const fn refused(key: &'static str) -> OptionSpec {
    OptionSpec { key, kind: OptionKind::Text, default: None, required: false, doc: "For database servers: SQLite refuses it." }
}

pub(super) const OPTIONS: &[OptionSpec] = &[
    required("url", "`jdbc:sqlite:<file>`; a relative file starts at the job file's directory. It is created if it is missing."),
    required("table-name", "The table. It is created, with the sink's columns and key, if it is missing."),
    refused("username"),
    refused("password"),
    optional(
        "sink.buffer-flush.max-rows",
        OptionKind::Int(0, i64::MAX),
        "100",
        "Rows that are gathered before they are written; 0: no bound. With EXACTLY_ONCE rows are written when their checkpoint is \
         complete.",
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

/// How long SQLite waits for a lock before a try counts as failed.
const BUSY_TIMEOUT: Duration = Duration::from_secs(1);

/// When rows are written without EXACTLY_ONCE, and how often a locked database is tried again.
#[derive(Debug, Clone)]
struct FlushPolicy {
    /// 0: no bound.
    max_rows: usize,
    /// Zero: no bound.
    interval: Duration,
    max_retries: u32,
    busy_timeout: Duration,
}

#[derive(Debug)]
struct JdbcSink {
    name: String,
    file: PathBuf,
    table: Arc<Table>,
    policy: FlushPolicy,
}

/// The sink that `declaration` asks for.
pub(super) fn build_sink(declaration: &SinkDeclaration) -> Result<Arc<dyn Sink>, OptionError> {
    Ok(Arc::new(sink_of(declaration)?))
}

fn sink_of(declaration: &SinkDeclaration) -> Result<JdbcSink, OptionError> {
    let options = &declaration.options;
    let file = database_file(options.required("url")?, &declaration.directory)?;
    for key in ["username", "password"] {
        if options.get(key).is_some() {
            return Err(OptionError::new(key, "a SQLite database is a file and has no users; leave this option out"));
        }
    }
    if sinks::parallelism(options)?.is_some_and(|parallelism| parallelism != Parallelism::ONE) {
        return Err(OptionError::new(sinks::PARALLELISM.key, "a SQLite database takes one writer at a time; the only value is 1"));
    }
    let name = options.required("table-name")?;
    let table = Table::new(name, &declaration.schema, &declaration.primary_key)?;
    let policy = FlushPolicy {
        max_rows: options.int("sink.buffer-flush.max-rows", 100, 0, i64::MAX)? as usize,
        interval: options.duration("sink.buffer-flush.interval", Duration::from_secs(1))?,
        max_retries: options.int("sink.max-retries", 3, 0, 1_000_000)? as u32,
        busy_timeout: BUSY_TIMEOUT,
    };
    Ok(JdbcSink { name: declaration.name.clone(), file, table: Arc::new(table), policy })
}

fn database_file(url: &str, directory: &Path) -> Result<PathBuf, OptionError> {
    let error = |message: String| Err(OptionError::new("url", message));
    let Some(file) = url.strip_prefix("jdbc:sqlite:") else {
        return error(format!("\"{url}\": the databases that are supported are jdbc:sqlite:<file>"));
    };
    if file.is_empty() || file.starts_with(':') {
        return error(format!("\"{url}\" names no file; a database in memory would be gone with the job"));
    }
    if file.contains(['?', '\0']) {
        return error(format!("\"{url}\": parameters are not supported; write jdbc:sqlite:<file>"));
    }
    Ok(directory.join(file))
}

/// The error of a database operation: what was being done, what SQLite said, and whether that may pass.
fn database_error(context: impl Into<String>, error: &rusqlite::Error) -> ConnectorError {
    let passes = matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::DiskFull
                | ErrorCode::SystemIoFailure
                | ErrorCode::CannotOpen
                | ErrorCode::OutOfMemory
                | ErrorCode::FileLockingProtocolFailed
        )
    );
    let retry = if passes { RetryHint::Backoff } else { RetryHint::Never };
    ConnectorError::Database { context: context.into(), message: error.to_string(), retry }
}

impl JdbcSink {
    fn connect(&self, context: &ConnectorContext) -> Result<Connection, ConnectorError> {
        let file = self.file.display();
        let failed = |e: rusqlite::Error| database_error(format!("opening {file}"), &e);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.file, flags).map_err(failed)?;
        connection.busy_timeout(self.policy.busy_timeout).map_err(failed)?;
        // With a write-ahead log others read while the job writes. Where the file system cannot have one, SQLite keeps its journal.
        let mode = || connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()));
        writer::retried(self.policy.max_retries, mode).map_err(failed)?;
        // What a checkpoint covers must survive a power cut; without checkpoints nothing is promised, and syncing is dear.
        let synchronous = if context.checkpointing { "FULL" } else { "NORMAL" };
        connection.pragma_update(None, "synchronous", synchronous).map_err(failed)?;
        Ok(connection)
    }
}

impl Sink for JdbcSink {
    fn describe(&self) -> String {
        "jdbc(sqlite)".to_owned()
    }

    fn input(&self) -> SinkInput {
        if self.table.key().is_empty() { SinkInput::AppendOnly } else { SinkInput::Upsert(self.table.key().to_vec()) }
    }

    fn max_subtasks(&self) -> Option<Parallelism> {
        Some(Parallelism::ONE)
    }

    fn writers(
        &self,
        context: &ConnectorContext,
        restored: Option<&SinkRestore>,
        _metrics: &[OperatorMetrics],
    ) -> Result<Vec<Box<dyn SinkWriter>>, ConnectorError> {
        if context.parallelism != Parallelism::ONE {
            let message = format!("a SQLite database takes one writer at a time, {} were asked for", context.parallelism);
            return Err(ConnectorError::State(message));
        }
        let connection = self.connect(context)?;
        let identity = format!("{}\0{}\0{}", context.execution, self.name, self.table.name());
        let lineage = format!("{:016x}", xxh3_64(identity.as_bytes()));
        let mut writer = JdbcWriter::new(connection, Arc::clone(&self.table), self.name.clone(), lineage, self.policy.clone(), context);
        writer.open(&self.file)?;
        if let Some(restored) = restored {
            writer.restore(restored)?;
        }
        Ok(vec![Box::new(writer)])
    }
}

#[cfg(test)]
mod tests;
