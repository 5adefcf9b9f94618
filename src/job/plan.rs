//! What the tables of a job mean together: names resolved, queries analyzed in the order in which they read one another, sinks checked
//! against their inputs. All problems are collected; what depends on something wrong is passed over in silence.

use super::configuration::Configuration;
use super::ddl::ColumnKind;
use super::not_null::NotNullSink;
use super::problem::{Place, Problem};
use super::process::{self, FunctionSources, ProcessPlan};
use super::settings::{JobSettings, RuntimeMode};
use super::spec::{Spec, TableSpec};
use super::table_names::{order, tables_read};
use super::tables::{SourceTable, option_problem, read_columns, required, sink_options, sql_problem, uid_of};
use super::text::Text;
use crate::connector::{self, Sink, SinkDeclaration, SinkInput};
use crate::sql::{self, AnalyzedTransform, PlanOptions, TableDeclaration, TransformRequest};
use crate::types::{ChangelogMode, Column, Parallelism, Schema};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A job that is understood.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    /// In the file's order.
    pub(crate) sources: Vec<SourceTable<'a>>,
    /// Each one behind those that it reads.
    pub(crate) transforms: Vec<TransformTable<'a>>,
    /// In the file's order.
    pub(crate) sinks: Vec<SinkTable<'a>>,
}

/// A transform that is understood.
#[derive(Debug)]
pub(crate) struct TransformTable<'a> {
    /// What was written.
    pub(crate) spec: &'a TableSpec,
    /// What it means.
    pub(crate) body: TransformBody<'a>,
    /// Whether some reader needs the old rows of updates.
    pub(crate) emit_update_before: bool,
}

/// What a transform does.
#[derive(Debug)]
pub(crate) enum TransformBody<'a> {
    /// A query, as it was written and what it means.
    Query(&'a Text, AnalyzedTransform),
    /// A function.
    Process(ProcessPlan),
}

impl TransformTable<'_> {
    /// The columns of each table that it reads, by position.
    pub(crate) fn used_columns(&self) -> BTreeMap<String, BTreeSet<usize>> {
        match &self.body {
            TransformBody::Query(_, analyzed) => analyzed.used_columns().clone(),
            TransformBody::Process(plan) => plan.used_columns(),
        }
    }

    /// The tables that it is for others.
    pub(crate) fn tables(&self) -> impl Iterator<Item = String> + '_ {
        process::output_names(self.spec)
    }

    /// Whether it needs the old rows of the updates of `table`, which it reads.
    fn needs_update_before(&self, table: &str) -> bool {
        match &self.body {
            TransformBody::Query(_, analyzed) => {
                analyzed.used_columns().contains_key(table) && analyzed.needs_update_before(table, self.emit_update_before)
            }
            TransformBody::Process(_) => false,
        }
    }
}

/// A sink whose input fits it.
#[derive(Debug)]
pub(crate) struct SinkTable<'a> {
    /// What was written.
    pub(crate) spec: &'a TableSpec,
    /// The table that it reads.
    pub(crate) input: String,
    /// The sink.
    pub(crate) sink: Arc<dyn Sink>,
    /// `sink.parallelism`
    pub(crate) parallelism: Option<Parallelism>,
}

/// Understands the tables of `spec`. Decides `AUTOMATIC` runtime mode in `configuration`.
pub(crate) fn plan<'a>(
    spec: &'a Spec,
    configuration: &mut Configuration,
    functions: FunctionSources<'_>,
    problems: &mut Vec<Problem>,
) -> Plan<'a> {
    check_names(spec, problems);
    check_usage(spec, problems);
    let directory = configuration.settings.directory.clone();
    let sources: Vec<SourceTable<'a>> = spec.sources.iter().filter_map(|source| SourceTable::read(source, &directory, problems)).collect();
    decide_mode(spec, &sources, configuration, problems);
    let mut tables: BTreeMap<String, TableDeclaration> =
        sources.iter().map(|source| (source.spec.name.clone(), source.table.clone())).collect();
    let options = PlanOptions {
        batch_mode: configuration.settings.mode == RuntimeMode::Batch,
        mini_batch: configuration.mini_batch,
        state_ttl: configuration.state_ttl,
    };
    let mut transforms = TransformPlanner { spec, options, settings: &configuration.settings, functions }.analyze(&mut tables, problems);
    let sinks: Vec<SinkTable<'a>> = {
        let planner = SinkPlanner { spec, tables: &tables, directory: &directory, drops_nulls: configuration.drops_nulls };
        spec.sinks.iter().filter_map(|sink| planner.read(sink, problems)).collect()
    };
    propagate_update_before(&mut transforms, &sinks);
    Plan { sources, transforms, sinks }
}

