//! The sinks by the name that `connector` takes: their options, and the sink that a declaration asks for.

use super::{Sink, SinkDeclaration, blackhole, filesystem, jdbc, print};
use crate::types::{OptionError, OptionKind, OptionSpec, Options, Parallelism};
use std::sync::Arc;

/// The connectors that a `[sinks.*]` table can name.
pub const SINK_CONNECTORS: &[&str] = &["filesystem", "print", "stdout", "blackhole", "jdbc"];

/// `sink.parallelism`, as every Flink sink has it.
pub(super) const PARALLELISM: OptionSpec = OptionSpec {
    key: "sink.parallelism",
    kind: OptionKind::Int(1, 32_768),
    default: None,
    required: false,
    doc: "The number of the sink's subtasks; without it, that of its input.",
};

/// The options of a sink connector, `format` among them where it has one, without those of the format. `None` if there is no such
/// connector.
pub fn sink_options(connector: &str) -> Option<&'static [OptionSpec]> {
    match connector {
        "filesystem" => Some(filesystem::sink::OPTIONS),
        "print" => Some(print::PRINT_OPTIONS),
        "stdout" => Some(print::STDOUT_OPTIONS),
        "blackhole" => Some(blackhole::OPTIONS),
        "jdbc" => Some(jdbc::OPTIONS),
        _ => None,
    }
}

/// The sink that `declaration` asks for. Nothing is opened or created yet. Errors name the option that cannot be used.
pub fn build_sink(declaration: &SinkDeclaration) -> Result<Arc<dyn Sink>, OptionError> {
    match declaration.connector.as_str() {
        "filesystem" => filesystem::sink::build_sink(declaration),
        "print" => print::build_print(declaration),
        "stdout" => print::build_stdout(declaration),
        "blackhole" => blackhole::build_sink(declaration),
        "jdbc" => jdbc::build_sink(declaration),
        other => {
            let known = SINK_CONNECTORS.join(", ");
            Err(OptionError::new("connector", format!("there is no sink \"{other}\"; the sinks are {known}")))
        }
    }
}

/// `sink.parallelism`, if it was set.
pub(super) fn parallelism(options: &Options) -> Result<Option<Parallelism>, OptionError> {
    match options.get(PARALLELISM.key) {
        None => Ok(None),
        Some(_) => Ok(Parallelism::new(options.int(PARALLELISM.key, 1, 1, 32_768)? as usize)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_named_sink_has_options_and_an_unknown_one_is_refused_with_the_names_that_there_are() {
        for connector in SINK_CONNECTORS {
            assert!(sink_options(connector).is_some(), "{connector}");
        }
        assert!(sink_options("kafka").is_none());
        let declaration = super::super::sink_testing::declaration("kafka", &[]);
        let error = build_sink(&declaration).unwrap_err().to_string();
        assert!(error.starts_with("connector: there is no sink \"kafka\"; the sinks are filesystem, "), "{error}");
    }
}
