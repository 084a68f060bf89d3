//! Directory entries and trailers.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};

use ocfs2_format::{
    CharSign, DirTrailer, DxHash, FileType, RawDirEntry, RawDirTrailer, TRAILER_LEN, rec_len,
};

use super::Code;
use super::ctx::view;
use super::dirs::Dir;
use super::finding::{Finding, Findings};
use super::part::StateFlags;

/// A name, for the index: both hashes that it may have, and the block that holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Hashed {
    pub(super) signed: DxHash,
    pub(super) unsigned: DxHash,
    pub(super) block: u64,
}

/// A directory block in the list of blocks with free space.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Free {
    /// `db_free_rec_len`, and the largest hole that there is.
    pub(super) told: u16,
    pub(super) hole: u16,
    pub(super) next: u64,
}

/// What is kept of a directory's names: 16 bytes of each, 24 more with an index.
#[derive(Debug)]
pub(super) struct Names {
    /// Hash of the name, and block.
    seen: Vec<(u64, u64)>,
    pub(super) hashed: Option<Vec<Hashed>>,
    /// Blocks with trailers.
    pub(super) free: BTreeMap<u64, Free>,
}

impl Names {
    pub(super) fn new(indexed: bool) -> Self {
        Self { seen: Vec::new(), hashed: indexed.then(Vec::new), free: BTreeMap::new() }
    }

    fn add(&mut self, name: &[u8], block: u64, seed: [u32; 4]) {
        let mut hasher = DefaultHasher::new();
        hasher.write(name);
        self.seen.push((hasher.finish(), block));
        if let Some(hashed) = &mut self.hashed {
            let signed = DxHash::of(name, seed, CharSign::Signed);
            let unsigned = if name.is_ascii() { signed } else { DxHash::of(name, seed, CharSign::Unsigned) };
            hashed.push(Hashed { signed, unsigned, block });
        }
    }

    /// Reports names that are there twice (by 64 bits of hash).
    pub(super) fn duplicates(&mut self, ino: u64, out: &mut Findings) {
        self.seen.sort_unstable();
        for pair in self.seen.windows(2) {
            if pair[0].0 == pair[1].0 {
                let message = format!(
                    "directory {ino}: a name is there twice, in blocks {} and {}",
                    pair[0].1, pair[1].1
                );
                out.push(Finding::new(Code::DirentDuplicate, message).block(pair[1].1).inode(ino));
            }
        }
    }
}

/// Checks the entries of one area, block `block` of the volume and `logical` of the directory.
pub(super) fn check(dir: &mut Dir<'_>, out: &mut Findings, (block, logical): (u64, u64), area: &[u8]) {
    let mut offset = 0;
    let mut hole = 0;
    let mut number = 0;
    while offset < area.len() {
        let tail = area.get(offset..).unwrap_or_default();
        let at = At { block, logical, offset, number };
        let Some((entry, name)) = split(dir, out, &at, tail) else {
            dir.broken = true;
            return;
        };
        let step = usize::from(entry.rec_len.get());
        let used = if entry.inode.get() == 0 { 0 } else { rec_len(name.len()) };
        hole = hole.max(step.saturating_sub(used));
        one(dir, out, &at, &entry, name);
        offset += step;
        number += 1;
        dir.count += 1;
    }
    if let Some(free) = dir.names.free.get_mut(&block) {
        free.hole = u16::try_from(hole).unwrap_or(u16::MAX);
    }
}

/// Where an entry lies.
struct At {
    block: u64,
    logical: u64,
    offset: usize,
    number: u64,
}

fn say(dir: &Dir<'_>, out: &mut Findings, code: Code, at: &At, why: &str, values: (&'static str, u64, u64)) {
    let message = format!("directory {}, block {}: the entry at byte {} {why}", dir.ino, at.block, at.offset);
    let (field, found, expected) = values;
    out.push(Finding::new(code, message).block(at.block).inode(dir.ino).values(field, found, expected));
}

