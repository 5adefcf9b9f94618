//! Flink's option keys that a job file may set, as data: the table feeds the checks, the "did you mean", and the reference in `docs/`.

use super::not_null::NOT_NULL_ENFORCERS;
use crate::checkpoint::settings::ClaimMode;
use crate::types::{OptionKind, OptionSpec};

/// How far this version goes with an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// It does what it does in Flink.
    Full,
    /// Known, but only its default works: any other value is refused. What to do instead, or nothing.
    DefaultOnly(&'static str),
    /// Accepted with a warning: it tunes something that is not there, and no result depends on it.
    NoEffect,
}

/// One option of a job.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct JobOption {
    /// Key, values, default, meaning.
    pub spec: OptionSpec,
    /// Flink's older names for it; they work, the newer name wins where both are set.
    pub older: &'static [&'static str],
    /// How far this version goes with it.
    pub support: Support,
    /// Its value is shown to nobody.
    pub secret: bool,
}

const fn option(key: &'static str, kind: OptionKind, default: Option<&'static str>, doc: &'static str) -> JobOption {
    let spec = OptionSpec { key, kind, default, required: false, doc };
    JobOption { spec, older: &[], support: Support::Full, secret: false }
}

impl JobOption {
    const fn older(mut self, names: &'static [&'static str]) -> Self {
        self.older = names;
        self
    }

    const fn default_only(mut self, instead: &'static str) -> Self {
        self.support = Support::DefaultOnly(instead);
        self
    }

    const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    const fn no_effect(mut self) -> Self {
        self.support = Support::NoEffect;
        self
    }

    /// True if `key` is this option's name or an older one.
    pub fn is_called(&self, key: &str) -> bool {
        self.spec.key == key || self.older.contains(&key)
    }
}

const BOOL: OptionKind = OptionKind::Bool;
const TIME: OptionKind = OptionKind::Duration;
const SIZE: OptionKind = OptionKind::Size;
const TEXT: OptionKind = OptionKind::Text;
const COUNT: OptionKind = OptionKind::Int(1, i32::MAX as i64);

/// `execution.checkpointing.storage`
pub const STORAGES: &[&str] = &["filesystem", "jobmanager"];

/// `execution.runtime-mode`
pub const RUNTIME_MODES: &[&str] = &["STREAMING", "BATCH", "AUTOMATIC"];

/// `execution.checkpointing.mode`
pub const CHECKPOINTING_MODES: &[&str] = &["EXACTLY_ONCE", "AT_LEAST_ONCE"];

/// `execution.checkpointing.externalized-checkpoint-retention`
pub const RETENTIONS: &[&str] = &["NO_EXTERNALIZED_CHECKPOINTS", "DELETE_ON_CANCELLATION", "RETAIN_ON_CANCELLATION"];

/// `restart-strategy.type`; `off` and `disable` mean `none`.
pub const STRATEGIES: &[&str] =
    &["exponential-delay", "fixed-delay", "failure-rate", "none", "off", "disable", "exponentialdelay", "fixeddelay", "failurerate"];

/// `state.backend.type`: the backend, and the names that older versions of Flink had for a backend with its storage.
pub const BACKENDS: &[&str] =
    &["hashmap", "jobmanager", "MemoryStateBackend", "filesystem", "FsStateBackend", "rocksdb", "RocksDBStateBackend", "forst"];

/// Every option that is known by its own name.
pub const JOB_OPTIONS: &[&[JobOption]] = &[PIPELINE, CHECKPOINTING, STATE, ROCKSDB, RESTART, TABLE, RECOVERY, SCRIPT, S3];

