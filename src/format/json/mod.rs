//! `json`: one JSON object a line, Flink's `json` format.

use super::{DecoderFactory, EncoderFactory};
use crate::types::{OptionError, OptionKind, OptionSpec, Options, Schema};
use std::sync::Arc;

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

/// Makes decoders for the columns of `schema`.
pub(super) fn decoder_factory(_schema: &Schema, _options: &Options) -> Result<Arc<dyn DecoderFactory>, OptionError> {
    Err(OptionError::new("format", "json cannot be read yet"))
}

/// Makes encoders for the columns of `schema`.
pub(super) fn encoder_factory(_schema: &Schema, _options: &Options) -> Result<Arc<dyn EncoderFactory>, OptionError> {
    Err(OptionError::new("format", "json cannot be written yet"))
}
