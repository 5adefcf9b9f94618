//! Tests of the jdbc sink.

use super::*;
use crate::connector::SinkSnapshot;
use crate::connector::sink_testing::{context, declaration};
use crate::types::{Batch, CheckpointId, Column, LogicalType, ManualClock, RowKind, Schema, TypeKind, WallTime};
use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray,
    Time32MillisecondArray, TimestampMillisecondArray, TimestampSecondArray,
};
use proptest::prelude::*;
use std::collections::BTreeMap;

struct Database {
    _directory: tempfile::TempDir,
    declaration: SinkDeclaration,
}

impl Database {
    /// A sink of `k BIGINT, v STRING` into the table `t`; with `keyed`, `k` is the key.
    fn new(keyed: bool, options: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let all = [&[("url", "jdbc:sqlite:out.db"), ("table-name", "t")], options].concat();
        let mut declaration = declaration("jdbc", &all);
        let column = |name: &str, kind, nullable| Column { name: name.to_owned(), data_type: LogicalType { kind, nullable } };
        declaration.schema = Schema::new(vec![column("k", TypeKind::BigInt, !keyed), column("v", TypeKind::String, true)]);
        declaration.primary_key = if keyed { vec![0] } else { Vec::new() };
        declaration.directory = directory.path().to_owned();
        Self { _directory: directory, declaration }
    }

    fn connection(&self) -> Connection {
        Connection::open(self.declaration.directory.join("out.db")).unwrap()
    }

    fn sink(&self) -> JdbcSink {
        let mut sink = sink_of(&self.declaration).unwrap();
        sink.policy.busy_timeout = Duration::ZERO;
        sink
    }

    fn try_writer(&self, context: &ConnectorContext, restored: Option<&SinkRestore>) -> Result<Box<dyn SinkWriter>, ConnectorError> {
        Ok(self.sink().writers(context, restored, &[])?.remove(0))
    }

    fn writer(&self, execution: &str, restored: Option<&SinkRestore>) -> Box<dyn SinkWriter> {
        self.try_writer(&executed_as(execution), restored).unwrap()
    }

    /// The table's rows as `k=v`, in the order of `k`.
    fn rows(&self) -> Vec<String> {
        let connection = self.connection();
        let mut statement = connection.prepare("SELECT k || '=' || coalesce(v, 'NULL') FROM t ORDER BY k, rowid").unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    }
}

fn executed_as(execution: &str) -> ConnectorContext {
    ConnectorContext { execution: execution.to_owned(), ..context(1) }
}

fn at_least_once() -> ConnectorContext {
    ConnectorContext { exactly_once: false, ..context(1) }
}

fn changes(rows: &[(RowKind, i64, &str)]) -> Batch {
    let k: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.1)));
    let v: ArrayRef = Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.2)));
    let columns = RecordBatch::try_from_iter_with_nullable([("k", k, true), ("v", v, true)]).unwrap();
    Batch::changelog(columns, rows.iter().map(|row| row.0).collect()).unwrap()
}

fn inserts(rows: &[(i64, &str)]) -> Batch {
    changes(&rows.iter().map(|(k, v)| (RowKind::Insert, *k, *v)).collect::<Vec<_>>())
}

fn checkpoint(number: u64) -> CheckpointId {
    CheckpointId::new(number)
}

fn saved(number: u64, snapshot: &SinkSnapshot) -> SinkRestore {
    let committables = snapshot.committables.iter().map(|batch| (checkpoint(number), batch.clone())).collect();
    SinkRestore { state: snapshot.state.iter().cloned().collect(), committables }
}

/// Writes one row, and takes and commits checkpoint `number`.
fn epoch(writer: &mut Box<dyn SinkWriter>, number: u64, row: (i64, &str)) -> SinkSnapshot {
    writer.write(&inserts(&[row])).unwrap();
    let snapshot = writer.prepare_commit(checkpoint(number)).unwrap();
    writer.commit(checkpoint(number), snapshot.committables.as_ref().unwrap()).unwrap();
    snapshot
}

