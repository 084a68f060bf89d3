//! File types, in a mode and in a directory entry.

/// The seven POSIX file types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileType {
    /// Regular file.
    Regular,
    /// Directory.
    Directory,
    /// Character device.
    CharDevice,
    /// Block device.
    BlockDevice,
    /// Named pipe.
    Fifo,
    /// Socket.
    Socket,
    /// Symbolic link.
    Symlink,
}

/// Mode bits and directory entry byte of each type.
const CODES: [(FileType, u16, u8); 7] = [
    (FileType::Regular, 0o100_000, 1),
    (FileType::Directory, 0o040_000, 2),
    (FileType::CharDevice, 0o020_000, 3),
    (FileType::BlockDevice, 0o060_000, 4),
    (FileType::Fifo, 0o010_000, 5),
    (FileType::Socket, 0o140_000, 6),
    (FileType::Symlink, 0o120_000, 7),
];

impl FileType {
    /// The type in an `i_mode`.
    #[must_use]
    pub fn from_mode(mode: u16) -> Option<Self> {
        CODES.iter().find(|(_, bits, _)| mode & 0o170_000 == *bits).map(|&(kind, ..)| kind)
    }

    /// The type in a directory entry (`file_type`); `None` for 0, unknown.
    #[must_use]
    pub fn from_dirent(code: u8) -> Option<Self> {
        CODES.iter().find(|(_, _, byte)| code == *byte).map(|&(kind, ..)| kind)
    }

    /// The type bits of a mode.
    #[must_use]
    pub fn mode_bits(self) -> u16 {
        CODES.iter().find(|(kind, ..)| *kind == self).map_or(0, |&(_, bits, _)| bits)
    }

    /// The byte for a directory entry.
    #[must_use]
    pub fn dirent_code(self) -> u8 {
        CODES.iter().find(|(kind, ..)| *kind == self).map_or(0, |&(_, _, byte)| byte)
    }
}
