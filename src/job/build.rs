//! Plan → graph: columns pruned, sources and operators made, parallelism and exchanges decided, in one pass from sources to sinks.

use super::computed::{ComputedSource, OutputColumn};
use super::configuration::local_path;
use super::graph::{Edge, Exchange, JobGraph, Node, NodeIndex, NodeKind, SourceNode, WatermarkSpec};
use super::plan::{Plan, SinkTable, TransformBody, TransformTable};
use super::problem::Problem;
use super::process::ProcessPlan;
use super::settings::JobSettings;
use super::tables::{ColumnOrigin, SourceTable, option_problem, sql_problem, uid_of};
use super::text::Text;
use crate::connector::{self, Sink, SinkDeclaration, SinkInput, Source, dead_letter_schema};
use crate::operator::OutputPort;
use crate::sql::{self, AnalyzedTransform, BuildRequest, PlannedFrom, PlannedInput, TransformPlan};
use crate::types::{ChangelogMode, OperatorUid, Parallelism, Schema};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The output of a node that others read as a table.
#[derive(Debug, Clone)]
struct Stream {
    node: NodeIndex,
    /// Which of the node's outputs.
    port: OutputPort,
    mode: ChangelogMode,
    /// Positions in the columns that arrive.
    unique_key: Option<Vec<usize>>,
    /// The positions in the table's declaration of the columns that arrive; `None`: all of them.
    columns: Option<Vec<usize>>,
}

/// Makes the graph. Problems that only come up here (an option that does not fit the columns that are read) are reported.
pub(crate) fn build(plan: &Plan<'_>, settings: &JobSettings, problems: &mut Vec<Problem>) -> JobGraph {
    let mut builder = Builder { settings, streams: BTreeMap::new(), dead_letters: Vec::new(), nodes: Vec::new(), edges: Vec::new() };
    let live = live_tables(plan);
    for source in plan.sources.iter().filter(|source| live.contains(&source.spec.name)) {
        builder.source(source, &used_columns(source, plan, &live), problems);
    }
    for transform in plan.transforms.iter().filter(|transform| transform.tables().any(|table| live.contains(&table))) {
        builder.transform(transform, problems);
    }
    for sink in &plan.sinks {
        builder.sink(sink);
    }
    builder.dead_letter_sinks();
    JobGraph { nodes: builder.nodes, edges: builder.edges, settings: settings.clone() }
}

/// The tables that lead to a sink.
fn live_tables(plan: &Plan<'_>) -> BTreeSet<String> {
    let mut live: BTreeSet<String> = plan.sinks.iter().map(|sink| sink.input.clone()).collect();
    for transform in plan.transforms.iter().rev() {
        if transform.tables().any(|table| live.contains(&table)) {
            live.extend(transform.used_columns().into_keys());
        }
    }
    live
}

/// The positions of the columns of a source's table that the job uses: never none, because rows without columns have no number.
fn used_columns(source: &SourceTable<'_>, plan: &Plan<'_>, live: &BTreeSet<String>) -> BTreeSet<usize> {
    let name = &source.spec.name;
    let all = source.table.schema.columns.len();
    let mut used = BTreeSet::new();
    if plan.sinks.iter().any(|sink| sink.input == *name) {
        used.extend(0..all);
    }
    for transform in plan.transforms.iter().filter(|transform| transform.tables().any(|table| live.contains(&table))) {
        used.extend(transform.used_columns().remove(name).into_iter().flatten());
    }
    if let (Some((_, columns)), Some(rowtime)) = (&source.watermark, source.table.time_attribute) {
        used.extend(columns);
        used.insert(rowtime);
    }
    if used.is_empty() {
        let declared = source.declaration.schema.columns.len();
        let physical = |at: &usize| matches!(source.origins[*at], ColumnOrigin::Read(position) if position < declared);
        let cheap = |at: &usize| source.table.schema.columns[*at].data_type.to_arrow().is_primitive();
        used.extend((0..all).filter(physical).find(cheap).or_else(|| (0..all).find(physical)));
    }
    used.retain(|at| *at < all);
    used
}

struct Builder<'s> {
    settings: &'s JobSettings,
    streams: BTreeMap<String, Stream>,
    dead_letters: Vec<(NodeIndex, OperatorUid, String, Arc<dyn Sink>)>,
    nodes: Vec<Node>,
    edges: Vec<Edge>,
}

