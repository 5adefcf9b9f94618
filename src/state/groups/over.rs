//! Pages over rows that a snapshot reads: copies of those that are written meanwhile. When the snapshot is done, they go back a few at a
//! time, so that neither copying nor taking back holds up a batch.

use super::rows::Rows;
use super::words::AlignedWords;
use std::sync::Arc;

/// Pages of a piece.
const PIECE: usize = 16;

/// See the module. The words of rows below lie in one piece.
#[derive(Debug)]
pub(super) struct Over {
    below: Below,
    /// For each page where its copy lies in `copies`, in pages from 1 on; 0: it is as it is below.
    places: Vec<u32>,
    /// Copies one behind the other, in pieces: one that grows would have to be copied again and again.
    copies: Vec<Vec<u64>>,
    /// For each copy, whose it is.
    owners: Vec<u32>,
    /// So many of them have gone back.
    taken: usize,
}

#[derive(Debug)]
enum Below {
    /// Somebody may read them.
    Shared(Arc<Rows>),
    /// Nobody does any more.
    Own(Box<Rows>),
}

impl Below {
    fn rows(&self) -> &Rows {
        match self {
            Self::Shared(rows) => rows,
            Self::Own(rows) => rows,
        }
    }
}

impl Over {
    /// Over rows that have so many pages.
    pub(super) fn new(below: Arc<Rows>, pages: usize) -> Self {
        // Zeroed memory costs nothing before it is used.
        Self { below: Below::Shared(below), places: vec![0; pages], copies: Vec::new(), owners: Vec::new(), taken: 0 }
    }

    pub(super) fn below(&self) -> &Rows {
        self.below.rows()
    }

    /// Appends a page of nothing.
    pub(super) fn push(&mut self, words: usize) {
        let page = self.places.len();
        self.places.push(0);
        let piece = self.place_next(page, words);
        piece.resize(piece.len() + words, 0);
    }

    /// The copy of a page is the next one; where it is to be appended.
    fn place_next(&mut self, page: usize, words: usize) -> &mut Vec<u64> {
        let at = self.owners.len();
        self.owners.push(page as u32);
        self.places[page] = at as u32 + 1;
        if at.is_multiple_of(PIECE) {
            self.copies.push(Vec::with_capacity(PIECE * words));
        }
        &mut self.copies[at / PIECE]
    }

    /// The words of a page, if it is not as it is below. A page is `words` long.
    #[inline]
    pub(super) fn copy(&self, page: usize, words: usize) -> Option<&[u64]> {
        let place = self.places[page].checked_sub(1)? as usize;
        Some(&self.copies[place / PIECE][place % PIECE * words..][..words])
    }

    /// The words of a page, to be changed.
    pub(super) fn page_mut(&mut self, page: usize, words: usize) -> &mut [u64] {
        if self.places[page] == 0 {
            self.own();
            if !self.is_own(page, words) {
                self.copy_up(page, words);
            }
        }
        match (&mut self.below, self.places[page] as usize) {
            (Below::Own(rows), 0) => rows.pages_mut().flat_mut().slice_mut(page * words, words),
            (_, place) => &mut self.copies[(place - 1) / PIECE][(place - 1) % PIECE * words..][..words],
        }
    }

    fn copy_up(&mut self, page: usize, words: usize) {
        let at = self.owners.len();
        self.place_next(page, words);
        let below = self.below.rows().pages().flat();
        // The last page may be larger than what there is of it.
        let start = (page * words).min(below.capacity());
        let length = words.min(below.capacity() - start);
        let piece = &mut self.copies[at / PIECE];
        piece.extend_from_slice(below.slice(start, length));
        piece.resize(piece.len() + words - length, 0);
    }

    /// Takes note if nobody else reads the rows below any more.
    fn own(&mut self) {
        if let Below::Shared(rows) = &mut self.below
            && let Some(rows) = Arc::get_mut(rows)
        {
            self.below = Below::Own(Box::new(std::mem::take(rows)));
        }
    }

    /// True if nobody else reads the rows below any more, and they have all of this page.
    fn is_own(&self, page: usize, words: usize) -> bool {
        matches!(&self.below, Below::Own(rows) if (page + 1) * words <= rows.pages().flat().capacity())
    }

    /// Bytes of pages that lie below as well.
    pub(super) fn copied_bytes(&self) -> usize {
        self.copies.first().map_or(0, Vec::capacity) * self.copies.len() * size_of::<u64>()
    }

    /// Takes pages back if nobody else reads the rows below any more: as many as `bytes` allows, which becomes less. True if those below have
    /// all words now.
    pub(super) fn take_back(&mut self, words: usize, bytes: &mut usize) -> bool {
        self.own();
        let Below::Own(rows) = &mut self.below else { return false };
        let (flat, needed) = (rows.pages_mut().flat_mut(), self.places.len() * words);
        if flat.capacity() < needed {
            // Rows were added, and will be.
            *flat = flat.resized(needed + needed / 2);
        }
        let page_bytes = words * size_of::<u64>();
        let now = self.owners.len().min(self.taken + bytes.div_ceil(page_bytes));
        *bytes = bytes.saturating_sub((now - self.taken) * page_bytes);
        for at in self.taken..now {
            let page = self.owners[at] as usize;
            flat.slice_mut(page * words, words).copy_from_slice(&self.copies[at / PIECE][at % PIECE * words..][..words]);
            self.places[page] = 0;
        }
        self.taken = now;
        now == self.owners.len()
    }

    /// The rows below, of which nobody else reads any more, with all words; none if somebody does.
    pub(super) fn into_below(self) -> Option<Rows> {
        match self.below {
            Below::Own(rows) => Some(*rows),
            Below::Shared(_) => None,
        }
    }

    /// All words, with a copy of those below, which somebody else still reads.
    pub(super) fn copied(self, words: usize) -> (AlignedWords, Option<Arc<Rows>>) {
        let below = self.below.rows().pages().flat();
        let mut flat = below.resized((self.places.len() * words).max(below.capacity()));
        let copies = self.copies.iter().flat_map(|piece| piece.chunks_exact(words));
        for (page, copy) in self.owners.iter().zip(copies).skip(self.taken) {
            flat.slice_mut(*page as usize * words, words).copy_from_slice(copy);
        }
        match self.below {
            Below::Shared(rows) => (flat, Some(rows)),
            Below::Own(_) => (flat, None),
        }
    }
}
