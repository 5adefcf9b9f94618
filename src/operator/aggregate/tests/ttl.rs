//! Groups that expire: what comes out, what is kept, what is saved.

use super::model::{Model, Row, World, input_batch, key_of, memory_strategy, model_spec, owners, row_strategy};
use super::*;
use crate::types::WallTime;
use std::time::Duration;

const HOUR: i64 = 3_600_000;

fn with_ttl(spec: AggregateSpec, millis: u64) -> GroupAggregateFactory {
    GroupAggregateFactory::new(AggregateSpec { state_ttl: Some(Duration::from_millis(millis)), ..spec })
}

fn hourly(spec: AggregateSpec) -> GroupAggregateFactory {
    with_ttl(spec, HOUR as u64)
}

/// What rows of this key give at a time.
fn at(harness: &mut OperatorHarness, millis: i64, (key, values): (&str, &[i32]), kinds: &str) -> Vec<String> {
    harness.set_time(WallTime(millis));
    let schema = spec(KV, &[0], vec![]).input;
    let values: Vec<Option<i32>> = values.iter().copied().map(Some).collect();
    let keys = vec![key; values.len()];
    rows(&harness.process(batch(&schema, vec![texts(&keys), ints(&values)], kinds)).unwrap()).unwrap()
}

fn saved_rows(harness: &mut OperatorHarness) -> usize {
    let states = OperatorHarness::read(harness.snapshot().unwrap()).unwrap();
    states.iter().flat_map(|state| &state.batches).map(RecordBatch::num_rows).sum()
}

#[test]
fn a_group_lives_for_the_ttl_after_its_last_row_and_then_begins_anew() {
    let calls = vec![call(F::CountStar, None, "n", TypeKind::BigInt), call(F::Sum, Some(1), "s", TypeKind::Int)];
    let mut harness = OperatorHarness::new(&hourly(spec(KV, &[0], calls))).unwrap();
    assert_eq!(at(&mut harness, 0, ("a", &[1]), "+I"), ["+I[a, 1, 1]"]);
    assert_eq!(at(&mut harness, HOUR - 1, ("a", &[2]), "+I"), ["-U[a, 1, 1]", "+U[a, 2, 3]"]);
    assert_eq!(at(&mut harness, 2 * HOUR - 2, ("a", &[3]), "-U"), ["-U[a, 2, 3]", "+U[a, 1, 0]"], "a retraction prolongs it, too");
    assert_eq!(
        at(&mut harness, 3 * HOUR - 2, ("a", &[4, 5]), "+I +I"),
        ["+I[a, 1, 4]", "-U[a, 1, 4]", "+U[a, 2, 9]"],
        "to the millisecond"
    );
    assert_eq!(at(&mut harness, 9 * HOUR, ("a", &[4, 5, 6]), "-D -U +U"), ["+I[a, 1, 6]"], "nothing is taken back from what is forgotten");
    assert_eq!(at(&mut harness, 9 * HOUR, ("a", &[6]), "-D"), ["-D[a, 1, 6]"]);
    assert_eq!(saved_rows(&mut harness), 0);
}

#[test]
fn with_a_ttl_a_row_that_changes_no_result_comes_out_all_the_same() {
    let max = vec![call(F::Max, Some(1), "m", TypeKind::Int)];
    for mini_batch in [false, true] {
        let spec = AggregateSpec { mini_batch, ..spec(KV, &[0], max.clone()) };
        let mut harness = OperatorHarness::new(&hourly(spec.clone())).unwrap();
        assert_eq!(at(&mut harness, 0, ("a", &[5]), "+I"), ["+I[a, 5]"]);
        assert_eq!(at(&mut harness, 1, ("a", &[3]), "+I"), ["-U[a, 5]", "+U[a, 5]"]);
        let upsert = AggregateSpec { emit_update_before: false, ..spec };
        let mut harness = OperatorHarness::new(&hourly(upsert)).unwrap();
        assert_eq!(at(&mut harness, 0, ("a", &[5]), "+I"), ["+I[a, 5]"]);
        assert_eq!(at(&mut harness, 1, ("a", &[3]), "+I"), ["+U[a, 5]"]);
        assert_eq!(at(&mut harness, 2 * HOUR, ("a", &[3]), "+I"), ["+I[a, 3]"]);
    }
}

