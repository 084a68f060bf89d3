//! The volume's UUID, its text form and its hash.

use std::fmt;

/// Identity of a volume.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(pub [u8; 16]);

impl Uuid {
    /// Reads the text form: 32 hexadecimal digits, with or without dashes after 8, 12, 16 and 20 of them.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut digits = text.to_owned();
        if text.len() == 36 {
            if [8, 13, 18, 23].iter().any(|&at| text.as_bytes().get(at) != Some(&b'-')) {
                return None;
            }
            digits.retain(|c| c != '-');
        }
        let exact = digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        exact.then(|| u128::from_str_radix(&digits, 16).ok()).flatten().map(|n| Self(n.to_be_bytes()))
    }

    /// The hash that seeds xattr and directory hashes (`s_uuid_hash`).
    #[must_use]
    pub fn hash(&self) -> u32 {
        self.0
            .iter()
            .fold(0_u32, |hash, &byte| hash.wrapping_shl(5) ^ hash.wrapping_shr(27) ^ u32::from(byte))
    }
}

/// 32 upper-case hexadecimal digits, as the name of the DLM domain and of the heartbeat region.
impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02X}"))
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Uuid({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_hashes() {
        let count = Uuid([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
        assert_eq!(count.hash(), 0x66a2_f2c9);
        assert_eq!(Uuid([0xff; 16]).hash(), 0xbde8_bde8);
        assert_eq!(count.to_string(), "000102030405060708090A0B0C0D0E0F");
        assert_eq!(Uuid::parse("000102030405060708090A0b0C0D0E0F"), Some(count));
        assert_eq!(Uuid::parse("00010203-0405-0607-0809-0A0B0C0D0E0F"), Some(count));
        for bad in ["", "xyz", "+00102030405060708090A0B0C0D0E0F", "000102030405060708090A0B0C0D0E0F00"] {
            assert_eq!(Uuid::parse(bad), None, "{bad}");
        }
        assert_eq!(Uuid::parse("0001020304050607-0809-0A0B-0C0D0E0F-"), None);
    }
}
