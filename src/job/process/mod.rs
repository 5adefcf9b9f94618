//! `[transforms.x]` with `input`, `output` and a function: what was written, checked against the tables that it reads.

mod states;

use super::ddl::ColumnKind;
use super::problem::{Place, Problem};
use super::settings::JobSettings;
use super::spec::TableSpec;
use super::tables::{read_columns, required};
use super::text::Text;
use crate::operator::process::{Functions, ProcessFactory, ProcessInput, ProcessOperatorFactory, ProcessOutput, ProcessSpec};
use crate::script::{Limits, MentionedColumns, OutputSpec, ScriptFactory, ScriptSpec, ScriptState, check, mentioned_columns};
use crate::sql::TableDeclaration;
use crate::types::{ChangelogMode, Column, Schema};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

/// Reads a file beside the job file; the error is for people.
pub type ReadFile<'a> = &'a dyn Fn(&Path) -> Result<String, String>;

/// What functions are made from, beside the job file.
#[derive(Clone, Copy)]
pub(crate) struct FunctionSources<'a> {
    /// Reads scripts.
    pub(crate) read: ReadFile<'a>,
    /// What the binary registered.
    pub(crate) functions: &'a Functions,
}

/// The keys of a transform with a function.
pub(crate) const KEYS: &[&str] = &["input", "broadcast", "key-by", "output", "outputs", "script", "lua", "function", "state", "uid"];

/// The keys of which exactly one says what runs.
const BODIES: [&str; 3] = ["script", "lua", "function"];

/// Where a function's code is.
#[derive(Debug, Clone)]
enum Body {
    Script { chunk: String, text: String },
    Function(Arc<dyn ProcessFactory>),
}

/// A transform with a function that is understood.
#[derive(Debug)]
pub(crate) struct ProcessPlan {
    /// Its inputs: the tables' names, and what they are.
    pub(crate) inputs: Vec<(String, TableDeclaration)>,
    /// Its broadcast input, if it has one.
    pub(crate) broadcast: Option<(String, TableDeclaration)>,
    /// Names of the key columns.
    key_by: Vec<String>,
    outputs: Vec<OutputSpec>,
    states: Vec<ScriptState>,
    body: Body,
    limits: Limits,
}

/// True if a transform is a function rather than a query.
pub(crate) fn is_process(spec: &TableSpec) -> bool {
    spec.get("sql").is_none() && (spec.get("input").is_some() || BODIES.iter().any(|key| spec.get(key).is_some()))
}

/// The tables that such a transform reads.
pub(crate) fn tables_of(spec: &TableSpec) -> Vec<String> {
    ["input", "broadcast"].into_iter().flat_map(|key| names_in(spec, key)).collect()
}

/// The names of tables under `key`.
fn names_in(spec: &TableSpec, key: &str) -> Vec<String> {
    let names = spec.text(key).filter(|text| !text.is_broken()).map(|text| text.as_str().split(';').map(str::to_owned));
    names.into_iter().flatten().filter(|name| !name.is_empty()).collect()
}

/// The names of all its outputs: its own, and `<name>.<output>`.
pub(crate) fn output_names(spec: &TableSpec) -> impl Iterator<Item = String> + '_ {
    let further = spec.entries.iter().filter_map(|entry| entry.key.strip_prefix("outputs."));
    std::iter::once(spec.name.clone()).chain(further.map(|name| format!("{}.{name}", spec.name)))
}

impl ProcessPlan {
    /// Understands a transform. `tables`: what it may read. `None` if there is a problem.
    pub(crate) fn read(
        spec: &TableSpec,
        tables: &BTreeMap<String, TableDeclaration>,
        sources: FunctionSources<'_>,
        settings: &JobSettings,
        problems: &mut Vec<Problem>,
    ) -> Option<Self> {
        let before = problems.len();
        check_keys(spec, problems);
        let inputs = read_inputs(spec, tables, problems);
        let key_by = read_key(spec, &inputs, problems);
        let outputs = read_outputs(spec, problems);
        let states = states::read_states(spec, problems);
        let broadcast = read_broadcast(spec, tables, problems);
        let body = read_body(spec, sources, &settings.directory, problems);
        if let Some(body) = &body {
            check_shape(spec, body, inputs.len(), problems);
        }
        if key_by.is_empty()
            && let Some(entry) = spec.entries.iter().find(|entry| entry.key.starts_with("state."))
        {
            let message = format!("transform \"{}\" has state, but no \"key-by\": state belongs to a key", spec.name);
            problems.push(Problem::at(&entry.key_place, message).help("write key-by = [\"<column>\", …]"));
        }
        if problems.len() > before {
            return None;
        }
        let plan = Self { inputs, broadcast, key_by, outputs, states, body: body?, limits: settings.script };
        plan.check_script(spec, problems)?;
        Some(plan)
    }

