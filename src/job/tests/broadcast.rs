//! Transforms with functions in Rust: their broadcast input, and what is said of inputs that do not fit their trait.

use super::load_calling;
use crate::functions::{
    BroadcastContext, BroadcastProcessFunction, Collector, Context, FunctionResult, Functions, KeyedBroadcastContext,
    KeyedBroadcastProcessFunction, KeyedProcessFunction, ListStateDescriptor, MapStateDescriptor, ProcessFunction, RuntimeContext,
};
use crate::job::graph::{Exchange, NodeKind};
use crate::job::{ExplainFormat, explain};

/// A function of any trait; it does nothing.
struct Nothing<const KEYED: bool, const BROADCAST: bool>;

impl ProcessFunction for Nothing<false, false> {
    type In = ();
    type Out = (i64,);

    fn process_element(&mut self, (): (), _context: &mut Context<'_>, _out: &mut Collector<'_, (i64,)>) -> FunctionResult {
        Ok(())
    }
}

impl KeyedProcessFunction for Nothing<true, false> {
    type In = ();
    type Out = (i64,);

    fn process_element(&mut self, (): (), _context: &mut Context<'_>, _out: &mut Collector<'_, (i64,)>) -> FunctionResult {
        Ok(())
    }
}

impl BroadcastProcessFunction for Nothing<false, true> {
    type In = ();
    type Broadcast = ();
    type Out = (i64,);

    fn process_element(&mut self, (): (), _context: &mut Context<'_>, _out: &mut Collector<'_, (i64,)>) -> FunctionResult {
        Ok(())
    }

    fn process_broadcast_element(
        &mut self,
        (): (),
        _context: &mut BroadcastContext<'_>,
        _out: &mut Collector<'_, (i64,)>,
    ) -> FunctionResult {
        Ok(())
    }
}

impl KeyedBroadcastProcessFunction for Nothing<true, true> {
    type In = ();
    type Broadcast = ();
    type Out = (i64,);

    fn open(&mut self, context: &mut RuntimeContext<'_>) -> FunctionResult {
        context.broadcast_state(&MapStateDescriptor::<String, i64>::new("rules"))?;
        context.union_list_state(&ListStateDescriptor::<i64>::new("offsets"))?;
        Ok(())
    }

    fn process_element(&mut self, (): (), _context: &mut Context<'_>, _out: &mut Collector<'_, (i64,)>) -> FunctionResult {
        Ok(())
    }

    fn process_broadcast_element(
        &mut self,
        (): (),
        _context: &mut KeyedBroadcastContext<'_>,
        _out: &mut Collector<'_, (i64,)>,
    ) -> FunctionResult {
        Ok(())
    }
}

fn functions() -> Functions {
    let plain = Functions::new().register("plain", || Nothing::<false, false>).register("keyed", || Nothing::<true, false>);
    plain.register("broadcast", || Nothing::<false, true>).register("keyed-broadcast", || Nothing::<true, true>)
}

/// Two sources, the transform `t` with `body`, which stands from line 13 on, and a sink for it.
fn job(body: &str) -> String {
    let source = |name: &str, columns: &str| {
        format!("[sources.{name}]\nconnector = \"filesystem\"\npath = \"in\"\nformat = \"json\"\nschema = \"{columns}\"\n\n")
    };
    let sources = [source("bids", "bidder BIGINT, price BIGINT"), source("rules", "rule STRING, least BIGINT")].concat();
    format!("{sources}[transforms.t]\n{body}\noutput = \"n BIGINT\"\n[sinks.out]\ninput = \"t\"\nconnector = \"print\"\n")
}

#[test]
fn the_broadcast_input_goes_to_all_subtasks_and_the_other_one_by_its_key() {
    let body = "input = \"bids\"\nbroadcast = \"rules\"\nkey-by = [\"bidder\"]\nfunction = \"keyed-broadcast\"";
    let graph = load_calling(&job(body), &["parallelism.default=3"], &functions()).unwrap().graph;
    let exchanges: Vec<_> = graph.edges.iter().filter(|edge| edge.to.0 == 2).map(|edge| (edge.input, edge.exchange.clone())).collect();
    assert_eq!(exchanges, [(0, Exchange::Hash(vec![0])), (1, Exchange::Broadcast)]);
    assert_eq!(graph.nodes[2].name, "KeyedBroadcastProcess[3]");
    let NodeKind::Operator(factory) = &graph.nodes[2].kind else { panic!("the third node is an operator") };
    let states: Vec<String> = factory.operator_states().iter().map(|state| format!("{} {}", state.name, state.kind)).collect();
    assert_eq!(states, ["rules broadcast", "offsets union-list"]);
    let text = explain(&graph, ExplainFormat::Text);
    let expected = "+- KeyedBroadcastProcess(keyBy=[bidder], function=[keyed-broadcast]) (parallelism=3)\n   \
                    :- Exchange(distribution=[hash[bidder]])\n   \
                    :  +- TableSourceScan(table=[bids], connector=[filesystem(json)], fields=[bidder, price]) (parallelism=3)\n   \
                    +- Exchange(distribution=[broadcast])\n      \
                    +- TableSourceScan(table=[rules], connector=[filesystem(json)], fields=[rule, least]) (parallelism=3)\n";
    assert!(text.contains(expected), "{text}");
    assert!(explain(&graph, ExplainFormat::Json).contains("\"ship_strategy\": \"BROADCAST\""));
    assert!(explain(&graph, ExplainFormat::Dot).contains("n2 -> n3 [label=\"broadcast\"]"));
}

