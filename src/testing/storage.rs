//! Storage in memory that can lose what was not synced ([`MemoryStorage::crash`]), and storage that fails on demand
//! ([`FaultyStorage`]): what a test needs to slam the one door to files. All chance comes from a seed.

mod faulty;

pub use faulty::{Faults, FaultyStorage};

use crate::storage::{Entry, ReadFile, Storage, StorageLock, WriteFile};
use crate::types::{Clock, ManualClock, WallTime};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A tree of files in memory, with the durability of a strict POSIX file system: bytes survive a crash once they are synced,
/// names once their directory is (or by [`Storage::rename`] and [`Storage::create_dir_all`], which sync it). What is not
/// durable may survive, whole or in part, or not.
#[derive(Debug)]
pub struct MemoryStorage {
    tree: Shared,
    clock: Arc<dyn Clock>,
}

type Shared = Arc<Mutex<Tree>>;

#[derive(Debug, Default)]
struct Tree {
    /// What a reader sees.
    names: BTreeMap<PathBuf, Node>,
    /// What is there for certain after a crash.
    durable: BTreeMap<PathBuf, Node>,
    locks: BTreeSet<PathBuf>,
    /// Number of crashes: handles and locks of an earlier life are dead.
    life: u32,
}

#[derive(Debug, Clone)]
enum Node {
    Dir,
    File(Arc<Mutex<Content>>),
}

#[derive(Debug, Default)]
struct Content {
    bytes: Vec<u8>,
    /// This many first bytes are durable.
    synced: usize,
    /// The durable bytes as they were before an unsynced cut.
    before_cut: Option<Vec<u8>>,
    modified: i64,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn error(kind: io::ErrorKind, path: &Path) -> io::Error {
    io::Error::new(kind, format!("{}: {kind}", path.display()))
}

/// SplitMix64: a small generator that is the same on every machine.
#[derive(Debug, Clone)]
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number from 0 to `most`, both included.
    fn up_to(&mut self, most: usize) -> usize {
        (self.next() % (most as u64).saturating_add(1).max(1)) as usize
    }

    fn coin(&mut self) -> bool {
        self.next() & 1 == 1
    }
}

impl Content {
    fn cut(&mut self, len: usize) {
        if len < self.synced {
            self.before_cut.get_or_insert_with(|| self.bytes[..self.synced].to_vec());
            self.synced = len;
        }
        self.bytes.truncate(len);
    }

    fn sync(&mut self) {
        self.synced = self.bytes.len();
        self.before_cut = None;
    }

    fn crash(&mut self, chance: &mut Chance) {
        match self.before_cut.take() {
            Some(old) if chance.coin() => self.bytes = old,
            _ => {
                let kept = self.synced + chance.up_to(self.bytes.len().saturating_sub(self.synced));
                self.bytes.truncate(kept);
            }
        }
        self.sync();
    }
}

impl Tree {
    fn parent_exists(&self, path: &Path) -> io::Result<()> {
        match path.parent() {
            None => Ok(()),
            Some(parent) if parent == Path::new("/") || matches!(self.names.get(parent), Some(Node::Dir)) => Ok(()),
            Some(_) => Err(error(io::ErrorKind::NotFound, path)),
        }
    }

    fn file(&self, path: &Path) -> io::Result<Arc<Mutex<Content>>> {
        match self.names.get(path) {
            Some(Node::File(content)) => Ok(Arc::clone(content)),
            Some(Node::Dir) => Err(error(io::ErrorKind::IsADirectory, path)),
            None => Err(error(io::ErrorKind::NotFound, path)),
        }
    }

    fn sync_names(&mut self, dir: &Path) {
        self.durable.retain(|path, _| path.parent() != Some(dir));
        let names = self.names.iter().filter(|(path, _)| path.parent() == Some(dir));
        self.durable.extend(names.map(|(path, node)| (path.clone(), node.clone())));
    }