/// Names of sources and transforms are tables of the same queries; uids must be unique where state is found by them.
fn check_names(spec: &Spec, problems: &mut Vec<Problem>) {
    for transform in &spec.transforms {
        if spec.sources.iter().any(|source| source.name == transform.name) {
            let message = format!("there is a source and a transform called \"{}\"", transform.name);
            problems.push(Problem::at(&transform.name_place, message).help("queries could not tell them apart: rename one of them"));
        }
    }
    let mut check = |tables: &mut dyn Iterator<Item = &TableSpec>| {
        let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
        for table in tables {
            let uid = uid_of(table);
            let place = table.text("uid").map_or(&table.name_place, Text::place);
            let named = table.text("uid").is_some();
            if named && (uid.is_empty() || uid.starts_with('.') || uid.contains(|c: char| c == '/' || c == '\\' || c.is_control())) {
                problems.push(Problem::at(place, "a uid must not be empty, start with a dot, or have / or \\ in it"));
            }
            if let Some(other) = seen.insert(uid, &table.name) {
                let message =
                    format!("\"{other}\" and \"{}\" have the same uid \"{uid}\": their state could not be told apart", table.name);
                problems.push(Problem::at(place, message).help("give one of them another uid = \"…\""));
            }
        }
    };
    check(&mut spec.sources.iter().chain(&spec.sinks));
    check(&mut spec.transforms.iter());
}

/// The names of everything that can be read.
fn table_names(spec: &Spec) -> impl Iterator<Item = String> + '_ {
    spec.sources.iter().map(|source| source.name.clone()).chain(spec.transforms.iter().flat_map(process::output_names))
}

/// Sources that nothing reads, transforms that lead nowhere, jobs without a sink.
fn check_usage(spec: &Spec, problems: &mut Vec<Problem>) {
    let mut read: BTreeSet<String> = spec.sinks.iter().filter_map(|sink| sink.text("input")).map(|text| text.as_str().to_owned()).collect();
    for transform in &spec.transforms {
        let own = transform.text("sql").map(|sql| tables_read(sql.as_str())).unwrap_or_default();
        read.extend(own.into_iter().filter(|name| *name != transform.name));
        read.extend(process::tables_of(transform));
    }
    // Whoever names the wrong table, or none, may have meant one that nothing seems to read.
    let known = |name: &str| table_names(spec).any(|table| table == name);
    let reads_nothing = |transform: &TableSpec| {
        let inputs = process::tables_of(transform);
        let is_process = process::is_process(transform);
        if is_process {
            inputs.is_empty() || !inputs.iter().all(|name| known(name))
        } else {
            transform.text("sql").is_none_or(Text::is_broken)
        }
    };
    let lost = spec.sinks.iter().any(|sink| sink.text("input").is_none_or(|input| !known(input.as_str())))
        || spec.transforms.iter().any(reads_nothing);
    for source in spec.sources.iter().filter(|source| !lost && !read.contains(&source.name)) {
        let message = format!("nothing reads the source \"{}\"", source.name);
        problems.push(Problem::at(&source.name_place, message).help("remove it, or read it in a transform or a sink"));
    }
    let unread = |transform: &&TableSpec| !process::output_names(transform).any(|name| read.contains(&name));
    for transform in spec.transforms.iter().filter(|_| !lost).filter(unread) {
        let message = format!("nothing reads the transform \"{}\": it does not run", transform.name);
        problems.push(Problem::at(&transform.name_place, message).help("read it in another transform or a sink").warning());
    }
    if spec.sinks.is_empty() {
        problems.push(Problem::nowhere("the job has no sink").help("write [sinks.<name>] with input = \"<source or transform>\""));
    }
}

