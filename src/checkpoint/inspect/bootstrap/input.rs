//! A file of rows, batch by batch, with the columns of the state that it becomes.

use super::{Import, ImportFormat};
use crate::checkpoint::columns::conform;
use crate::checkpoint::inspect::address::{listed, nearest};
use crate::checkpoint::inspect::{InspectError, KEY_GROUP};
use crate::checkpoint::parquet_file::{self, Batches, Content};
use crate::format::{Decoder, FailOnBadRecord, FormatError, decoder_factory};
use crate::storage::{ReadFile, Storage};
use crate::types::{Options, Schema, limits};
use arrow::array::{RecordBatch, new_null_array};
use arrow::datatypes::{Field, Schema as ArrowSchema};
use std::path::PathBuf;
use std::sync::Arc;

/// Reads one file. After an error there are no more rows.
pub(super) struct Input {
    path: PathBuf,
    columns: Schema,
    rows: Option<Reader>,
    /// Rows so far.
    row: u64,
}

enum Reader {
    Parquet(Batches),
    Text(Text),
}

/// Records as text.
struct Text {
    file: Box<dyn ReadFile>,
    decoder: Box<dyn Decoder>,
    offset: u64,
    /// Bytes that are read and not decoded.
    pending: Vec<u8>,
    /// The end of the file was seen.
    ended: bool,
}

impl Input {
    /// Opens a file of these columns; errors on others, and on columns that it must have and lacks.
    pub(super) fn open(storage: &dyn Storage, import: &Import, columns: Schema) -> Result<Self, InspectError> {
        let wrong = |message: String| InspectError::Input { path: import.path.clone(), message };
        let file = storage.open(&import.path).map_err(InspectError::io(format!("reading the rows of state {}", import.state)))?;
        let rows = match import.format {
            ImportFormat::Parquet => {
                let batches = parquet_file::stream(Content::File(Arc::from(file)), None).map_err(wrong)?;
                Reader::Parquet(batches)
            }
            format => {
                let (name, option) = if format == ImportFormat::Csv { ("csv", "csv.header") } else { ("json", "") };
                let options: Options = [(option.to_owned(), "true".to_owned())].into_iter().filter(|(k, _)| !k.is_empty()).collect();
                let decoder_of = |columns: &Schema| decoder(name, columns, &options).map_err(wrong);
                let mut text = Text { file, decoder: decoder_of(&columns)?, offset: 0, pending: Vec::new(), ended: false };
                let names = text.first_names(format).map_err(InspectError::io(format!("reading {}", import.path.display())))?;
                if let Some(names) = names {
                    check_names(&names, &columns).map_err(wrong)?;
                    if format == ImportFormat::Csv {
                        // Fields go to columns by the header's names; a column that it does not name is NULL.
                        let named = Schema::new(columns.columns.iter().filter(|c| names.contains(&c.name)).cloned().collect());
                        text.decoder = decoder_of(&named)?;
                    }
                }
                Reader::Text(text)
            }
        };
        Ok(Self { path: import.path.clone(), columns, rows: Some(rows), row: 0 })
    }

    fn read(&mut self) -> Result<Option<RecordBatch>, InspectError> {
        let wrong = |row: u64, message: String| InspectError::Input {
            path: self.path.clone(),
            message: if row == 0 { message } else { format!("row {row}: {message}") },
        };
        let batch = match &mut self.rows {
            None => return Ok(None),
            Some(Reader::Parquet(batches)) => batches.next().transpose().map_err(|message| wrong(0, message))?,
            Some(Reader::Text(text)) => text.next(self.row).map_err(|(row, message)| wrong(row, message))?,
        };
        let Some(batch) = batch else { return Ok(None) };
        let names: Vec<String> = batch.schema().fields().iter().map(|f| f.name().clone()).collect();
        check_names(&names, &self.columns).map_err(|message| wrong(0, message))?;
        let first = self.row + 1;
        self.row += batch.num_rows() as u64;
        let fitted = filled(&batch, &self.columns).and_then(|batch| conform(&batch, &self.columns));
        fitted.map(Some).map_err(|message| wrong(0, format!("rows {first} to {}: {message}", self.row)))
    }
}

impl Iterator for Input {
    type Item = Result<RecordBatch, InspectError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().inspect_err(|_| self.rows = None).transpose()
    }
}

