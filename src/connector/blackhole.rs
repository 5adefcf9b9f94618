//! `blackhole`: a sink that takes everything and writes nothing (Flink's `BlackHoleTableSinkFactory`).

use super::{ConnectorContext, ConnectorError, Sink, SinkDeclaration, SinkInput, SinkRestore, SinkSnapshot, SinkWriter, sinks};
use crate::metrics::OperatorMetrics;
use crate::types::{Batch, CheckpointId, OptionError, OptionSpec, Parallelism};
use arrow::array::RecordBatch;
use std::sync::Arc;

pub(super) const OPTIONS: &[OptionSpec] = &[sinks::PARALLELISM];

#[derive(Debug)]
struct BlackHole {
    parallelism: Option<Parallelism>,
}

struct BlackHoleWriter;

pub(super) fn build_sink(declaration: &SinkDeclaration) -> Result<Arc<dyn Sink>, OptionError> {
    Ok(Arc::new(BlackHole { parallelism: sinks::parallelism(&declaration.options)? }))
}

impl Sink for BlackHole {
    fn describe(&self) -> String {
        "blackhole".to_owned()
    }

    fn input(&self) -> SinkInput {
        SinkInput::AnyWithoutUpdateBefore
    }

    fn max_subtasks(&self) -> Option<Parallelism> {
        self.parallelism
    }

    fn writers(
        &self,
        context: &ConnectorContext,
        _restored: Option<&SinkRestore>,
        _metrics: &[OperatorMetrics],
    ) -> Result<Vec<Box<dyn SinkWriter>>, ConnectorError> {
        Ok((0..context.parallelism.get()).map(|_| Box::new(BlackHoleWriter) as Box<dyn SinkWriter>).collect())
    }
}

impl SinkWriter for BlackHoleWriter {
    fn write(&mut self, _batch: &Batch) -> Result<(), ConnectorError> {
        Ok(())
    }

    fn on_idle(&mut self) -> Result<(), ConnectorError> {
        Ok(())
    }

    fn prepare_commit(&mut self, _checkpoint: CheckpointId) -> Result<SinkSnapshot, ConnectorError> {
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
