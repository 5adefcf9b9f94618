//! The words of the rows of one key group. They lie in one piece, but for the time while a snapshot reads them: then small pages are laid over
//! them, and what is written is copied page by page, so that no batch pays for all rows of a key group.
//!
//! Of each page is known whether it holds rows that the store lacks; which ones say the rows' own bits. Once a barrier has taken a page, the
//! bits of its rows are out of date: they are removed when the page is written to for the first time after that.

use super::layout::{DIRTY, FLAGS};
use super::over::Over;
use super::rows::Rows;
use super::words::AlignedWords;
use std::sync::Arc;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Pages {
    /// All rows; none while there is `over`.
    flat: AlignedWords,
    over: Option<Box<Over>>,
    /// A page has `1 << shift` rows.
    shift: u32,
    /// One a page: what the dirty bits of its rows mean.
    dirt: Vec<Dirt>,
}

/// What became of the rows below.
#[derive(Debug)]
pub(super) enum Absorbed {
    /// There were none.
    Nothing,
    /// Somebody else still reads them, or they are not back as a whole.
    Still,
    /// Their words lie in one piece with those that were above; this is what else they had.
    Below(Rows),
}

/// What the dirty bits of a page's rows mean.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Dirt {
    /// Nothing: the store has all of it.
    #[default]
    Stale,
    /// What they say.
    Dirty,
}

/// Words of a page, about: small, because a batch of random rows copies as many pages as it has rows.
const PAGE_WORDS: usize = 32;

impl Pages {
    /// No rows; each is to have `stride` words.
    pub(super) fn new(stride: usize) -> Self {
        Self { shift: (PAGE_WORDS / stride.max(1)).max(1).ilog2(), ..Self::default() }
    }

    /// The rows of `below`, which somebody else reads as well. `clean`: what is dirty there is not dirty here.
    pub(super) fn over(below: Arc<Rows>, clean: bool) -> Self {
        let Self { flat: _, over: nothing, shift, dirt } = below.pages();
        debug_assert!(nothing.is_none(), "pages lie over rows in one piece");
        let (shift, dirt) = (*shift, if clean { vec![Dirt::Stale; dirt.len()] } else { dirt.clone() });
        let over = Over::new(below, dirt.len());
        Self { flat: AlignedWords::default(), over: Some(Box::new(over)), shift, dirt }
    }

    /// The words that lie in one piece.
    pub(super) fn flat(&self) -> &AlignedWords {
        &self.flat
    }

    /// The same, to be changed.
    pub(super) fn flat_mut(&mut self) -> &mut AlignedWords {
        &mut self.flat
    }

    #[inline]
    fn page_of(&self, row: u32) -> usize {
        (row >> self.shift) as usize
    }

    /// The row's number in its page.
    #[inline]
    fn place(&self, row: u32) -> usize {
        (row & ((1 << self.shift) - 1)) as usize
    }

    fn page_words(&self, stride: usize) -> usize {
        stride << self.shift
    }

    /// Makes room for row `row`, whose predecessors have room.
    pub(super) fn reach(&mut self, row: u32, stride: usize) {
        let (page, words) = (self.page_of(row), self.page_words(stride));
        if page == self.dirt.len() {
            self.dirt.push(Dirt::Stale);
            if let Some(over) = &mut self.over {
                over.push(words);
            }
        }
        let needed = (row as usize + 1) * stride;
        if self.over.is_none() && needed > self.flat.capacity() {
            let rows = (row as usize + row as usize / 2).max(4) + 1;
            self.flat = self.flat.resized(rows * stride);
        }
    }

    /// The words of row `row`. Panics, as slices do, where there is no such row.
    #[inline]
    pub(super) fn row(&self, row: u32, stride: usize) -> &[u64] {
        if let Some(over) = &self.over {
            return self.row_over(over, row, stride);
        }
        self.flat.slice(row as usize * stride, stride)
    }

    #[cold]
    fn row_over<'a>(&'a self, over: &'a Over, row: u32, stride: usize) -> &'a [u64] {
        match over.copy(self.page_of(row), self.page_words(stride)) {
            None => over.below().pages().row(row, stride),
            Some(page) => {
                let at = self.place(row) * stride;
                &page[at..at + stride]
            }
        }
    }

    /// The words of row `row`, to be changed.
    #[inline]
    pub(super) fn row_mut(&mut self, row: u32, stride: usize) -> &mut [u64] {
        if self.over.is_some() {
            return self.row_over_mut(row, stride);
        }
        self.flat.slice_mut(row as usize * stride, stride)
    }

    #[cold]
    fn row_over_mut(&mut self, row: u32, stride: usize) -> &mut [u64] {
        let (page, at, words) = (self.page_of(row), self.place(row) * stride, self.page_words(stride));
        match &mut self.over {
            Some(over) => &mut over.page_mut(page, words)[at..at + stride],
            None => self.flat.slice_mut(row as usize * stride, stride),
        }
    }

