//! What lies in a checkpoint directory and belongs to no complete checkpoint: attempts that a crash interrupted, and shared files that
//! no `_metadata` names. What a living job may still need is not looked at.

use crate::checkpoint::exclusive::LOCK;
use crate::checkpoint::layout::METADATA;
use crate::checkpoint::open::read_manifest;
use crate::storage::{Entry, Storage};
use crate::types::{ByteSize, JobId, WallTime};
use std::collections::BTreeSet;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

/// Directories of a job that hold files of several checkpoints, as in Flink.
const SHARED: [&str; 2] = ["shared", "taskowned"];

/// Directories below each other that are looked into: more is a circle of links.
const DEPTH: usize = 64;

/// What something is that nobody needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OrphanKind {
    /// A `chk-<n>` or `savepoint-…` without `_metadata`: it was never completed, or its deletion was interrupted.
    Incomplete,
    /// A `_metadata.tmp`: its checkpoint is complete without it.
    Temporary,
    /// A shared file that no checkpoint names.
    Shared,
    /// The directory of a job without any checkpoint.
    Empty,
}

/// Something that nobody needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orphan {
    /// A file or a directory.
    pub path: PathBuf,
    /// What it is.
    pub kind: OrphanKind,
    /// Bytes of its files.
    pub bytes: ByteSize,
    /// When something in it was written last.
    pub modified: WallTime,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Orphans {
    /// What may go.
    pub orphans: Vec<Orphan>,
    /// What was left alone, and why.
    pub remarks: Vec<String>,
    /// Complete checkpoints and savepoints.
    pub complete: usize,
}

/// Looks through `directory`: one that holds `<job id>/chk-*` or `savepoint-*`, or the directory of one job. `live`: the jobs whose
/// processes live. What was written within `age` before `now` is left alone: its job may be one that is not known here.
pub fn orphans(storage: &dyn Storage, directory: &Path, live: &[JobId], now: WallTime, age: Duration) -> io::Result<Orphans> {
    let mut search = Search { storage, live, now, age, occupied: false, found: Orphans::default() };
    if storage.entry(directory)?.is_none() {
        let message = format!("{}: No such file or directory", directory.display());
        return Err(io::Error::new(io::ErrorKind::NotFound, message));
    }
    let own = job_of(directory);
    let base = if own.is_some() { directory.parent().unwrap_or(directory) } else { directory };
    let mut named = search.named_files(base)?;
    // Checkpoints of a job may lie directly in it; the lock is held while this looks, so that no such job begins meanwhile.
    let lock = directory.join(LOCK);
    let lock = if storage.entry(&lock)?.is_some() { Some(storage.lock(&lock)?) } else { None };
    if let Some(held) = &lock {
        search.name(&mut named, directory)?;
        if held.is_none() {
            search
                .found
                .remarks
                .push(format!("{}: the job whose checkpoints lie directly in it runs; they are left alone", directory.display()));
            search.occupied = true;
        } else if let Some(named) = &named {
            for shared in SHARED {
                search.shared(&directory.join(shared), named, 0)?;
            }
        }
    }
    match own {
        Some(job) => search.job(directory, job, named.as_ref())?,
        None => {
            for entry in storage.list(directory)?.into_iter().filter(|e| e.is_dir) {
                match job_of(&entry.path) {
                    Some(job) => search.job(&entry.path, job, named.as_ref())?,
                    None => search.savepoint(&entry)?,
                }
            }
        }
    }
    Ok(search.found)
}

impl Orphans {
    /// Bytes of everything that may go.
    pub fn bytes(&self) -> ByteSize {
        ByteSize(self.orphans.iter().map(|o| o.bytes.0).sum())
    }

    /// Deletes what may go. One that has become complete meanwhile is left alone.
    pub fn delete(&self, storage: &dyn Storage) -> io::Result<()> {
        for orphan in &self.orphans {
            match orphan.kind {
                OrphanKind::Temporary | OrphanKind::Shared => storage.remove(&orphan.path)?,
                OrphanKind::Incomplete if storage.entry(&orphan.path.join(METADATA))?.is_some() => {}
                OrphanKind::Incomplete | OrphanKind::Empty => storage.remove_dir_all(&orphan.path)?,
            }
        }
        Ok(())
    }
}

struct Search<'a> {
    storage: &'a dyn Storage,
    live: &'a [JobId],
    now: WallTime,
    age: Duration,
    /// The checkpoints directly in the directory are those of a job that runs.
    occupied: bool,
    found: Orphans,
}

fn name_of(path: &Path) -> &str {
    path.file_name().and_then(|n| n.to_str()).unwrap_or_default()
}

fn job_of(path: &Path) -> Option<JobId> {
    name_of(path).parse().ok()
}

