//! The table of commands in flight.

use std::collections::{HashMap, VecDeque};

use smallvec::SmallVec;

use super::TargetTask;
use super::data_out::Spoiled;

/// One R2T that waits for its data.
#[derive(Debug)]
pub(super) struct Solicited {
    pub(super) ttt: u32,
    /// Where its next PDU must begin, in bytes.
    pub(super) at: u32,
    pub(super) end: u32,
    pub(super) next_data_sn: u32,
}

/// One command in flight.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) itt: u32,
    pub(super) lun: u64,
    pub(super) immediate: bool,
    pub(super) read_len: u32,
    pub(super) write_len: u32,
    /// Bytes of the write that came unasked, from offset 0 on.
    pub(super) unsolicited: u32,
    /// Whether more may come unasked.
    pub(super) open: bool,
    pub(super) next_unsolicited_sn: u32,
    /// How much of the write the driver wants.
    pub(super) want: Option<u32>,
    /// Where the next R2T begins.
    pub(super) asked: u32,
    /// Bytes that R2Ts brought.
    pub(super) solicited: SmallVec<[Solicited; 1]>,
    pub(super) next_r2t_sn: u32,
    /// Bytes of the present PDU's data segment that must be taken in before the write can be ready.
    pub(super) arriving: bool,
    pub(super) ready: bool,
    /// Set once data came wrong: nothing of the write counts any more, and it ends when no more of it is due.
    pub(super) spoiled: Option<Box<Spoiled>>,
    /// Bytes of the read that were sent.
    pub(super) sent: u32,
    pub(super) next_data_sn: u32,
}

#[derive(Debug)]
struct Slot {
    generation: u16,
    flight: Option<Flight>,
}

/// Commands in flight, by handle and by initiator task tag.
#[derive(Debug)]
pub(super) struct Tasks {
    slots: Vec<Slot>,
    free: Vec<u16>,
    by_itt: HashMap<u32, TargetTask>,
    /// Tags of commands that ended while data for them was still due, the latest last.
    drained: VecDeque<u32>,
    immediate: usize,
}

/// How many ended commands are remembered for their late data.
const MAX_DRAINED: usize = 256;

impl Tasks {
    pub(super) fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            by_itt: HashMap::new(),
            drained: VecDeque::new(),
            immediate: 0,
        }
    }

    /// Adds a command; `None` when its tag is in flight already.
    pub(super) fn insert(&mut self, flight: Flight) -> Option<TargetTask> {
        let itt = flight.itt;
        if self.by_itt.contains_key(&itt) {
            return None;
        }
        if !self.drained.is_empty() {
            self.drained.retain(|drained| *drained != itt);
        }
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                // The window bounds the table far below 65536.
                let index = u16::try_from(self.slots.len()).ok()?;
                self.slots.push(Slot { generation: 0, flight: None });
                index
            }
        };
        self.immediate = self.immediate.saturating_add(usize::from(flight.immediate));
        let slot = self.slots.get_mut(usize::from(index))?;
        slot.flight = Some(flight);
        let task = TargetTask(u32::from(slot.generation) << 16 | u32::from(index));
        self.by_itt.insert(itt, task);
        Some(task)
    }

    pub(super) fn get(&mut self, task: TargetTask) -> Option<&mut Flight> {
        let slot = self.slots.get_mut(task.index())?;
        if u32::from(slot.generation) != task.0 >> 16 {
            return None;
        }
        slot.flight.as_mut()
    }

    pub(super) fn find(&self, itt: u32) -> Option<TargetTask> {
        self.by_itt.get(&itt).copied()
    }

    pub(super) fn remove(&mut self, task: TargetTask) -> Option<Flight> {
        let slot = self.slots.get_mut(task.index())?;
        if u32::from(slot.generation) != task.0 >> 16 {
            return None;
        }
        let flight = slot.flight.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(u16::try_from(task.index()).unwrap_or(0));
        self.by_itt.remove(&flight.itt);
        self.immediate = self.immediate.saturating_sub(usize::from(flight.immediate));
        if flight.open || !flight.solicited.is_empty() || flight.spoiled.is_some() {
            self.drain(flight.itt);
        }
        Some(flight)
    }

    /// Remembers a tag whose data is to be dropped.
    pub(super) fn drain(&mut self, itt: u32) {
        if self.drained.len() >= MAX_DRAINED {
            self.drained.pop_front();
        }
        self.drained.push_back(itt);
    }

    pub(super) fn is_drained(&self, itt: u32) -> bool {
        self.drained.contains(&itt)
    }

    /// Handles of all commands in flight, in the order of their place.
    pub(super) fn all(&self) -> Vec<TargetTask> {
        let mut tasks = Vec::new();
        for (index, slot) in self.slots.iter().enumerate() {
            if slot.flight.is_some() {
                let index = u32::try_from(index).unwrap_or(0);
                tasks.push(TargetTask(u32::from(slot.generation) << 16 | index));
            }
        }
        tasks
    }

    /// Commands in flight that take up the window.
    pub(super) fn windowed(&self) -> usize {
        self.by_itt.len().saturating_sub(self.immediate)
    }

    /// Immediate commands in flight.
    pub(super) fn immediate(&self) -> usize {
        self.immediate
    }
}
