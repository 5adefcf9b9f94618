//! Rows as Flink's `print` sink shows them: `+I[1, abc, null, 2024-01-01T00:00:10.123]`. These are the `toString` forms of the
//! Java objects that `PrintTableSink` turns rows into.

use super::FormatError;
use super::cells::{CellValues, Cells, columns_as, elements};
use super::render::{self, Fraction, TimestampWriter};
use crate::types::{Batch, RowKind, Schema};
use std::ops::Range;

/// Appends the rows `rows` of `batch` to `out`, each as Flink's `PrintTableSink` shows it, with `prefix` before it (empty, or
/// such as `bids> ` and `bids:1> `) and a line end behind it.
pub fn write_rows(batch: &Batch, rows: Range<usize>, prefix: &str, out: &mut Vec<u8>) -> Result<(), FormatError> {
    let schema = Schema::from_arrow(&batch.schema()).map_err(FormatError::Arrow)?;
    let columns = columns_as(batch, &schema)?;
    let cells = Cells::of_columns(&columns, &schema)?;
    let mut values: Vec<Value<'_>> = cells.iter().map(Value::new).collect();
    for row in rows {
        out.extend_from_slice(prefix.as_bytes());
        write_row(batch.kind(row), &mut values, row, out);
        out.push(b'\n');
    }
    Ok(())
}

/// The values of the rows `rows` as [`write_rows`] shows them: for each row, one text a column.
pub fn cell_texts(batch: &Batch, rows: Range<usize>) -> Result<Vec<Vec<String>>, FormatError> {
    let schema = Schema::from_arrow(&batch.schema()).map_err(FormatError::Arrow)?;
    let columns = columns_as(batch, &schema)?;
    let cells = Cells::of_columns(&columns, &schema)?;
    let mut values: Vec<Value<'_>> = cells.iter().map(Value::new).collect();
    let text = |value: &mut Value<'_>, row: usize| {
        let mut out = Vec::new();
        value.write(row, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    };
    Ok(rows.map(|row| values.iter_mut().map(|value| text(value, row)).collect()).collect())
}

/// A column that is being written, with what it needs beside its values.
struct Value<'a> {
    cells: &'a Cells<'a>,
    timestamps: Option<TimestampWriter>,
    /// An array's elements, a map's keys and values, a row's fields.
    inner: Vec<Value<'a>>,
}

