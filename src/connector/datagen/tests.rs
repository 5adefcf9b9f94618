//! `datagen` as a job sees it: the same rows at any parallelism and after any restore, at the rate that was asked for.

use super::*;
use crate::connector::BadRecordPolicy;
use crate::storage::LocalStorage;
use crate::types::{Column, ManualClock, Schema, WallTime};
use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use arrow::util::display::array_value_to_string;
use std::task::Waker;

fn declaration(columns: &[(&str, &str)], options: &[(&str, &str)]) -> SourceDeclaration {
    let column = |(name, data_type): &(&str, &str)| Column { name: (*name).to_owned(), data_type: data_type.parse().unwrap() };
    SourceDeclaration {
        name: "rows".to_owned(),
        connector: "datagen".to_owned(),
        schema: Schema::new(columns.iter().map(column).collect()),
        metadata: Vec::new(),
        projection: (0..columns.len()).collect(),
        primary_key: Vec::new(),
        options: options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        bad_records: BadRecordPolicy::Fail,
        directory: "/".into(),
    }
}

fn readers(source: &Arc<dyn Source>, parallelism: usize, restored: &[RecordBatch]) -> Vec<Box<dyn SourceReader>> {
    let context = ConnectorContext {
        parallelism: Parallelism::new(parallelism).unwrap(),
        storage: LocalStorage::shared(),
        clock: ManualClock::at(WallTime(1_700_000_000_123)),
        execution: "test".to_owned(),
        exactly_once: true,
        checkpointing: true,
    };
    source.readers(&context, restored, &vec![OperatorMetrics::default(); parallelism]).unwrap()
}

/// Every row as text, of at most `batches` batches of each reader. Time is not waited for: the rate is high.
fn texts(readers: &mut [Box<dyn SourceReader>], batches: usize) -> Vec<String> {
    let mut rows = Vec::new();
    for reader in readers {
        for _ in 0..batches {
            match reader.poll_next(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(Ok(SourceEvent::Batch(batch))) => {
                    let columns = batch.columns().columns();
                    rows.extend((0..batch.num_rows()).map(|row| {
                        let values = columns.iter().map(|column| array_value_to_string(column, row).unwrap());
                        values.collect::<Vec<_>>().join("|")
                    }));
                }
                // Not due yet: the first row alone is, and its subtask has it.
                Poll::Pending | Poll::Ready(Ok(SourceEvent::End)) => break,
                other @ Poll::Ready(_) => panic!("{other:?}"),
            }
        }
    }
    rows
}

const ALL: &[(&str, &str)] = &[
    ("flag", "BOOLEAN"),
    ("tiny", "TINYINT"),
    ("small", "SMALLINT"),
    ("whole", "INT"),
    ("big", "BIGINT"),
    ("float", "FLOAT"),
    ("double", "DOUBLE"),
    ("price", "DECIMAL(30, 4)"),
    ("letter", "CHAR(3)"),
    ("name", "VARCHAR(7)"),
    ("text", "STRING"),
    ("bytes", "BYTES"),
    ("day", "DATE"),
    ("hour", "TIME"),
    ("at", "TIMESTAMP(3)"),
    ("sent", "TIMESTAMP_LTZ(6)"),
    ("list", "ARRAY<INT>"),
    ("pairs", "MAP<STRING, BIGINT>"),
    ("row", "ROW<a INT, b ARRAY<DOUBLE>>"),
];

const FAST: (&str, &str) = ("rows-per-second", "1000000000000");

