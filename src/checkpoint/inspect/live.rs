//! The rows of one state of a job that runs: which ones are asked for, and picking them out of its snapshot at a barrier.

use super::address::resolve;
use super::{InspectError, Selection};
use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::restore::OperatorStates;
use crate::state::{StateDescriptor, StateError};
use crate::types::{MaxParallelism, OperatorUid, limits};
use arrow::array::RecordBatch;

/// Rows of one state that a person asks a running job for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowsWanted {
    /// The operator.
    pub operator: OperatorUid,
    /// Its state.
    pub state: String,
    /// Which rows.
    pub selection: Selection,
    /// The number of key groups.
    pub max_parallelism: MaxParallelism,
}

impl RowsWanted {
    /// What `address` and `selection` mean for a job with these states. Errors with what would be right.
    pub fn new(address: &str, selection: Selection, job: &[OperatorStates], max: MaxParallelism) -> Result<Self, InspectError> {
        let states: Vec<(&OperatorUid, &StateDescriptor)> =
            job.iter().flat_map(|o| o.keyed.iter().map(move |state| (&o.uid, state.as_ref()))).collect();
        let addresses: Vec<String> = states.iter().map(|(uid, state)| format!("{uid}/{}", state.name)).collect();
        let operators: Vec<&str> = job.iter().map(|o| o.uid.as_str()).collect();
        let found = resolve(address, &addresses, &operators, "the job (keyed states can be looked into while it runs)")?;
        let [at] = found.as_slice() else {
            let names: Vec<String> = found.iter().map(|at| addresses[*at].clone()).collect();
            let message = format!("\"{address}\" stands for {} states", found.len());
            return Err(InspectError::asked(message, format!("give one of {}", names.join(", "))));
        };
        let (uid, descriptor) = states[*at];
        // Whatever is wrong with the selection is said before the job is asked.
        selection.compile(&addresses[*at], &descriptor.columns().columns, &descriptor.key.columns, max)?;
        Ok(Self { operator: uid.clone(), state: descriptor.name.clone(), selection, max_parallelism: max })
    }

    /// The rows that are wanted of one subtask's. An error if they are more than [`limits::STATE_ANSWER`].
    pub(in crate::checkpoint) fn pick(
        &self,
        descriptor: &StateDescriptor,
        batches: impl Iterator<Item = Result<RecordBatch, StateError>>,
    ) -> Result<Vec<RecordBatch>, CheckpointError> {
        let state = format!("{}/{}", self.operator, self.state);
        let columns = descriptor.columns().columns;
        let failed = |e: InspectError| CheckpointError::Rows { state: state.clone(), message: e.to_string() };
        let mut selected = self.selection.compile(&state, &columns, &descriptor.key.columns, self.max_parallelism).map_err(failed)?;
        let (mut picked, mut bytes) = (Vec::new(), 0);
        for batch in batches {
            let rows = selected.filter(batch?).map_err(failed)?;
            if rows.num_rows() == 0 {
                continue;
            }
            // A slice counts with what it is a slice of; an answer that small does not matter.
            bytes += rows.get_array_memory_size() as u64;
            if bytes > limits::STATE_ANSWER.0 {
                return Err(CheckpointError::TooManyRows { state, limit: limits::STATE_ANSWER });
            }
            picked.push(rows);
            if selected.left == 0 {
                break;
            }
        }
        Ok(picked)
    }
}
