//! The files, from writing to reading: whole, torn, altered and hostile ones.

use super::settings::{CheckpointSettings, CheckpointStorage, CheckpointingMode, Retention};
use super::*;
use crate::state::{KeyedSnapshot, StateDescriptor, StateKind, StateSnapshot, StateTtl};
use crate::storage::{LocalStorage, ObjectStorage, Storage};
use crate::testing::storage::{Faults, FaultyStorage, MemoryStorage};
use crate::types::{
    CheckpointId, Column, JobId, KeyGroupRange, LogicalType, MaxParallelism, OperatorUid, Parallelism, Schema, WallTime, limits,
};
use arrow::array::{
    Array, ArrayRef, AsArray, Decimal128Array, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray,
};
use arrow::datatypes::{Int32Type, Int64Type};
use proptest::prelude::*;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const DIR: &str = "/checkpoints/0000000000000000000000000000002a/chk-7";

fn column(name: &str, data_type: &str) -> Column {
    Column { name: name.to_owned(), data_type: data_type.parse::<LogicalType>().unwrap() }
}

fn descriptor() -> Arc<StateDescriptor> {
    Arc::new(StateDescriptor {
        name: "groups".to_owned(),
        kind: StateKind::Groups,
        key: Schema::new(vec![column("carrier", "STRING")]),
        value: Schema::new(vec![column("flights", "BIGINT NOT NULL"), column("miles", "DECIMAL(20, 2)")]),
        ttl: Some(StateTtl::new(Duration::from_hours(1))),
    })
}

/// `per_group` rows in each of these key groups, in batches of 100 rows.
fn rows(groups: std::ops::Range<u16>, per_group: usize) -> Vec<RecordBatch> {
    let all: Vec<(u16, usize)> = groups.flat_map(|g| (0..per_group).map(move |i| (g, i))).collect();
    let batch = |part: &[(u16, usize)]| {
        let key = part.iter().map(|(g, i)| if *i == 0 { None } else { Some(format!("carrier {g}/{i}")) });
        let miles = Decimal128Array::from_iter_values(part.iter().map(|(_, i)| *i as i128 * 25)).with_precision_and_scale(20, 2).unwrap();
        let expires = part.iter().map(|(_, i)| (i % 2 == 0).then_some(*i as i64)).collect::<TimestampMillisecondArray>();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int32Array::from_iter_values(part.iter().map(|(g, _)| i32::from(*g)))),
            Arc::new(key.collect::<StringArray>()),
            Arc::new(Int64Array::from_iter_values(part.iter().map(|(g, i)| i64::from(*g) * 1000 + *i as i64))),
            Arc::new(miles),
            Arc::new(expires.with_timezone("UTC")),
        ];
        RecordBatch::try_new(descriptor().columns().to_arrow(), columns).unwrap()
    };
    all.chunks(100).map(batch).collect()
}

fn splits(text: &str) -> OperatorStatePart {
    let schema = Schema::new(vec![column("path", "STRING NOT NULL"), column("offset", "BIGINT")]).to_arrow();
    let columns: Vec<ArrayRef> = vec![Arc::new(StringArray::from(vec![text])), Arc::new(Int64Array::from(vec![17]))];
    OperatorStatePart { name: "splits".to_owned(), rows: RecordBatch::try_new(schema, columns).unwrap() }
}

fn keyed(uid: &str, subtask: usize, batches: Vec<RecordBatch>) -> SubtaskSnapshot {
    let state = StateSnapshot { descriptor: descriptor(), batches: Box::new(batches.into_iter().map(Ok)) };
    let keyed = KeyedSnapshot { states: vec![state], store: None };
    SubtaskSnapshot::keyed(OperatorUid::new(uid), subtask, keyed)
}

fn source(subtask: usize) -> SubtaskSnapshot {
    let operator_state = vec![splits(&format!("file-{subtask}"))];
    SubtaskSnapshot { operator_state, ..SubtaskSnapshot::keyed(OperatorUid::new("bids"), subtask, KeyedSnapshot::default()) }
}

fn header(name: &str, id: u64, kind: SnapshotKind, time: i64) -> ManifestHeader {
    let operator =
        |uid: &str| OperatorHeader { uid: OperatorUid::new(uid), kind: uid.to_owned(), parallelism: Parallelism::new(2).unwrap() };
    ManifestHeader {
        job: JobEntry { name: name.to_owned(), id: JobId::from_u128(42) },
        checkpoint: CheckpointId::new(id),
        kind,
        time: WallTime(time),
        max_parallelism: MaxParallelism::new(128).unwrap(),
        options: [("pipeline.max-parallelism".to_owned(), "128".to_owned())].into(),
        operators: vec![operator("bids"), operator("totals/group-aggregate-1"), operator("out")],
    }
}

/// Files, and the objects of a store: each rule holds for both.
fn storages() -> [Arc<dyn Storage>; 2] {
    [MemoryStorage::new(), Arc::new(ObjectStorage::in_memory().unwrap())]
}

fn target(storage: &Arc<dyn Storage>, dir: &str) -> SnapshotTarget {
    SnapshotTarget::Directory { storage: Arc::clone(storage), dir: PathBuf::from(dir), sharing: None }
}

