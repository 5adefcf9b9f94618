//! What the groups of one key group have of no fixed width: values of bytes and multisets, a column for each.

use super::layout::Storage;
use super::multiset::{Multiset, MultisetOrder};
use arrow::datatypes::DataType;

/// One value a row, of no fixed width.
#[derive(Debug, Clone)]
pub enum SideColumn {
    Bytes(Vec<Option<Box<[u8]>>>),
    Longs(Vec<Multiset<i64>>, MultisetOrder),
    Wides(Vec<Multiset<i128>>, MultisetOrder),
    Texts(Vec<Multiset<Box<[u8]>>>, MultisetOrder),
}

impl SideColumn {
    pub(super) fn new(storage: Storage, data_type: &DataType) -> Self {
        match (storage, data_type) {
            (Storage::Fixed | Storage::Bytes, _) => Self::Bytes(Vec::new()),
            (Storage::Multiset(order), DataType::Decimal128(_, _)) => Self::Wides(Vec::new(), order),
            (Storage::Multiset(order), DataType::Utf8 | DataType::Binary) => Self::Texts(Vec::new(), order),
            (Storage::Multiset(order), _) => Self::Longs(Vec::new(), order),
        }
    }

    /// An empty one of the same kind.
    pub(super) fn anew(&self) -> Self {
        match self {
            Self::Bytes(_) => Self::Bytes(Vec::new()),
            Self::Longs(_, order) => Self::Longs(Vec::new(), *order),
            Self::Wides(_, order) => Self::Wides(Vec::new(), *order),
            Self::Texts(_, order) => Self::Texts(Vec::new(), *order),
        }
    }

    /// Appends a copy of a value of `other`, which is of the same kind.
    pub(super) fn push_copy(&mut self, other: &Self, row: usize) {
        match (self, other) {
            (Self::Bytes(values), Self::Bytes(others)) => values.push(others[row].clone()),
            (Self::Longs(sets, _), Self::Longs(others, _)) => sets.push(others[row].clone()),
            (Self::Wides(sets, _), Self::Wides(others, _)) => sets.push(others[row].clone()),
            (Self::Texts(sets, _), Self::Texts(others, _)) => sets.push(others[row].clone()),
            (column, _) => column.push(),
        }
    }

    /// Takes the value `from` of `other`, which is of the same kind, as that of `row`, for which there is room.
    pub(super) fn put_back(&mut self, row: usize, other: &mut Self, from: usize) {
        match (self, other) {
            (Self::Bytes(values), Self::Bytes(others)) => std::mem::swap(&mut values[row], &mut others[from]),
            (Self::Longs(sets, _), Self::Longs(others, _)) => std::mem::swap(&mut sets[row], &mut others[from]),
            (Self::Wides(sets, _), Self::Wides(others, _)) => std::mem::swap(&mut sets[row], &mut others[from]),
            (Self::Texts(sets, _), Self::Texts(others, _)) => std::mem::swap(&mut sets[row], &mut others[from]),
            _ => {}
        }
    }

    pub(super) fn push(&mut self) {
        match self {
            Self::Bytes(values) => values.push(None),
            Self::Longs(sets, order) => sets.push(Multiset::new(*order)),
            Self::Wides(sets, order) => sets.push(Multiset::new(*order)),
            Self::Texts(sets, order) => sets.push(Multiset::new(*order)),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Bytes(values) => values.len(),
            Self::Longs(sets, _) => sets.len(),
            Self::Wides(sets, _) => sets.len(),
            Self::Texts(sets, _) => sets.len(),
        }
    }

    /// About the bytes of one value, with what maps and allocations need beside it.
    pub(super) fn weigh(&self, row: usize) -> usize {
        match self {
            Self::Bytes(values) => 16 + values.get(row).and_then(Option::as_ref).map_or(0, |bytes| bytes.len() + 16),
            Self::Longs(sets, _) => sets.get(row).map_or(0, |set| 48 + 40 * set.len()),
            Self::Wides(sets, _) => sets.get(row).map_or(0, |set| 48 + 64 * set.len()),
            // The values of one group are taken to be about as long as one of them.
            Self::Texts(sets, _) => sets.get(row).map_or(0, |set| 48 + set.len() * (64 + set.any().map_or(0, |value| value.len()))),
        }
    }

    pub(super) fn clear(&mut self, row: usize) {
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
