//! What functions do with keyed state: the methods of [`KeyedState`] for one key at a time.

use super::cells::Cells;
use super::keys::KeyTable;
use super::lists::Lists;
use super::maps::Maps;
use super::table::Table;
use super::{Fold, KeyRef, MapEntries, StateHandle, TimeDomain, Timers, TimersHandle, restore};
use crate::state::backend::RegisteredState;
use crate::state::ttl::Times;
use crate::state::{KeyedState, StateDescriptor, StateError, StateKind};
use crate::types::{Datum, EventTime, Schema, WallTime};
use arrow::array::ArrayRef;
use std::sync::Arc;

#[cold]
fn unregistered(what: &str) -> StateError {
    StateError::Invariant(format!("this operator has registered no such {what}"))
}

/// The keys, and the state behind a handle, if it is of this kind.
macro_rules! state {
    ($self:ident, $handle:expr, $kind:ident, $what:literal) => {
        match ($self.states.get_mut($handle.0), $self.keys.as_mut()) {
            (Some(RegisteredState::$kind(state)), Some(keys)) => (state, keys),
            _ => return Err(unregistered($what)),
        }
    };
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
        let (own, times) = ((self.key_groups, self.max_parallelism), self.times);
        let Some(keys) = &mut self.keys else { return Err(unregistered("key")) };
        macro_rules! restored {
            ($table:expr) => {{
                let mut table = $table;
                if let Some(saved) = &restored {
                    restore(&mut table, keys, saved, &descriptor, own)?;
                }
                table
            }};
        }
        let state = match descriptor.kind {
            StateKind::Value | StateKind::Reducing | StateKind::Aggregating => {
                RegisteredState::Cells((restored!(Table::<Cells>::new(Arc::clone(&descriptor), own.0, times)), fold))
            }
            StateKind::List => RegisteredState::Lists(restored!(Table::<Lists>::new(Arc::clone(&descriptor), own.0, times))),
            StateKind::Map => RegisteredState::Maps(restored!(Table::<Maps>::new(Arc::clone(&descriptor), own.0, times))),
            StateKind::Groups | StateKind::Timers => {
                return Err(StateError::Invariant(format!(
                    "state {} of kind {:?} is registered otherwise",
                    descriptor.name, descriptor.kind
                )));
            }
        };
        self.states.push(state);
        Ok(StateHandle(self.states.len() - 1))
    }

    /// Registers the timers of an operator with these key columns and sets those that were restored.
    pub fn register_timers(&mut self, key: &Schema) -> Result<TimersHandle, StateError> {
        let descriptor = Arc::new(StateDescriptor::timers(key));
        let restored = self.admit(&descriptor)?;
        self.register_key(&descriptor.key)?;
        let Some(keys) = &mut self.keys else { return Err(unregistered("key")) };
        let mut timers = Timers::new(Arc::clone(&descriptor), self.key_groups, self.times);
        if let Some(saved) = &restored {
            restore(&mut timers, keys, saved, &descriptor, (self.key_groups, self.max_parallelism))?;
        }
        self.states.push(RegisteredState::Timers(timers));
        Ok(TimersHandle(self.states.len() - 1))
    }

    fn register_key(&mut self, key: &Schema) -> Result<(), StateError> {
        match &self.keys {
            None => self.keys = Some(KeyTable::new(key, self.key_groups, self.max_parallelism)?),
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
        self.key_table()?.locate(keys, hashes, found)
    }

    /// Finds or makes one key.
    pub fn key(&mut self, key: &[Datum]) -> Result<KeyRef, StateError> {
        self.key_table()?.locate_one(key)
    }

    /// The values of a key's columns.
    pub fn key_of(&mut self, key: KeyRef) -> Result<Vec<Datum>, StateError> {
        self.key_table()?.values(key)
    }

    /// The key columns of `keys`, in that order.
    pub fn key_columns(&mut self, keys: &[KeyRef]) -> Result<Vec<ArrayRef>, StateError> {
        self.key_table()?.columns(keys)
    }

    /// All keys that have state or timers, by key group.
    pub fn all_keys(&mut self) -> Result<Vec<KeyRef>, StateError> {
        Ok(self.key_table()?.all())
    }

    /// The number of keys in memory.
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
        let ((table, _), keys) = state!(self, state, Cells, "value state");
        Ok(table.value(keys, key, &mut self.last_value))
    }

    /// Sets the value of a value state; NULL clears it.
    #[inline]
    pub fn set_value(&mut self, state: StateHandle, key: KeyRef, value: Datum) -> Result<(), StateError> {
        let ((table, _), keys) = state!(self, state, Cells, "value state");
        table.set(keys, key, value);
        Ok(())
    }

    /// Adds a value to a reducing or aggregating state.
    pub fn add(&mut self, state: StateHandle, key: KeyRef, value: Datum) -> Result<(), StateError> {
        let ((table, fold), keys) = state!(self, state, Cells, "reducing or aggregating state");
        table.add(keys, key, value, fold)
    }

    /// What was added to a reducing or aggregating state amounts to; none if nothing was.
    pub fn get(&mut self, state: StateHandle, key: KeyRef) -> Result<Option<Datum>, StateError> {
        let ((table, fold), keys) = state!(self, state, Cells, "reducing or aggregating state");
        let name = Arc::clone(&table.descriptor);
        let Some(accumulator) = table.value(keys, key, &mut self.last_value) else { return Ok(None) };
        let result = fold.result(accumulator);
        result.map(Some).map_err(|message| StateError::Function { state: name.name.clone(), message })
    }

    /// The elements of a list state; none if it is empty.
    pub fn list(&mut self, state: StateHandle, key: KeyRef) -> Result<&[Datum], StateError> {
        let (table, keys) = state!(self, state, Lists, "list state");
        Ok(table.list(keys, key, &mut self.last_elements))
    }

    /// Adds an element at the end of a list state. Errors on NULL.
    pub fn list_add(&mut self, state: StateHandle, key: KeyRef, value: Datum) -> Result<(), StateError> {
        let (table, keys) = state!(self, state, Lists, "list state");
        table.push(keys, key, value)
    }

    /// Replaces the elements of a list state. Errors on NULL among them.
    pub fn list_set(&mut self, state: StateHandle, key: KeyRef, values: Vec<Datum>) -> Result<(), StateError> {
        let (table, keys) = state!(self, state, Lists, "list state");
        table.set(keys, key, values)
    }

    /// The value of an entry of a map state, which may be NULL.
    pub fn map_get(&mut self, state: StateHandle, key: KeyRef, entry: &Datum) -> Result<Option<&Datum>, StateError> {
        let (table, keys) = state!(self, state, Maps, "map state");
        Ok(table.get(keys, key, entry, &mut self.last_value))
    }

    /// Sets the value of an entry of a map state. Errors on a NULL key.
    pub fn map_put(&mut self, state: StateHandle, key: KeyRef, entry: Datum, value: Datum) -> Result<(), StateError> {
        let (table, keys) = state!(self, state, Maps, "map state");
        table.put(keys, key, entry, value)
    }

    /// Removes an entry of a map state, if there is one.
    pub fn map_remove(&mut self, state: StateHandle, key: KeyRef, entry: &Datum) -> Result<(), StateError> {
        let (table, keys) = state!(self, state, Maps, "map state");
        table.remove(keys, key, entry);
        Ok(())
    }

    /// True if a map state has this entry.
    pub fn map_contains(&mut self, state: StateHandle, key: KeyRef, entry: &Datum) -> Result<bool, StateError> {
        Ok(self.map_get(state, key, entry)?.is_some())
    }

    /// The entries of a map state, sorted by key.
    pub fn map_entries(&mut self, state: StateHandle, key: KeyRef) -> Result<MapEntries<'_>, StateError> {
        let (table, keys) = state!(self, state, Maps, "map state");
        Ok(table.entries(keys, key, &mut self.last_entries))
    }

    /// True if a map state has no entry.
    pub fn map_is_empty(&mut self, state: StateHandle, key: KeyRef) -> Result<bool, StateError> {
        Ok(self.map_entries(state, key)?.next().is_none())
    }

    /// Clears a state of any kind for one key.
    pub fn clear(&mut self, state: StateHandle, key: KeyRef) -> Result<(), StateError> {
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
        let (timers, keys) = state!(self, timers, Timers, "timers");
        timers.register(keys, domain, key, timestamp);
        Ok(())
    }

    /// Takes a timer back. Does nothing if there is none.
    pub fn delete_timer(&mut self, timers: TimersHandle, domain: TimeDomain, key: KeyRef, timestamp: i64) -> Result<(), StateError> {
        let (timers, keys) = state!(self, timers, Timers, "timers");
        timers.delete(keys, domain, key, timestamp);
        Ok(())
    }

    /// Removes the earliest timer of a domain and returns it, if it is at or before `up_to`.
    pub fn next_due(&mut self, timers: TimersHandle, domain: TimeDomain, up_to: i64) -> Result<Option<(i64, KeyRef)>, StateError> {
        let (timers, keys) = state!(self, timers, Timers, "timers");
        Ok(timers.next_due(keys, domain, up_to))
    }

    /// When the earliest timer of a domain is due.
    pub fn next_timer(&mut self, timers: TimersHandle, domain: TimeDomain) -> Result<Option<i64>, StateError> {
        let (timers, _) = state!(self, timers, Timers, "timers");
        Ok(timers.next(domain))
    }

    /// The first moment at which a processing-time timer is to fire: as in Flink, when the millisecond that it was set for is over.
    pub fn next_processing_time(&self) -> Option<WallTime> {
        let next = |state: &RegisteredState| match state {
            RegisteredState::Timers(timers) => timers.next(TimeDomain::ProcessingTime),
            _ => None,
        };
        self.states.iter().filter_map(next).min().map(|timestamp| WallTime(timestamp.saturating_add(1)))
    }
}
