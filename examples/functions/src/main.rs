//! `flink` with functions of its own: the same command line, and `function = "bursts"` in a job.toml.
//!
//! Each file is a function, or two that belong together, about one kind of state.

mod alerts;
mod batches;
mod bursts;
mod portraits;

use flink::functions::Functions;
use std::process::ExitCode;

fn main() -> ExitCode {
    let functions = Functions::new()
        .register("bursts", bursts::Bursts::default)
        .register("portraits", portraits::Portraits::default)
        .register("alerts", alerts::Alerts::default)
        .register("screen", alerts::Screen::default)
        .register("batches", batches::Batches::default);
    flink::main(functions)
}
