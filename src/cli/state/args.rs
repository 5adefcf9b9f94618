//! `flink state` as it is written: clap, and nothing else.

use crate::cli::args::JobArgs;
use clap::{Args as ClapArgs, Subcommand, ValueHint};
use std::path::PathBuf;

/// `flink state`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
#[command(arg_required_else_help = true, disable_help_subcommand = true)]
pub struct StateArgs {
    /// What to do.
    #[command(subcommand)]
    pub action: StateAction,
}

/// What can be done with state.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum StateAction {
    /// List the operators and states of a savepoint or checkpoint, or the checkpoints in a directory
    Ls(LsArgs),
    /// Show the rows of states
    Show(ShowArgs),
    /// Write the rows of one state as JSON, CSV or Parquet
    Export(ExportArgs),
    /// Compare two savepoints or checkpoints, row by row
    Diff(DiffArgs),
    /// Check that every file is there, whole, readable, sorted and in the right key groups
    Verify(VerifyArgs),
    /// Build a savepoint for a job from files
    Import(ImportArgs),
    /// Record the new lengths and checksums of files that another tool has edited, after checking them
    Seal(SealArgs),
    /// Show the rows of a key in the state of a running job
    Get(GetArgs),
    /// Show rows of a running job's state, at a consistent point
    Scan(ScanArgs),
    /// Show (and with --yes delete) what no complete checkpoint in a directory needs
    Gc(GcArgs),
}

/// Which savepoint or checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
pub struct PathArgs {
    /// A savepoint's or checkpoint's directory or its _metadata (a path, a file: or an s3: URL), or "latest", or "latest:JOB"
    #[arg(value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub path: String,
}

/// Which rows.
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
pub struct SelectArgs {
    /// Only rows whose key column has this value (NAME alone: NULL); give all key columns and one key group is read
    #[arg(long = "key", value_name = "NAME=VALUE")]
    pub keys: Vec<String>,
    /// Only rows in which this column has this value (NAME alone: NULL)
    #[arg(long = "where", value_name = "NAME=VALUE")]
    pub columns: Vec<String>,
    /// At most so many rows of a state; 0: all
    #[arg(long = "limit", value_name = "N")]
    pub limit: Option<u64>,
}

/// `flink state ls`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
pub struct LsArgs {
    /// Which one.
    #[command(flatten)]
    pub path: PathArgs,
}

/// `flink state show`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
pub struct ShowArgs {
    /// Which one.
    #[command(flatten)]
    pub path: PathArgs,
    /// An operator, or one state of it; without, every state
    #[arg(value_name = "OPERATOR[/STATE]")]
    pub state: Option<String>,
    /// Which rows.
    #[command(flatten)]
    pub select: SelectArgs,
    /// Show the key group of each row, too
    #[arg(long = "key-group")]
    pub key_group: bool,
}

/// `flink state export`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
pub struct ExportArgs {
    /// Which one.
    #[command(flatten)]
    pub path: PathArgs,
    /// The state
    #[arg(value_name = "OPERATOR/STATE")]
    pub state: String,
    /// json (one object a line), csv or parquet; without, what the name of the file ends with, else json
    #[arg(long = "format", value_name = "FORMAT")]
    pub format: Option<String>,
    /// Into this file instead of standard output
    #[arg(long = "to", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub to: Option<PathBuf>,
    /// Which rows.
    #[command(flatten)]
    pub select: SelectArgs,
    /// Write the key group of each row, too
    #[arg(long = "key-group")]
    pub key_group: bool,
}

/// `flink state diff`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
pub struct DiffArgs {
    /// The older savepoint or checkpoint
    #[arg(value_name = "A", value_hint = ValueHint::AnyPath)]
    pub before: String,
    /// The newer one
    #[arg(value_name = "B", value_hint = ValueHint::AnyPath)]
    pub after: String,
    /// Only this operator, or this state of it
    #[arg(value_name = "OPERATOR[/STATE]")]
    pub state: Option<String>,
    /// Show at most so many rows of a state (20); 0: all
    #[arg(long = "limit", value_name = "N")]
    pub limit: Option<u64>,
}

/// `flink state verify`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
pub struct VerifyArgs {
    /// Which one.
    #[command(flatten)]
    pub path: PathArgs,
}

/// `flink state import`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
pub struct ImportArgs {
    /// The job.
    #[command(flatten)]
    pub job: JobArgs,
    /// The rows of a state: a file whose name ends with .parquet, .csv or .json
    #[arg(long = "state", value_name = "OPERATOR/STATE=FILE", required = true)]
    pub states: Vec<String>,
    /// The savepoint's directory is made in this one
    #[arg(long = "to", value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub to: PathBuf,
}

/// `flink state seal`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
pub struct SealArgs {
    /// Which one.
    #[command(flatten)]
    pub path: PathArgs,
}

/// `flink state get`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
pub struct GetArgs {
    /// The job: its id, a unique prefix of it, or a unique name
    #[arg(value_name = "JOB")]
    pub job: String,
    /// The state
    #[arg(value_name = "OPERATOR/STATE")]
    pub state: String,
    /// The value of a key column (NAME alone: NULL)
    #[arg(long = "key", value_name = "NAME=VALUE", required = true)]
    pub keys: Vec<String>,
    /// At most so many rows; 0: all
    #[arg(long = "limit", value_name = "N")]
    pub limit: Option<u64>,
}

/// `flink state scan`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
pub struct ScanArgs {
    /// The job: its id, a unique prefix of it, or a unique name
    #[arg(value_name = "JOB")]
    pub job: String,
    /// The state
    #[arg(value_name = "OPERATOR/STATE")]
    pub state: String,
    /// Which rows.
    #[command(flatten)]
    pub select: SelectArgs,
}

/// `flink state gc`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
pub struct GcArgs {
    /// A checkpoint or savepoint directory, or the directory of one job in it
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub directory: String,
    /// Delete what is shown
    #[arg(long = "yes")]
    pub yes: bool,
    /// Leave alone what was written more lately than this
    #[arg(long = "older-than", value_name = "DURATION", default_value = "1 h")]
    pub older_than: String,
}
