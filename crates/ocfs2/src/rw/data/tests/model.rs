//! Random work on a few files, as fsx does it, beside vectors of bytes; at the end the volume is clean, and holds what
//! the vectors hold.

use block::{Buf, Bufs};
use fixtures::Random;
use ocfs2_format::BlockNum;

use crate::test_volume::{TestVolume, block_on};
use crate::{Error, FallocateMode, NewInode, NewKind, Seek, SetAttr, Volume, Writable, WriteHow};

/// What mkfs.ocfs2 is to make.
pub(super) const VOLUMES: [(&str, &[&str]); 9] = [
    ("512/4K", &["-b", "512", "-C", "4K"]),
    ("1K/4K", &["-b", "1K", "-C", "4K"]),
    ("4K/4K", &["-b", "4K", "-C", "4K"]),
    ("4K/64K", &["-b", "4K", "-C", "64K"]),
    ("4K/1M", &["-b", "4K", "-C", "1M"]),
    ("no inline data", &["-b", "4K", "-C", "4K", "--fs-features=noinline-data"]),
    ("no unwritten", &["-b", "2K", "-C", "8K", "--fs-features=nounwritten,noinline-data"]),
    ("no holes", &["-b", "1K", "-C", "16K", "--fs-features=nosparse,nounwritten,norefcount"]),
    ("metaecc", &["-b", "512", "-C", "8K", "--fs-features=metaecc"]),
];

/// Files that are worked on.
const FILES: usize = 3;

pub(super) fn new_file() -> NewInode {
    NewInode { perm: 0o644, uid: 7, gid: 7, umask: None }
}

pub(super) fn bytes_of(random: &mut Random, len: usize) -> Vec<u8> {
    let start = random.below(251);
    (start..start + len).map(|n| u8::try_from(n % 251 + 1).expect("less than 256")).collect()
}

/// The same bytes in buffers of odd sizes, or in one.
pub(super) fn bufs_of(random: &mut Random, bytes: &[u8]) -> Bufs {
    if random.below(3) > 0 {
        return Buf::copy_of(bytes).into_bufs();
    }
    let size = 1 + random.below(bytes.len().max(1));
    bytes.chunks(size.max(64)).map(Buf::copy_of).collect()
}

struct Bench<'f> {
    fs: &'f Writable,
    random: &'f mut Random,
    files: &'f mut Vec<(BlockNum, Vec<u8>)>,
    /// Most bytes that a file gets.
    most: usize,
    /// Whether the volume has unwritten extents.
    unwritten: bool,
}

