//! Splits: the parts of files that readers take one by one, and where the readers stand in them.
//!
//! A split `[start, end)` holds the records that begin in it. Every split that a reader has taken is listed by that reader's
//! snapshot, and by no other; what no snapshot lists has not been touched. So the snapshots of all readers at one barrier are
//! the whole state: there is no enumerator that would have to be saved with them.

use super::content::Packing;
use crate::connector::ConnectorError;
use crate::format::FormatError;
use crate::storage::Entry;
use arrow::array::{Array, AsArray, BooleanArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// A file as it was when it was discovered. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SourceFile(Arc<FileFacts>);

#[derive(Debug, PartialEq, Eq)]
struct FileFacts {
    path: String,
    length: u64,
    packing: Packing,
}

impl SourceFile {
    /// The file at `path`, to be read up to `length`.
    pub(super) fn new(path: &str, length: u64) -> io::Result<Self> {
        let packing = Packing::of(Path::new(path))?;
        Ok(Self(Arc::new(FileFacts { path: path.to_owned(), length, packing })))
    }

    /// A file that was found. Errors on a name that is no UTF-8: it could not be saved.
    pub(super) fn found(entry: &Entry) -> io::Result<Self> {
        let path = entry.path.to_str().ok_or_else(|| {
            let message = format!("{}: the name is no UTF-8", entry.path.display());
            io::Error::new(io::ErrorKind::Unsupported, message)
        })?;
        Self::new(path, entry.len)
    }

    /// Where it lies.
    pub(super) fn path(&self) -> &Path {
        Path::new(&self.0.path)
    }

    /// Where it lies, as text.
    pub(super) fn text(&self) -> &str {
        &self.0.path
    }

    /// Bytes that it had, packed.
    pub(super) fn length(&self) -> u64 {
        self.0.length
    }

    /// How it is packed.
    pub(super) fn packing(&self) -> Packing {
        self.0.packing
    }

    /// The splits of the bytes `[start, end)`: pieces of `size`, or one if the file can only be read as a whole.
    pub(super) fn splits(&self, start: u64, end: u64, size: Option<u64>) -> Vec<Split> {
        let size = size.filter(|_| self.packing() == Packing::None).unwrap_or(u64::MAX).max(1);
        let mut splits = Vec::new();
        let mut from = start;
        while from < end {
            let to = from.saturating_add(size).min(end);
            splits.push(Split { file: self.clone(), start: from, end: to, position: from, dead_letters: from });
            from = to;
        }
        splits
    }
}

/// A part of a file that is not done, and where its reader stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Split {
    /// The file.
    pub(super) file: SourceFile,
    /// Its first byte; records that began before it belong to the split before.
    pub(super) start: u64,
    /// Behind its last byte. The last record may reach further.
    pub(super) end: u64,
    /// The next byte to decode (of the unpacked bytes, if the file is packed): right behind the last row that was returned.
    /// At `start` the reader still has to look for the first record's begin.
    pub(super) position: u64,
    /// The dead letters of bad records that begin before this byte have been returned. Not before `position`.
    pub(super) dead_letters: u64,
}

/// A part of a file that has been read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DonePart {
    /// The file.
    pub(super) file: SourceFile,
    /// Its first byte.
    pub(super) start: u64,
    /// Behind its last byte.
    pub(super) end: u64,
}

/// What readers have done, neighbouring parts merged as far as they come in order.
#[derive(Debug, Clone, Default)]
pub(super) struct DoneParts(Vec<DonePart>);

impl DoneParts {
    /// Adds a part.
    pub(super) fn push(&mut self, part: DonePart) {
        match self.0.last_mut() {
            Some(last) if last.end == part.start && last.file == part.file => last.end = part.end,
            _ => self.0.push(part),
        }
    }

    /// All parts.
    pub(super) fn iter(&self) -> impl Iterator<Item = &DonePart> {
        self.0.iter()
    }
}

/// One row of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SavedPart {
    /// Being read, or about to be.
    Open(Split),
    /// Read.
    Done(DonePart),
}

