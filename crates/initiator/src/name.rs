//! iSCSI names (RFC 7143 4.2.7): `iqn.`, `eui.` and `naa.`.

use std::fmt;

/// The most bytes a name may have (RFC 7143 4.2.7.1).
const MAX_LEN: usize = 223;

/// The name of an iSCSI node, initiator or target, as it goes over the wire. 1 to 223 bytes.
///
/// Case is kept: names are to be compared after case folding, but targets in use compare bytes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IscsiName(String);

/// Why a name is not an iSCSI name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameError {
    /// None of the three types.
    #[error("iscsi name `{name}` begins with none of `iqn.`, `eui.`, `naa.`")]
    UnknownType {
        /// The name as given.
        name: String,
    },
    /// Longer than 223 bytes.
    #[error("iscsi name is {len} bytes long; the most is {MAX_LEN}")]
    TooLong {
        /// Its length.
        len: usize,
    },
    /// A byte that no name holds.
    #[error("iscsi name `{name}` holds the character {character:?}")]
    Character {
        /// The name as given.
        name: String,
        /// The character.
        character: char,
    },
    /// `iqn.` is not followed by a year and month.
    #[error("iscsi name `{name}` lacks the year and month, as in `iqn.2026-11.`")]
    Date {
        /// The name as given.
        name: String,
    },
    /// `iqn.YYYY-MM.` is not followed by a reversed domain name.
    #[error("iscsi name `{name}` lacks the reversed domain name after the date")]
    Authority {
        /// The name as given.
        name: String,
    },
    /// `eui.` without 16, or `naa.` without 16 or 32, hexadecimal digits.
    #[error("iscsi name `{name}` has {digits} hexadecimal digits; {wanted} are needed")]
    Digits {
        /// The name as given.
        name: String,
        /// How many follow the type.
        digits: usize,
        /// How many there should be.
        wanted: &'static str,
    },
}

impl NameError {
    /// What an operator can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        Some("a name looks like iqn.2026-11.com.example:storage1")
    }
}

impl IscsiName {
    /// Checks a name of our own by the whole grammar of RFC 7143 4.2.7 (an underscore and capitals, which are in
    /// wide use, pass).
    ///
    /// # Errors
    /// [`NameError`], naming what is missing.
    pub fn parse(name: &str) -> Result<Self, NameError> {
        let checked = Self::parse_peer(name)?;
        if let Some(rest) = strip_type(name, "iqn.") {
            check_iqn(name, rest)?;
        } else if let Some(rest) = strip_type(name, "eui.") {
            check_digits(name, rest, &[16], "16")?;
        } else if let Some(rest) = strip_type(name, "naa.") {
            check_digits(name, rest, &[16, 32], "16 or 32")?;
        }
        Ok(checked)
    }

    /// Checks the name of a peer: its type, its length and its characters, not its date or domain. Targets with
    /// names like `iqn.test` exist, and other initiators reach them.
    ///
    /// # Errors
    /// [`NameError`], naming what is missing.
    pub fn parse_peer(name: &str) -> Result<Self, NameError> {
        if name.len() > MAX_LEN {
            return Err(NameError::TooLong { len: name.len() });
        }
        if let Some(character) = name.chars().find(|&c| !allowed(c)) {
            return Err(NameError::Character { name: name.into(), character });
        }
        let typed = ["iqn.", "eui.", "naa."]
            .iter()
            .any(|prefix| strip_type(name, prefix).is_some_and(|rest| !rest.is_empty()));
        if !typed {
            return Err(NameError::UnknownType { name: name.into() });
        }
        Ok(Self(name.into()))
    }

    /// The name as it goes over the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for IscsiName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for IscsiName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IscsiName({})", self.0)
    }
}

/// What follows the four bytes of a type, which count in any case.
fn strip_type<'a>(name: &'a str, prefix: &str) -> Option<&'a str> {
    let (head, rest) = name.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// RFC 3722 leaves ASCII letters, digits, `-`, `.`, `:`, and letters and digits of other scripts.
fn allowed(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '-' | '.' | ':' | '_')
}

fn check_iqn(name: &str, rest: &str) -> Result<(), NameError> {
    let (date, authority) = rest.split_once('.').unwrap_or((rest, ""));
    let date_ok = date.split_once('-').is_some_and(|(year, month)| {
        year.len() == 4
            && year.bytes().all(|b| b.is_ascii_digit())
            && month.len() == 2
            && matches!(month.parse(), Ok(1..=12u8))
    });
    if !date_ok {
        return Err(NameError::Date { name: name.into() });
    }
    let domain = authority.split(':').next().unwrap_or_default();
    let domain_ok = !domain.is_empty() && domain.split('.').all(|label| !label.is_empty());
    if domain_ok { Ok(()) } else { Err(NameError::Authority { name: name.into() }) }
}

fn check_digits(name: &str, rest: &str, counts: &[usize], wanted: &'static str) -> Result<(), NameError> {
    if let Some(character) = rest.chars().find(|c| !c.is_ascii_hexdigit()) {
        return Err(NameError::Character { name: name.into(), character });
    }
    if counts.contains(&rest.len()) {
        return Ok(());
    }
    Err(NameError::Digits { name: name.into(), digits: rest.len(), wanted })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_three_types_pass() {
        for name in [
            "iqn.2026-11.com.example:disk.1",
            "iqn.1993-08.org.debian:01:a5d2c8eddf9c",
            "iqn.2026-11.com.example",
            "iqn.1991-05.com.microsoft:HOST_7",
            "eui.02004567A425678D",
            "naa.52004567BA64678D",
            "naa.62004567BA64678D0123456789ABCDEF",
            "iqn.2026-11.com.example:plätze",
        ] {
            assert_eq!(IscsiName::parse(name).expect(name).as_str(), name);
        }
    }

    #[test]
    fn each_fault_is_named() {
        let fault = |name: &str| IscsiName::parse(name).expect_err(name);
        assert!(matches!(fault("2026-11.com.example"), NameError::UnknownType { .. }));
        assert!(matches!(fault("iqn."), NameError::UnknownType { .. }));
        assert!(matches!(fault("iqn.2026-13.com.example"), NameError::Date { .. }));
        assert!(matches!(fault("iqn.26-11.com.example"), NameError::Date { .. }));
        assert!(matches!(fault("iqn.com.example"), NameError::Date { .. }));
        assert!(matches!(fault("iqn.2026-11"), NameError::Authority { .. }));
        assert!(matches!(fault("iqn.2026-11.:x"), NameError::Authority { .. }));
        assert!(matches!(fault("iqn.2026-11.com..x"), NameError::Authority { .. }));
        assert!(matches!(fault("eui.123"), NameError::Digits { digits: 3, .. }));
        assert!(matches!(fault("naa.5200456zBA64678D"), NameError::Character { character: 'z', .. }));
        assert!(matches!(fault("iqn.2026-11.com.ex ample"), NameError::Character { character: ' ', .. }));
        assert!(matches!(fault("iqn.2026-11.com.ex\0"), NameError::Character { .. }));
        assert_eq!(fault(&format!("iqn.{}", "a".repeat(220))), NameError::TooLong { len: 224 });
    }

    #[test]
    fn a_peer_needs_neither_date_nor_domain() {
        assert_eq!(IscsiName::parse_peer("iqn.ronnie.test").expect("in use").as_str(), "iqn.ronnie.test");
        assert!(IscsiName::parse_peer("disk1").is_err());
    }
}
