//! The entries of one place of attributes, in memory: taken apart, changed, and packed anew.
//!
//! A place is always packed as a whole: names and values from its end down, without holes. The kernel leaves holes and
//! closes them when it runs out of room; both are the same to a reader.

use ocfs2_format::xattr::{
    BUCKET_LEN, MAX_LOCAL_VALUE, NameIndex, RawXattrEntry, RawXattrHeader, XattrEntries, name_hash, pair_len,
};
use ocfs2_format::{BlockNum, CharSign};
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, IntoBytes};

use crate::Error;

/// Bytes of the header, of an entry, and of the gap between the entries and the lowest name that the kernel keeps
/// (`OCFS2_XATTR_HEADER_GAP`).
const HEADER: usize = size_of::<RawXattrHeader>();
const ENTRY: usize = size_of::<RawXattrEntry>();
const GAP: usize = 4;

/// A name and its value, as they lie in a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) hash: u32,
    pub(super) index: NameIndex,
    pub(super) name: Vec<u8>,
    /// Bytes of the value.
    pub(super) size: u64,
    /// The value, or where it is larger than [`MAX_LOCAL_VALUE`], its root.
    pub(super) value: Vec<u8>,
}

impl Pair {
    /// Whether the value lies in clusters of its own.
    pub(super) fn is_outside(&self) -> bool {
        self.size > MAX_LOCAL_VALUE
    }

    fn len(&self) -> usize {
        pair_len(self.name.len(), self.size)
    }
}

/// How a place is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// In a dinode or an xattr block: so many bytes from the header on, in any order.
    Plain(usize),
    /// A bucket on a volume with blocks of so many bytes: sorted by hash, and no pair lies in two blocks.
    Bucket(usize),
}

impl Layout {
    /// Bytes from the header on.
    pub(super) fn len(self) -> usize {
        match self {
            Self::Plain(len) => len,
            Self::Bucket(_) => BUCKET_LEN,
        }
    }
}

/// The hash of `name`, as the kernels of today write it.
pub(super) fn hash_of(volume: &ocfs2_format::Volume, name: &[u8]) -> u32 {
    name_hash(volume.uuid_hash, name, CharSign::Signed)
}

/// Where pair number `at` of `bytes`, which begin with a header, has its value. The entries have been checked.
pub(super) fn value_offset(bytes: &[u8], at: usize) -> Option<usize> {
    let raw = RawXattrEntry::ref_from_prefix(bytes.get(HEADER + at * ENTRY..)?).ok()?.0;
    Some(usize::from(raw.name_offset.get()) + usize::from(raw.name_len).next_multiple_of(4))
}

/// Takes apart what `entries`, checked, says of `bytes`, which begin with its header in block `block`.
pub(super) fn unpack(entries: &XattrEntries<'_>, bytes: &[u8], block: BlockNum) -> Result<Vec<Pair>, Error> {
    let pair = |at: usize| {
        let raw = RawXattrEntry::ref_from_prefix(bytes.get(HEADER + at * ENTRY..)?).ok()?.0;
        let (start, size) = (usize::from(raw.name_offset.get()), raw.value_size.get());
        let name = bytes.get(start..start + usize::from(raw.name_len))?.to_vec();
        let stored = match usize::try_from(size) {
            Ok(len) if size <= MAX_LOCAL_VALUE => len,
            _ => pair_len(0, size),
        };
        let value = value_offset(bytes, at)?;
        let value = bytes.get(value..value + stored)?.to_vec();
        let index = NameIndex(raw.kind & !RawXattrEntry::LOCAL);
        Some(Pair { hash: raw.name_hash.get(), index, name, size, value })
    };
    let all: Option<Vec<Pair>> = (0..entries.len()).map(pair).collect();
    all.ok_or(Error::XattrArea { block })
}

