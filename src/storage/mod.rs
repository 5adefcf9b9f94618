//! The one door to files: everything that reads, writes, renames or syncs goes through [`Storage`], so that a test can slam it.

mod driver;
mod http;
mod local;
mod location;
mod mirrored;
mod object;
mod object_error;
mod object_write;
mod routed;
mod s3;
#[cfg(test)]
mod tests;

pub use local::LocalStorage;
pub use location::{LocationError, absolute, is_remote, parse_location};
pub use mirrored::MirroredStorage;
pub use object::ObjectStorage;
pub use routed::RoutedStorage;
pub use s3::{S3Settings, Secret};

use crate::types::WallTime;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// What is known of a file or directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its path.
    pub path: PathBuf,
    /// Its length in bytes (0 for directories).
    pub len: u64,
    /// When it was last written.
    pub modified: WallTime,
    /// True for a directory.
    pub is_dir: bool,
}

/// A file being written. Nothing is durable before [`WriteFile::sync`] returns.
pub trait WriteFile: io::Write + Send {
    /// Makes everything written so far durable. After an error the file's content is unknown and must not be relied on.
    fn sync(&mut self) -> io::Result<()>;
}

/// A file being read at any position.
pub trait ReadFile: Send + Sync {
    /// Length in bytes when it was opened.
    fn len(&self) -> u64;

    /// True if the file was empty when it was opened.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads up to `buffer.len()` bytes from `offset` on; 0 at the end. Short reads are normal.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
}

/// A lock that is held until this is dropped or its process ends, however it ends.
pub trait StorageLock: Send + Sync + fmt::Debug {}

/// A tree of files. Paths are absolute; errors name the path.
pub trait Storage: Send + Sync + fmt::Debug {
    /// Opens an existing file for reading.
    fn open(&self, path: &Path) -> io::Result<Box<dyn ReadFile>>;

    /// Creates an empty file for writing, replacing what is there. Its directory must exist.
    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>>;

    /// Opens an existing file, cuts it to `len` bytes and appends. Errors if the file is shorter.
    fn append(&self, path: &Path, len: u64) -> io::Result<Box<dyn WriteFile>>;

    /// Moves a file within one file system, replacing the target, and makes the move durable (both directories are synced).
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file. A missing file is no error: removing is idempotent.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Removes a directory with all that is in it. A missing one is no error.
    fn remove_dir_all(&self, path: &Path) -> io::Result<()>;

    /// Creates a directory and its missing parents, durably.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;

    /// What lies in a directory, sorted by path; not deeper.
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>>;

    /// What is known of `path`, or `None` if nothing is there.
    fn entry(&self, path: &Path) -> io::Result<Option<Entry>>;

    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Where a file lies in the machine's own file system; `None` for a storage that is not that.
    fn local_path(&self, path: &Path) -> Option<PathBuf> {
        let _ = path;
        None
    }

    /// True if `path` lies on another machine: what is asked of it may take long, and is not asked by a thread that must answer others.
    fn is_remote(&self, path: &Path) -> bool {
        let _ = path;
        false
    }

    /// Takes the lock of the file `path`, which is created if it is missing. `None`: somebody else holds it, here or in another
    /// process, or this storage has no locks and so cannot tell.
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn StorageLock>>> {
        let _ = path;
        Ok(None)
    }

    /// The whole content of a file; an error if it is longer than `limit` bytes.
    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        let file = self.open(path)?;
        if file.len() > limit {
            let message = format!("{}: {} bytes, at most {limit} are read", path.display(), file.len());
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
        }
        let mut bytes = vec![0; file.len() as usize];
        let mut filled = 0;
        while filled < bytes.len() {
            match file.read_at(&mut bytes[filled..], filled as u64)? {
                0 => break,
                n => filled += n,
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    /// Writes a whole file so that a reader finds the old content or the new one, never a part: a temporary file beside it is
    /// written, synced and renamed.
    fn write_atomic(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".tmp");
        let temporary = path.with_file_name(name);
        let mut file = self.create(&temporary)?;
        let written = file.write_all(bytes).and_then(|()| file.sync());
        drop(file);
        written.and_then(|()| self.rename(&temporary, path)).inspect_err(|_| {
            // The error that is reported is the first one; a leftover `.tmp` harms nobody.
            let _ = self.remove(&temporary);
        })
    }

    /// Like [`Storage::write_atomic`], for a file that nobody has written before: where the storage can tell, one that is there stays as
    /// it is and the kind of the error is `AlreadyExists`.
    fn create_atomic(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.write_atomic(path, bytes)
    }
}
