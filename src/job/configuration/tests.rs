//! What the options of `configuration` become.

use super::super::problem::Problems;
use super::super::problem::{Severity, Texts};
use super::super::spec::Spec;
use super::*;
use crate::state::{Compression, RocksSettings};
use crate::types::ByteSize;

fn defaults() -> Defaults {
    Defaults {
        name: "job".to_owned(),
        parallelism: Parallelism::new(4).unwrap(),
        checkpoint_dir: "/state/checkpoints".into(),
        savepoint_dir: "/state/savepoints".into(),
        directory: "/work".into(),
    }
}

fn load(file: &str, flags: &[&str]) -> (Configuration, Vec<Problem>) {
    let mut problems = Vec::new();
    let environment = |name: &str| (name == "SECRET").then(|| "hunter2".to_owned());
    let mut spec = Spec::parse(file, &environment, &mut problems).unwrap();
    spec.apply(&flags.iter().map(|flag| format!("-D {flag}")).collect::<Vec<_>>(), &mut problems);
    let configuration = read(&spec.options, &defaults(), &mut problems);
    (configuration, problems)
}

fn settings(file: &str) -> JobSettings {
    let (mut configuration, problems) = load(file, &[]);
    assert_eq!(problems, [], "{file}");
    configuration.decide_mode(true);
    configuration.settings
}

#[test]
fn without_options_checkpoints_are_taken_every_ten_seconds_and_failures_are_followed_by_restarts() {
    let settings = settings("");
    assert_eq!((settings.name.as_str(), settings.parallelism.get(), settings.max_parallelism), ("job", 4, None));
    let checkpointing = &settings.checkpointing;
    assert_eq!(checkpointing.interval, Some(Duration::from_secs(10)));
    assert_eq!(checkpointing.timeout, Duration::from_mins(10));
    assert_eq!((checkpointing.max_concurrent, checkpointing.tolerable_failed, checkpointing.num_retained), (1, 0, 1));
    assert_eq!(checkpointing.retention, Retention::NoExternalized);
    assert_eq!(checkpointing.storage, CheckpointStorage::FileSystem("/state/checkpoints".into()));
    assert_eq!(checkpointing.savepoint_dir, Some("/state/savepoints".into()));
    assert_eq!(settings.buffer_timeout, Duration::from_millis(100));
    assert_eq!(settings.auto_watermark_interval, Duration::from_millis(200));
    let exponential = RestartSettings::ExponentialDelay {
        initial: Duration::from_secs(1),
        max: Duration::from_mins(1),
        multiplier: 1.5,
        reset_threshold: Duration::from_hours(1),
        jitter: 0.1,
        attempts: None,
    };
    assert_eq!(settings.restart, exponential);
    assert!(settings.options.contains(&("execution.checkpointing.interval".to_owned(), "10 s".to_owned())));
}

#[test]
fn options_mean_what_they_mean_in_flink() {
    let settings = settings(
        "pipeline.name = \"n\"\npipeline.max-parallelism = 256\nparallelism.default = 8\nexecution.buffer-timeout = -1\n\
         [execution.checkpointing]\ninterval = \"1 s\"\nmin-pause = \"3 s\"\nmode = \"at_least_once\"\ntimeout = \"60 s\"\n\
         externalized-checkpoint-retention = \"RETAIN_ON_CANCELLATION\"\ndir = \"file:///c\"\nsavepoint-dir = \"sp\"\n\
         [restart-strategy]\ntype = \"fixed-delay\"\nfixed-delay.attempts = 3\n",
    );
    assert_eq!((settings.name.as_str(), settings.parallelism.get()), ("n", 8));
    assert_eq!(settings.max_parallelism, MaxParallelism::new(256));
    assert_eq!(settings.buffer_timeout, FOR_EVER);
    let checkpointing = settings.checkpointing;
    assert_eq!(checkpointing.interval, Some(Duration::from_secs(3)), "raised to min-pause");
    assert_eq!(checkpointing.mode, CheckpointingMode::AtLeastOnce);
    assert_eq!(checkpointing.retention, Retention::RetainOnCancellation);
    assert_eq!(checkpointing.storage, CheckpointStorage::FileSystem("/c".into()));
    assert_eq!(checkpointing.savepoint_dir, Some("/work/sp".into()));
    assert_eq!(settings.restart, RestartSettings::FixedDelay { attempts: 3, delay: Duration::from_secs(1) });
}

