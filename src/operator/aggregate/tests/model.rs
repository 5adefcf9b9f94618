//! Any changelog, against a plain model: at any batch size, on both backends, across restores.

use super::*;

/// A row of the model's input: key parts, values, filter.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    pub(super) insert: bool,
    pub(super) key: (Option<i64>, u8),
    pub(super) number: Option<i32>,
    pub(super) text: Option<String>,
    pub(super) filter: Option<bool>,
}

pub(super) fn model_spec(keys: usize, mode: ChangelogMode, emit_update_before: bool) -> AggregateSpec {
    let input = &[
        ("k", TypeKind::BigInt),
        ("l", TypeKind::String),
        ("v", TypeKind::Int),
        ("t", TypeKind::String),
        ("f", TypeKind::Boolean),
        ("d", TypeKind::Double),
    ];
    let distinct = |mut call: AggregateCall| {
        call.distinct = true;
        call
    };
    let filtered = |mut call: AggregateCall| {
        call.filter = Some(4);
        call
    };
    let calls = vec![
        filtered(call(F::CountStar, None, "filtered", TypeKind::BigInt)),
        call(F::Count, Some(2), "count", TypeKind::BigInt),
        call(F::Sum, Some(2), "sum", TypeKind::Int),
        filtered(call(F::Min, Some(2), "min", TypeKind::Int)),
        call(F::Max, Some(5), "max", TypeKind::Double),
        call(F::Min, Some(3), "first", TypeKind::String),
        filtered(call(F::Max, Some(3), "last", TypeKind::String)),
        distinct(call(F::Count, Some(3), "texts", TypeKind::BigInt)),
        distinct(filtered(call(F::Sum, Some(2), "dsum", TypeKind::Int))),
        call(F::Avg, Some(5), "avg", TypeKind::Double),
    ];
    let group_by: Vec<usize> = match keys {
        0 => vec![],
        1 => vec![0],
        2 => vec![1],
        _ => vec![1, 0],
    };
    AggregateSpec { input_mode: mode, emit_update_before, ..spec(input, &group_by, calls) }
}

pub(super) fn show<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "null".to_owned(), |value| value.to_string())
}

pub(super) fn key_of(row: &Row, keys: usize) -> Vec<String> {
    let letter = || format!("key-{}", row.key.1);
    match keys {
        0 => vec![],
        1 => vec![show(row.key.0)],
        2 => vec![letter()],
        _ => vec![letter(), show(row.key.0)],
    }
}

/// The aggregates of a group, from all of its rows.
pub(super) fn results(rows: &[Row]) -> Vec<String> {
    let all = || rows.iter();
    let past = || rows.iter().filter(|row| row.filter == Some(true));
    let numbers: Vec<i32> = all().filter_map(|row| row.number).collect();
    let sum = numbers.iter().copied().reduce(i32::wrapping_add);
    let float = |value: f64| format!("{value:?}");
    let mut texts: Vec<&String> = all().filter_map(|row| row.text.as_ref()).collect();
    let first = texts.iter().min().copied().cloned();
    texts.sort();
    texts.dedup();
    let mut distinct: Vec<i32> = past().filter_map(|row| row.number).collect();
    distinct.sort_unstable();
    distinct.dedup();
    let average = (!numbers.is_empty()).then(|| numbers.iter().map(|v| f64::from(*v)).sum::<f64>() / numbers.len() as f64);
    vec![
        past().count().to_string(),
        numbers.len().to_string(),
        show(sum),
        show(past().filter_map(|row| row.number).min()),
        show(numbers.iter().max().map(|v| float(f64::from(*v)))),
        show(first),
        show(past().filter_map(|row| row.text.clone()).max()),
        texts.len().to_string(),
        show(distinct.into_iter().reduce(i32::wrapping_add)),
        show(average.map(float)),
    ]
}

#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) groups: BTreeMap<Vec<String>, Vec<Row>>,
    /// What did not change comes out, too.
    pub(super) always: bool,
}

impl Model {
    pub(super) fn apply(&mut self, row: &Row, keys: usize, update_before: bool) -> Vec<String> {
        let key = key_of(row, keys);
        let line = |kind: &str, values: &[String]| format!("{kind}[{}]", [key.clone(), values.to_vec()].concat().join(", "));
        let Some(group) = self.groups.get_mut(&key) else {
            if !row.insert {
                return vec![];
            }
            let group = vec![row.clone()];
            let out = vec![line("+I", &results(&group))];
            self.groups.insert(key, group);
            return out;
        };
        let old = results(group);
        if row.insert {
            group.push(row.clone());
        } else {
            let gone = Row { insert: true, ..row.clone() };
            let at = group.iter().position(|other| *other == gone).expect("the generator takes back rows that are there");
            group.remove(at);
        }
        if group.is_empty() {
            let out = vec![line("-D", &old)];
            self.groups.remove(&key);
            return out;
        }
        let new = results(group);
        if old == new && !self.always {
            return vec![];
        }
        let mut out = Vec::new();
        if update_before {
            out.push(line("-U", &old));
        }
        out.push(line("+U", &new));
        out
    }
}

