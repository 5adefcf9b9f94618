//! `flink run`: load, restore, start, serve, wait. The control plane (job loop, socket, record, signals) runs on this thread, the data
//! plane on workers of its own, so that a busy job always answers.

use super::command::{Attachment, Command, RunTask};
use super::detach::{self, Report, Reporter};
use super::load::{LoadedJob, Restore, load_job, not_restored, open_restore, restore_from};
use super::output::{CliError, Output};
use super::progress::{Progress, Sample};
use super::restore_plan;
use super::surroundings::Surroundings;
use super::target::restore_hint;
use crate::checkpoint::settings::{CheckpointSettings, CheckpointStorage};
use crate::error::ExitStatus;
use crate::job::graph::NodeKind;
use crate::rest::recorder::{Recorder, with_view};
use crate::rest::registry::{JobRecord, ProcessId, Registry, RestorePoint};
use crate::rest::server::{Service, serve};
use crate::rest::socket::ControlSocket;
use crate::runtime::{Blocking, Job, JobCommand, JobHandle, JobOutcome, JobStatus, Leftovers, StartError, StartOptions};
use crate::storage::Storage;
use crate::types::{Clock, JobId, SystemClock};
use serde_json::json;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Runs a job.
pub(super) fn run(command: &Command, task: &RunTask, surroundings: &Surroundings, output: &mut Output<'_>) -> Result<ExitStatus, CliError> {
    let registry = surroundings.registry()?;
    match task.attachment {
        Attachment::Detached => in_background(surroundings, &registry, output),
        Attachment::Attached => {
            let job = JobId::from_u128(rand::random());
            here(command, task, surroundings, (&registry, job, Reporter::none()), output)
        }
        Attachment::Child(job) => {
            let reporter = Reporter::detach()?;
            log(tracing::Level::INFO);
            here(command, task, surroundings, (&registry, job, reporter), output)
        }
    }
}

fn in_background(surroundings: &Surroundings, registry: &Registry, output: &mut Output<'_>) -> Result<ExitStatus, CliError> {
    let job = JobId::from_u128(rand::random());
    let detached = detach::start(surroundings, registry, job)?;
    if !detached.notes.is_empty() {
        output.note(detached.notes.trim_end());
    }
    output.line(format!("Job has been submitted with JobID {job}"));
    let document = json!({ "job-id": job.to_string(), "name": detached.name, "pid": detached.pid, "log-file": detached.log });
    output.result(&job.to_string(), &document);
    Ok(ExitStatus::Done)
}

/// What the job's loops have to say goes to standard error.
fn log(level: tracing::Level) {
    // A second one in the same process (a test) changes nothing.
    let _ = tracing_subscriber::fmt().with_writer(io::stderr).with_max_level(level).try_init();
}

/// Runs the job in this process, whoever waits for it.
fn here(
    command: &Command,
    task: &RunTask,
    surroundings: &Surroundings,
    (registry, job, mut reporter): (&Registry, JobId, Reporter),
    output: &mut Output<'_>,
) -> Result<ExitStatus, CliError> {
    if !reporter.is_awaited() {
        log(if command.style.verbose { tracing::Level::INFO } else { tracing::Level::WARN });
    }
    let prepared = prepare(task, surroundings, (registry, job), output);
    let ended = prepared.and_then(|prepared| {
        let bars = command.style.progress && surroundings.err_is_terminal && surroundings.variable("CI").is_none();
        let child = reporter.is_awaited();
        let progress = Progress::new(surroundings.err_is_terminal, bars && !prepared.prints_rows, command.style.quiet || child);
        prepared.drive(Watch { progress, child }, &mut reporter, output)
    });
    ended.inspect_err(|error| reporter.report(&Report::Failed(error.clone())))
}

/// A job that only has to be started.
struct Prepared {
    job: Job,
    handle: JobHandle,
    storage: Arc<dyn Storage>,
    registry: Registry,
    record: JobRecord,
    socket: ControlSocket,
    clock: Arc<dyn Clock>,
    control: Runtime,
    data: Runtime,
    /// Rows go to standard output: nothing else may.
    prints_rows: bool,
}

