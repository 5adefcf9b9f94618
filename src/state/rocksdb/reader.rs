//! Reading the rows of a store that nobody writes to: an image, or the files of a checkpoint.

use super::directory::Backend;
use super::files::{StoreFiles, StoreImage, is_sst};
use super::merge::set_operator;
use super::store::Db;
use super::{KEYS, failed, io_failed};
use crate::state::StateError;
use crate::types::KeyGroupRange;
use ::rocksdb::{Options, ReadOptions};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// See the module.
pub(crate) struct StoreReader {
    // Dropped in this order: the database before its files.
    db: Db,
    _files: Files,
}

#[expect(dead_code, reason = "they are held so that the files stay")]
enum Files {
    Image(Arc<StoreImage>),
    Copied(Scratch, Backend),
}

/// A directory that is removed with this.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays behind goes with the job's working directory.
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl fmt::Debug for StoreReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreReader").finish_non_exhaustive()
    }
}

/// The column families of the store in `directory`.
pub(super) fn families(directory: &Path) -> Result<Vec<String>, ::rocksdb::Error> {
    Db::list_cf(&Options::default(), directory)
}

/// Opens a store that nobody writes to.
pub(super) fn open(directory: &Path, families: Vec<String>) -> Result<Db, ::rocksdb::Error> {
    let mut options = Options::default();
    options.set_max_open_files(256);
    let family = |name: String| {
        let mut options = Options::default();
        if name == KEYS {
            set_operator(&mut options, None);
        }
        (name, options)
    };
    Db::open_cf_with_opts_for_read_only(&options, directory, families.into_iter().map(family), false)
}

fn open_all(directory: &Path, name: &str) -> Result<Db, StateError> {
    let families = families(directory).map_err(failed(name))?;
    open(directory, families).map_err(failed(name))
}

impl StoreReader {
    /// Reads an image.
    pub(crate) fn of_image(image: Arc<StoreImage>) -> Result<Self, StateError> {
        let db = open_all(image.directory(), "store")?;
        Ok(Self { db, _files: Files::Image(image) })
    }

    /// Reads the files of a checkpoint. They are linked or copied into the working directory of `backend`.
    pub(crate) fn of_files(files: &StoreFiles, backend: &Backend) -> Result<Self, StateError> {
        let directory = backend.new_directory("restore").map_err(io_failed("store"))?;
        let scratch = Scratch(directory.clone());
        fs::create_dir_all(&directory).map_err(io_failed("store"))?;
        for file in &files.files {
            file.source.place(&directory.join(&file.name), is_sst(&file.name)).map_err(io_failed(&file.name))?;
        }
        let db = open_all(&directory, "store")?;
        Ok(Self { db, _files: Files::Copied(scratch, backend.clone()) })
    }

    /// Rows of a column family in the order of their keys, from `start` on, within the key groups of `range`, until `row` says that it was
    /// enough. Returns where to go on; `None` at the end.
    pub(crate) fn rows(
        &self,
        family: &str,
        start: Option<&[u8]>,
        range: KeyGroupRange,
        mut row: impl FnMut(&[u8], &[u8]) -> Result<bool, StateError>,
    ) -> Result<Option<Vec<u8>>, StateError> {
        let Some(handle) = self.db.cf_handle(family) else { return Ok(None) };
        let groups = range.as_range();
        let mut options = ReadOptions::default();
        options.set_iterate_upper_bound(groups.end.to_be_bytes());
        options.fill_cache(false);
        options.set_readahead_size(2 << 20);
        let mut rows = self.db.raw_iterator_cf_opt(&handle, options);
        rows.seek(start.unwrap_or(&groups.start.to_be_bytes()));
        while let Some((key, value)) = rows.item() {
            let wants_more = row(key, value)?;
            rows.next();
            if !wants_more {
                return Ok(rows.key().map(<[u8]>::to_vec));
            }
        }
        rows.status().map_err(failed(family))?;
        Ok(None)
    }
}
