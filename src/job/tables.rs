//! `[sources.*]` and `[sinks.*]`: options checked against the tables of connector and format, columns read, declarations made.

use super::ddl::{ColumnKind, TableDefinition, is_rowtime, parse_columns};
use super::problem::{Place, Problem};
use super::spec::{Entry, TableSpec};
use super::text::Text;
use crate::connector::{self, BadRecordPolicy, MetadataColumn, Source, SourceDeclaration};
use crate::format;
use crate::sql::{self, SqlError, TableDeclaration};
use crate::types::{Column, LogicalType, OptionError, OptionSpec, Options, Schema};
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// A source table that is understood.
#[derive(Debug)]
pub(crate) struct SourceTable<'a> {
    /// What was written.
    pub(crate) spec: &'a TableSpec,
    /// The connector's declaration, with every physical column in its projection.
    pub(crate) declaration: SourceDeclaration,
    /// The source of that declaration.
    pub(crate) source: Arc<dyn Source>,
    /// What queries see.
    pub(crate) table: TableDeclaration,
    /// Where each column of the table comes from.
    pub(crate) origins: Vec<ColumnOrigin>,
    /// The watermark's expression and the columns of the table that it reads.
    pub(crate) watermark: Option<(String, BTreeSet<usize>)>,
    /// `bad-records = { dead-letter = … }`
    pub(crate) dead_letter: Option<Text>,
}

/// Where a column of a source table comes from.
#[derive(Debug, Clone)]
pub(crate) enum ColumnOrigin {
    /// The connector's column at this position: a physical one, or behind these a metadata column.
    Read(usize),
    /// This expression over the connector's columns, and those that it reads.
    Computed(String, BTreeSet<usize>),
}

/// What the options of a table may be.
pub(crate) struct OptionTables {
    /// Of the table itself: `connector`, `schema`, …
    own: &'static [&'static str],
    /// Of the connector and of the format.
    specs: Vec<&'static OptionSpec>,
}

impl OptionTables {
    fn new(own: &'static [&'static str], connector: &'static [OptionSpec], format: &'static [OptionSpec]) -> Self {
        Self { own, specs: connector.iter().chain(format).collect() }
    }

    /// The connector's options and the format's among `spec`'s entries; unknown, wrong and missing ones are problems.
    fn read(&self, kind: &str, spec: &TableSpec, problems: &mut Vec<Problem>) -> Options {
        let mut options = Vec::new();
        for entry in spec.entries.iter().filter(|entry| !self.own.contains(&entry.key.as_str())) {
            match self.specs.iter().find(|known| known.matches(&entry.key)) {
                Some(_) if entry.value.is_broken() => {}
                Some(known) => match known.check(&entry.key, entry.value.as_str()) {
                    Ok(()) => options.push((entry.key.clone(), entry.value.as_str().to_owned())),
                    Err(error) => problems.push(super::configuration::wrong_value(known, entry, &error.message)),
                },
                None => problems.push(self.unknown(kind, spec, entry)),
            }
        }
        for required in self.specs.iter().filter(|known| known.required) {
            if !spec.entries.iter().any(|entry| required.matches(&entry.key)) {
                let message = format!("{} \"{}\" needs the option \"{}\"", singular(kind), spec.name, required.key);
                problems.push(Problem::at(&spec.name_place, message).help(required.doc));
            }
        }
        options.into_iter().collect()
    }

    fn unknown(&self, kind: &str, spec: &TableSpec, entry: &Entry) -> Problem {
        // `fields.*.kind` is compared with the part in place of the star that the key has there.
        let fitted = self.specs.iter().map(|known| {
            let parts: Vec<&str> = entry.key.split('.').collect();
            let fit = |(at, part)| if part == "*" { parts.get(at).copied().unwrap_or("*") } else { part };
            known.key.split('.').enumerate().map(fit).collect::<Vec<_>>().join(".")
        });
        let names: Vec<String> = fitted.chain(self.own.iter().map(|name| (*name).to_owned())).collect();
        let problem = Problem::at(&entry.key_place, format!("unknown option \"{}\" of {} \"{}\"", entry.key, singular(kind), spec.name));
        problem.nearest(&entry.key, names.iter().map(String::as_str))
    }
}

/// `source` of `sources`.
fn singular(kind: &str) -> &str {
    kind.strip_suffix('s').unwrap_or(kind)
}

