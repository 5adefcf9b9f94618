//! Random operations against a plain model, on both backends, with checkpoints and savepoints, restores on either backend, rescaling, TTL
//! and the passing of time in between.

use super::*;
use crate::state::SnapshotForm;
use proptest::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};

/// One thing that happens.
#[derive(Debug, Clone)]
enum Step {
    Set(i64, Option<i64>),
    Read(i64),
    Add(i64, i64),
    Push(i64, i64),
    ClearList(i64),
    Put(i64, u8, i64),
    Remove(i64, u8),
    Timer(i64, i64),
    NoTimer(i64, i64),
    Fire(i64),
    Pass(i64),
    /// A snapshot that is read only after so many more steps; what it holds is compared with the model of then.
    Snapshot(SnapshotForm, usize),
    /// Everything is saved and restored in so many subtasks, with so much memory (`None`: on the heap).
    Rescale(SnapshotForm, usize, Option<u64>),
    /// What may leave the disk leaves it.
    Compact,
}

fn form() -> impl Strategy<Value = SnapshotForm> {
    prop_oneof![Just(SnapshotForm::Canonical), Just(SnapshotForm::Native)]
}

/// The heap, RocksDB with hardly any memory, RocksDB with plenty.
fn memory() -> impl Strategy<Value = Option<u64>> {
    prop_oneof![2 => Just(None), 3 => Just(Some(0)), 3 => (1_u64..8_000).prop_map(Some), 1 => Just(Some(1 << 24))]
}

fn step() -> impl Strategy<Value = Step> {
    let key = || 0_i64..12;
    prop_oneof![
        4 => (key(), prop::option::of(0_i64..100)).prop_map(|(k, v)| Step::Set(k, v)),
        2 => key().prop_map(Step::Read),
        3 => (key(), 0_i64..100).prop_map(|(k, v)| Step::Add(k, v)),
        4 => (key(), 0_i64..100).prop_map(|(k, v)| Step::Push(k, v)),
        1 => key().prop_map(Step::ClearList),
        4 => (key(), 0_u8..5, 0_i64..100).prop_map(|(k, e, v)| Step::Put(k, e, v)),
        2 => (key(), 0_u8..5).prop_map(|(k, e)| Step::Remove(k, e)),
        3 => (key(), 0_i64..60).prop_map(|(k, t)| Step::Timer(k, t)),
        1 => (key(), 0_i64..60).prop_map(|(k, t)| Step::NoTimer(k, t)),
        1 => (0_i64..60).prop_map(Step::Fire),
        3 => (1_i64..6).prop_map(Step::Pass),
        2 => (form(), 0_usize..10).prop_map(|(form, wait)| Step::Snapshot(form, wait)),
        1 => (form(), 1_usize..5, memory()).prop_map(|(form, parallelism, memory)| Step::Rescale(form, parallelism, memory)),
        1 => Just(Step::Compact),
    ]
}

type Stamped = (i64, i64);

/// What the state should be. Every value has the time at which it expires (`i64::MAX` without TTL).
#[derive(Debug, Clone, Default, PartialEq)]
struct Model {
    values: BTreeMap<i64, Stamped>,
    sums: BTreeMap<i64, Stamped>,
    lists: BTreeMap<i64, Vec<Stamped>>,
    maps: BTreeMap<(i64, u8), Stamped>,
    timers: std::collections::BTreeSet<(i64, i64)>,
}

impl Model {
    /// All keys that hold something.
    fn keys(&self) -> Vec<i64> {
        let keys = self.values.keys().chain(self.sums.keys()).chain(self.lists.keys()).copied();
        let keys = keys.chain(self.maps.keys().map(|(key, _)| *key)).chain(self.timers.iter().map(|(_, key)| *key));
        keys.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
    }

    fn expire(&mut self, now: i64) {
        self.values.retain(|_, v| v.1 > now);
        self.sums.retain(|_, v| v.1 > now);
        self.maps.retain(|_, v| v.1 > now);
        self.lists.values_mut().for_each(|list| list.retain(|v| v.1 > now));
        self.lists.retain(|_, list| !list.is_empty());
    }
}

struct Subtask {
    range: KeyGroupRange,
    state: KeyedState,
    handles: [StateHandle; 4],
    timers: TimersHandle,
}

struct World {
    ttl: Option<StateTtl>,
    now: i64,
    subtasks: Vec<Subtask>,
    memory: Option<u64>,
    places: Arc<Places>,
}

impl World {
    fn new(ttl: Option<StateTtl>, now: i64, places: &Arc<Places>) -> Self {
        Self { ttl, now, subtasks: Vec::new(), memory: None, places: Arc::clone(places) }
    }

