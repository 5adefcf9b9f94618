//! Metadata columns: what is known of the file that a row was read from.

use super::split_reader::reading;
use super::splits::SourceFile;
use crate::connector::{ConnectorError, SourceDeclaration};
use crate::format::FormatError;
use crate::storage::Storage;
use crate::types::{Batch, TypeKind};
use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use arrow::datatypes::{DataType, SchemaRef};
use std::iter::repeat_n;
use std::sync::Arc;

/// Flink's names and types; all are NOT NULL.
pub(super) const KEYS: &[(&str, TypeKind)] = &[
    ("file.path", TypeKind::String),
    ("file.name", TypeKind::String),
    ("file.size", TypeKind::BigInt),
    ("file.modification-time", TypeKind::TimestampLtz(3)),
];

/// One of [`KEYS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileMetadata {
    Path,
    Name,
    /// Bytes, packed, when the file was discovered.
    Size,
    ModificationTime,
}

impl FileMetadata {
    fn of(key: &str) -> Option<Self> {
        let all = [Self::Path, Self::Name, Self::Size, Self::ModificationTime];
        KEYS.iter().zip(all).find(|((known, _), _)| *known == key).map(|(_, metadata)| metadata)
    }
}

/// Of the columns that the job uses, the positions of those that the format reads, and the metadata behind them.
pub(super) fn split(declaration: &SourceDeclaration) -> (Vec<usize>, Vec<FileMetadata>) {
    let physical = declaration.schema.columns.len();
    let (read, known): (Vec<usize>, Vec<usize>) = declaration.projection.iter().partition(|at| **at < physical);
    let metadata = known.iter().filter_map(|at| FileMetadata::of(declaration.metadata.get(at - physical)?.key));
    (read, metadata.collect())
}

/// Puts the metadata columns behind the columns of a format.
#[derive(Debug)]
pub(super) struct FileColumns {
    schema: SchemaRef,
    wanted: Vec<FileMetadata>,
    values: Vec<Value>,
}

#[derive(Debug, Clone)]
enum Value {
    Text(String),
    Number(i64),
    /// Milliseconds since 1970.
    Time(i64),
}

impl FileColumns {
    /// `schema`: all columns, those of `wanted` last.
    pub(super) fn new(schema: &SchemaRef, wanted: &[FileMetadata]) -> Self {
        Self { schema: schema.clone(), wanted: wanted.to_vec(), values: Vec::new() }
    }

    /// The rows that follow are of `file`.
    pub(super) fn enter(&mut self, file: &SourceFile, storage: &dyn Storage) -> Result<(), ConnectorError> {
        let value = |metadata: &FileMetadata| match metadata {
            FileMetadata::Path => Ok(Value::Text(file.text().to_owned())),
            FileMetadata::Name => Ok(Value::Text(file.path().file_name().unwrap_or_default().to_string_lossy().into_owned())),
            FileMetadata::Size => Ok(Value::Number(i64::try_from(file.length()).unwrap_or(i64::MAX))),
            FileMetadata::ModificationTime => {
                let entry = storage.entry(file.path()).map_err(|e| reading(file, e))?;
                Ok(Value::Time(entry.map_or(0, |entry| entry.modified.0)))
            }
        };
        self.values = self.wanted.iter().map(value).collect::<Result<_, ConnectorError>>()?;
        Ok(())
    }

    /// The rows with their metadata.
    pub(super) fn append(&self, rows: Batch) -> Result<Batch, ConnectorError> {
        if self.wanted.is_empty() {
            return Ok(rows);
        }
        let count = rows.num_rows();
        let mut columns: Vec<ArrayRef> = rows.columns().columns().to_vec();
        for value in &self.values {
            columns.push(match value {
                Value::Text(text) => Arc::new(StringArray::from_iter_values(repeat_n(text, count))),
                Value::Number(number) => Arc::new(Int64Array::from_value(*number, count)),
                Value::Time(time) => Arc::new(self.times(columns.len(), *time, count)),
            });
        }
        let columns = RecordBatch::try_new(self.schema.clone(), columns).map_err(FormatError::from)?;
        Ok(rows.with_columns(columns).map_err(FormatError::from)?)
    }

    fn times(&self, column: usize, time: i64, count: usize) -> TimestampMillisecondArray {
        let zone = match self.schema.field(column).data_type() {
            DataType::Timestamp(_, zone) => zone.clone(),
            _ => None,
        };
        TimestampMillisecondArray::from_value(time, count).with_timezone_opt(zone)
    }
}
