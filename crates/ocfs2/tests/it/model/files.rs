//! What inodes hold: data, attributes, flags.

use std::sync::Arc;

use ocfs2::{BlockNum, FallocateMode, FileType, SetAttr, SetTime, XattrHow};

use super::acl::{self, ACCESS, DEFAULT};
use super::op::bytes_of;
use super::{
    APPEND, EEXIST, EINVAL, EISDIR, ENODATA, Given, IMMUTABLE, Model, Node, Op, SET_GID, SET_UID, Time,
};

impl Model {
    /// What `op`, which is not about names, must give.
    pub(super) fn expect_file(&self, op: &Op) -> Result<(), i32> {
        let node = &self.nodes[&op.ino().expect("it is about one inode")];
        match op {
            Op::Write { .. } | Op::Read { .. } | Op::Allocate { .. } => node.expect_regular(),
            Op::SetAttr { set, .. } if set.size.is_some() => node.expect_regular(),
            Op::SetXattr { name, .. } if name == DEFAULT && node.kind != FileType::Directory => Err(EINVAL),
            Op::SetXattr { name, .. } | Op::RemoveXattr { name, .. } if name.starts_with(b"system.") => {
                Ok(())
            }
            Op::SetXattr { name, how, .. } => match (how, node.xattrs.contains_key(name)) {
                (XattrHow::Create, true) => Err(EEXIST),
                (XattrHow::Replace, false) => Err(ENODATA),
                _ => Ok(()),
            },
            Op::RemoveXattr { name, .. } if !node.xattrs.contains_key(name) => Err(ENODATA),
            _ => Ok(()),
        }
    }

    /// Whether the flags of an inode forbid `op`.
    pub(super) fn forbids(&self, op: &Op) -> bool {
        let has = |ino: BlockNum, flags: u32| self.nodes[&ino].flags & flags != 0;
        let named = |(dir, name): (BlockNum, &Vec<u8>)| self.nodes[&dir].names.get(name).copied();
        let fixed = IMMUTABLE | APPEND;
        match op {
            Op::Create { dir, .. } => has(*dir, IMMUTABLE),
            Op::Link { ino, dir, .. } | Op::Clone { ino, dir, .. } => {
                has(*dir, IMMUTABLE) || has(*ino, fixed)
            }
            Op::Unlink { dir, name } | Op::Rmdir { dir, name } => {
                has(*dir, fixed) || named((*dir, name)).is_some_and(|ino| has(ino, fixed))
            }
            Op::Rename { from, to, .. } => {
                let (moved, target) = (named((from.0, &from.1)), named((to.0, &to.1)));
                let to_dir = if target.is_some() { fixed } else { IMMUTABLE };
                let any = [moved, target].into_iter().flatten().any(|ino| has(ino, fixed));
                // Two names of one inode: nothing happens.
                (moved.is_none() || moved != target) && (has(from.0, fixed) || has(to.0, to_dir) || any)
            }
            Op::Write { ino, how, .. } => has(*ino, if how.append { IMMUTABLE } else { fixed }),
            Op::SetAttr { ino, set } => {
                let to = |time| matches!(time, Some(SetTime::To(_)));
                let changes = set.perm.is_some() || set.size.is_some() || set.uid.or(set.gid).is_some();
                let changes = changes || to(set.atime) || to(set.mtime);
                has(*ino, if changes { fixed } else { IMMUTABLE })
            }
            Op::Allocate { ino, .. } | Op::SetXattr { ino, .. } | Op::RemoveXattr { ino, .. } => {
                has(*ino, fixed)
            }
            Op::Read { .. } | Op::SetFlags { .. } | Op::Fsync { .. } => false,
        }
    }

