//! Values of a job file as text that remembers where each byte of it was written: through TOML's escapes and `${NAME}`.

use super::problem::{Origin, Place, Problem};
use std::ops::Range;

/// A text, where it was written, and what of it came from the environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    value: String,
    place: Place,
    pieces: Vec<Piece>,
    secrets: Vec<Secret>,
    broken: bool,
}

/// Bytes of the value and the bytes of the origin that they were written as.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Piece {
    value: Range<usize>,
    origin: Range<usize>,
    /// True if byte i of one is byte i of the other.
    linear: bool,
}

/// A part of the value that came from the environment.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Secret {
    value: String,
    /// `${NAME}`
    reference: String,
}

impl Text {
    /// A string in the job file: `raw` is `file[range]` with its quotes, `value` what TOML makes of it.
    pub fn toml_string(value: &str, raw: &str, range: Range<usize>) -> Self {
        let whole = || vec![Piece { value: 0..value.len(), origin: range.clone(), linear: false }];
        let pieces = align(value, raw, range.start).unwrap_or_else(whole);
        Self { value: value.to_owned(), place: Place::file(range), pieces, secrets: Vec::new(), broken: false }
    }

    /// A value that is no text, a problem with which has been reported.
    pub fn broken(range: Range<usize>) -> Self {
        Self { value: String::new(), place: Place::file(range), pieces: Vec::new(), secrets: Vec::new(), broken: true }
    }

    /// True if a problem with the text as such has been reported: what it would mean does not matter.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// A number or boolean in the job file.
    pub fn toml_scalar(value: String, range: Range<usize>) -> Self {
        let pieces = vec![Piece { value: 0..value.len(), origin: range.clone(), linear: false }];
        Self { value, place: Place::file(range), pieces, secrets: Vec::new(), broken: false }
    }

    /// The value of a flag, which starts at byte `start` of what is shown of it.
    pub fn flag(index: usize, value: &str, start: usize) -> Self {
        let range = start..start + value.len();
        let pieces = vec![Piece { value: 0..value.len(), origin: range.clone(), linear: true }];
        let place = Place { origin: Origin::Flag(index), range };
        Self { value: value.to_owned(), place, pieces, secrets: Vec::new(), broken: false }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.value
    }

    /// Where all of it stands, quotes included.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Where these bytes of it stand.
    pub fn place_of(&self, range: Range<usize>) -> Place {
        let start = self.origin_of(range.start, false);
        let end = if range.end > range.start { self.origin_of(range.end - 1, true) } else { start };
        Place { origin: self.place.origin, range: start..end.max(start) }
    }

    /// Where the byte `at` was written; with `behind`, the end of what it was written as.
    fn origin_of(&self, at: usize, behind: bool) -> usize {
        let found = self.pieces.iter().find(|piece| piece.value.contains(&at));
        match found.or(self.pieces.last()) {
            Some(piece) if piece.linear || at >= piece.value.end => {
                let offset = at.saturating_sub(piece.value.start);
                (piece.origin.start + offset + usize::from(behind)).min(piece.origin.end)
            }
            Some(piece) if behind => piece.origin.end,
            Some(piece) => piece.origin.start,
            None => self.place.range.start,
        }
    }

    /// The text with `${NAME}` for what came from the environment: what may be shown.
    pub fn shown(&self) -> String {
        self.mask(&self.value)
    }

    /// A message about this text without what came from the environment.
    pub fn mask(&self, message: &str) -> String {
        let mut masked = message.to_owned();
        for secret in self.secrets.iter().filter(|secret| !secret.value.is_empty()) {
            masked = masked.replace(&secret.value, &secret.reference);
        }
        masked
    }

    /// Replaces `${NAME}` and `${NAME:-default}` by what `environment` says; `$${` stands for `${`. A name that is not defined
    /// and has no default is a problem.
    #[must_use]
    pub fn expand(self, environment: &dyn Fn(&str) -> Option<String>, problems: &mut Vec<Problem>) -> Self {
        if !self.value.contains("${") {
            return self;
        }
        let mut out = Self { value: String::new(), place: self.place.clone(), pieces: Vec::new(), secrets: Vec::new(), broken: false };
        let before = problems.len();
        let mut at = 0;
        while let Some(found) = self.value[at..].find("${").map(|offset| at + offset) {
            if self.value[at..found].ends_with('$') {
                out.copy(&self, at..found - 1);
                out.copy(&self, found..found + 2);
                at = found + 2;
                continue;
            }
            out.copy(&self, at..found);
            let Some(end) = self.value[found..].find('}').map(|offset| found + offset) else {
                let place = self.place_of(found..self.value.len());
                problems.push(Problem::at(&place, "\"${\" is not closed").help("write \"$${\" for a literal \"${\""));
                out.broken = true;
                return out;
            };
            out.substitute(&self, found..end + 1, environment, problems);
            at = end + 1;
        }
        out.copy(&self, at..self.value.len());
        out.broken = problems.len() > before;
        out
    }

