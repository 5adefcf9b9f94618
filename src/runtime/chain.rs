//! The nodes of one subtask: rows are pushed in at the head, run through the chain, and come out in the outbox.

use super::committables;
use super::error::TaskError;
use super::exchange::{LinkSender, Outbox};
use crate::checkpoint::{OperatorStatePart, SubtaskSnapshot};
use crate::connector::{ConnectorError, SinkWriter};
use crate::metrics::OperatorMetrics;
use crate::operator::{InputIndex, Operator, OperatorContext, OperatorError, Output, OutputPort};
use crate::state::{KeyedState, OperatorState, SnapshotForm};
use crate::types::{Barrier, Batch, CheckpointId, Clock, EventTime, OperatorUid, StreamElement, WallTime, WatermarkStatus};
use arrow::array::RecordBatch;
use std::sync::Arc;

/// Names of operator states: under these they lie in a checkpoint.
pub(crate) mod state_names {
    /// A source's positions.
    pub(crate) const SPLITS: &str = "splits";
    /// What a sink's writer needs to go on.
    pub(crate) const WRITER: &str = "writer";
    /// What becomes visible when its checkpoint is complete.
    pub(crate) const COMMITTABLES: &str = "committables";
}

/// What a node of a chain does.
pub(crate) enum Work {
    /// The head of a source task: its reader is polled by the task, its rows enter through [`Chain::emit`].
    Source,
    /// Changes rows.
    Operator(Box<dyn Operator>),
    /// Takes rows out.
    Sink(Box<dyn SinkWriter>),
}

/// Where a node's output goes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ChainTarget {
    /// To the node at this position.
    Node(usize),
    /// Out by the link at this position of [`Chain::links`].
    Link(usize),
}

/// One node of one subtask.
pub(crate) struct ChainNode {
    pub(crate) uid: OperatorUid,
    pub(crate) name: String,
    pub(crate) work: Work,
    pub(crate) targets: Vec<(OutputPort, ChainTarget)>,
    pub(crate) state: KeyedState,
    pub(crate) operator_state: OperatorState,
    pub(crate) metrics: OperatorMetrics,
    pub(crate) watermark: EventTime,
    /// Committables of checkpoints that are not known to be complete, oldest first.
    pub(crate) uncommitted: Vec<(CheckpointId, RecordBatch)>,
}

/// All nodes of one subtask, in topological order. One push path: [`Chain::push`].
pub(crate) struct Chain {
    nodes: Vec<ChainNode>,
    links: Vec<LinkSender>,
    clock: Arc<dyn Clock>,
    outbox: Outbox,
    subtask: usize,
    /// The node to which a new watermark goes next.
    next: usize,
}

impl ChainNode {
    fn operator_error(&self, source: OperatorError) -> TaskError {
        TaskError::Operator { operator: self.name.clone(), source }
    }

    fn connector_error(&self, source: ConnectorError) -> TaskError {
        TaskError::Connector { operator: self.name.clone(), source }
    }

    /// Runs `call` on the operator, if the node is one; returns what it emitted.
    fn operate<F>(&mut self, now: WallTime, call: F) -> Result<Output, TaskError>
    where
        F: FnOnce(&mut dyn Operator, &mut OperatorContext<'_>, &mut Output) -> Result<(), OperatorError>,
    {
        let mut out = Output::default();
        if let Work::Operator(operator) = &mut self.work {
            let mut context = OperatorContext {
                state: &mut self.state,
                operator_state: &mut self.operator_state,
                now,
                watermark: self.watermark,
                metrics: &self.metrics,
            };
            let result = call(operator.as_mut(), &mut context, &mut out);
            result.map_err(|e| self.operator_error(e))?;
        }
        Ok(out)
    }
}

impl Chain {
    /// A chain; `nodes[0]` is the head.
    pub(crate) fn new(nodes: Vec<ChainNode>, links: Vec<LinkSender>, clock: Arc<dyn Clock>, subtask: usize) -> Self {
        Self { nodes, links, clock, outbox: Outbox::default(), subtask, next: 0 }
    }

    /// Opens every operator.
    pub(crate) fn open(&mut self) -> Result<(), TaskError> {
        let now = self.clock.now();
        for node in &mut self.nodes {
            node.operate(now, |operator, context, _| operator.open(context))?;
        }
        Ok(())
    }

    /// Pushes rows into the head.
    pub(crate) fn push(&mut self, input: InputIndex, batch: Batch) -> Result<(), TaskError> {
        self.push_into(0, input, batch)
    }

    /// Emits rows that the source at the head read.
    pub(crate) fn emit(&mut self, port: OutputPort, batch: Batch) -> Result<(), TaskError> {
        self.nodes[0].metrics.records_out.add(batch.num_rows() as u64);
        self.route(0, port, batch)
    }

