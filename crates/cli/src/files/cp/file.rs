//! One file: copied piece by piece, holes left out, gone on with after an interruption.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use futures_util::StreamExt;
use ocfs2::{Inode, Piece, Seek};

use super::Copier;
use crate::files::{CHUNK, DEPTH};

/// `O_NOFOLLOW`.
const NO_FOLLOW: i32 = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();

impl Copier<'_> {
    /// Copies a regular file to `to`, unless it is there already.
    pub(super) async fn file(&mut self, inode: &Inode, to: &Path) -> io::Result<()> {
        let size = inode.attr().size;
        if is_copied(inode, to) {
            self.progress.skipped(size);
            return Ok(());
        }
        let part = part_name(inode, to);
        let mut options = OpenOptions::new();
        let file = options
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(NO_FOLLOW)
            .open(&part)?;
        // The end of what is there may not have reached the disk before a crash: it is copied anew.
        let have = file.metadata()?.len().min(size);
        let start = (have / CHUNK * CHUNK).saturating_sub(CHUNK);
        file.set_len(start)?;
        self.progress.file(to, start);
        self.fill(inode, &file, start).await?;
        file.set_len(size)?;
        self.attributes.set(self.volume, inode, &part).await?;
        std::fs::rename(&part, to)
    }

    /// Writes the file's data from `start` on. Its length grows with what is done.
    async fn fill(&mut self, inode: &Inode, file: &File, start: u64) -> io::Result<()> {
        let mut at = start;
        while let Some(data) = self.volume.seek(inode, at, Seek::Data).await.map_err(io::Error::other)? {
            let hole = self.volume.seek(inode, data, Seek::Hole).await.map_err(io::Error::other)?;
            let end = hole.unwrap_or(inode.attr().size);
            let mut chunks = std::pin::pin!(self.volume.chunks(inode, data..end, CHUNK, DEPTH));
            while let Some(chunk) = chunks.next().await {
                let (mut offset, data) = chunk.map_err(io::Error::other)?;
                let len = data.len();
                for piece in data.pieces() {
                    match piece {
                        Piece::Bytes(bytes) => {
                            file.write_all_at(bytes, offset)?;
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
        Ok(())
    }
}

/// Whether `to` is a finished copy: same size, same modification time, which a copy gets only at its end.
fn is_copied(inode: &Inode, to: &Path) -> bool {
    let attr = inode.attr();
    to.symlink_metadata().is_ok_and(|there| {
        let time = (there.mtime(), there.mtime_nsec());
        there.is_file()
            && there.len() == attr.size
            && time == (attr.mtime.seconds, i64::from(attr.mtime.nanos))
    })
}

/// The name under which a copy grows. It holds all that must be unchanged on the volume for it to be gone on with.
fn part_name(inode: &Inode, to: &Path) -> PathBuf {
    let attr = inode.attr();
    let (ino, generation, size) = (attr.ino.0, attr.generation, attr.size);
    let (seconds, nanos) = (attr.mtime.seconds, attr.mtime.nanos);
    to.with_file_name(format!(".oxsan-part-{ino:x}-{generation:x}-{size:x}-{seconds:x}-{nanos:x}"))
}
