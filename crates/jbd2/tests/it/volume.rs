//! As much of a volume reader as it takes to find a journal.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use jbd2::{JournalSuperblock, Recovered, Replay};
use ocfs2_format::{BlockKind, BlockNum, BlockSize, Body, Dinode, DirEntries, Extent, Superblock, Volume};

pub(crate) struct VolumeFile {
    file: File,
    pub(crate) volume: Volume,
    system_dir: BlockNum,
}

impl VolumeFile {
    pub(crate) fn open(name: &str) -> Self {
        Self::of(File::open(fixtures::image(name)).expect("fixture"))
    }

    /// A volume that may be changed.
    pub(crate) fn scratch(path: &Path) -> Self {
        Self::of(File::options().read(true).write(true).open(path).expect("a scratch image"))
    }

    fn of(file: File) -> Self {
        let mut head = vec![0; Superblock::PROBE_LEN];
        file.read_exact_at(&mut head, 0).expect("fixture");
        let superblock = Superblock::probe(&head, BlockSize::MIN).expect("fixture").superblock;
        Self { file, volume: superblock.volume(), system_dir: superblock.system_dir }
    }

    pub(crate) fn read(&self, block: u64) -> Vec<u8> {
        let mut data = vec![0; self.volume.block_len()];
        let offset = block * self.volume.geometry.block_size.bytes();
        self.file.read_exact_at(&mut data, offset).expect("fixture");
        data
    }

    pub(crate) fn write(&self, block: u64, data: &[u8]) {
        let offset = block * self.volume.geometry.block_size.bytes();
        self.file.write_all_at(data, offset).expect("a scratch image");
    }

    /// The inode of a system file.
    fn system_file(&self, name: &str) -> BlockNum {
        let data = self.read(self.system_dir.get());
        let (_, body) = Dinode::parse(&self.volume, self.system_dir, &data).expect("system directory");
        let find = |block, area: &[u8]| {
            let entries = DirEntries::new(&self.volume, block, area);
            entries.map(|entry| entry.expect("entry")).find(|e| e.name == name.as_bytes())?.inode
        };
        let found = match body {
            Body::Inline { data, .. } => find(self.system_dir, data),
            Body::Extents(list) => list.extents().find_map(|extent| {
                (0..4).find_map(|k| {
                    let block = extent.block.get() + k;
                    find(BlockNum(block), &self.read(block)[..self.volume.block_len() - 64])
                })
            }),
            other => panic!("system directory with {other:?}"),
        };
        found.unwrap_or_else(|| panic!("no {name}"))
    }

    pub(crate) fn journal(&self, slot: u16) -> Journal<'_> {
        let inode = self.system_file(&format!("journal:{slot:04}"));
        let mut data = self.read(inode.get());
        assert_eq!(BlockKind::Dinode.verify(&self.volume, inode, &mut data), Ok(false));
        let (dinode, body) = Dinode::parse(&self.volume, inode, &data).expect("journal inode");
        let Body::Extents(list) = body else { panic!("journal without extents") };
        let dirty = dinode.journal().expect("journal").dirty;
        Journal { file: self, inode, extents: list.extents().collect(), dirty }
    }
}

pub(crate) struct Journal<'a> {
    file: &'a VolumeFile,
    pub(crate) inode: BlockNum,
    extents: Vec<Extent>,
    pub(crate) dirty: bool,
}

impl Journal<'_> {
    pub(crate) fn read(&self, log_block: u32) -> Vec<u8> {
        self.file.read(self.place(log_block))
    }

    /// Where a block of the journal lies on the volume.
    pub(crate) fn place(&self, log_block: u32) -> u64 {
        let per_cluster = self.file.volume.geometry.blocks_per_cluster();
        let (cluster, within) = (log_block / per_cluster, log_block % per_cluster);
        let extent = self.extents.iter().find(|e| u64::from(cluster) < e.end()).expect("inside the journal");
        let clusters = u64::from(cluster - extent.cpos);
        let start = extent.block.get() + self.file.volume.geometry.clusters_to_blocks(clusters);
        start + u64::from(within)
    }

    /// Its first bytes: one block, or 1024 bytes.
    pub(crate) fn head(&self) -> Vec<u8> {
        let mut head = self.read(0);
        if head.len() < JournalSuperblock::LEN {
            head.extend(self.read(1));
        }
        head
    }

    pub(crate) fn blocks(&self) -> u32 {
        let clusters = self.extents.last().expect("not empty").end();
        u32::try_from(self.file.volume.geometry.clusters_to_blocks(clusters)).expect("small")
    }

    pub(crate) fn superblock(&self) -> JournalSuperblock {
        let block_size = u32::try_from(self.file.volume.block_len()).expect("small");
        JournalSuperblock::parse(&self.head(), block_size, self.blocks()).expect("journal superblock")
    }

    pub(crate) fn replay(&self) -> Recovered {
        let volume_blocks = self.file.volume.geometry.blocks().get();
        let mut replay = Replay::new(&self.superblock(), volume_blocks).expect("replayable");
        while let Some(block) = replay.wanted() {
            replay.feed(&self.read(block)).expect("a good log");
        }
        replay.finish()
    }
}
