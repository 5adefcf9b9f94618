//! The job loop: starts attempts, carries commands to the coordinator and its decisions to the tasks, restarts after failures, and
//! ends the job. It runs on the control plane, so that a busy job always answers.

use super::checkpointing::{Checkpointing, Finalized, Verdict};
use super::error::{JobOutcome, StartError, TaskError};
use super::execution::{Attempt, Blueprint, panic_message};
use super::handle::{JobCommand, JobHandle, JobStatus};
use super::plan::ExecutionPlan;
use super::restart::{Decision, RestartStrategy};
use super::task::{Blocking, TaskEvent};
use super::view;
use crate::checkpoint::OpenCheckpoint;
use crate::checkpoint::coordinator::Event;
use crate::checkpoint::settings::ClaimMode;
use crate::error::RetryHint;
use crate::job::graph::JobGraph;
use crate::job::settings::RuntimeMode;
use crate::state::{Backend, BackendSettings};
use crate::storage::Storage;
use crate::types::{Clock, JobId, MaxParallelism};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinError;

/// What a job is started with.
pub struct StartOptions {
    /// The id of this execution.
    pub job_id: JobId,
    /// Files.
    pub storage: Arc<dyn Storage>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// The runtime that tasks run on: as many workers as there are cores.
    pub data: Handle,
    /// Where files of checkpoints are written.
    pub blocking: Blocking,
    /// What state begins from: opened, its files verified, and planned against this job.
    pub restore: Option<OpenCheckpoint>,
    /// Who owns that from now on.
    pub claim: ClaimMode,
    /// For everything random: when the first checkpoint is due, jitter of restarts, names of savepoints.
    pub seed: u64,
}

/// A job that is ready to run.
pub struct Job {
    handle: JobHandle,
    commands: mpsc::Receiver<JobCommand>,
    blueprint: Blueprint,
    checkpointing: Checkpointing,
    restart: RestartStrategy,
    started: Duration,
}

/// How one attempt ended.
enum AttemptEnd {
    Finished,
    Canceled,
    Failed(TaskError),
}

/// Something that happened while an attempt ran.
enum Happening {
    Command(Option<JobCommand>),
    Event(usize, TaskEvent),
    Ended(Result<(usize, Result<(), TaskError>), JoinError>),
    Checkpoint(Finalized),
    Tick,
}

impl Job {
    /// Plans the tasks of `graph`. Nothing runs and nothing outside is touched before [`Job::run`], but for the lock of a checkpoint
    /// directory that is to be this job's alone.
    pub fn new(graph: JobGraph, options: StartOptions) -> Result<Self, StartError> {
        let plan = ExecutionPlan::new(&graph);
        let settings = &graph.settings;
        let saved = options.restore.as_ref().map(OpenCheckpoint::max_parallelism);
        let max_parallelism = saved.or(settings.max_parallelism).unwrap_or_else(|| MaxParallelism::default_for(settings.parallelism));
        let widest = graph.nodes.iter().map(|n| n.parallelism.get()).max().unwrap_or(1);
        if widest > max_parallelism.get() {
            let message = format!("parallelism {widest} is higher than the max parallelism {max_parallelism}");
            return Err(StartError::Other(message));
        }
        let now = options.clock.monotonic();
        let (sender, commands) = mpsc::channel(64);
        let handle = JobHandle::new(options.job_id, sender, view::initial(&graph, &plan, max_parallelism, options.clock.now()));
        let restart = RestartStrategy::new(&settings.restart, options.seed);
        // BATCH takes no checkpoints and reads its groups once more at the end: they stay in memory, as Flink ignores the backend then.
        let backend = if settings.mode == RuntimeMode::Batch { &BackendSettings::HashMap } else { &settings.backend };
        let backend = Backend::new(backend, settings.local_dir.join(options.job_id.to_string()));
        let blueprint = Blueprint {
            backend,
            job: options.job_id,
            plan: Arc::new(plan),
            graph: Arc::new(graph),
            max_parallelism,
            storage: options.storage,
            clock: options.clock,
            data: options.data,
            blocking: options.blocking,
        };
        let restore = options.restore.map(|open| (open, options.claim));
        let checkpointing = Checkpointing::new(&blueprint, handle.clone(), restore, options.seed);
        let checkpointing = checkpointing.map_err(|e| StartError::Other(e.to_string()))?;
        Ok(Self { handle, commands, blueprint, checkpointing, restart, started: now })
    }

