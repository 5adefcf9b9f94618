//! The CSV decoder: RFC 4180 as Jackson reads it, values straight into columns.

use super::Dialect;
use super::value::{misfit, write};
use crate::format::column::{Columns, Values, put};
use crate::format::parse::{digits, signed, word_at};
use crate::format::{BadRecord, BadRecords, Decoder, DecoderFactory, FormatError};
use crate::types::limits::RECORD_BYTES;
use crate::types::{Batch, ChangelogMode};
use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use std::sync::Arc;

/// Bytes of records after which a batch is full whatever its rows: string columns address their bytes with 31 bits.
const BATCH_BYTES: usize = 1 << 28;

/// What is kept of a record that is too long.
const OVERLONG_KEPT: usize = 1_000;

/// What reading a record has come to.
enum Outcome {
    /// The record ends here.
    Read(usize),
    /// It was blank or a comment, and ends here.
    Passed(usize),
    /// It ends here, and something is wrong with it.
    Bad(usize, Reject),
    /// Its end is not among the bytes.
    Incomplete,
}

struct Reject {
    column: Option<String>,
    reason: String,
}

impl Reject {
    fn new(reason: String) -> Self {
        Self { column: None, reason }
    }
}

/// Bytes that end with a line end.
struct Input<'a> {
    bytes: &'a [u8],
    /// What they begin at for the caller.
    offset: usize,
    /// Nothing follows them.
    last: bool,
}

/// A field's text, and where its delimiter or line end stands.
struct Field {
    text: Text,
    ascii: bool,
    end: usize,
}

/// Where a field's text is.
enum Text {
    /// From here to there in the record.
    Plain(usize, usize),
    /// In the scratch buffer, quotes and escapes resolved.
    Resolved,
}

/// Decodes CSV.
#[expect(clippy::struct_excessive_bools, reason = "independent facts, not the states of one machine")]
pub(super) struct CsvDecoder {
    dialect: Arc<Dialect>,
    columns: Columns,
    schema: SchemaRef,
    /// For each field of a record the column that takes it.
    targets: Vec<Option<u32>>,
    /// Each column takes a field.
    complete: bool,
    /// The header line has not been read yet.
    at_header: bool,
    at_start: bool,
    /// Inside a record that is too long.
    overlong: bool,
    rows: usize,
    bytes: usize,
    scratch: Vec<u8>,
}

const ONES: u64 = 0x0101_0101_0101_0101;
const TOPS: u64 = 0x8080_8080_8080_8080;

/// The position of the first byte at or behind `at` that is one of `stops`, and whether all before it are ASCII.
#[inline]
fn stop_at(bytes: &[u8], mut at: usize, stops: [u8; 3]) -> (usize, bool) {
    let [a, b, c] = stops.map(|stop| u64::from(stop) * ONES);
    let mut high = 0;
    while let Some(word) = word_at(bytes, at) {
        let (a, b, c) = (word ^ a, word ^ b, word ^ c);
        let found = ((a.wrapping_sub(ONES) & !a) | (b.wrapping_sub(ONES) & !b) | (c.wrapping_sub(ONES) & !c)) & TOPS;
        if found != 0 {
            let stop = found.trailing_zeros();
            high |= word & TOPS & ((1 << stop) - 1);
            return (at + (stop / 8) as usize, high == 0);
        }
        high |= word & TOPS;
        at += 8;
    }
    let mut ascii = high == 0;
    while let Some(byte) = bytes.get(at).filter(|byte| !stops.contains(byte)) {
        ascii &= byte.is_ascii();
        at += 1;
    }
    (at, ascii)
}

impl CsvDecoder {
    /// The record that begins at `at` into row `row`. `bytes` end with a line end.
    #[inline]
    fn record(&mut self, bytes: &[u8], at: usize, row: usize) -> Outcome {
        if let Some(passed) = self.passed(bytes, at) {
            return Outcome::Passed(passed);
        }
        self.columns.record += 1;
        let (mut at, mut number, mut reject) = (at, 0, None);
        loop {
            let target = self.targets.get(number).copied().flatten();
            let read = match target.map(|target| target as usize) {
                Some(target) if reject.is_none() => match self.plain_value(bytes, at, row, target) {
                    Some(end) => Ok(end),
                    None => self.value(bytes, at, row, target, &mut reject),
                },
                _ => self.field(bytes, at).map(|field| field.end),
            };
            number += 1;
            match read {
                Ok(end) if bytes.get(end) == Some(&self.dialect.delimiter) => at = end + 1,
                Ok(end) => {
                    let reject = reject.or_else(|| self.finish_record(number, row));
                    return reject.map_or(Outcome::Read(end + 1), |reject| Outcome::Bad(end + 1, reject));
                }
                Err(None) => return Outcome::Incomplete,
                Err(Some(syntax)) => {
                    let end = line_end(bytes, at);
                    return Outcome::Bad(end, syntax);
                }
            }
        }
    }

