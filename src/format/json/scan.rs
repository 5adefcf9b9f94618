//! The tokens of JSON in bytes that end with a line end, which no record contains: no token runs past it.

use super::super::parse::digits_end;
use super::Reject;
use crate::types::limits::NESTING_DEPTH;

/// The position of the first byte at or behind `at` that is no blank. Line ends are no blanks.
#[inline]
pub(in crate::format) fn blank(bytes: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\t' | b'\r') = bytes.get(at) {
        at += 1;
    }
    at
}

/// Which of sixteen bytes end or interrupt a string (a quote, a backslash, a control character), and which are not ASCII: one bit a
/// byte, the first byte lowest.
#[cfg(target_arch = "x86_64")]
#[inline]
#[expect(unsafe_code, reason = "intrinsics on values, no pointers, of an instruction set that every x86-64 processor has")]
fn stops_of(bytes: &[u8; 16]) -> (u32, u32) {
    // SAFETY: SSE2 is part of x86-64.
    unsafe { stops_of_sse2(bytes) }
}

#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "sse2")]
fn stops_of_sse2(bytes: &[u8; 16]) -> (u32, u32) {
    use std::arch::x86_64::{_mm_cmpeq_epi8, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128, _mm_set_epi64x, _mm_set1_epi8};
    let all = u128::from_le_bytes(*bytes);
    let bytes = _mm_set_epi64x((all >> 64) as i64, all as i64);
    let quote = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'"' as i8));
    let backslash = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'\\' as i8));
    let control = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes);
    let stops = _mm_or_si128(_mm_or_si128(quote, backslash), control);
    (_mm_movemask_epi8(stops) as u32, _mm_movemask_epi8(bytes) as u32)
}

/// Which of sixteen bytes end or interrupt a string (a quote, a backslash, a control character), and which are not ASCII: one bit a
/// byte, the first byte lowest.
#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn stops_of(bytes: &[u8; 16]) -> (u32, u32) {
    let bit = |is: bool, at: usize| u32::from(is) << at;
    let stops = bytes.iter().enumerate().map(|(at, byte)| bit(matches!(byte, b'"' | b'\\' | 0..0x20), at)).sum();
    let high = bytes.iter().enumerate().map(|(at, byte)| bit(!byte.is_ascii(), at)).sum();
    (stops, high)
}

/// Looks for what ends or interrupts a string whose characters begin at `at`: its position (that of a quote, a backslash, a
/// control character or the end of `bytes`), and whether all characters before it are ASCII.
#[inline]
pub(super) fn string_stop(bytes: &[u8], mut at: usize) -> (usize, bool) {
    let mut high = 0;
    while let Some((window, _)) = bytes.get(at..).and_then(|rest| rest.split_first_chunk::<16>()) {
        let (stops, not_ascii) = stops_of(window);
        if stops != 0 {
            let before = (1 << stops.trailing_zeros()) - 1;
            return (at + stops.trailing_zeros() as usize, (high | (not_ascii & before)) == 0);
        }
        high |= not_ascii;
        at += 16;
    }
    let mut ascii = high == 0;
    while let Some(byte) = bytes.get(at) {
        if matches!(byte, b'"' | b'\\' | 0..0x20) {
            break;
        }
        ascii &= byte.is_ascii();
        at += 1;
    }
    (at, ascii)
}

/// The position behind the closing quote of a string whose characters begin at `at`.
pub(super) fn skip_string(bytes: &[u8], mut at: usize) -> Result<usize, Reject> {
    loop {
        let (stop, _) = string_stop(bytes, at);
        match bytes.get(stop) {
            Some(b'"') => return Ok(stop + 1),
            Some(b'\\') if bytes.get(stop + 1).is_some_and(|next| *next >= b' ') => at = stop + 2,
            // JSON wants control characters escaped, Flink takes them as they are.
            Some(byte) if *byte != b'\n' && *byte != b'\\' => at = stop + 1,
            _ => return Err(unclosed()),
        }
    }
}

fn unclosed() -> Reject {
    Reject::new("expected the \" that closes the string, found the end of the line")
}

/// Appends the characters of the string that begin at `at`, unescaped, and returns the position behind its closing quote.
/// Halves of surrogate pairs that stand alone become `?`, as Java writes them.
pub(super) fn unescape(bytes: &[u8], mut at: usize, out: &mut Vec<u8>) -> Result<usize, Reject> {
    loop {
        let (stop, ascii) = string_stop(bytes, at);
        let plain = &bytes[at..stop];
        if !ascii && std::str::from_utf8(plain).is_err() {
            return Err(Reject::new("a string is not valid UTF-8"));
        }
        out.extend_from_slice(plain);
        match (bytes.get(stop), bytes.get(stop + 1)) {
            (Some(b'"'), _) => return Ok(stop + 1),
            (Some(b'\\'), Some(escaped)) => {
                at = stop + 2;
                match escaped {
                    b'"' | b'\\' | b'/' => out.push(*escaped),
                    b'b' => out.push(0x08),
                    b'f' => out.push(0x0c),
                    b'n' => out.push(b'\n'),
                    b'r' => out.push(b'\r'),
                    b't' => out.push(b'\t'),
                    b'u' => at = unicode_escape(bytes, at, out)?,
                    _ if *escaped < b' ' => return Err(unclosed()),
                    _ => return Err(Reject::new(format!("\\{} is no escape", char::from(*escaped)))),
                }
            }
            (Some(byte), _) if *byte != b'\n' && *byte != b'\\' => {
                out.push(*byte);
                at = stop + 1;
            }
            _ => return Err(unclosed()),
        }
    }
}