    /// The way to the job while it runs and after.
    pub fn handle(&self) -> JobHandle {
        self.handle.clone()
    }

    /// Runs the job to its end. The caller deletes the outcome's leftovers.
    pub async fn run(mut self) -> JobOutcome {
        let mut attempt_number = 0;
        let (status, failure) = loop {
            let end = self.attempt(attempt_number).await;
            match end {
                AttemptEnd::Finished => break (JobStatus::Finished, None),
                AttemptEnd::Canceled => break (JobStatus::Canceled, None),
                AttemptEnd::Failed(error) if error.is_broken_pipe() => break (JobStatus::Canceled, Some(error.to_string())),
                AttemptEnd::Failed(error) => {
                    let started = self.handle.view().status_times.iter().any(|(s, _)| *s == JobStatus::Running);
                    match self.after_failure(&error, started).await {
                        None => attempt_number += 1,
                        Some((status, failure)) => break (status, failure),
                    }
                }
            }
        };
        let leftovers = self.checkpointing.end(status).await;
        self.set_status(status);
        let runtime = self.blueprint.clock.monotonic().saturating_sub(self.started);
        JobOutcome { status, runtime, failure, leftovers }
    }

    fn set_status(&self, status: JobStatus) {
        let now = self.blueprint.clock.now();
        tracing::info!(job = %self.handle.id, status = status.as_str(), "job status");
        self.handle.update(|view| {
            view.status = status;
            view.status_times.push((status, now));
        });
    }

    /// Decides whether to try again and waits until then; otherwise how the job ends.
    async fn after_failure(&mut self, error: &TaskError, started: bool) -> Option<(JobStatus, Option<String>)> {
        let message = error.to_string();
        let now = self.blueprint.clock.now();
        self.handle.update(|view| view.failures.insert(0, (now, message.clone())));
        let decision = if !started || error.retry_hint() == RetryHint::Never {
            // The first attempt did not even start, or the same input will fail in the same way: trying again helps nobody.
            Decision::GiveUp(String::new())
        } else {
            self.restart.on_failure(self.blueprint.clock.monotonic())
        };
        match decision {
            Decision::GiveUp(reason) => {
                self.set_status(JobStatus::Failing);
                let failure = if reason.is_empty() { message } else { format!("{message}\n{reason}") };
                Some((JobStatus::Failed, Some(failure)))
            }
            Decision::RestartAfter(delay) => {
                tracing::warn!(job = %self.handle.id, error = %message, ?delay, "a task failed; the job restarts");
                self.set_status(JobStatus::Restarting);
                self.handle.update(|view| view.restarts += 1);
                if self.wait(delay).await { None } else { Some((JobStatus::Canceled, None)) }
            }
        }
    }

    /// Waits for a restart; `false` if the job is cancelled meanwhile.
    async fn wait(&mut self, delay: Duration) -> bool {
        let sleep = tokio::time::sleep(delay);
        tokio::pin!(sleep);
        loop {
            tokio::select! {
                biased;
                command = self.commands.recv() => match command {
                    None | Some(JobCommand::Cancel { .. }) => return false,
                    Some(other) => Checkpointing::refuse(other, "The job is restarting."),
                },
                () = &mut sleep => return true,
            }
        }
    }

