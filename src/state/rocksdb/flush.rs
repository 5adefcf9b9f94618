//! Bringing a store up to a barrier: the rows that changed before it are written, then its files are frozen.
//!
//! A barrier only notes what is to be done; it is done in the background. Until then the store lacks those rows, so whoever wants to write
//! later values waits for it: nothing that came behind the barrier gets into the image, and nothing is lost if nobody ever
//! takes the image.

use super::files::StoreImage;
use super::store::Store;
use crate::state::{StateDescriptor, StateError};
use crate::types::KeyGroupRange;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Writes the changed rows of one state.
pub(crate) type FlushPart = Box<dyn FnOnce(&Store) -> Result<(), StateError> + Send>;

/// See the module.
pub(crate) struct Flush {
    progress: Mutex<Progress>,
    done: AtomicBool,
    /// Somebody wants the image.
    wanted: AtomicBool,
}

enum Progress {
    Waiting(Arc<Store>, Vec<FlushPart>),
    Done(Option<Arc<StoreImage>>),
    Failed(String),
}

impl fmt::Debug for Flush {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flush").field("done", &self.done).finish_non_exhaustive()
    }
}

impl Flush {
    pub(crate) fn new(store: Arc<Store>, parts: Vec<FlushPart>) -> Arc<Self> {
        let progress = Mutex::new(Progress::Waiting(store, parts));
        Arc::new(Self { progress, done: AtomicBool::new(false), wanted: AtomicBool::new(true) })
    }

    /// True once the rows are in the store and the image is taken.
    pub(crate) fn is_done(&self) -> bool {
        self.done.load(Ordering::Acquire)
    }

    /// Does it, or waits until it is done.
    pub(crate) fn finish(&self) -> Result<(), StateError> {
        if self.is_done() {
            return Ok(());
        }
        self.run().map(drop)
    }

    fn run(&self) -> Result<MutexGuard<'_, Progress>, StateError> {
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        // If this panics in the middle it has failed.
        let unfinished = Progress::Failed("it was interrupted".to_owned());
        *progress = match std::mem::replace(&mut *progress, unfinished) {
            Progress::Waiting(store, parts) => match self.write(&store, parts) {
                Ok(image) => {
                    self.done.store(true, Ordering::Release);
                    Progress::Done(image)
                }
                Err(e) => Progress::Failed(e.to_string()),
            },
            other => other,
        };
        match &*progress {
            Progress::Failed(message) => Err(StateError::Io {
                state: "store".to_owned(),
                source: std::io::Error::other(format!("the rows of a checkpoint could not be written: {message}")),
            }),
            _ => Ok(progress),
        }
    }

    fn write(&self, store: &Store, parts: Vec<FlushPart>) -> Result<Option<Arc<StoreImage>>, StateError> {
        for part in parts {
            part(store)?;
        }
        if self.wanted.load(Ordering::Acquire) { Ok(Some(Arc::new(store.image()?))) } else { Ok(None) }
    }
}

/// Whoever holds it may take the image of a [`Flush`]; when the last one is dropped the image goes.
#[derive(Debug)]
pub(crate) struct Ticket {
    flush: Arc<Flush>,
}

impl Ticket {
    pub(crate) fn new(flush: Arc<Flush>) -> Arc<Self> {
        Arc::new(Self { flush })
    }

    /// The store as it was at the barrier. Writes what is missing first: takes its time.
    pub(crate) fn image(&self) -> Result<Arc<StoreImage>, StateError> {
        match &*self.flush.run()? {
            Progress::Done(Some(image)) => Ok(Arc::clone(image)),
            _ => Err(StateError::Invariant("the image of a store is gone".to_owned())),
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.flush.wanted.store(false, Ordering::Release);
        // While another thread is at it, that one keeps the image; it goes with the flush itself then.
        if let Ok(mut progress) = self.flush.progress.try_lock()
            && let Progress::Done(image) = &mut *progress
        {
            *image = None;
        }
    }
}

/// A state in a store.
#[derive(Debug, Clone)]
pub struct StoredState {
    /// What it is.
    pub descriptor: Arc<StateDescriptor>,
    /// The number of its rows.
    pub rows: u64,
    /// There may be fewer: entries expire, or were added to without being read.
    pub at_most: bool,
    /// The column family of its rows.
    pub family: String,
    /// Which part of each row is its own, where several states share them.
    pub part: Option<usize>,
    /// The built-in function that puts several values of a key together: those of reducing and aggregating state.
    pub fold: Option<String>,
}

/// The store of one operator and subtask at one barrier, in the form of the store itself.
#[derive(Debug)]
pub struct StoreSnapshot {
    /// The states in it.
    pub states: Vec<StoredState>,
    /// The key groups of the subtask.
    pub key_groups: KeyGroupRange,
    /// Names the store among all that the job ever had: file names are told apart by it.
    pub store: String,
    pub(crate) ticket: Arc<Ticket>,
}

impl StoreSnapshot {
    /// The files of the store as it was at the barrier. Writes what is missing first: meant for a thread that may block.
    pub fn image(&self) -> Result<Arc<StoreImage>, StateError> {
        self.ticket.image()
    }
}
