//! Keys beyond the memory budget: a key goes down to the store whole, with what every state and the timers hold for it, and comes up
//! with the batch, or the timer, that names it.
//!
//! In the store the states follow each other, each with its number (the order in which they were registered, from 0) and its length;
//! those that hold nothing for the key are not there. A number that stands there again was added to what stands before it.

use super::KeyRef;
use super::fold::Fold;
use super::held::{Counters, Held};
use super::table::{Column, Table};
use super::timers::{KeyTimers, TimerSets, put_timers};
use crate::state::StateError;
use crate::state::backend::RegisteredState;
use crate::state::bytes::{Input, damaged, put_number, unzigzag, zigzag};
use crate::state::groups::{Extent, FrozenPayload, Payload};
use crate::state::rocksdb::NEVER;
use crate::state::ttl::{Stamp, TtlTime, UNSTAMPED};
use crate::types::Datum;
use std::collections::HashMap;
use std::sync::Arc;

/// About the bytes of a slot that is copied.
const COPY_BYTES: usize = 64;

/// A column whose slots go down and come up one by one.
pub(in crate::state) trait Slots: Column {
    /// Appends what a slot holds, if that is anything. Returns the greatest stamp of it.
    fn put(&self, slot: usize, out: &mut Vec<u8>) -> Option<Stamp>;

    /// Forgets what a slot holds.
    fn empty(&mut self, slot: usize);

    /// About the bytes of a slot.
    fn weigh(&self, slot: usize) -> usize;
}

/// Appends a stamp.
pub(super) fn put_stamp(out: &mut Vec<u8>, stamp: Stamp) {
    put_number(out, if stamp == UNSTAMPED { 0 } else { zigzag(stamp).wrapping_add(1) });
}

/// Takes a stamp from the front.
pub(super) fn read_stamp(from: &mut Input<'_>) -> Result<Stamp, StateError> {
    Ok(match from.number()? {
        0 => UNSTAMPED,
        stamp => unzigzag(stamp - 1),
    })
}

/// About the bytes of `count` values, each with `beside` bytes more, that are about as long as the first ones of them.
pub(super) fn weigh_several<'a>(count: usize, beside: usize, sample: impl IntoIterator<Item = &'a Datum>) -> usize {
    let (mut looked_at, mut bytes) = (0, 0);
    for value in sample.into_iter().take(4) {
        (looked_at, bytes) = (looked_at + 1, bytes + value.weight());
    }
    count * (size_of::<Datum>() + beside + bytes / looked_at.max(1))
}

/// Appends one state of a key, if it holds anything: its number, its length, and what `put` appends.
pub(super) fn put_part(
    out: &mut Vec<u8>,
    number: usize,
    scratch: &mut Vec<u8>,
    put: impl FnOnce(&mut Vec<u8>) -> Option<i64>,
) -> Option<i64> {
    scratch.clear();
    let expires_at = put(scratch)?;
    put_number(out, number as u64);
    put_number(out, scratch.len() as u64);
    out.extend_from_slice(scratch);
    Some(expires_at)
}

/// The states of a key as [`put_part`] wrote them: numbers and contents.
pub(super) struct Parts<'a>(pub(super) Input<'a>);

impl<'a> Iterator for Parts<'a> {
    type Item = Result<(usize, Input<'a>), StateError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.0.is_empty() {
            return None;
        }
        let part = self.part();
        if part.is_err() {
            self.0 = Input(&[]);
        }
        Some(part)
    }
}

impl<'a> Parts<'a> {
    fn part(&mut self) -> Result<(usize, Input<'a>), StateError> {
        let number = self.0.length()?;
        let length = self.0.length()?;
        Ok((number, Input(self.0.take(length)?)))
    }
}

impl<C: Slots> Table<C> {
    /// When a row of the store may vanish whose last entry has this stamp. By event time no row does: the store knows one clock.
    fn vanishes(&self, stamp: Stamp) -> i64 {
        match &self.descriptor.ttl {
            Some(ttl) if ttl.time == TtlTime::Processing => stamp,
            _ => NEVER,
        }
    }

    fn put_slot(&self, key: KeyRef, out: &mut Vec<u8>) -> Option<i64> {
        let (column, slot) = self.read(key);
        column.put(slot, out).map(|stamp| self.vanishes(stamp))
    }

    fn empty_slot(&mut self, key: KeyRef) {
        let (column, slot) = self.write(key);
        column.empty(slot);
    }

    fn weigh_slot(&self, key: KeyRef) -> usize {
        let (column, slot) = self.read(key);
        column.weigh(slot)
    }
}

