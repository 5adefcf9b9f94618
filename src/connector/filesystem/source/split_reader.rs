//! One split being read: from its first record to the end of its last one, as bytes for a decoder.

use super::content::{Content, Packing};
use super::splits::{SourceFile, Split};
use crate::connector::ConnectorError;
use crate::connector::read::RecordBuffer;
use crate::format::Decoder;
use crate::metrics::Counter;
use crate::storage::Storage;
use std::io;

/// Bytes read at once behind the end of a split, where only the rest of one record is wanted.
const TAIL_CHUNK: usize = 64 << 10;

/// A split and the open file. The bytes lie in the reader's buffer, which is lent to each call.
pub(super) struct SplitReader {
    /// The split with the position of what has been returned.
    pub(super) split: Split,
    content: Content,
    /// Behind the last byte of the last record, once that is known.
    last: Option<u64>,
    /// From here on the line end is looked for that ends the last record.
    searched: u64,
    /// The begin of the first record that is not decoded.
    record: u64,
}

impl SplitReader {
    /// Opens the split's file and reads up to the first record that begins in the split.
    pub(super) fn open(split: Split, storage: &dyn Storage, counter: Counter, buffer: &mut RecordBuffer) -> Result<Self, ConnectorError> {
        let plain = split.file.packing() == Packing::None;
        // The byte before the split tells whether a record begins right at its start.
        let aligned = split.position > split.start || split.start == 0;
        let from = if aligned { split.position } else { split.position - 1 };
        let content = Content::open(storage, &split.file, from, counter).map_err(|e| reading(&split.file, e))?;
        buffer.restart(from);
        let last = (plain && split.end >= split.file.length()).then_some(split.file.length());
        let mut reader = Self { last, searched: split.end.saturating_sub(1), record: split.position, content, split };
        if !aligned {
            reader.align(buffer)?;
        }
        Ok(reader)
    }

    /// Drops the end of the record that began before the split.
    fn align(&mut self, buffer: &mut RecordBuffer) -> Result<(), ConnectorError> {
        loop {
            if let Some(at) = memchr::memchr(b'\n', buffer.unread()) {
                buffer.consume(at + 1);
                break;
            }
            buffer.consume(usize::MAX);
            if buffer.position() >= self.split.end || !self.read_chunk(buffer)? {
                break;
            }
        }
        self.record = buffer.position();
        if self.record >= self.split.end {
            // No record begins in this split.
            self.last = Some(self.record);
        } else {
            self.find_last(buffer);
        }
        Ok(())
    }

    /// The bytes to decode, and whether they are the last ones of the split.
    pub(super) fn bytes<'a>(&self, buffer: &'a RecordBuffer) -> (&'a [u8], bool) {
        let unread = buffer.unread();
        match self.last {
            Some(last) if last <= buffer.filled_to() => {
                let count = last.saturating_sub(buffer.position()) as usize;
                (unread.get(..count).unwrap_or(unread), true)
            }
            _ => (unread, false),
        }
    }

    /// Takes note that the decoder consumed `count` bytes.
    pub(super) fn consume(&mut self, count: usize, buffer: &mut RecordBuffer) {
        let (bytes, last) = self.bytes(buffer);
        let consumed = bytes.get(..count).unwrap_or(bytes);
        let at_end = last && consumed.len() == bytes.len();
        // A decoder consumes whole records, except for those that are too long: then the split must not be gone on with in the
        // middle of one.
        if at_end || consumed.last() == Some(&b'\n') {
            self.record = buffer.position() + consumed.len() as u64;
        } else if let Some(line_end) = memchr::memrchr(b'\n', consumed) {
            self.record = buffer.position() + line_end as u64 + 1;
        }
        let count = consumed.len();
        buffer.consume(count);
    }

    /// The begin of the first record that has not been decoded.
    pub(super) fn record(&self) -> u64 {
        self.record
    }

    /// Reads more bytes.
    pub(super) fn read_on(&mut self, buffer: &mut RecordBuffer) -> Result<(), ConnectorError> {
        self.read_chunk(buffer)?;
        self.find_last(buffer);
        Ok(())
    }

    /// Reads a chunk; false at the end of the file.
    fn read_chunk(&mut self, buffer: &mut RecordBuffer) -> Result<bool, ConnectorError> {
        let waiting = buffer.unread().len();
        let plain = matches!(self.content, Content::Plain(_));
        let most = if plain && self.last.is_none() {
            // Not further into the next split than needed.
            let left = self.split.end.saturating_sub(buffer.filled_to());
            if left > 0 { usize::try_from(left).unwrap_or(usize::MAX) } else { waiting.max(TAIL_CHUNK) }
        } else {
            usize::MAX
        };
        let room = buffer.room();
        let count = room.len().min(most);
        let target = room.get_mut(..count).unwrap_or_default();
        let read = self.content.read(target).map_err(|e| reading(&self.split.file, e))?;
        buffer.filled(read);
        if read == 0 {
            self.last = Some(buffer.filled_to());
        }
        Ok(read > 0)
    }

    /// Looks for the end of the record that reaches over the end of the split.
    fn find_last(&mut self, buffer: &RecordBuffer) {
        if self.last.is_some() || matches!(self.content, Content::Packed(_)) || buffer.filled_to() <= self.searched {
            return;
        }
        let skip = self.searched.saturating_sub(buffer.position()) as usize;
        let unseen = buffer.unread().get(skip..).unwrap_or_default();
        let begin = buffer.position() + skip as u64;
        self.last = memchr::memchr(b'\n', unseen).map(|at| begin + at as u64 + 1);
        self.searched = buffer.filled_to();
        if self.last.is_none() && buffer.filled_to() >= self.split.file.length() {
            self.last = Some(buffer.filled_to());
        }
    }
}

/// The error of reading `file`. Those of storage name the file, those of unpacking do not.
pub(super) fn reading(file: &SourceFile, error: io::Error) -> ConnectorError {
    let named = error.to_string().starts_with(file.text());
    ConnectorError::io(if named { "reading a file".to_owned() } else { format!("reading {}", file.text()) }, error)
}

/// Hands the header line of `file` to a decoder that begins in the middle of it.
pub(super) fn hand_over_header(storage: &dyn Storage, file: &SourceFile, decoder: &mut dyn Decoder) -> io::Result<()> {
    let mut start = Vec::new();
    let (mut content, mut last) = (None, false);
    while !decoder.read_header(&start, last) && !last {
        let content = match &mut content {
            Some(content) => content,
            none => none.insert(Content::open(storage, file, 0, Counter::default())?),
        };
        let known = start.len();
        start.resize(known + TAIL_CHUNK, 0);
        let read = content.read(start.get_mut(known..).unwrap_or_default())?;
        start.truncate(known + read);
        last = read == 0;
    }
    Ok(())
}

/// The number of the line that begins at `position`, from 1 on. Reads the file up to there.
pub(super) fn line_number(storage: &dyn Storage, file: &SourceFile, position: u64) -> io::Result<u64> {
    let mut content = Content::open(storage, file, 0, Counter::default())?;
    let mut chunk = vec![0; 256 << 10];
    let (mut lines, mut left) = (1, position);
    while left > 0 {
        let most = chunk.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let target = chunk.get_mut(..most).unwrap_or_default();
        let read = content.read(target)?;
        if read == 0 {
            break;
        }
        lines += memchr::memchr_iter(b'\n', target.get(..read).unwrap_or_default()).count() as u64;
        left -= read as u64;
    }
    Ok(lines)
}
