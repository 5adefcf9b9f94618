//! A savepoint built from files: rows of Parquet, CSV or JSON become the states of a job that has never run. Types are the job's own; key
//! groups are computed, rows sorted by them, keys that occur twice refused.
//!
//! A file is read once to count the rows of each key group, then once for each range of key groups whose rows fit into memory together.

mod input;
mod operator_rows;

use super::address::{listed, nearest};
use super::keys::{RowBytes, key_groups};
use super::{InspectError, KEY_GROUP};
use crate::checkpoint::{
    JobEntry, ManifestHeader, OperatorHeader, SnapshotKind, SnapshotTarget, SubtaskSnapshot, complete, create_savepoint_directory,
    delete_checkpoint, write_subtask,
};
use crate::state::{KeyedSnapshot, OperatorStateDescriptor, OperatorStateSnapshot, StateDescriptor, StateError, StateKind, StateSnapshot};
use crate::storage::Storage;
use crate::types::{ByteSize, CheckpointId, KeyGroup, MaxParallelism, OperatorUid, Parallelism, WallTime, limits};
use arrow::array::{ArrayRef, Int32Array, RecordBatch, UInt32Array};
use arrow::compute::{interleave_record_batch, take_record_batch};
use input::Input;
use operator_rows::OperatorRows;
use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

pub use super::encode::RowFormat as ImportFormat;

/// Rows of a batch that is written.
const WRITE_ROWS: usize = 8 * 1024;

/// The rows of one state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// `OPERATOR/STATE`
    pub state: String,
    /// The file, absolute.
    pub path: PathBuf,
    /// Its format.
    pub format: ImportFormat,
}

/// The savepoint that is to be built.
#[derive(Debug, Clone)]
pub struct Bootstrap {
    /// Files.
    pub storage: Arc<dyn Storage>,
    /// The directory that the savepoint's own goes into.
    pub target: PathBuf,
    /// The job that it is for, under an id that no job has.
    pub job: JobEntry,
    /// Its operators, each with the states that it registers.
    pub operators: Vec<(OperatorHeader, ImportedStates)>,
    /// The number of key groups.
    pub max_parallelism: MaxParallelism,
    /// Now.
    pub time: WallTime,
    /// Where the names of the savepoint's directory start.
    pub random: u64,
    /// Rows that are held at once ([`limits::IMPORT_ROWS`]); one key group may have more.
    pub rows_at_once: usize,
}

/// The states of one operator that rows can be given for.
#[derive(Debug, Clone, Default)]
pub struct ImportedStates {
    /// Keyed states.
    pub keyed: Vec<Arc<StateDescriptor>>,
    /// Operator states that functions register.
    pub operator: Vec<Arc<OperatorStateDescriptor>>,
}

/// A savepoint that was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bootstrapped {
    /// Its directory.
    pub path: PathBuf,
    /// Its states, with rows and bytes.
    pub states: Vec<(String, u64, ByteSize)>,
}

/// Builds a savepoint. Nothing is left behind if it fails.
pub fn bootstrap(plan: &Bootstrap, imports: &[Import]) -> Result<Bootstrapped, InspectError> {
    let resolved = resolve(plan, imports)?;
    let dir = create_savepoint_directory(&*plan.storage, &plan.target, plan.job.id, plan.random)?;
    let built = build(plan, &resolved, SnapshotTarget::Directory { storage: Arc::clone(&plan.storage), dir: dir.clone(), sharing: None });
    if built.is_err() {
        // What went wrong first is what is reported.
        let _ = delete_checkpoint(&*plan.storage, &dir);
    }
    Ok(Bootstrapped { path: dir, states: built? })
}

/// An import with the state that it is for.
struct Resolved<'a> {
    import: &'a Import,
    operator: &'a OperatorUid,
    state: ImportedState<'a>,
}

