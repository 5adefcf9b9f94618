//! The rules of keyed state. Written against [`KeyedState`], so that every backend can be held to them.

use super::{Fold, KeyRef, KeyWalk, StateHandle, TimeDomain, TimersHandle};
use crate::state::{
    Backend, BackendSettings, FileSource, ImageFile, RocksSettings, SavedState, StoreFile, StoreFiles, StoreImage, StoreSnapshot,
};
use crate::state::{KeyedSnapshot, KeyedState, RestoredState, StateDescriptor, StateError, StateTtl, TtlTime, TtlUpdate, TtlVisibility};
use crate::types::{
    ByteSize, Column, Datum, EventTime, KeyGroupRange, LogicalType, MaxParallelism, Parallelism, Schema, TypeKind, WallTime, hash_keys,
    key_group_of,
};
use arrow::array::{ArrayRef, AsArray, Int64Array, StringArray};
use arrow::datatypes::Int32Type;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

mod model;
mod spill;

fn max() -> MaxParallelism {
    MaxParallelism::new(8).unwrap()
}

fn whole() -> KeyGroupRange {
    KeyGroupRange::of_subtask(max(), Parallelism::ONE, 0)
}

fn key_schema() -> Schema {
    Schema::new(vec![Column { name: "k".to_owned(), data_type: LogicalType::not_null(TypeKind::BigInt) }])
}

fn big() -> LogicalType {
    LogicalType::nullable(TypeKind::BigInt)
}

fn text() -> LogicalType {
    LogicalType::nullable(TypeKind::String)
}

fn empty() -> KeyedState {
    KeyedState::new(whole(), max(), Vec::new())
}

fn restored(from: Vec<RestoredState>) -> KeyedState {
    KeyedState::new(whole(), max(), from)
}

/// A file of an image as a checkpoint would have it.
#[derive(Debug)]
struct FrozenFile {
    path: std::path::PathBuf,
    // The file stays as long as this.
    _image: Arc<StoreImage>,
}

impl FileSource for FrozenFile {
    fn place(&self, target: &std::path::Path, _is_immutable: bool) -> std::io::Result<()> {
        std::fs::copy(&self.path, target).map(drop)
    }
}

/// A store as it would come back from a checkpoint.
fn files_of(store: &StoreSnapshot) -> Arc<StoreFiles> {
    let image = store.image().unwrap();
    let file = |file: &ImageFile| StoreFile {
        name: file.name.clone(),
        source: Arc::new(FrozenFile { path: file.path.clone(), _image: Arc::clone(&image) }),
    };
    let states = store.states.iter().map(SavedState::from).collect();
    Arc::new(StoreFiles { states, files: image.files().iter().map(file).collect() })
}

fn read(snapshot: KeyedSnapshot) -> Vec<RestoredState> {
    let read = |state: crate::state::StateSnapshot| {
        let batches = state.batches.collect::<Result<Vec<_>, _>>().unwrap();
        for batch in &batches {
            assert_eq!(batch.schema(), state.descriptor.columns().to_arrow());
        }
        RestoredState { descriptor: state.descriptor, batches }
    };
    snapshot.states.into_iter().map(read).collect()
}

fn keys(state: &mut KeyedState, keys: &[i64]) -> Vec<KeyRef> {
    let columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(keys.to_vec()))];
    let (mut hashes, mut found) = (Vec::new(), Vec::new());
    hash_keys(&columns, keys.len(), &mut hashes).unwrap();
    state.keys(&columns, &hashes, &mut found).unwrap();
    found
}

/// The values of all keys that have state, sorted.
fn all_keys(state: &mut KeyedState) -> Vec<i64> {
    let (mut walk, mut found, mut all) = (KeyWalk::default(), Vec::new(), Vec::new());
    while state.next_keys(&mut walk, &mut found).unwrap() {
        all.extend(found.iter().map(|key| state.key_of(*key).unwrap()[0].as_long().unwrap()));
    }
    all.sort_unstable();
    all
}

fn one(state: &mut KeyedState, key: i64) -> KeyRef {
    keys(state, &[key])[0]
}

fn at(state: &mut KeyedState, millis: i64) {
    state.set_time(WallTime(millis), EventTime(millis));
}

