//! Native checkpoints of a function, whose states share their rows: renamed, dropped, widened, at another number of key groups.

use super::{
    JobEntry, ManifestHeader, OperatorHeader, OperatorStates, Outcome, RestoreRequest, RestoreRules, SnapshotKind, SnapshotTarget,
    SubtaskSnapshot, complete, create_checkpoint_directory, open_directory, plan_restore, write_subtask,
};
use crate::state::{
    Backend, BackendSettings, Fold, KeyRef, KeyedState, RocksSettings, SnapshotForm, StateDescriptor, StateHandle, TimeDomain,
};
use crate::storage::LocalStorage;
use crate::types::{
    ByteSize, CheckpointId, Column, Datum, JobId, KeyGroupRange, LogicalType, MaxParallelism, OperatorUid, Parallelism, Schema, TypeKind,
    WallTime, hash_keys, key_group_of,
};
use arrow::array::{ArrayRef, Int64Array};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;

const KEYS: i64 = 3_000;

fn key() -> Schema {
    Schema::new(vec![Column { name: "k".to_owned(), data_type: LogicalType::not_null(TypeKind::BigInt) }])
}

fn of(kind: TypeKind) -> LogicalType {
    LogicalType::nullable(kind)
}

fn backend(directory: &TempDir, name: &str) -> Backend {
    let settings = RocksSettings { memory: ByteSize(64 << 10), ..RocksSettings::default() };
    Backend::new(&BackendSettings::RocksDb(Box::new(settings)), directory.path().join(name))
}

/// The keys from 0 on that belong to these key groups, a batch at a time.
fn walk(state: &mut KeyedState, mut with: impl FnMut(&mut KeyedState, i64, KeyRef)) {
    let (own, max) = (state.key_groups(), state.max_parallelism());
    for start in (0..KEYS).step_by(500) {
        let all: ArrayRef = Arc::new(Int64Array::from_iter_values(start..start + 500));
        let (mut hashes, mut found) = (Vec::new(), Vec::new());
        hash_keys(&[all], 500, &mut hashes).unwrap();
        let batch: Vec<(i64, u64)> = (start..).zip(hashes).filter(|(_, hash)| own.contains(key_group_of(*hash, max))).collect();
        let (keys, hashes): (Vec<i64>, Vec<u64>) = batch.into_iter().unzip();
        state.make_room().unwrap();
        state.keys(&[Arc::new(Int64Array::from(keys.clone())) as ArrayRef], &hashes, &mut found).unwrap();
        for (key, found) in keys.into_iter().zip(found) {
            with(state, key, found);
        }
    }
}

fn long(state: &mut KeyedState, handle: StateHandle, key: KeyRef) -> Option<i64> {
    state.value(handle, key).unwrap().and_then(Datum::as_long)
}

/// A native checkpoint of one subtask.
fn checkpoint(state: &mut KeyedState, directory: &TempDir, uid: &OperatorUid) -> PathBuf {
    let storage = LocalStorage::shared();
    let id = CheckpointId::new(1);
    let dir = create_checkpoint_directory(&*storage, &directory.path().join("checkpoints"), id).unwrap();
    let target = SnapshotTarget::Directory { storage: Arc::clone(&storage), dir: dir.clone(), sharing: None };
    let keyed = state.snapshot_as(SnapshotForm::Native).unwrap();
    let snapshot = SubtaskSnapshot::keyed(uid.clone(), 0, keyed);
    let written = vec![write_subtask(&target, snapshot).unwrap()];
    let header = ManifestHeader {
        job: JobEntry { name: "j".to_owned(), id: JobId::from_u128(7) },
        checkpoint: id,
        kind: SnapshotKind::Checkpoint,
        time: WallTime(0),
        max_parallelism: state.max_parallelism(),
        options: BTreeMap::new(),
        operators: vec![OperatorHeader { uid: uid.clone(), kind: "KeyedProcess".to_owned(), parallelism: Parallelism::ONE }],
    };
    complete(&target, header, written).unwrap();
    dir
}

