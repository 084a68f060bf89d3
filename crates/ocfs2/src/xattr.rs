//! Extended attributes: in the inode, in a block of their own, or in buckets behind it.

use std::sync::Arc;

use ocfs2_format::xattr::{BUCKET_LEN, NameIndex, acl_to_vfs, name_hash};
use ocfs2_format::{
    BlockKind, BlockNum, CharSign, Corrupt, Extent, Tree, XattrBlock, XattrBody, XattrEntries, XattrEntry,
    XattrValue,
};

use crate::meta_block::MetaBlock;
use crate::tree::ExtentTree;
use crate::{Error, Inode, Volume};

/// Longest value (`XATTR_SIZE_MAX`).
const MAX_VALUE: u64 = 65536;
/// Most attributes that are listed for one inode. The system calls stop at 64 KiB of names.
const MAX_LISTED: usize = 65536;

/// One extended attribute of an inode.
#[derive(Clone, Debug)]
pub struct Xattr {
    name: Vec<u8>,
    index: NameIndex,
    value: Value,
}

#[derive(Clone, Debug)]
enum Value {
    Local(Vec<u8>),
    Outside { size: u64, tree: ExtentTree },
    Cut(Corrupt),
}

impl Xattr {
    /// Takes an entry; `None` for one of a kind that has no name in the system calls, which shows nowhere.
    fn new(owner: BlockNum, entry: &XattrEntry<'_>) -> Option<Self> {
        let value = match entry.value {
            XattrValue::Local(bytes) => Value::Local(bytes.to_vec()),
            XattrValue::Outside { size, root } => {
                Value::Outside { size, tree: ExtentTree::new(owner, Tree::XattrValue, &root.list) }
            }
            XattrValue::Cut(corrupt) => Value::Cut(corrupt),
        };
        Some(Self { name: entry.full_name()?, index: entry.index, value })
    }

    /// Its full name, such as `user.comment` or `system.posix_acl_access`.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        &self.name
    }
}

