//! What options do to sources and to the synchronous part of snapshots.

use super::*;
use crate::connector::{
    ConnectorContext, ConnectorError, Sink, SinkInput, SinkRestore, SinkSnapshot, SinkWriter, Source, SourceEvent, SourceReader,
};
use crate::job::graph::WatermarkSpec;
use crate::metrics::OperatorMetrics;
use crate::sql;
use crate::types::{Batch, ChangelogMode, CheckpointId};
use arrow::array::{ArrayRef, Int64Array, RecordBatch, TimestampMillisecondArray};
use arrow::datatypes::SchemaRef;
use std::task::Poll;

/// The first subtask has one row and then nothing more, others never have any. None ever says that it is idle.
#[derive(Debug)]
pub(super) struct Silent;

struct SilentReader {
    row: Option<Batch>,
}

pub(super) fn timed_schema() -> Schema {
    let column = |name: &str, t: &str| Column { name: name.to_owned(), data_type: t.parse().unwrap() };
    Schema::new(vec![column("id", "BIGINT"), column("ts", "TIMESTAMP(3)")])
}

pub(super) fn row(id: i64, ts: i64) -> Batch {
    let columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(vec![id])), Arc::new(TimestampMillisecondArray::from(vec![ts]))];
    Batch::append(RecordBatch::try_new(timed_schema().to_arrow(), columns).unwrap())
}

impl Source for Silent {
    fn describe(&self) -> String {
        "silent".to_owned()
    }
    fn schema(&self) -> SchemaRef {
        timed_schema().to_arrow()
    }
    fn changelog_mode(&self) -> ChangelogMode {
        ChangelogMode::AppendOnly
    }
    fn is_bounded(&self) -> bool {
        false
    }
    fn max_subtasks(&self) -> Option<Parallelism> {
        None
    }
    fn state_schema(&self) -> SchemaRef {
        Schema::new(Vec::new()).to_arrow()
    }
    fn readers(
        &self,
        _context: &ConnectorContext,
        _restored: &[RecordBatch],
        metrics: &[OperatorMetrics],
    ) -> Result<Vec<Box<dyn SourceReader>>, ConnectorError> {
        let reader = |at: usize| Box::new(SilentReader { row: (at == 0).then(|| row(1, 5_000)) }) as Box<dyn SourceReader>;
        Ok((0..metrics.len()).map(reader).collect())
    }
}

impl SourceReader for SilentReader {
    fn poll_next(&mut self, _cx: &mut std::task::Context<'_>) -> Poll<Result<SourceEvent, ConnectorError>> {
        self.row.take().map_or(Poll::Pending, |row| Poll::Ready(Ok(SourceEvent::Batch(row))))
    }
    fn snapshot(&mut self) -> Result<RecordBatch, ConnectorError> {
        Ok(RecordBatch::new_empty(Schema::new(Vec::new()).to_arrow()))
    }
}

/// Takes everything; a snapshot of it takes so long by its clock.
#[derive(Debug)]
pub(super) struct Slow(pub(super) Arc<ManualClock>, pub(super) Duration);

impl Sink for Slow {
    fn describe(&self) -> String {
        "slow".to_owned()
    }
    fn input(&self) -> SinkInput {
        SinkInput::Any
    }
    fn max_subtasks(&self) -> Option<Parallelism> {
        Some(Parallelism::ONE)
    }
    fn writers(
        &self,
        _context: &ConnectorContext,
        _restored: Option<&SinkRestore>,
        _metrics: &[OperatorMetrics],
    ) -> Result<Vec<Box<dyn SinkWriter>>, ConnectorError> {
        Ok(vec![Box::new(Self(self.0.clone(), self.1))])
    }
}

impl SinkWriter for Slow {
    fn write(&mut self, _batch: &Batch) -> Result<(), ConnectorError> {
        Ok(())
    }
    fn on_idle(&mut self) -> Result<(), ConnectorError> {
        Ok(())
    }
    fn prepare_commit(&mut self, _checkpoint: CheckpointId) -> Result<SinkSnapshot, ConnectorError> {
        self.0.advance(self.1);
        Ok(SinkSnapshot::default())
    }
    fn commit(&mut self, _checkpoint: CheckpointId, _committables: &RecordBatch) -> Result<(), ConnectorError> {
        Ok(())
    }
    fn end_of_input(&mut self) -> Result<(), ConnectorError> {
        Ok(())
    }
    fn close(&mut self) {}
}