#[tokio::test(start_paused = true)]
async fn rows_of_every_type_are_the_same_at_any_parallelism_and_after_any_restore() {
    let options = [
        FAST,
        ("number-of-rows", "20011"),
        ("seed", "7"),
        ("fields.text.null-rate", "0.3"),
        ("fields.name.var-len", "true"),
        ("fields.at.max-past", "1 h"),
        ("fields.list.element.max", "9"),
        ("fields.pairs.key.length", "2"),
        ("fields.row.a.min", "100"),
        ("fields.row.null-rate", "0.5"),
    ];
    let source = build(&declaration(ALL, &options)).unwrap();
    tokio::time::advance(Duration::from_secs(1)).await;
    let mut straight = readers(&source, 1, &[]);
    // The first poll starts the clock of the pace; the second's worth of rows that follows is all there are.
    let mut expected = texts(&mut straight, 1);
    tokio::time::advance(Duration::from_secs(1)).await;
    expected.extend(texts(&mut straight, 100));
    assert_eq!(expected.len(), 20_011);

    let mut made = Vec::new();
    let mut saved = Vec::new();
    for (parallelism, batches) in [(3, 1), (1, 2), (4, 1), (2, 100)] {
        let mut subtasks = readers(&source, parallelism, &saved);
        made.extend(texts(&mut subtasks, 1));
        tokio::time::advance(Duration::from_secs(1)).await;
        made.extend(texts(&mut subtasks, batches));
        saved = subtasks.iter_mut().map(|reader| reader.snapshot().unwrap()).collect();
    }
    made.sort();
    expected.sort();
    assert_eq!(made, expected);
    assert!(texts(&mut readers(&source, 5, &saved), 1).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_column_does_not_depend_on_the_other_columns() {
    let options = [FAST, ("number-of-rows", "50")];
    let both = build(&declaration(&[("a", "INT"), ("b", "STRING")], &options)).unwrap();
    let mut swapped = declaration(&[("b", "STRING"), ("c", "INT"), ("a", "INT")], &options);
    swapped.projection = vec![2];
    let one = build(&swapped).unwrap();
    assert_eq!(one.schema().field(0).name(), "a");
    let mut all = [readers(&both, 1, &[]), readers(&one, 1, &[])];
    let mut rows = [texts(&mut all[0], 1), texts(&mut all[1], 1)];
    tokio::time::advance(Duration::from_secs(1)).await;
    for (rows, readers) in rows.iter_mut().zip(&mut all) {
        rows.extend(texts(readers, 10));
        assert_eq!(rows.len(), 50);
    }
    let firsts: Vec<&str> = rows[0].iter().map(|row| row.split('|').next().unwrap()).collect();
    assert_eq!(firsts, rows[1]);
}

#[tokio::test(start_paused = true)]
async fn a_sequence_ends_the_source_exactly_even_if_nobody_reads_the_column() {
    let options = [
        ("fields.id.kind", "sequence"),
        ("fields.id.start", "5"),
        ("fields.id.end", "1004"),
        ("fields.code.kind", "sequence"),
        ("fields.code.start", "-1"),
        ("fields.code.end", "1000000"),
    ];
    let declared = declaration(&[("id", "BIGINT"), ("code", "STRING"), ("other", "DECIMAL(5, 2)")], &options);
    let source = build(&declared).unwrap();
    assert!(source.is_bounded());
    let mut reader = readers(&source, 1, &[]).remove(0);
    let (mut ids, mut codes) = (Vec::new(), Vec::new());
    while let SourceEvent::Batch(batch) = std::future::poll_fn(|cx| reader.poll_next(cx)).await.unwrap() {
        ids.extend_from_slice(batch.column(0).as_primitive::<Int64Type>().values());
        codes.extend(batch.column(1).as_string::<i32>().iter().map(|code| code.unwrap().to_owned()));
    }
    assert_eq!(ids, (5..=1004).collect::<Vec<i64>>());
    assert_eq!((codes[0].as_str(), codes[999].as_str()), ("-1", "998"));

    let unread = SourceDeclaration { projection: Vec::new(), ..declared };
    let mut reader = readers(&build(&unread).unwrap(), 1, &[]).remove(0);
    let mut rows = 0;
    while let SourceEvent::Batch(batch) = std::future::poll_fn(|cx| reader.poll_next(cx)).await.unwrap() {
        rows += batch.num_rows();
    }
    assert_eq!(rows, 1_000);
    assert!(!build(&declaration(&[("id", "BIGINT")], &[])).unwrap().is_bounded());
}

#[tokio::test(start_paused = true)]
async fn the_rate_holds_over_all_subtasks_and_no_row_waits_long() {
    for (rate, parallelism) in [("7", 2), ("1000", 1), ("1000", 3), ("500000", 2)] {
        let source = build(&declaration(&[("n", "INT")], &[("rows-per-second", rate)])).unwrap();
        let start = Instant::now();
        let mut rows = 0;
        let mut last = vec![start; parallelism];
        for (i, mut reader) in readers(&source, parallelism, &[]).into_iter().enumerate() {
            // Each subtask has its own look at the same ten seconds.
            let begin = Instant::now();
            last[i] = begin;
            loop {
                let event = std::future::poll_fn(|cx| reader.poll_next(cx)).await.unwrap();
                let SourceEvent::Batch(batch) = event else { panic!("it never ends") };
                if begin.elapsed() >= Duration::from_secs(10) {
                    break;
                }
                assert!(batch.num_rows() <= limits::BATCH_ROWS);
                let patience = if rate == "7" { Duration::from_secs(1) } else { Duration::from_millis(60) };
                assert!(last[i].elapsed() <= patience, "{:?} at rate {rate}", last[i].elapsed());
                last[i] = Instant::now();
                rows += batch.num_rows();
            }
        }
        let expected: usize = rate.parse::<usize>().unwrap() * 10;
        // The batch that came at the end of the ten seconds was not counted: a tick's worth at most.
        assert!(rows <= expected && rows + expected / 100 + 2 >= expected, "{rows} of {expected}");
    }
}

#[test]
fn rows_of_boundless_size_are_refused() {
    let options = [("fields.a.length", "1000000"), ("fields.a.element.length", "1000000")];
    let error = build(&declaration(&[("a", "ARRAY<STRING>")], &options)).unwrap_err();
    assert!(error.to_string().contains("bytes, at most"), "{error}");
}

#[test]
fn the_table_of_options_knows_every_depth() {
    let known = |key: &str| OPTIONS.iter().any(|option| option.matches(key));
    for key in ["fields.a.kind", "fields.a.b.max-past", "fields.a.b.c.null-rate", "rows-per-second", "seed"] {
        assert!(known(key), "{key}");
    }
    assert!(!known("fields.a") && !known("fields.a.most"));
    let documented = OPTIONS.iter().all(|option| !option.doc.is_empty());
    assert!(documented);
}