impl Bench<'_> {
    fn place(&mut self) -> usize {
        let most = self.most;
        match self.random.below(4) {
            // Small files, and edges of blocks and clusters.
            0 => self.random.below(most.min(5000)),
            1 => (self.random.below(most) / 4096) * 4096,
            2 => (self.random.below(most) / 512) * 512 + self.random.below(3),
            _ => self.random.below(most),
        }
    }

    fn len(&mut self) -> usize {
        match self.random.below(5) {
            0 => 1 + self.random.below(300),
            1 => 512 * (1 + self.random.below(16)),
            2 => 4096 * (1 + self.random.below(32)),
            _ => 1 + self.random.below(70_000),
        }
    }

    async fn step(&mut self) -> Result<(), Error> {
        let which = self.random.below(self.files.len());
        let ino = self.files[which].0;
        let size = self.files[which].1.len();
        match self.random.below(14) {
            0..4 => {
                let at = self.place();
                self.write(which, at, WriteHow::default()).await?;
            }
            4..6 => self.write(which, size, WriteHow { append: true, ..WriteHow::default() }).await?,
            6 => {
                let at = self.random.below(size.max(1));
                self.write(which, at, WriteHow { kill_set_id: true, ..WriteHow::default() }).await?;
            }
            7 => self.write_in_place(which).await?,
            8 => {
                let to = match self.random.below(6) {
                    0 => self.place(),
                    1 => 0,
                    _ => self.random.below(size.max(1)),
                };
                let set = SetAttr { size: Some(to as u64), ..SetAttr::default() };
                let inode = self.fs.setattr(ino, &set).await?;
                assert_eq!(inode.attr().size, to as u64);
                self.files[which].1.resize(to, 0);
            }
            9 => self.allocate(which).await?,
            10 => self.punch(which).await?,
            11 | 12 => {
                let (at, len) = (self.place(), self.len());
                let data = self.fs.read(ino, at as u64, len as u64).await?.to_vec();
                let model = &self.files[which].1;
                let end = (at + len).min(model.len());
                assert!(data == model[at.min(end)..end], "{len} bytes at {at} of a file of {}", model.len());
            }
            _ => self.fs.fsync(ino).await?,
        }
        Ok(())
    }

    /// Whole sectors within the file.
    async fn write_in_place(&mut self, which: usize) -> Result<(), Error> {
        let sectors = self.files[which].1.len() / 512;
        if sectors == 0 {
            return Ok(());
        }
        let first = self.random.below(sectors);
        let len = 512 * (1 + self.random.below((sectors - first).min(64)));
        self.write_bytes(which, 512 * first, len, WriteHow::default()).await
    }

    async fn allocate(&mut self, which: usize) -> Result<(), Error> {
        let (at, len, keep_size) = (self.place(), self.len(), self.random.below(2) == 0);
        let mode = FallocateMode { keep_size, punch_hole: false };
        let (ino, model) = &mut self.files[which];
        match self.fs.fallocate(*ino, at as u64, len as u64, mode).await {
            Ok(inode) => {
                model.resize(if keep_size { model.len() } else { model.len().max(at + len) }, 0);
                assert_eq!(inode.attr().size, model.len() as u64);
            }
            Err(Error::NotSupported { .. }) => assert!(!self.unwritten),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    async fn punch(&mut self, which: usize) -> Result<(), Error> {
        let (at, len) = (self.place(), self.len());
        let mode = FallocateMode { keep_size: true, punch_hole: true };
        let (ino, model) = &mut self.files[which];
        match self.fs.fallocate(*ino, at as u64, len as u64, mode).await {
            Ok(_) => {
                let end = (at + len).min(model.len());
                model[at.min(end)..end].fill(0);
            }
            Err(Error::NotSupported { .. }) => assert!(!self.unwritten),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// fsck.ocfs2 complains of clusters behind the end of a file, which the kernel's fallocate leaves there, too.
    async fn give_up_what_is_behind_the_ends(&mut self) {
        for (ino, model) in &*self.files {
            for size in [model.len() + 1, model.len()] {
                let set = SetAttr { size: Some(size as u64), ..SetAttr::default() };
                self.fs.setattr(*ino, &set).await.unwrap();
            }
        }
    }

    async fn write(&mut self, which: usize, at: usize, how: WriteHow) -> Result<(), Error> {
        let len = self.len().min(self.most.saturating_sub(at)).max(1);
        self.write_bytes(which, at, len, how).await
    }

    async fn write_bytes(&mut self, which: usize, at: usize, len: usize, how: WriteHow) -> Result<(), Error> {
        let bytes = bytes_of(self.random, len);
        let bufs = bufs_of(self.random, &bytes);
        let (ino, model) = &mut self.files[which];
        let written = self.fs.write(*ino, if how.append { 3 } else { at as u64 }, bufs, how).await?;
        assert_eq!((written.offset, written.len), (at as u64, len as u64));
        model.resize(model.len().max(at + len), 0);
        model[at..at + len].copy_from_slice(&bytes);
        assert_eq!(written.size, model.len() as u64);
        Ok(())
    }
}

pub(super) async fn expect(volume: &Volume, what: &str, files: &[(BlockNum, Vec<u8>)]) {
    for (n, (ino, model)) in files.iter().enumerate() {
        let inode = volume.inode(*ino).await.unwrap();
        let data = volume.read(&inode, 0, u64::MAX).await.unwrap().to_vec();
        assert_eq!(data.len(), model.len(), "{what}: file {n}");
        let wrong = data.iter().zip(model).position(|(found, wanted)| found != wanted);
        assert!(wrong.is_none(), "{what}: file {n}: byte {wrong:?} of {}", data.len());
        // What is said to be a hole holds nothing.
        let mut at = 0;
        while let Some(hole) = volume.seek(&inode, at, Seek::Hole).await.unwrap() {
            let data = volume.seek(&inode, hole, Seek::Data).await.unwrap().unwrap_or(inode.size());
            let (from, to) = (usize::try_from(hole).unwrap(), usize::try_from(data).unwrap());
            assert!(model[from..to].iter().all(|byte| *byte == 0), "{what}: file {n}: hole at {hole}");
            at = data;
        }
    }
}

/// Random work with `seed`, in so many rounds, between which the volume is closed.
pub(super) fn work(name: &str, options: &[&str], seed: u64, (rounds, steps): (usize, usize), most: usize) {
    block_on(async {
        let Some(volume) = TestVolume::fresh(200, options).await else { return };
        let unwritten = !options.iter().any(|option| option.contains("nounwritten"));
        let mut random = Random::new(seed);
        let mut files: Vec<(BlockNum, Vec<u8>)> = Vec::new();
        for round in 0..rounds {
            volume
                .written(async |fs| {
                    for n in files.len()..FILES {
                        let name = [b'f', b'0' + u8::try_from(n).unwrap()];
                        let root = fs.volume().root();
                        let inode = fs.create(root, &name, &new_file(), NewKind::File).await.unwrap();
                        files.push((inode.ino(), Vec::new()));
                    }
                    let (random, files) = (&mut random, &mut files);
                    let mut bench = Bench { fs, random, files, most, unwritten };
                    for step in 0..steps {
                        let done = bench.step().await;
                        done.unwrap_or_else(|error| panic!("{name}: step {round}/{step}: {error:?}"));
                        expect(fs.volume(), &format!("{name}: step {round}/{step}"), bench.files).await;
                    }
                    if round + 1 == rounds {
                        bench.give_up_what_is_behind_the_ends().await;
                    }
                })
                .await;
            expect(&volume.reopened().await, name, &files).await;
        }
        volume.assert_clean().await;
    });
}

fn on_volumes(numbers: std::ops::Range<usize>) {
    let steps = usize::try_from(fixtures::cases(50)).unwrap();
    for n in numbers {
        let (name, options) = VOLUMES[n];
        // Large files, and such as hardly leave the inode.
        work(name, options, 100 + n as u64, (3, steps), 400_000);
        work(name, options, 200 + n as u64, (2, steps), 9_000);
    }
}

#[test]
fn files_hold_what_was_written() {
    on_volumes(0..3);
}

#[test]
fn files_in_large_clusters_hold_what_was_written() {
    on_volumes(3..6);
}

#[test]
fn files_of_other_features_hold_what_was_written() {
    on_volumes(6..VOLUMES.len());
}
