//! What functions do with keyed state: the methods of [`KeyedState`] for one key at a time.

use super::cells::Cells;
use super::keys::{KeyTable, KeyWalk};
use super::lists::Lists;
use super::maps::Maps;
use super::restore::Restoring;
use super::table::Table;
use super::{Fold, KeyRef, MapEntries, StateHandle, TimeDomain, Timers, TimersHandle};
use crate::state::backend::RegisteredState;
use crate::state::ttl::Times;
use crate::state::{KeyedState, RestoredState, StateDescriptor, StateError, StateKind};
use crate::types::{Datum, EventTime, Schema, WallTime};
use arrow::array::ArrayRef;
use std::sync::Arc;

#[cold]
fn unregistered(what: &str) -> StateError {
    StateError::Invariant(format!("this operator has registered no such {what}"))
}

/// Keys that are completed at once before their timers fire.
const COMPLETED_AT_ONCE: usize = 1_024;

/// The keys, and the state behind a handle, if it is of this kind.
macro_rules! state {
    ($self:ident, $handle:expr, $kind:ident, $what:literal) => {
        match ($self.states.get_mut($handle.0), $self.keys.as_mut()) {
            (Some(RegisteredState::$kind(state)), Some(keys)) => (state, keys),
            _ => return Err(unregistered($what)),
        }
    };
}

/// The same where memory must have all of a key.
macro_rules! whole {
    ($self:ident, $key:expr, $handle:expr, $kind:ident, $what:literal) => {{
        $self.whole($key)?;
        state!($self, $handle, $kind, $what)
    }};
}

impl KeyedState {
    /// Registers a value, list, map, reducing or aggregating state and fills it with what was restored for it. All states of an
    /// operator have the same key columns. `fold`: what is done with a value that is added to a reducing or aggregating state.
    /// Errors if the name is taken, or if what was restored does not fit (see [`super::super::compatibility`]).
    pub fn register(&mut self, descriptor: StateDescriptor, fold: Fold) -> Result<StateHandle, StateError> {
        let descriptor = Arc::new(descriptor);
        let folds = matches!(descriptor.kind, StateKind::Reducing | StateKind::Aggregating);
        if folds == matches!(fold, Fold::None) {
            return Err(StateError::Invariant(format!("state {} of kind {:?} with {fold:?}", descriptor.name, descriptor.kind)));
        }
        let restored = self.admit(&descriptor)?;
        self.register_key(&descriptor.key)?;
        let (own, times) = (self.key_groups, self.times);
        let state = match descriptor.kind {
            StateKind::Value | StateKind::Reducing | StateKind::Aggregating => {
                RegisteredState::Cells((Table::<Cells>::new(Arc::clone(&descriptor), own, times), fold))
            }
            StateKind::List => RegisteredState::Lists(Table::<Lists>::new(Arc::clone(&descriptor), own, times)),
            StateKind::Map => RegisteredState::Maps(Table::<Maps>::new(Arc::clone(&descriptor), own, times)),
            StateKind::Groups | StateKind::Timers => {
                return Err(StateError::Invariant(format!(
                    "state {} of kind {:?} is registered otherwise",
                    descriptor.name, descriptor.kind
                )));
            }
        };
        self.states.push(state);
        self.registered();
        self.fill(&descriptor, restored)?;
        Ok(StateHandle(self.states.len() - 1))
    }

    /// Registers the timers of an operator with these key columns and sets those that were restored.
    pub fn register_timers(&mut self, key: &Schema) -> Result<TimersHandle, StateError> {
        let descriptor = Arc::new(StateDescriptor::timers(key));
        let restored = self.admit(&descriptor)?;
        self.register_key(&descriptor.key)?;
        self.states.push(RegisteredState::Timers(Timers::new(Arc::clone(&descriptor), self.key_groups, self.times)));
        self.registered();
        self.fill(&descriptor, restored)?;
        Ok(TimersHandle(self.states.len() - 1))
    }

    fn registered(&mut self) {
        if let Some(keys) = &mut self.keys {
            keys.registered(&self.states);
        }
    }

    /// What memory has of a key becomes all there is.
    #[inline]
    fn whole(&mut self, key: KeyRef) -> Result<(), StateError> {
        match &mut self.keys {
            Some(keys) if keys.has_unread() => keys.whole(key, &mut self.states),
            _ => Ok(()),
        }
    }

