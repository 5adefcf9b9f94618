//! One attempt to run a job: makes every subtask from the plan and from what is restored, spawns them, and holds the lines to them.

use super::chain::{Chain, ChainNode, ChainTarget, Work, state_names};
use super::committables;
use super::error::TaskError;
use super::exchange::LinkSender;
use super::gate::{BarrierHandling, InputGate};
use super::in_flight;
use super::plan::{ExecutionPlan, Target, Vertex};
use super::states::stream_into;
use super::task::{Blocking, OperatorTask, Reporter, SourceTask, Task, TaskCommand, TaskEvent, Watermarks};
use crate::checkpoint::OpenCheckpoint;
use crate::checkpoint::settings::CheckpointingMode;
use crate::connector::{ConnectorContext, ConnectorError, SinkRestore, SinkWriter, SourceReader};
use crate::job::graph::{Exchange, JobGraph, NodeIndex, NodeKind, SourceNode};
use crate::metrics::OperatorMetrics;
use crate::operator::{InputIndex, SubtaskPlace};
use crate::state::{Backend, KeyedState, OperatorState, RestoredOperatorState};
use crate::storage::Storage;
use crate::types::limits::CHANNEL_BATCHES;
use crate::types::{Batch, Clock, EventTime, JobId, KeyGroupRange, MaxParallelism, OperatorUid, StreamElement};
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};

/// What every attempt is made from.
#[derive(Clone)]
pub(crate) struct Blueprint {
    pub(crate) job: JobId,
    pub(crate) graph: Arc<JobGraph>,
    pub(crate) plan: Arc<ExecutionPlan>,
    pub(crate) max_parallelism: MaxParallelism,
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) data: Handle,
    pub(crate) blocking: Blocking,
    pub(crate) backend: Backend,
}

impl Blueprint {
    /// Does work that waits for files where nobody else waits for its thread.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, TaskError> + Send + 'static,
    ) -> Result<T, TaskError> {
        match self.blocking {
            Blocking::Inline => work(),
            Blocking::Pool => self.data.spawn_blocking(work).await.unwrap_or_else(|error| {
                let message = if error.is_panic() { panic_message(error) } else { "the data plane has ended".to_owned() };
                Err(TaskError::Panic { operator: "restoring".to_owned(), message })
            }),
        }
    }
}

/// What a panic said.
pub(crate) fn panic_message(error: JoinError) -> String {
    let payload = error.into_panic();
    let text = payload.downcast_ref::<&str>().map(ToString::to_string).or_else(|| payload.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "no message".to_owned())
}

/// A running attempt. Dropping it ends all its tasks.
pub(crate) struct Attempt {
    /// Every task by its number; yields when it ends.
    pub(crate) tasks: JoinSet<(usize, Result<(), TaskError>)>,
    /// Lines to the tasks, by number: topological, subtask by subtask.
    pub(crate) commands: Vec<mpsc::UnboundedSender<TaskCommand>>,
    /// What the tasks report.
    pub(crate) events: mpsc::UnboundedReceiver<(usize, TaskEvent)>,
    /// Per vertex, per subtask, per operator of the chain.
    pub(crate) metrics: Vec<Vec<Vec<OperatorMetrics>>>,
    /// The vertex of each task.
    pub(crate) vertex_of: Vec<usize>,
}

/// The workers of one node, one a subtask, before they are put into chains.
enum Workers {
    Readers(Vec<Box<dyn SourceReader>>),
    Operators(Vec<Box<dyn crate::operator::Operator>>),
    Writers(Vec<Box<dyn SinkWriter>>),
}

/// The channels into one subtask, with the input of the head that they feed.
type Receivers = Vec<(InputIndex, mpsc::Receiver<StreamElement>)>;

/// The channels of all links, before they are handed to the tasks.
struct Wiring {
    /// Per link, per sending subtask: its channels.
    senders: Vec<Vec<Vec<mpsc::Sender<StreamElement>>>>,
    /// Per vertex, per subtask: its channels with the input of the head that they feed.
    receivers: Vec<Vec<Receivers>>,
}

