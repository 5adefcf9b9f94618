//! Reading files as a job does: by several readers, with snapshots at any moment, on a decoder of one number a line.

use super::*;
use crate::connector::read::lines::{Lines, number_schema};
use crate::connector::{MetadataColumn, SourceEvent};
use crate::storage::LocalStorage;
use crate::types::{Batch, Column, Schema, SystemClock};
use arrow::array::{AsArray, Int64Array};
use arrow::datatypes::Int64Type;
use proptest::prelude::*;
use std::io::Write;
use std::path::Path;
use std::task::{Context, Poll, Waker};

fn source(dir: &Path, path: &str, sizes: ReadSizes) -> FileSource {
    FileSource {
        name: "numbers".to_owned(),
        format: "lines".to_owned(),
        pattern: FilePattern::parse(path, None, dir).unwrap(),
        monitor: None,
        decoders: Arc::new(Lines { splittable: true }),
        schema: number_schema(),
        metadata: Vec::new(),
        bad_records: BadRecordPolicy::DeadLetter,
        sizes,
    }
}

fn tiny(split: u64, chunk: usize, batch_rows: usize) -> ReadSizes {
    ReadSizes { split, chunk, batch_rows, batch_bytes: 4096 }
}

fn context(parallelism: usize) -> ConnectorContext {
    ConnectorContext {
        parallelism: Parallelism::new(parallelism).unwrap(),
        storage: LocalStorage::shared(),
        clock: SystemClock::shared(),
        execution: "test".to_owned(),
        exactly_once: true,
        checkpointing: true,
    }
}

fn readers(source: &FileSource, parallelism: usize, restored: &[RecordBatch]) -> Result<Vec<Box<dyn SourceReader>>, ConnectorError> {
    let metrics = vec![OperatorMetrics::default(); parallelism];
    source.readers(&context(parallelism), restored, &metrics)
}

fn numbers(batch: &Batch) -> Vec<i64> {
    batch.column(0).as_primitive::<Int64Type>().values().to_vec()
}

fn records(letters: &Batch) -> Vec<String> {
    let raw = letters.columns().column_by_name("raw").unwrap();
    raw.as_binary::<i32>().iter().map(|r| String::from_utf8(r.unwrap().to_vec()).unwrap()).collect()
}

#[derive(Debug, Default, Clone, PartialEq)]
struct Seen {
    numbers: Vec<i64>,
    letters: Vec<String>,
}

impl Seen {
    fn add(&mut self, event: &SourceEvent) {
        match event {
            SourceEvent::Batch(batch) => self.numbers.extend(numbers(batch)),
            SourceEvent::DeadLetters(letters) => self.letters.extend(records(letters)),
            SourceEvent::Idle | SourceEvent::End => {}
        }
    }

    fn sorted(mut self) -> Self {
        self.numbers.sort_unstable();
        self.letters.sort();
        self
    }
}

fn poll(reader: &mut Box<dyn SourceReader>) -> Poll<Result<SourceEvent, ConnectorError>> {
    reader.poll_next(&mut Context::from_waker(Waker::noop()))
}

/// Polls once more; true at the end.
fn step(reader: &mut Box<dyn SourceReader>, seen: &mut Seen) -> bool {
    match poll(reader) {
        Poll::Ready(event) => {
            let event = event.unwrap();
            seen.add(&event);
            matches!(event, SourceEvent::End)
        }
        Poll::Pending => false,
    }
}

fn read_all(mut readers: Vec<Box<dyn SourceReader>>) -> Seen {
    let mut seen = Seen::default();
    while !readers.is_empty() {
        readers.retain_mut(|reader| !step(reader, &mut seen));
    }
    seen
}

