//! What a text stands for in a column.

use super::Dialect;
use crate::format::calendar;
use crate::format::column::{Column, Values, put};

/// Writes the value that `text` stands for; false if it is none of the column's type.
pub(super) fn write(column: &mut Column, row: usize, text: &[u8], dialect: &Dialect) -> bool {
    let null = match &dialect.null_literal {
        Some(literal) => text == literal.as_bytes(),
        None => text.is_empty() && !matches!(column.values, Values::Text(_) | Values::Binary(_) | Values::Array { .. }),
    };
    if null {
        if column.data_type.nullable {
            column.set_null(row);
        }
        return column.data_type.nullable;
    }
    match &mut column.values {
        Values::Array { offsets, element, .. } => {
            let start = offsets.get(row).map_or(0, |offset| *offset as usize);
            let mut count = 0;
            // An empty field is an array without elements, not one with an empty element.
            for part in split(text, dialect.element_delimiter.as_bytes()).filter(|_| !text.is_empty()) {
                if !write(element, start + count, part, dialect) {
                    return false;
                }
                count += 1;
            }
            put(offsets, row + 1, (start + count) as i32);
        }
        Values::Row(columns) => {
            let mut parts = split(text, dialect.element_delimiter.as_bytes());
            for column in &mut columns.columns {
                let Some(part) = parts.next() else { return false };
                if !write(column, row, part, dialect) {
                    return false;
                }
            }
            if parts.next().is_some() {
                return false;
            }
        }
        Values::Date(values) => match date(text) {
            Some(days) => put(values, row, days),
            None => return false,
        },
        Values::Time(values) => match calendar::time(text) {
            // TIME is TIME(0).
            Some(millis) => put(values, row, millis - millis % 1_000),
            None => return false,
        },
        _ => return column.write_text(row, text).is_ok(),
    }
    column.validity.set(row);
    true
}

/// `2020-02-09`, and as `java.sql.Date` reads it `2020-2-9`.
fn date(text: &[u8]) -> Option<i32> {
    if text.len() == 10 {
        return calendar::date(text);
    }
    let mut parts = text.split(|byte| *byte == b'-');
    let mut part = |longest: usize| {
        let digits = parts.next().filter(|part| (1..=longest).contains(&part.len()) && part.iter().all(u8::is_ascii_digit))?;
        std::str::from_utf8(digits).ok()?.parse::<u32>().ok()
    };
    let (year, month, day) = (part(4)?, part(2)?, part(2)?);
    if parts.next().is_some() || text.iter().take_while(|byte| **byte != b'-').count() != 4 {
        return None;
    }
    i32::try_from(calendar::days_of(i64::from(year), u64::from(month), u64::from(day))?).ok()
}

fn split<'a>(text: &'a [u8], delimiter: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        match memchr::memmem::find(text, delimiter).filter(|_| !delimiter.is_empty()) {
            Some(at) => {
                rest = Some(&text[at + delimiter.len()..]);
                Some(&text[..at])
            }
            None => rest.take(),
        }
    })
}

#[cold]
pub(super) fn misfit(column: &Column, text: &[u8]) -> String {
    const LONGEST: usize = 40;
    let text = String::from_utf8_lossy(text);
    let text = match text.char_indices().nth(LONGEST) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text.into_owned(),
    };
    format!("expected {}, found \"{text}\"", column.data_type)
}
