//! Volume URLs. What parses is shown without its secret.
#![no_main]

use initiator::{ChapEnv, VolumeUrl};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let _ = VolumeUrl::is_url(text);
    let _ = VolumeUrl::parse(text, &ChapEnv::default());
});