/// The states of an operator as what belongs to its keys.
pub(in crate::state) struct Beside<'a> {
    states: &'a mut [RegisteredState],
    counters: Counters,
    /// The timers of the keys that are leaving.
    timers: HashMap<KeyRef, KeyTimers>,
    scratch: Vec<u8>,
}

impl<'a> Beside<'a> {
    pub(super) fn new(states: &'a mut [RegisteredState], counters: Counters) -> Self {
        Self { states, counters, timers: HashMap::new(), scratch: Vec::new() }
    }

    /// Takes what the store has of a key, or what was added to it. Returns how many more things it holds then.
    fn come_up(&mut self, key: KeyRef, from: &[u8]) -> Result<usize, StateError> {
        let mut held = 0;
        for part in Parts(Input(from)) {
            let (number, from) = part?;
            held += match self.states.get_mut(number).ok_or_else(damaged)? {
                RegisteredState::Cells((table, fold)) => table.come_up(key, from, fold)?,
                RegisteredState::Lists(table) => table.come_up(key, from, &Fold::None)?,
                RegisteredState::Maps(table) => table.come_up(key, from, &Fold::None)?,
                RegisteredState::Timers(timers) => timers.come_up(key, from)?,
                RegisteredState::Groups(_) => return Err(damaged()),
            };
        }
        Ok(held)
    }

    /// Takes what states hold for a key, timers aside, out of memory and puts it into `out`. Returns how many states that is.
    pub(super) fn lift(&mut self, key: KeyRef, out: &mut Vec<u8>) -> usize {
        let mut lifted = 0;
        for (number, state) in self.states.iter_mut().enumerate() {
            let put = put_part(out, number, &mut self.scratch, |out| match state {
                RegisteredState::Cells((table, _)) => table.put_slot(key, out),
                RegisteredState::Lists(table) => table.put_slot(key, out),
                RegisteredState::Maps(table) => table.put_slot(key, out),
                RegisteredState::Timers(_) | RegisteredState::Groups(_) => None,
            });
            if put.is_none() {
                continue;
            }
            lifted += 1;
            match state {
                RegisteredState::Cells((table, _)) => table.empty_slot(key),
                RegisteredState::Lists(table) => table.empty_slot(key),
                RegisteredState::Maps(table) => table.empty_slot(key),
                RegisteredState::Timers(_) | RegisteredState::Groups(_) => {}
            }
        }
        lifted
    }
}