/// Takes the entry at the start of `tail`; `None` when its length makes the next one's place unknown.
fn split<'a>(dir: &Dir<'_>, out: &mut Findings, at: &At, tail: &'a [u8]) -> Option<(RawDirEntry, &'a [u8])> {
    let entry = view::<RawDirEntry>(tail, 0).copied();
    let length = entry.map_or(0, |entry| usize::from(entry.rec_len.get()));
    let name_len = entry.map_or(0, |entry| usize::from(entry.name_len));
    let left = tail.len().wrapping_sub(length);
    let fits = length >= 16
        && length.is_multiple_of(4)
        && length >= rec_len(name_len)
        && length <= tail.len()
        && !(1..16).contains(&left);
    let Some(entry) = entry.filter(|_| fits) else {
        let why =
            format!("has rec_len {length} for a name of {name_len} bytes with {} bytes left", tail.len());
        say(dir, out, Code::DirentLength, at, &why, ("rec_len", length as u64, rec_len(name_len) as u64));
        return None;
    };
    let head = size_of::<RawDirEntry>();
    Some((entry, tail.get(head..head + name_len)?))
}

/// Checks one entry.
fn one(dir: &mut Dir<'_>, out: &mut Findings, at: &At, entry: &RawDirEntry, name: &[u8]) {
    let ino = entry.inode.get();
    let dotty = at.logical == 0 && at.number < 2;
    if dotty {
        dot(dir, out, at, entry, name);
    }
    if ino == 0 {
        return;
    }
    if name.is_empty() {
        let why = format!("names inode {ino}, but has no name");
        say(dir, out, Code::DirentZero, at, &why, ("name_len", 0, 1));
    } else if let Some(byte) = name.iter().find(|byte| matches!(byte, 0 | b'/')) {
        let why = format!("has byte {byte:#04x} in its name \"{}\"", name.escape_ascii());
        say(dir, out, Code::DirentNameChars, at, &why, ("name", u64::from(*byte), u64::from(b'.')));
    }
    if !dotty && matches!(name, b"." | b"..") {
        let why = format!("is another \"{}\"", name.escape_ascii());
        say(dir, out, Code::DirentDottyDup, at, &why, ("name", 0, 0));
    }
    dir.names.add(name, at.block, dir.ctx.format().dx_seed);
    target(dir, out, at, (entry, name), dotty);
}

/// The first two entries.
fn dot(dir: &mut Dir<'_>, out: &mut Findings, at: &At, entry: &RawDirEntry, name: &[u8]) {
    let ino = entry.inode.get();
    let wanted: &[u8] = if at.number == 0 { b"." } else { b".." };
    if name != wanted || ino == 0 {
        let why = format!("is \"{}\", not \"{}\"", name.escape_ascii(), wanted.escape_ascii());
        say(dir, out, Code::DirentNotDotty, at, &why, ("name", 0, 0));
        return;
    }
    if at.number == 1 {
        dir.part.dotdot = ino;
        return;
    }
    if ino != dir.ino {
        say(
            dir,
            out,
            Code::DirentDotInode,
            at,
            &format!("is \".\", but names inode {ino}"),
            ("inode", ino, dir.ino),
        );
    }
    let length = u64::from(entry.rec_len.get());
    if length != 16 {
        say(
            dir,
            out,
            Code::DirentDotExcess,
            at,
            &format!("is \".\", of {length} bytes"),
            ("rec_len", length, 16),
        );
    }
}

