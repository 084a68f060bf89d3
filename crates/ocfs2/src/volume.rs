//! An open volume.

use std::sync::Arc;

use block::BlockDevice;
use ocfs2_format::{BlockNum, Geometry, Superblock};

use crate::attr::Attr;
use crate::meta::Meta;
use crate::open::{OpenOptions, Opened};
use crate::system::{Slot, SystemFile};
use crate::{Error, Inode, OpenError, Warning};

/// An open OCFS2 volume, to be read. Cloning is cheap: all clones are the same volume.
///
/// Nothing is ever written to the device through it ([`Writable`](crate::Writable) has one that it changes). Where a journal is dirty, the volume is seen as it will be after its
/// recovery. All methods may be called from many tasks at once.
#[derive(Clone, Debug)]
pub struct Volume {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    meta: Meta,
    opened: Opened,
}

impl Volume {
    /// Opens the volume on `device`.
    ///
    /// The superblock is looked for with every block size, and at its backups' places when the first is bad; the
    /// feature words are judged before anything else is read; dirty journals are replayed into memory. What is
    /// wrong, but leaves the volume readable, is in [`Self::warnings`]: show it.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(device: Arc<dyn BlockDevice>, options: OpenOptions) -> Result<Self, OpenError> {
        crate::open::open(device, options).await
    }

    /// Puts a volume together.
    pub(crate) fn new(meta: Meta, opened: Opened) -> Self {
        Self { inner: Arc::new(Inner { meta, opened }) }
    }

    /// What was found wrong, or worth knowing, while the volume was opened.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.inner.opened.warnings
    }

    /// The superblock.
    #[must_use]
    pub fn superblock(&self) -> &Superblock {
        &self.inner.opened.superblock
    }

    /// Sizes of the volume.
    #[must_use]
    pub fn geometry(&self) -> &Geometry {
        &self.inner.opened.superblock.geometry
    }

    /// The root directory's inode number.
    #[must_use]
    pub fn root(&self) -> BlockNum {
        self.inner.opened.superblock.root
    }

    /// The node slots, in order: who uses them, and how their journals are.
    #[must_use]
    pub fn slots(&self) -> &[Slot] {
        &self.inner.opened.slots
    }

    /// The inode number of a system file, if the volume has it.
    #[must_use]
    pub fn system_file(&self, file: SystemFile) -> Option<BlockNum> {
        self.inner.opened.system.get(file)
    }

    /// The device that the volume lies on.
    #[must_use]
    pub fn device(&self) -> &Arc<dyn BlockDevice> {
        self.inner.meta.disk().device()
    }

    /// Blocks that are seen as the journals have them, not as they lie.
    #[must_use]
    pub fn replayed_blocks(&self) -> usize {
        self.inner.meta.disk().overlay().len()
    }

    /// Metadata blocks in which one wrong bit was set right in memory since the volume was opened.
    #[must_use]
    pub fn repaired_blocks(&self) -> u64 {
        self.inner.meta.repaired()
    }

    /// Bytes of metadata kept in memory now.
    #[must_use]
    pub fn cached_bytes(&self) -> usize {
        self.inner.meta.cache().bytes()
    }

    /// Drops everything that is kept of the inode `ino`: the next use reads the disk.
    pub fn forget(&self, ino: BlockNum) {
        self.inner.meta.forget(ino);
    }

    /// The inode of a system file.
    pub(crate) async fn system_inode(&self, file: SystemFile) -> Result<Inode, Error> {
        let ino = self.system_file(file).ok_or(Error::NoSystemFile { file })?;
        self.inode(ino).await
    }

    /// Whether `ino` is in the system directory.
    pub(crate) fn is_system_file(&self, ino: BlockNum) -> bool {
        self.inner.opened.system.has(ino)
    }

    /// Lets `judge` take from the warnings of a volume that nobody else has yet what can be lived with.
    pub(crate) fn judge_warnings<E>(
        &mut self,
        judge: impl FnOnce(Vec<Warning>) -> Result<Vec<Warning>, E>,
    ) -> Result<(), E> {
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            inner.opened.warnings = judge(std::mem::take(&mut inner.opened.warnings))?;
        }
        Ok(())
    }

    /// The attributes to show for the root directory in place of its own.
    pub(crate) fn root_attr(&self) -> Option<&Attr> {
        self.inner.opened.root_attr.as_ref()
    }

    /// The metadata.
    pub(crate) fn meta(&self) -> &Meta {
        &self.inner.meta
    }

    /// Byte of the device at which a block of the volume begins. Saturates far outside any device.
    pub(crate) fn byte_of(&self, block: BlockNum) -> u64 {
        block.0.saturating_mul(self.geometry().block_size.bytes())
    }
}
