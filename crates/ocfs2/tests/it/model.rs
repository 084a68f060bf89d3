//! A filesystem's names as plain maps: what every operation on them must do.

use std::collections::BTreeMap;

use fixtures::Random;
use ocfs2::{BlockNum, Error, FileType, NewInode, NewKind, RenameFlags, Volume, Writable};

pub(crate) const ENOENT: i32 = 2;
const EPERM: i32 = 1;
const EEXIST: i32 = 17;
const ENOTDIR: i32 = 20;
const EISDIR: i32 = 21;
const EINVAL: i32 = 22;
const ENOSPC: i32 = 28;
const ENOTEMPTY: i32 = 39;

/// An inode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) kind: FileType,
    pub(crate) links: u32,
    /// A directory's names.
    pub(crate) names: BTreeMap<Vec<u8>, BlockNum>,
    /// A directory's `..`.
    pub(crate) parent: BlockNum,
    pub(crate) target: Vec<u8>,
    pub(crate) rdev: (u32, u32),
    perm: u16,
}

/// All inodes by their numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Model {
    pub(crate) root: BlockNum,
    pub(crate) nodes: BTreeMap<BlockNum, Node>,
}

/// One operation, to be done to the model and to the volume.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Create { dir: BlockNum, name: Vec<u8>, kind: FileType, target: Vec<u8>, rdev: (u32, u32) },
    Link { ino: BlockNum, dir: BlockNum, name: Vec<u8> },
    Unlink { dir: BlockNum, name: Vec<u8> },
    Rmdir { dir: BlockNum, name: Vec<u8> },
    Rename { from: (BlockNum, Vec<u8>), to: (BlockNum, Vec<u8>), no_replace: bool },
}

/// What an operation gives: the inode it is about, or an error number.
pub(crate) type Outcome = Result<Option<BlockNum>, i32>;

impl Model {
    /// What is on `volume`.
    pub(crate) async fn of(volume: &Volume) -> Self {
        let root = volume.root();
        let mut nodes = BTreeMap::new();
        let mut todo = vec![root];
        while let Some(ino) = todo.pop() {
            if nodes.contains_key(&ino) {
                continue;
            }
            let inode = volume.inode(ino).await.expect("an inode with a name");
            let attr = *inode.attr();
            let mut node = Node {
                kind: attr.kind,
                links: attr.nlink,
                names: BTreeMap::new(),
                parent: BlockNum(0),
                target: Vec::new(),
                rdev: attr.rdev,
                perm: attr.perm,
            };
            if attr.kind == FileType::Symlink {
                node.target = volume.readlink(&inode).await.expect("a target");
            }
            let mut position = Some(0).filter(|_| inode.is_dir());
            while let Some(at) = position {
                let page = volume.readdir(&inode, at).await.expect("names");
                assert!(page.damage.is_empty(), "{:?}", page.damage);
                for entry in page.entries {
                    match &*entry.name {
                        b"." => assert_eq!(entry.ino, ino),
                        b".." => node.parent = entry.ino,
                        name => {
                            let found = volume.lookup(&inode, name).await.expect("a lookup");
                            assert_eq!(found.map(|found| found.ino), Some(entry.ino), "listed, not found");
                            assert!(node.names.insert(name.to_vec(), entry.ino).is_none(), "a name twice");
                            todo.push(entry.ino);
                        }
                    }
                }
                position = page.next;
            }
            nodes.insert(ino, node);
        }
        Self { root, nodes }
    }

    fn dir(&self, dir: BlockNum) -> Result<&Node, i32> {
        let node = self.nodes.get(&dir).expect("the workload names directories that are there");
        if node.kind != FileType::Directory {
            return Err(ENOTDIR);
        }
        if node.links == 0 { Err(ENOENT) } else { Ok(node) }
    }

    fn find(&self, dir: BlockNum, name: &[u8]) -> Result<BlockNum, i32> {
        self.dir(dir)?.names.get(name).copied().ok_or(ENOENT)
    }

    fn node(&mut self, ino: BlockNum) -> &mut Node {
        self.nodes.get_mut(&ino).expect("an inode that is there")
    }

    fn is_dir(&self, ino: BlockNum) -> bool {
        self.nodes[&ino].kind == FileType::Directory
    }

    /// Whether `dir` is `above` or lies below it.
    fn is_below(&self, mut dir: BlockNum, above: BlockNum) -> bool {
        while dir != above {
            let parent = self.nodes[&dir].parent;
            if parent == dir {
                return false;
            }
            dir = parent;
        }
        true
    }

