//! CHAP (RFC 1994, RFC 7143, 12.1.3): algorithms, secrets, and the values that go with them as text.

use base64::Engine as _;
use md5::Md5;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::text::TextError;

/// A CHAP secret. Wiped when dropped, never shown.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the secret's bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Zeroizing::new(bytes.into()))
    }

    /// Whether it is below the 96 bits that RFC 7143, 12.1.3 asks for; drivers warn of it.
    pub fn is_short(&self) -> bool {
        self.0.len() < 12
    }

    fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether two secrets are the same, without telling by the time it takes.
    pub fn same(&self, other: &Self) -> bool {
        self.bytes().ct_eq(other.bytes()).into()
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Who proves to be whom: a CHAP name with its secret.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// CHAP_N: 1 to 255 bytes.
    pub name: String,
    /// The secret; 12 bytes or more, or drivers warn.
    pub secret: Secret,
}

impl Credentials {
    /// A name with its secret.
    pub fn new(name: impl Into<String>, secret: impl Into<Vec<u8>>) -> Self {
        Self { name: name.into(), secret: Secret::new(secret) }
    }
}

/// Digest algorithms of CHAP_A.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// CHAP_A=5.
    Md5,
    /// CHAP_A=7.
    Sha256,
}

impl Algorithm {
    /// The algorithm of a CHAP_A number, if it is built.
    pub fn of(number: &str) -> Option<Self> {
        match number {
            "5" => Some(Self::Md5),
            "7" => Some(Self::Sha256),
            _ => None,
        }
    }

    /// Its CHAP_A number.
    pub fn number(self) -> &'static str {
        match self {
            Self::Md5 => "5",
            Self::Sha256 => "7",
        }
    }

    /// Length of a response, in bytes.
    pub fn response_len(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha256 => 32,
        }
    }

    /// The response to a challenge: digest of identifier, secret and challenge.
    pub fn response(self, id: u8, secret: &Secret, challenge: &[u8]) -> Vec<u8> {
        match self {
            Self::Md5 => Md5::new()
                .chain_update([id])
                .chain_update(secret.bytes())
                .chain_update(challenge)
                .finalize()
                .to_vec(),
            Self::Sha256 => Sha256::new()
                .chain_update([id])
                .chain_update(secret.bytes())
                .chain_update(challenge)
                .finalize()
                .to_vec(),
        }
    }

    /// Whether a response is right, without telling by the time it takes.
    pub fn verify(self, id: u8, secret: &Secret, challenge: &[u8], response: &[u8]) -> bool {
        self.response(id, secret, challenge).as_slice().ct_eq(response).into()
    }
}

/// Longest challenge or response that is taken, in bytes (RFC 7143, 12.1.3).
const MAX_BINARY: usize = 1024;

/// A binary value as text: `0x` and hexadecimal digits.
pub fn encode_binary(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().saturating_mul(2).saturating_add(2));
    text.push_str("0x");
    for byte in bytes {
        for nibble in [byte >> 4, byte & 0x0f] {
            text.push(char::from_digit(nibble.into(), 16).unwrap_or('0'));
        }
    }
    text
}

/// Reads a binary value: `0x` with hexadecimal digits, or `0b` with base64; 1 to 1024 bytes.
///
/// # Errors
/// [`TextError::BadValue`] for `key`.
pub fn decode_binary(key: &'static str, text: &str) -> Result<Vec<u8>, TextError> {
    let bytes = match text.split_at_checked(2) {
        Some(("0x" | "0X", digits)) => decode_hex(digits),
        Some(("0b" | "0B", digits)) => base64::engine::general_purpose::STANDARD.decode(digits).ok(),
        _ => None,
    };
    bytes.filter(|bytes| (1..=MAX_BINARY).contains(&bytes.len())).ok_or_else(|| TextError::BadValue {
        key,
        value: text.chars().take(80).collect(),
        want: "1 to 1024 bytes as 0x hexadecimal or 0b base64",
    })
}

fn decode_hex(digits: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(digits.len().div_ceil(2));
    let nibble = |b: u8| char::from(b).to_digit(16).and_then(|n| u8::try_from(n).ok());
    let bytes = digits.as_bytes();
    // An odd count means that the first digit stands alone.
    let (first, pairs) = bytes.split_at_checked(bytes.len() & 1)?;
    for lone in first {
        out.push(nibble(*lone)?);
    }
    for pair in pairs.chunks_exact(2) {
        let [hi, lo] = pair else { return None };
        out.push(nibble(*hi)? << 4 | nibble(*lo)?);
    }
    Some(out)
}

/// Randomness for one connection: 32 bytes that nobody can guess, drawn by the driver and used for this connection
/// alone. CHAP challenges come from it.
#[derive(Clone)]
pub struct Seed(Zeroizing<[u8; 32]>);

impl Seed {
    /// Takes the bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// An identifier and a challenge.
    pub(crate) fn challenge(&self) -> (u8, Vec<u8>) {
        let digest =
            Sha256::new().chain_update(b"oxsan chap challenge").chain_update(*self.0).finalize().to_vec();
        let id = Sha256::new().chain_update(b"oxsan chap identifier").chain_update(*self.0).finalize();
        (id.first().copied().unwrap_or(1), digest)
    }
}

impl std::fmt::Debug for Seed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seed(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binary_values_round_trip() {
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(decode_binary("CHAP_C", &encode_binary(&bytes)), Ok(bytes));
        assert_eq!(decode_binary("CHAP_C", "0X0aFF"), Ok(vec![10, 255]));
        assert_eq!(decode_binary("CHAP_C", "0xabc"), Ok(vec![0x0a, 0xbc]));
        assert_eq!(decode_binary("CHAP_C", "0bAQID"), Ok(vec![1, 2, 3]));
        for bad in ["", "0x", "12", "0xzz", "0b!", "é0", &format!("0x{}", "00".repeat(1025))] {
            assert!(decode_binary("CHAP_C", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn responses_of_a_captured_login() {
        // tgtd asked and open-iscsi answered (capture b, the login that went through).
        let challenge = decode_binary("CHAP_C", "0xc9be21cd62deab3d1aaa5c607ff32815ed52481ac8984a814fa1e15d5cd326e199c8fdc276269e7ee91e2f74fa0911cb3142").unwrap();
        let response = decode_binary("CHAP_R", "0x35c9d4c60a5d98b11f1f1eb87326977d").unwrap();
        let secret = Secret::new(*b"secretsecret1");
        assert!(Algorithm::Md5.verify(3, &secret, &challenge, &response));
        assert!(!Algorithm::Md5.verify(4, &secret, &challenge, &response));
        assert!(!Algorithm::Md5.verify(3, &Secret::new(*b"secretsecret2"), &challenge, &response));
        assert!(!Algorithm::Md5.verify(3, &secret, &challenge, &response[..15]));
        assert_eq!(Algorithm::Sha256.response(1, &secret, b"x").len(), Algorithm::Sha256.response_len());
    }

    #[test]
    fn secrets_are_not_shown() {
        let shown = format!("{:?}", Credentials::new("user", *b"topsecret"));
        assert!(!shown.contains("topsecret") && shown.contains("user"));
        assert!(Secret::new(*b"elevenbytes").is_short());
        assert!(!Secret::new(*b"twelve bytes").is_short());
    }
}
