//! A journal, superblock and log, with blocks of 512 bytes (so that a short input holds many), or of 4096.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    drop(jbd2::fuzz_bodies::journal(bytes, 512));
    drop(jbd2::fuzz_bodies::journal(bytes, 4096));
});
