//! `debezium-json`: changelogs as Debezium's envelopes, Flink's `debezium-json` format.

use super::json::{NULL_KEY_MODES, TIMESTAMP_STANDARDS};
use super::{DecoderFactory, EncoderFactory};
use crate::types::{OptionError, OptionKind, OptionSpec, Options, Schema};
use std::sync::Arc;

const fn option(key: &'static str, kind: OptionKind, default: Option<&'static str>, doc: &'static str) -> OptionSpec {
    OptionSpec { key, kind, default, required: false, doc }
}

/// Flink's options of `debezium-json`.
pub(super) const OPTIONS: &[OptionSpec] = &[
    option(
        "debezium-json.schema-include",
        OptionKind::Bool,
        Some("false"),
        "The envelopes stand in a field payload, beside a schema that is not looked at. Reading only.",
    ),
    option(
        "debezium-json.ignore-parse-errors",
        OptionKind::Bool,
        Some("false"),
        "Fields that cannot be read become NULL, records that cannot be read are skipped.",
    ),
    option(
        "debezium-json.timestamp-format.standard",
        OptionKind::Word(TIMESTAMP_STANDARDS),
        Some("SQL"),
        "SQL: 2020-12-30 12:13:14.123 (TIMESTAMP_LTZ with a Z at the end). ISO-8601: 2020-12-30T12:13:14.123.",
    ),
    option(
        "debezium-json.map-null-key.mode",
        OptionKind::Word(NULL_KEY_MODES),
        Some("FAIL"),
        "What writing a map with a NULL key does: FAIL, DROP the entry, or write the LITERAL.",
    ),
    option("debezium-json.map-null-key.literal", OptionKind::Text, Some("null"), "The key written for NULL in mode LITERAL."),
    option(
        "debezium-json.encode.decimal-as-plain-number",
        OptionKind::Bool,
        Some("false"),
        "Decimals are never written in scientific notation: 0.000000027 instead of 2.7E-8.",
    ),
    option("debezium-json.encode.ignore-null-fields", OptionKind::Bool, Some("false"), "Fields that are NULL are left out."),
];

/// Makes decoders for the columns of `schema`.
pub(super) fn decoder_factory(_schema: &Schema, _options: &Options) -> Result<Arc<dyn DecoderFactory>, OptionError> {
    Err(OptionError::new("format", "debezium-json cannot be read yet"))
}

/// Makes encoders for the columns of `schema`.
pub(super) fn encoder_factory(_schema: &Schema, _options: &Options) -> Result<Arc<dyn EncoderFactory>, OptionError> {
    Err(OptionError::new("format", "debezium-json cannot be written yet"))
}
