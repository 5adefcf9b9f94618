//! What moves through a job: an Arrow record batch plus, on changelog streams only, a row kind for each row.

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, UInt8Array, UInt32Array};
use arrow::buffer::ScalarBuffer;
use arrow::compute;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;

/// The meaning of a row in a changelog, with Flink's byte values and short names (`org.apache.flink.types.RowKind`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum RowKind {
    /// `+I`: a new row.
    Insert = 0,
    /// `-U`: the old content of a row that is updated; an `UpdateAfter` of the same key follows.
    UpdateBefore = 1,
    /// `+U`: the new content of a row that is updated.
    UpdateAfter = 2,
    /// `-D`: a row that goes.
    Delete = 3,
}

impl RowKind {
    /// `+I`, `-U`, `+U` or `-D`.
    pub const fn short(self) -> &'static str {
        match self {
            Self::Insert => "+I",
            Self::UpdateBefore => "-U",
            Self::UpdateAfter => "+U",
            Self::Delete => "-D",
        }
    }

    /// True for `+I` and `+U`: the row is added to the result that the changelog describes.
    pub const fn is_accumulate(self) -> bool {
        matches!(self, Self::Insert | Self::UpdateAfter)
    }

    /// The kind with this byte value, or `None`.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Insert),
            1 => Some(Self::UpdateBefore),
            2 => Some(Self::UpdateAfter),
            3 => Some(Self::Delete),
            _ => None,
        }
    }
}

/// One row kind a row. Cheap to clone and to slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowKinds(ScalarBuffer<u8>);

impl RowKinds {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True if there is no row.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The kind of row `row`. Panics, as slices do, if `row` is out of bounds.
    pub fn get(&self, row: usize) -> RowKind {
        // Invariant of the type: every byte is a valid kind; `from_bytes` and `FromIterator` are the only ways in.
        RowKind::from_byte(self.0[row]).unwrap_or(RowKind::Insert)
    }

    /// All kinds in row order.
    pub fn iter(&self) -> impl Iterator<Item = RowKind> + '_ {
        (0..self.len()).map(|row| self.get(row))
    }

    /// Kinds from their byte values, or `None` if a byte is no kind.
    pub fn from_bytes(bytes: Vec<u8>) -> Option<Self> {
        bytes.iter().all(|b| RowKind::from_byte(*b).is_some()).then(|| Self(bytes.into()))
    }

    /// The same byte values as an Arrow array.
    pub fn to_array(&self) -> UInt8Array {
        UInt8Array::new(self.0.clone(), None)
    }
}

impl FromIterator<RowKind> for RowKinds {
    fn from_iter<I: IntoIterator<Item = RowKind>>(iter: I) -> Self {
        Self(iter.into_iter().map(|kind| kind as u8).collect::<Vec<u8>>().into())
    }
}

/// A batch of rows. `kinds == None` means that every row is an insert: append-only streams pay nothing for changelogs.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    columns: RecordBatch,
    kinds: Option<RowKinds>,
}

impl Batch {
    /// An append-only batch.
    pub fn append(columns: RecordBatch) -> Self {
        Self { columns, kinds: None }
    }

    /// A changelog batch. Errors if `kinds` has another length than `columns` has rows.
    pub fn changelog(columns: RecordBatch, kinds: RowKinds) -> Result<Self, ArrowError> {
        if kinds.len() == columns.num_rows() {
            Ok(Self { columns, kinds: Some(kinds) })
        } else {
            let (kinds, rows) = (kinds.len(), columns.num_rows());
            Err(ArrowError::InvalidArgumentError(format!("{kinds} row kinds for {rows} rows")))
        }
    }

    /// The columns.
    pub fn columns(&self) -> &RecordBatch {
        &self.columns
    }

    /// Column `index`. Panics if there is none, as slices do.
    pub fn column(&self, index: usize) -> &ArrayRef {
        self.columns.column(index)
    }

    /// The row kinds; `None` for append-only batches.
    pub fn kinds(&self) -> Option<&RowKinds> {
        self.kinds.as_ref()
    }

    /// The kind of row `row`.
    pub fn kind(&self, row: usize) -> RowKind {
        self.kinds.as_ref().map_or(RowKind::Insert, |kinds| kinds.get(row))
    }

    /// The Arrow schema of the columns.
    pub fn schema(&self) -> SchemaRef {
        self.columns.schema()
    }

    /// Number of rows.
    pub fn num_rows(&self) -> usize {
        self.columns.num_rows()
    }

    /// Takes the batch apart.
    pub fn into_parts(self) -> (RecordBatch, Option<RowKinds>) {
        (self.columns, self.kinds)
    }

