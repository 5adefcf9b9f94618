//! From a job.toml on disk to a graph, and from a path to the checkpoint that it is to be restored from.

use super::command::{JobSource, RestoreOptions};
use super::output::{CliError, Output};
use super::surroundings::Surroundings;
use crate::checkpoint::settings::CheckpointStorage;
use crate::checkpoint::settings::ClaimMode;
use crate::checkpoint::{
    OpenCheckpoint, RestoreError, RestorePlan, RestoreRequest, SnapshotKind, latest, open, path_of_text, plan_restore,
};
use crate::error::ExitStatus;
use crate::job::graph::JobGraph;
use crate::job::{LoadContext, load};
use crate::rest::registry::Registry;
use crate::runtime::operator_states;
use crate::storage::{LocalStorage, Storage};
use crate::types::Parallelism;
use crate::types::limits::JOB_FILE;
use std::path::{Path, PathBuf};

/// A job that is right.
#[derive(Debug)]
pub(super) struct LoadedJob {
    /// What runs.
    pub(super) graph: JobGraph,
    /// The job.toml, absolute.
    pub(super) file: PathBuf,
}

/// Reads and checks a job. Warnings are printed.
pub(super) fn load_job(
    source: &JobSource,
    surroundings: &Surroundings,
    registry: &Registry,
    output: &mut Output<'_>,
) -> Result<LoadedJob, CliError> {
    let file = surroundings.working_dir.join(&source.file);
    let name = source.file.display().to_string();
    let unreadable = |message: String| {
        let error = CliError::new(ExitStatus::Usage, format!("could not read the job {name}"), message);
        error.next("give the path of a job.toml")
    };
    let bytes = LocalStorage.read(&file, JOB_FILE.0).map_err(|e| unreadable(e.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|e| unreadable(e.to_string()))?;
    let overrides: Vec<String> = source.options.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    let context = LoadContext {
        file_name: &name,
        directory: file.parent().unwrap_or(&surroundings.working_dir),
        overrides: &overrides,
        environment: &|name| surroundings.variable(name),
        cores: Parallelism::new(cores).unwrap_or(Parallelism::ONE),
        checkpoint_dir: registry.places().checkpoints(),
        savepoint_dir: registry.places().savepoints(),
        functions: &surroundings.functions,
        read: &read_script,
    };
    let loaded = load(&text, &context).map_err(|problems| {
        let count = problems.list().len();
        CliError::new(
            ExitStatus::Usage,
            format!("{name} is not valid ({count} problem{})", if count == 1 { "" } else { "s" }),
            problems.to_string(),
        )
    })?;
    if !loaded.warnings.is_empty() {
        output.note(loaded.warnings.to_string());
    }
    Ok(LoadedJob { graph: loaded.graph, file })
}

/// What a job is restored from, as the command line and the job file say together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RestoreFrom {
    /// A path, or `latest`.
    pub(super) path: String,
    /// Skip state that the job no longer has.
    pub(super) allow_non_restored_state: bool,
    /// Who owns it from then on.
    pub(super) claim: ClaimMode,
}

/// What the job is restored from, if anything: the command line wins over `execution.state-recovery.*`.
pub(super) fn restore_from(options: &RestoreOptions, job: &LoadedJob) -> Result<Option<RestoreFrom>, CliError> {
    let recovery = &job.graph.settings.recovery;
    let Some(path) = options.path.clone().or_else(|| recovery.path.clone()) else {
        if options.allow_non_restored_state {
            let wrong = "-n (--allowNonRestoredState) says how to restore, but nothing is restored";
            return Err(CliError::new(ExitStatus::Usage, "could not start the job", wrong).next("give -s PATH, too"));
        }
        return Ok(None);
    };
    Ok(Some(RestoreFrom {
        path,
        allow_non_restored_state: options.allow_non_restored_state || recovery.ignore_unclaimed,
        claim: options.claim.unwrap_or(recovery.claim),
    }))
}

/// The text of a script beside the job file.
fn read_script(path: &Path) -> Result<String, String> {
    let bytes = LocalStorage.read(path, JOB_FILE.0).map_err(|e| e.to_string())?;
    String::from_utf8(bytes).map_err(|e| e.to_string())
}

