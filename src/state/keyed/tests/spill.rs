//! State of functions that does not fit into memory: keys go down whole and come up whole, timers in time, what has expired never.

use super::*;
use crate::state::SnapshotForm;
use arrow::array::RecordBatch;
use tempfile::TempDir;

const KEYS: i64 = 6_000;
const BATCH: usize = 500;

/// A function with all kinds of state and a hundredth of the memory that it needs.
struct Function {
    state: KeyedState,
    value: StateHandle,
    sum: StateHandle,
    list: StateHandle,
    map: StateHandle,
    timers: TimersHandle,
}

fn backend(directory: &TempDir, name: &str) -> Backend {
    let settings = RocksSettings { memory: ByteSize(64 << 10), ..RocksSettings::default() };
    Backend::new(&BackendSettings::RocksDb(Box::new(settings)), directory.path().join(name))
}

fn function(state: KeyedState, ttl: Option<StateTtl>) -> Function {
    let mut state = state;
    let plain = |descriptor: StateDescriptor| descriptor.with_ttl(ttl);
    let value = state.register(plain(value("value")), Fold::None).unwrap();
    let sum = plain(StateDescriptor::reducing("sum", &key_schema(), big()));
    let sum = state.register(sum, Fold::reducing("sum", &big()).unwrap()).unwrap();
    let list = state.register(plain(list("list")), Fold::None).unwrap();
    let map = state.register(plain(map("map")), Fold::None).unwrap();
    let timers = state.register_timers(&key_schema()).unwrap();
    Function { state, value, sum, list, map, timers }
}

impl Function {
    /// A round of writes to these keys.
    fn write(&mut self, keys: std::ops::Range<i64>, with_timers: bool) {
        let all: Vec<i64> = keys.collect();
        for batch in all.chunks(BATCH) {
            self.state.make_room().unwrap();
            for (key, found) in batch.iter().zip(super::keys(&mut self.state, batch)) {
                self.state.set_value(self.value, found, Datum::Long(*key)).unwrap();
                self.state.add(self.sum, found, Datum::Long(1)).unwrap();
                self.state.list_add(self.list, found, Datum::Long(-*key)).unwrap();
                self.state.map_put(self.map, found, Datum::from(format!("m{}", key % 7)), Datum::Long(*key)).unwrap();
                if with_timers {
                    self.state.register_timer(self.timers, TimeDomain::EventTime, found, due(*key)).unwrap();
                    self.state.register_timer(self.timers, TimeDomain::ProcessingTime, found, 1_000_000 + due(*key)).unwrap();
                }
            }
        }
    }

    /// Keys whose states are what `rounds` rounds of writes leave.
    fn assert_rounds(&mut self, keys: std::ops::Range<i64>, rounds: i64) {
        let all: Vec<i64> = keys.collect();
        for batch in all.chunks(BATCH) {
            self.state.make_room().unwrap();
            for (key, found) in batch.iter().zip(super::keys(&mut self.state, batch)) {
                assert_eq!(get(&mut self.state, self.value, found), Some(*key));
                assert_eq!(self.state.get(self.sum, found).unwrap(), Some(Datum::Long(rounds)), "key {key}");
                assert_eq!(elements(&mut self.state, self.list, found), vec![-*key; rounds as usize]);
                assert_eq!(entries(&mut self.state, self.map, found), [(format!("m{}", key % 7), Some(*key))]);
            }
        }
    }

    fn resident(&self) -> usize {
        self.state.keys.as_ref().unwrap().resident()
    }
}

/// When a key's timers are due: not in the order of the keys.
fn due(key: i64) -> i64 {
    (key * 7_919) % KEYS
}

#[test]
fn keys_beyond_the_budget_go_down_and_come_up_with_all_their_states() {
    let directory = TempDir::new().unwrap();
    let mut function = function(KeyedState::new(whole(), max(), Vec::new()).on(&backend(&directory, "a"), "a"), None);
    function.write(0..KEYS, false);
    function.write(0..KEYS, false);
    assert!(function.state.key_count() >= KEYS as usize);
    assert!(function.resident() < 2 * BATCH, "{} keys are in memory", function.resident());
    function.assert_rounds(0..KEYS, 2);
    assert_eq!(all_keys(&mut function.state), (0..KEYS).collect::<Vec<_>>());
    assert!(function.resident() < 5 * BATCH, "a walk keeps {} keys in memory", function.resident());
}