fn take(target: &SnapshotTarget, header: ManifestHeader) -> Result<CompletedCheckpoint, CheckpointError> {
    if let SnapshotTarget::Directory { storage, dir, .. } = target {
        storage.create_dir_all(dir).map_err(CheckpointError::io("making the directory"))?;
    }
    let mut written = Vec::new();
    for subtask in [1, 0] {
        written.push(write_subtask(target, source(subtask))?);
        let groups = if subtask == 0 { 0..64 } else { 64..128 };
        written.push(write_subtask(target, keyed("totals/group-aggregate-1", subtask, rows(groups, 5)))?);
    }
    complete(target, header, written)
}

fn totals() -> OperatorUid {
    OperatorUid::new("totals/group-aggregate-1")
}

fn subtask(index: usize, parallelism: usize) -> KeyGroupRange {
    KeyGroupRange::of_subtask(MaxParallelism::new(128).unwrap(), Parallelism::new(parallelism).unwrap(), index)
}

fn all_rows(checkpoint: &OpenCheckpoint, range: KeyGroupRange) -> Vec<(i32, i64)> {
    let states = checkpoint.keyed_state(&totals(), range).unwrap();
    assert_eq!(*states[0].descriptor, *descriptor());
    let mut found = Vec::new();
    for batch in &states[0].batches {
        assert_eq!(batch.schema(), descriptor().columns().to_arrow());
        let groups = batch.column(0).as_primitive::<Int32Type>().values().iter();
        found.extend(groups.copied().zip(batch.column(2).as_primitive::<Int64Type>().values().iter().copied()));
    }
    found
}

fn assert_whole(checkpoint: &OpenCheckpoint) {
    let range = subtask(0, 1);
    let expected: Vec<_> = (0..128).flat_map(|g| (0..5).map(move |i| (g, i64::from(g) * 1000 + i))).collect();
    assert_eq!(all_rows(checkpoint, range), expected);
    let splits = checkpoint.operator_state(&OperatorUid::new("bids"), "splits").unwrap();
    let paths: Vec<_> = splits.iter().map(|b| b.column(0).as_string::<i32>().value(0)).collect();
    assert_eq!(paths, ["file-0", "file-1"]);
    assert!(checkpoint.operator_state(&OperatorUid::new("bids"), "other").unwrap().is_empty());
    assert!(checkpoint.keyed_state(&OperatorUid::new("other"), range).unwrap().is_empty());
}

#[test]
fn what_was_written_is_read_back_from_files_and_from_memory() {
    let directory = tempfile::tempdir().unwrap();
    let storage = LocalStorage::shared();
    let base = directory.path();
    let parent = job_directory(base, JobId::from_u128(42));
    let dir = create_checkpoint_directory(&*storage, &parent, CheckpointId::new(7)).unwrap();
    assert!(base.join("0000000000000000000000000000002a/shared").is_dir() && dir.ends_with("chk-7"));
    let on_disk = SnapshotTarget::Directory { storage: Arc::clone(&storage), dir: dir.clone(), sharing: None };
    let completed = take(&on_disk, header("totals", 7, SnapshotKind::Checkpoint, 1_700_000_000_123)).unwrap();
    assert_eq!((completed.id().number(), completed.directory()), (7, Some(&*dir)));
    assert_whole(&completed.open().unwrap());
    for text in [dir.display().to_string(), format!("file://{}/_metadata", dir.display()), format!("file:{}", dir.display())] {
        let opened = open(Arc::clone(&storage), &text).unwrap();
        assert_eq!(opened.manifest(), &**completed.manifest());
        assert_whole(&opened);
    }
    let in_memory = take(&SnapshotTarget::Memory, header("totals", 7, SnapshotKind::Checkpoint, 0)).unwrap();
    assert_eq!(in_memory.directory(), None);
    assert_whole(&in_memory.open().unwrap());
    assert!(in_memory.bytes() == completed.bytes() && completed.bytes().0 > 1000);
}

