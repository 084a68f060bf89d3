//! iSCSI initiator: discovery, login, sessions that survive; a LUN as a BlockDevice
#![forbid(unsafe_code)]
