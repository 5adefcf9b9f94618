//! Column lists as Flink's DDL writes them between the parentheses of CREATE TABLE: columns, computed columns, watermark, primary
//! key. Types are understood here; expressions stay text, with their place, for the SQL planner.

use super::problem::nearest;
use crate::types::{LogicalType, TYPE_NAMES, TypeKind, parse_type_prefix};
use std::ops::Range;

/// What is wrong in a column list, with the bytes of the text that it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DdlError {
    /// Bytes of the column list.
    pub range: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// A column list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TableDefinition {
    /// The columns, in order. Those of the primary key are NOT NULL.
    pub columns: Vec<ColumnDefinition>,
    /// Positions of the primary key's columns in `columns`, in the key's order; empty without one.
    pub primary_key: Vec<usize>,
    /// `WATERMARK FOR … AS …`
    pub watermark: Option<WatermarkDefinition>,
}

/// One column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnDefinition {
    /// Its name.
    pub name: String,
    /// Where the name stands.
    pub range: Range<usize>,
    /// Where its values come from.
    pub kind: ColumnKind,
}

/// Where a column's values come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnKind {
    /// From the connector.
    Physical(LogicalType),
    /// `x AS <expression>`: the bytes of the expression.
    Computed(Range<usize>),
    /// `x <type> METADATA [FROM '<key>'] [VIRTUAL]`: what the connector knows of a row beside its bytes.
    Metadata(LogicalType, String),
}

/// `WATERMARK FOR <column> AS <expression>`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatermarkDefinition {
    /// The position of the column.
    pub column: usize,
    /// Where the column's name stands in the watermark.
    pub range: Range<usize>,
    /// The bytes of the expression.
    pub expression: Range<usize>,
}

/// Reads a column list. All errors are reported; what was read is meant for further checks only if there are none.
pub fn parse_columns(text: &str) -> (TableDefinition, Vec<DdlError>) {
    let mut parser = Parser { text, at: 0, errors: Vec::new(), columns: Vec::new(), keys: Vec::new(), watermarks: Vec::new() };
    loop {
        parser.skip_space();
        if parser.rest().is_empty() {
            break;
        }
        if parser.element().is_none() {
            parser.recover();
        }
        parser.skip_space();
        if !parser.eat(",") && !parser.rest().is_empty() {
            let range = parser.next_token();
            let found = parser.text[range.clone()].to_owned();
            parser.error(range, format!("expected a comma, found \"{found}\""));
            parser.recover();
            parser.eat(",");
        }
    }
    parser.finish()
}

/// A name and where it stands.
type Named = (String, Range<usize>);

