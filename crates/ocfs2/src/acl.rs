//! POSIX access control lists: from the form on the volume to the form of the system calls.

use ocfs2_format::BlockNum;

use crate::Error;

/// The version word that begins the system calls' form (`POSIX_ACL_XATTR_VERSION`).
const VERSION: [u8; 4] = [2, 0, 0, 0];
/// Size of one entry in either form: tag `u16`, permissions `u16`, id `u32`, little-endian.
const ENTRY: usize = 8;

/// Turns the value of an ACL attribute as it lies on the volume into the one that `getxattr(2)` gives.
///
/// On disk the list is entries alone; the system calls put a version word before them. `ino` is for the error.
///
/// # Errors
/// [`Error::BadAcl`] when the value is no whole number of entries.
pub(crate) fn to_vfs(ino: BlockNum, disk: &[u8]) -> Result<Vec<u8>, Error> {
    if !disk.len().is_multiple_of(ENTRY) {
        return Err(Error::BadAcl { ino, len: disk.len() });
    }
    Ok([VERSION.as_slice(), disk].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_word_comes_first() {
        let disk = [1, 0, 7, 0, 255, 255, 255, 255];
        assert_eq!(to_vfs(BlockNum(5), &disk).unwrap(), [2, 0, 0, 0, 1, 0, 7, 0, 255, 255, 255, 255]);
        assert!(matches!(to_vfs(BlockNum(5), &disk[..7]), Err(Error::BadAcl { ino: BlockNum(5), len: 7 })));
    }
}
