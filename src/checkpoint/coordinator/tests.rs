//! Scenarios, and the rules that hold whatever happens.

mod backlogs;
mod rules;

use super::*;
use crate::checkpoint::settings::{CheckpointStorage, CheckpointingMode, Retention};
use crate::state::SnapshotForm;
use crate::types::JobId;
use proptest::prelude::*;

const TASKS: usize = 2;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn id(n: u64) -> CheckpointId {
    CheckpointId::new(n)
}

fn trigger(n: u128) -> TriggerId {
    TriggerId::from_u128(n)
}

fn settings() -> CheckpointSettings {
    CheckpointSettings {
        interval: Some(ms(1000)),
        backlog_interval: None,
        mode: CheckpointingMode::ExactlyOnce,
        unaligned: None,
        interruptible_timers: false,
        timeout: ms(600),
        min_pause: Duration::ZERO,
        max_concurrent: 1,
        tolerable_failed: 0,
        num_retained: 1,
        retention: Retention::NoExternalized,
        after_tasks_finish: true,
        incremental: false,
        local_backup: false,
        local_backup_dir: None,
        storage: CheckpointStorage::JobManager,
        create_subdir: true,
        sync_phase_timeout: None,
        pause_sources: false,
        savepoint_dir: Some("/savepoints".into()),
    }
}

/// A coordinator whose first periodic checkpoint is due at `min-pause`: no randomness in the way.
fn coordinator(settings: CheckpointSettings) -> Coordinator {
    Coordinator::new(settings, TASKS, id(1), true, Duration::ZERO, 7)
}

fn requested(n: u128, request: Request) -> Event {
    Event::Requested { trigger: trigger(n), request }
}

fn stop(drain: bool) -> Request {
    Request::Stop { directory: None, form: SnapshotForm::Canonical, drain, timeout: None }
}

fn savepoint(cancel: bool) -> Request {
    Request::Savepoint { directory: None, form: SnapshotForm::Canonical, cancel, timeout: None }
}

fn failed(n: u128, message: &str) -> Action {
    Action::Reply { trigger: trigger(n), result: Err(RequestError::Failed(message.to_owned())) }
}

fn replied(n: u128, checkpoint: u64) -> Action {
    let path = Some(PathBuf::from(format!("/{checkpoint}")));
    Action::Reply { trigger: trigger(n), result: Ok(Completed { checkpoint: id(checkpoint), path }) }
}

fn triggered(n: u64) -> Action {
    Action::Trigger { checkpoint: id(n), kind: CheckpointKind::Checkpoint, form: SnapshotForm::Native, directory: None, full: false }
}

fn triggered_savepoint(n: u64, kind: CheckpointKind) -> Action {
    Action::Trigger { checkpoint: id(n), kind, form: SnapshotForm::Canonical, directory: Some("/savepoints".into()), full: true }
}

fn notified(n: u64, commit: bool) -> Action {
    Action::NotifyComplete { checkpoint: id(n), commit }
}

fn aborted(n: u64, reason: FailureReason) -> Action {
    Action::Abort { checkpoint: id(n), reason, message: reason.message().to_owned() }
}

fn finalized(n: u64) -> Event {
    Event::Finalized { checkpoint: id(n), result: Ok(Some(format!("/{n}").into())) }
}

fn backlog(task: usize, backlog: bool) -> Event {
    Event::Backlog { task, backlog }
}

fn acknowledge(coordinator: &mut Coordinator, now: u64, n: u64) {
    for task in 0..TASKS {
        let actions = coordinator.handle(ms(now), Event::Acknowledged { checkpoint: id(n), task, bytes: ByteSize(10) });
        let expected = if task + 1 == TASKS { vec![Action::Finalize { checkpoint: id(n) }] } else { vec![] };
        assert_eq!(actions, expected);
    }
}

