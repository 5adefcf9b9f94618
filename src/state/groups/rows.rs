//! The groups of one key group: rows of words, the arena of long keys, and side columns. Rows lie densely in the order in
//! which they came; rows of deleted groups are used again.

use super::keys::NULL_BITS;
use super::layout::{FLAGS, GroupLayout, KEY, LIVE, OWN_FLAGS, Storage};
use super::multiset::{Multiset, MultisetOrder};
use super::pages::Pages;
use crate::state::StateError;
use crate::state::ttl::Expiry;
use arrow::datatypes::DataType;
use std::sync::Arc;

/// See the module.
#[derive(Debug, Default)]
pub(in crate::state) struct Rows {
    pages: Pages,
    len: u32,
    free: Vec<u32>,
    arena: Vec<u8>,
    /// Bytes of the arena that belong to no row any more.
    garbage: usize,
    sides: Vec<SideColumn>,
}

/// One value a row, of no fixed width.
#[derive(Debug, Clone)]
pub enum SideColumn {
    Bytes(Vec<Option<Box<[u8]>>>),
    Longs(Vec<Multiset<i64>>, MultisetOrder),
    Wides(Vec<Multiset<i128>>, MultisetOrder),
    Texts(Vec<Multiset<Box<[u8]>>>, MultisetOrder),
}

impl SideColumn {
    fn new(storage: Storage, data_type: &DataType) -> Self {
        match (storage, data_type) {
            (Storage::Fixed | Storage::Bytes, _) => Self::Bytes(Vec::new()),
            (Storage::Multiset(order), DataType::Decimal128(_, _)) => Self::Wides(Vec::new(), order),
            (Storage::Multiset(order), DataType::Utf8 | DataType::Binary) => Self::Texts(Vec::new(), order),
            (Storage::Multiset(order), _) => Self::Longs(Vec::new(), order),
        }
    }

    fn push(&mut self) {
        match self {
            Self::Bytes(values) => values.push(None),
            Self::Longs(sets, order) => sets.push(Multiset::new(*order)),
            Self::Wides(sets, order) => sets.push(Multiset::new(*order)),
            Self::Texts(sets, order) => sets.push(Multiset::new(*order)),
        }
    }

    /// About the bytes of one value, with what maps and allocations need beside it.
    fn weigh(&self, row: usize) -> usize {
        match self {
            Self::Bytes(values) => 16 + values.get(row).and_then(Option::as_ref).map_or(0, |bytes| bytes.len() + 16),
            Self::Longs(sets, _) => sets.get(row).map_or(0, |set| 48 + 40 * set.len()),
            Self::Wides(sets, _) => sets.get(row).map_or(0, |set| 48 + 64 * set.len()),
            // The values of one group are taken to be about as long as one of them.
            Self::Texts(sets, _) => sets.get(row).map_or(0, |set| 48 + set.len() * (64 + set.any().map_or(0, |value| value.len()))),
        }
    }

    fn clear(&mut self, row: usize) {
        match self {
            Self::Bytes(values) => values[row] = None,
            Self::Longs(sets, _) => sets[row].clear(),
            Self::Wides(sets, _) => sets[row].clear(),
            Self::Texts(sets, _) => sets[row].clear(),
        }
    }
}

/// What the values of a multiset are, and in which side columns such multisets lie.
pub trait MultisetKey: Ord + std::hash::Hash + Clone + Send {
    #[doc(hidden)]
    fn sets(column: &mut SideColumn) -> Option<&mut Vec<Multiset<Self>>>;
}

impl MultisetKey for i64 {
    fn sets(column: &mut SideColumn) -> Option<&mut Vec<Multiset<Self>>> {
        if let SideColumn::Longs(sets, _) = column { Some(sets) } else { None }
    }
}

impl MultisetKey for i128 {
    fn sets(column: &mut SideColumn) -> Option<&mut Vec<Multiset<Self>>> {
        if let SideColumn::Wides(sets, _) = column { Some(sets) } else { None }
    }
}

