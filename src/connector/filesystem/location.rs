//! What a table's `path` means: a path on this machine.

use crate::types::OptionError;
use std::path::{Component, Path, PathBuf};

/// The absolute path that `text` names: a path, relative ones starting at `directory`, or a `file:` URL as Flink takes it
/// (`file:///a`, `file:/a`). Errors on URLs of other stores and hosts.
pub(in crate::connector) fn resolve(text: &str, directory: &Path) -> Result<PathBuf, OptionError> {
    let error = |message: String| Err(OptionError::new("path", message));
    let path = match text.split_once(':') {
        Some(("file", rest)) => match rest.strip_prefix("//") {
            None => rest,
            Some(local) if local.starts_with('/') => local,
            Some(_) => return error(format!("\"{text}\" names a host; write file:///… for a file of this machine")),
        },
        Some((scheme, rest)) if rest.starts_with("//") => {
            return error(format!("\"{scheme}\" is no file system that is supported; write a path or a file: URL"));
        }
        _ => text,
    };
    if path.is_empty() || path.contains('\0') {
        return error(format!("\"{text}\" is no path"));
    }
    // Without `.` and a trailing slash, so that one directory has one name.
    Ok(directory.join(path).components().filter(|part| *part != Component::CurDir).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_relative_to_the_job_and_a_file_url_is_a_path() {
        let resolved = |text: &str| resolve(text, Path::new("/job")).map(|path| path.display().to_string());
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
