//! Programs with functions of their own, built with cargo as their reader would.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The directory of this package.
pub(crate) fn checkout() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Builds a package of the workspace beside the binary under test, with which it shares all that is compiled but its own files.
pub(crate) fn built(package: &str) -> PathBuf {
    // target/release/flink
    let profile = Path::new(env!("CARGO_BIN_EXE_flink")).parent().unwrap();
    let target = profile.parent().unwrap();
    let build = Command::new(env!("CARGO"))
        .args(["build", "--offline", "--package", package, "--target-dir"])
        .arg(target)
        .args(if profile.ends_with("release") { &["--release"][..] } else { &[] })
        .current_dir(checkout())
        .output()
        .unwrap();
    assert!(build.status.success(), "{}", String::from_utf8_lossy(&build.stderr));
    profile.join(package)
}