    fn substitute(
        &mut self,
        from: &Self,
        reference: Range<usize>,
        environment: &dyn Fn(&str) -> Option<String>,
        problems: &mut Vec<Problem>,
    ) {
        let inside = reference.start + 2..reference.end - 1;
        let written = &from.value[inside.clone()];
        let (name, default) = match written.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (written, None),
        };
        let place = from.place_of(reference.clone());
        if !is_name(name) {
            let problem = Problem::at(&place, format!("\"{name}\" cannot be the name of an environment variable"));
            problems.push(problem.help("write \"$${\" for a literal \"${\""));
        } else if let Some(value) = environment(name) {
            let start = self.value.len();
            self.value.push_str(&value);
            self.pieces.push(Piece { value: start..self.value.len(), origin: place.range, linear: false });
            self.secrets.push(Secret { value, reference: format!("${{{name}}}") });
        } else if let Some(default) = default {
            self.copy(from, inside.end - default.len()..inside.end);
        } else {
            let problem = Problem::at(&place, format!("the environment variable {name} is not set"));
            problems.push(problem.help(format!("set it, or give a default: \"${{{name}:-default}}\"")));
        }
    }

    /// Appends these bytes of another text of the same origin.
    fn copy(&mut self, from: &Self, range: Range<usize>) {
        for piece in &from.pieces {
            let (start, end) = (piece.value.start.max(range.start), piece.value.end.min(range.end));
            if start >= end {
                continue;
            }
            let origin = if piece.linear {
                piece.origin.start + (start - piece.value.start)..piece.origin.start + (end - piece.value.start)
            } else {
                piece.origin.clone()
            };
            let at = self.value.len() + (start - range.start);
            self.pieces.push(Piece { value: at..at + (end - start), origin, linear: piece.linear });
        }
        self.value.push_str(&from.value[range]);
    }
}

fn is_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_') && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Finds for each byte of a TOML string's value where it stands in `raw`, the string with its quotes, which starts at `base`.
/// `None` if the two do not belong together.
fn align(value: &str, raw: &str, base: usize) -> Option<Vec<Piece>> {
    let (quote, escapes) = ["\"\"\"", "'''", "\"", "'"].into_iter().find(|q| raw.starts_with(q)).map(|q| (q, q.starts_with('"')))?;
    let body = raw.get(quote.len()..raw.len().checked_sub(quote.len())?)?;
    let mut cursor = Cursor { body, at: 0 };
    if quote.len() == 3 && !cursor.eat("\r\n") {
        cursor.eat("\n");
    }
    let mut pieces: Vec<Piece> = Vec::new();
    for (at, c) in value.char_indices() {
        if escapes && quote.len() == 3 {
            cursor.skip_continuations();
        }
        let start = cursor.at;
        let linear = if escapes && cursor.rest().starts_with('\\') {
            cursor.skip_escape()?;
            false
        } else if c == '\n' && cursor.eat("\r\n") {
            false
        } else {
            cursor.eat(c.encode_utf8(&mut [0; 4])).then_some(true)?
        };
        let origin = base + quote.len() + start..base + quote.len() + cursor.at;
        let end = at + c.len_utf8();
        match pieces.last_mut() {
            Some(last) if linear && last.linear && last.origin.end == origin.start => {
                last.value.end = end;
                last.origin.end = origin.end;
            }
            _ => pieces.push(Piece { value: at..end, origin, linear }),
        }
    }
    Some(pieces)
}

