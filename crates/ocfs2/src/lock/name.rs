//! Names of cluster locks: 31 bytes, the same on every node.

use std::fmt;

use ocfs2_format::BlockNum;
use ocfs2_format::quota::QuotaKind;

/// What a lock protects, and what the filesystem owes before it is lowered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum LockKind {
    /// An inode: its attributes, its metadata blocks and its data. Before it is lowered all its journalled changes are
    /// at home and the log has moved past them; data is written; where another node will write, all cached pages are
    /// dropped; and under EX the value block is set.
    Meta,
    /// Writers and direct readers of a file. Nothing is owed.
    Rw,
    /// Held shared while an inode is open or cached; deletion tries it exclusively. Nothing is owed.
    Open,
    /// `flock(2)`, never cached. Nothing is owed.
    Flock,
    /// The superblock lock: mount, unmount, recovery; covers the slot map. Nothing is owed.
    Superblock,
    /// Renames of directories across directories. Nothing is owed.
    Rename,
    /// Deletion against look-ups by inode number. Nothing is owed.
    NfsSync,
    /// The scan of orphan directories; its value block carries a sequence number.
    OrphanScan,
    /// `FITRIM`; its value block tells the others the result.
    Trim,
    /// Global information of a quota file; it has a value block.
    QuotaInfo,
    /// A refcount tree. Before it is lowered, its changes are at home as an inode's are.
    Refcount,
    /// The names of one inode in one directory. Where another node wants it exclusively, all cached names of this inode
    /// in this directory are dropped, and the inode is noted as perhaps orphaned.
    Dentry,
}

impl LockKind {
    const ALL: [(Self, u8); 12] = [
        (Self::Meta, b'M'),
        (Self::Rw, b'W'),
        (Self::Open, b'O'),
        (Self::Flock, b'F'),
        (Self::Superblock, b'S'),
        (Self::Rename, b'R'),
        (Self::NfsSync, b'Y'),
        (Self::OrphanScan, b'P'),
        (Self::Trim, b'I'),
        (Self::QuotaInfo, b'Q'),
        (Self::Refcount, b'T'),
        (Self::Dentry, b'N'),
    ];

    /// First byte of the name.
    fn letter(self) -> u8 {
        Self::ALL.iter().find(|(kind, _)| *kind == self).map_or(b'?', |(_, letter)| *letter)
    }

    /// Whether the first holder, after the lock was not held for a while, must refresh what is cached.
    #[must_use]
    pub fn refreshes(self) -> bool {
        matches!(self, Self::Meta | Self::Superblock | Self::QuotaInfo | Self::OrphanScan | Self::Trim)
    }

    /// Whether the lock has a value block.
    #[must_use]
    pub fn has_lvb(self) -> bool {
        matches!(self, Self::Meta | Self::QuotaInfo | Self::OrphanScan | Self::Trim)
    }
}

/// The name of a cluster lock: what the kernel's nodes call it, to the byte.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LockName([u8; Self::LEN]);

impl LockName {
    /// Bytes of a name. Those of a dentry lock have a NUL in the middle.
    pub const LEN: usize = 31;

    /// The inode `ino`. `generation` is the volume's (`i_fs_generation`) for the root directory, the system directory
    /// and what is in it, and 0 for all others.
    #[must_use]
    pub fn meta(ino: BlockNum, generation: u32) -> Self {
        Self::of(LockKind::Meta, ino.0, generation)
    }

    /// Reads and writes of file `ino`, whose inode has `generation`.
    #[must_use]
    pub fn rw(ino: BlockNum, generation: u32) -> Self {
        Self::of(LockKind::Rw, ino.0, generation)
    }

    /// Being open of inode `ino`.
    #[must_use]
    pub fn open(ino: BlockNum) -> Self {
        Self::of(LockKind::Open, ino.0, 0)
    }

    /// `flock(2)` of file `ino`, whose inode has `generation`.
    #[must_use]
    pub fn flock(ino: BlockNum, generation: u32) -> Self {
        Self::of(LockKind::Flock, ino.0, generation)
    }

    /// The superblock.
    #[must_use]
    pub fn superblock() -> Self {
        Self::of(LockKind::Superblock, SUPERBLOCK, 0)
    }

    /// Renames of directories across directories.
    #[must_use]
    pub fn rename() -> Self {
        Self::of(LockKind::Rename, 0, 0)
    }

    /// Deletion against look-ups by inode number.
    #[must_use]
    pub fn nfs_sync() -> Self {
        Self::of(LockKind::NfsSync, 0, 0)
    }

    /// The scan of orphan directories.
    #[must_use]
    pub fn orphan_scan() -> Self {
        Self::of(LockKind::OrphanScan, 0, 0)
    }

    /// `FITRIM`.
    #[must_use]
    pub fn trim() -> Self {
        Self::of(LockKind::Trim, 0, 0)
    }

    /// Global information of a quota file.
    #[must_use]
    pub fn quota_info(kind: QuotaKind) -> Self {
        Self::of(LockKind::QuotaInfo, u64::from(kind == QuotaKind::Group), 0)
    }

    /// The refcount tree whose root is the block `root`, with that block's `rf_generation`.
    #[must_use]
    pub fn refcount(root: BlockNum, generation: u32) -> Self {
        Self::of(LockKind::Refcount, root.0, generation)
    }

