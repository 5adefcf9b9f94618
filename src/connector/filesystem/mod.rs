//! `filesystem`: files and directories of files, read in splits and written exactly once.

mod location;
pub(super) mod sink;
mod sink_files;
mod sink_writer;
pub(super) mod source;
