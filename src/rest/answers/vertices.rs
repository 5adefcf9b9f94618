//! Answers about vertices and their subtasks: states, counters, metrics.

use super::{Answers, count, millis};
use crate::metrics::OperatorMetrics;
use crate::rest::types::{ExecutionCounts, MetricValue, Millis, NEVER, Subtask, VertexDetails, VertexMetrics, VertexOverview};
use crate::runtime::{JobStatus, VertexView};
use crate::types::WallTime;

impl Answers<'_> {
    /// Flink's `ExecutionState` of a vertex's unfinished subtasks: they move together.
    fn execution_state(&self) -> &'static str {
        match self.view.status {
            JobStatus::Initializing | JobStatus::Restarting => "INITIALIZING",
            JobStatus::Created => "CREATED",
            JobStatus::Running => "RUNNING",
            JobStatus::Failing | JobStatus::Cancelling => "CANCELING",
            JobStatus::Failed => "FAILED",
            JobStatus::Canceled => "CANCELED",
            JobStatus::Finished => "FINISHED",
        }
    }

    pub(super) fn vertex_status(&self, vertex: &VertexView) -> &'static str {
        if vertex.parallelism > 0 && vertex.finished_subtasks >= vertex.parallelism { "FINISHED" } else { self.execution_state() }
    }

    pub(super) fn subtasks_of(&self, vertex: &VertexView) -> ExecutionCounts {
        let mut counts = ExecutionCounts::default();
        let finished = vertex.finished_subtasks.min(vertex.parallelism);
        *slot(&mut counts, self.execution_state()) += count(vertex.parallelism - finished);
        counts.finished += count(finished);
        counts
    }

    /// When the subtasks started and ended, and how long that was.
    fn span(&self) -> (WallTime, WallTime, Millis) {
        match self.reached(JobStatus::Running) {
            None => (NEVER, NEVER, Millis(-1)),
            Some(start) => {
                let end = self.end();
                (start, end, millis((if end == NEVER { self.now } else { end }).since(start)))
            }
        }
    }

    pub(super) fn vertex_overview(&self, vertex: &VertexView) -> VertexOverview {
        let (start_time, end_time, duration) = self.span();
        VertexOverview {
            id: vertex.id.clone(),
            slot_sharing_group_id: self.id.to_string(),
            name: vertex.name.clone(),
            max_parallelism: self.view.max_parallelism as i64,
            parallelism: count(vertex.parallelism),
            status: self.vertex_status(vertex).to_owned(),
            start_time,
            end_time,
            duration,
            tasks: self.subtasks_of(vertex),
            metrics: sum_of(vertex.metrics.iter().map(|chain| chain_metrics(vertex, chain))),
        }
    }

    /// `GET /jobs/:id/vertices/:vertex`; `None` if there is no such vertex.
    pub fn vertex(&self, id: &str) -> Option<VertexDetails> {
        let vertex = self.view.vertices.iter().find(|v| v.id == id)?;
        let (start_time, end_time, duration) = self.span();
        let unfinished = vertex.parallelism.saturating_sub(vertex.finished_subtasks);
        let subtask = |index: usize| Subtask {
            subtask: count(index),
            // Which subtasks are the finished ones is not recorded: the last ones stand for them.
            status: if index < unfinished { self.execution_state() } else { "FINISHED" }.to_owned(),
            attempt: self.view.restarts,
            endpoint: "localhost".to_owned(),
            start_time,
            end_time,
            duration,
            metrics: vertex.metrics.get(index).map_or_else(VertexMetrics::default, |chain| chain_metrics(vertex, chain)),
            taskmanager_id: self.id.to_string(),
        };
        Some(VertexDetails {
            id: vertex.id.clone(),
            name: vertex.name.clone(),
            parallelism: count(vertex.parallelism),
            max_parallelism: self.view.max_parallelism as i64,
            now: self.now,
            subtasks: (0..vertex.parallelism).map(subtask).collect(),
        })
    }

    /// `GET /jobs/:id/vertices/:vertex/metrics`: of the subtasks, and of each operator in them; `None` if there is no such vertex.
    pub fn vertex_metrics(&self, id: &str) -> Option<Vec<MetricValue>> {
        let vertex = self.view.vertices.iter().find(|v| v.id == id)?;
        let names: Vec<String> = vertex.name.split(" -> ").map(|n| n.replace([' ', ':'], "_")).collect();
        let mut metrics = Vec::new();
        let mut push = |id: String, value: String| metrics.push(MetricValue { id, value: Some(value) });
        for (index, chain) in vertex.metrics.iter().enumerate() {
            let sum = chain_metrics(vertex, chain);
            push(format!("{index}.numRecordsIn"), sum.read_records.to_string());
            push(format!("{index}.numRecordsOut"), sum.write_records.to_string());
            push(format!("{index}.numBytesIn"), sum.read_bytes.to_string());
            push(format!("{index}.numBytesOut"), sum.write_bytes.to_string());
            for (position, operator) in chain.iter().enumerate() {
                let name = names.get(position).cloned().unwrap_or_else(|| position.to_string());
                push(format!("{index}.{name}.numRecordsIn"), operator.records_in.get().to_string());
                push(format!("{index}.{name}.numRecordsOut"), operator.records_out.get().to_string());
                push(format!("{index}.{name}.numBytesIn"), operator.bytes_in.get().to_string());
                push(format!("{index}.{name}.numBytesOut"), operator.bytes_out.get().to_string());
                push(format!("{index}.{name}.numLateRecordsDropped"), operator.late_records_dropped.get().to_string());
                push(format!("{index}.{name}.numRecordsInErrors"), operator.bad_records.get().to_string());
                push(format!("{index}.{name}.currentOutputWatermark"), operator.watermark.get().to_string());
            }
        }
        Some(metrics)
    }
}

