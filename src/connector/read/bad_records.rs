//! What becomes of records that cannot be read: the job fails, they are counted, or they become dead letters.

use crate::connector::{BadRecordPolicy, ConnectorError, dead_letter_schema};
use crate::format::{BadRecord, BadRecords, FormatError};
use crate::metrics::Counter;
use crate::types::Batch;
use arrow::array::{BinaryBuilder, RecordBatch, StringBuilder};
use std::sync::Arc;

/// Bytes of a bad record that a message shows.
const SHOWN: usize = 1_000;

/// Bytes of dead letters that are held before they are sent.
const HELD: usize = 4 << 20;

/// Where the bytes of one call of the decoder come from.
#[derive(Debug, Clone, Copy)]
pub(in crate::connector) struct Origin<'a> {
    /// The file, or `standard input`.
    pub(in crate::connector) name: &'a str,
    /// Position there of the first byte handed to the decoder.
    pub(in crate::connector) base: u64,
    /// Bad records that begin before this position have been dealt with before the restore.
    pub(in crate::connector) settled: u64,
}

/// Applies a source's policy. Owned by one reader.
#[derive(Debug)]
pub(in crate::connector) struct BadRecordLog {
    policy: BadRecordPolicy,
    source: String,
    counter: Counter,
    letters: Letters,
}

#[derive(Debug, Default)]
struct Letters {
    source: StringBuilder,
    position: StringBuilder,
    reason: StringBuilder,
    record: StringBuilder,
    raw: BinaryBuilder,
    rows: usize,
    bytes: usize,
}

/// The log during one call of the decoder.
struct Call<'a> {
    log: &'a mut BadRecordLog,
    origin: Origin<'a>,
}

impl BadRecordLog {
    /// A log for source `source`; `counter` counts the records.
    pub(in crate::connector) fn new(policy: BadRecordPolicy, source: &str, counter: Counter) -> Self {
        Self { policy, source: source.to_owned(), counter, letters: Letters::default() }
    }

    /// What a decoder is given while it decodes bytes from `origin`.
    pub(in crate::connector) fn during<'a>(&'a mut self, origin: Origin<'a>) -> impl BadRecords + 'a {
        Call { log: self, origin }
    }

    /// True if there are so many dead letters that they should go out.
    pub(in crate::connector) fn is_full(&self) -> bool {
        self.letters.bytes >= HELD
    }

    /// The dead letters since the last call.
    pub(in crate::connector) fn take_letters(&mut self) -> Result<Option<Batch>, ConnectorError> {
        if self.letters.rows == 0 {
            return Ok(None);
        }
        let mut letters = std::mem::take(&mut self.letters);
        let columns: Vec<arrow::array::ArrayRef> = vec![
            Arc::new(letters.source.finish()),
            Arc::new(letters.position.finish()),
            Arc::new(letters.reason.finish()),
            Arc::new(letters.record.finish()),
            Arc::new(letters.raw.finish()),
        ];
        let batch = RecordBatch::try_new(dead_letter_schema(), columns).map_err(FormatError::from)?;
        Ok(Some(Batch::append(batch)))
    }
}

impl BadRecords for Call<'_> {
    fn bad_record(&mut self, record: BadRecord) -> Result<(), FormatError> {
        let position = self.origin.base.saturating_add(record.offset as u64);
        if position < self.origin.settled {
            return Ok(());
        }
        match self.log.policy {
            BadRecordPolicy::Fail => return Err(FormatError::BadRecord(record)),
            BadRecordPolicy::Skip => {}
            BadRecordPolicy::DeadLetter => {
                let letters = &mut self.log.letters;
                letters.source.append_value(&self.log.source);
                letters.position.append_value(format!("{}, byte {position}", self.origin.name));
                letters.reason.append_value(record.to_string());
                letters.record.append_value(String::from_utf8_lossy(&record.raw));
                letters.raw.append_value(&record.raw);
                letters.rows += 1;
                letters.bytes += record.raw.len() + 64;
            }
        }
        self.log.counter.add(1);
        Ok(())
    }

    fn ignored_record(&mut self, _record: BadRecord) {
        self.log.counter.add(1);
    }
}

/// The error of a record that fails the job.
pub(in crate::connector) fn failure(location: String, record: BadRecord) -> ConnectorError {
    let shown = record.raw.get(..SHOWN);
    let mut text = String::from_utf8_lossy(shown.unwrap_or(&record.raw)).into_owned();
    if shown.is_some() && record.raw.len() > SHOWN {
        text.push('…');
    }
    ConnectorError::BadRecord { location, record: text, source: Box::new(FormatError::BadRecord(record)) }
}
