//! Which files there are: a path, a directory or a pattern, expanded through the storage.

use super::super::location::local_path;
use crate::storage::{Entry, Storage};
use crate::types::{OptionError, limits};
use glob::{MatchOptions, Pattern};
use regex::Regex;
use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path, PathBuf};

/// What a component of a path must match.
#[derive(Debug, Clone)]
enum Step {
    /// `**`: any number of directories.
    Deep,
    /// A name, or a pattern for names; and whether it asks for hidden names itself.
    Name(Pattern, bool),
}

/// `path` and `source.path.regex-pattern`, read.
#[derive(Debug, Clone)]
pub(super) struct FilePattern {
    /// The path as it was written, made absolute.
    whole: PathBuf,
    /// The part of it without a pattern.
    base: PathBuf,
    /// What stands behind `base`; empty if there is no pattern.
    steps: Vec<Step>,
    regex: Option<Regex>,
}

/// As a shell matches: `*` stops at slashes and leaves names out that begin with a dot.
const MATCHING: MatchOptions = MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

impl FilePattern {
    /// Reads the two options. Relative paths start at `directory`. Errors on a scheme other than `file`, a pattern or a regular
    /// expression that is none.
    pub(super) fn parse(path: &str, regex: Option<&str>, directory: &Path) -> Result<Self, OptionError> {
        let local = local_path(path.trim())?;
        if local.is_empty() {
            return Err(OptionError::new("path", "the path is empty"));
        }
        let whole: PathBuf = directory.join(local).components().collect();
        let has_pattern = |c: &Component<'_>| c.as_os_str().to_string_lossy().contains(['*', '?', '[']);
        let components: Vec<Component<'_>> = whole.components().collect();
        let first = components.iter().position(has_pattern).unwrap_or(components.len());
        let (base, rest) = components.split_at(first);
        let steps = rest.iter().map(step).collect::<Result<_, _>>()?;
        let regex = regex.map(|text| Regex::new(&format!("^(?:{text})$"))).transpose();
        let regex = regex.map_err(|e| OptionError::new("source.path.regex-pattern", e.to_string()))?;
        Ok(Self { base: base.iter().collect(), steps, regex, whole })
    }

    /// All files there are now, sorted by path. Nothing at the place is an empty answer, not an error.
    pub(super) fn files(&self, storage: &dyn Storage) -> io::Result<Vec<Entry>> {
        let mut found = BTreeMap::new();
        match storage.entry(&self.whole)? {
            // What exists under this very name is meant, even if the name looks like a pattern.
            Some(entry) => collect(storage, entry, 0, &mut found)?,
            None if !self.steps.is_empty() => expand(storage, &self.base, &self.steps, 0, &mut found)?,
            None => {}
        }
        let matches = |entry: &Entry| self.regex.as_ref().is_none_or(|regex| regex.is_match(&entry.path.to_string_lossy()));
        Ok(found.into_values().filter(matches).collect())
    }

    /// The path, absolute.
    pub(super) fn path(&self) -> &Path {
        &self.whole
    }
}

fn step(component: &Component<'_>) -> Result<Step, OptionError> {
    let text = component.as_os_str().to_string_lossy();
    if text == "**" {
        return Ok(Step::Deep);
    }
    let pattern = Pattern::new(&text).map_err(|e| OptionError::new("path", format!("\"{text}\": {e}")))?;
    Ok(Step::Name(pattern, text.starts_with(['.', '_'])))
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Flink leaves such files out: `_SUCCESS`, `.part-0.inprogress`.
fn is_hidden(path: &Path) -> bool {
    name_of(path).starts_with(['.', '_'])
}

fn too_deep(path: &Path) -> io::Error {
    let message = format!("{}: more than {} directories deep (a circle of links?)", path.display(), limits::DIRECTORY_DEPTH);
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

/// What lies in `dir`; nothing if it is no directory, or one that has gone.
fn list(storage: &dyn Storage, dir: &Path) -> io::Result<Vec<Entry>> {
    match storage.list(dir) {
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(Vec::new()),
        other => other,
    }
}

/// `entry` itself if it is a file, else all files below it that are not hidden.
fn collect(storage: &dyn Storage, entry: Entry, depth: usize, found: &mut BTreeMap<PathBuf, Entry>) -> io::Result<()> {
    if !entry.is_dir {
        found.insert(entry.path.clone(), entry);
        return Ok(());
    }
    if depth > limits::DIRECTORY_DEPTH {
        return Err(too_deep(&entry.path));
    }
    for below in list(storage, &entry.path)? {
        if !is_hidden(&below.path) {
            collect(storage, below, depth + 1, found)?;
        }
    }
    Ok(())
}

/// The files below `dir` that `steps` lead to.
fn expand(storage: &dyn Storage, dir: &Path, steps: &[Step], depth: usize, found: &mut BTreeMap<PathBuf, Entry>) -> io::Result<()> {
    if depth > limits::DIRECTORY_DEPTH {
        return Err(too_deep(dir));
    }
    let Some((first, rest)) = steps.split_first() else { return Ok(()) };
    if let Step::Deep = first {
        expand(storage, dir, rest, depth + 1, found)?;
    }
    for entry in list(storage, dir)? {
        match first {
            Step::Deep if is_hidden(&entry.path) => {}
            Step::Deep if rest.is_empty() => collect(storage, entry, depth + 1, found)?,
            Step::Deep if entry.is_dir => expand(storage, &entry.path, steps, depth + 1, found)?,
            Step::Deep => {}
            Step::Name(pattern, hidden) => {
                let matches = pattern.matches_with(&name_of(&entry.path), MATCHING) && (*hidden || !is_hidden(&entry.path));
                match (matches, rest.is_empty()) {
                    (true, true) => collect(storage, entry, depth + 1, found)?,
                    (true, false) => expand(storage, &entry.path, rest, depth + 1, found)?,
                    (false, _) => {}
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::LocalStorage;

    fn tree() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for file in ["a.json", "b.csv", "_SUCCESS", ".b.json", "d1/a.json", "d1/_x/a.json", "d1/d2/c.json", "d3/a.json"] {
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        }
        dir
    }

    fn names(dir: &Path, path: &str, regex: Option<&str>) -> Vec<String> {
        let files = FilePattern::parse(path, regex, dir).unwrap().files(&LocalStorage).unwrap();
        files.iter().map(|f| f.path.strip_prefix(dir).unwrap().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn a_file_a_directory_and_a_pattern_name_files_in_the_order_of_their_paths() {
        let dir = tree();
        let names = |path: &str| names(dir.path(), path, None);
        assert_eq!(names("a.json"), ["a.json"]);
        assert_eq!(names("."), ["a.json", "b.csv", "d1/a.json", "d1/d2/c.json", "d3/a.json"]);
        assert_eq!(names("d1/"), ["d1/a.json", "d1/d2/c.json"]);
        assert_eq!(names("*.json"), ["a.json"]);
        assert_eq!(names("d?/a.*"), ["d1/a.json", "d3/a.json"]);
        assert_eq!(names("d[13]"), ["d1/a.json", "d1/d2/c.json", "d3/a.json"]);
        assert_eq!(names("**/c.json"), ["d1/d2/c.json"]);
        assert_eq!(names("**/*.json"), ["a.json", "d1/a.json", "d1/d2/c.json", "d3/a.json"]);
        assert_eq!(names("_*"), ["_SUCCESS"]);
        assert_eq!(names("absent/*.json"), Vec::<String>::new());
        assert_eq!(names(&format!("file://{}/d3", dir.path().display())), ["d3/a.json"]);
    }

    #[test]
    fn a_file_whose_name_looks_like_a_pattern_is_read_by_its_name() {
        let dir = tree();
        std::fs::write(dir.path().join("x[1].json"), "x").unwrap();
        assert_eq!(names(dir.path(), "x[1].json", None), ["x[1].json"]);
    }

    #[test]
    fn the_regular_expression_is_matched_against_the_whole_path() {
        let dir = tree();
        assert_eq!(names(dir.path(), ".", Some(r".*/d\d/a\.json")), ["d1/a.json", "d3/a.json"]);
        assert_eq!(names(dir.path(), ".", Some("a")), Vec::<String>::new());
    }

    #[test]
    fn other_machines_and_broken_patterns_are_refused() {
        let refused = |path: &str, regex: Option<&str>| FilePattern::parse(path, regex, Path::new("/")).unwrap_err().to_string();
        assert_eq!(refused("s3://bucket/x", None), "path: files are read from this machine alone, not from s3:");
        assert!(refused("file://host/x", None).contains("another machine"));
        assert!(refused("a[b/x", None).contains("a[b"));
        assert!(refused("", None).contains("empty"));
        assert!(refused("x", Some("(")).starts_with("source.path.regex-pattern: "));
    }

    #[test]
    fn a_circle_of_links_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(dir.path(), dir.path().join("loop")).unwrap();
        let pattern = FilePattern::parse(".", None, dir.path()).unwrap();
        let error = pattern.files(&LocalStorage).unwrap_err().to_string();
        assert!(error.contains("circle of links") || error.contains("symbolic links"), "{error}");
    }
}
