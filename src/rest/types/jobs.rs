//! `/overview`, `/config`, `/jobs`, `/jobs/overview`, `/jobs/:id`, `/status`, `/config`, `/plan`, `/exceptions`.

use super::Millis;
use crate::types::WallTime;
use serde::{Deserialize, Serialize};

/// A job's or request's id as text: 32 hex digits.
pub type JobId32 = String;

/// `GET /overview`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Cluster {
    /// 1: the process itself.
    pub taskmanagers: u32,
    /// The job's parallelism.
    pub slots_total: u32,
    /// 0 while the job runs.
    pub slots_available: u32,
    /// Jobs that run.
    pub jobs_running: u32,
    /// Jobs that ended by themselves or by `stop`.
    pub jobs_finished: u32,
    /// Jobs that were cancelled.
    pub jobs_cancelled: u32,
    /// Jobs that failed.
    pub jobs_failed: u32,
    /// This program's version.
    pub flink_version: String,
    /// Empty: not recorded.
    pub flink_commit: String,
}

/// `GET /config`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Dashboard {
    /// How often a dashboard should ask again.
    pub refresh_interval: Millis,
    /// The zone of the texts that a dashboard shows.
    pub timezone_name: String,
    /// Its offset from UTC.
    pub timezone_offset: Millis,
    /// This program's version.
    pub flink_version: String,
    /// Empty: not recorded.
    pub flink_revision: String,
    /// What may be asked for.
    pub features: DashboardFeatures,
}

/// What a dashboard may ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(clippy::struct_excessive_bools, reason = "Flink's message has four booleans")]
pub struct DashboardFeatures {
    /// Submit a job.
    pub web_submit: bool,
    /// Cancel a job.
    pub web_cancel: bool,
    /// Change a job's parallelism.
    pub web_rescale: bool,
    /// Serve archived jobs.
    pub web_history: bool,
}

/// `GET /jobs`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobIds {
    /// All jobs.
    pub jobs: Vec<JobState>,
}

/// One job of `GET /jobs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobState {
    /// Its id.
    pub id: JobId32,
    /// Flink's `JobStatus`.
    pub status: String,
}

/// `GET /jobs/overview`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobsOverview {
    /// All jobs.
    pub jobs: Vec<JobOverview>,
}

/// One job of `GET /jobs/overview`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct JobOverview {
    /// Its id.
    pub jid: JobId32,
    /// `pipeline.name`
    pub name: String,
    /// `STREAMING` or `BATCH`.
    #[serde(rename = "jobType", default, skip_serializing_if = "Option::is_none")]
    pub job_type: Option<String>,
    /// `Default`
    #[serde(rename = "schedulerType", default)]
    pub scheduler_type: Option<String>,
    /// When it was submitted.
    pub start_time: WallTime,
    /// When it ended; -1 before.
    pub end_time: WallTime,
    /// How long it has been running, or ran.
    pub duration: Millis,
    /// Flink's `JobStatus`; a text, because a cluster knows more of them than this program.
    pub state: String,
    /// When its status changed last.
    pub last_modification: WallTime,
    /// Its subtasks by status.
    pub tasks: TaskCounts,
    /// 0: nothing waits for resources.
    #[serde(default)]
    pub pending_operators: u32,
}

/// Subtasks by Flink's `ExecutionState`, in lower case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "each field is one of Flink's ExecutionStates")]
pub struct TaskCounts {
    pub running: u32,
    pub canceling: u32,
    pub canceled: u32,
    /// All of them.
    pub total: u32,
    pub created: u32,
    pub scheduled: u32,
    pub deploying: u32,
    pub reconciling: u32,
    pub finished: u32,
    pub initializing: u32,
    pub failed: u32,
}

/// Subtasks by Flink's `ExecutionState`, in upper case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE", default)]
#[expect(missing_docs, reason = "each field is one of Flink's ExecutionStates")]
pub struct ExecutionCounts {
    pub running: u32,
    pub reconciling: u32,
    pub canceled: u32,
    pub initializing: u32,
    pub failed: u32,
    pub scheduled: u32,
    pub created: u32,
    pub deploying: u32,
    pub canceling: u32,
    pub finished: u32,
}

/// When a job reached each status; 0 if it never did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "each field is one of Flink's JobStatus values")]
pub struct StatusTimes {
    pub failing: WallTime,
    pub cancelling: WallTime,
    pub canceled: WallTime,
    pub running: WallTime,
    pub suspended: WallTime,
    pub failed: WallTime,
    pub reconciling: WallTime,
    pub finished: WallTime,
    pub created: WallTime,
    pub restarting: WallTime,
    pub initializing: WallTime,
}

