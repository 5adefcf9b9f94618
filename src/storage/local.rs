//! The machine's own file system.

use super::{Entry, ReadFile, Storage, StorageLock, WriteFile};
use crate::types::WallTime;
use rustix::fs::OFlags;
use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

/// Files and directories of the machine, with fsync.
#[derive(Debug, Clone, Copy, Default)]
pub struct LocalStorage;

impl LocalStorage {
    /// The machine's file system, shared.
    pub fn shared() -> Arc<dyn Storage> {
        Arc::new(Self)
    }
}

struct LocalWrite {
    file: File,
    path: Box<Path>,
}

struct LocalRead {
    file: File,
    len: u64,
    path: Box<Path>,
}

/// An advisory lock (`flock`): the system frees it when the file is closed, also when the process is killed.
#[derive(Debug)]
struct LocalLock {
    _file: File,
}

impl StorageLock for LocalLock {}

/// The same error with the path in front: "No such file" alone helps nobody.
fn at(path: &Path) -> impl Fn(io::Error) -> io::Error + '_ {
    move |e| io::Error::new(e.kind(), format!("{}: {e}", path.display()))
}

fn entry_of(path: &Path, metadata: &Metadata) -> Entry {
    let modified = metadata.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok());
    Entry {
        path: path.to_owned(),
        len: if metadata.is_dir() { 0 } else { metadata.len() },
        modified: WallTime(modified.map_or(0, |d| d.as_millis() as i64)),
        is_dir: metadata.is_dir(),
    }
}

fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

impl Write for LocalWrite {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes).map_err(at(&self.path))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush().map_err(at(&self.path))
    }
}

impl WriteFile for LocalWrite {
    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_all().map_err(at(&self.path))
    }
}

impl ReadFile for LocalRead {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset).map_err(at(&self.path))
    }
}

impl Storage for LocalStorage {
    fn open(&self, path: &Path) -> io::Result<Box<dyn ReadFile>> {
        // Opening a pipe waits for a writer, reading a device may never end: both have no length and no position.
        let nonblocking = OFlags::NONBLOCK.bits() as i32;
        let file = OpenOptions::new().read(true).custom_flags(nonblocking).open(path).map_err(at(path))?;
        let metadata = file.metadata().map_err(at(path))?;
        if !metadata.is_file() && !metadata.is_dir() {
            return Err(at(path)(io::Error::new(io::ErrorKind::InvalidInput, "this is a pipe or a device, no file")));
        }
        let len = metadata.len();
        Ok(Box::new(LocalRead { file, len, path: path.into() }))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        let file = File::create(path).map_err(at(path))?;
        Ok(Box::new(LocalWrite { file, path: path.into() }))
    }

    fn append(&self, path: &Path, len: u64) -> io::Result<Box<dyn WriteFile>> {
        let file = OpenOptions::new().append(true).open(path).map_err(at(path))?;
        let found = file.metadata().map_err(at(path))?.len();
        if found < len {
            let message = format!("{}: {found} bytes, at least {len} were written", path.display());
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
        }
        file.set_len(len).map_err(at(path))?;
        Ok(Box::new(LocalWrite { file, path: path.into() }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to).map_err(at(from))?;
        if let Some(dir) = to.parent() {
            self.sync_dir(dir)?;
        }
        match from.parent() {
            Some(dir) if Some(dir) != to.parent() => self.sync_dir(dir),
            _ => Ok(()),
        }
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        ignore_missing(fs::remove_file(path)).map_err(at(path))
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        ignore_missing(fs::remove_dir_all(path)).map_err(at(path))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        if path.is_dir() {
            return Ok(());
        }
        fs::create_dir_all(path).map_err(at(path))?;
        path.parent().map_or(Ok(()), |parent| self.sync_dir(parent))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for found in fs::read_dir(dir).map_err(at(dir))? {
            let path = found.map_err(at(dir))?.path();
            // A file that went away since the directory was read is not there.
            if let Some(entry) = self.entry(&path)? {
                entries.push(entry);
            }
        }
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(entries)
    }

    fn entry(&self, path: &Path) -> io::Result<Option<Entry>> {
        match fs::metadata(path) {
            Ok(metadata) => Ok(Some(entry_of(path, &metadata))),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(at(path)(e)),
        }
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir).and_then(|d| d.sync_all()).map_err(at(dir))
    }

    fn local_path(&self, path: &Path) -> Option<PathBuf> {
        Some(path.to_owned())
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn StorageLock>>> {
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path).map_err(at(path))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(LocalLock { _file: file }))),
            Err(TryLockError::WouldBlock) => Ok(None),
            // Some network file systems have no locks.
            Err(TryLockError::Error(e)) if e.kind() == io::ErrorKind::Unsupported => Ok(None),
            Err(TryLockError::Error(e)) => Err(at(path)(e)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_appended_from_its_valid_length() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let storage = LocalStorage;
        storage.write_atomic(&path, b"one").unwrap();
        storage.write_atomic(&path, b"twenty").unwrap();
        assert_eq!(storage.read(&path, 100).unwrap(), b"twenty");
        assert_eq!(storage.list(dir.path()).unwrap().len(), 1);
        storage.append(&path, 3).unwrap().write_all(b"!").unwrap();
        assert_eq!(storage.read(&path, 100).unwrap(), b"twe!");
        assert!(storage.append(&path, 9).is_err());
        assert!(storage.read(&path, 2).is_err());
    }

    #[test]
    fn a_pipe_or_a_device_is_no_file_and_nobody_waits_for_one() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for path in [pipe.as_path(), Path::new("/dev/zero")] {
            let error = LocalStorage.open(path).err().unwrap().to_string();
            assert!(error.contains(path.to_str().unwrap()) && error.contains("no file"), "{error}");
        }
    }

    #[test]
    fn a_lock_is_held_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = LocalStorage.lock(&path).unwrap();
        assert!(held.is_some() && LocalStorage.lock(&path).unwrap().is_none());
        drop(held);
        assert!(LocalStorage.lock(&path).unwrap().is_some());
    }

    #[test]
    fn removing_twice_is_no_error_and_opening_nothing_names_the_path() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gone");
        LocalStorage.remove(&path).unwrap();
        LocalStorage.remove_dir_all(&path).unwrap();
        assert_eq!(LocalStorage.entry(&path).unwrap(), None);
        let error = LocalStorage.open(&path).err().unwrap().to_string();
        assert!(error.contains("gone"), "{error}");
    }
}
