//! Groups that live for a time after their last row (Flink: `StateTtlConfig` with `OnCreateAndWrite` and `NeverReturnExpired`): whoever
//! names one that has expired finds it empty, and the others are looked for a few at a time.

use super::layout::{FLAGS, LIVE};
use super::{GroupRef, GroupTable, canonical_key};
use crate::state::ttl::{Expiry, Times, UNSTAMPED};
use crate::state::{StateError, StateTtl};
use crate::types::{EventTime, WallTime, hash_keys};
use arrow::array::ArrayRef;
use std::sync::Arc;

/// What a table knows of time.
#[derive(Debug)]
pub(super) struct Expiring {
    expiry: Expiry,
    /// Groups that were named since the last look for expired ones.
    named: usize,
    /// Key group and row where the next look begins.
    hand: (usize, u32),
}

/// Groups that are looked at for each one that is named (Flink's `cleanupIncrementally(5, false)`).
const SWEPT_PER_GROUP: usize = 5;
/// Groups that are looked at for each batch.
const SWEPT_PER_BATCH: usize = 16;
/// At most so many at once.
const SWEPT_AT_ONCE: usize = 65_536;

impl Expiring {
    /// Nothing has expired before the first [`GroupTable::set_time`].
    pub(super) fn new(ttl: &StateTtl) -> Self {
        let expiry = Expiry::new(ttl, Times { now: WallTime(i64::MIN), watermark: EventTime::MIN });
        Self { expiry, named: 0, hand: (0, 0) }
    }
}

impl GroupTable {
    pub(in crate::state) fn expiry(&self) -> Option<Expiry> {
        self.expiring.as_ref().map(|expiring| expiring.expiry)
    }

    /// The times that the TTL compares with, if there is one.
    pub(in crate::state) fn set_time(&mut self, times: Times) {
        if let (Some(expiring), Some(ttl)) = (&mut self.expiring, &self.descriptor.ttl) {
            expiring.expiry = Expiry::new(ttl, times);
        }
    }

    /// To be called for all groups that [`Self::locate`] has found, before they are read: those that have expired begin anew, and all of them
    /// live on from now. Without a TTL it does nothing.
    pub fn renew(&mut self, groups: &[GroupRef]) {
        let (Some(expiring), Some(word)) = (&mut self.expiring, self.layout.expiry) else { return };
        let (expiry, stride) = (expiring.expiry, self.layout.stride);
        expiring.named = expiring.named.saturating_add(groups.len());
        for group in groups {
            let rows = &mut self.tables[group.table as usize].rows;
            if rows.is_expired(group.row, &self.layout, Some(&expiry)) {
                rows.reset(group.row, &self.layout);
            }
            rows.row_mut(group.row, stride)[word] = expiry.stamp as u64;
        }
    }

    /// Deletes groups that have expired, a few at a time. To be called between batches: no [`GroupRef`] from before is valid afterwards.
    /// Without a TTL it does nothing.
    pub fn sweep(&mut self) -> Result<(), StateError> {
        let Some((gone, unstamped)) = self.look_for_expired() else { return Ok(()) };
        if !gone.is_empty() {
            let keys: Vec<ArrayRef> = self.keys(&gone)?.iter().map(canonical_key).collect();
            let mut hashes = Vec::new();
            hash_keys(&keys, gone.len(), &mut hashes)?;
            for (group, hash) in gone.iter().zip(hashes) {
                self.release(*group, hash);
            }
        }
        // Saved without TTL: its life begins now.
        if let (Some(expiry), Some(word)) = (self.expiry(), self.layout.expiry) {
            for group in &unstamped {
                self.writable_row(*group)[word] = expiry.stamp as u64;
            }
            if self.spill.is_some() {
                self.touch(&unstamped);
            }
        }
        Ok(())
    }

    /// Looks at the next groups: those that have expired, and those that nobody has said it of when they do.
    fn look_for_expired(&mut self) -> Option<(Vec<GroupRef>, Vec<GroupRef>)> {
        let (expiring, word) = (self.expiring.as_mut()?, self.layout.expiry?);
        let (expiry, stride) = (expiring.expiry, self.layout.stride);
        let named = std::mem::take(&mut expiring.named);
        let mut left = named.saturating_mul(SWEPT_PER_GROUP).saturating_add(SWEPT_PER_BATCH).min(SWEPT_AT_ONCE);
        let (mut gone, mut unstamped) = (Vec::new(), Vec::new());
        let mut passed = 0;
        while left > 0 && passed <= self.tables.len() {
            let (at, first) = expiring.hand;
            let Some(table) = self.tables.get(at) else {
                expiring.hand = (0, 0);
                passed += 1;
                continue;
            };
            // Deleting from rows that a snapshot still reads would copy them.
            let is_read = table.frozen.as_ref().is_some_and(|frozen| Arc::strong_count(frozen) > 1);
            let rows = table.readable();
            if is_read || first >= rows.len() {
                expiring.hand = (at + 1, 0);
                passed += 1;
                continue;
            }
            let end = first.saturating_add(u32::try_from(left).unwrap_or(u32::MAX)).min(rows.len());
            for row in first..end {
                let words = rows.row(row, stride);
                let stamp = words[word] as i64;
                let group = GroupRef { table: at as u32, row };
                match words[FLAGS] & LIVE != 0 {
                    true if expiry.is_expired(stamp) => gone.push(group),
                    true if stamp == UNSTAMPED && expiry.stamp != UNSTAMPED => unstamped.push(group),
                    _ => {}
                }
            }
            left -= (end - first) as usize;
            expiring.hand = (at, end);
        }
        Some((gone, unstamped))
    }
}
