//! The ioctls that reach a FUSE daemon and have an answer here: those that `lsattr` uses.
//!
//! FIEMAP and FICLONE never do; the kernel answers them itself.

use rustix::io::Errno;
use rustix::ioctl::opcode;
use zerocopy::{FromZeros, IntoBytes};

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

/// An ioctl that is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    Flags,
    FsXattr,
}

impl Question {
    /// # Errors
    /// `EROFS` for one that would change the volume, `ENOTTY` for one that files here do not have, `EINVAL` where
    /// the caller has no `room` for the answer.
    pub(crate) fn parse(command: u32, room: u32) -> Result<Self, Errno> {
        let (question, needs) = match command {
            GET_FLAGS | GET_FLAGS_32 => (Self::Flags, size_of::<u32>()),
            GET_FSXATTR => (Self::FsXattr, size_of::<RawFsXattr>()),
            SET_FLAGS | SET_FLAGS_32 | SET_FSXATTR => return Err(Errno::ROFS),
            _ => return Err(Errno::NOTTY),
        };
        let enough = usize::try_from(room).is_ok_and(|room| room >= needs);
        enough.then_some(question).ok_or(Errno::INVAL)
    }

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
    [
        (FileFlags::IMMUTABLE, 0x8),
        (FileFlags::APPEND, 0x10),
        (FileFlags::SYNC, 0x20),
        (FileFlags::NOATIME, 0x40),
        (FileFlags::NODUMP, 0x80),
        (FileFlags::PROJECT_INHERIT, 0x200),
    ]
    .into_iter()
    .filter(|(flag, _)| flags.contains(*flag))
    .fold(0, |all, (_, bit)| all | bit)
}

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
        assert_eq!(Question::parse(GET_FLAGS, 8), Ok(Question::Flags));
        assert_eq!(Question::parse(GET_FLAGS, 4), Ok(Question::Flags));
        assert_eq!(Question::parse(GET_FLAGS, 3), Err(Errno::INVAL));
        assert_eq!(Question::parse(SET_FLAGS, 8), Err(Errno::ROFS));
        assert_eq!(Question::parse(0x1234, 8), Err(Errno::NOTTY));
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
