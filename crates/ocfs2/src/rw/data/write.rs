//! Writing.

use block::{Buf, Bufs};
use ocfs2_format::{BlockNum, RawDinode, Timestamp};
use zerocopy::little_endian::{U16, U32, U64};

use super::append::Taken;
use super::device::{Piece, zeroes};
use super::map::{Kind, Segment, segments};
use super::source::Source;
use super::{PAGE, align_up};
use crate::Error;
use crate::extents::Extents;
use crate::inode::Inode;
use crate::lock::{Level, Rank};
use crate::rw::Writable;
use crate::rw::change::Change;
use crate::rw::operation::Operation;
use crate::rw::refcount::unshare;
use crate::rw::setattr::{APPEND, IMMUTABLE};
use crate::txn::Blocks;

/// New runs of clusters, and unwritten ones, that one change takes into a tree, at the most.
const RUNS_AT_ONCE: usize = 8;

const SET_UID: u16 = 0o4000;
const SET_GID: u16 = 0o2000;
const GROUP_EXECUTES: u16 = 0o0010;

/// How data is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteHow {
    /// At the end of the file, wherever that is by then: the offset does not matter.
    pub append: bool,
    /// The set-id bits go, as the writer may not keep them.
    pub kill_set_id: bool,
    /// What was written is on stable storage when the call returns.
    pub sync: bool,
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Where it begins.
    pub offset: u64,
    /// Bytes; fewer than were given where the volume, a quota or the largest offset has set an end.
    pub len: u64,
    /// Length of the file then.
    pub size: u64,
}

/// One write on its way.
struct Writing {
    ino: BlockNum,
    source: Source,
    how: WriteHow,
    now: Timestamp,
}

impl Writable {
    /// Writes `data` into the regular file `ino` from byte `offset` on. The caller retains the inode, and does not drop
    /// the call before its end: data that is given up on its way may arrive at any time, so the volume becomes
    /// read-only then.
    ///
    /// Buffers go to the device uncopied where a request takes them whole: best is one that begins at a sector.
    ///
    /// # Errors
    /// [`Error::NotFile`]; [`Error::Flagged`]; [`Error::FileTooLarge`] when not even a byte may lie at `offset`;
    /// [`Error::NoSpace`] and [`Error::Quota`] when not even one could be written; [`Error::Write`] when the device
    /// fails: what lies in the range is not known then. And what every change can fail with.
    pub async fn write(
        &self,
        ino: BlockNum,
        offset: u64,
        data: Bufs,
        how: WriteHow,
    ) -> Result<Written, Error> {
        let written = self.judged(self.try_write(ino, offset, data, how).await)?;
        if how.sync {
            self.fsync(ino).await?;
        }
        Ok(written)
    }

    async fn try_write(
        &self,
        ino: BlockNum,
        offset: u64,
        data: Bufs,
        how: WriteHow,
    ) -> Result<Written, Error> {
        let now = self.clock().now();
        let mut writing = Writing { ino, source: Source::new(data), how, now };
        if let Some(written) = self.write_in_place(&mut writing, offset).await? {
            return Ok(written);
        }
        let mut op = self.operation();
        let inode = op.lock_file(ino, Level::Exclusive, Level::Exclusive).await?;
        expect_writable(&inode, how)?;
        let offset = if how.append { inode.size() } else { offset };
        let wanted = writing.source.left();
        let max = self.volume().geometry().max_file_size();
        if wanted == 0 {
            return Ok(Written { offset, len: 0, size: inode.size() });
        }
        if offset >= max {
            return Err(Error::FileTooLarge { ino, max });
        }
        let end = offset.saturating_add(wanted).min(max);
        let mut at = offset;
        while at < end {
            match op.write_round(&mut writing, at, end).await {
                Ok(next) => at = next,
                Err(Error::NoSpace { .. } | Error::Quota { .. }) if at > offset => break,
                Err(error) => return Err(error),
            }
        }
        let size = self.volume().inode(ino).await?.size();
        Ok(Written { offset, len: at - offset, size })
    }

