//! Random operations against a plain model, with snapshots, restores, rescaling, TTL and the passing of time in between.

use super::*;
use proptest::prelude::*;

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
    /// A snapshot whose batches are read only after so many more steps; what it holds is compared with the model of then.
    Snapshot(usize),
    /// Everything is saved and restored in so many subtasks.
    Rescale(usize),
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
        1 => (0_usize..10).prop_map(Step::Snapshot),
        1 => (1_usize..5).prop_map(Step::Rescale),
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
}

impl World {
    fn start(&mut self, parallelism: usize, saved: &[RestoredState]) {
        let parallelism = Parallelism::new(parallelism).unwrap();
        self.subtasks.clear();
        for index in 0..parallelism.get() {
            let range = KeyGroupRange::of_subtask(max(), parallelism, index);
            let mut state = KeyedState::new(range, max(), saved.to_vec());
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
        subtask.state.keys(&columns, &hashes, &mut found).unwrap();
        (subtask, found[0])
    }

    fn pass(&mut self, by: i64) {
        self.now += by;
        for subtask in &mut self.subtasks {
            at(&mut subtask.state, self.now);
        }
    }

    fn snapshot(&mut self) -> Vec<KeyedSnapshot> {
        self.subtasks.iter_mut().map(|subtask| subtask.state.snapshot().unwrap()).collect()
    }
}

/// The parts of all subtasks as one checkpoint.
fn merge(snapshots: Vec<KeyedSnapshot>) -> Vec<RestoredState> {
    let mut merged: Vec<RestoredState> = Vec::new();
    for state in snapshots.into_iter().flat_map(read) {
        match merged.iter_mut().find(|m| m.descriptor.name == state.descriptor.name) {
            Some(known) => known.batches.extend(state.batches),
            None => merged.push(state),
        }
    }
    merged
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
        Step::Snapshot(_) => {}
        Step::Rescale(parallelism) => {
            let saved = merge(world.snapshot());
            world.start(parallelism, &saved);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(160))]
    #[test]
    fn state_agrees_with_a_plain_model_through_snapshots_rescaling_and_ttl(
        steps in prop::collection::vec(step(), 1..120),
        kind in 0..3,
    ) {
        let update = if kind == 2 { TtlUpdate::OnReadAndWrite } else { TtlUpdate::OnCreateAndWrite };
        let ttl = (kind > 0).then(|| StateTtl { update, ..ttl(9) });
        let mut world = World { ttl, now: 0, subtasks: Vec::new() };
        world.start(1, &[]);
        let mut model = Model::default();
        // Snapshots that were taken and not read yet.
        let mut open: Vec<(usize, Vec<KeyedSnapshot>, Model, i64)> = Vec::new();
        for (number, step) in steps.iter().enumerate() {
            apply(step, &mut world, &mut model);
            if let Step::Snapshot(wait) = step {
                open.push((number + wait, world.snapshot(), model.clone(), world.now));
            }
            let (due, waiting) = open.into_iter().partition(|(due, ..)| *due <= number);
            open = waiting;
            for (_, snapshots, then, now) in due {
                let mut past = World { ttl, now, subtasks: Vec::new() };
                past.start(2, &merge(snapshots));
                prop_assert_eq!(contents(&mut past), expected(&then));
                prop_assert_eq!(all_timers(&mut past), then.timers);
            }
        }
        if kind < 2 {
            prop_assert_eq!(contents(&mut world), expected(&model));
        }
        prop_assert_eq!(all_timers(&mut world), model.timers);
    }
}
