//! What tests need and nothing else uses: storage that crashes and fails, a job that only answers, and its process.

pub mod job;
pub mod process;
pub mod storage;