/// All tasks acknowledge, `_metadata` is written.
fn complete(coordinator: &mut Coordinator, now: u64, n: u64) -> Vec<Action> {
    acknowledge(coordinator, now, n);
    coordinator.handle(ms(now), finalized(n))
}

#[test]
fn a_checkpoint_is_triggered_acknowledged_finalized_and_notified() {
    let mut c = coordinator(settings());
    assert_eq!(c.next_wakeup(), Some(ms(0)));
    assert_eq!(c.handle(ms(0), Event::Tick), [triggered(1)]);
    assert_eq!(c.next_wakeup(), Some(ms(600)), "the timeout comes before the next beat");
    acknowledge(&mut c, 5, 1);
    let view: Vec<_> = c.pending().collect();
    assert_eq!((view[0].acknowledged, view[0].bytes), ((2, 2), ByteSize(20)));
    assert_eq!(c.handle(ms(9), finalized(1)), [notified(1, true)]);
    assert_eq!((c.next_wakeup(), c.restart_point(), c.pending().count()), (Some(ms(1000)), Some(id(1)), 0));
}

#[test]
fn a_look_is_answered_beside_a_checkpoint_and_counts_for_nothing_when_it_fails() {
    let looked = |n: u64, by: u128| Action::Look { checkpoint: id(n), trigger: trigger(by) };
    let mut c = coordinator(settings());
    assert_eq!(c.handle(ms(0), Event::Tick), [triggered(1)]);
    assert_eq!(c.handle(ms(1), requested(9, Request::Look)), [looked(2, 9)], "it does not wait for the checkpoint");
    acknowledge(&mut c, 2, 2);
    let in_memory = Event::Finalized { checkpoint: id(2), result: Ok(None) };
    let answered = Action::Reply { trigger: trigger(9), result: Ok(Completed { checkpoint: id(2), path: None }) };
    assert_eq!(c.handle(ms(3), in_memory), [answered], "nobody commits because of it");
    assert_eq!((c.restart_point(), c.retained().len(), c.pending().count()), (None, 0, 1));
    assert_eq!(complete(&mut c, 5, 1), [notified(1, true)]);
    // No failure is tolerated here, but this one is none of the job's.
    assert_eq!(c.handle(ms(6), requested(10, Request::Look)), [looked(3, 10)]);
    let too_much = Event::Declined { checkpoint: id(3), task: 1, reason: FailureReason::Async, message: "too many rows".to_owned() };
    let actions = c.handle(ms(7), too_much);
    assert!(matches!(&actions[..], [Action::Abort { .. }, Action::Reply { result: Err(_), .. }]), "{actions:?}");
    assert!(format!("{actions:?}").contains("too many rows"), "{actions:?}");
    assert_eq!(c.restart_point(), Some(id(1)));
}

#[test]
fn the_first_checkpoint_comes_at_a_random_time_between_min_pause_and_interval() {
    let at = |seed| {
        let settings = CheckpointSettings { min_pause: ms(400), ..settings() };
        Coordinator::new(settings, TASKS, id(1), false, ms(50), seed).next_wakeup().unwrap()
    };
    let times: BTreeSet<_> = (0..200).map(at).collect();
    assert!(times.len() > 100 && *times.first().unwrap() >= ms(450) && *times.last().unwrap() <= ms(1050), "{times:?}");
    assert_eq!(at(3), at(3));
}

#[test]
fn an_interval_shorter_than_the_pause_is_raised_to_it() {
    let mut c = coordinator(CheckpointSettings { min_pause: ms(5000), ..settings() });
    assert_eq!(c.handle(ms(5000), Event::Tick), [triggered(1)]);
    complete(&mut c, 5000, 1);
    assert_eq!(c.next_wakeup(), Some(ms(10_000)));
}