#[test]
fn the_metadata_can_be_read_by_a_person() {
    for storage in storages() {
        take(&target(&storage, DIR), header("totals", 7, SnapshotKind::Savepoint, 1_700_000_000_123)).unwrap();
        let text = String::from_utf8(storage.read(&Path::new(DIR).join(METADATA), 1 << 20).unwrap()).unwrap();
        for part in [
            "\"format_version\": 1,\n  \"kind\": \"savepoint\",",
            "\"time\": \"2023-11-14T22:13:20.123Z\"",
            "\"id\": \"0000000000000000000000000000002a\"",
            "\"name\": \"flights\",\n              \"type\": \"BIGINT NOT NULL\"",
            "\"ttl\": \"1 h\"",
            "\"path\": \"totals/group-aggregate-1/groups/part-0.parquet\",\n              \"rows\": 320,",
            "\"path\": \"bids/operator/splits-1.parquet\"",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        assert_eq!(storage.list(Path::new(DIR)).unwrap().len(), 3, "_metadata, bids, totals: nothing for an operator without state");
    }
}

/// Every type that a state's column can have, nested ones included, with NULLs.
#[test]
fn rows_of_every_type_come_back_as_they_were() {
    let types = [
        "BOOLEAN",
        "TINYINT",
        "SMALLINT",
        "INT",
        "BIGINT",
        "FLOAT",
        "DOUBLE",
        "DECIMAL(5, 1)",
        "DECIMAL(38, 10)",
        "CHAR(3)",
        "STRING",
        "BYTES",
        "DATE",
        "TIME",
        "TIMESTAMP(0)",
        "TIMESTAMP(3)",
        "TIMESTAMP(6)",
        "TIMESTAMP(9)",
        "TIMESTAMP_LTZ(0)",
        "TIMESTAMP_LTZ(9)",
        "ARRAY<STRING>",
        "MAP<STRING, BIGINT>",
        "ROW<a INT, b ARRAY<ROW<c DECIMAL(20, 2), d MAP<INT, TIMESTAMP(3)>>>>",
    ];
    let columns: Vec<Column> = types.iter().enumerate().map(|(i, t)| column(&format!("c{i}"), t)).collect();
    let schema = Schema::new(columns).to_arrow();
    let text = r#"{"c0":true,"c1":-1,"c2":2,"c3":-3,"c4":4,"c5":0.5,"c6":-0.25,"c7":"12.5","c8":"-1.0000000001","c9":"abc","c10":"ä","c11":"ff00",
        "c12":"2026-01-02","c13":"10:11:12.345","c14":"2026-01-02T03:04:05","c15":"2026-01-02T03:04:05.678","c16":"1900-01-01T00:00:00",
        "c17":"2026-01-02T03:04:05.123456789","c18":"2026-01-02T03:04:05Z","c19":"2026-01-02T03:04:05Z","c20":["x",null],
        "c21":{"k":1,"l":null},"c22":{"a":1,"b":[{"c":"7.25","d":{"1":"2026-01-02T03:04:05"}},null]}}
        {} {"c20":[],"c22":{"a":null,"b":[]},"c4":9223372036854775807} {"c4":-9223372036854775808}"#;
    let mut reader = arrow_json::ReaderBuilder::new(schema).build(text.as_bytes()).unwrap();
    let rows = reader.next().unwrap().unwrap();
    assert_eq!(rows.num_rows(), 4);
    let part = OperatorStatePart { name: "all".to_owned(), rows: rows.clone() };
    let snapshot =
        SubtaskSnapshot { operator_state: vec![part], ..SubtaskSnapshot::keyed(OperatorUid::new("out"), 0, KeyedSnapshot::default()) };
    let written = write_subtask(&SnapshotTarget::Memory, snapshot).unwrap();
    let completed = complete(&SnapshotTarget::Memory, header("t", 1, SnapshotKind::Checkpoint, 0), vec![written]).unwrap();
    let json = completed.manifest().to_json().unwrap();
    assert_eq!(Manifest::parse(&json).unwrap(), **completed.manifest(), "every type can be read from its name");
    let back = completed.open().unwrap().operator_state(&OperatorUid::new("out"), "all").unwrap();
    assert_eq!(back, [rows]);
}

#[test]
fn only_the_row_groups_of_a_subtasks_key_groups_are_read() {
    let checkpoint = take(&SnapshotTarget::Memory, header("totals", 7, SnapshotKind::Checkpoint, 0)).unwrap().open().unwrap();
    let mut found = 0;
    for index in 0..3 {
        let range = subtask(index, 3);
        let rows = all_rows(&checkpoint, range);
        let own = rows.iter().filter(|(g, _)| range.as_range().contains(&(*g as u16))).count();
        assert_eq!(own, range.len() * 5);
        found += rows.len();
    }
    assert!((640..1920).contains(&found), "{found}");
}

#[test]
fn empty_states_write_no_file_and_are_still_known() {
    for storage in storages() {
        let target = target(&storage, DIR);
        storage.create_dir_all(Path::new(DIR)).unwrap();
        let mut empty = splits("x");
        empty.rows = empty.rows.slice(0, 0);
        let mut snapshot = keyed("bids", 0, vec![rows(0..1, 1)[0].slice(0, 0)]);
        snapshot.operator_state = vec![empty];
        let written = write_subtask(&target, snapshot).unwrap();
        assert_eq!((written.rows(), written.bytes().0, written.files().count()), (0, 0, 0));
        let opened = complete(&target, header("t", 1, SnapshotKind::Checkpoint, 0), vec![written]).unwrap().open().unwrap();
        assert_eq!(storage.list(Path::new(DIR)).unwrap().len(), 1);
        let states = opened.keyed_state(&OperatorUid::new("bids"), subtask(0, 1)).unwrap();
        assert_eq!((states.len(), states[0].batches.len()), (1, 0));
        assert_eq!(opened.manifest().operators[0].operator_states[0].name, "splits");
    }
}

#[test]
fn state_that_is_too_large_for_memory_is_an_error_that_names_it() {
    let text = (0..limits::JOBMANAGER_STATE.0 / 4).map(|i| format!("{:016x}", i.wrapping_mul(0x9E37_79B9_7F4A_7C15)));
    let schema = Schema::new(vec![column("blob", "STRING")]).to_arrow();
    let rows = RecordBatch::try_new(schema, vec![Arc::new(text.map(Some).collect::<StringArray>())]).unwrap();
    let part = OperatorStatePart { name: "writer".to_owned(), rows };
    let snapshot =
        SubtaskSnapshot { operator_state: vec![part], ..SubtaskSnapshot::keyed(OperatorUid::new("out"), 0, KeyedSnapshot::default()) };
    let error = write_subtask(&SnapshotTarget::Memory, snapshot).unwrap_err().to_string();
    assert!(error.starts_with("state out/writer: Size of the state is larger than the maximum permitted memory-backed state."), "{error}");
    assert!(error.contains("maxSize=5242880") && error.contains("'filesystem'"), "{error}");
}

