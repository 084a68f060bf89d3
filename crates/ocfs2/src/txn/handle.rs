//! A handle: the blocks that one operation changes, until they are published together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ocfs2_format::{BlockKind, BlockNum};

use super::Blocks;
use crate::Error;
use crate::alloc::ClusterRun;
use crate::meta::Meta;
use crate::meta_block::{Bytes, Kind, MetaBlock};

/// What an operation is about to change: new images of blocks, seen by nobody else.
///
/// It is read through: [`Blocks::get`] gives a changed block as changed. Dropping it leaves the volume as it is, so an
/// operation that fails half-way needs no undoing. Nothing is written to a block before it checked as what it is
/// taken for; the exception is a block that was free, which [`Self::fresh`] gives zeroed and unread.
///
/// Two handles of one volume must not be at work at once: who makes one holds the volume's lock for changes.
#[derive(Debug)]
pub struct Handle<'m> {
    meta: &'m Meta,
    changed: BTreeMap<BlockNum, Changed>,
    freed: Vec<ClusterRun>,
    /// Allocator to the group that last gave something: a hint, good only once this is published.
    hints: BTreeMap<BlockNum, BlockNum>,
    /// The allocators that may be used; `None` = all of them.
    locked: Option<BTreeSet<BlockNum>>,
}

#[derive(Clone, Debug)]
struct Changed {
    owner: BlockNum,
    block: Arc<MetaBlock>,
    /// It was free before.
    fresh: bool,
}

/// An inode of which a handle changes the dinode, or the root of a directory's index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Touched {
    pub(crate) ino: BlockNum,
    /// It is made in this handle.
    pub(crate) fresh: bool,
}

/// A handle's blocks with their checks, ready to be published.
#[derive(Debug)]
pub struct Sealed {
    blocks: Vec<(BlockNum, Arc<MetaBlock>)>,
    freed: Vec<ClusterRun>,
    hints: BTreeMap<BlockNum, BlockNum>,
}

/// What a handle had changed at some moment: see [`Handle::save`].
#[derive(Debug)]
pub struct Saved {
    changed: BTreeMap<BlockNum, Changed>,
    freed: usize,
    hints: BTreeMap<BlockNum, BlockNum>,
}

impl Sealed {
    /// (Owner, block), in ascending order of the block.
    #[must_use]
    pub fn blocks(&self) -> &[(BlockNum, Arc<MetaBlock>)] {
        &self.blocks
    }

    /// Clusters that the operation gave back to the cluster bitmap.
    #[must_use]
    pub fn freed(&self) -> &[ClusterRun] {
        &self.freed
    }

    /// Allocator to the group that last gave something.
    pub(crate) fn hints(&self) -> &BTreeMap<BlockNum, BlockNum> {
        &self.hints
    }
}

impl Blocks for Handle<'_> {
    fn volume(&self) -> &ocfs2_format::Volume {
        self.meta.volume()
    }

    async fn get(
        &self,
        owner: BlockNum,
        blkno: BlockNum,
        kind: impl Into<Kind> + Send,
    ) -> Result<Arc<MetaBlock>, Error> {
        let kind = kind.into();
        match self.changed.get(&blkno) {
            Some(changed) if changed.block.kind() == kind => Ok(Arc::clone(&changed.block)),
            Some(changed) => Err(Error::TwoUses { block: blkno, owner: changed.owner, other: owner }),
            None => self.meta.get(owner, blkno, kind).await,
        }
    }

    fn has(&self, blkno: BlockNum, kind: Kind) -> bool {
        self.changed.contains_key(&blkno) || self.meta.cache().has(blkno, kind)
    }

    async fn prefetch(&self, wanted: Vec<(BlockNum, BlockNum)>, kind: impl Into<Kind> + Send) {
        // A changed block among them is read in vain, and not used: they are few.
        self.meta.prefetch(wanted, kind).await;
    }
}

impl<'m> Handle<'m> {
    /// Begins with nothing changed.
    pub(crate) fn new(meta: &'m Meta) -> Self {
        Self { meta, changed: BTreeMap::new(), freed: Vec::new(), hints: BTreeMap::new(), locked: None }
    }

    /// The same, with only the allocators `locked` to be used.
    pub(crate) fn guarded(meta: &'m Meta, locked: BTreeSet<BlockNum>) -> Self {
        Self { locked: Some(locked), ..Self::new(meta) }
    }

    /// Fails when the allocator `ino` may not be used.
    pub(crate) fn expect_locked(&self, ino: BlockNum) -> Result<(), Error> {
        let locked = self.locked.as_ref().is_none_or(|locked| locked.contains(&ino));
        if locked { Ok(()) } else { Err(Error::Unlocked { ino }) }
    }

