//! Standard input as a job sees it, from a pipe that the test holds.

use super::*;
use crate::connector::read::lines::{Lines, number_schema};
use crate::storage::LocalStorage;
use crate::types::SystemClock;
use std::io::{self, Write};

fn source(input: impl Read + Send + 'static, bad_records: BadRecordPolicy) -> StdinSource {
    let decoders = Arc::new(Lines { splittable: true });
    StdinSource::new("typed", "lines".to_owned(), decoders, number_schema(), bad_records, Box::new(input))
}

fn reader(source: &StdinSource, restored: &[RecordBatch]) -> Box<dyn SourceReader> {
    let context = ConnectorContext {
        parallelism: Parallelism::ONE,
        storage: LocalStorage::shared(),
        clock: SystemClock::shared(),
        execution: "test".to_owned(),
        exactly_once: true,
        checkpointing: true,
    };
    source.readers(&context, restored, &[OperatorMetrics::default()]).unwrap().remove(0)
}

async fn next(reader: &mut Box<dyn SourceReader>) -> Result<SourceEvent, ConnectorError> {
    std::future::poll_fn(|cx| reader.poll_next(cx)).await
}

async fn numbers(reader: &mut Box<dyn SourceReader>) -> Vec<i64> {
    match next(reader).await.unwrap() {
        SourceEvent::Batch(batch) => batch.column(0).as_primitive::<Int64Type>().values().to_vec(),
        other => panic!("{other:?}"),
    }
}

fn position(reader: &mut Box<dyn SourceReader>) -> i64 {
    reader.snapshot().unwrap().column(0).as_primitive::<Int64Type>().value(0)
}

#[tokio::test]
async fn a_row_that_was_typed_comes_out_before_anything_else_is_typed() {
    let (input, mut typed) = io::pipe().unwrap();
    let source = source(input, BadRecordPolicy::Fail);
    let mut reader = reader(&source, &[]);
    typed.write_all(b"1\n2").unwrap();
    assert_eq!(numbers(&mut reader).await, [1]);
    assert_eq!(position(&mut reader), 2);
    typed.write_all(b"2\n").unwrap();
    assert_eq!(numbers(&mut reader).await, [22]);
    typed.write_all(b"3").unwrap();
    drop(typed);
    assert_eq!(numbers(&mut reader).await, [3]);
    assert!(matches!(next(&mut reader).await, Ok(SourceEvent::End)));
    assert_eq!(position(&mut reader), 6);
}

#[tokio::test]
async fn a_long_input_comes_in_full_batches_and_ends() {
    let text: String = (0..30_000).flat_map(|n| [n.to_string(), "\n".to_owned()]).collect();
    let source = source(io::Cursor::new(text.clone()), BadRecordPolicy::Fail);
    let mut reader = reader(&source, &[]);
    let mut seen = Vec::new();
    loop {
        match next(&mut reader).await.unwrap() {
            SourceEvent::Batch(batch) => {
                assert!(batch.num_rows() <= limits::BATCH_ROWS);
                seen.extend_from_slice(batch.column(0).as_primitive::<Int64Type>().values());
                let behind: usize = text.lines().take(seen.len()).map(|line| line.len() + 1).sum();
                assert_eq!(position(&mut reader), behind as i64);
            }
            SourceEvent::End => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(seen, (0..30_000).collect::<Vec<i64>>());
}

#[tokio::test]
async fn after_a_restart_reading_goes_on_with_what_comes_then() {
    let (input, mut typed) = io::pipe().unwrap();
    let source = source(input, BadRecordPolicy::Fail);
    let mut first = reader(&source, &[]);
    typed.write_all(b"1\n").unwrap();
    assert_eq!(numbers(&mut first).await, [1]);
    let saved = first.snapshot().unwrap();
    drop(first);
    let mut second = reader(&source, &[saved]);
    typed.write_all(b"2\n").unwrap();
    assert_eq!(numbers(&mut second).await, [2]);
    assert_eq!(position(&mut second), 4);
}

#[tokio::test]
async fn bad_records_are_named_by_line_or_sent_before_the_rows_around_them() {
    let failing = source(io::Cursor::new("1\n2\nx\n"), BadRecordPolicy::Fail);
    let error = next(&mut reader(&failing, &[])).await.unwrap_err().to_string();
    assert_eq!(error, "standard input, line 3: column n: no number\n  record: x");

    let lenient = source(io::Cursor::new("1\nx\n2\n"), BadRecordPolicy::DeadLetter);
    let mut reader = reader(&lenient, &[]);
    let SourceEvent::DeadLetters(letters) = next(&mut reader).await.unwrap() else { panic!("no letters") };
    assert_eq!(letters.columns().column(1).as_string::<i32>().value(0), "standard input, byte 2");
    assert_eq!(position(&mut reader), 0);
    assert_eq!(numbers(&mut reader).await, [1, 2]);
    assert!(matches!(next(&mut reader).await, Ok(SourceEvent::End)));
}

#[test]
fn damaged_positions_and_more_subtasks_are_refused() {
    let source = source(io::empty(), BadRecordPolicy::Fail);
    let context = ConnectorContext {
        parallelism: Parallelism::new(2).unwrap(),
        storage: LocalStorage::shared(),
        clock: SystemClock::shared(),
        execution: "test".to_owned(),
        exactly_once: true,
        checkpointing: true,
    };
    assert!(source.readers(&context, &[], &[]).is_err());
    let context = ConnectorContext { parallelism: Parallelism::ONE, ..context };
    let other = RecordBatch::new_empty(number_schema());
    assert!(source.readers(&context, &[other], &[]).err().unwrap().to_string().contains("damaged"));
}
