//! The order-preserving encoding of map keys: bytes compare as the values do ([`Datum`]'s `Ord`), and no encoding is the
//! beginning of another one, so that several can follow each other.

use super::{Datum, DatumError, double_of_ordered, ordered_of_double};

/// Ends a list; every value begins with a greater byte.
const END: u8 = 0;
const NULL: u8 = 1;
const FALSE: u8 = 2;
const TRUE: u8 = 3;
const LONG: u8 = 4;
const DOUBLE: u8 = 5;
const DECIMAL: u8 = 6;
const TEXT: u8 = 7;
const BYTES: u8 = 8;
const LIST: u8 = 9;
const MAP: u8 = 10;
const ROW: u8 = 11;
/// Follows a zero byte inside of bytes; the end of bytes is two zeroes.
const ESCAPE: u8 = 0xFF;

const SIGN: u64 = 1 << 63;

/// Appends `value` to `into`.
pub fn encode_ordered(value: &Datum, into: &mut Vec<u8>) {
    match value {
        Datum::Null => into.push(NULL),
        Datum::Boolean(value) => into.push(if *value { TRUE } else { FALSE }),
        Datum::Long(value) => {
            into.push(LONG);
            into.extend_from_slice(&(*value as u64 ^ SIGN).to_be_bytes());
        }
        Datum::Double(value) => {
            into.push(DOUBLE);
            into.extend_from_slice(&(ordered_of_double(value.get()) as u64 ^ SIGN).to_be_bytes());
        }
        Datum::Decimal(value) => {
            into.push(DECIMAL);
            into.extend_from_slice(&(value.get() as u128 ^ (1 << 127)).to_be_bytes());
        }
        Datum::Text(text) => escaped(TEXT, text.as_bytes(), into),
        Datum::Bytes(bytes) => escaped(BYTES, bytes, into),
        Datum::List(items) => several(LIST, items.iter(), into),
        Datum::Row(fields) => several(ROW, fields.iter(), into),
        Datum::Map(entries) => several(MAP, entries.iter().flat_map(|(key, value)| [key, value]), into),
    }
}

fn escaped(tag: u8, bytes: &[u8], into: &mut Vec<u8>) {
    into.push(tag);
    for byte in bytes {
        into.push(*byte);
        if *byte == 0 {
            into.push(ESCAPE);
        }
    }
    into.extend_from_slice(&[0, 0]);
}

fn several<'a>(tag: u8, items: impl Iterator<Item = &'a Datum>, into: &mut Vec<u8>) {
    into.push(tag);
    for item in items {
        encode_ordered(item, into);
    }
    into.push(END);
}

/// Takes one value from the front of `from`. Errors on bytes that [`encode_ordered`] does not write.
pub fn decode_ordered(from: &mut &[u8]) -> Result<Datum, DatumError> {
    Ok(match byte(from)? {
        NULL => Datum::Null,
        FALSE => Datum::Boolean(false),
        TRUE => Datum::Boolean(true),
        LONG => Datum::Long((u64::from_be_bytes(array(from)?) ^ SIGN) as i64),
        DOUBLE => Datum::double(double_of_ordered((u64::from_be_bytes(array(from)?) ^ SIGN) as i64)),
        DECIMAL => Datum::decimal((u128::from_be_bytes(array(from)?) ^ (1 << 127)) as i128),
        TEXT => Datum::Text(String::from_utf8(unescaped(from)?).map_err(|_| DatumError::Encoding("a STRING that is not UTF-8"))?.into()),
        BYTES => Datum::Bytes(unescaped(from)?.into()),
        LIST => Datum::List(items(from)?.into()),
        ROW => Datum::Row(items(from)?.into()),
        MAP => {
            let mut entries = Vec::new();
            let mut items = items(from)?.into_iter();
            while let Some(key) = items.next() {
                entries.push((key, items.next().ok_or(DatumError::Encoding("a MAP with a key without a value"))?));
            }
            Datum::Map(entries.into())
        }
        _ => return Err(DatumError::Encoding("an unknown tag")),
    })
}

const SHORT: DatumError = DatumError::Encoding("it ends too early");

fn byte(from: &mut &[u8]) -> Result<u8, DatumError> {
    let (first, rest) = from.split_first().ok_or(SHORT)?;
    *from = rest;
    Ok(*first)
}

fn array<const N: usize>(from: &mut &[u8]) -> Result<[u8; N], DatumError> {
    let (bytes, rest) = from.split_first_chunk::<N>().ok_or(SHORT)?;
    *from = rest;
    Ok(*bytes)
}

fn unescaped(from: &mut &[u8]) -> Result<Vec<u8>, DatumError> {
    let mut bytes = Vec::new();
    loop {
        match byte(from)? {
            0 => match byte(from)? {
                0 => return Ok(bytes),
                ESCAPE => bytes.push(0),
                _ => return Err(DatumError::Encoding("a zero byte that neither ends nor is escaped")),
            },
            other => bytes.push(other),
        }
    }
}

fn items(from: &mut &[u8]) -> Result<Vec<Datum>, DatumError> {
    let mut items = Vec::new();
    while *from.first().ok_or(SHORT)? != END {
        items.push(decode_ordered(from)?);
    }
    *from = &from[1..];
    Ok(items)
}
