//! How a group lies in memory, and the columns under which it is saved.
//!
//! A group is a row of `stride` machine words: flags (bit 63: the row is in use; one bit for each key column and field
//! that is NULL or valid), key, the time of its expiry where there is a TTL, record counter, and the fixed-width fields of the
//! accumulators. What has no fixed width lies in side columns, one value a row.

use super::multiset::MultisetOrder;
use crate::state::words::WordKind;
use crate::state::{StateDescriptor, StateError, StateKind};
use crate::types::{Column, LogicalType, Schema, TypeKind};
use arrow::datatypes::DataType;

/// How a field of an accumulator is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Storage {
    /// In the group's row: types of fixed width.
    Fixed,
    /// One STRING or BYTES value, beside the row.
    Bytes,
    /// A multiset, beside the row: how often each value occurs. Saved as `MAP<type, BIGINT>`.
    Multiset(MultisetOrder),
}

/// A part of an accumulator.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AccumulatorField {
    /// Its name inside the accumulator.
    pub name: &'static str,
    /// Its type; of a multiset, the type of its values.
    pub data_type: LogicalType,
    /// How it is kept.
    pub storage: Storage,
}

/// What is kept for one aggregate of a group. All fields start as zero, NULL or empty.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AccumulatorLayout {
    /// The column that it is saved under; names the aggregate, so that another aggregate is not taken for it.
    pub name: String,
    /// Its parts. A single part is saved as a column of its type, several as a ROW.
    pub fields: Vec<AccumulatorField>,
}

/// Where a field is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldSlot {
    /// At this word of the row (two words for a DECIMAL, the lower half first).
    Word {
        /// The first word.
        word: usize,
        /// The bit that is set while the field is not NULL; none for NOT NULL fields.
        valid: Option<ValidBit>,
    },
    /// In this side column.
    Side(usize),
}

/// A bit of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ValidBit {
    /// The word.
    pub word: usize,
    /// The bit in it.
    pub mask: u64,
}

/// How the key of a group is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyForm {
    /// No key: one group.
    Single,
    /// One to four fixed-width columns of one word each, inline.
    Words(usize),
    /// One STRING or BYTES column, in the arena.
    Bytes,
    /// Anything else, encoded by `arrow::row`, in the arena.
    Encoded,
}

/// Bit of the flags word that says that a row is in use.
pub(super) const LIVE: u64 = 1 << 63;
/// Bit of the flags word that belongs to whoever walks over groups and must not meet one twice; unset in between.
pub(super) const MARK: u64 = 1 << 62;
/// Bit of the flags word: the group changed since it was last written to the store.
pub(super) const DIRTY: u64 = 1 << 61;
/// Bit of the flags word: the group was used since the last look for cold ones.
pub(super) const USED: u64 = 1 << 60;
/// Bits of the flags word that say nothing about key and accumulators.
pub(super) const OWN_FLAGS: u64 = LIVE | MARK | DIRTY | USED;
const FLAG_BITS: u32 = 60;
/// The flags word.
pub(super) const FLAGS: usize = 0;
/// The first word of the key. In the arena forms it holds offset and length.
pub(super) const KEY: usize = 1;
const INLINE_KEYS: usize = 4;

/// The layout of the groups of one state.
#[derive(Debug, Clone)]
pub struct GroupLayout {
    pub(super) key_types: Vec<DataType>,
    pub(super) key_form: KeyForm,
    /// The word that says when the group expires; none without TTL.
    pub(super) expiry: Option<usize>,
    /// The record counter: the first of the words that belong to the group's content.
    pub(super) records: usize,
    /// Words in use.
    pub(super) words: usize,
    /// Words from one row to the next.
    pub(super) stride: usize,
    pub(super) accumulators: Vec<AccumulatorLayout>,
    /// One a field, in the order of the fields.
    pub(super) slots: Vec<Vec<FieldSlot>>,
    /// The side columns: storage and Arrow type of their values.
    pub(super) sides: Vec<(Storage, DataType)>,
}

