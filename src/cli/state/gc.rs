//! `flink state gc`: what no complete checkpoint in a directory needs; shown first, deleted with `--yes`.

use super::table::{lines, size};
use super::{failed, time_text};
use crate::checkpoint::inspect::{InspectError, OrphanKind, orphans};
use crate::checkpoint::path_of_text;
use crate::cli::output::{CliError, Output};
use crate::cli::surroundings::Surroundings;
use crate::error::ExitStatus;
use crate::rest::registry::JobRecord;
use crate::types::{JobId, SystemClock};
use serde_json::{Value, json};
use std::time::Duration;

/// Looks, and maybe deletes.
pub(super) fn gc(
    directory: &str,
    yes: bool,
    age: Duration,
    surroundings: &Surroundings,
    output: &mut Output<'_>,
) -> Result<ExitStatus, CliError> {
    let asked = format!("could not clean up {directory}");
    let path = path_of_text(directory).map_err(|e| CliError::new(ExitStatus::Usage, &asked, e.to_string()))?;
    let path = surroundings.absolute(&path);
    let storage = surroundings.storage();
    let registry = surroundings.registry()?;
    let mut live: Vec<JobId> = registry.all().into_iter().filter(JobRecord::is_live).filter_map(|r| r.job_id()).collect();
    // A socket without a record: nobody knows whether its job lives.
    live.extend(registry.sockets().into_iter().filter(|id| registry.read(*id).is_none()));
    let io = |source| failed(&asked, InspectError::Io { context: asked.clone(), source });
    let found = orphans(&*storage, &path, &live, SystemClock::shared().now(), age);
    let found = found.map_err(|e| CliError::new(ExitStatus::Failed, &asked, e.to_string()))?;
    for remark in &found.remarks {
        output.note(remark);
    }
    let rows: Vec<Vec<String>> = found
        .orphans
        .iter()
        .map(|o| {
            vec![
                o.path.strip_prefix(&path).unwrap_or(&o.path).display().to_string(),
                kind_text(o.kind).to_owned(),
                size(o.bytes.0),
                time_text(o.modified),
            ]
        })
        .collect();
    if !rows.is_empty() {
        for line in lines(&["PATH", "WHAT", "BYTES", "WRITTEN"], &[false, false, true, false], &rows, surroundings.out_width) {
            output.line(line);
        }
        output.line("");
    }
    if yes {
        found.delete(&*storage).map_err(io)?;
    }
    let (count, bytes) = (found.orphans.len(), size(found.bytes().0));
    output.line(match (count, yes) {
        (0, _) => format!("Nothing to delete; {} complete checkpoint(s) and savepoint(s).", found.complete),
        (_, true) => format!("Deleted {count}, {bytes}."),
        (_, false) => format!("{count} may go, {bytes}: nothing was deleted; --yes deletes."),
    });
    let paths: Vec<String> = found.orphans.iter().map(|o| o.path.display().to_string()).collect();
    let documents: Vec<Value> = found
        .orphans
        .iter()
        .map(|o| json!({ "path": o.path, "kind": o.kind, "bytes": o.bytes.0, "modified": time_text(o.modified) }))
        .collect();
    output
        .result(&paths.join("\n"), &json!({ "orphans": documents, "deleted": yes, "complete": found.complete, "remarks": found.remarks }));
    Ok(ExitStatus::Done)
}

fn kind_text(kind: OrphanKind) -> &'static str {
    match kind {
        OrphanKind::Incomplete => "never completed",
        OrphanKind::Temporary => "temporary file",
        OrphanKind::Shared => "named by no checkpoint",
        OrphanKind::Empty => "empty directory of a job",
    }
}