fn decide_mode(spec: &Spec, sources: &[SourceTable<'_>], configuration: &mut Configuration, problems: &mut Vec<Problem>) {
    let bounded = sources.len() == spec.sources.len() && sources.iter().all(|source| source.source.is_bounded());
    configuration.decide_mode(bounded);
    if configuration.settings.mode == RuntimeMode::Batch {
        for source in sources.iter().filter(|source| !source.source.is_bounded()) {
            let message =
                format!("the source \"{}\" never ends, and execution.runtime-mode = BATCH needs sources that do", source.spec.name);
            problems.push(Problem::at(&source.spec.name_place, message).help("use execution.runtime-mode = \"STREAMING\""));
        }
    }
}

/// The query of a transform; `None` if there is a problem.
fn query<'a>(transform: &'a TableSpec, problems: &mut Vec<Problem>) -> Option<&'a Text> {
    for entry in transform.entries.iter().filter(|entry| !matches!(entry.key.as_str(), "sql" | "uid")) {
        let names = ["sql", "uid"].into_iter().chain(process::KEYS.iter().copied());
        let problem = if process::KEYS.contains(&entry.key.as_str()) && transform.get("sql").is_some() {
            let message = format!("\"{}\" does not go with a query: transform \"{}\" has \"sql\"", entry.key, transform.name);
            Problem::at(&entry.key_place, message).help("a transform is a query or a function: leave one of them out")
        } else {
            let message = format!("unknown option \"{}\" of transform \"{}\"", entry.key, transform.name);
            Problem::at(&entry.key_place, message).nearest(&entry.key, names)
        };
        problems.push(problem);
    }
    let help = "write sql = \"SELECT …\", or input, output and a function (script, lua, function)".to_owned();
    required("transforms", transform, "sql", help, problems)
}

struct TransformPlanner<'a, 'p> {
    spec: &'a Spec,
    options: PlanOptions,
    settings: &'p JobSettings,
    functions: FunctionSources<'p>,
}

impl<'a> TransformPlanner<'a, '_> {
    /// Understands the transforms, each behind those that it reads, and adds their tables.
    fn analyze(&self, tables: &mut BTreeMap<String, TableDeclaration>, problems: &mut Vec<Problem>) -> Vec<TransformTable<'a>> {
        let transforms = &self.spec.transforms;
        let queries: Vec<Option<&Text>> =
            transforms.iter().map(|transform| if process::is_process(transform) { None } else { query(transform, problems) }).collect();
        let named = transforms.iter().zip(&queries).map(|(transform, sql)| match sql {
            Some(sql) => tables_read(sql.as_str()),
            None => process::tables_of(transform).into_iter().collect(),
        });
        let named: Vec<BTreeSet<String>> = named.collect();
        let position = |name: &String| transforms.iter().position(|transform| process::output_names(transform).any(|table| table == *name));
        let reads: Vec<Vec<usize>> = named.iter().map(|names| names.iter().filter_map(position).collect()).collect();
        let (order, cycles) = order(&reads);
        for cycle in cycles {
            problems.push(self.cycle(&cycle));
        }
        let mut analyzed = Vec::new();
        for at in order {
            let transform = &transforms[at];
            // A table that is declared but not understood has its own problems: those of its readers would only repeat them.
            let declared = |name: &String| table_names(self.spec).any(|table| table == *name);
            if named[at].iter().any(|name| declared(name) && !tables.contains_key(name)) {
                continue;
            }
            let body = match queries[at] {
                Some(sql) => self.query(transform, sql, tables, problems),
                None if process::is_process(transform) => self.process(transform, tables, problems),
                None => None,
            };
            analyzed.extend(body.map(|body| TransformTable { spec: transform, body, emit_update_before: false }));
        }
        analyzed
    }

    fn cycle(&self, cycle: &[usize]) -> Problem {
        let mut names: Vec<&str> = cycle.iter().map(|at| self.spec.transforms[*at].name.as_str()).collect();
        names.extend(names.first().copied());
        let message = if cycle.len() == 1 {
            format!("the transform \"{}\" reads itself", names[0])
        } else {
            format!("transforms read one another in a cycle: {}", names.join(" → "))
        };
        Problem::at(&self.spec.transforms[cycle[0]].name_place, message)
    }

    fn query(
        &self,
        transform: &TableSpec,
        sql: &'a Text,
        tables: &mut BTreeMap<String, TableDeclaration>,
        problems: &mut Vec<Problem>,
    ) -> Option<TransformBody<'a>> {
        let request = TransformRequest { name: &transform.name, sql: sql.as_str(), tables, options: self.options };
        match sql::analyze(&request) {
            Ok(result) => {
                let table = TableDeclaration {
                    schema: result.schema(),
                    mode: result.mode(true),
                    unique_key: result.unique_key(),
                    time_attribute: result.time_attribute(),
                };
                tables.insert(transform.name.clone(), table);
                Some(TransformBody::Query(sql, result))
            }
            Err(error) => {
                problems.push(sql_problem(sql, 0..sql.as_str().len(), &error));
                None
            }
        }
    }

    fn process(
        &self,
        transform: &TableSpec,
        tables: &mut BTreeMap<String, TableDeclaration>,
        problems: &mut Vec<Problem>,
    ) -> Option<TransformBody<'a>> {
        let plan = ProcessPlan::read(transform, tables, self.functions, self.settings, problems)?;
        tables.extend(plan.tables(&transform.name));
        Some(TransformBody::Process(plan))
    }
}