#[test]
fn rows_become_visible_with_their_checkpoint_reduced_to_the_last_of_each_key() {
    let database = Database::new(true, &[]);
    let mut writer = database.writer("a", None);
    writer.write(&inserts(&[(1, "a"), (2, "b"), (3, "c")])).unwrap();
    let update = [(RowKind::UpdateBefore, 1, "a"), (RowKind::UpdateAfter, 1, "A"), (RowKind::Delete, 2, "b")];
    writer.write(&changes(&update)).unwrap();
    writer.on_idle().unwrap();
    let snapshot = writer.prepare_commit(checkpoint(1)).unwrap();
    let committables = snapshot.committables.unwrap();
    assert_eq!((committables.num_rows(), database.rows()), (3, vec![]));
    writer.commit(checkpoint(1), &committables).unwrap();
    assert_eq!(database.rows(), ["1=A", "3=c"]);
    writer.write(&changes(&[(RowKind::Delete, 3, "c")])).unwrap();
    let snapshot = writer.prepare_commit(checkpoint(2)).unwrap();
    writer.commit(checkpoint(2), &snapshot.committables.unwrap()).unwrap();
    assert_eq!(database.rows(), ["1=A"]);
    assert!(writer.prepare_commit(checkpoint(3)).unwrap().committables.is_none());
}

#[test]
fn a_commit_is_applied_once_however_often_it_is_repeated() {
    let database = Database::new(false, &[]);
    let mut writer = database.writer("a", None);
    let snapshot = epoch(&mut writer, 1, (1, "a"));
    writer.commit(checkpoint(1), snapshot.committables.as_ref().unwrap()).unwrap();
    drop(writer);
    for execution in ["b", "c"] {
        database.writer(execution, Some(&saved(1, &snapshot)));
    }
    assert_eq!(database.rows(), ["1=a"]);
}

#[test]
fn what_was_prepared_before_a_crash_is_committed_by_the_restore_once() {
    let database = Database::new(false, &[]);
    let mut writer = database.writer("a", None);
    epoch(&mut writer, 1, (1, "a"));
    writer.write(&inserts(&[(2, "b")])).unwrap();
    let restore = saved(2, &writer.prepare_commit(checkpoint(2)).unwrap());
    writer.write(&inserts(&[(3, "lost with the process")])).unwrap();
    drop(writer);
    for execution in ["b", "c"] {
        database.writer(execution, Some(&restore));
        assert_eq!(database.rows(), ["1=a", "2=b"]);
    }
}

#[test]
fn a_job_restored_from_an_old_savepoint_counts_its_checkpoints_anew() {
    let database = Database::new(false, &[]);
    let mut first = database.writer("first", None);
    let savepoint = saved(5, &epoch(&mut first, 5, (5, "first")));
    let later = epoch(&mut first, 6, (6, "first"));
    epoch(&mut first, 9, (9, "first"));
    let mut second = database.writer("second", Some(&savepoint));
    let sixth = epoch(&mut second, 6, (6, "second"));
    assert_eq!(database.rows(), ["5=first", "6=first", "6=second", "9=first"]);
    // Both lines go on from their own snapshots, and neither repeats what it did.
    database.writer("third", Some(&saved(6, &sixth)));
    database.writer("fourth", Some(&saved(6, &later)));
    assert_eq!(database.rows().len(), 4);
}