impl GroupLayout {
    /// Lays out groups with key columns of the types of `key`, which never expire. Errors on a fixed field whose type has no fixed width.
    pub fn new(key: &Schema, accumulators: Vec<AccumulatorLayout>) -> Result<Self, StateError> {
        Self::with_expiry(key, accumulators, false)
    }

    /// The same; if they expire, with a word for when.
    pub fn with_expiry(key: &Schema, accumulators: Vec<AccumulatorLayout>, expires: bool) -> Result<Self, StateError> {
        let key_types: Vec<DataType> = key.columns.iter().map(|column| column.data_type.to_arrow()).collect();
        let key_form = key_form(&key_types);
        let key_words = match key_form {
            KeyForm::Single => 0,
            KeyForm::Words(count) => count,
            KeyForm::Bytes | KeyForm::Encoded => 1,
        };
        let expiry = expires.then_some(KEY + key_words);
        let records = KEY + key_words + usize::from(expires);
        let mut builder = Builder { next_word: records + 1, flags: FLAGS, next_bit: INLINE_KEYS as u32, sides: Vec::new() };
        let slots = accumulators.iter().map(|accumulator| accumulator.fields.iter().map(|field| builder.slot(field)).collect());
        let slots = slots.collect::<Result<Vec<Vec<FieldSlot>>, StateError>>()?;
        let (words, stride) = (builder.next_word, padded(builder.next_word));
        Ok(Self { key_types, key_form, expiry, records, words, stride, accumulators, slots, sides: builder.sides })
    }

    /// The layout of groups that were saved under `descriptor`, whose value columns are a record counter and accumulators: their rows
    /// lie in the store as those of the layout that the descriptor was made from.
    pub(in crate::state) fn of_descriptor(descriptor: &StateDescriptor) -> Result<Self, StateError> {
        let field = |data_type: &LogicalType| {
            let (data_type, storage) = match &data_type.kind {
                TypeKind::Map(value, _) => ((**value).clone(), Storage::Multiset(MultisetOrder::Sorted)),
                _ => match data_type.to_arrow() {
                    DataType::Utf8 | DataType::Binary => (data_type.clone(), Storage::Bytes),
                    _ => (data_type.clone(), Storage::Fixed),
                },
            };
            AccumulatorField { name: "", data_type, storage }
        };
        let accumulator = |column: &Column| {
            let fields = match &column.data_type.kind {
                TypeKind::Row(fields) => fields.iter().map(|(_, data_type)| field(data_type)).collect(),
                _ => vec![field(&column.data_type)],
            };
            AccumulatorLayout { name: column.name.clone(), fields }
        };
        let accumulators = descriptor.value.columns.iter().skip(1).map(accumulator).collect();
        Self::with_expiry(&descriptor.key, accumulators, descriptor.ttl.is_some())
    }

    /// True if keys lie in the arena.
    pub(super) const fn has_arena(&self) -> bool {
        matches!(self.key_form, KeyForm::Bytes | KeyForm::Encoded)
    }

    /// The word of the record counter.
    pub const fn records(&self) -> usize {
        self.records
    }

    /// Where field `field` of accumulator `accumulator` is.
    pub fn slot(&self, accumulator: usize, field: usize) -> Option<FieldSlot> {
        self.slots.get(accumulator)?.get(field).copied()
    }
}

/// The descriptor of a group table: its columns are the key, a record counter, and one column an accumulator. Key columns
/// are saved as nullable, so that a NOT NULL added to a table does not change the state.
pub fn group_descriptor(name: &str, key: &Schema, accumulators: &[AccumulatorLayout]) -> StateDescriptor {
    let nullable = |c: &Column| Column { name: c.name.clone(), data_type: LogicalType::nullable(c.data_type.kind.clone()) };
    let key = Schema::new(key.columns.iter().map(nullable).collect());
    let mut taken: Vec<String> = key.columns.iter().map(|column| column.name.clone()).collect();
    taken.push("key_group".to_owned());
    let records = Column { name: unique("records", &mut taken), data_type: LogicalType::not_null(TypeKind::BigInt) };
    let mut value = vec![records];
    for accumulator in accumulators {
        let name = unique(&accumulator.name, &mut taken);
        value.push(Column { name, data_type: accumulator.data_type() });
    }
    StateDescriptor { name: name.to_owned(), kind: StateKind::Groups, key, value: Schema::new(value), ttl: None }
}

