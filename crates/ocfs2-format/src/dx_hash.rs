//! Hash of a name in the directory index: a half-TEA variant with the volume's seed.

/// How a byte from 0x80 on enters a hash: as C's `char`, which has a sign on some machines.
///
/// Volumes written on x86 by kernels up to 6.1 and by the tools use signed bytes. The two agree on names of
/// ASCII bytes. A reader looks a name with high bytes up by both; a writer uses [`Self::Signed`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CharSign {
    /// As on x86 up to Linux 6.1.
    Signed,
    /// As on ARM and POWER.
    Unsigned,
}

impl CharSign {
    /// Both, the usual one first.
    pub const BOTH: [Self; 2] = [Self::Signed, Self::Unsigned];

    /// The byte as a 32-bit number.
    pub(crate) fn extend(self, byte: u8) -> u32 {
        match self {
            Self::Signed => i32::from(byte.cast_signed()).cast_unsigned(),
            Self::Unsigned => u32::from(byte),
        }
    }

    /// The variants under which `name` may be hashed: one for ASCII, else both.
    pub fn variants(name: &[u8]) -> impl Iterator<Item = Self> + use<> {
        let count = if name.is_ascii() { 1 } else { 2 };
        Self::BOTH.into_iter().take(count)
    }
}

/// Hash of a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DxHash {
    /// Key of the index tree.
    pub major: u32,
    /// Chooses the block within a cluster of leaves.
    pub minor: u32,
}

impl DxHash {
    /// Hashes a name with the seed of [`Volume::dx_seed`](crate::Volume). `.` and `..` hash to zero.
    #[must_use]
    pub fn of(name: &[u8], seed: [u32; 4], sign: CharSign) -> Self {
        if matches!(name, b"." | b"..") {
            return Self::default();
        }
        let [mut major, mut minor, ..] = seed;
        let mut rest = name;
        while !rest.is_empty() {
            let (add_major, add_minor) = tea(major, minor, words(rest, sign));
            major = major.wrapping_add(add_major);
            minor = minor.wrapping_add(add_minor);
            rest = rest.get(16..).unwrap_or_default();
        }
        Self { major, minor }
    }
}

/// Packs up to 16 bytes of `rest` into four words, filled up with a pattern made from the length of all of it.
fn words(rest: &[u8], sign: CharSign) -> [u32; 4] {
    let len = u32::try_from(rest.len()).unwrap_or(u32::MAX);
    let pad = len | len.wrapping_shl(8);
    let pad = pad | pad.wrapping_shl(16);
    let mut words = [pad; 4];
    for (word, bytes) in words.iter_mut().zip(rest.chunks(4)) {
        *word = bytes.iter().fold(pad, |word, &byte| word.wrapping_shl(8).wrapping_add(sign.extend(byte)));
    }
    words
}

/// Sixteen rounds of TEA, with half of the state taken in.
fn tea(major: u32, minor: u32, [a, b, c, d]: [u32; 4]) -> (u32, u32) {
    const DELTA: u32 = 0x9e37_79b9;
    let (mut x, mut y, mut sum) = (major, minor, 0_u32);
    let half = |from: u32, sum: u32, one: u32, two: u32| {
        from.wrapping_shl(4).wrapping_add(one)
            ^ from.wrapping_add(sum)
            ^ from.wrapping_shr(5).wrapping_add(two)
    };
    for _ in 0..16 {
        sum = sum.wrapping_add(DELTA);
        x = x.wrapping_add(half(y, sum, a, b));
        y = y.wrapping_add(half(x, sum, c, d));
    }
    (x, y)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: [u32; 4] = [0x1111_1111, 0x2222_2222, 0x3333_3333, 0x4444_4444];

    fn hash(name: &[u8], sign: CharSign) -> (u32, u32) {
        let hash = DxHash::of(name, SEED, sign);
        (hash.major, hash.minor)
    }

    #[test]
    fn known_vectors() {
        for (name, want) in [
            (&b"a"[..], (0x1495_f16a, 0x7c18_b786)),
            (b"file1", (0xcacc_53d8, 0xca50_143e)),
            (b"lost+found", (0x5e05_eba5, 0x5109_23e3)),
            (b"0123456789abcdef", (0xa59a_b06e, 0x633a_4e9e)),
            (b"0123456789abcdefg", (0x0dc1_33db, 0x883c_5175)),
            (&[b'x'; 255], (0x1837_ace8, 0x32c6_7a44)),
            (b".", (0, 0)),
            (b"..", (0, 0)),
        ] {
            assert_eq!(hash(name, CharSign::Signed), want);
            assert_eq!(hash(name, CharSign::Unsigned), want);
            assert_eq!(CharSign::variants(name).count(), 1);
        }
        assert_eq!(hash(b"\xc3\xa9", CharSign::Signed), (0x35d2_9623, 0xd00c_5222));
        assert_eq!(hash(b"\xc3\xa9", CharSign::Unsigned), (0xc372_3737, 0xee57_a30a));
        assert_eq!(hash(b"na\xc3\xafve.txt", CharSign::Signed), (0x98c7_be11, 0x0b42_bb6d));
        assert_eq!(hash(b"na\xc3\xafve.txt", CharSign::Unsigned), (0x2fd9_8fc5, 0x6aed_d737));
        let zero = DxHash::of(b"abc", [0; 4], CharSign::Signed);
        assert_eq!(zero, DxHash { major: 0x4e85_a401, minor: 0xbf07_7af8 });
    }
}
