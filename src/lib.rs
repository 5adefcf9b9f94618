//! `flink`: stateful stream processing on one machine, with Apache Flink's semantics, options and command line.
//!
//! # The layers
//! A module imports only from lower ranks; `tests/it/layering.rs` walks `src/` and fails on the first import that does not.
//!
//! | rank | module | what lives there |
//! | --- | --- | --- |
//! | 7 | [`cli`] | arguments in, exit code out; one file a subcommand |
//! | 6 | [`rest`] | Flink's REST paths over a Unix socket: server, client, registry of jobs |
//! | 5 | [`runtime`] | job loop, tasks, channels, aligner, chain |
//! | 4 | [`job`], [`sql`] | job.toml → Spec → Plan → Graph; SQL → Plan |
//! | 3 | [`operator`], [`script`], [`connector`], [`checkpoint`] | operators, functions in Lua, sources and sinks; coordinator, manifest, savepoint, retention |
//! | 2 | [`state`] | keyed state and its backends |
//! | 1 | [`format`](mod@format), [`expr`], [`storage`], [`metrics`] | bytes ↔ batches; compiled expressions; the one door to files |
//! | 0 | [`types`], [`error`] | batch, stream element, time, key groups, ids, limits |
//!
//! # The ways through
//! - a record: source → format → task → exchange → chain of operators ↔ state → format → sink
//! - a job: job.toml → [`job`] Spec → Plan → [`job::graph::JobGraph`] → [`runtime`] tasks
//! - a command: [`cli`] → [`rest`] client → Unix socket → [`rest`] server → job loop → checkpoint coordinator → tasks → reply

pub mod checkpoint;
pub mod cli;
pub mod connector;
pub mod error;
pub mod expr;
pub mod format;
pub mod job;
pub mod metrics;
pub mod operator;
pub mod rest;
pub mod runtime;
pub mod script;
pub mod sql;
pub mod state;
pub mod storage;
pub mod testing;
pub mod types;

use std::process::ExitCode;

/// What functions in Rust are written with. A program of your own is `flink` plus your functions: [`main`] with
/// [`functions::Functions`].
pub mod functions {
    pub use crate::operator::process::{
        AggregateFunction, AggregatingState, AggregatingStateDescriptor, BroadcastContext, BroadcastProcessFunction, BroadcastState,
        BuiltIn, Collector, Context, FunctionContext, FunctionError, FunctionResult, Functions, KeyedBroadcastContext,
        KeyedBroadcastProcessFunction, KeyedProcessFunction, ListState, ListStateDescriptor, MapState, MapStateDescriptor,
        OperatorListState, OutputTag, ProcessFunction, ReducingState, ReducingStateDescriptor, RuntimeContext, StateTtlConfig, ValueState,
        ValueStateDescriptor,
    };
    pub use crate::state::{StateTtl, TimeDomain, TtlTime, TtlUpdate, TtlVisibility};
}

/// The whole program: the command line of `flink`, whose jobs may call `functions` (`function = "<name>"` of a transform).
pub fn main(functions: functions::Functions) -> ExitCode {
    cli::main(functions)
}
