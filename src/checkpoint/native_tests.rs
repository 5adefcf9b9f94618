//! Checkpoints in the form of the store, on a real disk: small after small changes, whole when others go, refused when damaged.

use super::exclusive::{clear_beside_others, sweep_beside_others};
use super::{
    CompletedCheckpoint, JobEntry, Manifest, ManifestHeader, OpenCheckpoint, OperatorHeader, Sharing, SnapshotKind, SnapshotTarget,
    SubtaskSnapshot, complete, create_checkpoint_directory, create_savepoint_directory, delete_checkpoint, dispose_savepoint,
    open_directory, shared_names, sweep_shared, write_subtask,
};
use crate::state::{
    AccumulatorField, AccumulatorLayout, Backend, BackendSettings, GroupsHandle, KeyedState, RocksSettings, SnapshotForm, Storage as Kept,
};
use crate::storage::{LocalStorage, Storage};
use crate::types::{
    ByteSize, CheckpointId, Column, JobId, KeyGroupRange, LogicalType, MaxParallelism, OperatorUid, Parallelism, Schema, TypeKind,
    WallTime, hash_keys, key_group_of,
};
use arrow::array::{ArrayRef, Int64Array};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

pub(super) const KEYS: i64 = 20_000;

pub(super) fn uid() -> OperatorUid {
    OperatorUid::new("totals/group-aggregate-1")
}

pub(super) fn max_parallelism() -> MaxParallelism {
    MaxParallelism::new(128).unwrap()
}

fn job() -> JobId {
    JobId::from_u128(7)
}

/// A disk with checkpoints on it, and the backend of a job.
pub(super) struct Place {
    backend: Backend,
    pub(super) storage: Arc<dyn Storage>,
    directory: TempDir,
}

/// One subtask that sums one value a key.
pub(super) struct Subtask {
    state: KeyedState,
    groups: GroupsHandle,
    own: KeyGroupRange,
    index: usize,
}

impl Place {
    pub(super) fn new() -> Self {
        Self::with_memory(ByteSize(256 << 10))
    }

