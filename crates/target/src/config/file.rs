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
use std::ops::Range;
use std::path::{Path, PathBuf};

use scsi::Lun;
use serde::Deserialize;
use toml::Spanned;

use crate::access::checked_name;

use super::lun::{block_size, checked_serial, parse_size};
use super::{ChapConfig, ConfigError, LunConfig, ServeConfig, parse_portal};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    iqn: Option<Spanned<String>>,
    alias: Option<String>,
    #[serde(default)]
    portals: Vec<Spanned<String>>,
    #[serde(default)]
    allow: Vec<Spanned<String>>,
    #[serde(default)]
    insecure: bool,
    #[serde(default, rename = "lun")]
    luns: Vec<FileLun>,
    #[serde(default)]
    chap: Vec<Spanned<FileChap>>,
    mutual: Option<Spanned<FileChap>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileLun {
    path: PathBuf,
    lun: Option<Spanned<u16>>,
    #[serde(default)]
    read_only: bool,
    size: Option<Spanned<Number>>,
    block_size: Option<Spanned<Number>>,
    serial: Option<Spanned<String>>,
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
#[serde(untagged, expecting = "a number of bytes, or text like \"100G\"")]
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
    /// [`ConfigError`], with line and key. No value is quoted that may be a secret.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let source = Source { path, text };
        let file: File = toml::from_str(text).map_err(|error| source.syntax(&error))?;
        let name = |key, name: &Spanned<String>| {
            let what = "is no iSCSI name: iqn.YYYY-MM.DOMAIN[:TEXT], eui.… or naa.…";
            let wrong = |_| source.wrong(name.span(), key, what);
            checked_name(name.get_ref()).map(|_| name.get_ref().clone()).map_err(wrong)
        };
        let mut config = Self { alias: file.alias, insecure: file.insecure, ..Self::default() };
        config.iqn = file.iqn.as_ref().map(|iqn| name("iqn", iqn)).transpose()?;
        for initiator in &file.allow {
            config.allow.push(name("allow", initiator)?);
        }
        for portal in &file.portals {
            let wrong = |_| source.wrong(portal.span(), "portals", "is ADDRESS:PORT, like 127.0.0.1:3260");
            config.portals.push(parse_portal(portal.get_ref()).map_err(wrong)?);
        }
        for lun in file.luns {
            config.luns.push(lun.checked(&source)?);
        }
        for chap in file.chap {
            config.chap.push(checked_chap(chap, "chap", &source)?);
        }
        config.mutual = file.mutual.map(|chap| checked_chap(chap, "mutual", &source)).transpose()?;
        Ok(config)
    }
}

/// A file, for messages about it.
struct Source<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Source<'_> {
    fn error(&self, message: String) -> ConfigError {
        ConfigError::Toml { path: self.path.to_owned(), message }
    }

    /// The line that a place is in, from 1.
    fn line(&self, at: usize) -> usize {
        self.text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
    }

    /// A value that is not what its key takes.
    fn wrong(&self, span: Range<usize>, key: &str, what: impl std::fmt::Display) -> ConfigError {
        self.error(format!("line {}: {key} {what}", self.line(span.start)))
    }

    /// What the parser says: its own display quotes the line, which may hold a secret; so may its message, of a value
    /// that is of the wrong kind.
    fn syntax(&self, error: &toml::de::Error) -> ConfigError {
        let at = error.span().map_or(0, |span| span.start);
        let line = self.text.lines().nth(self.line(at) - 1).unwrap_or_default();
        let key = line.split_once('=').map_or("", |(key, _)| key).trim();
        let is_key = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
        let secret = ["secret", "chap", "mutual"].iter().any(|word| line.contains(word));
        let message = match error.message().split_once(", expected ") {
            Some((found, expected)) if secret && found.starts_with("invalid ") => {
                format!("wrong kind of value, expected {expected}")
            }
            _ => error.message().lines().collect::<Vec<_>>().join(": "),
        };
        let key = if is_key { format!("{key}: ") } else { String::new() };
        self.error(format!("line {}: {key}{message}", self.line(at)))
    }
}

impl FileLun {
    fn checked(self, source: &Source<'_>) -> Result<LunConfig, ConfigError> {
        let mut lun = LunConfig::new(self.path);
        lun.read_only = self.read_only;
        if let Some(size) = self.size {
            let wrong =
                || source.wrong(size.span(), "size", "is a number of bytes, or one with K, M, G or T");
            lun.size = Some(parse_size(&size.get_ref().text()).ok_or_else(wrong)?);
        }
        if let Some(block) = self.block_size {
            let wrong = || source.wrong(block.span(), "block_size", "is 512 or 4096");
            lun.block = block_size(&block.get_ref().text()).ok_or_else(wrong)?;
        }
        if let Some(serial) = self.serial {
            let wrong =
                |_| source.wrong(serial.span(), "serial", "is 1 to 64 printable characters without blanks");
            lun.serial = Some(checked_serial(serial.get_ref()).map_err(wrong)?);
        }
        if let Some(number) = self.lun {
            let wrong = |_| source.wrong(number.span(), "lun", "is a number from 0 to 16383");
            lun.lun = Some(Lun::new(*number.get_ref()).map_err(wrong)?);
        }
        Ok(lun)
    }
}

