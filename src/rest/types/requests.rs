//! What is sent to a job, and the answers to asynchronous requests: a trigger gives a `request-id`, which is polled for.

use crate::state::SnapshotForm;
use crate::types::{CheckpointId, WallTime};
use serde::{Deserialize, Serialize};

/// A message without fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Empty {}

/// The body of every refusal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Errors {
    /// What was refused, and why.
    pub errors: Vec<String>,
}

/// The format of a savepoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum SavepointFormat {
    /// Independent of the state backend.
    #[default]
    Canonical,
    /// The state backend's own.
    Native,
}

impl SavepointFormat {
    /// `CANONICAL`
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Canonical => "CANONICAL",
            Self::Native => "NATIVE",
        }
    }

    /// In which form the job writes its state.
    pub const fn form(self) -> SnapshotForm {
        match self {
            Self::Canonical => SnapshotForm::Canonical,
            Self::Native => SnapshotForm::Native,
        }
    }
}

/// `POST /jobs/:id/savepoints`
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SavepointTrigger {
    /// Where to; the job's `savepoint-dir` without.
    #[serde(rename = "target-directory", default)]
    pub target_directory: Option<String>,
    /// Cancel the job when the savepoint is complete.
    #[serde(rename = "cancel-job", default)]
    pub cancel_job: bool,
    /// In which format.
    #[serde(rename = "formatType", default)]
    pub format: SavepointFormat,
    /// The request's id, if the caller wants to choose it.
    #[serde(rename = "triggerId", default)]
    pub trigger_id: Option<String>,
    /// How long the savepoint may take, in milliseconds. Not in Flink's message: a cluster is never sent one.
    #[serde(rename = "timeout", default, skip_serializing_if = "Option::is_none")]
    pub timeout_millis: Option<u64>,
}

/// `POST /jobs/:id/stop`
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StopTrigger {
    /// Where to; the job's `savepoint-dir` without.
    #[serde(rename = "targetDirectory", default)]
    pub target_directory: Option<String>,
    /// Emit the maximum watermark before the savepoint.
    #[serde(default)]
    pub drain: bool,
    /// In which format.
    #[serde(rename = "formatType", default)]
    pub format: SavepointFormat,
    /// The request's id, if the caller wants to choose it.
    #[serde(rename = "triggerId", default)]
    pub trigger_id: Option<String>,
    /// How long the savepoint may take, in milliseconds. Not in Flink's message: a cluster is never sent one.
    #[serde(rename = "timeout", default, skip_serializing_if = "Option::is_none")]
    pub timeout_millis: Option<u64>,
}

/// Which checkpoint is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum CheckpointType {
    /// As the job is configured.
    #[default]
    Configured,
    /// Nothing is shared with earlier checkpoints.
    Full,
    /// Only what changed since the last one.
    Incremental,
}

/// `POST /jobs/:id/checkpoints`
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CheckpointRequest {
    /// Which one.
    #[serde(rename = "checkpointType", default)]
    pub checkpoint_type: CheckpointType,
    /// The request's id, if the caller wants to choose it.
    #[serde(rename = "triggerId", default)]
    pub trigger_id: Option<String>,
}

/// `POST /savepoint-disposal`
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DisposalRequest {
    /// Which savepoint.
    #[serde(rename = "savepoint-path")]
    pub savepoint_path: String,
}

/// The answer to a trigger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Triggered {
    /// Under this the result is polled for.
    #[serde(rename = "request-id")]
    pub request_id: String,
}

/// Whether a result is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum OperationState {
    /// Not yet.
    InProgress,
    /// It is, good or bad.
    Completed,
}

/// Whether a result is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationStatus {
    /// Flink wraps the word.
    pub id: OperationState,
}

/// The answer to a poll.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Polled<T> {
    /// Whether the result is there.
    pub status: OperationStatus,
    /// The result.
    #[serde(default = "Option::default")]
    pub operation: Option<T>,
}

impl<T> Polled<T> {
    /// `IN_PROGRESS`
    pub const fn in_progress() -> Self {
        Self { status: OperationStatus { id: OperationState::InProgress }, operation: None }
    }

    /// `COMPLETED` with its result.
    pub const fn completed(operation: T) -> Self {
        Self { status: OperationStatus { id: OperationState::Completed }, operation: Some(operation) }
    }
}

