//! CDBs as they lie: one structure for each layout. All integers are big-endian.

use std::mem::offset_of;
use zerocopy::byteorder::big_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

macro_rules! layout {
    ($(#[$doc:meta])* $name:ident, $size:literal { $($field:ident: $ty:ty),* $(,)? } $($at:ident = $offset:literal),*) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
        #[repr(C)]
        pub(super) struct $name { $(pub(super) $field: $ty),* }
        const _: () = assert!(size_of::<$name>() == $size);
        $(const _: () = assert!(offset_of!($name, $at) == $offset);)*
    };
}

layout! {
    /// READ(6), WRITE(6): the LBA has 21 bits, and 0 blocks means 256.
    RawRw6, 6 { opcode: u8, lba_high: u8, lba: U16, blocks: u8, control: u8 } blocks = 4
}
layout! {
    /// READ(10) and all that looks like it.
    RawRw10, 10 { opcode: u8, flags: u8, lba: U32, group: u8, blocks: U16, control: u8 } lba = 2, blocks = 7
}
layout! {
    /// READ(12) and all that looks like it.
    RawRw12, 12 { opcode: u8, flags: u8, lba: U32, blocks: U32, group: u8, control: u8 } lba = 2, blocks = 6
}
layout! {
    /// READ(16) and all that looks like it.
    RawRw16, 16 { opcode: u8, flags: u8, lba: U64, blocks: U32, group: u8, control: u8 } lba = 2, blocks = 10
}
layout! {
    /// COMPARE AND WRITE.
    RawCompare, 16 { opcode: u8, flags: u8, lba: U64, reserved: [u8; 3], blocks: u8, group: u8, control: u8 } blocks = 13
}
layout! {
    /// TEST UNIT READY, REQUEST SENSE, START STOP UNIT, MODE SELECT(6), MODE SENSE(6), PREVENT ALLOW MEDIUM REMOVAL.
    RawSix, 6 { opcode: u8, flags: u8, byte2: u8, byte3: u8, byte4: u8, control: u8 } control = 5
}
layout! {
    /// INQUIRY.
    RawInquiry, 6 { opcode: u8, flags: u8, page: u8, alloc_len: U16, control: u8 } alloc_len = 3
}
layout! {
    /// MODE SENSE(10), MODE SELECT(10).
    RawMode10, 10 { opcode: u8, flags: u8, page: u8, subpage: u8, reserved: [u8; 3], len: U16, control: u8 } len = 7
}
layout! {
    /// UNMAP.
    RawUnmap, 10 { opcode: u8, flags: u8, reserved: [u8; 4], group: u8, param_len: U16, control: u8 } param_len = 7
}
layout! {
    /// PERSISTENT RESERVE IN.
    RawPrIn, 10 { opcode: u8, action: u8, reserved: [u8; 5], alloc_len: U16, control: u8 } alloc_len = 7
}
layout! {
    /// PERSISTENT RESERVE OUT.
    RawPrOut, 10 { opcode: u8, action: u8, scope_type: u8, reserved: [u8; 2], param_len: U32, control: u8 } param_len = 5
}
layout! {
    /// SERVICE ACTION IN(16): READ CAPACITY(16), GET LBA STATUS.
    RawServiceIn16, 16 { opcode: u8, action: u8, lba: U64, alloc_len: U32, flags: u8, control: u8 } alloc_len = 10
}
layout! {
    /// REPORT LUNS.
    RawReportLuns, 12 { opcode: u8, reserved: u8, select: u8, reserved2: [u8; 3], alloc_len: U32, reserved3: u8, control: u8 } alloc_len = 6
}
layout! {
    /// REPORT SUPPORTED OPERATION CODES.
    RawReportOpcodes, 12 { opcode: u8, action: u8, options: u8, requested: u8, requested_action: U16, alloc_len: U32, reserved: u8, control: u8 } alloc_len = 6
}
