//! Bytes on their way to a decoder: reads go behind what is left of the last one, so that only an unfinished record is ever copied.

use crate::types::limits;

/// A growing window over a stream of bytes. Knows the position of each byte in the stream.
#[derive(Debug)]
pub(in crate::connector) struct RecordBuffer {
    bytes: Vec<u8>,
    begin: usize,
    end: usize,
    /// Position in the stream of `bytes[0]`.
    base: u64,
    chunk: usize,
}

impl RecordBuffer {
    /// An empty buffer for reads of `chunk` bytes.
    pub(in crate::connector) fn new(chunk: usize) -> Self {
        Self { bytes: Vec::new(), begin: 0, end: 0, base: 0, chunk: chunk.max(1) }
    }

    /// Forgets the content; the next byte put in is the one at `position`.
    pub(in crate::connector) fn restart(&mut self, position: u64) {
        (self.begin, self.end, self.base) = (0, 0, position);
    }

    /// What has been read and not consumed.
    pub(in crate::connector) fn unread(&self) -> &[u8] {
        self.bytes.get(self.begin..self.end).unwrap_or_default()
    }

    /// Position of the first byte of [`Self::unread`].
    pub(in crate::connector) fn position(&self) -> u64 {
        self.base + self.begin as u64
    }

    /// Position behind the last byte of [`Self::unread`].
    pub(in crate::connector) fn filled_to(&self) -> u64 {
        self.base + self.end as u64
    }

    /// Takes `count` bytes off the front; at most all.
    pub(in crate::connector) fn consume(&mut self, count: usize) {
        self.begin = self.begin.saturating_add(count).min(self.end);
    }

    /// Room for the next read: a chunk, or as much as is unread if that is more, so that a long record is looked at a number of
    /// times that grows with the logarithm of its length. At least one byte.
    pub(in crate::connector) fn room(&mut self) -> &mut [u8] {
        if self.begin > 0 {
            self.bytes.copy_within(self.begin..self.end, 0);
            self.base += self.begin as u64;
            (self.begin, self.end) = (0, self.end - self.begin);
        }
        // Decoders consume what exceeds the limit of a record, so the buffer stays below the limit and one doubling.
        let most = (limits::RECORD_BYTES.0 as usize).max(self.chunk);
        let wanted = self.end + self.end.clamp(self.chunk, most);
        if self.bytes.len() < wanted {
            self.bytes.resize(wanted, 0);
        }
        self.bytes.get_mut(self.end..).unwrap_or_default()
    }

    /// Says that `count` bytes of [`Self::room`] have been filled.
    pub(in crate::connector) fn filled(&mut self, count: usize) {
        self.end = self.end.saturating_add(count).min(self.bytes.len());
    }

    /// Copies `bytes` in.
    pub(in crate::connector) fn append(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = self.room();
            let count = room.len().min(bytes.len());
            let (now, later) = bytes.split_at(count);
            if let Some(target) = room.get_mut(..count) {
                target.copy_from_slice(now);
            }
            self.filled(count);
            bytes = later;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_stay_true_while_the_tail_moves_and_the_buffer_grows() {
        let mut buffer = RecordBuffer::new(4);
        buffer.restart(100);
        buffer.append(b"abcdef");
        buffer.consume(5);
        assert_eq!((buffer.unread(), buffer.position()), (&b"f"[..], 105));
        buffer.append(b"ghijklmnop");
        assert_eq!((buffer.unread(), buffer.position(), buffer.filled_to()), (&b"fghijklmnop"[..], 105, 116));
        buffer.consume(99);
        assert_eq!((buffer.unread(), buffer.position()), (&b""[..], 116));
        assert_eq!(buffer.room().len() % 4, 0);
    }
}
