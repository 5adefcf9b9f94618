//! The source connectors by name: their options, and the source that a `[sources.*]` table declares.

use super::{Source, SourceDeclaration, datagen, filesystem, stdin};
use crate::format::NAMES as FORMATS;
use crate::types::{OptionError, OptionKind, OptionSpec, TypeKind};
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

/// What source connector `connector` knows of a row beside its bytes: key and type.
pub fn source_metadata(connector: &str) -> &'static [(&'static str, TypeKind)] {
    match connector {
        "filesystem" => filesystem::source::METADATA,
        _ => &[],
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connector::{BadRecordPolicy, ConnectorContext, SourceEvent};
    use crate::metrics::OperatorMetrics;
    use crate::storage::LocalStorage;
    use crate::types::{Column, Parallelism, Schema, SystemClock};
    use arrow::util::display::array_value_to_string;
    use std::path::Path;
    use std::task::{Context, Poll, Waker};

    fn declaration(connector: &str, directory: &Path, options: &[(&str, &str)]) -> SourceDeclaration {
        let column = |name: &str, data_type: &str| Column { name: name.to_owned(), data_type: data_type.parse().unwrap() };
        SourceDeclaration {
            name: "bids".to_owned(),
            connector: connector.to_owned(),
            schema: Schema::new(vec![column("auction", "BIGINT"), column("unused", "INT"), column("channel", "STRING")]),
            metadata: Vec::new(),
            projection: vec![0, 2],
            primary_key: Vec::new(),
            options: options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            bad_records: BadRecordPolicy::Fail,
            directory: directory.to_owned(),
        }
    }

    #[test]
    fn every_named_source_has_options_and_an_unknown_one_is_refused_with_the_names_that_there_are() {
        for connector in SOURCE_CONNECTORS {
            assert!(source_options(connector).is_some(), "{connector}");
        }
        assert_eq!(source_options("kafka"), None);
        let error = build_source(&declaration("kafka", Path::new("/"), &[])).unwrap_err().to_string();
        assert_eq!(error, "connector: there is no source connector \"kafka\"; they are filesystem, datagen, stdin");
        for connector in ["filesystem", "stdin"] {
            let error = build_source(&declaration(connector, Path::new("/"), &[("path", "x")])).unwrap_err().to_string();
            assert_eq!(error, "format: this option is required");
        }
    }

    #[test]
    fn the_columns_that_the_job_uses_are_read_from_json_and_csv() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("b.json"), "{\"auction\":1,\"channel\":\"a\"}\n{\"channel\":\"b\",\"auction\":2}\n").unwrap();
        std::fs::write(dir.path().join("b.csv"), "1,7,a\n2,8,b").unwrap();
        for (path, format) in [("b.json", "json"), ("b.csv", "csv")] {
            let source = build_source(&declaration("filesystem", dir.path(), &[("path", path), ("format", format)])).unwrap();
            let context = ConnectorContext {
                parallelism: Parallelism::ONE,
                storage: LocalStorage::shared(),
                clock: SystemClock::shared(),
                execution: "test".to_owned(),
                exactly_once: true,
                checkpointing: true,
            };
            let mut reader = source.readers(&context, &[], &[OperatorMetrics::default()]).unwrap().remove(0);
            let mut poll = || reader.poll_next(&mut Context::from_waker(Waker::noop()));
            let Poll::Ready(Ok(SourceEvent::Batch(batch))) = poll() else { panic!("no rows of {format}") };
            let text = |row: usize| {
                let values = batch.columns().columns().iter().map(|column| array_value_to_string(column, row).unwrap());
                values.collect::<Vec<_>>().join("|")
            };
            assert_eq!((batch.num_rows(), text(0), text(1)), (2, "1|a".to_owned(), "2|b".to_owned()), "{format}");
            assert_eq!(batch.schema(), source.schema());
            assert!(matches!(poll(), Poll::Ready(Ok(SourceEvent::End))));
        }
    }
}
