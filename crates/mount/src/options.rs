//! The options of `-o`: those of mount.ocfs2(8) and mount(8) that mean something here.

use std::time::Duration;

use crate::Atime;

/// What the options ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountOptions {
    /// `ro`, `rw`. Default: for writing if that can be.
    pub writing: Writing,
    /// `nocluster`: a clustered volume is mounted without its cluster. Default: no.
    pub nocluster: bool,
    /// `acl`, `noacl`: POSIX ACLs are shown, set and enforced. Default: yes.
    pub acl: bool,
    /// `user_xattr`, `nouser_xattr`: attributes whose names begin with `user.` can be read and set. Default: yes.
    pub user_xattr: bool,
    /// `noatime`, `relatime`, `strictatime`. Default: relative.
    pub atime: Atime,
    /// `diratime`, `nodiratime`: directories keep the time of reading, too. Default: yes.
    pub dir_atime: bool,
    /// `atime_quantum`: of two readings so close together only the first counts. Default: 60 s.
    pub atime_quantum: Duration,
    /// `commit`: how long a change may wait in memory at most. Default, and meant by 0: 5 s.
    pub commit_every: Duration,
    /// `suid`, `nosuid`: set-uid programs work. Default: yes; only for root.
    pub suid: bool,
    /// `dev`, `nodev`: device files work. Default: yes; only for root.
    pub dev: bool,
    /// `exec`, `noexec`: programs may be run. Default: yes.
    pub exec: bool,
    /// `allow_other`: other users may use the mount. Default: yes for root's mounts, no for others.
    pub allow_other: bool,
}

/// Whether a volume is mounted for writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writing {
    /// If the volume can be written; else it is only read.
    IfPossible,
    /// Nothing can be changed.
    No,
    /// It must be possible.
    Yes,
}

/// An option that is not taken.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum OptionError {
    /// No such option, or its value is missing or is none.
    #[error("unrecognized mount option \"{option}\" or missing value")]
    Unknown {
        /// The option as it was given.
        option: String,
    },
    /// An option that this mount does not keep to.
    #[error("mount option \"{option}\" is not supported: {why}")]
    Unsupported {
        /// The option.
        option: String,
        /// Why not.
        why: &'static str,
    },
}

impl OptionError {
    /// What an operator can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Unsupported { .. } => Some("mount without it"),
            Self::Unknown { .. } => None,
        }
    }
}

/// What a value must look like.
#[derive(Clone, Copy, Debug)]
enum Value {
    /// None.
    No,
    /// A number up to this.
    Number(u32),
    /// One of these.
    OneOf(&'static [&'static str]),
    /// Anything.
    Any,
}

/// Options that a mount fulfils by what it is: data is on the disk before what refers to it is committed, and the disk's
/// cache is flushed; damage makes the volume read-only; every wait can be interrupted, inode numbers have 64 bits, flock
/// is the host's own; files are laid out by rules of our own, quotas kept
/// where the volume has any; and what is only for mount(8) and fstab.
const FULFILLED: &[(&str, Value)] = &[
    ("defaults", Value::No),
    ("usrquota", Value::No),
    ("grpquota", Value::No),
    ("barrier", Value::OneOf(&["1"])),
    ("data", Value::OneOf(&["ordered", "writeback"])),
    ("errors", Value::OneOf(&["remount-ro"])),
    ("coherency", Value::OneOf(&["full"])),
    ("localalloc", Value::Number(u32::MAX)),
    ("resv_level", Value::Number(8)),
    ("dir_resv_level", Value::Number(8)),
    ("intr", Value::No),
    ("inode64", Value::No),
    ("localflocks", Value::No),
    ("default_permissions", Value::No),
    ("_netdev", Value::No),
    ("auto", Value::No),
    ("noauto", Value::No),
    ("nofail", Value::No),
    ("nouser", Value::No),
    ("async", Value::No),
    ("comment", Value::Any),
];

/// Options of mount.ocfs2(8) and mount(8) that a mount here would not keep to, the value where only that one is meant,
/// and why.
const UNSUPPORTED: &[(&str, Option<&str>, &str)] = &[
    ("remount", None, "umount, and mount again"),
    ("nointr", None, "every wait can be interrupted here"),
    ("barrier", Some("0"), "the disk's cache is always flushed"),
    ("errors", Some("continue"), "nothing is written to a volume that was found damaged"),
    ("errors", Some("panic"), "damage makes the volume read-only, and leaves the host alone"),
    ("coherency", Some("buffered"), "it is about writing in a cluster, which is not built yet"),
    ("datavolume", None, "it is obsolete; use O_DIRECT"),
    ("preferred_slot", None, "a mount without the cluster has any slot"),
    ("sync", None, "open files with O_SYNC, or call fsync"),
    ("dirsync", None, "call fsync on the directory"),
];

impl MountOptions {
    /// What holds without options, for a mount by root or by another user.
    pub fn defaults(by_root: bool) -> Self {
        Self {
            writing: Writing::IfPossible,
            nocluster: false,
            acl: true,
            user_xattr: true,
            atime: Atime::Relative,
            dir_atime: true,
            atime_quantum: Duration::from_secs(60),
            commit_every: DEFAULT_COMMIT,
            suid: true,
            dev: true,
            exec: true,
            allow_other: by_root,
        }
    }

    /// Parses options as `-o` has them, separated by commas; later ones override earlier ones.
    ///
    /// # Errors
    /// [`OptionError`] for the first one that is not taken.
    pub fn parse(text: &str, by_root: bool) -> Result<Self, OptionError> {
        let mut options = Self::defaults(by_root);
        for option in text.split(',').filter(|option| !option.is_empty()) {
            options.apply(option)?;
        }
        Ok(options)
    }

