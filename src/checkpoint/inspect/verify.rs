//! Is a snapshot sound: every file there, as long as it was, with its checksum, readable, its rows sorted, each in the key group of its
//! key, no key twice. Everything that is wrong is found, not only the first thing.

use super::defects::{Defect, Defects, FirstRow};
use super::groups::{GroupCursor, GroupRows, groups_of};
use super::keys::{RowBytes, key_groups};
use super::pieces::{FoundRows, Piece};
use super::{InspectError, Snapshot, StateRef};
use crate::checkpoint::error::RestoreError;
use crate::checkpoint::manifest::FileEntry;
use crate::state::StateDescriptor;
use crate::types::{KeyGroup, MaxParallelism};
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Int32Type;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::Range;
use std::path::PathBuf;

/// What was looked at, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verified {
    /// Files that were looked at.
    pub files: u64,
    /// Their rows, of those that can be read.
    pub rows: u64,
    /// What is wrong.
    pub defects: Defects,
}

/// Looks at every file of a snapshot. Errors only if the disk fails.
pub fn verify(snapshot: &Snapshot) -> Result<Verified, InspectError> {
    let mut verified = Verified::default();
    let mut damaged = BTreeSet::new();
    for operator in &snapshot.manifest().operators {
        for store in &operator.stores {
            for file in &store.files {
                if !is_whole(snapshot, &file.file, &mut verified)? {
                    damaged.insert((&operator.uid, store.subtask));
                }
            }
        }
    }
    for state in snapshot.states() {
        let mut sound = Vec::new();
        for piece in state.pieces() {
            let before = verified.defects.list.len();
            let readable = match piece {
                Piece::File(file) => is_whole(snapshot, file, &mut verified)?,
                Piece::Store(store, _) => !damaged.contains(&(&state.operator.uid, store.subtask)),
            };
            if !readable {
                continue;
            }
            verified.rows += check_rows(snapshot, &state, piece, &mut verified.defects)?;
            if verified.defects.list.len() == before {
                sound.push(piece);
            }
        }
        if state.tells_rows_apart() {
            check_keys(snapshot, &state, &sound, &mut verified.defects)?;
        }
    }
    Ok(verified)
}

/// Compares a file with what is recorded of it; notes what is wrong.
fn is_whole(snapshot: &Snapshot, file: &FileEntry, verified: &mut Verified) -> Result<bool, InspectError> {
    verified.files += 1;
    let Err(error) = snapshot.checkpoint.verify(file) else { return Ok(true) };
    verified.defects.list.push(defect_of(error)?);
    Ok(false)
}

/// The defect that an error in reading a file is; a disk that fails is none.
fn defect_of(error: RestoreError) -> Result<Defect, InspectError> {
    match error {
        RestoreError::MissingFile { path } => Ok(Defect { path, row: None, what: "the file is missing".to_owned(), more: 0 }),
        RestoreError::AlteredFile { path, message } => Ok(Defect { path, row: None, what: message, more: 0 }),
        other => Err(other.into()),
    }
}

/// Reads one file or store: can its rows be read as the state's columns, are they sorted, are they in their key's group, are they as many
/// as were written. Returns how many there are.
pub(super) fn check_rows(snapshot: &Snapshot, state: &StateRef<'_>, piece: Piece<'_>, defects: &mut Defects) -> Result<u64, InspectError> {
    let path = snapshot.path_of_piece(state, piece);
    let whole = |what: String| Defect { path: path.clone(), row: None, what, more: 0 };
    let batches = match snapshot.stream(state, piece, None) {
        Ok(batches) => batches,
        Err(InspectError::Snapshot(error)) => {
            defects.list.push(defect_of(error)?);
            return Ok(0);
        }
        Err(other) => return Err(other),
    };
    let mut check = RowCheck::new(snapshot.manifest().max_parallelism, state, piece.key_groups());
    let mut counted = batches.rows();
    let mut broken = false;
    for batch in batches {
        let failed = match batch {
            Ok(FoundRows { found, rows }) => check.converted(&found, &rows).and_then(|()| check.take(&rows)).err(),
            Err(error) => {
                let Defect { what, .. } = defect_of(error)?;
                let near = if check.row == 0 { String::new() } else { format!("behind row {}: ", check.row) };
                Some(format!("{near}{what}"))
            }
        };
        if let Some(message) = failed {
            defects.list.push(whole(message));
            broken = true;
            break;
        }
    }
    let rows = check.row;
    // What was read is what there is, whatever a footer says; a store has none.
    if let Some(claimed) = counted.filter(|claimed| !broken && *claimed != rows) {
        defects.list.push(whole(format!("{rows} rows, its footer says {claimed}")));
    }
    if !broken {
        counted = Some(rows);
    }
    if let (Some(expected), Some(counted)) = (piece.rows(), counted)
        && (counted > expected || counted < expected && !piece.may_have_fewer())
    {
        defects.list.push(whole(format!("{counted} rows, {expected} were written")));
    }
    defects.list.extend(check.defects(path.clone()));
    Ok(rows)
}

/// What is looked at row by row within one file.
struct RowCheck<'a> {
    max: MaxParallelism,
    descriptor: Option<&'a StateDescriptor>,
    /// How many subtasks saved it, of operator state that a function registered.
    subtasks: Option<usize>,
    /// Rows so far.
    row: u64,
    last: i32,
    range: FirstRow,
    order: FirstRow,
    group: FirstRow,
    /// The key groups that the rows must be of, and the first one of another.
    own: Option<Range<i32>>,
    foreign: FirstRow,
    lossy: BTreeMap<String, FirstRow>,
}

