//! The loops of the two kinds of task: one polls a source, one polls its input channels; both run a chain, take snapshots at
//! barriers and obey the job loop. The only asynchronous code around operators.

use super::align::Progress;
use super::attempt_files::AttemptFiles;
use super::chain::Chain;
use super::error::TaskError;
use super::gate::{GateEvent, InputGate};
use super::in_flight;
use crate::checkpoint::{OperatorStatePart, SnapshotTarget, SubtaskSnapshot, WrittenSubtask};
use crate::connector::{ConnectorError, SourceEvent, SourceReader};
use crate::expr::CompiledExpr;
use crate::operator::InputIndex;
use crate::state::SnapshotForm;
use crate::types::{Barrier, Batch, CheckpointId, CheckpointKind, Clock, EventTime, WatermarkStatus, format_duration};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::{cast, max};
use arrow::datatypes::{DataType, TimeUnit, TimestampMillisecondType};
use std::collections::BTreeSet;
use std::future::{pending, poll_fn};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior};

/// What the job loop tells a task.
#[derive(Debug, Clone)]
pub(crate) enum TaskCommand {
    /// Checkpoint `barrier.id` begins; its files go there. Sources send the barrier, the others wait for it.
    Trigger(Barrier, Arc<AttemptFiles>),
    /// Checkpoint complete: sinks commit everything up to it.
    Commit(CheckpointId),
    /// Checkpoint given up.
    Abort(CheckpointId),
    /// The job ends in order: end. With `commit`, no checkpoint covers what sinks still hold: they commit it now.
    Finish {
        /// Whether sinks commit without a checkpoint.
        commit: bool,
    },
}

/// What a task tells the job loop. Its end and its failure are told by its join handle.
#[derive(Debug)]
pub(crate) enum TaskEvent {
    /// Its source works through a backlog now, or does not any more.
    Backlog(bool),
    /// All input is read and everything is sent on; the task waits for the last checkpoint.
    Ended,
    /// Its part of a checkpoint is written.
    Acknowledged(CheckpointId, Vec<WrittenSubtask>),
    /// Its part of a checkpoint could not be written; the task goes on.
    Declined(CheckpointId, String),
}

/// Whether files are written on threads of their own or in place (simulation: one thread, no surprises).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blocking {
    /// On tokio's blocking threads.
    Pool,
    /// Where the task runs.
    Inline,
}

/// The sending half of a task's way to the job loop: its number with every event.
#[derive(Debug, Clone)]
pub(crate) struct Reporter {
    pub(crate) task: usize,
    pub(crate) events: mpsc::UnboundedSender<(usize, TaskEvent)>,
    pub(crate) blocking: Blocking,
}

impl Reporter {
    fn report(&self, event: TaskEvent) {
        // The job loop is gone only when the job is ending; then nobody needs to know.
        let _ = self.events.send((self.task, event));
    }

    /// The asynchronous part of a snapshot.
    fn write(&self, id: CheckpointId, files: Arc<AttemptFiles>, snapshots: Vec<SubtaskSnapshot>) {
        let reporter = self.clone();
        let write = move || {
            let written = files.write(snapshots);
            // Let go before the report: who hears of it finds no writer.
            drop(files);
            reporter.report(match written {
                Ok(written) => TaskEvent::Acknowledged(id, written),
                Err(message) => TaskEvent::Declined(id, message),
            });
        };
        match self.blocking {
            Blocking::Pool => drop(tokio::task::spawn_blocking(write)),
            Blocking::Inline => write(),
        }
    }
}

/// Where a task is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Reads its input.
    Running,
    /// A source behind the barrier of a stop: reads nothing until the savepoint is complete or has failed.
    Suspended(CheckpointId),
    /// Its input has ended.
    Ended,
}

/// How a loop goes on after a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Loop,
    Exit,
}

