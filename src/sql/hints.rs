//! Hints in a query, `/*+ STATE_TTL('orders' = '1 h') */`. To the parser they are comments.

use super::SqlError;
use super::parse::{FlinkDialect, Source};
use crate::types::parse_duration;
use sqlparser::ast::{Query, Select, SetExpr, TableFactor};
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer, Whitespace};
use std::time::Duration;

/// Flink's hint that says how long the state of an operator over a table is kept.
const STATE_TTL: &str = "STATE_TTL";

/// How long the query's groups are kept, if a hint says so; zero: for ever. Other hints are for an optimizer and change no result: they
/// are left to it. The hint is for a query of one SELECT; it must name what that reads.
pub(super) fn state_ttl(text: &str, query: &Query) -> Result<Option<Duration>, SqlError> {
    if !text.contains("/*+") {
        return Ok(None);
    }
    let all = Tokenizer::new(&FlinkDialect, text).tokenize_with_location().unwrap_or_default();
    let selects = all.iter().filter(|t| matches!(&t.token, Token::Word(word) if word.keyword == Keyword::SELECT)).count();
    let mut found = None;
    for hint in &all {
        let Token::Whitespace(Whitespace::MultiLineComment(comment)) = &hint.token else { continue };
        let Some(written) = comment.strip_prefix('+') else { continue };
        let wrong = |message: String| SqlError::new(message).at(Source(text).range(hint.span));
        for (name, value) in entries(written).map_err(wrong)? {
            let select = match query.body.as_ref() {
                SetExpr::Select(select) if selects == 1 => select,
                _ => {
                    let error = SqlError::unsupported("STATE_TTL in a query of several SELECTs").at(Source(text).range(hint.span));
                    return Err(error.hint("make the SELECT that it is for a transform of its own"));
                }
            };
            if !reads(select, &name) {
                return Err(wrong(format!("{STATE_TTL}: the query reads nothing called \"{name}\"")));
            }
            found = Some(parse_duration(&value).map_err(|e| wrong(format!("{STATE_TTL}: {e}")))?);
        }
    }
    Ok(found)
}

/// The entries of all `STATE_TTL(…)` in a hint: name and value.
fn entries(written: &str) -> Result<Vec<(String, String)>, String> {
    let malformed = || format!("{STATE_TTL}: expected {STATE_TTL}('table' = '1 h')");
    let tokens = Tokenizer::new(&FlinkDialect, written).tokenize_with_location().map_err(|e| e.message)?;
    let mut tokens = tokens.into_iter().map(|TokenWithSpan { token, .. }| token).filter(|t| !matches!(t, Token::Whitespace(_)));
    let mut entries = Vec::new();
    while let Some(token) = tokens.next() {
        if !matches!(&token, Token::Word(word) if word.value.eq_ignore_ascii_case(STATE_TTL)) {
            continue;
        }
        if tokens.next() != Some(Token::LParen) {
            return Err(malformed());
        }
        loop {
            match (tokens.next(), tokens.next(), tokens.next()) {
                (Some(Token::SingleQuotedString(name)), Some(Token::Eq), Some(Token::SingleQuotedString(value))) => {
                    entries.push((name, value));
                }
                _ => return Err(malformed()),
            }
            match tokens.next() {
                Some(Token::Comma) => {}
                Some(Token::RParen) => break,
                _ => return Err(malformed()),
            }
        }
    }
    Ok(entries)
}

/// True if the SELECT reads a table of this name or alias.
fn reads(select: &Select, wanted: &str) -> bool {
    let relations = select.from.iter().flat_map(|from| std::iter::once(&from.relation).chain(from.joins.iter().map(|join| &join.relation)));
    let mut tables = relations.filter_map(|relation| match relation {
        TableFactor::Table { name, alias, .. } => Some((name.to_string().replace('`', ""), alias.as_ref().map(|alias| &alias.name.value))),
        _ => None,
    });
    tables.any(|(name, alias)| alias.map_or(name == wanted, |alias| alias == wanted))
}