impl Builder<'_> {
    /// Adds a node; its name gets its number, as in Flink's plans.
    fn add(&mut self, uid: String, name: &str, kind: NodeKind, parallelism: Parallelism) -> NodeIndex {
        let name = format!("{name}[{}]", self.nodes.len() + 1);
        self.nodes.push(Node { uid: OperatorUid::new(uid), name, kind, parallelism });
        NodeIndex(self.nodes.len() - 1)
    }

    fn parallelism(&self, node: NodeIndex) -> Parallelism {
        self.nodes[node.0].parallelism
    }

    fn source(&mut self, table: &SourceTable<'_>, used: &BTreeSet<usize>, problems: &mut Vec<Problem>) {
        let (source, watermark) = match pruned_source(table, used) {
            Ok(source) => source,
            Err(problem) => {
                problems.push(problem);
                return;
            }
        };
        let parallelism = at_most(self.settings.parallelism, source.max_subtasks());
        let columns: Vec<usize> = used.iter().copied().collect();
        let unique_key = table.table.unique_key.as_ref().and_then(|key| {
            let arriving = key.iter().map(|at| columns.iter().position(|column| column == at));
            arriving.collect::<Option<Vec<usize>>>()
        });
        let kind = NodeKind::Source(SourceNode { source, watermark });
        let node = self.add(table.uid().to_owned(), &table.spec.name, kind, parallelism);
        let stream = Stream { node, port: 0, mode: table.table.mode, unique_key, columns: Some(columns) };
        self.streams.insert(table.spec.name.clone(), stream);
        if let Some(path) = &table.dead_letter {
            match self.dead_letter_sink(table, path) {
                Ok(sink) => {
                    let uid = OperatorUid::new(format!("{}/dead-letter", table.uid()));
                    self.dead_letters.push((node, uid, format!("{}.dead-letter", table.spec.name), sink));
                }
                Err(problem) => problems.push(problem),
            }
        }
    }

    fn dead_letter_sink(&self, table: &SourceTable<'_>, path: &Text) -> Result<Arc<dyn Sink>, Problem> {
        let problem = |message: String| Problem::at(path.place(), path.mask(&format!("bad-records: {message}")));
        let path = local_path(path.as_str(), &self.settings.directory).map_err(problem)?;
        let options = [("path", path.to_string_lossy().into_owned()), ("format", "json".to_owned())];
        let declaration = SinkDeclaration {
            name: format!("{}.dead-letter", table.spec.name),
            connector: "filesystem".to_owned(),
            schema: Schema::from_arrow(&dead_letter_schema()).map_err(problem)?,
            primary_key: Vec::new(),
            options: options.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
            directory: self.settings.directory.clone(),
        };
        connector::build_sink(&declaration).map_err(|error| problem(error.to_string()))
    }

    fn transform(&mut self, transform: &TransformTable<'_>, problems: &mut Vec<Problem>) {
        if transform.used_columns().keys().any(|table| !self.streams.contains_key(table)) {
            return;
        }
        match &transform.body {
            TransformBody::Query(sql, analyzed) => self.query(transform, sql, analyzed, problems),
            TransformBody::Process(plan) => self.process(transform, plan),
        }
    }

    fn query(&mut self, transform: &TransformTable<'_>, sql: &Text, analyzed: &AnalyzedTransform, problems: &mut Vec<Problem>) {
        let projection = |table: &String| Some((table.clone(), self.streams.get(table)?.columns.clone()?));
        let projections = analyzed.used_columns().keys().filter_map(projection).collect();
        let request = BuildRequest { projections, emit_update_before: transform.emit_update_before };
        match analyzed.build(&request) {
            Ok(plan) => self.operators(transform, plan),
            Err(error) => problems.push(sql_problem(sql, 0..sql.as_str().len(), &error)),
        }
    }

    /// A function: one operator with an edge from each input, and a stream for each output.
    fn process(&mut self, transform: &TransformTable<'_>, plan: &ProcessPlan) {
        let streams: Vec<Stream> = plan.reads().filter_map(|(name, _)| self.streams.get(name).cloned()).collect();
        let arriving = streams
            .iter()
            .zip(plan.reads())
            .map(|(stream, (_, table))| stream.columns.clone().unwrap_or_else(|| (0..table.schema.columns.len()).collect()));
        let (factory, inputs) = plan.build(&arriving.collect::<Vec<_>>());
        let own = streams.iter().zip(&inputs).filter(|(_, input)| !input.broadcast);
        let largest = own.map(|(stream, _)| self.parallelism(stream.node)).max();
        let parallelism = largest.filter(|_| !plan.is_keyed()).unwrap_or(self.settings.parallelism);
        let name = match (plan.is_keyed(), plan.broadcast.is_some()) {
            (true, true) => "KeyedBroadcastProcess",
            (true, false) => "KeyedProcess",
            (false, true) => "BroadcastProcess",
            (false, false) => "Process",
        };
        let uid = format!("{}/process", uid_of(transform.spec));
        let to = self.add(uid, name, NodeKind::Operator(Arc::new(factory)), parallelism);
        for (at, (stream, input)) in streams.into_iter().zip(inputs).enumerate() {
            let exchange = match input.key_by.is_empty() {
                _ if input.broadcast => Exchange::Broadcast,
                false => Exchange::Hash(input.key_by),
                true if self.parallelism(stream.node) == parallelism => Exchange::Forward,
                true => Exchange::Rebalance,
            };
            self.edges.push(Edge { from: stream.node, port: stream.port, to, input: at, exchange });
        }
        for (port, (table, declaration)) in plan.tables(&transform.spec.name).enumerate() {
            self.streams.insert(table, Stream { node: to, port, mode: declaration.mode, unique_key: None, columns: None });
        }
    }

    fn operators(&mut self, transform: &TransformTable<'_>, plan: TransformPlan) {
        let uid = uid_of(transform.spec);
        let mut planned: Vec<NodeIndex> = Vec::with_capacity(plan.nodes.len());
        for node in plan.nodes {
            let inputs: Vec<(NodeIndex, OutputPort, &PlannedInput)> =
                node.inputs.iter().filter_map(|input| self.sender(&input.from, &planned).map(|(from, port)| (from, port, input))).collect();
            let parallelism = if node.single_subtask { Parallelism::ONE } else { self.operator_parallelism(&inputs, plan.mode) };
            let kind = NodeKind::Operator(node.factory);
            let to = self.add(format!("{uid}/{}", node.uid_suffix), &node.name, kind, parallelism);
            for (input, (from, port, planned)) in inputs.into_iter().enumerate() {
                let exchange = match &planned.exchange {
                    Exchange::Forward if self.parallelism(from) != parallelism => Exchange::Rebalance,
                    exchange => exchange.clone(),
                };
                self.edges.push(Edge { from, port, to, input, exchange });
            }
            planned.push(to);
        }
        let Some((node, port)) = self.sender(&plan.output, &planned) else { return };
        // A query that is nothing but a table passes on what arrives of it.
        let columns = match &plan.output {
            PlannedFrom::Table(table) => self.streams.get(table).and_then(|stream| stream.columns.clone()),
            PlannedFrom::Node(_) => None,
        };
        self.streams.insert(transform.spec.name.clone(), Stream { node, port, mode: plan.mode, unique_key: plan.unique_key, columns });
    }

    fn sender(&self, from: &PlannedFrom, planned: &[NodeIndex]) -> Option<(NodeIndex, OutputPort)> {
        match from {
            PlannedFrom::Table(table) => self.streams.get(table).map(|stream| (stream.node, stream.port)),
            PlannedFrom::Node(node) => planned.get(*node).map(|node| (*node, 0)),
        }
    }

    /// An operator behind forward edges has the parallelism of its input, as in Flink's SQL: rows keep their order and nothing is
    /// sent. Inputs of different parallelism meet in the largest if rows are independent of one another, else in one subtask.
    fn operator_parallelism(&self, inputs: &[(NodeIndex, OutputPort, &PlannedInput)], mode: ChangelogMode) -> Parallelism {
        if inputs.is_empty() || inputs.iter().any(|(_, _, input)| input.exchange != Exchange::Forward) {
            return self.settings.parallelism;
        }
        let all: BTreeSet<Parallelism> = inputs.iter().map(|(node, _, _)| self.parallelism(*node)).collect();
        let largest = all.last().copied().unwrap_or(self.settings.parallelism);
        if all.len() == 1 || mode == ChangelogMode::AppendOnly { largest } else { Parallelism::ONE }
    }

    fn sink(&mut self, sink: &SinkTable<'_>) {
        let Some(stream) = self.streams.get(&sink.input).cloned() else { return };
        let upstream = self.parallelism(stream.node);
        let updating = stream.mode != ChangelogMode::AppendOnly;
        let key = match sink.sink.input() {
            SinkInput::Upsert(key) => Some(key),
            SinkInput::Any | SinkInput::AnyWithoutUpdateBefore if updating => stream.unique_key,
            SinkInput::Any | SinkInput::AnyWithoutUpdateBefore | SinkInput::AppendOnly => None,
        };
        let mut parallelism = at_most(sink.parallelism.unwrap_or(upstream), sink.sink.max_subtasks());
        if updating && key.is_none() && parallelism != upstream {
            // Without a key nothing says which rows must stay in order.
            parallelism = Parallelism::ONE;
        }
        let exchange = match key {
            // Updates are where their key is already; new rows of one key may come from anywhere.
            Some(_) if parallelism == upstream && (updating || parallelism == Parallelism::ONE) => Exchange::Forward,
            Some(key) => Exchange::Hash(key),
            None if parallelism == upstream => Exchange::Forward,
            None => Exchange::Rebalance,
        };
        let node = self.add(uid_of(sink.spec).to_owned(), &sink.spec.name, NodeKind::Sink(sink.sink.clone()), parallelism);
        self.edges.push(Edge { from: stream.node, port: stream.port, to: node, input: 0, exchange });
    }

    fn dead_letter_sinks(&mut self) {
        for (from, uid, name, sink) in std::mem::take(&mut self.dead_letters) {
            let parallelism = self.parallelism(from);
            let to = self.add(uid.as_str().to_owned(), &name, NodeKind::Sink(sink), parallelism);
            self.edges.push(Edge { from, port: 1, to, input: 0, exchange: Exchange::Forward });
        }
    }
}

