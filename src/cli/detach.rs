//! `flink run -d`: the same program again, in a session of its own. The child says through a pipe (its standard output at first) when
//! the job runs, or why it does not; then its standard output is its log.

use super::output::CliError;
use super::surroundings::Surroundings;
use crate::error::ExitStatus;
use crate::rest::registry::Registry;
use crate::types::JobId;
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What the child says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Report {
    /// The job runs.
    Running {
        /// `pipeline.name`
        name: String,
        /// Warnings about the job file and the like.
        notes: String,
    },
    /// It does not.
    Failed(CliError),
}

/// A job that runs in a process of its own.
#[derive(Debug)]
pub(super) struct Detached {
    /// Its name.
    pub(super) name: String,
    /// What the child had to remark.
    pub(super) notes: String,
    /// Its process.
    pub(super) pid: u32,
    /// What it prints.
    pub(super) log: PathBuf,
}

/// The words for the child: the same, and who it is.
fn child_words(words: &[OsString], job: JobId) -> Vec<OsString> {
    let mut words = words.to_vec();
    let at = words.iter().position(|w| w == "run").map_or(words.len(), |at| at + 1);
    words.splice(at..at, ["--detached-as".into(), job.to_string().into()]);
    words
}

fn log_file(path: &Path) -> std::io::Result<File> {
    if let Some(dir) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    }
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

/// Starts `job` in a process of its own and waits until it runs.
pub(super) fn start(surroundings: &Surroundings, registry: &Registry, job: JobId) -> Result<Detached, CliError> {
    let asked = "could not start the job in the background";
    let failed = |what: &str, e: &std::io::Error| CliError::new(ExitStatus::Failed, asked, format!("{what}: {e}"));
    let log = registry.places().log(job);
    let file = log_file(&log).map_err(|e| failed(&log.display().to_string(), &e))?;
    let program = surroundings.program.clone().unwrap_or_else(|| PathBuf::from("flink"));
    let mut command = Command::new(&program);
    command.args(child_words(&surroundings.words, job)).current_dir(&surroundings.working_dir);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(file);
    let mut child = command.spawn().map_err(|e| failed(&program.display().to_string(), &e))?;
    let mut line = String::new();
    if let Some(pipe) = child.stdout.take() {
        // A line that ends early is no report; what follows says so.
        let _ = BufReader::new(pipe).read_line(&mut line);
    }
    match serde_json::from_str(&line) {
        Ok(Report::Running { name, notes }) => Ok(Detached { name, notes, pid: child.id(), log }),
        Ok(Report::Failed(error)) => {
            // It ends now; its log holds nothing that the error does not say.
            let _ = child.wait();
            let _ = std::fs::remove_file(&log);
            Err(error)
        }
        Err(_) => {
            let ended = child.wait().map_or_else(|e| e.to_string(), |status| status.to_string());
            let error = CliError::new(ExitStatus::Failed, asked, format!("its process ended before the job ran ({ended})"));
            Err(error.next(format!("its log: {}", log.display())))
        }
    }
}

/// The child's way to report; it can be used once.
#[derive(Debug)]
pub(super) struct Reporter(Option<File>);

impl Reporter {
    /// Makes this process a detached one: a session of its own, and standard output into the log (which is standard error).
    pub(super) fn detach() -> Result<Self, CliError> {
        let failed = |e: std::io::Error| CliError::new(ExitStatus::Failed, "could not detach the job's process", e.to_string());
        // Refused only if this process leads a group already, as when somebody starts it by hand: then there is nothing to leave.
        let _ = rustix::process::setsid();
        let pipe = std::io::stdout().as_fd().try_clone_to_owned().map_err(failed)?;
        rustix::stdio::dup2_stdout(std::io::stderr().as_fd()).map_err(|e| failed(e.into()))?;
        Ok(Self(Some(File::from(pipe))))
    }

    /// A process that reports to nobody.
    pub(super) fn none() -> Self {
        Self(None)
    }

    /// True if somebody waits for the report.
    pub(super) fn is_awaited(&self) -> bool {
        self.0.is_some()
    }

    /// Reports and closes the pipe.
    pub(super) fn report(&mut self, report: &Report) {
        if let (Some(mut pipe), Ok(mut line)) = (self.0.take(), serde_json::to_vec(report)) {
            line.push(b'\n');
            // A parent that went away does not harm the job.
            let _ = pipe.write_all(&line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_child_gets_the_same_words_and_its_id() {
        let words: Vec<OsString> = ["-q", "run", "-d", "--", "run"].map(Into::into).to_vec();
        let id = JobId::from_u128(5).to_string();
        assert_eq!(child_words(&words, JobId::from_u128(5)), ["-q", "run", "--detached-as", id.as_str(), "-d", "--", "run"]);
    }
}