const PIPELINE: &[JobOption] = &[
    option("pipeline.name", TEXT, None, "The job's name; the file's name without its ending if it is not set."),
    option(
        "pipeline.max-parallelism",
        OptionKind::Int(-1, 32_768),
        Some("-1"),
        "The number of key groups: the most that the parallelism can ever be while state is kept. -1 derives it from the parallelism.",
    ),
    option("pipeline.auto-watermark-interval", TIME, Some("200 ms"), "How often sources emit watermarks."),
    option(
        "parallelism.default",
        OptionKind::Int(-1, 32_768),
        None,
        "How many subtasks an operator has; the machine's cores if it is not set, or -1.",
    ),
    option(
        "execution.runtime-mode",
        OptionKind::Word(RUNTIME_MODES),
        Some("STREAMING"),
        "STREAMING emits and corrects results as rows arrive; BATCH reads bounded sources and emits final results at the end, without checkpoints; AUTOMATIC is BATCH if every source is bounded.",
    ),
    option(
        "execution.buffer-timeout.interval",
        TEXT,
        Some("100 ms"),
        "The longest that a row waits for its batch to fill. 0 sends at once, -1 sends full batches alone.",
    )
    .older(&["execution.buffer-timeout"]),
    option("execution.buffer-timeout.enabled", BOOL, Some("true"), "false sends full batches alone, as an interval of -1 does."),
    option("pipeline.object-reuse", BOOL, Some("false"), "Batches are never copied between chained operators.").no_effect(),
    option("pipeline.generic-types", BOOL, Some("true"), "There are no generic types.").no_effect(),
    option("pipeline.auto-generate-uids", BOOL, Some("true"), "Every operator has a uid: its name in the job file.").no_effect(),
    option("pipeline.operator-chaining.enabled", BOOL, Some("true"), "Forward edges are always chained.")
        .older(&["pipeline.operator-chaining"])
        .no_effect(),
    option(
        "pipeline.sources.pause-until-first-checkpoint",
        BOOL,
        Some("false"),
        "Sources read nothing before the first checkpoint after a start or restart is complete; it is taken at once. Without periodic checkpoints it has no effect.",
    ),
    option("execution.attached", BOOL, Some("false"), "`flink run` is attached, `flink run -d` is not.").no_effect(),
];

