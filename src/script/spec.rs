//! What a job file says of a script: its text, its columns, its states, its limits.

use crate::state::{StateKind, StateTtl};
use crate::types::{Datum, LogicalType, Schema, TypeKind};

/// How much one script may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Turns of loops and calls of its functions for one event or timer.
    pub steps: i64,
    /// Bytes of the Lua state of one subtask.
    pub memory: usize,
}

impl Default for Limits {
    /// What `script.max-steps` and `script.memory` are if they are not set.
    fn default() -> Self {
        Self { steps: 10_000_000, memory: 256 << 20 }
    }
}

/// The value of a state that was never written.
pub type DefaultValue = Datum;

/// The built-in folds of a reducing state.
pub const REDUCES: &[&str] = &["sum", "min", "max", "first", "last"];

/// The built-in folds of an aggregating state.
pub const AGGREGATES: &[&str] = &["count", "sum", "avg", "min", "max"];

/// How values that are added become one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScriptFold {
    /// Value, list and map state.
    None,
    /// By one of [`REDUCES`] or [`AGGREGATES`].
    BuiltIn(&'static str),
    /// By a global of the script: a function of two values (reducing), or a table with `create`, `add`, `result` (aggregating).
    Lua(String),
}

/// One state of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptState {
    /// `state.<name>`
    pub name: String,
    /// One of Flink's five.
    pub kind: StateKind,
    /// The type of the value, of a list's elements, of a map's values, of what is added to a reducing state or to a built-in
    /// aggregate; for an aggregate in Lua, of its accumulator.
    pub data_type: LogicalType,
    /// A map's keys.
    pub map_key: Option<LogicalType>,
    /// What `value()` is before the first `update`.
    pub default: Option<DefaultValue>,
    /// How values are added.
    pub fold: ScriptFold,
    /// When entries expire.
    pub ttl: Option<StateTtl>,
}

/// One output of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputSpec {
    /// Its name; empty for the main output.
    pub name: String,
    /// Its columns.
    pub schema: Schema,
}

/// A process function in Lua.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptSpec {
    /// What errors call the script: `bursts.lua`, `transforms.bursts.lua`.
    pub chunk: String,
    /// The script.
    pub text: String,
    /// The names and columns of its inputs.
    pub inputs: Vec<(String, Schema)>,
    /// The column of each input that carries event time.
    pub time: Vec<Option<usize>>,
    /// The key's columns; empty without `key-by`.
    pub key: Schema,
    /// Its outputs, the main one first.
    pub outputs: Vec<OutputSpec>,
    /// Its states.
    pub states: Vec<ScriptState>,
    /// What it may use.
    pub limits: Limits,
}

/// Reads the `default` of a value state.
pub fn parse_default(text: &str, data_type: &LogicalType) -> Result<DefaultValue, String> {
    let wrong = || format!("\"{text}\" is no {data_type}");
    Ok(match &data_type.kind {
        TypeKind::Boolean => Datum::Boolean(text.parse().map_err(|_| wrong())?),
        TypeKind::TinyInt => Datum::Long(text.parse::<i8>().map_err(|_| wrong())?.into()),
        TypeKind::SmallInt => Datum::Long(text.parse::<i16>().map_err(|_| wrong())?.into()),
        TypeKind::Int => Datum::Long(text.parse::<i32>().map_err(|_| wrong())?.into()),
        TypeKind::BigInt => Datum::Long(text.parse().map_err(|_| wrong())?),
        TypeKind::Float | TypeKind::Double => Datum::double(text.parse().map_err(|_| wrong())?),
        TypeKind::Char(_) | TypeKind::VarChar(_) | TypeKind::String => Datum::text(text),
        TypeKind::Decimal(precision, scale) => Datum::decimal(super::convert::parse_decimal(text, *precision, *scale).ok_or_else(wrong)?),
        _ => return Err(format!("a state of type {data_type} has no default: it is nil until it is written")),
    })
}
