//! Random damage by the thousand: whatever a volume's metadata says, reading it ends, in bounded memory, and without
//! a panic.
//!
//! Most blocks are sealed again after they were damaged, so that a good checksum leads to the code behind it.

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use block::BlockDevice;
use fixtures::Random;
use futures_util::StreamExt;
use ocfs2::{Inode, OpenOptions, SystemFile, Volume};
use ocfs2_format::{BlockKind, BlockNum};

use crate::patched::{Patched, metadata_blocks};
use crate::support::{block_on, device};

/// Longest that one damaged volume may keep a reader busy: a whole fixture takes a second.
const PATIENCE: Duration = Duration::from_secs(120);
/// Most memory of the whole test, in KiB.
const MEMORY_KIB: u64 = 400 << 10;
/// Numbers that lie at the edges of fields of every width.
const EDGES: [u64; 12] =
    [0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, 0xffff_ffff, 1 << 63, u64::MAX];

/// What one seed does to a volume.
fn damage(
    image: &Path,
    blocks: &[u64],
    block_size: usize,
    volume: &ocfs2_format::Volume,
    seed: u64,
) -> Patched {
    let mut random = Random::new(seed);
    random.below(2);
    let file = std::fs::File::open(image).expect("an image");
    let mut patches = Vec::new();
    for _ in 0..=random.below(6) {
        let at = blocks[random.below(blocks.len())];
        let mut block = vec![0; block_size];
        file.read_exact_at(&mut block, at).expect("within the image");
        let kind = BlockKind::of(&block);
        if random.below(8) == 0 {
            // Another block in its place, as a misdirected write leaves it.
            let other = blocks[random.below(blocks.len())];
            file.read_exact_at(&mut block, other).expect("within the image");
        } else {
            for _ in 0..=random.below(5) {
                change(&mut block, &mut random);
            }
        }
        if let Some(kind) = kind
            && random.below(4) != 0
        {
            kind.seal(volume, &mut block);
        }
        patches.push((at, block));
    }
    Patched::new(image, patches)
}

/// Changes a field somewhere, of some width, more often near the head of a block than elsewhere.
pub(crate) fn change(block: &mut [u8], random: &mut Random) {
    let width = [1, 2, 4, 8][random.below(4)];
    let range = [0x40, 0x100, block.len()][random.below(3)].min(block.len());
    let at = random.below(range) / width * width;
    let field = &mut block[at..at + width];
    match random.below(4) {
        0 => field[0] ^= 1 << random.below(8),
        1 => field.copy_from_slice(&EDGES[random.below(EDGES.len())].to_le_bytes()[..width]),
        2 => {
            let mut bytes = [0; 8];
            bytes[..width].copy_from_slice(field);
            let step = [1, u64::MAX, 8, 0x10][random.below(4)];
            field.copy_from_slice(&u64::from_le_bytes(bytes).wrapping_add(step).to_le_bytes()[..width]);
        }
        _ => field.iter_mut().for_each(|byte| *byte = u8::try_from(random.below(256)).expect("below 256")),
    }
}

/// Everything that a reader can ask of a volume.
async fn read_everything(device: Arc<dyn BlockDevice>) {
    let replay = OpenOptions::default();
    let bare = OpenOptions { replay: false, ..OpenOptions::default() };
    // Whatever is found, a check of it ends.
    drop(crate::check::run(Arc::clone(&device)).await);
    for options in [replay, bare] {
        let Ok(volume) = Volume::open(Arc::clone(&device), options).await else { continue };
        drop(volume.statfs().await);
        for slot in 0..volume.superblock().max_slots {
            for file in
                [SystemFile::OrphanDir(slot), SystemFile::Journal(slot), SystemFile::TruncateLog(slot)]
            {
                if let Some(ino) = volume.system_file(file)
                    && let Ok(inode) = volume.inode(ino).await
                {
                    look_at(&volume, &inode).await;
                }
            }
        }
        let Ok(root) = volume.inode(volume.root()).await else { continue };
        let mut walk = volume.walk(root.clone());
        while let Some(item) = walk.next().await {
            if let Ok(entry) = item {
                look_at(&volume, &entry.inode).await;
            }
        }
        let mut parts = std::pin::pin!(volume.manifest(root));
        while let Some(part) = parts.next().await {
            for error in &part.errors {
                assert!(!error.source.to_string().is_empty());
            }
        }
    }
}

