//! Predicts the keys of an object: what stood between the values of the last object (blanks, commas, key, colon) most likely
//! stands there again, and one comparison finds that out.

use super::Reject;
use super::scan::{blank, colon, found, string_stop, unescape};
use std::collections::HashMap;

/// What follows the text between two values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::format) enum Target {
    /// The value of this column.
    Column(u32),
    /// A value that nobody wants.
    Skip,
    /// Nothing: the object has ended.
    End,
}

/// A text of at least [`WINDOW`] bytes is longer than what one comparison takes; the rest is compared too.
const WINDOW: usize = 16;

/// Longer texts are not remembered, and no more than this many of them: both bound what a stream of odd records can take.
const LONGEST: usize = 1_024;
const MOST: usize = 4_096;

#[derive(Debug, Clone)]
struct Segment {
    /// The first 16 bytes, and which of their bits count.
    first: u128,
    mask: u128,
    raw: Box<[u8]>,
    target: Target,
}

/// The keys of an object, and the order in which they are expected.
#[derive(Debug, Clone)]
pub(in crate::format) struct KeyOrder {
    segments: Vec<Segment>,
    known: HashMap<Box<[u8]>, u32>,
    /// True if an object that follows `segments` to its end has every column.
    pub(super) complete: bool,
    unescaped: Vec<u8>,
}

impl KeyOrder {
    /// Expects nothing yet. `names` are the columns' names in order.
    pub(in crate::format) fn new<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let known = names.enumerate().map(|(index, name)| (name.as_bytes().into(), index as u32)).collect();
        Self { segments: Vec::new(), known, complete: false, unescaped: Vec::new() }
    }

    /// If what is expected as number `step` stands at `at`: what follows it, and where.
    #[inline]
    pub(super) fn predicted(&self, step: usize, bytes: &[u8], at: usize) -> Option<(Target, usize)> {
        let segment = self.segments.get(step)?;
        let rest = bytes.get(at..)?;
        let length = segment.raw.len();
        let matches = match rest.split_first_chunk::<WINDOW>() {
            Some((window, behind)) => {
                u128::from_le_bytes(*window) & segment.mask == segment.first
                    && (length <= WINDOW || behind.starts_with(segment.raw.get(WINDOW..).unwrap_or_default()))
            }
            None => rest.starts_with(&segment.raw),
        };
        matches.then_some((segment.target, at + length))
    }

    /// Expects `raw` as number `step` from now on. False if it is too much to remember.
    #[cold]
    pub(super) fn learn(&mut self, step: usize, raw: &[u8], target: Target) -> bool {
        self.complete = false;
        if target == Target::End {
            self.segments.truncate(step + 1);
        }
        if raw.len() > LONGEST || step >= MOST || step > self.segments.len() {
            return false;
        }
        let mut window = [0; WINDOW];
        let length = raw.len().min(WINDOW);
        window[..length].copy_from_slice(&raw[..length]);
        let mask = if length == WINDOW { u128::MAX } else { (1 << (8 * length)) - 1 };
        let segment = Segment { first: u128::from_le_bytes(window), mask, raw: raw.into(), target };
        match self.segments.get_mut(step) {
            Some(slot) => *slot = segment,
            None => self.segments.push(segment),
        }
        true
    }

    /// Reads what stands before value number `step` without any expectation. With `line`, the end of the object is the end of
    /// the line too.
    #[cold]
    pub(super) fn read(&mut self, step: usize, bytes: &[u8], at: usize, line: bool) -> Result<(Target, usize), Reject> {
        let mut at = blank(bytes, at);
        let opening = step == 0;
        match bytes.get(at) {
            Some(b'{') if opening => at = blank(bytes, at + 1),
            Some(b',') if !opening => at = blank(bytes, at + 1),
            Some(b'}') if !opening => return object_end(bytes, at + 1, line),
            _ if opening => return Err(Reject::new(format!("expected an object, found {}", found(bytes, at)))),
            _ => return Err(Reject::new(format!("expected , or }}, found {}", found(bytes, at)))),
        }
        if opening && bytes.get(at) == Some(&b'}') {
            return object_end(bytes, at + 1, line);
        }
        if bytes.get(at) != Some(&b'"') {
            return Err(Reject::new(format!("expected a key, found {}", found(bytes, at))));
        }
        let (stop, _) = string_stop(bytes, at + 1);
        let (known, end) = if bytes.get(stop) == Some(&b'"') {
            (self.known.get(&bytes[at + 1..stop]), stop + 1)
        } else {
            self.unescaped.clear();
            let end = unescape(bytes, at + 1, &mut self.unescaped)?;
            (self.known.get(self.unescaped.as_slice()), end)
        };
        Ok((known.map_or(Target::Skip, |index| Target::Column(*index)), colon(bytes, end)?))
    }
}

fn object_end(bytes: &[u8], at: usize, line: bool) -> Result<(Target, usize), Reject> {
    if !line {
        return Ok((Target::End, at));
    }
    let at = blank(bytes, at);
    match bytes.get(at) {
        Some(b'\n') => Ok((Target::End, at + 1)),
        _ => Err(Reject::new(format!("expected the end of the line behind the object, found {}", found(bytes, at)))),
    }
}