#[test]
fn snapshots_that_contradict_each_other_make_no_checkpoint() {
    let target = SnapshotTarget::Memory;
    let twice = vec![write_subtask(&target, source(0)).unwrap(), write_subtask(&target, source(0)).unwrap()];
    assert!(complete(&target, header("t", 1, SnapshotKind::Checkpoint, 0), twice).is_err());
    let stranger = vec![write_subtask(&target, keyed("stranger", 0, rows(0..1, 1))).unwrap()];
    assert!(complete(&target, header("t", 1, SnapshotKind::Checkpoint, 0), stranger).is_err());
}

/// Whatever operation fails, and whatever a crash makes of unsynced bytes: there is a whole checkpoint or none, and none after an
/// error was removed.
#[test]
fn a_checkpoint_is_whole_or_not_there_whichever_operation_fails() {
    let operations = {
        let storage = FaultyStorage::over(MemoryStorage::new(), 0, Faults::default());
        let shared: Arc<dyn Storage> = Arc::clone(&storage) as _;
        take(&target(&shared, DIR), header("t", 7, SnapshotKind::Checkpoint, 0)).unwrap();
        storage.operations()
    };
    assert!(operations > 20, "{operations}");
    for at in 0..=operations {
        for (fail_at, fail_from) in [(Some(at), None), (None, Some(at))] {
            let memory = MemoryStorage::new();
            let faults = Faults { fail_at, fail_from, short_writes: at % 2 == 0, ..Faults::default() };
            let storage = FaultyStorage::over(Arc::clone(&memory) as _, at, faults);
            let shared: Arc<dyn Storage> = Arc::clone(&storage) as _;
            let result = take(&target(&shared, DIR), header("t", 7, SnapshotKind::Checkpoint, 0));
            storage.set(Faults::default());
            memory.crash(at);
            match (result, open(Arc::clone(&shared), DIR)) {
                (Ok(_), opened) => assert_whole(&opened.unwrap()),
                // The failed operation was the last sync, say: the rename may have come through.
                (Err(_), Ok(opened)) => assert_whole(&opened),
                (Err(_), Err(RestoreError::NoMetadata(_) | RestoreError::NotFound(_))) => {}
                (Err(_), Err(other)) => panic!("operation {at}: {other}"),
            }
            delete_checkpoint(&*shared, Path::new(DIR)).unwrap();
            assert_eq!(shared.entry(Path::new(DIR)).unwrap(), None);
        }
    }
}

#[test]
fn what_a_crash_leaves_of_a_deletion_is_no_checkpoint() {
    for at in 0..12 {
        let memory = MemoryStorage::new();
        let shared: Arc<dyn Storage> = Arc::clone(&memory) as _;
        take(&target(&shared, DIR), header("t", 7, SnapshotKind::Checkpoint, 0)).unwrap();
        let faulty = FaultyStorage::over(Arc::clone(&shared), at, Faults { fail_from: Some(at), ..Faults::default() });
        let deleted = delete_checkpoint(&*faulty, Path::new(DIR));
        memory.crash(at);
        match open(Arc::clone(&shared), DIR) {
            Ok(opened) => {
                assert!(deleted.is_err());
                assert_whole(&opened);
            }
            Err(RestoreError::NoMetadata(_) | RestoreError::NotFound(_)) => {}
            Err(other) => panic!("operation {at}: {other}"),
        }
    }
}

fn written() -> (Arc<dyn Storage>, Vec<PathBuf>) {
    let memory = MemoryStorage::new();
    let storage: Arc<dyn Storage> = Arc::clone(&memory) as _;
    take(&target(&storage, DIR), header("t", 7, SnapshotKind::Checkpoint, 0)).unwrap();
    let files = memory.paths().into_iter().filter(|p| p.extension().is_some_and(|e| e == "parquet")).collect();
    (storage, files)
}

fn overwrite(storage: &dyn Storage, path: &Path, bytes: &[u8]) {
    storage.write_atomic(path, bytes).unwrap();
}

#[test]
fn a_missing_truncated_or_altered_file_is_named_before_anything_starts() {
    let (storage, files) = written();
    assert_eq!(files.len(), 4);
    for file in &files {
        let bytes = storage.read(file, 1 << 20).unwrap();
        let mut flipped = bytes.clone();
        flipped[bytes.len() / 2] ^= 1;
        for altered in [&bytes[..bytes.len() - 1], &[], &flipped] {
            overwrite(&*storage, file, altered);
            let error = open(Arc::clone(&storage), DIR).unwrap_err();
            assert!(matches!(&error, RestoreError::AlteredFile { path, .. } if path == file), "{error}");
            assert!(error.to_string().contains(file.to_str().unwrap()) && error.to_string().contains("another checkpoint"), "{error}");
        }
        storage.remove(file).unwrap();
        let error = open(Arc::clone(&storage), DIR).unwrap_err();
        assert!(matches!(&error, RestoreError::MissingFile { path } if path == file), "{error}");
        overwrite(&*storage, file, &bytes);
    }
    assert_whole(&open(storage, DIR).unwrap());
}

