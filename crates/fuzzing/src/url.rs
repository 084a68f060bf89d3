//! Volume URLs. What parses is shown without its secret.

use initiator::{ChapEnv, IscsiName, PortalAddr, VolumeUrl};

pub(crate) fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    crate::keep(VolumeUrl::is_url(text));
    crate::keep(IscsiName::parse(text).map_err(|error| error.to_string()));
    crate::keep(text.parse::<PortalAddr>().map_err(|error| error.to_string()));
    match VolumeUrl::parse(text, &ChapEnv::default()) {
        Ok(url) => {
            assert!(!url.portals.is_empty(), "a URL has a host");
            crate::keep(format!("{url:?}"));
        }
        Err(error) => crate::keep(error.to_string()),
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let urls = [
        "iscsi://a%b@10.0.0.1:3260,[::1]/iqn.2026-01.a:b/1?target_user=c&target_password=d",
        "iscsi://host.example.com/iqn.2026-01.a:b%20c/0?header_digest=crc32c&data_digest=none",
        "iscsi://user:secret@127.0.0.1/eui.0123456789abcdef/16383",
        "127.0.0.1:3260",
        "iqn.2026-01.org.example:disk.one",
        "naa.52004567ba64678d",
    ];
    urls.map(|text| text.as_bytes().to_vec()).to_vec()
}