#[test]
fn timers_of_keys_in_the_store_fire_in_their_order_with_their_keys_states() {
    let directory = TempDir::new().unwrap();
    let mut function = function(KeyedState::new(whole(), max(), Vec::new()).on(&backend(&directory, "a"), "a"), None);
    function.write(0..KEYS, true);
    // Some come up by themselves and go down again: what reminds of them is there twice, or stale.
    function.write(0..1_000, true);
    assert!(function.resident() < 2 * BATCH);
    assert_eq!(function.state.next_timer(function.timers, TimeDomain::EventTime).unwrap(), Some(0));
    assert_eq!(function.state.next_processing_time(), Some(WallTime(1_000_001)));
    let mut fired = Vec::new();
    for up_to in [KEYS / 3, KEYS / 2, KEYS] {
        function.state.make_room().unwrap();
        while let Some((timestamp, key)) = function.state.next_due(function.timers, TimeDomain::EventTime, up_to).unwrap() {
            let name = function.state.key_of(key).unwrap()[0].as_long().unwrap();
            assert_eq!((timestamp, get(&mut function.state, function.value, key)), (due(name), Some(name)));
            fired.push(timestamp);
            if fired.len() % 400 == 0 {
                function.state.make_room().unwrap();
            }
        }
        assert_eq!(fired, (0..KEYS.min(up_to + 1)).collect::<Vec<_>>());
    }
    function.state.make_room().unwrap();
    assert!(function.resident() < 2 * BATCH, "what fired goes down again");
    assert_eq!(function.state.next_timer(function.timers, TimeDomain::ProcessingTime).unwrap(), Some(1_000_000));
}

#[test]
fn a_checkpoint_of_the_store_and_a_savepoint_have_the_rows_of_their_barrier_and_restore_on_both_backends() {
    let directory = TempDir::new().unwrap();
    let spilled = backend(&directory, "a");
    let mut function = function(KeyedState::new(whole(), max(), Vec::new()).on(&spilled, "a"), None);
    function.write(0..KEYS, true);
    let native = function.state.snapshot_as(SnapshotForm::Native).unwrap();
    function.write(0..2_000, false);
    let canonical = function.state.snapshot_as(SnapshotForm::Canonical).unwrap();
    function.write(0..KEYS, false);
    let store = native.store.unwrap();
    let counted: BTreeMap<&str, u64> = store.states.iter().map(|state| (state.descriptor.name.as_str(), state.rows)).collect();
    let keys = KEYS as u64;
    assert_eq!(counted, [("list", keys), ("map", keys), ("sum", keys), ("timers", 2 * keys), ("value", keys)].into_iter().collect());
    let rows = read(canonical);
    for state in &rows {
        let groups: Vec<i32> = state.batches.iter().flat_map(|b| b.column(0).as_primitive::<Int32Type>().values().to_vec()).collect();
        assert!(groups.is_sorted(), "state {} is not sorted by key group", state.descriptor.name);
    }
    let files = files_of(&store);
    let heap = Backend::new(&BackendSettings::HashMap, directory.path().join("heap"));
    for (number, backend) in [&heap, &backend(&directory, "b")].into_iter().enumerate() {
        for index in 0..2 {
            let own = KeyGroupRange::of_subtask(max(), Parallelism::new(2).unwrap(), index);
            let name = format!("{number}-{index}");
            let state = KeyedState::new(own, max(), Vec::new()).restored_from(vec![Arc::clone(&files)], backend).on(backend, &name);
            let mut restored = super::spill::function(state, None);
            let own = all_keys(&mut restored.state);
            assert!(own.len() > 1_000 && own.len() < 5_000, "{}", own.len());
            for key in own.iter().step_by(50) {
                restored.assert_rounds(*key..*key + 1, 1);
            }
            let mut fired = 0;
            while restored.state.next_due(restored.timers, TimeDomain::EventTime, KEYS).unwrap().is_some() {
                fired += 1;
            }
            assert_eq!(fired, own.len());
        }
    }
    let mut later = super::spill::function(KeyedState::new(whole(), max(), rows).on(&backend(&directory, "c"), "c"), None);
    later.assert_rounds(0..2_000, 2);
    later.assert_rounds(2_000..KEYS, 1);
}

