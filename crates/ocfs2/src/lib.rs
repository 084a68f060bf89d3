//! The OCFS2 filesystem over any BlockDevice
#![forbid(unsafe_code)]