#[test]
fn a_function_without_key_stays_where_its_input_is_and_one_table_may_be_both_inputs() {
    let body = "input = \"bids\"\nbroadcast = \"rules\"\nfunction = \"broadcast\"";
    let graph = load_calling(&job(body), &[], &functions()).unwrap().graph;
    let exchanges: Vec<_> = graph.edges.iter().filter(|edge| edge.to.0 == 2).map(|edge| edge.exchange.clone()).collect();
    assert_eq!(exchanges, [Exchange::Forward, Exchange::Broadcast]);
    let body = "input = \"bids\"\nbroadcast = \"bids\"\nfunction = \"broadcast\"\n[transforms.r]\nsql = \"SELECT rule FROM rules\"";
    let file = job(body).replace("\noutput = \"n BIGINT\"", "").replace("[transforms.t]\n", "[transforms.t]\noutput = \"n BIGINT\"\n");
    let loaded = load_calling(&file, &[], &functions()).unwrap();
    assert_eq!(loaded.graph.edges.iter().filter(|edge| edge.exchange == Exchange::Broadcast).count(), 1);
}

#[test]
fn inputs_that_do_not_fit_the_trait_are_said_with_their_place() {
    let cases: &[(&str, &[&str])] = &[
        (
            "input = \"bids\"\nfunction = \"keyed-broadcast\"",
            &[
                "error: function \"keyed-broadcast\" is a KeyedBroadcastProcessFunction: it needs a broadcast input\n --> job.toml:15:12\n",
                "help: write broadcast = \"<source or transform>\"",
                "error: function \"keyed-broadcast\" is a KeyedBroadcastProcessFunction: its input needs a key\n --> job.toml:15:12\n",
                "help: write key-by = [\"<column>\", …]",
            ],
        ),
        (
            "input = \"bids\"\nbroadcast = \"rules\"\nkey-by = \"bidder\"\nfunction = \"keyed\"",
            &[
                "error: function \"keyed\" is a KeyedProcessFunction: it has no broadcast input\n --> job.toml:15:1\n",
                "help: leave broadcast out, or register a BroadcastProcessFunction",
            ],
        ),
        (
            "input = [\"bids\", \"rules\"]\nfunction = \"plain\"",
            &["error: function \"plain\" is a ProcessFunction: it takes one input\n --> job.toml:14:9\n"],
        ),
        (
            "input = \"bids\"\nbroadcast = \"rule\"\nfunction = \"broadcast\"",
            &["error: there is no source or transform called \"rule\"\n --> job.toml:15:13\n", "help: did you mean \"rules\"?"],
        ),
        (
            "input = \"bids\"\nbroadcast = [\"rules\", \"bids\"]\nfunction = \"broadcast\"",
            &["error: transform \"t\": broadcast names more than one source or transform\n --> job.toml:15:13\n"],
        ),
        (
            "input = \"bids\"\nbroadcast = \"\"\nfunction = \"broadcast\"",
            &["error: transform \"t\": broadcast names no source or transform\n --> job.toml:15:13\n"],
        ),
        (
            "input = \"bids\"\nbroadcast = \"rules\"\nlua = \"function process() end\"",
            &[
                "error: transform \"t\": a script has no broadcast input\n --> job.toml:15:1\n",
                "help: write it under input, or write the function in Rust",
            ],
        ),
        (
            "input = \"bids\"\nbrodcast = \"rules\"\nfunction = \"broadcast\"",
            &["error: unknown option \"brodcast\" of transform \"t\"\n --> job.toml:15:1\n", "help: did you mean \"broadcast\"?"],
        ),
        (
            "input = \"bids\"\nbroadcast = \"counts\"\nfunction = \"broadcast\"\n[transforms.counts]\nsql = \"SELECT COUNT(*) AS c FROM rules\"\n[transforms.t2]\nlua = \"\"",
            &["error: a function takes new rows alone, but \"counts\" updates and deletes rows that it has emitted\n --> job.toml:15:13\n"],
        ),
        (
            "sql = \"SELECT 1\"\nbroadcast = \"rules\"",
            &["error: \"broadcast\" does not go with a query: transform \"t\" has \"sql\"\n --> job.toml:15:1\n"],
        ),
    ];
    for (body, expected) in cases {
        let problems = load_calling(&job(body), &[], &functions()).map(|_| ()).expect_err(body);
        for text in *expected {
            assert!(problems.contains(text), "{body}\n{problems}\n{text}");
        }
    }
}

#[test]
fn a_transform_that_broadcasts_to_itself_is_a_cycle() {
    let problems = load_calling(&job("input = \"bids\"\nbroadcast = \"t\"\nfunction = \"broadcast\""), &[], &functions()).map(|_| ());
    assert!(problems.unwrap_err().contains("error: the transform \"t\" reads itself"));
}
