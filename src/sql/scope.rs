//! The names that an expression may use.

use super::SqlError;
use crate::expr::typed::TypedExpr;
use crate::types::Schema;

/// The columns of one input, under the name that the query gives it.
#[derive(Debug, Clone)]
pub(super) struct Scope<'a> {
    pub schema: &'a Schema,
    /// The table's name or alias; none for a bare expression.
    pub qualifier: Option<&'a str>,
}

impl Scope<'_> {
    fn column(&self, index: usize) -> TypedExpr {
        let column = &self.schema.columns[index];
        TypedExpr::column(index, &column.name, column.data_type.clone())
    }

    /// The column `name`.
    pub(super) fn resolve(&self, name: &str) -> Result<TypedExpr, SqlError> {
        match self.schema.index_of(name) {
            Some(index) => Ok(self.column(index)),
            None => Err(self.unknown(name)),
        }
    }

    fn unknown(&self, name: &str) -> SqlError {
        let names = self.schema.columns.iter().map(|column| column.name.as_str());
        let error = SqlError::new(match self.qualifier {
            Some(table) => format!("there is no column \"{name}\" in \"{table}\""),
            None => format!("there is no column \"{name}\""),
        });
        error.nearest(name, names)
    }

    /// `table.column`; a first part that is no table may be a column of type ROW.
    pub(super) fn resolve_path(&self, parts: &[&str]) -> Result<TypedExpr, SqlError> {
        match parts {
            [name] => self.resolve(name),
            [table, name] if self.qualifier == Some(*table) => self.resolve(name),
            [first, ..] if self.schema.index_of(first).is_some() => Err(SqlError::unsupported("access to the fields of a ROW")),
            [first, ..] => {
                let error = SqlError::new(format!("there is no table \"{first}\" here"));
                Err(error.nearest(first, self.qualifier))
            }
            [] => Err(SqlError::new("an empty name")),
        }
    }
}
