//! Disposing of a savepoint: the directory goes, `_metadata` first, so that a half-deleted savepoint is none. And the reading of
//! a savepoint's address.

use crate::storage::Storage;
use crate::types::limits::METADATA_FILE;
use std::io;
use std::path::{Path, PathBuf};

/// A savepoint that is not disposed of.
#[derive(Debug, thiserror::Error)]
pub enum DisposalError {
    /// An address that is no local path.
    #[error("{0}: only local paths (with or without file:) can be used")]
    NotLocal(String),
    /// No savepoint is there.
    #[error("Cannot find checkpoint or savepoint file/directory '{0}'")]
    NotThere(String),
    /// Something is there, but no savepoint: nothing was deleted.
    #[error("'{0}' is no savepoint: its _metadata is not a savepoint's")]
    NoSavepoint(String),
    /// The files could not be removed.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// `file:///data/s`, `file:/data/s`, `/data/s`, `s` → a path.
pub fn local_path(text: &str) -> Result<PathBuf, DisposalError> {
    let path = match text.strip_prefix("file:") {
        Some(rest) => rest.strip_prefix("//").unwrap_or(rest),
        None if text.split_once("://").is_some_and(|(scheme, _)| !scheme.is_empty() && !scheme.contains('/')) => {
            return Err(DisposalError::NotLocal(text.to_owned()));
        }
        None => text,
    };
    Ok(PathBuf::from(path))
}

/// Removes the savepoint or checkpoint at `path` (its directory, or its `_metadata`).
pub fn dispose(storage: &dyn Storage, path: &Path) -> Result<(), DisposalError> {
    let dir = if path.file_name().is_some_and(|name| name == "_metadata") { path.parent().unwrap_or(path) } else { path };
    let shown = || dir.display().to_string();
    let metadata = dir.join("_metadata");
    if storage.entry(&metadata)?.is_none_or(|entry| entry.is_dir) {
        return Err(DisposalError::NotThere(shown()));
    }
    // Whatever else is called _metadata is not ours to delete.
    let bytes = storage.read(&metadata, METADATA_FILE.0)?;
    let object = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&bytes);
    if !object.is_ok_and(|o| o.contains_key("operators")) {
        return Err(DisposalError::NoSavepoint(shown()));
    }
    storage.remove(&metadata)?;
    storage.sync_dir(dir)?;
    storage.remove_dir_all(dir)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::LocalStorage;
    use std::fs;

    #[test]
    fn addresses_are_read_with_and_without_file() {
        for text in ["file:///data/s", "file:/data/s", "/data/s"] {
            assert_eq!(local_path(text).unwrap(), PathBuf::from("/data/s"));
        }
        assert_eq!(local_path("a/b").unwrap(), PathBuf::from("a/b"));
        assert!(local_path("s3://bucket/s").unwrap_err().to_string().contains("s3://bucket/s"));
    }

    #[test]
    fn only_a_savepoint_is_disposed_of() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("savepoint-1");
        assert!(matches!(dispose(&LocalStorage, &path).unwrap_err(), DisposalError::NotThere(_)));
        fs::create_dir_all(path.join("count/total")).unwrap();
        fs::write(path.join("_metadata"), "[]").unwrap();
        assert!(matches!(dispose(&LocalStorage, &path).unwrap_err(), DisposalError::NoSavepoint(_)));
        assert!(path.join("count/total").exists());
        fs::write(path.join("_metadata"), r#"{"operators": []}"#).unwrap();
        dispose(&LocalStorage, &path.join("_metadata")).unwrap();
        assert!(!path.exists() && dir.path().exists());
    }
}
