//! One RocksDB: opened when the first row goes down to it, written to in sorted batches, read a batch's keys at once.

use super::changes::{Change, Changes};
use super::directory::{Backend, Rocks};
use super::expiry::Expiring;
use super::files::{ImageFile, StoreImage, is_sst};
use super::merge::{Shorten, set_operator};
use super::settings::{Compression, RocksSettings, Style};
use super::{failed, io_failed, reader, state_of};
use crate::state::StateError;
use crate::types::WallTime;
use ::rocksdb::checkpoint::Checkpoint;
use ::rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, BoundColumnFamily, DBCompactionStyle, DBCompressionType, DBWithThreadMode,
    IngestExternalFileOptions, LogLevel, MultiThreaded, Options, ReadOptions, SstFileWriter, WriteBatch, WriteOptions,
};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(super) type Db = DBWithThreadMode<MultiThreaded>;

/// From so many rows on a batch becomes an SST file of its own; fewer go through the write buffer.
const INGEST_ROWS: usize = 1_024;

/// So many keys are looked up at once: each one holds on to a block, whatever the cache's size.
const KEYS_AT_ONCE: usize = 512;

/// Bytes that a compaction reads ahead of each file that it merges: outside of the budget, and of hundreds of files where the budget is small.
const READAHEAD: usize = 64 << 10;

/// See the module. Owned by the states of one operator and subtask, and by what is written of them in the background.
pub(crate) struct Store {
    backend: Backend,
    name: String,
    opened: Mutex<Option<Opened>>,
    next_file: AtomicU64,
    /// Families whose values begin with their expiry.
    expiring: Mutex<BTreeSet<String>>,
    /// What the time is for them.
    now: Arc<AtomicI64>,
    /// The family whose rows may be added to without being read, and who makes them shorter.
    merged: Mutex<Option<(String, Arc<dyn Shorten>)>>,
    /// Keys that were looked up.
    #[cfg(test)]
    reads: AtomicU64,
}

#[derive(Clone)]
struct Opened {
    db: Arc<Db>,
    directory: Arc<Directory>,
}