    /// Something is about to be added to what a key holds, unless `adds` says that it is not. What the key holds need not be known then,
    /// if the state can put both together later.
    #[inline]
    fn adding(&mut self, state: usize, key: KeyRef, adds: bool) -> Result<(), StateError> {
        match &mut self.keys {
            Some(keys) if keys.has_unread() => {
                if adds && self.states.get(state).is_some_and(RegisteredState::merges) {
                    keys.adding(key, &mut self.states);
                    return Ok(());
                }
                keys.whole(key, &mut self.states)
            }
            _ => Ok(()),
        }
    }

    /// Fills the state that was registered last with what was restored for it.
    fn fill(&mut self, descriptor: &StateDescriptor, restored: Option<RestoredState>) -> Result<(), StateError> {
        let stored = self.stored_rows(descriptor)?;
        let Some(keys) = &mut self.keys else { return Err(unregistered("key")) };
        let mut into = Restoring { states: &mut self.states, keys, own: (self.key_groups, self.max_parallelism) };
        if let Some(RestoredState { descriptor: saved, batches }) = restored {
            for batch in batches {
                into.rows(&batch, saved.ttl.as_ref())?;
            }
        }
        for (saved, batches) in stored {
            for batch in batches {
                into.rows(&batch?, saved.ttl.as_ref())?;
            }
        }
        Ok(())
    }

    fn register_key(&mut self, key: &Schema) -> Result<(), StateError> {
        match &self.keys {
            None => {
                let mut keys = KeyTable::new(key, self.key_groups, self.max_parallelism)?;
                if let Some((store, charge)) = self.store_and_charge() {
                    keys.spill_to(store, charge);
                }
                self.keys = Some(keys);
            }
            Some(keys) if keys.schema() == key => {}
            Some(_) => return Err(StateError::Invariant("the states of an operator have different key columns".to_owned())),
        }
        Ok(())
    }

    fn key_table(&mut self) -> Result<&mut KeyTable, StateError> {
        self.keys.as_mut().ok_or_else(|| unregistered("key"))
    }

    /// Finds the key of each row, or makes it, and writes it into `found` (cleared first). `keys`: the key columns; `hashes`:
    /// their hashes by [`crate::types::hash_keys`]. Ends the validity of what it found before (see [`KeyRef`]).
    /// Errors if a row's key group is not among those of this subtask.
    pub fn keys(&mut self, keys: &[ArrayRef], hashes: &[u64], found: &mut Vec<KeyRef>) -> Result<(), StateError> {
        let table = self.keys.as_mut().ok_or_else(|| unregistered("key"))?;
        table.locate(keys, hashes, found, &mut self.states, false)
    }

    /// Finds or makes one key.
    pub fn key(&mut self, key: &[Datum]) -> Result<KeyRef, StateError> {
        self.keys.as_mut().ok_or_else(|| unregistered("key"))?.locate_one(key, &mut self.states)
    }

    /// Gives keys that were not used for long to the store if there are too many in memory. To be called between batches: no
    /// [`KeyRef`] from before is valid afterwards. Without a store it does nothing.
    pub fn make_room(&mut self) -> Result<(), StateError> {
        self.close_restored();
        match &mut self.keys {
            Some(keys) => keys.make_room(&mut self.states),
            None => Ok(()),
        }
    }

    /// The values of a key's columns.
    pub fn key_of(&mut self, key: KeyRef) -> Result<Vec<Datum>, StateError> {
        self.key_table()?.values(key)
    }

    /// The key columns of `keys`, in that order.
    pub fn key_columns(&mut self, keys: &[KeyRef]) -> Result<Vec<ArrayRef>, StateError> {
        self.key_table()?.columns(keys)
    }

    /// The next ones of all keys that have state or timers, by key group, wherever they lie; some at a time, so that they fit into
    /// memory. False at the end. Ends the validity of all [`KeyRef`]s before, as [`Self::make_room`] does.
    pub fn next_keys(&mut self, walk: &mut KeyWalk, found: &mut Vec<KeyRef>) -> Result<bool, StateError> {
        self.make_room()?;
        self.keys.as_mut().ok_or_else(|| unregistered("key"))?.next(walk, found, &mut self.states)
    }

    /// True if a value, list, map, reducing or aggregating state holds something for a key.
    pub fn holds(&mut self, state: StateHandle, key: KeyRef) -> Result<bool, StateError> {
        match self.states.get(state.0) {
            Some(RegisteredState::Cells(_)) => Ok(self.value(state, key)?.is_some()),
            Some(RegisteredState::Lists(_)) => Ok(!self.list(state, key)?.is_empty()),
            Some(RegisteredState::Maps(_)) => Ok(!self.map_is_empty(state, key)?),
            _ => Err(unregistered("state")),
        }
    }

    /// The number of keys, those in the store included.
    pub fn key_count(&self) -> usize {
        self.keys.as_ref().map_or(0, KeyTable::len)
    }

