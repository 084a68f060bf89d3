//! The logs of machines that were killed, against what debugfs.ocfs2 shows of them and what the kernel made of them.

mod dirty_volumes;
mod volume;