const CHECKPOINTING: &[JobOption] = &[
    option("execution.checkpointing.interval", TIME, Some("10 s"), "How often checkpoints are taken; at least 10 ms, and never more often than `min-pause`. 0, which is Flink's default, switches periodic checkpoints off."),
    option("execution.checkpointing.mode", OptionKind::Word(CHECKPOINTING_MODES), Some("EXACTLY_ONCE"), "EXACTLY_ONCE aligns barriers; AT_LEAST_ONCE blocks no input, and rows may be counted twice after a failure."),
    option("execution.checkpointing.timeout", TIME, Some("10 min"), "A checkpoint or savepoint that takes longer is given up."),
    option("execution.checkpointing.min-pause", TIME, Some("0 ms"), "The least time from the end of a checkpoint to the start of the next periodic one."),
    option("execution.checkpointing.max-concurrent-checkpoints", COUNT, Some("1"), "How many checkpoints may be under way at the same time."),
    option("execution.checkpointing.tolerable-failed-checkpoints", OptionKind::Int(0, i32::MAX as i64), Some("0"), "How many checkpoints may fail in a row before the job does."),
    option("execution.checkpointing.num-retained", COUNT, Some("1"), "How many completed checkpoints are kept.").older(&["state.checkpoints.num-retained"]),
    option("execution.checkpointing.externalized-checkpoint-retention", OptionKind::Word(RETENTIONS), Some("NO_EXTERNALIZED_CHECKPOINTS"), "What becomes of checkpoints when the job ends by itself, is cancelled or fails. The checkpoints of a process that was killed always stay."),
    option("execution.checkpointing.checkpoints-after-tasks-finish", BOOL, Some("true"), "Checkpoints go on when some tasks have finished.").older(&["execution.checkpointing.checkpoints-after-tasks-finish.enabled"]),
    option("execution.checkpointing.storage", OptionKind::Word(STORAGES), Some("filesystem"), "filesystem keeps checkpoints in `dir`; jobmanager keeps them in the job's memory, at most 5 mb a state, and they are lost with the process.").older(&["state.checkpoint-storage"]),
    option("execution.checkpointing.dir", TEXT, None, "Where checkpoints are kept: a path, absolute or relative to the job file, a file: URL, or `s3://bucket/path`. Without it `checkpoints` in the state directory.").older(&["state.checkpoints.dir"]),
    option("execution.checkpointing.savepoint-dir", TEXT, None, "Where savepoints go that are asked for without a directory: as `dir`. Without it `savepoints` in the state directory.").older(&["state.savepoints.dir"]),
    option("execution.checkpointing.create-subdir", BOOL, Some("true"), "Checkpoints lie in a directory of the job's id in `dir`. false: directly in `dir`, which must then be this job's alone: a second job on it is not started, nor one whose checkpoints would take the place of those that lie there.").older(&["state.checkpoints.create-subdir"]),
    option("execution.checkpointing.interval-during-backlog", TIME, None, "The interval while a source works through a backlog: a filesystem source with `source.monitor-interval` until the files that were there at the start are read. At least `interval`; 0: no periodic checkpoints meanwhile. Without it, `interval`."),
    option("execution.checkpointing.unaligned.enabled", BOOL, Some("false"), "Checkpoints do not wait for the rows that are on their way between tasks: these become part of them, so that a checkpoint is quick however slow a task is. Needs EXACTLY_ONCE and max-concurrent-checkpoints = 1. Savepoints are aligned.").older(&["execution.checkpointing.unaligned"]),
    option("execution.checkpointing.unaligned.forced", BOOL, Some("false"), "Unaligned checkpoints of iterations.").default_only(""),
    option("execution.checkpointing.unaligned.max-subtasks-per-channel-state-file", COUNT, Some("5"), "Files of unaligned checkpoints.").no_effect(),
    option("execution.checkpointing.unaligned.interruptible-timers.enabled", BOOL, Some("false"), "With unaligned.enabled: a checkpoint does not wait until all timers of a watermark have fired."),
    option("execution.checkpointing.unaligned.interruptible-timers.emit-intermediate-watermarks", BOOL, Some("true"), "Watermarks between timers.").no_effect(),
    option("execution.checkpointing.unaligned.recover-output-on-downstream.enabled", BOOL, Some("false"), "Recovery of unaligned checkpoints.").default_only(""),
    option("execution.checkpointing.aligned-checkpoint-timeout", TIME, Some("0 ms"), "With unaligned.enabled: a checkpoint begins aligned and turns into an unaligned one after this time, to within execution.buffer-timeout; 0: at once."),
    option("execution.checkpointing.during-recovery.enabled", BOOL, Some("false"), "Checkpoints while channel state is recovered.").default_only(""),
    option("execution.checkpointing.incremental", BOOL, Some("false"), "Checkpoints of the rocksdb backend share the SST files that did not change, in `shared/` beside them. The hashmap backend takes full checkpoints.").older(&["state.backend.incremental"]),
    option("execution.checkpointing.data-inline-threshold", SIZE, Some("20 kb"), "Small state is not moved into _metadata.").older(&["state.storage.fs.memory-threshold"]).no_effect(),
    option("execution.checkpointing.write-buffer-size", SIZE, Some("4 kb"), "Buffers have the size that they need.").older(&["state.storage.fs.write-buffer-size"]).no_effect(),
    option("execution.checkpointing.local-backup.enabled", BOOL, Some("false"), "With `dir` on another machine the newest checkpoint is kept on this one as well, and a restart within the process reads it from there; a copy that is missing or damaged is passed over. With `dir` on this machine it changes nothing.").older(&["state.backend.local-recovery"]),
    option("execution.checkpointing.local-backup.dirs", TEXT, None, "Where that copy is kept: a path, absolute or relative to the job file; of several, separated by commas, the first. Without it beside the working files.").older(&["taskmanager.state.local.root-dirs"]),
    option("execution.checkpointing.file-merging.enabled", BOOL, Some("false"), "One file a state and checkpoint is written.").no_effect(),
    option("execution.checkpointing.file-merging.max-file-size", SIZE, Some("32 mb"), "See file-merging.enabled.").no_effect(),
    option("execution.checkpointing.file-merging.max-space-amplification", OptionKind::Float, Some("2.0"), "See file-merging.enabled.").no_effect(),
    option("execution.checkpointing.file-merging.across-checkpoint-boundary", BOOL, Some("false"), "See file-merging.enabled.").no_effect(),
    option("execution.checkpointing.file-merging.pool-blocking", BOOL, Some("false"), "See file-merging.enabled.").no_effect(),
    option("execution.checkpointing.cleaner.parallel-mode", BOOL, Some("true"), "Old checkpoints are deleted in the background.").no_effect(),
    option("execution.checkpointing.sync-phase-timeout", TIME, Some("0 ms"), "A task fails whose part of a checkpoint holds up its rows for longer, as a sink that cannot get its files written does; 0: never. It is looked at when that part is over."),
];

