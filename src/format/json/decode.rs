//! The decoder of formats that hold one record a line: finds the lines, hands over what cannot be read, makes the batches.

use super::scan::blank;
use super::value::Reading;
use crate::format::column::Columns;
use crate::format::{BadRecord, BadRecords, Decoder, DecoderFactory, FormatError};
use crate::types::limits::RECORD_BYTES;
use crate::types::{Batch, ChangelogMode, RowKind, RowKinds};
use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use std::sync::Arc;

use super::{Reject, Rejection};

/// Bytes of records after which a batch is full whatever its rows: string columns address their bytes with 31 bits.
const BATCH_BYTES: usize = 1 << 28;

/// What is kept of a record that is too long.
const OVERLONG_KEPT: usize = 1_000;

/// A record and its line end.
const LONGEST_LINE: usize = RECORD_BYTES.0 as usize + 1;

fn too_long() -> Reject {
    Reject::new(format!("the record is longer than {RECORD_BYTES}"))
}

/// Reads one record.
pub(in crate::format) trait Records: Send {
    /// Reads the record that begins at `at` into the rows from `row` on. `bytes` end with a line end. Returns the position
    /// behind the record's line and the number of rows.
    fn read(&mut self, bytes: &[u8], at: usize, row: usize) -> Result<(usize, usize), Reject>;

    /// The columns that are written.
    fn columns(&mut self) -> &mut Columns;

    /// The kinds of the first `rows` rows, if they may be other than inserts; they are forgotten then.
    fn kinds(&mut self, rows: usize) -> Option<Vec<RowKind>>;
}

/// Plain rows: each line is an object with the columns as its fields, or an array of such objects.
struct Rows {
    columns: Columns,
    reading: Reading,
}

impl Records for Rows {
    #[inline]
    fn read(&mut self, bytes: &[u8], at: usize, row: usize) -> Result<(usize, usize), Reject> {
        if matches!(bytes.get(at), Some(b'[' | b' ' | b'\t')) && bytes.get(blank(bytes, at)) == Some(&b'[') {
            return self.columns.read_json_array(&mut self.reading, bytes, blank(bytes, at), row);
        }
        let end = self.columns.read_json(&mut self.reading, bytes, at, row, true)?;
        Ok((end, 1))
    }

    fn columns(&mut self) -> &mut Columns {
        &mut self.columns
    }

    fn kinds(&mut self, _rows: usize) -> Option<Vec<RowKind>> {
        None
    }
}

/// Decodes lines.
pub(in crate::format) struct LineDecoder<R> {
    records: R,
    schema: SchemaRef,
    ignore_errors: bool,
    rows: usize,
    /// Bytes of the records in the batch.
    bytes: usize,
    /// Nothing of the file has been read yet: a byte order mark may come.
    at_start: bool,
    /// Inside a record that is too long: it has been reported, the rest of its line is passed over.
    overlong: bool,
}

impl<R: Records> LineDecoder<R> {
    pub(in crate::format) fn new(records: R, schema: SchemaRef, ignore_errors: bool) -> Self {
        Self { records, schema, ignore_errors, rows: 0, bytes: 0, at_start: false, overlong: false }
    }

    fn reject(&self, record: BadRecord, bad: &mut dyn BadRecords) -> Result<(), FormatError> {
        if self.ignore_errors {
            bad.ignored_record(record);
            Ok(())
        } else {
            bad.bad_record(record)
        }
    }

    /// The record at `at` of `bytes`, which end with a line end; `offset` is what `bytes` begin at for the caller. Returns the
    /// position behind it.
    #[inline]
    fn record(&mut self, bytes: &[u8], at: usize, offset: usize, bad: &mut dyn BadRecords) -> Result<usize, FormatError> {
        match self.records.read(bytes, at, self.rows) {
            Ok((end, rows)) if end - at <= LONGEST_LINE => {
                self.rows += rows;
                Ok(end)
            }
            Ok(_) => self.bad_line(bytes, at, offset, too_long(), bad),
            Err(reject) => self.bad_line(bytes, at, offset, reject, bad),
        }
    }

