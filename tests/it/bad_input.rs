//! What a person gets wrong: job files, input, paths, flags, savepoints. Each case has its exit code and the words that its message must
//! hold; nothing may panic, and nothing that is refused may leave output behind.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const JOB: &str = r#"[execution.checkpointing]
interval = "50 ms"
[sources.nums]
connector = "filesystem"
path = "in.json"
format = "json"
schema = "a BIGINT, b STRING"
[transforms.t]
sql = "SELECT a, b FROM nums"
[sinks.out]
input = "t"
connector = "filesystem"
path = "out"
format = "json"
"#;

/// What a function takes the place of.
const QUERY: &str = "sql = \"SELECT a, b FROM nums\"";

/// One mistake: a change to [`JOB`] or to its input, the command, and what comes of it.
struct Case {
    name: &'static str,
    edit: Option<(&'static str, &'static str)>,
    input: Option<&'static str>,
    args: &'static str,
    code: i32,
    says: &'static str,
}

#[rustfmt::skip]
const CASES: &[Case] = &[
    Case { name: "a connector that does not exist", edit: Some(("connector = \"filesystem\"\npath = \"in.json\"", "connector = \"filesystm\"\npath = \"in.json\"")), input: None, args: "run job.toml", code: 2, says: "did you mean \"filesystem\"" },
    Case { name: "a format that does not exist", edit: Some(("format = \"json\"\nschema", "format = \"jsn\"\nschema")), input: None, args: "run job.toml", code: 2, says: "did you mean \"json\"" },
    Case { name: "a key that does not exist", edit: Some(("interval = \"50 ms\"", "intervall = \"50 ms\"")), input: None, args: "run job.toml", code: 2, says: "execution.checkpointing.interval" },
    Case { name: "a duration without sense", edit: Some(("interval = \"50 ms\"", "interval = \"soon\"")), input: None, args: "run job.toml", code: 2, says: "does not start with a number" },
    Case { name: "an interval below ten milliseconds", edit: Some(("interval = \"50 ms\"", "interval = \"5 ms\"")), input: None, args: "run job.toml", code: 2, says: "10 ms" },
    Case { name: "a type that does not exist", edit: Some(("a BIGINT", "a BIGIT")), input: None, args: "run job.toml", code: 2, says: "BIGIT" },
    Case { name: "a column named twice", edit: Some(("b STRING", "a STRING")), input: None, args: "run job.toml", code: 2, says: "a" },
    Case { name: "a missing path", edit: Some(("path = \"in.json\"\n", "")), input: None, args: "run job.toml", code: 2, says: "path" },
    Case { name: "a missing schema", edit: Some(("schema = \"a BIGINT, b STRING\"\n", "")), input: None, args: "run job.toml", code: 2, says: "schema" },
    Case { name: "an input that does not exist", edit: Some(("input = \"t\"", "input = \"tt\"")), input: None, args: "run job.toml", code: 2, says: "tt" },
    Case { name: "a table that does not exist", edit: Some(("FROM nums", "FROM num")), input: None, args: "run job.toml", code: 2, says: "num" },
    Case { name: "a column that does not exist", edit: Some(("SELECT a, b", "SELECT a, c")), input: None, args: "run job.toml", code: 2, says: "c" },
    Case { name: "a function that does not exist", edit: Some(("SELECT a, b", "SELECT a, UPER(b)")), input: None, args: "run job.toml", code: 2, says: "UPPER" },
    Case { name: "SQL that is none", edit: Some(("SELECT a, b", "SELEC a, b")), input: None, args: "run job.toml", code: 2, says: "SELEC" },
    Case { name: "a join", edit: Some(("FROM nums", "FROM nums JOIN nums AS m ON nums.a = m.a")), input: None, args: "run job.toml", code: 2, says: "JOIN" },
    Case { name: "an updating result into files", edit: Some(("SELECT a, b FROM nums", "SELECT a, COUNT(*) AS c FROM nums GROUP BY a")), input: None, args: "run job.toml", code: 2, says: "debezium-json" },
    Case { name: "text that is no TOML", edit: Some(("[transforms.t]", "[transforms.t")), input: None, args: "run job.toml", code: 2, says: "job.toml:" },
    Case { name: "a variable that is not set", edit: Some(("path = \"in.json\"", "path = \"${NO_SUCH_VARIABLE_HERE}\"")), input: None, args: "run job.toml", code: 2, says: "NO_SUCH_VARIABLE_HERE" },
    Case { name: "a backend that is not there", edit: Some(("[sources.nums]", "[state.backend]\ntype = \"forst\"\n[sources.nums]")), input: None, args: "run job.toml", code: 2, says: "forst" },
    Case { name: "a sink without input", edit: Some(("input = \"t\"\n", "")), input: None, args: "run job.toml", code: 2, says: "input" },
    Case { name: "a parallelism of zero", edit: Some(("[sources.nums]", "[parallelism]\ndefault = 0\n[sources.nums]")), input: None, args: "run job.toml", code: 2, says: "0" },
    Case { name: "a checkpoint directory of another scheme", edit: Some(("interval = \"50 ms\"", "interval = \"50 ms\"\ndir = \"hdfs://namenode/x\"")), input: None, args: "run job.toml", code: 2, says: "hdfs" },
    Case { name: "a missing input file", edit: Some(("path = \"in.json\"", "path = \"nothing.json\"")), input: None, args: "run job.toml", code: 1, says: "nothing.json" },
    Case { name: "a glob that matches nothing", edit: Some(("path = \"in.json\"", "path = \"none-*.json\"")), input: None, args: "run job.toml", code: 1, says: "none-" },
    Case { name: "an output directory below a file", edit: Some(("path = \"out\"", "path = \"in.json/out\"")), input: None, args: "run job.toml", code: 1, says: "in.json" },
    Case { name: "a number that is none", edit: None, input: Some("{\"a\":\"x\",\"b\":\"y\"}\n"), args: "run job.toml", code: 1, says: "line 1" },
    Case { name: "a record that is no JSON", edit: None, input: Some("{\"a\":1,\"b\":\"y\"}\n{\"a\":\n"), args: "run job.toml", code: 1, says: "line 2" },
    Case { name: "a record that is no object", edit: None, input: Some("[1]\n"), args: "run job.toml", code: 1, says: "line 1" },
    Case { name: "a string that is not closed", edit: None, input: Some("{\"a\":1,\"b\":\"y\n"), args: "run job.toml", code: 1, says: "line 1" },
    Case { name: "a BIGINT out of range", edit: None, input: Some("{\"a\":99999999999999999999,\"b\":\"y\"}\n"), args: "run job.toml", code: 1, says: "BIGINT" },
    Case { name: "a division by zero", edit: Some(("SELECT a, b", "SELECT 1 / a AS x, b")), input: Some("{\"a\":0,\"b\":\"y\"}\n"), args: "run job.toml", code: 1, says: "zero" },
    Case { name: "a CAST that does not fit", edit: Some(("SELECT a, b", "SELECT CAST(b AS INT) AS x")), input: Some("{\"a\":1,\"b\":\"y\"}\n"), args: "run job.toml", code: 1, says: "y" },
    Case { name: "a script that never ends", edit: Some((QUERY, "input = \"nums\"\noutput = \"a BIGINT\"\nlua = '''function process() while true do end end'''")), input: None, args: "run job.toml", code: 1, says: "transforms.t.lua:1: the script took more than 10000000 steps" },
    Case { name: "a script that hoards memory", edit: Some((QUERY, "input = \"nums\"\noutput = \"a BIGINT\"\nlua = '''x = {} function process() while true do x[#x + 1] = ('x'):rep(100000) .. #x end end'''")), input: None, args: "run job.toml", code: 1, says: "script.memory" },
    Case { name: "a script that emits another type", edit: Some((QUERY, "input = \"nums\"\noutput = \"a BIGINT\"\nlua = '''function process() emit { a = 'x' } end'''")), input: None, args: "run job.toml", code: 1, says: "BIGINT expected, got string" },
    Case { name: "a script that reads no column", edit: Some((QUERY, "input = \"nums\"\noutput = \"a BIGINT\"\nlua = '''function process(event) emit { a = event.aa } end'''")), input: None, args: "run job.toml", code: 1, says: "has no field" },
    Case { name: "a script with an arithmetic of nil", edit: Some((QUERY, "input = \"nums\"\noutput = \"a BIGINT\"\nlua = '''function process(event) emit { a = event.a + nil } end'''")), input: None, args: "run job.toml", code: 1, says: "transforms.t.lua:1: attempt to perform arithmetic on a nil value" },
    Case { name: "a script that raises an error", edit: Some((QUERY, "input = \"nums\"\noutput = \"a BIGINT\"\nlua = '''function process(event) error('no good') end'''")), input: None, args: "run job.toml", code: 1, says: "transforms.t.lua:1: no good" },
    Case { name: "a script that emits to an unknown output", edit: Some((QUERY, "input = \"nums\"\noutput = \"a BIGINT\"\nlua = '''function process(event) emit('late', { a = 1 }) end'''")), input: None, args: "run job.toml", code: 1, says: "there is no output" },
    Case { name: "a script that wants to run a program", edit: Some((QUERY, "input = \"nums\"\noutput = \"a BIGINT\"\nlua = '''function process(event) os.execute('true') end'''")), input: None, args: "run job.toml", code: 1, says: "os.execute is not available" },
    Case { name: "a script that is no Lua", edit: Some((QUERY, "input = \"nums\"\noutput = \"a BIGINT\"\nlua = '''function process(event) local x = = 1 end'''")), input: None, args: "run job.toml", code: 2, says: "transforms.t.lua:1: unexpected symbol near '='" },
    Case { name: "a script without process", edit: Some((QUERY, "input = \"nums\"\noutput = \"a BIGINT\"\nlua = '''function proces(event) end'''")), input: None, args: "run job.toml", code: 2, says: "defines no function process" },
    Case { name: "a job file that is not there", edit: None, input: None, args: "run nothing.toml", code: 2, says: "nothing.toml" },
    Case { name: "no job file", edit: None, input: None, args: "run", code: 2, says: "required" },
    Case { name: "a command that does not exist", edit: None, input: None, args: "rum job.toml", code: 2, says: "rum" },
    Case { name: "a flag that does not exist", edit: None, input: None, args: "run --nope job.toml", code: 2, says: "--nope" },
    Case { name: "an override without a value", edit: None, input: None, args: "run -D x job.toml", code: 2, says: "x" },
    Case { name: "an override of an unknown key", edit: None, input: None, args: "run -D execution.checkpointing.intervall=1s job.toml", code: 2, says: "execution.checkpointing.interval" },
    Case { name: "a savepoint that is not there", edit: None, input: None, args: "run -s nothing job.toml", code: 6, says: "nothing" },
    Case { name: "a directory that is no savepoint", edit: None, input: None, args: "run -s . job.toml", code: 6, says: "_metadata" },
    Case { name: "latest without any", edit: None, input: None, args: "run -s latest job.toml", code: 6, says: "latest" },
    Case { name: "cancelling a job that does not exist", edit: None, input: None, args: "cancel 00000000000000000000000000000000", code: 3, says: "00000000000000000000000000000000" },
    Case { name: "a savepoint of a job that does not exist", edit: None, input: None, args: "savepoint nope", code: 3, says: "nope" },
    Case { name: "stopping a job that does not exist", edit: None, input: None, args: "stop nope", code: 3, says: "nope" },
    Case { name: "a checkpoint of a job that does not exist", edit: None, input: None, args: "checkpoint nope", code: 3, says: "nope" },
    Case { name: "a savepoint without a job", edit: None, input: None, args: "savepoint", code: 2, says: "<JOB>" },
    Case { name: "disposing of what is no savepoint", edit: None, input: None, args: "savepoint -d nothing", code: 5, says: "nothing" },
    Case { name: "an unreachable cluster", edit: None, input: None, args: "list -m localhost:1", code: 4, says: "localhost:1" },
    Case { name: "checking a job that is wrong", edit: None, input: None, args: "check nothing.toml", code: 2, says: "nothing.toml" },
];

