//! Random operations on a volume, and on the model of it.

use std::collections::BTreeMap;

use fixtures::Random;
use ocfs2::{BlockNum, FallocateMode, FileType, SetAttr, SetTime, Timestamp, Writable, WriteHow, XattrHow};

use super::acl::{ACCESS, DEFAULT, acl};
use super::{APPEND, ENOSPC, Given, IMMUTABLE, Model, Node, Op};

/// Sizes of values, on both sides of each limit.
const VALUES: [usize; 10] = [0, 1, 7, 40, 79, 80, 81, 500, 4097, 20_000];

/// The name of a file in the root that only takes up room: nothing is done to it.
pub(crate) const BALLAST: &[u8] = b"ballast";

/// A workload: random operations on a volume and the model of it.
pub(crate) struct Workload {
    pub(crate) model: Model,
    pub(crate) random: Random,
    /// How often each inode is retained.
    pub(crate) retained: BTreeMap<BlockNum, u32>,
    /// Count of different names.
    pub(crate) names: usize,
    /// Longest target of a symlink.
    pub(crate) longest: usize,
    /// Operations that found the volume full.
    pub(crate) full: usize,
    /// Whether inodes are only made.
    pub(crate) grows: bool,
    /// Most bytes of a file, where files are worked on, too.
    pub(crate) most: Option<usize>,
}

impl Workload {
    pub(crate) async fn new(fs: &Writable, seed: u64, names: usize) -> Self {
        Self::of(Model::of(fs.volume()).await, seed, names)
    }

    /// On a volume that holds what `model` says.
    pub(crate) fn of(model: Model, seed: u64, names: usize) -> Self {
        let random = Random::new(seed);
        Self {
            model,
            random,
            retained: BTreeMap::new(),
            names,
            longest: 4095,
            full: 0,
            grows: false,
            most: None,
        }
    }

    fn name(&mut self) -> Vec<u8> {
        let number = self.random.below(self.names);
        let len = [1, 2, 8, 30, 100, 255][number % 6];
        let mut name = format!("{number:x}").into_bytes();
        while name.len() < len {
            name.push([b'x', 0xc3, 0xa9, b' ', 1, 0xff][(number + name.len()) % 6]);
        }
        name.truncate(len.clamp(3, 255));
        name
    }

    /// The inodes, without the ballast.
    fn inos(&self, wanted: impl Fn(&Node) -> bool) -> Vec<BlockNum> {
        let ballast = self.model.nodes[&self.model.root].names.get(BALLAST);
        let nodes = self.model.nodes.iter().filter(|(ino, node)| Some(*ino) != ballast && wanted(node));
        nodes.map(|(ino, _)| *ino).collect()
    }

    fn any(&mut self, wanted: impl Fn(&Node) -> bool) -> BlockNum {
        let all = self.inos(wanted);
        all[self.random.below(all.len())]
    }

    fn dir(&mut self) -> BlockNum {
        if self.random.below(3) == 0 {
            return self.model.root;
        }
        self.any(|node| node.kind == FileType::Directory)
    }

    /// A name that is there, in most cases.
    fn there(&mut self, dir: BlockNum) -> Vec<u8> {
        // A volume without its lost+found is not sound.
        let stays = |name: &Vec<u8>| name == b"lost+found" || name == BALLAST;
        let names = self.model.nodes[&dir].names.keys().filter(|name| !stays(name));
        let names: Vec<Vec<u8>> = names.cloned().collect();
        if names.is_empty() || self.random.below(10) == 0 {
            return self.name();
        }
        names[self.random.below(names.len())].clone()
    }

    /// The next operation.
    pub(crate) fn next_op(&mut self) -> Op {
        match self.most {
            Some(most) if self.random.below(3) > 0 => self.next_file_op(most),
            _ => self.next_names_op(),
        }
    }

    fn next_names_op(&mut self) -> Op {
        let dir = self.dir();
        let most = if self.grows { 7 } else { 20 };
        match self.random.below(most) {
            0..7 => {
                let kinds = [
                    FileType::Regular,
                    FileType::Directory,
                    FileType::Symlink,
                    FileType::Directory,
                    FileType::Fifo,
                    FileType::Socket,
                    FileType::CharDevice,
                    FileType::BlockDevice,
                ];
                let kind = kinds[self.random.below(kinds.len())];
                let (mut target, mut rdev) = (Vec::new(), (0, 0));
                match kind {
                    FileType::Symlink => {
                        let len = 1 + self.random.below(self.longest);
                        target = (0..len).map(|_| 1 + self.random.byte() % 255).collect();
                    }
                    FileType::CharDevice | FileType::BlockDevice => {
                        let mut number =
                            |limit| u32::try_from(self.random.below(limit)).expect("less than 2^20");
                        rdev = (number(4096), number(1 << 20));
                    }
                    _ => {}
                }
                Op::Create { dir, name: self.name(), kind, target, rdev }
            }
            7..9 => Op::Link { ino: self.any(|_| true), dir, name: self.name() },
            9..12 => Op::Unlink { dir, name: self.there(dir) },
            12..14 => Op::Rmdir { dir, name: self.there(dir) },
            _ => {
                let to = if self.random.below(3) == 0 { dir } else { self.dir() };
                let name = if self.random.below(2) == 0 { self.there(to) } else { self.name() };
                let from = (dir, self.there(dir));
                Op::Rename { from, to: (to, name), no_replace: self.random.below(8) == 0 }
            }
        }
    }

