//! `json`: one JSON object a line, Flink's `json` format.

mod decode;
mod encode;
mod order;
mod scan;
#[cfg(test)]
pub(in crate::format) mod tests;
mod value;

use super::calendar::TimestampStandard;
use super::column::Columns;
use super::{DecoderFactory, EncoderFactory};
use crate::types::{LogicalType, OptionError, OptionKind, OptionSpec, Options, Schema, TypeKind};
use decode::RowsFactory;
pub(super) use decode::{LineDecoder, Records};
use encode::JsonEncoder;
pub(super) use encode::Objects;
pub(super) use order::KeyOrder;
pub(super) use scan::{blank, found, object_fields};
use std::sync::Arc;
pub(super) use value::Reading;

const fn option(key: &'static str, kind: OptionKind, default: Option<&'static str>, doc: &'static str) -> OptionSpec {
    OptionSpec { key, kind, default, required: false, doc }
}

/// Words of `timestamp-format.standard`.
pub(super) const TIMESTAMP_STANDARDS: &[&str] = &["SQL", "ISO-8601"];

/// Words of `map-null-key.mode`.
pub(super) const NULL_KEY_MODES: &[&str] = &["FAIL", "DROP", "LITERAL"];

/// Flink's options of `json`.
pub(super) const OPTIONS: &[OptionSpec] = &[
    option(
        "json.fail-on-missing-field",
        OptionKind::Bool,
        Some("false"),
        "A field that is missing makes the record bad instead of the column NULL.",
    ),
    option(
        "json.ignore-parse-errors",
        OptionKind::Bool,
        Some("false"),
        "Fields that cannot be read become NULL, records that cannot be read are skipped.",
    ),
    option(
        "json.timestamp-format.standard",
        OptionKind::Word(TIMESTAMP_STANDARDS),
        Some("SQL"),
        "SQL: 2020-12-30 12:13:14.123 (TIMESTAMP_LTZ with a Z at the end). ISO-8601: 2020-12-30T12:13:14.123.",
    ),
    option(
        "json.map-null-key.mode",
        OptionKind::Word(NULL_KEY_MODES),
        Some("FAIL"),
        "What writing a map with a NULL key does: FAIL, DROP the entry, or write the LITERAL.",
    ),
    option("json.map-null-key.literal", OptionKind::Text, Some("null"), "The key written for NULL in mode LITERAL."),
    option(
        "json.encode.decimal-as-plain-number",
        OptionKind::Bool,
        Some("false"),
        "Decimals are never written in scientific notation: 0.000000027 instead of 2.7E-8.",
    ),
    option("json.encode.ignore-null-fields", OptionKind::Bool, Some("false"), "Fields that are NULL are left out."),
    option("json.decode.json-parser.enabled", OptionKind::Bool, Some("true"), "Accepted for Flink's sake: there is one decoder here."),
];

/// How records are read.
#[derive(Debug, Clone, Copy)]
pub(super) struct DecodeOptions {
    pub(super) fail_on_missing: bool,
    pub(super) ignore_errors: bool,
    pub(super) standard: TimestampStandard,
}

impl DecodeOptions {
    /// The options with these prefixes' keys: `json` or `debezium-json`.
    pub(super) fn read(options: &Options, prefix: &str) -> Result<Self, OptionError> {
        let missing = format!("{prefix}.fail-on-missing-field");
        let fail_on_missing = options.bool(&missing, false)?;
        let ignore_errors = options.bool(&format!("{prefix}.ignore-parse-errors"), false)?;
        if fail_on_missing && ignore_errors {
            return Err(OptionError::new(&missing, format!("cannot be true together with {prefix}.ignore-parse-errors")));
        }
        Ok(Self { fail_on_missing, ignore_errors, standard: standard(options, prefix)? })
    }

    /// Columns for `schema`; an error if JSON has no form for one.
    pub(super) fn columns(self, schema: &Schema) -> Result<Columns, OptionError> {
        if let Some(column) = schema.columns.iter().find(|column| !representable(&column.data_type)) {
            return Err(unrepresentable(&column.name, &column.data_type));
        }
        Columns::new(schema, self.standard)
            .map_err(|name| OptionError::new("format", format!("column {name}: its type cannot be read from JSON")))
    }

    /// What the records of a decoder share.
    pub(super) fn reading(self) -> Reading {
        Reading { fail_on_missing: self.fail_on_missing, ignore_errors: self.ignore_errors, scratch: Vec::new() }
    }
}

