//! The header and entries of one place of extended attributes.

use ocfs2_format::CharSign;
use ocfs2_format::xattr::{MAX_LOCAL_VALUE, RawXattrEntry, RawXattrHeader, name_hash, pair_len};

use super::Code;
use super::ctx::{Ctx, view, views};
use super::finding::{Finding, Findings};

/// Bytes of the header, and of an entry.
const HEADER: usize = size_of::<RawXattrHeader>();

/// Where entries lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Storage {
    /// At the end of the dinode.
    Inline,
    /// In an xattr block.
    Block,
    /// In a bucket: sorted, with a header that counts.
    Bucket,
}

/// One place of entries.
#[derive(Clone, Copy, Debug)]
pub(super) struct Area<'a> {
    /// From the header on.
    pub(super) bytes: &'a [u8],
    pub(super) block: u64,
    pub(super) storage: Storage,
}

/// A value outside its area: where its root lies within the area, and its length in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outside {
    pub(super) offset: usize,
    pub(super) size: u64,
}

impl Area<'_> {
    fn header(&self) -> RawXattrHeader {
        view::<RawXattrHeader>(self.bytes, 0).copied().unwrap_or_default()
    }

    /// `xh_num_buckets`.
    pub(super) fn num_buckets(&self) -> u16 {
        self.header().num_buckets.get()
    }

    fn entries(&self) -> &[RawXattrEntry] {
        views(self.bytes, HEADER, u64::from(self.header().count.get()))
    }

    /// The hashes of the first and the last entry; `None` without entries.
    pub(super) fn hashes(&self) -> Option<(u32, u32)> {
        let entries = self.entries();
        Some((entries.first()?.name_hash.get(), entries.last()?.name_hash.get()))
    }
}

/// Checks every entry; gives the values that lie outside.
pub(super) fn check_area(ctx: &Ctx, out: &mut Findings, ino: u64, area: &Area<'_>) -> Vec<Outside> {
    let count = u64::from(area.header().count.get());
    let room = ((area.bytes.len().saturating_sub(HEADER)) / size_of::<RawXattrEntry>()) as u64;
    let what = ("xattrs of inode", ino);
    if count > room {
        out.expect(Code::XattrCountInvalid, what, area.block, ("xh_count", count, room));
    }
    let mut outside = Vec::new();
    let mut pairs: Vec<(usize, usize)> = Vec::new();
    let mut previous = 0;
    let entries = area.entries();
    let entries_end = HEADER + std::mem::size_of_val(entries);
    for (index, entry) in entries.iter().enumerate() {
        let at = At { ino, area, index, entries_end };
        let Some((start, len, value)) = at.entry(ctx, out, entry) else {
            // After an entry that makes no sense, with a count that makes none, nothing is one.
            if count > room {
                break;
            }
            continue;
        };
        outside.extend(value);
        pairs.push((start, start + len));
        let hash = entry.name_hash.get();
        if area.storage == Storage::Bucket && hash < previous {
            at.say(
                out,
                Code::XattrHashInvalid,
                "is below that of the entry before",
                ("xe_name_hash", hash.into(), previous.into()),
            );
        }
        previous = hash;
    }
    let total: u64 = pairs.iter().map(|(start, end)| (end - start) as u64).sum();
    pairs.sort_unstable();
    if let Some(pair) = pairs.windows(2).find(|pair| pair[0].1 > pair[1].0) {
        let message = format!(
            "xattrs of inode {ino}, block {}: the names and values at bytes {} and {} overlap",
            area.block, pair[0].0, pair[1].0
        );
        out.push(Finding::new(Code::XattrEntryInvalid, message).block(area.block).inode(ino));
    }
    if area.storage == Storage::Bucket {
        bucket_header(out, ino, area, entries_end, pairs.first().map(|pair| pair.0), total);
    }
    outside
}

/// What a bucket's header counts. The kernel leaves `xh_name_value_len` too large when an attribute is removed or
/// replaced, and `xh_free_start` too low, both of which only cost space.
fn bucket_header(
    out: &mut Findings,
    ino: u64,
    area: &Area<'_>,
    entries_end: usize,
    lowest: Option<usize>,
    total: u64,
) {
    let header = area.header();
    let what = ("xattrs of inode", ino);
    let free_start = u64::from(header.free_start.get());
    let lowest = lowest.unwrap_or(area.bytes.len()) as u64;
    if free_start > lowest || free_start < entries_end as u64 {
        out.expect(Code::XattrFreeStartInvalid, what, area.block, ("xh_free_start", free_start, lowest));
    }
    let len = u64::from(header.name_value_len.get());
    if len < total || len > area.bytes.len() as u64 {
        out.expect(Code::XattrValueLenInvalid, what, area.block, ("xh_name_value_len", len, total));
    }
}

/// One entry.
struct At<'a, 'b> {
    ino: u64,
    area: &'a Area<'b>,
    index: usize,
    entries_end: usize,
}

impl At<'_, '_> {
    fn say(
        &self,
        out: &mut Findings,
        code: Code,
        why: &str,
        (field, found, expected): (&'static str, u64, u64),
    ) {
        let (ino, block, index) = (self.ino, self.area.block, self.index);
        let message = format!("xattrs of inode {ino}, block {block}: entry {index}: {field} {found} {why}");
        out.push(Finding::new(code, message).block(block).inode(ino).values(field, found, expected));
    }

    /// Start and length of name and value within the area, and the value's root where it lies outside. `None` when
    /// they cannot be.
    fn entry(
        &self,
        ctx: &Ctx,
        out: &mut Findings,
        entry: &RawXattrEntry,
    ) -> Option<(usize, usize, Option<Outside>)> {
        let area = self.area.bytes;
        let (start, name_len) = (usize::from(entry.name_offset.get()), usize::from(entry.name_len));
        let (size, local) = (entry.value_size.get(), entry.kind & RawXattrEntry::LOCAL != 0);
        let name = area.get(start..start + name_len).filter(|_| start >= self.entries_end);
        let Some(name) = name else {
            let values = ("xe_name_offset", start as u64, self.entries_end as u64);
            self.say(out, Code::XattrNameOffsetInvalid, "lies outside the room for names and values", values);
            return None;
        };
        if local != (size <= MAX_LOCAL_VALUE) {
            let why =
                if local { "is too large for a value beside its name" } else { "is too small for clusters" };
            self.say(out, Code::XattrLocationInvalid, why, ("xe_value_size", size, MAX_LOCAL_VALUE));
            return None;
        }
        let len = pair_len(name_len, size);
        let unit = if self.area.storage == Storage::Bucket { ctx.block_len() } else { area.len() };
        let within = start + len <= area.len() && (len == 0 || start / unit == (start + len - 1) / unit);
        if !within {
            let values = ("xe_value_size", size, 0);
            self.say(out, Code::XattrValueInvalid, "does not fit where the entry is", values);
            return None;
        }
        let seed = ctx.format().uuid_hash;
        let hash = entry.name_hash.get();
        if CharSign::variants(name).all(|sign| name_hash(seed, name, sign) != hash) {
            let expected = u64::from(name_hash(seed, name, CharSign::Signed));
            self.say(
                out,
                Code::XattrHashInvalid,
                "is not the name's",
                ("xe_name_hash", hash.into(), expected),
            );
        }
        let outside = (!local).then(|| Outside { offset: start + name_len.next_multiple_of(4), size });
        Some((start, len, outside))
    }
}
