//! What a function of the user's can say went wrong.

use super::values::ValueError;
use std::error::Error;
use std::fmt;

/// Any error; `?` turns others into it. It fails the job's attempt; the restart strategy decides what then.
pub struct FunctionError(Box<dyn Error + Send + Sync>);

/// What functions return.
pub type FunctionResult<T = ()> = Result<T, FunctionError>;

impl FunctionError {
    /// True if a value did not go where it was to go: then the same row will fail again.
    pub(super) fn is_value_error(&self) -> bool {
        self.0.is::<ValueError>()
    }

    /// With this message.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into().into())
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for FunctionError {
    #[cold]
    fn from(error: E) -> Self {
        Self(Box::new(error))
    }
}

impl fmt::Display for FunctionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for FunctionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
