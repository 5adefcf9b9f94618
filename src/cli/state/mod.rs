//! `flink state …`: looking into savepoints and checkpoints, editing and building them. What is done is [`crate::checkpoint::inspect`]'s
//! business; here are the texts.

pub mod args;
mod check;
mod diff;
mod gc;
mod import;
mod live;
mod ls;
mod scratch;
mod show;
mod table;
pub mod task;

use super::command::Command;
use super::output::{CliError, Output};
use super::surroundings::Surroundings;
use crate::checkpoint::inspect::{InspectError, Snapshot, snapshots_in};
use crate::checkpoint::{FoundCheckpoint, RestoreError, path_of_text};
use crate::error::ExitStatus;
use crate::rest::registry::{JobRecord, Registry};
use crate::storage::Storage;
use crate::types::WallTime;
use chrono::{DateTime, SecondsFormat};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use task::StateTask;

/// Carries out `flink state …`.
pub(super) fn state(
    command: &Command,
    task: &StateTask,
    surroundings: &Surroundings,
    output: &mut Output<'_>,
) -> Result<ExitStatus, CliError> {
    match task {
        StateTask::Live(rows) => live::live(command, rows, surroundings, output),
        StateTask::Ls { path } => ls::ls(path, surroundings, output),
        StateTask::Show { path, state, rows, format: None } => show::show(path, state.as_deref(), rows, surroundings, output),
        StateTask::Show { path, state, rows, format: Some(format) } => {
            let export = show::Export { path, state: state.as_deref().unwrap_or_default(), rows, format: *format, to: None };
            show::export(&export, surroundings, output)
        }
        StateTask::Export { path, state, rows, format, to } => {
            let export = show::Export { path, state, rows, format: *format, to: to.as_deref() };
            show::export(&export, surroundings, output)
        }
        StateTask::Diff { before, after, state, limit } => diff::compare((before, after), state.as_deref(), *limit, surroundings, output),
        StateTask::Verify { path } => check::verify(path, surroundings, output),
        StateTask::Seal { path } => check::seal(path, surroundings, output),
        StateTask::Import { job, states, to } => import::import(job, states, to, surroundings, output),
        StateTask::Gc { directory, yes, age } => gc::gc(directory, *yes, *age, surroundings, output),
    }
}

/// Opens the snapshot that `path` names; says which it is if that is not what was written.
fn open(path: &str, asked: &str, surroundings: &Surroundings, output: &mut Output<'_>) -> Result<Snapshot, CliError> {
    let path = absolute(path, asked, surroundings, output)?;
    let storage = surroundings.storage();
    let opened = Snapshot::open(Arc::clone(&storage), &path.display().to_string());
    opened.map_err(|e| match &e {
        RestoreError::NoMetadata(_) => beside(unreadable(asked, &e), &path, &*storage),
        _ => unreadable(asked, &e),
    })
}

/// The same for somebody who reads its rows.
fn open_rows(path: &str, asked: &str, surroundings: &Surroundings, output: &mut Output<'_>) -> Result<Snapshot, CliError> {
    Ok(scratch::with_scratch(open(path, asked, surroundings, output)?, surroundings))
}

/// The path of a snapshot, absolute: `latest` and `latest:JOB` are looked up.
fn absolute(path: &str, asked: &str, surroundings: &Surroundings, output: &mut Output<'_>) -> Result<PathBuf, CliError> {
    let job = match path.strip_prefix("latest") {
        Some("") => None,
        Some(rest) if rest.starts_with(':') => Some(&rest[1..]),
        _ => return Ok(surroundings.absolute(&path_of_text(path).map_err(|e| unreadable(asked, &e))?)),
    };
    // A directory that is called so is what is meant.
    if job.is_none() && surroundings.working_dir.join(path).exists() {
        return Ok(surroundings.working_dir.join(path));
    }
    let registry = surroundings.registry()?;
    let found = newest(&registry, job, (asked, &*surroundings.storage()), output)?;
    output.note(format!(
        "{path} is {} (checkpoint {} of job {}, {})",
        found.path.display(),
        found.id,
        found.job_name,
        time_text(found.time)
    ));
    Ok(found.path)
}