/// Why an operation failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureCause {
    /// A Java class in Flink; this program says `flink`.
    pub class: String,
    /// The message; in Flink with the frames of the Java stack.
    #[serde(rename = "stack-trace")]
    pub stack_trace: String,
    /// A Java object in Flink; empty here.
    #[serde(rename = "serialized-throwable", default)]
    pub serialized_throwable: Option<String>,
}

impl FailureCause {
    /// A cause with this message.
    pub fn new(message: impl Into<String>) -> Self {
        Self { class: "flink".to_owned(), stack_trace: message.into(), serialized_throwable: None }
    }

    /// The messages of the chain of causes, without Java's class names and frames, outermost first, each one once.
    pub fn messages(&self) -> Vec<String> {
        let mut messages: Vec<String> = Vec::new();
        for line in self.stack_trace.lines() {
            if line.starts_with('\t') || line.trim_start().starts_with("...") {
                continue;
            }
            let line = line.strip_prefix("Caused by: ").unwrap_or(line);
            let text = without_java_classes(line).trim();
            if !text.is_empty() && !messages.iter().any(|m| m == text) {
                messages.push(text.to_owned());
            }
        }
        messages
    }
}

/// `java.util.X: org.apache.Y: text` → `text`. A line without a message is left as it is.
fn without_java_classes(mut line: &str) -> &str {
    while let Some((head, rest)) = line.split_once(": ") {
        let is_class = head.contains('.') && head.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '$' | '_'));
        if !is_class {
            break;
        }
        line = rest;
    }
    line
}

/// The result of a savepoint, stop or disposal: one of the two, or neither after a disposal.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SavepointOperation {
    /// `file:/…`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// Why it failed.
    #[serde(rename = "failure-cause", default, skip_serializing_if = "Option::is_none")]
    pub failure_cause: Option<FailureCause>,
}

/// The result of a checkpoint: one of the two.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CheckpointOperation {
    /// Its number.
    #[serde(rename = "checkpointId", default, skip_serializing_if = "Option::is_none")]
    pub checkpoint_id: Option<CheckpointId>,
    /// Why it failed. (Camel case here, unlike a savepoint's.)
    #[serde(rename = "failureCause", default, skip_serializing_if = "Option::is_none")]
    pub failure_cause: Option<FailureCause>,
}

/// One metric of `GET …/metrics`; without a value where no `get` asked for one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetricValue {
    /// Its name.
    pub id: String,
    /// Its value as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// When something happened that a message speaks of; `-1` where Flink has no value.
pub const NEVER: WallTime = WallTime(-1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_java_stack_is_read_as_its_messages() {
        let cause = FailureCause {
            class: "java.util.concurrent.CompletionException".to_owned(),
            stack_trace: "java.util.concurrent.CompletionException: org.apache.flink.runtime.checkpoint.CheckpointException: An Exception \
                          occurred while triggering the checkpoint. IO-problem detected.\n\tat java.base/X.y(Z.java:1)\nCaused by: \
                          java.io.IOException: Failed to create savepoint directory at /proc/nope\n\t... 3 more\n"
                .to_owned(),
            serialized_throwable: None,
        };
        assert_eq!(
            cause.messages(),
            [
                "An Exception occurred while triggering the checkpoint. IO-problem detected.",
                "Failed to create savepoint directory at /proc/nope"
            ]
        );
        assert_eq!(FailureCause::new("no directory: /x").messages(), ["no directory: /x"]);
    }

    #[test]
    fn triggers_read_with_any_of_their_fields_missing() {
        assert_eq!(serde_json::from_str::<SavepointTrigger>("{\"nope\": 1}").unwrap(), SavepointTrigger::default());
        let trigger: StopTrigger =
            serde_json::from_str(r#"{"targetDirectory":null,"drain":true,"formatType":"NATIVE","triggerId":null}"#).unwrap();
        assert!(trigger.drain && trigger.format == SavepointFormat::Native);
        assert!(serde_json::from_str::<CheckpointRequest>(r#"{"checkpointType":"SOME"}"#).is_err());
    }

    #[test]
    fn polls_are_written_as_flink_writes_them() {
        let running = serde_json::to_string(&Polled::<SavepointOperation>::in_progress()).unwrap();
        assert_eq!(running, r#"{"status":{"id":"IN_PROGRESS"},"operation":null}"#);
        let done = Polled::completed(CheckpointOperation { checkpoint_id: Some(CheckpointId::new(12)), failure_cause: None });
        assert_eq!(serde_json::to_string(&done).unwrap(), r#"{"status":{"id":"COMPLETED"},"operation":{"checkpointId":12}}"#);
    }
}
