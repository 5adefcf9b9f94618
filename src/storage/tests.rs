//! Objects as files, over a store in memory.

use super::*;
use object_store::memory::InMemory;
use proptest::prelude::*;
use std::io::Write;
use std::sync::Arc;

fn storage() -> (Arc<InMemory>, ObjectStorage) {
    let store = Arc::new(InMemory::new());
    let storage = ObjectStorage::new(Arc::clone(&store) as Arc<dyn object_store::ObjectStore>, PathBuf::from("s3://b")).unwrap();
    (store, storage)
}

fn write(storage: &dyn Storage, path: &str, bytes: &[u8]) {
    let mut file = storage.create(Path::new(path)).unwrap();
    file.write_all(bytes).unwrap();
    file.sync().unwrap();
}

#[test]
fn an_object_is_there_when_it_is_synced_and_not_before() {
    let (_, storage) = storage();
    let path = Path::new("s3://b/dir/f");
    let mut file = storage.create(path).unwrap();
    file.write_all(b"half").unwrap();
    assert_eq!(storage.entry(path).unwrap(), None);
    drop(file);
    assert_eq!(storage.entry(path).unwrap(), None, "what was not synced is given up");
    write(&storage, "s3://b/dir/f", b"whole");
    assert_eq!(storage.read(path, 10).unwrap(), b"whole");
    assert!(storage.read(path, 2).is_err());
}

#[test]
fn directories_are_what_names_have_in_common() {
    let (_, storage) = storage();
    let (dir, root) = (Path::new("s3://b/a"), Path::new("s3://b"));
    assert_eq!(storage.entry(dir).unwrap(), None);
    assert!(storage.entry(root).unwrap().unwrap().is_dir && storage.list(root).unwrap().is_empty());
    write(&storage, "s3://b/a/x/deep", b"1");
    write(&storage, "s3://b/a/f", b"22");
    write(&storage, "s3://b/ab", b"333");
    assert!(storage.entry(dir).unwrap().unwrap().is_dir);
    let listed: Vec<(String, u64, bool)> =
        storage.list(dir).unwrap().into_iter().map(|e| (e.path.display().to_string(), e.len, e.is_dir)).collect();
    assert_eq!(listed, [("s3://b/a/f".to_owned(), 2, false), ("s3://b/a/x".to_owned(), 0, true)]);
    storage.remove_dir_all(dir).unwrap();
    assert_eq!((storage.entry(dir).unwrap(), storage.list(root).unwrap().len()), (None, 1), "a name that begins the same stays");
    storage.remove(dir).unwrap();
}

#[test]
fn what_was_written_once_is_not_written_again_and_a_lost_answer_is_no_error() {
    let (_, storage) = storage();
    let path = Path::new("s3://b/_metadata");
    storage.create_atomic(path, b"mine").unwrap();
    storage.create_atomic(path, b"mine").unwrap();
    assert_eq!(storage.create_atomic(path, b"other").unwrap_err().kind(), std::io::ErrorKind::AlreadyExists);
    assert_eq!(storage.read(path, 10).unwrap(), b"mine");
    storage.write_atomic(path, b"other").unwrap();
    assert_eq!(storage.read(path, 10).unwrap(), b"other");
}

#[test]
fn what_an_object_store_cannot_do_says_so() {
    let (_, storage) = storage();
    write(&storage, "s3://b/f", b"abc");
    let path = Path::new("s3://b/f");
    assert_eq!(storage.rename(path, Path::new("s3://b/g")).unwrap_err().kind(), std::io::ErrorKind::Unsupported);
    let mut whole = storage.append(path, 3).unwrap();
    whole.sync().unwrap();
    assert!(whole.write_all(b"d").is_err() && storage.append(path, 2).is_err());
    assert!(storage.lock(path).unwrap().is_none() && storage.is_remote(path));
    for outside in ["/etc/passwd", "s3://other/f", "s3://b/../c"] {
        assert_eq!(storage.entry(Path::new(outside)).unwrap_err().kind(), std::io::ErrorKind::InvalidInput, "{outside}");
    }
    let error = storage.open(Path::new("s3://b/gone")).err().unwrap();
    assert_eq!((error.kind(), error.to_string().contains("s3://b/gone: reading it")), (std::io::ErrorKind::NotFound, true), "{error}");
}

