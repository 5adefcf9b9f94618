//! Counts the steps of a script, so that one that does not come to an end is stopped. A hook of Lua's machine would slow every
//! instruction; instead each loop's turn, each call of a function of the script and each `goto` takes one from a budget.

/// The local under which a script finds its budget.
pub(super) const BUDGET: &str = "__flink_steps";

/// The local under which it finds what is called when there is nothing left.
const OVER: &str = "__flink_over";

/// The script with a check at the start of each function and each turn of a loop, and before each `goto`. Its first line takes the
/// budget (a table with one number) and what to call from the chunk's arguments. Lines stay where they are. A script that
/// is no Lua stays none.
pub(super) fn counted(script: &str) -> String {
    let check = format!(" {BUDGET}[1] = {BUDGET}[1] - 1 if {BUDGET}[1] < 0 then {OVER}() end ");
    let mut out = format!("local {BUDGET}, {OVER} = ... ");
    // What Lua skips, too: a first line for the shell.
    let mut rest = if script.starts_with('#') { &script[script.find('\n').unwrap_or(script.len())..] } else { script };
    let mut parameters = false;
    while !rest.is_empty() {
        let (length, kind) = next(rest);
        let token = &rest[..length];
        match token {
            "goto" if kind == Kind::Word => {
                out.push_str(&check);
                out.push_str(token);
            }
            "do" | "repeat" if kind == Kind::Word => {
                out.push_str(token);
                out.push_str(&check);
            }
            ")" if parameters => {
                parameters = false;
                out.push_str(token);
                out.push_str(&check);
            }
            _ => {
                parameters |= kind == Kind::Word && token == "function";
                out.push_str(token);
            }
        }
        rest = &rest[length..];
    }
    out
}

/// What a piece of a script is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A name or a keyword.
    Word,
    /// A string.
    Text,
    /// A number.
    Number,
    /// A comment, space.
    Nothing,
    /// One character of any other kind.
    Sign,
}

/// The length of the first piece of `text`, which is not empty, and what it is.
pub(super) fn next(text: &str) -> (usize, Kind) {
    let c = text.chars().next().unwrap_or_default();
    let until = |stop: fn(char) -> bool| text.find(stop).unwrap_or(text.len());
    if let Some(comment) = text.strip_prefix("--") {
        let length = long_bracket(comment).unwrap_or_else(|| comment.find('\n').unwrap_or(comment.len()));
        (2 + length, Kind::Nothing)
    } else if let Some(length) = long_bracket(text) {
        (length, Kind::Text)
    } else if c == '"' || c == '\'' {
        (quoted(text, c), Kind::Text)
    } else if c.is_ascii_digit() {
        (until(|c| !(c.is_ascii_alphanumeric() || c == '.')), Kind::Number)
    } else if c.is_ascii_alphabetic() || c == '_' {
        (until(|c| !(c.is_ascii_alphanumeric() || c == '_')), Kind::Word)
    } else if c.is_whitespace() {
        (until(|c| !c.is_whitespace()), Kind::Nothing)
    } else {
        (c.len_utf8(), Kind::Sign)
    }
}

/// The length of `[==[ … ]==]` at the start of `text`.
fn long_bracket(text: &str) -> Option<usize> {
    let inner = text.strip_prefix('[')?;
    let level = inner.find(|c| c != '=')?;
    inner[level..].starts_with('[').then(|| {
        let close = format!("]{}]", "=".repeat(level));
        text.find(&close).map_or(text.len(), |at| at + close.len())
    })
}

/// The length of the string at the start of `text`.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == quote || c == '\n' {
            return at + 1;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_turn_and_every_call_is_counted_and_nothing_else_changes() {
        let script = "function f(a, b) -- do\n  for i = 1, 2 do x = [[ do ]] end\n  repeat goto out until \"do\" == 'repeat'\n  ::out::\nend\n\
                      local g = function() return (a)() end";
        let counted = counted(script);
        let check = " __flink_steps[1] = __flink_steps[1] - 1 if __flink_steps[1] < 0 then __flink_over() end ";
        assert_eq!(counted.matches(check).count(), 5);
        assert_eq!(counted.lines().count(), script.lines().count());
        assert_eq!(counted.replace(check, "").replace("local __flink_steps, __flink_over = ... ", ""), script);
    }

    #[test]
    fn numbers_strings_and_comments_have_their_ends() {
        let pieces = |mut text: &'static str| {
            let mut found = Vec::new();
            while !text.is_empty() {
                let (length, kind) = next(text);
                if kind != Kind::Nothing {
                    found.push(&text[..length]);
                }
                text = &text[length..];
            }
            found
        };
        assert_eq!(pieces("a=0x1p4..'\\'' --[[ x\n]]b[=[ ]] ]=]"), ["a", "=", "0x1p4..", "'\\''", "b", "[=[ ]] ]=]"]);
        assert_eq!(pieces("é --c"), ["é"]);
        assert_eq!(pieces("'open"), ["'open"]);
    }
}