struct Parser<'a> {
    text: &'a str,
    at: usize,
    errors: Vec<DdlError>,
    columns: Vec<ColumnDefinition>,
    /// Each primary key: where it stands, and its columns.
    keys: Vec<(Range<usize>, Vec<Named>)>,
    /// Each watermark: its column and the bytes of its expression.
    watermarks: Vec<(Named, Range<usize>)>,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn error(&mut self, range: Range<usize>, message: impl Into<String>) {
        self.errors.push(DdlError { range, message: message.into(), hint: None });
    }

    fn help(&mut self, hint: impl Into<String>) {
        if let Some(error) = self.errors.last_mut() {
            error.hint = Some(hint.into());
        }
    }

    /// Skips white space and SQL comments.
    fn skip_space(&mut self) {
        loop {
            self.at = self.text.len() - self.rest().trim_start().len();
            let Some(end) = comment_end(self.rest()) else { return };
            self.at += end;
        }
    }

    fn eat(&mut self, text: &str) -> bool {
        self.skip_space();
        let found = self.rest().starts_with(text);
        self.at += if found { text.len() } else { 0 };
        found
    }

    fn word(&mut self) -> &'a str {
        self.skip_space();
        let rest = self.rest();
        &rest[..rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len())]
    }

    fn eat_word(&mut self, word: &str) -> bool {
        let found = self.word().eq_ignore_ascii_case(word);
        self.at += if found { word.len() } else { 0 };
        found
    }

    /// Takes all of `words` or nothing.
    fn eat_words(&mut self, words: &[&str]) -> bool {
        let start = self.at;
        let found = words.iter().all(|word| self.eat_word(word));
        self.at = if found { self.at } else { start };
        found
    }

    fn expect_words(&mut self, words: &[&str], what: &str) -> Option<()> {
        if self.eat_words(words) {
            return Some(());
        }
        let range = self.next_token();
        self.error(range, format!("expected {what}"));
        None
    }

    /// The bytes of what stands here, for messages.
    fn next_token(&mut self) -> Range<usize> {
        let word = self.word().len();
        let length = if word > 0 { word } else { self.rest().chars().next().map_or(0, char::len_utf8) };
        self.at..self.at + length
    }

    /// A name, bare or in backquotes, with its bytes.
    fn name(&mut self, what: &str) -> Option<(String, Range<usize>)> {
        self.skip_space();
        let start = self.at;
        if self.rest().starts_with('`') {
            let Some(end) = quoted_end(self.rest(), '`') else {
                self.error(start..self.text.len(), "a ` is not closed");
                self.at = self.text.len();
                return None;
            };
            self.at += end;
            let name = self.text[start + 1..self.at - 1].replace("``", "`");
            if name.is_empty() {
                self.error(start..self.at, "a name must not be empty");
                return None;
            }
            return Some((name, start..self.at));
        }
        let word = self.word();
        if word.is_empty() || word.starts_with(|c: char| c.is_ascii_digit()) {
            let range = self.next_token();
            self.error(range, format!("expected {what}"));
            if !word.is_empty() {
                self.help("a name that starts with a digit needs backquotes: `name`");
            }
            return None;
        }
        self.at += word.len();
        Some((word.to_owned(), start..self.at))
    }

    fn element(&mut self) -> Option<()> {
        let start = self.at;
        if self.eat_words(&["WATERMARK", "FOR"]) {
            return self.watermark();
        }
        if self.eat_word("CONSTRAINT") {
            self.name("the name of the constraint")?;
        }
        if self.eat_words(&["PRIMARY", "KEY"]) {
            return self.table_key(start);
        }
        self.column()
    }

    fn watermark(&mut self) -> Option<()> {
        let (name, range) = self.name("a column")?;
        self.expect_words(&["AS"], "AS and the watermark's expression")?;
        let expression = self.expression("the watermark's expression")?;
        self.watermarks.push(((name, range), expression));
        Some(())
    }

    fn table_key(&mut self, start: usize) -> Option<()> {
        if !self.eat("(") {
            let range = self.next_token();
            self.error(range, "expected the columns of the key in parentheses");
            return None;
        }
        let mut names = Vec::new();
        loop {
            names.push(self.name("a column of the key")?);
            if self.eat(")") {
                break;
            }
            if !self.eat(",") {
                let range = self.next_token();
                self.error(range, "expected , or ) in the primary key");
                return None;
            }
        }
        let range = start..self.at;
        self.not_enforced(range.clone());
        self.keys.push((range, names));
        Some(())
    }

    fn not_enforced(&mut self, range: Range<usize>) {
        if !self.eat_words(&["NOT", "ENFORCED"]) {
            self.eat_word("ENFORCED");
            self.error(range, "a primary key cannot be enforced here: whoever writes the data must keep it unique");
            self.help("write PRIMARY KEY … NOT ENFORCED, as in Flink");
        }
    }

    fn column(&mut self) -> Option<()> {
        let (name, range) = self.name("a column, PRIMARY KEY or WATERMARK FOR")?;
        let mut kind = if self.eat_word("AS") {
            ColumnKind::Computed(self.expression("the column's expression")?)
        } else {
            ColumnKind::Physical(self.data_type(&name)?)
        };
        loop {
            if self.eat_words(&["PRIMARY", "KEY"]) {
                self.not_enforced(range.clone());
                self.keys.push((range.clone(), vec![(name.clone(), range.clone())]));
            } else if self.eat_word("COMMENT") {
                self.skip_space();
                let Some(end) = self.rest().starts_with('\'').then(|| quoted_end(self.rest(), '\'')).flatten() else {
                    let range = self.next_token();
                    self.error(range, "expected a text in quotes behind COMMENT");
                    return None;
                };
                self.at += end;
            } else if self.eat_word("METADATA") {
                kind = self.metadata(&name, &range, kind)?;
            } else {
                break;
            }
        }
        self.columns.push(ColumnDefinition { name, range, kind });
        Some(())
    }

    /// What stands behind METADATA. Without FROM the key is the column's name.
    fn metadata(&mut self, name: &str, range: &Range<usize>, kind: ColumnKind) -> Option<ColumnKind> {
        let mut key = name.to_owned();
        if self.eat_word("FROM") {
            self.skip_space();
            let Some(end) = self.rest().starts_with('\'').then(|| quoted_end(self.rest(), '\'')).flatten() else {
                let range = self.next_token();
                self.error(range, "expected the key of the metadata in quotes behind FROM");
                return None;
            };
            key = self.rest()[1..end - 1].replace("''", "'");
            self.at += end;
        }
        self.eat_word("VIRTUAL");
        match kind {
            ColumnKind::Physical(data_type) => Some(ColumnKind::Metadata(data_type, key)),
            ColumnKind::Computed(_) | ColumnKind::Metadata(..) => {
                self.error(range.clone(), format!("column {name}: METADATA stands behind the type of a column, once"));
                None
            }
        }
    }

    fn data_type(&mut self, column: &str) -> Option<LogicalType> {
        self.skip_space();
        let start = self.at;
        match parse_type_prefix(self.rest()) {
            Ok((data_type, read)) => {
                self.at += read;
                Some(data_type)
            }
            Err(error) => {
                self.at += error.at.min(self.rest().len());
                let wrong = self.word().to_owned();
                let range = self.next_token();
                self.at = start;
                let message = if wrong.is_empty() && range.start == start {
                    format!("column {column} needs a type")
                } else {
                    format!("column {column}: {}", error.message)
                };
                self.error(range, message);
                if let Some(name) = nearest(&wrong, TYPE_NAMES.iter().copied()).filter(|name| !name.eq_ignore_ascii_case(&wrong)) {
                    self.help(format!("did you mean \"{name}\"?"));
                }
                None
            }
        }
    }

    /// Everything up to the next comma outside parentheses and quotes.
    fn expression(&mut self, what: &str) -> Option<Range<usize>> {
        self.skip_space();
        let start = self.at;
        let mut open: Vec<(char, usize)> = Vec::new();
        while let Some(c) = self.rest().chars().next() {
            if let Some(end) = comment_end(self.rest()) {
                self.at += end;
                continue;
            }
            match c {
                ',' if open.is_empty() => break,
                '(' | '[' | '{' => open.push((c, self.at)),
                ')' | ']' | '}' => {
                    let fits = open.pop().is_some_and(|(opened, _)| matches!((opened, c), ('(', ')') | ('[', ']') | ('{', '}')));
                    if !fits {
                        self.error(self.at..self.at + 1, format!("\"{c}\" closes nothing"));
                        return None;
                    }
                }
                '\'' | '`' | '"' => {
                    let Some(end) = quoted_end(self.rest(), c) else {
                        self.error(self.at..self.at + 1, format!("a {c} is not closed"));
                        self.at = self.text.len();
                        return None;
                    };
                    self.at += end;
                    continue;
                }
                _ => {}
            }
            self.at += c.len_utf8();
        }
        if let Some((c, at)) = open.pop() {
            self.error(at..at + 1, format!("a {c} is not closed"));
            return None;
        }
        let end = start + self.text[start..self.at].trim_end().len();
        if end == start {
            let range = self.next_token();
            self.error(range, format!("expected {what}"));
            return None;
        }
        Some(start..end)
    }

    /// Goes on to the comma that ends a wrong element.
    fn recover(&mut self) {
        let mut depth = 0_usize;
        while let Some(c) = self.rest().chars().next() {
            match c {
                ',' if depth == 0 => return,
                '(' | '<' => depth += 1,
                ')' | '>' => depth = depth.saturating_sub(1),
                '\'' | '`' => {
                    self.at += quoted_end(self.rest(), c).unwrap_or(1);
                    continue;
                }
                _ => {}
            }
            self.at += c.len_utf8();
        }
    }

    fn finish(mut self) -> (TableDefinition, Vec<DdlError>) {
        let reported = !self.errors.is_empty();
        if self.columns.is_empty() && !reported {
            self.error(0..self.text.len(), "a schema needs at least one column");
        }
        for (index, column) in self.columns.iter().enumerate() {
            if self.columns[..index].iter().any(|other| other.name == column.name) {
                let message = format!("column {} is declared twice", column.name);
                self.errors.push(DdlError { range: column.range.clone(), message, hint: None });
            }
        }
        // Columns that could not be read are missing from the list: looking for them would report them a second time.
        let primary_key = if reported { Vec::new() } else { self.resolve_key() };
        let watermark = if reported { None } else { self.resolve_watermark() };
        self.errors.sort_by_key(|error| error.range.start);
        (TableDefinition { columns: self.columns, primary_key, watermark }, self.errors)
    }

    fn find(&mut self, name: &str, range: &Range<usize>, of: &str) -> Option<usize> {
        let found = self.columns.iter().position(|column| column.name == name);
        if found.is_none() {
            let hint = nearest(name, self.columns.iter().map(|column| column.name.as_str())).map(str::to_owned);
            self.error(range.clone(), format!("{of}: there is no column \"{name}\""));
            if let Some(name) = hint {
                self.help(format!("did you mean \"{name}\"?"));
            }
        }
        found
    }

    fn resolve_key(&mut self) -> Vec<usize> {
        let mut keys = std::mem::take(&mut self.keys);
        for (range, _) in keys.iter().skip(1) {
            self.error(range.clone(), "a table has at most one primary key");
        }
        if keys.is_empty() {
            return Vec::new();
        }
        let (_, names) = keys.swap_remove(0);
        let mut positions = Vec::new();
        for (name, range) in names {
            let Some(position) = self.find(&name, &range, "primary key") else { continue };
            if positions.contains(&position) {
                self.error(range, format!("primary key: column \"{name}\" is named twice"));
                continue;
            }
            match &mut self.columns[position].kind {
                ColumnKind::Physical(data_type) => data_type.nullable = false,
                ColumnKind::Computed(_) => self.error(range, format!("primary key: \"{name}\" is a computed column")),
                ColumnKind::Metadata(..) => self.error(range, format!("primary key: \"{name}\" is a metadata column")),
            }
            positions.push(position);
        }
        positions
    }

    fn resolve_watermark(&mut self) -> Option<WatermarkDefinition> {
        let watermarks = std::mem::take(&mut self.watermarks);
        for ((_, range), _) in watermarks.iter().skip(1) {
            self.error(range.clone(), "a table has at most one watermark");
        }
        let ((name, range), expression) = watermarks.into_iter().next()?;
        let column = self.find(&name, &range, "watermark")?;
        if let ColumnKind::Physical(data_type) | ColumnKind::Metadata(data_type, _) = &self.columns[column].kind
            && !is_rowtime(&data_type.kind)
        {
            let message = format!("watermark: column \"{name}\" is {data_type}, expected TIMESTAMP(p) or TIMESTAMP_LTZ(p) with p ≤ 3");
            self.error(range.clone(), message);
        }
        Some(WatermarkDefinition { column, range, expression })
    }
}