/// Lets a barrier pass each reader after some steps of its own, in an order that `schedule` gives. Returns what came before
/// the barrier, and the snapshots.
fn read_to_barrier(mut readers: Vec<Box<dyn SourceReader>>, steps: &[usize], schedule: &[usize]) -> (Seen, Vec<RecordBatch>) {
    let mut before = Seen::default();
    let mut after = Seen::default();
    let mut left: Vec<usize> = (0..readers.len()).map(|i| steps[i % steps.len()]).collect();
    let mut snapshots: Vec<Option<RecordBatch>> = vec![None; readers.len()];
    let mut ended = vec![false; readers.len()];
    for turn in schedule {
        let i = turn % readers.len();
        if left[i] == 0 && snapshots[i].is_none() {
            snapshots[i] = Some(readers[i].snapshot().unwrap());
        }
        if !ended[i] {
            let seen = if snapshots[i].is_none() { &mut before } else { &mut after };
            ended[i] = step(&mut readers[i], seen);
            left[i] = left[i].saturating_sub(1);
        }
    }
    for (reader, snapshot) in readers.iter_mut().zip(&mut snapshots) {
        if snapshot.is_none() {
            *snapshot = Some(reader.snapshot().unwrap());
        }
    }
    (before, snapshots.into_iter().flatten().collect())
}

fn write(dir: &Path, name: &str, content: &str) {
    std::fs::write(dir.join(name), content).unwrap();
}

#[test]
fn every_line_belongs_to_one_split_wherever_the_cuts_fall() {
    let contents = ["1\n22\n333\n\n4444\n5\n", "1\r\n22\r\n333\r\n\r\n4444\r\n5", "\n\n\n7", "123456789012", "1\n", "\r\n"];
    for content in contents {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "f", content);
        let expected: Vec<i64> = content.lines().filter_map(|line| line.trim().parse().ok()).collect();
        for split in 1..=content.len() as u64 + 1 {
            for chunk in [1, 2, 3, 7, 100] {
                for parallelism in [1, 3] {
                    let source = source(dir.path(), "f", tiny(split, chunk, 2));
                    let mut seen = read_all(readers(&source, parallelism, &[]).unwrap());
                    let mut expected = expected.clone();
                    if parallelism > 1 {
                        seen.numbers.sort_unstable();
                        expected.sort_unstable();
                    }
                    assert_eq!(seen.numbers, expected, "{content:?} split {split} chunk {chunk} parallelism {parallelism}");
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn a_read_interrupted_anywhere_and_restored_at_any_parallelism_equals_the_undisturbed_one(
        files in prop::collection::vec(prop::collection::vec((0_i64..2_000_000, 0_u8..10), 0..30), 1..4),
        ends in prop::collection::vec((any::<bool>(), any::<bool>()), 4),
        packed in 0_usize..4,
        sizes in (1_u64..60, 1_usize..20, 1_usize..5),
        whole in any::<bool>(),
        parallelism in (1_usize..5, 1_usize..5, 1_usize..5),
        steps in prop::collection::vec(0_usize..12, 5),
        schedule in prop::collection::vec(0_usize..12, 0..60),
    ) {
        let dir = tempfile::tempdir().unwrap();
        for (i, lines) in files.iter().enumerate() {
            let (crlf, final_end) = ends[i];
            let line_end = if crlf { "\r\n" } else { "\n" };
            let text = |(n, kind): &(i64, u8)| if *kind == 0 { format!("bad{n}") } else { n.to_string() };
            let mut content = lines.iter().map(text).collect::<Vec<_>>().join(line_end);
            if final_end {
                content.push_str(line_end);
            }
            if packed == i {
                let file = std::fs::File::create(dir.path().join(format!("f{i}.gz"))).unwrap();
                let mut packer = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
                packer.write_all(content.as_bytes()).unwrap();
                packer.finish().unwrap();
            } else {
                write(dir.path(), &format!("f{i}"), &content);
            }
        }
        let mut source = source(dir.path(), ".", tiny(sizes.0, sizes.1, sizes.2));
        source.decoders = Arc::new(Lines { splittable: !whole });
        let undisturbed = read_all(readers(&source, 1, &[]).unwrap()).sorted();

        let (first, restored) = read_to_barrier(readers(&source, parallelism.0, &[]).unwrap(), &steps[..4], &schedule);
        // A second failure, before much has happened: what waits in a reader must not be forgotten.
        let (second, restored) = read_to_barrier(readers(&source, parallelism.1, &restored).unwrap(), &steps[4..], &schedule[..schedule.len() / 3]);
        let third = read_all(readers(&source, parallelism.2, &restored).unwrap());
        let mut together = first;
        for part in [second, third] {
            together.numbers.extend(part.numbers);
            together.letters.extend(part.letters);
        }
        prop_assert_eq!(together.sorted(), undisturbed);
    }
}

#[test]
fn one_reader_returns_files_in_the_order_of_their_paths_and_ends() {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in [("b", "3\n4\n"), ("a", "1\n2"), ("_c", "9\n"), ("d", "")] {
        write(dir.path(), name, content);
    }
    let source = source(dir.path(), ".", ReadSizes::default());
    assert_eq!(read_all(readers(&source, 1, &[]).unwrap()).numbers, [1, 2, 3, 4]);
    assert_eq!((source.is_bounded(), source.describe()), (true, "filesystem(lines)".to_owned()));
}

#[test]
fn packed_files_are_unpacked_and_gone_on_with_in_the_middle() {
    let content: String = (0..5_000).flat_map(|n| [n.to_string(), "\n".to_owned()]).collect();
    let packed = |name: &str| -> Vec<u8> {
        match name {
            "f.gz" => {
                // Two members, as `cat a.gz b.gz` makes them.
                let (a, b) = content.split_at(content.len() / 2);
                let pack = |part: &str| {
                    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
                    packer.write_all(part.as_bytes()).unwrap();
                    packer.finish().unwrap()
                };
                [pack(a), pack(b)].concat()
            }
            "f.zst" => zstd::encode_all(content.as_bytes(), 3).unwrap(),
            _ => {
                let mut packer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
                packer.write_all(content.as_bytes()).unwrap();
                packer.finish().unwrap()
            }
        }
    };
    for name in ["f.gz", "f.zst", "f.deflate"] {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(name), packed(name)).unwrap();
        let source = source(dir.path(), ".", tiny(10, 1000, 300));
        let (before, restored) = read_to_barrier(readers(&source, 2, &[]).unwrap(), &[5], &[0, 1, 0, 1, 0, 1, 0, 1, 0]);
        assert!(!before.numbers.is_empty() && before.numbers.len() < 5_000);
        let mut seen = before.numbers;
        seen.extend(read_all(readers(&source, 1, &restored).unwrap()).numbers);
        assert_eq!(seen, (0..5_000).collect::<Vec<i64>>(), "{name}");
    }
}

#[test]
fn an_empty_packed_file_has_no_rows_and_a_damaged_one_is_named() {
    for name in ["f.gz", "f.zst", "f.deflate"] {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), name, "");
        let source = source(dir.path(), name, ReadSizes::default());
        assert_eq!(read_all(readers(&source, 1, &[]).unwrap()), Seen::default(), "{name}");
        write(dir.path(), name, "this is not packed, whatever the name says");
        let mut reader = readers(&source, 1, &[]).unwrap().remove(0);
        let Poll::Ready(Err(error)) = poll(&mut reader) else { panic!("{name} was read") };
        assert!(error.to_string().contains(name), "{error}");
    }
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "f.bz2", "x");
    let error = readers(&source(dir.path(), ".", ReadSizes::default()), 1, &[]).err().unwrap().to_string();
    assert!(error.contains(".bz2 files cannot be unpacked"), "{error}");
}

