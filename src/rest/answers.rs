//! What is known of a job → Flink's answers. Pure: the view, the job's id and the time go in, messages come out.

use super::types::{
    CheckpointConfig, CheckpointCounts, CheckpointStatistics, CheckpointSummary, CheckpointsAnswer, Cluster, Dashboard, DashboardFeatures,
    ExceptionEntries, ExceptionEntry, ExceptionHistory, ExecutionConfig, ExecutionCounts, Externalization, JobConfig, JobDetails, JobIds,
    JobOverview, JobPlan, JobState, JobsOverview, LatestCheckpoints, MetricValue, Millis, NEVER, Plan, PlanInput, PlanNode,
    RestoredCheckpoint, Statistics, StatusTimes, Subtask, TaskCounts, VertexDetails, VertexMetrics, VertexOverview,
};
use crate::metrics::OperatorMetrics;
use crate::runtime::{CheckpointView, JobStatus, JobView, VertexView};
use crate::types::{ByteSize, JobId, WallTime, parse_duration};
use std::path::Path;
use std::time::Duration;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// One job, looked at once.
#[derive(Debug, Clone, Copy)]
pub struct Answers<'a> {
    /// The job's id.
    pub id: JobId,
    /// What is known of it.
    pub view: &'a JobView,
    /// When it was looked at.
    pub now: WallTime,
}

/// A path as Flink prints the ones of local files: `file:/data/savepoint-1`.
pub fn location(path: &Path) -> String {
    format!("file:{}", path.display())
}

fn millis(duration: Duration) -> Millis {
    Millis(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX))
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

