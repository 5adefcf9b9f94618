//! Text → syntax tree, in Flink's dialect, with places as byte offsets.

use super::SqlError;
use crate::types::LogicalType;
use crate::types::limits::SQL_TOKENS;
use datafusion_sql::sqlparser::ast::{DataType, Expr, Query, Spanned, Statement};
use datafusion_sql::sqlparser::dialect::Dialect;
use datafusion_sql::sqlparser::keywords::Keyword;
use datafusion_sql::sqlparser::parser::{Parser, ParserError};
use datafusion_sql::sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan, Tokenizer};
use std::ops::Range;

/// Flink's dialect: backquotes around identifiers, `'…'` texts without escapes, FILTER behind aggregates.
#[derive(Debug, Default)]
struct FlinkDialect;

impl Dialect for FlinkDialect {
    fn is_identifier_start(&self, ch: char) -> bool {
        ch.is_alphabetic() || ch == '_' || ch == '$'
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        ch.is_alphanumeric() || ch == '_' || ch == '$'
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        ch == '`'
    }

    fn identifier_quote_style(&self, _identifier: &str) -> Option<char> {
        Some('`')
    }

    fn supports_filter_during_aggregation(&self) -> bool {
        true
    }

    fn supports_group_by_expr(&self) -> bool {
        true
    }

    fn supports_match_recognize(&self) -> bool {
        true
    }

    fn require_interval_qualifier(&self) -> bool {
        true
    }

    fn allow_extract_custom(&self) -> bool {
        true
    }

    fn supports_named_fn_args_with_rarrow_operator(&self) -> bool {
        true
    }
}

/// The text that is planned, to turn the places of its syntax tree into bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'a>(pub &'a str);

impl Source<'_> {
    fn offset(self, place: Location) -> Option<usize> {
        let line = usize::try_from(place.line).ok()?.checked_sub(1)?;
        let column = usize::try_from(place.column).ok()?.checked_sub(1)?;
        let start = match line {
            0 => 0,
            _ => self.0.match_indices('\n').nth(line - 1)?.0 + 1,
        };
        let rest = self.0.get(start..)?;
        Some(start + rest.char_indices().nth(column).map_or(rest.len(), |(at, _)| at))
    }

    /// The bytes of a span; `None` for the empty span.
    pub(super) fn range(self, span: Span) -> Option<Range<usize>> {
        let (start, end) = (self.offset(span.start)?, self.offset(span.end)?);
        // A span's end is the place behind its last character; for quoted words and single tokens it may be the last one itself.
        Some(start..end.max(start + usize::from(end == start)).min(self.0.len()).max(start))
    }

    /// The bytes of a part of the syntax tree.
    pub(super) fn of(self, syntax: &impl Spanned) -> Option<Range<usize>> {
        self.range(syntax.span())
    }

    fn parser_error(self, error: ParserError) -> SqlError {
        let message = match error {
            ParserError::TokenizerError(message) | ParserError::ParserError(message) => message,
            ParserError::RecursionLimitExceeded => return SqlError::new("the query nests too deeply"),
        };
        let (text, place) = match message.rsplit_once(" at Line: ") {
            Some((text, place)) => (text, place),
            None => (message.as_str(), ""),
        };
        let mut numbers = place.split(", Column: ").filter_map(|n| n.trim().parse::<u64>().ok());
        let place = numbers.next().zip(numbers.next()).map(|(line, column)| Location { line, column });
        let offset = place.and_then(|place| self.offset(place));
        let text = text.replacen("Expected: ", "expected ", 1).replacen(", found: ", ", found ", 1);
        SqlError::new(text.replace("found EOF", "found the end")).at(offset.map(|at| at..self.word_end(at)))
    }

    /// The end of the word that starts at `at`.
    fn word_end(self, at: usize) -> usize {
        let rest = self.0.get(at..).unwrap_or("");
        let word = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
        at + if word == 0 { rest.chars().next().map_or(0, char::len_utf8) } else { word }
    }
}

fn tokens(text: &str) -> Result<Vec<TokenWithSpan>, SqlError> {
    let tokens = Tokenizer::new(&FlinkDialect, text).tokenize_with_location();
    let tokens = tokens.map_err(|e| Source(text).parser_error(ParserError::TokenizerError(format!("{}{}", e.message, e.location))))?;
    if tokens.len() > SQL_TOKENS {
        return Err(SqlError::new(format!("the query has more than {SQL_TOKENS} words and signs")));
    }
    if let Some(quoted) = tokens.iter().find(|t| matches!(&t.token, Token::DoubleQuotedString(_))) {
        let error = SqlError::new("double quotes have no meaning in Flink SQL").hint("use '…' for text and `…` for names");
        return Err(error.at(Source(text).range(quoted.span)));
    }
    Ok(tokens)
}

/// Reads one query.
pub(super) fn parse_query(text: &str) -> Result<Query, SqlError> {
    let source = Source(text);
    let mut parser = Parser::new(&FlinkDialect).with_tokens_with_locations(tokens(text)?);
    let first = parser.peek_token();
    let starts = matches!(&first.token, Token::Word(w) if matches!(w.keyword, Keyword::SELECT | Keyword::WITH | Keyword::VALUES));
    if !starts && first.token != Token::LParen {
        let error = match first.token {
            Token::EOF => SqlError::new("the query is empty"),
            other => SqlError::new(format!("a transform's SQL is one query: expected SELECT or WITH, found {other}")),
        };
        return Err(error.at(source.range(first.span)));
    }
    let statement = parser.parse_statement().map_err(|e| source.parser_error(e))?;
    while parser.consume_token(&Token::SemiColon) {}
    let rest = parser.peek_token();
    if rest.token != Token::EOF {
        let error = SqlError::new(format!("unexpected {} behind the query", rest.token));
        return Err(error.at(source.range(rest.span)));
    }
    match statement {
        Statement::Query(query) => Ok(*query),
        _ => Err(SqlError::new("a transform's SQL is one query: SELECT …")),
    }
}

/// Reads one expression.
pub(super) fn parse_expression(text: &str) -> Result<Expr, SqlError> {
    let source = Source(text);
    let mut parser = Parser::new(&FlinkDialect).with_tokens_with_locations(tokens(text)?);
    let expr = parser.parse_expr().map_err(|e| source.parser_error(e))?;
    let rest = parser.peek_token();
    if rest.token != Token::EOF {
        let error = SqlError::new(format!("unexpected {} behind the expression", rest.token));
        return Err(error.at(source.range(rest.span)));
    }
    Ok(expr)
}

/// The type that a CAST names.
pub(super) fn cast_type(data_type: &DataType) -> Result<LogicalType, SqlError> {
    // In a CAST, VARCHAR and VARBINARY without a length have no limit, unlike in DDL.
    let text = match data_type {
        DataType::Varchar(None) => "STRING".to_owned(),
        DataType::Varbinary(None) => "BYTES".to_owned(),
        other => other.to_string(),
    };
    text.parse::<LogicalType>().map_err(|_| {
        let names = crate::types::TYPE_NAMES.iter().copied();
        SqlError::new(format!("\"{text}\" is no type")).nearest(&text, names)
    })
}
