//! Passes 3 and 4: who names whom.

use std::collections::BTreeMap;
use std::sync::Arc;

use ocfs2_format::BlockNum;

use super::Code;
use super::ctx::Ctx;
use super::dirs::DirPart;
use super::finding::{Finding, Findings};
use super::part::StateFlags;
use super::table::Table;

/// What is known of a directory beside its inode.
#[derive(Clone, Copy, Debug, Default)]
struct DirState {
    /// Index in the table.
    index: u32,
    /// Index of the directory that names it, plus 1; 0: none does.
    parent: u32,
    dotdot: u64,
}

/// Names counted.
#[derive(Debug)]
pub(super) struct Links {
    table: Arc<Table>,
    /// Names of each inode.
    names: Vec<u32>,
    /// What was found of each inode.
    seen: Vec<StateFlags>,
    dirs: Vec<DirState>,
    /// Orphans, with the slot that lists them.
    orphans: Vec<(u32, u16)>,
    pending: u64,
}

impl Links {
    pub(super) fn new(table: Arc<Table>) -> Self {
        let dirs = table.iter().filter(|(_, state)| state.is_dir());
        let dirs = dirs.map(|(index, _)| DirState { index, ..DirState::default() }).collect();
        let (names, seen) = (vec![0; table.len()], vec![StateFlags::empty(); table.len()]);
        Self { table, names, seen, dirs, orphans: Vec::new(), pending: 0 }
    }

    /// Orphans of slots that wait for their recovery.
    pub(super) fn pending(&self) -> u64 {
        self.pending
    }

    fn dir_at(&self, index: u32) -> Option<usize> {
        self.dirs.binary_search_by_key(&index, |dir| dir.index).ok()
    }

    fn ino(&self, index: u32) -> u64 {
        self.table.get(index).map_or(0, |state| state.ino)
    }

    fn count(&mut self, index: u32) {
        if let Some(names) = self.names.get_mut(index as usize) {
            *names = names.saturating_add(1);
        }
    }

    /// Takes what a directory says.
    pub(super) fn take(&mut self, out: &mut Findings, part: DirPart, orphan_dirs: &BTreeMap<u64, u16>) {
        let ino = self.ino(part.dir);
        let orphan = self.table.get(part.dir).is_some_and(|state| state.is_orphan());
        if let Some(dir) = self.dir_at(part.dir).and_then(|at| self.dirs.get_mut(at)) {
            dir.dotdot = part.dotdot;
        }
        // Nobody counts the names in a directory that is gone itself.
        for index in part.dots.into_iter().chain(part.names.iter().copied()).filter(|_| !orphan) {
            self.count(index);
        }
        for index in part.names {
            self.parent(out, (part.dir, ino), index);
        }
        let slot = orphan_dirs.get(&ino).copied().unwrap_or(u16::MAX);
        for index in part.orphans {
            if let Some(seen) = self.seen.get_mut(index as usize) {
                *seen |= StateFlags::LISTED;
            }
            let state = self.table.get(index).copied();
            if state.is_some_and(|state| state.is_orphan()) {
                self.orphans.push((index, slot));
                if state.is_some_and(|state| state.is_dir()) {
                    self.count(part.dir);
                }
            }
        }
    }

    /// `index` is named by directory `dir`.
    fn parent(&mut self, out: &mut Findings, (dir, ino): (u32, u64), index: u32) {
        let Some(at) = self.dir_at(index) else { return };
        let before = self.dirs[at].parent;
        if before == 0 {
            self.dirs[at].parent = dir.saturating_add(1);
            return;
        }
        let child = self.ino(index);
        let message = format!(
            "directory {child} is named by directory {ino}, but by directory {} already",
            self.ino(before - 1)
        );
        out.push(Finding::new(Code::DirParentDup, message).block(ino).inode(child));
    }

    /// Judges what was counted.
    pub(super) async fn finish(&mut self, ctx: &Ctx, out: &mut Findings) {
        self.tops(ctx, out).await;
        self.connect(ctx, out);
        self.orphans(ctx, out);
        self.counts(out);
    }

    /// The root and `lost+found`.
    async fn tops(&self, ctx: &Ctx, out: &mut Findings) {
        let root = ctx.volume.root();
        let found = self.table.find(root.0).and_then(|index| self.dir_at(index));
        if found.is_none() {
            let message = format!("block {root} should be the root directory");
            out.push(Finding::new(Code::RootDirMissing, message).block(root.0).inode(root.0));
        }
        let lost = match ctx.volume.inode(root).await {
            Ok(root) => ctx.volume.lookup_linear(&root, b"lost+found").await.ok().flatten(),
            Err(_) => None,
        };
        let is_dir = |ino: BlockNum| self.table.find(ino.0).is_some_and(|index| self.dir_at(index).is_some());
        if !lost.is_some_and(|entry| is_dir(entry.ino)) {
            let message = "the root has no directory lost+found".to_owned();
            out.push(Finding::new(Code::LostfoundMissing, message).block(root.0).inode(root.0));
        }
    }