    fn apply(&mut self, option: &str) -> Result<(), OptionError> {
        match option {
            "ro" => self.writing = Writing::No,
            "rw" => self.writing = Writing::Yes,
            "nocluster" => self.nocluster = true,
            "acl" => self.acl = true,
            "noacl" => self.acl = false,
            "user_xattr" => self.user_xattr = true,
            "nouser_xattr" => self.user_xattr = false,
            "noatime" => self.atime = Atime::Never,
            "relatime" => self.atime = Atime::Relative,
            "strictatime" => self.atime = Atime::Always,
            "diratime" => self.dir_atime = true,
            "nodiratime" => self.dir_atime = false,
            "suid" => self.suid = true,
            "nosuid" => self.suid = false,
            "dev" => self.dev = true,
            "nodev" => self.dev = false,
            "exec" => self.exec = true,
            "noexec" => self.exec = false,
            "allow_other" => self.allow_other = true,
            // As mount(8): what users may mount must not give them more than they have.
            "user" | "users" | "owner" | "group" => (self.suid, self.dev, self.exec) = (false, false, false),
            _ => return self.apply_value(option),
        }
        Ok(())
    }

    fn apply_value(&mut self, option: &str) -> Result<(), OptionError> {
        let unknown = || OptionError::Unknown { option: option.into() };
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        // The kernel's are ints.
        let seconds = || value.parse::<u32>().ok().filter(|number| *number <= i32::MAX.unsigned_abs());
        match name {
            "commit" => {
                let wanted = seconds().ok_or_else(unknown)?;
                self.commit_every =
                    if wanted == 0 { DEFAULT_COMMIT } else { Duration::from_secs(wanted.into()) };
            }
            "atime_quantum" => {
                self.atime_quantum = Duration::from_secs(seconds().ok_or_else(unknown)?.into());
            }
            _ => return fulfilled(option),
        }
        Ok(())
    }
}

/// How long a change waits in memory where nothing is said.
const DEFAULT_COMMIT: Duration = Duration::from_secs(5);

/// Takes an option that needs nothing done, and refuses all others.
fn fulfilled(option: &str) -> Result<(), OptionError> {
    let (name, value) = option.split_once('=').map_or((option, None), |(name, value)| (name, Some(value)));
    let unsupported =
        UNSUPPORTED.iter().find(|(known, of, _)| *known == name && (of.is_none() || *of == value));
    if let Some((_, _, why)) = unsupported {
        return Err(OptionError::Unsupported { option: option.into(), why });
    }
    // Comments of fstab for other programs.
    if name.starts_with("x-") {
        return Ok(());
    }
    let known = FULFILLED.iter().find(|(known, _)| *known == name);
    let good = known.is_some_and(|(_, wanted)| match (wanted, value) {
        (Value::No, None) => true,
        (Value::Number(most), Some(value)) => value.parse::<u32>().is_ok_and(|number| number <= *most),
        (Value::OneOf(words), Some(value)) => words.contains(&value),
        (Value::Any, Some(_)) => true,
        _ => false,
    });
    good.then_some(()).ok_or_else(|| OptionError::Unknown { option: option.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_and_users_have_other_defaults() {
        let root = MountOptions::parse("ro", true).expect("options");
        assert!(root.writing == Writing::No && root.allow_other && root.acl && root.suid && !root.nocluster);
        assert!(!MountOptions::parse("", false).expect("options").allow_other);
    }

    #[test]
    fn later_options_win() {
        let options =
            MountOptions::parse("ro,rw,,nosuid,suid,noacl,users,exec,nocluster,strictatime,noatime", true)
                .expect("options");
        assert_eq!((options.suid, options.dev, options.exec), (false, false, true));
        assert!(!options.acl && options.nocluster && options.writing == Writing::Yes);
        assert_eq!(options.atime, Atime::Never);
    }

    #[test]
    fn numbers_are_seconds_and_0_is_the_default_commit() {
        let options = MountOptions::parse("commit=30,atime_quantum=0", true).expect("options");
        assert_eq!((options.commit_every.as_secs(), options.atime_quantum.as_secs()), (30, 0));
        let options = MountOptions::parse("commit=30,commit=0", true).expect("options");
        assert_eq!(options.commit_every.as_secs(), 5);
    }

    #[test]
    fn what_a_mount_is_anyway_is_taken() {
        let fstab =
            "defaults,_netdev,data=writeback,errors=remount-ro,localflocks,x-systemd.requires=a,comment=b";
        assert_eq!(MountOptions::parse(fstab, true), Ok(MountOptions::defaults(true)));
    }

    #[test]
    fn unknown_options_and_values_are_refused() {
        for bad in [
            "uid=0",
            "commit",
            "commit=x",
            "commit=-1",
            "commit=3000000000",
            "data=journal",
            "ro=1",
            "barrier=2",
            "Noatime",
            "errors=halt",
            "frob",
        ] {
            let refused = MountOptions::parse(&format!("ro,{bad}"), true);
            assert_eq!(refused, Err(OptionError::Unknown { option: bad.into() }));
        }
    }

    #[test]
    fn what_would_not_be_kept_to_is_refused_in_words() {
        for bad in ["remount", "nointr", "errors=continue", "errors=panic", "barrier=0", "dirsync", "sync"] {
            let refused = MountOptions::parse(bad, true);
            assert!(matches!(refused, Err(OptionError::Unsupported { .. })), "{bad}: {refused:?}");
        }
    }
}