struct Place(tempfile::TempDir);

impl Place {
    fn new(job: &str, input: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("job.toml"), job).unwrap();
        fs::write(dir.path().join("in.json"), input).unwrap();
        Self(dir)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn run(&self, args: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flink"));
        command.args(args.split_whitespace()).current_dir(self.path()).stdin(Stdio::null());
        command.env("FLINK_STATE_DIR", self.path().join("state")).env("FLINK_RUNTIME_DIR", self.path().join("run"));
        command.output().unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // A test that failed half-way must not leave a job behind.
        for id in String::from_utf8_lossy(&self.run("list -q").stdout).lines() {
            let _ = self.run(&format!("cancel {id}"));
        }
    }
}

/// The message, after it was checked against the exit code and the words.
fn refused(name: &str, output: &Output, code: i32, says: &str) -> String {
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{name}: {err}");
    assert!(err.contains(says), "{name}: no {says:?} in: {err}");
    assert!(!err.contains("panicked"), "{name}: {err}");
    err
}

#[test]
fn every_mistake_has_its_exit_code_and_a_message_that_names_it() {
    assert!(CASES.len() >= 40);
    for case in CASES {
        let job = case.edit.map_or_else(
            || JOB.to_owned(),
            |(old, new)| {
                assert!(JOB.contains(old), "{}", case.name);
                JOB.replacen(old, new, 1)
            },
        );
        let place = Place::new(&job, case.input.unwrap_or("{\"a\":1,\"b\":\"x\"}\n"));
        refused(case.name, &place.run(case.args), case.code, case.says);
        let visible = fs::read_dir(place.path().join("out")).into_iter().flatten().flatten();
        let visible: Vec<_> = visible.filter(|entry| !entry.file_name().to_string_lossy().starts_with('.')).collect();
        assert!(visible.is_empty(), "{}: output was left behind: {visible:?}", case.name);
    }
}

