//! State rows ↔ Parquet files, with length and checksum.
//!
//! No dictionary (keys and accumulators hardly repeat), statistics of the key group by row group (so that a range of key groups
//! skips the rest), row groups small enough for that. Every reader of Parquet reads the files.

use super::manifest::Xxh3;
use super::parquet_footer::is_plausible;
use crate::storage::{ReadFile, WriteFile};
use crate::types::{ByteSize, KeyGroupRange};
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, SchemaRef};
use bytes::Bytes;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::arrow::{ArrowSchemaConverter, ArrowWriter};
use parquet::basic::{Compression, Encoding, Type as PhysicalType};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::statistics::Statistics;
use parquet::schema::types::ColumnPath;
use std::cell::Cell;
use std::io::{self, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use xxhash_rust::xxh3::Xxh3 as Hasher;

/// The column by which keyed state is sorted and looked up.
const KEY_GROUP: &str = "key_group";

/// Rows of one row group: what is skipped or read as a whole when a range of key groups is loaded.
const ROW_GROUP_ROWS: usize = 128 * 1024;

/// Rows of the batches that are read.
const READ_ROWS: usize = 8 * 1024;

/// Bytes that are hashed at once.
const HASH_CHUNK: usize = 1 << 20;

/// What was written: the values that `_metadata` holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileSum {
    pub(super) rows: u64,
    pub(super) bytes: ByteSize,
    pub(super) xxh3: Xxh3,
}

/// Where a Parquet file's bytes go.
pub(super) trait FileSink: Send {
    /// Takes all of `bytes`.
    fn put(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Makes them durable.
    fn sync(&mut self) -> io::Result<()>;
}

impl FileSink for Box<dyn WriteFile> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        WriteFile::sync(&mut **self)
    }
}

impl FileSink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Hashing<F> {
    file: F,
    hasher: Hasher,
    bytes: u64,
}

impl<F: FileSink> Write for Hashing<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.put(bytes)?;
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Why a file could not be written.
#[derive(Debug)]
pub(super) enum WriteError {
    Io(io::Error),
    Rows(String),
}

/// One Parquet file being written.
pub(super) struct FileWriter<F: FileSink> {
    parquet: ArrowWriter<Hashing<F>>,
    rows: u64,
}

/// Numbers as differences, texts as lengths and bytes: a third of the plain size at no cost, while zstd would double the time of a
/// checkpoint. What differences do not help with goes through Snappy.
fn properties(schema: &SchemaRef) -> Result<WriterProperties, ParquetError> {
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_column_statistics_enabled(ColumnPath::from(KEY_GROUP), EnabledStatistics::Chunk)
        .set_offset_index_disabled(true)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS));
    for column in ArrowSchemaConverter::new().convert(schema)?.columns() {
        let path = column.path().clone();
        properties = match column.physical_type() {
            PhysicalType::INT32 | PhysicalType::INT64 => properties
                .set_column_encoding(path.clone(), Encoding::DELTA_BINARY_PACKED)
                .set_column_compression(path, Compression::UNCOMPRESSED),
            PhysicalType::BYTE_ARRAY => properties.set_column_encoding(path, Encoding::DELTA_LENGTH_BYTE_ARRAY),
            _ => properties,
        };
    }
    Ok(properties.build())
}

impl<F: FileSink> FileWriter<F> {
    /// Begins a file of rows with this schema.
    pub(super) fn new(file: F, schema: SchemaRef) -> Result<Self, WriteError> {
        let file = Hashing { file, hasher: Hasher::new(), bytes: 0 };
        let properties = properties(&schema).map_err(write_error)?;
        let parquet = ArrowWriter::try_new(file, schema, Some(properties)).map_err(write_error)?;
        Ok(Self { parquet, rows: 0 })
    }

    /// Appends rows.
    pub(super) fn write(&mut self, rows: &RecordBatch) -> Result<(), WriteError> {
        let written = self.parquet.write(rows);
        self.rows += rows.num_rows() as u64;
        written.map_err(write_error)
    }