    pub(super) fn with_memory(memory: ByteSize) -> Self {
        let directory = TempDir::new().unwrap();
        let settings = RocksSettings { memory, ..RocksSettings::default() };
        let backend = Backend::new(&BackendSettings::RocksDb(Box::new(settings)), directory.path().join("local").join(job().to_string()));
        Self { backend, storage: LocalStorage::shared(), directory }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(super) fn job_directory(&self) -> PathBuf {
        self.path("checkpoints").join(job().to_string())
    }

    fn shared(&self) -> BTreeSet<String> {
        let names = fs::read_dir(self.job_directory().join("shared")).unwrap();
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    pub(super) fn subtask(&self, (index, parallelism): (usize, usize), restore: Option<&OpenCheckpoint>) -> Subtask {
        let own = KeyGroupRange::of_subtask(max_parallelism(), Parallelism::new(parallelism).unwrap(), index);
        let rows = restore.map_or_else(Vec::new, |open| open.keyed_state(&uid(), own).unwrap());
        let stores = restore.map_or_else(Vec::new, |open| open.stores(&uid(), own));
        let state = KeyedState::new(own, max_parallelism(), rows);
        let mut state = state.restored_from(stores, &self.backend).on(&self.backend, "0");
        let key = Schema::new(vec![Column { name: "k".to_owned(), data_type: LogicalType::nullable(TypeKind::BigInt) }]);
        let field = AccumulatorField { name: "sum", data_type: LogicalType::not_null(TypeKind::BigInt), storage: Kept::Fixed };
        let sum = AccumulatorLayout { name: "SUM(v)".to_owned(), fields: vec![field] };
        let groups = state.register_groups("groups", &key, vec![sum]).unwrap();
        Subtask { state, groups, own, index }
    }

    /// Checkpoint `id` of these subtasks; the bytes that were written for it.
    pub(super) fn checkpoint(&self, id: u64, subtasks: &mut [Subtask], base: Option<&CompletedCheckpoint>) -> (CompletedCheckpoint, u64) {
        let id = CheckpointId::new(id);
        let dir = create_checkpoint_directory(&*self.storage, &self.job_directory(), id).unwrap();
        let sharing = Sharing { checkpoint: id, base: base.map(|base| Arc::clone(base.manifest())) };
        self.write((SnapshotKind::Checkpoint, SnapshotForm::Native, id), dir, subtasks, Some(sharing))
    }

    /// Savepoint `id` of these subtasks in this form.
    pub(super) fn savepoint(&self, id: u64, form: SnapshotForm, subtasks: &mut [Subtask]) -> CompletedCheckpoint {
        let dir = create_savepoint_directory(&*self.storage, &self.path("savepoints"), job(), id).unwrap();
        self.write((SnapshotKind::Savepoint, form, CheckpointId::new(id)), dir, subtasks, None).0
    }

    fn write(
        &self,
        (kind, form, checkpoint): (SnapshotKind, SnapshotForm, CheckpointId),
        dir: PathBuf,
        subtasks: &mut [Subtask],
        sharing: Option<Sharing>,
    ) -> (CompletedCheckpoint, u64) {
        let target = SnapshotTarget::Directory { storage: Arc::clone(&self.storage), dir, sharing };
        let parallelism = Parallelism::new(subtasks.len()).unwrap();
        let write = |subtask: &mut Subtask| {
            let keyed = subtask.state.snapshot_as(form).unwrap();
            let snapshot = SubtaskSnapshot::keyed(uid(), subtask.index, keyed);
            write_subtask(&target, snapshot).unwrap()
        };
        let written: Vec<_> = subtasks.iter_mut().map(write).collect();
        let bytes = written.iter().map(|w| w.bytes().0).sum();
        let header = ManifestHeader {
            job: JobEntry { name: "j".to_owned(), id: job() },
            checkpoint,
            kind,
            time: WallTime(0),
            max_parallelism: max_parallelism(),
            options: BTreeMap::new(),
            operators: vec![OperatorHeader { uid: uid(), kind: "GroupAggregate".to_owned(), parallelism }],
        };
        (complete(&target, header, written).unwrap(), bytes)
    }

    /// What a job does when checkpoints go: the sweep that follows.
    fn sweep(&self, retained: &[&CompletedCheckpoint], newest: u64, pending: &[u64]) {
        let keep = shared_names(retained.iter().map(|c| &**c.manifest()));
        let pending = pending.iter().map(|id| CheckpointId::new(*id)).collect();
        sweep_shared(&*self.storage, &self.job_directory(), &keep, CheckpointId::new(newest), &pending).unwrap();
    }

    fn open(&self, directory: &Path) -> Result<OpenCheckpoint, String> {
        open_directory(Arc::clone(&self.storage), directory).map_err(|e| e.to_string())
    }

    /// All sums of subtasks at `parallelism` that are restored from `directory`.
    fn restored(&self, directory: &Path, parallelism: usize) -> BTreeMap<i64, i64> {
        let open = self.open(directory).unwrap();
        let subtasks = (0..parallelism).map(|index| self.subtask((index, parallelism), Some(&open)));
        subtasks.flat_map(|mut subtask| subtask.sums()).collect()
    }
}

impl Subtask {
    /// Adds `value` to the sums of `keys`, as far as they are its own.
    pub(super) fn add(&mut self, keys: impl IntoIterator<Item = i64>, value: i64) {
        let own = |keys: Vec<i64>| -> (Vec<i64>, Vec<u64>) {
            let mut hashes = Vec::new();
            hash_keys(&[Arc::new(Int64Array::from(keys.clone())) as ArrayRef], keys.len(), &mut hashes).unwrap();
            let own = keys.into_iter().zip(hashes).filter(|(_, hash)| self.own.contains(key_group_of(*hash, max_parallelism())));
            own.unzip()
        };
        let (keys, hashes) = own(keys.into_iter().collect());
        let table = self.state.groups(self.groups).unwrap();
        let (records, mut located) = (table.layout().records(), Vec::new());
        for (keys, hashes) in keys.chunks(1_000).zip(hashes.chunks(1_000)) {
            table.make_room().unwrap();
            table.locate(&[Arc::new(Int64Array::from(keys.to_vec())) as ArrayRef], hashes, &mut located).unwrap();
            for group in &located {
                let row = table.row_mut(*group);
                row[records] += 1;
                row[records + 1] = row[records + 1].wrapping_add(value as u64);
            }
        }
    }

    fn sums(&mut self) -> BTreeMap<i64, i64> {
        let snapshot = self.state.snapshot().unwrap();
        let mut sums = BTreeMap::new();
        for state in snapshot.states {
            for batch in state.batches {
                let batch = batch.unwrap();
                let column = |at: usize| batch.column(at).as_any().downcast_ref::<Int64Array>().unwrap().values().to_vec();
                for (key, sum) in column(1).into_iter().zip(column(3)) {
                    assert_eq!(sums.insert(key, sum), None, "a key twice");
                }
            }
        }
        sums
    }
}

fn all(changed: i64, value: i64) -> BTreeMap<i64, i64> {
    (0..KEYS).map(|key| (key, if key < changed { 5 + value } else { 5 })).collect()
}

fn remove(place: &Place, checkpoint: &CompletedCheckpoint) {
    delete_checkpoint(&*place.storage, checkpoint.directory().unwrap()).unwrap();
}

#[test]
fn after_few_changes_a_checkpoint_is_small_and_outlives_the_ones_that_it_shares_files_with() {
    let place = Place::new();
    let mut subtasks: Vec<Subtask> = (0..2).map(|index| place.subtask((index, 2), None)).collect();
    for subtask in &mut subtasks {
        subtask.add(0..KEYS, 5);
    }
    let (first, large) = place.checkpoint(1, &mut subtasks, None);
    for subtask in &mut subtasks {
        subtask.add(0..20, 1);
    }
    let (second, small) = place.checkpoint(2, &mut subtasks, Some(&first));
    assert!(small * 4 < large, "{small} bytes after {large}");
    let rows = |c: &CompletedCheckpoint| c.manifest().operators[0].rows_of(&c.manifest().operators[0].keyed_states[0]);
    assert_eq!((rows(&first), rows(&second)), (KEYS as u64, KEYS as u64));
    assert!(shared_names([&**first.manifest()]).intersection(&shared_names([&**second.manifest()])).next().is_some());

    // The third one is being taken and was begun with the second one's files.
    let pending = place.job_directory().join("shared/0123456789abcdef-0-0-000099.sst.3");
    fs::write(&pending, "being written").unwrap();
    fs::write(place.job_directory().join("shared/0123456789abcdef-0-0-000098.sst.2"), "an orphan of an attempt that failed").unwrap();
    fs::write(place.job_directory().join("shared/notes"), "somebody else's").unwrap();
    remove(&place, &first);
    place.sweep(&[&second], 3, &[3]);
    let mut expected = shared_names([&**second.manifest()]);
    expected.extend(["0123456789abcdef-0-0-000099.sst.3".to_owned(), "notes".to_owned()]);
    assert_eq!(place.shared(), expected);
    for parallelism in [1, 3] {
        assert_eq!(place.restored(second.directory().unwrap(), parallelism), all(20, 1));
    }
    place.sweep(&[&second], 3, &[]);
    assert!(!pending.exists(), "its attempt was given up");
}

#[test]
fn shared_files_of_checkpoints_beside_ones_own_stay_and_all_stay_while_one_of_these_cannot_be_read() {
    let place = Place::new();
    let mut subtasks = [place.subtask((0, 1), None)];
    subtasks[0].add(0..KEYS, 5);
    let (others, _) = place.checkpoint(1, &mut subtasks, None);
    let (own, _) = place.checkpoint(2, &mut subtasks, None);
    let sweep = || sweep_beside_others(&*place.storage, &place.job_directory(), &BTreeSet::new(), CheckpointId::new(2), &BTreeSet::new());
    remove(&place, &own);
    let metadata = others.directory().unwrap().join("_metadata");
    let whole = fs::read(&metadata).unwrap();
    fs::write(&metadata, "{").unwrap();
    sweep().unwrap();
    assert!(place.shared().is_superset(&shared_names([&**own.manifest()])));
    fs::write(&metadata, whole).unwrap();
    sweep().unwrap();
    assert_eq!(place.shared(), shared_names([&**others.manifest()]));
    clear_beside_others(&*place.storage, &place.job_directory(), CheckpointId::new(2)).unwrap();
    assert_eq!(place.restored(others.directory().unwrap(), 1), all(0, 0));
}

#[test]
fn without_a_base_all_is_written_again_and_without_sharing_all_lies_in_the_checkpoint_itself() {
    let place = Place::new();
    let mut subtasks = [place.subtask((0, 1), None)];
    subtasks[0].add(0..KEYS, 5);
    let (first, large) = place.checkpoint(1, &mut subtasks, None);
    let (second, again) = place.checkpoint(2, &mut subtasks, None);
    assert!(again * 2 > large, "{again} bytes after {large}");
    assert!(shared_names([&**first.manifest()]).is_disjoint(&shared_names([&**second.manifest()])));
    let (alone, _) =
        place.write((SnapshotKind::Checkpoint, SnapshotForm::Native, CheckpointId::new(9)), place.path("chk-9"), &mut subtasks, None);
    assert!(alone.manifest().files().all(|file| place.path("chk-9").join(&file.path).exists()));
    remove(&place, &first);
    remove(&place, &second);
    place.sweep(&[], 9, &[]);
    assert_eq!(place.shared(), BTreeSet::new());
    assert_eq!(place.restored(&place.path("chk-9"), 2), all(0, 0));
}

#[test]
fn a_savepoint_is_rows_whatever_the_store_holds_and_shows_the_moment_of_its_barrier() {
    let place = Place::new();
    let mut subtasks = [place.subtask((0, 1), None)];
    subtasks[0].add(0..KEYS, 5);
    let snapshot = subtasks[0].state.snapshot().unwrap();
    // Changes, evictions and deletions behind the barrier.
    for round in 0..3 {
        subtasks[0].add(0..KEYS, round);
    }
    let dir = create_savepoint_directory(&*place.storage, &place.path("savepoints"), job(), 1).unwrap();
    let target = SnapshotTarget::Directory { storage: Arc::clone(&place.storage), dir: dir.clone(), sharing: None };
    let snapshot = SubtaskSnapshot::keyed(uid(), 0, snapshot);
    assert_eq!(write_subtask(&target, snapshot).unwrap().rows(), KEYS as u64);
    let savepoint = place.savepoint(4, SnapshotForm::Canonical, &mut subtasks);
    let dir = savepoint.directory().unwrap();
    assert_eq!(savepoint.manifest().format_version, 1);
    assert!(savepoint.manifest().files().all(|file| Path::new(&file.path).extension().is_some_and(|e| e == "parquet")));
    assert_eq!(place.restored(dir, 2), all(KEYS, 3));
}

#[test]
fn a_native_savepoint_stands_for_itself_wherever_it_is_moved_and_on_whichever_backend_it_is_restored() {
    let mut place = Place::new();
    let mut subtasks: Vec<Subtask> = (0..2).map(|index| place.subtask((index, 2), None)).collect();
    for subtask in &mut subtasks {
        subtask.add(0..KEYS, 5);
    }
    let (checkpoint, _) = place.checkpoint(1, &mut subtasks, None);
    let savepoint = place.savepoint(2, SnapshotForm::Native, &mut subtasks);
    assert_eq!(savepoint.manifest().format_version, 2);
    assert!(shared_names([&**savepoint.manifest()]).is_empty());
    // The next checkpoint goes on from the last one, as if there had been no savepoint.
    for subtask in &mut subtasks {
        subtask.add(0..20, 1);
    }
    let (next, small) = place.checkpoint(3, &mut subtasks, Some(&checkpoint));
    assert!(small * 4 < savepoint.bytes().0, "{small} bytes");
    assert_eq!(place.restored(next.directory().unwrap(), 3), all(20, 1));
    drop(subtasks);
    fs::remove_dir_all(place.path("checkpoints")).unwrap();
    let moved = place.path("elsewhere/savepoint-moved");
    fs::create_dir(place.path("elsewhere")).unwrap();
    fs::rename(savepoint.directory().unwrap(), &moved).unwrap();
    assert!(savepoint.manifest().files().all(|file| moved.join(&file.path).is_file()));
    for parallelism in [1, 3] {
        assert_eq!(place.restored(&moved, parallelism), all(0, 0));
    }
    place.backend = Backend::new(&BackendSettings::HashMap, place.path("local").join(JobId::from_u128(8).to_string()));
    assert_eq!(place.restored(&moved, 2), all(0, 0));
    dispose_savepoint(&*place.storage, &moved.display().to_string()).unwrap();
    assert!(!moved.exists());
}

#[test]
fn a_full_checkpoint_has_every_byte_and_one_after_a_hundredth_of_the_keys_changed_at_most_a_tenth() {
    const MANY: i64 = 200_000;
    let place = Place::with_memory(ByteSize(64 << 20));
    let mut subtasks: Vec<Subtask> = (0..2).map(|index| place.subtask((index, 2), None)).collect();
    for subtask in &mut subtasks {
        subtask.add(0..MANY, 5);
    }
    let (first, all_bytes) = place.checkpoint(1, &mut subtasks, None);
    assert_eq!(all_bytes, first.bytes().0);
    let mut base = first;
    for id in 2..5 {
        let changed = (0..MANY / 100).map(|n| (n * 100 + id as i64) % MANY);
        for subtask in &mut subtasks {
            subtask.add(changed.clone(), 1);
        }
        let (next, bytes) = place.checkpoint(id, &mut subtasks, Some(&base));
        assert!(bytes * 10 <= all_bytes, "checkpoint {id}: {bytes} of {all_bytes} bytes");
        base = next;
    }
    let (full, again) = place.checkpoint(5, &mut subtasks, None);
    assert_eq!(again, full.bytes().0, "a full checkpoint writes all that it names");
    assert!(again >= all_bytes, "{again} after {all_bytes} bytes");
    assert!(shared_names([&**full.manifest()]).is_disjoint(&shared_names([&**base.manifest()])));
}

#[test]
fn a_damaged_or_missing_shared_file_is_refused_by_its_name() {
    let place = Place::new();
    let mut subtasks = [place.subtask((0, 1), None)];
    subtasks[0].add(0..KEYS, 5);
    let (checkpoint, _) = place.checkpoint(1, &mut subtasks, None);
    let directory = checkpoint.directory().unwrap();
    let name = shared_names([&**checkpoint.manifest()]).pop_first().unwrap();
    let file = place.job_directory().join("shared").join(&name);
    let bytes = fs::read(&file).unwrap();
    // A link that the store still has must not be written to.
    fs::remove_file(&file).unwrap();
    let missing = place.open(directory).unwrap_err();
    assert!(missing.contains(&name) && missing.contains("missing"), "{missing}");
    for damage in [bytes.len() / 2, bytes.len()] {
        let mut damaged = bytes[..damage].to_vec();
        damaged[damage / 2] ^= 1;
        fs::write(&file, damaged).unwrap();
        let altered = place.open(directory).unwrap_err();
        assert!(altered.contains(&name) && altered.contains("altered"), "{altered}");
    }
}

#[test]
fn disposing_of_a_checkpoint_leaves_what_others_name() {
    let place = Place::new();
    let mut subtasks = [place.subtask((0, 1), None)];
    subtasks[0].add(0..KEYS, 5);
    let (first, _) = place.checkpoint(1, &mut subtasks, None);
    subtasks[0].add(0..20, 1);
    let (second, _) = place.checkpoint(2, &mut subtasks, Some(&first));
    dispose_savepoint(&*place.storage, &first.directory().unwrap().display().to_string()).unwrap();
    assert_eq!(place.restored(second.directory().unwrap(), 1), all(20, 1));
    dispose_savepoint(&*place.storage, &second.directory().unwrap().display().to_string()).unwrap();
    assert_eq!(place.shared(), BTreeSet::new());
}

#[test]
fn a_manifest_with_files_outside_or_unknown_states_is_refused() {
    let place = Place::new();
    let mut subtasks = [place.subtask((0, 1), None)];
    subtasks[0].add(0..10, 5);
    let (checkpoint, _) = place.checkpoint(1, &mut subtasks, None);
    let good = (**checkpoint.manifest()).clone();
    assert_eq!((good.format_version, Manifest::parse(&good.to_json().unwrap())), (2, Ok(good.clone())));
    let edits: [fn(&mut Manifest); 4] = [
        |m| m.operators[0].stores[0].files[0].file.path = "../shared/../../x".to_owned(),
        |m| m.operators[0].stores[0].files[0].name = "../x".to_owned(),
        |m| m.operators[0].stores[0].states[0].name = "others".to_owned(),
        |m| m.operators[0].stores[0].form = "forst".to_owned(),
    ];
    for edit in edits {
        let mut bad = good.clone();
        edit(&mut bad);
        let json = serde_json::to_vec(&bad).unwrap();
        assert!(Manifest::parse(&json).is_err());
    }
}
