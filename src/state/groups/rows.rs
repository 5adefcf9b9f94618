//! The groups of one key group: rows of words, the arena of long keys, and side columns. Rows lie densely in the order in
//! which they came; rows of deleted groups are used again.

use super::keys::NULL_BITS;
use super::layout::{FLAGS, GroupLayout, KEY, LIVE, OWN_FLAGS};
use super::multiset::Multiset;
use super::pages::{Absorbed, Pages};
use super::sides::{MultisetKey, SideColumn};
use crate::state::StateError;
use crate::state::ttl::Expiry;
use std::sync::Arc;

/// See the module.
#[derive(Debug, Default)]
pub(in crate::state) struct Rows {
    pages: Pages,
    len: u32,
    free: Vec<u32>,
    /// Long keys, behind those of the rows below.
    arena: Vec<u8>,
    /// Bytes of the arena of the rows below.
    arena_below: usize,
    /// Bytes of the arena that belong to no row any more.
    garbage: usize,
    sides: Vec<SideColumn>,
    /// Where there are rows below: for each row where its values lie in `sides`, from 1 on; 0: they are as they are below. Empty: all are.
    places: Vec<u32>,
}

/// About the bytes of a value in a side column that is copied.
const COPY_BYTES: usize = 64;

/// Bits of the key word that hold a key's length in the arena.
const LENGTH_BITS: u32 = 27;
const LENGTH_MASK: u64 = (1 << LENGTH_BITS) - 1;

impl Rows {
    pub(in crate::state) fn new(layout: &GroupLayout) -> Self {
        let sides = layout.sides.iter().map(|(storage, data_type)| SideColumn::new(*storage, data_type)).collect();
        Self { pages: Pages::new(layout.stride), sides, ..Self::default() }
    }

    /// The same rows to be changed, while somebody else reads `rows` as they are. Words are copied page by page when they are changed, side
    /// columns row by row; long keys do not change. `clean`: the store has them as they are.
    pub(super) fn over(rows: Arc<Self>, clean: bool) -> Self {
        let (free, sides) = (rows.free.clone(), rows.sides.iter().map(SideColumn::anew).collect());
        let (len, garbage, arena_below) = (rows.len, rows.garbage, rows.arena.len());
        Self { pages: Pages::over(rows, clean), len, free, arena: Vec::new(), arena_below, garbage, sides, places: Vec::new() }
    }

    /// Takes back the rows below if nobody else reads them any more: about as much as `bytes` allows, which becomes less. True if there are
    /// none now.
    pub(super) fn absorb(&mut self, stride: usize, bytes: &mut usize) -> bool {
        match self.pages.absorb(stride, bytes) {
            Absorbed::Nothing => true,
            Absorbed::Still => false,
            Absorbed::Below(below) => {
                *bytes = bytes.saturating_sub(self.sides.iter().map(SideColumn::len).sum::<usize>() * COPY_BYTES);
                self.take_back(below);
                true
            }
        }
    }

    /// Makes these the only rows: takes back those below, or copies them if somebody else still reads them. Returns what lay below then.
    pub(super) fn settle(&mut self, stride: usize) -> Option<Arc<Self>> {
        if self.absorb(stride, &mut usize::MAX.clone()) {
            return None;
        }
        let below = self.pages.settle(stride)?;
        let copy = Self { arena: below.arena.clone(), sides: below.sides.clone(), ..Self::default() };
        self.take_back(copy);
        Some(below)
    }

    /// Keys and side columns of the rows below, and what came since, become one.
    fn take_back(&mut self, below: Self) {
        let tail = std::mem::replace(&mut self.arena, below.arena);
        self.arena.extend_from_slice(&tail);
        self.arena_below = 0;
        let places = std::mem::take(&mut self.places);
        for (side, below) in self.sides.iter_mut().zip(below.sides) {
            let mut written = std::mem::replace(side, below);
            for (row, place) in places.iter().enumerate().filter(|(_, place)| **place != 0) {
                while side.len() <= row {
                    side.push();
                }
                side.put_back(row, &mut written, *place as usize - 1);
            }
            // Rows that are new and have nothing there.
            while side.len() < self.len as usize {
                side.push();
            }
        }
    }

