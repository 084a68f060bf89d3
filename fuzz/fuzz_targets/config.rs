//! The target's configuration: a TOML file, and the options of a LUN and a portal on the command line.
#![no_main]

use std::path::Path;
use target::config::{LunConfig, ServeConfig, parse_portal};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let _ = ServeConfig::parse(Path::new("fuzz.toml"), text);
    let _ = LunConfig::parse(text);
    let _ = parse_portal(text);
});