#[test]
fn nothing_to_read_is_an_error_that_names_the_path() {
    let dir = tempfile::tempdir().unwrap();
    for path in ["absent.json", "*.json", "."] {
        let error = readers(&source(dir.path(), path, ReadSizes::default()), 1, &[]).err().unwrap();
        assert!(error.to_string().contains("source numbers: path /") && error.to_string().contains("no file to read"), "{error}");
        assert_eq!(error.retry_hint(), crate::error::RetryHint::Never);
    }
}

#[test]
fn a_bad_record_fails_the_job_with_file_line_and_record() {
    let dir = tempfile::tempdir().unwrap();
    let content: String = (0..50).map(|n| if n == 41 { "x41\n".to_owned() } else { format!("{n}\n") }).collect();
    write(dir.path(), "f", &content);
    let mut source = source(dir.path(), "f", tiny(20, 8, 100));
    source.bad_records = BadRecordPolicy::Fail;
    let mut reader = readers(&source, 1, &[]).unwrap().remove(0);
    let error = loop {
        match poll(&mut reader) {
            Poll::Ready(Err(error)) => break error,
            Poll::Ready(Ok(SourceEvent::End)) => panic!("the bad record was not found"),
            _ => {}
        }
    };
    let path = dir.path().join("f").display().to_string();
    assert_eq!(error.to_string(), format!("file {path}, line 42: column n: no number\n  record: x41"));
}

