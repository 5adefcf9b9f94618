//! What a restore would do, state by state, decided before anything starts.

use super::error::RestoreError;
use super::manifest::{KeyedStateEntry, Manifest, OperatorEntry, OperatorStateEntry};
use crate::state::StateDescriptor;
use crate::types::{MaxParallelism, OperatorUid, Parallelism, Schema};
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
}

/// One operator state of the job that is to be started.
#[derive(Debug, Clone)]
pub struct OperatorStateSpec {
    /// `splits`, `writer`, `committables`, …
    pub name: String,
    /// Its columns, if they are known before the start.
    pub columns: Option<Schema>,
}

/// What becomes of one state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Its rows are loaded.
    Restored,
    /// The savepoint lacks it: it starts empty.
    New,
    /// The job lacks it: it is left behind, if that is allowed.
    Dropped,
    /// Both have it, with types between which there is no way.
    Incompatible(String),
}

/// What becomes of one state, and how large it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatePlan {
    /// The operator.
    pub uid: OperatorUid,
    /// The state.
    pub name: String,
    /// What becomes of it.
    pub outcome: Outcome,
    /// Rows in the savepoint.
    pub rows: u64,
}

/// What a restore would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestorePlan {
    /// Every state of the savepoint and of the job: in the job's order, then those that are dropped.
    pub states: Vec<StatePlan>,
    /// The number of key groups to run with: the savepoint's.
    pub max_parallelism: MaxParallelism,
    /// Why the restore is refused; empty if it is not.
    pub problems: Vec<String>,
}

impl RestorePlan {
    /// The plan if nothing stands in its way.
    pub fn accepted(self) -> Result<Self, RestoreError> {
        if self.problems.is_empty() { Ok(self) } else { Err(RestoreError::Refused(self.problems)) }
    }
}

/// Compares a savepoint with a job. `path`: how the savepoint is called in messages. `max_parallelism`: the job's, if it was set.
/// `allow_non_restored`: `--allowNonRestoredState`.
pub fn plan_restore(
    manifest: &Manifest,
    path: &str,
    job: &[OperatorStates],
    max_parallelism: Option<MaxParallelism>,
    allow_non_restored: bool,
) -> RestorePlan {
    let mut planning = Planning { path, allow_non_restored, states: Vec::new(), problems: Vec::new() };
    planning.check_parallelism(manifest, job, max_parallelism);
    for operator in job {
        planning.operator(operator, manifest.operator(&operator.uid));
    }
    for saved in &manifest.operators {
        if !job.iter().any(|o| o.uid == saved.uid) {
            planning.removed_operator(saved);
        }
    }
    RestorePlan { states: planning.states, max_parallelism: manifest.max_parallelism, problems: planning.problems }
}

struct Planning<'a> {
    path: &'a str,
    allow_non_restored: bool,
    states: Vec<StatePlan>,
    problems: Vec<String>,
}

