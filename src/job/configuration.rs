//! Flink's options as they were written → the settings that the runtime and the planner take. Every value is checked, and against
//! the others that it must fit.

use super::not_null::NOT_NULL_ENFORCERS;
use super::options::{self, BACKENDS, CHECKPOINTING_MODES, CLUSTER_FAMILIES, JobOption, REFUSED_FAMILIES, RETENTIONS, STORAGES, Support};
use super::problem::Problem;
use super::restore_table;
use super::settings::{JobSettings, RecoverySettings, RestartSettings, RuntimeMode};
use super::spec::Entry;
use super::text::Text;
use crate::checkpoint::settings::{CheckpointSettings, CheckpointStorage, CheckpointingMode, ClaimMode, Retention};
use crate::script::Limits;
use crate::state::BackendSettings;
use crate::storage::{S3Settings, Secret, absolute, is_remote, parse_location};
use crate::types::{ByteSize, MaxParallelism, OptionSpec, Parallelism, parse_duration};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What the settings depend on beside the options.
#[derive(Debug, Clone)]
pub struct Defaults {
    /// The job's name without `pipeline.name`.
    pub name: String,
    /// `parallelism.default` without that option: the machine's cores.
    pub parallelism: Parallelism,
    /// Checkpoints go here without `execution.checkpointing.dir`.
    pub checkpoint_dir: PathBuf,
    /// Savepoints go here without `execution.checkpointing.savepoint-dir`.
    pub savepoint_dir: PathBuf,
    /// The directory of the job file, absolute.
    pub directory: PathBuf,
}

/// What the options mean.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "options that are on or off, each by itself")]
pub struct Configuration {
    /// What the runtime takes. `mode` is STREAMING as long as `automatic_mode` is open.
    pub settings: JobSettings,
    /// `execution.runtime-mode = AUTOMATIC`: decided when the sources are known.
    pub automatic_mode: bool,
    /// `table.exec.mini-batch.enabled`
    pub mini_batch: bool,
    /// `table.exec.state.ttl`
    pub state_ttl: Option<Duration>,
    /// `table.exec.sink.not-null-enforcer = DROP`
    pub drops_nulls: bool,
    /// Whether `restart-strategy.type` was set.
    named_restart: bool,
}

impl Configuration {
    /// Decides AUTOMATIC: BATCH if all sources are `bounded`. Without checkpoints, as in BATCH, there is no restart unless a
    /// strategy was named.
    pub fn decide_mode(&mut self, bounded: bool) {
        let settings = &mut self.settings;
        if self.automatic_mode && bounded {
            settings.mode = RuntimeMode::Batch;
        }
        if settings.mode == RuntimeMode::Batch {
            settings.checkpointing.interval = None;
        }
        if settings.checkpointing.interval.is_none() && !self.named_restart {
            settings.restart = RestartSettings::None;
        }
    }
}

/// The longest wait for a batch to fill: practically for ever.
const FOR_EVER: Duration = Duration::from_hours(365 * 24);

/// Flink's bounds of checkpoint times (`CheckpointCoordinatorConfiguration`).
const MIN_CHECKPOINT_TIME: Duration = Duration::from_millis(10);

/// Reads all options. Problems and warnings go to `problems`; where a value cannot be used the default stands in for it.
pub fn read(entries: &[Entry], defaults: &Defaults, problems: &mut Vec<Problem>) -> Configuration {
    check_keys(entries, problems);
    let restore = restore_table::read(entries, problems);
    let mut reader = Reader { entries, problems };
    let parallelism = reader.parallelism("parallelism.default").unwrap_or(defaults.parallelism);
    let max_parallelism = reader.max_parallelism(parallelism);
    let (mode, automatic_mode) = match reader.word("execution.runtime-mode") {
        1 => (RuntimeMode::Batch, false),
        2 => (RuntimeMode::Streaming, true),
        _ => (RuntimeMode::Streaming, false),
    };
    let checkpointing = reader.checkpointing(defaults);
    let backend = reader.backend(defaults, parallelism);
    let local_dir = match &backend {
        BackendSettings::RocksDb(settings) => settings.localdir.clone(),
        BackendSettings::HashMap => None,
    };
    let settings = JobSettings {
        backend,
        // The default checkpoint directory lies in the state directory.
        local_dir: local_dir.unwrap_or_else(|| defaults.checkpoint_dir.with_file_name("local")),
        name: reader.name(&defaults.name),
        parallelism,
        max_parallelism,
        mode,
        buffer_timeout: reader.buffer_timeout(),
        auto_watermark_interval: reader.duration("pipeline.auto-watermark-interval"),
        idle_timeout: Some(reader.duration("table.exec.source.idle-timeout")).filter(|timeout| !timeout.is_zero()),
        restart: reader.restart(checkpointing.interval.is_some()),
        checkpointing,
        s3: reader.s3(),
        recovery: reader.recovery(defaults),
        restore,
        script: reader.script(),
        directory: defaults.directory.clone(),
        options: Vec::new(),
    };
    let mini_batch = reader.bool("table.exec.mini-batch.enabled");
    let state_ttl = Some(reader.duration("table.exec.state.ttl")).filter(|ttl| !ttl.is_zero());
    let drops_nulls = NOT_NULL_ENFORCERS.get(reader.word("table.exec.sink.not-null-enforcer")) == Some(&"DROP");
    let settings = JobSettings { options: effective(entries, &settings), ..settings };
    let named_restart = deciding(entries, "restart-strategy.type").is_some();
    Configuration { settings, automatic_mode, mini_batch, state_ttl, drops_nulls, named_restart }
}

