//! What graphs right job files become: which columns are read, what runs how often, which rows go where.

use super::super::graph::{Exchange, JobGraph, Node, NodeKind, SourceNode};
use super::super::process::FunctionSources;
use super::super::settings::RuntimeMode;
use super::super::spec::Spec;
use super::super::{configuration, configuration::Defaults, plan};
use super::{load_with, right, wrong};
use crate::operator::process::Functions;
use crate::types::Parallelism;
use std::fmt::Write as _;

/// `from -> to: exchange` of each edge, by the nodes' names.
fn edges(graph: &JobGraph) -> Vec<String> {
    let name = |at: super::super::graph::NodeIndex| format!("{}x{}", graph.nodes[at.0].name, graph.nodes[at.0].parallelism);
    graph.edges.iter().map(|edge| format!("{} -> {}: {:?}", name(edge.from), name(edge.to), edge.exchange)).collect()
}

fn source<'g>(graph: &'g JobGraph, name: &str) -> (&'g Node, &'g SourceNode) {
    let found = graph.nodes.iter().find_map(|node| match &node.kind {
        NodeKind::Source(source) if node.name.starts_with(name) => Some((node, source)),
        _ => None,
    });
    found.unwrap()
}

fn columns(graph: &JobGraph, name: &str) -> Vec<String> {
    let (_, source) = source(graph, name);
    source.source.schema().fields().iter().map(|field| field.name().clone()).collect()
}

fn bids(more: &str) -> String {
    format!(
        "[sources.bids]\nconnector = \"filesystem\"\npath = \"in\"\nformat = \"json\"\nschema = \"\"\"\n  auction BIGINT, bidder BIGINT, \
         price BIGINT, channel STRING, ms BIGINT,\n  cost AS price * 2,\n  ts AS TO_TIMESTAMP_LTZ(ms, 3),\n  \
         WATERMARK FOR ts AS ts - INTERVAL '4' SECOND\n\"\"\"\n{more}"
    )
}

fn sink(name: &str, input: &str, rest: &str) -> String {
    format!("[sinks.{name}]\ninput = \"{input}\"\n{rest}\n")
}

const PRINT: &str = "connector = \"print\"";

#[test]
fn a_source_reads_what_its_readers_use_and_what_the_watermark_needs() {
    let file = bids("[transforms.t]\nsql = \"SELECT channel, cost FROM bids WHERE price > 1\"\n") + &sink("out", "t", PRINT);
    let graph = right(&file).graph;
    assert_eq!(columns(&graph, "bids"), ["price", "channel", "cost", "ts"]);
    let (node, source) = source(&graph, "bids");
    let watermark = source.watermark.as_ref().unwrap();
    assert_eq!((node.uid.as_str(), watermark.column), ("bids", 3));
    assert!(watermark.expression.is_column_with_offset(3), "{}", watermark.expression);
}

#[test]
fn a_query_that_reads_no_column_still_gets_rows() {
    let schema =
        "[sources.s]\nconnector = \"filesystem\"\npath = \"in\"\nformat = \"json\"\nschema = \"a STRING, b BIGINT, p AS PROCTIME()\"\n";
    let count = format!("{schema}[transforms.t]\nsql = \"SELECT COUNT(*) AS n FROM s\"\n{}", sink("out", "t", PRINT));
    assert_eq!(columns(&right(&count).graph, "s"), ["b"]);
    let time = format!("{schema}[transforms.t]\nsql = \"SELECT p FROM s\"\n{}", sink("out", "t", PRINT));
    assert_eq!(columns(&right(&time).graph, "s"), ["p"]);
}

#[test]
fn aggregates_are_fed_by_key_and_everything_behind_them_stays_where_its_key_is() {
    let totals = "[transforms.totals]\nsql = \"SELECT auction, SUM(price) AS volume FROM bids GROUP BY auction\"\n\
                  [transforms.big]\nsql = \"SELECT auction, volume + 1 AS volume FROM totals WHERE volume > 10\"\n";
    let file = bids(totals) + &sink("out", "big", PRINT);
    let graph = right(&file).graph;
    let hash = edges(&graph).into_iter().filter(|edge| edge.contains("Hash")).collect::<Vec<_>>();
    assert_eq!(hash.len(), 1, "{:?}", edges(&graph));
    assert!(graph.nodes.iter().any(|node| node.uid.as_str().starts_with("totals/group-aggregate-")), "{:?}", graph.nodes);
    assert!(graph.nodes.iter().all(|node| node.parallelism.get() == 2));
    let one = load_with(&file, &["sinks.out.sink.parallelism=1"]).unwrap().graph;
    assert!(
        edges(&one).last().unwrap().contains("x2 -> out") && edges(&one).last().unwrap().ends_with("x1: Hash([0])"),
        "{:?}",
        edges(&one)
    );
}

#[test]
fn an_aggregate_without_keys_runs_once_and_so_does_its_sink() {
    let file = bids("[transforms.n]\nsql = \"SELECT COUNT(*) AS n FROM bids\"\n") + &sink("out", "n", PRINT);
    let graph = right(&file).graph;
    let last = graph.nodes.last().unwrap();
    assert_eq!((last.name.as_str(), last.parallelism.get()), (format!("out[{}]", graph.nodes.len()).as_str(), 1));
    assert_eq!(graph.edges.last().unwrap().exchange, Exchange::Forward);
}

