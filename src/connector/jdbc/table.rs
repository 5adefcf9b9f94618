//! The table that a `jdbc` sink writes to: its statements, its creation, and the check that an existing one fits.

use super::database_error;
use super::value::{Affinity, declared_type};
use crate::connector::ConnectorError;
use crate::error::RetryHint;
use crate::types::{OptionError, Schema};
use rusqlite::Connection;

/// Numbers of the checkpoints that were applied; see the module.
pub(super) const CREATE_COMMITS: &str = "CREATE TABLE IF NOT EXISTS __flink_commits (sink TEXT NOT NULL, lineage TEXT NOT NULL, \
    subtask INTEGER NOT NULL, checkpoint INTEGER NOT NULL, PRIMARY KEY (sink, lineage, subtask)) WITHOUT ROWID";

/// The highest checkpoint that was applied: `?1` the sink, `?2` the lineage.
pub(super) const SELECT_COMMIT: &str = "SELECT checkpoint FROM __flink_commits WHERE sink = ?1 AND lineage = ?2 AND subtask = 0";

/// Checkpoint `?3` is applied.
pub(super) const UPSERT_COMMIT: &str = "INSERT INTO __flink_commits (sink, lineage, subtask, checkpoint) VALUES (?1, ?2, 0, ?3) \
    ON CONFLICT (sink, lineage, subtask) DO UPDATE SET checkpoint = excluded.checkpoint";