    fn push_into(&mut self, at: usize, input: InputIndex, batch: Batch) -> Result<(), TaskError> {
        let now = self.clock.now();
        let node = &mut self.nodes[at];
        node.metrics.records_in.add(batch.num_rows() as u64);
        if let Work::Sink(writer) = &mut node.work {
            let written = writer.write(&batch);
            return written.map_err(|e| node.connector_error(e));
        }
        let out = node.operate(now, |operator, context, out| operator.process(input, batch, context, out))?;
        self.forward(at, out)
    }

    fn forward(&mut self, from: usize, mut out: Output) -> Result<(), TaskError> {
        for (port, batch) in out.drain() {
            self.nodes[from].metrics.records_out.add(batch.num_rows() as u64);
            self.route(from, port, batch)?;
        }
        Ok(())
    }

    fn route(&mut self, from: usize, port: OutputPort, batch: Batch) -> Result<(), TaskError> {
        // Cloning a batch shares its columns; the last target could take it, but a clone costs a few atomics per batch.
        for target in 0..self.nodes[from].targets.len() {
            match self.nodes[from].targets[target] {
                (p, _) if p != port => {}
                (_, ChainTarget::Node(to)) => self.push_into(to, 0, batch.clone())?,
                (_, ChainTarget::Link(link)) => {
                    let routed = self.links[link].route(link, batch.clone(), &mut self.outbox);
                    routed.map_err(|e| self.nodes[from].operator_error(e))?;
                }
            }
        }
        Ok(())
    }

    /// The head's watermark rose: every node hears of it behind the rows before it. False if a node has more to do: then the outbox is to be
    /// sent, and this called again with the same watermark before anything else.
    pub(crate) fn watermark(&mut self, watermark: EventTime) -> Result<bool, TaskError> {
        let now = self.clock.now();
        while let Some(node) = self.nodes.get_mut(self.next) {
            node.watermark = watermark;
            node.metrics.watermark.set(watermark.0);
            let out = node.operate(now, |operator, context, out| operator.on_watermark(context, out))?;
            let again = out.is_called_again();
            self.forward(self.next, out)?;
            if again {
                return Ok(false);
            }
            self.next += 1;
        }
        self.next = 0;
        self.broadcast(&StreamElement::Watermark(watermark));
        Ok(true)
    }

    /// When the earliest processing-time timer of any node is to fire.
    pub(crate) fn next_processing_time(&self) -> Option<WallTime> {
        self.nodes.iter().filter_map(|node| node.state.next_processing_time()).min()
    }

    /// Fires processing-time timers that are due; where there are many, some of them, and [`Self::next_processing_time`] is not later.
    pub(crate) fn on_processing_time(&mut self) -> Result<(), TaskError> {
        let now = self.clock.now();
        for at in 0..self.nodes.len() {
            if self.nodes[at].state.next_processing_time().is_some_and(|next| next <= now) {
                let out = self.nodes[at].operate(now, |operator, context, out| operator.on_processing_time(context, out))?;
                self.forward(at, out)?;
            }
        }
        Ok(())
    }

    /// Waits until the earliest processing-time timer is due; for ever without one, or while `paused`.
    pub(crate) fn processing_time(&self, paused: bool) -> impl Future<Output = ()> + Send + use<> {
        let wait = self.next_processing_time().filter(|_| !paused).map(|next| next.since(self.clock.now()));
        async move {
            match wait {
                Some(wait) => tokio::time::sleep(wait).await,
                None => std::future::pending().await,
            }
        }
    }

    /// The head turned idle or active.
    pub(crate) fn status(&mut self, status: WatermarkStatus) {
        self.broadcast(&StreamElement::WatermarkStatus(status));
    }

    /// Every node emits what it held back for the sake of batching.
    pub(crate) fn flush(&mut self) -> Result<(), TaskError> {
        let now = self.clock.now();
        for at in 0..self.nodes.len() {
            let out = self.nodes[at].operate(now, |operator, context, out| operator.flush(context, out))?;
            self.forward(at, out)?;
        }
        Ok(())
    }

    /// There is time: sinks flush what should not wait.
    pub(crate) fn on_idle(&mut self) -> Result<(), TaskError> {
        self.flush()?;
        for node in &mut self.nodes {
            if let Work::Sink(writer) = &mut node.work {
                let idle = writer.on_idle();
                idle.map_err(|e| node.connector_error(e))?;
            }
        }
        Ok(())
    }

    /// All inputs have ended: operators and sinks finish, receivers are told.
    pub(crate) fn end_of_input(&mut self) -> Result<(), TaskError> {
        let now = self.clock.now();
        for at in 0..self.nodes.len() {
            let out = self.nodes[at].operate(now, |operator, context, out| {
                operator.flush(context, out)?;
                operator.end_of_input(context, out)
            })?;
            self.forward(at, out)?;
            let node = &mut self.nodes[at];
            if let Work::Sink(writer) = &mut node.work {
                let ended = writer.end_of_input();
                ended.map_err(|e| node.connector_error(e))?;
            }
        }
        self.broadcast(&StreamElement::EndOfInput);
        Ok(())
    }

