//! What the command line means: arguments in, a command or a usage error out. Pure.

use super::args::{Action, Args, CancelArgs, CommonArgs, Form, FormatArgs, JobArgs, RunArgs, SavepointArgs, StopArgs};
use super::state::task::StateTask;
use crate::checkpoint::settings::ClaimMode;
use crate::rest::client::Endpoint;
use crate::rest::types::SavepointFormat;
use crate::types::{IdError, JobId, TriggerId, parse_duration};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

/// What is to be done, and how it is reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// What.
    pub action: Task,
    /// How.
    pub style: Style,
    /// The cluster that it is for; `None`: this machine.
    pub cluster: Option<Endpoint>,
}

/// How a command reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "four flags of the command line that are independent of each other")]
pub struct Style {
    /// One JSON document instead of Flink's texts.
    pub json: bool,
    /// Only the one thing a script wants.
    pub quiet: bool,
    /// The causes of errors.
    pub verbose: bool,
    /// Bars may be drawn.
    pub progress: bool,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    /// `flink run`
    Run(RunTask),
    /// `flink savepoint JOB [DIR]`
    Savepoint {
        /// The job.
        job: String,
        /// Where to.
        directory: Option<String>,
        /// How.
        how: SavepointHow,
    },
    /// `flink savepoint --status TRIGGER JOB`
    SavepointStatus {
        /// The job.
        job: String,
        /// Under which id it was triggered.
        trigger: TriggerId,
    },
    /// `flink savepoint -d PATH`
    Dispose {
        /// Which savepoint.
        path: String,
    },
    /// `flink stop`
    Stop {
        /// The job.
        job: String,
        /// Where to.
        directory: Option<String>,
        /// Emit the maximum watermark first.
        drain: bool,
        /// How.
        how: SavepointHow,
    },
    /// `flink cancel`
    Cancel {
        /// The job.
        job: String,
        /// Take a savepoint first.
        savepoint: Option<CancelSavepoint>,
    },
    /// `flink list`
    List(Listed),
    /// `flink checkpoint`
    Checkpoint {
        /// The job.
        job: String,
        /// Share nothing with earlier ones.
        full: bool,
    },
    /// `flink info`
    Info {
        /// The job.
        job: JobSource,
        /// As a graph for Graphviz.
        dot: bool,
    },
    /// `flink check`
    Check {
        /// The job.
        job: JobSource,
        /// Would this restore.
        restore: RestoreOptions,
    },
    /// `flink state …`
    State(Box<StateTask>),
    /// `flink generate`
    Generate {
        /// Where to.
        directory: PathBuf,
    },
}

/// A job.toml and what overrides it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobSource {
    /// The file.
    pub file: PathBuf,
    /// `-D key=value` in the order written, `-p N` as `parallelism.default` behind them.
    pub options: Vec<(String, String)>,
}

/// What the command line says about what a job is restored from. The job file may say the rest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RestoreOptions {
    /// A path as it was written, or `latest`.
    pub path: Option<String>,
    /// Skip state that the job no longer has.
    pub allow_non_restored_state: bool,
    /// Who owns it from then on.
    pub claim: Option<ClaimMode>,
}

/// `flink run`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunTask {
    /// The job.
    pub job: JobSource,
    /// What it is restored from.
    pub restore: RestoreOptions,
    /// In this process, in a new one, or in this one for another's sake.
    pub attachment: Attachment,
}

/// Where a job runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attachment {
    /// In this process, which waits for it.
    Attached,
    /// In a new process, whose start is waited for.
    Detached,
    /// This is that new process.
    Child(JobId),
}

/// How a savepoint is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SavepointHow {
    /// In which format.
    pub format: SavepointFormat,
    /// Do not wait for it.
    pub detached: bool,
    /// How long it may take; as long as a checkpoint without.
    pub timeout: Option<Duration>,
}

impl SavepointHow {
    /// The timeout as it is sent.
    pub fn timeout_millis(self) -> Option<u64> {
        self.timeout.map(|timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX))
    }
}

