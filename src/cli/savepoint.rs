//! `flink savepoint JOB [DIR]` and `flink savepoint -d PATH`.

use super::command::{Command, SavepointHow};
use super::output::{CliError, Output};
use super::surroundings::Surroundings;
use super::target::{block_on, resolve_live};
use crate::checkpoint::{RestoreError, dispose_savepoint, path_of_text};
use crate::error::ExitStatus;
use crate::rest::client::Client;
use crate::rest::types::SavepointTrigger;
use crate::storage::LocalStorage;
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
    Ok(Some(surroundings.working_dir.join(path).display().to_string()))
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
    let trigger = SavepointTrigger { target_directory, cancel_job: false, format: how.format, trigger_id: None };
    if how.detached {
        output.line(format!("Triggering savepoint in detached mode for job {job}."));
    } else {
        output.line(format!("Triggering savepoint for job {job}."));
        output.line("Waiting for response...");
    }
    let result = block_on(async {
        let request = client.trigger_savepoint(job, &trigger).await?;
        if how.detached { Ok(request) } else { client.savepoint_result(job, &request).await }
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

/// Disposes of a savepoint. On this machine no job is needed for that.
pub(super) fn dispose(command: &Command, surroundings: &Surroundings, path: &str, output: &mut Output<'_>) -> Result<ExitStatus, CliError> {
    let asked = format!("could not dispose of savepoint {path}");
    output.line(format!("Disposing savepoint '{path}'."));
    output.line("Waiting for response...");
    if let Some(endpoint) = &command.cluster {
        let result = block_on(Client::new(endpoint.clone()).dispose(path))?;
        result.map_err(|e| CliError::client(&asked, &e, ExitStatus::SavepointFailed))?;
    } else {
        let absolute = path_of_text(path).map(|p| surroundings.working_dir.join(p));
        let disposed = absolute.and_then(|p| dispose_savepoint(&LocalStorage, &p.display().to_string()));
        disposed.map_err(|e: RestoreError| CliError::new(ExitStatus::SavepointFailed, &asked, e.to_string()).caused_by(&e))?;
    }
    output.line(format!("Savepoint '{path}' disposed."));
    output.result("", &json!({ "disposed": path }));
    Ok(ExitStatus::Done)
}
