//! Additional header segments of a SCSI Command (RFC 7143, 11.2.2): CDBs beyond 16 bytes, and the read length of a
//! bidirectional command.

/// What the additional header segments of one command say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ahs<'a> {
    /// The CDB's bytes from the 17th on, with padding that the segment does not count cut off; empty without one.
    pub extended_cdb: &'a [u8],
    /// Expected length of the read part of a bidirectional command, in bytes.
    pub bidi_read_len: Option<u32>,
}

/// Additional header segments that do not parse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AhsError {
    /// A segment reaches past the end of them all.
    #[error("the segment at byte {offset} is {len} bytes long, and {left} are left")]
    Truncated {
        /// Where it begins.
        offset: usize,
        /// How long it would be with header and padding, in bytes.
        len: usize,
        /// What there is.
        left: usize,
    },
    /// A segment is of an unknown kind.
    #[error("the segment at byte {offset} has the unknown type {kind:#04x}")]
    UnknownType {
        /// Where it begins.
        offset: usize,
        /// AHSType.
        kind: u8,
    },
    /// A segment has a length that its kind cannot have.
    #[error("the segment at byte {offset} of type {kind:#04x} has AHSLength {len}")]
    BadLength {
        /// Where it begins.
        offset: usize,
        /// AHSType.
        kind: u8,
        /// AHSLength, in bytes.
        len: u16,
    },
    /// A kind comes twice.
    #[error("the segment at byte {offset} repeats type {kind:#04x}")]
    Repeated {
        /// Where it begins.
        offset: usize,
        /// AHSType.
        kind: u8,
    },
}

/// AHSType of an extended CDB.
const EXTENDED_CDB: u8 = 1;
/// AHSType of the read length of a bidirectional command.
const BIDI_READ_LEN: u8 = 2;

/// Reads the segments behind a SCSI Command's basic header.
///
/// # Errors
/// [`AhsError`] with the place in the segments.
pub fn parse_ahs(bytes: &[u8]) -> Result<Ahs<'_>, AhsError> {
    let mut ahs = Ahs::default();
    let mut left = bytes;
    while let [hi, lo, kind, rest @ ..] = left {
        let offset = bytes.len().saturating_sub(left.len());
        let len = u16::from_be_bytes([*hi, *lo]);
        let kind = *kind & 0x3f;
        // AHSLength counts from the byte after AHSType; the whole is padded to words.
        let whole = usize::from(len).saturating_add(3).next_multiple_of(4);
        let Some(body) = rest.get(..usize::from(len)).filter(|_| whole <= left.len()) else {
            return Err(AhsError::Truncated { offset, len: whole, left: left.len() });
        };
        match kind {
            EXTENDED_CDB => {
                // One reserved byte, then the CDB.
                let Some((_, cdb)) =
                    body.split_first().filter(|(_, cdb)| !cdb.is_empty() && cdb.len() <= 244)
                else {
                    return Err(AhsError::BadLength { offset, kind, len });
                };
                if !ahs.extended_cdb.is_empty() {
                    return Err(AhsError::Repeated { offset, kind });
                }
                ahs.extended_cdb = cdb;
            }
            BIDI_READ_LEN => {
                let &[_, a, b, c, d] = body else { return Err(AhsError::BadLength { offset, kind, len }) };
                if ahs.bidi_read_len.is_some() {
                    return Err(AhsError::Repeated { offset, kind });
                }
                ahs.bidi_read_len = Some(u32::from_be_bytes([a, b, c, d]));
            }
            kind => return Err(AhsError::UnknownType { offset, kind }),
        }
        left = left.get(whole..).unwrap_or_default();
    }
    Ok(ahs)
}

/// Appends a segment with the CDB's bytes from the 17th on; 1 to 244 of them, or nothing is done and `false` given.
pub fn push_extended_cdb(out: &mut Vec<u8>, rest: &[u8]) -> bool {
    let Some(len) = u16::try_from(rest.len()).ok().filter(|len| (1..=244).contains(len)) else {
        return false;
    };
    out.extend_from_slice(&len.saturating_add(1).to_be_bytes());
    out.extend_from_slice(&[EXTENDED_CDB, 0]);
    out.extend_from_slice(rest);
    out.resize(out.len().next_multiple_of(4), 0);
    true
}

/// Appends a segment with the expected length of the read part, in bytes.
pub fn push_bidi_read_len(out: &mut Vec<u8>, len: u32) {
    out.extend_from_slice(&[0, 5, BIDI_READ_LEN, 0]);
    out.extend_from_slice(&len.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_segments_round_trip() {
        for len in 1..=244_u8 {
            let rest: Vec<u8> = (0..len).collect();
            let mut out = Vec::new();
            assert!(push_extended_cdb(&mut out, &rest));
            push_bidi_read_len(&mut out, 0x0102_0304);
            assert_eq!(out.len() % 4, 0);
            assert_eq!(
                parse_ahs(&out),
                Ok(Ahs { extended_cdb: &rest, bidi_read_len: Some(0x0102_0304) }),
                "length {len}"
            );
        }
        assert!(!push_extended_cdb(&mut Vec::new(), &[0; 245]));
    }

    #[test]
    fn bad_segments_are_named() {
        assert_eq!(parse_ahs(&[0, 9, 1, 0]), Err(AhsError::Truncated { offset: 0, len: 12, left: 4 }));
        assert_eq!(parse_ahs(&[0, 1, 7, 0]), Err(AhsError::UnknownType { offset: 0, kind: 7 }));
        assert_eq!(parse_ahs(&[0, 1, 1, 0]), Err(AhsError::BadLength { offset: 0, kind: 1, len: 1 }));
        let twice = [0, 5, 2, 0, 0, 0, 0, 1, 0, 5, 2, 0, 0, 0, 0, 1];
        assert_eq!(parse_ahs(&twice), Err(AhsError::Repeated { offset: 8, kind: 2 }));
    }
}
