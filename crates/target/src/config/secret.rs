//! CHAP names and where their secrets are.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use super::ConfigError;

/// Most bytes of a file that holds a secret.
const FILE_MAX: u64 = 1024;

/// A CHAP name with its secret, or the file that holds it. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct ChapConfig {
    /// The CHAP name.
    pub name: String,
    source: Source,
}

#[derive(Clone, PartialEq, Eq)]
enum Source {
    Given(Vec<u8>),
    File(PathBuf),
}

impl fmt::Debug for ChapConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChapConfig").field("name", &self.name).finish_non_exhaustive()
    }
}

impl ChapConfig {
    /// A secret that is known already.
    pub fn given(name: impl Into<String>, secret: impl Into<Vec<u8>>) -> Self {
        Self { name: name.into(), source: Source::Given(secret.into()) }
    }

    /// A secret in a file that nobody else may read; one line end after it is not part of it.
    pub fn file(name: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        Self { name: name.into(), source: Source::File(path.into()) }
    }

    /// Reads `NAME:FILE` or `NAME%SECRET`: the first of `%` and `:` decides.
    ///
    /// # Errors
    /// [`ConfigError::Chap`].
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let at = text.find([':', '%']).ok_or(ConfigError::Chap)?;
        let (name, rest) = text.split_at(at);
        let value = &rest[1..];
        if name.is_empty() || name.len() > 255 || value.is_empty() {
            return Err(ConfigError::Chap);
        }
        Ok(if rest.starts_with('%') { Self::given(name, value) } else { Self::file(name, value) })
    }

    /// The secret's bytes.
    pub(super) fn secret(&self) -> Result<Vec<u8>, ConfigError> {
        let path = match &self.source {
            Source::Given(secret) => return Ok(secret.clone()),
            Source::File(path) => path,
        };
        let io = |source| ConfigError::Io { path: path.clone(), what: "reading", source };
        let file = File::open(path).map_err(io)?;
        let mode = file.metadata().map_err(io)?.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(ConfigError::SecretMode { path: path.clone(), mode });
        }
        let mut secret = Vec::new();
        file.take(FILE_MAX).read_to_end(&mut secret).map_err(io)?;
        for end in [b'\n', b'\r'] {
            if secret.last() == Some(&end) {
                secret.pop();
            }
        }
        Ok(secret)
    }
}

#[cfg(test)]
mod tests {
    use super::ChapConfig;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn both_forms() {
        assert_eq!(ChapConfig::parse("user%se:cr%et").unwrap(), ChapConfig::given("user", "se:cr%et"));
        assert_eq!(ChapConfig::parse("user:/etc/x%y").unwrap(), ChapConfig::file("user", "/etc/x%y"));
        for bad in ["", "user", "user%", "user:", "%secret", ":file"] {
            assert!(ChapConfig::parse(bad).is_err(), "{bad}");
        }
        assert!(!format!("{:?}", ChapConfig::parse("user%topsecret").unwrap()).contains("topsecret"));
    }

    #[test]
    fn files_must_be_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        std::fs::write(&path, "twelve-bytes!\n").unwrap();
        let chap = ChapConfig::file("user", &path);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(chap.secret().is_err());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(chap.secret().unwrap(), b"twelve-bytes!");
    }
}