impl Answers<'_> {
    /// When the job reached `status` last, if it did.
    fn reached(&self, status: JobStatus) -> Option<WallTime> {
        self.view.status_times.iter().rev().find(|(s, _)| *s == status).map(|(_, t)| *t)
    }

    fn start(&self) -> WallTime {
        self.view.status_times.first().map_or(self.now, |(_, t)| *t)
    }

    fn end(&self) -> WallTime {
        if self.view.status.is_terminal() { self.reached(self.view.status).unwrap_or(self.now) } else { NEVER }
    }

    fn duration(&self) -> Millis {
        let until = if self.view.status.is_terminal() { self.end() } else { self.now };
        millis(until.since(self.start()))
    }

    fn option(&self, key: &str) -> Option<&str> {
        self.view.options.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    fn kind(&self) -> String {
        let batch = self.option("execution.runtime-mode").is_some_and(|mode| mode.eq_ignore_ascii_case("BATCH"));
        if batch { "BATCH" } else { "STREAMING" }.to_owned()
    }

    /// `GET /overview`
    pub fn cluster(&self) -> Cluster {
        let is = |status: &[JobStatus]| u32::from(status.contains(&self.view.status));
        let running = u32::from(!self.view.status.is_terminal());
        let slots = count(self.view.parallelism);
        Cluster {
            taskmanagers: 1,
            slots_total: slots,
            slots_available: if running == 1 { 0 } else { slots },
            jobs_running: running,
            jobs_finished: is(&[JobStatus::Finished]),
            jobs_cancelled: is(&[JobStatus::Canceled]),
            jobs_failed: is(&[JobStatus::Failed]),
            flink_version: VERSION.to_owned(),
            flink_commit: String::new(),
        }
    }

    /// `GET /config`
    pub fn dashboard() -> Dashboard {
        Dashboard {
            refresh_interval: Millis(3_000),
            timezone_name: "Coordinated Universal Time".to_owned(),
            timezone_offset: Millis(0),
            flink_version: VERSION.to_owned(),
            flink_revision: String::new(),
            features: DashboardFeatures { web_submit: false, web_cancel: true, web_rescale: false, web_history: false },
        }
    }

    /// `GET /jobs`
    pub fn jobs(&self) -> JobIds {
        JobIds { jobs: vec![JobState { id: self.id.to_string(), status: self.view.status.as_str().to_owned() }] }
    }

    /// `GET /jobs/overview`
    pub fn overview(&self) -> JobsOverview {
        let mut tasks = TaskCounts::default();
        for vertex in &self.view.vertices {
            let counts = self.subtasks_of(vertex);
            tasks.running += counts.running;
            tasks.canceling += counts.canceling;
            tasks.canceled += counts.canceled;
            tasks.created += counts.created;
            tasks.finished += counts.finished;
            tasks.initializing += counts.initializing;
            tasks.failed += counts.failed;
            tasks.total += count(vertex.parallelism);
        }
        let job = JobOverview {
            jid: self.id.to_string(),
            name: self.view.name.clone(),
            job_type: Some(self.kind()),
            scheduler_type: Some("Default".to_owned()),
            start_time: self.start(),
            end_time: self.end(),
            duration: self.duration(),
            state: self.view.status.as_str().to_owned(),
            last_modification: self.view.status_times.last().map_or(self.now, |(_, t)| *t),
            tasks,
            pending_operators: 0,
        };
        JobsOverview { jobs: vec![job] }
    }

    /// `GET /jobs/:id`
    pub fn details(&self) -> JobDetails {
        let at = |status| self.reached(status).unwrap_or(WallTime(0));
        let mut status_counts = ExecutionCounts::default();
        for vertex in &self.view.vertices {
            *slot(&mut status_counts, self.vertex_status(vertex)) += 1;
        }
        JobDetails {
            jid: self.id.to_string(),
            application_id: self.id.to_string(),
            name: self.view.name.clone(),
            is_stoppable: false,
            state: self.view.status.as_str().to_owned(),
            job_type: self.kind(),
            scheduler_type: "Default".to_owned(),
            start_time: self.start(),
            end_time: self.end(),
            duration: self.duration(),
            max_parallelism: self.view.max_parallelism as i64,
            now: self.now,
            timestamps: StatusTimes {
                failing: at(JobStatus::Failing),
                cancelling: at(JobStatus::Cancelling),
                canceled: at(JobStatus::Canceled),
                running: at(JobStatus::Running),
                suspended: WallTime(0),
                failed: at(JobStatus::Failed),
                reconciling: WallTime(0),
                finished: at(JobStatus::Finished),
                created: at(JobStatus::Created),
                restarting: at(JobStatus::Restarting),
                initializing: at(JobStatus::Initializing),
            },
            vertices: self.view.vertices.iter().map(|v| self.vertex_overview(v)).collect(),
            status_counts,
            plan: self.plan().plan,
            pending_operators: 0,
        }
    }

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

    fn vertex_status(&self, vertex: &VertexView) -> &'static str {
        if vertex.parallelism > 0 && vertex.finished_subtasks >= vertex.parallelism { "FINISHED" } else { self.execution_state() }
    }

    fn subtasks_of(&self, vertex: &VertexView) -> ExecutionCounts {
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

    fn vertex_overview(&self, vertex: &VertexView) -> VertexOverview {
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

    /// `GET /jobs/:id/config`
    pub fn config(&self) -> JobConfig {
        JobConfig {
            jid: self.id.to_string(),
            name: self.view.name.clone(),
            execution_config: ExecutionConfig {
                restart_strategy: self.option("restart-strategy.type").unwrap_or("Cluster level default restart strategy").to_owned(),
                job_parallelism: count(self.view.parallelism),
                object_reuse_mode: true,
                user_config: self.view.options.iter().map(|(k, v)| (k.clone(), v.clone().into())).collect(),
            },
        }
    }

    /// `GET /jobs/:id/plan`
    pub fn plan(&self) -> JobPlan {
        let vertices = &self.view.vertices;
        let nodes = vertices.iter().rev().map(|vertex| PlanNode {
            id: vertex.id.clone(),
            operator: String::new(),
            parallelism: count(vertex.parallelism),
            operator_strategy: String::new(),
            description: vertex.name.clone(),
            optimizer_properties: serde_json::Map::new(),
            inputs: (vertex.inputs.iter().enumerate())
                .filter_map(|(num, (from, strategy))| {
                    let id = vertices.get(*from)?.id.clone();
                    let (exchange, ship_strategy) = ("pipelined_bounded".to_owned(), (*strategy).to_owned());
                    Some(PlanInput { id, num: count(num), exchange, ship_strategy })
                })
                .collect(),
        });
        JobPlan { plan: Plan { jid: self.id.to_string(), name: self.view.name.clone(), kind: self.kind(), nodes: nodes.collect() } }
    }

    /// `GET /jobs/:id/exceptions`
    pub fn exceptions(&self) -> ExceptionHistory {
        let entry = |(timestamp, message): &(WallTime, String)| ExceptionEntry {
            exception_name: message.lines().next().unwrap_or_default().to_owned(),
            stacktrace: message.clone(),
            timestamp: *timestamp,
            task_name: None,
            endpoint: None,
            task_manager_id: None,
            failure_labels: serde_json::Map::new(),
            concurrent_exceptions: Vec::new(),
        };
        ExceptionHistory { history: ExceptionEntries { entries: self.view.failures.iter().map(entry).collect(), truncated: false } }
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

    /// `GET /jobs/:id/metrics`
    pub fn job_metrics(&self) -> Vec<MetricValue> {
        let checkpoints = &self.view.checkpoints;
        let last = checkpoints.latest_completed.as_ref();
        let ack = last.and_then(|c| Some((c, c.latest_ack?)));
        let number = |n: Option<i64>| n.unwrap_or(-1).to_string();
        let uptime = self.reached(JobStatus::Running).filter(|_| self.view.status == JobStatus::Running);
        let uptime = uptime.map_or(0, |t| millis(self.now.since(t)).0).to_string();
        let restored = checkpoints.latest_restored.as_ref().map(|(_, at, _, _)| at.0);
        let path = last.and_then(|c| c.path.as_deref()).map_or_else(|| "n/a".to_owned(), location);
        let total = checkpoints.completed + checkpoints.failed + checkpoints.in_progress;
        let metric = |(id, value): (&str, String)| MetricValue { id: id.to_owned(), value: Some(value) };
        [
            ("uptime", uptime.clone()),
            ("runningTime", uptime),
            ("numRestarts", self.view.restarts.to_string()),
            ("totalNumberOfCheckpoints", total.to_string()),
            ("numberOfInProgressCheckpoints", checkpoints.in_progress.to_string()),
            ("numberOfCompletedCheckpoints", checkpoints.completed.to_string()),
            ("numberOfFailedCheckpoints", checkpoints.failed.to_string()),
            ("lastCompletedCheckpointId", number(last.map(|c| c.id.number() as i64))),
            ("lastCheckpointSize", number(last.map(|c| c.bytes as i64))),
            ("lastCheckpointFullSize", number(last.map(|c| c.bytes as i64))),
            ("lastCheckpointDuration", number(ack.map(|(c, at)| millis(at.since(c.triggered)).0))),
            ("lastCheckpointCompletedTimestamp", number(ack.map(|(_, at)| at.0))),
            ("lastCheckpointRestoreTimestamp", number(restored)),
            ("lastCheckpointExternalPath", path),
        ]
        .into_iter()
        .map(metric)
        .collect()
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

    /// `GET /jobs/:id/checkpoints`
    pub fn checkpoints(&self) -> CheckpointsAnswer {
        let view = &self.view.checkpoints;
        let completed: Vec<&CheckpointView> = view.history.iter().filter(|c| c.status == "COMPLETED").collect();
        let sizes = Statistics::of(completed.iter().map(|c| c.bytes).collect());
        let took = |c: &&CheckpointView| c.latest_ack.map(|ack| ack.since(c.triggered).as_millis() as u64);
        let newest = |savepoint: bool| completed.iter().find(|c| c.is_savepoint == savepoint).map(|c| self.statistics(c));
        let restored = view.latest_restored.as_ref().map(|(id, at, is_savepoint, path)| RestoredCheckpoint {
            id: *id,
            restore_timestamp: *at,
            is_savepoint: *is_savepoint,
            external_path: path.as_deref().map(location),
        });
        CheckpointsAnswer {
            counts: CheckpointCounts {
                restored: view.restored,
                total: view.completed + view.failed + view.in_progress,
                in_progress: view.in_progress,
                completed: view.completed,
                failed: view.failed,
            },
            summary: CheckpointSummary {
                checkpointed_size: sizes,
                state_size: sizes,
                end_to_end_duration: Statistics::of(completed.iter().filter_map(took).collect()),
                alignment_buffered: Statistics::default(),
                processed_data: Statistics::default(),
                persisted_data: Statistics::default(),
            },
            latest: LatestCheckpoints {
                completed: newest(false).or_else(|| view.latest_completed.as_ref().filter(|c| !c.is_savepoint).map(|c| self.statistics(c))),
                savepoint: newest(true).or_else(|| view.latest_savepoint.as_ref().map(|c| self.statistics(c))),
                failed: view.history.iter().find(|c| c.status == "FAILED").map(|c| self.statistics(c)),
                restored,
            },
            history: view.history.iter().map(|c| self.statistics(c)).collect(),
        }
    }

    /// `GET /jobs/:id/checkpoints/details/:n`; `None` if the history does not have it.
    pub fn checkpoint(&self, number: u64) -> Option<CheckpointStatistics> {
        self.view.checkpoints.history.iter().find(|c| c.id.number() == number).map(|c| self.statistics(c))
    }

    fn statistics(&self, view: &CheckpointView) -> CheckpointStatistics {
        let kind = if view.is_savepoint { "SAVEPOINT" } else { "CHECKPOINT" };
        let (failed, completed) = (view.status == "FAILED", view.status == "COMPLETED");
        // Retention keeps the newest ones; the files of the others are gone. Savepoints belong to whoever asked for them.
        let retained = self.option("execution.checkpointing.num-retained").and_then(|n| n.parse().ok()).unwrap_or(1);
        let newer = self.view.checkpoints.history.iter().filter(|c| c.status == "COMPLETED" && !c.is_savepoint && c.id > view.id).count();
        CheckpointStatistics {
            class_name: view.status.to_ascii_lowercase(),
            id: view.id,
            status: view.status.to_owned(),
            is_savepoint: view.is_savepoint,
            savepoint_format: view.is_savepoint.then(|| "CANONICAL".to_owned()),
            trigger_timestamp: view.triggered,
            latest_ack_timestamp: view.latest_ack.unwrap_or(NEVER),
            checkpointed_size: ByteSize(view.bytes),
            state_size: ByteSize(view.bytes),
            end_to_end_duration: view.latest_ack.map_or(Millis(-1), |ack| millis(ack.since(view.triggered))),
            alignment_buffered: ByteSize(0),
            processed_data: ByteSize(0),
            persisted_data: ByteSize(0),
            num_subtasks: count(view.acknowledged.1),
            num_acknowledged_subtasks: count(view.acknowledged.0),
            checkpoint_type: kind.to_owned(),
            tasks: serde_json::Map::new(),
            external_path: view.path.as_deref().filter(|_| completed).map(location),
            discarded: completed.then_some(!view.is_savepoint && newer >= retained),
            failure_timestamp: failed.then(|| view.latest_ack.unwrap_or(view.triggered)),
            failure_message: failed.then(|| view.failure.clone().unwrap_or_default()),
        }
    }

    /// `GET /jobs/:id/checkpoints/config`
    pub fn checkpoint_config(&self) -> CheckpointConfig {
        let text = |key: &str| self.option(&format!("execution.checkpointing.{key}"));
        let duration = |key: &str, default: i64| text(key).and_then(|t| parse_duration(t).ok()).map_or(Millis(default), millis);
        let number = |key: &str, default: u64| text(key).and_then(|t| t.parse().ok()).unwrap_or(default);
        let retention = text("externalized-checkpoint-retention").unwrap_or("NO_EXTERNALIZED_CHECKPOINTS");
        let interval = duration("interval", 0);
        CheckpointConfig {
            mode: text("mode").unwrap_or("EXACTLY_ONCE").to_ascii_lowercase(),
            interval: if interval.0 == 0 { Millis(i64::MAX) } else { interval },
            timeout: duration("timeout", 600_000),
            min_pause: duration("min-pause", 0),
            max_concurrent: number("max-concurrent-checkpoints", 1),
            externalization: Externalization {
                enabled: retention != "NO_EXTERNALIZED_CHECKPOINTS",
                delete_on_cancellation: retention != "RETAIN_ON_CANCELLATION",
            },
            state_backend: match self.option("state.backend.type") {
                Some("rocksdb") => "EmbeddedRocksDBStateBackend",
                _ => "HashMapStateBackend",
            }
            .to_owned(),
            checkpoint_storage: match text("storage") {
                Some("jobmanager") => "JobManagerCheckpointStorage",
                _ => "FileSystemCheckpointStorage",
            }
            .to_owned(),
            unaligned_checkpoints: text("unaligned.enabled") == Some("true"),
            tolerable_failed_checkpoints: number("tolerable-failed-checkpoints", 0),
            aligned_checkpoint_timeout: Millis(0),
            checkpoints_after_tasks_finish: text("checkpoints-after-tasks-finish") != Some("false"),
            state_changelog_enabled: false,
        }
    }
}

/// The counter of a status.
fn slot<'a>(counts: &'a mut ExecutionCounts, status: &str) -> &'a mut u32 {
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
