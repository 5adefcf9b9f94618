//! `flink list [-r] [-s] [-a]`: on this machine from the records of jobs, without asking their processes.

use super::command::{Command, Listed};
use super::output::{CliError, Output};
use super::surroundings::Surroundings;
use super::target::{block_on, restore_hint};
use crate::error::ExitStatus;
use crate::rest::client::{Client, ClientError, Endpoint};
use crate::rest::registry::{JobRecord, Registry};
use crate::rest::types::JobOverview;
use crate::types::{JobId, WallTime};
use chrono::{Local, TimeZone};
use serde_json::{Map, Value, json};

const RUNNING: &str = "------------------ Running/Restarting Jobs -------------------";
const SCHEDULED: &str = "----------------------- Scheduled Jobs -----------------------";
const TERMINATED: &str = "---------------------- Terminated Jobs -----------------------";
const END: &str = "--------------------------------------------------------------";

/// One line of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    id: String,
    name: String,
    status: String,
    started: WallTime,
    /// A job of this machine.
    record: Option<JobRecord>,
}

/// Under which heading a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Section {
    Running,
    Scheduled,
    Terminated,
}

impl Row {
    fn of_record(record: JobRecord) -> Self {
        let status = record.shown_status().as_str().to_owned();
        Self { id: record.id.clone(), name: record.name.clone(), status, started: record.started, record: Some(record) }
    }

    fn of_overview(job: JobOverview) -> Self {
        Self { id: job.jid, name: job.name, status: job.state, started: job.start_time, record: None }
    }

    fn section(&self) -> Section {
        match self.status.as_str() {
            "CREATED" | "INITIALIZING" => Section::Scheduled,
            "FINISHED" | "CANCELED" | "FAILED" => Section::Terminated,
            _ => Section::Running,
        }
    }

    /// `22.11.2026 12:52:49 : <id> : <name> (RUNNING)`, in local time.
    fn line(&self) -> String {
        let time = Local.timestamp_millis_opt(self.started.0).earliest();
        let time = time.map_or_else(|| self.started.0.to_string(), |t| t.format("%d.%m.%Y %H:%M:%S").to_string());
        format!("{time} : {} : {} ({})", self.id, self.name, self.status)
    }

    /// What to do about a job whose process is gone.
    fn hint(&self) -> Option<String> {
        let record = self.record.as_ref().filter(|r| r.is_lost())?;
        Some(format!("    its process {} is gone; {}", record.process.pid, restore_hint(record)))
    }

    fn document(&self) -> Value {
        let mut fields = Map::new();
        fields.insert("id".to_owned(), json!(self.id));
        fields.insert("name".to_owned(), json!(self.name));
        fields.insert("status".to_owned(), json!(self.status));
        fields.insert("start-time".to_owned(), json!(self.started));
        if let Some(record) = &self.record {
            fields.insert("lost".to_owned(), json!(record.is_lost()));
            fields.insert("pid".to_owned(), json!(record.process.pid));
            fields.insert("job-file".to_owned(), json!(record.job_file));
            fields.insert("latest".to_owned(), json!(record.latest));
            fields.insert("log-file".to_owned(), json!(record.log_file));
            fields.insert("failure".to_owned(), json!(record.failure));
        }
        Value::Object(fields)
    }
}

/// Lists jobs.
pub(super) fn list(
    command: &Command,
    surroundings: &Surroundings,
    listed: Listed,
    output: &mut Output<'_>,
) -> Result<ExitStatus, CliError> {
    output.line("Waiting for response...");
    let (mut rows, lost) = match &command.cluster {
        Some(endpoint) => (on_cluster(endpoint)?, 0),
        None => here(&surroundings.registry()?, listed)?,
    };
    rows.sort_by(|a, b| (a.started, &a.id).cmp(&(b.started, &b.id)));
    rows.retain(|row| match row.section() {
        Section::Running => listed.running,
        Section::Scheduled => listed.scheduled,
        Section::Terminated => listed.terminated,
    });
    let of = |section: Section| rows.iter().filter(move |row| row.section() == section);
    if listed.running {
        section(RUNNING, "No running jobs.", of(Section::Running), output);
    }
    if listed.scheduled {
        section(SCHEDULED, "No scheduled jobs.", of(Section::Scheduled), output);
    }
    // Without ended jobs Flink says nothing of them.
    if listed.terminated && of(Section::Terminated).next().is_some() {
        section(TERMINATED, "", of(Section::Terminated), output);
    }
    let ids: Vec<&str> = rows.iter().map(|r| r.id.as_str()).collect();
    output.result(&ids.join("\n"), &json!({ "jobs": rows.iter().map(Row::document).collect::<Vec<_>>() }));
    if lost > 0 && !listed.terminated {
        output.note(format!("flink: {lost} job(s) ended without a word; `flink list -a` shows them and how to restore them"));
    }
    Ok(ExitStatus::Done)
}

fn section<'a>(heading: &str, none: &str, rows: impl Iterator<Item = &'a Row>, output: &mut Output<'_>) {
    let mut rows = rows.peekable();
    if rows.peek().is_none() {
        output.line(none);
        return;
    }
    output.line(heading);
    for row in rows {
        output.line(row.line());
        if let Some(hint) = row.hint() {
            output.line(hint);
        }
    }
    output.line(END);
}

fn on_cluster(endpoint: &Endpoint) -> Result<Vec<Row>, CliError> {
    let jobs = block_on(Client::new(endpoint.clone()).jobs())?;
    let jobs = jobs.map_err(|e| CliError::client("could not list the jobs of the cluster", &e, ExitStatus::Failed))?;
    Ok(jobs.jobs.into_iter().map(Row::of_overview).collect())
}

/// The jobs of this machine, and how many of them were lost. Records of jobs that have ended are read only if they are listed: there
/// may be many.
fn here(registry: &Registry, listed: Listed) -> Result<(Vec<Row>, usize), CliError> {
    let records = if listed.terminated { registry.all() } else { registry.with_socket() };
    let unrecorded: Vec<JobId> = registry.sockets().into_iter().filter(|id| !records.iter().any(|r| r.job_id() == Some(*id))).collect();
    let lost = records.iter().filter(|r| r.is_lost()).count();
    let mut rows: Vec<Row> = records.into_iter().map(|record| Row::of_record(registry.with_way_back(record))).collect();
    if !unrecorded.is_empty() {
        rows.extend(block_on(ask(registry, unrecorded))?);
    }
    Ok((rows, lost))
}

/// What jobs without a record say of themselves; those that do not answer are left out.
async fn ask(registry: &Registry, jobs: Vec<JobId>) -> Vec<Row> {
    let mut rows = Vec::new();
    for job in jobs {
        let answer: Result<_, ClientError> = Client::new(Endpoint::Socket(registry.places().socket(job))).jobs().await;
        rows.extend(answer.into_iter().flat_map(|a| a.jobs).map(Row::of_overview));
    }
    rows
}
