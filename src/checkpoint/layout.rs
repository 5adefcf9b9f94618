//! Where the files of checkpoints and savepoints lie, and how names become file names that cannot leave their directory.

use super::error::{CheckpointError, RestoreError};
use crate::storage::{LocationError, Storage, parse_location};
use crate::types::{CheckpointId, JobId, OperatorUid};
use std::fmt::Write as _;
use std::io;
use std::path::{Component, Path, PathBuf};
use xxhash_rust::xxh3::xxh3_64;

/// The name of the manifest: its presence makes the checkpoint.
pub const METADATA: &str = "_metadata";

/// How the paths of files begin that checkpoints of a job share: relative to the directory of a checkpoint, as all paths.
pub(super) const SHARED: &str = "../shared/";

/// Bytes of one escaped file name: file systems take 255, `.parquet` and a subtask's number are appended.
const NAME_BYTES: usize = 200;

/// `<base>/<job id>`
pub fn job_directory(base: &Path, job: JobId) -> PathBuf {
    base.join(job.to_string())
}

/// `<parent>/chk-<n>`
pub fn checkpoint_directory(parent: &Path, checkpoint: CheckpointId) -> PathBuf {
    parent.join(format!("chk-{checkpoint}"))
}

/// `<target>/savepoint-<first 6 of the job id>-<12 hex>`; `random` gives the 12 digits.
pub fn savepoint_directory(target: &Path, job: JobId, random: u64) -> PathBuf {
    let job = job.to_string();
    target.join(format!("savepoint-{}-{:012x}", &job[..6], random & 0xFFFF_FFFF_FFFF))
}

/// Makes `<parent>/{shared,taskowned,chk-<n>}`, where `parent` holds the checkpoints of one job, and returns the last. What an aborted
/// attempt of the same number left there is removed.
pub fn create_checkpoint_directory(storage: &dyn Storage, parent: &Path, checkpoint: CheckpointId) -> Result<PathBuf, CheckpointError> {
    let directory = checkpoint_directory(parent, checkpoint);
    let make = || {
        for name in ["shared", "taskowned"] {
            storage.create_dir_all(&parent.join(name))?;
        }
        if storage.entry(&directory)?.is_some() {
            storage.remove_dir_all(&directory)?;
        }
        storage.create_dir_all(&directory)
    };
    make().map_err(CheckpointError::io(format!("creating the directory of checkpoint {checkpoint}")))?;
    Ok(directory)
}

/// Makes a new savepoint directory below `target`. `random`: where the names start; one that exists is never used again.
pub fn create_savepoint_directory(storage: &dyn Storage, target: &Path, job: JobId, random: u64) -> Result<PathBuf, CheckpointError> {
    let failed = |source| CheckpointError::SavepointDirectory { target: target.to_owned(), source };
    for attempt in 0..10 {
        let directory = savepoint_directory(target, job, random.wrapping_add(attempt));
        if make_new(storage, &directory).map_err(failed)? {
            return Ok(directory);
        }
    }
    Err(failed(io::Error::new(io::ErrorKind::AlreadyExists, "ten random names were all taken")))
}

/// Makes the savepoint directory `directory`, whose name was chosen before anybody could be asked whether it is free.
pub fn claim_savepoint_directory(storage: &dyn Storage, directory: &Path) -> Result<(), CheckpointError> {
    let failed = |source| CheckpointError::SavepointDirectory { target: directory.to_owned(), source };
    if make_new(storage, directory).map_err(failed)? {
        return Ok(());
    }
    Err(failed(io::Error::new(io::ErrorKind::AlreadyExists, "the name is taken; try again")))
}

/// Makes a directory; false if it exists.
fn make_new(storage: &dyn Storage, directory: &Path) -> io::Result<bool> {
    if storage.entry(directory)?.is_some() {
        return Ok(false);
    }
    storage.create_dir_all(directory).map(|()| true)
}

/// The file in a job's checkpoint directory that names the savepoints with which it was to be stopped.
pub(super) const STOPS: &str = "stopped-with";

/// Bytes of that file: more is not read.
const STOPS_BYTES: u64 = 1 << 20;

