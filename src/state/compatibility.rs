//! Whether saved state can become the state that a job registers now. Decided purely, before a job starts.

use super::{OperatorStateDescriptor, StateDescriptor, StateKind};
use crate::types::{Column, LogicalType, TypeKind};

/// What happens to saved state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compatibility {
    /// It is taken over as it is.
    Same,
    /// It is taken over and changed while it is loaded; says how.
    Evolves(String),
    /// It cannot be taken over; gives both types and what can be done.
    Incompatible(String),
}

/// Compares a state as it was saved with the state as it is registered now.
///
/// Columns are told apart by name. Key columns may be widened, and stand in another order. Of values, columns and fields may be added
/// as nullable, removed, and widened (INT→BIGINT, integers→DECIMAL, FLOAT→DOUBLE, DECIMAL to more digits, TIMESTAMP to more of them);
/// NOT NULL may be dropped. Of a group table, aggregates may be added, which then know the rows that come after the restore alone, and
/// removed.
pub fn compatibility(saved: &StateDescriptor, now: &StateDescriptor) -> Compatibility {
    if saved.kind != now.kind {
        return Compatibility::Incompatible(format!("it was saved as {:?} state and is {:?} state now; {REMEDY}", saved.kind, now.kind));
    }
    let mut changes = Vec::new();
    let result = keys(saved, now, &mut changes).and_then(|()| values(saved, now, &mut changes));
    if let Err(reason) = result {
        return Compatibility::Incompatible(format!("{reason}; {REMEDY}"));
    }
    match (saved.ttl, now.ttl) {
        (None, Some(_)) => changes.push("entries begin to expire".to_owned()),
        (Some(_), None) => changes.push("entries no longer expire".to_owned()),
        (Some(_), Some(_)) | (None, None) => {}
    }
    if changes.is_empty() { Compatibility::Same } else { Compatibility::Evolves(changes.join(", ")) }
}

/// Compares an operator state as it was saved with the state as it is registered now: its columns, as those of keyed state.
pub fn operator_compatibility(saved: &OperatorStateDescriptor, now: &OperatorStateDescriptor) -> Compatibility {
    if saved.kind != now.kind {
        return Compatibility::Incompatible(format!("it was saved as {} state and is {} state now; {REMEDY}", saved.kind, now.kind));
    }
    let mut changes = Vec::new();
    match fields("", &named(&saved.columns.columns), &named(&now.columns.columns), &mut changes) {
        Err(reason) => Compatibility::Incompatible(format!("{reason}; {REMEDY}")),
        Ok(()) if changes.is_empty() => Compatibility::Same,
        Ok(()) => Compatibility::Evolves(changes.join(", ")),
    }
}

const REMEDY: &str = "[restore] drop starts without this state; or restore with the job that saved it";

/// The accumulators of a group table that `now` has and that were not saved: they start from nothing.
pub fn added_accumulators(saved: &StateDescriptor, now: &StateDescriptor) -> Vec<String> {
    if now.kind != StateKind::Groups {
        return Vec::new();
    }
    missing(&now.value.columns, &saved.value.columns)
}

/// True if keys that were saved may have another hash now, and so belong to another key group: a DECIMAL with another scale, a
/// TIMESTAMP in another unit, an integer that is a DECIMAL now, a ROW with a wider field, key columns in another order.
pub fn keys_move(saved: &StateDescriptor, now: &StateDescriptor) -> bool {
    let (old, new) = (&saved.key.columns, &now.key.columns);
    let same_hash = |old: &TypeKind, new: &TypeKind| match (old, new) {
        (TypeKind::Decimal(_, old), TypeKind::Decimal(_, new)) => old == new,
        (old, new) => {
            let both = |group: fn(&TypeKind) -> bool| group(old) && group(new);
            old == new || both(|k| integer_width(k).is_some()) || both(|k| text_length(k).is_some()) || both(is_float)
        }
    };
    old.len() != new.len() || old.iter().zip(new).any(|(o, n)| o.name != n.name || !same_hash(&o.data_type.kind, &n.data_type.kind))
}

/// The names in `from` that `to` lacks.
fn missing(from: &[Column], to: &[Column]) -> Vec<String> {
    from.iter().filter(|c| !to.iter().any(|other| other.name == c.name)).map(|c| c.name.clone()).collect()
}

fn list(columns: &[Column]) -> String {
    let columns: Vec<String> = columns.iter().map(|column| format!("{} {}", column.name, column.data_type)).collect();
    if columns.is_empty() { "none".to_owned() } else { columns.join(", ") }
}

