//! `flink state diff`: in what two snapshots differ.

use super::table::plain;
use super::{failed, open_rows, summary};
use crate::checkpoint::inspect::{RowChange, SnapshotDiff, StateChange, StateDiff, diff};
use crate::cli::output::{CliError, Output};
use crate::cli::surroundings::Surroundings;
use crate::error::ExitStatus;
use serde_json::{Map, Value, json};

/// Compares.
pub(super) fn compare(
    (before, after): (&str, &str),
    state: Option<&str>,
    limit: usize,
    surroundings: &Surroundings,
    output: &mut Output<'_>,
) -> Result<ExitStatus, CliError> {
    let asked = format!("could not compare {before} and {after}");
    let older = open_rows(before, &asked, surroundings, output)?;
    let newer = open_rows(after, &asked, surroundings, output)?;
    let found = diff(&older, &newer, state, limit).map_err(|e| failed(&asked, e))?;
    for (mark, snapshot) in [("---", &older), ("+++", &newer)] {
        let manifest = snapshot.manifest();
        let name = snapshot.directory().map(|d| d.display().to_string()).unwrap_or_default();
        output.line(format!("{mark} {name} (checkpoint {} of {})", manifest.checkpoint_id, manifest.job.name));
    }
    text(&found, output);
    let different: Vec<&str> = found.states.iter().filter(|s| s.change != StateChange::Same).map(|s| s.state.as_str()).collect();
    let document = json!({ "before": summary(&older), "after": summary(&newer), "same": found.is_empty(), "difference": found });
    output.result(&different.join("\n"), &document);
    Ok(ExitStatus::Done)
}

fn text(found: &SnapshotDiff, output: &mut Output<'_>) {
    for uid in &found.operators_added {
        output.line(format!("operator {uid} came"));
    }
    for uid in &found.operators_removed {
        output.line(format!("operator {uid} went"));
    }
    for state in found.states.iter().filter(|s| s.change != StateChange::Same) {
        output.line("");
        output.line(headline(state));
        for change in &state.types {
            output.line(format!("  {change}"));
        }
        for row in &state.rows {
            output.line(format!("  {}", row_text(row)));
        }
        let hidden = state.added + state.removed + state.changed - state.rows.len() as u64;
        if state.change == StateChange::Changed && hidden > 0 {
            output.line(format!("  … and {hidden} more; --limit 0 shows all"));
        }
        if let Some(why) = &state.not_compared {
            output.line(format!("  rows were not compared: {why}"));
        }
    }
    let same = found.states.iter().filter(|s| s.change == StateChange::Same).count();
    if found.is_empty() {
        output.line("They do not differ.");
    } else if same > 0 {
        output.line(format!("\n{same} other state{} the same.", if same == 1 { " is" } else { "s are" }));
    }
}

/// `totals/groups (groups): 3 rows added, 1 removed, 2 changed, 4711 the same`
fn headline(state: &StateDiff) -> String {
    let name = format!("{} ({})", state.state, state.kind);
    match state.change {
        StateChange::Added => format!("{name} came, with {} rows", state.added),
        StateChange::Removed => format!("{name} went, with {} rows", state.removed),
        StateChange::Changed | StateChange::Same if state.not_compared.is_some() => name,
        StateChange::Changed | StateChange::Same => {
            format!("{name}: {} rows added, {} removed, {} changed, {} the same", state.added, state.removed, state.changed, state.same)
        }
    }
}

fn value_text(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => plain(text.clone()),
        Some(other) => other.to_string(),
        None => "null".to_owned(),
    }
}

fn fields(row: &Map<String, Value>) -> String {
    row.iter().map(|(name, value)| format!("{name}={}", value_text(Some(value)))).collect::<Vec<_>>().join(" ")
}

fn row_text(row: &RowChange) -> String {
    match row {
        RowChange::Added { row } => format!("+ {}", fields(row)),
        RowChange::Removed { row } => format!("- {}", fields(row)),
        RowChange::Changed { key, before, after } => {
            let change =
                |(name, value): (&String, &Value)| format!("{name}: {} → {}", value_text(before.get(name)), value_text(Some(value)));
            let changes: Vec<String> = after.iter().map(change).collect();
            format!("~ {}  {}", fields(key), changes.join(", "))
        }
    }
}
