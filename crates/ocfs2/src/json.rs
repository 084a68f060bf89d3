//! The manifest's JSON: objects written straight into bytes, strings and base 64 as its README defines them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// One object on its way into `out`.
#[derive(Debug)]
pub(crate) struct Object<'o> {
    out: &'o mut Vec<u8>,
    /// What comes before the next member.
    before: u8,
}

impl<'o> Object<'o> {
    /// Opens an object; [`Self::close`] must follow.
    pub(crate) fn open(out: &'o mut Vec<u8>) -> Self {
        Self { out, before: b'{' }
    }

    /// Ends the object.
    pub(crate) fn close(self) {
        self.out.push(b'}');
    }

    /// Adds `"key":text`, or `"key_b64":…` when `text` is not UTF-8.
    pub(crate) fn text(&mut self, key: &str, text: &[u8]) {
        if is_utf8(text) {
            self.key(key.as_bytes(), b"");
            string(self.out, text);
        } else {
            self.key(key.as_bytes(), b"_b64");
            base64(self.out, text);
        }
    }

    /// Adds a word that needs no escapes.
    pub(crate) fn word(&mut self, key: &str, word: &str) {
        self.key(key.as_bytes(), b"");
        self.out.push(b'"');
        self.out.extend_from_slice(word.as_bytes());
        self.out.push(b'"');
    }

    /// Adds permission bits, as four octal digits.
    pub(crate) fn octal(&mut self, key: &str, bits: u16) {
        self.key(key.as_bytes(), b"");
        let digit = |shift: u16| b'0' + (bits >> shift & 7).to_le_bytes()[0];
        self.out.extend_from_slice(&[b'"', digit(9), digit(6), digit(3), digit(0), b'"']);
    }

    /// Adds a number.
    pub(crate) fn number(&mut self, key: &str, number: impl itoa::Integer) {
        self.key(key.as_bytes(), b"");
        integer(self.out, number);
    }

    /// Adds a pair of numbers.
    pub(crate) fn pair(&mut self, key: &str, first: impl itoa::Integer, second: impl itoa::Integer) {
        self.key(key.as_bytes(), b"");
        self.out.push(b'[');
        integer(self.out, first);
        self.out.push(b',');
        integer(self.out, second);
        self.out.push(b']');
    }

    /// Adds rows of numbers.
    pub(crate) fn table(&mut self, key: &str, rows: impl IntoIterator<Item = [u64; 4]>) {
        self.key(key.as_bytes(), b"");
        let mut before_row = b'[';
        for row in rows {
            self.out.push(before_row);
            before_row = b',';
            let mut before = b'[';
            for number in row {
                self.out.push(before);
                before = b',';
                integer(self.out, number);
            }
            self.out.push(b']');
        }
        self.out.push(b']');
    }

    /// Adds a hash, in lower-case hexadecimal.
    pub(crate) fn hex(&mut self, key: &str, bytes: &[u8]) {
        self.key(key.as_bytes(), b"");
        self.out.push(b'"');
        for byte in bytes {
            self.out.extend([byte >> 4, byte & 0xf].map(|digit| HEX[usize::from(digit)]));
        }
        self.out.push(b'"');
    }

    /// Adds `key`, which is from the volume, with `bytes` in base 64.
    pub(crate) fn bytes(&mut self, key: &[u8], bytes: &[u8]) {
        self.out.push(self.before);
        self.before = b',';
        string(self.out, key);
        self.out.push(b':');
        base64(self.out, bytes);
    }

    /// Adds a key, to be followed by an object of its own.
    pub(crate) fn object(&mut self, key: &str) -> Object<'_> {
        self.key(key.as_bytes(), b"");
        Object::open(self.out)
    }

    fn key(&mut self, key: &[u8], suffix: &[u8]) {
        self.out.extend_from_slice(&[self.before, b'"']);
        self.before = b',';
        self.out.extend_from_slice(key);
        self.out.extend_from_slice(suffix);
        self.out.extend_from_slice(b"\":");
    }
}

fn integer(out: &mut Vec<u8>, number: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Adds `text`, which is UTF-8, in quotes.
fn string(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    for plain_then_special in text.split_inclusive(|byte| matches!(byte, b'"' | b'\\' | 0..0x20 | 0x7f)) {
        match plain_then_special {
            [plain @ .., special @ (b'"' | b'\\')] => {
                out.extend_from_slice(plain);
                out.extend_from_slice(&[b'\\', *special]);
            }
            [plain @ .., control @ (0..0x20 | 0x7f)] => {
                out.extend_from_slice(plain);
                out.extend_from_slice(b"\\u00");
                out.extend([control >> 4, control & 0xf].map(|digit| HEX[usize::from(digit)]));
            }
            plain => out.extend_from_slice(plain),
        }
    }
    out.push(b'"');
}

/// Adds `bytes` in base 64, in quotes.
fn base64(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
    out.push(b'"');
}

/// Whether the manifest takes `text` for UTF-8: the form alone counts, so that overlong forms and surrogates pass.
pub(crate) fn is_utf8(text: &[u8]) -> bool {
    if text.is_ascii() {
        return true;
    }
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

    fn of(fill: impl FnOnce(&mut Object<'_>)) -> String {
        let mut out = Vec::new();
        let mut object = Object::open(&mut out);
        fill(&mut object);
        object.close();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn names_are_escaped_or_in_base_64() {
        let path = |text: &[u8]| of(|object| object.text("path", text));
        assert_eq!(path(b"a\"b\\c\x01\x7f-"), r#"{"path":"a\"b\\c\u0001\u007f-"}"#);
        assert_eq!(path("é".as_bytes()), "{\"path\":\"é\"}");
        assert_eq!(path(b"\xff"), r#"{"path_b64":"/w=="}"#);
        assert_eq!(path(b"\xc3"), r#"{"path_b64":"ww=="}"#);
        assert_eq!(path(b""), r#"{"path":""}"#);
    }

    #[test]
    fn members_of_each_kind_stand_side_by_side() {
        let all = of(|object| {
            object.octal("mode", 0o4755);
            object.number("uid", u32::MAX);
            object.pair("mtime", -1000_i64, 5_u32);
            object.hex("sha256", &[0x0f, 0xa0]);
            object.table("fiemap", [[0, 1, 2, 3], [4, 5, 6, u64::MAX]]);
            let mut xattrs = object.object("xattrs");
            xattrs.bytes(b"user.a", b"x");
            xattrs.bytes(b"user.b", b"");
            xattrs.close();
            object.word("type", "file");
        });
        let want = r#"{"mode":"4755","uid":4294967295,"mtime":[-1000,5],"sha256":"0fa0","fiemap":[[0,1,2,3],[4,5,6,18446744073709551615]],"xattrs":{"user.a":"eA==","user.b":""},"type":"file"}"#;
        assert_eq!(all, want);
    }

    #[test]
    fn only_the_form_of_utf8_counts() {
        assert!(is_utf8(b"\xed\xa0\x80") && is_utf8(b"\xe0\x80\x80"));
        assert!(!is_utf8(b"\xc1\x80") && !is_utf8(b"\xf5\x80\x80\x80") && !is_utf8(b"\x80"));
    }
}