    /// Writes whole sectors of clusters that the file has already, beside others who do the same; `None` when that is
    /// not all that is wanted, and nothing has happened.
    async fn write_in_place(&self, writing: &mut Writing, offset: u64) -> Result<Option<Written>, Error> {
        let (ino, len) = (writing.ino, writing.source.left());
        let sector = self.sector();
        let whole = offset.is_multiple_of(sector) && len.is_multiple_of(sector) && len > 0;
        let Some(end) = offset.checked_add(len).filter(|_| whole && !writing.how.append) else {
            return Ok(None);
        };
        let mut op = self.operation();
        let inode = op.lock_file(ino, Level::Shared, Level::Shared).await?;
        expect_writable(&inode, writing.how)?;
        let bits = self.volume().geometry().cluster_size.bits();
        let range = (offset >> bits, self.volume().geometry().clusters_for(end));
        if end > inode.size() || perm_after(&inode, writing.how) != inode.attr().perm {
            return Ok(None);
        }
        let segments = segments(self.volume().meta(), &inode, range).await?;
        let covered = segments.last().is_some_and(|last| last.end == range.1);
        if !covered || segments.iter().any(|segment| segment.kind != Kind::Own) {
            return Ok(None);
        }
        let mut pieces = Vec::new();
        for segment in &segments {
            let (from, to) = self.bytes_of(segment, (offset, end));
            let mut bufs = Bufs::new();
            writing.source.take(to - from, &mut bufs);
            pieces.push(Piece { at: self.byte_at(segment, from), bufs });
        }
        self.put(ino, pieces).await?;
        let written = Written { offset, len, size: inode.size() };
        if (inode.attr().mtime, inode.attr().ctime) != (writing.now, writing.now) {
            op.release_from(Rank::Child);
            op.lock_inode(Rank::Child, ino, Level::Exclusive).await?;
            op.stamp(ino, writing.now).await?;
        } else {
            self.data().written(ino);
        }
        Ok(Some(written))
    }

    /// The part of the bytes `start` to `end` of a file that lies in `segment`.
    pub(super) fn bytes_of(&self, segment: &Segment, (start, end): (u64, u64)) -> (u64, u64) {
        let bits = self.volume().geometry().cluster_size.bits();
        ((segment.start << bits).max(start), (segment.end << bits).min(end))
    }

    /// Where byte `at` of a file, which lies in `segment`, is on the device.
    pub(super) fn byte_at(&self, segment: &Segment, at: u64) -> u64 {
        let start = segment.start << self.volume().geometry().cluster_size.bits();
        self.volume().byte_of(segment.block).saturating_add(at.saturating_sub(start))
    }

    /// The bytes `from` to `to` of a file that was `size` long, off `source`, as a piece for `segment`: with zeroes
    /// around them in new clusters, and in the last page of the file; else with what is there.
    pub(super) async fn piece_of(
        &self,
        segment: &Segment,
        (from, to): (u64, u64),
        size: u64,
        source: &mut Source,
    ) -> Result<Piece, Error> {
        let cluster = self.volume().geometry().cluster_size.bytes();
        let new = segment.kind != Kind::Own;
        let start = if new { from - from % cluster } else { from };
        let last = align_up(to.max(size), PAGE);
        let upto = match new {
            true => align_up(to, cluster).min(last),
            false if to >= size => last,
            false => to,
        };
        let mut bufs = zeroes(from - start);
        source.take(to - from, &mut bufs);
        bufs.extend(zeroes(upto - to));
        let at = self.byte_at(segment, start);
        self.around((at, at + (upto - start)), bufs).await
    }
}