    fn next_file_op(&mut self, most: usize) -> Op {
        let is_file = self.random.below(12) > 0 && !self.inos(Node::is_file).is_empty();
        let ino = self.any(|node| !is_file || node.is_file());
        let size = self.model.nodes[&ino].data.len();
        match self.random.below(24) {
            0..8 => self.next_write(ino, size, most),
            8..10 => Op::SetAttr { ino, set: self.next_size(size, most) },
            10 | 11 => Op::SetAttr { ino, set: self.next_attributes() },
            12..15 => self.next_xattr(ino),
            15 => self.next_acl(),
            16 => self.next_flags(),
            17..19 => Op::Read { ino, at: self.place(most), len: 1 + self.random.below(most) },
            19 => {
                let dir = self.dir();
                Op::Clone { ino, dir, name: self.name(), preserve: self.random.below(2) == 0 }
            }
            20..22 => {
                let keep_size = self.random.below(2) == 0;
                let mode = FallocateMode { keep_size, punch_hole: keep_size && self.random.below(3) > 0 };
                let at = self.place(most);
                Op::Allocate { ino, at, len: self.len().min(most - at).max(1), mode }
            }
            _ => Op::Fsync { ino },
        }
    }

    /// Where something begins in a file of at most so many bytes.
    fn place(&mut self, most: usize) -> usize {
        match self.random.below(4) {
            // Small files, and edges of blocks and clusters.
            0 => self.random.below(most.min(5000)),
            1 => self.random.below(most) / 4096 * 4096,
            2 => self.random.below(most) / 512 * 512 + self.random.below(3),
            _ => self.random.below(most),
        }
    }

    fn len(&mut self) -> usize {
        match self.random.below(5) {
            0 => 1 + self.random.below(300),
            1 => 512 * (1 + self.random.below(16)),
            2 => 4096 * (1 + self.random.below(8)),
            3 => 1 + self.random.below(3000),
            _ => 1 + self.random.below(70_000),
        }
    }

    fn next_write(&mut self, ino: BlockNum, size: usize, most: usize) -> Op {
        let mut how = WriteHow { sync: self.random.below(8) == 0, ..WriteHow::default() };
        how.kill_set_id = self.random.below(4) == 0;
        let (mut at, mut len) = (self.place(most), self.len());
        match self.random.below(4) {
            0 => (at, how.append) = (size, true),
            // Whole sectors within the file.
            1 if size >= 512 => {
                let sectors = size / 512;
                let first = self.random.below(sectors);
                (at, len) = (512 * first, 512 * (1 + self.random.below((sectors - first).min(64))));
            }
            2 => at = self.random.below(size.max(1)),
            _ => {}
        }
        len = len.min(most.saturating_sub(at)).max(1);
        Op::Write { ino, at, len, tag: self.random.bits(), how }
    }

    fn next_size(&mut self, size: usize, most: usize) -> SetAttr {
        let to = match self.random.below(6) {
            0 => self.place(most),
            1 => 0,
            2 => size,
            _ => self.random.below(size.max(1)),
        };
        SetAttr { size: Some(to as u64), kill_set_id: self.random.below(2) == 0, ..SetAttr::default() }
    }

    fn next_attributes(&mut self) -> SetAttr {
        let mut set = SetAttr::default();
        let owners = [0, 1, 1000, 70_000, u32::MAX];
        match self.random.below(4) {
            0 => set.perm = Some((self.random.bits() & 0o7777) as u16),
            1 => set.uid = Some(owners[self.random.below(5)]),
            2 => set.gid = Some(owners[self.random.below(5)]),
            _ => {
                let times = [-(1_i64 << 31), -1, 0, 1_700_000_000, 1 << 31, 1 << 40];
                let nanos = [0, 1, 999_999_999][self.random.below(3)];
                let time = SetTime::To(Timestamp { seconds: times[self.random.below(6)], nanos });
                (set.atime, set.mtime) =
                    [(Some(time), None), (None, Some(time)), (Some(SetTime::Now), Some(time))]
                        [self.random.below(3)];
            }
        }
        set
    }