    fn entry(&self, path: &Path) -> Option<Entry> {
        let (len, modified, is_dir) = match self.names.get(path)? {
            Node::Dir => (0, 0, true),
            Node::File(content) => {
                let content = locked(content);
                (content.bytes.len() as u64, content.modified, false)
            }
        };
        Some(Entry { path: path.to_owned(), len, modified: WallTime(modified), is_dir })
    }

    fn crash(&mut self, chance: &mut Chance) {
        self.life += 1;
        self.locks.clear();
        let mut survivors: BTreeMap<PathBuf, Node> = BTreeMap::new();
        let paths: BTreeSet<PathBuf> = self.names.keys().chain(self.durable.keys()).cloned().collect();
        for path in paths {
            let (seen, durable) = (self.names.get(&path), self.durable.get(&path));
            let same = match (seen, durable) {
                (Some(Node::Dir), Some(Node::Dir)) => true,
                (Some(Node::File(a)), Some(Node::File(b))) => Arc::ptr_eq(a, b),
                _ => false,
            };
            let node = if same || chance.coin() { seen } else { durable };
            // Parents come before their children: what has lost its directory is lost.
            let rooted = path.parent().is_none_or(|p| p == Path::new("/") || survivors.contains_key(p));
            if let (Some(node), true) = (node, rooted) {
                survivors.insert(path, node.clone());
            }
        }
        for node in survivors.values() {
            if let Node::File(content) = node {
                locked(content).crash(chance);
            }
        }
        self.names = survivors.clone();
        self.durable = survivors;
    }
}

impl MemoryStorage {
    /// An empty tree; every file is from the year 1970.
    pub fn new() -> Arc<Self> {
        Self::with_clock(ManualClock::at(WallTime(0)))
    }

    /// An empty tree whose files carry the times of `clock`.
    pub fn with_clock(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self { tree: Shared::default(), clock })
    }

    /// The machine stops: what was not durable is lost or torn, as chance has it; locks are free; open files are dead.
    pub fn crash(&self, seed: u64) {
        locked(&self.tree).crash(&mut Chance(seed));
    }

    /// All files and directories with their paths, sorted.
    pub fn paths(&self) -> Vec<PathBuf> {
        locked(&self.tree).names.keys().cloned().collect()
    }

    fn write_handle(&self, tree: &Tree, content: Arc<Mutex<Content>>, path: &Path) -> Box<dyn WriteFile> {
        let (shared, clock) = (Arc::clone(&self.tree), Arc::clone(&self.clock));
        Box::new(MemoryWrite { handle: Handle { shared, content, life: tree.life, path: path.to_owned() }, clock })
    }
}

struct Handle {
    shared: Shared,
    content: Arc<Mutex<Content>>,
    life: u32,
    path: PathBuf,
}

impl Handle {
    fn content(&self) -> io::Result<MutexGuard<'_, Content>> {
        if locked(&self.shared).life == self.life {
            Ok(locked(&self.content))
        } else {
            Err(io::Error::other(format!("{}: opened before the crash", self.path.display())))
        }
    }
}

struct MemoryWrite {
    handle: Handle,
    clock: Arc<dyn Clock>,
}

struct MemoryRead {
    handle: Handle,
    len: u64,
}

#[derive(Debug)]
struct MemoryLock {
    shared: Shared,
    life: u32,
    path: PathBuf,
}

impl StorageLock for MemoryLock {}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        let mut tree = locked(&self.shared);
        if tree.life == self.life {
            tree.locks.remove(&self.path);
        }
    }
}

