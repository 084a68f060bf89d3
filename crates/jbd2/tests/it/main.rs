//! The logs of machines that were killed, against what debugfs.ocfs2 shows of them and what the kernel made of them;
//! and logs that we wrote, which fsck.ocfs2 replays.

mod dirty_volumes;
mod volume;
mod written;
