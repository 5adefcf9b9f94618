//! What is wrong with a job file, and how that is shown: message, place, the line with carets under the offending text, help.
//! Problems are collected and reported all at once.

pub use crate::types::nearest;
use std::fmt;
use std::ops::Range;

/// Which text a place is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// The job file.
    File,
    /// The override with this position on the command line, shown as `-D key=value`.
    Flag(usize),
}

/// A range of bytes in the job file or in a flag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Which text.
    pub origin: Origin,
    /// The bytes in it.
    pub range: Range<usize>,
}

impl Place {
    /// A place in the job file.
    pub const fn file(range: Range<usize>) -> Self {
        Self { origin: Origin::File, range }
    }
}

/// Whether a job with this problem can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// It cannot.
    Error,
    /// It can.
    Warning,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where; `None` if it is not in one place.
    pub place: Option<Place>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// How bad it is.
    pub severity: Severity,
}

impl Problem {
    /// An error at a place.
    pub fn at(place: &Place, message: impl Into<String>) -> Self {
        Self { place: Some(place.clone()), message: message.into(), hint: None, severity: Severity::Error }
    }

    /// An error without a place.
    pub fn nowhere(message: impl Into<String>) -> Self {
        Self { place: None, message: message.into(), hint: None, severity: Severity::Error }
    }

    /// The same problem as a warning.
    #[must_use]
    pub fn warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    /// The same problem with help.
    #[must_use]
    pub fn help(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same problem with `did you mean "…"?` if one of `names` is near `wrong`.
    #[must_use]
    pub fn nearest<'n>(self, wrong: &str, names: impl IntoIterator<Item = &'n str>) -> Self {
        match nearest(wrong, names) {
            Some(name) => self.help(format!("did you mean \"{name}\"?")),
            None => self,
        }
    }
}

/// The texts that places point into.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Texts {
    /// The job file's name as it is shown.
    pub file_name: String,
    /// The job file.
    pub file: String,
    /// Each override as `-D key=value`.
    pub flags: Vec<String>,
}

impl Texts {
    /// Makes asterisks of a secret where it is written: what is wrong with its line may be shown all the same. What comes from the
    /// environment does not stand there.
    pub fn hide(&mut self, place: &Place, secret: &str) {
        let text = match place.origin {
            Origin::File => Some(&mut self.file),
            Origin::Flag(n) => self.flags.get_mut(n),
        };
        let Some(text) = text else { return };
        let Some(written) = text.get(place.range.clone()).filter(|_| !secret.is_empty()) else { return };
        let hidden = match written.find(secret) {
            Some(at) => place.range.start + at..place.range.start + at + secret.len(),
            None if written.contains("${") => return,
            // Written with escapes.
            None => place.range.clone(),
        };
        let stars = "*".repeat(hidden.len());
        text.replace_range(hidden, &stars);
    }
}

/// What is wrong with a job file, in the order of the file; `Display` shows all of it as plain text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems {
    texts: Texts,
    list: Vec<Problem>,
}

impl std::error::Error for Problems {}

impl Problems {
    /// Sorts `list` by place.
    pub fn new(texts: Texts, mut list: Vec<Problem>) -> Self {
        list.sort_by_key(|problem| match &problem.place {
            Some(place) => (0, place.origin, place.range.start),
            None => (1, Origin::File, 0),
        });
        list.dedup();
        Self { texts, list }
    }

    /// The problems, sorted by place.
    pub fn list(&self) -> &[Problem] {
        &self.list
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.list.iter().enumerate() {
            if index > 0 {
                f.write_str("\n\n")?;
            }
            self.texts.render(problem, f)?;
        }
        Ok(())
    }
}

/// The most characters of a line that are shown.
const SHOWN_CHARS: usize = 160;

impl Texts {
    fn render(&self, problem: &Problem, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match problem.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{word}: {}", problem.message)?;
        match &problem.place {
            Some(Place { origin: Origin::File, range }) => self.render_file(range, f)?,
            Some(Place { origin: Origin::Flag(index), range }) => self.render_flag(*index, range, f)?,
            None => {}
        }
        match &problem.hint {
            Some(hint) => write!(f, "\nhelp: {hint}"),
            None => Ok(()),
        }
    }

    fn render_file(&self, range: &Range<usize>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.file.as_str();
        let start = floor_boundary(text, range.start);
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let number = text[..start].matches('\n').count() + 1;
        let column = text[line_start..start].chars().count() + 1;
        write!(f, "\n --> {}:{number}:{column}", self.file_name)?;
        render_line(&number.to_string(), text, line_start, start..floor_boundary(text, range.end), f)
    }

