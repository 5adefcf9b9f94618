//! Words in one piece.

/// Words whose first one lies at the start of a cache line.
#[derive(Debug, Default)]
pub(super) struct AlignedWords {
    buffer: Vec<u64>,
    base: usize,
}

/// Bytes of a cache line.
pub(super) const LINE: usize = 64;
const LINE_WORDS: usize = LINE / size_of::<u64>();

impl AlignedWords {
    pub(super) fn zeroed(words: usize) -> Self {
        let buffer = vec![0_u64; words + LINE_WORDS];
        // In words; 0 where alignment cannot be computed, which costs speed alone.
        let base = buffer.as_ptr().align_offset(LINE);
        Self { base: if base < LINE_WORDS { base } else { 0 }, buffer }
    }

    pub(super) fn capacity(&self) -> usize {
        self.buffer.len().saturating_sub(LINE_WORDS)
    }

    pub(super) fn resized(&self, words: usize) -> Self {
        let mut larger = Self::zeroed(words);
        let used = self.capacity().min(words);
        larger.slice_mut(0, used).copy_from_slice(self.slice(0, used));
        larger
    }

    /// `length` words from `start` on.
    #[inline]
    pub(super) fn slice(&self, start: usize, length: usize) -> &[u64] {
        &self.buffer[self.base + start..self.base + start + length]
    }

    /// The same, to be changed.
    #[inline]
    pub(super) fn slice_mut(&mut self, start: usize, length: usize) -> &mut [u64] {
        &mut self.buffer[self.base + start..self.base + start + length]
    }
}
