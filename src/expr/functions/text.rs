//! Functions on texts. Positions count characters from 1, as in Flink (`SqlFunctionUtils`, `BinaryStringDataUtil`).

use super::Definition::{Expression, Kernel};
use super::{Bound, Entry, build, build_boolean, build_text, signature};
use crate::expr::kernel::{Arg, KernelError};
use crate::expr::typed::{ExprError, TypedExpr};
use crate::types::TypeKind;
use crate::types::limits::RECORD_BYTES;
use arrow::array::ArrayRef;
use arrow::datatypes::{Int32Type, Int64Type};
use base64::Engine;
use std::sync::Arc;

pub(super) const FUNCTIONS: &[Entry] = &[
    ("UPPER", Kernel(|args| map_text(args, upper))),
    ("LOWER", Kernel(|args| map_text(args, lower))),
    ("REVERSE", Kernel(|args| map_text(args, |text, out| out.extend(text.chars().rev())))),
    ("INITCAP", Kernel(|args| map_text(args, initcap))),
    ("CHAR_LENGTH", Kernel(char_length)),
    ("CHARACTER_LENGTH", Kernel(char_length)),
    ("SUBSTRING", Kernel(substring)),
    ("SUBSTR", Kernel(substring)),
    ("TRIM", Kernel(|args| trim(args, true, true))),
    ("BTRIM", Kernel(|args| trim(args, true, true))),
    ("LTRIM", Kernel(|args| trim(args, true, false))),
    ("RTRIM", Kernel(|args| trim(args, false, true))),
    ("CONCAT", Kernel(concat)),
    ("CONCAT_WS", Kernel(concat_ws)),
    ("REPLACE", Kernel(replace)),
    ("TRANSLATE", Kernel(translate)),
    ("POSITION", Kernel(position)),
    ("LOCATE", Kernel(position)),
    ("INSTR", Expression(instr)),
    ("LPAD", Kernel(|args| pad(args, true))),
    ("RPAD", Kernel(|args| pad(args, false))),
    ("REPEAT", Kernel(repeat)),
    ("LEFT", Kernel(|args| side(args, true))),
    ("RIGHT", Kernel(|args| side(args, false))),
    ("SPLIT_INDEX", Kernel(split_index)),
    ("OVERLAY", Kernel(overlay)),
    ("STARTSWITH", Kernel(|args| test(args, |text, part| text.starts_with(part)))),
    ("ENDSWITH", Kernel(|args| test(args, |text, part| text.ends_with(part)))),
    ("ASCII", Kernel(ascii)),
    ("CHR", Kernel(chr)),
    ("TO_BASE64", Kernel(|args| map_text(args, |text, out| base64::engine::general_purpose::STANDARD.encode_string(text, out)))),
    ("FROM_BASE64", Kernel(from_base64)),
];

/// A function from one text to another; NULL gives NULL.
fn map_text(args: &[TypedExpr], f: fn(&str, &mut String)) -> Result<Bound, ExprError> {
    let casts = signature(args, "s")?;
    let kernel = Arc::new(move |args: &[Arg], rows| {
        let texts = args[0].strings()?;
        build_text(rows, |row, out| {
            f(texts.get(row)?, out);
            Some(())
        })
    });
    Ok(Bound::new(casts, TypeKind::String, kernel))
}

fn upper(text: &str, out: &mut String) {
    if text.is_ascii() {
        out.push_str(text);
        out.make_ascii_uppercase();
    } else {
        out.extend(text.chars().flat_map(char::to_uppercase));
    }
}

fn lower(text: &str, out: &mut String) {
    if text.is_ascii() {
        out.push_str(text);
        out.make_ascii_lowercase();
    } else {
        out.push_str(&text.to_lowercase());
    }
}

fn initcap(text: &str, out: &mut String) {
    let mut inside = false;
    for c in text.chars() {
        if inside {
            out.extend(c.to_lowercase());
        } else {
            out.extend(c.to_uppercase());
        }
        inside = c.is_alphanumeric();
    }
}

/// As Java's basic decoder: padding may be missing, anything else that is not right is an error.
fn from_base64(args: &[TypedExpr]) -> Result<Bound, ExprError> {
    let casts = signature(args, "s")?;
    let config = base64::engine::GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent);
    let engine = base64::engine::GeneralPurpose::new(&base64::alphabet::STANDARD, config);
    let kernel = Arc::new(move |args: &[Arg], rows| {
        let texts = args[0].strings()?;
        let mut failed = None;
        let built = build_text(rows, |row, out| {
            match engine.decode(texts.get(row)?) {
                Ok(bytes) => out.push_str(&String::from_utf8_lossy(&bytes)),
                Err(error) => failed = Some(KernelError(format!("FROM_BASE64: '{}' is not base64: {error}", texts.get(row)?))),
            }
            Some(())
        });
        failed.map_or(built, Err)
    });
    Ok(Bound::new(casts, TypeKind::String, kernel).fallible())
}