const STATE: &[JobOption] = &[
    option("state.backend.type", OptionKind::Word(BACKENDS), Some("hashmap"), "Where working state is kept. hashmap: on the heap. rocksdb (RocksDBStateBackend): in memory as far as `state.backend.rocksdb.memory.*` goes, the rest in an embedded RocksDB; in BATCH mode it is hashmap, as in Flink. jobmanager (MemoryStateBackend) and filesystem (FsStateBackend) mean hashmap with that checkpoint storage. forst is not available.").older(&["state.backend"]),
    option("state.changelog.enabled", BOOL, Some("false"), "The changelog state backend.").older(&["state.backend.changelog.enabled"]).default_only(""),
    option("state.latency-track.keyed-state-enabled", BOOL, Some("false"), "Latency of state access is not tracked.").older(&["state.backend.latency-track.keyed-state-enabled"]).no_effect(),
    option("state.size-track.keyed-state-enabled", BOOL, Some("false"), "Sizes of state are not tracked.").no_effect(),
];

/// `state.backend.rocksdb.compaction.style`
pub const COMPACTION_STYLES: &[&str] = &["LEVEL", "UNIVERSAL", "NONE"];

const ROCKSDB: &[JobOption] = &[
    option(
        "state.backend.rocksdb.localdir",
        TEXT,
        None,
        "Where working files are kept while the job runs: a path, absolute or relative to the job file. Without it `local` in the state directory.",
    ),
    option(
        "taskmanager.memory.managed.size",
        SIZE,
        Some("512 mb"),
        "Memory of the rocksdb backend in this process: the rows in front, write buffers and block cache together.",
    ),
    option(
        "state.backend.rocksdb.memory.managed",
        BOOL,
        Some("true"),
        "The memory is bounded by taskmanager.memory.managed.size, unless one of the next two is set.",
    )
    .default_only("set state.backend.rocksdb.memory.fixed-per-tm"),
    option("state.backend.rocksdb.memory.fixed-per-slot", SIZE, None, "The memory for each unit of `parallelism.default`."),
    option("state.backend.rocksdb.memory.fixed-per-tm", SIZE, None, "The memory of the process."),
    option(
        "state.backend.rocksdb.memory.write-buffer-ratio",
        OptionKind::Float,
        Some("0.5"),
        "The part of RocksDB's share of the memory that write buffers may take.",
    ),
    option(
        "state.backend.rocksdb.memory.high-prio-pool-ratio",
        OptionKind::Float,
        Some("0.1"),
        "Indexes and filters have precedence in the block cache as RocksDB does it by itself.",
    )
    .no_effect(),
    option(
        "state.backend.rocksdb.memory.partitioned-index-filters",
        BOOL,
        Some("true"),
        "Indexes and filters are cached in parts (Flink: false): as a whole, those of a few files would fill a small cache.",
    ),
    option("state.backend.rocksdb.block.blocksize", SIZE, Some("4 kb"), "The size of a block of an SST file."),
    option("state.backend.rocksdb.block.metadata-blocksize", SIZE, Some("4 kb"), "The size of a block of a partitioned index."),
    option("state.backend.rocksdb.block.cache-size", SIZE, Some("8 mb"), "The block cache is part of the memory above.").no_effect(),
    option(
        "state.backend.rocksdb.writebuffer.size",
        SIZE,
        Some("64 mb"),
        "The most that one write buffer takes. Large batches go past write buffers into files of their own.",
    ),
    option("state.backend.rocksdb.writebuffer.count", COUNT, Some("2"), "How many write buffers a state may have."),
    option(
        "state.backend.rocksdb.writebuffer.number-to-merge",
        COUNT,
        Some("1"),
        "How many write buffers are merged before they are written.",
    ),
    option("state.backend.rocksdb.thread.num", COUNT, Some("2"), "Threads for compaction in one store; the process shares them."),
    option(
        "state.backend.rocksdb.files.open",
        OptionKind::Int(-1, i32::MAX as i64),
        Some("-1"),
        "How many files one store holds open; -1 for no bound.",
    ),
    option("state.backend.rocksdb.use-bloom-filter", BOOL, Some("true"), "SST files have Bloom filters. Flink's default is false."),
    option("state.backend.rocksdb.bloom-filter.bits-per-key", OptionKind::Float, Some("10.0"), "The size of those filters."),
    option("state.backend.rocksdb.bloom-filter.block-based-mode", BOOL, Some("false"), "RocksDB has no such filters any more.")
        .default_only(""),
    option(
        "state.backend.rocksdb.compaction.style",
        OptionKind::Word(COMPACTION_STYLES),
        Some("LEVEL"),
        "How SST files are compacted. FIFO, which drops rows, is refused.",
    ),
    option("state.backend.rocksdb.compaction.level.max-size-level-base", SIZE, Some("256 mb"), "The size of the first sorted level."),
    option("state.backend.rocksdb.compaction.level.target-file-size-base", SIZE, Some("64 mb"), "The size of an SST file."),
    option("state.backend.rocksdb.compaction.level.use-dynamic-size", BOOL, Some("false"), "Level sizes follow the last level."),
    option(
        "state.backend.rocksdb.compression.per.level",
        TEXT,
        Some("LZ4_COMPRESSION"),
        "LZ4_COMPRESSION or NO_COMPRESSION, one for all levels or one each, separated by semicolons. Flink's default is SNAPPY_COMPRESSION.",
    ),
    option("state.backend.rocksdb.write-batch-size", SIZE, Some("2 mb"), "Batches have the size that they need.").no_effect(),
    option("state.backend.rocksdb.checkpoint.transfer.thread.num", COUNT, Some("4"), "Each subtask copies its files by itself.")
        .no_effect(),
    option(
        "state.backend.rocksdb.timer-service.factory",
        OptionKind::Word(&["ROCKSDB", "HEAP"]),
        Some("ROCKSDB"),
        "Timers are kept with the state.",
    )
    .no_effect(),
    option("state.backend.rocksdb.timer-service.cache-size", COUNT, Some("128"), "Timers are kept with the state.").no_effect(),
    option(
        "state.backend.rocksdb.predefined-options",
        OptionKind::Word(&["DEFAULT", "SPINNING_DISK_OPTIMIZED", "SPINNING_DISK_OPTIMIZED_HIGH_MEM", "FLASH_SSD_OPTIMIZED"]),
        Some("DEFAULT"),
        "Sets of options for kinds of disks.",
    )
    .default_only("set the options that it stands for"),
    option("state.backend.rocksdb.options-factory", TEXT, None, "A Java class that makes options.")
        .default_only("set the options in the job file"),
    option(
        "state.backend.rocksdb.use-ingest-db-restore-mode",
        BOOL,
        Some("false"),
        "Restored rows always go through tables into new files.",
    )
    .no_effect(),
    option(
        "state.backend.rocksdb.incremental-restore-async-compact-after-rescale",
        BOOL,
        Some("false"),
        "Restored stores hold no rows of other subtasks.",
    )
    .no_effect(),
    option(
        "state.backend.rocksdb.restore-overlap-fraction-threshold",
        OptionKind::Float,
        Some("0.0"),
        "Restored stores are always made anew.",
    )
    .no_effect(),
    option(
        "state.backend.rocksdb.rescaling.use-delete-files-in-range",
        BOOL,
        Some("false"),
        "Restored stores hold no rows of other subtasks.",
    )
    .no_effect(),
    option("state.backend.rocksdb.log.level", TEXT, Some("INFO_LEVEL"), "RocksDB logs errors alone, in its working directory.").no_effect(),
];

