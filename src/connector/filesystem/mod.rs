//! `filesystem`: files and directories of files, read in splits and written exactly once.

pub(super) mod sink;
pub(super) mod source;
