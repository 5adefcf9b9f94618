//! A script that is loaded: its Lua state with the prelude around it, ready to be called.

use super::convert::{found, table_of_column};
use super::error::ScriptError;
use super::prelude::{Checks, Prelude, generate};
use super::sandbox::{self, Sandbox};
use super::scan::mentioned_columns;
use super::session::{Functions, Session, SharedSession};
use super::spec::{ScriptFold, ScriptSpec};
use super::steps::{BUDGET, counted};
use crate::state::StateKind;
use crate::types::{Datum, DatumColumn};
use arrow::array::RecordBatch;
use mlua::chunk::ChunkMode;
use mlua::{Error, Function, Lua, Nil, Table, Value};
use std::sync::{Arc, Mutex};

/// See the module.
pub(super) struct Machine {
    pub(super) spec: Arc<ScriptSpec>,
    pub(super) session: SharedSession,
    pub(super) checks: Checks,
    /// For each state: how values are handed in before a batch and taken out behind it, if they lie in Lua meanwhile.
    pub(super) cached: Vec<Option<(Function, Function)>>,
    /// True, by the number of a cached state from 1, where `process` has read it.
    asked: Table,
    /// For each output the table that `emit` fills.
    pub(super) outs: Vec<OutTable>,
    pub(super) has_timer: bool,
    lua: Lua,
    frame: Table,
    run: Function,
    fire: Function,
    failed: Function,
    columns: Vec<Vec<usize>>,
}

/// What the prelude returns.
type Parts = (Function, Function, Function, Table, Table, Table, Function, Table);

/// What was written to a cached state: the number of values, their slots, the values; then the same of additions.
type Drained = (usize, Table, Table, usize, Table, Table);

/// What a script wrote to a cached state for one key.
pub(super) enum Written {
    /// This is its value.
    Value(Value),
    /// This is to be added to it, whatever it is.
    Addition(Value),
}

fn by_slot(count: usize, slots: &Table, values: &Table, mut take: impl FnMut(usize, Value) -> Result<(), Error>) -> Result<(), Error> {
    if count == 0 {
        return Ok(());
    }
    let mut found = Vec::with_capacity(count);
    slots.for_each_value::<usize>(|slot| {
        found.push(slot);
        Ok(())
    })?;
    let mut at = 0;
    values.for_each_value::<Value>(|value| {
        at += 1;
        take(found[at - 1], value)
    })
}

/// What `emit` wrote for one output.
pub(super) struct OutTable {
    pub(super) table: Table,
    pub(super) columns: Vec<Table>,
    /// The row of the batch that each one was emitted for.
    pub(super) rows: Table,
    /// Starts anew; returns the number of rows.
    take: Option<Function>,
}

impl Machine {
    /// Loads a script: runs what stands outside its functions. `log`: whether what it prints is logged.
    pub(super) fn load(spec: &Arc<ScriptSpec>, log: bool, checks: Checks) -> Result<Self, ScriptError> {
        let of = |error: Error| ScriptError::of(&error, &spec.chunk);
        let prelude = generate(spec, &mentioned_columns(&spec.text), checks);
        let Sandbox { lua, budget, over } = sandbox::open(spec.limits, log).map_err(of)?;
        let mut machine = Self::assemble(spec, lua, &budget, prelude, checks).map_err(of)?;
        if spec.text.contains(BUDGET) {
            return Err(ScriptError::new(format!("{}: the name {BUDGET} is taken", spec.chunk)));
        }
        machine.limited(true).map_err(of)?;
        let script = machine.lua.load(counted(&spec.text)).set_name(format!("={}", spec.chunk)).set_mode(ChunkMode::Text);
        script.call::<()>((budget, over)).map_err(of)?;
        machine.limited(false).map_err(of)?;
        machine.bind()?;
        Ok(machine)
    }

