//! Arguments in, exit code out. One file a subcommand; `args.rs` is what was written, `command.rs` what it means, `output.rs` the only
//! place that prints.

pub mod args;
mod cancel;
mod checkpoint;
pub mod command;
mod detach;
pub mod generate;
mod info;
mod list;
mod load;
pub mod normalize;
pub mod output;
mod progress;
mod restore_plan;
mod run;
mod savepoint;
mod snapshot_progress;
pub mod state;
mod stop;
pub mod surroundings;
mod target;
#[cfg(test)]
mod tests;

use crate::checkpoint::catches_panics;
use crate::error::ExitStatus;
use crate::operator::process::Functions;
use args::Args;
use clap::Parser;
use command::{Command, Style, Task};
use output::{CliError, Output};
use std::io::{self, Write};
use std::panic;
use std::process::ExitCode;
use surroundings::Surroundings;

/// Runs the process's command line. `functions`: what jobs may call by name.
pub fn main(functions: Functions) -> ExitCode {
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        if !catches_panics() {
            report(panic);
        }
    }));
    let surroundings = Surroundings::of_process(functions);
    let status = run(&surroundings, &mut io::stdout(), &mut io::stderr());
    ExitCode::from(status as u8)
}

/// Runs the command line of `surroundings` with these two in the places of standard output and standard error.
pub fn run(surroundings: &Surroundings, out: &mut dyn Write, err: &mut dyn Write) -> ExitStatus {
    let words = normalize::normalize(std::iter::once("flink".into()).chain(surroundings.words.iter().cloned()));
    // How to report is needed before it is known whether the words can be read.
    let json = words.windows(2).any(|w| (w[0] == "-o" || w[0] == "--output") && w[1] == "json")
        || words.iter().any(|w| w == "--output=json" || w == "-ojson");
    let style = Style { json, quiet: false, verbose: false, progress: false };
    let args = match Args::try_parse_from(words) {
        Ok(args) => args,
        Err(error) => return unreadable(&error, &mut Output::new(out, err, style)),
    };
    let command = match Command::new(args) {
        Ok(command) => command,
        Err(error) => {
            let mut output = Output::new(out, err, style);
            output.error(&error.into());
            return output.finish(ExitStatus::Usage);
        }
    };
    let mut output = Output::new(out, err, command.style);
    let status = carry_out(&command, surroundings, &mut output).unwrap_or_else(|error| {
        output.error(&error);
        error.status()
    });
    output.finish(status)
}

/// What clap has to say: help and version on standard output, everything else is wrong usage.
fn unreadable(error: &clap::Error, output: &mut Output<'_>) -> ExitStatus {
    if !error.use_stderr() {
        output.print(error.to_string().trim_end());
        return output.finish(ExitStatus::Done);
    }
    if output.style().json {
        output.error(&CliError::new(ExitStatus::Usage, "", error.to_string().trim_end()));
    } else {
        output.note(error.to_string().trim_end());
    }
    output.finish(ExitStatus::Usage)
}

fn carry_out(command: &Command, surroundings: &Surroundings, output: &mut Output<'_>) -> Result<ExitStatus, CliError> {
    match &command.action {
        Task::Savepoint { job, directory, how } => savepoint::take(command, surroundings, (job, directory.clone()), *how, output),
        Task::SavepointStatus { job, trigger } => savepoint::status(command, surroundings, (job, *trigger), output),
        Task::Dispose { path } => savepoint::dispose(command, surroundings, path, output),
        Task::Stop { job, directory, drain, how } => {
            let stop = stop::Stop { reference: job, directory: directory.clone(), drain: *drain, how: *how };
            stop::stop(command, surroundings, stop, output)
        }
        Task::Cancel { job, savepoint } => cancel::cancel(command, surroundings, job, savepoint.as_ref(), output),
        Task::List(listed) => list::list(command, surroundings, *listed, output),
        Task::Checkpoint { job, full } => checkpoint::checkpoint(command, surroundings, job, *full, output),
        Task::Generate { directory } => generate::generate(directory, output),
        Task::Run(task) => run::run(command, task, surroundings, output),
        Task::State(task) => state::state(command, task, surroundings, output),
        Task::Info { job, dot } => info::info(job, *dot, surroundings, output),
        Task::Check { job, restore } => info::check(job, restore, surroundings, output),
    }
}