impl Write for MemoryWrite {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut content = self.handle.content()?;
        content.bytes.extend_from_slice(bytes);
        content.modified = self.clock.now().0;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl WriteFile for MemoryWrite {
    fn sync(&mut self) -> io::Result<()> {
        self.handle.content()?.sync();
        Ok(())
    }
}

impl ReadFile for MemoryRead {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let content = self.handle.content()?;
        let rest = usize::try_from(offset).ok().and_then(|offset| content.bytes.get(offset..)).unwrap_or_default();
        let n = rest.len().min(buffer.len());
        buffer[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }
}

impl Storage for MemoryStorage {
    fn open(&self, path: &Path) -> io::Result<Box<dyn ReadFile>> {
        let tree = locked(&self.tree);
        let content = tree.file(path)?;
        let len = locked(&content).bytes.len() as u64;
        let handle = Handle { shared: Arc::clone(&self.tree), content, life: tree.life, path: path.to_owned() };
        Ok(Box::new(MemoryRead { handle, len }))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        let mut tree = locked(&self.tree);
        tree.parent_exists(path)?;
        let content = match tree.file(path) {
            Ok(content) => content,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let content = Arc::default();
                tree.names.insert(path.to_owned(), Node::File(Arc::clone(&content)));
                content
            }
            Err(e) => return Err(e),
        };
        locked(&content).cut(0);
        locked(&content).modified = self.clock.now().0;
        Ok(self.write_handle(&tree, content, path))
    }