    /// The times that TTL compares with. Called before each call of an operator; expired entries are looked for, a few at a time.
    pub fn set_time(&mut self, now: WallTime, watermark: EventTime) {
        self.times = Times { now, watermark };
        self.tell_store(now);
        for state in &mut self.states {
            if let RegisteredState::Groups(table) = state {
                table.set_time(self.times);
            }
        }
        let Some(keys) = &mut self.keys else { return };
        for state in &mut self.states {
            match state {
                RegisteredState::Cells((table, _)) => table.set_time(self.times, keys),
                RegisteredState::Lists(table) => table.set_time(self.times, keys),
                RegisteredState::Maps(table) => table.set_time(self.times, keys),
                RegisteredState::Timers(_) | RegisteredState::Groups(_) => {}
            }
        }
    }

    /// The value of a value state.
    #[inline]
    pub fn value(&mut self, state: StateHandle, key: KeyRef) -> Result<Option<&Datum>, StateError> {
        let ((table, _), keys) = whole!(self, key, state, Cells, "value state");
        Ok(table.value(keys, key, &mut self.last_value))
    }

    /// Sets the value of a value state; NULL clears it.
    #[inline]
    pub fn set_value(&mut self, state: StateHandle, key: KeyRef, value: Datum) -> Result<(), StateError> {
        self.adding(state.0, key, !value.is_null())?;
        let ((table, _), keys) = state!(self, state, Cells, "value state");
        table.set(keys, key, value);
        Ok(())
    }

    /// Adds a value to a reducing or aggregating state.
    pub fn add(&mut self, state: StateHandle, key: KeyRef, value: Datum) -> Result<(), StateError> {
        self.adding(state.0, key, true)?;
        let ((table, fold), keys) = state!(self, state, Cells, "reducing or aggregating state");
        table.add(keys, key, value, fold)
    }

    /// What was added to a reducing or aggregating state amounts to; none if nothing was.
    pub fn get(&mut self, state: StateHandle, key: KeyRef) -> Result<Option<Datum>, StateError> {
        let ((table, fold), keys) = whole!(self, key, state, Cells, "reducing or aggregating state");
        let name = Arc::clone(&table.descriptor);
        let Some(accumulator) = table.value(keys, key, &mut self.last_value) else { return Ok(None) };
        let result = fold.result(accumulator);
        result.map(Some).map_err(|message| StateError::Function { state: name.name.clone(), message })
    }

    /// The elements of a list state; none if it is empty.
    pub fn list(&mut self, state: StateHandle, key: KeyRef) -> Result<&[Datum], StateError> {
        let (table, keys) = whole!(self, key, state, Lists, "list state");
        Ok(table.list(keys, key, &mut self.last_elements))
    }

    /// Adds an element at the end of a list state. Errors on NULL.
    pub fn list_add(&mut self, state: StateHandle, key: KeyRef, value: Datum) -> Result<(), StateError> {
        self.adding(state.0, key, true)?;
        let (table, keys) = state!(self, state, Lists, "list state");
        table.push(keys, key, value)
    }

    /// Replaces the elements of a list state. Errors on NULL among them.
    pub fn list_set(&mut self, state: StateHandle, key: KeyRef, values: Vec<Datum>) -> Result<(), StateError> {
        let (table, keys) = whole!(self, key, state, Lists, "list state");
        table.set(keys, key, values)
    }

    /// The value of an entry of a map state, which may be NULL.
    pub fn map_get(&mut self, state: StateHandle, key: KeyRef, entry: &Datum) -> Result<Option<&Datum>, StateError> {
        let (table, keys) = whole!(self, key, state, Maps, "map state");
        Ok(table.get(keys, key, entry, &mut self.last_value))
    }

    /// Sets the value of an entry of a map state. Errors on a NULL key.
    pub fn map_put(&mut self, state: StateHandle, key: KeyRef, entry: Datum, value: Datum) -> Result<(), StateError> {
        self.adding(state.0, key, true)?;
        let (table, keys) = state!(self, state, Maps, "map state");
        table.put(keys, key, entry, value)
    }

    /// Removes an entry of a map state, if there is one.
    pub fn map_remove(&mut self, state: StateHandle, key: KeyRef, entry: &Datum) -> Result<(), StateError> {
        let (table, keys) = whole!(self, key, state, Maps, "map state");
        table.remove(keys, key, entry);
        Ok(())
    }

    /// True if a map state has this entry.
    pub fn map_contains(&mut self, state: StateHandle, key: KeyRef, entry: &Datum) -> Result<bool, StateError> {
        Ok(self.map_get(state, key, entry)?.is_some())
    }

