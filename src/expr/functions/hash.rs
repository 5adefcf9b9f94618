//! Hash functions: hexadecimal digits in lower case, as Flink writes them.

use super::Definition::Kernel as Bind;
use super::{Bound, Entry, build_text, signature};
use crate::expr::kernel::{Arg, Kernel, KernelError};
use crate::expr::typed::{ExprError, TypedExpr};
use crate::types::TypeKind;
use arrow::datatypes::Int64Type;
use md5::Md5;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};
use std::sync::Arc;

pub(super) const FUNCTIONS: &[Entry] = &[
    ("MD5", Bind(|args| hash(args, |text, out| hex(&Md5::digest(text), out)))),
    ("SHA1", Bind(|args| hash(args, |text, out| hex(&sha1(text), out)))),
    ("SHA224", Bind(|args| hash(args, |text, out| hex(&Sha224::digest(text), out)))),
    ("SHA256", Bind(|args| hash(args, |text, out| hex(&Sha256::digest(text), out)))),
    ("SHA384", Bind(|args| hash(args, |text, out| hex(&Sha384::digest(text), out)))),
    ("SHA512", Bind(|args| hash(args, |text, out| hex(&Sha512::digest(text), out)))),
    ("SHA2", Bind(sha2_of)),
];

fn hex(bytes: &[u8], out: &mut String) {
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            out.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
        }
    }
}

fn hash(args: &[TypedExpr], f: fn(&[u8], &mut String)) -> Result<Bound, ExprError> {
    let casts = signature(args, "s")?;
    let kernel: Kernel = Arc::new(move |args: &[Arg], rows| {
        let texts = args[0].strings()?;
        build_text(rows, |row, out| {
            f(texts.get(row)?.as_bytes(), out);
            Some(())
        })
    });
    Ok(Bound::new(casts, TypeKind::String, kernel))
}

fn sha2_of(args: &[TypedExpr]) -> Result<Bound, ExprError> {
    let casts = signature(args, "si")?;
    let kernel: Kernel = Arc::new(|args: &[Arg], rows| {
        let (texts, lengths) = (args[0].strings()?, args[1].values::<Int64Type>()?);
        let mut unknown = None;
        let built = build_text(rows, |row, out| {
            let text = texts.get(row)?;
            match lengths.get(row)? {
                224 => hex(&Sha224::digest(text), out),
                256 => hex(&Sha256::digest(text), out),
                384 => hex(&Sha384::digest(text), out),
                512 => hex(&Sha512::digest(text), out),
                other => {
                    unknown = Some(KernelError(format!("SHA2: there is none of {other} bits, only of 224, 256, 384 and 512")));
                    return None;
                }
            }
            Some(())
        });
        unknown.map_or(built, Err)
    });
    Ok(Bound::new(casts, TypeKind::String, kernel).nullable().fallible())
}

/// SHA-1 (FIPS 180-4).
#[expect(clippy::many_single_char_names, reason = "the standard names them so")]
fn sha1(message: &[u8]) -> [u8; 20] {
    let mut state: [u32; 5] = [0x6745_2301, 0xEFCD_AB89, 0x98BA_DCFE, 0x1032_5476, 0xC3D2_E1F0];
    let mut padded = message.to_vec();
    padded.push(0x80);
    padded.resize(padded.len().div_ceil(64) * 64, 0);
    if padded.len() - message.len() < 9 {
        padded.resize(padded.len() + 64, 0);
    }
    let length_at = padded.len() - 8;
    padded[length_at..].copy_from_slice(&(message.len() as u64 * 8).to_be_bytes());
    for block in padded.chunks_exact(64) {
        let mut words = [0_u32; 80];
        for (word, bytes) in words.iter_mut().zip(block.chunks_exact(4)) {
            *word = bytes.iter().fold(0, |w, b| w << 8 | u32::from(*b));
        }
        for i in 16..80 {
            words[i] = (words[i - 3] ^ words[i - 8] ^ words[i - 14] ^ words[i - 16]).rotate_left(1);
        }
        let [mut a, mut b, mut c, mut d, mut e] = state;
        for (i, word) in words.iter().enumerate() {
            let (f, k) = match i {
                0..20 => (b & c | !b & d, 0x5A82_7999),
                20..40 => (b ^ c ^ d, 0x6ED9_EBA1),
                40..60 => (b & c | b & d | c & d, 0x8F1B_BCDC),
                _ => (b ^ c ^ d, 0xCA62_C1D6_u32),
            };
            let next = a.rotate_left(5).wrapping_add(f).wrapping_add(e).wrapping_add(k).wrapping_add(*word);
            (a, b, c, d, e) = (next, a, b.rotate_left(30), c, d);
        }
        for (sum, part) in state.iter_mut().zip([a, b, c, d, e]) {
            *sum = sum.wrapping_add(part);
        }
    }
    let mut digest = [0; 20];
    for (bytes, word) in digest.chunks_exact_mut(4).zip(state) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    digest
}