/// What rows are written to, and how.
#[derive(Debug)]
pub(super) struct Table {
    name: String,
    schema: Schema,
    key: Vec<usize>,
    /// Parameter i is column i (from 1 on).
    insert: String,
    /// Parameter i is key column i (from 1 on); `None` without a key.
    delete: Option<String>,
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

impl Table {
    /// The table `name` for rows of `schema`, whose `key` holds positions. Errors on types that SQLite cannot hold.
    pub(super) fn new(name: &str, schema: &Schema, key: &[usize]) -> Result<Self, OptionError> {
        if name.is_empty() || name.contains('\0') || name.eq_ignore_ascii_case("__flink_commits") {
            return Err(OptionError::new("table-name", format!("\"{name}\" cannot be the name of the sink's table")));
        }
        if let Some(column) = schema.columns.iter().find(|column| declared_type(&column.data_type.kind).is_none()) {
            let (name, data_type) = (&column.name, &column.data_type);
            let message = format!("column {name} is {data_type}, which SQLite cannot hold; cast it to STRING or leave it out");
            return Err(OptionError::new("connector", message));
        }
        if schema.columns.is_empty() || key.iter().any(|index| *index >= schema.columns.len()) {
            return Err(OptionError::new("schema", "the sink has no columns, or its key is none of them"));
        }
        let mut table = Self { name: name.to_owned(), schema: schema.clone(), key: key.to_vec(), insert: String::new(), delete: None };
        table.insert = table.insert_statement();
        table.delete = (!key.is_empty()).then(|| table.delete_statement());
        Ok(table)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Positions of the key columns in the schema.
    pub(super) fn key(&self) -> &[usize] {
        &self.key
    }

    pub(super) fn insert(&self) -> &str {
        &self.insert
    }

    pub(super) fn delete(&self) -> Option<&str> {
        self.delete.as_deref()
    }

    fn column(&self, index: usize) -> String {
        quoted(&self.schema.columns[index].name)
    }

    fn list(&self, columns: impl IntoIterator<Item = usize>) -> String {
        columns.into_iter().map(|index| self.column(index)).collect::<Vec<_>>().join(", ")
    }

    fn insert_statement(&self) -> String {
        let width = self.schema.columns.len();
        let (name, columns) = (quoted(&self.name), self.list(0..width));
        let parameters = (1..=width).map(|i| format!("?{i}")).collect::<Vec<_>>().join(", ");
        let insert = format!("INSERT INTO {name} ({columns}) VALUES ({parameters})");
        if self.key.is_empty() {
            return insert;
        }
        let key = self.list(self.key.iter().copied());
        let others = (0..width).filter(|index| !self.key.contains(index)).map(|index| self.column(index));
        let updates = others.map(|column| format!("{column} = excluded.{column}")).collect::<Vec<_>>().join(", ");
        let action = if updates.is_empty() { "NOTHING".to_owned() } else { format!("UPDATE SET {updates}") };
        format!("{insert} ON CONFLICT ({key}) DO {action}")
    }

    fn delete_statement(&self) -> String {
        // `IS` finds NULLs too, and uses the key's index.
        let terms = self.key.iter().enumerate().map(|(i, index)| format!("{} IS ?{}", self.column(*index), i + 1));
        format!("DELETE FROM {} WHERE {}", quoted(&self.name), terms.collect::<Vec<_>>().join(" AND "))
    }

    fn create_statement(&self) -> String {
        let mut parts = Vec::new();
        for (index, column) in self.schema.columns.iter().enumerate() {
            let declared = declared_type(&column.data_type.kind).unwrap_or("BLOB");
            // INTEGER PRIMARY KEY is the row id, which takes no NULL but makes up a number instead.
            let is_nullable_key = column.data_type.nullable && self.key == [index];
            let declared = if declared == "INTEGER" && is_nullable_key { "BIGINT" } else { declared };
            let not_null = if column.data_type.nullable { "" } else { " NOT NULL" };
            parts.push(format!("{} {declared}{not_null}", quoted(&column.name)));
        }
        if !self.key.is_empty() {
            parts.push(format!("PRIMARY KEY ({})", self.list(self.key.iter().copied())));
        }
        format!("CREATE TABLE IF NOT EXISTS {} ({})", quoted(&self.name), parts.join(", "))
    }

    /// Creates the table if it is missing, else checks that rows of the sink fit it.
    pub(super) fn prepare(&self, connection: &Connection) -> Result<(), ConnectorError> {
        let name = &self.name;
        let failed = |e: rusqlite::Error| database_error(format!("preparing table {name}"), &e);
        let found = self.existing_columns(connection).map_err(failed)?;
        if found.is_empty() {
            connection.execute(&self.create_statement(), []).map_err(failed)?;
        } else {
            self.check(&found)?;
        }
        // SQLite looks for the constraint behind ON CONFLICT when the statement is prepared.
        connection.prepare_cached(&self.insert).map_err(|e| match &e {
            e if e.to_string().contains("ON CONFLICT") => {
                let key = self.list(self.key.iter().copied());
                self.mismatch(&format!("it has no PRIMARY KEY or UNIQUE constraint on ({key}), the key of the updates"))
            }
            e => database_error(format!("preparing table {name}"), e),
        })?;
        Ok(())
    }

    fn existing_columns(&self, connection: &Connection) -> rusqlite::Result<Vec<ExistingColumn>> {
        let mut statement =
            connection.prepare("SELECT name, type, \"notnull\" AND dflt_value IS NULL AND pk = 0 FROM pragma_table_info(?1)")?;
        let column = |row: &rusqlite::Row<'_>| Ok(ExistingColumn { name: row.get(0)?, declared: row.get(1)?, must_be_given: row.get(2)? });
        statement.query_map([&self.name], column)?.collect()
    }

    fn check(&self, found: &[ExistingColumn]) -> Result<(), ConnectorError> {
        for column in &self.schema.columns {
            let Some(existing) = found.iter().find(|existing| existing.name.eq_ignore_ascii_case(&column.name)) else {
                let names = found.iter().map(|existing| existing.name.as_str()).collect::<Vec<_>>().join(", ");
                return Err(self.mismatch(&format!("it has no column {}; its columns are {names}", column.name)));
            };
            if !Affinity::of_declared(&existing.declared).keeps(&column.data_type.kind) {
                let (name, declared, data_type) = (&existing.name, &existing.declared, &column.data_type);
                return Err(self.mismatch(&format!("its column {name} is {declared}, the sink's is {data_type}")));
            }
        }
        let is_given = |existing: &ExistingColumn| self.schema.columns.iter().any(|c| c.name.eq_ignore_ascii_case(&existing.name));
        match found.iter().find(|existing| existing.must_be_given && !is_given(existing)) {
            Some(existing) => Err(self.mismatch(&format!("its column {} is NOT NULL, and the sink has no such column", existing.name))),
            None => Ok(()),
        }
    }

    fn mismatch(&self, message: &str) -> ConnectorError {
        let context = format!("table {} does not fit the sink", self.name);
        ConnectorError::Database { context, message: message.to_owned(), retry: RetryHint::Never }
    }
}

struct ExistingColumn {
    name: String,
    declared: String,
    /// NOT NULL without a default.
    must_be_given: bool,
}
