//! The operator: rows in, a changelog of the groups' results out. Follows Flink's `GroupAggFunction` (one result a row) and
//! `MiniBatchGroupAggFunction` (one a group and batch).

use super::call::Call;
use super::emit::{Action, Actions, Changelog, append_batch, count_rows, records_column};
use super::kernel::{Pass, Results, Wanted};
use super::plan::AggregatePlan;
use crate::operator::{InputIndex, Operator, OperatorContext, OperatorError, Output};
use crate::state::{GroupRef, GroupTable, GroupsHandle, canonical_key};
use crate::types::{Batch, RowKind, RowKinds, hash_keys, key_group_of, limits};
use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::kernels::cmp::distinct;
use arrow::compute::{concat, interleave, or, take};
use std::sync::Arc;

/// See the module.
#[derive(Debug)]
pub(super) struct GroupAggregate {
    plan: Arc<AggregatePlan>,
    opened: Option<Opened>,
    hashes: Vec<u64>,
    groups: Vec<GroupRef>,
}

/// What `open` made.
#[derive(Debug)]
struct Opened {
    handle: GroupsHandle,
    calls: Vec<Call>,
    /// In batch mode: the groups in the order in which they came; some are gone, some stand twice.
    order: Vec<GroupRef>,
}

impl GroupAggregate {
    pub(super) fn new(plan: Arc<AggregatePlan>) -> Self {
        Self { plan, opened: None, hashes: Vec::new(), groups: Vec::new() }
    }
}

impl Operator for GroupAggregate {
    fn open(&mut self, context: &mut OperatorContext<'_>) -> Result<(), OperatorError> {
        let plan = &self.plan;
        let handle = context.state.register_expiring_groups(super::plan::STATE, &plan.keys, plan.accumulators(), plan.ttl())?;
        let table = context.state.groups(handle)?;
        let calls = plan.bind(table.layout());
        // Restored groups have lost their order of arrival; that of the table is at least always the same.
        let order = if plan.spec.batch_mode { table.groups() } else { Vec::new() };
        self.opened = Some(Opened { handle, calls, order });
        Ok(())
    }

    fn process(
        &mut self,
        _input: InputIndex,
        batch: Batch,
        context: &mut OperatorContext<'_>,
        out: &mut Output,
    ) -> Result<(), OperatorError> {
        let opened = self.opened.as_mut().ok_or_else(not_open)?;
        context.state.set_time(context.now, context.watermark);
        let table = context.state.groups(opened.handle)?;
        table.sweep()?;
        table.make_room()?;
        let keys: Vec<ArrayRef> = self.plan.spec.group_by.iter().map(|column| canonical_key(batch.column(*column))).collect();
        hash_keys(&keys, batch.num_rows(), &mut self.hashes)?;
        if batch.num_rows() == 0 {
            return Ok(());
        }
        self.groups.clear();
        let (plan, hashes) = (&self.plan, &self.hashes);
        let mut work = Work { plan, calls: &opened.calls, table, keys: &keys, hashes, batch: &batch, groups: &mut self.groups };
        let actions = if plan.spec.batch_mode {
            let (actions, _) = work.update_in_blocks(Wanted::Nothing, None)?;
            let first = actions.of_rows.iter().zip(&self.groups).filter(|(action, _)| **action == Action::First);
            opened.order.extend(first.map(|(_, group)| *group));
            actions
        } else if plan.spec.mini_batch {
            work.update_by_group(out)?
        } else {
            work.update_by_row(out)?
        };
        let table = context.state.groups(opened.handle)?;
        release(table, &self.groups, &self.hashes, &actions);
        Ok(())
    }

    /// Time goes on without rows, too: groups that have expired by now leave memory, and are in no snapshot that follows.
    fn flush(&mut self, context: &mut OperatorContext<'_>, _out: &mut Output) -> Result<(), OperatorError> {
        if self.plan.ttl().is_some() {
            let opened = self.opened.as_ref().ok_or_else(not_open)?;
            context.state.set_time(context.now, context.watermark);
            context.state.groups(opened.handle)?.sweep()?;
        }
        Ok(())
    }

    fn end_of_input(&mut self, context: &mut OperatorContext<'_>, out: &mut Output) -> Result<(), OperatorError> {
        if !self.plan.spec.batch_mode {
            return Ok(());
        }
        let opened = self.opened.as_mut().ok_or_else(not_open)?;
        let (own, max) = (context.state.key_groups(), context.state.max_parallelism());
        let table = context.state.groups(opened.handle)?;
        table.thaw();
        if self.plan.spec.group_by.is_empty() && table.is_empty() {
            // An aggregate over nothing, without GROUP BY, has one row all the same.
            hash_keys(&[], 1, &mut self.hashes)?;
            let here = self.hashes.iter().any(|hash| own.contains(key_group_of(*hash, max)));
            if here {
                table.locate(&[], &self.hashes, &mut self.groups)?;
                emit_final(&self.plan, &opened.calls, table, &self.groups, out)?;
            }
            return Ok(());
        }
        let mut order = std::mem::take(&mut opened.order);
        order.retain(|group| table.is_live(*group) && table.mark(*group));
        table.unmark(&order);
        for groups in order.chunks(limits::BATCH_ROWS) {
            emit_final(&self.plan, &opened.calls, table, groups, out)?;
        }
        Ok(())
    }
}

