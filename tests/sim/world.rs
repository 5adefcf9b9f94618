//! The world of a simulated job: its files, its clock, its accidents.

use flink::checkpoint::settings::ClaimMode;
use flink::checkpoint::{latest, open_directory};
use flink::job::{LoadContext, load};
use flink::runtime::{Blocking, Job, JobCommand, JobOutcome, JobStatus, StartOptions};
use flink::storage::Storage;
use flink::testing::storage::{Faults, FaultyStorage, MemoryStorage};
use flink::types::{Clock, JobId, Parallelism, TriggerId, WallTime};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::time::Instant;

/// tokio's clock, which stands still while there is work: the job and its timers see one time.
#[derive(Debug)]
struct PausedClock {
    start: Instant,
    /// When this life began: later than anything in an earlier one.
    born: WallTime,
}

impl Clock for PausedClock {
    fn now(&self) -> WallTime {
        self.born.plus(self.monotonic())
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}

/// A job and its input.
pub(crate) struct Scenario {
    /// job.toml; `/in`, `/out` and `/chk` are its directories.
    pub(crate) toml: String,
    /// Input files below `/in`.
    pub(crate) inputs: Vec<(String, String)>,
}

/// How rough the world is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Roughness {
    /// Up to this many deaths of the process.
    pub(crate) crashes: u32,
    /// About one storage operation in this many fails.
    pub(crate) fail_one_in: Option<u32>,
}

/// How one life of the process ended.
enum Life {
    Ended(JobOutcome),
    Died,
}

/// What a trace says of a restore with rows that were on their way.
pub(crate) const IN_FLIGHT: &str = "rows were on their way";

/// One line for each thing that happened, so that two runs of a seed can be compared.
pub(crate) type Trace = Vec<String>;

impl Scenario {
    fn storage(&self) -> Arc<MemoryStorage> {
        let storage = MemoryStorage::new();
        storage.create_dir_all(Path::new("/in")).unwrap();
        for (name, content) in &self.inputs {
            let mut file = storage.create(&Path::new("/in").join(name)).unwrap();
            file.write_all(content.as_bytes()).unwrap();
            file.sync().unwrap();
        }
        storage.sync_dir(Path::new("/in")).unwrap();
        storage
    }

    /// The rows of the output files of an undisturbed run at this parallelism, sorted.
    pub(crate) fn undisturbed(&self, parallelism: usize) -> Vec<String> {
        let memory = self.storage();
        let calm = Roughness { crashes: 0, fail_one_in: None };
        let life = self.live(&memory, calm, parallelism, &mut StdRng::seed_from_u64(0), &mut Vec::new());
        let Life::Ended(outcome) = life else { panic!("an undisturbed run died") };
        assert_eq!(outcome.status, JobStatus::Finished, "{:?}", outcome.failure);
        rows(&*memory)
    }

    /// The rows of the output files of a run in a rough world, sorted, and what happened.
    pub(crate) fn disturbed(&self, seed: u64, roughness: Roughness) -> (Vec<String>, Trace) {
        let memory = self.storage();
        let mut random = StdRng::seed_from_u64(seed);
        let mut trace = Trace::new();
        let mut roughness = roughness;
        loop {
            let parallelism = random.random_range(1..=3);
            trace.push(format!("start at parallelism {parallelism}"));
            match self.live(&memory, roughness, parallelism, &mut random, &mut trace) {
                Life::Ended(outcome) if outcome.status == JobStatus::Finished => break,
                Life::Ended(outcome) => trace.push(format!("failed: {:?}", outcome.failure)),
                Life::Died => trace.push("died".to_owned()),
            }
            memory.crash(random.random());
            roughness.crashes = roughness.crashes.saturating_sub(1);
            if roughness.crashes == 0 {
                roughness.fail_one_in = None;
            }
        }
        (rows(&*memory), trace)
    }