/// The newest complete checkpoint or savepoint of this machine's jobs, or of the jobs with this name or id.
fn newest(
    registry: &Registry,
    job: Option<&str>,
    (asked, storage): (&str, &dyn Storage),
    output: &mut Output<'_>,
) -> Result<FoundCheckpoint, CliError> {
    let records = registry.all();
    let mut directories = directories_of(&records);
    directories.extend([registry.places().checkpoints(), registry.places().savepoints()]);
    directories.sort_unstable();
    directories.dedup();
    let failed = |e: std::io::Error| CliError::new(ExitStatus::NotRestorable, asked, e.to_string());
    let (found, unread) = snapshots_in(storage, &directories).map_err(failed)?;
    for error in &unread {
        output.note(format!("warning: {error}"));
    }
    let wanted = |found: &FoundCheckpoint| job.is_none_or(|job| found.job_name == job || found.job.to_string().starts_with(job));
    found.into_iter().rfind(wanted).ok_or_else(|| {
        let whose = job.map_or_else(String::new, |job| format!(" of a job \"{job}\""));
        let wrong = format!("no complete checkpoint or savepoint{whose} is known");
        CliError::new(ExitStatus::NotRestorable, asked, wrong).next("give the path of one; `flink list -a` shows what is known of jobs")
    })
}

/// Where these jobs have left checkpoints and savepoints.
fn directories_of(records: &[JobRecord]) -> Vec<PathBuf> {
    let points = records.iter().flat_map(|r| [&r.latest, &r.latest_savepoint]).flatten().filter_map(|p| p.path.parent());
    let own = records.iter().filter_map(|r| r.checkpoint_dir.as_deref());
    points.chain(own).map(Path::to_owned).collect()
}

/// A snapshot that cannot be read, with what there is in its place.
fn unreadable(asked: &str, error: &RestoreError) -> CliError {
    let made = CliError::new(ExitStatus::NotRestorable, asked, error.to_string()).caused_by(error);
    match error {
        RestoreError::NotFound(_) => {
            made.next("give the directory of a savepoint or checkpoint; `flink list -a` shows what is known of jobs")
        }
        _ => made,
    }
}

/// The same error with the snapshots that the directory holds, if it holds any.
fn beside(made: CliError, directory: &Path, storage: &dyn Storage) -> CliError {
    let inside = snapshots_in(storage, &[directory.to_owned()]).map(|(found, _)| found).unwrap_or_default();
    match inside.last() {
        Some(newest) => made.next(format!("it holds {} of them, the newest is {}", inside.len(), newest.path.display())),
        None => made,
    }
}

/// An error with the exit code that it stands for.
fn failed(asked: &str, error: InspectError) -> CliError {
    let status = match &error {
        InspectError::Snapshot(error) => return unreadable(asked, error),
        InspectError::Unsound(_) => ExitStatus::NotRestorable,
        InspectError::Asked { .. } => ExitStatus::Usage,
        InspectError::Input { .. } | InspectError::Write(_) | InspectError::Unanswered(_) | InspectError::Io { .. } => ExitStatus::Failed,
    };
    let made = CliError::new(status, asked, error.to_string()).caused_by(&error);
    match error {
        InspectError::Asked { next: Some(next), .. } => made.next(next),
        _ => made,
    }
}

/// `2013-07-01T00:00:00.000Z`
fn time_text(time: WallTime) -> String {
    let time_of_day = DateTime::from_timestamp_millis(time.0);
    time_of_day.map_or_else(|| time.0.to_string(), |t| t.to_rfc3339_opts(SecondsFormat::Millis, true))
}

/// What a snapshot is, as every document has it.
fn summary(snapshot: &Snapshot) -> Value {
    let manifest = snapshot.manifest();
    json!({
        "path": snapshot.directory(),
        "kind": manifest.kind,
        "job-name": manifest.job.name,
        "job-id": manifest.job.id.to_string(),
        "checkpoint-id": manifest.checkpoint_id,
        "time": time_text(manifest.time),
        "format": if manifest.is_native() { "native" } else { "canonical" },
        "format-version": manifest.format_version,
        "max-parallelism": manifest.max_parallelism,
    })
}