pub(super) async fn cancel(handle: &JobHandle) {
    let (reply, answer) = oneshot::channel();
    handle.commands.send(JobCommand::Cancel { reply }).await.unwrap();
    answer.await.unwrap();
}

pub(super) async fn checkpoint(handle: &JobHandle) -> Result<super::super::CheckpointReply, String> {
    let (reply, answer) = oneshot::channel();
    handle.commands.send(JobCommand::Checkpoint { full: false, trigger: TriggerId::from_u128(8), reply }).await.unwrap();
    answer.await.unwrap_or_else(|_| Err("the job has ended".to_owned()))
}

#[test]
fn sources_that_wait_for_the_first_checkpoint_read_nothing_before_it_is_complete() {
    for (pause, interval) in [(true, Some(Duration::from_secs(10))), (false, Some(Duration::from_secs(10))), (true, None)] {
        let storage = storage(50);
        let mut graph = graph(interval, 2, true);
        graph.settings.checkpointing.pause_sources = pause;
        let outcome = run(graph, &storage, None, |handle| async move {
            until(&handle, |view| view.status == JobStatus::Running).await;
            while rows_in(&handle) == 0 {
                tokio::task::yield_now().await;
            }
            let waited = handle.view().checkpoints.completed > 0;
            assert_eq!(waited, pause && interval.is_some(), "without periodic checkpoints nothing would ever come");
            until_all_rows_arrived(&handle, 100).await;
            cancel(&handle).await;
        });
        assert_eq!(outcome.status, JobStatus::Canceled, "{:?}", outcome.failure);
    }
}

#[test]
fn a_source_that_waits_for_the_first_checkpoint_can_be_stopped_before_it() {
    let storage = storage(50);
    let mut graph = graph(Some(Duration::from_hours(1)), 2, true);
    graph.settings.checkpointing.pause_sources = true;
    graph.settings.checkpointing.min_pause = Duration::from_mins(30);
    let savepoint = std::cell::RefCell::new(PathBuf::new());
    let outcome = run(graph, &storage, None, |handle| {
        let savepoint = &savepoint;
        async move {
            until(&handle, |view| view.status == JobStatus::Running).await;
            savepoint.replace(stop(&handle).await);
        }
    });
    assert_eq!(outcome.status, JobStatus::Finished, "{:?}", outcome.failure);
    assert!(output(&storage).is_empty());
    let outcome = run(super::graph(None, 3, false), &storage, Some(&savepoint.borrow()), |_| async {});
    assert_eq!(outcome.status, JobStatus::Finished, "{:?}", outcome.failure);
    assert_eq!(output(&storage), expected(50));
}

#[test]
fn a_task_whose_part_of_a_snapshot_holds_it_up_for_too_long_fails() {
    for (limit, fails) in [(None, false), (Some(Duration::from_secs(5)), false), (Some(Duration::from_secs(4)), true)] {
        let clock = ManualClock::at(WallTime(0));
        let storage = storage(5);
        let mut graph = graph(Some(Duration::from_hours(1)), 1, true);
        graph.settings.checkpointing.sync_phase_timeout = limit;
        graph.nodes[1].kind = NodeKind::Sink(Arc::new(Slow(clock.clone(), Duration::from_secs(5))));
        let outcome = run_by(clock, graph, &storage, None, |handle| async move {
            until_all_rows_arrived(&handle, 10).await;
            let taken = checkpoint(&handle).await;
            assert_eq!(taken.is_err(), fails, "{taken:?}");
            if !fails {
                cancel(&handle).await;
            }
        });
        let expected = if fails { JobStatus::Failed } else { JobStatus::Canceled };
        assert_eq!(outcome.status, expected, "{:?}", outcome.failure);
        if fails {
            let said =
                "the synchronous phase of checkpoint 1 took 5 s, which is longer than execution.checkpointing.sync-phase-timeout = 4 s";
            assert!(outcome.failure.unwrap().contains(said));
        }
    }
}

