//! `flink state get` and `flink state scan`: rows of a running job's state, at a consistent point.

use super::table::{Table, is_number, plain};
use super::task::LiveRows;
use crate::cli::command::Command;
use crate::cli::output::{CliError, Output};
use crate::cli::surroundings::Surroundings;
use crate::cli::target::{block_on, resolve_live};
use crate::error::ExitStatus;
use crate::rest::client::ClientError;
use crate::rest::rows::RowsRequest;
use crate::types::LogicalType;
use serde_json::Value;

/// Asks the job.
pub(super) fn live(
    command: &Command,
    asked: &LiveRows,
    surroundings: &Surroundings,
    output: &mut Output<'_>,
) -> Result<ExitStatus, CliError> {
    let LiveRows { job, state, selection } = asked;
    let what = format!("could not look into state {state} of job {job}");
    let target = resolve_live(command, surroundings, job, &what)?;
    let request = RowsRequest { state: state.clone(), selection: selection.clone() };
    let answer = block_on(target.client.rows(target.job, &request))?.map_err(|e| refused(&what, &e))?;
    if output.style().json {
        output.document(&answer);
        return Ok(ExitStatus::Done);
    }
    let list = |key: &str| answer[key].as_array().cloned().unwrap_or_default();
    let (columns, rows) = (list("columns"), list("rows"));
    let names: Vec<String> = columns.iter().map(|c| text(&c["name"])).collect();
    let number = |column: &Value| column["type"].as_str().and_then(|t| t.parse::<LogicalType>().ok()).is_some_and(|t| is_number(&t.kind));
    let right = columns.iter().map(number).collect();
    let cells: Vec<Vec<String>> = rows.iter().map(|row| names.iter().map(|name| text(&row[name])).collect()).collect();
    output.line(format!("{} ({})", text(&answer["state"]), text(&answer["kind"])));
    let mut table = Table::new(names, right, surroundings.out_width);
    table.fit(&cells);
    output.line(table.head());
    for row in &cells {
        output.line(table.line(row));
    }
    if cells.is_empty() {
        output.line("(no rows)");
    }
    if selection.limit.is_some_and(|limit| cells.len() as u64 == limit) {
        output.line(format!("… these are the first {}; --limit 0 asks for all", cells.len()));
    }
    Ok(ExitStatus::Done)
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => plain(text.clone()),
        other => other.to_string(),
    }
}

/// A question that does not fit is the person's mistake; anything else is the job's.
fn refused(asked: &str, error: &ClientError) -> CliError {
    match error {
        ClientError::Refused { status: 400, messages } => {
            let message = messages.join(": ");
            let (wrong, next) = message.split_once("; ").map_or((message.as_str(), None), |(wrong, next)| (wrong, Some(next)));
            let error = CliError::new(ExitStatus::Usage, asked, wrong);
            next.map_or_else(|| error.clone(), |next| error.clone().next(next))
        }
        other => CliError::client(asked, other, ExitStatus::SavepointFailed),
    }
}
