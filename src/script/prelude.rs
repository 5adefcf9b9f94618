//! The Lua text around a script: `prelude.lua`, and behind it the loops and functions that are written for its columns and states,
//! so that what happens once a row looks nothing up.

use super::convert::{range_of, shown};
use super::scan::MentionedColumns;
use super::spec::{ScriptFold, ScriptSpec, ScriptState};
use crate::state::{StateKind, TtlUpdate};
use crate::types::{Datum, LogicalType, Schema, TypeKind};
use std::fmt::Write as _;

const STATIC: &str = include_str!("prelude.lua");

/// What a cell of an output is handed over as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Handover {
    /// Lies in a Lua table until the batch ends: a scalar.
    Table,
    /// Is converted at once, because the script may change it afterwards: ARRAY, MAP, ROW.
    Datum,
}

/// How values of this type are handed over.
pub(super) const fn handover(data_type: &LogicalType) -> Handover {
    match data_type.kind {
        TypeKind::Array(_) | TypeKind::Map(..) | TypeKind::Row(_) => Handover::Datum,
        _ => Handover::Table,
    }
}

/// When the types of values are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Checks {
    /// As they are emitted or written to a state: what is wrong is said with its line.
    AtOnce,
    /// Those that are emitted, behind the batch, and others as cheaply as can be: what is wrong is found, but not said as it should be. The
    /// batch is run once more then, with checks at once.
    Late,
}

impl Checks {
    /// For a script at first. One that may catch errors gets all of them.
    pub(super) fn of(script: &str) -> Self {
        if script.contains("pcall") { Self::AtOnce } else { Self::Late }
    }
}

/// The types that `rt.coerce` knows by number; 1 is BIGINT.
#[derive(Debug)]
pub(super) struct Types(pub(super) Vec<LogicalType>);

impl Types {
    fn number_of(&mut self, data_type: &LogicalType) -> usize {
        let at = self.0.iter().position(|known| known == data_type).unwrap_or_else(|| {
            self.0.push(data_type.clone());
            self.0.len() - 1
        });
        at + 1
    }
}

/// The generated text and what it refers to.
#[derive(Debug)]
pub(super) struct Prelude {
    /// Lua.
    pub(super) text: String,
    /// See [`Types`].
    pub(super) types: Types,
    /// For each input the positions of the columns that its loop wants as tables, in order.
    pub(super) columns: Vec<Vec<usize>>,
    /// For each state whether its values are kept in Lua during a batch.
    pub(super) cached: Vec<bool>,
}

/// A Lua string.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => {
                out.push('\\');
                out.push(byte as char);
            }
            b' '..=b'~' => out.push(byte as char),
            _ => {
                let _ = write!(out, "\\{byte:03}");
            }
        }
    }
    out.push('"');
    out
}

/// Writes the prelude of a script.
pub(super) fn generate(spec: &ScriptSpec, mentioned: &MentionedColumns, checks: Checks) -> Prelude {
    let mut types = Types(vec![LogicalType::nullable(TypeKind::BigInt)]);
    let mut text = STATIC.to_owned();
    let mut cached = Vec::new();
    for (index, state) in spec.states.iter().enumerate() {
        let in_lua = !spec.key.columns.is_empty() && is_cached(state);
        write_state(&mut text, index, state, in_lua, &mut types, checks);
        cached.push(in_lua);
    }
    if spec.key.columns.is_empty() {
        text.push_str("handles = {}\n");
    }
    for (port, output) in spec.outputs.iter().enumerate() {
        write_output(&mut text, port, &output.name, &output.schema, &mut types, checks);
    }
    let mut columns = Vec::new();
    for (input, (_, schema)) in spec.inputs.iter().enumerate() {
        let read: Vec<usize> = (0..schema.columns.len()).filter(|at| mentioned.contains(&schema.columns[*at].name)).collect();
        write_run(&mut text, input + 1, schema, &read);
        columns.push(read);
    }
    text.push_str(END);
    Prelude { text, types, columns, cached }
}

/// The parts that come last: how Rust calls.
const END: &str = r"
publish()
local function bind(process, on_timer) user_process, user_timer = process, on_timer end
local function run(at, rows, slots, cols)
  input, times, domain = at, nil, nil
  runs[at](rows, slots, cols)
  row = 0
end
local function fire(timestamp, time_domain)
  slot, times, domain, budget[1] = 1, timestamp, time_domain, steps
  user_timer(timestamp, ctx)
  times, domain = nil, nil
end
local function failed_row()
  local at = row
  row = 0
  return at
