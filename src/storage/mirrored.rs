//! A storage whose files below one directory are kept on this machine as well, so that the newest of them need not be fetched again.

use super::{Entry, LocalStorage, ReadFile, Storage, StorageLock, WriteFile};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What is written below `from` is written below `to`, too; what is removed there is removed here. Nothing is read from the copies, and a
/// copy that cannot be made is missing, not an error: whoever uses one checks it first. Copies do not outlive a crash.
#[derive(Debug)]
pub struct MirroredStorage {
    inner: Arc<dyn Storage>,
    copies: LocalStorage,
    from: PathBuf,
    to: PathBuf,
}

impl MirroredStorage {
    /// `inner`, with copies below `to` of what lies below `from`.
    pub fn new(inner: Arc<dyn Storage>, from: PathBuf, to: PathBuf) -> Self {
        Self { inner, copies: LocalStorage, from, to }
    }

    /// The storage of the copies.
    pub fn copies(&self) -> Arc<dyn Storage> {
        Arc::new(self.copies)
    }

    /// Where the copy of `path` would be; `None` for what is not copied.
    pub fn copy_of(&self, path: &Path) -> Option<PathBuf> {
        path.strip_prefix(&self.from).ok().map(|below| self.to.join(below))
    }

    fn begin_copy(&self, path: &Path) -> Option<Copy> {
        let path = self.copy_of(path)?;
        self.copies.create_dir_all(path.parent()?).ok()?;
        let file = self.copies.create(&path).ok()?;
        Some(Copy { path, file })
    }

    fn copy(&self, path: &Path, bytes: &[u8]) {
        if let Some(mut copy) = self.begin_copy(path)
            && copy.file.write_all(bytes).is_err()
        {
            copy.give_up();
        }
    }
}

/// A copy being written.
struct Copy {
    path: PathBuf,
    file: Box<dyn WriteFile>,
}

impl Copy {
    fn give_up(self) {
        drop(self.file);
        // A part of a file that stays behind is found out by its length.
        let _ = LocalStorage.remove(&self.path);
    }
}

struct MirroredWrite {
    inner: Box<dyn WriteFile>,
    copy: Option<Copy>,
}

impl Write for MirroredWrite {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.inner.write(bytes)?;
        if let Some(mut copy) = self.copy.take() {
            match copy.file.write_all(&bytes[..taken]) {
                Ok(()) => self.copy = Some(copy),
                Err(_) => copy.give_up(),
            }
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl WriteFile for MirroredWrite {
    fn sync(&mut self) -> io::Result<()> {
        self.inner.sync()
    }
}

impl Storage for MirroredStorage {
    fn open(&self, path: &Path) -> io::Result<Box<dyn ReadFile>> {
        self.inner.open(path)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        let inner = self.inner.create(path)?;
        Ok(match self.begin_copy(path) {
            None => inner,
            copy => Box::new(MirroredWrite { inner, copy }),
        })
    }

    fn append(&self, path: &Path, len: u64) -> io::Result<Box<dyn WriteFile>> {
        self.inner.append(path, len)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        if let Some(copy) = self.copy_of(path) {
            let _ = self.copies.remove(&copy);
        }
        self.inner.remove(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        if let Some(copy) = self.copy_of(path) {
            let _ = self.copies.remove_dir_all(&copy);
        }
        self.inner.remove_dir_all(path)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.inner.create_dir_all(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.inner.list(dir)
    }

    fn entry(&self, path: &Path) -> io::Result<Option<Entry>> {
        self.inner.entry(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.inner.sync_dir(dir)
    }

    fn local_path(&self, path: &Path) -> Option<PathBuf> {
        self.inner.local_path(path)
    }

    fn is_remote(&self, path: &Path) -> bool {
        self.inner.is_remote(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn StorageLock>>> {
        self.inner.lock(path)
    }

    fn write_atomic(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.inner.write_atomic(path, bytes)?;
        self.copy(path, bytes);
        Ok(())
    }

    fn create_atomic(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.inner.create_atomic(path, bytes)?;
        self.copy(path, bytes);
        Ok(())
    }
}