    /// The tables that it is for others: name and columns of each output.
    pub(crate) fn tables<'p>(&'p self, name: &'p str) -> impl Iterator<Item = (String, TableDeclaration)> + 'p {
        self.outputs.iter().map(move |output| {
            let name = if output.name.is_empty() { name.to_owned() } else { format!("{name}.{}", output.name) };
            let schema = output.schema.clone();
            (name, TableDeclaration { schema, mode: ChangelogMode::AppendOnly, unique_key: None, time_attribute: None })
        })
    }

    /// True if rows of one key must meet.
    pub(crate) fn is_keyed(&self) -> bool {
        !self.key_by.is_empty()
    }

    /// The columns of each table that it reads, by position.
    pub(crate) fn used_columns(&self) -> BTreeMap<String, BTreeSet<usize>> {
        let mut used: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
        for (at, (name, table)) in self.reads().enumerate() {
            let mentioned = match &self.body {
                Body::Script { text, .. } => mentioned_columns(text),
                Body::Function(function) => match function.reads(at >= self.inputs.len()) {
                    Some(names) => MentionedColumns::Named(names.iter().map(|name| (*name).to_owned()).collect()),
                    None => MentionedColumns::All,
                },
            };
            let is_used = |at: &usize| {
                let column = &table.schema.columns[*at].name;
                mentioned.contains(column) || self.key_by.contains(column) || table.time_attribute == Some(*at)
            };
            used.entry(name.clone()).or_default().extend((0..table.schema.columns.len()).filter(is_used));
        }
        used
    }

    /// The tables that it reads: its inputs, then the one that is broadcast.
    pub(crate) fn reads(&self) -> impl Iterator<Item = &(String, TableDeclaration)> {
        self.inputs.iter().chain(&self.broadcast)
    }

    /// The operator, for tables ([`Self::reads`]) of which only the columns at these positions arrive, in this order, and the inputs
    /// that it has.
    pub(crate) fn build(&self, arriving: &[Vec<usize>]) -> (ProcessOperatorFactory, Vec<ProcessInput>) {
        let input = |(at, ((_, table), columns)): (usize, (&(String, TableDeclaration), &Vec<usize>))| {
            let (schema, broadcast) = (table.schema.project(columns), at >= self.inputs.len());
            let key_by = if broadcast { &[][..] } else { &self.key_by };
            ProcessInput {
                key_by: key_by.iter().filter_map(|name| schema.index_of(name)).collect(),
                schema,
                rowtime: table.time_attribute.and_then(|time| columns.iter().position(|column| *column == time)),
                broadcast,
            }
        };
        let inputs: Vec<ProcessInput> = self.reads().zip(arriving).enumerate().map(input).collect();
        let outputs = self.outputs.iter().map(|output| ProcessOutput { name: output.name.clone(), schema: output.schema.clone() });
        let spec = ProcessSpec { inputs: inputs.clone(), outputs: outputs.collect() };
        let function: Arc<dyn ProcessFactory> = match &self.body {
            Body::Script { chunk, text } => {
                let (schemas, times) = inputs.iter().map(|input| (input.schema.clone(), input.rowtime)).unzip();
                Arc::new(ScriptFactory::new(Arc::new(self.script(chunk, text, schemas, times))))
            }
            Body::Function(function) => Arc::clone(function),
        };
        (ProcessOperatorFactory::new(spec, function), inputs)
    }