end
return bind, run, fire, starts, drains, takes, failed_row, asked
";

/// Values of scalar types stay in Lua between the rows of a batch. A TTL that reading prolongs must see each read.
fn is_cached(state: &ScriptState) -> bool {
    let scalar = handover(&state.data_type) == Handover::Table;
    let reads_count = state.ttl.is_some_and(|ttl| ttl.update == TtlUpdate::OnReadAndWrite);
    let fold = match (&state.fold, state.kind) {
        (ScriptFold::None, StateKind::Value) | (ScriptFold::Lua(_), StateKind::Reducing) => true,
        // DECIMAL is no number to Lua, NaN has another order there, and a sum of INT may leave its type: the backend's.
        (ScriptFold::BuiltIn(_), StateKind::Reducing) if state.data_type.kind == TypeKind::BigInt => true,
        (ScriptFold::BuiltIn("sum"), StateKind::Reducing) => state.data_type.kind == TypeKind::Double,
        _ => false,
    };
    scalar && fold && !reads_count
}

fn write_state(text: &mut String, index: usize, state: &ScriptState, cached: bool, types: &mut Types, checks: Checks) {
    let name = quoted(&state.name);
    let at = index + 1;
    if cached {
        write_cached_state(text, at, state, types, checks);
        return;
    }
    let _ = match (state.kind, &state.fold) {
        (StateKind::List, _) => writeln!(text, "list_state({at}, {name})"),
        (StateKind::Map, _) => writeln!(text, "map_state({at}, {name})"),
        (StateKind::Reducing, ScriptFold::Lua(global)) => writeln!(text, "lua_reduce({at}, {name}, {})", quoted(global)),
        (StateKind::Aggregating, ScriptFold::Lua(global)) => writeln!(text, "lua_aggregate({at}, {name}, {})", quoted(global)),
        (StateKind::Reducing | StateKind::Aggregating, _) => writeln!(text, "built_in_fold({at}, {name})"),
        _ => writeln!(text, "value_state({at}, {name})"),
    };
}

/// The default as a Lua literal.
fn literal(value: &Datum, data_type: &LogicalType) -> String {
    match value {
        Datum::Boolean(value) => value.to_string(),
        // The smallest integer has no literal of its own in Lua.
        Datum::Long(i64::MIN) => "math.mininteger".to_owned(),
        Datum::Long(value) => value.to_string(),
        Datum::Double(value) if value.get().is_nan() => "(0.0 / 0.0)".to_owned(),
        Datum::Double(value) if value.get().is_infinite() => if value.get() > 0.0 { "math.huge" } else { "-math.huge" }.to_owned(),
        Datum::Double(value) => format!("{:?}", value.get()),
        Datum::Decimal(value) => match data_type.kind {
            TypeKind::Decimal(_, scale) => quoted(&super::convert::decimal_text(value.get(), scale)),
            _ => "nil".to_owned(),
        },
        Datum::Text(value) => quoted(value),
        _ => "nil".to_owned(),
    }
}

/// Lua that checks `v`, which is not nil, against a type; `what` is what errors call it, `level` where they point to.
fn check(data_type: &LogicalType, what: &str, level: usize, types: &mut Types) -> String {
    let what = quoted(what);
    let kind = types.number_of(data_type);
    let condition = match &data_type.kind {
        TypeKind::Boolean => "v ~= true and v ~= false".to_owned(),
        TypeKind::Double | TypeKind::Float => "math_type(v) ~= \"float\"".to_owned(),
        TypeKind::Bytes | TypeKind::String | TypeKind::Char(_) | TypeKind::VarChar(_) => "type(v) ~= \"string\"".to_owned(),
        kind => match range_of(kind) {
            Some((i64::MIN, i64::MAX)) => "math_type(v) ~= \"integer\"".to_owned(),
            Some((low, high)) => format!("math_type(v) ~= \"integer\" or v < {low} or v > {high}"),
            None => "true".to_owned(),
        },
    };
    format!("if {condition} then v = coerce({kind}, v, {what}, {level}) end")
}

