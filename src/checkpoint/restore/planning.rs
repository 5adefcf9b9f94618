//! Compares a savepoint with a job, state by state.

use super::rules::{DroppedState, Renamed, prefixes};
use super::{DropReason, InFlight, OperatorStates, Outcome, RestorePlan, RestoreRequest, StatePlan};
use crate::checkpoint::manifest::{KeyedStateEntry, Manifest, OperatorEntry, OperatorStateEntry};
use crate::state::{
    Compatibility, OperatorStateDescriptor, StateDescriptor, added_accumulators, compatibility, keys_move, operator_compatibility,
};
use crate::types::{ByteSize, MaxParallelism, OperatorUid, Schema, nearest};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Compares a savepoint with a job.
pub fn plan_restore(manifest: &Manifest, job: &[OperatorStates], request: RestoreRequest<'_>) -> RestorePlan {
    let saved_max_parallelism = manifest.max_parallelism;
    let Renamed { manifest, origins, dropped, targets, problems } = request.rules.apply(manifest);
    let max_parallelism = key_groups(&manifest, job, request.max_parallelism);
    let regroup = (max_parallelism != saved_max_parallelism).then_some((saved_max_parallelism, max_parallelism));
    let mut planning = Planning { request, job, origins, regroup, states: Vec::new(), problems, moved: BTreeMap::new() };
    planning.check_targets(&manifest, &targets);
    for operator in job {
        planning.operator(operator, manifest.operator(&operator.uid));
    }
    for saved in &manifest.operators {
        if !job.iter().any(|o| o.uid == saved.uid) {
            planning.removed_operator(saved);
        }
    }
    let dropped = dropped.into_iter().map(|DroppedState { uid, name, rows, bytes }| StatePlan {
        uid,
        name,
        renamed_from: None,
        outcome: Outcome::Dropped(DropReason::Rule),
        rows,
        bytes,
    });
    planning.states.extend(dropped);
    let Planning { states, problems, moved, .. } = planning;
    RestorePlan { states, saved_max_parallelism, max_parallelism, problems, manifest: Arc::new(manifest), moved }
}

/// The number of key groups to run with: the job's if it was set; else the savepoint's, unless an operator has more subtasks than
/// that.
fn key_groups(manifest: &Manifest, job: &[OperatorStates], configured: Option<MaxParallelism>) -> MaxParallelism {
    let saved = manifest.max_parallelism;
    let widest = job.iter().map(|o| o.parallelism).max();
    let fits = widest.is_none_or(|widest| widest.get() <= saved.get());
    configured.unwrap_or_else(|| if fits { saved } else { widest.map_or(saved, MaxParallelism::default_for) })
}

struct Planning<'a> {
    request: RestoreRequest<'a>,
    job: &'a [OperatorStates],
    origins: BTreeMap<(OperatorUid, String), (OperatorUid, String)>,
    /// The numbers of key groups before and after, if they differ.
    regroup: Option<(MaxParallelism, MaxParallelism)>,
    states: Vec<StatePlan>,
    problems: Vec<String>,
    moved: BTreeMap<(OperatorUid, String), Arc<StateDescriptor>>,
}

