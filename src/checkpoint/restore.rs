//! What a restore would do, state by state, decided before anything starts.

use super::error::RestoreError;
use super::manifest::{KeyedStateEntry, Manifest, OperatorEntry, OperatorStateEntry};
use crate::state::{Compatibility, StateDescriptor, compatibility};
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
    /// Its rows are loaded and changed on the way; says how.
    Evolves(String),
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
    match compatibility(saved, now) {
        Compatibility::Same => Outcome::Restored,
        Compatibility::Evolves(how) => Outcome::Evolves(how),
        Compatibility::Incompatible(reason) => Outcome::Incompatible(reason),
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::{FileEntry, JobEntry, SnapshotKind};
    use crate::state::StateKind;
    use crate::types::{CheckpointId, Column, JobId, WallTime};
    use std::collections::BTreeMap;

    fn schema(columns: &[(&str, &str)]) -> Schema {
        let column = |(name, t): &(&str, &str)| Column { name: (*name).to_owned(), data_type: t.parse().unwrap() };
        Schema::new(columns.iter().map(column).collect())
    }

    fn descriptor(name: &str, value: &str) -> StateDescriptor {
        let (key, value) = (schema(&[("k", "STRING")]), schema(&[("v", value)]));
        StateDescriptor { name: name.to_owned(), kind: StateKind::Value, key, value, ttl: None }
    }

    fn files(path: &str) -> Vec<FileEntry> {
        vec![FileEntry { path: path.to_owned(), rows: Some(9), bytes: None, xxh3: None }]
    }

    /// `bids` with splits, `totals` with a keyed state, `idle` with a state that no subtask had rows for.
    fn manifest() -> Manifest {
        let operator = |uid: &str| OperatorEntry {
            uid: OperatorUid::new(uid),
            kind: String::new(),
            parallelism: Parallelism::ONE,
            keyed_states: Vec::new(),
            operator_states: Vec::new(),
        };
        let splits = OperatorStateEntry { name: "splits".to_owned(), columns: schema(&[("path", "STRING")]), files: files("s") };
        let bids = OperatorEntry { operator_states: vec![splits], ..operator("bids") };
        let count = KeyedStateEntry { descriptor: descriptor("count", "BIGINT"), files: files("c") };
        let totals = OperatorEntry { keyed_states: vec![count], ..operator("totals") };
        let empty = KeyedStateEntry { descriptor: descriptor("empty", "BIGINT"), files: Vec::new() };
        let idle = OperatorEntry { keyed_states: vec![empty], ..operator("idle") };
        Manifest {
            format_version: 1,
            kind: SnapshotKind::Savepoint,
            job: JobEntry { name: "j".to_owned(), id: JobId::from_u128(1) },
            checkpoint_id: CheckpointId::new(3),
            time: WallTime(0),
            max_parallelism: MaxParallelism::new(128).unwrap(),
            options: BTreeMap::new(),
            operators: vec![bids, totals, idle],
        }
    }

    fn job(keyed: Vec<StateDescriptor>, splits: Option<Schema>) -> Vec<OperatorStates> {
        let operator = |uid: &str| OperatorStates {
            uid: OperatorUid::new(uid),
            keyed: Vec::new(),
            operator_states: Vec::new(),
            parallelism: Parallelism::new(4).unwrap(),
        };
        let splits = vec![OperatorStateSpec { name: "splits".to_owned(), columns: splits }];
        vec![
            OperatorStates { operator_states: splits, ..operator("bids") },
            OperatorStates { keyed: keyed.into_iter().map(Arc::new).collect(), ..operator("totals") },
        ]
    }

    fn plan(job: &[OperatorStates], max: Option<usize>, allow: bool) -> RestorePlan {
        plan_restore(&manifest(), "/sav/s", job, max.and_then(MaxParallelism::new), allow)
    }

    fn outcomes(plan: &RestorePlan) -> Vec<(&str, &Outcome, u64)> {
        plan.states.iter().map(|s| (s.name.as_str(), &s.outcome, s.rows)).collect()
    }

    #[test]
    fn states_are_restored_by_uid_and_name_and_new_ones_start_empty() {
        let job = job(vec![descriptor("count", "BIGINT"), descriptor("fresh", "INT")], Some(schema(&[("path", "STRING")])));
        let plan = plan(&job, None, false).accepted().unwrap();
        assert_eq!(outcomes(&plan), [("splits", &Outcome::Restored, 9), ("count", &Outcome::Restored, 9), ("fresh", &Outcome::New, 0)]);
        assert_eq!(plan.max_parallelism.get(), 128);
    }

    #[test]
    fn an_operator_that_the_job_lacks_is_refused_unless_that_is_allowed() {
        let job = &job(Vec::new(), None)[..1];
        let refused = plan(job, None, false);
        let expected = "Failed to rollback to checkpoint/savepoint /sav/s. Cannot map checkpoint/savepoint state for operator totals to the \
                        new program, because the operator is not available in the new program. If you want to allow to skip this, you can \
                        set the --allowNonRestoredState option on the CLI.";
        assert_eq!(refused.problems, [expected], "nothing is said of `idle`, which has no rows");
        assert_eq!(refused.accepted().unwrap_err().to_string(), expected);
        let allowed = plan(job, None, true).accepted().unwrap();
        assert_eq!(outcomes(&allowed)[1], ("count", &Outcome::Dropped, 9));
    }

    #[test]
    fn a_state_that_a_surviving_operator_lacks_is_refused_unless_that_is_allowed() {
        let job = job(vec![descriptor("renamed", "BIGINT")], None);
        let refused = plan(&job, None, false);
        assert!(refused.problems[0].contains("state count of operator totals"), "{:?}", refused.problems);
        let allowed = plan(&job, None, true).accepted().unwrap();
        assert_eq!(outcomes(&allowed)[1..], [("renamed", &Outcome::New, 0), ("count", &Outcome::Dropped, 9)]);
    }

    #[test]
    fn types_between_which_there_is_no_way_are_refused_with_both_of_them() {
        for allow in [false, true] {
            let job = job(vec![descriptor("count", "STRING")], Some(schema(&[("path", "BIGINT")])));
            let problems = plan(&job, None, allow).problems;
            assert_eq!(problems.len(), 2, "{problems:?}");
            assert!(problems[0].contains("State splits of operator bids") && problems[0].contains("path STRING"), "{problems:?}");
            assert!(problems[1].contains("State count of operator totals") && problems[1].contains("BIGINT"), "{problems:?}");
        }
    }

    #[test]
    fn a_state_whose_type_was_widened_is_restored_and_says_so() {
        let mut now = descriptor("count", "BIGINT");
        now.value = schema(&[("v", "BIGINT"), ("added", "STRING")]);
        let plan = plan(&job(vec![now], None), None, false).accepted().unwrap();
        assert!(matches!(&plan.states[1].outcome, Outcome::Evolves(how) if how.contains("added")), "{plan:?}");
    }

    #[test]
    fn max_parallelism_is_the_savepoints_and_may_not_be_set_to_another_value() {
        let mut job = job(vec![descriptor("count", "BIGINT")], None);
        assert!(plan(&job, Some(128), false).problems.is_empty());
        let problems = plan(&job, Some(256), false).problems;
        assert_eq!(problems.len(), 1, "operators without keyed state do not mind: {problems:?}");
        let expected = "Max parallelism mismatch between checkpoint/savepoint state and new program. Cannot map operator totals with max \
                        parallelism 128 to new program with max parallelism 256.";
        assert!(problems[0].contains(expected), "{problems:?}");
        job[1].parallelism = Parallelism::new(129).unwrap();
        let problems = plan(&job, None, false).problems;
        assert!(problems[0].contains("The maximum parallelism (128) of the restored state is lower than the configured parallelism (129)"));
    }
}
