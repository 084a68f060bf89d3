//! Every OCFS2 on-disk structure, checked; checksums; no I/O
#![forbid(unsafe_code)]