async fn look_at(volume: &Volume, inode: &Inode) {
    if inode.is_dir() {
        let mut position = Some(0);
        while let Some(at) = position {
            let Ok(page) = volume.readdir(inode, at).await else {
                position = volume.next_dir_block(inode, at);
                continue;
            };
            // Through the index, where there is one: a few of the names, and one that is not there.
            for entry in page.entries.iter().take(3) {
                drop(volume.lookup(inode, &entry.name).await);
            }
            drop(volume.lookup(inode, b"no such name").await);
            position = page.next;
        }
    }
    drop(volume.readlink(inode).await);
    if let Ok(xattrs) = volume.xattrs(inode).await {
        for xattr in xattrs.iter().take(4) {
            drop(volume.xattr(inode, xattr.name()).await);
        }
    }
    // From the far end too.
    drop(volume.read(inode, inode.attr().size.saturating_sub(5000), 5000).await);
}

/// Runs `seeds` on a thread of their own, and names the seed that does not end.
#[allow(clippy::disallowed_methods, reason = "a test watches over what might not end")]
fn soak(image: &Path, seeds: std::ops::Range<u64>) {
    let (volume, block_size) = block_on(async {
        let device: Arc<dyn BlockDevice> = Arc::new(device(image));
        let volume = Volume::open(device, OpenOptions::default()).await.expect("a sound volume");
        let block_size = usize::try_from(volume.geometry().block_size.bytes()).expect("a block size");
        (volume.superblock().volume(), block_size)
    });
    let blocks = metadata_blocks(image, block_size);
    assert!(blocks.len() > 20, "{} has blocks to damage", image.display());
    let (path, last) = (image.to_owned(), seeds.end);
    let (tell, hear) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        for seed in seeds {
            tell.send(seed).expect("somebody listens");
            let damaged = damage(&path, &blocks, block_size, &volume, seed);
            block_on(read_everything(Arc::new(damaged)));
        }
    });
    let mut running = None;
    loop {
        match hear.recv_timeout(PATIENCE) {
            Ok(seed) => running = Some(seed),
            Err(RecvTimeoutError::Timeout) => panic!("{}: seed {running:?} does not end", image.display()),
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    assert!(thread.join().is_ok(), "{}: seed {running:?} of {last} panicked", image.display());
    let most = peak_kib();
    assert!(most < MEMORY_KIB, "{}: {most} KiB of memory", image.display());
}

/// The most memory that this process has had, in KiB.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("a Linux");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("it is there");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}

macro_rules! soaks {
    ($($test:ident: $name:literal,)*) => {
        $(#[test]
        fn $test() {
            soak(&fixtures::image($name), 0..u64::from(fixtures::cases(6)));
        })*
    };
}

soaks! {
    damage_to_b_ends: "b",
    damage_to_c_ends: "c",
    damage_to_e_ends: "e",
    damage_to_dirty_ecc_ends: "dirty-ecc",
    damage_to_dirty_orphan_slot1_ends: "dirty-orphan-slot1",
}

#[test]
fn a_block_past_the_end_is_refused() {
    let device: Arc<dyn BlockDevice> = Arc::new(device(&fixtures::image("c")));
    block_on(async {
        let volume = Volume::open(device, OpenOptions::default()).await.expect("a sound volume");
        for block in [u64::MAX, u64::MAX - 1, volume.geometry().blocks().0] {
            let error = volume.inode(BlockNum(block)).await.expect_err("outside the volume");
            assert!(error.to_string().contains(&block.to_string()), "{error}");
            let many = volume.inodes(&[BlockNum(block), volume.root()]).await;
            assert!(many[0].is_err() && many[1].is_ok());
        }
    });
}