    fn next_xattr(&mut self, ino: BlockNum) -> Op {
        let prefix = ["user.", "trusted.", "security."][self.random.below(3)];
        let number = self.random.below(12);
        // The length goes by the number, so that names come again.
        let name = format!("{prefix}{number}{}", "x".repeat([0, 3, 20, 200][number % 4])).into_bytes();
        if self.random.below(3) == 0 {
            return Op::RemoveXattr { ino, name };
        }
        let fill = self.random.byte();
        let value = vec![fill; VALUES[self.random.below(VALUES.len())]];
        let how = [XattrHow::Any, XattrHow::Any, XattrHow::Create, XattrHow::Replace][self.random.below(4)];
        Op::SetXattr { ino, name, value, how }
    }

    fn next_acl(&mut self) -> Op {
        let ino = self.any(|node| matches!(node.kind, FileType::Regular | FileType::Directory));
        let is_default = self.model.is_dir(ino) && self.random.below(2) == 0;
        let name = if is_default { DEFAULT } else { ACCESS }.to_vec();
        if self.random.below(4) == 0 {
            return Op::RemoveXattr { ino, name };
        }
        let bits = (self.random.bits() & 0o777) as u16;
        let value = acl(bits, [0, 1, 12][self.random.below(3)]);
        Op::SetXattr { ino, name, value, how: XattrHow::Any }
    }

    /// Flags come and soon go again, or nothing could be changed any more.
    fn next_flags(&mut self) -> Op {
        if !self.inos(Node::is_flagged).is_empty() && self.random.below(4) > 0 {
            return Op::SetFlags { ino: self.any(Node::is_flagged), flags: 0 };
        }
        let root = self.model.root;
        let mut inos = self.inos(|_| true);
        inos.retain(|ino| *ino != root);
        let ino = inos[self.random.below(inos.len())];
        Op::SetFlags { ino, flags: [IMMUTABLE, APPEND, 0x40, 0xc8][self.random.below(4)] }
    }

    /// Does one operation on both, and compares; whether it was done.
    pub(crate) async fn step(&mut self, fs: &Writable) -> (Op, bool) {
        let op = self.next_op();
        let retain = self.random.below(10) == 0;
        let done = self.perform(fs, &op, retain).await;
        if self.random.below(10) == 0 {
            self.retain_or_release(fs).await;
        }
        (op, done)
    }

    /// Does `op` on both, and compares; whether it was done.
    pub(crate) async fn perform(&mut self, fs: &Writable, op: &Op, retain: bool) -> bool {
        let found = op.run(fs, retain).await;
        let cut_short = match (op, &found) {
            (Op::Write { len, .. }, Ok(given)) => {
                given.written.is_some_and(|written| written.len < *len as u64)
            }
            (_, found) => matches!(found, Err(ENOSPC)) && self.model.expect(op).is_ok(),
        };
        self.full += usize::from(cut_short);
        match found {
            Err(ENOSPC) if cut_short => false,
            Err(error) => {
                self.model.judge(op, Err(error));
                false
            }
            Ok(given) => {
                self.model.judge(op, Ok(()));
                self.take(op, &given, retain);
                true
            }
        }
    }

    /// Does to the model what has been done.
    pub(crate) fn take(&mut self, op: &Op, given: &Given, retain: bool) {
        let lost = self.model.apply(op, given);
        if let (Op::Create { .. }, true, Some(inode)) = (op, retain, &given.inode) {
            *self.retained.entry(inode.ino()).or_default() += 1;
        }
        if let Some(ino) = lost.filter(|ino| !self.retained.contains_key(ino)) {
            self.model.nodes.remove(&ino);
        }
    }

    async fn retain_or_release(&mut self, fs: &Writable) {
        if self.retained.is_empty() || self.random.below(2) == 0 {
            let ino = self.any(|_| true);
            fs.retain(ino).await.expect("an inode that is there");
            *self.retained.entry(ino).or_default() += 1;
            return;
        }
        let at = self.random.below(self.retained.len());
        let ino = *self.retained.keys().nth(at).expect("below their count");
        // It can still be looked at.
        let links = fs.stat(ino).await.expect("it is retained").attr().nlink;
        assert_eq!(links, self.model.nodes[&ino].links);
        self.release(fs, ino).await;
    }

    pub(crate) async fn release(&mut self, fs: &Writable, ino: BlockNum) {
        fs.release(ino).await;
        let count = self.retained.get_mut(&ino).expect("a retained one");
        *count -= 1;
        if *count == 0 {
            self.retained.remove(&ino);
            if self.model.nodes[&ino].links == 0 {
                self.model.nodes.remove(&ino);
            }
        }
    }

    /// How many inodes without a name are retained.
    pub(crate) fn orphans(&self) -> usize {
        self.retained.keys().filter(|ino| self.model.nodes[ino].links == 0).count()
    }

    /// Lets go of everything that is retained.
    pub(crate) async fn release_all(&mut self, fs: &Writable) {
        while let Some(ino) = self.retained.keys().next().copied() {
            self.release(fs, ino).await;
        }
    }
}
