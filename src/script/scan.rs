//! Which columns a script can read, found in its text alone: what it certainly does not mention, no source has to decode.

use super::steps::{Kind, next};
use std::collections::BTreeSet;

/// The columns that a script may read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MentionedColumns {
    /// These names; not all of them need to be columns.
    Named(BTreeSet<String>),
    /// Any: the text does not tell.
    All,
}

impl MentionedColumns {
    /// Whether the column called `name` may be read.
    pub fn contains(&self, name: &str) -> bool {
        match self {
            Self::Named(names) => names.contains(name),
            Self::All => true,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Name(String),
    /// A short string without escapes.
    Text(String),
    /// Any other string, a number.
    Literal,
    Sign(char),
}

/// The columns that `script` mentions. It must define `process` once, as `function process(event, …)` or `process = function(event,
/// …)`, and use that parameter's name for nothing but `event.column` and `event["column"]`; of anything else (`event` handed on,
/// `event[name]`, `process` or the globals' table touched in another way) the answer is all of them.
pub fn mentioned_columns(script: &str) -> MentionedColumns {
    match scan(&tokens(script)) {
        Some(names) => MentionedColumns::Named(names),
        None => MentionedColumns::All,
    }
}

fn scan(tokens: &[Token]) -> Option<BTreeSet<String>> {
    let is = |at: usize, sign: char| tokens.get(at) == Some(&Token::Sign(sign));
    let named = |at: usize, name: &str| matches!(tokens.get(at), Some(Token::Name(found)) if found == name);
    let is_field = |at: usize| at > 0 && (is(at - 1, '.') || is(at - 1, ':')) && !(at > 1 && is(at - 2, '.'));
    let free = |name: &'static str| (0..tokens.len()).filter(move |at| named(*at, name) && !is_field(*at));
    if ["_G", "_ENV", "rawset", "load"].into_iter().any(|name| free(name).next().is_some()) {
        return None;
    }
    let mut definitions = free("process");
    let (definition, None) = (definitions.next()?, definitions.next()) else { return None };
    let open = if definition > 0 && named(definition - 1, "function") && is(definition + 1, '(') {
        definition + 1
    } else if is(definition + 1, '=') && named(definition + 2, "function") && is(definition + 3, '(') {
        definition + 3
    } else {
        return None;
    };
    let parameter = open + 1;
    let event = match tokens.get(parameter)? {
        Token::Name(name) => name.as_str(),
        // Without a parameter nothing is read, unless the parameters are `...`.
        Token::Sign(')') => return Some(BTreeSet::new()),
        _ => return None,
    };
    let mut names = BTreeSet::new();
    for at in (0..tokens.len()).filter(|at| named(*at, event) && !is_field(*at) && *at != parameter) {
        let column = match (tokens.get(at + 1)?, tokens.get(at + 2)?) {
            (Token::Sign('.'), Token::Name(name)) => name,
            (Token::Sign('['), Token::Text(name)) if is(at + 3, ']') => name,
            _ => return None,
        };
        names.insert(column.clone());
    }
    Some(names)
}

fn tokens(script: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = if script.starts_with('#') { &script[script.find('\n').unwrap_or(script.len())..] } else { script };
    while !rest.is_empty() {
        let (length, kind) = next(rest);
        let piece = &rest[..length];
        match kind {
            Kind::Nothing => {}
            Kind::Word => tokens.push(Token::Name(piece.to_owned())),
            Kind::Number => tokens.push(Token::Literal),
            Kind::Text => tokens.push(text(piece)),
            Kind::Sign => tokens.extend(piece.chars().map(Token::Sign)),
        }
        rest = &rest[length..];
    }
    tokens
}

/// A string whose value is plain to see, or any other.
fn text(piece: &str) -> Token {
    let quote = piece.chars().next().filter(|c| *c != '[');
    let inner = quote.and_then(|quote| piece.strip_prefix(quote)?.strip_suffix(quote));
    match inner {
        Some(inner) if !inner.contains('\\') => Token::Text(inner.to_owned()),
        _ => Token::Literal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(script: &str) -> Option<Vec<String>> {
        match mentioned_columns(script) {
            MentionedColumns::Named(names) => Some(names.into_iter().collect()),
            MentionedColumns::All => None,
        }
    }

    #[test]
    fn fields_of_the_event_are_found_and_nothing_else() {
        let script = r#"
            -- event.comment is no use of it, nor is --[[ event.x ]] this
            function process(event, ctx)
              local s = "event.text" .. [[ event.long ]] .. event.price
              if event['channel'] == "x" then emit { event = event["two words"], a = ctx.event } end
            end"#;
        assert_eq!(names(script), None, "`event = …` in a table is another use of the name");
        assert_eq!(names(&script.replace("event = ", "b = ")), Some(vec!["channel".into(), "price".into(), "two words".into()]));
        assert_eq!(names("process = function(e) emit { a = e.a } end"), Some(vec!["a".into()]));
        assert_eq!(names("function process() end"), Some(Vec::new()));
    }

    #[test]
    fn whatever_else_is_done_with_the_event_means_all_columns() {
        for script in [
            "function process(event) local e = event; emit(e) end",
            "function process(event) emit { a = event[name] } end",
            "function process(event) emit { a = event['a' .. 'b'] } end",
            "function process(event) emit { a = event['\\97'] } end",
            "function process(event) emit { a = 1 .. event } end",
            "function process(...) local event = ... emit { a = event.a } end",
            "local function f(e) return e.a end process = f",
            "function process(event) return event.a end local g = process function process(e) end",
            "function process(event) end _G['pro' .. 'cess'] = function(e) emit(e) end",
            "function other(event) end",
        ] {
            assert_eq!(names(script), None, "{script}");
        }
    }
}
