//! What a state is called, what it holds, and the columns under which it is stored.

use crate::types::{Column, LogicalType, Schema, TypeKind, format_duration, parse_duration};
use std::time::Duration;

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

/// How long an entry lives after it was last written (Flink: `StateTtlConfig`).
/// Written as `"1 h"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StateTtl {
    /// An entry is expired when its last access plus this is at or before now.
    pub ttl: Duration,
}

impl serde::Serialize for StateTtl {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format_duration(self.ttl))
    }
}

impl<'de> serde::Deserialize<'de> for StateTtl {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_duration(&text).map(|ttl| Self { ttl }).map_err(serde::de::Error::custom)
    }
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

impl StateDescriptor {
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
