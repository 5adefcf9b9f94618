//! What was added to keys of the store without reading them: put together when the store merges, as it is when a key comes up.

use super::fold::Fold;
use super::spill::{Parts, Slots, put_part};
use super::table::Column;
use super::timers::{TimerSets, put_timers};
use super::{Cells, Lists, Maps};
use crate::state::StateError;
use crate::state::backend::RegisteredState;
use crate::state::bytes::Input;
use crate::state::rocksdb::Shorten;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// The states of an operator by their numbers, as the store sees them.
#[derive(Debug, Default)]
pub(in crate::state) struct KeyRows {
    kinds: Mutex<Vec<Kind>>,
}

#[derive(Debug, Clone)]
enum Kind {
    Cells(Fold),
    Lists,
    Maps,
    Timers,
    /// Nothing that belongs to a key.
    Other,
}

impl KeyRows {
    /// Another state was registered.
    pub(in crate::state) fn set(&self, states: &[RegisteredState]) {
        let kind = |state: &RegisteredState| match state {
            RegisteredState::Cells((_, fold)) => Kind::Cells(fold.clone()),
            RegisteredState::Lists(_) => Kind::Lists,
            RegisteredState::Maps(_) => Kind::Maps,
            RegisteredState::Timers(_) => Kind::Timers,
            RegisteredState::Groups(_) => Kind::Other,
        };
        *self.kinds.lock().unwrap_or_else(PoisonError::into_inner) = states.iter().map(kind).collect();
    }
}

/// The numbers in front of the states of a key: flags, number of states, hash. Before them stands the expiry.
const NUMBERS: usize = 3;

impl Shorten for KeyRows {
    fn operands(&self, operands: &[u8]) -> Option<Vec<u8>> {
        self.shorten(&[], operands)
    }

    fn value(&self, value: &[u8]) -> Option<Vec<u8>> {
        let mut rest = Input(value);
        rest.array::<8>().ok()?;
        for _ in 0..NUMBERS {
            rest.number().ok()?;
        }
        let (head, parts) = value.split_at(value.len() - rest.0.len());
        self.shorten(head, parts)
    }
}

impl KeyRows {
    fn shorten(&self, head: &[u8], parts: &[u8]) -> Option<Vec<u8>> {
        let mut states: BTreeMap<usize, Vec<Input<'_>>> = BTreeMap::new();
        for part in Parts(Input(parts)) {
            let (number, content) = part.ok()?;
            states.entry(number).or_default().push(content);
        }
        if states.values().all(|contents| contents.len() == 1) {
            return None;
        }
        let kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut out, mut scratch) = (head.to_vec(), Vec::new());
        for (number, contents) in states {
            let mut put = |put: &dyn Fn(&mut Vec<u8>)| {
                put_part(&mut out, number, &mut scratch, |out| {
                    put(out);
                    Some(0)
                });
            };
            let together = match (contents.as_slice(), kinds.get(number)?) {
                ([_], _) | (_, Kind::Other) => None,
                (several, Kind::Cells(fold)) => together::<Cells>(several, fold),
                (several, Kind::Lists) => together::<Lists>(several, &Fold::None),
                (several, Kind::Maps) => together::<Maps>(several, &Fold::None),
                (several, Kind::Timers) => timers_together(several),
            };
            match together {
                Some(together) => put(&|out| out.extend_from_slice(&together)),
                // If it cannot be done whoever reads it will say why.
                None => contents.iter().for_each(|content| put(&|out| out.extend_from_slice(content.0))),
            }
        }
        Some(out)
    }
}

fn together<C: Slots>(contents: &[Input<'_>], fold: &Fold) -> Option<Vec<u8>> {
    let mut column = C::default();
    take_all(&mut column, contents, fold).ok()?;
    let mut out = Vec::new();
    column.put(0, &mut out)?;
    Some(out)
}

fn timers_together(contents: &[Input<'_>]) -> Option<Vec<u8>> {
    let mut sets = TimerSets::default();
    take_all(&mut sets, contents, &Fold::None).ok()?;
    let mut out = Vec::new();
    put_timers(sets.by_slot().get(&0)?, &mut out);
    Some(out)
}

fn take_all<C: Column>(column: &mut C, contents: &[Input<'_>], fold: &Fold) -> Result<(), StateError> {
    contents.iter().try_for_each(|content| column.take(0, *content, None, fold).map(drop))
}
