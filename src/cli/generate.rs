//! `flink generate`: man pages and completions from the one definition of the command line. What is committed is compared by a test.

use super::args::Args;
use super::output::{CliError, Output};
use crate::error::ExitStatus;
use clap::CommandFactory;
use clap_complete::Shell;
use std::io;
use std::path::{Path, PathBuf};

/// Every generated file: its path below the project's directory, and its content.
pub fn files() -> io::Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut command = Args::command();
    command.build();
    let mut files = vec![man_page(&command, "flink")?];
    man_pages_below(&command, "flink", &mut files)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut Args::command(), "flink", &mut text);
        let name = match shell {
            Shell::Zsh => "_flink",
            Shell::Fish => "flink.fish",
            _ => "flink.bash",
        };
        files.push((Path::new("completions").join(name), text));
    }
    Ok(files)
}

/// `flink-state`, `flink-state-ls`, …
fn man_pages_below(command: &clap::Command, name: &str, files: &mut Vec<(PathBuf, Vec<u8>)>) -> io::Result<()> {
    for sub in command.get_subcommands().filter(|s| !s.is_hide_set()) {
        let name = format!("{name}-{}", sub.get_name());
        files.push(man_page(sub, &name)?);
        man_pages_below(sub, &name, files)?;
    }
    Ok(())
}

fn man_page(command: &clap::Command, name: &str) -> io::Result<(PathBuf, Vec<u8>)> {
    let mut text = Vec::new();
    clap_mangen::Man::new(command.clone()).title(name.to_uppercase()).render(&mut text)?;
    Ok((Path::new("man").join(format!("{name}.1")), text))
}

/// Writes them below `directory`.
pub fn generate(directory: &Path, output: &mut Output<'_>) -> Result<ExitStatus, CliError> {
    let failed =
        |path: &Path, e: &io::Error| CliError::new(ExitStatus::Failed, format!("could not write {}", path.display()), e.to_string());
    for (path, content) in files().map_err(|e| failed(directory, &e))? {
        let path = directory.join(path);
        let made = path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(&path, content));
        made.map_err(|e| failed(&path, &e))?;
        output.line(path.display().to_string());
    }
    Ok(ExitStatus::Done)
}
