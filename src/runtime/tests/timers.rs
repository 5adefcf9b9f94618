//! Timers that fire for a long time: what goes on meanwhile.

use super::sources::{Silent, Slow, cancel, checkpoint, row, timed_schema};
use super::*;
use crate::job::graph::WatermarkSpec;
use crate::operator::{InputIndex, Operator, OperatorContext, OperatorError, OperatorFactory, Output, SubtaskPlace};
use crate::sql;
use crate::types::Batch;
use arrow::datatypes::SchemaRef;

/// Always has one more row to emit when event time advances.
#[derive(Debug)]
struct Endless;

impl OperatorFactory for Endless {
    fn describe(&self) -> String {
        "endless".to_owned()
    }
    fn schema(&self) -> SchemaRef {
        timed_schema().to_arrow()
    }
    fn create(&self, _place: SubtaskPlace) -> Result<Box<dyn Operator>, OperatorError> {
        Ok(Box::new(Self))
    }
}

impl Operator for Endless {
    fn open(&mut self, _context: &mut OperatorContext<'_>) -> Result<(), OperatorError> {
        Ok(())
    }
    fn process(&mut self, _: InputIndex, _: Batch, _: &mut OperatorContext<'_>, _: &mut Output) -> Result<(), OperatorError> {
        Ok(())
    }
    fn on_watermark(&mut self, _context: &mut OperatorContext<'_>, out: &mut Output) -> Result<(), OperatorError> {
        out.emit(row(1, 5_000));
        out.call_again();
        Ok(())
    }
}

/// A source whose watermark makes [`Endless`] emit rows for ever, which come to it in this way, and a sink behind it.
fn endless(clock: &Arc<ManualClock>, from_source: Exchange) -> JobGraph {
    let mut graph = graph(None, 1, true);
    let expression = sql::compile_expression("ts", &timed_schema()).unwrap();
    let source = SourceNode { source: Arc::new(Silent), watermark: Some(WatermarkSpec { column: 1, expression }) };
    let kinds = [
        ("source", NodeKind::Source(source)),
        ("endless", NodeKind::Operator(Arc::new(Endless))),
        ("sink", NodeKind::Sink(Arc::new(Slow(clock.clone(), Duration::ZERO)))),
    ];
    let node =
        |(name, kind): (&str, NodeKind)| Node { uid: OperatorUid::new(name), name: name.to_owned(), kind, parallelism: Parallelism::ONE };
    graph.nodes = kinds.into_iter().map(node).collect();
    let edge = |from, to, exchange| Edge { from: NodeIndex(from), port: 0, to: NodeIndex(to), input: 0, exchange };
    graph.edges = vec![edge(0, 1, from_source), edge(1, 2, Exchange::Rebalance)];
    graph
}

#[test]
fn a_job_can_be_cancelled_while_timers_fire_and_what_they_emit_is_sent_on_meanwhile() {
    for exchange in [Exchange::Forward, Exchange::Rebalance] {
        let clock = ManualClock::at(WallTime(0));
        let outcome = run_by(clock.clone(), endless(&clock, exchange), &storage(0), None, |handle| async move {
            until_all_rows_arrived(&handle, 1_000).await;
            cancel(&handle).await;
        });
        assert_eq!(outcome.status, JobStatus::Canceled, "{:?}", outcome.failure);
    }
}

#[test]
fn an_unaligned_checkpoint_interrupts_timers_if_they_may_be_interrupted() {
    let clock = ManualClock::at(WallTime(0));
    let mut graph = endless(&clock, Exchange::Rebalance);
    graph.settings.checkpointing.unaligned = Some(Duration::ZERO);
    graph.settings.checkpointing.interruptible_timers = true;
    let outcome = run_by(clock, graph, &storage(0), None, |handle| async move {
        until_all_rows_arrived(&handle, 1_000).await;
        for _ in 0..3 {
            checkpoint(&handle).await.unwrap();
        }
        let arrived = rows_in(&handle);
        until_all_rows_arrived(&handle, arrived + 1_000).await;
        cancel(&handle).await;
    });
    assert_eq!(outcome.status, JobStatus::Canceled, "{:?}", outcome.failure);
}
