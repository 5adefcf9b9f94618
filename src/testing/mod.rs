//! What tests need and nothing else uses: storage that crashes and fails.

pub mod storage;
