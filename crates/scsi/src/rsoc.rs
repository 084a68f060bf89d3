//! REPORT SUPPORTED OPERATION CODES: the list of commands, and its encoding.

use zerocopy::byteorder::big_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::bits::{flag, len_u16, len_u32};
use crate::{Opcode, service_action};

/// Command descriptor of the all-commands form. Source: SPC-4, 6.35.2.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
struct RawDescriptor {
    opcode: u8,
    reserved: u8,
    action: U16,
    reserved2: u8,
    /// CTDP (1), SERVACTV (0).
    flags: u8,
    cdb_len: U16,
}
const _: () = assert!(size_of::<RawDescriptor>() == 8);

/// Head of the one-command form. Source: SPC-4, 6.35.3.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
struct RawOne {
    reserved: u8,
    /// CTDP (7), SUPPORT (2:0).
    support: u8,
    cdb_len: U16,
}
const _: () = assert!(size_of::<RawOne>() == 4);

/// Command timeouts descriptor, all "not told". Source: SPC-4, 6.35.4.
const NO_TIMEOUTS: [u8; 12] = [0, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// One command: its name on the wire, and the bits of its CDB that mean something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpcodeInfo {
    /// Operation code.
    pub opcode: Opcode,
    /// Service action, for operation codes that have them.
    pub action: Option<u8>,
    /// CDB usage data: first the operation code itself, then a bit for each that is looked at.
    pub usage: &'static [u8],
}

const fn plain(opcode: Opcode, usage: &'static [u8]) -> OpcodeInfo {
    OpcodeInfo { opcode, action: None, usage }
}

const fn with_action(opcode: Opcode, action: u8, usage: &'static [u8]) -> OpcodeInfo {
    OpcodeInfo { opcode, action: Some(action), usage }
}

const FF: u8 = 0xff;