    async fn attempt(&mut self, number: u64) -> AttemptEnd {
        self.set_status(JobStatus::Initializing);
        let restore = match self.checkpointing.restore_point(number).await {
            Ok(restore) => restore,
            Err(error) => return AttemptEnd::Failed(error),
        };
        let (blueprint, from) = (self.blueprint.clone(), restore.clone());
        let started = self.blueprint.blocking(move || Attempt::start(&blueprint, number, from.as_deref())).await;
        let mut attempt = match started {
            Ok(attempt) => attempt,
            Err(error) => return AttemptEnd::Failed(error),
        };
        drop(restore);
        let metrics = attempt.metrics.clone();
        self.handle.update(|view| {
            for (vertex, metrics) in view.vertices.iter_mut().zip(metrics) {
                vertex.metrics = metrics;
                vertex.finished_subtasks = 0;
            }
        });
        self.set_status(JobStatus::Running);
        self.checkpointing.begin(number > 0);
        let end = self.drive(&mut attempt).await;
        if matches!(end, AttemptEnd::Canceled) {
            self.set_status(JobStatus::Cancelling);
        }
        attempt.end().await;
        self.checkpointing.attempt_ended(matches!(end, AttemptEnd::Failed(_)));
        end
    }

    async fn drive(&mut self, attempt: &mut Attempt) -> AttemptEnd {
        let mut finished = 0;
        loop {
            let wakeup = self.checkpointing.until_wakeup();
            let happening = tokio::select! {
                biased;
                command = self.commands.recv() => Happening::Command(command),
                Some((task, event)) = attempt.events.recv() => Happening::Event(task, event),
                Some(joined) = attempt.tasks.join_next() => Happening::Ended(joined),
                Some(done) = self.checkpointing.results.recv() => Happening::Checkpoint(done),
                () = tokio::time::sleep(wakeup.unwrap_or(Duration::from_hours(1))) => Happening::Tick,
            };
            if let Some(end) = self.happened(happening, attempt, &mut finished) {
                return end;
            }
        }
    }

    fn happened(&mut self, happening: Happening, attempt: &mut Attempt, finished: &mut usize) -> Option<AttemptEnd> {
        match happening {
            Happening::Command(None) => return Some(AttemptEnd::Canceled),
            Happening::Command(Some(JobCommand::Cancel { reply })) => {
                let _ = reply.send(());
                return Some(AttemptEnd::Canceled);
            }
            Happening::Command(Some(command)) => self.checkpointing.command(command),
            Happening::Event(task, TaskEvent::Ended) => {
                self.checkpointing.handle(Event::TaskEnded { task });
            }
            Happening::Event(task, TaskEvent::Backlog(backlog)) => self.checkpointing.handle(Event::Backlog { task, backlog }),
            Happening::Event(task, TaskEvent::Acknowledged(id, written)) => self.checkpointing.acknowledged(task, id, written),
            Happening::Event(task, TaskEvent::Declined(id, message)) => self.checkpointing.declined(task, id, message),
            Happening::Ended(joined) => match self.joined(joined, attempt) {
                Err(error) => return Some(AttemptEnd::Failed(error)),
                Ok(()) => *finished += 1,
            },
            Happening::Checkpoint(done) => self.checkpointing.finalized(done),
            Happening::Tick => self.checkpointing.handle(Event::Tick),
        }
        if let Some(verdict) = self.checkpointing.tell(attempt) {
            return Some(match verdict {
                Verdict::Fail(message) => AttemptEnd::Failed(TaskError::Checkpoint(message)),
                Verdict::Cancel => AttemptEnd::Canceled,
            });
        }
        (*finished == attempt.commands.len()).then_some(AttemptEnd::Finished)
    }

    fn joined(&mut self, joined: Result<(usize, Result<(), TaskError>), JoinError>, attempt: &Attempt) -> Result<(), TaskError> {
        match joined {
            Ok((task, Ok(()))) => {
                let vertex = attempt.vertex_of[task];
                self.handle.update(|view| view.vertices[vertex].finished_subtasks += 1);
                self.checkpointing.handle(Event::TaskFinished { task });
                Ok(())
            }
            Ok((_, Err(error))) => Err(error),
            Err(error) => {
                let message = if error.is_panic() { panic_message(error) } else { "the task was dropped".to_owned() };
                Err(TaskError::Panic { operator: "task".to_owned(), message })
            }
        }
    }
}