    /// Takes the snapshot of checkpoint `barrier` and, unless the chain has ended, forwards the barrier. `splits`: the position of
    /// the source at the head. `form`: in which form keyed states are saved.
    pub(crate) fn snapshot(
        &mut self,
        barrier: Barrier,
        splits: Option<RecordBatch>,
        form: SnapshotForm,
        forward: bool,
    ) -> Result<Vec<SubtaskSnapshot>, TaskError> {
        self.flush()?;
        let mut splits = splits;
        let mut snapshots = Vec::with_capacity(self.nodes.len());
        for node in &mut self.nodes {
            let mut parts = Vec::new();
            if let Some(rows) = splits.take() {
                parts.push(OperatorStatePart { name: state_names::SPLITS.to_owned(), rows });
            }
            if let Work::Sink(writer) = &mut node.work {
                let prepared = writer.prepare_commit(barrier.id);
                let prepared = prepared.map_err(|e| node.connector_error(e))?;
                if let Some(rows) = prepared.state {
                    parts.push(OperatorStatePart { name: state_names::WRITER.to_owned(), rows });
                }
                node.uncommitted.extend(prepared.committables.filter(|c| c.num_rows() > 0).map(|c| (barrier.id, c)));
                let packed = committables::pack(&node.uncommitted);
                let packed = packed.map_err(|e| node.connector_error(ConnectorError::State(e.to_string())))?;
                parts.extend(packed.map(|rows| OperatorStatePart { name: state_names::COMMITTABLES.to_owned(), rows }));
            }
            let keyed = node.state.snapshot_as(form);
            let keyed = keyed.map_err(|source| TaskError::State { operator: node.name.clone(), source })?;
            let (operator, registered) = (node.uid.clone(), node.operator_state.snapshot());
            snapshots.push(SubtaskSnapshot { operator, subtask: self.subtask, keyed, registered, operator_state: parts });
        }
        if forward {
            self.broadcast(&StreamElement::Barrier(barrier));
        }
        Ok(snapshots)
    }

    /// Takes a snapshot of the keyed state of one operator, for a person who looks, and forwards the barrier as [`Self::snapshot`] does.
    /// Nothing else changes.
    pub(crate) fn look(
        &mut self,
        barrier: Barrier,
        operator: Option<&OperatorUid>,
        forward: bool,
    ) -> Result<Vec<SubtaskSnapshot>, TaskError> {
        self.flush()?;
        let mut snapshots = Vec::new();
        for node in self.nodes.iter_mut().filter(|node| Some(&node.uid) == operator) {
            let keyed = node.state.snapshot();
            let keyed = keyed.map_err(|source| TaskError::State { operator: node.name.clone(), source })?;
            let (operator, registered, operator_state) = (node.uid.clone(), node.operator_state.snapshot(), Vec::new());
            snapshots.push(SubtaskSnapshot { operator, subtask: self.subtask, keyed, registered, operator_state });
        }
        if forward {
            self.broadcast(&StreamElement::Barrier(barrier));
        }
        Ok(snapshots)
    }

    /// Checkpoint `id` is complete: sinks make everything up to it visible (an earlier notification may have been missed).
    pub(crate) fn commit(&mut self, id: CheckpointId) -> Result<(), TaskError> {
        for node in &mut self.nodes {
            let Work::Sink(writer) = &mut node.work else { continue };
            while node.uncommitted.first().is_some_and(|(first, _)| *first <= id) {
                let (checkpoint, rows) = node.uncommitted.remove(0);
                let committed = writer.commit(checkpoint, &rows);
                committed.map_err(|source| TaskError::Connector { operator: node.name.clone(), source })?;
            }
        }
        Ok(())
    }

    /// The job ends and no checkpoint follows: sinks commit what they have.
    pub(crate) fn commit_without_checkpoint(&mut self) -> Result<(), TaskError> {
        let last = CheckpointId::new(u64::MAX);
        for node in &mut self.nodes {
            if let Work::Sink(writer) = &mut node.work {
                let prepared = writer.prepare_commit(last);
                let prepared = prepared.map_err(|e| node.connector_error(e))?;
                node.uncommitted.extend(prepared.committables.filter(|c| c.num_rows() > 0).map(|c| (last, c)));
            }
        }
        self.commit(last)
    }

    /// Sends everything in the outbox, waiting for receivers that are full. `false`: a receiver is gone, the job is ending.
    pub(crate) async fn send(&mut self) -> bool {
        for (link, channel, element) in self.outbox.elements.drain(..) {
            if !self.links[link].send(channel, element).await {
                return false;
            }
        }
        true
    }

    fn broadcast(&mut self, element: &StreamElement) {
        for (link, sender) in self.links.iter().enumerate() {
            sender.broadcast(link, element, &mut self.outbox);
        }
    }
}

impl Drop for Chain {
    /// A task that is ended from outside is dropped where it waits; its sinks close here.
    fn drop(&mut self) {
        for node in &mut self.nodes {
            if let Work::Sink(writer) = &mut node.work {
                writer.close();
            }
        }
    }
}
