//! `_metadata`: what a checkpoint or savepoint consists of, as JSON that a person can read (`docs/savepoint-format.md`).
//!
//! Two stages: [`Manifest::parse`] reads what was written, and hands out only manifests whose numbers, names and paths hold.

use super::layout::located;
use crate::state::{OperatorStateDescriptor, OperatorStateKind, SavedState, StateDescriptor};
use crate::types::{ByteSize, CheckpointId, CheckpointKind, JobId, MaxParallelism, OperatorUid, Parallelism, Schema, WallTime};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

/// The version of the format that is written: for rows in files of their own.
pub(super) const FORMAT_VERSION: u32 = 1;

/// The version with states in the form of stores.
pub(super) const STORE_VERSION: u32 = 2;

/// Why a snapshot was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SnapshotKind {
    /// A checkpoint.
    Checkpoint,
    /// A savepoint of a job that ran on.
    Savepoint,
    /// The savepoint of `flink stop`.
    Stop,
    /// The savepoint of `flink stop --drain`: event time had ended; not meant to be resumed from.
    Drain,
}

impl SnapshotKind {
    /// True for all kinds of savepoint.
    pub const fn is_savepoint(self) -> bool {
        !matches!(self, Self::Checkpoint)
    }
}

impl From<CheckpointKind> for SnapshotKind {
    fn from(kind: CheckpointKind) -> Self {
        match kind {
            CheckpointKind::Checkpoint => Self::Checkpoint,
            CheckpointKind::Savepoint | CheckpointKind::Look => Self::Savepoint,
            CheckpointKind::StopWithSavepoint { drain: false } => Self::Stop,
            CheckpointKind::StopWithSavepoint { drain: true } => Self::Drain,
        }
    }
}

/// What is known of a checkpoint beside its files: given to [`super::complete`].
#[derive(Debug, Clone)]
pub struct ManifestHeader {
    /// The job.
    pub job: JobEntry,
    /// The checkpoint's number.
    pub checkpoint: CheckpointId,
    /// Why it was taken.
    pub kind: SnapshotKind,
    /// When it was completed.
    pub time: WallTime,
    /// The number of key groups.
    pub max_parallelism: MaxParallelism,
    /// Option keys that matter for restoring, as text.
    pub options: BTreeMap<String, String>,
    /// Every operator of the job, also those without state.
    pub operators: Vec<OperatorHeader>,
}

/// A job's name and id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobEntry {
    /// `pipeline.name`
    pub name: String,
    /// Its id: 32 hex digits.
    #[serde(with = "job_id_text")]
    pub id: JobId,
}

/// One operator of the job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorHeader {
    /// Its uid.
    pub uid: OperatorUid,
    /// What it is: `GroupAggregate(groupBy=[carrier], …)`, `filesystem(json)`.
    pub kind: String,
    /// How many subtasks it had.
    pub parallelism: Parallelism,
}

/// The whole of `_metadata`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of this format: 1, or 2 where some state has the form of a store.
    pub format_version: u32,
    /// Why it was taken.
    pub kind: SnapshotKind,
    /// The job.
    pub job: JobEntry,
    /// Its number.
    pub checkpoint_id: CheckpointId,
    /// When it was completed; written as RFC 3339.
    #[serde(with = "time_text")]
    pub time: WallTime,
    /// The number of key groups.
    pub max_parallelism: MaxParallelism,
    /// Option keys that matter for restoring, as text.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
    /// The operators with their states.
    pub operators: Vec<OperatorEntry>,
}

/// One operator and its states.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorEntry {
    /// Its uid.
    pub uid: OperatorUid,
    /// What it is.
    #[serde(default)]
    pub kind: String,
    /// How many subtasks it had.
    pub parallelism: Parallelism,
    /// Its keyed states.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keyed_states: Vec<KeyedStateEntry>,
    /// Splits, committables and the like.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub operator_states: Vec<OperatorStateEntry>,
    /// Rows of its keyed states in native form: as files of the backend's stores, one store a subtask.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stores: Vec<StoreEntry>,
}

/// The store of one subtask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreEntry {
    /// What wrote its files: `rocksdb`.
    pub form: String,
    /// Whose it was.
    pub subtask: usize,
    /// Its key groups: the first one, and the one behind the last.
    pub key_groups: (u16, u16),
    /// The keyed states in it; what they are stands among the operator's keyed states.
    pub states: Vec<StoreStateEntry>,
    /// Its files.
    pub files: Vec<StoreFileEntry>,
}

