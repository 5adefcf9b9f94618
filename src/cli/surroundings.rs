//! What the process finds around itself, as a value: so that a test can put a command anywhere.

use super::output::CliError;
use crate::error::ExitStatus;
use crate::operator::process::Functions;
use crate::rest::registry::{Places, Registry};
use crate::storage::{RoutedStorage, S3Settings, Storage};
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Environment, working directory, terminal.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// The environment; what is no UTF-8 is left out.
    pub variables: BTreeMap<String, String>,
    /// Where relative paths start.
    pub working_dir: PathBuf,
    /// True if standard error is a terminal.
    pub err_is_terminal: bool,
    /// The number of characters of a line on standard output, if that is a terminal.
    pub out_width: Option<usize>,
    /// This program.
    pub program: Option<PathBuf>,
    /// The command line as it was written, without the program's name.
    pub words: Vec<std::ffi::OsString>,
    /// What `function = "…"` in a job may call.
    pub functions: Functions,
}

impl Surroundings {
    /// Those of this process, which brings these functions along.
    pub fn of_process(functions: Functions) -> Self {
        Self {
            variables: std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))).collect(),
            working_dir: std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/")),
            err_is_terminal: std::io::stderr().is_terminal(),
            out_width: terminal_width(),
            program: std::env::current_exe().ok(),
            words: std::env::args_os().skip(1).collect(),
            functions,
        }
    }

    /// A variable of the environment.
    pub fn variable(&self, name: &str) -> Option<String> {
        self.variables.get(name).cloned()
    }

    /// Files, and buckets as the environment says.
    pub fn storage(&self) -> Arc<dyn Storage> {
        self.storage_of(&S3Settings::default())
    }

    /// Files, and buckets as a job says, and the environment where that says nothing.
    pub fn storage_of(&self, settings: &S3Settings) -> Arc<dyn Storage> {
        RoutedStorage::shared(settings.clone(), self.variables.clone())
    }

    /// A location as it is meant: relative paths start at the working directory.
    pub fn absolute(&self, location: &Path) -> PathBuf {
        crate::storage::absolute(&self.working_dir, location)
    }

    /// The records of this user's jobs.
    pub fn registry(&self) -> Result<Registry, CliError> {
        let places = Places::from_environment(|name| self.variable(name), &self.working_dir).ok_or_else(|| {
            CliError::new(
                ExitStatus::Failed,
                "where jobs are recorded is not known",
                "neither FLINK_STATE_DIR nor XDG_STATE_HOME nor HOME is set",
            )
            .next("set FLINK_STATE_DIR to a directory of your own")
        })?;
        Ok(Registry::new(places, self.storage()))
    }
}

/// The width of the terminal that standard output is.
fn terminal_width() -> Option<usize> {
    if !std::io::stdout().is_terminal() {
        return None;
    }
    // A terminal that does not say how wide it is counts as one of the usual width.
    let columns = rustix::termios::tcgetwinsize(std::io::stdout()).map_or(0, |size| usize::from(size.ws_col));
    Some(if columns == 0 { 80 } else { columns })
}
