//! An OCFS2 volume as a FUSE mount, over a transport of our own
#![forbid(unsafe_code)]
