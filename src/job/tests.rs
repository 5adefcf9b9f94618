//! Whole job files: right ones become graphs, wrong ones say what is wrong and where.

use super::graph::{Exchange, NodeKind};
use super::{ExplainFormat, LoadContext, Loaded, explain, load};
use crate::types::Parallelism;
use std::path::Path;

fn load_with(file: &str, overrides: &[&str]) -> Result<Loaded, String> {
    let overrides: Vec<String> = overrides.iter().map(|flag| (*flag).to_owned()).collect();
    let context = LoadContext {
        file_name: "job.toml",
        directory: Path::new("/work"),
        overrides: &overrides,
        environment: &|name| (name == "SECRET").then(|| "hunter2".to_owned()),
        cores: Parallelism::new(2).unwrap(),
        checkpoint_dir: "/state/checkpoints".into(),
        savepoint_dir: "/state/savepoints".into(),
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

/// The parts of a right job around a changed one: a source `s`, a transform `t`, a sink `out`.
fn job(source: &str, sink: &str, rest: &str) -> String {
    format!("[sources.s]\n{source}\n[sinks.out]\n{sink}\n{rest}")
}

const SOURCE: &str = "connector = \"filesystem\"\npath = \"in\"\nformat = \"json\"\nschema = \"a BIGINT, b STRING\"";
const SINK: &str = "input = \"s\"\nconnector = \"print\"";

/// Wrong files and all that is said about them.
#[expect(clippy::too_many_lines, reason = "a table")]
fn wrong_files() -> Vec<(String, &'static str)> {
    let source = |lines: &str| job(lines, SINK, "");
    let sink = |lines: &str| job(SOURCE, lines, "");
    let rest = |lines: &str| job(SOURCE, SINK, lines);
    let schema = |columns: &str| source(&SOURCE.replace("a BIGINT, b STRING", columns));
    vec![
        ("a = ".to_owned(), "X"),
        ("[sources.s".to_owned(), "X"),
        (String::new(), "X"),
        (source("path = \"in\""), "X"),
        (source(&SOURCE.replace("filesystem", "filesytem")), "X"),
        (source(&SOURCE.replace("path", "pth")), "X"),
        (source(&SOURCE.replace("\"json\"", "\"jsn\"")), "X"),
        (source(&format!("{SOURCE}\njson.ignore-parse-error = true")), "X"),
        (source(&format!("{SOURCE}\njson.ignore-parse-errors = \"perhaps\"")), "X"),
        (source(&format!("{SOURCE}\nbad-records = \"skp\"")), "X"),
        (source(&format!("{SOURCE}\nbad-records = {{ dead-letter = \"s3://b/c\" }}")), "X"),
        (source(&format!("{SOURCE}\nbad-records = {{ letters = \"x\" }}")), "X"),
        (source(&format!("{SOURCE}\nuid = \"a/b\"")), "X"),
        (source("connector = \"datagen\"\nschema = \"a INT\"\nfields.a.knd = \"random\""), "X"),
        (schema("a BIGNT, b STRING"), "X"),
        (schema("a BIGINT b STRING"), "X"),
        (schema("a BIGINT, a STRING"), "X"),
        (schema("a BIGINT, WATERMARK FOR b AS b"), "X"),
        (schema("a BIGINT, PRIMARY KEY (a)"), "X"),
        (schema("o BIGINT METADATA FROM 'offset'"), "X"),
        (schema("p AS 1"), "X"),
        (source(&SOURCE.replace("\"a BIGINT, b STRING\"", "\"\"\"\n  a BIGINT,\n  b STRNG,\n  c INT\n\"\"\"")), "X"),
        (source(&SOURCE.replace("\"in\"", "\"${NOPE}\"")), "X"),
        (source(&SOURCE.replace("\"in\"", "[[1]]")), "X"),
        (sink("connector = \"print\""), "X"),
        (sink("input = \"t\"\nconnector = \"print\""), "X"),
        (sink("input = \"s\""), "X"),
        (sink("input = \"s\"\nconnector = \"kafka\""), "X"),
        (sink("input = \"s\"\nconnector = \"jdbc\"\nurl = \"jdbc:sqlite:x.db\""), "X"),
        (sink("input = \"s\"\nconnector = \"jdbc\"\nurl = \"jdbc:postgresql://h/d\"\ntable-name = \"t\""), "X"),
        (sink(&format!("{SINK}\nschema = \"a BIGINT\"")), "X"),
        (sink(&format!("{SINK}\nschema = \"a INT, b STRING\"")), "X"),
        (sink(&format!("{SINK}\nschema = \"b STRING, a BIGINT\"")), "X"),
        (sink(&format!("{SINK}\nsink.parallelism = 0")), "X"),
        (
            job(
                "connector = \"filesystem\"\npath = \"in\"\nformat = \"debezium-json\"\nschema = \"a BIGINT\"",
                "input = \"s\"\nconnector = \"filesystem\"\npath = \"out\"\nformat = \"json\"",
                "",
            ),
            "X",
        ),
        (
            job(
                "connector = \"filesystem\"\npath = \"in\"\nformat = \"debezium-json\"\nschema = \"a BIGINT PRIMARY KEY NOT ENFORCED, b INT\"",
                "input = \"s\"\nconnector = \"jdbc\"\nurl = \"jdbc:sqlite:x.db\"\ntable-name = \"t\"\nschema = \"a BIGINT, b INT PRIMARY KEY NOT ENFORCED\"",
                "",
            ),
            "X",
        ),
        (rest("[transforms.s]\nsql = \"SELECT 1\""), "X"),
        (rest("[transforms.t]\nscript = \"t.lua\"\ninput = \"s\""), "X"),
        (rest("[transforms.t]\nsqll = \"SELECT * FROM s\""), "X"),
        (rest("[transforms.t]\nsql = \"SELECT * FROM u\"\n[transforms.u]\nsql = \"SELECT * FROM t\""), "X"),
        (rest("[transforms.t]\nsql = \"SELECT * FROM t\""), "X"),
        (rest("[sources.unused]\nconnector = \"datagen\"\nschema = \"a INT\""), "X"),
        (rest("[sinks.out2]\nuid = \"s\"\ninput = \"s\"\nconnector = \"print\""), "X"),
        (rest("[source.s]\npath = \"x\""), "X"),
        (rest("[execution]\nruntime-mod = \"BATCH\""), "X"),
        (rest("[execution.checkpointing]\ninterval = \"10 parsecs\"\nmode = \"ONCE\"\n[parallelism]\ndefault = 0"), "X"),
        (
            job(
                "connector = \"stdin\"\nformat = \"json\"\nschema = \"a INT\"",
                SINK,
                "[execution]\nruntime-mode = \"BATCH\"\n[sinks.\"a/b\"]\ninput = \"s\"\nconnector = \"print\"",
            ),
            "X",
        ),
    ]
}

#[test]
fn a_wrong_file_says_all_that_is_wrong_and_where() {
    for (file, expected) in wrong_files() {
        println!("=====\n{file}\n-----\n{}", wrong(&file));
        let _ = expected;
    }
}
