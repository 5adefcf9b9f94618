//! The keyed state of one operator in one subtask: its registered states, snapshots of them, and what was restored.

use super::groups::NoPayload;
use super::groups::{AccumulatorLayout, GroupLayout, GroupTable, StoredGroups, StoredSource, group_descriptor};
use super::keyed::{Cells, Fold, KeyTable, LastEntries, Lists, Maps, Table, Timers, stored_batches};
use super::rocksdb::{
    Backend, Charge, Flush, KEYS, SavedState, Store, StoreFiles, StoreReader, StoreSnapshot, StoredState, Ticket, family_of,
};
use super::ttl::{Expiry, Times};
use super::{Compatibility, StateDescriptor, StateError, StateTtl, compatibility};
use crate::types::{Datum, EventTime, KeyGroupRange, MaxParallelism, Parallelism, Schema, WallTime};
use arrow::array::RecordBatch;
use std::fmt;
use std::sync::Arc;

/// The keyed state of one operator in one subtask. Owned by the task; no locks.
#[derive(Debug)]
pub struct KeyedState {
    pub(super) key_groups: KeyGroupRange,
    pub(super) max_parallelism: MaxParallelism,
    restored: Vec<RestoredState>,
    /// What was restored in the form of stores, and where their files may be unpacked.
    restored_stores: Option<(Vec<RestoredStore>, Backend)>,
    store: Option<OwnStore>,
    pub(super) states: Vec<RegisteredState>,
    /// The keys of all states but group tables, once one is registered.
    pub(super) keys: Option<KeyTable>,
    pub(super) times: Times,
    /// What was read of a state at last after it had expired: it may be seen once more.
    pub(super) last_value: Datum,
    pub(super) last_elements: Vec<Datum>,
    pub(super) last_entries: LastEntries,
}

/// A store that is restored from.
#[derive(Debug)]
struct RestoredStore {
    files: Arc<StoreFiles>,
    /// Open once a state was read that shares its rows with others, which are to come.
    reader: Option<Arc<StoreReader>>,
}

/// The store behind the states, with the `rocksdb` backend.
#[derive(Debug)]
struct OwnStore {
    backend: Backend,
    store: Arc<Store>,
    /// Tells its files apart from those of all other stores of the job.
    name: String,
}

/// In which form a snapshot is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnapshotForm {
    /// As rows, whatever the backend: for savepoints.
    Canonical,
    /// As the files of the backend's store, if it has one: for checkpoints.
    Native,
}

/// A state that an operator registered, by kind.
#[derive(Debug)]
pub(super) enum RegisteredState {
    Groups(GroupTable),
    /// Value, reducing and aggregating state.
    Cells((Table<Cells>, Fold)),
    Lists(Table<Lists>),
    Maps(Table<Maps>),
    Timers(Timers),
}

impl RegisteredState {
    pub(super) fn descriptor(&self) -> &Arc<StateDescriptor> {
        match self {
            Self::Groups(table) => table.descriptor(),
            Self::Cells((table, _)) => &table.descriptor,
            Self::Lists(table) => &table.descriptor,
            Self::Maps(table) => &table.descriptor,
            Self::Timers(timers) => timers.descriptor(),
        }
    }

    /// True if some of its groups are not in memory.
    fn is_spilled(&self) -> bool {
        if let Self::Groups(table) = self { table.is_spilled() } else { false }
    }

    /// True if what is added to it can be put together with what it was later.
    pub(super) fn merges(&self) -> bool {
        match self {
            Self::Cells((table, fold)) => table.descriptor.ttl.is_none() && fold.merges(),
            Self::Lists(table) => table.descriptor.ttl.is_none(),
            Self::Maps(table) => table.descriptor.ttl.is_none(),
            Self::Timers(_) => true,
            Self::Groups(_) => false,
        }
    }