#[test]
fn paths_at_which_there_is_no_checkpoint_are_errors_in_flinks_words() {
    let (storage, files) = written();
    let error = |text: &str| open(Arc::clone(&storage), text).unwrap_err().to_string();
    assert_eq!(error("/none"), "Cannot find checkpoint or savepoint file/directory '/none' on file system 'file'.");
    assert!(error("/checkpoints").starts_with("Cannot find meta data file '_metadata' in directory '/checkpoints'."));
    assert!(error(files[0].to_str().unwrap()).starts_with("Cannot find meta data file"));
    assert!(error("s3://bucket/x").ends_with("'s3://bucket/x' on file system 's3'."));
    assert!(error("gs://bucket/x").contains("gs: is not available in this version"));
}

/// The manifest as JSON, changed and written again.
fn with_manifest(storage: &dyn Storage, change: impl FnOnce(&mut serde_json::Value)) {
    let path = Path::new(DIR).join(METADATA);
    let mut json: serde_json::Value = serde_json::from_slice(&storage.read(&path, 1 << 20).unwrap()).unwrap();
    change(&mut json);
    overwrite(storage, &path, json.to_string().as_bytes());
}

#[test]
fn a_manifest_that_leads_out_of_its_directory_or_makes_no_sense_is_refused() {
    let (storage, _) = written();
    let secret = "/checkpoints/secret.parquet";
    overwrite(&*storage, Path::new(secret), b"secret");
    let original = storage.read(&Path::new(DIR).join(METADATA), 1 << 20).unwrap();
    type Change = fn(&mut serde_json::Value);
    let changes: [(&str, Change); 12] = [
        ("outside", |m| m["operators"][0]["operator_states"][0]["files"][0]["path"] = "../../secret.parquet".into()),
        ("outside", |m| m["operators"][0]["operator_states"][0]["files"][0]["path"] = "/checkpoints/secret.parquet".into()),
        ("outside", |m| m["operators"][0]["operator_states"][0]["files"][0]["path"] = "".into()),
        ("twice", |m| m["operators"][0]["operator_states"][0]["files"][0]["path"] = "bids/operator/splits-1.parquet".into()),
        ("max_parallelism", |m| m["max_parallelism"] = 0.into()),
        ("max_parallelism", |m| m["max_parallelism"] = 40_000.into()),
        ("parallelism", |m| m["operators"][1]["parallelism"] = 0.into()),
        ("twice", |m| m["operators"][0]["uid"] = "out".into()),
        ("version 3", |m| m["format_version"] = 3.into()),
        ("two columns", |m| m["operators"][1]["keyed_states"][0]["key"][0]["name"] = "flights".into()),
        ("checksum", |m| m["operators"][0]["operator_states"][0]["files"][0]["xxh3"] = "zz".into()),
        ("JobID", |m| m["job"]["id"] = "x".into()),
    ];
    for (word, change) in changes {
        with_manifest(&*storage, change);
        let error = open(Arc::clone(&storage), DIR).unwrap_err();
        assert!(matches!(&error, RestoreError::Manifest { .. }) && error.to_string().contains(word), "{word}: {error}");
        overwrite(&*storage, &Path::new(DIR).join(METADATA), &original);
    }
}

#[test]
fn hostile_lengths_and_wrong_rows_are_errors() {
    let (storage, _) = written();
    with_manifest(&*storage, |m| m["operators"][1]["keyed_states"][0]["files"][0]["bytes"] = u64::MAX.into());
    assert!(matches!(open(Arc::clone(&storage), DIR), Err(RestoreError::AlteredFile { .. })));
    with_manifest(&*storage, |m| {
        let file = m["operators"][1]["keyed_states"][0]["files"][0].as_object_mut().unwrap();
        file.remove("bytes");
        file["rows"] = 319.into();
    });
    let error = open(storage, DIR).unwrap().keyed_state(&totals(), subtask(0, 2)).unwrap_err().to_string();
    assert!(error.contains("320 rows, 319 were written"), "{error}");
}

