//! Runs a graph: the job loop, tasks, channels, the aligner, the chain. The only place that spawns tasks and makes channels.

mod handle;
mod restart;

pub use handle::{
    CheckpointReply, CheckpointView, CheckpointsView, JobCommand, JobHandle, JobStatus, JobView, SavepointRequest, StopRequest, VertexView,
};
pub use restart::{Decision, RestartStrategy};
