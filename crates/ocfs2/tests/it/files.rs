//! Random work on the data of files, and what may be found of it when it is cut short.

mod beside;
mod faults;
mod full;
mod late;
mod power_cut;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use block::{BlockDevice, Buf, IoFuture, MemoryDevice};
use fixtures::Random;
use ocfs2::lock::LocalLocks;
use ocfs2::{
    BlockNum, Clock, Error, FallocateMode, NewInode, NewKind, OpenError, SetAttr, Timestamp, Writable,
    WriteHow, WriteOptions,
};

use crate::support::{findings, fsck_complaints};

/// The user and group whom the files belong to.
const OWNER: u32 = 1000;
const NEW: NewInode = NewInode { perm: 0o644, uid: OWNER, gid: OWNER, umask: None };

/// Names and contents. No name is ever used again.
type Files = BTreeMap<String, Arc<Vec<u8>>>;

/// A clock that moves on by a tick now and then, so that many writes find the time they would set.
#[derive(Debug, Default)]
struct Ticks(AtomicI64);

impl Clock for Ticks {
    fn now(&self) -> Timestamp {
        Timestamp { seconds: 2_000_000_000 + self.0.fetch_add(1, Ordering::Relaxed) / 100, nanos: 7 }
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep(&self, _time: Duration) -> IoFuture<'_, ()> {
        IoFuture::boxed(std::future::pending())
    }
}

async fn open(device: Arc<dyn BlockDevice>) -> Result<Writable, OpenError> {
    let clock = Arc::new(Ticks::default());
    Writable::open(device, WriteOptions::default(), Arc::new(LocalLocks::default()), clock).await
}

/// Opens the volume, works on it, and closes it.
async fn worked<T>(
    device: Arc<dyn BlockDevice>,
    work: impl AsyncFnOnce(&Writable) -> T,
) -> (T, Result<(), Error>) {
    let fs = open(device).await.expect("a sound volume");
    let both = async {
        let done = work(&fs).await;
        (done, fs.close().await)
    };
    futures_util::future::join(fs.drive(), both).await.1
}

#[derive(Clone, Debug)]
enum Op {
    Create(String),
    Delete(String),
    /// At the end, where there is no place.
    Write(String, Option<usize>, Vec<u8>),
    Resize(String, usize),
    Allocate(String, usize, usize, bool),
    Punch(String, usize, usize),
}

impl Op {
    /// What it makes of `files`; a write that ended early wrote only `most` bytes.
    fn apply(&self, files: &mut Files, most: usize) {
        match self {
            Self::Create(name) => _ = files.insert(name.clone(), Arc::default()),
            Self::Delete(name) => _ = files.remove(name),
            Self::Write(name, at, bytes) => {
                let file = Arc::make_mut(files.get_mut(name).expect("a file"));
                let (at, bytes) = (at.unwrap_or(file.len()), &bytes[..bytes.len().min(most)]);
                file.resize(file.len().max(at + bytes.len()), 0);
                file[at..at + bytes.len()].copy_from_slice(bytes);
            }
            Self::Resize(name, to) => Arc::make_mut(files.get_mut(name).expect("a file")).resize(*to, 0),
            Self::Allocate(name, at, len, keep_size) => {
                let file = Arc::make_mut(files.get_mut(name).expect("a file"));
                file.resize(if *keep_size { file.len() } else { file.len().max(at + len) }, 0);
            }
            Self::Punch(name, at, len) => {
                let file = Arc::make_mut(files.get_mut(name).expect("a file"));
                let end = (at + len).min(file.len());
                file[(*at).min(end)..end].fill(0);
            }
        }
    }