/// Says so if the job that wrote the checkpoint goes on running beside the one that is restored from it.
fn warn_of_twin(restore: &Restore, registry: &Registry, output: &mut Output<'_>) {
    let id = restore.checkpoint.manifest().job.id;
    if registry.read(id).is_some_and(|record| record.is_live()) {
        output.note(format!(
            "warning: job {id}, which wrote this snapshot, is still running: both write to the same sinks now; `flink stop {id}` would have ended \
             it with a savepoint to go on from"
        ));
    }
}

/// Everything before the start: nothing runs yet, nothing outside was changed.
fn prepare(
    task: &RunTask,
    surroundings: &Surroundings,
    (registry, id): (&Registry, JobId),
    output: &mut Output<'_>,
) -> Result<Prepared, CliError> {
    let loaded = load_job(&task.job, surroundings, registry, output)?;
    let from = restore_from(&task.restore, &loaded)?;
    let restore = match &from {
        None => None,
        Some(from) => {
            let restore = open_restore(from, &loaded, surroundings, registry, output)?;
            let refused = |e: crate::checkpoint::RestoreError| {
                let error = CliError::new(ExitStatus::NotRestorable, not_restored(&from.path), e.to_string());
                error.next(format!("`flink check -s {} {}` shows it state by state", from.path, task.job.file.display()))
            };
            restore.plan.clone().accepted().map_err(refused)?;
            if let Some(remark) = restore_plan::remark(&restore) {
                output.note(remark);
            }
            warn_of_twin(&restore, registry, output);
            Some(restore)
        }
    };
    let failed = |e: io::Error| CliError::new(ExitStatus::Failed, "could not start the job", e.to_string());
    let storage = surroundings.storage_of(&loaded.graph.settings.s3);
    reach(&*storage, &loaded.graph.settings.checkpointing).map_err(failed)?;
    let control = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let data = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("flink-data").build().map_err(failed)?;
    let prints_rows = loaded.graph.nodes.iter().any(|n| matches!(&n.kind, NodeKind::Sink(sink) if sink.writes_to_stdout()));
    let record = first_record(&loaded, (id, restore.as_ref()), registry, matches!(task.attachment, Attachment::Child(_)));
    let clock = SystemClock::shared();
    let options = StartOptions {
        job_id: id,
        storage: Arc::clone(&storage),
        clock: Arc::clone(&clock),
        data: data.handle().clone(),
        blocking: Blocking::Pool,
        restore: restore.map(|r| r.checkpoint),
        claim: from.map(|from| from.claim).unwrap_or_default(),
        seed: rand::random(),
    };
    let job = Job::new(loaded.graph, options).map_err(|e| match e {
        StartError::NotRestorable(why) => CliError::new(ExitStatus::NotRestorable, "could not restore the job; nothing was started", why),
        StartError::Other(why) => CliError::new(ExitStatus::Failed, "could not start the job", why),
    })?;
    registry.sweep_sockets();
    registry.prune();
    let socket = ControlSocket::bind(&registry.places().runtime_dir, id).map_err(|e| {
        let error = CliError::new(ExitStatus::Failed, "could not open the job's control socket", e.to_string()).caused_by(&e);
        error.next("set FLINK_RUNTIME_DIR to a short path that only you can write")
    })?;
    Ok(Prepared { handle: job.handle(), job, storage, registry: registry.clone(), record, socket, clock, control, data, prints_rows })
}

/// Asks for the checkpoint directory if it is on another machine: a job whose checkpoints all fail is not started.
fn reach(storage: &dyn Storage, settings: &CheckpointSettings) -> io::Result<()> {
    match &settings.storage {
        CheckpointStorage::FileSystem(dir) if storage.is_remote(dir) && settings.interval.is_some() => storage.entry(dir).map(drop),
        _ => Ok(()),
    }
}

fn first_record(loaded: &LoadedJob, (id, restore): (JobId, Option<&Restore>), registry: &Registry, detached: bool) -> JobRecord {
    let settings = &loaded.graph.settings;
    let started = SystemClock::shared().now();
    let latest = restore.map(|r| {
        let manifest = r.checkpoint.manifest();
        RestorePoint { id: manifest.checkpoint_id, path: r.path.clone(), at: manifest.time, is_savepoint: manifest.kind.is_savepoint() }
    });
    JobRecord {
        id: id.to_string(),
        name: settings.name.clone(),
        status: JobStatus::Initializing,
        status_since: started,
        started,
        process: ProcessId::current(),
        job_file: loaded.file.clone(),
        parallelism: settings.parallelism.get(),
        checkpoint_dir: settings.checkpointing.job_directory(id),
        latest,
        latest_savepoint: None,
        log_file: detached.then(|| registry.places().log(id)),
        failure: None,
    }
}

