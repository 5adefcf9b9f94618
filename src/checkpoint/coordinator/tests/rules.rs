//! Whatever happens, in any order: the rules hold.

use super::*;

/// What the outside world would see, kept beside the coordinator while events rain on it.
#[derive(Default)]
struct World {
    pending: BTreeMap<CheckpointId, CheckpointKind>,
    acknowledged: BTreeMap<CheckpointId, BTreeSet<usize>>,
    finalizing: BTreeSet<CheckpointId>,
    retained: BTreeSet<CheckpointId>,
    discarding: BTreeSet<CheckpointId>,
    requested: BTreeSet<u128>,
    answered: BTreeSet<TriggerId>,
    last_id: u64,
    last_completion: Option<Duration>,
    finish_seen: bool,
    /// Tasks that have reached the end of their data since the last restart.
    ended: BTreeSet<usize>,
}

impl World {
    fn apply(&mut self, now: Duration, event: &Event, settings: &CheckpointSettings, actions: &[Action]) -> Result<(), TestCaseError> {
        let asked = matches!(event, Event::Requested { .. });
        match event {
            Event::TaskEnded { task } | Event::TaskFinished { task } if *task < TASKS => {
                self.ended.insert(*task);
            }
            Event::JobRestarting => self.ended.clear(),
            _ => {}
        }
        if let Event::Finalized { checkpoint, result } = event {
            self.finalizing.remove(checkpoint);
            // Nobody is notified of a look; its answer is its end.
            if result.is_ok() && self.pending.get(checkpoint) == Some(&CheckpointKind::Look) {
                self.pending.remove(checkpoint);
            }
        }
        for action in actions {
            match action {
                Action::Trigger { checkpoint, kind, directory, .. } => {
                    prop_assert!(checkpoint.number() > self.last_id, "numbers increase");
                    prop_assert!(!self.finish_seen, "nothing is triggered when tasks end");
                    prop_assert_eq!(directory.is_some(), kind.is_savepoint());
                    let savepoint = kind.is_savepoint();
                    prop_assert!(savepoint || self.pending.len() < settings.max_concurrent, "too many at once");
                    if !savepoint && !asked && !self.manual_waiting() && self.ended.len() < TASKS {
                        let earliest = self.last_completion.map_or(Duration::ZERO, |last| last + settings.min_pause);
                        prop_assert!(now >= earliest, "min-pause was not kept");
                    }
                    self.last_id = checkpoint.number();
                    self.pending.insert(*checkpoint, *kind);
                }
                Action::Look { checkpoint, .. } => {
                    prop_assert!(checkpoint.number() > self.last_id && !self.finish_seen);
                    self.last_id = checkpoint.number();
                    self.pending.insert(*checkpoint, CheckpointKind::Look);
                }
                Action::Finalize { checkpoint } => {
                    prop_assert!(self.pending.contains_key(checkpoint) && self.finalizing.insert(*checkpoint));
                    prop_assert_eq!(self.acknowledged.get(checkpoint).map_or(0, BTreeSet::len), TASKS);
                }
                Action::Abort { checkpoint, .. } => prop_assert!(self.pending.remove(checkpoint).is_some(), "each ends once"),
                Action::NotifyComplete { checkpoint, commit } => {
                    let kind = self.pending.remove(checkpoint);
                    prop_assert!(kind.is_some(), "each ends once");
                    prop_assert_eq!(*commit, kind != Some(CheckpointKind::Savepoint));
                    if kind == Some(CheckpointKind::Checkpoint) {
                        self.retained.insert(*checkpoint);
                    }
                    self.last_completion = Some(now);
                }
                Action::Discard { checkpoint } => {
                    self.retained.remove(checkpoint);
                    prop_assert!(self.discarding.insert(*checkpoint));
                }
                Action::Reply { trigger, .. } => prop_assert!(self.answered.insert(*trigger), "one answer a request"),
                Action::FinishTasks { .. } => self.finish_seen = true,
                Action::FailJob { .. } | Action::CancelJob => {}
            }
        }
        prop_assert!(self.retained.len() <= settings.num_retained, "more retained than num-retained");
        Ok(())
    }

    /// Requests for checkpoints that may be triggered by an event that is not theirs.
    fn manual_waiting(&self) -> bool {
        self.requested.len() > self.answered.len()
    }
}

#[derive(Debug, Clone)]
enum Step {
    Wait(u64),
    Wake,
    Ask(u8),
    Acknowledge(usize, usize),
    Decline(usize, u8),
    Finalize(usize, bool),
    TriggerFailed(usize),
    End(usize),
    Finish(usize),
    Discarded,
    Restart,
    Restarted,
    Backlog(usize, bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0u64..1500).prop_map(Step::Wait),
        4 => Just(Step::Wake),
        2 => (0u8..7).prop_map(Step::Ask),
        8 => (0usize..3, 0usize..TASKS).prop_map(|(at, task)| Step::Acknowledge(at, task)),
        1 => (0usize..3, 0u8..3).prop_map(|(at, reason)| Step::Decline(at, reason)),
        5 => (0usize..3, prop::bool::weighted(0.8)).prop_map(|(at, ok)| Step::Finalize(at, ok)),
        1 => (0usize..3).prop_map(Step::TriggerFailed),
        1 => (0usize..=TASKS).prop_map(Step::End),
        1 => (0usize..=TASKS).prop_map(Step::Finish),
        3 => Just(Step::Discarded),
        1 => Just(Step::Restart),
        1 => Just(Step::Restarted),
        1 => (0usize..=TASKS, any::<bool>()).prop_map(|(task, on)| Step::Backlog(task, on)),
    ]
}