#[test]
fn without_exactly_once_rows_are_written_by_number_and_by_time() {
    let database = Database::new(true, &[("sink.buffer-flush.max-rows", "3"), ("sink.buffer-flush.interval", "2 s")]);
    let clock = ManualClock::at(WallTime(0));
    let mut writer = database.try_writer(&ConnectorContext { clock: clock.clone(), ..at_least_once() }, None).unwrap();
    writer.write(&inserts(&[(1, "a"), (2, "b")])).unwrap();
    assert_eq!(database.rows().len(), 0);
    writer.write(&inserts(&[(1, "A")])).unwrap();
    assert_eq!(database.rows(), ["1=A", "2=b"]);
    writer.write(&inserts(&[(3, "c")])).unwrap();
    clock.advance(Duration::from_secs(1));
    writer.on_idle().unwrap();
    assert_eq!(database.rows().len(), 2);
    clock.advance(Duration::from_secs(1));
    writer.on_idle().unwrap();
    assert_eq!(database.rows().len(), 3);
    writer.write(&inserts(&[(4, "d")])).unwrap();
    assert!(writer.prepare_commit(checkpoint(1)).unwrap().committables.is_none());
    assert_eq!(database.rows().len(), 4);
    writer.write(&inserts(&[(5, "e")])).unwrap();
    writer.end_of_input().unwrap();
    assert_eq!(database.rows().len(), 5);
}

#[test]
fn a_locked_database_is_worth_a_restart_and_a_violated_constraint_is_not() {
    let database = Database::new(false, &[]);
    let mut writer = database.writer("a", None);
    let other = database.connection();
    other.execute_batch("CREATE UNIQUE INDEX one ON t (k); BEGIN IMMEDIATE").unwrap();
    writer.write(&inserts(&[(1, "a")])).unwrap();
    let committables = writer.prepare_commit(checkpoint(1)).unwrap().committables.unwrap();
    let error = writer.commit(checkpoint(1), &committables).unwrap_err();
    assert_eq!(error.retry_hint(), RetryHint::Backoff, "{error}");
    other.execute_batch("ROLLBACK").unwrap();
    writer.commit(checkpoint(1), &committables).unwrap();
    writer.write(&inserts(&[(2, "b"), (1, "again")])).unwrap();
    let committables = writer.prepare_commit(checkpoint(2)).unwrap().committables.unwrap();
    let error = writer.commit(checkpoint(2), &committables).unwrap_err();
    assert_eq!(error.retry_hint(), RetryHint::Never);
    assert!(error.to_string().contains("committing to table t") && error.to_string().contains("UNIQUE"), "{error}");
    assert_eq!(database.rows(), ["1=a"], "half of a transaction stayed");
}

#[test]
fn a_lock_that_goes_away_is_waited_for() {
    let mut tries = 0;
    let busy = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY), None);
    let attempt = || {
        tries += 1;
        if tries < 3 { Err(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY), None)) } else { Ok(tries) }
    };
    assert_eq!(writer::retried(2, attempt), Ok(3));
    assert_eq!(writer::retried(1, || Err::<(), _>(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(5), None))), Err(busy));
}

#[test]
fn a_reader_is_not_kept_out_while_the_job_writes() {
    let database = Database::new(true, &[]);
    let mut writer = database.writer("a", None);
    epoch(&mut writer, 1, (1, "a"));
    let reader = database.connection();
    reader.execute_batch("BEGIN; SELECT * FROM t").unwrap();
    epoch(&mut writer, 2, (2, "b"));
    let count: i64 = reader.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap();
    assert_eq!((count, database.rows().len()), (1, 2));
}

#[test]
fn a_table_that_does_not_fit_is_an_error_before_the_first_row() {
    for (ddl, part) in [
        ("CREATE TABLE t (k INTEGER PRIMARY KEY, w TEXT)", "it has no column v; its columns are k, w"),
        ("CREATE TABLE t (k INTEGER PRIMARY KEY, v REAL)", "its column v is REAL, the sink's is STRING"),
        ("CREATE TABLE t (k TEXT PRIMARY KEY, v TEXT)", "its column k is TEXT, the sink's is BIGINT NOT NULL"),
        ("CREATE TABLE t (k INTEGER, v TEXT)", "it has no PRIMARY KEY or UNIQUE constraint on (\"k\")"),
        ("CREATE TABLE t (k INTEGER PRIMARY KEY, v TEXT, w TEXT NOT NULL)", "its column w is NOT NULL, and the sink has no such column"),
    ] {
        let database = Database::new(true, &[]);
        database.connection().execute_batch(ddl).unwrap();
        let error = database.try_writer(&context(1), None).err().unwrap();
        assert!(error.to_string().contains(part), "{ddl}: {error}");
        assert_eq!(error.retry_hint(), RetryHint::Never);
    }
    let database = Database::new(true, &[]);
    database.connection().execute_batch("CREATE TABLE t (V VARCHAR(9), extra DEFAULT 7 NOT NULL, K BIGINT UNIQUE)").unwrap();
    epoch(&mut database.writer("a", None), 1, (1, "a"));
    assert_eq!(database.rows(), ["1=a"]);
}

