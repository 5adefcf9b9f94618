//! Storage with faults: operations that fail, disks that are full, writes that are torn.

use super::{Chance, error, locked};
use crate::storage::{Entry, ReadFile, Storage, StorageLock, WriteFile};
use crate::types::ByteSize;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// What goes wrong. The operations of one [`FaultyStorage`] are numbered from 0; every call counts except reads at a position.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// This operation alone fails.
    pub fail_at: Option<u64>,
    /// This operation and all after it fail, as if the process had been killed there.
    pub fail_from: Option<u64>,
    /// About one operation in this many fails.
    pub fail_one_in: Option<u32>,
    /// The bytes that can still be written; then the disk is full.
    pub space: Option<ByteSize>,
    /// Writes take fewer bytes than they are given, now and then, as they may.
    pub short_writes: bool,
}

/// Another storage, with faults. A write that fails has written a part of its bytes.
#[derive(Debug)]
pub struct FaultyStorage {
    inner: Arc<dyn Storage>,
    state: Arc<Mutex<FaultState>>,
}

#[derive(Debug)]
struct FaultState {
    faults: Faults,
    operations: u64,
    chance: Chance,
}

impl FaultState {
    fn fails(&mut self) -> bool {
        let n = self.operations;
        self.operations += 1;
        let by_chance = self.faults.fail_one_in.is_some_and(|k| self.chance.next().is_multiple_of(u64::from(k.max(1))));
        by_chance || self.faults.fail_at == Some(n) || self.faults.fail_from.is_some_and(|from| n >= from)
    }

    fn operation(&mut self, path: &Path) -> io::Result<()> {
        if self.fails() { Err(io::Error::other(format!("{}: injected fault", path.display()))) } else { Ok(()) }
    }
}

impl FaultyStorage {
    /// `inner` with `faults`.
    pub fn over(inner: Arc<dyn Storage>, seed: u64, faults: Faults) -> Arc<Self> {
        let state = FaultState { faults, operations: 0, chance: Chance(seed) };
        Arc::new(Self { inner, state: Arc::new(Mutex::new(state)) })
    }

    /// From now on these faults; operations go on being counted.
    pub fn set(&self, faults: Faults) {
        locked(&self.state).faults = faults;
    }

    /// The number of operations so far, failed ones included.
    pub fn operations(&self) -> u64 {
        locked(&self.state).operations
    }

    fn operation(&self, path: &Path) -> io::Result<()> {
        locked(&self.state).operation(path)
    }

    fn faulty(&self, inner: Box<dyn WriteFile>, path: &Path) -> Box<dyn WriteFile> {
        Box::new(FaultyWrite { inner, state: Arc::clone(&self.state), path: path.to_owned() })
    }
}

struct FaultyWrite {
    inner: Box<dyn WriteFile>,
    state: Arc<Mutex<FaultState>>,
    path: PathBuf,
}

impl Write for FaultyWrite {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = locked(&self.state);
        if let Err(e) = state.operation(&self.path) {
            let torn = state.chance.up_to(bytes.len());
            self.inner.write_all(&bytes[..torn])?;
            return Err(e);
        }
        let mut taken = bytes.len();
        if state.faults.short_writes && taken > 1 && state.chance.coin() {
            taken = 1 + state.chance.up_to(taken - 1);
        }
        if let Some(ByteSize(space)) = &mut state.faults.space {
            if *space == 0 && taken > 0 {
                return Err(error(io::ErrorKind::StorageFull, &self.path));
            }
            taken = taken.min(usize::try_from(*space).unwrap_or(usize::MAX));
            *space -= taken as u64;
        }
        drop(state);
        self.inner.write_all(&bytes[..taken])?;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl WriteFile for FaultyWrite {
    fn sync(&mut self) -> io::Result<()> {
        locked(&self.state).operation(&self.path)?;
        self.inner.sync()
    }
}

impl Storage for FaultyStorage {
    fn open(&self, path: &Path) -> io::Result<Box<dyn ReadFile>> {
        self.operation(path)?;
        self.inner.open(path)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        self.operation(path)?;
        Ok(self.faulty(self.inner.create(path)?, path))
    }

    fn append(&self, path: &Path, len: u64) -> io::Result<Box<dyn WriteFile>> {
        self.operation(path)?;
        Ok(self.faulty(self.inner.append(path, len)?, path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.operation(from)?;
        self.inner.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.operation(path)?;
        self.inner.remove(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.operation(path)?;
        self.inner.remove_dir_all(path)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.operation(path)?;
        self.inner.create_dir_all(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.operation(dir)?;
        self.inner.list(dir)
    }

    fn entry(&self, path: &Path) -> io::Result<Option<Entry>> {
        self.operation(path)?;
        self.inner.entry(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.operation(dir)?;
        self.inner.sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn StorageLock>>> {
        self.operation(path)?;
        self.inner.lock(path)
    }
}