#[test]
fn a_checkpoint_that_takes_longer_than_the_interval_is_followed_by_the_next_at_once() {
    let mut c = coordinator(CheckpointSettings { timeout: ms(60_000), ..settings() });
    c.handle(ms(0), Event::Tick);
    for beat in [1000, 2000, 3000] {
        assert_eq!(c.handle(ms(beat), Event::Tick), []);
    }
    acknowledge(&mut c, 3500, 1);
    assert_eq!(c.handle(ms(3500), finalized(1)), [notified(1, true), triggered(2)]);
    assert_eq!(complete(&mut c, 3600, 2), [notified(2, true), Action::Discard { checkpoint: id(1) }], "missed beats are not made up for");
    assert_eq!(c.handle(ms(3700), Event::DiscardFinished { checkpoint: id(1) }), []);
}

#[test]
fn a_periodic_checkpoint_waits_for_the_rest_of_min_pause_and_a_manual_one_does_not() {
    let mut c = coordinator(CheckpointSettings { min_pause: ms(900), ..settings() });
    assert_eq!(c.handle(ms(900), Event::Tick), [triggered(1)]);
    complete(&mut c, 1400, 1);
    assert_eq!(c.handle(ms(1900), Event::Tick), []);
    assert_eq!(c.next_wakeup(), Some(ms(2300)));
    assert_eq!(c.handle(ms(2000), requested(1, Request::Checkpoint { full: false })), [triggered(2)]);
    let actions = complete(&mut c, 2100, 2);
    assert_eq!(actions, [notified(2, true), Action::Discard { checkpoint: id(1) }, replied(1, 2)]);
    c.handle(ms(2300), Event::Tick);
    assert_eq!(c.next_wakeup(), Some(ms(3000)));
}

#[test]
fn a_checkpoint_that_expires_is_aborted_and_fails_the_job_beyond_the_tolerable_number() {
    let mut c = coordinator(CheckpointSettings { tolerable_failed: 1, ..settings() });
    c.handle(ms(0), Event::Tick);
    assert_eq!(c.handle(ms(600), Event::Tick), [aborted(1, FailureReason::Expired)]);
    c.handle(ms(1000), Event::Tick);
    let actions = c.handle(ms(1600), Event::Tick);
    assert_eq!(actions[0], aborted(2, FailureReason::Expired));
    assert!(
        matches!(&actions[1..], [Action::FailJob { message }] if message.starts_with("Exceeded checkpoint tolerable failure threshold."))
    );
    assert_eq!(c.handle(ms(2000), Event::Tick), [], "nothing is triggered until the job runs again");
    c.handle(ms(2000), Event::JobRestarting);
    assert_eq!(c.handle(ms(3000), Event::JobRestarted), [triggered(3)]);
}

#[test]
fn an_expired_checkpoint_whose_metadata_was_written_after_all_is_discarded() {
    let mut c = coordinator(CheckpointSettings { tolerable_failed: 9, ..settings() });
    c.handle(ms(0), Event::Tick);
    acknowledge(&mut c, 100, 1);
    assert_eq!(c.handle(ms(600), Event::Tick), [aborted(1, FailureReason::Expired)]);
    assert_eq!(c.handle(ms(700), finalized(1)), [Action::Discard { checkpoint: id(1) }]);
    assert_eq!((c.handle(ms(700), finalized(1)), c.restart_point()), (vec![], None));
}

#[test]
fn a_savepoint_neither_commits_nor_is_retained_nor_waits_for_a_checkpoint() {
    let mut c = coordinator(settings());
    c.handle(ms(0), Event::Tick);
    assert_eq!(c.handle(ms(1), requested(1, savepoint(false))), [triggered_savepoint(2, CheckpointKind::Savepoint)]);
    assert_eq!(complete(&mut c, 5, 2), [notified(2, false), replied(1, 2)]);
    assert_eq!(c.restart_point(), None);
    assert_eq!(complete(&mut c, 6, 1), [notified(1, true)], "a savepoint subsumes nothing");
    assert_eq!(c.restart_point(), Some(id(1)));
}