fn keys(saved: &StateDescriptor, now: &StateDescriptor, changes: &mut Vec<String>) -> Result<(), String> {
    let (old, new) = (&saved.key.columns, &now.key.columns);
    let differ = || format!("the key columns were ({}) and are ({})", list(old), list(new));
    if old.len() != new.len() || !missing(new, old).is_empty() {
        return Err(differ());
    }
    if old.iter().zip(new).any(|(old, new)| old.name != new.name) {
        changes.push(format!("the key columns stand in another order: ({})", list(new)));
    }
    for column in new {
        let Some(before) = old.iter().find(|old| old.name == column.name) else { return Err(differ()) };
        if !same_key_fields(&before.data_type, &column.data_type) {
            return Err(differ());
        }
        evolve(&column.name, &before.data_type, &column.data_type, changes).map_err(|_| differ())?;
    }
    Ok(())
}

/// False if a ROW in a key has other fields than before: two keys could become one, or one that is looked for not be found.
fn same_key_fields(old: &LogicalType, new: &LogicalType) -> bool {
    match (&old.kind, &new.kind) {
        (TypeKind::Row(old), TypeKind::Row(new)) => {
            old.len() == new.len() && old.iter().zip(new).all(|((a, old), (b, new))| a == b && same_key_fields(old, new))
        }
        (TypeKind::Array(old), TypeKind::Array(new)) => same_key_fields(old, new),
        (TypeKind::Map(_, _), _) => old == new,
        _ => true,
    }
}

fn named(columns: &[Column]) -> Vec<(&str, &LogicalType)> {
    columns.iter().map(|c| (c.name.as_str(), &c.data_type)).collect()
}

fn values(saved: &StateDescriptor, now: &StateDescriptor, changes: &mut Vec<String>) -> Result<(), String> {
    let (old, new) = (&saved.value.columns, &now.value.columns);
    let added = added_accumulators(saved, now);
    let kept = new.iter().filter(|c| !added.contains(&c.name));
    let kept: Vec<(&str, &LogicalType)> = kept.map(|c| (c.name.as_str(), &c.data_type)).collect();
    fields("", &named(old), &kept, changes)?;
    for name in added {
        changes.push(format!("{name} is new and counts the rows from now on"));
    }
    Ok(())
}

/// Compares columns, or the fields of a ROW, by name. `path` stands before their names in messages.
fn fields(path: &str, old: &[(&str, &LogicalType)], new: &[(&str, &LogicalType)], changes: &mut Vec<String>) -> Result<(), String> {
    for (name, data_type) in new {
        let path = format!("{path}{name}");
        match old.iter().find(|(other, _)| other == name) {
            Some((_, old)) => evolve(&path, old, data_type, changes)?,
            None if data_type.nullable => changes.push(format!("{path} {data_type} is new and starts as NULL")),
            None => return Err(format!("{path} {data_type} is new; a new field must be nullable")),
        }
    }
    for (name, data_type) in old.iter().filter(|(name, _)| !new.iter().any(|(other, _)| other == name)) {
        changes.push(format!("{path}{name} {data_type} is dropped"));
    }
    Ok(())
}

fn evolve(path: &str, old: &LogicalType, new: &LogicalType, changes: &mut Vec<String>) -> Result<(), String> {
    if old == new {
        return Ok(());
    }
    if old.nullable && !new.nullable {
        return Err(format!("{path} was {old} and is {new}: NULLs may have been saved"));
    }
    match (&old.kind, &new.kind) {
        (TypeKind::Row(old), TypeKind::Row(new)) => {
            let old: Vec<(&str, &LogicalType)> = old.iter().map(|(name, t)| (name.as_str(), t)).collect();
            let new: Vec<(&str, &LogicalType)> = new.iter().map(|(name, t)| (name.as_str(), t)).collect();
            fields(&format!("{path}."), &old, &new, changes)
        }
        (TypeKind::Array(old), TypeKind::Array(new)) => evolve(&format!("{path}[]"), old, new, changes),
        (TypeKind::Map(old_key, old_value), TypeKind::Map(new_key, new_value)) => {
            evolve(&format!("{path}.key"), old_key, new_key, changes)?;
            evolve(&format!("{path}.value"), old_value, new_value, changes)
        }
        (from, to) if widens(from, to) => {
            changes.push(format!("{path} widens from {old} to {new}"));
            Ok(())
        }
        (_, _) => {
            Err(format!("{path} was {old} and is {new}: values are widened (INT to BIGINT, FLOAT to DOUBLE, DECIMAL), not converted"))
        }
    }
}

/// Places integers by width; `None` for everything else.
fn integer_width(kind: &TypeKind) -> Option<u8> {
    match kind {
        TypeKind::TinyInt => Some(1),
        TypeKind::SmallInt => Some(2),
        TypeKind::Int => Some(3),
        TypeKind::BigInt => Some(4),
        _ => None,
    }
}

