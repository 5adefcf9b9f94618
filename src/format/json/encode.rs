//! Batches as JSON, one object a line, as Flink's `RowDataToJsonConverters` and Jackson write them.

/// What to write for a byte in a string: 0 as it is, `u` as `\u00XX`, else behind a backslash.
const ESCAPES: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = b'u';
        byte += 1;
    }
    table[0x08] = b'b';
    table[0x09] = b't';
    table[0x0a] = b'n';
    table[0x0c] = b'f';
    table[0x0d] = b'r';
    table[b'"' as usize] = b'"';
    table[b'\\' as usize] = b'\\';
    table
};

/// Appends `text` as a JSON string.
pub(super) fn quoted(text: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    out.push(b'"');
    let mut rest = text;
    loop {
        let (stop, _) = super::scan::string_stop(rest, 0);
        out.extend_from_slice(&rest[..stop]);
        let Some(byte) = rest.get(stop) else { break };
        match ESCAPES[usize::from(*byte)] {
            b'u' => out.extend_from_slice(&[b'\\', b'u', b'0', b'0', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]),
            letter => out.extend_from_slice(&[b'\\', letter]),
        }
        rest = &rest[stop + 1..];
    }
    out.push(b'"');
}
