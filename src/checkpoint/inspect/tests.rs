//! Looking into savepoints, editing and building them: right ones, wrong ones, damaged ones.

use super::*;
use crate::checkpoint::parquet_file::FileWriter;
use crate::checkpoint::{
    JobEntry, ManifestHeader, OperatorHeader, OperatorStatePart, SnapshotKind, SnapshotTarget, SubtaskSnapshot, complete, open_directory,
    write_subtask,
};
use crate::state::{KeyedSnapshot, StateSnapshot, StateTtl};
use crate::storage::LocalStorage;
use crate::types::{
    CheckpointId, Column, JobId, KeyGroupRange, MaxParallelism, OperatorUid, Parallelism, WallTime, hash_keys, key_group_of,
};
use arrow::array::{ArrayRef, AsArray, Decimal128Array, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema as ArrowSchema};
use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

pub(super) const UID: &str = "totals/group-aggregate-1";
const STATE: &str = "totals/group-aggregate-1/groups";

fn schema(columns: &[(&str, &str)]) -> Schema {
    let column = |(name, t): &(&str, &str)| Column { name: (*name).to_owned(), data_type: t.parse().unwrap() };
    Schema::new(columns.iter().map(column).collect())
}

pub(super) fn descriptor() -> StateDescriptor {
    StateDescriptor {
        name: "groups".to_owned(),
        kind: StateKind::Groups,
        key: schema(&[("carrier", "STRING")]),
        value: schema(&[("flights", "BIGINT NOT NULL"), ("miles", "DECIMAL(20, 2)")]),
        ttl: None,
    }
}

fn max(groups: usize) -> MaxParallelism {
    MaxParallelism::new(groups).unwrap()
}

type Row<'a> = (Option<&'a str>, i64, i128);

/// Rows with their right key groups, sorted.
fn batch(rows: &[Row<'_>], groups: usize) -> RecordBatch {
    let keys: ArrayRef = Arc::new(rows.iter().map(|r| r.0).collect::<StringArray>());
    let mut hashes = Vec::new();
    hash_keys(std::slice::from_ref(&keys), rows.len(), &mut hashes).unwrap();
    let mut sorted: Vec<(u16, Row<'_>)> = hashes.iter().map(|h| key_group_of(*h, max(groups)).0).zip(rows.iter().copied()).collect();
    sorted.sort_by_key(|(group, _)| *group);
    let miles = Decimal128Array::from_iter_values(sorted.iter().map(|(_, r)| r.2)).with_precision_and_scale(20, 2).unwrap();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from_iter_values(sorted.iter().map(|(group, _)| i32::from(*group)))),
        Arc::new(sorted.iter().map(|(_, r)| r.0).collect::<StringArray>()),
        Arc::new(Int64Array::from_iter_values(sorted.iter().map(|(_, r)| r.1))),
        Arc::new(miles),
    ];
    RecordBatch::try_new(descriptor().columns().to_arrow(), columns).unwrap()
}

pub(super) fn header(id: u64, groups: usize, uids: &[&str]) -> ManifestHeader {
    let operator = |uid: &&str| OperatorHeader { uid: OperatorUid::new(*uid), kind: String::new(), parallelism: Parallelism::ONE };
    ManifestHeader {
        job: JobEntry { name: "flights".to_owned(), id: JobId::from_u128(42) },
        checkpoint: CheckpointId::new(id),
        kind: SnapshotKind::Savepoint,
        time: WallTime(1_000 * id as i64),
        max_parallelism: max(groups),
        options: BTreeMap::new(),
        operators: uids.iter().map(operator).collect(),
    }
}

fn splits() -> OperatorStatePart {
    let columns: Vec<ArrayRef> = vec![Arc::new(StringArray::from(vec!["in.csv"])), Arc::new(Int64Array::from(vec![17]))];
    OperatorStatePart {
        name: "splits".to_owned(),
        rows: RecordBatch::try_new(schema(&[("path", "STRING NOT NULL"), ("offset", "BIGINT")]).to_arrow(), columns).unwrap(),
    }
}

