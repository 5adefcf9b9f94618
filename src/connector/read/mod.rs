//! What all sources of bytes share: a buffer that keeps the unfinished record, and what becomes of bad records.

mod bad_records;
mod buffer;
#[cfg(test)]
pub(super) mod lines;

pub(super) use bad_records::{BadRecordLog, Origin, failure};
pub(super) use buffer::RecordBuffer;