impl Operation<'_> {
    /// Writes what fits one change of the bytes `at` to `end`; gives where to go on. The locks are held exclusively.
    async fn write_round(&mut self, writing: &mut Writing, at: u64, end: u64) -> Result<u64, Error> {
        let (fs, ino) = (self.fs(), writing.ino);
        let inode = fs.volume().inode(ino).await?;
        if let Some(room) = inode.inline_room(fs.volume()) {
            if end <= room {
                return self.write_inline(writing, at, end).await;
            }
            self.move_out(ino).await?;
        }
        let inode = fs.volume().inode(ino).await?;
        if at > inode.size() {
            self.zero_to(&inode, at).await?;
        } else if end > inode.size() {
            fs.settle_end(ino).await?;
        }
        // Where files have no holes, some clusters have been put in.
        let inode = fs.volume().inode(ino).await?;
        let geometry = *fs.volume().geometry();
        let range = (at >> geometry.cluster_size.bits(), geometry.clusters_for(end));
        let mut found = segments(fs.volume().meta(), &inode, range).await?;
        if found.iter().any(|segment| segment.kind == Kind::Shared) {
            self.own(ino, range).await?;
            let inode = fs.volume().inode(ino).await?;
            found = segments(fs.volume().meta(), &inode, range).await?;
        }
        self.write_segments(writing, &found, (at, end), inode.size()).await
    }

    /// Gives the file clusters of its own where it shares those of `range`.
    pub(super) async fn own(&mut self, ino: BlockNum, (mut at, end): (u64, u64)) -> Result<(), Error> {
        while at < end {
            let mut change = self.begin().await?;
            let done = unshare(&mut change, ino, (at, end)).await;
            if let Some(next) = change.end(done).await? {
                at = next;
            }
        }
        Ok(())
    }

    async fn write_segments(
        &mut self,
        writing: &mut Writing,
        found: &[Segment],
        (at, end): (u64, u64),
        size: u64,
    ) -> Result<u64, Error> {
        let fs = self.fs();
        let bits = fs.volume().geometry().cluster_size.bits();
        let (mut pieces, mut taken, mut unwritten) = (Vec::new(), Vec::new(), Vec::new());
        let mut next = at;
        for segment in found {
            if taken.len() + unwritten.len() >= RUNS_AT_ONCE {
                break;
            }
            let (whole, mut segment) = (segment.end, *segment);
            if segment.kind == Kind::Hole {
                let Some(new) = self.take_clusters(&mut segment).await? else {
                    if pieces.is_empty() {
                        return self.write_in_change(writing, segment, (at, end)).await;
                    }
                    break;
                };
                taken.push((segment, new));
            }
            let (from, to) = fs.bytes_of(&segment, (at, end));
            if segment.kind == Kind::Unwritten {
                unwritten.push((from >> bits, fs.volume().geometry().clusters_for(to)));
            }
            pieces.push(fs.piece_of(&segment, (from, to), size, &mut writing.source).await?);
            next = to;
            if segment.end < whole {
                break;
            }
        }
        fs.put(writing.ino, pieces).await?;
        loop {
            let mut change = self.begin().await?;
            let done = take_in(&mut change, writing, &taken, &unwritten, next).await;
            if change.end(done).await?.is_some() {
                return Ok(next);
            }
        }
    }

    /// The same for one hole, where no clusters can be kept beforehand: they are claimed, written to and taken in by
    /// one change, and nobody else has a turn meanwhile.
    async fn write_in_change(
        &mut self,
        writing: &mut Writing,
        hole: Segment,
        (at, end): (u64, u64),
    ) -> Result<u64, Error> {
        let fs = self.fs();
        // A try may fail after the data has been written.
        let (from, to) = fs.bytes_of(&hole, (at, end));
        let mut bytes = vec![0; usize::try_from(to - from).unwrap_or(0)];
        writing.source.take_bytes(&mut bytes);
        loop {
            let mut change = self.begin().await?;
            let steps = async {
                let segment = claim_into(&mut change, writing.ino, hole).await?;
                let (from, to) = fs.bytes_of(&segment, (at, end));
                let size = change.inode(writing.ino).await?.size();
                take_in(&mut change, writing, &[], &[], to).await?;
                let mut source = Source::new(Buf::copy_of(&bytes).into_bufs());
                let piece = fs.piece_of(&segment, (from, to), size, &mut source).await?;
                fs.put(writing.ino, vec![piece]).await?;
                Ok(to)
            };
            let done = steps.await;
            if let Some(next) = change.end(done).await? {
                let used = usize::try_from(next - from).unwrap_or(usize::MAX);
                writing.source.put_back(bytes.get(used..).unwrap_or_default());
                return Ok(next);
            }
        }
    }

    /// Sets the times of a file whose data has changed.
    pub(super) async fn stamp(&mut self, ino: BlockNum, now: Timestamp) -> Result<(), Error> {
        loop {
            let mut change = self.begin().await?;
            let done = change.dinode(ino).await.map(|raw| stamp(raw, now));
            if change.end(done).await?.is_some() {
                return Ok(());
            }
        }
    }
}