/// Appends the character of the hexadecimal digits at `at`; the position behind it.
fn unicode_escape(bytes: &[u8], at: usize, out: &mut Vec<u8>) -> Result<usize, Reject> {
    let unit = hex4(bytes, at).ok_or_else(|| Reject::new("\\u wants four hexadecimal digits"))?;
    let mut end = at + 4;
    let mut code = u32::from(unit);
    if (0xd800..0xdc00).contains(&unit)
        && bytes.get(end..end + 2) == Some(b"\\u")
        && let Some(low) = hex4(bytes, end + 2).filter(|low| (0xdc00..0xe000).contains(low))
    {
        code = 0x1_0000 + ((u32::from(unit) - 0xd800) << 10) + (u32::from(low) - 0xdc00);
        end += 6;
    }
    let character = char::from_u32(code).unwrap_or('?');
    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    Ok(end)
}

fn hex4(bytes: &[u8], at: usize) -> Option<u16> {
    let digits = bytes.get(at..at + 4)?;
    digits.iter().try_fold(0, |value: u16, digit| Some(value << 4 | char::from(*digit).to_digit(16)? as u16))
}

/// The end of the number at `at`, and whether it has a fraction or an exponent; an error if it is no JSON number.
pub(super) fn number_end(bytes: &[u8], at: usize) -> Result<(usize, bool), Reject> {
    let digits = |from: usize| {
        let end = digits_end(bytes, from);
        if end == from { Err(Reject::new(format!("expected a digit, found {}", found(bytes, from)))) } else { Ok(end) }
    };
    let start = at + usize::from(bytes.get(at) == Some(&b'-'));
    let mut end = digits(start)?;
    if end > start + 1 && bytes.get(start) == Some(&b'0') {
        return Err(Reject::new(format!("a number begins with 0: {}", found(bytes, at))));
    }
    let mut float = false;
    if bytes.get(end) == Some(&b'.') {
        float = true;
        end = digits(end + 1)?;
    }
    if let Some(b'e' | b'E') = bytes.get(end) {
        float = true;
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        end = digits(end + 1 + sign)?;
    }
    Ok((end, float))
}

/// The end of `true`, `false` or `null` at `at`.
pub(super) fn word_end(bytes: &[u8], at: usize) -> Result<usize, Reject> {
    let rest = bytes.get(at..).unwrap_or_default();
    let word: &[&[u8]] = &[b"true", b"false", b"null"];
    match word.iter().find(|word| rest.starts_with(word)) {
        Some(word) => Ok(at + word.len()),
        None => Err(Reject::new(format!("expected a value, found {}", found(bytes, at)))),
    }
}

/// The position behind the value at `at`, which is looked at only for its structure. Blanks may stand before it.
#[inline]
pub(super) fn skip_value(bytes: &[u8], at: usize) -> Result<usize, Reject> {
    match bytes.get(at) {
        // The usual forms; everything else takes the general way.
        Some(b'"') => {
            let (stop, _) = string_stop(bytes, at + 1);
            if bytes.get(stop) == Some(&b'"') { Ok(stop + 1) } else { skip_string(bytes, at + 1) }
        }
        Some(b'1'..=b'9') => {
            let end = digits_end(bytes, at);
            if matches!(bytes.get(end), Some(b'.' | b'e' | b'E')) { number_end(bytes, at).map(|(end, _)| end) } else { Ok(end) }
        }
        _ => skip_other(bytes, at),
    }
}

#[inline(never)]
fn skip_other(bytes: &[u8], at: usize) -> Result<usize, Reject> {
    match bytes.get(at) {
        Some(b'{' | b'[') => skip_nested(bytes, at),
        Some(b'-' | b'0') => number_end(bytes, at).map(|(end, _)| end),
        Some(b' ' | b'\t' | b'\r') => skip_value(bytes, blank(bytes, at)),
        _ => word_end(bytes, at),
    }
}

