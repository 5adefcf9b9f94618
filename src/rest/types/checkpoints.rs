//! `/jobs/:id/checkpoints`, `/checkpoints/config`, `/checkpoints/details/:n`.

use super::Millis;
use crate::types::{ByteSize, CheckpointId, WallTime};
use serde::{Deserialize, Serialize};

/// `GET /jobs/:id/checkpoints`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckpointsAnswer {
    /// How many there were.
    pub counts: CheckpointCounts,
    /// Sizes and durations of the completed ones in the history.
    pub summary: CheckpointSummary,
    /// The newest of each kind.
    pub latest: LatestCheckpoints,
    /// Newest first.
    pub history: Vec<CheckpointStatistics>,
}

/// How many checkpoints there were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointCounts {
    /// Restored from.
    pub restored: u64,
    /// Triggered.
    pub total: u64,
    /// Being taken.
    pub in_progress: u64,
    /// Complete.
    pub completed: u64,
    /// Failed.
    pub failed: u64,
}

/// Sizes and durations over the completed checkpoints.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CheckpointSummary {
    /// Bytes written.
    pub checkpointed_size: Statistics,
    /// Bytes of state.
    pub state_size: Statistics,
    /// Milliseconds from trigger to last acknowledgement.
    pub end_to_end_duration: Statistics,
    /// Always 0, as in Flink since 1.11.
    pub alignment_buffered: Statistics,
    /// Bytes processed during alignment.
    pub processed_data: Statistics,
    /// In-flight bytes persisted.
    pub persisted_data: Statistics,
}

/// Minimum, maximum, mean and percentiles.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Default)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Statistics {
    pub min: u64,
    pub max: u64,
    pub avg: u64,
    pub p50: f64,
    pub p90: f64,
    pub p95: f64,
    pub p99: f64,
    pub p999: f64,
}

impl Statistics {
    /// Over these values; zeros if there are none.
    pub fn of(mut values: Vec<u64>) -> Self {
        values.sort_unstable();
        let (Some(&min), Some(&max)) = (values.first(), values.last()) else {
            return Self::default();
        };
        let sum: u128 = values.iter().map(|&v| u128::from(v)).sum();
        let avg = u64::try_from(sum / values.len() as u128).unwrap_or(u64::MAX);
        let p = |quantile| percentile(&values, quantile);
        Self { min, max, avg, p50: p(0.5), p90: p(0.9), p95: p(0.95), p99: p(0.99), p999: p(0.999) }
    }
}

/// The quantile of sorted values by the estimate that Flink's histograms use (position `q * (n + 1)`, interpolated).
fn percentile(sorted: &[u64], quantile: f64) -> f64 {
    let position = quantile * (sorted.len() + 1) as f64;
    let floor = position.floor();
    let index = floor as usize;
    let at = |i: usize| sorted.get(i.min(sorted.len().saturating_sub(1))).map_or(0.0, |&v| v as f64);
    if index < 1 {
        return at(0);
    }
    if index >= sorted.len() {
        return at(sorted.len());
    }
    at(index - 1) + (position - floor) * (at(index) - at(index - 1))
}

/// The newest checkpoint of each kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LatestCheckpoints {
    /// The newest complete checkpoint.
    pub completed: Option<CheckpointStatistics>,
    /// The newest complete savepoint.
    pub savepoint: Option<CheckpointStatistics>,
    /// The newest one that failed.
    pub failed: Option<CheckpointStatistics>,
    /// The one that the job was restored from last.
    pub restored: Option<RestoredCheckpoint>,
}

/// The checkpoint that a job was restored from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoredCheckpoint {
    /// Its number.
    pub id: CheckpointId,
    /// When the job was restored.
    pub restore_timestamp: WallTime,
    /// True for a savepoint.
    pub is_savepoint: bool,
    /// `file:/…`
    pub external_path: Option<String>,
}