/// The same without a call. Whatever is not taken fails, if not here, then in Lua's own words.
fn quick_check(data_type: &LogicalType, what: &str, level: usize, types: &mut Types) -> String {
    // Beyond 2^53 a float does not say which integer it stands for.
    let exact = (-9_007_199_254_740_992, 9_007_199_254_740_992);
    let condition = match &data_type.kind {
        TypeKind::Double | TypeKind::Float => "local w = v + 0.0 if w ~= v".to_owned(),
        kind => match range_of(kind) {
            Some(range) => {
                let (low, high) = if range == (i64::MIN, i64::MAX) { exact } else { range };
                format!("local w = v | 0 if w ~= v or w < {low} or w > {high}")
            }
            None => return check(data_type, what, level, types),
        },
    };
    let kind = types.number_of(data_type);
    format!("{condition} then v = coerce({kind}, v, {}, {level}) else v = w end", quoted(what))
}

/// A value or reducing state whose values lie in a table by slot; those that were written lie in a second one.
#[expect(clippy::too_many_lines, reason = "one piece of Lua, read from top to bottom")]
fn write_cached_state(text: &mut String, at: usize, state: &ScriptState, types: &mut Types, checks: Checks) {
    let name = &state.name;
    let what = format!("state.{name}");
    let check = match checks {
        Checks::AtOnce => check(&state.data_type, &what, 2, types),
        Checks::Late => quick_check(&state.data_type, &what, 2, types),
    };
    // Asked of what is seldom nil: comparing with nil is a call.
    let is_nil = |value: &str| if state.data_type.kind == TypeKind::Boolean { format!("{value} == nil") } else { format!("not {value}") };
    let read = format!(
        "local old = new[slot]
    if {nothing} then
      old = cache[slot]
      if {nothing} then
        if not times then asked[{at}] = true end
        old = rt.get({at}, slot)
        if old == nil then old = NULL end
        cache[slot] = old
      end
    end",
        nothing = is_nil("old")
    );
    let write = format!("if not v and v == nil then v = NULL else {check} end\n    new[slot] = v");
    let default = state.default.as_ref().map_or("nil".to_owned(), |value| literal(value, &state.data_type));
    let methods = match &state.fold {
        ScriptFold::None => format!(
            "local default = {default}
  function S.value()
    {read}
    if old == NULL then return default end
    return old
  end
  function S.update(_, v)
    {write}
  end"
        ),
        fold => {
            let joined = match fold {
                ScriptFold::BuiltIn("sum") if state.data_type.kind == TypeKind::BigInt => format!(
                    "local sum = old + v if ((old ~ sum) & (v ~ sum)) < 0 then error({}, 2) end v = sum",
                    quoted(&format!("state.{name}:add: the sum does not fit into BIGINT"))
                ),
                ScriptFold::BuiltIn("sum") => "v = old + v".to_owned(),
                ScriptFold::BuiltIn("min") => "if old < v then v = old end".to_owned(),
                ScriptFold::BuiltIn("max") => "if old > v then v = old end".to_owned(),
                ScriptFold::BuiltIn("first") => "v = old".to_owned(),
                ScriptFold::Lua(global) => format!("v = _G[{}](old, v) if v ~= nil then {check} else v = NULL end", quoted(global)),
                _ => String::new(),
            };
            // Rounding depends on the order of additions: only whole numbers are put together first, and added as one. What is only added
            // to is never read.
            let first = matches!(fold, ScriptFold::BuiltIn(_)) && state.data_type.kind == TypeKind::BigInt;
            let (added, old) = if first {
                let added = format!(
                    "local v = additions[slot]
    if v ~= nil then
      if old ~= NULL then {joined} end
      new[slot], additions[slot] = v, nil
      return v
    end"
                );
                let old = format!(
                    "local old = new[slot]
    if old == nil then
      old = additions[slot]
      if old ~= nil then {joined} end
      additions[slot] = v
      return
    end"
                );
                (added, old)
            } else {
                (String::new(), read.clone())
            };
            format!(
                "function S.get()
    {read}
    {added}
    if old == NULL then return nil end
    return old
  end
  function S.add(_, v)
    if v == nil then return end
    {check}
    {old}
    if old ~= NULL then {joined} end
    new[slot] = v
  end"
            )
        }
    };
    let quoted_name = quoted(name);
    let _ = write!(
        text,
        "do
  local cache, new, slots, values = {{}}, {{}}, {{}}, {{}}
  local additions, added_slots, added_values = {{}}, {{}}, {{}}
  local S = {{}}
  {methods}
  function S.clear() new[slot], additions[slot] = NULL, nil end
  handle({quoted_name}, S)
  starts[{at}] = function(found) cache = found end
  drains[{at}] = function(count)
    local written, added = 0, 0
    for s = 1, count do
      local v = new[s]
      if v ~= nil then
        written = written + 1
        slots[written], values[written] = s, v
        new[s] = nil
      else
        v = additions[s]
        if v ~= nil then
          added = added + 1
          added_slots[added], added_values[added] = s, v
          additions[s] = nil
        end
      end
    end
    slots[written + 1], values[written + 1] = nil, nil
    added_slots[added + 1], added_values[added + 1] = nil, nil
    cache = {{}}
    return written, slots, values, added, added_slots, added_values
  end
end
"
    );
}