#[test]
fn a_source_without_rows_holds_up_the_watermark_until_it_has_been_silent_for_the_idle_timeout() {
    for timeout in [None, Some(Duration::from_mins(1))] {
        let clock = ManualClock::at(WallTime(0));
        let mut graph = graph(None, 2, true);
        let expression = sql::compile_expression("ts", &timed_schema()).unwrap();
        graph.nodes[0].kind =
            NodeKind::Source(SourceNode { source: Arc::new(Silent), watermark: Some(WatermarkSpec { column: 1, expression }) });
        graph.nodes[1].kind = NodeKind::Sink(Arc::new(Slow(clock.clone(), Duration::ZERO)));
        graph.nodes[1].parallelism = Parallelism::ONE;
        graph.settings.idle_timeout = timeout;
        let outcome = run_by(clock.clone(), graph, &storage(0), None, |handle| async move {
            until_all_rows_arrived(&handle, 1).await;
            let watermark = |handle: &JobHandle| handle.view().vertices[1].metrics[0][0].watermark.get();
            // Many ticks of the buffer timeout.
            tokio::time::sleep(Duration::from_secs(5)).await;
            assert_eq!(watermark(&handle), i64::MIN, "the second subtask holds it up");
            clock.advance(Duration::from_secs(59));
            tokio::time::sleep(Duration::from_secs(5)).await;
            assert_eq!(watermark(&handle), i64::MIN, "not silent for long enough");
            clock.advance(Duration::from_secs(1));
            tokio::time::sleep(Duration::from_secs(5)).await;
            assert_eq!(watermark(&handle), if timeout.is_some() { 5_000 } else { i64::MIN });
            cancel(&handle).await;
        });
        assert_eq!(outcome.status, JobStatus::Canceled, "{:?}", outcome.failure);
    }
}

#[test]
fn checkpoints_go_directly_into_a_directory_that_no_second_job_is_given() {
    let storage = storage(50);
    let flat = |parallelism| {
        let mut graph = graph(Some(Duration::from_hours(1)), parallelism, true);
        graph.settings.checkpointing.create_subdir = false;
        graph
    };
    let second = flat(1);
    let second_storage = storage.clone();
    let outcome = run(flat(2), &storage, None, |handle| async move {
        until_all_rows_arrived(&handle, 100).await;
        let taken = checkpoint(&handle).await.unwrap();
        assert_eq!(taken.path, Some("/chk/chk-1".into()));
        let refused = Job::new(second, start_options(SystemClock::shared(), &second_storage, None));
        let error = refused.err().unwrap().to_string();
        assert!(error.starts_with("/chk: another job that runs keeps its checkpoints directly in it."), "{error}");
        cancel(&handle).await;
    });
    assert_eq!(outcome.status, JobStatus::Canceled, "{:?}", outcome.failure);
    assert_eq!(checkpoints_of(&*storage, Path::new("/chk"), ID).unwrap().len(), 1, "it is retained");
    let runtime = Builder::new_current_thread().build().unwrap();
    let refused = runtime.block_on(async { Job::new(flat(1), start_options(SystemClock::shared(), &storage, None)) });
    let error = refused.err().unwrap().to_string();
    assert!(error.contains("/chk/chk-1 is a checkpoint of job"), "{error}");
    // Whoever goes on from it may: its checkpoints come behind.
    let outcome = run(flat(1), &storage, Some(Path::new("/chk/chk-1")), |handle| async move {
        until(&handle, |view| view.status == JobStatus::Running).await;
        assert_eq!(checkpoint(&handle).await.unwrap().path, Some("/chk/chk-2".into()));
        stop(&handle).await;
    });
    assert_eq!(outcome.status, JobStatus::Finished, "{:?}", outcome.failure);
    assert_eq!(output(&storage), expected(50));
    let left: Vec<PathBuf> = storage.list(Path::new("/chk")).unwrap().into_iter().map(|entry| entry.path).collect();
    assert!(left.contains(&"/chk/chk-1".into()), "the checkpoint that was gone on from belongs to whoever named it: {left:?}");
    assert!(!left.contains(&"/chk/chk-2".into()) && !left.contains(&"/chk/stopped-with".into()), "{left:?}");
}
