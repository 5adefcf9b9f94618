//! `print` (rows as Flink shows them) and `stdout` (pure records in a format, for pipes). Both write at once, at least once: what
//! was printed before a failure is printed again.

use super::{ConnectorContext, ConnectorError, Sink, SinkDeclaration, SinkInput, SinkRestore, SinkSnapshot, SinkWriter, sinks};
use crate::format::{self, Encoder, EncoderFactory, FormatError};
use crate::metrics::OperatorMetrics;
use crate::types::{Batch, CheckpointId, OptionError, OptionKind, OptionSpec, Parallelism};
use arrow::array::RecordBatch;
use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

pub(super) const PRINT_OPTIONS: &[OptionSpec] = &[
    OptionSpec {
        key: "print-identifier",
        kind: OptionKind::Text,
        default: None,
        required: false,
        doc: "A text in front of every row: `<identifier>> `, with several subtasks `<identifier>:<subtask>> `.",
    },
    OptionSpec {
        key: "standard-error",
        kind: OptionKind::Bool,
        default: Some("false"),
        required: false,
        doc: "Print to standard error instead of standard output.",
    },
    sinks::PARALLELISM,
];

pub(super) const STDOUT_OPTIONS: &[OptionSpec] = &[
    OptionSpec {
        key: "format",
        kind: OptionKind::Text,
        default: Some("json"),
        required: false,
        doc: "The format of the records, one a line.",
    },
    sinks::PARALLELISM,
];

/// What standard output is called in errors.
const STDOUT: &str = "standard output";

/// Where the text of all subtasks goes; one lock holder writes whole lines.
#[derive(Clone)]
struct Output {
    name: &'static str,
    writer: Arc<Mutex<dyn Write + Send>>,
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl Output {
    fn stdout() -> Self {
        Self { name: STDOUT, writer: Arc::new(Mutex::new(io::stdout())) }
    }

    fn stderr() -> Self {
        Self { name: "standard error", writer: Arc::new(Mutex::new(io::stderr())) }
    }

    /// Writes and flushes, so that whoever reads the pipe sees the rows now. A reader that went away is
    /// [`io::ErrorKind::BrokenPipe`] inside [`ConnectorError::Io`].
    fn write(&self, bytes: &[u8]) -> Result<(), ConnectorError> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let written = writer.write_all(bytes).and_then(|()| writer.flush());
        written.map_err(|e| ConnectorError::io(format!("writing to {}", self.name), e))
    }
}

/// How a sink's rows become lines.
#[derive(Debug)]
enum Lines {
    /// `print`: the identifier, perhaps empty.
    Rows(String),
    /// `stdout`
    Records(Arc<dyn EncoderFactory>),
}

#[derive(Debug)]
struct PrintSink {
    description: String,
    lines: Lines,
    output: Output,
    parallelism: Option<Parallelism>,
}

/// The `print` sink.
pub(super) fn build_print(declaration: &SinkDeclaration) -> Result<Arc<dyn Sink>, OptionError> {
    let options = &declaration.options;
    let to_stderr = options.bool("standard-error", false)?;
    Ok(Arc::new(PrintSink {
        description: "print".to_owned(),
        lines: Lines::Rows(options.get("print-identifier").unwrap_or_default().to_owned()),
        output: if to_stderr { Output::stderr() } else { Output::stdout() },
        parallelism: sinks::parallelism(options)?,
    }))
}

/// The `stdout` sink.
pub(super) fn build_stdout(declaration: &SinkDeclaration) -> Result<Arc<dyn Sink>, OptionError> {
    let options = &declaration.options;
    let name = options.get("format").unwrap_or("json");
    Ok(Arc::new(PrintSink {
        description: format!("stdout({name})"),
        lines: Lines::Records(format::encoder_factory(name, &declaration.schema, options)?),
        output: Output::stdout(),
        parallelism: sinks::parallelism(options)?,
    }))
}

/// What precedes every row of a subtask: Flink's `PrintSinkOutputWriter.open`.
fn prefix(identifier: &str, subtask: usize, parallelism: Parallelism) -> String {
    match (identifier.is_empty(), parallelism.get() > 1) {
        (true, false) => String::new(),
        (false, false) => format!("{identifier}> "),
        (true, true) => format!("{}> ", subtask + 1),
        (false, true) => format!("{identifier}:{}> ", subtask + 1),
    }
}

impl Sink for PrintSink {
    fn describe(&self) -> String {
        self.description.clone()
    }

    fn input(&self) -> SinkInput {
        match &self.lines {
            Lines::Rows(_) => SinkInput::Any,
            Lines::Records(factory) => super::encodable_input(factory.changelog_mode()),
        }
    }

    fn max_subtasks(&self) -> Option<Parallelism> {
        self.parallelism
    }

    fn writes_to_stdout(&self) -> bool {
        self.output.name == STDOUT
    }

    fn writers(
        &self,
        context: &ConnectorContext,
        _restored: Option<&SinkRestore>,
        metrics: &[OperatorMetrics],
    ) -> Result<Vec<Box<dyn SinkWriter>>, ConnectorError> {
        let writer = |subtask: usize| {
            let text: Box<dyn Encoder> = match &self.lines {
                Lines::Rows(identifier) => Box::new(PrintedRows { prefix: prefix(identifier, subtask, context.parallelism) }),
                Lines::Records(factory) => factory.encoder(),
            };
            let metrics = metrics.get(subtask).cloned().unwrap_or_default();
            Box::new(PrintWriter { text, output: self.output.clone(), buffer: Vec::new(), metrics }) as Box<dyn SinkWriter>
        };
        Ok((0..context.parallelism.get()).map(writer).collect())
    }
}

/// Rows as `print` shows them, as an encoder.
struct PrintedRows {
    prefix: String,
}

impl Encoder for PrintedRows {
    fn encode(&mut self, batch: &Batch, rows: std::ops::Range<usize>, out: &mut Vec<u8>) -> Result<(), FormatError> {
        format::print::write_rows(batch, rows, &self.prefix, out)
    }
}

struct PrintWriter {
    text: Box<dyn Encoder>,
    output: Output,
    buffer: Vec<u8>,
    metrics: OperatorMetrics,
}

impl SinkWriter for PrintWriter {
    fn write(&mut self, batch: &Batch) -> Result<(), ConnectorError> {
        self.buffer.clear();
        self.text.encode(batch, 0..batch.num_rows(), &mut self.buffer)?;
        self.metrics.bytes_out.add(self.buffer.len() as u64);
        self.output.write(&self.buffer)
    }

    fn on_idle(&mut self) -> Result<(), ConnectorError> {
        Ok(())
    }

    fn prepare_commit(&mut self, _checkpoint: CheckpointId) -> Result<SinkSnapshot, ConnectorError> {
        Ok(SinkSnapshot::default())
    }

    fn commit(&mut self, _checkpoint: CheckpointId, _committables: &RecordBatch) -> Result<(), ConnectorError> {
        Ok(())
    }

    fn end_of_input(&mut self) -> Result<(), ConnectorError> {
        Ok(())
    }

    fn close(&mut self) {}
}

#[cfg(test)]
mod tests;
