//! The footer of a Parquet file, looked over before the decoder sees it: the decoder allocates what lists claim to hold, and a few altered bytes
//! can claim more than any machine has. Thrift's compact protocol; nothing is understood here but lengths.

// The types of Thrift's compact protocol.
const BOOL_TRUE: u8 = 1;
const BOOL_FALSE: u8 = 2;
const BYTE: u8 = 3;
const I16: u8 = 4;
const I32: u8 = 5;
const I64: u8 = 6;
const DOUBLE: u8 = 7;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const SET: u8 = 10;
const MAP: u8 = 11;
const STRUCT: u8 = 12;

/// Structs within structs; Parquet's own metadata has half a dozen.
const DEPTH: usize = 32;

/// True if no list, map or text in the footer claims to be longer than what is left of it.
pub(super) fn is_plausible(footer: &[u8]) -> bool {
    Footer { left: footer }.structure(DEPTH).is_some()
}

/// What is left to be read. `None` everywhere: it does not hold.
struct Footer<'a> {
    left: &'a [u8],
}

impl Footer<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.left.split_first()?;
        self.left = rest;
        Some(*first)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn skip(&mut self, bytes: u64) -> Option<()> {
        self.left = self.left.get(usize::try_from(bytes).ok()?..)?;
        Some(())
    }

    /// A number of elements, each of which takes at least one byte.
    fn count(&self, claimed: u64) -> Option<u64> {
        (claimed <= self.left.len() as u64).then_some(claimed)
    }

    fn structure(&mut self, depth: usize) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        loop {
            let header = self.byte()?;
            if header == 0 {
                return Some(());
            }
            if header >> 4 == 0 {
                self.varint()?;
            }
            match header & 0x0F {
                // The value of a field stands in its header.
                BOOL_TRUE | BOOL_FALSE => {}
                other => self.value(other, depth)?,
            }
        }
    }

    fn value(&mut self, kind: u8, depth: usize) -> Option<()> {
        match kind {
            BOOL_TRUE | BOOL_FALSE | BYTE => self.skip(1),
            I16 | I32 | I64 => self.varint().map(drop),
            DOUBLE => self.skip(8),
            BINARY => {
                let length = self.varint()?;
                self.skip(length)
            }
            LIST | SET => {
                let header = self.byte()?;
                let claimed = if header >> 4 == 15 { self.varint()? } else { u64::from(header >> 4) };
                let depth = depth.checked_sub(1)?;
                (0..self.count(claimed)?).try_for_each(|_| self.value(header & 0x0F, depth))
            }
            MAP => {
                let claimed = self.varint()?;
                if self.count(claimed)? == 0 {
                    return Some(());
                }
                let kinds = self.byte()?;
                let depth = depth.checked_sub(1)?;
                (0..claimed).try_for_each(|_| {
                    self.value(kinds >> 4, depth)?;
                    self.value(kinds & 0x0F, depth)
                })
            }
            STRUCT => self.structure(depth),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A footer with version, one column, row count and `row_groups` of them that are not there.
    fn claiming(row_groups: &[u8]) -> Vec<u8> {
        let mut footer = vec![0x15, 2, 0x19, 0x1C, 0x48, 1, b'x', 0x15, 0, 0, 0x16, 2, 0x19];
        footer.extend_from_slice(row_groups);
        footer
    }

    #[test]
    fn lists_that_claim_more_than_there_is_are_seen() {
        assert!(is_plausible(&claiming(&[0x0C, 0])), "no row groups");
        assert!(is_plausible(&claiming(&[0x2C, 0, 0, 0])), "two empty ones");
        assert!(!is_plausible(&claiming(&[0xFC, 0xFF, 0xFF, 0xFF, 0xFF, 7])), "2^31 of them");
        assert!(!is_plausible(&claiming(&[0xFC, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1])), "2^64 of them");
        assert!(!is_plausible(&[0x18, 0xFF, 0xFF, 7, b'x', 0]), "a text");
        assert!(!is_plausible(&[0x1C; 1_000]), "structs without end");
        assert!(!is_plausible(&[]));
    }

    proptest! {
        #[test]
        fn no_bytes_take_long_or_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = is_plausible(&bytes);
        }
    }
}
