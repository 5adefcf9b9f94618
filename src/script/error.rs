//! What went wrong in a script: the message with script and line, and the event that was being worked on.

use mlua::Error;

/// A script is wrong, or failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ScriptError {
    /// `bursts.lua:3: …`, where there is a line.
    pub message: String,
    /// The line of the script, counted from 1.
    pub line: Option<usize>,
}

/// The most characters of an event that a message shows.
pub(super) const SHOWN_CHARS: usize = 400;

impl ScriptError {
    /// An error without a line.
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), line: None }
    }

    /// What Lua says went wrong in the script that errors call `chunk`.
    pub(super) fn of(error: &Error, chunk: &str) -> Self {
        let message = plain(error, chunk);
        let message = if message.starts_with(chunk) { message } else { format!("{chunk}: {message}") };
        let line = message.strip_prefix(chunk).and_then(|rest| rest.strip_prefix(':')).and_then(|rest| {
            let end = rest.find(|c: char| !c.is_ascii_digit())?;
            rest[..end].parse().ok()
        });
        Self { message, line }
    }

    /// The same error with what was being worked on.
    pub(super) fn during(mut self, what: &str) -> Self {
        self.message = format!("{} ({})", self.message, bounded(what));
        self
    }
}

/// True if the error was raised in the prelude, not at a line of the script.
pub(super) fn is_of_prelude(error: &Error) -> bool {
    match error {
        Error::CallbackError { cause, .. } | Error::WithContext { cause, .. } => is_of_prelude(cause),
        Error::RuntimeError(message) => message.starts_with("prelude:"),
        _ => false,
    }
}

/// The first characters of `text`.
pub(super) fn bounded(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The message alone: no traceback, no wrapping.
fn plain(error: &Error, chunk: &str) -> String {
    match error {
        Error::CallbackError { cause, .. } | Error::WithContext { cause, .. } => plain(cause, chunk),
        Error::RuntimeError(message) | Error::SyntaxError { message, .. } => {
            let message = message.split("\nstack traceback:").next().unwrap_or_default();
            // A tail call (`return emit { … }`) leaves no line of the script on the stack.
            let inner = message.strip_prefix("prelude:").and_then(|rest| rest.split_once(": "));
            inner.map_or_else(|| message.to_owned(), |(_, message)| format!("{chunk}: {message}"))
        }
        Error::MemoryError(_) => format!("{chunk}: the script needs more memory than it may use (script.memory)"),
        other => other.to_string(),
    }
}