/// One keyed state in a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreStateEntry {
    /// Its name.
    pub name: String,
    /// The column family that holds its rows.
    pub family: String,
    /// Which part of each row is its own, where several states share the rows: those of a function.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<usize>,
    /// The built-in function of a reducing or aggregating state, by which several values of a key are put together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fold: Option<String>,
    /// Number of rows.
    pub rows: u64,
    /// There may be fewer: entries expire, or were added to without being read.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub at_most: bool,
}

impl StoreStateEntry {
    /// What of the store is this state's. `descriptor`: what it is.
    pub(super) fn saved(&self, descriptor: &StateDescriptor, moved: bool) -> SavedState {
        let (family, part, fold) = (self.family.clone(), self.part, self.fold.clone());
        SavedState { descriptor: Arc::new(descriptor.clone()), family, part, fold, moved }
    }
}

/// One file of a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreFileEntry {
    /// Its name in the store.
    pub name: String,
    /// The state whose rows it holds; none if it holds those of all states with a part, or belongs to the store as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Where it is. `../shared/…`: other checkpoints of the job may name it, too.
    #[serde(flatten)]
    pub file: FileEntry,
}

/// One keyed state: what it is and where its rows are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyedStateEntry {
    /// Name, kind, key and value columns, TTL.
    #[serde(flatten)]
    pub descriptor: StateDescriptor,
    /// Its rows.
    #[serde(default)]
    pub files: Vec<FileEntry>,
}

/// One operator state: its name, columns and files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorStateEntry {
    /// `splits`, `writer`, `committables`, …, or what a function calls it.
    pub name: String,
    /// What becomes of it at another parallelism, if a function registered it. Sources and sinks see to theirs themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<OperatorStateKind>,
    /// Its columns.
    pub columns: Schema,
    /// Its rows.
    #[serde(default)]
    pub files: Vec<FileEntry>,
}

/// One Parquet file. What is left out is not checked: whoever edits a file with another tool removes these values (or corrects
/// them) in the same step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Relative to the directory of `_metadata`.
    pub path: String,
    /// Number of rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// Its length.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<ByteSize>,
    /// XXH3 (64 bits) of its content: 16 hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub xxh3: Option<Xxh3>,
}

/// A 64-bit XXH3 checksum, written as 16 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Xxh3(pub u64);

impl Serialize for Xxh3 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:016x}", self.0))
    }
}

impl<'de> Deserialize<'de> for Xxh3 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits = text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let value = digits.then(|| u64::from_str_radix(&text, 16).ok()).flatten();
        value.map(Self).ok_or_else(|| serde::de::Error::custom(format!("\"{text}\" is no checksum: 16 hex digits are needed")))
    }
}

mod job_id_text {
    use super::{Deserialize, Deserializer, JobId, Serializer};

