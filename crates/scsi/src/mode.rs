//! Mode parameters: what MODE SENSE answers.

use std::mem::offset_of;
use zerocopy::byteorder::big_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::ParseError;
use crate::bits::{flag, head, len_u8, len_u16};

/// Mode parameter header of the (6) form. Source: SPC-4, 7.5.5.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
struct RawHeader6 {
    /// Bytes after this field.
    len: u8,
    medium: u8,
    /// WP (7), DPOFUA (4).
    device: u8,
    descriptors_len: u8,
}
const _: () = assert!(size_of::<RawHeader6>() == 4);

/// Mode parameter header of the (10) form.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
struct RawHeader10 {
    /// Bytes after this field.
    len: U16,
    medium: u8,
    /// WP (7), DPOFUA (4).
    device: u8,
    /// LONGLBA (0).
    flags: u8,
    reserved: u8,
    descriptors_len: U16,
}
const _: () = assert!(size_of::<RawHeader10>() == 8);

/// Short LBA block descriptor. Source: SBC-3, 6.5.2.2.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
struct RawShortDescriptor {
    blocks: U32,
    /// Reserved (31:24), block length (23:0).
    block_len: U32,
}
const _: () = assert!(size_of::<RawShortDescriptor>() == 8);

/// Long LBA block descriptor. Source: SBC-3, 6.5.2.3.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
struct RawLongDescriptor {
    blocks: U64,
    reserved: U32,
    block_len: U32,
}
const _: () = assert!(size_of::<RawLongDescriptor>() == 16);

/// Code and subpage of a mode page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PageCode {
    /// Page code, 0 to 3eh.
    pub page: u8,
    /// Subpage code; 0 for pages without subpages.
    pub subpage: u8,
}

impl PageCode {
    /// Read-write error recovery.
    pub const READ_WRITE_ERROR: Self = Self { page: 0x01, subpage: 0 };
    /// Caching.
    pub const CACHING: Self = Self { page: 0x08, subpage: 0 };
    /// Control.
    pub const CONTROL: Self = Self { page: 0x0a, subpage: 0 };
    /// Informational exceptions control.
    pub const EXCEPTIONS: Self = Self { page: 0x1c, subpage: 0 };
}

/// One mode page: code and the bytes after its length field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModePage {
    /// Which page.
    pub code: PageCode,
    /// It can be saved (PS).
    pub savable: bool,
    /// Its parameters.
    pub body: Vec<u8>,
}

/// The whole answer to MODE SENSE, or the list of MODE SELECT.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModeData {
    /// The unit refuses writes (WP).
    pub write_protected: bool,
    /// DPO and FUA are supported (DPOFUA).
    pub dpo_fua: bool,
    /// Blocks of the unit and bytes of a block, where there is a block descriptor.
    pub descriptor: Option<(u64, u32)>,
    /// The pages, in their order.
    pub pages: Vec<ModePage>,
}

impl ModeData {
    /// The bytes in the (10) or (6) form. `long_lba` chooses the descriptor of 64-bit counts, (10) only; the short
    /// one says 2^32 - 1 for more blocks than it can.
    pub fn encode(&self, ten: bool, long_lba: bool) -> Vec<u8> {
        let long = ten && long_lba;
        let descriptor = self.descriptor.map_or_else(Vec::new, |at| block_descriptor(at, long));
        let pages: Vec<u8> = self.pages.iter().flat_map(ModePage::encode).collect();
        let after = descriptor.len().saturating_add(pages.len());
        let device = flag(self.write_protected, 0x80) | flag(self.dpo_fua, 0x10);
        let mut bytes = if ten {
            RawHeader10 {
                len: U16::new(len_u16(after.saturating_add(6))),
                medium: 0,
                device,
                flags: flag(long && self.descriptor.is_some(), 0x01),
                reserved: 0,
                descriptors_len: U16::new(len_u16(descriptor.len())),
            }
            .as_bytes()
            .to_vec()
        } else {
            let len = len_u8(after.saturating_add(3));
            let descriptors_len = len_u8(descriptor.len());
            RawHeader6 { len, medium: 0, device, descriptors_len }.as_bytes().to_vec()
        };
        bytes.extend_from_slice(&descriptor);
        bytes.extend_from_slice(&pages);
        bytes
    }

