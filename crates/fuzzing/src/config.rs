//! The target's configuration: a TOML file, and the options of a LUN, a portal and a user on the command line.

use std::path::Path;

use target::config::{ChapConfig, LunConfig, ServeConfig, parse_portal};

pub(crate) fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    crate::keep(ServeConfig::parse(Path::new("fuzz.toml"), text).map_err(|error| error.to_string()));
    crate::keep(LunConfig::parse(text).map_err(|error| error.to_string()));
    crate::keep(parse_portal(text).map_err(|error| error.to_string()));
    crate::keep(ChapConfig::parse(text).map_err(|error| error.to_string()));
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let whole = r#"iqn = "iqn.2026-01.com.example:disk1"
alias = "a disk"
insecure = false
portals = ["10.0.0.1:3260", "[::1]:3260"]
allow = ["iqn.1993-08.org.debian:01:node0"]

[[lun]]
path = "/srv/disk1.img"
lun = 3
size = "100G"
block_size = 4096
serial = "abc"

[[lun]]
path = "/srv/disk2.img"
read_only = true
size = 1073741824

[[chap]]
name = "user"
secret_file = "/etc/oxsan/chap-user"

[mutual]
name = "target"
secret = "secretsecret1"
"#;
    let short = [
        whole,
        "iqn = \"iqn.2026-01.a:b\"\n[[lun]]\npath = \"/a\"\n",
        "[[chap]]\nname = \"u\"",
        "/srv/disk.img,ro,size=100G,bs=4096,serial=abc,lun=7",
        "[fe80::1]:3260",
        "user%secret",
        "user:/etc/secret",
    ];
    short.map(|text| text.as_bytes().to_vec()).to_vec()
}
