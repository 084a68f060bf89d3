//! Local allocs and truncate logs of every slot.

use ocfs2_format::{
    Bitmap, BlockKind, Dinode, DinodeFlags, RawDinode, RawLocalAlloc, RawTruncateLog, RawTruncateRec,
};

use super::Code;
use super::clusters::ClusterMap;
use super::ctx::{Ctx, view, views};
use super::finding::{Finding, Findings};
use crate::SystemFile;
use crate::disk::Chunk;

/// Checks them, and takes what they hold: clusters of a window that nobody uses yet, clusters that are to be freed.
pub(super) async fn check(ctx: &Ctx, out: &mut Findings, map: &mut ClusterMap) {
    for slot in 0..ctx.format().max_slots {
        if let Some((ino, bytes)) =
            system(ctx, out, SystemFile::LocalAlloc(slot), DinodeFlags::LOCAL_ALLOC).await
        {
            window(ctx, out, map, (ino, slot), &bytes);
        }
        if let Some((ino, bytes)) =
            system(ctx, out, SystemFile::TruncateLog(slot), DinodeFlags::DEALLOC).await
        {
            log(ctx, out, map, (ino, slot), &bytes);
        }
    }
}

/// Reads the inode of a slot's file, which must have the flag `flag`.
async fn system(ctx: &Ctx, out: &mut Findings, file: SystemFile, flag: DinodeFlags) -> Option<(u64, Chunk)> {
    let missing = |why: &str| Finding::new(Code::SystemFileMissing, format!("{file}: {why}"));
    let Some(ino) = ctx.volume.system_file(file) else {
        out.push(missing("the system directory has no such file"));
        return None;
    };
    let bytes = ctx.read(&mut Findings::default(), ino.0, ino.0, BlockKind::Dinode).await?;
    let raw: &RawDinode = view(&bytes, 0)?;
    let flags = DinodeFlags::from_bits_retain(raw.flags.get());
    if raw.signature != Dinode::SIGNATURE || !flags.contains(flag | DinodeFlags::VALID) {
        let why = format!("block {ino} is no inode with the flags of one");
        out.push(missing(&why).block(ino.0).inode(ino.0).values(
            "i_flags",
            flags.bits().into(),
            flag.bits().into(),
        ));
        return None;
    }
    Some((ino.0, bytes))
}

/// A local alloc.
fn window(ctx: &Ctx, out: &mut Findings, map: &mut ClusterMap, (ino, slot): (u64, u16), bytes: &[u8]) {
    let (Some(raw), Some(body)) = (view::<RawDinode>(bytes, 0), view::<RawLocalAlloc>(bytes, 0xc0)) else {
        return;
    };
    let what = ("local alloc", ino);
    let room = ctx.room(0xd0, 1);
    let size = u64::from(body.size.get());
    let (used, total) = (u64::from(raw.id1[0].get()), u64::from(raw.id1[1].get()));
    let start = u64::from(body.bm_off.get());
    if size > room {
        out.expect(Code::LallocSize, what, ino, ("la_size", size, room));
    }
    if total == 0 {
        out.expect(Code::LallocNzUsed, what, ino, ("i_used", used, 0));
        out.expect(Code::LallocNzBm, what, ino, ("la_bm_off", start, 0));
        return;
    }
    let clusters = u64::from(ctx.geometry().clusters.get());
    let mut bad = false;
    if total > size.min(room) * 8 {
        bad |= !out.expect(Code::LallocBmSize, what, ino, ("i_total", total, size.min(room) * 8));
    }
    if start >= clusters {
        bad |= !out.expect(Code::LallocBmOverrun, what, ino, ("la_bm_off", start, clusters - 1));
    } else if start + total > clusters {
        bad |= !out.expect(Code::LallocBmStraddle, what, ino, ("i_total", total, clusters - start));
    }
    if used > total {
        bad |= !out.expect(Code::LallocUsedOverrun, what, ino, ("i_used", used, total));
    }
    if bad {
        let message =
            format!("local_alloc:{slot:04} (inode {ino}): the window makes no sense and must be cleared");
        out.push(Finding::new(Code::LallocClear, message).block(ino).inode(ino).slot(Some(slot)));
        return;
    }
    let state = ctx.volume.slots().get(usize::from(slot));
    let waits =
        state.is_some_and(|slot| slot.node.is_some() || slot.journal.is_some_and(|journal| journal.dirty));
    if !waits {
        let message = format!(
            "local_alloc:{slot:04} (inode {ino}): a window of {total} clusters at cluster {start} in a slot with nothing to \
             recover: it cannot be mounted"
        );
        let finding = Finding::new(Code::LallocActive, message).block(ino).inode(ino).slot(Some(slot));
        out.push(finding.values("i_total", total, 0));
    }
    let bits = u32::try_from(total).unwrap_or(0);
    let bitmap = Bitmap::new(bytes.get(0xd0..).unwrap_or_default(), bits);
    out.expect(Code::LallocUsedOverrun, what, ino, ("i_used", used, bitmap.ones().into()));
    for bit in (0..bits).filter(|bit| !bitmap.get(*bit)) {
        map.claim(body.bm_off.get() + bit, 1);
    }
}

/// A truncate log.
fn log(ctx: &Ctx, out: &mut Findings, map: &mut ClusterMap, (ino, slot): (u64, u16), bytes: &[u8]) {
    let Some(body) = view::<RawTruncateLog>(bytes, 0xc0) else { return };
    let what = ("truncate log", ino);
    let room = ctx.room(0xc8, 8);
    let (count, used) = (u64::from(body.count.get()), u64::from(body.used.get()));
    if count > room {
        out.expect(Code::DeallocCount, what, ino, ("tl_count", count, room));
    }
    let most = count.min(room);
    if used > most {
        out.expect(Code::DeallocUsed, what, ino, ("tl_used", used, most));
    }
    let clusters = u64::from(ctx.geometry().clusters.get());
    let records: &[RawTruncateRec] = views(bytes, 0xc8, used.min(room));
    for (index, record) in records.iter().enumerate() {
        let (start, count) = (record.start.get(), record.clusters.get());
        if start == 0 {
            continue; // not in use
        }
        let (start64, end) = (u64::from(start), u64::from(start) + u64::from(count));
        let code = if start64 >= clusters {
            Some(Code::TruncateRecStartRange)
        } else if end > u64::from(u32::MAX) {
            Some(Code::TruncateRecWrap)
        } else if end > clusters {
            Some(Code::TruncateRecRange)
        } else {
            None
        };
        let Some(code) = code else {
            map.claim(start, count);
            continue;
        };
        let message = format!(
            "truncate_log:{slot:04} (inode {ino}): record {index}: {count} clusters from cluster {start} on lie outside \
             the volume"
        );
        let finding = Finding::new(code, message).block(ino).inode(ino).slot(Some(slot));
        out.push(finding.values("t_start", start64, clusters));
    }
}
