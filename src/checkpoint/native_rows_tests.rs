//! Looking into native checkpoints: their rows are read, compared and checked as those of savepoints, and nothing is left behind.

use super::inspect::{Condition, Selection, Snapshot, diff, verify};
use super::native_tests::{KEYS, Place, Subtask, max_parallelism, uid};
use super::{CompletedCheckpoint, METADATA, Manifest};
use crate::state::SnapshotForm;
use crate::types::ByteSize;
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

thread_local! {
    static LOOKS: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
}

const STATE: &str = "totals/group-aggregate-1/groups";

fn looked_into(place: &Place, directory: &Path) -> Snapshot {
    let snapshot = Snapshot::open(Arc::clone(&place.storage), &directory.display().to_string()).unwrap();
    // Each has one of its own: whoever wants another's waits for it.
    let number = LOOKS.with(|looks| looks.replace(looks.get() + 1));
    snapshot.with_working_directory(place.path("look").join(number.to_string()))
}

/// Two subtasks that have saved all keys in a checkpoint.
fn taken() -> (Place, Vec<Subtask>, CompletedCheckpoint) {
    let place = Place::new();
    let mut subtasks: Vec<Subtask> = (0..2).map(|index| place.subtask((index, 2), None)).collect();
    for subtask in &mut subtasks {
        subtask.add(0..KEYS, 5);
    }
    let (checkpoint, _) = place.checkpoint(1, &mut subtasks, None);
    (place, subtasks, checkpoint)
}

fn rows(snapshot: &Snapshot, selection: &Selection) -> Vec<RecordBatch> {
    let state = snapshot.find_one(STATE).unwrap();
    snapshot.rows(state, selection, true).unwrap().map(Result::unwrap).collect()
}

fn files_below(directory: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for path in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() { found.extend(files_below(&path)) } else { assert!(found.insert(path)) }
    }
    found
}

/// Writes an edited `_metadata`.
fn edit(directory: &Path, change: impl FnOnce(&mut Manifest)) {
    let path = directory.join(METADATA);
    let mut manifest = Manifest::parse(&fs::read(&path).unwrap()).unwrap();
    change(&mut manifest);
    fs::write(path, serde_json::to_vec(&manifest).unwrap()).unwrap();
}

fn defects(snapshot: &Snapshot) -> String {
    verify(snapshot).unwrap().defects.to_string()
}

#[test]
fn rows_of_a_native_checkpoint_are_those_of_a_savepoint_in_small_batches_and_nothing_is_left_behind() {
    let (place, mut subtasks, checkpoint) = taken();
    let savepoint = place.savepoint(2, SnapshotForm::Canonical, &mut subtasks);
    let before = files_below(&place.job_directory());
    let native = looked_into(&place, checkpoint.directory().unwrap());
    let canonical = looked_into(&place, savepoint.directory().unwrap());
    let (found, expected) = (rows(&native, &Selection::default()), rows(&canonical, &Selection::default()));
    assert!(found.len() >= 2, "at least one a store");
    assert_eq!(found.iter().map(RecordBatch::num_rows).sum::<usize>(), KEYS as usize);
    assert_eq!(found[0].schema().fields(), expected[0].schema().fields());
    assert!(diff(&canonical, &native, None, 10).unwrap().is_empty());
    let working = || fs::read_dir(place.path("look")).unwrap().count();
    assert_eq!(working(), 1, "stores are open");
    drop(native);
    assert_eq!(working(), 0);
    assert_eq!(files_below(&place.job_directory()), before);
}