    /// Where the bytes go: what was written so far, as far as it is not held back for the sake of a row group.
    pub(super) fn sink(&mut self) -> &mut F {
        &mut self.parquet.inner_mut().file
    }

    /// Writes the footer and makes the file durable.
    pub(super) fn finish(self) -> Result<(F, FileSum), WriteError> {
        let mut written = self.parquet.into_inner().map_err(write_error)?;
        written.file.sync().map_err(WriteError::Io)?;
        let sum = FileSum { rows: self.rows, bytes: ByteSize(written.bytes), xxh3: Xxh3(written.hasher.digest()) };
        Ok((written.file, sum))
    }
}

fn write_error(error: ParquetError) -> WriteError {
    match error {
        ParquetError::External(source) => match source.downcast::<io::Error>() {
            Ok(io) => WriteError::Io(*io),
            Err(other) => WriteError::Rows(other.to_string()),
        },
        other => WriteError::Rows(other.to_string()),
    }
}

/// The bytes of a file, on disk or in memory, shared between the column readers.
#[derive(Clone)]
pub(super) enum Content {
    File(Arc<dyn ReadFile>),
    Memory(Bytes),
}

impl Content {
    /// The file's length and checksum.
    pub(super) fn sum(&self) -> io::Result<(ByteSize, Xxh3)> {
        let mut hasher = Hasher::new();
        let mut total = 0;
        match self {
            Self::Memory(bytes) => {
                hasher.update(bytes);
                total = bytes.len() as u64;
            }
            Self::File(file) => {
                let mut chunk = vec![0; HASH_CHUNK];
                loop {
                    let n = file.read_at(&mut chunk, total)?;
                    if n == 0 {
                        break;
                    }
                    hasher.update(&chunk[..n]);
                    total += n as u64;
                }
            }
        }
        Ok((ByteSize(total), Xxh3(hasher.digest())))
    }
}

impl Length for Content {
    fn len(&self) -> u64 {
        match self {
            Self::File(file) => file.len(),
            Self::Memory(bytes) => bytes.len() as u64,
        }
    }
}

/// Reads a [`Content`] from an offset on.
pub(super) struct ContentReader {
    content: Content,
    offset: u64,
}

impl Read for ContentReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = match &self.content {
            Content::File(file) => file.read_at(buffer, self.offset)?,
            Content::Memory(bytes) => {
                let rest = usize::try_from(self.offset).ok().and_then(|at| bytes.get(at..)).unwrap_or_default();
                let n = rest.len().min(buffer.len());
                buffer[..n].copy_from_slice(&rest[..n]);
                n
            }
        };
        self.offset += n as u64;
        Ok(n)
    }
}

