//! Rows that are written without being read: what is added to a row of the store stands behind it as operands until somebody reads the row, or
//! a compaction meets them.
//!
//! To merge is to append. A value may therefore say the same thing several times, and whoever reads it puts that together. A store that
//! knows what its rows mean does so when it merges, too, so that rows do not grow with the number of additions.

use super::expiry::{NEVER, set_expiry};
use ::rocksdb::{MergeOperands, Options};
use std::fmt;
use std::sync::Arc;

/// Makes what was appended to a row shorter.
pub(crate) trait Shorten: Send + Sync + fmt::Debug {
    /// `operands`: one behind the other. What means the same in fewer bytes; `None` if there is no such thing, or if the operands are damaged.
    fn operands(&self, operands: &[u8]) -> Option<Vec<u8>>;

    /// The same for a whole value.
    fn value(&self, value: &[u8]) -> Option<Vec<u8>>;
}

/// The value of a row that there is not, in the family of keys: when it expires, flags, number of states, hash.
pub(crate) const NO_ROW: [u8; 11] = [0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0];

/// Lets the rows of a family be merged.
pub(super) fn set_operator(options: &mut Options, shorten: Option<Arc<dyn Shorten>>) {
    let of_value = shorten.clone();
    let full = move |_: &[u8], value: Option<&[u8]>, operands: &MergeOperands| {
        let mut merged = value.unwrap_or(&NO_ROW).to_vec();
        // What is added has no TTL.
        set_expiry(&mut merged, 0, NEVER);
        operands.iter().for_each(|operand| merged.extend_from_slice(operand));
        Some(of_value.as_ref().and_then(|shorten| shorten.value(&merged)).unwrap_or(merged))
    };
    let partial = move |_: &[u8], _: Option<&[u8]>, operands: &MergeOperands| {
        let mut merged = Vec::new();
        operands.iter().for_each(|operand| merged.extend_from_slice(operand));
        Some(shorten.as_ref().and_then(|shorten| shorten.operands(&merged)).unwrap_or(merged))
    };
    options.set_merge_operator(c"append", full, partial);
}