#[test]
fn without_checkpoints_a_failure_fails_the_job_unless_a_strategy_is_named() {
    assert_eq!(settings("execution.checkpointing.interval = 0").restart, RestartSettings::None);
    assert_eq!(settings("execution.runtime-mode = \"batch\"").restart, RestartSettings::None);
    assert_eq!(settings("restart-strategy = \"off\"").restart, RestartSettings::None);
    assert_eq!(settings("execution.runtime-mode = \"AUTOMATIC\"").mode, RuntimeMode::Batch);
    let rate = settings("execution.checkpointing.interval = 0\nrestart-strategy.type = \"failure-rate\"").restart;
    assert!(matches!(rate, RestartSettings::FailureRate { max_failures: 1, .. }));
}

#[test]
fn checkpoints_are_unaligned_at_once_or_after_a_while_if_that_is_asked_for() {
    let unaligned = |file: &str| settings(file).checkpointing.unaligned;
    assert_eq!(unaligned("execution.checkpointing.aligned-checkpoint-timeout = \"1 s\""), None);
    let file = "execution.checkpointing.unaligned.enabled = true";
    assert_eq!(unaligned(file), Some(Duration::ZERO));
    let patient = format!("{file}\nexecution.checkpointing.aligned-checkpoint-timeout = \"1 s\"");
    assert_eq!(unaligned(&patient), Some(Duration::from_secs(1)));
}

#[test]
fn what_a_job_starts_from_may_stand_in_its_file() {
    let recovery = |file: &str| settings(file).recovery;
    assert_eq!(recovery(""), RecoverySettings::default());
    let file = "[execution.state-recovery]\npath = \"sav\"\nclaim-mode = \"claim\"\nignore-unclaimed-state = true";
    let expected = RecoverySettings { path: Some("/work/sav".to_owned()), claim: ClaimMode::Claim, ignore_unclaimed: true };
    assert_eq!(recovery(file), expected);
    assert_eq!(recovery("execution.savepoint.path = \"latest\"").path.as_deref(), Some("latest"));
    assert_eq!(recovery("execution.state-recovery.path = \"file:///s\"").path.as_deref(), Some("/s"));
}

#[test]
fn older_names_of_backends_mean_a_storage_and_older_keys_an_option() {
    for (file, storage) in [
        ("state.backend = \"MemoryStateBackend\"", CheckpointStorage::JobManager),
        ("state.backend.type = \"jobmanager\"", CheckpointStorage::JobManager),
        ("state.checkpoint-storage = \"jobmanager\"", CheckpointStorage::JobManager),
        ("state.backend.type = \"FsStateBackend\"\nstate.checkpoints.dir = \"/old\"", CheckpointStorage::FileSystem("/old".into())),
        (
            "state.backend.type = \"jobmanager\"\nexecution.checkpointing.storage = \"filesystem\"",
            CheckpointStorage::FileSystem("/state/checkpoints".into()),
        ),
        ("state.checkpoints.dir = \"/old\"\nexecution.checkpointing.dir = \"/new\"", CheckpointStorage::FileSystem("/new".into())),
    ] {
        assert_eq!(settings(file).checkpointing.storage, storage, "{file}");
    }
}

#[test]
fn the_memory_of_rocksdb_is_that_of_the_process_or_of_all_its_slots() {
    let rocks = |file: &str| match settings(&format!("state.backend.type = \"rocksdb\"\nparallelism.default = 3\n{file}")).backend {
        BackendSettings::RocksDb(settings) => *settings,
        BackendSettings::HashMap => panic!("{file}"),
    };
    let (default, mb) = (RocksSettings::default(), |n: u64| ByteSize(n << 20));
    assert_eq!(rocks(""), default);
    assert_eq!(rocks("taskmanager.memory.managed.size = \"1 gb\"").memory, mb(1024));
    let slots = "state.backend.rocksdb.memory.fixed-per-slot = \"100 mb\"";
    assert_eq!(rocks(slots).memory, mb(300), "three slots");
    assert_eq!(rocks(&format!("{slots}\nstate.backend.rocksdb.memory.fixed-per-tm = \"64 mb\"")).memory, mb(300), "slots come first");
    let tuned = rocks(
        "[state.backend.rocksdb]\nlocaldir = \"scratch\"\ncompression.per.level = \"NO_COMPRESSION; LZ4_COMPRESSION\"\n\
         use-bloom-filter = false\ncompaction.style = \"universal\"\nthread.num = 4\n",
    );
    assert_eq!(tuned.localdir, Some("/work/scratch".into()));
    assert_eq!(tuned.compression, [Compression::None, Compression::Lz4]);
    assert_eq!((tuned.bloom_bits, tuned.threads, tuned.compaction_style.as_str()), (None, 4, "universal"));
    assert!(settings("execution.checkpointing.incremental = true").checkpointing.incremental);
}

