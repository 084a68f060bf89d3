//! Names: made, moved, taken away.

use std::collections::BTreeMap;
use std::sync::Arc;

use ocfs2::{BlockNum, FileType};

use super::acl::{self, ACCESS, DEFAULT};
use super::op::NEW;
use super::{
    EEXIST, EINVAL, EISDIR, ENOENT, ENOTDIR, ENOTEMPTY, EPERM, Given, Model, Node, Op, SET_GID, Time,
};

impl Model {
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

    /// What `op`, which is about names, must give.
    pub(super) fn expect_names(&self, op: &Op) -> Result<(), i32> {
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
            Op::Clone { ino, dir, name, .. } => {
                let original = &self.nodes[ino];
                if !original.is_file() || original.is_flagged() {
                    return Err(EPERM);
                }
                self.dir(*dir)?;
                if self.find(*dir, name).is_ok() {
                    return Err(EEXIST);
                }
                if original.links == 0 { Err(ENOENT) } else { Ok(()) }
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
            _ => unreachable!("it is not about names"),
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

    /// Does `op`, which is about names. Gives the inode that has lost its last name.
    pub(super) fn apply_names(&mut self, op: &Op, given: &Given) -> Option<BlockNum> {
        match op {
            Op::Create { dir, name, kind, target, rdev } => {
                let is_dir = *kind == FileType::Directory;
                let mut node =
                    self.new_node(*dir, *kind, if *kind == FileType::Symlink { 0o777 } else { NEW.perm });
                node.links = if is_dir { 2 } else { 1 };
                node.parent = if is_dir { *dir } else { BlockNum(0) };
                (node.target, node.rdev) = (target.clone(), *rdev);
                self.add(*dir, name, node, given);
                self.node(*dir).links += u32::from(is_dir);
                None
            }
            Op::Clone { ino, dir, name, preserve } => {
                let original = &self.nodes[ino];
                let node = match preserve {
                    true => Node { atime: Time(None), ..original.clone() },
                    false => {
                        let mut node = self.new_node(*dir, FileType::Regular, NEW.perm & original.perm);
                        (node.flags, node.data) = (original.flags, Arc::clone(&original.data));
                        // Who may do what with it is for its new owner to say.
                        let is_kept =
                            |name: &[u8]| !name.starts_with(b"security.") && !name.starts_with(b"system.");
                        let others = original.xattrs.iter().filter(|(name, _)| is_kept(name));
                        node.xattrs.extend(others.map(|(name, value)| (name.clone(), value.clone())));
                        node
                    }
                };
                self.add(*dir, name, Node { links: 1, ..node }, given);
                None
            }
            Op::Link { ino, dir, name } => {
                self.node(*ino).links += 1;
                self.dir_to_change(*dir).names.insert(name.clone(), *ino);
                None
            }
            Op::Unlink { dir, name } | Op::Rmdir { dir, name } => {
                let ino = self.dir_to_change(*dir).names.remove(name).expect("it was found");
                self.lose_name(*dir, ino)
            }
            Op::Rename { from, to, .. } => {
                let ino = self.nodes[&from.0].names[&from.1];
                let target = self.nodes[&to.0].names.get(&to.1).copied();
                if target == Some(ino) {
                    return None;
                }
                let lost = target.and_then(|target| self.lose_name(to.0, target));
                self.dir_to_change(from.0).names.remove(&from.1);
                self.dir_to_change(to.0).names.insert(to.1.clone(), ino);
                if self.is_dir(ino) {
                    self.node(from.0).links -= 1;
                    self.node(to.0).links += 1;
                    self.node(ino).parent = to.0;
                }
                lost
            }
            _ => unreachable!("it is not about names"),
        }
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

    /// The directory `dir`, whose names are about to change.
    fn dir_to_change(&mut self, dir: BlockNum) -> &mut Node {
        let dir = self.node(dir);
        dir.mtime = Time(None);
        dir
    }

    fn add(&mut self, dir: BlockNum, name: &[u8], node: Node, given: &Given) {
        let inode = given.inode.as_ref().expect("an inode was made");
        let node = Node { generation: inode.attr().generation, ..node };
        assert!(self.nodes.insert(inode.ino(), node).is_none(), "{} is in use", inode.ino());
        self.dir_to_change(dir).names.insert(name.to_vec(), inode.ino());
    }

    /// An inode that is made in `dir` with `perm`, and what it inherits.
    fn new_node(&self, dir: BlockNum, kind: FileType, mut perm: u16) -> Node {
        let dir = &self.nodes[&dir];
        let (mut gid, mut xattrs) = (NEW.gid, BTreeMap::new());
        if dir.perm & SET_GID != 0 {
            gid = dir.owner.1;
            perm |= if kind == FileType::Directory { SET_GID } else { 0 };
        }
        match dir.xattrs.get(DEFAULT) {
            _ if kind == FileType::Symlink => {}
            None => perm &= !NEW.umask.unwrap_or(0),
            Some(default) => {
                perm &= 0o7000 | acl::bits(default);
                if !acl::is_bits(default) {
                    xattrs.insert(ACCESS.to_vec(), acl::with_bits(default, perm));
                }
                if kind == FileType::Directory {
                    xattrs.insert(DEFAULT.to_vec(), default.clone());
                }
            }
        }
        Node {
            kind,
            generation: 0,
            links: 0,
            names: BTreeMap::new(),
            parent: BlockNum(0),
            target: Vec::new(),
            rdev: (0, 0),
            perm,
            owner: (NEW.uid, gid),
            flags: 0,
            atime: Time(None),
            mtime: Time(None),
            xattrs,
            data: Arc::default(),
        }
    }
}