impl SavedPart {
    /// The file, the first byte, and what is behind the last one.
    pub(super) fn extent(&self) -> (&SourceFile, u64, u64) {
        match self {
            Self::Open(split) => (&split.file, split.start, split.end),
            Self::Done(part) => (&part.file, part.start, part.end),
        }
    }
}

/// The columns of a snapshot: `path STRING, length BIGINT, start BIGINT, end BIGINT, position BIGINT, dead_letters BIGINT,
/// done BOOLEAN`, all NOT NULL. `length`: bytes of the file when it was discovered; the others as in [`Split`].
pub(super) fn state_schema() -> SchemaRef {
    let number = |name: &str| Field::new(name, DataType::Int64, false);
    Arc::new(Schema::new(vec![
        Field::new("path", DataType::Utf8, false),
        number("length"),
        number("start"),
        number("end"),
        number("position"),
        number("dead_letters"),
        Field::new("done", DataType::Boolean, false),
    ]))
}

/// A snapshot of these parts.
pub(super) fn to_batch<'a>(
    done: impl Iterator<Item = &'a DonePart>,
    open: impl Iterator<Item = &'a Split>,
) -> Result<RecordBatch, ConnectorError> {
    let done = done.map(|p| (&p.file, [p.start, p.end, p.end, p.end], true));
    let open = open.map(|s| (&s.file, [s.start, s.end, s.position, s.dead_letters], false));
    let rows: Vec<(&SourceFile, [u64; 4], bool)> = done.chain(open).collect();
    let number = |i: usize| Int64Array::from_iter_values(rows.iter().map(|(_, numbers, _)| numbers[i] as i64));
    let batch = RecordBatch::try_new(
        state_schema(),
        vec![
            Arc::new(StringArray::from_iter_values(rows.iter().map(|(file, _, _)| file.text()))),
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|(file, _, _)| file.length() as i64))),
            Arc::new(number(0)),
            Arc::new(number(1)),
            Arc::new(number(2)),
            Arc::new(number(3)),
            Arc::new(rows.iter().map(|(_, _, done)| Some(*done)).collect::<BooleanArray>()),
        ],
    );
    batch.map_err(|e| FormatError::from(e).into())
}

/// The parts of a snapshot. Errors if the columns or the numbers are not those of [`state_schema`].
pub(super) fn from_batch(batch: &RecordBatch) -> Result<Vec<SavedPart>, ConnectorError> {
    let schema = state_schema();
    let mut columns = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        let column = batch.column_by_name(field.name()).filter(|c| c.data_type() == field.data_type() && c.null_count() == 0);
        columns.push(column.ok_or_else(|| altered(&format!("column {} is not {} NOT NULL", field.name(), field.data_type())))?);
    }
    let [path, length, start, end, position, dead_letters, done] = columns.as_slice() else { return Err(altered("columns are missing")) };
    let number = |column: &Arc<dyn Array>, row: usize| {
        let value = column.as_primitive::<Int64Type>().value(row);
        u64::try_from(value).map_err(|_| altered(&format!("{value} as a position")))
    };
    let part = |row: usize| {
        let file = SourceFile::new(path.as_string::<i32>().value(row), number(length, row)?);
        let file = file.map_err(|e| ConnectorError::State(e.to_string()))?;
        let (start, end, position) = (number(start, row)?, number(end, row)?, number(position, row)?);
        let dead_letters = number(dead_letters, row)?;
        if start > end || end > file.length() || position < start || dead_letters < position {
            return Err(altered(&format!("{}: {position} in {start} to {end} of {}", file.text(), file.length())));
        }
        Ok(if done.as_boolean().value(row) {
            SavedPart::Done(DonePart { file, start, end })
        } else {
            SavedPart::Open(Split { file, start, end, position, dead_letters })
        })
    };
    (0..batch.num_rows()).map(part).collect()
}

/// The saved positions are not what a reader saves.
pub(super) fn altered(what: &str) -> ConnectorError {
    ConnectorError::State(format!("the saved positions of the files are damaged: {what}"))
}
