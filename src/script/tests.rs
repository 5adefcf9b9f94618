//! Scripts in their operator: events in, rows, state and messages out.

use super::*;
use crate::operator::process::{ProcessInput, ProcessOperatorFactory, ProcessOutput, ProcessSpec};
use crate::state::StateKind;
use crate::testing::operator::{OperatorHarness, rows, rows_of};
use crate::types::Datum;
use crate::types::{Batch, Column, EventTime, LogicalType, RowBuilder, Schema};
use std::sync::Arc;

fn schema(text: &str) -> Schema {
    let column = |part: &str| {
        let (name, data_type) = part.trim().split_once(' ').unwrap();
        Column { name: name.to_owned(), data_type: data_type.parse::<LogicalType>().unwrap() }
    };
    Schema::new(text.split(';').map(column).collect())
}

fn state(name: &str, kind: StateKind, data_type: &str) -> ScriptState {
    let data_type = data_type.parse().unwrap();
    ScriptState { name: name.to_owned(), kind, data_type, map_key: None, default: None, fold: ScriptFold::None, ttl: None }
}

const BIDS: &str = "bidder BIGINT; price BIGINT; channel STRING; ts TIMESTAMP(3)";

fn spec(text: &str, output: &str, states: Vec<ScriptState>) -> ScriptSpec {
    let input = schema(BIDS);
    ScriptSpec {
        chunk: "test.lua".to_owned(),
        text: text.to_owned(),
        key: input.project(&[0]),
        inputs: vec![("bids".to_owned(), input)],
        time: vec![Some(3)],
        outputs: vec![OutputSpec { name: String::new(), schema: schema(output) }],
        states,
        limits: Limits::default(),
    }
}

fn operator(spec: &ScriptSpec) -> ProcessOperatorFactory {
    let key_by = if spec.key.columns.is_empty() { Vec::new() } else { vec![0] };
    let inputs = spec.inputs.iter().map(|(_, schema)| ProcessInput {
        schema: schema.clone(),
        key_by: key_by.clone(),
        rowtime: Some(3),
        broadcast: false,
    });
    let outputs = spec.outputs.iter().map(|output| ProcessOutput { name: output.name.clone(), schema: output.schema.clone() });
    let around = ProcessSpec { inputs: inputs.collect(), outputs: outputs.collect() };
    ProcessOperatorFactory::new(around, Arc::new(ScriptFactory::new(Arc::new(spec.clone()))))
}

/// Bids of `(bidder, price, channel, ts)`.
fn bids(rows: &[(i64, Option<i64>, &str, i64)]) -> Batch {
    let mut builder = RowBuilder::new(&schema(BIDS));
    for (bidder, price, channel, ts) in rows {
        builder.append(&[Datum::Long(*bidder), Datum::from(*price), Datum::text(*channel), Datum::Long(*ts)]).unwrap();
    }
    Batch::append(builder.finish().unwrap())
}

fn run(spec: &ScriptSpec, batches: &[Batch]) -> Result<Vec<String>, String> {
    let mut harness = OperatorHarness::new(&operator(spec)).map_err(|e| e.to_string())?;
    let mut found = Vec::new();
    for batch in batches {
        found.extend(rows(&harness.process(batch.clone()).map_err(|e| e.to_string())?).unwrap());
    }
    Ok(found)
}

const COUNTER: &str = "function process(event, ctx)
  local n = state.count:value() + 1
  state.count:update(n)
  emit { bidder = event.bidder, bids = n }
end";

fn counter() -> ScriptSpec {
    let count = ScriptState { default: Some(Datum::Long(0)), ..state("count", StateKind::Value, "BIGINT") };
    spec(COUNTER, "bidder BIGINT; bids BIGINT", vec![count])
}

#[test]
fn a_counter_counts_each_key_within_and_across_batches() {
    let batches = [bids(&[(1, None, "", 0), (2, None, "", 0), (1, None, "", 0)]), bids(&[(1, None, "", 0)])];
    assert_eq!(run(&counter(), &batches).unwrap(), ["+I[1, 1]", "+I[2, 1]", "+I[1, 2]", "+I[1, 3]"]);
}