/// Whether each transform of a job emits the old rows of updates.
fn emits_update_before(file: &str) -> Vec<(String, bool)> {
    let mut problems = Vec::new();
    let spec = Spec::parse(file, &|_| None, &mut problems).unwrap();
    let defaults = Defaults {
        name: "job".to_owned(),
        parallelism: Parallelism::ONE,
        checkpoint_dir: "/c".into(),
        savepoint_dir: "/s".into(),
        directory: "/work".into(),
    };
    let mut configuration = configuration::read(&spec.options, &defaults, &mut problems);
    let functions = FunctionSources { read: &|_| Err(String::new()), functions: &Functions::default() };
    let plan = plan::plan(&spec, &mut configuration, functions, &mut problems);
    assert_eq!(problems, []);
    plan.transforms.iter().map(|transform| (transform.spec.name.clone(), transform.emit_update_before)).collect()
}

#[test]
fn the_old_rows_of_updates_are_emitted_only_if_a_reader_needs_them() {
    let totals = "[transforms.totals]\nsql = \"SELECT auction, SUM(price) AS volume FROM bids GROUP BY auction\"\n";
    let again = "[transforms.again]\nsql = \"SELECT volume, COUNT(*) AS n FROM totals GROUP BY volume\"\n";
    let jdbc = "connector = \"jdbc\"\nurl = \"jdbc:sqlite:x.db\"\ntable-name = \"t\"";
    let emits = |name: &str, yes: bool| (name.to_owned(), yes);
    let by_key = bids(totals) + &sink("out", "totals", jdbc);
    assert_eq!(emits_update_before(&by_key), [emits("totals", false)]);
    let printed = by_key.clone() + &sink("seen", "totals", PRINT);
    assert_eq!(emits_update_before(&printed), [emits("totals", true)]);
    let aggregated = bids(totals) + again + &sink("out", "again", jdbc);
    assert_eq!(emits_update_before(&aggregated), [emits("totals", true), emits("again", false)]);
}

#[test]
fn two_sinks_share_what_they_read() {
    let totals = "[transforms.totals]\nsql = \"SELECT auction, SUM(price) AS volume FROM bids GROUP BY auction\"\n";
    let file = bids(totals) + &sink("out", "totals", PRINT) + &sink("seen", "totals", PRINT);
    let explained = super::explain(&right(&file).graph, super::ExplainFormat::Text);
    assert_eq!(explained.matches("Reused(").count(), 1, "{explained}");
}

#[test]
fn transforms_without_a_reader_do_not_run_and_are_warned_about() {
    let file = bids("[transforms.a]\nsql = \"SELECT price FROM bids\"\n[transforms.b]\nsql = \"SELECT channel FROM bids\"\n")
        + &sink("out", "a", PRINT);
    let loaded = right(&file);
    assert!(loaded.graph.nodes.iter().all(|node| !node.uid.as_str().starts_with('b') || node.uid.as_str() == "bids"));
    assert_eq!(columns(&loaded.graph, "bids"), ["price", "ts"].map(str::to_owned)[..]);
    assert!(loaded.warnings.to_string().starts_with("warning: nothing reads the transform \"b\": it does not run"));
}

#[test]
fn dead_letters_go_to_files_of_their_own() {
    let file = super::COPY.replace("schema =", "bad-records = { dead-letter = \"dead/\" }\nschema =");
    let graph = right(&file).graph;
    let dead = graph.nodes.last().unwrap();
    assert_eq!((dead.uid.as_str(), dead.name.as_str()), ("s/dead-letter", "s.dead-letter[3]"));
    let ports: Vec<(usize, usize)> = graph.edges.iter().map(|edge| (edge.port, edge.to.0)).collect();
    assert_eq!(ports, [(0, 1), (1, 2)]);
}

#[test]
fn uids_are_names_unless_they_are_given() {
    let file = super::COPY.replace("[sinks.out]", "uid = \"u\"\n[sinks.out]\nuid = \"v\"");
    let graph = right(&file).graph;
    assert_eq!(graph.nodes.iter().map(|node| node.uid.as_str()).collect::<Vec<_>>(), ["u", "v"]);
}

#[test]
fn batch_mode_takes_no_checkpoints_and_lets_any_sink_take_an_aggregate() {
    let totals = "[transforms.totals]\nsql = \"SELECT auction, SUM(price) AS volume FROM bids GROUP BY auction\"\n";
    let files = "connector = \"filesystem\"\npath = \"out\"\nformat = \"json\"";
    let file = bids(totals) + &sink("out", "totals", files);
    assert!(wrong(&file).contains("takes new rows alone"));
    for mode in ["BATCH", "automatic"] {
        let graph = load_with(&file, &[&format!("execution.runtime-mode={mode}")]).unwrap().graph;
        assert_eq!((graph.settings.mode, graph.settings.checkpointing.interval), (RuntimeMode::Batch, None));
    }
}

#[test]
fn a_transform_may_be_nothing_but_a_table() {
    let file = bids("[transforms.all]\nsql = \"SELECT * FROM bids\"\n") + &sink("out", "all", PRINT);
    let graph = right(&file).graph;
    assert_eq!(columns(&graph, "bids").len(), 7);
    let mut shown = String::new();
    for edge in edges(&graph) {
        let _ = writeln!(shown, "{edge}");
    }
    assert!(shown.contains("-> out"), "{shown}");
}

#[test]
fn the_example_of_the_flights_is_right() {
    let file = include_str!("../../../examples/flights/flights.toml");
    let loaded = right(file);
    assert_eq!(loaded.graph.settings.name, "flights");
    let sources: Vec<String> = columns(&loaded.graph, "flights");
    for unused in ["year", "air_time", "arr_time"] {
        assert!(!sources.contains(&unused.to_owned()), "{sources:?}");
    }
    assert!(sources.contains(&"departure".to_owned()));
}