fn check_keys(entries: &[Entry], problems: &mut Vec<Problem>) {
    for entry in entries.iter().filter(|entry| !entry.value.is_broken() && !restore_table::is_about(&entry.key)) {
        let key = entry.key.as_str();
        if let Some(option) = options::find(key) {
            check_value(option, entry, problems);
        } else if let Some((_, why)) = REFUSED_FAMILIES.iter().find(|(family, _)| key.starts_with(family)) {
            problems.push(Problem::at(&entry.key_place, format!("\"{key}\" is not supported yet: {why}")));
        } else if CLUSTER_FAMILIES.iter().any(|family| key.starts_with(family)) {
            let message = format!("\"{key}\" belongs to a cluster and has no effect here");
            problems.push(Problem::at(&entry.key_place, message).warning());
        } else {
            let names = options::all().map(|option| option.spec.key).chain(["sources", "transforms", "sinks", "restore"]);
            // A misspelt kind of table: `[source.a]`.
            let kind = key.split('.').next().unwrap_or_default();
            let problem = Problem::at(&entry.key_place, format!("unknown option \"{key}\""));
            let kinds = ["sources", "transforms", "sinks"];
            problems.push(match kinds.into_iter().find(|name| key.contains('.') && strsim::levenshtein(kind, name) <= 2) {
                Some(name) => problem.help(format!("did you mean \"{name}.{}\"?", &key[kind.len() + 1..])),
                None => problem.nearest(key, names),
            });
        }
    }
}

fn check_value(option: &JobOption, entry: &Entry, problems: &mut Vec<Problem>) {
    let (key, value) = (entry.key.as_str(), &entry.value);
    if let Err(error) = option.spec.check(key, value.as_str()) {
        problems.push(wrong_value(&option.spec, entry, &error.message));
        return;
    }
    match option.support {
        Support::Full => {}
        Support::NoEffect => {
            let message = format!("\"{key}\" has no effect here");
            problems.push(Problem::at(&entry.key_place, message).help(option.spec.doc).warning());
        }
        Support::DefaultOnly(instead) => {
            if option.spec.default.is_some_and(|default| same_value(&option.spec, default, value.as_str())) {
                return;
            }
            let problem = Problem::at(&entry.key_place, format!("\"{key}\" is not supported yet"));
            problems.push(match (instead, option.spec.default) {
                ("", Some(default)) => problem.help(format!("leave it out, or set it to its default: {default}")),
                ("", None) => problem.help("leave it out"),
                (instead, _) => problem.help(instead),
            });
        }
    }
}

/// Whether two texts are the same value: `0` and `0 ms`, `TRUE` and `true`.
fn same_value(spec: &OptionSpec, a: &str, b: &str) -> bool {
    use crate::types::{ByteSize, OptionKind};
    match spec.kind {
        OptionKind::Duration => parse_duration(a).ok() == parse_duration(b).ok(),
        OptionKind::Size => a.parse::<ByteSize>().ok() == b.parse::<ByteSize>().ok(),
        OptionKind::Int(..) => a.trim().parse::<i64>().ok() == b.trim().parse::<i64>().ok(),
        OptionKind::Float => a.trim().parse::<f64>().ok() == b.trim().parse::<f64>().ok(),
        OptionKind::Bool | OptionKind::Word(_) | OptionKind::Text => a.trim().eq_ignore_ascii_case(b.trim()),
    }
}