impl Volume {
    /// The extended attributes of `inode`, ACLs among them, in the order in which they lie.
    ///
    /// # Errors
    /// [`Error::TooManyXattrs`], or when they cannot be read.
    pub async fn xattrs(&self, inode: &Inode) -> Result<Vec<Xattr>, Error> {
        let volume = self.meta().volume();
        let mut all = Vec::new();
        let mut take = |entries: XattrEntries<'_>| {
            all.extend(entries.iter().filter_map(|entry| Xattr::new(inode.ino(), &entry)));
            if all.len() <= MAX_LISTED {
                return Ok(());
            }
            Err(Error::TooManyXattrs { ino: inode.ino(), max: MAX_LISTED })
        };
        if let Some(entries) = XattrEntries::inline(volume, inode.dinode(), inode.block().bytes())? {
            take(entries)?;
        }
        let Some(blkno) = inode.dinode().xattr_block else { return Ok(all) };
        let block = self.meta().get(inode.ino(), blkno, BlockKind::XattrBlock).await?;
        let list = match XattrBlock::parse(volume, blkno, block.bytes())?.body {
            XattrBody::Entries(entries) => {
                take(entries)?;
                return Ok(all);
            }
            XattrBody::Tree { list, .. } => list,
        };
        let tree = ExtentTree::new(inode.ino(), Tree::XattrIndex, &list);
        let mut cursor = tree.cursor(0);
        while let Some(extent) = cursor.next(self.meta()).await? {
            let count = self.buckets_in(inode, &extent).await?;
            let wanted = (0..count).map(|n| (inode.ino(), self.bucket_block(&extent, n)));
            self.meta().prefetch(wanted, BlockKind::XattrBucket).await;
            for n in 0..count {
                let (blkno, block) = self.bucket(inode, &extent, n).await?;
                take(XattrEntries::bucket(volume, blkno, block.bytes())?)?;
            }
        }
        Ok(all)
    }

    /// The value of the attribute with the full name `name`, at most 64 KiB; ACLs in the form of the system calls.
    ///
    /// # Errors
    /// [`Error::NoAttribute`], or when it cannot be read.
    pub async fn xattr(&self, inode: &Inode, name: &[u8]) -> Result<Vec<u8>, Error> {
        let found = match NameIndex::split(name) {
            Some((index, rest)) => self.find_xattr(inode, index, rest).await?,
            None => None,
        };
        self.xattr_value(inode, &found.ok_or(Error::NoAttribute)?).await
    }

    /// The value of one of [`Self::xattrs`]; see [`Self::xattr`].
    ///
    /// # Errors
    /// When it cannot be read, or is an ACL that is none.
    pub async fn xattr_value(&self, inode: &Inode, xattr: &Xattr) -> Result<Vec<u8>, Error> {
        let ino = inode.ino();
        let value = match &xattr.value {
            Value::Local(bytes) => bytes.clone(),
            Value::Outside { size, .. } if *size > MAX_VALUE => {
                return Err(Error::ValueSize { ino, size: *size, max: MAX_VALUE });
            }
            Value::Cut(corrupt) => return Err((*corrupt).into()),
            Value::Outside { size, tree } => self.read_tree(tree, 0, *size).await?.to_vec(),
        };
        if xattr.index.is_acl() {
            return acl_to_vfs(&value).ok_or(Error::BadAcl { ino, len: value.len() });
        }
        Ok(value)
    }

    /// Looks for one attribute: in the inode, then in the block, then in the one bucket that may hold it.
    async fn find_xattr(&self, inode: &Inode, index: NameIndex, rest: &[u8]) -> Result<Option<Xattr>, Error> {
        let volume = self.meta().volume();
        let find = |entries: XattrEntries<'_>| {
            entries.find(index, rest).and_then(|entry| Xattr::new(inode.ino(), &entry))
        };
        if let Some(entries) = XattrEntries::inline(volume, inode.dinode(), inode.block().bytes())?
            && let Some(found) = find(entries)
        {
            return Ok(Some(found));
        }
        let Some(blkno) = inode.dinode().xattr_block else { return Ok(None) };
        let block = self.meta().get(inode.ino(), blkno, BlockKind::XattrBlock).await?;
        let list = match XattrBlock::parse(volume, blkno, block.bytes())?.body {
            XattrBody::Entries(entries) => return Ok(find(entries)),
            XattrBody::Tree { list, .. } => list,
        };
        let tree = ExtentTree::new(inode.ino(), Tree::XattrIndex, &list);
        for sign in CharSign::variants(rest) {
            let hash = name_hash(volume.uuid_hash, rest, sign);
            let leaf = tree.leaf(self.meta(), hash, false).await?;
            let Some(extent) = leaf.at_or_before(hash) else { continue };
            let (blkno, block) = self.bucket_for(inode, &extent, hash).await?;
            if let Some(found) = find(XattrEntries::bucket(volume, blkno, block.bytes())?) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The last bucket of an extent that begins at or before `hash`, else its first. Equal hashes are never in two.
    async fn bucket_for(
        &self,
        inode: &Inode,
        extent: &Extent,
        hash: u32,
    ) -> Result<(BlockNum, Arc<MetaBlock>), Error> {
        let (mut low, mut high) = (0, self.buckets_in(inode, extent).await?);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            let (blkno, block) = self.bucket(inode, extent, middle).await?;
            let key = XattrEntries::bucket(self.meta().volume(), blkno, block.bytes())?.bucket_key();
            if key <= hash { low = middle } else { high = middle }
        }
        self.bucket(inode, extent, low).await
    }

    /// How many buckets of an extent are in use, as the first says; at least that one.
    async fn buckets_in(&self, inode: &Inode, extent: &Extent) -> Result<u64, Error> {
        let (blkno, block) = self.bucket(inode, extent, 0).await?;
        let entries = XattrEntries::bucket(self.meta().volume(), blkno, block.bytes())?;
        let max = (u64::from(extent.clusters) << self.geometry().cluster_size.bits()) / BUCKET_LEN as u64;
        let count = u64::from(entries.num_buckets());
        if count == 0 || count > max {
            return Err(Error::BucketCount { block: blkno, count, max });
        }
        Ok(count)
    }

    /// Bucket `n` of an extent, verified.
    async fn bucket(
        &self,
        inode: &Inode,
        extent: &Extent,
        n: u64,
    ) -> Result<(BlockNum, Arc<MetaBlock>), Error> {
        let blkno = self.bucket_block(extent, n);
        Ok((blkno, self.meta().get(inode.ino(), blkno, BlockKind::XattrBucket).await?))
    }

    /// First block of bucket `n` of an extent. The extent lies within the volume, and the bucket within it.
    fn bucket_block(&self, extent: &Extent, n: u64) -> BlockNum {
        BlockNum(extent.block.0 + n * (BUCKET_LEN as u64 / self.geometry().block_size.bytes()))
    }
}
