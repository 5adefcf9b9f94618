//! The keyed state of one operator in one subtask: its registered states, snapshots of them, and what was restored.

use super::groups::{AccumulatorLayout, GroupLayout, GroupTable, StoredGroups, StoredSource, group_descriptor};
use super::keyed::{Cells, Fold, KeyTable, LastEntries, Lists, Maps, Table, Timers};
use super::rocksdb::{Backend, Flush, SavedState, Store, StoreFiles, StoreSnapshot, Ticket, family_of};
use super::ttl::Times;
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
    restored_stores: Option<(Vec<Arc<StoreFiles>>, Backend)>,
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
    fn descriptor(&self) -> &Arc<StateDescriptor> {
        match self {
            Self::Groups(table) => table.descriptor(),
            Self::Cells((table, _)) => &table.descriptor,
            Self::Lists(table) => &table.descriptor,
            Self::Maps(table) => &table.descriptor,
            Self::Timers(timers) => timers.descriptor(),
        }
    }

    /// The group table, if it is one: the kind of state that a store can hold.
    fn as_groups(&self) -> Option<&GroupTable> {
        match self {
            Self::Groups(table) => Some(table),
            Self::Cells(_) | Self::Lists(_) | Self::Maps(_) | Self::Timers(_) => None,
        }
    }

    fn is_spilled(&self) -> bool {
        self.as_groups().is_some_and(GroupTable::is_spilled)
    }

    fn stored_rows(&self) -> usize {
        self.as_groups().map_or(0, GroupTable::len)
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
        self.restored_stores = Some((stores, backend.clone()));
        self
    }

    /// The groups in memory, of all group tables.
    pub(crate) fn groups_in_memory(&self) -> usize {
        self.states.iter().filter_map(RegisteredState::as_groups).map(GroupTable::resident).sum()
    }

    /// Rows that have expired leave the disk by this time.
    pub(super) fn tell_store(&self, now: WallTime) {
        if let Some(own) = &self.store {
            own.store.set_time(now);
        }
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
        if let Some(OwnStore { backend, store, .. }) = &self.store
            && let Some(charge) = backend.charge()
        {
            table.spill_to(Arc::clone(store), charge);
        }
        if let Some(restored) = restored {
            table.restore(&restored)?;
        }
        self.restore_from_stores(&descriptor, &mut table)?;
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

    /// Adds the rows that restored stores have of the state that is about to be registered.
    fn restore_from_stores(&self, descriptor: &StateDescriptor, table: &mut GroupTable) -> Result<(), StateError> {
        let Some((stores, backend)) = &self.restored_stores else { return Ok(()) };
        for files in stores {
            let Some(saved) = files.states.iter().find(|state| state.descriptor.name == descriptor.name) else { continue };
            fits(&saved.descriptor, descriptor)?;
            for rows in read_store(files, saved, self.key_groups, backend)? {
                table.restore_rows(&rows?, &saved.descriptor)?;
            }
        }
        Ok(())
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

    /// Freezes the states in memory that are `wanted`.
    fn freeze(&mut self, wanted: impl Fn(&RegisteredState) -> bool) -> Vec<StateSnapshot> {
        let frozen = self.keys.as_mut().map(KeyTable::freeze).unwrap_or_default();
        let snapshot = |state: &mut RegisteredState| match state {
            RegisteredState::Groups(table) => table.snapshot(),
            RegisteredState::Cells((table, _)) => table.snapshot(frozen.clone()),
            RegisteredState::Lists(table) => table.snapshot(frozen.clone()),
            RegisteredState::Maps(table) => table.snapshot(frozen.clone()),
            RegisteredState::Timers(timers) => timers.snapshot(frozen.clone()),
        };
        self.states.iter_mut().filter(|state| wanted(state)).map(snapshot).collect()
    }

    /// The synchronous part of a snapshot: takes microseconds, copies no state. What is returned may be read by another thread
    /// while the operator goes on; what it overwrites meanwhile is copied first, one key group at a time.
    pub fn snapshot(&mut self) -> Result<KeyedSnapshot, StateError> {
        self.snapshot_as(SnapshotForm::Canonical)
    }

    /// The same in this form.
    pub fn snapshot_as(&mut self, form: SnapshotForm) -> Result<KeyedSnapshot, StateError> {
        let spilled = self.states.iter().any(RegisteredState::is_spilled);
        let store = self.store.as_ref().filter(|own| match form {
            // What is in memory as a whole is quicker to write from there.
            SnapshotForm::Canonical => spilled,
            SnapshotForm::Native => own.store.is_open() || self.states.iter().any(|state| state.stored_rows() > 0),
        });
        let Some(own) = store else {
            return Ok(KeyedSnapshot { states: self.freeze(|_| true), store: None });
        };
        // One barrier after the other. The one before was written long ago, unless checkpoints overlap.
        let (store, name) = (Arc::clone(&own.store), own.name.clone());
        self.groups_mut().try_for_each(GroupTable::settle)?;
        let parts = self.groups_mut().filter_map(GroupTable::freeze_changes).collect();
        let flush = Flush::new(store, parts);
        self.groups_mut().for_each(|table| table.flushing(&flush));
        let ticket = Ticket::new(flush);
        // States that are not in the store are saved as rows beside it.
        let mut states = self.freeze(|state| !matches!(state, RegisteredState::Groups(_)));
        let tables = self.states.iter().filter_map(RegisteredState::as_groups);
        match form {
            SnapshotForm::Canonical => {
                for table in tables {
                    let descriptor = Arc::clone(table.descriptor());
                    let family = family_of(&descriptor.name);
                    let rows = StoredGroups::new(StoredSource::Image(Arc::clone(&ticket)), &descriptor, family, self.key_groups)?;
                    states.push(StateSnapshot { descriptor, batches: Box::new(rows.unexpired(table.expiry())) });
                }
                Ok(KeyedSnapshot { states, store: None })
            }
            SnapshotForm::Native => {
                let stored = tables.map(|table| (Arc::clone(table.descriptor()), table.len() as u64)).collect();
                let store = StoreSnapshot { states: stored, key_groups: self.key_groups, store: name, ticket };
                Ok(KeyedSnapshot { states, store: Some(store) })
            }
        }
    }
}

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
) -> Result<impl Iterator<Item = Result<RecordBatch, StateError>> + Send + use<>, StateError> {
    let source = StoredSource::Files(Arc::clone(files), backend.clone());
    let range = if state.moved { KeyGroupRange::of_subtask(MaxParallelism::MAX, Parallelism::ONE, 0) } else { range };
    StoredGroups::new(source, &state.descriptor, state.family.clone(), range)
}