    fn script(&self, chunk: &str, text: &str, schemas: Vec<Schema>, time: Vec<Option<usize>>) -> ScriptSpec {
        let key = schemas.first().map(|schema| {
            let columns = self.key_by.iter().filter_map(|name| schema.index_of(name)).collect::<Vec<_>>();
            schema.project(&columns)
        });
        ScriptSpec {
            chunk: chunk.to_owned(),
            text: text.to_owned(),
            inputs: self.inputs.iter().map(|(name, _)| name.clone()).zip(schemas).collect(),
            time,
            key: key.unwrap_or_default(),
            outputs: self.outputs.clone(),
            states: self.states.clone(),
            limits: self.limits,
        }
    }

    /// Loads the script once, so that what is wrong with it is a problem of the job file.
    fn check_script(&self, spec: &TableSpec, problems: &mut Vec<Problem>) -> Option<()> {
        let Body::Script { chunk, text } = &self.body else { return Some(()) };
        let schemas = self.inputs.iter().map(|(_, table)| table.schema.clone()).collect();
        let times = self.inputs.iter().map(|(_, table)| table.time_attribute).collect();
        let Err(error) = check(&Arc::new(self.script(chunk, text, schemas, times))) else { return Some(()) };
        let place = match (spec.text("lua"), error.line) {
            (Some(inline), Some(line)) => inline.place_of(line_of(inline.as_str(), line)),
            (Some(inline), None) => inline.place().clone(),
            (None, _) => spec.text("script").map_or_else(|| spec.name_place.clone(), |text| text.place().clone()),
        };
        let message = spec.entries.iter().fold(error.message, |message, entry| entry.value.mask(&message));
        problems.push(Problem::at(&place, message));
        None
    }
}

/// The bytes of a line, counted from 1, without the space around it.
fn line_of(text: &str, line: usize) -> std::ops::Range<usize> {
    let start = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum::<usize>().min(text.len());
    let found = text[start..].lines().next().unwrap_or_default();
    let indent = found.len() - found.trim_start().len();
    start + indent..start + found.trim_end().len().max(indent)
}

fn check_keys(spec: &TableSpec, problems: &mut Vec<Problem>) {
    for entry in &spec.entries {
        let known = KEYS.iter().any(|key| match entry.key.strip_prefix(key) {
            Some("") => !matches!(*key, "outputs" | "state"),
            Some(rest) => rest.starts_with('.') && matches!(*key, "outputs" | "state"),
            None => false,
        });
        if !known {
            let problem = Problem::at(&entry.key_place, format!("unknown option \"{}\" of transform \"{}\"", entry.key, spec.name));
            problems.push(problem.nearest(&entry.key, KEYS.iter().copied().chain(["sql"])));
        }
    }
}

fn read_inputs(
    spec: &TableSpec,
    tables: &BTreeMap<String, TableDeclaration>,
    problems: &mut Vec<Problem>,
) -> Vec<(String, TableDeclaration)> {
    let help = "name the sources or transforms whose rows it takes".to_owned();
    let Some(text) = required("transforms", spec, "input", help, problems) else { return Vec::new() };
    let names = names_in(spec, "input");
    if names.is_empty() {
        problems.push(Problem::at(text.place(), format!("transform \"{}\" has no input", spec.name)));
    }
    let mut inputs = Vec::new();
    for name in names {
        if inputs.iter().any(|(other, _)| *other == name) {
            problems.push(Problem::at(text.place(), text.mask(&format!("transform \"{}\" reads \"{name}\" twice", spec.name))));
            continue;
        }
        inputs.extend(read_table(text, name, tables, problems));
    }
    inputs
}

/// The table called `name`, if a function can take its rows.
fn read_table(
    text: &Text,
    name: String,
    tables: &BTreeMap<String, TableDeclaration>,
    problems: &mut Vec<Problem>,
) -> Option<(String, TableDeclaration)> {
    match tables.get(&name) {
        Some(table) if table.mode == ChangelogMode::AppendOnly => return Some((name, table.clone())),
        Some(_) => {
            let message = format!("a function takes new rows alone, but \"{name}\" updates and deletes rows that it has emitted");
            problems.push(Problem::at(text.place(), text.mask(&message)));
        }
        None => {
            let message = text.mask(&format!("there is no source or transform called \"{name}\""));
            let problem = Problem::at(text.place(), message);
            problems.push(problem.nearest(&name, tables.keys().map(String::as_str)));
        }
    }
    None
}

