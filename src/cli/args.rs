//! The command line as it is written: clap, and nothing else. What it means is `command.rs`'s business. The same definition feeds
//! the help texts, the man pages and the completions.

pub use super::state::args::StateArgs;
use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum, ValueHint};
use std::path::PathBuf;

/// Everything that was written.
#[derive(Debug, Clone, PartialEq, Eq, Parser)]
#[command(
    name = "flink",
    version,
    about = "Stateful stream processing on one machine, with Apache Flink's semantics, options and command line",
    after_help = "Exit codes: 0 done · 1 the job failed, or any other error · 2 wrong usage or a job.toml that is not valid · \
                  3 no such job · 4 the job's process cannot be reached · 5 the savepoint or checkpoint failed · \
                  6 the state could not be restored · 130 interrupted",
    arg_required_else_help = true,
    subcommand_required = true,
    disable_help_subcommand = true,
    infer_long_args = false,
    max_term_width = 100
)]
pub struct Args {
    /// What holds for every command.
    #[command(flatten)]
    pub common: CommonArgs,
    /// What to do.
    #[command(subcommand)]
    pub action: Action,
}

/// Flags of every command.
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
#[command(next_help_heading = "Common options")]
pub struct CommonArgs {
    /// Send the command to a real Flink cluster's JobManager instead of a job on this machine
    #[arg(short = 'm', long = "jobmanager", value_name = "HOST:PORT", global = true)]
    pub jobmanager: Option<String>,
    /// What is printed on standard output
    #[arg(short = 'o', long = "output", value_name = "FORM", value_enum, default_value_t = Form::Text, hide_default_value = true, global = true)]
    pub output: Form,
    /// Print only the one thing a script wants: the job's id, the savepoint's path
    #[arg(short = 'q', long = "quiet", global = true)]
    pub quiet: bool,
    /// With an error, print the chain of its causes
    #[arg(short = 'v', long = "verbose", global = true)]
    pub verbose: bool,
    /// Plain lines instead of a progress bar
    #[arg(long = "no-progress", global = true)]
    pub no_progress: bool,
}

/// The form of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// As Flink prints it
    Text,
    /// One JSON document
    Json,
    /// A graph for Graphviz (`info` only)
    Dot,
    /// Rows as CSV (`state show` only)
    Csv,
    /// Rows as Parquet (`state show` only)
    Parquet,
}

/// The commands.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Action {
    /// Run a job, until it ends or detached
    Run(RunArgs),
    /// Take a savepoint of a running job, or dispose of one
    Savepoint(SavepointArgs),
    /// Stop a running job with a savepoint
    Stop(StopArgs),
    /// Cancel a running job
    Cancel(CancelArgs),
    /// List jobs
    List(ListArgs),
    /// Take a checkpoint of a running job now
    Checkpoint(CheckpointArgs),
    /// Show the plan of a job without running it
    Info(InfoArgs),
    /// Check a job without running it: is it valid, and would a savepoint restore
    Check(CheckArgs),
    /// Look into savepoints and checkpoints: list, show, compare, verify; edit, build and clean up
    State(StateArgs),
    /// Write the man pages and completions
    #[command(hide = true)]
    Generate(GenerateArgs),
}

/// Options that override the file.
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
pub struct JobArgs {
    /// The job
    #[arg(value_name = "JOB.TOML", value_hint = ValueHint::FilePath)]
    pub job_file: PathBuf,
    /// The number of subtasks of every operator (parallelism.default)
    #[arg(short = 'p', long = "parallelism", value_name = "N")]
    pub parallelism: Option<String>,
    /// Set one of Flink's options; overrides the file
    #[arg(short = 'D', value_name = "KEY=VALUE")]
    pub options: Vec<String>,
}

/// `flink run`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
#[expect(clippy::struct_excessive_bools, reason = "flags of the command line that are independent of each other")]
pub struct RunArgs {
    /// The job.
    #[command(flatten)]
    pub job: JobArgs,
    /// Return as soon as the job runs; it goes on in the background
    #[arg(short = 'd', long = "detached")]
    pub detached: bool,
    /// Restore the job from a savepoint or retained checkpoint: its directory or its _metadata (a path, a file: or an s3: URL), or "latest"
    #[arg(short = 's', long = "fromSavepoint", value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub from_savepoint: Option<String>,
    /// Skip state of the savepoint that the job no longer has
    #[arg(short = 'n', long = "allowNonRestoredState")]
    pub allow_non_restored_state: bool,
    /// Who owns the savepoint from then on [possible values: claim, no_claim]
    #[arg(long = "claimMode", visible_alias = "restoreMode", value_name = "MODE")]
    pub claim_mode: Option<String>,
    /// Start nothing: say whether the job is valid, and what would become of each state of the savepoint
    #[arg(long = "dry-run")]
    pub dry_run: bool,
    /// Accepted for the sake of scripts: Ctrl-C on an attached job always cancels it
    #[arg(long = "shutdownOnAttachedExit")]
    pub shutdown_on_attached_exit: bool,
    /// The id of the job, and that this process is the detached one.
    #[arg(long = "detached-as", value_name = "ID", hide = true)]
    pub detached_as: Option<String>,
}