/// One checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointStatistics {
    /// `completed`, `in_progress`, `failed`: which fields follow.
    #[serde(rename = "className")]
    pub class_name: String,
    /// Its number.
    pub id: CheckpointId,
    /// `COMPLETED`, `IN_PROGRESS`, `FAILED`
    pub status: String,
    /// True for a savepoint.
    pub is_savepoint: bool,
    /// `CANONICAL` for a savepoint.
    #[serde(rename = "savepointFormat")]
    pub savepoint_format: Option<String>,
    /// When it was triggered.
    pub trigger_timestamp: WallTime,
    /// When the last subtask acknowledged it; -1 before the first.
    pub latest_ack_timestamp: WallTime,
    /// Bytes written.
    pub checkpointed_size: ByteSize,
    /// Bytes of state.
    pub state_size: ByteSize,
    /// From trigger to last acknowledgement; -1 before the first.
    pub end_to_end_duration: Millis,
    /// Always 0, as in Flink since 1.11.
    pub alignment_buffered: ByteSize,
    /// Bytes processed during alignment.
    pub processed_data: ByteSize,
    /// In-flight bytes persisted.
    pub persisted_data: ByteSize,
    /// All subtasks that take part.
    pub num_subtasks: u32,
    /// Subtasks that acknowledged it.
    pub num_acknowledged_subtasks: u32,
    /// `CHECKPOINT`, `SAVEPOINT`
    pub checkpoint_type: String,
    /// By vertex in Flink; empty here: subtasks are counted as a whole.
    pub tasks: serde_json::Map<String, serde_json::Value>,
    /// `file:/…`; completed ones only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_path: Option<String>,
    /// True once its files are gone; completed ones only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discarded: Option<bool>,
    /// When it failed; failed ones only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_timestamp: Option<WallTime>,
    /// Why it failed; failed ones only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_message: Option<String>,
}

/// `GET /jobs/:id/checkpoints/config`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointConfig {
    /// `exactly_once`, `at_least_once`
    pub mode: String,
    /// Between two periodic checkpoints; the largest number if there are none.
    pub interval: Millis,
    /// Of one attempt.
    pub timeout: Millis,
    /// Between the end of one and the start of the next.
    pub min_pause: Millis,
    /// At one time.
    pub max_concurrent: u64,
    /// What becomes of checkpoints at the end.
    pub externalization: Externalization,
    /// `HashMapStateBackend`, `EmbeddedRocksDBStateBackend`
    pub state_backend: String,
    /// `FileSystemCheckpointStorage`, `JobManagerCheckpointStorage`
    pub checkpoint_storage: String,
    /// False: barriers are aligned.
    pub unaligned_checkpoints: bool,
    /// Failures before the job fails.
    pub tolerable_failed_checkpoints: u64,
    /// 0: not used.
    pub aligned_checkpoint_timeout: Millis,
    /// `checkpoints-after-tasks-finish`
    pub checkpoints_after_tasks_finish: bool,
    /// False: there is no state changelog.
    pub state_changelog_enabled: bool,
}

/// What becomes of checkpoints when the job ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Externalization {
    /// True if they are kept at all.
    pub enabled: bool,
    /// True if they are deleted when the job is cancelled.
    pub delete_on_cancellation: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_that_flink_prints_for_the_same_values() {
        // Sizes and durations of the ten completed checkpoints in Flink's own answer.
        let sizes = vec![10624, 10526, 10477, 8537, 10183, 8107, 9938, 7863, 9007, 6459];
        let s = Statistics::of(sizes);
        assert_eq!((s.min, s.max, s.avg), (6459, 10624, 9172));
        assert!((s.p50 - 9472.5).abs() < 1e-9 && (s.p90 - 10614.2).abs() < 1e-9, "{s:?}");
        assert!((s.p999 - 10624.0).abs() < 1e-9);
        let d = Statistics::of(vec![30, 20, 24, 10, 13, 13, 15, 13, 19, 15]);
        assert!((d.p90 - 29.4).abs() < 1e-9 && (d.p50 - 15.0).abs() < 1e-9, "{d:?}");
        assert_eq!(Statistics::of(Vec::new()), Statistics::default());
    }
}
