//! Programs from PyPI that tests ask: a Python environment of its own below the target directory, made once. A test that needs one fails
//! where it cannot be made; it is never skipped.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The Python of an environment called `name` with these packages of PyPI (`moto[s3,server]==5.1.0` and the like). Programs that packages
/// bring lie beside it.
pub(crate) fn python(name: &str, packages: &[&str]) -> PathBuf {
    let base = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let environment = base.join(format!("python-{name}"));
    let program = environment.join("bin/python");
    // Tests and test processes that run side by side make it once: whoever comes second waits here.
    let lock = File::create(base.join(format!("python-{name}.lock"))).unwrap();
    lock.lock().unwrap();
    let wanted = packages.join("\n");
    let record = environment.join("packages");
    if fs::read_to_string(&record).is_ok_and(|made| made == wanted) {
        return program;
    }
    let _ = fs::remove_dir_all(&environment);
    let path = environment.to_str().unwrap();
    run(&["python3", "-m", "venv", path], "Debian has it in python3-venv; `make tools` installs it");
    let install = [program.to_str().unwrap(), "-m", "pip", "install", "-q", "--disable-pip-version-check", "--timeout", "60"];
    run(&[&install[..], packages].concat(), "these tests need PyPI once, or a mirror that pip is configured for");
    fs::write(record, wanted).unwrap();
    program
}

fn run(words: &[&str], next: &str) {
    let output = Command::new(words[0]).args(&words[1..]).stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|e| panic!("{} could not be started: {e}; {next}", words[0]));
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{words:?} failed: {}{}\n{next}", said(&output.stdout), said(&output.stderr));
}
