//! What a golden job has written: the rows of each of its sinks that others can see, in an order of their own.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use toml_edit::{DocumentMut, Item};

/// Where a sink writes, relative to the job's directory.
#[derive(Debug, Clone)]
enum Place {
    /// Files of one record a line.
    Lines(PathBuf),
    /// Files of Debezium's envelopes: their rows are those that are left when all changes are applied.
    Changelog(PathBuf),
    /// A table of a SQLite database.
    Table(PathBuf, String),
}

/// The output of one sink.
#[derive(Debug, Clone)]
pub(crate) struct JobOutput {
    /// The file in `expected/` that holds its rows: the sink's name, with the extension `.txt`.
    pub(crate) expected: String,
    place: Place,
}

fn text<'a>(table: &'a Item, key: &[&str]) -> Option<&'a str> {
    key.iter().try_fold(table, |item, part| item.get(part))?.as_str()
}

/// The outputs of a job, dead letters among them. The connectors and formats that golden jobs use are known here.
pub(crate) fn outputs(job: &DocumentMut) -> Vec<JobOutput> {
    let mut outputs = Vec::new();
    for (name, sink) in job["sinks"].as_table().unwrap() {
        let place = match (text(sink, &["connector"]).unwrap(), text(sink, &["format"])) {
            ("filesystem", Some("debezium-json")) => Place::Changelog(text(sink, &["path"]).unwrap().into()),
            ("filesystem", _) => Place::Lines(text(sink, &["path"]).unwrap().into()),
            ("jdbc", _) => {
                let file = text(sink, &["url"]).unwrap().strip_prefix("jdbc:sqlite:").unwrap();
                Place::Table(file.into(), text(sink, &["table-name"]).unwrap().to_owned())
            }
            (other, _) => panic!("what {other} has written cannot be read here yet"),
        };
        outputs.push(JobOutput { expected: format!("{name}.txt"), place });
    }
    for (name, source) in job["sources"].as_table().unwrap() {
        if let Some(path) = text(source, &["bad-records", "dead-letter"]) {
            outputs.push(JobOutput { expected: format!("{name}.dead-letter.txt"), place: Place::Lines(path.into()) });
        }
    }
    outputs
}

impl JobOutput {
    /// The rows in the job's directory `dir`, sorted: the order of rows is free at a parallelism above 1. `dir` itself is written `.`.
    pub(crate) fn rows(&self, dir: &Path) -> Vec<String> {
        let mut rows = match &self.place {
            Place::Lines(path) => lines(&dir.join(path)),
            Place::Changelog(path) => applied(&lines(&dir.join(path))),
            Place::Table(file, table) => table_rows(&dir.join(file), table),
        };
        let here = dir.to_str().unwrap();
        rows.iter_mut().filter(|row| row.contains(here)).for_each(|row| *row = row.replace(here, "."));
        rows.sort_unstable();
        rows
    }

    /// The directory of a sink that writes files.
    pub(crate) fn directory(&self) -> Option<&Path> {
        match &self.place {
            Place::Lines(path) | Place::Changelog(path) => Some(path),
            Place::Table(..) => None,
        }
    }
}

/// The lines of all visible files; none if there is no such directory yet.
fn lines(dir: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten() {
        let path = entry.unwrap().path();
        if !path.file_name().unwrap().to_str().unwrap().starts_with('.') {
            let text = fs::read_to_string(&path).unwrap();
            assert!(text.is_empty() || text.ends_with('\n'), "{} ends within a line", path.display());
            lines.extend(text.lines().map(str::to_owned));
        }
    }
    lines
}

/// The rows that are left of a changelog. Its files may be read in any order: a row that is taken back before it is put there counts -1
/// until then.
fn applied(envelopes: &[String]) -> Vec<String> {
    let mut counts: BTreeMap<String, i64> = BTreeMap::new();
    for line in envelopes {
        let envelope: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        for (part, change) in [("before", -1), ("after", 1)] {
            if !envelope[part].is_null() {
                *counts.entry(envelope[part].to_string()).or_default() += change;
            }
        }
    }
    let mut rows = Vec::new();
    for (row, count) in counts {
        assert!(count >= 0, "taken back more often than put there ({count}): {row}");
        rows.extend((0..count).map(|_| row.clone()));
    }
    rows
}

/// The rows of a table, as JSON; none if there is no such database or table yet.
fn table_rows(file: &Path, table: &str) -> Vec<String> {
    if !file.exists() {
        return Vec::new();
    }
    let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX).unwrap();
    let known = "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = ?1";
    if connection.query_row(known, [table], |row| row.get::<_, i64>(0)).unwrap() == 0 {
        return Vec::new();
    }
    let mut statement = connection.prepare(&format!("SELECT * FROM \"{table}\"")).unwrap();
    let names: Vec<String> = statement.column_names().into_iter().map(str::to_owned).collect();
    let rows = statement.query_map([], |row| {
        let value = |index| Ok::<_, rusqlite::Error>(json(row.get_ref(index)?));
        let fields = names.iter().enumerate().map(|(index, name)| Ok((name.clone(), value(index)?)));
        Ok(serde_json::Value::Object(fields.collect::<Result<_, rusqlite::Error>>()?).to_string())
    });
    rows.unwrap().map(Result::unwrap).collect()
}

fn json(value: ValueRef<'_>) -> serde_json::Value {
    match value {
        ValueRef::Null => serde_json::Value::Null,
        ValueRef::Integer(number) => number.into(),
        ValueRef::Real(number) => number.into(),
        ValueRef::Text(text) => String::from_utf8(text.to_vec()).unwrap().into(),
        ValueRef::Blob(bytes) => format!("{bytes:02x?}").into(),
    }
}
