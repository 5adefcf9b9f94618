//! `csv`: one record a line (quoted fields may span lines), Flink's `csv` format.

mod decode;
mod encode;
#[cfg(test)]
mod tests;
mod value;

use super::calendar::TimestampStandard;
use super::column::Columns;
use super::{DecoderFactory, EncoderFactory};
use crate::types::{OptionError, OptionKind, OptionSpec, Options, Schema, TypeKind};
use decode::CsvDecoderFactory;
use encode::CsvEncoderFactory;
use std::sync::Arc;

const fn option(key: &'static str, kind: OptionKind, default: Option<&'static str>, doc: &'static str) -> OptionSpec {
    OptionSpec { key, kind, default, required: false, doc }
}

/// Flink's options of `csv`, and `csv.header`.
pub(super) const OPTIONS: &[OptionSpec] = &[
    option("csv.field-delimiter", OptionKind::Text, Some(","), "The character between fields; \\t is a tab."),
    option("csv.disable-quote-character", OptionKind::Bool, Some("false"), "No character encloses fields: every line is a record."),
    option("csv.quote-character", OptionKind::Text, Some("\""), "The character that encloses fields."),
    option("csv.allow-comments", OptionKind::Bool, Some("false"), "Lines that start with # are skipped."),
    option(
        "csv.ignore-parse-errors",
        OptionKind::Bool,
        Some("false"),
        "Fields that cannot be read become NULL, records that cannot be read are skipped.",
    ),
    option(
        "csv.array-element-delimiter",
        OptionKind::Text,
        Some(";"),
        "What stands between the elements of an ARRAY and the fields of a nested ROW.",
    ),
    option("csv.escape-character", OptionKind::Text, None, "The character that takes the next one literally."),
    option(
        "csv.null-literal",
        OptionKind::Text,
        None,
        "The text that means NULL. Without it NULL is written as an empty field, and an empty field is read as NULL, except into a STRING, BYTES or ARRAY, whose empty value it is.",
    ),
    option(
        "csv.write-bigdecimal-in-scientific-notation",
        OptionKind::Bool,
        Some("true"),
        "Decimals may be written in scientific notation.",
    ),
    option(
        "csv.header",
        OptionKind::Bool,
        Some("false"),
        "The first line of a file names the columns. When reading, fields go to columns by these names.",
    ),
];

/// What the options say about the text.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each one is an option")]
pub(super) struct Dialect {
    delimiter: u8,
    quote: Option<u8>,
    escape: Option<u8>,
    comments: bool,
    ignore_errors: bool,
    element_delimiter: String,
    null_literal: Option<String>,
    scientific: bool,
    header: bool,
    /// What ends or interrupts a field without quotes: the delimiter, the line end, the escape character.
    stops: [u8; 3],
}

impl Dialect {
    fn read(options: &Options) -> Result<Self, OptionError> {
        let delimiter = character(options, "csv.field-delimiter")?.unwrap_or(b',');
        let quote = character(options, "csv.quote-character")?;
        let quote = match (options.bool("csv.disable-quote-character", false)?, quote) {
            (true, Some(_)) => {
                let message = "there is a quote character while csv.disable-quote-character is true";
                return Err(OptionError::new("csv.quote-character", message));
            }
            (true, None) => None,
            (false, quote) => Some(quote.unwrap_or(b'"')),
        };
        let escape = character(options, "csv.escape-character")?;
        if quote == Some(delimiter) || escape == Some(delimiter) {
            let message = "it is also the quote or the escape character";
            return Err(OptionError::new("csv.field-delimiter", message));
        }
        Ok(Self {
            delimiter,
            quote,
            escape,
            comments: options.bool("csv.allow-comments", false)?,
            ignore_errors: options.bool("csv.ignore-parse-errors", false)?,
            element_delimiter: options.get("csv.array-element-delimiter").unwrap_or(";").to_owned(),
            null_literal: options.get("csv.null-literal").map(str::to_owned),
            scientific: options.bool("csv.write-bigdecimal-in-scientific-notation", true)?,
            header: options.bool("csv.header", false)?,
            stops: [delimiter, b'\n', escape.unwrap_or(delimiter)],
        })
    }

    /// True if the byte at `at` is a delimiter or a line end.
    #[inline]
    fn ends_field(&self, bytes: &[u8], at: usize) -> bool {
        bytes.get(at).is_some_and(|byte| *byte == self.delimiter || *byte == b'\n')
    }
}

/// An option that is one ASCII character; `\t` and the like are Java's escapes.
fn character(options: &Options, key: &str) -> Result<Option<u8>, OptionError> {
    let Some(text) = options.get(key) else { return Ok(None) };
    match text.as_bytes() {
        [byte] if byte.is_ascii() && !matches!(byte, b'\n' | b'\r') => Ok(Some(*byte)),
        b"\\t" => Ok(Some(b'\t')),
        b"\\\\" => Ok(Some(b'\\')),
        [b'\\', b'u', hex @ ..] => match std::str::from_utf8(hex).ok().and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) if byte.is_ascii() && hex.len() == 4 => Ok(Some(byte)),
            _ => Err(OptionError::new(key, format!("expected one ASCII character, found \"{text}\""))),
        },
        _ => Err(OptionError::new(key, format!("expected one ASCII character, found \"{text}\""))),
    }
}

/// An error if CSV has no form for a column: maps, and arrays or rows in arrays or rows.
fn check(schema: &Schema) -> Result<(), OptionError> {
    let scalar = |kind: &TypeKind| !matches!(kind, TypeKind::Array(_) | TypeKind::Map(..) | TypeKind::Row(_) | TypeKind::Interval);
    let representable = |kind: &TypeKind| match kind {
        TypeKind::Array(element) => scalar(&element.kind),
        TypeKind::Row(fields) => fields.iter().all(|(_, field)| scalar(&field.kind)),
        other => scalar(other),
    };
    match schema.columns.iter().find(|column| !representable(&column.data_type.kind)) {
        None => Ok(()),
        Some(column) => Err(OptionError::new(
            "format",
            format!("column {} {}: CSV has no form for MAP, INTERVAL, and ARRAY or ROW inside ARRAY or ROW", column.name, column.data_type),
        )),
    }
}

/// Makes decoders for the columns of `schema` at `projection`.
pub(super) fn decoder_factory(schema: &Schema, projection: &[usize], options: &Options) -> Result<Arc<dyn DecoderFactory>, OptionError> {
    let dialect = Dialect::read(options)?;
    let projected = schema.project(projection);
    check(&projected)?;
    let columns = Columns::new(&projected, TimestampStandard::Sql)
        .map_err(|name| OptionError::new("format", format!("column {name}: its type cannot be read from CSV")))?;
    let target = |field: usize| projection.iter().position(|column| *column == field).map(|target| target as u32);
    let targets = (0..schema.columns.len()).map(target).collect();
    Ok(Arc::new(CsvDecoderFactory { dialect: Arc::new(dialect), columns, schema: projected.to_arrow(), targets }))
}

/// Makes encoders for the columns of `schema`.
pub(super) fn encoder_factory(schema: &Schema, options: &Options) -> Result<Arc<dyn EncoderFactory>, OptionError> {
    let dialect = Arc::new(Dialect::read(options)?);
    check(schema)?;
    Ok(Arc::new(CsvEncoderFactory { dialect, schema: Arc::new(schema.clone()) }))
}
