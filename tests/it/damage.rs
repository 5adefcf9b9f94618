//! Savepoints and checkpoints that are damaged, hostile or not there, and every command that looks into them: each ends in time, within its
//! memory, with the right exit code and words that name what is wrong; none panics, and none changes anything.

use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::{FileMetaData, ParquetMetaData, ParquetMetaDataBuilder, ParquetMetaDataReader, ParquetMetaDataWriter};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

const JOB: &str = r#"[pipeline]
name = "counts"
[sources.nums]
connector = "filesystem"
path = "in.json"
format = "json"
source.monitor-interval = "1 s"
schema = "a BIGINT, b STRING"
[transforms.t]
sql = "SELECT a, COUNT(*) AS n FROM nums GROUP BY a"
[sinks.out]
input = "t"
connector = "blackhole"
"#;

const STATE: &str = "t/group-aggregate-1/groups";

/// Nothing here takes longer than a moment.
const TIME: Duration = Duration::from_mins(1);

/// Kilobytes of address space; far less than what hostile numbers ask for.
const MEMORY: &str = "4000000";

struct Place {
    directory: tempfile::TempDir,
    /// A savepoint that is sound.
    sound: PathBuf,
    /// Its copy, which is damaged anew for each case.
    damaged: PathBuf,
    /// A native checkpoint's form of the same.
    native: PathBuf,
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() { copy(&entry.path(), &target) } else { assert!(fs::copy(entry.path(), target).is_ok()) }
    }
}

/// What a command says, and its exit code.
struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("fl").tempdir().unwrap();
        let path = directory.path().to_owned();
        let lines: String = (0..400).fold(String::new(), |rows, n| rows + &format!("{{\"a\":{n},\"b\":\"x\"}}\n"));
        fs::write(path.join("in.json"), lines).unwrap();
        fs::write(path.join("job.toml"), JOB).unwrap();
        let (sound, damaged, native) = (path.join("sound"), path.join("damaged"), path.join("native"));
        let place = Self { directory, sound, damaged, native };
        let native: &[&str] = &["-D", "state.backend.type=rocksdb"];
        for (form, flags, to) in [("canonical", &[][..], &place.sound), ("native", native, &place.native)] {
            let started = place.run(&[&["run", "-d", "-q", "job.toml"], flags].concat());
            assert_eq!(started.code, 0, "{}", started.err);
            crate::job_dir::until("the rows to be counted", || {
                let found = place.run(&["state", "scan", "-o", "json", "counts", STATE, "--limit", "0"]);
                (serde_json::from_str::<Value>(&found.out).ok()?["rows"].as_array()?.len() == 400).then_some(())
            });
            let stopped = place.run(&["stop", "-q", "-type", form, "-p", "saved", "counts"]);
            assert_eq!(stopped.code, 0, "{}", stopped.err);
            copy(Path::new(stopped.out.trim().trim_start_matches("file:")), to);
        }
        place
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("ulimit -v {MEMORY} && exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_flink")]);
        command.args(args).current_dir(self.directory.path()).stdin(Stdio::null());
        let own = |name: &str| self.directory.path().join(name);
        command.env("FLINK_STATE_DIR", own("state")).env("FLINK_RUNTIME_DIR", own("run"));
        command
    }

    fn run(&self, args: &[&str]) -> Said {
        finish(self.command(args), args)
    }

    /// The damaged copy, whole again.
    fn renewed(&self, from: &Path) -> &Path {
        if self.damaged.is_dir() {
            fs::remove_dir_all(&self.damaged).unwrap();
        } else {
            let _ = fs::remove_file(&self.damaged);
        }
        copy(from, &self.damaged);
        &self.damaged
    }
}