#[test]
fn a_savepoint_without_a_directory_is_refused_in_flinks_words() {
    let mut c = coordinator(CheckpointSettings { savepoint_dir: None, ..settings() });
    for request in [savepoint(false), savepoint(true), stop(false)] {
        let actions = c.handle(ms(0), requested(1, request));
        let [Action::Reply { result: Err(error), .. }, Action::Trigger { .. }] = &actions[..] else { panic!("{actions:?}") };
        let message = error.message(JobId::from_u128(1));
        assert!(message.starts_with("No savepoint directory configured. You can either specify"), "{message}");
        assert!(message.ends_with("for purely taking savepoint.") && !message.contains("  "), "{message}");
        c = coordinator(CheckpointSettings { savepoint_dir: None, ..settings() });
    }
    let form = SnapshotForm::Native;
    let own = Request::Savepoint { directory: Some("/own".into()), form, cancel: false, timeout: None };
    let expected = Action::Trigger { checkpoint: id(1), kind: CheckpointKind::Savepoint, form, directory: Some("/own".into()), full: true };
    assert_eq!(c.handle(ms(0), requested(1, own))[0], expected);
}

#[test]
fn a_stop_ends_what_is_pending_commits_and_replies_when_all_tasks_have_ended() {
    let mut c = coordinator(settings());
    c.handle(ms(0), Event::Tick);
    let kind = CheckpointKind::StopWithSavepoint { drain: false };
    let actions = c.handle(ms(1), requested(1, stop(false)));
    assert_eq!(actions, [aborted(1, FailureReason::SchedulerShutdown), triggered_savepoint(2, kind)]);
    let refused = c.handle(ms(2), requested(2, savepoint(false)));
    assert!(matches!(&refused[..], [Action::Reply { result: Err(RequestError::Failed(_)), .. }]));
    let actions = complete(&mut c, 5, 2);
    assert_eq!(actions, [notified(2, true), Action::FinishTasks { checkpoint: Some(id(2)) }]);
    assert_eq!(c.handle(ms(5000), Event::Tick), []);
    assert_eq!(c.handle(ms(6), Event::TaskFinished { task: 0 }), []);
    assert_eq!(c.handle(ms(6), Event::TaskFinished { task: 1 }), [replied(1, 2)]);
    assert_eq!(c.handle(ms(6), Event::JobEnding { ending: Ending::Finished }), []);
}

#[test]
fn a_stop_whose_tasks_fail_after_the_savepoint_says_where_it_is_and_the_restart_begins_there() {
    let mut c = coordinator(settings());
    c.handle(ms(0), requested(1, stop(false)));
    complete(&mut c, 5, 1);
    let actions = c.handle(ms(6), Event::JobRestarting);
    let [Action::Reply { result: Err(error), .. }] = &actions[..] else { panic!("{actions:?}") };
    let expected = "A savepoint has been created at: /1, but the corresponding job 00000000000000000000000000000009 failed during stopping. \
                    The savepoint is consistent, but might have uncommitted transactions. If you want to commit the transaction please \
                    restart a job from this savepoint.";
    assert_eq!(error.message(JobId::from_u128(9)), expected);
    assert_eq!(c.restart_point(), Some(id(1)));
}

#[test]
fn a_stop_whose_savepoint_cannot_be_written_fails_and_periodic_checkpoints_go_on() {
    let mut c = coordinator(settings());
    c.handle(ms(0), requested(1, stop(false)));
    acknowledge(&mut c, 5, 1);
    let actions = c.handle(ms(10), Event::Finalized { checkpoint: id(1), result: Err("disk full".to_owned()) });
    let message = "Failure to finalize checkpoint. disk full";
    let abort = Action::Abort { checkpoint: id(1), reason: FailureReason::Finalize, message: message.to_owned() };
    assert_eq!(actions, [abort, failed(1, message), triggered(2)]);
}

