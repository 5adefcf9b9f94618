//! Options of connectors and formats: what there is (a table each), and what was written. One table feeds the loader's checks, its
//! "did you mean", and the reference in `docs/`.

use super::{ByteSize, parse_duration};
use std::collections::BTreeMap;
use std::time::Duration;

/// What values an option takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum OptionKind {
    /// `true` or `false`
    Bool,
    /// A whole number, both bounds included.
    Int(i64, i64),
    /// A number.
    Float,
    /// `10 s`
    Duration,
    /// `64 mb`
    Size,
    /// One of these words; case does not matter.
    Word(&'static [&'static str]),
    /// Any text.
    Text,
}

/// One option of a connector or format.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OptionSpec {
    /// Flink's key. `*` stands for one part: `fields.*.kind`.
    pub key: &'static str,
    /// What values it takes.
    pub kind: OptionKind,
    /// The value without it; `None`: no value.
    pub default: Option<&'static str>,
    /// True if the table cannot do without.
    pub required: bool,
    /// One sentence for the reference.
    pub doc: &'static str,
}

/// An option that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {message}")]
pub struct OptionError {
    /// The option's key as it was written, or the one that is missing.
    pub key: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl OptionError {
    /// An error about option `key`.
    pub fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { key: key.into(), message: message.into() }
    }
}

/// Options as they were written: dotted key → text. TOML's numbers and booleans stand here as text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options(BTreeMap<String, String>);

impl FromIterator<(String, String)> for Options {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(iter: I) -> Self {
        Self(iter.into_iter().collect())
    }
}

impl Options {
    /// The text of `key`, if it was written.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// All keys with their texts, sorted.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }

    /// The text of `key`, or an error that says it is missing.
    pub fn required(&self, key: &str) -> Result<&str, OptionError> {
        self.get(key).ok_or_else(|| OptionError::new(key, "this option is required"))
    }

    /// A boolean, or `default`.
    pub fn bool(&self, key: &str, default: bool) -> Result<bool, OptionError> {
        self.parsed(key, default, |text| match text.to_ascii_lowercase().as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(format!("expected true or false, found \"{text}\"")),
        })
    }

    /// A whole number between `low` and `high`, or `default`.
    pub fn int(&self, key: &str, default: i64, low: i64, high: i64) -> Result<i64, OptionError> {
        self.parsed(key, default, |text| match text.parse::<i64>() {
            Ok(n) if (low..=high).contains(&n) => Ok(n),
            Ok(n) => Err(format!("{n} is not between {low} and {high}")),
            Err(_) => Err(format!("expected a whole number, found \"{text}\"")),
        })
    }

    /// A duration, or `default`.
    pub fn duration(&self, key: &str, default: Duration) -> Result<Duration, OptionError> {
        self.parsed(key, default, |text| parse_duration(text).map_err(|e| e.to_string()))
    }

    /// A size, or `default`.
    pub fn size(&self, key: &str, default: ByteSize) -> Result<ByteSize, OptionError> {
        self.parsed(key, default, |text| text.parse::<ByteSize>().map_err(|e| e.to_string()))
    }

    /// The position in `words` of the word that was written (case does not matter), or `default`.
    pub fn word(&self, key: &str, default: usize, words: &[&str]) -> Result<usize, OptionError> {
        self.parsed(key, default, |text| {
            let found = words.iter().position(|word| word.eq_ignore_ascii_case(text));
            found.ok_or_else(|| format!("expected one of {}, found \"{text}\"", words.join(", ")))
        })
    }

    fn parsed<T>(&self, key: &str, default: T, parse: impl Fn(&str) -> Result<T, String>) -> Result<T, OptionError> {
        self.get(key).map_or(Ok(default), |text| parse(text.trim()).map_err(|message| OptionError::new(key, message)))
    }
}

impl OptionSpec {
    /// True if `key` is this option, `*` standing for one part.
    pub fn matches(&self, key: &str) -> bool {
        let (mut pattern, mut parts) = (self.key.split('.'), key.split('.'));
        loop {
            match (pattern.next(), parts.next()) {
                (None, None) => return true,
                (Some("*"), Some(_)) => {}
                (Some(a), Some(b)) if a == b => {}
                _ => return false,
            }
        }
    }

    /// Checks a value against the kind; the error says what would be right.
    pub fn check(&self, key: &str, value: &str) -> Result<(), OptionError> {
        let options: Options = [(key.to_owned(), value.to_owned())].into_iter().collect();
        match self.kind {
            OptionKind::Bool => options.bool(key, false).map(drop),
            OptionKind::Int(low, high) => options.int(key, 0, low, high).map(drop),
            OptionKind::Float => match value.trim().parse::<f64>() {
                Ok(_) => Ok(()),
                Err(_) => Err(OptionError::new(key, format!("expected a number, found \"{value}\""))),
            },
            OptionKind::Duration => options.duration(key, Duration::ZERO).map(drop),
            OptionKind::Size => options.size(key, ByteSize(0)).map(drop),
            OptionKind::Word(words) => options.word(key, 0, words).map(drop),
            OptionKind::Text => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_one_part() {
        let spec =
            OptionSpec { key: "fields.*.kind", kind: OptionKind::Word(&["random", "sequence"]), default: None, required: false, doc: "" };
        assert!(spec.matches("fields.price.kind"));
        assert!(!spec.matches("fields.kind") && !spec.matches("fields.a.b.kind"));
        assert!(spec.check("fields.a.kind", "RANDOM").is_ok());
        assert_eq!(
            spec.check("fields.a.kind", "x").unwrap_err().to_string(),
            "fields.a.kind: expected one of random, sequence, found \"x\""
        );
    }

    #[test]
    fn values_are_read_or_refused_with_what_would_be_right() {
        let options: Options = [("n".to_owned(), "12".to_owned()), ("d".to_owned(), "soon".to_owned())].into_iter().collect();
        assert_eq!(options.int("n", 0, 0, 20), Ok(12));
        assert_eq!(options.int("n", 0, 0, 10).unwrap_err().message, "12 is not between 0 and 10");
        assert_eq!(options.duration("d", Duration::ZERO).unwrap_err().message, "\"soon\" does not start with a number");
        assert_eq!(options.bool("absent", true), Ok(true));
        assert_eq!(options.required("path").unwrap_err().to_string(), "path: this option is required");
    }
}
