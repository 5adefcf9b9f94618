//! What an operator state is called, how it is divided, and the columns under which it is stored.

use crate::types::{Column, LogicalType, Schema, TypeKind};
use std::fmt;

/// What becomes of an operator state at another parallelism.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OperatorStateKind {
    /// A list: the lists of all subtasks one after the other, divided evenly (Flink: `SPLIT_DISTRIBUTE`).
    OperatorList,
    /// A list: every subtask gets the lists of all (Flink: `UNION`).
    UnionList,
    /// A map of which every subtask has a copy (Flink: `BROADCAST`).
    Broadcast,
}

impl OperatorStateKind {
    /// How it is saved and shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OperatorList => "operator-list",
            Self::UnionList => "union-list",
            Self::Broadcast => "broadcast",
        }
    }
}

impl fmt::Display for OperatorStateKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An operator state: its name within the operator, its kind, its columns.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OperatorStateDescriptor {
    /// Unique among the operator states of the operator.
    pub name: String,
    /// What becomes of it at another parallelism.
    pub kind: OperatorStateKind,
    /// All columns under which it is stored. The first is `subtask INT NOT NULL`: whose list or copy a row is of. Then of a list
    /// `list_index BIGINT NOT NULL`, of a broadcast state `map_key`; then `value`.
    pub columns: Schema,
}

/// Names that begin so are those of rows on their way to an operator.
pub const IN_FLIGHT: &str = "in-flight-";

impl OperatorStateDescriptor {
    /// A list of elements of type `element` that is divided evenly.
    pub fn list(name: &str, element: LogicalType) -> Self {
        Self::new(name, OperatorStateKind::OperatorList, ("list_index", LogicalType::not_null(TypeKind::BigInt)), element)
    }

    /// A list of elements of type `element` that every subtask gets as a whole.
    pub fn union_list(name: &str, element: LogicalType) -> Self {
        Self::new(name, OperatorStateKind::UnionList, ("list_index", LogicalType::not_null(TypeKind::BigInt)), element)
    }

    /// A map of which every subtask has a copy. Its keys are saved as NOT NULL.
    pub fn broadcast(name: &str, map_key: LogicalType, value: LogicalType) -> Self {
        Self::new(name, OperatorStateKind::Broadcast, ("map_key", LogicalType::not_null(map_key.kind)), value)
    }

    fn new(name: &str, kind: OperatorStateKind, place: (&str, LogicalType), value: LogicalType) -> Self {
        let column = |name: &str, data_type: LogicalType| Column { name: name.to_owned(), data_type };
        let subtask = column("subtask", LogicalType::not_null(TypeKind::Int));
        let columns = Schema::new(vec![subtask, column(place.0, place.1), column("value", value)]);
        Self { name: name.to_owned(), kind, columns }
    }
}
