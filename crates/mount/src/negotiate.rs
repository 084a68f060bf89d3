//! INIT: choosing version and features.

use crate::abi::{InitFlags, MAJOR, MIN_MINOR, MINOR, RawInitIn, RawInitOut};
use crate::{Config, SessionError};

/// Read-only mounts are sent no WRITE; the protocol wants room for a page all the same.
const MAX_WRITE: u32 = 4096;
/// Pages in a request: 1 MiB, the most that kernels allow by default.
const MAX_PAGES: u16 = 256;
/// The longest READ, in bytes.
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
pub(crate) fn negotiate(offer: &RawInitIn, config: &Config) -> Result<Step, SessionError> {
    let mut answer = RawInitOut {
        major: MAJOR,
        minor: MINOR.min(offer.minor),
        max_readahead: offer.max_readahead,
        flags: 0,
        max_background: MAX_BACKGROUND,
        congestion_threshold: MAX_BACKGROUND / 4 * 3,
        max_write: MAX_WRITE,
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
    let flags = wanted(config) & InitFlags::from_bits_retain(u64::from(offer.flags));
    answer.flags = low_half(flags);
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
    flags.set(InitFlags::CACHE_SYMLINKS, config.unchanging);
    flags.set(InitFlags::NO_OPEN_SUPPORT | InitFlags::NO_OPENDIR_SUPPORT, config.unchanging);
    flags
}

/// The flags that travel in `flags`; none of ours lies above them.
fn low_half(flags: InitFlags) -> u32 {
    u32::try_from(flags.bits() & u64::from(u32::MAX)).expect("masked to 32 bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(major: u32, minor: u32, flags: u32) -> RawInitIn {
        RawInitIn { major, minor, max_readahead: 131_072, flags }
    }

    #[test]
    fn takes_only_what_is_offered_and_wanted() {
        let all = Config { posix_acl: true, unchanging: true };
        let offered = InitFlags::ASYNC_READ | InitFlags::POSIX_ACL | InitFlags::from_bits_retain(1 << 16);
        let Ok(Step::Done(agreed, answer)) = negotiate(&offer(7, 45, low_half(offered)), &all) else {
            panic!("agreed")
        };
        assert_eq!(agreed.flags, InitFlags::ASYNC_READ | InitFlags::POSIX_ACL);
        assert_eq!((answer.minor, answer.max_readahead, answer.time_gran), (38, 131_072, 1));

        let plain = Config { posix_acl: false, unchanging: false };
        let Ok(Step::Done(agreed, _)) = negotiate(&offer(7, 31, u32::MAX), &plain) else { panic!("agreed") };
        assert!(!agreed.flags.intersects(InitFlags::POSIX_ACL | InitFlags::NO_OPEN_SUPPORT));
        assert_eq!(agreed.minor, 31);
    }

    #[test]
    fn a_later_major_is_asked_again_and_an_old_kernel_refused() {
        let config = Config { posix_acl: true, unchanging: true };
        let again = negotiate(&offer(8, 3, u32::MAX), &config);
        assert!(matches!(again, Ok(Step::Again(out)) if (out.major, out.minor) == (7, 38)));
        for (major, minor) in [(7, 30), (6, 40), (0, 0)] {
            let refused = negotiate(&offer(major, minor, 0), &config);
            assert!(matches!(refused, Err(SessionError::OldKernel { .. })), "{major}.{minor}");
        }
    }
}