/// A directory that goes with its last user.
struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        // What stays behind goes with the job's working directory.
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Store {
    /// A store; nothing is opened before it is needed. `name`: what it is called in errors. Only with the `rocksdb` backend.
    pub(crate) fn new(backend: &Backend, name: &str) -> Self {
        let (opened, next_file) = (Mutex::new(None), AtomicU64::new(0));
        let (expiring, now) = (Mutex::default(), Arc::new(AtomicI64::new(i64::MIN)));
        Self {
            backend: backend.clone(),
            name: name.to_owned(),
            opened,
            next_file,
            expiring,
            now,
            merged: Mutex::default(),
            #[cfg(test)]
            reads: AtomicU64::new(0),
        }
    }

    /// All values of `family` begin with [`super::put_expiry`]: rows may vanish once that time has passed. To be said before the first row
    /// is written.
    pub(crate) fn expire(&self, family: &str) {
        self.expiring.lock().unwrap_or_else(PoisonError::into_inner).insert(family.to_owned());
    }

    /// Rows of `family` may be added to without being read. To be said before the first row is written.
    pub(crate) fn merge(&self, family: &str, shorten: Arc<dyn Shorten>) {
        *self.merged.lock().unwrap_or_else(PoisonError::into_inner) = Some((family.to_owned(), shorten));
    }

    /// The time by which rows expire. It is looked at when a compaction begins.
    pub(crate) fn set_time(&self, now: WallTime) {
        self.now.store(now.0, Ordering::Relaxed);
    }

    fn rocks(&self) -> Result<&Rocks, StateError> {
        self.backend.rocks().ok_or_else(|| StateError::Invariant("a store without the rocksdb backend".to_owned()))
    }

    fn guard(&self) -> MutexGuard<'_, Option<Opened>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True once something was written.
    pub(crate) fn is_open(&self) -> bool {
        self.guard().is_some()
    }

    fn open(&self) -> Result<Opened, StateError> {
        let mut opened = self.guard();
        if let Some(opened) = opened.as_ref() {
            return Ok(opened.clone());
        }
        let path = self.backend.new_directory("store").map_err(io_failed(&self.name))?;
        let options = database_options(self.rocks()?);
        let directory = Arc::new(Directory(path.clone()));
        let db = Db::open(&options, path).map_err(failed(&self.name))?;
        Ok(opened.insert(Opened { db: Arc::new(db), directory }).clone())
    }

    fn family<'a>(&self, db: &'a Db, family: &str) -> Result<Arc<BoundColumnFamily<'a>>, StateError> {
        if db.cf_handle(family).is_none() {
            let mut options = family_options(self.rocks()?);
            if self.expiring.lock().unwrap_or_else(PoisonError::into_inner).contains(family) {
                options.set_compaction_filter_factory(Expiring::new(&self.now));
            }
            let merged = self.merged.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some((_, shorten)) = merged.filter(|(merged, _)| merged == family) {
                set_operator(&mut options, Some(shorten));
            }
            db.create_cf(family, &options).map_err(failed(family))?;
        }
        db.cf_handle(family).ok_or_else(|| StateError::Invariant(format!("the column family {family} is gone")))
    }

    /// Looks up sorted `keys`; `found` is called with the number and value of each one that is there.
    pub(crate) fn get_many(
        &self,
        family: &str,
        keys: &[&[u8]],
        mut found: impl FnMut(usize, &[u8]) -> Result<(), StateError>,
    ) -> Result<(), StateError> {
        #[cfg(test)]
        self.reads.fetch_add(keys.len() as u64, Ordering::Relaxed);
        let opened = self.open()?;
        let handle = self.family(&opened.db, family)?;
        for (chunk, keys) in keys.chunks(KEYS_AT_ONCE).enumerate() {
            for (at, value) in opened.db.batched_multi_get_cf(&handle, keys.iter().copied(), true).into_iter().enumerate() {
                if let Some(value) = value.map_err(failed(family))? {
                    found(chunk * KEYS_AT_ONCE + at, &value)?;
                }
            }
        }
        Ok(())
    }

    /// Goes over the rows from `from` on and before `to`, in the order of their keys, until `row` says that it was enough.
    pub(crate) fn scan(
        &self,
        family: &str,
        from: &[u8],
        to: &[u8],
        mut row: impl FnMut(&[u8], &[u8]) -> Result<bool, StateError>,
    ) -> Result<(), StateError> {
        let opened = self.open()?;
        let handle = self.family(&opened.db, family)?;
        let mut options = ReadOptions::default();
        options.set_iterate_upper_bound(to);
        let mut rows = opened.db.raw_iterator_cf_opt(&handle, options);
        rows.seek(from);
        while let Some((key, value)) = rows.item() {
            if !row(key, value)? {
                return Ok(());
            }
            rows.next();
        }
        rows.status().map_err(failed(family))
    }

    /// Writes sorted changes; they are there when this returns.
    pub(crate) fn write(&self, family: &str, changes: &Changes) -> Result<(), StateError> {
        if changes.len() >= INGEST_ROWS {
            return self.ingest(family, |put| put(changes));
        }
        if changes.is_empty() {
            return Ok(());
        }
        let opened = self.open()?;
        let handle = self.family(&opened.db, family)?;
        let mut batch = WriteBatch::default();
        for (key, change) in changes.iter() {
            match change {
                Change::Put(value) => batch.put_cf(&handle, key, value),
                Change::Merge(value) => batch.merge_cf(&handle, key, value),
                Change::Delete => batch.delete_cf(&handle, key),
            }
        }
        let mut options = WriteOptions::default();
        // The checkpoint is the recovery log.
        options.disable_wal(true);
        opened.db.write_opt(batch, &options).map_err(failed(family))
    }

    /// Writes many changes as SST files. `fill` hands over sorted changes, each batch of them behind the one before.
    pub(crate) fn ingest(
        &self,
        family: &str,
        fill: impl FnOnce(&mut dyn FnMut(&Changes) -> Result<(), StateError>) -> Result<(), StateError>,
    ) -> Result<(), StateError> {
        let opened = self.open()?;
        let handle = self.family(&opened.db, family)?;
        let rocks = self.rocks()?;
        let options = family_options(rocks);
        let largest = rocks.settings.target_file_size.0.max(1 << 20);
        let mut paths: Vec<PathBuf> = Vec::new();
        let mut current: Option<SstFileWriter<'_>> = None;
        fill(&mut |changes: &Changes| {
            for (key, change) in changes.iter() {
                if current.is_none() {
                    let number = self.next_file.fetch_add(1, Ordering::Relaxed);
                    let path = opened.directory.0.join(format!("ingest-{number}.sst"));
                    let writer = SstFileWriter::create(&options);
                    writer.open(&path).map_err(failed(family))?;
                    paths.push(path);
                    current = Some(writer);
                }
                let Some(writer) = current.as_mut() else { continue };
                match change {
                    Change::Put(value) => writer.put(key, value),
                    Change::Merge(value) => writer.merge(key, value),
                    Change::Delete => writer.delete(key),
                }
                .map_err(failed(family))?;
            }
            if let Some(mut full) = current.take_if(|writer| writer.file_size() >= largest) {
                full.finish().map_err(failed(family))?;
            }
            Ok(())
        })?;
        if let Some(mut last) = current {
            last.finish().map_err(failed(family))?;
        }
        if paths.is_empty() {
            return Ok(());
        }
        let mut options = IngestExternalFileOptions::default();
        options.set_move_files(true);
        opened.db.ingest_external_file_cf_opts(&handle, &options, paths).map_err(failed(family))
    }

    /// The number of keys that were looked up.
    #[cfg(test)]
    pub(crate) fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }

    /// Compacts all rows of a family.
    #[cfg(test)]
    pub(crate) fn compact(&self, family: &str) -> Result<(), StateError> {
        let opened = self.open()?;
        let handle = self.family(&opened.db, family)?;
        opened.db.flush_cf(&handle).map_err(failed(family))?;
        opened.db.compact_range_cf(&handle, None::<&[u8]>, None::<&[u8]>);
        Ok(())
    }

    /// Freezes what was written so far: all files of the store as they are now, by hard links. Nothing that is written later is in it.
    pub(crate) fn image(&self) -> Result<StoreImage, StateError> {
        let opened = self.open()?;
        let path = self.backend.new_directory("image").map_err(io_failed(&self.name))?;
        let image = Checkpoint::new(&opened.db).and_then(|checkpoint| checkpoint.create_checkpoint(&path));
        image.map_err(failed(&self.name))?;
        let directory = Arc::new(Directory(path.clone()));
        let mut states = states_of_files(&opened.db).map_err(failed(&self.name))?;
        let mut files = list(&path).map_err(io_failed(&self.name))?;
        if files.iter().any(|(name, _)| is_sst(name) && !states.contains_key(name)) {
            // A compaction came in between: the image itself knows.
            let families = reader::families(&path).map_err(failed(&self.name))?;
            let db = reader::open(&path, families).map_err(failed(&self.name))?;
            states = states_of_files(&db).map_err(failed(&self.name))?;
        }
        // Options and log of this process say nothing about the state.
        files.retain(|(name, _)| is_sst(name) || name == "CURRENT" || name.starts_with("MANIFEST-"));
        let file =
            |(name, bytes): (String, u64)| ImageFile { state: states.get(&name).cloned().flatten(), path: path.join(&name), name, bytes };
        Ok(StoreImage::new(self.backend.clone(), path.clone(), files.into_iter().map(file).collect(), Box::new(directory)))
    }
}

