//! INIT: choosing version and features.

use crate::abi::{InitFlags, MAJOR, MIN_MINOR, MINOR, RawInitOut};
use crate::request::{Dialect, Offer};
use crate::{Changes, Config, SessionError};

/// Pages in a request: 1 MiB, the most that kernels allow by default.
const MAX_PAGES: u16 = 256;
/// The longest READ, in bytes; and the longest WRITE.
pub(crate) const MAX_READ: u32 = MAX_PAGES as u32 * 4096;
/// Read-ahead requests in flight: 32 MiB at most, enough to keep a 10 Gbit/s link with 25 ms of delay full.
const MAX_BACKGROUND: u16 = 32;

/// What both sides agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Agreed {
    /// The lower of the two minor versions.
    pub(crate) minor: u32,
    /// What the kernel offered and we took.
    pub(crate) flags: InitFlags,
}

impl Agreed {
    /// How requests look by it.
    pub(crate) fn dialect(&self) -> Dialect {
        Dialect { setxattr_ext: self.flags.contains(InitFlags::SETXATTR_EXT) }
    }
}

/// The longest WRITE, in bytes. Mounts that are only read are sent none; the protocol wants room for a page all the
/// same.
pub(crate) fn max_write(config: &Config) -> u32 {
    if config.changes == Changes::None { 4096 } else { MAX_READ }
}

/// One step of the handshake.
#[derive(Debug)]
pub(crate) enum Step {
    /// The kernel speaks a later major version: it is told ours and sends INIT once more.
    Again(RawInitOut),
    /// Agreed.
    Done(Agreed, RawInitOut),
}

/// Answers the kernel's offer.
///
/// # Errors
/// [`SessionError::OldKernel`] for a protocol before 7.31.
pub(crate) fn negotiate(offer: &Offer, config: &Config) -> Result<Step, SessionError> {
    let mut answer = RawInitOut {
        major: MAJOR,
        minor: MINOR.min(offer.minor),
        max_readahead: offer.max_readahead,
        flags: 0,
        max_background: MAX_BACKGROUND,
        congestion_threshold: MAX_BACKGROUND / 4 * 3,
        max_write: max_write(config),
        time_gran: 1,
        max_pages: MAX_PAGES,
        map_alignment: 0,
        flags2: 0,
        unused: [0; 7],
    };
    if offer.major > MAJOR {
        answer.minor = MINOR;
        return Ok(Step::Again(answer));
    }
    if offer.major < MAJOR || offer.minor < MIN_MINOR {
        return Err(SessionError::OldKernel { major: offer.major, minor: offer.minor });
    }
    let flags = wanted(config) & offer.flags;
    (answer.flags, answer.flags2) = halves(flags);
    Ok(Step::Done(Agreed { minor: answer.minor, flags }, answer))
}

/// What we would have, kernel willing.
///
/// Not `ASYNC_DIO`: with it a read(2) with O_DIRECT waits where no signal reaches it, SIGKILL included.
fn wanted(config: &Config) -> InitFlags {
    let mut flags = InitFlags::ASYNC_READ
        | InitFlags::EXPORT_SUPPORT
        | InitFlags::BIG_WRITES
        | InitFlags::HAS_IOCTL_DIR
        | InitFlags::DO_READDIRPLUS
        | InitFlags::READDIRPLUS_AUTO
        | InitFlags::PARALLEL_DIROPS
        | InitFlags::ABORT_ERROR
        | InitFlags::MAX_PAGES
        | InitFlags::EXPLICIT_INVAL_DATA;
    flags.set(InitFlags::POSIX_ACL, config.posix_acl);
    flags.set(InitFlags::NO_OPEN_SUPPORT, config.changes == Changes::None);
    // A link's target never changes while its inode lives, and the kernel sees every change that it makes itself.
    flags.set(InitFlags::CACHE_SYMLINKS | InitFlags::NO_OPENDIR_SUPPORT, config.changes != Changes::Anywhere);
    // Not WRITEBACK_CACHE: with it the kernel holds on to what was written for half a minute, and to a length and
    // times of its own; errors reach nobody; two nodes would lose data.
    flags.set(WRITING, config.changes != Changes::None);
    flags
}