const RESTART: &[JobOption] = &[
    option("restart-strategy.type", OptionKind::Word(STRATEGIES), None, "What follows a failure: exponential-delay, fixed-delay, failure-rate, or none (off, disable). exponential-delay if checkpoints are taken, else none.").older(&["restart-strategy"]),
    option("restart-strategy.fixed-delay.attempts", OptionKind::Int(0, i32::MAX as i64), Some("1"), "How often the job is restarted before it fails."),
    option("restart-strategy.fixed-delay.delay", TIME, Some("1 s"), "The time between a failure and the restart."),
    option("restart-strategy.failure-rate.max-failures-per-interval", OptionKind::Int(0, i32::MAX as i64), Some("1"), "How many failures within the interval are followed by a restart."),
    option("restart-strategy.failure-rate.failure-rate-interval", TIME, Some("1 min"), "The interval in which failures are counted."),
    option("restart-strategy.failure-rate.delay", TIME, Some("1 s"), "The time between a failure and the restart."),
    option("restart-strategy.exponential-delay.initial-backoff", TIME, Some("1 s"), "The time between the first failure and its restart."),
    option("restart-strategy.exponential-delay.max-backoff", TIME, Some("1 min"), "The longest time between a failure and its restart."),
    option("restart-strategy.exponential-delay.backoff-multiplier", OptionKind::Float, Some("1.5"), "By what that time grows with each failure; more than 1."),
    option("restart-strategy.exponential-delay.reset-backoff-threshold", TIME, Some("1 h"), "After so long without a failure the first time is used again."),
    option("restart-strategy.exponential-delay.jitter-factor", OptionKind::Float, Some("0.1"), "What part of that time is random; from 0 to 1."),
    option("restart-strategy.exponential-delay.attempts-before-reset-backoff", TEXT, Some("infinite"), "How many failures in a row fail the job; a number or infinite."),
];