/// Every command that this crate parses and a disk executes, in the order of their codes. A target leaves out what
/// a unit does not do.
pub const SUPPORTED: &[OpcodeInfo] = &[
    plain(Opcode::TEST_UNIT_READY, &[0x00, 0, 0, 0, 0, 0]),
    plain(Opcode::REQUEST_SENSE, &[0x03, 0x01, 0, 0, FF, 0]),
    plain(Opcode::READ_6, &[0x08, 0x1f, FF, FF, FF, 0]),
    plain(Opcode::WRITE_6, &[0x0a, 0x1f, FF, FF, FF, 0]),
    plain(Opcode::INQUIRY, &[0x12, 0x01, FF, FF, FF, 0]),
    plain(Opcode::MODE_SELECT_6, &[0x15, 0x11, 0, 0, FF, 0]),
    plain(Opcode::MODE_SENSE_6, &[0x1a, 0x08, FF, FF, FF, 0]),
    plain(Opcode::START_STOP_UNIT, &[0x1b, 0x01, 0, 0x0f, 0xf7, 0]),
    plain(Opcode::PREVENT_ALLOW_MEDIUM_REMOVAL, &[0x1e, 0, 0, 0, 0x03, 0]),
    plain(Opcode::READ_CAPACITY_10, &[0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
    plain(Opcode::READ_10, &[0x28, 0xf8, FF, FF, FF, FF, 0x1f, FF, FF, 0]),
    plain(Opcode::WRITE_10, &[0x2a, 0xf8, FF, FF, FF, FF, 0x1f, FF, FF, 0]),
    plain(Opcode::WRITE_AND_VERIFY_10, &[0x2e, 0xf6, FF, FF, FF, FF, 0x1f, FF, FF, 0]),
    plain(Opcode::VERIFY_10, &[0x2f, 0xf6, FF, FF, FF, FF, 0x1f, FF, FF, 0]),
    plain(Opcode::PRE_FETCH_10, &[0x34, 0x02, FF, FF, FF, FF, 0x1f, FF, FF, 0]),
    plain(Opcode::SYNCHRONIZE_CACHE_10, &[0x35, 0x02, FF, FF, FF, FF, 0x1f, FF, FF, 0]),
    plain(Opcode::WRITE_SAME_10, &[0x41, 0xf8, FF, FF, FF, FF, 0x1f, FF, FF, 0]),
    plain(Opcode::UNMAP, &[0x42, 0x01, 0, 0, 0, 0, 0x1f, FF, FF, 0]),
    plain(Opcode::MODE_SELECT_10, &[0x55, 0x11, 0, 0, 0, 0, 0, FF, FF, 0]),
    plain(Opcode::MODE_SENSE_10, &[0x5a, 0x18, FF, FF, 0, 0, 0, FF, FF, 0]),
    with_action(Opcode::PERSISTENT_RESERVE_IN, 0x00, &[0x5e, 0x1f, 0, 0, 0, 0, 0, FF, FF, 0]),
    with_action(Opcode::PERSISTENT_RESERVE_IN, 0x01, &[0x5e, 0x1f, 0, 0, 0, 0, 0, FF, FF, 0]),
    with_action(Opcode::PERSISTENT_RESERVE_IN, 0x02, &[0x5e, 0x1f, 0, 0, 0, 0, 0, FF, FF, 0]),
    with_action(Opcode::PERSISTENT_RESERVE_IN, 0x03, &[0x5e, 0x1f, 0, 0, 0, 0, 0, FF, FF, 0]),
    plain(Opcode::READ_16, &[0x88, 0xf8, FF, FF, FF, FF, FF, FF, FF, FF, FF, FF, FF, FF, 0x1f, 0]),
    plain(Opcode::COMPARE_AND_WRITE, &[0x89, 0xf8, FF, FF, FF, FF, FF, FF, FF, FF, 0, 0, 0, FF, 0x1f, 0]),
    plain(Opcode::WRITE_16, &[0x8a, 0xf8, FF, FF, FF, FF, FF, FF, FF, FF, FF, FF, FF, FF, 0x1f, 0]),
    plain(Opcode::ORWRITE_16, &[0x8b, 0xf8, FF, FF, FF, FF, FF, FF, FF, FF, FF, FF, FF, FF, 0x1f, 0]),
    plain(
        Opcode::WRITE_AND_VERIFY_16,
        &[0x8e, 0xf6, FF, FF, FF, FF, FF, FF, FF, FF, FF, FF, FF, FF, 0x1f, 0],
    ),
    plain(Opcode::VERIFY_16, &[0x8f, 0xf6, FF, FF, FF, FF, FF, FF, FF, FF, FF, FF, FF, FF, 0x1f, 0]),
    plain(Opcode::PRE_FETCH_16, &[0x90, 0x02, FF, FF, FF, FF, FF, FF, FF, FF, FF, FF, FF, FF, 0x1f, 0]),
    plain(
        Opcode::SYNCHRONIZE_CACHE_16,
        &[0x91, 0x02, FF, FF, FF, FF, FF, FF, FF, FF, FF, FF, FF, FF, 0x1f, 0],
    ),
    plain(Opcode::WRITE_SAME_16, &[0x93, 0xf9, FF, FF, FF, FF, FF, FF, FF, FF, FF, FF, FF, FF, 0x1f, 0]),
    with_action(
        Opcode::SERVICE_ACTION_IN_16,
        service_action::READ_CAPACITY_16,
        &[0x9e, 0x1f, 0, 0, 0, 0, 0, 0, 0, 0, FF, FF, FF, FF, 0, 0],
    ),
    plain(Opcode::REPORT_LUNS, &[0xa0, 0, FF, 0, 0, 0, FF, FF, FF, FF, 0, 0]),
    with_action(
        Opcode::MAINTENANCE_IN,
        service_action::REPORT_SUPPORTED_OPERATION_CODES,
        &[0xa3, 0x1f, 0x87, FF, FF, FF, FF, FF, FF, FF, 0, 0],
    ),
    plain(Opcode::READ_12, &[0xa8, 0xf8, FF, FF, FF, FF, FF, FF, FF, FF, 0x1f, 0]),
    plain(Opcode::WRITE_12, &[0xaa, 0xf8, FF, FF, FF, FF, FF, FF, FF, FF, 0x1f, 0]),
    plain(Opcode::WRITE_AND_VERIFY_12, &[0xae, 0xf6, FF, FF, FF, FF, FF, FF, FF, FF, 0x1f, 0]),
    plain(Opcode::VERIFY_12, &[0xaf, 0xf6, FF, FF, FF, FF, FF, FF, FF, FF, 0x1f, 0]),
];

/// The entry of an operation code, with its service action where it has them.
pub fn find(list: &[OpcodeInfo], opcode: u8, action: Option<u16>) -> Option<&OpcodeInfo> {
    list.iter().find(|info| info.opcode.0 == opcode && info.action.map(u16::from) == action)
}

/// The all-commands form, with command timeouts descriptors where they are asked for.
pub fn encode_all(list: &[OpcodeInfo], timeouts: bool) -> Vec<u8> {
    let mut descriptors = Vec::new();
    for info in list {
        let raw = RawDescriptor {
            opcode: info.opcode.0,
            reserved: 0,
            action: U16::new(info.action.unwrap_or(0).into()),
            reserved2: 0,
            flags: flag(timeouts, 0x02) | flag(info.action.is_some(), 0x01),
            cdb_len: U16::new(len_u16(info.usage.len())),
        };
        descriptors.extend_from_slice(raw.as_bytes());
        if timeouts {
            descriptors.extend_from_slice(&NO_TIMEOUTS);
        }
    }
    let mut bytes = U32::new(len_u32(descriptors.len())).as_bytes().to_vec();
    bytes.append(&mut descriptors);
    bytes
}

/// The one-command form: supported as the standard says, or not supported.
pub fn encode_one(info: Option<&OpcodeInfo>, timeouts: bool) -> Vec<u8> {
    let Some(info) = info else {
        return RawOne { reserved: 0, support: 0x01, cdb_len: U16::new(0) }.as_bytes().to_vec();
    };
    let cdb_len = U16::new(len_u16(info.usage.len()));
    let mut bytes = RawOne { reserved: 0, support: flag(timeouts, 0x80) | 0x03, cdb_len }.as_bytes().to_vec();
    bytes.extend_from_slice(info.usage);
    if timeouts {
        bytes.extend_from_slice(&NO_TIMEOUTS);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::{SUPPORTED, encode_all, encode_one, find};
    use crate::Command;

    #[test]
    fn the_list_is_in_order_and_of_the_right_lengths() {
        assert!(SUPPORTED.is_sorted_by_key(|info| (info.opcode.0, info.action)));
        for info in SUPPORTED {
            assert_eq!(info.usage[0], info.opcode.0);
            assert_eq!(Some(info.usage.len()), info.opcode.cdb_len());
        }
    }

    #[test]
    fn every_listed_command_parses() {
        for info in SUPPORTED {
            let mut cdb = vec![0; info.usage.len()];
            cdb[0] = info.opcode.0;
            cdb[1] = info.action.unwrap_or(0);
            assert!(Command::parse(&cdb).is_ok(), "{info:?}");
        }
    }

    #[test]
    fn every_parsed_command_is_listed() {
        // GET LBA STATUS and PERSISTENT RESERVE OUT are parsed, and listed once a target executes them; the service
        // actions of PERSISTENT RESERVE IN are the target's to judge.
        let unlisted = [(0x9e, 0x12), (0x5e, 0), (0x5f, 0)];
        for opcode in 0..=255u8 {
            for action in 0..32u8 {
                let mut cdb = [0; 16];
                (cdb[0], cdb[1]) = (opcode, action);
                let has_actions = matches!(opcode, 0x9e | 0xa3 | 0x5e | 0x5f);
                let listed = find(SUPPORTED, opcode, has_actions.then(|| action.into())).is_some();
                let parses = Command::parse(&cdb).is_ok();
                if unlisted.iter().any(|(op, sa)| *op == opcode && (*sa == action || opcode != 0x9e)) {
                    continue;
                }
                if has_actions || action == 0 {
                    assert_eq!(listed, parses, "operation code {opcode:#x} action {action:#x}");
                }
            }
        }
    }

    #[test]
    fn forms() {
        let all = encode_all(SUPPORTED, false);
        assert_eq!(all.len(), 4 + 8 * SUPPORTED.len());
        assert_eq!(encode_all(SUPPORTED, true).len(), 4 + 20 * SUPPORTED.len());
        assert_eq!(encode_one(None, true), [0, 1, 0, 0]);
        assert_eq!(encode_one(find(SUPPORTED, 0, None), false), [0, 3, 0, 6, 0, 0, 0, 0, 0, 0]);
    }
}