/// From the sinks up: a transform emits the old rows of updates if one of its readers needs them.
fn propagate_update_before(transforms: &mut [TransformTable<'_>], sinks: &[SinkTable<'_>]) {
    for at in (0..transforms.len()).rev() {
        let name = &transforms[at].spec.name;
        let sink_needs = sinks.iter().any(|sink| sink.input == *name && sink.sink.input() == SinkInput::Any);
        let transform_needs = transforms[at + 1..].iter().any(|reader| reader.needs_update_before(name));
        transforms[at].emit_update_before = sink_needs || transform_needs;
    }
}

struct SinkPlanner<'p> {
    spec: &'p Spec,
    tables: &'p BTreeMap<String, TableDeclaration>,
    directory: &'p std::path::Path,
    /// Rows with NULL in a NOT NULL column are left out instead of failing the job.
    drops_nulls: bool,
}

impl SinkPlanner<'_> {
    fn read<'a>(&self, sink: &'a TableSpec, problems: &mut Vec<Problem>) -> Option<SinkTable<'a>> {
        let before = problems.len();
        let options = sink_options(sink, problems);
        let input = self.input(sink, problems);
        let declared = sink.text("schema").map(|text| (text, read_columns(text, problems)));
        if problems.len() > before {
            return None;
        }
        let ((connector, options), input) = options.zip(input)?;
        let table = self.tables.get(input.as_str())?;
        let (schema, primary_key) = match declared {
            None => (table.schema.clone(), table.unique_key.clone().unwrap_or_default()),
            Some((text, definition)) => {
                let definition = definition?;
                if let Some(column) = definition.columns.iter().find(|column| matches!(column.kind, ColumnKind::Metadata(..))) {
                    let message = format!("column {}: a sink has no metadata columns", column.name);
                    problems.push(Problem::at(&text.place_of(column.range.clone()), message));
                    return None;
                }
                let physical = definition.columns.iter().filter_map(|column| match &column.kind {
                    ColumnKind::Physical(data_type) => Some(Column { name: column.name.clone(), data_type: data_type.clone() }),
                    ColumnKind::Computed(_) | ColumnKind::Metadata(..) => None,
                });
                let schema = Schema::new(physical.collect());
                let places = definition.columns.iter().filter(|column| matches!(column.kind, ColumnKind::Physical(_)));
                let places: Vec<Place> = places.map(|column| text.place_of(column.range.clone())).collect();
                check_schema((sink, text.place(), &places), &schema, (input.as_str(), &table.schema), problems)?;
                let key = definition.primary_key.iter().filter_map(|at| schema.index_of(&definition.columns[*at].name));
                let key: Vec<usize> = key.collect();
                (schema, if key.is_empty() { table.unique_key.clone().unwrap_or_default() } else { key })
            }
        };
        let parallelism = options.get("sink.parallelism").and_then(|text| text.trim().parse().ok()).and_then(Parallelism::new);
        let declaration =
            SinkDeclaration { name: sink.name.clone(), connector, schema, primary_key, options, directory: self.directory.to_owned() };
        match connector::build_sink(&declaration) {
            Ok(built) => {
                check_changes(sink, &declaration, built.as_ref(), input.as_str(), table, problems)?;
                let built = NotNullSink::around(built, &declaration.schema, self.drops_nulls);
                Some(SinkTable { spec: sink, input: input.as_str().to_owned(), sink: built, parallelism })
            }
            Err(error) => {
                problems.push(option_problem(sink, &error));
                None
            }
        }
    }

    fn input<'a>(&self, sink: &'a TableSpec, problems: &mut Vec<Problem>) -> Option<&'a Text> {
        let names: Vec<String> = table_names(self.spec).collect();
        let input = required("sinks", sink, "input", "name the source or transform whose rows it takes".to_owned(), problems)?;
        if !names.iter().any(|name| name == input.as_str()) {
            let message = input.mask(&format!("there is no source or transform called \"{}\"", input.as_str()));
            problems.push(Problem::at(input.place(), message).nearest(input.as_str(), names.iter().map(String::as_str)));
            return None;
        }
        Some(input)
    }
}

