//! `flink cancel [-s [DIR]] JOB`.

use super::command::{CancelSavepoint, Command};
use super::output::{CliError, Output};
use super::savepoint::target_directory;
use super::surroundings::Surroundings;
use super::target::{Resolved, Target, block_on, resolve, resolve_live};
use crate::error::ExitStatus;
use crate::rest::types::SavepointTrigger;
use crate::runtime::JobStatus;
use serde_json::json;

/// Cancels a job. One that is cancelled already is no error, as in Flink.
pub(super) fn cancel(
    command: &Command,
    surroundings: &Surroundings,
    reference: &str,
    savepoint: Option<&CancelSavepoint>,
    output: &mut Output<'_>,
) -> Result<ExitStatus, CliError> {
    let asked = format!("could not cancel job {reference}");
    if let Some(savepoint) = savepoint {
        let target = resolve_live(command, surroundings, reference, &asked)?;
        let directory = target_directory(command, surroundings, savepoint.directory.clone())?;
        return with_savepoint(&target, savepoint, directory, &asked, output);
    }
    let job = match resolve(command, surroundings, reference, &asked)? {
        Resolved::Ended(record) if record.status == JobStatus::Canceled => record.id,
        Resolved::Ended(record) => {
            let wrong = format!("job {} ({}) has ended: {}", record.id, record.name, record.status.as_str());
            return Err(CliError::new(ExitStatus::NoSuchJob, asked, wrong).next("there is nothing left to cancel"));
        }
        Resolved::Live(Target { job, client }) => {
            output.line(format!("Cancelling job {job}."));
            block_on(client.cancel(job))?.map_err(|e| CliError::client(&asked, &e, ExitStatus::Failed))?;
            output.line(format!("Cancelled job {job}."));
            output.result(&job.to_string(), &json!({ "job-id": job.to_string() }));
            return Ok(ExitStatus::Done);
        }
    };
    output.line(format!("Cancelling job {job}."));
    output.line(format!("Cancelled job {job}."));
    output.result(&job, &json!({ "job-id": job }));
    Ok(ExitStatus::Done)
}

fn with_savepoint(
    target: &Target,
    savepoint: &CancelSavepoint,
    directory: Option<String>,
    asked: &str,
    output: &mut Output<'_>,
) -> Result<ExitStatus, CliError> {
    let (job, client) = (target.job, &target.client);
    output.line("DEPRECATION WARNING: Cancelling a job with savepoint is deprecated. Use \"stop\" instead.");
    let shown = savepoint.directory.as_deref().unwrap_or("default savepoint directory");
    output.line(format!("Cancelling job {job} with {} savepoint to {shown}.", savepoint.format.as_str()));
    let trigger =
        SavepointTrigger { target_directory: directory, cancel_job: true, format: savepoint.format, ..SavepointTrigger::default() };
    let result = block_on(async {
        let request = client.trigger_savepoint(job, &trigger).await?;
        client.savepoint_result(job, &request).await
    })?;
    let path = result.map_err(|e| CliError::client(asked, &e, ExitStatus::SavepointFailed))?;
    output.line(format!("Cancelled job {job}. Savepoint stored in {path}."));
    output.result(&path, &json!({ "job-id": job.to_string(), "path": path }));
    Ok(ExitStatus::Done)
}