fn value(name: &str) -> StateDescriptor {
    StateDescriptor::value(name, &key_schema(), big())
}

fn list(name: &str) -> StateDescriptor {
    StateDescriptor::list(name, &key_schema(), big())
}

fn map(name: &str) -> StateDescriptor {
    StateDescriptor::map(name, &key_schema(), text(), big())
}

fn get(state: &mut KeyedState, handle: StateHandle, key: KeyRef) -> Option<i64> {
    state.value(handle, key).unwrap().and_then(Datum::as_long)
}

fn elements(state: &mut KeyedState, handle: StateHandle, key: KeyRef) -> Vec<i64> {
    state.list(handle, key).unwrap().iter().filter_map(Datum::as_long).collect()
}

fn entries(state: &mut KeyedState, handle: StateHandle, key: KeyRef) -> Vec<(String, Option<i64>)> {
    state.map_entries(handle, key).unwrap().map(|(k, v)| (k.as_text().unwrap().to_owned(), v.as_long())).collect()
}

fn ttl(millis: u64) -> StateTtl {
    StateTtl::new(Duration::from_millis(millis))
}

#[test]
fn a_value_belongs_to_its_key_and_null_clears_it() {
    let mut state = empty();
    let count = state.register(value("count"), Fold::None).unwrap();
    let found = keys(&mut state, &[7, 8, 7]);
    assert_eq!(found[0], found[2]);
    assert_eq!(get(&mut state, count, found[0]), None);
    state.set_value(count, found[0], Datum::Long(1)).unwrap();
    assert_eq!((get(&mut state, count, found[2]), get(&mut state, count, found[1])), (Some(1), None));
    state.set_value(count, found[0], Datum::Null).unwrap();
    assert_eq!(get(&mut state, count, found[0]), None);
    assert_eq!(state.key_of(found[1]).unwrap(), [Datum::Long(8)]);
}

#[test]
fn lists_keep_their_order_and_take_no_null() {
    let mut state = empty();
    let recent = state.register(list("recent"), Fold::None).unwrap();
    let key = one(&mut state, 1);
    for value in [3, 1, 2] {
        state.list_add(recent, key, Datum::Long(value)).unwrap();
    }
    assert_eq!(elements(&mut state, recent, key), [3, 1, 2]);
    assert!(state.list_add(recent, key, Datum::Null).unwrap_err().to_string().contains("state recent: a list takes no NULL"));
    state.list_set(recent, key, vec![Datum::Long(9)]).unwrap();
    assert_eq!(elements(&mut state, recent, key), [9]);
    state.clear(recent, key).unwrap();
    assert!(elements(&mut state, recent, key).is_empty());
}

#[test]
fn maps_are_walked_in_the_order_of_their_keys_and_take_null_as_a_value() {
    let mut state = empty();
    let channels = state.register(map("channels"), Fold::None).unwrap();
    let key = one(&mut state, 1);
    assert!(state.map_is_empty(channels, key).unwrap());
    for (entry, value) in [("b", Datum::Long(2)), ("a", Datum::Null), ("c", Datum::Long(3))] {
        state.map_put(channels, key, entry.into(), value).unwrap();
    }
    assert_eq!(entries(&mut state, channels, key), [("a".to_owned(), None), ("b".to_owned(), Some(2)), ("c".to_owned(), Some(3))]);
    assert_eq!(state.map_get(channels, key, &"a".into()).unwrap(), Some(&Datum::Null));
    assert!(state.map_contains(channels, key, &"a".into()).unwrap());
    state.map_remove(channels, key, &"b".into()).unwrap();
    assert_eq!(state.map_get(channels, key, &"b".into()).unwrap(), None);
    assert!(state.map_put(channels, key, Datum::Null, Datum::Long(1)).is_err());
    state.clear(channels, key).unwrap();
    assert!(state.map_is_empty(channels, key).unwrap());
}

