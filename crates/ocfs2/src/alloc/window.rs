//! The local window: clusters taken from the cluster bitmap at once, given out without its lock.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use ocfs2_format::{
    BitmapUsage, BlockKind, BlockNum, Body, ClusterNum, Dinode, LocalAlloc, RawDinode, RawLocalAlloc,
    set_bits,
};
use zerocopy::little_endian::U32;

use super::held::without;
use super::search::Want;
use super::{Allocators, ClusterRun, State};
use crate::txn::{Blocks, Handle};
use crate::{Error, SystemFile};

/// The local window of the slot, as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Its clusters; none while there is no window.
    pub run: ClusterRun,
    /// How many of them are in use.
    pub used: u32,
    /// The most it could have.
    pub capacity: u32,
}

/// Clusters of the window that are kept for somebody. Dropping it gives them up.
///
/// Data may be written to them before anything refers to them; then [`Allocators::claim_reserved`] makes them claimed.
#[derive(Debug)]
pub struct Reserved {
    run: ClusterRun,
    state: Arc<Mutex<State>>,
}

impl Reserved {
    /// The clusters.
    #[must_use]
    pub fn run(&self) -> ClusterRun {
        self.run
    }
}

/// A file that wants clusters.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Growth {
    /// Its inode.
    pub(crate) ino: BlockNum,
    /// The cluster of the file that they begin with.
    pub(crate) cpos: u64,
    /// How many.
    pub(crate) want: u32,
    /// How many more it is likely to want next.
    pub(crate) more: u32,
}

impl Drop for Reserved {
    fn drop(&mut self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.reserved.remove(&self.run.start.0);
    }
}

impl Window {
    fn of(parsed: &LocalAlloc<'_>) -> Self {
        let run = ClusterRun { start: parsed.start, clusters: parsed.bits };
        Self { run, used: parsed.used, capacity: parsed.capacity }
    }
}

impl Allocators {
    /// The window.
    ///
    /// # Errors
    /// As reading does.
    pub async fn window(&self, blocks: &impl Blocks) -> Result<Window, Error> {
        self.with_window(blocks, Window::of).await
    }

    /// Whether `count` clusters side by side are free in the window: then claiming them does not touch the cluster
    /// bitmap.
    ///
    /// # Errors
    /// As reading does.
    pub async fn window_has(&self, blocks: &impl Blocks, count: u32) -> Result<bool, Error> {
        Ok(self.find_in_window(blocks, Want::exactly(count)).await?.is_some())
    }

    /// Keeps up to `want` clusters of the window, at least `min`, until they are claimed or given up. `None` when the
    /// window has no such run. The handle says that the caller has the volume to itself; nothing in it is changed.
    ///
    /// # Errors
    /// As reading does.
    pub async fn reserve(&self, handle: &Handle<'_>, want: u32, min: u32) -> Result<Option<Reserved>, Error> {
        let want = Want { want: want.max(1), min: min.clamp(1, want.max(1)) };
        let found = self.find_in_window(handle, want).await?;
        Ok(found.map(|(window, bits)| self.keep(run_of(&window, &bits))))
    }

    /// As [`Self::reserve`] with at least one, for a file: where it goes on growing it goes on in one place. But where the
    /// window has none, or not half of what a large request wants, it is moved, if nobody has reserved of it. The caller
    /// publishes the handle.
    ///
    /// # Errors
    /// As [`Self::move_window`].
    pub(crate) async fn reserve_moving(
        &self,
        handle: &mut Handle<'_>,
        growth: Growth,
    ) -> Result<Option<Reserved>, Error> {
        let want = growth.want;
        if let Some(reserved) = self.reserve_ahead(handle, growth, want.div_ceil(2)).await? {
            return Ok(Some(reserved));
        }
        if self.fits_window(handle, want).await? {
            self.move_window_for(handle, Want { want, min: 1 }).await?;
        }
        self.reserve_ahead(handle, growth, 1).await
    }

    /// Keeps what the file is to go on with, or the beginning of a run for it whose rest is left for its next growth.
    async fn reserve_ahead(
        &self,
        handle: &Handle<'_>,
        growth: Growth,
        min: u32,
    ) -> Result<Option<Reserved>, Error> {
        let Growth { ino, cpos, want, more } = growth;
        let found = match self.find_ahead(handle, growth).await? {
            Some(run) => Some(run),
            None => {
                let want = Want { want: want.saturating_add(more).max(1), min: min.max(1) };
                let found = self.find_in_window(handle, want).await?;
                found.map(|(window, bits)| run_of(&window, &bits).range())
            }
        };
        let Some(run) = found else { return Ok(None) };
        let clusters = (run.end - run.start).min(want.max(1));
        let next = run.start + clusters;
        if more > 0 {
            self.state().ahead.set(ino, cpos + u64::from(clusters), next..run.end);
        }
        Ok(Some(self.keep(ClusterRun { start: ClusterNum(run.start), clusters })))
    }

