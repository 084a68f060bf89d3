//! A disk with a volatile cache, and the journal on it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::journal::{Images, IoId, Journal, JournalOptions, Output, Place, Tid};
use crate::{IncompatFeatures, JournalSuperblock, Replay, Sequence};

pub(super) const BLOCK: usize = 512;
/// Blocks of the volume that tests change.
pub(super) const BLOCKS: u64 = 24;

type Bytes = Arc<[u8]>;
/// What a volume holds: block to its first bytes' value.
pub(super) type State = BTreeMap<u64, Bytes>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Spot {
    Log(u32),
    Home(u64),
}

#[derive(Debug)]
enum Io {
    Write {
        spots: Vec<(Spot, Bytes)>,
        durable: bool,
    },
    /// With the writes that it covers: those that were answered before it came out.
    Flush {
        covers: usize,
    },
}

/// The disk: what is stable, what is in its cache, what is on its way.
#[derive(Debug, Default)]
pub(super) struct Disk {
    stable: BTreeMap<Spot, Bytes>,
    /// Answered and not flushed, in order.
    cached: Vec<(Spot, Bytes)>,
    pub(super) flying: Vec<(IoId, Flying)>,
}

/// Requests that take long: homes, or superblocks. The log can fill up and go around meanwhile.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Held {
    pub(super) homes: bool,
    pub(super) head: bool,
}

/// One request on its way.
#[derive(Debug)]
pub(super) struct Flying(Io);

/// What the engine told.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) committed: Tid,
    pub(super) passed: Tid,
    pub(super) empty: bool,
    pub(super) space: u32,
    pub(super) aborted: bool,
    pub(super) home: Images,
}

impl Disk {
    /// A disk with a new journal of `maxlen` blocks that expects transaction `sequence`.
    pub(super) fn new(maxlen: u32, wide: bool, sequence: u32) -> Self {
        let incompat = if wide { IncompatFeatures::BIT64 } else { IncompatFeatures::empty() };
        let mut raw = JournalSuperblock::format(512, maxlen, [9; 16], incompat);
        JournalSuperblock::set_start(&mut raw, Sequence(sequence), None);
        let mut disk = Self::default();
        for (at, bytes) in (0..).zip(zerocopy::IntoBytes::as_bytes(&raw).chunks(BLOCK)) {
            disk.stable.insert(Spot::Log(at), bytes.into());
        }
        disk
    }

    fn log(&self, at: u32) -> Bytes {
        self.stable.get(&Spot::Log(at)).cloned().unwrap_or_else(|| [0; BLOCK].as_slice().into())
    }

    fn first_block(&self) -> Vec<u8> {
        [self.log(0), self.log(1)].concat()
    }

    /// The superblock on stable storage.
    pub(super) fn superblock(&self, maxlen: u32) -> JournalSuperblock {
        JournalSuperblock::parse(&self.first_block(), 512, maxlen).unwrap()
    }

    /// The oldest transaction in the log, by its number there; `None` when it is empty.
    pub(super) fn oldest(&self, maxlen: u32) -> Option<Sequence> {
        let superblock = self.superblock(maxlen);
        superblock.start.map(|_| superblock.sequence)
    }

    /// Opens the journal: replays it home, empties it, and hands it to an engine. Gives what the volume holds then.
    pub(super) fn open(&mut self, maxlen: u32) -> (Journal, State) {
        let (first_block, superblock) = (self.first_block(), self.superblock(maxlen));
        let mut replay = Replay::new(&superblock, BLOCKS).unwrap();
        while let Some(at) = replay.wanted() {
            replay.feed(&self.log(at)).unwrap();
        }
        let recovered = replay.finish();
        for (block, copy) in &recovered.copies {
            let mut bytes = self.log(copy.log_block).to_vec();
            if copy.escaped {
                crate::unescape(&mut bytes);
            }
            self.stable.insert(Spot::Home(*block), bytes.into());
        }
        let emptied = Journal::emptied(&first_block, recovered.next_sequence).unwrap();
        for (at, bytes) in (0..).zip(emptied.chunks(BLOCK)) {
            self.stable.insert(Spot::Log(at), bytes.into());
        }
        let journal = Journal::open(&emptied, 512, maxlen, JournalOptions::default()).unwrap();
        (journal, self.home())
    }

