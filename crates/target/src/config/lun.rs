//! `FILE[,ro][,size=100G][,bs=4096][,serial=TEXT][,lun=N]`.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use scsi::Lun;

use super::ConfigError;

/// A unit, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LunConfig {
    /// File or block device.
    pub path: PathBuf,
    /// Refuse writes.
    pub read_only: bool,
    /// Size in bytes: a file that is not there is made, and one that is shorter grows. Both are sparse.
    pub size: Option<u64>,
    /// Bytes of a logical block: 512 or 4096.
    pub block: u32,
    /// Serial number.
    pub serial: Option<String>,
    /// Number; none is the lowest that is free.
    pub lun: Option<Lun>,
}

impl LunConfig {
    /// A file as it is, with 512-byte blocks.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), read_only: false, size: None, block: 512, serial: None, lun: None }
    }

    /// Reads a `--lun`. The file's name may hold no comma.
    ///
    /// # Errors
    /// [`ConfigError::Lun`].
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let wrong = |what| ConfigError::Lun { text: text.into(), what };
        let mut parts = text.split(',');
        let path =
            parts.next().filter(|path| !path.is_empty()).ok_or_else(|| wrong("the file is missing"))?;
        let mut lun = Self::new(path);
        for part in parts {
            match part.split_once('=') {
                None if part == "ro" => lun.read_only = true,
                None if part == "rw" => lun.read_only = false,
                Some(("size", size)) => {
                    let size =
                        parse_size(size).ok_or_else(|| wrong("size= is a number with K, M, G or T"))?;
                    lun.size = Some(size);
                }
                Some(("bs", block)) => {
                    lun.block = block_size(block).ok_or_else(|| wrong("bs= is 512 or 4096"))?
                }
                Some(("serial", serial)) => lun.serial = Some(checked_serial(serial).map_err(wrong)?),
                Some(("lun", number)) => {
                    let number = number.parse().ok().and_then(|number| Lun::new(number).ok());
                    lun.lun = Some(number.ok_or_else(|| wrong("lun= is a number from 0 to 16383"))?);
                }
                _ => return Err(wrong("there are the options ro, size=, bs=, serial= and lun=")),
            }
        }
        Ok(lun)
    }
}

/// A size in bytes: a number, or one with K, M, G or T (powers of 1024); a `B` or `iB` after that changes nothing.
pub(super) fn parse_size(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = text[digits.len()..].to_ascii_lowercase();
    let shift = match unit.strip_suffix("ib").or_else(|| unit.strip_suffix('b')).unwrap_or(&unit) {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

pub(super) fn block_size(text: &str) -> Option<u32> {
    match parse_size(text)? {
        512 => Some(512),
        4096 => Some(4096),
        _ => None,
    }
}

pub(super) fn checked_serial(serial: &str) -> Result<String, &'static str> {
    if serial.is_empty() || serial.len() > 64 || !serial.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("serial= is 1 to 64 printable characters without blanks");
    }
    Ok(serial.into())
}

/// Makes a file of this size, or makes a shorter one longer. Files are never shortened, and devices left as they are.
pub(super) fn make_or_grow(path: &Path, size: u64, block: u32, read_only: bool) -> Result<(), ConfigError> {
    let io = |what| move |source| ConfigError::Io { path: path.to_owned(), what, source };
    if size == 0 || !size.is_multiple_of(block.into()) {
        return Err(ConfigError::SizeGrain { path: path.to_owned(), size, block });
    }
    let have = match File::open(path).and_then(|file| file.metadata()) {
        Ok(about) if about.is_file() => about.len(),
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !read_only => {
            let file = OpenOptions::new().write(true).create_new(true).open(path).map_err(io("making"))?;
            return file.set_len(size).map_err(io("sizing"));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(ConfigError::Missing { path: path.to_owned(), read_only });
        }
        Err(error) => return Err(io("opening")(error)),
    };
    if have > size {
        return Err(ConfigError::Shrink { path: path.to_owned(), have, want: size });
    }
    if have < size && read_only {
        return Err(ConfigError::Short { path: path.to_owned(), have, want: size });
    }
    if have < size {
        let file = OpenOptions::new().write(true).open(path).map_err(io("opening"))?;
        file.set_len(size).map_err(io("growing"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{ConfigError, LunConfig, make_or_grow, parse_size};
    use scsi::Lun;

    #[test]
    fn a_whole_one() {
        let lun = LunConfig::parse("/srv/a b.img,ro,size=100G,bs=4096,serial=x1,lun=7").unwrap();
        assert_eq!(lun.path.to_str(), Some("/srv/a b.img"));
        assert!(lun.read_only);
        assert_eq!(lun.size, Some(100 << 30));
        assert_eq!((lun.block, lun.serial.as_deref(), lun.lun), (4096, Some("x1"), Lun::new(7).ok()));
        assert_eq!(LunConfig::parse("a").unwrap(), LunConfig::new("a"));
    }

    #[test]
    fn wrong_ones() {
        for bad in
            ["", ",ro", "a,size=", "a,size=1X", "a,bs=520", "a,serial=", "a,lun=16384", "a,rO", "a,x=1"]
        {
            assert!(LunConfig::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes() {
        for (text, size) in [
            ("512", 512),
            ("4k", 4096),
            ("1MiB", 1 << 20),
            ("2G", 2 << 30),
            ("3TB", 3 << 40),
            ("10KB", 10240),
        ] {
            assert_eq!(parse_size(text), Some(size), "{text}");
        }
        for bad in ["", "G", "-1", "1.5G", "99999999T", "1i"] {
            assert_eq!(parse_size(bad), None, "{bad}");
        }
    }

    #[test]
    fn files_are_made_and_grow_and_never_shrink() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk");
        assert!(make_or_grow(&path, 4096, 512, true).is_err());
        make_or_grow(&path, 4096, 512, false).unwrap();
        make_or_grow(&path, 8192, 512, false).unwrap();
        assert_eq!(path.metadata().unwrap().len(), 8192);
        // A size that cannot be had is not passed over.
        make_or_grow(&path, 8192, 512, true).unwrap();
        let short = make_or_grow(&path, 16384, 512, true).unwrap_err();
        assert!(matches!(short, ConfigError::Short { have: 8192, want: 16384, .. }), "{short}");
        assert!(make_or_grow(&path, 4096, 512, false).is_err());
        assert_eq!(path.metadata().unwrap().len(), 8192);
        assert!(make_or_grow(&path, 8193, 512, false).is_err());
    }
}
