//! One operation's changes: all of them become visible, and go to the journal, in one step, or none do.

use std::marker::PhantomData;

use ocfs2_format::{BlockKind, BlockNum, RawDinode};
use tokio::sync::MutexGuard;
use zerocopy::FromBytes;

use super::Writable;
use super::operation::Wanted;
use super::quota::Effect;
use crate::alloc::Allocators;
use crate::lock::Locks;
use crate::txn::{Blocks, Handle};
use crate::{Error, Inode};

/// The exclusive right to change the volume's metadata, from [`Operation::begin`](super::operation::Operation::begin)
/// to [`Self::end`]. Dropped before that, it leaves everything as it was.
///
/// While it lives, no cluster lock can be taken: it holds on to the operation's set of them. Neither may the mount's
/// kernel side be called, nor anything be waited for but the volume's own device.
#[derive(Debug)]
pub(crate) struct Change<'c> {
    handle: Handle<'c>,
    fs: &'c Writable,
    wanted: &'c mut Wanted,
    /// What is done in memory once it is published.
    effects: Vec<Effect>,
    _turn: MutexGuard<'c, ()>,
    _locks: PhantomData<&'c Locks<'c>>,
}

impl<'c> Change<'c> {
    pub(super) fn new(
        fs: &'c Writable,
        handle: Handle<'c>,
        wanted: &'c mut Wanted,
        turn: MutexGuard<'c, ()>,
    ) -> Self {
        Self { handle, fs, wanted, effects: Vec::new(), _turn: turn, _locks: PhantomData }
    }

    /// The volume that is changed.
    pub(crate) fn fs(&self) -> &'c Writable {
        self.fs
    }

    /// The blocks, to be read as they will be, and to be changed.
    pub(crate) fn blocks(&mut self) -> &mut Handle<'c> {
        &mut self.handle
    }

    /// The same, and where clusters and blocks come from.
    pub(crate) fn blocks_and_space(&mut self) -> (&mut Handle<'c>, &'c Allocators) {
        (&mut self.handle, self.fs.alloc())
    }

    /// The inode `ino` as it will be.
    pub(crate) async fn inode(&self, ino: BlockNum) -> Result<Inode, Error> {
        let block = self.handle.get(ino, ino, BlockKind::Dinode).await?;
        Inode::parse(self.handle.volume(), block)
    }

    /// The dinode `ino`, checked, to be changed.
    pub(crate) async fn dinode(&mut self, ino: BlockNum) -> Result<&mut RawDinode, Error> {
        Ok(self.dinode_and_body(ino).await?.0)
    }

    /// The same, and the bytes of its body.
    pub(crate) async fn dinode_and_body(
        &mut self,
        ino: BlockNum,
    ) -> Result<(&mut RawDinode, &mut [u8]), Error> {
        self.inode(ino).await?;
        let bytes = self.handle.edit(ino, ino, BlockKind::Dinode).await?;
        Ok(RawDinode::mut_from_prefix(bytes).expect("a block that was parsed as a dinode"))
    }

    /// What is to be done in memory once this is published.
    pub(super) fn effects(&mut self) -> &mut Vec<Effect> {
        &mut self.effects
    }

    /// Ends the change. When its steps were `done`, from now on everybody sees it, and a commit of the transaction it
    /// went to makes it last. Where they want of a lock, or of room that can be made, nothing has happened and it is
    /// to be tried again, with another [`begin`](super::operation::Operation::begin): `None`.
    ///
    /// # Errors
    /// What the steps failed with; [`Error::Quota`] when a user or group would have more than it may; [`Error::ReadOnly`] when the journal has been aborted meanwhile;
    /// [`Error::JournalRefused`] when more blocks were changed than a journal of this size takes at once. Nothing has
    /// changed then.
    pub(crate) async fn end<T>(mut self, done: Result<T, Error>) -> Result<Option<T>, Error> {
        match done {
            Ok(done) => match self.count_usage().await {
                Ok(()) => {
                    self.wanted.succeeded();
                    self.publish().await.map(|()| Some(done))
                }
                Err(error) => self.wanted.note(error, self.fs).await.map(|()| None),
            },
            Err(error) => self.wanted.note(error, self.fs).await.map(|()| None),
        }
    }

    /// Hands the blocks to the journal. The room in the log is asked for only now that it is known how much is needed:
    /// others wait for their turn meanwhile, and the journal's own work waits for nobody.
    async fn publish(self) -> Result<(), Error> {
        // Its turn ends with this function: nobody sees the blocks without what goes with them in memory.
        let Self { handle, fs, effects, _turn, .. } = self;
        let credits = u32::try_from(handle.credits()).unwrap_or(u32::MAX);
        if credits == 0 {
            fs.quotas().apply(&effects);
            return Ok(());
        }
        let reservation = fs.journal().reserve(credits).await?;
        let sealed = handle.seal();
        let tid = fs.journal().publish(reservation, fs.volume().meta(), &sealed)?;
        fs.alloc().published(&sealed, tid.0);
        fs.quotas().apply(&effects);
        Ok(())
    }
}
