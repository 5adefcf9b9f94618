//! Tests of the filesystem sink.

use super::*;
use crate::connector::sink_testing::{context, declaration, numbers};
use crate::connector::{SinkSnapshot, dead_letter_schema};
use crate::error::RetryHint;
use crate::format::{Encoder, FormatError};
use crate::storage::Storage;
use crate::testing::storage::{Faults, FaultyStorage, MemoryStorage};
use crate::types::{Batch, ChangelogMode, CheckpointId, ManualClock, Schema, WallTime};
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use std::io::Read;
use std::ops::Range;
use std::path::Path;

/// One number a line.
#[derive(Debug)]
struct Numbers;

impl EncoderFactory for Numbers {
    fn encoder(&self) -> Box<dyn Encoder> {
        Box::new(Self)
    }

    fn changelog_mode(&self) -> ChangelogMode {
        ChangelogMode::AppendOnly
    }

    fn extension(&self) -> &'static str {
        "txt"
    }
}

impl Encoder for Numbers {
    fn encode(&mut self, batch: &Batch, rows: Range<usize>, out: &mut Vec<u8>) -> Result<(), FormatError> {
        let values = batch.column(0).as_primitive::<Int64Type>();
        rows.for_each(|row| out.extend_from_slice(format!("{}\n", values.value(row)).as_bytes()));
        Ok(())
    }
}

const DIRECTORY: &str = "/job/out";

fn sink(options: &[(&str, &str)]) -> FileSink {
    let options = declaration("filesystem", options).options;
    let compression = [Compression::None, Compression::Gzip, Compression::Zstd][options.word("compression", 0, COMPRESSIONS).unwrap()];
    FileSink {
        name: "out".to_owned(),
        format: "numbers".to_owned(),
        directory: DIRECTORY.into(),
        factory: Arc::new(Numbers),
        policy: rolling_policy(&options, compression).unwrap(),
        compression,
        ignore_missing: options.word("sink.missing-files", 0, MISSING_FILES).unwrap() == 1,
        parallelism: None,
    }
}

const STAYS_OPEN: &[(&str, &str)] = &[("sink.rolling-policy.on-checkpoint", "false")];

fn in_storage(storage: &Arc<MemoryStorage>, execution: &str, parallelism: usize) -> ConnectorContext {
    ConnectorContext { storage: storage.clone(), execution: execution.to_owned(), ..context(parallelism) }
}

fn checkpoint(number: u64) -> CheckpointId {
    CheckpointId::new(number)
}

/// What a job would have saved of these snapshots at this checkpoint.
fn saved(number: u64, snapshots: &[SinkSnapshot]) -> SinkRestore {
    SinkRestore {
        state: snapshots.iter().filter_map(|snapshot| snapshot.state.clone()).collect(),
        committables: snapshots.iter().filter_map(|s| Some((checkpoint(number), s.committables.clone()?))).collect(),
    }
}

fn names(storage: &dyn Storage, matching: impl Fn(&str) -> bool) -> Vec<String> {
    let entries = storage.list(Path::new(DIRECTORY)).unwrap();
    let names = entries.iter().map(|entry| entry.path.file_name().unwrap().to_str().unwrap().to_owned());
    names.filter(|name| matching(name)).collect()
}

fn visible_files(storage: &dyn Storage) -> Vec<String> {
    names(storage, |name| !name.starts_with('.'))
}

fn hidden_files(storage: &dyn Storage, state: &str) -> usize {
    names(storage, |name| name.starts_with('.') && name.ends_with(state)).len()
}

/// The rows that a reader of the directory sees, sorted.
fn visible(storage: &dyn Storage) -> Vec<i64> {
    let mut rows = Vec::new();
    for name in visible_files(storage) {
        let bytes = storage.read(&Path::new(DIRECTORY).join(name), 1 << 20).unwrap();
        rows.extend(String::from_utf8(bytes).unwrap().lines().map(|line| line.parse::<i64>().unwrap()));
    }
    rows.sort_unstable();
    rows
}

fn commit(writer: &mut Box<dyn SinkWriter>, number: u64, snapshot: &SinkSnapshot) {
    if let Some(committables) = &snapshot.committables {
        writer.commit(checkpoint(number), committables).unwrap();
    }
}

