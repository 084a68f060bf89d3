//! From a call to the filesystem's method and back to a reply.

use block::Buf;
use rustix::io::Errno;
use smallvec::SmallVec;

use crate::abi::InitFlags;
use crate::ioctl::Ioctl;
use crate::negotiate::{Agreed, MAX_READ};
use crate::reply::{Reply, ino_of};
use crate::request::{Call, Change};
use crate::{
    Caller, Changes, Config, Creation, FallocateHow, Filesystem, Ino, Listing, Lookup, Seek, WriteHow,
};

/// What is sent, and the inodes that the kernel gets a reference to by it.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) outcome: Result<Reply, Errno>,
    pub(crate) given: SmallVec<[Ino; 1]>,
}

impl From<Result<Reply, Errno>> for Answer {
    fn from(outcome: Result<Reply, Errno>) -> Self {
        Self { outcome, given: SmallVec::new() }
    }
}

/// The head of a call: the inode by the kernel's number, and who asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    pub(crate) node: u64,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// The calls of one session.
#[derive(Debug)]
pub(crate) struct Calls<F> {
    pub(crate) fs: std::sync::Arc<F>,
    pub(crate) config: Config,
    pub(crate) agreed: Agreed,
}

impl<F: Filesystem> Calls<F> {
    /// Does one call; `data` is what a WRITE brings.
    pub(crate) async fn call(&self, head: Head, call: Call, data: Option<Buf>) -> Answer {
        let ino = ino_of(head.node, self.fs.root());
        match call {
            Call::Lookup { name } => self.lookup(ino, &name).await,
            Call::ReadDir { handle, offset, room, plus } => {
                let listing = Listing::new(clamp(room), plus, self.fs.root());
                self.read_dir(ino, handle, offset, listing).await
            }
            Call::Change(change) => self.change(ino, head, change, data).await,
            other => self.plain(ino, head.uid, other).await.into(),
        }
    }

    /// The calls that give the kernel no reference.
    async fn plain(&self, ino: Ino, uid: u32, call: Call) -> Result<Reply, Errno> {
        let fs = &self.fs;
        match call {
            Call::GetAttr => fs.attributes(ino).await.map(|found| Reply::attributes(&found)),
            Call::ReadLink => fs.read_link(ino).await.map(Reply::Bytes),
            Call::Open { flags, directory, kill_set_id } => {
                self.open(ino, flags, directory, kill_set_id).await
            }
            Call::Release { handle } => {
                fs.release(ino, handle).await;
                Ok(Reply::empty())
            }
            Call::Read { handle, offset, len } => self.read(ino, handle, offset, len).await,
            Call::StatFs => fs.volume_stat().await.map(|stat| Reply::volume_stat(&stat)),
            Call::GetXattr { name, room } => Reply::sized(fs.xattr(ino, &name).await?, room),
            Call::ListXattr { room } => Reply::sized(visible(fs.xattr_names(ino).await?, uid), room),
            Call::Lseek { handle, offset, whence } => {
                let what = match whence {
                    3 => Seek::Data,
                    4 => Seek::Hole,
                    _ => return Err(Errno::INVAL),
                };
                fs.seek(ino, handle, offset, what).await.map(Reply::offset)
            }
            Call::Ioctl { command, argument, room } => match Ioctl::parse(command, &argument, room)? {
                Ioctl::Get(question) => fs.file_flags(ino).await.map(|flags| question.answer(flags)),
                Ioctl::Set(setting) => {
                    let flags = setting.over(fs.file_flags(ino).await?)?;
                    fs.set_file_flags(ino, flags).await.map(|()| Ioctl::done())
                }
            },
            Call::Sync => fs.sync().await.map(|()| Reply::empty()),
            // The kernel remembers this answer and does without from then on.
            Call::Unsupported => Err(Errno::NOSYS),
            Call::Lookup { .. } | Call::ReadDir { .. } | Call::Change(_) => Err(Errno::IO),
        }
    }

    /// The calls that may change the volume.
    async fn change(&self, ino: Ino, head: Head, change: Change, data: Option<Buf>) -> Answer {
        let (fs, root) = (&self.fs, self.fs.root());
        let creation = |perm, umask| Creation { perm, umask, uid: head.uid, gid: head.gid };
        let by = Caller { uid: head.uid };
        let entry = match change {
            Change::Make { name, kind, perm, umask } => {
                fs.create(ino, &name, kind.borrowed(), &creation(perm, umask)).await
            }
            Change::Link { node, name } => fs.link(ino_of(node, root), ino, &name, by).await,
            Change::Create { name, flags, perm, umask } => {
                return match fs.create_open(ino, &name, flags, &creation(perm, umask)).await {
                    Ok((entry, opened)) => Answer {
                        given: SmallVec::from_slice(&[entry.attr.ino]),
                        outcome: Ok(Reply::created(&entry, opened, root)),
                    },
                    Err(errno) => Err(errno).into(),
                };
            }
            other => return self.plain_change(ino, by, other, data).await.into(),
        };
        match entry {
            Ok(entry) => Answer {
                given: SmallVec::from_slice(&[entry.attr.ino]),
                outcome: Ok(Reply::entry(&entry, root)),
            },
            Err(errno) => Err(errno).into(),
        }
    }