/// Whether a column of this type can carry the event time: Flink's watermarks are in milliseconds.
pub fn is_rowtime(kind: &TypeKind) -> bool {
    matches!(kind, TypeKind::Timestamp(0..=3) | TypeKind::TimestampLtz(0..=3))
}

/// The length of the comment at the start of `text`, if there is one.
pub fn comment_end(text: &str) -> Option<usize> {
    if text.starts_with("--") {
        Some(text.find('\n').map_or(text.len(), |at| at + 1))
    } else {
        let inside = text.strip_prefix("/*")?;
        Some(inside.find("*/").map_or(text.len(), |at| at + 4))
    }
}

/// The length of the quoted text at the start of `text`, both quotes included; a doubled quote stands for one.
pub fn quoted_end(text: &str, quote: char) -> Option<usize> {
    let mut at = quote.len_utf8();
    loop {
        at += text.get(at..)?.find(quote)? + quote.len_utf8();
        if !text[at..].starts_with(quote) {
            return Some(at);
        }
        at += quote.len_utf8();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(text: &str) -> Vec<String> {
        let (_, errors) = parse_columns(text);
        errors.iter().map(|error| format!("{}: {}", &text[error.range.clone()], error.message)).collect()
    }

    #[test]
    fn a_column_list_is_read_as_flink_reads_it() {
        let text = "
            id BIGINT PRIMARY KEY NOT ENFORCED COMMENT 'it''s, the key', -- a comment, with a comma
            `two words` MAP<STRING, ARRAY<INT NOT NULL>>,
            cost AS price * COALESCE(quantity, 1),
            price DECIMAL(10, 2) NOT NULL,
            quantity INT NULL,
            ts TIMESTAMP(3), /* and, another */
            proc AS PROCTIME(),
            `file.size` BIGINT METADATA, name STRING NOT NULL METADATA FROM 'it''s' VIRTUAL,
            WATERMARK FOR ts AS ts - INTERVAL '4, 5' SECOND";
        let (table, errors) = parse_columns(text);
        assert_eq!(errors, []);
        let shown: Vec<String> = table
            .columns
            .iter()
            .map(|column| match &column.kind {
                ColumnKind::Physical(data_type) => format!("{} {data_type}", column.name),
                ColumnKind::Computed(range) => format!("{} := {}", column.name, &text[range.clone()]),
                ColumnKind::Metadata(data_type, key) => format!("{} {data_type} <- {key}", column.name),
            })
            .collect();
        let expected = [
            "id BIGINT NOT NULL",
            "two words MAP<STRING, ARRAY<INT NOT NULL>>",
            "cost := price * COALESCE(quantity, 1)",
            "price DECIMAL(10, 2) NOT NULL",
            "quantity INT",
            "ts TIMESTAMP(3)",
            "proc := PROCTIME()",
            "file.size BIGINT <- file.size",
            "name STRING NOT NULL <- it's",
        ];
        assert_eq!(shown, expected);
        assert_eq!(table.primary_key, [0]);
        let watermark = table.watermark.unwrap();
        assert_eq!((watermark.column, &text[watermark.expression]), (5, "ts - INTERVAL '4, 5' SECOND"));
    }

    #[test]
    fn a_key_over_several_columns_makes_them_not_null() {
        let (table, errors) = parse_columns("a INT, b STRING, CONSTRAINT pk PRIMARY KEY (`b`, a) NOT ENFORCED,");
        assert_eq!(errors, []);
        assert_eq!(table.primary_key, [1, 0]);
        let not_null = LogicalType::not_null(TypeKind::Int);
        assert_eq!(table.columns[0].kind, ColumnKind::Physical(not_null));
    }

    #[test]
    fn all_errors_of_a_list_are_found_with_their_text() {
        let text = "a BIGNT, b MAP<STRNG, INT>, c, 1d INT, e INT x, f AS (1, g INT PRIMARY KEY, h AS, i TIMESTAMP(12)";
        assert_eq!(
            errors(text),
            [
                "BIGNT: column a: \"BIGNT\" is no type",
                "STRNG: column b: \"STRNG\" is no type",
                ",: column c needs a type",
                "1d: expected a column, PRIMARY KEY or WATERMARK FOR",
                "x: expected a comma, found \"x\"",
                "(: a ( is not closed",
            ]
        );
        let (_, found) = parse_columns(text);
        assert_eq!(found[0].hint.as_deref(), Some("did you mean \"BIGINT\"?"));
        assert_eq!(found[1].hint.as_deref(), Some("did you mean \"STRING\"?"));
    }

    #[test]
    fn what_a_list_says_must_fit_together() {
        for (text, expected) in [
            ("", ": a schema needs at least one column"),
            ("a INT, a INT", "a: column a is declared twice"),
            ("a INT, PRIMARY KEY (b) NOT ENFORCED", "b: primary key: there is no column \"b\""),
            ("a INT, PRIMARY KEY (a, a) NOT ENFORCED", "a: primary key: column \"a\" is named twice"),
            ("a INT, b AS a + 1, PRIMARY KEY (b) NOT ENFORCED", "b: primary key: \"b\" is a computed column"),
            (
                "a INT, PRIMARY KEY (a)",
                "PRIMARY KEY (a): a primary key cannot be enforced here: whoever writes the data must keep it unique",
            ),
            ("a INT PRIMARY KEY NOT ENFORCED, b INT PRIMARY KEY NOT ENFORCED", "b: a table has at most one primary key"),
            ("ts TIMESTAMP(3), WATERMARK FOR t AS ts", "t: watermark: there is no column \"t\""),
            (
                "ts TIMESTAMP(6), WATERMARK FOR ts AS ts",
                "ts: watermark: column \"ts\" is TIMESTAMP(6), expected TIMESTAMP(p) or TIMESTAMP_LTZ(p) with p ≤ 3",
            ),
            ("a BIGINT METADATA FROM offset", "offset: expected the key of the metadata in quotes behind FROM"),
            ("a INT METADATA METADATA", "a: column a: METADATA stands behind the type of a column, once"),
            ("a BIGINT METADATA, PRIMARY KEY (a) NOT ENFORCED", "a: primary key: \"a\" is a metadata column"),
            ("a INT COMMENT b", "b: expected a text in quotes behind COMMENT"),
            ("a AS b)", "): \")\" closes nothing"),
            ("`a INT", "`a INT: a ` is not closed"),
            ("WATERMARK FOR ts", ": expected AS and the watermark's expression"),
        ] {
            assert_eq!(errors(text), [expected], "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_parser_panic_or_hang(text in "(a|INT|AS|`|'|\\(|\\)|<|>|,|--|/\\*|\\*/|\\n| |ü|PRIMARY KEY|WATERMARK FOR|MAP<|[\\x00-\\x7f]){0,25}") {
            let (_, errors) = parse_columns(&text);
            for error in errors {
                proptest::prop_assert!(text.get(error.range).is_some());
            }
        }
    }
}
