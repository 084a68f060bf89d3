//! Bodies of the fuzz targets: any bytes as a journal, replayed to its end.

use crate::{JournalSuperblock, Recovered, Replay};

/// Replays `bytes` as a whole journal with blocks of `block_size`. Never panics; ends within the journal's length.
///
/// `None` when it is not a journal or cannot be replayed.
#[must_use]
pub fn journal(bytes: &[u8], block_size: u32) -> Option<Recovered> {
    let size = usize::try_from(block_size).ok()?;
    let blocks = u32::try_from(bytes.len().checked_div(size)?).ok()?;
    let superblock = JournalSuperblock::parse(bytes, block_size, blocks).ok()?;
    let mut replay = Replay::new(&superblock, 1 << 32).ok()?;
    while let Some(block) = replay.wanted() {
        let start = usize::try_from(block).ok()?.checked_mul(size)?;
        replay.feed(bytes.get(start..)?.get(..size)?).ok()?;
    }
    Some(replay.finish())
}