const TABLE: &[JobOption] = &[
    option("table.exec.mini-batch.enabled", BOOL, Some("false"), "Aggregates emit one change a key and batch instead of one a row."),
    option(
        "table.exec.mini-batch.allow-latency",
        TIME,
        Some("0 ms"),
        "Batches are the mini-batches; `execution.buffer-timeout.interval` bounds their latency.",
    )
    .no_effect(),
    option("table.exec.mini-batch.size", OptionKind::Int(-1, i64::MAX), Some("-1"), "Batches are the mini-batches.").no_effect(),
    option(
        "table.exec.state.ttl",
        TIME,
        Some("0 ms"),
        "How long a group of a GROUP BY, or a row of a SELECT DISTINCT, is kept after its last row, by the wall clock; then it is forgotten, and its next row begins it anew. 0 keeps it for ever; BATCH mode does anyway.",
    ),
    option(
        "table.local-time-zone",
        OptionKind::Word(&["UTC", "default", "Z", "+00:00", "Etc/UTC"]),
        Some("UTC"),
        "The zone in which TIMESTAMP_LTZ is shown and read: UTC, in this version.",
    ),
    option(
        "table.exec.source.idle-timeout",
        TIME,
        Some("0 ms"),
        "A source with a WATERMARK that has had no rows for so long, and has none, no longer holds up the watermark, until its next row; 0: never.",
    ),
    option(
        "table.exec.sink.not-null-enforcer",
        OptionKind::Word(NOT_NULL_ENFORCERS),
        Some("ERROR"),
        "A NULL in a NOT NULL column of a sink fails the job; DROP leaves such rows out and counts them in the sink's numRecordsInErrors.",
    ),
    option(
        "table.exec.sink.upsert-materialize",
        OptionKind::Word(&["AUTO", "NONE", "FORCE"]),
        Some("AUTO"),
        "A sink's key must be the key of its input.",
    )
    .default_only(""),
    option(
        "table.exec.sink.type-length-enforcer",
        OptionKind::Word(&["IGNORE", "TRIM_PAD", "ERROR"]),
        Some("IGNORE"),
        "Lengths of CHAR and VARCHAR are not enforced.",
    )
    .default_only(""),
    option("table.exec.resource.default-parallelism", OptionKind::Int(-1, 32_768), Some("-1"), "The parallelism of SQL operators.")
        .default_only("set parallelism.default"),
    option(
        "table.optimizer.agg-phase-strategy",
        OptionKind::Word(&["AUTO", "ONE_PHASE", "TWO_PHASE"]),
        Some("AUTO"),
        "The planner decides by itself.",
    )
    .no_effect(),
    option("table.optimizer.distinct-agg.split.enabled", BOOL, Some("false"), "The planner decides by itself.").no_effect(),
    option("table.dml-sync", BOOL, Some("false"), "`flink run` is attached, `flink run -d` is not.").no_effect(),
];