    /// The end of a line that is no record: a comment, or an empty line where a record has several fields.
    #[inline]
    fn passed(&self, bytes: &[u8], at: usize) -> Option<usize> {
        match bytes.get(at)? {
            b'#' if self.dialect.comments => Some(line_end(bytes, at)),
            b'\n' if self.targets.len() != 1 => Some(at + 1),
            b'\r' if self.targets.len() != 1 && bytes.get(at + 1) == Some(&b'\n') => Some(at + 2),
            _ => None,
        }
    }

    /// The usual forms of the usual types, without a quote: the position of the delimiter behind it.
    #[inline]
    fn plain_value(&mut self, bytes: &[u8], at: usize, row: usize, target: usize) -> Option<usize> {
        if self.dialect.null_literal.is_some() {
            return None;
        }
        let record = self.columns.record;
        let column = self.columns.columns.get_mut(target)?;
        let end = match &mut column.values {
            Values::Int64(values) => {
                let negative = bytes.get(at) == Some(&b'-');
                let start = at + usize::from(negative);
                let (magnitude, end) = digits(bytes, start)?;
                let value = signed(magnitude, negative).filter(|_| end > start && self.dialect.ends_field(bytes, end))?;
                put(values, row, value);
                end
            }
            Values::Timestamp { ticks, reader, .. } => {
                let value = reader.millis(bytes, at)?;
                let end = at + 23;
                if !self.dialect.ends_field(bytes, end) {
                    return None;
                }
                put(ticks, row, value);
                end
            }
            _ => return None,
        };
        column.validity.set(row);
        column.written_by = record;
        Some(end)
    }

    /// Any value: the position of the delimiter or line end behind it. What is wrong with the value goes to `reject`, what is
    /// wrong with the record is the error; `None`: the record is incomplete.
    fn value(&mut self, bytes: &[u8], at: usize, row: usize, target: usize, reject: &mut Option<Reject>) -> Result<usize, Option<Reject>> {
        let field = self.field(bytes, at)?;
        let text = match field.text {
            Text::Plain(start, end) => &bytes[start..end],
            Text::Resolved => self.scratch.as_slice(),
        };
        let Some(column) = self.columns.columns.get_mut(target) else { return Ok(field.end) };
        column.written_by = self.columns.record;
        let written = match &mut column.values {
            Values::Text(values) if field.ascii && self.dialect.null_literal.is_none() => {
                values.write(row, text);
                column.validity.set(row);
                true
            }
            _ => write(column, row, text, &self.dialect),
        };
        if !written {
            if self.dialect.ignore_errors && column.data_type.nullable {
                column.set_null(row);
            } else {
                let name = self.columns.fields.get(target).map(|field| field.name().clone());
                *reject = Some(Reject { column: name, reason: misfit(column, text) });
            }
        }
        Ok(field.end)
    }

    /// The field at `at`.
    #[inline]
    fn field(&mut self, bytes: &[u8], at: usize) -> Result<Field, Option<Reject>> {
        if self.dialect.quote.is_some() && bytes.get(at).copied() == self.dialect.quote {
            return self.quoted_field(bytes, at + 1);
        }
        let (stop, ascii) = stop_at(bytes, at, self.dialect.stops);
        if stop >= bytes.len() {
            return Err(None);
        }
        if self.dialect.escape.is_some() && bytes.get(stop).copied() == self.dialect.escape {
            return self.escaped_field(bytes, at);
        }
        // A line end may be two characters.
        let line_end = bytes.get(stop) == Some(&b'\n') && stop > at && bytes.get(stop - 1) == Some(&b'\r');
        Ok(Field { text: Text::Plain(at, stop - usize::from(line_end)), ascii, end: stop })
    }

    /// The field whose opening quote stands before `at`.
    fn quoted_field(&mut self, bytes: &[u8], at: usize) -> Result<Field, Option<Reject>> {
        let quote = self.dialect.quote.unwrap_or(b'"');
        let escape = self.dialect.escape.unwrap_or(quote);
        let mut start = at;
        let mut resolved = false;
        self.scratch.clear();
        let close = loop {
            let rest = bytes.get(start..).unwrap_or_default();
            let stop = start + memchr::memchr2(quote, escape, rest).ok_or(None)?;
            let next = bytes.get(stop + 1).copied().ok_or(None)?;
            if bytes.get(stop) == Some(&quote) && next != quote {
                break stop;
            }
            resolved = true;
            self.scratch.extend_from_slice(&bytes[start..stop]);
            self.scratch.push(if bytes.get(stop) == Some(&quote) { quote } else { unescaped(next) });
            start = stop + 2;
        };
        let ascii;
        let text = if resolved {
            self.scratch.extend_from_slice(&bytes[start..close]);
            ascii = self.scratch.is_ascii();
            Text::Resolved
        } else {
            ascii = bytes[at..close].is_ascii();
            Text::Plain(at, close)
        };
        let mut end = close + 1;
        while !self.dialect.ends_field(bytes, end) {
            match bytes.get(end) {
                None => return Err(None),
                Some(b' ' | b'\t' | b'\r') => end += 1,
                Some(byte) => {
                    let found = char::from(*byte);
                    return Err(Some(Reject::new(format!("expected the delimiter or the end of the line behind a quote, found {found}"))));
                }
            }
        }
        Ok(Field { text, ascii, end })
    }

