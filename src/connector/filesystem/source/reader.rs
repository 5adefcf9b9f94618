//! The reader of one subtask: takes splits, decodes them, and knows exactly where it stands.

use super::ReadSizes;
use super::metadata::FileColumns;
use super::queue::{SplitQueue, Take};
use super::split_reader::{SplitReader, hand_over_header, line_number, reading};
use super::splits::{DonePart, DoneParts, Split, to_batch};
use crate::connector::read::{BadRecordLog, Origin, RecordBuffer, failure};
use crate::connector::{ConnectorError, SourceEvent, SourceReader};
use crate::format::{BadRecord, Decoder, FormatError};
use crate::metrics::OperatorMetrics;
use crate::storage::Storage;
use crate::types::Batch;
use arrow::array::RecordBatch;
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio::time::{Instant, Sleep};

/// What a reader starts with.
pub(super) struct FileReaderParts {
    pub(super) name: String,
    pub(super) storage: Arc<dyn Storage>,
    pub(super) decoder: Box<dyn Decoder>,
    pub(super) metadata: FileColumns,
    pub(super) log: BadRecordLog,
    pub(super) metrics: OperatorMetrics,
    pub(super) queue: Arc<Mutex<SplitQueue>>,
    pub(super) sizes: ReadSizes,
    /// Half-read splits that are this reader's.
    pub(super) started: Vec<Split>,
    /// Parts that this reader's snapshots shall list as read.
    pub(super) done: DoneParts,
}

/// Reads splits one after the other.
pub(super) struct FileReader {
    name: String,
    storage: Arc<dyn Storage>,
    decoder: Box<dyn Decoder>,
    metadata: FileColumns,
    log: BadRecordLog,
    metrics: OperatorMetrics,
    queue: Arc<Mutex<SplitQueue>>,
    buffer: RecordBuffer,
    sizes: ReadSizes,
    started: VecDeque<Split>,
    done: DoneParts,
    current: Option<SplitReader>,
    /// What goes out next: decoded, but not in the position yet.
    held: Option<Held>,
    idle: bool,
    /// Files of the start are left, and new ones are looked for after them.
    backlog: bool,
    sleep: Option<Pin<Box<Sleep>>>,
}

/// Rows (`None`: all records were bad) up to `record`, behind which the split may be done.
struct Held {
    rows: Option<Batch>,
    record: u64,
    done: bool,
}

/// What came of decoding.
enum Decoded {
    /// Enough for a batch, or the end of the split.
    Held(Option<Batch>, Held),
    /// Much was read and no row came of it: others should have a turn.
    Nothing,
}

impl FileReader {
    pub(super) fn new(parts: FileReaderParts) -> Self {
        let backlog = parts.queue.lock().unwrap_or_else(PoisonError::into_inner).is_backlogged();
        Self {
            name: parts.name,
            storage: parts.storage,
            decoder: parts.decoder,
            metadata: parts.metadata,
            log: parts.log,
            metrics: parts.metrics,
            queue: parts.queue,
            buffer: RecordBuffer::new(parts.sizes.chunk),
            sizes: parts.sizes,
            started: parts.started.into(),
            done: parts.done,
            current: None,
            held: None,
            idle: false,
            backlog,
            sleep: None,
        }
    }

    /// Lets out what is held: from now on it is in the position.
    fn let_out(&mut self) -> Option<Batch> {
        let held = self.held.take()?;
        let reader = self.current.as_mut()?;
        reader.split.position = held.record;
        reader.split.dead_letters = held.record.max(reader.split.dead_letters);
        if held.done {
            let split = &reader.split;
            self.done.push(DonePart { file: split.file.clone(), start: split.start, end: split.end });
            self.current = None;
        }
        held.rows
    }

    /// Opens the next split. `None`: there is none now, and the event, if any, says what that means.
    fn next_split(&mut self, cx: &mut Context<'_>) -> Result<Result<Split, Poll<SourceEvent>>, ConnectorError> {
        loop {
            if let Some(split) = self.started.pop_front() {
                return Ok(Ok(split));
            }
            let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            let taken = queue.take();
            self.backlog = queue.is_backlogged();
            drop(queue);
            match taken.map_err(|e| ConnectorError::io(format!("source {}: looking for files", self.name), e))? {
                Take::Split(split) => {
                    (self.idle, self.sleep) = (false, None);
                    return Ok(Ok(split));
                }
                Take::End => return Ok(Err(Poll::Ready(SourceEvent::End))),
                Take::Wait(_) if !self.idle => {
                    self.idle = true;
                    return Ok(Err(Poll::Ready(SourceEvent::Idle)));
                }
                Take::Wait(until) => {
                    if !self.slept_until(until, cx) {
                        return Ok(Err(Poll::Pending));
                    }
                }
            }
        }
    }

    fn slept_until(&mut self, until: Instant, cx: &mut Context<'_>) -> bool {
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        if sleep.deadline() != until {
            sleep.as_mut().reset(until);
        }
        sleep.as_mut().poll(cx).is_ready()
    }

