//! Small jobs from a source straight to a sink, on one thread in paused time.

mod sources;
mod timers;

use super::{Blocking, Job, JobCommand, JobHandle, JobOutcome, JobStatus, SavepointRequest, StartOptions, StopRequest};
use crate::checkpoint::settings::{CheckpointSettings, CheckpointStorage, CheckpointingMode, ClaimMode, Retention};
use crate::checkpoint::{RestoreRules, checkpoints_of, job_directory, open, open_directory};
use crate::connector::{BadRecordPolicy, SinkDeclaration, SourceDeclaration, build_sink, build_source};
use crate::job::graph::{Edge, Exchange, JobGraph, Node, NodeIndex, NodeKind, SourceNode};
use crate::job::settings::{JobSettings, RecoverySettings, RestartSettings, RuntimeMode};
use crate::operator::process::{
    Collector, Context, FunctionResult, Functions, KeyedProcessFunction, ProcessInput, ProcessOperatorFactory, ProcessOutput, ProcessSpec,
    RuntimeContext, ValueState, ValueStateDescriptor,
};
use crate::state::{BackendSettings, SnapshotForm};
use crate::storage::Storage;
use crate::testing::storage::MemoryStorage;
use crate::types::{Clock, Column, JobId, ManualClock, OperatorUid, Parallelism, Schema, SystemClock, TriggerId, WallTime};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

fn settings(interval: Option<Duration>) -> JobSettings {
    JobSettings {
        name: "test".to_owned(),
        parallelism: Parallelism::ONE,
        max_parallelism: None,
        mode: RuntimeMode::Streaming,
        buffer_timeout: Duration::from_millis(100),
        auto_watermark_interval: Duration::from_millis(200),
        idle_timeout: None,
        checkpointing: CheckpointSettings {
            interval,
            backlog_interval: None,
            mode: CheckpointingMode::ExactlyOnce,
            unaligned: None,
            interruptible_timers: false,
            timeout: Duration::from_mins(10),
            min_pause: Duration::ZERO,
            max_concurrent: 1,
            tolerable_failed: 0,
            num_retained: 1,
            retention: Retention::RetainOnCancellation,
            after_tasks_finish: true,
            incremental: false,
            local_backup: false,
            local_backup_dir: None,
            storage: CheckpointStorage::FileSystem("/chk".into()),
            create_subdir: true,
            sync_phase_timeout: None,
            pause_sources: false,
            savepoint_dir: Some("/sav".into()),
        },
        restart: RestartSettings::None,
        s3: crate::storage::S3Settings::default(),
        recovery: RecoverySettings::default(),
        restore: RestoreRules::default(),
        script: crate::script::Limits::default(),
        backend: BackendSettings::HashMap,
        local_dir: PathBuf::from("/local"),
        directory: PathBuf::from("/"),
        options: Vec::new(),
    }
}

fn schema() -> Schema {
    let column = |name: &str, t: &str| Column { name: name.to_owned(), data_type: t.parse().unwrap() };
    Schema::new(vec![column("id", "BIGINT"), column("word", "STRING")])
}

