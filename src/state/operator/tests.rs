//! Operator states through snapshots, at any parallelism.

use super::*;
use crate::types::{LogicalType, TypeKind};
use proptest::prelude::*;

fn parallelism(subtasks: usize) -> Parallelism {
    Parallelism::new(subtasks).unwrap()
}

fn null(kind: TypeKind) -> LogicalType {
    LogicalType::nullable(kind)
}

fn list() -> OperatorStateDescriptor {
    OperatorStateDescriptor::list("rows", null(TypeKind::BigInt))
}

fn broadcast() -> OperatorStateDescriptor {
    OperatorStateDescriptor::broadcast("rules", null(TypeKind::String), null(TypeKind::BigInt))
}

/// What all subtasks saved, as it is restored.
fn saved(states: &[OperatorState]) -> Vec<RestoredOperatorState> {
    let mut saved: Vec<RestoredOperatorState> = Vec::new();
    for snapshot in states.iter().flat_map(OperatorState::snapshot) {
        let batches: Vec<_> = snapshot.batches.map(Result::unwrap).collect();
        match saved.iter_mut().find(|other| other.descriptor == snapshot.descriptor) {
            Some(other) => other.batches.extend(batches),
            None => {
                saved.push(RestoredOperatorState { descriptor: snapshot.descriptor, parallelism: parallelism(states.len()), batches });
            }
        }
    }
    saved
}

/// Subtasks with these lists.
fn with_lists(descriptor: &OperatorStateDescriptor, lists: &[Vec<i64>]) -> Vec<OperatorState> {
    let state = |(subtask, list): (usize, &Vec<i64>)| {
        let mut state = OperatorState::new(subtask, parallelism(lists.len()), Vec::new());
        let handle = state.register_list(descriptor.clone()).unwrap();
        for value in list {
            state.list_add(handle, Datum::Long(*value)).unwrap();
        }
        state
    };
    lists.iter().enumerate().map(state).collect()
}

/// The lists after a restore at another parallelism.
fn restored_lists(descriptor: &OperatorStateDescriptor, lists: &[Vec<i64>], subtasks: usize) -> Vec<Vec<i64>> {
    let saved = saved(&with_lists(descriptor, lists));
    let list = |subtask| {
        let mut state = OperatorState::new(subtask, parallelism(subtasks), saved.clone());
        let handle = state.register_list(descriptor.clone()).unwrap();
        state.list(handle).unwrap().iter().map(|value| value.as_long().unwrap()).collect()
    };
    (0..subtasks).map(list).collect()
}

#[test]
fn lists_are_put_one_after_the_other_and_divided_evenly_the_first_ones_getting_one_more() {
    let lists = [vec![1, 2, 3, 4], vec![], vec![5, 6, 7]];
    assert_eq!(restored_lists(&list(), &lists, 2), [vec![1, 2, 3, 4], vec![5, 6, 7]]);
    assert_eq!(restored_lists(&list(), &lists, 5), [vec![1, 2], vec![3, 4], vec![5], vec![6], vec![7]]);
    assert_eq!(restored_lists(&list(), &lists, 8)[7], Vec::<i64>::new());
    assert_eq!(restored_lists(&list(), &lists, 3), lists, "at the same parallelism everybody has their own");
}

#[test]
fn every_subtask_gets_the_whole_of_a_union_list() {
    let union = OperatorStateDescriptor::union_list("offsets", null(TypeKind::BigInt));
    let lists = [vec![3], vec![1, 2]];
    for subtasks in [1, 2, 4] {
        assert_eq!(restored_lists(&union, &lists, subtasks), vec![vec![3, 1, 2]; subtasks]);
    }
}

/// Subtasks whose copies tell whose they are.
fn with_copies(subtasks: usize) -> Vec<OperatorState> {
    let state = |subtask: usize| {
        let mut state = OperatorState::new(subtask, parallelism(subtasks), Vec::new());
        let handle = state.register_broadcast(broadcast()).unwrap();
        state.broadcast_put(handle, Datum::text("owner"), Datum::Long(subtask as i64)).unwrap();
        state
    };
    (0..subtasks).map(state).collect()
}

#[test]
fn a_subtask_reads_its_own_copy_of_broadcast_state_and_new_ones_take_the_copies_in_turn() {
    let saved = saved(&with_copies(2));
    for (subtasks, expected) in [(1, vec![0]), (2, vec![0, 1]), (5, vec![0, 1, 0, 1, 0])] {
        let copy = |subtask| {
            let mut state = OperatorState::new(subtask, parallelism(subtasks), saved.clone());
            let handle = state.register_broadcast(broadcast()).unwrap();
            state.broadcast_get(handle, &Datum::text("owner")).unwrap().unwrap().as_long().unwrap()
        };
        assert_eq!((0..subtasks).map(copy).collect::<Vec<_>>(), expected);
    }
}

