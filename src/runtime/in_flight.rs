//! Rows that were on their way between two tasks when an unaligned checkpoint was taken: part of the snapshot of the task that had not
//! taken them yet, as one operator state an input of its head, and given to that head before anything else after a restore.

use super::plan::{ExecutionPlan, Vertex};
use crate::checkpoint::InFlight;
use crate::job::graph::Exchange;
use crate::operator::InputIndex;
use crate::state::IN_FLIGHT;
use crate::types::{Batch, MaxParallelism, Parallelism, RowKinds, hash_keys, key_group_of, subtask_of};
use arrow::array::{ArrayRef, AsArray, Int8Array, Int32Array, RecordBatch, RecordBatchOptions, StructArray, UInt32Array};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Field, Int8Type, Int32Type, Schema, SchemaRef};
use arrow::error::ArrowError;
use std::sync::Arc;

const SUBTASK: &str = "subtask";
const KIND: &str = "kind";
const ROW: &str = "row";

/// The name of the state of one input.
pub(crate) fn state_name(input: InputIndex) -> String {
    format!("{IN_FLIGHT}{input}")
}

/// The columns under which rows of `stream` are saved: the subtask that had not taken them, the row kind's byte, the row.
pub(crate) fn schema(stream: &SchemaRef) -> SchemaRef {
    let mut fields = vec![Field::new(SUBTASK, DataType::Int32, false), Field::new(KIND, DataType::Int8, false)];
    // Parquet has no rows without columns.
    if !stream.fields().is_empty() {
        fields.push(Field::new(ROW, DataType::Struct(stream.fields().clone()), false));
    }
    Arc::new(Schema::new(fields))
}

/// The rows of all batches that were on their way to `subtask`, in their order; `None` if there are none.
pub(crate) fn pack(subtask: usize, batches: &[&Batch]) -> Result<Option<RecordBatch>, ArrowError> {
    let Some(first) = batches.first() else { return Ok(None) };
    let stream = first.columns().schema();
    let rows = concat_batches(&stream, batches.iter().map(|batch| batch.columns()))?;
    let kinds = batches.iter().flat_map(|batch| match batch.kinds() {
        Some(kinds) => kinds.iter().map(|kind| kind as i8).collect::<Vec<i8>>(),
        None => vec![0; batch.num_rows()],
    });
    let subtask = i32::try_from(subtask).map_err(|e| ArrowError::InvalidArgumentError(e.to_string()))?;
    let mut columns: Vec<ArrayRef> =
        vec![Arc::new(Int32Array::from(vec![subtask; rows.num_rows()])), Arc::new(Int8Array::from_iter_values(kinds))];
    if !stream.fields().is_empty() {
        columns.push(Arc::new(StructArray::try_new(stream.fields().clone(), rows.columns().to_vec(), None)?));
    }
    RecordBatch::try_new(schema(&stream), columns).map(Some)
}

/// The rows again, as rows of `stream`, with the subtask that had not taken them. Errors if they are not of the form that [`pack`] gives.
pub(crate) fn unpack(saved: &RecordBatch, stream: &SchemaRef) -> Result<Vec<(usize, Batch)>, ArrowError> {
    let column =
        |name: &str| saved.column_by_name(name).ok_or_else(|| ArrowError::SchemaError(format!("rows on their way without {name}")));
    let subtasks = cast(column(SUBTASK)?, &DataType::Int32)?;
    let subtasks = subtasks.as_primitive::<Int32Type>().values().clone();
    let kinds = cast(column(KIND)?, &DataType::Int8)?;
    let kinds: Vec<u8> = kinds.as_primitive::<Int8Type>().values().iter().map(|kind| *kind as u8).collect();
    let columns = if stream.fields().is_empty() {
        Vec::new()
    } else {
        let rows = column(ROW)?;
        let rows = rows.as_struct_opt().ok_or_else(|| ArrowError::SchemaError(format!("{ROW} is no ROW")))?;
        let typed = |(array, field): (&ArrayRef, &Arc<Field>)| cast(array, field.data_type());
        rows.columns().iter().zip(stream.fields()).map(typed).collect::<Result<Vec<_>, _>>()?
    };
    let options = RecordBatchOptions::new().with_row_count(Some(saved.num_rows()));
    let rows = RecordBatch::try_new_with_options(Arc::clone(stream), columns, &options)?;
    let mut found = Vec::new();
    let mut start = 0;
    while start < rows.num_rows() {
        let subtask = subtasks[start];
        let run = subtasks[start..].iter().take_while(|other| **other == subtask).count();
        let part = rows.slice(start, run);
        let own = kinds[start..start + run].to_vec();
        let batch = if own.iter().all(|kind| *kind == 0) {
            Batch::append(part)
        } else {
            let own = RowKinds::from_bytes(own).ok_or_else(|| ArrowError::SchemaError("a byte that is no row kind".to_owned()))?;
            Batch::changelog(part, own)?
        };
        found.push((usize::try_from(subtask).map_err(|e| ArrowError::SchemaError(e.to_string()))?, batch));
        start += run;
    }
    Ok(found)
}

/// The inputs of a vertex's head that channels lead to, each with the way in which rows are divided among its subtasks.
pub(crate) fn inputs<'p>(plan: &'p ExecutionPlan, vertex: &Vertex) -> Vec<(InputIndex, &'p Exchange)> {
    let mut inputs: Vec<(InputIndex, &Exchange)> = Vec::new();
    for link in vertex.inputs.iter().map(|at| &plan.links[*at]) {
        match inputs.iter_mut().find(|(input, _)| *input == link.input) {
            // What must come back to its subtask decides for all that comes in there.
            Some((_, exchange)) if moves(exchange) == InFlight::Anywhere => *exchange = &link.exchange,
            Some(_) => {}
            None => inputs.push((link.input, &link.exchange)),
        }
    }
    inputs
}

