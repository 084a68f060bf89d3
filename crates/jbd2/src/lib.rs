//! The JBD2 journal: log format and replay
#![forbid(unsafe_code)]
