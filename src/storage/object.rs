//! A bucket as a tree of files. Directories are what names have in common: they need not be made, and are gone with the last object in
//! them. An object appears whole when its upload is complete, and is durable then; nothing is renamed, cut or locked.

use super::driver::Driver;
use super::object_error::{is_not_implemented, may_be_empty, request_error};
use super::object_write::ObjectWrite;
use super::s3::Secret;
use super::{Entry, ReadFile, Storage, WriteFile};
use crate::types::WallTime;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use object_store::path::Path as Key;
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes that are asked for at once when a file is read.
const BLOCK: u64 = 4 << 20;

/// Blocks of one file that are kept: columns of a file are read side by side.
const BLOCKS: usize = 8;

/// One bucket, or any other store of objects. All paths begin with its root.
#[derive(Debug, Clone)]
pub struct ObjectStorage {
    pub(super) bucket: Arc<Bucket>,
}

#[derive(Debug)]
pub(super) struct Bucket {
    store: Arc<dyn ObjectStore>,
    root: PathBuf,
    driver: Arc<Driver>,
    secrets: Vec<Secret>,
    /// The server does not know conditional writes: asked once, and found out.
    unconditional: AtomicBool,
}

impl ObjectStorage {
    /// The objects of `store`, below the path `root`. Errors if no thread can be started for its requests.
    pub(super) fn new(store: Arc<dyn ObjectStore>, root: PathBuf) -> io::Result<Self> {
        Ok(Self::with_driver(store, root, Arc::new(Driver::start()?), Vec::new()))
    }

    /// Objects in memory, whose paths begin at `/`: what S3 is to its users, without a server. Errors if no thread can be started.
    pub fn in_memory() -> io::Result<Self> {
        Self::new(Arc::new(object_store::memory::InMemory::new()), PathBuf::from("/"))
    }

    pub(super) fn with_driver(store: Arc<dyn ObjectStore>, root: PathBuf, driver: Arc<Driver>, secrets: Vec<Secret>) -> Self {
        Self { bucket: Arc::new(Bucket { store, root, driver, secrets, unconditional: AtomicBool::new(false) }) }
    }

    fn meta(&self, path: &Path) -> io::Result<Option<ObjectMeta>> {
        let key = self.bucket.key(path)?;
        if key.is_root() {
            return Ok(None);
        }
        match self.bucket.run(move |store| async move { store.head(&key).await })? {
            Ok(meta) => Ok(Some(meta)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.bucket.error(path, "looking for it", &self.said(path, error)?)),
        }
    }

    /// A refused HEAD says nothing but its status; the same question as a GET is refused with words.
    fn said(&self, path: &Path, error: object_store::Error) -> io::Result<object_store::Error> {
        if !matches!(error, object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. }) {
            return Ok(error);
        }
        let key = self.bucket.key(path)?;
        let said = self.bucket.run(move |store| async move { store.get_range(&key, 0..1).await.map(drop) })?;
        Ok(said.err().unwrap_or(error))
    }

    /// What lies below `path`, at any depth; the first of it alone if `one`.
    fn below(&self, path: &Path, one: bool) -> io::Result<Vec<Key>> {
        let key = self.bucket.key(path)?;
        let found = self.bucket.run(move |store| async move {
            let prefix = (!key.is_root()).then_some(&key);
            let all = store.list(prefix).map_ok(|meta| meta.location).try_filter(|location| std::future::ready(*location != key));
            if one { all.take(1).try_collect::<Vec<Key>>().await } else { all.try_collect().await }
        })?;
        found.map_err(|error| self.bucket.missing_bucket(path, "listing it", &error))
    }

    fn put(&self, path: &Path, bytes: &[u8], mode: PutMode) -> io::Result<Result<(), object_store::Error>> {
        let key = self.bucket.key(path)?;
        let payload = PutPayload::from(Bytes::copy_from_slice(bytes));
        let options = PutOptions { mode, ..PutOptions::default() };
        self.bucket.run(move |store| async move { store.put_opts(&key, payload, options).await.map(drop) })
    }
}

