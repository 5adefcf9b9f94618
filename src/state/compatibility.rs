//! Whether saved state can become the state that a job registers now. Decided purely, before a job starts.

use super::{StateDescriptor, StateKind};
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
/// Columns are told apart by name. Keys may be widened. Of values, columns and fields may be added as nullable, removed, and
/// widened (INT→BIGINT, FLOAT→DOUBLE, DECIMAL to more digits); NOT NULL may be dropped. The accumulators of a group table must
/// be the same ones, in any order: an aggregate that was added could not know the rows of the past.
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

const REMEDY: &str = "give the transform another uid and restore with --allowNonRestoredState to start without this state, \
                      or restore with the job that saved it";

fn list(columns: &[Column]) -> String {
    let columns: Vec<String> = columns.iter().map(|column| format!("{} {}", column.name, column.data_type)).collect();
    if columns.is_empty() { "none".to_owned() } else { columns.join(", ") }
}

fn keys(saved: &StateDescriptor, now: &StateDescriptor, changes: &mut Vec<String>) -> Result<(), String> {
    let (old, new) = (&saved.key.columns, &now.key.columns);
    let differ = || format!("the key columns were ({}) and are ({})", list(old), list(new));
    if old.len() != new.len() || old.iter().zip(new).any(|(old, new)| old.name != new.name) {
        return Err(differ());
    }
    for (old, new) in old.iter().zip(new) {
        // A ROW or ARRAY hashes by its encoding, which a wider field changes; a DECIMAL by its digits without the point.
        let scalar = !matches!(old.data_type.kind, TypeKind::Row(_) | TypeKind::Array(_) | TypeKind::Map(_, _));
        if !scalar && old.data_type.kind != new.data_type.kind {
            return Err(differ());
        }
        if let (TypeKind::Decimal(_, old), TypeKind::Decimal(_, new)) = (&old.data_type.kind, &new.data_type.kind)
            && old != new
        {
            return Err(differ());
        }
        evolve(&old.name, &old.data_type, &new.data_type, changes).map_err(|_| differ())?;
    }
    Ok(())
}

fn values(saved: &StateDescriptor, now: &StateDescriptor, changes: &mut Vec<String>) -> Result<(), String> {
    let (old, new) = (&saved.value.columns, &now.value.columns);
    if now.kind == StateKind::Groups {
        let missing = |from: &[Column], to: &[Column]| -> Vec<String> {
            from.iter().filter(|c| !to.iter().any(|other| other.name == c.name)).map(|c| c.name.clone()).collect()
        };
        let (removed, added) = (missing(old, new), missing(new, old));
        if !removed.is_empty() || !added.is_empty() {
            let mut parts = Vec::new();
            if !removed.is_empty() {
                parts.push(format!("{} was saved and is no longer computed", removed.join(", ")));
            }
            if !added.is_empty() {
                parts.push(format!("{} is computed now and was not saved", added.join(", ")));
            }
            return Err(format!("the aggregates changed: {} (saved: {}; now: {})", parts.join("; "), list(old), list(new)));
        }
    }
    let old: Vec<(&str, &LogicalType)> = old.iter().map(|c| (c.name.as_str(), &c.data_type)).collect();
    let new: Vec<(&str, &LogicalType)> = new.iter().map(|c| (c.name.as_str(), &c.data_type)).collect();
    fields("", &old, &new, changes)
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

/// True if every value of `from` is a value of `to`.
fn widens(from: &TypeKind, to: &TypeKind) -> bool {
    let integer = |kind: &TypeKind| match kind {
        TypeKind::TinyInt => Some(1),
        TypeKind::SmallInt => Some(2),
        TypeKind::Int => Some(3),
        TypeKind::BigInt => Some(4),
        _ => None,
    };
    let text = |kind: &TypeKind| match kind {
        TypeKind::Char(length) | TypeKind::VarChar(length) => Some(*length),
        TypeKind::String => Some(u32::MAX),
        _ => None,
    };
    match (from, to) {
        (TypeKind::Float, TypeKind::Double) => true,
        // Digits before and after the point both suffice.
        (TypeKind::Decimal(p1, s1), TypeKind::Decimal(p2, s2)) => s2 >= s1 && p2.saturating_sub(*s2) >= p1.saturating_sub(*s1),
        (from, to) if from == to => true,
        (from, to) => {
            let wider = |f: Option<u32>, t: Option<u32>| f.zip(t).is_some_and(|(f, t)| f <= t);
            wider(integer(from), integer(to)) || wider(text(from), text(to))
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
            assert!(reason.contains("uid"), "says what can be done: {reason}");
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
    fn keys_widen_as_long_as_their_hash_stays() {
        let check = |old: TypeKind, new: TypeKind| compatibility(&value(old, null(TypeKind::Int)), &value(new, null(TypeKind::Int)));
        assert!(matches!(check(TypeKind::Decimal(10, 2), TypeKind::Decimal(12, 2)), Compatibility::Evolves(_)));
        assert!(matches!(check(TypeKind::Decimal(10, 2), TypeKind::Decimal(12, 3)), Compatibility::Incompatible(_)));
        assert!(matches!(check(TypeKind::BigInt, TypeKind::Int), Compatibility::Incompatible(_)));
        assert!(matches!(check(TypeKind::Int, TypeKind::String), Compatibility::Incompatible(_)));
    }
}
