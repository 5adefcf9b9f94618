//! The sink `filesystem`: its options, and what happens before the first row — committing again what a snapshot holds and removing
//! what no snapshot holds. `sink_files.rs` says what the files are called and who owns them.

use super::location;
use super::sink_files::{Committable, Execution, WriterState, committables_of, publish, publish_open, states_of};
use super::sink_writer::{Compression, FileWriter, RollingPolicy, Target};
use crate::connector::{
    ConnectorContext, ConnectorError, Sink, SinkDeclaration, SinkInput, SinkRestore, SinkWriter, encodable_input, sinks,
};
use crate::format::{self, EncoderFactory};
use crate::metrics::OperatorMetrics;
use crate::types::{ByteSize, OptionError, OptionKind, OptionSpec, Options, Parallelism};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

const fn required(key: &'static str, doc: &'static str) -> OptionSpec {
    OptionSpec { key, kind: OptionKind::Text, default: None, required: true, doc }
}

const fn optional(key: &'static str, kind: OptionKind, default: &'static str, doc: &'static str) -> OptionSpec {
    OptionSpec { key, kind, default: Some(default), required: false, doc }
}

const COMPRESSIONS: &[&str] = &["none", "gzip", "zstd"];
const MISSING_FILES: &[&str] = &["fail", "ignore"];

/// The options of the sink, without those of the format.
pub(in crate::connector) const OPTIONS: &[OptionSpec] = &[
    required("path", "The directory that the files are written to; relative to the job file's directory, or a `file:` URL."),
    required("format", "The format of the files."),
    optional("sink.rolling-policy.file-size", OptionKind::Size, "128 mb", "A file that has grown to this size is closed."),
    optional("sink.rolling-policy.rollover-interval", OptionKind::Duration, "30 min", "A file that has been open for this long is closed."),
    optional(
        "sink.rolling-policy.inactivity-interval",
        OptionKind::Duration,
        "30 min",
        "A file that no row was written to for this long is closed.",
    ),
    optional("sink.rolling-policy.check-interval", OptionKind::Duration, "1 min", "How often the two intervals are looked at."),
    optional(
        "sink.rolling-policy.on-checkpoint",
        OptionKind::Bool,
        "true",
        "Close the file at every checkpoint, so that its rows become visible with it. With `false`, as in Flink, a file stays open, \
         and invisible, until it is closed for another reason.",
    ),
    optional(
        "sink.missing-files",
        OptionKind::Word(MISSING_FILES),
        "fail",
        "What a restore does when a file of the snapshot is neither waiting nor visible: `fail`, or `ignore` where finished files are \
         moved away by others.",
    ),
    optional(
        "compression",
        OptionKind::Word(COMPRESSIONS),
        "none",
        "How the files are compressed. Compressed files are closed at every checkpoint.",
    ),
    sinks::PARALLELISM,
];

#[derive(Debug)]
struct FileSink {
    name: String,
    format: String,
    directory: PathBuf,
    factory: Arc<dyn EncoderFactory>,
    policy: RollingPolicy,
    compression: Compression,
    ignore_missing: bool,
    parallelism: Option<Parallelism>,
}

/// The sink that `declaration` asks for.
pub(in crate::connector) fn build_sink(declaration: &SinkDeclaration) -> Result<Arc<dyn Sink>, OptionError> {
    let options = &declaration.options;
    let format = options.required("format")?;
    let compression = match options.word("compression", 0, COMPRESSIONS)? {
        0 => Compression::None,
        1 => Compression::Gzip,
        _ => Compression::Zstd,
    };
    Ok(Arc::new(FileSink {
        name: declaration.name.clone(),
        format: format.to_owned(),
        directory: location::directory_of(options.required("path")?, &declaration.directory)?,
        factory: format::encoder_factory(format, &declaration.schema, options)?,
        policy: rolling_policy(options, compression)?,
        compression,
        ignore_missing: options.word("sink.missing-files", 0, MISSING_FILES)? == 1,
        parallelism: sinks::parallelism(options)?,
    }))
}