fn options(pairs: &[(&str, &str)]) -> crate::types::Options {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

/// `/in` → `/out`, through a rebalance, so that there are two vertices with channels between them. `watched`: never ends.
fn graph(interval: Option<Duration>, parallelism: usize, watched: bool) -> JobGraph {
    let mut read = vec![("path", "/in"), ("format", "json")];
    if watched {
        read.push(("source.monitor-interval", "1 s"));
    }
    let source = build_source(&SourceDeclaration {
        name: "words".to_owned(),
        connector: "filesystem".to_owned(),
        schema: schema(),
        metadata: vec![],
        projection: vec![0, 1],
        primary_key: vec![],
        options: options(&read),
        bad_records: BadRecordPolicy::Fail,
        directory: PathBuf::from("/"),
    });
    let sink = build_sink(&SinkDeclaration {
        name: "out".to_owned(),
        connector: "filesystem".to_owned(),
        schema: schema(),
        primary_key: vec![],
        options: options(&[("path", "/out"), ("format", "json")]),
        directory: PathBuf::from("/"),
    });
    let parallelism = Parallelism::new(parallelism).unwrap();
    let node = |name: &str, kind| Node { uid: OperatorUid::new(name), name: name.to_owned(), kind, parallelism };
    let source = NodeKind::Source(SourceNode { source: source.unwrap(), watermark: None });
    JobGraph {
        nodes: vec![node("words", source), node("out", NodeKind::Sink(sink.unwrap()))],
        edges: vec![Edge { from: NodeIndex(0), port: 0, to: NodeIndex(1), input: 0, exchange: Exchange::Rebalance }],
        settings: settings(interval),
    }
}

fn storage(rows: usize) -> Arc<MemoryStorage> {
    let storage = MemoryStorage::new();
    storage.create_dir_all(Path::new("/in")).unwrap();
    for part in 0..2 {
        let lines: Vec<String> = (0..rows).map(|n| format!("{{\"id\":{},\"word\":\"w\"}}\n", part * rows + n)).collect();
        let lines = lines.concat();
        let mut file = storage.create(&PathBuf::from(format!("/in/{part}.json"))).unwrap();
        file.write_all(lines.as_bytes()).unwrap();
        file.sync().unwrap();
    }
    storage
}

fn output(storage: &MemoryStorage) -> Vec<String> {
    let mut rows = Vec::new();
    for entry in storage.list(Path::new("/out")).unwrap_or_default() {
        if !entry.path.file_name().unwrap().to_string_lossy().starts_with('.') {
            let bytes = storage.read(&entry.path, 1 << 20).unwrap();
            rows.extend(String::from_utf8(bytes).unwrap().lines().map(str::to_owned));
        }
    }
    rows.sort();
    rows
}

fn expected(rows: usize) -> Vec<String> {
    let mut rows: Vec<String> = (0..2 * rows).map(|id| format!("{{\"id\":{id},\"word\":\"w\"}}")).collect();
    rows.sort();
    rows
}

const ID: JobId = JobId::from_u128(0xabc);

/// Runs a job; `during` drives it through its handle.
fn run<F: Future<Output = ()>>(
    graph: JobGraph,
    storage: &Arc<MemoryStorage>,
    from: Option<&Path>,
    during: impl FnOnce(JobHandle) -> F,
) -> JobOutcome {
    run_by(SystemClock::shared(), graph, storage, from, during)
}

/// Runs a job by this clock.
fn run_by<F: Future<Output = ()>>(
    clock: Arc<dyn Clock>,
    graph: JobGraph,
    storage: &Arc<MemoryStorage>,
    from: Option<&Path>,
    during: impl FnOnce(JobHandle) -> F,
) -> JobOutcome {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let job = Job::new(graph, start_options(clock, storage, from)).unwrap();
        let handle = job.handle();
        let running = tokio::spawn(job.run());
        during(handle).await;
        let outcome = running.await.unwrap();
        outcome.leftovers.delete(&**storage);
        outcome
    })
}

fn start_options(clock: Arc<dyn Clock>, storage: &Arc<MemoryStorage>, from: Option<&Path>) -> StartOptions {
    StartOptions {
        job_id: ID,
        storage: storage.clone(),
        clock,
        data: Handle::current(),
        blocking: Blocking::Inline,
        restore: from.map(|path| open_directory(storage.clone(), path).unwrap()),
        claim: ClaimMode::NoClaim,
        seed: 7,
    }
}

async fn until(handle: &JobHandle, condition: impl Fn(&super::JobView) -> bool) {
    let mut changes = handle.changes();
    while !condition(&handle.view()) {
        changes.changed().await.unwrap();
    }
}

fn rows_in(handle: &JobHandle) -> u64 {
    handle.view().vertices.last().unwrap().metrics.iter().flatten().map(|m| m.records_in.get()).sum()
}

async fn until_all_rows_arrived(handle: &JobHandle, rows: u64) {
    until(handle, |view| view.status == JobStatus::Running).await;
    while rows_in(handle) < rows {
        tokio::task::yield_now().await;
    }
}

#[test]
fn a_bounded_job_ends_by_itself_with_all_rows_visible() {
    for (interval, parallelism) in [(None, 1), (Some(Duration::from_secs(10)), 1), (Some(Duration::from_secs(10)), 3)] {
        let storage = storage(50);
        let outcome = run(graph(interval, parallelism, false), &storage, None, |_| async {});
        assert_eq!(outcome.status, JobStatus::Finished, "{:?}", outcome.failure);
        assert_eq!(output(&storage), expected(50));
        // Flink: a job that finished needs no checkpoint.
        assert!(checkpoints_of(&*storage, &job_directory(Path::new("/chk"), ID), ID).unwrap_or_default().is_empty());
    }
}