#[test]
fn state_outlives_the_operator() {
    let factory = operator(&counter());
    let mut harness = OperatorHarness::new(&factory).unwrap();
    harness.process(bids(&[(1, None, "", 0), (1, None, "", 0)])).unwrap();
    let saved = OperatorHarness::read(harness.snapshot().unwrap()).unwrap();
    let mut restored = OperatorHarness::restored(&factory, crate::types::Parallelism::ONE, 0, saved).unwrap();
    let out = restored.process(bids(&[(1, None, "", 0)])).unwrap();
    assert_eq!(rows(&out).unwrap(), ["+I[1, 3]"]);
}

#[test]
fn additions_and_questions_may_follow_each_other_in_any_order() {
    let folds = ["sum", "min", "max", "first", "last"];
    let states = folds.map(|fold| ScriptState { fold: ScriptFold::BuiltIn(fold), ..state(fold, StateKind::Reducing, "BIGINT") });
    // What is to be done stands in `channel`: a adds, g asks, c clears.
    let script = "
        local names = { 'sum', 'min', 'max', 'first', 'last' }
        function process(event)
          for step in event.channel:gmatch('.') do
            for _, name in ipairs(names) do
              if step == 'a' then state[name]:add(event.price) end
              if step == 'c' then state[name]:clear() end
            end
            if step == 'g' then
              local all = {}
              for at, name in ipairs(names) do all[at] = tostring(state[name]:get()) end
              emit { text = table.concat(all, ' ') }
            end
          end
        end";
    let spec = spec(script, "text STRING", states.to_vec());
    let batches = [
        bids(&[(1, Some(3), "a", 0), (2, Some(50), "a", 0), (1, Some(-4), "a", 0), (1, Some(9), "a", 0)]),
        bids(&[(1, Some(2), "a", 0), (1, None, "g", 0), (1, Some(1), "a", 0)]),
        bids(&[(1, None, "g", 0), (1, Some(7), "aca", 0), (1, Some(5), "ag", 0), (2, None, "g", 0)]),
        bids(&[(1, Some(1), "ca", 0), (2, None, "c", 0)]),
        bids(&[(1, None, "g", 0), (2, None, "g", 0)]),
    ];
    let expected =
        ["+I[10 -4 9 3 2]", "+I[11 -4 9 3 1]", "+I[12 5 7 7 5]", "+I[50 50 50 50 50]", "+I[1 1 1 1 1]", "+I[nil nil nil nil nil]"];
    assert_eq!(run(&spec, &batches).unwrap(), expected);
    let full = [bids(&[(1, Some(i64::MAX), "a", 0), (1, Some(1), "a", 0)])];
    let error = run(&spec, &full).unwrap_err();
    assert!(error.contains("state.sum:add: the sum does not fit into BIGINT"), "{error}");
    let full = [bids(&[(1, Some(i64::MAX), "a", 0)]), bids(&[(1, Some(1), "a", 0)])];
    let error = run(&spec, &full).unwrap_err();
    assert!(error.contains("sum") && error.contains("does not fit into BIGINT"), "{error}");
}

#[test]
fn lists_maps_and_folds_keep_what_they_are_given() {
    let map = ScriptState { map_key: Some("STRING".parse().unwrap()), ..state("channels", StateKind::Map, "BIGINT") };
    let fold = |name: &str, kind, fold| ScriptState { fold, ..state(name, kind, "BIGINT") };
    let states = vec![
        state("recent", StateKind::List, "BIGINT"),
        map,
        fold("volume", StateKind::Reducing, ScriptFold::BuiltIn("sum")),
        fold("longest", StateKind::Reducing, ScriptFold::Lua("longer".to_owned())),
        fold("mean", StateKind::Aggregating, ScriptFold::BuiltIn("avg")),
        fold("spread", StateKind::Aggregating, ScriptFold::Lua("spread".to_owned())),
    ];
    let script = "
        function longer(a, b) if a > b then return a end return b end
        spread = {
          create = function() return 0 end,
          add = function(acc, v) return acc + v * v end,
          result = function(acc) return acc + 0.5 end,
        }
        function process(event)
          state.recent:add(event.price)
          state.channels:put(event.channel, (state.channels:get(event.channel) or 0) + 1)
          state.volume:add(event.price)
          state.longest:add(event.price)
          state.mean:add(event.price)
          state.spread:add(event.price)
          local text = table.concat(state.recent:get(), ' ')
          for k, v in state.channels:entries() do text = text .. ' ' .. k .. '=' .. v end
          local keys = 0
          for k in state.channels:keys() do keys = keys + 1 end
          text = text .. ' ' .. tostring(state.channels:contains('x')) .. tostring(state.channels:is_empty()) .. keys
          emit { text = text, volume = state.volume:get(), longest = state.longest:get(), mean = state.mean:get(), spread = state.spread:get() }
          if event.price == 7 then
            state.recent:update { 100 } state.recent:add_all { 101, 102 }
            state.channels:remove('x') state.volume:clear() state.mean:clear() state.longest:clear()
          end
        end";
    let spec = spec(script, "text STRING; volume BIGINT; longest BIGINT; mean DOUBLE; spread DOUBLE", states);
    let batch = bids(&[(1, Some(5), "y", 0), (1, Some(7), "x", 0), (1, Some(1), "y", 0)]);
    assert_eq!(
        run(&spec, &[batch]).unwrap(),
        [
            "+I[5 y=1 falsefalse1, 5, 5, 5.0, 25.5]",
            "+I[5 7 x=1 y=1 truefalse2, 12, 7, 6.0, 74.5]",
            "+I[100 101 102 1 y=2 falsefalse1, 1, 1, 1.0, 75.5]",
        ]
    );
}

