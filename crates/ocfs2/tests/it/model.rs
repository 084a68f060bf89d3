//! A filesystem in memory: what every operation must do.

mod acl;
mod files;
mod names;
mod op;
mod workload;

use std::collections::BTreeMap;
use std::sync::Arc;

use ocfs2::{BlockNum, FileType, Inode, Timestamp, Volume};

pub(crate) use op::{Given, Op};
pub(crate) use workload::{BALLAST, Workload};

pub(crate) const ENOENT: i32 = 2;
const EPERM: i32 = 1;
const EEXIST: i32 = 17;
const ENOTDIR: i32 = 20;
const EISDIR: i32 = 21;
const EINVAL: i32 = 22;
const ENOSPC: i32 = 28;
const ENOTEMPTY: i32 = 39;
const ENODATA: i32 = 61;

/// The flags `i` and `a` of `lsattr`.
const IMMUTABLE: u32 = 0x10;
const APPEND: u32 = 0x20;

const SET_UID: u16 = 0o4000;
const SET_GID: u16 = 0o2000;

/// A time; one that is not known is like any other.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Time(Option<Timestamp>);

impl PartialEq for Time {
    fn eq(&self, other: &Self) -> bool {
        self.0.is_none() || other.0.is_none() || self.0 == other.0
    }
}

/// An inode.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) kind: FileType,
    pub(crate) generation: u32,
    pub(crate) links: u32,
    /// A directory's names.
    pub(crate) names: BTreeMap<Vec<u8>, BlockNum>,
    /// A directory's `..`.
    pub(crate) parent: BlockNum,
    pub(crate) target: Vec<u8>,
    pub(crate) rdev: (u32, u32),
    perm: u16,
    owner: (u32, u32),
    flags: u32,
    atime: Time,
    mtime: Time,
    pub(crate) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// A file's contents.
    pub(crate) data: Arc<Vec<u8>>,
}

/// All inodes by their numbers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Model {
    pub(crate) root: BlockNum,
    pub(crate) nodes: BTreeMap<BlockNum, Node>,
}

impl Node {
    /// What `inode` says of itself.
    fn of(inode: &Inode) -> Self {
        let attr = *inode.attr();
        Self {
            kind: attr.kind,
            generation: attr.generation,
            links: attr.nlink,
            names: BTreeMap::new(),
            parent: BlockNum(0),
            target: Vec::new(),
            rdev: attr.rdev,
            perm: attr.perm,
            owner: (attr.uid, attr.gid),
            flags: attr.flags,
            atime: Time(Some(attr.atime)),
            mtime: Time(Some(attr.mtime)),
            xattrs: BTreeMap::new(),
            data: Arc::default(),
        }
    }

    /// What is not as in `other`, and how it is; `None` where all is.
    pub(crate) fn difference(&self, other: &Self) -> Option<String> {
        let plain = |node: &Self| {
            let of = (node.kind, node.generation, node.links, node.parent, node.rdev);
            format!("{of:?} {:o} {:?} {:x}", node.perm, node.owner, node.flags)
        };
        let names = |node: &Self| {
            let short = |(name, ino): (&Vec<u8>, &BlockNum)| {
                format!("{}: {}", name[..name.len().min(4)].escape_ascii(), ino.0)
            };
            node.names.iter().map(short).collect::<Vec<_>>().join(" ")
        };
        let xattrs = |node: &Self| {
            let short = |(name, value): (&Vec<u8>, &Vec<u8>)| {
                let name = name[..name.len().min(12)].escape_ascii();
                format!("{name}: {} of {:?}", value.len(), value.first())
            };
            node.xattrs.iter().map(short).collect::<Vec<_>>().join(", ")
        };
        let times = |node: &Self| format!("{:?} {:?}", node.atime, node.mtime);
        let data = |node: &Self| {
            let differs = node.data.iter().zip(&*other.data).position(|(one, other)| one != other);
            format!("{} bytes, {differs:?}", node.data.len())
        };
        let all = |node: &Self| [plain(node), names(node), xattrs(node), times(node), data(node)].join("; ");
        (self != other).then(|| format!("{}\n  for {}", all(self), all(other)))
    }

    pub(crate) fn is_file(&self) -> bool {
        self.kind == FileType::Regular
    }

    /// Whether only what it grows by, or nothing at all, may change.
    pub(crate) fn is_flagged(&self) -> bool {
        self.flags & (IMMUTABLE | APPEND) != 0
    }
}

impl Model {
    /// What is on `volume`.
    pub(crate) async fn of(volume: &Volume) -> Self {
        Self::read(volume, true).await
    }

    /// The same without the data of files, which may be larger than memory: their holes are.
    pub(crate) async fn without_data(volume: &Volume) -> Self {
        Self::read(volume, false).await
    }

    async fn read(volume: &Volume, data: bool) -> Self {
        let root = volume.root();
        let mut nodes = BTreeMap::new();
        let mut todo = vec![root];
        while let Some(ino) = todo.pop() {
            if nodes.contains_key(&ino) {
                continue;
            }
            let inode = volume.inode(ino).await.expect("an inode with a name");
            let mut node = Node::of(&inode);
            if data || node.kind != FileType::Regular {
                read_contents(volume, &inode, &mut node).await;
            }
            todo.extend(node.names.values());
            nodes.insert(ino, node);
        }
        Self { root, nodes }
    }