    /// All names of inode `ino` in directory `parent`.
    #[must_use]
    pub fn dentry(parent: BlockNum, ino: BlockNum) -> Self {
        let mut name = [0; Self::LEN];
        name[0] = LockKind::Dentry.letter();
        name[1..17].copy_from_slice(&hex(parent.0));
        name[18..26].copy_from_slice(&ino.0.to_be_bytes());
        Self(name)
    }

    fn of(kind: LockKind, block: u64, generation: u32) -> Self {
        let mut name = [b'0'; Self::LEN];
        name[0] = kind.letter();
        name[7..23].copy_from_slice(&hex(block));
        name[23..31].copy_from_slice(&hex(u64::from(generation))[8..]);
        Self(name)
    }

    /// The name as the lock manager takes it.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// What it protects.
    #[must_use]
    pub fn kind(&self) -> LockKind {
        // Made by `of` and `dentry` alone, which start with a letter of the list.
        LockKind::ALL
            .iter()
            .find(|(_, letter)| *letter == self.0[0])
            .map_or(LockKind::Meta, |(kind, _)| *kind)
    }

    /// The inode, root block or quota number in it; of a dentry lock the inode.
    #[must_use]
    pub fn block(&self) -> BlockNum {
        if self.kind() == LockKind::Dentry {
            let bytes = self.0[18..26].iter();
            return BlockNum(bytes.fold(0, |block, byte| block << 8 | u64::from(*byte)));
        }
        BlockNum(unhex(&self.0[7..23]))
    }
}

/// Block of the superblock.
const SUPERBLOCK: u64 = 2;

/// Sixteen lower-case digits.
fn hex(number: u64) -> [u8; 16] {
    let mut digits = [0; 16];
    for (digit, shift) in digits.iter_mut().zip((0..64).step_by(4).rev()) {
        *digit = b"0123456789abcdef"[usize::try_from(number >> shift & 0xf).unwrap_or(0)];
    }
    digits
}

fn unhex(digits: &[u8]) -> u64 {
    let value = |digit: &u8| char::from(*digit).to_digit(16).unwrap_or(0);
    digits.iter().fold(0, |number, digit| number << 4 | u64::from(value(digit)))
}

/// As text; of a dentry lock the parent's digits and, after a colon, the inode's.
impl fmt::Display for LockName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dentry = self.kind() == LockKind::Dentry;
        let text = if dentry { &self.0[..17] } else { &self.0[..] };
        f.write_str(&String::from_utf8_lossy(text))?;
        if dentry { write!(f, ":{:016x}", self.block().0) } else { Ok(()) }
    }
}

impl fmt::Debug for LockName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_kernel() {
        let of = |name: LockName| String::from_utf8(name.as_bytes().to_vec()).unwrap();
        assert_eq!(of(LockName::meta(BlockNum(17), 0)), "M000000000000000000001100000000");
        assert_eq!(of(LockName::rw(BlockNum(17), 0x9abc_def0)), "W00000000000000000000119abcdef0");
        assert_eq!(of(LockName::superblock()), "S000000000000000000000200000000");
        assert_eq!(of(LockName::rename()), "R000000000000000000000000000000");
        assert_eq!(of(LockName::open(BlockNum(17))), "O000000000000000000001100000000");
        assert_eq!(of(LockName::flock(BlockNum(17), 0xab)), "F0000000000000000000011000000ab");
        assert_eq!(of(LockName::nfs_sync()), "Y000000000000000000000000000000");
        assert_eq!(of(LockName::orphan_scan()), "P000000000000000000000000000000");
        assert_eq!(of(LockName::trim()), "I000000000000000000000000000000");
        assert_eq!(of(LockName::quota_info(QuotaKind::User)), "Q000000000000000000000000000000");
        assert_eq!(of(LockName::quota_info(QuotaKind::Group)), "Q000000000000000000000100000000");
        assert_eq!(of(LockName::refcount(BlockNum(0x1234), 7)), "T000000000000000000123400000007");
    }

    #[test]
    fn a_dentry_name_is_the_parent_in_text_and_the_inode_in_binary() {
        let name = LockName::dentry(BlockNum(5), BlockNum(0x1234));
        let mut want = b"N0000000000000005\0".to_vec();
        want.extend([0, 0, 0, 0, 0, 0, 0x12, 0x34, 0, 0, 0, 0, 0]);
        assert_eq!(name.as_bytes().as_slice(), want);
        assert_eq!(name.to_string(), "N0000000000000005:0000000000001234");
    }

    #[test]
    fn a_name_says_what_it_is_of() {
        let (block, largest) = (BlockNum(0x12_3456_789a), BlockNum(u64::MAX));
        for (name, kind, block) in [
            (LockName::meta(block, u32::MAX), LockKind::Meta, block),
            (LockName::rw(largest, 1), LockKind::Rw, largest),
            (LockName::dentry(block, largest), LockKind::Dentry, largest),
            (LockName::superblock(), LockKind::Superblock, BlockNum(2)),
        ] {
            assert_eq!((name.kind(), name.block()), (kind, block), "{name}");
        }
    }
}
