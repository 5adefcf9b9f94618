//! `debezium-json`: changelogs as Debezium's envelopes, Flink's `debezium-json` format.

use super::cells::{Cells, columns_as};
use super::column::Columns;
use super::json::{
    DecodeOptions, EncodeOptions, LineDecoder, NULL_KEY_MODES, Objects, Reading, Records, Reject, TIMESTAMP_STANDARDS, blank, found,
    object_fields,
};
use super::{Decoder, DecoderFactory, Encoder, EncoderFactory, FormatError};
use crate::types::{Batch, ChangelogMode, OptionError, OptionKind, OptionSpec, Options, RowKind, Schema};
use arrow::datatypes::SchemaRef;
use std::ops::Range;
use std::sync::Arc;

const fn option(key: &'static str, kind: OptionKind, default: Option<&'static str>, doc: &'static str) -> OptionSpec {
    OptionSpec { key, kind, default, required: false, doc }
}

/// Flink's options of `debezium-json`.
pub(super) const OPTIONS: &[OptionSpec] = &[
    option(
        "debezium-json.schema-include",
        OptionKind::Bool,
        Some("false"),
        "The envelopes stand in a field payload, beside a schema that is not looked at. Reading only.",
    ),
    option(
        "debezium-json.ignore-parse-errors",
        OptionKind::Bool,
        Some("false"),
        "Fields that cannot be read become NULL, records that cannot be read are skipped.",
    ),
    option(
        "debezium-json.timestamp-format.standard",
        OptionKind::Word(TIMESTAMP_STANDARDS),
        Some("SQL"),
        "SQL: 2020-12-30 12:13:14.123 (TIMESTAMP_LTZ with a Z at the end). ISO-8601: 2020-12-30T12:13:14.123.",
    ),
    option(
        "debezium-json.map-null-key.mode",
        OptionKind::Word(NULL_KEY_MODES),
        Some("FAIL"),
        "What writing a map with a NULL key does: FAIL, DROP the entry, or write the LITERAL.",
    ),
    option("debezium-json.map-null-key.literal", OptionKind::Text, Some("null"), "The key written for NULL in mode LITERAL."),
    option(
        "debezium-json.encode.decimal-as-plain-number",
        OptionKind::Bool,
        Some("false"),
        "Decimals are never written in scientific notation: 0.000000027 instead of 2.7E-8.",
    ),
    option("debezium-json.encode.ignore-null-fields", OptionKind::Bool, Some("false"), "Fields that are NULL are left out."),
];

/// Where the parts of an envelope begin; parts that are missing or `null` are `None`.
#[derive(Default)]
struct Envelope {
    before: Option<usize>,
    after: Option<usize>,
    op: Option<usize>,
}

/// Reads envelopes.
struct Changes {
    columns: Columns,
    reading: Reading,
    schema_include: bool,
    kinds: Vec<RowKind>,
}

impl Changes {
    /// The positions of the envelope's parts, and of the byte behind the record's line.
    fn envelope(&self, bytes: &[u8], at: usize) -> Result<(Envelope, usize), Reject> {
        let (mut payload, mut envelope) = (None, Envelope::default());
        let end = if self.schema_include {
            let end = object_fields(bytes, at, |key, value| {
                if key == b"payload" {
                    payload = Some(value);
                }
            })?;
            let payload = payload.ok_or_else(|| Reject::new("the field payload is missing; is debezium-json.schema-include right?"))?;
            object_fields(bytes, payload, |key, value| envelope.take(bytes, key, value))?;
            end
        } else {
            object_fields(bytes, at, |key, value| envelope.take(bytes, key, value))?
        };
        let end = blank(bytes, end);
        match bytes.get(end) {
            Some(b'\n') => Ok((envelope, end + 1)),
            _ => Err(Reject::new(format!("expected the end of the line behind the object, found {}", found(bytes, end)))),
        }
    }

    /// Reads the row at `at` of the part `part` into row `row`.
    fn part(&mut self, bytes: &[u8], part: &str, at: Option<usize>, row: usize) -> Result<(), Reject> {
        let Some(at) = at else {
            let advice = if part == "before" { "; the table must log old rows whole (PostgreSQL: REPLICA IDENTITY FULL)" } else { "" };
            return Err(Reject::new(format!("the field {part} is null{advice}")));
        };
        self.columns.read_json(&mut self.reading, bytes, at, row, false).map(|_| ())
    }
}

impl Envelope {
    fn take(&mut self, bytes: &[u8], key: &[u8], value: usize) {
        let value = Some(value).filter(|at| bytes.get(*at) != Some(&b'n'));
        match key {
            b"before" => self.before = value,
            b"after" => self.after = value,
            b"op" => self.op = value,
            _ => {}
        }
    }
}