    pub(super) fn serialize<S: Serializer>(id: &JobId, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(id)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<JobId, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

mod time_text {
    use super::{Deserialize, Deserializer, Serializer, WallTime};
    use chrono::{DateTime, SecondsFormat};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde's `with` calls")]
    pub(super) fn serialize<S: Serializer>(time: &WallTime, serializer: S) -> Result<S::Ok, S::Error> {
        let time = DateTime::from_timestamp_millis(time.0);
        let time = time.ok_or_else(|| serde::ser::Error::custom("a time beyond the calendar"))?;
        serializer.serialize_str(&time.to_rfc3339_opts(SecondsFormat::Millis, true))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<WallTime, D::Error> {
        let text = String::deserialize(deserializer)?;
        let time = DateTime::parse_from_rfc3339(&text);
        let time = time.map_err(|e| serde::de::Error::custom(format!("\"{text}\" is no RFC 3339 time: {e}")))?;
        Ok(WallTime(time.timestamp_millis()))
    }
}

impl Manifest {
    /// Reads `_metadata`. The message says what is wrong and where.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        // The version is looked at first: a later format may differ in anything else.
        #[derive(Deserialize)]
        struct Version {
            format_version: u32,
        }
        let version: Version = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
        if !(FORMAT_VERSION..=STORE_VERSION).contains(&version.format_version) {
            return Err(format!(
                "format version {}; this program reads versions {FORMAT_VERSION} to {STORE_VERSION}",
                version.format_version
            ));
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
        manifest.check()?;
        Ok(manifest)
    }

    /// The same as text.
    pub fn to_json(&self) -> Result<Vec<u8>, String> {
        self.check()?;
        let mut bytes = serde_json::to_vec_pretty(self).map_err(|e| e.to_string())?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    fn check(&self) -> Result<(), String> {
        if MaxParallelism::new(self.max_parallelism.get()).is_none() {
            return Err(format!("max_parallelism {} is not between 1 and 32768", self.max_parallelism));
        }
        let mut uids = BTreeSet::new();
        let mut paths = BTreeSet::new();
        for operator in &self.operators {
            let uid = &operator.uid;
            if Parallelism::new(operator.parallelism.get()).is_none() {
                return Err(format!("operator {uid}: parallelism {} is not between 1 and 32768", operator.parallelism));
            }
            if !uids.insert(uid) {
                return Err(format!("operator {uid} stands there twice"));
            }
            operator.check_names()?;
            for file in operator.files() {
                if located(Path::new("/checkpoint"), &file.path).is_none() {
                    return Err(format!("operator {uid}: the file \"{}\" lies outside of the directory", file.path.escape_default()));
                }
                if !paths.insert(&file.path) {
                    return Err(format!("operator {uid}: the file {} stands there twice", file.path));
                }
            }
        }
        Ok(())
    }

    /// The operator with this uid.
    pub fn operator(&self, uid: &OperatorUid) -> Option<&OperatorEntry> {
        self.operators.iter().find(|o| o.uid == *uid)
    }

    /// True if some state has the form of its backend's store.
    pub fn is_native(&self) -> bool {
        self.operators.iter().any(|operator| !operator.stores.is_empty())
    }

    /// All files.
    pub fn files(&self) -> impl Iterator<Item = &FileEntry> {
        self.operators.iter().flat_map(OperatorEntry::files)
    }

    /// Bytes of all files, as far as their lengths are recorded.
    pub fn bytes(&self) -> ByteSize {
        bytes_of(self.files())
    }
}

impl OperatorEntry {
    /// The files of all its states.
    pub fn files(&self) -> impl Iterator<Item = &FileEntry> {
        let states = self.keyed_states.iter().flat_map(|s| &s.files).chain(self.operator_states.iter().flat_map(|s| &s.files));
        states.chain(self.stores.iter().flat_map(|store| store.files.iter().map(|f| &f.file)))
    }

    /// Number of rows of a keyed state, in whatever form, as far as it is recorded.
    pub fn rows_of(&self, state: &KeyedStateEntry) -> u64 {
        let name = &state.descriptor.name;
        let stored = self.stores.iter().flat_map(|store| &store.states).filter(|s| s.name == *name);
        stored.fold(state.rows(), |sum, s| sum.saturating_add(s.rows))
    }

    /// Bytes of the files of a keyed state, in whatever form, as far as their lengths are recorded. Of files that several states share
    /// each one has its part, by the number of rows.
    pub fn bytes_of(&self, state: &KeyedStateEntry) -> ByteSize {
        let stored = self.stores.iter().flat_map(|store| &store.files).filter(|f| f.state.as_ref() == Some(&state.descriptor.name));
        let own = bytes_of(state.files.iter().chain(stored.map(|f| &f.file)));
        let shared = self.stores.iter().map(|store| store.shared_bytes_of(&state.descriptor.name));
        ByteSize(shared.fold(own.0, u64::saturating_add))
    }

    /// True if a keyed state has rows in native form.
    pub fn is_stored(&self, state: &KeyedStateEntry) -> bool {
        self.stores.iter().flat_map(|store| &store.states).any(|s| s.name == state.descriptor.name && s.rows > 0)
    }

    /// True if a keyed state has rows, as far as that is recorded.
    pub fn holds_rows(&self, state: &KeyedStateEntry) -> bool {
        !state.files.is_empty() || self.is_stored(state)
    }

    fn check_names(&self) -> Result<(), String> {
        let mut names = BTreeSet::new();
        for state in &self.keyed_states {
            let name = &state.descriptor.name;
            if !names.insert(name) {
                return Err(format!("operator {}: keyed state {name} stands there twice", self.uid));
            }
            let mut columns = BTreeSet::new();
            if let Some(twice) = state.descriptor.columns().columns.iter().find(|c| !columns.insert(c.name.clone())) {
                return Err(format!("operator {}: keyed state {name} has two columns called {}", self.uid, twice.name));
            }
        }
        self.check_stores()?;
        let mut names = BTreeSet::new();
        match self.operator_states.iter().find(|s| !names.insert(&s.name)) {
            Some(state) => Err(format!("operator {}: operator state {} stands there twice", self.uid, state.name)),
            None => Ok(()),
        }
    }
}

impl StoreEntry {
    /// The part that a state has in the files of several states.
    fn shared_bytes_of(&self, state: &str) -> u64 {
        let sharing = || self.states.iter().filter(|s| s.part.is_some());
        let all = sharing().fold(0_u64, |sum, s| sum.saturating_add(s.rows));
        let own = sharing().find(|s| s.name == state).map_or(0, |s| s.rows);
        let is_shared = |f: &&StoreFileEntry| f.state.is_none() && Path::new(&f.name).extension().is_some_and(|e| e == "sst");
        let bytes = bytes_of(self.files.iter().filter(is_shared).map(|f| &f.file)).0;
        u64::try_from(u128::from(bytes) * u128::from(own) / u128::from(all.max(1))).unwrap_or(bytes)
    }

    /// Gives its states these new names; those without one are left out.
    pub(super) fn rename(&mut self, names: &BTreeMap<String, String>) {
        self.states.retain_mut(|state| names.get(&state.name).map(|name| state.name.clone_from(name)).is_some());
        for file in &mut self.files {
            file.state = file.state.take().and_then(|state| names.get(&state).cloned());
        }
    }
}

impl OperatorEntry {
    fn check_stores(&self) -> Result<(), String> {
        for store in &self.stores {
            let at = || format!("operator {}: the store of subtask {}", self.uid, store.subtask);
            if store.form != "rocksdb" {
                return Err(format!("{} has the form \"{}\"; this program reads rocksdb", at(), store.form));
            }
            let mut names = BTreeSet::new();
            for file in &store.files {
                // The name becomes a file in a directory of its own.
                if file.name.is_empty() || file.name.starts_with('.') || file.name.contains(['/', '\\', '\0']) {
                    return Err(format!("{} has a file called \"{}\"", at(), file.name.escape_default()));
                }
                if !names.insert(&file.name) {
                    return Err(format!("{} has two files called {}", at(), file.name));
                }
            }
            let known = |name: &String| self.keyed_states.iter().any(|s| s.descriptor.name == *name);
            if let Some(unknown) = store.states.iter().find(|s| !known(&s.name)) {
                return Err(format!("{} holds the state {}, which is not described", at(), unknown.name));
            }
        }
        Ok(())
    }
}

impl KeyedStateEntry {
    /// Number of rows, as far as it is recorded.
    pub fn rows(&self) -> u64 {
        rows_of(&self.files)
    }

    /// Bytes of its files, as far as their lengths are recorded.
    pub fn bytes(&self) -> ByteSize {
        bytes_of(&self.files)
    }
}

impl OperatorStateEntry {
    /// What it is, if a function registered it.
    pub fn descriptor(&self) -> Option<OperatorStateDescriptor> {
        self.kind.map(|kind| OperatorStateDescriptor { name: self.name.clone(), kind, columns: self.columns.clone() })
    }

    /// Number of rows, as far as it is recorded.
    pub fn rows(&self) -> u64 {
        rows_of(&self.files)
    }

    /// Bytes of its files, as far as their lengths are recorded.
    pub fn bytes(&self) -> ByteSize {
        bytes_of(&self.files)
    }
}

fn rows_of<'a>(files: impl IntoIterator<Item = &'a FileEntry>) -> u64 {
    files.into_iter().fold(0, |sum, f| sum.saturating_add(f.rows.unwrap_or(0)))
}

fn bytes_of<'a>(files: impl IntoIterator<Item = &'a FileEntry>) -> ByteSize {
    ByteSize(files.into_iter().fold(0, |sum, f| sum.saturating_add(f.bytes.map_or(0, |b| b.0))))
}
