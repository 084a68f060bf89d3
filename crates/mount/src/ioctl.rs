//! The ioctls that reach a FUSE daemon and have an answer here: those of `lsattr` and
//! `chattr`.
//!
//! FIEMAP and FICLONE never do; the kernel answers them itself.

use rustix::io::Errno;
use rustix::ioctl::opcode;
use zerocopy::{FromBytes, FromZeros, IntoBytes};

use crate::FileFlags;
use crate::abi::{RawFsXattr, RawIoctlOut};
use crate::reply::Reply;

/// `FS_IOC_GETFLAGS`; of a 32-bit caller; `FS_IOC_FSGETXATTR`.
const GET_FLAGS: u32 = opcode::read::<u64>(b'f', 1);
const GET_FLAGS_32: u32 = opcode::read::<u32>(b'f', 1);
const GET_FSXATTR: u32 = opcode::read::<RawFsXattr>(b'X', 31);
/// `FS_IOC_SETFLAGS`; of a 32-bit caller; `FS_IOC_FSSETXATTR`.
const SET_FLAGS: u32 = opcode::write::<u64>(b'f', 2);
const SET_FLAGS_32: u32 = opcode::write::<u32>(b'f', 2);
const SET_FSXATTR: u32 = opcode::write::<RawFsXattr>(b'X', 32);

/// An ioctl that has an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ioctl {
    Get(Question),
    Set(Setting),
}

/// What is asked for: the flags, in one form or the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    Flags,
    FsXattr,
}

/// What the flags are to be, in one form or the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Setting {
    Flags(u32),
    FsXattr { xflags: u32, others: bool },
}

impl Ioctl {
    /// # Errors
    /// `ENOTTY` for one that files here do not have, `EINVAL` where the caller has no `room` for the answer or the
    /// argument is too short.
    pub(crate) fn parse(command: u32, argument: &[u8], room: u32) -> Result<Self, Errno> {
        let (question, needs) = match command {
            GET_FLAGS | GET_FLAGS_32 => (Question::Flags, size_of::<u32>()),
            GET_FSXATTR => (Question::FsXattr, size_of::<RawFsXattr>()),
            SET_FLAGS | SET_FLAGS_32 => {
                // Named after a long, they carry an int.
                let (flags, _) = u32::read_from_prefix(argument).map_err(|_| Errno::INVAL)?;
                return Ok(Self::Set(Setting::Flags(flags)));
            }
            SET_FSXATTR => {
                let (raw, _) = RawFsXattr::read_from_prefix(argument).map_err(|_| Errno::INVAL)?;
                let others = raw.extsize != 0 || raw.projid != 0 || raw.cowextsize != 0;
                return Ok(Self::Set(Setting::FsXattr { xflags: raw.xflags, others }));
            }
            _ => return Err(Errno::NOTTY),
        };
        let enough = usize::try_from(room).is_ok_and(|room| room >= needs);
        enough.then_some(Self::Get(question)).ok_or(Errno::INVAL)
    }

    /// The answer to one that only sets.
    pub(crate) fn done() -> Reply {
        Reply::of(&RawIoctlOut::new_zeroed())
    }
}

impl Setting {
    /// The flags that are wanted of an inode that has `old`.
    ///
    /// # Errors
    /// `EOPNOTSUPP` for what an inode here does not have.
    pub(crate) fn over(self, old: FileFlags) -> Result<FileFlags, Errno> {
        match self {
            Self::Flags(flags) => Ok(FileFlags::from_bits_retain(flags)),
            Self::FsXattr { others: true, .. } => Err(Errno::OPNOTSUPP),
            Self::FsXattr { xflags, .. } => {
                let known = XFLAGS.iter().fold(0, |all, (_, bit)| all | bit);
                if xflags & !known != 0 {
                    return Err(Errno::OPNOTSUPP);
                }
                Ok(XFLAGS.iter().fold(old, |mut flags, (flag, bit)| {
                    flags.set(*flag, xflags & bit != 0);
                    flags
                }))
            }
        }
    }
}