    /// What `op` must give; for one that makes an inode, which number it gets is not known.
    pub(crate) fn expect(&self, op: &Op) -> Result<(), i32> {
        match op {
            Op::Create { dir, name, .. } => match self.find(*dir, name) {
                Ok(_) => Err(EEXIST),
                Err(ENOENT) => self.dir(*dir).map(drop),
                Err(other) => Err(other),
            },
            Op::Link { ino, dir, name } => {
                self.dir(*dir)?;
                if self.find(*dir, name).is_ok() {
                    return Err(EEXIST);
                }
                if self.is_dir(*ino) {
                    return Err(EPERM);
                }
                if self.nodes[ino].links == 0 { Err(ENOENT) } else { Ok(()) }
            }
            Op::Unlink { dir, name } => {
                let ino = self.find(*dir, name)?;
                if self.is_dir(ino) { Err(EISDIR) } else { Ok(()) }
            }
            Op::Rmdir { dir, name } => {
                let ino = self.find(*dir, name)?;
                match &self.nodes[&ino] {
                    node if node.kind != FileType::Directory => Err(ENOTDIR),
                    node if node.names.is_empty() => Ok(()),
                    _ => Err(ENOTEMPTY),
                }
            }
            Op::Rename { from, to, no_replace } => self.expect_rename(from, to, *no_replace),
        }
    }

    fn expect_rename(
        &self,
        from: &(BlockNum, Vec<u8>),
        to: &(BlockNum, Vec<u8>),
        no_replace: bool,
    ) -> Result<(), i32> {
        let ino = self.find(from.0, &from.1)?;
        self.dir(to.0)?;
        let target = self.find(to.0, &to.1).ok();
        if no_replace && target.is_some() {
            return Err(EEXIST);
        }
        if self.is_dir(ino) && self.is_below(to.0, ino) {
            return Err(EINVAL);
        }
        let Some(target) = target else { return Ok(()) };
        if self.is_dir(target) && self.is_below(from.0, target) {
            return Err(ENOTEMPTY);
        }
        if target == ino {
            return Ok(());
        }
        match (self.is_dir(ino), self.is_dir(target)) {
            (true, false) => Err(ENOTDIR),
            (false, true) => Err(EISDIR),
            (true, true) if !self.nodes[&target].names.is_empty() => Err(ENOTEMPTY),
            _ => Ok(()),
        }
    }

    /// Does `op`, which is expected to succeed, and which gave `made`. Gives the inode that has lost its last name.
    pub(crate) fn apply(&mut self, op: &Op, made: Option<BlockNum>) -> Option<BlockNum> {
        match op {
            Op::Create { dir, name, kind, target, rdev } => {
                let ino = made.expect("an inode was made");
                let is_dir = *kind == FileType::Directory;
                let (perm, links) = (perm_of(*kind), if is_dir { 2 } else { 1 });
                let node = Node {
                    kind: *kind,
                    links,
                    names: BTreeMap::new(),
                    parent: if is_dir { *dir } else { BlockNum(0) },
                    target: target.clone(),
                    rdev: *rdev,
                    perm,
                };
                assert!(self.nodes.insert(ino, node).is_none(), "{ino} is in use");
                self.node(*dir).links += u32::from(is_dir);
                self.node(*dir).names.insert(name.clone(), ino);
                None
            }
            Op::Link { ino, dir, name } => {
                self.node(*ino).links += 1;
                self.node(*dir).names.insert(name.clone(), *ino);
                None
            }
            Op::Unlink { dir, name } | Op::Rmdir { dir, name } => {
                let ino = self.node(*dir).names.remove(name).expect("it was found");
                self.lose_name(*dir, ino)
            }
            Op::Rename { from, to, .. } => {
                let ino = self.nodes[&from.0].names[&from.1];
                let target = self.nodes[&to.0].names.get(&to.1).copied();
                if target == Some(ino) {
                    return None;
                }
                let lost = target.and_then(|target| self.lose_name(to.0, target));
                self.node(from.0).names.remove(&from.1);
                self.node(to.0).names.insert(to.1.clone(), ino);
                if self.is_dir(ino) {
                    self.node(from.0).links -= 1;
                    self.node(to.0).links += 1;
                    self.node(ino).parent = to.0;
                }
                lost
            }
        }
    }

    /// The inodes that have names.
    pub(crate) fn named(&self) -> Self {
        let mut named = self.clone();
        named.nodes.retain(|_, node| node.links > 0);
        named
    }