    fn start(&mut self, parallelism: usize, memory: Option<u64>, saved: &Saved) {
        let parallelism = Parallelism::new(parallelism).unwrap();
        self.subtasks.clear();
        self.memory = memory;
        let backend = self.places.backend(memory);
        for index in 0..parallelism.get() {
            let range = KeyGroupRange::of_subtask(max(), parallelism, index);
            let state = KeyedState::new(range, max(), saved.rows.clone());
            let mut state = state.restored_from(saved.stores.clone(), &backend).on(&backend, "store");
            at(&mut state, self.now);
            let plain = |descriptor: StateDescriptor| (descriptor.with_ttl(self.ttl), Fold::None);
            let sum = StateDescriptor::reducing("sum", &key_schema(), big()).with_ttl(self.ttl);
            let all = [plain(value("value")), (sum, Fold::reducing("sum", &big()).unwrap()), plain(list("list")), plain(map("map"))];
            let handles = all.map(|(descriptor, fold)| state.register(descriptor, fold).unwrap());
            let timers = state.register_timers(&key_schema()).unwrap();
            self.subtasks.push(Subtask { range, state, handles, timers });
        }
    }

    /// The subtask of a key, and the key in it.
    fn at(&mut self, key: i64) -> (&mut Subtask, KeyRef) {
        let columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(vec![key]))];
        let mut hashes = Vec::new();
        hash_keys(&columns, 1, &mut hashes).unwrap();
        let group = key_group_of(hashes[0], max());
        let subtask = self.subtasks.iter_mut().find(|subtask| subtask.range.contains(group)).unwrap();
        let mut found = Vec::new();
        subtask.state.make_room().unwrap();
        subtask.state.keys(&columns, &hashes, &mut found).unwrap();
        (subtask, found[0])
    }

    fn pass(&mut self, by: i64) {
        self.now += by;
        for subtask in &mut self.subtasks {
            at(&mut subtask.state, self.now);
        }
    }

    fn snapshot(&mut self, form: SnapshotForm) -> Vec<KeyedSnapshot> {
        self.subtasks.iter_mut().map(|subtask| subtask.state.snapshot_as(form).unwrap()).collect()
    }
}

/// Working directories.
struct Places {
    directory: tempfile::TempDir,
    next: AtomicUsize,
}

impl Places {
    fn new() -> Arc<Self> {
        Arc::new(Self { directory: tempfile::TempDir::new().unwrap(), next: AtomicUsize::new(1) })
    }

    fn backend(&self, memory: Option<u64>) -> Backend {
        let settings = match memory {
            None => BackendSettings::HashMap,
            Some(bytes) => BackendSettings::RocksDb(Box::new(RocksSettings { memory: ByteSize(bytes), ..RocksSettings::default() })),
        };
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        Backend::new(&settings, self.directory.path().join(number.to_string()))
    }
}

/// What a checkpoint or savepoint has of all subtasks.
#[derive(Default)]
struct Saved {
    rows: Vec<RestoredState>,
    stores: Vec<Arc<StoreFiles>>,
    /// Rows that stores have by their own account, by state, and whether that is the most that there can be.
    counted: BTreeMap<String, (u64, bool)>,
}

/// The parts of all subtasks as one checkpoint.
fn merge(snapshots: Vec<KeyedSnapshot>) -> Saved {
    let mut merged = Saved::default();
    for mut snapshot in snapshots {
        if let Some(store) = snapshot.store.take() {
            merged.stores.push(files_of(&store));
            for state in store.states {
                let counted = merged.counted.entry(state.descriptor.name.clone()).or_default();
                *counted = (counted.0 + state.rows, counted.1 | state.at_most);
            }
        }
        for state in read(snapshot) {
            match merged.rows.iter_mut().find(|m| m.descriptor.name == state.descriptor.name) {
                Some(known) => known.batches.extend(state.batches),
                None => merged.rows.push(state),
            }
        }
    }
    merged
}

/// The rows of stores are those that they say they have.
fn assert_counted(saved: &Saved, places: &Places) {
    for (name, (counted, at_most)) in &saved.counted {
        let rows = |files: &Arc<StoreFiles>| {
            let state = files.states.iter().find(|state| state.descriptor.name == *name).unwrap();
            let batches = crate::state::read_store(files, state, whole(), &places.backend(None)).unwrap();
            batches.map(|batch| batch.unwrap().num_rows() as u64).sum::<u64>()
        };
        let found = saved.stores.iter().map(rows).sum::<u64>();
        assert!(found == *counted || *at_most && found < *counted, "{name}: {found} rows, not {counted}");
    }
}

