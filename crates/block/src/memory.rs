//! A disk in memory.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use crate::ext::as_u64;
use crate::{BlockDevice, BlockError, Bufs, Completion, Durability, Geometry, IoFuture};

/// A sparse disk in memory: what was never written, or was discarded, reads as zeroes and takes no room.
///
/// Every call is done when it returns. [`snapshot`](Self::snapshot) shares the pages that do not change.
pub struct MemoryDevice {
    name: String,
    geometry: Geometry,
    pages: RwLock<BTreeMap<u64, Page>>,
}

/// Bytes of one page: the grain of sharing and of discard.
const PAGE: usize = 16 << 10;
const PAGE_U64: u64 = 16 << 10;

type Page = Arc<[u8; PAGE]>;

impl MemoryDevice {
    /// A disk of `size` zero bytes with 512-byte blocks.
    ///
    /// # Panics
    /// When `size` is no multiple of 512.
    pub fn new(size: u64) -> Self {
        Self::with_block(size, 512)
    }

    /// A disk of `size` zero bytes with blocks of `logical_block` bytes.
    ///
    /// # Panics
    /// When `logical_block` is no power of two from 512 to 16384, or `size` no multiple of it.
    pub fn with_block(size: u64, logical_block: u32) -> Self {
        assert!(
            logical_block.is_power_of_two() && (512..=16384).contains(&logical_block),
            "a block of {logical_block} bytes"
        );
        assert!(size.is_multiple_of(u64::from(logical_block)), "{size} bytes in blocks of {logical_block}");
        let geometry = Geometry {
            size,
            logical_block,
            physical_block: logical_block,
            optimal_io: 0,
            read_only: false,
            discard_granularity: logical_block,
        };
        Self { name: "memory".into(), geometry, pages: RwLock::default() }
    }

    /// A disk with 512-byte blocks that holds `image`, rounded up with zeroes to a whole block.
    pub fn from_image(image: &[u8]) -> Self {
        let device = Self::new(as_u64(image.len()).next_multiple_of(512));
        device.store(0, image);
        device
    }

    /// The same disk under another name in messages.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The same disk with writes refused, or allowed again.
    #[must_use]
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.geometry.read_only = read_only;
        self
    }

    /// A disk of its own with today's contents. The two share memory page by page until one writes there.
    #[must_use]
    pub fn snapshot(&self) -> Self {
        let pages = self.pages.read().unwrap_or_else(PoisonError::into_inner).clone();
        Self { name: self.name.clone(), geometry: self.geometry, pages: RwLock::new(pages) }
    }

    /// Everything on it. For tests and small disks: this is `size` bytes of memory.
    pub fn image(&self) -> Vec<u8> {
        let size = usize::try_from(self.geometry.size).expect("an image that fits the address space");
        let mut image = vec![0; size];
        self.load(0, &mut image);
        image
    }

    /// Memory in use for contents, in bytes.
    pub fn resident(&self) -> u64 {
        as_u64(self.pages.read().unwrap_or_else(PoisonError::into_inner).len()) * PAGE_U64
    }

    /// Copies what lies at `offset` into `out`. The range was checked.
    pub(crate) fn load(&self, offset: u64, out: &mut [u8]) {
        let pages = self.pages.read().unwrap_or_else(PoisonError::into_inner);
        let mut at = offset;
        let mut rest = out;
        while !rest.is_empty() {
            let (page, within) = split(at);
            let (piece, after) = rest.split_at_mut(rest.len().min(PAGE - within));
            match pages.get(&page) {
                Some(page) => piece.copy_from_slice(&page[within..within + piece.len()]),
                None => piece.fill(0),
            }
            at += as_u64(piece.len());
            rest = after;
        }
    }

    /// Copies `data` to `offset`. The range was checked.
    pub(crate) fn store(&self, offset: u64, data: &[u8]) {
        let mut pages = self.pages.write().unwrap_or_else(PoisonError::into_inner);
        let mut at = offset;
        let mut rest = data;
        while !rest.is_empty() {
            let (page, within) = split(at);
            let (piece, after) = rest.split_at(rest.len().min(PAGE - within));
            let page = pages.entry(page).or_insert_with(|| Arc::new([0; PAGE]));
            Arc::make_mut(page)[within..within + piece.len()].copy_from_slice(piece);
            at += as_u64(piece.len());
            rest = after;
        }
    }

    /// Makes a checked range read as zeroes, and frees the pages that lie within it.
    pub(crate) fn clear(&self, offset: u64, len: u64) {
        let end = offset + len;
        let mut pages = self.pages.write().unwrap_or_else(PoisonError::into_inner);
        let whole = offset.div_ceil(PAGE_U64)..end / PAGE_U64;
        let mut clear_part = |from: u64, to: u64| {
            let (page, within) = split(from);
            if let Some(page) = pages.get_mut(&page).filter(|_| from < to) {
                let (_, upto) = split(to - 1);
                Arc::make_mut(page)[within..=upto].fill(0);
            }
        };
        if whole.start > whole.end {
            return clear_part(offset, end);
        }
        clear_part(offset, whole.start * PAGE_U64);
        clear_part(whole.end * PAGE_U64, end);
        // Only what is there is touched: a discard of a huge empty disk costs nothing.
        while let Some((&page, _)) = pages.range(whole.clone()).next() {
            pages.remove(&page);
        }
    }
}

