//! How often checkpoints are taken while sources work through a backlog.

use super::*;

#[test]
fn while_any_source_works_through_a_backlog_its_interval_counts() {
    let settings = CheckpointSettings { backlog_interval: Some(ms(5000)), timeout: ms(60_000), ..settings() };
    let mut c = coordinator(settings.clone());
    assert_eq!(c.handle(ms(0), Event::Tick), [triggered(1)]);
    complete(&mut c, 100, 1);
    c.handle(ms(200), backlog(0, true));
    c.handle(ms(200), backlog(1, true));
    assert_eq!(c.next_wakeup(), Some(ms(1000)), "a beat that was set before stays");
    assert_eq!(c.handle(ms(1000), Event::Tick), [triggered(2)]);
    complete(&mut c, 1100, 2);
    assert_eq!(c.next_wakeup(), Some(ms(6000)), "one interval of the backlog later");
    c.handle(ms(1200), backlog(0, false));
    assert_eq!(c.next_wakeup(), Some(ms(6000)), "the other source is still at it");
    c.handle(ms(1300), backlog(1, false));
    assert_eq!(c.next_wakeup(), Some(ms(2300)), "an interval from the end of the backlog");
    c.handle(ms(1400), backlog(1, true));
    c.handle(ms(1500), Event::TaskEnded { task: 1 });
    c.handle(ms(1500), Event::DiscardFinished { checkpoint: id(1) });
    assert_eq!(c.handle(ms(2300), Event::Tick), [triggered(3)]);
    complete(&mut c, 2300, 3);
    assert_eq!(c.next_wakeup(), Some(ms(3300)), "a source that has ended has no backlog");
    c.handle(ms(2400), backlog(0, true));
    c.handle(ms(2400), Event::JobRestarting);
    assert_eq!(c.handle(ms(2500), Event::JobRestarted), [triggered(4)]);
    complete(&mut c, 2600, 4);
    assert_eq!(c.next_wakeup(), Some(ms(3500)), "tasks of a new attempt say it anew");
}

#[test]
fn a_backlog_interval_of_zero_means_no_periodic_checkpoints_until_the_backlog_is_done_but_for_those_that_are_asked_for() {
    let mut c = coordinator(CheckpointSettings { backlog_interval: Some(ms(0)), timeout: ms(60_000), min_pause: ms(300), ..settings() });
    c.handle(ms(0), backlog(0, true));
    assert_eq!(c.next_wakeup(), None);
    assert_eq!(c.handle(ms(90_000), Event::Tick), []);
    assert_eq!(c.handle(ms(90_000), requested(1, Request::Checkpoint { full: false })), [triggered(1)]);
    complete(&mut c, 90_100, 1);
    assert_eq!(c.next_wakeup(), None);
    // A stop that fails lets the beat begin again, but not during a backlog.
    assert!(!c.handle(ms(90_200), requested(2, stop(false))).is_empty());
    c.handle(ms(90_250), Event::TriggerFailed { checkpoint: id(2), message: "disk full".to_owned() });
    assert_eq!(c.next_wakeup(), None);
    c.handle(ms(90_300), backlog(0, false));
    assert_eq!(c.next_wakeup(), Some(ms(91_300)));
    assert_eq!(c.handle(ms(91_300), Event::Tick), [triggered(3)]);
    let mut never = coordinator(CheckpointSettings { interval: None, backlog_interval: Some(ms(5000)), ..settings() });
    never.handle(ms(0), backlog(0, true));
    assert_eq!(never.next_wakeup(), None, "without an interval there are no periodic checkpoints at all");
}

#[test]
fn the_first_checkpoint_comes_at_once_when_sources_wait_for_it() {
    let settings = CheckpointSettings { pause_sources: true, min_pause: ms(40), ..settings() };
    for seed in 0..20 {
        let c = Coordinator::new(settings.clone(), TASKS, id(1), false, ms(50), seed);
        assert_eq!(c.next_wakeup(), Some(ms(90)));
    }
}