/// The counter of a status.
pub(super) fn slot<'a>(counts: &'a mut ExecutionCounts, status: &str) -> &'a mut u32 {
    match status {
        "RUNNING" => &mut counts.running,
        "FINISHED" => &mut counts.finished,
        "CANCELED" => &mut counts.canceled,
        "CANCELING" => &mut counts.canceling,
        "FAILED" => &mut counts.failed,
        "INITIALIZING" => &mut counts.initializing,
        _ => &mut counts.created,
    }
}

impl Default for VertexMetrics {
    fn default() -> Self {
        sum_of(std::iter::empty())
    }
}

/// What one subtask has read and written: the records that its first operator took and its last one gave. As in Flink, a source
/// reads and a sink writes no records; its bytes are those of the connector.
fn chain_metrics(vertex: &VertexView, chain: &[OperatorMetrics]) -> VertexMetrics {
    let (Some(first), Some(last)) = (chain.first(), chain.last()) else {
        return VertexMetrics::default();
    };
    let read = if vertex.inputs.is_empty() { 0 } else { first.records_in.get() };
    VertexMetrics {
        read_bytes: first.bytes_in.get(),
        write_bytes: last.bytes_out.get(),
        read_records: read,
        write_records: last.records_out.get(),
        ..VertexMetrics::default()
    }
}

fn sum_of(parts: impl Iterator<Item = VertexMetrics>) -> VertexMetrics {
    let zero = VertexMetrics {
        read_bytes: 0,
        read_bytes_complete: true,
        write_bytes: 0,
        write_bytes_complete: true,
        read_records: 0,
        read_records_complete: true,
        write_records: 0,
        write_records_complete: true,
    };
    parts.fold(zero, |sum, part| VertexMetrics {
        read_bytes: sum.read_bytes + part.read_bytes,
        write_bytes: sum.write_bytes + part.write_bytes,
        read_records: sum.read_records + part.read_records,
        write_records: sum.write_records + part.write_records,
        ..sum
    })
}