    /// Follows every directory up to the root or the system directory.
    fn connect(&mut self, ctx: &Ctx, out: &mut Findings) {
        let tops = [ctx.volume.root().0, ctx.volume.superblock().system_dir.0];
        for index in tops.into_iter().filter_map(|ino| self.table.find(ino)) {
            if let Some(seen) = self.seen.get_mut(index as usize) {
                *seen |= StateFlags::CONNECTED;
            }
        }
        for at in 0..self.dirs.len() {
            let dir = self.dirs[at];
            let ino = self.ino(dir.index);
            if self.table.get(dir.index).is_some_and(|state| state.is_orphan()) {
                continue; // it keeps the `..` of its life
            }
            let top = tops.contains(&ino);
            let parent = if top { Some(ino) } else { dir.parent.checked_sub(1).map(|index| self.ino(index)) };
            if let Some(parent) = parent.filter(|parent| *parent != dir.dotdot) {
                let message = format!(
                    "directory {ino} is named by directory {parent}, but its \"..\" leads to inode {}",
                    dir.dotdot
                );
                let finding = Finding::new(Code::DirDotdot, message).block(ino).inode(ino);
                out.push(finding.values("..", dir.dotdot, parent));
            }
            self.climb(out, dir);
        }
    }

    /// Climbs from a directory until one is known to be connected, and marks the way. A way that ends, or leads into
    /// itself, is reported where it does, once.
    fn climb(&mut self, out: &mut Findings, from: DirState) {
        let mut way = Vec::new();
        let mut dir = from;
        loop {
            let Some(seen) = self.seen.get_mut(dir.index as usize) else { return };
            if seen.contains(StateFlags::CONNECTED) {
                break;
            }
            // From now on it counts as connected: who comes here later has nothing new to tell.
            *seen |= StateFlags::CONNECTED;
            way.push(dir.index);
            let orphan = self.table.get(dir.index).is_some_and(|state| state.is_orphan());
            let above = dir.parent.checked_sub(1).and_then(|index| self.dir_at(index));
            let Some(above) = above.filter(|_| !orphan) else {
                if !orphan {
                    self.lost(out, dir.index, "is in no directory that can be reached");
                }
                return;
            };
            dir = self.dirs[above];
            if way.contains(&dir.index) {
                self.lost(out, dir.index, "is inside itself");
                return;
            }
        }
    }

    fn lost(&self, out: &mut Findings, index: u32, why: &str) {
        let ino = self.ino(index);
        let message = format!("directory {ino} {why}");
        out.push(Finding::new(Code::DirNotConnected, message).block(ino).inode(ino));
    }

    /// Orphans: those of a slot that is in use or dirty are its own business.
    fn orphans(&mut self, ctx: &Ctx, out: &mut Findings) {
        for (index, slot) in std::mem::take(&mut self.orphans) {
            let state = ctx.volume.slots().get(usize::from(slot));
            let waits = state
                .is_some_and(|slot| slot.node.is_some() || slot.journal.is_some_and(|journal| journal.dirty));
            if waits {
                self.pending += 1;
                continue;
            }
            let ino = self.ino(index);
            let message = format!("inode {ino} waits in orphan_dir:{slot:04} to be deleted");
            out.push(Finding::new(Code::InodeOrphaned, message).block(ino).inode(ino).slot(Some(slot)));
        }
    }

    fn counts(&self, out: &mut Findings) {
        let table = Arc::clone(&self.table);
        for (index, state) in table.iter() {
            let names = self.names.get(index as usize).copied().unwrap_or(0);
            let listed = self.seen.get(index as usize).is_some_and(|seen| seen.contains(StateFlags::LISTED));
            let ino = state.ino;
            if state.is_orphan() && listed {
                continue;
            }
            if state.flags.contains(StateFlags::DIO_ORPHANED) && !listed {
                let message =
                    format!("inode {ino} has the flag of a dio- entry, which no orphan directory holds");
                out.push(Finding::new(Code::OrphanEntry, message).block(ino).inode(ino));
            }
            if names == 0 && !state.is_dir() {
                let message = format!("inode {ino} is in no directory");
                out.push(Finding::new(Code::InodeNotConnected, message).block(ino).inode(ino));
            }
            if names != state.links {
                let message = format!(
                    "inode {ino}, block {ino}: i_links_count is {}, its names come to {names}",
                    state.links
                );
                let finding = Finding::new(Code::InodeCount, message).block(ino).inode(ino);
                out.push(finding.values("i_links_count", state.links.into(), names.into()));
            }
        }
    }
}
