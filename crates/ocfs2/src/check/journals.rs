//! The journals: their superblocks, features and sizes.

use jbd2::{CompatFeatures, IncompatFeatures, JournalError, JournalSuperblock};
use ocfs2_format::{BlockKind, DinodeFlags, RawDinode};

use super::Code;
use super::ctx::{Ctx, view};
use super::extents;
use super::finding::{Finding, Findings};
use crate::SystemFile;

/// A journal that can be read.
struct Journal {
    slot: u16,
    ino: u64,
    clusters: u64,
    features: (CompatFeatures, IncompatFeatures),
}

/// Checks every slot's journal, then them all against each other.
pub(super) async fn check(ctx: &Ctx, out: &mut Findings) {
    let mut journals = Vec::new();
    for slot in 0..ctx.format().max_slots {
        journals.extend(journal(ctx, out, slot).await);
    }
    let largest = journals.iter().map(|journal| journal.clusters).max().unwrap_or(0);
    let all = journals.iter().fold(Default::default(), |(compat, incompat), journal: &Journal| {
        (journal.features.0 | compat, journal.features.1 | incompat)
    });
    for Journal { slot, ino, clusters, features } in journals {
        if clusters < largest {
            let message =
                format!("journal:{slot:04} (inode {ino}) has {clusters} clusters, the largest {largest}");
            let finding = Finding::new(Code::JournalTooSmall, message).block(ino).inode(ino).slot(Some(slot));
            out.push(finding.values("i_clusters", clusters, largest));
        }
        if features != all && !features.0.is_empty() | !features.1.is_empty() {
            let (found, wanted) = (u64::from(features.1.bits()), u64::from(all.1.bits()));
            let message =
                format!("journal:{slot:04} (inode {ino}) has features {found:#x}, all together {wanted:#x}");
            let finding =
                Finding::new(Code::JournalMissingFeature, message).block(ino).inode(ino).slot(Some(slot));
            out.push(finding.values("s_feature_incompat", found, wanted));
        }
    }
}

async fn journal(ctx: &Ctx, out: &mut Findings, slot: u16) -> Option<Journal> {
    let invalid = |ino: u64, why: String| {
        let message = format!("journal:{slot:04} (inode {ino}): {why}");
        Finding::new(Code::JournalFileInvalid, message).block(ino).inode(ino).slot(Some(slot))
    };
    let Some(ino) = ctx.volume.system_file(SystemFile::Journal(slot)).map(|ino| ino.0) else {
        out.push(invalid(0, "the system directory has no such file".into()));
        return None;
    };
    let mut told = Findings::default(); // pass 1 looks at it as an inode
    let bytes = ctx.read(&mut told, ino, ino, BlockKind::Dinode).await?;
    let raw: &RawDinode = view(&bytes, 0)?;
    let flags = DinodeFlags::from_bits_retain(raw.flags.get());
    if raw.signature != ocfs2_format::Dinode::SIGNATURE || !flags.contains(DinodeFlags::JOURNAL) {
        out.push(invalid(ino, "its block is no inode of a journal".into()).values(
            "i_flags",
            flags.bits().into(),
            0x111,
        ));
        return None;
    }
    let walked = extents::walk_again(ctx, ino, &bytes).await;
    let Some(first) = walked.extents.first().filter(|extent| extent.cpos == 0) else {
        out.push(invalid(ino, "it has no blocks".into()).values(
            "i_clusters",
            u64::from(raw.clusters.get()),
            1,
        ));
        return None;
    };
    let block_size = ctx.geometry().block_size.bytes();
    let count = (JournalSuperblock::LEN as u64).div_ceil(block_size);
    let head = ctx.read_run(out, ino, first.block.0, count).await?;
    let blocks = walked.clusters * ctx.per_cluster();
    let available = u32::try_from(blocks.min(raw.size.get() / block_size)).unwrap_or(u32::MAX);
    let size = u32::try_from(block_size).unwrap_or(0);
    match JournalSuperblock::parse(&head, size, available) {
        Ok(superblock) => {
            let features = (superblock.compat, superblock.incompat);
            unknown(out, (ino, slot), first.block.0, &superblock);
            Some(Journal { slot, ino, clusters: walked.clusters, features })
        }
        Err(error) => {
            let code = match error {
                JournalError::UnknownFeature { .. } => Code::JournalUnknownFeature,
                _ => Code::JournalFileInvalid,
            };
            let why = format!("its superblock at block {}: {error}", first.block);
            out.push(Finding { code, ..invalid(ino, why) }.block(first.block.0));
            None
        }
    }
}

/// Features that a replay does not know.
fn unknown(out: &mut Findings, (ino, slot): (u64, u16), block: u64, superblock: &JournalSuperblock) {
    if let Err(error) = superblock.check_replayable() {
        let message = format!("journal:{slot:04} (inode {ino}): its superblock at block {block}: {error}");
        out.push(Finding::new(Code::JournalUnknownFeature, message).block(block).inode(ino).slot(Some(slot)));
    }
}
