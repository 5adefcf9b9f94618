//! What is known of a job → Flink's answers. Pure: the view, the job's id and the time go in, messages come out.

mod checkpoints;
mod vertices;

use super::types::{
    Cluster, Dashboard, DashboardFeatures, ExceptionEntries, ExceptionEntry, ExceptionHistory, ExecutionConfig, ExecutionCounts, JobConfig,
    JobDetails, JobIds, JobOverview, JobPlan, JobState, JobsOverview, MetricValue, Millis, NEVER, Plan, PlanInput, PlanNode, StatusTimes,
    TaskCounts,
};
use crate::runtime::{JobStatus, JobView};
use crate::storage::is_remote;
use crate::types::{JobId, WallTime};
use std::path::Path;
use std::time::Duration;
use vertices::slot;

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

/// A path as Flink prints it: `file:/data/savepoint-1`, `s3://bucket/savepoint-1`.
pub fn location(path: &Path) -> String {
    if is_remote(path) {
        return path.display().to_string();
    }
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
}
