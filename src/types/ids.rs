//! Identities: jobs, checkpoints, operators, asynchronous requests.

use std::fmt;
use std::str::FromStr;

/// A text that is no id. Its message is Flink's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Cannot parse {what} from \"{text}\". The expected format is [0-9a-fA-F]{{32}}, e.g. fd72014d4c864993a2e5a9287b4a9c5d.")]
pub struct IdError {
    what: &'static str,
    text: String,
}

macro_rules! hex_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(u128);

        impl $name {
            /// An id from 128 bits, random ones as a rule.
            pub const fn from_u128(bits: u128) -> Self {
                Self(bits)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:032x}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let error = || IdError { what: $what, text: text.to_owned() };
                if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
                    return Err(error());
                }
                u128::from_str_radix(text, 16).map(Self).map_err(|_| error())
            }
        }
    };
}

hex_id!(
    /// One execution of a job: 32 hex digits, new on every `flink run`, also from a savepoint.
    JobId,
    "JobID"
);
hex_id!(
    /// One asynchronous request to a job (a savepoint, a stop, a checkpoint), to be polled for.
    TriggerId,
    "TriggerId"
);

/// A checkpoint's number: starts at 1 and increases; after a restore from `k` the next one is `k + 1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct CheckpointId(u64);

impl CheckpointId {
    /// The id with this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The id after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for CheckpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The name under which an operator's state is found again: a transform's name or its `uid`, and for SQL operators inside a
/// transform `<transform>/<operator kind>-<n>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct OperatorUid(String);

impl OperatorUid {
    /// The uid with this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for OperatorUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_id_is_32_hex_digits_and_prints_as_read() {
        let text = "fd72014d4c864993a2e5a9287b4a9c5d";
        assert_eq!(text.parse::<JobId>().unwrap().to_string(), text);
        assert_eq!(JobId::from_u128(0).to_string(), "0".repeat(32));
        let error = "nope".parse::<JobId>().unwrap_err().to_string();
        assert!(error.starts_with("Cannot parse JobID from \"nope\". The expected format is [0-9a-fA-F]{32}"), "{error}");
        assert!("+d72014d4c864993a2e5a9287b4a9c5d".parse::<JobId>().is_err());
    }
}
