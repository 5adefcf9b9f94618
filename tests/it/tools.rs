//! Savepoints and other people's tools: DuckDB and pandas read every kind of state as `flink state export` does, change values in it, and
//! the job that is restored goes on from those.

use crate::job_dir::until;
use crate::python::python;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A query and a function with a state of every kind.
const JOB: &str = r#"[pipeline]
name = "kinds"
[sources.orders]
connector = "filesystem"
path = "in"
format = "json"
#WATCH
schema = """
  shop   STRING,
  amount BIGINT,
  price  DECIMAL(10, 2),
  ts     TIMESTAMP(3),
  WATERMARK FOR ts AS ts
"""
[transforms.totals]
sql = "SELECT shop, COUNT(*) AS n, SUM(price) AS price, MAX(ts) AS newest, AVG(amount) AS mean FROM orders GROUP BY shop"
[transforms.portraits]
input = "orders"
key-by = ["shop"]
output = "shop STRING, seen BIGINT, recent BIGINT, words BIGINT, volume BIGINT, mean DOUBLE, fired BIGINT"
lua = """
mean = {
  create = function() return { sum = 0, count = 0 } end,
  add    = function(acc, v) return { sum = acc.sum + v, count = acc.count + 1 } end,
  result = function(acc) return acc.sum / acc.count end,
}
function process(event, ctx)
  state.seen:update(state.seen:value() + 1)
  state.prices:update(event.price)
  state.recent:add(event.amount)
  state.words:put(ctx:timestamp(), event.amount)
  state.tags:put('a', { 'x', 'y' })
  state.volume:add(event.amount)
  state.mean:add(event.amount)
  state.newest:update(ctx:timestamp())
  ctx:register_event_time_timer(86400000 * 20000)
  show(event.shop)
end
function on_timer(timestamp, ctx)
  show(ctx:current_key(), timestamp)
end
function show(shop, fired)
  local recent, words = 0, 0
  for _, v in ipairs(state.recent:get()) do recent = recent + v end
  for _, v in state.words:entries() do words = words + v end
  emit { shop = shop, seen = state.seen:value(), recent = recent, words = words, volume = state.volume:get(), mean = state.mean:get(),
         fired = fired }
end
"""
[transforms.portraits.state]
seen   = { kind = "value", type = "BIGINT", default = 0 }
prices = { kind = "value", type = "DECIMAL(10, 2)" }
newest = { kind = "value", type = "TIMESTAMP(3)", ttl = "365 d" }
recent = { kind = "list", type = "BIGINT" }
words  = { kind = "map", key = "TIMESTAMP(3)", type = "BIGINT" }
tags   = { kind = "map", key = "STRING", type = "ARRAY<STRING>" }
volume = { kind = "reducing", type = "BIGINT", reduce = "sum" }
mean   = { kind = "aggregating", type = "ROW<sum BIGINT, count BIGINT>", aggregate = "mean" }
[sinks.totals_files]
input = "totals"
connector = "filesystem"
path = "totals"
format = "debezium-json"
[sinks.portraits_files]
input = "portraits"
connector = "filesystem"
path = "portraits"
format = "json"
"#;

const ORDERS: &str = r#"{"shop":"a","amount":1,"price":0.50,"ts":"2024-01-01 10:00:00.123"}
{"shop":"a","amount":2,"price":1.25,"ts":"2024-01-01 10:00:01"}
{"shop":"b","amount":3,"price":100.00,"ts":"2024-01-01 10:00:02"}
{"shop":null,"amount":4,"price":7,"ts":"2024-01-01 10:00:03"}
"#;

/// What is changed: the state, the column and the field of it.
const EDITS: &[(&str, &str, Option<&str>)] = &[
    ("seen", "value", None),
    ("recent", "value", None),
    ("words", "value", None),
    ("volume", "value", None),
    ("mean", "value", Some("sum")),
    ("timers", "timestamp", None),
];

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("fl").tempdir().unwrap();
        fs::write(dir.path().join("job.toml"), JOB).unwrap();
        fs::write(dir.path().join("watch.toml"), JOB.replace("#WATCH", "source.monitor-interval = \"5 ms\"")).unwrap();
        fs::create_dir(dir.path().join("in")).unwrap();
        fs::write(dir.path().join("in/1.json"), ORDERS).unwrap();
        Self(dir)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flink"));
        command.args(args).current_dir(self.path()).stdin(Stdio::null());
        command.env("FLINK_STATE_DIR", self.path().join("state")).env("FLINK_RUNTIME_DIR", self.path().join("run"));
        command.output().unwrap()
    }

    fn text(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{args:?}: {out}{err}");
        out.trim_end().to_owned()
    }

    fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.text(&[args, &["-o", "json"]].concat())).unwrap()
    }

    /// The savepoint with which the job was stopped once it had read everything.
    fn stopped(&self) -> String {
        self.text(&["run", "-d", "-q", "watch.toml"]);
        until("the rows to be read", || {
            let rows = self.json(&["state", "scan", "kinds", "portraits/process/recent"]);
            (rows["rows"].as_array()?.len() == 4).then_some(())
        });
        self.text(&["stop", "-q", "-p", "saved", "kinds"]).trim_start_matches("file:").to_owned()
    }

    /// The newest row of each shop in the function's output.
    fn portraits(&self) -> BTreeMap<String, Vec<Value>> {
        let mut rows: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for entry in fs::read_dir(self.path().join("portraits")).unwrap() {
            for line in fs::read_to_string(entry.unwrap().path()).unwrap().lines() {
                let row: Value = serde_json::from_str(line).unwrap();
                rows.entry(row["shop"].as_str().unwrap_or("NULL").to_owned()).or_default().push(row);
            }
        }
        rows
    }
}

