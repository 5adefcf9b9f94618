//! Groups in the store that must be in memory at a moment: keys with timers. A reminder is a row behind those of all key groups, ordered
//! by domain and moment, that names the group.
//!
//! A reminder may be stale: the group came up before, or is gone. Then it is read for nothing. No checkpoint needs it.

use super::payload::Payload;
use super::spill::StoreKey;
use super::{GroupRef, GroupTable};
use crate::state::StateError;
use crate::state::bytes::damaged;
use crate::state::rocksdb::{Changes, NEVER, put_expiry};

/// The first byte of reminders: key groups have at most 15 bits, so no key begins so.
const REMINDER: u8 = u8::MAX;

/// At most so many groups come up at once.
const AT_ONCE: usize = 1_024;

/// Domains of moments.
pub(super) const DOMAINS: usize = 2;

fn prefix(domain: u8, moment: i64) -> Vec<u8> {
    let mut out = vec![REMINDER, domain];
    out.extend_from_slice(&(moment as u64 ^ 1 << 63).to_be_bytes());
    out
}

/// The moment of a reminder, and the key of its group.
fn split(reminder: &[u8]) -> Result<(i64, &[u8]), StateError> {
    let (moment, key) = reminder.get(2..).and_then(<[u8]>::split_first_chunk::<8>).ok_or_else(damaged)?;
    Ok(((u64::from_be_bytes(*moment) ^ 1 << 63) as i64, key))
}

/// Adds a reminder; `key` appends the key of the group. `first`: the earliest one of each domain.
pub(super) fn put(reminders: &mut Changes, first: &mut Earliest, domain: u8, moment: i64, key: impl FnOnce(&mut Vec<u8>)) {
    let mut reminder = prefix(domain, moment);
    key(&mut reminder);
    reminders.put(|out| out.extend_from_slice(&reminder), |out| put_expiry(out, NEVER));
    let first = &mut first[domain as usize];
    if first.as_ref().is_none_or(|first| **first > *reminder) {
        *first = Some(reminder.into());
    }
}

/// For each domain: there is no reminder before this one.
pub(super) type Earliest = [Option<StoreKey>; DOMAINS];

impl GroupTable {
    /// No group in the store must be in memory before this.
    pub(in crate::state) fn next_reminder(&self, domain: u8) -> Option<i64> {
        let first = self.spill.as_ref()?.reminders.get(domain as usize)?.as_ref()?;
        split(first).ok().map(|(moment, _)| moment)
    }

    /// Brings up groups of the earliest reminders, if those are at or before `up_to`; not all at once. Those that it finds or makes are
    /// put into `found`, with the hashes of their keys.
    pub(in crate::state) fn bring_up(
        &mut self,
        (domain, up_to): (u8, i64),
        found: &mut Vec<GroupRef>,
        hashes: &mut Vec<u64>,
        payload: &mut dyn Payload,
    ) -> Result<(), StateError> {
        found.clear();
        hashes.clear();
        let Some(spill) = &mut self.spill else { return Ok(()) };
        let Some(first) = spill.reminders[domain as usize].take() else { return Ok(()) };
        let (mut keys, mut read, mut next) = (Vec::new(), Changes::default(), None);
        // From the first one on, not from the first moment on: many groups may have the same, and those that were read are still to be
        // passed over.
        spill.store.scan(&spill.family, &first, &[REMINDER, domain + 1], |reminder, _| {
            let (moment, key) = split(reminder)?;
            if moment > up_to || keys.len() == AT_ONCE {
                next = Some(reminder.into());
                return Ok(false);
            }
            keys.push(key.into());
            read.delete(reminder);
            Ok(true)
        })?;
        // They may get into the image of a checkpoint that is being taken: nobody reads them there.
        spill.store.write(&spill.family, &read)?;
        spill.reminders[domain as usize] = next;
        self.locate_stored(&keys, found, hashes, payload)
    }
}
