//! iSCSI target: portals, LUNs, access control
#![forbid(unsafe_code)]