impl Bucket {
    /// The key of a path.
    pub(super) fn key(&self, path: &Path) -> io::Result<Key> {
        let invalid = |why: &str| io::Error::new(io::ErrorKind::InvalidInput, format!("{}: {why}", path.display()));
        let below = path.strip_prefix(&self.root).map_err(|_| invalid("the path is not in this bucket"))?;
        let mut names = Vec::new();
        for component in below.components() {
            match component {
                Component::Normal(name) => names.push(name.to_str().ok_or_else(|| invalid("the name is not UTF-8"))?),
                _ => return Err(invalid("\".\" and \"..\" mean nothing in a bucket")),
            }
        }
        Key::parse(names.join("/")).map_err(|e| invalid(&e.to_string()))
    }

    fn path(&self, key: &Key) -> PathBuf {
        self.root.join(key.as_ref())
    }

    /// Runs a request to its end.
    pub(super) fn run<T, F>(&self, request: impl FnOnce(Arc<dyn ObjectStore>) -> F) -> io::Result<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        self.driver.wait(request(Arc::clone(&self.store)))
    }

    pub(super) fn error(&self, path: &Path, asked: &str, error: &object_store::Error) -> io::Error {
        request_error(path, asked, error, &self.secrets)
    }

    /// The error of a request that a bucket answers always, if there is one: nothing found means that there is none.
    fn missing_bucket(&self, path: &Path, asked: &str, error: &object_store::Error) -> io::Error {
        let made = self.error(path, asked, error);
        if made.kind() == io::ErrorKind::NotFound {
            let message = format!("{}: {asked}: the bucket does not exist; create it, or name another one", path.display());
            return io::Error::other(message);
        }
        made
    }
}

fn entry_of(path: PathBuf, meta: &ObjectMeta) -> Entry {
    Entry { path, len: meta.size, modified: WallTime(meta.last_modified.timestamp_millis()), is_dir: false }
}

/// A directory has no time of its own.
fn directory(path: PathBuf) -> Entry {
    Entry { path, len: 0, modified: WallTime(0), is_dir: true }
}

fn unsupported(path: &Path, what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, format!("{}: {what} on an object store", path.display()))
}

/// An object that is read by blocks.
struct ObjectRead {
    bucket: Arc<Bucket>,
    path: PathBuf,
    len: u64,
    /// Blocks by number, the newest last.
    blocks: Mutex<VecDeque<(u64, Bytes)>>,
}

impl ObjectRead {
    fn block(&self, number: u64) -> io::Result<Bytes> {
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, bytes)) = blocks.iter().find(|(known, _)| *known == number) {
            return Ok(bytes.clone());
        }
        let key = self.bucket.key(&self.path)?;
        let range = number * BLOCK..((number + 1) * BLOCK).min(self.len);
        let length = range.end - range.start;
        let read = self.bucket.run(move |store| async move { store.get_range(&key, range).await })?;
        let bytes = read.map_err(|error| self.bucket.error(&self.path, "reading it", &error))?;
        if bytes.len() as u64 != length {
            let message = format!("{}: {} bytes of {length} were read", self.path.display(), bytes.len());
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
        }
        if blocks.len() == BLOCKS {
            blocks.pop_front();
        }
        blocks.push_back((number, bytes.clone()));
        Ok(bytes)
    }
}

impl ReadFile for ObjectRead {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        if offset >= self.len || buffer.is_empty() {
            return Ok(0);
        }
        let block = self.block(offset / BLOCK)?;
        let rest = block.get((offset % BLOCK) as usize..).unwrap_or_default();
        let n = rest.len().min(buffer.len());
        buffer[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }
}

impl Storage for ObjectStorage {
    fn open(&self, path: &Path) -> io::Result<Box<dyn ReadFile>> {
        let key = self.bucket.key(path)?;
        let first = self.bucket.run(move |store| async move {
            let options = GetOptions { range: Some(GetRange::Bounded(0..BLOCK)), ..GetOptions::default() };
            let result = store.get_opts(&key, options).await?;
            let size = result.meta.size;
            Ok((size, result.bytes().await?))
        })?;
        let read = |len, blocks| ObjectRead { bucket: Arc::clone(&self.bucket), path: path.to_owned(), len, blocks: Mutex::new(blocks) };
        match first {
            Ok((len, block)) => Ok(Box::new(read(len, VecDeque::from([(0, block)])))),
            // An empty object has no first byte to ask for.
            Err(error) if may_be_empty(&error) && self.meta(path)?.is_some_and(|meta| meta.size == 0) => {
                Ok(Box::new(read(0, VecDeque::new())))
            }
            Err(error) => Err(self.bucket.error(path, "reading it", &error)),
        }
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        Ok(Box::new(ObjectWrite::new(Arc::clone(&self.bucket), path)?))
    }