/// The text of a key that a table cannot do without.
pub(crate) fn required<'a>(kind: &str, spec: &'a TableSpec, key: &str, help: String, problems: &mut Vec<Problem>) -> Option<&'a Text> {
    let found = spec.text(key);
    if found.is_none() {
        let message = format!("{} \"{}\" has no \"{key}\"", singular(kind), spec.name);
        problems.push(Problem::at(&spec.name_place, message).help(help));
    }
    found.filter(|text| !text.is_broken())
}

/// The connector that a table names, with its options and those of its format.
pub(crate) fn connector_of(
    kind: &str,
    spec: &TableSpec,
    own: &'static [&'static str],
    problems: &mut Vec<Problem>,
) -> Option<(String, OptionTables)> {
    let is_source = kind == "sources";
    let names = if is_source { connector::SOURCE_CONNECTORS } else { connector::SINK_CONNECTORS };
    let help = format!("the connectors for {kind} are {}", names.join(", "));
    let text = required(kind, spec, "connector", help.clone(), problems)?;
    let options = if is_source { connector::source_options(text.as_str()) } else { connector::sink_options(text.as_str()) };
    let Some(connector_options) = options else {
        let message = text.mask(&format!("unknown connector \"{}\"", text.as_str()));
        let problem = Problem::at(text.place(), message).help(help);
        problems.push(problem.nearest(text.as_str(), names.iter().copied()));
        return None;
    };
    let format = spec.text("format").map(Text::as_str).or_else(|| {
        let known = connector_options.iter().find(|known| known.key == "format")?;
        known.default
    });
    let format_options = format.and_then(|name| format::options(&name.trim().to_ascii_lowercase())).unwrap_or_default();
    Some((text.as_str().to_owned(), OptionTables::new(own, connector_options, format_options)))
}

const SOURCE_KEYS: &[&str] = &["connector", "schema", "uid", "bad-records", "bad-records.dead-letter"];

/// The keys of a sink that are not its connector's.
pub(crate) const SINK_KEYS: &[&str] = &["connector", "schema", "uid", "input"];

impl<'a> SourceTable<'a> {
    /// Understands a source table; `None` if there is a problem.
    pub(crate) fn read(spec: &'a TableSpec, directory: &Path, problems: &mut Vec<Problem>) -> Option<Self> {
        let before = problems.len();
        let connector = connector_of("sources", spec, SOURCE_KEYS, problems);
        let options = connector.as_ref().map(|(_, tables)| tables.read("sources", spec, problems));
        let help = "write the columns as in CREATE TABLE: schema = \"id BIGINT, name STRING\"".to_owned();
        let schema_text = required("sources", spec, "schema", help, problems);
        let definition = schema_text.and_then(|text| read_columns(text, problems));
        let (bad_records, dead_letter) = bad_records(spec, problems);
        let (definition, text) = definition.zip(schema_text)?;
        let connector_name = connector.as_ref().map_or("", |(name, _)| name);
        let metadata = metadata_columns(&definition, text, connector_name, problems);
        let columns = resolve_columns(&definition, text, metadata, problems)?;
        if problems[before..].iter().any(|problem| problem.severity == super::problem::Severity::Error) {
            return None;
        }
        let ((connector, _), options) = connector.zip(options)?;
        let declaration = SourceDeclaration {
            name: spec.name.clone(),
            connector,
            projection: (0..columns.physical.columns.len() + columns.metadata.len()).collect(),
            primary_key: columns.physical_key,
            schema: columns.physical,
            metadata: columns.metadata,
            options,
            bad_records,
            directory: directory.to_owned(),
        };
        let source = match connector::build_source(&declaration) {
            Ok(source) => source,
            Err(error) => {
                problems.push(option_problem(spec, &error));
                return None;
            }
        };
        let table = TableDeclaration {
            schema: columns.all,
            mode: source.changelog_mode(),
            unique_key: (!definition.primary_key.is_empty()).then(|| definition.primary_key.clone()),
            time_attribute: definition.watermark.as_ref().map(|watermark| watermark.column),
        };
        Some(Self { spec, declaration, source, table, origins: columns.origins, watermark: columns.watermark, dead_letter })
    }

    /// The uid under which its state is found.
    pub(crate) fn uid(&self) -> &str {
        uid_of(self.spec)
    }
}

/// `uid`, else the table's name.
pub(crate) fn uid_of(spec: &TableSpec) -> &str {
    spec.text("uid").map_or(&spec.name, Text::as_str)
}

