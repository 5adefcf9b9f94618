//! The machine's own files and the buckets of object stores behind one door: whose a path is stands in front of it.

use super::driver::Driver;
use super::location::{bucket_of, bucket_root, is_remote};
use super::object::ObjectStorage;
use super::s3::{S3Access, S3Settings};
use super::{Entry, LocalStorage, ReadFile, Storage, StorageLock, WriteFile};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Paths that begin with `s3://` lie in a bucket, all others on this machine. Nothing is started and nobody is asked before the first of
/// them is touched.
#[derive(Debug)]
pub struct RoutedStorage {
    local: Arc<dyn Storage>,
    access: S3Access,
    buckets: Mutex<Buckets>,
}

#[derive(Debug, Default)]
struct Buckets {
    driver: Option<Arc<Driver>>,
    known: BTreeMap<String, ObjectStorage>,
}

impl RoutedStorage {
    /// The files of this machine, and buckets that are reached as `settings` and the `AWS_*` among `variables` say.
    pub fn shared(settings: S3Settings, variables: impl IntoIterator<Item = (String, String)>) -> Arc<dyn Storage> {
        let access = S3Access::new(settings, variables);
        Arc::new(Self { local: LocalStorage::shared(), access, buckets: Mutex::default() })
    }

    fn bucket(&self, path: &Path) -> io::Result<ObjectStorage> {
        let invalid = |why: String| io::Error::new(io::ErrorKind::InvalidInput, format!("{}: {why}", path.display()));
        let name = bucket_of(path).ok_or_else(|| invalid("no bucket is named".to_owned()))?;
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = buckets.known.get(name) {
            return Ok(known.clone());
        }
        let driver = match &buckets.driver {
            Some(driver) => Arc::clone(driver),
            None => Arc::new(Driver::start()?),
        };
        buckets.driver = Some(Arc::clone(&driver));
        let store = self.access.bucket(name).map_err(|e| invalid(e.to_string()))?;
        let made = ObjectStorage::with_driver(Arc::new(store), bucket_root(name), driver, self.access.secrets());
        buckets.known.insert(name.to_owned(), made.clone());
        Ok(made)
    }

    /// Lets `work` do something with the storage that `path` lies in.
    fn at<T>(&self, path: &Path, work: impl FnOnce(&dyn Storage) -> io::Result<T>) -> io::Result<T> {
        if is_remote(path) { work(&self.bucket(path)?) } else { work(&*self.local) }
    }
}

impl Storage for RoutedStorage {
    fn open(&self, path: &Path) -> io::Result<Box<dyn ReadFile>> {
        self.at(path, |storage| storage.open(path))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        self.at(path, |storage| storage.create(path))
    }

    fn append(&self, path: &Path, len: u64) -> io::Result<Box<dyn WriteFile>> {
        self.at(path, |storage| storage.append(path, len))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        if is_remote(from) != is_remote(to) {
            let message = format!("{}: nothing is moved from one storage to another", from.display());
            return Err(io::Error::new(io::ErrorKind::CrossesDevices, message));
        }
        self.at(from, |storage| storage.rename(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.at(path, |storage| storage.remove(path))
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.at(path, |storage| storage.remove_dir_all(path))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.at(path, |storage| storage.create_dir_all(path))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.at(dir, |storage| storage.list(dir))
    }

    fn entry(&self, path: &Path) -> io::Result<Option<Entry>> {
        self.at(path, |storage| storage.entry(path))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.at(dir, |storage| storage.sync_dir(dir))
    }

    fn local_path(&self, path: &Path) -> Option<PathBuf> {
        if is_remote(path) { None } else { self.local.local_path(path) }
    }

    fn is_remote(&self, path: &Path) -> bool {
        is_remote(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn StorageLock>>> {
        self.at(path, |storage| storage.lock(path))
    }

    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        self.at(path, |storage| storage.read(path, limit))
    }

    fn write_atomic(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.at(path, |storage| storage.write_atomic(path, bytes))
    }

    fn create_atomic(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.at(path, |storage| storage.create_atomic(path, bytes))
    }
}
