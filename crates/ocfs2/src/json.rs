//! Strings and bytes in the manifest's JSON, as its README defines them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Adds `"key":"text"`, or `"key_b64":"…"` when `text` is not UTF-8.
pub(crate) fn member(out: &mut Vec<u8>, key: &str, text: &[u8]) {
    out.push(b'"');
    out.extend_from_slice(key.as_bytes());
    if !is_utf8(text) {
        out.extend_from_slice(b"_b64\":");
        return base64(out, text);
    }
    out.extend_from_slice(b"\":");
    string(out, text);
}

/// Adds `text`, which is UTF-8, in quotes.
pub(crate) fn string(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    for byte in text {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            0..0x20 | 0x7f => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(*byte),
        }
    }
    out.push(b'"');
}

/// Adds `bytes` in base 64, in quotes.
pub(crate) fn base64(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
    out.push(b'"');
}

/// Whether the manifest takes `text` for UTF-8: the form alone counts, so that overlong forms and surrogates pass.
pub(crate) fn is_utf8(text: &[u8]) -> bool {
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        let more = match first {
            0..0x80 => 0,
            0xc2..0xe0 => 1,
            0xe0..0xf0 => 2,
            0xf0..0xf5 => 3,
            _ => return false,
        };
        let Some((following, next)) = tail.split_at_checked(more) else { return false };
        if !following.iter().all(|byte| byte & 0xc0 == 0x80) {
            return false;
        }
        rest = next;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &[u8]) -> String {
        let mut out = Vec::new();
        member(&mut out, "path", text);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn names_are_escaped_or_in_base_64() {
        assert_eq!(of(b"a\"b\\c\x01\x7f"), r#""path":"a\"b\\c\u0001\u007f""#);
        assert_eq!(of("é".as_bytes()), "\"path\":\"é\"");
        assert_eq!(of(b"\xff"), r#""path_b64":"/w==""#);
        assert_eq!(of(b"\xc3"), r#""path_b64":"ww==""#);
    }

    #[test]
    fn only_the_form_of_utf8_counts() {
        assert!(is_utf8(b"\xed\xa0\x80") && is_utf8(b"\xe0\x80\x80"));
        assert!(!is_utf8(b"\xc1\x80") && !is_utf8(b"\xf5\x80\x80\x80") && !is_utf8(b"\x80"));
    }
}
