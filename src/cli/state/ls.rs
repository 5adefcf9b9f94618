//! `flink state ls`: what is in a snapshot, or which snapshots are in a directory.

use super::table::{lines, size};
use super::{absolute, failed, open, summary, time_text, unreadable};
use crate::checkpoint::inspect::{Form, InspectError, Snapshot, StateRef, snapshots_in};
use crate::checkpoint::{FoundCheckpoint, METADATA, RestoreError, SnapshotKind};
use crate::cli::output::{CliError, Output};
use crate::cli::surroundings::Surroundings;
use crate::error::ExitStatus;
use crate::storage::Storage;
use crate::types::{Schema, format_duration};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

/// Lists.
pub(super) fn ls(path: &str, surroundings: &Surroundings, output: &mut Output<'_>) -> Result<ExitStatus, CliError> {
    let asked = format!("could not list the state in {path}");
    match open(path, &asked, surroundings, output) {
        Ok(snapshot) => {
            one(&snapshot, surroundings, output);
            Ok(ExitStatus::Done)
        }
        Err(error) => {
            let directory = absolute(path, &asked, surroundings, output)?;
            let storage = surroundings.storage();
            let there = |path: &Path| storage.entry(path).ok().flatten();
            if there(&directory).is_some_and(|e| e.is_dir) && there(&directory.join(METADATA)).is_none() {
                return several(&storage, &directory, (&asked, surroundings), output);
            }
            Err(error)
        }
    }
}

fn one(snapshot: &Snapshot, surroundings: &Surroundings, output: &mut Output<'_>) {
    let manifest = snapshot.manifest();
    let states = snapshot.states();
    let files = manifest.files().count();
    let directory = snapshot.directory().map(|d| d.display().to_string()).unwrap_or_default();
    output.line(format!("{} {directory}", kind_text(manifest.kind)));
    output.line(format!("  job              {} ({})", manifest.job.name, manifest.job.id));
    output.line(format!("  checkpoint       {} at {}", manifest.checkpoint_id, time_text(manifest.time)));
    let form = if manifest.is_native() { "native" } else { "canonical" };
    output.line(format!("  format           {form}, version {}, max parallelism {}", manifest.format_version, manifest.max_parallelism));
    output.line(format!("  size             {} in {files} file{}", size(manifest.bytes().0), if files == 1 { "" } else { "s" }));
    output.line("");
    let rows: Vec<Vec<String>> = states.iter().map(row).collect();
    let heads = ["OPERATOR", "STATE", "KIND", "KEY", "VALUE", "ROWS", "BYTES", "TTL"];
    let right = [false, false, false, false, false, true, true, false];
    for line in lines(&heads, &right, &rows, surroundings.out_width) {
        output.line(line);
    }
    let stateless: Vec<&str> = manifest.operators.iter().filter(|o| o.files().next().is_none()).map(|o| o.uid.as_str()).collect();
    if !stateless.is_empty() {
        output.line(format!("\nWithout rows: {}", stateless.join(", ")));
    }
    let mut document = summary(snapshot);
    document["bytes"] = json!(manifest.bytes().0);
    document["operators"] =
        manifest.operators.iter().map(|o| json!({ "uid": o.uid, "kind": o.kind, "parallelism": o.parallelism })).collect();
    document["states"] = states.iter().map(state_document).collect();
    let addresses: Vec<String> = states.iter().map(StateRef::address).collect();
    output.result(&addresses.join("\n"), &document);
}

fn kind_text(kind: SnapshotKind) -> &'static str {
    match kind {
        SnapshotKind::Checkpoint => "Checkpoint",
        SnapshotKind::Savepoint => "Savepoint",
        SnapshotKind::Stop => "Savepoint of a stop",
        SnapshotKind::Drain => "Savepoint of a drained job",
    }
}

fn columns_text(columns: &Schema) -> String {
    columns.columns.iter().map(|c| format!("{} {}", c.name, c.data_type)).collect::<Vec<_>>().join(", ")
}

