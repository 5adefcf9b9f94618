//! An object being written: small ones in one request, larger ones in parts. Nobody sees anything of it before it is complete.

use super::WriteFile;
use super::object::Bucket;
use bytes::Bytes;
use object_store::path::Path as Key;
use object_store::{ObjectStoreExt, PutPayload, WriteMultipart};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes of a part. S3 takes 10 000 parts: 160 GB for one file.
const PART: usize = 16 << 20;

/// Parts of one file that are on their way at the same time.
const PARTS_UNDER_WAY: usize = 2;

pub(super) struct ObjectWrite {
    bucket: Arc<Bucket>,
    path: PathBuf,
    key: Key,
    buffer: Vec<u8>,
    /// The parts, once there is more than one.
    upload: Option<WriteMultipart>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Complete,
    Failed,
}

impl ObjectWrite {
    pub(super) fn new(bucket: Arc<Bucket>, path: &Path) -> io::Result<Self> {
        let key = bucket.key(path)?;
        Ok(Self { bucket, path: path.to_owned(), key, buffer: Vec::new(), upload: None, state: State::Open })
    }

    /// An object that was written already.
    pub(super) fn complete(bucket: Arc<Bucket>, path: &Path) -> io::Result<Self> {
        let mut write = Self::new(bucket, path)?;
        write.state = State::Complete;
        Ok(write)
    }

    /// An error after which the object will never be there.
    fn failed(&mut self, error: &object_store::Error) -> io::Error {
        self.state = State::Failed;
        self.bucket.error(&self.path, "writing it", error)
    }

    fn send_part(&mut self) -> io::Result<()> {
        let mut upload = if let Some(upload) = self.upload.take() {
            upload
        } else {
            let key = self.key.clone();
            let begun = self.bucket.run(move |store| async move { store.put_multipart(&key).await })?;
            WriteMultipart::new_with_chunk_size(begun.map_err(|error| self.failed(&error))?, PART)
        };
        let part = Bytes::from(std::mem::take(&mut self.buffer));
        let (upload, sent) = self.bucket.run(move |_| async move {
            let capacity = upload.wait_for_capacity(PARTS_UNDER_WAY).await;
            if capacity.is_ok() {
                upload.put(part);
            }
            (upload, capacity)
        })?;
        self.upload = Some(upload);
        sent.map_err(|error| self.failed(&error))
    }
}

impl Write for ObjectWrite {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.state != State::Open {
            let message = format!("{}: the object is closed: nothing is appended on an object store", self.path.display());
            return Err(io::Error::new(io::ErrorKind::Unsupported, message));
        }
        let taken = bytes.len().min(PART - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..taken]);
        if self.buffer.len() == PART {
            self.send_part()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl WriteFile for ObjectWrite {
    fn sync(&mut self) -> io::Result<()> {
        match self.state {
            State::Complete => return Ok(()),
            State::Failed => return Err(io::Error::other(format!("{}: the object could not be written", self.path.display()))),
            State::Open => {}
        }
        let rest = Bytes::from(std::mem::take(&mut self.buffer));
        let written = if let Some(mut upload) = self.upload.take() {
            self.bucket.run(move |_| async move {
                if !rest.is_empty() {
                    upload.put(rest);
                }
                // What fails here is aborted by the upload itself.
                upload.finish().await.map(drop)
            })?
        } else {
            let key = self.key.clone();
            self.bucket.run(move |store| async move { store.put(&key, PutPayload::from(rest)).await.map(drop) })?
        };
        written.map_err(|error| self.failed(&error))?;
        self.state = State::Complete;
        Ok(())
    }
}

impl Drop for ObjectWrite {
    fn drop(&mut self) {
        if let Some(upload) = self.upload.take() {
            // Parts that cannot be removed now are seen by nobody; the bucket's rule for incomplete uploads clears them away.
            let _ = self.bucket.run(move |_| async move { upload.abort().await });
        }
    }
}
