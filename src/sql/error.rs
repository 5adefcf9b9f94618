//! What is wrong with a query: where, what, and what would be right.

use std::fmt;
use std::ops::Range;

/// A query or expression that cannot be planned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct SqlError {
    /// The bytes of the SQL text that the error is about, where they are known.
    pub offset: Option<Range<usize>>,
    /// What is wrong.
    pub message: String,
    /// What to do instead, if there is something to say: the nearest right name, a function that does it.
    pub hint: Option<String>,
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

impl SqlError {
    /// An error without a place.
    pub fn new(message: impl Into<String>) -> Self {
        Self { offset: None, message: message.into(), hint: None }
    }

    /// A construct of Flink's SQL that this planner does not know yet.
    pub fn unsupported(construct: &str) -> Self {
        Self::new(format!("{construct} is not supported yet"))
    }

    /// The same error at this place, unless it has one.
    #[must_use]
    pub fn at(mut self, place: Option<Range<usize>>) -> Self {
        self.offset = self.offset.or(place);
        self
    }

    /// The same error with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same error with `did you mean …?` if one of `names` is near `wrong`.
    #[must_use]
    pub fn nearest<'n>(mut self, wrong: &str, names: impl IntoIterator<Item = &'n str>) -> Self {
        if let Some(name) = nearest_name(wrong, names) {
            self.hint = Some(format!("did you mean \"{name}\"?"));
        }
        self
    }
}

/// The name among `names` that is most like `wrong`, if one is like it at all. Case counts little.
fn nearest_name<'n>(wrong: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let lower = wrong.to_lowercase();
    let scored = names.into_iter().map(|name| (strsim::jaro_winkler(&lower, &name.to_lowercase()), name));
    let best = scored.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 > 0.8).then_some(best.1)
}