/// A problem that a connector or format has with an option.
pub(crate) fn option_problem(spec: &TableSpec, error: &OptionError) -> Problem {
    if let Some(entry) = spec.get(&error.key) {
        return Problem::at(entry.value.place(), entry.value.mask(&error.to_string()));
    }
    let message = spec.entries.iter().fold(error.to_string(), |message, entry| entry.value.mask(&message));
    Problem::at(&spec.name_place, format!("\"{}\": {message}", spec.name))
}

/// Reads a column list; `None` if there is a problem.
pub(crate) fn read_columns(text: &Text, problems: &mut Vec<Problem>) -> Option<TableDefinition> {
    let (definition, errors) = parse_columns(text.as_str());
    let fine = errors.is_empty();
    problems.extend(errors.into_iter().map(|error| {
        let problem = Problem::at(&text.place_of(error.range), text.mask(&error.message));
        match error.hint {
            Some(hint) => problem.help(hint),
            None => problem,
        }
    }));
    fine.then_some(definition)
}

/// A problem with a query or expression that stands at `range` of `text`.
pub(crate) fn sql_problem(text: &Text, range: Range<usize>, error: &SqlError) -> Problem {
    let within = |offset: &Range<usize>| {
        let clamp = |at: usize| range.start.saturating_add(at).min(range.end);
        clamp(offset.start)..clamp(offset.end)
    };
    let place = match &error.offset {
        Some(offset) => text.place_of(within(offset)),
        None if range.len() == text.as_str().len() => whole_text(text),
        None => text.place_of(range),
    };
    let problem = Problem::at(&place, text.mask(&error.message));
    match &error.hint {
        Some(hint) => problem.help(text.mask(hint)),
        None => problem,
    }
}

/// The place of a query: from its first word, so that the line shown is not the one with the quotes alone.
fn whole_text(text: &Text) -> Place {
    let value = text.as_str();
    let start = value.len() - value.trim_start().len();
    text.place_of(start..value.trim_end().len().max(start))
}

struct Columns {
    all: Schema,
    physical: Schema,
    metadata: Vec<MetadataColumn>,
    origins: Vec<ColumnOrigin>,
    /// Positions of the primary key among the physical columns.
    physical_key: Vec<usize>,
    watermark: Option<(String, BTreeSet<usize>)>,
}

/// The metadata columns of a list, in its order; what the connector does not know is a problem.
fn metadata_columns(definition: &TableDefinition, text: &Text, connector: &str, problems: &mut Vec<Problem>) -> Vec<MetadataColumn> {
    let known = connector::source_metadata(connector);
    let mut columns = Vec::new();
    for column in &definition.columns {
        let ColumnKind::Metadata(data_type, key) = &column.kind else { continue };
        let problem = |message: String| Problem::at(&text.place_of(column.range.clone()), text.mask(&message));
        let Some((key, kind)) = known.iter().find(|(known, _)| known == key) else {
            // What a connector has that is not known itself cannot be said.
            if !connector.is_empty() {
                let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
                let help = if names.is_empty() { "no metadata columns".to_owned() } else { names.join(", ") };
                let problem = problem(format!("column {}: there is no metadata \"{key}\"", column.name));
                problems.push(problem.help(format!("{connector} has {help}")));
            }
            continue;
        };
        if data_type.kind != *kind {
            let message = format!("column {}: metadata \"{key}\" is {}, not {data_type}", column.name, LogicalType::not_null(kind.clone()));
            problems.push(problem(message).help("declare the column with that type, and CAST it in the query"));
            continue;
        }
        columns.push(MetadataColumn { key, column: Column { name: column.name.clone(), data_type: data_type.clone() } });
    }
    columns
}

