//! The options of `-o`: those of mount.ocfs2(8) and mount(8) that mean something on a read-only mount.

/// What the options ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountOptions {
    /// `nocluster`: a clustered volume is mounted without its cluster. Default: no.
    pub nocluster: bool,
    /// `acl`, `noacl`: POSIX ACLs are shown and enforced. Default: yes.
    pub acl: bool,
    /// `suid`, `nosuid`: set-uid programs work. Default: yes; only for root.
    pub suid: bool,
    /// `dev`, `nodev`: device files work. Default: yes; only for root.
    pub dev: bool,
    /// `exec`, `noexec`: programs may be run. Default: yes.
    pub exec: bool,
    /// `allow_other`: other users may use the mount. Default: yes for root's mounts, no for others.
    pub allow_other: bool,
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
    /// Writing.
    #[error("mounting for writing is not built yet")]
    Write,
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
            Self::Write => Some("mount with -o ro"),
            _ => None,
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

/// Options that a read-only mount fulfils by what it is: it writes no atime, commits nothing and allocates nothing;
/// every wait can be interrupted, inode numbers have 64 bits, flock is the host's own; and what is only for mount(8)
/// and fstab.
const FULFILLED: &[(&str, Value)] = &[
    ("ro", Value::No),
    ("defaults", Value::No),
    ("noatime", Value::No),
    ("nodiratime", Value::No),
    ("relatime", Value::No),
    ("atime_quantum", Value::Number(u32::MAX)),
    ("barrier", Value::Number(1)),
    ("commit", Value::Number(i32::MAX as u32)),
    ("data", Value::OneOf(&["ordered", "writeback"])),
    ("errors", Value::OneOf(&["remount-ro", "continue"])),
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

/// Options of mount.ocfs2(8) that a mount here would not keep to, and why.
const UNSUPPORTED: &[(&str, &str)] = &[
    ("remount", "umount, and mount again"),
    ("nointr", "every wait can be interrupted here"),
    ("strictatime", "a read-only mount updates no atime"),
    ("datavolume", "it is obsolete; use O_DIRECT"),
    ("usrquota", "quotas come with mounts for writing"),
    ("grpquota", "quotas come with mounts for writing"),
    ("coherency", "it is about writing in a cluster, which is not built yet"),
    ("preferred_slot", "a mount without the cluster takes no slot"),
];

impl MountOptions {
    /// What holds without options, for a mount by root or by another user.
    pub fn defaults(by_root: bool) -> Self {
        Self { nocluster: false, acl: true, suid: true, dev: true, exec: true, allow_other: by_root }
    }

    /// Parses options as `-o` has them, separated by commas; later ones override earlier ones. Without `ro` a mount
    /// is for writing, as everywhere, and so refused.
    ///
    /// # Errors
    /// [`OptionError`] for the first one that is not taken.
    pub fn parse(text: &str, by_root: bool) -> Result<Self, OptionError> {
        let mut options = Self::defaults(by_root);
        let mut read_only = false;
        for option in text.split(',').filter(|option| !option.is_empty()) {
            match option {
                "ro" => read_only = true,
                "rw" => read_only = false,
                _ => options.apply(option)?,
            }
        }
        if read_only { Ok(options) } else { Err(OptionError::Write) }
    }

    fn apply(&mut self, option: &str) -> Result<(), OptionError> {
        match option {
            "nocluster" => self.nocluster = true,
            "acl" => self.acl = true,
            "noacl" => self.acl = false,
            "suid" => self.suid = true,
            "nosuid" => self.suid = false,
            "dev" => self.dev = true,
            "nodev" => self.dev = false,
            "exec" => self.exec = true,
            "noexec" => self.exec = false,
            "allow_other" => self.allow_other = true,
            // As mount(8): what users may mount must not give them more than they have.
            "user" | "users" | "owner" | "group" => (self.suid, self.dev, self.exec) = (false, false, false),
            _ => return fulfilled(option),
        }
        Ok(())
    }
}

/// Takes an option that needs nothing done, and refuses all others.
fn fulfilled(option: &str) -> Result<(), OptionError> {
    let (name, value) = option.split_once('=').map_or((option, None), |(name, value)| (name, Some(value)));
    if let Some((_, why)) = UNSUPPORTED.iter().find(|(unsupported, _)| *unsupported == name) {
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
        assert!(root.allow_other && root.acl && root.suid && !root.nocluster);
        assert!(!MountOptions::parse("ro", false).expect("options").allow_other);
    }

    #[test]
    fn later_options_win() {
        let options =
            MountOptions::parse("rw,ro,,nosuid,suid,noacl,users,exec,nocluster", true).expect("options");
        assert_eq!((options.suid, options.dev, options.exec), (false, false, true));
        assert!(!options.acl && options.nocluster);
    }

    #[test]
    fn writing_is_refused_in_words() {
        for text in ["", "rw", "ro,rw", "noatime"] {
            assert_eq!(MountOptions::parse(text, true), Err(OptionError::Write), "{text}");
        }
    }

    #[test]
    fn what_a_read_only_mount_is_anyway_is_taken() {
        let fstab =
            "ro,_netdev,noatime,data=writeback,commit=30,errors=remount-ro,x-systemd.requires=a,comment=b";
        assert_eq!(MountOptions::parse(fstab, true), Ok(MountOptions::defaults(true)));
    }

    #[test]
    fn unknown_options_and_values_are_refused() {
        for bad in
            ["uid=0", "commit", "commit=x", "data=journal", "ro=1", "barrier=2", "Noatime", "errors=panic"]
        {
            let refused = MountOptions::parse(&format!("ro,{bad}"), true);
            assert_eq!(refused, Err(OptionError::Unknown { option: bad.into() }));
        }
        let remount = MountOptions::parse("ro,remount", true);
        assert!(matches!(remount, Err(OptionError::Unsupported { .. })));
    }
}