    /// The entries of a map state, sorted by key.
    pub fn map_entries(&mut self, state: StateHandle, key: KeyRef) -> Result<MapEntries<'_>, StateError> {
        let (table, keys) = whole!(self, key, state, Maps, "map state");
        Ok(table.entries(keys, key, &mut self.last_entries))
    }

    /// True if a map state has no entry.
    pub fn map_is_empty(&mut self, state: StateHandle, key: KeyRef) -> Result<bool, StateError> {
        Ok(self.map_entries(state, key)?.next().is_none())
    }

    /// Clears a state of any kind for one key.
    pub fn clear(&mut self, state: StateHandle, key: KeyRef) -> Result<(), StateError> {
        self.whole(key)?;
        match (self.states.get_mut(state.0), self.keys.as_mut()) {
            (Some(RegisteredState::Cells((table, _))), Some(keys)) => table.clear(keys, key),
            (Some(RegisteredState::Lists(table)), Some(keys)) => return table.set(keys, key, Vec::new()),
            (Some(RegisteredState::Maps(table)), Some(keys)) => table.clear(keys, key),
            _ => return Err(unregistered("state")),
        }
        Ok(())
    }

    /// Sets a timer for a key; `timestamp` in milliseconds since 1970. Does nothing if it is set already.
    pub fn register_timer(&mut self, timers: TimersHandle, domain: TimeDomain, key: KeyRef, timestamp: i64) -> Result<(), StateError> {
        self.adding(timers.0, key, true)?;
        let (timers, keys) = state!(self, timers, Timers, "timers");
        timers.register(keys, domain, key, timestamp);
        Ok(())
    }

    /// Takes a timer back. Does nothing if there is none.
    pub fn delete_timer(&mut self, timers: TimersHandle, domain: TimeDomain, key: KeyRef, timestamp: i64) -> Result<(), StateError> {
        let (timers, keys) = whole!(self, key, timers, Timers, "timers");
        timers.delete(keys, domain, key, timestamp);
        Ok(())
    }

    /// Removes the earliest timer of a domain and returns it, if it is at or before `up_to`.
    pub fn next_due(&mut self, timers: TimersHandle, domain: TimeDomain, up_to: i64) -> Result<Option<(i64, KeyRef)>, StateError> {
        self.bring_up(timers, domain, up_to)?;
        let (timers, keys) = state!(self, timers, Timers, "timers");
        Ok(timers.next_due(keys, domain, up_to))
    }

    /// When the earliest timer of a domain is due.
    pub fn next_timer(&mut self, timers: TimersHandle, domain: TimeDomain) -> Result<Option<i64>, StateError> {
        self.bring_up(timers, domain, i64::MAX)?;
        let (timers, _) = state!(self, timers, Timers, "timers");
        Ok(timers.next(domain))
    }

    /// Brings keys up until no timer that is due by `up_to` lies in the store and is earlier than all in memory.
    fn bring_up(&mut self, handle: TimersHandle, domain: TimeDomain, up_to: i64) -> Result<(), StateError> {
        loop {
            let (timers, keys) = state!(self, handle, Timers, "timers");
            // Of timers with the same timestamp those in memory come first: many keys may have the same, more than memory holds.
            let earlier = timers.next(domain).filter(|first| *first <= up_to).map_or(up_to, |first| first.saturating_sub(1));
            if keys.bring_up(domain, earlier, &mut self.states)? {
                continue;
            }
            let (timers, keys) = state!(self, handle, Timers, "timers");
            if !keys.has_unread() || timers.first_key(domain, up_to).is_none_or(|key| !keys.is_unread(key)) {
                return Ok(());
            }
            // Whoever's timer fires will be asked for; and other timers of theirs may be earlier.
            let due = timers.due_keys(domain, up_to, COMPLETED_AT_ONCE, |key| keys.is_unread(key));
            keys.complete(due, &mut self.states)?;
        }
    }

    /// The first moment at which a processing-time timer may be to fire: as in Flink, when the millisecond that it was set for is over. It
    /// is never too late; it may be too early where a key with timers lies in the store.
    pub fn next_processing_time(&self) -> Option<WallTime> {
        let next = |state: &RegisteredState| match state {
            RegisteredState::Timers(timers) => timers.next(TimeDomain::ProcessingTime),
            _ => None,
        };
        let in_store = self.keys.as_ref().and_then(|keys| keys.next_reminder(TimeDomain::ProcessingTime));
        let next = self.states.iter().filter_map(next).chain(in_store).min();
        next.map(|timestamp| WallTime(timestamp.saturating_add(1)))
    }
}