    fn open(&mut self, split: Split) -> Result<(), ConnectorError> {
        let reader = SplitReader::open(split, self.storage.as_ref(), self.metrics.bytes_in.clone(), &mut self.buffer)?;
        self.decoder.start_file(reader.record());
        self.metadata.enter(&reader.split.file, self.storage.as_ref())?;
        if reader.record() > 0 {
            let file = &reader.split.file;
            hand_over_header(self.storage.as_ref(), file, self.decoder.as_mut()).map_err(|e| reading(file, e))?;
        }
        self.current = Some(reader);
        Ok(())
    }

    /// Decodes until a batch is full or the split ends.
    fn decode(&mut self) -> Result<Decoded, ConnectorError> {
        let Some(reader) = self.current.as_mut() else { return Ok(Decoded::Nothing) };
        let mut consumed_bytes = 0;
        loop {
            let (bytes, last) = reader.bytes(&self.buffer);
            let mut consumed = 0;
            if !bytes.is_empty() {
                let base = self.buffer.position();
                let origin = Origin { name: reader.split.file.text(), base, settled: reader.split.dead_letters };
                let mut call = self.log.during(origin);
                let decoded = self.decoder.decode(bytes, last, self.sizes.batch_rows, &mut call);
                drop(call);
                consumed = match decoded {
                    Err(FormatError::BadRecord(record)) => return Err(self.located(base, record)),
                    other => other?,
                };
            }
            let at_end = last && consumed == bytes.len();
            let stuck = last && consumed == 0 && !at_end && self.decoder.rows() == 0;
            reader.consume(consumed, &mut self.buffer);
            consumed_bytes += consumed;
            if stuck {
                let place = format!("{}, byte {}", reader.split.file.text(), reader.record());
                return Err(FormatError::Arrow(format!("{place}: the decoder neither read nor refused a record")).into());
            }
            let rows = self.decoder.rows();
            let full = rows >= self.sizes.batch_rows || consumed_bytes >= self.sizes.batch_bytes || self.log.is_full();
            if at_end || full || (consumed == 0 && rows > 0) {
                let held = Held {
                    rows: self.decoder.flush()?.map(|rows| self.metadata.append(rows)).transpose()?,
                    record: reader.record(),
                    done: at_end,
                };
                let letters = self.log.take_letters()?;
                let nothing = held.rows.is_none() && letters.is_none() && !held.done;
                if nothing {
                    reader.split.position = held.record;
                    reader.split.dead_letters = held.record.max(reader.split.dead_letters);
                    return Ok(Decoded::Nothing);
                }
                return Ok(Decoded::Held(letters, held));
            }
            if !last {
                reader.read_on(&mut self.buffer)?;
            }
        }
    }

    /// The error of a bad record that fails the job; counts the lines before it, which nothing else needs.
    fn located(&self, base: u64, record: BadRecord) -> ConnectorError {
        let Some(reader) = &self.current else { return FormatError::BadRecord(record).into() };
        let file = &reader.split.file;
        let position = base.saturating_add(record.offset as u64);
        let location = match line_number(self.storage.as_ref(), file, position) {
            Ok(line) => format!("file {}, line {line}", file.text()),
            Err(_) => format!("file {}, byte {position}", file.text()),
        };
        failure(location, record)
    }
}

impl SourceReader for FileReader {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<SourceEvent, ConnectorError>> {
        loop {
            if let Some(rows) = self.let_out() {
                return Poll::Ready(Ok(SourceEvent::Batch(rows)));
            }
            if self.current.is_none() {
                match self.next_split(cx) {
                    Err(error) => return Poll::Ready(Err(error)),
                    Ok(Err(event)) => return event.map(Ok),
                    Ok(Ok(split)) => {
                        if let Err(error) = self.open(split) {
                            return Poll::Ready(Err(error));
                        }
                    }
                }
            }
            match self.decode() {
                Err(error) => return Poll::Ready(Err(error)),
                Ok(Decoded::Nothing) => {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Ok(Decoded::Held(letters, held)) => {
                    let record = held.record;
                    self.held = Some(held);
                    if let Some(letters) = letters {
                        // The letters go first, and from here on the snapshot says so; the rows between them and the old
                        // position are decoded again after a restore, the letters are not sent again.
                        if let Some(reader) = &mut self.current {
                            reader.split.dead_letters = record.max(reader.split.dead_letters);
                        }
                        return Poll::Ready(Ok(SourceEvent::DeadLetters(letters)));
                    }
                }
            }
        }
    }

    fn snapshot(&mut self) -> Result<RecordBatch, ConnectorError> {
        let open = self.current.iter().map(|reader| &reader.split).chain(&self.started);
        to_batch(self.done.iter(), open)
    }

    fn is_backlogged(&self) -> bool {
        self.backlog
    }
}