#[test]
fn the_rows_of_a_key_come_from_its_key_group_alone() {
    let (place, _subtasks, checkpoint) = taken();
    let key =
        |value: &str| Selection { keys: vec![Condition { column: "k".to_owned(), value: Some(value.to_owned()) }], ..Selection::default() };
    let native = looked_into(&place, checkpoint.directory().unwrap());
    let found = rows(&native, &key("4711"));
    let [batch] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(batch.column_by_name("k").unwrap().as_primitive::<Int64Type>().values().to_vec(), [4711]);
    assert!(rows(&native, &key("-1")).is_empty());
    let few = Selection { limit: Some(3), ..Selection::default() };
    assert_eq!(rows(&native, &few).iter().map(RecordBatch::num_rows).sum::<usize>(), 3);
    // Only the store that owns the key's group is opened.
    let group = batch.column_by_name("key_group").unwrap().as_primitive::<arrow::datatypes::Int32Type>().value(0);
    let other = usize::from(group < (max_parallelism().get() / 2) as i32);
    drop(native);
    let damaged = Manifest::parse(&fs::read(checkpoint.directory().unwrap().join(METADATA)).unwrap()).unwrap();
    for file in &damaged.operators[0].stores[other].files {
        fs::remove_file(checkpoint.directory().unwrap().join(&file.file.path)).unwrap();
    }
    let native = looked_into(&place, checkpoint.directory().unwrap());
    assert_eq!(rows(&native, &key("4711")).len(), 1);
    assert!(verify(&native).unwrap().defects.to_string().contains("the file is missing"));
}

#[test]
fn a_difference_between_a_savepoint_and_a_native_checkpoint_is_shown_row_by_row() {
    let (place, mut subtasks, _) = taken();
    let savepoint = place.savepoint(2, SnapshotForm::Canonical, &mut subtasks);
    for subtask in &mut subtasks {
        subtask.add([7, KEYS + 1], 3);
    }
    let native = place.savepoint(3, SnapshotForm::Native, &mut subtasks);
    let (older, newer) = (looked_into(&place, savepoint.directory().unwrap()), looked_into(&place, native.directory().unwrap()));
    let found = diff(&older, &newer, Some(STATE), 10).unwrap();
    let state = &found.states[0];
    assert_eq!((state.added, state.removed, state.changed, state.same), (1, 0, 1, KEYS as u64 - 1));
}

#[test]
fn the_rows_of_stores_are_verified() {
    let (place, _subtasks, checkpoint) = taken();
    let directory = checkpoint.directory().unwrap();
    let sound = verify(&looked_into(&place, directory)).unwrap();
    assert_eq!((sound.rows, sound.defects.to_string()), (KEYS as u64, String::new()));
    let original = fs::read(directory.join(METADATA)).unwrap();
    type Edit = fn(&mut Manifest);
    let wrong: [(Edit, &str); 4] = [
        (|m| m.operators[0].stores[1].states[0].rows += 1, "rows, "),
        (|m| m.operators[0].stores[0].key_groups = (0, 1), "in a store of key groups 0 to 0"),
        (|m| m.max_parallelism = crate::types::MaxParallelism::new(64).unwrap(), "its key belongs to"),
        (|m| m.operators[0].stores[0].states[0].family = "state/other".to_owned(), "0 rows, "),
    ];
    for (change, says) in wrong {
        edit(directory, change);
        let found = defects(&looked_into(&place, directory));
        assert!(found.contains(says) && found.contains("store-"), "{says}: {found}");
        fs::write(directory.join(METADATA), &original).unwrap();
    }
    // The second subtask's store has the first one's files: every key of the first one occurs twice.
    edit(directory, |manifest| {
        let stores = &mut manifest.operators[0].stores;
        stores[1] = super::StoreEntry { subtask: 1, ..stores[0].clone() };
        for file in &mut stores[1].files {
            let copy = format!("{}/copy-{}", uid(), file.name);
            fs::create_dir_all(directory.join(uid().as_str())).unwrap();
            let source = super::layout::located(directory, &file.file.path).unwrap();
            fs::copy(source, directory.join(&copy)).unwrap();
            file.file.path = copy;
        }
    });
    let found = defects(&looked_into(&place, directory));
    assert!(found.contains("occurs in an earlier row, too"), "{found}");
}

