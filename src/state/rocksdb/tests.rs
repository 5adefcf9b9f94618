//! The store by itself: what is written is found, and an image shows its moment.

use super::{Backend, BackendSettings, Changes, Flush, Store, StoreReader, Ticket};
use crate::types::{KeyGroupRange, MaxParallelism, Parallelism, WallTime};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

const STATE: &str = "groups";
const FAMILY: &str = "state/groups";

fn backend(directory: &TempDir, name: &str) -> Backend {
    Backend::new(&BackendSettings::RocksDb(Box::default()), directory.path().join(name))
}

/// Puts of `value` for these keys, all of key group 1.
fn puts(keys: std::ops::Range<u32>, value: &[u8]) -> Changes {
    let mut changes = Changes::default();
    for key in keys.rev() {
        changes.put(|out| out.extend([&[0, 1][..], &key.to_be_bytes()].concat()), |out| out.extend_from_slice(value));
    }
    changes.sort();
    changes
}

fn key(number: u32) -> Vec<u8> {
    [&[0, 1][..], &number.to_be_bytes()].concat()
}

fn read(reader: &StoreReader) -> Vec<(Vec<u8>, Vec<u8>)> {
    let all = KeyGroupRange::of_subtask(MaxParallelism::new(128).unwrap(), Parallelism::ONE, 0);
    let (mut rows, mut next) = (Vec::new(), None);
    loop {
        let mut left = 100;
        let row = |key: &[u8], value: &[u8]| {
            rows.push((key.to_vec(), value.to_vec()));
            left -= 1;
            Ok(left > 0)
        };
        next = reader.rows(FAMILY, next.as_deref(), all, row).unwrap();
        if next.is_none() {
            return rows;
        }
    }
}

#[test]
fn rows_are_found_whether_they_were_written_in_small_batches_or_in_large_ones() {
    let directory = TempDir::new().unwrap();
    let store = Store::new(&backend(&directory, "job"), "store");
    assert!(!store.is_open(), "nothing was needed yet");
    store.write(FAMILY, &puts(0..5_000, b"large")).unwrap();
    store.write(FAMILY, &puts(0..10, b"small")).unwrap();
    let mut deletes = Changes::default();
    deletes.delete(&key(3));
    store.write(FAMILY, &deletes).unwrap();
    let keys = [key(2), key(3), key(4_999), key(5_000)];
    let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
    let mut found = Vec::new();
    let note = |at: usize, value: &[u8]| {
        found.push((at, value.to_vec()));
        Ok(())
    };
    store.get_many(FAMILY, &keys, note).unwrap();
    assert_eq!(found, [(0, b"small".to_vec()), (2, b"large".to_vec())]);
}

#[test]
fn an_image_has_the_rows_of_its_barrier_and_nothing_that_was_written_later() {
    let directory = TempDir::new().unwrap();
    let backend = backend(&directory, "job");
    let store = Arc::new(Store::new(&backend, "store"));
    store.write(FAMILY, &puts(0..2_000, b"old")).unwrap();
    let flush = Flush::new(Arc::clone(&store), vec![Box::new(|store: &Store| store.write(FAMILY, &puts(0..500, b"barrier")))]);
    let ticket = Ticket::new(Arc::clone(&flush));
    // Whoever writes later values waits for it.
    flush.finish().unwrap();
    store.write(FAMILY, &puts(0..2_000, b"later")).unwrap();
    let image = ticket.image().unwrap();
    let files = image.files();
    assert!(files.iter().any(|file| file.name == "CURRENT" && file.state.is_none()));
    assert!(
        files
            .iter()
            .filter(|file| Path::new(&file.name).extension().is_some_and(|extension| extension == "sst"))
            .all(|file| file.state.as_deref() == Some(STATE)),
        "{files:?}"
    );
    let reader = StoreReader::of_image(Arc::clone(&image)).unwrap();
    let rows = read(&reader);
    assert_eq!(rows.len(), 2_000);
    for (number, (found, value)) in (0..).zip(&rows) {
        assert_eq!((found, value.as_slice()), (&key(number), if number < 500 { &b"barrier"[..] } else { b"old" }));
    }
    let path = image.files()[0].path.clone();
    drop((image, ticket));
    assert!(path.exists(), "the reader still needs it");
    drop(reader);
    assert!(!path.exists());
}