impl Payload for Beside<'_> {
    fn leaving(&mut self, groups: &[KeyRef]) {
        for state in &mut *self.states {
            if let RegisteredState::Timers(timers) = state {
                self.timers = timers.leave(groups);
            }
        }
    }

    fn put(&mut self, group: KeyRef, out: &mut Vec<u8>) -> i64 {
        let Self { states, timers, scratch, .. } = self;
        let mut expires_at = i64::MIN;
        for (number, state) in states.iter().enumerate() {
            let put = |out: &mut Vec<u8>| match state {
                RegisteredState::Cells((table, _)) => table.put_slot(group, out),
                RegisteredState::Lists(table) => table.put_slot(group, out),
                RegisteredState::Maps(table) => table.put_slot(group, out),
                RegisteredState::Timers(_) => timers.get(&group).map(|timers| {
                    put_timers(timers, out);
                    NEVER
                }),
                RegisteredState::Groups(_) => None,
            };
            expires_at = expires_at.max(put_part(out, number, scratch, put).unwrap_or(i64::MIN));
        }
        expires_at
    }

    fn reminders(&self, group: KeyRef, note: &mut dyn FnMut(u8, i64)) {
        let Some(timers) = self.timers.get(&group) else { return };
        let mut last = None;
        for (domain, timestamp) in timers {
            // The earliest one of each domain comes first.
            if last.replace(*domain) != Some(*domain) {
                note(*domain as u8, *timestamp);
            }
        }
    }

    fn left(&mut self, groups: &[KeyRef]) {
        self.timers.clear();
        for state in &mut *self.states {
            for group in groups {
                match state {
                    RegisteredState::Cells((table, _)) => table.empty_slot(*group),
                    RegisteredState::Lists(table) => table.empty_slot(*group),
                    RegisteredState::Maps(table) => table.empty_slot(*group),
                    RegisteredState::Timers(_) | RegisteredState::Groups(_) => break,
                }
            }
        }
    }

    fn take(&mut self, group: KeyRef, from: &[u8]) -> Result<u64, StateError> {
        Ok(self.come_up(group, from)? as u64)
    }

    fn extent(&self, words: &[u64]) -> Extent {
        self.counters.extent(words)
    }

    fn unread(&self) -> Option<u64> {
        self.counters.unread.then(|| Held::added(self.counters.epoch, 0, false).0)
    }

    fn complete(&mut self, group: KeyRef, words: &[u64], stored: Option<&[u8]>) -> Result<u64, StateError> {
        let mut added = Vec::new();
        // Timers stay where they are: to set one again changes nothing.
        let lifted = self.lift(group, &mut added);
        if self.extent(words) == Extent::Spent {
            added.clear();
        }
        let before = (self.counters.held(words).count() as usize).saturating_sub(lifted);
        let held = before + self.come_up(group, stored.unwrap_or_default())? + self.come_up(group, &added)?;
        Ok(held as u64)
    }

    fn weigh(&self, group: KeyRef) -> usize {
        let weigh = |state: &RegisteredState| match state {
            RegisteredState::Cells((table, _)) => table.weigh_slot(group),
            RegisteredState::Lists(table) => table.weigh_slot(group),
            RegisteredState::Maps(table) => table.weigh_slot(group),
            RegisteredState::Timers(_) | RegisteredState::Groups(_) => 0,
        };
        self.states.iter().map(weigh).sum()
    }

    fn bytes(&self) -> usize {
        // What snapshots read is copied slot by slot.
        let bytes = |state: &RegisteredState| match state {
            RegisteredState::Cells((table, _)) => table.copied() * COPY_BYTES,
            RegisteredState::Lists(table) => table.copied() * COPY_BYTES,
            RegisteredState::Maps(table) => table.copied() * COPY_BYTES,
            RegisteredState::Timers(timers) => timers.bytes(),
            RegisteredState::Groups(_) => 0,
        };
        self.states.iter().map(bytes).sum()
    }

    fn freeze(&mut self, table: u32) -> Box<dyn FrozenPayload> {
        let part = |state: &mut RegisteredState| -> FrozenPart {
            match state {
                RegisteredState::Cells((cells, _)) => frozen(cells, table),
                RegisteredState::Lists(lists) => frozen(lists, table),
                RegisteredState::Maps(maps) => frozen(maps, table),
                RegisteredState::Timers(timers) => Box::new(FrozenTimers { sets: timers.freeze_group(table), timers: None }),
                RegisteredState::Groups(_) => Box::new(NoPart),
            }
        };
        Box::new(FrozenStates { parts: self.states.iter_mut().map(part).collect(), counters: self.counters, scratch: Vec::new() })
    }
}

/// The states of the keys of one key group at a barrier.
struct FrozenStates {
    parts: Vec<FrozenPart>,
    counters: Counters,
    scratch: Vec<u8>,
}

type FrozenPart = Box<dyn ReadSlot>;

impl FrozenPayload for FrozenStates {
    fn put(&mut self, row: u32, out: &mut Vec<u8>) -> i64 {
        let mut expires_at = i64::MIN;
        for (number, part) in self.parts.iter_mut().enumerate() {
            let put = put_part(out, number, &mut self.scratch, |out| part.put(row, out));
            expires_at = expires_at.max(put.unwrap_or(i64::MIN));
        }
        expires_at
    }

    fn extent(&self, words: &[u64]) -> Extent {
        self.counters.extent(words)
    }
}

/// One state in one key group at a barrier.
trait ReadSlot: Send {
    fn put(&mut self, slot: u32, out: &mut Vec<u8>) -> Option<i64>;
}

struct FrozenColumn<C> {
    column: Arc<C>,
    vanishes: bool,
}

fn frozen<C: Slots>(state: &mut Table<C>, table: u32) -> FrozenPart {
    let vanishes = state.vanishes(0) != NEVER;
    Box::new(FrozenColumn { column: state.freeze_group(table), vanishes })
}

impl<C: Slots> ReadSlot for FrozenColumn<C> {
    fn put(&mut self, slot: u32, out: &mut Vec<u8>) -> Option<i64> {
        let stamp = self.column.put(slot as usize, out)?;
        Some(if self.vanishes { stamp } else { NEVER })
    }
}

struct FrozenTimers {
    sets: Arc<TimerSets>,
    /// By slot, once the first key was asked for.
    timers: Option<HashMap<u32, KeyTimers>>,
}

impl ReadSlot for FrozenTimers {
    fn put(&mut self, slot: u32, out: &mut Vec<u8>) -> Option<i64> {
        let timers = self.timers.get_or_insert_with(|| self.sets.by_slot()).get(&slot)?;
        put_timers(timers, out);
        Some(NEVER)
    }
}

/// A state that belongs to no key.
struct NoPart;

impl ReadSlot for NoPart {
    fn put(&mut self, _slot: u32, _out: &mut Vec<u8>) -> Option<i64> {
        None
    }
}