    /// Those of them that give the kernel no reference.
    async fn plain_change(
        &self,
        ino: Ino,
        by: Caller,
        change: Change,
        data: Option<Buf>,
    ) -> Result<Reply, Errno> {
        let (fs, root) = (&self.fs, self.fs.root());
        match change {
            Change::SetAttr(change) => {
                return fs.set_attributes(ino, &change, by).await.map(|found| Reply::attributes(&found));
            }
            Change::Write { handle, offset, len, flags, cached, kill_set_id } => {
                let how = WriteHow { flags, cached, kill_set_id };
                let data = data.unwrap_or_else(|| Buf::zeroed(0));
                let written = fs.write(ino, handle, offset, data, how, by).await?;
                let written = u32::try_from(written).ok().filter(|written| *written <= len);
                return written.map(Reply::written).ok_or(Errno::IO);
            }
            Change::CopyRange { range, to } => {
                return fs.copy_range(ino, ino_of(to, root), range, by).await.map(Reply::written);
            }
            Change::Unlink { name } => fs.unlink(ino, &name).await?,
            Change::RmDir { name } => fs.remove_dir(ino, &name).await?,
            Change::Rename { name, to_dir, to, how } => {
                fs.rename((ino, &name), (ino_of(to_dir, root), &to), how, by).await?;
            }
            Change::Fsync { data_only } => fs.fsync(ino, data_only).await?,
            Change::Fallocate { offset, len, mode } => {
                fs.fallocate(ino, offset, len, FallocateHow::from_bits_retain(mode), by).await?;
            }
            Change::SetXattr { name, value, how, kill_set_gid } => {
                fs.set_xattr(ino, &name, &value, how, kill_set_gid, by).await?;
            }
            Change::RemoveXattr { name } => fs.remove_xattr(ino, &name).await?,
            Change::Make { .. } | Change::Link { .. } | Change::Create { .. } => return Err(Errno::IO),
        }
        Ok(Reply::empty())
    }

    async fn lookup(&self, dir: Ino, name: &[u8]) -> Answer {
        let root = self.fs.root();
        match self.fs.lookup(dir, name).await {
            Ok(found) => {
                let given = match &found {
                    Lookup::Found(entry) => SmallVec::from_slice(&[entry.attr.ino]),
                    Lookup::Missing(_) => SmallVec::new(),
                };
                Answer { outcome: Ok(Reply::lookup(&found, root)), given }
            }
            Err(errno) => Err(errno).into(),
        }
    }

    async fn read_dir(&self, dir: Ino, handle: u64, offset: u64, mut listing: Listing) -> Answer {
        let outcome = self.fs.read_dir(dir, handle, offset, &mut listing).await;
        match outcome {
            Err(errno) if listing.is_empty() => Err(errno).into(),
            _ => {
                let (bytes, given) = listing.into_parts();
                Answer { outcome: Ok(Reply::Bytes(bytes)), given: SmallVec::from_vec(given) }
            }
        }
    }

    async fn open(&self, ino: Ino, flags: u32, directory: bool, kill_set_id: bool) -> Result<Reply, Errno> {
        let (no_open, without) = match directory {
            // The kernel sees every change of a listing where all are made through it.
            true => (InitFlags::NO_OPENDIR_SUPPORT, self.config.changes != Changes::Anywhere),
            false => (InitFlags::NO_OPEN_SUPPORT, self.config.changes == Changes::None),
        };
        if without && self.agreed.flags.contains(no_open) {
            return Err(Errno::NOSYS);
        }
        let opened = match directory {
            true => self.fs.open_dir(ino, flags).await,
            false => self.fs.open(ino, flags, kill_set_id).await,
        };
        opened.map(|opened| Reply::opened(opened, directory))
    }

    async fn read(&self, ino: Ino, handle: u64, offset: u64, len: u32) -> Result<Reply, Errno> {
        let len = clamp(len);
        let data = self.fs.read(ino, handle, offset, len).await?;
        if data.len() > len {
            tracing::error!(
                ino = ino.0,
                offset,
                len,
                got = data.len(),
                "a read gave more than was asked for"
            );
            return Err(Errno::IO);
        }
        Ok(Reply::Data(data))
    }
}

/// Names of xattrs without those that only root may know of.
fn visible(names: Vec<u8>, uid: u32) -> Vec<u8> {
    if uid == 0 {
        return names;
    }
    names
        .split_inclusive(|&b| b == 0)
        .filter(|name| !name.starts_with(b"trusted."))
        .flatten()
        .copied()
        .collect()
}

/// A length from the kernel, bounded by what was agreed.
fn clamp(len: u32) -> usize {
    usize::try_from(len.min(MAX_READ)).expect("1 MiB fits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trusted_names_are_for_root() {
        let names = b"user.a\0trusted.b\0security.c\0".to_vec();
        assert_eq!(visible(names.clone(), 0), names);
        assert_eq!(visible(names, 1000), b"user.a\0security.c\0");
    }
}
