//! The operator against Flink's rules: by examples, and by a model that keeps all rows.

mod model;
mod ttl;

use super::{AggregateCall, AggregateFunction as F, AggregateSpec, GroupAggregateFactory};
use crate::state::{
    Backend, BackendSettings, FileSource, ImageFile, KeyedState, RestoredState, RocksSettings, SavedState, StoreFile, StoreFiles,
    StoreImage,
};
use crate::testing::operator::{OperatorHarness, rows, rows_of};
use crate::types::{
    Batch, ByteSize, ChangelogMode, Column, KeyGroupRange, LogicalType, MaxParallelism, Parallelism, RowKind, Schema, TypeKind, hash_keys,
    key_group_of, subtask_of,
};
use arrow::array::{
    ArrayRef, AsArray, BooleanArray, Decimal128Array, Float32Array, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
    UInt32Array,
};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

fn column(name: &str, kind: TypeKind) -> Column {
    Column { name: name.to_owned(), data_type: LogicalType::nullable(kind) }
}

fn call(function: F, argument: Option<usize>, name: &str, kind: TypeKind) -> AggregateCall {
    AggregateCall { function, distinct: false, argument, filter: None, output: column(name, kind) }
}

fn spec(input: &[(&str, TypeKind)], group_by: &[usize], aggregates: Vec<AggregateCall>) -> AggregateSpec {
    AggregateSpec {
        input: Schema::new(input.iter().map(|(name, kind)| column(name, kind.clone())).collect()),
        group_by: group_by.to_vec(),
        aggregates,
        input_mode: ChangelogMode::Retract,
        emit_update_before: true,
        mini_batch: false,
        state_ttl: None,
        batch_mode: false,
    }
}

fn batch(schema: &Schema, columns: Vec<ArrayRef>, kinds: &str) -> Batch {
    let columns = RecordBatch::try_new(schema.to_arrow(), columns).unwrap();
    let kind = |text: &str| match text {
        "+I" => RowKind::Insert,
        "-U" => RowKind::UpdateBefore,
        "+U" => RowKind::UpdateAfter,
        "-D" => RowKind::Delete,
        other => panic!("{other}"),
    };
    if kinds.is_empty() { Batch::append(columns) } else { Batch::changelog(columns, kinds.split(' ').map(kind).collect()).unwrap() }
}

/// Runs one batch through a new operator.
fn run(spec: AggregateSpec, columns: Vec<ArrayRef>, kinds: &str) -> Vec<String> {
    let input = batch(&spec.input, columns, kinds);
    let mut harness = OperatorHarness::new(&GroupAggregateFactory::new(spec)).unwrap();
    rows(&harness.process(input).unwrap()).unwrap()
}

fn ints(values: &[Option<i32>]) -> ArrayRef {
    Arc::new(Int32Array::from(values.to_vec()))
}

