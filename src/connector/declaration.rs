//! What a `[sources.*]` or `[sinks.*]` table declares, once its columns and options have been read.

use crate::types::{Column, Options, Schema};
use std::path::PathBuf;

/// What becomes of records that cannot be read (`bad-records`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum BadRecordPolicy {
    /// `fail`: the job fails, naming file, line, column and field.
    #[default]
    Fail,
    /// `skip`: counted.
    Skip,
    /// `{ dead-letter = "path/" }`: sent to output 1 as [`super::dead_letter_schema`] rows.
    DeadLetter,
}

/// A column of what a connector knows of a row beside its bytes: `x STRING METADATA FROM 'file.path'`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetadataColumn {
    /// The connector's name for it.
    pub key: &'static str,
    /// The column as the table declares it.
    pub column: Column,
}

/// A source table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceDeclaration {
    /// `bids` of `[sources.bids]`
    pub name: String,
    /// `connector`
    pub connector: String,
    /// All physical columns of `schema`, in order (computed and metadata columns are not among them).
    pub schema: Schema,
    /// The metadata columns, each with a key of [`super::source_metadata`].
    pub metadata: Vec<MetadataColumn>,
    /// The positions of the columns that the job uses, ascending, among those of `schema` followed by `metadata`: these are read,
    /// in this order. At least one of them is a column of `schema`.
    pub projection: Vec<usize>,
    /// Positions of the primary key in `schema`; empty without one.
    pub primary_key: Vec<usize>,
    /// Every option of the table except `connector`, `schema`, `bad-records`, `uid`: the connector's, `format` and the format's.
    pub options: Options,
    /// What becomes of bad records.
    pub bad_records: BadRecordPolicy,
    /// The directory of the job.toml, absolute: relative paths start there.
    pub directory: PathBuf,
}

impl SourceDeclaration {
    /// All columns that the connector can read: those of `schema`, then `metadata`.
    pub fn columns(&self) -> Schema {
        Schema::new(self.schema.columns.iter().chain(self.metadata.iter().map(|metadata| &metadata.column)).cloned().collect())
    }
}

/// A sink table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkDeclaration {
    /// `out` of `[sinks.out]`
    pub name: String,
    /// `connector`
    pub connector: String,
    /// The columns that arrive: the declared ones if there is a `schema`, else those of the input.
    pub schema: Schema,
    /// Positions in `schema` of the key of updates: the declared PRIMARY KEY, else the input's unique key; empty if there is none.
    pub primary_key: Vec<usize>,
    /// Every option of the table except `connector`, `schema`, `input`, `uid`.
    pub options: Options,
    /// The directory of the job.toml, absolute: relative paths start there.
    pub directory: PathBuf,
}
