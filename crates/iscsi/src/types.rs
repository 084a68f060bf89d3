//! Small types that both engines share.

use std::fmt;

use smallvec::SmallVec;

/// A command descriptor block: 1 to 260 bytes; up to 16 take no allocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cdb(SmallVec<[u8; 16]>);

impl Cdb {
    /// The longest CDB that SPC knows, in bytes.
    pub const MAX: usize = 260;

    /// Takes a CDB of 1 to 260 bytes.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        (1..=Self::MAX).contains(&bytes.len()).then(|| Self(SmallVec::from_slice(bytes)))
    }

    /// As it was received: 16 bytes and what an extended CDB adds.
    pub(crate) fn received(first: &[u8; 16], rest: &[u8]) -> Self {
        let mut bytes = SmallVec::from_buf(*first);
        bytes.extend_from_slice(rest);
        Self(bytes)
    }

    /// The first 16 bytes, zeroes behind a shorter one, and the rest.
    pub(crate) fn split(&self) -> ([u8; 16], &[u8]) {
        let (first, rest) = self.0.split_at_checked(16).unwrap_or((&self.0, &[]));
        let mut head = [0; 16];
        for (to, from) in head.iter_mut().zip(first) {
            *to = *from;
        }
        (head, rest)
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl<const N: usize> From<[u8; N]> for Cdb {
    /// # Panics
    /// When `N` is 0 or beyond 260; at compile time.
    fn from(bytes: [u8; N]) -> Self {
        const { assert!(N >= 1 && N <= Self::MAX) };
        Self(SmallVec::from_slice(&bytes))
    }
}

/// The initiator's part of a session id (RFC 7143, 11.12.5).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Isid(pub [u8; 6]);

impl Isid {
    /// One of the "random" form: 24 random bits, and a qualifier that tells the sessions of one host apart.
    pub fn random(random: [u8; 3], qualifier: u16) -> Self {
        let [a, b, c] = random;
        let [hi, lo] = qualifier.to_be_bytes();
        Self([0x80, a, b, c, hi, lo])
    }
}

impl fmt::Display for Isid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Isid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Isid({self})")
    }
}

/// How far what was moved is from what the initiator expected, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Residual {
    /// All of it.
    #[default]
    None,
    /// So much less.
    Underflow(u32),
    /// So much more than there was room for.
    Overflow(u32),
}

/// Task attributes (RFC 7143, 11.3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Attribute {
    /// None given.
    Untagged,
    /// In any order.
    #[default]
    Simple,
    /// After all before it and before all after it.
    Ordered,
    /// Before all.
    HeadOfQueue,
    /// Within an auto contingent allegiance.
    Aca,
}

impl Attribute {
    pub(crate) fn of(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::Untagged,
            1 => Self::Simple,
            2 => Self::Ordered,
            3 => Self::HeadOfQueue,
            4 => Self::Aca,
            _ => return None,
        })
    }

    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Untagged => 0,
            Self::Simple => 1,
            Self::Ordered => 2,
            Self::HeadOfQueue => 3,
            Self::Aca => 4,
        }
    }
}

/// Whether a session does I/O or only asks for targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionType {
    /// SCSI commands.
    Normal,
    /// SendTargets alone.
    Discovery,
}

impl SessionType {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Discovery => "Discovery",
        }
    }
}

/// A target as SendTargets tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetRecord {
    /// Its name, an iqn, eui or naa.
    pub name: String,
    /// Its portals, as `address:port,tag`: the address is a DNS name, IPv4, or IPv6 in brackets. Empty means that
    /// the portal which answered serves it.
    pub addresses: Vec<String>,
}

/// A length that a peer or a payload gave, for slices.
pub(crate) fn size(len: u32) -> usize {
    usize::try_from(len).unwrap_or(usize::MAX)
}

/// A length for the wire. Payloads beyond 4 GiB are refused before they get here.
pub(crate) fn wire_len(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
