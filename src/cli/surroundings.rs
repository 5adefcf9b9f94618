//! What the process finds around itself, as a value: so that a test can put a command anywhere.

use super::output::CliError;
use crate::error::ExitStatus;
use crate::operator::process::Functions;
use crate::rest::registry::{Places, Registry};
use crate::storage::LocalStorage;
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::PathBuf;

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
        Ok(Registry::new(places, LocalStorage::shared()))
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
