//! JSON values into columns, coerced as Flink's `JsonParserToRowDataConverters` does: numbers from strings, strings from
//! anything.

use super::Reject;
use super::order::{KeyOrder, Target};
use super::scan::{blank, compact, found, number_end, object_fields, skip_value, string_stop, unescape, word_end};
use crate::format::column::{Column, Columns, Misfit, Values, put};
use crate::format::parse::{digits, double, signed};
use std::collections::HashMap;

/// How fields are read; what all records of a decoder share.
#[derive(Debug, Clone)]
pub(in crate::format) struct Reading {
    /// A field that is missing is an error.
    pub(super) fail_on_missing: bool,
    /// A field that cannot be read becomes NULL.
    pub(super) ignore_errors: bool,
    /// Room for a string's characters.
    pub(super) scratch: Vec<u8>,
}

type Read = Result<usize, Reject>;

impl Columns {
    /// Reads the object at `at` as row `index`; the position behind it (with `line`, behind its line).
    pub(in crate::format) fn read_json(&mut self, reading: &mut Reading, bytes: &[u8], mut at: usize, index: usize, line: bool) -> Read {
        self.record += 1;
        let (mut step, mut expected, mut learned) = (0, true, true);
        loop {
            let (target, next) = if let Some(predicted) = self.order.predicted(step, bytes, at) {
                predicted
            } else {
                expected = false;
                let (target, next) = self.order.read(step, bytes, at, line)?;
                learned &= self.order.learn(step, &bytes[at..next], target);
                (target, next)
            };
            step += 1;
            at = match target {
                Target::Column(number) => self.read_field(reading, bytes, next, index, number as usize)?,
                Target::Skip => skip_value(bytes, next)?,
                Target::End => {
                    if !(expected && self.order.complete) {
                        self.fill_missing(reading, index, learned)?;
                    }
                    return Ok(next);
                }
            };
        }
    }

    /// Reads the objects of the array at `at`, which is all of its line, as rows from `index` on: the position behind the line, and how
    /// many there are.
    #[cold]
    pub(super) fn read_json_array(
        &mut self,
        reading: &mut Reading,
        bytes: &[u8],
        mut at: usize,
        index: usize,
    ) -> Result<(usize, usize), Reject> {
        // What is expected of an object that ends with its line must not be met by one that does not.
        let fresh = KeyOrder::new(self.fields.iter().map(|field| field.name().as_str()));
        let order = std::mem::replace(&mut self.order, fresh);
        let mut rows = 0;
        let mut first = true;
        let read = loop {
            at = blank(bytes, at + 1);
            if first && bytes.get(at) == Some(&b']') {
                break Ok(());
            }
            first = false;
            match self.read_json(reading, bytes, at, index + rows, false) {
                Ok(end) => at = blank(bytes, end),
                Err(reject) => break Err(reject.inside(&format!("[{rows}]"))),
            }
            rows += 1;
            match bytes.get(at) {
                Some(b',') => {}
                Some(b']') => break Ok(()),
                _ => break Err(Reject::new(format!("expected , or ], found {}", found(bytes, at)))),
            }
        };
        self.order = order;
        read?;
        match blank(bytes, at + 1) {
            end if bytes.get(end) == Some(&b'\n') => Ok((end + 1, rows)),
            end => Err(Reject::new(format!("expected the end of the line behind the array, found {}", found(bytes, end)))),
        }
    }

    #[inline]
    fn read_field(&mut self, reading: &mut Reading, bytes: &[u8], at: usize, index: usize, number: usize) -> Read {
        let Some(column) = self.columns.get_mut(number) else { return skip_value(bytes, at) };
        column.written_by = self.record;
        match column.read_json(reading, bytes, at, index) {
            Ok(end) => Ok(end),
            Err(reject) => self.field_error(reading, bytes, at, index, number, reject),
        }
    }

    /// With `ignore-parse-errors` the field becomes NULL, if the value has an end and the column may be NULL.
    #[cold]
    #[expect(clippy::too_many_arguments, reason = "the arguments of the one caller, and its error")]
    fn field_error(&mut self, reading: &Reading, bytes: &[u8], at: usize, index: usize, number: usize, reject: Reject) -> Read {
        let name = self.fields.get(number).map_or("", |field| field.name());
        match self.columns.get_mut(number) {
            Some(column) if reading.ignore_errors && column.data_type.nullable => {
                let end = skip_value(bytes, at)?;
                column.set_null(index);
                Ok(end)
            }
            _ => Err(reject.inside(name)),
        }
    }