    /// Does it. Gives how many bytes were written.
    async fn attempt(&self, fs: &Writable, inos: &mut BTreeMap<String, BlockNum>) -> Result<usize, Error> {
        let root = fs.volume().root();
        let mode = |keep_size, punch_hole| FallocateMode { keep_size, punch_hole };
        match self {
            Self::Create(name) => {
                let made = fs.create(root, name.as_bytes(), &NEW, NewKind::File).await?;
                inos.insert(name.clone(), made.ino());
            }
            Self::Delete(name) => fs.unlink(root, name.as_bytes()).await?,
            Self::Write(name, at, bytes) => {
                let how = WriteHow { append: at.is_none(), ..WriteHow::default() };
                let bufs = Buf::copy_of(bytes).into_bufs();
                let written = fs.write(inos[name], at.unwrap_or(1) as u64, bufs, how).await?;
                return Ok(usize::try_from(written.len).expect("a short write"));
            }
            Self::Resize(name, to) => {
                let set = SetAttr { size: Some(*to as u64), ..SetAttr::default() };
                fs.setattr(inos[name], &set).await?;
            }
            Self::Allocate(name, at, len, keep_size) => {
                fs.fallocate(inos[name], *at as u64, *len as u64, mode(*keep_size, false)).await?;
            }
            Self::Punch(name, at, len) => {
                fs.fallocate(inos[name], *at as u64, *len as u64, mode(true, true)).await?;
            }
        }
        Ok(usize::MAX)
    }
}

/// Random work, and the states it leads through.
struct Load {
    random: Random,
    /// Most bytes that a file gets.
    most: usize,
    made: usize,
    /// The file that was written last.
    last: String,
    inos: BTreeMap<String, BlockNum>,
    /// After each operation, with the moment at which it was begun.
    states: Vec<(usize, Files)>,
    /// Which of the states is there to stay, of all files or of one, and since when.
    promises: Vec<(usize, Option<String>, usize)>,
}

impl Load {
    fn new(seed: u64, most: usize) -> Self {
        let states = vec![(0, Files::new())];
        let (inos, promises) = (BTreeMap::new(), Vec::new());
        Self { random: Random::new(seed), most, made: 0, last: String::new(), inos, states, promises }
    }

    fn files(&self) -> &Files {
        &self.states.last().expect("there is always one").1
    }

    /// Names that there may be.
    fn names(&self) -> BTreeSet<String> {
        self.states.iter().flat_map(|(_, files)| files.keys().cloned()).collect()
    }

    fn place(&mut self, size: usize) -> usize {
        match self.random.below(4) {
            0 => self.random.below(self.most),
            1 => self.random.below(self.most) / 4096 * 4096,
            2 => self.random.below(size.max(1)) / 512 * 512,
            _ => self.random.below(size.max(1)),
        }
    }

    fn len(&mut self) -> usize {
        match self.random.below(4) {
            0 => 1 + self.random.below(300),
            1 => 512 * (1 + self.random.below(16)),
            2 => 4096 * (1 + self.random.below(8)),
            _ => 1 + self.random.below(40_000),
        }
    }

    fn next_op(&mut self) -> Op {
        let names: Vec<String> = self.files().keys().cloned().collect();
        if names.len() < 2 || names.len() < 5 && self.random.below(12) == 0 {
            self.made += 1;
            return Op::Create(format!("f{}", self.made));
        }
        let mut name = names[self.random.below(names.len())].clone();
        if self.random.below(2) == 0 && names.contains(&self.last) {
            name.clone_from(&self.last);
        }
        self.last.clone_from(&name);
        let size = self.files()[&name].len();
        let (at, len, fill) = (self.place(size), self.len(), 1 + self.random.below(250));
        // Bytes that no other operation writes at this place, most likely.
        let bytes = |len| (0..len).map(|n| u8::try_from((n + fill) % 251 + 1).expect("a byte")).collect();
        match self.random.below(20) {
            0 => Op::Delete(name),
            1..4 => {
                Op::Resize(name, if self.random.below(3) == 0 { at } else { self.random.below(size + 1) })
            }
            4..6 => Op::Allocate(name, at, len, self.random.below(2) == 0),
            6..8 => Op::Punch(name, at, len),
            8..12 if size + len <= self.most => Op::Write(name, None, bytes(len)),
            12..16 if size >= 1024 => {
                // Whole sectors, in place for the most part.
                let first = self.random.below(size / 512);
                let sectors = (size / 512 - first).min(1 + self.random.below(32));
                Op::Write(name, Some(512 * first), bytes(512 * sectors))
            }
            _ => Op::Write(name, Some(at), bytes(len.min(self.most.saturating_sub(at)).max(1))),
        }
    }

