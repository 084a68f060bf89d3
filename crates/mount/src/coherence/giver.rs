//! Giving a lock up: the kernel's pages and attributes of an inode first.
//!
//! ```text
//! wanted ── notify all ──┬─ nothing was filled meanwhile ── ready ── (lowered) ── forgotten
//!                        └─ something was: notify that ──┘
//! ```
//!
//! A page is locked from before its READ is sent until that is answered, and the notification that drops pages waits
//! for locked ones: so a READ of what is being dropped must be answered, under the lock that is still held. Its page may
//! then lie behind the notification, filled: it is dropped by the next, which covers only what was filled so. A READ of
//! other pages than those being dropped can wait, and does: that is how the rounds become smaller, and end.
//!
//! Attributes are alike: an answer that was on its way, and lets the kernel rely on it, may arrive behind the
//! notification. While a lock is wanted, answers let the kernel rely on nothing.

use std::collections::{BTreeMap, VecDeque};

use super::ByteRange;
use crate::Ino;

/// What another node wants of an inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Want {
    /// To read it: this node may keep what nobody can change behind its back.
    Read,
    /// To change it: this node keeps nothing.
    Change,
}

/// Something on its way to the kernel that it may rely on, or a page that it waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Filling(u64);

/// Whether a READ may be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// Now.
    Now,
    /// When [`Output::Admit`] names it.
    Later,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Make the kernel forget the attributes of an inode, and its pages of a range where there is one, and say so by
    /// [`Giver::notified`]. On a thread that no request waits for.
    Notify {
        /// The inode.
        ino: Ino,
        /// Which pages.
        pages: Option<ByteRange>,
    },
    /// The kernel has nothing of the inode that must go: from now on nobody here gets its lock, and when those who have
    /// it are done it may be lowered as far as `want` needs. Say so by [`Giver::lowered`].
    Ready {
        /// The inode.
        ino: Ino,
        /// For what.
        want: Want,
    },
    /// A READ that had to wait may be served. If the lock was lowered meanwhile it has to be had again, as for any READ.
    Admit {
        /// Which.
        filling: Filling,
    },
}

/// Sees to it that the kernel lets go of an inode before this node lowers its lock.
#[derive(Debug, Default)]
pub struct Giver {
    inodes: BTreeMap<Ino, Node>,
    fillings: BTreeMap<Filling, Fill>,
    next: u64,
    out: VecDeque<Output>,
}

/// What is known of an inode that is being read, mapped, or given up.
#[derive(Debug, Default)]
struct Node {
    /// Fillings that have been let through and are not done.
    running: u32,
    /// Those among them, or done since the last notification began, that touch pages: what they cover.
    filled: Option<ByteRange>,
    /// The same of attributes.
    told: bool,
    /// READs that wait.
    held: VecDeque<Filling>,
    /// Open files through which pages become dirty unseen.
    mappers: u32,
    giving: Option<Giving>,
    /// What is wanted beyond that.
    later: Option<Want>,
}

/// How far the giving is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Giving {
    want: Want,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// A notification runs.
    Notifying(Option<ByteRange>),
    /// What was on its way when it ended has to arrive first.
    Draining,
    /// The lock is being lowered.
    Shut,
}

#[derive(Clone, Copy, Debug)]
struct Fill {
    ino: Ino,
    pages: Option<ByteRange>,
}