fn entry_name(entry: u8) -> Datum {
    Datum::from(format!("e{entry}"))
}

/// Values, sums and lists by key, map entries by key and map key.
type Contents = (BTreeMap<i64, i64>, BTreeMap<i64, i64>, BTreeMap<i64, Vec<i64>>, BTreeMap<(i64, u8), i64>);

/// All that a world holds, read key by key; timers without their keys' states.
fn contents(world: &mut World) -> Contents {
    let (mut values, mut sums, mut lists, mut maps) = Default::default();
    let mut insert = |key: i64, v: Option<i64>, s: Option<i64>, l: Vec<i64>, m: Vec<(u8, i64)>| {
        let _: &mut BTreeMap<i64, i64> = &mut values;
        v.map(|v| values.insert(key, v));
        let _: &mut BTreeMap<i64, i64> = &mut sums;
        s.map(|s| sums.insert(key, s));
        let _: &mut BTreeMap<i64, Vec<i64>> = &mut lists;
        if !l.is_empty() {
            lists.insert(key, l);
        }
        let _: &mut BTreeMap<(i64, u8), i64> = &mut maps;
        maps.extend(m.into_iter().map(|(e, v)| ((key, e), v)));
    };
    for key in 0..12 {
        let (subtask, found) = world.at(key);
        let [value, sum, list, map] = subtask.handles;
        let v = get(&mut subtask.state, value, found);
        let s = subtask.state.get(sum, found).unwrap().and_then(|d| d.as_long());
        let l = elements(&mut subtask.state, list, found);
        let m = entries(&mut subtask.state, map, found).into_iter().map(|(e, v)| (e[1..].parse().unwrap(), v.unwrap())).collect();
        insert(key, v, s, l, m);
    }
    (values, sums, lists, maps)
}

/// All keys that a walk meets.
fn walked(world: &mut World) -> Vec<i64> {
    let mut keys: Vec<i64> = world.subtasks.iter_mut().flat_map(|subtask| all_keys(&mut subtask.state)).collect();
    keys.sort_unstable();
    keys
}

fn expected(model: &Model) -> Contents {
    (
        model.values.iter().map(|(k, v)| (*k, v.0)).collect(),
        model.sums.iter().map(|(k, v)| (*k, v.0)).collect(),
        model.lists.iter().map(|(k, l)| (*k, l.iter().map(|v| v.0).collect())).collect(),
        model.maps.iter().map(|(k, v)| (*k, v.0)).collect(),
    )
}

fn all_timers(world: &mut World) -> std::collections::BTreeSet<(i64, i64)> {
    let mut all = std::collections::BTreeSet::new();
    for subtask in &mut world.subtasks {
        let mut put_back = Vec::new();
        while let Some((timestamp, key)) = subtask.state.next_due(subtask.timers, TimeDomain::EventTime, i64::MAX).unwrap() {
            all.insert((timestamp, subtask.state.key_of(key).unwrap()[0].as_long().unwrap()));
            put_back.push((timestamp, key));
        }
        for (timestamp, key) in put_back {
            subtask.state.register_timer(subtask.timers, TimeDomain::EventTime, key, timestamp).unwrap();
        }
    }
    all
}

