//! The files, from writing to reading: whole, torn, altered and hostile ones.

mod damage;
mod directories;

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

fn overwrite(storage: &dyn Storage, path: &Path, bytes: &[u8]) {
    storage.write_atomic(path, bytes).unwrap();
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