#[test]
fn a_stop_that_a_task_declines_or_that_had_drained_fails_the_job() {
    let mut c = coordinator(settings());
    c.handle(ms(0), requested(1, stop(false)));
    let declined = Event::Declined { checkpoint: id(1), task: 0, reason: FailureReason::Async, message: "disk full".to_owned() };
    let actions = c.handle(ms(5), declined);
    assert_eq!(actions.last(), Some(&Action::FailJob { message: "Asynchronous task checkpoint failed. disk full".to_owned() }));

    let mut c = coordinator(settings());
    c.handle(ms(0), requested(1, stop(true)));
    let actions = c.handle(ms(600), Event::Tick);
    assert_eq!(actions[..2], [aborted(1, FailureReason::Expired), failed(1, FailureReason::Expired.message())]);
    assert!(matches!(actions[2..], [Action::FailJob { .. }]));

    // No task has heard of this one: nothing is lost.
    let mut c = coordinator(settings());
    c.handle(ms(0), requested(1, stop(true)));
    let no_directory = "Failed to create savepoint directory at /savepoints".to_owned();
    let actions = c.handle(ms(1), Event::TriggerFailed { checkpoint: id(1), message: no_directory });
    assert!(!actions.iter().any(|a| matches!(a, Action::FailJob { .. })), "{actions:?}");
    let reply =
        "An Exception occurred while triggering the checkpoint. IO-problem detected. Failed to create savepoint directory at /savepoints";
    assert_eq!(actions[1], failed(1, reply));
}

#[test]
fn cancel_with_savepoint_cancels_without_committing_and_a_failure_lets_the_job_run_on() {
    let mut c = coordinator(settings());
    assert_eq!(c.handle(ms(0), requested(1, savepoint(true))), [triggered_savepoint(1, CheckpointKind::Savepoint)]);
    assert_eq!(c.handle(ms(500), Event::Tick), [], "periodic checkpoints are suspended");
    assert_eq!(complete(&mut c, 510, 1), [notified(1, false), replied(1, 1), Action::CancelJob]);
    assert_eq!((c.handle(ms(5000), Event::Tick), c.next_wakeup()), (vec![], None));

    let mut c = coordinator(settings());
    c.handle(ms(0), requested(1, savepoint(true)));
    let expired = c.handle(ms(600), Event::Tick);
    assert_eq!(expired, [aborted(1, FailureReason::Expired), failed(1, FailureReason::Expired.message()), triggered(2)]);
}

#[test]
fn a_savepoint_that_a_task_cannot_write_does_not_fail_the_job() {
    let mut c = coordinator(settings());
    c.handle(ms(0), requested(1, savepoint(false)));
    let declined = Event::Declined { checkpoint: id(1), task: 0, reason: FailureReason::Async, message: "disk full".to_owned() };
    let actions = c.handle(ms(5), declined);
    assert!(!actions.iter().any(|a| matches!(a, Action::FailJob { .. })), "{actions:?}");
}

#[test]
fn when_all_tasks_have_ended_a_final_checkpoint_commits_before_they_finish() {
    let mut c = coordinator(CheckpointSettings { min_pause: ms(900), ..settings() });
    c.handle(ms(900), Event::Tick);
    assert_eq!(c.handle(ms(901), Event::TaskEnded { task: 0 }), []);
    assert_eq!(c.handle(ms(901), Event::TaskEnded { task: 1 }), [], "it waits for the one that is being taken");
    assert_eq!(complete(&mut c, 902, 1), [notified(1, true), triggered(2)], "min-pause does not hold it up");
    let actions = complete(&mut c, 903, 2);
    let finish = Action::FinishTasks { checkpoint: Some(id(2)) };
    assert_eq!(actions, [notified(2, true), Action::Discard { checkpoint: id(1) }, finish]);
    assert_eq!(c.next_wakeup(), None);
}