    fn assemble(spec: &Arc<ScriptSpec>, lua: Lua, budget: &Table, prelude: Prelude, checks: Checks) -> Result<Self, Error> {
        let session = Arc::new(Mutex::new(Session {
            spec: Arc::clone(spec),
            state: None,
            handles: Vec::new(),
            timers: None,
            keys: Vec::new(),
            times: None,
            pushed: spec.outputs.iter().map(|output| vec![Vec::new(); output.schema.columns.len()]).collect(),
            types: prelude.types.0,
        }));
        let rt = lua.create_table()?;
        Functions { lua: &lua, table: &rt, session: &session }.add_all()?;
        let mut outs =
            spec.outputs.iter().map(|output| OutTable::new(&lua, output.schema.columns.len())).collect::<Result<Vec<_>, Error>>()?;
        rt.raw_set("outs", lua.create_sequence_from(outs.iter().map(|out| &out.table))?)?;
        let frame = lua.create_table()?;
        rt.raw_set("frame", &frame)?;
        rt.raw_set("budget", budget)?;
        rt.raw_set("steps", spec.limits.steps)?;
        rt.raw_set("bigint", 1)?;
        rt.raw_set("inputs", lua.create_sequence_from(spec.inputs.iter().map(|(name, _)| name.as_str()))?)?;
        let columns = lua.create_table()?;
        for (at, (_, schema)) in spec.inputs.iter().enumerate() {
            columns.raw_set(at + 1, lua.create_table_from(schema.columns.iter().map(|column| (column.name.as_str(), true)))?)?;
        }
        rt.raw_set("columns", columns)?;
        let chunk = lua.load(prelude.text).set_name("=prelude").set_mode(ChunkMode::Text);
        let (bind, run, fire, starts, drains, takes, failed, asked): Parts = chunk.call((rt, Value::NULL))?;
        frame.raw_set("bind", bind)?;
        let cached = prelude
            .cached
            .iter()
            .enumerate()
            .map(|(at, cached)| Ok(if *cached { Some((starts.raw_get(at + 1)?, drains.raw_get(at + 1)?)) } else { None }));
        let cached = cached.collect::<Result<Vec<_>, Error>>()?;
        for (at, out) in outs.iter_mut().enumerate() {
            out.take = Some(takes.raw_get(at + 1)?);
        }
        let (spec, columns) = (Arc::clone(spec), prelude.columns);
        Ok(Self { spec, session, checks, cached, asked, outs, has_timer: false, lua, frame, run, fire, failed, columns })
    }

    /// Finds the script's functions.
    fn bind(&mut self) -> Result<(), ScriptError> {
        let of = |error: Error| ScriptError::of(&error, &self.spec.chunk);
        let globals = self.lua.globals();
        let chunk = &self.spec.chunk;
        let process: Value = globals.raw_get("process").map_err(of)?;
        if !process.is_function() {
            let what = if process.is_nil() {
                "the script defines no function process".to_owned()
            } else {
                format!("process is no function but {}", found(&process))
            };
            return Err(ScriptError::new(format!("{chunk}: {what}: write function process(event, ctx) … end")));
        }
        let on_timer: Value = globals.raw_get("on_timer").map_err(of)?;
        self.has_timer = on_timer.is_function();
        for state in &self.spec.states {
            let ScriptFold::Lua(name) = &state.fold else { continue };
            let found: Value = globals.raw_get(name.as_str()).map_err(of)?;
            let missing = match (state.kind, &found) {
                (StateKind::Reducing, Value::Function(_)) => None,
                (StateKind::Reducing, _) => Some(format!("{name} is no function of the script")),
                (_, Value::Table(table)) => {
                    let needed = ["create", "add", "result"];
                    let missing = needed.into_iter().find(|key| !matches!(table.raw_get(*key), Ok(Value::Function(_))));
                    missing.map(|key| format!("the table {name} of the script has no function {key}"))
                }
                (_, _) => Some(format!("{name} is no table of the script with functions create, add and result")),
            };
            if let Some(missing) = missing {
                return Err(ScriptError::new(format!("{chunk}: state \"{}\": {missing}", state.name)));
            }
        }
        let bind: Function = self.frame.raw_get("bind").map_err(of)?;
        self.frame.raw_set("bind", Nil).map_err(of)?;
        bind.call((process, on_timer)).map_err(of)
    }

    /// The memory limit counts while the script runs. Tables are filled without it: with it each element would be a protected call.
    fn limited(&self, limited: bool) -> Result<(), Error> {
        self.lua.set_memory_limit(if limited { self.spec.limits.memory } else { 0 }).map(|_| ())
    }

    /// What `ctx` says of time during the next call.
    pub(super) fn set_time(&self, now: i64, watermark: i64) -> Result<(), Error> {
        self.frame.raw_set("now", now)?;
        self.frame.raw_set("watermark", watermark)
    }

