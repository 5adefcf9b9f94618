//! Where a job keeps its working files, and who clears them away: the job itself at its end, the next job after a kill.

use super::memory::{Budget, Charge};
use super::settings::{BackendSettings, RocksSettings};
use crate::types::JobId;
use ::rocksdb::{Cache, LruCacheOptions, WriteBufferManager};
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What the states of one job share: the working directory, and with the `rocksdb` backend its memory.
#[derive(Clone)]
pub struct Backend {
    inner: Arc<Inner>,
}

struct Inner {
    directory: PathBuf,
    next: AtomicU64,
    /// Held while the directory is in use, so that nobody else takes it for a dead process's.
    lock: Mutex<Option<File>>,
    rocks: Option<Rocks>,
}

/// What all stores of a job share.
pub(super) struct Rocks {
    pub(super) settings: RocksSettings,
    pub(super) cache: Cache,
    pub(super) buffers: WriteBufferManager,
    tables: Arc<Budget>,
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.inner.rocks.is_some() { "rocksdb" } else { "hashmap" };
        f.debug_struct("Backend").field("kind", &kind).field("directory", &self.inner.directory).finish_non_exhaustive()
    }
}

/// Of the memory, what the tables in front take: most of it, because a row there is 30 to 100 times cheaper than one in RocksDB. The rest is
/// RocksDB's, but for a fifth that tables need while they grow.
const TABLES_PART: f64 = 0.55;
const STORE_PART: f64 = 0.25;
const LOCK: &str = "flink.lock";

impl Backend {
    /// The backend of one job. `directory`: the job's own, made when the first file is needed.
    pub fn new(settings: &BackendSettings, directory: PathBuf) -> Self {
        let rocks = match settings {
            BackendSettings::HashMap => None,
            BackendSettings::RocksDb(settings) => Some(Rocks::new(settings)),
        };
        Self { inner: Arc::new(Inner { directory, next: AtomicU64::new(0), lock: Mutex::new(None), rocks }) }
    }

    /// True with the `rocksdb` backend.
    pub fn is_rocksdb(&self) -> bool {
        self.inner.rocks.is_some()
    }

    pub(super) fn rocks(&self) -> Option<&Rocks> {
        self.inner.rocks.as_ref()
    }

    /// The account of a new table; `None` with the `hashmap` backend.
    pub(crate) fn charge(&self) -> Option<Charge> {
        self.inner.rocks.as_ref().map(|rocks| Charge::new(&rocks.tables))
    }

    /// A path for a directory that does not exist yet; the one above it does.
    pub(crate) fn new_directory(&self, label: &str) -> io::Result<PathBuf> {
        let mut lock = self.inner.lock.lock().unwrap_or_else(PoisonError::into_inner);
        if lock.is_none() {
            *lock = Some(claim(&self.inner.directory)?);
        }
        drop(lock);
        let number = self.inner.next.fetch_add(1, Ordering::Relaxed);
        Ok(self.inner.directory.join(format!("{label}-{number}")))
    }
}

impl Rocks {
    fn new(settings: &RocksSettings) -> Self {
        let total = settings.memory.0 as f64;
        let store = (total * STORE_PART).max(f64::from(8 << 20));
        let mut options = LruCacheOptions::default();
        options.set_capacity(store as usize);
        let cache = Cache::new_lru_cache_opts(&options);
        // Charged to the cache, so that both together keep to RocksDB's part.
        let buffers = (store * settings.write_buffer_ratio).max(f64::from(1 << 20)) as usize;
        let buffers = WriteBufferManager::new_write_buffer_manager_with_cache(buffers, false, cache.clone());
        Self { settings: settings.clone(), cache, buffers, tables: Budget::new((total * TABLES_PART) as usize) }
    }
}

/// Makes the directory and takes its lock. What processes that were killed left beside it is removed.
fn claim(directory: &Path) -> io::Result<File> {
    let at = |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", directory.display()));
    let path = directory.join(LOCK);
    for _ in 0..10 {
        fs::create_dir_all(directory).map_err(at)?;
        let file = match OpenOptions::new().create(true).truncate(false).write(true).open(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            opened => opened.map_err(at)?,
        };
        // Somebody who sweeps holds it for a moment.
        if file.lock().is_ok() && path.exists() {
            sweep(directory);
            return Ok(file);
        }
    }
    Err(at(io::Error::new(io::ErrorKind::WouldBlock, "the working directory could not be locked")))
}

/// Removes the working directories of dead processes beside `own`. What cannot be removed now is left to the next job.
fn sweep(own: &Path) {
    let Some(siblings) = own.parent().and_then(|parent| fs::read_dir(parent).ok()) else { return };
    let of_a_job = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().parse::<JobId>().is_ok());
    for sibling in siblings.flatten().map(|entry| entry.path()).filter(|path| path != own && of_a_job(path)) {
        let Ok(file) = OpenOptions::new().write(true).open(sibling.join(LOCK)) else { continue };
        if file.try_lock().is_ok() {
            let _ = fs::remove_dir_all(&sibling);
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.lock.get_mut().is_ok_and(|lock| lock.take().is_some()) {
            // Left behind it harms nobody: the next job sweeps it away.
            let _ = fs::remove_dir_all(&self.directory);
        }
    }
}
