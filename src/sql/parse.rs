//! Text → syntax tree, in Flink's dialect, with places as byte offsets.

use super::SqlError;
use crate::types::LogicalType;
use crate::types::limits::{SQL_CHAIN, SQL_TOKENS};
use sqlparser::ast::{DataType, Expr, Query, Spanned, Statement};
use sqlparser::dialect::Dialect;
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan, Tokenizer};
use std::ops::Range;

/// Flink's dialect: backquotes around identifiers, `'…'` texts without escapes, FILTER behind aggregates.
#[derive(Debug, Default)]
pub(super) struct FlinkDialect;

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
        let end = end.max(start + usize::from(end == start)).min(self.0.len()).max(start);
        Some(start..self.closed(start, end))
    }

    /// `end`, or the place behind the parentheses that are open there: the span of a call leaves out its last one.
    fn closed(self, start: usize, end: usize) -> usize {
        let (mut open, mut quote) = (0_i32, None);
        for c in self.0.get(start..end).unwrap_or("").chars() {
            match (c, quote) {
                (c, Some(q)) => quote = (c != q).then_some(q),
                ('\'' | '`', None) => quote = Some(c),
                ('(', None) => open += 1,
                (')', None) => open -= 1,
                _ => {}
            }
        }
        let mut end = end;
        while open > 0 {
            let rest = self.0.get(end..).unwrap_or("");
            let Some(after) = rest.trim_start().strip_prefix(')') else { break };
            end = self.0.len() - after.len();
            open -= 1;
        }
        end
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
    let tokens: Vec<_> = tokens.into_iter().filter(|t| !matches!(t.token, Token::Whitespace(_))).collect();
    if tokens.len() > SQL_TOKENS {
        return Err(SqlError::new(format!("the query has more than {SQL_TOKENS} words and signs")));
    }
    if let Some(quoted) = tokens.iter().find(|t| matches!(&t.token, Token::DoubleQuotedString(_))) {
        let error = SqlError::new("double quotes have no meaning in Flink SQL").hint("use '…' for text and `…` for names");
        return Err(error.at(Source(text).range(quoted.span)));
    }
    refuse_long_chains(text, &tokens)?;
    refuse_window_functions(text, &tokens)?;
    Ok(tokens)
}

/// The syntax tree of a chain of operators is as deep as the chain is long, and everything that walks it uses the stack: chains are
/// bounded before there is a tree. Counts operators between commas and clauses, for each level of parentheses.
fn refuse_long_chains(text: &str, tokens: &[TokenWithSpan]) -> Result<(), SqlError> {
    let mut levels = vec![0_usize];
    let mut unions = 0;
    for token in tokens {
        let count = match &token.token {
            Token::LParen => {
                levels.push(0);
                continue;
            }
            Token::RParen => {
                levels.pop();
                continue;
            }
            Token::Comma => 0,
            Token::Word(word) => match word.keyword {
                Keyword::AND
                | Keyword::OR
                | Keyword::IS
                | Keyword::IN
                | Keyword::LIKE
                | Keyword::BETWEEN
                | Keyword::COLLATE
                | Keyword::AT
                | Keyword::SIMILAR
                | Keyword::REGEXP
                | Keyword::RLIKE
                | Keyword::ILIKE
                | Keyword::NOT
                | Keyword::NOTNULL => 1,
                Keyword::UNION | Keyword::EXCEPT | Keyword::INTERSECT => {
                    unions += 1;
                    0
                }
                Keyword::SELECT | Keyword::FROM | Keyword::WHERE | Keyword::GROUP | Keyword::HAVING => 0,
                _ => continue,
            },
            Token::Number(..) | Token::SingleQuotedString(_) => continue,
            _ => 1,
        };
        let Some(level) = levels.last_mut() else { return Ok(()) };
        *level = if count == 0 { 0 } else { *level + 1 };
        if *level > 2 * SQL_CHAIN || unions > SQL_CHAIN {
            let error = SqlError::new(format!("more than {SQL_CHAIN} operators in one chain")).hint("use IN (…)");
            return Err(error.at(Source(text).range(token.span)));
        }
    }
    Ok(())
}

/// `TABLE(TUMBLE(TABLE t, …))`: the parser does not know the form, so it is found before.
fn refuse_window_functions(text: &str, tokens: &[TokenWithSpan]) -> Result<(), SqlError> {
    let word = |token: &Token, wanted: &str| matches!(token, Token::Word(w) if w.value.eq_ignore_ascii_case(wanted));
    for window in tokens.windows(4) {
        let [table, open, name, next] = window else { continue };
        let starts = word(&table.token, "TABLE") && open.token == Token::LParen && next.token == Token::LParen;
        let found = ["TUMBLE", "HOP", "CUMULATE", "SESSION"].into_iter().find(|known| word(&name.token, known));
        if let (true, Some(found)) = (starts, found) {
            let error = SqlError::unsupported(&format!("the window table function {found}"));
            return Err(error.at(Source(text).range(name.span)));
        }
    }
    Ok(())
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