#[test]
fn a_snapshot_keeps_what_there_was_and_the_next_write_copies_it() {
    let mut state = OperatorState::new(0, Parallelism::ONE, Vec::new());
    let (rows, rules) = (state.register_list(list()).unwrap(), state.register_broadcast(broadcast()).unwrap());
    for n in 0..200_000 {
        state.list_add(rows, Datum::Long(n)).unwrap();
        state.broadcast_put(rules, Datum::text(format!("{n:06}")), Datum::Null).unwrap();
    }
    let snapshot = state.snapshot();
    state.list_set(rows, Vec::new()).unwrap();
    state.broadcast_clear(rules).unwrap();
    for state in snapshot {
        let batches: Vec<_> = state.batches.map(Result::unwrap).collect();
        assert!(batches.len() > 1 && batches.iter().all(|batch| batch.schema() == state.descriptor.columns.to_arrow()));
        assert_eq!(batches.iter().map(arrow::array::RecordBatch::num_rows).sum::<usize>(), 200_000, "{}", state.descriptor.name);
    }
    assert!(state.list(rows).unwrap().is_empty() && state.broadcast_entries(rules).unwrap().len() == 0);
    assert!(state.snapshot().into_iter().all(|state| state.batches.count() == 0));
}

#[test]
fn what_was_saved_is_widened_and_what_cannot_be_is_refused() {
    let narrow = OperatorStateDescriptor::list("rows", null(TypeKind::Int));
    let saved = saved(&with_lists(&narrow, &[vec![1, 2]]));
    let register = |descriptor: OperatorStateDescriptor| {
        let mut state = OperatorState::new(0, Parallelism::ONE, saved.clone());
        let handle = state.register_list(descriptor)?;
        Ok::<_, StateError>(state.list(handle)?.to_vec())
    };
    assert_eq!(register(list()).unwrap(), [Datum::Long(1), Datum::Long(2)]);
    let text = register(OperatorStateDescriptor::list("rows", null(TypeKind::String))).unwrap_err().to_string();
    assert!(text.contains("value was INT and is STRING"), "{text}");
    let union = register(OperatorStateDescriptor::union_list("rows", null(TypeKind::Int))).unwrap_err().to_string();
    assert!(union.contains("it was saved as operator-list state and is union-list state now"), "{union}");
}

#[test]
fn what_no_snapshot_writes_is_refused() {
    let broken = |parallelism: usize, states: &[OperatorState]| {
        let mut saved = saved(states);
        saved[0].parallelism = Parallelism::new(parallelism).unwrap();
        let mut state = OperatorState::new(0, Parallelism::ONE, saved);
        state.register_broadcast(broadcast()).map(|_| ()).unwrap_err().to_string()
    };
    assert!(broken(1, &with_copies(2)).contains("a row is of subtask Some(1), but 1 subtasks saved it"));
    let twice: Vec<OperatorState> = vec![with_copies(1), with_copies(1)].into_iter().flatten().collect();
    assert!(broken(1, &twice).contains("a key was saved twice in one copy"));
}

#[test]
fn names_are_unique_and_values_are_not_null() {
    let mut state = OperatorState::new(0, Parallelism::ONE, Vec::new());
    let handle = state.register_list(list()).unwrap();
    assert!(state.register_list(list()).unwrap_err().to_string().contains("rows is registered twice"));
    let in_flight = OperatorStateDescriptor::list("in-flight-0", null(TypeKind::BigInt));
    assert!(state.register_list(in_flight).unwrap_err().to_string().contains("choose another one"));
    assert!(state.list_add(handle, Datum::Null).unwrap_err().to_string().contains("a list takes no NULL"));
    let rules = state.register_broadcast(broadcast()).unwrap();
    let error = state.broadcast_put(rules, Datum::Null, Datum::Long(1)).unwrap_err().to_string();
    assert_eq!(error, "state rules: the key of a broadcast state takes no NULL");
    assert!(state.list(OperatorListHandle::default()).is_err() && state.broadcast_clear(BroadcastHandle::default()).is_err());
}

proptest! {
    /// However often the parallelism changes, each element is somewhere exactly once, and in its order.
    #[test]
    fn nothing_is_lost_or_doubled_on_the_way_through_any_parallelism(
        lists in proptest::collection::vec(proptest::collection::vec(0i64..1000, 0..20), 1..6),
        changes in proptest::collection::vec(1usize..7, 1..5),
    ) {
        let all: Vec<i64> = lists.iter().flatten().copied().collect();
        let mut now = lists;
        for subtasks in changes {
            now = restored_lists(&list(), &now, subtasks);
            prop_assert_eq!(now.iter().flatten().copied().collect::<Vec<_>>(), all.clone());
            prop_assert!(now.len() == subtasks);
        }
    }
}