    /// Does `op`, which is not about names; as much of a write as has been done.
    pub(super) fn apply_file(&mut self, op: &Op, given: &Given) {
        let node = self.node(op.ino().expect("it is about one inode"));
        match op {
            Op::Write { at, len, tag, how, .. } => {
                let mut len = *len;
                if let Some(written) = given.written {
                    assert_eq!(written.offset, *at as u64, "{op:?}");
                    assert!(written.len > 0 && written.len <= len as u64, "{op:?}: {written:?}");
                    len = usize::try_from(written.len).expect("no more than was given");
                }
                node.write(*at, &bytes_of(*tag, *at, len));
                if how.kill_set_id {
                    node.lose_set_id();
                }
                let size = node.data.len() as u64;
                assert!(given.written.is_none_or(|written| written.size == size), "{op:?}: {given:?}");
            }
            Op::Read { at, len, .. } => {
                let end = (at + len).min(node.data.len());
                let wanted = &node.data[*at.min(&end)..end];
                assert!(given.bytes.as_deref() == Some(wanted), "{op:?} of a file of {}", node.data.len());
            }
            Op::Allocate { at, len, mode, .. } => node.allocate(*at, *len, *mode),
            Op::SetAttr { set, .. } => node.set_attr(set),
            Op::SetXattr { name, value, .. } => node.set_xattr(name, value),
            Op::RemoveXattr { name, .. } => drop(node.xattrs.remove(name)),
            Op::SetFlags { flags, .. } => node.flags = *flags,
            _ => {}
        }
    }
}

impl Node {
    fn expect_regular(&self) -> Result<(), i32> {
        match self.kind {
            FileType::Regular => Ok(()),
            FileType::Directory => Err(EISDIR),
            _ => Err(EINVAL),
        }
    }

    /// The set-group-id bit of what the group cannot execute is none.
    fn lose_set_id(&mut self) {
        let set_gid = if self.perm & 0o010 != 0 { SET_GID } else { 0 };
        self.perm &= !(SET_UID | set_gid);
    }

    fn resize(&mut self, size: usize) {
        Arc::make_mut(&mut self.data).resize(size, 0);
        self.mtime = Time(None);
    }

    fn write(&mut self, at: usize, bytes: &[u8]) {
        self.resize(self.data.len().max(at + bytes.len()));
        Arc::make_mut(&mut self.data)[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn allocate(&mut self, at: usize, len: usize, mode: FallocateMode) {
        let size = self.data.len();
        match mode {
            FallocateMode { punch_hole: true, .. } => {
                let end = (at + len).min(size);
                Arc::make_mut(&mut self.data)[at.min(end)..end].fill(0);
            }
            FallocateMode { keep_size: false, .. } => self.resize(size.max(at + len)),
            _ => {}
        }
        self.mtime = Time(None);
    }

    fn set_attr(&mut self, set: &SetAttr) {
        if let Some(size) = set.size {
            self.resize(usize::try_from(size).expect("a size that memory has room for"));
        }
        let gives = set.uid.is_some() || set.gid.is_some();
        if let Some(perm) = set.perm {
            self.perm = perm;
            if let Some(acl) = self.xattrs.get_mut(ACCESS) {
                *acl = acl::with_bits(acl, perm);
            }
        } else if set.kill_set_id || gives && self.kind != FileType::Directory {
            self.lose_set_id();
        }
        self.owner = (set.uid.unwrap_or(self.owner.0), set.gid.unwrap_or(self.owner.1));
        for (time, of) in [(set.atime, &mut self.atime), (set.mtime, &mut self.mtime)] {
            match time {
                Some(SetTime::To(time)) => *of = Time(Some(time)),
                Some(SetTime::Now) => *of = Time(None),
                None => {}
            }
        }
    }

    fn set_xattr(&mut self, name: &[u8], value: &[u8]) {
        if name == ACCESS {
            self.perm = self.perm & 0o7000 | acl::bits(value);
            if acl::is_bits(value) {
                self.xattrs.remove(name);
                return;
            }
        }
        self.xattrs.insert(name.to_vec(), value.to_vec());
    }
}
