//! The directory in which stores of native checkpoints are opened: beside those of jobs, so that the next job clears away what a kill has
//! left; below the temporary directory if there is no such place. It goes with the command, also with one that is interrupted.

use crate::checkpoint::inspect::Snapshot;
use crate::cli::surroundings::Surroundings;
use crate::error::ExitStatus;
use crate::storage::{LocalStorage, Storage};
use crate::types::JobId;
use std::path::PathBuf;
use tokio::signal::unix::{SignalKind, signal};

/// The snapshot, ready for its rows to be read.
pub(super) fn with_scratch(snapshot: Snapshot, surroundings: &Surroundings) -> Snapshot {
    if snapshot.manifest().operators.iter().all(|operator| operator.stores.is_empty()) {
        return snapshot;
    }
    // The name of a directory that belongs to a job: whoever clears away those of dead processes goes by that.
    let directory = base(surroundings).join(JobId::from_u128(rand::random()).to_string());
    remove_when_interrupted(directory.clone());
    snapshot.with_working_directory(directory)
}

fn base(surroundings: &Surroundings) -> PathBuf {
    let own = surroundings.registry().ok().map(|registry| registry.places().checkpoints().with_file_name("local"));
    let temporary = || surroundings.variable("TMPDIR").map_or_else(|| PathBuf::from("/tmp"), PathBuf::from).join("flink-state");
    own.filter(|path| LocalStorage.create_dir_all(path).is_ok()).unwrap_or_else(temporary)
}

/// Removes `directory` and ends the process when somebody interrupts it. Without it the command is ended by the signal, as any other, and
/// the directory stays until the next job.
fn remove_when_interrupted(directory: PathBuf) {
    let waiting = move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
        runtime.block_on(async {
            let (Ok(mut interrupted), Ok(mut terminated)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) else {
                return;
            };
            tokio::select! {
                _ = interrupted.recv() => {}
                _ = terminated.recv() => {}
            }
            // What is being made at this moment is cleared away by the next job.
            let _ = LocalStorage.remove_dir_all(&directory);
            std::process::exit(ExitStatus::Interrupted as i32);
        });
    };
    // The thread waits for a signal and ends with the process.
    drop(std::thread::Builder::new().name("interrupt".to_owned()).spawn(waiting));
}
