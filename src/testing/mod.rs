//! What tests need and nothing else uses: a harness for operators, storage that crashes and fails, a job that only answers, and its process.

pub mod function;
pub mod job;
pub mod operator;
pub mod process;
pub mod storage;
