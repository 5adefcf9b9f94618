//! `flink savepoint JOB [DIR]`, `flink savepoint --status TRIGGER JOB` and `flink savepoint -d PATH`.

use super::command::{Command, SavepointHow};
use super::output::{CliError, Output};
use super::snapshot_progress::SnapshotProgress;
use super::surroundings::Surroundings;
use super::target::{Target, block_on, resolve_live};
use crate::checkpoint::{RestoreError, dispose_savepoint, path_of_text};
use crate::error::ExitStatus;
use crate::rest::client::Client;
use crate::rest::types::SavepointTrigger;
use crate::types::TriggerId;
use serde_json::json;

/// A target directory as the job's process is told: absolute, because its working directory is not ours. A cluster is told what was
/// written.
pub(super) fn target_directory(
    command: &Command,
    surroundings: &Surroundings,
    directory: Option<String>,
) -> Result<Option<String>, CliError> {
    let Some(text) = directory else { return Ok(None) };
    if command.cluster.is_some() {
        return Ok(Some(text));
    }
    let path = path_of_text(&text).map_err(|e| CliError::new(ExitStatus::Usage, format!("{text} is no directory"), e.to_string()))?;
    Ok(Some(surroundings.absolute(&path).display().to_string()))
}

/// Takes a savepoint.
pub(super) fn take(
    command: &Command,
    surroundings: &Surroundings,
    (reference, directory): (&str, Option<String>),
    how: SavepointHow,
    output: &mut Output<'_>,
) -> Result<ExitStatus, CliError> {
    let asked = format!("could not take a savepoint of job {reference}");
    let target = resolve_live(command, surroundings, reference, &asked)?;
    let target_directory = target_directory(command, surroundings, directory)?;
    let (job, client) = (target.job, &target.client);
    let trigger = SavepointTrigger {
        target_directory,
        cancel_job: false,
        format: how.format,
        trigger_id: None,
        timeout_millis: how.timeout_millis(),
    };
    if how.detached {
        output.line(format!("Triggering savepoint in detached mode for job {job}."));
    } else {
        output.line(format!("Triggering savepoint for job {job}."));
        output.line("Waiting for response...");
    }
    let progress = SnapshotProgress::new(command.style, surroundings);
    let result = block_on(async {
        let request = client.trigger_savepoint(job, &trigger).await?;
        if how.detached { Ok(request) } else { progress.watch(client, job, client.savepoint_result(job, &request)).await }
    })?;
    let text = result.map_err(|e| CliError::client(&asked, &e, ExitStatus::SavepointFailed))?;
    if how.detached {
        output.line(format!("Successfully trigger manual savepoint, triggerId: {text}"));
        output.result(&text, &json!({ "job-id": job.to_string(), "trigger-id": text }));
    } else {
        output.line(format!("Savepoint completed. Path: {text}"));
        output.line("You can resume your program from this savepoint with the run command.");
        output.result(&text, &json!({ "job-id": job.to_string(), "path": text }));
    }
    Ok(ExitStatus::Done)
}

/// Says how far a savepoint is that was triggered without waiting for it.
pub(super) fn status(
    command: &Command,
    surroundings: &Surroundings,
    (reference, trigger): (&str, TriggerId),
    output: &mut Output<'_>,
) -> Result<ExitStatus, CliError> {
    let asked = format!("could not say how far savepoint {trigger} of job {reference} is");
    let Target { job, client } = resolve_live(command, surroundings, reference, &asked)?;
    let result = block_on(client.savepoint_status(job, &trigger.to_string()))?;
    let path = result.map_err(|e| {
        if e.is_unknown_job() {
            // The job has just answered: what it does not know is the id.
            let unknown = CliError::new(ExitStatus::SavepointFailed, &asked, e.to_string()).caused_by(&e);
            return unknown.next("`flink savepoint -detached` prints the id; a job's process keeps it for a while, and not beyond its end");
        }
        CliError::client(&asked, &e, ExitStatus::SavepointFailed)
    })?;
    let status = if path.is_some() { "COMPLETED" } else { "IN_PROGRESS" };
    match &path {
        Some(path) => output.line(format!("Savepoint completed. Path: {path}")),
        None => output.line(format!("Savepoint {trigger} of job {job} is in progress.")),
    }
    let document = json!({ "job-id": job.to_string(), "trigger-id": trigger.to_string(), "status": status, "path": path });
    output.result(path.as_deref().unwrap_or_default(), &document);
    Ok(ExitStatus::Done)
}

/// Disposes of a savepoint. On this machine no job is needed for that.
pub(super) fn dispose(command: &Command, surroundings: &Surroundings, path: &str, output: &mut Output<'_>) -> Result<ExitStatus, CliError> {
    let asked = format!("could not dispose of savepoint {path}");
    output.line(format!("Disposing savepoint '{path}'."));
    output.line("Waiting for response...");
    if let Some(endpoint) = &command.cluster {
        let result = block_on(Client::new(endpoint.clone()).dispose(path))?;
        result.map_err(|e| CliError::client(&asked, &e, ExitStatus::SavepointFailed))?;
    } else {
        let absolute = path_of_text(path).map(|p| surroundings.absolute(&p));
        let disposed = absolute.and_then(|p| dispose_savepoint(&*surroundings.storage(), &p.display().to_string()));
        disposed.map_err(|e: RestoreError| CliError::new(ExitStatus::SavepointFailed, &asked, e.to_string()).caused_by(&e))?;
    }
    output.line(format!("Savepoint '{path}' disposed."));
    output.result("", &json!({ "disposed": path }));
    Ok(ExitStatus::Done)
}
