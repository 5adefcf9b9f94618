//! What a restore would do, state by state, decided before anything starts.

mod planning;
mod rules;
#[cfg(test)]
mod tests;

pub use planning::plan_restore;
pub use rules::RestoreRules;

use super::error::RestoreError;
use super::manifest::Manifest;
use crate::state::{OperatorStateDescriptor, StateDescriptor};
use crate::types::{ByteSize, MaxParallelism, OperatorUid, Parallelism, Schema};
use std::collections::BTreeMap;
use std::sync::Arc;

/// One operator of the job that is to be started.
#[derive(Debug, Clone)]
pub struct OperatorStates {
    /// Its uid.
    pub uid: OperatorUid,
    /// The keyed states that it will register.
    pub keyed: Vec<Arc<StateDescriptor>>,
    /// The operator states that it reads.
    pub operator_states: Vec<OperatorStateSpec>,
    /// How many subtasks it will have.
    pub parallelism: Parallelism,
    /// Whether rows of its input may be taken back: an aggregate that is added could not take back what it never saw.
    pub retracts: bool,
}

/// One operator state of the job that is to be started.
#[derive(Debug, Clone)]
pub struct OperatorStateSpec {
    /// `splits`, `writer`, `committables`, …, or what a function calls it.
    pub name: String,
    /// Its columns, if they are known before the start.
    pub columns: Option<Schema>,
    /// For rows that were on their way to the operator: who may take them.
    pub in_flight: Option<InFlight>,
    /// What it is, if a function registers it.
    pub registered: Option<OperatorStateDescriptor>,
}

impl OperatorStateSpec {
    /// A state that a function registers.
    pub fn of(descriptor: OperatorStateDescriptor) -> Self {
        let (name, columns) = (descriptor.name.clone(), Some(descriptor.columns.clone()));
        Self { name, columns, in_flight: None, registered: Some(descriptor) }
    }
}

/// Who may take rows that were on their way when an unaligned checkpoint was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InFlight {
    /// Any subtask: they are divided anew.
    Anywhere,
    /// The subtask that they were on their way to: the parallelism must be the same.
    SameSubtask,
}

/// What a person said about a restore.
#[derive(Debug, Clone, Copy)]
pub struct RestoreRequest<'a> {
    /// How the savepoint is called in messages.
    pub path: &'a str,
    /// The job's `pipeline.max-parallelism`, if it was set.
    pub max_parallelism: Option<MaxParallelism>,
    /// `--allowNonRestoredState`
    pub allow_non_restored: bool,
    /// `[restore]`
    pub rules: &'a RestoreRules,
}

/// What becomes of one state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Its rows are loaded.
    Restored,
    /// Its rows are loaded and changed on the way; says how.
    Converted(String),
    /// The savepoint lacks it: it starts empty.
    New,
    /// It is left behind; says what allows that.
    Dropped(DropReason),
    /// The job lacks it, and nothing allows to leave it behind; says what can be done.
    Unclaimed(String),
    /// Both have it, with types between which there is no way; says why, and what can be done.
    Incompatible(String),
}

/// What allows to leave a state behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropReason {
    /// `drop` in `[restore]`
    Rule,
    /// `--allowNonRestoredState`
    Flag,
}

/// What becomes of one state, and how large it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatePlan {
    /// The operator.
    pub uid: OperatorUid,
    /// The state.
    pub name: String,
    /// The operator and the state that it is in the savepoint, if `[restore]` renamed it.
    pub renamed_from: Option<(OperatorUid, String)>,
    /// What becomes of it.
    pub outcome: Outcome,
    /// Rows in the savepoint.
    pub rows: u64,
    /// Bytes in the savepoint.
    pub bytes: ByteSize,
}

/// What a restore would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestorePlan {
    /// Every state of the savepoint and of the job: in the job's order, then those that are left behind.
    pub states: Vec<StatePlan>,
    /// The savepoint's number of key groups.
    pub saved_max_parallelism: MaxParallelism,
    /// The number of key groups to run with.
    pub max_parallelism: MaxParallelism,
    /// Why the restore is refused; empty if it is not.
    pub problems: Vec<String>,
    /// The savepoint under the job's names.
    pub(super) manifest: Arc<Manifest>,
    /// The keyed states whose rows may belong to other key groups than those they were saved under, as the job has them.
    pub(super) moved: BTreeMap<(OperatorUid, String), Arc<StateDescriptor>>,
}

impl RestorePlan {
    /// The plan if nothing stands in its way.
    pub fn accepted(self) -> Result<Self, RestoreError> {
        if self.problems.is_empty() { Ok(self) } else { Err(RestoreError::Refused(self.problems)) }
    }
}
