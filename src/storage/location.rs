//! Where a person says that things are: a path, a `file:` URL, or the URL of an object store. A location on an object store is a path, too:
//! `s3://bucket/a/b` has its parents, its file names and its text like any other, and [`super::RoutedStorage`] knows whose it is.

use std::path::{Component, Path, PathBuf};

/// A text that is no location.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LocationError {
    /// A file system that this version does not have.
    #[error("{0}: is not available in this version; use a path, a file: URL or an s3: URL")]
    Scheme(String),
    /// A `file:` URL of another machine.
    #[error("\"{0}\" would be a host; write file:///{0}…")]
    Host(String),
    /// Nothing, or nothing behind the scheme.
    #[error("the path is empty")]
    Empty,
    /// A URL without a bucket, or with one that cannot be a bucket's name.
    #[error("\"{0}\" is not the name of a bucket; write s3://bucket/path")]
    Bucket(String),
    /// Credentials in the URL. They are not repeated.
    #[error(
        "credentials do not belong into a URL: set s3.access-key and s3.secret-key, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment"
    )]
    Credentials,
    /// `.` and `..` name nothing in a bucket.
    #[error("\"{0}\" means nothing in a bucket")]
    Dots(String),
}

/// How the paths of objects begin.
const S3: &str = "s3:";

/// Schemes that mean S3: Flink's own, and those of its Hadoop and Presto file systems.
const S3_SCHEMES: [&str; 3] = ["s3", "s3a", "s3p"];

/// The location that a person wrote. Relative paths stay relative: [`absolute`] puts a directory in front.
pub fn parse_location(text: &str) -> Result<PathBuf, LocationError> {
    let text = text.trim();
    if text.is_empty() || text.contains('\0') {
        return Err(LocationError::Empty);
    }
    let Some((scheme, rest)) = text.split_once(':').filter(|(scheme, _)| is_scheme(scheme)) else { return Ok(PathBuf::from(text)) };
    let lower = scheme.to_ascii_lowercase();
    if S3_SCHEMES.contains(&lower.as_str()) {
        return object(rest);
    }
    if lower != "file" {
        return Err(LocationError::Scheme(scheme.to_owned()));
    }
    let path = match rest.strip_prefix("//") {
        Some(path) if path.starts_with('/') => path,
        Some(host) => match host.strip_prefix("localhost").filter(|path| path.starts_with('/')) {
            Some(path) => path,
            None => return Err(LocationError::Host(host.split('/').next().unwrap_or_default().to_owned())),
        },
        None => rest,
    };
    if path.is_empty() { Err(LocationError::Empty) } else { Ok(PathBuf::from(path)) }
}

/// RFC 3986; one letter alone is no scheme but part of a name.
fn is_scheme(text: &str) -> bool {
    text.len() > 1
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

/// `//bucket/a/b`, without empty names.
fn object(rest: &str) -> Result<PathBuf, LocationError> {
    let Some(rest) = rest.strip_prefix("//") else { return Err(LocationError::Bucket(rest.trim_matches('/').to_owned())) };
    let mut names = rest.split('/');
    let bucket = names.next().unwrap_or_default();
    if bucket.contains('@') {
        return Err(LocationError::Credentials);
    }
    if bucket.is_empty() || !bucket.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)) || bucket.starts_with('.') {
        return Err(LocationError::Bucket(bucket.to_owned()));
    }
    let mut path = format!("{S3}//{bucket}");
    for name in names.filter(|name| !name.is_empty()) {
        if name == "." || name == ".." {
            return Err(LocationError::Dots(name.to_owned()));
        }
        path.push('/');
        path.push_str(name);
    }
    Ok(PathBuf::from(path))
}

/// True for a location on an object store.
pub fn is_remote(path: &Path) -> bool {
    path.components().next() == Some(Component::Normal(S3.as_ref()))
}

/// The bucket of a location on an object store, and what is behind it.
pub(super) fn bucket_of(path: &Path) -> Option<&str> {
    let mut components = path.components();
    (components.next() == Some(Component::Normal(S3.as_ref()))).then_some(())?;
    components.next()?.as_os_str().to_str()
}

/// The root of a bucket's locations.
pub(super) fn bucket_root(bucket: &str) -> PathBuf {
    PathBuf::from(format!("{S3}//{bucket}"))
}

/// A location as it is meant: relative paths start at `directory`.
pub fn absolute(directory: &Path, location: &Path) -> PathBuf {
    if is_remote(location) { location.to_owned() } else { directory.join(location) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_taken_with_or_without_its_scheme() {
        for text in ["/a/b", "file:/a/b", "file:///a/b", "file://localhost/a/b", "FILE:/a/b"] {
            assert_eq!(parse_location(text).unwrap(), Path::new("/a/b"), "{text}");
        }
        assert_eq!(parse_location("a/b").unwrap(), Path::new("a/b"));
        assert_eq!(parse_location("c:x").unwrap(), Path::new("c:x"), "one letter is no scheme");
    }

    #[test]
    fn a_location_on_s3_is_a_path_that_keeps_its_text() {
        for text in ["s3://bucket/a/b", "s3a://bucket/a//b/", "S3P://bucket/a/b"] {
            let path = parse_location(text).unwrap();
            assert_eq!(path.to_str(), Some("s3://bucket/a/b"), "{text}");
            assert!(is_remote(&path) && bucket_of(&path) == Some("bucket"));
            assert_eq!(path.join("c").to_str(), Some("s3://bucket/a/b/c"));
            assert_eq!(path.parent().and_then(Path::to_str), Some("s3://bucket/a"));
            assert_eq!(absolute(Path::new("/work"), &path), path);
        }
        assert_eq!(parse_location("s3://bucket").unwrap().to_str(), Some("s3://bucket"));
        assert_eq!(absolute(Path::new("/work"), Path::new("a")), Path::new("/work/a"));
    }

    #[test]
    fn what_names_nothing_is_refused_by_its_name() {
        for (text, message) in [
            ("gs://bucket/a", "gs: is not available in this version; use a path, a file: URL or an s3: URL"),
            ("hdfs://host/a", "hdfs: is not available in this version; use a path, a file: URL or an s3: URL"),
            ("file://host/c", "\"host\" would be a host; write file:///host…"),
            ("file:", "the path is empty"),
            (" ", "the path is empty"),
            ("s3:bucket/a", "\"bucket/a\" is not the name of a bucket; write s3://bucket/path"),
            ("s3:///a", "\"\" is not the name of a bucket; write s3://bucket/path"),
            ("s3://a b/c", "\"a b\" is not the name of a bucket; write s3://bucket/path"),
            ("s3://bucket/../other", "\"..\" means nothing in a bucket"),
        ] {
            assert_eq!(parse_location(text).unwrap_err().to_string(), message, "{text}");
        }
        let error = parse_location("s3://key:hunter2@bucket/a").unwrap_err().to_string();
        assert!(!error.contains("hunter2") && error.contains("s3.secret-key"), "{error}");
    }
}