fn not_open() -> OperatorError {
    OperatorError::Invariant("GroupAggregate was used before it was opened".to_owned())
}

fn emit_final(
    plan: &AggregatePlan,
    calls: &[Call],
    table: &mut GroupTable,
    groups: &[GroupRef],
    out: &mut Output,
) -> Result<(), OperatorError> {
    let mut columns = table.keys(groups)?;
    for call in calls {
        columns.push(call.read(table, groups)?);
    }
    out.emit(append_batch(&plan.schema, columns, groups.len())?);
    Ok(())
}

/// Deletes the groups that have no record left.
fn release(table: &mut GroupTable, groups: &[GroupRef], hashes: &[u64], actions: &Actions) {
    if actions.signs.is_none() {
        return;
    }
    let records = table.layout().records();
    for ((group, hash), action) in groups.iter().zip(hashes).zip(&actions.of_rows) {
        let may_be_empty = matches!(action, Action::Delete | Action::Ignore);
        if may_be_empty && table.row(*group)[records] == 0 {
            table.release(*group, *hash);
        }
    }
}

/// Rows that go through all aggregates before the next ones do: few enough that their groups stay in the cache meanwhile.
const BLOCK_ROWS: usize = 1_024;

/// One batch, its keys hashed.
struct Work<'a> {
    plan: &'a AggregatePlan,
    calls: &'a [Call],
    table: &'a mut GroupTable,
    keys: &'a [ArrayRef],
    hashes: &'a [u64],
    batch: &'a Batch,
    /// The groups of the rows, as far as they are located.
    groups: &'a mut Vec<GroupRef>,
}

impl Work<'_> {
    /// Applies the batch to all aggregates. Returns what its rows do, and the wanted values, one column a call.
    fn update_in_blocks(&mut self, wanted: Wanted, mut changed: Option<&mut [bool]>) -> Result<(Actions, Vec<ArrayRef>), OperatorError> {
        let rows = self.batch.num_rows();
        let mut whole = Actions { of_rows: Vec::with_capacity(rows), signs: None, records: Results::with_capacity(0) };
        let mut parts: Vec<Vec<ArrayRef>> = vec![Vec::new(); self.calls.len()];
        let mut block = Vec::new();
        for start in (0..rows).step_by(BLOCK_ROWS) {
            let length = BLOCK_ROWS.min(rows - start);
            let keys: Vec<ArrayRef> = self.keys.iter().map(|key| key.slice(start, length)).collect();
            self.table.locate(&keys, &self.hashes[start..start + length], &mut block)?;
            self.table.renew(&block);
            let batch = self.batch.slice(start, length);
            let changed = changed.as_deref_mut().map(|changed| &mut changed[start..start + length]);
            let (actions, columns) = self.update_block(&batch, &block, wanted, changed)?;
            parts.iter_mut().zip(columns).for_each(|(parts, column)| parts.push(column));
            self.groups.extend_from_slice(&block);
            whole.of_rows.extend(actions.of_rows);
            if let Some(signs) = actions.signs {
                whole.signs.get_or_insert_default().extend(signs);
            }
        }
        let columns = if wanted == Wanted::Nothing { Vec::new() } else { parts.into_iter().map(joined).collect::<Result<_, _>>()? };
        Ok((whole, columns))
    }

    fn update_block(
        &mut self,
        batch: &Batch,
        groups: &[GroupRef],
        wanted: Wanted,
        mut changed: Option<&mut [bool]>,
    ) -> Result<(Actions, Vec<ArrayRef>), OperatorError> {
        let counted = if self.calls.iter().any(Call::is_record_count) { wanted } else { Wanted::Nothing };
        let mut actions = count_rows(self.table, groups, batch.kinds(), counted);
        let records = records_column(std::mem::replace(&mut actions.records, Results::with_capacity(0)));
        let mut columns = Vec::with_capacity(self.calls.len());
        for call in self.calls {
            if call.is_record_count() {
                columns.push(Arc::clone(&records));
                continue;
            }
            let pass = Pass { groups, signs: actions.signs.as_deref(), wanted, changed: changed.as_deref_mut() };
            columns.push(call.update(self.table, batch, pass)?);
        }
        Ok((actions, columns))
    }

    /// One result a row, in the order of the rows.
    fn update_by_row(&mut self, out: &mut Output) -> Result<Actions, OperatorError> {
        let doubled = self.plan.spec.emit_update_before;
        let wanted = if doubled { Wanted::OldAndNew } else { Wanted::New };
        // A COUNT(*) changes with every row: then there is nothing to look for. With a TTL, what did not change comes out, too, as in Flink: whoever
        // keeps state of it must see that it lives.
        let all = self.plan.ttl().is_some() || self.calls.iter().any(Call::is_record_count);
        let mut changed = (!all).then(|| vec![false; self.batch.num_rows()]);
        let (actions, aggregates) = self.update_in_blocks(wanted, changed.as_deref_mut())?;
        let (schema, keys) = (&self.plan.schema, self.keys);
        let changelog = Changelog { schema, keys, aggregates, actions: &actions.of_rows, changed: changed.as_deref(), doubled };
        out.emit(changelog.into_batch()?);
        Ok(actions)
    }

    /// One result a group, in the order in which the batch names the groups.
    fn update_by_group(&mut self, out: &mut Output) -> Result<Actions, OperatorError> {
        let mut located = Vec::new();
        self.table.locate(self.keys, self.hashes, &mut located)?;
        self.table.renew(&located);
        let (mut groups, mut first_rows) = (Vec::new(), Vec::new());
        for (group, at) in located.iter().zip(0_u32..) {
            if self.table.mark(*group) {
                groups.push(*group);
                first_rows.push(at);
            }
        }
        self.table.unmark(&groups);
        let records = self.table.layout().records();
        let existed: Vec<bool> = groups.iter().map(|group| self.table.row(*group)[records] != 0).collect();
        let before = read_all(self.calls, self.table, &groups)?;
        let keys = first_keys(self.keys, first_rows)?;
        let (actions, _) = self.update_block(self.batch, &located, Wanted::Nothing, None)?;
        self.groups.extend_from_slice(&located);
        let after = read_all(self.calls, self.table, &groups)?;
        let exists: Vec<bool> = groups.iter().map(|group| self.table.row(*group)[records] != 0).collect();
        let update = GroupUpdates { plan: self.plan, keys, before, after, existed, exists };
        out.emit(update.into_batch()?);
        Ok(actions)
    }
}