#[test]
fn an_override_wins_over_the_file_even_under_an_older_name() {
    let file = "execution.checkpointing.dir = \"/file\"\npipeline.name = \"${SECRET}\"";
    let (configuration, problems) = load(file, &["state.checkpoints.dir=/flag", "parallelism.default=2"]);
    assert_eq!(problems, []);
    let settings = configuration.settings;
    assert_eq!(settings.checkpointing.storage, CheckpointStorage::FileSystem("/flag".into()));
    assert_eq!(settings.parallelism.get(), 2);
    assert!(!format!("{settings:?}").contains("hunter2"));
}

#[test]
fn options_of_when_and_where_checkpoints_are_taken() {
    let checkpointing = settings("").checkpointing;
    assert_eq!((checkpointing.backlog_interval, checkpointing.sync_phase_timeout, checkpointing.pause_sources), (None, None, false));
    assert!(checkpointing.create_subdir);
    let text = "execution.checkpointing.interval-during-backlog = \"1 min\"\nexecution.checkpointing.create-subdir = false\n\
                execution.checkpointing.sync-phase-timeout = \"3 s\"\npipeline.sources.pause-until-first-checkpoint = true\n\
                table.exec.source.idle-timeout = \"5 s\"\nexecution.runtime-mode = \"STREAMING\"";
    let found = settings(text);
    assert_eq!(found.checkpointing.backlog_interval, Some(Duration::from_mins(1)));
    assert_eq!(found.checkpointing.sync_phase_timeout, Some(Duration::from_secs(3)));
    assert!(found.checkpointing.pause_sources && !found.checkpointing.create_subdir);
    assert_eq!(found.idle_timeout, Some(Duration::from_secs(5)));
    let never = settings("execution.checkpointing.interval-during-backlog = 0");
    assert_eq!(never.checkpointing.backlog_interval, Some(Duration::ZERO));
    let (configuration, _) = load("table.exec.state.ttl = \"1 d\"\ntable.exec.sink.not-null-enforcer = \"drop\"", &[]);
    assert_eq!((configuration.state_ttl, configuration.drops_nulls), (Some(Duration::from_hours(24)), true));
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn an_option_that_cannot_be_used_is_a_problem_that_names_it() {
    for (file, message) in [
        ("execution.checkpointing.intervall = 1", "unknown option \"execution.checkpointing.intervall\""),
        ("source.a.path = 1", "unknown option \"source.a.path\""),
        (
            "execution.checkpointing.interval = \"9 ms\"",
            "execution.checkpointing.interval: the interval is at least 10 ms, or 0 for no periodic checkpoints",
        ),
        ("execution.checkpointing.timeout = 1", "execution.checkpointing.timeout: the timeout is at least 10 ms"),
        (
            "execution.checkpointing.interval = \"${SECRET}\"",
            "execution.checkpointing.interval: \"${SECRET}\" does not start with a number",
        ),
        (
            "execution.checkpointing.mode = \"ONCE\"",
            "execution.checkpointing.mode: expected one of EXACTLY_ONCE, AT_LEAST_ONCE, found \"ONCE\"",
        ),
        (
            "execution.checkpointing.dir = \"gs://b/c\"",
            "execution.checkpointing.dir: gs: is not available in this version; use a path, a file: URL or an s3: URL",
        ),
        ("execution.checkpointing.dir = \"file://host/c\"", "execution.checkpointing.dir: \"host\" would be a host; write file:///host…"),
        (
            "execution.checkpointing.interval-during-backlog = \"9 s\"",
            "execution.checkpointing.interval-during-backlog: the interval during a backlog is at least the one without, or 0 for no periodic \
             checkpoints meanwhile",
        ),
        ("execution.checkpointing.unaligned.forced = true", "\"execution.checkpointing.unaligned.forced\" is not supported yet"),
        (
            "execution.checkpointing.unaligned.enabled = true\nexecution.checkpointing.mode = \"AT_LEAST_ONCE\"",
            "execution.checkpointing.unaligned.enabled: unaligned checkpoints need the mode EXACTLY_ONCE",
        ),
        (
            "execution.checkpointing.unaligned.enabled = true\nexecution.checkpointing.max-concurrent-checkpoints = 2",
            "execution.checkpointing.unaligned.enabled: unaligned checkpoints need max-concurrent-checkpoints = 1",
        ),
        (
            "state.backend.type = \"forst\"",
            "state.backend.type: \"forst\" is not available in this version; the backends are hashmap and rocksdb",
        ),
        (
            "state.backend.rocksdb.metrics.mem-table-flush-pending = true",
            "\"state.backend.rocksdb.metrics.mem-table-flush-pending\" is not supported yet: RocksDB's own metrics are not reported in this version",
        ),
        (
            "state.backend.rocksdb.memory.write-buffer-ratio = 1.5",
            "state.backend.rocksdb.memory.write-buffer-ratio: the ratio must be between 0 and 1",
        ),
        (
            "state.backend.rocksdb.compression.per.level = \"LZ4_COMPRESSION;SNAPPY_COMPRESSION\"",
            "state.backend.rocksdb.compression.per.level: \"SNAPPY_COMPRESSION\" is not available: use LZ4_COMPRESSION or NO_COMPRESSION",
        ),
        ("state.backend.rocksdb.memory.fixed-per-tm = 0", "state.backend.rocksdb.memory.fixed-per-tm: the backend needs memory"),
        ("parallelism.default = 0", "parallelism.default: at least 1 subtask is needed"),
        ("pipeline.max-parallelism = 2", "pipeline.max-parallelism: 2 is less than the parallelism, which is 4"),
        ("pipeline.max-parallelism = 99999", "pipeline.max-parallelism: 99999 is not between -1 and 32768"),
        ("pipeline.name = \"\"", "pipeline.name: the name is empty"),
        ("execution.buffer-timeout = \"soon\"", "execution.buffer-timeout: \"soon\" does not start with a number"),
        (
            "restart-strategy.exponential-delay.backoff-multiplier = 1",
            "restart-strategy.exponential-delay.backoff-multiplier: the multiplier must be more than 1",
        ),
        (
            "restart-strategy.exponential-delay.jitter-factor = nan",
            "restart-strategy.exponential-delay.jitter-factor: the factor must be from 0 to 1",
        ),
        (
            "restart-strategy.exponential-delay.initial-backoff = \"2 min\"",
            "restart-strategy.exponential-delay.initial-backoff: the longest time is shorter than the first one",
        ),
        (
            "restart-strategy.exponential-delay.attempts-before-reset-backoff = 0",
            "restart-strategy.exponential-delay.attempts-before-reset-backoff: expected a whole number from 1 on, or infinite",
        ),
        (
            "execution.state-recovery.path = \"hdfs://b/x\"",
            "execution.state-recovery.path: hdfs: is not available in this version; use a path, a file: URL or an s3: URL",
        ),
        (
            "execution.state-recovery.claim-mode = \"LEGACY\"",
            "execution.state-recovery.claim-mode: expected one of NO_CLAIM, CLAIM, found \"LEGACY\"",
        ),
    ] {
        let (_, problems) = load(file, &[]);
        let messages: Vec<&str> = problems.iter().map(|problem| problem.message.as_str()).collect();
        assert_eq!(messages, [message], "{file}");
    }
}

#[test]
fn defaults_of_unsupported_options_are_accepted_and_those_without_effect_are_warned_about() {
    let quiet = "execution.checkpointing.unaligned.enabled = \"FALSE\"\nstate.changelog.enabled = false\ntable.local-time-zone = \"utc\"";
    assert_eq!(load(quiet, &[]).1, []);
    let (_, problems) = load("taskmanager.numberOfTaskSlots = 4\npipeline.object-reuse = true", &[]);
    assert!(problems.iter().all(|problem| problem.severity == Severity::Warning));
    assert_eq!(problems.len(), 2);
}

#[test]
fn a_wrong_flag_is_shown_as_it_was_written() {
    let (_, problems) = load("", &["execution.checkpointing.mode=ATLEAST_ONCE"]);
    let texts = Texts { flags: vec!["-D execution.checkpointing.mode=ATLEAST_ONCE".to_owned()], ..Texts::default() };
    let expected = "error: execution.checkpointing.mode: expected one of EXACTLY_ONCE, AT_LEAST_ONCE, found \"ATLEAST_ONCE\"\n \
                    --> command line\n |\n | -D execution.checkpointing.mode=ATLEAST_ONCE\n |                                 ^^^^^^^^^^^^\n\
                    help: did you mean \"AT_LEAST_ONCE\"?";
    assert_eq!(Problems::new(texts, problems).to_string(), expected);
}
