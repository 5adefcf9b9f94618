//! The CSV encoder. What is quoted is what Jackson quotes: texts of more than 24 characters, and texts with a character that may
//! need it or that sorts before one that does (a blank, for instance).

use super::Dialect;
use crate::format::cells::{CellValues, Cells, columns_as, elements};
use crate::format::render::{self, Fraction, TimestampWriter};
use crate::format::{Encoder, EncoderFactory, FormatError};
use crate::types::{Batch, ChangelogMode, Schema};
use base64::Engine;
use std::ops::Range;
use std::sync::Arc;

/// The longest text that Jackson looks at before it quotes.
const LONGEST_CHECKED: usize = 24;

/// A column that is being written.
struct Value<'a> {
    cells: &'a Cells<'a>,
    timestamps: Option<TimestampWriter>,
    /// An array's elements or a row's fields.
    inner: Vec<Value<'a>>,
}

impl<'a> Value<'a> {
    fn new(cells: &'a Cells<'a>) -> Self {
        let (mut timestamps, mut inner) = (None, Vec::new());
        match &cells.values {
            CellValues::Timestamp { per_second, zoned, .. } => {
                timestamps = Some(TimestampWriter::new(b' ', Fraction::Shortest, *zoned, *per_second));
            }
            CellValues::Array { element, .. } => inner.push(Value::new(element)),
            CellValues::Row(fields) => inner.extend(fields.iter().map(|(_, cells)| Value::new(cells))),
            _ => {}
        }
        Self { cells, timestamps, inner }
    }

    /// Appends the text of row `row`, quoted if need be.
    #[inline]
    fn write_field(&mut self, dialect: &Dialect, row: usize, scratch: &mut Vec<u8>, out: &mut Vec<u8>) {
        if self.cells.is_null(row) {
            out.extend_from_slice(dialect.null_literal.as_deref().unwrap_or_default().as_bytes());
            return;
        }
        match &self.cells.values {
            CellValues::Int64(values) => render::integer(values[row], out),
            CellValues::Text(values) => field_text(dialect, values.value(row).as_bytes(), out),
            CellValues::Null
            | CellValues::Boolean(_)
            | CellValues::Int8(_)
            | CellValues::Int16(_)
            | CellValues::Int32(_)
            | CellValues::Float32(_)
            | CellValues::Float64(_)
            | CellValues::Decimal(..) => self.write_text(dialect, row, out),
            _ => {
                scratch.clear();
                self.write_text(dialect, row, scratch);
                field_text(dialect, scratch, out);
            }
        }
    }

    /// Appends the text of row `row` without quotes.
    fn write_text(&mut self, dialect: &Dialect, row: usize, out: &mut Vec<u8>) {
        if self.cells.is_null(row) {
            out.extend_from_slice(dialect.null_literal.as_deref().unwrap_or_default().as_bytes());
            return;
        }
        match &self.cells.values {
            CellValues::Null | CellValues::Map { .. } => {}
            CellValues::Boolean(values) => out.extend_from_slice(if values.value(row) { b"true" } else { b"false" }),
            CellValues::Int8(values) => render::integer(values[row], out),
            CellValues::Int16(values) => render::integer(values[row], out),
            CellValues::Int32(values) => render::integer(values[row], out),
            CellValues::Int64(values) => render::integer(values[row], out),
            CellValues::Float32(values) => render::float(values[row], out),
            CellValues::Float64(values) => render::double(values[row], out),
            CellValues::Decimal(values, scale) if dialect.scientific => render::stripped_decimal(values[row], *scale, out),
            CellValues::Decimal(values, scale) => render::plain_decimal(values[row], *scale, out),
            CellValues::Text(values) => out.extend_from_slice(values.value(row).as_bytes()),
            CellValues::Binary(values) => {
                let encoded = base64::engine::general_purpose::STANDARD.encode(values.value(row));
                out.extend_from_slice(encoded.as_bytes());
            }
            CellValues::Date(days) => render::date(i64::from(days[row]), out),
            CellValues::Time(millis) => render::time(i64::from(millis[row]), Fraction::Shortest, out),
            CellValues::Timestamp { ticks, .. } => {
                if let Some(writer) = &mut self.timestamps {
                    writer.write(ticks[row], out);
                }
            }
            CellValues::Array { offsets, .. } => {
                for (number, index) in elements(offsets, row).enumerate() {
                    if number > 0 {
                        out.extend_from_slice(dialect.element_delimiter.as_bytes());
                    }
                    self.inner.iter_mut().for_each(|element| element.write_text(dialect, index, out));
                }
            }
            CellValues::Row(_) => {
                for (number, field) in self.inner.iter_mut().enumerate() {
                    if number > 0 {
                        out.extend_from_slice(dialect.element_delimiter.as_bytes());
                    }
                    field.write_text(dialect, row, out);
                }
            }
        }
    }
}