#[test]
fn a_savepoint_leaves_the_job_running_and_a_restore_from_it_goes_on_behind_it() {
    let storage = storage(50);
    let path = std::cell::RefCell::new(PathBuf::new());
    let outcome = run(graph(Some(Duration::from_secs(10)), 2, true), &storage, None, |handle| async move {
        until_all_rows_arrived(&handle, 100).await;
        let (reply, answer) = oneshot::channel();
        let request =
            SavepointRequest { directory: Some("/elsewhere".into()), form: SnapshotForm::Canonical, cancel: false, timeout: None };
        handle.commands.send(JobCommand::Savepoint { request, trigger: TriggerId::from_u128(1), reply }).await.unwrap();
        let done = answer.await.unwrap().unwrap();
        assert!(done.path.as_ref().unwrap().starts_with("/elsewhere"));
        assert_eq!(handle.view().status, JobStatus::Running);
        let (reply, answer) = oneshot::channel();
        handle.commands.send(JobCommand::Cancel { reply }).await.unwrap();
        answer.await.unwrap();
    });
    assert_eq!(outcome.status, JobStatus::Canceled);
    let taken = storage.list(Path::new("/elsewhere")).unwrap();
    path.replace(taken[0].path.clone());
    assert!(open(storage.clone(), taken[0].path.to_str().unwrap()).is_ok());
    let outcome = run(graph(None, 3, false), &storage, Some(&path.borrow()), |_| async {});
    assert_eq!(outcome.status, JobStatus::Finished, "{:?}", outcome.failure);
    assert_eq!(output(&storage), expected(50));
}

#[test]
fn stop_ends_the_job_with_a_savepoint_and_everything_before_it_visible() {
    for drain in [false, true] {
        let storage = storage(50);
        let outcome = run(graph(Some(Duration::from_secs(10)), 2, true), &storage, None, |handle| async move {
            until_all_rows_arrived(&handle, 100).await;
            let (reply, answer) = oneshot::channel();
            let request = StopRequest { directory: None, form: SnapshotForm::Canonical, drain, timeout: None };
            handle.commands.send(JobCommand::Stop { request, trigger: TriggerId::from_u128(1), reply }).await.unwrap();
            assert!(answer.await.unwrap().unwrap().path.unwrap().starts_with("/sav"));
        });
        assert_eq!(outcome.status, JobStatus::Finished, "{:?}", outcome.failure);
        assert_eq!(output(&storage), expected(50));
    }
}

#[test]
fn a_savepoint_that_fails_leaves_the_job_running() {
    let storage = storage(5);
    storage.create_dir_all(Path::new("/")).unwrap();
    let mut blocker = storage.create(Path::new("/file")).unwrap();
    blocker.write_all(b"x").unwrap();
    blocker.sync().unwrap();
    let outcome = run(graph(Some(Duration::from_secs(10)), 1, true), &storage, None, |handle| async move {
        until_all_rows_arrived(&handle, 10).await;
        for stop in [false, true] {
            let (reply, answer) = oneshot::channel();
            let directory = Some(PathBuf::from("/file/below"));
            let command = if stop {
                JobCommand::Stop {
                    request: StopRequest { directory, form: SnapshotForm::Canonical, drain: false, timeout: None },
                    trigger: TriggerId::from_u128(1),
                    reply,
                }
            } else {
                JobCommand::Savepoint {
                    request: SavepointRequest { directory, form: SnapshotForm::Canonical, cancel: false, timeout: None },
                    trigger: TriggerId::from_u128(2),
                    reply,
                }
            };
            handle.commands.send(command).await.unwrap();
            let error = answer.await.unwrap().unwrap_err();
            assert!(error.contains("Failed to create savepoint directory at /file/below"), "{error}");
            assert_eq!(handle.view().status, JobStatus::Running);
        }
        let (reply, answer) = oneshot::channel();
        handle.commands.send(JobCommand::Checkpoint { full: false, trigger: TriggerId::from_u128(3), reply }).await.unwrap();
        answer.await.unwrap().unwrap();
        let (reply, _answer) = oneshot::channel();
        handle.commands.send(JobCommand::Cancel { reply }).await.unwrap();
    });
    assert_eq!(outcome.status, JobStatus::Canceled);
    assert_eq!(checkpoints_of(&*storage, &job_directory(Path::new("/chk"), ID), ID).unwrap().len(), 1);
}