    /// Makes the columns that the object did not have NULL.
    #[cold]
    fn fill_missing(&mut self, reading: &Reading, index: usize, learned: bool) -> Result<(), Reject> {
        let mut complete = learned;
        for (column, field) in self.columns.iter_mut().zip(&self.fields) {
            if column.written_by == self.record {
                continue;
            }
            complete = false;
            if reading.fail_on_missing || !column.data_type.nullable {
                let reject = Reject::new(format!("expected {}, but the field is missing", column.data_type));
                return Err(reject.inside(field.name()));
            }
            column.set_null(index);
        }
        self.order.complete = complete;
        Ok(())
    }
}

impl Column {
    /// Reads the value at `at` into row `index`; the position behind it.
    #[inline]
    pub(super) fn read_json(&mut self, reading: &mut Reading, bytes: &[u8], at: usize, index: usize) -> Read {
        // The usual forms of the usual types; everything else takes the general way.
        match &mut self.values {
            Values::Int64(values) => {
                if let Some((value, end)) = plain_integer(bytes, at) {
                    put(values, index, value);
                    self.validity.set(index);
                    return Ok(end);
                }
            }
            Values::Text(text) if bytes.get(at) == Some(&b'"') => {
                let (stop, ascii) = string_stop(bytes, at + 1);
                if bytes.get(stop) == Some(&b'"') && (ascii || std::str::from_utf8(&bytes[at + 1..stop]).is_ok()) {
                    text.write(index, &bytes[at + 1..stop]);
                    self.validity.set(index);
                    return Ok(stop + 1);
                }
            }
            Values::Timestamp { ticks, reader, .. } if bytes.get(at) == Some(&b'"') => {
                if let (Some(value), Some(b'"')) = (reader.millis(bytes, at + 1), bytes.get(at + 24)) {
                    put(ticks, index, value);
                    self.validity.set(index);
                    return Ok(at + 25);
                }
            }
            _ => {}
        }
        self.read_any(reading, bytes, at, index)
    }

    fn read_any(&mut self, reading: &mut Reading, bytes: &[u8], at: usize, index: usize) -> Read {
        match bytes.get(at) {
            Some(b'"') => {
                let mut text = std::mem::take(&mut reading.scratch);
                text.clear();
                let end = unescape(bytes, at + 1, &mut text);
                let written = self.write_text(index, &text);
                reading.scratch = text;
                let end = end?;
                written.map_err(|Misfit| self.misfit(bytes, at))?;
                Ok(end)
            }
            Some(b'-' | b'0'..=b'9') => {
                let (end, float) = number_end(bytes, at)?;
                let written = match &self.values {
                    Values::Int32(_) | Values::Int64(_) if float => self.write_truncated(index, &bytes[at..end]),
                    Values::Binary(_) => Err(Misfit),
                    _ => self.write_text(index, &bytes[at..end]),
                };
                written.map_err(|Misfit| self.misfit(bytes, at))?;
                Ok(end)
            }
            Some(b'n') => {
                let end = word_end(bytes, at)?;
                if !self.data_type.nullable {
                    return Err(self.misfit(bytes, at));
                }
                self.set_null(index);
                Ok(end)
            }
            Some(b't' | b'f') => {
                let end = word_end(bytes, at)?;
                let written = if matches!(self.values, Values::Binary(_)) { Err(Misfit) } else { self.write_text(index, &bytes[at..end]) };
                written.map_err(|Misfit| self.misfit(bytes, at))?;
                Ok(end)
            }
            Some(b'{' | b'[') => self.read_nested(reading, bytes, at, index),
            // What was predicted ended before these blanks.
            Some(b' ' | b'\t' | b'\r') => self.read_json(reading, bytes, blank(bytes, at), index),
            _ => Err(self.misfit(bytes, at)),
        }
    }

    #[cold]
    fn misfit(&self, bytes: &[u8], at: usize) -> Reject {
        Reject::new(format!("expected {}, found {}", self.data_type, found(bytes, at)))
    }