    /// The rows below, if there are any.
    fn below(&self) -> Option<&Self> {
        self.pages.below()
    }

    /// Where the values of a row in side columns are to be read.
    fn side_place(&self, row: u32) -> (&Self, usize) {
        match self.below() {
            None => (self, row as usize),
            Some(below) => match self.places.get(row as usize) {
                None | Some(0) => (below, row as usize),
                Some(place) => (self, *place as usize - 1),
            },
        }
    }

    /// Where the values of a row in side columns are to be written.
    #[inline]
    fn side_slot(&mut self, row: u32) -> usize {
        if self.pages.is_over() { self.side_slot_over(row as usize, true) } else { row as usize }
    }

    /// `copy`: with the values that lie below.
    #[cold]
    fn side_slot_over(&mut self, row: usize, copy: bool) -> usize {
        if self.places.len() <= row {
            // All at once: zeroed memory costs nothing before it is used.
            let rows = (self.len as usize).max(row + 1);
            if self.places.is_empty() {
                self.places = vec![0; rows];
            }
            self.places.resize(rows, 0);
        }
        let place = self.places[row];
        if place != 0 {
            return place as usize - 1;
        }
        let Some(at) = self.sides.first().map(SideColumn::len) else { return row };
        let below = self.pages.below().filter(|below| copy && row < below.len as usize);
        for (number, side) in self.sides.iter_mut().enumerate() {
            match below {
                Some(below) => side.push_copy(&below.sides[number], row),
                None => side.push(),
            }
        }
        self.places[row] = at as u32 + 1;
        at
    }

    /// Empties the values of a row in side columns.
    fn clear_sides(&mut self, row: u32) {
        if self.sides.is_empty() {
            return;
        }
        let slot = if self.pages.is_over() { self.side_slot_over(row as usize, false) } else { row as usize };
        self.sides.iter_mut().for_each(|side| side.clear(slot));
    }

    pub(super) fn pages(&self) -> &Pages {
        &self.pages
    }

    pub(super) fn pages_mut(&mut self) -> &mut Pages {
        &mut self.pages
    }

    /// About the bytes of what lies below as well, because a snapshot reads it.
    pub(super) fn copied_bytes(&self) -> usize {
        let values = if self.pages.is_over() { self.sides.iter().map(SideColumn::len).sum() } else { 0 };
        self.pages.copied_bytes() + values * COPY_BYTES
    }

    /// Rows in use.
    pub(super) fn live(&self) -> usize {
        self.len as usize - self.free.len()
    }

    /// Rows that were ever in use: all row numbers are below.
    pub(super) fn len(&self) -> u32 {
        self.len
    }

    /// Bytes that rows in use need, without side columns.
    pub(super) fn bytes(&self, stride: usize) -> usize {
        self.live() * stride * size_of::<u64>() + self.arena_below + self.arena.len() - self.garbage
    }

    /// About the bytes that a row needs in side columns.
    pub(super) fn weigh(&self, row: u32) -> usize {
        let (rows, slot) = self.side_place(row);
        rows.sides.iter().map(|side| side.weigh(slot)).sum()
    }

    /// The numbers of the rows in use, in order.
    pub(super) fn live_rows(&self, layout: &GroupLayout) -> Vec<u32> {
        (0..self.len).filter(|row| self.row(*row, layout.stride)[FLAGS] & LIVE != 0).collect()
    }

    /// True if there is a TTL and the group of row `row` has expired.
    #[inline]
    pub(super) fn is_expired(&self, row: u32, layout: &GroupLayout, expiry: Option<&Expiry>) -> bool {
        match (layout.expiry, expiry) {
            (Some(word), Some(expiry)) => expiry.is_expired(self.row(row, layout.stride)[word] as i64),
            _ => false,
        }
    }

    /// The words of row `row`.
    #[inline]
    pub(super) fn row(&self, row: u32, stride: usize) -> &[u64] {
        self.pages.row(row, stride)
    }

    /// The words of row `row`.
    #[inline]
    pub(super) fn row_mut(&mut self, row: u32, stride: usize) -> &mut [u64] {
        self.pages.row_mut(row, stride)
    }