fn read_broadcast(
    spec: &TableSpec,
    tables: &BTreeMap<String, TableDeclaration>,
    problems: &mut Vec<Problem>,
) -> Option<(String, TableDeclaration)> {
    let text = spec.text("broadcast").filter(|text| !text.is_broken())?;
    let mut names = names_in(spec, "broadcast").into_iter();
    match (names.next(), names.next()) {
        (Some(name), None) => read_table(text, name, tables, problems),
        (first, _) => {
            let what = if first.is_none() { "names no source or transform" } else { "names more than one source or transform" };
            let problem = Problem::at(text.place(), format!("transform \"{}\": broadcast {what}", spec.name));
            problems.push(problem.help("a function has one broadcast input; a query with UNION ALL makes one of several"));
            None
        }
    }
}

/// A function takes the inputs that its trait says.
fn check_shape(spec: &TableSpec, body: &Body, inputs: usize, problems: &mut Vec<Problem>) {
    let shape = match body {
        Body::Script { .. } => None,
        Body::Function(function) => function.shape(),
    };
    let broadcast = spec.get("broadcast");
    if let (Body::Script { .. }, Some(entry)) = (body, broadcast) {
        let message = format!("transform \"{}\": a script has no broadcast input", spec.name);
        problems.push(Problem::at(&entry.key_place, message).help("write it under input, or write the function in Rust"));
    }
    let (Some(shape), Some(function)) = (shape, spec.text("function")) else { return };
    let (name, kind) = (function.as_str(), shape.name);
    let mut wrong = |place: &Place, what: &str, help: &str| {
        problems.push(Problem::at(place, function.mask(&format!("function \"{name}\" is a {kind}: {what}"))).help(help));
    };
    match broadcast {
        Some(entry) if !shape.broadcast => {
            wrong(&entry.key_place, "it has no broadcast input", "leave broadcast out, or register a BroadcastProcessFunction");
        }
        None if shape.broadcast => {
            wrong(function.place(), "it needs a broadcast input", "write broadcast = \"<source or transform>\"");
        }
        _ => {}
    }
    if shape.keyed && spec.get("key-by").is_none() {
        wrong(function.place(), "its input needs a key", "write key-by = [\"<column>\", …]");
    }
    if let Some(text) = spec.text("input").filter(|_| inputs > 1) {
        wrong(text.place(), "it takes one input", "a query with UNION ALL makes one of several");
    }
}

fn read_key(spec: &TableSpec, inputs: &[(String, TableDeclaration)], problems: &mut Vec<Problem>) -> Vec<String> {
    let Some(text) = spec.text("key-by").filter(|text| !text.is_broken()) else { return Vec::new() };
    let names: Vec<String> = text.as_str().split(';').filter(|name| !name.is_empty()).map(str::to_owned).collect();
    if names.is_empty() {
        let problem = Problem::at(text.place(), format!("transform \"{}\": key-by names no column", spec.name));
        problems.push(problem.help("leave it out for a function without key"));
    }
    for (at, name) in names.iter().enumerate() {
        if names[..at].contains(name) {
            problems.push(Problem::at(text.place(), text.mask(&format!("key-by names \"{name}\" twice"))));
            continue;
        }
        let mut first: Option<(&str, &Column)> = None;
        for (input, table) in inputs {
            let Some(column) = table.schema.columns.iter().find(|column| column.name == *name) else {
                let message = text.mask(&format!("key-by: \"{input}\" has no column \"{name}\""));
                let columns = table.schema.columns.iter().map(|column| column.name.as_str());
                problems.push(Problem::at(text.place(), message).nearest(name, columns));
                continue;
            };
            match first {
                None => first = Some((input, column)),
                Some((other, same)) if same.data_type.kind != column.data_type.kind => {
                    let (a, b) = (&same.data_type, &column.data_type);
                    let message = format!("key-by: \"{name}\" is {a} in \"{other}\", but {b} in \"{input}\"");
                    problems.push(Problem::at(text.place(), text.mask(&message)).help("keys of all inputs have the same types"));
                }
                Some(_) => {}
            }
        }
    }
    names
}

