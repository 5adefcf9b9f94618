//! Rows that leave the disk by themselves: where a family says so, each value begins with the time from which on nobody needs the row any
//! more, and whatever compaction meets it later drops it.

use crate::state::StateError;
use ::rocksdb::CompactionDecision;
use ::rocksdb::compaction_filter::CompactionFilter;
use ::rocksdb::compaction_filter_factory::{CompactionFilterContext, CompactionFilterFactory};
use std::ffi::CStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// The expiry of a row that stays.
pub(crate) const NEVER: i64 = i64::MAX;

const BYTES: usize = size_of::<i64>();

/// Appends the beginning of a value: `expires_at` in milliseconds of the clock that [`super::Store::set_time`] is told of, or [`NEVER`].
pub(crate) fn put_expiry(out: &mut Vec<u8>, expires_at: i64) {
    out.extend_from_slice(&expires_at.to_be_bytes());
}

/// Changes the beginning of the value that starts at `start`, when all of it is known.
pub(crate) fn set_expiry(out: &mut [u8], start: usize, expires_at: i64) {
    if let Some(place) = out.get_mut(start..start + BYTES) {
        place.copy_from_slice(&expires_at.to_be_bytes());
    }
}

/// The expiry of a value, and the rest of it.
pub(crate) fn split_expiry(value: &[u8]) -> Result<(i64, &[u8]), StateError> {
    let (expires_at, rest) =
        value.split_first_chunk::<BYTES>().ok_or_else(|| StateError::Invariant("a row of the store has no expiry".to_owned()))?;
    Ok((i64::from_be_bytes(*expires_at), rest))
}

/// Makes the filter of each compaction.
pub(super) struct Expiring {
    now: Arc<AtomicI64>,
}

impl Expiring {
    /// `now`: what the time is, in milliseconds.
    pub(super) fn new(now: &Arc<AtomicI64>) -> Self {
        Self { now: Arc::clone(now) }
    }
}

impl CompactionFilterFactory for Expiring {
    type Filter = Expired;

    fn create(&mut self, _context: CompactionFilterContext) -> Expired {
        Expired { now: self.now.load(Ordering::Relaxed) }
    }

    fn name(&self) -> &CStr {
        c"expiring"
    }
}

/// Drops the rows that have expired when the compaction begins.
pub(super) struct Expired {
    now: i64,
}

impl CompactionFilter for Expired {
    fn filter(&mut self, _level: u32, _key: &[u8], value: &[u8]) -> CompactionDecision {
        match split_expiry(value) {
            Ok((expires_at, _)) if expires_at <= self.now && expires_at != NEVER => CompactionDecision::Remove,
            _ => CompactionDecision::Keep,
        }
    }

    fn name(&self) -> &CStr {
        c"expired"
    }
}