    /// What of the clusters that were left for the file is still free.
    async fn find_ahead(&self, blocks: &impl Blocks, growth: Growth) -> Result<Option<Range<u32>>, Error> {
        let left = self.state().ahead.of(growth.ino, growth.cpos);
        let Some(left) = left else { return Ok(None) };
        let reserved: BTreeMap<u32, u32> = self.state().reserved.clone();
        let found = |parsed: &LocalAlloc<'_>| {
            let start = parsed.start.0;
            let bits = left.start.checked_sub(start)?..left.end.checked_sub(start)?.min(parsed.bits);
            let run = parsed.bitmap.free_runs(bits.clone()).next().filter(|run| run.start == bits.start)?;
            let taken = reserved.iter().map(|(at, len)| *at..at.saturating_add(*len));
            let free = without(start + run.start..start + run.end, taken).next()?;
            (free.start == left.start).then_some(free)
        };
        self.with_window(blocks, found).await
    }

    fn keep(&self, run: ClusterRun) -> Reserved {
        self.state().reserved.insert(run.start.0, run.clusters);
        Reserved { run, state: Arc::clone(&self.state) }
    }

    /// Claims what was reserved. `reserved` is dropped after the handle has been published.
    ///
    /// # Errors
    /// As reading does.
    pub async fn claim_reserved(&self, handle: &mut Handle<'_>, reserved: &Reserved) -> Result<(), Error> {
        let window = self.window(handle).await?;
        let start = reserved.run.start.0.saturating_sub(window.run.start.0);
        self.set_in_window(handle, start..start + reserved.run.clusters).await
    }

    /// Gives the window's free clusters back to the cluster bitmap; then there is no window. For unmounting, and for
    /// when every cluster counts. The caller holds the bitmap's lock.
    ///
    /// # Errors
    /// [`Error::WindowReserved`] while clusters of it are reserved; the handle is as it was. Others as reading does.
    pub async fn close_window(&self, handle: &mut Handle<'_>) -> Result<(), Error> {
        if !self.state().reserved.is_empty() {
            return Err(Error::WindowReserved { slot: self.slot });
        }
        let free = |parsed: &LocalAlloc<'_>| -> (Window, Vec<Range<u32>>) {
            (Window::of(parsed), parsed.bitmap.free_runs(0..parsed.bits).collect())
        };
        let (window, runs) = self.with_window(handle, free).await?;
        for bits in runs {
            // Nothing was ever written to them since they were claimed: they need not be held.
            self.clear_global(handle, run_of(&window, &bits)).await?;
        }
        self.write_window(handle, ClusterRun { start: ClusterNum(0), clusters: 0 }).await
    }

    /// Gives back what is left of the window and takes a new one of up to `want` clusters side by side, at least
    /// `min`; without room for one there is no window then. Gives whether there is one. The caller holds the
    /// bitmap's lock.
    ///
    /// # Errors
    /// As [`Self::close_window`].
    pub async fn move_window(&self, handle: &mut Handle<'_>, want: u32, min: u32) -> Result<bool, Error> {
        self.close_window(handle).await?;
        let capacity = self.window(handle).await?.capacity;
        let mut size = want.min(capacity);
        while size >= min.max(1) {
            if let Some(run) = self.try_claim_global(handle, Want { want: size, min: size }).await? {
                self.write_window(handle, run).await?;
                return Ok(true);
            }
            size = if size == min { 0 } else { (size / 4).max(min) };
        }
        Ok(false)
    }

    /// Moves the window so that it has room for `want`. False, with the handle as it was, when it cannot be.
    pub(super) async fn move_window_for(&self, handle: &mut Handle<'_>, want: Want) -> Result<bool, Error> {
        if !self.state().reserved.is_empty() {
            return Ok(false);
        }
        let saved = handle.save();
        // A window that is used up by this one request would be no use.
        let min = want.want.saturating_mul(2);
        let size = self.default_window(handle).await?.max(min);
        let moved = self.move_window(handle, size, min).await?;
        if !moved {
            handle.restore(saved);
        }
        Ok(moved)
    }

    /// Whether a request for `want` clusters is for the window at all: at most half of it.
    pub(super) async fn fits_window(&self, blocks: &impl Blocks, want: u32) -> Result<bool, Error> {
        let size = match self.window(blocks).await?.run.clusters {
            0 => self.default_window(blocks).await?,
            open => open,
        };
        Ok(want <= size / 2)
    }

    pub(super) async fn claim_in_window(
        &self,
        handle: &mut Handle<'_>,
        want: Want,
    ) -> Result<Option<ClusterRun>, Error> {
        let Some((window, bits)) = self.find_in_window(handle, want).await? else { return Ok(None) };
        self.set_in_window(handle, bits.clone()).await?;
        Ok(Some(run_of(&window, &bits)))
    }

    /// Clusters of a new window: a group less 16 MiB, at most 256 MiB, a slot's share of the volume, and what fits the
    /// dinode; 8 MiB where groups are small.
    async fn default_window(&self, blocks: &impl Blocks) -> Result<u32, Error> {
        let geometry = blocks.volume().geometry;
        let to_mib = |clusters: u32| (u64::from(clusters) << geometry.cluster_size.bits()) >> 20;
        let group = to_mib(geometry.clusters_per_group());
        let mib = if group > 16 + 8 { (group - 16) & !3 } else { 8 };
        let clusters =
            u32::try_from((mib.min(256) << 20) >> geometry.cluster_size.bits()).unwrap_or(u32::MAX);
        let share = geometry.clusters.0 / u32::from(self.max_slots.max(1));
        Ok(clusters.min(share).min(self.window(blocks).await?.capacity))
    }

    /// Looks for bits that are neither in use nor reserved, and where there are others not for growing files.
    async fn find_in_window(
        &self,
        blocks: &impl Blocks,
        want: Want,
    ) -> Result<Option<(Window, Range<u32>)>, Error> {
        let (reserved, kept) = {
            let state = self.state();
            let reserved = state.reserved.iter().map(|(at, len)| *at..at.saturating_add(*len));
            let reserved: Vec<Range<u32>> = reserved.collect();
            let mut kept: Vec<Range<u32>> = state.ahead.all().chain(reserved.iter().cloned()).collect();
            kept.sort_unstable_by_key(|run| run.start);
            (reserved, kept)
        };
        let found = |parsed: &LocalAlloc<'_>| {
            let start = parsed.start.0;
            let choose = |taken: &[Range<u32>]| {
                let taken =
                    taken.iter().map(|run| run.start.saturating_sub(start)..run.end.saturating_sub(start));
                let runs = parsed.bitmap.free_runs(0..parsed.bits);
                want.choose(runs.flat_map(|run| without(run, taken.clone())))
            };
            let bits = choose(&kept).or_else(|| choose(&reserved))?;
            Some((Window::of(parsed), bits))
        };
        self.with_window(blocks, found).await
    }

    /// Sets free bits of the window.
    async fn set_in_window(&self, handle: &mut Handle<'_>, bits: Range<u32>) -> Result<(), Error> {
        let Window { run, used, .. } = self.window(handle).await?;
        let ino = self.file(SystemFile::LocalAlloc(self.slot))?;
        let (head, body) = RawDinode::mut_from(ino, handle.edit(ino, ino, BlockKind::Dinode).await?)?;
        let (_, bitmap) = RawLocalAlloc::mut_from(ino, body)?;
        let (bit, count) = (bits.start, bits.end.saturating_sub(bits.start));
        let changed = if bits.end <= run.clusters { set_bits(bitmap, bits, true).unwrap_or(0) } else { 0 };
        if changed != count {
            return Err(Error::Bits { group: ino, bit, count, changed, was: "free" });
        }
        head.set_bitmap_usage(BitmapUsage { used: used.saturating_add(count), total: run.clusters });
        Ok(())
    }

    /// Makes `run` the window, none of it in use.
    async fn write_window(&self, handle: &mut Handle<'_>, run: ClusterRun) -> Result<(), Error> {
        self.state().ahead.clear();
        let ino = self.file(SystemFile::LocalAlloc(self.slot))?;
        let (head, body) = RawDinode::mut_from(ino, handle.edit(ino, ino, BlockKind::Dinode).await?)?;
        head.set_bitmap_usage(BitmapUsage { used: 0, total: run.clusters });
        let (window, bitmap) = RawLocalAlloc::mut_from(ino, body)?;
        window.bm_off = U32::new(run.start.0);
        bitmap.fill(0);
        Ok(())
    }

    /// Parses the window's inode.
    pub(super) async fn with_window<T>(
        &self,
        blocks: &impl Blocks,
        look: impl FnOnce(&LocalAlloc<'_>) -> T,
    ) -> Result<T, Error> {
        let ino: BlockNum = self.file(SystemFile::LocalAlloc(self.slot))?;
        let block = blocks.get(ino, ino, BlockKind::Dinode).await?;
        match Dinode::parse(blocks.volume(), ino, block.bytes())? {
            (_, Body::LocalAlloc(parsed)) => Ok(look(&parsed)),
            _ => Err(Error::NotAllocator { ino, want: "local window" }),
        }
    }
}

fn run_of(window: &Window, bits: &Range<u32>) -> ClusterRun {
    let start = ClusterNum(window.run.start.0.saturating_add(bits.start));
    ClusterRun { start, clusters: bits.end.saturating_sub(bits.start) }
}