fn texts(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

const KV: &[(&str, TypeKind)] = &[("k", TypeKind::String), ("v", TypeKind::Int)];

#[test]
fn every_row_updates_its_group_and_the_last_retraction_deletes_it() {
    let sum = vec![call(F::CountStar, None, "n", TypeKind::BigInt), call(F::Sum, Some(1), "s", TypeKind::Int)];
    let columns = || vec![texts(&["a", "a", "b", "a", "a", "a"]), ints(&[Some(1), Some(2), None, Some(1), Some(2), Some(9)])];
    let kinds = "+I +I +I -D -U +I";
    let doubled = run(spec(KV, &[0], sum.clone()), columns(), kinds);
    assert_eq!(
        doubled,
        ["+I[a, 1, 1]", "-U[a, 1, 1]", "+U[a, 2, 3]", "+I[b, 1, null]", "-U[a, 2, 3]", "+U[a, 1, 2]", "-D[a, 1, 2]", "+I[a, 1, 9]"]
    );
    let upsert = AggregateSpec { emit_update_before: false, ..spec(KV, &[0], sum) };
    let upserted = run(upsert, columns(), kinds);
    assert_eq!(upserted, ["+I[a, 1, 1]", "+U[a, 2, 3]", "+I[b, 1, null]", "+U[a, 1, 2]", "-D[a, 1, 2]", "+I[a, 1, 9]"]);
}

#[test]
fn a_row_that_changes_no_result_emits_nothing_and_an_unknown_group_cannot_be_retracted() {
    let max = vec![call(F::Max, Some(1), "m", TypeKind::Int)];
    let columns = vec![texts(&["z", "a", "a", "a", "a"]), ints(&[Some(7), Some(5), Some(3), Some(5), Some(3)])];
    assert_eq!(run(spec(KV, &[0], max), columns, "-D +I +I -D -D"), ["+I[a, 5]", "-U[a, 5]", "+U[a, 3]", "-D[a, 3]"]);
}

#[test]
fn without_group_by_there_is_one_row_and_in_batch_mode_even_over_nothing() {
    let calls = vec![call(F::Count, Some(1), "n", TypeKind::BigInt), call(F::Sum, Some(1), "s", TypeKind::Int)];
    let stream = AggregateSpec { emit_update_before: false, ..spec(KV, &[], calls.clone()) };
    assert_eq!(run(stream.clone(), vec![texts(&["a", "b"]), ints(&[Some(1), None])], ""), ["+I[1, 1]"]);
    let mut streaming = OperatorHarness::new(&GroupAggregateFactory::new(stream.clone())).unwrap();
    assert!(streaming.end_of_input().unwrap().is_empty());
    let factory = GroupAggregateFactory::new(AggregateSpec { batch_mode: true, ..stream });
    let mut bounded = OperatorHarness::new(&factory).unwrap();
    assert_eq!(rows_of(&bounded.end_of_input().unwrap(), 0).unwrap(), ["+I[0, null]"]);
    let two = Parallelism::new(2).unwrap();
    let mut emitted = Vec::new();
    for index in 0..2 {
        let mut subtask = OperatorHarness::restored(&factory, two, index, vec![]).unwrap();
        emitted.extend(rows_of(&subtask.end_of_input().unwrap(), 0).unwrap());
    }
    assert_eq!(emitted, ["+I[0, null]"], "one subtask of two owns the only group");
}

#[test]
fn in_batch_mode_each_group_comes_out_once_in_the_order_of_arrival() {
    let calls = vec![call(F::CountStar, None, "n", TypeKind::BigInt)];
    let factory = GroupAggregateFactory::new(AggregateSpec { batch_mode: true, ..spec(KV, &[0], calls) });
    let mut harness = OperatorHarness::new(&factory).unwrap();
    let schema = &factory.spec().input;
    for (keys, kinds) in [(["d", "b", "x"], "+I +I +I"), (["x", "a", "b"], "-D +I +I"), (["y", "d", "d"], "+I -D +I")] {
        assert!(harness.process(batch(schema, vec![texts(&keys), ints(&[None; 3])], kinds)).unwrap().is_empty());
    }
    assert_eq!(rows_of(&harness.end_of_input().unwrap(), 0).unwrap(), ["+I[d, 1]", "+I[b, 2]", "+I[a, 1]", "+I[y, 1]"]);
}

#[test]
fn with_mini_batch_a_group_is_updated_once_a_batch() {
    let calls = vec![call(F::Sum, Some(1), "s", TypeKind::Int)];
    let factory = GroupAggregateFactory::new(AggregateSpec { mini_batch: true, ..spec(KV, &[0], calls) });
    let mut harness = OperatorHarness::new(&factory).unwrap();
    let schema = &factory.spec().input;
    let mut run = |keys: &[&str], values: &[Option<i32>], kinds: &str| {
        rows(&harness.process(batch(schema, vec![texts(keys), ints(values)], kinds)).unwrap()).unwrap()
    };
    assert_eq!(run(&["b", "a", "b"], &[Some(1), Some(2), Some(3)], "+I +I +I"), ["+I[b, 4]", "+I[a, 2]"]);
    assert_eq!(run(&["a", "b", "c", "c"], &[Some(0), Some(5), Some(1), Some(1)], "+I +I +I -D"), ["-U[b, 4]", "+U[b, 9]"]);
    assert_eq!(run(&["a", "a", "b"], &[Some(2), Some(0), Some(1)], "-D -D -D"), ["-D[a, 2]", "-U[b, 9]", "+U[b, 8]"]);
}

#[test]
fn integers_wrap_and_averages_truncate_as_in_java() {
    let calls = vec![call(F::Sum, Some(1), "s", TypeKind::Int), call(F::Avg, Some(1), "a", TypeKind::Int)];
    let spec = AggregateSpec { emit_update_before: false, ..spec(KV, &[0], calls) };
    let columns = vec![texts(&["a", "a", "b", "b"]), ints(&[Some(i32::MAX), Some(2), Some(-3), Some(-4)])];
    let last: Vec<String> = run(spec, columns, "").into_iter().filter(|row| row.starts_with("+U")).collect();
    assert_eq!(last, ["+U[a, -2147483647, 1073741824]", "+U[b, -7, -3]"]);
}

#[test]
fn decimals_keep_their_scale_and_averages_round_half_up_to_the_output_scale() {
    let input = &[("k", TypeKind::String), ("d", TypeKind::Decimal(10, 2))];
    let calls = vec![call(F::Sum, Some(1), "s", TypeKind::Decimal(38, 2)), call(F::Avg, Some(1), "a", TypeKind::Decimal(38, 6))];
    let spec = AggregateSpec { emit_update_before: false, ..spec(input, &[0], calls) };
    let decimals: ArrayRef = Arc::new(Decimal128Array::from(vec![100, 100, -1]).with_precision_and_scale(10, 2).unwrap());
    let out = run(spec, vec![texts(&["a", "a", "a"]), decimals], "");
    assert_eq!(out, ["+I[a, 1.00, 1.000000]", "+U[a, 2.00, 1.000000]", "+U[a, 1.99, 0.663333]"]);
}

#[test]
fn floats_are_ordered_as_in_java_and_both_zeroes_are_one_group() {
    let input = &[("k", TypeKind::Double), ("v", TypeKind::Float)];
    let calls = vec![call(F::Min, Some(1), "a", TypeKind::Float), call(F::Max, Some(1), "b", TypeKind::Float)];
    for mode in [ChangelogMode::AppendOnly, ChangelogMode::Retract] {
        let spec = AggregateSpec { input_mode: mode, emit_update_before: false, ..spec(input, &[0], calls.clone()) };
        let keys: ArrayRef = Arc::new(Float64Array::from(vec![-0.0, 0.0, 0.0]));
        let values: ArrayRef = Arc::new(Float32Array::from(vec![1.5, f32::NAN, -0.0]));
        let kinds = if mode == ChangelogMode::AppendOnly { "" } else { "+I +I +I" };
        assert_eq!(run(spec, vec![keys, values], kinds), ["+I[0.0, 1.5, 1.5]", "+U[0.0, 1.5, NaN]", "+U[0.0, -0.0, NaN]"]);
    }
}

#[test]
fn distinct_counts_a_value_when_its_first_copy_comes_and_its_last_copy_goes_and_only_past_the_filter() {
    let input = &[("k", TypeKind::String), ("v", TypeKind::Int), ("f", TypeKind::Boolean)];
    let mut count = call(F::Count, Some(1), "n", TypeKind::BigInt);
    (count.distinct, count.filter) = (true, Some(2));
    let mut sum = call(F::Sum, Some(1), "s", TypeKind::Int);
    sum.distinct = true;
    let spec = AggregateSpec { emit_update_before: false, ..spec(input, &[0], vec![count, sum]) };
    let filter: ArrayRef = Arc::new(BooleanArray::from(vec![Some(true), None, Some(true), Some(false), Some(true), Some(true)]));
    let values = ints(&[Some(5), Some(7), Some(5), Some(8), Some(5), Some(5)]);
    let out = run(spec, vec![texts(&["a"; 6]), values, filter], "+I +I +I +I -D -D");
    assert_eq!(out, ["+I[a, 1, 5]", "+U[a, 1, 12]", "+U[a, 1, 20]", "+U[a, 0, 15]"]);
}

#[test]
fn types_that_a_function_cannot_take_are_refused_by_name() {
    let bad = |aggregate: AggregateCall| {
        let factory = GroupAggregateFactory::new(spec(KV, &[0], vec![aggregate]));
        assert!(crate::operator::OperatorFactory::states(&factory).is_empty());
        OperatorHarness::new(&factory).unwrap_err().to_string()
    };
    let error = bad(call(F::Sum, Some(0), "s", TypeKind::Int));
    assert!(error.starts_with("SUM(k): SUM cannot be computed over String"), "{error}");
    assert!(bad(call(F::Max, Some(9), "s", TypeKind::Int)).contains("no column 9"));
    let mut filtered = call(F::CountStar, None, "n", TypeKind::BigInt);
    filtered.filter = Some(1);
    assert!(bad(filtered).contains("must be BOOLEAN"));
}

#[test]
fn a_large_batch_gives_the_same_changelog_as_its_rows_in_small_batches() {
    let calls = vec![call(F::CountStar, None, "n", TypeKind::BigInt), call(F::Max, Some(1), "m", TypeKind::Int)];
    let many = 5_000;
    let keys: ArrayRef = Arc::new((0..many).map(|i| Some(format!("k{}", i * i % 997))).collect::<StringArray>());
    let values: ArrayRef = Arc::new((0..many).map(|i| (i % 7 != 0).then_some(i * 31 % 1_009)).collect::<Int32Array>());
    for update_before in [false, true] {
        for mode in [ChangelogMode::AppendOnly, ChangelogMode::Retract] {
            let spec = AggregateSpec { emit_update_before: update_before, input_mode: mode, ..spec(KV, &[0], calls.clone()) };
            let kinds = if mode == ChangelogMode::AppendOnly { String::new() } else { vec!["+I"; many as usize].join(" ") };
            let input = batch(&spec.input, vec![keys.clone(), values.clone()], &kinds);
            let factory = GroupAggregateFactory::new(spec);
            let (mut whole, mut parts) = (OperatorHarness::new(&factory).unwrap(), OperatorHarness::new(&factory).unwrap());
            let whole = whole.process(input.clone()).unwrap();
            let parts: Vec<Batch> = (0..many as usize).step_by(100).flat_map(|at| parts.process(input.slice(at, 100)).unwrap()).collect();
            assert_eq!(rows(&whole).unwrap(), rows(&parts).unwrap());
        }
    }
}

/// The state of `COUNT(*), SUM(v)` per key over three rows, as a snapshot saves it.
fn saved(factory: &GroupAggregateFactory) -> RestoredState {
    let mut harness = OperatorHarness::new(factory).unwrap();
    let input = batch(&factory.spec().input, vec![ints(&[Some(1), None, Some(1)]), ints(&[Some(5), Some(6), Some(7)])], "");
    harness.process(input).unwrap();
    OperatorHarness::read(harness.snapshot().unwrap()).unwrap().remove(0)
}

fn count_and_sum(key: TypeKind) -> GroupAggregateFactory {
    let calls = vec![call(F::CountStar, None, "n", TypeKind::BigInt), call(F::Sum, Some(1), "s", TypeKind::Int)];
    let spec = spec(&[("k", key), ("v", TypeKind::Int)], &[0], calls);
    GroupAggregateFactory::new(AggregateSpec { emit_update_before: false, input_mode: ChangelogMode::AppendOnly, ..spec })
}

/// What one more row for key 1 and one for NULL give after a restore of `state`.
fn go_on(factory: &GroupAggregateFactory, state: RestoredState, keys: ArrayRef) -> Result<Vec<String>, String> {
    let mut harness = OperatorHarness::restored(factory, Parallelism::ONE, 0, vec![state]).map_err(|error| error.to_string())?;
    rows(&harness.process(batch(&factory.spec().input, vec![keys, ints(&[Some(1), Some(1)])], "")).unwrap()).map_err(|e| e.to_string())
}

#[test]
fn a_snapshot_has_typed_columns_sorted_by_key_group() {
    let state = saved(&count_and_sum(TypeKind::Int));
    let columns = state.batches[0].schema();
    let names: Vec<&str> = columns.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["key_group", "k", "records", "SUM(v)"]);
    assert_eq!(columns, state.descriptor.columns().to_arrow());
    let groups = state.batches[0].column(0).as_primitive::<arrow::datatypes::Int32Type>().values().to_vec();
    assert!(groups.is_sorted() && groups.len() == 2, "{groups:?}");
}

