//! One subtask of the `filesystem` sink: the file that is open, when it is closed (rolled), and what waits for the next barrier.

use super::sink_files::{Committable, Execution, committables_batch, committables_of, publish, state_batch};
use crate::connector::{ConnectorError, SinkSnapshot, SinkWriter};
use crate::format::{Encoder, EncoderFactory};
use crate::metrics::OperatorMetrics;
use crate::storage::WriteFile;
use crate::types::{Batch, ByteSize, CheckpointId, Clock, WallTime};
use arrow::array::RecordBatch;
use flate2::write::GzEncoder;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Bytes gathered before they are written to the file.
const BUFFER_BYTES: usize = 256 << 10;

/// Rows encoded between two looks at the file's size.
const ROWS_AT_ONCE: usize = 1_024;

/// When a file is closed: Flink's `DefaultRollingPolicy`, and `on_checkpoint`.
#[derive(Debug, Clone)]
pub(super) struct RollingPolicy {
    pub(super) file_size: ByteSize,
    /// Since it was opened.
    pub(super) rollover: Duration,
    /// Since the last row.
    pub(super) inactivity: Duration,
    /// How often the two are looked at.
    pub(super) check: Duration,
    pub(super) on_checkpoint: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Gzip,
    Zstd,
}

/// What the writers of a sink share.
pub(super) struct Target {
    pub(super) files: Arc<Execution>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) factory: Arc<dyn EncoderFactory>,
    pub(super) policy: RollingPolicy,
    pub(super) compression: Compression,
    /// Without checkpoints a file becomes visible as soon as it is closed.
    pub(super) checkpointing: bool,
}

/// A file that knows how much was written to it.
struct Counted {
    file: Box<dyn WriteFile>,
    length: u64,
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.file.write(bytes)?;
        self.length += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

enum Body {
    Plain(Counted),
    Gzip(GzEncoder<Counted>),
    Zstd(zstd::stream::write::Encoder<'static, Counted>),
}

impl Body {
    fn new(file: Box<dyn WriteFile>, compression: Compression) -> io::Result<Self> {
        let file = Counted { file, length: 0 };
        Ok(match compression {
            Compression::None => Self::Plain(file),
            Compression::Gzip => Self::Gzip(GzEncoder::new(file, flate2::Compression::default())),
            Compression::Zstd => Self::Zstd(zstd::stream::write::Encoder::new(file, zstd::DEFAULT_COMPRESSION_LEVEL)?),
        })
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(file) => file.write_all(bytes),
            Self::Gzip(file) => file.write_all(bytes),
            Self::Zstd(file) => file.write_all(bytes),
        }
    }

    /// Bytes that have reached the file.
    fn length(&self) -> u64 {
        match self {
            Self::Plain(file) => file.length,
            Self::Gzip(file) => file.get_ref().length,
            Self::Zstd(file) => file.get_ref().length,
        }
    }

    /// Makes what was written durable without ending the file: for plain files.
    fn sync(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(file) => file.file.sync(),
            Self::Gzip(_) | Self::Zstd(_) => Err(io::Error::other("a compressed file has no valid length before its end")),
        }
    }

    /// Ends the file durably; its length.
    fn finish(self) -> io::Result<u64> {
        let mut file = match self {
            Self::Plain(file) => file,
            Self::Gzip(file) => file.finish()?,
            Self::Zstd(file) => file.finish()?,
        };
        file.file.sync()?;
        Ok(file.length)
    }
}

/// The names of one file of one subtask.
#[derive(Debug, Clone, Copy)]
struct PartNumber(u64);

struct OpenFile {
    part: PartNumber,
    path: PathBuf,
    body: Body,
    encoder: Box<dyn Encoder>,
    /// Encoded rows that have not reached the file.
    buffer: Vec<u8>,
    opened: WallTime,
    last_row: WallTime,
    /// True if its name says that a snapshot may know it.
    is_pending: bool,
}

impl OpenFile {
    fn flush(&mut self) -> Result<(), ConnectorError> {
        let written = self.body.write_all(&self.buffer);
        self.buffer.clear();
        written.map_err(failed("writing a file"))
    }

    fn size(&self) -> u64 {
        self.body.length() + self.buffer.len() as u64
    }
}

/// A closed, synced file.
struct RolledFile {
    part: PartNumber,
    path: PathBuf,
    length: u64,
    is_pending: bool,
}

/// Errors of files name the path themselves.
fn failed(what: &'static str) -> impl Fn(io::Error) -> ConnectorError {
    move |e| ConnectorError::io(what, e)
}

pub(super) struct FileWriter {
    target: Arc<Target>,
    subtask: usize,
    next_part: PartNumber,
    extension: String,
    open: Option<OpenFile>,
    /// Closed since the last barrier.
    rolled: Vec<RolledFile>,
    last_check: WallTime,
    metrics: OperatorMetrics,
    closed: bool,
}

impl FileWriter {
    pub(super) fn new(target: Arc<Target>, subtask: usize, metrics: OperatorMetrics) -> Self {
        target.files.writer_opened();
        let format = target.factory.extension();
        let extension = match target.compression {
            Compression::None => format.to_owned(),
            Compression::Gzip => format!("{format}.gz"),
            Compression::Zstd => format!("{format}.zst"),
        };
        let last_check = target.clock.now();
        let (next_part, rolled) = (PartNumber(0), Vec::new());
        Self { target, subtask, next_part, extension, open: None, rolled, last_check, metrics, closed: false }
    }