#[test]
fn an_empty_object_is_read_and_names_keep_their_percent_signs() {
    let (_, storage) = storage();
    write(&storage, "s3://b/%2E%2E/a b/ü", b"");
    let path = Path::new("s3://b/%2E%2E/a b/ü");
    assert_eq!(storage.read(path, 0).unwrap(), b"");
    assert_eq!(storage.list(Path::new("s3://b/%2E%2E/a b")).unwrap()[0].path, path);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn a_file_of_any_length_comes_back_from_any_offset(
        length in prop_oneof![0usize..100, (4usize << 20) - 3..(4 << 20) + 3, (16usize << 20) - 2..(16 << 20) + 2, Just(40 << 20)],
        at in 0.0..1.0f64,
    ) {
        let (_, storage) = storage();
        let bytes: Vec<u8> = (0..length).map(|i| (i.wrapping_mul(0x9E37_79B9) >> 11) as u8).collect();
        write(&storage, "s3://b/f", &bytes);
        prop_assert!(storage.read(Path::new("s3://b/f"), u64::MAX).unwrap() == bytes);
        let file = storage.open(Path::new("s3://b/f")).unwrap();
        let offset = (at * length as f64) as usize;
        let mut buffer = vec![0; 1000];
        let n = file.read_at(&mut buffer, offset as u64).unwrap();
        prop_assert!(n > 0 || offset == length);
        prop_assert_eq!(&buffer[..n], &bytes[offset..offset + n]);
    }
}

#[test]
fn a_storage_is_used_and_dropped_wherever_it_is() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let (_, storage) = storage();
        write(&storage, "s3://b/f", b"in a runtime");
        assert_eq!(storage.read(Path::new("s3://b/f"), 100).unwrap(), b"in a runtime");
    });
}

#[test]
fn paths_go_to_the_storage_that_their_scheme_names() {
    let dir = tempfile::tempdir().unwrap();
    let storage = RoutedStorage::shared(S3Settings::default(), []);
    let local = dir.path().join("f");
    storage.write_atomic(&local, b"x").unwrap();
    assert_eq!(std::fs::read(&local).unwrap(), b"x");
    assert_eq!(storage.local_path(&local), Some(local.clone()));
    let remote = Path::new("s3://bucket/f");
    assert!(storage.is_remote(remote) && storage.local_path(remote).is_none() && !storage.is_remote(&local));
    assert_eq!(storage.rename(&local, remote).unwrap_err().kind(), std::io::ErrorKind::CrossesDevices);
}

#[test]
fn what_is_mirrored_has_a_copy_until_it_goes_and_a_copy_that_cannot_be_made_is_no_error() {
    let (_, objects) = storage();
    let dir = tempfile::tempdir().unwrap();
    let copies = dir.path().join("copies");
    let mirrored = MirroredStorage::new(Arc::new(objects), PathBuf::from("s3://b/job"), copies.clone());
    write(&mirrored, "s3://b/job/chk-1/part", b"rows");
    write(&mirrored, "s3://b/savepoint/part", b"rows");
    mirrored.create_atomic(Path::new("s3://b/job/chk-1/_metadata"), b"{}").unwrap();
    assert_eq!(std::fs::read(copies.join("chk-1/part")).unwrap(), b"rows");
    assert_eq!(std::fs::read(copies.join("chk-1/_metadata")).unwrap(), b"{}");
    assert_eq!(std::fs::read_dir(&copies).unwrap().count(), 1, "what lies elsewhere is not copied");
    mirrored.remove(Path::new("s3://b/job/chk-1/_metadata")).unwrap();
    assert!(!copies.join("chk-1/_metadata").exists());
    mirrored.remove_dir_all(Path::new("s3://b/job/chk-1")).unwrap();
    assert!(!copies.join("chk-1").exists() && mirrored.list(Path::new("s3://b/job")).unwrap().is_empty());
    std::fs::remove_dir_all(&copies).unwrap();
    std::fs::write(&copies, "in the way").unwrap();
    write(&mirrored, "s3://b/job/chk-2/part", b"rows");
    assert_eq!(mirrored.read(Path::new("s3://b/job/chk-2/part"), 10).unwrap(), b"rows");
}
