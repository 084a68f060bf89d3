//! A whole volume with its metadata changed: opened, its journals replayed, every directory read to its end, and every
//! file's extents, attributes, and both ends of its contents.
//!
//! Input: a byte that chooses the volume, then changes of eight bytes each, 64 at most: which block of metadata (16
//! bits), where in it (16 bits), how (8 bits), and three bytes for it. What has a checksum gets a good one again where
//! the change says so.

use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};

use block::{BlockDeviceExt, Buf, Durability, MemoryDevice};
use fixtures::Random;
use ocfs2::{Error, FileType, Follow, Inode, OpenOptions, Seek, Volume};
use ocfs2_format::{BlockKind, BlockSize, Superblock};

/// Small volumes that between them hold every structure, checksums and dirty journals among them.
const VOLUMES: [&str; 5] = ["c", "g", "dirty-orphan", "dirty-ecc", "a"];

/// Most changes of one input.
const CHANGES: usize = 64;
/// Paths looked up by name after the walk, through the index of each directory.
const LOOKUPS: usize = 64;
/// Bytes read of each end of a file.
const PIECE: u64 = 64 << 10;
/// Metadata beyond this byte is not changed.
const SEARCHED: u64 = 64 << 20;
/// Grain of reading images, in bytes.
const CHUNK: usize = 64 << 10;
/// How a block of a journal begins.
const JOURNAL: [u8; 4] = 0xc03b_3998_u32.to_be_bytes();

/// A volume in memory.
struct Base {
    device: MemoryDevice,
    volume: ocfs2_format::Volume,
    block_size: usize,
    /// Byte offsets of the blocks that are metadata, journals included.
    metadata: Vec<u64>,
}

pub(crate) fn run(bytes: &[u8]) {
    let Some((&which, changes)) = bytes.split_first() else { return };
    let base = base(usize::from(which) % VOLUMES.len());
    let device = base.device.snapshot();
    for change in changes.as_chunks::<8>().0.iter().take(CHANGES) {
        apply(base, &device, change);
    }
    block_on(read_all(device.read_only(true)));
}

/// Each volume as it is, and with one change in many ways.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut random = Random::new(5);
    let mut seeds = Vec::new();
    for which in 0..u8::try_from(VOLUMES.len()).expect("few volumes") {
        seeds.push(vec![which]);
        seeds.extend((0..12).map(|_| {
            let mut change = random.bits().to_le_bytes();
            // Near the head of the block, where the fields are.
            change[3] = 0;
            [&[which][..], &change].concat()
        }));
    }
    seeds
}

fn base(which: usize) -> &'static Base {
    static BASES: [OnceLock<Base>; VOLUMES.len()] = [const { OnceLock::new() }; VOLUMES.len()];
    BASES[which].get_or_init(|| Base::load(&fixtures::image(VOLUMES[which])))
}

impl Base {
    fn load(image: &Path) -> Self {
        use std::os::unix::fs::FileExt;
        let file = std::fs::File::open(image).expect("a fixture");
        let size = file.metadata().expect("a fixture").len();
        let device = MemoryDevice::new(size);
        let mut chunk = vec![0; CHUNK];
        let mut superblock: Option<Superblock> = None;
        let mut metadata = Vec::new();
        for start in (0..size).step_by(CHUNK) {
            file.read_exact_at(&mut chunk, start).expect("images are whole chunks long");
            if chunk.iter().all(|byte| *byte == 0) {
                continue;
            }
            write(&device, start, &chunk);
            let superblock = superblock.get_or_insert_with(|| {
                Superblock::probe(&chunk, BlockSize::MIN).expect("a fixture has a superblock").superblock
            });
            let block_size = superblock.volume().block_len();
            for (at, block) in (start..).step_by(block_size).zip(chunk.chunks_exact(block_size)) {
                if at < SEARCHED && (BlockKind::of(block).is_some() || block.starts_with(&JOURNAL)) {
                    metadata.push(at);
                }
            }
        }
        let volume = superblock.expect("an image is not empty").volume();
        Self { device, block_size: volume.block_len(), volume, metadata }
    }

