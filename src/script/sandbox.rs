//! A Lua state that can do nothing but compute: which libraries are left, and what happens to a script that does not come to an end.

use super::spec::Limits;
use mlua::{Error, Function, Lua, LuaOptions, StdLib, Table};

/// Globals of the base library that reach outside, run bytes, or would let a script get around its limits.
const REMOVED: &[&str] = &["dofile", "loadfile", "load", "require", "collectgarbage", "module", "loadstring"];

/// Libraries that are not there; a use of one says so.
const ABSENT: &[&str] = &["io", "os", "package", "debug", "coroutine"];

/// What is the same for every script: see `sandbox.lua`.
const GUARDS: &str = include_str!("sandbox.lua");

/// A Lua state that a script can run in.
pub(super) struct Sandbox {
    /// Without a memory limit: that is set while the script runs.
    pub(super) lua: Lua,
    /// Its first element is the number of steps that are left.
    pub(super) budget: Table,
    /// What a script calls that has none left: raises an error at the line of the caller, which no `pcall` keeps from going on.
    pub(super) over: Function,
}

/// A new Lua state. `log`: whether what the script prints is logged.
pub(super) fn open(limits: Limits, log: bool) -> Result<Sandbox, Error> {
    let lua = Lua::new_with(StdLib::STRING | StdLib::TABLE | StdLib::MATH | StdLib::UTF8, LuaOptions::default())?;
    let globals = lua.globals();
    for name in REMOVED {
        globals.raw_set(*name, mlua::Nil)?;
    }
    globals.get::<Table>("string")?.raw_set("dump", mlua::Nil)?;
    globals.raw_set("null", mlua::Value::NULL)?;
    let budget = lua.create_sequence_from([limits.steps])?;
    let print = lua.create_function(move |_, line: mlua::LuaString| {
        if log {
            tracing::info!(target: "flink::script", "{}", line.to_string_lossy());
        }
        Ok(())
    })?;
    let absent = lua.create_sequence_from(ABSENT.iter().copied())?;
    let over = lua.load(GUARDS).set_name("=sandbox").call((print, absent, limits.steps))?;
    Ok(Sandbox { lua, budget, over })
}