fn at_most(parallelism: Parallelism, most: Option<Parallelism>) -> Parallelism {
    most.map_or(parallelism, |most| most.min(parallelism))
}

/// The source that reads what `used` columns need and emits these columns, and its watermark over them.
fn pruned_source(table: &SourceTable<'_>, used: &BTreeSet<usize>) -> Result<(Arc<dyn Source>, Option<WatermarkSpec>), Problem> {
    let mut read = BTreeSet::new();
    for at in used {
        match &table.origins[*at] {
            ColumnOrigin::Read(position) => {
                read.insert(*position);
            }
            ColumnOrigin::Computed(_, columns) => read.extend(columns),
        }
    }
    if read.range(..table.declaration.schema.columns.len()).next().is_none() {
        // Only metadata, and columns that read nothing, `PROCTIME()`: one column is read for the number of rows.
        read.insert(0);
    }
    let projection: Vec<usize> = read.iter().copied().collect();
    let declaration = connector::SourceDeclaration { projection: projection.clone(), ..table.declaration.clone() };
    let source = connector::build_source(&declaration).map_err(|error| option_problem(table.spec, &error))?;
    let schema = table.table.schema.project(&used.iter().copied().collect::<Vec<_>>());
    let source = with_computed(table, source, used, &projection, &schema)?;
    let watermark = match (&table.watermark, table.table.time_attribute) {
        (Some((expression, _)), Some(rowtime)) => {
            Some(WatermarkSpec { column: used.range(..rowtime).count(), expression: compile(table, expression, &schema)? })
        }
        _ => None,
    };
    Ok((source, watermark))
}