pub(super) fn input_batch(schema: &Schema, rows: &[Row], append: bool) -> Batch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|row| row.key.0).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|row| Some(format!("key-{}", row.key.1))).collect::<StringArray>()),
        Arc::new(rows.iter().map(|row| row.number).collect::<Int32Array>()),
        Arc::new(rows.iter().map(|row| row.text.clone()).collect::<StringArray>()),
        Arc::new(rows.iter().map(|row| row.filter).collect::<BooleanArray>()),
        Arc::new(rows.iter().map(|row| row.number.map(f64::from)).collect::<Float64Array>()),
    ];
    let kinds: Vec<&str> = rows.iter().map(|row| if row.insert { "+I" } else { "-D" }).collect();
    batch(schema, columns, &if append { String::new() } else { kinds.join(" ") })
}

/// Which subtask each row of a batch belongs to.
pub(super) fn owners(batch: &Batch, group_by: &[usize], harness: &OperatorHarness, parallelism: Parallelism) -> Vec<usize> {
    let keys: Vec<ArrayRef> = group_by.iter().map(|column| Arc::clone(batch.column(*column))).collect();
    let mut hashes = Vec::new();
    hash_keys(&keys, batch.num_rows(), &mut hashes).unwrap();
    let max = harness.max_parallelism();
    hashes.iter().map(|hash| subtask_of(key_group_of(*hash, max), max, parallelism)).collect()
}

pub(super) fn row_strategy() -> impl Strategy<Value = (bool, Row, prop::sample::Index)> {
    let key = (prop::option::weighted(0.9, -3_i64..8), 0_u8..6);
    let value = (
        prop::option::weighted(0.8, prop_oneof![-4_i32..5, Just(i32::MAX), Just(i32::MIN)]),
        prop::option::weighted(0.8, "[a-cä]{0,3}"),
        any::<Option<bool>>(),
    );
    let row = (key, value).prop_map(|(key, (number, text, filter))| Row { insert: true, key, number, text, filter });
    (prop::bool::weighted(0.55), row, any::<prop::sample::Index>())
}

/// Inserts, and retractions of rows that are there at that moment, and now and then of a group that is not.
pub(super) fn history(steps: Vec<(bool, Row, prop::sample::Index)>, append: bool, keys: usize) -> Vec<Row> {
    let mut present: Vec<Row> = Vec::new();
    let mut rows = Vec::new();
    for (insert, row, index) in steps {
        if append || insert {
            present.push(row.clone());
            rows.push(row);
        } else if !present.iter().any(|other| key_of(other, keys) == key_of(&row, keys)) {
            rows.push(Row { insert: false, ..row });
        } else {
            let gone = present.remove(index.index(present.len()));
            rows.push(Row { insert: false, ..gone });
        }
    }
    rows
}

/// The backend that states are on.
pub(super) struct World {
    pub(super) backend: Backend,
    pub(super) _directory: TempDir,
}

/// A file of a store that lies where it was frozen.
#[derive(Debug)]
pub(super) struct FrozenFile(Arc<StoreImage>, PathBuf);

impl FileSource for FrozenFile {
    fn place(&self, target: &Path, is_immutable: bool) -> std::io::Result<()> {
        assert!(!self.0.files().is_empty());
        if is_immutable { std::fs::hard_link(&self.1, target) } else { std::fs::copy(&self.1, target).map(drop) }
    }
}

impl World {
    /// `memory`: of RocksDB and the tables before it, in bytes; none for the heap.
    pub(super) fn new(memory: Option<u64>) -> Self {
        let directory = TempDir::new().unwrap();
        let rocks = |memory| BackendSettings::RocksDb(Box::new(RocksSettings { memory: ByteSize(memory), ..RocksSettings::default() }));
        let settings = memory.map_or(BackendSettings::HashMap, rocks);
        Self { backend: Backend::new(&settings, directory.path().join("job")), _directory: directory }
    }

