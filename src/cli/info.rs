//! `flink info` and `flink check`: everything up to the start, and no further.

use super::command::{JobSource, RestoreFrom};
use super::load::{LoadedJob, Restore, load_job, not_restored, open_restore};
use super::output::{CliError, Output};
use super::surroundings::Surroundings;
use crate::checkpoint::{Outcome, StatePlan};
use crate::error::ExitStatus;
use crate::job::graph::NodeKind;
use crate::job::{ExplainFormat, explain};
use serde_json::{Value, json};

/// Shows the plan.
pub(super) fn info(source: &JobSource, dot: bool, surroundings: &Surroundings, output: &mut Output<'_>) -> Result<ExitStatus, CliError> {
    let registry = surroundings.registry()?;
    let job = load_job(source, surroundings, &registry, output)?;
    let format = match (dot, output.style().json) {
        (true, _) => ExplainFormat::Dot,
        (false, true) => ExplainFormat::Json,
        (false, false) => ExplainFormat::Text,
    };
    output.print(explain(&job.graph, format).trim_end());
    Ok(ExitStatus::Done)
}

/// Says whether a job would run, and whether it could be restored.
pub(super) fn check(
    source: &JobSource,
    restore: Option<&RestoreFrom>,
    surroundings: &Surroundings,
    output: &mut Output<'_>,
) -> Result<ExitStatus, CliError> {
    let registry = surroundings.registry()?;
    let job = load_job(source, surroundings, &registry, output)?;
    output.line(summary(source, &job));
    let Some(from) = restore else {
        output.result("", &json!({ "valid": true, "name": job.graph.settings.name }));
        return Ok(ExitStatus::Done);
    };
    let Restore { plan, path, .. } = open_restore(from, &job, surroundings, &registry, output)?;
    for state in &plan.states {
        output.line(line(state));
    }
    let restorable = plan.problems.is_empty();
    let states: Vec<Value> = plan.states.iter().map(document).collect();
    if restorable {
        output.line(format!("{} restores.", path.display()));
    } else if !output.style().json {
        return Err(CliError::new(ExitStatus::NotRestorable, not_restored(&from.path), plan.problems.join("\n")));
    }
    let name = &job.graph.settings.name;
    let document =
        json!({ "valid": true, "name": name, "path": path, "restorable": restorable, "states": states, "problems": plan.problems });
    output.result("", &document);
    Ok(if restorable { ExitStatus::Done } else { ExitStatus::NotRestorable })
}

fn summary(source: &JobSource, job: &LoadedJob) -> String {
    let count = |is: fn(&NodeKind) -> bool| job.graph.nodes.iter().filter(|n| is(&n.kind)).count();
    let sources = count(|k| matches!(k, NodeKind::Source(_)));
    let sinks = count(|k| matches!(k, NodeKind::Sink(_)));
    let operators = job.graph.nodes.len() - sources - sinks;
    format!("{} is valid: {sources} source(s), {operators} operator(s), {sinks} sink(s).", source.file.display())
}

fn words(state: &StatePlan) -> (&'static str, Option<&str>) {
    match &state.outcome {
        Outcome::Restored => ("restored", None),
        Outcome::Evolves(how) => ("evolves", Some(how)),
        Outcome::New => ("new", None),
        Outcome::Dropped => ("dropped", None),
        Outcome::Incompatible(why) => ("incompatible", Some(why)),
    }
}

/// `restored      totals/group-aggregate-1  groups  1 234 rows`
fn line(state: &StatePlan) -> String {
    let (outcome, why) = words(state);
    let why = why.map(|w| format!(": {w}")).unwrap_or_default();
    format!("  {outcome:<12}  {}  {}  {} rows{why}", state.uid, state.name, state.rows)
}

fn document(state: &StatePlan) -> Value {
    let (outcome, why) = words(state);
    json!({ "operator": state.uid, "state": state.name, "outcome": outcome, "rows": state.rows, "why": why })
}