    /// The built-in function that puts its values together, to be saved with them.
    fn fold(&self) -> Option<&'static str> {
        if let Self::Cells((_, fold)) = self { fold.name() } else { None }
    }

    /// Rows that a snapshot of it has; at most so many where entries expire.
    fn rows(&self) -> usize {
        match self {
            Self::Groups(table) => table.len(),
            Self::Cells((table, _)) => table.entry_count(),
            Self::Lists(table) => table.entry_count(),
            Self::Maps(table) => table.entry_count(),
            Self::Timers(timers) => timers.entry_count(),
        }
    }

    /// What has expired in it now.
    fn expiry(&self) -> Option<Expiry> {
        match self {
            Self::Cells((table, _)) => table.expiry(),
            Self::Lists(table) => table.expiry(),
            Self::Maps(table) => table.expiry(),
            Self::Groups(_) | Self::Timers(_) => None,
        }
    }
}

/// A registered group table of a [`KeyedState`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupsHandle(usize);

/// One state as it was saved: the rows of this subtask's key groups (and possibly others, which are skipped).
#[derive(Debug, Clone)]
pub struct RestoredState {
    /// What was saved.
    pub descriptor: Arc<StateDescriptor>,
    /// Its rows, with the columns of [`StateDescriptor::columns`].
    pub batches: Vec<RecordBatch>,
}

/// All states of one operator in one subtask at one barrier. Cheap to make; sent to where it is written.
#[derive(Debug, Default)]
pub struct KeyedSnapshot {
    /// The registered states as rows, but for those in `store`.
    pub states: Vec<StateSnapshot>,
    /// States in the form of the backend's store.
    pub store: Option<StoreSnapshot>,
}

/// One state at one barrier.
pub struct StateSnapshot {
    /// What it is.
    pub descriptor: Arc<StateDescriptor>,
    /// Its rows with the columns of [`StateDescriptor::columns`], sorted by key group, made as they are asked for.
    pub batches: Box<dyn Iterator<Item = Result<RecordBatch, StateError>> + Send>,
}

impl fmt::Debug for StateSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StateSnapshot").field("descriptor", &self.descriptor).finish_non_exhaustive()
    }
}

impl KeyedState {
    /// The state of a subtask that owns `key_groups`, with what was restored for the operator (empty on a fresh start).
    pub fn new(key_groups: KeyGroupRange, max_parallelism: MaxParallelism, restored: Vec<RestoredState>) -> Self {
        Self {
            key_groups,
            max_parallelism,
            restored,
            restored_stores: None,
            store: None,
            states: Vec::new(),
            keys: None,
            times: Times { now: WallTime(0), watermark: EventTime::MIN },
            last_value: Datum::Null,
            last_elements: Vec::new(),
            last_entries: LastEntries::default(),
        }
    }

    /// The same on `backend`. `name` tells this store apart from all others that the job has or had.
    #[must_use]
    pub fn on(mut self, backend: &Backend, name: &str) -> Self {
        self.store = backend.is_rocksdb().then(|| {
            let store = Arc::new(Store::new(backend, name));
            OwnStore { backend: backend.clone(), store, name: name.to_owned() }
        });
        self
    }

    /// The same with what was restored in the form of stores. Their files are unpacked in the working directory of `backend`.
    #[must_use]
    pub fn restored_from(mut self, stores: Vec<Arc<StoreFiles>>, backend: &Backend) -> Self {
        let stores = stores.into_iter().map(|files| RestoredStore { files, reader: None }).collect();
        self.restored_stores = Some((stores, backend.clone()));
        self
    }

    /// The groups in memory, of all group tables.
    pub(crate) fn groups_in_memory(&self) -> usize {
        self.states.iter().map(|state| if let RegisteredState::Groups(table) = state { table.resident() } else { 0 }).sum()
    }

    /// The key groups of this subtask.
    pub fn key_groups(&self) -> KeyGroupRange {
        self.key_groups
    }

    /// The number of all key groups.
    pub fn max_parallelism(&self) -> MaxParallelism {
        self.max_parallelism
    }

    /// The states that were registered.
    pub fn descriptors(&self) -> Vec<StateDescriptor> {
        self.states.iter().map(|state| StateDescriptor::clone(state.descriptor())).collect()
    }