fn decoder(name: &str, columns: &Schema, options: &Options) -> Result<Box<dyn Decoder>, String> {
    let all: Vec<usize> = (0..columns.columns.len()).collect();
    let factory = decoder_factory(name, columns, &all, options).map_err(|e| format!("{}; give the rows as Parquet", e.message))?;
    let mut decoder = factory.decoder();
    decoder.start_file(0);
    Ok(decoder)
}

/// Every name must be a column's, and every column that cannot be NULL must have a name.
fn check_names(names: &[String], columns: &Schema) -> Result<(), String> {
    let own: Vec<String> = columns.columns.iter().map(|c| c.name.clone()).collect();
    if let Some(unknown) = names.iter().find(|name| !own.contains(name) && *name != KEY_GROUP) {
        let hint = nearest(unknown, own.iter().map(String::as_str)).map(|name| format!("did you mean {name}?"));
        let hint = hint.unwrap_or_else(|| format!("its columns are {}", listed(&own)));
        return Err(format!("the state has no column \"{unknown}\"; {hint}"));
    }
    let lacking = columns.columns.iter().find(|c| !c.data_type.nullable && !names.contains(&c.name));
    match lacking {
        Some(column) => Err(format!("column {} {} is missing", column.name, column.data_type)),
        None => Ok(()),
    }
}

/// The batch with the columns that it lacks as NULL.
fn filled(batch: &RecordBatch, columns: &Schema) -> Result<RecordBatch, String> {
    if columns.columns.iter().all(|c| batch.column_by_name(&c.name).is_some()) {
        return Ok(batch.clone());
    }
    let (mut fields, mut arrays) = (batch.schema().fields().to_vec(), batch.columns().to_vec());
    for column in columns.columns.iter().filter(|c| batch.column_by_name(&c.name).is_none()) {
        let data_type = column.data_type.to_arrow();
        arrays.push(new_null_array(&data_type, batch.num_rows()));
        fields.push(Arc::new(Field::new(&column.name, data_type, true)));
    }
    RecordBatch::try_new(Arc::new(ArrowSchema::new(fields)), arrays).map_err(|e| e.to_string())
}

impl Text {
    /// Reads more bytes; false at the end.
    fn more(&mut self) -> std::io::Result<bool> {
        let mut chunk = vec![0; limits::READ_CHUNK.0 as usize];
        let read = self.file.read_at(&mut chunk, self.offset)?;
        self.offset += read as u64;
        self.pending.extend_from_slice(&chunk[..read]);
        self.ended = read == 0;
        Ok(read > 0)
    }

    /// The names in the header of a CSV file, or of the fields of the first JSON object. `None` if they are not to be seen so easily:
    /// then the decoder says what is wrong.
    fn first_names(&mut self, format: ImportFormat) -> std::io::Result<Option<Vec<String>>> {
        while !self.pending.contains(&b'\n') && (self.pending.len() as u64) < limits::RECORD_BYTES.0 && self.more()? {}
        let line = self.pending.split(|b| *b == b'\n').next().unwrap_or_default();
        let text = String::from_utf8_lossy(line);
        if format == ImportFormat::Csv {
            let plain = !text.trim().is_empty();
            return Ok(plain.then(|| text.trim_end_matches('\r').split(',').map(|name| name.trim_matches('"').to_owned()).collect()));
        }
        let object: Option<serde_json::Map<String, serde_json::Value>> = serde_json::from_str(&text).ok();
        // A field that is NULL may be left out of a JSON object, and of the first one by chance.
        Ok(object.map(|fields| fields.into_iter().map(|(name, _)| name).collect()))
    }

    /// The next rows; an error has the number of its row, where it is known.
    fn next(&mut self, before: u64) -> Result<Option<RecordBatch>, (u64, String)> {
        loop {
            let consumed = self.decoder.decode(&self.pending, self.ended, limits::BATCH_ROWS, &mut FailOnBadRecord);
            let consumed = consumed.map_err(|error| match error {
                FormatError::BadRecord(record) => (before + self.decoder.rows() as u64 + 1, record.to_string()),
                other => (0, other.to_string()),
            })?;
            self.pending.drain(..consumed);
            if consumed > 0 && self.decoder.rows() < limits::BATCH_ROWS {
                continue;
            }
            if self.decoder.rows() > 0 {
                let batch = self.decoder.flush().map_err(|e| (0, e.to_string()))?;
                return Ok(batch.map(|batch| batch.columns().clone()));
            }
            if self.ended {
                return Ok(None);
            }
            self.more().map_err(|e| (0, e.to_string()))?;
        }
    }
}
