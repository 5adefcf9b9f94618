//! A sink's uncommitted work as one operator state: the rows of all checkpoints, each with its checkpoint's number in front.

use crate::types::CheckpointId;
use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use arrow::error::ArrowError;
use std::sync::Arc;

const COLUMN: &str = "checkpoint_id";

/// All committables as one batch; `None` if there is none. Errors if their columns differ.
pub(crate) fn pack(uncommitted: &[(CheckpointId, RecordBatch)]) -> Result<Option<RecordBatch>, ArrowError> {
    let mut parts = Vec::with_capacity(uncommitted.len());
    for (id, rows) in uncommitted {
        let mut fields = vec![Arc::new(Field::new(COLUMN, DataType::Int64, false))];
        fields.extend(rows.schema().fields().iter().cloned());
        let ids: ArrayRef = Arc::new(Int64Array::from(vec![id.number() as i64; rows.num_rows()]));
        let columns = std::iter::once(ids).chain(rows.columns().iter().cloned()).collect();
        parts.push(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?);
    }
    match parts.first() {
        None => Ok(None),
        Some(first) => concat_batches(&first.schema(), &parts).map(Some),
    }
}

/// The committables of each checkpoint, oldest first, one entry a checkpoint: a sink may commit a checkpoint once and take everything
/// that comes under its number later for a repetition. Rows are read in batches, so those of one checkpoint may come in several.
/// Errors if the rows are not of the form that [`pack`] gives.
pub(crate) fn unpack(packed: &[RecordBatch]) -> Result<Vec<(CheckpointId, RecordBatch)>, ArrowError> {
    let mut all: Vec<(CheckpointId, RecordBatch)> = Vec::new();
    for rows in packed {
        let (Some(ids), true) = (rows.columns().first(), rows.schema().fields().first().is_some_and(|f| f.name() == COLUMN)) else {
            return Err(ArrowError::SchemaError(format!("committables without {COLUMN}")));
        };
        let ids = ids.as_primitive_opt::<Int64Type>().ok_or_else(|| ArrowError::SchemaError(format!("{COLUMN} is no BIGINT")))?;
        let rest = rows.project(&(1..rows.num_columns()).collect::<Vec<_>>())?;
        let mut start = 0;
        while start < ids.len() {
            let run = ids.values()[start..].iter().take_while(|id| **id == ids.value(start)).count();
            let id = u64::try_from(ids.value(start)).map_err(|e| ArrowError::SchemaError(format!("{COLUMN}: {e}")))?;
            all.push((CheckpointId::new(id), rest.slice(start, run)));
            start += run;
        }
    }
    all.sort_by_key(|(id, _)| *id);
    let whole = |of_one: &[(CheckpointId, RecordBatch)]| {
        let (id, first) = &of_one[0];
        Ok((*id, concat_batches(&first.schema(), of_one.iter().map(|(_, rows)| rows))?))
    };
    all.chunk_by(|(a, _), (b, _)| a == b).map(whole).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(values: Vec<i64>) -> RecordBatch {
        let schema = Arc::new(Schema::new(vec![Field::new("v", DataType::Int64, false)]));
        RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from(values))]).unwrap()
    }

    #[test]
    fn what_is_packed_comes_back_by_checkpoint() {
        let uncommitted = vec![(CheckpointId::new(3), rows(vec![1, 2])), (CheckpointId::new(5), rows(vec![3]))];
        let packed = pack(&uncommitted).unwrap().unwrap();
        assert_eq!(unpack(&[packed]).unwrap(), uncommitted);
        assert!(pack(&[]).unwrap().is_none());
        let split = pack(&uncommitted).unwrap().unwrap();
        let in_batches = [split.slice(0, 1), split.slice(1, 2)];
        assert_eq!(unpack(&in_batches).unwrap(), uncommitted, "one entry a checkpoint, however its rows were read");
        assert!(unpack(&[rows(vec![1])]).is_err());
    }
}