/// A checkpoint or savepoint, opened and compared with the job.
#[derive(Debug)]
pub(super) struct Restore {
    /// The checkpoint as the job sees it; every file of it was verified.
    pub(super) checkpoint: OpenCheckpoint,
    /// What becomes of each state.
    pub(super) plan: RestorePlan,
    /// Its directory.
    pub(super) path: PathBuf,
}

/// Opens what the job is to be restored from. The plan may still refuse; see [`RestorePlan::accepted`].
pub(super) fn open_restore(
    from: &RestoreFrom,
    job: &LoadedJob,
    surroundings: &Surroundings,
    registry: &Registry,
    output: &mut Output<'_>,
) -> Result<Restore, CliError> {
    let asked = not_restored(&from.path);
    let refused = |error: RestoreError| CliError::new(ExitStatus::NotRestorable, &asked, error.to_string()).caused_by(&error);
    let storage = surroundings.storage_of(&job.graph.settings.s3);
    let path = if from.path == "latest" {
        newest(job, registry, (&asked, &*storage), output)?
    } else {
        surroundings.absolute(&path_of_text(&from.path).map_err(refused)?)
    };
    let checkpoint = open(storage, &path.display().to_string()).map_err(refused)?;
    let settings = &job.graph.settings;
    let request = RestoreRequest {
        path: &from.path,
        max_parallelism: settings.max_parallelism,
        allow_non_restored: from.allow_non_restored_state,
        rules: &settings.restore,
    };
    let plan = plan_restore(checkpoint.manifest(), &operator_states(&job.graph), request);
    let path = checkpoint.directory().map_or(path, PathBuf::from);
    Ok(Restore { checkpoint: checkpoint.planned(&plan), plan, path })
}

/// What a restore that is refused is called.
pub(super) fn not_restored(path: &str) -> String {
    format!("could not restore the job from {path}; nothing was started")
}

/// The newest complete checkpoint or savepoint of jobs of this name.
fn newest(
    job: &LoadedJob,
    registry: &Registry,
    (asked, storage): (&str, &dyn Storage),
    output: &mut Output<'_>,
) -> Result<PathBuf, CliError> {
    let settings = &job.graph.settings;
    let mut directories = registry.restore_directories(&settings.name);
    if let CheckpointStorage::FileSystem(dir) = &settings.checkpointing.storage {
        directories.push(dir.clone());
    }
    directories.extend(settings.checkpointing.savepoint_dir.clone());
    directories.sort_unstable();
    directories.dedup();
    let search = latest(storage, &directories, &settings.name);
    let search = search.map_err(|e| CliError::new(ExitStatus::NotRestorable, asked, e.to_string()))?;
    for error in &search.unreadable {
        output.note(format!("warning: {error}"));
    }
    let Some(found) = search.found else {
        let shown: Vec<String> = directories.iter().map(|d| d.display().to_string()).collect();
        let wrong = format!("no complete checkpoint or savepoint of a job named \"{}\" was found in {}", settings.name, shown.join(", "));
        return Err(CliError::new(ExitStatus::NotRestorable, asked, wrong).next("give its path with -s, or leave -s out to start anew"));
    };
    let stopped = matches!(found.kind, SnapshotKind::Stop | SnapshotKind::Drain).then_some(found.job);
    if let Some(at) = registry.finished_at(&settings.name, stopped).filter(|at| found.time <= *at) {
        let at = chrono::DateTime::from_timestamp_millis(at.0).map(|t| t.to_rfc3339_opts(chrono::SecondsFormat::Secs, true));
        let wrong = format!(
            "job \"{}\" has finished at {}, and {} is older: what came after it would be done twice",
            settings.name,
            at.unwrap_or_default(),
            found.path.display()
        );
        let error = CliError::new(ExitStatus::NotRestorable, asked, wrong);
        return Err(error.next("leave -s out to start anew, or give the path to go back to it all the same"));
    }
    output.note(format!("Restoring from {} (checkpoint {} of job {})", found.path.display(), found.id, found.job));
    Ok(found.path)
}