#[test]
fn skipped_records_are_counted_and_dead_letters_say_where_they_stood() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "f", "1\nx\n2\ny\n");
    let mut source = source(dir.path(), "f", ReadSizes::default());
    let metrics = [OperatorMetrics::default()];
    let mut letters = source.readers(&context(1), &[], &metrics).unwrap().remove(0);
    let Poll::Ready(Ok(SourceEvent::DeadLetters(batch))) = poll(&mut letters) else { panic!("no letters") };
    let text = |name: &str| batch.columns().column_by_name(name).unwrap().as_string::<i32>().value(1).to_owned();
    let path = dir.path().join("f").display().to_string();
    assert_eq!(
        [text("source"), text("position"), text("reason"), text("record")],
        ["numbers", &format!("{path}, byte 6"), "column n: no number", "y"]
    );
    assert_eq!(batch.schema(), crate::connector::dead_letter_schema());
    assert_eq!((metrics[0].bad_records.get(), metrics[0].bytes_in.get()), (2, 8));

    source.bad_records = BadRecordPolicy::Skip;
    let metrics = [OperatorMetrics::default()];
    let seen = read_all(source.readers(&context(1), &[], &metrics).unwrap());
    assert_eq!((seen.numbers, seen.letters.len(), metrics[0].bad_records.get()), (vec![1, 2], 0, 2));
}

#[test]
fn finished_parts_of_a_file_become_one_row_of_the_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "f", &"12345\n".repeat(100));
    let source = source(dir.path(), "f", tiny(50, 50, 100));
    let mut reader = readers(&source, 1, &[]).unwrap().remove(0);
    let mut seen = Seen::default();
    while !step(&mut reader, &mut seen) {}
    let snapshot = reader.snapshot().unwrap();
    assert_eq!((snapshot.num_rows(), snapshot.schema()), (1, source.state_schema()));
    assert!(snapshot.column_by_name("done").unwrap().as_boolean().value(0));
    let again = read_all(readers(&source, 2, &[snapshot]).unwrap());
    assert_eq!(again, Seen::default());
}

#[test]
fn damaged_positions_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "f", "1\n2\n");
    let source = source(dir.path(), "f", ReadSizes::default());
    let snapshot = readers(&source, 1, &[]).unwrap().remove(0).snapshot().unwrap();
    let other = RecordBatch::try_new(number_schema(), vec![Arc::new(Int64Array::from(vec![1]))]).unwrap();
    assert!(readers(&source, 1, &[other]).err().unwrap().to_string().contains("damaged"));
    assert!(readers(&source, 1, &[snapshot]).is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_watched_directory_yields_new_files_once_and_never_ends() {
    let dir = tempfile::tempdir().unwrap();
    let mut source = source(dir.path(), "in", ReadSizes::default());
    source.monitor = Some(Duration::from_secs(10));
    assert!(!source.is_bounded());
    // The directory need not be there yet.
    let mut readers = readers(&source, 2, &[]).unwrap();
    let mut second = readers.pop().unwrap();
    let mut first = readers.pop().unwrap();
    for reader in [&mut first, &mut second] {
        assert!(matches!(poll(reader), Poll::Ready(Ok(SourceEvent::Idle))));
        assert!(poll(reader).is_pending() && !reader.is_backlogged());
    }
    std::fs::create_dir(dir.path().join("in")).unwrap();
    write(dir.path(), "in/a", "1\n");
    assert!(poll(&mut first).is_pending());

    let started = tokio::time::Instant::now();
    let event = std::future::poll_fn(|cx| first.poll_next(cx)).await.unwrap();
    assert!(matches!(event, SourceEvent::Batch(batch) if numbers(&batch) == [1]));
    assert_eq!(started.elapsed(), Duration::from_secs(10));
    assert!(matches!(poll(&mut first), Poll::Ready(Ok(SourceEvent::Idle))));
    write(dir.path(), "in/b", "2\n");
    let event = std::future::poll_fn(|cx| second.poll_next(cx)).await.unwrap();
    assert!(matches!(event, SourceEvent::Batch(batch) if numbers(&batch) == [2]));

    // Restored, it knows what it has read, and finds what has come since at once.
    let snapshots = [first.snapshot().unwrap(), second.snapshot().unwrap()];
    write(dir.path(), "in/c", "3\n");
    let mut restored = self::readers(&source, 1, &snapshots).unwrap().remove(0);
    assert!(matches!(poll(&mut restored), Poll::Ready(Ok(SourceEvent::Batch(batch))) if numbers(&batch) == [3]));
    assert!(matches!(poll(&mut restored), Poll::Ready(Ok(SourceEvent::Idle))));
}

#[test]
fn the_files_of_the_start_are_a_backlog_if_new_ones_are_looked_for_after_them() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("in")).unwrap();
    write(dir.path(), "in/a", "1\n");
    write(dir.path(), "in/b", "2\n");
    let mut source = source(dir.path(), "in", ReadSizes::default());
    assert!(!readers(&source, 1, &[]).unwrap().remove(0).is_backlogged(), "the source ends by itself");
    source.monitor = Some(Duration::from_secs(10));
    let mut readers = readers(&source, 2, &[]).unwrap();
    assert!(readers.iter().all(|reader| reader.is_backlogged()));
    for reader in &mut readers {
        while let Poll::Ready(Ok(SourceEvent::Batch(_))) = poll(reader) {
            assert!(reader.is_backlogged(), "there may be another one");
        }
        assert!(!reader.is_backlogged(), "it has looked and there was none");
    }
}

