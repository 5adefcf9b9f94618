//! `flink state show` and `flink state export`: the rows of states, as a table, as one JSON document, or in a file. Rows are printed as
//! they are read.

use super::table::{Table, is_number, plain};
use super::task::RowsAsked;
use super::{failed, open_rows, summary};
use crate::checkpoint::inspect::{InspectError, RowEncoder, RowFormat, Rows, Selection, Snapshot, StateRef};
use crate::cli::output::{CliError, Output};
use crate::cli::surroundings::Surroundings;
use crate::error::ExitStatus;
use crate::format::print::cell_texts;
use crate::storage::{LocalStorage, Storage, WriteFile};
use crate::types::{Batch, Schema};
use arrow::array::RecordBatch;
use serde_json::json;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Rows of a table for a person, unless another number is given.
const TABLE_ROWS: u64 = 100;

/// Bytes that are collected before they are written.
const CHUNK: usize = 64 << 10;

/// Shows rows.
pub(super) fn show(
    path: &str,
    state: Option<&str>,
    asked_rows: &RowsAsked,
    surroundings: &Surroundings,
    output: &mut Output<'_>,
) -> Result<ExitStatus, CliError> {
    let asked = format!("could not show the state in {path}");
    let snapshot = open_rows(path, &asked, surroundings, output)?;
    let states = match state {
        Some(state) => snapshot.find(state).map_err(|e| failed(&asked, e))?,
        None => snapshot.states(),
    };
    let shown = if output.style().json {
        documents(&snapshot, &states, asked_rows, output)
    } else {
        tables(&snapshot, &states, asked_rows, surroundings.out_width, output)
    };
    shown.map_err(|e| failed(&asked, e))?;
    Ok(ExitStatus::Done)
}

/// The rows of one state that are asked for.
fn rows_of<'a>(snapshot: &'a Snapshot, state: StateRef<'a>, asked: &RowsAsked, limit: Option<u64>) -> Result<Rows<'a>, InspectError> {
    let selection = Selection { limit, ..asked.selection.clone() };
    snapshot.rows(state, &selection, asked.key_groups)
}

fn tables(
    snapshot: &Snapshot,
    states: &[StateRef<'_>],
    asked: &RowsAsked,
    width: Option<usize>,
    output: &mut Output<'_>,
) -> Result<(), InspectError> {
    let limit = if asked.limited { asked.selection.limit } else { Some(TABLE_ROWS) };
    for (number, state) in states.iter().enumerate() {
        // One more tells whether there are more.
        let rows = match rows_of(snapshot, *state, asked, limit.map(|l| l.saturating_add(1))) {
            Ok(rows) => rows,
            Err(InspectError::Asked { message, .. }) if states.len() > 1 => {
                output.note(format!("{}: not shown: {message}", state.address()));
                continue;
            }
            Err(error) => return Err(error),
        };
        if number > 0 {
            output.line("");
        }
        output.line(format!("{} ({})", state.address(), state.kind()));
        let more = table(rows, limit.unwrap_or(u64::MAX), width, output)?;
        if more {
            output.line(format!("… and more rows; --limit 0 shows all of them ({} in the state)", state.rows()));
        }
    }
    Ok(())
}

/// Prints the rows of one state; true if there are more than the limit.
fn table(rows: Rows<'_>, limit: u64, width: Option<usize>, output: &mut Output<'_>) -> Result<bool, InspectError> {
    let columns = rows.columns();
    let heads: Vec<String> = columns.columns.iter().map(|c| c.name.clone()).collect();
    let right = columns.columns.iter().map(|c| is_number(&c.data_type.kind)).collect();
    let mut table = Table::new(heads, right, width);
    let (mut printed, mut begun) = (0, false);
    for batch in rows {
        let texts = texts(&batch?)?;
        if !begun {
            table.fit(&texts);
            output.line(table.head());
            begun = true;
        }
        for row in &texts {
            if printed == limit {
                return Ok(true);
            }
            printed += 1;
            output.line(table.line(row));
        }
        if output.is_broken() {
            return Ok(false);
        }
    }
    if !begun {
        output.line(table.head());
        output.line("(no rows)");
    }
    Ok(false)
}

fn texts(batch: &RecordBatch) -> Result<Vec<Vec<String>>, InspectError> {
    let unwritable = |e: crate::format::FormatError| InspectError::Asked { message: e.to_string(), next: Some("use -o json".to_owned()) };
    let rows = cell_texts(&Batch::append(batch.clone()), 0..batch.num_rows()).map_err(unwritable)?;
    Ok(rows.into_iter().map(|row| row.into_iter().map(plain).collect()).collect())
}

/// One document, written as the rows come: `{…, "states": [{…, "rows": [{…}, …]}]}`.
fn documents(snapshot: &Snapshot, states: &[StateRef<'_>], asked: &RowsAsked, output: &mut Output<'_>) -> Result<(), InspectError> {
    // Whatever is wrong with the question is said before the document begins.
    let mut chosen = Vec::new();
    for state in states {
        match rows_of(snapshot, *state, asked, asked.selection.limit) {
            Ok(rows) => chosen.push((state, RowEncoder::new(RowFormat::Json, &rows.columns())?, rows)),
            Err(InspectError::Asked { .. }) if states.len() > 1 => {}
            Err(error) => return Err(error),
        }
    }
    let mut out = serde_json::to_vec(&summary(snapshot)).unwrap_or_else(|_| b"{}".to_vec());
    out.pop();
    out.extend_from_slice(b",\"states\":[");
    for (number, (state, mut encoder, rows)) in chosen.into_iter().enumerate() {
        let columns = columns_document(&rows.columns());
        let mut head = json!({ "state": state.address(), "kind": state.kind(), "columns": columns }).to_string();
        // The object stays open for its rows.
        head.pop();
        out.extend_from_slice(if number > 0 { b",\n" } else { b"\n" });
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(b",\"rows\":[");
        let mut first = true;
        for batch in rows {
            let mut lines = Vec::new();
            encoder.encode(&batch?, &mut lines)?;
            for line in lines.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
                out.extend_from_slice(if first { b"\n" } else { b",\n" });
                first = false;
                out.extend_from_slice(line);
            }
            if out.len() > CHUNK && !output.bytes(&std::mem::take(&mut out)) {
                return Ok(());
            }
        }
        out.extend_from_slice(b"]}");
    }
    out.extend_from_slice(b"]}\n");
    output.bytes(&out);
    Ok(())
}

fn columns_document(columns: &Schema) -> Vec<serde_json::Value> {
    columns.columns.iter().map(|c| json!({ "name": c.name, "type": c.data_type.to_string() })).collect()
}

/// What is exported, and where to.
pub(super) struct Export<'a> {
    pub(super) path: &'a str,
    pub(super) state: &'a str,
    pub(super) rows: &'a RowsAsked,
    pub(super) format: RowFormat,
    pub(super) to: Option<&'a Path>,
}

