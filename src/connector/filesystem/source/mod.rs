//! The `filesystem` source: which files there are, how they are cut into splits, and how the splits are read.

mod content;
mod discovery;
mod metadata;
mod plan;
mod queue;
mod reader;
mod split_reader;
mod splits;
#[cfg(test)]
mod tests;

use crate::connector::read::BadRecordLog;
use crate::connector::sources::FORMAT;
use crate::connector::{BadRecordPolicy, ConnectorContext, ConnectorError, Source, SourceDeclaration, SourceReader};
use crate::format::{DecoderFactory, decoder_factory};
use crate::metrics::OperatorMetrics;
use crate::storage::Storage;
use crate::types::{ChangelogMode, OptionError, OptionKind, OptionSpec, Parallelism, TypeKind, limits};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use discovery::FilePattern;
use metadata::{FileColumns, FileMetadata};
use queue::{SplitQueue, Watch};
use reader::{FileReader, FileReaderParts};
use splits::{SavedPart, SourceFile};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The options of the `filesystem` source.
pub(in crate::connector) const OPTIONS: &[OptionSpec] = &[
    OptionSpec {
        key: "path",
        kind: OptionKind::Text,
        default: None,
        required: true,
        doc: "A file, a directory (read with all below it, names that begin with . or _ left out) or a pattern with *, ?, [a-z] and **; \
              relative to the job's directory; file: URLs too. .gz, .zst and .deflate files are unpacked.",
    },
    FORMAT,
    OptionSpec {
        key: "source.monitor-interval",
        kind: OptionKind::Duration,
        default: None,
        required: false,
        doc: "How often to look for new files; the source is then unbounded. Without it the files that are there at the start are read.",
    },
    OptionSpec {
        key: "source.path.regex-pattern",
        kind: OptionKind::Text,
        default: None,
        required: false,
        doc: "A regular expression that a file's whole absolute path must match.",
    },
];

/// What the source knows of a row beside its bytes.
pub(in crate::connector) const METADATA: &[(&str, TypeKind)] = metadata::KEYS;

/// Makes the source.
pub(in crate::connector) fn build(declaration: &SourceDeclaration) -> Result<Arc<dyn Source>, OptionError> {
    let options = &declaration.options;
    let pattern = FilePattern::parse(options.required("path")?, options.get("source.path.regex-pattern"), &declaration.directory)?;
    let monitor = match options.duration("source.monitor-interval", Duration::ZERO)? {
        Duration::ZERO if options.get("source.monitor-interval").is_some() => {
            return Err(OptionError::new("source.monitor-interval", "it must be more than 0"));
        }
        Duration::ZERO => None,
        interval => Some(interval),
    };
    let format = options.required("format")?.to_owned();
    let (physical, metadata) = metadata::split(declaration);
    Ok(Arc::new(FileSource {
        name: declaration.name.clone(),
        decoders: decoder_factory(&format, &declaration.schema, &physical, options)?,
        schema: declaration.columns().project(&declaration.projection).to_arrow(),
        metadata,
        bad_records: declaration.bad_records.clone(),
        sizes: ReadSizes::default(),
        format,
        pattern,
        monitor,
    }))
}

/// Files read by any number of subtasks.
#[derive(Debug)]
struct FileSource {
    name: String,
    format: String,
    pattern: FilePattern,
    monitor: Option<Duration>,
    decoders: Arc<dyn DecoderFactory>,
    schema: SchemaRef,
    metadata: Vec<FileMetadata>,
    bad_records: BadRecordPolicy,
    sizes: ReadSizes,
}

/// In what pieces files are read. Tests make them tiny.
#[derive(Debug, Clone, Copy)]
struct ReadSizes {
    /// Bytes of a split.
    split: u64,
    /// Bytes of a read.
    chunk: usize,
    /// Rows of a batch, at most.
    batch_rows: usize,
    /// Bytes decoded for a batch, about.
    batch_bytes: usize,
}

impl Default for ReadSizes {
    fn default() -> Self {
        Self {
            split: limits::SPLIT_SIZE.0,
            chunk: limits::READ_CHUNK.0 as usize,
            batch_rows: limits::BATCH_ROWS,
            batch_bytes: limits::BATCH_BYTES.0 as usize,
        }
    }
}

impl FileSource {
    /// The files that there are now. None at all is an error, unless more are waited for or some have been read before.
    fn found(&self, storage: &dyn Storage, restored: bool) -> Result<Vec<SourceFile>, ConnectorError> {
        let context = || format!("source {}: path {}", self.name, self.pattern.path().display());
        let entries = self.pattern.files(storage).map_err(|e| ConnectorError::io(context(), e))?;
        if entries.is_empty() && self.monitor.is_none() && !restored {
            let nothing = io::Error::new(io::ErrorKind::NotFound, "there is no file to read");
            return Err(ConnectorError::io(context(), nothing));
        }
        let files = entries.iter().map(SourceFile::found).collect::<io::Result<_>>();
        files.map_err(|e| ConnectorError::io(context(), e))
    }
}

impl Source for FileSource {
    fn describe(&self) -> String {
        format!("filesystem({})", self.format)
    }

    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn changelog_mode(&self) -> ChangelogMode {
        self.decoders.changelog_mode()
    }

    fn is_bounded(&self) -> bool {
        self.monitor.is_none()
    }

    fn max_subtasks(&self) -> Option<Parallelism> {
        None
    }

    fn state_schema(&self) -> SchemaRef {
        splits::state_schema()
    }

    fn readers(
        &self,
        context: &ConnectorContext,
        restored: &[RecordBatch],
        metrics: &[OperatorMetrics],
    ) -> Result<Vec<Box<dyn SourceReader>>, ConnectorError> {
        let storage = context.storage.as_ref();
        let mut saved: Vec<SavedPart> = Vec::new();
        for batch in restored {
            saved.extend(splits::from_batch(batch)?);
        }
        let found = self.found(storage, !restored.is_empty())?;
        let split_size = self.decoders.splittable().then_some(self.sizes.split);
        let known = found.iter().chain(saved.iter().map(|part| part.extent().0)).map(|file| file.text().to_owned()).collect();
        let plan = plan::plan(&found, saved, split_size, &|file| {
            let entry = storage.entry(file.path()).map_err(|e| ConnectorError::io(format!("source {}", self.name), e))?;
            Ok(entry.map(|entry| entry.len))
        })?;
        let watch = self.monitor.map(|interval| Watch::new(self.pattern.clone(), context.storage.clone(), known, interval, split_size));
        let queue = Arc::new(Mutex::new(SplitQueue::new(plan.untouched, watch)));
        let parallelism = context.parallelism.get();
        let mut done = Some(plan.done);
        let reader = |index: usize| {
            let metrics = metrics.get(index).cloned().unwrap_or_default();
            let started = plan.started.iter().skip(index).step_by(parallelism).cloned().collect();
            let log = BadRecordLog::new(self.bad_records.clone(), &self.name, metrics.bad_records.clone());
            Box::new(FileReader::new(FileReaderParts {
                name: self.name.clone(),
                storage: context.storage.clone(),
                decoder: self.decoders.decoder(),
                metadata: FileColumns::new(&self.schema, &self.metadata),
                log,
                metrics,
                queue: queue.clone(),
                sizes: self.sizes,
                started,
                // The first reader answers for everything that was read before.
                done: done.take().unwrap_or_default(),
            })) as Box<dyn SourceReader>
        };
        Ok((0..parallelism).map(reader).collect())
    }
}