impl BlockDevice for MemoryDevice {
    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn read(&self, offset: u64, mut bufs: Bufs) -> IoFuture<'_, Completion> {
        let result = self.geometry.check_bufs(&self.name, offset, &bufs);
        if result.is_ok() {
            let mut at = offset;
            for buf in &mut bufs {
                self.load(at, buf);
                at += as_u64(buf.len());
            }
        }
        IoFuture::ready((bufs, result))
    }

    fn write(&self, offset: u64, bufs: Bufs, _: Durability) -> IoFuture<'_, Completion> {
        let result = self.geometry.check_write(&self.name, offset, &bufs);
        if result.is_ok() {
            let mut at = offset;
            for buf in &bufs {
                self.store(at, buf);
                at += as_u64(buf.len());
            }
        }
        IoFuture::ready((bufs, result))
    }

    fn flush(&self) -> IoFuture<'_, Result<(), BlockError>> {
        IoFuture::ready(Ok(()))
    }

    fn discard(&self, offset: u64, len: u64) -> IoFuture<'_, Result<(), BlockError>> {
        self.write_zeroes(offset, len)
    }

    fn write_zeroes(&self, offset: u64, len: u64) -> IoFuture<'_, Result<(), BlockError>> {
        let result = self.geometry.check_change(&self.name, offset, len);
        if result.is_ok() {
            self.clear(offset, len);
        }
        IoFuture::ready(result)
    }
}

impl fmt::Debug for MemoryDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryDevice")
            .field("name", &self.name)
            .field("geometry", &self.geometry)
            .finish_non_exhaustive()
    }
}

/// The page that a byte lies in, and where within it.
fn split(offset: u64) -> (u64, usize) {
    let within = usize::try_from(offset % PAGE_U64).expect("less than a page");
    (offset / PAGE_U64, within)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_goes_its_own_way() {
        let first = MemoryDevice::from_image(&[1; 1000]);
        assert_eq!(first.geometry().size, 1024);
        let second = first.snapshot();
        first.store(0, &[2; 512]);
        second.clear(512, 512);
        assert_eq!(
            first.image(),
            [[2; 512], {
                let mut tail = [1; 512];
                tail[488..].fill(0);
                tail
            }]
            .concat()
        );
        assert_eq!(second.image(), [[1; 512], [0; 512]].concat());
    }

    #[test]
    fn what_is_cleared_takes_no_room() {
        let disk = MemoryDevice::new(1 << 50);
        for page in [0, 1, 2, 1 << 30] {
            disk.store(page * PAGE_U64, &[1; 512]);
        }
        assert_eq!(disk.resident(), 4 * PAGE_U64);
        disk.clear(PAGE_U64, PAGE_U64);
        assert_eq!(disk.resident(), 3 * PAGE_U64);
        // Part of a page is cleared in place.
        disk.clear(0, 512);
        assert_eq!(disk.resident(), 3 * PAGE_U64);
        disk.clear(0, 1 << 50);
        assert_eq!(disk.resident(), 0);
    }
}