fn script(program: &Path, name: &str, args: &[&str]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/tools").join(name);
    let output = Command::new(program).arg(&script).args(args).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{name} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Every keyed state of a savepoint: its address, its kind, its columns with their types, its files.
fn states(place: &Place, saved: &str) -> Vec<(String, String, Value, Vec<PathBuf>)> {
    let listed = place.json(&["state", "ls", saved]);
    let keyed = listed["states"].as_array().unwrap().iter().filter(|state| state["kind"] != "operator");
    let of = |state: &Value| {
        let mut columns = serde_json::Map::from_iter([("key_group".to_owned(), json!("INT"))]);
        for column in state["key"].as_array().unwrap().iter().chain(state["value"].as_array().unwrap()) {
            columns.insert(column["name"].as_str().unwrap().to_owned(), column["type"].clone());
        }
        if !state["ttl"].is_null() {
            columns.insert("expires_at".to_owned(), json!("TIMESTAMP_LTZ(3)"));
        }
        let files = state["files"].as_array().unwrap().iter().map(|file| Path::new(saved).join(file.as_str().unwrap())).collect();
        (state["state"].as_str().unwrap().to_owned(), state["kind"].as_str().unwrap().to_owned(), Value::Object(columns), files)
    };
    keyed.map(of).collect()
}

#[test]
fn duckdb_and_pandas_read_every_kind_of_state_as_it_is_exported() {
    let python = python("savepoints", &["duckdb", "pandas", "pyarrow"]);
    let place = Place::new();
    let saved = place.stopped();
    let mut kinds = BTreeMap::new();
    for (state, kind, columns, files) in states(&place, &saved) {
        let exported = place.path().join("rows.json");
        place.text(&["state", "export", &saved, &state, "--key-group", "--to", "rows.json"]);
        let files: Vec<&str> = files.iter().map(|file| file.to_str().unwrap()).collect();
        for tool in ["duckdb", "pandas"] {
            let columns = columns.to_string();
            let args = [&[tool, exported.to_str().unwrap(), &columns][..], &files].concat();
            let rows: usize = script(&python, "look.py", &args).parse().unwrap();
            assert!(rows >= 3, "{state}: {rows}");
        }
        kinds.insert(kind, state);
    }
    let found: Vec<&str> = kinds.keys().map(String::as_str).collect();
    assert_eq!(found, ["aggregating", "groups", "list", "map", "reducing", "timers", "value"]);
}

#[test]
fn the_job_goes_on_from_values_that_duckdb_or_pandas_changed_in_every_kind_of_state() {
    let python = python("savepoints", &["duckdb", "pandas", "pyarrow"]);
    for tool in ["duckdb", "pandas"] {
        let place = Place::new();
        let saved = place.stopped();
        let mut edited = 0;
        for (state, kind, columns, files) in states(&place, &saved) {
            let name = state.rsplit_once('/').unwrap().1;
            let edit = EDITS.iter().find(|(edited, ..)| *edited == name).copied();
            let groups = (name, columns.as_object().unwrap().keys().nth(2).unwrap().as_str(), None);
            let Some((_, column, field)) = edit.or((kind == "groups").then_some(groups)) else { continue };
            for file in files {
                let args: Vec<&str> = [tool, file.to_str().unwrap(), column].into_iter().chain(field).collect();
                script(&python, "edit.py", &args);
                edited += 1;
            }
        }
        assert!(edited >= 7, "{tool}: {edited} files");
        let unsealed = place.run(&["run", "-s", &saved, "job.toml"]);
        assert_eq!(unsealed.status.code(), Some(6), "{tool}: it must be sealed first");
        assert!(place.text(&["state", "seal", &saved]).contains(&format!(": {edited} of")), "{tool}");
        assert!(place.text(&["state", "verify", &saved]).contains("is sound"), "{tool}");
        fs::write(place.path().join("in/2.json"), "{\"shop\":\"a\",\"amount\":5,\"price\":1,\"ts\":\"2024-01-01 11:00:00\"}\n").unwrap();
        place.text(&["run", "-s", &saved, "job.toml"]);
        // Two orders of the shop were there, of 1 and 2; every element, entry and value has a thousand more now; then comes 5.
        let rows = &place.portraits()["a"];
        let row = rows.iter().find(|row| row["seen"] == 1003 && row["fired"].is_null());
        let row = row.unwrap_or_else(|| panic!("{tool}: {rows:?}"));
        assert_eq!((&row["recent"], &row["words"], &row["volume"]), (&json!(2008), &json!(2008), &json!(1008)), "{tool}");
        assert!((row["mean"].as_f64().unwrap() - 1008.0 / 3.0).abs() < 1e-9, "{tool}: {row}");
        let fired: Vec<&Value> = rows.iter().map(|row| &row["fired"]).filter(|fired| !fired.is_null()).collect();
        assert!(fired.contains(&&json!(86_400_000_i64 * 20_000 + 1000)), "{tool}: {fired:?}");
        let totals: String =
            fs::read_dir(place.path().join("totals")).unwrap().map(|e| fs::read_to_string(e.unwrap().path()).unwrap()).collect();
        let mut changes = totals.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        assert!(changes.any(|change| change["after"]["shop"] == "a" && change["after"]["n"] == 1003), "{tool}: {totals}");
    }
}
