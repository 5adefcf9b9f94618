//! `flink state import`: a savepoint for a job that has never run, from files.

use super::failed;
use super::table::size;
use crate::checkpoint::inspect::{Bootstrap, Import, ImportFormat, ImportedStates, bootstrap};
use crate::checkpoint::{JobEntry, OperatorHeader, path_of_text};
use crate::cli::command::JobSource;
use crate::cli::load::load_job;
use crate::cli::output::{CliError, Output};
use crate::cli::surroundings::Surroundings;
use crate::error::ExitStatus;
use crate::job::graph::{JobGraph, Node, NodeKind};
use crate::runtime::operator_states;
use crate::storage::Storage;
use crate::types::{JobId, MaxParallelism, SystemClock};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Imports.
pub(super) fn import(
    source: &JobSource,
    states: &[(String, PathBuf, ImportFormat)],
    to: &Path,
    surroundings: &Surroundings,
    output: &mut Output<'_>,
) -> Result<ExitStatus, CliError> {
    let registry = surroundings.registry()?;
    let job = load_job(source, surroundings, &registry, output)?;
    let asked = format!("no savepoint was built for {}", source.file.display());
    let imports: Vec<Import> = states
        .iter()
        .map(|(state, file, format)| Import { state: state.clone(), path: surroundings.working_dir.join(file), format: *format })
        .collect();
    let target = path_of_text(&to.display().to_string()).map_err(|e| CliError::new(ExitStatus::Usage, &asked, e.to_string()))?;
    let plan = plan(&job.graph, surroundings.absolute(&target), surroundings.storage_of(&job.graph.settings.s3));
    let built = bootstrap(&plan, &imports).map_err(|e| failed(&asked, e))?;
    for (state, rows, bytes) in &built.states {
        output.line(format!("  {state}: {rows} rows, {}", size(bytes.0)));
    }
    output.line(format!("Savepoint completed. Path: {}", built.path.display()));
    output.line(format!("Start the job with: flink run -s {} {}", built.path.display(), source.file.display()));
    let states: Vec<_> = built.states.iter().map(|(s, rows, bytes)| json!({ "state": s, "rows": rows, "bytes": bytes.0 })).collect();
    output.result(&built.path.display().to_string(), &json!({ "path": built.path, "states": states }));
    Ok(ExitStatus::Done)
}

/// What the savepoint of a job looks like.
fn plan(graph: &JobGraph, target: PathBuf, storage: Arc<dyn Storage>) -> Bootstrap {
    let settings = &graph.settings;
    let states = operator_states(graph);
    let operator = |node: &Node| {
        let kind = match &node.kind {
            NodeKind::Source(source) => source.source.describe(),
            NodeKind::Operator(factory) => factory.describe(),
            NodeKind::Sink(sink) => sink.describe(),
        };
        let own = states.iter().find(|s| s.uid == node.uid).map(|s| ImportedStates {
            keyed: s.keyed.clone(),
            operator: s.operator_states.iter().filter_map(|s| s.registered.clone()).map(Arc::new).collect(),
        });
        (OperatorHeader { uid: node.uid.clone(), kind, parallelism: node.parallelism }, own.unwrap_or_default())
    };
    Bootstrap {
        storage,
        target,
        job: JobEntry { name: settings.name.clone(), id: JobId::from_u128(rand::random()) },
        operators: graph.nodes.iter().map(operator).collect(),
        max_parallelism: settings.max_parallelism.unwrap_or_else(|| MaxParallelism::default_for(settings.parallelism)),
        time: SystemClock::shared().now(),
        random: rand::random(),
        rows_at_once: Bootstrap::ROWS_AT_ONCE,
    }
}
