//! The oxsan command
#![forbid(unsafe_code)]

fn main() {}
