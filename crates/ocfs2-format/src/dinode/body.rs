//! The body of a dinode (`id2`), whose layout follows from flags and type.

use zerocopy::little_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::chain_list::ChainList;
use crate::dinode::{Dinode, DinodeFlags, DynFeatures, RawDinode};
use crate::error::{Check, Corrupt};
use crate::extent_list::{ExtentList, Tree};
use crate::file_type::FileType;
use crate::local_alloc::LocalAlloc;
use crate::raw::{Input, index16, layout};
use crate::truncate_log::TruncateLog;
use crate::units::BlockSize;

/// Head of inline data as it lies on disk at byte 0xC0 (`struct ocfs2_inline_data`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct RawInlineData {
    /// `id_count`: bytes of room.
    pub count: U16,
    /// Reserved.
    pub reserved: [u8; 6],
}
layout!(RawInlineData, 8, {});

impl RawInlineData {
    /// The head of inline data that takes all the room of a dinode without inline xattrs.
    #[must_use]
    pub fn whole(block_size: BlockSize) -> Self {
        Self { count: U16::new(index16(Self::room(block_size))), ..Self::default() }
    }

    /// Bytes of inline data that fit into a dinode without inline xattrs: 312, 824, 1848 or 3896.
    #[must_use]
    pub fn room(block_size: BlockSize) -> usize {
        block_size.room(RawDinode::BODY_OFFSET.saturating_add(size_of::<Self>()), 1)
    }
}

/// The checked body of a dinode.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Body<'a> {
    /// Data, or directory entries, in the dinode.
    Inline {
        /// The `i_size` bytes in use.
        data: &'a [u8],
        /// Bytes of room (`id_count`).
        room: u16,
    },
    /// The target of a short symlink, without its NUL.
    FastSymlink(&'a [u8]),
    /// Root of the tree of the data.
    Extents(ExtentList<'a>),
    /// A chain allocator.
    Chains(ChainList<'a>),
    /// A local allocation window.
    LocalAlloc(LocalAlloc<'a>),
    /// A truncate log.
    TruncateLog(TruncateLog<'a>),
}

impl<'a> Body<'a> {
    pub(super) fn parse(input: &Input<'_, 'a>, dinode: &Dinode) -> Result<Self, Corrupt> {
        let flags = dinode.flags;
        if flags.contains(DinodeFlags::LOCAL_ALLOC) {
            return LocalAlloc::parse(input, dinode).map(Self::LocalAlloc);
        }
        if flags.contains(DinodeFlags::CHAIN) {
            return ChainList::parse(input).map(Self::Chains);
        }
        if flags.contains(DinodeFlags::DEALLOC) {
            return TruncateLog::parse(input).map(Self::TruncateLog);
        }
        if dinode.dyn_features.contains(DynFeatures::INLINE_DATA) {
            return inline(input, dinode);
        }
        if dinode.file_type == FileType::Symlink && dinode.clusters == 0 {
            return symlink(input, dinode);
        }
        let room = room(input, dinode, 0xd0, 16);
        let list = ExtentList::parse(input, RawDinode::BODY_OFFSET, room, Tree::Data)?;
        if dinode.is_dir() {
            // Also bounds every walk through the directory by what the volume really gives it.
            let held = u64::from(dinode.clusters).wrapping_shl(input.volume.geometry.cluster_size.bits());
            // It need not be whole blocks: mkfs.ocfs2 leaves a lost+found without its trailer's bytes.
            let what = Check::DirSize { size: dinode.size, clusters: dinode.clusters };
            input.ensure(dinode.size <= held, what)?;
        }
        Ok(Self::Extents(list))
    }
}

/// How many `size`-byte items fit from byte `from` to the end of the block or its xattr area.
fn room(input: &Input<'_, '_>, dinode: &Dinode, from: usize, size: usize) -> usize {
    let end = input.data.len().saturating_sub(usize::from(dinode.inline_xattr_len));
    end.saturating_sub(from).checked_div(size).unwrap_or(0)
}

fn inline<'a>(input: &Input<'_, 'a>, dinode: &Dinode) -> Result<Body<'a>, Corrupt> {
    let raw: &RawInlineData = input.at(RawDinode::BODY_OFFSET)?;
    let count = raw.count.get();
    input.count("id_count", count, room(input, dinode, 0xc8, 1))?;
    let clusters = dinode.clusters;
    input.ensure(clusters == 0, Check::InlineClusters { clusters })?;
    let (size, max) = (dinode.size, u64::from(count));
    let Some(len) = usize::try_from(size).ok().filter(|_| size <= max) else {
        return input.fail(Check::InlineSize { size, max });
    };
    Ok(Body::Inline { data: input.bytes_at(0xc8, len)?, room: count })
}

fn symlink<'a>(input: &Input<'_, 'a>, dinode: &Dinode) -> Result<Body<'a>, Corrupt> {
    let room = room(input, dinode, RawDinode::BODY_OFFSET, 1);
    let area = input.bytes_at(RawDinode::BODY_OFFSET, room)?;
    let length = area.iter().position(|&byte| byte == 0);
    let Some(target) = length.and_then(|length| area.get(..length)) else {
        return input.fail(Check::SymlinkUnterminated { room: u64::try_from(room).unwrap_or(u64::MAX) });
    };
    let length = u64::try_from(target.len()).unwrap_or(u64::MAX);
    input.ensure(dinode.size == length, Check::SymlinkSize { size: dinode.size, length })?;
    Ok(Body::FastSymlink(target))
}