    /// The bytes of block `blkno` of inode `owner`, verified as `kind`, to be changed. The caller parses what it
    /// changes: verified says that the check fits, no more.
    ///
    /// # Errors
    /// As [`Blocks::get`]; [`Error::TwoUses`] when the operation has changed the block as something else.
    pub async fn edit(
        &mut self,
        owner: BlockNum,
        blkno: BlockNum,
        kind: impl Into<Kind> + Send,
    ) -> Result<&mut [u8], Error> {
        let block = self.get(owner, blkno, kind.into()).await?;
        let changed = self.changed.entry(blkno).or_insert(Changed { owner, block, fresh: false });
        Ok(Arc::make_mut(&mut changed.block).bytes_mut())
    }

    /// The bytes of block `blkno`, which was free until now and becomes a `kind` of inode `owner`: all zero, not read.
    pub fn fresh(&mut self, owner: BlockNum, blkno: BlockNum, kind: impl Into<Kind>) -> &mut [u8] {
        let kind = kind.into();
        let len = self.meta.len_of(kind);
        let block = Arc::new(MetaBlock::new(blkno, kind, Bytes::Own(vec![0; len].into())));
        let changed =
            self.changed.entry(blkno).insert_entry(Changed { owner, block, fresh: true }).into_mut();
        Arc::make_mut(&mut changed.block).bytes_mut()
    }

    /// Forgets what was changed in block `blkno`: it is free now, and what it holds means nothing.
    pub fn discard(&mut self, blkno: BlockNum) {
        self.changed.remove(&blkno);
    }

    /// Clusters that the operation has given back to the cluster bitmap. They stay out of use until their transaction
    /// is home.
    #[must_use]
    pub fn freed(&self) -> &[ClusterRun] {
        &self.freed
    }

    /// Adds to [`Self::freed`].
    pub(crate) fn add_freed(&mut self, run: ClusterRun) {
        self.freed.push(run);
    }

    /// The group of this allocator that last gave something in this handle.
    pub(crate) fn hint(&self, allocator: BlockNum) -> Option<BlockNum> {
        self.hints.get(&allocator).copied()
    }

    /// Remembers the group that gave something.
    pub(crate) fn set_hint(&mut self, allocator: BlockNum, group: BlockNum) {
        self.hints.insert(allocator, group);
    }

    /// Remembers the changes made so far, so that a step that fails can be taken back alone. Copies no blocks.
    #[must_use]
    pub fn save(&self) -> Saved {
        Saved { changed: self.changed.clone(), freed: self.freed.len(), hints: self.hints.clone() }
    }

    /// Takes back what was changed since `saved`.
    pub fn restore(&mut self, saved: Saved) {
        self.changed = saved.changed;
        self.freed.truncate(saved.freed);
        self.hints = saved.hints;
    }

    /// Whether nothing was changed since `saved`.
    #[must_use]
    pub fn is_as_saved(&self, saved: &Saved) -> bool {
        let same =
            |a: &Changed, b: &Changed| Arc::ptr_eq(&a.block, &b.block) || a.block.bytes() == b.block.bytes();
        let pairs = || self.changed.iter().zip(&saved.changed);
        self.freed.len() == saved.freed
            && self.changed.len() == saved.changed.len()
            && pairs().all(|((at, a), (other, b))| at == other && same(a, b))
    }

    /// The inodes whose dinodes or index roots are changed so far, in ascending order.
    pub(crate) fn touched_inodes(&self) -> BTreeSet<Touched> {
        let counts = [Kind::Checked(BlockKind::Dinode), Kind::Checked(BlockKind::DxRoot)];
        let of_inodes = self.changed.values().filter(|changed| counts.contains(&changed.block.kind()));
        let touched = |changed: &Changed| {
            let dinode = self.changed.get(&changed.owner);
            let fresh = dinode.is_some_and(|dinode| dinode.fresh);
            Touched { ino: changed.owner, fresh }
        };
        of_inodes.map(touched).collect()
    }

    /// Blocks of the volume that the handle changes: what it needs of the journal.
    #[must_use]
    pub fn credits(&self) -> usize {
        let len = self.volume().block_len();
        self.changed.values().map(|changed| changed.block.bytes().len() / len).sum()
    }

    /// Ends the changes: every block gets its check.
    #[must_use]
    pub fn seal(self) -> Sealed {
        let volume = *self.volume();
        let seal = |(_, Changed { owner, mut block, .. })| {
            if let Kind::Checked(kind) = block.kind() {
                kind.seal(&volume, Arc::make_mut(&mut block).bytes_mut());
            }
            (owner, block)
        };
        Sealed { blocks: self.changed.into_iter().map(seal).collect(), freed: self.freed, hints: self.hints }
    }
}
