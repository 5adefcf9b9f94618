//! What a person or a script gets to see: Flink's texts, one JSON document, or the one thing that was asked for; and errors, in three
//! lines. Everything that is printed goes through here.

use super::command::{Style, UsageError};
use crate::error::ExitStatus;
use crate::rest::client::ClientError;
use serde_json::{Value, json};
use std::io::{self, Write};

/// Standard output and standard error, with how they are to be used. A reader that goes away (`| head`) is no error.
pub struct Output<'a> {
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
    style: Style,
    failure: Option<io::Error>,
    /// Standard output is for a job's rows.
    rows_only: bool,
    /// What was remarked so far.
    notes: String,
}

impl<'a> Output<'a> {
    /// Writes to these two.
    pub fn new(out: &'a mut dyn Write, err: &'a mut dyn Write, style: Style) -> Self {
        Self { out, err, style, failure: None, rows_only: false, notes: String::new() }
    }

    /// How to report.
    pub fn style(&self) -> Style {
        self.style
    }

    /// A line of Flink's own text on standard output; nothing with `-q` and `-o json`.
    pub fn line(&mut self, text: impl AsRef<str>) {
        if !self.style.json && !self.style.quiet {
            self.print(text.as_ref());
        }
    }

    /// The result: the one thing that `-q` prints, or the document that `-o json` prints. Neither appears without its flag.
    pub fn result(&mut self, value: &str, document: &Value) {
        if self.style.json {
            self.document(document);
        } else if self.style.quiet && !value.is_empty() {
            self.print(value);
        }
    }

    /// From now on standard output belongs to the rows of a job: what would go there goes to standard error.
    pub fn leave_stdout_to_rows(&mut self) {
        self.rows_only = true;
    }

    /// The document that ends a command; nothing without `-o json`.
    pub fn end(&mut self, document: &Value) {
        if self.style.json {
            self.document(document);
        }
    }

    /// What was remarked so far: a detached job hands it to whoever started it.
    pub fn take_notes(&mut self) -> String {
        std::mem::take(&mut self.notes)
    }

    /// A document, whatever the flags.
    pub fn document(&mut self, document: &Value) {
        let text = serde_json::to_string_pretty(document).unwrap_or_else(|e| format!("{{\"error\": \"{e}\"}}"));
        self.print(&text);
    }

    /// Text on standard output, whatever the flags.
    pub fn print(&mut self, text: &str) {
        if self.rows_only {
            // If standard error is gone, there is nobody to tell.
            let _ = writeln!(self.err, "{text}");
            return;
        }
        let written = writeln!(self.out, "{text}").and_then(|()| self.out.flush());
        if let (Err(error), None) = (written, &self.failure) {
            self.failure = Some(error);
        }
    }

    /// Bytes on standard output, whatever the flags. False: it is gone, nothing more need be written.
    pub fn bytes(&mut self, bytes: &[u8]) -> bool {
        let written = self.out.write_all(bytes).and_then(|()| self.out.flush());
        if let (Err(error), None) = (written, &self.failure) {
            self.failure = Some(error);
        }
        !self.is_broken()
    }

    /// True if standard output is gone.
    pub fn is_broken(&self) -> bool {
        self.failure.is_some()
    }

    /// A remark on standard error; nothing with `-q`.
    pub fn note(&mut self, text: impl AsRef<str>) {
        if !self.style.quiet {
            self.notes.push_str(text.as_ref());
            self.notes.push('\n');
            // If standard error is gone, there is nobody to tell.
            let _ = writeln!(self.err, "{}", text.as_ref());
        }
    }

    /// An error: on standard error as text, on standard output as JSON.
    pub fn error(&mut self, error: &CliError) {
        if self.style.json {
            self.document(&json!({ "error": error.document() }));
        } else {
            let _ = writeln!(self.err, "{}", error.text(self.style.verbose));
        }
    }

    /// How the command ends: as `status` says, unless standard output failed in a way that matters.
    pub fn finish(&mut self, status: ExitStatus) -> ExitStatus {
        match self.failure.take() {
            Some(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                let _ = writeln!(self.err, "flink: writing to standard output failed: {error}");
                if status == ExitStatus::Done { ExitStatus::Failed } else { status }
            }
            _ => status,
        }
    }
}

/// A command that failed: what was asked, what went wrong, what to do next.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct CliError {
    /// The number of the exit code.
    pub exit_code: u8,
    /// What was asked: `could not take a savepoint of job …`.
    pub asked: String,
    /// What went wrong.
    pub wrong: String,
    /// What to do next.
    pub next: Option<String>,
    /// What lies behind it, outermost first.
    pub causes: Vec<String>,
}

impl CliError {
    /// An error without a way out and without causes.
    pub fn new(status: ExitStatus, asked: impl Into<String>, wrong: impl Into<String>) -> Self {
        Self { exit_code: status as u8, asked: asked.into(), wrong: wrong.into(), next: None, causes: Vec::new() }
    }