#[test]
fn timers_fire_with_their_key_and_further_outputs_get_their_rows() {
    let script = "
        function process(event, ctx)
          ctx:register_event_time_timer(ctx:timestamp() + 10)
          emit('late', { wm = ctx:current_watermark(), input = ctx:input() })
        end
        function on_timer(timestamp, ctx)
          emit { bidder = ctx:current_key(), at = timestamp }
          emit('late', { wm = ctx:timestamp(), input = ctx:time_domain() })
        end";
    let mut spec = spec(script, "bidder BIGINT; at TIMESTAMP(3)", Vec::new());
    spec.outputs.push(OutputSpec { name: "late".to_owned(), schema: schema("wm BIGINT; input STRING") });
    let mut harness = OperatorHarness::new(&operator(&spec)).unwrap();
    let out = harness.process_on(0, bids(&[(2, None, "", 20), (1, None, "", 0)])).unwrap();
    assert_eq!(rows_of(&out, 1).unwrap(), ["+I[-9223372036854775808, bids]", "+I[-9223372036854775808, bids]"]);
    let out = harness.watermark(EventTime(10)).unwrap();
    assert_eq!(rows_of(&out, 0).unwrap(), ["+I[1, 1970-01-01T00:00:00.010]"]);
    let out = harness.watermark(EventTime(40)).unwrap();
    assert_eq!(rows_of(&out, 0).unwrap(), ["+I[2, 1970-01-01T00:00:00.030]"]);
    assert_eq!(rows_of(&out, 1).unwrap(), ["+I[30, event-time]"]);
}

#[test]
fn values_of_every_type_go_through_a_script_unchanged() {
    let columns = "b BOOLEAN; i TINYINT; l BIGINT; f FLOAT; d DOUBLE; m DECIMAL(20, 3); s STRING; y BYTES; t TIMESTAMP(0); u TIMESTAMP(6); \
                   c TIME; e DATE; a ARRAY<INT>; r ROW<x INT, y ARRAY<STRING>>";
    let names: Vec<String> = schema(columns).columns.iter().map(|c| format!("{0} = event.{0}", c.name)).collect();
    let text = format!("function process(event) emit {{ {} }} end", names.join(", "));
    let input = schema(columns);
    let mut spec = spec(&text, columns, Vec::new());
    spec.inputs = vec![("all".to_owned(), input.clone())];
    spec.key = Schema::default();
    spec.time = vec![None];
    let row = vec![
        Datum::Boolean(false),
        Datum::Long(-128),
        Datum::Long(i64::MIN + 1),
        Datum::double(0.5),
        Datum::double(1e300),
        Datum::decimal(-1_234_567_890_123_456_789),
        Datum::text("ü"),
        Datum::Bytes([0, 255].into()),
        Datum::Long(-5),
        Datum::Long(1_234_567),
        Datum::Long(1),
        Datum::Long(-1),
        Datum::List([Datum::Long(1), Datum::Null, Datum::Long(3)].into()),
        Datum::Row([Datum::Null, Datum::List([Datum::text("z")].into())].into()),
    ];
    let mut builder = RowBuilder::new(&input);
    builder.append(&row).unwrap();
    builder.append(&vec![Datum::Null; row.len()]).unwrap();
    let batch = builder.finish().unwrap();
    let mut harness = OperatorHarness::new(&operator(&spec)).unwrap();
    let out = harness.process(Batch::append(batch.clone())).unwrap();
    assert_eq!(out[0].columns(), &batch);
}