#[test]
fn a_file_that_another_tool_has_written_is_read_once_its_checks_are_removed() {
    let (storage, _) = written();
    let path = Path::new(DIR).join("totals/group-aggregate-1/groups/part-0.parquet");
    // Other column types and another order, as a data frame might have them.
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("flights", Arc::new(Int32Array::from(vec![5]))),
        ("carrier", Arc::new(arrow::array::LargeStringArray::from(vec!["AA"]))),
        ("key_group", Arc::new(Int64Array::from(vec![3]))),
        ("miles", Arc::new(Decimal128Array::from(vec![7]).with_precision_and_scale(10, 1).unwrap())),
        ("expires_at", Arc::new(arrow::array::TimestampMicrosecondArray::from(vec![9_000]).with_timezone("UTC"))),
    ];
    let rows = RecordBatch::try_from_iter(columns).unwrap();
    let mut bytes = Vec::new();
    let mut writer = parquet::arrow::ArrowWriter::try_new(&mut bytes, rows.schema(), None).unwrap();
    writer.write(&rows).unwrap();
    writer.close().unwrap();
    overwrite(&*storage, &path, &bytes);
    with_manifest(&*storage, |m| {
        let file = m["operators"][1]["keyed_states"][0]["files"][0].as_object_mut().unwrap();
        file.retain(|key, _| key == "path");
    });
    let opened = open(Arc::clone(&storage), DIR).unwrap();
    let states = opened.keyed_state(&totals(), subtask(0, 2)).unwrap();
    let batch = &states[0].batches[0];
    assert_eq!((batch.schema(), batch.num_rows()), (descriptor().columns().to_arrow(), 1));
    assert_eq!(batch.column(3).as_any().downcast_ref::<Decimal128Array>().unwrap().value(0), 70);

    with_manifest(&*storage, |m| m["operators"][1]["keyed_states"][0]["value"][0]["name"] = "departures".into());
    let error = open(storage, DIR).unwrap().keyed_state(&totals(), subtask(0, 2)).unwrap_err().to_string();
    assert!(error.contains("column departures is missing"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    /// Checksums are left out here: what is tested is that the decoder survives anything.
    #[test]
    fn no_bytes_make_the_reader_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6), cut in any::<prop::sample::Index>(), whole: bool) {
        let (storage, files) = written();
        for file in &files {
            let mut bytes = storage.read(file, 1 << 20).unwrap();
            for (at, value) in &changes {
                let at = at.index(bytes.len());
                bytes[at] = *value;
            }
            if !whole {
                bytes.truncate(cut.index(bytes.len() + 1));
            }
            overwrite(&*storage, file, &bytes);
        }
        with_manifest(&*storage, |m| {
            for operator in 0..2 {
                for kind in ["keyed_states", "operator_states"] {
                    let Some(files) = m["operators"][operator].get_mut(kind) else { continue };
                    for file in files[0]["files"].as_array_mut().unwrap() {
                        file.as_object_mut().unwrap().retain(|key, _| key == "path");
                    }
                }
            }
        });
        let opened = open(storage, DIR).unwrap();
        for (range, uid) in [(subtask(0, 1), totals()), (subtask(1, 3), totals())] {
            if let Ok(states) = opened.keyed_state(&uid, range) {
                prop_assert!(states[0].batches.iter().all(|b| b.schema() == descriptor().columns().to_arrow()));
            }
        }
        let _ = opened.operator_state(&OperatorUid::new("bids"), "splits").map(|b| b.len());
    }

    #[test]
    fn no_manifest_makes_the_reader_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), "[\\PC]{0,3}"), 0..5), cut in any::<prop::sample::Index>()) {
        let (storage, _) = written();
        let path = Path::new(DIR).join(METADATA);
        let mut text = String::from_utf8(storage.read(&path, 1 << 20).unwrap()).unwrap();
        for (at, replacement) in &changes {
            let at = at.index(text.len());
            if text.is_char_boundary(at) && text.is_char_boundary(at + 1) {
                text.replace_range(at..=at, replacement);
            }
        }
        if changes.is_empty() {
            text.truncate(cut.index(text.len()));
        }
        overwrite(&*storage, &path, text.as_bytes());
        if let Ok(opened) = open(storage, DIR) {
            for operator in &opened.manifest().operators {
                let _ = opened.keyed_state(&operator.uid, subtask(0, 1)).map(|s| s.len());
            }
        }
    }
}

#[test]
fn the_newest_complete_snapshot_of_a_job_name_is_found() {
    for storage in storages() {
        let job = "/chk/0000000000000000000000000000002a";
        let at = |dir: &str, name: &str, id, kind, time| {
            take(&target(&storage, dir), header(name, id, kind, time)).unwrap();
        };
        at(&format!("{job}/chk-2"), "a", 2, SnapshotKind::Checkpoint, 20);
        at(&format!("{job}/chk-10"), "a", 10, SnapshotKind::Checkpoint, 20);
        at("/sav/savepoint-00002a-000000000001", "a", 1, SnapshotKind::Savepoint, 10);
        at("/sav/savepoint-00002a-000000000002", "b", 3, SnapshotKind::Stop, 99);
        storage.create_dir_all(Path::new(&format!("{job}/chk-11/totals"))).unwrap();
        let directories = [PathBuf::from("/chk"), PathBuf::from("/sav"), PathBuf::from("/none")];
        let find = |name: &str| latest(&*storage, &directories, name).unwrap();
        assert_eq!(find("a").found.unwrap().path, Path::new(job).join("chk-10"), "same time: the higher number");
        assert_eq!(find("b").found.unwrap().kind, SnapshotKind::Stop);
        assert_eq!(find("c").found, None);
        let ids: Vec<_> = checkpoints_of(&*storage, Path::new(job), JobId::from_u128(42)).unwrap().iter().map(|f| f.id.number()).collect();
        assert_eq!(ids, [2, 10], "chk-11 was never completed");
        overwrite(&*storage, &Path::new(job).join("chk-10/_metadata"), b"{");
        let search = find("a");
        assert_eq!((search.found.unwrap().id.number(), search.unreadable.len()), (2, 1));
    }
}

