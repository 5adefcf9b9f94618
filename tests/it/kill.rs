//! The proof of exactly-once: golden jobs are killed with SIGKILL over and over, at random moments of their lives, and restored from the
//! newest checkpoint each time; in the end the output must be that of the undisturbed run, row for row.
//!
//! The seed is printed; `FLINK_TEST_SEED=<seed>` repeats the same choices (the moments themselves depend on the machine).

use super::golden::OFTEN;
use super::job_dir::{Ended, GoldenJob, JobDir, Running, Start, until, with_every_job};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// Processes of one job, the last of which is not killed. Each kind of [`Moment`] comes twice.
const LIVES: usize = 13;

/// Processes after these that are killed while their input ends: in the last checkpoint, while its output becomes visible, while the job
/// ends, at most.
const ENDS: usize = 4;

/// At which parallelism jobs run whose checkpoints are unaligned.
const UNALIGNED_PARALLELISM: usize = 2;

/// When a process is killed, and what is found by the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// While it starts: before its job runs, while it restores, before its first checkpoint.
    Start,
    /// Some time after its first checkpoint.
    Running,
    /// While it takes a savepoint.
    Savepoint,
    /// While it stops with a savepoint.
    Stop,
    /// As `Running`; then a checkpoint, a record of the job and files are left as if they had been torn.
    Torn,
    /// As `Running`; the next one is restored from the path that `flink list -a` shows.
    Listed,
}

const MOMENTS: [Moment; 6] = [Moment::Start, Moment::Running, Moment::Savepoint, Moment::Stop, Moment::Torn, Moment::Listed];

fn pause(random: &mut StdRng, most: u64) {
    thread::sleep(Duration::from_micros(random.random_range(0..most * 1000)));
}

/// The seed of this run.
fn seed() -> u64 {
    std::env::var("FLINK_TEST_SEED").map_or_else(|_| u64::from(rand::random::<u32>()), |text| text.parse().unwrap())
}

/// One job and its deaths.
struct Victim<'a> {
    job: &'a GoldenJob,
    dir: JobDir<'a>,
    random: StdRng,
    /// Checkpoints are unaligned. They are restored at the parallelism at which they were taken: not every edge can be divided anew.
    unaligned: bool,
    kills: usize,
    /// What happened, for the message of a failure.
    story: Vec<String>,
}

impl<'a> Victim<'a> {
    fn new(job: &'a GoldenJob, seed: u64) -> Self {
        let own = job.name.bytes().fold(seed, |seed, byte| seed.wrapping_mul(31).wrapping_add(u64::from(byte)));
        let mut random = StdRng::seed_from_u64(own);
        let unaligned = random.random();
        let story = vec![format!("unaligned: {unaligned}")];
        Self { job, dir: JobDir::without_input(job), random, unaligned, kills: 0, story }
    }

    /// What the next process is restored from; `None`: no checkpoint was completed yet.
    fn newest(&self, moment: Option<Moment>) -> Option<String> {
        if self.dir.complete().is_empty() {
            return None;
        }
        let listed = (moment == Some(Moment::Listed)).then(|| self.listed()).flatten();
        Some(listed.unwrap_or_else(|| "latest".to_owned()))
    }

    /// The path that is shown for the process that died last.
    fn listed(&self) -> Option<String> {
        let list: serde_json::Value = serde_json::from_str(&self.dir.answer(&["list", "-a", "-o", "json"])).unwrap();
        let last = list["jobs"].as_array().unwrap().last()?;
        last["latest"]["path"].as_str().map(str::to_owned)
    }

    /// True if the process that died last has said that its job has finished: there is nothing to restore then.
    fn is_finished(&self) -> bool {
        let list: serde_json::Value = serde_json::from_str(&self.dir.answer(&["list", "-a", "-o", "json"])).unwrap();
        list["jobs"].as_array().unwrap().last().is_some_and(|job| job["status"] == "FINISHED")
    }

    /// Waits for a checkpoint that was not there before; false if the process ended first.
    fn until_checkpoint(&self, running: &mut Running, before: &BTreeSet<PathBuf>) -> bool {
        until("a checkpoint", || match self.dir.complete().difference(before).next() {
            Some(_) => Some(true),
            None => running.has_ended().then_some(false),
        })
    }

    /// One life. True if the job has finished by itself.
    fn live(&mut self, moment: Moment, restore: Option<String>, feed: usize) -> bool {
        let parallelism = if self.unaligned { UNALIGNED_PARALLELISM } else { self.random.random_range(1..=3) };
        let (rocksdb, unaligned) = (self.random.random(), self.unaligned);
        self.story.push(format!("{moment:?} at parallelism {parallelism} from {restore:?}, on rocksdb: {rocksdb}"));
        let before = self.dir.complete();
        let start = Start { parallelism, lasting: true, restore, checkpoints: Some(OFTEN), rocksdb, unaligned, ..Start::default() };
        let mut running = self.dir.start(&start);
        if moment == Moment::Start {
            pause(&mut self.random, 80);
        } else {
            self.dir.feed(feed / 2);
            if self.until_checkpoint(&mut running, &before) {
                self.dir.feed(feed.div_ceil(2));
                pause(&mut self.random, 40);
            }
        }
        let command = match moment {
            Moment::Savepoint => Some("savepoint"),
            Moment::Stop => Some("stop"),
            _ => None,
        };
        let asked = command.map(|command| {
            let client = self.dir.start_command(&[command, &running.job()]);
            pause(&mut self.random, 120);
            client
        });
        let ended = running.kill();
        let stopped = asked.is_some_and(|mut client| {
            let status = until("the command to end", || client.try_wait().unwrap());
            moment == Moment::Stop && status.success()
        });
        self.kills += usize::from(ended == Ended::Killed);
        if moment == Moment::Torn {
            self.tear();
        }
        ended == Ended::Finished && !stopped && !self.was_stopped(&before)
    }

