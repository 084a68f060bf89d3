//! The time of reading: when it is worth a change.

use std::time::Duration;

use ocfs2::{Inode, Timestamp};

use crate::Atime;

/// `FS_NOATIME_FL` of `lsattr`.
const NOATIME: u32 = 0x80;
/// Of two readings a day apart the second counts, even relative to no change.
const DAY: i64 = 86_400;

/// Which readings leave their time.
#[derive(Clone, Copy, Debug)]
pub(super) struct AtimePolicy {
    pub(super) atime: Atime,
    pub(super) directories: bool,
    pub(super) quantum: Duration,
}

impl AtimePolicy {
    /// Whether a reading of `inode` at `now` changes its atime, as in `ocfs2_should_update_atime` and
    /// `relatime_need_update`.
    pub(super) fn wants(&self, inode: &Inode, directory: bool, now: Timestamp) -> bool {
        let attr = inode.attr();
        if attr.flags & NOATIME != 0 || directory && !self.directories {
            return false;
        }
        let old = |time: Timestamp| (time.seconds, time.nanos);
        match self.atime {
            Atime::Never => false,
            Atime::Relative => {
                let atime = old(attr.atime);
                atime <= old(attr.mtime)
                    || atime <= old(attr.ctime)
                    || now.seconds.saturating_sub(attr.atime.seconds) >= DAY
            }
            Atime::Always => {
                let quantum = i64::try_from(self.quantum.as_secs()).unwrap_or(i64::MAX);
                now.seconds.saturating_sub(attr.atime.seconds) > quantum || quantum == 0
            }
        }
    }
}
