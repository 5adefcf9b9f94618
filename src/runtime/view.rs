//! The view of a job as it begins: names, vertices, options; numbers come as it runs.

use super::handle::{CheckpointsView, JobStatus, JobView, VertexView};
use super::plan::ExecutionPlan;
use crate::job::graph::{Exchange, JobGraph};
use crate::types::{MaxParallelism, WallTime};

/// The view of a job that was just made.
pub(crate) fn initial(graph: &JobGraph, plan: &ExecutionPlan, max_parallelism: MaxParallelism, now: WallTime) -> JobView {
    let vertex = |v: &super::plan::Vertex| VertexView {
        id: v.id.clone(),
        name: v.name.clone(),
        parallelism: v.parallelism.get(),
        metrics: Vec::new(),
        finished_subtasks: 0,
        inputs: v.inputs.iter().map(|link| (plan.links[*link].from, ship_strategy(&plan.links[*link].exchange))).collect(),
    };
    JobView {
        name: graph.settings.name.clone(),
        status: JobStatus::Initializing,
        status_times: vec![(JobStatus::Initializing, now)],
        vertices: plan.vertices.iter().map(vertex).collect(),
        checkpoints: CheckpointsView::default(),
        restarts: 0,
        failures: Vec::new(),
        options: graph.settings.options.clone(),
        parallelism: graph.settings.parallelism.get(),
        max_parallelism: max_parallelism.get(),
    }
}

/// Flink's word for an exchange (`ShipStrategyType`).
const fn ship_strategy(exchange: &Exchange) -> &'static str {
    match exchange {
        Exchange::Forward => "FORWARD",
        Exchange::Hash(_) => "HASH",
        Exchange::Rebalance => "REBALANCE",
        Exchange::Broadcast => "BROADCAST",
    }
}
