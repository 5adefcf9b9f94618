//! The `filesystem` source: which files there are, how they are cut into splits, and how the splits are read.

use crate::connector::sources::FORMAT;
use crate::connector::{Source, SourceDeclaration};
use crate::types::{OptionError, OptionKind, OptionSpec};
use std::sync::Arc;

/// The options of the `filesystem` source.
pub(in crate::connector) const OPTIONS: &[OptionSpec] = &[
    OptionSpec {
        key: "path",
        kind: OptionKind::Text,
        default: None,
        required: true,
        doc: "A file, a directory (read with all below it, names that begin with . or _ left out) or a pattern with *, ?, [a-z] and **; \
              relative to the job's directory; file: URLs too. .gz and .zst files are unpacked.",
    },
    FORMAT,
    OptionSpec {
        key: "source.monitor-interval",
        kind: OptionKind::Duration,
        default: None,
        required: false,
        doc: "How often to look for new files; the source is then unbounded. Without it the files that are there at the start are read.",
    },
    OptionSpec {
        key: "source.path.regex-pattern",
        kind: OptionKind::Text,
        default: None,
        required: false,
        doc: "A regular expression that a file's whole absolute path must match.",
    },
];

/// Makes the source.
pub(in crate::connector) fn build(_declaration: &SourceDeclaration) -> Result<Arc<dyn Source>, OptionError> {
    Err(OptionError::new("connector", "filesystem cannot be read yet"))
}