    /// One life of the process: from the newest checkpoint to the end of the job or of the process.
    fn live(&self, memory: &Arc<MemoryStorage>, roughness: Roughness, parallelism: usize, random: &mut StdRng, trace: &mut Trace) -> Life {
        let lives = trace.iter().filter(|line| line.starts_with("from ")).count() as u64;
        let born = WallTime(1_700_000_000_000).plus(Duration::from_hours(lives));
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let storage = FaultyStorage::over(memory.clone(), random.random(), Faults::default());
        let name = "sim";
        let found = latest(&**memory, &[PathBuf::from("/chk")], name).unwrap().found;
        trace.push(format!("from {:?}", found.as_ref().map(|f| f.id.number())));
        let restore = found.map(|f| open_directory(memory.clone(), &f.path).unwrap());
        let states = restore.iter().flat_map(|open| &open.manifest().operators).flat_map(|operator| &operator.operator_states);
        let in_flight: u64 =
            states.filter(|state| state.name.starts_with("in-flight")).map(flink::checkpoint::OperatorStateEntry::rows).sum();
        if in_flight > 0 {
            trace.push(format!("{in_flight} {IN_FLIGHT}"));
        }
        let graph = self.graph(parallelism);
        runtime.block_on(async {
            let options = StartOptions {
                job_id: JobId::from_u128(random.random()),
                storage: storage.clone(),
                clock: Arc::new(PausedClock { start: Instant::now(), born }),
                data: Handle::current(),
                blocking: Blocking::Inline,
                restore,
                claim: ClaimMode::NoClaim,
                seed: random.random(),
            };
            let job = Job::new(graph, options).unwrap();
            storage.set(Faults { fail_one_in: roughness.fail_one_in, ..Faults::default() });
            let handle = job.handle();
            let mut running = tokio::spawn(job.run());
            let mut steps_left = if roughness.crashes > 0 { random.random_range(1..400) } else { u32::MAX };
            loop {
                for _ in 0..random.random_range(1..20) {
                    tokio::task::yield_now().await;
                }
                if running.is_finished() {
                    let outcome = (&mut running).await.unwrap();
                    outcome.leftovers.delete(&*storage);
                    return Life::Ended(outcome);
                }
                steps_left = steps_left.saturating_sub(1);
                if steps_left == 0 {
                    return Life::Died;
                }
                match random.random_range(0..8) {
                    0 => {
                        let (reply, _) = oneshot::channel();
                        let trigger = TriggerId::from_u128(random.random());
                        let _ = handle.commands.try_send(JobCommand::Checkpoint { full: false, trigger, reply });
                    }
                    1 => tokio::time::sleep(Duration::from_millis(random.random_range(1..50))).await,
                    _ => {}
                }
            }
        })
    }

    fn graph(&self, parallelism: usize) -> flink::job::graph::JobGraph {
        let context = LoadContext {
            file_name: "sim.toml",
            directory: Path::new("/"),
            overrides: &[],
            environment: &|_| None,
            cores: Parallelism::new(parallelism).unwrap(),
            checkpoint_dir: PathBuf::from("/chk"),
            savepoint_dir: PathBuf::from("/sav"),
            functions: &flink::functions::Functions::new(),
            read: &|path| Err(format!("{} is not there", path.display())),
        };
        match load(&self.toml, &context) {
            Ok(loaded) => loaded.graph,
            Err(problems) => panic!("{problems}"),
        }
    }
}

/// The lines of every visible output file, sorted.
fn rows(storage: &dyn Storage) -> Vec<String> {
    let mut rows = Vec::new();
    let mut directories = vec![PathBuf::from("/out")];
    while let Some(directory) = directories.pop() {
        for entry in storage.list(&directory).unwrap_or_default() {
            let hidden = entry.path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(['.', '_']));
            if entry.is_dir {
                directories.push(entry.path);
            } else if !hidden {
                let bytes = storage.read(&entry.path, 1 << 30).unwrap();
                rows.extend(String::from_utf8(bytes).unwrap().lines().map(str::to_owned));
            }
        }
    }
    rows.sort_unstable();
    rows
}