/// The position behind the object or array at `at`.
fn skip_nested(bytes: &[u8], mut at: usize) -> Result<usize, Reject> {
    // One bit a level: 1 for an object. A stack of 64 bits is why the limit is 64 at most.
    const { assert!(NESTING_DEPTH <= 64) };
    let (mut levels, mut depth) = (0_u64, 0_usize);
    loop {
        // Here a value begins at `at`.
        match bytes.get(at) {
            Some(open @ (b'{' | b'[')) => {
                if depth == NESTING_DEPTH {
                    return Err(Reject::new(format!("values nest deeper than {NESTING_DEPTH} levels")));
                }
                let object = *open == b'{';
                (levels, depth) = (levels << 1 | u64::from(object), depth + 1);
                at = blank(bytes, at + 1);
                if bytes.get(at) != Some(&if object { b'}' } else { b']' }) {
                    if object {
                        at = skip_key(bytes, at)?;
                    }
                    continue;
                }
            }
            Some(b'"') => at = blank(bytes, skip_string(bytes, at + 1)?),
            Some(b'-' | b'0'..=b'9') => at = blank(bytes, number_end(bytes, at)?.0),
            _ => at = blank(bytes, word_end(bytes, at)?),
        }
        // Here a value has ended, or an empty object or array stands before its closing bracket.
        loop {
            let object = levels & 1 == 1;
            match bytes.get(at) {
                Some(b',') => {
                    at = blank(bytes, at + 1);
                    if object {
                        at = skip_key(bytes, at)?;
                    }
                    break;
                }
                Some(b'}') if object => {}
                Some(b']') if !object => {}
                _ => return Err(Reject::new(format!("expected , or {}, found {}", if object { '}' } else { ']' }, found(bytes, at)))),
            }
            (levels, depth) = (levels >> 1, depth - 1);
            if depth == 0 {
                return Ok(at + 1);
            }
            at = blank(bytes, at + 1);
        }
    }
}

/// From a key at `at` to the value behind its colon.
fn skip_key(bytes: &[u8], at: usize) -> Result<usize, Reject> {
    if bytes.get(at) != Some(&b'"') {
        return Err(Reject::new(format!("expected a key, found {}", found(bytes, at))));
    }
    colon(bytes, skip_string(bytes, at + 1)?)
}

/// From behind a key to the value behind its colon.
pub(super) fn colon(bytes: &[u8], at: usize) -> Result<usize, Reject> {
    let at = blank(bytes, at);
    if bytes.get(at) != Some(&b':') {
        return Err(Reject::new(format!("expected : behind a key, found {}", found(bytes, at))));
    }
    Ok(blank(bytes, at + 1))
}

/// Calls `field` with the key and the position of the value of each field of the object at `at`; the position behind it.
pub(in crate::format) fn object_fields(bytes: &[u8], at: usize, mut field: impl FnMut(&[u8], usize)) -> Result<usize, Reject> {
    let at = blank(bytes, at);
    if bytes.get(at) != Some(&b'{') {
        return Err(Reject::new(format!("expected an object, found {}", found(bytes, at))));
    }
    let mut at = blank(bytes, at + 1);
    if bytes.get(at) == Some(&b'}') {
        return Ok(at + 1);
    }
    let mut key = Vec::new();
    loop {
        if bytes.get(at) != Some(&b'"') {
            return Err(Reject::new(format!("expected a key, found {}", found(bytes, at))));
        }
        key.clear();
        let value = colon(bytes, unescape(bytes, at + 1, &mut key)?)?;
        field(&key, value);
        at = blank(bytes, skip_value(bytes, value)?);
        match bytes.get(at) {
            Some(b',') => at = blank(bytes, at + 1),
            Some(b'}') => return Ok(at + 1),
            _ => return Err(Reject::new(format!("expected , or }}, found {}", found(bytes, at)))),
        }
    }
}

/// Appends the value at `at` without the blanks between its tokens, its strings escaped as Jackson writes them; the position
/// behind it.
pub(super) fn compact(bytes: &[u8], at: usize, out: &mut Vec<u8>) -> Result<usize, Reject> {
    let end = skip_value(bytes, at)?;
    let mut at = at;
    let mut text = Vec::new();
    while at < end {
        match bytes[at] {
            b'"' => {
                text.clear();
                at = unescape(bytes, at + 1, &mut text)?;
                super::encode::quoted(&text, out);
            }
            b' ' | b'\t' | b'\r' => at += 1,
            byte => {
                out.push(byte);
                at += 1;
            }
        }
    }
    Ok(end)
}

/// What stands at `at`, for messages: a token, cut to a readable length.
pub(in crate::format) fn found(bytes: &[u8], at: usize) -> String {
    const LONGEST: usize = 40;
    let rest = bytes.get(at..).unwrap_or_default();
    let line = &rest[..rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len())];
    let end = match line.first() {
        None => return "the end of the line".to_owned(),
        Some(b'"') => skip_string(rest, 1).unwrap_or(line.len()),
        Some(b'{' | b'[') => skip_nested(rest, 0).unwrap_or(line.len()),
        Some(byte) if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.') => {
            let word = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'+' | b'.' | b'_');
            line.iter().take_while(|b| word(b)).count()
        }
        Some(_) => String::from_utf8_lossy(&line[..line.len().min(4)]).chars().next().map_or(1, char::len_utf8),
    };
    let token = String::from_utf8_lossy(&line[..end.min(line.len())]);
    match token.char_indices().nth(LONGEST) {
        Some((cut, _)) => format!("{}…", &token[..cut]),
        None => token.into_owned(),
    }
}