impl Records for Changes {
    fn read(&mut self, bytes: &[u8], at: usize, row: usize) -> Result<(usize, usize), Reject> {
        let (envelope, end) = self.envelope(bytes, at)?;
        let op = envelope.op.ok_or_else(|| Reject::new("the field op is missing"))?;
        let kinds: &[RowKind] = match bytes.get(op..op + 3) {
            Some(b"\"c\"" | b"\"r\"") => {
                self.part(bytes, "after", envelope.after, row)?;
                &[RowKind::Insert]
            }
            Some(b"\"u\"") => {
                self.part(bytes, "before", envelope.before, row)?;
                self.part(bytes, "after", envelope.after, row + 1)?;
                &[RowKind::UpdateBefore, RowKind::UpdateAfter]
            }
            Some(b"\"d\"") => {
                self.part(bytes, "before", envelope.before, row)?;
                &[RowKind::Delete]
            }
            _ => return Err(Reject::new(format!("expected an op of \"c\", \"r\", \"u\" or \"d\", found {}", found(bytes, op)))),
        };
        self.kinds.truncate(row);
        self.kinds.extend_from_slice(kinds);
        Ok((end, kinds.len()))
    }

    fn columns(&mut self) -> &mut Columns {
        &mut self.columns
    }

    fn kinds(&mut self, rows: usize) -> Option<Vec<RowKind>> {
        let mut kinds = std::mem::take(&mut self.kinds);
        kinds.truncate(rows);
        Some(kinds)
    }
}

/// Makes decoders of changelogs.
#[derive(Debug)]
struct ChangesFactory {
    columns: Columns,
    reading: Reading,
    schema: SchemaRef,
    options: DecodeOptions,
    schema_include: bool,
}

impl DecoderFactory for ChangesFactory {
    fn decoder(&self) -> Box<dyn Decoder> {
        let (columns, reading) = (self.columns.clone(), self.reading.clone());
        let changes = Changes { columns, reading, schema_include: self.schema_include, kinds: Vec::new() };
        Box::new(LineDecoder::new(changes, Arc::clone(&self.schema), self.options.ignore_errors))
    }

    fn splittable(&self) -> bool {
        true
    }

    fn changelog_mode(&self) -> ChangelogMode {
        ChangelogMode::Retract
    }
}

/// Makes decoders for the columns of `schema`.
pub(super) fn decoder_factory(schema: &Schema, options: &Options) -> Result<Arc<dyn DecoderFactory>, OptionError> {
    let schema_include = options.bool("debezium-json.schema-include", false)?;
    let options = DecodeOptions::read(options, "debezium-json")?;
    let columns = options.columns(schema)?;
    Ok(Arc::new(ChangesFactory { columns, reading: options.reading(), schema: schema.to_arrow(), options, schema_include }))
}

/// Writes envelopes as Flink's `DebeziumJsonSerializationSchema` does, and makes its like: a row that comes has op `c`, a row
/// that goes op `d`, an update is one of each.
#[derive(Debug, Clone)]
struct ChangesEncoder {
    schema: Arc<Schema>,
    options: EncodeOptions,
}

impl Encoder for ChangesEncoder {
    fn encode(&mut self, batch: &Batch, rows: Range<usize>, out: &mut Vec<u8>) -> Result<(), FormatError> {
        let columns = columns_as(batch, &self.schema)?;
        let cells = Cells::of_columns(&columns, &self.schema)?;
        let mut objects = Objects::new(&self.schema, &cells, &self.options);
        let nulls = !self.options.ignore_null_fields;
        for row in rows {
            let comes = batch.kind(row).is_accumulate();
            out.extend_from_slice(match (comes, nulls) {
                (true, true) => b"{\"before\":null,\"after\":".as_slice(),
                (true, false) => b"{\"after\":",
                (false, _) => b"{\"before\":",
            });
            objects.write(row, out)?;
            out.extend_from_slice(match (comes, nulls) {
                (true, _) => b",\"op\":\"c\"}\n".as_slice(),
                (false, true) => b",\"after\":null,\"op\":\"d\"}\n",
                (false, false) => b",\"op\":\"d\"}\n",
            });
        }
        Ok(())
    }
}

impl EncoderFactory for ChangesEncoder {
    fn encoder(&self) -> Box<dyn Encoder> {
        Box::new(self.clone())
    }

    fn changelog_mode(&self) -> ChangelogMode {
        ChangelogMode::Retract
    }

    fn extension(&self) -> &'static str {
        "json"
    }
}

/// Makes encoders for the columns of `schema`.
pub(super) fn encoder_factory(schema: &Schema, options: &Options) -> Result<Arc<dyn EncoderFactory>, OptionError> {
    if options.bool("debezium-json.schema-include", false)? {
        let message = "envelopes cannot be written with a schema; leave the option away";
        return Err(OptionError::new("debezium-json.schema-include", message));
    }
    let options = EncodeOptions::read(options, "debezium-json", schema)?;
    Ok(Arc::new(ChangesEncoder { schema: Arc::new(schema.clone()), options }))
}