    fn open_file(&mut self) -> Result<&mut OpenFile, ConnectorError> {
        if self.open.is_none() {
            let part = self.next_part;
            self.next_part.0 += 1;
            let path = self.target.files.in_progress(self.subtask, part.0);
            let file = self.target.files.storage().create(&path).map_err(failed("creating a file"))?;
            let body = Body::new(file, self.target.compression).map_err(failed("creating a file"))?;
            let (encoder, now) = (self.target.factory.encoder(), self.target.clock.now());
            let buffer = Vec::with_capacity(BUFFER_BYTES);
            self.open = Some(OpenFile { part, path, body, encoder, buffer, opened: now, last_row: now, is_pending: false });
        }
        self.open.as_mut().ok_or_else(|| ConnectorError::State("a file that was opened is not open".to_owned()))
    }

    /// Closes the open file, if there is one.
    fn roll(&mut self) -> Result<(), ConnectorError> {
        let Some(mut open) = self.open.take() else { return Ok(()) };
        open.flush()?;
        let length = open.body.finish().map_err(failed("syncing a file"))?;
        let rolled = RolledFile { part: open.part, path: open.path, length, is_pending: open.is_pending };
        if self.target.checkpointing {
            self.rolled.push(rolled);
            return Ok(());
        }
        publish(self.target.files.storage(), &self.committable(&rolled.path, rolled.part, rolled.length))
    }

    fn committable(&self, path: &Path, part: PartNumber, length: u64) -> Committable {
        let target = self.target.files.target(self.subtask, part.0, &self.extension);
        Committable { temporary: path.to_owned(), target, length }
    }

    /// Gives a file the name that says that a snapshot may know it.
    fn mark_pending(&self, path: &mut PathBuf, part: PartNumber, is_pending: &mut bool) -> Result<(), ConnectorError> {
        if !*is_pending {
            let pending = self.target.files.pending(self.subtask, part.0);
            self.target.files.storage().rename(path, &pending).map_err(failed("renaming a file"))?;
            (*path, *is_pending) = (pending, true);
        }
        Ok(())
    }

    /// Makes the open file's content durable; what of it belongs to the snapshot.
    fn snapshot_open(&mut self) -> Result<Option<Committable>, ConnectorError> {
        let Some(mut open) = self.open.take() else { return Ok(None) };
        open.flush()?;
        open.body.sync().map_err(failed("syncing a file"))?;
        self.mark_pending(&mut open.path, open.part, &mut open.is_pending)?;
        let covered = self.committable(&open.path, open.part, open.body.length());
        self.open = Some(open);
        Ok(Some(covered))
    }
}

impl SinkWriter for FileWriter {
    fn write(&mut self, batch: &Batch) -> Result<(), ConnectorError> {
        let file_size = self.target.policy.file_size.0;
        let now = self.target.clock.now();
        let mut row = 0;
        while row < batch.num_rows() {
            let end = batch.num_rows().min(row + ROWS_AT_ONCE);
            let metrics = self.metrics.clone();
            let open = self.open_file()?;
            let before = open.buffer.len();
            open.encoder.encode(batch, row..end, &mut open.buffer)?;
            open.last_row = now;
            metrics.bytes_out.add((open.buffer.len() - before) as u64);
            row = end;
            if open.size() >= file_size {
                self.roll()?;
            } else if open.buffer.len() >= BUFFER_BYTES {
                open.flush()?;
            }
        }
        Ok(())
    }

    fn on_idle(&mut self) -> Result<(), ConnectorError> {
        let (now, policy) = (self.target.clock.now(), &self.target.policy);
        if now.since(self.last_check) < policy.check {
            return Ok(());
        }
        self.last_check = now;
        let due = |open: &OpenFile| now.since(open.opened) >= policy.rollover || now.since(open.last_row) >= policy.inactivity;
        if self.open.as_ref().is_some_and(due) { self.roll() } else { Ok(()) }
    }

    fn prepare_commit(&mut self, _checkpoint: CheckpointId) -> Result<SinkSnapshot, ConnectorError> {
        if self.target.policy.on_checkpoint {
            self.roll()?;
        }
        let mut committables = Vec::new();
        for mut rolled in std::mem::take(&mut self.rolled) {
            self.mark_pending(&mut rolled.path, rolled.part, &mut rolled.is_pending)?;
            committables.push(self.committable(&rolled.path, rolled.part, rolled.length));
        }
        let open = self.snapshot_open()?;
        let state = self.target.files.state(open);
        Ok(SinkSnapshot { state: Some(state_batch(&state)?), committables: committables_batch(&committables)? })
    }

    fn commit(&mut self, _checkpoint: CheckpointId, committables: &RecordBatch) -> Result<(), ConnectorError> {
        committables_of(committables)?.iter().try_for_each(|file| publish(self.target.files.storage(), file))
    }

    fn end_of_input(&mut self) -> Result<(), ConnectorError> {
        self.roll()
    }

    /// Removes what no snapshot knows, as a restore would. Without checkpoints the unfinished file stays: it is all there is.
    fn close(&mut self) {
        if std::mem::replace(&mut self.closed, true) {
            return;
        }
        let open = self.open.take().map(|open| (open.path, open.is_pending));
        let rolled = std::mem::take(&mut self.rolled).into_iter().map(|rolled| (rolled.path, rolled.is_pending));
        let unknown: Vec<PathBuf> = open.into_iter().chain(rolled).filter(|(_, pending)| !pending).map(|(path, _)| path).collect();
        let storage = self.target.files.storage();
        let removed = |path: &PathBuf| self.target.checkpointing && storage.remove(path).is_ok();
        if unknown.iter().all(removed) {
            self.target.files.writer_left_nothing();
        }
    }
}
