//! The name under which a copy grows, and what an earlier run left under such names.
//!
//! A part's name holds all that must be unchanged on the volume for the copy to be gone on with, and the boot of this
//! host in which it was written. Its length is how far it is: it is written from start to end.
//!
//! In the same boot every byte below that length is there, whatever ended the process. After a crash of the host only
//! what was synced is: before a chunk is written that begins at or behind a multiple of [`SYNC_EVERY`], all that lies
//! before it is synced.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use ocfs2::Attr;

use super::error::{At, CopyError};
use crate::files::CHUNK;

/// A part is synced each time it has grown by this many bytes.
pub(super) const SYNC_EVERY: u64 = 256 << 20;
/// Where a copy goes on is a multiple of this: a volume's largest block.
const GRAIN: u64 = 4096;

const PREFIX: &str = ".oxsan-part-";
/// `O_NOFOLLOW`.
const NO_FOLLOW: i32 = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();

/// Names parts: one for each volume and boot.
#[derive(Debug)]
pub(super) struct Namer {
    volume: String,
    /// `None` where the system does not tell: then nothing counts as of the same boot.
    boot: Option<String>,
}

/// What of a part's name must be the same, and the boot it ends with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PartName {
    file: String,
    source: String,
    boot: String,
}

impl Namer {
    /// For a volume, by its UUID, and this boot.
    pub(super) fn new(uuid: &str) -> Self {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok();
        let start = |text: &str| text.chars().filter(char::is_ascii_hexdigit).take(8).collect::<String>();
        Self { volume: start(uuid), boot: boot.map(|id| start(&id)) }
    }

    /// The name of the part of a file.
    pub(super) fn name(&self, attr: &Attr) -> PartName {
        let Attr { ino, generation, size, mtime, ctime, .. } = attr;
        let (m, c) = ((mtime.seconds, mtime.nanos), (ctime.seconds, ctime.nanos));
        PartName {
            file: format!("{PREFIX}{}-{:x}", self.volume, ino.0),
            source: format!("{generation:x}-{size:x}-{:x}.{:x}-{:x}.{:x}", m.0, m.1, c.0, c.1),
            boot: self.boot.clone().unwrap_or_else(|| "0".into()),
        }
    }

    /// Whether what is under this name was written in this boot.
    fn is_this_boot(&self, name: &PartName) -> bool {
        self.boot.as_ref() == Some(&name.boot)
    }
}

impl PartName {
    /// Takes a name apart; `None` for what is no part's.
    fn parse(name: &OsStr) -> Option<Self> {
        let name = name.to_str()?;
        let mut fields = name.strip_prefix(PREFIX)?.splitn(3, '-');
        let (volume, ino, rest) = (fields.next()?, fields.next()?, fields.next()?);
        let (source, boot) = rest.rsplit_once('-')?;
        Some(Self { file: format!("{PREFIX}{volume}-{ino}"), source: source.into(), boot: boot.into() })
    }

    fn text(&self) -> String {
        let Self { file, source, boot } = self;
        format!("{file}-{source}-{boot}")
    }
}

/// Parts that were in a directory before, by the file they are of.
#[derive(Debug, Default)]
pub(super) struct Leftovers(BTreeMap<String, Vec<PartName>>);

impl Leftovers {
    /// Looks for them. What cannot be listed has none.
    pub(super) fn of(dir: &Path) -> Self {
        let mut found: BTreeMap<String, Vec<PartName>> = BTreeMap::new();
        let entries = std::fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok);
        for part in entries.filter_map(|entry| PartName::parse(&entry.file_name())) {
            found.entry(part.file.clone()).or_default().push(part);
        }
        Self(found)
    }
}

/// A part, open and locked.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) file: File,
    pub(super) path: PathBuf,
    /// Bytes from the start that are there and good.
    pub(super) have: u64,
    /// A part of an earlier state of the file was thrown away.
    pub(super) outdated: bool,
}

impl Part {
    /// Opens the part of a file that will be `to`, and finds out how far it is.
    pub(super) fn open(
        namer: &Namer,
        attr: &Attr,
        to: &Path,
        leftovers: &mut Leftovers,
    ) -> Result<Self, CopyError> {
        let name = namer.name(attr);
        let path = to.with_file_name(name.text());
        let (mut outdated, mut trusted) = (false, namer.is_this_boot(&name));
        for old in leftovers.0.remove(&name.file).unwrap_or_default() {
            let old_path = to.with_file_name(old.text());
            if old.source != name.source {
                outdated |= remove_unlocked(&old_path).at("removing", &old_path)?;
            } else if old.boot != name.boot && !path.exists() {
                std::fs::rename(&old_path, &path).at("renaming", &old_path)?;
                trusted = false;
            }
        }
        let file = open_locked(&path)?;
        let len = file.metadata().at("looking at", &path)?.len().min(attr.size);
        let have = match trusted {
            true if len == attr.size => len,
            true => len / GRAIN * GRAIN,
            // The last chunk may reach over a boundary that it began before.
            false => len.saturating_sub(CHUNK) / SYNC_EVERY * SYNC_EVERY,
        };
        file.set_len(have).at("cutting", &path)?;
        Ok(Self { file, path, have, outdated })
    }
}

/// Opens or makes a part that no other process works on.
fn open_locked(path: &Path) -> Result<File, CopyError> {
    loop {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600).custom_flags(NO_FOLLOW);
        let file = options.open(path).at("opening", path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(CopyError::Locked(path.into())),
            // A filesystem without locks.
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {}
            Err(TryLockError::Error(error)) => return Err(error).at("locking", path),
        }
        // Who had the lock before may have finished and renamed it: then this is no part any more.
        let ours = file.metadata().at("looking at", path)?;
        if path.symlink_metadata().is_ok_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino())) {
            return Ok(file);
        }
    }
}

/// Removes a part unless somebody works on it; says whether it did.
fn remove_unlocked(path: &Path) -> io::Result<bool> {
    let file = OpenOptions::new().write(true).custom_flags(NO_FOLLOW).open(path)?;
    if matches!(file.try_lock(), Err(TryLockError::WouldBlock)) {
        return Ok(false);
    }
    std::fs::remove_file(path).map(|()| true)
}

/// A name in the same directory for something that is made at one stroke, and then renamed.
pub(super) fn scratch_name(to: &Path) -> PathBuf {
    let mut name = OsString::from(PREFIX);
    name.push(std::process::id().to_string());
    to.with_file_name(name)
}

/// The last name of a path on the volume: `None` for the root.
pub(super) fn last_name(path: &[u8]) -> Option<&OsStr> {
    let name = path.rsplit(|byte| *byte == b'/').find(|name| !name.is_empty())?;
    (!matches!(name, b"." | b"..")).then(|| OsStr::from_bytes(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart_again() {
        let name = PartName {
            file: ".oxsan-part-a1b2c3d4-10c9".into(),
            source: "77-400-ffffffffffffffff.1-5.0".into(),
            boot: "deadbeef".into(),
        };
        assert_eq!(PartName::parse(OsStr::new(&name.text())), Some(name));
        for none in [".oxsan-part-", ".oxsan-part-1234", "file", ".oxsan-part-a-b"] {
            assert_eq!(PartName::parse(OsStr::new(none)), None, "{none}");
        }
    }

    #[test]
    fn the_root_has_no_name() {
        assert_eq!(last_name(b"/a/b/"), Some(OsStr::new("b")));
        assert_eq!((last_name(b"/"), last_name(b"a/..")), (None, None));
    }
}
