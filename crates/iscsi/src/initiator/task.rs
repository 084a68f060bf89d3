//! The table of commands in flight.

use super::{ScsiRequest, Task};
use crate::SessionError;
use crate::pdu::Opcode;

/// One command in flight.
#[derive(Debug)]
pub(super) struct Flight<B> {
    pub(super) request: ScsiRequest<B>,
    /// Its place among the commands sent; `None` while it waits.
    pub(super) sent: Option<u64>,
    /// Valid once it was sent.
    pub(super) cmd_sn: u32,
    /// Bytes received of the read part.
    pub(super) received: u32,
    pub(super) next_data_sn: u32,
    pub(super) next_r2t_sn: u32,
    /// Order of submission, for replay.
    pub(super) order: u64,
}

#[derive(Debug)]
struct Slot<B> {
    generation: u16,
    flight: Option<Flight<B>>,
}

/// Commands in flight by tag: the low 16 bits are the slot, the high 16 count the slot's uses.
#[derive(Debug)]
pub(super) struct Tasks<B> {
    slots: Vec<Slot<B>>,
    free: Vec<u16>,
    max: usize,
    submitted: u64,
}

/// What a tag that a target sent means.
enum Lookup<'a, B> {
    /// A command in flight.
    Live(&'a mut Flight<B>),
    /// A command that ended; a late PDU of the target.
    Stale,
    /// No command ever.
    Unknown,
}

impl<B> Tasks<B> {
    /// Room for `max` commands, 1 to 32767.
    pub(super) fn new(max: usize) -> Self {
        Self { slots: Vec::new(), free: Vec::new(), max: max.clamp(1, 0x7fff), submitted: 0 }
    }

    pub(super) fn insert(&mut self, request: ScsiRequest<B>) -> Result<Task, ScsiRequest<B>> {
        let index = match self.free.pop() {
            Some(index) => index,
            None if self.slots.len() < self.max => {
                let Ok(index) = u16::try_from(self.slots.len()) else { return Err(request) };
                self.slots.push(Slot { generation: 0, flight: None });
                index
            }
            None => return Err(request),
        };
        let order = self.submitted;
        self.submitted = order.wrapping_add(1);
        let Some(slot) = self.slots.get_mut(usize::from(index)) else { return Err(request) };
        slot.flight = Some(Flight {
            request,
            sent: None,
            cmd_sn: 0,
            received: 0,
            next_data_sn: 0,
            next_r2t_sn: 0,
            order,
        });
        Ok(Task(u32::from(slot.generation) << 16 | u32::from(index)))
    }

    pub(super) fn get(&mut self, task: Task) -> Option<&mut Flight<B>> {
        match self.lookup(task.0) {
            Lookup::Live(flight) => Some(flight),
            _ => None,
        }
    }

    /// The command whose tag a PDU of the target carries; `None` for one that ended, whose late PDU is passed over.
    ///
    /// # Errors
    /// Where no command ever had the tag.
    pub(super) fn named(&mut self, pdu: Opcode, itt: u32) -> Result<Option<&mut Flight<B>>, SessionError> {
        match self.lookup(itt) {
            Lookup::Live(flight) => Ok(Some(flight)),
            Lookup::Stale => Ok(None),
            Lookup::Unknown => {
                Err(SessionError::field(pdu, "Initiator Task Tag", itt, "that of a command in flight"))
            }
        }
    }

    fn lookup(&mut self, itt: u32) -> Lookup<'_, B> {
        let task = Task(itt);
        match self.slots.get_mut(task.index()) {
            Some(slot) if u32::from(slot.generation) == itt >> 16 => match &mut slot.flight {
                Some(flight) => Lookup::Live(flight),
                None => Lookup::Stale,
            },
            Some(_) => Lookup::Stale,
            None => Lookup::Unknown,
        }
    }

    pub(super) fn remove(&mut self, task: Task) -> Option<Flight<B>> {
        let slot = self.slots.get_mut(task.index())?;
        if u32::from(slot.generation) != task.0 >> 16 {
            return None;
        }
        let flight = slot.flight.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(u16::try_from(task.index()).unwrap_or(0));
        Some(flight)
    }

    /// The tags of all commands in flight that a test picks, in the order of submission.
    pub(super) fn pick(&self, mut test: impl FnMut(&Flight<B>) -> bool) -> Vec<Task> {
        let mut picked: Vec<(u64, Task)> = Vec::new();
        for (index, slot) in self.slots.iter().enumerate() {
            if let Some(flight) = slot.flight.as_ref().filter(|flight| test(flight)) {
                let index = u32::try_from(index).unwrap_or(0);
                picked.push((flight.order, Task(u32::from(slot.generation) << 16 | index)));
            }
        }
        picked.sort_unstable();
        picked.into_iter().map(|(_, task)| task).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len().saturating_sub(self.free.len())
    }
}
