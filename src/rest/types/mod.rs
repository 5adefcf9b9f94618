//! Flink's REST messages, field by field as Flink 2.3 writes them: the server makes them, the client reads them. What a real
//! cluster sends beyond these fields is ignored when reading.

mod checkpoints;
mod jobs;
mod requests;
mod vertices;

pub use checkpoints::{
    CheckpointConfig, CheckpointCounts, CheckpointStatistics, CheckpointSummary, CheckpointsAnswer, Externalization, LatestCheckpoints,
    RestoredCheckpoint, Statistics,
};
pub use jobs::{
    Cluster, Dashboard, DashboardFeatures, ExceptionEntries, ExceptionEntry, ExceptionHistory, ExecutionConfig, ExecutionCounts, JobConfig,
    JobDetails, JobId32, JobIds, JobOverview, JobPlan, JobState, JobsOverview, Plan, PlanInput, PlanNode, StatusTimes, TaskCounts,
    VertexMetrics, VertexOverview,
};
pub use requests::{
    CheckpointOperation, CheckpointRequest, CheckpointType, DisposalRequest, Empty, Errors, FailureCause, MetricValue, NEVER,
    OperationState, OperationStatus, Polled, SavepointFormat, SavepointOperation, SavepointTrigger, StopTrigger, Triggered,
};
pub use vertices::{Subtask, VertexDetails};

use serde::{Deserialize, Serialize};

/// A length of time in whole milliseconds; `-1` where Flink has no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Default)]
#[serde(transparent)]
pub struct Millis(pub i64);