    /// Takes what was restored for the state called `name`.
    pub fn take_restored(&mut self, name: &str) -> Option<RestoredState> {
        let at = self.restored.iter().position(|r| r.descriptor.name == name)?;
        Some(self.restored.swap_remove(at))
    }

    /// Registers a group table called `name` with these key columns and accumulators, and fills it with what was restored for
    /// it. Errors if the name is taken, or if what was restored does not fit (see [`compatibility`]).
    pub fn register_groups(&mut self, name: &str, key: &Schema, accumulators: Vec<AccumulatorLayout>) -> Result<GroupsHandle, StateError> {
        self.register_expiring_groups(name, key, accumulators, None)
    }

    /// The same for groups that live for `ttl` after their last row: see [`GroupTable::renew`] and [`GroupTable::sweep`].
    pub fn register_expiring_groups(
        &mut self,
        name: &str,
        key: &Schema,
        accumulators: Vec<AccumulatorLayout>,
        ttl: Option<StateTtl>,
    ) -> Result<GroupsHandle, StateError> {
        let descriptor = Arc::new(group_descriptor(name, key, &accumulators).with_ttl(ttl));
        let layout = Arc::new(GroupLayout::with_expiry(key, accumulators, ttl.is_some())?);
        let restored = self.admit(&descriptor)?;
        let mut table = GroupTable::new(Arc::clone(&descriptor), layout, self.key_groups, self.max_parallelism)?;
        if let Some((store, charge)) = self.store_and_charge() {
            table.spill_to(store, charge, family_of(&descriptor.name), false);
        }
        if let Some(restored) = restored {
            table.restore(&restored)?;
        }
        for (saved, batches) in self.stored_rows(&descriptor)? {
            for rows in batches {
                table.restore_rows(&rows?, &saved)?;
            }
        }
        self.states.push(RegisteredState::Groups(table));
        Ok(GroupsHandle(self.states.len() - 1))
    }

    /// The group table that was registered under `handle`. Errors on a handle of another operator.
    pub fn groups(&mut self, handle: GroupsHandle) -> Result<&mut GroupTable, StateError> {
        match self.states.get_mut(handle.0) {
            Some(RegisteredState::Groups(table)) => Ok(table),
            _ => Err(StateError::Invariant("this operator has registered no such group table".to_owned())),
        }
    }

    /// The store behind the states, and the account of a new table in front of it.
    pub(super) fn store_and_charge(&self) -> Option<(Arc<Store>, Charge)> {
        let OwnStore { backend, store, .. } = self.store.as_ref()?;
        Some((Arc::clone(store), backend.charge()?))
    }

    /// How many keys were looked up in the store.
    #[cfg(test)]
    pub(super) fn store_reads(&self) -> u64 {
        self.store.as_ref().map_or(0, |own| own.store.reads())
    }

    /// Compacts the store: what has expired there goes.
    #[cfg(test)]
    pub(super) fn compact(&self) {
        if let Some(own) = self.store.as_ref().filter(|own| own.store.is_open()) {
            own.store.compact(KEYS).unwrap();
        }
    }

    /// Tells the store what the time is by which its rows expire.
    pub(super) fn tell_store(&self, now: WallTime) {
        if let Some(own) = &self.store {
            own.store.set_time(now);
        }
    }

    /// The rows that restored stores have of a state, with what was saved.
    pub(super) fn stored_rows(&mut self, descriptor: &StateDescriptor) -> Result<Vec<(Arc<StateDescriptor>, SavedRows)>, StateError> {
        let Some((stores, backend)) = &mut self.restored_stores else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for RestoredStore { files, reader } in stores {
            let Some(saved) = files.states.iter().find(|state| state.descriptor.name == descriptor.name) else { continue };
            fits(&saved.descriptor, descriptor)?;
            let source = match (saved.part, &reader) {
                (None, _) => StoredSource::Files(Arc::clone(files), backend.clone()),
                (Some(_), Some(reader)) => StoredSource::Reader(Arc::clone(reader)),
                (Some(_), None) => StoredSource::Reader(Arc::clone(reader.insert(Arc::new(StoreReader::of_files(files, backend)?)))),
            };
            found.push((Arc::clone(&saved.descriptor), rows_of(source, saved, self.key_groups)?));
        }
        Ok(found)
    }

