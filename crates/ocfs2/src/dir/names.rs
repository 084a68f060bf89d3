//! Putting names into a directory, taking them out, pointing them elsewhere.

use ocfs2_format::{BlockNum, CharSign, DxEntry, DxHash, FileType, MAX_NAME_LEN, rec_len};

use super::area::Entry;
use super::edit::Spot;
use super::index::Indexed;
use super::read::{DirPage, Dirent, Found, Reader};
use super::space::Space;
use crate::Error;
use crate::inode::{Body, Inode};
use crate::txn::{Blocks, Handle};

/// The names of one directory, to be changed as part of an operation.
///
/// It sees the directory as the operation has changed it so far, and changes blocks of the operation's handle and no
/// more. Each change takes the whole of the directory along: entries, size, clusters, index and free list. What is the
/// operation's own to change are the times and the link counts of the directory's inode, and the inodes that are named.
///
/// A change that fails with [`Error::Exists`], [`Error::NotFound`], [`Error::NotEmpty`], [`Error::NoSpace`],
/// [`Error::NameTooLong`] or [`Error::BadName`] has changed nothing, and the handle may go on being used. After any
/// other error it must be dropped.
#[derive(Debug)]
pub struct Names<'a, 'm, S> {
    pub(super) handle: &'a mut Handle<'m>,
    pub(super) space: &'a S,
    pub(super) dir: BlockNum,
}

impl<'a, 'm, S: Space> Names<'a, 'm, S> {
    /// The names of the directory `dir`. Clusters and blocks that it comes to need are claimed from `space`, whose
    /// locks the caller holds.
    pub fn new(handle: &'a mut Handle<'m>, space: &'a S, dir: BlockNum) -> Self {
        Self { handle, space, dir }
    }

    /// Finds `name`. `.` and `..` are found like any other name.
    ///
    /// # Errors
    /// [`Error::NotDir`], or when a block that could hold the name does not check: unlike
    /// [`Volume::lookup`](crate::Volume::lookup), this does not look around damage, as a change would build on it.
    pub async fn find(&self, name: &[u8]) -> Result<Option<Dirent>, Error> {
        let dir = self.inode().await?;
        Ok(self.locate(&dir, name).await?.map(|(found, _)| found.dirent))
    }

    /// Some of the names, from `position` on: as [`Volume::readdir`](crate::Volume::readdir).
    ///
    /// # Errors
    /// As there.
    pub async fn page(&self, position: u64) -> Result<DirPage, Error> {
        let dir = self.inode().await?;
        self.reader(&dir).page(position).await
    }

    /// Adds the name `name` for the inode `ino`, which is of type `kind`.
    ///
    /// # Errors
    /// [`Error::Exists`], [`Error::NoSpace`] (also when the index can hold no more names with this one's hash),
    /// [`Error::NameTooLong`], [`Error::BadName`], [`Error::NotDir`]; others when a block does not check.
    pub async fn insert(&mut self, name: &[u8], ino: BlockNum, kind: FileType) -> Result<(), Error> {
        let entry = Entry { name: ordinary(name)?, ino, kind };
        let saved = self.handle.save();
        match self.insert_entry(&entry).await {
            Err(error @ Error::NoSpace { .. }) => {
                self.handle.restore(saved);
                Err(error)
            }
            done => done,
        }
    }

    /// Takes the name `name` out; gives what it was.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NameTooLong`], [`Error::BadName`], [`Error::NotDir`]; others when a block does not
    /// check.
    pub async fn remove(&mut self, name: &[u8]) -> Result<Dirent, Error> {
        let dir = self.inode().await?;
        let (found, hash) = self.locate(&dir, ordinary(name)?).await?.ok_or(Error::NotFound)?;
        let spot = self.spot(&dir, found.block);
        self.area_mut(&spot).await?.remove(found.offset)?;
        if let (Some(root), Some(hash)) = (dir.dinode().dx_root, hash) {
            self.index_remove(&dir, root, DxEntry { hash, block: found.block }).await?;
            self.list_again(root, &spot).await?;
        }
        Ok(found.dirent)
    }

    /// Points `name`, which may be `..`, to the inode `ino` of type `kind`; gives what it was.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NameTooLong`], [`Error::BadName`], [`Error::NotDir`]; others when a block does not
    /// check.
    pub async fn replace(&mut self, name: &[u8], ino: BlockNum, kind: FileType) -> Result<Dirent, Error> {
        let name = if name == b".." { name } else { ordinary(name)? };
        let dir = self.inode().await?;
        let (found, _) = self.locate(&dir, name).await?.ok_or(Error::NotFound)?;
        let spot = self.spot(&dir, found.block);
        self.area_mut(&spot).await?.replace(found.offset, ino, kind)?;
        Ok(found.dirent)
    }