    /// Does something, begun after `event`. After an error the last state is what was wanted.
    async fn step(&mut self, fs: &Writable, event: usize) -> Result<(), Error> {
        let op = self.next_op();
        let before = self.files().clone();
        let mut after = before.clone();
        op.apply(&mut after, usize::MAX);
        self.states.push((event, after));
        let most = op.attempt(fs, &mut self.inos).await?;
        let mut after = before;
        op.apply(&mut after, most);
        self.states.last_mut().expect("just added").1 = after;
        Ok(())
    }

    /// All that was done lasts, or what was done with one file.
    fn promised(&mut self, name: Option<String>, event: usize) {
        self.promises.push((self.states.len() - 1, name, event));
    }

    /// Why `found` is nothing that may be there when all ends after `event`; `None` when it may.
    fn refute(&self, found: &Files, event: usize) -> Option<String> {
        let kept = |of: Option<&String>| {
            let made = self.promises.iter().filter(|(_, name, at)| *at <= event && name.as_ref() == of);
            made.map(|(state, ..)| *state).max().unwrap_or(0)
        };
        let begun = self.states.iter().filter(|(at, _)| *at <= event).count() - 1;
        let mut why = Vec::new();
        for state in kept(None)..=begun {
            let names = &self.states[state].1;
            if !names.keys().eq(found.keys()) {
                continue;
            }
            let wrong = found.iter().find_map(|(name, contents)| {
                let least = kept(Some(name)).max(state);
                self.refute_file(name, contents, (least, begun))
            });
            match wrong {
                None => return None,
                Some(wrong) => why.push(format!("state {state}: {wrong}")),
            }
        }
        Some(format!("none of the states {} to {begun}: {why:#?}", kept(None)))
    }

    /// The same of one file, of which one state lasts and the others may have begun.
    fn refute_file(&self, name: &str, found: &[u8], (least, most): (usize, usize)) -> Option<String> {
        let states: Vec<&Vec<u8>> =
            self.states[least..=most].iter().map_while(|(_, files)| Some(&**files.get(name)?)).collect();
        let first = states.first()?;
        // A write may have come so far and no further.
        let next = states.get(1).map_or(first.len(), |next| next.len());
        let sizes = first.len()..=next.max(first.len());
        if !sizes.contains(&found.len()) {
            return Some(format!("{name}: {} bytes and not {sizes:?}", found.len()));
        }
        let right = |at: usize| states.iter().any(|state| state.get(at) == found.get(at));
        let wrong = (0..found.len()).find(|at| !right(*at))?;
        Some(format!("{name}: byte {wrong} of {} is {}", found.len(), found[wrong]))
    }
}

/// What the volume holds.
async fn files_of(fs: &Writable, names: impl Iterator<Item = &String>) -> Result<Files, Error> {
    let mut files = Files::new();
    for name in names {
        if let Some(inode) = fs.lookup(fs.volume().root(), name.as_bytes()).await? {
            let data = fs.read(inode.ino(), 0, inode.attr().size).await?;
            files.insert(name.clone(), Arc::new(data.to_vec()));
        }
    }
    Ok(files)
}

/// Fails where our own check or `fsck.ocfs2` finds anything, but for clusters behind the end of a file: a truncation
/// that was cut short leaves some, and an allocation that keeps the length.
fn assert_sound(what: &str, device: &MemoryDevice) {
    let mut found = findings(device);
    found.extend(fsck_complaints(device).unwrap_or_default());
    found.retain(|line| !line.starts_with("[INODE_SPARSE_SIZE]"));
    assert!(found.is_empty(), "{what}: {found:#?}");
}

/// Which file is otherwise than expected, and where.
fn differs(found: &Files, wanted: &Files) -> Option<String> {
    if !found.keys().eq(wanted.keys()) {
        return Some(format!("{:?} and not {:?}", found.keys(), wanted.keys()));
    }
    wanted.iter().find_map(|(name, wanted)| {
        let found = &found[name];
        let wrong = || found.iter().zip(&**wanted).position(|(found, wanted)| found != wanted);
        (found != wanted)
            .then(|| format!("{name}: byte {:?} of {} and not {}", wrong(), found.len(), wanted.len()))
    })
}
