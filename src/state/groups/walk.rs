//! Groups by their keys as the store has them: all those of a key group, wherever they lie.

use super::flush::RowPlace;
use super::payload::Payload;
use super::rows::Rows;
use super::spill::StoreKey;
use super::{GroupRef, GroupTable, codec, key_columns};
use crate::state::StateError;
use crate::types::{KeyGroup, hash_keys};
use std::collections::BTreeSet;

impl GroupTable {
    /// The keys of all groups of a key group, by its position; `None` behind the last one.
    pub(in crate::state) fn keys_of(&self, table: usize) -> Result<Option<Vec<StoreKey>>, StateError> {
        let Some(found) = self.tables.get(table) else { return Ok(None) };
        let key_group = KeyGroup(self.key_groups.as_range().start + table as u16);
        let rows = found.readable();
        let key = |row: u32| {
            let mut key = Vec::new();
            RowPlace { key_group, layout: &self.layout, rows, row }.put_key(&mut key);
            StoreKey::from(key)
        };
        let mut keys: BTreeSet<StoreKey> = rows.live_rows(&self.layout).into_iter().map(key).collect();
        if let Some(spill) = self.spill.as_ref().filter(|_| found.spilled.may_hold_more()) {
            let (from, to) = (key_group.0.to_be_bytes(), (key_group.0 + 1).to_be_bytes());
            spill.store.scan(&spill.family, &from, &to, |key, _| {
                if !spill.is_deleted(key) {
                    keys.insert(key.into());
                }
                Ok(true)
            })?;
        }
        Ok(Some(keys.into_iter().collect()))
    }

    /// Finds the groups with these keys, or makes them, and writes them into `found` with the hashes of their keys (both cleared first).
    pub(in crate::state) fn locate_stored(
        &mut self,
        keys: &[StoreKey],
        found: &mut Vec<GroupRef>,
        hashes: &mut Vec<u64>,
        payload: &mut dyn Payload,
    ) -> Result<(), StateError> {
        let mut rows = Rows::new(&self.layout);
        for key in keys {
            let row = rows.allocate(self.layout.stride)?;
            codec::read_key(codec::split_key(key)?.1, &self.layout, &mut rows, row)?;
        }
        let numbered: Vec<(&Rows, u32)> = (0..rows.len()).map(|row| (&rows, row)).collect();
        let columns = key_columns(&self.layout, &numbered)?;
        hash_keys(&columns, keys.len(), hashes)?;
        self.locate_beside(&columns, hashes, found, payload)
    }
}
