//! The files of a store: as they were frozen at a barrier, and as they come back from a checkpoint.

use super::directory::Backend;
use super::flush::StoredState;
use crate::state::StateDescriptor;
use std::any::Any;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A store as it was at one moment. Its files stay until this is dropped.
pub struct StoreImage {
    directory: PathBuf,
    files: Vec<ImageFile>,
    // Dropped in this order: the files before the job's working directory.
    _files: Box<dyn Any + Send + Sync>,
    _backend: Backend,
}

/// One file of a [`StoreImage`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageFile {
    /// Its name in the store. An SST file never changes, and no other one of the same store ever has its name.
    pub name: String,
    /// The state whose rows it holds; `None` if it holds those of several, or belongs to the store as a whole.
    pub state: Option<String>,
    /// Where it is.
    pub path: PathBuf,
    /// Its length.
    pub bytes: u64,
}

impl ImageFile {
    /// True for a file of rows, which later images may have, too.
    pub fn is_immutable(&self) -> bool {
        is_sst(&self.name)
    }
}

/// True for the names of files of rows.
pub(super) fn is_sst(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == "sst")
}

impl fmt::Debug for StoreImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreImage").field("files", &self.files).finish_non_exhaustive()
    }
}

impl StoreImage {
    pub(super) fn new(backend: Backend, directory: PathBuf, files: Vec<ImageFile>, guard: Box<dyn Any + Send + Sync>) -> Self {
        Self { directory, files, _files: guard, _backend: backend }
    }

    /// All its files.
    pub fn files(&self) -> &[ImageFile] {
        &self.files
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }
}

/// The way to one file of a checkpoint.
pub trait FileSource: fmt::Debug + Send + Sync {
    /// Makes the file available at `target`, which does not exist: as a hard link where it `is_immutable` and that is possible, else as
    /// a copy.
    fn place(&self, target: &Path, is_immutable: bool) -> io::Result<()>;
}

/// One file of a saved store.
#[derive(Debug, Clone)]
pub struct StoreFile {
    /// Its name in the store.
    pub name: String,
    /// Where it comes from.
    pub source: Arc<dyn FileSource>,
}

/// One state in a saved store.
#[derive(Debug, Clone)]
pub struct SavedState {
    /// What was saved, under the name that it has now.
    pub descriptor: Arc<StateDescriptor>,
    /// The column family of its rows.
    pub family: String,
    /// Which part of each row is its own, where several states share them.
    pub part: Option<usize>,
    /// The built-in function that puts several values of a key together, if it is a state that has one.
    pub fold: Option<String>,
    /// Its rows may belong to other key groups than those they were saved under.
    pub moved: bool,
}

impl From<&StoredState> for SavedState {
    /// The state as it was saved.
    fn from(state: &StoredState) -> Self {
        let StoredState { descriptor, family, part, fold, .. } = state;
        Self { descriptor: Arc::clone(descriptor), family: family.clone(), part: *part, fold: fold.clone(), moved: false }
    }
}

/// A store as it was saved by one subtask.
#[derive(Debug, Clone)]
pub struct StoreFiles {
    /// What is in it.
    pub states: Vec<SavedState>,
    /// All its files.
    pub files: Vec<StoreFile>,
}