/// Packs `pairs` as `layout` says; `None` when they do not fit. A bucket without any keeps `key`.
pub(super) fn pack(pairs: &[Pair], layout: Layout, key: u32) -> Option<Vec<u8>> {
    let mut bytes = vec![0; layout.len()];
    let limit = HEADER + pairs.len() * ENTRY + if pairs.is_empty() { 0 } else { GAP };
    let mut low = bytes.len();
    let mut used = 0;
    for (at, pair) in pairs.iter().enumerate().rev() {
        let len = pair.len();
        let mut start = low.checked_sub(len)?;
        if let Layout::Bucket(unit) = layout
            && len > 0
            && start / unit != (low - 1) / unit
        {
            start = (low - 1).next_multiple_of(unit).checked_sub(unit)?.checked_sub(len)?;
        }
        if start < limit {
            return None;
        }
        low = start;
        used += len;
        put(&mut bytes, at, start, pair)?;
    }
    let bucket = matches!(layout, Layout::Bucket(_));
    if bucket && pairs.is_empty() {
        U32::new(key).write_to(bytes.get_mut(HEADER..HEADER + 4)?).ok()?;
    }
    let count = |number: usize| Some(U16::new(u16::try_from(number).ok()?));
    let header = RawXattrHeader {
        count: count(pairs.len())?,
        free_start: if bucket { count(low)? } else { U16::ZERO },
        name_value_len: if bucket { count(used)? } else { U16::ZERO },
        ..RawXattrHeader::default()
    };
    header.write_to_prefix(&mut bytes).ok()?;
    Some(bytes)
}

/// Takes entry number `at` out of a bucket and leaves everything else where it is: packed anew, the rest could need more
/// room than before, as no pair may lie in two blocks. An empty bucket keeps its key.
pub(super) fn drop_entry(bucket: &mut [u8], at: usize) -> Option<()> {
    let (mut header, _) = RawXattrHeader::read_from_prefix(bucket).ok()?;
    let count = usize::from(header.count.get());
    let (from, end) = (HEADER + at * ENTRY, HEADER + count * ENTRY);
    let raw = RawXattrEntry::ref_from_prefix(bucket.get(from..end)?).ok()?.0;
    let len = pair_len(usize::from(raw.name_len), raw.value_size.get());
    if count > 1 {
        bucket.copy_within(from + ENTRY..end, from);
        bucket.get_mut(end - ENTRY..end)?.fill(0);
    }
    header.count = U16::new(u16::try_from(count.checked_sub(1)?).ok()?);
    let used = usize::from(header.name_value_len.get()).saturating_sub(len);
    header.name_value_len = U16::new(u16::try_from(used).ok()?);
    let left = <[RawXattrEntry]>::ref_from_bytes(bucket.get(HEADER..end - ENTRY)?).ok()?;
    // The kernel leaves this as it was, which fsck.ocfs2 wants to mend.
    let low = left.iter().map(|entry| usize::from(entry.name_offset.get())).min().unwrap_or(bucket.len());
    header.free_start = U16::new(u16::try_from(low).ok()?);
    header.write_to_prefix(bucket).ok()
}

/// Writes one pair and its entry.
fn put(bytes: &mut [u8], at: usize, start: usize, pair: &Pair) -> Option<()> {
    let raw = RawXattrEntry {
        name_hash: U32::new(pair.hash),
        name_offset: U16::new(u16::try_from(start).ok()?),
        name_len: u8::try_from(pair.name.len()).ok()?,
        kind: pair.index.0 | if pair.is_outside() { 0 } else { RawXattrEntry::LOCAL },
        value_size: U64::new(pair.size),
    };
    raw.write_to_prefix(bytes.get_mut(HEADER + at * ENTRY..)?).ok()?;
    bytes.get_mut(start..start + pair.name.len())?.copy_from_slice(&pair.name);
    let value = start + pair.name.len().next_multiple_of(4);
    bytes.get_mut(value..value + pair.value.len())?.copy_from_slice(&pair.value);
    Some(())
}

