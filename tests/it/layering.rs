//! The order of the house: imports lead downwards, files say what they are for and stay readable.

use std::fs;
use std::path::{Path, PathBuf};

/// Every folder (or file) below `src/` with its rank, times ten: `job` lies on `sql` and `script` on `operator` within their
/// rank. `testing` is for tests and may see
/// everything.
const RANKS: &[(&str, u8)] = &[
    ("types", 0),
    ("error", 0),
    ("format", 10),
    ("expr", 10),
    ("storage", 10),
    ("metrics", 10),
    ("state", 20),
    ("operator", 30),
    ("connector", 30),
    ("script", 31),
    ("checkpoint", 30),
    ("sql", 40),
    ("job", 41),
    ("runtime", 50),
    ("rest", 60),
    ("cli", 70),
    ("lib", 80),
    ("bin", 80),
];

/// Lines of a file without its tests.
const LONGEST_FILE: usize = 800;

fn rank(name: &str) -> Option<u8> {
    RANKS.iter().find(|(n, _)| *n == name).map(|(_, rank)| *rank)
}

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// Every source file: its path below `src/`, and its text.
fn files() -> Vec<(PathBuf, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    sources(&src, &mut found);
    found.sort();
    found.into_iter().map(|p| (p.strip_prefix(&src).unwrap().to_owned(), fs::read_to_string(&p).unwrap())).collect()
}

/// The first part of a path below `src/`, without `.rs`.
fn module_of(path: &Path) -> String {
    path.components().next().map(|c| c.as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned()).unwrap_or_default()
}

/// Files that hold tests only.
fn is_test_file(path: &Path) -> bool {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    module_of(path) == "testing"
        || ["tests", "_tests", "testing"].iter().any(|end| stem.ends_with(end))
        || path.iter().any(|part| part == "tests")
}

/// The file without its test module at the end, and without comments.
fn code(text: &str) -> impl Iterator<Item = &str> {
    let end = text.find("#[cfg(test)]\nmod ").unwrap_or(text.len());
    text[..end].lines().filter(|line| !line.trim_start().starts_with("//"))
}

/// The modules of this crate that a line names: `crate::types::…`, `crate::{types, state}`.
fn named_modules(line: &str) -> Vec<&str> {
    let words = |text: &'static str| line.match_indices(text).map(move |(at, _)| &line[at + text.len()..]).collect::<Vec<_>>();
    let mut found = Vec::new();
    for rest in words("crate::") {
        match rest.strip_prefix('{') {
            Some(list) => found.extend(list.split([',', '}']).map(str::trim)),
            None => found.push(rest),
        }
    }
    let word = |text: &str| text.find(|c: char| !(c.is_ascii_lowercase() || c == '_')).unwrap_or(text.len());
    found.into_iter().map(|text| &text[..word(text)]).collect()
}

#[test]
fn a_module_imports_only_from_lower_ranks() {
    let mut wrong = Vec::new();
    let mut imports = 0;
    for (path, text) in files().iter().filter(|(path, _)| !is_test_file(path)) {
        let module = module_of(path);
        let own = rank(&module).unwrap_or_else(|| panic!("src/{module} has no rank: give it one in tests/it/layering.rs and in lib.rs"));
        for line in code(text) {
            for named in named_modules(line) {
                imports += 1;
                match rank(named) {
                    Some(rank) if rank < own || named == module => {}
                    Some(_) => wrong.push(format!("src/{}: {}", path.display(), line.trim())),
                    None if named == "testing" => wrong.push(format!("src/{}: testing is for tests: {}", path.display(), line.trim())),
                    None => {}
                }
            }
        }
    }
    assert!(imports > 100, "only {imports} imports were seen: the search is broken");
    assert!(wrong.is_empty(), "imports that do not lead downwards:\n{}", wrong.join("\n"));
}

#[test]
fn every_file_says_what_it_is_for() {
    let silent: Vec<String> =
        files().iter().filter(|(_, text)| !text.starts_with("//! ")).map(|(path, _)| path.display().to_string()).collect();
    assert!(silent.is_empty(), "files without a //! head: {}", silent.join(", "));
    let unfinished: Vec<String> =
        files().iter().filter(|(_, text)| text.starts_with("//! Being built")).map(|(path, _)| path.display().to_string()).collect();
    assert!(unfinished.is_empty(), "files without content: {}", unfinished.join(", "));
}

#[test]
fn no_file_is_longer_than_can_be_read() {
    let mut long = Vec::new();
    for (path, text) in files().iter().filter(|(path, _)| !is_test_file(path)) {
        let end = text.find("#[cfg(test)]\nmod ").unwrap_or(text.len());
        let lines = text[..end].lines().count();
        if lines > LONGEST_FILE {
            long.push(format!("src/{} ({lines})", path.display()));
        }
    }
    assert!(long.is_empty(), "longer than {LONGEST_FILE} lines without tests: {}", long.join(", "));
}

#[test]
fn names_are_found_in_paths_and_in_lists() {
    assert_eq!(named_modules("use crate::types::{A, B};"), ["types"]);
    assert_eq!(named_modules("use crate::{error::X, state, types::Y};"), ["error", "state", "types", ""]);
    assert_eq!(named_modules("let x = crate::runtime::f(crate::rest::g());"), ["runtime", "rest"]);
    assert!(named_modules("pub(crate) fn f() {}").is_empty());
}