/// One state that rows can be given for.
#[derive(Clone, Copy)]
enum ImportedState<'a> {
    Keyed(&'a Arc<StateDescriptor>),
    Operator(&'a Arc<OperatorStateDescriptor>),
}

impl ImportedStates {
    /// Each state with its name.
    fn iter(&self) -> impl Iterator<Item = (&str, ImportedState<'_>)> {
        let keyed = self.keyed.iter().map(|state| (state.name.as_str(), ImportedState::Keyed(state)));
        keyed.chain(self.operator.iter().map(|state| (state.name.as_str(), ImportedState::Operator(state))))
    }
}

fn resolve<'a>(plan: &'a Bootstrap, imports: &'a [Import]) -> Result<Vec<Resolved<'a>>, InspectError> {
    let states = || plan.operators.iter().flat_map(|(operator, states)| states.iter().map(move |state| (&operator.uid, state)));
    let addresses: Vec<String> = states().map(|(uid, (name, _))| format!("{uid}/{name}")).collect();
    let mut resolved: Vec<Resolved<'a>> = Vec::new();
    for import in imports {
        let found = states().zip(&addresses).find(|(_, address)| **address == import.state);
        let Some(((operator, (_, state)), _)) = found else {
            let next = match nearest(&import.state, addresses.iter().map(String::as_str)) {
                Some(name) => format!("did you mean {name}?"),
                None if addresses.is_empty() => "the job keeps no state that rows can be given for".to_owned(),
                None => format!("its states are {}", listed(&addresses)),
            };
            return Err(InspectError::asked(format!("the job has no state \"{}\"", import.state), next));
        };
        if resolved.iter().any(|r| r.import.state == import.state) {
            return Err(InspectError::asked(format!("state {} is given twice", import.state), "give one file a state"));
        }
        resolved.push(Resolved { import, operator, state });
    }
    if resolved.is_empty() {
        return Err(InspectError::asked("no state is given", "write --state OPERATOR/STATE=FILE"));
    }
    Ok(resolved)
}

fn build(plan: &Bootstrap, imports: &[Resolved<'_>], target: SnapshotTarget) -> Result<Vec<(String, u64, ByteSize)>, InspectError> {
    let mut written = Vec::new();
    let mut sizes = Vec::new();
    for (operator, _) in &plan.operators {
        let (mut states, mut registered) = (Vec::new(), Vec::new());
        let failure = Failure::default();
        for import in imports.iter().filter(|i| *i.operator == operator.uid) {
            match import.state {
                ImportedState::Keyed(descriptor) => {
                    let sorted = Sorted::new(plan, import, descriptor, failure.clone())?;
                    states.push(StateSnapshot { descriptor: Arc::clone(descriptor), batches: Box::new(sorted) });
                }
                ImportedState::Operator(descriptor) => {
                    let rows = OperatorRows::new(&*plan.storage, import, descriptor, failure.clone())?;
                    registered.push(OperatorStateSnapshot { descriptor: Arc::clone(descriptor), batches: Box::new(rows) });
                }
            }
        }
        if states.is_empty() && registered.is_empty() {
            continue;
        }
        let names = states.iter().map(|s| &s.descriptor.name).chain(registered.iter().map(|s| &s.descriptor.name));
        let names: Vec<String> = names.map(|name| format!("{}/{name}", operator.uid)).collect();
        let keyed = KeyedSnapshot { states, store: None };
        let snapshot = SubtaskSnapshot { registered, ..SubtaskSnapshot::keyed(operator.uid.clone(), 0, keyed) };
        let subtask = write_subtask(&target, snapshot).map_err(|e| failure.take().unwrap_or(InspectError::Write(e)))?;
        let files = subtask.files().map(|f| (f.entry.rows.unwrap_or(0), f.entry.bytes.unwrap_or(ByteSize(0))));
        // A state without rows has no file; then the sizes are those of all states of the operator.
        let files: Vec<(u64, ByteSize)> = files.collect();
        if files.len() == names.len() {
            sizes.extend(names.into_iter().zip(files).map(|(name, (rows, bytes))| (name, rows, bytes)));
        } else {
            sizes.push((names.join(", "), subtask.rows(), subtask.bytes()));
        }
        written.push(subtask);
    }
    let header = ManifestHeader {
        job: plan.job.clone(),
        // No job has taken it: the first checkpoint of the job that starts from it has number 1.
        checkpoint: CheckpointId::new(0),
        kind: SnapshotKind::Savepoint,
        time: plan.time,
        max_parallelism: plan.max_parallelism,
        options: BTreeMap::from([("pipeline.max-parallelism".to_owned(), plan.max_parallelism.to_string())]),
        operators: plan.operators.iter().map(|(operator, _)| header(operator, imports)).collect(),
    };
    complete(&target, header, written)?;
    Ok(sizes)
}

/// The operator as the savepoint has it: operator state that was given is that of one subtask.
fn header(operator: &OperatorHeader, imports: &[Resolved<'_>]) -> OperatorHeader {
    let given = |import: &Resolved<'_>| *import.operator == operator.uid && matches!(import.state, ImportedState::Operator(_));
    let parallelism = if imports.iter().any(given) { Parallelism::ONE } else { operator.parallelism };
    OperatorHeader { parallelism, ..operator.clone() }
}

/// Why the rows ended early: said behind the back of the writer, which knows errors of states alone.
#[derive(Debug, Clone, Default)]
struct Failure(Arc<Mutex<Option<InspectError>>>);

impl Failure {
    fn put(&self, error: InspectError) -> StateError {
        let message = error.to_string();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        StateError::Invariant(message)
    }

    fn take(&self) -> Option<InspectError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The rows of a file in the order of key groups.
struct Sorted {
    source: Source,
    /// Ranges of key groups that are still to be read.
    ranges: std::vec::IntoIter<Range<u16>>,
    /// Batches that are ready.
    ready: std::vec::IntoIter<RecordBatch>,
    failure: Failure,
}

/// The file and the state that it becomes.
struct Source {
    storage: Arc<dyn Storage>,
    import: Import,
    descriptor: Arc<StateDescriptor>,
    max: MaxParallelism,
}

/// Rows of one batch of the input that are in the range: their key groups and their numbers in the file.
struct Kept {
    rows: RecordBatch,
    groups: Vec<u16>,
    numbers: Vec<u64>,
}

impl Sorted {
    fn new(plan: &Bootstrap, import: &Resolved<'_>, descriptor: &Arc<StateDescriptor>, failure: Failure) -> Result<Self, InspectError> {
        let source = Source {
            storage: Arc::clone(&plan.storage),
            import: import.import.clone(),
            descriptor: Arc::clone(descriptor),
            max: plan.max_parallelism,
        };
        let ranges = source.ranges(plan.rows_at_once)?;
        Ok(Self { source, ranges: ranges.into_iter(), ready: Vec::new().into_iter(), failure })
    }
}

impl Iterator for Sorted {
    type Item = Result<RecordBatch, StateError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(batch) = self.ready.next() {
                return Some(Ok(batch));
            }
            let range = self.ranges.next()?;
            match self.source.read(&range) {
                Ok(batches) => self.ready = batches.into_iter(),
                Err(error) => {
                    self.ranges = Vec::new().into_iter();
                    return Some(Err(self.failure.put(error)));
                }
            }
        }
    }
}

impl Source {
    fn wrong(&self, message: impl std::fmt::Display) -> InspectError {
        InspectError::Input { path: self.import.path.clone(), message: message.to_string() }
    }

    fn groups(&self, batch: &RecordBatch) -> Result<Vec<KeyGroup>, InspectError> {
        key_groups(batch, &self.descriptor, self.max).map_err(|e| self.wrong(e))
    }

    /// Ranges of key groups with at most `rows` rows together, as far as that can be.
    fn ranges(&self, rows: usize) -> Result<Vec<Range<u16>>, InspectError> {
        let mut counts = vec![0_usize; self.max.get()];
        for batch in Input::open(&*self.storage, &self.import, given_columns(&self.descriptor))? {
            for KeyGroup(group) in self.groups(&batch?)? {
                counts[usize::from(group)] += 1;
            }
        }
        let mut ranges: Vec<Range<u16>> = Vec::new();
        let (mut start, mut held) = (0, 0);
        for (group, count) in counts.iter().enumerate() {
            if held > 0 && held + count > rows {
                ranges.push(start..group as u16);
                (start, held) = (group as u16, 0);
            }
            held += count;
        }
        ranges.push(start..self.max.get() as u16);
        Ok(ranges)
    }

    /// The rows of these key groups, sorted by them.
    fn read(&self, range: &Range<u16>) -> Result<Vec<RecordBatch>, InspectError> {
        let mut kept: Vec<Kept> = Vec::new();
        let mut number = 0;
        for batch in Input::open(&*self.storage, &self.import, given_columns(&self.descriptor))? {
            let batch = batch?;
            let groups = self.groups(&batch)?;
            let wanted: Vec<u32> = (0..).zip(&groups).filter(|(_, g)| range.contains(&g.0)).map(|(row, _)| row).collect();
            if !wanted.is_empty() {
                let groups = wanted.iter().map(|row| groups[*row as usize].0).collect();
                let numbers = wanted.iter().map(|row| number + u64::from(*row)).collect();
                let rows = take_record_batch(&batch, &UInt32Array::from(wanted)).map_err(|e| self.wrong(e))?;
                kept.push(Kept { rows, groups, numbers });
            }
            number += batch.num_rows() as u64;
        }
        let mut order: Vec<(usize, usize)> = (0..kept.len()).flat_map(|b| (0..kept[b].groups.len()).map(move |row| (b, row))).collect();
        order.sort_by_key(|(batch, row)| kept[*batch].groups[*row]);
        self.refuse_duplicates(&kept, &order)?;
        let parts: Vec<&RecordBatch> = kept.iter().map(|k| &k.rows).collect();
        let piece = |order: &[(usize, usize)]| {
            let rows = interleave_record_batch(&parts, order).map_err(|e| self.wrong(e))?;
            let groups = Int32Array::from_iter_values(order.iter().map(|(batch, row)| i32::from(kept[*batch].groups[*row])));
            let mut columns: Vec<ArrayRef> = vec![Arc::new(groups)];
            columns.extend(rows.columns().iter().cloned());
            RecordBatch::try_new(self.descriptor.columns().to_arrow(), columns).map_err(|e| self.wrong(e))
        };
        order.chunks(WRITE_ROWS).map(piece).collect()
    }

    /// `order`: by key group.
    fn refuse_duplicates(&self, kept: &[Kept], order: &[(usize, usize)]) -> Result<(), InspectError> {
        let names: Vec<&str> = self.identity();
        let Some(first) = kept.first() else { return Ok(()) };
        let schema = first.rows.schema();
        let columns = names.iter().filter_map(|name| schema.index_of(name).ok()).collect();
        let bytes = RowBytes::new(&schema, columns).map_err(|e| self.wrong(e))?;
        let rows = kept.iter().map(|k| bytes.rows(&k.rows)).collect::<Result<Vec<_>, _>>().map_err(|e| self.wrong(e))?;
        let (mut group, mut seen) = (None, HashSet::new());
        for (batch, row) in order {
            let of = kept[*batch].groups[*row];
            if group.replace(of) != Some(of) {
                seen.clear();
            }
            if !seen.insert(rows[*batch].row(*row)) {
                let text = |name: &&str| {
                    let column = kept[*batch].rows.column_by_name(name);
                    let value = column.and_then(|c| arrow::util::display::array_value_to_string(c, *row).ok());
                    format!("{name}={}", value.unwrap_or_default())
                };
                let key =
                    if names.is_empty() { "a state without key".to_owned() } else { names.iter().map(text).collect::<Vec<_>>().join(", ") };
                let number = kept[*batch].numbers[*row] + 1;
                return Err(self.wrong(format!("row {number}: {key} occurs in an earlier row, too; a key has one row")));
            }
        }
        Ok(())
    }

    fn identity(&self) -> Vec<&str> {
        let value = self.descriptor.value.columns.iter().map(|c| c.name.as_str());
        let more = match self.descriptor.kind {
            StateKind::Value | StateKind::Reducing | StateKind::Aggregating | StateKind::Groups => 0,
            StateKind::Map | StateKind::List => 1,
            StateKind::Timers => usize::MAX,
        };
        self.descriptor.key.columns.iter().map(|c| c.name.as_str()).chain(value.take(more)).collect()
    }
}

impl Bootstrap {
    /// Rows that are held at once unless something else is wanted.
    pub const ROWS_AT_ONCE: usize = limits::IMPORT_ROWS;
}

/// The columns that a file gives: all of the state's but `key_group`, which is computed.
fn given_columns(descriptor: &StateDescriptor) -> crate::types::Schema {
    let columns = descriptor.columns().columns;
    crate::types::Schema::new(columns.into_iter().filter(|c| c.name != KEY_GROUP).collect())
}
