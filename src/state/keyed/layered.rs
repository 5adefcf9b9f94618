//! A column of one key group, which a snapshot may be reading: then it does not change, and what is written lies slot by slot in another
//! one, until nobody reads it any more. So a batch after a barrier copies the keys that it writes to, however many there are.

use super::table::Column;
use std::sync::Arc;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Layered<C> {
    /// All slots; while there is something below, those that were written since.
    live: C,
    below: Option<Box<Below<C>>>,
}

#[derive(Debug)]
struct Below<C> {
    column: Arc<C>,
    /// For each slot where it lies in `live`, from 1 on; 0: it is as it is in `column`. Empty: nothing was written.
    places: Vec<u32>,
}

impl<C: Column> Layered<C> {
    /// Where a slot is to be read.
    #[inline]
    pub(super) fn read(&self, slot: usize) -> (&C, usize) {
        match &self.below {
            None => (&self.live, slot),
            Some(below) => self.read_over(below, slot),
        }
    }

    fn read_over<'a>(&'a self, below: &'a Below<C>, slot: usize) -> (&'a C, usize) {
        match below.places.get(slot) {
            None | Some(0) => (&below.column, slot),
            Some(place) => (&self.live, *place as usize - 1),
        }
    }

    /// Where a slot is to be written.
    #[inline]
    pub(super) fn write(&mut self, slot: usize) -> (&mut C, usize) {
        let slot = if self.below.is_some() { self.write_over(slot) } else { slot };
        (&mut self.live, slot)
    }

    /// Makes a slot one of `live`; returns which.
    #[cold]
    fn write_over(&mut self, slot: usize) -> usize {
        if self.below.as_ref().is_some_and(|below| C::SHARES || below.places.is_empty()) {
            self.thaw();
        }
        let Some(below) = &mut self.below else { return slot };
        if slot >= below.places.len() {
            // All at once the first time: zeroed memory costs nothing before it is used.
            let slots = below.column.slots().max(slot + 1);
            if below.places.is_empty() {
                below.places = vec![0; slots];
            }
            below.places.resize(slots, 0);
        }
        let place = &mut below.places[slot];
        if *place == 0 {
            let at = self.live.slots();
            self.live.push_copy(&below.column, slot);
            *place = at as u32 + 1;
        }
        *place as usize - 1
    }

    /// Takes back what a snapshot was reading, if it is done with that, or where a copy costs nothing.
    fn thaw(&mut self) {
        let Some(Below { column, places }) = self.below.take().map(|below| *below) else { return };
        match Arc::try_unwrap(column) {
            Ok(column) => self.put_back(column, &places),
            Err(shared) if C::SHARES => self.live = C::clone(&shared),
            Err(column) => self.below = Some(Box::new(Below { column, places })),
        }
    }

    /// `column` and what was written over it become one.
    fn put_back(&mut self, column: C, places: &[u32]) {
        let mut written = std::mem::replace(&mut self.live, column);
        for (slot, place) in places.iter().enumerate().filter(|(_, place)| **place != 0) {
            self.live.put_back(slot, &mut written, *place as usize - 1);
        }
    }

    /// Slots that were copied because a snapshot reads them.
    pub(super) fn copied(&self) -> usize {
        if self.below.is_some() { self.live.slots() } else { 0 }
    }

    /// True while a snapshot may read what lies below.
    pub(super) fn is_layered(&self) -> bool {
        self.below.is_some()
    }

    /// Takes back what snapshots are done with. False if it is still read.
    pub(super) fn absorb(&mut self) -> bool {
        if self.below.as_ref().is_some_and(|below| Arc::strong_count(&below.column) == 1) {
            self.thaw();
        }
        !self.is_layered()
    }

    /// Slots that may hold something are below this.
    pub(super) fn slots(&self) -> usize {
        match &self.below {
            None => self.live.slots(),
            Some(below) => below.column.slots().max(below.places.len()),
        }
    }

    /// What there is now, to be read while it changes.
    pub(super) fn freeze(&mut self) -> Arc<C> {
        if self.copied() > 0 {
            self.settle();
        }
        if let Some(below) = &self.below {
            return Arc::clone(&below.column);
        }
        let column = Arc::new(std::mem::take(&mut self.live));
        self.below = Some(Box::new(Below { column: Arc::clone(&column), places: Vec::new() }));
        column
    }

    /// All slots become those of one column: what an earlier snapshot still reads is copied.
    #[cold]
    fn settle(&mut self) {
        self.thaw();
        if let Some(Below { column, places }) = self.below.take().map(|below| *below) {
            self.put_back(C::clone(&column), &places);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Cells;
    use super::*;
    use crate::types::Datum;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    type Model = BTreeMap<usize, i64>;

    fn content(read: impl Fn(usize) -> Option<i64>) -> Model {
        (0..100).filter_map(|slot| Some((slot, read(slot)?))).collect()
    }

    fn set(cells: &mut Layered<Cells>, slot: usize, value: i64) {
        let (column, slot) = cells.write(slot);
        *column.place(slot, None) = Datum::Long(value);
    }

    fn get((column, slot): (&Cells, usize)) -> Option<i64> {
        column.get(slot).and_then(Datum::as_long)
    }

    #[test]
    fn a_write_while_a_snapshot_is_read_copies_one_slot() {
        let mut cells = Layered::<Cells>::default();
        (0..50).for_each(|slot| set(&mut cells, slot, slot as i64));
        let frozen = cells.freeze();
        set(&mut cells, 7, 70);
        set(&mut cells, 90, 90);
        assert_eq!((cells.copied(), cells.slots()), (2, 91));
        assert_eq!(
            (get((&frozen, 7)), get(cells.read(7)), get(cells.read(8)), get(cells.read(90))),
            (Some(7), Some(70), Some(8), Some(90))
        );
        assert!(!cells.absorb());
        drop(frozen);
        assert!(cells.absorb());
        assert_eq!((get(cells.read(7)), get(cells.read(8)), get(cells.read(90)), cells.copied()), (Some(70), Some(8), Some(90), 0));
    }

    proptest! {
        /// Writes and snapshots in any order, each read for a while: what is there now, and what snapshots see, agree with a map.
        #[test]
        fn layers_agree_with_a_map(steps in prop::collection::vec((0_u8..10, 0_usize..100), 1..300)) {
            let mut cells = Layered::<Cells>::default();
            let mut model = Model::new();
            let mut read: Vec<(Arc<Cells>, Model)> = Vec::new();
            for (at, (step, slot)) in (1_i64..).zip(steps) {
                match step {
                    0..=6 => {
                        set(&mut cells, slot, at);
                        model.insert(slot, at);
                    }
                    7 => read.push((cells.freeze(), model.clone())),
                    8 => drop((!read.is_empty()).then(|| read.swap_remove(slot % read.len()))),
                    _ => drop(cells.absorb()),
                }
                prop_assert_eq!(&content(|slot| get(cells.read(slot))), &model);
                for (frozen, model) in &read {
                    prop_assert_eq!(&content(|slot| get((frozen, slot))), model);
                }
            }
        }
    }
}