/// Whether rows on their way may be given to another subtask than the one that they were on their way to.
pub(crate) fn moves(exchange: &Exchange) -> InFlight {
    match exchange {
        Exchange::Hash(_) | Exchange::Rebalance => InFlight::Anywhere,
        // The order of a key's rows hangs on the subtask. What goes to all is never recorded (the gate aligns it), and must not go to
        // one of them twice.
        Exchange::Forward | Exchange::Broadcast => InFlight::SameSubtask,
    }
}

/// Divides rows that were on their way among `parallelism` subtasks. Rows of one key keep their order.
pub(crate) fn divide(
    saved: Vec<(usize, Batch)>,
    exchange: &Exchange,
    max_parallelism: MaxParallelism,
    parallelism: Parallelism,
) -> Result<Vec<Vec<Batch>>, ArrowError> {
    let mut parts: Vec<Vec<Batch>> = vec![Vec::new(); parallelism.get()];
    for (subtask, batch) in saved {
        match exchange {
            Exchange::Hash(columns) => {
                let keys: Vec<ArrayRef> = columns.iter().map(|column| Arc::clone(batch.column(*column))).collect();
                let mut hashes = Vec::new();
                hash_keys(&keys, batch.num_rows(), &mut hashes)?;
                let mut rows = vec![Vec::new(); parallelism.get()];
                for (row, hash) in (0u32..).zip(&hashes) {
                    rows[subtask_of(key_group_of(*hash, max_parallelism), max_parallelism, parallelism)].push(row);
                }
                for (part, rows) in parts.iter_mut().zip(rows).filter(|(_, rows)| !rows.is_empty()) {
                    part.push(batch.take(&UInt32Array::from(rows))?);
                }
            }
            Exchange::Rebalance | Exchange::Forward | Exchange::Broadcast => parts[subtask % parallelism.get()].push(batch),
        }
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::RowKind;
    use arrow::array::{Int64Array, StringArray};

    fn stream() -> SchemaRef {
        Arc::new(Schema::new(vec![Field::new("k", DataType::Int64, true), Field::new("v", DataType::Utf8, true)]))
    }

    fn batch(keys: std::ops::Range<i64>) -> Batch {
        let values = keys.clone().map(|k| (k % 3 != 0).then(|| format!("v{k}"))).collect::<StringArray>();
        let columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from_iter_values(keys)), Arc::new(values)];
        Batch::append(RecordBatch::try_new(stream(), columns).unwrap())
    }

    #[test]
    fn rows_come_back_with_their_kinds_their_order_and_their_subtask() {
        let inserts = batch(0..5);
        let changes = batch(5..7);
        let kinds: RowKinds = [RowKind::UpdateBefore, RowKind::UpdateAfter].into_iter().collect();
        let changes = Batch::changelog(changes.columns().clone(), kinds).unwrap();
        let saved = pack(2, &[&inserts, &changes]).unwrap().unwrap();
        assert_eq!(saved.schema(), schema(&stream()));
        let found = unpack(&saved, &stream()).unwrap();
        assert_eq!((found.len(), found[0].0, found[0].1.num_rows()), (1, 2, 7));
        let kinds: Vec<RowKind> = found[0].1.kinds().unwrap().iter().collect();
        assert_eq!(kinds[4..], [RowKind::Insert, RowKind::UpdateBefore, RowKind::UpdateAfter]);
        assert_eq!(unpack(&pack(0, &[&inserts]).unwrap().unwrap(), &stream()).unwrap(), [(0, inserts)]);
        assert!(pack(0, &[]).unwrap().is_none());
        assert!(unpack(batch(0..1).columns(), &stream()).is_err());
    }

    #[test]
    fn rows_without_columns_are_counted() {
        let none: SchemaRef = Arc::new(Schema::empty());
        let options = RecordBatchOptions::new().with_row_count(Some(4));
        let rows = Batch::append(RecordBatch::try_new_with_options(Arc::clone(&none), Vec::new(), &options).unwrap());
        let saved = pack(0, &[&rows]).unwrap().unwrap();
        assert_eq!(unpack(&saved, &none).unwrap()[0].1.num_rows(), 4);
    }

    #[test]
    fn at_another_parallelism_every_row_goes_to_the_owner_of_its_key_and_keeps_its_order() {
        let (max, parallelism) = (MaxParallelism::new(128).unwrap(), Parallelism::new(3).unwrap());
        let saved = vec![(0, batch(0..50)), (1, batch(50..90))];
        let parts = divide(saved.clone(), &Exchange::Hash(vec![0]), max, parallelism).unwrap();
        let keys = |batches: &[Batch]| -> Vec<i64> {
            batches.iter().flat_map(|b| b.column(0).as_primitive::<arrow::datatypes::Int64Type>().values().to_vec()).collect()
        };
        let mut all = Vec::new();
        for (index, part) in parts.iter().enumerate() {
            let keys = keys(part);
            assert!(!keys.is_empty() && keys.is_sorted());
            let mut hashes = Vec::new();
            hash_keys(&[Arc::new(Int64Array::from(keys.clone())) as ArrayRef], keys.len(), &mut hashes).unwrap();
            assert!(hashes.iter().all(|hash| subtask_of(key_group_of(*hash, max), max, parallelism) == index));
            all.extend(keys);
        }
        all.sort_unstable();
        assert_eq!(all, (0..90).collect::<Vec<_>>());
        let same = divide(saved, &Exchange::Forward, max, Parallelism::new(2).unwrap()).unwrap();
        assert_eq!((keys(&same[0]), keys(&same[1])), ((0..50).collect(), (50..90).collect()));
    }
}