    /// Fails unless `.` and `..` are its only names.
    ///
    /// # Errors
    /// [`Error::NotEmpty`], [`Error::NotDir`]; others when a block does not check.
    pub async fn expect_empty(&self) -> Result<(), Error> {
        let dir = self.inode().await?;
        let mut position = Some(0);
        while let Some(at) = position {
            let page = self.reader(&dir).page(at).await?;
            if let Some(damage) = page.damage.into_iter().next() {
                return Err(damage.into());
            }
            if !page.entries.iter().all(Dirent::is_dot) {
                return Err(Error::NotEmpty { ino: self.dir });
            }
            position = page.next;
        }
        Ok(())
    }

    async fn insert_entry(&mut self, entry: &Entry<'_>) -> Result<(), Error> {
        let mut dir = self.inode().await?;
        if matches!(dir.body(), Body::Inline(_)) {
            let spot = self.spot(&dir, self.dir);
            if self.locate(&dir, entry.name).await?.is_some() {
                return Err(Error::Exists);
            }
            if self.area_mut(&spot).await?.insert(entry)? {
                return Ok(());
            }
            self.leave_inline(&dir).await?;
            dir = self.inode().await?;
        }
        match dir.dinode().dx_root {
            Some(root) => self.insert_indexed(&dir, root, entry).await,
            None => self.insert_linear(&dir, entry).await,
        }
    }

    /// Puts an entry into the first block with room for it, or a new one.
    async fn insert_linear(&mut self, dir: &Inode, entry: &Entry<'_>) -> Result<(), Error> {
        if self.locate(dir, entry.name).await?.is_some() {
            return Err(Error::Exists);
        }
        let room = self.reader(dir).first_with_room(rec_len(entry.name.len())).await?;
        let spot = match room {
            Some(block) => self.spot(dir, block),
            None => self.add_block(dir).await?,
        };
        self.put(&spot, entry).await
    }

    /// Puts an entry into the first block of the free list with room for it, or a new one, and into the index.
    async fn insert_indexed(&mut self, dir: &Inode, root: BlockNum, entry: &Entry<'_>) -> Result<(), Error> {
        if self.locate(dir, entry.name).await?.is_some() {
            return Err(Error::Exists);
        }
        let hash = DxHash::of(entry.name, self.handle.volume().dx_seed, CharSign::Signed);
        self.make_index_room(dir, root, hash).await?;
        let listed = self.first_listed(dir, root, rec_len(entry.name.len())).await?;
        let (spot, before) = match listed {
            Some(listed) => (self.spot(dir, listed.block), listed.before),
            None => (self.add_block(dir).await?, None),
        };
        self.put(&spot, entry).await?;
        self.list_less(root, &spot, before).await?;
        self.index_insert(dir, root, DxEntry { hash, block: spot.block }).await
    }

    /// Puts an entry into a block that has been found to have room for it.
    async fn put(&mut self, spot: &Spot, entry: &Entry<'_>) -> Result<(), Error> {
        let done = self.area_mut(spot).await?.insert(entry)?;
        debug_assert!(done, "the room was looked for");
        if done { Ok(()) } else { Err(Error::NoSpace { what: "bytes in a directory block", want: 1 }) }
    }

    /// Finds `name`, in an indexed directory with the hash under which the index has it.
    async fn locate(&self, dir: &Inode, name: &[u8]) -> Result<Option<(Found, Option<DxHash>)>, Error> {
        let reader = self.reader(dir);
        Ok(match dir.dinode().dx_root {
            Some(root) => {
                let indexed = reader.lookup_indexed(root, name).await?;
                indexed.map(|Indexed { found, hash }| (found, Some(hash)))
            }
            None => reader.lookup_linear(name).await?.map(|found| (found, None)),
        })
    }

    /// The directory as the operation has changed it so far.
    pub(super) async fn inode(&self) -> Result<Inode, Error> {
        let block = self.handle.get(self.dir, self.dir, ocfs2_format::BlockKind::Dinode).await?;
        let inode = Inode::parse(self.handle.volume(), block)?;
        inode.expect_dir()?;
        Ok(inode)
    }

    pub(super) fn reader<'r>(&'r self, dir: &'r Inode) -> Reader<'r, Handle<'m>> {
        Reader { blocks: &*self.handle, dir }
    }
}

/// Checks a name that an operation may make or remove.
fn ordinary(name: &[u8]) -> Result<&[u8], Error> {
    check_name(name).map(|()| name)
}

/// Fails for what no operation may make or remove: what is no name, or `.` or `..`.
pub(crate) fn check_name(name: &[u8]) -> Result<(), Error> {
    if name.len() > MAX_NAME_LEN {
        return Err(Error::NameTooLong { len: name.len() });
    }
    let bad = matches!(name, b"" | b"." | b"..") || name.iter().any(|byte| matches!(byte, 0 | b'/'));
    if bad { Err(Error::BadName) } else { Ok(()) }
}