    pub(super) fn subtask(
        &self,
        factory: &GroupAggregateFactory,
        (index, parallelism): (usize, usize),
        rows: Vec<RestoredState>,
        stores: Vec<Arc<StoreFiles>>,
    ) -> OperatorHarness {
        let (max, parallelism) = (MaxParallelism::new(128).unwrap(), Parallelism::new(parallelism).unwrap());
        let state = KeyedState::new(KeyGroupRange::of_subtask(max, parallelism, index), max, rows);
        let state = state.restored_from(stores, &self.backend).on(&self.backend, "0");
        OperatorHarness::with_state(factory, index, state).unwrap()
    }

    pub(super) fn alone(&self, factory: &GroupAggregateFactory) -> OperatorHarness {
        self.subtask(factory, (0, 1), Vec::new(), Vec::new())
    }

    /// Restores `parallelism` subtasks from the snapshots of the subtasks before, in the backend's form or as rows.
    pub(super) fn restore(
        &self,
        factory: &GroupAggregateFactory,
        before: &mut [OperatorHarness],
        (native, parallelism): (bool, usize),
    ) -> Vec<OperatorHarness> {
        if !native {
            return restore(factory, before, |rows| {
                (0..parallelism).map(|i| self.subtask(factory, (i, parallelism), rows.clone(), vec![])).collect()
            });
        }
        let mut stores = Vec::new();
        for harness in before {
            let Some(store) = harness.native_snapshot().unwrap().store else { continue };
            let image = store.image().unwrap();
            let file = |file: &ImageFile| StoreFile {
                name: file.name.clone(),
                source: Arc::new(FrozenFile(Arc::clone(&image), file.path.clone())),
            };
            let files = image.files().iter().map(file).collect();
            stores.push(Arc::new(StoreFiles { states: store.states.iter().map(SavedState::from).collect(), files }));
        }
        (0..parallelism).map(|index| self.subtask(factory, (index, parallelism), Vec::new(), stores.clone())).collect()
    }
}

/// The heap, RocksDB with hardly any memory, RocksDB with plenty.
pub(super) fn memory_strategy() -> impl Strategy<Value = Option<u64>> {
    prop_oneof![2 => Just(None), 2 => Just(Some(0)), 2 => (1_u64..40_000).prop_map(Some), 1 => Just(Some(1 << 24))]
}