impl MultisetKey for Box<[u8]> {
    fn sets(column: &mut SideColumn) -> Option<&mut Vec<Multiset<Self>>> {
        if let SideColumn::Texts(sets, _) = column { Some(sets) } else { None }
    }
}

/// Bits of the key word that hold a key's length in the arena.
const LENGTH_BITS: u32 = 27;
const LENGTH_MASK: u64 = (1 << LENGTH_BITS) - 1;

impl Rows {
    pub(in crate::state) fn new(layout: &GroupLayout) -> Self {
        let sides = layout.sides.iter().map(|(storage, data_type)| SideColumn::new(*storage, data_type)).collect();
        Self { pages: Pages::new(layout.stride), sides, ..Self::default() }
    }

    /// The same rows to be changed, while somebody else reads `rows` as they are. Words are copied page by page when they are changed, all
    /// else now. `clean`: the store has them as they are.
    pub(super) fn over(rows: Arc<Self>, clean: bool) -> Self {
        let (free, arena, sides) = (rows.free.clone(), rows.arena.clone(), rows.sides.clone());
        let (len, garbage) = (rows.len, rows.garbage);
        Self { pages: Pages::over(rows, clean), len, free, arena, garbage, sides }
    }

    pub(super) fn pages(&self) -> &Pages {
        &self.pages
    }

    pub(super) fn pages_mut(&mut self) -> &mut Pages {
        &mut self.pages
    }

    pub(super) fn into_pages(self) -> Pages {
        self.pages
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
        self.live() * stride * size_of::<u64>() + self.arena.len() - self.garbage
    }

    /// Bytes of the arena.
    pub(super) fn arena_bytes(&self) -> usize {
        self.arena.len()
    }

    /// About the bytes that a row needs in side columns.
    pub(super) fn weigh(&self, row: u32) -> usize {
        self.sides.iter().map(|side| side.weigh(row as usize)).sum()
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
            for side in &mut self.sides {
                side.push();
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
        for side in &mut self.sides {
            side.clear(row as usize);
        }
    }

    /// Gives row `row` back. `in_arena`: its key lies in the arena.
    pub(super) fn release(&mut self, row: u32, stride: usize, in_arena: bool) {
        if in_arena {
            self.garbage += self.arena_key(row, stride).len();
        }
        self.row_mut(row, stride).fill(0);
        for side in &mut self.sides {
            side.clear(row as usize);
        }
        self.free.push(row);
        if in_arena && self.garbage > 4096 && self.garbage * 2 > self.arena.len() {
            self.compact(stride);
        }
    }

    /// The key of row `row` in the arena.
    #[inline]
    pub(super) fn arena_key(&self, row: u32, stride: usize) -> &[u8] {
        let place = self.row(row, stride)[KEY];
        let (start, length) = ((place >> LENGTH_BITS) as usize, (place & LENGTH_MASK) as usize);
        &self.arena[start..start + length]
    }

    /// Stores the key of a row that has none yet.
    pub(super) fn set_arena_key(&mut self, row: u32, stride: usize, key: &[u8]) -> Result<(), StateError> {
        let start = self.arena.len() as u64;
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

    pub(super) fn side(&self, side: usize) -> Option<&SideColumn> {
        self.sides.get(side)
    }

    /// The bytes of row `row` in side column `side`, if that holds bytes.
    #[inline]
    pub(super) fn bytes_mut(&mut self, row: u32, side: usize) -> Option<&mut Option<Box<[u8]>>> {
        match self.sides.get_mut(side)? {
            SideColumn::Bytes(values) => values.get_mut(row as usize),
            _ => None,
        }
    }

    /// The multiset of row `row` in side column `side`, if that holds multisets of `K`.
    #[inline]
    pub(super) fn multiset_mut<K: MultisetKey>(&mut self, row: u32, side: usize) -> Option<&mut Multiset<K>> {
        K::sets(self.sides.get_mut(side)?)?.get_mut(row as usize)
    }
}