#[test]
fn rows_become_visible_with_their_checkpoint_under_flinks_names() {
    let storage = MemoryStorage::new();
    let mut writers = sink(&[]).writers(&in_storage(&storage, "a", 2), None, &[]).unwrap();
    writers[1].write(&numbers(&[1, 2])).unwrap();
    assert_eq!((visible(&*storage), hidden_files(&*storage, ".inprogress")), (vec![], 1));
    let snapshot = writers[1].prepare_commit(checkpoint(1)).unwrap();
    assert_eq!((visible(&*storage), hidden_files(&*storage, ".pending")), (vec![], 1));
    commit(&mut writers[1], 1, &snapshot);
    commit(&mut writers[1], 1, &snapshot);
    assert_eq!(visible(&*storage), [1, 2]);
    let name = &visible_files(&*storage)[0];
    assert!(name.starts_with("part-") && name.ends_with("-1-0.txt"), "{name}");
    assert!(writers[0].prepare_commit(checkpoint(1)).unwrap().committables.is_none(), "a file without rows");
    for writer in &mut writers {
        writer.close();
    }
    drop(writers);
    assert_eq!(names(&*storage, |_| true).len(), 1, "something was left beside the output");
}

#[test]
fn what_was_prepared_before_a_crash_is_committed_by_the_restore_once() {
    let storage = MemoryStorage::new();
    let mut writers = sink(&[]).writers(&in_storage(&storage, "a", 1), None, &[]).unwrap();
    writers[0].write(&numbers(&[1, 2])).unwrap();
    let restore = saved(1, &[writers[0].prepare_commit(checkpoint(1)).unwrap()]);
    writers[0].write(&numbers(&[3])).unwrap();
    storage.crash(5);
    drop(writers);
    for execution in ["b", "c", "d"] {
        let writers = sink(&[]).writers(&in_storage(&storage, execution, 3), Some(&restore), &[]).unwrap();
        assert_eq!(visible(&*storage), [1, 2]);
        drop(writers);
        assert_eq!(hidden_files(&*storage, ".inprogress"), 0, "an orphan was left");
    }
}

#[test]
fn an_orphan_goes_only_if_its_execution_is_dead_and_of_the_same_sink() {
    let storage = MemoryStorage::new();
    let start = |execution: &str, restore: Option<&SinkRestore>| {
        let mut writers = sink(&[]).writers(&in_storage(&storage, execution, 1), restore, &[]).unwrap();
        writers[0].write(&numbers(&[9])).unwrap();
        writers
    };
    let mut first = start("first", None);
    let restore = saved(1, &[first[0].prepare_commit(checkpoint(1)).unwrap()]);
    let mut other_sink = start("other", None);
    other_sink[0].write(&numbers(&[8])).unwrap();
    first[0].write(&numbers(&[7])).unwrap();
    // `first` still runs: a savepoint of it was taken.
    let fork = start("fork", Some(&restore));
    assert_eq!(hidden_files(&*storage, ".inprogress"), 3);
    drop((first, fork, other_sink));
    let last = start("last", Some(&restore));
    assert_eq!(hidden_files(&*storage, ".inprogress"), 2, "the other sink's file and the last one's");
    drop(last);
}

#[test]
fn an_open_file_is_cut_to_what_the_checkpoint_covers() {
    let storage = MemoryStorage::new();
    let mut writers = sink(STAYS_OPEN).writers(&in_storage(&storage, "a", 1), None, &[]).unwrap();
    writers[0].write(&numbers(&[1, 2])).unwrap();
    let snapshot = writers[0].prepare_commit(checkpoint(1)).unwrap();
    assert!(snapshot.committables.is_none());
    writers[0].write(&numbers(&[33_333_333])).unwrap();
    writers[0].prepare_commit(checkpoint(2)).unwrap();
    storage.crash(1);
    drop(writers);
    for execution in ["b", "c"] {
        let restore = saved(1, std::slice::from_ref(&snapshot));
        let mut writers = sink(STAYS_OPEN).writers(&in_storage(&storage, execution, 1), Some(&restore), &[]).unwrap();
        assert_eq!(visible(&*storage), [1, 2]);
        writers[0].write(&numbers(&[4])).unwrap();
        drop(writers);
    }
}