    /// The field at `at`, which has escapes and no quotes around it.
    fn escaped_field(&mut self, bytes: &[u8], at: usize) -> Result<Field, Option<Reject>> {
        self.scratch.clear();
        let mut start = at;
        loop {
            let (stop, _) = stop_at(bytes, start, self.dialect.stops);
            self.scratch.extend_from_slice(&bytes[start..stop]);
            if self.dialect.ends_field(bytes, stop) {
                if bytes.get(stop) == Some(&b'\n') && self.scratch.last() == Some(&b'\r') {
                    self.scratch.pop();
                }
                return Ok(Field { text: Text::Resolved, ascii: self.scratch.is_ascii(), end: stop });
            }
            self.scratch.push(unescaped(bytes.get(stop + 1).copied().ok_or(None)?));
            start = stop + 2;
        }
    }

    /// A record of `fields` fields has ended: makes sure that every column of row `row` is written.
    #[inline]
    fn finish_record(&mut self, fields: usize, row: usize) -> Option<Reject> {
        let expected = self.targets.len();
        if fields != expected && (fields > expected || !self.dialect.ignore_errors) {
            return Some(Reject::new(format!("expected {expected} fields, found {fields}")));
        }
        if fields == expected && self.complete {
            return None;
        }
        for (column, field) in self.columns.columns.iter_mut().zip(&self.columns.fields) {
            if column.written_by == self.columns.record {
                continue;
            }
            if !column.data_type.nullable {
                let reason = format!("expected {}, but the field is missing", column.data_type);
                return Some(Reject { column: Some(field.name().clone()), reason });
            }
            column.set_null(row);
        }
        None
    }

    /// Takes the header line at `at`: which field goes to which column.
    fn header(&mut self, bytes: &[u8], at: usize) -> Outcome {
        let (mut names, mut at) = (Vec::new(), at);
        loop {
            let field = match self.field(bytes, at) {
                Ok(field) => field,
                Err(None) => return Outcome::Incomplete,
                Err(Some(reject)) => return Outcome::Bad(line_end(bytes, at), reject),
            };
            let text = match field.text {
                Text::Plain(start, end) => &bytes[start..end],
                Text::Resolved => self.scratch.as_slice(),
            };
            names.push(String::from_utf8_lossy(text).trim().to_owned());
            at = field.end + 1;
            if bytes.get(field.end) == Some(&b'\n') {
                break;
            }
        }
        let position = |name: &String| self.columns.fields.iter().position(|field| field.name() == name).map(|index| index as u32);
        self.targets = names.iter().map(position).collect();
        let missing = self.columns.fields.iter().find(|field| !names.contains(field.name()));
        self.complete = missing.is_none();
        match missing {
            None => Outcome::Passed(at),
            Some(field) => {
                let reason = format!("the header does not name it; it names {}", names.join(", "));
                Outcome::Bad(at, Reject { column: Some(field.name().clone()), reason })
            }
        }
    }

    fn reject(&self, offset: usize, raw: &[u8], reject: Reject, bad: &mut dyn BadRecords) -> Result<(), FormatError> {
        let raw = if raw.len() as u64 > RECORD_BYTES.0 { &raw[..OVERLONG_KEPT] } else { raw };
        let raw = raw.strip_suffix(b"\n").unwrap_or(raw);
        let raw = raw.strip_suffix(b"\r").unwrap_or(raw).to_vec();
        let record = BadRecord { offset, raw, column: reject.column, reason: reject.reason };
        if self.dialect.ignore_errors {
            bad.ignored_record(record);
            return Ok(());
        }
        bad.bad_record(record)
    }

