//! Rows as Flink's `print` sink shows them: `+I[1, abc, null]`.

use super::FormatError;
use crate::types::Batch;
use std::ops::Range;

/// Appends the rows `rows` of `batch` to `out`, each as Flink's `PrintTableSink` shows it with `prefix` before and a line end
/// behind it.
pub fn write_rows(_batch: &Batch, _rows: Range<usize>, _prefix: &str, _out: &mut Vec<u8>) -> Result<(), FormatError> {
    Err(FormatError::Arrow("rows cannot be printed yet".to_owned()))
}