/// Restores subtasks by `make` from the snapshots of the subtasks before.
pub(super) fn restore(
    factory: &GroupAggregateFactory,
    before: &mut [OperatorHarness],
    make: impl FnOnce(Vec<RestoredState>) -> Vec<OperatorHarness>,
) -> Vec<OperatorHarness> {
    assert!(!factory.spec().batch_mode);
    let mut merged: Vec<RestoredState> = Vec::new();
    for harness in before {
        for state in OperatorHarness::read(harness.snapshot().unwrap()).unwrap() {
            match merged.iter_mut().find(|other| other.descriptor == state.descriptor) {
                Some(other) => other.batches.extend(state.batches),
                None => merged.push(state),
            }
        }
    }
    make(merged)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn the_changelog_is_the_models_row_by_row_at_any_batch_size_and_across_restores(
        steps in prop::collection::vec(row_strategy(), 1..200),
        sizes in prop::collection::vec(1_usize..40, 1..12),
        keys in 0_usize..4,
        append in any::<bool>(),
        update_before in any::<bool>(),
        moves in prop::collection::vec(prop::option::weighted(0.3, (any::<bool>(), 1_usize..4)), 1..8),
        memory in memory_strategy(),
    ) {
        let world = World::new(memory);
        let mode = if append { ChangelogMode::AppendOnly } else { ChangelogMode::Retract };
        let factory = GroupAggregateFactory::new(model_spec(keys, mode, update_before));
        let mut subtasks = vec![world.alone(&factory)];
        let mut model = Model::default();
        let rows_in = history(steps, append, keys);
        let (mut rest, mut sizes, mut moves) = (rows_in.as_slice(), sizes.iter().cycle(), moves.iter().cycle());
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(*sizes.next().unwrap()));
            rest = later;
            let input = input_batch(&factory.spec().input, now, append);
            let parallelism = Parallelism::new(subtasks.len()).unwrap();
            let owners = owners(&input, &factory.spec().group_by, &subtasks[0], parallelism);
            for (index, subtask) in subtasks.iter_mut().enumerate() {
                let mine: Vec<u32> = (0..now.len() as u32).filter(|at| owners[*at as usize] == index).collect();
                let expected: Vec<String> = mine.iter().flat_map(|at| model.apply(&now[*at as usize], keys, update_before)).collect();
                let part = input.take(&UInt32Array::from(mine)).unwrap();
                prop_assert_eq!(rows(&subtask.process(part).unwrap()).unwrap(), expected);
            }
            if let Some((native, parallelism)) = moves.next().unwrap() {
                subtasks = world.restore(&factory, &mut subtasks, (*native && memory.is_some(), *parallelism));
            }
        }
    }

    #[test]
    fn a_snapshot_shows_its_moment_however_late_it_is_read(
        steps in prop::collection::vec(row_strategy(), 1..150),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 1..4),
        append in any::<bool>(),
        keys in 0_usize..4,
        memory in memory_strategy(),
    ) {
        let world = World::new(memory);
        let mode = if append { ChangelogMode::AppendOnly } else { ChangelogMode::Retract };
        let factory = GroupAggregateFactory::new(model_spec(keys, mode, false));
        let mut harness = world.alone(&factory);
        let rows_in = history(steps, append, keys);
        let cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(rows_in.len())).collect();
        let mut open = Vec::new();
        for (at, row) in rows_in.iter().enumerate() {
            if cuts.contains(&at) {
                let snapshot = harness.snapshot().unwrap();
                // The same moment, read at once.
                let copy = OperatorHarness::read(harness.snapshot().unwrap()).unwrap();
                open.push((snapshot, copy));
            }
            harness.process(input_batch(&factory.spec().input, std::slice::from_ref(row), append)).unwrap();
        }
        for (snapshot, copy) in open {
            let late = OperatorHarness::read(snapshot).unwrap();
            prop_assert_eq!(late.len(), 1);
            prop_assert_eq!(&late[0].descriptor, &copy[0].descriptor);
            prop_assert_eq!(&late[0].batches, &copy[0].batches);
        }
    }

    #[test]
    fn mini_batches_and_batch_mode_end_with_the_results_of_the_row_by_row_changelog(
        steps in prop::collection::vec(row_strategy(), 1..200),
        size in 1_usize..50,
        keys in 0_usize..4,
        append in any::<bool>(),
        update_before in any::<bool>(),
        memory in memory_strategy(),
    ) {
        let world = World::new(memory);
        let mode = if append { ChangelogMode::AppendOnly } else { ChangelogMode::Retract };
        let mini = AggregateSpec { mini_batch: true, ..model_spec(keys, mode, update_before) };
        let bounded = AggregateSpec { batch_mode: true, ..model_spec(keys, mode, false) };
        let factory = GroupAggregateFactory::new(mini);
        let mut mini = world.alone(&factory);
        let mut bounded = OperatorHarness::new(&GroupAggregateFactory::new(bounded)).unwrap();
        let mut model = Model::default();
        let mut table: BTreeMap<String, String> = BTreeMap::new();
        let rows_in = history(steps, append, keys);
        let key_columns = factory.spec().group_by.len();
        for now in rows_in.chunks(size) {
            for row in now {
                model.apply(row, keys, false);
            }
            let input = input_batch(&factory.spec().input, now, append);
            prop_assert!(bounded.process(input.clone()).unwrap().is_empty());
            for line in rows(&mini.process(input).unwrap()).unwrap() {
                let (kind, values) = line.trim_end_matches(']').split_once('[').unwrap();
                let split = values.match_indices(", ").nth(key_columns.wrapping_sub(1)).map_or(0, |(at, _)| at);
                let (key, value) = (values[..split].to_owned(), values[split..].to_owned());
                let before = table.get(&key).cloned();
                match kind {
                    "+I" => prop_assert_eq!(table.insert(key, value), None),
                    "-U" | "-D" => prop_assert_eq!(table.remove(&key), Some(value)),
                    _ => {
                        prop_assert!(update_before || (before.is_some() && before.as_ref() != Some(&value)), "{}", line);
                        table.insert(key, value);
                    }
                }
            }
        }
        let lines = |kind: &str| -> Vec<String> {
            model.groups.iter().map(|(key, rows)| format!("{kind}[{}]", [key.clone(), results(rows)].concat().join(", "))).collect()
        };
        let mut shown: Vec<String> =
            table.iter().map(|(key, value)| format!("+I[{}]", format!("{key}{value}").trim_start_matches(", "))).collect();
        shown.sort();
        let mut expected = lines("+I");
        expected.sort();
        prop_assert_eq!(&shown, &expected);
        let mut bounded = rows_of(&bounded.end_of_input().unwrap(), 0).unwrap();
        bounded.sort();
        if keys > 0 || !model.groups.is_empty() {
            prop_assert_eq!(&bounded, &expected);
        }
    }
}