impl Question {
    pub(crate) fn answer(self, flags: FileFlags) -> Reply {
        let mut bytes = RawIoctlOut::new_zeroed().as_bytes().to_vec();
        match self {
            Self::Flags => bytes.extend_from_slice(flags.bits().as_bytes()),
            Self::FsXattr => {
                let mut raw = RawFsXattr::new_zeroed();
                raw.xflags = xflags(flags);
                bytes.extend_from_slice(raw.as_bytes());
            }
        }
        Reply::Bytes(bytes)
    }
}

/// The same flags in the bits of `FS_XFLAG_*`.
fn xflags(flags: FileFlags) -> u32 {
    XFLAGS.iter().filter(|(flag, _)| flags.contains(*flag)).fold(0, |all, (_, bit)| all | bit)
}

/// Flags and their bits among `FS_XFLAG_*`.
const XFLAGS: [(FileFlags, u32); 6] = [
    (FileFlags::IMMUTABLE, 0x8),
    (FileFlags::APPEND, 0x10),
    (FileFlags::SYNC, 0x20),
    (FileFlags::NOATIME, 0x40),
    (FileFlags::NODUMP, 0x80),
    (FileFlags::PROJECT_INHERIT, 0x200),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_those_of_linux_fs_h() {
        if cfg!(target_arch = "x86_64") {
            assert_eq!([GET_FLAGS, GET_FLAGS_32, GET_FSXATTR], [0x8008_6601, 0x8004_6601, 0x801c_581f]);
            assert_eq!([SET_FLAGS, SET_FLAGS_32, SET_FSXATTR], [0x4008_6602, 0x4004_6602, 0x401c_5820]);
        }
    }

    #[test]
    fn what_is_asked_decides_the_errno() {
        assert_eq!(Ioctl::parse(GET_FLAGS, &[], 8), Ok(Ioctl::Get(Question::Flags)));
        assert_eq!(Ioctl::parse(GET_FLAGS, &[], 4), Ok(Ioctl::Get(Question::Flags)));
        assert_eq!(Ioctl::parse(GET_FLAGS, &[], 3), Err(Errno::INVAL));
        assert_eq!(Ioctl::parse(SET_FLAGS, &[0; 3], 0), Err(Errno::INVAL));
        let set = Ioctl::parse(SET_FLAGS, 0x10u32.as_bytes(), 0);
        assert_eq!(set, Ok(Ioctl::Set(Setting::Flags(0x10))));
        assert_eq!(Ioctl::parse(0x1234, &[], 8), Err(Errno::NOTTY));
    }

    #[test]
    fn what_fsxattr_does_not_name_stays() {
        let old = FileFlags::IMMUTABLE | FileFlags::from_bits_retain(0x1000);
        let set = |xflags, others| Setting::FsXattr { xflags, others }.over(old);
        assert_eq!(set(0x10, false), Ok(FileFlags::APPEND | FileFlags::from_bits_retain(0x1000)));
        assert_eq!(set(0x1_0000, false), Err(Errno::OPNOTSUPP));
        assert_eq!(set(0, true), Err(Errno::OPNOTSUPP));
    }

    #[test]
    fn flags_are_4_bytes_whatever_the_room() {
        let Reply::Bytes(bytes) = Question::Flags.answer(FileFlags::IMMUTABLE) else { panic!("bytes") };
        assert_eq!(bytes[16..], *0x10u32.as_bytes());
        let Reply::Bytes(bytes) = Question::FsXattr.answer(FileFlags::IMMUTABLE | FileFlags::APPEND) else {
            panic!("bytes")
        };
        assert_eq!(bytes[16..20], *0x18u32.as_bytes());
        assert_eq!(bytes.len(), 16 + 28);
    }
}
