//! iSCSI (RFC 7143): PDUs, keys, login, windows, both ends; no I/O
#![forbid(unsafe_code)]
