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
        (Retention::DeleteOnCancellation, ending) => !matches!(ending, Ending::Failed),
        (Retention::RetainOnCancellation, Ending::Canceled | Ending::Failed | Ending::Suspended) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checkpoints_stay_or_go_as_flinks_table_says() {
        use Ending::{Canceled, Failed, Finished, Suspended};
        let endings = [Finished, Canceled, Failed, Suspended];
        let table = [
            (Retention::NoExternalized, [true, true, true, true]),
            (Retention::DeleteOnCancellation, [true, true, false, true]),
            (Retention::RetainOnCancellation, [true, false, false, false]),
        ];
        for (retention, expected) in table {
            let found = endings.map(|ending| is_discarded(retention, ending, SnapshotKind::Checkpoint));
            assert_eq!(found, expected, "{retention:?}");
            for kind in [SnapshotKind::Savepoint, SnapshotKind::Stop, SnapshotKind::Drain] {
                assert!(endings.iter().all(|ending| !is_discarded(retention, *ending, kind)));
            }
        }
    }
}
