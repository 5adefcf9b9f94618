//! What a barrier does to groups behind which a store lies: those that changed are frozen, and written while processing goes on.

use super::layout::{FLAGS, GroupLayout, LIVE};
use super::payload::{Extent, FrozenPayload, Payload};
use super::rows::Rows;
use super::spill::StoreKeys;
use super::{GroupTable, codec};
use crate::state::StateError;
use crate::state::rocksdb::{Changes, Flush, FlushPart, Store, put_expiry, set_expiry};
use crate::types::KeyGroup;
use std::collections::VecDeque;
use std::sync::Arc;

/// The groups of one key group at a barrier, and what belongs to them.
struct FrozenGroups {
    key_group: KeyGroup,
    rows: Arc<Rows>,
    payload: Option<Box<dyn FrozenPayload>>,
}

impl GroupTable {
    /// Freezes the groups that changed since the last barrier; returns what writes them, if there is anything. [`Self::flushing`]
    /// must follow.
    pub(in crate::state) fn freeze_changes(&mut self, payload: &mut dyn Payload) -> Option<FlushPart> {
        let spill = self.spill.as_mut()?;
        let mut frozen = VecDeque::new();
        for ((at, key_group), table) in (0..).zip(self.key_groups.as_range()).zip(&mut self.tables) {
            if std::mem::take(&mut table.spilled.dirty) {
                let rows = table.freeze(self.layout.stride);
                let payload = spill.has_payload.then(|| payload.freeze(at));
                frozen.push_back(FrozenGroups { key_group: KeyGroup(key_group), rows, payload });
                (table.spilled.stored, table.spilled.clean_on_thaw) = (true, true);
            }
        }
        if frozen.is_empty() && spill.deleted.is_empty() {
            return None;
        }
        let deleted = spill.deleted.clone();
        let (family, layout) = (spill.family.clone(), Arc::clone(&self.layout));
        Some(Box::new(move |store| write_changes(store, &family, &layout, frozen, deleted)))
    }

    /// The changes of the last barrier are being written by `flush`.
    pub(in crate::state) fn flushing(&mut self, flush: &Arc<Flush>) {
        if let Some(spill) = &mut self.spill {
            let deleted = std::mem::take(&mut spill.deleted);
            spill.flush = Some((Arc::clone(flush), Arc::new(deleted)));
        }
    }
}

/// Writes frozen rows that changed and deletes what was deleted, key group by key group.
fn write_changes(
    store: &Store,
    family: &str,
    layout: &GroupLayout,
    mut frozen: VecDeque<FrozenGroups>,
    deleted: StoreKeys,
) -> Result<(), StateError> {
    let rows: usize = frozen.iter().map(|groups| groups.rows.pages().at_most_dirty()).sum();
    let mut deleted = deleted.into_iter().peekable();
    let mut changes = Changes::default();
    let mut next = |changes: &mut Changes| -> Result<bool, StateError> {
        let group_of = |key: &[u8]| codec::split_key(key).map(|(key_group, _)| key_group);
        let of_frozen = frozen.front().map(|groups| groups.key_group);
        let of_deleted = deleted.peek().map(|key| group_of(key)).transpose()?;
        let Some(key_group) = of_frozen.into_iter().chain(of_deleted).min() else { return Ok(false) };
        if of_frozen == Some(key_group)
            && let Some(groups) = frozen.pop_front()
        {
            put_dirty_rows(changes, layout, groups)?;
        }
        while let Some(key) = deleted.next_if(|key| group_of(key).is_ok_and(|of_key| of_key == key_group)) {
            changes.delete(&key);
        }
        Ok(true)
    };
    if rows < SMALL_FLUSH {
        while next(&mut changes)? {}
        changes.sort();
        return store.write(family, &changes);
    }
    store.ingest(family, |put| {
        while next(&mut changes)? {
            changes.sort();
            put(&changes)?;
            changes.clear();
            // Where there are more threads than cores, rows go first.
            std::thread::yield_now();
        }
        Ok(())
    })
}

/// Fewer rows are written at once.
const SMALL_FLUSH: usize = 16_384;

fn put_dirty_rows(changes: &mut Changes, layout: &GroupLayout, groups: FrozenGroups) -> Result<(), StateError> {
    let FrozenGroups { key_group, rows, mut payload } = groups;
    for row in rows.pages().dirty_rows(rows.len(), layout.stride) {
        if rows.row(row, layout.stride)[FLAGS] & LIVE != 0 {
            let place = RowPlace { key_group, layout, rows: &rows, row };
            match &mut payload {
                None => place.put(changes, None)?,
                Some(payload) => match payload.extent(rows.row(row, layout.stride)) {
                    Extent::Whole => place.put(changes, Some(&mut |out| payload.put(row, out)))?,
                    Extent::Added => place.merge(changes, &mut |out| payload.put(row, out)),
                    // The barrier before has written it.
                    Extent::Spent => {}
                },
            }
        }
    }
    Ok(())
}

/// Appends what belongs to a group and says when that has expired.
pub(super) type PutPayload<'a> = dyn FnMut(&mut Vec<u8>) -> i64 + 'a;

/// A group in memory on its way to the store.
pub(super) struct RowPlace<'a> {
    pub(super) key_group: KeyGroup,
    pub(super) layout: &'a GroupLayout,
    pub(super) rows: &'a Rows,
    pub(super) row: u32,
}

impl RowPlace<'_> {
    /// Appends the key under which the store has it.
    pub(super) fn put_key(&self, out: &mut Vec<u8>) {
        codec::put_key_group(out, self.key_group);
        codec::put_key(out, self.layout, self.rows, self.row);
    }

    /// Adds its payload to what the store has of it, if it is anything.
    pub(super) fn merge(&self, changes: &mut Changes, payload: &mut PutPayload<'_>) {
        let put = |out: &mut Vec<u8>| {
            payload(out);
        };
        changes.merge(|out| self.put_key(out), put);
    }

    /// Adds the row; with a payload its expiry stands in front.
    pub(super) fn put(&self, changes: &mut Changes, payload: Option<&mut PutPayload<'_>>) -> Result<(), StateError> {
        let mut result = Ok(());
        changes.put(
            |out| self.put_key(out),
            |out| match payload {
                None => result = codec::put_value(out, self.layout, self.rows, self.row),
                Some(payload) => {
                    let start = out.len();
                    put_expiry(out, 0);
                    result = codec::put_value(out, self.layout, self.rows, self.row);
                    let expires_at = payload(out);
                    set_expiry(out, start, expires_at);
                }
            },
        );
        result
    }
}