fn char_length(args: &[TypedExpr]) -> Result<Bound, ExprError> {
    let casts = signature(args, "s")?;
    let kernel = Arc::new(|args: &[Arg], rows| {
        let texts = args[0].strings()?;
        build::<Int32Type>(rows, |row| texts.get(row).map(|text| count(text) as i32))
    });
    Ok(Bound::new(casts, TypeKind::Int, kernel))
}

/// Characters of a text.
fn count(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.chars().count() }
}

/// The characters from `start` (from 0) on, `length` at most.
fn slice(text: &str, start: usize, length: usize) -> &str {
    if text.is_ascii() {
        let start = start.min(text.len());
        return &text[start..start.saturating_add(length).min(text.len())];
    }
    let byte = |n: usize| text.char_indices().nth(n).map_or(text.len(), |(at, _)| at);
    let (from, to) = (byte(start), byte(start.saturating_add(length)));
    &text[from..to]
}

fn substring(args: &[TypedExpr]) -> Result<Bound, ExprError> {
    let casts = signature(args, "si[i")?;
    let kernel = Arc::new(|args: &[Arg], rows| {
        let (texts, from) = (args[0].strings()?, args[1].values::<Int64Type>()?);
        let lengths = args.get(2).map(Arg::values::<Int64Type>).transpose()?;
        build_text(rows, |row, out| {
            let (text, from) = (texts.get(row)?, from.get(row)?);
            let length = match &lengths {
                Some(lengths) => lengths.get(row)?,
                None => i64::MAX,
            };
            if length < 0 {
                return None;
            }
            let start = match from {
                0 => 0,
                1.. => from - 1,
                // From the end; before the start there is nothing.
                _ => count(text) as i64 + from,
            };
            if let Ok(start) = usize::try_from(start) {
                out.push_str(slice(text, start, usize::try_from(length).unwrap_or(usize::MAX)));
            }
            Some(())
        })
    });
    let bound = Bound::new(casts, TypeKind::String, kernel);
    Ok(if args.len() == 3 { bound.nullable() } else { bound })
}

fn trim(args: &[TypedExpr], left: bool, right: bool) -> Result<Bound, ExprError> {
    let casts = signature(args, "s[s")?;
    let kernel = Arc::new(move |args: &[Arg], rows| {
        let texts = args[0].strings()?;
        let sets = args.get(1).map(Arg::strings).transpose()?;
        build_text(rows, |row, out| {
            let mut text = texts.get(row)?;
            let set = match &sets {
                Some(sets) => sets.get(row)?,
                None => " ",
            };
            if left {
                text = text.trim_start_matches(|c| set.contains(c));
            }
            if right {
                text = text.trim_end_matches(|c| set.contains(c));
            }
            out.push_str(text);
            Some(())
        })
    });
    Ok(Bound::new(casts, TypeKind::String, kernel))
}

fn concat(args: &[TypedExpr]) -> Result<Bound, ExprError> {
    let casts = signature(args, "s*")?;
    let kernel = Arc::new(|args: &[Arg], rows| {
        let texts = args.iter().map(Arg::strings).collect::<Result<Vec<_>, _>>()?;
        build_text(rows, |row, out| texts.iter().try_for_each(|text| text.get(row).map(|text| out.push_str(text))))
    });
    Ok(Bound::new(casts, TypeKind::String, kernel))
}

fn concat_ws(args: &[TypedExpr]) -> Result<Bound, ExprError> {
    let casts = signature(args, "ss*")?;
    let kernel = Arc::new(|args: &[Arg], rows| {
        let texts = args.iter().map(Arg::strings).collect::<Result<Vec<_>, _>>()?;
        build_text(rows, |row, out| {
            let (separator, parts) = texts.split_first()?;
            let separator = separator.get(row)?;
            let mut first = true;
            for part in parts.iter().filter_map(|part| part.get(row)) {
                if !std::mem::take(&mut first) {
                    out.push_str(separator);
                }
                out.push_str(part);
            }
            Some(())
        })
    });
    Ok(Bound::new(casts, TypeKind::String, kernel))
}

