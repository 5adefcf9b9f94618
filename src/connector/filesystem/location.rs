//! What a table's `path` means: a path on this machine.

use crate::types::OptionError;
use std::path::{Component, Path, PathBuf};

/// `file:///a`, `file:/a` → `/a`; a path without a scheme as it is.
pub(super) fn local_path(path: &str) -> Result<&str, OptionError> {
    if let Some(rest) = path.strip_prefix("file:") {
        let local = rest.strip_prefix("//").unwrap_or(rest);
        if local.starts_with('/') {
            return Ok(local);
        }
        return Err(OptionError::new("path", format!("\"{path}\" names another machine; a file URL begins with file:///")));
    }
    match path.split_once("://") {
        Some((scheme, _)) => Err(OptionError::new("path", format!("files are read from this machine alone, not from {scheme}:"))),
        None => Ok(path),
    }
}

/// The absolute path of the directory that `text` names; relative ones start at `directory`.
pub(super) fn directory_of(text: &str, directory: &Path) -> Result<PathBuf, OptionError> {
    let path = local_path(text)?;
    if path.is_empty() || path.contains('\0') {
        return Err(OptionError::new("path", format!("\"{text}\" is no path")));
    }
    // Without `.` and a trailing slash, so that one directory has one name.
    Ok(directory.join(path).components().filter(|part| *part != Component::CurDir).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_relative_to_the_job_and_a_file_url_is_a_path() {
        let resolved = |text: &str| directory_of(text, Path::new("/job")).map(|path| path.display().to_string());
        assert_eq!(resolved("out/").unwrap(), "/job/out");
        assert_eq!(resolved("./out").unwrap(), "/job/out");
        assert_eq!(resolved("/data/out").unwrap(), "/data/out");
        assert_eq!(resolved("file:///data/out").unwrap(), "/data/out");
        assert_eq!(resolved("file:/data/out").unwrap(), "/data/out");
        assert_eq!(resolved("12:30/out").unwrap(), "/job/12:30/out");
        for text in ["s3://bucket/out", "file://host/out", "", "file:", "a\0b"] {
            assert!(resolved(text).is_err(), "{text}");
        }
    }
}
