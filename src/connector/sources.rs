//! The source connectors by name: their options, and the source that a `[sources.*]` table declares.

use super::{Source, SourceDeclaration, datagen, filesystem, stdin};
use crate::format::NAMES as FORMATS;
use crate::types::{OptionError, OptionKind, OptionSpec};
use std::sync::Arc;

/// The names that a source's `connector` takes.
pub const SOURCE_CONNECTORS: &[&str] = &["filesystem", "datagen", "stdin"];

/// The option `format` of every connector that reads bytes.
pub(super) const FORMAT: OptionSpec = OptionSpec {
    key: "format",
    kind: OptionKind::Word(FORMATS),
    default: None,
    required: true,
    doc: "What the bytes are; the format has options of its own.",
};

/// The options of source connector `connector`, `format` among them but not the format's own; `None` if there is no such
/// connector.
pub fn source_options(connector: &str) -> Option<&'static [OptionSpec]> {
    match connector {
        "filesystem" => Some(filesystem::source::OPTIONS),
        "datagen" => Some(datagen::OPTIONS),
        "stdin" => Some(stdin::OPTIONS),
        _ => None,
    }
}

/// Makes the source that `declaration` describes. Reads no file and no input yet: that begins with [`Source::readers`].
///
/// Errors: an unknown connector or format, a missing option, a value that does not fit its option or its column.
pub fn build_source(declaration: &SourceDeclaration) -> Result<Arc<dyn Source>, OptionError> {
    match declaration.connector.as_str() {
        "filesystem" => filesystem::source::build(declaration),
        "datagen" => datagen::build(declaration),
        "stdin" => stdin::build(declaration),
        other => Err(OptionError::new(
            "connector",
            format!("there is no source connector \"{other}\"; they are {}", SOURCE_CONNECTORS.join(", ")),
        )),
    }
}