fn unique(name: &str, taken: &mut Vec<String>) -> String {
    let mut candidate = name.to_owned();
    let mut n = 2;
    while taken.contains(&candidate) {
        candidate = format!("{name}#{n}");
        n += 1;
    }
    taken.push(candidate.clone());
    candidate
}

impl AccumulatorLayout {
    /// The type of the column that it is saved under.
    pub fn data_type(&self) -> LogicalType {
        match self.fields.as_slice() {
            [field] => field.saved_type(),
            fields => {
                let fields = fields.iter().map(|field| (field.name.to_owned(), field.saved_type())).collect();
                LogicalType::not_null(TypeKind::Row(fields))
            }
        }
    }
}

impl AccumulatorField {
    pub(super) fn saved_type(&self) -> LogicalType {
        match self.storage {
            Storage::Fixed | Storage::Bytes => self.data_type.clone(),
            Storage::Multiset(_) => {
                let value = LogicalType::not_null(self.data_type.kind.clone());
                let count = LogicalType::not_null(TypeKind::BigInt);
                LogicalType::not_null(TypeKind::Map(Box::new(value), Box::new(count)))
            }
        }
    }
}

fn key_form(types: &[DataType]) -> KeyForm {
    let one_word = |t: &DataType| matches!(WordKind::of(t), Some(WordKind::Long | WordKind::Double));
    match types {
        [] => KeyForm::Single,
        [DataType::Utf8 | DataType::Binary] => KeyForm::Bytes,
        types if types.len() <= INLINE_KEYS && types.iter().all(one_word) => KeyForm::Words(types.len()),
        _ => KeyForm::Encoded,
    }
}

/// Rows of six and seven words are padded to a cache line of eight, so that a row never lies across two.
const fn padded(words: usize) -> usize {
    if words % 8 >= 6 { words.next_multiple_of(8) } else { words }
}

struct Builder {
    next_word: usize,
    flags: usize,
    next_bit: u32,
    sides: Vec<(Storage, DataType)>,
}

impl Builder {
    fn slot(&mut self, field: &AccumulatorField) -> Result<FieldSlot, StateError> {
        let data_type = field.data_type.to_arrow();
        let Storage::Fixed = field.storage else {
            self.sides.push((field.storage, data_type));
            return Ok(FieldSlot::Side(self.sides.len() - 1));
        };
        let words = match WordKind::of(&data_type) {
            Some(WordKind::Long | WordKind::Double) => 1,
            Some(WordKind::Wide) => 2,
            None => return Err(StateError::Invariant(format!("a field of type {} does not fit into a row of words", field.data_type))),
        };
        let valid = field.data_type.nullable.then(|| self.valid_bit());
        let word = self.next_word;
        self.next_word += words;
        Ok(FieldSlot::Word { word, valid })
    }