impl Planning<'_> {
    /// Rules must lead to operators and states that the job has.
    fn check_targets(&mut self, manifest: &Manifest, targets: &[OperatorUid]) {
        for target in targets {
            let has_state = manifest.operator(target).is_some_and(|o| o.files().next().is_some());
            if has_state && !self.job.iter().any(|o| o.uid == *target) {
                let known = self.job.iter().flat_map(|o| prefixes(o.uid.as_str()));
                let hint = nearest(target.as_str(), known).map(|near| format!("; did you mean \"{near}\"?")).unwrap_or_default();
                self.problems.push(format!("[restore] operators: the job has no operator \"{target}\"{hint}"));
            }
        }
        for (_, new) in &self.request.rules.states {
            let names = || {
                let of = |o: &OperatorStates| {
                    o.keyed.iter().map(|s| s.name.clone()).chain(o.operator_states.iter().map(|s| s.name.clone())).collect::<Vec<_>>()
                };
                self.job.iter().flat_map(of)
            };
            if !names().any(|name| name == *new) {
                let known: Vec<String> = names().collect();
                let hint = nearest(new, known.iter().map(String::as_str)).map(|near| format!("; did you mean \"{near}\"?"));
                self.problems.push(format!("[restore] states: the job has no state \"{new}\"{}", hint.unwrap_or_default()));
            }
        }
    }

    fn operator(&mut self, operator: &OperatorStates, saved_operator: Option<&OperatorEntry>) {
        let uid = &operator.uid;
        let (keyed, parts) = saved_operator.map_or((&[][..], &[][..]), |s| (&s.keyed_states[..], &s.operator_states[..]));
        for now in &operator.keyed {
            let Some(saved) = keyed.iter().find(|s| s.descriptor.name == now.name) else {
                self.state(uid, &now.name, Outcome::New, (0, ByteSize(0)));
                continue;
            };
            let holds_rows = saved_operator.is_some_and(|o| o.holds_rows(saved));
            let outcome = self.compare(operator, (saved, holds_rows), now);
            let size = saved_operator.map_or((0, ByteSize(0)), |o| (o.rows_of(saved), o.bytes_of(saved)));
            self.state(uid, &now.name, outcome, size);
        }
        for now in &operator.operator_states {
            let part = parts.iter().find(|s| s.name == now.name);
            if part.is_none() && now.in_flight.is_some() {
                // Nothing was on its way: nobody misses it.
                continue;
            }
            let outcome = match (part, now.in_flight, saved_operator) {
                (Some(part), Some(InFlight::SameSubtask), Some(saved))
                    if !part.files.is_empty() && saved.parallelism != operator.parallelism =>
                {
                    Outcome::Incompatible(format!(
                        "rows were on their way to {} subtasks, and the order of a key's rows hangs on that; restore at that parallelism and \
                         change it with a savepoint",
                        saved.parallelism
                    ))
                }
                (Some(part), _, _) => match &now.registered {
                    Some(now) => compare_registered(part, now),
                    None => compare_columns(&part.columns, now.columns.as_ref()),
                },
                (None, _, _) => Outcome::New,
            };
            self.state(uid, &now.name, outcome, part.map_or((0, ByteSize(0)), |s| (s.rows(), s.bytes())));
        }
        let lacks = |s: &&KeyedStateEntry| !operator.keyed.iter().any(|n| n.name == s.descriptor.name);
        if let Some(saved) = saved_operator {
            for state in keyed.iter().filter(|s| lacks(s) && saved.holds_rows(s)) {
                self.unclaimed_state(operator, &state.descriptor, (saved.rows_of(state), saved.bytes_of(state)));
            }
        }
        for state in parts.iter().filter(|s| !s.files.is_empty() && !operator.operator_states.iter().any(|n| n.name == s.name)) {
            let hint = self.renamed_list(operator, state);
            self.lost_state(uid, &state.name, hint, (state.rows(), state.bytes()));
        }
    }

    fn compare(&mut self, operator: &OperatorStates, (saved, holds_rows): (&KeyedStateEntry, bool), now: &Arc<StateDescriptor>) -> Outcome {
        let (uid, before) = (&operator.uid, &saved.descriptor);
        let mut changes = match compatibility(before, now) {
            Compatibility::Same => Vec::new(),
            Compatibility::Evolves(how) => vec![how],
            Compatibility::Incompatible(reason) => return Outcome::Incompatible(reason),
        };
        let added = added_accumulators(before, now);
        if operator.retracts && !added.is_empty() {
            return Outcome::Incompatible(format!(
                "{} is computed now and was not saved, and the input may take back rows that it has never seen; [restore] drop starts \
                 without this state",
                added.join(", ")
            ));
        }
        if let Some((from, to)) = self.regroup.filter(|_| holds_rows) {
            changes.push(format!("key groups are computed anew from the keys (max parallelism {from} to {to})"));
        } else if keys_move(before, now) {
            changes.push("key groups are computed anew from the keys".to_owned());
        }
        if self.regroup.is_some() || keys_move(before, now) {
            self.moved.insert((uid.clone(), now.name.clone()), Arc::clone(now));
        }
        if changes.is_empty() { Outcome::Restored } else { Outcome::Converted(changes.join(", ")) }
    }

    fn removed_operator(&mut self, saved: &OperatorEntry) {
        let uid = &saved.uid;
        let mut lost = Vec::new();
        for state in saved.keyed_states.iter().filter(|s| saved.holds_rows(s)) {
            lost.push((state.descriptor.name.clone(), (saved.rows_of(state), saved.bytes_of(state))));
        }
        for state in saved.operator_states.iter().filter(|s| !s.files.is_empty()) {
            lost.push((state.name.clone(), (state.rows(), state.bytes())));
        }
        // An operator without rows is left behind silently, as in Flink.
        if lost.is_empty() {
            return;
        }
        let allowed = self.request.allow_non_restored;
        let remedy = remedy(uid.as_str(), self.successor(saved).map(|new| rename_rule(uid, new)));
        for (name, size) in lost {
            let outcome = if allowed { Outcome::Dropped(DropReason::Flag) } else { Outcome::Unclaimed(remedy.clone()) };
            self.state(uid, &name, outcome, size);
        }
        if !allowed {
            self.problems.push(format!(
                "Failed to rollback to checkpoint/savepoint {}. Cannot map checkpoint/savepoint state for operator {uid} to the new program, \
                 because the operator is not available in the new program. If you want to allow to skip this, you can set the \
                 --allowNonRestoredState option on the CLI.",
                self.request.path
            ));
        }
    }

    /// An operator of the job that starts empty and could take over everything that `saved` has: it was renamed, perhaps.
    fn successor(&self, saved: &OperatorEntry) -> Option<&OperatorUid> {
        let fits = |operator: &&OperatorStates| {
            let taken = self.states.iter().any(|s| s.uid == operator.uid && s.outcome != Outcome::New);
            let keyed = saved.keyed_states.iter().all(|s| operator.keyed.iter().any(|now| takes_over(&s.descriptor, now)));
            let parts = saved.operator_states.iter().all(|s| operator.operator_states.iter().any(|now| now.name == s.name));
            !taken && keyed && parts
        };
        let mut fitting = self.job.iter().filter(fits);
        // With two of them nobody knows which.
        fitting.next().filter(|_| fitting.next().is_none()).map(|o| &o.uid)
    }

    fn unclaimed_state(&mut self, operator: &OperatorStates, saved: &StateDescriptor, size: (u64, ByteSize)) {
        let uid = &operator.uid;
        let taken = |name: &str| self.states.iter().any(|s| s.uid == *uid && s.name == name && s.outcome != Outcome::New);
        let renamed = |now: &&Arc<StateDescriptor>| {
            let as_now = StateDescriptor { name: now.name.clone(), ..saved.clone() };
            !taken(&now.name) && takes_over(&as_now, now)
        };
        let mut fitting = operator.keyed.iter().filter(renamed);
        let new = fitting.next().filter(|_| fitting.next().is_none());
        let hint = new.map(|now| format!("states = {{ \"{uid}/{}\" = \"{}\" }}", saved.name, now.name));
        self.lost_state(uid, &saved.name, hint, size);
    }

    /// The rule that would keep an operator state of a function, if it was renamed, perhaps.
    fn renamed_list(&self, operator: &OperatorStates, saved: &OperatorStateEntry) -> Option<String> {
        let uid = &operator.uid;
        let was = saved.descriptor()?;
        let new = |name: &str| self.states.iter().any(|s| s.uid == *uid && s.name == name && s.outcome == Outcome::New);
        let fits =
            |now: &&OperatorStateDescriptor| new(&now.name) && !matches!(operator_compatibility(&was, now), Compatibility::Incompatible(_));
        let mut fitting = operator.operator_states.iter().filter_map(|now| now.registered.as_ref()).filter(fits);
        let now = fitting.next().filter(|_| fitting.next().is_none())?;
        Some(format!("states = {{ \"{uid}/{}\" = \"{}\" }}", was.name, now.name))
    }

    fn lost_state(&mut self, uid: &OperatorUid, name: &str, hint: Option<String>, size: (u64, ByteSize)) {
        if self.request.allow_non_restored {
            self.state(uid, name, Outcome::Dropped(DropReason::Flag), size);
            return;
        }
        let remedy = remedy(&format!("{uid}/{name}"), hint);
        self.state(uid, name, Outcome::Unclaimed(remedy), size);
        self.problems.push(format!(
            "Failed to rollback to checkpoint/savepoint {}. Cannot map checkpoint/savepoint state {name} of operator {uid} to the new \
             program, because the state is not available in the new program. If you want to allow to skip this, you can set the \
             --allowNonRestoredState option on the CLI.",
            self.request.path
        ));
    }

    fn state(&mut self, uid: &OperatorUid, name: &str, outcome: Outcome, (rows, bytes): (u64, ByteSize)) {
        let renamed_from = self.origins.get(&(uid.clone(), name.to_owned())).filter(|_| outcome != Outcome::New).cloned();
        if let Outcome::Incompatible(reason) = &outcome {
            self.problems.push(format!(
                "Failed to rollback to checkpoint/savepoint {}. State {name} of operator {uid} is incompatible: {reason}",
                self.request.path
            ));
        }
        self.states.push(StatePlan { uid: uid.clone(), name: name.to_owned(), renamed_from, outcome, rows, bytes });
    }
}