/// The event of a step, if it can happen in this world.
fn event_of(step: &Step, world: &mut World) -> Option<Event> {
    let pick = |at: usize, ids: Vec<CheckpointId>| ids.get(at % ids.len().max(1)).copied();
    let pending: Vec<_> = world.pending.keys().copied().collect();
    Some(match step {
        Step::Wait(_) | Step::Wake => Event::Tick,
        Step::Ask(what) => {
            let n = world.requested.len() as u128;
            world.requested.insert(n);
            let request = match what {
                0 | 1 => Request::Checkpoint { full: *what == 0 },
                2 | 3 => savepoint(*what == 2),
                4 | 5 => stop(*what == 4),
                _ => Request::Look,
            };
            requested(n, request)
        }
        Step::Acknowledge(at, task) => {
            let checkpoint = pick(*at, pending)?;
            world.acknowledged.entry(checkpoint).or_default().insert(*task);
            Event::Acknowledged { checkpoint, task: *task, bytes: ByteSize(1) }
        }
        Step::Decline(at, reason) => {
            let reason = [FailureReason::Async, FailureReason::Declined, FailureReason::DeclinedTaskNotReady][*reason as usize];
            Event::Declined { checkpoint: pick(*at, pending)?, task: 0, reason, message: String::new() }
        }
        Step::Finalize(at, ok) => {
            let checkpoint = pick(*at, world.finalizing.iter().copied().collect())?;
            let result = if *ok { Ok(None) } else { Err("disk full".to_owned()) };
            Event::Finalized { checkpoint, result }
        }
        Step::TriggerFailed(at) => Event::TriggerFailed { checkpoint: pick(*at, pending)?, message: String::new() },
        Step::End(task) => Event::TaskEnded { task: *task },
        Step::Finish(task) => Event::TaskFinished { task: *task },
        Step::Discarded => Event::DiscardFinished { checkpoint: pick(0, world.discarding.iter().copied().collect())? },
        Step::Restart => Event::JobRestarting,
        Step::Restarted => Event::JobRestarted,
        Step::Backlog(task, on) => backlog(*task, *on),
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]
    #[test]
    fn whatever_happens_the_rules_hold(
        steps in prop::collection::vec(step(), 1..120),
        (max_concurrent, num_retained, tolerable_failed) in (1usize..4, 1usize..4, 0usize..3),
        (min_pause, interval, after_tasks_finish) in (0u64..1500, prop::option::of(10u64..2000), any::<bool>()),
        (seed, backlog_interval) in (any::<u64>(), prop::option::of(0u64..4000)),
    ) {
        let settings = CheckpointSettings {
            interval: interval.map(ms), min_pause: ms(min_pause), max_concurrent, num_retained, tolerable_failed, after_tasks_finish,
            backlog_interval: backlog_interval.map(ms),
            ..settings()
        };
        let mut coordinator = Coordinator::new(settings.clone(), TASKS, id(1), false, Duration::ZERO, seed);
        let mut world = World::default();
        let mut now = Duration::ZERO;
        for step in &steps {
            match step {
                Step::Wait(millis) => now += ms(*millis),
                Step::Wake => now = now.max(coordinator.next_wakeup().unwrap_or(now)),
                _ => {}
            }
            let Some(event) = event_of(step, &mut world) else { continue };
            if event == Event::JobRestarting {
                world.finish_seen = false;
            }
            let actions = coordinator.handle(now, event.clone());
            if let Event::DiscardFinished { checkpoint } = &event {
                world.discarding.remove(checkpoint);
            }
            world.apply(now, &event, &settings, &actions)?;
            if let Some(wakeup) = coordinator.next_wakeup() {
                prop_assert!(wakeup > now, "what was due has been done");
            }
            prop_assert_eq!(coordinator.pending().map(|p| p.checkpoint).collect::<Vec<_>>(), world.pending.keys().copied().collect::<Vec<_>>());
            prop_assert_eq!(coordinator.retained(), world.retained.iter().copied().collect::<Vec<_>>());
        }
        let event = Event::JobEnding { ending: Ending::Canceled };
        let actions = coordinator.handle(now, event.clone());
        world.apply(now, &event, &settings, &actions)?;
        prop_assert!(world.pending.is_empty(), "every checkpoint ends");
        prop_assert_eq!(world.answered.len(), world.requested.len(), "every request is answered");
        let late = coordinator.handle(now, requested(u128::MAX, savepoint(false)));
        prop_assert_eq!(late, [failed(u128::MAX, FailureReason::Shutdown.message())]);
    }
}
