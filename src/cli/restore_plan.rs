//! What a restore would do, state by state, as text and as JSON.

use super::load::Restore;
use crate::checkpoint::{DropReason, Outcome, StatePlan};
use crate::types::WallTime;
use chrono::{DateTime, SecondsFormat};
use serde_json::{Value, json};

/// One line for the savepoint, one for each state, and what holds for all of them.
pub(super) fn lines(restore: &Restore) -> Vec<String> {
    let (manifest, plan) = (restore.checkpoint.manifest(), &restore.plan);
    let what = if manifest.kind.is_savepoint() { "savepoint" } else { "checkpoint" };
    let job = &manifest.job;
    let mut lines = vec![format!(
        "{}: {what} {} of job {} ({}), taken at {}",
        restore.path.display(),
        manifest.checkpoint_id,
        job.name,
        job.id,
        time(manifest.time)
    )];
    let name = |state: &StatePlan| format!("{}/{}", state.uid, state.name);
    let width = plan.states.iter().map(|s| name(s).chars().count()).max().unwrap_or_default();
    for state in &plan.states {
        let (outcome, why) = words(state);
        let from = state.renamed_from.as_ref().map(|(uid, name)| format!("from {uid}/{name}"));
        let details: Vec<String> = from.into_iter().chain(why).collect();
        let details = if details.is_empty() { String::new() } else { format!(": {}", details.join("; ")) };
        lines.push(format!("  {outcome:<12}  {:<width$}  {} rows, {} bytes{details}", name(state), state.rows, state.bytes.0));
    }
    if plan.max_parallelism != plan.saved_max_parallelism {
        lines.push(format!("  max parallelism {} becomes {}", plan.saved_max_parallelism, plan.max_parallelism));
    }
    lines
}

/// The same as one document.
pub(super) fn document(name: &str, restore: &Restore) -> Value {
    let (manifest, plan) = (restore.checkpoint.manifest(), &restore.plan);
    json!({
        "valid": true,
        "name": name,
        "path": restore.path,
        "restorable": plan.problems.is_empty(),
        "snapshot": {
            "kind": manifest.kind,
            "job-name": manifest.job.name,
            "job-id": manifest.job.id.to_string(),
            "checkpoint-id": manifest.checkpoint_id,
            "time": time(manifest.time),
        },
        "max-parallelism": { "saved": plan.saved_max_parallelism, "job": plan.max_parallelism },
        "states": plan.states.iter().map(state_document).collect::<Vec<_>>(),
        "problems": plan.problems,
    })
}

/// What a person who starts a job should know of its restore: `None` if every state is taken over as it is.
pub(super) fn remark(restore: &Restore) -> Option<String> {
    let mut parts = Vec::new();
    for wanted in ["renamed", "converted", "new", "dropped"] {
        let names = restore.plan.states.iter().filter(|state| words(state).0 == wanted && (wanted != "new" || matters(restore, state)));
        let names: Vec<String> = names.map(|s| format!("{}/{}", s.uid, s.name)).collect();
        if !names.is_empty() {
            parts.push(format!("{wanted}: {}", names.join(", ")));
        }
    }
    (!parts.is_empty()).then(|| format!("Restoring {} ({})", restore.path.display(), parts.join("; ")))
}

/// A state that starts empty is worth a word if its operator is one that has keyed state: sinks and sources often have none saved.
fn matters(restore: &Restore, state: &StatePlan) -> bool {
    restore.checkpoint.manifest().operator(&state.uid).is_none_or(|o| !o.keyed_states.is_empty())
}

fn time(time: WallTime) -> String {
    DateTime::from_timestamp_millis(time.0).map(|t| t.to_rfc3339_opts(SecondsFormat::Millis, true)).unwrap_or_default()
}

fn words(state: &StatePlan) -> (&'static str, Option<String>) {
    match &state.outcome {
        Outcome::Restored if state.renamed_from.is_some() => ("renamed", None),
        Outcome::Restored => ("restored", None),
        Outcome::Converted(how) => ("converted", Some(how.clone())),
        Outcome::New => ("new", Some("starts empty".to_owned())),
        Outcome::Dropped(DropReason::Rule) => ("dropped", Some("[restore] drop".to_owned())),
        Outcome::Dropped(DropReason::Flag) => ("dropped", Some("-n (--allowNonRestoredState)".to_owned())),
        Outcome::Unclaimed(remedy) => ("unclaimed", Some(remedy.clone())),
        Outcome::Incompatible(why) => ("incompatible", Some(why.clone())),
    }
}

fn state_document(state: &StatePlan) -> Value {
    let (outcome, why) = words(state);
    let from = state.renamed_from.as_ref().map(|(uid, name)| json!({ "operator": uid, "state": name }));
    json!({
        "operator": state.uid,
        "state": state.name,
        "outcome": outcome,
        "renamed-from": from,
        "rows": state.rows,
        "bytes": state.bytes.0,
        "why": why,
    })
}