/// The savepoint of `cancel -s`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CancelSavepoint {
    /// Where to.
    pub directory: Option<String>,
    /// In which format.
    pub format: SavepointFormat,
}

/// Which jobs are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listed {
    /// The running ones.
    pub running: bool,
    /// The scheduled ones.
    pub scheduled: bool,
    /// Those that have ended.
    pub terminated: bool,
}

/// A command line that means nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct UsageError {
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub next: Option<String>,
}

impl UsageError {
    pub(super) fn new(message: impl Into<String>, next: impl Into<String>) -> Self {
        Self { message: message.into(), next: Some(next.into()) }
    }
}

impl Command {
    /// What `args` mean.
    pub fn new(args: Args) -> Result<Self, UsageError> {
        let CommonArgs { jobmanager, output, quiet, verbose, no_progress } = args.common;
        let cluster = jobmanager.map(|text| text.parse::<Endpoint>()).transpose();
        let cluster = cluster.map_err(|e| UsageError { message: e.to_string(), next: None })?;
        let dot = output == Form::Dot;
        if dot && !matches!(args.action, Action::Info(_)) {
            return Err(UsageError::new("-o dot is a form of `flink info` only", "use -o text or -o json"));
        }
        if matches!(output, Form::Csv | Form::Parquet) && !matches!(args.action, Action::State(_)) {
            return Err(UsageError::new("-o csv and -o parquet are forms of `flink state show` only", "use -o text or -o json"));
        }
        let local = cluster.is_none();
        let action = match args.action {
            Action::Run(run) if run.dry_run => {
                let RunTask { job, restore, .. } = run_task(run, local)?;
                Task::Check { job, restore }
            }
            Action::Run(run) => Task::Run(run_task(run, local)?),
            Action::Savepoint(savepoint) => savepoint_task(savepoint, local)?,
            Action::Stop(stop) => stop_task(stop, local)?,
            Action::Cancel(cancel) => cancel_task(cancel)?,
            Action::List(list) => Task::List(Listed {
                running: list.running || list.all || !list.scheduled,
                scheduled: list.scheduled || list.all || !list.running,
                terminated: list.all,
            }),
            Action::Checkpoint(checkpoint) => Task::Checkpoint { job: job_reference(Some(checkpoint.job))?, full: checkpoint.full },
            Action::Info(info) => Task::Info { job: only_here(local, "info").and_then(|()| job_source(info.job))?, dot },
            Action::Check(check) => Task::Check {
                job: only_here(local, "check").and_then(|()| job_source(check.job))?,
                restore: RestoreOptions {
                    path: check.from_savepoint,
                    allow_non_restored_state: check.allow_non_restored_state,
                    claim: None,
                },
            },
            Action::State(state) => {
                only_here(local, "state")?;
                Task::State(Box::new(StateTask::new(state.action, output)?))
            }
            Action::Generate(generate) => Task::Generate { directory: generate.directory },
        };
        Ok(Self { action, style: Style { json: output == Form::Json, quiet, verbose, progress: !no_progress }, cluster })
    }
}

fn only_here(local: bool, command: &str) -> Result<(), UsageError> {
    if local {
        return Ok(());
    }
    let message = format!("`flink {command}` works on this machine; with -m, job.toml cannot be handed to a cluster in this version");
    Err(UsageError::new(message, "leave out -m; savepoint, stop, cancel, list and checkpoint take it"))
}

fn run_task(run: RunArgs, local: bool) -> Result<RunTask, UsageError> {
    only_here(local, "run")?;
    let claim = run.claim_mode.as_deref().map(claim_mode).transpose()?;
    let attachment = match run.detached_as.map(|id| id.parse()).transpose() {
        Ok(Some(id)) => Attachment::Child(id),
        Ok(None) if run.detached => Attachment::Detached,
        Ok(None) => Attachment::Attached,
        Err(e) => return Err(UsageError { message: e.to_string(), next: None }),
    };
    let allow_non_restored_state = run.allow_non_restored_state;
    let restore = RestoreOptions { path: run.from_savepoint, allow_non_restored_state, claim };
    Ok(RunTask { job: job_source(run.job)?, restore, attachment })
}

