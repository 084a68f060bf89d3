//! Looking: names, listings, attributes' names, and the time that looking leaves.

use ocfs2::{Dirent, FileType, Inode};
use rustix::io::Errno;

use super::{RwFs, block_of};
use crate::convert::{data_of, kind_of};
use crate::{Atime, Data, DirEntry, Entry, FileKind, Ino, Listing, Lookup};

/// Pages of a directory after which a listing lets others run.
const YIELD_AFTER: usize = 64;

impl RwFs {
    pub(super) async fn look_up(&self, dir: Ino, name: &[u8]) -> Result<Lookup, Errno> {
        if name == b"." {
            self.read_of(dir, self.fs.retain(block_of(dir)).await)?;
            let inode = self.read_of(dir, self.fs.stat(block_of(dir)).await);
            if inode.is_err() {
                self.fs.release(block_of(dir)).await;
            }
            return inode.map(|inode| Lookup::Found(self.entry_of(&inode)));
        }
        match self.read_of(dir, self.fs.lookup_retained(block_of(dir), name).await)? {
            Some(inode) => Ok(Lookup::Found(self.entry_of(&inode))),
            None => Ok(Lookup::Missing(self.policy.entry_ttl())),
        }
    }

    pub(super) async fn read_data(&self, ino: Ino, offset: u64, len: usize) -> Result<Data, Errno> {
        let len = u64::try_from(len).map_err(|_| Errno::INVAL)?;
        let found = self.read_of(ino, self.fs.read(block_of(ino), offset, len).await)?;
        if self.atime.atime != Atime::Never {
            // Without a lock: only to see whether it is worth taking one.
            let inode = self.read_of(ino, self.fs.volume().inode(block_of(ino)).await)?;
            self.was_read(&inode).await;
        }
        data_of(found)
    }

    /// Lists from `offset` on. A damaged part fails where it is: nobody shall take the list for complete.
    pub(super) async fn list(&self, ino: Ino, offset: u64, listing: &mut Listing) -> Result<(), Errno> {
        let dir = self.read_of(ino, self.fs.stat(block_of(ino)).await)?;
        let mut pages = self.fs.volume().dir_pages(&dir, offset);
        let mut count = 0usize;
        while let Some(page) = pages.next().await {
            count += 1;
            if count.is_multiple_of(YIELD_AFTER) {
                tokio::task::yield_now().await;
            }
            let page = self.read_of(ino, page)?;
            if !self.list_page(&page.entries, listing).await {
                break;
            }
            if let Some(damage) = page.damage.first() {
                tracing::warn!(dir = ino.0, error = %damage, "part of a directory cannot be read");
                return Err(Errno::IO);
            }
        }
        if offset == 0 {
            self.was_read(&dir).await;
        }
        Ok(())
    }

    /// Lists one page. `false` when the listing is full.
    async fn list_page(&self, entries: &[Dirent], listing: &mut Listing) -> bool {
        if listing.wants_inodes() {
            let fitting = listing.fitting(entries.iter().map(|entry| entry.name.len()));
            let named = entries.iter().take(fitting).filter(|entry| !entry.is_dot());
            self.fs.volume().prefetch_inodes(named.map(|entry| entry.ino).collect::<Vec<_>>()).await;
        }
        for entry in entries {
            if !listing.has_room(entry.name.len()) {
                return false;
            }
            let inode = match listing.wants_inodes() && !entry.is_dot() {
                true => self.retained(entry).await,
                false => None,
            };
            let dirent = DirEntry {
                ino: Ino(entry.ino.0),
                kind: entry.kind.map_or(FileKind::Unknown, kind_of),
                name: &entry.name,
                next_offset: entry.next,
            };
            if !listing.push(dirent, inode.as_ref()) {
                if inode.is_some() {
                    self.fs.release(entry.ino).await;
                }
                return false;
            }
        }
        true
    }

    /// The inode that an entry leads to, held. One that cannot be read is listed all the same; looking it up says why.
    async fn retained(&self, entry: &Dirent) -> Option<Entry> {
        self.fs.retain(entry.ino).await.ok()?;
        match self.fs.stat(entry.ino).await {
            Ok(inode) => Some(self.entry_of(&inode)),
            Err(_) => {
                self.fs.release(entry.ino).await;
                None
            }
        }
    }

    /// Leaves the time of reading, where that is wanted. That it cannot be left is no reason for the reading to fail.
    pub(super) async fn was_read(&self, inode: &Inode) {
        let directory = inode.attr().kind == FileType::Directory;
        if !self.atime.wants(inode, directory, self.fs.clock().now()) || self.fs.read_only().is_some() {
            return;
        }
        if let Err(error) = self.fs.touch_atime(inode.ino()).await {
            tracing::debug!(ino = inode.ino().0, %error, "the time of reading is not kept");
        }
    }

    /// Whether attributes of that name can be had here.
    pub(super) fn check_xattr(&self, name: &[u8]) -> Result<(), Errno> {
        let hidden = !self.options.acl && name.starts_with(b"system.posix_acl_")
            || !self.options.user_xattr && name.starts_with(b"user.");
        if hidden { Err(Errno::OPNOTSUPP) } else { Ok(()) }
    }

    pub(super) async fn list_xattrs(&self, ino: Ino) -> Result<Vec<u8>, Errno> {
        let all = self.read_of(ino, self.fs.xattrs(block_of(ino)).await)?;
        let mut names = Vec::new();
        for xattr in all.iter().filter(|xattr| self.check_xattr(xattr.name()).is_ok()) {
            names.extend_from_slice(xattr.name());
            names.push(0);
        }
        Ok(names)
    }
}