    fn valid_bit(&mut self) -> ValidBit {
        let end = if self.flags == FLAGS { FLAG_BITS } else { u64::BITS };
        if self.next_bit == end {
            // The flags word is full: the next bits get a word of their own.
            self.flags = self.next_word;
            self.next_word += 1;
            self.next_bit = 0;
        }
        let bit = ValidBit { word: self.flags, mask: 1 << self.next_bit };
        self.next_bit += 1;
        bit
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::StateTtl;
    use std::time::Duration;

    fn key(kinds: &[TypeKind]) -> Schema {
        let column = |(i, kind): (usize, &TypeKind)| Column { name: format!("k{i}"), data_type: LogicalType::not_null(kind.clone()) };
        Schema::new(kinds.iter().enumerate().map(column).collect())
    }

    fn sum() -> AccumulatorLayout {
        let field = |name, kind| AccumulatorField { name, data_type: LogicalType::not_null(kind), storage: Storage::Fixed };
        AccumulatorLayout { name: "SUM(x)".to_owned(), fields: vec![field("sum", TypeKind::BigInt), field("count", TypeKind::BigInt)] }
    }

    #[test]
    fn narrow_keys_lie_in_the_row_and_others_in_the_arena() {
        let form = |kinds: &[TypeKind]| GroupLayout::new(&key(kinds), vec![]).unwrap().key_form;
        assert_eq!(form(&[]), KeyForm::Single);
        assert_eq!(form(&[TypeKind::BigInt, TypeKind::Date]), KeyForm::Words(2));
        assert_eq!(form(&[TypeKind::String]), KeyForm::Bytes);
        assert_eq!(form(&[TypeKind::Decimal(10, 2)]), KeyForm::Encoded);
        assert_eq!(form(&[TypeKind::BigInt, TypeKind::String]), KeyForm::Encoded);
    }

    #[test]
    fn more_nullable_fields_than_flag_bits_get_more_flag_words() {
        let field = AccumulatorField { name: "value", data_type: LogicalType::nullable(TypeKind::Int), storage: Storage::Fixed };
        let many = (0..150).map(|i| AccumulatorLayout { name: format!("MIN({i})"), fields: vec![field.clone()] }).collect();
        let layout = GroupLayout::new(&key(&[TypeKind::Int]), many).unwrap();
        let mut seen = std::collections::HashSet::new();
        for slot in layout.slots.iter().flatten() {
            let FieldSlot::Word { word, valid: Some(bit) } = slot else { panic!("{slot:?}") };
            assert!(seen.insert((*word, u64::MAX)) && seen.insert((bit.word, bit.mask)), "{slot:?}");
            assert!(*word < layout.words && bit.word < layout.words && (bit.word != FLAGS || bit.mask & OWN_FLAGS == 0));
        }
        assert_eq!(seen.len(), 300);
    }

    #[test]
    fn the_layout_of_a_descriptor_is_the_one_that_it_was_made_from() {
        let field = |name, data_type, storage| AccumulatorField { name, data_type, storage };
        let distinct = Storage::Multiset(MultisetOrder::Hashed);
        let fields = vec![
            field("sum", LogicalType::nullable(TypeKind::Decimal(20, 2)), Storage::Fixed),
            field("values", LogicalType::nullable(TypeKind::Int), distinct),
            field("best", LogicalType::nullable(TypeKind::String), Storage::Bytes),
        ];
        let single = AccumulatorLayout { name: "MAX(y)".to_owned(), fields: vec![fields[0].clone()] };
        let accumulators = vec![sum(), AccumulatorLayout { name: "ALL(x)".to_owned(), fields }, single];
        for kinds in [&[][..], &[TypeKind::BigInt, TypeKind::Int], &[TypeKind::String], &[TypeKind::String, TypeKind::Int]] {
            let key = key(kinds);
            for ttl in [None, Some(StateTtl::new(Duration::from_secs(1)))] {
                let made = GroupLayout::with_expiry(&key, accumulators.clone(), ttl.is_some()).unwrap();
                let read = GroupLayout::of_descriptor(&group_descriptor("groups", &key, &accumulators).with_ttl(ttl)).unwrap();
                let words = |layout: &GroupLayout| (layout.key_form, layout.expiry, layout.records, layout.words, layout.slots.clone());
                assert_eq!(words(&read), words(&made));
                assert_eq!(
                    read.sides.iter().map(|side| &side.1).collect::<Vec<_>>(),
                    made.sides.iter().map(|side| &side.1).collect::<Vec<_>>()
                );
            }
        }
    }

    #[test]
    fn a_column_never_has_the_name_of_another_one() {
        let mut key = key(&[TypeKind::BigInt, TypeKind::BigInt]);
        key.columns[1].name = "records".to_owned();
        let columns = group_descriptor("groups", &key, &[sum(), sum()]).columns();
        let names: Vec<&str> = columns.columns.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(names, ["key_group", "k0", "records", "records#2", "SUM(x)", "SUM(x)#2"]);
        assert_eq!(columns.columns[4].data_type.to_string(), "ROW<`sum` BIGINT NOT NULL, `count` BIGINT NOT NULL> NOT NULL");
    }
}