#[test]
fn what_has_expired_is_not_seen_again_and_leaves_the_disk_unless_a_timer_holds_its_key() {
    let directory = TempDir::new().unwrap();
    let ttl = StateTtl::new(Duration::from_millis(100));
    let mut function = function(KeyedState::new(whole(), max(), Vec::new()).on(&backend(&directory, "a"), "a"), Some(ttl));
    at(&mut function.state, 1_000);
    function.write(0..KEYS, false);
    at(&mut function.state, 1_050);
    function.write(0..100, false);
    function.write(KEYS..KEYS + 2_000, true);
    let rows = |function: &mut Function| {
        let store = function.state.snapshot_as(SnapshotForm::Native).unwrap().store.unwrap();
        let state = |name: &str| SavedState::from(store.states.iter().find(|state| state.descriptor.name == name).unwrap());
        let backend = backend(&directory, "reader");
        let read = |name: &str| {
            let batches = crate::state::read_store(&files_of(&store), &state(name), whole(), &backend).unwrap();
            batches.map(|batch| batch.unwrap().num_rows()).sum::<usize>()
        };
        (read("value"), read("timers"))
    };
    assert_eq!(rows(&mut function), (KEYS as usize + 2_000, 4_000));
    at(&mut function.state, 1_100);
    let canonical = read(function.state.snapshot_as(SnapshotForm::Canonical).unwrap());
    let saved: usize = canonical[0].batches.iter().map(RecordBatch::num_rows).sum();
    assert_eq!(saved, 100 + 2_000, "a savepoint leaves out what has expired");
    function.state.compact();
    let (values, timers) = rows(&mut function);
    assert!(values < 100 + 2_000 + 2 * BATCH, "{values} rows are left on the disk");
    assert_eq!(timers, 4_000);
    at(&mut function.state, 1_150);
    function.state.compact();
    for key in [0, 99, 100, KEYS - 1, KEYS, KEYS + 1_999] {
        function.state.make_room().unwrap();
        let found = one(&mut function.state, key);
        assert_eq!((get(&mut function.state, function.value, found), elements(&mut function.state, function.list, found)), (None, vec![]));
    }
    let mut fired = 0;
    while function.state.next_due(function.timers, TimeDomain::EventTime, KEYS + 2_000).unwrap().is_some() {
        fired += 1;
    }
    assert_eq!(fired, 2_000, "timers do not expire");
}

#[test]
fn a_store_with_damaged_rows_is_an_error_and_no_panic() {
    use crate::state::bytes::Input;
    use crate::state::keyed::spill::Parts;
    for bytes in [&[0][..], &[0, 5, 1], &[255; 12], &[1, 0, 200]] {
        assert!(Parts(Input(bytes)).any(|part| part.is_err()), "{bytes:?}");
    }
    let mut cells = crate::state::keyed::Cells::default();
    for bytes in [&[][..], &[0], &[0, 0], &[0, 200], &[0, 1, 1]] {
        let taken = crate::state::keyed::table::Column::take(&mut cells, 0, Input(bytes), None, &Fold::None);
        assert!(taken.is_err(), "{bytes:?}");
    }
}

/// Only adds, or asks as well.
impl Function {
    fn add(&mut self, keys: &[i64], round: i64) {
        self.state.make_room().unwrap();
        for (key, found) in keys.iter().zip(super::keys(&mut self.state, keys)) {
            self.state.set_value(self.value, found, Datum::Long(key + round)).unwrap();
            self.state.add(self.sum, found, Datum::Long(round)).unwrap();
            self.state.list_add(self.list, found, Datum::Long(round)).unwrap();
            self.state.map_put(self.map, found, Datum::from(format!("m{round}")), Datum::Long(*key)).unwrap();
            self.state.register_timer(self.timers, TimeDomain::EventTime, found, due(*key)).unwrap();
        }
    }