/// Bad scripts, and what is said of them.
#[test]
fn what_a_script_does_wrong_is_said_with_line_and_event() {
    let event = "(event bidder=1, price=7, channel=\"web\", ts=0)";
    let limits = "the script took more than 1000000 steps for one event (script.max-steps)";
    let cases = [
        ("while true do end", format!("test.lua:2: {limits} {event}")),
        ("while true do pcall(function() while true do end end) end", format!("test.lua:2: {limits} {event}")),
        ("emit { n = 'x' }", format!("test.lua:2: field \"n\": BIGINT expected, got string \"x\" {event}")),
        ("emit { n = 1.5 }", format!("test.lua:2: field \"n\": BIGINT expected, got number 1.5 {event}")),
        ("emit { s = '\\xff' }", format!("test.lua: field \"s\": STRING expected, got a string that is not UTF-8 {event}")),
        ("emit { m = 1 }", format!("test.lua:2: emit: there is no column \"m\" in the output: its columns are n, s {event}")),
        ("emit(1)", format!("test.lua:2: emit takes a table with the row's columns, got number {event}")),
        ("return emit { n = {} }", format!("test.lua: field \"n\": BIGINT expected, got table {event}")),
        ("emit('late', {})", format!("test.lua:2: emit: there is no output \"late\": this transform has none {event}")),
        (
            "emit { n = event.biddr }",
            format!("test.lua:2: the event has no field \"biddr\": the columns of \"bids\" are bidder, price, channel, ts {event}"),
        ),
        ("local x = event.price .. nil", format!("test.lua:2: attempt to concatenate a nil value {event}")),
        ("error('no good')", format!("test.lua:2: no good {event}")),
        ("os.execute('ls')", format!("test.lua:2: os.execute is not available to scripts {event}")),
        ("io.open('x')", format!("test.lua:2: io.open is not available to scripts {event}")),
        ("require('x')", format!("test.lua:2: attempt to call a nil value (global 'require') {event}")),
        ("load('x')", format!("test.lua:2: attempt to call a nil value (global 'load') {event}")),
        ("string.dump(process)", format!("test.lua:2: attempt to call a nil value (field 'dump') {event}")),
        ("setmetatable({}, { __gc = print })", format!("test.lua:2: __gc is not available to scripts {event}")),
        ("state.cnt:value()", format!("test.lua:2: there is no state \"cnt\": the transform's states are count {event}")),
        ("state.count:update('x')", format!("test.lua:2: state.count: BIGINT expected, got string \"x\" {event}")),
        ("state.count:add(1)", format!("test.lua:2: state.count has no method \"add\" {event}")),
        ("ctx:register_event_time_timer('x')", format!("test.lua:2: register_event_time_timer: BIGINT expected, got string \"x\" {event}")),
        ("ctx:output()", format!("test.lua:2: ctx has no method \"output\" {event}")),
    ];
    for (body, expected) in cases {
        let text = format!("function process(event, ctx)\n{body}\nend");
        let mut spec = spec(&text, "n BIGINT; s STRING", vec![state("count", StateKind::Value, "BIGINT")]);
        spec.limits.steps = 1_000_000;
        let found = run(&spec, &[bids(&[(1, Some(7), "web", 0)])]).expect_err(body);
        assert_eq!(found, expected, "{body}");
    }
}

