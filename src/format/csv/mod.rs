//! `csv`: one record a line (quoted fields may span lines), Flink's `csv` format.

use super::{DecoderFactory, EncoderFactory};
use crate::types::{OptionError, OptionKind, OptionSpec, Options, Schema};
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
        "The text that means NULL. Without it NULL is written as an empty field, and an empty field is read as NULL, except into a STRING.",
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

/// Makes decoders for the columns of `schema` at `projection`.
pub(super) fn decoder_factory(_schema: &Schema, _projection: &[usize], _options: &Options) -> Result<Arc<dyn DecoderFactory>, OptionError> {
    Err(OptionError::new("format", "csv cannot be read yet"))
}

/// Makes encoders for the columns of `schema`.
pub(super) fn encoder_factory(_schema: &Schema, _options: &Options) -> Result<Arc<dyn EncoderFactory>, OptionError> {
    Err(OptionError::new("format", "csv cannot be written yet"))
}