    /// The words of row `row`, of which the store lacks something from now on.
    #[inline]
    pub(super) fn soiled_row_mut(&mut self, row: u32, stride: usize) -> &mut [u64] {
        let page = self.page_of(row);
        if self.dirt[page] != Dirt::Dirty {
            self.soil(page, stride);
        }
        let row = self.row_mut(row, stride);
        row[FLAGS] |= DIRTY;
        row
    }

    /// From now on the bits of the page's rows mean what they say.
    #[cold]
    fn soil(&mut self, page: usize, stride: usize) {
        let words = self.page_words(stride);
        let rows = if let Some(over) = &mut self.over {
            over.page_mut(page, words)
        } else {
            let start = (page * words).min(self.flat.capacity());
            self.flat.slice_mut(start, words.min(self.flat.capacity() - start))
        };
        for row in rows.chunks_exact_mut(stride) {
            row[FLAGS] &= !DIRTY;
        }
        self.dirt[page] = Dirt::Dirty;
    }

    /// True if the store lacks something of row `row`.
    pub(super) fn is_dirty(&self, row: u32, stride: usize) -> bool {
        self.dirt[self.page_of(row)] == Dirt::Dirty && self.row(row, stride)[FLAGS] & DIRTY != 0
    }

    /// The numbers of the rows below `len` of which the store lacks something, in order.
    pub(super) fn dirty_rows(&self, len: u32, stride: usize) -> impl Iterator<Item = u32> + '_ {
        let dirty = self.dirt.iter().zip(0_u32..).filter(|(dirt, _)| **dirt == Dirt::Dirty);
        let rows = dirty.flat_map(move |(_, page)| (page << self.shift)..((page + 1) << self.shift).min(len));
        rows.filter(move |row| self.row(*row, stride)[FLAGS] & DIRTY != 0)
    }

    /// At most so many rows are dirty.
    pub(super) fn at_most_dirty(&self) -> usize {
        self.dirt.iter().filter(|dirt| **dirt == Dirt::Dirty).count() << self.shift
    }

    /// The store has all rows as they are.
    pub(super) fn clean(&mut self) {
        self.dirt.fill(Dirt::Stale);
    }

    /// True while somebody else may read the rows below.
    pub(super) fn is_over(&self) -> bool {
        self.over.is_some()
    }

    /// Bytes of pages whose rows lie below as well.
    pub(super) fn copied_bytes(&self) -> usize {
        self.over.as_ref().map_or(0, |over| over.copied_bytes())
    }

    /// The rows below, which somebody else may read.
    pub(super) fn below(&self) -> Option<&Rows> {
        self.over.as_ref().map(|over| over.below())
    }

    /// Takes back the rows below if nobody else reads them any more: as many of their words as `bytes` allows, which becomes less.
    pub(super) fn absorb(&mut self, stride: usize, bytes: &mut usize) -> Absorbed {
        let words = self.page_words(stride);
        let Some(over) = &mut self.over else { return Absorbed::Nothing };
        if !over.take_back(words, bytes) {
            return Absorbed::Still;
        }
        match self.over.take().and_then(|over| over.into_below()) {
            None => Absorbed::Nothing,
            Some(mut below) => {
                self.flat = std::mem::take(below.pages_mut().flat_mut());
                Absorbed::Below(below)
            }
        }
    }

    /// Copies the rows below, which somebody else still reads; returns them.
    pub(super) fn settle(&mut self, stride: usize) -> Option<Arc<Rows>> {
        let (flat, below) = self.over.take()?.copied(self.page_words(stride));
        self.flat = flat;
        below
    }
}

#[cfg(test)]
mod tests {
    use super::super::words::LINE;
    use super::*;
    use crate::state::groups::GroupLayout;
    use crate::types::Schema;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    const STRIDE: usize = 8;
    const ALL: usize = usize::MAX;
    /// At least as many as any test has.
    const ROWS: u32 = 200;

    /// Rows of no key and no accumulator, in pages of [`STRIDE`] words a row.
    fn rows(count: u32) -> Rows {
        let mut rows = Rows::new(&GroupLayout::new(&Schema::new(Vec::new()), Vec::new()).unwrap());
        *rows.pages_mut() = Pages::new(STRIDE);
        for row in 0..count {
            rows.pages_mut().reach(row, STRIDE);
        }
        rows
    }

    fn words(rows: &Rows, count: u32) -> Vec<u64> {
        (0..count).map(|row| rows.pages().row(row, STRIDE)[5]).collect()
    }