#[test]
fn input_that_cannot_be_read_fails_the_job_with_its_place() {
    let storage = storage(5);
    let mut file = storage.create(Path::new("/in/2.json")).unwrap();
    file.write_all(b"{\"id\":1,\"word\":\"w\"}\n{\"id\":\"x\",\"word\":\"w\"}\n").unwrap();
    file.sync().unwrap();
    let outcome = run(graph(None, 1, false), &storage, None, |_| async {});
    assert_eq!(outcome.status, JobStatus::Failed);
    let failure = outcome.failure.unwrap();
    assert!(failure.contains("/in/2.json, line 2") && failure.contains("id"), "{failure}");
}

/// Emits a row when its timer fires: ten milliseconds by the clock after it came.
#[derive(Default)]
struct Later {
    word: ValueState<String>,
}

impl KeyedProcessFunction for Later {
    type In = (i64, String);
    type Out = (i64, String);

    fn open(&mut self, context: &mut RuntimeContext<'_>) -> FunctionResult {
        self.word = context.value_state(&ValueStateDescriptor::new("word"))?;
        Ok(())
    }

    fn process_element(&mut self, row: Self::In, context: &mut Context<'_>, _out: &mut Collector<'_, Self::Out>) -> FunctionResult {
        self.word.update(context, &row.1)?;
        context.register_processing_time_timer(context.current_processing_time() + 10)
    }

    fn on_timer(&mut self, _timestamp: i64, context: &mut Context<'_>, out: &mut Collector<'_, Self::Out>) -> FunctionResult {
        let word = self.word.value(context)?.unwrap_or_default();
        out.collect(&(context.current_key()?, word))
    }
}

/// [`graph`] with [`Later`] before its sink; the input never ends.
fn later(parallelism: usize) -> JobGraph {
    let mut graph = graph(Some(Duration::from_hours(1)), parallelism, true);
    let input = ProcessInput { schema: schema(), key_by: vec![0], rowtime: None, broadcast: false };
    let spec = ProcessSpec { inputs: vec![input], outputs: vec![ProcessOutput { name: String::new(), schema: schema() }] };
    let function = Functions::new().register("later", Later::default).get("later").unwrap();
    let kind = NodeKind::Operator(Arc::new(ProcessOperatorFactory::new(spec, function)));
    let node = Node { uid: OperatorUid::new("later"), name: "later".to_owned(), kind, parallelism: graph.nodes[0].parallelism };
    graph.nodes.insert(1, node);
    let edge = |from, to, exchange| Edge { from: NodeIndex(from), port: 0, to: NodeIndex(to), input: 0, exchange };
    graph.edges = vec![edge(0, 1, Exchange::Hash(vec![0])), edge(1, 2, Exchange::Forward)];
    graph
}

async fn stop(handle: &JobHandle) -> PathBuf {
    let (reply, answer) = oneshot::channel();
    let request = StopRequest { directory: None, form: SnapshotForm::Canonical, drain: false, timeout: None };
    handle.commands.send(JobCommand::Stop { request, trigger: TriggerId::from_u128(1), reply }).await.unwrap();
    answer.await.unwrap().unwrap().path.unwrap()
}

#[test]
fn a_task_without_input_wakes_for_its_processing_time_timers_and_after_a_restore_for_those_that_fell_due_meanwhile() {
    // Rows come into the function and, when a timer fires, into the sink behind it.
    let clock = ManualClock::at(WallTime(1_000));
    let first = storage(20);
    let outcome = run_by(clock.clone(), later(2), &first, None, |handle| async move {
        until_all_rows_arrived(&handle, 40).await;
        clock.advance(Duration::from_millis(11));
        until_all_rows_arrived(&handle, 80).await;
        stop(&handle).await;
    });
    assert_eq!(outcome.status, JobStatus::Finished, "{:?}", outcome.failure);
    assert_eq!(output(&first), expected(20));

    let storage = storage(20);
    let savepoint = std::cell::RefCell::new(PathBuf::new());
    let outcome = run_by(ManualClock::at(WallTime(1_000)), later(2), &storage, None, |handle| {
        let savepoint = &savepoint;
        async move {
            until_all_rows_arrived(&handle, 40).await;
            savepoint.replace(stop(&handle).await);
        }
    });
    assert_eq!(outcome.status, JobStatus::Finished, "{:?}", outcome.failure);
    assert!(output(&storage).is_empty(), "no timer was due before the stop");
    let outcome = run_by(ManualClock::at(WallTime(99_000)), later(3), &storage, Some(&savepoint.borrow()), |handle| async move {
        until_all_rows_arrived(&handle, 40).await;
        stop(&handle).await;
    });
    assert_eq!(outcome.status, JobStatus::Finished, "{:?}", outcome.failure);
    assert_eq!(output(&storage), expected(20));
}