    /// True if a savepoint is new: a process that ended by itself was stopped, even if the command has not heard of it.
    fn was_stopped(&self, before: &BTreeSet<PathBuf>) -> bool {
        self.dir.complete().difference(before).any(|path| path.file_name().unwrap().to_str().unwrap().starts_with("savepoint-"))
    }

    /// Leaves what a crash of the machine could leave.
    fn tear(&mut self) {
        let Some(newest) = self.dir.complete().into_iter().rfind(|path| path.file_name().unwrap().to_str().unwrap().starts_with("chk-"))
        else {
            return;
        };
        let number: u64 = newest.file_name().unwrap().to_str().unwrap()["chk-".len()..].parse().unwrap();
        let job = newest.parent().unwrap();
        let unfinished = job.join(format!("chk-{}", number + 1));
        halve(&newest, &unfinished);
        let _ = fs::remove_file(unfinished.join("_metadata"));
        // Cannot happen where files are synced before they are renamed; a warning is all that it may cause.
        let torn = job.join(format!("chk-{}", number + 2));
        halve(&newest, &torn);
        for record in fs::read_dir(self.dir.path().join("state/jobs")).unwrap() {
            let record = record.unwrap().path();
            let bytes = fs::read(&record).unwrap();
            fs::write(record.with_extension("json.torn"), &bytes[..bytes.len() / 2]).unwrap();
        }
        for directory in self.job.outputs().iter().filter_map(|output| output.directory()) {
            for entry in fs::read_dir(self.dir.path().join(directory)).into_iter().flatten() {
                let name = entry.unwrap().file_name().into_string().unwrap();
                if let Some(execution) = name.strip_suffix(".lock") {
                    let leftover = format!("{execution}-0-{}.inprogress", self.random.random_range(1_000..2_000));
                    fs::write(self.dir.path().join(directory).join(leftover), "torn, and no line en").unwrap();
                }
            }
        }
    }

    /// All lives, and the end.
    fn run(mut self) -> usize {
        let first = self.random.random_range(0..MOMENTS.len());
        let mut last = None;
        for life in 0..LIVES - 1 {
            let moment = MOMENTS[(first + life) % MOMENTS.len()];
            let feed = self.dir.held() / (LIVES - life).min(6);
            let restore = self.newest(last);
            if self.live(moment, restore, feed.max(1)) {
                self.check();
                return self.kills;
            }
            last = Some(moment);
        }
        self.dir.feed(usize::MAX);
        for _ in 0..ENDS {
            let restore = self.newest(last.take());
            self.story.push(format!("ending, from {restore:?}"));
            let rocksdb = self.random.random();
            let running = self.dir.start(&Start { restore, checkpoints: Some(OFTEN), rocksdb, ..self.ending() });
            pause(&mut self.random, 200);
            let ended = running.kill();
            self.kills += usize::from(ended == Ended::Killed);
            if ended == Ended::Finished || self.is_finished() {
                self.check();
                return self.kills;
            }
        }
        let restore = self.newest(last);
        self.story.push(format!("to the end from {restore:?}"));
        let last = Start { restore, ..self.ending() };
        self.dir.run(&last);
        self.check();
        self.kills
    }

    /// How a process is started that runs to the end.
    fn ending(&self) -> Start {
        let parallelism = if self.unaligned { UNALIGNED_PARALLELISM } else { 0 };
        Start { parallelism, unaligned: self.unaligned, ..Start::default() }
    }

    fn check(&self) {
        self.dir.assert_expected(&format!("killed {} times:\n  {}\n", self.kills, self.story.join("\n  ")));
    }
}

/// A copy of a directory in which every file has lost its second half.
fn halve(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            halve(&entry.path(), &target);
        } else {
            let bytes = fs::read(entry.path()).unwrap();
            fs::write(target, &bytes[..bytes.len() / 2]).unwrap();
        }
    }
}

#[test]
fn whatever_is_killed_goes_on_from_its_newest_checkpoint_without_a_trace() {
    let seed = seed();
    eprintln!("FLINK_TEST_SEED={seed}");
    let kills = AtomicUsize::new(0);
    with_every_job(|job| {
        // BATCH starts anew after a failure; what that leaves is another matter.
        if !job.is_batch() {
            let died = Victim::new(job, seed).run();
            eprintln!("job {}: killed {died} times", job.name);
            kills.fetch_add(died, Ordering::Relaxed);
        }
    });
    let kills = kills.into_inner();
    eprintln!("{kills} kills, seed {seed}");
    assert!(kills >= 100, "only {kills} kills: too few to prove anything");
}