fn rolling_policy(options: &Options, compression: Compression) -> Result<RollingPolicy, OptionError> {
    let minutes = |n: u64| Duration::from_secs(60 * n);
    let on_checkpoint = options.bool("sink.rolling-policy.on-checkpoint", true)?;
    if compression != Compression::None && !on_checkpoint {
        let message = "a compressed file cannot stay open over a checkpoint: set this to true, or compression to none";
        return Err(OptionError::new("sink.rolling-policy.on-checkpoint", message));
    }
    Ok(RollingPolicy {
        file_size: options.size("sink.rolling-policy.file-size", ByteSize(128 << 20))?,
        rollover: options.duration("sink.rolling-policy.rollover-interval", minutes(30))?,
        inactivity: options.duration("sink.rolling-policy.inactivity-interval", minutes(30))?,
        check: options.duration("sink.rolling-policy.check-interval", minutes(1))?,
        on_checkpoint,
    })
}

impl FileSink {
    /// Makes visible what the restored snapshot holds, all of which belongs to a complete checkpoint.
    fn commit_restored(&self, files: &Execution, restored: &SinkRestore, states: &[WriterState]) -> Result<(), ConnectorError> {
        let passed = |result: Result<(), ConnectorError>| match result {
            Err(ConnectorError::State(_)) if self.ignore_missing => Ok(()),
            other => other,
        };
        for (_, batch) in &restored.committables {
            for committable in committables_of(batch)? {
                let committable = self.moved_with_directory(files, committable)?;
                passed(publish(files.storage(), &committable))?;
            }
        }
        for (number, state) in states.iter().enumerate() {
            if let Some(open) = &state.open {
                let open = self.moved_with_directory(files, open.clone())?;
                passed(publish_open(files, &open, &state.uid, number))?;
            }
        }
        Ok(())
    }

    /// Paths in a snapshot are absolute. If nothing is there because the directory was moved as a whole, the same names in
    /// today's directory are meant.
    fn moved_with_directory(&self, files: &Execution, committable: Committable) -> Result<Committable, ConnectorError> {
        let there = |path: &PathBuf| {
            let entry = files.storage().entry(path).map_err(|e| ConnectorError::io("restoring the files of a sink", e))?;
            Ok::<_, ConnectorError>(entry.is_some())
        };
        if there(&committable.temporary)? || there(&committable.target)? {
            return Ok(committable);
        }
        let here = |path: &PathBuf| path.file_name().map_or_else(|| path.clone(), |name| self.directory.join(name));
        let moved = Committable { temporary: here(&committable.temporary), target: here(&committable.target), length: committable.length };
        if there(&moved.temporary)? || there(&moved.target)? { Ok(moved) } else { Ok(committable) }
    }
}

impl Sink for FileSink {
    fn describe(&self) -> String {
        format!("filesystem({})", self.format)
    }

    fn input(&self) -> SinkInput {
        encodable_input(self.factory.changelog_mode())
    }

    fn max_subtasks(&self) -> Option<Parallelism> {
        self.parallelism
    }

    fn writers(
        &self,
        context: &ConnectorContext,
        restored: Option<&SinkRestore>,
        metrics: &[OperatorMetrics],
    ) -> Result<Vec<Box<dyn SinkWriter>>, ConnectorError> {
        let states = restored.map_or_else(|| Ok(Vec::new()), |restored| states_of(&restored.state))?;
        let lineage = states.first().map(|state| state.lineage.clone());
        let files = Arc::new(Execution::start(context, &self.directory, &self.name, lineage)?);
        if let Some(restored) = restored {
            self.commit_restored(&files, restored, &states)?;
            files.remove_orphans()?;
        }
        let target = Arc::new(Target {
            files,
            clock: Arc::clone(&context.clock),
            factory: Arc::clone(&self.factory),
            policy: self.policy.clone(),
            compression: self.compression,
            checkpointing: context.checkpointing,
        });
        let writer = |subtask: usize| {
            let metrics = metrics.get(subtask).cloned().unwrap_or_default();
            Box::new(FileWriter::new(Arc::clone(&target), subtask, metrics)) as Box<dyn SinkWriter>
        };
        Ok((0..context.parallelism.get()).map(writer).collect())
    }
}

#[cfg(test)]
#[path = "sink_tests.rs"]
mod tests;
