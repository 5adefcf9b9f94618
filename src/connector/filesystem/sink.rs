//! The sink `filesystem`: its options.

use crate::connector::{Sink, SinkDeclaration, sinks};
use crate::types::{OptionError, OptionKind, OptionSpec};
use std::sync::Arc;

const fn spec(key: &'static str, kind: OptionKind, default: Option<&'static str>, doc: &'static str) -> OptionSpec {
    OptionSpec { key, kind, default, required: false, doc }
}

/// The options of the sink, without those of the format.
pub(in crate::connector) const OPTIONS: &[OptionSpec] = &[
    OptionSpec {
        key: "path",
        kind: OptionKind::Text,
        default: None,
        required: true,
        doc: "The directory that the files are written to; relative to the job file's directory, or a `file:` URL.",
    },
    OptionSpec { key: "format", kind: OptionKind::Text, default: None, required: true, doc: "The format of the files." },
    spec("sink.rolling-policy.file-size", OptionKind::Size, Some("128 mb"), "A file that has grown to this size is closed."),
    spec(
        "sink.rolling-policy.rollover-interval",
        OptionKind::Duration,
        Some("30 min"),
        "A file that has been open for this long is closed.",
    ),
    spec(
        "sink.rolling-policy.inactivity-interval",
        OptionKind::Duration,
        Some("30 min"),
        "A file that no row was written to for this long is closed.",
    ),
    spec("sink.rolling-policy.check-interval", OptionKind::Duration, Some("1 min"), "How often the two intervals are looked at."),
    spec(
        "sink.rolling-policy.on-checkpoint",
        OptionKind::Bool,
        Some("true"),
        "Close the file at every checkpoint, so that its rows become visible with it. With `false`, as in Flink, a file stays open, and invisible, until it is closed for another reason.",
    ),
    spec(
        "compression",
        OptionKind::Word(&["none", "gzip", "zstd"]),
        Some("none"),
        "How the files are compressed. Compressed files are closed at every checkpoint.",
    ),
    sinks::PARALLELISM,
];

pub(in crate::connector) fn build_sink(_declaration: &SinkDeclaration) -> Result<Arc<dyn Sink>, OptionError> {
    Err(OptionError::new("connector", "this sink cannot be built yet"))
}