#[test]
fn a_barrier_that_nobody_takes_an_image_of_is_written_all_the_same() {
    let directory = TempDir::new().unwrap();
    let store = Arc::new(Store::new(&backend(&directory, "job"), "store"));
    let flush = Flush::new(Arc::clone(&store), vec![Box::new(|store: &Store| store.write(FAMILY, &puts(0..1, b"x")))]);
    drop(Ticket::new(Arc::clone(&flush)));
    flush.finish().unwrap();
    let mut found = 0;
    let note = |_: usize, _: &[u8]| {
        found += 1;
        Ok(())
    };
    store.get_many(FAMILY, &[&key(0)], note).unwrap();
    assert_eq!(found, 1);
}

#[test]
fn a_barrier_that_could_not_be_written_is_an_error_for_whoever_waits() {
    let directory = TempDir::new().unwrap();
    let store = Arc::new(Store::new(&backend(&directory, "job"), "store"));
    let fails = |_: &Store| Err(super::StateError::Invariant("disk full".to_owned()));
    let flush = Flush::new(store, vec![Box::new(fails)]);
    let ticket = Ticket::new(Arc::clone(&flush));
    assert!(ticket.image().unwrap_err().to_string().contains("disk full"));
    assert!(flush.finish().unwrap_err().to_string().contains("disk full"));
}

#[test]
fn working_directories_go_with_their_job_and_those_of_dead_jobs_with_the_next_one() {
    let directory = TempDir::new().unwrap();
    let (dead, mine, alive) = ("0".repeat(31) + "1", "0".repeat(31) + "2", "0".repeat(31) + "3");
    let other = backend(&directory, &alive);
    let store = Store::new(&other, "store");
    store.write(FAMILY, &puts(0..1, b"x")).unwrap();
    for name in [dead.as_str(), "somebody-elses"] {
        fs::create_dir_all(directory.path().join(name).join("store-0")).unwrap();
        fs::write(directory.path().join(name).join("flink.lock"), "").unwrap();
    }
    let own = backend(&directory, &mine);
    Store::new(&own, "store").write(FAMILY, &puts(0..1, b"x")).unwrap();
    let names = || {
        let names = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(names(), [mine, alive, "somebody-elses".to_owned()].into_iter().collect());
    drop((own, store, other));
    assert_eq!(names(), ["somebody-elses".to_owned()].into_iter().collect());
}

/// The keys below 100 that are in the store.
fn there(store: &Store) -> Vec<u32> {
    let keys: Vec<Vec<u8>> = (0..100).map(key).collect();
    let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
    let mut found = Vec::new();
    let note = |at: usize, _: &[u8]| {
        found.push(at as u32);
        Ok(())
    };
    store.get_many(FAMILY, &keys, note).unwrap();
    found
}

#[test]
fn compaction_drops_the_rows_whose_time_has_passed_and_no_others() {
    let directory = TempDir::new().unwrap();
    let store = Store::new(&backend(&directory, "job"), "store");
    store.expire(FAMILY);
    let mut changes = Changes::default();
    for number in 0..100 {
        let expires_at = if number % 10 == 9 { super::NEVER } else { i64::from(number) };
        changes.put(
            |out| out.extend(key(number)),
            |out| {
                let start = out.len();
                super::put_expiry(out, super::NEVER);
                out.push(7);
                super::set_expiry(out, start, expires_at);
            },
        );
    }
    store.write(FAMILY, &changes).unwrap();
    store.compact(FAMILY).unwrap();
    assert_eq!(there(&store).len(), 100, "no time was told");
    store.set_time(WallTime(50));
    assert_eq!(there(&store).len(), 100, "nothing was compacted since");
    store.compact(FAMILY).unwrap();
    assert_eq!(there(&store), (0..100).filter(|number| *number > 50 || number % 10 == 9).collect::<Vec<_>>());
    let other = Store::new(&backend(&directory, "other"), "store");
    other.set_time(WallTime(50));
    other.write(FAMILY, &changes).unwrap();
    other.compact(FAMILY).unwrap();
    assert_eq!(there(&other).len(), 100, "the family has not said that its rows expire");
}