    fn lose_name(&mut self, dir: BlockNum, ino: BlockNum) -> Option<BlockNum> {
        if self.is_dir(ino) {
            self.node(dir).links -= 1;
            self.node(ino).links = 0;
        } else {
            self.node(ino).links -= 1;
        }
        Some(ino).filter(|_| self.nodes[&ino].links == 0)
    }
}

fn perm_of(kind: FileType) -> u16 {
    if kind == FileType::Symlink { 0o777 } else { 0o640 }
}

impl Op {
    /// Does it on the volume, whose device does not fail.
    pub(crate) async fn run(&self, fs: &Writable, retain: bool) -> Outcome {
        self.attempt(fs, retain).await.map_err(|error| match error.errno() {
            5 => panic!("{self:?}: {error}"),
            number => number,
        })
    }

    /// Does it on the volume.
    pub(crate) async fn attempt(&self, fs: &Writable, retain: bool) -> Result<Option<BlockNum>, Error> {
        match self {
            Self::Create { dir, name, kind, target, rdev } => {
                let new = NewInode { perm: 0o666, uid: 1, gid: 2, umask: Some(0o026) };
                let kind = match kind {
                    FileType::Regular => NewKind::File,
                    FileType::Directory => NewKind::Dir,
                    FileType::Symlink => NewKind::Symlink(target),
                    FileType::Fifo => NewKind::Fifo,
                    FileType::Socket => NewKind::Socket,
                    FileType::CharDevice => NewKind::CharDevice(rdev.0, rdev.1),
                    FileType::BlockDevice => NewKind::BlockDevice(rdev.0, rdev.1),
                };
                let made = match retain {
                    true => fs.create_retained(*dir, name, &new, kind).await,
                    false => fs.create(*dir, name, &new, kind).await,
                };
                made.map(|inode| Some(inode.ino()))
            }
            Self::Link { ino, dir, name } => fs.link(*ino, *dir, name).await.map(|inode| Some(inode.ino())),
            Self::Unlink { dir, name } => fs.unlink(*dir, name).await.map(|()| None),
            Self::Rmdir { dir, name } => fs.rmdir(*dir, name).await.map(|()| None),
            Self::Rename { from, to, no_replace } => {
                let flags = RenameFlags { no_replace: *no_replace };
                let done = fs.rename(from.0, &from.1, to.0, &to.1, flags).await;
                done.map(|()| None)
            }
        }
    }
}

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
}

impl Workload {
    pub(crate) async fn new(fs: &Writable, seed: u64, names: usize) -> Self {
        Self::of(Model::of(fs.volume()).await, seed, names)
    }

    /// On a volume that holds what `model` says.
    pub(crate) fn of(model: Model, seed: u64, names: usize) -> Self {
        let random = Random::new(seed);
        Self { model, random, retained: BTreeMap::new(), names, longest: 4095, full: 0, grows: false }
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

    fn any(&mut self, wanted: impl Fn(&Node) -> bool) -> BlockNum {
        let all: Vec<BlockNum> =
            self.model.nodes.iter().filter(|(_, node)| wanted(node)).map(|(ino, _)| *ino).collect();
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
        let names = self.model.nodes[&dir].names.keys().filter(|name| *name != b"lost+found");
        let names: Vec<Vec<u8>> = names.cloned().collect();
        if names.is_empty() || self.random.below(10) == 0 {
            return self.name();
        }
        names[self.random.below(names.len())].clone()
    }

    /// The next operation.
    pub(crate) fn next_op(&mut self) -> Op {
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

    /// Does one operation on both, and compares.
    pub(crate) async fn step(&mut self, fs: &Writable) -> Op {
        let op = self.next_op();
        let retain = self.random.below(10) == 0;
        let expected = self.model.expect(&op);
        let found = op.run(fs, retain).await;
        if found == Err(ENOSPC) && expected.is_ok() {
            self.full += 1;
            return op;
        }
        assert_eq!(found.map(drop), expected, "{op:?}");
        if let Ok(made) = found {
            let lost = self.model.apply(&op, made);
            if let Op::Create { .. } = op
                && retain
                && let Some(ino) = made
            {
                *self.retained.entry(ino).or_default() += 1;
            }
            if let Some(ino) = lost
                && !self.retained.contains_key(&ino)
            {
                self.model.nodes.remove(&ino);
            }
        }
        if self.random.below(10) == 0 {
            self.retain_or_release(fs).await;
        }
        op
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

    async fn release(&mut self, fs: &Writable, ino: BlockNum) {
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