#[test]
fn an_edited_savepoint_is_restored_by_its_keys_and_not_by_its_key_groups() {
    let factory = count_and_sum(TypeKind::Int);
    let expected = Ok(vec!["+U[1, 3, 13]".to_owned(), "+U[null, 2, 7]".to_owned()]);
    let state = saved(&factory);
    assert_eq!(go_on(&factory, state.clone(), ints(&[Some(1), None])), expected);
    let mut wrong = state.clone();
    let mut columns = wrong.batches[0].columns().to_vec();
    columns[0] = Arc::new(Int32Array::from(vec![99, 99]));
    wrong.batches[0] = RecordBatch::try_new(wrong.batches[0].schema(), columns).unwrap();
    assert_eq!(go_on(&factory, wrong, ints(&[Some(1), None])), expected);
    let mut shuffled = state;
    shuffled.batches[0] = shuffled.batches[0].project(&[3, 1, 2]).unwrap();
    assert_eq!(go_on(&factory, shuffled, ints(&[Some(1), None])), expected);
}

#[test]
fn a_widened_key_finds_its_groups_again() {
    let keys: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None]));
    let out = go_on(&count_and_sum(TypeKind::BigInt), saved(&count_and_sum(TypeKind::Int)), keys);
    assert_eq!(out, Ok(vec!["+U[1, 3, 13]".to_owned(), "+U[null, 2, 7]".to_owned()]));
}