/// What a mount for writing would have. With `HANDLE_KILLPRIV_V2` a write says whether the set-id bits go, and is
/// not preceded by a question for `security.capability`. Not `ATOMIC_O_TRUNC`: the file would be cut by its opening,
/// before the kernel looks whether a program runs from it.
const WRITING: InitFlags = InitFlags::DONT_MASK
    .union(InitFlags::HANDLE_KILLPRIV_V2)
    .union(InitFlags::SETXATTR_EXT)
    .union(InitFlags::INIT_EXT)
    .union(InitFlags::DIRECT_IO_ALLOW_MMAP);

/// The flags as they travel: in `flags` and in `flags2`.
fn halves(flags: InitFlags) -> (u32, u32) {
    let half = |bits: u64| u32::try_from(bits & u64::from(u32::MAX)).expect("masked to 32 bits");
    (half(flags.bits()), half(flags.bits() >> 32))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(major: u32, minor: u32, flags: InitFlags) -> Offer {
        Offer { major, minor, max_readahead: 131_072, flags }
    }

    fn agree(offer: &Offer, changes: Changes) -> (Agreed, RawInitOut) {
        match negotiate(offer, &Config { posix_acl: changes == Changes::None, changes }) {
            Ok(Step::Done(agreed, answer)) => (agreed, answer),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn takes_only_what_is_offered_and_wanted() {
        let offered = InitFlags::ASYNC_READ | InitFlags::POSIX_ACL | InitFlags::from_bits_retain(1 << 16);
        let (agreed, answer) = agree(&offer(7, 45, offered), Changes::None);
        assert_eq!(agreed.flags, InitFlags::ASYNC_READ | InitFlags::POSIX_ACL);
        assert_eq!((answer.minor, answer.max_readahead, answer.time_gran), (38, 131_072, 1));
        assert_eq!(answer.max_write, 4096);

        let (agreed, _) = agree(&offer(7, 31, InitFlags::all()), Changes::Anywhere);
        assert!(!agreed.flags.intersects(InitFlags::POSIX_ACL | InitFlags::NO_OPEN_SUPPORT));
        assert_eq!(agreed.minor, 31);
    }

    #[test]
    fn a_mount_for_writing_takes_what_it_needs_for_that() {
        let (agreed, answer) = agree(&offer(7, 45, InitFlags::all()), Changes::Here);
        assert!(agreed.flags.contains(WRITING | InitFlags::NO_OPENDIR_SUPPORT));
        assert!(!agreed.flags.contains(InitFlags::NO_OPEN_SUPPORT));
        assert_eq!((answer.flags >> 28 & 7, answer.flags2, answer.max_write), (7, 1 << 4, 1 << 20));
        let (agreed, _) = agree(&offer(7, 45, InitFlags::all()), Changes::Anywhere);
        assert!(!agreed.flags.intersects(InitFlags::NO_OPENDIR_SUPPORT | InitFlags::CACHE_SYMLINKS));
    }

    #[test]
    fn a_later_major_is_asked_again_and_an_old_kernel_refused() {
        let config = Config { posix_acl: true, changes: Changes::None };
        let again = negotiate(&offer(8, 3, InitFlags::all()), &config);
        assert!(matches!(again, Ok(Step::Again(out)) if (out.major, out.minor) == (7, 38)));
        for (major, minor) in [(7, 30), (6, 40), (0, 0)] {
            let refused = negotiate(&offer(major, minor, InitFlags::empty()), &config);
            assert!(matches!(refused, Err(SessionError::OldKernel { .. })), "{major}.{minor}");
        }
    }
}
