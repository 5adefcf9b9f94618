//! The columns of a stream: names, Flink types, and how they change.

use super::LogicalType;
use arrow::datatypes::{Field, Schema as ArrowSchema, SchemaRef};
use std::sync::Arc;

/// One column.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Column {
    /// Its name; case matters, as in Flink.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub data_type: LogicalType,
}

/// The physical columns of a stream, in order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Schema {
    /// The columns.
    pub columns: Vec<Column>,
}

impl Schema {
    /// A schema of these columns.
    pub fn new(columns: Vec<Column>) -> Self {
        Self { columns }
    }

    /// The position of the column called `name`.
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// The same columns for Arrow.
    pub fn to_arrow(&self) -> SchemaRef {
        let field = |c: &Column| Field::new(&c.name, c.data_type.to_arrow(), c.data_type.nullable);
        Arc::new(ArrowSchema::new(self.columns.iter().map(field).collect::<Vec<_>>()))
    }

    /// The schema of Arrow columns, or the first field whose type Flink has no word for.
    pub fn from_arrow(schema: &ArrowSchema) -> Result<Self, String> {
        let column = |field: &Arc<Field>| match LogicalType::from_arrow(field.data_type(), field.is_nullable()) {
            Some(data_type) => Ok(Column { name: field.name().clone(), data_type }),
            None => Err(format!("{}: {}", field.name(), field.data_type())),
        };
        Ok(Self { columns: schema.fields().iter().map(column).collect::<Result<_, _>>()? })
    }

    /// The columns at `indices`, in that order. Panics if one is out of bounds, as slices do.
    #[must_use]
    pub fn project(&self, indices: &[usize]) -> Self {
        Self { columns: indices.iter().map(|i| self.columns[*i].clone()).collect() }
    }
}

/// How a stream may change what it said before (Flink: `ChangelogMode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum ChangelogMode {
    /// `+I` alone.
    AppendOnly,
    /// `+I`, `+U`, `-D` by key: the old row of an update is not sent.
    Upsert,
    /// `+I`, `-U`, `+U`, `-D`.
    Retract,
}