impl Giver {
    /// Whether nothing is being read, mapped or given up.
    pub fn is_empty(&self) -> bool {
        self.inodes.is_empty() && self.fillings.is_empty()
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// A READ has come, of pages that the kernel has locked; one that goes past its cache need not be announced. [`Self::done`] when it is answered.
    pub fn read(&mut self, ino: Ino, range: ByteRange) -> (Filling, Pass) {
        let filling = self.filling(ino, Some(range));
        let node = self.inodes.entry(ino).or_default();
        let passes = match node.giving.map(|giving| giving.stage) {
            None => true,
            // To hold it would be to wait for each other.
            Some(Stage::Notifying(Some(pages))) => pages.meets(range),
            Some(Stage::Notifying(None) | Stage::Draining | Stage::Shut) => false,
        };
        if passes {
            node.begin(Some(range));
            (filling, Pass::Now)
        } else {
            node.held.push_back(filling);
            (filling, Pass::Later)
        }
    }

    /// A WRITE has come that the kernel writes back from its cache. It is served whatever happens, under the lock that is
    /// held: a notification waits for it. [`Self::done`] when it is answered.
    pub fn write_back(&mut self, ino: Ino, range: ByteRange) -> Filling {
        self.inodes.entry(ino).or_default().begin(Some(range));
        self.filling(ino, Some(range))
    }

    /// An answer with attributes is about to be made up. `None`: the kernel must not rely on them; else
    /// [`Self::done`] when it has been sent.
    pub fn attributes(&mut self, ino: Ino) -> Option<Filling> {
        let node = self.inodes.entry(ino).or_default();
        if node.giving.is_some() {
            return None;
        }
        node.begin(None);
        Some(self.filling(ino, None))
    }

    /// A filling has arrived, or was given up before it was let through.
    pub fn done(&mut self, filling: Filling) {
        let Some(fill) = self.fillings.remove(&filling) else { return };
        let Some(node) = self.inodes.get_mut(&fill.ino) else { return };
        if let Some(at) = node.held.iter().position(|held| *held == filling) {
            node.held.remove(at);
        } else {
            node.running = node.running.saturating_sub(1);
        }
        self.go_on(fill.ino);
    }

    /// A file has been opened through which pages become dirty unseen. Pages that the kernel has of the inode must go
    /// before the open is answered, for they were got under the shared lock: where there was no such file yet, a
    /// notification is to be awaited.
    ///
    /// Returns whether that is so.
    pub fn mapped(&mut self, ino: Ino) -> bool {
        let node = self.inodes.entry(ino).or_default();
        node.mappers += 1;
        node.mappers == 1
    }

    /// It was closed.
    pub fn unmapped(&mut self, ino: Ino) {
        let Some(node) = self.inodes.get_mut(&ino) else { return };
        node.mappers = node.mappers.saturating_sub(1);
        self.drop_idle(ino);
    }

    /// Whether READs of the inode take the exclusive lock: a page may become dirty once it is there.
    pub fn reads_exclusively(&self, ino: Ino) -> bool {
        self.inodes.get(&ino).is_some_and(|node| node.mappers > 0)
    }

    /// Another node wants the inode, whose lock this node holds. What is wanted
    /// beyond that while it is being given up is seen to afterwards.
    pub fn wanted(&mut self, ino: Ino, want: Want) {
        let node = self.inodes.entry(ino).or_default();
        match node.giving {
            Some(giving) if giving.want >= want => {}
            Some(_) => node.later = Some(want),
            // The shared lock stays, and with it all that the kernel has under it.
            None if want == Want::Read && node.mappers == 0 => {
                node.giving = Some(Giving { want, stage: Stage::Shut });
                self.out.push_back(Output::Ready { ino, want });
            }
            None => node.notify(ino, want, Some(ByteRange::ALL), &mut self.out),
        }
    }

    /// The notification has returned.
    pub fn notified(&mut self, ino: Ino) {
        let Some(node) = self.inodes.get_mut(&ino) else { return };
        if let Some(Giving { stage: stage @ Stage::Notifying(_), .. }) = &mut node.giving {
            *stage = Stage::Draining;
        }
        self.go_on(ino);
    }

    /// The lock has been lowered. READs that waited have to have it anew.
    pub fn lowered(&mut self, ino: Ino) {
        let Some(node) = self.inodes.get_mut(&ino) else { return };
        node.giving = None;
        // What is still on its way after a lowering for readers may be relied on, and has to go the next time.
        if node.running == 0 {
            (node.filled, node.told) = (None, false);
        }
        while let Some(filling) = node.held.pop_front() {
            let range = self.fillings.get(&filling).and_then(|fill| fill.pages);
            node.begin(range);
            self.out.push_back(Output::Admit { filling });
        }
        match node.later.take() {
            Some(want) => self.wanted(ino, want),
            None => self.drop_idle(ino),
        }
    }

    /// After a notification, when all that was on its way has arrived: is the kernel clean?
    fn go_on(&mut self, ino: Ino) {
        let Some(node) = self.inodes.get_mut(&ino) else { return };
        match node.giving {
            Some(Giving { stage: Stage::Draining, want }) if node.running == 0 => {
                let (pages, told) = (node.filled.take(), std::mem::take(&mut node.told));
                match pages.is_some() || told {
                    true => self.again(ino, want, pages),
                    false => {
                        node.giving = Some(Giving { want, stage: Stage::Shut });
                        self.out.push_back(Output::Ready { ino, want });
                    }
                }
            }
            _ => self.drop_idle(ino),
        }
    }

    /// Another round, over what was filled since the last began. READs that it would wait for are let through first.
    fn again(&mut self, ino: Ino, want: Want, pages: Option<ByteRange>) {
        let Some(node) = self.inodes.get_mut(&ino) else { return };
        node.notify(ino, want, pages, &mut self.out);
        let Some(pages) = pages else { return };
        let fillings = &self.fillings;
        let range_of = |filling: &Filling| fillings.get(filling).and_then(|fill| fill.pages);
        let (meeting, others): (VecDeque<Filling>, VecDeque<Filling>) = std::mem::take(&mut node.held)
            .into_iter()
            .partition(|filling| range_of(filling).is_some_and(|range| range.meets(pages)));
        node.held = others;
        for filling in meeting {
            node.begin(range_of(&filling));
            self.out.push_back(Output::Admit { filling });
        }
    }

    fn filling(&mut self, ino: Ino, pages: Option<ByteRange>) -> Filling {
        let filling = Filling(self.next);
        self.next += 1;
        self.fillings.insert(filling, Fill { ino, pages });
        filling
    }

    /// What says nothing takes no room.
    fn drop_idle(&mut self, ino: Ino) {
        let idle = |node: &Node| {
            node.running == 0 && node.held.is_empty() && node.mappers == 0 && node.giving.is_none()
        };
        if self.inodes.get(&ino).is_some_and(idle) {
            self.inodes.remove(&ino);
        }
    }
}

impl Node {
    /// A filling is let through.
    fn begin(&mut self, pages: Option<ByteRange>) {
        self.running += 1;
        match pages {
            Some(pages) => self.filled = Some(self.filled.map_or(pages, |filled| filled.hull(pages))),
            None => self.told = true,
        }
    }

    fn notify(&mut self, ino: Ino, want: Want, pages: Option<ByteRange>, out: &mut VecDeque<Output>) {
        // What is on its way now, the notification may miss; so it counts as filled after it. `filled` says which.
        if self.running == 0 {
            self.filled = None;
            self.told = false;
        }
        self.giving = Some(Giving { want, stage: Stage::Notifying(pages) });
        out.push_back(Output::Notify { ino, pages });
    }
}