/// Where to cut sorted pairs in two that both fit a bucket: as near the middle as equal hashes, which stay together,
/// allow. `None` when there is no such place.
pub(super) fn cut(pairs: &[Pair], layout: Layout) -> Option<usize> {
    let sizes: Vec<usize> = pairs.iter().map(|pair| pair.len() + ENTRY).collect();
    let total: usize = sizes.iter().sum();
    let mut below = 0;
    let mut places: Vec<(usize, usize)> = Vec::new();
    for (at, pair) in pairs.windows(2).enumerate() {
        below += sizes[at];
        if pair[0].hash != pair[1].hash {
            places.push(((2 * below).abs_diff(total), at + 1));
        }
    }
    places.sort_unstable();
    let fits = |at: usize| {
        let (left, right) = pairs.split_at(at);
        pack(left, layout, 0).is_some() && pack(right, layout, 0).is_some()
    };
    places.into_iter().map(|(_, at)| at).find(|at| fits(*at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(hash: u32, name: usize, value: usize) -> Pair {
        let outside = value as u64 > MAX_LOCAL_VALUE;
        let stored = if outside { 48 } else { value };
        Pair {
            hash,
            index: NameIndex::USER,
            name: vec![b'n'; name],
            size: value as u64,
            value: vec![7; stored],
        }
    }

    #[test]
    fn names_and_values_grow_down_to_a_gap_above_the_entries() {
        // 16 for the header, 16 for the entry, 4 for the gap: 220 bytes of an inline area are left.
        assert!(pack(&[pair(1, 140, 80)], Layout::Plain(256), 0).is_some());
        assert_eq!(pack(&[pair(1, 141, 80)], Layout::Plain(256), 0), None);
        let bytes = pack(&[pair(1, 3, 5), pair(2, 4, 100)], Layout::Plain(256), 0).unwrap();
        assert_eq!(value_offset(&bytes, 1), Some(256 - 48));
        assert_eq!(value_offset(&bytes, 0), Some(256 - 48 - 4 - 8));
    }

    #[test]
    fn no_pair_of_a_bucket_lies_in_two_blocks() {
        let pairs: Vec<Pair> = (0..7).map(|n| pair(n, 200, 80)).collect();
        let bytes = pack(&pairs, Layout::Bucket(512), 0).unwrap();
        for at in 0..7 {
            let value = value_offset(&bytes, at).unwrap();
            assert_eq!((value - 200) / 512, (value + 79) / 512, "pair {at}");
        }
        let header = RawXattrHeader::read_from_prefix(&bytes).unwrap().0;
        assert_eq!(header.name_value_len.get(), 7 * 280);
        // Eight times 280 bytes are less than 4096, and yet there is no room for them.
        let eight: Vec<Pair> = (0..9).map(|n| pair(n, 200, 80)).collect();
        assert_eq!(pack(&eight, Layout::Bucket(512), 0), None);
        assert!(pack(&eight, Layout::Bucket(4096), 0).is_some());
    }

    #[test]
    fn an_empty_bucket_keeps_its_key() {
        let bytes = pack(&[], Layout::Bucket(4096), 0x1234_5678).unwrap();
        assert_eq!(&bytes[..8], [0, 0, 0, 16, 0, 0, 0, 0]);
        assert_eq!(&bytes[16..20], 0x1234_5678_u32.to_le_bytes());
    }

    #[test]
    fn an_entry_is_dropped_and_the_others_stay() {
        let pairs: Vec<Pair> = (1..4).map(|n| pair(n, 4, 8)).collect();
        let mut bytes = pack(&pairs, Layout::Bucket(4096), 0).unwrap();
        let places: Vec<_> = (0..3).map(|at| value_offset(&bytes, at)).collect();
        drop_entry(&mut bytes, 1).unwrap();
        assert_eq!([value_offset(&bytes, 0), value_offset(&bytes, 1)], [places[0], places[2]]);
        let free_start = |bytes: &[u8]| u16::from_le_bytes([bytes[2], bytes[3]]);
        assert_eq!(free_start(&bytes), 4096 - 36);
        drop_entry(&mut bytes, 0).unwrap();
        assert_eq!(
            free_start(&bytes),
            4096 - 12,
            "the lowest went: fsck.ocfs2 complained of what had been left"
        );
        drop_entry(&mut bytes, 0).unwrap();
        assert_eq!(free_start(&bytes), 4096);
        assert_eq!(
            (&bytes[..2], &bytes[4..6], &bytes[16..20]),
            (&[0, 0][..], &[0, 0][..], &[3, 0, 0, 0][..])
        );
        assert_eq!(drop_entry(&mut bytes, 0), None);
    }

    #[test]
    fn equal_hashes_are_not_cut_apart() {
        let layout = Layout::Bucket(4096);
        let of = |hashes: &[u32]| hashes.iter().map(|hash| pair(*hash, 200, 80)).collect::<Vec<_>>();
        assert_eq!(cut(&of(&[1, 2, 3, 4]), layout), Some(2));
        assert_eq!(cut(&of(&[1, 3, 3, 3, 4, 5]), layout), Some(4));
        assert_eq!(cut(&of(&[3, 3, 3]), layout), None);
        let (mut many, most) = (vec![9; 14], 13);
        many[0] = 1;
        assert_eq!(pack(&of(&many)[1..], layout, 0).is_some(), most == 13);
        assert_eq!(cut(&of(&many), layout), Some(1), "far from the middle, and the only place");
    }
}
