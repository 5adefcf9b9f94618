//! `stdin`: records from standard input, each one as soon as it is there.

use super::sources::FORMAT;
use super::{Source, SourceDeclaration};
use crate::types::{OptionError, OptionSpec};
use std::sync::Arc;

/// The options of `stdin`.
pub(super) const OPTIONS: &[OptionSpec] = &[FORMAT];

/// Makes the source.
pub(super) fn build(_declaration: &SourceDeclaration) -> Result<Arc<dyn Source>, OptionError> {
    Err(OptionError::new("connector", "stdin cannot be read yet"))
}