    /// Reads the bytes of the (10) or (6) form, as far as they came: a page that the allocation length cut is left
    /// out. In a MODE SELECT list the length field is reserved, so it is not looked at.
    ///
    /// # Errors
    /// [`ParseError`] where the header or the block descriptor it tells of is not whole.
    pub fn parse(bytes: &[u8], ten: bool) -> Result<Self, ParseError> {
        const WHAT: &str = "mode parameter list";
        let (device, long, header_len, descriptors_len) = if ten {
            let raw: RawHeader10 = head(bytes, WHAT)?;
            let long = raw.flags & 0x01 != 0;
            (raw.device, long, size_of::<RawHeader10>(), usize::from(raw.descriptors_len.get()))
        } else {
            let raw: RawHeader6 = head(bytes, WHAT)?;
            (raw.device, false, size_of::<RawHeader6>(), usize::from(raw.descriptors_len))
        };
        let at = header_len.saturating_add(descriptors_len);
        let descriptors = bytes.get(header_len..at).ok_or(ParseError::Field {
            what: WHAT,
            field: "block descriptor length",
            value: u64::try_from(descriptors_len).unwrap_or(u64::MAX),
        })?;
        Ok(Self {
            write_protected: device & 0x80 != 0,
            dpo_fua: device & 0x10 != 0,
            descriptor: first_descriptor(descriptors, long)?,
            pages: pages(bytes.get(at..).unwrap_or(&[])),
        })
    }

    /// The page of this code, if it is there.
    pub fn page(&self, code: PageCode) -> Option<&ModePage> {
        self.pages.iter().find(|page| page.code == code)
    }
}

fn block_descriptor((blocks, block_len): (u64, u32), long: bool) -> Vec<u8> {
    if long {
        let raw = RawLongDescriptor {
            blocks: U64::new(blocks),
            reserved: U32::new(0),
            block_len: U32::new(block_len),
        };
        return raw.as_bytes().to_vec();
    }
    let raw = RawShortDescriptor {
        blocks: U32::new(u32::try_from(blocks).unwrap_or(u32::MAX)),
        block_len: U32::new(block_len & 0x00ff_ffff),
    };
    raw.as_bytes().to_vec()
}

fn first_descriptor(bytes: &[u8], long: bool) -> Result<Option<(u64, u32)>, ParseError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    if long {
        let raw: RawLongDescriptor = head(bytes, "long LBA block descriptor")?;
        return Ok(Some((raw.blocks.get(), raw.block_len.get())));
    }
    let raw: RawShortDescriptor = head(bytes, "short LBA block descriptor")?;
    Ok(Some((raw.blocks.get().into(), raw.block_len.get() & 0x00ff_ffff)))
}

fn pages(mut rest: &[u8]) -> Vec<ModePage> {
    let mut pages = Vec::new();
    loop {
        let (code, len, from) = match *rest {
            [first, subpage, high, low, ..] if first & 0x40 != 0 => {
                let code = PageCode { page: first & 0x3f, subpage };
                (code, u16::from_be_bytes([high, low]).into(), 4)
            }
            [first, len, ..] if first & 0x40 == 0 => {
                (PageCode { page: first & 0x3f, subpage: 0 }, usize::from(len), 2usize)
            }
            _ => return pages,
        };
        let Some(body) = rest.get(from..from.saturating_add(len)) else { return pages };
        let savable = rest.first().is_some_and(|first| first & 0x80 != 0);
        pages.push(ModePage { code, savable, body: body.to_vec() });
        rest = rest.get(from.saturating_add(len)..).unwrap_or(&[]);
    }
}

impl ModePage {
    /// A page that cannot be saved.
    pub fn new(code: PageCode, body: Vec<u8>) -> Self {
        Self { code, savable: false, body }
    }

    /// The page with its head. Pages with a subpage code have the longer head.
    fn encode(&self) -> Vec<u8> {
        let first = flag(self.savable, 0x80) | self.code.page & 0x3f;
        let mut bytes = if self.code.subpage == 0 {
            vec![first, len_u8(self.body.len())]
        } else {
            let [high, low] = len_u16(self.body.len()).to_be_bytes();
            vec![first | 0x40, self.code.subpage, high, low]
        };
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// Body of the Caching page. Source: SBC-3, 6.5.5.
#[derive(Clone, Copy, Debug, Default, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
struct RawCaching {
    /// IC (7), ABPF, CAP, DISC, SIZE, WCE (2), MF, RCD (0).
    flags: u8,
    retention: u8,
    prefetch: [u8; 8],
    /// FSW (7), LBCSS, DRA (5), NV_DIS (0).
    flags12: u8,
    segments: u8,
    segment_size: U16,
    reserved: u8,
    obsolete: [u8; 3],
}
const _: () = assert!(size_of::<RawCaching>() == 18);
const _: () = assert!(offset_of!(RawCaching, flags12) == 10);

/// The Caching page, as far as it matters to a disk in software.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CachingPage {
    /// Writes may be answered before they are stable (WCE): initiators must flush.
    pub write_cache: bool,
    /// Reads always go to the medium (RCD).
    pub read_cache_disabled: bool,
}

impl CachingPage {
    /// The page.
    pub fn encode(&self) -> ModePage {
        let flags = flag(self.write_cache, 0x04) | flag(self.read_cache_disabled, 0x01);
        let raw = RawCaching { flags, ..RawCaching::default() };
        ModePage::new(PageCode::CACHING, raw.as_bytes().to_vec())
    }