#[test]
fn the_states_of_a_function_are_renamed_dropped_widened_and_divided_anew_out_of_the_rows_that_they_share() {
    let directory = TempDir::new().unwrap();
    let uid = OperatorUid::new("visits");
    let max = MaxParallelism::new(128).unwrap();
    let mut state =
        KeyedState::new(KeyGroupRange::of_subtask(max, Parallelism::ONE, 0), max, Vec::new()).on(&backend(&directory, "a"), "0");
    let count = state.register(StateDescriptor::value("count", &key(), of(TypeKind::Int)), Fold::None).unwrap();
    let other = state.register(StateDescriptor::value("other", &key(), of(TypeKind::String)), Fold::None).unwrap();
    let seen = state.register(StateDescriptor::map("seen", &key(), of(TypeKind::String), of(TypeKind::Int)), Fold::None).unwrap();
    let timers = state.register_timers(&key()).unwrap();
    walk(&mut state, |state, key, found| {
        state.set_value(count, found, Datum::Long(key)).unwrap();
        state.set_value(other, found, Datum::from("text")).unwrap();
        state.map_put(seen, found, Datum::from("a"), Datum::Long(key)).unwrap();
        state.map_put(seen, found, Datum::from("b"), Datum::Long(-key)).unwrap();
        state.register_timer(timers, TimeDomain::EventTime, found, key).unwrap();
    });
    let dir = checkpoint(&mut state, &directory, &uid);
    let open = open_directory(LocalStorage::shared(), &dir).unwrap();
    let operator = &open.manifest().operators[0];
    let keys = KEYS as u64;
    let listed = |name: &str| {
        let state = operator.keyed_states.iter().find(|state| state.descriptor.name == name).unwrap();
        (operator.rows_of(state), operator.bytes_of(state).0)
    };
    let (rows, bytes): (Vec<u64>, Vec<u64>) = ["count", "other", "seen", "timers"].map(listed).into_iter().unzip();
    assert_eq!(rows, [keys, keys, 2 * keys, keys]);
    assert!(bytes.iter().all(|bytes| *bytes > 0) && bytes.iter().sum::<u64>() <= open.manifest().bytes().0, "{bytes:?}");

    let now = [
        StateDescriptor::value("n", &key(), of(TypeKind::BigInt)),
        StateDescriptor::map("seen", &key(), of(TypeKind::String), of(TypeKind::BigInt)),
        StateDescriptor::timers(&key()),
    ];
    let job = OperatorStates {
        uid: uid.clone(),
        keyed: now.iter().cloned().map(Arc::new).collect(),
        operator_states: Vec::new(),
        parallelism: Parallelism::new(3).unwrap(),
        retracts: false,
    };
    let rules = RestoreRules {
        states: vec![("visits/count".to_owned(), "n".to_owned())],
        drop: vec!["visits/other".to_owned()],
        ..RestoreRules::default()
    };
    let max = MaxParallelism::new(300).unwrap();
    let request = RestoreRequest { path: "/c", max_parallelism: Some(max), allow_non_restored: false, rules: &rules };
    let plan = plan_restore(open.manifest(), &[job], request).accepted().unwrap();
    assert!(plan.states.iter().any(|state| state.name == "n" && matches!(state.outcome, Outcome::Converted(_)) && state.rows == keys));
    let open = open.planned(&plan);
    let (mut met, mut fired) = (0, 0);
    for (index, backend) in
        (0..3).zip([&backend(&directory, "b"), &Backend::new(&BackendSettings::HashMap, directory.path().join("c"))].iter().cycle())
    {
        let own = KeyGroupRange::of_subtask(max, Parallelism::new(3).unwrap(), index);
        let state = KeyedState::new(own, max, open.keyed_state(&uid, own).unwrap());
        let mut state = state.restored_from(open.stores(&uid, own), backend).on(backend, &index.to_string());
        // In another order than before.
        let timers = state.register_timers(&key()).unwrap();
        let seen = state.register(now[1].clone(), Fold::None).unwrap();
        let n = state.register(now[0].clone(), Fold::None).unwrap();
        walk(&mut state, |state, key, found| {
            assert_eq!(long(state, n, found), Some(key));
            let entries: Vec<_> = state.map_entries(seen, found).unwrap().map(|(_, value)| value.as_long()).collect();
            assert_eq!(entries, [Some(key), Some(-key)]);
            met += 1;
        });
        while state.next_due(timers, TimeDomain::EventTime, KEYS).unwrap().is_some() {
            fired += 1;
        }
    }
    assert_eq!((met, fired), (KEYS, KEYS));
}
