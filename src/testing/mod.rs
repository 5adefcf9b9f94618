//! What tests need and nothing else uses: storage that crashes and fails, a job that only answers.

pub mod job;
pub mod storage;