#[expect(clippy::too_many_lines, reason = "one arm a step")]
fn apply(step: &Step, world: &mut World, model: &mut Model) {
    let now = world.now;
    let stamp = world.ttl.map_or(i64::MAX, |ttl| now + ttl.ttl.as_millis() as i64);
    let on_read = world.ttl.is_some_and(|ttl| ttl.update == TtlUpdate::OnReadAndWrite);
    match *step {
        Step::Set(key, v) => {
            let (subtask, found) = world.at(key);
            subtask.state.set_value(subtask.handles[0], found, Datum::from(v)).unwrap();
            match v {
                Some(v) => model.values.insert(key, (v, stamp)),
                None => model.values.remove(&key),
            };
        }
        Step::Read(key) => {
            let (subtask, found) = world.at(key);
            let seen = get(&mut subtask.state, subtask.handles[0], found);
            assert_eq!(seen, model.values.get(&key).map(|v| v.0));
            if on_read && let Some(value) = model.values.get_mut(&key) {
                value.1 = stamp;
            }
        }
        Step::Add(key, v) => {
            let (subtask, found) = world.at(key);
            subtask.state.add(subtask.handles[1], found, Datum::Long(v)).unwrap();
            let sum = model.sums.get(&key).map_or(0, |sum| sum.0);
            model.sums.insert(key, (sum + v, stamp));
        }
        Step::Push(key, v) => {
            let (subtask, found) = world.at(key);
            subtask.state.list_add(subtask.handles[2], found, Datum::Long(v)).unwrap();
            model.lists.entry(key).or_default().push((v, stamp));
        }
        Step::ClearList(key) => {
            let (subtask, found) = world.at(key);
            subtask.state.clear(subtask.handles[2], found).unwrap();
            model.lists.remove(&key);
        }
        Step::Put(key, entry, v) => {
            let (subtask, found) = world.at(key);
            subtask.state.map_put(subtask.handles[3], found, entry_name(entry), Datum::Long(v)).unwrap();
            model.maps.insert((key, entry), (v, stamp));
        }
        Step::Remove(key, entry) => {
            let (subtask, found) = world.at(key);
            subtask.state.map_remove(subtask.handles[3], found, &entry_name(entry)).unwrap();
            model.maps.remove(&(key, entry));
        }
        Step::Timer(key, timestamp) => {
            let (subtask, found) = world.at(key);
            subtask.state.register_timer(subtask.timers, TimeDomain::EventTime, found, timestamp).unwrap();
            model.timers.insert((timestamp, key));
        }
        Step::NoTimer(key, timestamp) => {
            let (subtask, found) = world.at(key);
            subtask.state.delete_timer(subtask.timers, TimeDomain::EventTime, found, timestamp).unwrap();
            model.timers.remove(&(timestamp, key));
        }
        Step::Fire(up_to) => {
            let mut fired = std::collections::BTreeSet::new();
            for subtask in &mut world.subtasks {
                subtask.state.make_room().unwrap();
                while let Some((timestamp, key)) = subtask.state.next_due(subtask.timers, TimeDomain::EventTime, up_to).unwrap() {
                    fired.insert((timestamp, subtask.state.key_of(key).unwrap()[0].as_long().unwrap()));
                }
            }
            let later = model.timers.split_off(&(up_to + 1, i64::MIN));
            assert_eq!(fired, std::mem::replace(&mut model.timers, later));
        }
        Step::Pass(by) => {
            world.pass(by);
            model.expire(world.now);
        }
        Step::Snapshot(..) => {}
        Step::Rescale(form, parallelism, memory) => {
            let saved = merge(world.snapshot(form));
            world.start(parallelism, memory, &saved);
        }
        Step::Compact => world.subtasks.iter().for_each(|subtask| subtask.state.compact()),
    }
}

/// Without TTL, by the wall clock, by the watermark, prolonged by reading.
fn ttl_strategy() -> impl Strategy<Value = Option<StateTtl>> {
    let ttl = ttl(9);
    prop_oneof![
        Just(None),
        Just(Some(ttl)),
        Just(Some(StateTtl { time: TtlTime::Event, ..ttl })),
        Just(Some(StateTtl { update: TtlUpdate::OnReadAndWrite, ..ttl })),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn state_agrees_with_a_plain_model_on_both_backends_through_checkpoints_rescaling_and_ttl(
        steps in prop::collection::vec(step(), 1..100),
        ttl in ttl_strategy(),
        memory in memory(),
    ) {
        let places = Places::new();
        let mut world = World::new(ttl, 0, &places);
        world.start(1, memory, &Saved::default());
        let mut model = Model::default();
        // Snapshots that were taken and not read yet.
        let mut open: Vec<(usize, Vec<KeyedSnapshot>, Model, Option<i64>)> = Vec::new();
        for (number, step) in steps.iter().enumerate() {
            apply(step, &mut world, &mut model);
            if let Step::Snapshot(form, wait) = step {
                // What expires before the files of the store are frozen may leave them before.
                let now = world.memory.is_none().then_some(world.now);
                open.push((number + wait, world.snapshot(*form), model.clone(), now));
            }
            let (due, waiting) = open.into_iter().partition(|(due, ..)| *due <= number);
            open = waiting;
            for (_, snapshots, mut then, now) in due {
                let now = now.unwrap_or(world.now);
                then.expire(now);
                let saved = merge(snapshots);
                if ttl.is_none() {
                    assert_counted(&saved, &places);
                }
                let mut past = World::new(ttl, now, &places);
                past.start(2, memory, &saved);
                prop_assert_eq!(contents(&mut past), expected(&then));
                prop_assert_eq!(all_timers(&mut past), then.timers);
            }
        }
        if ttl.is_none() {
            prop_assert_eq!(walked(&mut world), model.keys());
        }
        if ttl.is_none_or(|ttl| ttl.update == TtlUpdate::OnCreateAndWrite) {
            prop_assert_eq!(contents(&mut world), expected(&model));
        }
        prop_assert_eq!(all_timers(&mut world), model.timers);
    }
}
