//! Transforms with a function: what they become, and what is said of those that are wrong.

use super::{load_calling, load_with, right};
use crate::functions::{Collector, Context, FunctionResult, Functions, ProcessFunction};
use crate::job::graph::{Exchange, NodeKind};
use serde::Deserialize;

/// A source with five columns, the transform `t` with `body`, and a sink that reads `input`.
fn job(body: &str, input: &str) -> String {
    format!(
        "[sources.s]\nconnector = \"filesystem\"\npath = \"in\"\nformat = \"json\"\n\
         schema = \"a BIGINT, b STRING, c BIGINT, d BIGINT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts\"\n\
         [transforms.t]\n{body}\n[sinks.out]\ninput = \"{input}\"\nconnector = \"print\"\n"
    )
}

#[test]
fn only_the_columns_that_a_script_mentions_are_read_and_keys_meet() {
    let body = "input = \"s\"\nkey-by = [\"b\"]\noutput = \"n BIGINT\"\noutputs.late = \"x STRING\"\n\
                lua = \"function process(event) emit { n = event.c } end\"\n";
    let graph = right(&job(body, "t.late")).graph;
    let NodeKind::Source(source) = &graph.nodes[0].kind else { panic!("the first node is a source") };
    let columns: Vec<String> = source.source.schema().fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(columns, ["b", "c", "ts"]);
    assert_eq!(graph.nodes[1].uid.as_str(), "t/process");
    assert_eq!(graph.edges[0].exchange, Exchange::Hash(vec![0]));
    assert_eq!((graph.edges[1].port, &graph.edges[1].exchange), (1, &Exchange::Forward));
    let NodeKind::Operator(factory) = &graph.nodes[1].kind else { panic!("the second node is an operator") };
    let states: Vec<String> = factory.states().iter().map(|state| state.name.clone()).collect();
    assert_eq!(states, ["timers"]);
}

#[test]
fn a_function_without_key_is_chained_behind_its_input() {
    let body = "input = \"s\"\noutput = \"n BIGINT\"\nlua = \"function process(event) f(event) end\"";
    let graph = right(&job(body, "t")).graph;
    assert_eq!(graph.edges[0].exchange, Exchange::Forward);
    let NodeKind::Source(source) = &graph.nodes[0].kind else { panic!("the first node is a source") };
    assert_eq!(source.source.schema().fields().len(), 5, "an event that is handed on may be read in any way");
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "its fields alone are looked at")]
struct Pair {
    c: Option<i64>,
    #[serde(alias = "d")]
    other: Option<i64>,
    nowhere: Option<i64>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "its fields alone are looked at")]
struct Flattened {
    #[serde(flatten)]
    pair: Pair,
}

/// A function that reads rows as `T`.
struct Reads<T>(std::marker::PhantomData<fn(T)>);

impl<T: serde::de::DeserializeOwned + 'static> ProcessFunction for Reads<T> {
    type In = T;
    type Out = (i64,);

    fn process_element(&mut self, _value: T, _context: &mut Context<'_>, _out: &mut Collector<'_, (i64,)>) -> FunctionResult {
        Ok(())
    }
}

#[test]
fn of_the_columns_that_a_struct_has_no_field_for_none_is_read() {
    let all = ["a", "b", "c", "d", "ts"];
    let functions = Functions::new()
        .register("struct", || Reads::<Pair>(std::marker::PhantomData))
        .register("map", || Reads::<Flattened>(std::marker::PhantomData))
        .register("tuple", || Reads::<(i64, String, i64, i64, i64)>(std::marker::PhantomData));
    for (function, expected) in [("struct", &["c", "d", "ts"][..]), ("map", &all), ("tuple", &all)] {
        let body = format!("input = \"s\"\noutput = \"n BIGINT\"\nfunction = \"{function}\"");
        let graph = load_calling(&job(&body, "t"), &[], &functions).unwrap().graph;
        let NodeKind::Source(source) = &graph.nodes[0].kind else { panic!("the first node is a source") };
        let columns: Vec<String> = source.source.schema().fields().iter().map(|field| field.name().clone()).collect();
        assert_eq!(columns, expected, "{function}");
    }
}

/// The messages with their lines, without the text that they show.
fn messages(body: &str) -> Vec<String> {
    let problems = load_with(&job(body, "t"), &[]).expect_err(body);
    let mut found = Vec::new();
    for line in problems.lines() {
        match line.strip_prefix("error: ") {
            Some(message) => found.push(message.to_owned()),
            None => {
                if let (Some(hint), Some(last)) = (line.strip_prefix("help: "), found.last_mut()) {
                    last.push_str(" | ");
                    last.push_str(hint);
                }
            }
        }
    }
    found
}

