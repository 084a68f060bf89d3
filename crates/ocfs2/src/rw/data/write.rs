//! Writing.

use block::Bufs;
use ocfs2_format::{BlockNum, ExtentFlags, RawDinode, Timestamp};
use zerocopy::little_endian::{U16, U32, U64};

use super::claim::{Taken, claim_into};
use super::device::{Piece, zeroes};
use super::map::{Kind, Segment, segments};
use super::source::Source;
use super::{PAGE, align_up};
use crate::Error;
use crate::extents::Extents;
use crate::inode::Inode;
use crate::lock::Level;
use crate::rw::Writable;
use crate::rw::change::Change;
use crate::rw::operation::Operation;
use crate::rw::setattr::{APPEND, IMMUTABLE};

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
pub(super) struct Writing {
    pub(super) ino: BlockNum,
    pub(super) source: Source,
    pub(super) how: WriteHow,
    pub(super) now: Timestamp,
    /// No clusters are kept beforehand: what is kept for one writer others cannot have, not even for their metadata.
    keeps_none: bool,
}

/// What one change is about to take into a file, with the data on its way.
#[derive(Debug, Default)]
struct Round {
    pieces: Vec<Piece>,
    taken: Vec<Taken>,
    /// Clusters that were unwritten.
    filled: Vec<(u64, u64)>,
    /// Where the data ends.
    end: u64,
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
        let (now, source) = (self.clock().now(), Source::new(data));
        let mut writing = Writing { ino, source, how, now, keeps_none: false };
        if let Some(written) = self.write_in_place(&mut writing, offset).await? {
            return Ok(written);
        }
        let mut op = self.operation();
        let inode = op.lock_file(ino, Level::Exclusive, Level::Exclusive).await?;
        expect_writable(&inode, how)?;
        let offset = if how.append { inode.size() } else { offset };
        let wanted = writing.source.left();
        if wanted == 0 {
            return Ok(Written { offset, len: 0, size: inode.size() });
        }
        let max = self.volume().geometry().max_file_size();
        if offset >= max {
            return Err(Error::FileTooLarge { ino, max });
        }
        let end = offset.saturating_add(wanted).min(max);
        let at = op.write_rounds(&mut writing, (offset, end)).await?;
        let size = self.volume().inode(ino).await?.size();
        Ok(Written { offset, len: at - offset, size })
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
    async fn piece_of(
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
        let piece = self.around((at, at + (upto - start)), bufs).await?;
        Ok(piece.narrowed(from - start, to - from))
    }
}