#[test]
fn a_global_aggregate_expires_and_one_in_batch_mode_does_not() {
    let count = vec![call(F::CountStar, None, "n", TypeKind::BigInt)];
    let mut harness = OperatorHarness::new(&hourly(spec(KV, &[], count.clone()))).unwrap();
    assert_eq!(at(&mut harness, 0, ("a", &[1, 1]), "+I +I"), ["+I[1]", "-U[1]", "+U[2]"]);
    assert_eq!(at(&mut harness, HOUR, ("a", &[1]), "+I"), ["+I[1]"]);
    let bounded = AggregateSpec { batch_mode: true, ..spec(KV, &[0], count) };
    let mut harness = OperatorHarness::new(&hourly(bounded)).unwrap();
    at(&mut harness, 0, ("a", &[1]), "");
    at(&mut harness, 9 * HOUR, ("a", &[1]), "");
    assert_eq!(rows_of(&harness.end_of_input().unwrap(), 0).unwrap(), ["+I[a, 2]"]);
}

#[test]
fn what_has_expired_is_in_no_snapshot_and_leaves_memory_bit_by_bit() {
    let calls = vec![call(F::Max, Some(1), "m", TypeKind::Int), call(F::Min, Some(0), "t", TypeKind::String)];
    let mut harness = OperatorHarness::new(&hourly(spec(KV, &[0], calls))).unwrap();
    let keys: Vec<String> = (0..500).map(|n| format!("key-{n}")).collect();
    for key in &keys {
        at(&mut harness, 0, (key, &[1]), "+I");
    }
    at(&mut harness, HOUR / 2, ("late", &[1]), "+I");
    assert_eq!(saved_rows(&mut harness), 501);
    harness.set_time(WallTime(HOUR));
    harness.flush().unwrap();
    assert_eq!(saved_rows(&mut harness), 1, "whether it was swept yet or not");
    for _ in 0..100 {
        harness.flush().unwrap();
    }
    assert_eq!(harness.groups_in_memory(), 1);
    assert_eq!(at(&mut harness, HOUR, ("key-7", &[2]), "+I"), ["+I[key-7, 2, key-7]"]);
}

#[test]
fn a_ttl_is_saved_and_may_be_changed_removed_and_added() {
    let plain = spec(KV, &[0], vec![call(F::CountStar, None, "n", TypeKind::BigInt)]);
    let mut first = OperatorHarness::new(&hourly(plain.clone())).unwrap();
    at(&mut first, 0, ("a", &[1]), "+I");
    at(&mut first, HOUR / 2, ("b", &[1]), "+I");
    let saved = OperatorHarness::read(first.snapshot().unwrap()).unwrap();
    assert_eq!(saved[0].batches[0].schema().fields().last().unwrap().name(), "expires_at");
    let restored = |factory: &GroupAggregateFactory, saved: &[RestoredState]| {
        OperatorHarness::restored(factory, Parallelism::ONE, 0, saved.to_vec()).unwrap()
    };
    let both = |harness: &mut OperatorHarness, millis: i64| {
        [at(harness, millis, ("a", &[1]), "+I"), at(harness, millis, ("b", &[1]), "+I")].concat()
    };
    assert_eq!(both(&mut restored(&hourly(plain.clone()), &saved), HOUR), ["+I[a, 1]", "-U[b, 1]", "+U[b, 2]"]);
    let shorter = with_ttl(plain.clone(), HOUR as u64 / 4);
    assert_eq!(both(&mut restored(&shorter, &saved), HOUR * 3 / 4), ["+I[a, 1]", "+I[b, 1]"], "it counts from the last row");
    let forever = GroupAggregateFactory::new(plain.clone());
    let mut kept = restored(&forever, &saved);
    assert_eq!(both(&mut kept, 99 * HOUR), ["-U[a, 1]", "+U[a, 2]", "-U[b, 1]", "+U[b, 2]"]);
    let saved = OperatorHarness::read(kept.snapshot().unwrap()).unwrap();
    let mut again = restored(&hourly(plain), &saved);
    // What was saved without TTL begins to age when it is first looked at.
    again.set_time(WallTime(100 * HOUR));
    again.flush().unwrap();
    assert_eq!(at(&mut again, 101 * HOUR - 1, ("a", &[1]), "+I"), ["-U[a, 2]", "+U[a, 3]"]);
    assert_eq!(at(&mut again, 101 * HOUR, ("b", &[1]), "+I"), ["+I[b, 1]"]);
}