#[test]
fn the_savepoint_of_a_stop_is_found_wherever_it_is_and_only_once_it_is_complete() {
    for storage in storages() {
        let (base, job) = (Path::new("/checkpoints"), JobId::from_u128(42));
        take(&target(&storage, DIR), header("a", 7, SnapshotKind::Checkpoint, 10)).unwrap();
        let elsewhere = "/far/away/savepoint-000000-00000000000a";
        note_stop(&*storage, &job_directory(base, job), Path::new("/far/away/savepoint-000000-000000000009")).unwrap();
        note_stop(&*storage, &job_directory(base, job), Path::new(elsewhere)).unwrap();
        let newest = || latest(&*storage, &[base.to_owned()], "a").unwrap().found.unwrap().path;
        assert_eq!(newest(), Path::new(DIR));
        take(&target(&storage, elsewhere), header("a", 8, SnapshotKind::Stop, 20)).unwrap();
        assert_eq!(newest(), Path::new(elsewhere));
        let of_job: Vec<PathBuf> = checkpoints_of(&*storage, &job_directory(base, job), job).unwrap().into_iter().map(|c| c.path).collect();
        assert_eq!(of_job, [PathBuf::from(DIR), PathBuf::from(elsewhere)]);
        overwrite(&*storage, &base.join(job.to_string()).join("stopped-with"), b"[3");
        assert_eq!(newest(), Path::new(DIR), "a note that cannot be read names nothing");
    }
}

fn directly(dir: &str) -> CheckpointSettings {
    CheckpointSettings {
        interval: None,
        backlog_interval: None,
        mode: CheckpointingMode::ExactlyOnce,
        unaligned: None,
        timeout: Duration::from_mins(10),
        min_pause: Duration::ZERO,
        max_concurrent: 1,
        tolerable_failed: 0,
        num_retained: 1,
        retention: Retention::NoExternalized,
        after_tasks_finish: true,
        incremental: false,
        local_backup: false,
        local_backup_dir: None,
        storage: CheckpointStorage::FileSystem(dir.into()),
        create_subdir: false,
        sync_phase_timeout: None,
        pause_sources: false,
        savepoint_dir: None,
    }
}

#[test]
fn a_directory_that_checkpoints_go_directly_into_is_one_jobs_alone_and_no_checkpoint_of_another_job_is_replaced() {
    let storage: Arc<dyn Storage> = MemoryStorage::new();
    let (settings, job) = (directly("/chk"), JobId::from_u128(7));
    let occupied = |first| occupy(&*storage, &settings, job, CheckpointId::new(first));
    let held = occupied(1).unwrap();
    assert!(held.is_some());
    let error = occupied(1).unwrap_err().to_string();
    assert!(error.starts_with("/chk: another job that runs keeps its checkpoints directly in it. With"), "{error}");
    drop(held);
    take(&target(&storage, "/chk/chk-5"), header("a", 5, SnapshotKind::Checkpoint, 10)).unwrap();
    storage.create_dir_all(Path::new("/chk/chk-9/never-completed")).unwrap();
    let error = occupied(1).unwrap_err().to_string();
    assert!(error.contains("/chk/chk-5 is a checkpoint of job 0000000000000000000000000000002a, and job"), "{error}");
    assert!(occupied(6).unwrap().is_some(), "whoever goes on from it writes behind it");
    overwrite(&*storage, Path::new("/chk/chk-5/_metadata"), b"{");
    assert!(occupied(5).unwrap_err().to_string().contains("a checkpoint of somebody else"));
    let with_subdir = CheckpointSettings { create_subdir: true, ..directly("/chk") };
    assert!(occupy(&*storage, &with_subdir, job, CheckpointId::new(1)).unwrap().is_none());
    assert_eq!(with_subdir.job_directory(job), Some(job_directory(Path::new("/chk"), job)));
    assert_eq!(settings.job_directory(job), Some("/chk".into()));
}

#[test]
fn checkpoints_directly_in_a_directory_are_found_and_told_apart_by_their_jobs() {
    let storage: Arc<dyn Storage> = MemoryStorage::new();
    let (parent, job) = (Path::new("/chk"), JobId::from_u128(42));
    take(&target(&storage, "/chk/chk-5"), header("a", 5, SnapshotKind::Checkpoint, 10)).unwrap();
    let stop = "/far/savepoint-000000-00000000000a";
    take(&target(&storage, stop), header("a", 6, SnapshotKind::Stop, 20)).unwrap();
    note_stop(&*storage, parent, Path::new(stop)).unwrap();
    let newest = latest(&*storage, &[parent.to_owned()], "a").unwrap().found.unwrap();
    assert_eq!(newest.path, Path::new(stop), "the savepoint that the job was stopped with");
    let paths = |job| checkpoints_of(&*storage, parent, job).unwrap().into_iter().map(|c| c.path).collect::<Vec<_>>();
    assert_eq!(paths(job), [PathBuf::from("/chk/chk-5"), PathBuf::from(stop)]);
    assert_eq!(paths(JobId::from_u128(7)), [] as [PathBuf; 0]);
    clear_beside_others(&*storage, parent, CheckpointId::new(8)).unwrap();
    assert_eq!(paths(job), [PathBuf::from("/chk/chk-5")]);
}

#[test]
fn a_claimed_savepoint_is_deleted_whatever_its_directory_is_called() {
    for storage in storages() {
        take(&target(&storage, "/mine/keep-this"), header("a", 7, SnapshotKind::Savepoint, 10)).unwrap();
        overwrite(&*storage, Path::new("/mine/keep-this/notes.txt"), b"mine");
        delete_claimed(&*storage, Path::new("/mine/keep-this")).unwrap();
        assert!(matches!(open(Arc::clone(&storage), "/mine/keep-this"), Err(RestoreError::NoMetadata(_))));
        let left: Vec<PathBuf> = storage.list(Path::new("/mine/keep-this")).unwrap().into_iter().map(|e| e.path).collect();
        assert_eq!(left, [PathBuf::from("/mine/keep-this/notes.txt")], "what is not the savepoint's stays");
        delete_claimed(&*storage, Path::new("/mine/keep-this")).unwrap();
        delete_claimed(&*storage, Path::new("/mine/gone")).unwrap();
    }
}