/// A problem with an entry's value. If it is a word that is not among those allowed, the nearest one is named.
pub fn wrong_value(spec: &OptionSpec, entry: &Entry, message: &str) -> Problem {
    let problem = Problem::at(entry.value.place(), entry.value.mask(&format!("{}: {message}", entry.key)));
    match spec.kind {
        crate::types::OptionKind::Word(words) => problem.nearest(entry.value.as_str(), words.iter().copied()),
        _ => problem,
    }
}

/// A text as a location: an absolute path on this machine (relative ones start at `directory`), or one on an object store. The error says
/// what is wrong.
fn location(text: &str, directory: &Path) -> Result<PathBuf, String> {
    parse_location(text).map(|path| absolute(directory, &path)).map_err(|e| e.to_string())
}

/// A text as an absolute path on this machine.
pub fn local_path(text: &str, directory: &Path) -> Result<PathBuf, String> {
    let path = location(text, directory)?;
    if is_remote(&path) { Err("s3: holds checkpoints and savepoints alone; use a path or a file: URL".to_owned()) } else { Ok(path) }
}

pub(super) struct Reader<'a, 'p> {
    entries: &'a [Entry],
    problems: &'p mut Vec<Problem>,
}

impl<'a> Reader<'a, '_> {
    /// The entry that decides about an option: one from the command line before one of the file, the newer name before older ones.
    pub(super) fn entry(&self, key: &str) -> Option<&'a Entry> {
        deciding(self.entries, key)
    }

    /// The text of an option that is written and of its kind, else its default.
    pub(super) fn text(&self, key: &str) -> Option<&'a str> {
        let option = options::find(key)?;
        let written = self.entry(key).map(|entry| entry.value.as_str()).filter(|text| option.spec.check(key, text).is_ok());
        written.or(option.spec.default)
    }

    pub(super) fn wrong(&mut self, key: &str, message: &str) {
        if let Some(entry) = self.entry(key) {
            let message = entry.value.mask(&format!("{}: {message}", entry.key));
            self.problems.push(Problem::at(entry.value.place(), message));
        }
    }

    fn duration(&self, key: &str) -> Duration {
        self.text(key).and_then(|text| parse_duration(text).ok()).unwrap_or_default()
    }

    pub(super) fn bool(&self, key: &str) -> bool {
        self.text(key).is_some_and(|text| text.trim().eq_ignore_ascii_case("true"))
    }

    pub(super) fn int(&self, key: &str) -> i64 {
        self.text(key).and_then(|text| text.trim().parse().ok()).unwrap_or_default()
    }

    pub(super) fn count(&self, key: &str) -> usize {
        usize::try_from(self.int(key)).unwrap_or_default()
    }

    fn script(&self) -> Limits {
        let memory = self.text("script.memory").and_then(|text| text.parse::<ByteSize>().ok()).map(|size| size.0);
        let steps = self.int("script.max-steps");
        let standard = Limits::default();
        // Below a megabyte nothing runs, and 0 would mean no limit at all.
        let memory = memory.map_or(standard.memory, |bytes| usize::try_from(bytes.max(1 << 20)).unwrap_or(usize::MAX));
        Limits { steps: if steps <= 0 { standard.steps } else { steps }, memory }
    }

    fn count32(&self, key: &str) -> u32 {
        u32::try_from(self.int(key)).unwrap_or_default()
    }

    pub(super) fn float(&self, key: &str) -> f64 {
        self.text(key).and_then(|text| text.trim().parse().ok()).unwrap_or_default()
    }

    /// The position of an option's word among those that it may have; 0 if there is none.
    pub(super) fn word(&self, key: &str) -> usize {
        let words = match options::find(key).map(|option| option.spec.kind) {
            Some(crate::types::OptionKind::Word(words)) => words,
            _ => &[],
        };
        let text = self.text(key).unwrap_or_default().trim();
        words.iter().position(|word| word.eq_ignore_ascii_case(text)).unwrap_or_default()
    }

    fn name(&mut self, default: &str) -> String {
        match self.entry("pipeline.name").map(|entry| entry.value.shown()) {
            Some(name) if name.trim().is_empty() => {
                self.wrong("pipeline.name", "the name is empty");
                default.to_owned()
            }
            Some(name) => name,
            None => default.to_owned(),
        }
    }

    /// `None` if the option is not set, is -1, or is wrong.
    fn parallelism(&mut self, key: &str) -> Option<Parallelism> {
        self.entry(key)?;
        match self.int(key) {
            -1 => None,
            0 => {
                self.wrong(key, "at least 1 subtask is needed");
                None
            }
            n => usize::try_from(n).ok().and_then(Parallelism::new),
        }
    }

    fn max_parallelism(&mut self, parallelism: Parallelism) -> Option<MaxParallelism> {
        let key = "pipeline.max-parallelism";
        let number = match self.int(key) {
            -1 => return None,
            n => usize::try_from(n).ok().and_then(MaxParallelism::new),
        };
        match number {
            None => self.wrong(key, "at least 1 key group is needed"),
            Some(max) if max.get() < parallelism.get() => {
                self.wrong(key, &format!("{max} is less than the parallelism, which is {parallelism}"));
            }
            Some(_) => {}
        }
        number
    }

    fn buffer_timeout(&mut self) -> Duration {
        let key = "execution.buffer-timeout.interval";
        let text = self.text(key).unwrap_or_default().trim();
        let negative = text.strip_prefix('-').map(str::trim_start);
        if !self.bool("execution.buffer-timeout.enabled") || negative.is_some_and(|rest| parse_duration(rest) == parse_duration("1 ms")) {
            return FOR_EVER;
        }
        match parse_duration(text) {
            Ok(interval) => interval,
            Err(error) => {
                self.wrong(key, &error.to_string());
                FOR_EVER
            }
        }
    }

    fn checkpointing(&mut self, defaults: &Defaults) -> CheckpointSettings {
        let key = |name: &str| format!("execution.checkpointing.{name}");
        let (interval, timeout) = (self.duration(&key("interval")), self.duration(&key("timeout")));
        let min_pause = self.duration(&key("min-pause"));
        if !interval.is_zero() && interval < MIN_CHECKPOINT_TIME {
            self.wrong(&key("interval"), "the interval is at least 10 ms, or 0 for no periodic checkpoints");
        }
        if timeout < MIN_CHECKPOINT_TIME {
            self.wrong(&key("timeout"), "the timeout is at least 10 ms");
        }
        if min_pause > FOR_EVER {
            self.wrong(&key("min-pause"), "the pause is at most one year");
        }
        let storage_dir = self.directory(&key("dir"), defaults).unwrap_or_else(|| defaults.checkpoint_dir.clone());
        let savepoint_dir = self.directory(&key("savepoint-dir"), defaults).unwrap_or_else(|| defaults.savepoint_dir.clone());
        let storage = match STORAGES.get(self.storage()) {
            Some(&"jobmanager") => CheckpointStorage::JobManager,
            _ => CheckpointStorage::FileSystem(storage_dir),
        };
        if !self.bool(&key("create-subdir")) && matches!(&storage, CheckpointStorage::FileSystem(dir) if is_remote(dir)) {
            self.wrong(&key("create-subdir"), "an object store has no locks: checkpoints there lie in a directory of the job's id");
        }
        CheckpointSettings {
            // Flink: it makes no sense to take checkpoints more often than the pause between them allows.
            interval: (!interval.is_zero()).then(|| interval.max(min_pause)),
            backlog_interval: self.backlog_interval(interval),
            mode: match CHECKPOINTING_MODES.get(self.word(&key("mode"))) {
                Some(&"AT_LEAST_ONCE") => CheckpointingMode::AtLeastOnce,
                _ => CheckpointingMode::ExactlyOnce,
            },
            unaligned: self.unaligned(),
            interruptible_timers: self.bool("execution.checkpointing.unaligned.interruptible-timers.enabled"),
            timeout,
            min_pause,
            max_concurrent: self.count(&key("max-concurrent-checkpoints")),
            tolerable_failed: self.count(&key("tolerable-failed-checkpoints")),
            num_retained: self.count(&key("num-retained")),
            retention: match RETENTIONS.get(self.word(&key("externalized-checkpoint-retention"))) {
                Some(&"DELETE_ON_CANCELLATION") => Retention::DeleteOnCancellation,
                Some(&"RETAIN_ON_CANCELLATION") => Retention::RetainOnCancellation,
                _ => Retention::NoExternalized,
            },
            after_tasks_finish: self.bool(&key("checkpoints-after-tasks-finish")),
            incremental: self.bool(&key("incremental")),
            local_backup: self.bool(&key("local-backup.enabled")),
            local_backup_dir: self.local_backup_dir(defaults),
            storage,
            create_subdir: self.bool(&key("create-subdir")),
            sync_phase_timeout: Some(self.duration(&key("sync-phase-timeout"))).filter(|timeout| !timeout.is_zero()),
            pause_sources: self.bool("pipeline.sources.pause-until-first-checkpoint"),
            savepoint_dir: Some(savepoint_dir),
        }
    }

    /// The interval while a source works through a backlog.
    fn backlog_interval(&mut self, interval: Duration) -> Option<Duration> {
        let key = "execution.checkpointing.interval-during-backlog";
        self.entry(key)?;
        let during = self.duration(key);
        // Flink takes anything below its least interval for no checkpoints at all.
        if during < MIN_CHECKPOINT_TIME {
            return Some(Duration::ZERO);
        }
        if during < interval {
            self.wrong(key, "the interval during a backlog is at least the one without, or 0 for no periodic checkpoints meanwhile");
        }
        Some(during)
    }

    /// The first of the directories for copies: there is one process, and one copy.
    fn local_backup_dir(&mut self, defaults: &Defaults) -> Option<PathBuf> {
        let key = "execution.checkpointing.local-backup.dirs";
        let first = self.entry(key)?.value.as_str().split(',').next().unwrap_or_default();
        local_path(first, &defaults.directory).map_err(|message| self.wrong(key, &message)).ok()
    }

    /// The longest that barriers are aligned before what is on its way becomes part of the checkpoint; `None`: always aligned.
    fn unaligned(&mut self) -> Option<Duration> {
        let key = |name: &str| format!("execution.checkpointing.{name}");
        if !self.bool(&key("unaligned.enabled")) {
            return None;
        }
        if CHECKPOINTING_MODES.get(self.word(&key("mode"))) == Some(&"AT_LEAST_ONCE") {
            self.wrong(&key("unaligned.enabled"), "unaligned checkpoints need the mode EXACTLY_ONCE");
        }
        if self.count(&key("max-concurrent-checkpoints")) > 1 {
            self.wrong(&key("unaligned.enabled"), "unaligned checkpoints need max-concurrent-checkpoints = 1");
        }
        Some(self.duration(&key("aligned-checkpoint-timeout")))
    }

    fn recovery(&mut self, defaults: &Defaults) -> RecoverySettings {
        let key = |name: &str| format!("execution.state-recovery.{name}");
        let written = self.entry(&key("path")).map(|entry| entry.value.as_str());
        let path = match written {
            Some("latest") => Some("latest".to_owned()),
            Some(_) => self.directory(&key("path"), defaults).map(|path| path.display().to_string()),
            None => None,
        };
        let claim = match ClaimMode::WORDS.get(self.word(&key("claim-mode"))) {
            Some(&"CLAIM") => ClaimMode::Claim,
            _ => ClaimMode::NoClaim,
        };
        RecoverySettings { path, claim, ignore_unclaimed: self.bool(&key("ignore-unclaimed-state")) }
    }

    /// The position in [`STORAGES`] of the storage that is meant; the older names of backends mean one too.
    fn storage(&mut self) -> usize {
        let backend = BACKENDS.get(self.word("state.backend.type")).copied().unwrap_or_default();
        let meant = if matches!(backend, "jobmanager" | "MemoryStateBackend") { "jobmanager" } else { "filesystem" };
        let key = "execution.checkpointing.storage";
        let meant = STORAGES.iter().position(|storage| *storage == meant).unwrap_or_default();
        if self.entry(key).is_some() { self.word(key) } else { meant }
    }

    pub(super) fn directory(&mut self, key: &str, defaults: &Defaults) -> Option<PathBuf> {
        match location(self.entry(key)?.value.as_str(), &defaults.directory) {
            Ok(path) => Some(path),
            Err(message) => {
                self.wrong(key, &message);
                None
            }
        }
    }

    fn s3(&mut self) -> S3Settings {
        let text = |key: &str| self.entry(key).map(|entry| entry.value.as_str().trim().to_owned()).filter(|text| !text.is_empty());
        let settings = S3Settings {
            access_key: text("s3.access-key").map(Secret::new),
            secret_key: text("s3.secret-key").map(Secret::new),
            session_token: text("s3.session-token").map(Secret::new),
            endpoint: text("s3.endpoint"),
            region: text("s3.region"),
            path_style: self.entry("s3.path.style.access").map(|_| self.bool("s3.path.style.access")),
        };
        match (&settings.access_key, &settings.secret_key) {
            (Some(_), None) => self.wrong("s3.access-key", "s3.secret-key is missing; keys go in pairs"),
            (None, Some(_)) => self.wrong("s3.secret-key", "s3.access-key is missing; keys go in pairs"),
            _ => {}
        }
        settings
    }

    fn restart(&mut self, checkpointing: bool) -> RestartSettings {
        let strategy = "restart-strategy";
        let default = if checkpointing { "exponential-delay" } else { "none" };
        match self.text("restart-strategy.type").unwrap_or(default).trim().to_lowercase().as_str() {
            "fixed-delay" | "fixeddelay" => RestartSettings::FixedDelay {
                attempts: self.count32(&format!("{strategy}.fixed-delay.attempts")),
                delay: self.duration(&format!("{strategy}.fixed-delay.delay")),
            },
            "failure-rate" | "failurerate" => RestartSettings::FailureRate {
                max_failures: self.count32(&format!("{strategy}.failure-rate.max-failures-per-interval")),
                interval: self.duration(&format!("{strategy}.failure-rate.failure-rate-interval")),
                delay: self.duration(&format!("{strategy}.failure-rate.delay")),
            },
            "exponential-delay" | "exponentialdelay" => self.exponential_delay(),
            _ => RestartSettings::None,
        }
    }

    fn exponential_delay(&mut self) -> RestartSettings {
        let key = |name: &str| format!("restart-strategy.exponential-delay.{name}");
        let (initial, max) = (self.duration(&key("initial-backoff")), self.duration(&key("max-backoff")));
        let (multiplier, jitter) = (self.float(&key("backoff-multiplier")), self.float(&key("jitter-factor")));
        let attempts = self.text(&key("attempts-before-reset-backoff")).unwrap_or_default().trim();
        let attempts = if attempts.eq_ignore_ascii_case("infinite") { Ok(None) } else { attempts.parse::<u32>().map(Some) };
        if initial.is_zero() {
            self.wrong(&key("initial-backoff"), "the time is at least 1 ms");
        }
        if max < initial {
            let which = if self.entry(&key("max-backoff")).is_some() { "max-backoff" } else { "initial-backoff" };
            self.wrong(&key(which), "the longest time is shorter than the first one");
        }
        if !(multiplier.is_finite() && multiplier > 1.0) {
            self.wrong(&key("backoff-multiplier"), "the multiplier must be more than 1");
        }
        if !(0.0..=1.0).contains(&jitter) {
            self.wrong(&key("jitter-factor"), "the factor must be from 0 to 1");
        }
        if !matches!(attempts, Ok(None | Some(1..))) {
            self.wrong(&key("attempts-before-reset-backoff"), "expected a whole number from 1 on, or infinite");
        }
        let reset_threshold = self.duration(&key("reset-backoff-threshold"));
        RestartSettings::ExponentialDelay { initial, max, multiplier, reset_threshold, jitter, attempts: attempts.unwrap_or_default() }
    }
}

