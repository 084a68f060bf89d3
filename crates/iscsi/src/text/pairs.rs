//! `key=value` pairs in bytes (RFC 7143, 6.1).

use super::{Key, TextError};

/// One pair, borrowed from the bytes it came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair<'a> {
    /// The key's name: 1 to 63 characters.
    pub key: &'a str,
    /// The value: UTF-8 without NUL, at most 255 bytes, or 8192 where the key is a large one or unknown.
    pub value: &'a str,
}

/// Longest name of a key, in bytes.
const MAX_NAME: usize = 63;
/// Longest value, in bytes, unless the key says otherwise.
const MAX_VALUE: usize = 255;
/// Longest value of keys that hold large binary values, in bytes.
const MAX_LARGE_VALUE: usize = 8192;

/// Cuts a whole text (all PDUs of it put together) into pairs, in order.
///
/// # Errors
/// [`TextError`] with the place or the key.
pub fn parse_pairs(bytes: &[u8]) -> Result<Vec<Pair<'_>>, TextError> {
    let mut pairs = Vec::new();
    let mut left = bytes;
    while !left.is_empty() {
        let offset = bytes.len().saturating_sub(left.len());
        let end = left.iter().position(|b| *b == 0).ok_or(TextError::Unterminated { offset })?;
        let (pair, rest) = left.split_at_checked(end).unwrap_or((left, &[]));
        left = rest.get(1..).unwrap_or_default();
        // Peers are seen to pad the whole text with more NULs.
        if !pair.is_empty() {
            pairs.push(parse_pair(pair, offset)?);
        }
    }
    Ok(pairs)
}

fn parse_pair(pair: &[u8], offset: usize) -> Result<Pair<'_>, TextError> {
    let equals = pair.iter().position(|b| *b == b'=').ok_or(TextError::NoPair { offset })?;
    let (name, value) = pair.split_at_checked(equals).ok_or(TextError::NoPair { offset })?;
    let value = value.get(1..).unwrap_or_default();
    let good = |b: &u8| b.is_ascii_alphanumeric() || b".-+@_/#".contains(b);
    let len = name.len();
    let key = std::str::from_utf8(name)
        .ok()
        .filter(|_| (1..=MAX_NAME).contains(&len) && name.iter().all(good))
        .ok_or(TextError::BadName { offset, len })?;
    let max = match Key::of(key) {
        Some(known) if !known.spec().large => MAX_VALUE,
        _ => MAX_LARGE_VALUE,
    };
    if value.len() > max {
        return Err(TextError::LongValue { key: key.into(), len: value.len(), max });
    }
    let value = std::str::from_utf8(value).map_err(|_| TextError::NotUtf8 { key: key.into() })?;
    Ok(Pair { key, value })
}

/// Puts pairs into bytes.
#[derive(Debug, Default)]
pub struct TextWriter {
    bytes: Vec<u8>,
}

impl TextWriter {
    /// Appends one pair with its NUL.
    pub fn push(&mut self, key: &str, value: &str) {
        self.bytes.extend_from_slice(key.as_bytes());
        self.bytes.push(b'=');
        self.bytes.extend_from_slice(value.as_bytes());
        self.bytes.push(0);
    }

    /// What was written.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What was written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// Collects a text that is spread over PDUs (C bit), up to a limit.
#[derive(Debug)]
pub struct TextBuf {
    bytes: Vec<u8>,
    max: usize,
}

impl TextBuf {
    /// Takes texts of up to `max` bytes.
    pub fn new(max: usize) -> Self {
        Self { bytes: Vec::new(), max }
    }

    /// Takes in more.
    ///
    /// # Errors
    /// [`TextError::TooMuch`] beyond the limit; nothing of `part` is kept then.
    pub fn extend(&mut self, part: &[u8]) -> Result<(), TextError> {
        if self.bytes.len().saturating_add(part.len()) > self.max {
            return Err(TextError::TooMuch { max: self.max });
        }
        self.bytes.extend_from_slice(part);
        Ok(())
    }

    /// Hands out what was collected and begins anew.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(fixtures::cases(300)))]

        #[test]
        fn pairs_round_trip(pairs in proptest::collection::vec(("[A-Za-z][A-Za-z0-9.+@_-]{0,62}", "[ -~]{0,255}"), 0..20)) {
            let mut writer = TextWriter::default();
            for (key, value) in &pairs {
                writer.push(key, value);
            }
            let got = parse_pairs(writer.as_bytes()).unwrap();
            let got: Vec<_> = got.iter().map(|p| (p.key.to_owned(), p.value.to_owned())).collect();
            prop_assert_eq!(got, pairs);
        }

        #[test]
        fn any_bytes_parse_or_fail(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = parse_pairs(&bytes);
        }
    }

    #[test]
    fn bad_texts_are_named() {
        assert_eq!(parse_pairs(b"A=1\0nothing\0"), Err(TextError::NoPair { offset: 4 }));
        assert_eq!(parse_pairs(b"A=1\0B=2"), Err(TextError::Unterminated { offset: 4 }));
        assert_eq!(parse_pairs(b"=1\0"), Err(TextError::BadName { offset: 0, len: 0 }));
        let long = [b"A".repeat(64), b"=1\0".to_vec()].concat();
        assert_eq!(parse_pairs(&long), Err(TextError::BadName { offset: 0, len: 64 }));
        let long = [b"SessionType=".to_vec(), b"x".repeat(256), vec![0]].concat();
        let error = TextError::LongValue { key: "SessionType".into(), len: 256, max: 255 };
        assert_eq!(parse_pairs(&long), Err(error));
        let long = [b"CHAP_C=".to_vec(), b"x".repeat(8192), vec![0]].concat();
        assert_eq!(parse_pairs(&long).map(|pairs| pairs.len()), Ok(1));
        let mut buf = TextBuf::new(5);
        assert_eq!(buf.extend(b"abc"), Ok(()));
        assert_eq!(buf.extend(b"def"), Err(TextError::TooMuch { max: 5 }));
    }
}