fn with_computed(
    table: &SourceTable<'_>,
    source: Arc<dyn Source>,
    used: &BTreeSet<usize>,
    projection: &[usize],
    schema: &Schema,
) -> Result<Arc<dyn Source>, Problem> {
    let origin = |at: &usize| match table.origins[*at] {
        ColumnOrigin::Read(position) => Some(position),
        ColumnOrigin::Computed(..) => None,
    };
    if used.iter().map(origin).eq(projection.iter().map(|at| Some(*at))) {
        return Ok(source);
    }
    let read = table.declaration.columns().project(projection);
    let columns = used.iter().map(|at| match &table.origins[*at] {
        ColumnOrigin::Read(position) => Ok(OutputColumn::Read(projection.binary_search(position).unwrap_or_default())),
        ColumnOrigin::Computed(expression, _) => compile(table, expression, &read).map(OutputColumn::Computed),
    });
    let columns = columns.collect::<Result<Vec<_>, Problem>>()?;
    Ok(Arc::new(ComputedSource::new(source, schema.to_arrow(), columns)))
}

/// Compiles an expression that has been analyzed over more columns before.
fn compile(table: &SourceTable<'_>, expression: &str, schema: &Schema) -> Result<crate::expr::CompiledExpr, Problem> {
    sql::compile_expression(expression, schema).map_err(|error| {
        let message = format!("source \"{}\": {expression}: {error}", table.spec.name);
        Problem::at(&table.spec.name_place, message)
    })
}