#[cfg(test)]
mod tests {
    use crate::format::json::tests::{decode, encode, rows};
    use crate::types::{Batch, RowKind};

    fn kinds(batches: &[Batch]) -> Vec<&'static str> {
        batches.iter().flat_map(|batch| (0..batch.num_rows()).map(|row| batch.kind(row).short())).collect()
    }

    #[test]
    fn envelopes_become_rows_with_their_kinds() {
        let text = "{\"before\":null,\"after\":{\"a\":1,\"b\":\"x\"},\"source\":{\"ts\":[1]},\"op\":\"c\"}\n\
                    {\"op\":\"r\", \"after\": {\"b\":\"y\",\"a\":2}}\n\n\
                    {\"before\":{\"a\":1,\"b\":\"x\"},\"after\":{\"a\":1},\"op\":\"u\"}\n\
                    {\"before\":{\"a\":2},\"after\":null,\"op\":\"d\"}";
        let (batches, bad) = decode("debezium-json", "a INT, b STRING", &[], text);
        assert_eq!(bad.0, []);
        assert_eq!(rows(&batches), ["1|x", "2|y", "1|x", "1|-", "2|-"]);
        assert_eq!(kinds(&batches), ["+I", "+I", "-U", "+U", "-D"]);
        let payload =
            text.lines().map(|line| format!("{{\"schema\":{{}},\"payload\":{}}}\n", if line.is_empty() { "{\"op\":\"x\"}" } else { line }));
        let with_schema = [("debezium-json.schema-include", "true")];
        let (again, bad) = decode("debezium-json", "a INT, b STRING", &with_schema, &payload.collect::<String>());
        assert_eq!((rows(&again), bad.0.len()), (rows(&batches), 1));
    }

    #[test]
    fn what_is_no_envelope_is_refused_and_leaves_no_row() {
        let text = "{\"after\":{\"a\":1}}\n{\"after\":{\"a\":1},\"op\":\"x\"}\n{\"after\":{\"a\":1},\"op\":\"u\"}\n\
                    {\"before\":{\"a\":1},\"after\":{\"a\":\"x\"},\"op\":\"u\"}\n[]\n{\"after\":{\"a\":7},\"op\":\"c\"}\n";
        let (batches, bad) = decode("debezium-json", "a INT", &[], text);
        assert_eq!((rows(&batches), kinds(&batches)), (vec!["7".to_owned()], vec!["+I"]));
        let reasons: Vec<String> = bad.0.iter().map(|(record, _)| record.to_string()).collect();
        assert_eq!(
            reasons,
            [
                "the field op is missing",
                "expected an op of \"c\", \"r\", \"u\" or \"d\", found \"x\"",
                "the field before is null; the table must log old rows whole (PostgreSQL: REPLICA IDENTITY FULL)",
                "column a: expected INT, found \"x\"",
                "expected an object, found []",
            ]
        );
        let (batches, bad) = decode("debezium-json", "a INT", &[("debezium-json.ignore-parse-errors", "true")], text);
        assert_eq!(kinds(&batches), ["-U", "+U", "+I"]);
        assert!(bad.0.iter().all(|(_, ignored)| *ignored));
    }

    #[test]
    fn rows_are_written_as_flink_writes_them() {
        let (batches, _) = decode("json", "a INT, b STRING", &[], "{\"a\":1}\n{\"a\":1}\n{\"a\":2,\"b\":\"x\"}\n{\"a\":2,\"b\":\"x\"}\n");
        let kinds = [RowKind::Insert, RowKind::UpdateBefore, RowKind::UpdateAfter, RowKind::Delete].into_iter().collect();
        let batch = Batch::changelog(batches[0].columns().clone(), kinds).unwrap();
        assert_eq!(
            encode("debezium-json", "a INT, b STRING", &[], std::slice::from_ref(&batch)),
            "{\"before\":null,\"after\":{\"a\":1,\"b\":null},\"op\":\"c\"}\n\
             {\"before\":{\"a\":1,\"b\":null},\"after\":null,\"op\":\"d\"}\n\
             {\"before\":null,\"after\":{\"a\":2,\"b\":\"x\"},\"op\":\"c\"}\n\
             {\"before\":{\"a\":2,\"b\":\"x\"},\"after\":null,\"op\":\"d\"}\n"
        );
        let without_nulls = [("debezium-json.encode.ignore-null-fields", "true")];
        assert!(
            encode("debezium-json", "a INT, b STRING", &without_nulls, &[batch])
                .starts_with("{\"after\":{\"a\":1},\"op\":\"c\"}\n{\"before\":{\"a\":1},\"op\":\"d\"}\n")
        );
    }
}