#[test]
fn nesting_without_end_is_a_bad_record() {
    let place = Place::new(JOB, &format!("{{\"a\":1,\"b\":{}\n", "[".repeat(100_000)));
    let err = refused("nesting", &place.run("run job.toml"), 1, "line 1");
    assert!(err.len() < 5_000, "the whole record is shown: {} bytes", err.len());
}

/// A savepoint of a job that runs on a watched directory.
fn savepoint(place: &Place) -> PathBuf {
    let job = JOB.replacen("path = \"in.json\"", "path = \"in.json\"\nsource.monitor-interval = \"1 s\"", 1);
    let job = job.replacen("SELECT a, b FROM nums", "SELECT a, COUNT(*) AS n FROM nums GROUP BY a", 1);
    let job = job.replacen("connector = \"filesystem\"\npath = \"out\"\nformat = \"json\"", "connector = \"blackhole\"", 1);
    fs::write(place.path().join("watch.toml"), job).unwrap();
    let started = place.run("run -d -q watch.toml");
    assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
    let stopped = place.run("stop -q -p saved watch");
    assert!(stopped.status.success(), "{}", String::from_utf8_lossy(&stopped.stderr));
    PathBuf::from(String::from_utf8(stopped.stdout).unwrap().trim().trim_start_matches("file:"))
}