/// Finds the types of computed columns and checks the watermark; `None` if there is a problem.
fn resolve_columns(
    definition: &TableDefinition,
    text: &Text,
    metadata: Vec<MetadataColumn>,
    problems: &mut Vec<Problem>,
) -> Option<Columns> {
    let physical: Vec<Column> = definition.columns.iter().filter_map(|column| physical_column(&column.name, &column.kind)).collect();
    let physical = Schema::new(physical);
    let read = Schema::new(physical.columns.iter().chain(metadata.iter().map(|metadata| &metadata.column)).cloned().collect());
    if physical.columns.is_empty() {
        problems.push(Problem::at(text.place(), "a source needs at least one column that is neither computed nor metadata"));
        return None;
    }
    let (mut all, mut origins, mut failed) = (Vec::new(), Vec::new(), false);
    for column in &definition.columns {
        let (origin, data_type) = match &column.kind {
            ColumnKind::Physical(data_type) | ColumnKind::Metadata(data_type, _) => {
                // A metadata column that is missing has been reported.
                let position = read.index_of(&column.name)?;
                (ColumnOrigin::Read(position), data_type.clone())
            }
            ColumnKind::Computed(range) => {
                let expression = &text.as_str()[range.clone()];
                match sql::analyze_expression(expression, &read) {
                    Ok(analyzed) => (ColumnOrigin::Computed(expression.to_owned(), analyzed.used_columns), analyzed.data_type),
                    Err(error) => {
                        problems.push(sql_problem(text, range.clone(), &error));
                        failed = true;
                        continue;
                    }
                }
            }
        };
        origins.push(origin);
        all.push(Column { name: column.name.clone(), data_type });
    }
    if failed {
        return None;
    }
    let all = Schema::new(all);
    let watermark = resolve_watermark(definition, text, &all, problems)?;
    let physical_of = |position: &usize| physical.index_of(&definition.columns[*position].name);
    let physical_key = definition.primary_key.iter().filter_map(physical_of).collect();
    Some(Columns { all, physical, metadata, origins, physical_key, watermark })
}

fn physical_column(name: &str, kind: &ColumnKind) -> Option<Column> {
    match kind {
        ColumnKind::Physical(data_type) => Some(Column { name: name.to_owned(), data_type: data_type.clone() }),
        ColumnKind::Computed(_) | ColumnKind::Metadata(..) => None,
    }
}

/// The outer `None`: there is a problem; the inner one: there is no watermark.
#[expect(clippy::option_option, reason = "two different absences, both of them short-lived")]
fn resolve_watermark(
    definition: &TableDefinition,
    text: &Text,
    all: &Schema,
    problems: &mut Vec<Problem>,
) -> Option<Option<(String, BTreeSet<usize>)>> {
    let Some(watermark) = &definition.watermark else { return Some(None) };
    let rowtime = &all.columns[watermark.column];
    if !is_rowtime(&rowtime.data_type.kind) {
        let (name, found) = (&rowtime.name, &rowtime.data_type);
        let message = format!("watermark: column \"{name}\" is {found}, expected TIMESTAMP(p) or TIMESTAMP_LTZ(p) with p ≤ 3");
        problems.push(Problem::at(&text.place_of(watermark.range.clone()), message));
        return None;
    }
    let expression = &text.as_str()[watermark.expression.clone()];
    match sql::analyze_expression(expression, all) {
        Ok(analyzed) if !same_family(&analyzed.data_type, &rowtime.data_type) => {
            let message = format!("watermark: the expression is {}, expected {}", analyzed.data_type, rowtime.data_type);
            problems.push(Problem::at(&text.place_of(watermark.expression.clone()), message));
            None
        }
        Ok(analyzed) => Some(Some((expression.to_owned(), analyzed.used_columns))),
        Err(error) => {
            problems.push(sql_problem(text, watermark.expression.clone(), &error));
            None
        }
    }
}

fn same_family(a: &LogicalType, b: &LogicalType) -> bool {
    std::mem::discriminant(&a.kind) == std::mem::discriminant(&b.kind)
}

fn bad_records(spec: &TableSpec, problems: &mut Vec<Problem>) -> (BadRecordPolicy, Option<Text>) {
    if let Some(path) = spec.text("bad-records.dead-letter") {
        return (BadRecordPolicy::DeadLetter, Some(path.clone()));
    }
    let Some(text) = spec.text("bad-records") else { return (BadRecordPolicy::Fail, None) };
    match text.as_str() {
        "fail" => (BadRecordPolicy::Fail, None),
        "skip" => (BadRecordPolicy::Skip, None),
        other => {
            let message = text.mask(&format!("bad-records: expected fail, skip or a dead-letter path, found \"{other}\""));
            let problem = Problem::at(text.place(), message).help("write \"skip\", \"fail\" or { dead-letter = \"path/\" }");
            problems.push(problem.nearest(other, ["fail", "skip"]));
            (BadRecordPolicy::Fail, None)
        }
    }
}

/// The options of a sink; problems with them are reported.
pub(crate) fn sink_options(spec: &TableSpec, problems: &mut Vec<Problem>) -> Option<(String, Options)> {
    let (connector, tables) = connector_of("sinks", spec, SINK_KEYS, problems)?;
    let options = tables.read("sinks", spec, problems);
    Some((connector, options))
}
