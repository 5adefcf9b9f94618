//! For tests: a decoder of one whole number a line. Empty lines are none, everything else is a bad record.

use crate::format::{BadRecord, BadRecords, Decoder, DecoderFactory, FormatError};
use crate::types::{Batch, ChangelogMode};
use arrow::array::{Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use std::sync::Arc;

/// Makes decoders of numbers.
#[derive(Debug)]
pub(in crate::connector) struct Lines {
    /// What the factory says.
    pub(in crate::connector) splittable: bool,
}

#[derive(Default)]
struct LineDecoder(Vec<i64>);

/// The one column, `n BIGINT NOT NULL`.
pub(in crate::connector) fn number_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]))
}

impl DecoderFactory for Lines {
    fn decoder(&self) -> Box<dyn Decoder> {
        Box::<LineDecoder>::default()
    }

    fn splittable(&self) -> bool {
        self.splittable
    }

    fn changelog_mode(&self) -> ChangelogMode {
        ChangelogMode::AppendOnly
    }
}

impl Decoder for LineDecoder {
    fn decode(&mut self, bytes: &[u8], last: bool, max_rows: usize, bad: &mut dyn BadRecords) -> Result<usize, FormatError> {
        let mut at = 0;
        while self.0.len() < max_rows && at < bytes.len() {
            let rest = &bytes[at..];
            let (line, next) = match rest.iter().position(|b| *b == b'\n') {
                Some(end) => (&rest[..end], at + end + 1),
                None if last => (rest, bytes.len()),
                None => break,
            };
            let text = std::str::from_utf8(line).unwrap().trim_end_matches('\r');
            match text.parse() {
                Ok(n) => self.0.push(n),
                Err(_) if text.is_empty() => {}
                Err(_) => {
                    bad.bad_record(BadRecord { offset: at, raw: line.to_vec(), column: Some("n".into()), reason: "no number".into() })?;
                }
            }
            at = next;
        }
        Ok(at)
    }

    fn rows(&self) -> usize {
        self.0.len()
    }

    fn flush(&mut self) -> Result<Option<Batch>, FormatError> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let values = Int64Array::from(std::mem::take(&mut self.0));
        Ok(Some(Batch::append(RecordBatch::try_new(number_schema(), vec![Arc::new(values)])?)))
    }

    fn start_file(&mut self, _offset: u64) {
        assert!(self.0.is_empty(), "rows must be flushed before the next file");
    }
}
