//! Whole queries, odd input and written files against what a real Flink 2.3.0 made of them: `tests/peer` has the questions, the answers and
//! the program that asked. Here each question is a job of the built binary; no JVM is needed.

use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Jobs that run at the same time.
const AT_ONCE: usize = 4;

fn file(name: &str) -> String {
    fs::read_to_string(format!("{}/tests/peer/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn answers() -> Value {
    serde_json::from_str(&file("answers-2.3.0.json")).unwrap()
}

/// The names of questions of this `kind` whose answer here is another one on purpose.
fn different(kind: &str) -> BTreeSet<String> {
    file("differences.txt").lines().filter_map(|line| line.strip_prefix(kind)?.strip_prefix(' ').map(str::to_owned)).collect()
}

fn quoted(text: &str) -> String {
    toml_edit::value(text).to_string()
}

/// One source of a job.toml, and its file.
fn source(dir: &Path, job: &mut String, name: &str, table: &Value, format: &str) {
    let input = dir.join(format!("{name}.in"));
    fs::write(&input, table["input"].as_str().unwrap()).unwrap();
    let schema = quoted(table["schema"].as_str().unwrap());
    write!(job, "[sources.{name}]\nconnector = \"filesystem\"\npath = \"{name}.in\"\nformat = \"{format}\"\nschema = {schema}\n").unwrap();
    options(job, &table["options"]);
}

fn options(job: &mut String, options: &Value) {
    for (key, value) in options.as_object().into_iter().flatten() {
        let value = value.as_str().map_or_else(|| value.to_string(), quoted);
        writeln!(job, "{key} = {value}").unwrap();
    }
}

fn run(dir: &Path, job: &str) -> Output {
    fs::write(dir.join("job.toml"), job).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_flink"));
    command.args(["run", "-q", "job.toml"]).current_dir(dir).stdin(Stdio::null());
    command.env("FLINK_STATE_DIR", dir.join("state")).env("FLINK_RUNTIME_DIR", dir.join("run"));
    command.output().unwrap()
}

/// `None` if our answer is Flink's; else ours.
fn compare(answer: &Value, output: &Output, text: &str, expected: &str) -> Option<String> {
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(!err.contains("panicked"), "{err}");
    let fails = answer["failed"].is_string() || answer["refused"].is_string();
    let same = output.status.success() != fails && (fails || text == expected);
    (!same).then(|| format!("{}\n  {}", output.status, [text, &err].join("\n").replace('\n', "\n  ")))
}

/// Asks all questions of `kind`, some at once; our answers must be Flink's unless differences.txt has them.
fn ask(kind: &str, questions: &[Value], ours: impl Fn(&Value) -> Option<String> + Sync) {
    let known = different(kind);
    let (next, found) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let worker = || {
        while let Some(question) = questions.get(next.fetch_add(1, Ordering::Relaxed)) {
            let name = question["name"].as_str().unwrap();
            match (ours(question), known.contains(name)) {
                (Some(ours), false) => found.lock().unwrap().push(format!("{question}\n  {ours}")),
                (None, true) => found.lock().unwrap().push(format!("{name}: no longer different, so no longer in differences.txt")),
                _ => {}
            }
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(worker)).collect();
        for worker in workers {
            worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
    });
    let found = found.into_inner().unwrap();
    assert!(found.is_empty(), "{} of {} differ:\n{}", found.len(), questions.len(), found.join("\n"));
}

#[test]
fn queries_change_their_results_row_by_row_as_flinks_did() {
    let answers = answers();
    let questions = answers["queries"].as_array().unwrap();
    assert!(questions.len() >= 180);
    ask("query", questions, |question| {
        let dir = tempfile::tempdir().unwrap();
        let mode = question["mode"].as_str().unwrap();
        let mut job = format!("[execution]\nruntime-mode = \"{mode}\"\n[parallelism]\ndefault = 1\n");
        for (name, table) in question["inputs"].as_object().unwrap() {
            source(dir.path(), &mut job, name, table, table["format"].as_str().unwrap());
        }
        let sql = quoted(question["sql"].as_str().unwrap());
        write!(job, "[transforms.result]\nsql = {sql}\n[sinks.out]\ninput = \"result\"\nconnector = \"print\"\n").unwrap();
        let output = run(dir.path(), &job);
        let rows: String = question["rows"].as_array().into_iter().flatten().flat_map(|row| [row.as_str().unwrap(), "\n"]).collect();
        compare(question, &output, &String::from_utf8_lossy(&output.stdout), &rows)
    });
}

#[test]
fn files_are_written_byte_for_byte_as_flinks_were() {
    let answers = answers();
    let input = &answers["write-input"];
    let questions = answers["writes"].as_array().unwrap();
    assert!(questions.len() >= 20);
    ask("write", questions, |question| {
        let dir = tempfile::tempdir().unwrap();
        let mut job = "[execution]\nruntime-mode = \"BATCH\"\n[parallelism]\ndefault = 1\n".to_owned();
        source(dir.path(), &mut job, "src", input, "json");
        let (sql, format) = (quoted(question["sql"].as_str().unwrap()), question["format"].as_str().unwrap());
        write!(job, "[transforms.result]\nsql = {sql}\n[sinks.out]\ninput = \"result\"\nconnector = \"filesystem\"\npath = \"out\"\n")
            .unwrap();
        writeln!(job, "format = \"{format}\"").unwrap();
        options(&mut job, &question["options"]);
        let output = run(dir.path(), &job);
        let files = fs::read_dir(dir.path().join("out")).into_iter().flatten().map(|file| file.unwrap().path());
        let mut files: Vec<_> = files.filter(|file| !file.file_name().unwrap().to_str().unwrap().starts_with('.')).collect();
        files.sort();
        let text: String = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
        compare(question, &output, &text, question["text"].as_str().unwrap_or_default())
    });
}