#[test]
fn built_in_folds_compute_what_their_names_say() {
    let mut state = empty();
    let key_schema = key_schema();
    let mut reducing = Vec::new();
    for name in ["sum", "min", "max", "first", "last"] {
        let fold = Fold::reducing(name, &big()).unwrap();
        reducing.push(state.register(StateDescriptor::reducing(name, &key_schema, big()), fold).unwrap());
    }
    let mut aggregating = Vec::new();
    for name in ["count", "sum", "avg", "min", "max"] {
        let (fold, accumulator, _) = Fold::aggregating(name, &big()).unwrap();
        let descriptor = StateDescriptor::aggregating(&format!("agg-{name}"), &key_schema, accumulator);
        aggregating.push(state.register(descriptor, fold).unwrap());
    }
    let key = one(&mut state, 1);
    assert_eq!(state.get(aggregating[2], key).unwrap(), None);
    for value in [4, -1, 6] {
        for handle in reducing.iter().chain(&aggregating) {
            state.add(*handle, key, Datum::Long(value)).unwrap();
        }
    }
    let mut all = |handles: &[StateHandle]| handles.iter().map(|h| state.get(*h, key).unwrap().unwrap()).collect::<Vec<_>>();
    assert_eq!(all(&reducing), [9, -1, 6, 4, 6].map(Datum::Long));
    assert_eq!(all(&aggregating), [Datum::Long(3), Datum::Long(9), Datum::double(3.0), Datum::Long(-1), Datum::Long(6)]);
    assert!(Fold::reducing("median", &big()).unwrap_err().contains("sum, min, max, first, last"));
    assert!(Fold::reducing("sum", &text()).unwrap_err().contains("sum takes numbers, not STRING"));
}

#[test]
fn accumulators_that_are_put_together_are_what_all_their_values_amount_to() {
    let decimal = LogicalType::nullable(TypeKind::Decimal(10, 2));
    let longs = [7, -3, 12, 0, 5].map(Datum::Long);
    let decimals = [700, -301, 1_200, 0, 512].map(Datum::decimal);
    for (value, values) in [(big(), &longs), (decimal, &decimals)] {
        let reducing = ["sum", "min", "max", "first", "last"].map(|name| (Fold::reducing(name, &value).unwrap(), value.clone()));
        let aggregating = ["count", "sum", "avg", "min", "max"].map(|name| {
            let (fold, accumulator, _) = Fold::aggregating(name, &value).unwrap();
            (fold, accumulator)
        });
        for (number, (fold, accumulator)) in reducing.into_iter().chain(aggregating).enumerate() {
            assert!(fold.merges());
            let folded = |values: &[Datum]| {
                let mut accumulator = Datum::Null;
                for value in values {
                    fold.add(&mut accumulator, value.clone()).unwrap();
                }
                accumulator
            };
            let kind = if number < 5 { StateDescriptor::reducing } else { StateDescriptor::aggregating };
            let saved = Fold::of_saved(&kind("s", &key_schema(), accumulator), fold.name()).unwrap();
            for split in 0..=values.len() {
                let mut left = folded(&values[..split]);
                let right = folded(&values[split..]);
                if !right.is_null() {
                    saved.merge(&mut left, right).unwrap();
                }
                assert_eq!(left, folded(values), "{fold:?} at {split}");
            }
        }
    }
    let double = LogicalType::nullable(TypeKind::Double);
    assert!(!Fold::reducing("sum", &double).unwrap().merges(), "its last digits would depend on where values are put together");
    assert!(!Fold::aggregating("avg", &double).unwrap().0.merges());
    assert!(Fold::reducing("max", &double).unwrap().merges());
}

#[test]
fn a_sum_that_leaves_its_type_is_an_error() {
    let mut state = empty();
    let int = LogicalType::nullable(TypeKind::Int);
    let fold = Fold::reducing("sum", &int).unwrap();
    let sum = state.register(StateDescriptor::reducing("sum", &key_schema(), int), fold).unwrap();
    let key = one(&mut state, 1);
    state.add(sum, key, Datum::Long(i64::from(i32::MAX))).unwrap();
    let error = state.add(sum, key, Datum::Long(1)).unwrap_err().to_string();
    assert!(error.contains("does not fit into INT"), "{error}");
}