    /// All states are there: the stores that they were restored from are not needed any more.
    pub(super) fn close_restored(&mut self) {
        self.restored_stores = None;
    }

    /// What was restored for a state that is about to be registered.
    pub(super) fn admit(&mut self, descriptor: &StateDescriptor) -> Result<Option<RestoredState>, StateError> {
        let name = &descriptor.name;
        if self.states.iter().any(|state| state.descriptor().name == *name) {
            return Err(StateError::Invariant(format!("state {name} is registered twice")));
        }
        let Some(restored) = self.take_restored(name) else { return Ok(None) };
        fits(&restored.descriptor, descriptor)?;
        Ok(Some(restored))
    }

    fn groups_mut(&mut self) -> impl Iterator<Item = &mut GroupTable> {
        self.states.iter_mut().filter_map(|state| match state {
            RegisteredState::Groups(table) => Some(table),
            RegisteredState::Cells(_) | RegisteredState::Lists(_) | RegisteredState::Maps(_) | RegisteredState::Timers(_) => None,
        })
    }

    /// Freezes all states, which are in memory as a whole.
    fn freeze(&mut self) -> Vec<StateSnapshot> {
        let frozen = self.keys.as_mut().map(KeyTable::freeze).unwrap_or_default();
        let snapshot = |state: &mut RegisteredState| match state {
            RegisteredState::Groups(table) => table.snapshot(),
            RegisteredState::Cells((table, _)) => table.snapshot(frozen.clone()),
            RegisteredState::Lists(table) => table.snapshot(frozen.clone()),
            RegisteredState::Maps(table) => table.snapshot(frozen.clone()),
            RegisteredState::Timers(timers) => timers.snapshot(frozen.clone()),
        };
        self.states.iter_mut().map(snapshot).collect()
    }

    /// The synchronous part of a snapshot: takes microseconds, copies no state. What is returned may be read by another thread
    /// while the operator goes on; what it overwrites meanwhile is copied first: groups page by page, the states of functions one key group at a time.
    pub fn snapshot(&mut self) -> Result<KeyedSnapshot, StateError> {
        self.snapshot_as(SnapshotForm::Canonical)
    }

    /// The same in this form.
    pub fn snapshot_as(&mut self, form: SnapshotForm) -> Result<KeyedSnapshot, StateError> {
        let spilled = self.states.iter().any(RegisteredState::is_spilled) || self.keys.as_ref().is_some_and(KeyTable::is_spilled);
        let store = self.store.as_ref().filter(|own| match form {
            // What is in memory as a whole is quicker to write from there.
            SnapshotForm::Canonical => spilled,
            SnapshotForm::Native => own.store.is_open() || self.states.iter().any(|state| state.rows() > 0),
        });
        let Some(own) = store else {
            return Ok(KeyedSnapshot { states: self.freeze(), store: None });
        };
        let (store, name) = (Arc::clone(&own.store), own.name.clone());
        let ticket = self.flush_to(store)?;
        match form {
            SnapshotForm::Canonical => {
                let states = self.states.iter().enumerate().map(|(number, state)| self.of_image(number, state, &ticket));
                Ok(KeyedSnapshot { states: states.collect::<Result<_, _>>()?, store: None })
            }
            SnapshotForm::Native => {
                let has_unread = self.keys.as_ref().is_some_and(KeyTable::has_unread);
                let stored = |(number, state): (usize, &RegisteredState)| {
                    let descriptor = Arc::clone(state.descriptor());
                    let (family, part) = match state {
                        RegisteredState::Groups(_) => (family_of(&descriptor.name), None),
                        _ => (KEYS.to_owned(), Some(number)),
                    };
                    let at_most = descriptor.ttl.is_some() || part.is_some() && has_unread;
                    StoredState { descriptor, rows: state.rows() as u64, at_most, family, part, fold: state.fold().map(str::to_owned) }
                };
                let states = self.states.iter().enumerate().map(stored).collect();
                let store = StoreSnapshot { states, key_groups: self.key_groups, store: name, ticket };
                Ok(KeyedSnapshot { states: Vec::new(), store: Some(store) })
            }
        }
    }

