//! One operation's changes: all of them become visible, and go to the journal, in one step, or none do.

use std::marker::PhantomData;

use ocfs2_format::{BlockKind, BlockNum, RawDinode};
use tokio::sync::MutexGuard;
use zerocopy::FromBytes;

use super::Writable;
use super::journal::{Reservation, Tid};
use crate::lock::Locks;
use crate::txn::{Blocks, Handle};
use crate::{Error, Inode};

/// The exclusive right to change the volume's metadata, from [`Writable::begin`] to [`Self::publish`]. Dropped before
/// that, it leaves everything as it was.
///
/// While it lives, no cluster lock can be taken: it holds on to the operation's set of them. Neither may the mount's
/// kernel side be called, nor anything be waited for but the volume's own device.
#[derive(Debug)]
pub(crate) struct Change<'c> {
    handle: Handle<'c>,
    fs: &'c Writable,
    reservation: Reservation<'c>,
    _turn: MutexGuard<'c, ()>,
    _locks: PhantomData<&'c Locks<'c>>,
}

impl Writable {
    /// Begins a change of at most `credits` blocks, under `locks`, which are all that it needs. Waits while the log is
    /// full, and then for its turn: one operation changes at a time, in the order in which they came.
    pub(crate) async fn begin<'c>(
        &'c self,
        _locks: &'c Locks<'_>,
        credits: u32,
    ) -> Result<Change<'c>, Error> {
        let reservation = self.journal().reserve(credits).await?;
        let turn = self.turn().lock().await;
        let handle = Handle::new(self.volume().meta());
        Ok(Change { handle, fs: self, reservation, _turn: turn, _locks: PhantomData })
    }
}

impl<'c> Change<'c> {
    /// The blocks, to be read as they will be, and to be changed.
    pub(crate) fn blocks(&mut self) -> &mut Handle<'c> {
        &mut self.handle
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

    /// Ends the change: from now on everybody sees it, and a commit of the transaction it went to makes it last.
    ///
    /// # Errors
    /// [`Error::ReadOnly`] when the journal has been aborted meanwhile, or when more blocks were changed than reserved:
    /// nothing has changed then.
    pub(crate) fn publish(self) -> Result<Tid, Error> {
        let Self { handle, fs, reservation, .. } = self;
        fs.journal().publish(reservation, fs.volume().meta(), handle.seal())
    }
}