/// One column of the columns of the blocks.
fn joined(parts: Vec<ArrayRef>) -> Result<ArrayRef, OperatorError> {
    if let [part] = parts.as_slice() {
        return Ok(Arc::clone(part));
    }
    let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
    Ok(concat(&parts)?)
}

fn read_all(calls: &[Call], table: &mut GroupTable, groups: &[GroupRef]) -> Result<Vec<ArrayRef>, OperatorError> {
    calls.iter().map(|call| call.read(table, groups)).collect()
}

fn first_keys(keys: &[ArrayRef], rows: Vec<u32>) -> Result<Vec<ArrayRef>, OperatorError> {
    let rows = UInt32Array::from(rows);
    Ok(keys.iter().map(|key| take(key, &rows, None)).collect::<Result<_, _>>()?)
}

/// What became of some groups, all columns with one value a group.
struct GroupUpdates<'a> {
    plan: &'a AggregatePlan,
    keys: Vec<ArrayRef>,
    before: Vec<ArrayRef>,
    after: Vec<ArrayRef>,
    existed: Vec<bool>,
    exists: Vec<bool>,
}

impl GroupUpdates<'_> {
    fn into_batch(self) -> Result<Batch, OperatorError> {
        let mut changed: Option<BooleanArray> = None;
        for (before, after) in self.before.iter().zip(&self.after) {
            let differs = distinct(before, after)?;
            changed = Some(match changed {
                None => differs,
                Some(changed) => or(&changed, &differs)?,
            });
        }
        let (mut kinds, mut sources) = (Vec::new(), Vec::new());
        // (0, group): its values before; (1, group): its values after.
        let mut push = |kind, side, group| {
            kinds.push(kind);
            sources.push((side, group));
        };
        let expires = self.plan.ttl().is_some();
        for (group, state) in self.existed.iter().copied().zip(self.exists.iter().copied()).enumerate() {
            match state {
                (false, true) => push(RowKind::Insert, 1, group),
                (true, false) => push(RowKind::Delete, 0, group),
                (true, true) if expires || changed.as_ref().is_some_and(|changed| changed.value(group)) => {
                    if self.plan.spec.emit_update_before {
                        push(RowKind::UpdateBefore, 0, group);
                    }
                    push(RowKind::UpdateAfter, 1, group);
                }
                (false, false) | (true, true) => {}
            }
        }
        let rows: UInt32Array = sources.iter().map(|(_, group)| *group as u32).collect();
        let mut columns = self.keys.iter().map(|key| take(key, &rows, None)).collect::<Result<Vec<_>, _>>()?;
        for (before, after) in self.before.iter().zip(&self.after) {
            columns.push(interleave(&[before.as_ref(), after.as_ref()], &sources)?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(kinds.len()));
        let columns = RecordBatch::try_new_with_options(Arc::clone(&self.plan.schema), columns, &options)?;
        let kinds: RowKinds = kinds.into_iter().collect();
        Ok(Batch::changelog(columns, kinds)?)
    }
}