    /// Freezes all that changed since the last barrier, to be written to the store.
    fn flush_to(&mut self, store: Arc<Store>) -> Result<Arc<Ticket>, StateError> {
        // One barrier after the other. The one before was written long ago, unless checkpoints overlap.
        self.groups_mut().try_for_each(GroupTable::settle)?;
        let mut parts: Vec<_> = self.groups_mut().filter_map(|table| table.freeze_changes(&mut NoPayload)).collect();
        if let Some(keys) = &mut self.keys {
            keys.settle()?;
            parts.extend(keys.freeze_changes(&mut self.states));
        }
        let flush = Flush::new(store, parts);
        self.groups_mut().for_each(|table| table.flushing(&flush));
        if let Some(keys) = &mut self.keys {
            keys.flushing(&flush);
        }
        Ok(Ticket::new(flush))
    }

    /// The rows of a state as the store has them at a barrier.
    fn of_image(&self, number: usize, state: &RegisteredState, ticket: &Arc<Ticket>) -> Result<StateSnapshot, StateError> {
        let descriptor = Arc::clone(state.descriptor());
        let source = StoredSource::Image(Arc::clone(ticket));
        let batches: SavedRows = if let RegisteredState::Groups(table) = state {
            let rows = StoredGroups::new(source, &descriptor, family_of(&descriptor.name), self.key_groups)?;
            Box::new(rows.unexpired(table.expiry()))
        } else {
            let fold = if let RegisteredState::Cells((_, fold)) = state { fold.clone() } else { Fold::None };
            stored_batches(source, &descriptor, (number, fold), self.key_groups, state.expiry())?
        };
        Ok(StateSnapshot { descriptor, batches })
    }
}

/// Rows of a state as record batches with the columns of its descriptor.
pub(super) type SavedRows = Box<dyn Iterator<Item = Result<RecordBatch, StateError>> + Send>;

/// Errors if what was saved cannot become what is registered.
fn fits(saved: &StateDescriptor, now: &StateDescriptor) -> Result<(), StateError> {
    match compatibility(saved, now) {
        Compatibility::Same | Compatibility::Evolves(_) => Ok(()),
        Compatibility::Incompatible(message) => Err(StateError::Incompatible { state: now.name.clone(), message }),
    }
}

/// The rows that a saved store has of `range` of one of its states, with the columns of that state's descriptor; of a state whose rows
/// moved to other key groups all rows. Its files are unpacked in the working directory of `backend` when the first rows are asked for.
pub fn read_store(
    files: &Arc<StoreFiles>,
    state: &SavedState,
    range: KeyGroupRange,
    backend: &Backend,
) -> Result<Box<dyn Iterator<Item = Result<RecordBatch, StateError>> + Send>, StateError> {
    rows_of(StoredSource::Files(Arc::clone(files), backend.clone()), state, range)
}

fn rows_of(source: StoredSource, state: &SavedState, range: KeyGroupRange) -> Result<SavedRows, StateError> {
    let range = if state.moved { KeyGroupRange::of_subtask(MaxParallelism::MAX, Parallelism::ONE, 0) } else { range };
    match state.part {
        None => Ok(Box::new(StoredGroups::new(source, &state.descriptor, state.family.clone(), range)?)),
        Some(number) => {
            // Without a name, what a function of the program makes of its values.
            let fold = Fold::of_saved(&state.descriptor, state.fold.as_deref()).unwrap_or_else(Fold::unknown);
            stored_batches(source, &state.descriptor, (number, fold), range, None)
        }
    }
}