fn read_outputs(spec: &TableSpec, problems: &mut Vec<Problem>) -> Vec<OutputSpec> {
    let help = "write the columns that it emits: output = \"id BIGINT, total BIGINT\"".to_owned();
    let main = required("transforms", spec, "output", help, problems).map(|text| (String::new(), text));
    let further = spec.entries.iter().filter_map(|entry| Some((entry.key.strip_prefix("outputs.")?.to_owned(), &entry.value)));
    let mut outputs = Vec::new();
    for (name, text) in main.into_iter().chain(further.filter(|(_, text)| !text.is_broken())) {
        let Some(definition) = read_columns(text, problems) else { continue };
        let mut columns = Vec::new();
        let mut wrong = |place: &Place, what: &str| {
            problems.push(Problem::at(place, format!("transform \"{}\": {what}", spec.name)).help("an output has columns alone"));
        };
        for column in &definition.columns {
            match &column.kind {
                ColumnKind::Physical(data_type) => columns.push(Column { name: column.name.clone(), data_type: data_type.clone() }),
                ColumnKind::Computed(_) => wrong(&text.place_of(column.range.clone()), "a function emits no computed columns"),
                ColumnKind::Metadata(..) => wrong(&text.place_of(column.range.clone()), "a function emits no metadata columns"),
            }
        }
        if let Some(watermark) = &definition.watermark {
            wrong(&text.place_of(watermark.range.clone()), "watermarks come from sources");
        }
        if !definition.primary_key.is_empty() {
            wrong(text.place(), "rows that a function emits have no PRIMARY KEY");
        }
        if definition.columns.is_empty() {
            wrong(text.place(), "an output has no column");
        }
        outputs.push(OutputSpec { name, schema: Schema::new(columns) });
    }
    outputs
}

fn read_body(spec: &TableSpec, sources: FunctionSources<'_>, directory: &Path, problems: &mut Vec<Problem>) -> Option<Body> {
    let mut given = BODIES.iter().filter_map(|key| spec.get(key));
    let Some(first) = given.next() else {
        let message = format!("transform \"{}\" does not say what runs", spec.name);
        problems.push(Problem::at(&spec.name_place, message).help("write script = \"file.lua\", lua = \"…\" or function = \"name\""));
        return None;
    };
    for second in given {
        let message = format!("transform \"{}\" has both \"{}\" and \"{}\"", spec.name, first.key, second.key);
        problems.push(Problem::at(&second.key_place, message).help("exactly one of them says what runs"));
    }
    let text = &first.value;
    if text.is_broken() {
        return None;
    }
    match first.key.as_str() {
        "lua" => Some(Body::Script { chunk: format!("transforms.{}.lua", spec.name), text: text.as_str().to_owned() }),
        "script" => match (sources.read)(&directory.join(text.as_str())) {
            Ok(script) => Some(Body::Script { chunk: text.as_str().to_owned(), text: script }),
            Err(error) => {
                problems.push(Problem::at(text.place(), text.mask(&format!("cannot read {}: {error}", text.as_str()))));
                None
            }
        },
        _ => read_function(spec, text, sources.functions, problems),
    }
}

fn read_function(spec: &TableSpec, text: &Text, functions: &Functions, problems: &mut Vec<Problem>) -> Option<Body> {
    if let Some(entry) = spec.entries.iter().find(|entry| entry.key.starts_with("state.")) {
        let message = format!("transform \"{}\": a function in Rust declares its states itself", spec.name);
        problems.push(Problem::at(&entry.key_place, message));
    }
    if let Some(function) = functions.get(text.as_str()) {
        return Some(Body::Function(function));
    }
    let names = functions.names();
    let message = text.mask(&format!("there is no function \"{}\"", text.as_str()));
    let problem = Problem::at(text.place(), message);
    problems.push(if names.is_empty() {
        problem.help("this program has no functions of its own: write script = \"file.lua\", or build one that registers it")
    } else {
        let problem = problem.help(format!("there are {}", names.join(", ")));
        problem.nearest(text.as_str(), names.iter().map(String::as_str))
    });
    None
}
