//! Writing a plan over a device.

use block::{BlockDevice, BlockDeviceExt, BlockError, Buf, Durability};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use ocfs2_format::{BlockNum, Superblock};

use super::plan::{Plan, Step};

/// Bytes at either end of the volume that are zeroed first, so that nothing of what was there is taken for a
/// filesystem or a partition table.
const WIPE: u64 = 1 << 20;
/// Writes in flight.
const IN_FLIGHT: usize = 32;
/// Zeroes are asked for in pieces of this many bytes, so many at once.
const ZERO_PIECE: u64 = 64 << 20;
const ZEROES_IN_FLIGHT: usize = 4;
/// Neighbouring blocks are written together up to this many bytes.
const JOINED: usize = 1 << 20;
/// A cluster up to this size is written whole, with its group's descriptor; of a larger one the rest is zeroed.
const WHOLE_CLUSTER: u64 = 64 << 10;
/// What the head of a volume says to those who take it for OCFS version 1, and where: signature and mount point of
/// its header, label and cluster name of its second sector.
const HEAD_TEXT: &[u8] = b"this is an ocfs2 volume\0";
const HEAD_PLACES: [usize; 4] = [8, 136, 560, 644];
/// The rest of the head.
const HEAD_FILL: u8 = 2;

/// Is told of the work. For the steps that a volume does not need, it is not called.
pub trait Progress: Send {
    /// A step begins.
    fn begin(&mut self, step: Step);
    /// The step that began last is done.
    fn done(&mut self, step: Step);
}

/// Tells nobody.
impl Progress for () {
    fn begin(&mut self, _: Step) {}
    fn done(&mut self, _: Step) {}
}

impl Plan {
    /// Writes the volume. The device is flushed at the end; until then no superblock is there, so that whatever
    /// stops the work leaves no volume that looks whole.
    ///
    /// # Errors
    /// The device's.
    pub async fn write(
        &self,
        device: &dyn BlockDevice,
        progress: &mut dyn Progress,
    ) -> Result<(), BlockError> {
        progress.begin(Step::Bitmaps);
        self.wipe(device).await?;
        device.flush().await?;
        self.write_bitmap(device).await?;
        progress.done(Step::Bitmaps);
        for step in self.steps() {
            progress.begin(step);
            self.write_step(device, step).await?;
            progress.done(step);
        }
        progress.begin(Step::Superblock);
        device.flush().await?;
        self.write_head(device).await?;
        device.flush().await?;
        progress.done(Step::Superblock);
        Ok(())
    }

    /// The steps between the first and the last.
    fn steps(&self) -> impl Iterator<Item = Step> {
        let all = [
            Step::SystemFiles,
            Step::Backups,
            Step::Journals,
            Step::Allocators,
            Step::SlotMap,
            Step::Quota,
            Step::Index,
            Step::LostFound,
        ];
        let heartbeat_only = self.superblock().max_slots == 0;
        all.into_iter().filter(move |&step| match step {
            Step::SystemFiles | Step::Allocators => true,
            Step::Index => self.indexed(),
            _ => !heartbeat_only,
        })
    }

    fn bytes(&self) -> u64 {
        self.volume.geometry.bytes()
    }

    fn offset(&self, block: BlockNum) -> u64 {
        block.0 << self.volume.geometry.block_size.bits()
    }

    /// Zeroes both ends of the volume.
    async fn wipe(&self, device: &dyn BlockDevice) -> Result<(), BlockError> {
        let wipe = WIPE.min(self.bytes());
        device.write_zeroes(0, wipe).await?;
        device.write_zeroes(self.bytes() - wipe, wipe).await
    }

    /// Writes the descriptors of all cluster groups, each in a cluster of zeroes.
    async fn write_bitmap(&self, device: &dyn BlockDevice) -> Result<(), BlockError> {
        let cluster = self.volume.geometry.cluster_size.bytes();
        let writes = stream::iter(0..self.volume.geometry.cluster_groups()).map(Ok);
        writes
            .try_for_each_concurrent(IN_FLIGHT, |group| async move {
                let mut data = self.group_descriptor(group);
                let at = self.offset(self.map.group_block(group));
                if cluster <= WHOLE_CLUSTER {
                    data.resize(usize::try_from(cluster).expect("at most WHOLE_CLUSTER"), 0);
                    return device.write_at(at, Buf::copy_of(&data), Durability::Cached).await;
                }
                let rest = self.volume.geometry.block_size.bytes();
                device.write_zeroes(at + rest, cluster - rest).await?;
                device.write_at(at, Buf::copy_of(&data), Durability::Cached).await
            })
            .await
    }

    /// Zeroes what is to be zeroed in a step, then writes its blocks.
    async fn write_step(&self, device: &dyn BlockDevice, step: Step) -> Result<(), BlockError> {
        let of_step = self.zeroes.iter().filter(|(of, ..)| *of == step);
        let pieces = of_step.flat_map(|&(_, block, blocks)| {
            let (start, len) = (self.offset(block), self.offset(BlockNum(blocks)));
            (0..len.div_ceil(ZERO_PIECE)).map(move |piece| {
                let at = piece * ZERO_PIECE;
                (start + at, ZERO_PIECE.min(len - at))
            })
        });
        let zeroes = stream::iter(pieces).map(Ok);
        zeroes.try_for_each_concurrent(ZEROES_IN_FLIGHT, |(at, len)| device.write_zeroes(at, len)).await?;
        match step {
            Step::Allocators => self.write_all(device, self.allocator_groups()).await,
            Step::Backups => self.write_all(device, self.backup_blocks()).await,
            _ => {
                let blocks = self.blocks.iter().filter(|(of, ..)| *of == step);
                self.write_all(device, join(blocks.map(|(_, block, data)| (*block, data.as_slice())))).await
            }
        }
    }

    async fn write_all<D: AsRef<[u8]>>(
        &self,
        device: &dyn BlockDevice,
        writes: impl Iterator<Item = (BlockNum, D)>,
    ) -> Result<(), BlockError> {
        let writes = stream::iter(writes).map(Ok);
        writes
            .try_for_each_concurrent(IN_FLIGHT, |(block, data)| {
                device.write_at(self.offset(block), Buf::copy_of(data.as_ref()), Durability::Cached)
            })
            .await
    }

    /// Writes the first three blocks: what tells others that this is no OCFS version 1, and the superblock.
    async fn write_head(&self, device: &dyn BlockDevice) -> Result<(), BlockError> {
        let before = usize::try_from(self.offset(Superblock::BLOCK)).expect("two blocks");
        let mut head = vec![HEAD_FILL; before];
        for place in HEAD_PLACES {
            head[place..place + HEAD_TEXT.len()].copy_from_slice(HEAD_TEXT);
        }
        head.extend_from_slice(&self.superblock_at(Superblock::BLOCK));
        device.write_at(0, Buf::copy_of(&head), Durability::Cached).await
    }
}

/// Blocks that follow each other, put together.
fn join<'d>(blocks: impl Iterator<Item = (BlockNum, &'d [u8])>) -> impl Iterator<Item = (BlockNum, Vec<u8>)> {
    let mut blocks = blocks.peekable();
    std::iter::from_fn(move || {
        let (first, data) = blocks.next()?;
        let mut joined = data.to_vec();
        let mut next = first.0 + 1;
        while joined.len() < JOINED
            && let Some((_, data)) = blocks.next_if(|(block, _)| block.0 == next)
        {
            joined.extend_from_slice(data);
            next += 1;
        }
        Some((first, joined))
    })
}