    /// A number with a fraction or an exponent into a whole number: the fraction is cut off, as Jackson does.
    fn write_truncated(&mut self, index: usize, text: &[u8]) -> Result<(), Misfit> {
        let value = double(text).ok_or(Misfit)?.trunc();
        match &mut self.values {
            Values::Int32(values) if (f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(&value) => put(values, index, value as i32),
            // 2^63 itself is the first one too large.
            Values::Int64(values) if (-(2_f64.powi(63))..2_f64.powi(63)).contains(&value) => put(values, index, value as i64),
            _ => return Err(Misfit),
        }
        self.validity.set(index);
        Ok(())
    }

    fn read_nested(&mut self, reading: &mut Reading, bytes: &[u8], at: usize, index: usize) -> Read {
        let object = bytes.get(at) == Some(&b'{');
        let end = match &mut self.values {
            Values::Row(columns) if object => columns.read_json(reading, bytes, at, index, false)?,
            Values::Array { offsets, element, .. } if !object => {
                let start = offsets.get(index).map_or(0, |offset| *offset as usize);
                let (count, end) = read_elements(element, reading, bytes, at, start)?;
                put(offsets, index + 1, (start + count) as i32);
                end
            }
            Values::Map { offsets, key, value, .. } if object => {
                let start = offsets.get(index).map_or(0, |offset| *offset as usize);
                let (entries, end) = entries(bytes, at)?;
                for (number, (name, value_at)) in entries.iter().enumerate() {
                    key.write_text(start + number, name).map_err(|Misfit| key.misfit(bytes, at))?;
                    value.read_element(reading, bytes, *value_at, start + number).map_err(|reject| {
                        let name = String::from_utf8_lossy(name);
                        reject.inside(&format!("['{name}']"))
                    })?;
                }
                put(offsets, index + 1, (start + entries.len()) as i32);
                end
            }
            Values::Text(text) => {
                let mut compacted = Vec::new();
                let end = compact(bytes, at, &mut compacted)?;
                text.write(index, &compacted);
                end
            }
            _ => return Err(self.misfit(bytes, at)),
        };
        self.validity.set(index);
        Ok(end)
    }

    /// An array's element or a map's value; with `ignore-parse-errors` NULL if it cannot be read.
    fn read_element(&mut self, reading: &mut Reading, bytes: &[u8], at: usize, index: usize) -> Read {
        match self.read_json(reading, bytes, at, index) {
            Err(_) if reading.ignore_errors && self.data_type.nullable => {
                let end = skip_value(bytes, at)?;
                self.set_null(index);
                Ok(end)
            }
            read => read,
        }
    }
}

/// A whole number as JSON writes it, and where it ends; `None` for any other value.
#[inline]
fn plain_integer(bytes: &[u8], at: usize) -> Option<(i64, usize)> {
    let negative = bytes.get(at) == Some(&b'-');
    let start = at + usize::from(negative);
    let (magnitude, end) = digits(bytes, start)?;
    let leading_zero = bytes.get(start) == Some(&b'0') && end != start + 1;
    if end == start || leading_zero || matches!(bytes.get(end), Some(b'.' | b'e' | b'E')) {
        return None;
    }
    Some((signed(magnitude, negative)?, end))
}

/// Reads the array at `at` into `element` from row `start` on: the number of elements, and where the array ends.
fn read_elements(element: &mut Column, reading: &mut Reading, bytes: &[u8], at: usize, start: usize) -> Result<(usize, usize), Reject> {
    let mut at = blank(bytes, at + 1);
    if bytes.get(at) == Some(&b']') {
        return Ok((0, at + 1));
    }
    let mut count = 0;
    loop {
        let end = element.read_element(reading, bytes, at, start + count).map_err(|reject| reject.inside(&format!("[{count}]")))?;
        count += 1;
        at = blank(bytes, end);
        match bytes.get(at) {
            Some(b',') => at = blank(bytes, at + 1),
            Some(b']') => return Ok((count, at + 1)),
            _ => return Err(Reject::new(format!("expected , or ], found {}", found(bytes, at)))),
        }
    }
}

/// The keys of the object at `at`, unescaped, each with the position of its value, and where the object ends. Of a key that
/// comes twice the last value counts.
#[expect(clippy::type_complexity, reason = "said in the line above, used once")]
fn entries(bytes: &[u8], at: usize) -> Result<(Vec<(Vec<u8>, usize)>, usize), Reject> {
    let mut entries: Vec<(Vec<u8>, usize)> = Vec::new();
    let mut places: HashMap<Vec<u8>, usize> = HashMap::new();
    let end = object_fields(bytes, at, |key, value| {
        let place = *places.entry(key.to_vec()).or_insert(entries.len());
        match entries.get_mut(place) {
            Some(entry) => entry.1 = value,
            None => entries.push((key.to_vec(), value)),
        }
    })?;
    Ok((entries, end))
}