    /// Runs `process` for each row. `slots`: the number of each row's key, from 1; empty without key.
    pub(super) fn run(&mut self, input: usize, rows: &RecordBatch, slots: &[u32]) -> Result<(), Error> {
        let (_, schema) = &self.spec.inputs[input];
        let cols = self.lua.create_table_with_capacity(self.columns[input].len(), 0)?;
        for (at, column) in self.columns[input].iter().enumerate() {
            let values = DatumColumn::new(rows.column(*column)).map_err(Error::external)?;
            cols.raw_set(at + 1, table_of_column(&self.lua, &values, rows.num_rows(), &schema.columns[*column].data_type)?)?;
        }
        let slots = if slots.is_empty() { Nil } else { Value::Table(self.lua.create_sequence_from(slots.iter().copied())?) };
        let run = self.run.clone();
        self.call(|| run.call((input + 1, rows.num_rows(), slots, cols)))
    }

    /// Runs `on_timer` for the key in slot 1.
    pub(super) fn fire(&mut self, timestamp: i64, domain: &str) -> Result<(), Error> {
        let fire = self.fire.clone();
        self.call(|| fire.call((timestamp, domain)))
    }

    fn call(&mut self, call: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
        self.limited(true)?;
        let result = call();
        self.limited(false)?;
        result
    }

    /// The row that was being worked on when a call failed, from 0; none outside of rows.
    pub(super) fn failed_row(&self) -> Option<usize> {
        self.failed.call::<usize>(()).ok()?.checked_sub(1)
    }

    /// Hands the values of a cached state to the prelude: the value of slot s is the s-th.
    pub(super) fn start(&self, state: usize, values: impl Iterator<Item = Result<Value, Error>>) -> Result<(), Error> {
        let Some((start, _)) = &self.cached[state] else { return Ok(()) };
        let values = values.collect::<Result<Vec<Value>, Error>>()?;
        start.call(self.lua.create_sequence_from(values)?)
    }

    /// True if `process` wants the values of a cached state handed over.
    pub(super) fn is_asked(&self, state: usize) -> Result<bool, Error> {
        if self.cached[state].is_some() { self.asked.raw_get(state + 1) } else { Ok(false) }
    }

    /// Whatever `process` has read until now, it may have read for the last time.
    pub(super) fn forget_asked(&self) -> Result<(), Error> {
        self.asked.clear()
    }

    /// Takes what was written from the prelude, slot by slot.
    pub(super) fn drain(&self, state: usize, slots: usize, mut take: impl FnMut(usize, Written) -> Result<(), Error>) -> Result<(), Error> {
        let Some((_, drain)) = &self.cached[state] else { return Ok(()) };
        let (written, places, values, added, places_added, additions): Drained = drain.call(slots)?;
        by_slot(written, &places, &values, |slot, value| take(slot, Written::Value(value)))?;
        by_slot(added, &places_added, &additions, |slot, value| take(slot, Written::Addition(value)))
    }

    /// The Lua state.
    pub(super) const fn lua(&self) -> &Lua {
        &self.lua
    }
}

impl OutTable {
    fn new(lua: &Lua, columns: usize) -> Result<Self, Error> {
        let table = lua.create_table()?;
        let columns = (0..columns).map(|_| lua.create_table()).collect::<Result<Vec<_>, Error>>()?;
        let rows = lua.create_table()?;
        table.raw_set("cols", lua.create_sequence_from(&columns)?)?;
        table.raw_set("rows", &rows)?;
        Ok(Self { table, columns, rows, take: None })
    }

    /// How many rows were emitted; what lies behind them is from earlier batches and is cut off.
    pub(super) fn take(&self) -> Result<usize, Error> {
        let rows: usize = match &self.take {
            Some(take) => take.call(())?,
            None => 0,
        };
        if rows > 0 {
            self.rows.raw_set(rows + 1, Nil)?;
            for column in &self.columns {
                column.raw_set(rows + 1, Nil)?;
            }
        }
        Ok(rows)
    }
}

/// What a cell of a scalar type is when it is NULL.
pub(super) fn is_null(value: &Value) -> bool {
    *value == Value::NULL
}

/// The cells of ARRAY, MAP and ROW columns, which were converted when they were emitted.
pub(super) fn take_pushed(session: &mut Session, port: usize, column: usize, rows: usize) -> Vec<Datum> {
    let mut cells = std::mem::take(&mut session.pushed[port][column]);
    cells.truncate(rows);
    cells
}
