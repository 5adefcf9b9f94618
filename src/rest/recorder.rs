//! Keeps a job's record on disk up to date: watches the job's view and writes what changed.

use super::registry::{JobRecord, Registry, RestorePoint};
use crate::runtime::{CheckpointView, JobHandle, JobView};

/// Watches one job.
#[derive(Debug)]
pub struct Recorder {
    registry: Registry,
    job: JobHandle,
    /// What was written last.
    record: JobRecord,
}

impl Recorder {
    /// A recorder that has written nothing yet. `record` holds what does not change: process, job file, log.
    pub fn new(registry: Registry, job: JobHandle, record: JobRecord) -> Self {
        Self { registry, job, record }
    }

    /// Writes the record as it is now: before anybody is told that there is such a job, so that whoever was told finds it.
    pub fn begin(&mut self) -> std::io::Result<()> {
        self.record = with_view(&self.record, &self.job.view());
        self.registry.write(&self.record)
    }

    /// Writes the record after every change that it shows, until the job has ended. Runs on the control runtime; a record
    /// that cannot be written is reported once through `report` and does not harm the job.
    pub async fn run(mut self, report: impl Fn(&std::io::Error)) {
        let mut changes = self.job.changes();
        let mut reported = false;
        loop {
            let mut next = with_view(&self.record, &self.job.view());
            if next.status.is_terminal() {
                // Retention may have deleted it: a record must not name what is not there.
                next.latest = next.latest.filter(|point| self.registry.is_there(point));
            }
            if next != self.record {
                let (registry, record) = (self.registry.clone(), next.clone());
                let written = tokio::task::spawn_blocking(move || registry.write(&record)).await;
                if let (Ok(Err(error)), false) = (written, reported) {
                    reported = true;
                    report(&error);
                }
                self.record = next;
            }
            if self.record.status.is_terminal() || changes.changed().await.is_err() {
                return;
            }
        }
    }
}

/// The newer of two: a savepoint that stopped a job has made output visible, so nothing older may be gone back to.
fn newest(a: Option<RestorePoint>, b: Option<RestorePoint>) -> Option<RestorePoint> {
    a.into_iter().chain(b).max_by_key(|point| point.id)
}

/// The record with what the view says. Pure.
pub fn with_view(record: &JobRecord, view: &JobView) -> JobRecord {
    let point = |checkpoint: &CheckpointView| {
        let path = checkpoint.path.clone()?;
        Some(RestorePoint { id: checkpoint.id, path, at: checkpoint.triggered, is_savepoint: checkpoint.is_savepoint })
    };
    let latest = view.checkpoints.latest_completed.as_ref().and_then(point);
    let latest_savepoint = view.checkpoints.latest_savepoint.as_ref().and_then(point);
    let discarded = &view.checkpoints.discarded;
    JobRecord {
        name: view.name.clone(),
        status: view.status,
        status_since: view.status_times.last().map_or(record.status_since, |(_, at)| *at),
        started: view.status_times.first().map_or(record.started, |(_, at)| *at),
        parallelism: view.parallelism,
        latest: newest(latest, latest_savepoint.clone()).or_else(|| record.latest.clone().filter(|p| !discarded.contains(&p.path))),
        latest_savepoint: latest_savepoint.or_else(|| record.latest_savepoint.clone()),
        failure: view.failures.first().map(|(_, message)| message.clone()),
        ..record.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rest::registry::{Places, ProcessId};
    use crate::runtime::{JobCommand, JobStatus, SavepointRequest};
    use crate::storage::LocalStorage;
    use crate::testing::job::FakeJob;
    use crate::types::{JobId, TriggerId, WallTime};
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn the_record_follows_the_job_to_its_end_and_keeps_the_way_back() {
        let dir = tempfile::tempdir().unwrap();
        let places = Places { state_dir: dir.path().join("state"), runtime_dir: dir.path().join("run") };
        let registry = Registry::new(places, LocalStorage::shared());
        let id = JobId::from_u128(9);
        let (job, fake) = FakeJob::new(id, "etl", Some(dir.path()));
        let record = JobRecord {
            id: id.to_string(),
            name: String::new(),
            status: JobStatus::Initializing,
            status_since: WallTime(0),
            started: WallTime(0),
            process: ProcessId::current(),
            job_file: dir.path().join("job.toml"),
            parallelism: 0,
            checkpoint_dir: None,
            latest: None,
            latest_savepoint: None,
            log_file: None,
            failure: None,
        };
        let mut recorder = Recorder::new(registry.clone(), job.clone(), record);
        recorder.begin().unwrap();
        assert_eq!(registry.read(job.id).unwrap().name, "etl", "the record is there before the job's start is told");
        let recorder = tokio::spawn(recorder.run(|e| panic!("{e}")));
        let running = tokio::spawn(fake.run());
        let (reply, taken) = oneshot::channel();
        let request = SavepointRequest { directory: None, form: crate::state::SnapshotForm::Canonical, cancel: true, timeout: None };
        job.commands.send(JobCommand::Savepoint { request, trigger: TriggerId::from_u128(1), reply }).await.unwrap();
        let path = taken.await.unwrap().unwrap().path.unwrap();
        running.await.unwrap();
        recorder.await.unwrap();
        let found = registry.read(id).unwrap();
        assert_eq!((found.name.as_str(), found.status, found.parallelism), ("etl", JobStatus::Canceled, 1));
        assert_eq!(found.latest_savepoint.map(|p| (p.path, p.is_savepoint)), Some((path.clone(), true)));
        assert_eq!(found.latest.map(|p| p.path), Some(path), "a savepoint is a way back too");
    }
}