    /// What is not as in `wanted`.
    pub(crate) fn difference(&self, wanted: &Self) -> String {
        let mut all: Vec<&BlockNum> = self.nodes.keys().chain(wanted.nodes.keys()).collect();
        all.sort_unstable();
        all.dedup();
        let line = |ino: &BlockNum| match (self.nodes.get(ino), wanted.nodes.get(ino)) {
            (Some(found), Some(wanted)) => found.difference(wanted).map(|what| format!("\n{ino}: {what}")),
            (found, _) => Some(format!("\n{ino}: {}", if found.is_some() { "there" } else { "not there" })),
        };
        all.into_iter().filter_map(line).collect()
    }

    /// The same at any time.
    pub(crate) fn timeless(mut self) -> Self {
        for node in self.nodes.values_mut() {
            (node.atime, node.mtime) = (Time(None), Time(None));
        }
        self
    }

    /// The inodes that have names.
    pub(crate) fn named(&self) -> Self {
        let mut named = self.clone();
        named.nodes.retain(|_, node| node.links > 0);
        named
    }

    fn node(&mut self, ino: BlockNum) -> &mut Node {
        self.nodes.get_mut(&ino).expect("an inode that is there")
    }

    fn is_dir(&self, ino: BlockNum) -> bool {
        self.nodes[&ino].kind == FileType::Directory
    }

    /// What `op` must give; for one that makes an inode, which number it gets is not known.
    pub(crate) fn expect(&self, op: &Op) -> Result<(), i32> {
        match op.changes_names() {
            true => self.expect_names(op),
            false => self.expect_file(op),
        }
    }

    /// Fails unless `found` is what `op` must give.
    pub(crate) fn judge(&self, op: &Op, found: Result<(), i32>) {
        let expected = self.expect(op);
        // Of two reasons to fail either will do.
        let forbidden = self.forbids(op) && found == Err(EPERM);
        let fits = forbidden || found == expected && (expected.is_err() || !self.forbids(op));
        assert!(fits, "{op:?}: {found:?} for {expected:?}, forbidden: {}", self.forbids(op));
    }

    /// Does `op`, which has succeeded and has given that. Gives the inode that has lost its last name.
    pub(crate) fn apply(&mut self, op: &Op, given: &Given) -> Option<BlockNum> {
        let lost = match op.changes_names() {
            true => self.apply_names(op, given),
            false => {
                self.apply_file(op, given);
                None
            }
        };
        if let Some(inode) = &given.inode {
            let (node, found) = (&self.nodes[&inode.ino()], Node::of(inode));
            let of = |node: &Node| (node.links, node.perm, node.owner, node.flags, node.generation);
            assert_eq!(of(&found), of(node), "{op:?}");
            assert!((found.atime, found.mtime) == (node.atime, node.mtime), "{op:?}: {found:?}");
            assert!(
                !node.is_file() || inode.attr().size == node.data.len() as u64,
                "{op:?}: {}",
                inode.attr().size
            );
        }
        lost
    }
}

impl Model {
    /// An operation that would have made `after` of this has failed on the way, and `inode` holds `data` now.
    pub(crate) fn settle(&mut self, after: &Self, inode: &Inode, data: Vec<u8>) {
        let (before, after) = (self.nodes[&inode.ino()].clone(), &after.nodes[&inode.ino()]);
        let sizes = [before.data.len(), after.data.len()];
        assert!(
            (sizes[0].min(sizes[1])..=sizes[0].max(sizes[1])).contains(&data.len()),
            "{sizes:?}: {}",
            data.len()
        );
        let at = |node: &Node, at| node.data.get(at).copied().unwrap_or(0);
        let foreign = (0..data.len()).find(|n| data[*n] != at(&before, *n) && data[*n] != at(after, *n));
        assert!(foreign.is_none(), "byte {foreign:?} of {}", data.len());
        let found = Node::of(inode);
        assert!([before.perm, after.perm].contains(&found.perm), "{found:?}");
        let node = self.node(inode.ino());
        (node.perm, node.mtime, node.data) = (found.perm, Time(None), Arc::new(data));
    }
}

/// Reads the names, the target or the data of `inode`, and its attributes.
async fn read_contents(volume: &Volume, inode: &Inode, node: &mut Node) {
    for xattr in volume.xattrs(inode).await.expect("attributes") {
        let value = volume.xattr_value(inode, &xattr).await.expect("a value");
        let twice = node.xattrs.insert(xattr.name().to_vec(), value);
        assert!(twice.is_none(), "{}: an attribute twice", inode.ino());
    }
    match node.kind {
        FileType::Regular => {
            node.data = Arc::new(volume.read(inode, 0, u64::MAX).await.expect("data").to_vec());
        }
        FileType::Symlink => node.target = volume.readlink(inode).await.expect("a target"),
        FileType::Directory => read_names(volume, inode, node).await,
        _ => {}
    }
}

async fn read_names(volume: &Volume, inode: &Inode, node: &mut Node) {
    let mut position = Some(0);
    while let Some(at) = position {
        let page = volume.readdir(inode, at).await.expect("names");
        assert!(page.damage.is_empty(), "{:?}", page.damage);
        for entry in page.entries {
            match &*entry.name {
                b"." => assert_eq!(entry.ino, inode.ino()),
                b".." => node.parent = entry.ino,
                name => {
                    let found = volume.lookup(inode, name).await.expect("a lookup");
                    assert_eq!(found.map(|found| found.ino), Some(entry.ino), "listed, not found");
                    assert!(node.names.insert(name.to_vec(), entry.ino).is_none(), "a name twice");
                }
            }
        }
        position = page.next;
    }
}