    /// Reads the page.
    ///
    /// # Errors
    /// [`ParseError`] for another or an empty page.
    pub fn parse(page: &ModePage) -> Result<Self, ParseError> {
        let flags = page_byte(page, PageCode::CACHING, 0, "Caching mode page")?;
        Ok(Self { write_cache: flags & 0x04 != 0, read_cache_disabled: flags & 0x01 != 0 })
    }
}

/// Body of the Control page. Source: SPC-4, 7.5.8.
#[derive(Clone, Copy, Debug, Default, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
struct RawControl {
    /// TST (7:5), TMF_ONLY (4), DPICZ (3), D_SENSE (2), GLTSD (1), RLEC (0).
    flags2: u8,
    /// Queue algorithm modifier (7:4), NUAR (3), QERR (2:1).
    flags3: u8,
    /// RAC (6), UA_INTLCK_CTRL (5:4), SWP (3).
    flags4: u8,
    /// ATO (7), TAS (6), ATMPE (5), RWWP (4), AUTOLOAD MODE (2:0).
    flags5: u8,
    obsolete: U16,
    busy_timeout: U16,
    selftest_time: U16,
}
const _: () = assert!(size_of::<RawControl>() == 10);

/// The Control page, as far as it matters to a disk in software.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ControlPage {
    /// Sense data comes in descriptor format (D_SENSE).
    pub descriptor_sense: bool,
    /// Commands may be reordered as the device likes (queue algorithm modifier 1).
    pub unrestricted_reordering: bool,
    /// Software write protection is on (SWP).
    pub write_protect: bool,
    /// Commands aborted by another initiator end in TASK ABORTED (TAS).
    pub task_aborted_status: bool,
}

impl ControlPage {
    /// The page.
    pub fn encode(&self) -> ModePage {
        let raw = RawControl {
            flags2: flag(self.descriptor_sense, 0x04),
            flags3: flag(self.unrestricted_reordering, 0x10),
            flags4: flag(self.write_protect, 0x08),
            flags5: flag(self.task_aborted_status, 0x40),
            ..RawControl::default()
        };
        ModePage::new(PageCode::CONTROL, raw.as_bytes().to_vec())
    }

    /// Reads the page.
    ///
    /// # Errors
    /// [`ParseError`] for another page, or one of fewer than 4 bytes of parameters.
    pub fn parse(page: &ModePage) -> Result<Self, ParseError> {
        let at = |n| page_byte(page, PageCode::CONTROL, n, "Control mode page");
        Ok(Self {
            descriptor_sense: at(0)? & 0x04 != 0,
            unrestricted_reordering: at(1)? >> 4 == 1,
            write_protect: at(2)? & 0x08 != 0,
            task_aborted_status: at(3)? & 0x40 != 0,
        })
    }
}

fn page_byte(page: &ModePage, code: PageCode, at: usize, what: &'static str) -> Result<u8, ParseError> {
    if page.code != code {
        return Err(ParseError::Field { what, field: "page code", value: page.code.page.into() });
    }
    let short = ParseError::Short { what, need: at.saturating_add(1), have: page.body.len() };
    page.body.get(at).copied().ok_or(short)
}

#[cfg(test)]
mod tests {
    use super::{CachingPage, ControlPage, ModeData, ModePage, PageCode};
    use proptest::prelude::*;

    #[test]
    fn caching_and_control() {
        let caching = CachingPage { write_cache: true, read_cache_disabled: false };
        assert_eq!(caching.encode().encode()[..3], [0x08, 0x12, 0x04]);
        assert_eq!(CachingPage::parse(&caching.encode()), Ok(caching));
        let control = ControlPage { descriptor_sense: true, write_protect: true, ..ControlPage::default() };
        assert_eq!(control.encode().encode()[..6], [0x0a, 0x0a, 0x04, 0, 0x08, 0]);
        assert_eq!(ControlPage::parse(&control.encode()), Ok(control));
        assert!(ControlPage::parse(&caching.encode()).is_err());
    }

    proptest! {
        #[test]
        fn comes_back(
            write_protected: bool, dpo_fua: bool, ten: bool, long: bool,
            descriptor in proptest::option::of((0u64..1 << 32, 0u32..1 << 24)),
            pages in proptest::collection::vec(
                (0u8..0x3f, any::<u8>(), any::<bool>(), proptest::collection::vec(any::<u8>(), 0..20)), 0..6),
        ) {
            let pages = pages
                .into_iter()
                .map(|(page, subpage, savable, body)| ModePage { code: PageCode { page, subpage }, savable, body })
                .collect();
            let data = ModeData { write_protected, dpo_fua, descriptor, pages };
            prop_assert_eq!(ModeData::parse(&data.encode(ten, long), ten), Ok(data));
        }

        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..64), ten: bool) {
            let _ = ModeData::parse(&bytes, ten);
        }
    }
}