fn replace(args: &[TypedExpr]) -> Result<Bound, ExprError> {
    let casts = signature(args, "sss")?;
    let kernel = Arc::new(|args: &[Arg], rows| {
        let (texts, from, to) = (args[0].strings()?, args[1].strings()?, args[2].strings()?);
        build_text(rows, |row, out| {
            let (text, from, to) = (texts.get(row)?, from.get(row)?, to.get(row)?);
            let mut last = 0;
            for (at, found) in text.match_indices(from) {
                out.push_str(&text[last..at]);
                out.push_str(to);
                last = at + found.len();
            }
            out.push_str(&text[last..]);
            Some(())
        })
    });
    Ok(Bound::new(casts, TypeKind::String, kernel))
}

fn translate(args: &[TypedExpr]) -> Result<Bound, ExprError> {
    let casts = signature(args, "sss")?;
    let kernel = Arc::new(|args: &[Arg], rows| {
        let (texts, from, to) = (args[0].strings()?, args[1].strings()?, args[2].strings()?);
        build_text(rows, |row, out| {
            let (text, from, to) = (texts.get(row)?, from.get(row)?, to.get(row)?);
            out.extend(text.chars().filter_map(|c| match from.chars().position(|f| f == c) {
                Some(at) => to.chars().nth(at),
                None => Some(c),
            }));
            Some(())
        })
    });
    Ok(Bound::new(casts, TypeKind::String, kernel))
}

fn position(args: &[TypedExpr]) -> Result<Bound, ExprError> {
    let casts = signature(args, "ss[i")?;
    let kernel = Arc::new(|args: &[Arg], rows| {
        let (parts, texts) = (args[0].strings()?, args[1].strings()?);
        let starts = args.get(2).map(Arg::values::<Int64Type>).transpose()?;
        build::<Int32Type>(rows, |row| {
            let (part, text) = (parts.get(row)?, texts.get(row)?);
            let start = match &starts {
                Some(starts) => usize::try_from(starts.get(row)?.max(1) - 1).unwrap_or(usize::MAX),
                None => 0,
            };
            if part.is_empty() {
                return Some(1);
            }
            let rest = slice(text, start, usize::MAX);
            let at = rest.find(part).map_or(0, |at| start + count(&rest[..at]) + 1);
            Some(at as i32)
        })
    });
    Ok(Bound::new(casts, TypeKind::Int, kernel))
}

fn instr(mut args: Vec<TypedExpr>) -> Result<TypedExpr, ExprError> {
    signature(&args, "ss")?;
    args.reverse();
    super::call("LOCATE", args).unwrap_or_else(|| Err(ExprError::new("LOCATE is missing")))
}

fn too_long(name: &str) -> KernelError {
    KernelError(format!("{name} would make a text of more than {RECORD_BYTES}"))
}

fn pad(args: &[TypedExpr], left: bool) -> Result<Bound, ExprError> {
    let casts = signature(args, "sis")?;
    let kernel = Arc::new(move |args: &[Arg], rows| {
        let (texts, lengths, pads) = (args[0].strings()?, args[1].values::<Int64Type>()?, args[2].strings()?);
        let mut failed = false;
        let built = build_text(rows, |row, out| {
            let (text, length, pad) = (texts.get(row)?, lengths.get(row)?, pads.get(row)?);
            let length = usize::try_from(length).ok().filter(|_| !pad.is_empty())?;
            failed |= length as u64 > RECORD_BYTES.0;
            let present = count(text);
            let missing = if failed { 0 } else { length.saturating_sub(present) };
            if !left {
                out.push_str(slice(text, 0, length));
            }
            out.extend(pad.chars().cycle().take(missing));
            if left {
                out.push_str(slice(text, 0, length));
            }
            Some(())
        });
        if failed { Err(too_long("LPAD or RPAD")) } else { built }
    });
    Ok(Bound::new(casts, TypeKind::String, kernel).nullable().fallible())
}

fn repeat(args: &[TypedExpr]) -> Result<Bound, ExprError> {
    let casts = signature(args, "si")?;
    let kernel = Arc::new(|args: &[Arg], rows| {
        let (texts, times) = (args[0].strings()?, args[1].values::<Int64Type>()?);
        let mut failed = false;
        let built = build_text(rows, |row, out| {
            let (text, times) = (texts.get(row)?, usize::try_from(times.get(row)?).unwrap_or(0));
            failed |= text.len().saturating_mul(times) as u64 > RECORD_BYTES.0;
            if !failed {
                (0..times).for_each(|_| out.push_str(text));
            }
            Some(())
        });
        if failed { Err(too_long("REPEAT")) } else { built }
    });
    Ok(Bound::new(casts, TypeKind::String, kernel).fallible())
}

