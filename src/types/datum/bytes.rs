//! The compact encoding of values at rest: a tag and what belongs to it, numbers in as few bytes as they need.

use super::{Datum, DatumError};

const NULL: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const LONG: u8 = 3;
const DOUBLE: u8 = 4;
const DECIMAL: u8 = 5;
const TEXT: u8 = 6;
const BYTES: u8 = 7;
const LIST: u8 = 8;
const MAP: u8 = 9;
const ROW: u8 = 10;

/// Appends `value` to `into`.
pub fn encode_datum(value: &Datum, into: &mut Vec<u8>) {
    match value {
        Datum::Null => into.push(NULL),
        Datum::Boolean(value) => into.push(if *value { TRUE } else { FALSE }),
        Datum::Long(value) => {
            into.push(LONG);
            number(u128::from(((value << 1) ^ (value >> 63)) as u64), into);
        }
        Datum::Double(value) => {
            into.push(DOUBLE);
            into.extend_from_slice(&value.get().to_le_bytes());
        }
        Datum::Decimal(value) => {
            let value = value.get();
            into.push(DECIMAL);
            number(((value << 1) ^ (value >> 127)) as u128, into);
        }
        Datum::Text(text) => counted(TEXT, text.as_bytes(), into),
        Datum::Bytes(bytes) => counted(BYTES, bytes, into),
        Datum::List(items) => several(LIST, items, into),
        Datum::Row(fields) => several(ROW, fields, into),
        Datum::Map(entries) => {
            into.push(MAP);
            number(entries.len() as u128, into);
            for (key, value) in entries {
                encode_datum(key, into);
                encode_datum(value, into);
            }
        }
    }
}

fn number(mut value: u128, into: &mut Vec<u8>) {
    while value >= 0x80 {
        into.push(value as u8 | 0x80);
        value >>= 7;
    }
    into.push(value as u8);
}

fn counted(tag: u8, bytes: &[u8], into: &mut Vec<u8>) {
    into.push(tag);
    number(bytes.len() as u128, into);
    into.extend_from_slice(bytes);
}

fn several(tag: u8, items: &[Datum], into: &mut Vec<u8>) {
    into.push(tag);
    number(items.len() as u128, into);
    for item in items {
        encode_datum(item, into);
    }
}

/// Takes one value from the front of `from`. Errors on bytes that [`encode_datum`] does not write.
pub fn decode_datum(from: &mut &[u8]) -> Result<Datum, DatumError> {
    Ok(match take(from, 1)?[0] {
        NULL => Datum::Null,
        FALSE => Datum::Boolean(false),
        TRUE => Datum::Boolean(true),
        LONG => {
            let value = read_number(from)?;
            let value = u64::try_from(value).map_err(|_| DatumError::Encoding("an integer of more than 64 bits"))?;
            Datum::Long((value >> 1) as i64 ^ -((value & 1) as i64))
        }
        DOUBLE => {
            let bytes = take(from, 8)?.try_into().map_err(|_| DatumError::Encoding("a DOUBLE of other than 8 bytes"))?;
            Datum::double(f64::from_le_bytes(bytes))
        }
        DECIMAL => {
            let value = read_number(from)?;
            Datum::decimal((value >> 1) as i128 ^ -((value & 1) as i128))
        }
        TEXT => {
            let bytes = read_counted(from)?;
            Datum::text(std::str::from_utf8(bytes).map_err(|_| DatumError::Encoding("a STRING that is not UTF-8"))?)
        }
        BYTES => Datum::Bytes(read_counted(from)?.into()),
        LIST => Datum::List(read_several(from)?),
        ROW => Datum::Row(read_several(from)?),
        MAP => {
            let count = read_count(from)?;
            let mut entries = Vec::with_capacity(count.min(from.len()));
            for _ in 0..count {
                entries.push((decode_datum(from)?, decode_datum(from)?));
            }
            Datum::Map(entries.into())
        }
        _ => return Err(DatumError::Encoding("an unknown tag")),
    })
}

fn take<'a>(from: &mut &'a [u8], count: usize) -> Result<&'a [u8], DatumError> {
    let (taken, rest) = from.split_at_checked(count).ok_or(DatumError::Encoding("it ends too early"))?;
    *from = rest;
    Ok(taken)
}

fn read_number(from: &mut &[u8]) -> Result<u128, DatumError> {
    let mut value = 0_u128;
    for shift in (0..128).step_by(7) {
        let byte = take(from, 1)?[0];
        value |= u128::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(DatumError::Encoding("a number of more than 128 bits"))
}

fn read_count(from: &mut &[u8]) -> Result<usize, DatumError> {
    usize::try_from(read_number(from)?).map_err(|_| DatumError::Encoding("a length of more than 64 bits"))
}

fn read_counted<'a>(from: &mut &'a [u8]) -> Result<&'a [u8], DatumError> {
    let count = read_count(from)?;
    take(from, count)
}

fn read_several(from: &mut &[u8]) -> Result<Box<[Datum]>, DatumError> {
    let count = read_count(from)?;
    let mut items = Vec::with_capacity(count.min(from.len()));
    for _ in 0..count {
        items.push(decode_datum(from)?);
    }
    Ok(items.into())
}
