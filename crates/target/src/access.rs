//! Who may use the target: names and CHAP.

use std::collections::BTreeSet;

use iscsi::{Credentials, TargetAuth};

use crate::error::TargetError;

/// Shortest CHAP secret, in bytes (RFC 7143, 12.1.3: 96 bits).
const SECRET_MIN: usize = 12;
/// Longest CHAP secret, in bytes.
const SECRET_MAX: usize = 256;

/// Who may log in, and how they prove it.
#[derive(Clone, Debug, Default)]
pub struct Access {
    allow: BTreeSet<String>,
    users: Vec<Credentials>,
    own: Option<Credentials>,
}

impl Access {
    /// Lets an initiator in by its name. Once one is named, no other name gets in.
    ///
    /// # Errors
    /// [`TargetError::Name`] for what is no iSCSI name.
    pub fn allow(&mut self, initiator: &str) -> Result<(), TargetError> {
        self.allow.insert(checked_name(initiator)?);
        Ok(())
    }

    /// Lets in who knows this CHAP secret. Once there is one, nobody gets in without.
    ///
    /// # Errors
    /// [`TargetError::SecretLength`].
    pub fn add_user(&mut self, user: &str, secret: &[u8]) -> Result<(), TargetError> {
        self.users.push(credentials(user, secret)?);
        Ok(())
    }

    /// With this the target proves itself where an initiator asks for it (mutual CHAP).
    ///
    /// # Errors
    /// [`TargetError::SecretLength`].
    pub fn set_own(&mut self, name: &str, secret: &[u8]) -> Result<(), TargetError> {
        self.own = Some(credentials(name, secret)?);
        Ok(())
    }

    /// Whether anybody at all gets in.
    pub fn is_open(&self) -> bool {
        self.allow.is_empty() && self.users.is_empty()
    }

    /// Checks what cannot be checked one by one.
    ///
    /// # Errors
    /// [`TargetError::MutualAlone`] and [`TargetError::SameSecret`].
    pub(crate) fn check(&self) -> Result<(), TargetError> {
        let Some(own) = &self.own else { return Ok(()) };
        if self.users.is_empty() {
            return Err(TargetError::MutualAlone { target: own.name.clone() });
        }
        match self.users.iter().find(|user| user.secret.same(&own.secret)) {
            Some(user) => Err(TargetError::SameSecret { user: user.name.clone(), target: own.name.clone() }),
            None => Ok(()),
        }
    }

    /// Whether an initiator of this name may try.
    pub(crate) fn allows(&self, initiator: &str) -> bool {
        self.allow.is_empty() || self.allow.contains(&initiator.to_ascii_lowercase())
    }

    /// How an initiator proves itself.
    pub(crate) fn auth(&self) -> TargetAuth {
        if self.users.is_empty() {
            return TargetAuth::None;
        }
        TargetAuth::Chap { users: self.users.clone(), own: self.own.clone() }
    }
}

/// An iSCSI name in the form that names are compared in, which is lower case (RFC 7143, 4.2.7.1).
pub(crate) fn checked_name(name: &str) -> Result<String, TargetError> {
    let lower = name.to_ascii_lowercase();
    let form = ["iqn.", "eui.", "naa."].iter().any(|prefix| lower.starts_with(prefix));
    let characters = lower.chars().all(|c| {
        c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | ':') || !c.is_ascii() && c.is_alphanumeric()
    });
    if !form || !characters || lower.len() > 223 {
        return Err(TargetError::Name { name: name.into() });
    }
    Ok(lower)
}

fn credentials(name: &str, secret: &[u8]) -> Result<Credentials, TargetError> {
    if !(SECRET_MIN..=SECRET_MAX).contains(&secret.len()) {
        return Err(TargetError::SecretLength { user: name.into(), len: secret.len() });
    }
    Ok(Credentials::new(name, secret))
}

#[cfg(test)]
mod tests {
    use super::Access;

    #[test]
    fn names() {
        let mut access = Access::default();
        assert!(access.is_open() && access.allows("iqn.2026-01.test:anyone"));
        access.allow("iqn.2026-01.test:Node0").unwrap();
        assert!(access.allows("iqn.2026-01.test:node0"));
        assert!(!access.allows("iqn.2026-01.test:node1"));
        assert!(!access.is_open());
        for bad in ["", "node0", "iqn.x y", "iqn.x/y", "iqn.a\nb"] {
            assert!(access.allow(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn secrets() {
        let mut access = Access::default();
        assert!(access.add_user("user", b"short").is_err());
        access.set_own("target", b"targetsecret2").unwrap();
        assert!(access.check().is_err());
        access.add_user("user", b"targetsecret2").unwrap();
        assert!(access.check().is_err());
        let mut access = Access::default();
        access.set_own("target", b"targetsecret2").unwrap();
        access.add_user("user", b"usersecret123").unwrap();
        assert!(access.check().is_ok());
        assert!(!format!("{access:?}").contains("secret1"));
    }
}
