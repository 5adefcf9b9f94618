//! A graph for people and tools: a tree of operators as Flink's EXPLAIN prints it, the JSON of `GET /jobs/:id/plan`, and DOT.

use super::graph::{Edge, Exchange, JobGraph, NodeIndex, NodeKind};
use super::settings::RuntimeMode;
use crate::connector::dead_letter_schema;
use crate::operator::OutputPort;
use arrow::datatypes::SchemaRef;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// How a graph is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExplainFormat {
    /// Trees from each sink down to its sources.
    Text,
    /// What Flink's REST server says of a job's plan: one node a chain.
    Json,
    /// Graphviz.
    Dot,
}

/// Shows a graph. Text ends with a line end.
pub fn explain(graph: &JobGraph, format: ExplainFormat) -> String {
    match format {
        ExplainFormat::Text => text(graph),
        ExplainFormat::Json => format!("{:#}\n", json(graph)),
        ExplainFormat::Dot => dot(graph),
    }
}

/// What an edge does, in Flink's words (`ShipStrategyType`).
pub const fn ship_strategy(exchange: &Exchange) -> &'static str {
    match exchange {
        Exchange::Forward => "FORWARD",
        Exchange::Hash(_) => "HASH",
        Exchange::Rebalance => "REBALANCE",
        Exchange::Broadcast => "BROADCAST",
    }
}

fn text(graph: &JobGraph) -> String {
    let mut out = String::from("== Execution Plan ==\n");
    let mut shown = vec![false; graph.nodes.len()];
    for (index, node) in graph.nodes.iter().enumerate() {
        if matches!(node.kind, NodeKind::Sink(_)) {
            tree(graph, NodeIndex(index), "", "", &mut shown, &mut out);
            out.push('\n');
        }
    }
    let settings = &graph.settings;
    let max = settings.max_parallelism.unwrap_or_else(|| crate::types::MaxParallelism::default_for(settings.parallelism));
    let _ = writeln!(out, "parallelism: {}, max parallelism: {max}", settings.parallelism);
    out
}

/// Graphs come from files whose tables nest no deeper than transforms read one another, so the recursion is bounded by their number.
fn tree(graph: &JobGraph, node: NodeIndex, first: &str, rest: &str, shown: &mut [bool], out: &mut String) {
    let again = std::mem::replace(&mut shown[node.0], true);
    let parallelism = graph.nodes[node.0].parallelism;
    if again {
        let _ = writeln!(out, "{first}Reused({})", graph.nodes[node.0].name);
        return;
    }
    let _ = writeln!(out, "{first}{} (parallelism={parallelism})", describe(graph, node));
    let inputs: Vec<&Edge> = incoming(graph, node);
    for (at, edge) in inputs.iter().enumerate() {
        let last = at + 1 == inputs.len();
        let (branch, below) = if last { ("+- ", "   ") } else { (":- ", ":  ") };
        let (mut first, mut deeper) = (format!("{rest}{branch}"), format!("{rest}{below}"));
        if edge.exchange != Exchange::Forward {
            let _ = writeln!(out, "{first}Exchange(distribution=[{}])", distribution(graph, edge));
            first = format!("{deeper}+- ");
            deeper.push_str("   ");
        }
        tree(graph, edge.from, &first, &deeper, shown, out);
    }
}

fn incoming(graph: &JobGraph, node: NodeIndex) -> Vec<&Edge> {
    let mut edges: Vec<&Edge> = graph.edges.iter().filter(|edge| edge.to == node).collect();
    edges.sort_by_key(|edge| edge.input);
    edges
}

fn distribution(graph: &JobGraph, edge: &Edge) -> String {
    match &edge.exchange {
        Exchange::Forward => "forward".to_owned(),
        Exchange::Rebalance => "rebalance".to_owned(),
        Exchange::Broadcast => "broadcast".to_owned(),
        Exchange::Hash(key) => {
            let schema = output_schema(graph, edge.from, edge.port);
            let name = |at: &usize| schema.as_ref().and_then(|s| s.fields().get(*at)).map_or("?".to_owned(), |field| field.name().clone());
            format!("hash[{}]", key.iter().map(name).collect::<Vec<_>>().join(", "))
        }
    }
}

fn output_schema(graph: &JobGraph, node: NodeIndex, port: OutputPort) -> Option<SchemaRef> {
    match &graph.nodes.get(node.0)?.kind {
        NodeKind::Source(_) if port == 1 => Some(dead_letter_schema()),
        NodeKind::Source(source) => Some(source.source.schema()),
        NodeKind::Operator(factory) => Some(factory.schema_of(port)),
        NodeKind::Sink(_) => None,
    }
}