impl Search<'_> {
    /// The files that any checkpoint of any job below `base` names; `None` if a `_metadata` cannot be read: then nobody knows.
    fn named_files(&mut self, base: &Path) -> io::Result<Option<BTreeSet<PathBuf>>> {
        let mut named = Some(BTreeSet::new());
        for job in self.storage.list(base)?.into_iter().filter(|e| e.is_dir && job_of(&e.path).is_some()) {
            self.name(&mut named, &job.path)?;
        }
        Ok(named)
    }

    /// Adds the files that the checkpoints in `parent` name.
    fn name(&mut self, named: &mut Option<BTreeSet<PathBuf>>, parent: &Path) -> io::Result<()> {
        for checkpoint in self.storage.list(parent)?.into_iter().filter(|e| e.is_dir) {
            if self.storage.entry(&checkpoint.path.join(METADATA))?.is_none() {
                continue;
            }
            match read_manifest(self.storage, &checkpoint.path) {
                Ok(manifest) => {
                    if let Some(named) = named {
                        named.extend(manifest.files().map(|file| normal(&checkpoint.path.join(&file.path))));
                    }
                }
                Err(error) => {
                    self.found.remarks.push(format!("shared files are left alone, because a _metadata cannot be read: {error}"));
                    *named = None;
                }
            }
        }
        Ok(())
    }

    /// What nobody needs in the directory of one job.
    fn job(&mut self, directory: &Path, job: JobId, named: Option<&BTreeSet<PathBuf>>) -> io::Result<()> {
        if self.live.contains(&job) {
            self.found.remarks.push(format!("{}: its job runs; left alone", directory.display()));
            return Ok(());
        }
        let entries = self.storage.list(directory)?;
        let before = (self.found.complete, self.found.orphans.len());
        for entry in entries.iter().filter(|e| e.is_dir && name_of(&e.path).starts_with("chk-")) {
            self.snapshot(entry)?;
        }
        if let Some(named) = named {
            for shared in SHARED {
                self.shared(&directory.join(shared), named, 0)?;
            }
        }
        let foreign = |e: &&Entry| !(e.is_dir && (name_of(&e.path).starts_with("chk-") || SHARED.contains(&name_of(&e.path))));
        let untouched = (self.found.complete, self.found.orphans.len()) == before;
        let (bytes, modified) = self.size(directory, 0)?;
        if untouched && bytes.0 == 0 && !entries.iter().any(|e| foreign(&e)) && self.empty(directory, 0)? {
            self.note(Orphan { path: directory.to_owned(), kind: OrphanKind::Empty, bytes, modified });
        }
        Ok(())
    }

    /// A directory that may be the one of a savepoint.
    fn savepoint(&mut self, entry: &Entry) -> io::Result<()> {
        let name = name_of(&entry.path);
        let Some(rest) = name.strip_prefix("savepoint-") else {
            return if name.starts_with("chk-") && !self.occupied { self.snapshot(entry) } else { Ok(()) };
        };
        // `savepoint-<first 6 of the job id>-<12 hex>`
        let hex = |text: &str, length: usize| text.len() == length && text.bytes().all(|b| b.is_ascii_hexdigit());
        match rest.split_once('-').filter(|(job, random)| hex(job, 6) && hex(random, 12)) {
            Some((job, _)) if self.live.iter().any(|id| id.to_string().starts_with(job)) => {
                if self.storage.entry(&entry.path.join(METADATA))?.is_none() {
                    self.found.remarks.push(format!("{}: its job runs; left alone", entry.path.display()));
                } else {
                    self.found.complete += 1;
                }
                Ok(())
            }
            Some(_) => self.snapshot(entry),
            None => Ok(()),
        }
    }

    /// `chk-<n>` or `savepoint-…`
    fn snapshot(&mut self, entry: &Entry) -> io::Result<()> {
        if self.storage.entry(&entry.path.join(METADATA))?.is_none() {
            let (bytes, modified) = self.size(&entry.path, 0)?;
            let modified = modified.max(entry.modified);
            self.note(Orphan { path: entry.path.clone(), kind: OrphanKind::Incomplete, bytes, modified });
            return Ok(());
        }
        self.found.complete += 1;
        if let Some(file) = self.storage.entry(&entry.path.join(format!("{METADATA}.tmp")))? {
            self.note(Orphan { path: file.path, kind: OrphanKind::Temporary, bytes: ByteSize(file.len), modified: file.modified });
        }
        Ok(())
    }

    fn shared(&mut self, directory: &Path, named: &BTreeSet<PathBuf>, depth: usize) -> io::Result<()> {
        if depth > DEPTH || !self.storage.entry(directory)?.is_some_and(|e| e.is_dir) {
            return Ok(());
        }
        for entry in self.storage.list(directory)? {
            if entry.is_dir {
                self.shared(&entry.path, named, depth + 1)?;
            } else if !named.contains(&normal(&entry.path)) {
                let (kind, bytes, modified) = (OrphanKind::Shared, ByteSize(entry.len), entry.modified);
                self.note(Orphan { path: entry.path, kind, bytes, modified });
            }
        }
        Ok(())
    }

    fn note(&mut self, orphan: Orphan) {
        if self.now.since(orphan.modified) < self.age {
            self.found.remarks.push(format!(
                "{}: written less than {} ago; left alone",
                orphan.path.display(),
                crate::types::format_duration(self.age)
            ));
        } else {
            self.found.orphans.push(orphan);
        }
    }

    /// Bytes of all files below `directory`, and when the newest of it was written.
    fn size(&self, directory: &Path, depth: usize) -> io::Result<(ByteSize, WallTime)> {
        let (mut bytes, mut modified) = (0, self.storage.entry(directory)?.map_or(WallTime(0), |e| e.modified));
        if depth > DEPTH {
            return Ok((ByteSize(bytes), modified));
        }
        for entry in self.storage.list(directory)? {
            bytes += entry.len;
            modified = modified.max(entry.modified);
            if entry.is_dir {
                let (more, newest) = self.size(&entry.path, depth + 1)?;
                bytes += more.0;
                modified = modified.max(newest);
            }
        }
        Ok((ByteSize(bytes), modified))
    }

    /// True if there is no file below `directory`.
    fn empty(&self, directory: &Path, depth: usize) -> io::Result<bool> {
        for entry in self.storage.list(directory)? {
            if !entry.is_dir || depth > DEPTH || !self.empty(&entry.path, depth + 1)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The path without `.` and `..`.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                normal.pop();
            }
            Component::CurDir => {}
            other => normal.push(other),
        }
    }
    normal
}