    fn render_flag(&self, index: usize, range: &Range<usize>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.flags.get(index).map_or("", String::as_str);
        f.write_str("\n --> command line")?;
        render_line("", text, 0, floor_boundary(text, range.start)..floor_boundary(text, range.end), f)
    }
}

fn render_line(number: &str, text: &str, line_start: usize, range: Range<usize>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let line_end = text[line_start..].find('\n').map_or(text.len(), |at| line_start + at);
    let before = text[line_start..range.start].chars().count();
    let end = range.end.clamp(range.start, line_end.max(range.start));
    let carets = text[range.start..end].trim_end_matches('\r').chars().count().max(1);
    let line: Vec<char> = text[line_start..line_end].trim_end_matches('\r').chars().map(visible).collect();
    let first = if line.len() > SHOWN_CHARS { before.saturating_sub(SHOWN_CHARS / 3) } else { 0 };
    let last = line.len().min(first + SHOWN_CHARS);
    let carets = carets.min((last + 1).saturating_sub(before).max(1));
    let shown: String = line.get(first..last).unwrap_or_default().iter().collect();
    let margin = " ".repeat(number.len());
    write!(f, "\n{margin} |\n{number} | {}\n{margin} | {}{}", shown.trim_end(), " ".repeat(before - first), "^".repeat(carets))
}

/// A line must not move the cursor or colour the terminal.
fn visible(c: char) -> char {
    match c {
        '\t' => ' ',
        c if c.is_control() => '\u{fffd}',
        c => c,
    }
}

fn floor_boundary(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (0..=at).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(file: &str) -> Texts {
        Texts { file_name: "job.toml".to_owned(), file: file.to_owned(), flags: vec!["-D a.b=c".to_owned()] }
    }

    #[test]
    fn a_problem_shows_its_line_with_carets_under_the_text() {
        let problem = Problem::at(&Place::file(11..16), "\"value\" is wrong").help("write something else");
        let shown = Problems::new(texts("[a]\nkey = \"value\"\n"), vec![problem]).to_string();
        let expected =
            "error: \"value\" is wrong\n --> job.toml:2:8\n  |\n2 | key = \"value\"\n  |        ^^^^^\nhelp: write something else";
        assert_eq!(shown, expected);
    }

    #[test]
    fn problems_are_sorted_by_place_and_a_flag_comes_after_the_file() {
        let flag = Place { origin: Origin::Flag(0), range: 7..8 };
        let list = vec![
            Problem::nowhere("third"),
            Problem::at(&flag, "second").warning(),
            Problem::at(&Place::file(1..2), "first"),
            Problem::at(&Place::file(1..2), "first"),
        ];
        let shown = Problems::new(texts("ab"), list).to_string();
        let second = "warning: second\n --> command line\n |\n | -D a.b=c\n |        ^";
        assert_eq!(shown, format!("error: first\n --> job.toml:1:2\n  |\n1 | ab\n  |  ^\n\n{second}\n\nerror: third"));
    }

    #[test]
    fn long_lines_are_cut_and_control_characters_are_not_passed_on() {
        let file = format!("{}\u{1b}[31m{}", "x".repeat(500), "y".repeat(500));
        let shown = Problems::new(texts(&file), vec![Problem::at(&Place::file(500..2000), "m")]).to_string();
        assert!(shown.lines().all(|line| line.chars().count() < 200), "{shown}");
        assert!(!shown.contains('\u{1b}'));
    }

    #[test]
    fn places_outside_the_text_or_inside_a_character_do_not_panic() {
        for (start, end) in [(0, 0), (1, 2), (2, 9), (90, 100), (3, 1)] {
            let range = Range { start, end };
            let shown = Problems::new(texts("zü\nä"), vec![Problem::at(&Place::file(range), "m")]).to_string();
            assert!(shown.starts_with("error: m"));
        }
    }

    #[test]
    fn the_nearest_name_is_one_that_was_probably_meant() {
        let names = ["execution.checkpointing.interval", "execution.checkpointing.mode", "parallelism.default"];
        assert_eq!(nearest("execution.checkpointing.intervall", names), Some(names[0]));
        assert_eq!(nearest("checkpointing.mode", names), Some(names[1]));
        assert_eq!(nearest("PARALLELISM.DEFUALT", names), Some(names[2]));
        assert_eq!(nearest("colour", names), None);
    }
}
