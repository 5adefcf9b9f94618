//! Whatever goes wrong, the output is that of the undisturbed run, row for row.

use crate::world::{IN_FLIGHT, Roughness, Scenario};

/// Seeds a test runs; each is a world of its own.
const SEEDS: u64 = 100;

/// Files of rows with increasing ids; `word` says which word row `n` of file `f` has.
fn inputs(files: usize, rows: usize, word: impl Fn(usize, usize) -> usize) -> Vec<(String, String)> {
    let line = |f: usize, n: usize| {
        let id = f * rows + n;
        format!("{{\"id\":{id},\"word\":\"w{}\",\"n\":{}}}\n", word(f, n), id % 100)
    };
    (0..files).map(|f| (format!("f{f:03}.json"), (0..rows).map(|n| line(f, n)).collect())).collect()
}

const SOURCE: &str = r#"
[pipeline]
name = "sim"
[execution.checkpointing]
interval = "20 ms"
externalized-checkpoint-retention = "RETAIN_ON_CANCELLATION"
[restart-strategy]
type = "fixed-delay"
fixed-delay.attempts = 3
fixed-delay.delay = "10 ms"
[sources.words]
connector = "filesystem"
path = "/in"
format = "json"
schema = "id BIGINT, word STRING, n BIGINT"
[sinks.out]
connector = "filesystem"
path = "/out"
"#;

/// Returns how often rows were restored that had been on their way.
fn holds_for_every_seed(scenario: &Scenario, roughness: Roughness) -> usize {
    let mut in_flight = 0;
    let expected = scenario.undisturbed(2);
    assert!(!expected.is_empty());
    for seed in 0..SEEDS {
        let (rows, trace) = scenario.disturbed(seed, roughness);
        let missing = expected.iter().find(|row| rows.binary_search(row).is_err());
        let surplus = rows.iter().find(|row| expected.binary_search(row).is_err());
        assert!(
            rows == expected,
            "seed {seed}: {} rows instead of {}; missing: {missing:?}; surplus: {surplus:?}\n{}",
            rows.len(),
            expected.len(),
            trace.join("\n")
        );
        in_flight += trace.iter().filter(|line| line.ends_with(IN_FLIGHT)).count();
    }
    in_flight
}

fn filtered() -> Scenario {
    let toml = format!(
        "{SOURCE}input = \"kept\"\nformat = \"json\"\n[transforms.kept]\nsql = \"SELECT id, UPPER(word) AS word FROM words WHERE n < 50\"\n"
    );
    Scenario { toml, inputs: inputs(25, 200, |_, n| n % 7) }
}

/// At parallelism 1 to 3 the order in which rows reach the aggregate differs, and with it the changelog; what the changelog adds up to
/// does not. One word a file keeps each key's rows in one split, hence in one order.
fn counted() -> Scenario {
    let toml = format!(
        "{SOURCE}input = \"counted\"\nformat = \"debezium-json\"\n[transforms.counted]\n\
         sql = \"SELECT word, COUNT(*) AS c, SUM(n) AS s, MAX(id) AS m FROM words GROUP BY word\"\n"
    );
    Scenario { toml, inputs: inputs(25, 100, |f, _| f) }
}

#[test]
fn rows_through_a_filter_come_out_once_over_crashes_at_any_point() {
    holds_for_every_seed(&filtered(), Roughness { crashes: 4, fail_one_in: None });
}

#[test]
fn a_changelog_of_an_aggregate_comes_out_once_over_crashes_at_any_point() {
    holds_for_every_seed(&counted(), Roughness { crashes: 4, fail_one_in: None });
}

#[test]
fn rows_come_out_once_although_storage_fails_and_the_process_dies() {
    holds_for_every_seed(&filtered(), Roughness { crashes: 3, fail_one_in: Some(60) });
}

#[test]
fn an_aggregate_counts_once_although_storage_fails_and_the_process_dies() {
    holds_for_every_seed(&counted(), Roughness { crashes: 3, fail_one_in: Some(60) });
}

/// As [`counted`], with rows on their way between tasks as part of the checkpoints, at once or when alignment takes too long.
fn unaligned(patience: &str) -> Scenario {
    let Scenario { toml, inputs } = counted();
    let options = format!("unaligned.enabled = true\naligned-checkpoint-timeout = \"{patience}\"\n[restart-strategy]");
    Scenario { toml: toml.replacen("[restart-strategy]", &options, 1), inputs }
}

#[test]
fn an_aggregate_counts_once_with_unaligned_checkpoints_over_crashes_at_any_point() {
    for patience in ["0 ms", "5 ms"] {
        holds_for_every_seed(&unaligned(patience), Roughness { crashes: 4, fail_one_in: None });
    }
}

#[test]
fn an_aggregate_counts_once_with_unaligned_checkpoints_although_storage_fails() {
    let in_flight = holds_for_every_seed(&unaligned("0 ms"), Roughness { crashes: 3, fail_one_in: Some(60) });
    // Simulated tasks are never slow: it takes a failure in between for rows to be on their way.
    assert!(in_flight >= 10, "rows were on their way in {in_flight} restores only");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let roughness = Roughness { crashes: 5, fail_one_in: Some(80) };
    for seed in 0..5 {
        let scenario = counted();
        assert_eq!(scenario.disturbed(seed, roughness), scenario.disturbed(seed, roughness), "seed {seed}");
    }
}
