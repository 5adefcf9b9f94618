//! Process functions in Lua 5.4. A script never leaves its sandbox, never sees a generic row, and is driven a batch at a time: a
//! prelude that is generated for its columns and states loops over the rows. The only place that knows the Lua library.
//!
//! - [`ScriptSpec`]: what a job file says of a script; [`check`] runs everything of it that needs no event.
//! - `scan`: which columns the text can read at all, so that sources need not decode the others.
//! - `sandbox`: the libraries that are left; `steps`: how scripts are stopped that do not come to an end.
//! - `prelude`: the Lua text around a script: loops over rows, `emit`, `state`, `ctx`.
//! - `convert`: values between columns, state and Lua.
//! - `session`: the Rust functions below the prelude; `function`: the process function of one subtask.

mod convert;
mod error;
mod function;
mod machine;
mod prelude;
mod sandbox;
mod scan;
mod session;
mod spec;
mod steps;
#[cfg(test)]
mod tests;

pub use error::ScriptError;
pub use function::{ScriptFactory, check};
pub use scan::{MentionedColumns, mentioned_columns};
pub use spec::{AGGREGATES, DefaultValue, Limits, OutputSpec, REDUCES, ScriptFold, ScriptSpec, ScriptState, parse_default};
