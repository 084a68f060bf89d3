//! SCSI commands: CDBs, sense, pages; no I/O
#![forbid(unsafe_code)]