#[test]
fn keys_that_hold_nothing_any_more_give_their_slots_back() {
    let mut state = empty();
    let count = state.register(value("count"), Fold::None).unwrap();
    let timers = state.register_timers(&key_schema()).unwrap();
    for round in 0..50 {
        let found = keys(&mut state, &(round * 100..round * 100 + 100).collect::<Vec<_>>());
        for key in &found {
            state.set_value(count, *key, Datum::Long(1)).unwrap();
            state.register_timer(timers, TimeDomain::EventTime, *key, round).unwrap();
            state.set_value(count, *key, Datum::Null).unwrap();
        }
        assert_eq!(all_keys(&mut state).len(), 100, "a timer holds its key");
        while state.next_due(timers, TimeDomain::EventTime, round).unwrap().is_some() {}
    }
    assert!(all_keys(&mut state).is_empty());
    // The keys of the last round, and the one that is looked up now.
    assert!(state.key_count() <= 100);
    one(&mut state, 1);
    assert_eq!(state.key_count(), 1);
}

#[test]
fn a_snapshot_is_not_changed_by_what_comes_after_it_and_copies_nothing_that_is_not_written() {
    let mut state = empty();
    let count = state.register(value("count"), Fold::None).unwrap();
    let channels = state.register(map("channels"), Fold::None).unwrap();
    let found = keys(&mut state, &[1, 2, 3]);
    for key in &found {
        state.set_value(count, *key, Datum::Long(1)).unwrap();
        state.map_put(channels, *key, "a".into(), Datum::Long(1)).unwrap();
    }
    let snapshot = state.snapshot().unwrap();
    // Keys that were found before a snapshot are good after it.
    state.set_value(count, found[0], Datum::Long(2)).unwrap();
    state.map_put(channels, found[1], "b".into(), Datum::Long(2)).unwrap();
    state.clear(count, found[2]).unwrap();
    state.clear(channels, found[2]).unwrap();
    let late = one(&mut state, 99);
    state.set_value(count, late, Datum::Long(5)).unwrap();
    let mut old = restored(read(snapshot));
    let old_count = old.register(value("count"), Fold::None).unwrap();
    let old_channels = old.register(map("channels"), Fold::None).unwrap();
    let old_keys = keys(&mut old, &[1, 2, 3, 99]);
    assert_eq!(old_keys.iter().map(|k| get(&mut old, old_count, *k)).collect::<Vec<_>>(), [Some(1), Some(1), Some(1), None]);
    assert_eq!(entries(&mut old, old_channels, old_keys[1]), [("a".to_owned(), Some(1))]);
    let now = keys(&mut state, &[1, 2, 3, 99]);
    assert_eq!(now.iter().map(|k| get(&mut state, count, *k)).collect::<Vec<_>>(), [Some(2), Some(1), None, Some(5)]);
}