#[test]
fn a_row_with_null_in_its_key_is_replaced_and_deleted_like_any_other() {
    let mut database = Database::new(true, &[]);
    database.declaration.schema.columns[0].data_type.nullable = true;
    let mut writer = database.try_writer(&at_least_once(), None).unwrap();
    let change = |kind, v: &str| {
        let k: ArrayRef = Arc::new(Int64Array::from(vec![None]));
        let v: ArrayRef = Arc::new(StringArray::from(vec![v]));
        let columns = RecordBatch::try_from_iter_with_nullable([("k", k, true), ("v", v, true)]).unwrap();
        Batch::changelog(columns, [kind].into_iter().collect()).unwrap()
    };
    let count = |v: &str| -> i64 {
        database.connection().query_row("SELECT count(*) FROM t WHERE k IS NULL AND v = ?1", [v], |row| row.get(0)).unwrap()
    };
    for (kind, v, left) in [(RowKind::Insert, "a", 1), (RowKind::UpdateAfter, "b", 1), (RowKind::Delete, "b", 0)] {
        writer.write(&change(kind, v)).unwrap();
        writer.prepare_commit(checkpoint(1)).unwrap();
        assert_eq!((count("a") + count("b"), count(v)), (left, left));
    }
}

#[test]
fn values_are_stored_as_the_table_of_types_says() {
    let mut database = Database::new(false, &[]);
    let kinds = [
        TypeKind::Boolean,
        TypeKind::Double,
        TypeKind::Decimal(20, 4),
        TypeKind::Bytes,
        TypeKind::Date,
        TypeKind::Time,
        TypeKind::Timestamp(3),
        TypeKind::TimestampLtz(0),
    ];
    let column = |(i, kind): (usize, &TypeKind)| Column { name: format!("c{i}"), data_type: LogicalType::nullable(kind.clone()) };
    database.declaration.schema = Schema::new(kinds.iter().enumerate().map(column).collect());
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(BooleanArray::from(vec![Some(true), None])),
        Arc::new(Float64Array::from(vec![Some(0.5), None])),
        Arc::new(Decimal128Array::from(vec![Some(12_345_678_901_234_567_890), None]).with_precision_and_scale(20, 4).unwrap()),
        Arc::new(BinaryArray::from(vec![Some(&b"\x00\xff"[..]), None])),
        Arc::new(Date32Array::from(vec![Some(-1), None])),
        Arc::new(Time32MillisecondArray::from(vec![Some(36_000_007), None])),
        Arc::new(TimestampMillisecondArray::from(vec![Some(1_704_067_210_123), None])),
        Arc::new(TimestampSecondArray::from(vec![Some(-1), None]).with_timezone("UTC")),
    ];
    let batch = Batch::append(RecordBatch::try_new(database.declaration.schema.to_arrow(), arrays).unwrap());
    let mut writer = database.writer("a", None);
    writer.write(&batch).unwrap();
    let snapshot = writer.prepare_commit(checkpoint(1)).unwrap();
    writer.commit(checkpoint(1), &snapshot.committables.unwrap()).unwrap();
    let stored: Vec<String> = (0..kinds.len())
        .map(|i| {
            let sql = format!("SELECT typeof(c{i}) || ' ' || quote(c{i}) FROM t WHERE c{i} IS NOT NULL");
            database.connection().query_row(&sql, [], |row| row.get(0)).unwrap()
        })
        .collect();
    assert_eq!(
        stored,
        [
            "integer 1",
            "real 0.5",
            "text '1234567890123456.7890'",
            "blob X'00FF'",
            "text '1969-12-31'",
            "text '10:00:00.007'",
            "text '2024-01-01 00:00:10.123'",
            "text '1969-12-31 23:59:59Z'",
        ]
    );
    let nulls: i64 = database.connection().query_row("SELECT count(*) FROM t WHERE c0 IS NULL AND c7 IS NULL", [], |r| r.get(0)).unwrap();
    assert_eq!(nulls, 1);
}