/// Exports rows.
pub(super) fn export(export: &Export<'_>, surroundings: &Surroundings, output: &mut Output<'_>) -> Result<ExitStatus, CliError> {
    let asked = format!("could not export state {} of {}", export.state, export.path);
    let snapshot = open_rows(export.path, &asked, surroundings, output)?;
    let state = snapshot.find_one(export.state).map_err(|e| failed(&asked, e))?;
    let rows = rows_of(&snapshot, state, export.rows, export.rows.selection.limit).map_err(|e| failed(&asked, e))?;
    let Some(to) = export.to else {
        if export.format == RowFormat::Parquet && surroundings.out_width.is_some() {
            let error = CliError::new(ExitStatus::Usage, &asked, "Parquet is not for terminals");
            return Err(error.next("give --to FILE, or send standard output into a file"));
        }
        let mut sink = |bytes: &[u8]| Ok(output.bytes(bytes));
        write(rows, export.format, &mut sink).map_err(|e| failed(&asked, e))?;
        return Ok(ExitStatus::Done);
    };
    let file = surroundings.working_dir.join(to);
    let written = into_file(rows, export.format, &file).map_err(|e| failed(&asked, e))?;
    output.line(format!("{} rows of {} are in {}", written, state.address(), file.display()));
    output.result(&file.display().to_string(), &json!({ "state": state.address(), "rows": written, "file": file }));
    Ok(ExitStatus::Done)
}

/// Writes rows until there are no more or `sink` wants none; returns how many.
fn write(rows: Rows<'_>, format: RowFormat, sink: &mut dyn FnMut(&[u8]) -> Result<bool, InspectError>) -> Result<u64, InspectError> {
    let mut encoder = RowEncoder::new(format, &rows.columns())?;
    let (mut out, mut count) = (Vec::new(), 0);
    for batch in rows {
        let batch = batch?;
        encoder.encode(&batch, &mut out)?;
        count += batch.num_rows() as u64;
        if out.len() > CHUNK {
            if !sink(&out)? {
                return Ok(count);
            }
            out.clear();
        }
    }
    encoder.finish(&mut out)?;
    sink(&out)?;
    Ok(count)
}

/// The whole file or none: a temporary one is written beside it and renamed.
fn into_file(rows: Rows<'_>, format: RowFormat, file: &Path) -> Result<u64, InspectError> {
    let io = |source| InspectError::Io { context: "writing the export".to_owned(), source };
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    let temporary: PathBuf = file.with_file_name(name);
    let storage = LocalStorage;
    let mut target: Box<dyn WriteFile> = storage.create(&temporary).map_err(io)?;
    let written = write(rows, format, &mut |bytes| target.write_all(bytes).map(|()| true).map_err(io));
    let written = written.and_then(|count| target.sync().and_then(|()| storage.rename(&temporary, file)).map(|()| count).map_err(io));
    written.inspect_err(|_| {
        // The error that is reported is the first one.
        let _ = storage.remove(&temporary);
    })
}