const SCRIPT: &[JobOption] = &[
    option(
        "script.max-steps",
        COUNT,
        Some("10000000"),
        "The most steps that a script may take for one event or timer: turns of its loops, calls of its functions.",
    ),
    option("script.memory", SIZE, Some("256 mb"), "The most memory that a script may use in one subtask, the batch at hand included."),
];

const S3: &[JobOption] = &[
    option("s3.access-key", TEXT, None, "The id of the key; without it `AWS_ACCESS_KEY_ID` and what else the environment says. It is shown nowhere.")
        .older(&["s3.access.key"])
        .secret(),
    option("s3.secret-key", TEXT, None, "The key; without it `AWS_SECRET_ACCESS_KEY`. It is shown nowhere. Write `${NAME}` rather than the key.")
        .older(&["s3.secret.key"])
        .secret(),
    option("s3.session-token", TEXT, None, "The token that belongs to keys for a while; without keys here `AWS_SESSION_TOKEN`. It is shown nowhere.")
        .older(&["s3.session.token"])
        .secret(),
    option(
        "s3.endpoint",
        TEXT,
        None,
        "The server: `host:port`, with `http://` if it has no TLS. Without it `AWS_ENDPOINT_URL_S3` or `AWS_ENDPOINT_URL`, else Amazon's.",
    ),
    option("s3.region", TEXT, None, "The region; without it `AWS_REGION` or `AWS_DEFAULT_REGION`, else us-east-1.").older(&["s3.endpoint.region"]),
    option(
        "s3.path.style.access",
        BOOL,
        Some("false"),
        "true puts the bucket into the path instead of the host's name, as most servers of one's own need it. An endpoint that is an address, or a name without a dot, is always used so.",
    )
    .older(&["s3.path-style-access"]),
];

