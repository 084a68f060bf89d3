//! Names of extended attributes: the prefix as a number, the rest as bytes, and the hash of the rest.

use crate::dx_hash::CharSign;

/// `xe_type`: which prefix a name has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NameIndex(pub u8);

impl NameIndex {
    /// `user.`
    pub const USER: Self = Self(1);
    /// `system.posix_acl_access`, with an empty rest.
    pub const POSIX_ACL_ACCESS: Self = Self(2);
    /// `system.posix_acl_default`, with an empty rest.
    pub const POSIX_ACL_DEFAULT: Self = Self(3);
    /// `trusted.`
    pub const TRUSTED: Self = Self(4);
    /// `security.`
    pub const SECURITY: Self = Self(5);

    const PREFIXES: [(Self, &'static str); 5] = [
        (Self::USER, "user."),
        (Self::POSIX_ACL_ACCESS, "system.posix_acl_access"),
        (Self::POSIX_ACL_DEFAULT, "system.posix_acl_default"),
        (Self::TRUSTED, "trusted."),
        (Self::SECURITY, "security."),
    ];

    /// The prefix; `None` for a number that no kernel uses. Such attributes are not shown.
    #[must_use]
    pub fn prefix(self) -> Option<&'static str> {
        Self::PREFIXES.iter().find(|(index, _)| *index == self).map(|&(_, prefix)| prefix)
    }

    /// Whether the value is an ACL, which has another form on disk.
    #[must_use]
    pub fn is_acl(self) -> bool {
        matches!(self, Self::POSIX_ACL_ACCESS | Self::POSIX_ACL_DEFAULT)
    }

    /// Splits a full name, as `getxattr` takes it, into prefix and rest.
    #[must_use]
    pub fn split(name: &[u8]) -> Option<(Self, &[u8])> {
        Self::PREFIXES.iter().find_map(|&(index, prefix)| {
            let rest = name.strip_prefix(prefix.as_bytes())?;
            (rest.is_empty() == index.is_acl()).then_some((index, rest))
        })
    }
}

/// Hash of the rest of a name (without prefix), seeded with `s_uuid_hash`.
#[must_use]
pub fn name_hash(uuid_hash: u32, rest: &[u8], sign: CharSign) -> u32 {
    rest.iter()
        .fold(uuid_hash, |hash, &byte| hash.wrapping_shl(5) ^ hash.wrapping_shr(27) ^ sign.extend(byte))
}
