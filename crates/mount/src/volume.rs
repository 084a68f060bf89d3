//! An OCFS2 volume as a [`Filesystem`]: read-only, while nothing else changes it.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lru::LruCache;
use ocfs2::{BlockNum, Inode, Volume};
use rustix::io::Errno;

use crate::convert::{attr_of, data_of, failed, kind_of, stat_of};
use crate::{
    Attributes, Changes, Config, Data, DirEntry, Entry, FileFlags, FileKind, Filesystem, Ino, Listing,
    Lookup, Seek, VolumeStat,
};

/// How long the kernel may rely on what it was told: nothing changes, so a day is as good as any.
const TTL: Duration = Duration::from_secs(86_400);
/// Inodes kept in parsed form: those that are being read.
const RECENT: NonZeroUsize = NonZeroUsize::new(512).expect("512 is not 0");
/// Directories remembered to have damage.
const DAMAGED_MAX: usize = 10_000;
/// Pages of a directory after which a listing lets others run: emptied ones may be long, and all in memory.
const YIELD_AFTER: usize = 64;

/// A mounted volume.
///
/// What is damaged fails by itself with EIO, and everything else can be read. A directory with damage lists what is
/// good in it and then fails, so that nobody takes the list for complete.
#[derive(Debug)]
pub struct VolumeFs {
    volume: Volume,
    acl: bool,
    recent: Mutex<LruCache<BlockNum, Inode>>,
    damaged: Mutex<BTreeSet<BlockNum>>,
}

impl VolumeFs {
    /// A volume that nothing changes while it is mounted. With `acl`, POSIX ACLs are shown and enforced.
    pub fn new(volume: Volume, acl: bool) -> Self {
        let recent = Mutex::new(LruCache::new(RECENT));
        Self { volume, acl, recent, damaged: Mutex::default() }
    }

    /// What a session with it allows the kernel.
    pub fn config(&self) -> Config {
        Config { posix_acl: self.acl, changes: Changes::None }
    }

    /// The volume.
    pub fn volume(&self) -> &Volume {
        &self.volume
    }

    async fn inode(&self, ino: Ino) -> Result<Inode, Errno> {
        self.volume.inode(BlockNum(ino.0)).await.map_err(|error| failed(ino, &error))
    }

    /// The same for a file that is probably asked for again at once.
    async fn open_inode(&self, ino: Ino) -> Result<Inode, Errno> {
        if let Some(inode) = lock(&self.recent).get(&BlockNum(ino.0)) {
            return Ok(inode.clone());
        }
        let inode = self.inode(ino).await?;
        lock(&self.recent).put(inode.ino(), inode.clone());
        Ok(inode)
    }

    /// Lists one page. `false` when the listing is full.
    async fn list_page(&self, entries: &[ocfs2::Dirent], listing: &mut Listing) -> bool {
        if listing.wants_inodes() {
            let fitting = listing.fitting(entries.iter().map(|entry| entry.name.len()));
            let named = entries.iter().take(fitting).filter(|entry| !entry.is_dot());
            let inos: Vec<BlockNum> = named.map(|entry| entry.ino).collect();
            self.volume.prefetch_inodes(inos).await;
        }
        for entry in entries {
            if !listing.has_room(entry.name.len()) {
                return false;
            }
            let inode = match listing.wants_inodes() && !entry.is_dot() {
                // One that cannot be read is listed all the same; looking it up says why.
                true => self.volume.inode(entry.ino).await.ok(),
                false => None,
            };
            let dirent = DirEntry {
                ino: Ino(entry.ino.0),
                kind: entry.kind.map_or(FileKind::Unknown, kind_of),
                name: &entry.name,
                next_offset: entry.next,
            };
            if !listing.push(dirent, inode.as_ref().map(entry_of).as_ref()) {
                return false;
            }
        }
        true
    }

    /// Remembers that a listing of `dir` is not whole.
    fn note_damage(&self, dir: &Inode, error: &dyn std::error::Error) {
        tracing::warn!(dir = dir.ino().0, %error, "part of a directory cannot be read");
        let mut damaged = lock(&self.damaged);
        if damaged.len() < DAMAGED_MAX {
            damaged.insert(dir.ino());
        }
    }

    fn is_hidden(&self, name: &[u8]) -> bool {
        !self.acl && name.starts_with(b"system.posix_acl_")
    }
}