fn deciding<'a>(entries: &'a [Entry], key: &str) -> Option<&'a Entry> {
    let option = options::find(key)?;
    let rank = |entry: &&Entry| (entry.value.place().origin, entry.key == option.spec.key);
    entries.iter().filter(|entry| option.is_called(&entry.key) && !entry.value.is_broken()).max_by_key(rank)
}

/// Every option with its effective value as text; what came from the environment, and what is secret, is masked.
fn effective(entries: &[Entry], settings: &JobSettings) -> Vec<(String, String)> {
    let value = |option: &JobOption| {
        let key = option.spec.key;
        let shown = |text: &Text| if options::is_secret(key) { Secret::SHOWN.to_owned() } else { text.shown() };
        let written = deciding(entries, key).map(|entry| shown(&entry.value));
        let derived = || match (key, &settings.checkpointing.storage) {
            ("pipeline.name", _) => Some(settings.name.clone()),
            ("parallelism.default", _) => Some(settings.parallelism.to_string()),
            ("execution.checkpointing.dir", CheckpointStorage::FileSystem(dir)) => Some(dir.display().to_string()),
            ("execution.checkpointing.savepoint-dir", _) => {
                settings.checkpointing.savepoint_dir.as_ref().map(|dir| dir.display().to_string())
            }
            _ => option.spec.default.filter(|_| option.support == Support::Full).map(str::to_owned),
        };
        Some((key.to_owned(), written.or_else(derived)?))
    };
    let mut all: Vec<_> = options::all().filter_map(value).collect();
    all.sort();
    all
}

#[cfg(test)]
mod tests;
