//! `/jobs/:id/vertices/:vertex`.

use super::{Millis, VertexMetrics};
use crate::types::WallTime;
use serde::{Deserialize, Serialize};

/// `GET /jobs/:id/vertices/:vertex`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VertexDetails {
    /// 32 hex digits.
    pub id: String,
    /// `Source: bids[1] -> Calc[2]`
    pub name: String,
    /// Its number of subtasks.
    pub parallelism: u32,
    /// The number of key groups.
    #[serde(rename = "maxParallelism")]
    pub max_parallelism: i64,
    /// When this answer was made.
    pub now: WallTime,
    /// One entry a subtask.
    pub subtasks: Vec<Subtask>,
}

/// One subtask.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Subtask {
    /// Its index.
    pub subtask: u32,
    /// Flink's `ExecutionState`.
    pub status: String,
    /// How often the job was restarted.
    pub attempt: u64,
    /// `localhost`
    pub endpoint: String,
    /// When it started; -1 before.
    pub start_time: WallTime,
    /// When it ended; -1 before.
    pub end_time: WallTime,
    /// How long it has been running, or ran; -1 before.
    pub duration: Millis,
    /// What it has read and written.
    pub metrics: VertexMetrics,
    /// The job's process.
    pub taskmanager_id: String,
}
