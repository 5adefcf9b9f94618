//! A job without a graph: answers commands as a real one does, so that the control plane can be tested alone.

use crate::checkpoint::inspect::InspectError;
use crate::checkpoint::{JobEntry, METADATA, Manifest, SnapshotKind};
use crate::metrics::OperatorMetrics;
use crate::runtime::{CheckpointReply, CheckpointView, CheckpointsView, JobCommand, JobHandle, JobStatus, JobView, VertexView};
use crate::state::SnapshotForm;
use crate::types::{CheckpointId, JobId, MaxParallelism, Parallelism, WallTime};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tokio::sync::mpsc;

/// What the fixture is.
#[derive(Debug)]
pub struct FakeJob {
    handle: JobHandle,
    commands: mpsc::Receiver<JobCommand>,
    savepoint_dir: Option<PathBuf>,
    next: CheckpointId,
}

/// A view of a job with two vertices: a source, and an aggregate chained to a sink.
pub fn view(name: &str) -> JobView {
    let metrics = OperatorMetrics::default();
    metrics.records_in.add(330);
    metrics.records_out.add(330);
    metrics.bytes_in.add(10_890);
    let source = VertexView {
        id: "bc764cd8ddf7a0cff126f51c16239658".to_owned(),
        name: "Source: g[1]".to_owned(),
        parallelism: 1,
        metrics: vec![vec![metrics.clone()]],
        finished_subtasks: 0,
        inputs: Vec::new(),
    };
    let sink = VertexView {
        id: "20ba6b65f97481d5570070de90e4e791".to_owned(),
        name: "GroupAggregate[3] -> Sink: p[4]".to_owned(),
        parallelism: 1,
        metrics: vec![vec![metrics, OperatorMetrics::default()]],
        finished_subtasks: 0,
        inputs: vec![(0, "HASH")],
    };
    let at = WallTime(1_795_351_969_008);
    JobView {
        name: name.to_owned(),
        status: JobStatus::Running,
        status_times: vec![
            (JobStatus::Initializing, at),
            (JobStatus::Created, WallTime(at.0 + 17)),
            (JobStatus::Running, WallTime(at.0 + 22)),
        ],
        vertices: vec![source, sink],
        checkpoints: CheckpointsView::default(),
        restarts: 0,
        failures: Vec::new(),
        options: vec![("execution.checkpointing.interval".to_owned(), "10 s".to_owned())],
        parallelism: 1,
        max_parallelism: 128,
    }
}

impl FakeJob {
    /// A running job; `savepoint_dir` is where savepoints without a directory go.
    pub fn new(id: JobId, name: &str, savepoint_dir: Option<&Path>) -> (JobHandle, Self) {
        let (sender, commands) = mpsc::channel(16);
        let handle = JobHandle::new(id, sender, view(name));
        let job = Self { handle: handle.clone(), commands, savepoint_dir: savepoint_dir.map(Path::to_owned), next: CheckpointId::new(1) };
        (handle, job)
    }

    fn enter(&self, status: JobStatus) {
        let at = WallTime(self.handle.view().status_times.last().map_or(0, |(_, t)| t.0) + 1);
        self.handle.update(|view| {
            view.status = status;
            view.status_times.push((status, at));
        });
    }

    fn snapshot(&mut self, directory: Option<PathBuf>, is_savepoint: bool) -> Result<CheckpointReply, String> {
        let id = self.next;
        let directory = directory.or_else(|| self.savepoint_dir.clone()).ok_or("No savepoint directory configured.")?;
        let path = directory.join(format!("savepoint-{:.6}-{:012x}", self.handle.id.to_string(), id.number()));
        if is_savepoint {
            std::fs::create_dir_all(&path).map_err(|e| format!("Failed to create savepoint directory at {}: {e}", directory.display()))?;
            std::fs::write(path.join(METADATA), self.manifest(id)?).map_err(|e| e.to_string())?;
        }
        self.next = id.next();
        let now = WallTime(1_795_352_001_254);
        let view = CheckpointView {
            id,
            status: "COMPLETED",
            is_savepoint,
            triggered: now,
            latest_ack: Some(WallTime(now.0 + 30)),
            form: SnapshotForm::Canonical,
            written: 10_624,
            bytes: 10_624,
            acknowledged: (2, 2),
            path: Some(path.clone()),
            failure: None,
        };
        self.handle.update(|v| {
            v.checkpoints.completed += 1;
            v.checkpoints.history.insert(0, view.clone());
            if is_savepoint {
                v.checkpoints.latest_savepoint = Some(view.clone());
            }
            v.checkpoints.latest_completed = Some(view);
        });
        Ok(CheckpointReply { id, path: Some(path) })
    }

    /// The `_metadata` of a job without state.
    fn manifest(&self, checkpoint_id: CheckpointId) -> Result<Vec<u8>, String> {
        let manifest = Manifest {
            format_version: 1,
            kind: SnapshotKind::Savepoint,
            job: JobEntry { name: self.handle.view().name, id: self.handle.id },
            checkpoint_id,
            time: WallTime(1_795_352_001_284),
            max_parallelism: MaxParallelism::default_for(Parallelism::ONE),
            options: BTreeMap::new(),
            operators: Vec::new(),
        };
        manifest.to_json()
    }

    /// Answers commands until one of them ends the job.
    pub async fn run(mut self) {
        while let Some(command) = self.commands.recv().await {
            match command {
                JobCommand::Cancel { reply } => {
                    self.enter(JobStatus::Cancelling);
                    let _ = reply.send(());
                    self.enter(JobStatus::Canceled);
                    return;
                }
                JobCommand::Savepoint { request, reply, .. } => {
                    let result = self.snapshot(request.directory, true);
                    let cancel = request.cancel && result.is_ok();
                    let _ = reply.send(result);
                    if cancel {
                        self.enter(JobStatus::Canceled);
                        return;
                    }
                }
                JobCommand::Stop { request, reply, .. } => {
                    let result = self.snapshot(request.directory, true);
                    let stopped = result.is_ok();
                    let _ = reply.send(result);
                    if stopped {
                        self.enter(JobStatus::Finished);
                        return;
                    }
                }
                JobCommand::Look { reply, .. } => {
                    let _ = reply.send(Err(InspectError::Unanswered("this job keeps no state".to_owned())));
                }
                JobCommand::Checkpoint { reply, .. } => {
                    let dir = Some(PathBuf::from("/checkpoints"));
                    let result = self.snapshot(dir, false);
                    let _ = reply.send(result);
                }
            }
        }
    }
}