fn checked_chap(
    chap: Spanned<FileChap>,
    table: &'static str,
    source: &Source<'_>,
) -> Result<ChapConfig, ConfigError> {
    let span = chap.span();
    let chap = chap.into_inner();
    match (chap.secret, chap.secret_file) {
        (Some(secret), None) => Ok(ChapConfig::given(chap.name, secret)),
        (None, Some(path)) => Ok(ChapConfig::file(chap.name, path)),
        _ => {
            let what = format!("of {}: give either secret or secret_file", chap.name);
            Err(source.wrong(span, table, what))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ServeConfig;
    use proptest::prelude::*;
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
    fn mistakes_are_named_with_line_and_key_and_what_is_allowed() {
        let expected =
            "expected one of `iqn`, `alias`, `portals`, `allow`, `insecure`, `lun`, `chap`, `mutual`";
        for (text, message) in [
            ("portal = 1", format!("line 1: portal: unknown field `portal`, {expected}")),
            ("\nportals = 3260", "line 2: portals: invalid type: integer `3260`, expected a sequence".into()),
            ("portals = [\"10.0.0.1:x\"]", "line 1: portals is ADDRESS:PORT, like 127.0.0.1:3260".into()),
            ("portals = [\n\"::1\",\n\"host:3260\"]", "line 3: portals is ADDRESS:PORT, like 127.0.0.1:3260".into()),
            ("iqn = \"disk1\"", "line 1: iqn is no iSCSI name: iqn.YYYY-MM.DOMAIN[:TEXT], eui.… or naa.…".into()),
            ("\nallow = [\"a b\"]", "line 2: allow is no iSCSI name: iqn.YYYY-MM.DOMAIN[:TEXT], eui.… or naa.…".into()),
            ("insecure = \"yes\"", "line 1: insecure: invalid type: string \"yes\", expected a boolean".into()),
            ("[[lun]]\nsize = \"1G\"", "line 1: missing field `path`".into()),
            ("[[lun]]\npath = \"/a\"\nblock_size = 520", "line 3: block_size is 512 or 4096".into()),
            ("[[lun]]\npath = \"/a\"\nsize = \"1Q\"", "line 3: size is a number of bytes, or one with K, M, G or T".into()),
            ("[[lun]]\npath = \"/a\"\nsize = []", "line 3: size: a number of bytes, or text like \"100G\"".into()),
            ("[[lun]]\npath = \"/a\"\nserial = \"\"", "line 3: serial is 1 to 64 printable characters without blanks".into()),
            ("[[lun]]\npath = \"/a\"\nlun = 16384", "line 3: lun is a number from 0 to 16383".into()),
            ("[[lun]]\npath = \"/a\"\nreadonly = true", "line 3: readonly: unknown field `readonly`, expected one of `path`, `lun`, `read_only`, `size`, `block_size`, `serial`".into()),
            ("[lun]\npath = \"/a\"", "line 1: invalid type: map, expected a sequence".into()),
            ("[[chap]]\nname = \"u\"", "line 1: chap of u: give either secret or secret_file".into()),
            ("[mutual]\nname = \"t\"\nsecret = \"a\"\nsecret_file = \"b\"", "line 1: mutual of t: give either secret or secret_file".into()),
            ("[[chap]]\nname = \"u\"\nsecret = 123456789012", "line 3: secret: wrong kind of value, expected a string".into()),
            ("chap = \"user%topsecret\"", "line 1: chap: wrong kind of value, expected a sequence".into()),
            ("iqn = \"iqn.2026-01.a:b\"\niqn = \"iqn.2026-01.a:c\"", "line 2: iqn: duplicate key".into()),
        ] {
            assert_eq!(parse(text).unwrap_err(), format!("t.toml: {message}"), "{text}");
        }
        let error = parse("[[chap]]\nname = \"u\"\nsecret = \"topsecret").unwrap_err();
        assert!(!error.contains("topsecret") && error.contains("line 3"), "{error}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(fixtures::cases(1000)))]

        /// Lines of a good file, cut, swapped and damaged: read, or refused with a line; never a panic.
        #[test]
        fn any_text_is_read_or_refused_with_its_line(
            picks in proptest::collection::vec((0..GOOD.len(), any::<(u8, u8)>()), 0..12),
            noise in ".{0,40}",
        ) {
            let mut text = String::new();
            for (line, (what, at)) in picks {
                let mut line: String = GOOD[line].into();
                let at = usize::from(at) % (line.len() + 1);
                match what % 8 {
                    0 => line.truncate(at),
                    1 => line.insert_str(at, &noise),
                    2 => line = line.replace('"', ""),
                    3 => line = line.replace('=', "= -1 #"),
                    _ => {}
                }
                text += &line;
                text.push('\n');
            }
            if let Err(error) = parse(&text) {
                let lines = text.lines().count().max(1);
                let line = error.strip_prefix("t.toml: line ").and_then(|rest| rest.split(':').next());
                let line: usize = line.and_then(|line| line.parse().ok()).ok_or_else(|| TestCaseError::fail(error.clone()))?;
                prop_assert!((1..=lines + 1).contains(&line), "{error}");
                prop_assert!(error.chars().count() < 400 && !error.contains('\n'), "{error}");
            }
        }
    }

    const GOOD: [&str; 14] = [
        "iqn = \"iqn.2026-01.test:one\"",
        "portals = [\"127.0.0.1:0\", \"::1\"]",
        "allow = [\"iqn.2026-01.test:node0\"]",
        "insecure = true",
        "[[lun]]",
        "path = \"/a\"",
        "lun = 3",
        "size = \"1G\"",
        "block_size = 4096",
        "serial = \"abc\"",
        "[[chap]]",
        "name = \"user\"",
        "secret = \"secretsecret1\"",
        "[mutual]",
    ];

    #[test]
    fn a_command_line_goes_first() {
        let line = ServeConfig { iqn: Some("iqn.a".into()), ..ServeConfig::default() };
        let both = line.over(parse("iqn = \"iqn.b\"\nallow = [\"iqn.c\"]").unwrap());
        assert_eq!((both.iqn.as_deref(), both.allow.len()), (Some("iqn.a"), 1));
    }
}