    /// Fires all timers; each key must hold what these rounds added.
    fn assert_added(&mut self, keys: i64, rounds: std::ops::RangeInclusive<i64>) {
        let mut fired = Vec::new();
        while let Some((timestamp, key)) = self.state.next_due(self.timers, TimeDomain::EventTime, i64::MAX).unwrap() {
            let name = self.state.key_of(key).unwrap()[0].as_long().unwrap();
            assert_eq!(timestamp, due(name));
            assert_eq!(get(&mut self.state, self.value, key), Some(name + rounds.end()));
            assert_eq!(self.state.get(self.sum, key).unwrap(), Some(Datum::Long(rounds.clone().sum())), "key {name}");
            assert_eq!(elements(&mut self.state, self.list, key), rounds.clone().collect::<Vec<_>>(), "key {name}");
            let all = rounds.clone().map(|round| (format!("m{round}"), Some(name)));
            assert_eq!(entries(&mut self.state, self.map, key), all.collect::<Vec<_>>(), "key {name}");
            for state in [self.value, self.sum, self.list, self.map] {
                self.state.clear(state, key).unwrap();
            }
            fired.push(timestamp);
            if fired.len() % 300 == 0 {
                self.state.make_room().unwrap();
            }
        }
        fired.sort_unstable();
        let mut all: Vec<i64> = (0..keys).map(due).collect();
        all.sort_unstable();
        assert_eq!(fired, all);
        self.state.make_room().unwrap();
        assert_eq!(all_keys(&mut self.state), Vec::<i64>::new(), "what was cleared is gone");
    }

    /// Reads of the store so far.
    fn reads(&self) -> u64 {
        self.state.store_reads()
    }
}

#[test]
fn what_is_only_added_to_is_not_read_before_its_timers_fire() {
    let directory = TempDir::new().unwrap();
    let mut function = function(KeyedState::new(whole(), max(), Vec::new()).on(&backend(&directory, "a"), "a"), None);
    let all: Vec<i64> = (0..KEYS).collect();
    for round in 1..=4 {
        all.chunks(BATCH).for_each(|batch| function.add(batch, round));
        if round == 2 {
            function.state.compact();
        }
    }
    assert!(function.resident() < 2 * BATCH, "{} keys are in memory", function.resident());
    assert_eq!(function.reads(), 0);
    function.assert_added(KEYS, 1..=4);
    assert!(function.reads() >= KEYS as u64);
}

#[test]
fn timers_of_the_same_moment_come_up_as_they_fire_and_not_all_at_once() {
    let directory = TempDir::new().unwrap();
    let mut function = function(KeyedState::new(whole(), max(), Vec::new()).on(&backend(&directory, "a"), "a"), None);
    for batch in (0..KEYS).collect::<Vec<_>>().chunks(BATCH) {
        function.state.make_room().unwrap();
        for found in super::keys(&mut function.state, batch) {
            function.state.add(function.sum, found, Datum::Long(1)).unwrap();
            function.state.register_timer(function.timers, TimeDomain::EventTime, found, 1_000).unwrap();
        }
    }
    let (mut fired, mut most) = (0, 0);
    while let Some((_, key)) = function.state.next_due(function.timers, TimeDomain::EventTime, 1_000).unwrap() {
        assert_eq!(function.state.get(function.sum, key).unwrap(), Some(Datum::Long(1)));
        function.state.clear(function.sum, key).unwrap();
        fired += 1;
        most = most.max(function.resident());
        if fired % 500 == 0 {
            function.state.make_room().unwrap();
        }
    }
    assert_eq!(fired, KEYS);
    assert!(most < 3_000, "{most} keys were in memory");
    assert!(function.reads() < 3 * KEYS as u64, "{} look-ups", function.reads());
}

/// What keys should hold: a sum and a list.
type Added = BTreeMap<i64, (i64, Vec<i64>)>;

/// Adds without asking.
fn bump(function: &mut Function, keys: &[i64], by: i64, model: &mut Added) {
    for (key, found) in keys.iter().zip(super::keys(&mut function.state, keys)) {
        function.state.add(function.sum, found, Datum::Long(by)).unwrap();
        function.state.list_add(function.list, found, Datum::Long(by)).unwrap();
        let (sum, list) = model.entry(*key).or_default();
        *sum += by;
        list.push(by);
    }
}

