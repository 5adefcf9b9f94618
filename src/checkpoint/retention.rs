//! Which checkpoints stay when a job ends (Flink: `externalized-checkpoint-retention`).

use super::manifest::SnapshotKind;
use super::settings::Retention;

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ending {
    /// By itself, or by `flink stop`.
    Finished,
    /// By `flink cancel`.
    Canceled,
    /// By a failure that no restart followed.
    Failed,
    /// Its process ends while the job is to be taken up again.
    Suspended,
}

/// Whether a checkpoint or savepoint goes when its job ends. Savepoints belong to the person who asked for them and always stay.
pub const fn is_discarded(retention: Retention, ending: Ending, kind: SnapshotKind) -> bool {
    if kind.is_savepoint() {
        return false;
    }
    match (retention, ending) {
        (Retention::NoExternalized, _) | (_, Ending::Finished) => true,
        (Retention::DeleteOnCancellation, Ending::Canceled | Ending::Suspended) => true,
        (Retention::DeleteOnCancellation, Ending::Failed) => false,
        (Retention::RetainOnCancellation, Ending::Canceled | Ending::Failed | Ending::Suspended) => false,
    }
}