    #[cold]
    fn bad_line(&self, bytes: &[u8], at: usize, offset: usize, reject: Reject, bad: &mut dyn BadRecords) -> Result<usize, FormatError> {
        let length = memchr::memchr(b'\n', &bytes[at..]).unwrap_or(bytes.len() - at);
        let line = &bytes[at..at + length];
        // Empty lines are no records.
        if blank(line, 0) < line.len() {
            let kept = if line.len() < LONGEST_LINE { line } else { &line[..OVERLONG_KEPT] };
            let raw = kept.strip_suffix(b"\r").unwrap_or(kept).to_vec();
            let Rejection { column, reason } = *reject.0;
            let column = Some(column).filter(|column| !column.is_empty());
            self.reject(BadRecord { offset: offset + at, raw, column, reason }, bad)?;
        }
        Ok(at + length + 1)
    }

    /// `bytes` hold no line end and more than a record may have: what can be consumed of them.
    fn overlong_record(&mut self, bytes: &[u8], offset: usize, bad: &mut dyn BadRecords) -> Result<usize, FormatError> {
        if !self.overlong {
            let raw = bytes[..OVERLONG_KEPT.min(bytes.len())].to_vec();
            self.reject(BadRecord { offset, raw, column: None, reason: too_long().0.reason }, bad)?;
        }
        self.overlong = true;
        Ok(bytes.len())
    }

    /// What is to be consumed before the next record: a byte order mark, the rest of a record that is too long.
    fn before_record(&mut self, bytes: &[u8], last: bool) -> usize {
        let mut consumed = 0;
        if self.at_start {
            self.at_start = bytes.len() < 3 && !last;
            consumed = if bytes.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        }
        if self.overlong {
            let rest = &bytes[consumed..];
            let end = memchr::memchr(b'\n', rest);
            self.overlong = end.is_none() && !last;
            consumed += end.map_or(rest.len(), |end| end + 1);
        }
        consumed
    }
}

impl<R: Records> Decoder for LineDecoder<R> {
    fn decode(&mut self, bytes: &[u8], last: bool, max_rows: usize, bad: &mut dyn BadRecords) -> Result<usize, FormatError> {
        let mut at = self.before_record(bytes, last);
        if self.at_start {
            return Ok(at);
        }
        let complete = memchr::memrchr(b'\n', bytes).map_or(at, |end| (end + 1).max(at));
        while at < complete && self.rows < max_rows && self.bytes < BATCH_BYTES {
            let end = self.record(&bytes[..complete], at, 0, bad)?;
            self.bytes += end - at;
            at = end;
        }
        if at < complete || at == bytes.len() || self.rows >= max_rows || self.bytes >= BATCH_BYTES {
            return Ok(at);
        }
        let rest = &bytes[at..];
        if rest.len() as u64 > RECORD_BYTES.0 {
            return Ok(at + self.overlong_record(rest, at, bad)?);
        }
        if last {
            let mut line = Vec::with_capacity(rest.len() + 1);
            line.extend_from_slice(rest);
            line.push(b'\n');
            self.record(&line, 0, at, bad)?;
            self.bytes += rest.len();
            at = bytes.len();
        }
        Ok(at)
    }

    fn rows(&self) -> usize {
        self.rows
    }

    fn flush(&mut self) -> Result<Option<Batch>, FormatError> {
        let rows = std::mem::take(&mut self.rows);
        self.bytes = 0;
        if rows == 0 {
            return Ok(None);
        }
        let arrays = self.records.columns().finish(rows)?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let columns = RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options)?;
        Ok(Some(match self.records.kinds(rows) {
            None => Batch::append(columns),
            Some(kinds) => Batch::changelog(columns, kinds.into_iter().collect::<RowKinds>())?,
        }))
    }

    fn start_file(&mut self, offset: u64) {
        self.at_start = offset == 0;
        self.overlong = false;
    }
}

/// Makes decoders of plain rows.
#[derive(Debug)]
pub(super) struct RowsFactory {
    /// Cloned for each decoder.
    pub(super) columns: Columns,
    pub(super) reading: Reading,
    pub(super) schema: SchemaRef,
}

impl DecoderFactory for RowsFactory {
    fn decoder(&self) -> Box<dyn Decoder> {
        let rows = Rows { columns: self.columns.clone(), reading: self.reading.clone() };
        Box::new(LineDecoder::new(rows, Arc::clone(&self.schema), self.reading.ignore_errors))
    }

    fn splittable(&self) -> bool {
        true
    }

    fn changelog_mode(&self) -> ChangelogMode {
        ChangelogMode::AppendOnly
    }
}
