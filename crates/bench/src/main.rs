//! oxsan measured beside its peers
#![forbid(unsafe_code)]

fn main() {}