impl Planning<'_> {
    fn check_parallelism(&mut self, manifest: &Manifest, job: &[OperatorStates], configured: Option<MaxParallelism>) {
        let saved = manifest.max_parallelism;
        let keyed = |uid: &OperatorUid| manifest.operator(uid).is_some_and(|o| o.keyed_states.iter().any(holds_rows));
        for operator in job.iter().filter(|o| keyed(&o.uid)) {
            let uid = &operator.uid;
            if let Some(max) = configured
                && max != saved
            {
                self.problems.push(format!(
                    "Failed to rollback to checkpoint/savepoint {}. Max parallelism mismatch between checkpoint/savepoint state and new \
                     program. Cannot map operator {uid} with max parallelism {saved} to new program with max parallelism {max}. This \
                     indicates that the program has been changed in a non-compatible way after the checkpoint/savepoint.",
                    self.path
                ));
            } else if operator.parallelism.get() > saved.get() {
                self.problems.push(format!(
                    "The state for task {uid} can not be restored. The maximum parallelism ({saved}) of the restored state is lower than \
                     the configured parallelism ({}). Please reduce the parallelism of the task to be lower or equal to the maximum \
                     parallelism.",
                    operator.parallelism
                ));
            }
        }
    }

    fn operator(&mut self, operator: &OperatorStates, saved: Option<&OperatorEntry>) {
        let uid = &operator.uid;
        let (keyed, parts) = saved.map_or((&[][..], &[][..]), |s| (&s.keyed_states[..], &s.operator_states[..]));
        for now in &operator.keyed {
            let saved = keyed.iter().find(|s| s.descriptor.name == now.name);
            let outcome = saved.map_or(Outcome::New, |s| compare(&s.descriptor, now));
            self.state(uid, &now.name, outcome, saved.map_or(0, KeyedStateEntry::rows));
        }
        for now in &operator.operator_states {
            let saved = parts.iter().find(|s| s.name == now.name);
            let outcome = saved.map_or(Outcome::New, |s| compare_columns(&s.columns, now.columns.as_ref()));
            self.state(uid, &now.name, outcome, saved.map_or(0, OperatorStateEntry::rows));
        }
        for state in keyed.iter().filter(|s| holds_rows(s) && !operator.keyed.iter().any(|n| n.name == s.descriptor.name)) {
            self.dropped_state(uid, &state.descriptor.name, state.rows());
        }
        for state in parts.iter().filter(|s| !s.files.is_empty() && !operator.operator_states.iter().any(|n| n.name == s.name)) {
            self.dropped_state(uid, &state.name, state.rows());
        }
    }

    fn removed_operator(&mut self, saved: &OperatorEntry) {
        let before = self.states.len();
        for state in saved.keyed_states.iter().filter(|s| holds_rows(s)) {
            self.state(&saved.uid, &state.descriptor.name, Outcome::Dropped, state.rows());
        }
        for state in saved.operator_states.iter().filter(|s| !s.files.is_empty()) {
            self.state(&saved.uid, &state.name, Outcome::Dropped, state.rows());
        }
        // An operator without rows is left behind silently, as in Flink.
        if self.states.len() > before && !self.allow_non_restored {
            self.problems.push(format!(
                "Failed to rollback to checkpoint/savepoint {}. Cannot map checkpoint/savepoint state for operator {} to the new \
                 program, because the operator is not available in the new program. If you want to allow to skip this, you can set the \
                 --allowNonRestoredState option on the CLI.",
                self.path, saved.uid
            ));
        }
    }

    fn dropped_state(&mut self, uid: &OperatorUid, name: &str, rows: u64) {
        self.state(uid, name, Outcome::Dropped, rows);
        if !self.allow_non_restored {
            self.problems.push(format!(
                "Failed to rollback to checkpoint/savepoint {}. Cannot map checkpoint/savepoint state {name} of operator {uid} to the \
                 new program, because the state is not available in the new program. If you want to allow to skip this, you can set the \
                 --allowNonRestoredState option on the CLI.",
                self.path
            ));
        }
    }

    fn state(&mut self, uid: &OperatorUid, name: &str, outcome: Outcome, rows: u64) {
        if let Outcome::Incompatible(reason) = &outcome {
            self.problems.push(format!(
                "Failed to rollback to checkpoint/savepoint {}. State {name} of operator {uid} is incompatible: {reason}",
                self.path
            ));
        }
        self.states.push(StatePlan { uid: uid.clone(), name: name.to_owned(), outcome, rows });
    }
}

fn holds_rows(state: &KeyedStateEntry) -> bool {
    !state.files.is_empty()
}

fn compare(saved: &StateDescriptor, now: &StateDescriptor) -> Outcome {
    let same = saved.kind == now.kind && saved.key == now.key && saved.value == now.value;
    if same {
        return Outcome::Restored;
    }
    Outcome::Incompatible(format!(
        "it was saved as {:?} with key ({}) and value ({}), the job has {:?} with key ({}) and value ({})",
        saved.kind,
        columns_text(&saved.key),
        columns_text(&saved.value),
        now.kind,
        columns_text(&now.key),
        columns_text(&now.value)
    ))
}

fn compare_columns(saved: &Schema, now: Option<&Schema>) -> Outcome {
    match now {
        Some(now) if now != saved => Outcome::Incompatible(format!(
            "it was saved with the columns ({}), the job has ({}); drop it with another uid or --allowNonRestoredState",
            columns_text(saved),
            columns_text(now)
        )),
        _ => Outcome::Restored,
    }
}

fn columns_text(schema: &Schema) -> String {
    schema.columns.iter().map(|c| format!("{} {}", c.name, c.data_type)).collect::<Vec<_>>().join(", ")
}
