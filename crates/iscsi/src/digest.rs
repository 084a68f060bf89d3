//! CRC32C digests (RFC 7143, 13.1): Castagnoli's polynomial, sent least significant byte first.

/// A digest that is being computed over pieces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Crc(u32);

impl Crc {
    /// Takes in more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0 = crc32c::crc32c_append(self.0, bytes);
    }

    /// The digest as it goes on the wire.
    pub fn wire(self) -> [u8; 4] {
        self.0.to_le_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rfcs_examples() {
        // RFC 7143, appendix A.4.
        let crc = |bytes: &[u8]| {
            let mut crc = Crc::default();
            crc.update(bytes);
            crc.wire()
        };
        assert_eq!(crc(&[0; 32]), [0xaa, 0x36, 0x91, 0x8a]);
        assert_eq!(crc(&[0xff; 32]), [0x43, 0xab, 0xa8, 0x62]);
        let up: Vec<u8> = (0..32).collect();
        assert_eq!(crc(&up), [0x4e, 0x79, 0xdd, 0x46]);
        let down: Vec<u8> = (0..32).rev().collect();
        assert_eq!(crc(&down), [0x5c, 0xdb, 0x3f, 0x11]);
    }
}
