//! The TOML file of `--config`.
//!
//! ```toml
//! iqn = "iqn.2026-01.com.example:disk1"
//! portals = ["10.0.0.1:3260", "10.0.1.1:3260"]
//! allow = ["iqn.1993-08.org.debian:01:node0"]
//!
//! [[lun]]
//! path = "/srv/disk1.img"
//! size = "100G"
//!
//! [[chap]]
//! name = "user"
//! secret_file = "/etc/oxsan/chap-user"
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use scsi::Lun;
use serde::Deserialize;

use super::lun::{block_size, checked_serial, parse_size};
use super::{ChapConfig, ConfigError, LunConfig, ServeConfig, parse_portal};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    iqn: Option<String>,
    alias: Option<String>,
    #[serde(default)]
    portals: Vec<String>,
    #[serde(default)]
    allow: Vec<String>,
    #[serde(default)]
    insecure: bool,
    #[serde(default, rename = "lun")]
    luns: Vec<FileLun>,
    #[serde(default)]
    chap: Vec<FileChap>,
    mutual: Option<FileChap>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileLun {
    path: PathBuf,
    lun: Option<u16>,
    #[serde(default)]
    read_only: bool,
    size: Option<Number>,
    block_size: Option<Number>,
    serial: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileChap {
    name: String,
    secret: Option<String>,
    secret_file: Option<PathBuf>,
}

/// A number, or one with a unit.
#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Bytes(u64),
    Text(String),
}

impl Number {
    fn text(&self) -> String {
        match self {
            Self::Bytes(bytes) => bytes.to_string(),
            Self::Text(text) => text.clone(),
        }
    }
}

impl ServeConfig {
    /// Reads a configuration file.
    ///
    /// # Errors
    /// [`ConfigError`], with line and key.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(path).map_err(|source| ConfigError::Io {
            path: path.to_owned(),
            what: "reading",
            source,
        })?;
        Self::parse(path, &text)
    }

    /// Reads a configuration file's text; `path` is for messages.
    ///
    /// # Errors
    /// [`ConfigError`], with line and key.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let wrong = |message: String| ConfigError::Toml { path: path.to_owned(), message };
        // The parser's own words quote the line, which may hold a secret: only what and where is kept.
        let file: File = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
            wrong(format!("line {line}: {}", error.message()))
        })?;
        let mut config =
            Self { iqn: file.iqn, alias: file.alias, insecure: file.insecure, ..Self::default() };
        config.allow = file.allow;
        for portal in &file.portals {
            config.portals.push(parse_portal(portal)?);
        }
        for lun in file.luns {
            config.luns.push(lun.checked().map_err(&wrong)?);
        }
        for chap in file.chap {
            config.chap.push(chap.checked().map_err(&wrong)?);
        }
        config.mutual = file.mutual.map(|chap| chap.checked().map_err(&wrong)).transpose()?;
        Ok(config)
    }
}

impl FileLun {
    fn checked(self) -> Result<LunConfig, String> {
        let at = self.path.display().to_string();
        let mut lun = LunConfig::new(self.path);
        lun.read_only = self.read_only;
        if let Some(size) = self.size {
            lun.size = Some(parse_size(&size.text()).ok_or_else(|| format!("lun {at}: size is no size"))?);
        }
        if let Some(block) = self.block_size {
            let block = block_size(&block.text());
            lun.block = block.ok_or_else(|| format!("lun {at}: block_size is 512 or 4096"))?;
        }
        if let Some(serial) = self.serial {
            lun.serial = Some(checked_serial(&serial).map_err(|what| format!("lun {at}: {what}"))?);
        }
        lun.lun = self.lun.map(Lun::new).transpose().map_err(|error| format!("lun {at}: {error}"))?;
        Ok(lun)
    }
}

impl FileChap {
    fn checked(self) -> Result<ChapConfig, String> {
        match (self.secret, self.secret_file) {
            (Some(secret), None) => Ok(ChapConfig::given(self.name, secret)),
            (None, Some(path)) => Ok(ChapConfig::file(self.name, path)),
            _ => Err(format!("chap {}: give either secret or secret_file", self.name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ServeConfig;
    use std::path::Path;

    fn parse(text: &str) -> Result<ServeConfig, String> {
        ServeConfig::parse(Path::new("t.toml"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_whole_one() {
        let config = parse(
            r#"
            iqn = "iqn.2026-01.test:one"
            portals = ["127.0.0.1:0", "::1"]
            allow = ["iqn.2026-01.test:node0"]
            [[lun]]
            path = "/a"
            lun = 3
            size = "1G"
            block_size = 4096
            [[lun]]
            path = "/b"
            read_only = true
            [[chap]]
            name = "user"
            secret = "secretsecret1"
            [mutual]
            name = "target"
            secret_file = "/x"
            "#,
        )
        .unwrap();
        assert_eq!(config.luns.len(), 2);
        assert_eq!(config.luns[0].size, Some(1 << 30));
        assert!(config.luns[1].read_only);
        assert_eq!(config.portals[1].to_string(), "[::1]:3260");
        assert_eq!(config.mutual.unwrap().name, "target");
    }

    #[test]
    fn wrong_ones_name_the_place_and_no_secret() {
        assert!(parse("portal = 1").unwrap_err().contains("line 1"));
        assert!(parse("[[lun]]\npath = \"/a\"\nblock_size = 520").unwrap_err().contains("/a"));
        assert!(parse("[[chap]]\nname = \"u\"").unwrap_err().contains("chap u"));
        let error = parse("[[chap]]\nname = \"u\"\nsecret = \"topsecret").unwrap_err();
        assert!(!error.contains("topsecret"), "{error}");
        assert!(error.contains("line 3"), "{error}");
    }

    #[test]
    fn a_command_line_goes_first() {
        let line = ServeConfig { iqn: Some("iqn.a".into()), ..ServeConfig::default() };
        let both = line.over(parse("iqn = \"iqn.b\"\nallow = [\"iqn.c\"]").unwrap());
        assert_eq!((both.iqn.as_deref(), both.allow.len()), (Some("iqn.a"), 1));
    }
}
