//! The rows of one state of a job that runs: which ones are asked for, and picking them out of its snapshot at a barrier.

use super::address::resolve;
use super::{InspectError, Selection};
use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::restore::OperatorStates;
use crate::state::StateError;
use crate::types::{Column, MaxParallelism, OperatorUid, Schema, limits};
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

/// A state that may be asked for.
struct Candidate<'a> {
    operator: &'a OperatorUid,
    name: &'a str,
    columns: Schema,
    keys: &'a [Column],
}

impl<'a> Candidate<'a> {
    /// Those of an operator: its keyed states, and the operator states that a function registers.
    fn of(states: &'a OperatorStates) -> impl Iterator<Item = Self> {
        let operator = &states.uid;
        let keyed =
            states.keyed.iter().map(move |state| Self { operator, name: &state.name, columns: state.columns(), keys: &state.key.columns });
        let registered = states.operator_states.iter().filter_map(|state| state.registered.as_ref());
        keyed.chain(registered.map(move |state| Self { operator, name: &state.name, columns: state.columns.clone(), keys: &[] }))
    }
}

impl RowsWanted {
    /// What `address` and `selection` mean for a job with these states. Errors with what would be right.
    pub fn new(address: &str, selection: Selection, job: &[OperatorStates], max: MaxParallelism) -> Result<Self, InspectError> {
        let states: Vec<Candidate<'_>> = job.iter().flat_map(Candidate::of).collect();
        let addresses: Vec<String> = states.iter().map(|state| format!("{}/{}", state.operator, state.name)).collect();
        let operators: Vec<&str> = job.iter().map(|o| o.uid.as_str()).collect();
        let found = resolve(address, &addresses, &operators, "the job (states of operators can be looked into while it runs)")?;
        let [at] = found.as_slice() else {
            let names: Vec<String> = found.iter().map(|at| addresses[*at].clone()).collect();
            let message = format!("\"{address}\" stands for {} states", found.len());
            return Err(InspectError::asked(message, format!("give one of {}", names.join(", "))));
        };
        let Candidate { operator, name, columns, keys } = &states[*at];
        // Whatever is wrong with the selection is said before the job is asked.
        selection.compile(&addresses[*at], &columns.columns, keys, max)?;
        Ok(Self { operator: (*operator).clone(), state: (*name).to_owned(), selection, max_parallelism: max })
    }

    /// Whether it is this state.
    pub(in crate::checkpoint) fn is(&self, operator: &OperatorUid, state: &str) -> bool {
        (&self.operator, self.state.as_str()) == (operator, state)
    }

    /// The rows that are wanted of one subtask's, with these columns, some of them key columns. An error if they are more than
    /// [`limits::STATE_ANSWER`].
    pub(in crate::checkpoint) fn pick(
        &self,
        columns: &Schema,
        keys: &[Column],
        batches: impl Iterator<Item = Result<RecordBatch, StateError>>,
    ) -> Result<Vec<RecordBatch>, CheckpointError> {
        let state = format!("{}/{}", self.operator, self.state);
        let failed = |e: InspectError| CheckpointError::Rows { state: state.clone(), message: e.to_string() };
        let mut selected = self.selection.compile(&state, &columns.columns, keys, self.max_parallelism).map_err(failed)?;
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
