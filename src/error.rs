//! What an error means for the person at the terminal: its exit code, and whether trying again can help.

/// How a command ends. The numbers are the exit codes of `docs/cli.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ExitStatus {
    /// Done.
    Done = 0,
    /// The job failed, or any other error.
    Failed = 1,
    /// Wrong usage, or a job.toml that is not valid.
    Usage = 2,
    /// No such job.
    NoSuchJob = 3,
    /// The job's process cannot be reached.
    Unreachable = 4,
    /// The savepoint or checkpoint failed.
    SavepointFailed = 5,
    /// The state could not be restored: nothing was started, nothing was changed.
    NotRestorable = 6,
    /// Interrupted (Ctrl-C).
    Interrupted = 130,
}

/// Whether a restart strategy should try again after an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RetryHint {
    /// The same input will fail in the same way: a bad record, a type that does not fit, a missing table.
    Never,
    /// The world may be kinder next time: a full disk, a locked database, a network.
    Backoff,
}
