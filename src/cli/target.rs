//! From a job reference to somebody who can be asked: a job's process on this machine, or a cluster.

use super::command::Command;
use super::output::CliError;
use super::surroundings::Surroundings;
use crate::error::ExitStatus;
use crate::rest::client::{Client, Endpoint};
use crate::rest::registry::{Found, JobRecord};
use crate::storage::is_remote;
use crate::types::JobId;
use std::future::Future;

/// A job, and the way to it.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// The job.
    pub(super) job: JobId,
    /// The way to it.
    pub(super) client: Client,
}

/// What a job reference stands for.
#[derive(Debug)]
pub(super) enum Resolved {
    /// It may be asked.
    Live(Target),
    /// It has ended, as its record says.
    Ended(Box<JobRecord>),
}

/// Runs what must wait on a runtime of its own.
pub(super) fn block_on<T>(future: impl Future<Output = T>) -> Result<T, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| CliError::new(ExitStatus::Failed, "the client could not be started", e.to_string()))?;
    Ok(runtime.block_on(future))
}

/// The job that `reference` stands for. `asked`: what it is for, for messages.
pub(super) fn resolve(command: &Command, surroundings: &Surroundings, reference: &str, asked: &str) -> Result<Resolved, CliError> {
    match &command.cluster {
        Some(endpoint) => resolve_on_cluster(endpoint, reference, asked).map(Resolved::Live),
        None => resolve_here(surroundings, reference, asked),
    }
}

/// The job that `reference` stands for, which must not have ended.
pub(super) fn resolve_live(command: &Command, surroundings: &Surroundings, reference: &str, asked: &str) -> Result<Target, CliError> {
    match resolve(command, surroundings, reference, asked)? {
        Resolved::Live(target) => Ok(target),
        Resolved::Ended(record) => {
            let wrong = format!("job {} ({}) has ended: {}", record.id, record.name, record.status.as_str());
            Err(CliError::new(ExitStatus::NoSuchJob, asked, wrong).next("`flink list` shows the jobs that run"))
        }
    }
}

fn resolve_here(surroundings: &Surroundings, reference: &str, asked: &str) -> Result<Resolved, CliError> {
    let registry = surroundings.registry()?;
    let record = match registry.find(reference) {
        Found::One(record) => record,
        Found::Several(records) => return Err(ambiguous(asked, reference, records.iter().map(|r| (r.id.as_str(), r.name.as_str())))),
        Found::None => {
            // A job of this id may be served without a record (a state directory that was emptied).
            if let Some(job) = reference.parse::<JobId>().ok().filter(|job| registry.places().socket(*job).exists()) {
                return Ok(Resolved::Live(Target { job, client: Client::new(Endpoint::Socket(registry.places().socket(job))) }));
            }
            return Err(no_such_job(asked, reference));
        }
    };
    let Some(job) = record.job_id() else { return Err(no_such_job(asked, reference)) };
    if record.is_lost() {
        return Err(lost(asked, &registry.with_way_back(*record)));
    }
    if record.status.is_terminal() {
        return Ok(Resolved::Ended(record));
    }
    Ok(Resolved::Live(Target { job, client: Client::new(Endpoint::Socket(registry.places().socket(job))) }))
}

fn resolve_on_cluster(endpoint: &Endpoint, reference: &str, asked: &str) -> Result<Target, CliError> {
    let client = Client::new(endpoint.clone());
    if let Ok(job) = reference.parse::<JobId>() {
        return Ok(Target { job, client });
    }
    let jobs = block_on(client.jobs())?.map_err(|e| CliError::client(asked, &e, ExitStatus::Failed))?.jobs;
    let ended = |state: &str| matches!(state, "FINISHED" | "CANCELED" | "FAILED");
    let prefix = reference.to_ascii_lowercase();
    let live = jobs.iter().filter(|j| !ended(&j.state));
    let mut found: Vec<_> = live.clone().filter(|j| j.name == reference).collect();
    if found.is_empty() {
        found = live.filter(|j| j.jid.starts_with(&prefix)).collect();
    }
    match found.as_slice() {
        [job] => Ok(Target { job: job.jid.parse().map_err(|_| no_such_job(asked, reference))?, client }),
        [] => Err(no_such_job(asked, reference)),
        several => Err(ambiguous(asked, reference, several.iter().map(|j| (j.jid.as_str(), j.name.as_str())))),
    }
}

fn no_such_job(asked: &str, reference: &str) -> CliError {
    let error = CliError::new(ExitStatus::NoSuchJob, asked, format!("there is no job with the id, prefix or name \"{reference}\""));
    error.next("`flink list -a` shows all jobs")
}

fn ambiguous<'a>(asked: &str, reference: &str, found: impl Iterator<Item = (&'a str, &'a str)>) -> CliError {
    let shown: Vec<String> = found.take(4).map(|(id, name)| format!("{id} ({name})")).collect();
    let error = CliError::new(ExitStatus::Usage, asked, format!("\"{reference}\" stands for several jobs: {}", shown.join(", ")));
    error.next("give the whole id")
}

/// A job whose process is gone: how to go on from its newest checkpoint.
fn lost(asked: &str, record: &JobRecord) -> CliError {
    let wrong = format!("the process {} of job {} ({}) is gone", record.process.pid, record.id, record.name);
    let error = CliError::new(ExitStatus::Unreachable, asked, wrong);
    error.next(restore_hint(record))
}

/// How to go on from a job's newest checkpoint.
pub(super) fn restore_hint(record: &JobRecord) -> String {
    let file = record.job_file.display();
    match &record.latest {
        // A newer one may be there, which only the job's own settings can look for.
        Some(point) if is_remote(&point.path) => format!("restore it with: flink run -s latest {file}"),
        Some(point) => format!("restore it with: flink run -s {} {file}", point.path.display()),
        None => format!("it has no complete checkpoint; start it anew with: flink run {file}"),
    }
}