fn claim_mode(text: &str) -> Result<ClaimMode, UsageError> {
    match text.to_ascii_lowercase().as_str() {
        "claim" => Ok(ClaimMode::Claim),
        "no_claim" => Ok(ClaimMode::NoClaim),
        "legacy" => Err(UsageError::new(
            "claim mode legacy is not there, as in Flink 2: the job would build on files of a savepoint that it does not own",
            "use no_claim, which leaves the savepoint alone, or claim, which takes it over",
        )),
        _ => Err(UsageError::new(format!("\"{text}\" is no claim mode"), "use claim or no_claim")),
    }
}

pub(super) fn job_source(args: JobArgs) -> Result<JobSource, UsageError> {
    let mut options = Vec::new();
    for text in args.options {
        // A key alone means true, as in Flink.
        let (key, value) = text.split_once('=').unwrap_or((&text, "true"));
        if key.trim().is_empty() {
            return Err(UsageError::new(format!("-D {text}: this sets nothing"), "write -D key=value"));
        }
        options.push((key.trim().to_owned(), value.to_owned()));
    }
    if let Some(text) = args.parallelism {
        let parsed = text.parse::<NonZeroUsize>();
        let number = parsed.map_err(|_| UsageError::new(format!("-p {text}: this is no parallelism"), "write a whole number from 1 on"))?;
        options.push(("parallelism.default".to_owned(), number.to_string()));
    }
    Ok(JobSource { file: args.job_file, options })
}

fn format_of(text: Option<&str>) -> Result<SavepointFormat, UsageError> {
    match text.map(str::to_ascii_lowercase).as_deref() {
        None | Some("canonical") => Ok(SavepointFormat::Canonical),
        Some("native") => Ok(SavepointFormat::Native),
        Some(other) => Err(UsageError::new(format!("\"{other}\" is no savepoint format"), "use canonical or native")),
    }
}

fn how(args: FormatArgs, local: bool) -> Result<SavepointHow, UsageError> {
    let timeout = args.timeout.as_deref().map(|text| savepoint_timeout(text, local)).transpose()?;
    Ok(SavepointHow { format: format_of(args.format.as_deref())?, detached: args.detached, timeout })
}

fn savepoint_timeout(text: &str, local: bool) -> Result<Duration, UsageError> {
    if !local {
        return Err(UsageError::new("a cluster takes no timeout of a single savepoint", "leave out --timeout"));
    }
    match parse_duration(text) {
        Ok(timeout) if timeout >= Duration::from_millis(1) => Ok(timeout),
        Ok(_) => Err(UsageError::new(format!("--timeout {text}: a savepoint takes time"), "give at least 1 ms")),
        Err(e) => Err(UsageError::new(format!("--timeout {text}: {e}"), "write \"30 s\" or \"10 min\"")),
    }
}

fn job_reference(job: Option<String>) -> Result<String, UsageError> {
    job.filter(|j| !j.is_empty())
        .ok_or_else(|| UsageError::new("which job is not said", "give its id, a unique prefix of it, or its name; `flink list` shows them"))
}

fn savepoint_task(args: SavepointArgs, local: bool) -> Result<Task, UsageError> {
    let how = how(args.format, local)?;
    if let Some(text) = args.status {
        let trigger = text.parse().map_err(|e: IdError| UsageError::new(e.to_string(), "`flink savepoint --detached` prints it"))?;
        return Ok(Task::SavepointStatus { job: job_reference(args.job)?, trigger });
    }
    match args.dispose {
        Some(path) => Ok(Task::Dispose { path }),
        None => Ok(Task::Savepoint { job: job_reference(args.job)?, directory: args.directory, how }),
    }
}