    /// An object is not appended to: at its full length there is nothing left to write, and it is durable.
    fn append(&self, path: &Path, len: u64) -> io::Result<Box<dyn WriteFile>> {
        match self.meta(path)? {
            None => Err(io::Error::new(io::ErrorKind::NotFound, format!("{}: No such file or directory", path.display()))),
            Some(meta) if meta.size == len => Ok(Box::new(ObjectWrite::complete(Arc::clone(&self.bucket), path)?)),
            Some(_) => Err(unsupported(path, "a file is neither cut nor appended to")),
        }
    }

    fn rename(&self, from: &Path, _: &Path) -> io::Result<()> {
        Err(unsupported(from, "nothing is renamed"))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let key = self.bucket.key(path)?;
        match self.bucket.run(move |store| async move { store.delete(&key).await })? {
            Err(error) if !matches!(error, object_store::Error::NotFound { .. }) => Err(self.bucket.error(path, "deleting it", &error)),
            _ => Ok(()),
        }
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        let keys = self.below(path, false)?;
        let removed = self.bucket.run(move |store| async move {
            let keys = futures_util::stream::iter(keys.into_iter().map(Ok)).boxed();
            let mut deleted = store.delete_stream(keys);
            while let Some(one) = deleted.next().await {
                match one {
                    Err(error) if !matches!(error, object_store::Error::NotFound { .. }) => return Err(error),
                    _ => {}
                }
            }
            Ok(())
        })?;
        removed.map_err(|error| self.bucket.error(path, "deleting what is in it", &error))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.bucket.key(path).map(drop)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let key = self.bucket.key(dir)?;
        let own = key.clone();
        let listed = self.bucket.run(move |store| async move {
            let prefix = (!key.is_root()).then_some(&key);
            store.list_with_delimiter(prefix).await
        })?;
        let listed = listed.map_err(|error| self.bucket.missing_bucket(dir, "listing it", &error))?;
        let directories = listed.common_prefixes.iter().map(|key| directory(self.bucket.path(key)));
        // What other tools leave where they made a directory has the directory's own name.
        let objects = listed.objects.iter().filter(|meta| meta.location != own);
        let mut entries: Vec<Entry> = objects.map(|meta| entry_of(self.bucket.path(&meta.location), meta)).chain(directories).collect();
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(entries)
    }

    fn entry(&self, path: &Path) -> io::Result<Option<Entry>> {
        if let Some(meta) = self.meta(path)? {
            return Ok(Some(entry_of(path.to_owned(), &meta)));
        }
        let root = self.bucket.key(path)?.is_root();
        let found = !self.below(path, true)?.is_empty();
        Ok((found || root).then(|| directory(path.to_owned())))
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn is_remote(&self, _: &Path) -> bool {
        true
    }

    /// A put is atomic by itself.
    fn write_atomic(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.put(path, bytes, PutMode::Overwrite)?.map_err(|error| self.bucket.error(path, "writing it", &error))
    }

    /// A put on condition that nothing is there. A server that does not know the condition is asked beforehand, which leaves a moment in
    /// between.
    fn create_atomic(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        if !self.bucket.unconditional.load(Ordering::Relaxed) {
            match self.put(path, bytes, PutMode::Create)? {
                Ok(()) => return Ok(()),
                // The answer to an earlier try may have been lost on its way: then what is there is ours.
                Err(object_store::Error::AlreadyExists { .. }) if self.read(path, bytes.len() as u64).is_ok_and(|found| found == bytes) => {
                    return Ok(());
                }
                Err(error) if is_not_implemented(&error) => self.bucket.unconditional.store(true, Ordering::Relaxed),
                Err(error) => return Err(self.bucket.error(path, "writing it", &error)),
            }
        }
        if self.meta(path)?.is_some() {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{}: the file exists", path.display())));
        }
        self.write_atomic(path, bytes)
    }
}
