//! What a power cut may leave.

use crate::failing::scramble;
use crate::{BlockDevice, Durability, MemoryDevice};

use super::{Change, Event, Log};

/// All the moments at which the power can fail, first to last. See [`Log::crashes`].
#[derive(Debug)]
pub struct Crashes<'a> {
    log: &'a Log,
    base: MemoryDevice,
    /// How many events have happened; `None` before the first moment.
    at: Option<usize>,
    changes: Vec<Life<'a>>,
    /// The latest event at which a flush was issued that has been answered.
    flushed: usize,
    /// How many changes, from the first, are in `base` already.
    settled: usize,
}

/// A moment at which the power fails.
#[derive(Debug)]
pub struct Crash<'a> {
    base: MemoryDevice,
    event: usize,
    rest: Vec<(&'a Change, bool)>,
}

/// What a power cut leaves of one change that was not yet stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Nothing.
    None,
    /// The first so many bytes, rounded down to whole blocks: a block is written whole or not at all.
    First(u64),
    /// All of it.
    All,
}

#[derive(Debug)]
struct Life<'a> {
    change: &'a Change,
    issued: usize,
    answered: Option<Answer>,
}

#[derive(Debug)]
struct Answer {
    event: usize,
    ok: bool,
}

impl Log {
    /// Every moment at which the power can fail: before the first event, and after each one. `base` is what the
    /// disk held when the recording began.
    ///
    /// A change is sure to be there when it was answered as done and was [`Durability::Stable`], or a flush that
    /// was issued after that answer has been answered as done. Every other change that was issued, answered or
    /// not, failed or not, may be there, in part or as a whole, each independent of the others. Changes land in the
    /// order in which they were issued, but for those still in flight: these land last, so that a workload which
    /// writes a place again without waiting for the first answer is found out.
    pub fn crashes(&self, base: &MemoryDevice) -> Crashes<'_> {
        Crashes {
            log: self,
            base: base.snapshot().read_only(false),
            at: None,
            changes: Vec::new(),
            flushed: 0,
            settled: 0,
        }
    }
}

impl<'a> Iterator for Crashes<'a> {
    type Item = Crash<'a>;

    fn next(&mut self) -> Option<Crash<'a>> {
        let event = match self.at {
            None => 0,
            Some(at) => {
                self.step(at, self.log.events.get(at)?);
                at + 1
            }
        };
        self.at = Some(event);
        let rest = self.changes[self.settled..].iter().filter(|life| !matches!(life.change, Change::Flush));
        let (answered, flying): (Vec<_>, Vec<_>) = rest.partition(|life| life.answered.is_some());
        // What is still in flight may land after all that was answered meanwhile.
        let rest = answered.iter().chain(&flying);
        let rest = rest.map(|life| (life.change, life.is_stable(self.flushed))).collect();
        Some(Crash { base: self.base.snapshot(), event, rest })
    }
}

impl<'a> Crashes<'a> {
    fn step(&mut self, at: usize, event: &'a Event) {
        match event {
            Event::Issued(change) => self.changes.push(Life { change, issued: at, answered: None }),
            Event::Answered { change, ok } => {
                if let Some(life) = self.changes.get_mut(*change) {
                    life.answered = Some(Answer { event: at, ok: *ok });
                    if *ok && matches!(life.change, Change::Flush) {
                        self.flushed = self.flushed.max(life.issued);
                    }
                }
            }
        }
        // What is sure, and comes after nothing unsure, is the same in every later image.
        while let Some(life) = self.changes.get(self.settled) {
            let flush = matches!(life.change, Change::Flush);
            if !flush && !life.is_stable(self.flushed) {
                break;
            }
            apply(&self.base, life.change, Kept::All);
            self.settled += 1;
        }
    }
}

impl Life<'_> {
    fn is_stable(&self, flushed: usize) -> bool {
        let stable = matches!(self.change, Change::Write { durability: Durability::Stable, .. });
        self.answered.as_ref().is_some_and(|answer| answer.ok && (stable || answer.event < flushed))
    }
}

impl Crash<'_> {
    /// How many events came before it.
    pub fn event(&self) -> usize {
        self.event
    }

    /// The changes that may or may not be there: those that were answered in the order in which they were issued,
    /// then those that were still in flight.
    pub fn unsure(&self) -> impl Iterator<Item = &Change> {
        self.rest.iter().filter(|(_, stable)| !stable).map(|(change, _)| *change)
    }

    /// The disk that is found afterwards, when of the unsure changes `kept` is left, one entry each. Where `kept`
    /// is shorter, the others are lost.
    pub fn image(&self, kept: &[Kept]) -> MemoryDevice {
        let image = self.base.snapshot();
        let mut kept = kept.iter().copied();
        for (change, stable) in &self.rest {
            let what = if *stable { Kept::All } else { kept.next().unwrap_or(Kept::None) };
            apply(&image, change, what);
        }
        image
    }

    /// At most `most` choices for [`image`](Self::image), none twice: all lost, all kept, each one lost alone, each
    /// one kept alone, and then choices drawn from `seed`, torn writes among them.
    pub fn choices(&self, seed: u64, most: usize) -> Vec<Vec<Kept>> {
        let unsure: Vec<&Change> = self.unsure().collect();
        let count = unsure.len();
        let with = |all: Kept, at: usize, one: Kept| {
            let mut choice = vec![all; count];
            choice[at] = one;
            choice
        };
        let mut choices = vec![vec![Kept::None; count], vec![Kept::All; count]];
        choices.extend((0..count).map(|at| with(Kept::All, at, Kept::None)));
        choices.extend((0..count).map(|at| with(Kept::None, at, Kept::All)));
        let mut state = scramble(seed ^ crate::ext::as_u64(self.event));
        for _ in 0..most.saturating_sub(choices.len()).min(most) {
            let draw = |change: &&Change| {
                state = scramble(state);
                match (state % 5, change) {
                    (0 | 1, _) => Kept::None,
                    (2, Change::Write { data, .. }) if data.len() > 512 => {
                        Kept::First((state >> 8) % crate::ext::as_u64(data.len()))
                    }
                    _ => Kept::All,
                }
            };
            choices.push(unsure.iter().map(draw).collect());
        }
        let mut distinct: Vec<Vec<Kept>> = Vec::new();
        for choice in choices {
            if distinct.len() < most && !distinct.contains(&choice) {
                distinct.push(choice);
            }
        }
        distinct
    }
}

fn apply(image: &MemoryDevice, change: &Change, kept: Kept) {
    let whole = u64::MAX;
    let limit = match kept {
        Kept::None => return,
        Kept::First(bytes) => bytes - bytes % u64::from(image.geometry().logical_block),
        Kept::All => whole,
    };
    match change {
        Change::Write { offset, data, .. } => {
            let len = usize::try_from(limit).unwrap_or(usize::MAX).min(data.len());
            image.store(*offset, &data[..len]);
        }
        Change::Discard { offset, len } | Change::WriteZeroes { offset, len } => {
            image.clear(*offset, (*len).min(limit));
        }
        Change::Flush => {}
    }
}