#[test]
fn a_store_with_damaged_files_is_named_and_never_opened() {
    let (place, _subtasks, checkpoint) = taken();
    let directory = checkpoint.directory().unwrap();
    let manifest = Manifest::parse(&fs::read(directory.join(METADATA)).unwrap()).unwrap();
    let files = &manifest.operators[0].stores[0].files;
    let table = files.iter().find(|file| file.state.is_some()).unwrap();
    for file in files.iter().filter(|file| file.state.is_none()).chain([table]) {
        let path = super::layout::located(directory, &file.file.path).unwrap();
        let bytes = fs::read(&path).unwrap();
        let mut altered = bytes.clone();
        altered[bytes.len() / 2] ^= 0x55;
        for damaged in [altered, bytes[..bytes.len() / 2].to_vec(), Vec::new()] {
            // The store may hold a link to it.
            fs::remove_file(&path).unwrap();
            fs::write(&path, &damaged).unwrap();
            let found = defects(&looked_into(&place, directory));
            assert!(found.contains(path.file_name().unwrap().to_str().unwrap()), "{found}");
            // Whoever reads rows without verifying gets an error, or rows; never a crash.
            let snapshot = looked_into(&place, directory);
            let read: Result<Vec<_>, _> = snapshot.rows(snapshot.find_one(STATE).unwrap(), &Selection::default(), false).unwrap().collect();
            assert!(read.is_err() || file.state.is_some());
            // The same where nobody recorded what the file was.
            let original = fs::read(directory.join(METADATA)).unwrap();
            edit(directory, |m| {
                for entry in &mut m.operators[0].stores[0].files {
                    (entry.file.bytes, entry.file.xxh3) = (None, None);
                }
            });
            let found = verify(&looked_into(&place, directory)).unwrap();
            assert!(found.rows < KEYS as u64 || !found.defects.list.is_empty() || damaged.len() == bytes.len());
            fs::write(directory.join(METADATA), original).unwrap();
        }
        fs::remove_file(&path).unwrap();
        fs::write(&path, &bytes).unwrap();
    }
    assert_eq!(defects(&looked_into(&place, directory)), "");
}

#[test]
fn a_store_is_opened_from_another_file_system_without_copying_its_rows() {
    let (place, _subtasks, checkpoint) = taken();
    let elsewhere = tempfile::Builder::new().tempdir_in("/dev/shm").unwrap();
    let working = elsewhere.path().join("look");
    let snapshot = Snapshot::open(Arc::clone(&place.storage), &checkpoint.directory().unwrap().display().to_string()).unwrap();
    let snapshot = snapshot.with_working_directory(working.clone());
    let mut found = snapshot.rows(snapshot.find_one(STATE).unwrap(), &Selection::default(), false).unwrap();
    let first = found.next().unwrap().unwrap();
    assert!(first.num_rows() > 0);
    let tables: Vec<PathBuf> = files_below(&working).into_iter().filter(|f| f.extension().is_some_and(|e| e == "sst")).collect();
    assert!(!tables.is_empty() && tables.iter().all(|table| table.is_symlink()), "{tables:?}");
    assert_eq!(found.map(|batch| batch.unwrap().num_rows()).sum::<usize>() + first.num_rows(), KEYS as usize);
    drop(snapshot);
    assert!(!working.exists());
}

#[test]
fn without_a_working_directory_a_store_is_not_read_and_that_is_said() {
    let place = Place::with_memory(ByteSize(1 << 20));
    let mut subtasks = [place.subtask((0, 1), None)];
    subtasks[0].add(0..10, 5);
    let (checkpoint, _) = place.checkpoint(1, &mut subtasks, None);
    let snapshot = Snapshot::open(Arc::clone(&place.storage), &checkpoint.directory().unwrap().display().to_string()).unwrap();
    let mut rows = snapshot.rows(snapshot.find_one(STATE).unwrap(), &Selection::default(), false).unwrap();
    let error = rows.next().unwrap().unwrap_err();
    assert!(error.to_string().contains("no directory to open the store in"), "{error}");
    assert!(rows.next().is_none());
}