/// Flags of the commands that take a savepoint.
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
pub struct FormatArgs {
    /// The format of the savepoint: canonical (open files), or native (those of the job's state backend; quicker)
    #[arg(long = "type", value_name = "FORMAT")]
    pub format: Option<String>,
    /// Do not wait for the savepoint; print the id of the request
    #[arg(long = "detached")]
    pub detached: bool,
    /// Give the savepoint up after this time; without, after the job's execution.checkpointing.timeout
    #[arg(long = "timeout", value_name = "TIME")]
    pub timeout: Option<String>,
}

/// `flink savepoint`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
pub struct SavepointArgs {
    /// The job: its id, a unique prefix of it, or a unique name
    #[arg(value_name = "JOB", required_unless_present = "dispose", conflicts_with = "dispose")]
    pub job: Option<String>,
    /// Where to; without, the job's execution.checkpointing.savepoint-dir
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub directory: Option<String>,
    /// Say how far the savepoint is that was triggered under this id
    #[arg(long = "status", value_name = "TRIGGER", requires = "job", conflicts_with_all = ["dispose", "directory", "detached", "timeout"])]
    pub status: Option<String>,
    /// Dispose of this savepoint instead
    #[arg(short = 'd', long = "dispose", value_name = "PATH", value_hint = ValueHint::DirPath)]
    pub dispose: Option<String>,
    /// How.
    #[command(flatten)]
    pub format: FormatArgs,
}

/// `flink stop`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
pub struct StopArgs {
    /// The job: its id, a unique prefix of it, or a unique name
    #[arg(value_name = "JOB", required_unless_present = "directory")]
    pub job: Option<String>,
    /// Where the savepoint goes; without, the job's execution.checkpointing.savepoint-dir
    #[arg(short = 'p', long = "savepointPath", value_name = "DIR", num_args = 0..=1, default_missing_value = "", value_hint = ValueHint::DirPath)]
    pub directory: Option<String>,
    /// Emit the maximum watermark before the savepoint: windows and timers fire
    #[arg(short = 'd', long = "drain")]
    pub drain: bool,
    /// How.
    #[command(flatten)]
    pub format: FormatArgs,
}

/// `flink cancel`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
pub struct CancelArgs {
    /// The job: its id, a unique prefix of it, or a unique name
    #[arg(value_name = "JOB", required_unless_present = "savepoint")]
    pub job: Option<String>,
    /// Take a savepoint first (deprecated, as in Flink: use stop)
    #[arg(short = 's', long = "withSavepoint", value_name = "DIR", num_args = 0..=1, default_missing_value = "", value_hint = ValueHint::DirPath)]
    pub savepoint: Option<String>,
    /// The format of the savepoint: canonical (open files), or native (those of the job's state backend; quicker)
    #[arg(long = "type", value_name = "FORMAT")]
    pub format: Option<String>,
}

/// `flink list`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
pub struct ListArgs {
    /// Only running jobs
    #[arg(short = 'r', long = "running")]
    pub running: bool,
    /// Only scheduled jobs
    #[arg(short = 's', long = "scheduled")]
    pub scheduled: bool,
    /// All jobs, also those that have ended
    #[arg(short = 'a', long = "all")]
    pub all: bool,
}

/// `flink checkpoint`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
pub struct CheckpointArgs {
    /// The job: its id, a unique prefix of it, or a unique name
    #[arg(value_name = "JOB")]
    pub job: String,
    /// Share nothing with earlier checkpoints
    #[arg(long = "full")]
    pub full: bool,
}

/// `flink info`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
pub struct InfoArgs {
    /// The job.
    #[command(flatten)]
    pub job: JobArgs,
}

/// `flink check`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
pub struct CheckArgs {
    /// The job.
    #[command(flatten)]
    pub job: JobArgs,
    /// Would this savepoint or checkpoint restore: state by state
    #[arg(short = 's', long = "fromSavepoint", value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub from_savepoint: Option<String>,
    /// Skip state of the savepoint that the job no longer has
    #[arg(short = 'n', long = "allowNonRestoredState")]
    pub allow_non_restored_state: bool,
}

/// `flink generate`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
pub struct GenerateArgs {
    /// Below this directory: man/ and completions/
    #[arg(value_name = "DIR", default_value = ".")]
    pub directory: PathBuf,
}
