//! What is wrong with a snapshot: which file, which row, what.

use std::fmt;
use std::path::PathBuf;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defect {
    /// The file.
    pub path: PathBuf,
    /// The first row that it is wrong with, from 1; `None`: the file as a whole.
    pub row: Option<u64>,
    /// What is wrong.
    pub what: String,
    /// How many more rows of the file have the same defect.
    pub more: u64,
}

/// Everything that is wrong, in the order of the files.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Defects {
    /// Each of them.
    pub list: Vec<Defect>,
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.path.display())?;
        if let Some(row) = self.row {
            write!(f, "row {row}: ")?;
        }
        f.write_str(&self.what)?;
        match self.more {
            0 => Ok(()),
            more => write!(f, " (and {more} more such row{})", if more == 1 { "" } else { "s" }),
        }
    }
}

impl fmt::Display for Defects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, defect) in self.list.iter().enumerate() {
            let line_end = if number > 0 { "\n" } else { "" };
            write!(f, "{line_end}{defect}")?;
        }
        Ok(())
    }
}

impl From<Defect> for Defects {
    fn from(defect: Defect) -> Self {
        Self { list: vec![defect] }
    }
}

/// The first row with a defect, and how many more there are.
#[derive(Debug, Clone, Default)]
pub(super) struct FirstRow {
    first: Option<(u64, String)>,
    more: u64,
}

impl FirstRow {
    /// Notes that `row` (from 0) is wrong.
    pub(super) fn note(&mut self, row: u64, what: impl FnOnce() -> String) {
        match self.first {
            Some(_) => self.more += 1,
            None => self.first = Some((row + 1, what())),
        }
    }

    /// What was noted of the file at `path`.
    pub(super) fn defect(self, path: PathBuf) -> Option<Defect> {
        let (row, what) = self.first?;
        Some(Defect { path, row: Some(row), what, more: self.more })
    }
}