/// A savepoint in `dir` with the state in two subtasks.
fn saved_with(dir: &Path, rows: &[Row<'_>], groups: usize, descriptor: StateDescriptor) -> PathBuf {
    let storage = LocalStorage::shared();
    let target = SnapshotTarget::Directory { storage: Arc::clone(&storage), dir: dir.to_owned(), sharing: None };
    storage.create_dir_all(dir).unwrap();
    let all = batch(rows, groups);
    let mut written = Vec::new();
    for index in 0..2 {
        let range = KeyGroupRange::of_subtask(max(groups), Parallelism::new(2).unwrap(), index);
        let own = |g: &i32| range.contains(crate::types::KeyGroup(*g as u16));
        let mine: Vec<bool> = groups::groups_of(&all).iter().map(own).collect();
        let mine = arrow::compute::filter_record_batch(&all, &mine.into()).unwrap();
        let state = StateSnapshot { descriptor: Arc::new(descriptor.clone()), batches: Box::new(std::iter::once(Ok(mine))) };
        let keyed = KeyedSnapshot { states: vec![state], store: None };
        written.push(write_subtask(&target, SubtaskSnapshot::keyed(OperatorUid::new(UID), index, keyed)).unwrap());
    }
    let source =
        SubtaskSnapshot { operator_state: vec![splits()], ..SubtaskSnapshot::keyed(OperatorUid::new("bids"), 0, KeyedSnapshot::default()) };
    written.push(write_subtask(&target, source).unwrap());
    complete(&target, header(7, groups, &["bids", UID, "out"]), written).unwrap();
    dir.to_owned()
}

fn saved(dir: &Path, rows: &[Row<'_>]) -> PathBuf {
    saved_with(dir, rows, 128, descriptor())
}

const ROWS: [Row<'static>; 5] = [(Some("UA"), 5, 100), (Some("AA"), 7, 250), (None, 1, 0), (Some("DL"), 7, 3), (Some("9E"), 2, 75)];

pub(super) fn opened(path: &Path) -> Snapshot {
    Snapshot::open(LocalStorage::shared(), path.to_str().unwrap()).unwrap()
}

fn selection(keys: &[&str], columns: &[&str], limit: Option<u64>) -> Selection {
    let parsed = |texts: &[&str]| texts.iter().map(|t| t.parse().unwrap()).collect();
    Selection { keys: parsed(keys), columns: parsed(columns), limit }
}

/// The selected rows as JSON lines, in the order of their text.
fn lines(snapshot: &Snapshot, state: &str, selection: &Selection) -> Result<Vec<String>, InspectError> {
    let rows = snapshot.rows(snapshot.find_one(state)?, selection, false)?;
    let mut encoder = RowEncoder::new(RowFormat::Json, &rows.columns())?;
    let mut out = Vec::new();
    for batch in rows {
        encoder.encode(&batch?, &mut out)?;
    }
    let mut lines: Vec<String> = String::from_utf8(out).unwrap().lines().map(str::to_owned).collect();
    lines.sort();
    Ok(lines)
}

fn message(error: &InspectError) -> String {
    match error {
        InspectError::Asked { message, next } => format!("{message}; {}", next.as_deref().unwrap_or_default()),
        other => other.to_string(),
    }
}

#[test]
fn rows_are_found_by_key_by_any_column_and_up_to_a_limit() {
    let dir = tempfile::tempdir().unwrap();
    let snapshot = opened(&saved(&dir.path().join("a"), &ROWS));
    let found = |keys: &[&str], columns: &[&str], limit| lines(&snapshot, STATE, &selection(keys, columns, limit)).unwrap();
    assert_eq!(found(&["carrier=UA"], &[], None), [r#"{"carrier":"UA","flights":5,"miles":1}"#]);
    assert_eq!(found(&["carrier"], &[], None), [r#"{"carrier":null,"flights":1,"miles":0}"#]);
    assert_eq!(found(&[], &["flights=7"], None).len(), 2);
    assert_eq!(found(&[], &["flights=7", "miles=2.5"], None), [r#"{"carrier":"AA","flights":7,"miles":2.5}"#]);
    assert_eq!(found(&["carrier=XX"], &[], None), Vec::<String>::new());
    assert_eq!((found(&[], &[], None).len(), found(&[], &[], Some(2)).len()), (5, 2));
    assert_eq!(found(&[], &[], None).len(), 5, "operator state has no key: {:?}", lines(&snapshot, "bids/splits", &Selection::default()));
    let with_groups = snapshot.rows(snapshot.find_one(STATE).unwrap(), &Selection::default(), true).unwrap();
    assert_eq!(with_groups.columns().columns[0].name, "key_group");
}

#[test]
fn a_state_is_named_by_operator_and_state_by_its_operator_or_by_its_transform() {
    let dir = tempfile::tempdir().unwrap();
    let snapshot = opened(&saved(&dir.path().join("a"), &ROWS));
    for text in [STATE, UID, "totals", "totals/", "totals/group-aggregate-1/groups/"] {
        assert_eq!(snapshot.find_one(text).map(|s| s.address()).unwrap(), STATE, "{text}");
    }
    assert_eq!(snapshot.find_one("bids/operator/splits").unwrap().kind(), "operator");
    for (wrong, says) in [
        ("total/group-aggregate-1/groups", "did you mean totals/group-aggregate-1/groups?"),
        ("bid", "did you mean bids"),
        ("out", "has no state"),
        ("something-else-altogether", "there are bids/splits, totals/group-aggregate-1/groups"),
    ] {
        let error = message(&snapshot.find(wrong).unwrap_err());
        assert!(error.contains(says) || error.contains(&says.replace("there are bids/splits, ", "")), "{wrong}: {error}");
    }
}

#[test]
fn a_condition_that_does_not_fit_is_refused_with_what_would() {
    let dir = tempfile::tempdir().unwrap();
    let snapshot = opened(&saved(&dir.path().join("a"), &ROWS));
    for (keys, columns, says) in [
        (&["carier=UA"][..], &[][..], "no key column \"carier\"; did you mean carrier?"),
        (&["flights=7"], &[], "no key column \"flights\""),
        (&[], &["flight=7"], "did you mean flights?"),
        (&[], &["flights=many"], "\"many\" is no BIGINT"),
        (&[], &["miles=x"], "\"x\" is no DECIMAL(20, 2)"),
    ] {
        let error = message(&lines(&snapshot, STATE, &selection(keys, columns, None)).unwrap_err());
        assert!(error.contains(says), "{error}");
    }
    assert!("=x".parse::<Condition>().is_err());
}

fn parquet(dir: &Path) -> PathBuf {
    let part = |n: usize| dir.join(format!("totals/group-aggregate-1/groups/part-{n}.parquet"));
    (0..2).map(part).find(|p| p.exists()).unwrap()
}

/// Writes a file as another tool would.
fn rewrite(file: &Path, rows: &RecordBatch) {
    let mut writer = FileWriter::new(Vec::new(), rows.schema()).unwrap();
    writer.write(rows).unwrap();
    fs::write(file, writer.finish().unwrap().0).unwrap();
}

fn read(file: &Path) -> RecordBatch {
    let bytes = fs::read(file).unwrap();
    let read = crate::checkpoint::parquet_file::read(crate::checkpoint::parquet_file::Content::Memory(bytes.into()), None, None).unwrap();
    arrow::compute::concat_batches(&read[0].schema(), &read).unwrap()
}

/// The batch with another column in the place of `name`.
fn with(rows: &RecordBatch, name: &str, column: ArrayRef) -> RecordBatch {
    let at = rows.schema().index_of(name).unwrap();
    let mut fields: Vec<Field> = rows.schema().fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect();
    fields[at] = fields[at].clone().with_data_type(column.data_type().clone());
    let mut columns = rows.columns().to_vec();
    columns[at] = column;
    RecordBatch::try_new(Arc::new(ArrowSchema::new(fields)), columns).unwrap()
}

fn defects(snapshot: &Snapshot) -> Vec<String> {
    verify(snapshot).unwrap().defects.list.iter().map(ToString::to_string).collect()
}

#[test]
fn a_sound_savepoint_is_sound_and_every_damage_is_found_with_its_file_and_row() {
    let dir = tempfile::tempdir().unwrap();
    let sound = verify(&opened(&saved(&dir.path().join("sound"), &ROWS))).unwrap();
    assert_eq!((sound.defects.list.len(), sound.rows), (0, 6));
    type Damage = fn(&Path);
    let damages: [(&str, &str, Damage); 4] = [
        ("missing", "the file is missing", |file| fs::remove_file(file).unwrap()),
        ("cut", "were written", |file| {
            let bytes = fs::read(file).unwrap();
            fs::write(file, &bytes[..bytes.len() / 2]).unwrap();
        }),
        ("altered", "checksum", |file| {
            let mut bytes = fs::read(file).unwrap();
            let at = bytes.len() / 2;
            bytes[at] ^= 0xFF;
            fs::write(file, bytes).unwrap();
        }),
        ("longer", "bytes", |file| {
            let mut bytes = fs::read(file).unwrap();
            bytes.push(0);
            fs::write(file, bytes).unwrap();
        }),
    ];
    for (name, says, damage) in damages {
        let path = saved(&dir.path().join(name), &ROWS);
        let file = parquet(&path);
        damage(&file);
        let found = defects(&opened(&path));
        assert_eq!(found.len(), 1, "{name}: {found:?}");
        assert!(found[0].contains(says) && found[0].contains(file.to_str().unwrap()), "{name}: {found:?}");
    }
}

/// Removes what `_metadata` says of the files' content, as somebody who edits them may.
fn unrecord(path: &Path) {
    let file = path.join("_metadata");
    let mut manifest: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    for operator in manifest["operators"].as_array_mut().unwrap() {
        for states in ["keyed_states", "operator_states"] {
            for state in operator.get_mut(states).and_then(|s| s.as_array_mut()).into_iter().flatten() {
                for file in state["files"].as_array_mut().unwrap() {
                    *file = serde_json::json!({ "path": file["path"] });
                }
            }
        }
    }
    fs::write(file, manifest.to_string()).unwrap();
}

/// An edit that no restore may see, and what must be said of it.
type Edit = (&'static str, &'static str, fn(&RecordBatch) -> RecordBatch);

const EDITS: [Edit; 7] = [
    ("a row in another key's group", "; its key belongs to", |rows| {
        let groups = groups::groups_of(rows);
        let moved = groups.iter().enumerate().map(|(i, g)| if i + 1 == groups.len() { g + 1 } else { *g });
        with(rows, "key_group", Arc::new(Int32Array::from_iter_values(moved)))
    }),
    ("a key group that there is not", "there are 128", |rows| {
        let groups = vec![4_000; rows.num_rows()];
        with(rows, "key_group", Arc::new(Int32Array::from(groups)))
    }),
    ("a key twice", "occurs in an earlier row, too", |rows| {
        arrow::compute::concat_batches(&rows.schema(), &[rows.slice(0, 1), rows.clone()]).unwrap()
    }),
    ("NULL where it may not be", "null", |rows| {
        let nulls = vec![None::<i64>; rows.num_rows()];
        with(rows, "flights", Arc::new(Int64Array::from(nulls)))
    }),
    ("a fraction in a whole number", "a fraction, where Int64 belongs", |rows| {
        let fractions = vec![1.5; rows.num_rows()];
        with(rows, "flights", Arc::new(Float64Array::from(fractions)))
    }),
    ("a text in a number", "column flights", |rows| {
        let texts = vec!["many"; rows.num_rows()];
        with(rows, "flights", Arc::new(StringArray::from(texts)))
    }),
    ("a column that is gone", "column miles is missing", |rows| rows.project(&[0, 1, 2]).unwrap()),
];

#[test]
fn an_edit_that_is_not_sound_is_not_sealed_and_metadata_stays_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    for (name, says, edit) in EDITS {
        let path = saved(&dir.path().join(name), &ROWS);
        let before = fs::read(path.join("_metadata")).unwrap();
        let file = parquet(&path);
        rewrite(&file, &edit(&read(&file)));
        let InspectError::Unsound(found) = seal(&opened(&path)).unwrap_err() else { panic!("{name}") };
        assert!(found.list.iter().any(|d| d.path == file && d.to_string().contains(says)), "{name}: {found}");
        assert_eq!(fs::read(path.join("_metadata")).unwrap(), before, "{name}");
        unrecord(&path);
        let found = defects(&opened(&path));
        assert!(found.iter().any(|d| d.contains(says)), "verify, {name}: {found:?}");
    }
}

#[test]
fn rows_that_are_not_sorted_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = saved(&dir.path().join("a"), &ROWS);
    let file = parquet(&path);
    let rows = read(&file);
    assert!(rows.num_rows() > 1, "the fixture has one row a file");
    let backwards: Vec<u32> = (0..rows.num_rows() as u32).rev().collect();
    rewrite(&file, &arrow::compute::take_record_batch(&rows, &arrow::array::UInt32Array::from(backwards)).unwrap());
    let InspectError::Unsound(found) = seal(&opened(&path)).unwrap_err() else { panic!() };
    assert!(found.to_string().contains("row 2: key group") && found.to_string().contains("must be sorted"), "{found}");
}

#[test]
fn values_that_were_changed_are_sealed_and_restored() {
    let dir = tempfile::tempdir().unwrap();
    let path = saved(&dir.path().join("a"), &ROWS);
    let file = parquet(&path);
    let rows = read(&file);
    // As pandas does it: wider types, and one row less.
    let changed = Float64Array::from_iter_values(rows.column(2).as_primitive::<Int64Type>().values().iter().map(|v| (*v + 1000) as f64));
    let kept = rows.num_rows() - 1;
    rewrite(&file, &with(&rows, "flights", Arc::new(changed)).slice(0, kept));
    assert!(open_directory(LocalStorage::shared(), &path).is_err(), "it must be sealed first");
    let sealed = seal(&opened(&path)).unwrap();
    let name = file.strip_prefix(&path).unwrap().to_str().unwrap();
    assert_eq!(sealed.changed, [(name.to_owned(), Some(rows.num_rows() as u64), kept as u64)]);
    let restored = open_directory(LocalStorage::shared(), &path).unwrap();
    assert_eq!(restored.manifest().operators[1].keyed_states[0].rows(), 4);
    assert_eq!(defects(&opened(&path)), Vec::<String>::new());
    assert_eq!(lines(&opened(&path), STATE, &Selection::default()).unwrap().iter().filter(|l| l.contains("\"flights\":100")).count(), kept);
    assert!(seal(&opened(&path)).unwrap().is_unchanged(), "sealing twice changes nothing");
}

#[test]
fn a_difference_names_the_rows_that_came_went_and_changed() {
    let dir = tempfile::tempdir().unwrap();
    let a = opened(&saved(&dir.path().join("a"), &ROWS));
    assert!(diff(&a, &a, None, 10).unwrap().is_empty());
    let rows = [(Some("UA"), 6, 100), (Some("AA"), 7, 250), (None, 1, 0), (Some("WN"), 1, 1), (Some("9E"), 2, 75)];
    for groups in [128, 64] {
        let b = opened(&saved_with(&dir.path().join(groups.to_string()), &rows, groups, descriptor()));
        let found = diff(&a, &b, None, 10).unwrap();
        let state = found.states.iter().find(|s| s.state == STATE).unwrap();
        assert_eq!((state.added, state.removed, state.changed, state.same), (1, 1, 1, 3), "max parallelism {groups}");
        let text = serde_json::to_string(&state.rows).unwrap();
        for says in [
            r#"{"change":"added","row":{"carrier":"WN","flights":1,"miles":0.01}}"#,
            r#"{"change":"removed","row":{"carrier":"DL","flights":7,"miles":0.03}}"#,
            r#"{"change":"changed","key":{"carrier":"UA"},"before":{"flights":5},"after":{"flights":6}}"#,
        ] {
            assert!(text.contains(says), "{text}");
        }
        assert_eq!(found.states.iter().find(|s| s.state == "bids/splits").unwrap().change, StateChange::Same);
        assert_eq!(diff(&a, &b, Some("bids"), 10).unwrap().states.len(), 1);
        assert_eq!(diff(&a, &b, None, 1).unwrap().states.iter().map(|s| s.rows.len()).max(), Some(1));
    }
    assert!(message(&diff(&a, &a, Some("bidz"), 1).unwrap_err()).contains("bids"));
}

#[test]
fn a_difference_names_types_that_changed_and_compares_what_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let a = opened(&saved(&dir.path().join("a"), &ROWS));
    let now = StateDescriptor {
        value: schema(&[("flights", "BIGINT NOT NULL"), ("miles", "DECIMAL(20, 2)")]),
        ttl: Some(StateTtl::new(Duration::from_hours(1))),
        ..descriptor()
    };
    let path = saved(&dir.path().join("b"), &ROWS);
    let text = fs::read_to_string(path.join("_metadata")).unwrap();
    let text = text.replace("\"BIGINT NOT NULL\"", "\"DECIMAL(22, 0)\"");
    fs::write(path.join("_metadata"), text).unwrap();
    let found = diff(&a, &opened(&path), Some(STATE), 10).unwrap();
    assert_eq!(found.states[0].types, ["column flights: BIGINT NOT NULL → DECIMAL(22, 0)"]);
    assert_eq!((found.states[0].same, found.states[0].changed, found.states[0].change), (5, 0, StateChange::Changed));
    assert_eq!(now.columns().columns.len(), 5);
}

pub(super) fn plan(target: &Path, descriptor: StateDescriptor, rows_at_once: usize) -> Bootstrap {
    let operator = |uid: &str, keyed: Vec<Arc<StateDescriptor>>| {
        let states = ImportedStates { keyed, operator: Vec::new() };
        (OperatorHeader { uid: OperatorUid::new(uid), kind: String::new(), parallelism: Parallelism::new(3).unwrap() }, states)
    };
    Bootstrap {
        storage: LocalStorage::shared(),
        target: target.to_owned(),
        job: JobEntry { name: "flights".to_owned(), id: JobId::from_u128(9) },
        operators: vec![operator("bids", Vec::new()), operator(UID, vec![Arc::new(descriptor)])],
        max_parallelism: max(128),
        time: WallTime(5),
        random: 1,
        rows_at_once,
    }
}

fn import(path: &Path, format: ImportFormat) -> [Import; 1] {
    [Import { state: STATE.to_owned(), path: path.to_owned(), format }]
}

#[test]
fn what_was_exported_in_any_format_is_imported_again() {
    let dir = tempfile::tempdir().unwrap();
    let original = opened(&saved(&dir.path().join("a"), &ROWS[1..]));
    let expected: Vec<String> =
        lines(&original, STATE, &Selection::default()).unwrap().into_iter().filter(|l| !l.contains("null")).collect();
    for (format, end) in [(RowFormat::Json, "json"), (RowFormat::Csv, "csv"), (RowFormat::Parquet, "parquet")] {
        for rows_at_once in [1, 2, 1_000] {
            let rows = original.rows(original.find_one(STATE).unwrap(), &Selection::default(), false).unwrap();
            let mut encoder = RowEncoder::new(format, &rows.columns()).unwrap();
            let mut out = Vec::new();
            for batch in rows {
                let batch = batch.unwrap();
                let there: Vec<bool> = (0..batch.num_rows()).map(|row| batch.column(0).is_valid(row)).collect();
                encoder.encode(&arrow::compute::filter_record_batch(&batch, &there.into()).unwrap(), &mut out).unwrap();
            }
            encoder.finish(&mut out).unwrap();
            let file = dir.path().join(format!("rows.{end}"));
            fs::write(&file, out).unwrap();
            let built = bootstrap(&plan(dir.path(), descriptor(), rows_at_once), &import(&file, format)).unwrap();
            assert_eq!(built.states[0].1, expected.len() as u64);
            let snapshot = opened(&built.path);
            assert_eq!(lines(&snapshot, STATE, &Selection::default()).unwrap(), expected, "{format:?} {rows_at_once}");
            assert_eq!(defects(&snapshot), Vec::<String>::new());
            open_directory(LocalStorage::shared(), &built.path).unwrap();
            assert_eq!(snapshot.manifest().checkpoint_id.next(), CheckpointId::new(1));
        }
    }
}

#[test]
fn an_import_that_does_not_fit_says_file_and_row_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("saved");
    for (name, text, says) in [
        (
            "a.json",
            "{\"carrier\":\"UA\",\"flights\":1}\n{\"carrier\":\"UA\",\"flights\":2}\n",
            "row 2: carrier=UA occurs in an earlier row",
        ),
        ("b.json", "{\"carrier\":\"UA\",\"flights\":1}\n{\"carrier\":\"AA\",\"flights\":\"x\"}\n", "row 2: column flights"),
        ("c.json", "{\"carier\":\"UA\",\"flights\":1}\n", "no column \"carier\"; did you mean carrier?"),
        ("d.csv", "carrier,miles\nUA,1\n", "column flights BIGINT NOT NULL is missing"),
        ("e.csv", "carrier,flights\nUA,\n", "flights"),
        ("f.json", "{\"carrier\":\"UA\",\"flights\":1}\n{\"carrier\":\"AA\"}\n", "flights"),
        ("g.parquet", "no parquet", "not a valid Parquet file"),
    ] {
        let file = dir.path().join(name);
        fs::write(&file, text).unwrap();
        let format = name.rsplit_once('.').unwrap().1.parse().unwrap();
        let error = message(&bootstrap(&plan(&target, descriptor(), 100), &import(&file, format)).unwrap_err());
        assert!(error.contains(says) && error.contains(name), "{name}: {error}");
        let left: Vec<_> = fs::read_dir(&target).into_iter().flatten().collect();
        assert!(left.is_empty(), "{name}: {left:?}");
    }
    let unknown = [Import { state: "totals/groups".to_owned(), path: dir.path().join("a.json"), format: ImportFormat::Json }];
    let error = message(&bootstrap(&plan(&target, descriptor(), 100), &unknown).unwrap_err());
    assert!(error.contains("did you mean totals/group-aggregate-1/groups?"), "{error}");
    let missing = import(&dir.path().join("nothing.json"), ImportFormat::Json);
    assert!(bootstrap(&plan(&target, descriptor(), 100), &missing).unwrap_err().to_string().contains("nothing.json"));
}

#[test]
fn a_map_has_one_row_for_each_key_and_map_key() {
    let dir = tempfile::tempdir().unwrap();
    let map = StateDescriptor {
        kind: StateKind::Map,
        value: schema(&[("map_key", "BIGINT NOT NULL"), ("map_value", "MAP<INT, STRING>")]),
        ..descriptor()
    };
    let file = dir.path().join("rows.parquet");
    let columns: Vec<ArrayRef> = vec![Arc::new(StringArray::from(vec!["a", "a"])), Arc::new(Int64Array::from(vec![1, 2]))];
    let fields = vec![Field::new("carrier", DataType::Utf8, true), Field::new("map_key", DataType::Int64, true)];
    let rows = RecordBatch::try_new(Arc::new(ArrowSchema::new(fields)), columns).unwrap();
    rewrite(&file, &rows);
    let built = bootstrap(&plan(dir.path(), map.clone(), 100), &import(&file, ImportFormat::Parquet)).unwrap();
    let snapshot = opened(&built.path);
    assert_eq!(lines(&snapshot, STATE, &Selection::default()).unwrap()[0], r#"{"carrier":"a","map_key":1,"map_value":null}"#);
    assert_eq!(defects(&snapshot), Vec::<String>::new());
    assert!(diff(&snapshot, &snapshot, None, 1).unwrap().is_empty());
    rewrite(&file, &arrow::compute::concat_batches(&rows.schema(), &[rows.clone(), rows.slice(1, 1)]).unwrap());
    let error = bootstrap(&plan(dir.path(), map, 100), &import(&file, ImportFormat::Parquet)).unwrap_err().to_string();
    assert!(error.contains("row 3: carrier=a, map_key=2 occurs"), "{error}");
}

#[test]
fn an_unfinished_checkpoint_is_an_orphan_unless_its_job_lives_or_it_is_young() {
    let dir = tempfile::tempdir().unwrap();
    let (dead, alive) = (JobId::from_u128(1), JobId::from_u128(2));
    let write = |path: PathBuf, text: &str| {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    };
    for job in [dead, alive] {
        let base = dir.path().join(job.to_string());
        saved(&base.join("chk-3"), &ROWS);
        write(base.join("chk-4/totals/groups/part-0.parquet"), "half");
        write(base.join("shared/000007.sst"), "named by nobody");
        fs::create_dir_all(base.join("taskowned")).unwrap();
    }
    fs::create_dir_all(dir.path().join(JobId::from_u128(3).to_string()).join("shared")).unwrap();
    write(dir.path().join("savepoint-000000-0123456789ab/x"), "aborted");
    write(dir.path().join("somebody/else.txt"), "not ours");
    write(dir.path().join("chk-notes.txt"), "not ours");
    let look =
        |live: &[JobId], now: i64, age: u64| orphans(&LocalStorage, dir.path(), live, WallTime(now), Duration::from_secs(age)).unwrap();
    let now = i64::MAX / 2;
    let names = |found: &Orphans| -> Vec<String> {
        let mut names: Vec<String> = found.orphans.iter().map(|o| o.path.strip_prefix(dir.path()).unwrap().display().to_string()).collect();
        names.sort();
        names
    };
    let found = look(&[alive], now, 3600);
    let empty = JobId::from_u128(3).to_string();
    assert_eq!(names(&found), [format!("{dead}/chk-4"), format!("{dead}/shared/000007.sst"), empty]);
    assert_eq!(found.complete, 1, "that of the living job is not looked at");
    assert_eq!(found.remarks.len(), 2, "{:?}", found.remarks);
    assert_eq!(look(&[], now, 3600).orphans.len(), 6);
    let young = look(&[], 0, 3600);
    assert_eq!(young.orphans.len(), 0, "{:?}", names(&young));
    found.delete(&LocalStorage).unwrap();
    assert!(dir.path().join(dead.to_string()).join("chk-3/_metadata").exists());
    assert!(!dir.path().join(dead.to_string()).join("chk-4").exists());
    assert!(dir.path().join(alive.to_string()).join("chk-4").exists() && dir.path().join("somebody/else.txt").exists());
    assert_eq!(names(&look(&[alive], now, 3600)), Vec::<String>::new());
    fs::write(dir.path().join(dead.to_string()).join("chk-3/_metadata"), "{").unwrap();
    write(dir.path().join(dead.to_string()).join("shared/000008.sst"), "who knows");
    let unreadable = look(&[alive], now, 3600);
    assert!(unreadable.orphans.is_empty(), "nothing shared goes while a _metadata cannot be read: {:?}", names(&unreadable));
    assert!(orphans(&LocalStorage, &dir.path().join("nothing"), &[], WallTime(0), Duration::ZERO).is_err());
}

#[test]
fn what_nobody_needs_of_checkpoints_directly_in_a_directory_is_found_unless_their_job_runs() {
    let dir = tempfile::tempdir().unwrap();
    saved(&dir.path().join("chk-3"), &ROWS);
    for name in ["chk-4/totals/part-0.parquet", "shared/0-0-000007.sst.2", "flink.lock"] {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "x").unwrap();
    }
    let look = || orphans(&LocalStorage, dir.path(), &[], WallTime(i64::MAX / 2), Duration::from_secs(1)).unwrap();
    let held = LocalStorage.lock(&dir.path().join("flink.lock")).unwrap();
    let found = look();
    assert_eq!((found.orphans.len(), found.remarks.len()), (0, 1), "{:?}", found.remarks);
    drop(held);
    let found = look();
    let names: Vec<_> = found.orphans.iter().map(|o| o.path.strip_prefix(dir.path()).unwrap().to_str().unwrap()).collect();
    assert_eq!((names, found.complete), (vec!["shared/0-0-000007.sst.2", "chk-4"], 1));
    fs::remove_file(dir.path().join("flink.lock")).unwrap();
    assert_eq!(look().orphans.len(), 1, "a directory called shared may be anybody's");
}

#[test]
fn the_snapshots_in_a_directory_are_listed_oldest_first() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["savepoint-00002a-000000000001", "00000000000000000000000000000001/chk-7"] {
        saved(&dir.path().join(name), &ROWS);
    }
    fs::create_dir_all(dir.path().join("savepoint-00002a-000000000002")).unwrap();
    let (found, unread) = snapshots_in(&LocalStorage, &[dir.path().to_owned()]).unwrap();
    assert_eq!((found.len(), unread.len()), (2, 0));
}