/// Appends `text`, quoted if need be.
fn field_text(dialect: &Dialect, text: &[u8], out: &mut Vec<u8>) {
    let Some(quote) = dialect.quote else {
        out.extend_from_slice(text);
        return;
    };
    // Jackson counts UTF-16 units; a text of at most 24 bytes has no more of them.
    let long = text.len() > LONGEST_CHECKED && utf16_units(text) > LONGEST_CHECKED;
    let unsafe_below = dialect.delimiter.max(quote);
    // Without quotes no line end may come up, and no text that reads as a comment or is taken for NULL.
    let needs = |byte: &u8| *byte <= unsafe_below || Some(*byte) == dialect.escape || matches!(byte, b'\n' | b'\r' | b'\\');
    if !long && !text.iter().any(needs) {
        out.extend_from_slice(text);
        return;
    }
    out.push(quote);
    let escape = dialect.escape.unwrap_or(quote);
    let mut rest = text;
    while let Some(at) = memchr::memchr2(quote, escape, rest) {
        out.extend_from_slice(&rest[..=at]);
        out.push(rest[at]);
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.push(quote);
}

fn utf16_units(text: &[u8]) -> usize {
    text.iter().map(|byte| usize::from(*byte & 0xc0 != 0x80) + usize::from(*byte >= 0xf0)).sum()
}

/// Makes CSV encoders.
#[derive(Debug)]
pub(super) struct CsvEncoderFactory {
    pub(super) dialect: Arc<Dialect>,
    pub(super) schema: Arc<Schema>,
}

struct CsvEncoder {
    dialect: Arc<Dialect>,
    schema: Arc<Schema>,
    /// The header line is still to be written.
    at_header: bool,
    scratch: Vec<u8>,
}

impl Encoder for CsvEncoder {
    fn encode(&mut self, batch: &Batch, rows: Range<usize>, out: &mut Vec<u8>) -> Result<(), FormatError> {
        if std::mem::take(&mut self.at_header) {
            for (number, column) in self.schema.columns.iter().enumerate() {
                if number > 0 {
                    out.push(self.dialect.delimiter);
                }
                field_text(&self.dialect, column.name.as_bytes(), out);
            }
            out.push(b'\n');
        }
        let columns = columns_as(batch, &self.schema)?;
        let cells = Cells::of_columns(&columns, &self.schema)?;
        let mut values: Vec<Value<'_>> = cells.iter().map(Value::new).collect();
        for row in rows {
            for (number, value) in values.iter_mut().enumerate() {
                if number > 0 {
                    out.push(self.dialect.delimiter);
                }
                value.write_field(&self.dialect, row, &mut self.scratch, out);
            }
            out.push(b'\n');
        }
        Ok(())
    }
}

impl EncoderFactory for CsvEncoderFactory {
    fn encoder(&self) -> Box<dyn Encoder> {
        let (dialect, schema) = (Arc::clone(&self.dialect), Arc::clone(&self.schema));
        Box::new(CsvEncoder { at_header: dialect.header, dialect, schema, scratch: Vec::new() })
    }

    fn changelog_mode(&self) -> ChangelogMode {
        ChangelogMode::AppendOnly
    }

    fn extension(&self) -> &'static str {
        "csv"
    }
}