/// The function that takes the rows of one output apart: the cells of column c of row n lie in `outs[port][c][n]`.
fn write_output(text: &mut String, port: usize, name: &str, schema: &Schema, types: &mut Types, checks: Checks) {
    let number = port + 1;
    // The main output's function is `emit` itself; the others are called below it.
    let level = if port == 0 { 2 } else { 4 };
    let shown_name = if name.is_empty() { String::new() } else { format!(" of output \"{name}\"") };
    let names: Vec<String> = schema.columns.iter().map(|column| format!("[{}] = true", quoted(&column.name))).collect();
    let _ = writeln!(text, "do\n  local out, columns = rt.outs[{number}], {{ {} }}", names.join(", "));
    let _ = writeln!(text, "  local cols, rows, count = out.cols, out.rows, 0");
    // A function refers to at most 255 variables outside of it.
    let local = schema.columns.len() <= 100;
    for c in (1..=schema.columns.len()).filter(|_| local) {
        let _ = writeln!(text, "  local c{c} = cols[{c}]");
    }
    let cell = |c: usize| if local { format!("c{c}[n]") } else { format!("cols[{c}][n]") };
    if port == 0 {
        text.push_str("  function emit(given, other)\n    if other then emit_named(given, other) return end\n");
    } else {
        let _ = writeln!(text, "  named_outputs[{}] = function(given)", quoted(name));
    }
    let _ = writeln!(text, "    local n = count + 1");
    let _ = writeln!(text, "    if n == 1 or not given then check_fields(given, columns, {number}, {level}) end");
    for (at, column) in schema.columns.iter().enumerate() {
        let c = at + 1;
        let field = quoted(&column.name);
        let what = format!("field \"{}\"{shown_name}", column.name);
        let missing = if column.data_type.nullable {
            "v = NULL".to_owned()
        } else {
            let message = format!("{what}: {} must not be nil", shown(&column.data_type) + " NOT NULL");
            format!("error({}, {level})", quoted(&message))
        };
        let missing = format!("check_fields(given, columns, {number}, {level}) {missing}");
        let _ = match handover(&column.data_type) {
            Handover::Table if checks == Checks::Late => {
                writeln!(text, "    do local v = given[{field}] if not v and v == nil then {missing} end {} = v end", cell(c))
            }
            Handover::Table => {
                let check = check(&column.data_type, &what, level, types);
                // `null` stands for NULL where a field's value comes out of a list or a map.
                writeln!(
                    text,
                    "    do local v = given[{field}] if v == nil or v == NULL then {missing} else {check} end {} = v end",
                    cell(c)
                )
            }
            Handover::Datum => writeln!(
                text,
                "    do local v = given[{field}] if v == nil or v == NULL then {missing} end local wrong = rt.push({number}, {c}, n, v) \
                 if wrong then error({} .. wrong, {level}) end end",
                quoted(&what)
            ),
        };
    }
    let _ = writeln!(text, "    rows[n], count = row, n\n  end");
    let _ = writeln!(text, "  takes[{number}] = function()\n    local n = count\n    count = 0\n    return n\n  end\nend");
}

/// The loop over the rows of one input: fills the event with the columns that are read, and calls the script.
fn write_run(text: &mut String, input: usize, schema: &Schema, read: &[usize]) {
    // A function has at most 200 locals.
    let local = read.len() <= 100;
    let _ = writeln!(text, "local event_{input} = new_event({input})\nruns[{input}] = function(rows, slots, cols)");
    let _ = writeln!(text, "  local process, event = user_process, event_{input}");
    for at in (1..=read.len()).filter(|_| local) {
        let _ = writeln!(text, "  local c{at} = cols[{at}]");
    }
    text.push_str("  for i = 1, rows do\n    row, budget[1] = i, steps\n    slot = slots and slots[i] or 0\n");
    for (at, column) in (1..).zip(read) {
        let name = quoted(&schema.columns[*column].name);
        let column = if local { format!("c{at}") } else { format!("cols[{at}]") };
        let _ = writeln!(text, "    event[{name}] = {column}[i]");
    }
    text.push_str("    process(event, ctx)\n  end\nend\n");
}