#[test]
fn options_that_sqlite_cannot_follow_are_refused_with_the_reason() {
    let key_of = |options: &[(&str, &str)]| sink_of(&Database::new(false, options).declaration).err().map(|error| error.key);
    assert_eq!(key_of(&[("url", "jdbc:postgresql://host/db")]).as_deref(), Some("url"));
    assert_eq!(key_of(&[("url", "jdbc:sqlite::memory:")]).as_deref(), Some("url"));
    assert_eq!(key_of(&[("url", "jdbc:sqlite:a.db?mode=ro")]).as_deref(), Some("url"));
    assert_eq!(key_of(&[("password", "x")]).as_deref(), Some("password"));
    assert_eq!(key_of(&[("sink.parallelism", "2")]).as_deref(), Some("sink.parallelism"));
    assert_eq!(key_of(&[("table-name", "__flink_commits")]).as_deref(), Some("table-name"));
    assert_eq!(key_of(&[("sink.parallelism", "1")]), None);
    let mut nested = Database::new(false, &[]).declaration;
    nested.schema.columns[1].data_type.kind = TypeKind::Array(Box::new(LogicalType::nullable(TypeKind::Int)));
    assert!(sink_of(&nested).unwrap_err().to_string().contains("column v is ARRAY<INT>"));
}

#[test]
fn a_database_that_cannot_be_opened_and_a_foreign_snapshot_are_errors() {
    let mut database = Database::new(false, &[]);
    let foreign = SinkRestore { state: Vec::new(), committables: vec![(checkpoint(1), inserts(&[(1, "a")]).columns().clone())] };
    assert!(matches!(database.try_writer(&context(1), Some(&foreign)), Err(ConnectorError::State(_))));
    database.declaration.directory.push("no/such/directory");
    let error = database.try_writer(&context(1), None).err().unwrap().to_string();
    assert!(error.contains("no/such/directory/out.db"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever changes come, and wherever the barriers and crashes fall, the table holds what a map would.
    #[test]
    fn the_table_is_the_changelog_applied(
        steps in prop::collection::vec((0_u8..6, 0_i64..5, "[a-c]"), 1..60),
    ) {
        let database = Database::new(true, &[]);
        let mut writer = database.writer("0", None);
        let (mut expected, mut uncommitted) = (BTreeMap::new(), BTreeMap::new());
        let mut number = 0;
        for (i, (step, k, v)) in steps.iter().enumerate() {
            match step {
                0..=2 => {
                    writer.write(&changes(&[(RowKind::UpdateBefore, *k, "old"), (RowKind::UpdateAfter, *k, v)])).unwrap();
                    uncommitted.insert(*k, v.clone());
                }
                3 => {
                    writer.write(&changes(&[(RowKind::Delete, *k, v)])).unwrap();
                    uncommitted.remove(k);
                }
                _ => {
                    number += 1;
                    let snapshot = writer.prepare_commit(checkpoint(number)).unwrap();
                    if *step == 4 {
                        if let Some(committables) = &snapshot.committables {
                            writer.commit(checkpoint(number), committables).unwrap();
                        }
                    } else {
                        writer = database.writer(&i.to_string(), Some(&saved(number, &snapshot)));
                    }
                    expected = uncommitted.clone();
                }
            }
            let shown: Vec<String> = expected.iter().map(|(k, v)| format!("{k}={v}")).collect();
            prop_assert_eq!(database.rows(), shown);
        }
    }
}
