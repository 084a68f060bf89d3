//! From a call to the filesystem's method and back to a reply.

use rustix::io::Errno;
use smallvec::SmallVec;

use crate::abi::InitFlags;
use crate::ioctl::Question;
use crate::negotiate::{Agreed, MAX_READ};
use crate::reply::{Reply, ino_of};
use crate::request::Call;
use crate::{Config, Filesystem, Ino, Listing, Lookup, Seek};

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
pub(crate) struct Caller {
    pub(crate) node: u64,
    pub(crate) uid: u32,
}

/// The calls of one session.
#[derive(Debug)]
pub(crate) struct Calls<F> {
    pub(crate) fs: std::sync::Arc<F>,
    pub(crate) config: Config,
    pub(crate) agreed: Agreed,
}

impl<F: Filesystem> Calls<F> {
    /// Does one call.
    pub(crate) async fn call(&self, caller: Caller, call: Call) -> Answer {
        let ino = ino_of(caller.node, self.fs.root());
        match call {
            Call::Lookup { name } => self.lookup(ino, &name).await,
            Call::ReadDir { handle, offset, room, plus } => {
                let listing = Listing::new(clamp(room), plus, self.fs.root());
                self.read_dir(ino, handle, offset, listing).await
            }
            other => self.plain(ino, caller.uid, other).await.into(),
        }
    }

    /// The calls that give the kernel no reference.
    async fn plain(&self, ino: Ino, uid: u32, call: Call) -> Result<Reply, Errno> {
        let fs = &self.fs;
        match call {
            Call::GetAttr => fs.attributes(ino).await.map(|found| Reply::attributes(&found)),
            Call::ReadLink => fs.read_link(ino).await.map(Reply::Bytes),
            Call::Open { flags, directory } => self.open(ino, flags, directory).await,
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
            Call::Ioctl { command, room } => {
                let question = Question::parse(command, room)?;
                fs.file_flags(ino).await.map(|flags| question.answer(flags))
            }
            Call::Sync => Ok(Reply::empty()),
            Call::Change => Err(Errno::ROFS),
            // The kernel remembers this answer and does without from then on.
            Call::Unsupported => Err(Errno::NOSYS),
            Call::Lookup { .. } | Call::ReadDir { .. } => Err(Errno::IO),
        }
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

    async fn open(&self, ino: Ino, flags: u32, directory: bool) -> Result<Reply, Errno> {
        let no_open = if directory { InitFlags::NO_OPENDIR_SUPPORT } else { InitFlags::NO_OPEN_SUPPORT };
        if self.config.unchanging && self.agreed.flags.contains(no_open) {
            return Err(Errno::NOSYS);
        }
        self.fs.open(ino, flags).await.map(|opened| Reply::opened(opened, directory))
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
