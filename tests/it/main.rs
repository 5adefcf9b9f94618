//! Tests of the project as a whole: its layers, its committed files, its command line as a process. One binary, because each one links
//! everything.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where something is not as it should be")]

mod bad_input;
mod commands;
mod damage;
mod flights;
mod frame;
mod full_disk;
mod functions;
mod golden;
mod job_dir;
mod job_output;
mod kill;
mod layering;
mod native;
mod object_store;
mod peer;
mod program;
mod python;
mod savepoints;
mod state;
mod tools;
mod upgrade;