impl Wiring {
    fn new(plan: &ExecutionPlan) -> Self {
        let mut receivers: Vec<Vec<Vec<_>>> =
            plan.vertices.iter().map(|v| (0..v.parallelism.get()).map(|_| Vec::new()).collect()).collect();
        let mut senders = Vec::with_capacity(plan.links.len());
        for link in &plan.links {
            let (from, to) = (plan.vertices[link.from].parallelism.get(), plan.vertices[link.to].parallelism.get());
            let straight = link.exchange == Exchange::Forward && from == to;
            let mut of_link = Vec::with_capacity(from);
            for i in 0..from {
                let targets = if straight { i..i + 1 } else { 0..to };
                of_link.push(
                    targets
                        .map(|j| {
                            let (sender, receiver) = mpsc::channel(CHANNEL_BATCHES);
                            receivers[link.to][j].push((link.input, receiver));
                            sender
                        })
                        .collect(),
                );
            }
            senders.push(of_link);
        }
        Self { senders, receivers }
    }
}

impl Attempt {
    /// Makes and spawns every task. `number`: 0 for the first attempt. `restore`: what state begins from.
    pub(crate) fn start(blueprint: &Blueprint, number: u64, restore: Option<&OpenCheckpoint>) -> Result<Self, TaskError> {
        let plan = &blueprint.plan;
        let metrics: Vec<Vec<Vec<OperatorMetrics>>> =
            plan.vertices.iter().map(|v| (0..v.parallelism.get()).map(|_| Vec::new()).collect()).collect();
        let mut builder = Builder { blueprint, number, restore, metrics };
        let mut wiring = Wiring::new(plan);
        let (events_in, events) = mpsc::unbounded_channel();
        let mut made = Vec::with_capacity(plan.tasks());
        let mut commands = Vec::with_capacity(plan.tasks());
        let mut vertex_of = Vec::with_capacity(plan.tasks());
        for (at, vertex) in plan.vertices.iter().enumerate() {
            let mut workers = builder.workers(at, vertex)?;
            let operator_states = builder.operator_states(vertex)?;
            for (subtask, restored) in builder.in_flight(vertex)?.into_iter().enumerate() {
                let (sender, receiver) = mpsc::unbounded_channel();
                let reporter = Reporter { task: commands.len(), events: events_in.clone(), blocking: blueprint.blocking };
                let receivers = std::mem::take(&mut wiring.receivers[at][subtask]);
                let own = workers.iter_mut().map(Workers::pop_subtask).collect();
                let chain = builder.chain((at, subtask), own, &operator_states, &wiring)?;
                let tick = blueprint.graph.settings.buffer_timeout;
                let (clock, sync_phase_timeout) = (blueprint.clock.clone(), blueprint.graph.settings.checkpointing.sync_phase_timeout);
                let task = Task { chain: chain.0, commands: receiver, reporter, tick, targets: Vec::new(), clock, sync_phase_timeout };
                made.push(builder.task(vertex, task, chain.1, (receivers, restored)));
                commands.push(sender);
                vertex_of.push(at);
            }
        }
        let metrics = builder.metrics;
        // Every task is made before the first one runs: an error above leaves nothing behind.
        let mut tasks = JoinSet::new();
        for (number, task) in made.into_iter().enumerate() {
            tasks.spawn_on(async move { (number, task.run().await) }, &blueprint.data);
        }
        Ok(Self { tasks, commands, events, metrics, vertex_of })
    }

    /// Tells every task, receivers before senders, so that an announcement is in a task's queue before a barrier can reach it.
    pub(crate) fn tell_all(&self, command: &TaskCommand) {
        for task in self.commands.iter().rev() {
            // A task that has ended does not listen any more; its end is reported by its join handle.
            let _ = task.send(command.clone());
        }
    }

    /// Ends all tasks where they wait, and waits until they are gone.
    pub(crate) async fn end(&mut self) {
        self.tasks.abort_all();
        while self.tasks.join_next().await.is_some() {}
    }
}

enum AnyTask {
    Source(Box<SourceTask>),
    Operator(Box<OperatorTask>),
}

impl AnyTask {
    async fn run(self) -> Result<(), TaskError> {
        match self {
            Self::Source(task) => task.run().await,
            Self::Operator(task) => task.run().await,
        }
    }
}