#[test]
fn whole_floats_become_integers_at_once_and_what_stands_for_no_integer_is_refused_with_its_line() {
    let states = vec![state("l", StateKind::Value, "BIGINT"), state("i", StateKind::Value, "INT"), state("d", StateKind::Value, "DOUBLE")];
    // Later rows of a batch see what the next batch would.
    let text = "function process(event)
        state.l:update(event.price / 1) state.i:update(event.price / 1) state.d:update(event.price)
        emit { l = event.price / 1, s = state.l:value() .. ' ' .. state.i:value() .. ' ' .. state.d:value() }
        end";
    let spec_of = |text: &str| spec(text, "l BIGINT; s STRING", states.clone());
    let batch = bids(&[(1, Some(7), "web", 0)]);
    assert_eq!(run(&spec_of(text), std::slice::from_ref(&batch)).unwrap(), ["+I[7, 7 7 7.0]"]);
    let text = "function process(event) state.l:update(math.mininteger) state.d:update(0/0)
        emit { l = state.l:value(), s = tostring(state.d:value() ~= state.d:value()) } end";
    assert_eq!(run(&spec_of(text), std::slice::from_ref(&batch)).unwrap(), ["+I[-9223372036854775808, true]"]);
    let cases = [
        ("state.l:update('10')", "state.l: BIGINT expected, got string \"10\""),
        ("state.l:update({})", "state.l: BIGINT expected, got table"),
        ("state.l:update(1.5)", "state.l: BIGINT expected, got number 1.5"),
        ("state.l:update(2.0^53 + 2)", "state.l: BIGINT expected, got number 9007199254740994.0"),
        ("state.l:update(false)", "state.l: BIGINT expected, got boolean false"),
        ("state.i:update(2^31)", "state.i: 2147483648 does not fit into INT"),
        ("state.d:update('1.5')", "state.d: DOUBLE expected, got string \"1.5\""),
        ("emit { l = false }", "field \"l\": BIGINT expected, got boolean false"),
        ("emit { l = 2.0^53 + 2 }", "field \"l\": BIGINT expected, got number 9007199254740994.0"),
        ("emit { s = 5 }", "field \"s\": STRING expected, got number 5"),
    ];
    for (body, expected) in cases {
        let text = format!("function process(event)\nif event.price == 7 then\n{body} end\nend");
        let error = run(&spec_of(&text), &[bids(&[(1, Some(1), "", 0), (1, Some(7), "web", 0)])]).expect_err(body);
        assert_eq!(error, format!("test.lua:3: {expected} (event bidder=1, price=7, channel=\"web\", ts=0)"), "{body}");
    }
    let text = "function process(event)
        local ok, why = pcall(emit, { l = 'x' })
        local _, other = pcall(state.l.update, state.l, {})
        emit { s = tostring(ok) .. tostring(why):match('field.*') .. ', ' .. tostring(other):match('state.*') }
        end";
    let caught = "+I[null, falsefield \"l\": BIGINT expected, got string \"x\", state.l: BIGINT expected, got table]";
    assert_eq!(run(&spec_of(text), &[batch]).unwrap(), [caught]);
}

#[test]
fn a_script_that_hoards_memory_is_stopped_and_a_large_batch_is_not() {
    let text = "hoard = {}\nfunction process(event) for i = 1, 1000000 do hoard[#hoard + 1] = ('x'):rep(1000) .. i end end";
    let mut spec = spec(text, "n BIGINT", Vec::new());
    spec.limits.memory = 8 << 20;
    let found = run(&spec, &[bids(&[(1, Some(7), "web", 0)])]).unwrap_err();
    assert!(found.starts_with("test.lua: the script needs more memory than it may use (script.memory) (event bidder=1"), "{found}");
    let mut spec = counter();
    spec.limits.memory = 8 << 20;
    let rows: Vec<_> = (0..8_192).map(|n| (n, Some(n), "c", n)).collect();
    assert_eq!(run(&spec, &[bids(&rows), bids(&rows)]).unwrap().len(), 2 * 8_192);
}

#[test]
fn what_is_wrong_before_the_first_event_is_found_by_check() {
    let fold = ScriptState { fold: ScriptFold::Lua("nope".to_owned()), ..state("x", StateKind::Reducing, "BIGINT") };
    let cases = [
        ("function process(", vec![], "test.lua:1: <name> or '...' expected near <eof>", Some(1)),
        ("\nlocal x = = 1", vec![], "test.lua:2: unexpected symbol near '='", Some(2)),
        ("x = 1", vec![], "test.lua: the script defines no function process: write function process(event, ctx) … end", None),
        ("process = 1", vec![], "test.lua: process is no function but number 1: write function process(event, ctx) … end", None),
        ("\nerror('at once')", vec![], "test.lua:2: at once", Some(2)),
        ("function process() end", vec![fold], "test.lua: state \"x\": nope is no function of the script", None),
        ("\x1bLua", vec![], "test.lua:1: unexpected symbol near '<\\27>'", Some(1)),
    ];
    for (text, states, expected, line) in cases {
        let error = check(&Arc::new(spec(text, "n BIGINT", states))).unwrap_err();
        assert!(error.message.starts_with(expected), "{text}: {}", error.message);
        assert_eq!(error.line, line, "{text}");
    }
    assert!(check(&Arc::new(counter())).is_ok());
}
