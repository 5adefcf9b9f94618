//! Rows of a state as JSON, CSV or Parquet, batch by batch. What a format has no form for is written as its nearest: in JSON a map whose
//! keys are no strings as a list of key and value, in CSV nested values as JSON.

use super::InspectError;
use super::keys::without_maps;
use crate::checkpoint::columns::{stored_schema, to_stored};
use crate::checkpoint::parquet_file::{FileWriter, WriteError};
use crate::format::{Encoder, FormatError, encoder_factory};
use crate::types::{Batch, Column, LogicalType, Options, Schema, TypeKind};
use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, StringArray};
use arrow::datatypes::{DataType, Field, Schema as ArrowSchema, SchemaRef};
use serde_json::{Map, Value};
use std::str::FromStr;
use std::sync::Arc;

/// The formats that rows are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowFormat {
    /// One JSON object a line.
    Json,
    /// A header line, then one record a line.
    Csv,
    /// One Parquet file.
    Parquet,
}

impl FromStr for RowFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "json" | "jsonl" | "ndjson" => Ok(Self::Json),
            "csv" => Ok(Self::Csv),
            "parquet" => Ok(Self::Parquet),
            _ => Err(format!("\"{text}\" is no format; the formats are json, csv and parquet")),
        }
    }
}

/// Writes the rows of one state.
pub struct RowEncoder(Kind);

enum Kind {
    Text(TextEncoder),
    Parquet { writer: Box<FileWriter<Vec<u8>>>, schema: SchemaRef },
}

struct TextEncoder {
    encoder: Box<dyn Encoder>,
    /// The columns as they are written.
    schema: Schema,
    /// The columns that are written as JSON.
    nested: Vec<bool>,
    csv: bool,
    begun: bool,
}

impl RowEncoder {
    /// An encoder for rows with these columns.
    pub fn new(format: RowFormat, columns: &Schema) -> Result<Self, InspectError> {
        let kind = match format {
            RowFormat::Json => Kind::Text(TextEncoder::json(columns)?),
            RowFormat::Csv => Kind::Text(TextEncoder::csv(columns)?),
            RowFormat::Parquet => {
                let schema = stored_schema(&columns.to_arrow());
                let writer = FileWriter::new(Vec::new(), Arc::clone(&schema)).map_err(unwritable_rows)?;
                Kind::Parquet { writer: Box::new(writer), schema }
            }
        };
        Ok(Self(kind))
    }

    /// Appends rows to `out`; Parquet holds some of them back.
    pub fn encode(&mut self, rows: &RecordBatch, out: &mut Vec<u8>) -> Result<(), InspectError> {
        match &mut self.0 {
            Kind::Text(text) => text.encode(rows, out),
            Kind::Parquet { writer, schema } => {
                let rows = to_stored(rows.clone(), schema).map_err(|message| InspectError::Asked { message, next: None })?;
                writer.write(&rows).map_err(unwritable_rows)?;
                out.append(writer.sink());
                Ok(())
            }
        }
    }

    /// Appends what ends the file.
    pub fn finish(self, out: &mut Vec<u8>) -> Result<(), InspectError> {
        match self.0 {
            Kind::Text(mut text) => {
                // A file of no rows has its header all the same.
                if text.csv && !text.begun { text.encode(&RecordBatch::new_empty(text.schema.to_arrow()), out) } else { Ok(()) }
            }
            Kind::Parquet { writer, .. } => {
                let (mut rest, _) = writer.finish().map_err(unwritable_rows)?;
                out.append(&mut rest);
                Ok(())
            }
        }
    }
}

impl TextEncoder {
    fn json(columns: &Schema) -> Result<Self, InspectError> {
        let schema = json_columns(columns)?;
        let options: Options = [("json.map-null-key.mode".to_owned(), "LITERAL".to_owned())].into_iter().collect();
        let encoder = encoder_factory("json", &schema, &options).map_err(|e| unwritable(e.message))?.encoder();
        Ok(Self { encoder, nested: vec![false; schema.columns.len()], schema, csv: false, begun: false })
    }