/// How the job is looked at while it runs.
struct Watch {
    progress: Progress,
    /// Whether this process is a detached one.
    child: bool,
}

/// How the waiting ended.
enum Ended {
    /// With the job; `interrupted`: after a signal.
    Job { outcome: JobOutcome, interrupted: bool },
    /// A second Ctrl-C: at once.
    AtOnce,
}

impl Prepared {
    /// Runs the job to its end.
    fn drive(self, watch: Watch, reporter: &mut Reporter, output: &mut Output<'_>) -> Result<ExitStatus, CliError> {
        let Self { job, handle, storage, registry, record, socket, clock, control, data, prints_rows } = self;
        if prints_rows || watch.child {
            output.leave_stdout_to_rows();
        }
        let failed = |e: io::Error| CliError::new(ExitStatus::Failed, "could not start the job", e.to_string());
        let ended = control.block_on(async {
            let signals = Signals::new(watch.child).map_err(failed)?;
            let (over, end) = oneshot::channel();
            let service = Service::new(handle.clone(), Arc::clone(&clock), Arc::clone(&storage));
            let serving = tokio::spawn(serve(socket, service, end));
            let unwritten = |e: &io::Error| tracing::warn!(error = %e, "the job's record could not be written");
            let mut recorder = Recorder::new(registry.clone(), handle.clone(), record.clone());
            // A command that follows at once must find the job: its record is there before its start is announced. Writing it takes
            // milliseconds, in which the job starts.
            let begun = tokio::task::spawn_blocking(move || {
                // A record that cannot be written does not harm the job.
                let _ = recorder.begin().inspect_err(unwritten);
                recorder
            });
            let running = tokio::spawn(job.run());
            let recorder = begun.await.map_err(|e| failed(io::Error::other(e)))?;
            let recording = tokio::spawn(recorder.run(unwritten));
            let waiting = Waiting { handle: &handle, clock: clock.as_ref(), watch: &watch, signals };
            let ended = waiting.wait(running, reporter, output).await;
            watch.progress.clear();
            if let Ended::Job { outcome, .. } = &ended {
                settle(&handle, outcome, recording).await;
                let leftovers = outcome.leftovers.clone();
                // The job still answers while a bucket is waited for; what a panic left is left.
                let _ = tokio::task::spawn_blocking(move || leftovers.delete(&*storage)).await;
                // The receiver is gone only if the server has ended already.
                let _ = over.send(());
                // Errors of the socket have nobody left to be told to.
                let _ = serving.await;
            }
            Ok::<_, CliError>(ended)
        })?;
        data.shutdown_background();
        control.shutdown_background();
        let record = with_view(&record, &handle.view());
        match ended {
            Ended::AtOnce => Ok(ExitStatus::Interrupted),
            Ended::Job { outcome, interrupted } => report(&record, &outcome, interrupted, output),
        }
    }
}

/// Sees to it that the record says how the job ended, even if its loop broke off.
async fn settle(handle: &JobHandle, outcome: &JobOutcome, recording: JoinHandle<()>) {
    handle.update(|view| {
        if !view.status.is_terminal() {
            view.status = outcome.status;
            let at = view.status_times.last().map(|(_, at)| *at);
            view.status_times.extend(at.map(|at| (outcome.status, at)));
        }
        if let (Some(failure), true) = (&outcome.failure, view.failures.is_empty()) {
            let at = view.status_times.last().map(|(_, at)| *at);
            view.failures.extend(at.map(|at| (at, failure.clone())));
        }
    });
    // A recorder that panicked has been reported by the panic itself.
    let _ = recording.await;
}

/// The signals that a job listens to.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// Of a detached job: ignored. An attached one keeps the system's default, and `nohup`.
    _hangup: Option<Signal>,
}

impl Signals {
    fn new(detached: bool) -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            _hangup: detached.then(|| signal(SignalKind::hangup())).transpose()?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Waits for the end of a job, shows how far it is and passes signals on.
struct Waiting<'a> {
    handle: &'a JobHandle,
    clock: &'a dyn Clock,
    watch: &'a Watch,
    signals: Signals,
}

