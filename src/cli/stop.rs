//! `flink stop [-p DIR] [-d] JOB`.

use super::command::{Command, SavepointHow};
use super::output::{CliError, Output};
use super::savepoint::target_directory;
use super::snapshot_progress::SnapshotProgress;
use super::surroundings::Surroundings;
use super::target::{block_on, resolve_live};
use crate::error::ExitStatus;
use crate::rest::types::StopTrigger;
use serde_json::json;

/// Which job, where the savepoint goes, and whether event time ends first.
#[derive(Debug)]
pub(super) struct Stop<'a> {
    /// The job.
    pub(super) reference: &'a str,
    /// Where to.
    pub(super) directory: Option<String>,
    /// Emit the maximum watermark first.
    pub(super) drain: bool,
    /// How.
    pub(super) how: SavepointHow,
}

/// Stops a job with a savepoint.
pub(super) fn stop(
    command: &Command,
    surroundings: &Surroundings,
    stop: Stop<'_>,
    output: &mut Output<'_>,
) -> Result<ExitStatus, CliError> {
    let Stop { reference, directory, drain, how } = stop;
    let asked = format!("could not stop job {reference} with a savepoint");
    let target = resolve_live(command, surroundings, reference, &asked)?;
    let target_directory = target_directory(command, surroundings, directory)?;
    let (job, client) = (target.job, &target.client);
    let verb = if drain { "Draining" } else { "Suspending" };
    output.line(format!("{verb} job \"{job}\" with a {} savepoint.", how.format.as_str()));
    if how.detached {
        output.line(format!("Triggering stop-with-savepoint in detached mode for job {job}."));
    } else {
        output.line(format!("Triggering stop-with-savepoint for job {job}."));
        output.line("Waiting for response...");
    }
    let trigger = StopTrigger { target_directory, drain, format: how.format, trigger_id: None, timeout_millis: how.timeout_millis() };
    let progress = SnapshotProgress::new(command.style, surroundings);
    let result = block_on(async {
        let request = client.trigger_stop(job, &trigger).await?;
        if how.detached { Ok(request) } else { progress.watch(client, job, client.savepoint_result(job, &request)).await }
    })?;
    let text = result.map_err(|e| CliError::client(&asked, &e, ExitStatus::SavepointFailed))?;
    if how.detached {
        output.line(format!("Successfully trigger stop-with-savepoint, triggerId: {text}"));
        output.result(&text, &json!({ "job-id": job.to_string(), "trigger-id": text }));
    } else {
        output.line(format!("Savepoint completed. Path: {text}"));
        output.result(&text, &json!({ "job-id": job.to_string(), "path": text }));
    }
    Ok(ExitStatus::Done)
}
