//! A block of every kind that an OCFS2 volume holds.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ocfs2_format::fuzz_bodies::free_bytes(bytes));
