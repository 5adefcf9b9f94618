//! Rust values from rows and state, and into them, through serde; directly, without a generic value on the way.

mod fields;
mod from_column;
mod from_datum;
mod into_builder;
mod into_datum;
#[cfg(test)]
mod tests;
mod trace;

pub(super) use fields::fields_of;
pub(super) use from_column::{FieldMap, RowReader};
pub(super) use from_datum::from_datum;
pub(super) use into_builder::{ColumnMap, write_row};
pub(super) use into_datum::to_datum;
pub(super) use trace::logical_type_of;

use crate::types::DatumError;
use std::fmt;

/// A value that does not go where it is to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueError(Box<str>);

impl ValueError {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self(message.into().into_boxed_str())
    }
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ValueError {}

impl serde::de::Error for ValueError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message.to_string())
    }
}

impl serde::ser::Error for ValueError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message.to_string())
    }
}

impl From<DatumError> for ValueError {
    fn from(error: DatumError) -> Self {
        Self::new(error.to_string())
    }
}