    fn csv(columns: &Schema) -> Result<Self, InspectError> {
        let options: Options = [("csv.header".to_owned(), "true".to_owned())].into_iter().collect();
        let fits = |column: &Column| encoder_factory("csv", &Schema::new(vec![column.clone()]), &options).is_ok();
        let nested: Vec<bool> = columns.columns.iter().map(|column| !fits(column)).collect();
        let text = |(column, nested): (&Column, &bool)| match nested {
            true => Column { name: column.name.clone(), data_type: LogicalType::nullable(TypeKind::String) },
            false => column.clone(),
        };
        let schema = Schema::new(columns.columns.iter().zip(&nested).map(text).collect());
        let encoder = encoder_factory("csv", &schema, &options).map_err(|e| unwritable(e.message))?.encoder();
        Ok(Self { encoder, schema, nested, csv: true, begun: false })
    }

    fn encode(&mut self, rows: &RecordBatch, out: &mut Vec<u8>) -> Result<(), InspectError> {
        let failed = |e: arrow::error::ArrowError| unwritable(e.to_string());
        let mut columns = Vec::with_capacity(rows.num_columns());
        for (at, column) in rows.columns().iter().enumerate() {
            columns.push(match (self.csv, self.nested[at]) {
                (false, _) => without_maps(column, &is_no_text).map_err(failed)?,
                (true, false) => Arc::clone(column),
                (true, true) if column.data_type() == &DataType::Utf8 => Arc::clone(column),
                (true, true) => json_texts(column)?,
            });
        }
        let fields = self.schema.columns.iter().zip(&columns).map(|(c, array)| Field::new(&c.name, array.data_type().clone(), true));
        let schema = Arc::new(ArrowSchema::new(fields.collect::<Vec<_>>()));
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        let batch = RecordBatch::try_new_with_options(schema, columns, &options).map_err(failed)?;
        self.begun = true;
        self.encoder.encode(&Batch::append(batch), 0..rows.num_rows(), out).map_err(|e: FormatError| unwritable(e.to_string()))
    }
}

/// Each row as a JSON object.
pub(super) fn json_objects(columns: &Schema, rows: &RecordBatch) -> Result<Vec<Map<String, Value>>, InspectError> {
    let mut text = Vec::new();
    TextEncoder::json(columns)?.encode(rows, &mut text)?;
    let lines = serde_json::Deserializer::from_slice(&text).into_iter::<Map<String, Value>>();
    lines.collect::<Result<_, _>>().map_err(|e| unwritable(e.to_string()))
}

/// The values of one column as JSON; NULL stays NULL.
fn json_texts(column: &ArrayRef) -> Result<ArrayRef, InspectError> {
    let field = Field::new("v", column.data_type().clone(), true);
    let batch = RecordBatch::try_new(Arc::new(ArrowSchema::new(vec![field])), vec![Arc::clone(column)]);
    let batch = batch.map_err(|e| unwritable(e.to_string()))?;
    let columns = Schema::from_arrow(&batch.schema()).map_err(unwritable)?;
    let values = json_objects(&columns, &batch)?.into_iter().map(|mut row| row.remove("v").filter(|v| !v.is_null()).map(|v| v.to_string()));
    Ok(Arc::new(values.collect::<StringArray>()))
}

fn is_no_text(data_type: &DataType) -> bool {
    *data_type != DataType::Utf8
}

/// The columns as JSON has them.
fn json_columns(columns: &Schema) -> Result<Schema, InspectError> {
    let empty = RecordBatch::new_empty(columns.to_arrow());
    let changed = |(column, array): (&Column, &ArrayRef)| {
        let written = without_maps(array, &is_no_text).map_err(|e| unwritable(e.to_string()))?;
        if written.data_type() == array.data_type() {
            return Ok(column.clone());
        }
        let data_type = LogicalType::from_arrow(written.data_type(), column.data_type.nullable);
        let data_type = data_type.ok_or_else(|| unwritable(format!("column {}: {}", column.name, written.data_type())))?;
        Ok(Column { name: column.name.clone(), data_type })
    };
    Ok(Schema::new(columns.columns.iter().zip(empty.columns()).map(changed).collect::<Result<_, InspectError>>()?))
}

fn unwritable(message: String) -> InspectError {
    InspectError::asked(message, "export the state as Parquet: it has a form for every type")
}

fn unwritable_rows(error: WriteError) -> InspectError {
    match error {
        WriteError::Io(source) => InspectError::Io { context: "writing rows".to_owned(), source },
        WriteError::Rows(message) => InspectError::Asked { message, next: None },
    }
}