    /// What lies at home on stable storage.
    pub(super) fn home(&self) -> State {
        let home = |(spot, bytes): (&Spot, &Bytes)| match spot {
            Spot::Home(block) => Some((*block, Arc::clone(bytes))),
            Spot::Log(_) => None,
        };
        self.stable.iter().filter_map(home).collect()
    }

    /// Takes what the engine wants, and notes what it tells.
    pub(super) fn take(&mut self, journal: &mut Journal, told: &mut Told) {
        while let Some(output) = journal.poll_output() {
            match output {
                Output::Write { id, place, blocks, durable } => {
                    let spot = |n: usize| match place {
                        Place::Log(at) => Spot::Log(at + u32::try_from(n).unwrap()),
                        Place::Home(block) => Spot::Home(block + n as u64),
                    };
                    let spots = (0..).map(spot).zip(blocks).collect();
                    self.flying.push((id, Flying(Io::Write { spots, durable })));
                }
                Output::Flush { id } => {
                    self.flying.push((id, Flying(Io::Flush { covers: self.cached.len() })));
                }
                Output::Committed(tid) => told.committed = tid,
                Output::Home(images) => told.home.extend(images),
                Output::Tail { passed, empty } => (told.passed, told.empty) = (passed, empty),
                Output::Space => told.space += 1,
                Output::Aborted => told.aborted = true,
            }
        }
    }

    /// The requests on their way that are not held, by their numbers.
    pub(super) fn not_held(&self, held: Held) -> Vec<usize> {
        let is_held = |(_, Flying(io)): &(IoId, Flying)| match io {
            Io::Write { spots, .. } => match spots[0].0 {
                Spot::Home(_) => held.homes,
                Spot::Log(at) => held.head && at == 0,
            },
            Io::Flush { .. } => false,
        };
        (0..self.flying.len()).filter(|&n| !is_held(&self.flying[n])).collect()
    }

    /// Answers request number `n` of those on their way.
    pub(super) fn answer(&mut self, n: usize, journal: &mut Journal, ok: bool) {
        let (id, Flying(io)) = self.flying.remove(n);
        match io {
            Io::Write { spots, durable } => {
                if durable && ok {
                    self.stable.extend(spots.iter().cloned());
                }
                // A write that failed may have been done in part; in the cache it may be lost or not.
                self.cached.extend(spots);
            }
            Io::Flush { covers } if ok => {
                let rest = self.cached.split_off(covers);
                self.stable.extend(std::mem::replace(&mut self.cached, rest));
                // Flushes on their way cover so many less.
                for (_, Flying(io)) in &mut self.flying {
                    if let Io::Flush { covers: later } = io {
                        *later = later.saturating_sub(covers);
                    }
                }
            }
            Io::Flush { .. } => {}
        }
        journal.done(id, ok);
    }

    /// The power fails: of every block that is not stable, `keep` says whether it got there all the same.
    pub(super) fn cut(&mut self, mut keep: impl FnMut() -> bool) {
        let flying = std::mem::take(&mut self.flying).into_iter().filter_map(|(_, Flying(io))| match io {
            Io::Write { spots, .. } => Some(spots),
            Io::Flush { .. } => None,
        });
        let loose: Vec<(Spot, Bytes)> =
            std::mem::take(&mut self.cached).into_iter().chain(flying.flatten()).collect();
        for (spot, bytes) in loose {
            if keep() {
                self.stable.insert(spot, bytes);
            }
        }
    }
}

/// An image that nobody else has; some begin like a block of the log.
pub(super) fn image(serial: u32) -> Bytes {
    let mut bytes = [0; BLOCK];
    if serial.is_multiple_of(3) {
        bytes[..4].copy_from_slice(&crate::MAGIC.to_be_bytes());
        bytes[4..8].copy_from_slice(&2_u32.to_be_bytes());
    }
    bytes[8..12].copy_from_slice(&serial.to_be_bytes());
    bytes.as_slice().into()
}

/// Lets everything go its way until nothing is left to do.
pub(super) fn settle(disk: &mut Disk, journal: &mut Journal, told: &mut Told) {
    disk.take(journal, told);
    while !disk.flying.is_empty() {
        disk.answer(0, journal, true);
        disk.take(journal, told);
    }
}

/// Seconds as the engine takes them.
pub(super) fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
