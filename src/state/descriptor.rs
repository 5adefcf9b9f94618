//! What a state is called, what it holds, and the columns under which it is stored.

use super::StateTtl;
use crate::types::{Column, LogicalType, Schema, TypeKind};

/// The kinds of keyed state: Flink's five, and the group table of SQL aggregates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StateKind {
    /// One value a key.
    Value,
    /// A list a key.
    List,
    /// A map a key.
    Map,
    /// One value a key, folded by a reduce function.
    Reducing,
    /// One accumulator a key.
    Aggregating,
    /// One accumulator row a group, looked up and updated a batch at a time.
    Groups,
    /// Event-time or processing-time timers.
    Timers,
}

/// A state: its name within the operator, its kind, its key and value columns.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct StateDescriptor {
    /// Unique within the operator.
    pub name: String,
    /// The kind.
    pub kind: StateKind,
    /// The key columns, in key order; none for an aggregate without GROUP BY.
    pub key: Schema,
    /// The value columns. For a map, `map_key` is the first of them; for a list, `list_index`.
    pub value: Schema,
    /// When entries expire; they never do without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<StateTtl>,
}

/// The name under which timers are saved.
pub const TIMERS: &str = "timers";

impl StateDescriptor {
    /// One value of type `value` a key.
    pub fn value(name: &str, key: &Schema, value: LogicalType) -> Self {
        Self::new(name, StateKind::Value, key, vec![("value", value)])
    }

    /// A list of elements of type `element` a key.
    pub fn list(name: &str, key: &Schema, element: LogicalType) -> Self {
        let index = LogicalType::not_null(TypeKind::BigInt);
        Self::new(name, StateKind::List, key, vec![("list_index", index), ("value", element)])
    }

    /// A map a key. Its keys are saved as NOT NULL.
    pub fn map(name: &str, key: &Schema, map_key: LogicalType, value: LogicalType) -> Self {
        let map_key = LogicalType::not_null(map_key.kind);
        Self::new(name, StateKind::Map, key, vec![("map_key", map_key), ("value", value)])
    }

    /// One value of type `value` a key, folded by a reduce function.
    pub fn reducing(name: &str, key: &Schema, value: LogicalType) -> Self {
        Self::new(name, StateKind::Reducing, key, vec![("value", value)])
    }

    /// One accumulator of type `accumulator` a key.
    pub fn aggregating(name: &str, key: &Schema, accumulator: LogicalType) -> Self {
        Self::new(name, StateKind::Aggregating, key, vec![("value", accumulator)])
    }

    /// The timers of an operator: `domain` is `event-time` or `processing-time`, `timestamp` in milliseconds since 1970.
    pub fn timers(key: &Schema) -> Self {
        let domain = LogicalType::not_null(TypeKind::String);
        let timestamp = LogicalType::not_null(TypeKind::BigInt);
        Self::new(TIMERS, StateKind::Timers, key, vec![("domain", domain), ("timestamp", timestamp)])
    }

    /// The same state, whose entries expire.
    #[must_use]
    pub fn with_ttl(mut self, ttl: Option<StateTtl>) -> Self {
        self.ttl = ttl;
        self
    }

    /// Key columns are saved as nullable, so that a NOT NULL that is added to a table does not change the state. Value columns
    /// step aside if a key column has their name.
    fn new(name: &str, kind: StateKind, key: &Schema, value: Vec<(&str, LogicalType)>) -> Self {
        let nullable = |c: &Column| Column { name: c.name.clone(), data_type: LogicalType::nullable(c.data_type.kind.clone()) };
        let key = Schema::new(key.columns.iter().map(nullable).collect());
        let column = |(name, data_type): (&str, LogicalType)| {
            let mut name = name.to_owned();
            while key.index_of(&name).is_some() {
                name.push('_');
            }
            Column { name, data_type }
        };
        let value = Schema::new(value.into_iter().map(column).collect());
        Self { name: name.to_owned(), kind, key, value, ttl: None }
    }

    /// All columns under which the state is stored: `key_group INT NOT NULL`, the key, the value, and `expires_at
    /// TIMESTAMP_LTZ(3)` where there is a TTL. Rows are sorted by `key_group`.
    pub fn columns(&self) -> Schema {
        let key_group = Column { name: "key_group".to_owned(), data_type: LogicalType::not_null(TypeKind::Int) };
        let mut columns = vec![key_group];
        columns.extend(self.key.columns.iter().cloned());
        columns.extend(self.value.columns.iter().cloned());
        if self.ttl.is_some() {
            let data_type = LogicalType::nullable(TypeKind::TimestampLtz(3));
            columns.push(Column { name: "expires_at".to_owned(), data_type });
        }
        Schema::new(columns)
    }
}