    /// Reads records of `input` from `at` on, until the batch is full or a record is incomplete. Returns the position behind
    /// the last record.
    fn records(&mut self, input: &Input<'_>, mut at: usize, max_rows: usize, bad: &mut dyn BadRecords) -> Result<usize, FormatError> {
        let Input { bytes, offset, last } = *input;
        while at < bytes.len() && self.rows < max_rows && self.bytes < BATCH_BYTES {
            let outcome = if self.at_header { self.header(bytes, at) } else { self.record(bytes, at, self.rows) };
            let end = match outcome {
                Outcome::Read(end) if (end - at) as u64 <= RECORD_BYTES.0 + 1 => {
                    self.rows += 1;
                    end
                }
                Outcome::Passed(end) => end,
                Outcome::Read(end) => {
                    self.reject(offset + at, &bytes[at..end], too_long(), bad)?;
                    end
                }
                Outcome::Bad(end, reject) => {
                    self.reject(offset + at, &bytes[at..end], reject, bad)?;
                    end
                }
                // At the end nothing can close the quote any more: the first line of it is what is wrong.
                Outcome::Incomplete if last || (bytes.len() - at) as u64 > RECORD_BYTES.0 => {
                    let end = line_end(bytes, at);
                    self.reject(offset + at, &bytes[at..end], Reject::new("a quote is not closed".to_owned()), bad)?;
                    end
                }
                Outcome::Incomplete => break,
            };
            self.at_header = false;
            self.bytes += end - at;
            at = end;
        }
        Ok(at)
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

/// The position behind the line that `at` is in.
fn line_end(bytes: &[u8], at: usize) -> usize {
    memchr::memchr(b'\n', bytes.get(at..).unwrap_or_default()).map_or(bytes.len(), |end| at + end + 1)
}

fn too_long() -> Reject {
    Reject::new(format!("the record is longer than {RECORD_BYTES}"))
}

/// What an escape character and `byte` stand for.
const fn unescaped(byte: u8) -> u8 {
    match byte {
        b'0' => 0,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        other => other,
    }
}

impl Decoder for CsvDecoder {
    fn decode(&mut self, bytes: &[u8], last: bool, max_rows: usize, bad: &mut dyn BadRecords) -> Result<usize, FormatError> {
        let at = self.before_record(bytes, last);
        if self.at_start {
            return Ok(at);
        }
        // A last line without an end gets one.
        let complete = memchr::memrchr(b'\n', bytes).map_or(0, |end| end + 1);
        let unended = last && complete < bytes.len();
        let mut at = self.records(&Input { bytes: &bytes[..complete.max(at)], offset: 0, last: last && !unended }, at, max_rows, bad)?;
        let full = self.rows >= max_rows || self.bytes >= BATCH_BYTES;
        if full || at == bytes.len() {
            return Ok(at);
        }
        let rest = &bytes[at..];
        if unended {
            let mut line = Vec::with_capacity(rest.len() + 1);
            line.extend_from_slice(rest);
            line.push(b'\n');
            let end = self.records(&Input { bytes: &line, offset: at, last: true }, 0, max_rows, bad)?;
            at += end.min(rest.len());
        } else if complete <= at && rest.len() as u64 > RECORD_BYTES.0 {
            if !self.overlong {
                self.reject(at, &rest[..OVERLONG_KEPT.min(rest.len())], too_long(), bad)?;
            }
            self.overlong = true;
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
        let arrays = self.columns.finish(rows)?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(Some(Batch::append(RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options)?)))
    }

    fn start_file(&mut self, offset: u64) {
        self.at_start = offset == 0;
        self.at_header = self.dialect.header;
        self.overlong = false;
    }

    fn read_header(&mut self, start_of_file: &[u8], last: bool) -> bool {
        if !self.at_header {
            return true;
        }
        let bytes = start_of_file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start_of_file);
        let complete = memchr::memrchr(b'\n', bytes).map_or(0, |end| end + 1);
        // What is wrong with the header was said when the file was begun.
        let read = complete > 0 && !matches!(self.header(&bytes[..complete], 0), Outcome::Incomplete);
        self.at_header = !(read || last);
        !self.at_header
    }
}

/// Makes CSV decoders.
#[derive(Debug)]
pub(super) struct CsvDecoderFactory {
    pub(super) dialect: Arc<Dialect>,
    /// Cloned for each decoder.
    pub(super) columns: Columns,
    pub(super) schema: SchemaRef,
    /// For each declared column the one of `columns` that it is.
    pub(super) targets: Vec<Option<u32>>,
}

impl DecoderFactory for CsvDecoderFactory {
    fn decoder(&self) -> Box<dyn Decoder> {
        Box::new(CsvDecoder {
            dialect: Arc::clone(&self.dialect),
            columns: self.columns.clone(),
            schema: Arc::clone(&self.schema),
            targets: self.targets.clone(),
            complete: true,
            at_header: false,
            at_start: false,
            overlong: false,
            rows: 0,
            bytes: 0,
            scratch: Vec::new(),
        })
    }

    fn splittable(&self) -> bool {
        self.dialect.quote.is_none() && self.dialect.escape.is_none() && !self.dialect.header
    }

    fn changelog_mode(&self) -> ChangelogMode {
        ChangelogMode::AppendOnly
    }
}