/// Runs a command to its end, which must come in time. Its output goes to files: a pipe would stop it.
fn finish(mut command: Command, args: &[&str]) -> Said {
    let (out, err) = (tempfile::NamedTempFile::new().unwrap(), tempfile::NamedTempFile::new().unwrap());
    let mut child: Child = command.stdout(out.reopen().unwrap()).stderr(err.reopen().unwrap()).spawn().unwrap();
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if start.elapsed() > TIME {
            child.kill().unwrap();
            panic!("{args:?} hangs");
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let text = |file: &Path| String::from_utf8_lossy(&fs::read(file).unwrap()).into_owned();
    let (out, err) = (text(out.path()), text(err.path()));
    // Panics of Parquet's decoder included: they are said as what they are, a file that contradicts itself.
    assert!(!err.contains("panicked"), "{args:?}: {err}");
    Said { code: status.code().unwrap_or_else(|| panic!("{args:?}: {status}: {err}")), out, err }
}

/// The first Parquet file of the counts.
fn part(dir: &Path) -> PathBuf {
    dir.join("t/group-aggregate-1/groups/part-0.parquet")
}

fn metadata(dir: &Path, change: impl FnOnce(&mut Value)) {
    let path = dir.join("_metadata");
    let mut value: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut value);
    fs::write(path, serde_json::to_vec(&value).unwrap()).unwrap();
}

/// The entry of the counts in `_metadata`.
fn counts(manifest: &mut Value) -> &mut Value {
    let operators = manifest["operators"].as_array_mut().unwrap();
    &mut operators.iter_mut().find(|o| o["uid"] == "t/group-aggregate-1").unwrap()["keyed_states"][0]
}

/// Nobody knows any more what the file was: it is read as it is.
fn forget(dir: &Path) {
    metadata(dir, |m| counts(m)["files"][0].as_object_mut().unwrap().retain(|key, _| key == "path"));
}

/// Writes the file anew with other numbers in its footer.
fn footer(dir: &Path, change: impl FnOnce(ParquetMetaData) -> ParquetMetaData) {
    let path = part(dir);
    let bytes = fs::read(&path).unwrap();
    let found = ParquetMetaDataReader::new().parse_and_finish(&File::open(&path).unwrap()).unwrap();
    let length = u32::from_le_bytes(bytes[bytes.len() - 8..bytes.len() - 4].try_into().unwrap()) as usize;
    let mut out = bytes[..bytes.len() - 8 - length].to_vec();
    let changed = change(found);
    ParquetMetaDataWriter::new(&mut out, &changed).finish().unwrap();
    fs::write(path, out).unwrap();
}

fn with_rows(found: ParquetMetaData, rows: i64) -> ParquetMetaData {
    let file = found.file_metadata();
    let claimed = FileMetaData::new(
        file.version(),
        rows,
        file.created_by().map(str::to_owned),
        file.key_value_metadata().cloned(),
        file.schema_descr_ptr(),
        file.column_orders().cloned(),
    );
    let groups = found.row_groups().iter().map(|g| g.clone().into_builder().set_num_rows(rows).build().unwrap()).collect();
    ParquetMetaDataBuilder::new(claimed).set_row_groups(groups).build()
}

/// Writes the rows of the file anew with another column in the place of one.
fn column(dir: &Path, name: &str, change: Option<&dyn Fn(&arrow::array::ArrayRef) -> arrow::array::ArrayRef>) {
    let path = part(dir);
    let batches: Vec<_> = ParquetRecordBatchReaderBuilder::try_new(File::open(&path).unwrap()).unwrap().build().unwrap().collect();
    let batch = batches[0].as_ref().unwrap();
    let schema = batch.schema();
    let columns = schema.fields().iter().zip(batch.columns()).filter_map(|(field, array)| {
        let array = if field.name() == name { change.map(|change| change(array))? } else { Arc::clone(array) };
        Some((field.name().clone(), array))
    });
    let changed = arrow::array::RecordBatch::try_from_iter(columns.collect::<Vec<_>>()).unwrap();
    let mut out = Vec::new();
    let mut writer = parquet::arrow::ArrowWriter::try_new(&mut out, changed.schema(), None).unwrap();
    writer.write(&changed).unwrap();
    writer.close().unwrap();
    fs::write(path, out).unwrap();
}

/// One damage, the exit code of `flink state verify`, and words that its message must hold.
struct Case {
    name: &'static str,
    damage: fn(&Path),
    code: i32,
    says: &'static str,
}

