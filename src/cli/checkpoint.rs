//! `flink checkpoint [--full] JOB`.

use super::command::Command;
use super::output::{CliError, Output};
use super::surroundings::Surroundings;
use super::target::{block_on, resolve_live};
use crate::error::ExitStatus;
use crate::rest::types::{CheckpointRequest, CheckpointType};
use serde_json::json;

/// Takes a checkpoint now.
pub(super) fn checkpoint(
    command: &Command,
    surroundings: &Surroundings,
    reference: &str,
    full: bool,
    output: &mut Output<'_>,
) -> Result<ExitStatus, CliError> {
    let asked = format!("could not take a checkpoint of job {reference}");
    let target = resolve_live(command, surroundings, reference, &asked)?;
    let job = target.job;
    output.line(format!("Triggering checkpoint for job {job}."));
    output.line("Waiting for response...");
    let checkpoint_type = if full { CheckpointType::Full } else { CheckpointType::Configured };
    let request = CheckpointRequest { checkpoint_type, trigger_id: None };
    let result = block_on(target.client.checkpoint(job, &request))?;
    let id = result.map_err(|e| CliError::client(&asked, &e, ExitStatus::SavepointFailed))?;
    output.line(format!("Checkpoint{} {id} for job {job} completed.", if full { "(FULL)" } else { "" }));
    output.line("You can resume your program from this checkpoint with the run command.");
    output.result(&id.to_string(), &json!({ "job-id": job.to_string(), "checkpoint-id": id.number() }));
    Ok(ExitStatus::Done)
}