/// What can be done about state that the job lacks. `rename`: the rule that would keep it, if there is one.
fn remedy(name: &str, rename: Option<String>) -> String {
    let keep = rename.map(|rule| format!("was it renamed? [restore] {rule} keeps it; ")).unwrap_or_default();
    format!("the job does not have it; {keep}[restore] drop = [\"{name}\"] leaves it behind, -n everything that the job does not have")
}

/// The rule that renames `old` to `new`: that of their transform where the rest of the uids is the same.
fn rename_rule(old: &OperatorUid, new: &OperatorUid) -> String {
    let short = old.as_str().split_once('/').zip(new.as_str().split_once('/'));
    let (old, new) = match short {
        Some(((old, a), (new, b))) if a == b => (old, new),
        _ => (old.as_str(), new.as_str()),
    };
    format!("operators = {{ \"{old}\" = \"{new}\" }}")
}

fn takes_over(saved: &StateDescriptor, now: &StateDescriptor) -> bool {
    saved.name == now.name && !matches!(compatibility(saved, now), Compatibility::Incompatible(_))
}

/// Compares an operator state that a function registers.
fn compare_registered(saved: &OperatorStateEntry, now: &OperatorStateDescriptor) -> Outcome {
    let Some(saved) = saved.descriptor() else {
        return Outcome::Incompatible(format!("no function saved it, and it is {} state now; [restore] drop starts without it", now.kind));
    };
    match operator_compatibility(&saved, now) {
        Compatibility::Same => Outcome::Restored,
        Compatibility::Evolves(how) => Outcome::Converted(how),
        Compatibility::Incompatible(reason) => Outcome::Incompatible(reason),
    }
}

fn compare_columns(saved: &Schema, now: Option<&Schema>) -> Outcome {
    match now {
        Some(now) if now != saved => Outcome::Incompatible(format!(
            "it was saved with the columns ({}), the job has ({}); [restore] drop starts without it",
            columns_text(saved),
            columns_text(now)
        )),
        _ => Outcome::Restored,
    }
}

fn columns_text(schema: &Schema) -> String {
    schema.columns.iter().map(|c| format!("{} {}", c.name, c.data_type)).collect::<Vec<_>>().join(", ")
}
