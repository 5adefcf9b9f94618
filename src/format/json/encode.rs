//! Batches as JSON, one object a line, as Flink's `RowDataToJsonConverters` and Jackson write them.

use super::scan::string_stop;
use super::{EncodeOptions, NullKey};
use crate::format::cells::{CellValues, Cells, columns_as, elements};
use crate::format::render::{self, Fraction, TimestampWriter};
use crate::format::{Encoder, EncoderFactory, FormatError};
use crate::types::{Batch, ChangelogMode, Schema};
use base64::Engine;
use std::ops::Range;
use std::sync::Arc;

/// What to write for a byte in a string: `u` as `\u00XX`, else behind a backslash; nothing for bytes that stand as they are.
const ESCAPES: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = b'u';
        byte += 1;
    }
    table[0x08] = b'b';
    table[0x09] = b't';
    table[0x0a] = b'n';
    table[0x0c] = b'f';
    table[0x0d] = b'r';
    table[b'"' as usize] = b'"';
    table[b'\\' as usize] = b'\\';
    table
};

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Appends characters that need no backslash. Those outside the Basic Multilingual Plane become two escapes, as Jackson writes them.
fn characters(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| *byte >= 0xf0) {
        out.extend_from_slice(&rest[..at]);
        let length = 4.min(rest.len() - at);
        for unit in String::from_utf8_lossy(&rest[at..at + length]).encode_utf16() {
            out.extend_from_slice(b"\\u");
            out.extend([12, 8, 4, 0].map(|shift| HEX[usize::from(unit >> shift & 15)]));
        }
        rest = &rest[at + length..];
    }
    out.extend_from_slice(rest);
}

/// Appends `text` as a JSON string.
pub(super) fn quoted(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = text;
    loop {
        let (stop, ascii) = string_stop(rest, 0);
        if ascii {
            out.extend_from_slice(&rest[..stop]);
        } else {
            characters(&rest[..stop], out);
        }
        let Some(byte) = rest.get(stop) else { break };
        match ESCAPES[usize::from(*byte)] {
            b'u' => out.extend_from_slice(&[b'\\', b'u', b'0', b'0', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]),
            letter => out.extend_from_slice(&[b'\\', letter]),
        }
        rest = &rest[stop + 1..];
    }
    out.push(b'"');
}

/// A field of an object: its key, ready to be written, and its values.
struct Field<'a> {
    /// `"name":`
    key: Vec<u8>,
    value: Value<'a>,
}

/// A column that is being written.
struct Value<'a> {
    cells: &'a Cells<'a>,
    kind: Kind<'a>,
}

/// What a column needs beside its values.
enum Kind<'a> {
    Plain,
    Timestamp(TimestampWriter),
    Array(Box<Value<'a>>),
    Map { key: &'a Cells<'a>, value: Box<Value<'a>> },
    Row(Vec<Field<'a>>),
}

/// The objects of a batch's rows.
pub(in crate::format) struct Objects<'a> {
    fields: Vec<Field<'a>>,
    options: &'a EncodeOptions,
}

impl<'a> Objects<'a> {
    /// Prepares the columns `cells`, which have the names of `schema`.
    pub(in crate::format) fn new(schema: &Schema, cells: &'a [Cells<'a>], options: &'a EncodeOptions) -> Self {
        let fields = schema.columns.iter().zip(cells).map(|(column, cells)| Field::new(&column.name, cells, options)).collect();
        Self { fields, options }
    }

    /// Appends row `row` as an object.
    pub(in crate::format) fn write(&mut self, row: usize, out: &mut Vec<u8>) -> Result<(), FormatError> {
        write_object(&mut self.fields, self.options, row, out)
    }
}

impl<'a> Field<'a> {
    fn new(name: &str, cells: &'a Cells<'a>, options: &EncodeOptions) -> Self {
        let mut key = Vec::new();
        quoted(name.as_bytes(), &mut key);
        key.push(b':');
        Self { key, value: Value::new(cells, options) }
    }
}