impl Waiting<'_> {
    async fn wait(mut self, running: JoinHandle<JobOutcome>, reporter: &mut Reporter, output: &mut Output<'_>) -> Ended {
        let mut running = std::pin::pin!(joined(running));
        let mut changes = self.handle.changes();
        let pause = self.watch.progress.pause();
        let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + pause, pause);
        let mut before = Sample::of(&self.handle.view(), self.clock.monotonic());
        let (mut announced, mut interrupted) = (false, false);
        // It may run already: a change that happened before is not seen as one.
        self.announce(&mut announced, reporter, output);
        loop {
            tokio::select! {
                biased;
                outcome = &mut running => {
                    self.announce(&mut announced, reporter, output);
                    return Ended::Job { outcome, interrupted };
                }
                () = self.signals.next() => {
                    if interrupted {
                        return Ended::AtOnce;
                    }
                    interrupted = true;
                    self.watch.progress.clear();
                    output.note(format!("Cancelling job {}. Once more ends it at once.", self.handle.id));
                    let (reply, _accepted) = oneshot::channel();
                    // A queue that is full or closed: the job is ending anyway, or the next signal ends it.
                    let _ = self.handle.commands.try_send(JobCommand::Cancel { reply });
                }
                Ok(()) = changes.changed(), if !announced => self.announce(&mut announced, reporter, output),
                _ = ticks.tick() => {
                    let (view, wall) = (self.handle.view(), self.clock.now());
                    let now = Sample::of(&view, self.clock.monotonic());
                    self.watch.progress.show(&view, (now, wall), before);
                    before = now;
                }
            }
        }
    }

    /// Says once that the job runs, as soon as it does (or did).
    fn announce(&self, announced: &mut bool, reporter: &mut Reporter, output: &mut Output<'_>) {
        let view = self.handle.view();
        if *announced || !view.status_times.iter().any(|(status, _)| *status == JobStatus::Running) {
            return;
        }
        *announced = true;
        let notes = output.take_notes();
        reporter.report(&Report::Running { name: view.name, notes });
        output.line(format!("Job has been submitted with JobID {}", self.handle.id));
        if output.style().quiet && !output.style().json {
            output.print(&self.handle.id.to_string());
        }
    }
}

/// The outcome of the job's loop; one that broke off is a failed job.
async fn joined(running: impl Future<Output = Result<JobOutcome, tokio::task::JoinError>>) -> JobOutcome {
    running.await.unwrap_or_else(|e| JobOutcome {
        status: JobStatus::Failed,
        runtime: Duration::ZERO,
        failure: Some(format!("the job loop broke off: {e}")),
        leftovers: Leftovers::default(),
    })
}

/// Says how the job ended.
fn report(record: &JobRecord, outcome: &JobOutcome, interrupted: bool, output: &mut Output<'_>) -> Result<ExitStatus, CliError> {
    let millis = outcome.runtime.as_millis() as u64;
    let document = json!({
        "job-id": record.id,
        "name": record.name,
        "status": outcome.status.as_str(),
        "runtime-ms": millis,
        "latest": record.latest,
    });
    match outcome.status {
        JobStatus::Finished => {
            output.line(format!("Program execution finished\nJob with JobID {} has finished.\nJob Runtime: {millis} ms", record.id));
            output.end(&document);
            Ok(ExitStatus::Done)
        }
        JobStatus::Canceled if interrupted => {
            output.end(&document);
            output.note(format!("Job {} was cancelled.", record.id));
            Ok(ExitStatus::Interrupted)
        }
        // Whoever read the rows has gone away: that is how `| head` ends a job.
        JobStatus::Canceled if outcome.failure.is_some() => Ok(ExitStatus::Done),
        JobStatus::Canceled => {
            let error = CliError::new(ExitStatus::Failed, format!("job {} ({})", record.id, record.name), "it was cancelled");
            Err(error)
        }
        _ => {
            let asked = format!("job {} ({}) failed", record.id, record.name);
            let error =
                CliError::new(ExitStatus::Failed, asked, outcome.failure.clone().unwrap_or_else(|| "no reason was given".to_owned()));
            Err(if record.latest.is_some() { error.next(restore_hint(record)) } else { error })
        }
    }
}