/// The model, whose groups expire.
#[derive(Debug, Default)]
struct Expiring {
    model: Model,
    last: BTreeMap<Vec<String>, i64>,
}

impl Expiring {
    /// The rows of a key's group at a time.
    fn group(&mut self, key: &[String], now: i64, ttl: i64) -> &[Row] {
        if self.last.get(key).is_some_and(|last| last + ttl <= now) {
            self.model.groups.remove(key);
        }
        self.model.groups.get(key).map_or(&[], Vec::as_slice)
    }

    fn apply(&mut self, row: &Row, keys: usize, update_before: bool, now: i64) -> Vec<String> {
        self.last.insert(key_of(row, keys), now);
        self.model.apply(row, keys, update_before)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn with_a_ttl_the_changelog_is_the_models_over_all_backends_and_restores(
        steps in prop::collection::vec(row_strategy(), 1..200),
        sizes in prop::collection::vec((1_usize..20, 0_i64..30, any::<bool>()), 1..12),
        keys in 0_usize..4,
        (append, update_before) in (any::<bool>(), any::<bool>()),
        moves in prop::collection::vec(prop::option::weighted(0.3, (any::<bool>(), 1_usize..4, 0_i64..3)), 1..8),
        (memory, mut ttl) in (memory_strategy(), 5_i64..60),
    ) {
        let world = World::new(memory);
        let mode = if append { ChangelogMode::AppendOnly } else { ChangelogMode::Retract };
        let mut factory = with_ttl(model_spec(keys, mode, update_before), ttl as u64);
        let mut subtasks = vec![world.alone(&factory)];
        let mut model = Expiring { model: Model { always: true, ..Model::default() }, ..Expiring::default() };
        let (mut rest, mut sizes, mut moves) = (steps.as_slice(), sizes.iter().cycle(), moves.iter().cycle());
        let mut now = 1_000;
        while !rest.is_empty() {
            let (size, wait, flush) = *sizes.next().unwrap();
            let (steps, later) = rest.split_at(rest.len().min(size));
            rest = later;
            now += wait;
            // Retractions take back what is there at that moment, or something of a group that is not there (any more).
            let (mut rows_in, mut expected) = (Vec::new(), Vec::new());
            for (insert, row, index) in steps {
                let group = model.group(&key_of(row, keys), now, ttl);
                let row = match append || *insert {
                    true => row.clone(),
                    false if group.is_empty() => Row { insert: false, ..row.clone() },
                    false => Row { insert: false, ..group[index.index(group.len())].clone() },
                };
                expected.push(model.apply(&row, keys, update_before, now));
                rows_in.push(row);
            }
            let input = input_batch(&factory.spec().input, &rows_in, append);
            let owners = owners(&input, &factory.spec().group_by, &subtasks[0], Parallelism::new(subtasks.len()).unwrap());
            for (index, subtask) in subtasks.iter_mut().enumerate() {
                subtask.set_time(WallTime(now));
                if flush {
                    subtask.flush().unwrap();
                }
                let mine: Vec<u32> = (0..rows_in.len() as u32).filter(|at| owners[*at as usize] == index).collect();
                let expected: Vec<String> = mine.iter().flat_map(|at| expected[*at as usize].clone()).collect();
                let part = input.take(&UInt32Array::from(mine)).unwrap();
                prop_assert_eq!(rows(&subtask.process(part).unwrap()).unwrap(), expected);
            }
            if let Some((native, parallelism, shorter)) = moves.next().unwrap() {
                ttl = (ttl - shorter).max(1);
                factory = with_ttl(model_spec(keys, mode, update_before), ttl as u64);
                subtasks = world.restore(&factory, &mut subtasks, (*native && memory.is_some(), *parallelism));
            }
        }
    }
}