impl Filesystem for VolumeFs {
    fn root(&self) -> Ino {
        Ino(self.volume.root().0)
    }

    async fn lookup(&self, dir: Ino, name: &[u8]) -> Result<Lookup, Errno> {
        let parent = self.open_inode(dir).await?;
        if name == b"." {
            return Ok(Lookup::Found(entry_of(&parent)));
        }
        match self.volume.lookup(&parent, name).await.map_err(|error| failed(dir, &error))? {
            Some(found) => Ok(Lookup::Found(entry_of(&self.inode(Ino(found.ino.0)).await?))),
            None => Ok(Lookup::Missing(TTL)),
        }
    }

    async fn attributes(&self, ino: Ino) -> Result<Attributes, Errno> {
        let inode = self.inode(ino).await?;
        Ok(Attributes { attr: attr_of(&inode), ttl: TTL })
    }

    async fn read_link(&self, ino: Ino) -> Result<Vec<u8>, Errno> {
        let inode = self.inode(ino).await?;
        self.volume.readlink(&inode).await.map_err(|error| failed(ino, &error))
    }

    async fn read(&self, ino: Ino, _handle: u64, offset: u64, len: usize) -> Result<Data, Errno> {
        let inode = self.open_inode(ino).await?;
        let len = u64::try_from(len).map_err(|_| Errno::INVAL)?;
        let found = self.volume.read(&inode, offset, len).await.map_err(|error| failed(ino, &error))?;
        data_of(found)
    }

    async fn read_dir(
        &self,
        ino: Ino,
        _handle: u64,
        offset: u64,
        listing: &mut Listing,
    ) -> Result<(), Errno> {
        let dir = self.open_inode(ino).await?;
        let mut pages = self.volume.dir_pages(&dir, offset);
        let mut count = 0usize;
        while let Some(page) = pages.next().await {
            count += 1;
            if count.is_multiple_of(YIELD_AFTER) {
                tokio::task::yield_now().await;
            }
            match page {
                Ok(page) => {
                    for damage in &page.damage {
                        self.note_damage(&dir, damage);
                    }
                    if !self.list_page(&page.entries, listing).await {
                        return Ok(());
                    }
                }
                Err(error) if !error.is_damage() => return Err(failed(ino, &error)),
                Err(error) => self.note_damage(&dir, &error),
            }
        }
        if listing.is_empty() && lock(&self.damaged).contains(&dir.ino()) { Err(Errno::IO) } else { Ok(()) }
    }

    async fn volume_stat(&self) -> Result<VolumeStat, Errno> {
        let stat = self.volume.statfs().await.map_err(|error| failed(self.root(), &error))?;
        stat_of(&stat)
    }

    async fn xattr(&self, ino: Ino, name: &[u8]) -> Result<Vec<u8>, Errno> {
        if self.is_hidden(name) {
            return Err(Errno::OPNOTSUPP);
        }
        let inode = self.inode(ino).await?;
        self.volume.xattr(&inode, name).await.map_err(|error| failed(ino, &error))
    }

    async fn xattr_names(&self, ino: Ino) -> Result<Vec<u8>, Errno> {
        let inode = self.inode(ino).await?;
        let all = self.volume.xattrs(&inode).await.map_err(|error| failed(ino, &error))?;
        let mut names = Vec::new();
        for xattr in all.iter().filter(|xattr| !self.is_hidden(xattr.name())) {
            names.extend_from_slice(xattr.name());
            names.push(0);
        }
        Ok(names)
    }

    async fn seek(&self, ino: Ino, _handle: u64, offset: u64, what: Seek) -> Result<u64, Errno> {
        let inode = self.open_inode(ino).await?;
        let what = match what {
            Seek::Data => ocfs2::Seek::Data,
            Seek::Hole => ocfs2::Seek::Hole,
        };
        let found = self.volume.seek(&inode, offset, what).await.map_err(|error| failed(ino, &error))?;
        found.ok_or(Errno::NXIO)
    }

    async fn file_flags(&self, ino: Ino) -> Result<FileFlags, Errno> {
        let inode = self.inode(ino).await?;
        Ok(FileFlags::from_bits_retain(inode.attr().flags))
    }
}

fn entry_of(inode: &Inode) -> Entry {
    let generation = u64::from(inode.attr().generation);
    Entry { attr: attr_of(inode), generation, attr_ttl: TTL, entry_ttl: TTL }
}

/// Nothing under these locks can panic half way.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