#[test]
fn the_open_file_of_a_job_that_still_runs_is_copied_and_replaced_when_that_job_commits_it() {
    let storage = MemoryStorage::new();
    let mut first = sink(STAYS_OPEN).writers(&in_storage(&storage, "a", 1), None, &[]).unwrap();
    first[0].write(&numbers(&[1, 2])).unwrap();
    let restore = saved(1, &[first[0].prepare_commit(checkpoint(1)).unwrap()]);
    first[0].write(&numbers(&[3])).unwrap();
    let _fork = sink(STAYS_OPEN).writers(&in_storage(&storage, "b", 1), Some(&restore), &[]).unwrap();
    assert_eq!(visible(&*storage), [1, 2]);
    first[0].end_of_input().unwrap();
    let snapshot = first[0].prepare_commit(checkpoint(2)).unwrap();
    commit(&mut first[0], 2, &snapshot);
    assert_eq!(visible(&*storage), [1, 2, 3]);
}

#[test]
fn two_sinks_of_one_name_in_one_directory_do_not_overwrite_each_other() {
    let storage = MemoryStorage::new();
    let write = |row: i64| {
        let mut writers = sink(&[]).writers(&in_storage(&storage, "a", 1), None, &[]).unwrap();
        writers[0].write(&numbers(&[row])).unwrap();
        let snapshot = writers[0].prepare_commit(checkpoint(1)).unwrap();
        commit(&mut writers[0], 1, &snapshot);
        writers
    };
    let _both = (write(1), write(2));
    assert_eq!(visible(&*storage), [1, 2]);
}

#[test]
fn files_roll_by_size_and_by_time() {
    let storage = MemoryStorage::new();
    let clock = ManualClock::at(WallTime(0));
    let mut options = STAYS_OPEN.to_vec();
    options.extend([("sink.rolling-policy.file-size", "10 b"), ("sink.rolling-policy.rollover-interval", "5 min")]);
    let context = ConnectorContext { clock: clock.clone(), ..in_storage(&storage, "a", 1) };
    let mut writers = sink(&options).writers(&context, None, &[]).unwrap();
    let writer = &mut writers[0];
    writer.write(&numbers(&[1234, 5678])).unwrap();
    writer.write(&numbers(&[1])).unwrap();
    let rolled = |number, writer: &mut Box<dyn SinkWriter>| {
        let snapshot = writer.prepare_commit(checkpoint(number)).unwrap();
        commit(writer, number, &snapshot);
        visible(&*storage)
    };
    assert_eq!(rolled(1, writer), [1234, 5678]);
    clock.advance(Duration::from_secs(299));
    writer.on_idle().unwrap();
    assert_eq!(rolled(2, writer), [1234, 5678]);
    clock.advance(Duration::from_mins(1));
    writer.on_idle().unwrap();
    assert_eq!(rolled(3, writer), [1, 1234, 5678]);
}

#[test]
fn without_checkpoints_a_closed_file_is_visible_at_once() {
    let storage = MemoryStorage::new();
    let context = ConnectorContext { checkpointing: false, exactly_once: false, ..in_storage(&storage, "a", 1) };
    let mut writers = sink(&[("sink.rolling-policy.file-size", "4 b")]).writers(&context, None, &[]).unwrap();
    writers[0].write(&numbers(&[1234])).unwrap();
    assert_eq!(visible(&*storage), [1234]);
    writers[0].write(&numbers(&[5])).unwrap();
    assert_eq!(visible(&*storage), [1234]);
    writers[0].end_of_input().unwrap();
    assert_eq!(visible(&*storage), [5, 1234]);
    let last = writers[0].prepare_commit(checkpoint(u64::MAX)).unwrap();
    assert!(last.committables.is_none());
}

#[test]
fn compressed_files_are_whole_at_every_checkpoint() {
    for (compression, extension) in [("gzip", ".gz"), ("zstd", ".zst")] {
        let storage = MemoryStorage::new();
        let mut writers = sink(&[("compression", compression)]).writers(&in_storage(&storage, "a", 1), None, &[]).unwrap();
        writers[0].write(&numbers(&[1, 2])).unwrap();
        let snapshot = writers[0].prepare_commit(checkpoint(1)).unwrap();
        commit(&mut writers[0], 1, &snapshot);
        let name = visible_files(&*storage).remove(0);
        assert!(name.ends_with(&format!(".txt{extension}")), "{name}");
        let bytes = storage.read(&Path::new(DIRECTORY).join(name), 1 << 20).unwrap();
        let mut text = String::new();
        match compression {
            "gzip" => flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap(),
            _ => zstd::stream::read::Decoder::new(&bytes[..]).unwrap().read_to_string(&mut text).unwrap(),
        };
        assert_eq!(text, "1\n2\n");
    }
    let error = rolling_policy(&declaration("filesystem", STAYS_OPEN).options, Compression::Gzip).unwrap_err();
    assert_eq!(error.key, "sink.rolling-policy.on-checkpoint");
}