fn replace_by_pipe(path: &Path) {
    fs::remove_file(path).unwrap();
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[rustfmt::skip]
const CASES: &[Case] = &[
    Case { name: "a file that was cut", code: 6, says: "part-0.parquet", damage: |dir| { let bytes = fs::read(part(dir)).unwrap(); fs::write(part(dir), &bytes[..bytes.len() / 2]).unwrap(); } },
    Case { name: "a file that was cut, unrecorded", code: 6, says: "not a valid Parquet file", damage: |dir| { let bytes = fs::read(part(dir)).unwrap(); fs::write(part(dir), &bytes[..bytes.len() / 2]).unwrap(); forget(dir); } },
    Case { name: "an empty file", code: 6, says: "0 bytes", damage: |dir| fs::write(part(dir), "").unwrap() },
    Case { name: "an empty file, unrecorded", code: 6, says: "not a valid Parquet file", damage: |dir| { fs::write(part(dir), "").unwrap(); forget(dir); } },
    Case { name: "an altered byte", code: 6, says: "checksum", damage: |dir| { let mut bytes = fs::read(part(dir)).unwrap(); let middle = bytes.len() / 3; bytes[middle] ^= 0x40; fs::write(part(dir), bytes).unwrap(); } },
    Case { name: "a text in the place of a file", code: 6, says: "not a valid Parquet file", damage: |dir| { fs::write(part(dir), "these are no rows\n".repeat(9)).unwrap(); forget(dir); } },
    Case { name: "a missing file", code: 6, says: "the file is missing", damage: |dir| fs::remove_file(part(dir)).unwrap() },
    Case { name: "a directory in the place of a file", code: 6, says: "part-0.parquet", damage: |dir| { fs::remove_file(part(dir)).unwrap(); fs::create_dir(part(dir)).unwrap(); } },
    Case { name: "a pipe in the place of a file", code: 6, says: "this is a pipe or a device", damage: |dir| replace_by_pipe(&part(dir)) },
    Case { name: "a device in the place of a file", code: 6, says: "this is a pipe or a device", damage: |dir| { fs::remove_file(part(dir)).unwrap(); std::os::unix::fs::symlink("/dev/zero", part(dir)).unwrap(); } },
    Case { name: "a link that leads to itself", code: 6, says: "part-0.parquet", damage: |dir| { fs::remove_file(part(dir)).unwrap(); std::os::unix::fs::symlink("part-0.parquet", part(dir)).unwrap(); } },
    Case { name: "a footer with 2^60 rows", code: 6, says: "rows, its footer says 1152921504606846976", damage: |dir| { footer(dir, |m| with_rows(m, 1 << 60)); forget(dir); } },
    Case { name: "a footer with fewer than no rows", code: 6, says: "part-0.parquet", damage: |dir| { footer(dir, |m| with_rows(m, -5)); forget(dir); } },
    Case { name: "a footer that is longer than the file", code: 6, says: "not a valid Parquet file", damage: |dir| { let mut bytes = fs::read(part(dir)).unwrap(); let at = bytes.len() - 8; bytes[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes()); fs::write(part(dir), bytes).unwrap(); forget(dir); } },
    Case { name: "a footer that lists 2^31 columns", code: 6, says: "part-0.parquet", damage: |dir| { let mut bytes = vec![0x15, 2, 0x19, 0xFC, 0xFF, 0xFF, 0xFF, 0xFF, 7]; let length = bytes.len() as u32; bytes.splice(0..0, *b"PAR1"); bytes.extend(length.to_le_bytes()); bytes.extend(b"PAR1"); fs::write(part(dir), bytes).unwrap(); forget(dir); } },
    Case { name: "a footer that lists 2^31 row groups", code: 6, says: "its footer claims to hold more than it does", damage: |dir| { let mut bytes = vec![0x15, 2, 0x19, 0x1C, 0x48, 1, b'x', 0x15, 0, 0, 0x16, 2, 0x19, 0xFC, 0xFF, 0xFF, 0xFF, 0xFF, 7]; let length = bytes.len() as u32; bytes.splice(0..0, *b"PAR1"); bytes.extend(length.to_le_bytes()); bytes.extend(b"PAR1"); fs::write(part(dir), bytes).unwrap(); forget(dir); } },
    Case { name: "a missing column", code: 6, says: "column a is missing", damage: |dir| { column(dir, "a", None); forget(dir); } },
    Case { name: "a missing key group", code: 6, says: "column key_group is missing", damage: |dir| { column(dir, "key_group", None); forget(dir); } },
    Case { name: "a key of another type", code: 6, says: "part-0.parquet", damage: |dir| { column(dir, "a", Some(&|a| Arc::new(arrow::array::StringArray::from(vec!["x"; a.len()])))); forget(dir); } },
    Case { name: "a key group of another type", code: 6, says: "part-0.parquet", damage: |dir| { column(dir, "key_group", Some(&|a| Arc::new(arrow::array::Float64Array::from(vec![0.5; a.len()])))); forget(dir); } },
    Case { name: "key groups that are NULL", code: 6, says: "part-0.parquet", damage: |dir| { column(dir, "key_group", Some(&|a| arrow::array::new_null_array(a.data_type(), a.len()))); forget(dir); } },
    Case { name: "key groups that there are not", code: 6, says: "key group 2147483647, there are 128", damage: |dir| { column(dir, "key_group", Some(&|a| Arc::new(arrow::array::Int32Array::from(vec![i32::MAX; a.len()])))); forget(dir); } },
    Case { name: "one key in every row", code: 6, says: "its key belongs to", damage: |dir| { column(dir, "a", Some(&|a| Arc::new(arrow::array::Int64Array::from(vec![7; a.len()])))); forget(dir); metadata(dir, |m| counts(m)["files"][0]["rows"] = json!(1)); } },
    Case { name: "2^60 rows in the metadata", code: 6, says: "1152921504606846976 were written", damage: |dir| metadata(dir, |m| counts(m)["files"][0]["rows"] = json!(1_u64 << 60)) },
    Case { name: "2^64 - 1 bytes in the metadata", code: 6, says: "18446744073709551615 were written", damage: |dir| metadata(dir, |m| counts(m)["files"][0]["bytes"] = json!(u64::MAX)) },
    Case { name: "more rows than there are numbers", code: 6, says: "_metadata", damage: |dir| { let path = dir.join("_metadata"); let text = fs::read_to_string(&path).unwrap().replacen("\"rows\": ", "\"rows\": 99999999999999999999", 1); fs::write(path, text).unwrap(); } },
    Case { name: "another key type in the metadata", code: 6, says: "part-0.parquet", damage: |dir| metadata(dir, |m| counts(m)["key"][0]["type"] = json!("BOOLEAN")) },
    Case { name: "a type that there is not", code: 6, says: "NUMBR", damage: |dir| metadata(dir, |m| counts(m)["key"][0]["type"] = json!("NUMBR")) },
    Case { name: "a type without end", code: 6, says: "_metadata", damage: |dir| metadata(dir, |m| counts(m)["key"][0]["type"] = json!("ARRAY<".repeat(200_000))) },
    Case { name: "a kind that there is not", code: 6, says: "treasure", damage: |dir| metadata(dir, |m| counts(m)["kind"] = json!("treasure")) },
    Case { name: "a newer format", code: 6, says: "format version 3; this program reads versions 1 to 2", damage: |dir| metadata(dir, |m| m["format_version"] = json!(3)) },
    Case { name: "a format of another kind", code: 6, says: "_metadata", damage: |dir| metadata(dir, |m| m["format_version"] = json!("1")) },
    Case { name: "a number in the place of the operators", code: 6, says: "_metadata", damage: |dir| metadata(dir, |m| m["operators"] = json!(7)) },
    Case { name: "no key groups at all", code: 6, says: "max_parallelism", damage: |dir| metadata(dir, |m| m["max_parallelism"] = json!(0)) },
    Case { name: "2^60 key groups", code: 6, says: "1152921504606846976", damage: |dir| metadata(dir, |m| m["max_parallelism"] = json!(1_u64 << 60)) },
    Case { name: "other key groups", code: 6, says: "its key belongs to", damage: |dir| metadata(dir, |m| m["max_parallelism"] = json!(64)) },
    Case { name: "a time beyond the calendar", code: 6, says: "_metadata", damage: |dir| metadata(dir, |m| m["time"] = json!("99999-13-01T00:00:00Z")) },
    Case { name: "a path that leads out", code: 6, says: "lies outside of the directory", damage: |dir| metadata(dir, |m| counts(m)["files"][0]["path"] = json!("../../../etc/passwd")) },
    Case { name: "a path that is absolute", code: 6, says: "lies outside of the directory", damage: |dir| metadata(dir, |m| counts(m)["files"][0]["path"] = json!("/etc/passwd")) },
    Case { name: "a file that stands there twice", code: 6, says: "stands there twice", damage: |dir| metadata(dir, |m| { let file = counts(m)["files"][0].clone(); counts(m)["files"].as_array_mut().unwrap().push(file); }) },
    Case { name: "metadata without content", code: 6, says: "_metadata", damage: |dir| fs::write(dir.join("_metadata"), "").unwrap() },
    Case { name: "metadata that is no text", code: 6, says: "_metadata", damage: |dir| fs::write(dir.join("_metadata"), [0xFF, 0xFE, 0, 1]).unwrap() },
    Case { name: "metadata that nests without end", code: 6, says: "_metadata", damage: |dir| fs::write(dir.join("_metadata"), format!("{{\"format_version\":1,\"x\":{}", "[".repeat(1_000_000))).unwrap() },
    Case { name: "metadata of a gigabyte", code: 6, says: "at most 268435456 are read", damage: |dir| File::options().write(true).open(dir.join("_metadata")).unwrap().set_len(1 << 30).unwrap() },
    Case { name: "metadata that is a pipe", code: 6, says: "this is a pipe or a device", damage: |dir| replace_by_pipe(&dir.join("_metadata")) },
    Case { name: "metadata that is a directory", code: 6, says: "_metadata", damage: |dir| { fs::remove_file(dir.join("_metadata")).unwrap(); fs::create_dir(dir.join("_metadata")).unwrap(); } },
    Case { name: "metadata that is missing", code: 6, says: "_metadata", damage: |dir| fs::remove_file(dir.join("_metadata")).unwrap() },
];

/// Damages to a store, and what `verify` says of them.
#[rustfmt::skip]
const NATIVE: &[Case] = &[
    Case { name: "a table that was cut", code: 6, says: ".sst", damage: |dir| { let path = store_file(dir, ".sst"); let bytes = fs::read(&path).unwrap(); fs::write(path, &bytes[..bytes.len() / 2]).unwrap(); } },
    Case { name: "a table that was cut, unrecorded", code: 6, says: "store-", damage: |dir| { let path = store_file(dir, ".sst"); let bytes = fs::read(&path).unwrap(); fs::write(path, &bytes[..bytes.len() / 2]).unwrap(); forget_stores(dir); } },
    Case { name: "a table with altered bytes, unrecorded", code: 6, says: "store-", damage: |dir| { let path = store_file(dir, ".sst"); let mut bytes = fs::read(&path).unwrap(); let length = bytes.len(); bytes[length / 4..length / 2].fill(0xA5); fs::write(path, bytes).unwrap(); forget_stores(dir); } },
    Case { name: "a missing table", code: 6, says: "the file is missing", damage: |dir| fs::remove_file(store_file(dir, ".sst")).unwrap() },
    Case { name: "a table that is a pipe", code: 6, says: "this is a pipe or a device", damage: |dir| replace_by_pipe(&store_file(dir, ".sst")) },
    Case { name: "a CURRENT that leads elsewhere", code: 6, says: "store-", damage: |dir| { fs::write(store_file(dir, "CURRENT"), "MANIFEST-999999\n").unwrap(); forget_stores(dir); } },
    Case { name: "an empty MANIFEST", code: 6, says: "store-", damage: |dir| { fs::write(store_file(dir, "MANIFEST"), "").unwrap(); forget_stores(dir); } },
    Case { name: "a MANIFEST of noise", code: 6, says: "store-", damage: |dir| { fs::write(store_file(dir, "MANIFEST"), [0x5A; 4_000]).unwrap(); forget_stores(dir); } },
    Case { name: "2^60 rows in a store", code: 6, says: "1152921504606846976 were written", damage: |dir| metadata(dir, |m| store(m)["states"][0]["rows"] = json!(1_u64 << 60)) },
    Case { name: "another column family", code: 6, says: "rows, ", damage: |dir| metadata(dir, |m| store(m)["states"][0]["family"] = json!("state/others")) },
    Case { name: "a store of another form", code: 6, says: "this program reads rocksdb", damage: |dir| metadata(dir, |m| store(m)["form"] = json!("forst")) },
    Case { name: "a file of a store that leads out", code: 6, says: "_metadata", damage: |dir| metadata(dir, |m| store(m)["files"][0]["name"] = json!("../../x")) },
    Case { name: "key groups the wrong way round", code: 6, says: "store", damage: |dir| metadata(dir, |m| store(m)["key_groups"] = json!([9, 3])) },
    Case { name: "another key type in the metadata of a store", code: 6, says: "store-", damage: |dir| metadata(dir, |m| counts(m)["key"][0]["type"] = json!("STRING")) },
];

fn store(manifest: &mut Value) -> &mut Value {
    let operators = manifest["operators"].as_array_mut().unwrap();
    &mut operators.iter_mut().find(|o| o["uid"] == "t/group-aggregate-1").unwrap()["stores"][0]
}

fn store_file(dir: &Path, part: &str) -> PathBuf {
    let mut names: Vec<PathBuf> = fs::read_dir(dir.join("t/group-aggregate-1/store-0")).unwrap().map(|e| e.unwrap().path()).collect();
    names.sort();
    names.into_iter().find(|path| path.to_string_lossy().contains(part)).unwrap()
}

fn forget_stores(dir: &Path) {
    metadata(dir, |m| {
        for file in store(m)["files"].as_array_mut().unwrap() {
            let file = file.as_object_mut().unwrap();
            file.remove("bytes");
            file.remove("xxh3");
        }
    });
}

/// What every command does with the damaged copy: never a panic, a wrong exit code, an empty message, a file that is left behind.
fn with_every_command(place: &Place, case: &Case) {
    let damaged = place.damaged.to_str().unwrap();
    let sound = place.sound.to_str().unwrap();
    let verified = place.run(&["state", "verify", damaged]);
    assert_eq!(verified.code, case.code, "{}: {}{}", case.name, verified.out, verified.err);
    assert!(verified.err.contains(case.says), "{}: no {:?} in: {}", case.name, case.says, verified.err);
    assert!(verified.err.len() < 20_000, "{}: {} bytes are said", case.name, verified.err.len());
    let commands: [&[&str]; 9] = [
        &["state", "ls", damaged],
        &["state", "show", damaged],
        &["state", "show", damaged, STATE, "--key", "a=7", "-o", "json"],
        &["state", "export", damaged, STATE, "--to", "rows.parquet"],
        &["state", "diff", sound, damaged],
        &["state", "diff", damaged, sound, STATE, "-o", "json"],
        &["state", "seal", damaged],
        &["check", "-s", damaged, "job.toml"],
        &["run", "-s", damaged, "-D", "sources.nums.source.monitor-interval=1h", "--dry-run", "job.toml"],
    ];
    for args in commands {
        let said = place.run(args);
        assert!([0, 1, 2, 6].contains(&said.code), "{}: {args:?}: {}: {}", case.name, said.code, said.err);
        assert!(said.code == 0 || said.err.len() > 10 || said.out.len() > 10, "{}: {args:?} says nothing", case.name);
        assert!(!said.err.contains("a bug"), "{}: {args:?}: {}", case.name, said.err);
    }
    let left: Vec<_> = fs::read_dir(place.directory.path().join("state/local")).into_iter().flatten().collect();
    assert!(left.is_empty(), "{}: {left:?} were left behind", case.name);
    assert!(!place.directory.path().join("rows.parquet.tmp").exists());
}

#[test]
fn every_damage_to_a_savepoint_is_named_by_verify_and_survived_by_every_command() {
    let place = Place::new();
    for case in CASES {
        (case.damage)(place.renewed(&place.sound));
        with_every_command(&place, case);
    }
    assert_eq!(place.run(&["state", "verify", place.sound.to_str().unwrap()]).code, 0, "the sound one is untouched");
}

#[test]
fn every_damage_to_a_store_is_named_by_verify_and_survived_by_every_command() {
    let place = Place::new();
    for case in NATIVE {
        (case.damage)(place.renewed(&place.native));
        with_every_command(&place, case);
    }
    assert_eq!(place.run(&["state", "verify", place.native.to_str().unwrap()]).code, 0, "the sound one is untouched");
}

#[test]
fn bytes_that_are_altered_at_random_are_survived() {
    let place = Place::new();
    let length = fs::read(part(&place.sound)).unwrap().len();
    for round in 0..24_usize {
        let damaged = place.renewed(&place.sound);
        let mut bytes = fs::read(part(damaged)).unwrap();
        // Mostly in the footer, where numbers stand that others are taken from.
        for step in 0..=round % 3 {
            let at = if round % 2 == 0 { length - 9 - (round * 37 + step * 11) % (length / 2) } else { (round * 101 + step * 7) % length };
            bytes[at] = bytes[at].wrapping_mul(31).wrapping_add(0x7F);
        }
        fs::write(part(damaged), bytes).unwrap();
        forget(damaged);
        for args in [&["state", "verify"][..], &["state", "show"], &["state", "seal"]] {
            let said = place.run(&[args, &[damaged.to_str().unwrap()]].concat());
            assert!([0, 1, 2, 6].contains(&said.code), "{round}: {args:?}: {}: {}", said.code, said.err);
        }
    }
}

#[test]
fn files_that_may_not_be_read_and_directories_that_may_not_be_written_are_named() {
    let place = Place::new();
    // Root reads everything, unless it gives that up.
    let bound = |args: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--inh-caps=-all", "--bounding-set=-dac_override,-dac_read_search", env!("CARGO_BIN_EXE_flink")]);
        command.args(args).current_dir(place.directory.path()).stdin(Stdio::null());
        let own = |name: &str| place.directory.path().join(name);
        command.env("FLINK_STATE_DIR", own("state")).env("FLINK_RUNTIME_DIR", own("run"));
        finish(command, args)
    };
    let mode = |path: &Path, mode: u32| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    // What is only read may lie where nothing can be written.
    for source in [&place.sound, &place.native] {
        let dir = place.renewed(source);
        assert!(Command::new("chmod").args(["-R", "a-w"]).arg(dir).status().unwrap().success());
        let said = bound(&["state", "verify", dir.to_str().unwrap()]);
        assert_eq!(said.code, 0, "{}", said.err);
        assert_eq!(bound(&["state", "export", dir.to_str().unwrap(), STATE]).out.lines().count(), 400);
        let sealed = bound(&["state", "seal", dir.to_str().unwrap()]);
        assert!(sealed.code == 0 || source == &place.native, "nothing has changed: {}", sealed.err);
        assert!(Command::new("chmod").args(["-R", "u+w"]).arg(dir).status().unwrap().success());
    }
    type Hidden = fn(&Path) -> PathBuf;
    let hidden: [Hidden; 3] = [|dir| part(dir), |dir| dir.join("_metadata"), |dir| dir.to_owned()];
    for hidden in hidden {
        let dir = place.renewed(&place.sound).to_owned();
        let path = hidden(&dir);
        mode(&path, 0o000);
        let said = bound(&["state", "verify", dir.to_str().unwrap()]);
        mode(&path, 0o700);
        assert_eq!(said.code, 6, "{}", said.err);
        assert!(said.err.contains("ermission denied") && said.err.contains(path.to_str().unwrap()), "{}", said.err);
    }
}

#[test]
fn nothing_that_is_asked_of_no_savepoint_hangs() {
    let place = Place::new();
    let directory = place.directory.path();
    replace_by_pipe(&directory.join("in.json"));
    fs::create_dir(directory.join("empty")).unwrap();
    File::create(directory.join("rows.parquet")).unwrap().write_all(b"PAR1").unwrap();
    for path in ["in.json", "empty", "rows.parquet", "nothing", "/dev/zero", "/", "", "s3://bucket/x"] {
        for command in [&["state", "ls"][..], &["state", "verify"], &["state", "seal"], &["savepoint", "-d"]] {
            let said = place.run(&[command, &[path]].concat());
            assert!([1, 2, 5, 6].contains(&said.code), "{command:?} {path:?}: {}: {}", said.code, said.out);
            assert!(!said.err.is_empty(), "{command:?} {path:?}");
        }
    }
}