/// Notes in `parent`, which holds the checkpoints of one job, that it is to be stopped with the savepoint `directory`. Once that is
/// complete, output is committed up to it and nothing older may be restored, even if the process dies before it can tell anybody.
pub fn note_stop(storage: &dyn Storage, parent: &Path, directory: &Path) -> Result<(), CheckpointError> {
    let mut noted = noted_stops(storage, parent);
    noted.push(directory.to_owned());
    let note = || {
        storage.create_dir_all(parent)?;
        let text: Vec<String> = noted.iter().map(|path| path.display().to_string()).collect();
        storage.write_atomic(&parent.join(STOPS), serde_json::to_string(&text)?.as_bytes())
    };
    note().map_err(CheckpointError::io("noting the savepoint of a stop"))
}

/// The savepoints that were noted in a job's checkpoint directory; they may not be there. None if the note cannot be read.
pub(super) fn noted_stops(storage: &dyn Storage, job_directory: &Path) -> Vec<PathBuf> {
    let bytes = storage.read(&job_directory.join(STOPS), STOPS_BYTES).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

/// The location that a person wrote: a path, a `file:` URL or one of an object store. Relative paths stay relative.
pub fn path_of_text(text: &str) -> Result<PathBuf, RestoreError> {
    parse_location(text).map_err(|error| match error {
        LocationError::Empty => RestoreError::NotFound(text.escape_default().to_string()),
        LocationError::Credentials => RestoreError::Location(error.to_string()),
        other => RestoreError::Location(format!("'{text}': {other}")),
    })
}

/// `<uid>/<state>/part-<subtask>.parquet`
pub(super) fn keyed_file(uid: &OperatorUid, state: &str, subtask: usize) -> String {
    // A keyed state called `operator` must not meet the directory of the operator states.
    let state = if state == "operator" { "%6Fperator".to_owned() } else { escape(state) };
    format!("{}/{state}/part-{subtask}.parquet", uid_directory(uid))
}

/// `<uid>/operator/<state>-<subtask>.parquet`
pub(super) fn operator_file(uid: &OperatorUid, state: &str, subtask: usize) -> String {
    format!("{}/operator/{}-{subtask}.parquet", uid_directory(uid), escape(state))
}

fn uid_directory(uid: &OperatorUid) -> String {
    let path = uid.as_str().split('/').map(escape).collect::<Vec<_>>().join("/");
    // `_metadata` and its temporary file are the manifest's names.
    match path.strip_prefix('_') {
        Some(rest) if path.starts_with(METADATA) => format!("%5F{rest}"),
        _ => path,
    }
}

/// One file name for any text, another one for any other text: letters, digits, `-`, `_` and `.` stay, other bytes become `%XX`.
fn escape(text: &str) -> String {
    match text {
        "" => return "%".to_owned(),
        "." => return "%2E".to_owned(),
        ".." => return "%2E%2E".to_owned(),
        _ => {}
    }
    let mut name = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.".contains(&byte) {
            name.push(byte as char);
        } else {
            // Writing to a String cannot fail.
            let _ = write!(name, "%{byte:02X}");
        }
    }
    if name.len() > NAME_BYTES {
        let cut = format!("{}%~{:016x}", &name[..NAME_BYTES - 18], xxh3_64(text.as_bytes()));
        return cut;
    }
    name
}

/// The file at `relative` below `directory`, or `None` if the path could lead out of it.
pub(super) fn below(directory: &Path, relative: &str) -> Option<PathBuf> {
    if relative.is_empty() || relative.contains(['\0', '\\']) {
        return None;
    }
    let path = Path::new(relative);
    let normal = path.components().all(|c| matches!(c, Component::Normal(_)));
    // `a//b` and `a/./b` have normal components only; they would make two names of one file.
    let canonical = path.components().collect::<PathBuf>().as_os_str() == path.as_os_str();
    (normal && canonical).then(|| directory.join(path))
}

/// `<uid>/store-<subtask>`
pub(super) fn store_directory(uid: &OperatorUid, subtask: usize) -> String {
    format!("{}/store-{subtask}", uid_directory(uid))
}

