//! Files that are generated and committed are those that the code would generate now.

use std::fs;
use std::path::Path;

/// With `UPDATE=1` in the environment the files are written instead.
#[test]
fn man_pages_and_completions_are_those_of_the_command_line() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let update = std::env::var_os("UPDATE").is_some();
    let generated = flink::cli::generate::files().unwrap();
    assert!(generated.len() > 8, "man pages or completions are missing");
    let mut stale = Vec::new();
    for (path, content) in &generated {
        let file = root.join(path);
        if fs::read(&file).ok().as_deref() != Some(content) {
            stale.push(path.display().to_string());
            if update {
                fs::create_dir_all(file.parent().unwrap()).unwrap();
                fs::write(&file, content).unwrap();
            }
        }
    }
    for dir in ["man", "completions"] {
        for entry in fs::read_dir(root.join(dir)).unwrap() {
            let path = entry.unwrap().path();
            if !generated.iter().any(|(p, _)| root.join(p) == path) {
                stale.push(format!("{} (nothing generates it)", path.display()));
            }
        }
    }
    assert!(update || stale.is_empty(), "not up to date: {}; UPDATE=1 cargo test --release --test it frame", stale.join(", "));
}

#[test]
fn every_command_has_a_man_page_and_hidden_ones_have_none() {
    let names: Vec<String> = flink::cli::generate::files().unwrap().into_iter().map(|(path, _)| path.display().to_string()).collect();
    for command in ["flink", "flink-run", "flink-savepoint", "flink-stop", "flink-cancel", "flink-list", "flink-checkpoint"] {
        assert!(names.contains(&format!("man/{command}.1")), "{command}");
    }
    assert!(!names.iter().any(|name| name.contains("generate")));
}