const RECOVERY: &[JobOption] = &[
    option(
        "execution.state-recovery.path",
        TEXT,
        None,
        "The savepoint or checkpoint that the job starts from, or `latest`, as `flink run -s` takes it (which wins); relative paths start at the job file.",
    )
    .older(&["execution.savepoint.path"]),
    option(
        "execution.state-recovery.claim-mode",
        OptionKind::Word(ClaimMode::WORDS),
        Some("NO_CLAIM"),
        "NO_CLAIM leaves it alone; CLAIM makes it a checkpoint of the job, which counts into `num-retained` and is deleted when later ones have replaced it.",
    )
    .older(&["execution.savepoint-restore-mode"]),
    option(
        "execution.state-recovery.ignore-unclaimed-state",
        BOOL,
        Some("false"),
        "Whether state may be left behind that the job does not have, as with `flink run -n`.",
    )
    .older(&["execution.savepoint.ignore-unclaimed-state"]),
    option("execution.state-recovery.from-local", BOOL, Some("false"), "A local copy of a checkpoint is read where there is one.").no_effect(),
    option(
        "execution.state-recovery.without-channel-state.checkpoint-id",
        OptionKind::Int(-1, i64::MAX),
        Some("-1"),
        "Skips in-flight rows of an unaligned checkpoint.",
    )
    .default_only(""),
];

/// Families of options that this version does not have, each with what they belong to. They are refused.
pub const REFUSED_FAMILIES: &[(&str, &str)] = &[
    ("state.backend.rocksdb.metrics.", "RocksDB's own metrics are not reported in this version"),
    ("state.backend.rocksdb.log.", "RocksDB's log is not kept in this version"),
    ("state.backend.rocksdb.compaction.filter.", "no state expires in this version"),
    ("state.backend.rocksdb.manual-compaction.", "there is no compaction by hand in this version"),
    ("state.backend.forst.", "ForSt is not available in this version"),
    ("state.backend.changelog.", "the changelog state backend is not available in this version"),
    ("state.changelog.", "the changelog state backend is not available in this version"),
];

/// Families of options that belong to a cluster. They are accepted with a warning, so that one file serves both.
pub const CLUSTER_FAMILIES: &[&str] = &[
    "taskmanager.",
    "jobmanager.",
    "resourcemanager.",
    "rest.",
    "web.",
    "metrics.",
    "high-availability.",
    "kubernetes.",
    "yarn.",
    "env.",
    "classloader.",
    "akka.",
    "pekko.",
    "blob.",
    "heartbeat.",
    "cluster.",
    "client.",
    "fs.",
];

/// Every option, in the order of the reference.
pub fn all() -> impl Iterator<Item = &'static JobOption> {
    JOB_OPTIONS.iter().copied().flatten()
}

/// Words of keys whose values are shown to nobody (Flink's list), whether such an option is known or misspelt.
const SENSITIVE: &[&str] = &["password", "secret", "token", "apikey", "api-key", "service-key", "access-key", "access.key", "jaas.config"];

/// Whether the value of `key` is shown to nobody.
pub fn is_secret(key: &str) -> bool {
    let lower = key.to_ascii_lowercase();
    find(key).is_some_and(|option| option.secret) || SENSITIVE.iter().any(|word| lower.contains(word))
}

/// The option called `key`, now or formerly.
pub fn find(key: &str) -> Option<&'static JobOption> {
    all().find(|option| option.is_called(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_option_has_one_meaning_and_a_default_of_its_kind() {
        let mut seen = HashSet::new();
        for option in all() {
            for name in option.older.iter().chain([&option.spec.key]) {
                assert!(seen.insert(*name), "{name} stands twice");
            }
            if let Some(default) = option.spec.default {
                option.spec.check(option.spec.key, default).unwrap();
            }
            assert!(option.spec.doc.ends_with('.'), "{}", option.spec.key);
        }
    }

    #[test]
    fn older_names_find_the_option() {
        assert_eq!(find("state.checkpoints.dir").unwrap().spec.key, "execution.checkpointing.dir");
        assert!(find("state.checkpoints.dirs").is_none());
    }
}
