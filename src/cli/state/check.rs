//! `flink state verify` and `flink state seal`: is a snapshot sound, and what another tool has made of it.

use super::{failed, open, open_rows};
use crate::checkpoint::inspect::{Sealed, Verified, seal as seal_snapshot, verify as verify_snapshot};
use crate::cli::output::{CliError, Output};
use crate::cli::surroundings::Surroundings;
use crate::error::ExitStatus;
use serde_json::{Value, json};

/// Verifies.
pub(super) fn verify(path: &str, surroundings: &Surroundings, output: &mut Output<'_>) -> Result<ExitStatus, CliError> {
    let asked = format!("could not verify {path}");
    let snapshot = open_rows(path, &asked, surroundings, output)?;
    let Verified { files, rows, defects } = verify_snapshot(&snapshot).map_err(|e| failed(&asked, e))?;
    let list: Vec<Value> =
        defects.list.iter().map(|d| json!({ "file": d.path, "row": d.row, "what": d.what, "more-rows": d.more })).collect();
    let sound = list.is_empty();
    output.result("", &json!({ "path": snapshot.directory(), "sound": sound, "files": files, "rows": rows, "defects": list }));
    if sound {
        output.line(format!("{path} is sound: {files} files, {rows} rows."));
        return Ok(ExitStatus::Done);
    }
    if output.style().json {
        return Ok(ExitStatus::NotRestorable);
    }
    let error = CliError::new(ExitStatus::NotRestorable, format!("{path} is not sound"), defects.to_string());
    Err(error.next("restore from another checkpoint; if its files were edited on purpose, `flink state seal` checks and records them"))
}

/// Seals.
pub(super) fn seal(path: &str, surroundings: &Surroundings, output: &mut Output<'_>) -> Result<ExitStatus, CliError> {
    let asked = format!("{path} was not sealed");
    let snapshot = open(path, &asked, surroundings, output)?;
    let sealed = seal_snapshot(&snapshot).map_err(|e| failed(&asked, e))?;
    for (file, before, now) in &sealed.changed {
        let before = before.map_or_else(|| "not recorded".to_owned(), |rows| rows.to_string());
        output.line(format!("  {file}: rows {before} → {now}"));
    }
    output.line(match sealed.changed.len() {
        0 => format!("Nothing has changed in {path}."),
        changed => format!("Sealed {path}: {changed} of {} files have changed.", sealed.files),
    });
    let Sealed { path, changed, files } = sealed;
    let changed: Vec<Value> =
        changed.iter().map(|(file, before, now)| json!({ "file": file, "rows-before": before, "rows": now })).collect();
    output.result(&path.display().to_string(), &json!({ "path": path, "files": files, "changed": changed }));
    Ok(ExitStatus::Done)
}