/// What an entry leads to.
fn target(dir: &mut Dir<'_>, out: &mut Findings, at: &At, (entry, name): (&RawDirEntry, &[u8]), dotty: bool) {
    let ino = entry.inode.get();
    let shown = name.escape_ascii();
    if !dir.ctx.holds(ino) {
        let why = format!("\"{shown}\" names inode {ino}, outside the volume");
        say(dir, out, Code::DirentInodeRange, at, &why, ("inode", ino, 0));
        return;
    }
    let found = dir.table.find(ino).and_then(|index| Some((index, *dir.table.get(index)?)));
    let Some((index, state)) = found.filter(|(_, state)| !state.flags.contains(StateFlags::BIT_CLEAR)) else {
        let why = format!("\"{shown}\" names inode {ino}, which is not in use");
        say(dir, out, Code::DirentInodeFree, at, &why, ("inode", ino, 0));
        if let Some((index, _)) = found {
            list(dir, index, dotty);
        }
        return;
    };
    if entry.file_type != state.file_type {
        let of = |code| FileType::from_dirent(code).map_or("unknown", crate::type_name);
        let why = format!(
            "\"{shown}\" says {} ({}), but inode {ino} is {} ({})",
            of(entry.file_type),
            entry.file_type,
            of(state.file_type),
            state.file_type
        );
        let values = ("file_type", entry.file_type.into(), state.file_type.into());
        say(dir, out, Code::DirentType, at, &why, values);
    }
    match dir.orphans_of {
        Some(slot) if !dotty => {
            orphan(dir, out, at, (slot, name), (ino, state.flags, state.orphan_slot));
            dir.part.orphans.push(index);
        }
        _ => list(dir, index, dotty),
    }
}

fn list(dir: &mut Dir<'_>, index: u32, dotty: bool) {
    if dotty {
        dir.part.dots.push(index);
    } else {
        dir.part.names.push(index);
    }
}

/// An entry of an orphan directory: its name is the inode's number, and the inode says so.
fn orphan(
    dir: &Dir<'_>,
    out: &mut Findings,
    at: &At,
    (slot, name): (u16, &[u8]),
    (ino, flags, told): (u64, StateFlags, u16),
) {
    let (digits, flag) = match name.strip_prefix(b"dio-") {
        Some(digits) => (digits, StateFlags::DIO_ORPHANED),
        None => (name, StateFlags::ORPHANED),
    };
    if digits != format!("{ino:016x}").as_bytes() {
        let why = format!("\"{}\" is not the number of inode {ino}", name.escape_ascii());
        say(dir, out, Code::OrphanEntry, at, &why, ("name", 0, 0));
    } else if !flags.contains(flag) || told != slot {
        let why = format!("lists inode {ino}, whose flags or slot ({told}) do not say so");
        say(dir, out, Code::OrphanEntry, at, &why, ("i_orphaned_slot", told.into(), slot.into()));
    }
}

/// Checks the trailer of a block.
pub(super) fn trailer(dir: &mut Dir<'_>, out: &mut Findings, block: u64, bytes: &[u8]) {
    let Some(raw) = view::<RawDirTrailer>(bytes, bytes.len().saturating_sub(TRAILER_LEN)) else { return };
    let what = ("trailer in directory", dir.ino);
    if raw.signature != DirTrailer::SIGNATURE {
        let message = format!("directory {}, block {block}: db_signature is not that of a trailer", dir.ino);
        out.push(Finding::new(Code::DirTrailerInode, message).block(block).inode(dir.ino));
        return;
    }
    for (code, field, found, expected) in [
        (Code::DirTrailerInode, "db_compat_inode", raw.compat_inode.get(), 0),
        (Code::DirTrailerNameLen, "db_compat_name_len", u64::from(raw.compat_name_len), 0),
        (
            Code::DirTrailerRecLen,
            "db_compat_rec_len",
            u64::from(raw.compat_rec_len.get()),
            TRAILER_LEN as u64,
        ),
        (Code::DirTrailerBlkno, "db_blkno", raw.blkno.get(), block),
        (Code::DirTrailerParentInode, "db_parent_dinode", raw.parent_dinode.get(), dir.ino),
    ] {
        out.expect(code, what, block, (field, found, expected));
    }
    let free = Free { told: raw.free_rec_len.get(), hole: 0, next: raw.free_next.get() };
    dir.names.free.insert(block, free);
}