impl ChunkReader for Content {
    type T = io::BufReader<ContentReader>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        Ok(io::BufReader::new(ContentReader { content: self.clone(), offset: start }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let end = start.checked_add(length as u64).filter(|end| *end <= self.len());
        // Checked before the allocation: the numbers come from the file.
        let Some(_) = end else { return Err(ParquetError::EOF(format!("{length} bytes at {start} of {}", self.len()))) };
        if let Self::Memory(bytes) = self {
            let start = usize::try_from(start).map_err(|e| ParquetError::General(e.to_string()))?;
            return Ok(bytes.slice(start..start + length));
        }
        let mut buffer = vec![0; length];
        ContentReader { content: self.clone(), offset: start }.read_exact(&mut buffer)?;
        Ok(buffer.into())
    }
}

/// All rows of a file, or those of the row groups that hold key groups in `range`. `rows`: how many the file must have.
pub(super) fn read(content: Content, range: Option<KeyGroupRange>, rows: Option<u64>) -> Result<Vec<RecordBatch>, String> {
    let batches = stream(content, range)?;
    match rows {
        Some(expected) if expected != batches.rows => Err(format!("{} rows, {expected} were written", batches.rows)),
        _ => batches.collect(),
    }
}

/// The same batch by batch.
pub(super) fn stream(content: Content, range: Option<KeyGroupRange>) -> Result<Batches, String> {
    guarded(|| {
        let text = |e: ParquetError| format!("not a valid Parquet file: {e}");
        look_over(&content)?;
        let metadata = ArrowReaderMetadata::load(&content, ArrowReaderOptions::new()).map_err(text)?;
        let rows = u64::try_from(metadata.metadata().file_metadata().num_rows()).unwrap_or(0);
        let groups = wanted_row_groups(metadata.metadata(), range);
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(content, metadata);
        let reader = builder.with_row_groups(groups).with_batch_size(READ_ROWS).build().map_err(text)?;
        Ok(Batches { reader: Some(reader), rows, range })
    })
}

/// Errors on a footer whose numbers cannot be. What has none is left to the decoder's own words.
pub(super) fn look_over(content: &Content) -> Result<(), String> {
    const END: u64 = 8;
    let Some(end) = content.len().checked_sub(END) else { return Ok(()) };
    let read = |start: u64, length: u64| content.get_bytes(start, length as usize).map_err(|e| format!("not a valid Parquet file: {e}"));
    let last = read(end, END)?;
    let length = last.first_chunk().map_or(0, |bytes| u64::from(u32::from_le_bytes(*bytes)));
    if !last.ends_with(b"PAR1") || length > end {
        return Ok(());
    }
    if is_plausible(&read(end - length, length)?) {
        return Ok(());
    }
    Err("not a valid Parquet file: its footer claims to hold more than it does".to_owned())
}

/// The rows of one file as they are asked for. After an error there are no more.
pub(super) struct Batches {
    reader: Option<ParquetRecordBatchReader>,
    /// All rows of the file, as its footer says.
    pub(super) rows: u64,
    range: Option<KeyGroupRange>,
}

impl Iterator for Batches {
    type Item = Result<RecordBatch, String>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let mut reader = self.reader.take()?;
            match guarded(|| reader.next().transpose().map_err(|e| format!("not a valid Parquet file: {e}"))) {
                Err(message) => return Some(Err(message)),
                Ok(None) => return None,
                Ok(Some(batch)) => {
                    self.reader = Some(reader);
                    if batch.num_rows() > 0 && self.range.is_none_or(|range| may_overlap(&batch, range)) {
                        return Some(Ok(batch));
                    }
                }
            }
        }
    }
}

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// True while a panic of this thread would be caught and told as an error: then it needs no report of its own.
pub fn catches_panics() -> bool {
    GUARDED.get()
}

/// Parquet's decoder is run behind a guard against panics: what it reads may have been written by anybody.
fn guarded<T>(reading: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    let before = GUARDED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(reading));
    GUARDED.set(before);
    result.unwrap_or_else(|_| Err("not a valid Parquet file: its pages contradict its footer".to_owned()))
}

/// The row groups that may hold rows of `range`, by their statistics.
fn wanted_row_groups(metadata: &ParquetMetaData, range: Option<KeyGroupRange>) -> Vec<usize> {
    let groups = metadata.row_groups();
    (0..groups.len()).filter(|i| range.is_none_or(|range| group_overlaps(&groups[*i], range))).collect()
}

fn group_overlaps(group: &RowGroupMetaData, range: KeyGroupRange) -> bool {
    let column = group.columns().iter().find(|c| c.column_path().string() == KEY_GROUP);
    let Some(Statistics::Int32(statistics)) = column.and_then(|c| c.statistics()) else { return true };
    match (statistics.min_opt(), statistics.max_opt()) {
        (Some(low), Some(high)) => overlaps(*low, *high, range),
        _ => true,
    }
}

fn overlaps(low: i32, high: i32, range: KeyGroupRange) -> bool {
    let range = range.as_range();
    low < i32::from(range.end) && high >= i32::from(range.start)
}

/// False if every row of the batch belongs to other key groups.
fn may_overlap(batch: &RecordBatch, range: KeyGroupRange) -> bool {
    let Some(column) = batch.column_by_name(KEY_GROUP) else { return true };
    let Some(groups) = column.as_primitive_opt::<Int32Type>().filter(|g| g.null_count() == 0) else { return true };
    let values = groups.values();
    let (low, high) = values.iter().fold((i32::MAX, i32::MIN), |(low, high), g| (low.min(*g), high.max(*g)));
    overlaps(low, high, range)
}
