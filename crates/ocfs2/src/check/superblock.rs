//! The superblock's backups, and the files that every slot must have.

use ocfs2_format::{BlockKind, BlockNum, Compat, RawDinode, Superblock};
use zerocopy::IntoBytes;

use super::Code;
use super::ctx::{Ctx, view};
use super::finding::{Finding, Findings};
use crate::SystemFile;

/// Checks them.
pub(super) async fn check(ctx: &Ctx, out: &mut Findings) {
    backups(ctx, out).await;
    for slot in 0..ctx.format().max_slots {
        if ctx.volume.system_file(SystemFile::OrphanDir(slot)).is_none() {
            let message = format!("the system directory has no {}", SystemFile::OrphanDir(slot));
            out.push(Finding::new(Code::OrphanDirMissing, message).slot(Some(slot)));
        }
    }
    for file in [SystemFile::SlotMap, SystemFile::Heartbeat] {
        if ctx.volume.system_file(file).is_none() {
            out.push(Finding::new(Code::SystemFileMissing, format!("the system directory has no {file}")));
        }
    }
}

/// A backup is the superblock but for its own number and its check.
async fn backups(ctx: &Ctx, out: &mut Findings) {
    if !ctx.format().features.compat.contains(Compat::BACKUP_SB) {
        return;
    }
    let first = ctx.read_run(&mut Findings::default(), 2, Superblock::BLOCK.0, 1).await;
    let Some(first) =
        first.as_deref().and_then(plain).filter(|(raw, _)| raw.signature == Superblock::SIGNATURE)
    else {
        return; // a backup stands in already, and that was told
    };
    for BlockNum(block) in ctx.volume.superblock().backups() {
        let Some(bytes) = ctx.read(out, 2, block, BlockKind::Superblock).await else { continue };
        let number = view::<RawDinode>(&bytes, 0).map_or(0, |raw| raw.blkno.get());
        if plain(&bytes) != Some(first) || number != block {
            let message =
                format!("the backup of the superblock at block {block} differs from the superblock");
            out.push(Finding::new(Code::BackupSuperblock, message).block(block).inode(2));
        }
    }
}

/// The superblock without what differs in its backups.
fn plain(bytes: &[u8]) -> Option<(RawDinode, [u8; 0x140])> {
    let mut raw = *view::<RawDinode>(bytes, 0)?;
    raw.blkno = 0.into();
    raw.check.as_mut_bytes().fill(0);
    Some((raw, bytes.get(RawDinode::BODY_OFFSET..)?.get(..0x140)?.try_into().ok()?))
}