fn first_file(dir: &Path) -> PathBuf {
    let mut entries: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    entries
        .iter()
        .find(|p| p.extension().is_some_and(|e| e == "parquet"))
        .cloned()
        .unwrap_or_else(|| entries.iter().filter(|p| p.is_dir()).map(|p| first_file(p)).next().unwrap())
}

#[test]
fn a_savepoint_that_was_cut_altered_or_robbed_is_refused_with_the_files_name() {
    type Damage = fn(&Path);
    let damages: [(&str, &str, Damage); 5] = [
        ("cut", ".parquet", |dir| {
            let file = first_file(dir);
            let bytes = fs::read(&file).unwrap();
            fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
        }),
        ("altered", ".parquet", |dir| {
            let file = first_file(dir);
            let mut bytes = fs::read(&file).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0xFF;
            fs::write(&file, bytes).unwrap();
        }),
        ("missing", ".parquet", |dir| fs::remove_file(first_file(dir)).unwrap()),
        ("metadata cut", "_metadata", |dir| {
            let bytes = fs::read(dir.join("_metadata")).unwrap();
            fs::write(dir.join("_metadata"), &bytes[..bytes.len() / 2]).unwrap();
        }),
        ("metadata missing", "_metadata", |dir| fs::remove_file(dir.join("_metadata")).unwrap()),
    ];
    for (name, says, damage) in damages {
        let place = Place::new(JOB, "{\"a\":1,\"b\":\"x\"}\n");
        let saved = savepoint(&place);
        damage(&saved);
        refused(name, &place.run(&format!("run -s {} watch.toml", saved.display())), 6, says);
    }
}

#[test]
fn a_savepoint_of_another_job_is_refused_unless_its_state_may_be_left_behind() {
    let place = Place::new(JOB, "{\"a\":1,\"b\":\"x\"}\n");
    let saved = savepoint(&place);
    let other = JOB.replace("nums", "other");
    fs::write(place.path().join("other.toml"), other).unwrap();
    refused("another job", &place.run(&format!("run -s {} other.toml", saved.display())), 6, "--allowNonRestoredState");
    let allowed = place.run(&format!("run -n -s {} other.toml", saved.display()));
    assert!(allowed.status.success(), "{}", String::from_utf8_lossy(&allowed.stderr));
}

#[test]
fn a_directory_for_sockets_that_others_may_write_to_is_refused() {
    let place = Place::new(JOB, "{\"a\":1,\"b\":\"x\"}\n");
    let run = place.path().join("run");
    fs::create_dir(&run).unwrap();
    fs::set_permissions(&run, fs::Permissions::from_mode(0o777)).unwrap();
    refused("sockets", &place.run("run job.toml"), 1, "run");
    assert!(!place.path().join("out").exists());
}
