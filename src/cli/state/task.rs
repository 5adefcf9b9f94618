//! What `flink state …` means: arguments in, a task or a usage error out. Pure.

use super::args::{GcArgs, ImportArgs, SelectArgs, StateAction};
use crate::checkpoint::inspect::{Condition, RowFormat, Selection};
use crate::cli::args::Form;
use crate::cli::command::{JobSource, UsageError, job_source};
use crate::types::parse_duration;
use std::path::PathBuf;
use std::time::Duration;

/// What is to be done with state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StateTask {
    /// `flink state ls`
    Ls {
        /// Which snapshot, or a directory of some.
        path: String,
    },
    /// `flink state show`
    Show {
        /// Which snapshot.
        path: String,
        /// Which states; all without.
        state: Option<String>,
        /// Which rows.
        rows: RowsAsked,
        /// Rows in this format instead of a table or one JSON document.
        format: Option<RowFormat>,
    },
    /// `flink state export`
    Export {
        /// Which snapshot.
        path: String,
        /// Which state.
        state: String,
        /// Which rows.
        rows: RowsAsked,
        /// In which format.
        format: RowFormat,
        /// Into which file.
        to: Option<PathBuf>,
    },
    /// `flink state diff`
    Diff {
        /// The older one.
        before: String,
        /// The newer one.
        after: String,
        /// Which states; all without.
        state: Option<String>,
        /// Rows shown of each state.
        limit: usize,
    },
    /// `flink state verify`
    Verify {
        /// Which snapshot.
        path: String,
    },
    /// `flink state import`
    Import {
        /// The job.
        job: JobSource,
        /// States and their files.
        states: Vec<(String, PathBuf, RowFormat)>,
        /// Where to.
        to: PathBuf,
    },
    /// `flink state seal`
    Seal {
        /// Which snapshot.
        path: String,
    },
    /// `flink state get`, `flink state scan`
    Live(LiveRows),
    /// `flink state gc`
    Gc {
        /// Which directory.
        directory: String,
        /// Delete.
        yes: bool,
        /// What is younger stays.
        age: Duration,
    },
}

/// Rows of a job that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveRows {
    /// The job.
    pub job: String,
    /// `OPERATOR/STATE`
    pub state: String,
    /// Which rows.
    pub selection: Selection,
}

/// Rows of a running job that are asked for unless another number is given.
const LIVE_ROWS: u64 = 100;

/// Which rows, and how they are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowsAsked {
    /// Which ones.
    pub selection: Selection,
    /// With their key groups.
    pub key_groups: bool,
    /// A limit was given (also 0: none).
    pub limited: bool,
}

impl StateTask {
    /// What `action` means. `form`: `-o`.
    pub(in crate::cli) fn new(action: StateAction, form: Form) -> Result<Self, UsageError> {
        let format = match form {
            Form::Csv => Some(RowFormat::Csv),
            Form::Parquet => Some(RowFormat::Parquet),
            Form::Text | Form::Json | Form::Dot => None,
        };
        if format.is_some() && !matches!(action, StateAction::Show(_)) {
            return Err(UsageError::new(
                "-o csv and -o parquet are forms of rows",
                "use them with `flink state show`, or --format with export",
            ));
        }
        Ok(match action {
            StateAction::Ls(ls) => Self::Ls { path: ls.path.path },
            StateAction::Show(show) => {
                if format.is_some() && show.state.is_none() {
                    return Err(UsageError::new("csv and parquet hold the rows of one state", "give OPERATOR/STATE behind the path"));
                }
                Self::Show { path: show.path.path, state: show.state, rows: rows_asked(show.select, show.key_group)?, format }
            }
            StateAction::Export(export) => {
                let format = match &export.format {
                    Some(text) => text.parse().map_err(|message: String| UsageError { message, next: None })?,
                    None => export.to.as_ref().and_then(|file| format_of(file)).unwrap_or(RowFormat::Json),
                };
                let rows = rows_asked(export.select, export.key_group)?;
                Self::Export { path: export.path.path, state: export.state, rows, format, to: export.to }
            }
            StateAction::Diff(diff) => {
                let limit = match diff.limit {
                    None => 20,
                    Some(0) => usize::MAX,
                    Some(n) => usize::try_from(n).unwrap_or(usize::MAX),
                };
                Self::Diff { before: diff.before, after: diff.after, state: diff.state, limit }
            }
            StateAction::Verify(verify) => Self::Verify { path: verify.path.path },
            StateAction::Import(import) => import_task(import)?,
            StateAction::Seal(seal) => Self::Seal { path: seal.path.path },
            StateAction::Get(get) => {
                let select = SelectArgs { keys: get.keys, columns: Vec::new(), limit: get.limit };
                live_task(get.job, get.state, select)?
            }
            StateAction::Scan(scan) => live_task(scan.job, scan.state, scan.select)?,
            StateAction::Gc(gc) => gc_task(gc)?,
        })
    }
}

fn rows_asked(select: SelectArgs, key_groups: bool) -> Result<RowsAsked, UsageError> {
    let conditions = |flag: &str, texts: Vec<String>| {
        let parsed = texts.into_iter().map(|text| text.parse::<Condition>()).collect::<Result<Vec<_>, _>>();
        parsed.map_err(|message| UsageError::new(format!("--{flag}: {message}"), format!("write --{flag} NAME=VALUE")))
    };
    let keys = conditions("key", select.keys)?;
    let columns = conditions("where", select.columns)?;
    let selection = Selection { keys, columns, limit: select.limit.filter(|limit| *limit > 0) };
    Ok(RowsAsked { selection, key_groups, limited: select.limit.is_some() })
}

/// The format that a file's name tells.
fn format_of(file: &std::path::Path) -> Option<RowFormat> {
    file.extension()?.to_str()?.parse().ok()
}

fn import_task(import: ImportArgs) -> Result<StateTask, UsageError> {
    let mut states = Vec::with_capacity(import.states.len());
    for text in import.states {
        let Some((state, file)) = text.split_once('=').filter(|(state, file)| !state.is_empty() && !file.is_empty()) else {
            return Err(UsageError::new(format!("--state {text}: this names no file"), "write --state OPERATOR/STATE=FILE"));
        };
        let file = PathBuf::from(file);
        let Some(format) = format_of(&file) else {
            let message = format!("--state {text}: the name does not tell the file's format");
            return Err(UsageError::new(message, "give a file whose name ends with .parquet, .csv or .json"));
        };
        states.push((state.trim_end_matches('/').to_owned(), file, format));
    }
    Ok(StateTask::Import { job: job_source(import.job)?, states, to: import.to })
}

fn live_task(job: String, state: String, select: SelectArgs) -> Result<StateTask, UsageError> {
    let RowsAsked { mut selection, limited, .. } = rows_asked(select, false)?;
    if !limited {
        selection.limit = Some(LIVE_ROWS);
    }
    Ok(StateTask::Live(LiveRows { job, state, selection }))
}

fn gc_task(gc: GcArgs) -> Result<StateTask, UsageError> {
    let age = parse_duration(&gc.older_than);
    let age = age.map_err(|e| UsageError::new(format!("--older-than {}: {e}", gc.older_than), "write a duration: 30 min, 2 d"))?;
    Ok(StateTask::Gc { directory: gc.directory, yes: gc.yes, age })
}