#[test]
fn without_checkpoints_or_without_the_option_ended_tasks_finish_at_once() {
    for settings in [CheckpointSettings { interval: None, ..settings() }, CheckpointSettings { after_tasks_finish: false, ..settings() }] {
        let mut c = Coordinator::new(settings, TASKS, id(1), false, ms(0), 1);
        assert_eq!(c.handle(ms(0), Event::TaskEnded { task: 0 }), []);
        assert_eq!(c.handle(ms(0), Event::TaskEnded { task: 1 }), [Action::FinishTasks { checkpoint: None }]);
    }
}

#[test]
fn after_a_task_has_finished_no_checkpoint_can_be_taken() {
    let mut c = coordinator(CheckpointSettings { after_tasks_finish: false, ..settings() });
    c.handle(ms(0), Event::Tick);
    assert_eq!(c.handle(ms(1), Event::TaskFinished { task: 1 }), [aborted(1, FailureReason::DeclinedTaskClosing)]);
    assert_eq!(c.handle(ms(2), requested(1, savepoint(false))), [failed(1, FailureReason::NotAllTasksRunning.message())]);
    assert_eq!(c.handle(ms(1000), Event::Tick), []);
}

#[test]
fn a_later_checkpoint_subsumes_earlier_ones_but_no_savepoint() {
    let mut c = coordinator(CheckpointSettings { max_concurrent: 2, timeout: ms(60_000), ..settings() });
    c.handle(ms(0), Event::Tick);
    c.handle(ms(1), requested(1, savepoint(false)));
    assert_eq!(c.handle(ms(1000), Event::Tick), [], "two are pending");
    acknowledge(&mut c, 1001, 2);
    let actions = c.handle(ms(1001), finalized(2));
    assert_eq!(actions, [notified(2, false), replied(1, 2), triggered(3)]);
    c.handle(ms(1002), requested(2, savepoint(false)));
    assert_eq!(complete(&mut c, 1003, 3), [aborted(1, FailureReason::Subsumed), notified(3, true)]);
    assert_eq!(c.pending().map(|p| p.checkpoint).collect::<Vec<_>>(), [id(4)]);
}

#[test]
fn nothing_is_triggered_while_too_many_old_checkpoints_are_still_being_deleted() {
    let mut c = coordinator(settings());
    let mut now = 0;
    for n in 1..=3 {
        assert_eq!(c.handle(ms(now), Event::Tick), [triggered(n)]);
        complete(&mut c, now, n);
        now += 1000;
    }
    assert_eq!(c.handle(ms(now), Event::Tick), []);
    assert_eq!(c.handle(ms(now), Event::DiscardFinished { checkpoint: id(1) }), [triggered(4)]);
}

#[test]
fn a_restart_ends_everything_pending_and_takes_the_numbers_on() {
    let mut c = coordinator(CheckpointSettings { min_pause: ms(300), ..settings() });
    c.handle(ms(300), Event::Tick);
    c.handle(ms(301), requested(1, Request::Checkpoint { full: true }));
    let suspended = FailureReason::Suspended;
    assert_eq!(c.handle(ms(302), Event::JobRestarting), [aborted(1, suspended), failed(1, suspended.message())]);
    assert_eq!((c.handle(ms(900), Event::Tick), c.next_wakeup()), (vec![], None));
    assert_eq!(c.handle(ms(1000), requested(2, savepoint(false))), [failed(2, FailureReason::NotAllTasksRunning.message())]);
    assert_eq!(c.handle(ms(1000), Event::JobRestarted), []);
    assert_eq!(c.handle(ms(1300), Event::Tick), [triggered(2)]);
}

fn is_full(actions: &[Action]) -> Option<bool> {
    actions.iter().find_map(|action| match action {
        Action::Trigger { full, .. } => Some(*full),
        _ => None,
    })
}