#[test]
fn state_that_no_snapshot_writes_is_refused() {
    let factory = count_and_sum(TypeKind::Int);
    let mut twice = saved(&factory);
    let again = twice.batches[0].clone();
    twice.batches.push(again);
    let error = go_on(&factory, twice, ints(&[Some(1), None])).unwrap_err();
    assert!(error.contains("saved twice"), "{error}");
}

#[test]
fn an_aggregate_that_was_not_saved_begins_anew_beside_those_that_were() {
    let factory = count_and_sum(TypeKind::Int);
    let mut spec = factory.spec().clone();
    spec.aggregates[1] = call(F::Max, Some(1), "s", TypeKind::Int);
    let out = go_on(&GroupAggregateFactory::new(spec), saved(&factory), ints(&[Some(1), None]));
    // The counts go on; MAX knows the new rows alone.
    assert_eq!(out, Ok(vec!["+U[1, 3, 1]".to_owned(), "+U[null, 2, 1]".to_owned()]));
}

#[test]
fn an_aggregation_in_another_order_or_under_other_names_takes_its_state_over() {
    let factory = count_and_sum(TypeKind::Int);
    let mut spec = factory.spec().clone();
    spec.aggregates.reverse();
    spec.aggregates[0].output.name = "total".to_owned();
    let out = go_on(&GroupAggregateFactory::new(spec), saved(&factory), ints(&[Some(1), None]));
    assert_eq!(out, Ok(vec!["+U[1, 13, 3]".to_owned(), "+U[null, 7, 2]".to_owned()]));
}

// ---- the model ---------------------------------------------------------------------------------------------------------