/// A sink's declared columns (with the places of the schema and of each column) against those that arrive: by position, with equal
/// types, as for Flink's INSERT INTO.
fn check_schema(
    (sink, schema, columns): (&TableSpec, &Place, &[Place]),
    declared: &Schema,
    (input, arriving): (&str, &Schema),
    problems: &mut Vec<Problem>,
) -> Option<()> {
    let list = |schema: &Schema| {
        let column = |column: &Column| format!("{} {}", column.name, column.data_type);
        schema.columns.iter().map(column).collect::<Vec<_>>().join(", ")
    };
    if declared.columns.len() != arriving.columns.len() {
        let (has, gets) = (declared.columns.len(), arriving.columns.len());
        let columns = if has == 1 { "column" } else { "columns" };
        let message = format!("sink \"{}\" declares {has} {columns}, but \"{input}\" has {gets}", sink.name);
        problems.push(Problem::at(schema, message).help(format!("the input's columns are {}", list(arriving))));
        return None;
    }
    let mut fits = true;
    for (position, (to, from)) in declared.columns.iter().zip(&arriving.columns).enumerate() {
        if to.data_type.to_arrow() == from.data_type.to_arrow() {
            continue;
        }
        fits = false;
        let message = format!(
            "column {} of sink \"{}\" is {} {}, but \"{input}\" has {} {} there",
            position + 1,
            sink.name,
            to.name,
            to.data_type,
            from.name,
            from.data_type
        );
        let moved = arriving.columns.iter().any(|other| other.name == to.name && other.data_type.to_arrow() == to.data_type.to_arrow());
        let hint = if moved && to.name != from.name {
            format!("columns are matched by position, as in Flink: select \"{}\" there", to.name)
        } else {
            let mut wanted = to.data_type.clone();
            wanted.nullable = true;
            format!("CAST({} AS {wanted}) in the query, or declare {} {}", from.name, to.name, from.data_type)
        };
        problems.push(Problem::at(columns.get(position).unwrap_or(schema), message).help(hint));
    }
    fits.then_some(())
}

/// Whether a sink can take what its input does to rows that it has emitted.
fn check_changes(
    sink: &TableSpec,
    declaration: &SinkDeclaration,
    built: &dyn Sink,
    input: &str,
    table: &TableDeclaration,
    problems: &mut Vec<Problem>,
) -> Option<()> {
    if table.mode == ChangelogMode::AppendOnly {
        return Some(());
    }
    let place = sink.text("input").map_or(&sink.name_place, Text::place);
    let names = |schema: &Schema, key: &[usize]| {
        let names: Vec<&str> = key.iter().filter_map(|at| schema.columns.get(*at)).map(|column| column.name.as_str()).collect();
        names.join(", ")
    };
    match built.input() {
        SinkInput::Any | SinkInput::AnyWithoutUpdateBefore => Some(()),
        SinkInput::AppendOnly => {
            let message = format!(
                "sink \"{}\" ({}) takes new rows alone, but \"{input}\" updates and deletes rows that it has emitted",
                sink.name,
                built.describe()
            );
            let hint = "use a sink with a key (jdbc with a PRIMARY KEY), format = \"debezium-json\", or execution.runtime-mode = \"BATCH\"";
            problems.push(Problem::at(place, message).help(hint));
            None
        }
        SinkInput::Upsert(key) => {
            let unique: BTreeSet<usize> = table.unique_key.iter().flatten().copied().collect();
            if !unique.is_empty() && key.iter().copied().collect::<BTreeSet<_>>() == unique {
                return Some(());
            }
            let key = names(&declaration.schema, &key);
            let found = match &table.unique_key {
                Some(unique) => format!("the key of \"{input}\" is ({})", names(&table.schema, unique)),
                None => format!("\"{input}\" has no key"),
            };
            let message = format!("sink \"{}\" updates rows by the key ({key}), but {found}", sink.name);
            problems.push(Problem::at(place, message).help("the key of the sink and that of its input must have the same columns"));
            None
        }
    }
}