    fn append(&self, path: &Path, len: u64) -> io::Result<Box<dyn WriteFile>> {
        let tree = locked(&self.tree);
        let content = tree.file(path)?;
        let found = locked(&content).bytes.len() as u64;
        if found < len {
            let message = format!("{}: {found} bytes, at least {len} were written", path.display());
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
        }
        locked(&content).cut(len as usize);
        Ok(self.write_handle(&tree, content, path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut tree = locked(&self.tree);
        tree.parent_exists(to)?;
        let node = tree.names.remove(from).ok_or_else(|| error(io::ErrorKind::NotFound, from))?;
        let below: Vec<PathBuf> = tree.names.keys().filter(|path| path.starts_with(from)).cloned().collect();
        for path in below {
            if let (Some(child), Ok(rest)) = (tree.names.remove(&path), path.strip_prefix(from)) {
                let moved = to.join(rest);
                if tree.durable.remove(&path).is_some() {
                    tree.durable.insert(moved.clone(), child.clone());
                }
                tree.names.insert(moved, child);
            }
        }
        tree.names.insert(to.to_owned(), node);
        for dir in [to.parent(), from.parent()].into_iter().flatten() {
            tree.sync_names(dir);
        }
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut tree = locked(&self.tree);
        match tree.names.get(path) {
            Some(Node::Dir) => Err(error(io::ErrorKind::IsADirectory, path)),
            Some(Node::File(_)) | None => {
                tree.names.remove(path);
                Ok(())
            }
        }
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        locked(&self.tree).names.retain(|name, _| !name.starts_with(path));
        Ok(())
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut tree = locked(&self.tree);
        let mut dirs: Vec<&Path> = path.ancestors().filter(|dir| *dir != Path::new("/") && !dir.as_os_str().is_empty()).collect();
        dirs.reverse();
        for dir in dirs {
            if matches!(tree.names.get(dir), Some(Node::File(_))) {
                return Err(error(io::ErrorKind::NotADirectory, dir));
            }
            tree.names.insert(dir.to_owned(), Node::Dir);
            tree.durable.insert(dir.to_owned(), Node::Dir);
        }
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let tree = locked(&self.tree);
        if dir != Path::new("/") && !matches!(tree.names.get(dir), Some(Node::Dir)) {
            return Err(error(io::ErrorKind::NotFound, dir));
        }
        let names = tree.names.keys().filter(|path| path.parent() == Some(dir));
        Ok(names.filter_map(|path| tree.entry(path)).collect())
    }

    fn entry(&self, path: &Path) -> io::Result<Option<Entry>> {
        Ok(locked(&self.tree).entry(path))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut tree = locked(&self.tree);
        if dir != Path::new("/") && !matches!(tree.names.get(dir), Some(Node::Dir)) {
            return Err(error(io::ErrorKind::NotFound, dir));
        }
        tree.sync_names(dir);
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn StorageLock>>> {
        let mut tree = locked(&self.tree);
        tree.parent_exists(path)?;
        if !tree.locks.insert(path.to_owned()) {
            return Ok(None);
        }
        tree.names.entry(path.to_owned()).or_insert_with(|| Node::File(Arc::default()));
        Ok(Some(Box::new(MemoryLock { shared: Arc::clone(&self.tree), life: tree.life, path: path.to_owned() })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::ByteSize;

    #[test]
    fn a_crash_keeps_what_was_synced_and_at_most_a_torn_end_of_the_rest() {
        let mut lengths = BTreeSet::new();
        for seed in 0..40 {
            let storage = MemoryStorage::new();
            storage.create_dir_all(Path::new("/d")).unwrap();
            let path = Path::new("/d/f");
            let mut file = storage.create(path).unwrap();
            file.write_all(b"durable").unwrap();
            file.sync().unwrap();
            storage.sync_dir(Path::new("/d")).unwrap();
            file.write_all(b"perhaps").unwrap();
            storage.crash(seed);
            assert!(file.write_all(b"x").is_err(), "a handle outlived the crash");
            let bytes = storage.read(path, 100).unwrap();
            assert!(b"durableperhaps".starts_with(&bytes[..]) && bytes.len() >= 7, "{bytes:?}");
            lengths.insert(bytes.len());
        }
        assert!(lengths.len() > 4, "{lengths:?}");
    }

    #[test]
    fn a_name_is_certain_only_when_its_directory_was_synced() {
        let outcomes: BTreeSet<(bool, bool)> = (0..40)
            .map(|seed| {
                let storage = MemoryStorage::new();
                storage.create_dir_all(Path::new("/d")).unwrap();
                storage.create(Path::new("/d/old")).unwrap();
                storage.rename(Path::new("/d/old"), Path::new("/d/kept")).unwrap();
                storage.create(Path::new("/d/new")).unwrap();
                storage.remove(Path::new("/d/kept")).unwrap();
                storage.crash(seed);
                let there = |name: &str| storage.entry(&Path::new("/d").join(name)).unwrap().is_some();
                assert!(!there("old"));
                (there("new"), there("kept"))
            })
            .collect();
        assert_eq!(outcomes.len(), 4, "{outcomes:?}");
    }

    #[test]
    fn a_lock_is_held_once_and_is_free_after_drop_or_crash() {
        let storage = MemoryStorage::new();
        let path = Path::new("/lock");
        let held = storage.lock(path).unwrap();
        assert!(held.is_some() && storage.lock(path).unwrap().is_none());
        drop(held);
        let held = storage.lock(path).unwrap();
        storage.crash(1);
        let after = storage.lock(path).unwrap();
        drop(held);
        assert!(after.is_some() && storage.lock(path).unwrap().is_none(), "a dead lock freed a living one");
    }

    #[test]
    fn the_nth_operation_fails_and_the_same_seed_tears_the_same_bytes() {
        let torn = |seed: u64| {
            let memory = MemoryStorage::new();
            let storage = FaultyStorage::over(memory.clone(), seed, Faults { fail_at: Some(2), ..Faults::default() });
            let mut file = storage.create(Path::new("/f")).unwrap();
            file.write_all(b"one").unwrap();
            assert!(file.write_all(b"twenty-two").is_err());
            file.write_all(b"!").unwrap();
            assert_eq!(storage.operations(), 4);
            memory.read(Path::new("/f"), 100).unwrap()
        };
        assert_eq!(torn(7), torn(7));
        assert!(torn(7).starts_with(b"one"));
    }

    #[test]
    fn a_full_disk_takes_what_fits() {
        let memory = MemoryStorage::new();
        let faults = Faults { space: Some(ByteSize(5)), short_writes: true, ..Faults::default() };
        let storage = FaultyStorage::over(memory.clone(), 3, faults);
        let mut file = storage.create(Path::new("/f")).unwrap();
        assert_eq!(file.write_all(b"seven..").unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(memory.read(Path::new("/f"), 100).unwrap(), b"seven");
    }
}