    #[test]
    fn every_row_begins_a_cache_line_and_pages_have_a_power_of_two_of_them() {
        let rows = rows(100);
        assert_eq!(rows.pages().dirt.len(), 100_usize.div_ceil(PAGE_WORDS / STRIDE));
        for row in 0..100 {
            assert_eq!(rows.pages().row(row, STRIDE).as_ptr().align_offset(LINE), 0);
        }
        assert_eq!(Pages::new(5).shift, 2, "six rows would have room");
        assert_eq!(Pages::new(1_000).shift, 0, "a row may be larger than a page is meant to be");
    }

    #[test]
    fn one_row_that_changes_while_a_snapshot_is_read_copies_its_page_alone() {
        let mut before = rows(100);
        before.pages_mut().soiled_row_mut(3, STRIDE)[5] = 7;
        let shared = Arc::new(before);
        let mut after = Rows::over(Arc::clone(&shared), true);
        assert_eq!(words(&after, 100), words(&shared, 100));
        after.pages_mut().row_mut(17, STRIDE)[5] = 9;
        assert_eq!((after.pages().row(17, STRIDE)[5], shared.pages().row(17, STRIDE)[5]), (9, 0));
        assert_eq!(after.pages().copied_bytes(), 16 * PAGE_WORDS * size_of::<u64>(), "a piece has sixteen pages");
        assert!(!after.absorb(STRIDE, &mut ALL.clone()) && after.pages().is_over());
        drop(shared);
        assert!(after.absorb(STRIDE, &mut ALL.clone()) && !after.pages().is_over());
        assert_eq!((after.pages().row(17, STRIDE)[5], after.pages().row(3, STRIDE)[5]), (9, 7));
        assert_eq!(after.pages().copied_bytes(), 0);
        assert!(!after.pages().is_dirty(3, STRIDE), "the barrier took it");
        after.pages_mut().soiled_row_mut(4, STRIDE)[5] = 1;
        assert_eq!(after.pages().dirty_rows(ROWS, STRIDE).collect::<Vec<_>>(), [4]);
    }

    #[test]
    fn what_a_snapshot_took_that_writes_nothing_to_the_store_stays_dirty() {
        let mut before = rows(40);
        before.pages_mut().soiled_row_mut(3, STRIDE);
        before.pages_mut().soiled_row_mut(20, STRIDE);
        let shared = Arc::new(before);
        let mut after = Rows::over(Arc::clone(&shared), false);
        after.pages_mut().soiled_row_mut(4, STRIDE);
        assert!([3, 4, 20].into_iter().all(|row| after.pages().is_dirty(row, STRIDE)));
        assert!(after.settle(STRIDE).is_some(), "it is still read");
        assert_eq!(after.pages().dirty_rows(ROWS, STRIDE).collect::<Vec<_>>(), [3, 4, 20]);
        assert!(after.pages().at_most_dirty() >= 3);
    }

    proptest! {
        /// Writes, barriers and snapshots in any order, each read for a while: rows, what snapshots see, and what is dirty agree with a map.
        #[test]
        fn pages_agree_with_a_map(steps in prop::collection::vec((0_u8..10, 0_u32..200), 1..300)) {
            let mut now = rows(200);
            let mut model: BTreeMap<u32, u64> = BTreeMap::new();
            let mut dirty: BTreeSet<u32> = BTreeSet::new();
            let mut read: Vec<(Arc<Rows>, BTreeMap<u32, u64>)> = Vec::new();
            for (at, (step, row)) in (1_u64..).zip(steps) {
                match step {
                    0..=5 => {
                        now.pages_mut().soiled_row_mut(row, STRIDE)[5] = at;
                        model.insert(row, at);
                        dirty.insert(row);
                    }
                    6 | 7 => {
                        now.settle(STRIDE);
                        let frozen = Arc::new(std::mem::take(&mut now));
                        let found: Vec<u32> = frozen.pages().dirty_rows(ROWS, STRIDE).collect();
                        prop_assert_eq!(&found, &dirty.iter().copied().collect::<Vec<_>>());
                        let barrier = step == 6;
                        if barrier {
                            dirty.clear();
                        }
                        now = Rows::over(Arc::clone(&frozen), barrier);
                        read.push((frozen, model.clone()));
                    }
                    8 => drop(read.pop()),
                    _ => {
                        now.absorb(STRIDE, &mut (row as usize * 20));
                    }
                }
                prop_assert_eq!(now.pages().row(row, STRIDE)[5], model.get(&row).copied().unwrap_or(0));
                prop_assert_eq!(now.pages().is_dirty(row, STRIDE), dirty.contains(&row));
                for (snapshot, expected) in &read {
                    prop_assert_eq!(snapshot.pages().row(row, STRIDE)[5], expected.get(&row).copied().unwrap_or(0));
                }
            }
        }
    }
}
