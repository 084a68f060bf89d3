//! What a backslash means in the formats of `find -printf` and `stat --printf`.

use anyhow::bail;

/// Reads what is behind a backslash: up to three octal digits, or one of `a b f n r t v \`. The rest of the text.
///
/// # Errors
/// What is none of these.
pub(super) fn escape<'a>(rest: &'a [u8], out: &mut Vec<u8>) -> anyhow::Result<&'a [u8]> {
    let octal = rest.iter().take(3).take_while(|byte| (b'0'..=b'7').contains(byte)).count();
    if octal > 0 {
        let value = rest[..octal].iter().fold(0u32, |value, digit| value * 8 + u32::from(digit - b'0'));
        out.push(u8::try_from(value & 0xff).unwrap_or_default());
        return Ok(&rest[octal..]);
    }
    out.push(match rest.first() {
        Some(b'n') => b'\n',
        Some(b't') => b'\t',
        Some(b'r') => b'\r',
        Some(b'a') => 7,
        Some(b'b') => 8,
        Some(b'f') => 12,
        Some(b'v') => 11,
        Some(b'\\') => b'\\',
        other => bail!("`\\{}` is not known", other.map_or(' ', |byte| char::from(*byte))),
    });
    Ok(&rest[1..])
}