#[test]
fn a_record_longer_than_the_buffer_and_the_split_is_read_whole() {
    let dir = tempfile::tempdir().unwrap();
    let long = format!("{:0>20000}", 7);
    write(dir.path(), "f", &format!("1\n{long}\n2\n{long}"));
    for split in [1, 3, 100, 19_999, 20_003, 100_000] {
        let source = source(dir.path(), "f", tiny(split, 16, 10));
        assert_eq!(read_all(readers(&source, 1, &[]).unwrap()).numbers, [1, 7, 2, 7], "split {split}");
    }
}

#[test]
fn metadata_columns_stand_behind_those_of_the_format_and_follow_the_file() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a"), "1;7\n2;8\n3;9\n").unwrap();
    std::fs::write(dir.path().join("b"), "40;6\n").unwrap();
    let column = |name: &str, data_type: &str| Column { name: name.to_owned(), data_type: data_type.parse().unwrap() };
    let metadata = |key, data_type: &str| MetadataColumn { key, column: column(key, data_type) };
    let declaration = SourceDeclaration {
        name: "numbers".to_owned(),
        connector: "filesystem".to_owned(),
        schema: Schema::new(vec![column("unused", "STRING"), column("n", "BIGINT")]),
        metadata: vec![
            metadata("file.path", "STRING"),
            metadata("file.name", "STRING NOT NULL"),
            metadata("file.modification-time", "TIMESTAMP_LTZ(3)"),
            metadata("file.size", "BIGINT"),
        ],
        projection: vec![0, 3, 4, 5],
        primary_key: Vec::new(),
        options: [("path", "."), ("format", "csv"), ("csv.field-delimiter", ";")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into_iter()
            .collect(),
        bad_records: BadRecordPolicy::Fail,
        directory: dir.path().to_owned(),
    };
    let source = build(&declaration).unwrap();
    let modified = context(1).storage.entry(&dir.path().join("a")).unwrap().unwrap().modified.0;
    let mut seen = Vec::new();
    for mut reader in source.readers(&context(2), &[], &vec![OperatorMetrics::default(); 2]).unwrap() {
        while let Poll::Ready(event) = poll(&mut reader) {
            match event.unwrap() {
                SourceEvent::Batch(batch) => {
                    assert_eq!(batch.schema(), source.schema());
                    let times = batch.column(2).as_primitive::<arrow::datatypes::TimestampMillisecondType>();
                    let sizes = batch.column(3).as_primitive::<Int64Type>();
                    for row in 0..batch.num_rows() {
                        let text = |at: usize| batch.column(at).as_string::<i32>().value(row).to_owned();
                        assert!((modified - times.value(row)).abs() < 60_000, "{} is not about {modified}", times.value(row));
                        seen.push((text(0), text(1), sizes.value(row)));
                    }
                }
                SourceEvent::End => break,
                other => panic!("{other:?}"),
            }
        }
    }
    seen.sort();
    let row = |n: &str, file: &str, size| (n.to_owned(), file.to_owned(), size);
    assert_eq!(seen, [row("1", "a", 12), row("2", "a", 12), row("3", "a", 12), row("40", "b", 5)]);
}