#[test]
fn a_full_disk_is_an_error_that_a_restart_may_cure_and_the_restart_loses_nothing() {
    let storage = MemoryStorage::new();
    let faulty = FaultyStorage::over(storage.clone(), 1, Faults::default());
    let context = ConnectorContext { storage: faulty.clone(), ..in_storage(&storage, "a", 1) };
    let mut writers = sink(&[]).writers(&context, None, &[]).unwrap();
    writers[0].write(&numbers(&[1])).unwrap();
    let restore = saved(1, &[writers[0].prepare_commit(checkpoint(1)).unwrap()]);
    faulty.set(Faults { space: Some(ByteSize(3)), ..Faults::default() });
    writers[0].write(&numbers(&[222, 333])).unwrap();
    let error = writers[0].prepare_commit(checkpoint(2)).unwrap_err();
    assert_eq!(error.retry_hint(), RetryHint::Backoff);
    assert!(error.to_string().contains(DIRECTORY), "{error}");
    drop(writers);
    sink(&[]).writers(&in_storage(&storage, "b", 1), Some(&restore), &[]).unwrap();
    assert_eq!((visible(&*storage), hidden_files(&*storage, ".inprogress")), (vec![1], 0));
}

#[test]
fn a_file_of_the_snapshot_that_is_gone_or_cut_is_an_error_that_names_it() {
    let storage = MemoryStorage::new();
    let mut writers = sink(&[]).writers(&in_storage(&storage, "a", 1), None, &[]).unwrap();
    writers[0].write(&numbers(&[1, 2])).unwrap();
    let restore = saved(1, &[writers[0].prepare_commit(checkpoint(1)).unwrap()]);
    drop(writers);
    let pending = names(&*storage, |name| name.ends_with(".pending")).remove(0);
    let path = Path::new(DIRECTORY).join(&pending);
    let error_of = |options: &[(&str, &str)]| {
        sink(options).writers(&in_storage(&storage, "b", 1), Some(&restore), &[]).err().map(|error| error.to_string())
    };
    storage.append(&path, 3).unwrap();
    let error = error_of(&[]).unwrap();
    assert!(error.contains(&pending) && error.contains("3 bytes, 4 belong"), "{error}");
    storage.remove(&path).unwrap();
    let error = error_of(&[]).unwrap();
    assert!(error.contains(&pending) && error.contains("sink.missing-files"), "{error}");
    assert_eq!(error_of(&[("sink.missing-files", "ignore")]), None);
}

#[test]
fn a_snapshot_of_another_kind_of_sink_is_refused() {
    let foreign = SinkRestore { state: vec![numbers(&[1]).columns().clone()], committables: Vec::new() };
    let error = sink(&[]).writers(&context(1), Some(&foreign), &[]).err().unwrap();
    assert!(matches!(error, ConnectorError::State(_)), "{error}");
    let foreign = SinkRestore { state: Vec::new(), committables: vec![(checkpoint(1), numbers(&[1]).columns().clone())] };
    assert!(sink(&[]).writers(&context(1), Some(&foreign), &[]).is_err());
}

#[test]
fn the_files_of_a_snapshot_are_found_after_the_directory_moved_as_a_whole() {
    let storage = MemoryStorage::new();
    let mut writers = sink(&[]).writers(&in_storage(&storage, "a", 1), None, &[]).unwrap();
    writers[0].write(&numbers(&[1, 2])).unwrap();
    let restore = saved(1, &[writers[0].prepare_commit(checkpoint(1)).unwrap()]);
    drop(writers);
    let moved = FileSink { directory: "/elsewhere".into(), ..sink(&[]) };
    storage.rename(Path::new(DIRECTORY), Path::new("/elsewhere")).unwrap();
    moved.writers(&in_storage(&storage, "b", 1), Some(&restore), &[]).unwrap();
    storage.rename(Path::new("/elsewhere"), Path::new(DIRECTORY)).unwrap();
    assert_eq!(visible(&*storage), [1, 2]);
}

/// A job of one source that counts to `ROWS`, a checkpoint after every third row, and this sink.
struct CountingJob<'a> {
    sink: &'a FileSink,
    /// The last complete checkpoint: its number, the rows before it, and what was saved.
    complete: Option<(u64, i64, SinkRestore)>,
}

const ROWS: i64 = 12;

