//! Reads Flink's type names: `DECIMAL(10, 2) NOT NULL`, `ROW<a INT, b ARRAY<STRING>>`.

use super::limits::NESTING_DEPTH;
use super::logical::{LogicalType, TypeKind};
use std::str::FromStr;

/// A text that is no type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TypeError {
    /// Byte position in the text at which reading stopped.
    pub at: usize,
    /// What is wrong.
    pub message: String,
}

/// The words that begin a type, for "did you mean" messages.
pub const TYPE_NAMES: &[&str] = &[
    "BOOLEAN",
    "TINYINT",
    "SMALLINT",
    "INT",
    "BIGINT",
    "FLOAT",
    "DOUBLE",
    "DECIMAL",
    "CHAR",
    "VARCHAR",
    "STRING",
    "BYTES",
    "BINARY",
    "VARBINARY",
    "DATE",
    "TIME",
    "TIMESTAMP",
    "TIMESTAMP_LTZ",
    "ARRAY",
    "MAP",
    "ROW",
];

/// Reads one type from the start of `text`; returns it with the number of bytes read. What follows is left to the caller.
pub fn parse_type_prefix(text: &str) -> Result<(LogicalType, usize), TypeError> {
    let mut reader = Reader { text, at: 0 };
    let data_type = reader.data_type(0)?;
    Ok((data_type, reader.at))
}

impl FromStr for LogicalType {
    type Err = TypeError;

    fn from_str(text: &str) -> Result<Self, TypeError> {
        let (data_type, read) = parse_type_prefix(text)?;
        let rest = text[read..].trim_start();
        if rest.is_empty() {
            return Ok(data_type);
        }
        Err(TypeError { at: text.len() - rest.len(), message: format!("unexpected \"{rest}\" behind the type") })
    }
}

