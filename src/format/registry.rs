//! The formats by name: their options, and the factories made from a schema and options.

use super::{DecoderFactory, EncoderFactory, csv, debezium, json};
use crate::types::{OptionError, OptionSpec, Options, Schema};
use std::sync::Arc;

/// The names that `format` takes.
pub const NAMES: &[&str] = &["json", "csv", "debezium-json"];

/// The options of format `name`; `None` if there is no such format.
pub fn options(name: &str) -> Option<&'static [OptionSpec]> {
    match name {
        "json" => Some(json::OPTIONS),
        "csv" => Some(csv::OPTIONS),
        "debezium-json" => Some(debezium::OPTIONS),
        _ => None,
    }
}

/// Makes decoders of format `name`. `schema` holds all declared physical columns, `projection` the positions of those that
/// the batches shall have, in the batches' order. Keys of `options` that are no option of the format are not looked at.
///
/// Errors: an unknown format, an option's value, a column type that the format cannot hold.
pub fn decoder_factory(
    name: &str,
    schema: &Schema,
    projection: &[usize],
    options: &Options,
) -> Result<Arc<dyn DecoderFactory>, OptionError> {
    if let Some(outside) = projection.iter().find(|index| **index >= schema.columns.len()) {
        return Err(OptionError::new("format", format!("column {outside} of {} is asked for", schema.columns.len())));
    }
    match name {
        "json" => json::decoder_factory(&schema.project(projection), options),
        "csv" => csv::decoder_factory(schema, projection, options),
        "debezium-json" => debezium::decoder_factory(&schema.project(projection), options),
        _ => Err(unknown(name)),
    }
}

/// Makes encoders of format `name` for batches with the columns of `schema`. Errors as [`decoder_factory`]'s.
pub fn encoder_factory(name: &str, schema: &Schema, options: &Options) -> Result<Arc<dyn EncoderFactory>, OptionError> {
    match name {
        "json" => json::encoder_factory(schema, options),
        "csv" => csv::encoder_factory(schema, options),
        "debezium-json" => debezium::encoder_factory(schema, options),
        _ => Err(unknown(name)),
    }
}

fn unknown(name: &str) -> OptionError {
    OptionError::new("format", format!("there is no format \"{name}\"; the formats are {}", NAMES.join(", ")))
}