/// A subtask's worker of one node.
enum Worker {
    Reader(Box<dyn SourceReader>),
    Operator(Box<dyn crate::operator::Operator>),
    Writer(Box<dyn SinkWriter>),
}

impl Workers {
    /// The workers are made in subtask order and handed out in that order; they are kept reversed for that.
    fn reversed(self) -> Self {
        match self {
            Self::Readers(mut w) => {
                w.reverse();
                Self::Readers(w)
            }
            Self::Operators(mut w) => {
                w.reverse();
                Self::Operators(w)
            }
            Self::Writers(mut w) => {
                w.reverse();
                Self::Writers(w)
            }
        }
    }

    fn pop_subtask(&mut self) -> Option<Worker> {
        match self {
            Self::Readers(w) => w.pop().map(Worker::Reader),
            Self::Operators(w) => w.pop().map(Worker::Operator),
            Self::Writers(w) => w.pop().map(Worker::Writer),
        }
    }
}

struct Builder<'a> {
    blueprint: &'a Blueprint,
    number: u64,
    restore: Option<&'a OpenCheckpoint>,
    metrics: Vec<Vec<Vec<OperatorMetrics>>>,
}

impl Builder<'_> {
    fn context(&self, vertex: &Vertex) -> ConnectorContext {
        let settings = &self.blueprint.graph.settings.checkpointing;
        let checkpointing = settings.interval.is_some();
        ConnectorContext {
            parallelism: vertex.parallelism,
            storage: self.blueprint.storage.clone(),
            clock: self.blueprint.clock.clone(),
            execution: format!("{}-{}", self.blueprint.job, self.number),
            exactly_once: checkpointing && settings.mode == CheckpointingMode::ExactlyOnce,
            checkpointing,
        }
    }

    /// The workers of every node of a vertex.
    fn workers(&mut self, at: usize, vertex: &Vertex) -> Result<Vec<Workers>, TaskError> {
        let subtasks = vertex.parallelism.get();
        let context = self.context(vertex);
        let mut all = Vec::with_capacity(vertex.nodes.len());
        for index in &vertex.nodes {
            let node = &self.blueprint.graph.nodes[index.0];
            let metrics: Vec<OperatorMetrics> = (0..subtasks).map(|_| OperatorMetrics::default()).collect();
            for (subtask, m) in metrics.iter().enumerate() {
                self.metrics[at][subtask].push(m.clone());
            }
            let failed = |source: ConnectorError| TaskError::Connector { operator: node.name.clone(), source };
            let workers = match &node.kind {
                NodeKind::Source(source) => {
                    let restored = self.operator_state(&node.uid, &node.name, state_names::SPLITS)?;
                    Workers::Readers(source.source.readers(&context, &restored, &metrics).map_err(failed)?)
                }
                NodeKind::Operator(factory) => {
                    let create = |index| factory.create(self.place(vertex, index));
                    let operators = (0..subtasks).map(create).collect::<Result<Vec<_>, _>>();
                    let failed = |source| TaskError::Operator { operator: node.name.clone(), source };
                    Workers::Operators(operators.map_err(failed)?)
                }
                NodeKind::Sink(sink) => {
                    let restored = self.sink_restore(&node.uid, &node.name)?;
                    Workers::Writers(sink.writers(&context, restored.as_ref(), &metrics).map_err(failed)?)
                }
            };
            all.push(workers.reversed());
        }
        Ok(all)
    }

    fn place(&self, vertex: &Vertex, index: usize) -> SubtaskPlace {
        let max_parallelism = self.blueprint.max_parallelism;
        let key_groups = KeyGroupRange::of_subtask(max_parallelism, vertex.parallelism, index);
        SubtaskPlace { index, parallelism: vertex.parallelism, key_groups, max_parallelism }
    }

    fn not_readable(name: &str, message: &impl ToString) -> TaskError {
        TaskError::Connector { operator: name.to_owned(), source: ConnectorError::State(message.to_string()) }
    }

    fn operator_state(&self, uid: &OperatorUid, name: &str, state: &str) -> Result<Vec<arrow::array::RecordBatch>, TaskError> {
        match self.restore {
            None => Ok(Vec::new()),
            Some(open) => open.operator_state(uid, state).map_err(|e| Self::not_readable(name, &e)),
        }
    }

    /// Per subtask of a vertex, all of them: the rows that were on their way to it.
    fn in_flight(&self, vertex: &Vertex) -> Result<Vec<Vec<(InputIndex, Batch)>>, TaskError> {
        let mut parts: Vec<Vec<(InputIndex, Batch)>> = vec![Vec::new(); vertex.parallelism.get()];
        let head = &self.blueprint.graph.nodes[vertex.nodes[0].0];
        for (input, exchange) in in_flight::inputs(&self.blueprint.plan, vertex) {
            let saved = self.operator_state(&head.uid, &head.name, &in_flight::state_name(input))?;
            let Some(stream) = stream_into(&self.blueprint.graph, vertex.nodes[0], input).filter(|_| !saved.is_empty()) else { continue };
            let unpacked = saved.iter().map(|rows| in_flight::unpack(rows, &stream)).collect::<Result<Vec<_>, _>>();
            let divided = unpacked.and_then(|rows| {
                let rows = rows.into_iter().flatten().collect();
                in_flight::divide(rows, exchange, self.blueprint.max_parallelism, vertex.parallelism)
            });
            for (part, batches) in parts.iter_mut().zip(divided.map_err(|e| Self::not_readable(&head.name, &e))?) {
                part.extend(batches.into_iter().map(|batch| (input, batch)));
            }
        }
        Ok(parts)
    }

    /// What a sink had saved; `None` on a fresh start of the sink.
    fn sink_restore(&self, uid: &OperatorUid, name: &str) -> Result<Option<SinkRestore>, TaskError> {
        let Some(open) = self.restore else { return Ok(None) };
        if open.manifest().operator(uid).is_none() {
            return Ok(None);
        }
        let packed = self.operator_state(uid, name, state_names::COMMITTABLES)?;
        let committables = committables::unpack(&packed).map_err(|e| Self::not_readable(name, &e))?;
        Ok(Some(SinkRestore { state: self.operator_state(uid, name, state_names::WRITER)?, committables }))
    }

    /// The state of one operator in one subtask. `is_operator`: it keeps any, and so may have something to restore.
    fn keyed_state(&self, uid: &OperatorUid, name: &str, place: SubtaskPlace, is_operator: bool) -> Result<KeyedState, TaskError> {
        let backend = &self.blueprint.backend;
        let (restored, stores) = match self.restore.filter(|_| is_operator) {
            None => (Vec::new(), Vec::new()),
            Some(open) => {
                let rows = open.keyed_state(uid, place.key_groups).map_err(|e| Self::not_readable(name, &e))?;
                (rows, open.stores(uid, place.key_groups))
            }
        };
        let state = KeyedState::new(place.key_groups, place.max_parallelism, restored).restored_from(stores, backend);
        // Within a job attempts tell stores apart: file names of one are never those of another.
        Ok(state.on(backend, &self.number.to_string()))
    }

    /// Per node of a vertex: the operator states that were restored for it.
    fn operator_states(&self, vertex: &Vertex) -> Result<Vec<Vec<RestoredOperatorState>>, TaskError> {
        let restored = |index: &NodeIndex| {
            let node = &self.blueprint.graph.nodes[index.0];
            match self.restore.filter(|_| matches!(node.kind, NodeKind::Operator(_))) {
                None => Ok(Vec::new()),
                Some(open) => open.registered_states(&node.uid).map_err(|e| Self::not_readable(&node.name, &e)),
            }
        };
        vertex.nodes.iter().map(restored).collect()
    }

    /// The chain of one subtask of a vertex, and the reader at its head if it is a source.
    fn chain(
        &self,
        (at, subtask): (usize, usize),
        workers: Vec<Option<Worker>>,
        restored: &[Vec<RestoredOperatorState>],
        wiring: &Wiring,
    ) -> Result<(Chain, Option<Box<dyn SourceReader>>), TaskError> {
        let vertex = &self.blueprint.plan.vertices[at];
        let place = self.place(vertex, subtask);
        let mut links: Vec<usize> = Vec::new();
        let mut reader = None;
        let mut nodes = Vec::with_capacity(vertex.nodes.len());
        for (position, (index, worker)) in vertex.nodes.iter().zip(workers).enumerate() {
            let node = &self.blueprint.graph.nodes[index.0];
            let work = match worker {
                Some(Worker::Reader(r)) => {
                    reader = Some(r);
                    Work::Source
                }
                Some(Worker::Operator(operator)) => Work::Operator(operator),
                Some(Worker::Writer(writer)) => Work::Sink(writer),
                None => return Err(Self::not_readable(&node.name, &"fewer workers were made than there are subtasks")),
            };
            let state = self.keyed_state(&node.uid, &node.name, place, matches!(work, Work::Operator(_)))?;
            let targets = vertex.targets[position].iter().map(|(port, target)| {
                let target = match target {
                    Target::Chained(to) => ChainTarget::Node(*to),
                    Target::Link(link) => {
                        links.push(*link);
                        ChainTarget::Link(links.len() - 1)
                    }
                };
                (*port, target)
            });
            nodes.push(ChainNode {
                uid: node.uid.clone(),
                name: node.name.clone(),
                work,
                targets: targets.collect(),
                state,
                operator_state: OperatorState::new(subtask, place.parallelism, restored.get(position).cloned().unwrap_or_default()),
                metrics: self.metrics[at][subtask][position].clone(),
                watermark: EventTime::MIN,
                uncommitted: Vec::new(),
            });
        }
        let sender = |link: &usize| {
            let exchange = self.blueprint.plan.links[*link].exchange.clone();
            LinkSender::new(exchange, wiring.senders[*link][subtask].clone(), self.blueprint.max_parallelism)
        };
        let links = links.iter().map(sender).collect();
        Ok((Chain::new(nodes, links, self.blueprint.clock.clone(), subtask), reader))
    }

    fn task(
        &self,
        vertex: &Vertex,
        task: Task,
        reader: Option<Box<dyn SourceReader>>,
        (receivers, restored): (Receivers, Vec<(InputIndex, Batch)>),
    ) -> AnyTask {
        let head = &self.blueprint.graph.nodes[vertex.nodes[0].0];
        let settings = &self.blueprint.graph.settings;
        let handling = match (settings.checkpointing.mode, settings.checkpointing.unaligned) {
            (CheckpointingMode::AtLeastOnce, _) => BarrierHandling::Tracked,
            (CheckpointingMode::ExactlyOnce, None) => BarrierHandling::Aligned,
            (CheckpointingMode::ExactlyOnce, Some(patience)) => BarrierHandling::Unaligned(patience),
        };
        if let (Some(reader), NodeKind::Source(SourceNode { source, watermark })) = (reader, &head.kind) {
            let watermarks = watermark.as_ref().map(|w| {
                let column = (source.schema().field(w.column).name().clone(), w.column);
                let clock = self.blueprint.clock.clone();
                let mut watermarks = Watermarks::new(column, w.expression.clone(), settings.auto_watermark_interval, clock);
                watermarks.idle_timeout = settings.idle_timeout;
                watermarks
            });
            let paused = settings.checkpointing.pause_sources && settings.checkpointing.interval.is_some();
            let (name, idle, backlog) = (head.name.clone(), false, false);
            return AnyTask::Source(Box::new(SourceTask { task, name, reader, watermarks, idle, paused, backlog }));
        }
        let inputs = in_flight::inputs(&self.blueprint.plan, vertex).into_iter();
        let broadcast: Vec<InputIndex> = inputs.filter(|(_, exchange)| **exchange == Exchange::Broadcast).map(|(input, _)| input).collect();
        let (gate, clock) = (InputGate::new(receivers, handling).with_broadcast(&broadcast), self.blueprint.clock.clone());
        let interruptible = settings.checkpointing.interruptible_timers && matches!(handling, BarrierHandling::Unaligned(_));
        let (suspended, ahead, firing) = (None, None, None);
        AnyTask::Operator(Box::new(OperatorTask { task, gate, suspended, clock, restored, ahead, interruptible, firing }))
    }
}