    /// A row that is in use from now on; all of it is zero, NULL or empty but the mark for that.
    pub(super) fn allocate(&mut self, stride: usize) -> Result<u32, StateError> {
        let row = if let Some(row) = self.free.pop() {
            row
        } else {
            let row = self.len;
            if row == u32::MAX - 1 {
                return Err(StateError::Invariant("a key group holds 4,294,967,294 groups and can take no more".to_owned()));
            }
            self.pages.reach(row, stride);
            self.len += 1;
            if !self.pages.is_over() {
                self.sides.iter_mut().for_each(SideColumn::push);
            }
            row
        };
        self.row_mut(row, stride)[FLAGS] = LIVE;
        Ok(row)
    }

    /// The group of row `row` begins anew: its key stays, everything else is zero, NULL or empty.
    pub(super) fn reset(&mut self, row: u32, layout: &GroupLayout) {
        let words = self.row_mut(row, layout.stride);
        words[FLAGS] &= OWN_FLAGS | NULL_BITS;
        words[layout.records..layout.words].fill(0);
        self.clear_sides(row);
    }

    /// Gives row `row` back. `in_arena`: its key lies in the arena.
    pub(super) fn release(&mut self, row: u32, stride: usize, in_arena: bool) {
        if in_arena {
            self.garbage += self.arena_key(row, stride).len();
        }
        self.row_mut(row, stride).fill(0);
        self.clear_sides(row);
        self.free.push(row);
        if in_arena && !self.pages.is_over() && self.garbage > 4096 && self.garbage * 2 > self.arena.len() {
            self.compact(stride);
        }
    }

    /// The key of row `row` in the arena.
    #[inline]
    pub(super) fn arena_key(&self, row: u32, stride: usize) -> &[u8] {
        let place = self.row(row, stride)[KEY];
        let (start, length) = ((place >> LENGTH_BITS) as usize, (place & LENGTH_MASK) as usize);
        match self.below() {
            Some(below) if start < self.arena_below => &below.arena[start..start + length],
            _ => &self.arena[start - self.arena_below..start - self.arena_below + length],
        }
    }

    /// Stores the key of a row that has none yet.
    pub(super) fn set_arena_key(&mut self, row: u32, stride: usize, key: &[u8]) -> Result<(), StateError> {
        let start = (self.arena_below + self.arena.len()) as u64;
        if key.len() as u64 > LENGTH_MASK || start >> (64 - LENGTH_BITS) != 0 {
            return Err(StateError::Invariant(format!("a key of {} bytes: a key may have 134,217,727 bytes", key.len())));
        }
        self.arena.extend_from_slice(key);
        self.row_mut(row, stride)[KEY] = (start << LENGTH_BITS) | key.len() as u64;
        Ok(())
    }

    fn compact(&mut self, stride: usize) {
        let mut arena = Vec::with_capacity(self.arena.len() - self.garbage);
        for row in 0..self.len {
            if self.row(row, stride)[FLAGS] & LIVE == 0 {
                continue;
            }
            let start = arena.len() as u64;
            arena.extend_from_slice(self.arena_key(row, stride));
            let length = arena.len() as u64 - start;
            self.row_mut(row, stride)[KEY] = (start << LENGTH_BITS) | length;
        }
        self.arena = arena;
        self.garbage = 0;
    }

    /// The side column in which the value of row `row` lies, and where in it.
    pub(super) fn side(&self, row: u32, side: usize) -> Option<(&SideColumn, usize)> {
        let (rows, slot) = self.side_place(row);
        rows.sides.get(side).map(|side| (side, slot))
    }

    /// The bytes of row `row` in side column `side`, if that holds bytes.
    #[inline]
    pub(super) fn bytes_mut(&mut self, row: u32, side: usize) -> Option<&mut Option<Box<[u8]>>> {
        let slot = self.side_slot(row);
        match self.sides.get_mut(side)? {
            SideColumn::Bytes(values) => values.get_mut(slot),
            _ => None,
        }
    }

    /// The multiset of row `row` in side column `side`, if that holds multisets of `K`.
    #[inline]
    pub(super) fn multiset_mut<K: MultisetKey>(&mut self, row: u32, side: usize) -> Option<&mut Multiset<K>> {
        let slot = self.side_slot(row);
        K::sets(self.sides.get_mut(side)?)?.get_mut(slot)
    }
}