/// What both kinds of task have.
pub(crate) struct Task {
    pub(crate) chain: Chain,
    pub(crate) commands: mpsc::UnboundedReceiver<TaskCommand>,
    pub(crate) reporter: Reporter,
    /// `execution.buffer-timeout`, at most a second: how often rows that wait for company are flushed.
    pub(crate) tick: Duration,
    /// Targets of the checkpoints that were announced and not taken yet.
    pub(crate) targets: Vec<(Barrier, Arc<AttemptFiles>)>,
    pub(crate) clock: Arc<dyn Clock>,
    /// `execution.checkpointing.sync-phase-timeout`
    pub(crate) sync_phase_timeout: Option<Duration>,
}

impl Task {
    fn ticker(&self) -> Interval {
        let mut ticker = tokio::time::interval(self.tick.clamp(Duration::from_millis(1), Duration::from_secs(1)));
        ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticker
    }

    /// Sends the outbox. If a receiver is gone the job is ending: waits to be dropped.
    async fn send(&mut self) {
        if !self.chain.send().await {
            pending::<()>().await;
        }
    }

    /// Lets event time advance. What fires is sent in between, and where the task waits for receivers it can be ended.
    async fn watermark(&mut self, watermark: EventTime) -> Result<(), TaskError> {
        while !self.chain.watermark(watermark)? {
            self.send().await;
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    fn finish(&mut self, commit: bool) -> Result<Next, TaskError> {
        if commit {
            self.chain.commit_without_checkpoint()?;
        }
        Ok(Next::Exit)
    }

    /// In which form keyed state is saved at `barrier`.
    fn form(&self, barrier: Barrier) -> SnapshotForm {
        let announced = self.targets.iter().find(|(announced, _)| announced.id == barrier.id);
        announced.map_or(SnapshotForm::Canonical, |(_, files)| files.form)
    }

    /// Fails if the part of snapshot `id` that began at `since`, and during which no row was processed, took too long.
    fn sync_phase_ended(&self, id: CheckpointId, since: Duration) -> Result<(), TaskError> {
        let took = self.clock.monotonic().saturating_sub(since);
        match self.sync_phase_timeout {
            Some(limit) if took > limit => Err(TaskError::Checkpoint(format!(
                "the synchronous phase of checkpoint {id} took {}, which is longer than execution.checkpointing.sync-phase-timeout = {}",
                format_duration(took),
                format_duration(limit)
            ))),
            _ => Ok(()),
        }
    }

    fn snapshot(&mut self, barrier: Barrier, splits: Option<arrow::array::RecordBatch>, ended: bool) -> Result<(), TaskError> {
        let since = self.clock.monotonic();
        let announced = self.targets.iter().find(|(announced, _)| announced.id == barrier.id);
        let snapshots = match announced.map(|(_, files)| &files.target) {
            Some(SnapshotTarget::Rows(wanted)) => self.chain.look(barrier, Some(&wanted.operator), !ended)?,
            None if barrier.kind == CheckpointKind::Look => self.chain.look(barrier, None, !ended)?,
            _ => self.chain.snapshot(barrier, splits, self.form(barrier), !ended)?,
        };
        self.sync_phase_ended(barrier.id, since)?;
        self.hand_in(barrier.id, snapshots);
        Ok(())
    }

    /// Has the snapshot of checkpoint `id` written.
    fn hand_in(&mut self, id: CheckpointId, snapshots: Vec<SubtaskSnapshot>) {
        match self.targets.iter().position(|(announced, _)| announced.id == id) {
            Some(at) => {
                let (_, target) = self.targets.remove(at);
                self.targets.retain(|(announced, _)| announced.id > id);
                self.reporter.write(id, target, snapshots);
            }
            None => self.reporter.report(TaskEvent::Declined(id, "the checkpoint was given up".to_owned())),
        }
    }
}

/// How the event time of a source's rows is found.
pub(crate) struct Watermarks {
    /// The rowtime column's name and position.
    pub(crate) column: (String, usize),
    pub(crate) expression: CompiledExpr,
    pub(crate) interval: Duration,
    pub(crate) clock: Arc<dyn Clock>,
    highest: EventTime,
    emitted: EventTime,
    last: Option<Duration>,
    /// `table.exec.source.idle-timeout`
    pub(crate) idle_timeout: Option<Duration>,
    /// Since when the source has had no rows; `None`: it has some, or was not asked yet.
    silent_since: Option<Duration>,
}

impl Watermarks {
    pub(crate) fn new(column: (String, usize), expression: CompiledExpr, interval: Duration, clock: Arc<dyn Clock>) -> Self {
        let (highest, emitted) = (EventTime::MIN, EventTime::MIN);
        Self { column, expression, interval, clock, highest, emitted, last: None, idle_timeout: None, silent_since: None }
    }

    /// The source has no rows now; true if that has been so for too long.
    fn silent_for_too_long(&mut self) -> bool {
        let Some(timeout) = self.idle_timeout else { return false };
        let now = self.clock.monotonic();
        now.saturating_sub(*self.silent_since.get_or_insert(now)) >= timeout
    }

    /// The watermark behind everything that was read, if it was not emitted yet.
    fn rest(&mut self) -> Option<EventTime> {
        let rest = (self.highest > self.emitted).then_some(self.highest);
        self.emitted = self.highest;
        rest
    }

    /// Takes note of the rows; returns a watermark that is due.
    fn observe(&mut self, batch: &Batch) -> Result<Option<EventTime>, String> {
        self.silent_since = None;
        let rowtime = batch.column(self.column.1);
        if rowtime.null_count() > 0 {
            // Flink's words (`WatermarkAssignerOperator`).
            return Err(format!(
                "RowTime field should not be null, please convert it to a non-null long value. (column {})",
                self.column.0
            ));
        }
        let highest = if self.expression.is_column_with_offset(self.column.1) {
            // The expression grows with the column, so its maximum lies in the row with the column's maximum.
            match latest_row(rowtime)? {
                None => return Ok(None),
                Some(row) => self.expression.evaluate(batch.slice(row, 1).columns()),
            }
        } else {
            self.expression.evaluate(batch.columns())
        };
        let values = millis(&highest.map_err(|e| e.to_string())?)?;
        if let Some(highest) = max(values.as_primitive::<TimestampMillisecondType>()) {
            self.highest = self.highest.max(EventTime(highest));
        }
        Ok(self.due())
    }

    fn due(&mut self) -> Option<EventTime> {
        let now = self.clock.monotonic();
        let waited = self.last.is_none_or(|last| now.saturating_sub(last) >= self.interval);
        if self.highest <= self.emitted || !waited {
            return None;
        }
        self.last = Some(now);
        self.emitted = self.highest;
        Some(self.highest)
    }
}

fn millis(array: &ArrayRef) -> Result<ArrayRef, String> {
    cast(array, &DataType::Timestamp(TimeUnit::Millisecond, None)).map_err(|e| e.to_string())
}

fn latest_row(rowtime: &ArrayRef) -> Result<Option<usize>, String> {
    let times = cast(rowtime, &DataType::Int64).map_err(|e| e.to_string())?;
    let times = times.as_primitive::<arrow::datatypes::Int64Type>().values();
    Ok((0..times.len()).max_by_key(|row| times[*row]))
}

/// A task whose head is a source.
pub(crate) struct SourceTask {
    pub(crate) task: Task,
    pub(crate) name: String,
    pub(crate) reader: Box<dyn SourceReader>,
    pub(crate) watermarks: Option<Watermarks>,
    pub(crate) idle: bool,
    /// Nothing is read before a checkpoint is complete (`pipeline.sources.pause-until-first-checkpoint`).
    pub(crate) paused: bool,
    /// The job loop was told that the source works through a backlog.
    pub(crate) backlog: bool,
}

impl SourceTask {
    /// Runs until the job loop says `Finish`.
    pub(crate) async fn run(mut self) -> Result<(), TaskError> {
        self.task.chain.open()?;
        let mut ticker = self.task.ticker();
        let mut phase = Phase::Running;
        self.report_backlog();
        loop {
            tokio::select! {
                biased;
                command = self.task.commands.recv() => {
                    let Some(command) = command else { return Ok(()) };
                    if self.obey(command, &mut phase).await? == Next::Exit {
                        return Ok(());
                    }
                }
                // Nothing follows the end of input: receivers may be gone by then.
                _ = ticker.tick(), if phase != Phase::Ended => self.task_tick(phase).await?,
                () = self.task.chain.processing_time(phase != Phase::Running) => self.task.chain.on_processing_time()?,
                event = poll_fn(|cx| poll(&mut self.reader, &mut self.watermarks, self.idle, cx)), if phase == Phase::Running && !self.paused => {
                    let event = event.map_err(|source| TaskError::Connector { operator: self.name.clone(), source })?;
                    self.take(event, &mut phase).await?;
                    self.report_backlog();
                    // A file is always ready: without this a source that is chained to its sink would never let go of its worker.
                    tokio::task::yield_now().await;
                }
            }
            self.task.send().await;
        }
    }

    /// Tells the job loop if the source has begun to work through a backlog, or has come to its end.
    fn report_backlog(&mut self) {
        let backlog = self.reader.is_backlogged() && !self.paused;
        if backlog != std::mem::replace(&mut self.backlog, backlog) {
            self.task.reporter.report(TaskEvent::Backlog(backlog));
        }
    }

    /// Behind the barrier of a stop, event time stands still.
    async fn task_tick(&mut self, phase: Phase) -> Result<(), TaskError> {
        let watermarks = self.watermarks.as_mut().filter(|_| phase == Phase::Running);
        if let Some(watermark) = watermarks.and_then(Watermarks::due) {
            self.task.watermark(watermark).await?;
        }
        self.task.chain.on_idle()
    }

    async fn take(&mut self, event: SourceEvent, phase: &mut Phase) -> Result<(), TaskError> {
        match event {
            SourceEvent::Batch(batch) => {
                if std::mem::take(&mut self.idle) {
                    self.task.chain.status(WatermarkStatus::Active);
                }
                let watermark = match &mut self.watermarks {
                    None => None,
                    Some(watermarks) => watermarks.observe(&batch).map_err(|message| self.row_error(message))?,
                };
                self.task.chain.emit(0, batch)?;
                match watermark {
                    Some(watermark) => self.task.watermark(watermark).await,
                    None => Ok(()),
                }
            }
            SourceEvent::DeadLetters(batch) => self.task.chain.emit(1, batch),
            SourceEvent::Idle => {
                if !std::mem::replace(&mut self.idle, true) {
                    // What is behind it would wait for the next row otherwise.
                    if let Some(rest) = self.watermarks.as_mut().and_then(Watermarks::rest) {
                        self.task.watermark(rest).await?;
                    }
                    self.task.chain.status(WatermarkStatus::Idle);
                }
                Ok(())
            }
            SourceEvent::End => self.end(phase).await,
        }
    }

    async fn end(&mut self, phase: &mut Phase) -> Result<(), TaskError> {
        *phase = Phase::Ended;
        if std::mem::take(&mut self.idle) {
            self.task.chain.status(WatermarkStatus::Active);
        }
        self.task.watermark(EventTime::MAX).await?;
        self.task.chain.end_of_input()?;
        self.task.reporter.report(TaskEvent::Ended);
        Ok(())
    }

    async fn obey(&mut self, command: TaskCommand, phase: &mut Phase) -> Result<Next, TaskError> {
        match command {
            TaskCommand::Trigger(barrier, target) => {
                self.task.targets.push((barrier, target));
                if matches!(barrier.kind, CheckpointKind::StopWithSavepoint { drain: true }) && *phase == Phase::Running {
                    self.end(phase).await?;
                }
                let splits = match barrier.kind {
                    CheckpointKind::Look => None,
                    _ => Some(self.reader.snapshot().map_err(|source| TaskError::Connector { operator: self.name.clone(), source })?),
                };
                self.task.snapshot(barrier, splits, *phase == Phase::Ended)?;
                if matches!(barrier.kind, CheckpointKind::StopWithSavepoint { .. }) && *phase == Phase::Running {
                    *phase = Phase::Suspended(barrier.id);
                }
            }
            TaskCommand::Commit(id) => {
                self.task.chain.commit(id)?;
                self.paused = false;
                self.report_backlog();
            }
            TaskCommand::Abort(id) => {
                self.task.targets.retain(|(announced, _)| announced.id != id);
                if *phase == Phase::Suspended(id) {
                    *phase = Phase::Running;
                }
            }
            TaskCommand::Finish { commit } => return self.task.finish(commit),
        }
        Ok(Next::Loop)
    }

    fn row_error(&self, message: String) -> TaskError {
        let source = crate::operator::OperatorError::Expression { expression: "WATERMARK".to_owned(), message };
        TaskError::Operator { operator: self.name.clone(), source }
    }
}

/// What a source has; that it is idle, if it has had nothing for too long. The ticker sees to it that this is asked in time.
fn poll(
    reader: &mut Box<dyn SourceReader>,
    watermarks: &mut Option<Watermarks>,
    is_idle: bool,
    cx: &mut std::task::Context<'_>,
) -> Poll<Result<SourceEvent, ConnectorError>> {
    let polled = reader.poll_next(cx);
    if polled.is_pending() && !is_idle && watermarks.as_mut().is_some_and(Watermarks::silent_for_too_long) {
        return Poll::Ready(Ok(SourceEvent::Idle));
    }
    polled
}

/// A task whose head reads channels.
pub(crate) struct OperatorTask {
    pub(crate) task: Task,
    pub(crate) gate: InputGate,
    /// The savepoint of a stop that was taken and is not complete yet.
    pub(crate) suspended: Option<CheckpointId>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Rows that were on their way when the checkpoint was taken that this begins from: they come before anything else.
    pub(crate) restored: Vec<(InputIndex, Batch)>,
    /// The snapshot of an unaligned checkpoint, as long as rows are recorded for it.
    pub(crate) ahead: Option<(CheckpointId, Vec<SubtaskSnapshot>)>,
    /// `unaligned.interruptible-timers.enabled`
    pub(crate) interruptible: bool,
    /// A watermark of which some timers have not fired yet: only unaligned checkpoints come in between.
    pub(crate) firing: Option<EventTime>,
}

impl OperatorTask {
    /// Runs until the job loop says `Finish`.
    pub(crate) async fn run(mut self) -> Result<(), TaskError> {
        self.task.chain.open()?;
        for (input, batch) in std::mem::take(&mut self.restored) {
            self.task.chain.push(input, batch)?;
            self.task.send().await;
        }
        let mut ticker = self.task.ticker();
        let mut ended = false;
        loop {
            tokio::select! {
                biased;
                command = self.task.commands.recv() => {
                    let Some(command) = command else { return Ok(()) };
                    if self.obey(command)? == Next::Exit {
                        return Ok(());
                    }
                }
                _ = ticker.tick() => {
                    self.gate.tick(self.clock.monotonic());
                    self.task.chain.on_idle()?;
                }
                // Behind the end, or the barrier of a stop, timers stay in the savepoint.
                () = self.task.chain.processing_time(ended || self.suspended.is_some() || self.firing.is_some()) => {
                    self.task.chain.on_processing_time()?;
                }
                event = poll_fn(|cx| if self.firing.is_some() { self.gate.poll_overtaking(cx) } else { self.gate.poll_next(cx) }) => {
                    if self.take(event, &mut ended).await? == Next::Exit {
                        return Ok(());
                    }
                }
                () = tokio::task::yield_now(), if self.firing.is_some() => self.fire_on()?,
            }
            self.task.send().await;
        }
    }

    async fn take(&mut self, event: GateEvent, ended: &mut bool) -> Result<Next, TaskError> {
        match event {
            GateEvent::Batch(input, batch) => self.task.chain.push(input, batch)?,
            GateEvent::Progress(Progress::Watermark(watermark)) if self.interruptible => {
                self.firing = Some(watermark);
                self.fire_on()?;
            }
            GateEvent::Progress(Progress::Watermark(watermark)) => self.task.watermark(watermark).await?,
            GateEvent::Progress(Progress::Status(status)) => self.task.chain.status(status),
            GateEvent::Snapshot(barrier) => {
                if self.hear_of(barrier)? == Next::Exit {
                    return Ok(Next::Exit);
                }
                self.task.snapshot(barrier, None, *ended)?;
                if matches!(barrier.kind, CheckpointKind::StopWithSavepoint { .. }) {
                    self.suspended = Some(barrier.id);
                }
            }
            GateEvent::SnapshotAhead(barrier) => {
                if self.hear_of(barrier)? == Next::Exit {
                    return Ok(Next::Exit);
                }
                let (form, since) = (self.task.form(barrier), self.clock.monotonic());
                self.ahead = Some((barrier.id, self.task.chain.snapshot(barrier, None, form, !*ended)?));
                self.task.sync_phase_ended(barrier.id, since)?;
            }
            GateEvent::Recorded(id, rows) => self.recorded(id, &rows),
            GateEvent::End => {
                *ended = true;
                self.task.chain.end_of_input()?;
                self.task.reporter.report(TaskEvent::Ended);
            }
        }
        Ok(Next::Loop)
    }

    /// Fires some of the timers that the watermark has passed.
    fn fire_on(&mut self) -> Result<(), TaskError> {
        if let Some(watermark) = self.firing
            && self.task.chain.watermark(watermark)?
        {
            self.firing = None;
        }
        Ok(())
    }

    /// The announcement was sent before the barrier; it may still lie in the queue.
    fn hear_of(&mut self, barrier: Barrier) -> Result<Next, TaskError> {
        while !self.task.targets.iter().any(|(announced, _)| announced.id == barrier.id) {
            let Ok(command) = self.task.commands.try_recv() else { break };
            if self.obey(command)? == Next::Exit {
                return Ok(Next::Exit);
            }
        }
        Ok(Next::Loop)
    }

    /// All that was on its way is known: the snapshot that was taken ahead is whole.
    fn recorded(&mut self, id: CheckpointId, rows: &[(InputIndex, Batch)]) {
        let Some((_, mut snapshots)) = self.ahead.take_if(|(ahead, _)| *ahead == id) else { return };
        let inputs: BTreeSet<InputIndex> = rows.iter().map(|(input, _)| *input).collect();
        for input in inputs {
            let own: Vec<&Batch> = rows.iter().filter(|(other, _)| *other == input).map(|(_, batch)| batch).collect();
            let Some(head) = snapshots.first_mut() else { return };
            match in_flight::pack(head.subtask, &own) {
                Ok(rows) => {
                    head.operator_state.extend(rows.map(|rows| OperatorStatePart { name: in_flight::state_name(input), rows }));
                }
                Err(e) => return self.task.reporter.report(TaskEvent::Declined(id, e.to_string())),
            }
        }
        self.task.hand_in(id, snapshots);
    }

    fn obey(&mut self, command: TaskCommand) -> Result<Next, TaskError> {
        match command {
            TaskCommand::Trigger(barrier, target) => {
                self.task.targets.push((barrier, target));
                self.gate.announce(barrier, self.clock.monotonic());
            }
            TaskCommand::Commit(id) => self.task.chain.commit(id)?,
            TaskCommand::Abort(id) => {
                self.ahead.take_if(|(ahead, _)| *ahead == id);
                self.task.targets.retain(|(announced, _)| announced.id != id);
                self.suspended = self.suspended.filter(|suspended| *suspended != id);
                self.gate.abort(id);
            }
            TaskCommand::Finish { commit } => return self.task.finish(commit),
        }
        Ok(Next::Loop)
    }
}
