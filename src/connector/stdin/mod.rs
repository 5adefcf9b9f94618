//! `stdin`: records from standard input, each one as soon as it is there.
//!
//! Standard input cannot be read twice. The saved position is only the number of bytes whose rows have gone out; after a restore
//! the source goes on with whatever standard input gives then, and says so in the log. Rows that had been read after the last
//! checkpoint are lost with a failure.

mod feed;
#[cfg(test)]
mod tests;

use super::read::{BadRecordLog, Origin, RecordBuffer, failure};
use super::sources::FORMAT;
use super::{BadRecordPolicy, ConnectorContext, ConnectorError, Source, SourceDeclaration, SourceEvent, SourceReader};
use crate::format::{BadRecord, Decoder, DecoderFactory, FormatError, decoder_factory};
use crate::metrics::{Counter, OperatorMetrics};
use crate::types::{Batch, ChangelogMode, OptionError, OptionSpec, Parallelism, limits};
use arrow::array::{Array, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use feed::{Feed, Piece};
use std::io::Read;
use std::sync::Arc;
use std::task::{Context, Poll};

/// The options of `stdin`.
pub(super) const OPTIONS: &[OptionSpec] = &[FORMAT];

/// What messages call it.
const NAME: &str = "standard input";

/// Makes the source.
pub(super) fn build(declaration: &SourceDeclaration) -> Result<Arc<dyn Source>, OptionError> {
    let format = declaration.options.required("format")?.to_owned();
    let decoders = decoder_factory(&format, &declaration.schema, &declaration.projection, &declaration.options)?;
    let schema = declaration.schema.project(&declaration.projection).to_arrow();
    let bad_records = declaration.bad_records.clone();
    Ok(Arc::new(StdinSource::new(&declaration.name, format, decoders, schema, bad_records, Box::new(std::io::stdin()))))
}

/// Records from one stream of bytes, read once.
#[derive(Debug)]
struct StdinSource {
    name: String,
    format: String,
    decoders: Arc<dyn DecoderFactory>,
    schema: SchemaRef,
    bad_records: BadRecordPolicy,
    /// Outlives the readers: after a restart in this process the next reader takes it up where the last one left it.
    feed: Arc<Feed>,
}

impl StdinSource {
    fn new(
        name: &str,
        format: String,
        decoders: Arc<dyn DecoderFactory>,
        schema: SchemaRef,
        bad_records: BadRecordPolicy,
        input: Box<dyn Read + Send>,
    ) -> Self {
        Self { name: name.to_owned(), format, decoders, schema, bad_records, feed: Arc::new(Feed::new(input)) }
    }
}

impl Source for StdinSource {
    fn describe(&self) -> String {
        format!("stdin({})", self.format)
    }

    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn changelog_mode(&self) -> ChangelogMode {
        self.decoders.changelog_mode()
    }

    fn is_bounded(&self) -> bool {
        true
    }

    fn max_subtasks(&self) -> Option<Parallelism> {
        Some(Parallelism::ONE)
    }

    /// `bytes BIGINT NOT NULL`: how many have been read and have come out as rows.
    fn state_schema(&self) -> SchemaRef {
        Arc::new(Schema::new(vec![Field::new("bytes", DataType::Int64, false)]))
    }

    fn readers(
        &self,
        context: &ConnectorContext,
        restored: &[RecordBatch],
        metrics: &[OperatorMetrics],
    ) -> Result<Vec<Box<dyn SourceReader>>, ConnectorError> {
        let subtasks = context.parallelism.get();
        if subtasks > 1 {
            return Err(ConnectorError::State(format!("source {}: {NAME} is read by one subtask, not by {subtasks}", self.name)));
        }
        let before = restored.iter().map(bytes_before).sum::<Result<u64, _>>()?;
        if !restored.is_empty() {
            tracing::warn!(source = self.name, bytes = before, "{NAME} cannot be read again: going on with what comes now");
        }
        let metrics = metrics.first().cloned().unwrap_or_default();
        let mut buffer = RecordBuffer::new(limits::READ_CHUNK.0 as usize);
        buffer.restart(before);
        let mut decoder = self.decoders.decoder();
        decoder.start_file(before);
        Ok(vec![Box::new(StdinReader {
            feed: self.feed.clone(),
            log: BadRecordLog::new(self.bad_records.clone(), &self.name, metrics.bad_records.clone()),
            state_schema: self.state_schema(),
            bytes_in: metrics.bytes_in,
            lines: 0,
            position: before,
            ended: false,
            held: None,
            since_batch: 0,
            decoder,
            buffer,
        })])
    }
}

fn bytes_before(saved: &RecordBatch) -> Result<u64, ConnectorError> {
    let column = saved.column_by_name("bytes").filter(|c| c.data_type() == &DataType::Int64 && c.null_count() == 0);
    let column = column.ok_or_else(|| ConnectorError::State("the saved position of standard input is damaged".to_owned()))?;
    Ok(column.as_primitive::<Int64Type>().values().iter().map(|bytes| bytes.unsigned_abs()).sum())
}

/// Reads what the feed brings.
struct StdinReader {
    feed: Arc<Feed>,
    decoder: Box<dyn Decoder>,
    buffer: RecordBuffer,
    log: BadRecordLog,
    state_schema: SchemaRef,
    bytes_in: Counter,
    /// Line ends consumed so far, for messages.
    lines: u64,
    /// Behind the last row that has gone out.
    position: u64,
    ended: bool,
    /// Rows that go out behind their dead letters.
    held: Option<Batch>,
    /// Bytes decoded since the last batch.
    since_batch: usize,
}

impl StdinReader {
    /// Decodes what is there; true if a batch should go out before more is decoded.
    fn decode(&mut self) -> Result<bool, ConnectorError> {
        let bytes = self.buffer.unread();
        if bytes.is_empty() {
            return Ok(false);
        }
        let origin = Origin { name: NAME, base: self.buffer.position(), settled: 0 };
        let mut call = self.log.during(origin);
        let decoded = self.decoder.decode(bytes, self.ended, limits::BATCH_ROWS, &mut call);
        drop(call);
        let consumed = match decoded {
            Err(FormatError::BadRecord(record)) => return Err(located(self.lines, bytes, record)),
            other => other?,
        };
        if consumed == 0 && self.ended && self.decoder.rows() == 0 {
            return Err(FormatError::Arrow(format!("{NAME}: the decoder neither read nor refused the last record")).into());
        }
        self.lines += memchr::memchr_iter(b'\n', bytes.get(..consumed).unwrap_or(bytes)).count() as u64;
        self.buffer.consume(consumed);
        self.since_batch += consumed;
        let rows = self.decoder.rows();
        let full = rows >= limits::BATCH_ROWS || self.since_batch >= limits::BATCH_BYTES.0 as usize || self.log.is_full();
        Ok(full || (consumed == 0 && rows > 0))
    }

    /// What has been decoded, dead letters first.
    fn let_out(&mut self) -> Result<Option<SourceEvent>, ConnectorError> {
        self.since_batch = 0;
        let rows = self.decoder.flush()?;
        match (self.log.take_letters()?, rows) {
            (Some(letters), rows) => {
                self.held = rows;
                if self.held.is_none() {
                    self.position = self.buffer.position();
                }
                Ok(Some(SourceEvent::DeadLetters(letters)))
            }
            (None, Some(rows)) => {
                self.position = self.buffer.position();
                Ok(Some(SourceEvent::Batch(rows)))
            }
            (None, None) => {
                self.position = self.buffer.position();
                Ok(None)
            }
        }
    }

    fn next(&mut self, cx: &mut Context<'_>) -> Poll<Result<SourceEvent, ConnectorError>> {
        if let Some(rows) = self.held.take() {
            self.position = self.buffer.position();
            return Poll::Ready(Ok(SourceEvent::Batch(rows)));
        }
        loop {
            if self.decode()?
                && let Some(event) = self.let_out()?
            {
                return Poll::Ready(Ok(event));
            }
            if self.ended {
                if !self.buffer.unread().is_empty() {
                    continue;
                }
                return Poll::Ready(Ok(self.let_out()?.unwrap_or(SourceEvent::End)));
            }
            match self.feed.poll_piece(cx) {
                Poll::Ready(Piece::Bytes(bytes)) => {
                    self.bytes_in.add(bytes.len() as u64);
                    self.buffer.append(&bytes);
                }
                Poll::Ready(Piece::End) => self.ended = true,
                Poll::Ready(Piece::Failed(error)) => return Poll::Ready(Err(ConnectorError::io(format!("reading {NAME}"), error))),
                // Nothing more for now: what is there must not wait for it.
                Poll::Pending => return self.let_out()?.map_or(Poll::Pending, |event| Poll::Ready(Ok(event))),
            }
        }
    }
}

/// The error of a bad record that fails the job; `lines` had been consumed before `bytes`.
fn located(lines: u64, bytes: &[u8], record: BadRecord) -> ConnectorError {
    let before = bytes.get(..record.offset).unwrap_or(bytes);
    let line = lines + memchr::memchr_iter(b'\n', before).count() as u64 + 1;
    failure(format!("{NAME}, line {line}"), record)
}

impl SourceReader for StdinReader {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<SourceEvent, ConnectorError>> {
        self.next(cx)
    }

    fn snapshot(&mut self) -> Result<RecordBatch, ConnectorError> {
        let bytes = Int64Array::from(vec![self.position as i64]);
        RecordBatch::try_new(self.state_schema.clone(), vec![Arc::new(bytes)]).map_err(|e| FormatError::from(e).into())
    }
}