/// Claims up to as many clusters as the hole has, and puts them into the tree of inode `ino` at its start. Gives them.
pub(super) async fn claim_into(
    change: &mut Change<'_>,
    ino: BlockNum,
    hole: Segment,
) -> Result<Segment, Error> {
    let want = u32::try_from(hole.end - hole.start).unwrap_or(u32::MAX).min(u32::from(u16::MAX));
    let (blocks, alloc) = change.blocks_and_space();
    let run = match alloc.claim_clusters(blocks, want, 1).await {
        // A window that somebody keeps clusters of may still have some.
        Err(Error::NoSpace { .. }) if want > 1 => alloc.claim_clusters(blocks, 1, 1).await?,
        run => run?,
    };
    let taken = Taken::of(&hole, run, blocks.volume().geometry);
    Extents::of_inode(alloc, ino).insert(blocks, taken.extent).await?;
    let block = taken.extent.block;
    Ok(Segment { end: hole.start + u64::from(run.clusters), block, ..hole })
}

/// Takes new clusters into the tree, makes unwritten ones written, and sets size and times.
async fn take_in(
    change: &mut Change<'_>,
    writing: &Writing,
    taken: &[(Segment, Taken)],
    unwritten: &[(u64, u64)],
    end: u64,
) -> Result<(), Error> {
    let ino = writing.ino;
    let inode = change.inode(ino).await?;
    for (_, new) in taken {
        let (blocks, alloc) = change.blocks_and_space();
        if let Some(reserved) = &new.reserved {
            alloc.claim_reserved(blocks, reserved).await?;
        }
        Extents::of_inode(alloc, ino).insert(blocks, new.extent).await?;
    }
    for range in unwritten {
        let (blocks, alloc) = change.blocks_and_space();
        Extents::of_inode(alloc, ino).mark_written(blocks, *range).await?;
    }
    let perm = perm_after(&inode, writing.how);
    let raw = change.dinode(ino).await?;
    raw.size = U64::new(inode.size().max(end));
    raw.mode = U16::new(inode.attr().kind.mode_bits() | perm);
    stamp(raw, writing.now);
    Ok(())
}

impl Operation<'_> {
    /// Writes into the inode itself, where there is room.
    async fn write_inline(&mut self, writing: &mut Writing, at: u64, end: u64) -> Result<u64, Error> {
        let ino = writing.ino;
        let mut bytes = vec![0; usize::try_from(end - at).unwrap_or(0)];
        writing.source.take_bytes(&mut bytes);
        loop {
            let mut change = self.begin().await?;
            let steps = async {
                super::inline::put(&mut change, ino, at, &bytes).await?;
                take_in(&mut change, writing, &[], &[], end).await
            };
            let done = steps.await;
            if change.end(done).await?.is_some() {
                return Ok(end);
            }
        }
    }
}

/// Sets the times of contents that have changed.
pub(super) fn stamp(raw: &mut RawDinode, now: Timestamp) {
    (raw.mtime, raw.mtime_nsec) = (U64::new(now.seconds.cast_unsigned()), U32::new(now.nanos));
    crate::rw::setattr::touch(raw, now);
}

/// Fails where the flags of `lsattr` forbid the write.
fn expect_writable(inode: &Inode, how: WriteHow) -> Result<(), Error> {
    let flags = inode.dinode().attr;
    if flags & IMMUTABLE != 0 || flags & APPEND != 0 && !how.append {
        return Err(Error::Flagged { ino: inode.ino(), flags });
    }
    Ok(())
}

/// The permissions after a write: the set-id bits go where the writer may not keep them.
fn perm_after(inode: &Inode, how: WriteHow) -> u16 {
    let perm = inode.attr().perm;
    match how.kill_set_id {
        true => without_set_id(perm),
        false => perm,
    }
}

/// Permissions without the set-id bits. The set-group-id bit of what the group cannot execute is none.
pub(in crate::rw) fn without_set_id(perm: u16) -> u16 {
    let set_gid = if perm & GROUP_EXECUTES != 0 { SET_GID } else { 0 };
    perm & !(SET_UID | set_gid)
}