fn side(args: &[TypedExpr], left: bool) -> Result<Bound, ExprError> {
    let casts = signature(args, "si")?;
    let kernel = Arc::new(move |args: &[Arg], rows| {
        let (texts, lengths) = (args[0].strings()?, args[1].values::<Int64Type>()?);
        build_text(rows, |row, out| {
            let (text, length) = (texts.get(row)?, usize::try_from(lengths.get(row)?).unwrap_or(0));
            let start = if left { 0 } else { count(text).saturating_sub(length) };
            out.push_str(slice(text, start, length));
            Some(())
        })
    });
    Ok(Bound::new(casts, TypeKind::String, kernel))
}

fn split_index(args: &[TypedExpr]) -> Result<Bound, ExprError> {
    // The delimiter is a text, or the code of a character.
    let by_code = args.get(1).is_some_and(|arg| crate::expr::coerce::is_integer(&arg.data_type.kind));
    let casts = signature(args, if by_code { "sii" } else { "ssi" })?;
    let kernel = Arc::new(move |args: &[Arg], rows| {
        let (texts, indices) = (args[0].strings()?, args[2].values::<Int64Type>()?);
        let codes = if by_code { Some(args[1].values::<Int64Type>()?) } else { None };
        let delimiters = if by_code { None } else { Some(args[1].strings()?) };
        build_text(rows, |row, out| {
            let (text, index) = (texts.get(row)?, usize::try_from(indices.get(row)?).ok()?);
            let mut code = [0; 4];
            let delimiter: &str = match (&codes, &delimiters) {
                (Some(codes), _) => char::from_u32(u32::try_from(codes.get(row)?).ok()?)?.encode_utf8(&mut code),
                (_, Some(delimiters)) => delimiters.get(row)?,
                _ => return None,
            };
            if text.is_empty() {
                return None;
            }
            let part = if delimiter.is_empty() { text.split_whitespace().nth(index) } else { text.split(delimiter).nth(index) };
            out.push_str(part?);
            Some(())
        })
    });
    Ok(Bound::new(casts, TypeKind::String, kernel).nullable())
}

fn overlay(args: &[TypedExpr]) -> Result<Bound, ExprError> {
    let casts = signature(args, "ssi[i")?;
    let kernel = Arc::new(|args: &[Arg], rows| {
        let (texts, parts, starts) = (args[0].strings()?, args[1].strings()?, args[2].values::<Int64Type>()?);
        let lengths = args.get(3).map(Arg::values::<Int64Type>).transpose()?;
        build_text(rows, |row, out| {
            let (text, part, start) = (texts.get(row)?, parts.get(row)?, starts.get(row)?);
            let length = match &lengths {
                Some(lengths) => lengths.get(row)?,
                None => count(part) as i64,
            };
            let all = count(text) as i64;
            if start < 1 || start > all {
                out.push_str(text);
                return Some(());
            }
            out.push_str(slice(text, 0, (start - 1) as usize));
            out.push_str(part);
            let rest = (start - 1).saturating_add(length);
            // Without a length above 0 Flink drops what follows.
            if (0..all).contains(&rest) && length > 0 {
                out.push_str(slice(text, rest as usize, usize::MAX));
            }
            Some(())
        })
    });
    Ok(Bound::new(casts, TypeKind::String, kernel))
}

fn test(args: &[TypedExpr], f: fn(&str, &str) -> bool) -> Result<Bound, ExprError> {
    let casts = signature(args, "ss")?;
    let kernel = Arc::new(move |args: &[Arg], rows| {
        let (texts, parts) = (args[0].strings()?, args[1].strings()?);
        build_boolean(rows, |row| Some(f(texts.get(row)?, parts.get(row)?)))
    });
    Ok(Bound::new(casts, TypeKind::Boolean, kernel))
}

fn ascii(args: &[TypedExpr]) -> Result<Bound, ExprError> {
    let casts = signature(args, "s")?;
    let kernel = Arc::new(|args: &[Arg], rows| -> Result<ArrayRef, KernelError> {
        let texts = args[0].strings()?;
        build::<Int32Type>(rows, |row| texts.get(row).map(|text| text.bytes().next().map_or(0, i32::from)))
    });
    Ok(Bound::new(casts, TypeKind::Int, kernel))
}

fn chr(args: &[TypedExpr]) -> Result<Bound, ExprError> {
    let casts = signature(args, "i")?;
    let kernel = Arc::new(|args: &[Arg], rows| {
        let codes = args[0].values::<Int64Type>()?;
        build_text(rows, |row, out| {
            let code = codes.get(row)?;
            // Negative codes give nothing, larger ones count modulo 256.
            if code >= 0 {
                out.push(char::from((code % 256) as u8));
            }
            Some(())
        })
    });
    Ok(Bound::new(casts, TypeKind::String, kernel))
}