fn ask(function: &mut Function, keys: &[i64]) -> Added {
    let mut all = Added::new();
    for batch in keys.chunks(BATCH) {
        function.state.make_room().unwrap();
        for (key, found) in batch.iter().zip(super::keys(&mut function.state, batch)) {
            let sum = function.state.get(function.sum, found).unwrap().and_then(|sum| sum.as_long());
            all.insert(*key, (sum.unwrap(), elements(&mut function.state, function.list, found)));
        }
    }
    all
}

#[test]
fn barriers_come_between_what_is_added_to_a_key_and_lose_nothing_of_it() {
    let directory = TempDir::new().unwrap();
    let all: Vec<i64> = (0..KEYS).collect();
    for form in [SnapshotForm::Native, SnapshotForm::Canonical] {
        let name = format!("{form:?}");
        let mut function = function(KeyedState::new(whole(), max(), Vec::new()).on(&backend(&directory, &name), &name), None);
        let (mut model, mut snapshots) = (Added::new(), Vec::new());
        for round in 1..=3 {
            for (number, batch) in all.chunks(BATCH).enumerate() {
                function.state.make_room().unwrap();
                bump(&mut function, batch, round, &mut model);
                if number % 4 == 1 {
                    // The same keys on both sides of a barrier, and some that are asked for behind it, before anybody reads the snapshot.
                    let snapshot = function.state.snapshot_as(form).unwrap();
                    snapshots.push((snapshot, model.clone()));
                    bump(&mut function, &batch[..100], 10, &mut model);
                    if number % 8 == 1 {
                        let seen = ask(&mut function, &batch[50..150]);
                        assert!(seen.iter().all(|(key, added)| model[key] == *added), "{form:?}, round {round}, batch {number}");
                    }
                }
            }
        }
        snapshots.push((function.state.snapshot_as(form).unwrap(), model.clone()));
        for (number, (snapshot, then)) in snapshots.into_iter().enumerate() {
            let stores = snapshot.store.iter().map(files_of).collect();
            let memory = backend(&directory, &format!("{name}-{number}"));
            let heap = Backend::new(&BackendSettings::HashMap, directory.path().join("heap"));
            let backend = if number % 2 == 0 { &heap } else { &memory };
            let state = KeyedState::new(whole(), max(), read(snapshot)).restored_from(stores, backend).on(backend, "later");
            let mut later = super::spill::function(state, None);
            assert_eq!(all_keys(&mut later.state), then.keys().copied().collect::<Vec<_>>());
            let keys: Vec<i64> = then.keys().copied().collect();
            assert!(ask(&mut later, &keys) == then, "{form:?}, snapshot {number}");
        }
        assert!(ask(&mut function, &all) == model, "{form:?}");
    }
}

#[test]
fn a_function_that_asks_has_its_keys_read_before_it_is_called() {
    let directory = TempDir::new().unwrap();
    let mut function = function(KeyedState::new(whole(), max(), Vec::new()).on(&backend(&directory, "a"), "a"), None);
    let (all, mut model): (Vec<i64>, _) = ((0..KEYS).collect(), Added::new());
    for _ in 0..3 {
        for batch in all.chunks(BATCH) {
            function.state.make_room().unwrap();
            bump(&mut function, batch, 1, &mut model);
        }
    }
    assert_eq!(function.reads(), 0);
    // One question brings up its whole batch; the next batches come up by themselves.
    function.state.make_room().unwrap();
    let found = super::keys(&mut function.state, &all[..100]);
    function.state.get(function.sum, found[0]).unwrap();
    assert_eq!(function.reads(), 100);
    function.state.make_room().unwrap();
    super::keys(&mut function.state, &all[1_000..1_100]);
    assert_eq!(function.reads(), 200);
    assert!(ask(&mut function, &all) == model);
}