fn row(state: &StateRef<'_>) -> Vec<String> {
    let (key, value) = match state.descriptor() {
        Some(descriptor) => (columns_text(&descriptor.key), columns_text(&descriptor.value)),
        None => (String::new(), columns_text(&state.columns())),
    };
    let ttl = state.descriptor().and_then(|d| d.ttl).map(|t| format_duration(t.ttl)).unwrap_or_default();
    let kind = if state.form() == Form::Native { format!("{} (native)", state.kind()) } else { state.kind().to_owned() };
    let dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
    vec![
        state.operator.uid.to_string(),
        state.name().to_owned(),
        kind,
        dash(key),
        dash(value),
        state.rows().to_string(),
        size(state.bytes().0),
        dash(ttl),
    ]
}

fn state_document(state: &StateRef<'_>) -> Value {
    let columns = |columns: &Schema| -> Value {
        columns.columns.iter().map(|c| json!({ "name": c.name, "type": c.data_type.to_string() })).collect()
    };
    let (key, value) = match state.descriptor() {
        Some(descriptor) => (columns(&descriptor.key), columns(&descriptor.value)),
        None => (json!([]), columns(&state.columns())),
    };
    json!({
        "state": state.address(),
        "operator": state.operator.uid,
        "name": state.name(),
        "kind": state.kind(),
        "form": if state.form() == Form::Native { "native" } else { "columns" },
        "key": key,
        "value": value,
        "ttl": state.descriptor().and_then(|d| d.ttl).map(|t| format_duration(t.ttl)),
        "rows": state.rows(),
        "bytes": state.bytes().0,
        "files": state.files().iter().map(|f| &f.path).collect::<Vec<_>>(),
    })
}

/// The snapshots in a directory of some.
fn several(
    storage: &Arc<dyn Storage>,
    directory: &Path,
    (asked, surroundings): (&str, &Surroundings),
    output: &mut Output<'_>,
) -> Result<ExitStatus, CliError> {
    let searched = snapshots_in(storage.as_ref(), &[directory.to_owned()]);
    let (found, unread) = searched.map_err(|source| failed(asked, InspectError::Io { context: asked.to_owned(), source }))?;
    if found.is_empty() && unread.is_empty() {
        return Err(unreadable(asked, &RestoreError::NoMetadata(directory.display().to_string())));
    }
    for error in &unread {
        output.note(format!("warning: {error}"));
    }
    output.line(format!("{} checkpoint(s) and savepoint(s) in {}", found.len(), directory.display()));
    output.line("");
    let bytes = |found: &FoundCheckpoint| {
        let opened = Snapshot::open(Arc::clone(storage), &found.path.display().to_string());
        opened.map(|s| s.manifest().bytes().0).unwrap_or_default()
    };
    let (mut rows, mut documents) = (Vec::new(), Vec::new());
    for checkpoint in &found {
        let shown = checkpoint.path.strip_prefix(directory).unwrap_or(&checkpoint.path).display().to_string();
        let (kind, bytes) = (kind_text(checkpoint.kind), bytes(checkpoint));
        let id = checkpoint.id.to_string();
        rows.push(vec![shown, kind.to_owned(), id, time_text(checkpoint.time), checkpoint.job_name.clone(), size(bytes)]);
        documents.push(json!({
            "path": checkpoint.path, "kind": checkpoint.kind, "checkpoint-id": checkpoint.id, "time": time_text(checkpoint.time),
            "job-name": checkpoint.job_name, "job-id": checkpoint.job.to_string(), "bytes": bytes,
        }));
    }
    for line in
        lines(&["NAME", "KIND", "ID", "TIME", "JOB", "BYTES"], &[false, false, true, false, false, true], &rows, surroundings.out_width)
    {
        output.line(line);
    }
    let paths: Vec<String> = found.iter().map(|c| c.path.display().to_string()).collect();
    output.result(&paths.join("\n"), &json!({ "path": directory, "snapshots": documents }));
    Ok(ExitStatus::Done)
}
