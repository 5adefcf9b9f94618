//! Runs a graph: the job loop, tasks, channels, the aligner, the chain. The only place that spawns tasks and makes channels.
//!
//! A [`Job`] is made from a graph, runs attempts until one ends well (or no restart follows), and answers commands through its
//! [`JobHandle`] meanwhile. An attempt makes every task anew from the newest checkpoint. A task is a loop around a chain of
//! operators; it obeys the job loop, aligns barriers, takes snapshots and sends what comes out to the next tasks.

mod align;
mod attempt_files;
mod chain;
mod checkpoint_files;
mod checkpointing;
mod committables;
mod error;
mod exchange;
mod execution;
mod gate;
mod handle;
mod in_flight;
mod job;
mod plan;
mod recording;
pub mod restart;
mod states;
mod task;
#[cfg(test)]
mod tests;
mod view;

pub use error::{JobOutcome, Leftovers, StartError, TaskError};
pub use handle::{
    CheckpointReply, CheckpointView, CheckpointsView, JobCommand, JobHandle, JobStatus, JobView, LookRequest, SavepointRequest,
    StopRequest, VertexView,
};
pub use job::{Job, StartOptions};
pub use states::operator_states;
pub use task::Blocking;