impl CountingJob<'_> {
    fn run(&mut self, context: &ConnectorContext) -> Result<(), ConnectorError> {
        let restored = self.complete.as_ref().map(|(_, _, restore)| restore);
        let mut writers = self.sink.writers(context, restored, &[])?;
        let (mut number, mut row) = self.complete.as_ref().map_or((0, 0), |(number, rows, _)| (*number, *rows));
        while row < ROWS {
            for _ in 0..3 {
                let at = row as usize % writers.len();
                writers[at].write(&numbers(&[row]))?;
                row += 1;
            }
            number += 1;
            if row == ROWS {
                writers.iter_mut().try_for_each(|writer| writer.end_of_input())?;
            }
            let prepare = |writer: &mut Box<dyn SinkWriter>| writer.prepare_commit(checkpoint(number));
            let snapshots = writers.iter_mut().map(prepare).collect::<Result<Vec<_>, _>>()?;
            self.complete = Some((number, row, saved(number, &snapshots)));
            for (writer, snapshot) in writers.iter_mut().zip(&snapshots) {
                if let Some(committables) = &snapshot.committables {
                    writer.commit(checkpoint(number), committables)?;
                }
            }
        }
        for writer in &mut writers {
            writer.close();
        }
        Ok(())
    }
}

fn killed_at_every_operation(options: &[(&str, &str)]) {
    let sink = sink(options);
    for machine_crash in [false, true] {
        let mut killed_at = 0;
        loop {
            let storage = MemoryStorage::new();
            let faulty = FaultyStorage::over(storage.clone(), killed_at, Faults { fail_from: Some(killed_at), ..Faults::default() });
            let mut job = CountingJob { sink: &sink, complete: None };
            let context = ConnectorContext { storage: faulty, ..in_storage(&storage, "a", 2) };
            let ended = job.run(&context).is_ok();
            if machine_crash {
                storage.crash(killed_at);
            }
            if job.complete.is_none() {
                // Nothing was promised yet: a fresh start leaves what is there, and nothing is visible.
                assert!(storage.list(Path::new(DIRECTORY)).is_err() || visible(&*storage).is_empty());
            }
            for (execution, parallelism) in [("b", 3), ("c", 1)] {
                job.run(&in_storage(&storage, execution, parallelism)).unwrap();
                assert_eq!(visible(&*storage), (0..ROWS).collect::<Vec<_>>(), "killed at operation {killed_at}");
            }
            if ended {
                assert!(killed_at > 20, "{killed_at} operations");
                break;
            }
            killed_at += 1;
        }
    }
}

#[test]
fn a_job_killed_at_any_operation_ends_with_every_row_once() {
    killed_at_every_operation(&[]);
}

#[test]
fn a_job_killed_at_any_operation_ends_with_every_row_once_when_files_stay_open() {
    killed_at_every_operation(STAYS_OPEN);
    killed_at_every_operation(&[("sink.rolling-policy.on-checkpoint", "false"), ("sink.rolling-policy.file-size", "4 b")]);
}

#[test]
fn dead_letters_are_written_as_json_with_the_raw_bytes_in_base64() {
    let storage = MemoryStorage::new();
    let schema = dead_letter_schema();
    let mut declared = declaration("filesystem", &[("path", "dead"), ("format", "json")]);
    declared.schema = Schema::from_arrow(&schema).unwrap();
    let text = |value: &str| Arc::new(arrow::array::StringArray::from(vec![value])) as Arc<dyn arrow::array::Array>;
    let raw = Arc::new(arrow::array::BinaryArray::from(vec![&b"\xffa"[..]]));
    let columns = vec![text("bids"), text("line 3"), text("no number"), text("?a"), raw];
    let batch = Batch::append(RecordBatch::try_new(schema, columns).unwrap());
    let mut writers = build_sink(&declared).unwrap().writers(&in_storage(&storage, "a", 1), None, &[]).unwrap();
    writers[0].write(&batch).unwrap();
    let snapshot = writers[0].prepare_commit(checkpoint(1)).unwrap();
    commit(&mut writers[0], 1, &snapshot);
    let file = storage.list(Path::new("/job/dead")).unwrap().into_iter().find(|e| e.len > 40).unwrap();
    assert_eq!(file.path.extension().unwrap(), "json");
    let json: serde_json::Value = serde_json::from_slice(&storage.read(&file.path, 1_000).unwrap()).unwrap();
    let expected = serde_json::json!({"source": "bids", "position": "line 3", "reason": "no number", "record": "?a", "raw": "/2E="});
    assert_eq!(json, expected);
}
