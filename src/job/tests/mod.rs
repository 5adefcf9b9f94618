//! Whole job files: right ones become graphs, wrong ones say what is wrong and where.

mod broadcast;
mod functions;
mod graphs;
mod reference;
mod wrong;

use super::graph::{Exchange, NodeKind};
use super::{ExplainFormat, LoadContext, Loaded, explain, load};
use crate::operator::process::Functions;
use crate::types::Parallelism;
use std::path::Path;

fn load_with(file: &str, overrides: &[&str]) -> Result<Loaded, String> {
    load_calling(file, overrides, &Functions::new())
}

/// The same in a program with functions.
fn load_calling(file: &str, overrides: &[&str], functions: &Functions) -> Result<Loaded, String> {
    let overrides: Vec<String> = overrides.iter().map(|flag| (*flag).to_owned()).collect();
    let context = LoadContext {
        file_name: "job.toml",
        directory: Path::new("/work"),
        overrides: &overrides,
        environment: &|name| (name == "SECRET").then(|| "hunter2".to_owned()),
        cores: Parallelism::new(2).unwrap(),
        checkpoint_dir: "/state/checkpoints".into(),
        savepoint_dir: "/state/savepoints".into(),
        read: &|path| Err(format!("{} is not there", path.display())),
        functions,
    };
    load(file, &context).map_err(|problems| problems.to_string())
}

fn right(file: &str) -> Loaded {
    load_with(file, &[]).unwrap_or_else(|problems| panic!("{file}\n{problems}"))
}

fn wrong(file: &str) -> String {
    match load_with(file, &[]) {
        Ok(_) => panic!("this was accepted:\n{file}"),
        Err(problems) => problems,
    }
}

/// A source `s` of JSON lines and the sink `out` that prints it.
const COPY: &str = "[sources.s]\nconnector = \"filesystem\"\npath = \"in\"\nformat = \"json\"\nschema = \"a BIGINT, b STRING\"\n\
                    [sinks.out]\ninput = \"s\"\nconnector = \"print\"\n";

#[test]
fn a_sink_may_read_a_source_and_both_are_chained() {
    let loaded = right(COPY);
    assert!(loaded.warnings.is_empty());
    let names: Vec<&str> = loaded.graph.nodes.iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names, ["s[1]", "out[2]"]);
    assert_eq!(loaded.graph.nodes[0].uid.as_str(), "s");
    assert_eq!(loaded.graph.nodes[1].parallelism.get(), 2);
    assert_eq!(loaded.graph.edges.len(), 1);
    assert_eq!(loaded.graph.edges[0].exchange, Exchange::Forward);
    assert_eq!(loaded.graph.settings.name, "job");
}

#[test]
fn explain_shows_the_plan_as_text_json_and_dot() {
    let graph = right(COPY).graph;
    let text = explain(&graph, ExplainFormat::Text);
    let expected = "== Execution Plan ==\n\
        Sink(table=[out], connector=[print], fields=[a, b]) (parallelism=2)\n\
        +- TableSourceScan(table=[s], connector=[filesystem(json)], fields=[a, b]) (parallelism=2)\n\n\
        parallelism: 2, max parallelism: 128\n";
    assert_eq!(text, expected);
    let json: serde_json::Value = serde_json::from_str(&explain(&graph, ExplainFormat::Json)).unwrap();
    let nodes = json["plan"]["nodes"].as_array().unwrap();
    assert_eq!(nodes.len(), 1, "one chain");
    let description = nodes[0]["description"].as_str().unwrap();
    assert!(description.starts_with("[1]:TableSourceScan(") && description.contains("<br/>+- [2]:Sink("), "{description}");
    assert!(explain(&graph, ExplainFormat::Dot).contains("n1 -> n2 [label=\"forward\"];"));
}

#[test]
fn what_comes_from_the_environment_is_used_but_never_shown() {
    let file = COPY.replace("\"in\"", "\"${SECRET}/in\"");
    let loaded = right(&file);
    assert!(matches!(loaded.graph.nodes[0].kind, NodeKind::Source(_)));
    assert!(!format!("{:?}", loaded.graph.settings).contains("hunter2"));
    for broken in [
        "connector = \"${SECRET}\"",
        "connector = \"print\"\nprint-identifer = \"${SECRET}\"",
        "connector = \"print\"\nsink.parallelism = \"${SECRET}\"",
    ] {
        let problems = wrong(&COPY.replace("connector = \"print\"", broken));
        assert!(!problems.contains("hunter2"), "{problems}");
    }
}

/// Changes of a right file, as a person might make them.
fn mutated() -> impl proptest::strategy::Strategy<Value = String> {
    use proptest::prelude::*;
    let insert = "(\\[|\\]|\"|\"\"\"|\\{|\\}|=|\\.|,|\n|\\$\\{|'|`|\\(|ü|sources|sql|uid|AS|NOT|[\\x00-\\x7f]){1,4}";
    (0..COPY.len(), 0..20_usize, insert).prop_map(|(at, cut, text)| {
        let end = (at + cut).min(COPY.len());
        format!("{}{text}{}", &COPY[..at], &COPY[end..])
    })
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_loader_panic(text in "(\\[sources\\.a\\]|\\[|\\]|\"|\"\"\"|=|\\.|\n|\\$\\{|[a-zü ]|[\\x00-\\x7f]){0,60}") {
        if let Err(problems) = load_with(&text, &["sources.a.path=x", "pipeline.name"]) {
            proptest::prop_assert!(problems.contains("error: "));
        }
    }

    #[test]
    fn no_change_of_a_right_file_makes_the_loader_panic(text in mutated()) {
        match load_with(&text, &[]) {
            Ok(loaded) => proptest::prop_assert!(!loaded.graph.nodes.is_empty()),
            Err(problems) => proptest::prop_assert!(problems.contains("error: "), "{}", problems),
        }
    }
}