/// What writing a map with a NULL key does: `map-null-key.mode`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NullKey {
    Fail,
    Drop,
    Literal(String),
}

/// How records are written.
#[derive(Debug, Clone)]
pub(super) struct EncodeOptions {
    pub(super) standard: TimestampStandard,
    pub(super) null_key: NullKey,
    pub(super) plain_decimals: bool,
    pub(super) ignore_null_fields: bool,
}

impl EncodeOptions {
    /// The options with this prefix's keys; an error too if JSON has no form for a column.
    pub(super) fn read(options: &Options, prefix: &str, schema: &Schema) -> Result<Self, OptionError> {
        if let Some(column) = schema.columns.iter().find(|column| !representable(&column.data_type)) {
            return Err(unrepresentable(&column.name, &column.data_type));
        }
        let null_key = match options.word(&format!("{prefix}.map-null-key.mode"), 0, NULL_KEY_MODES)? {
            0 => NullKey::Fail,
            1 => NullKey::Drop,
            _ => NullKey::Literal(options.get(&format!("{prefix}.map-null-key.literal")).unwrap_or("null").to_owned()),
        };
        Ok(Self {
            standard: standard(options, prefix)?,
            null_key,
            plain_decimals: options.bool(&format!("{prefix}.encode.decimal-as-plain-number"), false)?,
            ignore_null_fields: options.bool(&format!("{prefix}.encode.ignore-null-fields"), false)?,
        })
    }
}

fn standard(options: &Options, prefix: &str) -> Result<TimestampStandard, OptionError> {
    let word = options.word(&format!("{prefix}.timestamp-format.standard"), 0, TIMESTAMP_STANDARDS)?;
    Ok(if word == 0 { TimestampStandard::Sql } else { TimestampStandard::Iso })
}

/// True if JSON has a form for values of this type: the keys of a JSON object are strings.
fn representable(data_type: &LogicalType) -> bool {
    match &data_type.kind {
        TypeKind::Array(element) => representable(element),
        TypeKind::Map(key, value) => {
            matches!(key.kind, TypeKind::Char(_) | TypeKind::VarChar(_) | TypeKind::String) && representable(value)
        }
        TypeKind::Row(fields) => fields.iter().all(|(_, field)| representable(field)),
        TypeKind::Interval => false,
        _ => true,
    }
}

fn unrepresentable(name: &str, data_type: &LogicalType) -> OptionError {
    let why = match &data_type.kind {
        TypeKind::Interval => "JSON has no form for INTERVAL",
        _ => "the keys of a JSON object are strings, so a MAP needs a STRING key",
    };
    OptionError::new("format", format!("column {name} {data_type}: {why}"))
}

/// Why a record, or a field of it, cannot be read. Boxed, because results that carry it are returned for every value.
#[derive(Debug)]
pub(super) struct Reject(Box<Rejection>);

#[derive(Debug)]
pub(super) struct Rejection {
    /// The path to the field: `items[2].price`; empty if it is the record itself.
    pub(super) column: String,
    /// `expected BIGINT, found "abc"`
    pub(super) reason: String,
}

impl Reject {
    /// A reason without a field.
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Self(Box::new(Rejection { column: String::new(), reason: reason.into() }))
    }

    /// The same reason inside the field `name` (`[2]` for an element).
    fn inside(mut self, name: &str) -> Self {
        let path = &mut self.0.column;
        let dot = if path.is_empty() || path.starts_with('[') { "" } else { "." };
        *path = format!("{name}{dot}{path}");
        self
    }
}

/// Makes decoders for the columns of `schema`.
pub(super) fn decoder_factory(schema: &Schema, options: &Options) -> Result<Arc<dyn DecoderFactory>, OptionError> {
    let options = DecodeOptions::read(options, "json")?;
    let columns = options.columns(schema)?;
    Ok(Arc::new(RowsFactory { columns, reading: options.reading(), schema: schema.to_arrow() }))
}

/// Makes encoders for the columns of `schema`.
pub(super) fn encoder_factory(schema: &Schema, options: &Options) -> Result<Arc<dyn EncoderFactory>, OptionError> {
    let options = EncodeOptions::read(options, "json", schema)?;
    Ok(Arc::new(JsonEncoder { schema: Arc::new(schema.clone()), options }))
}