/// The file that a checkpoint in `directory` calls `relative`: below it, or in `shared/` beside it. `None` if the path leads anywhere
/// else.
pub(super) fn located(directory: &Path, relative: &str) -> Option<PathBuf> {
    match relative.strip_prefix(SHARED) {
        Some(name) if !name.contains('/') => below(&directory.parent()?.join("shared"), name),
        _ => below(directory, relative),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn uids_are_directories_and_nothing_in_them_is_special() {
        let file = |uid: &str, state: &str| keyed_file(&OperatorUid::new(uid), state, 3);
        assert_eq!(file("totals/group-aggregate-1", "groups"), "totals/group-aggregate-1/groups/part-3.parquet");
        assert_eq!(file("../../etc", "a/b"), "%2E%2E/%2E%2E/etc/a%2Fb/part-3.parquet");
        assert_eq!(file("/x\0", ""), "%/x%00/%/part-3.parquet");
        assert_eq!(file("_metadata", "operator"), "%5Fmetadata/%6Fperator/part-3.parquet");
        assert_eq!(operator_file(&OperatorUid::new("bids"), "splits", 0), "bids/operator/splits-0.parquet");
    }

    #[test]
    fn a_path_is_taken_with_or_without_its_scheme() {
        for text in ["/a/b", "file:/a/b", "file:///a/b", "file://localhost/a/b"] {
            assert_eq!(path_of_text(text).unwrap(), Path::new("/a/b"), "{text}");
        }
        assert_eq!(path_of_text("a/b").unwrap(), Path::new("a/b"));
        assert_eq!(path_of_text("s3a://bucket/a").unwrap(), Path::new("s3://bucket/a"));
        for text in ["gs://bucket/a", "hdfs://a", "file://host/a", "", "a\0b", "file:", "s3://"] {
            assert!(path_of_text(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn two_states_never_share_a_file_and_no_file_leaves_the_directory(
            a in "[a./_%\\PC]{0,12}", b in "[a./_%\\PC]{0,12}", s in "[a./_%\\PC]{0,8}", t in "[a./_%\\PC]{0,8}", long in 0usize..300,
        ) {
            let base = Path::new("/base");
            let (a, b) = (OperatorUid::new(a + &"l".repeat(long)), OperatorUid::new(b + &"l".repeat(long)));
            let files = [keyed_file(&a, &s, 0), keyed_file(&b, &t, 0), operator_file(&a, &s, 0), operator_file(&b, &t, 0)];
            for file in &files {
                let path = below(base, file);
                prop_assert!(path.is_some(), "{file}");
                prop_assert!(file.split('/').all(|name| name.len() <= 255), "{file}");
                prop_assert!(!file.starts_with(METADATA));
            }
            prop_assert_eq!(files[0] == files[1], a == b && s == t);
            prop_assert_eq!(files[2] == files[3], a == b && s == t);
            prop_assert!(files[0] != files[2] && files[0] != files[3] && files[1] != files[2]);
        }
    }

    #[test]
    fn paths_that_lead_out_of_the_directory_are_refused() {
        let base = Path::new("/base");
        for hostile in ["../x", "/etc/passwd", "a/../../x", "a//b", "./a", "a/.", "a/", "", "a\0", "..", "a\\..\\b"] {
            assert_eq!(below(base, hostile), None, "{hostile:?}");
        }
        assert_eq!(below(base, "a/b.parquet"), Some("/base/a/b.parquet".into()));
    }

    #[test]
    fn shared_files_lie_beside_the_checkpoint_and_nowhere_else() {
        let base = Path::new("/job/chk-3");
        assert_eq!(located(base, "../shared/x.sst.3"), Some("/job/shared/x.sst.3".into()));
        assert_eq!(located(base, "a/x"), Some("/job/chk-3/a/x".into()));
        for hostile in ["../shared/../x", "../shared/", "../shared/a/b", "../other/x", "../shared/..", "../../shared/x"] {
            assert_eq!(located(base, hostile), None, "{hostile:?}");
        }
    }
}
