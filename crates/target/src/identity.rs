//! The names of a unit: serial number and worldwide name, the same after every restart.

use std::fmt::Write as _;

use scsi::vpd::{Association, CodeSet, Designator, DesignatorKind, DeviceId};
use sha2::{Digest, Sha256};

/// T10 vendor identification of all units.
pub(crate) const VENDOR: &str = "OXSAN";

/// Company id of our NAA-6 names: locally administered (bit 1 of the first byte), as nobody assigned us one.
const COMPANY: [u8; 3] = [0x02, 0x6f, 0x78];

/// The names of one unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Unit serial number, VPD page 80h.
    pub serial: String,
    /// NAA-6 name, VPD page 83h.
    pub naa: [u8; 16],
}

impl Identity {
    /// Names that follow from a serial number alone: two targets that serve the same bytes under the same serial
    /// number serve the same unit, and multipath puts them together.
    pub fn from_serial(serial: &str) -> Self {
        Self { serial: serial.into(), naa: naa(&digest(&["serial", serial])) }
    }

    /// Names that follow from where the unit is: target name, LUN, and what lies behind it (a canonical path).
    pub fn from_place(iqn: &str, lun: u16, backing: &str) -> Self {
        let digest = digest(&["place", iqn, &lun.to_string(), backing]);
        let serial = digest.iter().take(8).fold(String::new(), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        });
        Self { serial, naa: naa(&digest) }
    }

    /// The worldwide name as udev and multipath write it: `3` and hexadecimal.
    pub fn wwid(&self) -> String {
        self.naa.iter().fold(String::from("3"), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    /// The device identification page, for a unit of this target and portal group.
    pub(crate) fn device_id(&self, iqn: &str, tag: u16) -> DeviceId {
        let t10 = format!("{VENDOR:<8}{}", self.serial).into_bytes();
        let name = |association, name: String| {
            let mut bytes = name.into_bytes();
            // SCSI name strings end with zeroes, and are a multiple of four long.
            bytes.resize((bytes.len() + 1).next_multiple_of(4), 0);
            Designator {
                protocol: Some(ISCSI),
                code_set: CodeSet::Utf8,
                association,
                kind: DesignatorKind::Name,
                bytes,
            }
        };
        let port = Designator {
            protocol: Some(ISCSI),
            code_set: CodeSet::Binary,
            association: Association::Port,
            kind: DesignatorKind::RelativePort,
            bytes: vec![0, 0, 0, 1],
        };
        DeviceId(vec![
            Designator::unit(DesignatorKind::Naa, CodeSet::Binary, self.naa.to_vec()),
            Designator::unit(DesignatorKind::T10, CodeSet::Ascii, t10),
            port,
            name(Association::Port, format!("{iqn},t,0x{tag:04x}")),
            name(Association::Target, iqn.to_owned()),
        ])
    }
}

/// Protocol identifier of iSCSI.
const ISCSI: u8 = 5;

fn digest(parts: &[&str]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        // The length first, so that no two lists of parts run together to the same bytes.
        hash.update(part.len().to_string());
        hash.update(":");
        hash.update(part);
    }
    hash.finalize().into()
}

fn naa(digest: &[u8; 32]) -> [u8; 16] {
    let mut name = [0; 16];
    name.copy_from_slice(&digest[..16]);
    let [a, b, c] = COMPANY;
    name[0] = 0x60 | a >> 4;
    name[1] = a << 4 | b >> 4;
    name[2] = b << 4 | c >> 4;
    name[3] = c << 4 | name[3] & 0x0f;
    name
}

#[cfg(test)]
mod tests {
    use super::Identity;

    /// Names that were given must never change: a host's multipath.conf and fstab hold them.
    #[test]
    fn pinned() {
        let id = Identity::from_place("iqn.2026-01.test:one", 1, "/srv/one.img");
        let page = id.device_id("iqn.2026-01.test:one", 1);
        assert_eq!(page.wwid().unwrap().to_string(), "36026f78e655d0e00c71748423e76a197");
        assert_eq!(Identity::from_serial("abc").serial, "abc");
    }

    #[test]
    fn different_places_differ() {
        let one = Identity::from_place("iqn.a", 1, "/x");
        for other in [
            Identity::from_place("iqn.b", 1, "/x"),
            Identity::from_place("iqn.a", 2, "/x"),
            Identity::from_place("iqn.a", 1, "/y"),
        ] {
            assert_ne!(one.naa, other.naa);
            assert_ne!(one.serial, other.serial);
        }
        assert_eq!(one, Identity::from_place("iqn.a", 1, "/x"));
    }
}