struct Cursor<'a> {
    body: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    fn rest(&self) -> &'a str {
        &self.body[self.at..]
    }

    fn eat(&mut self, text: &str) -> bool {
        let found = self.rest().starts_with(text);
        self.at += if found { text.len() } else { 0 };
        found
    }

    /// A backslash at the end of a line takes the line end and all white space behind it away.
    fn skip_continuations(&mut self) {
        while let Some(rest) = self.rest().strip_prefix('\\') {
            let spaces = rest.trim_start_matches([' ', '\t']);
            if !(spaces.starts_with('\n') || spaces.starts_with("\r\n")) {
                return;
            }
            self.at = self.body.len() - spaces.trim_start_matches([' ', '\t', '\r', '\n']).len();
        }
    }

    fn skip_escape(&mut self) -> Option<()> {
        let kind = self.rest().chars().nth(1)?;
        let digits = match kind {
            'x' => 2,
            'u' => 4,
            'U' => 8,
            _ => 0,
        };
        self.at += 1 + kind.len_utf8() + digits;
        self.body.is_char_boundary(self.at).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text of `key` in a TOML document, and the document.
    fn text_in(file: &str) -> Text {
        let document = toml_edit::Document::parse(file).unwrap();
        let item = document.as_table().get("key").unwrap();
        let range = item.span().unwrap();
        Text::toml_string(item.as_str().unwrap(), &file[range.clone()], range)
    }

    fn written<'a>(file: &'a str, text: &Text, part: &str) -> &'a str {
        let start = text.as_str().find(part).unwrap();
        &file[text.place_of(start..start + part.len()).range]
    }

    #[test]
    fn every_part_of_a_string_is_found_again_where_it_was_written() {
        for (file, part, found) in [
            ("key = \"abc def\"", "def", "def"),
            ("key = 'a\\b \"c\"'", "\"c\"", "\"c\""),
            ("key = \"\"\"\n  first,\n  second\n\"\"\"", "second", "second"),
            ("key = '''\r\nfirst,\r\nsecond'''", "second", "second"),
            ("key = \"\"\"a \\\n     b c\"\"\"", "b c", "b c"),
            ("key = \"t\\tu\\u00e4v\\\\w\"", "v\\w", "v\\\\w"),
            ("key = \"t\\tu\\u00e4v\"", "ä", "\\u00e4"),
            ("x = 'ü'\nkey = \"zürich ab\"", "ab", "ab"),
        ] {
            let text = text_in(file);
            assert_eq!(written(file, &text, part), found, "{file}");
        }
    }

    #[test]
    fn what_comes_from_the_environment_points_at_its_reference_and_is_not_shown() {
        let file = "key = \"a ${USER_NAME} b ${X:-dflt} $${Y} c\"";
        let environment = |name: &str| (name == "USER_NAME").then(|| "secret".to_owned());
        let mut problems = Vec::new();
        let text = text_in(file).expand(&environment, &mut problems);
        assert_eq!(text.as_str(), "a secret b dflt ${Y} c");
        assert_eq!(problems, []);
        assert_eq!(written(file, &text, "secret"), "${USER_NAME}");
        assert_eq!(written(file, &text, "cre"), "${USER_NAME}");
        assert_eq!(written(file, &text, "dflt"), "dflt");
        assert_eq!(written(file, &text, " c"), " c");
        assert_eq!(text.shown(), "a ${USER_NAME} b dflt ${Y} c");
        assert_eq!(text.mask("found \"secret\""), "found \"${USER_NAME}\"");
    }

    #[test]
    fn a_variable_that_is_not_set_or_not_closed_is_a_problem_with_its_place() {
        for (file, place, message) in [
            ("key = \"a ${NOPE} b\"", "${NOPE}", "the environment variable NOPE is not set"),
            ("key = \"${2}\"", "${2}", "\"2\" cannot be the name of an environment variable"),
            ("key = \"x ${A\"", "${A", "\"${\" is not closed"),
        ] {
            let mut problems = Vec::new();
            let _ = text_in(file).expand(&|_| None, &mut problems);
            assert_eq!(problems.len(), 1);
            assert_eq!(problems[0].message, message);
            assert_eq!(&file[problems[0].place.clone().unwrap().range], place);
        }
    }

    proptest::proptest! {
        #[test]
        fn places_stay_inside_the_string(value in "[a-zü\\n\\t\"\\\\${}:-]{0,40}", start in 0_usize..50, length in 0_usize..50) {
            let mut table = toml_edit::DocumentMut::new();
            table["key"] = toml_edit::value(value.clone());
            let file = table.to_string();
            let text = text_in(&file);
            proptest::prop_assert_eq!(text.as_str(), &value);
            let text = text.expand(&|_| Some("from outside".to_owned()), &mut Vec::new());
            let place = text.place_of(start..start + length).range;
            proptest::prop_assert!(place.start <= place.end && place.end <= file.len());
        }
    }
}