    /// With what to do next.
    #[must_use]
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }

    /// With what lies behind an error: its sources.
    #[must_use]
    pub fn caused_by(mut self, error: &(dyn std::error::Error + 'static)) -> Self {
        let mut source = error.source();
        while let Some(cause) = source {
            self.causes.push(cause.to_string());
            source = cause.source();
        }
        self
    }

    /// What a client ran into while `asked` was to be done; `failed`: how it ends if the peer carried it out, and it failed.
    pub fn client(asked: impl Into<String>, error: &ClientError, failed: ExitStatus) -> Self {
        let status = match error {
            _ if error.is_unknown_job() => ExitStatus::NoSuchJob,
            ClientError::Unreachable { .. } | ClientError::Timeout { .. } => ExitStatus::Unreachable,
            ClientError::Refused { .. } | ClientError::Failed { .. } => failed,
            ClientError::Unreadable { .. } => ExitStatus::Failed,
        };
        let mut made = Self::new(status, asked, error.to_string()).caused_by(error);
        if let ClientError::Refused { messages, .. } | ClientError::Failed { messages } = error {
            // The innermost message is the one that says what happened.
            if let Some(last) = messages.last().filter(|_| messages.len() > 1) {
                made.wrong = format!("{} ({last})", made.wrong.trim_end_matches('.'));
            }
            made.causes.extend(messages.iter().skip(1).cloned());
        }
        match status {
            ExitStatus::NoSuchJob => made.next("`flink list` shows the jobs that run"),
            ExitStatus::Unreachable => {
                made.next("`flink list -a` shows what is known of the jobs on this machine; with -m, check host and port")
            }
            _ => made,
        }
    }

    /// How the command ends.
    pub fn status(&self) -> ExitStatus {
        const ALL: [ExitStatus; 7] = [
            ExitStatus::Failed,
            ExitStatus::Usage,
            ExitStatus::NoSuchJob,
            ExitStatus::Unreachable,
            ExitStatus::SavepointFailed,
            ExitStatus::NotRestorable,
            ExitStatus::Interrupted,
        ];
        ALL.into_iter().find(|s| *s as u8 == self.exit_code).unwrap_or(ExitStatus::Failed)
    }

    /// At most three lines (more if what went wrong has several), and the causes with `verbose`.
    pub fn text(&self, verbose: bool) -> String {
        let mut text = if self.asked.is_empty() { "flink:".to_owned() } else { format!("flink: {}:", self.asked) };
        text.push_str(if self.wrong.contains('\n') { "\n" } else { " " });
        text.push_str(self.wrong.trim_end());
        if let Some(next) = &self.next {
            text.push_str("\n  ");
            text.push_str(next);
        }
        if verbose {
            for cause in &self.causes {
                text.push_str("\n  caused by: ");
                text.push_str(cause);
            }
        }
        text
    }

    fn document(&self) -> Value {
        json!({
            "message": if self.asked.is_empty() { self.wrong.clone() } else { format!("{}: {}", self.asked, self.wrong) },
            "next": self.next,
            "causes": self.causes,
            "exit-code": self.exit_code,
        })
    }
}

impl From<UsageError> for CliError {
    fn from(error: UsageError) -> Self {
        let next = error.next.clone();
        Self { next, ..Self::new(ExitStatus::Usage, "", error.message) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STYLE: Style = Style { json: false, quiet: false, verbose: false, progress: false };

    struct Broken(io::ErrorKind);

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_goes_away_is_no_error_and_a_full_disk_is() {
        for (kind, expected) in [(io::ErrorKind::BrokenPipe, ExitStatus::Done), (io::ErrorKind::StorageFull, ExitStatus::Failed)] {
            let (mut out, mut err) = (Broken(kind), Vec::new());
            let mut output = Output::new(&mut out, &mut err, STYLE);
            output.line("one");
            output.line("two");
            assert_eq!(output.finish(ExitStatus::Done), expected);
        }
    }

    #[test]
    fn an_error_is_three_lines_and_its_causes_come_when_asked_for() {
        let failed = ClientError::Failed { messages: vec!["Outer.".to_owned(), "inner".to_owned()] };
        let error = CliError::client("could not take a savepoint of job J", &failed, ExitStatus::SavepointFailed).next("try again");
        assert_eq!(error.text(false), "flink: could not take a savepoint of job J: Outer (inner)\n  try again");
        assert_eq!(error.text(true).lines().count(), 3);
        assert_eq!(error.status(), ExitStatus::SavepointFailed);
        let unknown = ClientError::Failed { messages: vec!["x".to_owned(), "Could not find Flink job (0)".to_owned()] };
        assert_eq!(CliError::client("x", &unknown, ExitStatus::SavepointFailed).status(), ExitStatus::NoSuchJob);
    }

    #[test]
    fn json_has_errors_on_standard_output_and_no_texts() {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut output = Output::new(&mut out, &mut err, Style { json: true, ..STYLE });
        output.line("Waiting for response...");
        output.error(&CliError::new(ExitStatus::NoSuchJob, "asked", "wrong"));
        let document: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(document["error"]["exit-code"], 3);
        assert_eq!(document["error"]["message"], "asked: wrong");
        assert!(err.is_empty());
    }
}
