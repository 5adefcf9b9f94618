//! Saved operator state back into subtasks, at any parallelism (Flink: `RoundRobinOperatorStateRepartitioner`).

use super::{OperatorStateDescriptor, OperatorStateKind};
use crate::state::{StateError, adapt};
use crate::types::{Datum, DatumColumn, Parallelism};
use arrow::array::RecordBatch;
use std::ops::Range;
use std::sync::Arc;

/// One operator state as it was saved: the rows of all subtasks. Cloning shares them.
#[derive(Debug, Clone)]
pub struct RestoredOperatorState {
    /// What was saved.
    pub descriptor: Arc<OperatorStateDescriptor>,
    /// How many subtasks saved it.
    pub parallelism: Parallelism,
    /// Its rows, with the columns of the descriptor.
    pub batches: Vec<RecordBatch>,
}

/// A saved row: whose it was, its place in the list (0 in a map), where it stands.
type Place = (usize, i64, (usize, usize));

impl RestoredOperatorState {
    /// Hands the rows that subtask `subtask` of `parallelism` is to have to `take`, as `map_key` (or `list_index`) and value in the
    /// order in which they were saved. Errors on what no snapshot writes.
    pub(super) fn own_rows(
        &self,
        now: &OperatorStateDescriptor,
        subtask: usize,
        parallelism: Parallelism,
        mut take: impl FnMut(Datum, Datum) -> Result<(), String>,
    ) -> Result<(), StateError> {
        let broken = |message: String| StateError::Incompatible { state: now.name.clone(), message };
        let mut batches = Vec::with_capacity(self.batches.len());
        for batch in &self.batches {
            let columns = adapt::to_columns(batch, &now.name, &now.columns)?;
            batches.push(columns.columns().iter().map(DatumColumn::new).collect::<Result<Vec<_>, _>>()?);
        }
        let mut places: Vec<Place> = Vec::new();
        for (batch, (columns, rows)) in batches.iter().zip(self.batches.iter().map(RecordBatch::num_rows)).enumerate() {
            for row in 0..rows {
                let whose = columns[0].get(row).as_long().and_then(|whose| usize::try_from(whose).ok());
                let whose = whose.filter(|whose| *whose < self.parallelism.get()).ok_or_else(|| {
                    broken(format!("a row is of subtask {:?}, but {} subtasks saved it", columns[0].get(row).as_long(), self.parallelism))
                })?;
                let index = if now.kind == OperatorStateKind::Broadcast { None } else { columns[1].get(row).as_long() };
                places.push((whose, index.unwrap_or(0), (batch, row)));
            }
        }
        // Another tool may have written them in another order.
        places.sort_by_key(|(whose, index, _)| (*whose, *index));
        for (_, _, (batch, row)) in self.own(&places, now.kind, subtask, parallelism) {
            let columns = &batches[*batch];
            take(columns[1].get(*row), columns[2].get(*row)).map_err(broken)?;
        }
        Ok(())
    }

    /// The part of `places` that belongs to a subtask.
    fn own<'p>(&self, places: &'p [Place], kind: OperatorStateKind, subtask: usize, parallelism: Parallelism) -> &'p [Place] {
        let of = |former: usize| {
            let start = places.partition_point(|(whose, ..)| *whose < former);
            &places[start..places.partition_point(|(whose, ..)| *whose <= former)]
        };
        match kind {
            OperatorStateKind::UnionList => places,
            OperatorStateKind::OperatorList if parallelism == self.parallelism => of(subtask),
            OperatorStateKind::OperatorList => &places[share(places.len(), subtask, parallelism)],
            // Scaled up, the new subtasks take the copies in turn.
            OperatorStateKind::Broadcast => of(subtask % self.parallelism.get()),
        }
    }
}

/// The elements of a list of `length` that go to a subtask: the first ones get one more each, if it does not come out even.
fn share(length: usize, subtask: usize, parallelism: Parallelism) -> Range<usize> {
    let (each, more) = (length / parallelism.get(), length % parallelism.get());
    let start = |subtask: usize| subtask * each + subtask.min(more);
    start(subtask)..start(subtask + 1)
}
