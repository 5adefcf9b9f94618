//! Looking into operator states of functions, editing and building them.

use super::tests::{UID, descriptor, header, opened, plan};
use super::*;
use crate::checkpoint::{SnapshotTarget, SubtaskSnapshot, complete, open_directory, write_subtask};
use crate::state::{KeyedSnapshot, OperatorState, OperatorStateDescriptor};
use crate::storage::LocalStorage;
use crate::types::{LogicalType, OperatorUid, Parallelism, TypeKind};
use std::fs;

fn rules() -> OperatorStateDescriptor {
    let null = LogicalType::nullable;
    OperatorStateDescriptor::broadcast("rules", null(TypeKind::String), null(TypeKind::Int))
}

/// A savepoint of the operator `UID` with these copies of the broadcast state `rules`, one a subtask.
fn saved_copies(dir: &Path, copies: &[&[(&str, i64)]]) -> PathBuf {
    let target = SnapshotTarget::Directory { storage: LocalStorage::shared(), dir: dir.to_owned(), sharing: None };
    fs::create_dir_all(dir).unwrap();
    let parallelism = Parallelism::new(copies.len()).unwrap();
    let write = |(subtask, copy): (usize, &&[(&str, i64)])| {
        let mut state = OperatorState::new(subtask, parallelism, Vec::new());
        let handle = state.register_broadcast(rules()).unwrap();
        for (rule, least) in *copy {
            state.broadcast_put(handle, (*rule).into(), (*least).into()).unwrap();
        }
        let snapshot = SubtaskSnapshot::keyed(OperatorUid::new(UID), subtask, KeyedSnapshot::default());
        write_subtask(&target, SubtaskSnapshot { registered: state.snapshot(), ..snapshot }).unwrap()
    };
    let written = copies.iter().enumerate().map(write).collect();
    let mut header = header(7, 128, &[UID]);
    header.operators[0].parallelism = parallelism;
    complete(&target, header, written).unwrap();
    dir.to_owned()
}

#[test]
fn broadcast_state_is_a_table_of_typed_columns_that_is_shown_compared_checked_and_sealed() {
    let dir = tempfile::tempdir().unwrap();
    let before = opened(&saved_copies(&dir.path().join("a"), &[&[("high", 5), ("low", 1)], &[("high", 5), ("low", 1)]]));
    let states = before.states();
    let address = format!("{UID}/rules");
    assert_eq!((states[0].address(), states[0].kind(), states[0].rows()), (address.clone(), "broadcast", 4));
    let columns: Vec<String> = states[0].columns().columns.iter().map(|c| format!("{} {}", c.name, c.data_type)).collect();
    assert_eq!(columns, ["subtask INT NOT NULL", "map_key STRING NOT NULL", "value INT"]);
    assert!(states[0].files()[1].path.ends_with("/operator/rules-1.parquet"), "{:?}", states[0].files());
    assert!(verify(&before).unwrap().defects.list.is_empty());
    let path = saved_copies(&dir.path().join("b"), &[&[("high", 9), ("low", 1)], &[("high", 9)]]);
    let found = diff(&before, &opened(&path), None, 10).unwrap();
    let rules = found.states.iter().find(|s| s.state == address).unwrap();
    assert_eq!((rules.changed, rules.removed, rules.same, rules.added), (2, 1, 1, 0), "{rules:?}");
    // A copy in which a key stands twice, and one of a subtask that there was not.
    let file = |name: &str| path.join(&opened(&path).states()[0].files().iter().find(|f| f.path.ends_with(name)).unwrap().path);
    fs::copy(file("rules-1.parquet"), file("rules-0.parquet")).unwrap();
    let twice = seal(&opened(&path)).unwrap_err().to_string();
    assert!(twice.contains("subtask=1, map_key=high occurs in an earlier row, too"), "{twice}");
    let text = fs::read_to_string(path.join("_metadata")).unwrap();
    fs::write(path.join("_metadata"), text.replace("\"parallelism\": 2", "\"parallelism\": 1")).unwrap();
    let outside = seal(&opened(&path)).unwrap_err().to_string();
    assert!(outside.contains("subtask 1, there were 1"), "{outside}");
}

#[test]
fn rows_of_an_operator_state_are_imported_for_every_subtask() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rules.json");
    fs::write(&file, "{\"map_key\":\"high\",\"value\":5}\n{\"map_key\":\"low\",\"value\":1}\n").unwrap();
    let mut plan = plan(dir.path(), descriptor(), 100);
    plan.operators[1].1.operator = vec![Arc::new(rules())];
    let import = |path: &Path| [Import { state: format!("{UID}/rules"), path: path.to_owned(), format: ImportFormat::Json }];
    let built = bootstrap(&plan, &import(&file)).unwrap();
    assert_eq!(built.states[0].1, 2);
    let checkpoint = open_directory(LocalStorage::shared(), &built.path).unwrap();
    let restored = checkpoint.registered_states(&OperatorUid::new(UID)).unwrap();
    for subtask in 0..3 {
        let mut state = OperatorState::new(subtask, Parallelism::new(3).unwrap(), restored.clone());
        let handle = state.register_broadcast(rules()).unwrap();
        assert_eq!(state.broadcast_entries(handle).unwrap().len(), 2, "subtask {subtask}");
    }
    fs::write(&file, "{\"map_key\":\"low\",\"value\":5}\n{\"map_key\":\"low\",\"value\":1}\n").unwrap();
    let twice = bootstrap(&plan, &import(&file)).unwrap_err().to_string();
    assert!(twice.ends_with("row 2: map_key=low occurs in an earlier row, too"), "{twice}");
    let nowhere = [Import { state: format!("{UID}/rule"), path: file, format: ImportFormat::Json }];
    assert!(bootstrap(&plan, &nowhere).unwrap_err().to_string().contains("the job has no state"));
}