fn write_object(fields: &mut [Field<'_>], options: &EncodeOptions, row: usize, out: &mut Vec<u8>) -> Result<(), FormatError> {
    out.push(b'{');
    let mut first = true;
    for field in fields {
        let null = field.value.cells.is_null(row);
        if null && options.ignore_null_fields {
            continue;
        }
        if !first {
            out.push(b',');
        }
        first = false;
        out.extend_from_slice(&field.key);
        if null {
            out.extend_from_slice(b"null");
        } else {
            field.value.write(options, row, out)?;
        }
    }
    out.push(b'}');
    Ok(())
}

impl<'a> Value<'a> {
    fn new(cells: &'a Cells<'a>, options: &EncodeOptions) -> Self {
        let kind = match &cells.values {
            CellValues::Timestamp { per_second, zoned, .. } => {
                Kind::Timestamp(TimestampWriter::new(options.standard.separator(), Fraction::Shortest, *zoned, *per_second))
            }
            CellValues::Array { element, .. } => Kind::Array(Box::new(Value::new(element, options))),
            CellValues::Map { key, value, .. } => Kind::Map { key, value: Box::new(Value::new(value, options)) },
            CellValues::Row(fields) => Kind::Row(fields.iter().map(|(name, cells)| Field::new(name, cells, options)).collect()),
            _ => Kind::Plain,
        };
        Self { cells, kind }
    }

    fn write_or_null(&mut self, options: &EncodeOptions, row: usize, out: &mut Vec<u8>) -> Result<(), FormatError> {
        if self.cells.is_null(row) {
            out.extend_from_slice(b"null");
            return Ok(());
        }
        self.write(options, row, out)
    }

    /// Appends the value of row `row`, which is not NULL.
    #[inline]
    fn write(&mut self, options: &EncodeOptions, row: usize, out: &mut Vec<u8>) -> Result<(), FormatError> {
        match (&self.cells.values, &mut self.kind) {
            (CellValues::Int64(values), _) => render::integer(values[row], out),
            (CellValues::Text(values), _) => quoted(values.value(row).as_bytes(), out),
            (CellValues::Timestamp { ticks, .. }, Kind::Timestamp(writer)) => {
                out.push(b'"');
                writer.write(ticks[row], out);
                out.push(b'"');
            }
            (CellValues::Boolean(values), _) => out.extend_from_slice(if values.value(row) { b"true" } else { b"false" }),
            (CellValues::Int8(values), _) => render::integer(values[row], out),
            (CellValues::Int16(values), _) => render::integer(values[row], out),
            (CellValues::Int32(values), _) => render::integer(values[row], out),
            (CellValues::Float32(values), _) => finite_or_quoted(values[row].is_finite(), out, |out| render::float(values[row], out)),
            (CellValues::Float64(values), _) => finite_or_quoted(values[row].is_finite(), out, |out| render::double(values[row], out)),
            (CellValues::Decimal(values, scale), _) if options.plain_decimals => render::plain_decimal(values[row], *scale, out),
            (CellValues::Decimal(values, scale), _) => render::stripped_decimal(values[row], *scale, out),
            _ => return self.write_other(options, row, out),
        }
        Ok(())
    }

    fn write_other(&mut self, options: &EncodeOptions, row: usize, out: &mut Vec<u8>) -> Result<(), FormatError> {
        match (&self.cells.values, &mut self.kind) {
            (CellValues::Binary(values), _) => {
                let encoded = base64::engine::general_purpose::STANDARD.encode(values.value(row));
                quoted(encoded.as_bytes(), out);
            }
            (CellValues::Date(days), _) => in_quotes(out, |out| render::date(i64::from(days[row]), out)),
            (CellValues::Time(millis), _) => in_quotes(out, |out| render::time(i64::from(millis[row]), Fraction::Shortest, out)),
            (CellValues::Array { offsets, .. }, Kind::Array(element)) => {
                out.push(b'[');
                for (number, index) in elements(offsets, row).enumerate() {
                    if number > 0 {
                        out.push(b',');
                    }
                    element.write_or_null(options, index, out)?;
                }
                out.push(b']');
            }
            (CellValues::Map { offsets, .. }, Kind::Map { key, value }) => {
                write_map(elements(offsets, row), key, value, options, out)?;
            }
            (CellValues::Row(_), Kind::Row(fields)) => write_object(fields, options, row, out)?,
            _ => out.extend_from_slice(b"null"),
        }
        Ok(())
    }
}

fn write_map(
    entries: Range<usize>,
    keys: &Cells<'_>,
    values: &mut Value<'_>,
    options: &EncodeOptions,
    out: &mut Vec<u8>,
) -> Result<(), FormatError> {
    out.push(b'{');
    let mut first = true;
    for index in entries {
        let key = match &keys.values {
            CellValues::Text(texts) if !keys.is_null(index) => texts.value(index),
            _ => match &options.null_key {
                NullKey::Literal(literal) => literal.as_str(),
                NullKey::Drop => continue,
                NullKey::Fail => {
                    let message = "a map has a NULL key; set map-null-key.mode to DROP or LITERAL to write it".to_owned();
                    return Err(FormatError::Unwritable { column: "a MAP".to_owned(), message });
                }
            },
        };
        if !first {
            out.push(b',');
        }
        first = false;
        quoted(key.as_bytes(), out);
        out.push(b':');
        values.write_or_null(options, index, out)?;
    }
    out.push(b'}');
    Ok(())
}

fn in_quotes(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(b'"');
    write(out);
    out.push(b'"');
}

/// Numbers that JSON has no form for are strings, as Jackson writes them.
fn finite_or_quoted(finite: bool, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    if finite { write(out) } else { in_quotes(out, write) }
}

/// Writes plain rows, and makes its like.
#[derive(Debug, Clone)]
pub(super) struct JsonEncoder {
    pub(super) schema: Arc<Schema>,
    pub(super) options: EncodeOptions,
}

impl Encoder for JsonEncoder {
    fn encode(&mut self, batch: &Batch, rows: Range<usize>, out: &mut Vec<u8>) -> Result<(), FormatError> {
        let columns = columns_as(batch, &self.schema)?;
        let cells = Cells::of_columns(&columns, &self.schema)?;
        let mut objects = Objects::new(&self.schema, &cells, &self.options);
        for row in rows {
            objects.write(row, out)?;
            out.push(b'\n');
        }
        Ok(())
    }
}

impl EncoderFactory for JsonEncoder {
    fn encoder(&self) -> Box<dyn Encoder> {
        Box::new(self.clone())
    }

    fn changelog_mode(&self) -> ChangelogMode {
        ChangelogMode::AppendOnly
    }

    fn extension(&self) -> &'static str {
        "json"
    }
}