/// The longest text of a type; `None` for everything else.
fn text_length(kind: &TypeKind) -> Option<u32> {
    match kind {
        TypeKind::Char(length) | TypeKind::VarChar(length) => Some(*length),
        TypeKind::String => Some(u32::MAX),
        _ => None,
    }
}

fn is_float(kind: &TypeKind) -> bool {
    matches!(kind, TypeKind::Float | TypeKind::Double)
}

/// Decimal digits that hold every integer of a width.
fn integer_digits(width: u8) -> u8 {
    match width {
        1 => 3,
        2 => 5,
        3 => 10,
        _ => 19,
    }
}

/// True if every value of `from` is a value of `to`.
fn widens(from: &TypeKind, to: &TypeKind) -> bool {
    match (from, to) {
        (TypeKind::Float, TypeKind::Double) => true,
        // Digits before and after the point both suffice.
        (TypeKind::Decimal(p1, s1), TypeKind::Decimal(p2, s2)) => s2 >= s1 && p2.saturating_sub(*s2) >= p1.saturating_sub(*s1),
        (from, TypeKind::Decimal(p, s)) => integer_width(from).is_some_and(|width| p.saturating_sub(*s) >= integer_digits(width)),
        (TypeKind::Timestamp(p1), TypeKind::Timestamp(p2)) | (TypeKind::TimestampLtz(p1), TypeKind::TimestampLtz(p2)) => p1 <= p2,
        (from, to) if from == to => true,
        (from, to) => {
            let wider = |f: Option<u32>, t: Option<u32>| f.zip(t).is_some_and(|(f, t)| f <= t);
            let width = |kind| integer_width(kind).map(u32::from);
            wider(width(from), width(to)) || wider(text_length(from), text_length(to))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::StateTtl;
    use crate::types::Schema;
    use std::time::Duration;

    fn columns(text: &[(&str, LogicalType)]) -> Schema {
        Schema::new(text.iter().map(|(name, data_type)| Column { name: (*name).to_owned(), data_type: data_type.clone() }).collect())
    }

    fn null(kind: TypeKind) -> LogicalType {
        LogicalType::nullable(kind)
    }

    fn value(key: TypeKind, value: LogicalType) -> StateDescriptor {
        StateDescriptor {
            name: "last".to_owned(),
            kind: StateKind::Value,
            key: columns(&[("k", null(key))]),
            value: columns(&[("v", value)]),
            ttl: None,
        }
    }

    fn row(fields: &[(&str, TypeKind)]) -> LogicalType {
        null(TypeKind::Row(fields.iter().map(|(name, kind)| ((*name).to_owned(), null(kind.clone()))).collect()))
    }

    #[test]
    fn widening_adding_and_removing_evolve_and_everything_else_is_refused() {
        let check = |old: LogicalType, new: LogicalType| compatibility(&value(TypeKind::Int, old), &value(TypeKind::Int, new));
        let decimal = |p, s| null(TypeKind::Decimal(p, s));
        assert_eq!(check(null(TypeKind::Int), null(TypeKind::Int)), Compatibility::Same);
        for (old, new) in [
            (null(TypeKind::Int), null(TypeKind::BigInt)),
            (null(TypeKind::Float), null(TypeKind::Double)),
            (decimal(10, 2), decimal(12, 3)),
            (LogicalType::not_null(TypeKind::Int), null(TypeKind::Int)),
            (row(&[("a", TypeKind::Int)]), row(&[("b", TypeKind::String), ("a", TypeKind::BigInt)])),
            (row(&[("a", TypeKind::Int), ("b", TypeKind::Int)]), row(&[("a", TypeKind::Int)])),
        ] {
            assert!(matches!(check(old.clone(), new.clone()), Compatibility::Evolves(_)), "{old} to {new}");
        }
        for (old, new) in [
            (null(TypeKind::BigInt), null(TypeKind::Int)),
            (null(TypeKind::Int), null(TypeKind::String)),
            (decimal(10, 2), decimal(10, 3)),
            (null(TypeKind::Int), LogicalType::not_null(TypeKind::Int)),
            (row(&[("a", TypeKind::BigInt)]), row(&[("a", TypeKind::Int)])),
        ] {
            let Compatibility::Incompatible(reason) = check(old.clone(), new.clone()) else { panic!("{old} to {new}") };
            assert!(reason.contains("[restore]"), "says what can be done: {reason}");
        }
    }

    #[test]
    fn a_change_says_what_becomes_of_each_field() {
        let old = value(TypeKind::Int, row(&[("a", TypeKind::Int), ("b", TypeKind::Int)]));
        let mut new = value(TypeKind::BigInt, row(&[("a", TypeKind::BigInt), ("c", TypeKind::String)]));
        new.ttl = Some(StateTtl::new(Duration::from_mins(1)));
        let Compatibility::Evolves(changes) = compatibility(&old, &new) else { panic!("it evolves") };
        assert_eq!(
            changes,
            "k widens from INT to BIGINT, v.a widens from INT to BIGINT, v.c STRING is new and starts as NULL, v.b INT is dropped, \
             entries begin to expire"
        );
    }

    #[test]
    fn keys_widen() {
        let check = |old: TypeKind, new: TypeKind| compatibility(&value(old, null(TypeKind::Int)), &value(new, null(TypeKind::Int)));
        assert!(matches!(check(TypeKind::Decimal(10, 2), TypeKind::Decimal(12, 2)), Compatibility::Evolves(_)));
        assert!(matches!(check(TypeKind::Decimal(10, 2), TypeKind::Decimal(12, 3)), Compatibility::Evolves(_)));
        assert!(matches!(check(TypeKind::Int, TypeKind::Decimal(12, 2)), Compatibility::Evolves(_)));
        assert!(matches!(check(TypeKind::Int, TypeKind::Decimal(11, 2)), Compatibility::Incompatible(_)));
        assert!(matches!(check(TypeKind::BigInt, TypeKind::Int), Compatibility::Incompatible(_)));
        assert!(matches!(check(TypeKind::Int, TypeKind::String), Compatibility::Incompatible(_)));
    }

    #[test]
    fn a_key_whose_hash_changes_belongs_to_another_key_group() {
        let moves = |old: TypeKind, new: TypeKind| keys_move(&value(old, null(TypeKind::Int)), &value(new, null(TypeKind::Int)));
        for (old, new) in [
            (TypeKind::Int, TypeKind::BigInt),
            (TypeKind::Float, TypeKind::Double),
            (TypeKind::VarChar(3), TypeKind::String),
            (TypeKind::Decimal(10, 2), TypeKind::Decimal(12, 2)),
        ] {
            assert!(!moves(old.clone(), new.clone()), "{old:?} to {new:?}");
        }
        for (old, new) in [
            (TypeKind::Int, TypeKind::Decimal(10, 0)),
            (TypeKind::Decimal(10, 2), TypeKind::Decimal(12, 3)),
            (TypeKind::Timestamp(3), TypeKind::Timestamp(6)),
        ] {
            assert!(moves(old.clone(), new.clone()), "{old:?} to {new:?}");
        }
        let two = |names: [&str; 2]| {
            let key = columns(&names.map(|name| (name, null(TypeKind::Int))));
            StateDescriptor { key, ..value(TypeKind::Int, null(TypeKind::Int)) }
        };
        assert!(keys_move(&two(["a", "b"]), &two(["b", "a"])));
        let Compatibility::Evolves(changes) = compatibility(&two(["a", "b"]), &two(["b", "a"])) else { panic!("it evolves") };
        assert!(changes.contains("another order"), "{changes}");
        assert!(matches!(compatibility(&two(["a", "b"]), &two(["a", "c"])), Compatibility::Incompatible(_)));
    }

    #[test]
    fn the_fields_of_a_key_are_neither_added_nor_removed() {
        let key = |fields: &[(&str, TypeKind)]| value(row(fields).kind, null(TypeKind::Int));
        let old = key(&[("a", TypeKind::Int)]);
        assert!(matches!(compatibility(&old, &key(&[("a", TypeKind::BigInt)])), Compatibility::Evolves(_)));
        assert!(keys_move(&old, &key(&[("a", TypeKind::BigInt)])));
        for other in [key(&[("a", TypeKind::Int), ("b", TypeKind::Int)]), key(&[("b", TypeKind::Int)])] {
            assert!(matches!(compatibility(&old, &other), Compatibility::Incompatible(_)));
        }
    }

    #[test]
    fn an_aggregate_that_is_added_counts_from_now_on_and_one_that_is_removed_goes() {
        let groups = |aggregates: &[(&str, LogicalType)]| StateDescriptor {
            kind: StateKind::Groups,
            value: columns(aggregates),
            ..value(TypeKind::Int, null(TypeKind::Int))
        };
        let count = || ("COUNT(x)", LogicalType::not_null(TypeKind::BigInt));
        let (old, new) = (groups(&[("MIN(x)", null(TypeKind::Int))]), groups(&[count()]));
        assert_eq!(added_accumulators(&old, &new), ["COUNT(x)"]);
        let Compatibility::Evolves(changes) = compatibility(&old, &new) else { panic!("it evolves") };
        assert_eq!(changes, "MIN(x) INT is dropped, COUNT(x) is new and counts the rows from now on");
    }
}
