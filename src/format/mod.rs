//! Bytes ↔ batches. A format knows records and columns; files, offsets and what becomes of a bad record are its caller's.

mod calendar;
mod cells;
mod column;
mod csv;
mod debezium;
mod json;
mod parse;
pub mod print;
mod registry;
mod render;

pub(crate) use calendar::date_of;
pub use registry::{NAMES, decoder_factory, encoder_factory, options};

use crate::types::{Batch, ChangelogMode};
use std::ops::Range;

/// Reading or writing a record failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// A record cannot be read and `bad-records` is `fail`.
    #[error("{0}")]
    BadRecord(BadRecord),
    /// A value cannot be written in this format.
    #[error("column {column}: {message}")]
    Unwritable {
        /// The column's name.
        column: String,
        /// Why.
        message: String,
    },
    /// Arrow refused: a bug rather than bad input.
    #[error("{0}")]
    Arrow(String),
}

impl From<arrow::error::ArrowError> for FormatError {
    fn from(error: arrow::error::ArrowError) -> Self {
        Self::Arrow(error.to_string())
    }
}

/// One record that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRecord {
    /// Position of the record's first byte in the bytes handed to [`Decoder::decode`].
    pub offset: usize,
    /// The record as it stood, without its line end; cut to 1,000 bytes in messages only.
    pub raw: Vec<u8>,
    /// The column that does not fit, if it is known.
    pub column: Option<String>,
    /// What is wrong: `expected BIGINT, found "abc"`.
    pub reason: String,
}

impl std::fmt::Display for BadRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(column) = &self.column {
            write!(f, "column {column}: ")?;
        }
        write!(f, "{}", self.reason)
    }
}

/// Bytes in, batches out, record by record. A decoder is made for the columns that the job uses: other columns of the
/// declared schema are skipped, not parsed.
///
/// Order of calls: `decode` until it has enough rows, `flush`, and again; `decode` never reads past `max_rows` rows, so that
/// the caller always knows which byte the last flushed row ended at.
pub trait Decoder: Send {
    /// Decodes complete records from the start of `bytes` into the batch under construction, until that has `max_rows` rows
    /// or no complete record is left. With `last`, what stands behind the last line end is a record too.
    ///
    /// Returns the number of bytes consumed, always whole records (a changelog record of two rows may exceed `max_rows` by
    /// one). 0 with fewer than `max_rows` rows means: more bytes are needed, or the batch is full by its bytes; so flush, if
    /// there are rows, before handing in more. Of a record longer than `limits::RECORD_BYTES` the parts are consumed as they
    /// come. Records that cannot be read go to `bad`; its error ends decoding.
    fn decode(&mut self, bytes: &[u8], last: bool, max_rows: usize, bad: &mut dyn BadRecords) -> Result<usize, FormatError>;

    /// Rows decoded since the last flush.
    fn rows(&self) -> usize;

    /// The rows decoded since the last flush as a batch; `None` if there is none.
    fn flush(&mut self) -> Result<Option<Batch>, FormatError>;

    /// Called at the start of each file, before its first byte is decoded: forgets partial state, expects a header line
    /// again if the format has one. `offset` is the position of the first byte that will be decoded.
    fn start_file(&mut self, offset: u64);

    /// Called after [`Decoder::start_file`] with an offset above 0, where the bytes before the offset can be read again: takes
    /// the header line from the first bytes of the file, if the format has one. `last`: these are all of the file's bytes.
    /// False: the line does not end among them, so call again with more. Never called where the input cannot be read again: a
    /// header line is then expected at the offset.
    fn read_header(&mut self, _start_of_file: &[u8], _last: bool) -> bool {
        true
    }
}

/// What becomes of records that cannot be read.
pub trait BadRecords {
    /// Takes one bad record. `Ok` skips it; an error (as a rule [`FormatError::BadRecord`]) fails the decoding.
    fn bad_record(&mut self, record: BadRecord) -> Result<(), FormatError>;

    /// Takes one bad record that the format's own `ignore-parse-errors` skips: to be counted, never an error.
    fn ignored_record(&mut self, record: BadRecord) {
        drop(record);
    }
}

/// `bad-records = fail`: every bad record is an error.
#[derive(Debug, Clone, Copy, Default)]
pub struct FailOnBadRecord;

impl BadRecords for FailOnBadRecord {
    fn bad_record(&mut self, record: BadRecord) -> Result<(), FormatError> {
        Err(FormatError::BadRecord(record))
    }
}

/// Batches in, bytes out. Every record ends with the format's record end, so that files can be cut between rows.
pub trait Encoder: Send {
    /// Appends the rows `rows` of `batch` to `out`. After an error `out` may hold a part of the rows.
    fn encode(&mut self, batch: &Batch, rows: Range<usize>, out: &mut Vec<u8>) -> Result<(), FormatError>;
}

/// What a format can write: `csv` and `json` rows cannot say that a row changed, `debezium-json` can.
pub trait EncoderFactory: Send + Sync + std::fmt::Debug {
    /// A new encoder; one for each file being written.
    fn encoder(&self) -> Box<dyn Encoder>;

    /// The most that a stream written in this format may change.
    fn changelog_mode(&self) -> ChangelogMode;

    /// What names of files in this format end with, without the dot.
    fn extension(&self) -> &'static str;
}

/// Makes decoders for one source: one for each subtask.
pub trait DecoderFactory: Send + Sync + std::fmt::Debug {
    /// A new decoder.
    fn decoder(&self) -> Box<dyn Decoder>;

    /// True if a file can be read from any line on (no record spans lines, no header): such files are split by byte range.
    fn splittable(&self) -> bool;

    /// Whether its records are inserts alone or a changelog.
    fn changelog_mode(&self) -> ChangelogMode;
}
