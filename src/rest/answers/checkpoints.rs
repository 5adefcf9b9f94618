//! Answers about checkpoints.

use super::{Answers, count, location, millis};
use crate::rest::types::{
    CheckpointConfig, CheckpointCounts, CheckpointStatistics, CheckpointSummary, CheckpointsAnswer, Externalization, LatestCheckpoints,
    Millis, NEVER, RestoredCheckpoint, Statistics,
};
use crate::runtime::CheckpointView;
use crate::state::SnapshotForm;
use crate::types::{ByteSize, parse_duration};

impl Answers<'_> {
    /// `GET /jobs/:id/checkpoints`
    pub fn checkpoints(&self) -> CheckpointsAnswer {
        let view = &self.view.checkpoints;
        let completed: Vec<&CheckpointView> = view.history.iter().filter(|c| c.status == "COMPLETED").collect();
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
                checkpointed_size: Statistics::of(completed.iter().map(|c| c.written).collect()),
                state_size: Statistics::of(completed.iter().map(|c| c.bytes).collect()),
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
        let format = if view.form == SnapshotForm::Native { "NATIVE" } else { "CANONICAL" };
        let (failed, completed) = (view.status == "FAILED", view.status == "COMPLETED");
        // Retention keeps the newest ones; the files of the others are gone. Savepoints belong to whoever asked for them.
        let retained = self.option("execution.checkpointing.num-retained").and_then(|n| n.parse().ok()).unwrap_or(1);
        let newer = self.view.checkpoints.history.iter().filter(|c| c.status == "COMPLETED" && !c.is_savepoint && c.id > view.id).count();
        CheckpointStatistics {
            class_name: view.status.to_ascii_lowercase(),
            id: view.id,
            status: view.status.to_owned(),
            is_savepoint: view.is_savepoint,
            savepoint_format: view.is_savepoint.then(|| format.to_owned()),
            trigger_timestamp: view.triggered,
            latest_ack_timestamp: view.latest_ack.unwrap_or(NEVER),
            checkpointed_size: ByteSize(view.written),
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
            unaligned_checkpoints: text("unaligned.enabled").is_some_and(|text| text.trim().eq_ignore_ascii_case("true")),
            tolerable_failed_checkpoints: number("tolerable-failed-checkpoints", 0),
            aligned_checkpoint_timeout: duration("aligned-checkpoint-timeout", 0),
            checkpoints_after_tasks_finish: text("checkpoints-after-tasks-finish") != Some("false"),
            state_changelog_enabled: false,
        }
    }
}