#[test]
fn a_claimed_checkpoint_counts_as_the_oldest_and_goes_when_later_ones_have_replaced_it() {
    let mut c = Coordinator::new(CheckpointSettings { num_retained: 2, ..settings() }, TASKS, id(8), true, Duration::ZERO, 7);
    c.restored(id(7), ClaimMode::Claim);
    assert_eq!((c.restart_point(), c.retained()), (Some(id(7)), &[id(7)][..]));
    assert_eq!(is_full(&c.handle(ms(0), Event::Tick)), Some(false));
    assert_eq!(complete(&mut c, 5, 8), [notified(8, true)]);
    c.handle(ms(1000), Event::Tick);
    assert_eq!(complete(&mut c, 1005, 9), [notified(9, true), Action::Discard { checkpoint: id(7) }]);
    assert_eq!(c.retained(), [id(8), id(9)]);
}

#[test]
fn without_a_claim_every_checkpoint_is_full_until_one_is_complete_and_none_is_ever_deleted() {
    let mut c = Coordinator::new(CheckpointSettings { tolerable_failed: 5, ..settings() }, TASKS, id(8), true, Duration::ZERO, 7);
    c.restored(id(7), ClaimMode::NoClaim);
    assert_eq!(c.restart_point(), None, "the job knows what it was started from");
    assert_eq!(is_full(&c.handle(ms(0), Event::Tick)), Some(true));
    c.handle(ms(600), Event::Tick);
    c.handle(ms(700), requested(1, savepoint(false)));
    complete(&mut c, 800, 9);
    assert_eq!(is_full(&c.handle(ms(1000), Event::Tick)), Some(true), "a savepoint is no base for a checkpoint");
    assert_eq!(complete(&mut c, 1005, 10), [notified(10, true)]);
    assert_eq!(is_full(&c.handle(ms(2000), Event::Tick)), Some(false));
}

#[test]
fn a_checkpoint_that_is_asked_for_as_a_full_one_is_one() {
    for full in [false, true] {
        let mut c = coordinator(CheckpointSettings { interval: None, ..settings() });
        assert_eq!(is_full(&c.handle(ms(0), requested(1, Request::Checkpoint { full }))), Some(full));
    }
}

#[test]
fn a_savepoint_may_be_given_more_or_less_time_than_a_checkpoint() {
    for (own, expires) in [(None, 600), (Some(ms(50)), 50), (Some(ms(90_000)), 90_000)] {
        let mut c = coordinator(CheckpointSettings { interval: None, ..settings() });
        c.handle(ms(0), requested(1, Request::Savepoint { directory: None, form: SnapshotForm::Canonical, cancel: false, timeout: own }));
        assert_eq!(c.next_wakeup(), Some(ms(expires)), "{own:?}");
        let actions = c.handle(ms(expires), Event::Tick);
        assert_eq!(actions, [aborted(1, FailureReason::Expired), failed(1, FailureReason::Expired.message())], "the job runs on");
        let mut c = coordinator(CheckpointSettings { interval: None, ..settings() });
        c.handle(ms(0), requested(1, Request::Stop { directory: None, form: SnapshotForm::Canonical, drain: false, timeout: own }));
        assert_eq!(c.next_wakeup(), Some(ms(expires)), "{own:?}");
    }
}

#[test]
fn a_stop_deletes_no_checkpoint_as_long_as_its_sinks_may_fail_to_commit() {
    let mut c = coordinator(settings());
    c.handle(ms(0), Event::Tick);
    complete(&mut c, 5, 1);
    c.handle(ms(10), requested(1, stop(false)));
    let mut actions = complete(&mut c, 20, 2);
    assert!(actions.contains(&notified(2, true)), "sinks commit now: {actions:?}");
    actions.extend(c.handle(ms(30), Event::JobRestarting));
    assert!(!actions.iter().any(|action| matches!(action, Action::Discard { .. } | Action::Abort { .. })), "{actions:?}");
    assert_eq!((c.restart_point(), c.retained()), (Some(id(2)), &[id(1)][..]));
}