impl<'a> RowCheck<'a> {
    fn new(max: MaxParallelism, state: &StateRef<'a>, own: Option<Range<i32>>) -> Self {
        let (range, order, group, foreign) = Default::default();
        let subtasks = state.registered().map(|_| state.operator.parallelism.get());
        Self { max, descriptor: state.descriptor(), subtasks, row: 0, last: 0, range, order, group, own, foreign, lossy: BTreeMap::new() }
    }

    /// Another tool may have written fractions where whole numbers belong: what a conversion would cut off is a defect.
    fn converted(&mut self, found: &RecordBatch, conformed: &RecordBatch) -> Result<(), String> {
        for (field, target) in conformed.schema().fields().iter().zip(conformed.columns()) {
            let Some(source) = found.column_by_name(field.name()) else { continue };
            if source.data_type() == target.data_type() || !source.data_type().is_floating() || target.data_type().is_floating() {
                continue;
            }
            let back = arrow::compute::cast(target, source.data_type()).map_err(|e| e.to_string())?;
            let same = arrow::compute::kernels::cmp::not_distinct(&back, source).map_err(|e| e.to_string())?;
            let lossy = self.lossy.entry(field.name().clone()).or_default();
            for (at, kept) in same.values().iter().enumerate() {
                if !kept {
                    lossy.note(self.row + at as u64, || {
                        format!("column {}: a fraction, where {} belongs", field.name(), target.data_type())
                    });
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, batch: &RecordBatch) -> Result<(), String> {
        let Some(descriptor) = self.descriptor else {
            self.take_subtasks(batch);
            self.row += batch.num_rows() as u64;
            return Ok(());
        };
        let right = key_groups(batch, descriptor, self.max).map_err(|e| e.to_string())?;
        for (found, KeyGroup(right)) in groups_of(batch).into_iter().zip(right) {
            if found != i32::from(right) {
                let outside = usize::try_from(found).map_or(true, |found| found >= self.max.get());
                let max = self.max;
                let noted = if outside { &mut self.range } else { &mut self.group };
                let there_are = if outside { format!(", there are {max}") } else { String::new() };
                noted.note(self.row, || format!("key group {found}{there_are}; its key belongs to {right}"));
            }
            if found < self.last {
                let last = self.last;
                self.order.note(self.row, || format!("key group {found} stands behind {last}: rows must be sorted by key_group"));
            }
            if let Some(own) = self.own.as_ref().filter(|own| !own.contains(&found)) {
                let last = own.end - 1;
                self.foreign.note(self.row, || format!("key group {found} in a store of key groups {} to {last}", own.start));
            }
            self.last = found;
            self.row += 1;
        }
        Ok(())
    }

    /// A row of operator state is of a subtask that there was.
    fn take_subtasks(&mut self, batch: &RecordBatch) {
        let column = batch.columns().first().and_then(|column| column.as_primitive_opt::<Int32Type>());
        let (Some(subtasks), Some(column)) = (self.subtasks, column) else { return };
        for (row, found) in (self.row..).zip(column.values()) {
            if usize::try_from(*found).map_or(true, |found| found >= subtasks) {
                self.range.note(row, || format!("subtask {found}, there were {subtasks}"));
            }
        }
    }

    fn defects(self, path: PathBuf) -> Vec<Defect> {
        let noted = [self.range, self.group, self.order, self.foreign].into_iter().chain(self.lossy.into_values());
        noted.filter_map(|first| first.defect(path.clone())).collect()
    }
}

/// Looks for keys that occur twice, in one piece or in several. Those that are not sound are left out: their rows may not be sorted.
pub(super) fn check_keys(
    snapshot: &Snapshot,
    state: &StateRef<'_>,
    pieces: &[Piece<'_>],
    defects: &mut Defects,
) -> Result<(), InspectError> {
    let mut cursor = GroupCursor::new(snapshot, state, pieces.iter().copied())?;
    let schema = state.columns().to_arrow();
    let identity: Vec<usize> = state.identity().iter().filter_map(|name| schema.index_of(name).ok()).collect();
    let Ok(bytes) = RowBytes::new(&schema, identity) else { return Ok(()) };
    let mut twice: BTreeMap<PathBuf, FirstRow> = BTreeMap::new();
    while let Some(GroupRows { parts, .. }) = cursor.next()? {
        let mut seen: HashSet<Vec<u8>> = HashSet::new();
        for part in parts {
            // Types that cannot be compared cannot be keys either.
            let Ok(rows) = bytes.rows(&part.rows) else { return Ok(()) };
            for row in 0..part.rows.num_rows() {
                if !seen.insert(rows.row(row)) {
                    let noted = twice.entry(part.path.clone()).or_default();
                    noted.note(part.first_row + row as u64, || {
                        format!("{} occurs in an earlier row, too", key_text(state, &part.rows, row))
                    });
                }
            }
        }
    }
    defects.list.extend(twice.into_iter().filter_map(|(path, first)| first.defect(path)));
    Ok(())
}

/// `the key carrier=UA, origin=EWR`
fn key_text(state: &StateRef<'_>, batch: &RecordBatch, row: usize) -> String {
    let value = |name: &String| {
        let text = batch.column_by_name(name).map(|column| arrow::util::display::array_value_to_string(column, row));
        format!("{name}={}", text.and_then(Result::ok).unwrap_or_default())
    };
    let identity = state.identity();
    if identity.is_empty() {
        return "the one row of a state without key".to_owned();
    }
    format!("the key {}", identity.iter().map(value).collect::<Vec<_>>().join(", "))
}