    /// The same rows and kinds under other columns. Errors if the number of rows differs.
    pub fn with_columns(&self, columns: RecordBatch) -> Result<Self, ArrowError> {
        match &self.kinds {
            None => Ok(Self::append(columns)),
            Some(kinds) => Self::changelog(columns, kinds.clone()),
        }
    }

    /// `length` rows from `offset` on, without copying. Panics if out of bounds, as slices do.
    #[must_use]
    pub fn slice(&self, offset: usize, length: usize) -> Self {
        Self {
            columns: self.columns.slice(offset, length),
            kinds: self.kinds.as_ref().map(|kinds| RowKinds(kinds.0.slice(offset, length))),
        }
    }

    /// The rows for which `keep` is true (NULL counts as false), in order.
    pub fn filter(&self, keep: &BooleanArray) -> Result<Self, ArrowError> {
        let columns = compute::filter_record_batch(&self.columns, keep)?;
        let kinds = match &self.kinds {
            None => None,
            Some(kinds) => {
                let kept = compute::filter(&kinds.to_array(), keep)?;
                Some(kinds_of(&kept)?)
            }
        };
        Ok(Self { columns, kinds })
    }

    /// The rows with these indices, in that order.
    pub fn take(&self, rows: &UInt32Array) -> Result<Self, ArrowError> {
        let columns = compute::take_record_batch(&self.columns, rows)?;
        let kinds = match &self.kinds {
            None => None,
            Some(kinds) => Some(kinds_of(&compute::take(&kinds.to_array(), rows, None)?)?),
        };
        Ok(Self { columns, kinds })
    }

    /// All rows of `batches` in order. Errors if the schemas differ; a mix of append-only and changelog batches is a changelog.
    pub fn concat(schema: &SchemaRef, batches: &[Self]) -> Result<Self, ArrowError> {
        let columns = compute::concat_batches(schema, batches.iter().map(Self::columns))?;
        if batches.iter().all(|batch| batch.kinds.is_none()) {
            return Ok(Self::append(columns));
        }
        let kinds = batches.iter().flat_map(|batch| (0..batch.num_rows()).map(|row| batch.kind(row))).collect();
        Self::changelog(columns, kinds)
    }
}

fn kinds_of(array: &dyn arrow::array::Array) -> Result<RowKinds, ArrowError> {
    let bytes = array.as_any().downcast_ref::<UInt8Array>();
    let bytes = bytes.ok_or_else(|| ArrowError::CastError("row kinds are not UInt8".to_owned()))?;
    Ok(RowKinds(bytes.values().clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::Int64Array;
    use arrow::datatypes::{DataType, Field, Schema};
    use std::sync::Arc;

    fn numbers(values: Vec<i64>) -> RecordBatch {
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]));
        RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from(values))]).unwrap()
    }

    #[test]
    fn filtering_and_taking_keep_rows_and_kinds_together() {
        let kinds = [RowKind::Insert, RowKind::UpdateBefore, RowKind::UpdateAfter].into_iter().collect();
        let batch = Batch::changelog(numbers(vec![1, 2, 3]), kinds).unwrap();
        let kept = batch.filter(&BooleanArray::from(vec![true, false, true])).unwrap();
        assert_eq!(kept.columns(), &numbers(vec![1, 3]));
        assert_eq!(kept.kinds().unwrap().iter().collect::<Vec<_>>(), [RowKind::Insert, RowKind::UpdateAfter]);
        let taken = batch.take(&UInt32Array::from(vec![2, 1])).unwrap();
        assert_eq!(taken.columns(), &numbers(vec![3, 2]));
        assert_eq!(taken.kind(1), RowKind::UpdateBefore);
        assert_eq!(batch.slice(1, 2).kind(0), RowKind::UpdateBefore);
    }

    #[test]
    fn a_changelog_needs_one_kind_a_row() {
        let kinds = [RowKind::Insert].into_iter().collect();
        assert!(Batch::changelog(numbers(vec![1, 2]), kinds).is_err());
        assert!(RowKinds::from_bytes(vec![0, 4]).is_none());
    }

    #[test]
    fn concat_makes_a_changelog_of_mixed_batches() {
        let kinds = [RowKind::Delete].into_iter().collect();
        let parts = [Batch::append(numbers(vec![1])), Batch::changelog(numbers(vec![2]), kinds).unwrap()];
        let whole = Batch::concat(&parts[0].schema(), &parts).unwrap();
        assert_eq!(whole.kinds().unwrap().iter().collect::<Vec<_>>(), [RowKind::Insert, RowKind::Delete]);
    }
}