/// The job and the directory. Flink's quirk: if there is one word only, and it stands behind `-p` (or `cancel -s`), it is the job.
fn job_and_directory(job: Option<String>, directory: Option<String>) -> Result<(String, Option<String>), UsageError> {
    let directory = directory.filter(|d| !d.is_empty());
    match job {
        Some(job) => Ok((job_reference(Some(job))?, directory)),
        None => Ok((job_reference(directory)?, None)),
    }
}

fn stop_task(args: StopArgs, local: bool) -> Result<Task, UsageError> {
    let (job, directory) = job_and_directory(args.job, args.directory)?;
    Ok(Task::Stop { job, directory, drain: args.drain, how: how(args.format, local)? })
}

fn cancel_task(args: CancelArgs) -> Result<Task, UsageError> {
    let format = format_of(args.format.as_deref())?;
    let with_savepoint = args.savepoint.is_some();
    let (job, directory) = job_and_directory(args.job, args.savepoint)?;
    Ok(Task::Cancel { job, savepoint: with_savepoint.then_some(CancelSavepoint { directory, format }) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::normalize::normalize;
    use clap::Parser;

    fn command(line: &str) -> Result<Command, UsageError> {
        let words = std::iter::once("flink").chain(line.split_whitespace()).map(std::ffi::OsString::from);
        Command::new(Args::try_parse_from(normalize(words)).unwrap_or_else(|e| panic!("{line}: {e}")))
    }

    fn task(line: &str) -> Task {
        command(line).unwrap_or_else(|e| panic!("{line}: {e}")).action
    }

    const CANONICAL: SavepointHow = SavepointHow { format: SavepointFormat::Canonical, detached: false, timeout: None };

    #[test]
    fn a_single_word_behind_p_is_the_job_as_in_flink() {
        let stop = |job: &str, directory: Option<&str>, drain| Task::Stop {
            job: job.to_owned(),
            directory: directory.map(str::to_owned),
            drain,
            how: CANONICAL,
        };
        assert_eq!(task("stop -p J"), stop("J", None, false));
        assert_eq!(task("stop -p /dir J"), stop("J", Some("/dir"), false));
        assert_eq!(task("stop J -p /dir --drain"), stop("J", Some("/dir"), true));
        assert_eq!(task("stop J -p"), stop("J", None, false));
        assert_eq!(task("stop -d J"), stop("J", None, true));
        let cancel = |directory: Option<&str>| Task::Cancel {
            job: "J".to_owned(),
            savepoint: Some(CancelSavepoint { directory: directory.map(str::to_owned), format: SavepointFormat::Canonical }),
        };
        assert_eq!(task("cancel -s J"), cancel(None));
        assert_eq!(task("cancel -s /dir J"), cancel(Some("/dir")));
        assert_eq!(task("cancel J"), Task::Cancel { job: "J".to_owned(), savepoint: None });
        assert!(command("stop -p").is_err());
    }

    #[test]
    fn options_are_set_with_and_without_a_space_and_p_counts_last() {
        let Task::Run(run) = task("run -Da.b=c=d -D x=1 -Dy -p 4 job.toml -d") else { panic!() };
        let pair = |k: &str, v: &str| (k.to_owned(), v.to_owned());
        assert_eq!(run.job.options, [pair("a.b", "c=d"), pair("x", "1"), pair("y", "true"), pair("parallelism.default", "4")]);
        assert_eq!((run.attachment, run.restore), (Attachment::Detached, RestoreOptions::default()));
        for wrong in ["run -D =1 job.toml", "run -p 0 job.toml", "run -p -1 job.toml"] {
            let words = std::iter::once("flink").chain(wrong.split_whitespace()).map(std::ffi::OsString::from);
            let parsed = Args::try_parse_from(normalize(words)).map_err(|e| e.to_string()).map(Command::new);
            assert!(!matches!(parsed, Ok(Ok(_))), "{wrong}");
        }
    }

    #[test]
    fn what_this_version_does_not_have_is_said_clearly() {
        for (line, said) in [
            ("run -cm legacy job.toml", "claim mode legacy is not there, as in Flink 2"),
            ("run -cm some job.toml", "\"some\" is no claim mode"),
            ("savepoint -type nativ J", "\"nativ\" is no savepoint format"),
            ("savepoint --timeout soon J", "--timeout soon: "),
            ("stop --timeout 0 J", "a savepoint takes time"),
            ("savepoint -m h:1 --timeout 1min J", "a cluster takes no timeout"),
            ("savepoint --status 12 J", "Cannot parse"),
            ("run -m h:1 job.toml", "cannot be handed to a cluster"),
            ("list -m nowhere", "\"nowhere\" is no address of a JobManager"),
            ("list -o dot", "-o dot is a form of `flink info` only"),
        ] {
            let error = command(line).unwrap_err().to_string();
            assert!(error.contains(said), "{line}: {error}");
        }
        for line in ["savepoint -m h:1 -type native J", "savepoint -type NATIVE J", "stop --type native J", "cancel -s -type native J"] {
            assert!(command(line).is_ok(), "{line}");
        }
    }

    #[test]
    fn a_job_may_claim_what_it_starts_from_and_a_dry_run_is_a_check() {
        let options =
            |path: &str, allow_non_restored_state, claim| RestoreOptions { path: Some(path.to_owned()), allow_non_restored_state, claim };
        for (line, claim) in [("-cm CLAIM", Some(ClaimMode::Claim)), ("--restoreMode no_claim", Some(ClaimMode::NoClaim)), ("", None)] {
            let Task::Run(run) = task(&format!("run -s /s {line} job.toml")) else { panic!("{line}") };
            assert_eq!(run.restore, options("/s", false, claim));
        }
        let Task::Check { restore, .. } = task("run --dry-run -d -n -s latest job.toml") else { panic!() };
        assert_eq!(restore, options("latest", true, None));
        assert_eq!(task("run --dry-run job.toml"), task("check job.toml"));
    }

    #[test]
    fn savepoint_d_disposes_and_detached_does_not_wait() {
        assert_eq!(task("savepoint -d /s"), Task::Dispose { path: "/s".to_owned() });
        assert_eq!(
            task("savepoint -detached J /dir"),
            Task::Savepoint { job: "J".to_owned(), directory: Some("/dir".to_owned()), how: SavepointHow { detached: true, ..CANONICAL } }
        );
    }

    #[test]
    fn a_savepoint_has_its_own_timeout_and_can_be_asked_after() {
        let how = |seconds| SavepointHow { timeout: Some(Duration::from_secs(seconds)), ..CANONICAL };
        let Task::Savepoint { how: found, .. } = task("savepoint --timeout 30s J") else { panic!() };
        assert_eq!((found, found.timeout_millis()), (how(30), Some(30_000)));
        let Task::Stop { how: found, .. } = task("stop -timeout=2min J") else { panic!() };
        assert_eq!(found, how(120));
        let trigger = "2f24ef28021bba9ce740f65a95436f9a";
        let status = Task::SavepointStatus { job: "J".to_owned(), trigger: trigger.parse().unwrap() };
        assert_eq!(task(&format!("savepoint --status {trigger} J")), status);
        assert_eq!(task(&format!("savepoint J -status {trigger}")), status);
        for wrong in ["savepoint --status x", "savepoint --status x J /dir", "savepoint --status x -d /p"] {
            let words = std::iter::once("flink").chain(wrong.split_whitespace()).map(std::ffi::OsString::from);
            assert!(Args::try_parse_from(normalize(words)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn list_shows_running_and_scheduled_jobs_unless_told() {
        let listed = |running, scheduled, terminated| Task::List(Listed { running, scheduled, terminated });
        assert_eq!(task("list"), listed(true, true, false));
        assert_eq!(task("list -r"), listed(true, false, false));
        assert_eq!(task("list -s"), listed(false, true, false));
        assert_eq!(task("list -a"), listed(true, true, true));
        assert_eq!(task("list -rs"), listed(true, true, false));
    }
}
