//! What lies on a device that is no OCFS2 volume: the usual mistakes, named.

use block::{BlockDevice, BlockDeviceExt as _};
use thiserror::Error;

/// Bytes looked at.
const LOOK: usize = 68 << 10;

/// The device holds something else.
#[derive(Debug, Error)]
#[error("{device} holds {what}, not an OCFS2 volume")]
pub(crate) struct ForeignError {
    device: String,
    what: &'static str,
    hint: &'static str,
}

impl ForeignError {
    /// What an operator can do about it.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        Some(self.hint)
    }
}

const ANOTHER: &str = "is it the right device? another filesystem is mounted by the kernel: mount";
const PARTITION: &str = "name the partition, such as /dev/sdb1; those of a file: losetup -P --show -f FILE";
const UNPACK: &str = "unpack it first";
const CONVERT: &str = "make it a raw image: qemu-img convert -O raw";

/// Where a signature lies, what it is, whose it is, and what to do.
const SIGNATURES: &[(usize, &[u8], &str, &str)] = &[
    (0, b"LUKS\xba\xbe", "an encrypted volume (LUKS)", "open it, and name what that makes: cryptsetup open"),
    (0, b"QFI\xfb", "a disk image in the format qcow2", CONVERT),
    (0, b"KDMV", "a disk image in the format vmdk", CONVERT),
    (0, b"vhdxfile", "a disk image in the format vhdx", CONVERT),
    (0, b"\x28\xb5\x2f\xfd", "a file packed with zstd", UNPACK),
    (0, b"\x1f\x8b", "a file packed with gzip", UNPACK),
    (0, b"\xfd7zXZ\0", "a file packed with xz", UNPACK),
    (0, b"XFSB", "an XFS filesystem", ANOTHER),
    (0, b"hsqs", "a squashfs filesystem", ANOTHER),
    (3, b"NTFS    ", "an NTFS filesystem", ANOTHER),
    (0x438, b"\x53\xef", "an ext2, ext3 or ext4 filesystem", ANOTHER),
    (0x8001, b"CD001", "a CD filesystem (ISO 9660)", ANOTHER),
    (0x1_0000, b"\x01\x16\x19\x70", "a GFS2 filesystem", ANOTHER),
    (0x1_0040, b"_BHRfS_M", "a btrfs filesystem", ANOTHER),
    (4086, b"SWAPSPACE2", "swap space", "is it the right device?"),
    (4096, b"\xfc\x4e\x2b\xa9", "a member of a RAID array (md)", "name the array, such as /dev/md0"),
    (0, b"LABELONE", "an LVM physical volume", "name a logical volume on it: lvs, vgchange -ay"),
    (512, b"LABELONE", "an LVM physical volume", "name a logical volume on it: lvs, vgchange -ay"),
    (1024, b"LABELONE", "an LVM physical volume", "name a logical volume on it: lvs, vgchange -ay"),
    (1536, b"LABELONE", "an LVM physical volume", "name a logical volume on it: lvs, vgchange -ay"),
    (512, b"EFI PART", "a GPT partition table", PARTITION),
    (4096, b"EFI PART", "a GPT partition table", PARTITION),
];

/// Looks for what is there in place of a volume; `None` when that is not known.
pub(crate) async fn look(device: &dyn BlockDevice) -> Option<ForeignError> {
    let geometry = device.geometry();
    let block = usize::try_from(geometry.logical_block).ok()?;
    let len = usize::try_from(geometry.size).unwrap_or(usize::MAX).min(LOOK) / block * block;
    let head = device.read_at(0, len).await.ok()?;
    let (what, hint) = name(&head)?;
    Some(ForeignError { device: device.name().to_owned(), what, hint })
}

fn name(head: &[u8]) -> Option<(&'static str, &'static str)> {
    let found = SIGNATURES
        .iter()
        .find(|(offset, signature, ..)| head.get(*offset..).is_some_and(|rest| rest.starts_with(signature)));
    if let Some((_, _, what, hint)) = found {
        return Some((what, hint));
    }
    if has_dos_table(head) {
        return Some(("a DOS partition table", PARTITION));
    }
    if head.len() < 12 << 10 {
        return Some(("too little to be a volume", "is it the right file? was it truncated?"));
    }
    let zeroes = head.iter().all(|byte| *byte == 0);
    zeroes.then_some(("nothing but zeroes at its beginning", "is it the right device? was it wiped?"))
}

/// A boot sector's mark, four entries that are used or not, and one that is.
fn has_dos_table(head: &[u8]) -> bool {
    const TABLE: std::ops::Range<usize> = 446..510;
    let (Some(table), Some(b"\x55\xaa")) = (head.get(TABLE), head.get(510..512)) else { return false };
    let entries = || table.chunks_exact(16);
    entries().all(|entry| matches!(entry[0], 0 | 0x80)) && entries().any(|entry| entry[4] != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(offset: usize, bytes: &[u8]) -> Vec<u8> {
        let mut head = vec![0; LOOK];
        head[offset..offset + bytes.len()].copy_from_slice(bytes);
        head
    }

    #[test]
    fn every_signature_is_found_and_nothing_is_seen_in_noise() {
        for (offset, signature, what, _) in SIGNATURES {
            assert_eq!(name(&head(*offset, signature)).map(|(what, _)| what), Some(*what));
        }
        let mut dos = head(510, b"\x55\xaa");
        dos[450] = 0x83;
        assert_eq!(name(&dos).map(|(what, _)| what), Some("a DOS partition table"));
        assert_eq!(name(&vec![0; LOOK]).map(|(what, _)| what), Some("nothing but zeroes at its beginning"));
        assert_eq!(name(b"hello").map(|(what, _)| what), Some("too little to be a volume"));
        assert_eq!(name(&vec![7; LOOK]), None);
    }
}