    /// A block of metadata by a free number.
    fn pick(&self, number: [u8; 2]) -> u64 {
        self.metadata[usize::from(u16::from_le_bytes(number)) % self.metadata.len()]
    }
}

fn apply(base: &Base, device: &MemoryDevice, change: &[u8; 8]) {
    let &[block_low, block_high, at_low, at_high, how, a, b, c] = change;
    let offset = base.pick([block_low, block_high]);
    let mut block = block_on(device.read_at(offset, base.block_size)).expect("within the volume").to_vec();
    let at = usize::from(u16::from_le_bytes([at_low, at_high])) % base.block_size;
    let other = base.pick([b, c]);
    let field = match how >> 1 & 3 {
        0 => vec![block[at] ^ a],
        // A number of any width, small or near its type's end.
        1 => {
            let fill = if how & 0x80 == 0 { 0 } else { 0xff };
            [&[a, b, c][..], &[fill; 5]].concat()[..1 << (how >> 3 & 3)].to_vec()
        }
        // The number of another block: trees that meet themselves, names of what is no inode.
        2 => (other / base.block_size as u64).to_le_bytes().to_vec(),
        // Another block's bytes.
        _ => {
            let bytes = block_on(device.read_at(other, base.block_size)).expect("within the volume");
            bytes[at..(at + usize::from(a) + 1).min(base.block_size)].to_vec()
        }
    };
    let len = field.len().min(base.block_size - at);
    block[at..at + len].copy_from_slice(&field[..len]);
    if how & 1 != 0
        && let Some(kind) = BlockKind::of(&block)
    {
        kind.seal(&base.volume, &mut block);
    }
    write(device, offset, &block);
}

fn write(device: &MemoryDevice, offset: u64, bytes: &[u8]) {
    block_on(device.write_at(offset, Buf::copy_of(bytes), Durability::Cached)).expect("within the volume");
}

/// Whatever of the volume can be read; what cannot has an error that can be shown.
async fn read_all(device: MemoryDevice) {
    let volume = match Volume::open(Arc::new(device), OpenOptions::default()).await {
        Ok(volume) => volume,
        Err(error) => return crate::keep((error.to_string(), error.hint())),
    };
    volume.warnings().iter().for_each(|warning| crate::keep(warning.to_string()));
    crate::keep(volume.statfs().await.map_err(|error| error.to_string()));
    let root = match volume.inode(volume.root()).await {
        Ok(root) => root,
        Err(error) => return crate::keep((error.to_string(), error.hint())),
    };
    let mut walk = volume.walk(root);
    let mut lookups = LOOKUPS;
    while let Some(entry) = walk.next().await {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                crate::keep((error.to_string(), error.source.to_string(), error.source.hint()));
                continue;
            }
        };
        read_file(&volume, &entry.inode).await.unwrap_or_else(|error| crate::keep(error.to_string()));
        if lookups > 0 {
            lookups -= 1;
            crate::keep(volume.resolve(&entry.path, Follow::Last).await.map_err(|error| error.to_string()));
        }
    }
}

/// One file, as far as it can be read.
async fn read_file(volume: &Volume, inode: &Inode) -> Result<(), Error> {
    let attr = inode.attr();
    for xattr in volume.xattrs(inode).await? {
        crate::keep(volume.xattr_value(inode, &xattr).await.map_err(|error| error.to_string()));
    }
    if attr.kind == FileType::Symlink {
        crate::keep(volume.readlink(inode).await?);
    }
    if attr.kind != FileType::Regular {
        return Ok(());
    }
    let mut extents = volume.fiemap(inode, 0, u64::MAX);
    while let Some(extent) = extents.next().await? {
        crate::keep(extent);
    }
    for offset in [0, attr.size.saturating_sub(PIECE)] {
        crate::keep(volume.seek(inode, offset, Seek::Hole).await?);
        crate::keep(volume.seek(inode, offset, Seek::Data).await?);
        let data = volume.read(inode, offset, PIECE).await?;
        assert!(data.len() <= PIECE, "more was read than was asked for");
    }
    Ok(())
}

/// Runs a future over devices that answer at once.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
    }
}