impl<'de> serde::Deserialize<'de> for LogicalType {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn error<T>(&self, message: impl Into<String>) -> Result<T, TypeError> {
        Err(TypeError { at: self.at, message: message.into() })
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn skip_space(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn eat(&mut self, c: char) -> bool {
        self.skip_space();
        let found = self.rest().starts_with(c);
        if found {
            self.at += c.len_utf8();
        }
        found
    }

    fn expect(&mut self, c: char) -> Result<(), TypeError> {
        if self.eat(c) { Ok(()) } else { self.error(format!("expected '{c}'")) }
    }

    /// The next bare word, without consuming it.
    fn peek_word(&mut self) -> &str {
        self.skip_space();
        let rest = &self.text[self.at..];
        let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
        &rest[..end]
    }

    fn eat_word(&mut self, word: &str) -> bool {
        let found = self.peek_word().eq_ignore_ascii_case(word);
        if found {
            self.at += word.len();
        }
        found
    }

    fn name(&mut self) -> Result<String, TypeError> {
        if self.eat('`') {
            let mut name = String::new();
            loop {
                let Some(end) = self.rest().find('`') else { return self.error("a ` is not closed") };
                name.push_str(&self.rest()[..end]);
                self.at += end + 1;
                if !self.rest().starts_with('`') {
                    return Ok(name);
                }
                name.push('`');
                self.at += 1;
            }
        }
        let word = self.peek_word().to_owned();
        if word.is_empty() {
            return self.error("expected a name");
        }
        self.at += word.len();
        Ok(word)
    }

    fn number(&mut self, low: u32, high: u32) -> Result<u32, TypeError> {
        let word = self.peek_word().to_owned();
        match word.parse::<u32>() {
            Ok(n) if (low..=high).contains(&n) => {
                self.at += word.len();
                Ok(n)
            }
            _ => self.error(format!("expected a number from {low} to {high}")),
        }
    }

    /// `(n)` if it is there.
    fn argument(&mut self, low: u32, high: u32) -> Result<Option<u32>, TypeError> {
        if !self.eat('(') {
            return Ok(None);
        }
        let n = self.number(low, high)?;
        self.expect(')')?;
        Ok(Some(n))
    }

    fn data_type(&mut self, depth: usize) -> Result<LogicalType, TypeError> {
        if depth > NESTING_DEPTH {
            return self.error(format!("types nest deeper than {NESTING_DEPTH} levels"));
        }
        let kind = self.kind(depth)?;
        let nullable = if self.eat_word("NOT") {
            if !self.eat_word("NULL") {
                return self.error("expected NULL behind NOT");
            }
            false
        } else {
            self.eat_word("NULL");
            true
        };
        Ok(LogicalType { kind, nullable })
    }

    fn kind(&mut self, depth: usize) -> Result<TypeKind, TypeError> {
        let start = self.at;
        let word = self.peek_word().to_uppercase();
        self.at += word.len();
        Ok(match word.as_str() {
            "BOOLEAN" | "BOOL" => TypeKind::Boolean,
            "TINYINT" => TypeKind::TinyInt,
            "SMALLINT" => TypeKind::SmallInt,
            "INT" | "INTEGER" => TypeKind::Int,
            "BIGINT" => TypeKind::BigInt,
            "FLOAT" | "REAL" => TypeKind::Float,
            "DOUBLE" => {
                self.eat_word("PRECISION");
                TypeKind::Double
            }
            "DECIMAL" | "DEC" | "NUMERIC" => self.decimal()?,
            "CHAR" | "CHARACTER" => TypeKind::Char(self.argument(1, i32::MAX as u32)?.unwrap_or(1)),
            "VARCHAR" => match self.argument(1, i32::MAX as u32)? {
                Some(n) if n < i32::MAX as u32 => TypeKind::VarChar(n),
                Some(_) => TypeKind::String,
                None => TypeKind::VarChar(1),
            },
            "STRING" => TypeKind::String,
            "BYTES" => TypeKind::Bytes,
            "BINARY" | "VARBINARY" => {
                self.argument(1, i32::MAX as u32)?;
                TypeKind::Bytes
            }
            "DATE" => TypeKind::Date,
            "TIME" => {
                self.argument(0, 9)?;
                TypeKind::Time
            }
            "TIMESTAMP" => self.timestamp()?,
            "TIMESTAMP_LTZ" => TypeKind::TimestampLtz(self.argument(0, 9)?.unwrap_or(6) as u8),
            "ARRAY" => {
                self.expect('<')?;
                let element = self.data_type(depth + 1)?;
                self.expect('>')?;
                TypeKind::Array(Box::new(element))
            }
            "MAP" => {
                self.expect('<')?;
                let key = self.data_type(depth + 1)?;
                self.expect(',')?;
                let value = self.data_type(depth + 1)?;
                self.expect('>')?;
                TypeKind::Map(Box::new(key), Box::new(value))
            }
            "ROW" => self.row(depth)?,
            "NULL" => TypeKind::Null,
            "INTERVAL" => TypeKind::Interval,
            _ => {
                self.at = start;
                self.skip_space();
                let found = if word.is_empty() { self.rest().chars().next().map(String::from) } else { Some(word) };
                return self.error(match found {
                    Some(found) => format!("\"{found}\" is no type"),
                    None => "expected a type".to_owned(),
                });
            }
        })
    }

    fn decimal(&mut self) -> Result<TypeKind, TypeError> {
        if !self.eat('(') {
            return Ok(TypeKind::Decimal(10, 0));
        }
        let precision = self.number(1, 38)?;
        let scale = if self.eat(',') { self.number(0, precision)? } else { 0 };
        self.expect(')')?;
        Ok(TypeKind::Decimal(precision as u8, scale as u8))
    }

    fn timestamp(&mut self) -> Result<TypeKind, TypeError> {
        let precision = self.argument(0, 9)?.unwrap_or(6) as u8;
        let local = if self.eat_word("WITH") {
            if !self.eat_word("LOCAL") {
                return self.error("expected LOCAL TIME ZONE behind WITH");
            }
            true
        } else if self.eat_word("WITHOUT") {
            false
        } else {
            return Ok(TypeKind::Timestamp(precision));
        };
        if !(self.eat_word("TIME") && self.eat_word("ZONE")) {
            return self.error("expected TIME ZONE");
        }
        Ok(if local { TypeKind::TimestampLtz(precision) } else { TypeKind::Timestamp(precision) })
    }

    fn row(&mut self, depth: usize) -> Result<TypeKind, TypeError> {
        let close = if self.eat('<') {
            '>'
        } else {
            self.expect('(')?;
            ')'
        };
        let mut fields = Vec::new();
        while !self.eat(close) {
            if !fields.is_empty() {
                self.expect(',')?;
            }
            let name = self.name()?;
            fields.push((name, self.data_type(depth + 1)?));
        }
        Ok(TypeKind::Row(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_prints_as_it_reads() {
        for text in [
            "BOOLEAN",
            "TINYINT",
            "INT NOT NULL",
            "DECIMAL(10, 2)",
            "VARCHAR(7)",
            "STRING NOT NULL",
            "BYTES",
            "DATE",
            "TIME(0)",
            "TIMESTAMP(3)",
            "TIMESTAMP_LTZ(9) NOT NULL",
            "ARRAY<INT NOT NULL>",
            "MAP<STRING, ARRAY<BIGINT>>",
            "ROW<`a` INT, `b c` ROW<`x``y` DOUBLE NOT NULL>> NOT NULL",
            "ROW<>",
        ] {
            assert_eq!(text.parse::<LogicalType>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn the_long_forms_mean_the_short_ones() {
        for (long, short) in [
            ("timestamp(3) with local time zone", "TIMESTAMP_LTZ(3)"),
            ("TIMESTAMP WITHOUT TIME ZONE", "TIMESTAMP(6)"),
            ("double precision", "DOUBLE"),
            ("NUMERIC(5)", "DECIMAL(5, 0)"),
            ("VARCHAR(2147483647)", "STRING"),
            ("ROW(a INT)", "ROW<`a` INT>"),
        ] {
            assert_eq!(long.parse::<LogicalType>().unwrap().to_string(), short);
        }
    }

    #[test]
    fn what_is_no_type_is_an_error_with_its_position() {
        let error = "ARRAY<STRNG>".parse::<LogicalType>().unwrap_err();
        assert_eq!((error.at, error.message.as_str()), (6, "\"STRNG\" is no type"));
        for text in ["", "INT INT", "DECIMAL(39)", "DECIMAL(5,6)", "ROW<a INT", "MAP<INT>", "TIMESTAMP(10)", "`", "INT NOT"] {
            assert!(text.parse::<LogicalType>().is_err(), "{text}");
        }
        assert!("ARRAY<".repeat(100).parse::<LogicalType>().is_err());
    }
}