#[test]
fn each_subtask_restores_the_keys_of_its_key_groups() {
    let mut state = empty();
    let recent = state.register(list("recent"), Fold::None).unwrap();
    let timers = state.register_timers(&key_schema()).unwrap();
    let all: Vec<i64> = (0..40).collect();
    for (key, number) in keys(&mut state, &all).iter().zip(&all) {
        state.list_set(recent, *key, vec![Datum::Long(*number), Datum::Long(-1)]).unwrap();
        state.register_timer(timers, TimeDomain::ProcessingTime, *key, *number).unwrap();
    }
    let saved = read(state.snapshot().unwrap());
    let mut seen = Vec::new();
    for subtask in 0..3 {
        let range = KeyGroupRange::of_subtask(max(), Parallelism::new(3).unwrap(), subtask);
        let mut part = KeyedState::new(range, max(), saved.clone());
        let recent = part.register(list("recent"), Fold::None).unwrap();
        let timers = part.register_timers(&key_schema()).unwrap();
        let mut last = i64::MIN;
        while let Some((timestamp, key)) = part.next_due(timers, TimeDomain::ProcessingTime, i64::MAX).unwrap() {
            assert!(timestamp > last, "in order");
            last = timestamp;
            assert_eq!(part.key_of(key).unwrap(), [Datum::Long(timestamp)]);
            assert_eq!(elements(&mut part, recent, key), [timestamp, -1]);
            seen.push(timestamp);
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, all);
}

#[test]
fn a_row_state_evolves_and_an_integer_widens_on_restore() {
    let row = |fields: &[(&str, TypeKind)]| {
        LogicalType::nullable(TypeKind::Row(fields.iter().map(|(n, k)| ((*n).to_owned(), LogicalType::nullable(k.clone()))).collect()))
    };
    let old = row(&[("a", TypeKind::Int), ("gone", TypeKind::String)]);
    let new = row(&[("b", TypeKind::String), ("a", TypeKind::BigInt)]);
    let mut state = empty();
    let handle = state.register(StateDescriptor::value("v", &key_schema(), old), Fold::None).unwrap();
    let key = one(&mut state, 1);
    state.set_value(handle, key, Datum::Row([Datum::Long(5), "x".into()].into())).unwrap();
    let mut state = restored(read(state.snapshot().unwrap()));
    let handle = state.register(StateDescriptor::value("v", &key_schema(), new), Fold::None).unwrap();
    let key = one(&mut state, 1);
    assert_eq!(state.value(handle, key).unwrap(), Some(&Datum::Row([Datum::Null, Datum::Long(5)].into())));
}

#[test]
fn what_does_not_fit_is_refused_with_both_sides_named() {
    let mut state = empty();
    let count = state.register(value("count"), Fold::None).unwrap();
    assert!(matches!(state.register(value("count"), Fold::None), Err(StateError::Invariant(_))));
    assert!(state.list(count, KeyRef { table: 0, row: 0 }).unwrap_err().to_string().contains("no such list state"));
    let key = one(&mut state, 1);
    state.set_value(count, key, Datum::Long(1)).unwrap();
    let mut other = restored(read(state.snapshot().unwrap()));
    let error = other.register(list("count"), Fold::None).unwrap_err().to_string();
    assert!(error.contains("saved as Value state and is List state now"), "{error}");
}

#[test]
fn a_value_expires_after_its_last_write_or_with_on_read_and_write_after_its_last_read() {
    for on_read in [false, true] {
        let update = if on_read { TtlUpdate::OnReadAndWrite } else { TtlUpdate::OnCreateAndWrite };
        let mut state = empty();
        let count = state.register(value("count").with_ttl(Some(StateTtl { update, ..ttl(10) })), Fold::None).unwrap();
        at(&mut state, 100);
        let key = one(&mut state, 1);
        state.set_value(count, key, Datum::Long(1)).unwrap();
        at(&mut state, 109);
        assert_eq!(get(&mut state, count, key), Some(1));
        at(&mut state, 110);
        assert_eq!(get(&mut state, count, key), on_read.then_some(1));
    }
}

#[test]
fn an_expired_value_is_seen_once_more_if_it_was_not_cleaned_up_and_that_is_allowed() {
    let visibility = TtlVisibility::ReturnExpiredIfNotCleanedUp;
    let mut state = empty();
    let descriptor = value("count").with_ttl(Some(StateTtl { visibility, ..ttl(10) }));
    let count = state.register(descriptor, Fold::None).unwrap();
    let recent = state.register(list("recent").with_ttl(Some(StateTtl { visibility, ..ttl(10) })), Fold::None).unwrap();
    // More keys than one call of `set_time` looks at.
    let all: Vec<i64> = (0..10_000).collect();
    at(&mut state, 100);
    let found = keys(&mut state, &all);
    for key in &found {
        state.set_value(count, *key, Datum::Long(1)).unwrap();
        state.list_add(recent, *key, Datum::Long(1)).unwrap();
    }
    for _ in 0..3 {
        at(&mut state, 100);
    }
    at(&mut state, 110);
    let looks: Vec<_> = found.iter().map(|key| [get(&mut state, count, *key), get(&mut state, count, *key)]).collect();
    assert!(looks.contains(&[Some(1), None]), "some were not cleaned up yet");
    assert!(looks.iter().all(|look| look[1].is_none()), "and none is seen twice");
    let lists: Vec<_> =
        found.iter().map(|key| [elements(&mut state, recent, *key).len(), elements(&mut state, recent, *key).len()]).collect();
    assert!(lists.contains(&[1, 0]) && lists.iter().all(|look| look[1] == 0));
}

#[test]
fn elements_and_entries_expire_one_by_one() {
    let mut state = empty();
    let recent = state.register(list("recent").with_ttl(Some(ttl(10))), Fold::None).unwrap();
    let channels = state.register(map("channels").with_ttl(Some(ttl(10))), Fold::None).unwrap();
    at(&mut state, 0);
    let key = one(&mut state, 1);
    for (now, entry) in [(0, "a"), (5, "b"), (8, "a")] {
        at(&mut state, now);
        state.list_add(recent, key, Datum::Long(now)).unwrap();
        state.map_put(channels, key, entry.into(), Datum::Long(now)).unwrap();
    }
    at(&mut state, 10);
    assert_eq!(elements(&mut state, recent, key), [5, 8]);
    at(&mut state, 15);
    assert_eq!(elements(&mut state, recent, key), [8]);
    assert_eq!(entries(&mut state, channels, key), [("a".to_owned(), Some(8))]);
    assert!(!state.map_contains(channels, key, &"b".into()).unwrap());
    at(&mut state, 18);
    assert!(elements(&mut state, recent, key).is_empty() && state.map_is_empty(channels, key).unwrap());
}

#[test]
fn a_fold_begins_anew_when_its_accumulator_has_expired() {
    let mut state = empty();
    let fold = Fold::reducing("sum", &big()).unwrap();
    let sum = state.register(StateDescriptor::reducing("sum", &key_schema(), big()).with_ttl(Some(ttl(10))), fold).unwrap();
    let key = one(&mut state, 1);
    for (now, expected) in [(0, 1), (9, 2), (18, 3), (28, 1)] {
        at(&mut state, now);
        let key = if now == 28 { one(&mut state, 1) } else { key };
        state.add(sum, key, Datum::Long(1)).unwrap();
        assert_eq!(state.get(sum, key).unwrap(), Some(Datum::Long(expected)), "at {now}");
    }
}

#[test]
fn expired_state_is_cleaned_up_without_being_read_and_left_out_of_snapshots() {
    let mut state = empty();
    let count = state.register(value("count").with_ttl(Some(ttl(10))), Fold::None).unwrap();
    let plain = state.register(value("plain"), Fold::None).unwrap();
    let all: Vec<i64> = (0..1_000).collect();
    at(&mut state, 0);
    for key in keys(&mut state, &all) {
        state.set_value(count, key, Datum::Long(1)).unwrap();
    }
    at(&mut state, 10);
    let saved = read(state.snapshot().unwrap());
    assert_eq!(saved[0].batches.iter().map(arrow::array::RecordBatch::num_rows).sum::<usize>(), 0);
    let survivor = one(&mut state, 0);
    state.set_value(plain, survivor, Datum::Long(1)).unwrap();
    for _ in 0..200 {
        at(&mut state, 20);
    }
    one(&mut state, 0);
    assert_eq!(all_keys(&mut state).len(), 1);
    assert_eq!(state.key_count(), 1);
}

#[test]
fn by_event_time_state_expires_with_the_watermark_and_not_with_the_clock() {
    let mut state = empty();
    let event = StateTtl { time: TtlTime::Event, ..ttl(10) };
    let count = state.register(value("count").with_ttl(Some(event)), Fold::None).unwrap();
    let key = one(&mut state, 1);
    state.set_time(WallTime(0), EventTime::MIN);
    state.set_value(count, key, Datum::Long(1)).unwrap();
    state.set_time(WallTime(1_000_000), EventTime(500));
    assert_eq!(get(&mut state, count, key), Some(1), "what came before the first watermark is stamped by it");
    state.set_time(WallTime(2_000_000), EventTime(509));
    assert_eq!(get(&mut state, count, key), Some(1));
    state.set_time(WallTime(2_000_000), EventTime(510));
    assert_eq!(get(&mut state, count, key), None);
}

#[test]
fn a_ttl_that_begins_on_restore_counts_from_then_and_one_that_ends_brings_nothing_back() {
    let mut state = empty();
    let count = state.register(value("count"), Fold::None).unwrap();
    let key = one(&mut state, 1);
    state.set_value(count, key, Datum::Long(1)).unwrap();
    let mut state = restored(read(state.snapshot().unwrap()));
    at(&mut state, 1_000);
    let count = state.register(value("count").with_ttl(Some(ttl(10))), Fold::None).unwrap();
    at(&mut state, 1_005);
    let key = one(&mut state, 1);
    assert_eq!(get(&mut state, count, key), Some(1));
    let saved = read(state.snapshot().unwrap());
    let mut forever = restored(saved.clone());
    at(&mut forever, 1_000_000);
    let count = forever.register(value("count"), Fold::None).unwrap();
    let key = one(&mut forever, 1);
    assert_eq!(get(&mut forever, count, key), Some(1), "without TTL the stamps say nothing");
    let mut longer = restored(saved);
    at(&mut longer, 1_104);
    let count = longer.register(value("count").with_ttl(Some(ttl(100))), Fold::None).unwrap();
    let key = one(&mut longer, 1);
    assert_eq!(get(&mut longer, count, key), Some(1), "a longer TTL counts from the last access");
    at(&mut longer, 1_105);
    assert_eq!(get(&mut longer, count, key), None);
}

#[test]
fn a_timer_is_unique_for_key_timestamp_and_domain_and_fires_in_order() {
    let mut state = empty();
    let timers = state.register_timers(&key_schema()).unwrap();
    let found = keys(&mut state, &[1, 2, 3]);
    let event = TimeDomain::EventTime;
    for (key, timestamp) in [(0, 30), (1, 10), (0, 30), (2, 20), (0, 10), (0, 5)] {
        state.register_timer(timers, event, found[key], timestamp).unwrap();
    }
    state.register_timer(timers, TimeDomain::ProcessingTime, found[0], 30).unwrap();
    state.delete_timer(timers, event, found[0], 5).unwrap();
    state.delete_timer(timers, event, found[1], 99).unwrap();
    assert_eq!(state.next_timer(timers, event).unwrap(), Some(10));
    let mut fired = Vec::new();
    while let Some((timestamp, key)) = state.next_due(timers, event, 29).unwrap() {
        fired.push((timestamp, state.key_of(key).unwrap()[0].as_long().unwrap()));
    }
    fired.sort_unstable();
    assert_eq!(fired, [(10, 1), (10, 2), (20, 3)]);
    let due = |state: &mut KeyedState, handle: TimersHandle, domain| state.next_due(handle, domain, 30).unwrap().map(|(t, _)| t);
    assert_eq!(due(&mut state, timers, event), Some(30));
    assert_eq!(due(&mut state, timers, event), None);
    assert_eq!(state.next_timer(timers, TimeDomain::ProcessingTime).unwrap(), Some(30));
}

#[test]
fn keys_of_any_type_are_told_apart() {
    let column = |name: &str, kind| Column { name: name.to_owned(), data_type: LogicalType::nullable(kind) };
    let schema = Schema::new(vec![column("value", TypeKind::String), column("n", TypeKind::Int)]);
    let mut state = empty();
    let count = state.register(StateDescriptor::value("count", &schema, big()), Fold::None).unwrap();
    let names: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None, Some(""), Some("a")]));
    let numbers: ArrayRef = Arc::new(arrow::array::Int32Array::from(vec![Some(1), Some(1), None, Some(1)]));
    let (mut hashes, mut found) = (Vec::new(), Vec::new());
    hash_keys(&[Arc::clone(&names), Arc::clone(&numbers)], 4, &mut hashes).unwrap();
    state.keys(&[names, numbers], &hashes, &mut found).unwrap();
    for (key, number) in found.iter().zip(0..) {
        state.set_value(count, *key, Datum::Long(number)).unwrap();
    }
    assert_eq!(found.iter().map(|k| get(&mut state, count, *k)).collect::<Vec<_>>(), [Some(3), Some(1), Some(2), Some(3)]);
    assert_eq!(state.key(&["a".into(), Datum::Long(1)]).unwrap(), found[0]);
    // The value column steps aside for a key column of its name.
    let saved = read(state.snapshot().unwrap());
    assert_eq!(saved[0].batches[0].schema().field(3).name(), "value_");
    let mut state = restored(saved);
    let count = state.register(StateDescriptor::value("count", &schema, big()), Fold::None).unwrap();
    let key = state.key(&[Datum::Null, Datum::Long(1)]).unwrap();
    assert_eq!(get(&mut state, count, key), Some(1));
}