impl Operation<'_> {
    /// Writes the bytes `offset` to `end`, or as many of them as there is room for; gives where it ended. The locks are
    /// held exclusively.
    async fn write_rounds(&mut self, writing: &mut Writing, (offset, end): (u64, u64)) -> Result<u64, Error> {
        let bits = self.fs().volume().geometry().cluster_size.bits();
        let (mut at, mut most) = (offset, u64::MAX);
        while at < end {
            let upto = at.saturating_add(most).min(end);
            match self.write_round(writing, (at, upto)).await {
                Ok(next) => at = next,
                Err(error @ (Error::NoSpace { .. } | Error::Quota { .. })) => {
                    // There may be room for less.
                    let half = (((at >> bits) + (upto.div_ceil(1 << bits))) / 2) << bits;
                    match half > at {
                        true if half < upto => most = half - at,
                        _ if !writing.keeps_none => writing.keeps_none = true,
                        _ if at > offset => break,
                        _ => return Err(error),
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(at)
    }

    /// Writes what fits one change of the bytes `at` to `end`; gives where to go on. Where there is no room for it,
    /// nothing has happened.
    async fn write_round(&mut self, writing: &mut Writing, (at, end): (u64, u64)) -> Result<u64, Error> {
        let (fs, ino) = (self.fs(), writing.ino);
        let inode = fs.volume().inode(ino).await?;
        if let Some(room) = inode.inline_room(fs.volume()) {
            if at.saturating_add(writing.source.left()) <= room {
                return self.write_inline(writing, (at, end)).await;
            }
            self.move_out(ino).await?;
        }
        let inode = fs.volume().inode(ino).await?;
        if at > inode.size() {
            self.zero_to(&inode, at).await?;
        }
        if end > inode.size() {
            fs.settle_end(ino).await?;
        }
        let geometry = *fs.volume().geometry();
        let range = (at >> geometry.cluster_size.bits(), geometry.clusters_for(end));
        let mut found = segments(fs.volume().meta(), &fs.volume().inode(ino).await?, range).await?;
        if found.iter().any(|segment| segment.kind == Kind::Shared) {
            self.own(ino, range).await?;
            found = segments(fs.volume().meta(), &fs.volume().inode(ino).await?, range).await?;
        }
        self.write_segments(writing, &found, (at, end), &inode).await
    }

    async fn write_segments(
        &mut self,
        writing: &mut Writing,
        found: &[Segment],
        (at, end): (u64, u64),
        inode: &Inode,
    ) -> Result<u64, Error> {
        let (fs, ino, size) = (self.fs(), writing.ino, inode.size());
        let geometry = *fs.volume().geometry();
        let mut round = Round::default();
        for segment in found {
            let runs = round.taken.len() + round.filled.len();
            // Where there is no room for what comes first, what lies behind it stays as it is.
            if runs >= RUNS_AT_ONCE || runs > 0 && segment.kind == Kind::Own {
                break;
            }
            let (whole, mut segment) = (segment.end, *segment);
            if segment.kind == Kind::Hole {
                let kept = match writing.keeps_none {
                    true => None,
                    false => self.take_clusters(inode, &mut segment).await?,
                };
                match kept {
                    Some(new) => round.taken.push(new),
                    None if round.pieces.is_empty() => {
                        return self.write_in_change(writing, segment, (at, end)).await;
                    }
                    None => break,
                }
            }
            let (from, to) = fs.bytes_of(&segment, (at, end));
            if segment.kind == Kind::Unwritten {
                let first = from >> geometry.cluster_size.bits();
                round.filled.push((first, geometry.clusters_for(to)));
            }
            round.pieces.push(fs.piece_of(&segment, (from, to), size, &mut writing.source).await?);
            round.end = to;
            if segment.end < whole {
                break;
            }
        }
        let pieces = fs.put(ino, std::mem::take(&mut round.pieces)).await?;
        let done = self.end_round(writing, &round).await;
        if let Err(Error::NoSpace { .. } | Error::Quota { .. }) = done {
            writing.source.put_back_all(&pieces);
        }
        done.map(|()| round.end)
    }

    async fn end_round(&mut self, writing: &Writing, round: &Round) -> Result<(), Error> {
        loop {
            let mut change = self.begin().await?;
            let done = take_in(&mut change, writing, round).await;
            if change.end(done).await?.is_some() {
                return Ok(());
            }
        }
    }

    /// The same for one hole, where no clusters can be kept beforehand: they are claimed, written to and taken in by
    /// one change, and nobody else has a turn meanwhile.
    async fn write_in_change(
        &mut self,
        writing: &mut Writing,
        hole: Segment,
        range: (u64, u64),
    ) -> Result<u64, Error> {
        let fs = self.fs();
        // A try may fail after the data has been written.
        let (from, to) = fs.bytes_of(&hole, range);
        let bytes = writing.source.take_bytes(to - from);
        let done = loop {
            let mut change = self.begin().await?;
            let steps = async {
                let segment = claim_into(&mut change, writing.ino, hole, ExtentFlags::empty()).await?;
                let (from, to) = fs.bytes_of(&segment, range);
                let size = change.inode(writing.ino).await?.size();
                take_in(&mut change, writing, &Round { end: to, ..Round::default() }).await?;
                let piece = fs.piece_of(&segment, (from, to), size, &mut Source::of(&bytes)).await?;
                fs.put(writing.ino, vec![piece]).await?;
                Ok(to)
            };
            let done = steps.await;
            match change.end(done).await {
                Ok(None) => {}
                Ok(Some(next)) => break Ok(next),
                Err(error) => break Err(error),
            }
        };
        let used = *done.as_ref().unwrap_or(&from) - from;
        let left = bytes.get(usize::try_from(used).unwrap_or(usize::MAX)..);
        writing.source.put_back(left.unwrap_or_default());
        done
    }

    /// Writes into the inode itself, where there is room.
    async fn write_inline(&mut self, writing: &mut Writing, (at, end): (u64, u64)) -> Result<u64, Error> {
        let bytes = writing.source.take_bytes(end - at);
        loop {
            let mut change = self.begin().await?;
            let steps = async {
                super::inline::put(&mut change, writing.ino, at, &bytes).await?;
                take_in(&mut change, writing, &Round { end, ..Round::default() }).await
            };
            let done = steps.await;
            if change.end(done).await?.is_some() {
                return Ok(end);
            }
        }
    }
}

/// Takes new clusters into the tree, makes unwritten ones written, and sets size and times.
async fn take_in(change: &mut Change<'_>, writing: &Writing, round: &Round) -> Result<(), Error> {
    let ino = writing.ino;
    let inode = change.inode(ino).await?;
    for new in &round.taken {
        new.claim(change, ino).await?;
    }
    for range in &round.filled {
        let (blocks, alloc) = change.blocks_and_space();
        Extents::of_inode(alloc, ino).mark_written(blocks, *range).await?;
    }
    let perm = perm_after(&inode, writing.how);
    let raw = change.dinode(ino).await?;
    raw.size = U64::new(inode.size().max(round.end));
    raw.mode = U16::new(inode.attr().kind.mode_bits() | perm);
    stamp(raw, writing.now);
    Ok(())
}

/// Sets the times of contents that have changed.
pub(super) fn stamp(raw: &mut RawDinode, now: Timestamp) {
    (raw.mtime, raw.mtime_nsec) = (U64::new(now.seconds.cast_unsigned()), U32::new(now.nanos));
    crate::rw::setattr::touch(raw, now);
}

/// Fails where the flags of `lsattr` forbid the write.
pub(super) fn expect_writable(inode: &Inode, how: WriteHow) -> Result<(), Error> {
    let flags = inode.dinode().attr;
    if flags & IMMUTABLE != 0 || flags & APPEND != 0 && !how.append {
        return Err(Error::Flagged { ino: inode.ino(), flags });
    }
    Ok(())
}

/// The permissions after a write: the set-id bits go where the writer may not keep them.
pub(super) fn perm_after(inode: &Inode, how: WriteHow) -> u16 {
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
