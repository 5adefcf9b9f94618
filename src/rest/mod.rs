//! Flink's REST paths and JSON over a Unix socket: the server inside a job's process, the client of the command line (which also
//! speaks to a real cluster), and the records of jobs on disk.

pub mod answers;
pub mod client;
mod operations;
pub mod recorder;
pub mod registry;
mod routes;
pub mod rows;
pub mod server;
pub mod socket;
pub mod types;
