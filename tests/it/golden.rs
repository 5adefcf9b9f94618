//! Golden jobs: every folder of `tests/jobs` runs in each of these ways as real processes, and each way must leave the rows that the
//! folder's `expected/` holds, all of them and no others. `kill.rs` adds the ways that end with SIGKILL.
//!
//! A new folder is found by itself. `UPDATE=1 cargo test --release --test it golden::straight` writes `expected/` from an undisturbed run;
//! look at the difference before committing it.

use super::job_dir::{GoldenJob, JobDir, Running, Start, until, with_every_job};

/// Checkpoints come as fast as they may.
pub(crate) const OFTEN: &str = "10 ms";

/// No checkpoint is taken unless one is asked for.
const NEVER: &str = "0";

fn lasting((parallelism, rocksdb): (usize, bool), checkpoints: &'static str) -> Start {
    Start { parallelism, lasting: true, checkpoints: Some(checkpoints), rocksdb, ..Start::default() }
}

fn restored((parallelism, rocksdb): (usize, bool), path: String) -> Start {
    Start { parallelism, restore: Some(path), rocksdb, ..Start::default() }
}

/// A job that has seen half of its input and is somewhere in it; its id.
fn in_the_middle<'a>(job: &'a GoldenJob, start: &Start) -> (JobDir<'a>, Running, String) {
    let mut dir = JobDir::without_input(job);
    dir.feed(dir.held().div_ceil(2));
    let mut running = dir.start(start);
    let id = running.job();
    until("rows to move", || (dir.rows_moved(&id) > 0).then_some(()));
    (dir, running, id)
}

#[test]
fn straight_runs_give_the_expected_rows_at_every_parallelism_and_on_both_backends() {
    let update = std::env::var_os("UPDATE").is_some();
    with_every_job(|job| {
        for (parallelism, rocksdb) in [(1, false), (3, false), (2, true)] {
            let mut dir = JobDir::new(job);
            dir.run(&Start { parallelism, rocksdb, ..Start::default() });
            if update && parallelism == 1 {
                dir.update();
            }
            dir.assert_expected(&format!("run straight at parallelism {parallelism}, on rocksdb: {rocksdb}"));
        }
    });
}

#[test]
fn a_savepoint_restores_at_another_parallelism_and_on_the_other_backend() {
    with_every_job(|job| {
        if job.is_batch() {
            return;
        }
        for (before, after) in [((1, false), (3, true)), ((3, true), (1, false))] {
            // What a later checkpoint made visible would come twice; that is what `cancel -s` is for.
            let (mut dir, running, id) = in_the_middle(job, &lasting(before, NEVER));
            let path = dir.answer(&["savepoint", "-q", &id]);
            dir.answer(&["cancel", &id]);
            running.end_with(1);
            dir.feed(usize::MAX);
            dir.run(&restored(after, path));
            dir.assert_expected(&format!("restored at {after:?} from a savepoint at {before:?} (parallelism, on rocksdb)"));
        }
    });
}

#[test]
fn a_job_cancelled_with_a_savepoint_goes_on_from_it() {
    with_every_job(|job| {
        if job.is_batch() {
            return;
        }
        let (mut dir, running, id) = in_the_middle(job, &lasting((2, true), OFTEN));
        let path = dir.answer(&["cancel", "-q", "-s", "savepoints", &id]);
        running.end_with(1);
        dir.feed(usize::MAX);
        dir.run(&restored((2, true), path));
        dir.assert_expected("restored after cancel -s");
    });
}

#[test]
fn a_stopped_job_goes_on_from_its_savepoint() {
    with_every_job(|job| {
        if job.is_batch() {
            return;
        }
        let (mut dir, running, id) = in_the_middle(job, &lasting((2, false), OFTEN));
        let path = dir.answer(&["stop", "-q", &id]);
        running.finish();
        dir.feed(usize::MAX);
        dir.run(&restored((1, false), path));
        dir.assert_expected("restored after stop");
    });
}

/// Without this the others would prove nothing.
#[test]
fn a_run_that_starts_anew_where_it_should_have_been_restored_is_noticed() {
    with_every_job(|job| {
        let appends = job.outputs().iter().any(|output| output.directory().is_some());
        if job.is_batch() || !appends {
            return;
        }
        let (mut dir, running, id) = in_the_middle(job, &lasting((2, false), OFTEN));
        dir.answer(&["stop", "-q", &id]);
        running.finish();
        dir.feed(usize::MAX);
        dir.run(&Start::default());
        assert!(dir.difference().is_some(), "job {}: the rows from before the stop are there twice, and it was not seen", job.name);
    });
}