#[test]
fn all_that_is_wrong_with_a_function_is_said_at_once() {
    let fine = "input = \"s\"\noutput = \"n BIGINT\"\nlua = \"function process() end\"\n";
    let cases: &[(&str, &[&str])] = &[
        (
            "input = \"s\"\n",
            &[
                "transform \"t\" has no \"output\" | write the columns that it emits: output = \"id BIGINT, total BIGINT\"",
                "transform \"t\" does not say what runs | write script = \"file.lua\", lua = \"…\" or function = \"name\"",
            ],
        ),
        (
            "input = \"s\"\noutput = \"n BIGINT\"\nfunction = \"nope\"\n",
            &[
                "there is no function \"nope\" | this program has no functions of its own: write script = \"file.lua\", or build one that registers it",
            ],
        ),
        (
            "input = \"s\"\noutput = \"n BIGINT\"\nlua = \"function process(\"\n",
            &["transforms.t.lua:1: <name> or '...' expected near <eof>"],
        ),
        (
            "input = \"s\"\noutput = \"n BIGINT\"\nlua = \"x = 1\"\n",
            &["transforms.t.lua: the script defines no function process: write function process(event, ctx) … end"],
        ),
        (&format!("{fine}key-by = [\"e\"]\n"), &["key-by: \"s\" has no column \"e\""]),
        (&format!("{fine}keyby = [\"a\"]\n"), &["unknown option \"keyby\" of transform \"t\" | did you mean \"key-by\"?"]),
        (&format!("{fine}function = \"f\"\n"), &["transform \"t\" has both \"lua\" and \"function\" | exactly one of them says what runs"]),
        (
            &format!("{fine}state.x = {{ kind = \"value\", type = \"BIGINT\" }}\n"),
            &["transform \"t\" has state, but no \"key-by\": state belongs to a key | write key-by = [\"<column>\", …]"],
        ),
        (
            &format!(
                "{fine}key-by = \"a\"\nstate.x = {{ kind = \"valu\", type = \"BIGNT\", defualt = 0 }}\nstate.y = {{ kind = \"reducing\", type = \"STRING\", reduce = \"sum\", ttl = \"1 x\" }}\n"
            ),
            &[
                "state \"x\": there is no kind \"valu\" | did you mean \"value\"?",
                "state \"x\": \"BIGNT\" is no type | did you mean \"BIGINT\"?",
                "unknown option \"defualt\" of state \"x\" | did you mean \"default\"?",
                "state \"y\": ttl: ",
            ],
        ),
        (&format!("{fine}key-by = \"a\"\nstate.y = {{ kind = \"reducing\", type = \"STRING\", reduce = \"sum\" }}\n"), &["state \"y\": "]),
        (
            &format!("{fine}key-by = \"a\"\nstate.y = {{ kind = \"reducing\", type = \"BIGINT\", reduce = \"nope\" }}\n"),
            &["transforms.t.lua: state \"y\": nope is no function of the script"],
        ),
        (
            &format!("{fine}key-by = \"a\"\nstate.y = {{ kind = \"value\", type = \"BIGINT\", default = \"x\", key = \"BIGINT\" }}\n"),
            &["state \"y\": default: \"x\" is no BIGINT", "state \"y\": \"key\" has no meaning for a state of kind value"],
        ),
        (
            "sql = \"SELECT a FROM s\"\nlua = \"\"\n",
            &[
                "\"lua\" does not go with a query: transform \"t\" has \"sql\" | a transform is a query or a function: leave one of them out",
            ],
        ),
        (
            "input = \"u\"\noutput = \"n BIGINT, m AS n\"\nlua = \"function process() end\"\n",
            &[
                "there is no source or transform called \"u\"",
                "transform \"t\": a function emits no computed columns | an output has columns alone",
            ],
        ),
    ];
    for (body, expected) in cases {
        let found = messages(body);
        let fits = found.len() == expected.len() && found.iter().zip(*expected).all(|(found, expected)| found.starts_with(expected));
        assert!(fits, "{body}\n{found:#?}\n{expected:#?}");
    }
}

#[test]
fn a_syntax_error_in_an_inline_script_is_shown_at_its_line() {
    let body = "input = \"s\"\noutput = \"n BIGINT\"\nlua = \"\"\"\nfunction process(event)\n  local x = = 1\nend\n\"\"\"\n";
    let problems = load_with(&job(body, "t"), &[]).unwrap_err();
    let expected =
        "error: transforms.t.lua:2: unexpected symbol near '='\n --> job.toml:11:3\n   |\n11 |   local x = = 1\n   |   ^^^^^^^^^^^^^";
    assert_eq!(problems, expected);
}

#[test]
fn a_function_takes_no_updates() {
    let body =
        "input = \"u\"\noutput = \"n BIGINT\"\nlua = \"function process() end\"\n[transforms.u]\nsql = \"SELECT COUNT(*) AS c FROM s\"";
    assert_eq!(messages(body), ["a function takes new rows alone, but \"u\" updates and deletes rows that it has emitted"]);
}