#[test]
fn what_was_added_is_put_together_by_whoever_reads_the_files_if_the_function_is_named() {
    let directory = TempDir::new().unwrap();
    let mut function = function(KeyedState::new(whole(), max(), Vec::new()).on(&backend(&directory, "a"), "a"), None);
    let (all, mut model): (Vec<i64>, _) = ((0..KEYS).collect(), Added::new());
    for by in 1..=2 {
        for batch in all.chunks(BATCH) {
            function.state.make_room().unwrap();
            bump(&mut function, batch, by, &mut model);
        }
        // What a barrier leaves in files is not merged before they are compacted.
        let store = function.state.snapshot_as(SnapshotForm::Native).unwrap().store.unwrap();
        files_of(&store);
    }
    let store = function.state.snapshot_as(SnapshotForm::Native).unwrap().store.unwrap();
    let stored = store.states.iter().find(|state| state.descriptor.name == "sum").unwrap();
    assert!(stored.at_most && stored.fold.as_deref() == Some("sum"));
    let files = files_of(&store);
    let sums = |fold: Option<&str>| -> Result<Vec<i64>, String> {
        let state = SavedState { fold: fold.map(str::to_owned), ..SavedState::from(stored) };
        let batches = crate::state::read_store(&files, &state, whole(), &backend(&directory, "reader")).map_err(|e| e.to_string())?;
        let mut sums = Vec::new();
        for batch in batches {
            let batch = batch.map_err(|e| e.to_string())?;
            sums.extend(batch.column(2).as_primitive::<arrow::datatypes::Int64Type>().values());
        }
        Ok(sums)
    };
    assert!(sums(Some("sum")).unwrap() == vec![3; KEYS as usize]);
    let error = sums(None).err().unwrap_or_default();
    assert!(error.contains("state sum: there are several values of one key"), "{error}");
}

#[test]
fn a_state_with_ttl_or_a_function_of_the_program_is_read_before_anything_is_added() {
    #[derive(Debug)]
    struct Concatenate;
    impl crate::state::FoldFunction for Concatenate {
        fn add(&self, accumulator: &mut Datum, value: Datum) -> Result<(), String> {
            let text = format!("{}{}", accumulator.as_text().unwrap_or_default(), value.as_text().unwrap_or_default());
            *accumulator = Datum::from(text);
            Ok(())
        }
    }
    let directory = TempDir::new().unwrap();
    let mut state = KeyedState::new(whole(), max(), Vec::new()).on(&backend(&directory, "a"), "a");
    let texts = StateDescriptor::reducing("texts", &key_schema(), text());
    let texts = state.register(texts, Fold::Custom(Arc::new(Concatenate))).unwrap();
    let expiring = state.register(list("expiring").with_ttl(Some(ttl(100))), Fold::None).unwrap();
    let all: Vec<i64> = (0..KEYS).collect();
    for (now, letter) in [(0, "a"), (50, "b"), (120, "c")] {
        for batch in all.chunks(BATCH) {
            state.make_room().unwrap();
            at(&mut state, now);
            for found in super::keys(&mut state, batch) {
                state.add(texts, found, Datum::from(letter)).unwrap();
                state.list_add(expiring, found, Datum::Long(now)).unwrap();
            }
        }
    }
    for key in [0, 77, KEYS - 1] {
        state.make_room().unwrap();
        let found = one(&mut state, key);
        assert_eq!(state.get(texts, found).unwrap(), Some(Datum::from("abc")));
        assert_eq!(elements(&mut state, expiring, found), [50, 120]);
    }
}

#[test]
fn the_value_of_no_row_is_a_key_that_holds_nothing() {
    use crate::state::keyed::merge::KeyRows;
    use crate::state::rocksdb::{NO_ROW, Shorten, split_expiry};
    let rows = KeyRows::default();
    assert_eq!(rows.value(&NO_ROW), None, "there is nothing to be made shorter");
    assert_eq!(split_expiry(&NO_ROW).unwrap().0, crate::state::rocksdb::NEVER);
    let (_, layout) = crate::state::keyed::keys::key_layout(&key_schema()).unwrap();
    let mut found = crate::state::groups::Rows::new(&layout);
    let (row, rest) = crate::state::groups::read_row(&[0, 0, 1, 128, 0, 0, 0, 0, 0, 0, 7], &NO_ROW[8..], &layout, &mut found).unwrap();
    assert_eq!((row, rest), (0, &[][..]));
}
