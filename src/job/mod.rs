//! job.toml → Spec (what was written) → Plan (what it means) → Graph (what runs). Text in, values out.
//!
//! [`load`] is the way in. It reads no file, no environment and no clock: all of that is in its [`LoadContext`].

mod backend;
mod build;
mod computed;
pub mod configuration;
pub mod ddl;
pub mod explain;
pub mod graph;
mod not_null;
pub mod options;
mod plan;
pub mod problem;
mod process;
mod restore_table;
pub mod settings;
pub mod spec;
mod table_names;
mod tables;
#[cfg(test)]
mod tests;
pub mod text;

pub use explain::{ExplainFormat, explain};
pub use problem::{Problem, Problems};
pub use process::ReadFile;

use crate::operator::process::Functions;
use crate::types::Parallelism;
use configuration::Defaults;
use graph::JobGraph;
use problem::{Severity, Texts};
use process::FunctionSources;
use spec::{Environment, FLAG, Spec};
use std::fmt;
use std::path::{Path, PathBuf};

/// What a job file depends on beside its text.
pub struct LoadContext<'a> {
    /// The file's name as messages show it: as it was given on the command line.
    pub file_name: &'a str,
    /// The file's directory, absolute: relative paths start there.
    pub directory: &'a Path,
    /// `key=value` of each `-D`, in their order.
    pub overrides: &'a [String],
    /// Values of `${NAME}`.
    pub environment: Environment<'a>,
    /// The machine's cores: `parallelism.default` without that option.
    pub cores: Parallelism,
    /// Where checkpoints go without `execution.checkpointing.dir`.
    pub checkpoint_dir: PathBuf,
    /// Where savepoints go without `execution.checkpointing.savepoint-dir`.
    pub savepoint_dir: PathBuf,
    /// Reads a script that the job file names.
    pub read: ReadFile<'a>,
    /// What `function = "…"` of a transform may call.
    pub functions: &'a Functions,
}

impl fmt::Debug for LoadContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file_name, directory, overrides, environment: _, read: _, cores, checkpoint_dir, savepoint_dir, functions } = self;
        f.debug_struct("LoadContext")
            .field("file_name", file_name)
            .field("directory", directory)
            .field("overrides", overrides)
            .field("cores", cores)
            .field("checkpoint_dir", checkpoint_dir)
            .field("savepoint_dir", savepoint_dir)
            .field("functions", functions)
            .finish_non_exhaustive()
    }
}

/// A job file that is right.
#[derive(Debug)]
pub struct Loaded {
    /// What runs.
    pub graph: JobGraph,
    /// What the user should know all the same; may be empty.
    pub warnings: Problems,
}

/// Reads a job file. The error holds every problem that was found, warnings included.
pub fn load(text: &str, context: &LoadContext<'_>) -> Result<Loaded, Problems> {
    let mut problems = Vec::new();
    let flags: Vec<String> = context.overrides.iter().map(|flag| format!("{FLAG}{flag}")).collect();
    let spec = Spec::parse(text, context.environment, &mut problems);
    let mut secrets = Vec::new();
    let graph = spec.map(|mut spec| {
        spec.apply(&flags, &mut problems);
        let secret = spec.options.iter().filter(|entry| options::is_secret(&entry.key));
        secrets.extend(secret.map(|entry| entry.value.clone()));
        graph_of(&spec, context, &mut problems)
    });
    let mut texts = Texts { file_name: context.file_name.to_owned(), file: text.to_owned(), flags };
    for secret in secrets {
        texts.hide(secret.place(), secret.as_str());
    }
    let wrong = problems.iter().any(|problem| problem.severity == Severity::Error);
    let problems = Problems::new(texts, problems);
    match graph {
        Some(graph) if !wrong => Ok(Loaded { graph, warnings: problems }),
        _ => Err(problems),
    }
}

fn graph_of(spec: &Spec, context: &LoadContext<'_>, problems: &mut Vec<Problem>) -> JobGraph {
    let stem = Path::new(context.file_name).file_stem().map_or_else(|| "job".to_owned(), |stem| stem.to_string_lossy().into_owned());
    let defaults = Defaults {
        name: stem,
        parallelism: context.cores,
        checkpoint_dir: context.checkpoint_dir.clone(),
        savepoint_dir: context.savepoint_dir.clone(),
        directory: context.directory.to_owned(),
    };
    let mut configuration = configuration::read(&spec.options, &defaults, problems);
    let functions = FunctionSources { read: context.read, functions: context.functions };
    let plan = plan::plan(spec, &mut configuration, functions, problems);
    build::build(&plan, &configuration.settings, problems)
}
