//! One file: copied piece by piece, holes left out, gone on with after an interruption.

use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use futures_util::StreamExt;
use ocfs2::{Attr, Inode, Piece, Seek};

use super::Copier;
use super::error::{At, CopyError};
use super::part::{Part, SYNC_EVERY};
use crate::files::{CHUNK, DEPTH};

impl Copier<'_> {
    /// Copies a regular file to `to`, unless it is there already.
    pub(super) async fn file(&mut self, inode: &Inode, to: &Path) -> Result<(), CopyError> {
        let attr = inode.attr();
        if is_copied(attr, to) {
            if !self.attributes.are_set(self.volume, inode, to).await? {
                self.attributes.set(self.volume, inode, to).await?;
            }
            self.progress.skipped(attr);
            return Ok(());
        }
        let part = self.open_part(attr, to)?;
        if part.outdated {
            self.progress.say(&format!("{}: changed since it was half copied; begun anew", to.display()));
        }
        self.progress.file(to, part.have);
        let at_one_stroke = self.fill(inode, &part).await?;
        part.file.set_len(attr.size).at("setting the length of", &part.path)?;
        if !at_one_stroke {
            self.expect_unchanged(attr).await?;
            // Its name, length and time will say that it is whole: so it must be, after a crash too.
            part.file.sync_data().at("syncing", &part.path)?;
        }
        self.attributes.set(self.volume, inode, &part.path).await?;
        std::fs::rename(&part.path, to).at("renaming to", to)?;
        self.progress.file_done(attr);
        Ok(())
    }

    /// Writes the file's data from where the part ends. Its length grows with what is done. Says whether one write
    /// did it all: then the length alone says that it is whole.
    async fn fill(&mut self, inode: &Inode, part: &Part) -> Result<bool, CopyError> {
        let size = inode.attr().size;
        let mut at_one_stroke = size == 0;
        let mut at = part.have;
        let mut synced = 0;
        while let Some(data) = self.volume.seek(inode, at, Seek::Data).await? {
            let hole = self.volume.seek(inode, data, Seek::Hole).await?;
            let end = hole.unwrap_or(size);
            let mut chunks = std::pin::pin!(self.volume.chunks(inode, data..end, CHUNK, DEPTH));
            while let Some(chunk) = chunks.next().await {
                let (mut offset, data) = chunk?;
                let len = data.len();
                let boundary = offset / SYNC_EVERY * SYNC_EVERY;
                if boundary > synced {
                    part.file.sync_data().at("syncing", &part.path)?;
                    synced = boundary;
                }
                for piece in data.pieces() {
                    match piece {
                        Piece::Bytes(bytes) => {
                            part.file.write_all_at(bytes, offset).at("writing", &part.path)?;
                            at_one_stroke = bytes.len() as u64 == size;
                            offset += bytes.len() as u64;
                        }
                        Piece::Zeroes(len) => offset += len,
                    }
                }
                self.progress.bytes(len);
                // Where every read is answered at once, nobody else would hear of Ctrl-C.
                tokio::task::yield_now().await;
            }
            at = end;
        }
        Ok(at_one_stroke)
    }

    /// Looks at the inode again, as it lies on the volume now.
    async fn expect_unchanged(&self, before: &Attr) -> Result<(), CopyError> {
        self.volume.forget(before.ino);
        let now = self.volume.inode(before.ino).await?;
        let what = |attr: &Attr| (attr.generation, attr.size, attr.mtime, attr.ctime);
        if what(now.attr()) == what(before) { Ok(()) } else { Err(CopyError::Changed) }
    }
}

/// Whether `to` is a finished copy: same size, same modification time, which a copy gets only at its end.
fn is_copied(attr: &Attr, to: &Path) -> bool {
    to.symlink_metadata().is_ok_and(|there| {
        let time = (there.mtime(), there.mtime_nsec());
        there.is_file()
            && there.len() == attr.size
            && time == (attr.mtime.seconds, i64::from(attr.mtime.nanos))
    })
}
