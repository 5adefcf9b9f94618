//! `flink info` and `flink check`: everything up to the start, and no further.

use super::command::{JobSource, RestoreOptions};
use super::load::{LoadedJob, load_job, not_restored, open_restore, restore_from};
use super::output::{CliError, Output};
use super::restore_plan;
use super::surroundings::Surroundings;
use crate::error::ExitStatus;
use crate::job::graph::NodeKind;
use crate::job::{ExplainFormat, explain};
use serde_json::json;

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
    restore: &RestoreOptions,
    surroundings: &Surroundings,
    output: &mut Output<'_>,
) -> Result<ExitStatus, CliError> {
    let registry = surroundings.registry()?;
    let job = load_job(source, surroundings, &registry, output)?;
    output.line(summary(source, &job));
    let name = &job.graph.settings.name;
    let Some(from) = restore_from(restore, &job)? else {
        output.result("", &json!({ "valid": true, "name": name }));
        return Ok(ExitStatus::Done);
    };
    let restore = open_restore(&from, &job, surroundings, &registry, output)?;
    for line in restore_plan::lines(&restore) {
        output.line(line);
    }
    let problems = &restore.plan.problems;
    if !problems.is_empty() && !output.style().json {
        return Err(CliError::new(ExitStatus::NotRestorable, not_restored(&from.path), problems.join("\n")));
    }
    output.line(format!("{} restores.", restore.path.display()));
    output.result("", &restore_plan::document(name, &restore));
    Ok(if problems.is_empty() { ExitStatus::Done } else { ExitStatus::NotRestorable })
}

fn summary(source: &JobSource, job: &LoadedJob) -> String {
    let count = |is: fn(&NodeKind) -> bool| job.graph.nodes.iter().filter(|n| is(&n.kind)).count();
    let sources = count(|k| matches!(k, NodeKind::Source(_)));
    let sinks = count(|k| matches!(k, NodeKind::Sink(_)));
    let operators = job.graph.nodes.len() - sources - sinks;
    format!("{} is valid: {sources} source(s), {operators} operator(s), {sinks} sink(s).", source.file.display())
}