#[test]
fn key_groups_are_computed_anew_when_their_number_changes() {
    for storage in storages() {
        let completed = take(&target(&storage, DIR), header("a", 7, SnapshotKind::Savepoint, 10)).unwrap();
        let job = [OperatorStates {
            uid: totals(),
            keyed: vec![descriptor()],
            operator_states: Vec::new(),
            parallelism: Parallelism::new(3).unwrap(),
            retracts: false,
        }];
        let rules = RestoreRules::default();
        let max = MaxParallelism::new(300).unwrap();
        let request = RestoreRequest { path: "p", max_parallelism: Some(max), allow_non_restored: true, rules: &rules };
        let opened = completed.open().unwrap();
        let before = all_rows(&opened, subtask(0, 1)).len();
        let plan = plan_restore(opened.manifest(), &job, request).accepted().unwrap();
        let planned = opened.planned(&plan);
        assert_eq!(planned.max_parallelism(), max);
        let parallelism = Parallelism::new(3).unwrap();
        let parts: Vec<_> = (0..3).map(|i| all_rows(&planned, KeyGroupRange::of_subtask(max, parallelism, i))).collect();
        assert_eq!(parts.iter().map(Vec::len).sum::<usize>(), before, "every row belongs to one subtask");
        for (index, part) in parts.iter().enumerate() {
            let own = KeyGroupRange::of_subtask(max, parallelism, index).as_range();
            assert!(!part.is_empty() && part.iter().all(|(group, _)| own.contains(&u16::try_from(*group).unwrap())));
        }
    }
}

#[test]
fn disposing_removes_a_savepoint_and_nothing_else() {
    for storage in storages() {
        let dir = "/sav/savepoint-00002a-000000000001";
        take(&target(&storage, dir), header("t", 1, SnapshotKind::Savepoint, 0)).unwrap();
        overwrite(&*storage, &Path::new(dir).join("notes.txt"), b"mine");
        dispose_savepoint(&*storage, &format!("file:{dir}")).unwrap();
        let left: Vec<_> = storage.list(Path::new(dir)).unwrap().into_iter().map(|e| e.path).collect();
        assert_eq!(left, [Path::new(dir).join("notes.txt")]);
        let again = dispose_savepoint(&*storage, dir).unwrap_err();
        assert!(matches!(again, RestoreError::NoMetadata(_)), "{again}");

        overwrite(&*storage, Path::new("/sav/_metadata"), b"not ours");
        let refused = dispose_savepoint(&*storage, "/sav").unwrap_err().to_string();
        assert!(refused.starts_with("Could not dispose savepoint /sav: its _metadata cannot be read"), "{refused}");
        assert!(storage.entry(Path::new("/sav/_metadata")).unwrap().is_some());

        let other = "/sav/savepoint-00002a-000000000002";
        take(&target(&storage, other), header("t", 1, SnapshotKind::Savepoint, 0)).unwrap();
        dispose_savepoint(&*storage, &format!("{other}/_metadata")).unwrap();
        let error = dispose_savepoint(&*storage, other).unwrap_err().to_string();
        assert_eq!(error, format!("Cannot find checkpoint or savepoint file/directory '{other}' on file system 'file'."));
    }
}

#[test]
fn only_directories_of_checkpoints_and_savepoints_are_ever_deleted_whole() {
    for storage in storages() {
        storage.create_dir_all(Path::new("/home/mine")).unwrap();
        overwrite(&*storage, Path::new("/home/mine/letter"), b"mine");
        assert!(delete_checkpoint(&*storage, Path::new("/home/mine")).is_err());
        assert!(delete_checkpoint(&*storage, Path::new("/")).is_err());
        assert!(storage.entry(Path::new("/home/mine/letter")).unwrap().is_some());
        delete_checkpoint(&*storage, Path::new("/home/chk-1")).unwrap();
    }
}

#[test]
fn a_savepoint_directory_is_new_and_says_when_it_cannot_be_made() {
    let memory = MemoryStorage::new();
    let job = JobId::from_u128(0xe8e6_33c4_3478_f81a_4966_bcf1_e781_fd89);
    let first = create_savepoint_directory(&*memory, Path::new("/sav"), job, 0x3bd3_550a_f29c).unwrap();
    assert_eq!(first, Path::new("/sav/savepoint-e8e633-3bd3550af29c"));
    let second = create_savepoint_directory(&*memory, Path::new("/sav"), job, 0x3bd3_550a_f29c).unwrap();
    assert_eq!(second, Path::new("/sav/savepoint-e8e633-3bd3550af29d"));
    let broken = FaultyStorage::over(memory, 0, Faults { fail_from: Some(0), ..Faults::default() });
    let error = create_savepoint_directory(&*broken, Path::new("/proc/nope"), job, 1).unwrap_err().to_string();
    assert!(error.starts_with("Failed to create savepoint directory at /proc/nope"), "{error}");
}
