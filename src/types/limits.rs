//! Every limit in one table, with its unit and its reason.

use super::ByteSize;

/// Rows a batch holds when there is no reason to send it earlier: large enough to spread the cost of a call over the rows,
/// small enough for the second-level cache.
pub const BATCH_ROWS: usize = 8_192;

/// Bytes of input after which a source lets a batch go though it has fewer rows: rows may be large.
pub const BATCH_BYTES: ByteSize = ByteSize(4 << 20);

/// Batches a channel between two tasks holds before the sender waits: this bound is the back-pressure.
pub const CHANNEL_BATCHES: usize = 4;

/// Bytes a file source reads at once: what the kernel copies is still in the second-level cache when it is decoded.
pub const READ_CHUNK: ByteSize = ByteSize(256 << 10);

/// Bytes of a file that make one split: small enough that all subtasks of a source have work, large enough that a seek is rare.
pub const SPLIT_SIZE: ByteSize = ByteSize(32 << 20);

/// Directories below each other that a file source looks into: more is a circle of links.
pub const DIRECTORY_DEPTH: usize = 64;

/// Parts that the rows of a `datagen` source are divided into, to be shared out among its subtasks: the number is part of the
/// saved positions.
pub const DATAGEN_LANES: usize = 128;

/// Bytes of one record in a text format; a longer one is a bad record, not an allocation.
pub const RECORD_BYTES: ByteSize = ByteSize(64 << 20);

/// Depth of nested JSON, ROW, ARRAY and MAP types: deeper input is a bad record, deeper types are refused.
pub const NESTING_DEPTH: usize = 64;

/// Bytes of state that checkpoint storage `jobmanager` keeps for one state (Flink: `MAX_STATE_SIZE`).
pub const JOBMANAGER_STATE: ByteSize = ByteSize(5 << 20);

/// Checkpoint requests that wait for their turn (Flink: `execution.checkpointing.max-queued`, 1000).
pub const QUEUED_CHECKPOINT_REQUESTS: usize = 1_000;

/// Checkpoints that the history shows (Flink: `web.checkpoints.history`).
pub const CHECKPOINT_HISTORY: usize = 10;

/// Bytes of a request's body on the control socket.
pub const REQUEST_BODY: ByteSize = ByteSize(1 << 20);

/// Peers that may be connected to the control socket at one time; one more is turned away.
pub const CONTROL_CONNECTIONS: usize = 64;

/// Bytes of an answer that the client reads: a job's details with all its vertices and options stay far below.
pub const ANSWER_BODY: ByteSize = ByteSize(64 << 20);

/// Bytes of a job's record on disk.
pub const JOB_RECORD: ByteSize = ByteSize(1 << 20);

/// Jobs that have ended and are still listed by `flink list -a`: more than anybody looks through, few enough to be read in a moment.
pub const ENDED_JOBS: usize = 200;

/// Bytes of a `job.toml`.
pub const JOB_FILE: ByteSize = ByteSize(16 << 20);

/// Bytes of rows of a running job's state that one subtask hands to a person who asks: they are held in memory, and sent in one answer.
pub const STATE_ANSWER: ByteSize = ByteSize(16 << 20);

/// Rows that are sorted at once when a savepoint is built from files: some hundred megabytes. Larger files are read several times.
pub const IMPORT_ROWS: usize = 1 << 20;

/// Bytes of a `_metadata` file.
pub const METADATA_FILE: ByteSize = ByteSize(256 << 20);

/// Words and signs of one query: a syntax tree is as deep as a chain of operators is long, and it is walked on the stack.
pub const SQL_TOKENS: usize = 10_000;

/// Operators in one chain (`a + b + …`), for the same reason.
pub const SQL_CHAIN: usize = 400;

/// Parts of one expression, once CASE, COALESCE and BETWEEN are written out.
pub const EXPRESSION_PARTS: usize = 20_000;