fn fields(schema: Option<&SchemaRef>) -> String {
    let names = schema.map(|schema| schema.fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>());
    names.unwrap_or_default().join(", ")
}

/// `bids` of `bids[1]`.
fn table_name(name: &str) -> &str {
    name.rsplit_once('[').map_or(name, |(name, _)| name)
}

/// What a node does, in Flink's words.
fn describe(graph: &JobGraph, node: NodeIndex) -> String {
    let name = table_name(&graph.nodes[node.0].name);
    match &graph.nodes[node.0].kind {
        NodeKind::Source(source) => {
            let columns = fields(Some(&source.source.schema()));
            let watermark = source.watermark.as_ref().map(|watermark| format!(", watermark=[{}]", watermark.expression));
            let connector = source.source.describe();
            format!("TableSourceScan(table=[{name}], connector=[{connector}], fields=[{columns}]{})", watermark.unwrap_or_default())
        }
        NodeKind::Operator(factory) => factory.describe(),
        NodeKind::Sink(sink) => {
            let input = incoming(graph, node).first().and_then(|edge| output_schema(graph, edge.from, edge.port));
            format!("Sink(table=[{name}], connector=[{}], fields=[{}])", sink.describe(), fields(input.as_ref()))
        }
    }
}

/// The shape of `GET /jobs/:id/plan`: chains from the sinks to the sources. There is no job yet, so its id is all zeros.
fn json(graph: &JobGraph) -> Value {
    let heads: Vec<NodeIndex> = (0..graph.nodes.len()).map(|index| graph.chain_head(NodeIndex(index))).collect();
    let mut nodes = Vec::new();
    for (index, head) in heads.iter().enumerate().rev() {
        if head.0 != index {
            continue;
        }
        let chain = (0..graph.nodes.len()).filter(|node| heads[*node].0 == index);
        let description = chain.enumerate().fold(String::new(), |mut all, (depth, node)| {
            let indent = if depth == 0 { String::new() } else { format!("{}+- ", "   ".repeat(depth - 1)) };
            let _ = write!(all, "{indent}[{}]:{}<br/>", node + 1, describe(graph, NodeIndex(node)));
            all
        });
        let mut node = json!({
            "id": graph.vertex_id(*head),
            "operator": "",
            "parallelism": graph.nodes[index].parallelism.get(),
            "operator_strategy": "",
            "description": description,
            "optimizer_properties": {},
        });
        let inputs: Vec<Value> = incoming(graph, *head)
            .iter()
            .enumerate()
            .map(|(number, edge)| {
                json!({
                    "id": graph.vertex_id(heads[edge.from.0]),
                    "num": number,
                    "exchange": "pipelined_bounded",
                    "ship_strategy": ship_strategy(&edge.exchange),
                })
            })
            .collect();
        if !inputs.is_empty() {
            node["inputs"] = Value::Array(inputs);
        }
        nodes.push(node);
    }
    let mode = match graph.settings.mode {
        RuntimeMode::Streaming => "STREAMING",
        RuntimeMode::Batch => "BATCH",
    };
    json!({ "plan": { "jid": "0".repeat(32), "name": graph.settings.name, "type": mode, "nodes": nodes } })
}

fn dot(graph: &JobGraph) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "digraph {} {{\n  rankdir=LR;\n  node [shape=box];", quoted(&graph.settings.name));
    for (index, node) in graph.nodes.iter().enumerate() {
        let label = format!("{}\n{}\nparallelism {}", node.name, describe(graph, NodeIndex(index)), node.parallelism);
        let _ = writeln!(out, "  n{} [label={}];", index + 1, quoted(&label));
    }
    for edge in &graph.edges {
        let dead_letters = edge.port == 1 && matches!(graph.nodes[edge.from.0].kind, NodeKind::Source(_));
        let label = if dead_letters { "dead letters".to_owned() } else { distribution(graph, edge) };
        let _ = writeln!(out, "  n{} -> n{} [label={}];", edge.from.0 + 1, edge.to.0 + 1, quoted(&label));
    }
    out.push_str("}\n");
    out
}

/// A string in DOT's double quotes.
fn quoted(text: &str) -> String {
    let escaped: String = text.chars().fold(String::new(), |mut all, c| {
        match c {
            '"' => all.push_str("\\\""),
            '\\' => all.push_str("\\\\"),
            '\n' => all.push_str("\\n"),
            c if c.is_control() => all.push(' '),
            c => all.push(c),
        }
        all
    });
    format!("\"{escaped}\"")
}