/// `GET /jobs/:id`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct JobDetails {
    /// Its id.
    pub jid: JobId32,
    /// The same: one job is one application.
    pub application_id: JobId32,
    /// `pipeline.name`
    pub name: String,
    /// False, as in Flink: `stop` is asked for with a savepoint.
    #[serde(rename = "isStoppable")]
    pub is_stoppable: bool,
    /// Flink's `JobStatus`.
    pub state: String,
    /// `STREAMING` or `BATCH`.
    pub job_type: String,
    /// `Default`
    #[serde(rename = "schedulerType")]
    pub scheduler_type: String,
    /// When it was submitted.
    pub start_time: WallTime,
    /// When it ended; -1 before.
    pub end_time: WallTime,
    /// How long it has been running, or ran.
    pub duration: Millis,
    /// The number of key groups.
    #[serde(rename = "maxParallelism")]
    pub max_parallelism: i64,
    /// When this answer was made.
    pub now: WallTime,
    /// When it reached each status.
    pub timestamps: StatusTimes,
    /// Its vertices (chains).
    pub vertices: Vec<VertexOverview>,
    /// Vertices by status.
    pub status_counts: ExecutionCounts,
    /// Who sends to whom.
    pub plan: Plan,
    /// 0: nothing waits for resources.
    pub pending_operators: u32,
}

/// One vertex of `GET /jobs/:id`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct VertexOverview {
    /// 32 hex digits.
    pub id: String,
    /// All vertices share the process.
    #[serde(rename = "slotSharingGroupId")]
    pub slot_sharing_group_id: String,
    /// `Source: bids[1] -> Calc[2]`
    pub name: String,
    /// The number of key groups.
    #[serde(rename = "maxParallelism")]
    pub max_parallelism: i64,
    /// Its number of subtasks.
    pub parallelism: u32,
    /// Flink's `ExecutionState`.
    pub status: String,
    /// When it started; -1 before.
    pub start_time: WallTime,
    /// When it ended; -1 before.
    pub end_time: WallTime,
    /// How long it has been running, or ran; -1 before it started.
    pub duration: Millis,
    /// Its subtasks by status.
    pub tasks: ExecutionCounts,
    /// What it has read and written.
    pub metrics: VertexMetrics,
}

/// What a vertex or subtask has read and written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(clippy::struct_excessive_bools, reason = "Flink's message has four booleans")]
pub struct VertexMetrics {
    /// Bytes read.
    pub read_bytes: u64,
    /// True: the number is final as far as it goes.
    pub read_bytes_complete: bool,
    /// Bytes written.
    pub write_bytes: u64,
    /// True.
    pub write_bytes_complete: bool,
    /// Records read.
    pub read_records: u64,
    /// True.
    pub read_records_complete: bool,
    /// Records written.
    pub write_records: u64,
    /// True.
    pub write_records_complete: bool,
}

/// `GET /jobs/:id/config`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct JobConfig {
    /// The job's id.
    pub jid: JobId32,
    /// `pipeline.name`
    pub name: String,
    /// The options.
    pub execution_config: ExecutionConfig,
}

/// The options of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ExecutionConfig {
    /// `restart-strategy.type`
    pub restart_strategy: String,
    /// `parallelism.default`
    pub job_parallelism: u32,
    /// True: batches are handed on without copies.
    pub object_reuse_mode: bool,
    /// Every effective option as text.
    pub user_config: serde_json::Map<String, serde_json::Value>,
}

/// `GET /jobs/:id/plan`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobPlan {
    /// The plan.
    pub plan: Plan,
}

/// Who sends to whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The job's id.
    pub jid: JobId32,
    /// `pipeline.name`
    pub name: String,
    /// `STREAMING` or `BATCH`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its vertices, sinks first as in Flink.
    pub nodes: Vec<PlanNode>,
}

/// One vertex of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanNode {
    /// 32 hex digits.
    pub id: String,
    /// Empty in streaming jobs.
    pub operator: String,
    /// Its number of subtasks.
    pub parallelism: u32,
    /// Empty in streaming jobs.
    pub operator_strategy: String,
    /// What it does.
    pub description: String,
    /// Empty in streaming jobs.
    pub optimizer_properties: serde_json::Map<String, serde_json::Value>,
    /// What it reads; absent for sources.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<PlanInput>,
}

/// One edge of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanInput {
    /// The vertex that sends.
    pub id: String,
    /// The number of this input, from 0.
    pub num: u32,
    /// `pipelined_bounded`
    pub exchange: String,
    /// `FORWARD`, `HASH`, `REBALANCE`, `BROADCAST`
    pub ship_strategy: String,
}

/// `GET /jobs/:id/exceptions`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExceptionHistory {
    /// The failures, newest first.
    #[serde(rename = "exceptionHistory")]
    pub history: ExceptionEntries,
}

/// The failures of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExceptionEntries {
    /// Newest first.
    pub entries: Vec<ExceptionEntry>,
    /// True if there were more.
    pub truncated: bool,
}

/// One failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExceptionEntry {
    /// Its first line.
    pub exception_name: String,
    /// All of it.
    pub stacktrace: String,
    /// When.
    pub timestamp: WallTime,
    /// Always null: failures are not attributed to a task.
    pub task_name: Option<String>,
    /// Always null.
    pub endpoint: Option<String>,
    /// Always null.
    #[serde(rename = "taskManagerId")]
    pub task_manager_id: Option<String>,
    /// Empty.
    pub failure_labels: serde_json::Map<String, serde_json::Value>,
    /// Empty.
    pub concurrent_exceptions: Vec<serde_json::Value>,
}