/// The state of each SST file; `None` where its family holds several.
fn states_of_files(db: &Db) -> Result<BTreeMap<String, Option<String>>, ::rocksdb::Error> {
    let state = |file: ::rocksdb::LiveFile| {
        let name = file.name.trim_start_matches('/').to_owned();
        (name, state_of(&file.column_family_name).map(str::to_owned))
    };
    Ok(db.live_files()?.into_iter().map(state).collect())
}

fn list(directory: &Path) -> std::io::Result<Vec<(String, u64)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        files.push((entry.file_name().to_string_lossy().into_owned(), entry.metadata()?.len()));
    }
    files.sort();
    Ok(files)
}

/// Options of a whole database.
fn database_options(rocks: &Rocks) -> Options {
    let settings = &rocks.settings;
    let mut options = family_options(rocks);
    options.create_if_missing(true);
    options.set_write_buffer_manager(&rocks.buffers);
    options.set_max_background_jobs(i32::try_from(settings.threads).unwrap_or(2));
    options.set_max_open_files(i32::try_from(settings.open_files).unwrap_or(-1));
    options.set_log_level(LogLevel::Error);
    options.set_keep_log_file_num(1);
    options.set_compaction_readahead_size(READAHEAD);
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    // The files are scratch: nobody reads them after a crash.
    options.set_use_fsync(false);
    options
}

/// Options of the rows of one state.
fn family_options(rocks: &Rocks) -> Options {
    let settings: &RocksSettings = &rocks.settings;
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(&rocks.cache);
    table.set_block_size(settings.block_size.0 as usize);
    table.set_metadata_block_size(settings.metadata_block_size.0 as usize);
    // Within the budget, as everything.
    table.set_cache_index_and_filter_blocks(true);
    table.set_cache_index_and_filter_blocks_with_high_priority(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    table.set_format_version(5);
    if settings.partitioned_index_filters {
        table.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
        table.set_partition_filters(true);
    }
    if let Some(bits) = settings.bloom_bits {
        table.set_bloom_filter(bits, false);
    }
    let mut options = Options::default();
    options.set_block_based_table_factory(&table);
    options.set_write_buffer_size(settings.write_buffer_size.0 as usize);
    options.set_max_write_buffer_number(i32::try_from(settings.write_buffer_count).unwrap_or(2));
    options.set_min_write_buffer_number_to_merge(i32::try_from(settings.write_buffers_to_merge).unwrap_or(1));
    options.set_max_bytes_for_level_base(settings.level_base.0);
    options.set_target_file_size_base(settings.target_file_size.0);
    options.set_level_compaction_dynamic_level_bytes(settings.dynamic_level_size);
    match settings.style() {
        Style::Level => options.set_compaction_style(DBCompactionStyle::Level),
        Style::Universal => options.set_compaction_style(DBCompactionStyle::Universal),
        Style::None => options.set_disable_auto_compactions(true),
    }
    let kind = |compression: &Compression| match compression {
        Compression::None => DBCompressionType::None,
        Compression::Lz4 => DBCompressionType::Lz4,
    };
    let levels: Vec<DBCompressionType> = settings.compression.iter().map(kind).collect();
    match levels.as_slice() {
        [] => {}
        [one] => options.set_compression_type(*one),
        several => options.set_compression_per_level(several),
    }
    options
}