fn write_row(kind: RowKind, values: &mut [Value<'_>], row: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(kind.short().as_bytes());
    out.push(b'[');
    for (number, value) in values.iter_mut().enumerate() {
        if number > 0 {
            out.extend_from_slice(b", ");
        }
        value.write(row, out);
    }
    out.push(b']');
}

impl<'a> Value<'a> {
    fn new(cells: &'a Cells<'a>) -> Self {
        let (mut timestamps, mut inner) = (None, Vec::new());
        match &cells.values {
            CellValues::Timestamp { per_second, zoned, .. } => {
                timestamps = Some(TimestampWriter::new(b'T', Fraction::Groups, *zoned, *per_second));
            }
            CellValues::Array { element, .. } => inner.push(Value::new(element)),
            CellValues::Map { key, value, .. } => inner.extend([Value::new(key), Value::new(value)]),
            CellValues::Row(fields) => inner.extend(fields.iter().map(|(_, cells)| Value::new(cells))),
            _ => {}
        }
        Self { cells, timestamps, inner }
    }

    fn write(&mut self, row: usize, out: &mut Vec<u8>) {
        if self.cells.is_null(row) {
            out.extend_from_slice(b"null");
            return;
        }
        match &self.cells.values {
            CellValues::Null => out.extend_from_slice(b"null"),
            CellValues::Boolean(values) => out.extend_from_slice(if values.value(row) { b"true" } else { b"false" }),
            CellValues::Int8(values) => render::integer(values[row], out),
            CellValues::Int16(values) => render::integer(values[row], out),
            CellValues::Int32(values) => render::integer(values[row], out),
            CellValues::Int64(values) => render::integer(values[row], out),
            CellValues::Float32(values) => render::float(values[row], out),
            CellValues::Float64(values) => render::double(values[row], out),
            CellValues::Decimal(values, scale) => render::decimal(values[row], *scale, out),
            CellValues::Text(values) => out.extend_from_slice(values.value(row).as_bytes()),
            CellValues::Binary(values) => list(values.value(row), out, |byte, out| render::integer(*byte as i8, out)),
            CellValues::Date(days) => render::date(i64::from(days[row]), out),
            CellValues::Time(millis) => render::time(i64::from(millis[row]), Fraction::Groups, out),
            CellValues::Timestamp { ticks, .. } => {
                if let Some(writer) = &mut self.timestamps {
                    writer.write(ticks[row], out);
                }
            }
            CellValues::Array { offsets, .. } => {
                if let [element] = self.inner.as_mut_slice() {
                    list(elements(offsets, row), out, |index, out| element.write(index, out));
                }
            }
            CellValues::Map { offsets, .. } => {
                if let [key, value] = self.inner.as_mut_slice() {
                    write_map(elements(offsets, row), key, value, out);
                }
            }
            CellValues::Row(_) => write_row(RowKind::Insert, &mut self.inner, row, out),
        }
    }
}

fn write_map(entries: Range<usize>, key: &mut Value<'_>, value: &mut Value<'_>, out: &mut Vec<u8>) {
    out.push(b'{');
    for (number, index) in entries.enumerate() {
        if number > 0 {
            out.extend_from_slice(b", ");
        }
        key.write(index, out);
        out.push(b'=');
        value.write(index, out);
    }
    out.push(b'}');
}

/// `[a, b, c]`
fn list<T>(items: impl IntoIterator<Item = T>, out: &mut Vec<u8>, mut write: impl FnMut(T, &mut Vec<u8>)) {
    out.push(b'[');
    for (number, item) in items.into_iter().enumerate() {
        if number > 0 {
            out.extend_from_slice(b", ");
        }
        write(item, out);
    }
    out.push(b']');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::json::tests::{decode, rows};

    #[test]
    fn rows_look_as_flinks_print_sink_shows_them() {
        let columns = "a BIGINT, b STRING, c TIMESTAMP(3), d DOUBLE, e TIMESTAMP_LTZ(3), f DATE, g BYTES, h ROW<x INT, y STRING>, \
                       i ARRAY<INT>, j MAP<STRING, DECIMAL(5, 2)>, k BOOLEAN, l TIME";
        let text = "{\"a\":1,\"b\":\"a, \\\"b\\\"\",\"c\":\"2024-01-01 00:00:10.12\",\"d\":1e10,\"e\":\"2024-01-01 00:00:00Z\",\"f\":\"2024-02-29\",\
                    \"g\":\"af8=\",\"h\":{\"x\":1},\"i\":[1,null],\"j\":{\"k\":1.5,\"l\":null},\"k\":true,\"l\":\"10:15:00\"}\n{\"c\":\"2024-01-01 00:00:00\"}\n";
        let (batches, bad) = decode("json", columns, &[], text);
        assert_eq!((rows(&batches).len(), bad.0), (2, vec![]));
        let kinds = [RowKind::Insert, RowKind::UpdateBefore].into_iter().collect();
        let batch = Batch::changelog(batches[0].columns().clone(), kinds).unwrap();
        let mut out = Vec::new();
        write_rows(&batch, 0..2, "t:1> ", &mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "t:1> +I[1, a, \"b\", 2024-01-01T00:00:10.120, 1.0E10, 2024-01-01T00:00:00Z, 2024-02-29, [105, -1], +I[1, null], [1, null], \
             {k=1.50, l=null}, true, 10:15]\n\
             t:1> -U[null, null, 2024-01-01T00:00, null, null, null, null, null, null, null, null, null]\n"
        );
    }
}
